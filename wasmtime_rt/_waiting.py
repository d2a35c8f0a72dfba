"""How a sandboxed program waits: the clock and `poll_oneoff` of WASI, in Python.

The engine's own `poll_oneoff` sleeps where nothing can end it, neither a deadline nor Ctrl-C. So the sandbox
defines its own in front of it: what waits for time alone waits here, and no longer than the program may run.
Files, pipes and bytes are always ready. Only where the standard input is that of this process, waiting for it
is left to the engine, by a small module between the program's memory and the engine's function.
"""

from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from .errors import WasmTimeout
from .instance import WasmInstance
from .linker import WasmLinker
from .memory import WasmMemory
from .module import WasmModule
from .types import WasmFuncType

if TYPE_CHECKING:
    from .store import WasmStore

WASI = "wasi_snapshot_preview1"
_SUCCESS, _BAD_FILE, _FAULT, _INVALID, _NO_SYSTEM_CALL = 0, 8, 21, 28, 52
_REALTIME, _MONOTONIC = 0, 1
_CLOCK, _READ, _WRITE = 0, 1, 2
_ABSOLUTE = 1
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
    """What these functions must know of the program that calls them.

    Attributes:
        store: Its store.
        instance: Its instance, once there is one.
        deadline: When it must end, by `time.monotonic`; ``None`` where nothing says so.
        timeout: How many seconds it had until then.
    """

    def __init__(self, store: WasmStore, *, inherits_input: bool) -> None:
        self.store = store
        self.instance: WasmInstance | None = None
        self.deadline: float | None = None
        self.timeout = 0.0
        self._began = time.monotonic_ns()
        self._inherits_input = inherits_input
        self._engines_poll: Any = None

    @property
    def memory(self) -> WasmMemory | None:
        """The program's memory, if it is one that WASI knows."""
        found = None if self.instance is None else self.instance.exports.get("memory")
        return found if isinstance(found, WasmMemory) else None

    def now(self, clock: int) -> int:
        """Nanoseconds by one of the two clocks."""
        return time.time_ns() if clock == _REALTIME else time.monotonic_ns() - self._began

    def clock_time_get(self, clock: int, _precision: int, out: int) -> int:
        """The time."""
        if clock not in {_REALTIME, _MONOTONIC}:
            return _BAD_FILE
        memory = self.memory
        if memory is None:
            return _NO_SYSTEM_CALL
        try:
            memory.write(out & _UNSIGNED, self.now(clock).to_bytes(8, "little"))
        except IndexError:
            return _FAULT
        return _SUCCESS

    def poll_oneoff(self, subscriptions: int, events: int, count: int, written: int) -> int:
        """Wait until one of the things that are subscribed to happens."""
        memory = self.memory
        if memory is None:
            return _NO_SYSTEM_CALL
        subscriptions, events, count, written = (
            n & _UNSIGNED for n in (subscriptions, events, count, written)
        )
        if not 0 < count <= _SUBSCRIPTIONS_AT_MOST:
            return _INVALID
        try:
            asked = list(_SUBSCRIPTION.iter_unpack(memory.read(subscriptions, count * _SUBSCRIPTION.size)))
            if self._inherits_input and any(what == _READ for _, what, *_ in asked):
                return self._poll_in_engine(subscriptions, events, count, written)
            happened = self._wait(asked)
            memory.write(events, b"".join(happened))
            memory.write(written, len(happened).to_bytes(4, "little"))
        except IndexError:
            return _FAULT
        return _SUCCESS

    def _wait(self, asked: list[tuple[int, ...]]) -> list[bytes]:
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
        self._sleep(shortest / 1e9)
        return happened + [
            _EVENT.pack(word, _SUCCESS, _CLOCK, 0, 0) for left, word in waits if left <= shortest
        ]

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - (now := time.monotonic())) > 0:
            if self.deadline is not None and now >= self.deadline:
                elapsed = now - self.deadline + self.timeout
                raise WasmTimeout(
                    f"timeout: {elapsed:.3f} seconds have passed, the limit was {self.timeout:g}",
                    elapsed=elapsed,
                    limit=self.timeout,
                )
            time.sleep(min(left, 3600, 3600 if self.deadline is None else self.deadline - now))

    def _poll_in_engine(self, *arguments: int) -> int:
        if self._engines_poll is None:
            linker = WasmLinker(self.store.engine)
            linker.define("program", "memory", self.memory)
            linker.define_wasi()
            between = linker.instantiate(self.store, WasmModule(self.store.engine, _TO_ENGINE))
            self._engines_poll = between.get_func("poll")
        return int(self._engines_poll(*arguments))


class Waiters(threading.local):
    """Who runs on this thread, innermost last: prepared functions belong to no program."""

    def __init__(self) -> None:
        self.running: list[Waiter] = []

    def clock_time_get(self, *arguments: int) -> int:
        """The same of whoever runs on this thread."""
        return self.running[-1].clock_time_get(*arguments)

    def poll_oneoff(self, *arguments: int) -> int:
        """The same of whoever runs on this thread."""
        return self.running[-1].poll_oneoff(*arguments)


def define_waiting(linker: WasmLinker, waiter: Waiter | Waiters) -> None:
    """Define the functions of ``waiter`` in front of the engine's: before `WasmLinker.define_wasi`."""
    i32, i64 = "i32", "i64"
    linker.define(WASI, "clock_time_get", waiter.clock_time_get, WasmFuncType([i32, i64, i32], [i32]))
    linker.define(WASI, "poll_oneoff", waiter.poll_oneoff, WasmFuncType([i32] * 4, [i32]))
