"""The floor: C written for one signature only (``floor/floor.c``)."""

from __future__ import annotations

from typing import Any

from floor.build_floor import load

_floor = load()


def function(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    name = names["workload"].name
    return {"f": getattr(_floor.Program(wasm), "add_i32" if name == "peak_memory" else name)}


def trap(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _floor.Program(wasm).nop, "Trap": _floor.Trap}


def callback(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _floor.Program(wasm, names["h"]).loop}


def nested(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    def h(a: int, b: int) -> Any:
        return g(a, b)

    program = _floor.Program(wasm, h)
    g = program.nested_add
    return {"f": program.loop}


def keep_gil(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _floor.Program(wasm).add_i32_held}


def keep_gil_callback(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _floor.Program(wasm, names["h"], "held").loop_held}


def map(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:  # noqa: A001  the name of the shape
    return {"f": _floor.Program(wasm).map}


def instantiate(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    program = _floor.Program(wasm, names["h"])
    return {"make": program.make, "probe": lambda: program.make_and_run(6)}


def prepared(wasm: bytes, names: dict[str, Any], kind: str = "prepared") -> dict[str, Any]:
    program = _floor.Program(wasm, names["h"], kind)
    return {"make": program.make, "probe": lambda: program.make_and_run(6)}


def pooled(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return prepared(wasm, names, "prepared pooled")


def memory(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"m": _floor.Program(wasm)}


def string(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"f": _floor.Program(wasm).upper}


def threads(wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"make": lambda: _floor.Program(wasm).loop}
