"""What is dropped is freed: stores in circles, failures, references, views."""

_SETUP = """
engine = w.WasmEngine()
module = w.WasmModule(engine, '''(module (import "" "h" (func $h (param externref) (result externref)))
    (memory (export "m") 1) (table (export "t") 4 externref)
    (func (export "f") (param externref) (result externref) (call $h (local.get 0))))''')

def level(label, turn, count, warm=20, slack=40, space=True):
    # Repeat ``turn``: neither memory nor address space may grow by more than ``slack`` MiB.
    for _ in range(warm):
        turn()
    gc.collect()
    before = resident(), address_space()
    for _ in range(count):
        turn()
    gc.collect()
    after = resident(), address_space()
    check(f"{label}: resident MiB {before[0]} -> {after[0]}", after[0] - before[0] < slack)
    if space:  # one memory reserves 4 GiB
        check(f"{label}: address space MiB {before[1]} -> {after[1]}", after[1] - before[1] < 30_000)
"""


def test_dropped_stores_in_every_kind_of_circle(script):
    script(
        _SETUP
        + """
gone = []
class Box:
    pass
def closure(box, store, instance):
    pass
def external(box, store, instance):
    instance.exports.t[0] = store
    instance.exports.f(instance)
def data(box, store, instance):
    store.data = store, instance
def view(box, store, instance):
    box.view = instance.exports.m.view()
def view_in_table(box, store, instance):
    instance.exports.t[0] = instance.exports.m.view()
def sink(box, store, instance):
    store.set_wasi(w.WasiConfig(stdin=b"x" * 1000, stdout=lambda data: (store, data)))
def function(box, store, instance):
    box.func = w.WasmFunc(store, lambda: box.func, w.WasmFuncType())
def raised(box, store, instance):
    def failing(x):
        raise KeyError(store)
    try:
        w.WasmInstance(store, module, {"": {"h": failing}}).exports.f(store)
    except KeyError as caught:
        box.caught = caught
def closed(box, store, instance):
    store.close()
def left(box, store, instance):
    box.view = instance.exports.m.view()
    store.__exit__(None, None, None)
for way in (closure, external, data, view, view_in_table, sink, function, raised, closed, left):
    gone.clear()
    def turn():
        box, store = Box(), w.WasmStore(engine)
        instance = w.WasmInstance(store, module, {"": {"h": lambda x: (box, store, x)[2]}})
        way(box, store, instance)
        gone.append(weakref.ref(store))
        gone.append(weakref.ref(box))
    level(way.__name__, turn, 200)
    check(f"{way.__name__}: some are alive", not any(ref() is not None for ref in gone))
"""
    )


def test_a_thousand_dropped_stores(script):
    script(
        _SETUP
        + """
def turn():
    store = w.WasmStore(engine)
    instance = w.WasmInstance(store, module, {"": {"h": lambda x: (store, x)[1]}})
    instance.exports.f(store)
level("stores", turn, 1000)
"""
    )


def test_arrays_over_a_memory_in_a_circle(script):
    # The collector does not see into such an array, so no circle may lead through it.
    script(
        _SETUP
        + """
import numpy
gone = []
class Box:
    pass
def turn():
    box, store = Box(), w.WasmStore(engine)
    instance = w.WasmInstance(store, module, {"": {"h": lambda x: (box, x)[1]}})
    box.arrays = [numpy.frombuffer(instance.exports.m.view(), "u1"), numpy.frombuffer(instance.exports.m, "u1")]
    gone.append(weakref.ref(store))
    gone.append(weakref.ref(box))
level("arrays", turn, 100)
check("some are alive", not any(ref() is not None for ref in gone))
"""
    )


def test_failures_leave_nothing(script):
    script(
        _SETUP
        + """
store = w.WasmStore(engine)
closed = w.WasmStore(engine)
closed.close()
big = w.WasiConfig(stdin=b"x" * 1_000_000, stdout=print)
missing = w.WasiConfig(stdin=b"x" * 1_000_000, stdout=print, preopens={"a": "nowhere"})
elsewhere = w.WasmModule(w.WasmEngine(), '(module (type $s (struct)) (func (export "f") (param (ref null $s))))')
defined = elsewhere.exports[0].type.params[0]
wide = w.WasmFuncType(["i32"] * 5000 + [defined])
def each(*uses):
    def turn():
        for use in uses:
            allowed("failure", use)
    return turn
level("wasi, closed store", each(lambda: closed.set_wasi(big)), 100)
level("wasi, missing folder", each(lambda: store.set_wasi(missing), lambda: w.WasmStore(engine, wasi=missing)), 100)
level("types of another engine", each(lambda: w.WasmFunc(store, print, wide)), 200)
level("modules", each(*(
    lambda source=source: w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, source))
    for source in ("(module", "(module (func (result i32)))", '(module (import "a" "b" (func)))', "(module (memory i64 281474976710655))",
                   "(module (start 0) (func unreachable))", "(module (memory 1) (data (i32.const 65536) \\"x\\"))")
)), 300)
level("limits", each(lambda: w.WasmInstance(
    w.WasmStore(engine, limits=w.StoreLimits(memory_size=1)), module, {"": {"h": print}})), 300)
level("tables", each(lambda: w.WasmTable(store, w.WasmTableType("externref", 1), init=object()).grow(2**40, object())), 300)
"""
    )


def test_calls_that_end_badly_leave_nothing(script):
    script(
        _SETUP
        + """
store = w.WasmStore(engine)
ends = w.WasmInstance(store, w.WasmModule(engine, '''(module (tag $t) (func (export "trap") unreachable)
    (func (export "throw") throw $t) (func (export "ref") (result anyref) (ref.i31 (i32.const 1)))
    (func $r (export "deep") (call $r) (call $r)))''')).exports
class Thing:
    pass
def failing(x):
    raise KeyError(x)
def wrong(x):
    return 1, 2, x
bad = [w.WasmInstance(store, module, {"": {"h": host}}).exports.f for host in (failing, lambda x: x)]
bad.append(w.WasmFunc(store, wrong, w.WasmFuncType(["externref"], ["i32", "i32"])))
gone = []
def turn():
    for call in ends.values():
        allowed("end", call)
    for call in bad:
        thing = Thing()
        gone.append(weakref.ref(thing))
        allowed("end", call, thing)
level("ends", turn, 300, space=False)
level("traps", lambda: allowed("trap", ends.trap), 10_000, slack=15, space=False)
store.gc()
gc.collect()
check(f"{sum(ref() is not None for ref in gone)} of {len(gone)} objects are alive", all(ref() is None for ref in gone))
"""
    )


def test_references_are_let_go(script):
    script(
        _SETUP
        + """
store = w.WasmStore(engine)
table = w.WasmTable(store, w.WasmTableType("externref", 1000))
class Thing:
    alive = 0
    def __init__(self):
        Thing.alive += 1
    def __del__(self):
        Thing.alive -= 1
class Meddling(Thing):
    def __del__(self):
        super().__del__()
        allowed("gc", store.gc)
        allowed("call", lambda: table[0])
for kind in (Thing, Meddling):
    for _ in range(3):
        for index in range(1000):
            table[index] = kind()
        for index in range(1000):
            table[index] = None
        store.gc()
        store.gc()
    check(f"{kind.__name__}: {Thing.alive} are alive", Thing.alive == 0)
    Thing.alive = 0
    kept = weakref.ref(kind())
exports = w.WasmInstance(store, module, {"": {"h": lambda x: Thing()}}).exports
def turn():
    exports.f(Thing())
level("references", turn, 40_000, slack=60, space=False)
store.gc()
gc.collect()
store.gc()
check(f"{Thing.alive} are alive after calls", Thing.alive == 0)
table[0] = Thing()
store.close()
check("closing lets go", Thing.alive == 0)
"""
    )


def test_engines_and_what_they_define(script):
    script(
        """
gone = []
def turn():
    engine = w.WasmEngine()
    store = w.WasmStore(engine)
    module = w.WasmModule(engine, '(module (type $t (struct (field i32))) (func (export "f") (param (ref null $t))))')
    w.WasmInstance(store, module).exports.f(None)
    gone.append(weakref.ref(engine))
for _ in range(50):
    turn()
gc.collect()
before = resident()
for _ in range(300):
    turn()
gc.collect()
check(f"resident MiB {before} -> {resident()}", resident() - before < 30)
check("alive", not any(ref() is not None for ref in gone))
"""
    )
