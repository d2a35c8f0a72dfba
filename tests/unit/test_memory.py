"""Linear memories: bytes, numbers, text, slices and views."""

import array
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmtime_rt import (
    AbstractMemory,
    ClosedError,
    WasmEngine,
    WasmMemory,
    WasmMemoryType,
    WasmStore,
    WasmtimeError,
)

PAGE = 65536


@pytest.fixture
def memory(store):
    return WasmMemory(store, WasmMemoryType(1, 3))


@pytest.fixture(scope="module")
def shared_memory():
    return WasmMemory(WasmStore(WasmEngine()), WasmMemoryType(1))


def test_a_memory_tells_its_type_and_size(memory, store):
    assert isinstance(memory, AbstractMemory)
    assert memory.type == WasmMemoryType(1, 3)
    assert memory.store is store
    assert (memory.size, memory.data_size, len(memory)) == (1, PAGE, PAGE)
    assert repr(memory) == "<WasmMemory (memory 1 3)>"


def test_grow_returns_the_old_size_and_raises_when_refused(memory):
    assert memory.grow(1) == 1
    assert memory.grow(0) == 2
    assert memory.grow(1) == 2
    with pytest.raises(WasmtimeError, match=r"memory\.grow\(1\): failed to grow memory"):
        memory.grow(1)
    with pytest.raises(WasmtimeError, match="memory.grow"):
        memory.grow(2**70)
    with pytest.raises(ValueError, match="pages: expected 0 or more, got -1"):
        memory.grow(-1)
    with pytest.raises(TypeError):
        memory.grow(1.0)
    assert (memory.size, memory.data_size) == (3, 3 * PAGE)


def test_a_maximum_of_zero_is_zero_and_none_is_unlimited(store):
    empty = WasmMemory(store, WasmMemoryType(0, 0))
    with pytest.raises(WasmtimeError):
        empty.grow(1)
    assert WasmMemory(store, WasmMemoryType(0)).grow(2) == 0


def test_bytes_are_copied_in_and_out(memory):
    assert memory.write(10, b"hello") == 5
    copy = memory.read(10, 5)
    assert copy == b"hello"
    memory.write(10, b"HELLO")
    assert copy == b"hello"
    assert memory.read(PAGE, 0) == b""
    assert memory.write(PAGE, b"") == 0


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"\1\2\3\4"),
        memoryview(b"\1\2\3\4"),
        array.array("B", [1, 2, 3, 4]),
        np.array([1, 2, 3, 4], "u1"),
        np.array([0x04030201], "<u4"),
        np.arange(1, 9, dtype="u1")[:4].reshape(2, 2),
        np.array([1, 9, 2, 9, 3, 9, 4, 9], "u1")[::2],
        memoryview(b"\4\3\2\1")[::-1],
    ],
)
def test_any_buffer_is_written(memory, data):
    assert memory.write(0, data) == 4
    assert memory[0:5] == b"\1\2\3\4\0"


def test_text_and_numbers_are_no_bytes(memory):
    with pytest.raises(TypeError, match="got str; write_utf8 takes text"):
        memory.write(0, "text")
    with pytest.raises(TypeError):
        memory.write(0, 5)


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (PAGE, 1),
        (PAGE - 1, 2),
        (-1, 1),
        (0, PAGE + 1),
        (2**32, 1),
        (2**63, 1),
        (2**64, 0),
        (0, -1),
        (0, 2**70),
    ],
)
def test_access_out_of_range_raises_and_never_clamps(memory, offset, length):
    with pytest.raises(IndexError, match="outside of this memory|inside memory"):
        memory.read(offset, length)
    if 0 < length < 2**20:
        with pytest.raises(IndexError, match="outside of this memory|inside memory"):
            memory.write(offset, b"x" * length)
        assert memory.read(PAGE - 1, 1) == b"\0"


def test_the_error_names_range_and_size(memory):
    with pytest.raises(IndexError, match="bytes 65530 to 65540 are outside of this memory of 65536 bytes"):
        memory.read(65530, 10)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (f"{sign}{bits}", -(2 ** (bits - 1)) if sign == "i" else 0, 2 ** (bits - (sign == "i")) - 1)
        for bits in (8, 16, 32, 64)
        for sign in "iu"
    ],
)
def test_integers_are_little_endian_and_exact(memory, kind, low, high):
    read, write, size = getattr(memory, f"read_{kind}"), getattr(memory, f"write_{kind}"), int(kind[1:]) // 8
    for value in (low, high, 0, high // 3, True):
        write(5, value)
        assert read(5) == value
        assert memory.read(5, size) == int(value).to_bytes(size, "little", signed=kind[0] == "i")
    for value in (low - 1, high + 1):
        with pytest.raises(
            OverflowError, match=f"write_{kind}: expected an integer from {low} to {high}, got {value}"
        ):
            write(5, value)
    with pytest.raises(TypeError):
        write(5, 1.5)
    for offset in (PAGE - size + 1, -1):
        with pytest.raises(IndexError):
            read(offset)
        with pytest.raises(IndexError):
            write(offset, 0)


@given(st.floats(width=32), st.floats())
def test_floats_round_trip(shared_memory, single, double):
    shared_memory.write_f32(0, single)
    shared_memory.write_f64(8, double)
    assert shared_memory.read_f32(0) == single or math.isnan(single)
    assert shared_memory.read(8, 8) == struct.pack("<d", double)
    assert shared_memory.read_f64(8) == double or math.isnan(double)


def test_floats_are_checked(memory):
    with pytest.raises(OverflowError, match="write_f32: expected a number in the range of f32"):
        memory.write_f32(0, 1e39)
    with pytest.raises(TypeError, match="write_f64: expected a real number, got str"):
        memory.write_f64(0, "1")


def test_text_is_utf8(memory):
    assert memory.write_utf8(0, "grüße 𝄞") == 12
    assert memory.read_utf8(0, 12) == "grüße 𝄞"
    with pytest.raises(UnicodeDecodeError):
        memory.read_utf8(0, 3)


def test_c_strings_end_with_a_nul_byte(memory):
    assert memory.write_cstring(5, "grüße") == 8
    assert memory.read(5, 9) == "grüße".encode() + b"\0\0"
    assert memory.read_cstring(5) == "grüße"
    assert memory.read_cstring(12) == ""
    long = "x" * 3000
    memory.write_cstring(100, long)
    assert memory.read_cstring(100) == long
    with pytest.raises(ValueError, match="expected no NUL character"):
        memory.write_cstring(0, "a\0b")


def test_a_c_string_without_an_end_is_an_error(memory):
    memory[PAGE - 4 :] = b"abcd"
    with pytest.raises(IndexError, match="no NUL byte in bytes 65532 to 65536"):
        memory.read_cstring(PAGE - 4)
    with pytest.raises(IndexError, match="no NUL byte in bytes 65532 to 65534"):
        memory.read_cstring(PAGE - 4, 2)
    for offset in (PAGE, -1):
        with pytest.raises(IndexError):
            memory.read_cstring(offset)
    memory.write_cstring(0, "abc")
    assert memory.read_cstring(0, 4) == "abc"
    for length in (3, 0, -1):
        with pytest.raises(IndexError):
            memory.read_cstring(0, length)
    with pytest.raises(IndexError):
        memory.read_cstring(PAGE // 2, 0)


def test_indices_and_slices(memory):
    memory[3] = 200
    memory[-1] = 7
    assert (memory[3], memory[PAGE - 1], memory[-PAGE + 3]) == (200, 7, 200)
    memory[0:4] = b"abcd"
    assert memory[:4] == b"abcd"
    assert memory[1:4:2] == b"bd"
    assert memory[3::-1] == b"dcba"
    assert memory[4:2] == b""
    assert memory[-1:] == b"\7"
    for index in (PAGE, -PAGE - 1):
        with pytest.raises(IndexError, match=f"byte {index} is outside of this memory of {PAGE} bytes"):
            memory[index]
        with pytest.raises(IndexError):
            memory[index] = 0
    for value in (256, -1):
        with pytest.raises(ValueError):
            memory[0] = value
    with pytest.raises(TypeError):
        memory["a"]


def test_assigning_to_a_slice_does_not_change_the_size(memory):
    with pytest.raises(ValueError, match="expected 4 bytes, got 3"):
        memory[0:4] = b"abc"
    with pytest.raises(ValueError, match="expected step 1, got 2"):
        memory[0:4:2] = b"ab"
    with pytest.raises(TypeError):
        memory[0:4] = "abcd"
    assert memory[0:4] == bytes(4)


def test_a_closed_memory_refuses_use(memory):
    memory.close()
    assert not memory.is_valid
    for use in (lambda: memory.read(0, 1), lambda: memory.write(0, b"x"), memory.view, lambda: memory.size):
        with pytest.raises(ClosedError, match="this WasmMemory was closed"):
            use()
    assert len(memory) == PAGE
    assert repr(memory) == "<WasmMemory (memory 1 3) closed>"


def test_a_memory_type_is_asked_for_by_name(store):
    with pytest.raises(TypeError, match="type: expected a WasmMemoryType, got 1"):
        WasmMemory(store, 1)
