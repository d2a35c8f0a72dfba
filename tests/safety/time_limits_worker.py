"""Each way to run WebAssembly, with a program that spins: a time limit of its store must end it.

``time_limits_worker.py`` prints a line of JSON for each way, by its label: the name of the exception that came out, and
how many seconds it took. ``RUNS`` has the public members that can run WebAssembly, ``QUIET`` those that cannot.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import wasmtime_rt as w

LIMIT = 0.1
#: What a guest is reached by: every public member of these has a line in `RUNS` or in `QUIET`.
CLASSES = (
    w.ByteCaller, w.Sandbox, w.SandboxInstance, w.SandboxLease, w.SandboxPool, w.StoreDeadline, w.TypedFunc,
    w.WasmArray, w.WasmCaller, w.WasmExports, w.WasmFunc, w.WasmGlobal, w.WasmInstance, w.WasmInstancePre,
    w.WasmLinker, w.WasmStore, w.WasmStruct, w.WasmTable,
)  # fmt: skip
FUNCTIONS = ("call_bytes", "instantiate", "run_wasi")
_SPECIAL = (
    "__call__",
    "__contains__",
    "__enter__",
    "__exit__",
    "__getattr__",
    "__getitem__",
    "__init__",
    "__iter__",
)

LIBRARY = b"""(module
    (type $f (func)) (type $s (struct (field (ref null $f)))) (type $a (array (ref null $f)))
    (import "env" "host" (func $host)) (import "env" "number" (func $number (param i32) (result i32)))
    (memory (export "memory") 1)
    (elem declare func $spin)
    (table (export "table") 1 1 funcref) (elem (i32.const 0) $spin)
    (global (export "global") funcref (ref.func $spin))
    (tag $e (export "e") (param funcref))
    (func $spin (export "spin") (loop (br 0)))
    (func (export "spin_result") (param i64) (result i64) (call $spin) (local.get 0))
    (func (export "spin_reference") (param externref) (result externref) (call $spin) (local.get 0))
    (func (export "bytes") (param i32 i32) (result i64) (call $spin) (i64.const 0))
    (func (export "alloc") (param i32) (result i32) (call $spin) (i32.const 1))
    (func (export "quick") (param i32) (result i32) (i32.const 1))
    (func (export "free") (param i32) (call $spin))
    (func (export "struct") (result (ref $s)) (struct.new $s (ref.func $spin)))
    (func (export "array") (result (ref $a)) (array.new $a (ref.func $spin) (i32.const 1)))
    (func (export "throw") (throw $e (ref.func $spin)))
    (func (export "host") (call $host)))"""
START = b"(module (func $spin (loop (br 0))) (start $spin))"
COMMAND = b'(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))'
REACTOR = b'(module (func (export "_initialize") (loop (br 0))))'
OTHER = b'(module (func (export "f") (loop (br 0))))'
PLAIN = b'(module (func (export "f")) (func (export "") (loop (br 0))))'
IMPORTS_F = b'(module (import "m" "f" (func $f)) (func (export "g") (call $f)))'


class World:
    """A sandbox of the library, and an engine for stores with a limit of their own."""

    def __init__(self) -> None:
        self.inside = lambda: None
        self.sandbox = w.Sandbox(
            LIBRARY,
            imports={"env": {"host": lambda: self.inside(), "number": abs}},
            timeout=LIMIT,
            cache=False,
        )
        self.program = self.sandbox.start()
        self.exports, self.instance = self.program.exports, self.program.instance
        self.engine = self.program.store.engine
        self.store = w.WasmStore(self.engine, limits=w.StoreLimits(timeout=LIMIT))
        self.start, self.plain = w.WasmModule(self.engine, START), w.WasmModule(self.engine, PLAIN)
        self.linker = w.WasmLinker(self.engine)
        self.other = w.WasmInstance(self.store, w.WasmModule(self.engine, OTHER))

    def start_of(self, program: bytes) -> w.Sandbox:
        return w.Sandbox(program, timeout=LIMIT, cache=False)

    def caller(self, use) -> None:
        """Call a host function that uses its caller."""
        module = w.WasmModule(self.engine, LIBRARY)
        imports = {"env": {"host": w.with_caller(use), "number": abs}}
        w.WasmInstance(self.store, module, imports).exports.host()

    def commands(self, define) -> None:
        """Instantiate what calls a command that a linker has."""
        define(self.linker)
        module = w.WasmModule(self.engine, IMPORTS_F)
        self.linker.instantiate(self.store, module).exports.g()

    def thrown(self):
        try:
            self.exports.throw()
        except w.WasmException as thrown:
            return thrown


def lease(world):
    return world.sandbox.pool().take()


RUNS = {
    "ByteCaller.call": lambda o: w.ByteCaller(o.instance, alloc="quick").call("bytes", b"x"),
    "ByteCaller.put": lambda o: w.ByteCaller(o.instance).put(b"x"),
    "ByteCaller.free": lambda o: w.ByteCaller(o.instance).free(w.WasmSpan(1, 1)),
    "Sandbox.run": lambda o: o.start_of(COMMAND).run(),
    "Sandbox.start": lambda o: o.start_of(REACTOR).start(),
    "Sandbox.start (start function)": lambda o: o.start_of(START).start(),
    "Sandbox.pool": lambda o: o.start_of(REACTOR).pool().take(),
    "SandboxPool.take": lambda o: o.start_of(START).pool().take(),
    "SandboxInstance.call": lambda o: o.program.call("spin"),
    "SandboxInstance.exports": lambda o: o.program.exports.spin(),
    "SandboxInstance.instance": lambda o: o.program.instance.exports.spin(),
    "SandboxInstance.store": lambda o: w.WasmInstance(o.program.store, o.start),
    "SandboxLease.call": lambda o: lease(o).call("spin"),
    "SandboxLease.exports": lambda o: lease(o).exports.spin(),
    "SandboxLease.instance": lambda o: lease(o).instance.exports.spin(),
    "SandboxLease.store": lambda o: w.WasmInstance(lease(o).store, o.start),
    "StoreDeadline.__enter__": lambda o: o.store.deadline(LIMIT).__enter__() and w.WasmInstance(o.store, o.start),
    "TypedFunc.__call__": lambda o: o.exports.spin.typed()(),
    "TypedFunc.__call__ (keep_gil)": lambda o: w.WasmInstance(o.store, o.plain).exports[""].typed(keep_gil=True)(),
    "TypedFunc.call": lambda o: o.exports.spin.typed().call(),
    "WasmArray.__getitem__": lambda o: o.exports.array()[0](),
    "WasmArray.__iter__": lambda o: next(iter(o.exports.array()))(),
    "WasmCaller.get_export": lambda o: o.caller(lambda caller: caller.get_export("spin")()),
    "WasmCaller.get_func": lambda o: o.caller(lambda caller: caller.get_func("spin")()),
    "WasmCaller.get_global": lambda o: o.caller(lambda caller: caller.get_global("global").value()),
    "WasmCaller.get_table": lambda o: o.caller(lambda caller: caller.get_table("table")[0]()),
    "WasmCaller.store": lambda o: o.caller(lambda caller: w.WasmInstance(caller.store, o.start)),
    "WasmException.payload": lambda o: o.thrown().payload[0](),
    "WasmExports.__getattr__": lambda o: o.exports.spin(),
    "WasmExports.__getitem__": lambda o: o.exports["spin"](),
    "WasmExports.get": lambda o: o.exports.get("spin")(),
    "WasmExports.__iter__": lambda o: o.exports[next(name for name in o.exports if name == "spin")](),
    "WasmExports.items": lambda o: dict(o.exports.items())["spin"](),
    "WasmExports.values": lambda o: dict(zip(o.exports, o.exports.values(), strict=True))["spin"](),
    "WasmFunc.__call__": lambda o: o.exports.spin(),
    "WasmFunc.__call__ (results)": lambda o: o.exports.spin_result(5),
    "WasmFunc.__call__ (references)": lambda o: o.exports.spin_reference("x"),
    "WasmFunc.__call__ (as a host function)": lambda o: w.WasmFunc(o.program.store, o.exports.spin, w.WasmFuncType())(),
    "WasmFunc.call": lambda o: o.exports.spin.call(),
    "WasmFunc.call_values": lambda o: o.exports.spin_result.call_values(5),
    "WasmFunc.map": lambda o: o.exports.spin_result.map(memoryview(bytes(80)).cast("q")),
    "WasmFunc.typed": lambda o: o.exports.spin_result.typed(["i64"], ["i64"])(5),
    "WasmGlobal.value": lambda o: o.exports["global"].value(),
    "WasmGlobal.get_value": lambda o: o.exports["global"].get_value().value(),
    "WasmInstance.__init__": lambda o: w.WasmInstance(o.store, o.start),
    "WasmInstance.call": lambda o: o.instance.call("spin"),
    "WasmInstance.exports": lambda o: o.instance.exports.spin(),
    "WasmInstance.get_export": lambda o: o.instance.get_export("spin")(),
    "WasmInstance.get_func": lambda o: o.instance.get_func("spin")(),
    "WasmInstance.get_global": lambda o: o.instance.get_global("global").value(),
    "WasmInstance.get_table": lambda o: o.instance.get_table("table")[0](),
    "WasmInstancePre.instantiate": lambda o: o.linker.prepare(o.start).instantiate(o.store),
    "WasmLinker.define_instance": lambda o: o.commands(lambda linker: linker.define_instance("m", o.other)),
    "WasmLinker.define_module": lambda o: o.linker.define_module(o.store, "m", o.start),
    "WasmLinker.get_default": lambda o: (
        o.linker.define_module(o.store, "m", o.plain), o.linker.get_default(o.store, "m")()
    ),
    "WasmLinker.instantiate": lambda o: o.linker.instantiate(o.store, o.start),
    "WasmLinker.prepare": lambda o: o.linker.prepare(o.start).instantiate(o.store),
    "WasmStruct.__getitem__": lambda o: o.exports.struct()[0](),
    "WasmStruct.__iter__": lambda o: next(iter(o.exports.struct()))(),
    "WasmTable.__getitem__": lambda o: o.exports.table[0](),
    "WasmTable.__iter__": lambda o: next(iter(o.exports.table))(),
    "call_bytes": lambda o: w.call_bytes(o.instance, "bytes", b"x", alloc="quick"),
    "instantiate": lambda o: w.instantiate(o.store, o.start),
    "run_wasi": lambda o: w.run_wasi(COMMAND, timeout=LIMIT, cache=False),
}  # fmt: skip

#: Members that run no WebAssembly, and hand out nothing that does.
QUIET = {
    "ByteCaller": "__init__ get memory",
    "Sandbox": "__enter__ __exit__ __init__ close is_valid module",
    "SandboxInstance": "__enter__ __exit__ __init__ close is_valid result trapped",
    "SandboxLease": "__enter__ __exit__ __init__ close is_valid result trapped",
    "SandboxPool": "__enter__ __exit__ __init__ close idle is_valid sandbox",
    "StoreDeadline": "__exit__ __init__ elapsed seconds",
    "TypedFunc": "__init__ func",
    "WasmArray": "__init__ count element filled heaps hierarchy index matches new_type store type",
    "WasmCaller": "data get_memory is_valid",
    "WasmExports": "__init__ keys",
    "WasmFunc": "__enter__ __exit__ __init__ close is_valid name store type",
    "WasmGlobal": "__enter__ __exit__ __init__ close is_valid store type",
    "WasmInstance": "__enter__ __exit__ close get_memory is_valid module store trapped",
    "WasmInstancePre": "__enter__ __exit__ __init__ close engine is_valid module store",
    "WasmLinker": "__enter__ __exit__ __init__ alias alias_module allow_shadowing close define"
    " define_unknown_imports_as_default_values define_unknown_imports_as_traps define_wasi engine get is_valid",
    "WasmStore": "__enter__ __exit__ __init__ add_fuel close deadline engine fuel fuel_consumed gc interrupt"
    " is_valid profile set_epoch_deadline set_fuel set_wasi truncated_output",
    "WasmStruct": "__init__ fields heaps hierarchy matches new_type store type",
    "WasmTable": "__contains__ __enter__ __exit__ __init__ close count grow index is_valid size store type",
}


def members(kind: type) -> set[str]:
    """Return what a user can reach of a class."""
    return {
        name for name in dir(kind) if not name.startswith("_") or (name in _SPECIAL and _is_ours(kind, name))
    }


def _is_ours(kind: type, name: str) -> bool:
    return any(name in vars(base) for base in kind.__mro__ if base.__module__.startswith("wasmtime_rt"))


def main() -> None:
    """Try each way."""
    resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
    for label, run in RUNS.items():
        world = World()
        began, came = time.monotonic(), "nothing"
        try:
            run(world)
        except BaseException as raised:  # it is told by its name
            came = type(raised).__name__ if isinstance(raised, w.WasmtimeError) else repr(raised)
        print(json.dumps({"label": label, "came": came, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
