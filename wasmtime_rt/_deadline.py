"""Time limits: how long the calls into a store may take by the clock on the wall.

A store's epochs hold two limits, which C looks at: see ``epochs.c``. One is set while a `StoreDeadline` is in
force. Of several deadlines, the one that ends first counts. The other limit is the store's own,
`StoreLimits.timeout`, for each outermost call that begins while no deadline is in force. Nothing lengthens
the limit of a call that is running.
"""

from __future__ import annotations

import contextlib
import time
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from ._guard import no_ticker
from ._lowlevel import lib
from ._messages import no_keywords
from .errors import StoreClosedError, WasmtimeError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

    from .engine import WasmEngine
    from .store import WasmStore

_NEVER = 2**64 - 1


def nanoseconds(seconds: float | None) -> int:
    """Return a limit as C takes it."""
    return _NEVER if seconds is None or seconds >= 2**62 / 1e9 else int(seconds * 1e9)


def check_epochs(engine: WasmEngine) -> None:
    """Raise `WasmtimeError` if ``engine`` has no epochs, which time limits need."""
    if not engine._has_epochs:
        raise WasmtimeError("time limits need an engine with epochs: WasmConfig(epoch_interruption=True)")


class StoreDeadline:
    """A time limit on the calls into a store while a ``with`` block runs, made by `WasmStore.deadline`."""

    __slots__ = ("_began", "_ended", "_ends", "_seconds", "_store")

    def __init__(self, store: WasmStore, seconds: float | None, what: str = "seconds") -> None:
        if hasattr(self, "_store"):  # it may be in force
            raise TypeError("this StoreDeadline was initialised already")
        if seconds is not None:
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                raise TypeError(f"{what}: expected a number of seconds or None, got {seconds!r}")
            if not seconds >= 0:  # nor is it NaN
                raise ValueError(f"{what}: expected 0 seconds or more, got {seconds!r}")
        check_epochs(store._engine)
        self._store, self._seconds = store, seconds
        self._began = self._ends = self._ended = 0

    @property
    def seconds(self) -> float | None:
        """How many seconds the block's calls have; ``None`` where it lifts the store's own limit."""
        return self._seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the block was entered, or that it took."""
        return ((self._ended or time.monotonic_ns()) - self._began) / 1e9 if self._began else 0.0

    def __reduce__(self) -> Any:
        raise TypeError("a StoreDeadline lives in its process: it cannot be copied or pickled")

    def __enter__(self) -> Self:
        if self._began:
            raise WasmtimeError("this deadline was used already: call deadline() again")
        if not self._store.is_valid:
            raise StoreClosedError(f"store {self._store._core.number} was closed")
        if self._seconds is not None and not lib.wrt_ticker_start():
            no_ticker()
        self._began = time.monotonic_ns()
        self._ends = min(self._began + nanoseconds(self._seconds), _NEVER)
        self._store._deadlines.append(self)
        try:
            _apply(self._store)
        except BaseException:  # of a signal handler
            self._store._deadlines.remove(self)
            _apply(self._store)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        self._ended = time.monotonic_ns()
        self._store._deadlines.remove(self)
        _apply(self._store)

    def __repr__(self) -> str:
        return f"<StoreDeadline {self._seconds} seconds, {self.elapsed:.3f} elapsed>"


def _apply(store: WasmStore) -> None:
    """Make the limit that ends first count, whichever other threads come and go meanwhile."""
    active = None
    while active != store._deadlines:
        active = store._deadlines.copy()
        first = min(active, key=lambda deadline: deadline._ends, default=None)
        store._core.set_time_limit(*(first._began, first._ends) if first else (0, _NEVER))


def limited(
    store: WasmStore, timeout: float | EllipsisType | None, what: str = "timeout"
) -> AbstractContextManager[object]:
    """Return a block whose calls have ``timeout`` seconds.

    ``...`` changes nothing, and ``None`` lifts the store's own limit.
    """
    if isinstance(timeout, EllipsisType) or (timeout is None and not store._engine._has_epochs):
        return contextlib.nullcontext()
    return StoreDeadline(store, timeout, what)


def call_with_keywords(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Call a function of a store, whose one keyword is ``timeout``."""
    timeout = keywords.pop("timeout", ...)
    if keywords:
        no_keywords(function._name)
    with limited(function._store, timeout):
        return function(*args)
