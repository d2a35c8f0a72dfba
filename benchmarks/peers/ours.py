"""wasmtime_rt."""

from __future__ import annotations

from typing import Any

import wasmtime_rt as w


def _instance(wasm: bytes, imports: Any = None) -> Any:
    engine = w.WasmEngine()
    return w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, wasm), imports)


def function(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _instance(wasm).exports["f"]}


def trap(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return function(wasm, names) | {"Trap": w.WasmTrap}


def callback(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _instance(wasm, {"env": {"h": names["h"]}}).exports["f"]}


def nested(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    def h(a: int, b: int) -> Any:
        return g(a, b)

    exports = _instance(wasm, {"env": {"h": h}}).exports
    g = exports["g"]
    return {"f": exports["f"]}


def keep_gil(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": function(wasm, names)["f"].typed(["i32", "i32"], ["i32"], keep_gil=True)}


def keep_gil_callback(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": callback(wasm, names)["f"].typed(["i32"], ["i32"], keep_gil=True)}


def map(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:  # noqa: A001  the name of the shape
    return function(wasm, names) | {
        "statement": "f.map(x, out=out)",
        "check": "f.map(x, out=out) is out and good()",
    }


def instantiate(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    engine = w.WasmEngine()
    module = w.WasmModule(engine, wasm)
    linker = w.WasmLinker(engine)
    linker.define("env", "h", names["h"])

    def make() -> Any:
        return linker.instantiate(w.WasmStore(engine), module)

    return {"make": make, "probe": lambda: make().exports.f(6)}


def prepared(wasm: bytes, names: dict[str, Any], config: Any = None) -> dict[str, Any]:
    engine = w.WasmEngine(config)
    linker = w.WasmLinker(engine)
    linker.define("env", "h", names["h"])
    ready = linker.prepare(w.WasmModule(engine, wasm))

    def make() -> Any:
        return ready.instantiate(w.WasmStore(engine))

    return {"make": make, "probe": lambda: make().exports.f(6)}


def pooled(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return prepared(wasm, names, w.WasmConfig(pooling_allocation_strategy=w.PoolingConfig()))


def memory(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"m": _instance(wasm).exports["memory"]}


def string(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    exports = _instance(wasm).exports
    m, upper = exports["memory"], exports["f"]

    def f(text: str) -> str:
        length = m.write_utf8(0, text)
        upper(0, length)
        return m.read_utf8(0, length)

    return {"f": f}


def threads(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    engine = w.WasmEngine()
    module = w.WasmModule(engine, wasm)
    return {"make": lambda: w.WasmInstance(w.WasmStore(engine), module).exports["f"]}
