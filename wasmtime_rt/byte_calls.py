"""Bytes in and out of modules that know only numbers: allocate, write, call, read, free.

Such modules take a pointer and a length for each run of bytes, export functions to allocate and to free, and
return bytes as a pointer and a length too: packed into one 64-bit number, as two results, or as a pointer to
text that ends with a zero byte. Pointers come back signed, as all integers of WebAssembly do; here they are
unsigned.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import Any, Literal, TypeAlias

from ._deadline import limited
from ._record import Record
from .errors import WasmtimeError
from .func import WasmFunc
from .instance import WasmInstance
from .memory import WasmMemory

Bytes: TypeAlias = bytes | bytearray | memoryview
Returns: TypeAlias = Literal["packed", "packed_length_first", "pair", "cstring", "value"]

_ALLOCATE = ("alloc", "allocate", "malloc", "cabi_realloc", "__wbindgen_malloc", "__alloc")
_FREE = ("dealloc", "deallocate", "free", "__wbindgen_free", "__free")
_RETURNS = ("packed", "packed_length_first", "pair", "cstring", "value")
_LOW = 0xFFFFFFFF


class WasmSpan(Record):
    """Some bytes in a memory.

    Attributes:
        pointer: Where they begin.
        length: How many there are.
    """

    pointer: int
    length: int


def unsigned(number: int, bits: int = 32) -> int:
    """An integer of WebAssembly, which comes signed, as a pointer or a length.

    >>> hex(unsigned(-65536))
    '0xffff0000'
    """
    return number & ((1 << bits) - 1)


def unpack_span(packed: int, *, length_first: bool = False) -> WasmSpan:
    """The pointer and the length in a 64-bit number: ``(pointer << 32) | length``.

    >>> unpack_span((64 << 32) | 5)
    WasmSpan(pointer=64, length=5)

    Args:
        packed: The number, signed or not.
        length_first: Whether it is ``(length << 32) | pointer``.
    """
    high, low = packed >> 32 & _LOW, packed & _LOW
    return WasmSpan(low, high) if length_first else WasmSpan(high, low)


def pack_span(span: WasmSpan, *, length_first: bool = False) -> int:
    """The opposite of `unpack_span`.

    Raises:
        OverflowError: The pointer or the length has more than 32 bits.
    """
    if not (0 <= span.pointer <= _LOW and 0 <= span.length <= _LOW):
        raise OverflowError(f"expected a pointer and a length of 32 bits, got {span}")
    high, low = (span.length, span.pointer) if length_first else (span.pointer, span.length)
    return high << 32 | low


class ByteCaller:
    """Calls the functions of an instance with bytes.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine()
    >>> module = w.WasmModule(engine, '''(module (memory (export "memory") 1)
    ...     (func (export "alloc") (param i32) (result i32) (i32.const 1024))
    ...     (func (export "skip") (param i32 i32) (result i64)
    ...         (i64.or (i64.shl (i64.extend_i32_u (i32.add (local.get 0) (i32.const 1))) (i64.const 32))
    ...                 (i64.extend_i32_u (i32.sub (local.get 1) (i32.const 1))))))''')
    >>> ByteCaller(w.WasmInstance(w.WasmStore(engine), module)).call("skip", b"hello")
    b'ello'

    Args:
        instance: The instance.
        memory: The name of its memory.
        alloc: The name of the function that allocates: by its number of parameters it gets the size; the
            size and an alignment; or, as ``cabi_realloc``, nothing to grow, an alignment and the size. By
            default the first that it exports of ``alloc``, ``allocate``, ``malloc``, ``cabi_realloc``,
            ``__wbindgen_malloc`` and ``__alloc``.
        free: The name of the function that frees: it gets the pointer; that and the size; or these and an
            alignment. By default the first of ``dealloc``, ``deallocate``, ``free``, ``__wbindgen_free``
            and ``__free``, or none where it exports none of them, and nothing is freed.
        align: The alignment to ask for, in bytes.

    Raises:
        KeyError: There is no such export.
        TypeError: An export is of another kind, or has other parameters.
    """

    __slots__ = ("_align", "_alloc", "_free", "_instance", "_memory")

    def __init__(
        self,
        instance: WasmInstance,
        *,
        memory: str = "memory",
        alloc: str | None = None,
        free: str | None = None,
        align: int = 1,
    ) -> None:
        if not isinstance(instance, WasmInstance):
            raise TypeError(f"instance: expected a WasmInstance, got {instance!r}")
        self._instance, self._memory, self._align = instance, instance.get_memory(memory), align
        self._alloc = _function(instance, alloc, _ALLOCATE, (1, 2, 4))
        self._free = _function(instance, free, _FREE, (1, 2, 3))

    @property
    def memory(self) -> WasmMemory:
        """The memory that the bytes are in."""
        return self._memory

    def put(self, data: Bytes) -> WasmSpan:
        """Allocate room for ``data`` and write it there.

        Raises:
            KeyError: The instance exports nothing to allocate with.
            WasmtimeError: It does not give the room.
        """
        if self._alloc is None:
            raise KeyError(f"no export to allocate with, such as {', '.join(_ALLOCATE)}: alloc= names it")
        view = memoryview(data)
        data = view.cast("B") if view.c_contiguous else view.tobytes()
        size = max(len(data), 1)
        arguments = {1: (size,), 2: (size, self._align), 4: (0, 0, self._align, size)}
        pointer = self._pointer(self._alloc(*arguments[len(self._alloc.type.params)]))
        if not pointer:
            raise WasmtimeError(f"{self._alloc.name}: no room for {len(data)} bytes")
        self._memory.write(pointer, data)
        return WasmSpan(pointer, len(data))

    def get(self, span: WasmSpan) -> bytes:
        """A copy of the bytes in ``span``.

        Raises:
            IndexError: They are not inside the memory.
        """
        return self._memory.read(span.pointer, span.length)

    def free(self, span: WasmSpan) -> None:
        """Free what ``span`` is in, where the instance exports something to free with."""
        if self._free is not None:
            arguments = (span.pointer, max(span.length, 1), self._align)
            self._free(*arguments[: len(self._free.type.params)])

    def call(
        self,
        name: str,
        *args: Bytes | float,
        returns: Returns = "packed",
        free_result: bool = True,
        timeout: float | EllipsisType | None = ...,
    ) -> Any:
        """Call the function exported as ``name``.

        Args:
            name: Its name.
            *args: Bytes, of which each becomes a pointer and a length, and numbers, which stay as they are.
                What was allocated for the bytes is freed, unless the function traps.
            returns: What comes back: ``"packed"`` is ``(pointer << 32) | length`` in one i64,
                ``"packed_length_first"`` the other way round, ``"pair"`` two results, ``"cstring"`` a pointer
                to bytes that end with a zero; ``"value"`` is whatever it is.
            free_result: Whether the bytes that come back are the caller's to free.
            timeout: Seconds that it may take in all, with allocating and freeing, in place of the store's own
                limit for each of these calls; ``None`` lifts that. See `WasmStore.deadline`.

        Returns:
            The bytes; with ``"value"``, what the function returned.

        Raises:
            IndexError: What comes back is not inside the memory.
            KeyError: There is no such export.
            TypeError: It does not return what ``returns`` says.
            BaseException: What a call of a `WasmFunc` raises.
        """
        if returns not in _RETURNS:
            raise ValueError(f"returns: expected one of {', '.join(_RETURNS)}, got {returns!r}")
        with limited(self._instance.store, timeout):
            return self._call(name, args, returns, free_result)

    def _call(self, name: str, args: tuple[Any, ...], returns: Returns, free_result: bool) -> Any:
        function = self._instance.get_func(name)
        given: list[float] = []
        spans: list[WasmSpan] = []
        try:
            for i, argument in enumerate(args):
                if isinstance(argument, (bytes, bytearray, memoryview)):
                    spans.append(self.put(argument))
                    given += [spans[-1].pointer, spans[-1].length]
                elif isinstance(argument, str):
                    raise TypeError(f"{name}: argument {i}: expected bytes or a number, got str {argument!r}")
                else:
                    given.append(argument)
            returned = function(*given)
        except WasmtimeError:
            raise  # it trapped, or will: nothing more is asked of it
        except BaseException:
            self._free_all(spans)
            raise
        if returns == "value":
            self._free_all(spans)
            return returned
        try:
            span = self._span(function, returned, returns)
            data = self.get(span)
        finally:
            self._free_all(spans)
        if free_result and span.pointer and span not in spans:
            self.free(WasmSpan(span.pointer, span.length + 1) if returns == "cstring" else span)
        return data

    def _free_all(self, spans: list[WasmSpan]) -> None:
        for span in reversed(spans):
            self.free(span)

    def _span(self, function: WasmFunc, returned: Any, returns: Returns) -> WasmSpan:
        name = function.name
        if returns == "pair":
            if not (isinstance(returned, tuple) and len(returned) == 2):
                raise TypeError(f"{name}: expected a pointer and a length, got {returned!r}")
            return WasmSpan(self._pointer(returned[0]), self._pointer(returned[1]))
        if not isinstance(returned, int):
            raise TypeError(f"{name}: expected an integer, got {returned!r}")
        if returns != "cstring":
            if (kind := function.type.results[0].kind) != "i64":
                raise TypeError(f"{name}: expected a pointer and a length in one i64, got {kind} {returned}")
            return unpack_span(returned, length_first=returns == "packed_length_first")
        pointer = self._pointer(returned)
        return WasmSpan(pointer, self._length(pointer))

    def _length(self, pointer: int) -> int:
        """How many bytes come before the next zero."""
        size, length = self._memory.data_size, 0
        while pointer + length < size:
            piece = self._memory.read(pointer + length, min(4096, size - pointer - length))
            if (found := piece.find(0)) >= 0:
                return length + found
            length += len(piece)
        raise IndexError(f"no zero byte from {pointer} to the end of the memory at {size}")

    def _pointer(self, number: int) -> int:
        return unsigned(number, 64 if self._memory.type.is64 else 32)

    def __repr__(self) -> str:
        return f"<ByteCaller of {self._instance!r}>"


def call_bytes(
    instance: WasmInstance,
    name: str,
    *args: Bytes | float,
    memory: str = "memory",
    alloc: str | None = None,
    free: str | None = None,
    returns: Returns = "packed",
    free_result: bool = True,
    timeout: float | EllipsisType | None = ...,
) -> Any:
    """Call a function of ``instance`` once with bytes: the same as `ByteCaller` and `ByteCaller.call`.

    Raises:
        BaseException: What these raise.
    """
    caller = ByteCaller(instance, memory=memory, alloc=alloc, free=free)
    return caller.call(name, *args, returns=returns, free_result=free_result, timeout=timeout)


def _function(
    instance: WasmInstance, name: str | None, usual: tuple[str, ...], counts: tuple[int, ...]
) -> WasmFunc | None:
    """The function called ``name``, or the first of the ``usual`` ones that there is."""
    exports: Mapping[str, object] = instance.exports
    if name is None:
        name = next((one for one in usual if one in exports), None)
        if name is None:
            return None
    function = instance.get_func(name)
    if len(function.type.params) not in counts:
        expected = ", ".join(map(str, counts))
        raise TypeError(f"{name}: expected one of {expected} parameters, got {function.type}")
    return function
