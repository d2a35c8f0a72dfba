"""The accelerator and the oracle, given the same, do the same: results to the bit, exceptions to the letter.

Each runs in a process, and both get every request; parity_worker.py says what they do with it.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NUMBERS = ("i32", "i64", "f32", "f64", "v128")
PAGE = 65536


@pytest.fixture(scope="module")
def both(workers):
    """Send a request to both: their answers, which must be equal."""

    def ask(*request):
        in_c, expected = workers.ask(*request)
        assert in_c == expected
        assert in_c[0] != "ended"
        return in_c

    return ask


def property_of(examples):
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )


# ---- What describes a value, see `build` in the worker

borders = sorted(
    {sign * 2**power + near for power in (0, 7, 8, 16, 31, 32, 63, 64, 100, 300) for near in (-2, -1, 0, 1, 2) for sign in (1, -1)}
)  # fmt: skip
integers = st.sampled_from(borders) | st.integers(-(2**33), 2**33) | st.integers(-(2**65), 2**65)
double_bits = st.sampled_from(
    [
        *(struct.unpack("<Q", struct.pack("<d", value))[0] for value in (
            0.0, -0.0, 1.0, 0.1, 1e-310, 5e-324, 1e-45, 7e-46, 1e-46, 3.4028234663852886e38, 3.4028235677973366e38,
            3.4028235677973362e38, 1e39, -1e300, float("inf"), -float("inf"), 2.0**31, 2.0**63,
        )),
        0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF, 0x7FF8DEADBEEF0000,
    ]
) | st.integers(0, 2**64 - 1)  # fmt: skip
vectors = st.binary(min_size=16, max_size=16)
nan_bits = {
    "i32": st.integers(0, 2**32 - 1),
    "i64": st.integers(0, 2**64 - 1),
    "f32": st.sampled_from([0x7F800001, 0x7FC00000, 0xFFC12345, 0x7FFFFFFF, 0x00000001, 0xFF800000])
    | st.integers(0, 2**32 - 1),
    "f64": double_bits,
}

as_int = st.one_of(
    integers.map(lambda value: ("plain", value)),
    st.booleans().map(lambda value: ("plain", value)),
    integers.map(lambda value: ("index", value)),
    integers.map(lambda value: ("Int", value)),
    st.sampled_from([("numpy", "int8", -5), ("numpy", "uint64", 2**64 - 1), ("numpy", "bool_", True)]),
)
as_float = st.one_of(
    double_bits.map(lambda bits: ("double", bits)),
    double_bits.map(lambda bits: ("real", bits)),
    double_bits.map(lambda bits: ("Float", bits)),
    st.sampled_from([("numpy", "float32", 0.1), ("numpy", "float64", 0.1), ("numpy", "float16", 1.5)]),
    as_int,
)
as_vector = st.one_of(
    vectors.map(lambda data: ("plain", data)),
    *(
        vectors.map(lambda data, name=name: (name, data))
        for name in ("bytearray", "memoryview", "v128", "Bytes")
    ),
)
right = {"i32": as_int, "i64": as_int, "f32": as_float, "f64": as_float, "v128": as_vector}
odd = st.sampled_from([
    ("plain", None), ("plain", "text"), ("plain", "1"), ("plain", b"short"), ("plain", bytes(17)), ("plain", 1 + 2j),
    ("plain", 1.5), ("plain", b"1"), ("double", 0x7FF0000000000000), ("badrepr",), ("type",), ("bytearray", b""),
    ("memoryview", b"12"), ("raises", "TypeError"), ("raises", "ValueError"), ("raises", "Overflow"), ("raises", "Odd"),
    ("externref", 5), ("tuple",), ("tuple", ("plain", 1)), ("list", ("plain", 1), ("plain", 2)), ("array", "i", [1]),
    ("array", "d", [1.0, 2.0]), ("plain", 10**400), ("index", -(10**400)), ("plain", "x" * 200),
])  # fmt: skip
any_bits = st.one_of(
    *(bits.map(lambda bits, kind=kind: ("bits", kind, bits)) for kind, bits in nan_bits.items())
)


def value_for(kind, wrong=5):
    """Mostly what fits the type, now and then what does not."""
    fits = right[kind]
    if kind in nan_bits:
        fits |= nan_bits[kind].map(lambda bits: ("bits", kind, bits))
    return st.integers(0, 99).flatmap(lambda dice: (odd | any_bits | as_float) if dice < wrong else fits)


kinds = st.sampled_from(NUMBERS)
few_kinds = st.lists(kinds, max_size=4) | st.lists(kinds, max_size=20)


@st.composite
def calls(draw, params=few_kinds):
    """A signature and arguments for it: mostly, an identity function."""
    params = draw(params)
    results = params if draw(st.integers(0, 3)) else draw(few_kinds)
    wrong = draw(st.sampled_from([0, 0, 10]))
    args = [draw(value_for(kind, wrong)) for kind in params]
    return params, results, args


# ---- Calls


def test_the_accelerator_is_compared_with_the_oracle(workers):
    assert workers.ask("who") == [["wasmtime_rt._fast"] * 2, ["oracle"] * 2]


@property_of(700)
@given(described=calls(), how=st.sampled_from(["plain", "plain", "typed", "keep_gil"]))
def test_calls(both, described, how):
    params, results, args = described
    both("call", params, results, args, [], how)


@property_of(300)
@given(kind=kinds, data=st.data())
def test_one_value_of_any_sort(both, kind, data):
    value = data.draw(value_for(kind, 60))
    both("call", [kind], [kind], [value], [], "plain")


@pytest.mark.parametrize("kind", NUMBERS)
def test_integers_at_the_borders(both, kind):
    for value in borders:
        for how in ("plain", "index", "Int"):
            both("call", [kind], [kind], [(how, value)], [], "plain")


@property_of(15)
@given(described=calls(st.lists(kinds, min_size=200, max_size=200)))
def test_two_hundred_parameters(both, described):
    params, results, args = described
    both("call", params, results, args, [], "plain")


@property_of(60)
@given(described=calls(), count=st.integers(0, 22))
def test_wrong_counts(both, described, count):
    params, results, args = described
    given_args = [*args, *[("plain", 1)] * 22][:count]
    both("call", params, results, given_args, [], "plain")


@pytest.mark.parametrize("args", [[], [("plain", 1)], [("plain", 1), ("plain", 2)]])
def test_keywords_are_refused(both, args):
    answer = both("call", ["i32", "i32"], ["i32"], args, [("a", ("plain", 2))], "plain")
    assert answer[:2] == ("raised", "TypeError")


@pytest.mark.parametrize("how", ["closed", "closed store"])
def test_what_is_closed(both, how):
    assert both("call", ["i32"], ["i32"], [("plain", 1)], [], how)[0] == "raised"
    assert both("call", ["i32"], ["i32"], [], [], how)[0] == "raised"


# ---- Host functions


@property_of(400)
@given(described=calls(), data=st.data())
def test_host_functions(both, described, data):
    params, results, args = described
    wrong = data.draw(st.sampled_from([0, 20]))
    values = [data.draw(value_for(kind, wrong)) for kind in results]
    way = data.draw(st.sampled_from(["tuple", "tuple", "tuple", "list", "generator", "short", "long", "odd"]))
    if way == "odd":
        returned = data.draw(odd)
    elif way in {"short", "long"}:
        returned = ("tuple", *([*values, ("plain", 1)] if way == "long" else values[:-1]))
    elif len(values) < 2:
        returned = values[0] if values else ("plain", None)
    else:
        returned = (way, *values)
    both("host", params, results, args, returned, data.draw(st.integers(0, 19)) == 0)


@property_of(200)
@given(
    args=st.tuples(
        st.sampled_from([("plain", None), ("plain", "text"), ("plain", 5), ("externref", "held"), ("bits", "i32", 5), ("own",)]),
        value_for("i32", 10),
        st.sampled_from([("own",), ("own",), ("plain", None), ("plain", 5), ("type",)]),
    ),
    returned=st.tuples(
        st.just("tuple"),
        st.sampled_from([("plain", None), ("plain", "text"), ("externref", "held"), ("bits", "i32", 5)]),
        value_for("f32", 10),
        st.sampled_from([("plain", None), ("plain", None), ("plain", 5)]),
    )
    | odd,
    count=st.sampled_from([3, 3, 3, 2, 4]),
)  # fmt: skip
def test_references(both, args, returned, count):
    both("references", [*args, ("plain", 1)][:count], returned)


# ---- Memory

offsets = st.one_of(
    st.integers(0, 300),
    st.integers(-3, 3).map(lambda near: PAGE + near),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, -PAGE, -PAGE - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**100]),
)
numbers = st.one_of(
    offsets.map(lambda value: ("plain", value)),
    offsets.map(lambda value: ("index", value)),
    st.sampled_from([("plain", True), ("plain", None), ("plain", 1.0), ("plain", "1"), ("numpy", "int64", 5), ("raises", "Odd"), ("raises", "TypeError")]),
)  # fmt: skip
ends = st.none() | offsets
slices = st.tuples(
    st.just("slice"), ends, ends, st.sampled_from([None, 1, 1, 1, 2, 3, -1, -2, 0, 2**62, "x", PAGE])
)
short_slices = st.tuples(st.integers(0, 300), st.integers(0, 40)).map(
    lambda at: ("slice", at[0], at[0] + at[1], None)
)
sources = st.one_of(
    st.binary(max_size=40).map(lambda data: ("plain", data)),
    st.binary(max_size=40).map(lambda data: ("bytearray", data)),
    st.lists(st.integers(-5, 5), max_size=9).map(lambda items: ("array", "h", items)),
    st.tuples(
        st.just("column"), st.sampled_from(["numpy", "memoryview"]), st.just("i"),
        st.lists(st.binary(min_size=4, max_size=4), max_size=6).map(b"".join), st.sampled_from([1, 2, -1]), st.booleans(),
    ),
    st.sampled_from([("column", "rows", "h", bytes(range(20)), 1, False), ("column", "ctypes", "i", bytes(8), 1, False)]),
    st.sampled_from([("plain", None), ("plain", "text"), ("plain", 5), ("list", ("plain", 1)), ("type",)]),
)  # fmt: skip
small = st.integers(0, 40).map(lambda value: ("plain", value))
bytes_to_set = st.one_of(
    st.integers(0, 255).map(lambda value: ("plain", value)),
    st.sampled_from([("plain", 256), ("plain", -1), ("plain", 2**80), ("plain", 1.5), ("plain", None), ("plain", b"x"), ("index", 5), ("index", 300), ("plain", True)]),
)  # fmt: skip
scalar_kinds = st.sampled_from(["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"])
operations = st.one_of(
    st.tuples(st.just("read"), numbers, small | numbers),
    st.tuples(st.just("named"), numbers, small),
    st.tuples(st.just("names of write"), numbers, sources),
    st.tuples(st.just("write"), numbers, sources),
    st.tuples(st.just("get"), numbers | slices | short_slices),
    st.tuples(st.just("set"), numbers, bytes_to_set),
    st.tuples(st.just("set"), short_slices | slices, sources),
    st.tuples(st.just("delete"), numbers | short_slices),
    st.tuples(st.just("view"), short_slices),
    st.tuples(st.just("write own bytes"), small, slices),
    st.tuples(scalar_kinds.map("read_{}".format), numbers),
    st.tuples(scalar_kinds.map("write_{}".format), numbers, as_float | odd),
    st.sampled_from([
        ("read",), ("read", ("plain", 1)), ("read", ("plain", 1), ("plain", 2), ("plain", 3)), ("write", ("plain", 1)),
        ("set", ("slice", 0, 4, 2), ("plain", b"ab")),
    ]),
)  # fmt: skip


@property_of(500)
@given(
    todo=st.lists(operations, min_size=1, max_size=5), growable=st.integers(0, 4).map(lambda dice: dice == 0)
)
def test_memory(both, todo, growable):
    both("memory", todo, growable)


# ---- Map

DTYPES = {"i32": "i", "i64": "l", "f32": "f", "f64": "d"}
WIDTHS = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16}


@st.composite
def columns(draw, kind, rows, output=False):
    """A column for a type, mostly of the right one."""
    if not output and draw(st.integers(0, 4)) == 0:
        return draw(value_for(kind, 10))
    wrong = draw(st.integers(0, 29))
    rows = {0: rows + 1, 1: 1, 2: 0}.get(wrong, rows)
    if kind == "v128":
        data = draw(st.binary(min_size=16 * rows, max_size=16 * rows))
        data = data[:-1] if wrong == 3 else data
        return draw(
            st.sampled_from(["plain", "bytearray", "memoryview"] if not output else ["bytearray"])
        ), data
    dtype = draw(st.sampled_from("ihBIlLfd")) if wrong in {3, 4} else DTYPES[kind]
    width = struct.calcsize("=" + dtype.replace("l", "q").replace("L", "Q"))
    data = draw(st.binary(min_size=width * rows, max_size=width * rows))
    way = draw(
        st.sampled_from(
            ["numpy", "array", "memoryview", "ctypes", *(["bytes", "rows"] if wrong == 5 else [])]
        )
    )
    return "column", way, dtype, data, draw(st.sampled_from([1, 1, 2, -1])), wrong == 6


@st.composite
def maps(draw):
    """A signature, columns for it, and perhaps where the results go."""
    params = draw(st.lists(kinds, max_size=4) | st.lists(kinds, min_size=1, max_size=3))
    results = draw(st.lists(kinds, min_size=1, max_size=3))
    rows = draw(st.integers(0, 6))
    given_columns = [draw(columns(kind, rows)) for kind in params]
    if draw(st.integers(0, 19)) == 0:
        given_columns.append(draw(columns("i32", rows)))
    out = None
    if draw(st.booleans()):
        outs = [draw(columns(kind, rows, True)) for kind in results]
        out = outs[0] if len(outs) == 1 and draw(st.integers(0, 9)) else ("tuple", *outs)
    return params, results, given_columns, out


@property_of(600)
@given(described=maps(), trap_at=st.none() | st.just(-1) | st.integers(0, 3))
def test_map(both, described, trap_at):
    params, results, given_columns, out = described
    if trap_at is not None and "i32" in params:
        at = params.index("i32")
        if at < len(given_columns) and given_columns[at][0] == "column" and given_columns[at][2] == "i":
            data = given_columns[at][3]
            rows = struct.unpack(f"<{len(data) // 4}i", data)
            trap_at = rows[trap_at] if 0 <= trap_at < len(rows) else trap_at
    both("mapped", params, results, given_columns, out, trap_at)


@pytest.mark.parametrize("kind", ["i32", "i64", "f32", "f64"])
@pytest.mark.parametrize("way", ["numpy", "array", "memoryview", "ctypes"])
def test_map_takes_and_fills_every_kind_of_buffer(both, kind, way):
    data = struct.pack("<4" + DTYPES[kind].replace("l", "q"), 1, -2, 3, 4)
    given_column = ("column", way, DTYPES[kind], data, 1, False)
    empty = ("column", way, DTYPES[kind], bytes(len(data)), 1, False)
    assert both("mapped", [kind], [kind], [given_column], None, None)[0][0] == "returned"
    assert both("mapped", [kind], [kind], [given_column], empty, None)[0][0] == "returned"


@pytest.mark.parametrize(
    "operation",
    [
        ("write", ("plain", None), ("plain", "text")),
        ("write", ("plain", "1"), ("plain", None)),
        ("write", ("plain", -1), ("plain", "text")),
        ("read", ("plain", None), ("plain", "1")),
        ("read", ("plain", 2**80), ("plain", None)),
        ("set", ("plain", 2**80), ("plain", 256)),
        ("set", ("plain", PAGE), ("plain", 256)),
        ("set", ("plain", None), ("plain", None)),
        ("set", ("slice", 0, 4, 2), ("plain", "text")),
        ("set", ("slice", 0, 4, 0), ("plain", "text")),
        ("set", ("slice", 0, 4, None), ("plain", "text")),
        ("write_u8", ("plain", None), ("plain", 256)),
        ("write_u8", ("plain", PAGE), ("plain", 256)),
    ],
    ids=str,
)
def test_of_two_mistakes_the_same_is_told(both, operation):
    happened, _ = both("memory", [operation], False)
    assert happened[0][0] == "raised"
