"""The seam of the hot paths: the accelerator's classes, or their twins in pure cffi."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._backend import accel

# `Function` is what can be called: `_bind_to`, `_unbind`, `_map` and the call itself. `Memory` has `read`,
# `write`, indexing and the buffer protocol. `new_host_function` makes a function out of a callable, and
# `instantiate` an instance out of a module. A plan makes many instances with Python functions only.
if TYPE_CHECKING or accel is None:
    from ._calls import (
        Function,
        Memory,
        instantiate,
        instantiate_plan,
        make_plan,
        new_host_function,
        signature,
    )
else:
    from ._fast import (
        Function,
        Memory,
        instantiate,
        instantiate_plan,
        make_plan,
        new_host_function,
        signature,
    )

__all__ = [
    "Function",
    "Memory",
    "instantiate",
    "instantiate_plan",
    "make_plan",
    "new_host_function",
    "signature",
]
