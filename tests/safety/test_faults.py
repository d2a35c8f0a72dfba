"""Host code that raises at every point where it can run: nothing is left half done, entered, or alive."""

_SETUP = """
TEXT = '''(module
    (import "" "a" (func $a (param i32) (result i32))) (import "" "o" (func $o (param externref) (result externref)))
    (memory (export "m") 1) (table (export "t") 3 9 externref)
    (func (export "calls") (param i32) (result i32) (local $n i32) (local $sum i32)
        (loop
            (local.set $sum (i32.add (local.get $sum) (call $a (local.get $n))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (local.get 0))))
        (local.get $sum))
    (func (export "objects") (param externref externref externref) (result externref)
        (drop (call $o (local.get 0))) (drop (call $o (local.get 1))) (call $o (local.get 2)))
    (func (export "ints") (param i32 i64 f32 f64 i32) (result i32) (local.get 0))
    (func (export "mixed") (param i32 externref f64 funcref v128 externref) (result i32) (local.get 0)))'''
class Raised(BaseException):
    pass
class Counter:
    def __init__(self):
        self.at, self.left = 0, None
    def __call__(self):
        self.at += 1
        if self.at == self.left:
            raise Raised(self.at)
point = Counter()
engine = w.WasmEngine(w.WasmConfig(parallel_compilation=False))
module = w.WasmModule(engine, TEXT)

def world():
    store = w.WasmStore(engine)
    return store, w.WasmInstance(store, module, {"": {"a": lambda x: (point(), x)[1], "o": lambda x: (point(), x)[1]}}).exports

def everywhere(label, use, healthy, least):
    '''Run ``use`` with a fault at each point, until there is none left.'''
    left = 0
    while True:
        left += 1
        point.at, point.left = 0, left
        try:
            use()
        except Raised as raised:
            check(f"{label}: of another point", raised.args == (left,))
        except w.DOCUMENTED as raised:
            check(f"{label} at {left}: {type(raised).__name__} {raised}", False)
        else:
            break
        point.left = None
        check(f"{label} at {left}: not well", allowed(label, healthy) is True)
        if left > 500:
            break
    check(f"{label}: {left - 1} points, expected {least} at least", left > least)

w.DOCUMENTED = _DOCUMENTED
"""


def test_host_functions_and_conversions(script):
    script(
        _SETUP
        + """
store, e = world()
class Int:
    def __index__(self):
        point()
        return 3
class Float:
    def __float__(self):
        point()
        return 1.5
class Sequence(list):
    def __iter__(self):
        for item in list.__iter__(self):
            point()
            yield item
class Path:
    def __fspath__(self):
        point()
        return os.devnull
class Mapping(dict):
    def __getitem__(self, key):
        point()
        return dict.__getitem__(self, key)
    def keys(self):
        point()
        return dict.keys(self)
    def get(self, key, default=None):
        point()
        return dict.get(self, key, default)
def PLAIN(path):
    try:
        w.WasmModule.from_file(engine, path)
    except w.CompileError:
        pass

def well():
    return e.ints(1, 2, 3, 4, 5) == 1 and e.m.read(0, 1) == b"\\0" and store._core.depth == 0 and e.calls(3) == 3

objects = [object() for _ in range(3)]
i, f = Int(), Float()
for label, use, least in (
    ("calls", lambda: e.calls(20), 20), ("objects", lambda: e.objects(*objects), 3), ("arguments", lambda: e.ints(i, i, f, f, i), 5),
    ("mixed", lambda: e.mixed(i, objects, f, None, bytes(16), objects), 2), ("values", lambda: e.mixed.call_values(i, objects, f, None, bytes(16), 5), 2),
    ("typed", lambda: e.ints.typed(["i32", "i64", "f32", "f64", "i32"], ["i32"])(i, i, f, f, i), 5),
    ("map", lambda: w.WasmFunc(store, lambda x: (point(), x)[1], w.WasmFuncType(["i32"], ["i32"])).map(__import__("array").array("i", range(9))), 9),
    ("results", lambda: w.WasmFunc(store, lambda: (i, f, i), w.WasmFuncType([], ["i32", "f64", "i64"]))(), 3),
    ("memory", lambda: (e.m.read(i, i), e.m.write(i, b"\\0"), e.m.grow(Zero()), e.m.read_u32(i), e.m.write_u8(i, Zero()), e.m.read_cstring(i, i)), 5),
    ("table", lambda: (e.t.__setitem__(Zero(), objects), e.t[Zero()], e.t.grow(Zero(), objects)), 3),
    ("global", lambda: (w.WasmGlobal(store, w.WasmGlobalType("i32"), i), w.WasmGlobal(store, w.WasmGlobalType("f64"), f)), 2),
    ("struct", lambda: w.WasmStruct(store, STRUCT, Sequence([i, f, "x"])), 4), ("array", lambda: w.WasmArray(store, ARRAY, Sequence([i, 5, i])), 4),
    ("filled", lambda: w.WasmArray.filled(store, ARRAY, i, i), 2), ("exception", lambda: w.WasmTable(store, w.WasmTableType("exnref", 1), w.WasmException(TAG, i, f)), 2),
    ("wasi", lambda: w.WasmStore(engine, wasi=w.WasiConfig(argv=Sequence(["a", "b"]), env=Mapping(a="b"))), 2),
    ("imports", lambda: w.WasmInstance(store, module, {"": Mapping(a=lambda x: x, o=lambda x: x)}), 1),
    ("flat imports", lambda: w.WasmInstance(store, module, Sequence([lambda x: x, lambda x: x])), 2),
    ("types", lambda: w.WasmFuncType(Sequence(["i32", "i64"]), Sequence(["f32"])), 3), ("fields", lambda: w.WasmStruct.new_type(engine, Sequence([w.WasmFieldType("i8")] * 3)), 3),
    ("fuel", lambda: FUEL.set_fuel(i), 1), ("deadline", lambda: FUEL.set_epoch_deadline(i), 1),
    ("profile", lambda: FUEL.profile(Path(), modules=Mapping()), 1), ("file", lambda: PLAIN(Path()), 1),
    ("wat", lambda: w.WasmValue.i64(i), 1), ("f32", lambda: w.WasmValue.f32(f), 1),
):
    class Zero:
        def __index__(self):
            point()
            return 0
    STRUCT = w.WasmStruct.new_type(engine, [w.WasmFieldType(kind) for kind in ("i8", "f64", "externref")])
    ARRAY = w.WasmArray.new_type(engine, w.WasmFieldType("i16", mutable=True))
    TAG = w.WasmTag(store, w.WasmTagType(w.WasmFuncType(["i32", "f64"])))
    FUEL = w.WasmStore(w.WasmEngine(w.WasmConfig(consume_fuel=True, epoch_interruption=True)))
    everywhere(label, use, well, least)
"""
    )


def test_start_functions_linkers_sinks_and_handlers(script):
    script(
        _SETUP
        + """
START = w.WasmModule(engine, '''(module (import "" "a" (func $a (param i32) (result i32)))
    (func $s (drop (call $a (i32.const 1))) (drop (call $a (i32.const 2)))) (start $s)
    (func (export "_initialize") (drop (call $a (i32.const 3)))) (func (export "f") (result i32) (i32.const 9)))''')
WASI = w.WasmModule(engine, r'''(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 8) "\\20\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 32) "text\\n")
    (func (export "f") (result i32) (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))
        (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 0)) i32.add))''')
store, e = world()
host = {"a": lambda x: (point(), x)[1]}
linker = w.WasmLinker(engine, allow_shadowing=True)
linker.define("", "a", host["a"])
linker.define_wasi()
prepared = linker.prepare(START)
def sinks():
    store = w.WasmStore(engine, wasi=w.WasiConfig(stdout=lambda data: point(), stderr=lambda data: point()))
    linker.instantiate(store, WASI).exports.f()
def shared():
    linker.define_module(store, "reactor", START)
    linker.get(store, "reactor", "f")()
well = lambda: e.calls(3) == 3 and store._core.depth == 0
for label, use, least in (
    ("instance", lambda: w.WasmInstance(store, START, {"": host}), 2), ("linker", lambda: linker.instantiate(store, START), 2),
    ("prepared", lambda: prepared.instantiate(store), 2), ("new stores", lambda: prepared.instantiate(w.WasmStore(engine)), 2),
    ("reactor", shared, 3), ("sinks", sinks, 2), ("data", lambda: w.WasmStore(engine, data=host["a"]).data(5), 1),
):
    everywhere(label, use, well, least)
"""
    )


def test_nothing_is_left_of_what_failed(script):
    script(
        _SETUP
        + """
class Box:
    pass
def turn():
    store, e = world()
    boxes = [Box() for _ in range(4)]
    gone.extend(map(weakref.ref, [*boxes, store]))
    struct = w.WasmStruct.new_type(engine, [w.WasmFieldType("externref")] * 3)
    for left in (1, 2, 3):
        point.at, point.left = 0, left
        refused("objects", Raised, e.objects, *boxes[:3])
    point.left = None
    refused("arguments", TypeError, e.mixed, 1, boxes[0], "wrong", None, bytes(16), boxes[1])
    refused("values", TypeError, e.mixed.call_values, 1, boxes[0], 1.5, boxes[2], bytes(16), boxes[1])
    refused("struct", TypeError, w.WasmStruct, store, w.WasmStruct.new_type(engine, [w.WasmFieldType(k) for k in ("externref", "i32")]), [boxes[0], "x"])
    refused("results", TypeError, w.WasmFunc(store, lambda: (boxes[0], "x"), w.WasmFuncType([], ["externref", "i32"])))
    refused("grow", w.WasmtimeError, e.t.grow, 100, boxes[3])
    refused("index", IndexError, e.t.__setitem__, 100, boxes[3])
    refused("exception", TypeError, w.WasmTable, store, w.WasmTableType("exnref", 1),
        w.WasmException(w.WasmTag(store, w.WasmTagType(w.WasmFuncType(["externref", "i32"]))), boxes[1], "x"))
    store.gc()
    check("held by the store", len(store._core.objects) == 0)
gone = []
for _ in range(50):
    turn()
gc.collect()
check("alive", not any(ref() is not None for ref in gone))
level = resident()
for _ in range(300):
    turn()
    gone.clear()
gc.collect()
check(f"{resident() - level} MiB more", resident() - level < 30)
"""
    )
