"""Exceptions of host functions: they come out of the outer call as themselves."""

import pytest

from wasmtime_rt import (
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmTrap,
)


def through_wasm(run, params, results, function):
    """``function`` as a module calls it: an export that hands its arguments on."""
    sides = f"{f'(param {params})' if params else ''} {f'(result {results})' if results else ''}"
    body = " ".join(f"(local.get {i})" for i in range(len(params.split())))
    return run(
        f'(module (import "e" "f" (func $f {sides})) (func (export "g") {sides} (call $f {body})))',
        [function],
    ).exports.g


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


def test_an_exception_crosses_two_stores(engine):
    module = WasmModule(engine, '(module $m (import "e" "f" (func $f)) (func $run (export "run") (call $f)))')

    def fail():
        raise CustomError("far")

    inner = WasmInstance(WasmStore(engine), module, [fail])
    outer = WasmInstance(WasmStore(engine), module, [inner.exports.run.__call__])
    with pytest.raises(CustomError, match="far") as caught:
        outer.exports.run()
    assert len(caught.value.__notes__) == 1
