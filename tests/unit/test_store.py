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
    WasmValType,
    WrongStoreError,
)


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


@pytest.mark.parametrize(("name", "wrong"), [("limits", {"tables": 1}), ("wasi", {"argv": []})])
def test_settings_of_a_store_have_their_types(engine, name, wrong):
    with pytest.raises(TypeError, match=rf"{name}: expected a (StoreLimits|WasiConfig), got {{"):
        WasmStore(engine, **{name: wrong})


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
