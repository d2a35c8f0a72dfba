"""What a store may use: fuel, and limits on what it holds."""

import pytest

from wasmtime_rt import (
    StoreLimits,
    TrapCode,
    WasmConfig,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmTable,
    WasmTableType,
    WasmtimeError,
    WasmTimeout,
    WasmTrap,
    WasmValType,
)

COUNT = """(module (func (export "count") (param i32) (result i32) (local $i i32)
    (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $i) (local.get 0))))
    (local.get $i)))"""


@pytest.fixture(scope="module")
def fuel_engine():
    return WasmEngine(WasmConfig(consume_fuel=True))


@pytest.fixture
def fuel_store(fuel_engine):
    return WasmStore(fuel_engine)


def test_a_store_starts_without_fuel(fuel_engine, fuel_store):
    count = WasmInstance(fuel_store, WasmModule(fuel_engine, COUNT)).exports.count
    assert fuel_store.fuel == 0
    with pytest.raises(WasmTrap) as caught:
        count(1)
    assert caught.value.code is TrapCode.OUT_OF_FUEL


def test_fuel_is_used_and_counted(fuel_engine, fuel_store):
    count = WasmInstance(fuel_store, WasmModule(fuel_engine, COUNT)).exports.count
    fuel_store.set_fuel(1000)
    assert count(10) == 10
    used = 1000 - fuel_store.fuel
    assert used > 10
    assert fuel_store.fuel_consumed == used
    fuel_store.add_fuel(500)
    assert fuel_store.fuel == 1500 - used
    assert fuel_store.fuel_consumed == used
    fuel_store.set_fuel(77)
    assert (fuel_store.fuel, fuel_store.fuel_consumed) == (77, used)


def test_more_fuel_lets_a_store_go_on_after_it_ran_out(fuel_engine, fuel_store):
    count = WasmInstance(fuel_store, WasmModule(fuel_engine, COUNT)).exports.count
    fuel_store.set_fuel(100)
    with pytest.raises(WasmTrap, match="all fuel consumed"):
        count(1000)
    assert fuel_store.fuel == 0
    assert fuel_store.fuel_consumed == 100
    fuel_store.add_fuel(10_000)
    assert count(1000) == 1000


def test_fuel_has_a_ceiling(fuel_store):
    fuel_store.set_fuel(2**64 - 1)
    assert fuel_store.fuel == 2**64 - 1
    fuel_store.add_fuel(5)
    assert fuel_store.fuel == 2**64 - 1
    assert fuel_store.fuel_consumed == 0


@pytest.mark.parametrize("call", ["set_fuel", "add_fuel"])
def test_fuel_is_checked(fuel_store, store, call):
    with pytest.raises(ValueError, match="fuel: expected 0 <= fuel .*, got -1"):
        getattr(fuel_store, call)(-1)
    with pytest.raises(ValueError, match=f"fuel: expected 0 <= fuel .*, got {2**64}"):
        getattr(fuel_store, call)(2**64)
    with pytest.raises(TypeError):
        getattr(fuel_store, call)(1.5)
    with pytest.raises(WasmtimeError, match=r"it needs WasmConfig\(consume_fuel=True\)"):
        getattr(store, call)(1)
    for name in ("fuel", "fuel_consumed"):
        with pytest.raises(WasmtimeError, match="does not count fuel"):
            getattr(store, name)


@pytest.mark.parametrize(
    ("limits", "wat", "message"),
    [
        ({"memory_size": 65536}, "(memory 2)", "memory minimum size of 2 pages exceeds memory limits"),
        ({"table_elements": 3}, "(table 4 funcref)", "table minimum size of 4 elements exceeds table limits"),
        ({"instances": 0}, "", "instance count too high at 1"),
        ({"tables": 1}, "(table 1 funcref) (table 1 funcref)", "table count too high at 2"),
        ({"memories": 1}, "(memory 1) (memory 1)", "memory count too high at 2"),
    ],
)
def test_limits_refuse_an_instance(engine, limits, wat, message):
    module = WasmModule(engine, f"(module {wat})")
    with pytest.raises(WasmtimeError, match=message):
        WasmInstance(WasmStore(engine, limits=StoreLimits(**limits)), module)
    WasmInstance(WasmStore(engine, limits=StoreLimits()), module)


def test_limits_refuse_growth_from_both_sides(engine):
    store = WasmStore(engine, limits=StoreLimits(memory_size=2 * 65536, table_elements=3))
    instance = WasmInstance(
        store,
        WasmModule(
            engine,
            """(module (memory (export "m") 1) (table (export "t") 1 externref)
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))""",
        ),
    )
    assert instance.exports.grow(2) == -1
    assert instance.exports.grow(1) == 1
    with pytest.raises(WasmtimeError, match=r"memory\.grow\(1\)"):
        instance.exports.m.grow(1)
    assert instance.exports.t.grow(2) == 1
    with pytest.raises(WasmtimeError, match=r"table\.grow\(1\)"):
        instance.exports.t.grow(1)
    with pytest.raises(WasmtimeError):
        WasmMemory(store, WasmMemoryType(3))
    with pytest.raises(WasmtimeError):
        WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 4))


@pytest.mark.parametrize("value", [-1, 2**63, 1.5, True, "1"])
def test_limits_are_checked(value):
    with pytest.raises(ValueError, match=r"tables: expected None or 0 <= tables < 2\*\*63, got"):
        StoreLimits(tables=value)


def test_what_python_makes_counts(engine):
    store = WasmStore(engine, limits=StoreLimits(memories=2, tables=2, instances=1))
    module = WasmModule(engine, "(module (memory 1) (table 1 funcref))")
    WasmInstance(store, module)
    WasmMemory(store, WasmMemoryType(1, 1))
    table = WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 1), "kept")
    for _ in range(2):
        with pytest.raises(WasmtimeError, match="memory count"):
            WasmMemory(store, WasmMemoryType(1))
        with pytest.raises(WasmtimeError, match="table count"):
            WasmTable(store, WasmTableType(WasmValType.FUNCREF, 1))
    assert table[0] == "kept"
    with pytest.raises(WasmtimeError, match="instance count"):
        WasmInstance(store, WasmModule(engine, "(module)"))


def test_what_python_makes_leaves_less_for_instances(engine):
    store = WasmStore(engine, limits=StoreLimits(memories=1))
    WasmMemory(store, WasmMemoryType(0))
    with pytest.raises(WasmtimeError, match="memory count"):
        WasmInstance(store, WasmModule(engine, "(module (memory 1))"))
    WasmTable(store, WasmTableType(WasmValType.FUNCREF, 1))  # which nothing limits


def test_nothing_of_it_without_such_limits(engine):
    store = WasmStore(engine, limits=StoreLimits(memory_size=65536, instances=0))
    WasmMemory(store, WasmMemoryType(1))
    WasmTable(store, WasmTableType(WasmValType.FUNCREF, 1))
    with pytest.raises(WasmtimeError, match="memory"):
        WasmMemory(store, WasmMemoryType(2))


def test_a_memory_that_is_larger_than_the_machine_is_not_copied(engine):
    memory = WasmMemory(WasmStore(engine), WasmMemoryType(2**24, None, is64=True))  # 1 TiB, untouched
    assert memory.grow(1) == 2**24  # in place
    with pytest.raises(WasmtimeError, match="copied"):
        memory.grow(2**16)
    assert memory.size == 2**24 + 1


# ---- Time


@pytest.mark.parametrize("value", ["1", True, 1j])
def test_a_timeout_is_a_number(value):
    with pytest.raises(TypeError, match="timeout: expected a number of seconds or None, got"):
        StoreLimits(timeout=value)


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_timeout_is_positive(value):
    with pytest.raises(ValueError, match="timeout: expected more than 0 seconds or None, got"):
        StoreLimits(timeout=value)


def test_a_timeout_needs_epochs(engine):
    with pytest.raises(WasmtimeError, match="time limits need an engine with epochs"):
        WasmStore(engine, limits=StoreLimits(timeout=1))
    store = WasmStore(engine)
    call = WasmFunc(store, lambda: None, WasmFuncType())
    call(timeout=None)  # there is nothing to lift
    with pytest.raises(WasmtimeError, match="time limits need an engine with epochs"):
        call(timeout=1)


@pytest.mark.parametrize("seconds", [1e-9, 1e10, 1e300, float("inf"), 2**62 / 1e9])
def test_any_positive_number_is_a_timeout(seconds):
    store = WasmStore(WasmEngine(WasmConfig(epoch_interruption=True)), limits=StoreLimits(timeout=seconds))
    call = WasmFunc(store, lambda: None, WasmFuncType())
    if seconds < 1:
        with pytest.raises(WasmTimeout):
            call()
    else:
        call()
    call(timeout=None)


def test_limits_print_what_they_allow_of_the_host():
    mib = 1 << 20
    assert str(StoreLimits(memory_size=64 * mib, memories=1, tables=1, table_elements=mib)) == (
        "StoreLimits: host memory: 144.0 MiB at most "
        "(memories 64.0 MiB, heap of references 64.0 MiB, tables 16.0 MiB)"
    )
    assert str(StoreLimits(memory_size=mib)).endswith("tables no limit)")
