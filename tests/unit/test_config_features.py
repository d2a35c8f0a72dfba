"""Features of WebAssembly: what the engine has on by default, and that each can be turned on or off."""

import pytest

from wasmtime_rt import (
    CompileError,
    Strategy,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmtimeError,
    wat2wasm,
)
from wasmtime_rt._lowlevel import NULL, ffi, lib

# What uses the feature, and what else has to be given to turn it off or on.
MODULES = {
    "wasm_bulk_memory": (
        "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))",
        {},
    ),
    "wasm_multi_value": ("(module (func (result i32 i32) (i32.const 1) (i32.const 2)))", {}),
    "wasm_reference_types": ("(module (func (param externref)))", {"wasm_component_model_async": False}),
    "wasm_function_references": (
        "(module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0))))",
        {"wasm_gc": False},
    ),
    "wasm_gc": ("(module (type (struct)))", {}),
    "wasm_exceptions": ("(module (tag))", {}),
    "wasm_tail_call": ("(module (func $f (return_call $f)))", {}),
    "wasm_simd": ("(module (func (drop (v128.const i64x2 0 0))))", {"wasm_relaxed_simd": False}),
    "wasm_relaxed_simd": (
        "(module (func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
        {},
    ),
    "wasm_multi_memory": ("(module (memory 1) (memory 1))", {}),
    "wasm_memory64": ("(module (memory i64 1))", {}),
    "wasm_custom_page_sizes": ("(module (memory 1 (pagesize 1)))", {}),
    "wasm_wide_arithmetic": (
        "(module (func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0))))",
        {},
    ),
    "wasm_threads": ("(module (memory 1 1 shared))", {}),
}
# The same for components, whose modules are no matter of `WasmModule`.
COMPONENTS = {
    "wasm_component_model": ("(component)", {"wasm_component_model_async": False}),
    "wasm_component_model_async": ("(component (type (stream u8)))", {}),
    "wasm_component_model_more_async_builtins": (
        "(component (type $s (stream u8)) (core func (canon stream.cancel-read $s async)))",
        {},
    ),
    "wasm_component_model_map": ("(component (type (map string u32)))", {}),
}


def compiles(config, source):
    try:
        WasmModule(WasmEngine(config), source)
    except CompileError:
        return False
    return True


def component_error(config, source):
    """What the engine says when it compiles a component."""
    engine, binary = WasmEngine(config), wat2wasm(source)
    made, message = ffi.new("wasmtime_component_t **"), ffi.new("wasm_byte_vec_t *")
    error = lib.wasmtime_component_new(engine._pointer, binary, len(binary), made)
    if error == NULL:
        lib.wasmtime_component_delete(made[0])
        return ""
    lib.wasmtime_error_message(error, message)
    text = ffi.buffer(message.data, message.size)[:].decode()
    lib.wasm_byte_vec_delete(message)
    return text


@pytest.mark.parametrize("name", MODULES)
def test_the_default_of_a_feature_is_the_engines_and_the_setting_reverses_it(name):
    source, others = MODULES[name]
    default = getattr(WasmConfig(), name)
    assert compiles(WasmConfig(), source) is default
    assert compiles(WasmConfig(**{name: not default}, **others), source) is not default


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_default_of_a_feature_of_components_is_the_engines(name):
    source, others = COMPONENTS[name]
    default = getattr(WasmConfig(), name)
    assert (component_error(WasmConfig(), source) == "") is default
    assert (component_error(WasmConfig(**{name: not default}, **others), source) == "") is not default


@pytest.mark.parametrize(
    "name",
    [
        "wasm_branch_hinting",
        "wasm_compact_imports",
        "wasm_component_model_accessors",
        "wasm_component_model_async_stackful",
        "wasm_component_model_canonical_names",
        "wasm_component_model_implements",
        "concurrency_support",
        "gc_support",
        "macos_use_mach_ports",
    ],
)
def test_a_feature_that_no_small_module_shows_can_be_turned_over(name):
    config = WasmConfig(**{name: not getattr(WasmConfig(), name)})
    assert config != WasmConfig()
    assert compiles(config, "(module)")


def test_winch_has_some_features_off():
    winch = WasmConfig(strategy=Strategy.WINCH)
    for name in ("wasm_gc", "wasm_function_references", "wasm_relaxed_simd"):
        assert getattr(winch, name) is False
        assert not compiles(winch, MODULES[name][0])
        with pytest.raises(WasmtimeError, match=rf"{name} is not possible with Strategy\.WINCH"):
            WasmEngine(winch.replace(**{name: True}))
    assert repr(winch) == "WasmConfig(strategy=Strategy.WINCH)"


@pytest.mark.parametrize(
    "name", ["wasm_tail_call", "wasm_wide_arithmetic", "wasm_threads", "wasm_exceptions"]
)
def test_winch_has_others_off_unless_asked_for(name):
    source = MODULES[name][0]
    winch = WasmConfig(strategy=Strategy.WINCH, gc_support=name == "wasm_exceptions")
    assert getattr(winch, name) is False
    assert not compiles(winch, source)
    asked = winch.replace(**{name: True})
    assert getattr(asked, name) is True
    assert f"{name}=True" in repr(asked)
    assert compiles(asked, source)


def test_winch_has_references_if_asked_for():
    def passed_on(**settings):
        engine = WasmEngine(WasmConfig(strategy=Strategy.WINCH, **settings))
        source = '(module (func (export "f") (param externref) (result externref) (local.get 0)))'
        return WasmInstance(WasmStore(engine), WasmModule(engine, source)).exports.f("text")

    assert WasmConfig(strategy=Strategy.WINCH).gc_support is False
    with pytest.raises(WasmtimeError, match="gc types are disallowed"):
        passed_on()
    assert passed_on(gc_support=True) == "text"


def test_continuations_are_refused_since_the_engine_dies_of_them():
    assert not compiles(WasmConfig(), "(module (type $f (func)) (type (cont $f)))")
    with pytest.raises(WasmtimeError, match="wasm_stack_switching: this build of the engine cannot run it"):
        WasmEngine(WasmConfig(wasm_stack_switching=True))


def test_winch_compiles_and_runs():
    engine = WasmEngine(WasmConfig(strategy=Strategy.WINCH))
    module = WasmModule(
        engine,
        """(module (memory (export "m") 1)
             (func $fib (export "fib") (param i32) (result i32)
               (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                 (then (local.get 0))
                 (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                                (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
             (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))""",
    )
    exports = WasmInstance(WasmStore(engine), module).exports
    assert exports.fib(15) == 610
    with pytest.raises(WasmtimeError, match="out of bounds"):
        exports.load(-4)


def test_shared_memories_are_made_only_if_asked_for():
    source = '(module (memory (export "m") 1 1 shared))'

    def instantiate(config):
        engine = WasmEngine(config)
        return WasmInstance(WasmStore(engine), WasmModule(engine, source))

    with pytest.raises(WasmtimeError, match="shared memor"):
        instantiate(WasmConfig())
    assert instantiate(WasmConfig(shared_memory=True)).exports is not None


def test_relaxed_vectors_can_be_deterministic():
    source = """(module (func (export "f") (result i32)
        (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const nan))))))"""

    def lane(config):
        engine = WasmEngine(config)
        return WasmInstance(WasmStore(engine), WasmModule(engine, source)).exports.f()

    assert lane(WasmConfig(wasm_relaxed_simd_deterministic=True)) == 0
    assert lane(WasmConfig()) == -(1 << 31)  # what the processor's instruction does


def test_what_depends_on_another_setting_follows_it():
    assert WasmConfig(concurrency_support=False).wasm_component_model_async is False
    assert WasmConfig(gc_support=False).wasm_exceptions is False
    assert WasmConfig(target="pulley64").signals_based_traps is False
    assert WasmConfig(max_wasm_stack=4 << 20).async_stack_size == 5 << 20
    for config in (
        WasmConfig(concurrency_support=False),
        WasmConfig(gc_support=False),
        WasmConfig(max_wasm_stack=4 << 20),
    ):
        assert compiles(config, "(module)")
        assert config.replace() == config


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({"wasm_simd": False}, ["wasm_relaxed_simd needs wasm_simd"]),
        ({"wasm_reference_types": False}, ["wasm_component_model_async needs wasm_reference_types"]),
        (
            {"wasm_simd": False, "wasm_reference_types": False},
            ["wasm_relaxed_simd needs wasm_simd", "wasm_component_model_async needs wasm_reference_types"],
        ),
        (
            {"concurrency_support": False, "wasm_component_model_async": True},
            ["wasm_component_model_async needs concurrency_support"],
        ),
        (
            {"concurrency_support": False, "wasm_component_model_more_async_builtins": True},
            ["wasm_component_model_more_async_builtins needs concurrency_support"],
        ),
        (
            {"concurrency_support": False, "wasm_component_model_async_stackful": True},
            ["wasm_component_model_async_stackful needs concurrency_support"],
        ),
        ({"gc_support": False, "wasm_exceptions": True}, ["wasm_exceptions needs gc_support"]),
        (
            {"strategy": Strategy.WINCH, "debug_info": True},
            ["debug_info is not possible with Strategy.WINCH"],
        ),
        (
            {"strategy": Strategy.WINCH, "signals_based_traps": False},
            ["signals_based_traps cannot be off with Strategy.WINCH"],
        ),
        ({"async_stack_size": 4096}, ["max_wasm_stack (524288) is larger than async_stack_size (4096)"]),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reasons(settings, reasons):
    with pytest.raises(WasmtimeError) as caught:
        WasmEngine(WasmConfig(**settings))
    for reason in reasons:
        assert reason in str(caught.value)
