"""What is timed: each workload's module, its statement, the answer that is checked first, its target.

A peer's adapter (``peers/*.py``) turns a workload into the names that its statement uses, so that as far
as possible every peer runs the same Python text.
"""

from __future__ import annotations

import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ROWS = 1 << 20
"""Rows of the columns of `map`; a peer that goes row by row in Python takes `FEW_ROWS`."""
FEW_ROWS = 1 << 12

LARGE = 1 << 20
PIECE = bytes(range(16))
VECTOR = bytes(range(16))
TEXT = "Héllo, wörld! " * 8
UPPER = "HéLLO, WöRLD! " * 8
"""What the guest makes of `TEXT`: it knows the letters of ASCII only."""


@dataclass(frozen=True)
class Target:
    """What ours is held against.

    Attributes:
        limit: The largest ratio to ``peer`` that meets it (for `two_threads`, the smallest figure).
        peer: Against whom.
        gate: Whether missing it counts; otherwise it is only reported.
    """

    limit: float
    peer: str
    gate: bool = True


@dataclass(frozen=True)
class Workload:
    """Something to time.

    Attributes:
        name: Its name in the table.
        title: What it is, for the report.
        shape: The function of an adapter that prepares it.
        statement: The Python text that is timed.
        check: The Python text that is evaluated once before, and compared with ``answer``.
        answer: What ``check`` gives.
        wat: The module that it needs.
        per: How many operations the statement does; figures are for one.
        unit: Of the figures: ns, ms, MiB, or times.
        setup: Python text that runs before the check.
        target: What ours is held against.
    """

    name: str
    title: str
    shape: str
    statement: str = ""
    check: str = ""
    answer: Any = None
    wat: str = ""
    per: int = 1
    unit: str = "ns"
    setup: str = ""
    target: Target | None = None


def _function(signature: str, body: str) -> str:
    return f'(module (func (export "f") {signature} {body}))'


_CALL = Target(1.15, "floor")

_ADD = _function("(param i32 i32) (result i32)", "local.get 0 local.get 1 i32.add")

_SUM = " f64.add ".join(f"local.get {i}" for i in range(8)).replace(" f64.add ", " ", 1) + " f64.add"

# f(n) adds up h(i, 7) for i below n; g adds two numbers.
_CALLBACK = """(module
  (import "env" "h" (func $h (param i32 i32) (result i32)))
  (func (export "g") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "f") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $h (local.get $i) (i32.const 7))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
    local.get $sum))"""

_SMALL = """(module
  (import "env" "h" (func $h (param i32 i32) (result i32))){memory}
  (func (export "f") (param i32) (result i32) (call $h (local.get 0) (i32.const 7))))"""

_MEMORY = '(module (memory (export "memory") 32 32))'

_UPPER = """(module
  (memory (export "memory") 1)
  (func (export "f") (param $at i32) (param $length i32) (local $end i32) (local $byte i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $again
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
          (then (i32.store8 (local.get $at) (i32.sub (local.get $byte) (i32.const 32)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $again)))))"""

# f(n): n steps of a generator of numbers, each waiting for the one before.
_SPIN = """(module
  (func (export "f") (param $n i32) (result i32) (local $x i32)
    (loop $again
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    local.get $x))"""

_TRY = "try:\n    f()\nexcept Trap:\n    pass"


def _memory(
    name: str, title: str, statement: str, check: str, answer: object, target: Any = None
) -> Workload:
    return Workload(name, title, "memory", statement, check, answer, _MEMORY, target=target)


def spun(steps: int) -> int:
    """What the guest of `two_threads` answers."""
    x = 0
    for _ in range(steps):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
    return x - (1 << 32) if x >> 31 else x


def columns(rows: int) -> dict[str, Any]:
    """The columns of `map`: what goes in, room for what comes out, and whether that is right."""
    x, out = array.array("d", range(rows)), array.array("d", bytes(8 * rows))
    return {"x": x, "out": out, "good": lambda: all(y == v * v + 1 for v, y in zip(x, out, strict=True))}


def each_row(f: Callable[[float], float]) -> Callable[[Any, Any], None]:
    """The map of a peer that has none: a loop in Python."""

    def run(x: Any, out: Any) -> None:
        for i, value in enumerate(x):
            out[i] = f(value)

    return run


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("nop", "a call of nothing", "function", "f()", "f()", None, _function("", ""), target=_CALL),
        Workload(
            "add_i32", "a call: (i32, i32) to i32", "function", "f(1, 2)", "f(1, 2)", 3, _ADD, target=_CALL
        ),
        Workload(
            "eight_f64",
            "a call: eight f64 to f64",
            "function",
            "f(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)",
            "f(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)",
            36.0,
            _function(f"(param{' f64' * 8}) (result f64)", _SUM),
            target=_CALL,
        ),
        Workload(
            "v128",
            "a call: v128 to v128",
            "function",
            "f(v)",
            "bytes(f(v))",
            bytes(2 * byte for byte in VECTOR),
            _function("(param v128) (result v128)", "local.get 0 local.get 0 i8x16.add"),
            setup=f"v = {VECTOR!r}",
            target=_CALL,
        ),
        Workload(
            "externref",
            "a call: a Python object there and back",
            "function",
            "f(thing)",
            "f(thing) is thing",
            True,
            _function("(param externref) (result externref)", "local.get 0"),
            setup="thing = object()",
        ),
        Workload(
            "multi_value",
            "a call: (i32, i64, f32, f64) to the reverse",
            "function",
            "f(1, 2, 3.0, 4.0)",
            "tuple(f(1, 2, 3.0, 4.0))",
            (4.0, 3.0, 2, 1),
            _function(
                "(param i32 i64 f32 f64) (result f64 f32 i64 i32)",
                "local.get 3 local.get 2 local.get 1 local.get 0",
            ),
            target=_CALL,
        ),
        Workload(
            "host_callback",
            "a Python function called from WebAssembly, in a loop there",
            "callback",
            "f(1000)",
            "f(1000)",
            499500,
            _CALLBACK,
            per=1000,
            setup="def h(a, b):\n    return a\n",
            target=Target(1.1, "floor"),
        ),
        Workload(
            "nested_callback",
            "the same, and the Python function calls back in",
            "nested",
            "f(1000)",
            "f(1000)",
            499500 + 7000,
            _CALLBACK,
            per=1000,
        ),
        Workload(
            "trap",
            "a trap raised and caught",
            "trap",
            _TRY,
            f"caught({_TRY!r})",
            "Trap",
            _function("", "unreachable"),
        ),
        Workload(
            "map",
            "f(x[i]) over a million float64, for each",
            "map",
            "f(x, out)",
            "(f(x, out), good())[1]",
            True,
            _function("(param f64) (result f64)", "local.get 0 local.get 0 f64.mul f64.const 1 f64.add"),
            per=ROWS,
            target=Target(1.15, "c_loop"),
        ),
        Workload(
            "instantiate_fresh",
            "a new store, a host function, an instance; all dropped",
            "instantiate",
            "make()",
            "probe()",
            42,
            _SMALL.format(memory='\n  (memory (export "memory") 1)'),
            setup="def h(a, b):\n    return a * b\n",
            target=Target(1.6, "c_loop"),
        ),
        Workload(
            "instantiate_no_memory",
            "the same for a module without a memory",
            "instantiate",
            "make()",
            "probe()",
            42,
            _SMALL.format(memory=""),
            setup="def h(a, b):\n    return a * b\n",
        ),
        Workload(
            "instantiate_prepared",
            "`instantiate_fresh` with a module that a linker has prepared",
            "prepared",
            "make()",
            "probe()",
            42,
            _SMALL.format(memory='\n  (memory (export "memory") 1)'),
            setup="def h(a, b):\n    return a * b\n",
            target=Target(1.6, "c_loop"),
        ),
        Workload(
            "instantiate_pooled",
            "`instantiate_prepared` with the pooling allocator; the C loop is that of `instantiate_fresh`",
            "pooled",
            "make()",
            "probe()",
            42,
            _SMALL.format(memory='\n  (memory (export "memory") 1)'),
            setup="def h(a, b):\n    return a * b\n",
            target=Target(1.0, "c_loop"),
        ),
        _memory(
            "memory_read_16",
            "16 bytes read",
            "m[64:80]",
            "(m.__setitem__(slice(64, 80), data), bytes(m[64:80]))[1]",
            PIECE,
            Target(2.0, "bytearray"),
        ),
        _memory(
            "memory_write_16",
            "16 bytes written",
            "m[64:80] = data",
            "(m.__setitem__(slice(64, 80), data), bytes(m[64:80]))[1]",
            PIECE,
            Target(2.0, "bytearray"),
        ),
        _memory(
            "memory_read_1m",
            "1 MiB read",
            f"m[64:{64 + LARGE}]",
            f"(m.__setitem__(slice(64, 80), data), len(m[64:{64 + LARGE}]), bytes(m[64:80]))[1:]",
            (LARGE, PIECE),
        ),
        _memory(
            "memory_write_1m",
            "1 MiB written",
            f"m[64:{64 + LARGE}] = large",
            f"(m.__setitem__(slice(64, {64 + LARGE}), large), bytes(m[{62 + LARGE}:{65 + LARGE}]))[1]",
            b"\x07\x07\x00",
        ),
        Workload(
            "string_round_trip",
            "a text written, upper-cased in place, read back",
            "string",
            "f(text)",
            "f(text)",
            UPPER,
            _UPPER,
            setup=f"text = {TEXT!r}",
        ),
        Workload(
            "two_threads",
            "two threads with a store each, runs of about 1 ms: throughput over that of one thread",
            "threads",
            answer=spun(1000),
            wat=_SPIN,
            unit="times",
            target=Target(1.9, "", gate=False),
        ),
        Workload(
            "keep_gil_add",
            "a call that keeps the GIL",
            "keep_gil",
            "f(1, 2)",
            "f(1, 2)",
            3,
            _ADD,
            target=Target(1.0, "pywasm3"),
        ),
        Workload(
            "keep_gil_callback",
            "a callback out of a call that keeps the GIL",
            "keep_gil_callback",
            "f(1000)",
            "f(1000)",
            499500,
            _CALLBACK,
            per=1000,
            setup="def h(a, b):\n    return a\n",
            target=Target(1.0, "pywasm3"),
        ),
        Workload(
            "import",
            "import of the package: the whole process, over that of an empty one",
            "import",
            unit="ms",
            target=Target(0.5, "ctypes_binding"),
        ),
        Workload(
            "import_names",
            "import of engine, store, module and instance by name, likewise",
            "import",
            unit="ms",
        ),
        Workload(
            "peak_memory",
            "peak memory of a process that made an engine and called add",
            "function",
            "f(1, 2)",
            "f(1, 2)",
            3,
            _ADD,
            unit="MiB",
        ),
    )
}


def names_for(workload: Workload) -> dict[str, Any]:
    """What every statement may use, whoever the peer is."""

    def caught(text: str) -> str:
        """Run the statement that traps, without its handler, and tell what came out."""
        try:
            names["f"]()
        except names["Trap"]:
            return "Trap"
        return text

    names: dict[str, Any] = {
        "data": PIECE,
        "large": b"\x07" * LARGE,
        "caught": caught,
        "workload": workload,
    }
    exec(workload.setup, names)
    return names
