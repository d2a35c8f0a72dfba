"""Imports: every shape in which they are given, and errors that list all that is wrong."""

import pytest

from wasmtime_rt import (
    AbstractInstance,
    LinkError,
    WasmFunc,
    WasmFuncType,
    WasmMemory,
    WasmMemoryType,
    WasmTable,
    WasmTableType,
    WasmValType,
    instantiate,
)

IMPORTS = """(module
    (import "env" "f" (func $f (param i32) (result i32)))
    (import "env" "g" (global i64))
    (func (export "run") (param i32) (result i64)
        (i64.add (global.get 0) (i64.extend_i32_s (call $f (local.get 0))))))"""


def double(x):
    return 2 * x


@pytest.mark.parametrize(
    "imports",
    [
        {"env": {"f": double, "g": 100}, "unused": {"x": 1}},
        [double, 100],
        (double, 100),
    ],
)
def test_imports_are_a_mapping_or_a_sequence(run, imports):
    assert run(IMPORTS, imports).exports.run(21) == 142


def test_instantiate_is_the_same(compiled, store):
    instance = instantiate(store, compiled(IMPORTS), [double, 1])
    assert isinstance(instance, AbstractInstance)
    assert instance.exports.run(1) == 3
    assert instance.store is store
    assert [entry.name for entry in instance.module.exports] == ["run"]


def test_exports_of_another_instance_are_imports(run):
    library = run(
        '(module (func (export "f") (param i32) (result i32) (i32.const 9)) (global (export "g") i64 (i64.const 1)))'
    )
    for given in (library, library.exports, dict(library.exports)):
        assert run(IMPORTS, {"env": given}).exports.run(0) == 10


def test_typed_functions_and_functions_serve_as_imports(run, store):
    func = WasmFunc(store, double, WasmFuncType(["i32"], ["i32"]))
    assert run(IMPORTS, [func, 0]).exports.run(4) == 8
    assert run(IMPORTS, [func.typed(["i32"], ["i32"]), 0]).exports.run(4) == 8


WANTS = """(module
    (import "env" "f" (func (param i32) (result i32)))
    (import "env" "m" (memory 2 3))
    (import "env" "g" (global (mut i32)))
    (import "sys" "t" (table 1 funcref))
    (import "sys" "c" (global i32))
    (import "sys" "ok" (func)))"""


def test_every_import_that_is_missing_is_listed_with_its_type(run):
    with pytest.raises(LinkError) as caught:
        run(WANTS)
    assert caught.value.message.splitlines() == [
        "the module cannot be instantiated: 6 of 6 imports are missing or wrong",
        '  (import "env" "f" (func (param i32) (result i32))): missing',
        '  (import "env" "m" (memory 2 3)): missing',
        '  (import "env" "g" (global (mut i32))): missing',
        '  (import "sys" "t" (table 1 funcref)): missing',
        '  (import "sys" "c" (global i32)): missing',
        '  (import "sys" "ok" (func)): missing',
    ]


def test_every_import_of_the_wrong_type_is_listed_with_what_was_given(run, store):
    env = {
        "f": WasmFunc(store, double, WasmFuncType(["i64"], ["i32"])),
        "m": WasmMemory(store, WasmMemoryType(1)),
        "g": 5,
    }
    system = {"t": WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 1)), "c": "text", "ok": lambda: None}
    with pytest.raises(LinkError) as caught:
        run(WANTS, {"env": env, "sys": system})
    assert caught.value.message.splitlines() == [
        "the module cannot be instantiated: 5 of 6 imports are missing or wrong",
        '  (import "env" "f" (func (param i32) (result i32))): got (func (param i64) (result i32))',
        '  (import "env" "m" (memory 2 3)): got (memory 1), which is 1 large now',
        '  (import "env" "g" (global (mut i32))): got int 5',
        '  (import "sys" "t" (table 1 funcref)): got (table 1 externref), which is 1 large now',
        '  (import "sys" "c" (global i32)): got str \'text\'',
    ]


@pytest.mark.parametrize(
    ("wat", "hint"),
    [
        ('(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))', "WASI program: .*define_wasi"),
        ('(import "env" "emscripten_resize_heap" (func))', "Emscripten"),
    ],
)
def test_well_known_imports_come_with_a_hint(run, wat, hint):
    with pytest.raises(LinkError, match=f"hint: this .*{hint}"):
        run(f"(module {wat})")


def test_imports_of_the_wrong_shape_are_refused(run):
    with pytest.raises(TypeError, match="imports: expected a mapping of mappings or a sequence, got int 5"):
        run(IMPORTS, 5)
    with pytest.raises(TypeError, match="imports: expected a mapping of mappings or a sequence, got str"):
        run(IMPORTS, "fg")
    with pytest.raises(
        TypeError, match=r"imports\['env'\]: expected a mapping from names to items, got <function"
    ):
        run(IMPORTS, {"env": double})
    with pytest.raises(LinkError, match='expected a sequence of 2, got 1; the module asks for\n.*"env" "f"'):
        run(IMPORTS, [double])


def test_a_grown_memory_fits_where_a_larger_one_is_asked_for(run, store):
    memory = WasmMemory(store, WasmMemoryType(1, 5))
    wants = '(module (import "e" "m" (memory 3 5)))'
    with pytest.raises(LinkError, match="which is 1 large now"):
        run(wants, [memory])
    memory.grow(2)
    run(wants, [memory])
    assert memory.type == WasmMemoryType(1, 5)


DECLARED = "(type $wide (sub (func (result anyref)))) (type $narrow (sub $wide (func (result i31ref))))"


@pytest.mark.parametrize(
    ("made", "field", "wide", "narrow"),
    [
        ('(memory (export "x") 1 10)', "memory", "1", "1 10"),
        ('(table (export "x") 1 10 funcref)', "table", "1 funcref", "1 10 funcref"),
        ('(table (export "x") i64 1 10 funcref)', "table", "i64 1 funcref", "i64 1 10 funcref"),
        ('(global (export "x") i31ref (ref.i31 (i32.const 1)))', "global", "anyref", "i31ref"),
        ('(func (export "x") (type $narrow) unreachable)', "func", "(type $wide)", "(type $narrow)"),
    ],
    ids=["memory", "table", "table64", "global", "func"],
)
def test_an_item_keeps_its_own_type_when_a_module_passes_it_on(run, made, field, wide, narrow):
    first = run(f"(module {DECLARED} {made})").exports.x
    passes_on = f'(module {DECLARED} (import "e" "x" ({field} {wide})) (export "x" ({field} 0)))'
    passed_on = run(passes_on, [first]).exports.x
    assert passed_on == first
    assert passed_on.type == first.type
    run(f'(module {DECLARED} (import "e" "x" ({field} {narrow})))', [passed_on])


def test_a_function_type_that_only_looks_like_a_subtype_does_not_link(run, store):
    made = WasmFunc(store, lambda: "x", WasmFuncType([], ["(ref extern)"]))
    with pytest.raises(LinkError, match="result externref.*result .ref extern"):
        run('(module (import "e" "f" (func (result externref))))', [made])
