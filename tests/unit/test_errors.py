"""Errors: the tree, traps with codes and frames, notes on exceptions of host functions."""

import copy
import inspect
import pickle

import pytest

import wasmtime_rt
from wasmtime_rt import (
    ClosedError,
    CompileError,
    DeserializeError,
    ForkError,
    LimitError,
    LinkError,
    MemoryViewError,
    MisuseError,
    OutOfFuelError,
    StoreBusyError,
    StoreClosedError,
    TrapCode,
    WasmException,
    WasmExit,
    WasmFrame,
    WasmInterrupted,
    WasmtimeError,
    WasmTimeout,
    WasmTrap,
    WrongEngineError,
    WrongStoreError,
)


def test_every_exception_is_below_the_root():
    found = {
        item
        for item in (getattr(wasmtime_rt, name) for name in wasmtime_rt.__all__)
        if inspect.isclass(item) and issubclass(item, BaseException)
    }
    assert found == {
        WasmtimeError,
        LimitError,
        OutOfFuelError,
        CompileError,
        DeserializeError,
        LimitError,
        LinkError,
        OutOfFuelError,
        WasmTrap,
        WasmTimeout,
        WasmInterrupted,
        WasmException,
        WasmExit,
        MisuseError,
        ClosedError,
        StoreClosedError,
        WrongStoreError,
        WrongEngineError,
        StoreBusyError,
        ForkError,
        MemoryViewError,
        WasmInterrupted,
        WasmTimeout,
    }
    assert all(issubclass(item, WasmtimeError) for item in found)
    assert issubclass(StoreClosedError, ClosedError)
    assert issubclass(MemoryViewError, BufferError)
    for misuse in (
        ClosedError,
        WrongStoreError,
        WrongEngineError,
        StoreBusyError,
        ForkError,
        MemoryViewError,
    ):
        assert issubclass(misuse, MisuseError)


TRAPS = {
    "unreachable": ("unreachable", TrapCode.UNREACHABLE_CODE_REACHED),
    "(drop (i32.div_s (i32.const 1) (i32.const 0)))": (
        "integer divide by zero",
        TrapCode.INTEGER_DIVISION_BY_ZERO,
    ),
    "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))": (
        "integer overflow",
        TrapCode.INTEGER_OVERFLOW,
    ),
    "(drop (i32.trunc_f64_s (f64.const nan)))": ("invalid conversion", TrapCode.BAD_CONVERSION_TO_INTEGER),
    "(drop (i32.load (i32.const 65533)))": ("out of bounds memory access", TrapCode.MEMORY_OUT_OF_BOUNDS),
    "(drop (table.get 0 (i32.const 5)))": ("out of bounds table access", TrapCode.TABLE_OUT_OF_BOUNDS),
    "(call_indirect (i32.const 0))": ("uninitialized element", TrapCode.INDIRECT_CALL_TO_NULL),
    "(call_indirect (param i32) (i32.const 1) (i32.const 1))": (
        "indirect call type mismatch",
        TrapCode.BAD_SIGNATURE,
    ),
    "(drop (i31.get_s (ref.null i31)))": ("null", TrapCode.NULL_REFERENCE),
    "(drop (ref.cast (ref struct) (ref.i31 (i32.const 1))))": ("cast failure", TrapCode.CAST_FAILURE),
    "(call $run)": ("call stack exhausted", TrapCode.STACK_OVERFLOW),
}


@pytest.mark.parametrize(("body", "expected"), TRAPS.items(), ids=[code.name for _, code in TRAPS.values()])
def test_a_trap_has_a_code_and_the_text_of_the_engine(run, body, expected):
    text, code = expected
    call = run(
        f"""(module $m (memory 1) (table 3 funcref) (func $g) (elem (i32.const 1) $g)
        (func $run (export "run") {body}))"""
    ).exports.run
    for _ in range(2):
        with pytest.raises(WasmTrap, match=text) as caught:
            call()
        assert caught.value.code is code
        assert caught.value.message == str(caught.value)
        assert caught.value.message.splitlines()[-1] == f"  {caught.value.frames[-1]}"
        assert caught.value.frames[-1].func_name == "run"


def test_frames_say_where(run):
    instance = run(
        """(module $prog (func $unused) (func $leaf (nop) (unreachable)) (func (call $leaf))
        (func $top (export "top") (call 2)))"""
    )
    with pytest.raises(WasmTrap) as caught:
        instance.exports.top()
    frames = caught.value.frames
    assert all(isinstance(frame, WasmFrame) for frame in frames)
    assert [frame.func_index for frame in frames] == [1, 2, 3]
    assert [frame.func_name for frame in frames] == ["leaf", None, "top"]
    assert {frame.module_name for frame in frames} == {"prog"}
    assert all(0 < frame.func_offset < frame.module_offset for frame in frames)
    assert str(frames[0]) == f"prog!leaf at 0x{frames[0].module_offset:x}"
    assert str(frames[1]).startswith("prog!<wasm function 2> at 0x")


def test_frames_without_names_have_none(run):
    with pytest.raises(WasmTrap) as caught:
        run('(module (func (export "f") unreachable))').exports.f()
    (frame,) = caught.value.frames
    assert (frame.func_index, frame.func_name, frame.module_name) == (0, None, None)
    assert str(frame).startswith("<wasm function 0> at 0x")


def test_offsets_point_at_the_instruction(run):
    source = wasmtime_rt.wat2wasm('(module (func (export "f") nop nop unreachable))')
    with pytest.raises(WasmTrap) as caught:
        run(source).exports.f()
    (frame,) = caught.value.frames
    assert source[frame.module_offset] == 0
    assert source[frame.module_offset - 2 : frame.module_offset] == b"\1\1"


def test_frames_of_two_modules(run):
    inner = run('(module $inner (func $fail (export "f") unreachable))')
    outer = run('(module $outer (import "i" "f" (func $f)) (func $go (export "g") (call $f)))', {"i": inner})
    with pytest.raises(WasmTrap) as caught:
        outer.exports.g()
    assert [(frame.module_name, frame.func_name) for frame in caught.value.frames] == [
        ("inner", "fail"),
        ("outer", "go"),
    ]


@pytest.mark.parametrize("number", [54, 200, 255])
def test_an_unknown_trap_code_is_tolerated(number):
    code = TrapCode(number)
    assert code == number
    assert code.name == f"UNKNOWN_{number}"
    assert TrapCode(number) == code


@pytest.mark.parametrize("number", [-1, 256, "x", None])
def test_what_cannot_be_a_trap_code_is_refused(number):
    with pytest.raises(ValueError, match="is not a valid TrapCode"):
        TrapCode(number)


def test_codes_have_names_and_numbers():
    assert TrapCode(7) is TrapCode.INTEGER_DIVISION_BY_ZERO
    assert list(TrapCode) == list(range(54))


def test_an_uncaught_wasm_exception_is_its_own_kind(run):
    throw = run(
        '(module $m (tag $t (param i32)) (func $run (export "run") (throw $t (i32.const 5))))'
    ).exports.run
    for _ in range(2):
        with pytest.raises(WasmException, match="thrown Wasm exception") as caught:
            throw()
        assert not isinstance(caught.value, WasmTrap)
        assert [frame.func_name for frame in caught.value.frames] == ["run"]


def test_an_exception_that_wasm_catches_does_not_come_out(run):
    catch = run(
        """(module (tag $t (param i32)) (func (export "run") (result i32)
        (block $caught (result i32) (try_table (catch $t $caught) (throw $t (i32.const 42))) (i32.const 0))))"""
    ).exports.run
    assert catch() == 42


def test_an_uncaught_exception_leaves_nothing_behind(run):
    instance = run(
        """(module (tag $t (param i32)) (func (export "throw") (throw $t (i32.const 5))) (func (export "trap") unreachable)
        (func (export "fine") (result i32) (i32.const 1)))"""
    )
    with pytest.raises(WasmException):
        instance.exports.throw()
    assert instance.exports.fine() == 1
    with pytest.raises(WasmTrap) as caught:
        instance.exports.trap()
    assert caught.value.code is TrapCode.UNREACHABLE_CODE_REACHED


def test_a_wasm_exception_at_the_start(run):
    with pytest.raises(WasmException):
        run("(module (tag $t) (func $s (throw $t)) (start $s))")


@pytest.mark.parametrize("kind", [ValueError, WasmtimeError])
def test_an_old_note_is_replaced_and_others_stay(run, kind):
    raised = kind("again")

    def fail():
        raise raised

    first, second = (
        run(
            f'(module ${name} (import "e" "f" (func $f)) (func ${name} (export "run") (call $f)))', [fail]
        ).exports.run
        for name in ("one", "two")
    )
    raised.__notes__ = ["mine"]
    for call, name in ((first, "one"), (second, "two"), (first, "one")):
        with pytest.raises(kind):
            call()
        assert len(raised.__notes__) == 2
        assert raised.__notes__[0] == "mine"
        assert f"{name}!{name} at 0x" in raised.__notes__[1]


def test_an_exception_that_refuses_attributes_comes_out_as_itself(run):
    class Sealed(Exception):
        def __setattr__(self, name, value):
            raise TypeError("sealed")

    def fail():
        raise Sealed("closed")

    with pytest.raises(Sealed, match="closed"):
        run('(module (import "e" "f" (func $f)) (func (export "run") (call $f)))', [fail]).exports.run()


def test_an_exit_from_a_host_function_is_an_exit_without_a_note(run):
    def leave():
        raise WasmExit(3)

    with pytest.raises(WasmExit) as caught:
        run('(module (import "e" "f" (func $f)) (func (export "run") (call $f)))', [leave]).exports.run()
    assert caught.value.code == 3
    assert str(caught.value) == caught.value.message == "the program exited with code 3"
    assert not getattr(caught.value, "__notes__", [])


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_survive_copying_and_pickling(run, duplicate):
    with pytest.raises(WasmTrap) as caught:
        run('(module (func (export "f") unreachable))').exports.f()
    twin = duplicate(caught.value)
    assert (twin.code, twin.frames, twin.message) == (
        caught.value.code,
        caught.value.frames,
        caught.value.message,
    )
    assert duplicate(WasmExit(7)).code == 7


@pytest.mark.parametrize(
    ("body", "first"),
    [
        ("unreachable", "wasm trap: wasm `unreachable` instruction executed"),
        ("(drop (i32.load (i32.const -1)))", "wasm trap: out of bounds memory access"),
        ("(call $f)", "wasm trap: call stack exhausted"),
    ],
)
def test_the_first_line_of_a_trap_is_its_reason(body, first):
    engine = wasmtime_rt.WasmEngine()
    module = wasmtime_rt.WasmModule(engine, f'(module (memory 1) (func $f (export "f") {body}))')
    with pytest.raises(WasmTrap) as caught:
        wasmtime_rt.WasmInstance(wasmtime_rt.WasmStore(engine), module).exports.f()
    assert str(caught.value).splitlines()[0] == first
    frames = [f"  {frame}" for frame in caught.value.frames]
    assert str(caught.value).splitlines()[-len(frames) :] == frames
    assert "WASMTIME_BACKTRACE_DETAILS" not in str(caught.value)


def test_the_first_line_says_why_a_module_does_not_compile():
    with pytest.raises(CompileError) as caught:
        wasmtime_rt.WasmModule(wasmtime_rt.WasmEngine(), "(module (func (result i32)))")
    first, *_, last = str(caught.value).splitlines()
    assert first.endswith("type mismatch: expected i32 but nothing on stack")
    assert last == "failed to compile: wasm[0]::function[0]"


def test_a_frame_whose_offset_is_unknown_shows_none():
    engine = wasmtime_rt.WasmEngine()
    module = wasmtime_rt.WasmModule(engine, '(module (func $f (export "f") (call $f)))')
    with pytest.raises(WasmTrap, match="call stack exhausted") as caught:
        wasmtime_rt.WasmInstance(wasmtime_rt.WasmStore(engine), module).exports.f()
    innermost = caught.value.frames[0]
    assert innermost.module_offset == 2**64 - 1
    assert str(innermost) == "f"
    assert "\n  f at 0x" in str(caught.value)
    assert "0xffffffffffffffff" not in caught.value._repr_html_()
