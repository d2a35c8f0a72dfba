"""Settings of memories and pools: what is reserved, what may move, and how much there is."""

import contextlib
import gc
import sys

import pytest

from wasmtime_rt import (
    MemoryViewError,
    PoolingConfig,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmtimeError,
)
from wasmtime_rt._lowlevel import address_of, lib

MODULE = '(module (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 7)))'

#: Small pools: the engine reserves little, and a trial is over soon.
POOLS = PoolingConfig(
    total_core_instances=2,
    total_memories=2,
    total_tables=1,
    total_stacks=0,
    total_gc_heaps=1,
    max_memory_size=4 << 16,
    table_elements=10,
)


def memory_of(config, memory_type):
    return WasmMemory(WasmStore(WasmEngine(config)), memory_type)


def base(memory):
    with memory.store._core as context:
        return address_of(lib.wasmtime_memory_data(context, memory._handle))


# ---- Views


@pytest.mark.parametrize(
    ("settings", "memory_type", "stays"),
    [
        ({}, WasmMemoryType(1), True),
        ({}, WasmMemoryType(1, is64=True), False),
        ({}, WasmMemoryType(1, 1 << 16, is64=True), True),  # 4 GiB, as much as is reserved
        ({}, WasmMemoryType(1, (1 << 16) + 1, is64=True), False),
        ({"memory_reservation": 0}, WasmMemoryType(1), False),
        ({"memory_reservation": 0}, WasmMemoryType(1, 2), False),
        ({"memory_reservation": 0}, WasmMemoryType(1, 1), True),
        ({"memory_reservation": 2 << 16}, WasmMemoryType(1, 2), True),
        ({"memory_reservation": (2 << 16) - 1}, WasmMemoryType(1, 2), False),
        ({"memory_reservation": 2 << 16}, WasmMemoryType(1, 2, is64=True), True),
        ({"memory_reservation": 0, "memory_may_move": False}, WasmMemoryType(1), True),
        ({"memory_may_move": False}, WasmMemoryType(1, is64=True), True),
        ({"memory_reservation": 8 << 30}, WasmMemoryType(1, (1 << 16) + 1, is64=True), True),
        ({"target": "pulley32"}, WasmMemoryType(1), True),
    ],
)
def test_a_memory_has_views_where_it_cannot_move(settings, memory_type, stays):
    memory = memory_of(WasmConfig(**settings), memory_type)
    assert memory.is_pinned is stays
    if stays:
        assert len(memory.view()) == 1 << 16
    else:
        with pytest.raises(MemoryViewError, match="memory_reservation"):
            memory.view()


@pytest.mark.parametrize(
    ("settings", "memory_type"),
    [
        ({}, WasmMemoryType(1)),
        ({"memory_may_move": False, "memory_reservation": 0}, WasmMemoryType(1)),
        ({"memory_may_move": False}, WasmMemoryType(1, is64=True)),
        ({"memory_reservation": 20 << 16}, WasmMemoryType(1, 20)),
        (
            {"memory_reservation": 0, "signals_based_traps": False, "memory_may_move": False},
            WasmMemoryType(1),
        ),
        ({"target": "pulley32"}, WasmMemoryType(1)),
    ],
)
def test_a_memory_that_has_views_does_not_move(settings, memory_type):
    memory = memory_of(WasmConfig(**settings), memory_type)
    before, view = base(memory), memory.view()
    memory.grow(1)
    for pages in (10, 300):
        with contextlib.suppress(WasmtimeError):
            memory.grow(pages)
    assert base(memory) == before
    view[0] = 42
    assert memory.read(0, 1) == b"*"


def test_a_memory_moves_where_it_may():
    settings = {"memory_reservation": 0, "memory_reservation_for_growth": 0}
    memory = memory_of(WasmConfig(**settings), WasmMemoryType(1))
    memory.write(0, b"kept")
    before = base(memory)
    memory.grow(100)
    assert base(memory) != before
    assert memory.read(0, 4) == b"kept"

    fixed = memory_of(WasmConfig(**settings, memory_may_move=False), WasmMemoryType(1))
    with pytest.raises(WasmtimeError):
        fixed.grow(1)


def test_an_exported_memory_follows_the_config_too():
    engine = WasmEngine(WasmConfig(memory_reservation=0))
    assert not WasmInstance(WasmStore(engine), WasmModule(engine, MODULE)).exports.memory.is_pinned


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_reserved_is_taken_from_the_address_space():
    def taken(config):
        gc.collect()  # what earlier tests left takes address space too, and may go in between
        with open("/proc/self/statm", "rb") as statm:
            before = int(statm.read().split()[0])
        memory = memory_of(config, WasmMemoryType(1))
        with open("/proc/self/statm", "rb") as statm:
            after = int(statm.read().split()[0])
        assert memory.size == 1
        return (after - before) * 4096

    assert taken(WasmConfig()) >= 4 << 30
    small = WasmConfig(memory_reservation=1 << 20, memory_guard_size=0, memory_reservation_for_growth=0)
    assert taken(small) < 1 << 30


@pytest.mark.parametrize("name", ["memory_reservation", "memory_guard_size", "memory_reservation_for_growth"])
def test_more_than_there_is_is_an_error_and_not_an_abort(name):
    config = WasmConfig(**{"memory_reservation": 0, name: 2**64 - 1})
    assert getattr(config, name) == 2**64 - 1
    with pytest.raises(WasmtimeError):
        memory_of(config, WasmMemoryType(1))
    with pytest.raises(ValueError, match=f"{name}: expected 0 to {2**64 - 1} bytes"):
        WasmConfig(**{name: 2**64})


# ---- Pools


@pytest.fixture(scope="module")
def pooled():
    return WasmEngine(WasmConfig(pooling_allocation_strategy=POOLS))


def test_pools_serve_instances_up_to_their_size(pooled):
    module = WasmModule(pooled, MODULE)
    stores = [WasmStore(pooled) for _ in range(3)]
    instances = [WasmInstance(store, module) for store in stores[:2]]
    assert [instance.exports.f() for instance in instances] == [7, 7]
    with pytest.raises(WasmtimeError, match="maximum concurrent .*limit of 2"):
        WasmInstance(stores[2], module)
    stores[0].close()
    assert WasmInstance(stores[2], module).exports.f() == 7
    stores[1].close()
    stores[2].close()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(module (memory 5))", "minimum byte size of 327680 which exceeds the limit"),
        ("(module (memory 1) (memory 1))", "defined memories count of 2 exceeds the per-instance limit of 1"),
        ("(module (table 11 funcref))", "minimum element size of 11 which exceeds the limit of 10"),
        (
            "(module (table 1 funcref) (table 1 funcref))",
            "defined tables count of 2 exceeds the per-instance limit of 1",
        ),
    ],
)
def test_pools_refuse_a_module_that_does_not_fit(pooled, source, message):
    with pytest.raises(WasmtimeError, match=message):
        WasmInstance(WasmStore(pooled), WasmModule(pooled, source))


def test_a_memory_of_a_pool_grows_up_to_its_slot(pooled):
    with WasmStore(pooled) as store:
        memory = WasmInstance(store, WasmModule(pooled, MODULE)).exports.memory
        view = memory.view()
        assert memory.grow(3) == 1
        with pytest.raises(WasmtimeError):
            memory.grow(1)
        view[5] = 5
        assert memory[5] == 5
        view.release()


def test_a_memory_of_the_host_is_not_of_the_pool(pooled):
    memory = WasmMemory(WasmStore(pooled), WasmMemoryType(5))
    memory.grow(5)
    assert memory.size == 10


def test_references_of_a_store_take_a_heap_of_the_pool(pooled):
    module = WasmModule(
        pooled, '(module (func (export "id") (param externref) (result externref) (local.get 0)))'
    )
    token = object()
    with WasmStore(pooled) as first, WasmStore(pooled) as second:
        functions = [WasmInstance(store, module).exports.id for store in (first, second)]
        assert functions[0](token) is token
        with pytest.raises(WasmtimeError):
            functions[1](token)


@pytest.mark.parametrize("name", PoolingConfig._knobs)
def test_every_size_reads_back_and_is_accepted(name):
    size = getattr(POOLS, name)
    pools = POOLS.replace(**{name: max(0, size - 1)})
    assert getattr(pools, name) == max(0, size - 1)
    config = WasmConfig(pooling_allocation_strategy=pools)
    assert config.pooling_allocation_strategy == pools
    assert hash(config) == hash(WasmConfig(pooling_allocation_strategy=pools))
    lib.wasm_config_delete(config._to_c())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"max_memory_size": (4 << 30) + 1}, "max_memory_size .* larger than memory_reservation"),
        ({"total_tables": 2**32 - 1}, "total_tables of the pools: expected at most 16777216 slots"),
        ({"total_memories": 1 << 24}, "failed to create memory pool mapping"),
        ({"table_elements": 2**62}, "table size exceeds addressable memory"),
        ({"total_stacks": 1 << 22}, "stack"),
    ],
)
def test_pools_that_cannot_be_are_an_error_and_not_an_abort(sizes, message):
    with pytest.raises(WasmtimeError, match=message):
        WasmEngine(WasmConfig(pooling_allocation_strategy=POOLS.replace(**sizes)))


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ({"total_memories": -1}, ValueError, "total_memories: expected 0 to 4294967295 slots, got -1"),
        ({"total_memories": 2**32}, ValueError, "total_memories: expected 0 to 4294967295 slots"),
        ({"total_memories": 1.0}, TypeError, "total_memories: expected a number of slots, got 1.0"),
        ({"total_memorys": 1}, TypeError, "did you mean 'total_memories'"),
    ],
)
def test_sizes_are_checked(sizes, error, message):
    with pytest.raises(error, match=message):
        PoolingConfig(**sizes)


def test_pools_are_a_value_of_their_own():
    with pytest.raises(TypeError, match="pooling_allocation_strategy: expected a PoolingConfig or None"):
        WasmConfig(pooling_allocation_strategy=True)
    assert WasmConfig(pooling_allocation_strategy=PoolingConfig()) != WasmConfig()
    assert repr(PoolingConfig()) == "PoolingConfig()"
    assert PoolingConfig() != WasmConfig()
