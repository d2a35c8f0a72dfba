"""Values with their types, and how Python numbers become WebAssembly numbers."""

import copy
import math
import pickle
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmtime_rt import (
    WasmExternRef,
    WasmF32,
    WasmF64,
    WasmFunc,
    WasmFuncRef,
    WasmFuncType,
    WasmI32,
    WasmI64,
    WasmtimeValue,
    WasmV128,
    WasmValType,
    WasmValue,
    from_wasm,
    is_wasm_convertible,
    to_wasm,
)

VECTOR = bytes(range(16))


def signed(value, bits):
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


@given(st.integers(-(2**31), 2**32 - 1))
def test_i32_takes_the_signed_and_the_unsigned_range_and_is_signed(value):
    made = WasmValue.i32(value)
    assert made.value == signed(value % 2**32, 32)
    assert made.bits == value % 2**32
    assert made == WasmI32(value)
    assert WasmValue.i32(made.bits) == made


@given(st.integers(-(2**63), 2**64 - 1))
def test_i64_takes_the_signed_and_the_unsigned_range_and_is_signed(value):
    made = WasmValue.i64(value)
    assert from_wasm(made) == signed(value % 2**64, 64)
    assert made.bits == value % 2**64
    assert made == WasmI64(value)


@pytest.mark.parametrize(("kind", "bits"), [("i32", 32), ("i64", 64)])
@pytest.mark.parametrize("beyond", ["above", "below", "far"])
def test_integers_beyond_both_ranges_overflow(kind, bits, beyond):
    value = {"above": 2**bits, "below": -(2 ** (bits - 1)) - 1, "far": 10**1000}[beyond]
    with pytest.raises(
        OverflowError, match=rf"{kind}: expected an integer from -2\*\*{bits - 1} to 2\*\*{bits} - 1"
    ):
        getattr(WasmValue, kind)(value)


def test_an_enormous_integer_is_named_by_its_size():
    with pytest.raises(OverflowError, match="got an integer of 3322 bits"):
        WasmValue.i32(10**1000)


@given(st.floats(width=32))
def test_f32_round_trips(value):
    made = WasmValue.f32(value)
    assert made.value == value or (math.isnan(value) and math.isnan(made.value))
    assert made.bits & 0x7FFFFFFF == struct.unpack("<I", struct.pack("<f", value))[0] & 0x7FFFFFFF


@given(st.floats())
def test_f64_round_trips_bit_for_bit(value):
    assert WasmValue.f64(value).bits == struct.unpack("<Q", struct.pack("<d", value))[0]


def test_f32_rounds_to_single_precision_and_refuses_what_is_beyond():
    assert WasmValue.f32(0.1).value == struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert WasmValue.f32(float("inf")).value == float("inf")
    with pytest.raises(OverflowError, match="f32: expected a number in the range of f32, got float 1e"):
        WasmValue.f32(1e39)
    with pytest.raises(OverflowError, match="range of f64"):
        WasmValue.f64(10**400)


@pytest.mark.parametrize("value", [True, np.int64(7), np.uint8(255)])
def test_anything_with_index_is_an_integer(value):
    assert WasmValue.i64(value).value == int(value)


@pytest.mark.parametrize("value", [3, Fraction(1, 2), np.float32(0.5), np.int16(-4), True])
def test_any_real_number_is_a_float(value):
    assert WasmValue.f64(value).value == float(value)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("i32", 1.0, r"i32: expected an integer, got float 1\.0"),
        ("i64", "7", "i64: expected an integer, got str '7'"),
        ("i32", None, "i32: expected an integer, got NoneType None"),
        ("f32", "1.5", "f32: expected a real number, got str"),
        ("f64", 1j, "f64: expected a real number, got complex"),
        ("f64", b"1", "f64: expected a real number, got bytes"),
        ("v128", 5, "v128: expected 16 bytes, got int 5"),
        ("funcref", print, "funcref: expected a WasmFunc, got builtin"),
    ],
)
def test_values_of_another_kind_are_refused(kind, value, message):
    with pytest.raises(TypeError, match=message):
        getattr(WasmValue, kind)(value)


def test_vectors_are_sixteen_bytes():
    assert WasmValue.v128(bytearray(VECTOR)).value == VECTOR
    assert WasmV128(memoryview(VECTOR)) == WasmValue(VECTOR)
    with pytest.raises(ValueError, match="expected 16 bytes, got 15"):
        WasmValue.v128(VECTOR[:15])
    with pytest.raises(TypeError, match="has no bit pattern"):
        WasmValue.v128(VECTOR).bits


def test_the_natural_type_of_a_python_value(store):
    function = WasmFunc(store, lambda: None, WasmFuncType())
    for value, kind in [
        (42, "i32"),
        (True, "i32"),
        (3.14159, "f64"),
        (Fraction(1, 2), "f64"),
        (VECTOR, "v128"),
        (None, "externref"),
        (function, "funcref"),
    ]:
        made = WasmValue(value)
        assert str(made.type) == kind
        assert to_wasm(value) == made
    with pytest.raises(OverflowError):
        WasmValue(2**40)
    with pytest.raises(TypeError, match=r"got str 'text'; any object can be passed as WasmValue\.externref"):
        WasmValue("text")


@pytest.mark.parametrize(
    ("cls", "value", "name"),
    [
        (WasmI32, 1, "i32"),
        (WasmI64, 1, "i64"),
        (WasmF32, 1.5, "f32"),
        (WasmF64, 1.5, "f64"),
        (WasmV128, VECTOR, "v128"),
        (WasmFuncRef, None, "funcref"),
        (WasmExternRef, "any object", "externref"),
    ],
)
def test_each_subclass_names_a_type(cls, value, name):
    made = cls(value)
    assert type(made) is cls
    assert isinstance(made, WasmtimeValue)
    assert made.type == WasmValType.parse(name)
    assert made == getattr(WasmValue, name)(value)
    assert type(getattr(WasmValue, name)(value)) is cls
    assert repr(made) == f"WasmValue.{name}({value!r})"
    for twin in (copy.copy(made), pickle.loads(pickle.dumps(made))):
        assert twin == made
        assert hash(twin) == hash(made)


def test_values_are_equal_when_type_and_bits_are():
    assert WasmValue.i32(-1) == WasmValue.i32(2**32 - 1)
    assert WasmValue.i32(1) != WasmValue.i64(1)
    assert WasmValue.f64(0.0) != WasmValue.f64(-0.0)
    nan = WasmValue.f64(float("nan"))
    assert nan == copy.copy(nan)
    assert WasmValue.i32(1) != 1


def test_a_typed_value_keeps_its_type():
    assert to_wasm(WasmValue.i64(5)) == WasmValue.i64(5)
    assert to_wasm(WasmValue.i64(5), WasmValType.I64).value == 5
    with pytest.raises(TypeError, match=r"expected a value of type i32, got WasmValue\.i64\(5\)"):
        to_wasm(WasmValue.i64(5), WasmValType.I32)
    with pytest.raises(TypeError, match="expected a WasmValue, got int 5"):
        from_wasm(5)


def test_a_reference_value_holds_the_object_itself():
    thing = object()
    assert WasmValue.externref(thing).value is thing
    assert to_wasm(thing, WasmValType.EXTERNREF).value is thing
    assert WasmValue.externref(None).value is None
    with pytest.raises(TypeError, match="expected a reference that is not null, got None"):
        to_wasm(None, WasmValType.ref("extern", nullable=False))


@pytest.mark.parametrize("heap", ["noextern", "nofunc", "none"])
def test_null_is_the_only_value_of_a_bottom_type(store, heap):
    bottom = WasmValType.ref(heap)
    assert to_wasm(None, bottom).value is None
    function = WasmFunc(store, lambda: None, WasmFuncType())
    assert not is_wasm_convertible(function, bottom)


def test_what_can_be_converted():
    assert is_wasm_convertible(42)
    assert is_wasm_convertible(2**40, WasmValType.I64)
    assert not is_wasm_convertible(2**40)
    assert not is_wasm_convertible("text")
    assert is_wasm_convertible("text", WasmValType.EXTERNREF)
    assert not is_wasm_convertible(1.5, WasmValType.I32)
    assert not is_wasm_convertible(b"short", WasmValType.V128)


def test_a_broken_repr_does_not_hide_the_error():
    class Broken:
        def __repr__(self):
            raise RuntimeError("no")

    with pytest.raises(TypeError, match=r"expected an integer, got Broken an object whose repr\(\) fails"):
        WasmValue.i32(Broken())
