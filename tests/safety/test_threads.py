"""Many threads in one store, in many stores, and closing under each other's feet."""

_SETUP = """
from collections import Counter
sys.setswitchinterval(1e-6)
engine = w.WasmEngine()
module = w.WasmModule(engine, '''(module (import "" "h" (func $h (param externref) (result externref)))
    (memory (export "m") 1) (table (export "t") 8 externref) (global (export "g") (mut externref) (ref.null extern))
    (func (export "f") (param externref i32) (result externref)
      (loop $l (local.set 1 (i32.sub (local.get 1) (i32.const 1))) (br_if $l (local.get 1)))
      (call $h (local.get 0))))''')
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


def test_one_store_lets_one_thread_in(script):
    script(
        _SETUP
        + """
store = w.WasmStore(engine)
exports = w.WasmInstance(store, module, {"": {"h": lambda x: x}}).exports
told = Counter()
end = time.monotonic() + 2
def work(number):
    mine = object()
    while time.monotonic() < end:
        for use in (
            lambda: check("not what was passed", exports.f(mine, 500) is mine), lambda: exports.m.read(0, 10),
            lambda: exports.m.write(0, b"x" * 100), lambda: exports.m.grow(0), lambda: exports.m.view()[0],
            lambda: exports.t.__setitem__(number, mine), lambda: check("element", exports.t[number] in (mine, None)),
            lambda: setattr(exports.g, "value", mine), lambda: exports.g.value, store.gc, lambda: exports.t.grow(0),
            lambda: w.WasmFunc(store, lambda: None, w.WasmFuncType())(), lambda: (repr(exports.t), len(exports.m), list(exports)),
            lambda: store.set_wasi(w.WasiConfig()),
        ):
            try:
                use()
                told["done"] += 1
            except w.StoreBusyError as busy:
                told["busy"] += 1
                check("both threads are named", str(busy).count("Thread-") == 2 or "thread" in str(busy))
run(6, work)
check(f"both happened: {told}", told["done"] > 100 and told["busy"] > 100)
for number in range(8):
    exports.t[number] = None
exports.g.value = None
store.gc()
store.gc()
held = weakref.ref(store)
store.close()
"""
    )


def test_a_store_moves_between_threads(script):
    script(
        _SETUP
        + """
store = w.WasmStore(engine)
exports = w.WasmInstance(store, module, {"": {"h": lambda x: x}}).exports
turn = threading.Lock()
def work(number):
    for _ in range(300):
        with turn:
            mine = object()
            check("value", exports.f(mine, 5) is mine)
            exports.m.write_u32(0, number)
            check("memory", exports.m.read_u32(0) == number)
run(6, work)
store.close()
"""
    )


def test_closing_while_others_call(script):
    script(
        _SETUP
        + """
current = []
def renew():
    store = w.WasmStore(engine)
    current[:] = [(store, w.WasmInstance(store, module, {"": {"h": lambda x: (store, x)[1]}}))]
renew()
end = time.monotonic() + 2
closed = Counter()
def work(number):
    while time.monotonic() < end:
        store, instance = current[0]
        if number < 2:
            if closed["done"] % 3 == 0:
                store.__exit__(None, None, None)
            try:
                store.close()
                closed["done"] += 1
            except (w.StoreBusyError, w.MemoryViewError):
                closed["refused"] += 1
            renew()
            continue
        for use in (
            lambda: instance.exports.f(5, 50), lambda: instance.exports.m.view()[0], lambda: instance.exports.m.grow(1),
            lambda: instance.exports.t.__setitem__(0, store), store.gc,
        ):
            try:
                use()
            except (w.StoreBusyError, w.StoreClosedError):
                pass
before = address_space()
run(6, work)
check("closed", closed["done"] > 10)
current.clear()
gc.collect()
check("all gone", address_space() - before < 60_000)
"""
    )


def test_many_stores_on_many_threads_under_collection(script):
    script(
        _SETUP
        + """
gc.set_threshold(1, 1, 1)
linker = w.WasmLinker(engine)
linker.define("", "h", lambda x: x)
end = time.monotonic() + 2
def work(number):
    while time.monotonic() < end:
        store = w.WasmStore(engine)
        if number % 2:
            instance = linker.instantiate(store, module)
        else:
            instance = w.WasmInstance(store, module, {"": {"h": lambda x: (store, x)[1]}})
        for _ in range(3):
            mine = object()
            check("value", instance.exports.f(mine, 5) is mine)
        view = instance.exports.m.view()
        view[0] = 3
        instance.exports.t[0] = (store, view)
        def failing(x):
            raise KeyError(store)
        try:
            w.WasmInstance(store, module, {"": {"h": failing}}).exports.f(1, 1)
        except KeyError as came:
            check("another store's exception", came.args[0] is store)
run(8, work)
gc.collect()
"""
    )


def test_compiling_on_many_threads(script):
    script(
        _SETUP
        + """
def work(number):
    for turn in range(20):
        mine = w.WasmEngine() if turn % 5 == 0 else engine
        made = w.WasmModule(mine, f"(module (func (export \\"f\\") (result i32) i32.const {number * 100 + turn}))")
        check("result", w.WasmInstance(w.WasmStore(mine), made).exports.f() == number * 100 + turn)
        allowed("junk", w.WasmModule, mine, "(module")
        if turn % 5 == 0:
            mine.close() if mine is not engine else None
run(6, work)
"""
    )


def test_epochs_and_closing_from_other_threads(script):
    script(
        """
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
store = w.WasmStore(engine)
loop = w.WasmInstance(store, w.WasmModule(engine, '(module (func (export "f") (loop $l br $l)))')).exports.f
store.set_epoch_deadline(1)
def meddle():
    time.sleep(0.2)
    refused("close", w.StoreBusyError, store.close)
    store.__exit__(None, None, None)
    refused("gc", (w.StoreBusyError, w.StoreClosedError), store.gc)
    engine.increment_epoch()
    engine.close()
thread = threading.Thread(target=meddle)
thread.start()
trap = refused("loop", w.WasmTrap, loop)
check("interrupted", trap.code == w.TrapCode.INTERRUPT)
thread.join()
refused("closed", w.StoreClosedError, loop)
"""
    )


def test_functions_that_keep_the_gil(script):
    script(
        """
sys.setswitchinterval(1e-6)
engine = w.WasmEngine()
module = w.WasmModule(engine, '''(module (import "" "h" (func $h (param i32) (result i32)))
    (func $r (export "r") (param i64) (result i64) local.get 0 i64.const 1 i64.add call $r)
    (func (export "f") (param i32) (result i32) (call $h (local.get 0))))''')
def work():
    calls = []
    def host(value):
        if value > 0:
            return calls[value % 2](value - 1)
        if value == -1:
            raise KeyError(value)
        if value == -2:
            time.sleep(0.001)
            w.WasmInstance(store, w.WasmModule(engine, "(module (func))"))
            return w.WasmInstance(store, module, {"": {"h": lambda x: x}}).exports.f(5)
        return 7
    store = w.WasmStore(engine)
    exports = w.WasmInstance(store, module, {"": {"h": host}}).exports
    keeping = exports.f.typed(["i32"], ["i32"], keep_gil=True)
    calls[:] = keeping, exports.f
    for turn in range(300):
        check("result", keeping(0) == 7 and keeping(6) == 7)
        if turn % 50 == 0:
            check("nested", keeping(-2) == 5)
            refused("exception", KeyError, keeping, -1)
            refused("deep", w.WasmTrap, exports.r.typed(["i64"], ["i64"], keep_gil=True), 1)
            refused("deep in host functions", (w.WasmTrap, RecursionError), keeping, 10_000)
    refused("WASI could wait", w.WasmtimeError, store.set_wasi, w.WasiConfig())
    waiting = w.WasmStore(engine, wasi=w.WasiConfig())
    function = w.WasmInstance(waiting, module, {"": {"h": host}}).exports.f
    refused("with WASI", w.WasmtimeError, lambda: function.typed(["i32"], ["i32"], keep_gil=True))
def guarded():
    allowed("thread", work)
threading.stack_size(4 << 20)
threads = [threading.Thread(target=guarded) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    )


def test_making_things_while_another_thread_closes(script):
    script("""
        sys.setswitchinterval(1e-6)
        engine = w.WasmEngine()
        makers = [
            lambda store: w.WasmFunc(store, lambda: None, w.WasmFuncType()),
            lambda store: w.WasmGlobal(store, w.WasmGlobalType("i32", mutable=True), 1),
            lambda store: w.WasmMemory(store, w.WasmMemoryType(0)),
            lambda store: w.WasmTable(store, w.WasmTableType("funcref", 1)),
            lambda store: w.WasmTag(store, w.WasmTagType(w.WasmFuncType())),
        ]
        closed = 0
        for turn in range(1500):
            store, go = w.WasmStore(engine), threading.Barrier(2)
            def close():
                go.wait()
                allowed("close", store.close)
            thread = threading.Thread(target=close)
            thread.start()
            go.wait()
            for _ in range(10):
                made = allowed("make", makers[turn % len(makers)], store)
                closed += isinstance(made, w.StoreClosedError)
                check("of the documented kinds", not isinstance(made, BaseException) or isinstance(made, w.MisuseError))
            thread.join()
        check("some came too late", closed > 0)
    """)


def test_closing_whatever_c_works_with(script):
    script("""
        BODY = "".join(f'(func (export "f{n}") (param i32) (result i32) (i32.add (local.get 0) (i32.mul (local.get 0) (i32.const {n}))))' for n in range(1000))
        TEXT = f'(module (memory (export "m") 1 100) (table (export "t") 1 10000000 externref) {BODY})'
        binary = w.wat2wasm(TEXT)
        column = __import__("array").array("i", range(200_000))
        config = w.WasmConfig(parallel_compilation=False, memory_reservation=0, memory_guard_size=0)
        compiled = w.WasmModule(w.WasmEngine(config), binary).serialize()
        class World:
            def __init__(self):
                self.engine = w.WasmEngine(config)
                self.module = w.WasmModule.deserialize(self.engine, compiled)
                self.store, self.linker = w.WasmStore(self.engine), w.WasmLinker(self.engine)
                self.instance = w.WasmInstance(self.store, self.module)
                self.exports = self.instance.exports
                self.f, self.m, self.t = self.exports.f1, self.exports.m, self.exports.t
                self.prepared = self.linker.prepare(self.module)
        works = {
            "compile": lambda o: w.WasmModule(o.engine, binary), "validate": lambda o: w.WasmModule.validate(o.engine, binary),
            "text": lambda o: w.WasmModule(o.engine, TEXT), "serialize": lambda o: o.module.serialize(),
            "deserialize": lambda o: w.WasmModule.deserialize(o.engine, compiled), "prepare": lambda o: o.linker.prepare(o.module),
            "map": lambda o: o.f.map(column), "table": lambda o: o.t.grow(9_000_000), "memory": lambda o: o.m.grow(90),
            "instantiate": lambda o: [o.linker.instantiate(o.store, o.module) for _ in range(20)],
            "instances": lambda o: [o.prepared.instantiate(o.store) for _ in range(50)], "gc": lambda o: [o.store.gc() for _ in range(300)],
        }
        meanwhile = 0
        for label, work in works.items():
            for delay in (0, 0.003):
                o, began, ended = World(), threading.Event(), threading.Event()
                def run():
                    began.set()
                    said = allowed(label, work, o)
                    ended.set()
                    check(f"{label}: {said!r}", not isinstance(said, Exception) or isinstance(said, (w.WasmtimeError, AttributeError)))
                thread = threading.Thread(target=run)
                thread.start()
                began.wait()
                time.sleep(delay)
                meanwhile += not ended.is_set()
                store = o.store
                for item in (o.f, o.m, o.t, o.prepared, o.linker, o.instance, o.module, o.engine):
                    item.close()
                said = allowed("close", store.close)
                check(f"{label}: {said!r}", said is None or isinstance(said, w.StoreBusyError))
                vars(o).clear()
                gc.collect()
                thread.join()
        check(f"{meanwhile} were still at it", meanwhile > 2)
    """)
