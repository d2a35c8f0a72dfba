"""Time limits and interruption of a store: who is stopped, by what, and what goes on."""

import array
import pickle
import threading
import time

import pytest

from wasmtime_rt import (
    MisuseError,
    StoreClosedError,
    StoreDeadline,
    TrapCode,
    WasmConfig,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmInterrupted,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmTimeout,
    WasmTrap,
)

SOURCE = """(module
    (import "" "host" (func $host))
    (func $spin (export "spin") (loop $again br $again))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "object") (param externref) (result externref) (local.get 0))
    (func (export "spin_for") (param i64) (result i64) (call $spin) (local.get 0))
    (func (export "through") (call $host))
    (func (export "through_and_spin") (call $host) (call $spin))
    (func (export "through_forever") (loop $again (call $host) br $again)))"""
SPINS_AT_START = "(module (func $start (loop $again br $again)) (start $start))"
LONG = 1000.0  # seconds: no test gets there


@pytest.fixture(scope="module")
def engine():
    return WasmEngine(WasmConfig(epoch_interruption=True))


@pytest.fixture
def store(engine):
    return WasmStore(engine)


def exports(store, host=lambda: None, source=SOURCE):
    return WasmInstance(store, WasmModule(store.engine, source), [host] if "import" in source else []).exports


def stopped(caught, at_least, limit):
    """What every `WasmTimeout` has."""
    assert caught.value.code is TrapCode.INTERRUPT
    assert at_least <= caught.value.elapsed < LONG
    assert caught.value.limit == pytest.approx(limit)
    assert str(caught.value).startswith(
        f"timeout: {caught.value.elapsed:.3f} seconds have passed, the limit was "
    )


# ---- Time limits


def test_a_block_ends_what_runs_too_long(store):
    spin = exports(store).spin
    with store.deadline(0.03) as deadline, pytest.raises(WasmTimeout) as caught:
        spin()
    stopped(caught, 0.03, 0.03)
    assert [frame.func_name for frame in caught.value.frames] == ["spin"]
    assert deadline.seconds == 0.03
    assert 0.03 <= deadline.elapsed < LONG
    assert isinstance(caught.value, WasmTrap)


def test_the_store_stays_usable(store):
    made = exports(store)
    for _ in range(3):
        with pytest.raises(WasmTimeout):
            made.spin(timeout=0.001)
        assert made.add(1, 2) == 3
    with store.deadline(LONG):
        assert made.add(1, 2) == 3


def test_later_calls_of_the_block_end_too(store):
    made = exports(store)
    with store.deadline(0):
        for _ in range(3):
            with pytest.raises(WasmTimeout) as caught:
                made.add(1, 2)
            stopped(caught, 0.0, 0.0)
    assert made.add(1, 2) == 3
    with store.deadline(0.01):
        time.sleep(0.02)  # the block's time is up, with no call
        with pytest.raises(WasmTimeout):
            made.add(1, 2)


@pytest.mark.parametrize("limits", [(0.02, LONG), (LONG, 0.02)])
def test_of_nested_blocks_the_earlier_counts(store, limits):
    made = exports(store)
    outer, inner = limits
    with store.deadline(outer):
        with store.deadline(inner), pytest.raises(WasmTimeout) as caught:
            made.spin()
        stopped(caught, 0.02, 0.02)
        if outer == LONG:
            assert made.add(1, 2) == 3
        else:
            with pytest.raises(WasmTimeout):
                made.add(1, 2)


def test_blocks_may_end_in_any_order(store):
    made = exports(store)
    short, long = store.deadline(0), store.deadline(LONG)
    short.__enter__()
    long.__enter__()
    short.__exit__(None, None, None)
    assert made.add(1, 2) == 3
    long.__exit__(None, None, None)
    assert store._deadlines == []


def test_a_deadline_is_used_once(store):
    deadline = store.deadline(1)
    assert isinstance(deadline, StoreDeadline)
    assert deadline.elapsed == 0.0
    with deadline:
        assert deadline.elapsed > 0
    elapsed = deadline.elapsed
    assert deadline.elapsed == elapsed
    assert repr(deadline).startswith("<StoreDeadline 1 seconds, 0.")
    with pytest.raises(WasmtimeError, match="was used already"):
        deadline.__enter__()


def test_other_stores_of_the_engine_go_on(engine, store):
    other = exports(WasmStore(engine))
    made = exports(store)
    ended = threading.Event()

    def run():
        with pytest.raises(WasmInterrupted):
            other.spin()
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(3):
        with pytest.raises(WasmTimeout):
            made.spin(timeout=0.02)
    assert not ended.is_set()
    while not ended.wait(0.01):
        other.spin.store.interrupt()
    thread.join()


def test_the_limit_goes_into_nested_calls(store):
    inner = exports(store)
    outer = exports(store, inner.spin)
    with pytest.raises(WasmTimeout) as caught:
        outer.through(timeout=0.02)
    stopped(caught, 0.02, 0.02)
    assert caught.value.frames[0].func_name == "spin"


def test_a_limit_inside_of_a_host_function_is_for_its_calls(store):
    inner, seen = exports(store), []

    def host():
        with pytest.raises(WasmTimeout):
            inner.spin(timeout=0.02)
        seen.append(inner.add(1, 2))

    exports(store, host).through(timeout=LONG)
    assert seen == [3]


def test_the_outer_limit_holds_where_a_host_function_catches_it(store):
    inner, caught_inside = exports(store), []

    def host():
        try:
            inner.spin()
        except WasmTimeout as problem:
            caught_inside.append(problem)

    with pytest.raises(WasmTimeout):
        exports(store, host).through_and_spin(timeout=0.02)
    assert len(caught_inside) == 1


def test_a_host_function_is_not_stopped_and_what_follows_it_is(store):
    done = []

    def host():
        time.sleep(0.05)
        done.append(True)

    with pytest.raises(WasmTimeout) as caught:
        exports(store, host).through_and_spin(timeout=0.01)
    assert done == [True]
    stopped(caught, 0.05, 0.01)


def test_a_host_function_that_is_called_for_ever(store):
    with pytest.raises(WasmTimeout):
        exports(store).through_forever(timeout=0.02)


def test_start_functions(engine, store):
    module = WasmModule(engine, SPINS_AT_START)
    linker = WasmLinker(engine)
    prepared = linker.prepare(module)
    for make in (
        lambda: WasmInstance(store, module, timeout=0.01),
        lambda: linker.instantiate(store, module, timeout=0.01),
        lambda: prepared.instantiate(store, timeout=0.01),
    ):
        with pytest.raises(WasmTimeout) as caught:
            make()
        stopped(caught, 0.01, 0.01)
    with store.deadline(0.01), pytest.raises(WasmTimeout):
        linker.define_module(store, "m", module)
    quick = WasmModule(engine, "(module)")
    for made in (
        WasmInstance(store, quick, timeout=LONG),
        linker.instantiate(store, quick, timeout=LONG),
        linker.prepare(quick).instantiate(store, timeout=LONG),
    ):
        assert len(made.exports) == 0


# ---- The keyword


def test_every_way_to_call_takes_a_timeout(store):
    made = exports(store)
    instance = WasmInstance(store, WasmModule(store.engine, SOURCE), [lambda: None])
    marker = object()
    assert made.add(1, 2, timeout=LONG) == 3
    assert made.add(1, 2, timeout=None) == 3
    assert made.object(marker, timeout=LONG) is marker
    assert made.add.typed(["i32", "i32"], ["i32"])(3, 4, timeout=LONG) == 7
    assert instance.call("add", 4, 5, timeout=LONG) == 9
    assert [value.value for value in made.add.call_values(1, 1, timeout=LONG)] == [2]
    assert list(made.add.map(array.array("i", [1, 2]), 5, timeout=LONG)) == [6, 7]
    for spin in (
        lambda: made.spin(timeout=0.01),
        lambda: made.spin.typed()(timeout=0.01),
        lambda: made.spin.typed(keep_gil=True)(timeout=0.01),
        lambda: instance.call("spin", timeout=0.01),
        lambda: made.spin.call_values(timeout=0.01),
    ):
        with pytest.raises(WasmTimeout) as caught:
            spin()
        stopped(caught, 0.01, 0.01)


def test_map_has_one_limit_for_all_rows(store):
    made = exports(store)
    with pytest.raises(WasmTimeout) as caught:
        made.spin_for.map(array.array("q", [0] * 10), timeout=0.02)
    assert caught.value.row == 0
    with store.deadline(0), pytest.raises(WasmTimeout):
        made.add.map(array.array("i", [0] * 10), 1)


def test_what_is_wrong_with_keywords_is_said(store):
    made = exports(store)
    for keywords in ({"limit": 1}, {"timeout": 1, "x": 2}):
        with pytest.raises(TypeError, match="add: takes no keyword arguments but timeout"):
            made.add(1, 2, **keywords)
    with pytest.raises(TypeError, match="expected 2 arguments, got 1"):
        made.add(1, timeout=LONG)


@pytest.mark.parametrize("seconds", ["1", True, 1j])
def test_a_limit_is_a_number(store, seconds):
    with pytest.raises(TypeError, match="seconds: expected a number of seconds or None, got"):
        store.deadline(seconds)


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan")])
def test_a_limit_is_not_negative(store, seconds):
    with pytest.raises(ValueError, match="timeout: expected 0 seconds or more, got"):
        exports(store).add(1, 2, timeout=seconds)


@pytest.mark.parametrize("seconds", [1e12, 2**80, float("inf")])
def test_a_limit_may_be_as_long_as_one_likes(store, seconds):
    with store.deadline(seconds):
        assert exports(store).add(1, 2, timeout=seconds) == 3


def test_an_engine_without_epochs_is_refused():
    store = WasmStore(WasmEngine())
    made = exports(store)
    for use in (
        lambda: store.deadline(1),
        lambda: made.add(1, 2, timeout=1),
        lambda: made.add.call_values(1, 2, timeout=1),
        lambda: WasmInstance(store, WasmModule(store.engine, "(module)"), timeout=1),
        store.interrupt,
    ):
        with pytest.raises(
            WasmtimeError, match=r"an engine with epochs: WasmConfig\(epoch_interruption=True\)"
        ):
            use()


def test_a_closed_store(engine):
    store = WasmStore(engine)
    deadline = store.deadline(1)
    with store.deadline(1):
        store.close()
    with pytest.raises(StoreClosedError):
        deadline.__enter__()
    assert store.interrupt() is False


def test_a_store_may_be_closed_behind_a_call_that_times_out(engine):
    store = WasmStore(engine)

    def host():
        store.__exit__(None, None, None)

    with pytest.raises(WasmTimeout):
        exports(store, host).through_and_spin(timeout=0.02)
    assert not store.is_valid


# ---- With all that else may end a call


def test_what_a_host_function_raises_comes_first(store):
    def host():
        time.sleep(0.03)
        raise KeyError("host")

    with pytest.raises(KeyError, match="host"):
        exports(store, host).through(timeout=0.01)


def test_user_epochs_fuel_and_limits_together():
    engine = WasmEngine(WasmConfig(epoch_interruption=True, consume_fuel=True))
    store = WasmStore(engine)
    made = exports(store)
    store.set_fuel(2**60)
    store.set_epoch_deadline(2)
    with store.deadline(0.02), pytest.raises(WasmTimeout):
        made.spin()
    engine.increment_epoch()
    assert made.add(1, 2) == 3
    store.set_fuel(1000)
    with store.deadline(LONG), pytest.raises(WasmTrap) as caught:
        made.spin()
    assert caught.value.code is TrapCode.OUT_OF_FUEL
    store.set_fuel(2**60)
    engine.increment_epoch()
    with store.deadline(LONG), pytest.raises(WasmTrap) as caught:
        made.spin()
    assert type(caught.value) is WasmTrap
    assert caught.value.code is TrapCode.INTERRUPT
    store.set_epoch_deadline(1)
    with pytest.raises(WasmTimeout):
        made.spin(timeout=0.02)


def test_ticks_do_not_count_as_the_users(store):
    made = exports(store)
    store.set_epoch_deadline(1)
    with pytest.raises(WasmTimeout):
        made.spin(timeout=0.1)  # some ten ticks
    assert made.add(1, 2) == 3


def test_a_profile_and_a_limit_together(store, tmp_path):
    made = exports(store)
    with store.profile(tmp_path / "profile.json", interval=0.0005) as profile:
        while profile.samples < 5:
            with pytest.raises(WasmTimeout):
                made.spin(timeout=0.02)
    assert made.add(1, 2) == 3


# ---- Interruption


def interrupt_soon(store):
    """Interrupt what runs in ``store`` from another thread, once something does."""

    def run():
        while not store.interrupt():
            time.sleep(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_another_thread_interrupts(store):
    made = exports(store)
    for spin in (made.spin, made.spin.call_values, lambda: made.spin(timeout=LONG), made.through_forever):
        thread = interrupt_soon(store)
        with pytest.raises(WasmInterrupted) as caught:
            spin()
        thread.join()
        assert caught.value.code is TrapCode.INTERRUPT
        assert 0 <= caught.value.elapsed < LONG
        assert caught.value.frames
        assert str(caught.value).startswith(f"interrupted after {caught.value.elapsed:.3f} seconds")
        assert made.add(1, 2) == 3


def test_a_start_function_is_interrupted(engine, store):
    thread = interrupt_soon(store)
    with pytest.raises(WasmInterrupted):
        WasmInstance(store, WasmModule(engine, SPINS_AT_START))
    thread.join()


def test_an_idle_store_is_not_interrupted(store):
    made = exports(store)
    assert store.interrupt() is False
    assert made.add(1, 2) == 3
    assert store.interrupt() is False


def test_a_host_function_may_interrupt_its_own_call(store):
    told = []
    with pytest.raises(WasmInterrupted):
        exports(store, lambda: told.append(store.interrupt())).through_and_spin()
    assert told == [True]


def test_all_calls_inside_of_one_another_end(store):
    inner, ended = exports(store), []

    def host():
        store.interrupt()
        try:
            inner.spin()
        except WasmInterrupted:
            ended.append("inner")

    with pytest.raises(WasmInterrupted):
        exports(store, host).through_and_spin()
    assert ended == ["inner"]


def test_an_interruption_ends_its_call_and_no_later_one(store):
    told = []
    made = exports(store, lambda: told.append(store.interrupt()))
    with pytest.raises(WasmInterrupted):
        made.through()  # it looks at nothing after the host function
    assert told == [True]
    assert made.add(1, 2) == 3


def test_both_errors_can_be_pickled():
    for made in (WasmTimeout("text", elapsed=1.5, limit=1.0), WasmInterrupted("text", elapsed=2.5)):
        copy = pickle.loads(pickle.dumps(made))
        assert type(copy) is type(made)
        assert (str(copy), copy.elapsed, copy.code) == ("text", made.elapsed, TrapCode.INTERRUPT)
        assert not isinstance(copy, MisuseError)


# ---- Many at once


def test_many_stores_of_one_engine_with_limits_of_their_own(engine):
    module, done = WasmModule(engine, SOURCE), []

    def run(limit):
        store = WasmStore(engine)
        made = WasmInstance(store, module, [lambda: None]).exports
        for _ in range(3):
            with pytest.raises(WasmTimeout) as caught:
                made.spin(timeout=limit)
            stopped(caught, limit, limit)
            assert made.add(1, 2) == 3
        done.append(limit)

    threads = [threading.Thread(target=run, args=(0.01 * (1 + number % 7),)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == len(threads)


def test_a_host_function_that_python_calls_fails_if_it_returns_after_the_limit(store):
    slow = WasmFunc(store, lambda: time.sleep(0.2), WasmFuncType([], []))
    with pytest.raises(WasmTimeout):
        slow(timeout=0.01)
