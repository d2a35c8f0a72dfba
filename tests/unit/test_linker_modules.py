"""Linkers: modules as definitions, as commands that run anew for each call or as reactors that stay."""

import pytest

from wasmtime_rt import (
    LinkError,
    StoreLimits,
    WasiConfig,
    WasmEngine,
    WasmExit,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmTrap,
    WrongEngineError,
    WrongStoreError,
)

COUNTER = """(module
    (import "env" "log" (func $log (param i32)))
    (global $n (mut i32) (i32.const 0))
    (memory (export "memory") 1)
    (func $next (export "next") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (call $log (global.get $n))
        (global.get $n))
    (func (export "{entry}") (drop (call $next))))"""

USER = """(module (import "counter" "next" (func $next (result i32)))
    (func (export "twice") (result i32 i32) (call $next) (call $next)))"""


@pytest.fixture
def logged():
    return []


@pytest.fixture
def linker(engine, logged):
    made = WasmLinker(engine)
    made.define("env", "log", logged.append)
    return made


def test_a_reactor_is_initialized_once_and_keeps_its_state(engine, linker, store, logged):
    linker.define_module(store, "counter", WasmModule(engine, COUNTER.format(entry="_initialize")))
    assert logged == [1]
    user = linker.instantiate(store, WasmModule(engine, USER))
    assert user.exports.twice() == (2, 3)
    assert linker.get(store, "counter", "next")() == 4
    assert linker.get(store, "counter", "memory").size == 1


def test_a_module_with_neither_entry_is_an_instance(engine, linker, store, logged):
    linker.define_module(store, "counter", WasmModule(engine, COUNTER.format(entry="other")))
    assert logged == []
    assert linker.instantiate(store, WasmModule(engine, USER)).exports.twice() == (1, 2)


def test_a_command_starts_anew_for_each_call(engine, linker, store, logged):
    linker.define_module(store, "counter", WasmModule(engine, COUNTER.format(entry="_start")))
    assert logged == []
    assert linker.instantiate(store, WasmModule(engine, USER)).exports.twice() == (1, 1)
    assert linker.get(store, "counter", "next")() == 1
    linker.get_default(store, "counter")()
    assert logged == [1, 1, 1, 1]
    with pytest.raises(KeyError):
        linker.get(store, "counter", "memory")


def test_a_command_serves_its_own_store_only(engine, linker, store):
    linker.define_module(store, "counter", WasmModule(engine, COUNTER.format(entry="_start")))
    with pytest.raises(WrongStoreError):
        linker.instantiate(WasmStore(engine), WasmModule(engine, USER))


def test_what_a_command_asks_for_is_fixed_when_it_is_defined(engine, store, logged):
    linker = WasmLinker(engine, allow_shadowing=True)
    linker.define("env", "log", logged.append)
    linker.define_module(store, "counter", WasmModule(engine, COUNTER.format(entry="_start")))
    linker.define("env", "log", lambda value: logged.append("new"))
    linker.get(store, "counter", "next")()
    assert logged == [1]


def test_a_command_may_take_the_place_of_what_it_asks_for(engine, store):
    linker = WasmLinker(engine, allow_shadowing=True)
    linker.define("c", "a", lambda: 1)
    linker.define("c", "b", lambda: 2)
    source = """(module (import "c" "a" (func $a (result i32))) (import "c" "b" (func $b (result i32)))
        (func (export "_start"))
        (func (export "a") (result i32) (i32.add (call $b) (i32.const 10)))
        (func (export "b") (result i32) (i32.add (call $a) (i32.const 20))))"""
    linker.define_module(store, "c", WasmModule(engine, source))
    assert (linker.get(store, "c", "a")(), linker.get(store, "c", "b")()) == (12, 21)


def test_values_pass_through_a_command_bit_for_bit(engine, linker, store, run):
    command = WasmModule(
        engine,
        '(module (func (export "_start")) (func (export "f") (param f32 externref v128) (result v128 externref f32)'
        " (local.get 2) (local.get 1) (local.get 0)))",
    )
    linker.define_module(store, "c", command)
    bits = """(module (import "c" "f" (func $f (param f32 externref v128) (result v128 externref f32)))
        (func (export "bits") (param i32) (result i32)
            (call $f (f32.reinterpret_i32 (local.get 0)) (ref.null extern) (v128.const i32x4 0 0 0 0))
            i32.reinterpret_f32 (return)))"""
    assert linker.instantiate(store, WasmModule(engine, bits)).exports.bits(0x7FA00001) == 0x7FA00001
    thing = object()
    assert linker.get(store, "c", "f")(1.5, thing, bytes(range(16))) == (bytes(range(16)), thing, 1.5)


def test_failures_in_a_command_come_out(engine, linker, store):
    source = """(module (import "env" "h" (func $h)) (func (export "_start") (call $h))
        (func $div (export "div") (result i32) (i32.div_s (i32.const 1) (i32.const 0))))"""

    def fail():
        raise LookupError("from Python")

    linker.define("env", "h", fail)
    linker.define_module(store, "c", WasmModule(engine, source))
    with pytest.raises(LookupError, match="from Python"):
        linker.get_default(store, "c")()
    with pytest.raises(WasmTrap, match="divide by zero") as caught:
        linker.get(store, "c", "div")()
    assert caught.value.frames[0].func_name == "div"
    assert caught.value.code == 7


def test_failures_while_a_reactor_starts_come_out(engine, linker, store):
    trap = '(module (func (export "_initialize") unreachable) (func (export "f")))'
    with pytest.raises(WasmTrap, match="unreachable") as caught:
        linker.define_module(store, "a", WasmModule(engine, trap))
    assert caught.value.code == 9
    with pytest.raises(KeyError):
        linker.get(store, "a", "f")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            '(module (func (export "_start")) (func (export "_initialize")))',
            "a command .* or a reactor .*, not both",
        ),
        (
            '(module (global (export "_start") i32 (i32.const 1)))',
            'export "_start": expected a function, got',
        ),
        ('(module (memory (export "_initialize") 1))', r'export "_initialize": expected \(func\), got'),
        (
            '(module (func (export "_initialize") (param i32)))',
            r"expected \(func\), got \(func \(param i32\)\)",
        ),
        (
            '(module (func (export "_start")) (global (export "g") i32 (i32.const 1)))',
            'export "g" of a command',
        ),
        ('(module (import "no" "f" (func)) (func (export "_start")))', "1 of 1 imports are missing"),
        ('(module (import "no" "f" (func)))', "1 of 1 imports are missing"),
    ],
)
def test_what_is_neither_is_refused(engine, linker, store, source, message):
    with pytest.raises(LinkError, match=message):
        linker.define_module(store, "a", WasmModule(engine, source))
    with pytest.raises(KeyError):
        linker.get(store, "a", "_start")


def test_names_are_defined_once(engine, linker, store, logged):
    linker.define("counter", "next", lambda: 0)
    for entry in ("_initialize", "_start"):
        with pytest.raises(LinkError, match='"counter" "next" is defined already'):
            linker.define_module(store, "counter", WasmModule(engine, COUNTER.format(entry=entry)))
    assert logged == []  # it was refused before anything ran
    with pytest.raises(KeyError):
        linker.get(store, "counter", "_start")


def test_a_function_cannot_be_two_in_a_command(engine, linker, store):
    source = """(module (import "env" "f" (func (param i32))) (import "env" "f" (func (param i64)))
        (func (export "{}")))"""
    linker.define("env", "f", print)
    with pytest.raises(LinkError, match="a command cannot ask for one Python function with two types"):
        linker.define_module(store, "a", WasmModule(engine, source.format("_start")))
    linker.define_module(store, "a", WasmModule(engine, source.format("run")))
    assert linker.get(store, "a", "run")() is None


WASI = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 16) "hello")
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "leave") (call $exit (i32.const 200))))"""


def test_a_wasi_command_needs_a_store_with_wasi(engine, linker, store):
    linker.define_wasi()
    module = WasmModule(engine, WASI)
    with pytest.raises(WasmtimeError, match='"fd_write" is part of WASI, which this store has not'):
        linker.define_module(store, "program", module)
    said = []
    store = WasmStore(engine, wasi=WasiConfig(stdout=said.append))
    linker.define_module(store, "program", module)
    for _ in range(2):
        linker.get_default(store, "program")()
    assert said == [b"hello", b"hello"]
    with pytest.raises(WasmExit) as caught:
        linker.get(store, "program", "leave")()
    assert caught.value.code == 200


def test_instances_of_a_command_count(engine, linker):
    store = WasmStore(engine, limits=StoreLimits(instances=3))
    linker.define_module(store, "c", WasmModule(engine, '(module (func (export "_start")))'))
    run = linker.get_default(store, "c")
    for _ in range(3):
        run()
    with pytest.raises(WasmtimeError, match="instance"):
        run()


def test_engines_are_not_mixed(engine, linker, store):
    other = WasmEngine()
    for arguments in (
        (WasmStore(other), "a", WasmModule(engine, "(module)")),
        (store, "a", WasmModule(other, "(module)")),
    ):
        with pytest.raises(WrongEngineError):
            linker.define_module(*arguments)
    with pytest.raises(TypeError, match="module: expected a WasmModule"):
        linker.define_module(store, "a", "(module)")
