"""The wasm3 interpreter's own C extension: PyPI ``pywasm3``. It keeps the GIL always."""

from __future__ import annotations

from typing import Any

import wasm3
from workloads import FEW_ROWS, each_row

from . import NotOffered

ROWS = FEW_ROWS

_STACK = 64 * 1024
_HOST = "i(ii)"


def _runtime(environment: Any, wasm: bytes, host: Any = None) -> Any:
    runtime = environment.new_runtime(_STACK)
    module = environment.parse_module(wasm)
    runtime.load(module)
    if host is not None:
        module.link_function("env", "h", _HOST, host)
    return runtime


def function(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    if "v" in names or "thing" in names:
        raise NotOffered("wasm3 has neither v128 nor references")
    return {"f": _runtime(wasm3.Environment(), wasm).find_function("f")}


keep_gil = function


def trap(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return function(wasm, names) | {"Trap": RuntimeError}


def callback(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _runtime(wasm3.Environment(), wasm, names["h"]).find_function("f")}


keep_gil_callback = callback


def nested(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    def h(a: int, b: int) -> Any:
        return g(a, b)

    runtime = _runtime(wasm3.Environment(), wasm, h)
    g = runtime.find_function("g")
    return {"f": runtime.find_function("f")}


def map(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:  # noqa: A001  the name of the shape
    return {"f": each_row(function(wasm, names)["f"])}


def instantiate(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    environment, host = wasm3.Environment(), names["h"]

    def make() -> Any:
        return _runtime(environment, wasm, host)  # a module serves one runtime, so it is parsed each time

    return {"make": make, "probe": lambda: make().find_function("f")(6)}


def memory(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    runtime = _runtime(wasm3.Environment(), wasm)
    statement = names["workload"].statement
    reads = f"{statement}.tobytes()"  # its slices are views
    return {"runtime": runtime, "m": runtime.get_memory(0)} | (
        {} if "=" in statement else {"statement": reads}
    )


def string(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    runtime = _runtime(wasm3.Environment(), wasm)
    m, upper = runtime.get_memory(0), runtime.find_function("f")

    def f(text: str) -> str:
        data = text.encode()
        m[0 : len(data)] = data
        upper(0, len(data))
        return m[0 : len(data)].tobytes().decode()

    return {"f": f, "runtime": runtime}


def threads(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"make": lambda: _runtime(wasm3.Environment(), wasm).find_function("f")}
