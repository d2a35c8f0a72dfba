"""Settings of an engine."""

import copy
import inspect
import pickle

import pytest

from wasmtime_rt import (
    AbstractConfig,
    OptimizationLevel,
    PoolingConfig,
    ProfilingStrategy,
    Strategy,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmtimeError,
)

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


def add_with(config):
    engine = WasmEngine(config)
    store = WasmStore(engine)
    if config.consume_fuel:
        store.set_fuel(1000)
    return WasmInstance(store, WasmModule(engine, ADD)).exports.add(40, 2)


def test_defaults_are_those_of_the_engine():
    config = WasmConfig()
    assert isinstance(config, AbstractConfig)
    assert config.debug_info is False
    assert config.optimization_level is OptimizationLevel.SPEED
    assert config.profiling_strategy is ProfilingStrategy.NONE
    assert config.consume_fuel is False
    assert config.epoch_interruption is False
    assert config.max_wasm_stack == 512 * 1024
    assert WasmEngine().config == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("debug_info", True),
        ("optimization_level", OptimizationLevel.NONE),
        ("optimization_level", OptimizationLevel.SPEED_AND_SIZE),
        ("profiling_strategy", ProfilingStrategy.NONE),
        ("consume_fuel", True),
        ("epoch_interruption", True),
        ("max_wasm_stack", 1 << 20),
    ],
)
def test_every_setting_can_be_read_and_makes_a_working_engine(name, value):
    config = WasmConfig(**{name: value})
    assert getattr(config, name) == value
    assert WasmConfig().replace(**{name: value}) == config
    assert add_with(config) == 42


@pytest.mark.parametrize("preset", ["compact", "development", "production", "profiling", "sandbox"])
def test_presets_are_configs(preset):
    config = getattr(WasmConfig, preset)()
    assert isinstance(config, WasmConfig)
    assert config.replace() == config


def test_presets_work():
    for preset in (WasmConfig.compact, WasmConfig.development, WasmConfig.production, WasmConfig.sandbox):
        assert add_with(preset()) == 42
    assert WasmConfig.development().optimization_level is OptimizationLevel.NONE
    assert WasmConfig.profiling().profiling_strategy is ProfilingStrategy.PERFMAP
    assert WasmConfig.sandbox().consume_fuel
    assert WasmConfig.sandbox().epoch_interruption


def test_configs_are_values():
    one, other = WasmConfig(consume_fuel=True), WasmConfig().replace(consume_fuel=True)
    assert one == other
    assert hash(one) == hash(other)
    assert one != WasmConfig()
    assert one != "WasmConfig(consume_fuel=True)"
    with pytest.raises(AttributeError):
        one.consume_fuel = False


def test_replace_leaves_the_original_alone():
    original = WasmConfig(debug_info=True)
    changed = original.replace(debug_info=False, max_wasm_stack=1 << 18)
    assert (original.debug_info, changed.debug_info) == (True, False)
    assert original.max_wasm_stack == 512 << 10
    assert changed.replace(debug_info=True, max_wasm_stack=512 << 10) == original


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(WasmConfig()) == "WasmConfig()"
    text = repr(WasmConfig(consume_fuel=True, max_wasm_stack=1 << 20))
    assert text == "WasmConfig(consume_fuel=True, max_wasm_stack=1048576)"


def test_one_config_serves_any_number_of_engines():
    config = WasmConfig(epoch_interruption=True)
    first, second = WasmEngine(config), WasmEngine(config)
    assert first.config is second.config
    assert first is not second


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"debug_info": 1}, "debug_info: expected a bool, got 1"),
        ({"consume_fuel": "yes"}, "consume_fuel: expected a bool, got 'yes'"),
        ({"epoch_interruption": None}, "epoch_interruption: expected a bool, got None"),
        ({"max_wasm_stack": 1.5}, "max_wasm_stack: expected a number of bytes, got 1.5"),
        ({"max_wasm_stack": True}, "max_wasm_stack: expected a number of bytes, got True"),
        ({"no_such_setting": True}, "no_such_setting"),
    ],
)
def test_settings_of_the_wrong_type_are_refused(settings, message):
    with pytest.raises(TypeError, match=message):
        WasmConfig(**settings)
    with pytest.raises(TypeError, match=message):
        WasmConfig().replace(**settings)


@pytest.mark.parametrize("name", ["optimization_level", "profiling_strategy"])
def test_an_unknown_enumerator_is_refused(name):
    with pytest.raises(ValueError, match=rf"^{name}: expected a member of \w+ \(NONE, .*\), got 99$"):
        WasmConfig(**{name: 99})


@pytest.mark.parametrize("value", [True, "SPEED", 1.0, None])
def test_an_enumerator_is_no_other_thing(value):
    with pytest.raises(TypeError, match="optimization_level: expected a member of OptimizationLevel"):
        WasmConfig(optimization_level=value)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("cranelift_opt_level", "optimization_level"),
        ("profiler", "profiling_strategy"),
        ("profiler_set", "profiling_strategy"),
        ("cranelift_flag_enable", "cranelift_flags"),
    ],
)
def test_a_name_of_the_c_api_leads_to_ours(theirs, ours):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{theirs}'; here it is '{ours}'$"):
        WasmConfig(**{theirs: 1})


def test_settings_are_keyword_only():
    with pytest.raises(TypeError, match=r"WasmConfig\(\) takes settings by name.*got True"):
        WasmConfig(True)


@pytest.mark.parametrize("size", [0, -1, 2**41, 2**64])
def test_a_stack_size_that_the_engine_cannot_have_is_an_error_and_not_an_abort(size):
    with pytest.raises(ValueError, match=f"max_wasm_stack: expected 1 to .* bytes, got {size}"):
        WasmConfig(max_wasm_stack=size)


def test_an_unknown_setting_is_named_with_what_it_may_have_meant():
    with pytest.raises(
        TypeError, match="unexpected keyword argument 'consume_fule'; did you mean 'consume_fuel'"
    ):
        WasmConfig(consume_fule=True)


def test_configs_travel():
    config = WasmConfig(
        strategy=Strategy.WINCH,
        max_wasm_stack=1 << 20,
        cranelift_flags={"has_avx": False},
        pooling_allocation_strategy=PoolingConfig(total_memories=3),
    )
    for copied in (pickle.loads(pickle.dumps(config)), copy.copy(config), copy.deepcopy(config)):
        assert copied == config
        assert hash(copied) == hash(config)
        assert repr(copied) == repr(config)


def test_a_config_reads_back_as_python():
    config = WasmConfig(
        strategy=Strategy.WINCH,
        optimization_level=OptimizationLevel.NONE,
        cranelift_flags={"is_pic": True},
        pooling_allocation_strategy=PoolingConfig(total_memories=3),
    )
    assert eval(repr(config)) == config


def test_giving_the_default_is_giving_nothing():
    config = WasmConfig(**{name: getattr(WasmConfig(), name) for name in WasmConfig._knobs})
    assert config == WasmConfig()
    assert repr(config) == "WasmConfig()"


def test_numbers_are_ints():
    class Number:
        def __index__(self):
            return 1 << 20

    assert WasmConfig(max_wasm_stack=Number()).max_wasm_stack == 1 << 20
    assert type(WasmConfig(max_wasm_stack=Number()).max_wasm_stack) is int


def test_nothing_of_a_config_can_be_set():
    config = WasmConfig()
    for name in (*WasmConfig._knobs, "_given", "new"):
        with pytest.raises(AttributeError):
            setattr(config, name, True)
    with pytest.raises(AttributeError):
        del config.consume_fuel


def test_subclasses_are_configs():
    class Ours(WasmConfig):
        pass

    config = Ours(consume_fuel=True).replace(debug_info=True)
    assert type(config) is Ours
    assert config != WasmConfig(consume_fuel=True, debug_info=True)
    assert add_with(config) == 42


def test_signature_and_help_name_every_setting():
    signature = inspect.signature(WasmConfig)
    assert list(signature.parameters) == list(WasmConfig._knobs)
    assert signature.parameters["wasm_gc"].default is True
    assert signature.parameters["wasm_gc"].annotation == "bool"
    for name, knob in WasmConfig._knobs.items():
        assert getattr(WasmConfig, name) is knob
        assert "Default: " in knob.__doc__


def test_a_setting_reaches_the_engine():
    deep = """(module (func $down (export "down") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0)))))"""

    def down(config, depth):
        engine = WasmEngine(config)
        return WasmInstance(WasmStore(engine), WasmModule(engine, deep)).exports.down(depth)

    assert down(WasmConfig(max_wasm_stack=2 << 20), 8000) == 8000
    with pytest.raises(WasmtimeError, match="call stack exhausted"):
        down(WasmConfig(max_wasm_stack=64 << 10), 8000)
