"""Calls out of WebAssembly: Python functions, their results, their exceptions, and calls back in."""

import functools
import gc
import weakref

import pytest

from wasmtime_rt import (
    F64,
    I32,
    I64,
    WasmFunc,
    WasmFuncType,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmTrap,
    WasmValType,
    WasmValue,
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


class CustomError(Exception):
    pass


@pytest.mark.parametrize(
    "kind", [ValueError, CustomError, KeyboardInterrupt, SystemExit, GeneratorExit, BaseException]
)
@pytest.mark.parametrize("params", ["i32", "externref"])
def test_any_exception_comes_out_as_itself(run, kind, params):
    raised = kind("from Python")

    def fail(_):
        raise raised

    with pytest.raises(kind) as caught:
        through_wasm(run, params, "", fail)(1)
    assert caught.value is raised
    assert "fail" in [entry.name for entry in caught.traceback]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_wasm_frames_are_a_note(run):
    def fail():
        raise ValueError("from Python")

    instance = run(
        """(module $outer (import "e" "f" (func $host))
        (func $inner (call $host)) (func $run (export "run") (call $inner)))""",
        [fail],
    )
    with pytest.raises(ValueError, match="from Python") as caught:
        instance.exports.run()
    (note,) = caught.value.__notes__
    lines = note.splitlines()
    assert lines[0] == "WebAssembly frames (innermost first):"
    assert lines[1].startswith("  outer!inner at 0x")
    assert lines[2].startswith("  outer!run at 0x")
    assert len(lines) == 3


def test_a_store_goes_on_after_an_exception(run):
    calls = []

    def sometimes(x):
        calls.append(x)
        if x < 0:
            raise ValueError(x)
        return x

    call = through_wasm(run, "i32", "i32", sometimes)
    for _ in range(3):
        with pytest.raises(ValueError, match="-1"):
            call(-1)
        assert call(5) == 5
    assert calls == [-1, 5] * 3


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


def test_an_inner_exception_crosses_every_level_once(run):
    def again(n):
        if n == 0:
            raise CustomError("deep")
        return instance.exports.run(n - 1)

    instance = run(
        """(module $m (import "e" "f" (func $f (param i32) (result i32)))
        (func $run (export "run") (param i32) (result i32) (call $f (local.get 0))))""",
        [again],
    )
    with pytest.raises(CustomError, match="deep") as caught:
        instance.exports.run(3)
    assert [entry.name for entry in caught.traceback].count("again") == 4
    assert len(caught.value.__notes__) == 1


def test_an_exception_that_is_handled_inside_does_not_come_out(run):
    def fail():
        raise CustomError

    def careful():
        for error in (CustomError, WasmTrap):
            with pytest.raises(error):
                (instance.exports.fail if error is CustomError else instance.exports.trap)()
        return 7

    instance = run(
        """(module (import "e" "careful" (func $c (result i32))) (import "e" "fail" (func $f))
        (func (export "fail") (call $f)) (func (export "trap") unreachable)
        (func (export "run") (result i32) (call $c)))""",
        {"e": {"careful": careful, "fail": fail}},
    )
    assert instance.exports.run() == 7


def test_an_inner_trap_comes_out_as_a_trap(run):
    instance = run(
        """(module $m (import "e" "f" (func $f)) (func $trap (export "trap") unreachable)
        (func $run (export "run") (call $f)))""",
        {"e": {"f": lambda: instance.exports.trap()}},
    )
    with pytest.raises(WasmTrap) as caught:
        instance.exports.run()
    assert [frame.func_name for frame in caught.value.frames] == ["trap", "run"]


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


def test_an_exception_crosses_two_stores(engine):
    module = WasmModule(engine, '(module $m (import "e" "f" (func $f)) (func $run (export "run") (call $f)))')

    def fail():
        raise CustomError("far")

    inner = WasmInstance(WasmStore(engine), module, [fail])
    outer = WasmInstance(WasmStore(engine), module, [inner.exports.run.__call__])
    with pytest.raises(CustomError, match="far") as caught:
        outer.exports.run()
    assert len(caught.value.__notes__) == 1


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
