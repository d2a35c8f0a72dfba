"""The host module ``spectest``, which scripts import from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from wasmtime_rt import (
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmMemory,
    WasmMemoryType,
    WasmSharedMemory,
    WasmStore,
    WasmTable,
    WasmTableType,
    WasmValType,
)


def _print(*params: str) -> Callable[[SpecTest], WasmFunc]:
    def make(module: SpecTest) -> WasmFunc:
        return WasmFunc(module.store, lambda *args: module.printed.append(args), WasmFuncType(params))

    return make


def _global(content: str, value: float) -> Callable[[SpecTest], WasmGlobal]:
    return lambda module: WasmGlobal(module.store, WasmGlobalType(WasmValType.parse(content)), value)


def _table(*, is64: bool) -> Callable[[SpecTest], WasmTable]:
    return lambda module: WasmTable(module.store, WasmTableType(WasmValType.FUNCREF, 10, 20, is64=is64))


_ITEMS: dict[str, Callable[[SpecTest], Any]] = {
    "print": _print(),
    "print_i32": _print("i32"),
    "print_i64": _print("i64"),
    "print_f32": _print("f32"),
    "print_f64": _print("f64"),
    "print_i32_f32": _print("i32", "f32"),
    "print_f64_f64": _print("f64", "f64"),
    "global_i32": _global("i32", 666),
    "global_i64": _global("i64", 666),
    "global_f32": _global("f32", 666.6),
    "global_f64": _global("f64", 666.6),
    "table": _table(is64=False),
    "table64": _table(is64=True),
    "memory": lambda module: WasmMemory(module.store, WasmMemoryType(1, 2)),
    "shared_memory": lambda module: WasmSharedMemory(module.store.engine, WasmMemoryType(1, 2, shared=True)),
}


class SpecTest(Mapping[str, Any]):
    """The items of ``spectest`` in one store; each is made when it is first asked for.

    Attributes:
        store: The store that they are in.
        printed: The arguments of each call to a function called print, in order.
    """

    def __init__(self, store: WasmStore) -> None:
        self.store = store
        self.printed: list[tuple[Any, ...]] = []
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _ITEMS[name](self)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_ITEMS)

    def __len__(self) -> int:
        return len(_ITEMS)
