"""Engines: shared between stores and threads."""

import threading

import pytest

from wasmtime_rt import (
    AbstractEngine,
    ClosedError,
    TrapCode,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmtimeResource,
    WasmTrap,
    WrongEngineError,
    engine_version,
)

ANSWER = '(module (func (export "answer") (result i32) (i32.const 42)))'
SPIN = '(module (func (export "spin") (loop (br 0))))'


def test_the_engine_is_the_pinned_one():
    assert engine_version == "50.0.1"


def test_an_engine_is_a_resource():
    engine = WasmEngine()
    assert isinstance(engine, AbstractEngine)
    assert isinstance(engine, WasmtimeResource)
    assert engine.is_valid
    assert repr(engine) == "<WasmEngine WasmConfig()>"


def test_only_a_config_is_taken():
    with pytest.raises(TypeError, match="config: expected a WasmConfig, got {}"):
        WasmEngine({})


@pytest.mark.parametrize("use", [WasmStore, lambda e: WasmModule(e, "(module)"), WasmEngine.increment_epoch])
def test_a_closed_engine_refuses_new_work(use):
    engine = WasmEngine()
    engine.close()
    engine.close()
    assert not engine.is_valid
    assert repr(engine).endswith(" closed>")
    with pytest.raises(ClosedError, match="this engine was closed"):
        use(engine)


def test_what_was_made_with_an_engine_outlives_its_closing():
    with WasmEngine() as engine:
        store, module = WasmStore(engine), WasmModule(engine, ANSWER)
    assert not engine.is_valid
    assert WasmInstance(store, module).exports.answer() == 42


@pytest.mark.parametrize("make", [WasmStore, lambda e: WasmModule(e, "(module)")])
@pytest.mark.parametrize("wrong", [None, "engine", 5])
def test_an_engine_is_asked_for_by_name(make, wrong):
    with pytest.raises(TypeError, match="engine: expected a WasmEngine, got"):
        make(wrong)


def test_modules_of_one_engine_do_not_run_in_a_store_of_another(engine):
    other = WasmEngine()
    with pytest.raises(WrongEngineError, match="another engine"):
        WasmInstance(WasmStore(other), WasmModule(engine, ANSWER))


def test_many_threads_compile_and_run_with_one_engine(engine):
    results, barrier = [], threading.Barrier(4)

    def work(n):
        barrier.wait()
        for i in range(5):
            module = WasmModule(engine, f'(module (func (export "f") (result i32) (i32.const {n * 10 + i})))')
            results.append(WasmInstance(WasmStore(engine), module).exports.f())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(n * 10 + i for n in range(4) for i in range(5))


def test_an_epoch_deadline_traps():
    engine = WasmEngine(WasmConfig(epoch_interruption=True))
    store = WasmStore(engine)
    spin = WasmInstance(store, WasmModule(engine, SPIN)).exports.spin
    store.set_epoch_deadline(1)
    engine.increment_epoch()
    with pytest.raises(WasmTrap) as caught:
        spin()
    assert caught.value.code is TrapCode.INTERRUPT


def test_another_thread_ends_a_loop_by_the_epoch():
    engine = WasmEngine(WasmConfig(epoch_interruption=True))
    store = WasmStore(engine)
    started = threading.Event()
    module = WasmModule(engine, '(module (import "" "s" (func)) (func (export "f") (call 0) (loop (br 0))))')
    spin = WasmInstance(store, module, [started.set]).exports.f
    store.set_epoch_deadline(1)

    def tick():
        started.wait()
        engine.increment_epoch()

    ticker = threading.Thread(target=tick)
    ticker.start()
    with pytest.raises(WasmTrap) as caught:
        spin()
    ticker.join()
    assert caught.value.code is TrapCode.INTERRUPT


def test_a_new_store_has_no_deadline():
    engine = WasmEngine(WasmConfig(epoch_interruption=True))
    for _ in range(3):
        engine.increment_epoch()
    store = WasmStore(engine)
    answer = WasmInstance(store, WasmModule(engine, ANSWER)).exports.answer
    engine.increment_epoch()
    assert answer() == 42


def test_a_deadline_is_counted_from_when_it_is_set():
    engine = WasmEngine(WasmConfig(epoch_interruption=True))
    store = WasmStore(engine)
    answer = WasmInstance(store, WasmModule(engine, ANSWER)).exports.answer
    store.set_epoch_deadline(2)
    engine.increment_epoch()
    assert answer() == 42
    engine.increment_epoch()
    with pytest.raises(WasmTrap):
        answer()
    store.set_epoch_deadline(1)
    assert answer() == 42
    store.set_epoch_deadline(0)
    with pytest.raises(WasmTrap):
        answer()


@pytest.mark.parametrize("ticks", [-1, 2**63])
def test_deadlines_are_checked(ticks):
    store = WasmStore(WasmEngine(WasmConfig(epoch_interruption=True)))
    with pytest.raises(ValueError, match=f"ticks: .*got {ticks}"):
        store.set_epoch_deadline(ticks)


def test_a_deadline_needs_an_engine_with_epochs(store):
    with pytest.raises(WasmtimeError, match=r"it needs WasmConfig\(epoch_interruption=True\)"):
        store.set_epoch_deadline(1)
