"""The hot paths in C: how `_accel` is told about signatures, handles and the rare work.

`_accel` never looks into Python for rules or messages. What is not the plain case it hands to the
functions registered here, with C objects as addresses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _guard, _messages
from ._backend import accel
from ._convert import from_val, to_val
from ._failure import failure
from ._lowlevel import NULL, ffi, lib
from ._reflect import functype_to_c
from .types import WasmFuncType, WasmValType
from .values import Where, number

if TYPE_CHECKING:
    from ._core import StoreCore
    from .store import WasmStore

_NUMBER_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3, "v128": 4}
_FUNC, _EXTERN, _OTHER = 5, 6, 7

_CALLBACKS = (
    ffi.cast("wasmtime_func_callback_t", accel.HOST_CALLBACKS[1]),
    ffi.cast("wasmtime_func_unchecked_callback_t", accel.HOST_CALLBACKS[0]),
)


def _kind(valtype: WasmValType) -> int:
    if not valtype.is_ref:
        return _NUMBER_KINDS[valtype.kind]
    return (
        {"func": _FUNC, "extern": _EXTERN}.get(str(valtype.hierarchy), _OTHER) if valtype.nullable else _OTHER
    )


@functools.lru_cache(maxsize=1024)
def signature(functype: WasmFuncType) -> Any:
    """``functype``, resolved for calling; equal types share one."""
    kinds = (bytes(map(_kind, side)) for side in (functype.params, functype.results))
    return accel.Signature(functype.params, functype.results, *kinds)


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


class Function(accel.Function):  # type: ignore[misc]  # made at run time
    """A function in a store, bound to its signature; the public classes derive from it."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        accel.use_vectorcall(cls)

    def _bind_to(
        self, store: WasmStore, handle: Any, functype: WasmFuncType, name: str, keep_gil: bool = False
    ) -> None:
        self._bind(store, store._core, signature(functype), _address(handle), name, keep_gil)


class Memory(accel.Memory):  # type: ignore[misc]  # made at run time
    """The bytes of a linear memory; the public class derives from it."""

    __slots__ = ()

    def _bind_to(self, store: WasmStore, handle: Any, *, pinned: bool) -> None:
        self._bind(store, store._core, _address(handle), pinned)

    def _view(self) -> memoryview:
        return memoryview(self)


def new_host_function(
    store: WasmStore, function: Callable[..., Any], functype: WasmFuncType, name: str
) -> Any:
    """Make a function of ``store`` that calls ``function``, as a ``wasmtime_func_t *``."""
    core, resolved, handle = store._core, signature(functype), ffi.new("wasmtime_func_t *")
    host = accel.Host(core, resolved, function, name)
    env = ffi.cast("void *", host.address)
    with core as context:
        c_type = functype_to_c(functype, core.engine)
        core.hosts[host.address] = host
        new = lib.wasmtime_func_new_unchecked if resolved.plain else lib.wasmtime_func_new
        new(context, c_type, _CALLBACKS[resolved.plain], env, NULL, handle)
    return handle


# ---- The rare work


def _failure(core: StoreCore, error: int, trap: int, raised: BaseException | None) -> BaseException:
    with core as context:
        return failure(
            context, ffi.cast("wasmtime_error_t *", error), ffi.cast("wasm_trap_t *", trap), raised
        )


def _to_val(
    store: WasmStore, value: object, valtype: WasmValType, address: int, name: str, what: str, index: int
) -> None:
    with store._core as context:
        out = ffi.cast("wasmtime_val_t *", address)
        to_val(store, context, value, valtype, out, Where(name, what, index, valtype))


def _from_val(store: WasmStore, address: int) -> Any:
    with store._core as context:
        return from_val(store, context, ffi.cast("wasmtime_val_t *", address))


for _name, _function in (
    ("number", number),
    ("refuse", _guard.refuse),
    ("small_stack", _guard.small_stack),
    ("failure", _failure),
    ("to_val", _to_val),
    ("from_val", _from_val),
    ("bad_results", _messages.bad_results),
    ("out_of_range", _messages.out_of_range),
    ("not_pinned", _messages.not_pinned),
):
    accel.register(_name, _function)
