"""Prepared instances: a module whose imports were found and checked in advance."""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING

from ._abstract import AbstractInstancePre
from ._deadline import limited
from ._preparing import Prepared
from .errors import ClosedError
from .store import WasmStore, check_store_argument

if TYPE_CHECKING:
    from .engine import WasmEngine
    from .instance import WasmInstance
    from .module import WasmModule


class WasmInstancePre(AbstractInstancePre):
    """A module with everything that it asks for, ready to be instantiated many times: a linker prepares it.

    Threads share it, each with a store of its own. What was defined in the linker later does not change it.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine()
    >>> linker = w.WasmLinker(engine)
    >>> linker.define("env", "double", lambda x: 2 * x)
    >>> prepared = linker.prepare(w.WasmModule(engine, '''(module
    ...     (import "env" "double" (func $double (param i32) (result i32)))
    ...     (func (export "f") (param i32) (result i32) (call $double (local.get 0))))'''))
    >>> [prepared.instantiate(w.WasmStore(engine)).exports.f(i) for i in range(3)]
    [0, 2, 4]
    """

    __slots__ = ("__weakref__", "_module", "_prepared")

    _module: WasmModule
    _prepared: Prepared | None

    def __init__(self) -> None:
        raise TypeError("a WasmInstancePre is made by WasmLinker.prepare")

    @classmethod
    def _wrap(cls, module: WasmModule, prepared: Prepared) -> WasmInstancePre:
        self = cls.__new__(cls)
        self._module, self._prepared = module, prepared
        return self

    @property
    def module(self) -> WasmModule:
        """The module.

        C API: ``wasmtime_instance_pre_module`` gives the same.
        """
        return self._module

    @property
    def engine(self) -> WasmEngine:
        """The engine whose stores it serves."""
        return self._module.engine

    @property
    def store(self) -> WasmStore | None:
        """The only store that it serves, since an import lives there; ``None`` where it serves any."""
        prepared = self._prepared  # which another thread may close
        return None if prepared is None else prepared.store

    def instantiate(self, store: WasmStore, *, timeout: float | EllipsisType | None = ...) -> WasmInstance:
        """Bring the module to life in ``store``.

        Args:
            store: The store to make the instance in.
            timeout: Seconds that the start function may take, in place of the store's own limit; ``None``
                lifts that. See `WasmStore.deadline`.

        Raises:
            ClosedError: This object was closed.
            TypeError: ``store`` is none.
            WasmtimeError: It is a WASI program, and the store has no WASI; the store's limits refuse it.
            WasmTrap: The start function, or the placing of data, trapped.
            WasmTimeout: The start function took longer than ``timeout``.
            WrongEngineError: The store is of another engine.
            WrongStoreError: An import lives in another store.
            BaseException: Whatever a host function raised in the start function.

        C API: ``wasmtime_instance_pre_instantiate``.
        """
        if type(store) is not WasmStore:  # the fast way: it is
            check_store_argument(store)
        prepared = self._prepared
        if prepared is None:
            raise ClosedError("this WasmInstancePre was closed")
        if timeout is not ...:
            with limited(store, timeout):
                return prepared.instantiate(store, self._module)
        return prepared.instantiate(store, self._module)

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return self._prepared is not None

    def close(self) -> None:
        """Let go of what was prepared. Instances keep what they need."""
        self._prepared = None

    def __repr__(self) -> str:
        return f"<WasmInstancePre of {self._module!r}{'' if self.is_valid else ' closed'}>"
