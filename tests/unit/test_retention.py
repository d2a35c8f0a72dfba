"""Retention: Python objects that WebAssembly held, and exceptions, are let go."""

import contextlib
import gc
import weakref

import pytest

from wasmtime_rt import (
    WasmEngine,
    WasmGlobal,
    WasmGlobalType,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmTrap,
    WasmValType,
)

PROGRAM = """(module (import "e" "f" (func $f (param externref) (result externref)))
    (memory (export "memory") 1) (table (export "table") 4 externref)
    (func (export "run") (param externref) (result externref) (call $f (local.get 0))))"""


EXTERNREF = WasmValType.EXTERNREF


class Thing:
    """Something that can be referred to weakly."""


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


def test_an_object_is_let_go_after_a_collection(module):
    store, instance = live(module)
    thing = Thing()
    gone = weakref.ref(thing)
    assert instance.exports.run(thing) is thing
    del thing
    store.gc()
    assert gone() is None
    assert store.is_valid


def test_an_object_stays_while_wasm_holds_it(module):
    store, instance = live(module)
    things = [Thing() for _ in range(4)]
    gone = [weakref.ref(thing) for thing in things]
    for i, thing in enumerate(things):
        instance.exports.table[i] = thing
    del things, thing
    store.gc()
    gc.collect()
    assert all(ref() is instance.exports.table[i] for i, ref in enumerate(gone))
    instance.exports.table[1] = None
    store.gc()
    assert [ref() is None for ref in gone] == [False, True, False, False]
    store.close()
    gc.collect()
    assert not any(ref() for ref in gone)


def test_many_objects_are_let_go(module):
    store, instance = live(module)
    gone = []
    for _ in range(20):
        for _ in range(500):
            thing = Thing()
            gone.append(weakref.ref(thing))
            instance.exports.run(thing)
        del thing
        store.gc()
        assert not any(ref() for ref in gone)


def test_objects_in_globals_are_replaced(engine):
    store = WasmStore(engine)
    first, second = Thing(), Thing()
    gone = weakref.ref(first)
    glob = WasmGlobal(store, WasmGlobalType(EXTERNREF, True), first)
    del first
    store.gc()
    assert glob.value is gone()
    glob.value = second
    store.gc()
    assert gone() is None
    assert glob.value is second


def test_refused_arguments_are_not_retained(run, store):
    call = run('(module (func (export "f") (param externref i32)))').exports.f
    thing = Thing()
    gone = weakref.ref(thing)
    for _ in range(3):
        with pytest.raises(TypeError):
            call(thing, "no integer")
    del thing
    store.gc()
    gc.collect()
    assert gone() is None


class Failure(Exception):
    pass


def test_exceptions_are_not_retained(engine):
    def fail():
        raise Failure

    store = WasmStore(engine)
    module = WasmModule(
        engine,
        '(module (import "e" "f" (func $f)) (func (export "run") (call $f)) (func (export "trap") unreachable))',
    )
    instance = WasmInstance(store, module, [fail])

    def failed(call):
        try:
            call()
        except (Failure, WasmTrap) as error:
            return weakref.ref(error)

    gone = [failed(call) for call in (instance.exports.run, instance.exports.trap) * 3]
    gc.collect()
    assert len(gone) == 6
    assert not any(ref() for ref in gone)
    assert store.is_valid


def test_an_exception_does_not_keep_what_it_passed_through(module):
    store = WasmStore(module.engine)

    def fail(thing):
        raise Failure

    instance = WasmInstance(store, module, [fail])
    gone = weakref.ref(store)
    with contextlib.suppress(Failure):
        instance.exports.run(store)
    del store, instance
    gc.collect()
    assert gone() is None
