"""TypedFunc: a function whose signature was checked once, with or without Python's lock."""

from __future__ import annotations

import array
import gc
import struct
import threading
import weakref

import numpy as np
import pytest

from wasmtime_rt import (
    ClosedError,
    StoreBusyError,
    StoreClosedError,
    TrapCode,
    TypedFunc,
    WasiConfig,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmTrap,
    WasmValType,
    WasmValue,
)

SOURCE = """(module
    (import "" "h" (func $h (param i32) (result i32)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "all") (param i32 i64 f32 f64 v128) (result i32 i64 f32 f64 v128)
        (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))
    (func (export "none"))
    (func (export "trap") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
    (func (export "host") (param i32) (result i32) (call $h (local.get 0)))
    (func (export "ref") (param externref funcref) (result funcref externref) (local.get 1) (local.get 0)))"""

KEEPS = pytest.mark.parametrize("keep_gil", [False, True], ids=["dropped", "kept"])


class Custom(Exception):
    pass


@pytest.fixture
def exports(run):
    """The module; its host function is what ``store.data`` is."""
    made = run(SOURCE, [lambda value: made.store.data(value)])
    return made.exports


# ---- Results


@KEEPS
def test_it_is_the_same_function(exports, keep_gil):
    add = exports.add.typed(["i32", "i32"], ["i32"], keep_gil=keep_gil)
    assert type(add) is TypedFunc
    assert add.func is exports.add
    assert [add(a, b) for a, b in [(1, 2), (2**31 - 1, 1), (2**32 - 1, 1), (-1, True)]] == [
        exports.add(a, b) for a, b in [(1, 2), (2**31 - 1, 1), (2**32 - 1, 1), (-1, True)]
    ]
    assert exports.none.typed(keep_gil=keep_gil)() is None


@KEEPS
def test_every_number_type_to_the_bit(exports, keep_gil):
    kinds = ["i32", "i64", "f32", "f64", "v128"]
    typed = exports.all.typed(kinds, kinds, keep_gil=keep_gil)
    nan = WasmValue._from_bits(WasmValType.F64, 0x7FF8DEADBEEF0001)
    returned = typed(2**32 - 1, 2**64 - 1, 0.1, nan, bytes(range(16)))
    assert returned[:3] == exports.all(-1, -1, 0.1, 0, bytes(16))[:3]
    assert struct.pack("<d", returned[3]) == struct.pack("<Q", 0x7FF8DEADBEEF0001)
    assert returned[4] == bytes(range(16))


@KEEPS
def test_references(exports, keep_gil):
    typed = exports.ref.typed(["externref", "funcref"], ["funcref", "externref"], keep_gil=keep_gil)
    thing = object()
    assert typed(thing, exports.add) == (exports.add, thing)
    assert typed(None, None) == (None, None)


@KEEPS
def test_types_may_be_objects(exports, keep_gil):
    typed = exports.add.typed((WasmValType.I32,) * 2, iter(["i32"]), keep_gil=keep_gil)
    assert typed(1, 2) == 3


@KEEPS
def test_many_calls_equal_those_of_the_function(exports, keep_gil):
    add = exports.add.typed(["i32", "i32"], ["i32"], keep_gil=keep_gil)
    numbers = np.random.default_rng(5).integers(-(2**31), 2**32, (2000, 2)).tolist()
    assert [add(a, b) for a, b in numbers] == [exports.add(a, b) for a, b in numbers]


def test_a_function_without_webassembly(store):
    function = WasmFunc(store, divmod, WasmFuncType(["i32", "i32"], ["i32", "i32"]))
    for keep_gil in (False, True):
        typed = function.typed(["i32", "i32"], ["i32", "i32"], keep_gil=keep_gil)
        assert typed(17, 5) == (3, 2)
        with pytest.raises(ZeroDivisionError):
            typed(17, 0)


def test_its_repr(exports):
    assert repr(exports.add.typed(["i32", "i32"], ["i32"])) == f"<TypedFunc add {exports.add.type}>"


# ---- What is refused


@pytest.mark.parametrize(
    ("params", "results"),
    [
        ([], []),
        (["i32"], ["i32"]),
        (["i32", "i64"], ["i32"]),
        (["i32", "i32"], []),
        (["i32", "i32"], ["i32", "i32"]),
    ],
)
def test_another_signature(exports, params, results):
    with pytest.raises(TypeError) as caught:
        exports.add.typed(params, results)
    assert str(caught.value) == f"add: expected {WasmFuncType(params, results)}, got {exports.add.type}"


def test_what_is_no_type(exports):
    with pytest.raises(ValueError, match="i33"):
        exports.add.typed(["i33"], [])
    with pytest.raises(TypeError):
        exports.add.typed([5], [])
    with pytest.raises(TypeError):
        exports.add.typed(["i32", "i32"], ["i32"], True)


@KEEPS
def test_wrong_arguments_are_said_as_ever(exports, keep_gil):
    typed = exports.add.typed(["i32", "i32"], ["i32"], keep_gil=keep_gil)
    for args in [(), (1,), (1, 2, 3), (1, "2"), (1.5, 2), (2**32, 1), (None, 1)]:
        with pytest.raises((TypeError, OverflowError)) as direct:
            exports.add(*args)
        with pytest.raises(direct.type) as caught:
            typed(*args)
        assert str(caught.value) == str(direct.value)
    with pytest.raises(TypeError, match="add: takes no keyword arguments"):
        typed(1, b=2)


def test_it_cannot_be_made():
    with pytest.raises(TypeError, match=r"made by WasmFunc\.typed"):
        TypedFunc()
    with pytest.raises(TypeError, match="never initialised"):
        TypedFunc.__new__(TypedFunc)()


@KEEPS
def test_after_its_store_was_closed(exports, store, keep_gil):
    typed = exports.add.typed(["i32", "i32"], ["i32"], keep_gil=keep_gil)
    store.close()
    with pytest.raises(StoreClosedError):
        typed(1, 2)
    with pytest.raises(TypeError):
        typed(1)


@KEEPS
def test_of_a_closed_function(exports, keep_gil):
    add = exports.add
    add.close()
    with pytest.raises(ClosedError):
        add.typed(["i32", "i32"], ["i32"], keep_gil=keep_gil)


# ---- Traps


@KEEPS
def test_traps(exports, keep_gil):
    typed = exports.trap.typed(["i32"], ["i32"], keep_gil=keep_gil)
    for _ in range(3):
        with pytest.raises(WasmTrap) as caught:
            typed(0)
        assert caught.value.code == TrapCode.INTEGER_DIVISION_BY_ZERO
        assert caught.value.frames
        assert typed(1) == 1


# ---- Host functions below a call that keeps the lock


@KEEPS
def test_a_host_function(exports, store, keep_gil):
    typed = exports.host.typed(["i32"], ["i32"], keep_gil=keep_gil)
    store.data = lambda value: value * 2
    assert [typed(i) for i in range(5)] == [0, 2, 4, 6, 8]


@KEEPS
def test_a_host_function_that_raises(exports, store, keep_gil):
    def raises(value):
        raise Custom(value)

    typed = exports.host.typed(["i32"], ["i32"], keep_gil=keep_gil)
    for i in range(3):
        store.data = raises
        with pytest.raises(Custom) as caught:
            typed(i)
        assert caught.value.args == (i,)
        assert any("WebAssembly frames" in note for note in caught.value.__notes__)
        store.data = abs
        assert typed(-i) == i


@KEEPS
def test_a_host_function_with_a_wrong_result(exports, store, keep_gil):
    typed = exports.host.typed(["i32"], ["i32"], keep_gil=keep_gil)
    store.data = str
    with pytest.raises(TypeError, match=r"result 0 \(i32\): expected an integer, got str '5'"):
        typed(5)


def test_calls_of_both_kinds_in_each_other(exports, store):
    kept = exports.host.typed(["i32"], ["i32"], keep_gil=True)
    dropped = exports.host.typed(["i32"], ["i32"])
    taken = []

    def deeper(depth):
        taken.append(depth)
        if depth == 0:
            return 100
        return [kept, dropped, exports.host][depth % 3](depth - 1) + 1

    store.data = deeper
    for start in (kept, dropped, exports.host):
        assert start(12) == 112
    assert taken == [*range(12, -1, -1)] * 3


def test_an_exception_through_calls_of_both_kinds(exports, store):
    kept = exports.host.typed(["i32"], ["i32"], keep_gil=True)

    def deeper(depth):
        if depth == 0:
            raise Custom("deep")
        try:
            return (kept if depth % 2 else exports.host)(depth - 1)
        except Custom:
            if depth == 3:
                return 7
            raise

    store.data = deeper
    assert (kept(5), exports.host(6)) == (7, 7)
    for start in (kept, exports.host):
        with pytest.raises(Custom, match="deep"):
            start(2)


def test_map_below_a_call_that_keeps_the_lock(exports, store):
    store.data = lambda value: sum(exports.add.map(array.array("i", range(value)), 1))
    assert exports.host.typed(["i32"], ["i32"], keep_gil=True)(4) == 10


def test_a_call_that_keeps_the_lock_below_map(exports, store):
    add = exports.add.typed(["i32", "i32"], ["i32"], keep_gil=True)
    store.data = lambda value: add(value, value)
    assert exports.host.map(array.array("i", [1, 2, 3])).tolist() == [2, 4, 6]


def test_memory_and_instances_below_a_call_that_keeps_the_lock(exports, store, run):
    def host(value):
        inner = run(
            '(module (memory (export "m") 1) (func $start) (start $start) (func (export "f") (result i32) i32.const 9))'
        )
        inner.exports.m[0] = value
        return inner.exports.m[0] + inner.exports.f()

    store.data = host
    assert exports.host.typed(["i32"], ["i32"], keep_gil=True)(5) == 14


def test_the_store_cannot_be_closed_below(exports, store):
    def host(value):
        with pytest.raises(StoreBusyError, match="while a call is running"):
            store.close()
        return value

    store.data = host
    assert exports.host.typed(["i32"], ["i32"], keep_gil=True)(5) == 5


def test_other_threads_run_below_and_are_refused(exports, store):
    # A host function is Python, and lets other threads run as Python does.
    refused = []

    def other():
        try:
            exports.add(1, 2)
        except StoreBusyError as problem:
            refused.append(problem)

    def host(value):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return value

    store.data = host
    assert exports.host.typed(["i32"], ["i32"], keep_gil=True)(5) == 5
    assert len(refused) == 1
    assert exports.add(1, 2) == 3


def test_on_several_threads_with_a_store_each(engine):
    module = WasmModule(engine, SOURCE)
    results = []

    def work(number):
        instance = WasmInstance(WasmStore(engine), module, [lambda value: value + number])
        typed = instance.exports.host.typed(["i32"], ["i32"], keep_gil=number % 2 == 0)
        results.append(all(typed(i) == i + number for i in range(2000)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


# ---- WASI, where a call could wait


def test_refused_in_a_store_with_wasi(engine, tmp_path):
    for store in (WasmStore(engine, wasi=WasiConfig()), WasmStore(engine)):
        store.set_wasi(WasiConfig())
        function = WasmFunc(store, abs, WasmFuncType(["i32"], ["i32"]))
        with pytest.raises(WasmtimeError, match="abs: keep_gil is refused in a store with WASI"):
            function.typed(["i32"], ["i32"], keep_gil=True)
        assert function.typed(["i32"], ["i32"])(-5) == 5


def test_wasi_is_refused_after_it(engine):
    store = WasmStore(engine)
    function = WasmFunc(store, abs, WasmFuncType(["i32"], ["i32"]))
    typed = function.typed(["i32"], ["i32"], keep_gil=True)
    with pytest.raises(WasmtimeError, match="functions that keep the GIL"):
        store.set_wasi(WasiConfig(stdin=b"x"))
    assert typed(-5) == 5


def test_wasi_is_not_refused_after_a_mistake(engine):
    store = WasmStore(engine)
    function = WasmFunc(store, abs, WasmFuncType(["i32"], ["i32"]))
    with pytest.raises(TypeError):
        function.typed(["i64"], ["i32"], keep_gil=True)
    function.typed(["i32"], ["i32"])
    store.set_wasi(WasiConfig())


def test_wasi_functions_without_wasi_do_not_wait(engine):
    # A store without a WasiConfig cannot run them, so keeping the lock is no matter.
    linker = WasmLinker(engine)
    linker.define_wasi()
    module = WasmModule(
        engine,
        """(module (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (func (export "f") (result i32)
            (call $read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8))))""",
    )
    store = WasmStore(engine)
    try:
        typed = linker.instantiate(store, module).exports.f.typed([], ["i32"], keep_gil=True)
    except WasmtimeError:
        return
    with pytest.raises(WasmtimeError):
        typed()


# ---- Lifetimes


def test_it_keeps_its_store_and_goes_with_it():
    engine = WasmEngine()
    store = WasmStore(engine)
    add = WasmFunc(store, lambda a: a + 1, WasmFuncType(["i32"], ["i32"])).typed(
        ["i32"], ["i32"], keep_gil=True
    )
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert add(1) == 2
    cycle = [add]
    cycle.append(cycle)
    alive = weakref.ref(add)
    del add, cycle
    gc.collect()
    assert gone() is None
    assert alive() is None
