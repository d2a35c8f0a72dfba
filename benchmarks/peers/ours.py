"""wasmtime_rt."""

from __future__ import annotations

from typing import Any

import wasmtime_rt as w


def prepare(workload: Any) -> dict[str, Any]:
    """The exported function, ready to be called."""
    engine = w.WasmEngine()
    instance = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, workload.wat))
    return {"f": instance.exports["f"]}
