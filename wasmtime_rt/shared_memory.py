"""Shared memories: bytes that several threads, each with a store of its own, use at once."""

from __future__ import annotations

import operator
import sys
from typing import Any, ClassVar

from ._abstract import AbstractMemory, begin
from ._exact import is_a
from ._failure import check
from ._lowlevel import Handle, address_of, ffi, lib, view_of
from ._memory_access import MemoryAccess
from ._messages import out_of_range
from ._reflect import memorytype, memorytype_to_c
from .engine import WasmEngine, check_engine
from .errors import WasmtimeError
from .externs import EXTERN_OF
from .types import WasmMemoryType
from .values import shown


class WasmSharedMemory(MemoryAccess, AbstractMemory):
    """A linear memory of an engine, imported by instances of any of its stores, on any thread.

    It never moves, and it never shrinks. Reads and writes from Python are not atomic: where WebAssembly
    writes at the same time, bytes of before and after may mix, so synchronise with atomic instructions.
    `view` shares its bytes without a copy; ``memoryview(memory)`` is the same from Python 3.12 on.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
    >>> memory = w.WasmSharedMemory(engine, w.WasmMemoryType(1, 4, shared=True))
    >>> memory.write(0, b"to all")
    6
    >>> memory[0:6], memory.size
    (b'to all', 1)

    Args:
        engine: The engine: its config needs ``shared_memory=True``.
        type: Its type, which is shared and has a maximum.

    Raises:
        TypeError: An argument is of the wrong type, or the type is not shared.
        WasmtimeError: The engine refuses it.

    C API: ``wasmtime_sharedmemory_new``, ``wasmtime_sharedmemory_type``, ``wasmtime_sharedmemory_delete``.
    """

    __slots__ = ("__weakref__", "_address", "_engine", "_handle", "_type")
    _KIND: ClassVar[int] = lib.WASMTIME_EXTERN_SHAREDMEMORY
    _engine: WasmEngine
    _handle: Handle | None

    def __init__(self, engine: WasmEngine, type: WasmMemoryType) -> None:  # noqa: A002
        begin(self, "_handle")
        check_engine(engine)
        if not is_a(type, WasmMemoryType):
            raise TypeError(f"type: expected a WasmMemoryType, got {shown(type)}")
        if not type.shared:
            raise TypeError(f"type: expected a shared memory, got {type}: WasmMemory(store, type) makes it")
        if not engine._plain_config.shared_memory:
            raise WasmtimeError("this engine has no shared memories: it needs WasmConfig(shared_memory=True)")
        made = ffi.new("wasmtime_sharedmemory_t **")
        check(lib.wasmtime_sharedmemory_new(engine._pointer, memorytype_to_c(type), made))
        self._adopt(engine, made[0], type)

    def _adopt(self, engine: WasmEngine, pointer: Any, memory_type: WasmMemoryType) -> None:
        self._engine, self._type = engine, memory_type
        handle = Handle(pointer, "wasmtime_sharedmemory_delete", "WasmSharedMemory")
        kept = handle.get()  # another thread may close this object as soon as it has the handle
        self._handle = handle
        self._address = address_of(lib.wasmtime_sharedmemory_data(kept))

    @classmethod
    def _wrap(cls, engine: WasmEngine, pointer: Any) -> WasmSharedMemory:
        """The memory behind a ``wasmtime_sharedmemory_t *``, which is taken over."""
        c_type = ffi.gc(lib.wasmtime_sharedmemory_type(pointer), lib.wasm_memorytype_delete)
        memory_type = memorytype(c_type)
        self = cls.__new__(cls)
        self._adopt(engine, pointer, memory_type)
        return self

    @property
    def is_pinned(self) -> bool:
        """True: it never moves in the host's memory, so that views of it are always possible."""
        return True

    @property
    def _live(self) -> Any:
        handle = getattr(self, "_handle", None)
        if handle is None:
            raise TypeError("this WasmSharedMemory was never initialised: call super().__init__()")
        return handle.get()

    @property
    def engine(self) -> WasmEngine:
        """The engine whose stores can share it."""
        return self._engine

    @property
    def type(self) -> WasmMemoryType:
        """Its type; ``type.min`` is the size that it started with, as far as is known."""
        return self._type

    @property
    def is_valid(self) -> bool:
        """Whether this object was not closed."""
        return self._handle is not None and self._handle.is_open

    def close(self) -> None:
        """Refuse further use of this object. Instances and views keep the memory."""
        if self._handle is not None:
            self._handle.close()

    @property
    def size(self) -> int:
        """Its size in pages.

        C API: ``wasmtime_sharedmemory_size``.
        """
        return int(lib.wasmtime_sharedmemory_size(self._live))

    @property
    def data_size(self) -> int:
        """Its size in bytes.

        C API: ``wasmtime_sharedmemory_data_size``.
        """
        return int(lib.wasmtime_sharedmemory_data_size(self._live))

    def __len__(self) -> int:
        return self.data_size if self.is_valid else 0

    def grow(self, pages: int) -> int:
        """Make it ``pages`` pages larger, for all who share it.

        Returns:
            The old size in pages.

        Raises:
            WasmtimeError: Its maximum or the system refuse it.
            ValueError: ``pages`` is negative.

        C API: ``wasmtime_sharedmemory_grow``.
        """
        pages = operator.index(pages)
        if pages < 0:
            raise ValueError(f"pages: expected 0 or more, got {pages}")
        old = ffi.new("uint64_t *")
        error = lib.wasmtime_sharedmemory_grow(self._live, min(pages, 2**64 - 1), old)
        check(error, prefix=f"memory.grow({pages}): ")
        return int(old[0])

    def view(self) -> memoryview:
        """A writable view of all its bytes of now, shared with all: no copy is made. It stays valid.

        Raises:
            ClosedError: This object was closed.

        C API: ``wasmtime_sharedmemory_data``.
        """
        pointer = self._live  # owning: the view keeps it
        data, size = lib.wasmtime_sharedmemory_data(pointer), lib.wasmtime_sharedmemory_data_size(pointer)
        return view_of(data, size, pointer)

    if sys.version_info >= (3, 12):

        def __buffer__(self, _flags: int, /) -> memoryview:
            return self.view()

    def read(self, offset: int, length: int) -> bytes:
        """Copy ``length`` bytes out of it, starting at ``offset``.

        Raises:
            IndexError: The range is not inside the memory.
        """
        return bytes(self._part(offset, length))

    def write(self, offset: int, data: Any) -> int:
        """Copy ``data`` into it, starting at ``offset``, and return the number of bytes.

        Raises:
            IndexError: It does not fit.
            TypeError: It is no buffer.
        """
        if isinstance(data, str):
            raise TypeError("data: expected bytes or another buffer, got str; write_utf8 takes text")
        with memoryview(data) as source:
            flat = source if source.c_contiguous else memoryview(source.tobytes())
            self._part(offset, flat.nbytes)[:] = flat.cast("B")
            return flat.nbytes

    def _part(self, offset: int, length: int) -> memoryview:
        offset, length, view = operator.index(offset), operator.index(length), self.view()
        if not (0 <= offset <= view.nbytes and 0 <= length <= view.nbytes - offset):
            out_of_range(view.nbytes, offset, length)
        return view[offset : offset + length]

    def __getitem__(self, key: Any) -> Any:
        """The byte at an index, or the bytes of a slice."""
        found = self.view()[key]
        return bytes(found) if isinstance(found, memoryview) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        self.view()[key] = value

    def _write_extern(self, out: bytearray, at: int) -> Any:
        """Write it as a ``wasmtime_extern_t`` into ``out[at:]``, and return what to keep as long as that.

        Raises:
            ClosedError: This object was closed.
        """
        kept = self._live
        pointer = ffi.new("wasmtime_sharedmemory_t **", kept)
        out[at + EXTERN_OF : at + EXTERN_OF + 8] = ffi.buffer(pointer)[:]
        out[at] = self._KIND
        return kept

    def __eq__(self, other: object) -> bool:
        return self._address == other._address if isinstance(other, WasmSharedMemory) else NotImplemented

    def __hash__(self) -> int:
        return hash((WasmSharedMemory, self._address))

    def __repr__(self) -> str:
        return f"<WasmSharedMemory {self._type}{'' if self.is_valid else ' closed'}>"
