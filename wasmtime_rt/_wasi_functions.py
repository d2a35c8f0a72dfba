"""The functions of WASI preview 1, as definitions of a linker.

They are implemented in C, in ``_native/wasi``, without the engine's own. They serve stores that have a
`WasiConfig`, and `check_wasi` refuses the others early; called in one without, they trap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._failure import check
from ._linking import Definition
from ._lowlevel import NULL, Handle, ffi, lib
from .errors import WasmtimeError
from .externs import EXTERN_OF
from .func import WasmFunc
from .types import WasmFuncType

if TYPE_CHECKING:
    from .store import WasmStore

WASI = "wasi_snapshot_preview1"


def _types() -> dict[str, WasmFuncType]:
    """The types of the functions by name, out of the table in ``functions.c``."""
    types: dict[str, WasmFuncType] = {}
    widths = {"i": "i32", "I": "i64"}
    while (function := lib.wrt_wasi_function(len(types))) != NULL:
        name, params = ffi.string(function.name).decode(), ffi.string(function.params).decode()
        results = [] if name == "proc_exit" else ["i32"]
        types[name] = WasmFuncType([widths[width] for width in params], results)
    return types


def check_wasi(store: WasmStore, name: str) -> None:
    """Refuse the function ``name`` of WASI to a store without WASI.

    Raises:
        WasmtimeError: If ``store`` has no `WasiConfig`.
    """
    if store._wasi is None:
        raise WasmtimeError(
            f'"{WASI}" "{name}" is part of WASI, which this store has not: '
            "WasmStore(engine, wasi=WasiConfig(...))"
        )


class WasiDefinition(Definition):
    """A function of WASI, for stores that have a `WasiConfig`.

    Attributes:
        linker: The C linker that defines it, with all of WASI.
        name: Its name in `WASI`.
    """

    __slots__ = ("linker", "name")

    type: WasmFuncType

    def __init__(self, linker: Handle, name: str, func_type: WasmFuncType) -> None:
        self.linker, self.name, self.type = linker, name, func_type

    def make(self, store: WasmStore, _func_type: WasmFuncType, out: bytearray, at: int) -> None:
        """Make the function in ``store``."""
        handle = ffi.buffer(self.func_in(store))
        out[at + EXTERN_OF : at + EXTERN_OF + len(handle)] = handle[:]
        out[at] = WasmFunc._KIND

    def func_in(self, store: WasmStore) -> Any:
        """The function in ``store``, as a ``wasmtime_func_t *``.

        Raises:
            WasmtimeError: The store has no WASI.
        """
        check_wasi(store, self.name)
        names, found = (WASI.encode(), self.name.encode()), ffi.new("wasmtime_extern_t *")
        with store._core as context:
            linker = self.linker.get()
            if not lib.wasmtime_linker_get(
                linker, context, names[0], len(names[0]), names[1], len(names[1]), found
            ):
                raise WasmtimeError(f'the engine has no "{WASI}" "{self.name}"')  # pragma: no cover
        return ffi.new("wasmtime_func_t *", found.of.func)


def wasi_linker(engine: Any) -> Handle:
    """A C linker of the ``wasm_engine_t *`` ``engine`` that defines WASI."""
    linker = Handle(lib.wasmtime_linker_new(engine), "wasmtime_linker_delete", "linker")
    check(lib.wrt_wasi_define(linker.get()))
    return linker


def wasi_definitions(linker: Handle) -> dict[str, Definition]:
    """The functions of WASI by name, out of what `wasi_linker` made."""
    return {name: WasiDefinition(linker, name, func_type) for name, func_type in _types().items()}
