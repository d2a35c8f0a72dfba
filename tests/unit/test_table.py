"""Tables: references by index."""

from collections.abc import Sequence

import pytest

from wasmtime_rt import (
    AbstractTable,
    ClosedError,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmTable,
    WasmTableType,
    WasmtimeError,
    WasmTrap,
    WasmValType,
    WasmValue,
)

FUNCREF, EXTERNREF = WasmValType.FUNCREF, WasmValType.EXTERNREF


@pytest.fixture
def table(store):
    return WasmTable(store, WasmTableType(EXTERNREF, 3, 6))


def test_a_table_starts_with_null_or_init(store):
    assert list(WasmTable(store, WasmTableType(EXTERNREF, 2))) == [None, None]
    thing = object()
    assert list(WasmTable(store, WasmTableType(EXTERNREF, 3), thing)) == [thing] * 3
    func = WasmFunc(store, print, WasmFuncType())
    assert list(WasmTable(store, WasmTableType(FUNCREF, 2), func)) == [func, func]


def test_a_table_tells_its_type_and_length(table):
    assert isinstance(table, AbstractTable)
    assert table.type == WasmTableType(EXTERNREF, 3, 6)
    assert (len(table), table.size) == (3, 3)
    assert repr(table) == "<WasmTable (table 3 6 externref)>"


def test_elements_are_set_by_index(table):
    things = [object(), "text", (1, 2)]
    for i, thing in enumerate(things):
        table[i] = thing
    assert [table[0], table[1], table[2]] == things
    assert table[0] is things[0]
    assert (table[-1], table[-3]) == (things[2], things[0])
    table[-1] = None
    assert table[2] is None
    assert table[0:2] == things[:2]
    assert table[::-1] == [None, "text", things[0]]
    assert table[5:] == []
    assert "text" in table
    assert "other" not in table


@pytest.mark.parametrize("index", [3, -4, 2**32, 2**64, -(2**70)])
def test_an_index_out_of_range_is_an_error(table, index):
    with pytest.raises(IndexError, match=f"element {index} is outside of this table of 3 elements"):
        table[index]
    with pytest.raises(IndexError, match=f"element {index} is outside of this table of 3 elements"):
        table[index] = None


def test_indices_are_integers_and_slices_cannot_be_assigned(table):
    for index in ("a", 1.0, None):
        with pytest.raises(TypeError):
            table[index]
    with pytest.raises(TypeError, match="set the elements one by one"):
        table[0:2] = [1, 2]


def test_grow_returns_the_old_length_and_raises_when_refused(table):
    thing = object()
    assert table.grow(2, thing) == 3
    assert list(table) == [None] * 3 + [thing] * 2
    assert table.grow(0) == 5
    assert table.grow(1) == 5
    assert len(table) == 6
    with pytest.raises(WasmtimeError, match=r"table\.grow\(1\): failed to grow table"):
        table.grow(1)
    with pytest.raises(WasmtimeError, match="table.grow"):
        table.grow(2**70)
    with pytest.raises(ValueError, match="count: expected 0 or more, got -1"):
        table.grow(-1)
    assert len(table) == 6


@pytest.mark.parametrize("value", [print, 5, "text", WasmValue.externref(1)])
def test_a_function_table_takes_functions_only(store, value):
    table = WasmTable(store, WasmTableType(FUNCREF, 1))
    with pytest.raises(TypeError, match=r"element 0 \(funcref\): expected .*, got"):
        table[0] = value
    with pytest.raises(TypeError, match=r"init \(funcref\): expected"):
        table.grow(1, value)
    with pytest.raises(TypeError, match=r"init \(funcref\): expected"):
        WasmTable(store, WasmTableType(FUNCREF, 1), value)
    assert list(table) == [None]


def test_a_non_nullable_table_needs_an_init(store):
    strict = WasmTableType(WasmValType.ref("extern", nullable=False), 1)
    with pytest.raises(TypeError, match="expected a reference that is not null, got None"):
        WasmTable(store, strict)
    table = WasmTable(store, strict, "first")
    with pytest.raises(TypeError, match="not null"):
        table[0] = None
    with pytest.raises(TypeError, match="not null"):
        table.grow(1)
    assert table.grow(1, "second") == 1
    assert list(table) == ["first", "second"]


def test_a_typed_reference_is_unwrapped(table):
    table[0] = WasmValue.externref("inside")
    table[1] = WasmValue.externref(None)
    assert list(table) == ["inside", None, None]


def test_wasm_calls_what_python_put_in(run, store):
    exports = run(
        """(module (type $t (func (param i32) (result i32))) (table (export "t") 2 funcref)
        (func (export "call") (param i32 i32) (result i32) (call_indirect (type $t) (local.get 1) (local.get 0)))
        (func (export "inc") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"""
    ).exports
    exports.t[0] = WasmFunc(store, lambda x: x * 10, WasmFuncType(["i32"], ["i32"]))
    exports.t[1] = exports.inc
    assert (exports.call(0, 4), exports.call(1, 4)) == (40, 5)
    assert exports.t[1] == exports.inc
    assert exports.t[1](7) == 8
    exports.t[1] = None
    with pytest.raises(WasmTrap, match="uninitialized element"):
        exports.call(1, 4)
    exports.t[1] = WasmFunc(store, lambda: None, WasmFuncType())
    with pytest.raises(WasmTrap, match="indirect call type mismatch"):
        exports.call(1, 4)


def test_python_sees_what_wasm_put_in(run):
    exports = run(
        """(module (table $t (export "t") 1 4 externref)
        (func (export "push") (param externref) (result i32) (table.grow $t (local.get 0) (i32.const 1)))
        (func (export "get") (param i32) (result externref) (table.get $t (local.get 0))))"""
    ).exports
    thing = {"an": "object"}
    assert exports.push(thing) == 1
    assert exports.t[1] is thing
    assert len(exports.t) == 2
    assert exports["get"](1) is thing


def test_a_table_of_concrete_functions_is_checked_by_the_engine(run, store):
    table = run(
        """(module (type $t (func (result i32))) (table (export "t") 2 (ref null $t))
        (func $f (export "f") (result i32) (i32.const 6)) (elem (i32.const 0) (ref null $t) (ref.func $f)))"""
    ).exports.t
    assert table[0]() == 6
    table[1] = WasmFunc(store, lambda: 7, WasmFuncType([], ["i32"]))
    assert table[1]() == 7
    with pytest.raises((WasmtimeError, TypeError)):
        table[1] = WasmFunc(store, lambda: None, WasmFuncType())
    assert table[1]() == 7


def test_tables_with_wide_indices_are_read_and_grown(run):
    exports = run(
        """(module (table $t (export "t") i64 2 0x1_0000_0000 externref)
        (func (export "grow") (param i64) (result i64) (table.grow $t (ref.null extern) (local.get 0))))"""
    ).exports
    assert exports.t.type.max == 2**32
    exports.t[1] = "here"
    assert exports.grow(3) == 2
    assert exports.t.grow(1, "end") == 5
    assert list(exports.t) == [None, "here", None, None, None, "end"]


def test_a_table_with_wide_indices_is_made_and_imported(run, store):
    table = WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 2, 2**40, is64=True), "x")
    table.grow(1)
    size = run(
        """(module (import "e" "t" (table i64 1 0x100_0000_0000 externref))
        (func (export "size") (result i64) (table.size 0)))""",
        {"e": {"t": table}},
    ).exports.size
    assert (list(table), size()) == (["x", "x", None], 3)
    with pytest.raises(WasmtimeError, match="overflow"):
        WasmTable(store, WasmTableType(FUNCREF, 2**63, is64=True))
    defined = run(
        '(module (type $t (struct)) (func (export "f") (param (ref null $t))))'
    ).exports.f.type.params[0]
    with pytest.raises(WasmtimeError, match="of a type that a module defines"):
        WasmTable(store, WasmTableType(defined, 1, is64=True))


def test_one_table_serves_two_modules(engine):
    store = WasmStore(engine)
    table = WasmTable(store, WasmTableType(FUNCREF, 1))
    provider = '(module (import "e" "t" (table 1 funcref)) (func $f (result i32) (i32.const 3)) (elem (i32.const 0) $f))'
    user = """(module (import "e" "t" (table 1 funcref))
        (func (export "call") (result i32) (call_indirect (result i32) (i32.const 0))))"""
    WasmInstance(store, WasmModule(engine, provider), [table])
    assert WasmInstance(store, WasmModule(engine, user), [table]).exports.call() == 3


def test_a_closed_table_refuses_use(table):
    table.close()
    assert not table.is_valid
    for use in (lambda: table[0], lambda: table.size, lambda: table.grow(1), lambda: list(table)):
        with pytest.raises(ClosedError, match="this WasmTable was closed"):
            use()
    assert len(table) == 3
    assert repr(table).endswith(" closed>")


def test_a_table_type_is_asked_for_by_name(store):
    with pytest.raises(TypeError, match="type: expected a WasmTableType, got 1"):
        WasmTable(store, 1)


def test_a_table_is_a_sequence(store):
    table = WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 3), "x")
    table[1] = "y"
    assert isinstance(table, Sequence)
    assert (table.index("y"), table.count("x"), list(reversed(table))) == (1, 2, ["x", "y", "x"])


def test_64_bit_indices_with_elements_that_cannot_be_null(store, run):
    never_null = WasmValType.ref("func", nullable=False)
    func = run('(module (func (export "f") (result i32) i32.const 5))').exports.f
    table = WasmTable(store, WasmTableType(never_null, 2, is64=True), func)
    assert [item() for item in table] == [5, 5]
    with pytest.raises(TypeError, match="expected a reference that is not null, got None"):
        table[0] = None
