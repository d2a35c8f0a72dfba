"""The guard: who is inside a store. One thread at a time, and that thread as often as it likes.

Entering is a ``with`` block that yields the context; what runs WebAssembly enters by `Guard.running`,
which also asks for enough stack. ``Guard`` is a class of the accelerator; its Python functions are here.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from ._lowlevel import accel, address_of, ffi, lib
from .errors import ForkError, StoreBusyError, StoreClosedError, TrapCode, WasmtimeError, WasmTrap

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

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


def no_ticker() -> NoReturn:
    """Raise that no thread can be started to keep the time."""
    raise WasmtimeError("no thread can be started to keep the time")


if TYPE_CHECKING:

    class Guard:
        """The accelerator's guard, as the type checker sees it: see ``accel/guard.c``.

        Attributes:
            closed: Whether entries are refused for good.
            lost: Whether a fork was the reason.
            raised: The exception of the host function that failed last, until its call returns.
            on_leave: Called when the outermost entry ends, for what must be looked at after each call.
            hosts: Host functions, by what finds them.
            objects: Host objects by the key that their externref carries.
            number: The store's number: no two stores of a process have the same.
            engine: The ``wasm_engine_t *`` that it was made with, which it keeps.
            fuel_given: Units of fuel that the store has been given in all.
            abandoned: How many calls have ended in the middle of WebAssembly: see `_failure`.
            depth: Entries of the thread that is inside.
            activations: How many of them run WebAssembly.
            owner_thread: That thread, or 0.
            views: How many buffers over memories of the store are alive.
            store_address: Where the C store is, or 0.
            epochs_address: Where its epochs are, which live as long as it does, or 0.
            refs_address: Where its list of dropped host objects is.
        """

        closed: bool
        lost: bool
        raised: BaseException | None
        on_leave: Callable[[], None] | None
        hosts: dict[Any, Any]
        objects: dict[int, object]
        number: int
        engine: Any
        fuel_given: int
        abandoned: int
        depth: int
        activations: int
        owner_thread: int
        views: int
        store_address: int
        epochs_address: int
        refs_address: int

        def open(self, engine: Any, address: int, max_wasm_stack: int, clock: int) -> None:
            """Make the C store of the engine, with the clock at an address or 0, and begin to admit."""

        def __enter__(self) -> Any: ...
        def __exit__(self, *raised: object) -> None: ...
        def running(self, store: object) -> AbstractContextManager[Any]:
            """The guard for what runs WebAssembly: a ``with`` block that also asks for enough stack."""

        def set_time_limit(self, began: int, ends: int) -> None:
            """End what runs at this time of the monotonic clock, in nanoseconds: 0, 2**64 - 1 is no limit."""

        def set_call_limit(self, nanoseconds: int) -> None:
            """Give each outermost call that much time while no other limit is set."""

        def interrupt(self) -> bool:
            """End the call that is running, and say whether there is one."""

        def next_key(self) -> int:
            """A key for a host object."""

        def set_wasi(self, address: int, owner: object) -> None:
            """Give the store its WASI, at an address that ``owner`` keeps alive. Inside the guard."""

        def give_up(self) -> None:
            """Refuse further entries; the C store goes when no call and no view needs it."""

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
    ("no_ticker", no_ticker),
):
    accel.register(_name, _work)
accel.set_epochs_calls(address_of(lib.wrt_epochs_calls()))


def _serve_signals(main_thread: int) -> None:
    """Let Python handle its signals at ticks of the epoch, on its main thread."""
    lib.wrt_serve_signals(ffi.cast("wrt_serve_t", accel.SERVE), main_thread)
    accel.set_main_thread(main_thread)


def _after_fork() -> None:
    _serve_signals(threading.get_ident())  # this thread is the only one, and the main one
    lib.wrt_ticker_after_fork()


_serve_signals(threading.main_thread().ident or 0)
os.register_at_fork(after_in_child=_after_fork)
