"""Stores: isolation, data, fuel, limits, closing, and the one-thread rule."""

import threading

import pytest

from wasmtime_rt import (
    AbstractStore,
    ClosedError,
    MemoryViewError,
    MisuseError,
    StoreBusyError,
    StoreClosedError,
    StoreLimits,
    TrapCode,
    WasmConfig,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmInstance,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmTable,
    WasmTableType,
    WasmtimeError,
    WasmTrap,
    WasmValType,
    WrongStoreError,
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


def test_a_store_carries_any_data(engine):
    thing = object()
    store = WasmStore(engine, thing)
    assert isinstance(store, AbstractStore)
    assert store.data is thing
    store.data = "other"
    assert store.data == "other"
    assert store.engine is engine
    assert WasmStore(engine).data is None


def test_stores_are_numbered_in_their_repr(engine):
    first, second = WasmStore(engine), WasmStore(engine)
    assert repr(first) != repr(second)
    assert repr(first).startswith("<WasmStore ")


# ---- Fuel


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
    with pytest.raises(TypeError):
        getattr(fuel_store, call)(1.5)
    with pytest.raises(WasmtimeError, match=r"it needs WasmConfig\(consume_fuel=True\)"):
        getattr(store, call)(1)
    for name in ("fuel", "fuel_consumed"):
        with pytest.raises(WasmtimeError, match="does not count fuel"):
            getattr(store, name)


# ---- Limits


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


@pytest.mark.parametrize(("name", "wrong"), [("limits", {"tables": 1}), ("wasi", {"argv": []})])
def test_settings_of_a_store_have_their_types(engine, name, wrong):
    with pytest.raises(TypeError, match=rf"{name}: expected a (StoreLimits|WasiConfig), got {{"):
        WasmStore(engine, **{name: wrong})


# ---- Closing


USES = {
    "func": lambda store, items: items["func"](),
    "memory read": lambda store, items: items["memory"].read(0, 1),
    "memory size": lambda store, items: items["memory"].size,
    "memory grow": lambda store, items: items["memory"].grow(1),
    "memory view": lambda store, items: items["memory"].view(),
    "global get": lambda store, items: items["global"].value,
    "global set": lambda store, items: setattr(items["global"], "value", 1),
    "table get": lambda store, items: items["table"][0],
    "table size": lambda store, items: items["table"].size,
    "gc": lambda store, items: store.gc(),
    "new func": lambda store, items: WasmFunc(store, print, WasmFuncType()),
    "new memory": lambda store, items: WasmMemory(store, WasmMemoryType(1)),
    "new instance": lambda store, items: WasmInstance(store, WasmModule(store.engine, "(module)")),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_whatever_lives_in_a_closed_store_refuses_use(engine, use):
    store = WasmStore(engine)
    items = {
        "func": WasmFunc(store, lambda: None, WasmFuncType()),
        "memory": WasmMemory(store, WasmMemoryType(1)),
        "global": WasmGlobal(store, WasmGlobalType(WasmValType.I32, True), 1),
        "table": WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 1)),
    }
    use(store, items)
    store.close()
    store.close()
    assert not store.is_valid
    assert not any(item.is_valid for item in items.values())
    with pytest.raises(StoreClosedError, match="was closed") as caught:
        use(store, items)
    assert isinstance(caught.value, ClosedError)
    assert isinstance(caught.value, MisuseError)
    assert all(repr(item).endswith(" closed>") for item in (store, *items.values()))


def test_a_with_block_closes_the_store(engine):
    with WasmStore(engine) as store:
        func = WasmFunc(store, lambda: 5, WasmFuncType([], ["i32"]))
        assert func() == 5
    with pytest.raises(StoreClosedError):
        func()


def test_closing_during_a_call_is_refused(engine):
    store = WasmStore(engine)

    def close():
        with pytest.raises(StoreBusyError, match="cannot be closed while a call is running in it"):
            store.close()
        return 1

    assert WasmFunc(store, close, WasmFuncType([], ["i32"]))() == 1
    assert store.is_valid
    store.close()


def test_closing_under_a_view_is_refused(engine):
    store = WasmStore(engine)
    view = WasmMemory(store, WasmMemoryType(1)).view()
    with pytest.raises(MemoryViewError, match=r"while 1 view\(s\) of its memories are alive"):
        store.close()
    view[0] = 9
    del view
    store.close()
    assert not store.is_valid


def test_a_with_block_never_masks_its_own_exception(engine):
    with pytest.raises(ZeroDivisionError):
        with WasmStore(engine) as store:
            view = WasmMemory(store, WasmMemoryType(1)).view()
            raise ZeroDivisionError
    assert not store.is_valid
    view[3] = 7
    assert bytes(view[2:5]) == b"\0\7\0"


# ---- Isolation and threads


def test_items_of_two_stores_do_not_mix(engine, store):
    other = WasmStore(engine)
    theirs = WasmFunc(other, lambda: None, WasmFuncType())
    module = WasmModule(engine, '(module (import "e" "f" (func)))')
    number = repr(other).split()[-1].rstrip(">")
    with pytest.raises(WrongStoreError, match=f'"e" "f".* lives in store {number}, not in store'):
        WasmInstance(store, module, {"e": {"f": theirs}})
    with pytest.raises(WrongStoreError):
        WasmTable(store, WasmTableType(WasmValType.FUNCREF, 1), theirs)
    with pytest.raises(WrongStoreError, match="element 0"):
        WasmTable(store, WasmTableType(WasmValType.FUNCREF, 1))[0] = theirs
    with pytest.raises(WrongStoreError, match="argument 0"):
        WasmFunc(store, lambda f: None, WasmFuncType(["funcref"]))(theirs)


def test_a_second_thread_is_told_who_is_inside(engine, store):
    entered, leave, caught = threading.Event(), threading.Event(), []

    def wait():
        entered.set()
        leave.wait()

    def intrude():
        entered.wait()
        try:
            WasmGlobal(store, WasmGlobalType(WasmValType.I32), 1)
        except StoreBusyError as error:
            caught.append(str(error))
        leave.set()

    thread = threading.Thread(target=intrude, name="intruder")
    thread.start()
    WasmFunc(store, wait, WasmFuncType())()
    thread.join()
    assert "thread 'MainThread'" in caught[0]
    assert "thread 'intruder' must wait" in caught[0]


def test_a_store_may_move_between_threads(store):
    glob = WasmGlobal(store, WasmGlobalType(WasmValType.I32, True), 0)

    def add():
        glob.value += 1

    for _ in range(3):
        thread = threading.Thread(target=add)
        thread.start()
        thread.join()
    assert glob.value == 3


@pytest.mark.parametrize("make", [lambda s: WasmFunc(s, print), lambda s: WasmInstance(s, None)])
def test_a_store_is_asked_for_by_name(make):
    with pytest.raises(TypeError, match="store: expected a WasmStore, got 'store'"):
        make("store")
