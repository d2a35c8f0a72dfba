"""Linkers: second names for what is defined, and the function to run by default."""

import pytest

from wasmtime_rt import (
    ClosedError,
    LinkError,
    WasiConfig,
    WasmEngine,
    WasmFuncType,
    WasmLinker,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WrongEngineError,
    WrongStoreError,
)

CALLER = """(module (import "{module}" "{name}" (func $f (result i32)))
    (func (export "run") (result i32) (call $f)))"""


@pytest.fixture
def linker(engine):
    return WasmLinker(engine)


@pytest.fixture
def library(run):
    return run(
        '(module (func (export "one") (result i32) (i32.const 1)) (func (export "two") (result i32) (i32.const 2))'
        ' (memory (export "memory") 1))'
    )


def test_an_alias_is_the_same_definition(engine, linker, store):
    linker.define("env", "f", lambda: 7)
    linker.alias("env", "f", "other", "g")
    module = WasmModule(engine, CALLER.format(module="other", name="g"))
    assert linker.instantiate(store, module).exports.run() == 7
    assert linker.prepare(module).instantiate(store).exports.run() == 7


def test_an_alias_stays_what_it_was_when_its_origin_is_shadowed(engine, store):
    linker = WasmLinker(engine, allow_shadowing=True)
    linker.define("env", "f", lambda: 7)
    linker.alias("env", "f", "env", "g")
    linker.define("env", "f", lambda: 8)
    module = WasmModule(engine, CALLER.format(module="env", name="g"))
    assert linker.instantiate(store, module).exports.run() == 7


def test_an_alias_of_an_item_names_the_item(engine, linker, store):
    memory = WasmMemory(store, WasmMemoryType(1))
    linker.define("env", "memory", memory)
    linker.alias("env", "memory", "env", "m")
    assert linker.get(store, "env", "m") is memory
    with pytest.raises(WrongStoreError):
        linker.get(WasmStore(engine), "env", "m")


def test_all_of_a_module_or_instance_is_aliased(engine, linker, store, library):
    linker.define_instance("a", library)
    linker.alias_module("a", "b")
    for name in ("one", "two", "memory"):
        assert linker.get(store, "b", name) is library.exports[name]
    module = WasmModule(engine, CALLER.format(module="b", name="two"))
    assert linker.instantiate(store, module).exports.run() == 2
    linker.define("a", "three", lambda: 3)
    with pytest.raises(KeyError):
        linker.get(store, "b", "three")


def test_what_is_not_defined_has_no_alias(linker):
    with pytest.raises(KeyError, match='"env" "f" is not defined'):
        linker.alias("env", "f", "env", "g")
    with pytest.raises(KeyError, match='nothing is defined under "env"'):
        linker.alias_module("env", "other")


def test_an_alias_does_not_replace_unless_that_is_allowed(engine, linker, store, library):
    linker.define_instance("a", library)
    linker.define("b", "two", lambda: 22)
    with pytest.raises(LinkError, match='"b" "two" is defined already'):
        linker.alias_module("a", "b")
    with pytest.raises(KeyError):
        linker.get(store, "b", "one")  # all or nothing
    with pytest.raises(LinkError, match='"b" "two" is defined already'):
        linker.alias("a", "two", "b", "two")
    linker.allow_shadowing = True
    linker.alias_module("a", "b")
    assert linker.get(store, "b", "two")() == 2


def test_an_instance_is_defined_wholly_or_not_at_all(linker, store, library):
    linker.define("a", "memory", lambda: None)
    with pytest.raises(LinkError, match='"a" "memory" is defined already'):
        linker.define_instance("a", library)
    with pytest.raises(KeyError):
        linker.get(store, "a", "one")


@pytest.mark.parametrize("how", ["instantiate", "prepare"])
def test_wasi_works_under_another_name(engine, linker, how):
    linker.define_wasi()
    linker.alias_module("wasi_snapshot_preview1", "wasi")
    linker.alias("wasi_snapshot_preview1", "sched_yield", "env", "pause")
    for name in ('"wasi" "sched_yield"', '"env" "pause"'):
        module = WasmModule(
            engine,
            f'(module (import {name} (func $y (result i32))) (memory (export "memory") 1)'
            ' (func (export "f") (result i32) (call $y)))',
        )
        if how == "prepare":
            make = linker.prepare(module).instantiate
        else:

            def make(store, module=module):
                return linker.instantiate(store, module)

        assert make(WasmStore(engine, wasi=WasiConfig())).exports.f() == 0
        with pytest.raises(WasmtimeError, match='"sched_yield" is part of WASI, which this store has not'):
            make(WasmStore(engine))


# ---- The default


def test_the_default_is_the_function_without_a_name_or_start_or_nothing(linker, store):
    assert linker.get_default(store, "a")() is None
    linker.define("a", "_start", lambda: 1, WasmFuncType([], ["i32"]))
    assert linker.get_default(store, "a")() == 1
    linker.define("a", "", lambda: 2, WasmFuncType([], ["i32"]))
    assert linker.get_default(store, "a")() == 2
    assert str(linker.get_default(store, "b").type) == "(func)"


def test_a_default_that_is_no_function_is_refused(linker, store):
    linker.define("a", "_start", WasmMemory(store, WasmMemoryType(1)))
    with pytest.raises(LinkError, match='the default of "a" is no function: "_start" is <WasmMemory'):
        linker.get_default(store, "a")


def test_a_default_is_of_the_right_store(engine, linker, library):
    linker.define("a", "", library.exports.one)
    with pytest.raises(WrongStoreError):
        linker.get_default(WasmStore(engine), "a")
    with pytest.raises(WrongEngineError):
        linker.get_default(WasmStore(WasmEngine()), "a")


def test_names_are_text(linker, store, library):
    for use in (
        lambda: linker.alias("a", "b", "c", 1),
        lambda: linker.alias_module(b"a", "b"),
        lambda: linker.define_instance(1, library),
        lambda: linker.get_default(store, None),
        lambda: linker.define_module(store, 1, None),
    ):
        with pytest.raises(TypeError, match="name: expected str"):
            use()


def test_a_closed_linker_refuses(engine, linker, store, library):
    module = WasmModule(engine, "(module)")
    linker.close()
    for use in (
        lambda: linker.alias("a", "b", "c", "d"),
        lambda: linker.alias_module("a", "b"),
        lambda: linker.define_instance("a", library),
        lambda: linker.define_module(store, "a", module),
        lambda: linker.define_unknown_imports_as_traps(module),
        lambda: linker.define_unknown_imports_as_default_values(store, module),
        lambda: linker.get_default(store, "a"),
        lambda: linker.prepare(module),
    ):
        with pytest.raises(ClosedError, match="this WasmLinker was closed"):
            use()


def test_a_linker_outlives_the_closing_of_its_engine():
    engine = WasmEngine()
    linker, store = WasmLinker(engine), WasmStore(engine)
    module = WasmModule(engine, CALLER.format(module="env", name="f"))
    linker.define("env", "f", lambda: 5)
    engine.close()
    linker.define_wasi()
    for _ in range(2):
        assert linker.instantiate(store, module).exports.run() == 5
    assert linker.prepare(module).instantiate(store).exports.run() == 5
    with pytest.raises(ClosedError):
        WasmLinker(engine)
