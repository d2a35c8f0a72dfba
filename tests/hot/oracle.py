"""The oracle of the parity tests: calls, host functions, `map` and memory access in Python and cffi.

`install` puts these classes in the place of the accelerator's. Stores and their guards stay the accelerator's.
A signature is resolved once. Numbers and vectors go through raw slots of 16 bytes, packed by `struct`, into an
unchecked call. A signature with references goes through checked values.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import struct
import sys

from wasmtime_rt import _fast
from wasmtime_rt._convert import from_val, new_vals, release, to_val
from wasmtime_rt._deadline import call_with_keywords
from wasmtime_rt._failure import explained, failure
from wasmtime_rt._lowlevel import NULL, accel, address_of, ffi, lib, view_of
from wasmtime_rt._messages import bad_results, not_pinned, out_of_range, wrong_count
from wasmtime_rt.annotations import with_caller
from wasmtime_rt.values import Where, arguments, number

SLOT = 16
_FORMATS = {"i32": "i12x", "i64": "q8x", "f32": "f12x", "f64": "d8x", "v128": "16s"}
_WIDTHS = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16}


class Signature:
    """A function type, resolved for calling.

    Attributes:
        plain: Whether all types are numbers or vectors, which raw slots carry.
        slots: How many slots arguments and results share.
    """

    __slots__ = ("_free", "_params", "_results", "_strict", "params", "plain", "results", "slots")

    def __init__(self, functype):
        self.params, self.results = functype.params, functype.results
        self.slots = max(len(self.params), len(self.results))
        self.plain = not any(valtype.is_ref for valtype in self.params + self.results)
        self._free = []
        if self.plain:
            self._params, self._results = (
                struct.Struct("<" + "".join(_FORMATS[valtype.kind] for valtype in side))
                for side in (self.params, self.results)
            )
            # struct pads or cuts bytes silently: vectors are always looked at one by one
            self._strict = any(valtype.kind == "v128" for valtype in self.params + self.results)

    def take_scratch(self):
        """Slots, the same as a buffer, and a place for a trap: not in use by any other call."""
        try:
            return self._free.pop()
        except IndexError:
            slots = ffi.new("wasmtime_val_raw_t[]", self.slots or 1)
            return slots, ffi.buffer(slots), ffi.new("wasm_trap_t **")

    def give_back(self, scratch):
        """Let later calls use ``scratch``."""
        self._free.append(scratch)

    def pack_params(self, args, buffer, name):
        """Write ``args`` into the slots behind ``buffer``."""
        self._pack(self._params, self.params, args, buffer, name, "argument")

    def unpack_params(self, buffer):
        """The arguments in the slots behind ``buffer``."""
        return self._params.unpack_from(buffer)

    def pack_results(self, returned, buffer, name):
        """Write what a host function returned into the slots behind ``buffer``."""
        self._pack(self._results, self.results, self.split(returned, name), buffer, name, "result")

    def unpack_results(self, buffer):
        """The results in the slots behind ``buffer``, as a call returns them."""
        return self.join(self._results.unpack_from(buffer))

    def _pack(self, packer, types, values, buffer, name, what):
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
    def join(results):
        """Results as a call returns them: ``None``, the value, or a tuple."""
        if len(results) == 1:
            return results[0]
        return tuple(results) if results else None

    def split(self, returned, name):
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
def signature(functype):
    """``functype``, resolved for calling; equal types share one."""
    return Signature(functype)


# ---- Into WebAssembly


class Function:
    """A function in a store, bound to its signature; the public classes derive from it."""

    __slots__ = ("_call", "_handle_to_call", "_name", "_resolved", "_store")

    def _bind_to(self, store, handle, functype, name, _keep_gil=False):
        self._store, self._name, self._handle_to_call = store, name, handle
        self._resolved = resolved = signature(functype)
        make = _raw_call if resolved.plain else _checked_call
        self._call = make(store, handle, resolved, name)

    def _unbind(self):
        self._call = self._refuse

    def __call__(self, *args, **kwargs):
        if kwargs:
            return call_with_keywords(self, args, kwargs)
        try:
            call = self._call
        except AttributeError:
            call = self._refuse
        return call(*args)

    def call(self, *args):
        """The same as calling it, by a method."""
        return self(*args)

    def _map(self, inputs, outputs, rows):
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
                        raise _ended(store, context, error, trap[0], core)
                    for i, column in enumerate(out):
                        column[row] = buffer[i * SLOT : i * SLOT + column.width]
        except BaseException as problem:
            with contextlib.suppress(Exception):  # some take no attributes
                problem.row = row
            raise
        return rows


def _ended(store, context, error, trap, core):
    """What a call ended with, as an exception."""
    ended = accel.failure(address_of(error), address_of(trap))
    if error != NULL:
        ffi.gc(error, None)  # the other's now
    raised, core.raised = core.raised, None
    return failure(store, context, ended, raised)


class _Column:
    """A column as bytes by row; one item serves every row."""

    def __init__(self, column, valtype, rows):
        self.width = _WIDTHS[valtype.kind]
        view = memoryview(column)
        self._single = view.nbytes == self.width and rows != 1
        self._rows = [view[i : i + 1] for i in range(len(view))] if view.itemsize == self.width else None
        self._bytes = view

    def __getitem__(self, row):
        row = 0 if self._single else row
        if self._rows is not None:
            return self._rows[row].tobytes()
        return bytes(self._bytes[row * self.width : (row + 1) * self.width])

    def __setitem__(self, row, data):
        if self._rows is None:
            self._bytes[row * self.width : (row + 1) * self.width] = data
        else:
            ffi.memmove(ffi.from_buffer(self._rows[row], require_writable=True), data, self.width)


def _raw_call(store, handle, resolved, name):
    core, nparams = store._core, len(resolved.params)

    def call(*args):
        if len(args) != nparams:
            wrong_count(name, nparams, len(args))
        scratch = resolved.take_scratch()
        slots, buffer, trap = scratch
        resolved.pack_params(args, buffer, name)
        with core.running(store) as context:
            error = lib.wasmtime_func_call_unchecked(context, handle, slots, resolved.slots, trap)
            if error != NULL or trap[0] != NULL:
                raise _ended(store, context, error, trap[0], core)
        results = resolved.unpack_results(buffer)
        resolved.give_back(scratch)
        return results

    return call


def _checked_call(store, handle, resolved, name):
    core = store._core
    nparams, nresults = len(resolved.params), len(resolved.results)

    def call(*args):
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
                    problem = _ended(store, context, error, trap[0], core)
                    raise explained(problem, arguments(name, args, resolved.params))
                return resolved.join([from_val(store, context, results + i) for i in range(nresults)])
            finally:
                release(vals, nparams)
                release(results, nresults)

    return call


# ---- Out of WebAssembly


class HostFunction:
    """A Python callable as WebAssembly sees it; the table of the store's core owns it."""

    def __init__(self, store, function, resolved, name):
        if isinstance(function, with_caller):
            raise TypeError("the oracle passes no caller")
        self.store, self.function, self.resolved, self.name = store, function, resolved, name
        kind, run = ("_unchecked", self._run_raw) if resolved.plain else ("", self._run_checked)
        self.callback = ffi.callback(f"wasmtime_func{kind}_callback_t", functools.partial(self._answer, run))

    def _answer(self, run, _env, _caller, *given):
        """Run the callable. Its exception is kept until the call that led here ends; the engine gets a trap."""
        try:
            run(*given)
        except BaseException as raised:
            self.store._core.raised = raised
            message = b"a host function raised an exception"
            return lib.wasmtime_trap_new(message, len(message))
        return NULL

    def _run_raw(self, slots, _count):
        buffer = ffi.buffer(slots, SLOT * self.resolved.slots)
        returned = self.function(*self.resolved.unpack_params(buffer))
        self.resolved.pack_results(returned, buffer, self.name)

    def _run_checked(self, args, _nargs, results, _nresults):
        """Call it with values; the engine takes over the roots in ``results``."""
        store = self.store
        with store._core as context:
            given = [from_val(store, context, args + i) for i in range(len(self.resolved.params))]
        returned = self.resolved.split(self.function(*given), self.name)
        with store._core as context:
            for i, (value, valtype) in enumerate(zip(returned, self.resolved.results, strict=True)):
                to_val(store, context, value, valtype, results + i, Where(self.name, "result", i, valtype))


def new_host_function(store, function, functype, name, out, at):
    """Make a function of ``store`` that calls ``function``: its ``wasmtime_func_t`` goes to ``out[at:]``."""
    core, handle = store._core, ffi.new("wasmtime_func_t *")
    host = HostFunction(store, function, signature(functype), name)
    with core as context:
        c_type = store.engine._c_functype(functype, core.engine).get()
        core.hosts[host] = host
        make = lib.wasmtime_func_new_unchecked if host.resolved.plain else lib.wasmtime_func_new
        make(context, c_type, host.callback, NULL, NULL, handle)
    out[at : at + ffi.sizeof("wasmtime_func_t")] = ffi.buffer(handle)[:]


# ---- Linear memory


class Memory:
    """The bytes of a linear memory; the public class derives from it."""

    __slots__ = ("_pinned", "_store")

    def _bind_to(self, store, _handle, *, pinned):
        self._store, self._pinned = store, pinned

    def _unbind(self):
        pass

    def _size(self):
        handle = self._live
        with self._store._core as context:
            return int(lib.wasmtime_memory_data_size(context, handle))

    def read(self, offset, length):
        """Copy ``length`` bytes out of linear memory, starting at ``offset``."""
        offset, length, size = operator.index(offset), operator.index(length), self._size()
        if not (0 <= offset <= size and 0 <= length <= size - offset):
            out_of_range(size, offset, length)
        handle = self._live
        with self._store._core as context:
            return bytes(ffi.buffer(lib.wasmtime_memory_data(context, handle) + offset, length))

    def write(self, offset, data):
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
                ffi.memmove(lib.wasmtime_memory_data(context, handle) + offset, ffi.from_buffer(flat), length)
        return length

    def __getitem__(self, key):
        if isinstance(key, slice):
            start, stop, step = key.indices(self._size())
            if step == 1:
                return self.read(start, max(0, stop - start))
            return bytes(self.read(0, self._size())[key])
        return self.read(self._index(key), 1)[0]

    def __setitem__(self, key, value):
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

    def __delitem__(self, _key):
        raise TypeError("bytes of a memory cannot be deleted")

    def _index(self, key):
        index, size = operator.index(key), self._size()
        if not -size <= index < size:
            raise IndexError(f"byte {key!r} is outside of this memory of {size} bytes")
        return index + size if index < 0 else index

    def _view(self):
        handle = self._live
        if not self._pinned:
            not_pinned(self)
        core = self._store._core
        with core as context:
            size = lib.wasmtime_memory_data_size(context, handle)
            return view_of(lib.wasmtime_memory_data(context, handle), size, core)

    if sys.version_info >= (3, 12):

        def __buffer__(self, _flags, /):
            return self._view()


def install():
    """Use these classes. Call it before anything imports the modules of the object model."""
    _fast.Function, _fast.Memory, _fast.new_host_function = Function, Memory, new_host_function
