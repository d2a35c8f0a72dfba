"""Globals: variables that modules share."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from ._abstract import AbstractGlobal, begin
from ._convert import from_val, new_val, release, to_val, value_from_val
from ._exact import is_a
from ._failure import check_values
from ._lowlevel import ffi, lib
from ._reflect import globaltype_to_c
from .errors import WasmtimeError
from .externs import StoreItem, same_words
from .store import WasmStore, check_store_argument
from .types import WasmGlobalType
from .values import WasmValue


class WasmGlobal(StoreItem, AbstractGlobal):
    """A global variable in a store.

    >>> import wasmtime_rt as w
    >>> store = w.WasmStore(w.WasmEngine())
    >>> counter = w.WasmGlobal(store, w.WasmGlobalType(w.WasmValType.I64, mutable=True), 41)
    >>> counter.value += 1
    >>> counter.value, counter.get_value()
    (42, WasmValue.i64(42))

    Args:
        store: The store to make it in.
        type: Its type.
        value: Its first value.

    Raises:
        TypeError: An argument is of the wrong type.
        OverflowError: The value does not fit.
        WrongStoreError: The value is a function or reference of another store.

    C API: ``wasmtime_global_new``.
    """

    __slots__ = ("__weakref__", "_handle", "_identity", "_store", "_type")
    _KIND: ClassVar[int] = lib.WASMTIME_EXTERN_GLOBAL
    _FIELD: ClassVar[str] = "global"

    def __init__(self, store: WasmStore, type: WasmGlobalType, value: Any) -> None:  # noqa: A002
        begin(self, "_handle")
        check_store_argument(store)
        if not is_a(type, WasmGlobalType):
            raise TypeError(f"type: expected a WasmGlobalType, got {type!r}")
        handle, val = ffi.new("wasmtime_global_t *"), new_val()
        with store._core as context:
            c_type = globaltype_to_c(type, store._core.engine)
            try:
                where = f"value ({type.content})"
                to_val(store, context, value, type.content, val, where)
                error = lib.wasmtime_global_new(context, c_type, val, handle)
                check_values(error, [(where, value, type.content)])
            finally:
                release(val, 1)
        self._adopt(store, handle, type)

    def _adopt(self, store: WasmStore, handle: Any, global_type: WasmGlobalType) -> None:
        self._store = store
        self._place(store, handle, same_words(handle, "__private1", "__private2", "__private3"))
        self._type = global_type

    @classmethod
    def _wrap(cls, store: WasmStore, handle: Any, global_type: WasmGlobalType) -> WasmGlobal:
        self = cls.__new__(cls)
        self._adopt(store, handle, global_type)
        return self

    @property
    def type(self) -> WasmGlobalType:
        """Its type: ``type.content`` and ``type.mutable``."""
        return self._type

    @property
    def value(self) -> Any:
        """Its value; assigning sets it.

        Raises:
            TypeError: On assignment: the value is of another kind.
            OverflowError: On assignment: the value does not fit.
            WasmtimeError: On assignment: it is immutable.

        C API: ``wasmtime_global_get``, ``wasmtime_global_set``.
        """
        return self._get(from_val)

    @value.setter
    def value(self, value: Any) -> None:
        if not self._type.mutable:
            raise WasmtimeError(f"{self._type} is immutable: its value cannot be set")
        handle, val = self._live, new_val()
        with self._store._core as context:
            try:
                content = self._type.content
                where = f"value ({content})"
                to_val(self._store, context, value, content, val, where)
                check_values(lib.wasmtime_global_set(context, handle, val), [(where, value, content)])
            finally:
                release(val, 1)

    def get_value(self) -> WasmValue[Any]:
        """Its value with its type, bit for bit."""
        content = self._type.content
        value: WasmValue[Any] = self._get(functools.partial(value_from_val, valtype=content))
        return value

    def _get(self, convert: Any) -> Any:
        handle, val = self._live, new_val()
        with self._store._core as context:
            lib.wasmtime_global_get(context, handle, val)
            try:
                return convert(self._store, context, val)
            finally:
                release(val, 1)

    def __repr__(self) -> str:
        return f"<WasmGlobal {self._type}{self._state}>"
