"""Pools: instances of a library that stay alive between uses, for servers.

Whoever takes an instance gets a `SandboxLease`, a light object of its own that ends when the instance comes
back: whoever goes on using it then is refused, and never reaches the instance of the next user. An instance
is kept only if nothing went wrong in it; all else is closed, and the next user gets a new one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from ._abstract import WasmtimeResource
from .errors import ClosedError, WasmtimeError
from .instance import WasmInstance
from .sandbox import _FUEL_MAX, Sandbox, SandboxInstance, WasiResult
from .store import WasmStore

if TYPE_CHECKING:
    from types import TracebackType


class _Warm:
    """An instance that outlives its users.

    Attributes:
        program: The instance, which no user gets hold of.
        uses: How often it was taken.
    """

    __slots__ = ("program", "uses")

    def __init__(self, program: SandboxInstance) -> None:
        self.program, self.uses = program, 0


class SandboxLease(SandboxInstance):
    """An instance of a `SandboxPool` for one use: until ``close``, or the end of its ``with`` block.

    It is a `SandboxInstance`, whose `result` tells what was done in this use, and can be asked for later. All
    else is refused then, and so are the exports that it gave. A reference that came out of a call, what
    ``typed`` made of a function, and the store are not followed: do not keep them.
    """

    __slots__ = ("_calls", "_last", "_lent", "_lock", "_pool", "_warm", "_was_trapped")

    _pool: SandboxPool
    _lock: threading.RLock  # a finalizer, or a signal handler, may come here while this thread has it
    _calls: int
    _was_trapped: bool
    _warm: _Warm | None
    _lent: WasmInstance | None
    _last: WasiResult | None

    def __init__(self) -> None:
        raise TypeError("a SandboxLease is made by SandboxPool.take")

    @classmethod
    def _of(cls, pool: SandboxPool, warm: _Warm) -> SandboxLease:
        self, program = cls.__new__(cls), warm.program
        store = program._store
        self._pool, self._lock, self._calls = pool, threading.RLock(), 0
        self._lent = self._last = None
        self._was_trapped = False
        self._store, self._instance = store, program._instance
        self._timeout = program._timeout
        self._duration, self._exit_code = 0.0, None
        # What others printed and used is theirs.
        self._captured, self._outputs = program._captured, {}
        for name, captured in self._captured.items():
            self._outputs[name] = captured.into = bytearray()
        if store._wasi is not None:
            store._wasi.renew()
        self._fuel, self._fuel_before = program._fuel, 0
        if store._engine.config.consume_fuel:
            store.set_fuel(_FUEL_MAX if self._fuel is None else self._fuel)
            self._fuel_before = store.fuel_consumed
        warm.uses += 1
        self._warm = warm
        return self

    def _check(self) -> None:
        if self._warm is None:
            raise ClosedError("this SandboxLease has ended: its instance went back to the pool")

    @property
    def store(self) -> WasmStore:
        """The store that it lives in. It is not to be used after this object's end."""
        self._check()
        return self._store

    @property
    def instance(self) -> WasmInstance:
        """The instance, for this use; what it exports ends with it."""
        with self._lock:
            self._check()
            lent = self._lent
            if lent is None:
                made = super().instance._lend()
                lent = self._lent  # a finalizer or a signal handler may have asked for it meanwhile,
                if lent is None:
                    lent = self._lent = made
                if self._warm is None:  # or ended it before there was anything to take back
                    lent._take_back()
            return lent

    def call(self, name: str, *args: Any, timeout: float | EllipsisType | None = ...) -> Any:
        """Call the function exported as ``name``, as `SandboxInstance.call` does.

        Raises:
            ClosedError: This object has ended.
            BaseException: What `SandboxInstance.call` raises.
        """
        with self._lock:
            self._check()
            self._calls += 1
        try:
            return super().call(name, *args, timeout=timeout)
        finally:
            with self._lock:
                self._calls -= 1

    @property
    def result(self) -> WasiResult:
        """What it did in this use: output, time, fuel; and how large its memory is."""
        return super().result if self._last is None else self._last

    @property
    def trapped(self) -> bool:
        """Whether a call ended in the middle of it, by a trap, a limit or an exit: `WasmInstance.trapped`."""
        return super().trapped or self._was_trapped  # the latter is set before the instance goes

    @property
    def is_valid(self) -> bool:
        """Whether it has not ended, and nobody closed its store."""
        return self._warm is not None and self._store.is_valid

    def close(self) -> None:
        """Give the instance back to the pool, which keeps it if nothing went wrong in it."""
        self._end(None, None, None)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        self._end(exc_type, exc, tb)

    def _end(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._lock:
            warm, self._warm = self._warm, None
            calls = self._calls
        if warm is None:
            return
        store = self._store
        core = store._core
        lent = self._lent
        if lent is not None:
            lent._take_back()
        self._was_trapped = super().trapped
        # With a call, a view or a time limit that is still alive, somebody goes on using it.
        fit = not (calls or core.depth or core.views or self._was_trapped or self._exit_code is not None)
        fit = fit and store.is_valid and not (store._engine._has_epochs and store._deadlines)
        with contextlib.suppress(WasmtimeError):  # another thread is in it
            self._last = super().result
        self._instance = None
        if not (fit and self._pool._keep(warm)):
            store.__exit__(exc_type, exc, tb)

    def __repr__(self) -> str:
        return f"<SandboxLease in {self._store!r}{'' if self._warm is not None else ' ended'}>"


class SandboxPool(WasmtimeResource):
    """Instances of a library that stay alive between uses: `Sandbox.pool` makes it. Threads share it.

    An instance keeps what earlier uses left in its memory, as any library does: whoever uses it next can
    find that, if the library lets him. Output, fuel and time are those of each use. Where users must not
    learn of one another, set ``max_uses=1``, or use `Sandbox.run` or `Sandbox.start`.

    When an instance comes back it is closed, not kept, if a call in it trapped, exited, was interrupted, ran
    out of time or fuel, or was ended by an exception of a host function (`WasmInstance.trapped`); if its
    store was closed, or is still in use; if it was used ``max_uses`` times; or if the pool is full or closed.
    What the ``with`` block itself raises is no reason, and comes out unchanged.

    A forked child begins with none of the instances that were idle, and starts its own.
    """

    __slots__ = ("__weakref__", "_args", "_closed", "_idle", "_lock", "_max_idle", "_max_uses", "_sandbox",
                 "_settings")  # fmt: skip

    _args: Any
    _closed: bool
    _idle: list[_Warm]
    _lock: threading.RLock
    _max_idle: int
    _max_uses: int | None
    _sandbox: Sandbox
    _settings: dict[str, Any]

    def __init__(self) -> None:
        raise TypeError("a SandboxPool is made by Sandbox.pool")

    @classmethod
    def _of(
        cls, sandbox: Sandbox, args: Sequence[Any], settings: dict[str, Any], max_idle: Any, max_uses: Any
    ) -> SandboxPool:
        if max_idle is None:
            raise TypeError("max_idle: expected an int, got None")
        if max_uses == 0:
            raise ValueError("max_uses: expected None or 1 and more, got 0")
        for name in ("stdout", "stderr"):
            if isinstance(settings[name], os.PathLike):
                raise ValueError(
                    f"{name}: expected a callable, an open file or a word, got the path "
                    f"{os.fspath(settings[name])!r}, which every instance would overwrite: open it"
                )
        self = cls.__new__(cls)
        self._sandbox, self._max_idle, self._max_uses = sandbox, max_idle, max_uses
        self._args = (
            args if isinstance(args, (str, bytes)) else tuple(args)
        )  # the first is refused by `start`
        self._settings, stdin = dict(settings), settings["stdin"]
        if callable(getattr(stdin, "read", None)):
            self._settings["stdin"] = stdin.read()
        self._lock, self._closed, self._idle = threading.RLock(), False, []
        _pools.add(self)
        return self

    def take(self) -> SandboxLease:
        """An instance for one use: one that is idle, the last used first, or a new one.

        Give it back by ``close``, or use it in a ``with`` block. One that is forgotten is collected, and not
        kept.

        Raises:
            ClosedError: The pool was closed; or no instance is idle, and the sandbox was closed.
            BaseException: What `Sandbox.start` raises.
        """
        while True:
            with self._lock:
                if self._closed:
                    raise ClosedError("this SandboxPool was closed")
                warm = self._idle.pop() if self._idle else None
            if warm is None:
                return SandboxLease._of(self, _Warm(self._sandbox.start(self._args, **self._settings)))
            if warm.program._store.is_valid and not warm.program.trapped:  # nobody went around us
                return SandboxLease._of(self, warm)

    def _keep(self, warm: _Warm) -> bool:
        """Make an instance idle, if there is room for it."""
        if self._max_uses is not None and warm.uses >= self._max_uses:
            return False
        with self._lock:
            if self._closed or len(self._idle) >= self._max_idle:
                return False
            self._idle.append(warm)
        if not self.is_valid:  # meanwhile, on this very thread
            self.close()
        return True

    @property
    def sandbox(self) -> Sandbox:
        """What it starts instances of."""
        return self._sandbox

    @property
    def idle(self) -> int:
        """How many instances wait for the next user."""
        return len(self._idle)

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return not self._closed

    def close(self) -> None:
        """Close the instances that are idle now, and the others when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for warm in idle:
            warm.program._store._core.close_later()
        for warm in idle:  # what a writer of output raises comes after all are closed
            warm.program._store.close()

    def __repr__(self) -> str:
        return f"<SandboxPool of {self._sandbox!r}, {self.idle} idle{' closed' if self._closed else ''}>"


_pools: weakref.WeakSet[SandboxPool] = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child, begin anew: another thread may have had the lock."""
    for pool in list(_pools):
        pool._lock, pool._idle = threading.RLock(), []


os.register_at_fork(after_in_child=_after_fork)
