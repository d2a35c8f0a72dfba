"""What belongs to the process: the engine's threads and signal handlers, and what a fork leaves of them.

The work is in C, in ``threads.c`` and ``signals.c``; here is when it is done, and what is said if it fails.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import importlib
import os
import sys
from typing import Any

from ._environment import number
from ._lowlevel import accel, address_of, ffi, lib

#: What `signal` wraps in enumerations.
_signal: Any = importlib.import_module("_signal")

#: Stack of the engine's threads in bytes, unless the environment says otherwise.
_STACK = 2 << 20


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stack() -> int:
    return number("RUST_MIN_STACK") or _STACK


def threads_can_start(count: int) -> bool:
    """Whether the engine can start so many more threads now."""
    return bool(lib.wrt_threads_can_start(count, _stack()))


def compiles_in_parallel(engine: Any) -> bool:
    """Whether the engine's threads for compiling work in this process. They are started where they can be.

    Args:
        engine: A ``wasm_engine_t *`` that compiles in parallel.

    Raises:
        WasmtimeError: The environment asks for an impossible number of threads, or an impossible stack.
    """
    count = number("RAYON_NUM_THREADS") or number("RAYON_RS_NUM_CPUS") or _processors()
    return bool(lib.wrt_compiler_start(engine, count, _stack()))


def restore_signal_handlers() -> bool:
    """Put the engine's signal handlers in front of those that the program has installed since.

    WebAssembly's traps are faults of the processor, which the engine's handlers for SIGSEGV, SIGILL and
    SIGFPE turn into `WasmTrap`. A handler that is installed later takes their place, and the next trap would
    end the process or never end. ``signal.signal()``, ``faulthandler.enable()`` and
    ``faulthandler.disable()`` put that right before they return, from when the first engine is made. What
    C code installs, of an extension or a library, nothing tells: that is put right whenever an instance is
    made, a module is compiled, or an export is first looked up; after every trap that comes through
    nevertheless; every 10 milliseconds while WebAssembly runs in a store with epochs; and by one of every 32
    calls, unless that was looked at some milliseconds ago. Calling this function is needed only after such
    code.

    If a trap comes on a thread that blocks these signals, the process ends. So they are unblocked when a
    thread first runs WebAssembly, and ``signal.pthread_sigmask()`` does not block them from then on. If C
    code blocks them later, they are unblocked when an instance is made on that thread, or when this
    function is called there.

    The foreign handler comes next in line: it is still called for faults that are not WebAssembly's. Engines
    with ``WasmConfig(signals_based_traps=False)`` need no handlers at all.

    Returns:
        Whether something had taken their place.
    """
    accel.unblock()
    return bool(lib.wrt_signals_restore())


@functools.cache
def watch_signal_handlers() -> None:
    """Let what installs signal handlers in Python put the engine's in front, and masks spare its signals."""
    atexit.register(_forget_signal_handlers)
    for function in (_signal.signal, faulthandler.enable, faulthandler.disable, _signal.pthread_sigmask):
        accel.watch(function)


def _forget_signal_handlers() -> None:
    """Take away Python's handlers before Python does, which then puts the system's in front of the engine's.

    Daemon threads may still run WebAssembly then. ``signal.signal()`` itself installs the system's handler
    for about a microsecond, and Python has no other way to forget one: what traps just then ends the process.
    """
    accel.end()
    for fault in (_signal.SIGSEGV, _signal.SIGILL, _signal.SIGFPE):
        if callable(_signal.getsignal(fault)):
            with contextlib.suppress(ValueError):  # the interpreter ends on a thread that is not the main one
                _signal.signal(fault, _signal.SIG_DFL)
    # Disabled at the very end, faulthandler puts back what was there before it: nothing, if that was before
    # the engine. It has to tell of crashes until then, unless other threads may trap.
    if faulthandler.is_enabled() and len(sys._current_frames()) > 1:
        faulthandler.disable()
    lib.wrt_signals_restore()


accel.use_native(
    *(
        address_of(ffi.addressof(lib, name))
        for name in (
            *("wrt_signals_restore", "wrt_signals_look", "wrt_store_delete", "wrt_enter", "wrt_leave"),
        )
    )
)


# ---- Forks

# What Python does then is done after this: see `_guard`.
os.register_at_fork(before=lib.wrt_fork_before, after_in_parent=lib.wrt_fork_in_parent)
