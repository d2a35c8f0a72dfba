"""What linkers prepare, shared by threads and dropped in any order, and WASI where a store has none."""

_SETUP = """
sys.setswitchinterval(1e-6)
engine = w.WasmEngine()
module = w.WasmModule(engine, '''(module
    (import "e" "h" (func $h (param i32) (result i32)))
    (import "e" "r" (func $r (param externref) (result externref)))
    (memory (export "m") 1) (table (export "t") 4 externref)
    (func (export "f") (param i32) (result i32) (call $h (local.get 0)))
    (func (export "g") (param externref) (result externref) (call $r (local.get 0)))
    (export "h" (func $h)) (export "r" (func $r)))''')
def linked():
    linker = w.WasmLinker(engine)
    linker.define("e", "h", lambda x: 2 * x)
    linker.define("e", "r", lambda x: x)
    return linker
def run(count, work):
    def guarded(number):
        try:
            work(number)
        except BaseException as raised:
            check(f"thread {number}: {type(raised).__name__}: {raised}", False)
    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""

_WASI = """
WASI = '''(module
    (import "{module}" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func $run (export "run") (result i32) (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (func $start (drop (call $run))) {start})'''
"""


def test_threads_share_what_was_prepared(script):
    script(
        _SETUP
        + """
prepared = linked().prepare(module)
def work(number):
    stores = [w.WasmStore(engine) for _ in range(2)]
    for i in range(150):
        store = stores[i % 2] if i % 3 else w.WasmStore(engine)
        exports = prepared.instantiate(store).exports
        thing = object()
        check("number", exports.f(number + i) == 2 * (number + i))
        check("object", exports.g(thing) is thing)
        check("exported", exports.h(i) == 2 * i and exports.r(thing) is thing)
run(6, work)
"""
    )


def test_one_store_lets_one_thread_in_here_too(script):
    script(
        _SETUP
        + """
prepared, store = linked().prepare(module), w.WasmStore(engine)
told = []
def work(number):
    for _ in range(300):
        try:
            prepared.instantiate(store)
            told.append("made")
        except w.StoreBusyError:
            told.append("busy")
run(6, work)
check(f"{len(told)} ended", len(told) == 1800 and "made" in told)

# How the threads meet is a matter of luck; so that they do for sure, one stays inside until the other was refused.
inside, refused_ = threading.Event(), threading.Event()
starting = w.WasmLinker(engine)
starting.define("", "f", lambda: (inside.set(), refused_.wait(60)) and None)
slow = starting.prepare(w.WasmModule(engine, '(module (import "" "f" (func $f)) (start $f))'))
def one_of_two(number):
    if number == 0:
        slow.instantiate(store)
        return
    check("the other is inside", inside.wait(60))
    refused("instantiate", w.StoreBusyError, prepared.instantiate, store)
    refused_.set()
run(2, one_of_two)
prepared.instantiate(store)
"""
    )


def test_definitions_change_while_others_prepare(script):
    script(
        _SETUP
        + """
linker = linked()
linker.allow_shadowing = True
linker.define_wasi()
end = time.monotonic() + 2
def work(number):
    value = 0
    while time.monotonic() < end:
        if number == 0:
            value += 1
            linker.define("e", "h", lambda x, value=value: value)
            check("the newest", linker.instantiate(w.WasmStore(engine), module).exports.f(0) == value)
        else:
            prepared = linker.prepare(module)
            first, second = (prepared.instantiate(w.WasmStore(engine)).exports.f(0) for _ in range(2))
            check("what was prepared stays", first == second)
run(4, work)
"""
    )


def test_everything_is_dropped_in_any_order(script):
    script(
        _SETUP
        + """
import itertools
gc.set_threshold(1)
gone = []
for order in itertools.permutations(["linker", "prepared", "store", "f", "double"]):
    kept = {"linker": linked(), "store": w.WasmStore(engine)}
    def double(x, kept=kept):
        return (kept.get("store"), 2 * x)[1]
    kept["double"] = double
    kept["linker"].allow_shadowing = True
    kept["linker"].define("e", "h", double)
    kept["prepared"] = kept["linker"].prepare(module)
    exports = kept["prepared"].instantiate(kept["store"]).exports
    kept["store"].data = kept
    kept["f"], exports.t[0] = exports.f, kept["prepared"]
    del double, exports
    for name in order:
        if "f" in kept:
            check("it works", kept["f"](4) == 8)
        gone.append(weakref.ref(kept.pop(name)))
    del kept
gc.collect()
check("all gone", not any(ref() for ref in gone))
"""
    )


def test_wasi_never_reaches_a_store_without(script):
    script(
        _WASI
        + """
engine = w.WasmEngine()
linker = w.WasmLinker(engine)
linker.define_wasi()
linker.alias_module("wasi_snapshot_preview1", "wasi")
linker.alias("wasi_snapshot_preview1", "fd_write", "env", "fd_write")
for name in ("wasi_snapshot_preview1", "wasi", "env"):
    for start in ("", "(start $start)", '(export "_start" (func $start))', '(export "_initialize" (func $start))'):
        module = w.WasmModule(engine, WASI.format(module=name, start=start))
        prepared = linker.prepare(module)
        store = w.WasmStore(engine)
        label = f"{name} {start}"
        refused(label, w.WasmtimeError, prepared.instantiate, store)
        refused(label, w.WasmtimeError, linker.instantiate, store, module)
        refused(label, w.WasmtimeError, linker.define_module, store, "program", module)
        check(label, prepared.instantiate(w.WasmStore(engine, wasi=w.WasiConfig())).exports.run() in (0, 8))
        store.set_wasi(w.WasiConfig())
        check(label, prepared.instantiate(store).exports.run() in (0, 8))
"""
    )


def test_a_command_that_runs_itself_ends_in_a_trap(script):
    script(
        """
engine = w.WasmEngine()
store, linker = w.WasmStore(engine), w.WasmLinker(engine)
source = '''(module (import "env" "again" (func $again)) (func (export "_start") (call $again)))'''
linker.define("env", "again", lambda: run())
linker.define_module(store, "program", w.WasmModule(engine, source))
run = linker.get_default(store, "program")
refused("deep", (w.WasmTrap, RecursionError, w.WasmtimeError), run)
linker = w.WasmLinker(engine)
linker.define_module(store, "deep", w.WasmModule(engine, '(module (func $f (export "_start") (call $f)))'))
refused("guest", w.WasmTrap, linker.get_default(store, "deep"))
on_thread(256, lambda: refused("small", w.WasmTrap, linker.get_default(store, "deep")))
prepared = linker.prepare(w.WasmModule(engine, '(module (func $f (call $f)) (start $f))'))
refused("start", w.WasmTrap, prepared.instantiate, store)
on_thread(256, lambda: refused("small start", w.WasmTrap, prepared.instantiate, store))
"""
    )


def test_closing_inside_a_start_function(script):
    script(
        """
engine = w.WasmEngine()
linker = w.WasmLinker(engine)
module = w.WasmModule(engine, '(module (import "e" "f" (func $f)) (start $f) (func (export "g") (call $f)))')
def close():
    refused("store", w.StoreBusyError, store.close)
    prepared.close()
    linker.close()
    module.close()
    engine.close()
    store.__exit__(None, None, None)
    gc.collect()
linker.define("e", "f", close)
store, prepared = w.WasmStore(engine), linker.prepare(module)
instance = prepared.instantiate(store)
refused("later", w.StoreClosedError, lambda: instance.exports.g())
check("closed", not store.is_valid and not instance.is_valid)
"""
    )
