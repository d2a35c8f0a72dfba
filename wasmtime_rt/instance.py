"""Instances: a module brought to life in a store, and what it exports."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import EllipsisType
from typing import Any, TypeAlias, TypeVar, cast, overload

from . import _linking
from ._abstract import AbstractInstance
from ._deadline import limited
from ._exact import utf8
from ._fast import instantiate as make_instance
from ._fast import look_at_signals
from ._importing import Importing
from ._lowlevel import ffi, lib
from ._text import first_of, listed, shown_name
from .errors import ClosedError, LinkError, WasmtimeError
from .externs import StoreItem
from .func import WasmFunc
from .globals import WasmGlobal
from .memory import WasmMemory
from .module import WasmModule, check_module
from .refs import WasmRef  # noqa: F401  results may be structs and arrays
from .shared_memory import WasmSharedMemory
from .store import WasmStore, check_store_argument
from .table import WasmTable
from .tag import WasmTag
from .types import WasmExternType

WasmExtern: TypeAlias = WasmFunc | WasmMemory | WasmSharedMemory | WasmGlobal | WasmTable | WasmTag
"""Anything that modules import and export; each has a ``.type``."""

_CLASSES: dict[int, Any] = {
    kind._KIND: kind for kind in (WasmFunc, WasmMemory, WasmGlobal, WasmTable, WasmTag)
}

E = TypeVar("E", WasmFunc, WasmMemory, WasmGlobal, WasmTable, WasmTag)


def wrap_extern(store: WasmStore, item: Any, extern_type: WasmExternType, name: str) -> WasmExtern:
    """The Python object for the ``wasmtime_extern_t *`` ``item``, which is copied and freed."""
    if item.kind == WasmSharedMemory._KIND:
        return WasmSharedMemory._wrap(store._engine, item.of.sharedmemory)
    kind = _CLASSES[item.kind]
    handle = ffi.new(f"wasmtime_{kind._FIELD}_t *", getattr(item.of, kind._FIELD))
    wrapped: WasmExtern = kind._wrap(store, handle, extern_type, *((name,) if kind is WasmFunc else ()))
    return wrapped


class WasmExports(Mapping[str, WasmExtern]):
    """An instance's exports: a mapping in export order that also answers attributes.

    ``exports["add"]`` is exact; ``exports.add`` is shorter, where no method of mappings has that name.
    The same export is always the same Python object.
    """

    # What was asked for as an attribute is kept as one: looking it up again costs next to nothing.
    __slots__ = ("__cache", "__dict__", "__find", "__types")

    def __init__(
        self, types: dict[str, WasmExternType], find: Callable[[str, WasmExternType], WasmExtern]
    ) -> None:
        if hasattr(self, "_WasmExports__types"):
            raise TypeError("this WasmExports was initialised already")
        self.__types, self.__find = types, find
        self.__cache: dict[str, WasmExtern] = {}

    def __getitem__(self, name: str) -> WasmExtern:
        try:
            return self.__cache[name]
        except KeyError:
            pass
        if name not in self.__types:
            raise KeyError(
                f"no export {shown_name(repr(name))}; the module exports {listed(self.__types) or 'nothing'}"
            )
        found = self.__find(name, self.__types[name])
        return self.__cache.setdefault(name, found)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_WasmExports__"):  # one of ours, not set yet: looking it up would not end
            raise AttributeError(name)
        try:
            found = self.__dict__[name] = self[name]
        except KeyError as missing:
            raise AttributeError(str(missing.args[0])) from None
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_WasmExports__"):
            object.__setattr__(self, name, value)
            return
        raise AttributeError(f"exports cannot be set: {shown_name(name)}; of a global, set its value")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"exports cannot be deleted: {shown_name(name)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.__types)

    def __len__(self) -> int:
        return len(self.__types)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *filter(str.isidentifier, self.__types)})

    def __repr__(self) -> str:
        items = (f"{shown_name(name)}: {shown_name(str(type_))}" for name, type_ in self.__types.items())
        return f"<WasmExports {first_of(items, len(self.__types))}>"

    def _repr_html_(self) -> str:
        with Importing():
            from ._html import table  # noqa: PLC0415  for notebooks only

        return table(f"{len(self.__types)} exports", ("name", "type"), self.__types.items())


class ByName:
    """What has exports by name: looking one up, and checking its kind."""

    __slots__ = ()

    def _find(self, name: str) -> WasmExtern:
        raise NotImplementedError

    @overload
    def get_export(self, name: str) -> WasmExtern: ...
    @overload
    def get_export(self, name: str, kind: type[E]) -> E: ...
    def get_export(self, name: str, kind: Any = None) -> Any:
        """The export called ``name``, checked to be of ``kind`` if that is given.

        Raises:
            KeyError: There is none.
            TypeError: It is of another kind.
        """
        found = self._find(name)
        if kind is not None and not isinstance(found, kind):
            raise TypeError(f"export {shown_name(repr(name))}: expected a {kind.__name__}, got {found!r}")
        return found

    def get_func(self, name: str) -> WasmFunc:
        """The function exported as ``name``; `KeyError` or `TypeError` if it is none."""
        return self.get_export(name, WasmFunc)

    def get_memory(self, name: str = "memory") -> WasmMemory:
        """The memory exported as ``name``; `KeyError` or `TypeError` if it is none."""
        return self.get_export(name, WasmMemory)

    def get_global(self, name: str) -> WasmGlobal:
        """The global exported as ``name``; `KeyError` or `TypeError` if it is none."""
        return self.get_export(name, WasmGlobal)

    def get_table(self, name: str) -> WasmTable:
        """The table exported as ``name``; `KeyError` or `TypeError` if it is none."""
        return self.get_export(name, WasmTable)


class WasmInstance(ByName, AbstractInstance):
    """A module brought to life in a store.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine()
    >>> module = w.WasmModule(engine, '''(module
    ...     (import "env" "log" (func $log (param i32)))
    ...     (func (export "run") (param i32) (call $log (local.get 0))))''')
    >>> instance = w.WasmInstance(w.WasmStore(engine), module, {"env": {"log": print}})
    >>> instance.exports.run(42)
    42

    Args:
        store: The store to make it in.
        module: The module.
        imports: What it asks for: a mapping of mappings, ``{"env": {"log": print}}``, whose inner
            mappings may be the exports of another instance, or a flat sequence in the module's order.
            A Python callable serves as a function, a plain value as an immutable global.
        timeout: Seconds that the start function may take, in place of the store's own limit; ``None`` lifts
            that. See `WasmStore.deadline`.

    Raises:
        LinkError: Imports are missing or of the wrong type; the text lists all of them.
        WasmTrap: The start function, or the placing of data, trapped.
        WasmtimeError: The store's limits refuse it.
        WrongEngineError: The module and the store are of two engines.
        WrongStoreError: An import lives in another store.
        WasmTimeout: The start function took longer than ``timeout``.
        BaseException: Whatever a host function raised in the start function.

    C API: ``wasmtime_instance_new``.
    """

    _store: Any = None  # a WasmStore, once it is initialised
    _exports: WasmExports | None = None
    _import_types: list[Any]
    _handle: bytes | None = None
    _born = 0  # how many calls into the store had been abandoned by then

    def __init__(
        self,
        store: WasmStore,
        module: WasmModule,
        imports: _linking.Imports = None,
        *,
        timeout: float | EllipsisType | None = ...,
    ) -> None:
        if self._store is not None:
            raise TypeError("this WasmInstance was initialised already")
        check_store_argument(store)
        if timeout is not ...:
            with limited(store, timeout):
                WasmInstance.__init__(self, store, module, imports)
            return
        self._store = store
        check_module(module)
        self._start(store, module, *_linking.resolve(store, module, _linking.lookup(module, imports)))

    @classmethod
    def _made(
        cls, store: WasmStore, module: WasmModule, imports: Any, import_types: list[Any], kept: list[Any]
    ) -> WasmInstance:
        self = cls.__new__(cls)
        self._start(store, module, imports, import_types, kept)
        return self

    def _start(
        self,
        store: WasmStore,
        module: WasmModule,
        imports: bytearray,
        import_types: list[Any],
        _kept: list[Any],
    ) -> None:
        if born := store._core.abandoned:  # before: its start function runs
            self._born = born
        try:
            handle = make_instance(store, module._handle, imports)
        except WasmtimeError as problem:
            if type(problem) is WasmtimeError and "incompatible import type" in str(problem):
                raise LinkError(str(problem)) from None
            raise
        self._store, self._module, self._handle, self._import_types = store, module, handle, import_types
        if module._shape.exported_tables:
            store._with_tables.append((handle, module._shape, import_types))

    @property
    def store(self) -> WasmStore:
        """The store that it lives in."""
        return cast("WasmStore", self._store)

    @property
    def module(self) -> WasmModule:
        """The module that it was made of."""
        return self._module

    @property
    def exports(self) -> WasmExports:
        """What it exports, as a mapping in export order that also answers attributes.

        C API: ``wasmtime_instance_export_get``.
        """
        exports = self._exports
        if exports is None:
            types = {export.name: export.type for export in self._module._exports}
            for name, position in self._module._shape.passed_on.items():
                types[name] = self._import_types[position]  # not what was asked for: what it is
            handle, live = ffi.new("wasmtime_instance_t *"), self._live
            ffi.memmove(handle, live, len(live))
            find = functools.partial(_find_export, self, self._store, handle)
            exports = self._exports = WasmExports(types, find)
        return exports

    # ---- By name

    def _find(self, name: str) -> WasmExtern:
        return self.exports[name]

    # ---- For a while

    def _lend(self) -> WasmInstance:
        """Another object for the same instance, whose exports are objects of its own: see `_take_back`."""
        lent = type(self).__new__(type(self))
        lent._store, lent._module, lent._handle = self._store, self._module, self._live
        lent._import_types, lent._born = self._import_types, self._born
        return lent

    def _take_back(self) -> None:
        """Close this object and all exports that were taken out of it."""
        self.close()
        exports = self._exports
        if exports is not None:
            for item in list(exports._WasmExports__cache.values()):  # what was looked up
                if isinstance(item, StoreItem):
                    item.close()
            self._exports = None  # which know this object: nothing is left for the collector

    def call(self, name: str, *args: Any, timeout: float | EllipsisType | None = ...) -> Any:
        """Call the function exported as ``name``, as a `WasmFunc` is called."""
        func = self.get_func(name)
        return func(*args) if timeout is ... else func(*args, timeout=timeout)

    # ---- Lifetime

    @property
    def _live(self) -> bytes:
        handle = self._handle
        if handle is None:
            raise ClosedError("this WasmInstance was closed")
        return handle

    @property
    def is_valid(self) -> bool:
        """Whether neither it nor its store was closed."""
        return self._handle is not None and self._store.is_valid

    @property
    def trapped(self) -> bool:
        """Whether WebAssembly in its store, since it was made, was left in the middle.

        A trap leaves it so, the end of a time limit or of fuel, an interruption, an exit, and an exception
        that a host function raised; in a call, and in the start function of another instance, or its data
        that did not fit. What the code was doing then is half done: its shadow stack is not unwound, locks
        stay taken, its allocator may be inside of a change. Calling on is possible, and what comes of it is
        the program's matter; a `SandboxPool` does not.

        It is told for the store as a whole, since instances call one another and the engine does not tell
        which of them were left: one that had no part in it says so too, and so does one whose host function
        caught the exception of a call that it had made itself. Not counted is a WebAssembly exception, which
        is a regular way to leave; and what goes wrong without WebAssembly, such as a host function that
        Python calls, or an instance that a limit refuses. It still tells after either was closed.
        """
        return self._store is not None and self._store._core.abandoned != self._born

    def close(self) -> None:
        """Refuse further use of this object. The store keeps the instance until the store is closed."""
        self._handle = None

    def __repr__(self) -> str:
        state = "" if self.is_valid else " closed"
        return f"<WasmInstance {len(self._module.exports)} exports{state}>"

    def _repr_html_(self) -> str:
        return self.exports._repr_html_() if self._handle is not None else f"<code>{self!r}</code>"


def _find_export(
    instance: WasmInstance, store: WasmStore, handle: Any, name: str, extern_type: WasmExternType
) -> WasmExtern:
    """The export called ``name`` of the instance that ``handle`` names, while ``instance`` is open."""
    instance._live  # noqa: B018  raises where it was closed
    look_at_signals()
    encoded, item = utf8(name), ffi.new("wasmtime_extern_t *")
    with store._core as context:
        if not lib.wasmtime_instance_export_get(context, handle, encoded, len(encoded), item):
            raise KeyError(f"no export {name!r}")  # pragma: no cover  the module says there is
        return wrap_extern(store, item, extern_type, name)


def instantiate(
    store: WasmStore,
    module: WasmModule,
    imports: _linking.Imports = None,
    *,
    timeout: float | EllipsisType | None = ...,
) -> WasmInstance:
    """Bring ``module`` to life in ``store``: the same as ``WasmInstance(store, module, imports)``."""
    return WasmInstance(store, module, imports, timeout=timeout)
