"""Instances: imports in every shape, exports as a mapping, and what happens at the start."""

import copy

import pytest

from wasmtime_rt import (
    ClosedError,
    TrapCode,
    WasmExports,
    WasmFunc,
    WasmGlobal,
    WasmGlobalType,
    WasmInstance,
    WasmMemory,
    WasmModule,
    WasmTable,
    WasmTag,
    WasmTrap,
    WasmValType,
)

ALL_KINDS = """(module
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (memory (export "memory") 1)
    (global (export "count") (mut i64) (i64.const 7))
    (table (export "table") 3 funcref)
    (tag (export "oops") (param i32))
    (func (export "get") (result i32) (i32.const 99))
    (func (export "odd name!") (result i32) (i32.const 5)))"""


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


def test_names_with_underscores_or_nul_are_exports_too(run):
    exports = run(
        r"""(module (global (export "__heap_base") i32 (i32.const 7)) (func (export "__len__"))
        (func (export "a\00b") (result i32) (i32.const 3)))"""
    ).exports
    assert exports.__heap_base.value == 7
    assert len(exports) == 3
    assert exports["__len__"]() is None
    assert exports["a\0b"]() == 3


def test_the_same_export_is_the_same_object(run):
    instance = run(ALL_KINDS)
    assert instance.exports is instance.exports
    for name in instance.exports:
        assert instance.exports[name] is instance.exports[name]
        assert instance.get_export(name) is instance.exports[name]


def test_exports_can_be_copied(run):
    exports = run(ALL_KINDS).exports
    assert copy.copy(exports)["add"](1, 2) == 3
    assert copy.copy(exports).add is exports.add


def test_attributes_are_kept_and_leave_the_mapping_alone(run):
    exports = run("""(module (func (export "get")) (func (export "keys") (result i32) (i32.const 1))
        (global (export "g") (mut i32) (i32.const 4)))""").exports
    assert exports.g is exports.g is exports["g"]
    assert exports["keys"]() == 1
    assert list(exports.keys()) == list(exports) == ["get", "keys", "g"]
    assert dir(exports).count("get") == dir(exports).count("g") == 1
    with pytest.raises(AttributeError, match="exports cannot be set: g; of a global, set its value"):
        exports.g = 5
    with pytest.raises(AttributeError, match="exports cannot be deleted: g"):
        del exports.g
    assert exports.g.value == 4


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
