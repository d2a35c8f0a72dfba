"""The loop in C: the same calls with no Python in them, timed in C (``floor/floor.c``)."""

from __future__ import annotations

from typing import Any

from floor.build_floor import load

from . import NotOffered

_floor = load()

_CALLBACKS = {"host_callback": "c", "nested_callback": "nested"}
_CALLBACKS |= {"instantiate_fresh": "c", "instantiate_no_memory": "c", "instantiate_prepared": "c prepared"}
_CALLBACKS["instantiate_pooled"] = "c"  # neither prepared nor pooled: what it is held against


def _loop(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    name = names["workload"].name
    if name == "peak_memory":
        raise NotOffered("it runs inside Python, as the floor does")
    kind = _CALLBACKS.get(name)
    program = _floor.Program(wasm) if kind is None else _floor.Program(wasm, len, kind)
    return {"timed": lambda count: program.c_loop(name, count), "per": names["workload"].per}


def function(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:
    return _loop(wasm, names)


trap = callback = nested = instantiate = prepared = pooled = memory = string = function


def map(wasm: bytes, names: dict[str, Any]) -> dict[str, Any]:  # noqa: A001  the name of the shape
    return _loop(wasm, names) | {"per": 1}
