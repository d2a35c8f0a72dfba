"""What is fuzzed: functions of bytes that return, whatever the bytes, or raise what has no business to come out."""

from __future__ import annotations

import array
import contextlib
import functools
import hashlib
import io
import json
import os
import random
import struct

import wasmtime_rt as w
from wasmtime_rt import _binary, _stamp, cli

PLAIN = """(module (import "a" "b" (func (param i32))) (import "a" "t" (table 2 externref))
    (table (export "t") 3 (ref null func)) (table (export "i") i64 3 9 funcref) (memory (export "m") 1 2)
    (global (export "g") (mut i64) (i64.const 5)) (type $s (struct (field i32))) (export "again" (table 0))
    (func (export "f") (param i32 (ref null $s)) (result i32) local.get 0 i32.const 3 i32.add)
    (elem (table 1) (i32.const 0) func 1) (data (i32.const 3) "hello") (tag (export "e") (param i32)))"""
SIMPLE = '(module (table (export "t") 1 5 funcref) (func (export "f") (param i32 i64 f32 f64 v128 externref) (result i32) local.get 0))'


@functools.cache
def engine():
    return w.WasmEngine(w.WasmConfig(parallel_compilation=False, optimization_level=w.OptimizationLevel.NONE))


@functools.cache
def world():
    """An instance to convert values for."""
    store = w.WasmStore(engine(), limits=w.StoreLimits(memory_size=1 << 20))
    return store, w.WasmInstance(store, w.WasmModule(engine(), SIMPLE)).exports


@functools.cache
def blob():
    return w.WasmModule(engine(), SIMPLE).serialize()


def module(data):
    """Bytes as a module: valid or a `CompileError`, and both ways to ask agree."""
    try:
        w.WasmModule.validate(engine(), data)
    except w.CompileError:
        valid = False
    else:
        valid = True
    try:
        made = w.WasmModule(engine(), data)
    except w.CompileError:
        return
    assert valid
    for item in (*made.imports, *made.exports):
        str(item), hash(item)


def text(data):
    """Bytes as the text format; what it says must be what its binary says."""
    try:
        wasm = w.wat2wasm(data)
    except w.CompileError:
        return
    if not wasm.startswith(b"\0asm\x0d"):  # a component
        module(wasm)


def shape(data):
    """Sections of a module that the engine has accepted, read again by us."""
    wasm = b"\0asm\1\0\0\0" + data
    if not w.WasmModule.is_valid(engine(), wasm):
        with contextlib.suppress(IndexError, KeyError, ValueError, UnicodeDecodeError):
            _binary.module_shape(wasm)
        return
    found = _binary.module_shape(wasm)
    made = w.WasmModule(engine(), wasm)
    tables = [at for at, item in enumerate(made.imports) if isinstance(item.type, w.WasmTableType)]
    assert sorted(found.imported_tables) == tables
    assert set(found.exported_tables) == {
        item.name for item in made.exports if isinstance(item.type, w.WasmTableType)
    }


def serialized(data):
    """A serialized module, changed as the bytes say: refused, unless nothing has changed."""
    changed, rest = bytearray(blob()), memoryview(data)
    while len(rest) >= 5:
        how, at, rest = rest[0], int.from_bytes(rest[1:4], "little"), rest[4:]
        place = len(changed) - 1 - at % len(changed) if how & 1 and changed else at % (len(changed) + 1)
        if how & 6 == 0 and place < len(changed):
            changed[place] ^= rest[0]
        elif how & 6 == 2:
            changed[place:place] = bytes(rest[: how >> 3])
        elif how & 6 == 4:
            del changed[place : place + 1 + (how >> 3)]
        else:
            del changed[place:]
        rest = rest[1:]
    for given in (bytes(changed), bytes(data)):
        try:
            w.WasmModule.deserialize(engine(), given)
        except w.DeserializeError:
            continue
        assert given == blob()


def stamp(data):
    """The facts of a stamp that is otherwise right."""
    facts = bytes(data)
    front = struct.pack("<32sQII", bytes(32), 0, len(facts), 1)
    whole = facts + front + hashlib.sha256(facts + front).digest() + b"\x89wasmtime_rt\r\n\x1a\n"
    with contextlib.suppress(w.DeserializeError):
        found = _stamp.read_stamp("data", len(whole), lambda at, size: whole[at : at + size])
        assert found is not None
    with contextlib.suppress(w.DeserializeError):
        _stamp.read_stamp("data", len(data), lambda at, size: bytes(data[at : at + size]))


def _value(data, dice):
    number = int.from_bytes(data[:12], "little", signed=True)
    return dice.choice(
        (number, number & 0xFFFFFFFF, float(number), data[:16], bytearray(data[:16]), str(data), None, [number], struct.unpack("<d", data[:8].ljust(8, b"\0"))[0],
         w.WasmValue.i64(number & (2**64 - 1)), w.WasmValue.f32(bits=number & 0xFFFFFFFF), w.WasmValue.v128(data[:16].ljust(16, b"\0")), bool(number & 1), w.WasmI31(number & 0xFFFF))
    )  # fmt: skip


def values(data):
    """Values of every kind in every place where values go."""
    (store, exports), dice = world(), random.Random(bytes(data[:4]))
    given = [_value(data[4 + 12 * i :], dice) for i in range(6)]
    kinds = ("i32", "i64", "f32", "f64", "v128", "externref", "funcref", "anyref", "i31ref", "(ref extern)")
    documented = (TypeError, ValueError, OverflowError, w.WasmtimeError)
    with contextlib.suppress(*documented):
        assert exports.f(*given) == exports.f.call_values(*given)[0].value
    for value in given:
        for kind in kinds:
            valtype = w.WasmValType.parse(kind)
            assert w.is_wasm_convertible(value, valtype) in {True, False}
            with contextlib.suppress(*documented):
                made = w.WasmGlobal(store, w.WasmGlobalType(valtype, mutable=True), value)
                assert made.get_value().type == valtype
                made.value = made.value
            with contextlib.suppress(*documented):
                w.from_wasm(w.to_wasm(value, valtype))
        with contextlib.suppress(*documented):
            w.WasmValType.parse(str(value))
    column = array.array("i", data[: len(data) // 4 * 4])
    with contextlib.suppress(*documented):
        exports.f.map(column, *given[1:])


def settings(data):
    """Settings of engines, by name."""
    names = [*w.WasmConfig._knobs]
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = {
            names[byte % len(names)]: _value(data[at:], random.Random(at)) for at, byte in enumerate(data[:4])
        }
    if isinstance(told, dict):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            config = w.WasmConfig(**told)
            assert config.replace() == config
            hash(config), repr(config)


@functools.cache
def parser():
    return cli.parser()


def arguments(data):
    """The command line's arguments; nothing is run."""
    words, options = data.decode(errors="surrogateescape").split("\0"), parser()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        with contextlib.suppress(SystemExit):
            subparsers = next(
                action
                for action in options._actions
                if getattr(action, "choices", None) and "run" in action.choices
            )
            ours, _for_program = cli._split(subparsers.choices["run"], words)
            options.parse_args(["run", *ours])
        with contextlib.suppress(SystemExit):
            options.parse_args(words)


TARGETS = {
    target.__name__: target
    for target in (module, text, shape, serialized, stamp, values, settings, arguments)
}


def seeds(name):
    """A few inputs to begin with."""
    plain = w.wat2wasm(PLAIN)
    return {
        "module": [plain, w.wat2wasm(SIMPLE), b"\0asm\1\0\0\0", PLAIN.encode()],
        "text": [PLAIN.encode(), SIMPLE.encode(), b"(module)", b'(module binary "\\00asm\\01\\00\\00\\00")'],
        "shape": [plain[8:], w.wat2wasm(SIMPLE)[8:], b""],
        "serialized": [blob(), b"\1\0\0\0\xff", b"\4\0\0\0\0", b"\6\x10\0\0\0"],
        "stamp": [blob()[-600:], b'{"engine":"50.0.1","settings":{},"imported_tables":[[0,[1,2,false]]],"exported_tables":{"t":[1,null,true]},"passed_on":{},"heap":true,"memory":false}'],
        "values": [bytes(range(80)), b"\xff" * 80, b"\0" * 80],
        "settings": [b'{"consume_fuel": true, "max_wasm_stack": 65536}', b'{"cranelift_flags": {"a": 1}}', b"\1\2\3\4\5\6"],
        "arguments": [
            b"run\0--timeout\x005\0--mount\0/:.\0--env\0a=b\0x.wasm\0y", b"compile\0x.wasm\0-o\0y", b"inspect\0--help", b"validate\0--wasm\0gc\0x",
            b"bench\0-n\x005\0x.wasm\0f\x001", b"info", b"--version",
        ],
    }[name]  # fmt: skip


def folder(name):
    """Where the corpus of a target is kept."""
    return os.path.join("build", "fuzz", name)
