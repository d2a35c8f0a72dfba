"""The ctypes binding: PyPI ``wasmtime``, of the same engine version."""

from __future__ import annotations

import functools
from typing import Any

import wasmtime
from workloads import FEW_ROWS, each_row

from . import NotOffered

ROWS = FEW_ROWS

_I32 = wasmtime.ValType.i32()
_HOST = wasmtime.FuncType([_I32, _I32], [_I32])


class _Program:
    def __init__(self, wasm: bytes, host: Any = None) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        imports = [] if host is None else [wasmtime.Func(self.store, _HOST, host)]
        self.exports = wasmtime.Instance(self.store, wasmtime.Module(engine, wasm), imports).exports(
            self.store
        )

    def function(self, name: str = "f") -> Any:
        """The export, with the store that every call of this binding takes."""
        return functools.partial(self.exports[name], self.store)


def function(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    if "v" in names:
        raise NotOffered("v128 is not implemented there")
    return {"f": _Program(wasm).function()}


def trap(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return function(wasm, names) | {"Trap": wasmtime.Trap}


def callback(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _Program(wasm, names["h"]).function()}


def nested(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    def h(a: int, b: int) -> Any:
        return g(a, b)

    program = _Program(wasm, h)
    g = program.function("g")
    return {"f": program.function()}


def map(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:  # noqa: A001  the name of the shape
    return {"f": each_row(_Program(wasm).function())}


def instantiate(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, wasm)
    linker = wasmtime.Linker(engine)
    linker.define_func("env", "h", _HOST, names["h"])
    prepared = linker.instantiate_pre(module)

    def make() -> Any:
        store = wasmtime.Store(engine)
        return store, prepared.instantiate(store)

    def probe() -> Any:
        store, instance = make()
        return instance.exports(store)["f"](store, 6)

    return {"make": make, "probe": probe}


prepared = instantiate  # the fastest that it has is prepared already


def memory(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    program = _Program(wasm)
    memory, store = program.exports["memory"], program.store

    class View:
        """The slices of the check, by this binding's methods."""

        def __getitem__(self, key: slice) -> bytearray:
            return memory.read(store, key.start, key.stop)

        def __setitem__(self, key: slice, value: bytes) -> None:
            memory.write(store, bytearray(value), key.start)

    # It copies what is no bytearray once more.
    added = {"memory": memory, "store": store, "m": View(), "piece": bytearray(names["data"])}
    added["block"] = bytearray(names["large"])
    statement = names["workload"].statement
    value = "block" if "large" in statement else "piece"
    start, _, stop = statement[statement.index("[") + 1 : statement.index("]")].partition(":")
    reads = f"memory.read(store, {start}, {stop})"
    return added | {"statement": f"memory.write(store, {value}, {start})" if "=" in statement else reads}


def string(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    program = _Program(wasm)
    m, store, upper = program.exports["memory"], program.store, program.function()

    def f(text: str) -> str:
        data = bytearray(text.encode())
        m.write(store, data, 0)
        upper(0, len(data))
        return m.read(store, 0, len(data)).decode()

    return {"f": f}


def threads(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, wasm)

    def make() -> Any:
        store = wasmtime.Store(engine)
        return functools.partial(wasmtime.Instance(store, module, []).exports(store)["f"], store)

    return {"make": make}
