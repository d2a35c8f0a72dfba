"""Linkers: definitions by name, for many modules and many stores. WASI comes from here."""

from __future__ import annotations

import weakref
from typing import Any, cast

from . import _linking
from ._abstract import WasmtimeResource, begin
from ._convert import check_store
from ._failure import check
from ._hot import instantiate_plan
from ._lowlevel import Handle, ffi, lib
from .engine import WasmEngine, check_engine
from .errors import ClosedError, LinkError, WasmExit, WasmtimeError, WrongEngineError
from .externs import EXTERN_OF, StoreItem
from .func import TypedFunc, WasmFunc
from .instance import WasmExtern, WasmInstance
from .module import WasmModule, check_module
from .shared_memory import WasmSharedMemory
from .store import WasmStore, check_store_argument
from .types import WasmFuncType, WasmImportType, WasmValType
from .values import shown

_WASI = "wasi_snapshot_preview1"


def _proc_exit(code: int) -> None:
    # The engine's own loses codes from 126 on.
    raise WasmExit(code & 0xFFFFFFFF)


#: The functions of WASI preview 1: the widths of their parameters; all but `proc_exit` return an i32.
_WASI_TYPES = {
    name: WasmFuncType(
        [{"i": "i32", "I": "i64"}[width] for width in widths], ["i32"] if name != "proc_exit" else []
    )
    for name, widths in {
        "args_get": "ii",
        "args_sizes_get": "ii",
        "clock_res_get": "ii",
        "clock_time_get": "iIi",
        "environ_get": "ii",
        "environ_sizes_get": "ii",
        "fd_advise": "iIIi",
        "fd_allocate": "iII",
        "fd_close": "i",
        "fd_datasync": "i",
        "fd_fdstat_get": "ii",
        "fd_fdstat_set_flags": "ii",
        "fd_fdstat_set_rights": "iII",
        "fd_filestat_get": "ii",
        "fd_filestat_set_size": "iI",
        "fd_filestat_set_times": "iIIi",
        "fd_pread": "iiiIi",
        "fd_prestat_dir_name": "iii",
        "fd_prestat_get": "ii",
        "fd_pwrite": "iiiIi",
        "fd_read": "iiii",
        "fd_readdir": "iiiIi",
        "fd_renumber": "ii",
        "fd_seek": "iIii",
        "fd_sync": "i",
        "fd_tell": "ii",
        "fd_write": "iiii",
        "path_create_directory": "iii",
        "path_filestat_get": "iiiii",
        "path_filestat_set_times": "iiiiIIi",
        "path_link": "iiiiiii",
        "path_open": "iiiiiIIii",
        "path_readlink": "iiiiii",
        "path_remove_directory": "iii",
        "path_rename": "iiiiii",
        "path_symlink": "iiiii",
        "path_unlink_file": "iii",
        "poll_oneoff": "iiii",
        "proc_exit": "i",
        "proc_raise": "i",
        "random_get": "ii",
        "sched_yield": "",
        "sock_accept": "iii",
        "sock_recv": "iiiiii",
        "sock_send": "iiiii",
        "sock_shutdown": "ii",
    }.items()
}


class _WasiDefinition(_linking.Definition):
    """A function of WASI, which the engine provides to stores that have a `WasiConfig`."""

    __slots__ = ("_name", "_wasi")

    type: WasmFuncType

    def __init__(self, wasi: Handle, name: str, func_type: WasmFuncType) -> None:
        self._wasi, self._name, self.type = wasi, name, func_type

    def make(self, store: WasmStore, _func_type: WasmFuncType, out: bytearray, at: int) -> None:
        """Make the function in ``store``."""
        handle = ffi.buffer(self.func_in(store))
        out[at + EXTERN_OF : at + EXTERN_OF + len(handle)] = handle[:]
        out[at] = WasmFunc._KIND

    def func_in(self, store: WasmStore) -> Any:
        """The function in ``store``, as a ``wasmtime_func_t *``."""
        if store._wasi is None:
            raise WasmtimeError(
                f'"{_WASI}" "{self._name}" is part of WASI, which this store has not: '
                "WasmStore(engine, wasi=WasiConfig(...))"
            )
        names, found = (_WASI.encode(), self._name.encode()), ffi.new("wasmtime_extern_t *")
        with store._core as context:
            linker = self._wasi.get()
            if not lib.wasmtime_linker_get(
                linker, context, names[0], len(names[0]), names[1], len(names[1]), found
            ):
                raise WasmtimeError(f'the engine has no "{_WASI}" "{self._name}"')  # pragma: no cover
        return ffi.new("wasmtime_func_t *", found.of.func)


class WasmLinker(WasmtimeResource):
    """Definitions by module and name. Python functions serve any store; other items only their own.

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

    C API: ``wasmtime_linker_new``.
    """

    __slots__ = ("__weakref__", "_definitions", "_engine", "_open", "_plans", "_wasi", "allow_shadowing")

    allow_shadowing: bool
    """Whether a name may be defined again, which replaces it."""

    def __init__(self, engine: WasmEngine, *, allow_shadowing: bool = False) -> None:
        begin(self, "_engine")
        self._engine = check_engine(engine)
        self.allow_shadowing = allow_shadowing
        self._definitions: dict[tuple[str, str], object] = {}
        self._wasi: Handle | None = None
        self._plans: weakref.WeakKeyDictionary[WasmModule, Any] = weakref.WeakKeyDictionary()
        self._open = True

    @property
    def engine(self) -> WasmEngine:
        """The engine whose modules it links."""
        return self._engine

    def define(self, module: str, name: str, item: Any, type: WasmFuncType | None = None) -> None:  # noqa: A002
        """Define an import.

        Args:
            module: The first of its two names.
            name: The second of its two names.
            item: A function, memory, global, table or tag, or any Python callable.
            type: A callable's signature; by default the one that each module asks for.

        Raises:
            LinkError: The name is defined already, and shadowing is off.
            TypeError: An argument is of the wrong type.
        """
        self._check_open()
        for given in (module, name):
            if not isinstance(given, str):
                raise TypeError(f"name: expected str, got {shown(given)}")
        if type is not None and not isinstance(type, WasmFuncType):
            raise TypeError(f"type: expected a WasmFuncType, got {shown(type)}")
        if isinstance(item, TypedFunc):
            item = item.func
        if not isinstance(item, (StoreItem, WasmSharedMemory)):
            item = _linking.HostDefinition(item, type)
        if not self.allow_shadowing and ((module, name) in self._definitions):
            raise LinkError(f'"{module}" "{name}" is defined already, and allow_shadowing is off')
        self._definitions[module, name] = item
        self._plans.clear()

    def define_instance(self, name: str, instance: WasmInstance) -> None:
        """Define every export of ``instance`` under the module name ``name``.

        Raises:
            LinkError: A name is defined already, and shadowing is off.
            TypeError: ``instance`` is none.
        """
        if not isinstance(instance, WasmInstance):
            raise TypeError(f"instance: expected a WasmInstance, got {shown(instance)}")
        for export, item in instance.exports.items():
            self.define(name, export, item)

    def define_wasi(self) -> None:
        """Define WASI preview 1. What programs may see is said by the `WasiConfig` of their store.

        C API: ``wasmtime_linker_define_wasi``.
        """
        self._check_open()
        if self._wasi is None:
            self._plans.clear()
            wasi = Handle(lib.wasmtime_linker_new(self._engine._pointer), "wasmtime_linker_delete", "linker")
            check(lib.wasmtime_linker_define_wasi(wasi.get()))
            self._wasi = wasi
            for name, func_type in _WASI_TYPES.items():
                self._definitions.setdefault((_WASI, name), _WasiDefinition(wasi, name, func_type))
            exit_type = WasmFuncType([WasmValType.I32])
            if isinstance(self._definitions[_WASI, "proc_exit"], _WasiDefinition):
                self._definitions[_WASI, "proc_exit"] = _linking.HostDefinition(_proc_exit, exit_type)

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
        if check_store_argument(store).engine is not self._engine:
            raise WrongEngineError("the store and the linker are of two engines")
        item = self._definitions.get((module, name))
        if item is None:
            raise KeyError(f'"{module}" "{name}" is not defined')
        if isinstance(item, _linking.HostDefinition):
            return WasmFunc(store, item.function, item.type)
        if isinstance(item, _WasiDefinition):
            return WasmFunc._wrap(store, item.func_in(store), item.type, name)
        if isinstance(item, StoreItem):
            check_store(store, item, f'"{module}" "{name}"')
        return cast("WasmExtern", item)

    def instantiate(self, store: WasmStore, module: WasmModule) -> WasmInstance:
        """Bring ``module`` to life in ``store``, with what it asks for.

        Raises:
            LinkError: Imports are missing or of the wrong type; the text lists all of them.
            WasmtimeError: It is a WASI program, and the store has no WASI.
            WasmTrap: The start function, or the placing of data, trapped.
            WrongEngineError: Linker, store and module are not of one engine.
            BaseException: Whatever a host function raised in the start function.

        C API: ``wasmtime_instance_new``, ``wasmtime_linker_get``.
        """
        self._check_open()
        check_store_argument(store)
        check_module(module)
        plan = self._plans.get(module)
        if plan is not None and store._engine is self._engine:
            handle = instantiate_plan(store, module._handle, plan)
            return WasmInstance._planned(store, module, handle)
        module._pointer_for(self._engine)
        module._pointer_for(store.engine)

        definitions = self._definitions

        def find(_position: int, wanted: WasmImportType) -> object:
            return definitions.get((wanted.module, wanted.name), _linking.MISSING)

        made = WasmInstance._made(store, module, *_linking.resolve(store, module, find))
        self._plan(module)
        return made

    def _plan(self, module: WasmModule) -> None:
        """Remember how to instantiate ``module``, if it asks for nothing but Python functions."""
        found = [self._definitions.get((wanted.module, wanted.name)) for wanted in module.imports]
        plan = _linking.plan(self._engine, found, [wanted.type for wanted in module.imports])
        if plan is not None:
            self._plans[module] = plan

    def _check_open(self) -> None:
        if not self._open:
            raise ClosedError("this WasmLinker was closed")

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return self._open

    def close(self) -> None:
        """Let go of all definitions. Instances keep what they need."""
        self._open = False
        self._definitions.clear()
        self._plans.clear()
        if self._wasi is not None:
            self._wasi.close()

    def __repr__(self) -> str:
        wasi = " and WASI" if self._wasi is not None else ""
        return f"<WasmLinker {len(self._definitions)} definitions{wasi}{'' if self._open else ' closed'}>"
