"""Engines and modules as arguments: pickled, copied, sent to other processes."""

import copy
import gc
import pickle
import weakref

import pytest

from wasmtime_rt import (
    ClosedError,
    DeserializeError,
    OptimizationLevel,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
)

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


def add_of(module, engine=None):
    return WasmInstance(WasmStore(engine or module.engine), module).exports.add(40, 2)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_module_comes_back_to_its_engine(protocol):
    WasmEngine()  # equal ones that live are not taken for it
    engine = WasmEngine()
    module = WasmModule(engine, ADD)
    again = pickle.loads(pickle.dumps(module, protocol))
    assert again is not module
    assert again.engine is engine
    assert again.exports == module.exports
    module.close()
    assert add_of(again, engine) == 42


def test_a_config_is_pickled_as_a_value():
    config = WasmConfig(optimization_level=OptimizationLevel.NONE, max_wasm_stack=1 << 20)
    for again in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config), copy.copy(config)):
        assert again == config
        assert again.optimization_level is OptimizationLevel.NONE


def stranger(pickled, engine):
    """``pickled`` as if another process had made it."""
    identity = engine._identity[0]
    assert identity in pickled
    return pickled.replace(identity, bytes(16))


def test_a_module_of_another_process_goes_to_an_equal_engine():
    config = WasmConfig(max_wasm_stack=777_000)
    engine = WasmEngine(config)
    pickled = stranger(pickle.dumps(WasmModule(engine, ADD)), engine)
    later = WasmEngine(config)
    assert pickle.loads(pickled).engine is engine  # the oldest
    engine.close()
    assert pickle.loads(pickled).engine is later
    del engine, later
    gc.collect()
    first, second = pickle.loads(pickled), pickle.loads(pickled)
    assert first.engine is second.engine
    assert first.engine.config == config
    assert add_of(first) == add_of(second) == 42
    kept = first.engine
    kept.close()
    replacement = pickle.loads(pickled).engine
    assert replacement is not kept
    assert pickle.loads(pickled).engine is replacement


def test_damaged_pickles_are_refused_by_the_stamp():
    engine = WasmEngine()
    pickled = bytearray(pickle.dumps(WasmModule(engine, ADD)))
    pickled[pickled.index(b"\x7fELF") + 200] ^= 1
    with pytest.raises(DeserializeError, match="damaged"):
        pickle.loads(pickled)


def test_engines_are_pickled_and_copied_as_themselves():
    engine = WasmEngine(WasmConfig(consume_fuel=True))
    assert pickle.loads(pickle.dumps(engine)) is engine
    assert copy.copy(engine) is engine
    assert copy.deepcopy([engine])[0] is engine


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copied_module_shares_the_code_and_closes_alone(duplicate):
    module = WasmModule(WasmEngine(), ADD)
    copied = duplicate(module)
    assert copied is not module
    assert copied.engine is module.engine
    assert copied.image_range == module.image_range
    module.close()
    assert copied.is_valid
    assert add_of(copied) == 42
    for use in (duplicate, pickle.dumps):
        with pytest.raises(ClosedError):
            use(module)


def test_a_deep_copy_keeps_engine_and_module_together():
    engine = WasmEngine()
    copied = copy.deepcopy({"engine": engine, "module": WasmModule(engine, ADD)})
    assert add_of(copied["module"], copied["engine"]) == 42


class Named(WasmModule):
    name = None


def test_attributes_of_subclasses_go_along():
    module = Named(WasmEngine(), ADD)
    module.name = ["mine"]
    again = pickle.loads(pickle.dumps(module))
    assert type(again) is Named
    assert again.name == ["mine"]
    assert copy.copy(module).name is module.name
    assert copy.deepcopy(module).name == ["mine"]
    assert copy.deepcopy(module).name is not module.name


def test_pickling_keeps_no_engine_alive():
    engine = WasmEngine(WasmConfig(max_wasm_stack=888_000))
    gone = weakref.ref(engine)
    again = pickle.loads(pickle.dumps(WasmModule(engine, ADD)))
    assert again.engine is engine
    del engine, again
    gc.collect()
    assert gone() is None
