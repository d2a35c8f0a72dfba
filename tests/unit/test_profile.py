"""Profiles of a store: samples with the names of functions, and deadlines that they do not disturb."""

import gc
import json
import weakref

import pytest

from wasmtime_rt import (
    TrapCode,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmTrap,
    WrongEngineError,
)

SPIN = """(module
    (import "" "host" (func $host))
    (func $hot (param i32) (loop $again
        (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0))))
    (func $outer (export "spin") (param i32) (call $hot (local.get 0)))
    (func (export "through_host") (call $host)))"""


@pytest.fixture(scope="module")
def engine():
    return WasmEngine(WasmConfig(epoch_interruption=True))


@pytest.fixture
def spinning(engine):
    """A store, and a function in it that takes a while."""
    store = WasmStore(engine)
    return store, WasmInstance(store, WasmModule(engine, SPIN), [lambda: None]).exports


def spin_until(profile, spin, samples=5):
    for _ in range(20_000):
        if profile.samples >= samples:
            return
        spin(100_000)
    raise AssertionError(f"{profile.samples} samples")


def functions_in(path):
    written = json.loads(path.read_text())
    thread = written["threads"][0]
    assert thread["samples"]["length"] >= 5
    strings = thread["stringArray"]
    return {strings[name] for name in thread["funcTable"]["name"]}


def test_a_profile_has_samples_with_the_names_of_functions(spinning, tmp_path):
    store, exports = spinning
    path = tmp_path / "profile.json"
    with store.profile(path, interval=0.0005) as profile:
        spin_until(profile, exports.spin)
    taken = profile.samples
    assert taken >= 5
    assert {"hot", "outer"} <= functions_in(path)
    exports.spin(1000)
    assert profile.samples == taken
    assert str(path) in repr(profile)


def test_modules_may_be_chosen_and_named(engine, tmp_path):
    store = WasmStore(engine)
    module, other = WasmModule(engine, SPIN), WasmModule(engine, SPIN.replace("$hot", "$cold"))
    spins = [WasmInstance(store, item, [lambda: None]).exports.spin for item in (module, other)]
    path = tmp_path / "profile.json"
    with store.profile(str(path), modules={"größe": module}) as profile:
        for spin in spins:
            spin_until(profile, spin, profile.samples + 5)
    assert "größe" in path.read_text(encoding="utf-8")
    assert "hot" in functions_in(path)
    assert "cold" not in functions_in(path)
    with store.profile(path, modules={}) as profile:
        spin_until(profile, spins[0])
    assert not {"hot", "outer"} & functions_in(path)


def test_deadlines_count_the_users_ticks_only(engine, spinning, tmp_path):
    store, exports = spinning
    other = WasmStore(engine)
    other_spin = WasmInstance(other, WasmModule(engine, SPIN), [lambda: None]).exports.spin
    store.set_epoch_deadline(2)
    other.set_epoch_deadline(1)
    with store.profile(tmp_path / "profile.json") as profile:
        spin_until(profile, exports.spin)
        other_spin(1000)
        engine.increment_epoch()
        exports.spin(1000)
        with pytest.raises(WasmTrap) as caught:
            other_spin(1000)
        assert caught.value.code is TrapCode.INTERRUPT
        engine.increment_epoch()
        with pytest.raises(WasmTrap) as caught:
            exports.spin(1000)
        assert caught.value.code is TrapCode.INTERRUPT
        assert [frame.func_name for frame in caught.value.frames][-1] == "outer"
    with pytest.raises(WasmTrap):
        exports.spin(1000)
    store.set_epoch_deadline(1)
    exports.spin(1000)


def test_a_deadline_that_has_passed_is_found_when_a_profile_ends(engine, spinning, tmp_path):
    store, exports = spinning
    store.set_epoch_deadline(1)
    with store.profile(tmp_path / "profile.json"):
        engine.increment_epoch()
    with pytest.raises(WasmTrap):
        exports.spin(1)


def test_calls_through_the_host_and_back_are_sampled(engine, tmp_path):
    store = WasmStore(engine)
    module, path = WasmModule(engine, SPIN), tmp_path / "profile.json"
    inner = WasmInstance(store, module, [lambda: None]).exports.spin
    outer = WasmInstance(store, module, [lambda: spin_until(profile, inner)]).exports
    with store.profile(path) as profile:
        outer.through_host()
    assert {"hot", "outer"} < functions_in(path)


def test_a_profile_may_begin_and_end_inside_a_call(engine, tmp_path):
    store, path = WasmStore(engine), tmp_path / "profile.json"
    module = WasmModule(engine, SPIN)
    inner = WasmInstance(store, module, [lambda: None]).exports.spin

    def host():
        with store.profile(path) as profile:
            spin_until(profile, inner)

    WasmInstance(store, module, [host]).exports.through_host()
    assert "hot" in functions_in(path)


def test_the_profile_is_written_where_the_block_fails(spinning, tmp_path):
    store, exports = spinning
    path = tmp_path / "profile.json"
    with pytest.raises(ZeroDivisionError), store.profile(path) as profile:
        spin_until(profile, exports.spin)
        1 / 0
    assert "hot" in functions_in(path)
    with store.profile(path):
        pass


def test_a_store_may_be_closed_inside_of_the_block(spinning, tmp_path):
    store, exports = spinning
    path = tmp_path / "profile.json"
    with store.profile(path) as profile:
        spin_until(profile, exports.spin)
        store.close()
    assert "hot" in functions_in(path)
    assert profile.samples >= 5


def test_a_profile_that_nobody_ends_is_collected(engine, tmp_path):
    store = WasmStore(engine)
    spin = WasmInstance(store, WasmModule(engine, SPIN), [lambda: None]).exports.spin
    profile = store.profile(tmp_path / "profile.json")
    profile.__enter__()
    spin_until(profile, spin)
    gone = weakref.ref(store)
    del store, spin, profile
    gc.collect()
    assert gone() is None


def test_misuse_is_refused(engine, spinning, tmp_path):
    store, _ = spinning
    path = tmp_path / "profile.json"
    with pytest.raises(WasmtimeError, match="epoch_interruption=True"):
        WasmStore(WasmEngine()).profile(path)
    for interval in (0, 1e-6, 3601, float("nan"), float("inf"), -1):
        with pytest.raises(ValueError, match="interval: expected"):
            store.profile(path, interval=interval)
    for interval in (None, "1", True):
        with pytest.raises(TypeError, match="interval: expected seconds"):
            store.profile(path, interval=interval)
    with pytest.raises(WrongEngineError):
        store.profile(path, modules={"m": WasmModule(WasmEngine(), "(module)")})
    with pytest.raises(TypeError, match="module: expected a WasmModule"):
        store.profile(path, modules={"m": 5})
    with pytest.raises(FileNotFoundError), store.profile(tmp_path / "missing" / "profile.json"):
        pass
    with store.profile(path) as profile:
        with pytest.raises(WasmtimeError, match="another profile of this store is running"):
            with store.profile(path):
                pass
        with pytest.raises(WasmtimeError, match="taken already"):
            profile.__enter__()
    with store.profile(path):
        pass
    profile.__exit__(None, None, None)
