"""Calls out of WebAssembly: Python functions, their results, their exceptions, and calls back in."""

import functools
import gc
import weakref

import pytest

from wasmtime_rt import (
    F64,
    I32,
    I64,
    WasmEngine,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmValType,
    WasmValue,
    WrongEngineError,
)


def through_wasm(run, params, results, function):
    """``function`` as a module calls it: an export that hands its arguments on."""
    sides = f"{f'(param {params})' if params else ''} {f'(result {results})' if results else ''}"
    body = " ".join(f"(local.get {i})" for i in range(len(params.split())))
    return run(
        f'(module (import "e" "f" (func $f {sides})) (func (export "g") {sides} (call $f {body})))',
        [function],
    ).exports.g


def test_arguments_are_signed_numbers(run):
    seen = []
    call = through_wasm(run, "i32 i64 f32 f64 v128", "", lambda *args: seen.append(args))
    assert call(2**32 - 1, 2**63, 0.5, 0.25, bytes(range(16))) is None
    assert seen == [(-1, -(2**63), 0.5, 0.25, bytes(range(16)))]


@pytest.mark.parametrize(
    ("results", "returned", "expected"),
    [
        ("", None, None),
        ("i32", 2**32 - 1, -1),
        ("i32", True, 1),
        ("f64", 3, 3.0),
        ("i64", WasmValue.i64(5), 5),
        ("i32 i64", (1, 2), (1, 2)),
        ("i32 i64", [1, 2], (1, 2)),
        ("v128", bytes(range(16)), bytes(range(16))),
        ("externref", "any object", "any object"),
        ("externref i32", (("a", "tuple"), 3), (("a", "tuple"), 3)),
        ("funcref", None, None),
    ],
)
def test_results_are_converted(run, results, returned, expected):
    assert through_wasm(run, "", results, lambda: returned)() == expected


@pytest.mark.parametrize(
    ("results", "returned", "error", "message"),
    [
        ("", 5, TypeError, "expected None, since it has no results, got int 5"),
        ("i32", None, TypeError, r"result 0 \(i32\): expected an integer, got NoneType None"),
        ("i32", 1.5, TypeError, r"result 0 \(i32\): expected an integer, got float 1\.5"),
        ("i32", 2**32, OverflowError, r"result 0 \(i32\): expected an integer from"),
        ("i32 i64", 5, TypeError, "expected a tuple of 2 results, got int 5"),
        ("i32 i64", (1,), TypeError, "expected 2 results, got 1"),
        ("i32 i64", (1, "2"), TypeError, r"result 1 \(i64\): expected an integer, got str '2'"),
        ("v128", b"123", ValueError, r"result 0 \(v128\): expected 16 bytes, got 3"),
        ("funcref", print, TypeError, r"result 0 \(funcref\): expected a WasmFunc or None, got builtin"),
        ("externref i32", (None,), TypeError, "expected 2 results, got 1"),
        ("(ref extern)", None, TypeError, "expected a reference that is not null, got None"),
    ],
)
def test_results_are_checked(run, results, returned, error, message):
    def wrong():
        return returned

    with pytest.raises(error, match=f"wrong: .*{message}"):
        through_wasm(run, "", results, wrong)()


def test_a_callable_object_a_method_and_a_partial_are_functions(run):
    class Adder:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x + self.n

        def add(self, x):
            return x + self.n

    for function in (Adder(2), Adder(2).add, functools.partial(lambda a, b: a + b, 2), (2).__add__):
        assert through_wasm(run, "i32", "i32", function)(40) == 42


def test_a_host_function_is_called_from_python_too(store):
    def halve(x: F64) -> tuple[F64, I32]:
        return x / 2, int(x)

    func = WasmFunc(store, halve)
    assert func(5) == (2.5, 5)
    assert func.name.endswith("halve")
    with pytest.raises(TypeError, match=r"halve: argument 0 \(f64\): expected a real number"):
        func("5")


def test_host_calls_wasm_calls_host(run):
    depth = []

    def again(n):
        depth.append(n)
        return instance.exports.run(n - 1) + 1 if n else 0

    instance = run(
        """(module (import "e" "f" (func $f (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (call $f (local.get 0))))""",
        [again],
    )
    assert instance.exports.run(10) == 10
    assert depth == list(range(10, -1, -1))


def test_a_host_function_works_on_the_store_that_calls_it(run):
    def shout(at: I32, length: I32) -> I64:
        memory = instance.exports.memory
        text = memory.read_utf8(at, length).upper()
        memory.grow(1)
        return memory.write_utf8(at, text)

    instance = run(
        """(module (import "e" "shout" (func $s (param i32 i32) (result i64)))
        (memory (export "memory") 1) (data (i32.const 8) "hello")
        (func (export "run") (result i64) (call $s (i32.const 8) (i32.const 5))))""",
        {"e": {"shout": shout}},
    )
    assert instance.exports.run() == 5
    assert instance.exports.memory.read(8, 5) == b"HELLO"
    assert instance.exports.memory.size == 2


def test_a_host_function_enters_another_store(engine):
    module = WasmModule(
        engine,
        '(module (import "e" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f)))',
    )
    inner = WasmInstance(WasmStore(engine), module, [lambda: 41])
    outer = WasmInstance(WasmStore(engine), module, [lambda: inner.exports.run() + 1])
    assert outer.exports.run() == 42


def test_a_host_function_lives_as_long_as_its_store(engine):
    store = WasmStore(engine)

    class Callee:
        def __call__(self):
            return 3

    callee = Callee()
    gone = weakref.ref(callee)
    func = WasmFunc(store, callee, WasmFuncType([], [WasmValType.I32]))
    del callee
    gc.collect()
    assert func() == 3
    store.close()
    gc.collect()
    assert gone() is None


def test_a_function_that_cannot_be_made_is_not_retained(store):
    defines = '(module (type $s (struct)) (func (export "f") (param (ref null $s))))'
    elsewhere = WasmModule(WasmEngine(), defines).exports[0].type

    class Callee:
        def __call__(self, reference): ...

    callee = Callee()
    gone = weakref.ref(callee)
    with pytest.raises(WrongEngineError, match="defined by a module of another engine"):
        WasmFunc(store, callee, elsewhere)
    del callee
    gc.collect()
    assert gone() is None
