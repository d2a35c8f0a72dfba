"""wasmtime_rt, where the loop calls the method ``f.call``: CPython calls methods quicker than objects."""

from __future__ import annotations

from typing import Any

from . import ours


def function(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": ours.function(wasm, names)["f"].call}


def trap(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return ours.trap(wasm, names) | function(wasm, names)


def keep_gil(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": ours.keep_gil(wasm, names)["f"].call}
