"""Use after close, close where it hurts, objects that were never or twice initialised, and copies."""

_SETUP = """
SOURCE = '''(module
    (import "" "h" (func $h (param externref) (result externref)))
    (memory (export "m") 1)
    (table (export "t") 4 externref)
    (global (export "g") (mut i32) (i32.const 5))
    (func (export "f") (param externref) (result externref) (call $h (local.get 0)))
    (func (export "n") (param i32) (result i32) local.get 0))'''

def world(host=lambda x: x):
    engine = w.WasmEngine()
    module = w.WasmModule(engine, SOURCE)
    store = w.WasmStore(engine)
    return engine, module, store, w.WasmInstance(store, module, {"": {"h": host}})
"""


def test_everything_after_the_store_was_closed(script):
    script(
        _SETUP
        + """
for leave in (lambda store: store.close(), lambda store: store.__exit__(None, None, None)):
    engine, module, store, instance = world()
    exports = instance.exports
    f, n, m, t, g = exports.f, exports.n, exports.m, exports.t, exports.g
    typed = n.typed(["i32"], ["i32"])
    host = w.WasmFunc(store, lambda: None, w.WasmFuncType())
    leave(store)
    leave(store)
    for label, use in {
        "call": lambda: n(1), "typed": lambda: typed(1), "reference call": lambda: f(1), "host": host,
        "instance.call": lambda: instance.call("n", 1),
        "read": lambda: m.read(0, 1), "write": lambda: m.write(0, b"x"), "grow": lambda: m.grow(1),
        "size": lambda: m.size, "data_size": lambda: m.data_size, "m[0]": lambda: m[0], "m[:]": lambda: m[:],
        "view": m.view, "u32": lambda: m.read_u32(0), "cstring": lambda: m.read_cstring(0),
        "t[0]": lambda: t[0], "t[0]=": lambda: t.__setitem__(0, 1), "list(t)": lambda: list(t),
        "t.grow": lambda: t.grow(1), "t.size": lambda: t.size,
        "g": lambda: g.value, "g=": lambda: setattr(g, "value", 1), "g.get_value": g.get_value,
        "gc": store.gc, "set_wasi": lambda: store.set_wasi(w.WasiConfig(stdin=b"x")),
        "new func": lambda: w.WasmFunc(store, lambda: None, w.WasmFuncType()),
        "new memory": lambda: w.WasmMemory(store, w.WasmMemoryType(1)),
        "new table": lambda: w.WasmTable(store, w.WasmTableType("externref", 1), 5),
        "new global": lambda: w.WasmGlobal(store, w.WasmGlobalType("i32"), 1),
        "new instance": lambda: w.WasmInstance(store, module, {"": {"h": lambda x: x}}),
    }.items():
        refused(label, w.StoreClosedError, use)
    for item in (f, m, t, g, host, instance, store, typed):
        repr(item), str(item), hash(item), item == item
    repr(exports), list(exports), exports == exports
    check("lengths", (len(m), len(t), len(exports)) == (65536, 4, 5))
    check("is_valid", not any(item.is_valid for item in (f, m, t, g, instance, store)))
"""
    )


def test_everything_after_engine_module_instance_and_handles_were_closed(script):
    script(
        _SETUP
        + """
engine, module, store, instance = world()
f = instance.exports.n
linker = w.WasmLinker(engine)
linker.define_wasi()
for thing in (linker, module, engine):
    thing.close(), thing.close(), repr(thing), thing.is_valid
for label, use in {
    "linker.define": lambda: linker.define("a", "b", print),
    "linker.get": lambda: linker.get(store, "a", "b"),
    "linker.instantiate": lambda: linker.instantiate(store, module),
    "linker.define_wasi": linker.define_wasi,
    "instance": lambda: w.WasmInstance(store, module, {"": {"h": print}}),
    "module": lambda: w.WasmModule(engine, SOURCE),
    "validate": lambda: w.WasmModule.validate(engine, SOURCE),
    "store": lambda: w.WasmStore(engine),
    "linker's wasi": lambda: w.WasmLinker(engine).define_wasi(),
    "epoch": engine.increment_epoch,
}.items():
    refused(label, w.ClosedError, use)
check("what lives goes on", f(5) == 5)
for name in "fntmg":
    item = instance.exports[name]
    item.close(), item.close(), repr(item), hash(item)
    check("is_valid", not item.is_valid)
for label, use in {
    "call": lambda: f(1), "read": lambda: instance.exports.m.read(0, 1), "view": instance.exports.m.view,
    "t[0]": lambda: instance.exports.t[0], "g": lambda: instance.exports.g.value,
    "as an argument": lambda: w.WasmTable(store, w.WasmTableType("funcref", 1), f),
    "as an import": lambda: w.WasmInstance(
        store, w.WasmModule(store.engine, "(module)") if store.engine.is_valid else module, [f]
    ),
}.items():
    refused(label, w.WasmtimeError, use)
"""
    )


def test_closing_inside_a_host_function(script):
    script(
        _SETUP
        + """
def run(label, action, expected):
    said = []
    def host(x):
        said.append(allowed(label, action, engine, module, store, instance))
        gc.collect()
        return object()
    engine, module, store, instance = world(host)
    instance.exports.f, instance.exports.m
    returned = allowed(label, instance.exports.f, object())
    check(f"{label}: got {said}", isinstance(said[0], expected))
    allowed(label, instance.exports.f, object())
    store.close()
    check(f"{label}: open", not store.is_valid)
    refused(label, w.ClosedError, instance.exports.m.read, 0, 1)

NONE = type(None)
run("close", lambda e, m, s, i: s.close(), w.StoreBusyError)
run("with", lambda e, m, s, i: s.__exit__(None, None, None), NONE)
run("with, read", lambda e, m, s, i: (s.__exit__(None, None, None), i.exports.m.read(0, 1)), w.StoreClosedError)
run("with, view", lambda e, m, s, i: (s.__exit__(None, None, None), i.exports.m.view()), w.StoreClosedError)
run("with, call", lambda e, m, s, i: (s.__exit__(None, None, None), i.exports.n(1)), w.StoreClosedError)
run("instance", lambda e, m, s, i: i.close(), NONE)
run("function", lambda e, m, s, i: i.exports.f.close(), NONE)
run("module", lambda e, m, s, i: m.close(), NONE)
run("engine", lambda e, m, s, i: e.close(), NONE)
"""
    )


def test_dropping_everything_inside_a_host_function(script):
    script(
        _SETUP
        + """
held = {}
def host(x):
    held.clear()
    gc.collect()
    gc.collect()
    return [1, 2, 3]
for call in (
    lambda: held["instance"].exports.f(object()),
    lambda: held["instance"].exports["f"].typed(["externref"], ["externref"])(object()),
    lambda: held["instance"].call("f", 1),
    lambda: w.WasmFunc(held["store"], lambda: host(1)[0:0] or None, w.WasmFuncType())(),
):
    engine, module, store, instance = world(host)
    held.update(store=store, instance=instance)
    gone = weakref.ref(store)
    del engine, module, store, instance
    check("result", call() in ([1, 2, 3], None))
    gc.collect()
    check("the store is still there", gone() is None)
"""
    )


def test_finalizers_in_a_circle_that_call_in_or_come_back(script):
    script(
        _SETUP
        + """
saved, said = [], []
class Calling:
    def __del__(self):
        for call in (
            lambda: self.instance.exports.n(1), lambda: self.instance.exports.f(self),
            lambda: self.instance.exports.m.write(0, b"x" * 100), lambda: self.instance.exports.t[0],
            lambda: self.instance.exports.m.view()[0], lambda: self.instance.store.gc(),
        ):
            said.append(allowed("finalizer", call))
class Returning:
    def __del__(self):
        saved.append(self)
def make(kind):
    early = kind()
    _, _, store, instance = world(lambda x: (store, x)[1])
    for last in (early, kind()):
        last.instance = instance
        instance.exports.n, instance.exports.f, instance.exports.m
    store.data = early, last
    instance.exports.t[0] = early
gc.disable()
for kind in (Calling, Returning):
    for turn in range(20):
        make(kind)
    gc.collect()
gc.enable()
junk = [bytes(5000) for _ in range(1000)]
check("finalizers ran", len(saved) == 40 and len(said) > 40)
for returned in saved:
    exports = returned.instance.exports
    check("works", exports.n(3) == 3 and exports.m.read(0, 2) == b"\\0\\0" and exports.t[0] is not None)
    check("host function", exports.f(returned) is returned)
"""
    )


def test_engines_modules_and_references_in_a_circle_that_comes_back(script):
    script(
        """
saved, said = [], []
USES = {
    "instance": lambda box: w.WasmInstance(box.store, box.module).exports.n(3),
    "module": lambda box: w.WasmModule(box.engine, "(module)"),
    "store": lambda box: w.WasmStore(box.engine),
    "epoch": lambda box: box.engine.increment_epoch(),
    "type": lambda box: (str(box.type), hash(box.type), box.type == box.type),
    "func": lambda box: w.WasmFunc(box.store, print, box.type),
    "reference": lambda box: box.table.__setitem__(0, box.ref),
    "linker": lambda box: box.linker.get(box.wasi, "wasi_snapshot_preview1", "fd_write"),
}
class Box:
    def use(self):
        for label, use in USES.items():
            said.append(allowed(label, use, self))
class Calling(Box):
    def __del__(self):
        self.use()
class Returning(Box):
    def __del__(self):
        saved.append(self)
def make(kind):
    box, other = kind(), kind()
    box.engine = w.WasmEngine()
    box.store = w.WasmStore(box.engine)
    box.wasi = w.WasmStore(box.engine, wasi=w.WasiConfig())
    box.module = w.WasmModule(box.engine, '''(module (type $s (struct)) (func (export "n") (param i32) (result i32) local.get 0)
        (func (export "t") (param (ref null $s))) (func (export "r") (result anyref) struct.new $s))''')
    box.type = box.module.exports[1].type
    box.ref = w.WasmInstance(box.store, box.module).exports.r()
    box.table = w.WasmTable(box.store, w.WasmTableType("anyref", 1))
    box.linker = w.WasmLinker(box.engine)
    box.linker.define_wasi()
    box.other, other.other = other, box
    other.__dict__.update(box.__dict__, other=box)
gc.disable()
for kind in (Calling, Returning):
    for _ in range(15):
        make(kind)
    gc.collect()
junk = [bytes(size) for size in range(8, 5000, 8)]
for box in saved:
    box.use()
check("all ran", len(saved) == 30 and len(said) == 60 * len(USES))
"""
    )


def test_closing_with_views(script):
    script(
        _SETUP
        + """
engine, module, store, instance = world()
view = instance.exports.m.view()
refused("close", w.MemoryViewError, store.close)
part = view[5:10]
part[0] = 7
view.release()
refused("close with a part of it", w.MemoryViewError, store.close)
del part, view
store.close()

engine, module, store, instance = world()
with store:
    view = instance.exports.m.view()
view[0] = 1
refused("read", w.StoreClosedError, instance.exports.m.read, 0, 1)
del engine, module, store, instance
gc.collect()
view[65535] = 2
check("bytes", (view[0], view[65535]) == (1, 2))
base = address_space()
del view
gc.collect()
check("the last view frees the store", address_space() < base - 4000)

try:
    with world()[2] as store:
        view = w.WasmMemory(store, w.WasmMemoryType(1)).view()
        raise KeyError("the block's own")
except KeyError:
    pass
"""
    )


def test_a_second_init_and_assigned_attributes_do_not_mix_what_was_made(script):
    script(
        _SETUP
        + """
engine, module, store, instance = world()
exports = instance.exports
exports.n, exports.m
other = w.WasmModule(engine, '(module (func (export "n") (param i64 i64 i64 i64)) (memory (export "m") i64 1))')
linker = w.WasmLinker(engine)
func = w.WasmFunc(store, lambda: None, w.WasmFuncType())
for label, again in {
    "store": lambda: store.__init__(engine),
    "engine": lambda: engine.__init__(w.WasmConfig(consume_fuel=True)),
    "module": lambda: module.__init__(engine, "(module)"),
    "instance": lambda: instance.__init__(store, other),
    "linker": lambda: linker.__init__(w.WasmEngine()),
    "memory": lambda: exports.m.__init__(w.WasmStore(engine), w.WasmMemoryType(3)),
    "table": lambda: exports.t.__init__(w.WasmStore(engine), w.WasmTableType("funcref", 3)),
    "global": lambda: exports.g.__init__(w.WasmStore(engine), w.WasmGlobalType("i64"), 3),
    "func": lambda: func.__init__(w.WasmStore(engine), lambda: None, w.WasmFuncType(["i32"] * 9)),
}.items():
    allowed(label, again)
for name in ("exports", "imports", "engine", "is_valid"):
    allowed(name, setattr, module, name, ())
for _ in range(2000):
    check("n", exports.n(5) == 5 and instance.exports.n(6) == 6)
check("m", exports.m.read(0, 1) == b"\\0" and exports.t[0] is None and exports.g.value == 5)
func()
w.WasmInstance(store, module, {"": {"h": lambda x: x}}).exports.n(1)

# a start function that initialises its own instance
start = w.WasmModule(engine, '''(module (import "" "h" (func $h)) (start $h)
    (func (export "n") (param i64 i64 i64 i64) (result i64 i64 i64 i64)
      local.get 0 local.get 1 local.get 2 local.get 3))''')
small = w.WasmModule(engine, '(module (func (export "n") (param i32)))')
made, kept = w.WasmInstance.__new__(w.WasmInstance), []
def host():
    made.__init__(store, small)
    kept.append(made.exports)
allowed("start", made.__init__, store, start, {"": {"h": host}})
for old in kept:
    for _ in range(2000):
        allowed("old exports", old.n, 1)
"""
    )


def test_objects_without_init_and_copies(script):
    script(
        _SETUP
        + """
import copy, pickle
engine, module, store, instance = world()
linker = w.WasmLinker(engine)
linker.define_wasi()
values = [
    engine, store, module, instance, linker, *instance.exports.values(), instance.exports,
    instance.exports.n.typed(["i32"], ["i32"]), engine.config, module.exports[0], w.WasiConfig(stdout=print),
    w.StoreLimits(), w.WasmValue(5), w.WasmValue.externref(store),
    w.WasmInstance(store, w.WasmModule(engine, '(module (func (export "r") (result anyref) (ref.i31 (i32.const 1))))')
    ).exports.r(),
]
ways = {
    "copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda v: pickle.loads(pickle.dumps(v)),
    "__new__": lambda v: type(v).__new__(type(v)), "object.__new__": lambda v: object.__new__(type(v)),
}
def use(made):
    for name in dir(type(made)):
        if not name.startswith("__"):
            allowed(name, getattr, made, name)
    allowed("dir", dir, made)
    for use in (repr, str, hash, len, list, bool, lambda v: v == v, lambda v: v(), lambda v: v(1), lambda v: v[0]):
        allowed("use", use, made)
    allowed("instance", w.WasmInstance, made, module)
    allowed("instance", w.WasmInstance, store, made)
    allowed("import", w.WasmInstance, store, module, {"": {"h": made}})
    allowed("store", w.WasmStore, made)
    allowed("memory", w.WasmMemory, made, w.WasmMemoryType(1))
    for kind in ("externref", "funcref", "anyref"):
        allowed("element", w.WasmTable(store, w.WasmTableType(kind, 1)).__setitem__, 0, made)
    for kind in ("i32", "f64", "v128"):
        allowed("value", w.WasmGlobal, store, w.WasmGlobalType(kind), made)

for value in values:
    for way, make in ways.items():
        try:
            made = make(value)
        except Exception:
            continue
        use(made)
        if way.endswith("__new__"):
            allowed("close", lambda: made.close())
            allowed("with", lambda: made.__exit__(None, None, None))
        del made
        gc.collect()
for kind in (w.WasmEngine, w.WasmStore, w.WasmModule, w.WasmInstance, w.WasmLinker, w.WasmFunc, w.WasmMemory,
             w.WasmGlobal, w.WasmTable, w.WasmTag, w.WasmRef, w.TypedFunc, w.WasmExports):
    use(type("Sub", (kind,), {"__init__": lambda self: None})())
check("what was copied still works", instance.exports.n(3) == 3 and instance.exports.m.read(0, 1) == b"\\0")

# with much room to recurse in, a lookup that never ends would end the process
sys.setrecursionlimit(10**6)
for make in ways.values():
    allowed("exports", lambda: make(instance.exports).anything)
"""
    )


def test_a_shared_memory_that_is_closed_while_it_is_imported(script):
    script(
        """
engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
module = w.WasmModule(engine, '''(module (import "" "m" (memory 1 9 shared)) (import "" "n" (global i32))
    (func (export "size") (result i32) (memory.size)))''')
store, made = w.WasmStore(engine), 0
for last in range(1, 6):
    memory, asked = w.WasmSharedMemory(engine, w.WasmMemoryType(1, 9, shared=True)), 0
    class Closes:  # is asked when imports are checked, and when they are written
        def __index__(self):
            global asked
            asked += 1
            if asked == last:
                memory.close()
                gc.collect()
                junk.extend(bytes(range(n)) for n in range(200))
            return 5
    junk = []
    instance = allowed("instance", w.WasmInstance, store, module, {"": {"m": memory, "n": Closes()}})
    if isinstance(instance, w.WasmInstance):
        made += 1
        check("its size", instance.exports.size() == 1)
    else:
        check(f"{instance!r}", isinstance(instance, w.ClosedError))
check(f"made {made}", made >= 2)
"""
    )
