"""Importing WebAssembly as Python modules: after ``import wasmtime_rt.importer`` one imports ``gcd.wasm``.

Modules are looked for where Python looks for its own, which come first: ``name.wasm``, then ``name.wat``.
What a module exports becomes attributes, and what it imports comes from the Python modules of those names,
which are imported too: ``(import "math" "cos" ...)`` is ``math.cos``. So WebAssembly that is imported is as
trusted as Python code that is: what nobody trusts belongs in a `Sandbox`.

All of them live in one store, so that they can share functions and memories; one thread at a time may use
it. Programs and libraries for WASI see an empty world, unless `install` is given a store that says more.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from ._text import LINE_SIZE, shown_name
from .engine import WasmEngine
from .errors import WasmtimeError
from .instance import WasmInstance
from .linker import WasmLinker
from .module import WasmModule
from .store import WasmStore, check_store_argument
from .types import WasmFuncType
from .wasi import WasiConfig

_SUFFIXES = (".wasm", ".wat")
_WASI = "wasi_snapshot_preview1"
_WORTH_CACHING = 32 << 10
_NO_TYPE = WasmFuncType()
#: Names in a module that are not for exports to take.
_PYTHONS = frozenset(vars(ModuleType("any"))) | {
    *(
        "__all__",
        "__builtins__",
        "__cached__",
        "__file__",
        "__path__",
        "__wasm_instance__",
        "__wasm_module__",
    ),
}


class WasmFinder(importlib.abc.MetaPathFinder):
    """Finds ``name.wasm`` and ``name.wat`` on the path."""

    def __init__(self, store: WasmStore | None = None) -> None:
        self._store = store

    @property
    def store(self) -> WasmStore:
        """The store that everything is imported into; a new one where the last was closed."""
        while (store := self._store) is None or not store.is_valid:
            # No lock: a finalizer could come here while it is held, and a forked child never get it.
            made = WasmStore(WasmEngine(), wasi=WasiConfig())
            if self._store is store:
                self._store = made
        return store

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002  which reloading gives
    ) -> importlib.machinery.ModuleSpec | None:
        """Where ``fullname`` is, if it is WebAssembly."""
        name = fullname.rpartition(".")[2]
        for folder in sys.path if path is None else path:
            for suffix in _SUFFIXES:
                file = os.path.join(folder or os.getcwd(), name + suffix)
                if os.path.isfile(file):
                    return importlib.util.spec_from_file_location(
                        fullname, file, loader=WasmLoader(self, file)
                    )
        return None


class WasmLoader(importlib.abc.Loader):
    """Makes a Python module of a file with WebAssembly."""

    def __init__(self, finder: WasmFinder, file: str) -> None:
        self._finder, self._file = finder, file

    def exec_module(self, module: ModuleType) -> None:
        """Compile and instantiate it, and set what it exports.

        Raises:
            ImportError: It is not valid, or what it imports is not there or does not fit.
            BaseException: What it, or what it calls, raised while it was instantiated.
        """
        store = self._finder.store
        try:
            large = os.path.getsize(self._file) >= _WORTH_CACHING
            compiled = WasmModule.load(store.engine, Path(self._file), cache=large)
        except (OSError, ValueError, WasmtimeError) as problem:
            raise self._failed(str(problem)) from problem
        try:
            instance = WasmInstance(store, compiled, self._imports(store, compiled))
        except (OSError, WasmtimeError) as problem:
            raise self._failed(str(problem)) from problem
        exports = {export.name: export.type for export in compiled.exports}
        if exports.get("_initialize") == _NO_TYPE:
            instance.call("_initialize")
        self._fill(module, compiled, instance)

    def _fill(self, module: ModuleType, compiled: WasmModule, instance: WasmInstance) -> None:
        for name, item in instance.exports.items():
            if name not in _PYTHONS:
                setattr(module, name, item)
        module.__doc__ = f"WebAssembly from {self._file}."
        vars(module).update(
            __all__=[name for name in instance.exports if name.isidentifier() and name not in _PYTHONS],
            __wasm_module__=compiled,
            __wasm_instance__=instance,
        )

    def _imports(self, store: WasmStore, compiled: WasmModule) -> list[object]:
        """What it asks for, in order."""
        wasi: WasmLinker | None = None
        items: list[object] = []
        for wanted in compiled.imports:
            if wanted.module == _WASI:
                if wasi is None:
                    wasi = WasmLinker(store.engine)
                    wasi.define_wasi()
                try:
                    items.append(wasi.get(store, _WASI, wanted.name))
                except KeyError as problem:
                    raise self._failed(f"it imports {wanted}, which is no part of WASI") from problem
                continue
            try:
                found = importlib.import_module(wanted.module)
            except (ImportError, TypeError, ValueError) as problem:
                raise self._failed(f"it imports {wanted}: {shown_name(str(problem), LINE_SIZE)}") from problem
            if not hasattr(found, wanted.name):
                missing = shown_name(repr(wanted.module))
                raise self._failed(f"it imports {wanted}, and the module {missing} has no such name")
            items.append(getattr(found, wanted.name))
        return items

    def _failed(self, text: str) -> ImportError:
        return ImportError(f"{self._file}: {text}", path=self._file)


def install(store: WasmStore | None = None) -> WasmFinder:
    """Look for WebAssembly too when something is imported. Importing this module does it.

    Args:
        store: The store to import into, with the WASI that its programs should see; one of its own if not
            given.

    Returns:
        The finder, which is now the last in ``sys.meta_path``, in place of any that was there.
    """
    if store is not None:
        check_store_argument(store)
    uninstall()
    finder = WasmFinder(store)
    sys.meta_path.append(finder)
    return finder


def uninstall() -> None:
    """Look for WebAssembly no more. What was imported stays."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, WasmFinder)]


install()
