"""Values with their types, and the rules by which Python numbers become WebAssembly numbers.

The rules, in one place for every layer: an ``i32`` or ``i64`` takes any integer of its signed or its
unsigned range (``bool`` and ``__index__`` included) and comes back signed; an ``f32`` or ``f64`` takes
any real number (``__float__`` and ``__index__``); a ``v128`` takes 16 bytes. What does not fit raises
`OverflowError`, what is of another kind raises `TypeError`; nothing wraps and nothing is rounded to an
integer. Plain Python: no store is needed, so a reference value holds the Python object itself.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar, overload

from ._abstract import AbstractFunc, WasmtimeValue
from ._exact import exact_bytes
from .errors import WasmException
from .types import DefinedType, WasmValType

T = TypeVar("T")

_INT_BITS = {"i32": 32, "i64": 64}
_FLOAT_FORMATS = {"f32": ("<f", "<I"), "f64": ("<d", "<Q")}


class Where:
    """Where a value stands, for error messages; the text is made only when it is wanted."""

    __slots__ = ("name", "position", "type", "what")

    def __init__(self, name: str, what: str, position: int, type_: object) -> None:
        self.name, self.what, self.position, self.type = name, what, position, type_

    def __str__(self) -> str:
        return f"{self.name}: {self.what} {self.position} ({self.type})"


def arguments(
    name: str, args: Iterable[object], params: Iterable[WasmValType]
) -> list[tuple[object, object, WasmValType]]:
    """The arguments of a call, each with where it stands and the type that it must be of."""
    pairs = enumerate(zip(args, params, strict=True))
    return [(Where(name, "argument", i, valtype), value, valtype) for i, (value, valtype) in pairs]


def wasm_int(value: object, bits: int, where: object) -> int:
    """``value`` as a signed integer of ``bits`` bits.

    Args:
        value: An integer from ``-2**(bits-1)`` to ``2**bits - 1``, or anything with ``__index__``.
        bits: 31, 32 or 64.
        where: What the error message calls the value, as in ``"argument 0 (i32)"``.

    Raises:
        TypeError: It is no integer.
        OverflowError: It fits neither the signed nor the unsigned range.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{where}: expected an integer, got {shown(value)}") from None
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise OverflowError(
            f"{where}: expected an integer from -2**{bits - 1} to 2**{bits} - 1, got {shown(number)}"
        )
    return number - (1 << bits) if number >= 1 << (bits - 1) else number


def wasm_float(value: object, kind: str, where: object) -> float:
    """``value`` as a float in the range of ``kind`` (``"f32"`` or ``"f64"``), not yet rounded to it.

    Raises:
        TypeError: It is no real number.
        OverflowError: It is finite, and beyond the largest finite number of ``kind``.
    """
    if isinstance(value, (str, bytes, bytearray)) or not (
        hasattr(value, "__float__") or hasattr(value, "__index__")
    ):
        raise TypeError(f"{where}: expected a real number, got {shown(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]
        if kind == "f32" and not math.isnan(number):
            struct.pack("<f", number)
    except OverflowError:
        raise OverflowError(
            f"{where}: expected a number in the range of {kind}, got {shown(value)}"
        ) from None
    except TypeError:
        raise TypeError(f"{where}: expected a real number, got {shown(value)}") from None
    return number


def wasm_v128(value: object, where: object) -> bytes:
    """``value`` as the 16 bytes of a vector, lane 0 first.

    Raises:
        TypeError: It is no bytes-like object.
        ValueError: It is not 16 bytes long.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = exact_bytes(value)
        if len(raw) == 16:
            return raw
        raise ValueError(f"{where}: expected 16 bytes, got {len(raw)}")
    raise TypeError(f"{where}: expected 16 bytes, got {shown(value)}")


def number(value: object, kind: str, where: object) -> int | float | bytes:
    """``value`` by the rules of the number type ``kind``; the errors are those of the three above."""
    if isinstance(value, WasmValue):
        if value.type.kind != kind:
            raise TypeError(f"{where}: expected a value of type {kind}, got {value!r}")
        held: int | float | bytes = value.value
        return held
    if kind in _INT_BITS:
        return wasm_int(value, _INT_BITS[kind], where)
    if kind in _FLOAT_FORMATS:
        return wasm_float(value, kind, where)
    return wasm_v128(value, where)


def shown(value: object) -> str:
    """``value`` in an error message: its type and a bounded ``repr``, whatever its ``repr`` does."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  a broken __repr__ must not hide what is wrong
        text = "an object whose repr() fails"
    kind = type(value).__name__
    said = text.startswith((f"<{kind} ", f"{kind}("))
    return f"{'' if said else kind + ' '}{text if len(text) <= 80 else text[:77] + '...'}"


class WasmValue(WasmtimeValue, Generic[T]):
    """A value together with its WebAssembly type.

    ``WasmValue(42)`` is an i32 and ``WasmValue(3.14159)`` an f64; ``WasmValue.i64(42)`` and the like, or
    the subclasses `WasmI32` to `WasmExternRef`, name the type. Values are equal when their types and
    their bits are.

    >>> WasmValue(42), WasmValue.i64(42).value
    (WasmValue.i32(42), 42)
    >>> WasmValue.i32(2**32 - 1)
    WasmValue.i32(-1)
    >>> hex(WasmValue.f32(1.0).bits)
    '0x3f800000'

    Args:
        value: An integer, a real number, 16 bytes, ``None`` or a function.

    Raises:
        TypeError: Nothing of WebAssembly is like it; for any object there is `externref`.
        OverflowError: An integer beyond 32 bits: `i64` takes it.
    """

    __slots__ = ("_bits", "_type", "_value")
    _type: WasmValType
    _value: T
    _bits: int | None
    _fixed: ClassVar[WasmValType | None] = None

    @overload
    def __new__(cls, value: int) -> WasmValue[int]: ...
    @overload
    def __new__(cls, value: float) -> WasmValue[float]: ...
    @overload
    def __new__(cls, value: bytes) -> WasmValue[bytes]: ...
    @overload
    def __new__(cls, value: T) -> WasmValue[T]: ...
    def __new__(cls, value: Any) -> WasmValue[Any]:
        """Make a value of the class's own type, or of the one that is natural for ``value``."""
        return to_wasm(value, cls._fixed)

    @classmethod
    def _make(cls, type_: WasmValType, value: Any, bits: int | None = None) -> WasmValue[Any]:
        self: WasmValue[Any] = object.__new__(_CLASSES.get(type_, WasmValue))
        self._type, self._value, self._bits = type_, value, bits
        return self

    @classmethod
    def _from_bits(cls, type_: WasmValType, bits: int) -> WasmValue[Any]:
        """The number whose unsigned pattern is ``bits``."""
        if type_.kind in _INT_BITS:
            return cls._make(type_, wasm_int(bits, _INT_BITS[type_.kind], type_.kind), bits)
        as_float, as_int = _FLOAT_FORMATS[type_.kind]
        return cls._make(type_, struct.unpack(as_float, struct.pack(as_int, bits))[0], bits)

    @staticmethod
    def i32(value: int) -> WasmValue[int]:
        """A 32-bit integer, signed or unsigned."""
        return to_wasm(value, WasmValType.I32)

    @staticmethod
    def i64(value: int) -> WasmValue[int]:
        """A 64-bit integer, signed or unsigned."""
        return to_wasm(value, WasmValType.I64)

    @staticmethod
    def f32(value: float | None = None, *, bits: int | None = None) -> WasmValue[float]:
        """A single-precision number, or the one with these 32 ``bits``, read as an unsigned integer."""
        return _float(value, bits, WasmValType.F32)

    @staticmethod
    def f64(value: float | None = None, *, bits: int | None = None) -> WasmValue[float]:
        """A double-precision number, or the one with these 64 ``bits``, read as an unsigned integer."""
        return _float(value, bits, WasmValType.F64)

    @staticmethod
    def v128(value: bytes) -> WasmValue[bytes]:
        """A vector: 16 bytes, lane 0 first. The functions of `wasmtime_rt.v128` make them of lanes."""
        return to_wasm(value, WasmValType.V128)

    @staticmethod
    def funcref(value: AbstractFunc | None) -> WasmValue[AbstractFunc | None]:
        """A reference to a function, or null."""
        return to_wasm(value, WasmValType.FUNCREF)

    @staticmethod
    def externref(value: T) -> WasmValue[T]:
        """A reference to any Python object; ``None`` is null."""
        return to_wasm(value, WasmValType.EXTERNREF)

    @property
    def type(self) -> WasmValType:
        """Its WebAssembly type."""
        return self._type

    @property
    def value(self) -> T:
        """The Python value: a signed integer, a float, 16 bytes, or the object referred to."""
        return self._value

    @property
    def bits(self) -> int:
        """The unsigned bit pattern of a number, 32 or 64 bits wide.

        Raises:
            TypeError: It is a vector or a reference.
        """
        if self._bits is None:
            raise TypeError(f"{self!r} has no bit pattern: it is not a number")
        return self._bits

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WasmValue):
            return NotImplemented
        if self._type != other._type:
            return False
        return self._bits == other._bits if self._bits is not None else bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash((self._type, self._value if self._bits is None else self._bits))

    def __repr__(self) -> str:
        name = str(self._type)
        made = f"WasmValue.{name}" if name in _INT_BITS or hasattr(WasmValue, name) else f"WasmValue<{name}>"
        return f"{made}({self._value!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._type, self._value, self._bits)


def _float(value: float | None, bits: int | None, type_: WasmValType) -> WasmValue[float]:
    if bits is None:
        return to_wasm(value, type_)
    if value is not None:
        raise TypeError(f"{type_}: expected a number or bits, got both")
    width = 8 * struct.calcsize(_FLOAT_FORMATS[type_.kind][0])
    if not 0 <= operator.index(bits) < 1 << width:
        raise OverflowError(f"{type_}: expected {width} bits as an unsigned integer, got {shown(bits)}")
    return WasmValue._from_bits(type_, operator.index(bits))


def _restored(type_: WasmValType, value: Any, bits: int | None) -> WasmValue[Any]:
    return WasmValue._make(type_, value, bits)


class WasmI32(WasmValue[int]):
    """An i32: ``WasmI32(42) == WasmValue.i32(42)``."""

    __slots__ = ()

    _fixed = WasmValType.I32


class WasmI64(WasmValue[int]):
    """An i64."""

    __slots__ = ()

    _fixed = WasmValType.I64


class WasmF32(WasmValue[float]):
    """An f32."""

    __slots__ = ()

    _fixed = WasmValType.F32


class WasmF64(WasmValue[float]):
    """An f64."""

    __slots__ = ()

    _fixed = WasmValType.F64


class WasmV128(WasmValue[bytes]):
    """A v128: 16 bytes."""

    __slots__ = ()

    _fixed = WasmValType.V128


class WasmFuncRef(WasmValue["AbstractFunc | None"]):
    """A funcref: a function, or null."""

    __slots__ = ()

    _fixed = WasmValType.FUNCREF


class WasmExternRef(WasmValue[Any]):
    """An externref: any Python object, or null."""

    __slots__ = ()

    _fixed = WasmValType.EXTERNREF


_CLASSES: dict[WasmValType | None, type[WasmValue[Any]]] = {
    made._fixed: made for made in (WasmI32, WasmI64, WasmF32, WasmF64, WasmV128, WasmFuncRef, WasmExternRef)
}


class WasmI31(WasmtimeValue):
    """An i31: an integer of 31 bits that WebAssembly holds in a reference. Values are equal by content.

    >>> WasmI31(-1).unsigned == 2**31 - 1, WasmI31(2**31 - 1)
    (True, WasmI31(-1))

    Args:
        value: An integer, signed or unsigned.

    Raises:
        TypeError: It is no integer.
        OverflowError: It does not fit 31 bits.

    C API: ``wasmtime_anyref_from_i31``, ``wasmtime_anyref_i31_get_s``.
    """

    __slots__ = ("_number",)
    _number: int
    heaps: ClassVar[frozenset[str]] = frozenset({"any", "eq", "i31"})

    def __init__(self, value: int) -> None:
        number = wasm_int(value, 31, "i31")
        object.__setattr__(self, "_number", number)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a WasmI31 cannot be changed: {name}")

    @property
    def type(self) -> WasmValType:
        """Its type, ``(ref i31)``."""
        return WasmValType.ref("i31", nullable=False)

    @property
    def value(self) -> int:
        """The integer, signed."""
        return self._number

    @property
    def unsigned(self) -> int:
        """The integer, unsigned."""
        return self._number & 0x7FFFFFFF

    def __index__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self._number == other._number if isinstance(other, WasmI31) else NotImplemented

    def __hash__(self) -> int:
        return hash((WasmI31, self._number))

    def __repr__(self) -> str:
        return f"WasmI31({self._number})"

    def __reduce__(self) -> tuple[Any, ...]:
        return WasmI31, (self._number,)


#: The types of references that values of our own are of.
_NATURAL = {
    "i31": WasmValType.I31REF,
    "struct": WasmValType.STRUCTREF,
    "array": WasmValType.ARRAYREF,
    "extern": WasmValType.EXTERNREF,
}


def _natural_type(value: object) -> WasmValType:
    """The type that a Python value has when nobody says which."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return WasmValType.V128
    if value is None:
        return WasmValType.EXTERNREF
    if isinstance(value, AbstractFunc):
        return WasmValType.FUNCREF
    if isinstance(value, WasmException):
        return WasmValType.EXNREF
    if isinstance(value, WasmtimeValue):
        heaps = getattr(type(value), "heaps", ())
        for name, valtype in _NATURAL.items():
            if name in heaps:
                return valtype
    if hasattr(value, "__index__"):
        return WasmValType.I32
    if hasattr(value, "__float__"):
        return WasmValType.F64
    raise TypeError(
        f"expected a number, 16 bytes, None or a function, got {shown(value)}; "
        "any object can be passed as WasmValue.externref(...)"
    )


def to_wasm(value: Any, type: WasmValType | None = None) -> WasmValue[Any]:  # noqa: A002
    """``value`` with a WebAssembly type.

    Args:
        value: A number, 16 bytes, ``None``, a function, a `WasmValue`, or, as an extern reference, any
            object at all.
        type: The type to give it; by default integers are i32, other real numbers f64, bytes v128,
            functions funcref, ``None`` a null externref, and references and exceptions what they are.

    Returns:
        The typed value. A reference value holds the Python object until it enters a store.

    Raises:
        TypeError: ``value`` is not of that kind.
        OverflowError: A number does not fit the type.
        ValueError: Bytes that are not 16 bytes long.
    """
    if isinstance(value, WasmValue):
        if type is None or value.type.matches(type):
            return value
        raise TypeError(f"expected a value of type {type}, got {value!r}")
    type_ = _natural_type(value) if type is None else type
    if not type_.is_ref:
        held = number(value, type_.kind, str(type_))
        if isinstance(held, bytes):
            return WasmValue._make(type_, held)
        if isinstance(held, int) and type_.kind in _INT_BITS:
            return WasmValue._make(type_, held, held & ((1 << _INT_BITS[type_.kind]) - 1))
        as_float, as_int = _FLOAT_FORMATS[type_.kind]
        return WasmValue._from_bits(type_, struct.unpack(as_int, struct.pack(as_float, held))[0])
    if value is None:
        if not type_.nullable:
            raise TypeError(f"{type_}: expected a reference that is not null, got None")
    elif type_.heap in {"none", "nofunc", "noextern", "noexn"}:
        raise TypeError(f"{type_}: expected None, its only value, got {shown(value)}")
    elif type_.hierarchy == "func" and not isinstance(value, AbstractFunc):
        raise TypeError(f"{type_}: expected a WasmFunc, got {shown(value)}")
    elif type_.hierarchy == "exn" and not isinstance(value, WasmException):
        raise TypeError(f"{type_}: expected a WasmException, got {shown(value)}")
    elif type_.hierarchy == "any" and not _is_of(value, type_):
        raise TypeError(f"{type_}: expected a value of that type, got {shown(value)}")
    return WasmValue._make(type_, value)


def _is_of(value: object, valtype: WasmValType) -> bool:
    """Whether ``value`` may be of that type, below anyref; types that modules define the store compares."""
    kind = valtype.heap.kind if isinstance(valtype.heap, DefinedType) else valtype.heap
    if isinstance(value, WasmtimeValue):
        cls = type(value)  # what is externalized may be anything underneath
        return kind in getattr(cls, "heaps", ()) or getattr(cls, "hierarchy", None) == "extern"
    if kind == "i31" and isinstance(value, int):
        wasm_int(value, 31, str(valtype))
        return True
    return kind == "any"


def from_wasm(value: WasmValue[T]) -> T:
    """The Python value inside ``value``.

    Raises:
        TypeError: It is not a `WasmValue`.
    """
    if not isinstance(value, WasmValue):
        raise TypeError(f"expected a WasmValue, got {shown(value)}")
    return value.value


def is_wasm_convertible(value: object, type: WasmValType | None = None) -> bool:  # noqa: A002
    """Whether `to_wasm` takes ``value`` (as ``type``, if given).

    >>> is_wasm_convertible(42), is_wasm_convertible("text"), is_wasm_convertible(2**40)
    (True, False, False)
    >>> is_wasm_convertible("text", WasmValType.EXTERNREF)
    True
    """
    try:
        to_wasm(value, type)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
