"""Views of linear memories: bytes that Python and WebAssembly share without a copy."""

import sys

import numpy as np
import pytest

from wasmtime_rt import (
    MemoryViewError,
    WasmMemory,
    WasmMemoryType,
)

PAGE = 65536


@pytest.fixture
def memory(store):
    return WasmMemory(store, WasmMemoryType(1, 3))


def test_a_view_shares_the_bytes(run):
    exports = run(
        """(module (memory (export "m") 1 2) (func (export "poke") (i32.store8 (i32.const 9) (i32.const 77)))
        (func (export "grow") (result i32) (memory.grow (i32.const 1))))"""
    ).exports
    view = exports.m.view()
    assert (view.format, view.nbytes, view.readonly, view.ndim) == ("B", PAGE, False, 1)
    exports.poke()
    assert view[9] == 77
    view[10] = 5
    assert exports.m.read_u8(10) == 5
    assert exports.grow() == 1
    exports.m.write_u8(11, 6)
    assert view[11] == 6
    assert (len(view), len(exports.m.view())) == (PAGE, 2 * PAGE)


def test_numpy_works_in_place(memory):
    numbers = np.frombuffer(memory.view(), "<u4", count=4, offset=16)
    numbers[:] = [1, 2, 3, 2**32 - 1]
    assert [memory.read_u32(16 + 4 * i) for i in range(4)] == [1, 2, 3, 2**32 - 1]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes export buffers since Python 3.12")
def test_a_memory_is_a_buffer(memory):
    memory[0:3] = b"abc"
    view = memoryview(memory)
    assert bytes(view[:3]) == b"abc"
    view[0] = ord("x")
    assert np.frombuffer(memory, "u1")[0] == memory[0] == ord("x")


@pytest.mark.parametrize(
    ("memory_type", "pinned"),
    [
        (WasmMemoryType(0), True),
        (WasmMemoryType(1, 65536), True),
        (WasmMemoryType(1, 1, is64=True), True),
        (WasmMemoryType(1, 65536, is64=True), True),
        (WasmMemoryType(1, 65537, is64=True), False),
        (WasmMemoryType(1, is64=True), False),
    ],
)
def test_only_a_memory_that_cannot_move_has_views(store, memory_type, pinned):
    memory = WasmMemory(store, memory_type)
    assert memory.is_pinned is pinned
    if pinned:
        assert len(memory.view()) == memory.data_size
    else:
        with pytest.raises(
            MemoryViewError, match=r"use read\(\) and write\(\), or give it a maximum that fits"
        ):
            memory.view()
        with pytest.raises(BufferError):
            memory.view()
        memory.write_u64(PAGE - 8, 7)
        assert memory.read_u64(PAGE - 8) == 7
