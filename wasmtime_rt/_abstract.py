"""The abstract hierarchy: what kinds of things there are, for ``isinstance`` and for dispatch.

::

    WasmtimeObject
    ├── WasmtimeResource        held by the engine, closed when done
    │   ├── AbstractEngine  AbstractStore  AbstractModule  AbstractInstance  AbstractInstancePre
    │   └── AbstractFunc  AbstractMemory  AbstractGlobal  AbstractTable
    ├── WasmtimeValue           a value with its type
    ├── WasmtimeType            the type of something
    └── AbstractConfig          settings for an engine

Plain Python: nothing here knows C, and nothing here imports from the package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class WasmtimeObject(ABC):
    """Anything of this package that stands for something in WebAssembly."""

    __slots__ = ()


class WasmtimeResource(WasmtimeObject):
    """Something that the engine holds memory for: valid until closed, usable in a ``with`` block."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_valid(self) -> bool:
        """Whether it can still be used: neither it nor what it lives in was closed."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it now instead of when it is garbage-collected. Closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} lives in its process: it cannot be copied or pickled")


def begin(resource: WasmtimeResource, first: str) -> None:
    """Refuse a second ``__init__``: what was made from the resource would not know of its new content.

    Args:
        resource: The resource that is being initialised.
        first: A slot that its ``__init__`` fills; it is None meanwhile.

    Raises:
        TypeError: The slot is filled.
    """
    if hasattr(resource, first):
        raise TypeError(f"this {type(resource).__name__} was initialised already")
    setattr(resource, first, None)


class AbstractEngine(WasmtimeResource):
    """A compiler with its settings, shared between threads and stores."""

    __slots__ = ()


class AbstractStore(WasmtimeResource):
    """The owner of everything mutable: instances, memories, globals, tables, functions."""

    __slots__ = ()


class AbstractModule(WasmtimeResource):
    """Compiled code, shared between threads and stores."""

    __slots__ = ()


class AbstractInstance(WasmtimeResource):
    """A module brought to life in a store."""

    __slots__ = ()


class AbstractInstancePre(WasmtimeResource):
    """A module whose imports were found and checked in advance."""

    __slots__ = ()


class AbstractFunc(WasmtimeResource):
    """A function in a store, written in WebAssembly or in Python."""

    __slots__ = ()


class AbstractMemory(WasmtimeResource):
    """A linear memory in a store."""

    __slots__ = ()


class AbstractGlobal(WasmtimeResource):
    """A global variable in a store."""

    __slots__ = ()


class AbstractTable(WasmtimeResource):
    """A table of references in a store."""

    __slots__ = ()


class WasmtimeValue(WasmtimeObject):
    """A value together with its WebAssembly type."""

    __slots__ = ()


class WasmtimeType(WasmtimeObject):
    """The type of a value, a function, or anything else that modules import and export."""

    __slots__ = ()


class AbstractConfig(WasmtimeObject):
    """Settings for an engine."""

    __slots__ = ()
