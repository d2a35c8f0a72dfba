"""Tables: references by index, for indirect calls and for keeping host objects."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from ._abstract import AbstractTable, begin
from ._compiling import compile_module
from ._convert import from_val, new_val, release, to_val
from ._counting import count_made
from ._exact import is_a
from ._failure import check_values
from ._lowlevel import ffi, lib
from ._reflect import tabletype_to_c
from .externs import StoreItem, same_words
from .store import WasmStore, check_store_argument
from .types import WasmTableType


class WasmTable(StoreItem, AbstractTable, Sequence[Any]):
    """A table in a store: a sequence of references whose items can be set, and whose length `grow` changes.

    >>> import wasmtime_rt as w
    >>> store = w.WasmStore(w.WasmEngine())
    >>> table = w.WasmTable(store, w.WasmTableType(w.WasmValType.EXTERNREF, 2))
    >>> table[1] = {"any": "object"}
    >>> list(table), len(table)
    ([None, {'any': 'object'}], 2)

    Args:
        store: The store to make it in.
        type: Its type.
        init: What every element is at first; ``None`` is null.

    Raises:
        TypeError: An argument is of the wrong type.
        WasmtimeError: The engine or the store's limits refuse it; or its indices are 64 bits wide, and its
            elements are of a type that a module defines: the engine's C API cannot make such a table, so let
            the module make and export it.

    C API: ``wasmtime_table_new``.
    """

    __slots__ = ("__weakref__", "_handle", "_identity", "_length", "_store", "_type")
    _KIND: ClassVar[int] = lib.WASMTIME_EXTERN_TABLE
    _FIELD: ClassVar[str] = "table"
    #: What in its handle tells two tables apart.
    _WORDS: ClassVar[tuple[str, ...]] = ("__private1", "__private2")

    def __init__(self, store: WasmStore, type: WasmTableType, init: Any = None) -> None:  # noqa: A002
        begin(self, "_handle")
        check_store_argument(store)
        if not is_a(type, WasmTableType):
            raise TypeError(f"type: expected a WasmTableType, got {type!r}")
        handle, val = ffi.new("wasmtime_table_t *"), new_val()
        with store._core as context:
            engine, pointer = store._engine, store._core.engine
            c_type = tabletype_to_c(type, pointer, functools.partial(compile_module, engine, pointer))
            try:
                to_val(store, context, init, type.element, val, f"init ({type.element})")
                count_made(store, "tables")
                error = lib.wasmtime_table_new(context, c_type, val, handle)
                check_values(error, [(f"init ({type.element})", init, type.element)])
            finally:
                release(val, 1)
        self._adopt(store, handle, type)

    def _adopt(self, store: WasmStore, handle: Any, table_type: WasmTableType) -> None:
        self._store = store
        self._place(store, handle, same_words(handle, *self._WORDS))
        self._type = table_type
        self._length = table_type.min

    @classmethod
    def _wrap(cls, store: WasmStore, handle: Any, table_type: WasmTableType) -> WasmTable:
        self = cls.__new__(cls)
        self._adopt(store, handle, table_type)
        return self

    @property
    def type(self) -> WasmTableType:
        """Its type; ``type.min`` is the length that it started with."""
        return self._type

    @property
    def size(self) -> int:
        """Its length in elements.

        C API: ``wasmtime_table_size``.
        """
        handle = self._live
        with self._store._core as context:
            self._length = int(lib.wasmtime_table_size(context, handle))
        return self._length

    def __len__(self) -> int:
        """Its length in elements; where the store is busy or closed, the length that was last seen."""
        try:
            return self.size
        except Exception:  # noqa: BLE001  a length has nobody to tell
            return self._length

    def __getitem__(self, index: Any) -> Any:
        """The element at ``index``; a slice gives a list.

        Raises:
            IndexError: There is none.

        C API: ``wasmtime_table_get``.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.size))]
        at, handle, val = self._index(index), self._live, new_val()
        with self._store._core as context:
            if not lib.wasmtime_table_get(context, handle, at, val):
                raise IndexError(f"element {at} is outside of this table")
            try:
                return from_val(self._store, context, val)
            finally:
                release(val, 1)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Set the element at ``index``.

        Raises:
            IndexError: There is none.
            TypeError: The value is no reference of the table's element type.
            WrongStoreError: The value lives in another store.

        C API: ``wasmtime_table_set``.
        """
        if isinstance(index, slice):
            raise TypeError("assignment to a slice of a table: set the elements one by one")
        at, handle, val = self._index(index), self._live, new_val()
        with self._store._core as context:
            try:
                element = self._type.element
                where = f"element {at} ({element})"
                to_val(self._store, context, value, element, val, where)
                check_values(lib.wasmtime_table_set(context, handle, at, val), [(where, value, element)])
            finally:
                release(val, 1)

    def __iter__(self) -> Iterator[Any]:
        for i in range(self.size):
            yield self[i]

    def __contains__(self, value: object) -> bool:
        return any(item is value or item == value for item in self)

    def grow(self, count: int, init: Any = None) -> int:
        """Add ``count`` elements at the end.

        Args:
            count: How many, 0 or more.
            init: What they are at first; ``None`` is null.

        Returns:
            The old length.

        Raises:
            WasmtimeError: Its maximum or the store's limits refuse it.
            ValueError: ``count`` is negative.

        C API: ``wasmtime_table_grow``.
        """
        count = operator.index(count)
        if count < 0:
            raise ValueError(f"count: expected 0 or more, got {count}")
        handle, val, old = self._live, new_val(), ffi.new("uint64_t *")
        with self._store._core as context:
            try:
                element = self._type.element
                where = f"init ({element})"
                to_val(self._store, context, init, element, val, where)
                error = lib.wasmtime_table_grow(context, handle, min(count, 2**64 - 1), val, old)
                check_values(error, [(where, init, element)], f"table.grow({count}): ")
            finally:
                release(val, 1)
        return int(old[0])

    def _index(self, index: Any) -> int:
        at, size = operator.index(index), self.size
        if not -size <= at < size:
            raise IndexError(f"element {at} is outside of this table of {size} elements")
        return at + size if at < 0 else at

    __hash__ = StoreItem.__hash__

    def __repr__(self) -> str:
        return f"<WasmTable {self._type}{self._state}>"
