"""Streams of WASI programs: limits, writers that fail, text, and what is inherited."""

import gc
import io
import sys
import weakref

import pytest

from wasmtime_rt import WasiConfig, WasmEngine, WasmExit, WasmLinker, WasmModule, WasmStore, WasmTrap

MIB = 1 << 20

# say(fd, offset, length, times) writes the same bytes many times in one call.
PROGRAM = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 40)
    (func (export "args") (result i32) (drop (call $args (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))
    (func (export "environ") (result i32)
        (drop (call $environ (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))
    (func (export "read") (param $length i32) (result i32)
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (local.get $length))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.load (i32.const 8)))
    (func $say (export "say") (param $fd i32) (param $at i32) (param $length i32) (param $times i32)
        (result i32) (local $errno i32)
        (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $length))
        (loop $again
            (local.set $errno
                (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            (local.set $times (i32.sub (local.get $times) (i32.const 1)))
            (br_if $again (local.get $times)))
        (local.get $errno))
    (func (export "say_and_trap") (param $fd i32)
        (drop (call $say (local.get $fd) (i32.const 1024) (i32.const 5) (i32.const 1))) unreachable)
    (func (export "say_and_exit") (param $fd i32)
        (drop (call $say (local.get $fd) (i32.const 1024) (i32.const 5) (i32.const 1)))
        (call $exit (i32.const 200))))"""


@pytest.fixture(scope="module")
def wasi_module():
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    return engine, linker, WasmModule(engine, PROGRAM)


@pytest.fixture
def program(wasi_module):
    engine, linker, module = wasi_module

    def start(**settings):
        return linker.instantiate(WasmStore(engine, wasi=WasiConfig(**settings)), module).exports

    return start


def say(exports, data, fd=1, times=1):
    exports.memory.write(1024, data)
    assert exports.say(fd, 1024, len(data), times) == 0


# ---- Limits


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_goes_beyond_the_limit_is_dropped_and_told(program, name):
    target = io.BytesIO()
    exports = program(**{name: target}, max_output=10)
    fd = 1 + (name == "stderr")
    say(exports, b"1234567", fd)
    assert exports.memory.store.truncated_output == ()
    say(exports, b"890abcdef", fd, times=1000)
    say(exports, b"more", fd)
    assert target.getvalue() == b"1234567890"
    assert exports.memory.store.truncated_output == (name,)


def test_output_that_just_fits_is_not_truncated(program):
    target = io.BytesIO()
    exports = program(stdout=target, max_output=4)
    say(exports, b"1234")
    assert (target.getvalue(), exports.memory.store.truncated_output) == (b"1234", ())
    say(exports, b"")
    assert exports.memory.store.truncated_output == ()
    exports = program(stdout=target, max_output=0)
    say(exports, b"x")
    assert (target.getvalue(), exports.memory.store.truncated_output) == (b"1234", ("stdout",))


def test_each_stream_has_a_limit_of_its_own(program):
    both = io.BytesIO()
    exports = program(stdout=both, stderr=both, max_output=3)
    say(exports, b"aaaa", 1)
    say(exports, b"bb", 2)
    assert (both.getvalue(), exports.memory.store.truncated_output) == (b"aaabb", ("stdout",))


def test_a_file_is_limited_too(program, tmp_path):
    target = tmp_path / "out.txt"
    target.write_bytes(b"older and longer than the limit")
    exports = program(stdout=target, max_output=8)
    say(exports, b"12345")
    assert target.read_bytes() == b"12345"  # at once
    say(exports, b"67890")
    assert (target.read_bytes(), exports.memory.store.truncated_output) == (b"12345678", ("stdout",))


def test_without_streams_nothing_is_truncated(program, wasi_module):
    assert WasmStore(wasi_module[0]).truncated_output == ()
    exports = program(stdout="null", stderr=None, max_output=0)
    say(exports, b"nobody hears")
    assert exports.memory.store.truncated_output == ()


def test_much_output_of_one_call_arrives_whole_and_in_pieces(program):
    pieces = []
    exports = program(stdout=pieces.append)
    line = bytes(range(256)) * 4000
    say(exports, line, times=20)
    assert b"".join(pieces) == line * 20
    assert 1 < len(pieces) < 60
    assert max(map(len, pieces)) <= MIB


# ---- Writers


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_a_writer_raises_comes_out_and_the_rest_is_dropped(program, kind):
    got = []

    def refuse(data):
        got.append(data)
        raise kind("full")

    errors = io.BytesIO()
    exports = program(stdout=refuse, stderr=errors)
    exports.memory.write(1024, b"x" * MIB)
    with pytest.raises(kind, match="full"):
        exports.say(1, 1024, MIB, 3)
    assert len(got) == 1
    say(exports, b"heard", 2)  # and nothing is left over that would raise again
    assert (len(got), errors.getvalue()) == (1, b"heard")


def test_a_writer_that_fails_leaves_the_other_its_output(program):
    def refuse(_):
        raise ValueError("full")

    errors = io.BytesIO()
    exports = program(stdout=refuse, stderr=errors)
    with pytest.raises(ValueError, match="full"):
        exports.say_and_exit(1)
    with pytest.raises(WasmExit):
        exports.say_and_exit(2)
    assert len(errors.getvalue()) == 5


@pytest.mark.parametrize(("name", "first"), [("say_and_trap", WasmTrap), ("say_and_exit", WasmExit)])
def test_a_writer_that_fails_at_the_end_keeps_how_the_program_ended(program, name, first):
    def refuse(_):
        raise ValueError("full")

    with pytest.raises(ValueError, match="full") as caught:
        program(stdout=refuse)[name](1)
    assert isinstance(caught.value.__context__, first)


def test_text_is_decoded_across_calls(program):
    text = io.StringIO()
    exports = program(stdout=text)
    for byte in "grüße €\n".encode():
        say(exports, bytes([byte]))
    say(exports, b"\xff")
    assert text.getvalue() == "grüße €\n�"


def test_bytes_stay_bytes_wherever_calls_cut_them(program):
    pieces = []
    exports = program(stdout=pieces.append)
    for byte in "ü€".encode():
        say(exports, bytes([byte]))
    assert b"".join(pieces).decode() == "ü€"


def test_writers_go_with_their_store(program):
    class Writer:
        exports = None

        def write(self, data):
            pass

    def use():
        writer, other = Writer(), Writer()
        writer.exports = other.exports = exports = program(stdout=writer, stderr=lambda data: other)
        say(exports, b"text")
        say(exports, b"text", 2)
        return weakref.ref(writer), weakref.ref(other)

    alive = use()
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


# ---- Input, and what is inherited


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview, io.BytesIO])
def test_input_may_be_anything_with_bytes(program, convert):
    exports = program(stdin=convert(b"input"))
    assert exports.memory.read(1024, exports.read(64)) == b"input"


def test_input_of_text_is_an_error(program):
    with pytest.raises(TypeError, match="stdin: expected a file that gives bytes, got str"):
        program(stdin=io.StringIO("text"))


def test_arguments_and_environment_of_this_process(program, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prog", "one", "two"])
    monkeypatch.setenv("BROKEN", "\udcff")  # no program could read it, and the engine would end the process
    exports = program(argv="inherit", env="inherit")
    assert exports.args() == 3
    seen = exports.environ()
    monkeypatch.delenv("BROKEN")
    assert program(env="inherit").environ() == seen
    monkeypatch.setenv("ONE_MORE", "1")
    assert program(env="inherit").environ() == seen + 1
    assert program(argv=(), env={}).environ() == 0


def test_network_switches_are_accepted(program):
    assert program(inherit_network=True, allow_ip_name_lookup=True).args() == 0
