"""The values of scripts: what Python passes for an argument, and whether a result is what is expected.

Numbers are patterns of bits on both sides, so that no NaN changes on its way. The host objects that scripts
number are one Python object for each number, and results must be that very object.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any

from wasmtime_rt import WasmArray, WasmException, WasmFunc, WasmI31, WasmStruct, WasmValue

Const = dict[str, Any]

_INTS = {"i32", "i64"}
_FLOATS = {"f32": 32, "f64": 64}
#: The lanes of a vector: bits, and how `struct` spells all of them, without signs.
_LANES = {"i8": (8, "<16B"), "i16": (16, "<8H"), "i32": (32, "<4I"), "i64": (64, "<2Q")}
_LANES |= {"f32": _LANES["i32"], "f64": _LANES["i64"]}
#: Of a NaN of so many bits: all but the sign, and what a canonical one has there.
_NANS = {32: (0x7FFF_FFFF, 0x7FC0_0000), 64: (0x7FFF_FFFF_FFFF_FFFF, 0x7FF8_0000_0000_0000)}


class Unsupported(Exception):
    """Something in a script that this runner does not know."""


class HostObject:
    """What a script calls ``(ref.extern 5)`` or ``(ref.host 5)``."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"<host object {self.number}>"


@functools.cache
def host(number: int) -> HostObject:
    """The host object of that number, which is one and the same in all scripts."""
    return HostObject(number)


# ---- Arguments


def argument(const: Const) -> Any:
    """What Python passes for ``const``."""
    kind: str = const["type"]
    value: Any = const.get("value")
    if kind in _INTS:
        return int(value)
    if kind == "f32":
        return WasmValue.f32(bits=int(value))
    if kind == "f64":
        return WasmValue.f64(bits=int(value))
    if kind == "v128":
        bits, layout = _LANES[const["lane_type"]]
        return struct.pack(layout, *(int(lane) & ((1 << bits) - 1) for lane in value))
    if kind in {"externref", "anyref"} and value not in {None, "null"}:
        return host(int(value))
    if kind in _REFERENCES:
        return None
    raise Unsupported(f"an argument of type {kind}")


# ---- Results


def matches(expected: Const, result: WasmValue[Any]) -> bool:
    """Whether ``result`` is what the script expects, to the bit."""
    kind: str = expected["type"]
    value: Any = expected.get("value")
    if kind == "either":
        return any(matches(one, result) for one in expected["values"])
    if kind in _REFERENCES:
        return result.type.is_ref and _reference_matches(kind, value, result)
    if kind != result.type.kind:
        return False
    if kind in _INTS:
        return bool(result.value == int(value))
    if kind in _FLOATS:
        return _float_matches(value, result.bits, _FLOATS[kind])
    if kind == "v128":
        return _vector_matches(expected["lane_type"], value, result.value)
    raise Unsupported(f"a result of type {kind}")


def _float_matches(pattern: str, bits: int, width: int) -> bool:
    if not pattern.startswith("nan:"):
        return bits == int(pattern)
    magnitude, canonical = _NANS[width]
    if pattern == "nan:canonical":
        return bits & magnitude == canonical
    if pattern == "nan:arithmetic":
        return bits & canonical == canonical
    raise Unsupported(f"the pattern {pattern}")


def _vector_matches(lane_type: str, patterns: list[str], vector: bytes) -> bool:
    width, layout = _LANES[lane_type]
    lanes = struct.unpack(layout, vector)
    if lane_type in _FLOATS:
        return all(_float_matches(*pair, width) for pair in zip(patterns, lanes, strict=True))
    return all(int(p) & ((1 << width) - 1) == lane for p, lane in zip(patterns, lanes, strict=True))


def _is_a(*classes: type) -> Callable[[object], bool]:
    return lambda given: isinstance(given, classes)


#: For each type of reference in scripts: its hierarchy, and the test of a result that is not null;
#: without a test, null is the only value.
_REFERENCES: dict[str, tuple[str | None, Callable[[object], bool] | None]] = {
    "anyref": ("any", lambda _: True),
    "eqref": ("any", _is_a(WasmI31, WasmStruct, WasmArray)),
    "i31ref": ("any", _is_a(WasmI31)),
    "structref": ("any", _is_a(WasmStruct)),
    "arrayref": ("any", _is_a(WasmArray)),
    "externref": ("extern", lambda _: True),
    "funcref": ("func", _is_a(WasmFunc)),
    "exnref": ("exn", _is_a(WasmException)),
    "nullref": ("any", None),
    "nullexternref": ("extern", None),
    "nullfuncref": ("func", None),
    "nullexnref": ("exn", None),
    "refnull": (None, None),
}


def _reference_matches(kind: str, value: Any, result: WasmValue[Any]) -> bool:
    """Whether a reference is as expected: null, one host object, or any but null of its kind.

    A function's number means the index in some module, which embedders cannot see: any function will do.
    """
    hierarchy, is_kind = _REFERENCES[kind]
    if hierarchy is not None and hierarchy != result.type.hierarchy:
        return False
    if value == "null" or is_kind is None:
        return result.value is None
    if isinstance(value, str):
        return result.value is host(int(value))
    return result.value is not None and is_kind(result.value)


# ---- In messages


def shown(const: Const) -> str:
    """An expected value, as a message spells it."""
    kind: str = const["type"]
    value: Any = const.get("value")
    if kind == "either":
        return " or ".join(shown(one) for one in const["values"])
    if kind == "v128":
        return f"(v128 {const['lane_type']}x{len(value)} {' '.join(value)})"
    if kind in _FLOATS and not value.startswith("nan:"):
        return f"({kind} 0x{int(value):0{_FLOATS[kind] // 4}x})"
    return f"({kind})" if value is None else f"({kind} {value})"


def shown_result(result: WasmValue[Any]) -> str:
    """A result, as a message spells it."""
    kind = result.type.kind
    if kind in _FLOATS:
        return f"({kind} 0x{result.bits:0{_FLOATS[kind] // 4}x})"
    if kind == "v128":
        return f"(v128 0x{result.value[::-1].hex()})"
    return f"({result.type} {result.value!r})"
