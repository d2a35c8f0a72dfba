"""WasmFunc.map: one function over many rows, columns in and columns out."""

from __future__ import annotations

import array
import contextlib
import ctypes
import itertools
import math
import signal
import struct
import threading

import numpy as np
import pytest

from wasmtime_rt import (
    StoreBusyError,
    StoreClosedError,
    TrapCode,
    WasmFunc,
    WasmFuncType,
    WasmTrap,
    WasmValue,
)

MATH = """(module
    (func (export "add_i32") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "add_i64") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
    (func (export "add_f32") (param f32 f32) (result f32) (f32.add (local.get 0) (local.get 1)))
    (func (export "add_f64") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
    (func (export "add_v128") (param v128 v128) (result v128) (i8x16.add (local.get 0) (local.get 1)))
    (func (export "both") (param i32 i32) (result i64 i32)
        (i64.mul (i64.extend_i32_s (local.get 0)) (i64.extend_i32_s (local.get 1)))
        (i32.sub (local.get 0) (local.get 1)))
    (func (export "mixed") (param i32 i64 f32 f64) (result f64)
        (f64.add (f64.add (f64.convert_i32_s (local.get 0)) (f64.convert_i64_s (local.get 1)))
            (f64.add (f64.promote_f32 (local.get 2)) (local.get 3))))
    (func (export "split") (param v128) (result v128 i32) (local.get 0) (i32x4.extract_lane 2 (local.get 0)))
    (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func (export "same") (param f64) (result f64) (local.get 0))
    (global $sum (export "sum") (mut i64) (i64.const 0))
    (func (export "collect") (param i64) (global.set $sum (i64.add (global.get $sum) (local.get 0))))
    (func (export "answer") (result i32) (i32.const 42))
    (func (export "spin") (param i32 i32) (result i32)
        (loop $again
            (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br_if $again (i32.gt_s (local.get 0) (i32.const 0))))
        (local.get 1))
    (func (export "refs") (param externref) (result externref) (local.get 0)))"""

LETTERS = {"i32": "i", "i64": "q", "f32": "f", "f64": "d"}
C_TYPES = {"i32": ctypes.c_int32, "i64": ctypes.c_int64, "f32": ctypes.c_float, "f64": ctypes.c_double}
SAMPLES = {
    "i32": ([0, 1, -1, 2**31 - 1, -(2**31), 12345], [5, 6, 7, 1, -1, 2**30]),
    "i64": ([0, 1, -1, 2**63 - 1, -(2**63), 12345], [5, 6, 7, 1, -1, 2**62]),
    "f32": ([0.0, -0.0, 1.5, math.inf, 2.0**-149, 1e38], [0.5, -0.0, -1.5, 1.0, 2.0**-149, 3e38]),
    "f64": ([0.0, -0.0, 1.5, math.inf, 5e-324, 1e308], [0.5, -0.0, -1.5, 1.0, 5e-324, 1.5e308]),
}
NUMBERS = list(SAMPLES)


def as_numpy(kind, values):
    return np.array(values, LETTERS[kind])


def as_array(kind, values):
    return array.array(LETTERS[kind], values)


def as_view(kind, values):
    return memoryview(array.array(LETTERS[kind], values))


def as_bytes_view(kind, values):
    return memoryview(array.array(LETTERS[kind], values).tobytes()).cast(LETTERS[kind])


def as_ctypes(kind, values):
    return (C_TYPES[kind] * len(values))(*values)


def as_every_second(kind, values):
    spread = np.full(2 * len(values), 77, LETTERS[kind])
    spread[::2] = values
    return spread[::2]


def as_reversed(kind, values):
    return np.array(values[::-1], LETTERS[kind])[::-1]


def as_view_of_every_third(kind, values):
    return memoryview(array.array(LETTERS[kind], [x for value in values for x in (value, 0, 0)]))[::3]


def as_field(kind, values):
    records = np.zeros(len(values), [("pad", "u1"), ("x", LETTERS[kind])])  # not aligned
    records["x"] = values
    return records["x"]


KINDS_OF_COLUMN = [
    as_numpy, as_array, as_view, as_bytes_view, as_ctypes, as_every_second, as_reversed, as_view_of_every_third,
    as_field,
]  # fmt: skip


def exact(values):
    """Numbers by their bits, since NaN is not equal to itself and zero is to its negative."""
    return [
        struct.pack("<d", value) if isinstance(value, float) else value for value in map(to_python, values)
    ]


def to_python(value):
    return value.item() if isinstance(value, np.generic) else value


@pytest.fixture
def exports(run):
    return run(MATH).exports


# ---- What comes out


@pytest.mark.parametrize("make", KINDS_OF_COLUMN)
@pytest.mark.parametrize("kind", NUMBERS)
def test_it_is_a_loop_of_calls(exports, kind, make):
    add, (left, right) = exports[f"add_{kind}"], SAMPLES[kind]
    expected = [add(a, b) for a, b in zip(left, right, strict=True)]
    assert exact(add.map(make(kind, left), make(kind, right))) == exact(expected)
    assert exact(add.map(make(kind, left), as_array(kind, right))) == exact(expected)


def test_vectors_are_bytes(exports):
    left, right = bytes(range(48)), bytes(range(100, 148))
    expected = b"".join(exports.add_v128(left[i : i + 16], right[i : i + 16]) for i in range(0, 48, 16))
    made = exports.add_v128.map(left, right)
    assert (type(made), made) == (bytearray, expected)
    lanes = np.frombuffer(left, "i4").reshape(-1, 4)  # a row of lanes for each row
    assert exports.add_v128.map(lanes, bytearray(right)) == expected
    assert exports.add_v128.map(memoryview(left), array.array("q", right)) == expected


def test_columns_of_several_types(exports):
    columns = np.arange(5, dtype="i4"), np.arange(5) * 10, np.arange(5, dtype="f4") / 2, np.arange(5) / 4
    expected = [exports.mixed(*map(to_python, row)) for row in zip(*columns, strict=True)]
    assert exports.mixed.map(*columns).tolist() == expected


def test_several_results_are_a_tuple(exports):
    product, difference = exports.both.map(array.array("i", [3, 2**31 - 1]), array.array("i", [4, 2**31 - 1]))
    assert product == array.array("q", [12, (2**31 - 1) ** 2])
    assert difference == array.array("i", [-1, 0])
    vectors, lanes = exports.split.map(struct.pack("<8i", *range(8)))
    assert (bytes(vectors), lanes) == (struct.pack("<8i", *range(8)), array.array("i", [2, 6]))


def test_no_results_are_none(exports):
    assert exports.collect.map(np.arange(1000)) is None
    assert exports.sum.value == 499500


def test_one_numpy_column_makes_numpy(exports):
    numbers = array.array("i", [1, 2])
    assert type(exports.add_i32.map(numbers, numbers)) is array.array
    assert type(exports.add_i32.map(numbers, np.array([1, 2], "i"))) is np.ndarray
    assert {type(item) for item in exports.both.map(np.array([1], "i"), 5)} == {np.ndarray}


def test_unsigned_columns_are_the_same_bits(exports):
    top = np.array([2**32 - 1, 2**31], "u4")
    assert exports.add_i32.map(top, array.array("I", [1, 2**31])).tolist() == [0, 0]
    assert exports.add_i64.map(np.array([2**64 - 1], "u8"), 2).tolist() == [1]


def test_nan_payloads_pass(exports):
    bits = np.array([0x7FF8DEADBEEF0001, 0xFFF8000000000001, 0x7FFFFFFFFFFFFFFF], "u8")
    assert exports.same.map(bits.view("f8")).view("u8").tolist() == bits.tolist()


def test_many_rows(exports):
    left, right = np.arange(200_000, dtype="i4"), np.arange(200_000, dtype="i4")[::-1]
    assert (exports.add_i32.map(left, right) == 199_999).all()


# ---- Scalars


@pytest.mark.parametrize(
    "scalar", [5, True, np.int32(5), np.uint8(5), WasmValue.i32(5)], ids=lambda value: type(value).__name__
)
def test_a_number_serves_every_row(exports, scalar):
    columns = np.array([1, 2, 3], "i")
    expected = [exports.add_i32(value, scalar) for value in (1, 2, 3)]
    assert exports.add_i32.map(columns, scalar).tolist() == expected
    assert exports.add_i32.map(scalar, columns).tolist() == expected
    assert exports.add_i32.map(scalar, columns[::-2]).tolist() == expected[::-2]


def test_sixteen_bytes_serve_every_row(exports):
    assert exports.add_v128.map(bytes(range(48)), b"\1" * 16) == bytes(range(1, 49))
    assert exports.add_v128.map(b"\1" * 16, b"\2" * 16) == b"\3" * 16


def test_numbers_alone_are_one_row(exports):
    assert exports.add_i32.map(2**32 - 1, 5) == array.array("i", [4])
    assert exports.add_f32.map(0.5, 1) == array.array("f", [1.5])
    assert exports.both.map(3, 4) == (array.array("q", [12]), array.array("i", [-1]))
    assert exports.add_i32.map(np.int32(1), 5).tolist() == [6]


def test_numbers_alone_fill_out(exports):
    out = array.array("i", [0] * 5)
    assert exports.add_i32.map(2, 3, out=out) is out
    assert out.tolist() == [5] * 5
    assert exports.add_i32.map(2, 3, out=array.array("i")) == array.array("i")


def test_a_column_of_one_row_is_one_row(exports):
    # Only numbers serve every row: a column that is too short is a mistake.
    one = np.array([5], "i")
    assert exports.add_i32.map(one, one).tolist() == [10]
    assert exports.add_i32.map(one, 1).tolist() == [6]
    with pytest.raises(ValueError, match="expected columns of one length"):
        exports.add_i32.map(np.array([1, 2], "i"), one)


@pytest.mark.parametrize(
    ("name", "columns", "error", "message"),
    [
        ("add_i32", (2**32,), OverflowError, r"add_i32: column 1 \(i32\): expected an integer from"),
        ("add_i32", (1.5,), TypeError, r"add_i32: column 1 \(i32\): expected an integer, got float 1.5"),
        ("add_i32", (None,), TypeError, r"add_i32: column 1 \(i32\): expected an integer, got NoneType"),
        (
            "add_f32",
            (1e39,),
            OverflowError,
            r"add_f32: column 1 \(f32\): expected a number in the range of f32",
        ),
        ("add_f64", ("1",), TypeError, r"add_f64: column 1 \(f64\): expected a real number, got str"),
        ("add_v128", (5,), TypeError, r"add_v128: column 1 \(v128\): expected 16 bytes, got int 5"),
    ],
)
def test_numbers_must_fit(exports, name, columns, error, message):
    first = {"add_i32": np.arange(3, dtype="i4"), "add_f32": np.zeros(3, "f4"), "add_f64": np.zeros(3)}
    with pytest.raises(error, match=message):
        exports[name].map(first.get(name, bytes(48)), *columns)


# ---- Into `out`


@pytest.mark.parametrize("make", [kind for kind in KINDS_OF_COLUMN if kind is not as_bytes_view])
@pytest.mark.parametrize("kind", NUMBERS)
def test_out_is_filled_and_returned(exports, kind, make):
    add, (left, right) = exports[f"add_{kind}"], SAMPLES[kind]
    out = make(kind, [0] * len(left))
    assert add.map(as_array(kind, left), as_numpy(kind, right), out=out) is out
    assert exact(out) == exact(add(a, b) for a, b in zip(left, right, strict=True))


def test_only_the_items_of_out_are_written(exports):
    spread = np.full(9, 77, "i4")
    exports.add_i32.map(np.arange(3, dtype="i4"), 0, out=spread[7:0:-3])
    assert spread.tolist() == [77, 2, 77, 77, 1, 77, 77, 0, 77]


def test_out_of_vectors(exports):
    out = bytearray(48)
    assert exports.add_v128.map(bytes(range(48)), bytes(48), out=out) is out
    assert out == bytes(range(48))


def test_out_may_be_an_input(exports):
    numbers = np.arange(100, dtype="i4")
    exports.add_i32.map(numbers, numbers, out=numbers)
    assert numbers.tolist() == [2 * i for i in range(100)]


def test_out_may_be_linear_memory(run, exports):
    memory = run('(module (memory (export "m") 1 1))').exports.m
    numbers = memory.view().cast("i")[:4]
    exports.add_i32.map(array.array("i", [1, 2, 3, 4]), 1, out=numbers)
    assert memory[0:16] == struct.pack("<4i", 2, 3, 4, 5)
    assert exports.add_i32.map(numbers, numbers).tolist() == [4, 6, 8, 10]


def test_out_of_several_results(exports):
    out = np.zeros(2, "i8"), array.array("i", [0, 0])
    assert exports.both.map(array.array("i", [3, 4]), 2, out=out) is not None
    assert (out[0].tolist(), out[1].tolist()) == ([6, 8], [1, 2])
    returned = exports.both.map(array.array("i", [3, 4]), 2, out=out)
    assert [given is kept for given, kept in zip(returned, out, strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros(2, "i4"), ValueError, "expected columns of one length"),
        (np.zeros(4, "i4"), ValueError, "expected columns of one length"),
        (np.zeros(3, "i8"), TypeError, r"add_i32: output 0 \(i32\): expected items of i32"),
        (np.zeros(3, "f4"), TypeError, r"add_i32: output 0 \(i32\): expected items of i32"),
        (np.zeros((3, 1), "i4"), TypeError, "expected one dimension, got 2"),
        (bytes(12), TypeError, r"output 0 \(i32\): expected a buffer that can be written"),
        (memoryview(bytes(12)).cast("i"), TypeError, "expected a buffer that can be written"),
        (5, TypeError, r"output 0 \(i32\): expected a buffer, got int 5"),
        ([0, 0, 0], TypeError, r"output 0 \(i32\): expected a buffer, got list"),
    ],
)
def test_out_is_checked(exports, out, error, message):
    with pytest.raises(error, match=message):
        exports.add_i32.map(np.arange(3, dtype="i4"), 1, out=out)


def test_the_count_of_outs_is_checked(exports):
    column = array.array("i", [1])
    for out in (column, (column,), (array.array("q", [1]), column, column), ()):
        with pytest.raises(TypeError, match=r"both: expected 2 outputs, got \d"):
            exports.both.map(column, column, out=out)
    with pytest.raises(TypeError, match="collect: expected 0 outputs, got 1"):
        exports.collect.map(array.array("q", [1]), out=column)


# ---- What is refused


@pytest.mark.parametrize(
    "column",
    [
        np.zeros(3, "i8"), np.zeros(3, "i2"), np.zeros(3, "f4"), np.zeros(3, ">i4"), np.zeros(3, "S4"),
        np.zeros(3, "?"), array.array("d", [1.0]), bytes(12), bytearray(12), np.zeros((3, 1), "i4"),
        np.zeros(3, [("x", "i4")]), memoryview(bytes(12)).cast("f"),
    ],
    ids=lambda column: f"{type(column).__name__} of {memoryview(column).format}" if not isinstance(column, np.ndarray) else f"array of {column.dtype}",
)  # fmt: skip
def test_a_column_of_another_type(exports, column):
    with pytest.raises(TypeError, match=r"add_i32: column 0 \(i32\): expected (items of i32|one dimension)"):
        exports.add_i32.map(column, 1)


def test_an_array_of_another_type_is_told_how_to_become_one(exports):
    with pytest.raises(TypeError, match=r"got items of format 'f'; .astype\('i4'\) converts it"):
        exports.add_i32.map(np.zeros(3, "f4"), 1)
    with pytest.raises(TypeError, match="got items of format 'd'$"):
        exports.add_i32.map(array.array("d", [1.0]), 1)


@pytest.mark.parametrize("column", [bytes(17), bytearray(15), np.zeros(10, "u1")[::2], b"x"], ids=str)
def test_vectors_that_are_no_rows(exports, column):
    with pytest.raises(ValueError, match="expected 16"):
        exports.add_v128.map(column, bytes(16))


def test_lengths_must_agree(exports):
    message = r"add_i32: column 0 \(i32\) has 3, add_i32: column 1 \(i32\) has 2"
    with pytest.raises(ValueError, match=message):
        exports.add_i32.map(np.zeros(3, "i4"), np.zeros(2, "i4"))


def test_the_count_of_columns(exports):
    column = array.array("i", [1])
    for count in (0, 1, 3):
        with pytest.raises(TypeError, match=f"add_i32: expected 2 columns, got {count}"):
            exports.add_i32.map(*[column] * count)
    with pytest.raises(TypeError, match="answer: map needs a parameter"):
        exports.answer.map()


def test_references_are_refused(exports):
    with pytest.raises(TypeError, match="refs: map takes numbers and vectors only"):
        exports.refs.map([None])


def test_a_closed_function_and_a_closed_store(exports, store):
    column = array.array("i", [1])
    closed = exports.add_i32
    closed.close()
    with pytest.raises(StoreClosedError.__base__, match="this WasmFunc was closed"):
        closed.map(column, column)
    other = exports.divide
    store.close()
    with pytest.raises(StoreClosedError):
        other.map(column, column)


def test_a_column_that_was_released(exports):
    view = memoryview(array.array("i", [1]))
    view.release()
    with pytest.raises(ValueError, match="released"):
        exports.add_i32.map(view, 1)


# ---- Zero rows


def test_no_rows(exports):
    for make in KINDS_OF_COLUMN:
        if make is as_bytes_view:
            continue  # an empty one of bytes cannot be cast
        assert list(exports.add_i32.map(make("i32", []), make("i32", []))) == []
        assert list(exports.divide.map(make("i32", []), 0)) == []
    out = np.zeros(0, "i4")
    assert exports.add_i32.map(np.zeros(0, "i4"), 1, out=out) is out
    assert exports.add_v128.map(b"", b"") == bytearray()
    assert exports.both.map(array.array("i"), 1) == (array.array("q"), array.array("i"))
    assert exports.collect.map(array.array("q")) is None


# ---- What ends a run


def test_a_trap_has_its_row(exports):
    out = array.array("i", [-1] * 6)
    with pytest.raises(WasmTrap) as caught:
        exports.divide.map(array.array("i", [10] * 6), array.array("i", [1, 2, 5, 0, 1, 1]), out=out)
    assert caught.value.code == TrapCode.INTEGER_DIVISION_BY_ZERO
    assert caught.value.row == 3
    assert caught.value.__notes__ == ["in row 3 of map"]
    assert out.tolist() == [10, 5, 2, -1, -1, -1]


@pytest.mark.parametrize("row", [0, 62, 63, 64, 999])
def test_any_row_may_trap(exports, row):
    divisors = np.ones(1000, "i4")
    divisors[row] = 0
    with pytest.raises(WasmTrap) as caught:
        exports.divide.map(7, divisors)
    assert caught.value.row == row
    assert exports.divide.map(7, divisors[:row]).tolist() == [7] * row


class Custom(Exception):
    pass


def test_a_host_function_that_raises_has_its_row(store):
    seen = []

    def host(value):
        seen.append(value)
        if value == 3:
            raise Custom("three")
        return value * 10

    function = WasmFunc(store, host, WasmFuncType(["i32"], ["i32"]))
    out = array.array("i", [0] * 5)
    with pytest.raises(Custom, match="three") as caught:
        function.map(array.array("i", range(1, 6)), out=out)
    assert caught.value.row == 2
    assert "in row 2 of map" in caught.value.__notes__
    assert (seen, out.tolist()) == ([1, 2, 3], [10, 20, 0, 0, 0])
    assert function.map(array.array("i", [7])).tolist() == [70]


def test_through_webassembly_its_frames_are_noted_too(run):
    function = run(
        '(module (import "" "h" (func $h (param i32))) (func $named (export "f") (param i32) (call $h (local.get 0))))',
        [lambda value: 1 // value],
    ).exports.f
    with pytest.raises(TypeError):  # 1 is a result too many
        function.map(array.array("i", [1]))
    with pytest.raises(ZeroDivisionError) as caught:
        function.map(array.array("i", [0]))
    frames, row = caught.value.__notes__
    assert "named" in frames
    assert row == "in row 0 of map"


def test_an_exception_raised_again_has_its_last_row(store):
    problem = Custom("the same")

    def host(value):
        if value < 0:
            raise problem
        return value

    function = WasmFunc(store, host, WasmFuncType(["i32"], ["i32"]))
    for row in (3, 1):
        with pytest.raises(Custom) as caught:
            function.map(array.array("i", [1] * row + [-1]))
        assert caught.value is problem
        assert caught.value.row == row
        assert caught.value.__notes__ == [f"in row {row} of map"]


def test_an_exception_that_takes_no_attributes(store):
    class Stiff(Exception):
        def __setattr__(self, name, value):
            raise Custom("no attributes")

    def host(value):
        raise Stiff("stiff")

    with pytest.raises(Stiff, match="stiff"):
        WasmFunc(store, host, WasmFuncType(["i32"])).map(array.array("i", [1]))


def test_a_host_function_with_wrong_results(store):
    function = WasmFunc(store, lambda value: "text" if value == 2 else 1, WasmFuncType(["i32"], ["i32"]))
    with pytest.raises(TypeError, match=r"result 0 \(i32\): expected an integer, got str 'text'") as caught:
        function.map(array.array("i", [0, 1, 2]))
    assert caught.value.row == 2


def test_map_inside_map(store, exports):
    inner = exports.add_i32

    def host(value):
        return sum(inner.map(np.arange(value, dtype="i4"), 1).tolist())

    outer = WasmFunc(store, host, WasmFuncType(["i32"], ["i32"]))
    assert outer.map(array.array("i", [1, 2, 3])).tolist() == [1, 3, 6]


def test_the_store_cannot_be_closed_by_a_host_function(store):
    refused = []

    def host(value):
        try:
            store.close()
        except StoreBusyError as problem:
            refused.append(str(problem))
        return value

    function = WasmFunc(store, host, WasmFuncType(["i32"], ["i32"]))
    assert function.map(array.array("i", [1, 2])).tolist() == [1, 2]
    assert len(refused) == 2
    assert "cannot be closed while a call is running" in refused[0]
    store.close()


def test_the_function_may_be_closed_by_a_host_function(store):
    def host(value):
        function.close()
        return value

    function = WasmFunc(store, host, WasmFuncType(["i32"], ["i32"]))
    assert function.map(array.array("i", [1, 2])).tolist() == [1, 2]


def test_columns_cannot_change_their_size_meanwhile(store):
    column, out = array.array("i", [1, 2]), bytearray(32)

    def host(value):
        for buffer in (column, out):
            with pytest.raises(BufferError):
                buffer.append(1)
        return bytes(16)

    WasmFunc(store, host, WasmFuncType(["i32"], ["v128"])).map(column, out=out)
    column.append(3)
    out.append(1)


# ---- Signals and threads


class Alarm(Exception):
    pass


@pytest.fixture
def alarm():
    """A signal handler that raises soon."""

    def handler(number, frame):
        raise Alarm("time is over")

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_ends_a_long_run(exports, alarm):
    rows = np.full(3_000_000, 20_000, "i4")  # a minute of work
    out = np.zeros(len(rows), "i4")
    alarm()
    with pytest.raises(Alarm, match="time is over") as caught:
        exports.spin.map(rows, 5, out=out)
    row = caught.value.row
    assert 0 < row < len(rows)
    assert caught.value.__notes__ == [f"in row {row} of map"]
    assert (out[:row] == 5).all()
    assert not out[row:].any()
    assert exports.add_i32.map(np.array([1], "i"), 1).tolist() == [2]


def test_a_signal_handler_ends_a_run_of_host_functions(store, alarm):
    def host(value):
        return sum(range(1000)) and value

    function = WasmFunc(store, host, WasmFuncType(["i32"], ["i32"]))
    alarm()
    with pytest.raises(Alarm):
        function.map(np.zeros(5_000_000, "i4"))
    assert function(5) == 5


def test_other_threads_run_meanwhile(exports):
    rows = np.full(3000, 20_000, "i4")
    started, stop, counted = threading.Event(), threading.Event(), []

    def count():
        for number in itertools.count(1):
            counted[:] = [number]
            started.set()
            if stop.is_set():
                return

    thread = threading.Thread(target=count)
    thread.start()
    try:
        started.wait()
        first = counted[0]
        exports.spin.map(rows, 5)
        progress = counted[0] - first
    finally:
        stop.set()
        thread.join()
    assert progress > 0


def test_another_thread_is_refused_meanwhile(store, exports):
    inside, answered, allowed = threading.Event(), threading.Event(), []

    def host(value):
        inside.set()
        answered.wait()
        return value

    function = WasmFunc(store, host, WasmFuncType(["i32"], ["i32"]))

    def other():
        inside.wait()
        for use in (lambda: exports.add_i32(1, 2), lambda: exports.add_i32.map(1, 2), store.close):
            with contextlib.suppress(StoreBusyError):
                use()
                allowed.append(use)
        answered.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert function.map(array.array("i", [1])).tolist() == [1]
    thread.join()
    assert not allowed
