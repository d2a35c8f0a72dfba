"""The hot paths in C: how `_accel` is told about signatures, handles and the rare work.

`_accel` never looks into Python for rules or messages. What is not the plain case it hands to the
functions registered here, with C objects as addresses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _convert, _deadline, _messages
from ._abstract import WasmtimeValue
from ._convert import from_val, to_val
from ._failure import explained, failure
from ._lowlevel import NULL, Handle, accel, address_of, ffi, lib
from .annotations import with_caller
from .errors import WasmException
from .types import WasmFuncType, WasmValType
from .values import Where, arguments, number

if TYPE_CHECKING:
    from .store import WasmStore

_NUMBER_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3, "v128": 4}
_FUNC, _EXTERN, _OTHER = 5, 6, 7


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


class Function(accel.Function):  # type: ignore[misc]  # made at run time
    """A function in a store, bound to its signature; the public classes derive from it."""

    __slots__ = ()
    _name: str
    _store: WasmStore

    def __init_subclass__(cls) -> None:
        accel.use_vectorcall(cls)

    def _bind_to(
        self, store: WasmStore, handle: Any, functype: WasmFuncType, name: str, keep_gil: bool = False
    ) -> None:
        self._bind(store, store._core, signature(functype), address_of(handle), name, keep_gil)


class Memory(accel.Memory):  # type: ignore[misc]  # made at run time
    """The bytes of a linear memory; the public class derives from it."""

    __slots__ = ()

    def _bind_to(self, store: WasmStore, handle: Any, *, pinned: bool) -> None:
        self._bind(store, store._core, address_of(handle), pinned)

    def _view(self) -> memoryview:
        return memoryview(self)


class Caller(accel.Caller):  # type: ignore[misc]  # made at run time
    """Who calls a host function, while that runs; the public class derives from it, and is what they get."""

    __slots__ = ()
    _address: int
    _store: WasmStore | None

    def __init_subclass__(cls) -> None:
        accel.register("caller_class", cls)


def new_host_function(
    store: WasmStore, function: Callable[..., Any], functype: WasmFuncType, name: str, out: bytearray, at: int
) -> None:
    """Make a function of ``store`` that calls ``function``: its ``wasmtime_func_t`` goes to ``out[at:]``."""
    core = store._core
    c_type = store._engine._c_functype(functype, core.engine)
    asks = isinstance(function, with_caller)
    called = function.function if isinstance(function, with_caller) else function
    accel.define(core, signature(functype), called, name, asks, c_type.address, out, at)


def instantiate(store: WasmStore, module: Handle, imports: bytearray) -> bytes:
    """Make an instance, as the bytes of its ``wasmtime_instance_t``.

    Args:
        store: The store to make it in.
        module: The module's handle.
        imports: An array of ``wasmtime_extern_t`` as bytes.
    """
    pointer = module.get()
    made: bytes = accel.instantiate(store, store._core, module.address, imports)
    del pointer  # it kept the module alive while the GIL was dropped
    return made


_UNCHECKED, _CHECKED = (
    ffi.cast(f"wasmtime_func{kind}_callback_t", address)
    for kind, address in zip(("_unchecked", ""), accel.CALLBACKS, strict=True)
)


class Hosts:
    """Host functions that are defined in a C linker, for any store: each that may call them keeps this."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: list[Any] = []

    def define(
        self,
        linker: Any,
        names: tuple[Any, ...],
        function: Callable[..., Any],
        functype: WasmFuncType,
        c_type: Any,
        name: str,
    ) -> Any:
        """Define ``function`` in a C linker.

        Args:
            linker: The ``wasmtime_linker_t *``.
            names: The two names of the import, each followed by its length.
            function: What the host function calls.
            functype: Its type.
            c_type: The same as a ``wasm_functype_t *``.
            name: What error messages call it.

        Returns:
            A ``wasmtime_error_t *``.
        """
        resolved = signature(functype)
        asks = isinstance(function, with_caller)
        called = function.function if isinstance(function, with_caller) else function
        host = accel.host(resolved, called, name, asks)
        self._made.append(host)
        env = ffi.cast("void *", id(host))  # in CPython the address
        if resolved.plain:
            return lib.wasmtime_linker_define_func_unchecked(linker, *names, c_type, _UNCHECKED, env, NULL)
        return lib.wasmtime_linker_define_func(linker, *names, c_type, _CHECKED, env, NULL)

    def keep(self, store: WasmStore) -> None:
        """Make ``store`` keep this."""
        store._core.hosts[self] = self


instantiate_prepared = accel.instantiate_prepared


# ---- The rare work


def _explained(
    problem: BaseException, name: str, args: tuple[object, ...], params: tuple[WasmValType, ...]
) -> BaseException:
    return explained(problem, arguments(name, args, params))


def _to_val(
    store: WasmStore, value: object, valtype: WasmValType, address: int, name: str, what: str, index: int
) -> None:
    with store._core as context:
        out = ffi.cast("wasmtime_val_t *", address)
        to_val(store, context, value, valtype, out, Where(name, what, index, valtype))


def _from_val(store: WasmStore, address: int) -> Any:
    with store._core as context:
        return from_val(store, context, ffi.cast("wasmtime_val_t *", address))


def _throw(store: WasmStore, exception: WasmException) -> int:
    with store._core as context:
        return address_of(_convert.wrappers.throw(store, context, exception))


for _name, _work in (
    ("number", number),
    ("failure", failure),
    ("explained", _explained),
    ("throw", _throw),
    ("wasm_exception", WasmException),
    ("value_class", WasmtimeValue),
    ("to_val", _to_val),
    ("from_val", _from_val),
    ("bad_results", _messages.bad_results),
    ("out_of_range", _messages.out_of_range),
    ("not_pinned", _messages.not_pinned),
    ("keywords", _deadline.call_with_keywords),
):
    accel.register(_name, _work)

#: Puts the engine's signal handlers in front again, if others were installed: asked once in a while only.
look_at_signals = accel.look_at_signals
