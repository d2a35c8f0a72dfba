"""Classes derived from ours and from Python's own that say something else each time: C is told what was checked."""

import pytest


@pytest.fixture(autouse=True)
def what_is_freed_is_overwritten(monkeypatch):
    monkeypatch.setenv("MALLOC_PERTURB_", "165")


_LIARS = """
class Bytes(bytes):
    def __bytes__(self): return self
    def __len__(self): return 1 << 28
class Text(str):
    said = b"f"
    def __str__(self): return self
    def encode(self, *args, **kwargs): return self.said
    __hash__ = str.__hash__
class Five(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
engine = w.WasmEngine()
store = w.WasmStore(engine)
"""


def test_bytes_that_lie_about_their_length(script):
    script(
        _LIARS
        + """
check("module", not w.WasmModule(engine, Bytes(b"\\0asm\\1\\0\\0\\0")).exports)
check("wat", w.wat2wasm(Bytes(b"(module)")) == b"\\0asm\\1\\0\\0\\0")
w.WasmModule.validate(engine, Bytes(b"\\0asm\\1\\0\\0\\0"))
serialized = w.WasmModule(engine, '(module (func (export "f")))').serialize()
check("deserialize", len(w.WasmModule.deserialize(engine, Bytes(serialized)).exports) == 1)
w.WasmStore(engine, wasi=w.WasiConfig(stdin=Bytes(b"input")))
class Sixteen(bytes):
    def __bytes__(self): return self
    def __len__(self): return 16
refused("v128", ValueError, w.WasmGlobal, store, w.WasmGlobalType("v128"), Sixteen(b"x"))
refused("v128", ValueError, w.WasmFunc(store, lambda v: v, w.WasmFuncType(["v128"], ["v128"])), Sixteen(b"x"))
"""
    )


def test_text_that_encodes_itself_as_it_likes(script):
    script(
        _LIARS
        + """
Text.said = Bytes(b"f")
module = w.WasmModule(engine, '''(module (import "" "h" (func $h)) (memory (export "memory") 1)
    (func (export "f") (call $h)))''')
seen = []
host = w.with_caller(lambda caller: seen.append(caller.get_memory(Text("memory"))))
exports = w.WasmInstance(store, module, {"": {"h": host}}).exports
exports[Text("f")]()
check("both were found by their characters", seen == [exports.memory])
check("wat", w.wat2wasm(Text("(module)")) == b"\\0asm\\1\\0\\0\\0")
Text.said = b"\\xff\\xfe"
ticking = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
with w.WasmStore(ticking).profile("/dev/null", modules={Text("m"): w.WasmModule(ticking, "(module)")}):
    pass
w.WasmStore(engine, wasi=w.WasiConfig(argv=[Text("a")], env={Text("b"): Text("c")}, preopens={Text("/d"): "."}))
for setting in (dict(target=Text("x86_64")), dict(cranelift_flags={Text("enable_simd"): Text("true")})):
    allowed(f"{setting}", lambda: w.WasmEngine(w.WasmConfig(**setting)))
"""
    )


def test_arguments_that_are_inherited_change_meanwhile(script):
    script(
        _LIARS
        + """
class Growing(str):
    def encode(self, *args, **kwargs):
        sys.argv.extend(["more"] * 100_000)
        return b"value"
sys.argv = [Growing("0"), "1"]
w.WasmStore(engine, wasi=w.WasiConfig(argv="inherit", env={"A": Growing("x")}))
stop = []
def change():
    while not stop:
        sys.argv.extend(["more"] * 50)
        del sys.argv[2:]
sys.setswitchinterval(1e-5)
thread = threading.Thread(target=change)
thread.start()
for _ in range(300):
    w.WasmStore(engine, wasi=w.WasiConfig(argv="inherit"))
stop.append(True)
thread.join()
"""
    )


def test_types_of_other_classes(script):
    script(
        _LIARS
        + """
for kind in (w.WasmValType, w.WasmFuncType, w.WasmMemoryType, w.WasmTableType, w.WasmGlobalType, w.WasmTagType,
             w.WasmFieldType, w.WasmLimits, w.WasmImportType, w.WasmExportType):
    refused(kind.__name__, TypeError, type, "Derived", (kind,), {"__annotations__": {}})
class Pretends:
    params = results = ()
    min, max, is64, shared, page_size, content, mutable, element, func = 1, 1, False, False, 65536, 0, False, 0, 0
    def __init__(self, kind): self.kind = kind
    @property
    def __class__(self): return self.kind
    def __hash__(self): return 1
refused("func", TypeError, w.WasmFunc, store, print, Pretends(w.WasmFuncType))
refused("memory", TypeError, w.WasmMemory, store, Pretends(w.WasmMemoryType))
refused("table", TypeError, w.WasmTable, store, Pretends(w.WasmTableType))
refused("global", TypeError, w.WasmGlobal, store, Pretends(w.WasmGlobalType), 1)
refused("tag", TypeError, w.WasmTag, store, Pretends(w.WasmTagType))
refused("tag's", TypeError, w.WasmTagType, Pretends(w.WasmFuncType))
refused("value", TypeError, w.WasmFuncType, [Pretends(w.WasmValType)])
refused("linker", TypeError, w.WasmLinker(engine).define, "a", "b", print, Pretends(w.WasmFuncType))

class Defined(w.DefinedType):
    kind = "func"; fields = element = func = None
    def __init__(self): pass
    def describe(self): return "x"
    def __str__(self): return "(func)"
defined = w.WasmValType("ref", Defined(), True)
refused("defined", TypeError, w.WasmFunc, store, print, w.WasmFuncType([defined]))
refused("defined", TypeError, w.WasmGlobal, store, w.WasmGlobalType(defined), None)
class Spelling(str):
    def __str__(self): return "(func)"
    def __eq__(self, other): return other == "func" or other == "i32"
    __hash__ = str.__hash__
text = w.WasmValType("ref", Spelling("func"), False)
check("heap", type(text.heap) is str and text == w.WasmValType.ref("func", nullable=False))
refused("kind", ValueError, w.WasmValType, Spelling("nothing"))
"""
    )


def test_numbers_that_are_equal_to_all(script):
    script(
        _LIARS
        + """
compact = w.WasmEngine(w.WasmConfig.compact())
kind = w.WasmMemoryType(Five(1), Five(20000))
check("plain", type(kind.min) is int and type(kind.max) is int and kind.max == 20000)
memory = w.WasmMemory(w.WasmStore(compact), kind)
check("it may move", not memory.is_pinned)
refused("so that it has no view", w.MemoryViewError, memory.view)
class Never(int):
    def __index__(self): return 1
refused("its own value counts", ValueError, w.WasmMemoryType, Never(1 << 40))
check("its own value counts", w.WasmLimits(Never(7)).min == 7 and type(w.WasmLimits(Never(7)).min) is int)
"""
    )


def test_properties_of_derived_classes(script):
    """What such a class says of its type, its store or its engine is for its users; the package knows."""
    script(
        _LIARS
        + """
many = w.WasmFuncType([], ["i64"] * 500)
class Func(w.WasmFunc):
    lie = w.WasmFuncType([], [])
    type = property(lambda self: self.lie)
func = Func(store, lambda: tuple(range(500)), many)
check("typed", func.typed([], ["i64"] * 500)() == tuple(range(500)))
taking = w.WasmFuncType(["externref"], ["i64"])
class Passed(w.WasmFunc):
    asked = []
    @property
    def type(self):
        self.asked.append(1)
        return taking if len(self.asked) == 1 else w.WasmFuncType(["i64"], ["i64"])
module = w.WasmModule(engine, '''(module
    (import "" "f" (func $f (param externref) (result i64))) (export "f" (func $f)))''')
passed = w.WasmInstance(store, module, {"": {"f": Passed(store, lambda given: 5, taking)}}).exports.f
check("passed on", passed.type == taking and passed(0x7FFFDEADBEE8) == 5)

other = w.WasmStore(engine)
class Global(w.WasmGlobal):
    store = property(lambda self: other)
linker = w.WasmLinker(engine)
linker.define("", "g", Global(store, w.WasmGlobalType("i32"), 5))
asks = w.WasmModule(engine, '(module (import "" "g" (global i32)) (export "g" (global 0)))')
refused("wrong store", w.WrongStoreError, linker.prepare(asks).instantiate, other)
check("global", linker.prepare(asks).instantiate(store).exports.g.value == 5)

class Module(w.WasmModule):
    exports = property(lambda self: (w.WasmExportType("f", w.WasmFuncType(["i64"] * 40, ["i64"] * 40)),))
    imports = property(lambda self: ())
plain = Module(engine, '(module (func (export "f")))')
check("export", w.WasmInstance(store, plain).exports.f() is None)
linker.define_module(store, "m", plain)
check("linked", linker.get(store, "m", "f")() is None)
check("command", w.WasmInstance(store, plain).exports.f.type == w.WasmFuncType())

shared = w.WasmConfig(shared_memory=True)
one, two = w.WasmEngine(shared), w.WasmEngine(shared.replace(consume_fuel=True))
class Memory(w.WasmSharedMemory):
    engine = property(lambda self: one)
class Store(w.WasmStore):
    engine = property(lambda self: one)
wants = w.WasmModule(one, '(module (import "" "m" (memory 1 4 shared)))')
foreign = Memory(two, w.WasmMemoryType(1, 4, shared=True))
refused("wrong engine", w.WrongEngineError, w.WasmInstance, w.WasmStore(one), wants, {"": {"m": foreign}})
refused("wrong engine", w.WrongEngineError, w.WasmInstance, Store(two), w.WasmModule(one, "(module)"))
wasi = w.WasmLinker(one)
wasi.define_wasi()
refused("wrong engine", w.WrongEngineError, wasi.get, Store(two), "wasi_snapshot_preview1", "fd_write")

class Engine(w.WasmEngine):
    config = property(lambda self: w.WasmConfig(epoch_interruption=True, consume_fuel=True, shared_memory=True))
lying = w.WasmStore(Engine())
for use in (lambda: lying.set_epoch_deadline(1), lying.interrupt, lambda: lying.fuel, lambda: lying.set_fuel(5),
            lambda: lying.profile("/dev/null"), lambda: lying.deadline(1)):
    refused("not there", w.WasmtimeError, use)
class Config(w.WasmConfig):
    stack = 1 << 19
    @property
    def max_wasm_stack(self): return self.stack
config = Config()
Config.stack = 0
made = w.WasmEngine(config)
check("config", type(made.config) is Config)
check("it runs", w.WasmInstance(w.WasmStore(made), w.WasmModule(made, '(module (func (export "f")))')).exports.f() is None)

class Calls(w.WasmFunc):
    def __call__(self): return "mine"
check("its own call", Calls(store, lambda: None, w.WasmFuncType())() == "mine")
"""
    )


def test_a_column_that_shows_other_items_when_it_is_asked_again(script):
    script(
        """
if sys.version_info >= (3, 12):
    import array
    class Column:
        def __init__(self): self.asked = 0
        def __buffer__(self, flags):
            self.asked += 1
            return memoryview(array.array("q" if self.asked <= 2 else "d", [1, 2, 3]))
    store = w.WasmStore(w.WasmEngine())
    same = w.WasmFunc(store, lambda x: x, w.WasmFuncType(["i64"], ["i64"]))
    check("the items that were checked", list(same.map(Column())) == [1, 2, 3])
"""
    )


def test_modules_that_are_equal_to_all(script):
    script(
        _LIARS
        + """
class Module(w.WasmModule):
    def __eq__(self, other): return True
    def __hash__(self): return 5
linker = w.WasmLinker(engine)
one = Module(engine, '''(module (table 1 externref)
    (func (export "f") (param externref) (table.set (i32.const 0) (local.get 0))))''')
two = Module(engine, '(module (func (export "f") (param i64) (result i64) (local.get 0)))')
for turn in range(3):
    check("one", linker.instantiate(store, one).exports.f("object") is None)
    check("two", linker.instantiate(store, two).exports.f(0x123456) == 0x123456)
    store.gc()
"""
    )
