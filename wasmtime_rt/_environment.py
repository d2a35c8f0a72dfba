"""Environment variables that the engine and its libraries read.

The engine ends the process, hangs or crashes if some of them hold a bad value. So they are looked at before
it reads them: when an engine is made, and when threads are started. They are read as the engine reads them,
by ``getenv``, and never changed.
"""

from __future__ import annotations

from ._lowlevel import NULL, ffi, lib
from .errors import WasmtimeError

#: More threads than these are a mistake. Each of them is started once, to see whether that can be.
_MOST_THREADS = 1024
#: Bytes of stack for the engine's threads: less is not enough to start one, more is a mistake.
_LEAST_STACK, _MOST_STACK = 1 << 16, 1 << 30
#: By variable: the least and the most that it may be, and whether "0" and "" are the same as not set.
_NUMBERS = {
    "TOKIO_WORKER_THREADS": (1, _MOST_THREADS, False),
    "RAYON_NUM_THREADS": (1, _MOST_THREADS, True),
    "RAYON_RS_NUM_CPUS": (1, _MOST_THREADS, True),
    "RUST_MIN_STACK": (_LEAST_STACK, _MOST_STACK, False),
}


def variable(name: str) -> bytes | None:
    """Return the value of an environment variable, or ``None`` if it is not set."""
    value = lib.wrt_getenv(name.encode())
    return None if value == NULL else ffi.string(value)


def number(name: str) -> int | None:
    """Return the number in an environment variable that the engine reads, or ``None`` if it is not set.

    Raises:
        WasmtimeError: The value is not a number that the engine can work with.
    """
    value = variable(name)
    least, most, may_be_none = _NUMBERS[name]
    if value is None or (may_be_none and value in {b"", b"0"}):
        return None
    # More digits than that are too many, and int() would refuse some thousands of them.
    given = int(value) if value.isdigit() and len(value) <= 20 else -1
    if not least <= given <= most:
        shown = value[:40] + b"..." if len(value) > 40 else value
        raise WasmtimeError(
            f"{name}: expected a number from {least} to {most} in this environment variable, which the "
            f"engine reads, got {ascii(shown)[1:]}: change it, or unset it before the process starts"
        )
    return given


def check_environment() -> None:
    """Refuse to let the engine read what would end the process.

    Raises:
        WasmtimeError: A variable has a bad value.
    """
    for name in _NUMBERS:
        number(name)


def backtrace_details() -> bool:
    """Return whether the environment makes new engines read DWARF, and show the names in it.

    Such names come from the guest, and the engine demangles them, which takes memory without a limit.
    """
    return variable("WASMTIME_BACKTRACE_DETAILS") == b"1"
