"""The hot paths in pure cffi: calls, host functions, memories. Slow, and easy to follow.

This is the twin of `_accel`: the same behaviour, for debugging and for comparison. A signature is resolved
once. Numbers and vectors go through raw slots of 16 bytes, packed by `struct`, straight into an unchecked
call; a signature with references goes through checked values, since only the engine can tell whether a
reference is of a type that a module defines.
"""

from __future__ import annotations

import functools
import itertools
import operator
import struct
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from . import _convert
from ._convert import from_val, new_vals, release, to_val
from ._core import StoreCore, core_of, lost
from ._deadline import call_with_keywords
from ._failure import explained, failure, is_thrown
from ._lowlevel import NULL, Handle, address_of, ffi, lib
from ._messages import bad_results, not_pinned, out_of_range, wrong_count
from .annotations import with_caller
from .types import WasmFuncType
from .values import Where, arguments, number

if TYPE_CHECKING:
    from .store import WasmStore

SLOT = 16
_FORMATS = {"i32": "i12x", "i64": "q8x", "f32": "f12x", "f64": "d8x", "v128": "16s"}
_WIDTHS = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16}
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
            bits = getattr(value, "_bits", None)
            held = number(value, valtype.kind, Where(name, what, i, valtype))
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
        if expected == 0 and returned is None:
            return ()
        if not (expected and isinstance(returned, (tuple, list)) and len(returned) == expected):
            bad_results(name, returned, expected)
        return tuple(returned)


@functools.lru_cache(maxsize=1024)
def signature(functype: WasmFuncType) -> Signature:
    """``functype``, resolved for calling; equal types share one."""
    return Signature(functype)


# ---- Into WebAssembly


class Function:
    """A function in a store, bound to its signature; the public classes derive from it."""

    __slots__ = ("_call", "_handle_to_call", "_name", "_resolved", "_store")
    _store: WasmStore
    _name: str
    _call: Callable[..., Any]

    def _bind_to(
        self, store: WasmStore, handle: Any, functype: WasmFuncType, name: str, _keep_gil: bool = False
    ) -> None:
        self._store, self._name, self._handle_to_call = store, name, handle
        self._resolved = resolved = signature(functype)
        make = _raw_call if resolved.plain else _checked_call
        self._call = make(store, handle, resolved, name)

    def _unbind(self) -> None:
        self._call = self._refuse

    if TYPE_CHECKING:

        def _refuse(self, *_args: object) -> NoReturn: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            return call_with_keywords(self, args, kwargs)
        try:
            call = self._call
        except AttributeError:
            call = self._refuse
        return call(*args)

    def call(self, *args: Any) -> Any:
        """The same as calling it, by a method: CPython calls methods of C quicker than objects.

        A loop that counts nanoseconds keeps ``call = func.call`` and calls that. There is no ``timeout=``:
        `WasmStore.deadline` is for that.
        """
        return self(*args)

    def _map(self, inputs: tuple[Any, ...], outputs: tuple[Any, ...], rows: int) -> int:
        """Call it once per row; the columns were checked. Returns the number of rows."""
        resolved, store, core = self._resolved, self._store, self._store._core
        slots, buffer, trap = resolved.take_scratch()
        columns = [
            _Column(column, valtype, rows)
            for column, valtype in zip((*inputs, *outputs), resolved.params + resolved.results, strict=True)
        ]
        into, out = columns[: len(inputs)], columns[len(inputs) :]
        row = 0
        try:
            with core.running(store) as context:
                for row in range(rows):
                    for i, column in enumerate(into):
                        buffer[i * SLOT : i * SLOT + column.width] = column[row]
                    error = lib.wasmtime_func_call_unchecked(
                        context, self._handle_to_call, slots, resolved.slots, trap
                    )
                    if error != NULL or trap[0] != NULL:
                        raise failure(store, context, error, trap[0], core.take_raised())
                    for i, column in enumerate(out):
                        column[row] = buffer[i * SLOT : i * SLOT + column.width]
        except BaseException as problem:
            with_row: Any = problem
            try:
                with_row.row = row
            except Exception:  # noqa: BLE001  it takes no attributes
                del with_row
            raise
        return rows


class _Column:
    """A column as bytes by row; one item serves every row."""

    def __init__(self, column: Any, valtype: Any, rows: int) -> None:
        self.width = _WIDTHS[valtype.kind]
        view = memoryview(column)
        self._single = view.nbytes == self.width and rows != 1
        self._rows = [view[i : i + 1] for i in range(len(view))] if view.itemsize == self.width else None
        self._bytes = view

    def __getitem__(self, row: int) -> bytes:
        row = 0 if self._single else row
        if self._rows is not None:
            return self._rows[row].tobytes()
        return bytes(self._bytes[row * self.width : (row + 1) * self.width])

    def __setitem__(self, row: int, data: bytes) -> None:
        if self._rows is None:
            self._bytes[row * self.width : (row + 1) * self.width] = data
        else:
            ffi.memmove(ffi.from_buffer(self._rows[row], require_writable=True), data, self.width)


def _raw_call(store: WasmStore, handle: Any, resolved: Signature, name: str) -> Callable[..., Any]:
    core, nparams = store._core, len(resolved.params)

    def call(*args: object) -> Any:
        if len(args) != nparams:
            wrong_count(name, nparams, len(args))
        scratch = resolved.take_scratch()
        slots, buffer, trap = scratch
        resolved.pack_params(args, buffer, name)
        with core.running(store) as context:
            error = lib.wasmtime_func_call_unchecked(context, handle, slots, resolved.slots, trap)
            if error != NULL or trap[0] != NULL:
                raise failure(store, context, error, trap[0], core.take_raised())
        results = resolved.unpack_results(buffer)
        resolved.give_back(scratch)
        return results

    return call


def _checked_call(store: WasmStore, handle: Any, resolved: Signature, name: str) -> Callable[..., Any]:
    core = store._core
    nparams, nresults = len(resolved.params), len(resolved.results)

    def call(*args: object) -> Any:
        if len(args) != nparams:
            wrong_count(name, nparams, len(args))
        vals, results, trap = new_vals(nparams), new_vals(nresults), ffi.new("wasm_trap_t **")
        with core as context:
            try:
                for i, (value, valtype) in enumerate(zip(args, resolved.params, strict=True)):
                    to_val(store, context, value, valtype, vals + i, Where(name, "argument", i, valtype))
                with core.running(store):
                    error = lib.wasmtime_func_call(context, handle, vals, nparams, results, nresults, trap)
                if error != NULL or trap[0] != NULL:
                    problem = failure(store, context, error, trap[0], core.take_raised())
                    raise explained(problem, arguments(name, args, resolved.params))
                return resolved.join([from_val(store, context, results + i) for i in range(nresults)])
            finally:
                release(vals, nparams)
                release(results, nresults)

    return call


# ---- Out of WebAssembly


class HostFunction:
    """A Python callable as WebAssembly sees it; the store's core owns it."""

    __slots__ = ("asks", "function", "name", "resolved")

    def __init__(self, function: Callable[..., Any], resolved: Signature, name: str) -> None:
        self.asks = isinstance(function, with_caller)
        self.function: Any = function.function if isinstance(function, with_caller) else function
        self.resolved, self.name = resolved, name

    def run(self, core: StoreCore, caller: Any, given: Sequence[Any]) -> Any:
        """Call it for the ``wasmtime_caller_t *`` ``caller``; what it returned."""
        if not self.asks:
            return self.function(*given)
        asked = Caller._public._of(core.caller, caller)
        try:
            return self.function(asked, *given)
        finally:
            asked._expire()

    def run_raw(self, core: StoreCore, caller: Any, slots: Any) -> None:
        """Call it with the arguments in ``slots``, and leave the results there."""
        buffer = ffi.buffer(slots, SLOT * self.resolved.slots)
        returned = self.run(core, caller, self.resolved.unpack_params(buffer))
        self.resolved.pack_results(returned, buffer, self.name)

    def run_checked(self, core: StoreCore, caller: Any, args: Any, results: Any) -> None:
        """Call it with values; the engine takes over the roots in ``results``."""
        store = core.caller
        if store is None:  # pragma: no cover  a call set it
            raise ReferenceError("the store is gone")
        with core as context:
            given = [from_val(store, context, args + i) for i in range(len(self.resolved.params))]
        returned = self.resolved.split(self.run(core, caller, given), self.name)
        with core as context:
            for i, (value, valtype) in enumerate(zip(returned, self.resolved.results, strict=True)):
                to_val(store, context, value, valtype, results + i, Where(self.name, "result", i, valtype))


class Caller:
    """Who calls a host function, while that runs; the public class derives from it, and is what they get."""

    __slots__ = ("_address", "_store")
    _public: type[Caller]
    _address: int
    _store: WasmStore | None

    def __init_subclass__(cls) -> None:
        Caller._public = cls

    def __init__(self) -> None:
        raise TypeError(f"cannot create '{type(self).__name__}' instances")

    @classmethod
    def _of(cls, store: WasmStore | None, caller: Any) -> Caller:
        self = object.__new__(cls)
        self._store, self._address = store, address_of(caller)
        return self

    def _expire(self) -> None:
        self._store, self._address = None, 0


def new_host_function(
    store: WasmStore, function: Callable[..., Any], functype: WasmFuncType, name: str, out: bytearray, at: int
) -> None:
    """Make a function of ``store`` that calls ``function``: its ``wasmtime_func_t`` goes to ``out[at:]``."""
    core, resolved, host = store._core, signature(functype), next(_host_numbers)
    handle, env = ffi.new("wasmtime_func_t *"), ffi.cast("void *", host)
    with core as context:
        c_type = store.engine._c_functype(functype, core.engine).get()
        core.hosts[host] = HostFunction(function, resolved, name)
        if resolved.plain:
            lib.wasmtime_func_new_unchecked(context, c_type, lib.wrt_host_call, env, NULL, handle)
        else:
            lib.wasmtime_func_new(context, c_type, lib.wrt_host_call_values, env, NULL, handle)
    out[at : at + ffi.sizeof("wasmtime_func_t")] = ffi.buffer(handle)[:]


def instantiate(store: WasmStore, module: Handle, imports: bytearray) -> bytes:
    """Make an instance, as the bytes of its ``wasmtime_instance_t``.

    Args:
        store: The store to make it in.
        module: The module's handle.
        imports: An array of ``wasmtime_extern_t`` as bytes.
    """
    core, trap, handle = store._core, ffi.new("wasm_trap_t **"), ffi.new("wasmtime_instance_t *")
    items, pointer = ffi.from_buffer("wasmtime_extern_t[]", imports), module.get()
    look_at_signals()
    with core.running(store) as context:
        error = lib.wasmtime_instance_new(context, pointer, items, len(items), handle, trap)
        if error != NULL or trap[0] != NULL:
            raise failure(store, context, error, trap[0], core.take_raised())
    return bytes(ffi.buffer(handle))


class Hosts:
    """Host functions that are defined in a C linker, for any store: each that may call them keeps this."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[int, HostFunction] = {}

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
        resolved, host = signature(functype), next(_host_numbers)
        self._made[host] = HostFunction(function, resolved, name)
        env = ffi.cast("void *", host)
        if resolved.plain:
            return lib.wasmtime_linker_define_func_unchecked(
                linker, *names, c_type, lib.wrt_host_call, env, NULL
            )
        return lib.wasmtime_linker_define_func(linker, *names, c_type, lib.wrt_host_call_values, env, NULL)

    def keep(self, store: WasmStore) -> None:
        """Make ``store`` keep this."""
        store._core.hosts.update(self._made)


def instantiate_prepared(store: WasmStore, core: StoreCore, prepared: int, hosts: Hosts) -> bytes:
    """Make an instance of what a linker has prepared, as `instantiate` does.

    Args:
        store: The store to make it in.
        core: Its core.
        prepared: The address of the ``wasmtime_instance_pre_t``, which the caller keeps.
        hosts: The host functions that it was prepared with.
    """
    trap, handle = ffi.new("wasm_trap_t **"), ffi.new("wasmtime_instance_t *")
    look_at_signals()
    with core.running(store) as context:
        hosts.keep(store)
        pointer = ffi.cast("wasmtime_instance_pre_t *", prepared)
        error = lib.wasmtime_instance_pre_instantiate(pointer, context, handle, trap)
        if error != NULL or trap[0] != NULL:
            raise failure(store, context, error, trap[0], core.take_raised())
    return bytes(ffi.buffer(handle))


#: Puts the engine's signal handlers in front again, if others were installed.
look_at_signals = lib.wrt_signals_restore


def _keep_lost(_type: object, raised: BaseException | None, _traceback: object) -> int:
    lost.raised = raised
    return 0


def _keep_raised(core: StoreCore, raised: BaseException) -> int:
    """Keep what a host function raised until the call that led there ends; the answer for the engine."""
    store, answer = core.caller, 0
    if store is not None and is_thrown(raised):
        try:
            with core as context:
                answer = address_of(_convert.wrappers.throw(store, context, raised))
        except BaseException as worse:  # noqa: BLE001  likewise
            raised = worse
    core.raised = raised
    return answer


def _wrt_python_host_call(store: int, host: int, caller: Any, slots: Any, _count: int) -> int:
    core = core_of(store)
    try:
        core.hosts[host].run_raw(core, caller, slots)
        core.check_lost()
    except BaseException as raised:  # noqa: BLE001  it comes out of the call that led here
        return _keep_raised(core, raised)
    return 1


def _wrt_python_host_call_values(
    store: int, host: int, caller: Any, args: Any, _nargs: int, results: Any, _nresults: int
) -> int:
    core = core_of(store)
    try:
        core.hosts[host].run_checked(core, caller, args, results)
        core.check_lost()
    except BaseException as raised:  # noqa: BLE001  it comes out of the call that led here
        return _keep_raised(core, raised)
    return 1


for _callback in (_wrt_python_host_call, _wrt_python_host_call_values):
    ffi.def_extern(name=_callback.__name__[1:], error=0, onerror=_keep_lost)(_callback)


# ---- Linear memory


class Memory:
    """The bytes of a linear memory; the public class derives from it."""

    __slots__ = ("_pinned", "_store")
    _store: WasmStore

    def _bind_to(self, store: WasmStore, _handle: Any, *, pinned: bool) -> None:
        self._store, self._pinned = store, pinned

    def _unbind(self) -> None:
        pass

    if TYPE_CHECKING:

        @property
        def _live(self) -> Any: ...

    def _size(self) -> int:
        handle = self._live
        with self._store._core as context:
            return int(lib.wasmtime_memory_data_size(context, handle))

    def read(self, offset: int, length: int) -> bytes:
        """Copy ``length`` bytes out of linear memory, starting at ``offset``."""
        offset, length, size = operator.index(offset), operator.index(length), self._size()
        if not (0 <= offset <= size and 0 <= length <= size - offset):
            out_of_range(size, offset, length)
        to, handle = bytearray(length), self._live
        with self._store._core as context:
            lib.wrt_memory_read(context, handle, offset, length, ffi.from_buffer(to))
        return bytes(to)

    def write(self, offset: int, data: Any) -> int:
        """Copy ``data`` into linear memory, starting at ``offset``."""
        offset = operator.index(offset)
        if isinstance(data, str):
            raise TypeError("data: expected bytes or another buffer, got str; write_utf8 takes text")
        with memoryview(data) as source:
            flat = source if source.c_contiguous else memoryview(source.tobytes())
            size, length, handle = self._size(), flat.nbytes, self._live
            if not (0 <= offset <= size and length <= size - offset):
                out_of_range(size, offset, length)
            with self._store._core as context:
                lib.wrt_memory_write(context, handle, offset, length, ffi.from_buffer(flat))
        return length

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(self._size())
            if step == 1:
                return self.read(start, max(0, stop - start))
            return bytes(self.read(0, self._size())[key])
        return self.read(self._index(key), 1)[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, slice):
            index, byte = self._index(key), operator.index(value)
            if not 0 <= byte <= 255:
                raise ValueError(f"a byte: expected 0 to 255, got {value!r}")
            self.write(index, bytes((byte,)))
            return
        start, stop, step = key.indices(self._size())
        if step != 1:
            raise ValueError(f"assignment to a slice: expected step 1, got {step}")
        if isinstance(value, str):
            self.write(start, value)
        with memoryview(value) as data:
            if data.nbytes != max(0, stop - start):
                raise ValueError(
                    f"assignment to a slice: expected {max(0, stop - start)} bytes, got {data.nbytes}: "
                    "memories do not change their size this way"
                )
            self.write(start, data)

    def __delitem__(self, _key: object) -> None:
        raise TypeError("bytes of a memory cannot be deleted")

    def _index(self, key: Any) -> int:
        index, size = operator.index(key), self._size()
        if not -size <= index < size:
            raise IndexError(f"byte {key!r} is outside of this memory of {size} bytes")
        return index + size if index < 0 else index

    def _view(self) -> memoryview:
        handle = self._live
        if not self._pinned:
            not_pinned(self)
        core = self._store._core
        with core as context:
            size = lib.wasmtime_memory_data_size(context, handle)
            data = core.export_view(lib.wasmtime_memory_data(context, handle))
        return memoryview(ffi.buffer(data, size)).cast("B")

    if sys.version_info >= (3, 12):

        def __buffer__(self, _flags: int, /) -> memoryview:
            return self._view()
