"""Tags: the identity of exceptions."""

from __future__ import annotations

from typing import Any, ClassVar

from ._lowlevel import lib
from .externs import StoreItem, same_words
from .store import WasmStore
from .types import WasmTagType


class WasmTag(StoreItem):
    """A tag in a store, as modules export it. It can be handed on to other modules."""

    __slots__ = ("__weakref__", "_handle", "_identity", "_store", "_type")
    _KIND: ClassVar[int] = lib.WASMTIME_EXTERN_TAG
    _FIELD: ClassVar[str] = "tag"
    _type: WasmTagType

    def __init__(self) -> None:
        raise TypeError("a WasmTag comes out of a module's exports")

    @classmethod
    def _wrap(cls, store: WasmStore, handle: Any, tag_type: WasmTagType) -> WasmTag:
        self = cls.__new__(cls)
        self._store = store
        self._place(store, handle, same_words(handle, "__private1", "__private2"))
        self._type = tag_type
        return self

    @property
    def type(self) -> WasmTagType:
        """What an exception with this tag carries."""
        return self._type

    def __repr__(self) -> str:
        return f"<WasmTag {self._type}{self._state}>"
