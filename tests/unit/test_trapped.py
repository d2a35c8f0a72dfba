"""Instances that were left in the middle: `WasmInstance.trapped`."""

import array
import copy

import pytest

from wasmtime_rt import (
    LinkError,
    OutOfFuelError,
    StoreLimits,
    WasiConfig,
    WasmConfig,
    WasmEngine,
    WasmException,
    WasmExit,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmInterrupted,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmTimeout,
    WasmTrap,
)

SOURCE = """(module
    (import "env" "host" (func $host))
    (tag $e (export "e") (param i32))
    (func (export "fine") (param i32) (result i32) (local.get 0))
    (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
    (func (export "trap") unreachable)
    (func (export "take") (param externref) unreachable)
    (func (export "throw") (throw $e (i32.const 5)))
    (func (export "spin") (loop (br 0)))
    (func $deep (export "deep") call $deep)
    (func (export "host") call $host)
    (func (export "host_and_spin") (call $host) (loop (br 0)))
    (func (export "catch") (block $h (try_table (catch_all $h) (call $host)))))"""


@pytest.fixture
def made(engine, store, compiled):
    """An instance, and what its host function does."""

    class Made:
        inside = staticmethod(lambda: None)

    made = Made()
    made.instance = WasmInstance(store, compiled(SOURCE), {"env": {"host": lambda: made.inside()}})
    return made


def raising(exception):
    def host():
        raise exception

    return host


def test_calls_that_return_leave_it(made):
    assert not made.instance.trapped
    assert made.instance.exports.fine(5) == 5
    made.instance.exports.host()
    assert made.instance.trapped is False


@pytest.mark.parametrize("way", ["call", "method", "values", "typed", "map", "timeout"])
def test_every_way_of_calling_counts(way, store, compiled):
    engine = WasmEngine(WasmConfig(epoch_interruption=True)) if way == "timeout" else store.engine
    instance = WasmInstance(WasmStore(engine), WasmModule(engine, SOURCE), {"env": {"host": lambda: None}})
    divide = instance.exports.divide
    ways = {
        "call": lambda n: divide(n),
        "method": lambda n: divide.call(n),
        "values": lambda n: divide.call_values(n),
        "typed": lambda n: divide.typed(["i32"], ["i32"])(n),
        "map": lambda n: divide.map(array.array("i", [1, n]), out=array.array("i", [0, 0])),
        "timeout": lambda n: divide(n, timeout=5),
    }
    ways[way](1)
    assert not instance.trapped
    with pytest.raises(WasmTrap):
        ways[way](0)
    assert instance.trapped
    ways[way](1)  # which stays possible
    assert instance.trapped


@pytest.mark.parametrize(("name", "args"), [("trap", ()), ("take", ("object",)), ("deep", ())])
def test_traps_of_any_kind(made, name, args):
    with pytest.raises(WasmTrap):
        made.instance.call(name, *args)
    assert made.instance.trapped


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, WasmTrap, WasmExit])
def test_what_a_host_function_raises(made, kind):
    made.inside = raising(kind(3))
    with pytest.raises(kind):
        made.instance.exports.catch()  # which catches WebAssembly's only
    assert made.instance.trapped


def test_time_and_fuel():
    engine = WasmEngine(WasmConfig(epoch_interruption=True, consume_fuel=True))
    module = WasmModule(engine, SOURCE)

    def instance(fuel):
        store = WasmStore(engine)
        store.set_fuel(fuel)
        return WasmInstance(store, module, {"env": {"host": lambda: None if store.interrupt() else 1}})

    late, hungry, interrupted = instance(2**60), instance(1000), instance(2**60)
    with pytest.raises(WasmTimeout):
        late.call("spin", timeout=0.02)
    with pytest.raises(OutOfFuelError):
        hungry.call("spin")
    with pytest.raises(WasmInterrupted):
        interrupted.call("host_and_spin")
    assert [one.trapped for one in (late, hungry, interrupted)] == [True] * 3


def test_exits_count(engine):
    linker = WasmLinker(engine)
    linker.define_wasi()
    module = WasmModule(
        engine,
        """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "leave") (call $exit (i32.const 0))))""",
    )
    instance = linker.instantiate(WasmStore(engine, wasi=WasiConfig()), module)
    with pytest.raises(WasmExit):
        instance.exports.leave()
    assert instance.trapped


def test_webassembly_exceptions_do_not_count(made):
    instance = made.instance
    with pytest.raises(WasmException):
        instance.exports.throw()
    thrown = WasmException(instance.exports.e, 7)
    made.inside = raising(thrown)
    with pytest.raises(WasmException):
        instance.exports.host()
    instance.exports.catch()
    made.inside = instance.exports.throw  # through a host function
    with pytest.raises(WasmException):
        instance.exports.host()
    assert not instance.trapped


def test_one_that_cannot_be_thrown_here_counts(made, engine, compiled):
    foreign = WasmInstance(WasmStore(engine), compiled(SOURCE), {"env": {"host": lambda: None}})
    made.inside = raising(WasmException(foreign.exports.e, 7))
    with pytest.raises(WasmException):
        made.instance.exports.catch()
    assert made.instance.trapped
    assert not foreign.trapped


def test_a_trap_after_an_exception_that_was_caught_counts(store, compiled):
    instance = WasmInstance(
        store,
        compiled(
            """(module (import "env" "host" (func $host)) (tag $e (export "e"))
            (func (export "f") (block $h (try_table (catch_all $h) (call $host))) unreachable))"""
        ),
        {"env": {"host": lambda: raising(WasmException(instance.exports.e))()}},
    )
    with pytest.raises(WasmTrap):
        instance.exports.f()
    assert instance.trapped


def test_what_fails_without_webassembly_does_not_count(made, store, compiled):
    for kind in (ValueError, WasmExit):
        with pytest.raises(kind):
            WasmFunc(store, raising(kind(1)), WasmFuncType())()
    with pytest.raises(ValueError, match="checked"):
        WasmFunc(store, lambda _: raising(ValueError("checked"))(), WasmFuncType(["externref"]))(None)
    with pytest.raises(TypeError):
        made.instance.exports.fine("x")
    with pytest.raises(LinkError):
        WasmInstance(store, compiled(SOURCE))
    assert not made.instance.trapped


def test_a_refused_instance_does_not_count(engine, compiled):
    store = WasmStore(engine, limits=StoreLimits(memory_size=65536))
    instance = WasmInstance(store, compiled('(module (func (export "f")))'))
    with pytest.raises(Exception, match="exceeds memory limits"):
        WasmInstance(store, compiled("(module (memory 2))"))
    assert not instance.trapped


@pytest.mark.parametrize("prepared", [False, True])
def test_a_start_function_that_traps_marks_the_others(prepared, engine, store, compiled):
    linker = WasmLinker(engine)

    def make(source):
        module = compiled(source)
        return linker.prepare(module).instantiate(store) if prepared else WasmInstance(store, module)

    before = make("(module)")
    with pytest.raises(WasmTrap):
        make("(module (func $s unreachable) (start $s))")
    after = make("(module)")
    assert (before.trapped, after.trapped) == (True, False)
    other = WasmInstance(WasmStore(engine), compiled("(module)"))
    assert not other.trapped


@pytest.mark.parametrize("prepared", [False, True])
def test_what_its_own_start_function_leads_to_counts(prepared, engine, store, compiled):
    def host(function):
        with pytest.raises(WasmTrap):
            function()

    module = compiled(
        """(module (import "env" "host" (func $host (param funcref))) (func $trap unreachable)
        (elem declare func $trap) (func $s (call $host (ref.func $trap))) (start $s))"""
    )
    linker = WasmLinker(engine)
    linker.define("env", "host", host)
    instance = (
        linker.prepare(module).instantiate(store)
        if prepared
        else WasmInstance(store, module, {"env": {"host": host}})
    )
    assert instance.trapped


def test_what_a_host_function_catches_counts(made):
    def host():
        with pytest.raises(WasmTrap):
            made.instance.exports.trap()

    made.inside = host
    made.instance.exports.host()
    assert made.instance.trapped


def test_an_exception_that_refuses_everything_counts(made):
    class Odd(Exception):
        @property
        def __notes__(self):
            raise SystemError

        def __setattr__(self, name, value):
            raise SystemError

    made.inside = raising(Odd())
    with pytest.raises(Odd):
        made.instance.exports.host()
    assert made.instance.trapped


def test_it_tells_after_closing(made, store):
    other = WasmInstance(store, WasmModule(store.engine, "(module)"))
    with pytest.raises(WasmTrap):
        made.instance.exports.trap()
    third = WasmInstance(store, WasmModule(store.engine, "(module)"))
    made.instance.close()
    assert made.instance.trapped
    store.close()
    assert [one.trapped for one in (made.instance, other, third)] == [True, True, False]


def test_before_it_is_initialised():
    bare = WasmInstance.__new__(WasmInstance)
    assert bare.trapped is False
    with pytest.raises(AttributeError):
        bare.trapped = True
    with pytest.raises(TypeError):
        copy.copy(bare)
