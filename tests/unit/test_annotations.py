"""Signatures of host functions, from annotations."""

import functools
import math
from typing import Annotated

import pytest

from wasmtime_rt import F32, F64, I32, I64, V128, WasmFunc, WasmFuncType, WasmValType


def mixed(a: I32, b: I64, c: F32, d: F64, e: V128) -> None:
    """One parameter of each type."""


def plain_float(x: float) -> float:
    return x


def pair(a: I32) -> tuple[I32, I64]:
    return a, a


def empty() -> tuple[()]:
    return ()


def quoted(a: "I32") -> "F64":
    return a


def by_type(a: WasmValType.I64) -> WasmValType.I32:
    return a


def reference(a: Annotated[object, WasmValType.EXTERNREF]) -> Annotated[object, "doc", WasmValType.FUNCREF]:
    return None


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (mixed, "(func (param i32 i64 f32 f64 v128))"),
        (plain_float, "(func (param f64) (result f64))"),
        (pair, "(func (param i32) (result i32 i64))"),
        (empty, "(func)"),
        (quoted, "(func (param i32) (result f64))"),
        (by_type, "(func (param i64) (result i32))"),
        (reference, "(func (param externref) (result funcref))"),
    ],
)
def test_annotations_spell_the_signature(store, function, expected):
    assert str(WasmFunc(store, function).type) == expected


def test_methods_are_read_without_self(store):
    class Counter:
        total = 0

        def add(self, n: I32) -> I32:
            self.total += n
            return self.total

    counter = Counter()
    add = WasmFunc(store, counter.add)
    assert str(add.type) == "(func (param i32) (result i32))"
    assert (add(2), add(3), counter.total) == (2, 5, 5)


def test_a_wrapped_function_has_the_signature_of_what_it_wraps(store):
    @functools.wraps(pair)
    def wrapper(*args):
        return pair(*args)

    assert WasmFunc(store, wrapper)(7) == (7, 7)


def int_parameter(a: int) -> None: ...


def int_result() -> int: ...


def no_annotation(a) -> None: ...


def no_result_annotation(a: I32): ...


def text(a: str) -> None: ...


def boolean(a: I32) -> bool: ...


def endless(a: I32) -> tuple[I32, ...]: ...


def star(*args: I32) -> None: ...


def keyword(*, a: I32) -> None: ...


def unknown(a: "NoSuchName") -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (int_parameter, "int_parameter, parameter a: int does not say i32 or i64"),
        (int_result, "int_result, result: int does not say i32 or i64"),
        (no_annotation, "no_annotation, parameter a: no annotation"),
        (no_result_annotation, "no_result_annotation, result: no annotation"),
        (text, "text, parameter a: <class 'str'> is no WebAssembly type"),
        (boolean, "boolean, result: <class 'bool'> is no WebAssembly type"),
        (endless, "endless, result: Ellipsis is no WebAssembly type"),
        (star, "star, parameter args: only positional parameters"),
        (keyword, "keyword, parameter a: only positional parameters"),
        (unknown, "unknown: no readable signature .*NoSuchName"),
        (math.sqrt, "sqrt, parameter x: no annotation"),
    ],
)
def test_annotations_that_do_not_say_the_type_are_an_error(store, function, message):
    with pytest.raises(TypeError, match=message):
        WasmFunc(store, function)


@pytest.mark.parametrize("function", [int_parameter, no_annotation, text])
def test_the_error_shows_both_spellings(store, function):
    with pytest.raises(TypeError) as caught:
        WasmFunc(store, function)
    assert "wasmtime_rt.I32 or wasmtime_rt.I64" in str(caught.value)
    assert "WasmFuncType([WasmValType.I32], [WasmValType.I64])" in str(caught.value)


def test_an_explicit_type_goes_before_annotations(store):
    made = WasmFunc(store, int_parameter, WasmFuncType([WasmValType.I64]))
    assert str(made.type) == "(func (param i64))"
    with pytest.raises(TypeError, match="type: expected a WasmFuncType, got 'i32'"):
        WasmFunc(store, int_parameter, "i32")


async def coroutine(a: I32) -> None: ...


async def generator(a: I32) -> None:
    yield


class AsyncCallable:
    async def __call__(self, a: I32) -> None: ...


@pytest.mark.parametrize(
    "function",
    [coroutine, functools.partial(coroutine, 1), AsyncCallable(), AsyncCallable().__call__, generator],
)
def test_an_async_function_is_refused_when_it_is_defined(store, function):
    with pytest.raises(TypeError, match="async def cannot be called by WebAssembly"):
        WasmFunc(store, function, WasmFuncType([WasmValType.I32]))


def test_what_cannot_be_called_is_refused(store):
    with pytest.raises(TypeError, match="host function: expected a callable, got 5"):
        WasmFunc(store, 5, WasmFuncType())


def test_the_aliases_are_plain_types_for_a_type_checker():
    assert I32.__origin__ is int
    assert F64.__origin__ is float
    assert V128.__origin__ is bytes
    assert I64.__metadata__ == (WasmValType.I64,)
    assert F32.__metadata__ == (WasmValType.F32,)
