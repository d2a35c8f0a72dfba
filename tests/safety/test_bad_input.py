"""Junk where modules, names, types, values and settings are expected."""


def test_junk_modules(script):
    script(
        r"""
import random
engine = w.WasmEngine()
debug = w.WasmEngine(w.WasmConfig(debug_info=True))
JUNK = (w.CompileError, TypeError)
sources = {
    "empty": b"", "one byte": b"\0", "magic": b"\0asm", "version 2": b"\0asm\2\0\0\0",
    "component": b"\0asm\x0d\0\1\0", "ELF": b"\x7fELF" + b"\0" * 100, "not UTF-8": b"(module \xff\xfe)",
    "surrogate": "(module \udc80)", "NUL": "\0", "two": "(module)(module)", "open": "(module",
    "text component": "(component)", "10 MB of (": "(" * 10_000_000, "10 MB of )": ")" * 10_000_000,
    "quotes": '"' * 1_000_000, "comments": "(;" * 1_000_000, "components": "(component " * 100_000,
    "deep folded": "(module (func " + "(block " * 200_000 + ")" * 200_000,
    "deep types": "(module (type " + "(func (param (ref " * 50_000, "name": '(module (func (export "\\ff")))',
    "None": None, "int": 5, "list": [],
}
for label, source in sources.items():
    refused(label, JUNK, w.WasmModule, engine, source)
    refused(label, JUNK, w.WasmModule.validate, engine, source)
    allowed(label, w.wat2wasm, source)
w.WasmModule(engine, "(module (func " + "block " * 100_000 + "end " * 100_000 + "))")
w.WasmModule(engine, memoryview(b"(module)")), w.WasmModule(engine, bytearray(b"\0asm\1\0\0\0"))
refused("folder", OSError, w.WasmModule.from_file, engine, ".")
refused("no file", OSError, w.WasmModule.from_file, engine, "nowhere")
refused("NUL in a path", ValueError, w.WasmModule.from_file, engine, "a\0b")

wasm = w.wat2wasm('''(module (import "a" "b" (func (param i32))) (import "a" "t" (table 2 externref))
    (table (export "t") 3 (ref null func)) (table (export "i") i64 3 9 funcref) (memory (export "m") 1 2)
    (global (export "g") (mut i64) (i64.const 5)) (type $s (struct (field i32)))
    (func (export "f") (param i32 (ref null $s)) (result i32) local.get 0 i32.const 3 i32.add)
    (elem (table 1) (i32.const 0) func 1) (data (i32.const 3) "hello") (tag (export "e") (param i32)))''')
w.WasmModule(engine, wasm)
for length in range(len(wasm)):
    allowed("truncated", w.WasmModule, engine, wasm[:length])
dice = random.Random(5)
for _ in range(400):
    mutant = bytearray(wasm)
    for _ in range(dice.randint(1, 4)):
        mutant[dice.randrange(8, len(mutant))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    made = allowed("mutant", w.WasmModule, dice.choice((engine,) * 7 + (debug,)), mutant)
    str(getattr(made, "exports", None)), str(getattr(made, "imports", None))

def section(name, data):
    content = bytes([len(name)]) + name + data
    return bytes([0, len(content) & 0x7F | 0x80, len(content) >> 7]) + content

base = w.wat2wasm('(module (func (export "f") (param i32) (result i32) local.get 0) (func))')
names = b".debug_info .debug_abbrev .debug_line .debug_str .debug_ranges .debug_loc .debug_addr".split()
for _ in range(40):  # each is compiled in a process of its own first
    extra = b"".join(
        section(name, bytes([40, 0, 0, 0, dice.choice((2, 3, 4, 5)), 0]) + dice.randbytes(dice.randint(0, 60)))
        for name in names
    )
    allowed("debug information", w.WasmModule, debug, base + extra)
""",
        timeout=300,
    )


def test_types_that_describe_themselves_at_length(script):
    script(
        """
# every field refers to a type with as many fields: the text must be cut, or it has 100 million parts
engine = w.WasmEngine()
fields = "(field (ref null $a))" * 10_000
module = w.WasmModule(engine, f'''(module
    (rec (type $a (struct {fields}))) (import "" "x" (global (ref null $a)))
    (func (export "f") (param (ref null $a))) (func (export "g") (param (ref null $a)) (result (ref null $a)) unreachable))''')
check("text", len(str(module.exports[0])) < 200_000 and len(repr(module.exports)) < 400_000)
text = str(refused("import", w.LinkError, w.WasmInstance, w.WasmStore(engine), module))
check("link error", len(text) < 400_000)
import_free = w.WasmModule(engine, f'''(module (rec (type $a (struct {fields})))
    (func (export "f") (param (ref null $a))))''')
f = w.WasmInstance(w.WasmStore(engine), import_free).exports.f
for _ in range(20):
    f(None)
refused("argument", TypeError, f, 5)
""",
        timeout=30,
    )


def test_names(script):
    script(
        r"""
engine = w.WasmEngine()
store = w.WasmStore(engine, wasi=w.WasiConfig())
module = w.WasmModule(engine, r'''(module (import "a\00b" "\e2\82\ac\00" (func)) (import "" "" (func))
    (func (export "x\00y")) (func (export "")) (func (export "\ef\bf\bd")) (func (export "keys")))''')
instance = w.WasmInstance(store, module, {"a\0b": {"\u20ac\0": lambda: None}, "": {"": lambda: None}})
for name in instance.exports:
    instance.exports[name]()
for name in ("\0", "x", "x\0", "\udc80", "\U0010ffff" * 1000, 5, None, b"x\0y", ("a",), "__len__", "__class__"):
    refused(repr(name)[:40], KeyError, lambda: instance.exports[name])
    for get in (instance.get_export, instance.get_func, instance.get_memory, instance.get_global, instance.call):
        refused(repr(name)[:40], (KeyError, TypeError), get, name)
refused("unhashable", (KeyError, TypeError), instance.get_func, [])
linker = w.WasmLinker(engine)
for wasi in (False, True):
    for name in ("\0", "a\0b", "\udc80", "", "\u20ac" * 10_000):
        linker.allow_shadowing = True
        allowed("define", linker.define, name, name, lambda: None)
        allowed("get", linker.get, store, name, name)
        allowed("get", linker.get, store, "wasi_snapshot_preview1", name)
        allowed("get", linker.get, store, name, "fd_write")
        allowed("instantiate", linker.instantiate, store, module)
    for name in (5, None, b"x", [], object()):
        allowed("define", linker.define, name, "x", print)
        allowed("get", linker.get, store, name, "x")
    linker.define_wasi()
for imports in ({"a\0b": 5}, {"a\0b": {"\u20ac\0": 5}}, {"": None}, [], [1, 2], "xx", b"xx", 5, {5: 5}, [print], instance):
    refused(repr(imports)[:40], (w.LinkError, TypeError), w.WasmInstance, store, module, imports)
"""
    )


def test_wasi_settings(script):
    script(
        r"""
import pathlib
engine = w.WasmEngine()
P = pathlib.Path
class Bytes:
    def __fspath__(self):
        return b"."
bad = (
    {"argv": "x"}, {"argv": ["\0"]}, {"argv": ["\udc80"]}, {"argv": [b"x"]}, {"argv": [5]}, {"argv": 5},
    {"env": {"a=b": "c"}}, {"env": {"": "c"}}, {"env": {"a": "\0"}}, {"env": {"a": 5}}, {"env": 5}, {"env": "ab"},
    {"stdin": "x"}, {"stdin": 5}, {"stdin": P("nowhere")}, {"stdin": P("a\0b")}, {"stdin": Bytes()},
    {"stdout": "x"}, {"stdout": 5}, {"stdout": P("nowhere/x")}, {"stdout": P(".")},
    {"stderr": P("a\0b")}, {"stderr": Bytes()}, {"preopens": {"\0": "."}}, {"preopens": {"a": "\0"}},
    {"preopens": {"a": "nowhere"}}, {"preopens": {"a": 5}}, {"preopens": {"a": w.WritableDir(5)}},
    {"preopens": {"\udc80": "."}}, {"preopens": {"a": Bytes()}}, {"preopens": 5}, {"preopens": {"a": __file__}},
)
store = w.WasmStore(engine)
for settings in bad:
    kinds = (TypeError, ValueError, w.WasmtimeError)
    refused(repr(settings), kinds, lambda: w.WasmStore(engine, wasi=w.WasiConfig(**settings)))
    refused(repr(settings), kinds, lambda: store.set_wasi(w.WasiConfig(**settings)))
for good in ({"argv": ["x" * 10**6] * 3}, {"stdin": b""}, {"env": {"a": ""}}, {"argv": [""]}, {"stdin": b"\0" * 10**6},
             {"stdout": P("\udc80")}):  # a name that is not UTF-8
    w.WasmStore(engine, wasi=w.WasiConfig(**good))
for wrong in (5, "x", w.WasiConfig):
    refused("wasi", TypeError, w.WasmStore, engine, None, wrong)
"""
    )


def test_every_setting_of_an_engine(script):
    script(
        r"""
import itertools
SOURCE = '''(module (memory 1) (func (export "f") (param i32) (result i32) local.get 0)
    (func $r (export "r") (param i64) (result i64) local.get 0 i64.const 1 i64.add call $r)
    (func (export "oob") (drop (i32.load (i32.const 0x7fffffff)))))'''
flags = itertools.product((False, True), repeat=3)
for (debug, fuel, epoch), level in itertools.product(flags, w.OptimizationLevel):
    config = w.WasmConfig(
        debug_info=debug, consume_fuel=fuel, epoch_interruption=epoch, optimization_level=level, max_wasm_stack=99_999
    )
    engine = w.WasmEngine(config)
    store = w.WasmStore(engine)
    if fuel:
        store.set_fuel(2**64 - 1)
    exports = w.WasmInstance(store, w.WasmModule(engine, SOURCE)).exports
    check(repr(config), exports.f(5) == 5)
    refused(repr(config), w.WasmTrap, exports.r, 1)
    refused(repr(config), w.WasmTrap, exports.oob)
for stack in (1, 2, 4095, 65536, 1 << 20, 1 << 24, 1 << 30, 1 << 40):
    engine = w.WasmEngine(w.WasmConfig(max_wasm_stack=stack))
    try:
        exports = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, SOURCE)).exports
    except w.WasmTrap as trap:
        check("too large for a thread", stack >= 1 << 22 and trap.code == w.TrapCode.STACK_OVERFLOW)
    else:
        allowed("f", exports.f, 1)
        refused("r", w.WasmTrap, exports.r, 1)
for stack in (0, -1, 2**40 + 1, 2**63, 2**64, 2**100, None, 1.5, "x", True):
    refused(repr(stack), (w.WasmtimeError, TypeError, ValueError), lambda: w.WasmEngine(w.WasmConfig(max_wasm_stack=stack)))
for name in ("debug_info", "consume_fuel", "epoch_interruption", "optimization_level", "profiling_strategy"):
    for value in (None, -1, 99, 2**40, "x", 1.5, object()):
        refused(name, (TypeError, ValueError), lambda: w.WasmConfig(**{name: value}))
for value in (5, "x", w.WasmConfig, {}):
    refused("config", TypeError, w.WasmEngine, value)
"""
    )


def test_profilers_whose_files_cannot_be_written(script):
    # A profiler may report to stderr what it misses.
    script(
        r"""
import tempfile
def made(strategy):
    engine = w.WasmEngine(w.WasmConfig(profiling_strategy=strategy))
    w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, '(module (func (export "f")))')).exports.f()

for strategy in w.ProfilingStrategy:
    allowed(strategy.name, made, strategy)
perf = f"/tmp/perf-{os.getpid()}.map"
if os.path.exists(perf):
    os.remove(perf)
os.mkdir(perf)
try:
    refused("perf map is a folder", w.WasmtimeError, made, w.ProfilingStrategy.PERFMAP)
finally:
    os.rmdir(perf)
with tempfile.TemporaryDirectory() as gone:
    os.chdir(gone)
for strategy in w.ProfilingStrategy:
    allowed(f"{strategy.name} in a deleted folder", made, strategy)
""",
        stderr=None,
    )


def test_signatures_of_any_size_and_values_of_any_kind(script):
    script(
        r"""
import math
engine = w.WasmEngine()
store = w.WasmStore(engine)
for count in (0, 1, 1000, 1001, 20_000):
    check("params", w.WasmFunc(store, lambda *a: len(a), w.WasmFuncType(["i64"] * count, ["i32"]))(*[1] * count) == count)
    many = w.WasmFunc(store, lambda: (3,) * count if count > 1 else [None, 3][count], w.WasmFuncType([], ["i64"] * count))()
    check("results", many == {0: None, 1: 3}.get(count, (3,) * count))
types = [getattr(w.WasmValType, name) for name in dir(w.WasmValType) if name.isupper() and name.isalnum()]
types += [w.WasmValType.ref(heap, nullable=False) for heap in ("func", "extern", "any", "exn", "none")]
class Liar:
    def __index__(self): return "x"
    __float__ = __len__ = __index__
class Raiser:
    def __index__(self): raise w.WasmtimeError
    __float__ = __index__ = __repr__ = __index__
values = [
    None, 0, -1, 2**31, 2**32, 2**64, -(2**63) - 1, 10**5000, 1.5, math.nan, math.inf, 1e300, True, 1j, "x", "\udc80",
    b"x", b"x" * 16, bytearray(16), memoryview(b"x" * 32)[::2], (), (1,), [1, 2], {}, object(), type, Liar(), Raiser(),
    w.WasmValue(5), w.WasmValue(1.5), w.WasmValue.v128(b"x" * 16), w.WasmValue.externref("x"), w.WasmValue.funcref(None),
    w.WasmFunc(store, lambda: None, w.WasmFuncType()), store, engine,
]
KINDS = (TypeError, ValueError, OverflowError, w.WasmtimeError)
for valtype in types:
    argument = w.WasmFunc(store, lambda *a: None, w.WasmFuncType([valtype, "i32"]))
    with_ref = w.WasmFunc(store, lambda *a: None, w.WasmFuncType([valtype, "externref"]))
    for value in values:
        allowed(f"{valtype}", argument, value, 1)
        allowed(f"{valtype}", with_ref, value, value)
        allowed(f"{valtype}", w.WasmFunc(store, lambda: value, w.WasmFuncType([], [valtype])))
        allowed(f"{valtype}", w.WasmFunc(store, lambda: (value, value), w.WasmFuncType([], [valtype] * 2)))
        made = allowed(f"{valtype}", w.WasmGlobal, store, w.WasmGlobalType(valtype, True), value)
        if isinstance(made, w.WasmGlobal):
            made.value, made.get_value(), repr(made)
        allowed("set", w.WasmGlobal(store, w.WasmGlobalType("i32", True), 1).__class__.value.fset, made, value)
        if valtype.is_ref:
            made = allowed(f"{valtype}", w.WasmTable, store, w.WasmTableType(valtype, 2), value)
            if isinstance(made, w.WasmTable):
                list(made), allowed("grow", made.grow, 1, value), allowed("[]", made.__setitem__, 0, value)
        allowed("to_wasm", w.to_wasm, value, valtype)
    for count in (0, 1, 3, 1000):
        if count != 2:
            refused("count", TypeError, argument, *[None] * count)
fuel = w.WasmStore(w.WasmEngine(w.WasmConfig(consume_fuel=True, epoch_interruption=True)))
for value in (-1, 2**64, 2**100, None, "x", 1.5, -(2**70)):
    for use in (fuel.set_fuel, fuel.set_epoch_deadline):
        refused(repr(value), (ValueError, TypeError), use, value)
    allowed("add_fuel", fuel.add_fuel, value)
for value in (0, 1, 2**63 - 1, 2**63, 2**64 - 1):
    allowed("fuel", fuel.set_fuel, value), allowed("fuel", fuel.add_fuel, value), allowed("epoch", fuel.set_epoch_deadline, value)
for name in ("memory_size", "table_elements", "instances", "tables", "memories"):
    for value in (-1, 2**63, 2**64, 1.5, "x", True, object()):
        refused(name, (ValueError, TypeError), lambda: w.StoreLimits(**{name: value}))
    for value in (0, 1, 2**63 - 1):
        small = w.WasmStore(engine, limits=w.StoreLimits(**{name: value}))
        allowed("memory", w.WasmMemory, small, w.WasmMemoryType(1))
        allowed("table", w.WasmTable, small, w.WasmTableType("externref", 1), object())
        allowed("instance", lambda: w.WasmInstance(small, w.WasmModule(engine, "(module (memory 1) (table 1 funcref))")))
"""
    )


def test_columns_of_any_kind(script):
    script(
        r"""
import array, random
import numpy as np
engine = w.WasmEngine()
store = w.WasmStore(engine)
exports = w.WasmInstance(store, w.WasmModule(engine, '''(module
    (func (export "a") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "v") (param v128) (result v128) local.get 0)
    (func (export "d") (param f64 i64) (result i64 f64) local.get 1 local.get 0)
    (func (export "z") (param i32)) (func (export "e") (param externref)) (func (export "n"))
    (func (export "t") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))) (memory (export "m") 1))''')).exports
class Liar:
    def __len__(self): return 10
    def __buffer__(self, flags): return memoryview(b"x")
pool = [
    *(array.array(letter, range(10)) for letter in "bBhHiIlLqQfd"), array.array("i", [1]), array.array("i"), b"x" * 16,
    b"x" * 160, bytearray(160), 5, -1, 2**70, 1.5, "x", None, object(), [1, 2, 3], (1, 2), exports.m, Liar(), w.WasmValue(5),
    np.arange(10, dtype="i4"), np.arange(20, dtype="i4")[::2], np.arange(10, dtype="i4")[::-1], np.zeros((2, 5), "i4"),
    np.zeros((), "i4"), np.zeros(10, ">i4"), np.zeros(10, "i8"), np.zeros(10), np.broadcast_to(np.int32(3), 10),
    np.zeros(10, "S4"), np.zeros(10, "i4,i4"), np.array([None] * 10), np.frombuffer(b"x" * 40, "i4"), np.zeros((0,), "i4"),
    memoryview(bytearray(40)).cast("i"), memoryview(bytearray(40)).cast("i")[::-1], memoryview(b"x" * 40).cast("i"),
    exports.m.view().cast("i"), exports.m.view()[0:40].cast("i"), memoryview(bytearray(40)).cast("B", (10, 4)),
]
dice = random.Random(1)
for _ in range(6000):
    function = exports[dice.choice("avdzten")]
    count = dice.choice([len(function.type.params)] * 5 + [0, 1, 2, 3])
    out = dice.choice([None, dice.choice(pool), (dice.choice(pool), dice.choice(pool)), ()])
    allowed(str(function), lambda: function.map(*[dice.choice(pool) for _ in range(count)], out=out))
host = w.WasmModule(engine, '''(module (import "" "h" (func $h (param i32) (result i32)))
    (func (export "f") (param i32) (result i32) (call $h (local.get 0))))''')
rows = array.array("i", range(300))
def meddling(value):
    refused("the column is in use", BufferError, rows.append, 5)
    refused("close", w.StoreBusyError, store.close)
    return value if value % 100 else sum(mapped.map(rows[1:20]))
mapped = w.WasmInstance(store, host, {"": {"h": meddling}}).exports.f
check("rows", len(mapped.map(rows)) == 300)
def leaving(value):
    store.__exit__(None, None, None)
    return value
allowed("left", w.WasmInstance(store, host, {"": {"h": leaving}}).exports.f.map, rows)
refused("closed", w.StoreClosedError, mapped.map, rows)
"""
    )


def test_wasi_calls_with_any_arguments(script):
    # Two seconds of what a hostile program could ask for; sleeping is left out.
    script(
        r"""
import random, struct, tempfile
names = '''args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get fd_advise fd_allocate
    fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size
    fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name fd_pwrite fd_read fd_readdir fd_renumber fd_seek
    fd_sync fd_tell fd_write path_create_directory path_filestat_get path_filestat_set_times path_link path_open
    path_readlink path_remove_directory path_rename path_symlink path_unlink_file sched_yield random_get sock_accept
    sock_recv sock_send sock_shutdown'''.split()
engine = w.WasmEngine()
linker = w.WasmLinker(engine)
linker.define_wasi()
probe = w.WasmStore(engine, wasi=w.WasiConfig())
types = {name: linker.get(probe, "wasi_snapshot_preview1", name).type for name in names}
imports = "".join(f'(import "wasi_snapshot_preview1" "{name}" (func ${name} {str(of)[5:-1]}))' for name, of in types.items())
calls = "".join(
    f'(func (export "{name}") {str(of)[5:-1]} {" ".join(f"local.get {i}" for i in range(len(of.params)))} call ${name})'
    for name, of in types.items()
)
module = w.WasmModule(engine, f'(module {imports} (memory (export "memory") 1) {calls})')
dice = random.Random(11)
numbers = [*range(9), 16, 100, 108, 116, 124, 200, 1000, 65535, 65536, 2**31 - 1, -1, -(2**31)]
with tempfile.TemporaryDirectory() as folder:
    with open(folder + "/f", "wb") as file:
        file.write(b"hello" * 100)
    for _ in range(10):
        store = w.WasmStore(engine, wasi=w.WasiConfig(
            argv=["a", "b"], env={"x": "y"}, stdin=b"abc", stdout=lambda data: None, preopens={"/": w.rw(folder), "/ro": folder}
        ))
        instance = linker.instantiate(store, module)
        instance.exports.memory.write(0, b"f\0g\0../x\0a/b\0")
        instance.exports.memory.write(100, struct.pack("<8I", 200, 50, 300, 20, 400, 70_000, 2**32 - 1, 5))
        for _ in range(300):
            name = dice.choice(names)
            arguments = [
                dice.choice(numbers) if dice.random() < 0.85
                else dice.choice([2**63 - 1, -(2**63)] if valtype.kind == "i64" else [dice.randrange(2**32)])
                for valtype in types[name].params
            ]
            if name.startswith("path_") and dice.random() < 0.7:
                arguments[0] = dice.choice([3, 4])
            allowed(f"{name} {arguments}", instance.exports[name], *arguments)
"""
    )
