"""Values across the border, one at a time, as ``wasmtime_val_t``: for references, globals and tables.

A value that Python writes is a root that Python releases with `release` after the call, except in the
results of a host function, which the engine takes over. What comes out is turned into Python objects
by `from_val`, which leaves the root alone.

What references come out as are classes of a floor above; they register themselves in `wrappers`.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ._abstract import AbstractFunc, WasmtimeValue
from ._lowlevel import ffi, lib, own
from .errors import ClosedError, WasmException, WrongStoreError
from .types import WasmValType
from .values import WasmI31, WasmValue, Where, number, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from .store import WasmStore

_NUMBER_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3}
_NUMBER_FIELDS = ("i32", "i64", "f32", "f64")
_REF_KINDS = {"func": 5, "extern": 6, "any": 7, "exn": 8}
_BOTTOMS = ("nofunc", "noextern", "none", "noexn")


class _Wrappers:
    """What the object model registers; roots are borrowed, unless it says otherwise."""

    #: (store, func): the function for a ``wasmtime_func_t *``, which it keeps.
    func: Callable[[WasmStore, Any], AbstractFunc]
    #: (store, context, root): the struct, or the array, behind a ``wasmtime_anyref_t *``.
    struct: Callable[[WasmStore, Any, Any], object]
    array: Callable[[WasmStore, Any, Any], object]
    #: (store, context, root, value): the object for a ``wasmtime_externref_t *``, ``value`` underneath.
    externalized: Callable[[WasmStore, Any, Any, object], object]
    #: (store, context, root): the exception for a ``wasmtime_exnref_t *``.
    exception: Callable[[WasmStore, Any, Any], WasmException]
    #: (store, context, exception, out, where): write it as a root of its own.
    write_exception: Callable[[WasmStore, Any, WasmException, Any, object], None]
    #: (store, context, exception): make it pending; the trap to answer with.
    throw: Callable[[WasmStore, Any, WasmException], Any]


wrappers: _Wrappers = _Wrappers()


def new_vals(count: int) -> Any:
    """``count`` values, all null or zero."""
    return ffi.new("wasmtime_val_t[]", count)


def new_val() -> Any:
    """One value."""
    return ffi.new("wasmtime_val_t *")


def release(vals: Any, count: int) -> None:
    """Unroot what `to_val` or the engine wrote."""
    for i in range(count):
        lib.wasmtime_val_unroot(vals + i)


def to_val(
    store: WasmStore, context: Any, value: object, valtype: WasmValType, out: Any, where: object
) -> None:
    """Write ``value`` as ``valtype`` into the ``wasmtime_val_t *`` ``out``. Inside the guard.

    The kind is written last: until then ``out`` owns nothing, whatever its bytes are. Types that modules
    define are compared by the engine, later: `_failure.check_values` is for what it says.

    Raises:
        TypeError: It is of another kind.
        OverflowError: A number does not fit.
        WrongStoreError: It lives in another store.
    """
    kind = valtype.kind
    if kind in _NUMBER_KINDS:
        bits = value._bits if isinstance(value, WasmValue) and value.type == valtype else None
        held = number(value, kind, where)
        if bits is not None:  # bit for bit: a NaN keeps its payload
            ffi.cast("uint64_t *", ffi.addressof(out.of))[0] = bits
        else:
            setattr(out.of, kind, held)
        out.kind = _NUMBER_KINDS[kind]
        return
    if kind == "v128":
        ffi.memmove(ffi.addressof(out.of), number(value, kind, where), 16)
        out.kind = lib.WASMTIME_V128
        return
    if isinstance(value, WasmValue):
        if not value.type.matches(valtype):
            raise TypeError(f"{where}: expected a value of type {valtype}, got {value!r}")
        value = value.value
    hierarchy = str(valtype.hierarchy)
    if value is None:
        if not valtype.nullable:
            raise TypeError(f"{where}: expected a reference that is not null, got None")
        ffi.cast("uint64_t *", ffi.addressof(out.of))[0] = 0
    elif valtype.heap in _BOTTOMS:
        raise TypeError(f"{where}: expected None, the only value of type {valtype}, got {shown(value)}")
    elif hierarchy == "func":
        _write_func(store, value, out, where)
    elif hierarchy == "extern":
        _write_extern(store, context, value, ffi.addressof(out.of, "externref"), where)
    elif hierarchy == "any":
        _write_any(store, context, value, valtype, ffi.addressof(out.of, "anyref"), where)
    elif isinstance(value, WasmException):
        wrappers.write_exception(store, context, value, ffi.addressof(out.of, "exnref"), where)
    else:
        raise TypeError(f"{where}: expected a WasmException or None, got {shown(value)}")
    out.kind = _REF_KINDS[hierarchy]
    if not isinstance(valtype.heap, str) and type(where) is Where and where.what == "result":
        _returned.note(where, value)


class _Returned(threading.local):
    """What a host function returned last on this thread, of types that modules define."""

    values: tuple[tuple[Where, Any], ...] = ()

    def note(self, where: Where, value: object) -> None:
        """Remember that ``value`` was written, as long as it lives."""
        first = not self.values or where.position <= self.values[-1][0].position
        noted = where, weakref.ref(value) if isinstance(value, (HeldRef, AbstractFunc)) else lambda: None
        self.values = (noted,) if first else (*self.values, noted)


_returned = _Returned()


def returned() -> list[tuple[Where, object, WasmValType]]:
    """What a host function returned last on this thread, of types that modules define."""
    return [(where, value(), cast("WasmValType", where.type)) for where, value in _returned.values]


def _write_func(store: WasmStore, value: object, out: Any, where: object) -> None:
    if not isinstance(value, AbstractFunc):
        raise TypeError(f"{where}: expected a WasmFunc or None, got {shown(value)}")
    handle = getattr(value, "_handle", None)
    if handle is None:
        raise ClosedError(f"{where}: {shown(value)} was closed")
    check_store(store, value, where)
    out.of.funcref = handle[0]


def _write_extern(store: WasmStore, context: Any, value: object, out: Any, where: object) -> None:
    """Write ``value`` as an externref; what belongs to the engine is externalized on the way."""
    if isinstance(value, HeldRef):
        check_store(store, value, where)
        if value.hierarchy == "extern":
            lib.wasmtime_externref_clone(value._root, out)
        else:
            _externalize(context, value._root, out)
    elif isinstance(value, WasmI31):
        inner = ffi.new("wasmtime_anyref_t *")
        lib.wasmtime_anyref_from_i31(context, value.unsigned, inner)
        _externalize(context, inner, out)
        lib.wasmtime_anyref_unroot(inner)
    else:
        store._core.new_object(context, value, out)


def _write_any(
    store: WasmStore, context: Any, value: object, valtype: WasmValType, out: Any, where: object
) -> None:
    """Write ``value`` as an anyref; a host object is internalized on the way."""
    heap = valtype.heap
    if isinstance(value, HeldRef):
        check_store(store, value, where)
        if value.hierarchy == "extern":
            _internalize(context, value._root, out)
        elif heap in value.heaps or not isinstance(heap, str):  # the engine compares defined types
            lib.wasmtime_anyref_clone(value._root, out)
        else:
            raise TypeError(f"{where}: expected a value of type {valtype}, got {shown(value)}")
    elif isinstance(value, WasmI31) and heap in WasmI31.heaps:
        lib.wasmtime_anyref_from_i31(context, value.unsigned, out)
    elif heap == "i31" and isinstance(value, int):
        lib.wasmtime_anyref_from_i31(context, WasmI31(value).unsigned, out)
    elif heap == "any" and not isinstance(value, WasmI31):
        outer = ffi.new("wasmtime_externref_t *")
        store._core.new_object(context, value, outer)
        _internalize(context, outer, out)
        lib.wasmtime_externref_unroot(outer)
    else:
        raise TypeError(f"{where}: expected a value of type {valtype}, got {shown(value)}")


# The engine's two conversions change nothing but the type, which raw references do not carry.


def _externalize(context: Any, given: Any, out: Any) -> None:
    """``extern.convert_any``: both are roots of their own."""
    lib.wasmtime_externref_from_raw(context, lib.wasmtime_anyref_to_raw(context, given), out)


def _internalize(context: Any, given: Any, out: Any) -> None:
    """``any.convert_extern``: both are roots of their own."""
    lib.wasmtime_anyref_from_raw(context, lib.wasmtime_externref_to_raw(context, given), out)


def from_val(store: WasmStore, context: Any, val: Any) -> Any:
    """The Python object for the ``wasmtime_val_t *`` ``val``, which keeps its root. Inside the guard."""
    kind = val.kind
    if kind < len(_NUMBER_FIELDS):
        return getattr(val.of, _NUMBER_FIELDS[kind])
    if kind == lib.WASMTIME_V128:
        return bytes(val.of.v128)
    if ffi.cast("uint64_t *", ffi.addressof(val.of))[0] == 0:
        return None
    if kind == lib.WASMTIME_FUNCREF:
        return wrappers.func(store, ffi.new("wasmtime_func_t *", val.of.funcref))
    if kind == lib.WASMTIME_EXTERNREF:
        return _from_extern(store, context, ffi.addressof(val.of, "externref"))
    if kind == lib.WASMTIME_ANYREF:
        return _from_any(store, context, ffi.addressof(val.of, "anyref"))
    return wrappers.exception(store, context, ffi.addressof(val.of, "exnref"))


def _from_extern(store: WasmStore, context: Any, given: Any) -> Any:
    key = lib.wrt_host_ref_key(context, given)
    if key:
        return store._core.objects[key]
    inner = ffi.new("wasmtime_anyref_t *")
    _internalize(context, given, inner)
    try:
        return wrappers.externalized(store, context, given, _from_any(store, context, inner))
    finally:
        lib.wasmtime_anyref_unroot(inner)


def _from_any(store: WasmStore, context: Any, given: Any) -> Any:
    number = ffi.new("int32_t *")
    if lib.wasmtime_anyref_i31_get_s(context, given, number):
        return WasmI31(number[0])
    if lib.wasmtime_anyref_is_struct(context, given):
        return wrappers.struct(store, context, given)
    if lib.wasmtime_anyref_is_array(context, given):
        return wrappers.array(store, context, given)
    outer = ffi.new("wasmtime_externref_t *")
    _externalize(context, given, outer)
    try:
        return store._core.objects[lib.wrt_host_ref_key(context, outer)]
    finally:
        lib.wasmtime_externref_unroot(outer)


def value_from_val(store: WasmStore, context: Any, val: Any, valtype: WasmValType) -> WasmValue[Any]:
    """Like `from_val`, with its type and bit for bit."""
    if val.kind < len(_NUMBER_FIELDS):
        width = 4 if valtype.kind in {"i32", "f32"} else 8
        bits = int.from_bytes(ffi.buffer(ffi.addressof(val.of), width), "little")
        return WasmValue._from_bits(valtype, bits)
    return WasmValue._make(valtype, from_val(store, context, val))


class HeldRef(WasmtimeValue):
    """A root: a reference to something inside the engine, which stays alive while Python holds it.

    Two of them are equal where they refer to the same thing. The object model's classes derive from this.

    Attributes:
        hierarchy: ``"any"``, ``"extern"`` or ``"exn"``: what kind of root it is.
        heaps: The abstract heap types that it is of.
    """

    __slots__ = ("__weakref__", "_owner", "_raw", "_root", "_store")
    hierarchy: ClassVar[str]
    heaps: ClassVar[frozenset[str]]
    _store: WasmStore
    _root: Any

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        self = super().__new__(cls)
        self._store, self._root, self._raw = cast("WasmStore", None), None, 0
        return self

    def _hold(self, store: WasmStore, context: Any, root: Any) -> None:
        """Hold what the borrowed ``root`` refers to. Inside the guard."""
        name = {"any": "anyref", "extern": "externref", "exn": "exnref"}[self.hierarchy]
        held = ffi.new(f"wasmtime_{name}_t *")
        getattr(lib, f"wasmtime_{name}_clone")(root, held)
        self._store, self._root = store, held
        self._owner = own(held, f"wasmtime_{name}_unroot", held)
        self._raw = getattr(lib, f"wasmtime_{name}_to_raw")(context, held)  # objects do not move

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HeldRef):
            return NotImplemented
        return (self._store is other._store and self._raw == other._raw) and type(self) is type(other)

    def __hash__(self) -> int:
        return hash((id(self._store), self._raw))

    def __repr__(self) -> str:
        where = "nowhere" if self._store is None else f"in store {self._store._core.number}"
        return f"<{type(self).__name__} {where}>"


def check_store(store: WasmStore, item: Any, where: object) -> None:
    """Refuse ``item`` where it lives in another store than ``store``.

    Raises:
        WrongStoreError: It does.
    """
    if item._store is None:
        raise ClosedError(f"{where}: {shown(item)} was never initialised: call super().__init__()")
    if item._store is not store:
        raise WrongStoreError(
            f"{where}: {shown(item)} lives in store {item._store._core.number}, "
            f"not in store {store._core.number}"
        )
