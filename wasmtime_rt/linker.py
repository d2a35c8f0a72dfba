"""Linkers: definitions by name, for many modules and many stores. WASI comes from here."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from types import EllipsisType
from typing import Any, cast

from . import _linking
from ._abstract import WasmtimeResource, begin
from ._convert import check_store
from ._deadline import limited
from ._exact import is_a
from ._failure import check
from ._lowlevel import Handle, ffi, lib
from ._preparing import CLinker, Prepared
from ._text import first_of, quoted, shown_name
from ._unknown_imports import default, has_default, trapping
from ._wasi_functions import WASI, WasiDefinition, check_wasi, wasi_definitions, wasi_linker
from .engine import WasmEngine, check_engine
from .errors import ClosedError, LinkError, WrongEngineError
from .externs import StoreItem
from .func import TypedFunc, WasmFunc
from .instance import WasmExtern, WasmInstance, wrap_extern
from .instance_pre import WasmInstancePre
from .module import WasmModule, check_module
from .shared_memory import WasmSharedMemory
from .store import WasmStore, check_store_argument
from .types import WasmFuncType, WasmImportType
from .values import shown

_NO_TYPE = WasmFuncType()

#: What compilers let commands export beside functions, as the engine has it.
_COMMANDS_MAY_EXPORT = (
    *("memory", "table", "__indirect_function_table"),
    *("__data_end", "__heap_base", "__dso_handle", "__rtti_base"),
)


class WasmLinker(WasmtimeResource):
    """Definitions by module and name. Functions of Python serve any store; most other items only their own.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine()
    >>> linker = w.WasmLinker(engine)
    >>> linker.define("env", "double", lambda x: 2 * x)
    >>> module = w.WasmModule(engine, '''(module
    ...     (import "env" "double" (func $double (param i32) (result i32)))
    ...     (func (export "f") (result i32) (call $double (i32.const 21))))''')
    >>> linker.instantiate(w.WasmStore(engine), module).exports.f()
    42

    Args:
        engine: The engine whose modules it links.
        allow_shadowing: Whether a name may be defined again, which replaces it.

    C API: ``wasmtime_linker_new``, ``wasmtime_linker_clone``, ``wasmtime_linker_allow_shadowing``,
    ``wasmtime_linker_delete``.
    """

    __slots__ = (
        "__weakref__",
        "_definitions",
        "_engine",
        "_engine_pointer",
        "_open",
        "_prepared",
        "_wasi",
        "allow_shadowing",
    )

    allow_shadowing: bool
    """Whether a name may be defined again, which replaces it."""

    def __init__(self, engine: WasmEngine, *, allow_shadowing: bool = False) -> None:
        begin(self, "_engine")
        self._engine_pointer = check_engine(engine)._pointer
        self._engine = engine
        self.allow_shadowing = allow_shadowing
        self._definitions: dict[tuple[str, str], object] = {}
        self._wasi: Handle | None = None
        self._prepared: weakref.WeakKeyDictionary[WasmModule, Prepared] = weakref.WeakKeyDictionary()
        self._open = True

    @property
    def engine(self) -> WasmEngine:
        """The engine whose modules it links."""
        return self._engine

    # ---- Definitions

    def define(self, module: str, name: str, item: Any, type: WasmFuncType | None = None) -> None:  # noqa: A002
        """Define an import.

        Args:
            module: The first of its two names.
            name: The second of its two names.
            item: A function, memory, global, table or tag, which serves modules in its own store, or a
                shared memory or any Python callable, which serve all stores.
            type: A callable's signature; by default the one that each module asks for.

        Raises:
            LinkError: The name is defined already, and shadowing is off.
            TypeError: An argument is of the wrong type.

        C API: ``wasmtime_linker_define``, ``wasmtime_linker_define_func``,
        ``wasmtime_linker_define_func_unchecked``.
        """
        self._check_open()
        _check_names(module, name)
        if type is not None and not is_a(type, WasmFuncType):
            raise TypeError(f"type: expected a WasmFuncType, got {shown(type)}")
        if isinstance(item, TypedFunc):
            item = item._func
        if not isinstance(item, (StoreItem, WasmSharedMemory)):
            if not callable(item):
                raise TypeError(
                    f"{quoted(module, name)}: expected a callable, or a function, memory, global, table or "
                    f"tag, got {shown(item)}"
                )
            item = _linking.HostDefinition(item, type)
        self._define_all({(module, name): item})

    def define_instance(self, name: str, instance: WasmInstance) -> None:
        """Define every export of ``instance`` under the module name ``name``.

        Raises:
            LinkError: A name is defined already, and shadowing is off; nothing was defined.
            TypeError: ``instance`` is none.

        C API: ``wasmtime_linker_define_instance`` does the same.
        """
        self._check_open()
        _check_names(name)
        if not isinstance(instance, WasmInstance):
            raise TypeError(f"instance: expected a WasmInstance, got {shown(instance)}")
        self._define_all({(name, export): item for export, item in instance.exports.items()})

    def define_module(self, store: WasmStore, name: str, module: WasmModule) -> None:
        """Define the exports of ``module`` under the module name ``name``, for modules in ``store``.

        A module that exports a function ``_start`` is a command: each of its functions is defined as one
        that makes an instance for every call, which stays until the store goes. Any other module is
        instantiated now, what it exports as ``_initialize`` is called, and its exports are defined.

        Raises:
            LinkError: A name is defined already, and shadowing is off; imports are missing or wrong; it
                exports both names, or one that is no such function; a command exports what it may not.
            WasmtimeError: It is a WASI program, and the store has no WASI.
            WasmTrap: It trapped while it was instantiated or initialized.
            WrongEngineError: Linker, store and module are not of one engine.
            WrongStoreError: An import lives in another store.

        C API: ``wasmtime_linker_module``.
        """
        self._check_open()
        _check_names(name)
        self._check_store(store)
        check_module(module)._pointer_for(self._engine)
        exports = {export.name: export.type for export in module._exports}
        command, reactor = "_start" in exports, "_initialize" in exports
        if command and reactor:
            raise LinkError('a module is a command with "_start" or a reactor with "_initialize", not both')
        if command and not isinstance(exports["_start"], WasmFuncType):
            raise LinkError(f'export "_start": expected a function, got {exports["_start"]}')
        if reactor and exports["_initialize"] != _NO_TYPE:
            raise LinkError(f'export "_initialize": expected {_NO_TYPE}, got {exports["_initialize"]}')
        if command:
            self._define_all(self._commands(store, name, module))
            return
        self._check_new((name, export) for export in exports)
        instance = self.instantiate(store, module)
        if reactor:
            instance.call("_initialize")
        self.define_instance(name, instance)

    def _commands(self, store: WasmStore, name: str, module: WasmModule) -> dict[tuple[str, str], object]:
        """The functions of a command as functions in ``store`` that make an instance for each call."""
        for export in module._exports:
            if not isinstance(export.type, WasmFuncType) and export.name not in _COMMANDS_MAY_EXPORT:
                raise LinkError(
                    f'export "{shown_name(export.name)}" of a command: expected a function, got {export.type}'
                )
        found = self._find_all(store, module)
        for item in found:
            if isinstance(item, WasiDefinition):
                check_wasi(store, item.name)
        linker = CLinker(self._engine, self._engine_pointer, module, found)
        if not linker.complete:
            raise LinkError(
                "a command cannot ask for one Python function with two types, nor for WASI under another name"
            )
        # A name that no import has: what is defined here is not to be found by the instances.
        own = (max((wanted.module for wanted in module._imports), key=len, default="") + "'").encode()
        made: dict[tuple[str, str], object] = {}
        code, extern = module._pointer_for(self._engine), ffi.new("wasmtime_extern_t *")
        with store._core as context:
            linker.hosts.keep(store)
            check(lib.wasmtime_linker_module(linker.pointer, context, own, len(own), code), LinkError)
            for export in module._exports:
                if isinstance(export.type, WasmFuncType):
                    encoded = export.name.encode()
                    lib.wasmtime_linker_get(
                        linker.pointer, context, own, len(own), encoded, len(encoded), extern
                    )
                    made[name, export.name] = wrap_extern(store, extern, export.type, export.name)
        return made

    def define_wasi(self) -> None:
        """Define the functions of WASI preview 1.

        The `WasiConfig` of a store says what its programs may see. The functions are this package's own, not
        those of the engine.

        C API: ``wasmtime_linker_define_func_unchecked``.
        """
        self._check_open()
        if self._wasi is None:
            wasi = self._wasi = wasi_linker(self._engine_pointer)
            for name, definition in wasi_definitions(wasi).items():
                self._definitions.setdefault((WASI, name), definition)
            self._changed()

    def define_unknown_imports_as_traps(self, module: WasmModule) -> None:
        """Define each function that ``module`` asks for and that is not defined, as one that traps.

        Raises:
            TypeError: ``module`` is none.
            WrongEngineError: It is of another engine.

        C API: ``wasmtime_linker_define_unknown_imports_as_traps`` does the same.
        """
        unknown = self._unknown(module)
        self._define_all(
            {
                (wanted.module, wanted.name): _linking.HostDefinition(trapping(wanted), wanted.type)
                for wanted in unknown
                if isinstance(wanted.type, WasmFuncType)
            }
        )

    def define_unknown_imports_as_default_values(self, store: WasmStore, module: WasmModule) -> None:
        """Define everything that ``module`` asks for and that is not defined, as what does least.

        Functions return zero or null; they, and shared memories, serve all stores. Globals are zero or null,
        memories are zeroed, tables are full of null; these are made in ``store`` and serve modules in it.

        Raises:
            LinkError: Something has no default: a reference that cannot be null. Nothing was defined.
            TypeError: An argument is of the wrong type.
            WasmtimeError: The engine or the store's limits refuse to make something.
            WrongEngineError: Linker, store and module are not of one engine.

        C API: ``wasmtime_linker_define_unknown_imports_as_default_values`` does the same.
        """
        self._check_open()
        self._check_store(store)
        unknown = self._unknown(module)
        without = [wanted for wanted in unknown if not has_default(wanted.type)]
        if without:
            told = first_of(map(str, without), len(without), "\n  ")
            raise LinkError(f"{len(without)} unknown imports have no default value:\n  {told}")
        self._define_all({(wanted.module, wanted.name): default(store, wanted.type) for wanted in unknown})

    def _unknown(self, module: WasmModule) -> list[WasmImportType]:
        """What ``module`` asks for and is not defined, each pair of names once."""
        self._check_open()
        check_module(module)._pointer_for(self._engine)
        unknown: dict[tuple[str, str], WasmImportType] = {}
        for wanted in module._imports:
            if (wanted.module, wanted.name) not in self._definitions:
                unknown.setdefault((wanted.module, wanted.name), wanted)
        return list(unknown.values())

    def alias(self, module: str, name: str, as_module: str, as_name: str) -> None:
        """Define what is defined as ``module`` and ``name`` under two other names too.

        Raises:
            KeyError: It is not defined.
            LinkError: The other name is defined already, and shadowing is off.
            TypeError: A name is no ``str``.
        """
        self._check_open()
        _check_names(module, name, as_module, as_name)
        self._define_all({(as_module, as_name): self._definition(module, name)})

    def alias_module(self, module: str, as_module: str) -> None:
        """Define everything that is defined under the module name ``module`` under ``as_module`` too.

        Raises:
            KeyError: There is nothing.
            LinkError: A name is defined already, and shadowing is off; nothing was defined.
            TypeError: A name is no ``str``.
        """
        self._check_open()
        _check_names(module, as_module)
        known = list(self._definitions.items())  # at once: other threads may define more, or close it
        items = {(as_module, key[1]): item for key, item in known if key[0] == module}
        if not items:
            self._check_open()
            raise KeyError(f'nothing is defined under "{shown_name(module)}"')
        self._define_all(items)

    def _define_all(self, items: Mapping[tuple[str, str], object]) -> None:
        self._check_new(items)
        self._definitions.update(items)
        self._changed()

    def _check_new(self, names: Iterable[tuple[str, str]]) -> None:
        """Refuse ``names`` where one is defined and shadowing is off."""
        if not self.allow_shadowing:
            for module, name in names:
                if (module, name) in self._definitions:
                    raise LinkError(f"{quoted(module, name)} is defined already, and allow_shadowing is off")

    def _changed(self) -> None:
        # A new table, not an empty one: another thread may be about to write what it found before.
        self._prepared = weakref.WeakKeyDictionary()

    # ---- Looking up

    def get(self, store: WasmStore, module: str, name: str) -> WasmExtern:
        """The definition of ``module`` and ``name``, as something in ``store``.

        Raises:
            KeyError: There is none.
            TypeError: It is a callable defined without a type, whose annotations do not say one.
            WrongStoreError: It lives in another store.
            WrongEngineError: The store is of another engine.
            WasmtimeError: It is part of WASI, and the store has none.

        C API: ``wasmtime_linker_get``.
        """
        self._check_open()
        self._check_store(store)
        item = self._definition(module, name)
        if isinstance(item, _linking.HostDefinition):
            return WasmFunc(store, item.function, item.type)
        if isinstance(item, WasiDefinition):
            return WasmFunc._wrap(store, item.func_in(store), item.type, name)
        if isinstance(item, StoreItem):
            check_store(store, item, quoted(module, name))
        return cast("WasmExtern", item)

    def get_default(self, store: WasmStore, module: str) -> WasmFunc:
        """The function to run for the module name ``module``, as something in ``store``.

        It is the one defined as ``""``, or else as ``"_start"``, or else a new one that does nothing.

        Raises:
            LinkError: What is defined so is no function.
            TypeError: A callable was defined without a type, and its annotations do not say one.
            WrongStoreError: It lives in another store.
            WrongEngineError: The store is of another engine.
            WasmtimeError: It is part of WASI, and the store has none.

        C API: ``wasmtime_linker_get_default`` does the same.
        """
        self._check_open()
        self._check_store(store)
        _check_names(module)
        for name in ("", "_start"):
            if (module, name) in self._definitions:
                found = self.get(store, module, name)
                if not isinstance(found, WasmFunc):
                    raise LinkError(
                        f'the default of "{shown_name(module)}" is no function: "{name}" is {found!r}'
                    )
                return found
        return WasmFunc(store, _nothing, _NO_TYPE)

    def _definition(self, module: str, name: str) -> object:
        try:
            return self._definitions[module, name]
        except KeyError:
            self._check_open()  # names are compared by methods of theirs, where they are no plain text
            raise KeyError(f"{quoted(module, name)} is not defined") from None

    # ---- Instances

    def instantiate(
        self, store: WasmStore, module: WasmModule, *, timeout: float | EllipsisType | None = ...
    ) -> WasmInstance:
        """Bring ``module`` to life in ``store``, with what it asks for.

        Args:
            store: The store to make the instance in.
            module: The module.
            timeout: Seconds that the start function may take, in place of the store's own limit; ``None``
                lifts that. See `WasmStore.deadline`.

        Raises:
            LinkError: Imports are missing or of the wrong type; the text lists all of them.
            WasmtimeError: It is a WASI program, and the store has no WASI.
            WasmTrap: The start function, or the placing of data, trapped.
            WrongEngineError: Linker, store and module are not of one engine.
            WrongStoreError: An import lives in another store.
            BaseException: Whatever a host function raised in the start function.

        C API: ``wasmtime_linker_instantiate`` does the same, by ``wasmtime_linker_instantiate_pre`` and
        ``wasmtime_instance_pre_instantiate``, or where an import lives in a store ``wasmtime_instance_new``.
        """
        self._check_open()
        check_store_argument(store)
        if timeout is not ...:
            with limited(store, timeout):
                return self.instantiate(store, module)
        check_module(module)._pointer_for(self._engine)
        prepared = self._prepared.get(module)
        if prepared is None or prepared.shape is not module._shape:  # a derived class may be equal to all
            module._pointer_for(store._engine)
            remembered, found = self._prepared, self._find_all(store, module)
            if any(isinstance(item, StoreItem) for item in found):
                return WasmInstance._made(store, module, *_linking.write_all(store, module, found))
            prepared = Prepared(self._engine, self._engine_pointer, module, found)
            remembered[module] = prepared
        return prepared.instantiate(store, module)

    def prepare(self, module: WasmModule) -> WasmInstancePre:
        """Find and check what ``module`` asks for, once for many instances.

        Where an import lives in a store, what is prepared serves that store only.

        Raises:
            LinkError: Imports are missing or of the wrong type; the text lists all of them.
            StoreClosedError: The store of an import was closed.
            TypeError: ``module`` is none.
            WrongEngineError: It, or an import, is of another engine.
            WrongStoreError: Imports live in several stores.

        C API: ``wasmtime_linker_instantiate_pre``, ``wasmtime_instance_pre_delete``.
        """
        self._check_open()
        check_module(module)._pointer_for(self._engine)
        found = self._find_all(None, module)
        return WasmInstancePre._wrap(module, Prepared(self._engine, self._engine_pointer, module, found))

    def _find_all(self, store: WasmStore | None, module: WasmModule) -> list[Any]:
        definitions = self._definitions

        def find(_position: int, wanted: WasmImportType) -> object:
            return definitions.get((wanted.module, wanted.name), _linking.MISSING)

        return _linking.find_all(store, module, find)

    # ---- Lifetime

    def _check_open(self) -> None:
        if not self._open:
            raise ClosedError("this WasmLinker was closed")

    def _check_store(self, store: WasmStore) -> None:
        if check_store_argument(store)._engine is not self._engine:
            raise WrongEngineError("the store and the linker are of two engines")

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return self._open

    def close(self) -> None:
        """Let go of all definitions. Instances, and what was prepared, keep what they need."""
        self._open = False
        self._definitions.clear()
        self._changed()
        self._wasi = None

    def __repr__(self) -> str:
        wasi = " and WASI" if self._wasi is not None else ""
        return f"<WasmLinker {len(self._definitions)} definitions{wasi}{'' if self._open else ' closed'}>"


def _check_names(*names: object) -> None:
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"name: expected str, got {shown(name)}")


def _nothing() -> None:
    """What a module without a default function does."""
