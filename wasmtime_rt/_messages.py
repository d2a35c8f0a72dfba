"""Errors about misuse on the hot paths: each function raises."""

from __future__ import annotations

import operator
from typing import Any, NoReturn

from .errors import MemoryViewError
from .values import shown


def wrong_count(name: str, expected: int, given: int) -> NoReturn:
    """A call has a wrong number of arguments."""
    raise TypeError(f"{name}: expected {expected} argument{'' if expected == 1 else 's'}, got {given}")


def no_keywords(name: str) -> NoReturn:
    """A call has keyword arguments."""
    raise TypeError(f"{name}: takes no keyword arguments but timeout")


def bad_results(name: str, returned: object, expected: int) -> NoReturn:
    """A host function returned a wrong number of results."""
    if expected == 0:
        raise TypeError(f"{name}: expected None, since it has no results, got {shown(returned)}")
    if not isinstance(returned, (tuple, list)):
        raise TypeError(f"{name}: expected a tuple of {expected} results, got {shown(returned)}")
    raise TypeError(f"{name}: expected {expected} results, got {len(returned)}")


def out_of_range(size: int, offset: int, length: int) -> NoReturn:
    """An access to a memory of ``size`` bytes is not inside it."""
    offset, length = operator.index(offset), operator.index(length)
    if offset < 0 or length < 0:
        raise IndexError(f"expected offset and length of 0 or more inside memory, got {offset} and {length}")
    raise IndexError(f"bytes {offset} to {offset + length} are outside of this memory of {size} bytes")


def not_pinned(memory: Any) -> NoReturn:
    """A view is asked for of a memory that may move."""
    raise MemoryViewError(
        f"{memory.type} may move when it grows, so it has no views: use read() and write(), or give it a "
        "maximum that fits the memory_reservation of the engine's WasmConfig, or is its minimum"
    )
