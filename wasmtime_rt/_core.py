"""The store's core: the C store behind its guard, and what Python owns on its behalf.

What C holds is numbers and borrowed pointers. The core owns the host functions, the host objects inside
externrefs and the pending exception, so that a dropped store is plain garbage even where a host function
closes over it. The C store itself is owned by counting, by the guard and by each view of a memory: it is
deleted with the last of them, on no particular occasion, since its deletion calls nothing in Python.
"""

from __future__ import annotations

from typing import Any

from ._guard import Guard, heap_full
from ._lowlevel import ffi, lib
from .errors import MemoryViewError, StoreBusyError


class StoreCore(Guard):
    """The C store, its guard, and what Python owns on its behalf."""

    __slots__ = ()

    def limit(self, limits: list[int]) -> None:
        """Set what the store may hold: bytes per memory, elements per table, instances, tables, memories."""
        with self:
            lib.wasmtime_store_limiter(ffi.cast("wasmtime_store_t *", self.store_address), *limits)

    @property
    def epochs(self) -> Any:
        """The ``wrt_epochs_t *``, where the engine has epochs. Inside the guard, and valid there only."""
        return ffi.cast("wrt_epochs_t *", self.epochs_address)

    # ---- Host objects

    def new_object(self, context: Any, value: object, out: Any) -> None:
        """Make an externref to ``value`` in the ``wasmtime_externref_t *`` ``out``. Inside the guard.

        Raises:
            WasmtimeError: The store's heap for references is full.
        """
        key = self.next_key()
        self.objects[key] = value
        if not lib.wrt_host_ref_new(context, ffi.cast("wrt_host_refs_t *", self.refs_address), key, out):
            self.objects.pop(key, None)
            heap_full()

    def drop_objects(self) -> None:
        """Let go of the host objects whose externrefs the engine has dropped. Inside the guard."""
        dropped, refs = ffi.new("uint64_t[64]"), ffi.cast("wrt_host_refs_t *", self.refs_address)
        while count := lib.wrt_host_refs_dropped(refs, dropped, 64):
            for key in dropped[0:count]:
                self.objects.pop(key, None)

    # ---- The end

    def close(self) -> None:
        """Delete the C store now.

        Raises:
            StoreBusyError: A call is running in it, on this thread or on another.
            MemoryViewError: A view of one of its memories is alive.
        """
        if self.closed:
            return
        with self:
            if self.depth > 1:
                raise StoreBusyError(f"store {self.number} cannot be closed while a call is running in it")
            if self.views:
                raise MemoryViewError(
                    f"store {self.number} cannot be closed while {self.views} view(s) of its memories are "
                    "alive: delete them first"
                )
            self.give_up()

    def close_later(self) -> None:
        """Refuse further use, and delete the C store as soon as no call and no view needs it."""
        self.give_up()
