"""The guard: who is inside a store. One thread at a time, and that thread as often as it likes.

Entering is a ``with`` block that yields the context; what runs WebAssembly enters by `Guard.running`,
which also asks for enough stack. ``Guard`` is the accelerator's class, or its twin below, which an
exception out of a signal handler can catch between two bytecodes: another reason to debug with it only.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ._backend import accel
from ._lowlevel import NULL, address_of, ffi, lib
from .errors import ForkError, StoreBusyError, StoreClosedError, TrapCode, WasmtimeError, WasmTrap

if TYPE_CHECKING:
    from types import TracebackType

#: C stack that must be left above what WebAssembly may use: for the engine, for Python in callbacks.
STACK_MARGIN = 256 * 1024


def thread_name(ident: int) -> str:
    """A thread in an error message."""
    names = [thread.name for thread in threading.enumerate() if thread.ident == ident]
    return f"thread {names[0]!r}" if names else f"thread {ident}"


def refuse(guard: Any) -> NoReturn:
    """Raise why ``guard`` admits nobody now."""
    if guard.lost:
        raise ForkError(
            f"store {guard.number} cannot be used in this process, which was forked while another thread was "
            "in the store"
        )
    if guard.closed and not guard.number:
        raise StoreClosedError("this WasmStore was never initialised: call super().__init__()")
    if guard.closed:
        raise StoreClosedError(f"store {guard.number} was closed")
    raise StoreBusyError(
        f"store {guard.number} is in use by {thread_name(guard.owner_thread)}; "
        f"{thread_name(threading.get_ident())} must wait: a store belongs to one thread at a time"
    )


def small_stack(needed: int, left: int) -> NoReturn:
    """Raise that a thread has too little stack to run WebAssembly: recursion could end the process."""
    raise WasmTrap(
        f"call stack exhausted: {needed} bytes of stack are needed to run WebAssembly here, this thread has "
        f"{left} left; give threads more with threading.stack_size(), or WebAssembly less with "
        "WasmConfig(max_wasm_stack=...)",
        TrapCode.STACK_OVERFLOW,
    )


def heap_full() -> NoReturn:
    """Raise that there is no room for another reference."""
    raise WasmtimeError(
        "the store's heap for references is full, or there is no address space for it: "
        "StoreLimits.memory_size limits it, and engines with WasmConfig.compact() reserve none; or this "
        "engine has no such heaps: they need WasmConfig(gc_support=True), which Winch has only if asked for"
    )


if accel is None and lib.wrt_imported_before():
    # C calls the twin with numbers of stores, which another twin has given too.
    raise ImportError(
        "wasmtime_rt was imported in this process before: the pure-cffi backend cannot begin anew"
    )

_tokens, _numbers = itertools.count(1), itertools.count(1)

#: The guards by number, by which a host function call in pure cffi finds its own.
guards: dict[int, weakref.ref[Any]] = {}


class _Running:
    """An entry into a store that runs WebAssembly."""

    __slots__ = ("_guard", "_outer", "_store")

    def __init__(self, guard: _Guard, store: object) -> None:
        self._guard, self._store = guard, store

    def __enter__(self) -> Any:
        guard = self._guard
        context = guard.__enter__()
        try:
            # Nested activations share the limit that the outermost one set.
            needed = STACK_MARGIN if guard._activations else guard._max_wasm_stack + STACK_MARGIN
            left = lib.wrt_stack_left()
            if left < needed:
                small_stack(needed, left)
            if not guard._activations:
                lib.wrt_signals_look()
        except BaseException:
            guard.__exit__(None, None, None)
            raise
        guard._activations += 1
        self._outer, guard.caller = guard.caller, self._store
        if guard._activations == 1 and guard._epochs is not None:
            lib.wrt_epochs_enter(guard._epochs)
        return context

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._guard._activations == 1 and self._guard._epochs is not None:
            lib.wrt_epochs_leave(self._guard._epochs)
        self._guard._activations -= 1
        self._guard.caller = self._outer
        self._guard.__exit__(exc_type, exc, tb)


class _Guard:
    """The twin of the accelerator's guard.

    Attributes:
        caller: The public store of the innermost call.
        closed: Whether entries are refused for good.
        lost: Whether a fork was the reason, and which: see `_lose_by_fork`.
        needs_threads: Whether WASI in the store may need a thread, for files.
        runs_wasi: Whether functions of WASI are in the store.
        raised: The exception of the host function that failed last, until its call returns.
        on_leave: Called when the outermost entry ends, for what must be looked at after each call.
        hosts: Host functions by number.
        objects: Host objects by the key that their externref carries.
        number: The store's number: no two stores of a process have the same.
        engine: The ``wasm_engine_t *`` that it was made with, which it keeps.
        fuel_given: Units of fuel that the store has been given in all.
        abandoned: How many calls have ended in the middle of WebAssembly: see `_failure`.
        depth: Entries of the thread that is inside.
        owner_thread: That thread, or 0.
    """

    __slots__ = (
        "__weakref__",
        "_activations",
        "_context",
        "_epochs",
        "_last_key",
        "_lock",
        "_max_wasm_stack",
        "_refs",
        "_store",
        "_views",
        "abandoned",
        "caller",
        "closed",
        "depth",
        "engine",
        "fuel_given",
        "hosts",
        "lost",
        "needs_threads",
        "number",
        "objects",
        "on_leave",
        "owner_thread",
        "raised",
        "runs_wasi",
    )  # fmt: skip
    caller: Any
    closed: bool
    lost: int
    needs_threads: bool
    runs_wasi: bool
    depth: int
    engine: Any
    fuel_given: int
    abandoned: int
    number: int
    hosts: dict[int, Any]
    objects: dict[int, object]
    on_leave: Callable[[], None] | None
    owner_thread: int
    raised: BaseException | None

    def __init__(self, *_args: object) -> None:
        self.closed, self.lost, self.runs_wasi, self.needs_threads = True, 0, False, False
        self.depth = self.owner_thread = self.number = self._activations = 0
        self.raised = None
        self.on_leave = None
        self._lock = threading.RLock()
        self._views: set[int] = set()
        self._store: Any = None
        self._epochs: Any = None
        self._last_key = self.fuel_given = self.abandoned = 0
        self.caller = None
        self.objects = {}
        self.hosts = {}

    def open(self, engine: Any, _address: int, max_wasm_stack: int, clock: int) -> None:
        """Make the C store of the engine, with the clock at an address or 0, and begin to admit."""
        self.engine, self.number = engine, next(_numbers)
        self._refs = refs = lib.wrt_host_refs_new()
        store = lib.wasmtime_store_new(engine, ffi.cast("void *", self.number), NULL)

        def delete(
            store: Any, delete: Any = lib.wrt_store_delete, free: Any = lib.wrt_host_refs_delete
        ) -> None:
            delete(store)
            free(refs)

        self._store, self._context = ffi.gc(store, delete), lib.wasmtime_store_context(store)
        if clock:
            self._epochs = lib.wrt_epochs_new(store, ffi.cast("wrt_clock_t *", clock))
            if self._epochs == NULL:
                raise MemoryError
        self._max_wasm_stack = max_wasm_stack
        number = self.number
        guards[number] = weakref.ref(self, lambda _: guards.pop(number, None))
        self.closed = False

    def __enter__(self) -> Any:
        if not self._lock.acquire(blocking=False):
            refuse(self)
        self.depth += 1  # before it is looked at: a finalizer on this thread may close it in between
        try:
            if self.closed:
                refuse(self)
            if self.depth == 1:
                self.owner_thread = threading.get_ident()
                self.raised = None
                if self.objects and lib.wrt_host_refs_any(self._refs):
                    self.drop_objects()
        except BaseException:
            self._leave()
            raise
        return self._context

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            if self.depth == 1 and self.on_leave is not None:
                self.on_leave()
        finally:
            self._leave()

    def _leave(self) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.owner_thread = 0
            if self.closed:
                self._let_go()
        self._lock.release()

    def _let_go(self) -> None:
        self._store = self._epochs = self.on_leave = None
        self.hosts.clear()
        self.objects.clear()

    def set_time_limit(self, began: int, ends: int) -> None:
        """End what runs at this time of the monotonic clock, in nanoseconds."""
        store, epochs = self._store, self._epochs
        if store is not None and epochs is not None:  # and `store` keeps them while C works
            lib.wrt_epochs_set_limit(epochs, began, ends)

    def interrupt(self) -> bool:
        """End the call that is running, and say whether there is one."""
        store, epochs = self._store, self._epochs
        return store is not None and epochs is not None and bool(lib.wrt_epochs_interrupt(epochs))

    def next_key(self) -> int:
        """A key for a host object."""
        self._last_key += 1
        return self._last_key

    def drop_objects(self) -> None:
        """Let go of host objects; the store's core knows how."""
        raise NotImplementedError

    def running(self, store: object) -> _Running:
        """The guard for what runs WebAssembly: a ``with`` block that also asks for enough stack."""
        return _Running(self, store)

    def give_up(self) -> None:
        """Refuse further entries; the C store goes when no call and no view needs it."""
        self.closed = True
        if self._lock.acquire(blocking=False):  # else whoever is inside does it on the way out
            if not self.depth:
                self._let_go()
            self._lock.release()

    def check_lost(self) -> None:
        """Refuse to run on where a host function has forked, and this is the child."""
        if self.lost:
            refuse(self)

    @property
    def store_address(self) -> int:
        """Where the C store is, or 0."""
        return 0 if self._store is None else address_of(self._store)

    @property
    def epochs_address(self) -> int:
        """Where its epochs are, which live as long as it does, or 0."""
        return 0 if self._epochs is None else address_of(self._epochs)

    @property
    def refs_address(self) -> int:
        """Where its list of dropped host objects is."""
        return address_of(self._refs)

    @property
    def views(self) -> int:
        """How many buffers over memories of the store are alive."""
        return len(self._views)

    def export_view(self, data: Any) -> Any:
        """``data``, a pointer into a memory that cannot move, as one that keeps the C store alive.

        Only the C store: what a host function closes over may hold the view where the garbage collector
        cannot see it, and must not keep itself alive.
        """
        token, views, store = next(_tokens), self._views, self._store
        views.add(token)

        def release(_data: Any, _store: Any = store) -> None:
            views.discard(token)

        return ffi.gc(data, release)


def _lose_by_fork() -> None:
    """In a forked child, give up stores that another thread was in, and where WASI ran, who may call it."""
    if accel is not None:  # it has done so
        return
    here = threading.get_ident()
    for reference in list(guards.values()):
        guard = reference()
        if guard is None:
            continue
        if guard.owner_thread not in {0, here}:
            guard.lost = True
        else:
            continue
        guard.closed = True
        guard.on_leave = None
        # It may be half changed, or wait for threads that are not there: it is not touched again.
        ffi.gc(guard._store, None)


if TYPE_CHECKING or accel is None:
    Guard = _Guard
else:
    Guard = accel.Guard

    def _context(address: int) -> Any:
        return ffi.cast("wasmtime_context_t *", address)

    # What the guard itself asks of Python: there may be stores before there is anything to call in them.
    for _name, _work in (
        ("context", _context),
        ("refuse", refuse),
        ("small_stack", small_stack),
        ("heap_full", heap_full),
    ):
        accel.register(_name, _work)
    accel.set_epochs_calls(address_of(lib.wrt_epochs_calls()))


def _serve_signals(main_thread: int) -> None:
    """Let Python handle its signals at ticks of the epoch, on its main thread."""
    if accel is None:
        lib.wrt_serve_signals(lib.wrt_python_serve, main_thread)
    else:
        lib.wrt_serve_signals(ffi.cast("wrt_serve_t", accel.SERVE), main_thread)
        accel.set_main_thread(main_thread)


def _after_fork() -> None:
    _serve_signals(threading.get_ident())  # this thread is the only one, and the main one
    lib.wrt_ticker_after_fork()
    _lose_by_fork()


_serve_signals(threading.main_thread().ident or 0)
os.register_at_fork(after_in_child=_after_fork)
