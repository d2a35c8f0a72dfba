"""The store's core: the C store, the one guard that every entry goes through, and what it owns.

Entering is a ``with`` block that yields the context::

    with core as context:
        lib.wasmtime_global_get(context, ...)

The guard lets one thread in at a time, lets that thread in again (a host function calls back), and
refuses every other with an error that names both. The lock is taken before the GIL is dropped.

What C holds is numbers. The core owns the host functions, the host objects inside externrefs and the
pending exception, so that a dropped store is plain garbage even where a host function closes over it.
In such a cycle `StoreCore.__del__` runs while all of it is still alive, and deletes the C store there;
if a view of a memory is alive the last view does it instead.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._lowlevel import NULL, ffi, lib
from .errors import MemoryViewError, StoreBusyError, StoreClosedError, TrapCode, WasmtimeError, WasmTrap

if TYPE_CHECKING:
    from types import TracebackType

    from .store import WasmStore

#: C stack that must be left above what WebAssembly may use: for the engine, for Python in callbacks.
STACK_MARGIN = 256 * 1024

_numbers = itertools.count(1)
_cores: dict[int, weakref.ref[StoreCore]] = {}


class _Lost(threading.local):
    """An exception that struck outside of a host function's own ``try``: between two bytecodes of ours."""

    raised: BaseException | None = None


lost = _Lost()


class Running:
    """Entering a store to run WebAssembly in it.

    Raises:
        WasmTrap: With `TrapCode.STACK_OVERFLOW`, where this thread has too little stack left: guest
            recursion could end the process.
    """

    __slots__ = ("_core",)

    def __init__(self, core: StoreCore) -> None:
        self._core = core

    def __enter__(self) -> Any:
        core = self._core
        context = core.__enter__()
        try:
            core._check_stack()
        except BaseException:
            core.__exit__(None, None, None)
            raise
        core._activations += 1
        return context

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._core._activations -= 1
        self._core.__exit__(exc_type, exc, tb)


def core_of(number: int) -> StoreCore:
    """The core whose number a host function call carries; its call keeps it alive."""
    core = _cores[number]()
    if core is None:  # pragma: no cover  a call is running in it
        raise WasmtimeError(f"store {number} is gone")
    return core


def _thread_name(ident: int) -> str:
    names = [thread.name for thread in threading.enumerate() if thread.ident == ident]
    return f"thread {names[0]!r}" if names else f"thread {ident}"


class StoreCore:
    """The C store and its guard.

    Attributes:
        number: Its number in C; no two stores of a process ever have the same.
        engine: The ``wasm_engine_t *`` that it was made with.
        owner: The public store, weakly: whoever calls keeps it alive.
        closed: Whether it was closed, although a view or a call may still keep the C store.
        hosts: Host functions by number.
        objects: Host objects by the key that their externref carries.
        raised: The exception of the host function that failed last, until its call returns.
        fuel_given: Units of fuel that the store has been given in all.
        on_leave: Called when the outermost entry ends, for what must be looked at after each call.
    """

    __slots__ = (
        "__weakref__", "_activations", "_context", "_depth", "_dropped", "_keys", "_lock", "_max_wasm_stack",
        "_owner", "_refs", "_store", "_views", "closed", "engine", "fuel_given", "hosts", "number", "objects",
        "on_leave", "owner", "raised",
    )  # fmt: skip

    def __init__(self, engine: Any, max_wasm_stack: int, owner: WasmStore) -> None:
        self._store = NULL
        self.owner = weakref.ref(owner)
        self.closed = False
        self._lock = threading.RLock()
        self._owner = 0
        self._depth = 0
        self._activations = 0
        self._views: set[int] = set()
        self._keys = itertools.count(1)
        self._dropped = ffi.new("uint64_t[64]")
        self._max_wasm_stack = max_wasm_stack
        self.engine = engine
        self.number = next(_numbers)
        self.fuel_given = 0
        self.hosts: dict[int, Any] = {}
        self.objects: dict[int, object] = {}
        self.raised: BaseException | None = None
        self.on_leave: Callable[[], None] | None = None
        self._refs = lib.wrt_host_refs_new()
        self._store = lib.wasmtime_store_new(engine, ffi.cast("void *", self.number), NULL)
        self._context = lib.wasmtime_store_context(self._store)
        _cores[self.number] = weakref.ref(self)

    # ---- The guard

    def __enter__(self) -> Any:
        if not self._lock.acquire(blocking=False):
            here, there = threading.get_ident(), self._owner
            raise StoreBusyError(
                f"store {self.number} is in use by {_thread_name(there)}; {_thread_name(here)} must wait: "
                "a store belongs to one thread at a time"
            )
        if self.closed:
            self._lock.release()
            raise StoreClosedError(f"store {self.number} was closed")
        self._depth += 1
        if self._depth == 1:
            self._owner = threading.get_ident()
            self.raised = None
            if self.objects:
                self.drop_objects()
        return self._context

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        outermost = self._depth == 1
        try:
            if outermost and self.on_leave is not None:
                self.on_leave()
        finally:
            self._depth -= 1
            self._lock.release()
            if outermost and self.closed:
                self._delete_if_idle()

    def running(self) -> Running:
        """The guard for what runs WebAssembly: a ``with`` block that also asks for enough stack."""
        return Running(self)

    def _check_stack(self) -> None:
        # Nested activations share the limit that the outermost one set.
        needed = STACK_MARGIN if self._activations else self._max_wasm_stack + STACK_MARGIN
        left = lib.wrt_stack_left()
        if left < needed:
            raise WasmTrap(
                f"call stack exhausted: {needed} bytes of stack are needed to run WebAssembly here, "
                f"this thread has {left} left; give threads more with threading.stack_size(), or "
                "WebAssembly less with WasmConfig(max_wasm_stack=...)",
                TrapCode.STACK_OVERFLOW,
            )

    def take_raised(self) -> BaseException | None:
        """The exception that a host function left for the call that is ending, which is now its owner."""
        raised, self.raised = self.raised, None
        stray, lost.raised = lost.raised, None
        return raised if raised is not None else stray

    def limit(self, limits: list[int]) -> None:
        """Set what the store may hold: bytes per memory, elements per table, instances, tables, memories."""
        lib.wasmtime_store_limiter(self._store, *limits)

    # ---- Host objects

    def new_object(self, context: Any, value: object, out: Any) -> None:
        """Make an externref to ``value`` in the ``wasmtime_externref_t *`` ``out``. Inside the guard.

        Raises:
            WasmtimeError: The store's heap for references is full.
        """
        key = next(self._keys)
        self.objects[key] = value
        if not lib.wrt_host_ref_new(context, self._refs, key, out):
            self.objects.pop(key, None)
            raise WasmtimeError("the store's heap for references is full")

    def drop_objects(self) -> None:
        """Let go of the host objects whose externrefs the engine has dropped. Inside the guard."""
        while count := lib.wrt_host_refs_dropped(self._refs, self._dropped, len(self._dropped)):
            for key in self._dropped[0:count]:
                self.objects.pop(key, None)

    # ---- Views of memories

    def export_view(self, data: Any) -> Any:
        """``data``, a pointer into a memory that cannot move, as one that keeps the C store alive."""
        view = next(_numbers)
        exported = ffi.gc(data, lambda _: self._release_view(view))
        self._views.add(view)
        return exported

    def _release_view(self, view: int) -> None:
        self._views.discard(view)
        if self.closed:
            self._delete_if_idle()

    # ---- The end

    def close(self) -> None:
        """Delete the C store now.

        Raises:
            StoreBusyError: A call is running in it, on this thread or on another.
            MemoryViewError: A view of one of its memories is alive.
        """
        if self._store == NULL:
            return
        if not self._lock.acquire(blocking=False):
            raise StoreBusyError(
                f"store {self.number} cannot be closed: {_thread_name(self._owner)} is using it"
            )
        try:
            if self._depth:
                raise StoreBusyError(f"store {self.number} cannot be closed while a call is running in it")
            if self._views:
                raise MemoryViewError(
                    f"store {self.number} cannot be closed while {len(self._views)} view(s) of its memories "
                    "are alive: delete them first"
                )
            self.closed = True
        finally:
            self._lock.release()
        self._delete_if_idle()

    def close_later(self) -> None:
        """Refuse further use, and delete the C store as soon as no call and no view needs it."""
        self.closed = True
        self._delete_if_idle()

    def _delete_if_idle(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # whoever is inside does it on the way out
        try:
            if self._depth or self._views or self._store == NULL:
                return
            store, self._store = self._store, NULL
        finally:
            self._lock.release()
        _cores.pop(self.number, None)
        lib.wasmtime_store_delete(store)
        lib.wrt_host_refs_delete(self._refs)
        self.on_leave = None
        self.raised = None
        self.hosts.clear()
        self.objects.clear()

    def __del__(self) -> None:
        if getattr(self, "_store", NULL) != NULL:
            self.close_later()
