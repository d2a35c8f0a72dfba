"""Imports that a fork does not cut in two.

Python locks a module while a thread imports it. A child that is forked meanwhile has that lock and not that
thread: its own import of the module waits for ever. Modules of this package are imported when they are first
needed, on any thread, so a fork waits here until no other thread is importing one.

What is imported inside of a function is imported in a block ``with Importing():``, and so are the names of
the package. Forks wait for these blocks, and they for forks. Modules of the package that a program imports by
themselves are found by Python's own locks, which is right but for the moment between looking and forking.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock, get_ident
from time import monotonic, sleep

TYPE_CHECKING = False  # as in `typing`, which takes its time to import

if TYPE_CHECKING:
    from types import TracebackType

#: Longer than this nobody is waited for, in seconds.
_PATIENCE = 10.0

_lock = RLock()
_forks: dict[int, RLock | None] = {}  # by threads that are about to fork: the lock, if they have it


class Importing:
    """A block in which something is imported.

    It is a lock among threads with one purpose, so that not to get it for long is no reason not to go on.
    """

    __slots__ = ("_held", "_taken")

    def __enter__(self) -> None:
        self._taken = _lock
        self._held = self._taken.acquire(timeout=_PATIENCE)
        if not self._held:
            _give_up(self._taken)

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            self._taken.release()


def _give_up(lock: RLock) -> None:
    """Let nobody wait in vain again: who has it is slow, or was interrupted before noting that he has it."""
    global _lock  # noqa: PLW0603
    if _lock is lock:
        _lock = RLock()


def _others_import() -> bool:
    """Whether another thread is importing a module of the package, by the locks of the import system."""
    locks, here = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {}), get_ident()
    for name, reference in list(locks.items()):
        if name.partition(".")[0] == __package__ and getattr(reference(), "owner", None) not in {None, here}:
            return True
    return False


def _before_fork() -> None:
    ends = monotonic() + _PATIENCE
    while True:
        lock = _lock
        held = lock.acquire(timeout=_PATIENCE)
        _forks[get_ident()] = lock if held else None
        if not held:
            _give_up(lock)
        if not _others_import() or monotonic() > ends:
            return
        if held:  # what they import may need it
            _forks[get_ident()] = None
            lock.release()
        sleep(0.001)


def _after_fork_in_parent() -> None:
    lock = _forks.pop(get_ident(), None)
    if lock is not None:
        lock.release()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  whoever had it may not be here
    _lock = RLock()
    _forks.clear()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
