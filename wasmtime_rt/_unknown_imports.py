"""What stands in for imports that nobody has defined: functions that trap, and things made of nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._linking import HostDefinition
from .errors import WasmTrap
from .globals import WasmGlobal
from .memory import WasmMemory
from .shared_memory import WasmSharedMemory
from .store import WasmStore
from .table import WasmTable
from .tag import WasmTag
from .types import (
    WasmFuncType,
    WasmGlobalType,
    WasmImportType,
    WasmMemoryType,
    WasmTableType,
    WasmValType,
)

_ZEROS: dict[str, Any] = {"i32": 0, "i64": 0, "f32": 0.0, "f64": 0.0, "v128": bytes(16), "ref": None}


def trapping(wanted: WasmImportType) -> Callable[..., Any]:
    """A function that says that it is not defined."""

    def unknown(*_args: object) -> Any:
        raise WasmTrap(f"unknown import: {wanted} has not been defined")

    return unknown


def _zero(valtype: WasmValType) -> Any:
    return _ZEROS[valtype.kind]


def has_default(wanted: Any) -> bool:
    """Whether something of the type ``wanted`` can be made of nothing."""
    match wanted:
        case WasmFuncType():
            valtypes = wanted.results
        case WasmGlobalType():
            valtypes = (wanted.content,)
        case WasmTableType():
            valtypes = (wanted.element,)
        case _:
            valtypes = ()
    return all(valtype.nullable or not valtype.is_ref for valtype in valtypes)


def default(store: WasmStore, wanted: Any) -> object:
    """Something of the type ``wanted``, made of nothing; in ``store`` unless it is of any."""
    match wanted:
        case WasmFuncType():
            zeros = tuple(map(_zero, wanted.results))
            returned = zeros[0] if len(zeros) == 1 else zeros or None
            return HostDefinition(lambda *_args: returned, wanted)
        case WasmGlobalType():
            return WasmGlobal(store, wanted, _zero(wanted.content))
        case WasmMemoryType():
            return WasmSharedMemory(store._engine, wanted) if wanted.shared else WasmMemory(store, wanted)
        case WasmTableType():
            return WasmTable(store, wanted)
        case _:
            return WasmTag(store, wanted)
