"""Linear memories: bytes that WebAssembly and Python share.

Whether a view may exist is decided per memory. One that cannot move gives zero-copy views, which stay
valid while WebAssembly grows it and keep its bytes alive; one that may move gives none, and is read
and written by copies. No access is ever cut short: what is out of range raises `IndexError`.
"""

from __future__ import annotations

import operator
import os
from typing import Any, ClassVar

from ._abstract import AbstractMemory, begin
from ._counting import count_made
from ._exact import is_a
from ._failure import check
from ._fast import Memory
from ._lowlevel import ffi, lib
from ._memory_access import MemoryAccess
from ._reflect import memorytype_to_c
from .errors import WasmtimeError
from .externs import StoreItem, same_words
from .store import WasmStore, check_store_argument
from .types import WasmMemoryType


def _reach(memory_type: WasmMemoryType) -> int:
    """Bytes to which a memory of this type may grow; 0 where it cannot grow."""
    if memory_type.min == memory_type.max:
        return 0
    if memory_type.max is None:
        return 1 << (64 if memory_type.is64 else 32)
    return memory_type.max * memory_type.page_size


class WasmMemory(Memory, MemoryAccess, StoreItem, AbstractMemory):
    """A linear memory in a store.

    ``memory[i]`` is a byte and ``memory[a:b]`` are bytes; both can be assigned. ``memoryview(memory)``, or
    `view`, shares its bytes without a copy.

    >>> import wasmtime_rt as w
    >>> memory = w.WasmMemory(w.WasmStore(w.WasmEngine()), w.WasmMemoryType(1))
    >>> memory[0:5] = b"hello"
    >>> memory.read_utf8(0, 5), memory.size, memory.data_size
    ('hello', 1, 65536)

    Args:
        store: The store to make it in.
        type: Its type.

    Raises:
        TypeError: An argument is of the wrong type.
        WasmtimeError: The engine or the store's limits refuse it.

    C API: ``wasmtime_memory_new``.
    """

    __slots__ = ("__weakref__", "_handle", "_identity", "_length", "_stays", "_type")
    _KIND: ClassVar[int] = lib.WASMTIME_EXTERN_MEMORY
    _FIELD: ClassVar[str] = "memory"
    #: What in its handle tells two memories apart.
    _WORDS: ClassVar[tuple[str, ...]] = ("__private1", "__private2")

    def __init__(self, store: WasmStore, type: WasmMemoryType) -> None:  # noqa: A002
        begin(self, "_handle")
        check_store_argument(store)
        if not is_a(type, WasmMemoryType):
            raise TypeError(f"type: expected a WasmMemoryType, got {type!r}")
        if type.shared:
            raise TypeError(
                f"type: {type} is shared: WasmSharedMemory(engine, type) makes it, without a store"
            )
        handle = ffi.new("wasmtime_memory_t *")
        with store._core as context:
            count_made(store, "memories")
            check(lib.wasmtime_memory_new(context, memorytype_to_c(type), handle))
        self._adopt(store, handle, type)

    def _adopt(self, store: WasmStore, handle: Any, memory_type: WasmMemoryType) -> None:
        self._place(store, handle, same_words(handle, *self._WORDS))
        self._type = memory_type
        self._stays = memory_type.shared or _reach(memory_type) <= store._engine._memories_stay_below
        self._bind_to(store, handle, pinned=self._stays)
        self._length = memory_type.min * memory_type.page_size

    @classmethod
    def _wrap(cls, store: WasmStore, handle: Any, memory_type: WasmMemoryType) -> WasmMemory:
        self = cls.__new__(cls)
        self._adopt(store, handle, memory_type)
        return self

    def close(self) -> None:
        """Refuse further use of this object. The store keeps the memory, and views stay valid."""
        super().close()
        self._unbind()

    @property
    def type(self) -> WasmMemoryType:
        """Its type; ``type.min`` is the size that it started with."""
        return self._type

    @property
    def size(self) -> int:
        """Its size in pages.

        C API: ``wasmtime_memory_size``.
        """
        handle = self._live
        with self._store._core as context:
            return int(lib.wasmtime_memory_size(context, handle))

    @property
    def data_size(self) -> int:
        """Its size in bytes.

        C API: ``wasmtime_memory_data_size``.
        """
        handle = self._live
        with self._store._core as context:
            self._length = int(lib.wasmtime_memory_data_size(context, handle))
        return self._length

    def grow(self, pages: int) -> int:
        """Make it ``pages`` pages larger.

        Args:
            pages: How many, 0 or more.

        Returns:
            The old size in pages.

        Raises:
            WasmtimeError: Its maximum, the store's limits or the system refuse it.
            ValueError: ``pages`` is negative.

        C API: ``wasmtime_memory_grow``.
        """
        pages = operator.index(pages)
        if pages < 0:
            raise ValueError(f"pages: expected 0 or more, got {pages}")
        handle, old = self._live, ffi.new("uint64_t *")
        if not self._stays:
            self._check_copy(pages)
        with self._store._core as context:
            prefix = f"memory.grow({pages}): "
            check(lib.wasmtime_memory_grow(context, handle, min(pages, 2**64 - 1), old), prefix=prefix)
        return int(old[0])

    def _check_copy(self, pages: int) -> None:
        """Refuse to grow by ``pages`` where the engine would have to copy more than the machine can hold."""
        size, (reserved, more) = self.data_size, self._store._engine._reservations
        held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        page = self._type.page_size
        if size > held > 0 and size + pages * page > max(reserved, self._type.min * page) + more:
            raise WasmtimeError(
                f"memory.grow({pages}): the memory would have to move, and its {size} bytes be copied, "
                f"which is more than the {held} bytes of memory of this machine"
            )

    def __len__(self) -> int:
        """Its size in bytes; where the store is busy or closed, the size that was last seen."""
        try:
            return self.data_size
        except Exception:  # noqa: BLE001  a length has nobody to tell
            return self._length

    __hash__ = StoreItem.__hash__

    # ---- Zero-copy views

    @property
    def is_pinned(self) -> bool:
        """Whether it can never move in the host's memory, so that views of it are possible.

        It cannot where its maximum fits the engine's ``memory_reservation``, which by default is the case for
        every memory with 32-bit addresses; where it cannot grow, or is shared; and where the engine's
        ``memory_may_move`` is off.
        """
        return self._stays

    def view(self) -> memoryview:
        """A writable view of all its bytes, shared with WebAssembly: no copy is made.

        The view covers the size of now and stays valid while the memory grows; it keeps the bytes
        alive, and `WasmStore.close` is refused until it is gone.

        Raises:
            MemoryViewError: The memory may move when it grows, so `read` and `write` must do.
            StoreClosedError: The store was closed.

        C API: ``wasmtime_memory_data``.
        """
        return self._view()

    def __repr__(self) -> str:
        return f"<WasmMemory {self._type}{self._state}>"
