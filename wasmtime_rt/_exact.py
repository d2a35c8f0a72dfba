"""What a value really is, whatever its class says of it.

Anyone may derive a class from ``str`` or ``bytes`` that says something else of its content at each asking,
and any object may say that it is of another class. What goes on to C is asked for once, here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing import TypeGuard

T = TypeVar("T")


def exact(text: str) -> str:
    """``text`` itself, or the characters of one that is of a class derived from ``str``."""
    return text if type(text) is str else str.__str__(text)


def utf8(text: str, errors: str = "strict") -> bytes:
    """``text`` as UTF-8."""
    return str.encode(text, "utf-8", errors)


def exact_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """The bytes of ``data``."""
    return data if type(data) is bytes else bytes(memoryview(data))


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """Whether ``value`` is of the class ``kind``, and of none that is derived from it."""
    return type(value) is kind
