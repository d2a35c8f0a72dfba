"""Vectors by their lanes: there and back in every shape, by the rules of single numbers."""

import struct

import pytest

from wasmtime_rt import WasmFunc, WasmFuncType, WasmValType, WasmValue, v128

SHAPES = {"i8x16": 16, "i16x8": 8, "i32x4": 4, "i64x2": 2, "f32x4": 4, "f64x2": 2}
INTEGERS = {"i8x16": 8, "i16x8": 16, "i32x4": 32, "i64x2": 64}


@pytest.mark.parametrize("shape", SHAPES)
def test_lanes_come_back_in_order(shape):
    given = tuple(range(SHAPES[shape]))
    vector = getattr(v128, shape)(*given)
    assert len(vector) == 16
    assert v128.lanes(shape, vector) == given
    kind = {"i": int, "f": float}[shape[0]]
    assert {type(lane) for lane in v128.lanes(shape, vector)} == {kind}


@pytest.mark.parametrize("shape", SHAPES)
def test_webassembly_has_the_same_lanes(run, shape):
    """Lane 1 as the engine extracts it, and a splat as the engine makes it."""
    kind, suffix = shape.split("x")[0], "_s" if shape in {"i8x16", "i16x8"} else ""
    param = kind if kind in {"i64", "f32", "f64"} else "i32"
    exports = run(f"""(module
        (func (export "second") (param v128) (result {param}) ({shape}.extract_lane{suffix} 1 (local.get 0)))
        (func (export "splat") (param {param}) (result v128) ({shape}.splat (local.get 0))))""").exports
    given = [7] * SHAPES[shape]
    given[1] = -3
    assert exports.second(getattr(v128, shape)(*given)) == -3
    assert v128.lanes(shape, exports.splat(-5)) == (-5,) * SHAPES[shape]


@pytest.mark.parametrize("shape", INTEGERS)
def test_integers_are_signed_or_unsigned_and_come_back_as_asked(shape):
    bits, make = INTEGERS[shape], getattr(v128, shape)
    others = [0] * (SHAPES[shape] - 2)
    vector = make(2**bits - 1, -(2 ** (bits - 1)), *others)
    assert v128.lanes(shape, vector)[:2] == (-1, -(2 ** (bits - 1)))
    assert v128.lanes(shape, vector, signed=False)[:2] == (2**bits - 1, 2 ** (bits - 1))
    for wrong in (2**bits, -(2 ** (bits - 1)) - 1):
        with pytest.raises(
            OverflowError, match=rf"{shape}: lane 1: expected an integer from -2\*\*{bits - 1}"
        ):
            make(0, wrong, *others)
    with pytest.raises(TypeError, match=f"{shape}: lane 0: expected an integer, got float 1.0"):
        make(1.0, 0, *others)


def test_floats_take_real_numbers_in_their_range():
    assert v128.f32x4(0.1, 1, True, float("inf")) == struct.pack("<4f", 0.1, 1, 1, float("inf"))
    assert v128.f64x2(0.1, -0.0) == struct.pack("<2d", 0.1, -0.0)
    with pytest.raises(OverflowError, match="f32x4: lane 2: expected a number in the range of f32"):
        v128.f32x4(0, 0, 1e39, 0)
    with pytest.raises(TypeError, match="f64x2: lane 0: expected a real number, got str"):
        v128.f64x2("1", 0)


SIGNALLING = {"f32x4": (32, 0x7FA00001), "f64x2": (64, 0xFFF4000000000001)}


@pytest.mark.parametrize("shape", SIGNALLING)
def test_the_bits_of_a_nan_are_kept(shape):
    width, bits = SIGNALLING[shape]
    made = getattr(WasmValue, f"f{width}")(bits=bits)
    vector = getattr(v128, shape)(made, *[1] * (SHAPES[shape] - 1))
    assert int.from_bytes(vector[: width // 8], "little") == bits
    read = v128.lane_values(shape, vector)
    assert (read[0], read[0].bits) == (made, bits)
    assert getattr(v128, shape)(*read) == vector
    assert v128.lanes(shape.replace("f", "i"), vector, signed=False)[0] == bits


def test_lane_values_are_of_the_types_that_there_are():
    assert v128.lane_values("i32x4", v128.i32x4(1, -1, 0, 0))[1] == WasmValue.i32(-1)
    assert v128.lane_values("i64x2", v128.i64x2(1, -1))[1] == WasmValue.i64(-1)
    for shape in ("i8x16", "i16x8"):
        with pytest.raises(ValueError, match=f"a lane of {shape} has no type of its own"):
            v128.lane_values(shape, bytes(16))
    with pytest.raises(TypeError, match="i32x4: lane 0: expected a value of type i32"):
        v128.i32x4(WasmValue.i64(1), 0, 0, 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_lanes_is_exact(shape):
    count = SHAPES[shape]
    for wrong in (0, 1, count - 1, count + 1):
        with pytest.raises(TypeError, match=f"{shape}: expected {count} lanes, got {wrong}"):
            getattr(v128, shape)(*[0] * wrong)


@pytest.mark.parametrize("read", [v128.lanes, v128.lane_values])
def test_what_is_no_vector_is_refused(read):
    assert len(read("i32x4", WasmValue.v128(bytes(16)))) == 4
    assert len(read("i32x4", bytearray(16))) == len(read("i32x4", memoryview(bytes(16)))) == 4
    with pytest.raises(ValueError, match="expected 16 bytes, got 15"):
        read("i32x4", bytes(15))
    for wrong in (1, None, "0123456789abcdef", WasmValue.i32(1)):
        with pytest.raises(TypeError, match="vector: expected"):
            read("i32x4", wrong)
    for shape in ("i32x2", "", None, 4, ["i32x4"]):
        with pytest.raises(ValueError, match="shape: expected one of i8x16, i16x8"):
            read(shape, bytes(16))


def test_host_functions_take_and_return_them(store):
    def add(a, b):
        return v128.i32x4(
            *(x + y for x, y in zip(v128.lanes("i32x4", a), v128.lanes("i32x4", b), strict=True))
        )

    func = WasmFunc(store, add, WasmFuncType([WasmValType.V128] * 2, [WasmValType.V128]))
    assert v128.lanes("i32x4", func(v128.i32x4(1, 2, 3, 4), v128.i32x4(10, 20, 30, 40))) == (11, 22, 33, 44)
