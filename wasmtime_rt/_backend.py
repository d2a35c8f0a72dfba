"""Which backend runs the hot paths: ``_accel`` in C, or its twin in pure cffi.

The twin is for debugging and for comparison. It is chosen by ``WASMTIME_RT_BACKEND=cffi``, never because
the other is missing: on CPython a missing ``_accel`` is an `ImportError`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from ._version import __version__

_CHOICES = ("auto", "c", "cffi")


def _load() -> Any:
    wanted = os.environ.get("WASMTIME_RT_BACKEND", "auto")
    if wanted not in _CHOICES:
        raise ImportError(f"WASMTIME_RT_BACKEND: expected one of {', '.join(_CHOICES)}, got {wanted!r}")
    if wanted == "cffi" or (wanted == "auto" and sys.implementation.name != "cpython"):
        return None
    try:
        _accel = importlib.import_module("wasmtime_rt._accel")
    except ImportError as problem:
        if "subinterpreter" in str(problem):
            raise ImportError(
                "wasmtime_rt works in the main interpreter only, not in a subinterpreter"
            ) from problem
        raise ImportError(
            f"wasmtime_rt: its accelerator does not load ({problem}); reinstall it: pip install "
            "--force-reinstall wasmtime-rt, or debug without it: WASMTIME_RT_BACKEND=cffi"
        ) from problem
    if __version__ != _accel.VERSION:
        raise ImportError(
            f"wasmtime_rt {__version__}: its accelerator is of {_accel.VERSION}; reinstall it: "
            "pip install --force-reinstall wasmtime-rt"
        )
    return _accel


#: The accelerator, or ``None`` where the twin runs.
accel: Any = _load()

#: ``"c"`` or ``"cffi"``: what runs the hot paths in this process.
backend: str = "cffi" if accel is None else "c"
