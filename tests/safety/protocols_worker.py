"""Each public class in a process of its own: what Python itself does with classes and their objects.

``protocols_worker.py`` prints a line of JSON for each class: its name, and what was wrong. Nothing is compiled
before the fork, so that each child has an engine of its own.
"""

from __future__ import annotations

import ast
import copy
import enum
import json
import os
import pathlib
import pickle
import select
import signal
import sys
import tempfile
import threading
import traceback
import types

import wasmtime_rt as w

SECONDS = 120
DOCUMENTED = (
    w.WasmtimeError, TypeError, ValueError, OverflowError, IndexError, KeyError, AttributeError, BufferError, OSError,
    RecursionError, MemoryError, NotImplementedError,
)  # fmt: skip
CLASSES = {name: found for name in w.__all__ if isinstance(found := getattr(w, name), type)}
TEXT = """(module
    (import "" "h" (func $h (param i32) (result i32)))
    (type $s (struct (field (mut i32)))) (tag (export "e") (param i32)) (global (export "g") (mut i64) (i64.const 5))
    (memory (export "m") 1 3) (table (export "t") 3 externref)
    (func (export "n") (param i32) (result i32) local.get 0) (func (export "h") (param i32) (result i32) local.get 0 call $h)
    (func (export "s") (result (ref $s)) (struct.new $s (i32.const 7)))
    (func (export "x") (result externref) (extern.convert_any (ref.i31 (i32.const 9)))))"""


class World:
    """One of everything."""

    def __init__(self):
        settings = w.WasmConfig(shared_memory=True, epoch_interruption=True, parallel_compilation=False)
        self.engine = w.WasmEngine(settings)
        self.store = w.WasmStore(self.engine)
        self.module = w.WasmModule(self.engine, TEXT)
        self.inside = lambda: None
        self.instance = w.WasmInstance(self.store, self.module, {"": {"h": self.host}})
        self.exports = self.instance.exports
        self.linker = w.WasmLinker(self.engine)
        self.linker.define("", "h", lambda x: x)

    def host(self, x):
        self.inside()
        return x

    def caller(self):
        """One that has expired."""
        kept = []
        w.WasmFunc(self.store, w.with_caller(kept.append), w.WasmFuncType())()
        return kept[0]


ABSTRACT = {name for name in CLASSES if name.startswith(("Abstract", "Wasmtime")) and name != "WasmtimeError"}
ABSTRACT |= {"WasmRef"}
ERRORS = {name for name, kind in CLASSES.items() if issubclass(kind, BaseException)}
#: How to make one of each class. A new class must be given a line here, or be abstract.
SAMPLES = {
    "ByteCaller": lambda o: w.ByteCaller(o.instance, memory="m", alloc="n"),
    "DefinedType": lambda o: o.exports.s().type.heap,
    "ModuleCache": lambda o: w.ModuleCache("cache", max_size=5),
    "OptimizationLevel": lambda o: w.OptimizationLevel.SPEED,
    "PoolingConfig": lambda o: w.PoolingConfig(total_tables=5),
    "ProfilingStrategy": lambda o: w.ProfilingStrategy.NONE,
    "RegallocAlgorithm": lambda o: w.RegallocAlgorithm.BACKTRACKING,
    "Sandbox": lambda o: w.Sandbox(b"(module)", cache=False),
    "SandboxInstance": lambda o: w.Sandbox(b'(module (func (export "_initialize")))', cache=False).start(),
    "SandboxLease": lambda o: w.Sandbox(b'(module (func (export "_initialize")))', cache=False).pool().take(),
    "SandboxPool": lambda o: w.Sandbox(b"(module)", cache=False).pool(),
    "StoreDeadline": lambda o: o.store.deadline(5),
    "StoreLimits": lambda o: w.StoreLimits(memory_size=5),
    "StoreProfile": lambda o: o.store.profile(os.devnull),
    "Strategy": lambda o: w.Strategy.AUTO,
    "TypedFunc": lambda o: o.exports.n.typed(["i32"], ["i32"]),
    "WasiConfig": lambda o: w.WasiConfig(argv=["x"], env={"a": "b"}, stdin=b"x"),
    "WasiResult": lambda o: w.WasiResult(0, b"x", None, (), 1.5, None, 65536),
    "WasmArray": lambda o: w.WasmArray.filled(
        o.store, w.WasmArray.new_type(o.engine, w.WasmFieldType("i8")), 7, 5
    ),
    "WasmCaller": lambda o: o.caller(),
    "WasmConfig": lambda o: w.WasmConfig(consume_fuel=True),
    "WasmEngine": lambda o: o.engine,
    "WasmExportType": lambda o: o.module.exports[0],
    "WasmExports": lambda o: o.exports,
    "WasmExternRef": lambda o: w.WasmExternRef("x"),
    "WasmExternalized": lambda o: o.exports.x(),
    "WasmF32": lambda o: w.WasmF32(1.5),
    "WasmF64": lambda o: w.WasmF64(1.5),
    "WasmFieldType": lambda o: w.WasmFieldType("i8", mutable=True),
    "WasmFunc": lambda o: o.exports.h,
    "WasmFuncRef": lambda o: w.WasmFuncRef(None),
    "WasmFuncType": lambda o: w.WasmFuncType(["i32"], ["f64", "externref"]),
    "WasmGlobal": lambda o: o.exports.g,
    "WasmGlobalType": lambda o: w.WasmGlobalType("i32", mutable=True),
    "WasmI31": lambda o: w.WasmI31(5),
    "WasmI32": lambda o: w.WasmI32(5),
    "WasmI64": lambda o: w.WasmI64(5),
    "WasmImportType": lambda o: o.module.imports[0],
    "WasmInstance": lambda o: o.instance,
    "WasmInstancePre": lambda o: o.linker.prepare(o.module),
    "WasmLimits": lambda o: w.WasmLimits(1, 2),
    "WasmLinker": lambda o: o.linker,
    "WasmMemory": lambda o: o.exports.m,
    "WasmMemoryType": lambda o: w.WasmMemoryType(1, 2),
    "WasmModule": lambda o: o.module,
    "WasmSharedMemory": lambda o: w.WasmSharedMemory(o.engine, w.WasmMemoryType(1, 2, shared=True)),
    "WasmSpan": lambda o: w.WasmSpan(1, 2),
    "WasmStore": lambda o: o.store,
    "WasmStruct": lambda o: o.exports.s(),
    "WasmTable": lambda o: o.exports.t,
    "WasmTableType": lambda o: w.WasmTableType("externref", 1, 5),
    "WasmTag": lambda o: o.exports.e,
    "WasmTagType": lambda o: o.exports.e.type,
    "WasmV128": lambda o: w.WasmV128(bytes(16)),
    "WasmValType": lambda o: w.WasmValType.I32,
    "WasmValue": lambda o: w.WasmValue(5),
    "with_caller": lambda o: w.with_caller(len),
    "WritableDir": lambda o: w.rw("/"),
    "TrapCode": lambda o: w.TrapCode.STACK_OVERFLOW,
    "WasmException": lambda o: w.WasmException(o.exports.e, 5),
    "WasmExit": lambda o: w.WasmExit(3),
    "WasmFrame": lambda o: w.WasmFrame(1, "a", "b", 2, 3),
    "WasmTrap": lambda o: w.WasmTrap("text", w.TrapCode(7), (w.WasmFrame(1, None, None, 2, 3),)),
    **{
        name: (lambda o, name=name: CLASSES[name]("text"))
        for name in ERRORS - {"WasmException", "WasmExit", "WasmTrap"}
    },
}
#: What lives in the process: not to be copied. All else is a value, that comes back equal.
HANDLES = {
    "Sandbox", "SandboxInstance", "SandboxLease", "SandboxPool", "StoreDeadline", "StoreProfile", "TypedFunc", "WasmArray", "WasmCaller", "WasmExports", "WasmExternalized", "WasmFunc", "WasmGlobal", "WasmInstance",
    "WasmInstancePre", "WasmLinker", "WasmMemory", "WasmSharedMemory", "WasmStore", "WasmStruct", "WasmTable", "WasmTag",
    "WasmException",
}  # fmt: skip

#: How it is copied is no matter of safety: its content may change, and it has no equality; or a copy is itself.
LOOSE = {"ByteCaller", "DefinedType", "ModuleCache", "with_caller"}


class Checks:
    """What was wrong with one class."""

    def __init__(self, name):
        self.kind, self.make, self.wrong = CLASSES[name], SAMPLES.get(name), []
        self.name = name

    def allowed(self, label, function, *args):
        try:
            return function(*args)
        except DOCUMENTED:
            return None
        except BaseException:
            self.wrong.append(f"{label}: {traceback.format_exc(limit=-3)}")
            return None

    def works(self, label, function, *args):
        try:
            return function(*args)
        except BaseException:
            self.wrong.append(f"{label}: {traceback.format_exc(limit=-3)}")
            return None

    def check(self, label, condition):
        if not condition:
            self.wrong.append(label)

    def use(self, label, made):
        """Everything public of an object that is not all there."""
        world = World()
        values = (None, 0, "x", b"x", made, world.store, world.engine, world.module)
        for name in sorted({*dir(type(made)), *dir(self.kind)}):
            if name in {
                "__init__",
                "__class__",
                "__del__",
                "__new__",
                "__init_subclass__",
                "__subclasshook__",
            }:
                continue
            if name.startswith("_") and not name.startswith("__"):
                continue
            found = self.allowed(f"{label}.{name}", getattr, made, name)
            if callable(found) and not isinstance(found, type):
                self.allowed(f"{label}.{name}()", found)
                for value in values:
                    self.allowed(f"{label}.{name}({type(value).__name__})", found, value)
                self.allowed(f"{label}.{name}(,)", found, 0, 1)
        for name, use in {
            "repr": repr, "str": str, "hash": hash, "len": len, "iter": list, "bool": bool, "equal": lambda v: v == v,
            "call": lambda v: v(), "item": lambda v: v[0], "memoryview": memoryview, "float": float, "int": int,
        }.items():  # fmt: skip
            self.allowed(f"{label}: {name}", use, made)
        self.as_argument(label, made)
        with_block = getattr(type(made), "__exit__", None)
        if with_block:
            self.allowed(f"{label}: with", lambda: made.__enter__())
            self.allowed(f"{label}: with", lambda: made.__exit__(None, None, None))

    def as_argument(self, label, made):
        """It in every place where another is expected."""
        o, table = World(), w.WasmTableType
        for name, use in {
            "store": lambda: w.WasmStore(made), "module": lambda: w.WasmModule(made, TEXT),
            "instance": lambda: w.WasmInstance(made, o.module, [len]), "instance2": lambda: w.WasmInstance(o.store, made),
            "import": lambda: w.WasmInstance(o.store, o.module, [made]), "imports": lambda: w.WasmInstance(o.store, o.module, made),
            "linker": lambda: w.WasmLinker(made), "define": lambda: o.linker.define("a", "b", made),
            "define_instance": lambda: o.linker.define_instance("c", made), "prepare": lambda: o.linker.prepare(made),
            "link": lambda: o.linker.instantiate(made, o.module), "memory": lambda: w.WasmMemory(made, w.WasmMemoryType(1)),
            "memory2": lambda: w.WasmMemory(o.store, made), "table": lambda: w.WasmTable(made, table("externref", 1)),
            "table2": lambda: w.WasmTable(o.store, table("funcref", 1), made), "tag": lambda: w.WasmTag(o.store, made),
            "element": lambda: w.WasmTable(o.store, table("anyref", 1), made), "func": lambda: w.WasmFunc(o.store, made),
            "exnref": lambda: w.WasmTable(o.store, table("exnref", 1), made), "call": lambda: o.exports.n(made),
            "global": lambda: w.WasmGlobal(o.store, made, 5), "global2": lambda: w.WasmGlobal(o.store, w.WasmGlobalType("v128"), made),
            "func2": lambda: w.WasmFunc(made, len, w.WasmFuncType()), "func3": lambda: w.WasmFunc(o.store, len, made),
            "shared": lambda: w.WasmSharedMemory(made, w.WasmMemoryType(1, 2, shared=True)), "wasi": lambda: o.store.set_wasi(made),
            "limits": lambda: w.WasmStore(o.engine, limits=made), "engine": lambda: w.WasmEngine(made), "map": lambda: o.exports.n.map(made),
            "struct": lambda: w.WasmStruct(o.store, made, []), "array": lambda: w.WasmArray(made, made, [1]),
            "write": lambda: o.exports.m.write(0, made), "raise": lambda: self.raised(made), "profile": lambda: o.store.profile("/", modules={"a": made}),
            "type": lambda: w.WasmFuncType([made]), "to_wasm": lambda: w.to_wasm(made), "deserialize": lambda: w.WasmModule.deserialize(o.engine, made),
        }.items():  # fmt: skip
            self.allowed(f"{label} as {name}", use)
        self.works(
            "the others are well", lambda: (o.exports.n(5) == 5, o.exports.h(6), o.exports.m.read(0, 1))
        )

    def raised(self, made):
        """It, thrown by a host function."""
        if isinstance(made, w.WasmtimeError):
            o = World()
            o.inside = lambda: (_ for _ in ()).throw(made)
            o.exports.h(1)


def bare(c, world):
    """``__new__`` without ``__init__``; subclasses that forget their ``super()``."""
    for label, new in (
        ("__new__", lambda: c.kind.__new__(c.kind)),
        ("object.__new__", lambda: object.__new__(c.kind)),
    ):
        made = c.allowed(label, new)
        if made is not None:
            c.use(label, made)
    sub = c.allowed(
        "subclass",
        lambda: types.new_class("Sub", (c.kind,), {}, lambda body: body.update(__init__=lambda self: None)),
    )
    made = c.allowed("subclass()", sub) if sub is not None else None
    if made is not None:
        c.use("subclass", made)


def again(c, world):
    """A second ``__init__`` is refused or changes nothing."""
    made = c.make(world)
    said = repr(made)
    other = World()
    for args in (
        (), (other.engine,), (other.store, len), (other.store, lambda: None, w.WasmFuncType()), (other.store, other.module, [len]),
        (other.engine, "(module)"), (other.engine, w.WasmMemoryType(1, 1, shared=True)), (other.store, w.WasmMemoryType(3)),
        (other.store, w.WasmTableType("funcref", 9)), (other.store, w.WasmGlobalType("i32"), 5), (w.WasmConfig(),),
        (other.store, w.WasmTagType(w.WasmFuncType(["i64"]))), (other.store, os.devnull, 0.01, {}),
        (other.store, w.WasmStruct.new_type(other.engine, []), []),
        (other.store, w.WasmArray.new_type(other.engine, w.WasmFieldType("i8")), [1]),
    ):  # fmt: skip
        c.allowed(f"__init__{args!r:.60}", made.__init__, *args)
    for settings in (
        {"consume_fuel": True}, {"kind": "i64"}, {"min": 9, "max": 9}, {"memory_size": 9}, {"params": ["i64"]}, {"storage": "i16"},
        {"content": "f32"}, {"element": "anyref", "min": 7}, {"argv": ["y"]}, {"path": "x"}, {"name": "x", "type": made},
        {"func": w.WasmFuncType()}, {"total_tables": 9}, {"module": "x", "name": "y", "type": made},
    ):  # fmt: skip
        c.allowed(f"__init__ with {', '.join(settings)}", lambda settings=settings: made.__init__(**settings))
    if c.name not in ERRORS | LOOSE:
        c.check(f"a second __init__ changed it: {made!r}", repr(made) == said)
    healthy(c, world)


def healthy(c, world):
    """The world works."""
    c.check("a call", c.works("call", world.exports.h, 5) == 5)
    c.check("memory", c.works("read", world.exports.m.read, 0, 2) == b"\0\0")
    c.works(
        "table", lambda: (world.exports.t[0], world.exports.g.value, world.exports.s()[0], world.store.gc())
    )
    c.works("instance", w.WasmInstance, world.store, world.module, [len])


def copies(c, world):
    """Values come back equal; what lives in the process refuses, and says what it is."""
    made = c.make(world)
    ways = {"copy": copy.copy, "deepcopy": copy.deepcopy}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        ways[f"pickle {protocol}"] = lambda made, protocol=protocol: pickle.loads(
            pickle.dumps(made, protocol)
        )
    for label, way in ways.items():
        try:
            copied = way(made)
        except TypeError as refused:
            c.check(f"{label}: {refused}", c.name in HANDLES | LOOSE and "cannot" in str(refused))
        except BaseException:
            c.wrong.append(f"{label}: {traceback.format_exc(limit=-3)}")
        else:
            if c.name in {"WasmExports", "WasmException"} | LOOSE:  # a shallow copy has the same content
                c.check(f"{label} was not refused", label == "copy" or c.name in LOOSE)
                c.works(label, repr, copied)
                continue
            c.check(f"{label} was not refused", c.name not in HANDLES)
            c.check(f"{label}: {type(copied)}", type(copied) is type(made))
            if isinstance(made, BaseException):
                c.check(f"{label}: {copied!r}", (copied.args, vars(copied)) == (made.args, vars(made)))
            elif isinstance(made, w.WasmModule):
                c.works(label, w.WasmInstance, world.store, copied, [len])
            else:
                c.check(f"{label}: {copied!r}", copied == made and repr(copied) == repr(made))
                c.check(f"{label}: hash", c.allowed("hash", hash, copied) == c.allowed("hash", hash, made))
    healthy(c, world)


def looked_at(c, world):
    """``repr``, ``str``, ``len``, types from another thread while a call runs, and after everything was closed."""
    made = c.make(world)
    looks = {
        "repr": repr, "str": str, "bool": bool, "dir": dir, "equal": lambda v: (v == v, v != 5, v == object()),
        "type": lambda v: getattr(v, "type", None) if c.name not in {"WasmStruct", "WasmArray"} else None,
        "is_valid": lambda v: getattr(v, "is_valid", None), "store": lambda v: getattr(v, "store", None),
        "isinstance": lambda v: isinstance(v, c.kind),
    }  # fmt: skip
    if c.name in {"SandboxLease", "WasmCaller"}:
        del looks["store"]  # which it has no more
    if type(made).__hash__ is not None and c.name not in {"WasiConfig", "WasmExports"}:
        looks["hash"] = hash
    if "__len__" in dir(made) and c.name not in {"WasmStruct", "WasmArray"}:
        looks["len"] = len

    def look(when):
        for label, use in looks.items():
            c.works(f"{label} {when}", use, made)
        if c.name in {"WasmStruct", "WasmArray"}:
            for use in (len, list, lambda v: v.type, lambda v: v[0]):
                c.allowed(when, use, made)

    def inside():
        look("inside of a call")
        thread = threading.Thread(target=look, args=("on another thread while a call runs",))
        thread.start()
        thread.join()

    if c.name in {"WasmStruct", "WasmArray"}:
        del looks["bool"]  # which asks for the length, and that the store
    look("alone")
    world.inside = inside
    c.works("call", world.exports.h, 5)
    world.inside = lambda: None
    for item in (
        made,
        world.instance,
        world.exports.n,
        world.module,
        world.linker,
        world.engine,
        world.store,
    ):
        if hasattr(item, "close"):
            item.close()
        look(f"after {type(item).__name__}.close()")
    if not isinstance(made, enum.Enum):  # these are numbers, for which all that is defined
        c.use("closed", made)


def no_asserts():
    """No check of the package is an ``assert``, which ``-O`` leaves out."""
    for path in pathlib.Path(w.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assert):
                yield f"{path.name}:{node.lineno}"


def in_a_child(name):
    """What is wrong with the class, or how the process ended that looked at it."""
    sys.stdout.flush()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        c = Checks(name)
        try:
            bare(c, None)
            if c.make is not None:
                for check in (again, copies, looked_at):
                    check(c, World())
        except BaseException:
            c.wrong.append(traceback.format_exc())
        os.write(write, json.dumps(c.wrong[:20]).encode()[:60_000])
        os._exit(0)
    os.close(write)
    said = b""
    while select.select([read], [], [], SECONDS)[0] and (part := os.read(read, 65536)):
        said += part
    os.close(read)
    _, status = os.waitpid(pid, 0)
    try:
        wrong = json.loads(said)
    except ValueError:
        wrong = []
    return [*wrong, f"the process ended with {status}"] if status else wrong


def main():
    missing = set(CLASSES) - set(SAMPLES) - ABSTRACT
    print(json.dumps({"name": "", "wrong": [*map(str, missing), *no_asserts()]}))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in sys.argv[1:] or CLASSES:
            print(json.dumps({"name": name, "wrong": in_a_child(name)}), flush=True)
        os.chdir("/")


if __name__ == "__main__":
    main()
