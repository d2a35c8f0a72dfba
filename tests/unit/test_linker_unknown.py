"""Linkers: imports that nobody defined, as traps and as default values."""

import pytest

from wasmtime_rt import (
    LinkError,
    StoreLimits,
    WasmConfig,
    WasmEngine,
    WasmFuncType,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmTrap,
    WrongEngineError,
)

ASKS = """(module
    (import "env" "known" (func $known (result i32)))
    (import "env" "f" (func $f (param i32) (result i64)))
    (func (export "known") (result i32) (call $known))
    (func (export "f") (result i64) (call $f (i32.const 1))))"""

ALL = """(module
    (type $t (func (result i32)))
    (import "env" "none" (func $none (param i32 externref)))
    (import "env" "one" (func $one (result f64)))
    (import "env" "many" (func $many (result i32 i64 f32 f64 v128 externref funcref anyref (ref null $t))))
    (import "env" "g" (global $g i64))
    (import "env" "v" (global $v (mut v128)))
    (import "env" "r" (global $r (mut externref)))
    (import "env" "m" (memory $m 2 3))
    (import "env" "t" (table $t 5 10 funcref))
    (import "env" "tag" (tag $tag (param i32)))
    (export "none" (func $none)) (export "one" (func $one)) (export "many" (func $many))
    (export "g" (global $g)) (export "v" (global $v)) (export "r" (global $r))
    (export "m" (memory $m)) (export "t" (table $t)) (export "tag" (tag $tag)))"""


@pytest.fixture
def linker(engine):
    made = WasmLinker(engine)
    made.define("env", "known", lambda: 4)
    return made


def test_unknown_functions_trap_when_they_are_called(engine, linker, store):
    module = WasmModule(engine, ASKS)
    with pytest.raises(LinkError, match="missing"):
        linker.instantiate(store, module)
    linker.define_unknown_imports_as_traps(module)
    for make in (
        lambda: linker.instantiate(store, module),
        lambda: linker.prepare(module).instantiate(store),
    ):
        exports = make().exports
        assert exports.known() == 4
        with pytest.raises(
            WasmTrap, match=r'unknown import: \(import "env" "f" \(func .*has not been'
        ) as caught:
            exports.f()
        assert [frame.func_index for frame in caught.value.frames] == [3]


def test_a_trap_out_of_python_gets_the_frames_that_it_passed(engine, run):
    def stop():
        raise trap

    trap = WasmTrap("enough")
    instance = run(
        '(module (import "" "f" (func $f)) (func $g (export "g") (call $f)))'.replace('""', '"e"'), [stop]
    )
    with pytest.raises(WasmTrap, match="^enough") as caught:
        instance.exports.g()
    assert caught.value is trap
    assert [frame.func_name for frame in trap.frames] == ["g"]


def test_traps_serve_every_store_and_replace_nothing(engine, linker):
    module = WasmModule(engine, ASKS)
    linker.define("env", "f", lambda x: 9)
    linker.define_unknown_imports_as_traps(module)
    for _ in range(2):
        assert linker.instantiate(WasmStore(engine), module).exports.f() == 9


def test_only_functions_become_traps(engine, linker, store):
    module = WasmModule(engine, '(module (import "env" "g" (global i32)) (import "env" "h" (func)))')
    linker.define_unknown_imports_as_traps(module)
    assert str(linker.get(store, "env", "h").type) == "(func)"
    with pytest.raises(LinkError, match=r'1 of 2 imports are missing or wrong\n  \(import "env" "g"'):
        linker.instantiate(store, module)


def test_unknown_imports_get_default_values(engine, linker, store):
    module = WasmModule(engine, ALL)
    linker.define_unknown_imports_as_default_values(store, module)
    exports = linker.instantiate(store, module).exports
    assert exports.none(1, "x") is None
    assert exports.one() == 0.0
    assert exports.many() == (0, 0, 0.0, 0.0, bytes(16), None, None, None, None)
    assert (exports.g.value, exports.v.value, exports.r.value) == (0, bytes(16), None)
    assert (exports.m.size, exports.m[:4], exports.m.type.max) == (2, bytes(4), 3)
    assert list(exports.t) == [None] * 5
    assert str(exports.tag.type) == "(tag (param i32))"
    assert linker.prepare(module).instantiate(store).exports.m == exports.m


def test_an_unknown_shared_memory_serves_every_store():
    engine = WasmEngine(WasmConfig(shared_memory=True))
    linker, module = WasmLinker(engine), WasmModule(engine, '(module (import "e" "m" (memory 1 2 shared)))')
    linker.define_unknown_imports_as_default_values(WasmStore(engine), module)
    assert linker.instantiate(WasmStore(engine), module).is_valid
    assert linker.prepare(module).store is None


def test_default_functions_serve_every_store(engine, linker, store):
    module = WasmModule(engine, ASKS)
    linker.define_unknown_imports_as_default_values(store, module)
    assert linker.instantiate(WasmStore(engine), module).exports.f() == 0


@pytest.mark.parametrize(
    "source",
    [
        '(module (import "env" "x" (func (result (ref func)))))',
        '(module (import "env" "x" (global (ref extern))))',
        '(module (type $t (func)) (import "env" "x" (global (ref $t))))',
    ],
)
def test_what_cannot_be_null_has_no_default(engine, linker, store, source):
    module = WasmModule(engine, source.replace("(module", '(module (import "env" "a" (func))', 1))
    with pytest.raises(LinkError, match='1 unknown imports have no default value:\n  .*"env" "x"'):
        linker.define_unknown_imports_as_default_values(store, module)
    with pytest.raises(KeyError):
        linker.get(store, "env", "a")


def test_a_name_that_is_asked_for_with_two_types_is_defined_once(engine, linker, store):
    module = WasmModule(engine, '(module (import "env" "x" (func)) (import "env" "x" (func (param i32))))')
    linker.define_unknown_imports_as_traps(module)
    assert linker.get(store, "env", "x").type == WasmFuncType()
    with pytest.raises(LinkError, match="1 of 2 imports are missing or wrong"):
        linker.instantiate(store, module)


def test_limits_refuse_defaults(engine, linker):
    store = WasmStore(engine, limits=StoreLimits(memory_size=65536))
    module = WasmModule(engine, '(module (import "env" "m" (memory 2)))')
    with pytest.raises(WasmtimeError, match="limit"):
        linker.define_unknown_imports_as_default_values(store, module)
    with pytest.raises(LinkError):
        linker.instantiate(store, module)


def test_arguments_are_checked(engine, linker, store):
    other = WasmEngine()
    with pytest.raises(TypeError, match="module: expected a WasmModule"):
        linker.define_unknown_imports_as_traps("(module)")
    with pytest.raises(TypeError, match="store: expected a WasmStore"):
        linker.define_unknown_imports_as_default_values(None, WasmModule(engine, "(module)"))
    for use in (
        lambda: linker.define_unknown_imports_as_traps(WasmModule(other, "(module)")),
        lambda: linker.define_unknown_imports_as_default_values(store, WasmModule(other, "(module)")),
        lambda: linker.define_unknown_imports_as_default_values(
            WasmStore(other), WasmModule(engine, "(module)")
        ),
    ):
        with pytest.raises(WrongEngineError):
            use()
