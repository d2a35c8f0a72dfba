"""Globals: variables that modules share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmtime_rt import (
    AbstractGlobal,
    ClosedError,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmValType,
    WasmValue,
    WrongEngineError,
)


def variable(store, kind, value):
    return WasmGlobal(store, WasmGlobalType(WasmValType.parse(kind), True), value)


@pytest.fixture(scope="module")
def any_store():
    return WasmStore(WasmEngine())


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("i32", -1, 2**31 - 1),
        ("i64", -(2**63), 2**63 - 1),
        ("f32", 0.5, float("inf")),
        ("f64", 0.1, -0.0),
        ("v128", bytes(16), bytes(range(16))),
        ("externref", None, ["any", "object"]),
        ("funcref", None, None),
    ],
)
def test_every_type_is_kept_and_set(store, kind, first, second):
    made = variable(store, kind, first)
    assert isinstance(made, AbstractGlobal)
    assert made.value == first
    made.value = second
    assert made.value == second
    assert made.get_value() == getattr(WasmValue, kind)(second)
    assert made.type == WasmGlobalType(WasmValType.parse(kind), True)
    assert (str(made.type.content), made.type.mutable) == (kind, True)


def test_an_immutable_global_cannot_be_set(store):
    made = WasmGlobal(store, WasmGlobalType(WasmValType.I32), 5)
    with pytest.raises(WasmtimeError, match=r"\(global i32\) is immutable: its value cannot be set"):
        made.value = 6
    assert made.value == 5
    assert repr(made) == "<WasmGlobal (global i32)>"


def test_mutability_is_as_it_says(run, store):
    mutable, constant = variable(store, "i32", 1), WasmGlobal(store, WasmGlobalType(WasmValType.I32), 2)
    module = """(module (import "e" "m" (global $m (mut i32))) (import "e" "c" (global $c i32))
        (func (export "f") (result i32) (global.set $m (i32.const 10)) (i32.add (global.get $m) (global.get $c))))"""
    assert run(module, {"e": {"m": mutable, "c": constant}}).exports.f() == 12
    assert mutable.value == 10


@pytest.mark.parametrize(("kind", "bits"), [("i32", 32), ("i64", 64)])
def test_integers_are_taken_unsigned_and_come_back_signed(store, kind, bits):
    made = variable(store, kind, 2**bits - 1)
    assert made.value == -1
    assert made.get_value().bits == 2**bits - 1


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_typed_values_go_in_and_out_bit_for_bit(any_store, small, large):
    single = WasmValue._from_bits(WasmValType.F32, small)
    double = WasmValue._from_bits(WasmValType.F64, large)
    first, second = variable(any_store, "f32", single), variable(any_store, "f64", 0)
    second.value = double
    assert first.get_value().bits == small
    assert second.get_value().bits == large


@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        ("i32", "5", TypeError, r"value \(i32\): expected an integer, got str '5'"),
        ("i32", 2**32, OverflowError, r"value \(i32\): expected an integer from"),
        ("f32", None, TypeError, r"value \(f32\): expected a real number, got NoneType None"),
        ("f32", 1e39, OverflowError, r"value \(f32\): expected a number in the range of f32"),
        ("v128", b"", ValueError, r"value \(v128\): expected 16 bytes, got 0"),
        ("i32", WasmValue.i64(1), TypeError, r"expected a value of type i32, got WasmValue\.i64\(1\)"),
        ("funcref", print, TypeError, r"value \(funcref\): expected a WasmFunc or None, got builtin"),
        ("externref", WasmValue.i32(1), TypeError, r"expected a value of type externref, got WasmValue\.i32"),
    ],
)
def test_values_of_another_kind_are_refused(store, kind, value, error, message):
    with pytest.raises(error, match=message):
        variable(store, kind, value)
    good = {"v128": bytes(16), "funcref": None, "externref": "object"}.get(kind, 1)
    made = variable(store, kind, good)
    with pytest.raises(error, match=message):
        made.value = value
    assert made.value == good


def test_a_non_nullable_global_refuses_null(store):
    strict = WasmGlobalType(WasmValType.ref("extern", nullable=False), True)
    with pytest.raises(
        TypeError, match=r"value \(\(ref extern\)\): expected a reference that is not null, got None"
    ):
        WasmGlobal(store, strict, None)
    made = WasmGlobal(store, strict, "text")
    with pytest.raises(TypeError, match="not null"):
        made.value = None
    assert made.value == "text"


def test_functions_are_kept_in_globals(run, store):
    func = WasmFunc(store, lambda: 8, WasmFuncType([], ["i32"]))
    made = variable(store, "funcref", func)
    assert made.value == func
    assert made.value() == 8
    assert made.get_value().value == func
    call = run(
        """(module (import "e" "g" (global (mut funcref))) (type $t (func (result i32))) (table 1 funcref)
        (func (export "call") (result i32)
            (table.set (i32.const 0) (global.get 0)) (call_indirect (type $t) (i32.const 0))))""",
        [made],
    ).exports.call
    assert call() == 8


def test_wasm_and_python_see_the_same_variable(run):
    exports = run(
        """(module (global $g (export "g") (mut i64) (i64.const 40)) (global (export "pi") f64 (f64.const 3.25))
        (func (export "add") (param i64) (global.set $g (i64.add (global.get $g) (local.get 0)))))"""
    ).exports
    exports.add(2)
    assert exports.g.value == 42
    exports.g.value = -1
    exports.add(1)
    assert exports.g.value == 0
    assert exports.pi.value == 3.25
    assert not exports.pi.type.mutable


def test_a_closed_global_refuses_use(store):
    made = variable(store, "i32", 1)
    made.close()
    assert not made.is_valid
    with pytest.raises(ClosedError, match="this WasmGlobal was closed"):
        made.value
    with pytest.raises(ClosedError):
        made.value = 2
    with pytest.raises(ClosedError):
        made.get_value()
    assert repr(made) == "<WasmGlobal (global (mut i32)) closed>"


def test_a_global_type_is_asked_for_by_name(store):
    with pytest.raises(TypeError, match="type: expected a WasmGlobalType, got WasmValType.I32"):
        WasmGlobal(store, WasmValType.I32, 1)


def test_a_type_that_another_engine_defines_is_refused(store):
    defines = '(module (type $s (struct)) (global (export "g") (ref null $s) (ref.null $s)))'
    elsewhere = WasmModule(WasmEngine(), defines).exports[0].type
    with pytest.raises(WrongEngineError, match=r"\(struct\)\) is defined by a module of another engine"):
        WasmGlobal(store, elsewhere, None)
