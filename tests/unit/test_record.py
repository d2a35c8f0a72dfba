"""Types and settings are immutable values with named fields."""

import copy
import inspect
import pickle
import subprocess
import sys

import pytest

from wasmtime_rt import StoreLimits, WasiResult, WasmFuncType, WasmLimits, WasmMemoryType, WasmValType


def test_fields_go_by_position_and_by_name():
    assert WasmMemoryType(1, 2, True) == WasmMemoryType(min=1, max=2, is64=True)
    assert repr(WasmLimits(1)) == "WasmLimits(min=1, max=None)"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: WasmLimits(1, 2, 3), "WasmLimits: expected at most 2 arguments, got 3"),
        (lambda: WasmLimits(), "WasmLimits: the argument min is missing"),
        (lambda: WasmLimits(1, min=1), "WasmLimits: the argument min is given twice"),
        (lambda: StoreLimits(bytes=1), "StoreLimits: the argument bytes is unknown; expected memory_size"),
    ],
)
def test_wrong_arguments_are_named(make, text):
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value).startswith(text)


def test_help_shows_their_fields():
    shown = str(inspect.signature(WasmMemoryType))
    assert shown.startswith("(min: 'int', max: 'int | None' = None, is64: 'bool' = False, ")
    assert str(inspect.signature(WasiResult)).startswith("(exit_code: 'int | None', stdout: ")
    assert "params" in inspect.signature(WasmFuncType).parameters


def test_they_cannot_be_changed():
    limits = WasmLimits(1)
    with pytest.raises(AttributeError):
        limits.min = 2
    with pytest.raises(AttributeError):
        del limits.min
    assert limits.min == 1


def test_equal_only_within_a_class():
    assert WasmLimits(1) != StoreLimits(1)
    assert len({WasmLimits(1), WasmLimits(1, None), WasmLimits(1, 2)}) == 2


def test_they_match_as_patterns():
    match WasmMemoryType(3, 4):
        case WasmMemoryType(low, high):
            assert (low, high) == (3, 4)


def test_copies_are_equal_and_constants_stay_themselves():
    signature = WasmFuncType([WasmValType.I32], [WasmValType.EXTERNREF])
    assert copy.deepcopy(signature) == signature
    assert pickle.loads(pickle.dumps(WasmValType.EXTERNREF)) is WasmValType.EXTERNREF


def test_a_pickle_hashes_by_the_rules_of_the_process_that_reads_it():
    signature = WasmFuncType([WasmValType.I32])
    hash(signature)
    code = (
        "import pickle, sys; from wasmtime_rt import WasmFuncType, WasmValType;"
        "read = pickle.loads(sys.stdin.buffer.read());"
        "assert hash(read) == hash(WasmFuncType([WasmValType.I32]))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(signature), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
