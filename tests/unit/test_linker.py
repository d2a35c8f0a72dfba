"""Linkers: definitions by name, for many modules and many stores."""

import pytest

from wasmtime_rt import (
    ClosedError,
    LinkError,
    WasiConfig,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmLinker,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmtimeResource,
    WasmTrap,
    WasmValType,
    WrongEngineError,
    WrongStoreError,
)

DOUBLE = """(module (import "env" "double" (func $d (param i32) (result i32)))
    (func (export "run") (param i32) (result i32) (call $d (local.get 0))))"""


@pytest.fixture
def linker(engine):
    return WasmLinker(engine)


def test_a_callable_serves_every_store(engine, linker):
    linker.define("env", "double", lambda x: 2 * x)
    module = WasmModule(engine, DOUBLE)
    for _ in range(3):
        assert linker.instantiate(WasmStore(engine), module).exports.run(21) == 42
    assert linker.engine is engine
    assert isinstance(linker, WasmtimeResource)


def test_a_callable_takes_the_type_that_each_module_asks_for(engine, linker, store):
    linker.define("env", "double", lambda x: 2 * x)
    linker.instantiate(store, WasmModule(engine, DOUBLE))
    floats = WasmModule(engine, DOUBLE.replace("i32", "f64"))
    assert linker.instantiate(store, floats).exports.run(0.25) == 0.5


def test_an_explicit_type_is_held_against_the_import(engine, linker, store):
    linker.define("env", "double", lambda x: 2 * x, WasmFuncType(["i64"], ["i64"]))
    with pytest.raises(
        LinkError, match=r"got a Python function of type \(func \(param i64\) \(result i64\)\)"
    ):
        linker.instantiate(store, WasmModule(engine, DOUBLE))


def test_items_serve_their_own_store_only(engine, linker, store):
    memory = WasmMemory(store, WasmMemoryType(1))
    linker.define("env", "memory", memory)
    module = WasmModule(engine, '(module (import "env" "memory" (memory 1)) (export "m" (memory 0)))')
    assert linker.instantiate(store, module).exports.m == memory
    with pytest.raises(WrongStoreError, match='"env" "memory"'):
        linker.instantiate(WasmStore(engine), module)


def test_a_name_is_defined_once(engine, linker):
    linker.define("env", "f", print)
    with pytest.raises(LinkError, match='"env" "f" is defined already, and allow_shadowing is off'):
        linker.define("env", "f", print)
    linker.define("env", "g", print)


def test_shadowing_replaces(engine, store):
    linker = WasmLinker(engine, allow_shadowing=True)
    linker.define("env", "double", lambda x: x)
    linker.define("env", "double", lambda x: 3 * x)
    assert linker.instantiate(store, WasmModule(engine, DOUBLE)).exports.run(2) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, "f", print), "name: expected str, got int 1"),
        (("env", None, print), "name: expected str, got NoneType None"),
        (("env", "f", 5), '"env" "f": expected a callable, or a function, memory, .*, got int 5'),
        (("env", "f", print, "i32"), "type: expected a WasmFuncType, got str 'i32'"),
    ],
)
def test_definitions_are_checked(linker, arguments, message):
    with pytest.raises(TypeError, match=message):
        linker.define(*arguments)


def test_an_async_function_is_refused_when_it_is_defined(linker):
    async def later(): ...

    with pytest.raises(TypeError, match="async def"):
        linker.define("env", "later", later)


def test_every_export_of_an_instance_is_defined(engine, linker, store, run):
    library = run(
        '(module (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))'
        ' (memory (export "memory") 1))'
    )
    linker.define_instance("env", library)
    assert linker.instantiate(store, WasmModule(engine, DOUBLE)).exports.run(8) == 16
    assert linker.get(store, "env", "memory") is library.exports.memory
    with pytest.raises(LinkError, match='"env" "double" is defined already'):
        linker.define_instance("env", library)
    with pytest.raises(TypeError, match="instance: expected a WasmInstance, got dict"):
        linker.define_instance("env", {})


def test_missing_and_wrong_definitions_are_listed_together(engine, linker, store):
    linker.define("env", "g", WasmGlobal(store, WasmGlobalType(WasmValType.I32), 1))
    module = WasmModule(
        engine, '(module (import "env" "g" (global i64)) (import "env" "f" (func (param i32))))'
    )
    with pytest.raises(LinkError) as caught:
        linker.instantiate(store, module)
    assert caught.value.message.splitlines() == [
        "the module cannot be instantiated: 2 of 2 imports are missing or wrong",
        '  (import "env" "g" (global i64)): got (global i32)',
        '  (import "env" "f" (func (param i32))): missing',
    ]


def test_definitions_can_be_looked_up(engine, linker, store):
    function = WasmFunc(store, lambda: 4, WasmFuncType([], ["i32"]))
    linker.define("a", "func", function)
    linker.define("a", "typed", function.typed([], ["i32"]))
    linker.define("a", "callable", lambda: 6, WasmFuncType([], ["i32"]))
    assert linker.get(store, "a", "func") is function
    assert linker.get(store, "a", "typed") is function
    assert linker.get(store, "a", "callable")() == 6
    with pytest.raises(KeyError, match='"a" "missing" is not defined'):
        linker.get(store, "a", "missing")
    with pytest.raises(WrongStoreError):
        linker.get(WasmStore(engine), "a", "func")


def test_wasi_can_be_looked_up_where_the_store_has_it(engine, linker, store):
    with pytest.raises(KeyError):
        linker.get(store, "wasi_snapshot_preview1", "fd_write")
    linker.define_wasi()
    linker.define_wasi()
    with pytest.raises(WasmtimeError, match="is part of WASI, which this store has not"):
        linker.get(store, "wasi_snapshot_preview1", "fd_write")
    func = linker.get(WasmStore(engine, wasi=WasiConfig()), "wasi_snapshot_preview1", "fd_write")
    assert str(func.type) == "(func (param i32 i32 i32 i32) (result i32))"
    for name in ("no_such_call", "\udc80"):
        with pytest.raises(KeyError):
            linker.get(WasmStore(engine, wasi=WasiConfig()), "wasi_snapshot_preview1", name)
    assert "and WASI" in repr(linker)


def test_things_of_two_engines_are_not_linked(engine, linker, store):
    other = WasmEngine()
    with pytest.raises(WrongEngineError):
        linker.instantiate(store, WasmModule(other, "(module)"))
    with pytest.raises(WrongEngineError):
        linker.instantiate(WasmStore(other), WasmModule(engine, "(module)"))


def test_a_trap_in_the_start_function_is_a_trap(engine, linker, store):
    with pytest.raises(WasmTrap):
        linker.instantiate(store, WasmModule(engine, "(module (func $s unreachable) (start $s))"))


def test_a_closed_linker_refuses_use_and_its_instances_go_on(engine, linker, store):
    linker.define("env", "double", lambda x: 2 * x)
    module = WasmModule(engine, DOUBLE)
    with linker:
        instance = linker.instantiate(store, module)
    assert not linker.is_valid
    linker.close()
    for use in (
        lambda: linker.define("a", "b", print),
        linker.define_wasi,
        lambda: linker.get(store, "env", "double"),
        lambda: linker.instantiate(store, module),
    ):
        with pytest.raises(ClosedError, match="this WasmLinker was closed"):
            use()
    assert instance.exports.run(5) == 10
    assert repr(linker).endswith(" closed>")


def test_arguments_have_their_types(linker, store):
    with pytest.raises(TypeError, match="engine: expected a WasmEngine"):
        WasmLinker(store)
    with pytest.raises(TypeError, match="store: expected a WasmStore"):
        linker.instantiate(None, None)
    with pytest.raises(TypeError, match="module: expected a WasmModule, got str"):
        linker.instantiate(store, "(module)")
