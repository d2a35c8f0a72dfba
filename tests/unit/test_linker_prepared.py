"""Prepared instances: what a linker found once, instantiated many times."""

import gc
import threading
import weakref

import pytest

from wasmtime_rt import (
    AbstractInstancePre,
    ClosedError,
    LinkError,
    PoolingConfig,
    StoreClosedError,
    StoreLimits,
    WasiConfig,
    WasmConfig,
    WasmEngine,
    WasmException,
    WasmExit,
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmInstance,
    WasmInstancePre,
    WasmLinker,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmSharedMemory,
    WasmStore,
    WasmTag,
    WasmTagType,
    WasmtimeError,
    WasmTrap,
    WrongEngineError,
    WrongStoreError,
)

DOUBLE = """(module (import "env" "double" (func $d (param i32) (result i32)))
    (memory (export "memory") 1)
    (global (export "count") (mut i32) (i32.const 0))
    (func (export "run") (param i32) (result i32) (call $d (local.get 0)))
    (export "double" (func $d)))"""

WASI = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 16) "hello")
    (func (export "say") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (func (export "leave") (param i32) (call $exit (local.get 0))))"""

TWO_TYPES = """(module (import "env" "f" (func $i (param i32) (result i32)))
    (import "env" "f" (func $d (param f64) (result f64)))
    (func (export "run") (result i32 f64) (call $i (i32.const 3)) (call $d (f64.const 0.5))))"""


@pytest.fixture
def linker(engine):
    made = WasmLinker(engine)
    made.define("env", "double", lambda x: 2 * x)
    return made


@pytest.fixture
def prepared(engine, linker):
    return linker.prepare(WasmModule(engine, DOUBLE))


def test_one_preparation_serves_many_stores(engine, prepared):
    stores = [WasmStore(engine) for _ in range(3)]
    instances = [prepared.instantiate(store) for store in stores]
    for i, instance in enumerate(instances):
        instance.exports.count.value = i
        assert instance.exports.run(i) == 2 * i
        assert isinstance(instance, WasmInstance)
        assert instance.store is stores[i]
        assert instance.module is prepared.module
    assert [instance.exports.count.value for instance in instances] == [0, 1, 2]
    assert len({instance.exports.memory for instance in instances}) == 3


def test_many_instances_live_in_one_store(prepared, store):
    first, second = prepared.instantiate(store), prepared.instantiate(store)
    first.exports.count.value = 5
    assert second.exports.count.value == 0
    assert first.exports.run(1) == second.exports.run(1) == 2


def test_what_it_is(engine, linker, prepared):
    assert isinstance(prepared, AbstractInstancePre)
    assert prepared.engine is engine
    assert prepared.store is None
    assert repr(prepared) == "<WasmInstancePre of <WasmModule 1 imports, 4 exports>>"
    with pytest.raises(TypeError, match="is made by WasmLinker.prepare"):
        WasmInstancePre()


def test_it_keeps_the_definitions_that_it_was_made_with(engine, store):
    linker = WasmLinker(engine, allow_shadowing=True)
    linker.define("env", "double", lambda x: 2 * x)
    prepared = linker.prepare(WasmModule(engine, DOUBLE))
    linker.define("env", "double", lambda x: 3 * x)
    assert prepared.instantiate(store).exports.run(1) == 2
    assert linker.instantiate(store, prepared.module).exports.run(1) == 3
    linker.close()
    prepared.module.close()
    assert prepared.instantiate(store).exports.run(1) == 2


def test_missing_and_wrong_definitions_are_listed_together(engine, linker, store):
    linker.define("env", "g", WasmGlobal(store, WasmGlobalType("i32"), 1))
    linker.define("env", "h", print, WasmFuncType(["i32"]))
    module = WasmModule(
        engine,
        '(module (import "env" "g" (global i64)) (import "env" "f" (func (param i32))) (import "env" "h" (func)))',
    )
    with pytest.raises(LinkError) as caught:
        linker.prepare(module)
    assert caught.value.message.splitlines() == [
        "the module cannot be instantiated: 3 of 3 imports are missing or wrong",
        '  (import "env" "g" (global i64)): got (global i32)',
        '  (import "env" "f" (func (param i32))): missing',
        '  (import "env" "h" (func)): got a Python function of type (func (param i32))',
    ]


def test_what_only_the_engine_can_tell_is_a_link_error_too(engine, linker, store, run):
    exported = run('(module (type $a (struct (field i32))) (func (export "f") (param (ref $a))))')
    linker.define_instance("lib", exported)
    module = WasmModule(
        engine, '(module (type $b (struct (field i64))) (import "lib" "f" (func (param (ref $b)))))'
    )
    with pytest.raises(LinkError, match="incompatible import type"):
        linker.prepare(module)
    with pytest.raises(LinkError, match="incompatible import type"):
        linker.instantiate(store, module)


# ---- What is bound to one store


def test_items_of_one_store_bind_it_to_that_store(engine, linker, store):
    memory = WasmMemory(store, WasmMemoryType(1))
    linker.define("env", "memory", memory)
    module = WasmModule(engine, '(module (import "env" "memory" (memory 1)) (export "m" (memory 0)))')
    prepared = linker.prepare(module)
    assert prepared.store is store
    assert prepared.instantiate(store).exports.m == memory
    with pytest.raises(WrongStoreError, match=r"was prepared with items of store \d+, it cannot be inst"):
        prepared.instantiate(WasmStore(engine))


def test_every_kind_of_item_is_passed_on(engine, linker, store, run):
    source = """(module (func (export "f") (result i32) (i32.const 7)) (memory (export "m") 1 4)
        (global (export "g") (mut i64) (i64.const 5)) (table (export "t") 3 externref) (tag (export "e") (param i32)))"""
    given = run(source)
    linker.define_instance("env", given)
    module = WasmModule(
        engine,
        """(module (import "env" "f" (func (result i32))) (import "env" "m" (memory 1))
        (import "env" "g" (global (mut i64))) (import "env" "t" (table 1 externref))
        (import "env" "e" (tag (param i32)))
        (export "f" (func 0)) (export "m" (memory 0)) (export "g" (global 0)) (export "t" (table 0))
        (export "e" (tag 0)))""",
    )
    made = linker.prepare(module).instantiate(store)
    assert dict(made.exports) == dict(given.exports)
    assert isinstance(made.exports.e, WasmTag)
    assert str(made.exports.m.type) == str(given.exports.m.type)  # what it is, not what was asked for
    assert made.exports.f() == 7


def test_a_shared_memory_serves_every_store():
    engine = WasmEngine(WasmConfig(shared_memory=True))
    memory = WasmSharedMemory(engine, WasmMemoryType(1, 2, shared=True))
    linker = WasmLinker(engine)
    linker.define("env", "m", memory)
    module = WasmModule(
        engine,
        '(module (import "env" "m" (memory 1 2 shared)) (export "m" (memory 0))'
        ' (func (export "add") (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))',
    )
    prepared = linker.prepare(module)
    assert prepared.store is None
    assert [prepared.instantiate(WasmStore(engine)).exports.add() for _ in range(2)] == [0, 1]
    assert [linker.instantiate(WasmStore(engine), module).exports.add() for _ in range(2)] == [2, 3]
    assert memory.read_u32(0) == 4
    linker.define("env", "other", WasmSharedMemory(engine, WasmMemoryType(1, 1, shared=True)))
    with pytest.raises(LinkError, match="wrong"):
        linker.prepare(WasmModule(engine, '(module (import "env" "other" (memory 2 2 shared)))'))
    stranger = WasmEngine(WasmConfig(shared_memory=True))
    with pytest.raises(WrongEngineError):
        other = WasmLinker(stranger)
        other.define("env", "m", memory)
        other.prepare(WasmModule(stranger, '(module (import "env" "m" (memory 1 2 shared)))'))


def test_items_of_two_stores_cannot_be_prepared_together(engine, linker, store):
    linker.define("env", "a", WasmMemory(store, WasmMemoryType(1)))
    linker.define("env", "b", WasmMemory(WasmStore(engine), WasmMemoryType(1)))
    module = WasmModule(engine, '(module (import "env" "a" (memory 1)) (import "env" "b" (memory 1)))')
    with pytest.raises(WrongStoreError, match=r'"env" "b" .* lives in store \d+, others live in store'):
        linker.prepare(module)


def test_items_of_another_engine_are_refused(engine, linker):
    linker.define("env", "a", WasmMemory(WasmStore(WasmEngine()), WasmMemoryType(1)))
    with pytest.raises(WrongEngineError, match="is of another engine than the linker"):
        linker.prepare(WasmModule(engine, '(module (import "env" "a" (memory 1)))'))


def test_what_was_closed_cannot_be_prepared(engine, linker):
    store = WasmStore(engine)
    memory, other = (WasmMemory(store, WasmMemoryType(1)) for _ in range(2))
    for name, item in (("memory", memory), ("other", other)):
        linker.define("env", name, item)
    sources = [f'(module (import "env" "{name}" (memory 1)))' for name in ("memory", "other")]
    memory.close()
    with pytest.raises(ClosedError, match="this WasmMemory was closed"):
        linker.prepare(WasmModule(engine, sources[0]))
    prepared = linker.prepare(WasmModule(engine, sources[1]))
    store.close()
    with pytest.raises(StoreClosedError):
        linker.prepare(WasmModule(engine, sources[1]))
    with pytest.raises(StoreClosedError):
        prepared.instantiate(store)
    with pytest.raises(WrongStoreError):
        prepared.instantiate(WasmStore(engine))


def test_a_memory_that_has_grown_since_fits(engine, linker, store):
    memory = WasmMemory(store, WasmMemoryType(1, 5))
    linker.define("env", "memory", memory)
    module = WasmModule(engine, '(module (import "env" "memory" (memory 2 5)))')
    with pytest.raises(LinkError, match="which is 1 large now"):
        linker.prepare(module)
    memory.grow(1)
    prepared = linker.prepare(module)
    memory.grow(1)
    assert prepared.instantiate(store).is_valid


# ---- Host functions


def test_a_host_function_is_one_function_in_each_store(engine, prepared, store):
    first, second = prepared.instantiate(store), prepared.instantiate(store)
    elsewhere = prepared.instantiate(WasmStore(engine))
    double = first.exports.double
    assert isinstance(double, WasmFunc)
    assert double(21) == 42
    assert double == second.exports.double
    assert hash(double) == hash(second.exports.double)
    assert double != elsewhere.exports.double
    assert elsewhere.exports.double(4) == 8
    assert double.typed(["i32"], ["i32"])(5) == 10
    assert double.typed(["i32"], ["i32"], keep_gil=True)(6) == 12


def test_a_host_function_outlives_everything_but_its_store(engine, store):
    linker = WasmLinker(engine)
    linker.define("env", "double", lambda x: 2 * x)
    prepared = linker.prepare(WasmModule(engine, DOUBLE))
    double = prepared.instantiate(store).exports.double
    prepared.close()
    linker.close()
    del linker, prepared
    gc.collect()
    assert double(8) == 16


def test_exceptions_and_bad_results_come_out(engine, store):
    linker = WasmLinker(engine)
    answers = iter([LookupError("from Python"), "text", 2**40])

    def answer(_):
        value = next(answers)
        if isinstance(value, Exception):
            raise value
        return value

    linker.define("env", "double", answer)
    exports = linker.prepare(WasmModule(engine, DOUBLE)).instantiate(store).exports
    with pytest.raises(LookupError, match="from Python") as caught:
        exports.run(1)
    assert "WebAssembly frames" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="result 0"):
        exports.run(1)
    with pytest.raises(OverflowError, match="result 0"):
        exports.run(1)


CATCHES = """(module (import "env" "tag" (tag $t (param i32))) (import "{module}" "{name}" (func $f))
    (func (export "run") (result i32) (block $caught (result i32)
        (try_table (catch $t $caught) (call $f)) (i32.const -1))))"""


def test_what_a_host_function_throws_is_caught(engine, linker, store):
    tag = WasmTag(store, WasmTagType(WasmFuncType(["i32"])))

    def throw():
        raise WasmException(tag, 7)

    linker.define("env", "tag", tag)
    linker.define("env", "throw", throw)
    prepared = linker.prepare(WasmModule(engine, CATCHES.format(module="env", name="throw")))
    assert prepared.instantiate(store).exports.run() == 7


def test_what_a_command_throws_is_caught(engine, linker, store):
    linker.define("env", "tag", WasmTag(store, WasmTagType(WasmFuncType(["i32"]))))
    command = """(module (import "env" "tag" (tag $t (param i32)))
        (func (export "_start") (throw $t (i32.const 8))))"""
    linker.define_module(store, "c", WasmModule(engine, command))
    module = WasmModule(engine, CATCHES.format(module="c", name="_start"))
    assert linker.instantiate(store, module).exports.run() == 8
    with pytest.raises(WasmException) as caught:
        linker.get_default(store, "c")()
    assert caught.value.payload == (8,)


def test_references_pass_through(engine):
    linker = WasmLinker(engine)
    seen = []

    def look(thing, func):
        seen.append((thing, func))
        return thing

    linker.define("env", "look", look)
    prepared = linker.prepare(
        WasmModule(
            engine,
            """(module (import "env" "look" (func $l (param externref funcref) (result externref)))
            (func $run (export "run") (param externref) (result externref) (call $l (local.get 0) (ref.func $run)))
            (elem declare func $run))""",
        )
    )
    for _ in range(2):
        instance, thing = prepared.instantiate(WasmStore(engine)), object()
        assert instance.exports.run(thing) is thing
        assert seen.pop() == (thing, instance.exports.run)


def test_a_start_function_runs_for_each_instance(engine, linker):
    called = []

    def begin():
        called.append(len(called))
        if len(called) == 2:
            raise LookupError("the second")

    linker.define("env", "begin", begin)
    prepared = linker.prepare(WasmModule(engine, '(module (import "env" "begin" (func $b)) (start $b))'))
    store = WasmStore(engine)
    prepared.instantiate(store)
    with pytest.raises(LookupError, match="the second"):
        prepared.instantiate(store)
    prepared.instantiate(store)
    assert called == [0, 1, 2]


def test_a_host_function_may_instantiate(engine, linker):
    store, depth = WasmStore(engine), []

    def again():
        depth.append(len(depth))
        if len(depth) < 5:
            assert prepared.instantiate(store).is_valid

    linker.define("env", "again", again)
    prepared = linker.prepare(WasmModule(engine, '(module (import "env" "again" (func $a)) (start $a))'))
    prepared.instantiate(store)
    assert depth == [0, 1, 2, 3, 4]


def test_traps_limits_and_fuel(engine, linker):
    for source in ("(func $s unreachable) (start $s)", '(memory 1) (data (i32.const 65536) "x")'):
        with pytest.raises(WasmTrap) as caught:
            linker.prepare(WasmModule(engine, f"(module {source})")).instantiate(WasmStore(engine))
        assert caught.value.code is not None
    two = linker.prepare(WasmModule(engine, "(module (memory 2))"))
    with pytest.raises(WasmtimeError, match="limit"):
        two.instantiate(WasmStore(engine, limits=StoreLimits(memory_size=65536)))
    metered = WasmEngine(WasmConfig(consume_fuel=True))
    prepared = WasmLinker(metered).prepare(WasmModule(metered, "(module (func $s (loop (br 0))) (start $s))"))
    store = WasmStore(metered)
    store.set_fuel(1000)
    with pytest.raises(WasmTrap, match="fuel"):
        prepared.instantiate(store)


@pytest.mark.parametrize("how", ["prepare", "instantiate"])
def test_a_function_asked_for_with_two_types_serves_both(engine, store, how):
    linker = WasmLinker(engine)
    linker.define("env", "f", lambda x: x + x)
    module = WasmModule(engine, TWO_TYPES)
    for _ in range(2):
        made = (
            linker.prepare(module).instantiate(store)
            if how == "prepare"
            else linker.instantiate(store, module)
        )
        assert made.exports.run() == (6, 1.0)


def test_an_item_asked_for_twice_is_the_same(engine, linker, store):
    memory = WasmMemory(store, WasmMemoryType(2))
    linker.define("env", "m", memory)
    module = WasmModule(
        engine,
        '(module (import "env" "m" (memory 1)) (import "env" "m" (memory 2)) (import "env" "double" (func (param i32)'
        ' (result i32))) (import "env" "double" (func (param i32) (result i32)))'
        ' (export "a" (memory 0)) (export "b" (memory 1)) (export "f" (func 0)) (export "g" (func 1)))',
    )
    exports = linker.prepare(module).instantiate(store).exports
    assert exports.a == exports.b == memory
    assert exports.f == exports.g


def test_instances_come_out_of_pools_and_go_back():
    pools = PoolingConfig(total_core_instances=2, total_memories=2, max_memory_size=1 << 20)
    engine = WasmEngine(WasmConfig(pooling_allocation_strategy=pools))
    linker = WasmLinker(engine)
    linker.define("env", "double", lambda x: 2 * x)
    prepared = linker.prepare(WasmModule(engine, DOUBLE))
    for _ in range(3):
        stores = [WasmStore(engine) for _ in range(2)]
        for store in stores:
            exports = prepared.instantiate(store).exports
            assert (exports.run(4), exports.memory[0]) == (8, 0)
            exports.memory[0] = 1
        with pytest.raises(WasmtimeError, match="limit of 2"):
            prepared.instantiate(WasmStore(engine))
        for store in stores:
            store.close()


# ---- WASI


def test_wasi_programs_are_prepared(engine, linker):
    linker.define_wasi()
    prepared = linker.prepare(WasmModule(engine, WASI))
    for _ in range(2):
        said = []
        exports = prepared.instantiate(WasmStore(engine, wasi=WasiConfig(stdout=said.append))).exports
        assert exports.say() == 0
        assert said == [b"hello"]
        with pytest.raises(WasmExit) as caught:
            exports.leave(200)
        assert caught.value.code == 200
    with pytest.raises(WasmtimeError, match='"fd_write" is part of WASI, which this store has not'):
        prepared.instantiate(WasmStore(engine))


def test_a_definition_in_place_of_wasis_is_used(engine):
    linker = WasmLinker(engine, allow_shadowing=True)
    linker.define("wasi_snapshot_preview1", "proc_exit", lambda code: None)
    linker.define_wasi()
    linker.define("wasi_snapshot_preview1", "fd_write", lambda *_: 76)
    prepared = linker.prepare(WasmModule(engine, WASI))
    exports = prepared.instantiate(WasmStore(engine)).exports  # nothing of WASI is left in it
    assert exports.say() == 76
    assert exports.leave(3) is None


def test_wasi_goes_on_after_its_linker_was_closed(engine, linker):
    linker.define_wasi()
    prepared = linker.prepare(WasmModule(engine, WASI))
    linker.close()
    assert prepared.instantiate(WasmStore(engine, wasi=WasiConfig())).exports.say() == 0


# ---- Misuse and lifetime


def test_misuse_is_refused(engine, linker, prepared):
    for store in (None, "store", engine):
        with pytest.raises(TypeError, match="store: expected a WasmStore"):
            prepared.instantiate(store)
    with pytest.raises(TypeError, match="module: expected a WasmModule, got str"):
        linker.prepare("(module)")
    other = WasmEngine()
    with pytest.raises(WrongEngineError):
        prepared.instantiate(WasmStore(other))
    with pytest.raises(WrongEngineError):
        linker.prepare(WasmModule(other, "(module)"))
    closed = WasmStore(engine)
    closed.close()
    with pytest.raises(StoreClosedError):
        prepared.instantiate(closed)
    module = WasmModule(engine, "(module)")
    module.close()
    with pytest.raises(ClosedError):
        linker.prepare(module)


def test_closing_refuses_use_and_instances_go_on(prepared, store):
    with prepared:
        instance = prepared.instantiate(store)
        assert prepared.is_valid
    assert not prepared.is_valid
    prepared.close()
    assert repr(prepared).endswith(" closed>")
    with pytest.raises(ClosedError, match="this WasmInstancePre was closed"):
        prepared.instantiate(store)
    assert instance.exports.run(5) == 10


class Thing:
    """Something that can be referred to weakly."""


def test_a_store_keeps_what_it_may_call_and_no_more(engine):
    linker, thing = WasmLinker(engine), Thing()
    linker.define("env", "double", lambda x, thing=thing: 2 * x)
    gone = weakref.ref(thing)
    store = WasmStore(engine)
    run = linker.prepare(WasmModule(engine, DOUBLE)).instantiate(store).exports.run
    del linker, thing
    gc.collect()
    assert gone() is not None
    assert run(2) == 4
    store.close()
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("order", ["linker prepared store", "store prepared linker", "prepared store linker"])
def test_what_is_dropped_in_any_order_is_collected(engine, order):
    names = {"linker": WasmLinker(engine), "store": WasmStore(engine)}
    thing = Thing()
    names["linker"].define("env", "double", lambda x, thing=thing: 2 * x)
    names["prepared"] = names["linker"].prepare(WasmModule(engine, DOUBLE))
    assert names["prepared"].instantiate(names["store"]).exports.run(1) == 2
    gone = [weakref.ref(item) for item in (thing, *names.values())]
    del thing
    for name in order.split():
        del names[name]
        gc.collect()
    assert not any(ref() for ref in gone)


def test_cycles_through_host_functions_are_collected(engine):
    module, gone = WasmModule(engine, DOUBLE), []
    for _ in range(20):
        linker, store = WasmLinker(engine), WasmStore(engine)

        def double(x, everything=[linker]):  # noqa: B006
            return 2 * x if everything else None

        linker.define("env", "double", double)
        prepared = linker.prepare(module)
        instance = prepared.instantiate(store)
        double.__defaults__[0].extend([store, prepared, instance, instance.exports.run])
        store.data = prepared
        assert instance.exports.run(4) == 8
        gone += [weakref.ref(item) for item in (linker, store, prepared, instance, double)]
        del linker, store, prepared, instance, double
    gc.collect()
    assert not any(ref() for ref in gone)


def test_cycles_through_store_items_are_collected(engine):
    gone = []
    for _ in range(5):
        linker, store = WasmLinker(engine), WasmStore(engine)
        linker.define("env", "m", WasmMemory(store, WasmMemoryType(1)))
        store.data = linker.prepare(WasmModule(engine, '(module (import "env" "m" (memory 1)))'))
        store.data.instantiate(store)
        gone += [weakref.ref(item) for item in (linker, store, store.data)]
        del linker, store
    gc.collect()
    assert not any(ref() for ref in gone)


def test_the_collector_may_run_at_any_time(engine):
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            linker, store = WasmLinker(engine), WasmStore(engine)
            linker.define("env", "double", lambda x, held=[linker, store]: 2 * x)
            prepared = linker.prepare(WasmModule(engine, DOUBLE))
            assert prepared.instantiate(store).exports.run(3) == 6
    finally:
        gc.set_threshold(*before)


def test_a_linker_forgets_modules(engine, linker):
    module = WasmModule(engine, DOUBLE)
    linker.instantiate(WasmStore(engine), module)
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None


# ---- Threads


def test_threads_share_it_with_a_store_each(engine, prepared):
    results, barrier = [], threading.Barrier(4)

    def work(number):
        barrier.wait(10)
        for i in range(50):
            instance = prepared.instantiate(WasmStore(engine))
            results.append(instance.exports.run(number * 1000 + i) == 2 * (number * 1000 + i))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 200


def test_it_may_be_closed_while_another_thread_instantiates(engine, linker):
    entered, leave = threading.Event(), threading.Event()

    def wait():
        entered.set()
        assert leave.wait(10)

    linker.define("env", "wait", wait)
    prepared = linker.prepare(
        WasmModule(
            engine, '(module (import "env" "wait" (func $w)) (start $w) (func (export "f") (call $w)))'
        )
    )
    made = []
    thread = threading.Thread(
        target=lambda make: made.append(make(WasmStore(engine))), args=[prepared.instantiate]
    )
    thread.start()
    assert entered.wait(10)
    prepared.close()
    linker.close()
    del prepared, linker
    gc.collect()
    leave.set()
    thread.join(10)
    assert made[0].exports.f() is None
