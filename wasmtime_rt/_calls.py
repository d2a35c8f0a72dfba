"""Calls into WebAssembly and out of it, in pure cffi: slow, and easy to follow.

A signature is resolved once. Numbers and vectors go through raw slots of 16 bytes, packed by `struct`,
straight into an unchecked call; a signature with references goes through checked values, since only
the engine can tell whether a reference is of a type that a module defines.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._convert import from_val, new_vals, release, to_val
from ._core import StoreCore, core_of, lost
from ._failure import failure
from ._lowlevel import NULL, ffi, lib
from ._reflect import functype_to_c
from .types import WasmFuncType
from .values import number, shown

if TYPE_CHECKING:
    from .store import WasmStore

SLOT = 16
_FORMATS = {"i32": "i12x", "i64": "q8x", "f32": "f12x", "f64": "d8x", "v128": "16s"}
_host_numbers = itertools.count(1)


class Signature:
    """A function type, resolved for calling.

    Attributes:
        plain: Whether all types are numbers or vectors, which raw slots carry.
        slots: How many slots arguments and results share.
    """

    __slots__ = ("_free", "_params", "_results", "_strict", "params", "plain", "results", "slots")

    def __init__(self, functype: WasmFuncType) -> None:
        self.params, self.results = functype.params, functype.results
        self.slots = max(len(self.params), len(self.results))
        self.plain = not any(valtype.is_ref for valtype in self.params + self.results)
        self._free: list[tuple[Any, Any, Any]] = []
        if self.plain:
            self._params, self._results = (
                struct.Struct("<" + "".join(_FORMATS[valtype.kind] for valtype in side))
                for side in (self.params, self.results)
            )
            # struct pads or cuts bytes silently: vectors are always looked at one by one
            self._strict = any(valtype.kind == "v128" for valtype in self.params + self.results)

    def take_scratch(self) -> tuple[Any, Any, Any]:
        """Slots, the same as a buffer, and a place for a trap: not in use by any other call."""
        try:
            return self._free.pop()
        except IndexError:
            slots = ffi.new("wasmtime_val_raw_t[]", self.slots or 1)
            return slots, ffi.buffer(slots), ffi.new("wasm_trap_t **")

    def give_back(self, scratch: tuple[Any, Any, Any]) -> None:
        """Let later calls use ``scratch``."""
        self._free.append(scratch)

    def pack_params(self, args: Sequence[object], buffer: Any, name: str) -> None:
        """Write ``args`` into the slots behind ``buffer``."""
        if len(args) != len(self.params):
            raise TypeError(f"{name}: expected {_arguments(len(self.params))}, got {len(args)}")
        self._pack(self._params, self.params, args, buffer, name, "argument")

    def unpack_params(self, buffer: Any) -> tuple[Any, ...]:
        """The arguments in the slots behind ``buffer``."""
        return self._params.unpack_from(buffer)

    def pack_results(self, returned: object, buffer: Any, name: str) -> None:
        """Write what a host function returned into the slots behind ``buffer``."""
        self._pack(self._results, self.results, self.split(returned, name), buffer, name, "result")

    def unpack_results(self, buffer: Any) -> Any:
        """The results in the slots behind ``buffer``, as a call returns them."""
        return self.join(self._results.unpack_from(buffer))

    def _pack(
        self, packer: struct.Struct, types: Any, values: Sequence[object], buffer: Any, name: str, what: str
    ) -> None:
        if not self._strict:
            try:
                packer.pack_into(buffer, 0, *values)
            except (struct.error, OverflowError, TypeError):
                pass  # unsigned integers, WasmValue, and everything that is wrong
            else:
                return
        for i, (value, valtype) in enumerate(zip(values, types, strict=True)):
            where = f"{name}: {what} {i} ({valtype})"
            bits = getattr(value, "_bits", None)
            held = number(value, valtype.kind, where)
            at = i * SLOT
            if bits is not None:  # bit for bit: a NaN keeps its payload
                buffer[at : at + SLOT] = bits.to_bytes(SLOT, "little")
            else:
                buffer[at : at + SLOT] = struct.pack("<" + _FORMATS[valtype.kind], held)

    @staticmethod
    def join(results: Sequence[Any]) -> Any:
        """Results as a call returns them: ``None``, the value, or a tuple."""
        if len(results) == 1:
            return results[0]
        return tuple(results) if results else None

    def split(self, returned: object, name: str) -> Sequence[object]:
        """What a host function returned, as one item per result."""
        expected = len(self.results)
        if expected == 1:
            return (returned,)
        if expected == 0:
            if returned is None:
                return ()
            raise TypeError(f"{name}: expected None, since it has no results, got {shown(returned)}")
        if not isinstance(returned, (tuple, list)):
            raise TypeError(f"{name}: expected a tuple of {expected} results, got {shown(returned)}")
        if len(returned) != expected:
            raise TypeError(f"{name}: expected {expected} results, got {len(returned)}")
        return returned


def _arguments(count: int) -> str:
    return f"{count} argument{'' if count == 1 else 's'}"


@functools.lru_cache(maxsize=1024)
def signature(functype: WasmFuncType) -> Signature:
    """``functype``, resolved for calling; equal types share one."""
    return Signature(functype)


def make_call(store: WasmStore, handle: Any, functype: WasmFuncType, name: str) -> Callable[..., Any]:
    """A Python callable for the ``wasmtime_func_t *`` ``handle``."""
    resolved = signature(functype)
    make = _raw_call if resolved.plain else _checked_call
    return make(store, handle, resolved, name)


def _raw_call(store: WasmStore, handle: Any, resolved: Signature, name: str) -> Callable[..., Any]:
    core = store._core

    def call(*args: object) -> Any:
        scratch = resolved.take_scratch()
        slots, buffer, trap = scratch
        resolved.pack_params(args, buffer, name)
        with core.running() as context:
            error = lib.wasmtime_func_call_unchecked(context, handle, slots, resolved.slots, trap)
            if error != NULL or trap[0] != NULL:
                raise failure(context, error, trap[0], core.take_raised())
        results = resolved.unpack_results(buffer)
        resolved.give_back(scratch)
        return results

    return call


def _checked_call(store: WasmStore, handle: Any, resolved: Signature, name: str) -> Callable[..., Any]:
    core = store._core
    nparams, nresults = len(resolved.params), len(resolved.results)

    def call(*args: object) -> Any:
        if len(args) != nparams:
            raise TypeError(f"{name}: expected {_arguments(nparams)}, got {len(args)}")
        vals, results, trap = new_vals(nparams), new_vals(nresults), ffi.new("wasm_trap_t **")
        with core.running() as context:
            try:
                for i, (value, valtype) in enumerate(zip(args, resolved.params, strict=True)):
                    to_val(store, context, value, valtype, vals + i, f"{name}: argument {i} ({valtype})")
                error = lib.wasmtime_func_call(context, handle, vals, nparams, results, nresults, trap)
                if error != NULL or trap[0] != NULL:
                    raise failure(context, error, trap[0], core.take_raised())
                return resolved.join([from_val(store, context, results + i) for i in range(nresults)])
            finally:
                release(vals, nparams)
                release(results, nresults)

    return call


# ---- Out of WebAssembly


class HostFunction:
    """A Python callable as WebAssembly sees it; the store's core owns it."""

    __slots__ = ("function", "name", "resolved")

    def __init__(self, function: Callable[..., Any], resolved: Signature, name: str) -> None:
        self.function, self.resolved, self.name = function, resolved, name

    def run_raw(self, slots: Any) -> None:
        """Call it with the arguments in ``slots``, and leave the results there."""
        buffer = ffi.buffer(slots, SLOT * self.resolved.slots)
        returned = self.function(*self.resolved.unpack_params(buffer))
        self.resolved.pack_results(returned, buffer, self.name)

    def run_checked(self, core: StoreCore, args: Any, results: Any) -> None:
        """Call it with values; the engine takes over the roots in ``results``."""
        store = core.owner()
        if store is None:  # pragma: no cover  whoever called in keeps it alive
            raise ReferenceError("the store is gone")
        with core as context:
            given = [from_val(store, context, args + i) for i in range(len(self.resolved.params))]
        returned = self.resolved.split(self.function(*given), self.name)
        with core as context:
            for i, (value, valtype) in enumerate(zip(returned, self.resolved.results, strict=True)):
                to_val(store, context, value, valtype, results + i, f"{self.name}: result {i} ({valtype})")


def new_host_function(
    store: WasmStore, function: Callable[..., Any], functype: WasmFuncType, name: str
) -> Any:
    """Make a function of ``store`` that calls ``function``, as a ``wasmtime_func_t *``."""
    core, resolved, host = store._core, signature(functype), next(_host_numbers)
    handle, env = ffi.new("wasmtime_func_t *"), ffi.cast("void *", host)
    with core as context:
        core.hosts[host] = HostFunction(function, resolved, name)
        c_type = functype_to_c(functype, core.engine)
        if resolved.plain:
            lib.wasmtime_func_new_unchecked(context, c_type, lib.wrt_host_call, env, NULL, handle)
        else:
            lib.wasmtime_func_new(context, c_type, lib.wrt_host_call_values, env, NULL, handle)
    return handle


def _keep_lost(_type: object, raised: BaseException | None, _traceback: object) -> int:
    lost.raised = raised
    return 0


def _wrt_python_host_call(store: int, host: int, _caller: Any, slots: Any, _count: int) -> int:
    core = core_of(store)
    try:
        core.hosts[host].run_raw(slots)
    except BaseException as raised:  # noqa: BLE001  it comes out of the call that led here
        core.raised = raised
        return 0
    return 1


def _wrt_python_host_call_values(
    store: int, host: int, _caller: Any, args: Any, _nargs: int, results: Any, _nresults: int
) -> int:
    core = core_of(store)
    try:
        core.hosts[host].run_checked(core, args, results)
    except BaseException as raised:  # noqa: BLE001  it comes out of the call that led here
        core.raised = raised
        return 0
    return 1


for _callback in (_wrt_python_host_call, _wrt_python_host_call_values):
    ffi.def_extern(name=_callback.__name__[1:], error=0, onerror=_keep_lost)(_callback)
