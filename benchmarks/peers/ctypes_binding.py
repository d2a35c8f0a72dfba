"""The ctypes binding: PyPI ``wasmtime``, of the same engine version."""

from __future__ import annotations

import functools
from typing import Any

import wasmtime


def prepare(workload: Any) -> dict[str, Any]:
    """The exported function, with the store that every call of this binding takes."""
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    instance = wasmtime.Instance(store, wasmtime.Module(engine, workload.wat), [])
    return {"f": functools.partial(instance.exports(store)["f"], store)}
