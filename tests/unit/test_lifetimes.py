"""Lifetimes: what is dropped is collected, what is used stays."""

import gc
import weakref
from pathlib import Path

import pytest

from wasmtime_rt import (
    WasiConfig,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmInstance,
    WasmLinker,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmTable,
    WasmTableType,
    WasmValType,
)

PROGRAM = """(module (import "e" "f" (func $f (param externref) (result externref)))
    (memory (export "memory") 1) (table (export "table") 4 externref)
    (func (export "run") (param externref) (result externref) (call $f (local.get 0))))"""

EXTERNREF = WasmValType.EXTERNREF


@pytest.fixture(scope="module")
def module():
    return WasmModule(WasmEngine(), PROGRAM)


def live(module):
    """A store with an instance whose host function closes over both."""
    store = WasmStore(module.engine)

    def look(thing):
        assert instance.store is store
        return thing

    instance = WasmInstance(store, module, [look])
    return store, instance


def address_space():
    """Bytes of address space that this process has."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmSize:")[1].split()[0]) * 1024


def test_a_thousand_dropped_stores_are_collected_and_the_address_space_levels_off(module):
    gone, sizes = [], []
    for count in range(1000):
        store, instance = live(module)
        assert instance.exports.run(store) is store
        gone.append(weakref.ref(store))
        del store, instance
        if count % 50 == 49:
            gc.collect()
            sizes.append(address_space())
    assert not any(ref() for ref in gone)
    # Each store reserves more than 4 GiB for its memory: one that stayed would show.
    assert max(sizes[10:]) - max(sizes[:10]) < 4 << 30


def cycle_through_externref(store, instance):
    instance.exports.table[0] = instance


def cycle_through_data(store, instance):
    store.data = [store, instance, instance.exports.memory]


def cycle_through_view(store, instance):
    store.data = instance.exports.memory.view()


def cycle_through_global(store, instance):
    store.data = WasmGlobal(store, WasmGlobalType(EXTERNREF, True), store)


def cycle_through_function(store, instance):
    store.data = WasmFunc(store, lambda: (store, instance), WasmFuncType())


def cycle_through_everything(store, instance):
    for make in (cycle_through_externref, cycle_through_view):
        make(store, instance)
    store.data = [store.data, WasmTable(store, WasmTableType(EXTERNREF, 1), store.data), instance.exports]


@pytest.mark.parametrize(
    "make",
    [
        cycle_through_externref,
        cycle_through_data,
        cycle_through_view,
        cycle_through_global,
        cycle_through_function,
        cycle_through_everything,
    ],
)
def test_cycles_are_collected(module, make):
    before, gone = address_space(), []
    for _ in range(50):
        store, instance = live(module)
        make(store, instance)
        gone += [weakref.ref(store), weakref.ref(instance)]
        del store, instance
    gc.collect()
    assert not any(ref() for ref in gone)
    assert address_space() - before < 20 * (4 << 30)


@pytest.mark.parametrize("name", ["run", "memory", "table"])
def test_what_lives_in_a_store_keeps_it(module, name):
    store, instance = live(module)
    item, gone = instance.exports[name], weakref.ref(store)
    del store, instance
    gc.collect()
    assert item.is_valid
    if name == "run":
        assert item("still here") == "still here"
    else:
        assert item[0] == (0 if name == "memory" else None)
    del item
    gc.collect()
    assert gone() is None


def test_a_view_outlives_everything_else(module):
    store, instance = live(module)
    instance.exports.memory[0:3] = b"abc"
    part = instance.exports.memory.view()[1:3]
    del store, instance
    gc.collect()
    part[0] = ord("x")
    assert bytes(part) == b"xc"
    del part
    gc.collect()


def test_many_views_are_released_one_by_one(engine):
    store = WasmStore(engine)
    memory = WasmMemory(store, WasmMemoryType(1))
    views = [memory.view() for _ in range(10)]
    views[0][5] = 9
    assert all(view[5] == 9 for view in views)
    while views:
        with pytest.raises(BufferError, match=rf"while {len(views)} view\(s\)"):
            store.close()
        views.pop()
    store.close()


def test_engines_and_modules_are_collected():
    engine = WasmEngine()
    module = WasmModule(engine, PROGRAM)
    store, instance = live(module)
    gone = [weakref.ref(item) for item in (engine, module, store, instance)]
    del engine, module
    gc.collect()
    assert instance.exports.run("kept") == "kept"
    del store, instance
    gc.collect()
    assert not any(ref() for ref in gone)


def test_linkers_do_not_keep_the_stores_that_they_served(engine):
    linker = WasmLinker(engine)
    linker.define("e", "f", lambda thing: thing)
    linker.define_wasi()
    module = WasmModule(engine, PROGRAM)
    gone = []
    for _ in range(10):
        store = WasmStore(engine, wasi=WasiConfig(stdout=lambda data: None))
        assert linker.instantiate(store, module).exports.run(5) == 5
        gone.append(weakref.ref(store))
    del store
    gc.collect()
    assert not any(ref() for ref in gone)
