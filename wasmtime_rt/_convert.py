"""Values across the border, one at a time, as ``wasmtime_val_t``: for references, globals and tables.

A value that Python writes is a root that Python releases with `release` after the call, except in the
results of a host function, which the engine takes over. What comes out is turned into Python objects
by `from_val`, which leaves the root alone.

Functions and opaque references are classes of a floor above; they register themselves in `wrappers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ._abstract import AbstractFunc
from ._lowlevel import ffi, lib, own
from .errors import ClosedError, WrongStoreError
from .types import WasmValType
from .values import WasmValue, number, shown

if TYPE_CHECKING:
    from .store import WasmStore

_NUMBER_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3}
_NUMBER_FIELDS = ("i32", "i64", "f32", "f64")
_REF_KINDS = {"func": 5, "extern": 6, "any": 7, "exn": 8}


class _Wrappers(Protocol):
    """What the object model registers at the seam."""

    def func(self, store: WasmStore, handle: Any) -> AbstractFunc:
        """The Python function for a ``wasmtime_func_t *``, which it keeps."""

    def ref(self, store: WasmStore, value: Any) -> object:
        """The Python object for a reference that is no host object: a ``wasmtime_val_t *``, copied."""


wrappers: _Wrappers = None  # type: ignore[assignment]  # until the object model is imported


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

    The kind is written last: until then ``out`` owns nothing, whatever its bytes are.

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
    ref_kind = _REF_KINDS[hierarchy]
    if value is None:
        if not valtype.nullable:
            raise TypeError(f"{where}: expected a reference that is not null, got None")
        ffi.cast("uint64_t *", ffi.addressof(out.of))[0] = 0
        out.kind = ref_kind
        return
    handle = getattr(value, "_handle", None)
    if hierarchy == "func":
        if not isinstance(value, AbstractFunc):
            raise TypeError(f"{where}: expected a WasmFunc or None, got {shown(value)}")
        if handle is None:
            raise ClosedError(f"{where}: {shown(value)} was closed")
        check_store(store, value, where)
        out.of.funcref = handle[0]
    elif isinstance(value, OpaqueRef):
        check_store(store, value, where)
        if value._value.kind != ref_kind:
            raise TypeError(f"{where}: expected a value of type {valtype}, got {shown(value)}")
        lib.wasmtime_val_clone(value._value, out)
    elif hierarchy == "extern":
        if valtype.heap == "noextern":
            raise TypeError(f"{where}: expected None, the only value of type {valtype}, got {shown(value)}")
        store._core.new_object(context, value, ffi.addressof(out.of, "externref"))
    else:
        raise TypeError(f"{where}: expected a value of type {valtype}, got {shown(value)}")
    out.kind = ref_kind


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
        key = lib.wrt_host_ref_key(context, ffi.addressof(val.of, "externref"))
        if key:
            return store._core.objects[key]
    return wrappers.ref(store, val)


def value_from_val(store: WasmStore, context: Any, val: Any, valtype: WasmValType) -> WasmValue[Any]:
    """Like `from_val`, with its type and bit for bit."""
    if val.kind < len(_NUMBER_FIELDS):
        width = 4 if valtype.kind in {"i32", "f32"} else 8
        bits = int.from_bytes(ffi.buffer(ffi.addressof(val.of), width), "little")
        return WasmValue._from_bits(valtype, bits)
    return WasmValue._make(valtype, from_val(store, context, val))


class OpaqueRef:
    """A reference to something inside the engine; the object model's class for it derives from this.

    Attributes:
        _value: A ``wasmtime_val_t *``, which is a root while ``_owner`` is.
    """

    __slots__ = ("_owner", "_store", "_value")
    _store: WasmStore
    _value: Any

    def _hold(self, store: WasmStore, val: Any) -> None:
        self._store = store
        copy = ffi.new("wasmtime_val_t *")
        lib.wasmtime_val_clone(val, copy)
        self._value, self._owner = copy, own(copy, "wasmtime_val_unroot", copy)


def check_store(store: WasmStore, item: Any, where: object) -> None:
    """Refuse ``item`` where it lives in another store than ``store``.

    Raises:
        WrongStoreError: It does.
    """
    if item._store is not store:
        raise WrongStoreError(
            f"{where}: {shown(item)} lives in store {item._store._core.number}, "
            f"not in store {store._core.number}"
        )
