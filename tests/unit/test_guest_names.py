"""What the engine sees of the names in a module: `wasmtime_rt._guest_names`."""

import importlib.util
import sys
from pathlib import Path
from random import Random

import pytest

import wasmtime_rt as w
from wasmtime_rt._guest_names import LONGEST_NAME, rewrite_names
from wasmtime_rt._text import listed, shown_name, shown_text

_spec = importlib.util.spec_from_file_location(
    "names_modules", Path(__file__).parents[1] / "safety" / "names_modules.py"
)
names = importlib.util.module_from_spec(_spec)
sys.modules["names_modules"] = names
_spec.loader.exec_module(names)

TEXT = '(module (func $f (export "f") unreachable))'


def frame_of(wasm):
    """Return the frame in which the exported function traps."""
    engine = w.WasmEngine()
    with pytest.raises(w.WasmTrap) as caught:
        w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, wasm)).exports.f()
    return caught.value.frames[0]


def section(*pairs):
    return names.custom(b"name", names.functions(pairs))


@pytest.mark.parametrize(
    "name", ["f", "$f", "_Z1fv", "_ZN1a1bE", "a b", "\u00e9", "", "\n", "x" * (LONGEST_NAME - 1)]
)
def test_a_name_is_shown_as_the_module_has_it(name):
    assert frame_of(names.plain(TEXT) + section((0, name.encode()))).func_name == name


def test_a_name_is_dropped_if_it_is_too_long_or_no_text():
    for name in (b"x" * LONGEST_NAME, b"\xff", b"a\xed\xa0\x80"):
        assert frame_of(names.plain(TEXT) + section((0, name))).func_name is None


def test_the_name_of_a_module_is_cut():
    content = b"\0" + names.sized(names.sized("\u00e9".encode() * 1000)) + names.functions([(0, b"f")])
    frame = frame_of(names.plain(TEXT) + names.custom(b"name", content))
    assert (frame.module_name, frame.func_name) == ("\u00e9" * 128, "f")


def test_a_size_may_be_encoded_in_more_bytes_than_it_takes():
    content = names.functions([(0, b"_Z1fv")])
    padded = b"\x84\x80\x80\x00name" + content
    assert frame_of(names.plain(TEXT) + b"\0" + names.sized(padded)).func_name == "_Z1fv"


@pytest.mark.parametrize(
    "content",
    [
        b"\1",
        b"\1\x05\1\0\4ab",
        b"\1\xff\xff\xff\xff\x7f",
        b"\1\x03\2\0\0",
        names.functions([(0, b"f")]) * 2,
        names.functions([(0, b"f")]) + b"\0\2\5ab",
        b"\1\x08\xff\xff\xff\xff\x0f\0\1a",
    ],
)
def test_a_section_that_cannot_be_read_is_ignored(content):
    assert frame_of(names.plain(TEXT) + names.custom(b"name", content)).func_name is None


def test_repeated_sections_are_ignored():
    assert frame_of(names.plain(TEXT) + section((0, b"f")) * 2).func_name is None


def test_code_and_errors_keep_their_offsets():
    plain = names.plain(TEXT)
    hostile = section((0, b"_Z1fv" * 100))
    assert frame_of(plain + hostile).module_offset == frame_of(plain).module_offset
    before = frame_of(plain[:8] + hostile + plain[8:])
    assert before.module_offset == frame_of(plain).module_offset + len(hostile)
    assert before.func_name == "_Z1fv" * 100


@pytest.mark.parametrize(
    "rest", [b"\x0b", b"\x0b\x05\1", b"\0\x03\4a", b"\0", b"\x63\0", b"\0\xff\xff\xff\xff\xff\x00"]
)
def test_the_engine_finds_what_is_wrong_at_the_same_offset(rest):
    engine = w.WasmEngine()
    wasm = names.plain(TEXT) + section((0, b"f")) + rest
    assert len(rewrite_names(wasm)) >= len(wasm)
    with pytest.raises(w.CompileError) as compiled:
        w.WasmModule(engine, wasm)
    with pytest.raises(w.CompileError) as validated:
        w.WasmModule.validate(engine, wasm)
    assert str(compiled.value).splitlines()[0] == str(validated.value).splitlines()[0]


def test_debug_information_is_for_debuggers_only():
    wasm = names.plain(TEXT) + names.custom(b".debug_info", b"abc") + names.custom(b"producers", b"")
    assert rewrite_names(wasm) == wasm.replace(b".debug_info", b"_debug_info")
    assert rewrite_names(wasm, keep_dwarf=True) is wasm


def test_a_module_without_names_is_not_copied():
    wasm = names.plain(TEXT)
    assert rewrite_names(wasm) is wasm


def test_names_and_texts_are_bounded_and_printable():
    assert shown_name("plain") == "plain"
    assert shown_name("\x1b[0m\x9b\u202e\u2028\n\0\ud800") == r"\x1b[0m\x9b\u202e\u2028\n\x00\ud800"
    assert len(shown_name("x" * 1000)) == len(shown_name("\x9b" * 1000)) == 256
    assert shown_text("a\n\tb\r\x1b") == "a\n\tb\\r\\x1b"
    assert len(shown_text("x" * 1_000_000)) < 66_000
    assert listed([str(i) for i in range(600)]).endswith("18, 19, and 580 more")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_modules_are_refused_for_the_same_reason(seed):
    random, engine = Random(seed), w.WasmEngine()
    whole = names.plain(TEXT) + section((0, b"f")) + names.custom(b".debug_line", b"ab")
    whole += names.custom(b"name", b"\0\2\1m")
    for _ in range(500):
        wasm = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            wasm[random.randrange(8, len(wasm))] = random.choice(
                (0, 1, 4, 0x7F, 0x80, 0xFF, random.randrange(256))
            )
        damaged = bytes(wasm[: random.choice((len(wasm), random.randrange(8, len(wasm))))])
        said = []
        for variant in (damaged, rewrite_names(damaged)):
            try:
                w.WasmModule.validate(engine, variant)
                said.append("")
            except w.CompileError as refused:
                said.append(str(refused))
        assert said[0] == said[1], damaged
