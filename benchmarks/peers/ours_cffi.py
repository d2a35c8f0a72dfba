"""wasmtime_rt over its twin in pure cffi: ``WASMTIME_RT_BACKEND=cffi``, which ``run.py`` sets."""

from __future__ import annotations

from .ours import *  # noqa: F403  the same adapter

ROWS = 1 << 14
