"""Shared memories: made here or there, used by several stores on several threads."""

import gc
import threading

import pytest

import wasmtime_rt as w

WAT = """(module
  (import "env" "memory" (memory 1 4 shared))
  (func (export "add") (param $at i32) (param $n i32)
    (loop $again
      (drop (i32.atomic.rmw.add (local.get $at) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n))))
  (func (export "wait") (param i32 i64) (result i32)
    (memory.atomic.wait32 (local.get 0) (i32.const 0) (local.get 1)))
  (func (export "notify") (param i32) (result i32)
    (i32.atomic.store (local.get 0) (i32.const 1))
    (memory.atomic.notify (local.get 0) (i32.const 10)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
)"""


@pytest.fixture(scope="module")
def engine():
    return w.WasmEngine(w.WasmConfig(shared_memory=True))


@pytest.fixture(scope="module")
def module(engine):
    return w.WasmModule(engine, WAT)


@pytest.fixture
def memory(engine):
    return w.WasmSharedMemory(engine, w.WasmMemoryType(1, 4, shared=True))


def exports_of(module, memory):
    return w.WasmInstance(w.WasmStore(module.engine), module, {"env": {"memory": memory}}).exports


def test_threads_with_a_store_each_count_together(module, memory):
    instances = [exports_of(module, memory) for _ in range(4)]
    threads = [threading.Thread(target=each.add, args=(64, 50_000)) for each in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.read_u32(64) == 200_000


def test_one_thread_wakes_another(module, memory):
    waiter, answers = exports_of(module, memory), []
    thread = threading.Thread(target=lambda: answers.append(waiter.wait(0, -1)))
    thread.start()
    notifier = exports_of(module, memory)
    while thread.is_alive():
        notifier.notify(0)
        thread.join(0.01)
    assert answers[0] in {0, 1}  # woken, or it came when the value had changed
    assert waiter.wait(4, 1000) == 2  # nobody comes: timed out


def test_bytes_numbers_and_text(memory):
    assert memory.write(10, b"abc") == 3
    memory[13:16] = b"def"
    assert (memory.read(10, 6), memory[10], memory[-1]) == (b"abcdef", 97, 0)
    memory.write_f64(24, 2.5)
    assert (memory.read_f64(24), memory.f64[3]) == (2.5, 2.5)
    memory.write_cstring(100, "héllo")
    assert memory.read_cstring(100) == "héllo"
    with pytest.raises(IndexError):
        memory.read(65536, 1)
    with pytest.raises(IndexError):
        memory.write(65535, b"ab")
    with pytest.raises(TypeError, match="write_utf8"):
        memory.write(0, "text")


def test_growing_is_seen_by_all_and_views_stay(module, memory):
    exports, view = exports_of(module, memory), memory.view()
    assert exports.grow(1) == 1
    assert memory.grow(1) == 2
    assert (memory.size, memory.data_size, len(memory), len(view)) == (3, 196608, 196608, 65536)
    assert memory.is_pinned
    memory[0] = 7
    assert view[0] == 7
    with pytest.raises(w.WasmtimeError, match=r"memory.grow\(2\)"):
        memory.grow(2)
    with pytest.raises(ValueError, match="0 or more"):
        memory.grow(-1)


def test_a_view_outlives_everything(engine, module):
    memory = w.WasmSharedMemory(engine, w.WasmMemoryType(1, 1, shared=True))
    view = memory.view()
    memory.close()
    del memory
    gc.collect()
    view[5] = 6
    assert bytes(view[4:7]) == b"\0\6\0"


def test_an_exported_one_is_the_same_however_it_is_reached(engine, memory):
    passing = w.WasmModule(
        engine, '(module (import "env" "memory" (memory 1 4 shared)) (export "again" (memory 0)))'
    )
    again = exports_of(passing, memory).again
    assert isinstance(again, w.WasmSharedMemory)
    assert (again == memory, hash(again) == hash(memory)) == (True, True)
    own = w.WasmModule(engine, '(module (memory (export "m") 2 3 shared))')
    made = w.WasmInstance(w.WasmStore(engine), own).exports.m
    assert (made.type, made.size, made == memory) == (w.WasmMemoryType(2, 3, shared=True), 2, False)
    user = w.WasmModule(engine, '(module (import "env" "memory" (memory 1 3 shared)))')
    assert w.WasmInstance(w.WasmStore(engine), user, {"env": {"memory": made}}).is_valid


def test_through_a_linker(module, memory):
    linker = w.WasmLinker(module.engine)
    linker.define("env", "memory", memory)
    for _ in range(2):
        linker.instantiate(w.WasmStore(module.engine), module).exports.add(8, 1)
    assert memory.read_u32(8) == 2


def test_what_is_refused(engine, module, memory):
    plain = w.WasmEngine()
    shared = w.WasmMemoryType(1, 4, shared=True)
    with pytest.raises(w.WasmtimeError, match="shared_memory=True"):
        w.WasmSharedMemory(plain, shared)
    with pytest.raises(TypeError, match=r"WasmMemory\(store, type\) makes it"):
        w.WasmSharedMemory(engine, w.WasmMemoryType(1, 4))
    with pytest.raises(TypeError, match=r"WasmSharedMemory\(engine, type\) makes it"):
        w.WasmMemory(w.WasmStore(engine), shared)
    other = w.WasmEngine(w.WasmConfig(shared_memory=True))
    with pytest.raises(w.WrongEngineError, match="of another engine"):
        exports_of(module, w.WasmSharedMemory(other, shared))
    with pytest.raises(w.LinkError, match="got .memory 1 2 shared., which is 1 large now|got"):
        exports_of(module, w.WasmSharedMemory(engine, w.WasmMemoryType(1, 8, shared=True)))
    memory.close()
    memory.close()
    assert not memory.is_valid
    for act in (
        lambda: memory.size,
        lambda: memory[0],
        lambda: memory.view(),
        lambda: exports_of(module, memory),
    ):
        with pytest.raises(w.ClosedError):
            act()


def test_keep_gil_is_refused_where_a_call_could_wait(module, memory):
    add = exports_of(module, memory).add
    with pytest.raises(w.WasmtimeError, match="memories can be shared"):
        add.typed(["i32", "i32"], [], keep_gil=True)
    add.typed(["i32", "i32"])(0, 1)


def test_typed_views(engine):
    memory = w.WasmMemory(w.WasmStore(engine), w.WasmMemoryType(1))
    memory.u32[1] = 2**32 - 1
    assert (memory.i32[1], memory.u8[4], memory.i8[4], memory.u16[2], memory.i16[2]) == (
        -1,
        255,
        -1,
        65535,
        -1,
    )
    memory.f32[4] = 0.5
    memory.u64[3] = 2**63
    assert (memory.read_f32(16), memory.i64[3], len(memory.f64)) == (0.5, -(2**63), 8192)
    small = w.WasmEngine(w.WasmConfig(wasm_custom_page_sizes=True))
    odd = w.WasmMemory(w.WasmStore(small), w.WasmMemoryType(11, 11, page_size=1))
    assert (len(odd.u32), len(odd.u8)) == (2, 11)
