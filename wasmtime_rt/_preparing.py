"""Preparing instances: imports are found and checked once, instances are made many times.

The engine prepares what a C linker of its own holds: one is filled for each module, with nothing but what
that module asks for, and goes again. The Python functions in it belong to no store: each store that
instantiates what was prepared keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _linking
from ._failure import check
from ._fast import Hosts, instantiate_prepared
from ._lowlevel import NULL, Handle, ffi, lib
from ._wasi_functions import WASI, WasiDefinition, check_wasi
from .annotations import name_of
from .engine import WasmEngine
from .errors import LinkError, WrongEngineError, WrongStoreError
from .externs import EXTERN_SIZE, StoreItem
from .instance import WasmInstance
from .shared_memory import WasmSharedMemory

if TYPE_CHECKING:
    from .module import WasmModule
    from .store import WasmStore

_new = object.__new__


class CLinker:
    """A C linker that holds what one module asks for.

    Attributes:
        pointer: The ``wasmtime_linker_t *``.
        hosts: The host functions that it refers to: to be kept while they may be called.
        complete: Whether everything is in it. It goes by names alone: it cannot hold a Python function that
            is asked for twice with two types, nor a function of WASI under another name.
    """

    def __init__(self, engine: WasmEngine, engine_pointer: Any, module: WasmModule, found: list[Any]) -> None:
        base = next((item.linker.get() for item in found if isinstance(item, WasiDefinition)), None)
        linker = lib.wasmtime_linker_new(engine_pointer) if base is None else lib.wasmtime_linker_clone(base)
        self.pointer = ffi.gc(linker, lib.wasmtime_linker_delete)
        self.hosts = Hosts()
        self.complete = True
        lib.wasmtime_linker_allow_shadowing(linker, True)  # what a program defines comes before WASI
        held: dict[tuple[str, str], Any] = {}
        for item, wanted in zip(found, module._imports, strict=True):
            key = (wanted.module, wanted.name)
            given = (item, _type_of(item) or wanted.type)
            if held.setdefault(key, given) is not given:
                self.complete &= held[key] == given
            elif isinstance(item, WasiDefinition):
                self.complete &= key == (WASI, item.name)
            else:
                names = tuple(
                    part for name in (key[0].encode(), key[1].encode()) for part in (name, len(name))
                )
                if isinstance(item, StoreItem):
                    with item._store._core as context:
                        self._define_item(context, item, names)
                elif isinstance(item, WasmSharedMemory):
                    # It belongs to no store, but the engine asks for one to tell its engine from.
                    store = ffi.gc(
                        lib.wasmtime_store_new(engine_pointer, NULL, NULL), lib.wasmtime_store_delete
                    )
                    self._define_item(lib.wasmtime_store_context(store), item, names)
                else:
                    c_type = engine._c_functype(given[1], engine_pointer)
                    function = item.function
                    check(
                        self.hosts.define(linker, names, function, given[1], c_type.get(), name_of(function))
                    )

    def _define_item(self, context: Any, item: Any, names: tuple[Any, ...]) -> None:
        extern = bytearray(EXTERN_SIZE)
        _kept = item._write_extern(extern, 0)
        c_extern = ffi.from_buffer("wasmtime_extern_t *", extern)
        check(lib.wasmtime_linker_define(self.pointer, context, *names, c_extern))


class Prepared:
    """A module's imports, found and checked. It does not keep the Python module.

    Attributes:
        shape: That of the module, and of its copies.
        store: The only store that it serves, or ``None`` where it serves all of its engine's.
    """

    __slots__ = (
        "_engine",
        "_found",
        "_hosts",
        "_pre",
        "_special",
        "_tables",
        "_types",
        "_wasi",
        "shape",
        "store",
    )

    def __init__(self, engine: WasmEngine, engine_pointer: Any, module: WasmModule, found: list[Any]) -> None:
        self._engine, self._found = engine, found
        self.store = common_store(engine, module, found)
        self._wasi = next((item.name for item in found if isinstance(item, WasiDefinition)), None)
        code = module._pointer_for(engine)
        linker = CLinker(engine, engine_pointer, module, found)
        self._hosts = linker.hosts
        self._pre: Handle | None = None
        self._types = [
            _type_of(item) or wanted.type for item, wanted in zip(found, module._imports, strict=True)
        ]
        if linker.complete:
            made = ffi.new("wasmtime_instance_pre_t **")
            check(lib.wasmtime_linker_instantiate_pre(linker.pointer, code, made), LinkError)
            self._pre = Handle(made[0], "wasmtime_instance_pre_delete", "WasmInstancePre")
        self.shape = module._shape
        self._tables = module._shape if module._shape.exported_tables else None
        self._special = self._wasi is not None or self.store is not None

    def instantiate(self, store: WasmStore, module: WasmModule) -> WasmInstance:
        """Make an instance of ``module``, which it was prepared for, in ``store``.

        Raises:
            WrongEngineError: The store is of another engine.
            WrongStoreError: An import lives in another store.
            WasmtimeError: It is a WASI program, and the store has no WASI.
        """
        if store._engine is not self._engine:
            raise WrongEngineError("the store and the linker are of two engines")
        if self._special:
            if self.store is not None and store is not self.store:
                raise WrongStoreError(
                    f"this was prepared with items of store {self.store._core.number}, "
                    f"it cannot be instantiated in store {store._core.number}"
                )
            if self._wasi is not None:
                check_wasi(store, self._wasi)
        if self._pre is None:
            return WasmInstance._made(store, module, *_linking.write_all(store, module, self._found))
        core = store._core
        born = core.abandoned  # before: its start function runs
        handle = instantiate_prepared(store, core, self._pre.address, self._hosts)
        instance = _new(WasmInstance)
        instance._store, instance._module, instance._handle = store, module, handle
        if born:
            instance._born = born
        instance._import_types = self._types
        if self._tables is not None:
            store._with_tables.append((handle, self._tables, self._types))
        return instance


def _type_of(item: Any) -> Any:
    """The type of what was found; ``None`` for a callable that takes the one that is asked for."""
    return item.type if isinstance(item, _linking.Definition) else item._type


def common_store(engine: WasmEngine, module: WasmModule, found: list[Any]) -> WasmStore | None:
    """The store that all store items in ``found`` live in, if there are any.

    Raises:
        WrongEngineError: It is of another engine than ``engine``.
        WrongStoreError: There are several.
    """
    store: WasmStore | None = None
    for item, wanted in zip(found, module._imports, strict=True):
        if not isinstance(item, StoreItem):
            continue
        if item._store._engine is not engine:
            raise WrongEngineError(f"{wanted}: {item!r} is of another engine than the linker")
        if store is not None and item._store is not store:
            raise WrongStoreError(
                f"{wanted}: {item!r} lives in store {item._store._core.number}, others live in store "
                f"{store._core.number}"
            )
        store = item._store
    return store
