"""Who calls a host function: the exports of the instance, its memory above all, and the data of its store."""

from __future__ import annotations

from typing import Any

from ._binary import TableLimits
from ._exact import utf8
from ._fast import Caller
from ._lowlevel import ffi, lib
from ._reflect import extern_type
from .annotations import CallerBase, with_caller
from .errors import ClosedError, WasmtimeError
from .externs import same_words
from .instance import ByName, WasmExtern, wrap_extern
from .memory import WasmMemory
from .store import WasmStore
from .table import WasmTable
from .types import WasmExternType

__all__ = ["WasmCaller", "with_caller"]


class WasmCaller(Caller, ByName, CallerBase):
    """Who calls a host function: the instance, by its exports, and its store.

    A host function gets one where its first parameter is annotated `WasmCaller`, or where `with_caller` wraps
    it. That parameter is no part of its WebAssembly type, and costs nothing where it is not asked for.

    It expires when the host function returns: any later use raises `ClosedError`. What was got through it
    stays valid as long as its store. Exports are found by name; the engine's C API cannot list them.

    >>> import wasmtime_rt as w
    >>> def say(caller: w.WasmCaller, at: w.I32, length: w.I32) -> None:
    ...     print(caller.get_memory().read_utf8(at, length))
    >>> engine = w.WasmEngine()
    >>> module = w.WasmModule(engine, '''(module
    ...     (import "env" "say" (func $say (param i32 i32)))
    ...     (memory (export "memory") 1) (data (i32.const 8) "hello")
    ...     (func (export "run") (call $say (i32.const 8) (i32.const 5))))''')
    >>> w.WasmInstance(w.WasmStore(engine), module, {"env": {"say": say}}).exports.run()
    hello

    C API: ``wasmtime_caller_export_get``, ``wasmtime_extern_type``.
    """

    __slots__ = ("__weakref__",)

    def __init_subclass__(cls) -> None:
        raise TypeError("no class can be derived from WasmCaller")

    @property
    def is_valid(self) -> bool:
        """Whether the host function that it was given to is still running."""
        return self._address != 0

    @property
    def store(self) -> WasmStore:
        """The store that the host function runs in.

        Raises:
            ClosedError: The host function has returned.
        """
        store = self._store
        if store is None:
            raise _expired()
        return store

    @property
    def data(self) -> Any:
        """What the program keeps with the store: ``store.data``.

        Raises:
            ClosedError: The host function has returned.
        """
        return self.store.data

    def _find(self, name: str) -> WasmExtern:
        """The export called ``name`` of the instance that calls.

        C API: ``wasmtime_caller_export_get``.
        """
        if not isinstance(name, str):
            raise TypeError(f"name: expected str, got {name!r}")
        store, encoded = self.store, utf8(name, "surrogatepass")
        item = ffi.new("wasmtime_extern_t *")
        with store._core as context:
            address = self._address  # inside the guard: nobody returns from a host function meanwhile
            if not address:
                raise _expired()
            caller = ffi.cast("wasmtime_caller_t *", address)
            if not lib.wasmtime_caller_export_get(caller, encoded, len(encoded), item):
                raise KeyError(
                    f"no export {name!r} in the instance that calls; where Python itself calls a host "
                    "function, there is no instance"
                )
            return wrap_extern(store, item, _type_of(store, context, name, item), name)

    def __repr__(self) -> str:
        return f"<WasmCaller in {self._store!r}>" if self.is_valid else "<WasmCaller expired>"


def _expired() -> ClosedError:
    return ClosedError("this WasmCaller has expired: it is valid only while the host function runs")


def _type_of(store: WasmStore, context: Any, name: str, item: Any) -> WasmExternType:
    """The type of the ``wasmtime_extern_t *`` ``item``, exported as ``name``."""
    engine = store._core.engine
    if item.kind == WasmMemory._KIND:  # what is asked for again and again
        memory = same_words(item.of.memory, *WasmMemory._WORDS)
        known = store._memory_types.get(memory)
        if known is None:
            known = store._memory_types[memory] = extern_type(context, item, engine)
        return known
    if item.kind == WasmTable._KIND:
        return extern_type(context, item, engine, _table_limits(store, context, name, item))
    return extern_type(context, item, engine)


def _table_limits(store: WasmStore, context: Any, name: str, item: Any) -> TableLimits:
    """The limits of a table, which the C API cannot tell: those of an instance that exports this very table.

    Raises:
        WasmtimeError: No instance that Python has got so far exports it under this name.
    """
    wanted = same_words(item.of.table, *WasmTable._WORDS)
    encoded, handle, other = utf8(name), ffi.new("wasmtime_instance_t *"), ffi.new("wasmtime_extern_t *")
    for instance, shape, import_types in reversed(store._with_tables):
        limits: TableLimits | None = shape.exported_tables.get(name)
        if limits is None:
            continue
        ffi.memmove(handle, instance, len(instance))
        lib.wasmtime_instance_export_get(context, handle, encoded, len(encoded), other)
        if same_words(other.of.table, *WasmTable._WORDS) == wanted:
            if name not in shape.passed_on:
                return limits
            actual = import_types[shape.passed_on[name]]
            return TableLimits(actual.min, actual.max, actual.is64)
    raise WasmtimeError(
        f"the type of table {name!r} is not known: its instance has not started yet, or a linker made it for "
        "one call of a command; the engine's C API cannot tell the type"
    )
