"""Guests that never end, and all that ends them: signals, other threads, time limits; forks and exits meanwhile."""

from textwrap import dedent

import pytest

SETUP = """
SOURCE = '''(module
    (import "" "host" (func $host))
    (func $spin (export "spin") (loop $l br $l))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "row") (param i32) (result i32) (local.get 0))
    (func (export "spin_row") (param i32) (result i32) (call $spin) (local.get 0))
    (func (export "spin_ref") (param externref) (result externref) (call $spin) (local.get 0))
    (func (export "through") (call $host))
    (func (export "through_and_spin") (call $host) (call $spin))
    (func (export "through_forever") (loop $l (call $host) br $l)))'''
START = "(module (func $s (loop $l br $l)) (start $s))"
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
module, start = w.WasmModule(engine, SOURCE), w.WasmModule(engine, START)
linker = w.WasmLinker(engine)
prepared = linker.prepare(start)
def exports(store, host=lambda: None):
    return w.WasmInstance(store, module, [host]).exports
def soon(function, *args, seconds=0.1):
    thread = threading.Timer(seconds, function, args)
    thread.start()
    return thread
def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
def alarm(handler, seconds=0.05, again=0.0):
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, again)
def tickers():
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as name:
                found += [f"/proc/self/task/{task}"] * (name.read() == "wasmtime-ticker\\n")
        except OSError:
            pass  # a thread that has ended meanwhile
    return found
def ended_in_time(label, began):
    took = time.monotonic() - began
    check(f"{label}: took {took} seconds", took < 20)
"""
SPINNING = (
    SETUP
    + """
store = w.WasmStore(engine)
made = exports(store)
"""
)


def test_ctrl_c_ends_whatever_runs(script):
    script(
        SPINNING
        + dedent("""
    import array
    outer = exports(store, made.spin)
    def host_catches():
        try:
            made.spin()
        except KeyboardInterrupt:
            raise
    rows = array.array("i", range(1000))
    for label, spin in {
        "call": made.spin,
        "call with a reference": lambda: made.spin_ref(store),
        "call_values": made.spin.call_values,
        "in a deadline": lambda: made.spin(timeout=1000),
        "map": lambda: made.spin_row.map(rows),
        "host functions": made.through_forever,
        "nested": outer.through,
        "nested in a host function that sees it": exports(store, host_catches).through,
        "start": lambda: w.WasmInstance(store, start),
        "start of what is linked": lambda: linker.instantiate(store, start),
        "start of what is prepared": lambda: prepared.instantiate(store),
    }.items():
        began = time.monotonic()
        thread = soon(ctrl_c)
        raised = refused(label, KeyboardInterrupt, spin)
        thread.join()
        ended_in_time(label, began)
        check(f"{label}: the store works", made.add(1, 2) == 3)
        if sys.version_info >= (3, 11) and label != "map":
            check(f"{label}: no frames", "WebAssembly frames" in "".join(getattr(raised, "__notes__", ())))
    """),
        timeout=120,
    )


def test_ctrl_c_where_the_gil_is_kept(script):
    script(
        SPINNING
        + dedent("""
    warnings.simplefilter("ignore")
    if (child := os.fork()) == 0:
        time.sleep(0.2)
        os.kill(os.getppid(), signal.SIGINT)
        os._exit(0)
    refused("keep_gil", KeyboardInterrupt, made.spin.typed(keep_gil=True))
    os.waitpid(child, 0)
    refused("keep_gil", w.WasmTimeout, lambda: made.spin.typed(keep_gil=True)(timeout=0.05))
    check("works", made.add(1, 2) == 3)
    """)
    )


def test_ctrl_c_that_nobody_catches_ends_the_process(script):
    said = script(
        SPINNING + "soon(ctrl_c); print('started', flush=True); made.spin()",
        status=-2,
        stderr=None,
        finish=False,
    )
    assert said == "started\n"


def test_a_handler_that_returns_lets_the_guest_go_on(script):
    script(
        SPINNING
        + dedent("""
    seen = []
    def handler(number, frame):
        seen.append(number)
        if len(seen) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            store.interrupt()
    alarm(handler, 0.05, 0.05)
    refused("goes on", w.WasmInterrupted, made.spin)
    check(f"{seen}", len(seen) == 3)

    class Mine(BaseException):
        pass
    def failing(number, frame):
        raise Mine(number)
    for spin in (made.spin, made.through_forever, exports(store, made.spin).through, lambda: w.WasmInstance(store, start)):
        alarm(failing)
        raised = refused("raises", Mine, spin)
        check("what was raised", raised.args == (signal.SIGALRM,))
        check("works", made.add(1, 2) == 3)

    # A host function may catch it and go on.
    caught = []
    def host():
        try:
            made.spin()
        except Mine as mine:
            caught.append(mine)
    alarm(failing)
    exports(store, host).through()
    check("caught inside", len(caught) == 1)
    """)
    )


def test_handlers_may_use_the_store(script):
    script(
        SPINNING
        + dedent("""
    import array
    def nested_call(number, frame):
        check("nested call", made.add(20, 22) == 42)
        check("nested map", list(made.row.map(array.array("i", [5, 6]))) == [5, 6])
        store.gc()
        w.WasmInstance(store, module, [lambda: None]).exports.through()
        refused("nested timeout", w.WasmTimeout, lambda: made.spin(timeout=0.05))
        refused("close", w.StoreBusyError, store.close)
        gc.collect()
        store.set_epoch_deadline(1000)
        with store.deadline(1000):
            made.add(1, 2)
        other = w.WasmStore(engine)
        refused("another store", w.WasmTimeout, lambda: exports(other).spin(timeout=0.05))
        other.close()
    for _ in range(3):
        alarm(nested_call)
        refused("handler", w.WasmTimeout, lambda: made.spin(timeout=1.0))
        check("works", made.add(1, 2) == 3)

    # a handler in a handler
    depth = []
    def again(number, frame):
        depth.append(1)
        if len(depth) < 5:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            made.spin(timeout=30)
        else:
            raise KeyError("deep")
    alarm(again)
    refused("handlers in handlers", KeyError, made.spin)
    check("works", made.add(1, 2) == 3)

    def leave(number, frame):
        store.__exit__(None, None, None)
    alarm(leave)
    refused("closed behind its back", w.WasmTimeout, lambda: made.spin(timeout=0.3))
    refused("closed", w.StoreClosedError, made.add, 1, 2)
    """)
    )


def test_ctrl_c_beside_a_busy_python_thread(script):
    script(
        SPINNING
        + dedent("""
    stop = threading.Event()
    def busy():
        while not stop.is_set():
            sum(range(1000))
    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads: thread.start()
    began = time.monotonic()
    soon(ctrl_c)
    refused("spin", KeyboardInterrupt, made.spin)
    ended_in_time("spin", began)
    stop.set()
    for thread in threads: thread.join()
    """)
    )


def test_signals_are_for_the_main_thread(script):
    script(
        SPINNING
        + dedent("""
    ended = []
    def work():
        refused("on a thread", w.WasmInterrupted, made.spin)
        ended.append(1)
    thread = threading.Thread(target=work)
    thread.start()
    soon(ctrl_c)
    refused("main", KeyboardInterrupt, time.sleep, 30)
    check("the thread goes on", not ended)
    while not store.interrupt():
        time.sleep(0.001)
    thread.join()
    check("ended", ended == [1])
    """)
    )


def test_a_hundred_threads(script):
    script(
        SPINNING
        + dedent("""
    engines = [engine] + [w.WasmEngine(w.WasmConfig(epoch_interruption=True)) for _ in range(3)]
    modules = [w.WasmModule(engine, SOURCE) for engine in engines]
    done = []
    def work(number):
        store = w.WasmStore(engines[number % 4])
        made = w.WasmInstance(store, modules[number % 4], [lambda: None]).exports
        for turn in range(3):
            limit = 0.02 + 0.01 * ((number + turn) % 9)
            raised = refused("spin", w.WasmTimeout, lambda: made.spin(timeout=limit))
            check(f"{raised.elapsed} of {limit}", limit - 1e-8 <= raised.elapsed < 60 and abs(raised.limit - limit) < 1e-6)
            check("works", made.add(number, 1) == number + 1)
        done.append(number)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(100)]
    for thread in threads: thread.start()
    check("one thread ticks", len(tickers()) <= 1)
    for thread in threads: thread.join()
    check("all done", len(done) == 100)
    check("one thread ticks", len(tickers()) == 1)
    """),
        timeout=120,
    )


def test_interruptions_in_a_storm(script):
    script(
        SPINNING
        + dedent("""
    stores = [w.WasmStore(engine) for _ in range(4)]
    stop = threading.Event()
    counts = {"done": 0, "interrupted": 0, "told": 0}
    def storm():
        while not stop.is_set():
            for store in stores:
                counts["told"] += store.interrupt()
    def work(number):
        made = exports(stores[number], lambda: time.sleep(0))
        while not stop.is_set():
            try:
                made.add(1, 2)
                made.through_and_spin(timeout=30)
            except w.WasmInterrupted:
                counts["interrupted"] += 1
            if counts["interrupted"] % 7 == 0:
                old, stores[number] = stores[number], w.WasmStore(engine)
                old.close()
                made = exports(stores[number], lambda: time.sleep(0))
    threads = [threading.Thread(target=storm)] + [threading.Thread(target=allowed, args=("work", work, n)) for n in range(4)]
    for thread in threads: thread.start()
    time.sleep(1.5)
    stop.set()
    for store in stores: store.interrupt()
    deadline = time.monotonic() + 30
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        for store in stores: store.interrupt()
        time.sleep(0.01)
    for thread in threads: thread.join()
    check(f"{counts}", counts["interrupted"] > 0 and counts["told"] > 0)
    """)
    )


def test_a_forked_child_has_time_limits_and_signals(script):
    script(
        SPINNING
        + dedent("""
    refused("parent", w.WasmTimeout, lambda: made.spin(timeout=0.05))  # the ticker lives
    def times_out():
        for _ in range(2):
            try:
                made.spin(timeout=0.05)
            except w.WasmTimeout:
                assert made.add(1, 2) == 3
            else:
                raise AssertionError
    def ctrl_c_ends_it():
        soon(ctrl_c)
        try:
            made.spin()
        except KeyboardInterrupt:
            assert made.add(1, 2) == 3
    other = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
    compiled = w.WasmModule(other, START)
    def fresh():
        store = w.WasmStore(other)
        try:
            w.WasmInstance(store, compiled, timeout=0.05)
        except w.WasmTimeout:
            pass
    def grandchild():
        in_child("grandchild", times_out, 20)
        times_out()
    spinning = w.WasmStore(engine)
    thread = threading.Thread(target=lambda: refused("spins beside", w.WasmInterrupted, exports(spinning).spin))
    thread.start()
    for label, work in {"limit": times_out, "signal": ctrl_c_ends_it, "fresh": fresh, "grandchild": grandchild}.items():
        in_child(label, work, 20)
        refused("the parent goes on", w.WasmTimeout, lambda: made.spin(timeout=0.02))
    def on_a_thread():
        in_child("from a thread", times_out, 20)
        in_child("signal from a thread", ctrl_c_ends_it, 20)
    forking = threading.Thread(target=on_a_thread)
    forking.start()
    forking.join()
    while not spinning.interrupt():
        time.sleep(0.001)
    thread.join()
    """),
        timeout=120,
    )


def test_forks_inside_of_a_call(script):
    script(
        SPINNING
        + dedent("""
    pids = []
    def host():
        pids.append(os.fork())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exports(store, host).through_and_spin(timeout=0.1)
            status = 1
        except w.WasmTimeout:
            status = 0
        try:
            made.spin(timeout=0.05)
        except w.WasmTimeout:
            pass
        if pids[0] == 0:
            os._exit(status)
    check("parent", status == 0)
    check("child", os.waitpid(pids[0], 0)[1] == 0)
    """)
    )


def test_many_forks_beside_the_ticker(script):
    script(
        SPINNING
        + dedent("""
    other = w.WasmStore(engine)
    with store.profile("profile.json", interval=0.0001):
        thread = threading.Thread(target=lambda: refused("spins beside", w.WasmInterrupted, exports(other).spin))
        thread.start()
        for turn in range(60):
            in_child(f"fork {turn}", lambda: made.add(1, 2), 20)
        in_child("a limit", lambda: refused("limit", w.WasmTimeout, lambda: made.spin(timeout=0.05)), 20)
        while not other.interrupt():
            time.sleep(0.001)
        thread.join()
    """)
    )


def test_the_ticker_sleeps_when_nothing_runs(script):
    script(
        SPINNING
        + dedent("""
    def switches():
        [ticker] = tickers()
        with open(f"{ticker}/status") as status:
            return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
    for turn in range(3):
        refused("spin", w.WasmTimeout, lambda: made.spin(timeout=0.05))
        awake = switches()
        time.sleep(0.3)
        check("it is awake for a while", switches() > awake)
        for _ in range(100):
            before = switches()
            time.sleep(0.2)
            if switches() == before:
                break
        else:
            check("it does not sleep", False)
    """)
    )


def test_no_thread_where_there_are_no_calls(script):
    script(
        SETUP
        + dedent("""
    engine.increment_epoch()
    store = w.WasmStore(engine)
    store.set_epoch_deadline(1)
    plain = w.WasmEngine()
    w.WasmInstance(w.WasmStore(plain), w.WasmModule(plain, SOURCE), [lambda: None]).call("add", 1, 2)
    check("no thread before there is a call", not tickers())
    check("call", exports(store).add(1, 2) == 3)
    while not tickers():
        time.sleep(0.01)
    """)
    )


_ENDS = {
    "a daemon spins": "threading.Thread(target=made.spin, daemon=True).start(); time.sleep(0.05)",
    "a daemon spins in a deadline": """
threading.Thread(target=lambda: made.spin(timeout=1000), daemon=True).start()
time.sleep(0.05)""",
    "daemons time out again and again": """
def work():
    made = exports(w.WasmStore(engine))
    while True:
        try:
            made.spin(timeout=0.005)
        except w.WasmTimeout:
            pass
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)""",
    "a daemon interrupts": """
threading.Thread(target=lambda: [store.interrupt() for _ in iter(int, 1)], daemon=True).start()
refused("spin", w.WasmInterrupted, made.spin)""",
    "a deadline is open": "deadline = store.deadline(5); deadline.__enter__()",
    "a deadline is open in a circle": "store.data = deadline = store.deadline(5); deadline.__enter__(); del deadline",
    "a finalizer spins": """
class Last:
    def __del__(self, spin=made.spin, timeout=w.WasmTimeout):
        try:
            spin(timeout=0.05)
        except timeout:
            pass
import builtins
builtins.last = Last()
last = Last()""",
    "atexit": "import atexit; atexit.register(lambda: refused('spin', w.WasmTimeout, lambda: made.spin(timeout=0.05)))",
}


@pytest.mark.parametrize("end", _ENDS)
def test_the_interpreter_ends_silently(script, end):
    script(SPINNING + _ENDS[end], finish=False)


def test_limits_and_stores_do_not_pile_up(script):
    script(
        SPINNING
        + dedent("""
    def once():
        store = w.WasmStore(engine)
        made = exports(store)
        for _ in range(20):
            made.add(1, 2, timeout=5)
        refused("limit", w.WasmTimeout, lambda: made.add(1, 2, timeout=0))
        store.interrupt()
        store.data = store.deadline(5), store
        store.data[0].__enter__()
    for _ in range(100): once()
    gc.collect()
    before = resident()
    for _ in range(1000): once()
    gc.collect()
    check(f"{before} became {resident()} MiB", resident() - before < 8)
    engines = [w.WasmEngine(w.WasmConfig(epoch_interruption=True)) for _ in range(5)]
    gone = [weakref.ref(engine) for engine in engines]
    del engines
    gc.collect()
    check("engines go", not any(reference() for reference in gone))
    refused("spin", w.WasmTimeout, lambda: made.spin(timeout=0.05))
    """)
    )
