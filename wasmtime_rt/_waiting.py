"""How a sandboxed program waits: the clock and `poll_oneoff` of WASI, in Python.

The engine's own `poll_oneoff` sleeps where nothing can end it, neither a deadline nor Ctrl-C. So the sandbox
defines its own in front of it: what waits for time alone waits here, and no longer than the program may run.
Files, pipes and bytes are always ready. Only where the standard input is that of this process, waiting for it
is left to the engine, by a small module between the program's memory and the engine's function.
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

from .caller import WasmCaller, with_caller
from .errors import WasmInterrupted, WasmTimeout
from .func import WasmFunc
from .linker import WasmLinker
from .memory import WasmMemory
from .module import WasmModule
from .types import WasmFuncType

if TYPE_CHECKING:
    from .store import WasmStore

WASI = "wasi_snapshot_preview1"
_SUCCESS, _BAD_FILE, _FAULT, _INVALID = 0, 8, 21, 28
_REALTIME, _MONOTONIC = 0, 1
_CLOCK, _READ, _WRITE = 0, 1, 2
_ABSOLUTE = 1
#: Seconds after which what sleeps looks at whether it was interrupted.
_LOOKS = 0.05
#: More would be a way to fill the memory of the host.
_SUBSCRIPTIONS_AT_MOST = 4096
_UNSIGNED = 0xFFFFFFFF

_SUBSCRIPTION = struct.Struct(
    "<QB7xIxxxxQQHxxxxxx"
)  # its first word, what for, clock, timeout, precision, flags
_EVENT = struct.Struct("<QHB5xQHxxxxxx")  # the same word, error, what for, bytes, flags

_TO_ENGINE = f"""(module
  (import "{WASI}" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "program" "memory" (memory 0))
  (export "memory" (memory 0))
  (func (export "poll") (param i32 i32 i32 i32) (result i32)
    (call $poll (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"""


class Waiter:
    """What these functions must know of the program that calls them: the data of its store.

    Attributes:
        began: When the call began, by `time.monotonic`; ``None`` where nothing says so.
        deadline: When it must end, by `time.monotonic`; ``None`` where nothing says so.
        timeout: How many seconds it had until then.
        inherits_input: Whether its standard input is that of this process.
        engines_poll: The engine's own function on this program's memory, once it was needed.
    """

    __slots__ = ("_start", "began", "deadline", "engines_poll", "inherits_input", "timeout")

    def __init__(self, *, inherits_input: bool) -> None:
        self.began: float | None = None
        self.deadline: float | None = None
        self.timeout = 0.0
        self.inherits_input = inherits_input
        self.engines_poll: Any = None
        self._start = time.monotonic_ns()

    def now(self, clock: int) -> int:
        """Nanoseconds by one of the two clocks."""
        return time.time_ns() if clock == _REALTIME else time.monotonic_ns() - self._start

    def wait(self, asked: list[tuple[int, ...]], store: WasmStore) -> list[bytes]:
        """Wait for the first of what is asked for, and tell all that has happened by then.

        Raises:
            WasmTimeout: The program's time is over.
            WasmInterrupted: The call in ``store`` was interrupted.
        """
        happened, waits = [], []
        for word, what, clock, timeout, _, flags in asked:
            if what in {_READ, _WRITE}:
                happened.append(_EVENT.pack(word, _SUCCESS, what, 1, 0))
            elif what != _CLOCK or clock not in {_REALTIME, _MONOTONIC}:
                happened.append(_EVENT.pack(word, _INVALID, what, 0, 0))
            else:
                left = timeout - self.now(clock) if flags & _ABSOLUTE else timeout
                waits.append((max(left, 0), word))
        shortest = 0 if happened else min(waits)[0]
        self._sleep(shortest / 1e9, store)
        over = (word for left, word in waits if left <= shortest)
        return happened + [_EVENT.pack(word, _SUCCESS, _CLOCK, 0, 0) for word in over]

    def _sleep(self, seconds: float, store: WasmStore) -> None:
        began = time.monotonic()
        until = began + seconds
        while (left := until - (now := time.monotonic())) > 0:
            if store._is_interrupted():
                elapsed = now - (began if self.began is None else self.began)
                raise WasmInterrupted(f"interrupted after {elapsed:.3f} seconds", elapsed=elapsed)
            if self.deadline is not None and now >= self.deadline:
                elapsed = now - self.deadline + self.timeout
                raise WasmTimeout(
                    f"timeout: {elapsed:.3f} seconds have passed, the limit was {self.timeout:g}",
                    elapsed=elapsed,
                    limit=self.timeout,
                )
            time.sleep(min(left, _LOOKS if self.deadline is None else min(_LOOKS, self.deadline - now)))


def _clock_time_get(caller: WasmCaller, clock: int, _precision: int, out: int) -> int:
    if clock not in {_REALTIME, _MONOTONIC}:
        return _BAD_FILE
    try:
        now = caller.data.now(clock)
        caller.get_memory().write(out & _UNSIGNED, now.to_bytes(8, "little"))
    except (IndexError, KeyError, TypeError):  # outside of the memory, or there is none
        return _FAULT
    return _SUCCESS


def _poll_oneoff(caller: WasmCaller, subscriptions: int, events: int, count: int, written: int) -> int:
    waiter: Waiter = caller.data
    subscriptions, events, count, written = (n & _UNSIGNED for n in (subscriptions, events, count, written))
    if not 0 < count <= _SUBSCRIPTIONS_AT_MOST:
        return _INVALID
    try:
        memory = caller.get_memory()
        asked = list(_SUBSCRIPTION.iter_unpack(memory.read(subscriptions, count * _SUBSCRIPTION.size)))
    except (IndexError, KeyError, TypeError):
        return _FAULT
    if waiter.inherits_input and any(what == _READ for _, what, *_ in asked):
        if waiter.engines_poll is None:
            waiter.engines_poll = _engines_poll(caller.store, memory)
        return int(waiter.engines_poll(subscriptions, events, count, written))
    happened = waiter.wait(asked, caller.store)
    try:
        memory.write(events, b"".join(happened))
        memory.write(written, len(happened).to_bytes(4, "little"))
    except IndexError:
        return _FAULT
    return _SUCCESS


def _engines_poll(store: WasmStore, memory: WasmMemory) -> WasmFunc:
    linker = WasmLinker(store.engine)
    linker.define("program", "memory", memory)
    linker.define_wasi()
    return linker.instantiate(store, WasmModule(store.engine, _TO_ENGINE)).get_func("poll")


def define_waiting(linker: WasmLinker) -> None:
    """Define these functions in front of the engine's: before `WasmLinker.define_wasi`.

    They serve stores whose data is a `Waiter`.
    """
    i32, i64 = "i32", "i64"
    linker.define(WASI, "clock_time_get", with_caller(_clock_time_get), WasmFuncType([i32, i64, i32], [i32]))
    linker.define(WASI, "poll_oneoff", with_caller(_poll_oneoff), WasmFuncType([i32] * 4, [i32]))
