"""The seam of the hot paths: the accelerator's classes, or their twins in pure cffi."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._backend import accel

# `Function` is what can be called: `_bind_to`, `_unbind`, `_map` and the call itself. `Memory` has `read`,
# `write`, indexing and the buffer protocol. `new_host_function` makes a function out of a callable, which
# gets a `Caller` where it asks for one, and `instantiate` an instance out of a module. `Hosts` are callables
# for any store, in what a linker prepares.
# `look_at_signals` is called where something is made that can trap.
if TYPE_CHECKING or accel is None:
    from ._calls import (
        Caller,
        Function,
        Hosts,
        Memory,
        instantiate,
        instantiate_prepared,
        look_at_signals,
        new_host_function,
    )
else:
    from ._fast import (
        Caller,
        Function,
        Hosts,
        Memory,
        instantiate,
        instantiate_prepared,
        look_at_signals,
        new_host_function,
    )

__all__ = [
    "Caller",
    "Function",
    "Hosts",
    "Memory",
    "look_at_signals",
    "instantiate",
    "instantiate_prepared",
    "new_host_function",
]
