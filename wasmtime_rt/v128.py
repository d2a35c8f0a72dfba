"""Vectors by their lanes: 16 bytes made of numbers, and taken apart again.

A v128 is 16 bytes wherever it crosses over, lane 0 first. Each shape has a function that makes one, and
`lanes` reads one in any shape::

    from wasmtime_rt import v128

    v128.lanes("i32x4", exports.add(v128.i32x4(1, 2, 3, 4), v128.i32x4(10, 20, 30, 40)))

Lanes go by the rules of single numbers: integers are given signed or unsigned, and read signed unless asked
otherwise; f32 and f64 take real numbers. What must keep the bits of a NaN is given as
``WasmValue.f32(bits=...)`` and read by `lane_values`: a Python ``float`` loses the signalling bit of an f32.
"""

from __future__ import annotations

import struct
from typing import Any, Literal, TypeAlias

from .types import WasmValType
from .values import WasmValue, number, shown, wasm_int, wasm_v128

Shape: TypeAlias = Literal["i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2"]
"""How a vector is divided: the kind of its lanes, and how many."""

#: By shape: bits of a lane, how many, and the letters of `struct` for signed and unsigned.
_SHAPES = {
    "i8x16": (8, 16, "b", "B"),
    "i16x8": (16, 8, "h", "H"),
    "i32x4": (32, 4, "i", "I"),
    "i64x2": (64, 2, "q", "Q"),
    "f32x4": (32, 4, "f", "I"),
    "f64x2": (64, 2, "d", "Q"),
}


def _shape(shape: object) -> tuple[int, int, str, str]:
    found = _SHAPES.get(shape) if isinstance(shape, str) else None
    if found is None:
        raise ValueError(f"shape: expected one of {', '.join(_SHAPES)}, got {shown(shape)}")
    return found


def _pack(shape: Shape, given: tuple[Any, ...]) -> bytes:
    bits, count, letter, unsigned = _shape(shape)
    if len(given) != count:
        raise TypeError(f"{shape}: expected {count} lanes, got {len(given)}")
    kind, out = shape.split("x")[0], b""
    for i, lane in enumerate(given):
        where = f"{shape}: lane {i}"
        if bits < 32:
            out += struct.pack("<" + letter, wasm_int(lane, bits, where))
            continue
        held = number(lane, kind, where)
        pattern = lane._bits if isinstance(lane, WasmValue) else None
        out += struct.pack("<" + letter, held) if pattern is None else struct.pack("<" + unsigned, pattern)
    return out


def i8x16(*lanes: int) -> bytes:
    """A vector of 16 integers of 8 bits.

    >>> i8x16(*range(14), 255, -1).hex()
    '000102030405060708090a0b0c0dffff'

    Raises:
        TypeError: The lanes are not 16, or not integers.
        OverflowError: One fits neither the signed nor the unsigned range.
    """
    return _pack("i8x16", lanes)


def i16x8(*lanes: int) -> bytes:
    """A vector of 8 integers of 16 bits.

    Raises:
        TypeError: The lanes are not 8, or not integers.
        OverflowError: One fits neither the signed nor the unsigned range.
    """
    return _pack("i16x8", lanes)


def i32x4(*lanes: int | WasmValue[int]) -> bytes:
    """A vector of 4 integers of 32 bits.

    >>> lanes("i32x4", i32x4(1, -2, 2**32 - 1, 0))
    (1, -2, -1, 0)

    Raises:
        TypeError: The lanes are not 4, or not integers.
        OverflowError: One fits neither the signed nor the unsigned range.
    """
    return _pack("i32x4", lanes)


def i64x2(*lanes: int | WasmValue[int]) -> bytes:
    """A vector of 2 integers of 64 bits.

    Raises:
        TypeError: The lanes are not 2, or not integers.
        OverflowError: One fits neither the signed nor the unsigned range.
    """
    return _pack("i64x2", lanes)


def f32x4(*lanes: float | WasmValue[float]) -> bytes:
    """A vector of 4 single-precision numbers.

    Raises:
        TypeError: The lanes are not 4, or not real numbers.
        OverflowError: One is finite, and beyond the largest finite number of single precision.
    """
    return _pack("f32x4", lanes)


def f64x2(*lanes: float | WasmValue[float]) -> bytes:
    """A vector of 2 double-precision numbers.

    Raises:
        TypeError: The lanes are not 2, or not real numbers.
        OverflowError: An integer is beyond the largest finite number.
    """
    return _pack("f64x2", lanes)


def lanes(shape: Shape, value: Any, *, signed: bool = True) -> tuple[Any, ...]:
    """The lanes of a vector, lane 0 first.

    >>> lanes("i8x16", i8x16(*[-1] * 16), signed=False)[:2]
    (255, 255)

    Args:
        shape: ``"i8x16"``, ``"i16x8"``, ``"i32x4"``, ``"i64x2"``, ``"f32x4"`` or ``"f64x2"``.
        value: 16 bytes, or a `WasmValue` of type v128.
        signed: Whether integers are signed.

    Returns:
        Integers or floats, as many as the shape has lanes.

    Raises:
        TypeError: ``value`` is no vector.
        ValueError: It is not of 16 bytes, or there is no such shape.
    """
    _, count, letter, unsigned = _shape(shape)
    if not signed and letter not in "fd":
        letter = unsigned
    return struct.unpack(f"<{count}{letter}", _vector(value))


def lane_values(shape: Shape, value: Any) -> tuple[WasmValue[Any], ...]:
    """The lanes of a vector with their types, bit for bit: a NaN keeps its payload.

    >>> lane_values("f64x2", f64x2(1.5, 2))
    (WasmValue.f64(1.5), WasmValue.f64(2.0))

    Args:
        shape: ``"i32x4"``, ``"i64x2"``, ``"f32x4"`` or ``"f64x2"``.
        value: 16 bytes, or a `WasmValue` of type v128.

    Raises:
        TypeError: ``value`` is no vector.
        ValueError: It is not of 16 bytes, or WebAssembly has no type for one lane of the shape.
    """
    bits, count, _, unsigned = _shape(shape)
    if bits < 32:
        raise ValueError(f"shape: a lane of {shape} has no type of its own; `lanes` gives its number")
    valtype = WasmValType.parse(shape.split("x")[0])
    patterns = struct.unpack(f"<{count}{unsigned}", _vector(value))
    return tuple(WasmValue._from_bits(valtype, pattern) for pattern in patterns)


def _vector(value: Any) -> bytes:
    if isinstance(value, WasmValue):
        if value.type.kind != "v128":
            raise TypeError(f"vector: expected a value of type v128, got {value!r}")
        value = value.value
    return wasm_v128(value, "vector")
