"""Nothing on the hot paths grows with the number of times that they are taken, errors included.

Each scenario is a turn that is taken many times. Before and after, these are counted: objects that the
collector knows, blocks that Python has allocated, bytes that C has allocated, references to what takes part.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import os
import sys

import numpy as np
import pytest

from wasmtime_rt import (
    StoreLimits,
    WasiConfig,
    WasmArray,
    WasmConfig,
    WasmEngine,
    WasmException,
    WasmExit,
    WasmFieldType,
    WasmFunc,
    WasmFuncType,
    WasmI31,
    WasmInstance,
    WasmLinker,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmSharedMemory,
    WasmStore,
    WasmStruct,
    WasmTable,
    WasmTableType,
    WasmTag,
    WasmValType,
    WasmValue,
    with_caller,
)
from wasmtime_rt._lowlevel import accel

QUICK = not os.environ.get("WASMTIME_RT_SANITIZE")
WARM, TURNS, ROUNDS = 50, 2000 if QUICK else 300, 6

SOURCE = """(module
    (import "" "h" (func $h (param i32) (result i32)))
    (import "" "r" (func $r (param externref) (result externref)))
    (memory (export "m") 1 1)
    (table (export "t") 4 externref)
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "all") (param i32 i64 f32 f64 v128) (result i32 i64 f32 f64 v128)
        (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))
    (func $trap (export "trap") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
    (func (export "host") (param i32) (result i32) (call $h (local.get 0)))
    (func (export "ref") (param externref funcref) (result funcref externref) (local.get 1) (local.get 0))
    (func (export "hostref") (param externref) (result externref) (call $r (local.get 0)))
    (func (export "any") (result anyref) (ref.i31 (i32.const 1)))
    (func $deep (export "deep") (call $deep) (call $deep)))"""

WASI = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 16) "hello")
    (func (export "say") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (func (export "say_and_trap") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        unreachable)
    (func (export "say_it") (param i32) (result i32)
        (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (func (export "leave") (param i32) (call $exit (local.get 0))))"""


class Thing:
    """An object that nothing else refers to."""


class Failure(Exception):
    """What a host function raises."""


def wide(count):
    """A module with an identity function of many parameters, more than the C stack holds."""
    side = " ".join(["i32"] * count)
    body = " ".join(f"(local.get {i})" for i in range(count))
    return f"""(module (import "" "h" (func $h (param {side}) (result {side})))
        (func (export "f") (param {side}) (result {side}) {body})
        (func (export "host") (param {side}) (result {side}) (call $h {body}))
        (func (export "refs") (param {side} externref) (result {side} externref) {body} (local.get {count})))"""


class World:
    """What the scenarios share, and what each may not leave references to."""

    def __init__(self):
        self.engine = WasmEngine()
        self.module = WasmModule(self.engine, SOURCE)
        self.store = WasmStore(self.engine)
        self.host, self.host_ref = (lambda value: self.does(value)), (lambda value: self.does(value))
        self.does = abs
        self.exports = WasmInstance(self.store, self.module, [self.host, self.host_ref]).exports
        self.memory = self.exports.m
        self.growable = WasmMemory(self.store, WasmMemoryType(1, None, is64=True))
        self.wide_host = lambda *values: values
        self.wide = WasmInstance(self.store, WasmModule(self.engine, wide(60)), [self.wide_host]).exports
        self.linker = WasmLinker(self.engine)
        self.linker.define_wasi()
        self.wasi = WasmModule(self.engine, WASI)
        self.thing, self.text, self.real, self.integer = Thing(), "a text of some length", 1.25, 10**30
        self.bytes, self.buffer = bytes(16), bytearray(64)
        self.list = [1, 2]

    def watched(self):
        """What must not gain references."""
        types = [item for item in vars(accel).values() if isinstance(item, type)] if accel else []
        functions = [self.exports[name] for name in ("add", "all", "trap", "host", "ref", "hostref")]
        return [
            *functions, *(function.type for function in functions), self.store, self.store._core, self.memory,
            self.host, self.host_ref, self.wide_host, self.thing, self.text, self.real, self.integer, self.bytes,
            self.buffer, self.list, self.engine, self.module, self.linker, self.wide.f, self.growable, Thing,
            *types, type(self.store), type(self.store._core), WasmFunc, WasmMemory, WasmInstance, WasmFunc.__base__, TypeError, Failure,
        ]  # fmt: skip


SCENARIOS = {}


def scenario(prepare):
    """A function of the world that returns a turn."""
    SCENARIOS[prepare.__name__] = prepare
    return prepare


def failing(*uses):
    """A turn in which each of these raises."""

    def turn():
        for use in uses:
            try:
                use()
            except Exception:
                continue
            raise AssertionError("expected an exception")

    return turn


# ---- Calls


@scenario
def calls(world):
    add, every = world.exports.add, world.exports.all
    return lambda: (add(2**31 + 5, -70000), every(70000, 2**40, 0.5, world.real, world.bytes))


@scenario
def calls_by_the_rules(world):
    add, every = world.exports.add, world.exports.all
    value, nan = WasmValue.i32(70000), WasmValue._from_bits(WasmValType.F64, 0x7FF8DEADBEEF0001)
    return lambda: (add(np.int32(5), True), add(value, 1), every(1, 2**64 - 1, 5, nan, bytearray(16)))


@scenario
def calls_with_wrong_arguments(world):
    add, every = world.exports.add, world.exports.all
    return failing(
        lambda: add(),
        lambda: add(1, 2, 3),
        lambda: add(1, b=2),
        lambda: add(1, world.text),
        lambda: add(world.thing, 1),
        lambda: add(world.real, 1),
        lambda: add(world.integer, 1),
        lambda: add(1, 2**32),
        lambda: every(1, 2, 1e300, world.real, world.bytes),
        lambda: every(1, world.integer, 1.0, world.real, world.bytes),
        lambda: every(1, 2, 1.0, world.text, world.bytes),
        lambda: every(1, 2, 1.0, world.real, b"short"),
        lambda: every(1, 2, 1.0, world.real, world.thing),
        lambda: every(1, 2, 1.0, WasmValue.f32(1.0), world.bytes),
    )


@scenario
def conversions_that_raise(world):
    class Raises:
        def __index__(self):
            raise Failure(world.thing)

        __float__ = __index__

        def __repr__(self):
            raise Failure(world.thing)

    class Wrong:
        def __index__(self):
            return world.text  # no integer

    add, raises, wrong = world.exports.add, Raises(), Wrong()
    memory = world.memory
    return failing(
        lambda: add(1, raises),
        lambda: add(1, wrong),
        lambda: world.exports.all(1, 2, raises, 1.0, world.bytes),
        lambda: memory.read(raises, 1),
        lambda: memory.read(0, wrong),
        lambda: memory[raises],
        lambda: memory.__setitem__(0, raises),
        lambda: world.exports.all(1, 2, 1.0, 1.0, raises),
    )


@scenario
def wide_calls(world):
    values = list(range(70000, 70060))
    return lambda: (world.wide.f(*values), world.wide.host(*values), world.wide.refs(*values, world.thing))


@scenario
def wide_calls_that_fail(world):
    values = list(range(60))
    return failing(
        lambda: world.wide.f(*values, 1),
        lambda: world.wide.f(*values[:-1], world.text),
        lambda: world.wide.refs(*values[:-1], world.text, world.thing),
    )


@scenario
def traps(world):
    return failing(lambda: world.exports.trap(0))


@scenario
def stack_overflows(world):
    return failing(world.exports.deep), 20


@scenario
def a_closed_function(world):
    function = WasmFunc(world.store, abs, WasmFuncType(["i32"], ["i32"]))
    function.close()
    return failing(
        lambda: function(1),
        lambda: function(),
        lambda: function.map(1),
        lambda: function.typed(["i32"], ["i32"]),
    )


@scenario
def a_function_that_was_never_made(world):
    return failing(lambda: WasmFunc.__new__(WasmFunc)(1), lambda: WasmMemory.__new__(WasmMemory).read(0, 1))


@scenario
def a_closed_store(world):
    store = WasmStore(world.engine)
    exports = WasmInstance(store, world.module, [world.host, world.host_ref]).exports
    add, ref, memory, array_of = exports.add, exports.ref, exports.m, array.array("i", [1])
    store.close()
    return failing(
        lambda: add(1, 2),
        lambda: ref(world.thing, None),
        lambda: add.map(array_of, 1),
        lambda: memory.read(0, 1),
        lambda: memory.write(0, world.bytes),
        lambda: memory[0],
        lambda: memory.__setitem__(0, 1),
        memory.view,
        lambda: WasmFunc(store, abs, WasmFuncType(["i32"], ["i32"])),
        lambda: WasmInstance(store, world.module, [world.host, world.host_ref]),
    )


@scenario
def typed_functions(world):
    kept = world.exports.add.typed(["i32", "i32"], ["i32"], keep_gil=True)
    host = world.exports.host.typed(["i32"], ["i32"], keep_gil=True)

    def turn():
        kept(70000, 1)
        host(-70000)
        world.exports.add.typed(["i32", "i32"], ["i32"])(70000, 1)
        failing(lambda: kept(1), lambda: kept(1, world.text), lambda: world.exports.add.typed())()

    return turn


@scenario
def typed_functions_that_fail(world):
    trap = world.exports.trap.typed(["i32"], ["i32"], keep_gil=True)
    host = world.exports.host.typed(["i32"], ["i32"], keep_gil=True)

    def does(value):
        raise Failure(world.thing)

    world.does = does
    return failing(lambda: trap(0), lambda: host(1))


# ---- Host functions


@scenario
def host_functions(world):
    return lambda: world.exports.host(-70000)


@scenario
def nested_calls(world):
    world.does = lambda value: world.exports.add(value, 70000) if value < 3 else value
    return lambda: world.exports.host(2)


@scenario
def host_functions_that_raise(world):
    def does(value):
        raise Failure(world.thing, value)

    world.does = does
    return failing(lambda: world.exports.host(70000), lambda: world.exports.hostref(world.thing))


@scenario
def host_functions_that_raise_the_same(world):
    problem = Failure("again")

    def does(value):
        problem.__traceback__ = problem.__context__ = None
        raise problem

    world.does = does
    return failing(lambda: world.exports.host(70000))


@scenario
def host_functions_with_wrong_results(world):
    returned = [None]
    world.does = lambda value: returned[0]
    function = WasmFunc(world.store, world.does, WasmFuncType([], ["i32", "i32"]))
    nothing = WasmFunc(world.store, world.does, WasmFuncType([], []))
    given = [None, world.text, world.thing, world.real, world.integer, (1, 2), world.list]

    def turn():
        for returned[0] in given:
            failing(lambda: world.exports.host(1))()
        for returned[0] in [None, 5, (1,), (1, 2, 3), (1, world.text), [world.thing, 1], {1: 2, 3: 4}]:
            failing(function)()
        for returned[0] in [5, (), world.text]:
            failing(nothing)()

    return turn


@scenario
def host_functions_that_catch(world):
    def does(value):
        with contextlib.suppress(Exception):
            world.exports.trap(0)
        with contextlib.suppress(TypeError):
            world.exports.add(1)
        return value

    world.does = does
    return lambda: world.exports.host(5)


@scenario
def host_functions_that_ask_for_their_caller(world):
    exports = WasmInstance(
        world.store,
        WasmModule(
            world.engine,
            """(module (import "" "h" (func $h (param i32) (result i32)))
                (import "" "r" (func $r (param externref) (result externref)))
                (memory (export "m") 1 1) (table (export "t") 1 1 externref) (global (export "g") i32 (i32.const 0))
                (func (export "host") (param i32) (result i32) (call $h (local.get 0)))
                (func (export "ref") (param externref) (result externref) (call $r (local.get 0))))""",
        ),
        [
            with_caller(lambda caller, value: world.does((caller, value))),
            with_caller(lambda caller, value: world.does((caller, value))),
        ],
    ).exports

    def looks(given):
        for name in "mtg":
            given[0].get_export(name)
        with contextlib.suppress(KeyError):
            given[0].get_export("absent")
        return given[1]

    def fails(given):
        raise Failure(given[0])

    def turn():
        world.does = looks
        exports.host(5)
        exports.ref(world.thing)
        world.does = fails
        with contextlib.suppress(Failure):
            exports.host(5)
        with contextlib.suppress(Failure):
            exports.ref(world.thing)

    return turn


@scenario
def new_host_functions(world):
    types = WasmFuncType(["i32"], ["i32"])

    def turn():
        with WasmStore(world.engine) as store:
            WasmFunc(store, world.host, types)(-70000)

    return turn


# ---- References


@scenario
def references(world):
    def turn():
        world.exports.ref(world.thing, world.exports.add)
        world.exports.ref(None, None)
        world.exports.ref(Thing(), None)
        world.does = lambda value: Thing()
        world.exports.hostref(world.thing)
        world.exports.any()
        world.store.gc()

    return turn


@scenario
def references_that_are_wrong(world):
    other = WasmFunc(WasmStore(world.engine), abs, WasmFuncType(["i32"], ["i32"]))
    opaque = world.exports.any()

    def turn():
        failing(
            lambda: world.exports.ref(world.thing),
            lambda: world.exports.ref(world.thing, world.thing),
            lambda: world.exports.ref(world.thing, other),
            lambda: world.exports.ref(None, opaque),
            lambda: world.exports.ref(WasmValue.i32(5), None),
        )()
        world.store.gc()

    return turn


AGGREGATES = """(module
  (type $s (struct (field (mut i32)) (field (mut anyref))))
  (type $a (array (mut i8)))
  (tag $tag (export "tag") (param i32 externref))
  (import "env" "host" (func $host))
  (func (export "s") (result (ref $s)) (struct.new $s (i32.const 1) (ref.null any)))
  (func (export "a") (result (ref $a)) (array.new $a (i32.const 1) (i32.const 10)))
  (func (export "out") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "in") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "throw") (param externref) (throw $tag (i32.const 1) (local.get 0)))
  (func (export "catch")
    (block $handler (result i32 externref)
      (try_table (catch $tag $handler) (call $host))
      (return))
    drop drop)
  (func (export "take") (result exnref)
    (block $handler (result exnref)
      (try_table (catch_all_ref $handler) (call $host))
      (ref.null exn))))"""


@scenario
def aggregates(world):
    module = WasmModule(world.engine, AGGREGATES)
    f = WasmInstance(world.store, module, [lambda: None]).exports
    struct, array = f.s.type.results[0], f.a.type.results[0]

    def turn():
        first, numbers = f.s(), f.a()
        first[0], first[1] = 5, numbers
        assert first[1] == numbers
        first[1] = Thing()
        first[1] = WasmI31(3)
        assert f.out(first).value == first == f["in"](f.out(first))
        made = WasmStruct(world.store, struct, [1, Thing()])
        assert made.matches(struct)
        assert len(list(WasmArray(world.store, array, b"abc"))) == 3
        assert WasmArray.filled(world.store, array, 0, 5).type == array
        assert f.out(Thing()) is not None
        assert f.out.call_values(Thing())[0].value is not None
        failing(
            lambda: made["x"],
            lambda: made[2],
            lambda: made.__setitem__(0, "x"),
            lambda: WasmStruct(world.store, struct, [1, Thing(), 3]),
            lambda: WasmStruct(world.store, struct, [Thing(), Thing()]),
            lambda: WasmArray(world.store, array, [1, "2"]),
            lambda: WasmArray.filled(world.store, array, Thing(), 2),
            lambda: f.out.call_values(Thing(), 1),
        )()
        WasmStruct.new_type(world.engine, [WasmFieldType(array), WasmFieldType("i8")])
        world.store.gc()

    return turn


@scenario
def exceptions_of_wasm(world):
    module, thrown = WasmModule(world.engine, AGGREGATES), []

    def host():
        if thrown:
            raise thrown[0]

    f = WasmInstance(world.store, module, [host]).exports
    other = WasmTag(world.store, f.tag.type)

    def turn():
        failing(lambda: f.throw(Thing()))()
        thrown[:] = [WasmException(f.tag, 1, Thing())]
        f["catch"]()
        failing(lambda: f.throw(f.take()))()
        thrown[:] = [WasmException(f.tag, "x", Thing())]
        failing(f["catch"])()
        thrown[:] = [WasmException(other, 1, Thing())]
        failing(f["catch"])()
        thrown.clear()
        f["catch"]()
        world.store.gc()

    return turn


@scenario
def shared_memories(world):
    engine = WasmEngine(WasmConfig(shared_memory=True))
    module = WasmModule(engine, '(module (import "e" "m" (memory 1 1 shared)) (export "m" (memory 0)))')

    def turn():
        memory = WasmSharedMemory(engine, WasmMemoryType(1, 1, shared=True))
        exports = WasmInstance(WasmStore(engine), module, [memory]).exports
        view = exports.m.view()
        memory.close()
        view[0] = 1
        failing(lambda: memory.read(0, 1), lambda: exports.m.read(65536, 1), lambda: exports.m.grow(1))()

    return turn


@scenario
def tables(world):
    table = world.exports.t

    def turn():
        table[0] = Thing()
        table[1] = world.thing
        table[0] = table[1] = table[0]
        table[0] = table[1] = None
        failing(lambda: table[9], lambda: table.__setitem__(9, world.thing))()
        world.store.gc()

    return turn


@scenario
def a_full_heap(world):
    store = WasmStore(world.engine, limits=StoreLimits(memory_size=65536))
    table = WasmTable(store, WasmTableType("externref", 10_000))
    with contextlib.suppress(Exception):
        for index in range(10_000):
            table[index] = world.thing
    ref = WasmInstance(store, world.module, [world.host, world.host_ref]).exports.ref
    return failing(lambda: ref(world.text, None), lambda: table.__setitem__(0, world.text)), 200


# ---- Memory


@scenario
def memory(world):
    made, strided, table = (
        world.memory,
        memoryview(world.buffer)[::2],
        np.arange(16, dtype="i2").reshape(4, 4).T,
    )

    def turn():
        made.read(0, 70)
        made.read(offset=1, length=2000)
        made.write(0, world.bytes)
        made.write(data=world.buffer, offset=3)
        made.write(0, strided)
        made.write(0, table)
        made[5] = made[-5]
        made[0:64] = world.buffer
        made[0:32], made[0:64:2], made[::-4096], made[5:2]
        made.write(1, made.view()[:100])
        made.write_u32(4, 2**32 - 1)
        made.read_u64(4), made.read_f64(8)
        made.size, made.data_size, len(made)

    return turn


@scenario
def memory_errors(world):
    made = world.memory
    return failing(
        lambda: made.read(),
        lambda: made.read(1),
        lambda: made.read(1, lenght=2),
        lambda: made.read(1, offset=2),
        lambda: made.read(65536, 1),
        lambda: made.read(-1, 1),
        lambda: made.read(world.integer, 1),
        lambda: made.read(0, world.integer),
        lambda: made.read(world.text, 1),
        lambda: made.read(np.int64(65536), np.int64(1)),
        lambda: made.write(65530, world.bytes),
        lambda: made.write(-1, world.buffer),
        lambda: made.write(world.integer, world.buffer),
        lambda: made.write(0, world.text),
        lambda: made.write(0, world.thing),
        lambda: made.write(0, world.list),
        lambda: made[65536],
        lambda: made[world.integer],
        lambda: made[world.text],
        lambda: made[world.text :],
        lambda: made[::0],
        lambda: made.__setitem__(0, 256),
        lambda: made.__setitem__(0, world.text),
        lambda: made.__setitem__(65536, 1),
        lambda: made.__setitem__(slice(0, 3), world.buffer),
        lambda: made.__setitem__(slice(0, 3), world.text),
        lambda: made.__setitem__(slice(0, 64, 2), world.buffer),
        lambda: made.__setitem__(slice(0, 3), world.thing),
        lambda: made.__delitem__(0),
        lambda: made.write_u8(0, 256),
        world.growable.view,
    )


@scenario
def views(world):
    def turn():
        view = world.memory.view()
        view[0] = 5
        part = view[10:20]
        numbers = np.frombuffer(view, "i4")
        del view
        world.memory.write(100, part)
        assert world.store._core.views
        del part, numbers
        memoryview(world.memory).release()

    return turn


@scenario
def views_that_are_refused(world):
    def turn():
        view = world.memory.view()
        failing(world.store.close, world.growable.view)()
        failing(lambda: memoryview(world.growable), lambda: np.frombuffer(world.growable, "u1"))()
        failing(lambda: memoryview(view.obj))()  # what the view holds on to

    return turn


@scenario
def views_that_outlive_their_store(world):
    def turn():
        with WasmStore(world.engine) as store:
            made = WasmMemory(store, WasmMemoryType(1, 1))
            view = made.view()
        view[0] = 1
        failing(lambda: made.read(0, 1), made.view)()
        view.release()

    return turn, 300


# ---- Map


@scenario
def maps(world):
    column = array.array("i", range(70000, 70010))
    spread, out = np.arange(20, dtype="i4")[::2], np.zeros(10, "i4")
    every = world.exports.all
    doubles = array.array("d", [0.5] * 10)
    numbers = (ctypes.c_int32 * 10)(*column)
    longs, floats, vectors = array.array("q", range(10)), array.array("f", range(10)), bytes(160)

    def turn():
        world.exports.add.map(column, column)
        world.exports.add.map(column, spread)
        world.exports.add.map(numbers, spread, out=numbers)
        world.exports.add.map(70000, 5)
        world.exports.add.map(column, 70000, out=out)
        every.map(column, longs, floats, doubles, vectors)
        every.map(column, longs, 0.5, world.real, world.bytes)
        world.exports.host.map(column)
        world.exports.add.map(column[:0], 1)

    return turn


@scenario
def maps_that_are_refused(world):
    column, other = array.array("i", range(10)), array.array("q", range(10))
    add = world.exports.add
    return failing(
        lambda: add.map(column),
        lambda: add.map(column, other),
        lambda: add.map(column, column[:5]),
        lambda: add.map(column, world.text),
        lambda: add.map(column, world.integer),
        lambda: add.map(column, column, out=other),
        lambda: add.map(column, column, out=column[:5]),
        lambda: add.map(column, column, out=bytes(40)),
        lambda: add.map(column, column, out=world.thing),
        lambda: add.map(column, np.zeros((10, 1), "i4")),
        lambda: world.exports.ref.map(column, column),
        lambda: world.exports.all.map(column, other, 1, 2, bytes(159)),
        lambda: add._map((column, column), (), 10),
        lambda: add._map((column, world.thing), (column,), 10),
    )


@scenario
def maps_that_end_early(world):
    column = array.array("i", [3, 2, 1, 0, 5])

    def does(value):
        if not value:
            raise Failure(world.thing)
        return value

    world.does = does
    return failing(lambda: world.exports.trap.map(column), lambda: world.exports.host.map(column))


@scenario
def maps_with_wrong_results(world):
    column = array.array("i", [3, 2, 1, 0, 5])
    world.does = lambda value: value or world.text
    return failing(lambda: world.exports.host.map(column))


# ---- Instances and stores


@scenario
def instances(world):
    def turn():
        with WasmStore(world.engine) as store:
            exports = WasmInstance(store, world.module, [world.host, world.host_ref]).exports
            exports.add(1, 2)
            exports.host(-1)

    return turn, 500


@scenario
def instances_that_fail(world):
    sources = [
        '(module (import "" "h" (func (param i32))) (func $start unreachable) (start $start))',
        '(module (import "" "h" (func $h (param i32))) (func $start (call $h (i32.const 5))) (start $start))',
        '(module (import "" "h" (func (param i32))) (memory 1) (data (i32.const 65536) "x"))',
        '(module (import "" "h" (func (param i32))) (memory 2))',
    ]
    modules = [WasmModule(world.engine, source) for source in sources]
    limits = StoreLimits(memory_size=65536)

    def raises(value):
        raise Failure(world.thing)

    def turn():
        with WasmStore(world.engine, limits=limits) as store:
            failing(
                *(lambda module=module: WasmInstance(store, module, [raises]) for module in modules),
                lambda: WasmInstance(store, world.module),
                lambda: WasmInstance(store, world.module, [world.text, world.thing]),
                lambda: WasmInstance(store, world.module, [world.exports.host, world.exports.hostref]),
            )()

    return turn, 300


@scenario
def dropped_stores(world):
    def turn():
        store = WasmStore(world.engine)
        exports = WasmInstance(
            store, world.module, [lambda value: store and value, lambda value: exports]
        ).exports
        exports.host(5)
        exports.hostref(store)
        exports.t[0] = exports
        store.data = exports.m.view(), exports.add
        gc.collect(1)

    return turn, 300


@scenario
def stores_that_are_busy(world):
    def does(value):
        failing(world.store.close)()
        return value

    world.does = does
    return lambda: world.exports.host(1)


# ---- Linkers and what they prepare


def linker_for(world, **definitions):
    linker = WasmLinker(world.engine, allow_shadowing=True)
    linker.define("", "h", world.host)
    linker.define("", "r", world.host_ref)
    for name, item in definitions.items():
        linker.define("", name, item)
    return linker


@scenario
def prepared_instances(world):
    prepared = linker_for(world).prepare(world.module)
    world.does = lambda value: value

    def turn():
        exports = prepared.instantiate(WasmStore(world.engine)).exports
        assert exports.host(70000) == 70000
        assert exports.hostref(world.thing) is world.thing
        prepared.instantiate(exports.add.store)

    return turn, 300


@scenario
def prepared_instances_that_fail(world):
    sources = [
        '(module (import "" "h" (func (param i32))) (func $start unreachable) (start $start))',
        '(module (import "" "f" (func $h (param i32))) (func $start (call $h (i32.const 5))) (start $start))',
        '(module (import "" "h" (func (param i32))) (memory 2))',
    ]

    def raises(value):
        raise Failure(world.thing)

    linker = linker_for(world, f=raises)
    prepared = [linker.prepare(WasmModule(world.engine, source)) for source in sources]
    wasi = world.linker.prepare(world.wasi)
    bound = linker_for(world, m=world.memory).prepare(
        WasmModule(world.engine, '(module (import "" "m" (memory 1 1)))')
    )
    limits, other = StoreLimits(memory_size=65536), WasmStore(WasmEngine())

    def turn():
        with WasmStore(world.engine, limits=limits) as store:
            failing(
                *(lambda each=each: each.instantiate(store) for each in (*prepared, wasi, bound)),
                lambda: prepared[0].instantiate(other),
                lambda: prepared[0].instantiate(world.thing),
            )()
        failing(lambda: prepared[0].instantiate(store))()

    return turn, 300


@scenario
def preparing(world):
    twice = WasmModule(
        world.engine, '(module (import "" "h" (func (param i32))) (import "" "h" (func (param i64))))'
    )
    memory = WasmModule(world.engine, '(module (import "" "m" (memory 1 1)) (import "" "h" (func)))')

    def turn():
        linker = linker_for(world, m=world.memory)
        with linker.prepare(world.module):
            failing(lambda: world.linker.prepare(world.module), lambda: linker.prepare(world.wasi))()
        assert linker.prepare(memory).store is world.store
        store = WasmStore(world.engine)
        for module in (twice, world.module):
            linker.instantiate(store, module)
            linker.prepare(module).instantiate(store)
        with WasmLinker(world.engine) as wasi:
            wasi.define_wasi()
            wasi.alias_module("wasi_snapshot_preview1", "wasi")
            wasi.prepare(world.wasi)

    return turn, 200


@scenario
def cycles_through_what_was_prepared(world):
    def turn():
        linker, store = linker_for(world), WasmStore(world.engine)
        linker.define("", "h", lambda value: (linker, store, prepared, value)[3])
        prepared = linker.prepare(world.module)
        store.data = prepared.instantiate(store).exports
        assert store.data.host(3) == 3

    def turn_and_collect():
        turn()
        gc.collect(1)

    return turn_and_collect, 300


@scenario
def definitions_of_modules(world):
    command = WasmModule(
        world.engine,
        '(module (import "" "h" (func $h (param i32) (result i32))) (func (export "_start"))'
        ' (func (export "f") (result i32) (call $h (i32.const 3))) (func (export "t") unreachable))',
    )
    unknown = WasmModule(
        world.engine,
        '(module (import "e" "f" (func $f (result i32))) (import "e" "m" (memory 1)) (import "e" "g" (global externref))'
        ' (import "e" "t" (table 1 funcref)) (import "e" "x" (tag)) (func (export "f") (result i32) (call $f)))',
    )

    def turn():
        linker, store = linker_for(world), WasmStore(world.engine)
        linker.define_module(store, "c", command)
        linker.define_module(store, "m", world.module)
        assert linker.get(store, "c", "f")() == 3
        linker.get_default(store, "c")()
        linker.get_default(store, "none")()
        failing(linker.get(store, "c", "t"))()
        traps = linker_for(world)
        traps.define_unknown_imports_as_traps(unknown)
        traps.define_unknown_imports_as_default_values(store, unknown)
        failing(traps.instantiate(store, unknown).exports.f)()
        linker.define_unknown_imports_as_default_values(store, unknown)
        assert linker.instantiate(store, unknown).exports.f() == 0

    return turn, 500


# ---- WASI


@scenario
def wasi_output(world):
    written = []
    store = WasmStore(world.engine, wasi=WasiConfig(stdout=written.append))
    exports = world.linker.instantiate(store, world.wasi).exports

    def turn():
        assert exports.say() == 0
        failing(exports.say_and_trap, lambda: exports.leave(3))()
        assert written == [b"hello", b"hello"]
        written.clear()

    return turn


@scenario
def wasi_sinks_that_raise(world):
    def sink(data):
        raise Failure(world.thing, data)

    store = WasmStore(world.engine, wasi=WasiConfig(stdout=sink))
    exports = world.linker.instantiate(store, world.wasi).exports
    column = array.array("i", [1])
    start = WasmModule(
        world.engine,
        WASI[:-1] + "(func $start (drop (call $write (i32.const 1) (i32.const 0)"
        " (i32.const 1) (i32.const 8)))) (start $start))",
    )

    def turn():
        failing(exports.say, exports.say_and_trap, lambda: exports.say_it.map(column))()
        with contextlib.suppress(WasmExit):
            exports.leave(0)

    def turn_with_start():
        turn()
        with WasmStore(world.engine, wasi=WasiConfig(stdout=sink)) as fresh:
            failing(lambda: world.linker.instantiate(fresh, start))()

    return turn_with_start, 300


@scenario
def wasi_stores(world):
    def turn():
        store = WasmStore(world.engine, wasi=WasiConfig(stdin=world.bytes, stdout=lambda data: store))
        world.linker.instantiate(store, world.wasi).exports.say()
        gc.collect(0)

    return turn, 200


# ---- Counting


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def _bytes_in_c():
    """Bytes that the C library has handed out, or 0 where it does not say."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return info.uordblks + info.hblkhd


def settle(world):
    """Let go of what waits to be let go of."""
    with contextlib.suppress(Exception):
        world.store.gc()
    for _ in range(3):
        gc.collect()
    with contextlib.suppress(Exception):
        world.store.gc()
    gc.collect()


def count(world):
    """Objects, blocks, bytes, and references to what is watched."""
    settle(world)
    counted = {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "bytes in C": _bytes_in_c(),
    }
    counted["references"] = [sys.getrefcount(item) for item in world.watched()]
    return counted


@pytest.fixture(scope="module")
def world():
    return World()


def growth(before, after):
    """What grew, by name."""
    grown = {name: after[name] - before[name] for name in ("blocks", "objects", "bytes in C")}
    grown["references"] = max(
        now - then for then, now in zip(before["references"], after["references"], strict=True)
    )
    return grown


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_left(world, name):
    world.does = abs
    prepared = SCENARIOS[name](world)
    turn, turns = prepared if isinstance(prepared, tuple) else (prepared, TURNS)
    for _ in range(min(WARM, turns)):
        turn()
    count(world)
    before = count(world)
    # Caches fill up now and then, of Python and of the C library; what leaks grows in every round. The
    # smallest allocation of the C library takes 32 bytes.
    slack = {"blocks": turns // 4, "objects": turns // 4, "bytes in C": 16 * turns, "references": 3}
    for _ in range(ROUNDS):
        for _ in range(turns):
            turn()
        after = count(world)
        grown = {kind: more for kind, more in growth(before, after).items() if more > slack[kind]}
        if not grown:
            return
        before = after
    pytest.fail(f"in each round of {turns} turns, the last by {grown}, with references {after['references']}")


def test_it_would_be_noticed(world):
    # The counting counts: one object kept for each turn is seen.
    before = count(world)
    kept = [(world.thing,) for _ in range(TURNS)]
    after = count(world)
    assert len(kept) == TURNS
    grown = growth(before, after)
    assert grown["blocks"] >= TURNS
    assert grown["references"] == TURNS
