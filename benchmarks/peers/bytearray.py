"""Python's own ``bytearray``, for the memory workloads."""

from __future__ import annotations

from typing import Any


def memory(_wasm: bytes, _names: dict[str, Any]) -> dict[str, Any]:
    return {"m": bytearray(2 << 20)}
