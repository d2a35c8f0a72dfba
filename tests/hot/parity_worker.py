"""Answers requests with the accelerator, or with the oracle, so that a test can compare the two.

Requests and answers are pickles with their length in front, over stdin and stdout. A request is a tuple of
the name of a function below and its arguments. Values are described by tuples, which `build` turns into
objects, and results are described by `show`, floats by their bits. The first argument is `accelerator` or `oracle`.
"""

from __future__ import annotations

import array
import ctypes
import functools
import io
import pickle
import re
import struct
import sys

import numpy as np

if __name__ == "__main__" and sys.argv[1] == "oracle":
    import oracle

    oracle.install()

import wasmtime_rt as w

engine = w.WasmEngine()


# ---- Values: from what describes them, and back


class Index:
    """An integer by ``__index__`` alone."""

    def __init__(self, value):
        self._held = value

    def __index__(self):
        return self._held

    def __repr__(self):
        return f"Index({self._held})"


class Real:
    """A real number by ``__float__`` alone."""

    def __init__(self, value):
        self._held = value

    def __float__(self):
        return self._held

    def __repr__(self):
        return "Real"


class Odd(Exception):
    """What no one catches."""


class Raises:
    """A number whose conversion raises."""

    def __init__(self, kind):
        self._kind = {
            "TypeError": TypeError,
            "ValueError": ValueError,
            "Overflow": OverflowError,
            "Odd": Odd,
        }[kind]

    def __index__(self):
        raise self._kind("from __index__")

    def __float__(self):
        raise self._kind("from __float__")

    def __repr__(self):
        return "Raises"


class BadRepr:
    """It has no text."""

    def __repr__(self):
        raise Odd("from __repr__")


class Int(int):
    """A subclass of int."""


class Float(float):
    """A subclass of float."""


class Bytes(bytes):
    """A subclass of bytes."""


def from_bits(kind, bits):
    """A typed number by its pattern."""
    return w.WasmValue._from_bits(w.WasmValType(kind), bits)


def double(bits):
    """The float with these 64 bits."""
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


BUILDERS = {
    "plain": lambda value: value,
    "double": double,
    "index": Index,
    "real": lambda bits: Real(double(bits)),
    "raises": Raises,
    "badrepr": BadRepr,
    "Int": Int,
    "Float": lambda bits: Float(double(bits)),
    "Bytes": Bytes,
    "bits": from_bits,
    "v128": lambda data: w.WasmValue.v128(data),
    "externref": lambda value: w.WasmValue.externref(value),
    "bytearray": bytearray,
    "memoryview": memoryview,
    "numpy": lambda dtype, value: np.dtype(dtype).type(value),
    "array": array.array,
    "type": lambda: float,
    "tuple": lambda *items: tuple(map(build, items)),
    "list": lambda *items: list(map(build, items)),
    "generator": lambda *items: iter(tuple(map(build, items))),
    "column": lambda *how: column(*how),
    "slice": slice,
}


def build(described):
    """The object that a tuple describes: ``("index", 5)``."""
    return BUILDERS[described[0]](*described[1:])


def show(value):
    """What a result is, exactly."""
    if isinstance(value, float):
        return type(value).__name__, struct.pack("<d", value)
    if isinstance(value, (tuple, list)):
        return type(value).__name__, tuple(map(show, value))
    if isinstance(value, (int, bytes, str, type(None))):
        return type(value).__name__, value
    if isinstance(value, np.ndarray):
        return "ndarray", value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, array.array):
        return "array", value.typecode, value.tobytes()
    if isinstance(value, (bytearray, memoryview)):
        return type(value).__name__, bytes(value)
    if isinstance(value, ctypes.Array):
        return type(value).__name__, bytes(value)
    return type(value).__name__, re.sub("0x[0-9a-f]{9,}", "<address>", repr(value))


def outcome(function, *args, **kwargs):
    """What a call returned or raised."""
    try:
        return "returned", show(function(*args, **kwargs))
    except BaseException as raised:
        text = re.sub("0x[0-9a-f]{9,}", "<address>", str(raised)).removeprefix("memoryview: ")
        notes = tuple(getattr(raised, "__notes__", ()))
        return "raised", type(raised).__name__, text, getattr(raised, "row", None), notes


def who():
    """Where the classes come from that answer."""
    return [cls.__mro__[1].__module__ for cls in (w.WasmFunc, w.WasmMemory)]


# ---- Calls


@functools.lru_cache(maxsize=4096)
def compiled(source):
    """The module of a source."""
    return w.WasmModule(engine, source)


def sides(params, results):
    """A signature as text."""
    return " ".join(
        f"({side} {' '.join(types)})" for side, types in (("param", params), ("result", results)) if types
    )


CONSTANTS = {
    "i32": "i32.const -7",
    "i64": "i64.const -8",
    "f32": "f32.const -0",
    "f64": "f64.const nan:0x8000000000001",
    "v128": "v128.const i32x4 1 2 3 4",
}


def answering(params, results):
    """A module whose ``f`` hands back its parameters: each result is the next one of its type."""
    spare = {kind: [i for i, other in enumerate(params) if other == kind] for kind in CONSTANTS}
    body = " ".join(
        f"(local.get {spare[kind].pop(0)})" if spare[kind] else f"({CONSTANTS[kind]})" for kind in results
    )
    return compiled(f'(module (func (export "f") {sides(params, results)} {body}))')


def call(params, results, args, names, how):
    """Call a function that hands back its arguments, in one of several ways."""
    function = w.WasmInstance(w.WasmStore(engine), answering(params, results)).exports.f
    if how == "typed":
        function = function.typed(params, results)
    elif how == "keep_gil":
        function = function.typed(params, results, keep_gil=True)
    elif how == "closed":
        function.close()
    elif how == "closed store":
        function.store.close()
    return outcome(function, *map(build, args), **{name: build(value) for name, value in names})


def host(params, results, args, returned, raises):
    """Call a host function through WebAssembly, which gets the arguments and returns what is described."""
    seen = []

    def function(*given):
        seen.append(show(given))
        if raises:
            raise Odd("from the host")
        return build(returned)

    body = " ".join(f"(local.get {i})" for i in range(len(params)))
    side = sides(params, results)
    module = compiled(
        f'(module (import "" "f" (func $f {side})) (func (export "g") {side} (call $f {body})))'
    )
    exports = w.WasmInstance(w.WasmStore(engine), module, [function]).exports
    return outcome(exports.g, *map(build, args)), seen


REFERENCES = """(module (import "" "f" (func $f (param externref i32 funcref) (result externref f32 funcref)))
    (func $own (export "own") (result i32) (i32.const 5))
    (func (export "g") (param externref i32 funcref) (result externref f32 funcref)
        (call $f (local.get 0) (local.get 1) (local.get 2))))"""


def references(args, returned):
    """Call with references among the arguments and results."""
    seen = []

    def function(*given):
        seen.append(show(given))
        return build(returned)

    exports = w.WasmInstance(w.WasmStore(engine), compiled(REFERENCES), [function]).exports
    given = [exports.own if value == ("own",) else build(value) for value in args]
    return outcome(exports.g, *given), seen


# ---- Memory


def memory(operations, growable):
    """Do things to a memory in which byte i is i % 251."""
    made = w.WasmMemory(w.WasmStore(engine), w.WasmMemoryType(1, None if growable else 1, is64=growable))
    made.write(0, bytes(i % 251 for i in range(made.data_size)))
    happened = [outcome(_on_memory, made, name, args) for name, *args in operations]
    for i, (name, *args) in enumerate(operations):
        if name in {"read", "write"} and len(args) != 2:  # what Python says by itself has its own words
            happened[i] = happened[i][:2]
    return happened, made.read(0, made.data_size)


def _on_memory(made, name, args):
    given = [build(value) for value in args]
    if name == "set":
        made[given[0]] = given[1]
        return None
    if name == "get":
        return made[given[0]]
    if name == "delete":
        del made[given[0]]
        return None
    if name == "view":
        return made.view()[given[0]]
    if name == "write own bytes":  # to where they overlap
        return made.write(given[0], made.view()[given[1]])
    if name == "named":
        return made.read(length=given[1], offset=given[0])
    if name == "names of write":
        return made.write(data=given[1], offset=given[0])
    return getattr(made, name)(*given)


# ---- Map


C_TYPES = {
    "i": ctypes.c_int32, "I": ctypes.c_uint32, "l": ctypes.c_int64, "L": ctypes.c_uint64, "h": ctypes.c_int16,
    "B": ctypes.c_uint8, "f": ctypes.c_float, "d": ctypes.c_double,
}  # fmt: skip
LETTERS = {letter: letter for letter in C_TYPES} | {"l": "q", "L": "Q"}


def column(kind, dtype, data, step, readonly):
    """A column of some kind with these bytes."""
    if kind == "bytes":
        return bytes(data)
    items = np.frombuffer(data, dtype)
    if kind == "numpy":
        made = np.zeros(len(items) * abs(step), dtype)[::step] if step != 1 else items.copy()
        made[:] = items
        made.flags.writeable = not readonly
        return made
    if kind == "rows":
        return items.reshape(-1, 1).copy()
    if kind == "ctypes":
        element = C_TYPES[np.dtype(dtype).char]
        return (element * len(items))(*items.tolist())
    made = array.array(LETTERS[np.dtype(dtype).char], bytes(data))
    if kind == "array":
        return made
    view = memoryview(made)[::step]
    return view.toreadonly() if readonly else view


def mapped(params, results, columns, out, trap_at):
    """Map a function that hands back its parameters, and traps where the first i32 is ``trap_at``."""
    module = answering(params, results)
    if trap_at is not None and "i32" in params:
        at = params.index("i32")
        spare = {kind: [i for i, other in enumerate(params) if other == kind] for kind in CONSTANTS}
        body = " ".join(
            f"(local.get {spare[kind].pop(0)})" if spare[kind] else f"({CONSTANTS[kind]})" for kind in results
        )
        module = compiled(
            f'(module (func $inner (export "f") {sides(params, results)} '
            f"(if (i32.eq (local.get {at}) (i32.const {trap_at})) (then unreachable)) {body}))"
        )
    function = w.WasmInstance(w.WasmStore(engine), module).exports.f
    given = [build(value) for value in columns]
    into = None if out is None else build(out)
    happened = outcome(function.map, *given, out=into)
    outs = into if isinstance(into, tuple) else (into,)
    return happened, [show(item) for item in outs]


ACTIONS = {
    "who": who,
    "call": call,
    "host": host,
    "references": references,
    "memory": memory,
    "mapped": mapped,
}


def main():
    """Answer until the input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = io.StringIO()
    while head := requests.read(8):
        name, *args = pickle.loads(requests.read(int.from_bytes(head, "little")))
        answer = pickle.dumps(ACTIONS[name](*args))
        answers.write(len(answer).to_bytes(8, "little") + answer)
        answers.flush()


if __name__ == "__main__":
    main()
