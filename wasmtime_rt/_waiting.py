"""How a sandboxed program waits: the clock, `poll_oneoff` and an inherited input of WASI, in Python.

The engine's own `poll_oneoff` sleeps where nothing can end it, neither a deadline nor Ctrl-C, and so does its
`fd_read` of a standard input that gives nothing. So the sandbox defines its own in front of them: what waits
for time or for the input of this process waits here, and no longer than the program may run. Files and bytes
are always ready. Where the input is inherited, these functions must know which descriptor it is: the program
may close or renumber it. All that is not about the input goes on to the engine's functions, by a small module
between the program's memory and these.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import struct
import threading
import time
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

from .caller import WasmCaller, with_caller
from .errors import WasmInterrupted, WasmTimeout
from .func import WasmFunc
from .linker import WasmLinker
from .module import WasmModule
from .types import WasmFuncType

if TYPE_CHECKING:
    from .store import WasmStore

WASI = "wasi_snapshot_preview1"
_SUCCESS, _BAD_FILE, _FAULT, _INVALID, _BROKEN, _IS_FOLDER = 0, 8, 21, 28, 29, 31
_ERRORS = {errno.EBADF: _BAD_FILE, errno.EISDIR: _IS_FOLDER}
_REALTIME, _MONOTONIC = 0, 1
_CLOCK, _READ, _WRITE = 0, 1, 2
_ABSOLUTE = 1
#: More would be a way to fill the memory of the host.
_SUBSCRIPTIONS_AT_MOST = 4096
_VECTORS_AT_MOST = 1024
_READ_AT_MOST = 1 << 20
#: Seconds after which what waits looks at whether it was interrupted.
_LOOKS = 0.05
_UNSIGNED = 0xFFFFFFFF

_SUBSCRIPTION = struct.Struct(
    "<QB7xIxxxxQQHxxxxxx"
)  # its first word, what for, clock, timeout, precision, flags
_EVENT = struct.Struct("<QHB5xQHxxxxxx")  # the same word, error, what for, bytes, flags

#: The engine's functions that take the descriptor of the input, and how many parameters they have.
_OF_DESCRIPTORS = {"fd_read": 4, "fd_close": 1, "fd_renumber": 2}


def _to_engine() -> str:
    """A module that calls the engine's functions with the memory of another, which they find as its own."""
    lines = []
    for name, count in _OF_DESCRIPTORS.items():
        signature = f"(param {'i32 ' * count}) (result i32)"
        passed = " ".join(f"(local.get {i})" for i in range(count))
        lines.append(f'(import "{WASI}" "{name}" (func ${name} {signature}))')
        lines.append(f'(func (export "{name}") {signature} (call ${name} {passed}))')
    imports, functions = lines[::2], lines[1::2]
    memory = '(import "program" "memory" (memory 0)) (export "memory" (memory 0))'
    return " ".join(("(module", *imports, memory, *functions, ")"))


#: Who waits for the input of this process and reads it: two threads could see what is only there for one. A
#: signal handler or a finalizer on this thread must not wait for itself.
_input = threading.RLock()
_STDIN = 0


class Waiter:
    """What these functions must know of the program that calls them: the data of its store.

    Attributes:
        began: When the call began, by `time.monotonic`; ``None`` where nothing says so.
        deadline: When it must end, by `time.monotonic`; ``None`` where nothing says so.
        timeout: How many seconds it had until then.
        inputs: Its descriptors that are the standard input of this process.
        engine: The engine's own functions on this program's memory, once they were needed.
    """

    __slots__ = ("_start", "began", "deadline", "engine", "inputs", "timeout")

    def __init__(self, *, inherits_input: bool) -> None:
        self.began: float | None = None
        self.deadline: float | None = None
        self.timeout = 0.0
        self.inputs: set[int] = {0} if inherits_input else set()
        self.engine: dict[str, WasmFunc] = {}
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
        happened, waits, reads = [], [], []
        for word, what, clock, timeout, _, flags in asked:
            if what == _READ and clock in self.inputs:  # which is the descriptor then
                reads.append(_EVENT.pack(word, _SUCCESS, what, 1, 0))
            elif what in {_READ, _WRITE}:
                happened.append(_EVENT.pack(word, _SUCCESS, what, 1, 0))
            elif what != _CLOCK or clock not in {_REALTIME, _MONOTONIC}:
                happened.append(_EVENT.pack(word, _INVALID, what, 0, 0))
            else:
                left = timeout - self.now(clock) if flags & _ABSOLUTE else timeout
                waits.append((max(left, 0), word))
        shortest = 0 if happened else min(waits)[0] if waits else None
        seconds = None if shortest is None else shortest / 1e9
        if reads and self._wait_for_input(seconds, store):
            return happened + reads
        if not reads:
            self._sleep(seconds or 0, store)
        over = (word for left, word in waits if shortest is not None and left <= shortest)
        return happened + [_EVENT.pack(word, _SUCCESS, _CLOCK, 0, 0) for word in over]

    def read(self, size: int, store: WasmStore) -> bytes:
        """Up to ``size`` bytes of the standard input of this process, or none at its end.

        Raises:
            OSError: It cannot be read.
            WasmTimeout: Nothing came in time.
            WasmInterrupted: The call in ``store`` was interrupted.
        """
        with self._alone_at_input(None, store):
            while True:
                self._poll_input(None, store)
                with contextlib.suppress(BlockingIOError):  # another process was quicker
                    return os.read(_STDIN, size)

    def _left(self, until: float | None, store: WasmStore) -> float:
        """Seconds to wait now: until a time, no longer than the program may run, and not for long.

        Raises:
            WasmTimeout: Its time is over.
            WasmInterrupted: The call in ``store`` was interrupted.
        """
        now = time.monotonic()
        if store._is_interrupted():
            elapsed = now - (now if self.began is None else self.began)
            raise WasmInterrupted(f"interrupted after {elapsed:.3f} seconds", elapsed=elapsed)
        if self.deadline is not None and now >= self.deadline:
            elapsed = now - self.deadline + self.timeout
            raise WasmTimeout(
                f"timeout: {elapsed:.3f} seconds have passed, the limit was {self.timeout:g}",
                elapsed=elapsed,
                limit=self.timeout,
            )
        return max(min(end - now for end in (until, self.deadline, now + _LOOKS) if end is not None), 0)

    def _sleep(self, seconds: float, store: WasmStore) -> None:
        until = time.monotonic() + seconds
        while until > time.monotonic():
            time.sleep(self._left(until, store))

    def _wait_for_input(self, seconds: float | None, store: WasmStore) -> bool:
        """Whether the input of this process can be read, or has ended, within so many seconds."""
        until = None if seconds is None else time.monotonic() + seconds
        with self._alone_at_input(until, store) as alone:
            return alone and self._poll_input(until, store)

    @contextlib.contextmanager
    def _alone_at_input(self, until: float | None, store: WasmStore) -> Iterator[bool]:
        """Whether no other program waits for the input now, for the time of a block."""
        alone = False
        while not alone:
            alone = _input.acquire(timeout=self._left(until, store))
            if not alone and until is not None and time.monotonic() >= until:
                break
        try:
            yield alone
        finally:
            if alone:
                _input.release()

    def _poll_input(self, until: float | None, store: WasmStore) -> bool:
        poller = select.poll()
        poller.register(_STDIN, select.POLLIN)
        while True:
            if poller.poll(math.ceil(1000 * self._left(until, store))):
                return True
            if until is not None and time.monotonic() >= until:
                return False


def _clock_time_get(caller: WasmCaller, clock: int, _precision: int, out: int) -> int:
    if clock not in {_REALTIME, _MONOTONIC}:
        return _BAD_FILE
    try:
        now = caller.store._waiter.now(clock)
        caller.get_memory().write(out & _UNSIGNED, now.to_bytes(8, "little"))
    except (IndexError, KeyError, TypeError):  # outside of the memory, or there is none
        return _FAULT
    return _SUCCESS


def _poll_oneoff(caller: WasmCaller, subscriptions: int, events: int, count: int, written: int) -> int:
    waiter: Waiter = caller.store._waiter
    subscriptions, events, count, written = (n & _UNSIGNED for n in (subscriptions, events, count, written))
    if not 0 < count <= _SUBSCRIPTIONS_AT_MOST:
        return _INVALID
    try:
        memory = caller.get_memory()
        asked = list(_SUBSCRIPTION.iter_unpack(memory.read(subscriptions, count * _SUBSCRIPTION.size)))
    except (IndexError, KeyError, TypeError):
        return _FAULT
    happened = waiter.wait(asked, caller.store)
    try:
        memory.write(events, b"".join(happened))
        memory.write(written, len(happened).to_bytes(4, "little"))
    except IndexError:
        return _FAULT
    return _SUCCESS


def _fd_read(caller: WasmCaller, descriptor: int, vectors: int, count: int, read: int) -> int:
    waiter: Waiter = caller.store._waiter
    if descriptor not in waiter.inputs:
        return _pass_on(caller, "fd_read", descriptor, vectors, count, read)
    vectors, count, read = (n & _UNSIGNED for n in (vectors, count, read))
    if count > _VECTORS_AT_MOST:
        return _INVALID
    try:
        memory = caller.get_memory()
        memory.read(read, 4)
        spans, room = [], _READ_AT_MOST
        for pointer, length in struct.iter_unpack("<II", memory.read(vectors, 8 * count)):
            spans.append((pointer, min(length, room)))
            room -= spans[-1][1]
            if pointer + spans[-1][1] > memory.data_size:
                return _FAULT  # before anything is taken
        data = waiter.read(_READ_AT_MOST - room, caller.store) if room < _READ_AT_MOST else b""
        at = 0
        for pointer, length in spans:
            memory.write(pointer, data[at : at + length])
            at += length
        memory.write(read, len(data).to_bytes(4, "little"))
    except (IndexError, KeyError, TypeError):
        return _FAULT
    except OSError as problem:
        return _ERRORS.get(problem.errno or 0, _BROKEN)
    return _SUCCESS


def _fd_close(caller: WasmCaller, descriptor: int) -> int:
    done = _pass_on(caller, "fd_close", descriptor)
    if done == _SUCCESS:
        caller.store._waiter.inputs.discard(descriptor)
    return done


def _fd_renumber(caller: WasmCaller, old: int, new: int) -> int:
    done, inputs = _pass_on(caller, "fd_renumber", old, new), caller.store._waiter.inputs
    if done == _SUCCESS and old != new:
        inputs.discard(new)
        if old in inputs:
            inputs.remove(old)
            inputs.add(new)
    return done


def _pass_on(caller: WasmCaller, name: str, *args: int) -> int:
    """Call the engine's own function, on the memory of the program that calls."""
    waiter: Waiter = caller.store._waiter
    if not waiter.engine:
        store = caller.store
        try:
            memory = caller.get_memory()
        except (KeyError, TypeError):
            return _FAULT
        linker = WasmLinker(store.engine)
        linker.define("program", "memory", memory)
        linker.define_wasi()
        instance = linker.instantiate(store, WasmModule(store.engine, _to_engine()))
        waiter.engine = {name: instance.get_func(name) for name in _OF_DESCRIPTORS}
    return int(waiter.engine[name](*args))


def define_waiting(linker: WasmLinker, *, inherits_input: bool, without: Container[str]) -> None:
    """Define these functions in front of the engine's: before `WasmLinker.define_wasi`.

    They serve stores whose data is a `Waiter`.

    Args:
        linker: Where.
        inherits_input: Whether the programs read the standard input of this process.
        without: Functions that somebody defines himself.
    """
    i32, i64 = "i32", "i64"
    functions: list[tuple[str, Any, WasmFuncType]] = [
        ("clock_time_get", _clock_time_get, WasmFuncType([i32, i64, i32], [i32])),
        ("poll_oneoff", _poll_oneoff, WasmFuncType([i32] * 4, [i32])),
    ]
    if inherits_input:
        ours: dict[str, Any] = {"fd_read": _fd_read, "fd_close": _fd_close, "fd_renumber": _fd_renumber}
        functions += [
            (name, ours[name], WasmFuncType([i32] * count, [i32])) for name, count in _OF_DESCRIPTORS.items()
        ]
    for name, function, func_type in functions:
        if name not in without:
            linker.define(WASI, name, with_caller(function), func_type)
