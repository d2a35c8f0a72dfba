"""Counting what Python makes in a store against its limits.

The engine counts the memories and tables that instances bring along, and not those that are made without one.
So where a limit was given, an instance of a module that has one such thing, of size zero, stands for each of
these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._compiling import compile_module
from ._failure import check
from ._lowlevel import NULL, Handle, ffi, lib

if TYPE_CHECKING:
    from .store import WasmStore

_HEAD = b"\0asm\1\0\0\0"
#: Modules by what they have one of, which cannot grow.
_MODULES = {"memories": _HEAD + b"\5\4\1\1\0\0", "tables": _HEAD + b"\4\5\1\x70\1\0\0"}


def count_made(store: WasmStore, what: str) -> None:
    """Count one of the ``"memories"`` or ``"tables"``, which is about to be made. Inside the guard.

    Raises:
        WasmtimeError: The store's limits refuse it.
    """
    limits = store._limits
    if limits is None or getattr(limits, what) is None:
        return
    engine, pointer = store._engine, store._core.engine
    module = engine._stand_ins.get(what)
    if module is None:
        made = compile_module(engine, pointer, _MODULES[what])
        module = engine._stand_ins[what] = Handle(made, "wasmtime_module_delete", "module")
    trap, instance = ffi.new("wasm_trap_t **"), ffi.new("wasmtime_instance_t *")
    with store._core.running(store) as context:
        store._stand_ins += 1  # refused or not: the engine counts tries
        store._core.limit(limits._as_arguments(store._stand_ins))
        check(lib.wasmtime_instance_new(context, module.get(), NULL, 0, instance, trap))
