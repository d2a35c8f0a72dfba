"""No memory at any one point: the first allocation of Python's that an operation makes fails, then the second, ...

Each run ends with a result or with an exception that is documented, and the operation works afterwards.
"""

import sys

import pytest

_testcapi = pytest.importorskip("_testcapi", reason="this Python comes without its test helpers")
if not hasattr(_testcapi, "set_nomemory"):
    pytest.skip("this Python cannot make allocations fail", allow_module_level=True)

_SETUP = """
import array, _testcapi
TEXT = '''(module
    (import "" "h" (func $h (param i64) (result i64))) (import "" "o" (func $o (param externref) (result externref)))
    (import "" "n" (func $n))
    (memory (export "m") 1 3) (table (export "t") 3 externref) (global (export "g") (mut i64) (i64.const 5)) (tag (export "e") (param i64))
    (func (export "ints") (param i32 i64) (result i64) local.get 1)
    (func (export "floats") (param f32 f64) (result f64) local.get 1)
    (func (export "vector") (param v128) (result v128) local.get 0)
    (func (export "several") (param i64) (result i64 f64 i64) local.get 0 f64.const 2 local.get 0)
    (func (export "object") (param externref) (result externref) local.get 0)
    (func (export "func") (param funcref) (result funcref) local.get 0)
    (func (export "host") (param i64) (result i64) local.get 0 call $h)
    (func (export "hosto") (param externref) (result externref) local.get 0 call $o)
    (func (export "hostn") call $n)
    (func (export "trap") unreachable)
    (func (export "i31") (result anyref) (ref.i31 (i32.const 5)))
    (func (export "throw") (throw 0 (i64.const 5))))'''
class Raised(Exception):
    pass
def raising():
    raise Raised
engine = w.WasmEngine(w.WasmConfig(parallel_compilation=False))
store, module = w.WasmStore(engine), w.WasmModule(engine, TEXT)
IMPORTS = {"": {"h": lambda x: x + 2**40, "o": lambda x: x, "n": raising}}
instance = w.WasmInstance(store, module, IMPORTS)
e = instance.exports
linker = w.WasmLinker(engine)
linker.define("", "h", lambda x: x), linker.define("", "o", lambda x: x), linker.define("", "n", raising)
prepared = linker.prepare(module)
typed = e.ints.typed(["i32", "i64"], ["i64"])
kept = e.ints.typed(["i32", "i64"], ["i64"], keep_gil=True)
host = w.WasmFunc(store, lambda x: x, w.WasmFuncType(["i64"], ["i64"]))
MANY = w.WasmFuncType(["i64"] * 60, ["i64"] * 60)
many = w.WasmFunc(store, lambda *args: args, MANY)
MIXED = w.WasmFuncType(["externref", "i64"] * 20, ["externref", "i64"] * 20)
mixed = w.WasmFunc(store, lambda *args: args, MIXED)
column, marker = array.array("q", range(100)), object()
out = array.array("q", [0] * 100)
POINT = w.WasmStruct.new_type(engine, [w.WasmFieldType("f64", mutable=True)] * 2)
"""

_RUN = """
MEANT = (w.WasmTrap, w.WasmException, Raised, TypeError, IndexError, AttributeError)

def lost(raised):
    # Python itself loses an exception where it has no memory for a frame of its traceback, and then complains.
    said = "<function ", "<class ", "error return without exception", "_PyEval_EvalFrameDefault returned NULL"
    return isinstance(raised, SystemError) and str(raised).startswith(said)

POINTS = 400

def call(function, *args):
    return function(*args)

def once(use):
    try:
        use()
    except MEANT:
        pass

def at(point, width, use):
    _testcapi.set_nomemory(point, point + width)
    try:
        use()
    finally:
        _testcapi.remove_mem_hooks()

total, failures = 0, 0
for label in LEFT_OUT:
    OPERATIONS.pop(label, None)
for label, use in OPERATIONS.items():
    for _ in range(3):
        once(use)  # whatever is made only once is made
    for width, point in ((width, point) for width in (1, 4) for point in range(POINTS)):
        raised = None
        try:
            at(point, width, use)
        except BaseException as problem:
            raised = problem
        _testcapi.remove_mem_hooks()
        total += 1
        if raised is not None:
            failures += isinstance(raised, MemoryError)
            kind = type(raised)
            check(f"{label}, allocation {point}, {width} of them: {kind.__name__} {str(raised)[:200]}", issubclass(kind, (MemoryError, w.WasmtimeError, *MEANT)) or lost(raised))
        del raised
        if point % 50 == 0:
            refused_or_done = allowed(f"{label} after allocation {point}", once, use)
            check("the store is free", store._core.depth == 0)
    check(f"{label}: works", e.ints(1, 2**40) == 2**40 and e.m.read(0, 1) == b"\\0" and e.object(marker) is marker)
check("it did fail", failures > 2 * len(OPERATIONS))
"""


#: What makes functions, generators or comprehensions, ours or Python's. Without memory for those Python itself dies from
#: 3.12 on, in a program of nothing else, too.
_MAKERS = (
    *(
        "func",
        "call_values",
        "trap",
        "throw",
        "raising",
        "new",
        "map",
        "map through",
        "map out",
        "map several",
    ),
    *(
        "map wrong",
        "instance",
        "linker",
        "prepare",
        "exception",
        "module",
        "store",
        "struct",
        "memory",
        "wasi",
    ),
)


_LEFT_OUT = _MAKERS if sys.version_info >= (3, 12) else ()


def run(script, operations):
    # Python says of generators that it had no memory to close them.
    script(
        f"{_SETUP}\nOPERATIONS, LEFT_OUT = {{{operations}}}, {_LEFT_OUT}\n{_RUN}", timeout=120, stderr=None
    )


def test_calls(script):
    run(
        script,
        """
    "ints": lambda: e.ints(1, 2**40), "floats": lambda: e.floats(1.5, 2.5), "vector": lambda: e.vector(bytes(16)),
    "several": lambda: e.several(2**40), "object": lambda: e.object([1]), "func": lambda: e.func(e.ints), "typed": lambda: typed(1, 2**40),
    "keep_gil": lambda: kept(1, 2**40), "call_values": lambda: e.several.call_values(2**40), "i31": lambda: e.i31(),
    "trap": lambda: e.trap(), "throw": lambda: e.throw(), "by name": lambda: instance.call("ints", 1, 2**40),
    "wrong": lambda: call(e.ints, "x", None), "wrong count": lambda: call(e.ints),
""",
    )


def test_host_functions(script):
    run(
        script,
        """
    "many": lambda: many(*[2**40] * 60), "mixed": lambda: mixed(*[marker, 5] * 20), "many values": lambda: mixed.call_values(*[marker, 5] * 20),
    "host": lambda: e.host(2**40), "object": lambda: e.hosto([1]), "raising": lambda: e.hostn(), "direct": lambda: host(2**40),
    "new": lambda: w.WasmFunc(store, lambda x: x, w.WasmFuncType(["i64"], ["i64"]))(2**40),
    "map": lambda: host.map(column), "map through": lambda: e.host.map(column, out=out),
""",
    )


def test_map_and_memory(script):
    run(
        script,
        """
    "map": lambda: e.ints.map(5, column), "map out": lambda: e.ints.map(5, column, out=out),
    "map several": lambda: e.several.map(column), "map wrong": lambda: call(e.ints.map, "x", column),
    "read": lambda: e.m.read(0, 1000), "write": lambda: e.m.write(8, b"x" * 1000), "slice": lambda: e.m[8:1000], "assign": lambda: e.m.__setitem__(slice(8, 10), b"ab"),
    "view": lambda: e.m.view()[5], "u32": lambda: e.m.u32[5], "number": lambda: (e.m.write_u64(8, 2**63), e.m.read_u64(8)), "text": lambda: (e.m.write_cstring(8, "text"), e.m.read_cstring(8)),
    "beyond": lambda: call(e.m.read, 2**40, 5), "size": lambda: (e.m.size, len(e.m)),
""",
    )


def test_instances_and_all_else(script):
    run(
        script,
        """
    "instance": lambda: w.WasmInstance(w.WasmStore(engine), module, IMPORTS).exports.ints(1, 2**40),
    "linker": lambda: linker.instantiate(w.WasmStore(engine), module).exports.host(2**40),
    "prepared": lambda: prepared.instantiate(w.WasmStore(engine)).exports.several(2**40), "prepare": lambda: linker.prepare(module),
    "table": lambda: (e.t.__setitem__(0, [1]), e.t[0], list(e.t)), "global": lambda: (setattr(e.g, "value", 2**50), e.g.value),
    "store": lambda: w.WasmStore(engine, limits=w.StoreLimits(memories=5)).close(), "struct": lambda: w.WasmStruct(store, POINT, [1, 2])[0],
    "exception": lambda: w.WasmFunc(store, lambda: (_ for _ in ()).throw(w.WasmException(e.e, 5)), w.WasmFuncType())(),
    "module": lambda: w.WasmModule(engine, "(module)"), "gc": store.gc, "memory": lambda: w.WasmMemory(w.WasmStore(engine), w.WasmMemoryType(1)).read(0, 1),
    "wasi": lambda: w.WasmStore(engine, wasi=w.WasiConfig(argv=["x"], stdin=b"x")).close(),
""",
    )
