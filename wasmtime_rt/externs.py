"""What lives in a store: the ground that functions, memories, globals and tables share."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from ._abstract import WasmtimeResource
from ._lowlevel import ffi
from .errors import ClosedError
from .store import WasmStore

#: Bytes in a ``wasmtime_extern_t``, whose kind is the first, and where its union starts.
EXTERN_SIZE, EXTERN_OF = 32, 8


class StoreItem(WasmtimeResource):
    """Something inside a store. It keeps the store alive; two of the same are equal and hash equal.

    ``_handle`` is the C struct that names it, ``_identity`` what makes it the same as another, ``_store``
    the store. The classes declare the slots, since some of them derive from a class in C.
    """

    __slots__ = ()
    #: Its number and its member in ``wasmtime_extern_t``.
    _KIND: ClassVar[int]
    _FIELD: ClassVar[str]
    _store: WasmStore
    _handle: Any
    _identity: tuple[object, ...]

    def _place(self: Any, store: WasmStore, handle: Any, identity: tuple[object, ...]) -> None:
        self._handle, self._identity = handle, (store._core.number, *identity)

    @property
    def store(self) -> WasmStore:
        """The store that it lives in."""
        return self._store

    @property
    def is_valid(self) -> bool:
        """Whether neither it nor its store was closed."""
        return getattr(self, "_handle", None) is not None and self._store.is_valid

    def close(self: Any) -> None:
        """Refuse further use of this object. The store keeps what it names until the store is closed."""
        self._handle = None

    @property
    def _live(self) -> Any:
        """The handle.

        Raises:
            ClosedError: This object was closed.
        """
        handle = getattr(self, "_handle", None)
        if handle is None:
            self._refuse()
        return handle

    def _refuse(self, *_args: object) -> NoReturn:
        if hasattr(self, "_handle"):
            raise ClosedError(f"this {type(self).__name__} was closed")
        raise ClosedError(f"this {type(self).__name__} was never initialised: call super().__init__()")

    def _write_extern(self, out: bytearray, at: int) -> Any:
        """Write it as a ``wasmtime_extern_t`` into ``out[at:]``, which needs nothing else to be kept.

        Raises:
            ClosedError: This object was closed.
        """
        handle = ffi.buffer(self._live)
        out[at + EXTERN_OF : at + EXTERN_OF + len(handle)] = handle[:]
        out[at] = self._KIND

    @property
    def _state(self) -> str:
        return "" if self.is_valid else " closed"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoreItem):
            return NotImplemented
        return type(self) is type(other) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


def same_words(handle: Any, *names: str) -> tuple[int, ...]:
    """The numbers in a handle that tell two of a kind apart."""
    return tuple(getattr(handle, name) for name in names)
