"""Calls into WebAssembly: arguments, results, and the rules by which they are converted."""

import gc
import math
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmtime_rt import (
    AbstractFunc,
    ClosedError,
    TypedFunc,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmValType,
    WasmValue,
)

NUMBERS = """(module
    (func (export "i32") (param i32) (result i32) (local.get 0))
    (func (export "i64") (param i64) (result i64) (local.get 0))
    (func (export "f32") (param f32) (result f32) (local.get 0))
    (func (export "f64") (param f64) (result f64) (local.get 0))
    (func (export "v128") (param v128) (result v128) (local.get 0))
    (func (export "bits32") (param f32) (result i32) (i32.reinterpret_f32 (local.get 0)))
    (func (export "bits64") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
    (func (export "nothing"))
    (func (export "divmod") (param i32 i32) (result i32 i32)
        (i32.div_s (local.get 0) (local.get 1)) (i32.rem_s (local.get 0) (local.get 1)))
    (func (export "five") (result i32 i64 f32 f64 v128)
        (i32.const -1) (i64.const -2) (f32.const 0.5) (f64.const 0.25) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)))"""


@pytest.fixture(scope="module")
def numbers():
    engine = WasmEngine()
    return WasmInstance(WasmStore(engine), WasmModule(engine, NUMBERS)).exports


def signed(value, bits):
    value %= 1 << bits
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


def test_no_one_and_several_results(numbers):
    assert numbers.nothing() is None
    assert numbers.i32(5) == 5
    assert numbers.divmod(17, 5) == (3, 2)
    assert numbers.five() == (-1, -2, 0.5, 0.25, bytes(range(16)))


def test_the_method_call_is_the_same_as_calling(numbers):
    assert numbers.nothing.call() is None
    assert numbers.five.call() == numbers.five()
    kept = numbers.divmod.call
    assert [kept(n, 5) for n in (17, 18)] == [(3, 2), (3, 3)]
    assert numbers.i32.typed(["i32"], ["i32"]).call(-1) == -1
    for wrong in ((), (1, 2), ("1",), (2**32,)):
        with pytest.raises((TypeError, OverflowError)) as called:
            numbers.i32(*wrong)
        with pytest.raises(type(called.value), match=re.escape(str(called.value))):
            numbers.i32.call(*wrong)
    with pytest.raises(TypeError, match="keyword"):
        numbers.nothing.call(timeout=1)


def test_the_method_call_keeps_its_function_and_knows_when_it_is_closed():
    engine = WasmEngine()
    kept = WasmInstance(WasmStore(engine), WasmModule(engine, NUMBERS)).exports.i32.call
    gc.collect()
    assert kept(5) == 5
    kept.__self__.close()
    with pytest.raises(ClosedError):
        kept(5)
    with pytest.raises(ClosedError, match="never initialised"):
        WasmFunc.__new__(WasmFunc).call()


@pytest.mark.parametrize("kind", ["i32", "i64"])
@pytest.mark.parametrize("edge", ["zero", "max", "min", "unsigned max", "sign bit"])
def test_the_edges_of_the_integers(numbers, kind, edge):
    bits = int(kind[1:])
    value = {
        "zero": 0,
        "max": 2 ** (bits - 1) - 1,
        "min": -(2 ** (bits - 1)),
        "unsigned max": 2**bits - 1,
        "sign bit": 2 ** (bits - 1),
    }[edge]
    assert numbers[kind](value) == signed(value, bits)


@given(st.integers(-(2**31), 2**32 - 1), st.integers(-(2**63), 2**64 - 1))
def test_integers_come_back_signed(numbers, small, large):
    assert numbers.i32(small) == signed(small, 32)
    assert numbers.i64(large) == signed(large, 64)


@given(st.floats(width=32), st.floats())
def test_floats_come_back_as_they_are(numbers, single, double):
    assert repr(numbers.f32(single)).lstrip("-") == repr(single).lstrip("-")
    assert math.copysign(1, numbers.f32(single)) == math.copysign(1, single)
    assert struct.pack("<d", numbers.f64(double)) == struct.pack("<d", double)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_typed_value_goes_in_bit_for_bit(numbers, small, large):
    assert numbers.bits32(WasmValue._from_bits(WasmValType.F32, small)) == signed(small, 32)
    assert numbers.bits64(WasmValue._from_bits(WasmValType.F64, large)) == signed(large, 64)


@given(st.binary(min_size=16, max_size=16))
def test_vectors_are_sixteen_bytes(numbers, value):
    assert numbers.v128(value) == value
    assert numbers.v128(bytearray(value)) == value
    assert numbers.v128(WasmValue.v128(value)) == value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("i32", True, 1),
        ("i32", np.int8(-3), -3),
        ("i64", np.uint64(2**64 - 1), -1),
        ("f32", 3, 3.0),
        ("f64", np.float32(0.5), 0.5),
        ("f64", True, 1.0),
        ("f32", 0.1, float(np.float32(0.1))),
        ("i32", WasmValue.i32(7), 7),
        ("f32", float("-inf"), float("-inf")),
    ],
)
def test_whatever_is_like_a_number_is_taken(numbers, name, value, expected):
    result = numbers[name](value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("i32", 1.0, TypeError, r"i32: argument 0 \(i32\): expected an integer, got float 1\.0"),
        ("i32", "1", TypeError, r"i32: argument 0 \(i32\): expected an integer, got str '1'"),
        ("i64", None, TypeError, r"i64: argument 0 \(i64\): expected an integer, got NoneType None"),
        (
            "i32",
            2**32,
            OverflowError,
            r"argument 0 \(i32\): expected an integer from -2\*\*31 to 2\*\*32 - 1",
        ),
        ("i32", -(2**31) - 1, OverflowError, "got int -2147483649"),
        ("i64", 2**64, OverflowError, "got int 18446744073709551616"),
        ("f32", "1", TypeError, r"argument 0 \(f32\): expected a real number, got str"),
        ("f32", 1e39, OverflowError, r"argument 0 \(f32\): expected a number in the range of f32"),
        ("f64", 10**400, OverflowError, "range of f64"),
        ("f64", 1j, TypeError, "expected a real number, got complex 1j"),
        ("v128", b"short", ValueError, r"argument 0 \(v128\): expected 16 bytes, got 5"),
        ("v128", 16, TypeError, r"argument 0 \(v128\): expected 16 bytes, got int 16"),
        ("i32", WasmValue.i64(1), TypeError, r"expected a value of type i32, got WasmValue\.i64\(1\)"),
        ("f64", WasmValue.f32(1), TypeError, r"expected a value of type f64, got WasmValue\.f32\(1\.0\)"),
    ],
)
def test_arguments_of_another_kind_are_refused(numbers, name, value, error, message):
    with pytest.raises(error, match=message):
        numbers[name](value)


def test_the_message_names_the_argument_that_is_wrong(numbers):
    with pytest.raises(TypeError, match=r"divmod: argument 1 \(i32\): expected an integer, got str 'five'"):
        numbers.divmod(17, "five")


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("nothing", (1,), "nothing: expected 0 arguments, got 1"),
        ("i32", (), "i32: expected 1 argument, got 0"),
        ("divmod", (1, 2, 3), "divmod: expected 2 arguments, got 3"),
    ],
)
def test_the_number_of_arguments_is_exact(numbers, name, args, message):
    with pytest.raises(TypeError, match=message):
        numbers[name](*args)
    with pytest.raises(TypeError):
        numbers[name](key=1)


def test_a_refused_call_leaves_the_function_usable(numbers):
    for _ in range(3):
        with pytest.raises(TypeError):
            numbers.divmod(1, None)
        assert numbers.divmod(7, 2) == (3, 1)


@pytest.mark.parametrize("count", [17, 200])
def test_many_parameters_and_results(run, count):
    types = " ".join(["i32", "i64", "f32", "f64"][i % 4] for i in range(count))
    body = " ".join(f"(local.get {i})" for i in range(count))
    echo = run(f'(module (func (export "echo") (param {types}) (result {types}) {body}))').exports.echo
    values = [i if i % 4 < 2 else i / 2 for i in range(count)]
    assert echo(*values) == tuple(values)


def test_references_and_numbers_mix(run):
    echo = run(
        """(module (func (export "echo") (param i32 externref f32 funcref v128 i64)
        (result i64 v128 funcref f32 externref i32)
        (local.get 5) (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0)))"""
    ).exports.echo
    thing = object()
    assert echo(2**32 - 1, thing, 0.5, echo, bytes(16), -9) == (-9, bytes(16), echo, 0.5, thing, -1)
    with pytest.raises(TypeError, match="echo: expected 6 arguments, got 1"):
        echo(1)
    with pytest.raises(OverflowError, match=r"echo: argument 0 \(i32\)"):
        echo(2**32, None, 0, None, bytes(16), 0)
    with pytest.raises(
        TypeError, match=r"echo: argument 3 \(funcref\): expected a WasmFunc or None, got builtin"
    ):
        echo(0, None, 0, print, bytes(16), 0)


def test_a_nan_keeps_its_payload_beside_references(run):
    bits = run(
        '(module (func (export "bits") (param externref f32) (result i32) (i32.reinterpret_f32 (local.get 1))))'
    ).exports.bits
    assert bits(None, WasmValue._from_bits(WasmValType.F32, 0x7FA12345)) == 0x7FA12345


def test_a_function_tells_its_type_and_name(numbers):
    func = numbers.divmod
    assert isinstance(func, AbstractFunc)
    assert func.type == WasmFuncType(["i32", "i32"], ["i32", "i32"])
    assert func.name == "divmod"
    assert repr(func) == "<WasmFunc divmod (func (param i32 i32) (result i32 i32))>"


def test_a_typed_function_is_checked_once(numbers):
    divide = numbers.divmod.typed([WasmValType.I32, "i32"], ["i32", "i32"])
    assert isinstance(divide, TypedFunc)
    assert divide(17, 5) == (3, 2)
    assert divide.func is numbers.divmod
    assert "divmod" in repr(divide)
    assert numbers.nothing.typed()() is None
    with pytest.raises(
        TypeError, match=r"divmod: expected \(func \(param i64\)\), got \(func \(param i32 i32\)"
    ):
        numbers.divmod.typed(["i64"])


def test_a_closed_function_refuses_calls(run):
    instance = run('(module (func (export "f") (result i32) (i32.const 1)) (table (export "t") 1 funcref))')
    func = instance.exports.f
    func.close()
    func.close()
    assert not func.is_valid
    with pytest.raises(ClosedError, match="this WasmFunc was closed"):
        func()
    with pytest.raises((ClosedError, TypeError), match="closed|expected a WasmFunc"):
        instance.exports.t[0] = func
    with pytest.raises(ClosedError):
        func.typed([], ["i32"])()
    takes = run('(module (func (export "takes") (param funcref)))').exports.takes
    for call in (takes, takes.call_values):
        with pytest.raises(ClosedError, match="argument 0"):
            call(func)
    assert repr(func) == "<WasmFunc f (func (result i32)) closed>"


def test_functions_are_equal_when_they_are_the_same(run):
    exports = run('(module (func $f (export "a")) (export "b" (func $f)) (func (export "c")))').exports
    assert exports.a == exports.b
    assert hash(exports.a) == hash(exports.b)
    assert exports.a != exports.c
    assert len({exports.a, exports.b, exports.c}) == 2


def test_functions_of_two_stores_are_different(engine):
    module = WasmModule(engine, '(module (func (export "f")))')
    first, second = (WasmInstance(WasmStore(engine), module).exports.f for _ in range(2))
    assert first != second
    assert first.store is not second.store


def test_host_functions_are_different_from_each_other(store):
    made = [WasmFunc(store, lambda: None, WasmFuncType()) for _ in range(5)]
    assert len(set(made)) == 5
