"""Instances: imports in every shape, exports as a mapping, and what happens at the start."""

import copy

import pytest

from wasmtime_rt import (
    AbstractInstance,
    ClosedError,
    LinkError,
    TrapCode,
    WasmExports,
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmInstance,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmTable,
    WasmTableType,
    WasmTag,
    WasmTrap,
    WasmValType,
    instantiate,
)

ALL_KINDS = """(module
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (memory (export "memory") 1)
    (global (export "count") (mut i64) (i64.const 7))
    (table (export "table") 3 funcref)
    (tag (export "oops") (param i32))
    (func (export "get") (result i32) (i32.const 99))
    (func (export "odd name!") (result i32) (i32.const 5)))"""

IMPORTS = """(module
    (import "env" "f" (func $f (param i32) (result i32)))
    (import "env" "g" (global i64))
    (func (export "run") (param i32) (result i64)
        (i64.add (global.get 0) (i64.extend_i32_s (call $f (local.get 0))))))"""


def test_exports_are_a_mapping_in_order(run):
    exports = run(ALL_KINDS).exports
    assert isinstance(exports, WasmExports)
    assert list(exports) == ["add", "memory", "count", "table", "oops", "get", "odd name!"]
    assert len(exports) == 7
    assert "add" in exports
    assert "sub" not in exports
    assert [type(item) for item in exports.values()] == [
        WasmFunc,
        WasmMemory,
        WasmGlobal,
        WasmTable,
        WasmTag,
        WasmFunc,
        WasmFunc,
    ]
    assert "add: (func (param i32 i32) (result i32))" in repr(exports)


def test_exports_answer_attributes_and_items_alike(run):
    exports = run(ALL_KINDS).exports
    assert exports.add is exports["add"]
    assert exports.add(40, 2) == 42
    assert exports["odd name!"]() == 5
    assert exports.get("missing") is None
    assert exports["get"]() == 99
    assert {"add", "memory", "get"} <= set(dir(exports))
    assert "odd name!" not in dir(exports)


def test_the_same_export_is_the_same_object(run):
    instance = run(ALL_KINDS)
    assert instance.exports is instance.exports
    for name in instance.exports:
        assert instance.exports[name] is instance.exports[name]
        assert instance.get_export(name) is instance.exports[name]


def test_exports_can_be_copied(run):
    exports = run(ALL_KINDS).exports
    assert copy.copy(exports)["add"](1, 2) == 3


def test_a_missing_export_lists_what_there_is(run):
    instance = run(ALL_KINDS)
    for get in (instance.exports.__getitem__, instance.get_func, instance.get_export, instance.call):
        with pytest.raises(KeyError, match="no export 'sub'; the module exports add, memory, count"):
            get("sub")
    with pytest.raises(AttributeError, match="no export 'sub'; the module exports add"):
        instance.exports.sub
    with pytest.raises(KeyError, match="the module exports nothing"):
        run("(module)").exports["x"]


def test_exports_are_asked_for_by_kind(run):
    instance = run(ALL_KINDS)
    assert instance.get_func("add")(1, 2) == 3
    assert instance.get_memory().size == 1
    assert instance.get_global("count").value == 7
    assert len(instance.get_table("table")) == 3
    assert isinstance(instance.get_export("oops", WasmTag), WasmTag)
    assert instance.call("add", 2, 3) == 5
    with pytest.raises(TypeError, match="export 'memory': expected a WasmFunc, got <WasmMemory"):
        instance.get_func("memory")
    with pytest.raises(TypeError, match="export 'add': expected a WasmTable, got <WasmFunc add"):
        instance.get_table("add")


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
        TypeError, match=r"imports\['env'\]: expected a mapping from names to items, got function"
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


@pytest.mark.parametrize(
    ("field", "wide", "narrow"), [("memory", "1", "1 10"), ("table", "1 funcref", "1 10 funcref")]
)
def test_an_item_keeps_its_own_limits_when_a_module_passes_it_on(run, store, field, wide, narrow):
    made = run(f'(module ({field} (export "x") {narrow}))').exports.x
    passed_on = run(f'(module (import "e" "x" ({field} {wide})) (export "x" ({field} 0)))', [made]).exports.x
    assert passed_on == made
    run(f'(module (import "e" "x" ({field} {narrow})))', [passed_on])


def test_the_start_function_runs(run):
    seen = []
    run(
        '(module (import "e" "f" (func $f (param i32))) (func $s (call $f (i32.const 3))) (start $s))',
        [seen.append],
    )
    assert seen == [3]


@pytest.mark.parametrize(
    ("wat", "code"),
    [
        ("(func $s unreachable) (start $s)", TrapCode.UNREACHABLE_CODE_REACHED),
        ('(memory 1) (data (i32.const 65536) "x")', TrapCode.MEMORY_OUT_OF_BOUNDS),
        ("(table 1 funcref) (func $f) (elem (i32.const 1) $f)", TrapCode.TABLE_OUT_OF_BOUNDS),
    ],
)
def test_a_trap_at_the_start_is_a_trap(run, wat, code):
    with pytest.raises(WasmTrap) as caught:
        run(f"(module {wat})")
    assert caught.value.code is code


def test_an_exception_of_a_host_function_at_the_start_is_itself(run):
    def fail():
        raise LookupError("at the start")

    with pytest.raises(LookupError, match="at the start"):
        run('(module (import "e" "f" (func $f)) (start $f))', [fail])


def test_a_closed_instance_refuses_new_exports(run):
    instance = run(ALL_KINDS)
    add = instance.exports.add
    with instance:
        assert instance.is_valid
    assert not instance.is_valid
    with pytest.raises(ClosedError, match="this WasmInstance was closed"):
        instance.exports.memory
    assert add(1, 2) == 3
    assert repr(instance) == "<WasmInstance 7 exports closed>"


def test_a_module_is_asked_for_by_name(store):
    with pytest.raises(TypeError, match="module: expected a WasmModule, got str"):
        WasmInstance(store, "(module)")


def test_the_same_item_reached_two_ways_is_equal(run, store):
    first = run(ALL_KINDS)
    again = run(
        """(module (import "a" "add" (func (param i32 i32) (result i32))) (import "a" "memory" (memory 1))
        (import "a" "count" (global (mut i64))) (import "a" "table" (table 3 funcref))
        (import "a" "oops" (tag (param i32)))
        (export "add" (func 0)) (export "memory" (memory 0)) (export "count" (global 0))
        (export "table" (table 0)) (export "oops" (tag 0)))""",
        {"a": first},
    )
    for name in again.exports:
        assert again.exports[name] == first.exports[name]
        assert hash(again.exports[name]) == hash(first.exports[name])
    other = run(ALL_KINDS)
    assert not any(other.exports[name] == first.exports[name] for name in first.exports)
    assert len({*first.exports.values(), *other.exports.values()}) == 14


def test_modules_are_not_instances(compiled, store):
    assert isinstance(compiled("(module)"), WasmModule)
    glob = WasmGlobal(store, WasmGlobalType(WasmValType.I32), 1)
    assert glob != 1
