"""Text, numbers and typed views in linear memory: what memories of both kinds offer on top of bytes."""

from __future__ import annotations

import operator
import struct
from typing import Any

from .values import wasm_float

_SCALARS = {
    "u8": struct.Struct("<B"),
    "i8": struct.Struct("<b"),
    "u16": struct.Struct("<H"),
    "i16": struct.Struct("<h"),
    "u32": struct.Struct("<I"),
    "i32": struct.Struct("<i"),
    "u64": struct.Struct("<Q"),
    "i64": struct.Struct("<q"),
    "f32": struct.Struct("<f"),
    "f64": struct.Struct("<d"),
}


class MemoryAccess:
    """What `read`, `write`, `view` and `data_size` of a memory make possible."""

    __slots__ = ()

    def read(self: Any, offset: int, length: int) -> bytes:
        """Copy ``length`` bytes out of linear memory, starting at ``offset``."""
        raise NotImplementedError

    def write(self: Any, offset: int, data: Any) -> int:
        """Copy ``data`` into linear memory, starting at ``offset``."""
        raise NotImplementedError

    def view(self) -> memoryview:
        """A writable view of all its bytes."""
        raise NotImplementedError

    @property
    def data_size(self) -> int:
        """Its size in bytes."""
        raise NotImplementedError

    # ---- Views by type, in the byte order of WebAssembly, which is the host's on all that is supported

    def _typed_view(self, kind: str) -> memoryview:
        packer, view = _SCALARS[kind], self.view()
        whole = view.nbytes - view.nbytes % packer.size
        return view[:whole].cast(packer.format.lstrip("<"))  # type: ignore[call-overload, no-any-return]

    @property
    def u8(self) -> memoryview:
        """A `view` of its bytes as unsigned 8-bit integers: item ``i`` is at byte ``i``."""
        return self._typed_view("u8")

    @property
    def i8(self) -> memoryview:
        """A `view` of its bytes as signed 8-bit integers: item ``i`` is at byte ``i``."""
        return self._typed_view("i8")

    @property
    def u16(self) -> memoryview:
        """A `view` of its bytes as unsigned 16-bit integers: item ``i`` is at byte ``2 * i``."""
        return self._typed_view("u16")

    @property
    def i16(self) -> memoryview:
        """A `view` of its bytes as signed 16-bit integers: item ``i`` is at byte ``2 * i``."""
        return self._typed_view("i16")

    @property
    def u32(self) -> memoryview:
        """A `view` of its bytes as unsigned 32-bit integers: item ``i`` is at byte ``4 * i``."""
        return self._typed_view("u32")

    @property
    def i32(self) -> memoryview:
        """A `view` of its bytes as signed 32-bit integers: item ``i`` is at byte ``4 * i``."""
        return self._typed_view("i32")

    @property
    def u64(self) -> memoryview:
        """A `view` of its bytes as unsigned 64-bit integers: item ``i`` is at byte ``8 * i``."""
        return self._typed_view("u64")

    @property
    def i64(self) -> memoryview:
        """A `view` of its bytes as signed 64-bit integers: item ``i`` is at byte ``8 * i``."""
        return self._typed_view("i64")

    @property
    def f32(self) -> memoryview:
        """A `view` of its bytes as 32-bit floats: item ``i`` is at byte ``4 * i``."""
        return self._typed_view("f32")

    @property
    def f64(self) -> memoryview:
        """A `view` of its bytes as 64-bit floats: item ``i`` is at byte ``8 * i``."""
        return self._typed_view("f64")

    # ---- Text

    def read_utf8(self, offset: int, length: int) -> str:
        """The ``length`` bytes at ``offset``, decoded.

        Raises:
            IndexError: The range is not inside the memory.
            UnicodeDecodeError: They are not UTF-8.
        """
        return self.read(offset, length).decode()

    def write_utf8(self, offset: int, text: str) -> int:
        """Write ``text`` at ``offset`` as UTF-8, without a terminator, and return its length in bytes.

        Raises:
            IndexError: It does not fit.
        """
        return self.write(offset, text.encode())

    def read_cstring(self, offset: int, max_length: int | None = None) -> str:
        """The text that starts at ``offset`` and ends before the next NUL byte.

        Args:
            offset: Byte offset of the first character.
            max_length: The largest number of bytes to look at; by default all that follow.

        Raises:
            IndexError: ``offset`` is outside, or no NUL byte follows.
            UnicodeDecodeError: It is not UTF-8.
        """
        offset = operator.index(offset)
        end = self.data_size
        if max_length is not None:
            end = min(end, offset + operator.index(max_length))
        found = bytearray()
        at = offset
        self.read(offset, 0)  # where it starts must be inside
        while at < end:
            part = self.read(at, min(256, end - at))
            head, nul, _rest = part.partition(b"\0")
            found += head
            if nul:
                return found.decode()
            at += len(part)
        raise IndexError(f"no NUL byte in bytes {offset} to {end}")

    def write_cstring(self, offset: int, text: str) -> int:
        """Write ``text`` at ``offset`` as UTF-8 with a NUL byte, and return the bytes written, NUL included.

        Raises:
            IndexError: It does not fit.
            ValueError: ``text`` has a NUL character, where it would end.
        """
        data = text.encode()
        if b"\0" in data:
            raise ValueError(f"text: expected no NUL character, got {text!r}")
        return self.write(offset, data + b"\0")

    # ---- Numbers, little-endian wherever WebAssembly is

    def _read_number(self, kind: str, offset: int) -> Any:
        packer = _SCALARS[kind]
        return packer.unpack(self.read(offset, packer.size))[0]

    def _write_number(self, kind: str, offset: int, value: Any) -> None:
        packer = _SCALARS[kind]
        if kind in {"f32", "f64"}:
            data = packer.pack(wasm_float(value, kind, f"write_{kind}"))
        else:
            number, bits = operator.index(value), 8 * packer.size
            low, high = (0, 1 << bits) if kind.startswith("u") else (-(1 << (bits - 1)), 1 << (bits - 1))
            if not low <= number < high:
                raise OverflowError(
                    f"write_{kind}: expected an integer from {low} to {high - 1}, got {number}"
                )
            data = packer.pack(number)
        self.write(offset, data)

    def read_u8(self, offset: int) -> int:
        """The unsigned 8-bit integer at ``offset``."""
        return int(self._read_number("u8", offset))

    def read_i8(self, offset: int) -> int:
        """The signed 8-bit integer at ``offset``."""
        return int(self._read_number("i8", offset))

    def read_u16(self, offset: int) -> int:
        """The unsigned 16-bit integer at ``offset``."""
        return int(self._read_number("u16", offset))

    def read_i16(self, offset: int) -> int:
        """The signed 16-bit integer at ``offset``."""
        return int(self._read_number("i16", offset))

    def read_u32(self, offset: int) -> int:
        """The unsigned 32-bit integer at ``offset``."""
        return int(self._read_number("u32", offset))

    def read_i32(self, offset: int) -> int:
        """The signed 32-bit integer at ``offset``."""
        return int(self._read_number("i32", offset))

    def read_u64(self, offset: int) -> int:
        """The unsigned 64-bit integer at ``offset``."""
        return int(self._read_number("u64", offset))

    def read_i64(self, offset: int) -> int:
        """The signed 64-bit integer at ``offset``."""
        return int(self._read_number("i64", offset))

    def read_f32(self, offset: int) -> float:
        """The 32-bit float at ``offset``."""
        return float(self._read_number("f32", offset))

    def read_f64(self, offset: int) -> float:
        """The 64-bit float at ``offset``."""
        return float(self._read_number("f64", offset))

    def write_u8(self, offset: int, value: int) -> None:
        """Write an unsigned 8-bit integer at ``offset``."""
        self._write_number("u8", offset, value)

    def write_i8(self, offset: int, value: int) -> None:
        """Write a signed 8-bit integer at ``offset``."""
        self._write_number("i8", offset, value)

    def write_u16(self, offset: int, value: int) -> None:
        """Write an unsigned 16-bit integer at ``offset``."""
        self._write_number("u16", offset, value)

    def write_i16(self, offset: int, value: int) -> None:
        """Write a signed 16-bit integer at ``offset``."""
        self._write_number("i16", offset, value)

    def write_u32(self, offset: int, value: int) -> None:
        """Write an unsigned 32-bit integer at ``offset``."""
        self._write_number("u32", offset, value)

    def write_i32(self, offset: int, value: int) -> None:
        """Write a signed 32-bit integer at ``offset``."""
        self._write_number("i32", offset, value)

    def write_u64(self, offset: int, value: int) -> None:
        """Write an unsigned 64-bit integer at ``offset``."""
        self._write_number("u64", offset, value)

    def write_i64(self, offset: int, value: int) -> None:
        """Write a signed 64-bit integer at ``offset``."""
        self._write_number("i64", offset, value)

    def write_f32(self, offset: int, value: float) -> None:
        """Write a 32-bit float at ``offset``."""
        self._write_number("f32", offset, value)

    def write_f64(self, offset: int, value: float) -> None:
        """Write a 64-bit float at ``offset``."""
        self._write_number("f64", offset, value)
