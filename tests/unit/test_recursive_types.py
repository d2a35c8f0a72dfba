"""Function types of recursion groups, or open to subtypes, which no list of parameters spells."""

import pytest

import wasmtime_rt as w

OPEN = "(type $t (sub (func (param i32) (result i32))))"
GROUP = "(rec (type $t (func (param i32) (result i32))) (type (struct)))"
BELOW = (
    "(type $s (sub (func (param i32) (result i32)))) (type $t (sub final $s (func (param i32) (result i32))))"
)


@pytest.mark.parametrize("types", [OPEN, GROUP, BELOW])
def test_a_python_function_takes_the_type_that_is_asked_for(types):
    engine = w.WasmEngine()
    module = w.WasmModule(
        engine,
        f"""(module {types} (import "env" "f" (func $f (type $t)))
        (func (export "g") (param i32) (result i32) (call $f (local.get 0)))
        (export "f" (func $f)))""",
    )
    for made in (
        w.WasmInstance(w.WasmStore(engine), module, {"env": {"f": lambda x: x + 1}}),
        w.WasmInstance(w.WasmStore(engine), module, [lambda x: x + 1]),
    ):
        assert (made.exports.g(1), made.exports.f(2)) == (2, 3)
    linker = w.WasmLinker(engine)
    linker.define("env", "f", lambda x: x + 2)
    for _ in range(3):
        assert linker.instantiate(w.WasmStore(engine), module).exports.g(1) == 3
    assert str(module.imports[0].type) == "(func (param i32) (result i32))"
    assert module.imports[0].type == w.WasmFuncType(["i32"], ["i32"])


def test_a_type_made_of_its_parts_is_another():
    fresh = w.WasmFuncType(["i32"], ["i32"])
    engine = w.WasmEngine()
    module = w.WasmModule(engine, f'(module {GROUP} (import "env" "f" (func (type $t))))')
    store = w.WasmStore(engine)
    with pytest.raises(w.LinkError):
        w.WasmInstance(store, module, [w.WasmFunc(store, lambda x: x, fresh)])
    fitting = w.WasmFunc(store, lambda x: x, module.imports[0].type)
    assert w.WasmInstance(store, module, [fitting]).is_valid
    assert fitting(3) == 3


def test_tags_too():
    engine = w.WasmEngine()
    module = w.WasmModule(
        engine,
        '(module (rec (type $t (func (param i32))) (type (struct))) (import "env" "t" (tag (type $t))))',
    )
    store = w.WasmStore(engine)
    assert w.WasmInstance(store, module, [w.WasmTag(store, module.imports[0].type)]).is_valid
