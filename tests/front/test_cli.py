"""The command line."""

import hashlib
import json
import os
import re
import signal
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from compile_bombs import branches
from front_programs import (
    CAT,
    ECHO_ARGUMENTS,
    ECHO_ENVIRONMENT,
    GROW,
    HELLO,
    SPIN,
    TRAP,
    exits,
    sleeps,
)

import wasmtime_rt
from wasmtime_rt import (
    DeserializeError,
    WasmConfig,
    WasmEngine,
    WasmModule,
    __version__,
    _stamp,
    cli,
    engine_version,
    wat2wasm,
)

LIBRARY = """(module
    (func (export "add") (param i32 i64) (result i64) (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1)))
    (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
    (func (export "pair") (result i32 f32) (i32.const 1) (f32.const 2.5))
    (func (export "nothing")) (func (export "fail") unreachable)
    (func (export "vector") (param v128)) (memory (export "memory") 1 2))"""


@pytest.fixture
def command(capfd, tmp_path, monkeypatch):
    """Run the command line in a folder of its own: its exit status, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            status = cli.main(list(arguments))
        except SystemExit as ended:  # argparse
            status = ended.code
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def program(tmp_path):
    """Write a program: ``program(source)`` is its path."""

    def write(source, name="program.wasm"):
        (tmp_path / name).write_bytes(wat2wasm(source) if name.endswith(".wasm") else source)
        return str(tmp_path / name)

    return write


def outside(*arguments, **settings):
    """Run it in a process of its own."""
    package = str(Path(wasmtime_rt.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-m", "wasmtime_rt", *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": package},
        timeout=60,
        **settings,
    )


# ---- run


def test_a_program_runs_with_the_streams_of_the_command(command, program):
    assert command("run", program(HELLO)) == (0, "hello\n", "oops\n")
    assert command("run", program(HELLO, "hello.wat")) == (0, "hello\n", "oops\n")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--dir", "x", "--", "-v"],
        ["--", "x"],
        ["x", "--verbose", "--timeout=1", "run"],
        ["", "ü", "-"],
    ],
)
@pytest.mark.parametrize("ours", [[], ["--env", "A=1", "--inherit-env"], ["--memory=1M"]])
def test_what_follows_the_program_goes_to_it_untouched(command, program, ours, words):
    path = program(ECHO_ARGUMENTS)
    status, out, err = command("run", *ours, path, *words)
    assert (status, out, err) == (0, "\0".join(["program.wasm", *words, ""]), "")
    assert command("run", *ours, "--", path, *words)[1] == out


@pytest.mark.parametrize("code", [0, 1, 42, 126, 255])
def test_the_exit_status_is_the_programs(command, program, code):
    assert command("run", program(exits(code))) == (code, "", "")


def test_no_other_status_is_success(command, program):
    assert command("run", program(exits(256)))[0] == 1
    assert command("run", program(exits(-1)))[0] == 1


def test_limits_end_programs(command, program):
    assert command("run", "--timeout", "0.05", program(SPIN))[0] == cli.TIME_OVER
    assert command("run", "--timeout", "0.05", program(sleeps(10**12)))[0] == cli.TIME_OVER
    assert "the limit was 0.05" in command("run", "--timeout", "0.05", program(SPIN))[2]
    status, _, err = command("run", "--fuel", "1000", program(SPIN))
    assert status == cli.TRAPPED
    assert err.startswith("wasmtime-rt: all fuel consumed")
    assert command("run", "--memory", "1MiB", program(GROW))[0] == 7
    status, _, err = command("run", "--memory", "1k", program(HELLO))
    assert (status, err.count("\n")) == (cli.CANNOT_RUN, 1)
    assert "memory" in err


def test_limits_hold_for_compiling(command, program, tmp_path):
    bomb = tmp_path / "bomb.wasm"
    bomb.write_bytes(branches(500, 200))
    for options, text in (
        (("--compile-timeout", "1"), "longer than 1 seconds"),
        (("--compile-memory", "8M"), "more than 8388608 bytes"),
    ):
        status, out, err = command("run", *options, str(bomb))
        assert (status, out, err.count("\n")) == (cli.CANNOT_RUN, "", 1)
        assert text in err
    options = ("--compile-timeout", "60", "--compile-memory", "1G")
    assert command("run", *options, program(HELLO))[:2] == (0, "hello\n")


def test_a_trap_is_one_line_and_its_traceback_is_verbose(command, program):
    status, out, err = command("run", program(TRAP))
    assert (status, out) == (cli.TRAPPED, "before")
    assert err.startswith("wasmtime-rt: wasm `unreachable` instruction executed in ")
    assert err.count("\n") == 1
    with pytest.raises(wasmtime_rt.WasmTrap):
        cli.main(["run", "--verbose", program(TRAP)])


def test_variables_and_folders(command, program, monkeypatch, tmp_path):
    monkeypatch.setenv("FRONT", "yes")
    path = program(ECHO_ENVIRONMENT)
    assert command("run", "--env", "A=1=2", "--env", "FRONT", path)[1] == "A=1=2\0FRONT=yes\0"
    assert "FRONT=yes\0" in command("run", "--inherit-env", path)[1]
    assert command("run", path)[1] == ""
    assert command("run", "--env", "NOT_THERE", path)[0] == 2
    assert command("run", "--dir", "/no/such", path)[0] == cli.CANNOT_RUN
    assert command("run", "--dir", str(tmp_path), path)[0] == 0


@pytest.mark.parametrize(
    ("text", "guest", "host", "writable"),
    [
        (".", ".", ".", False),
        ("data::/in", "/in", "data", False),
        ("data::/in:rw", "/in", "data", True),
        ("data:rw", "data", "data", True),
        ("a:b::/c", "/c", "a:b", False),
    ],
)
def test_folders_are_spelled(text, guest, host, writable):
    name, folder = cli.mount(text)
    assert name == guest
    assert (folder.path if writable else folder) == host
    assert isinstance(folder, wasmtime_rt.WritableDir) == writable


@pytest.mark.parametrize(
    ("text", "expected"),
    [("65536", 65536), ("64k", 65536), ("1MiB", 1 << 20), ("2GB", 2 << 30), ("1 t", 1 << 40)],
)
def test_sizes_are_spelled(text, expected):
    assert cli.size(text) == expected


@pytest.mark.parametrize(
    "options",
    [
        ["--memory", "x"],
        ["--memory", "-1"],
        ["--timeout", "0"],
        ["--timeout", "x"],
        ["--fuel", "-5"],
        ["--dir", "::x"],
        ["--unknown"],
        ["--time", "1"],  # no abbreviations
        [],
    ],
)
def test_bad_options_are_told(command, program, options):
    status, _, err = command("run", *options, *([program(HELLO)] if options else []))
    assert status == 2
    assert "usage: wasmtime-rt" in err


def test_functions_are_invoked(command, program):
    path = program(LIBRARY)
    assert command("run", "--invoke", "add", path, "-1", "0x10") == (0, "15\n", "")
    assert command("run", "--invoke", "half", path, "5") == (0, "2.5\n", "")
    assert command("run", "--invoke", "pair", path) == (0, "1\n2.5\n", "")
    assert command("run", "--invoke", "nothing", path) == (0, "", "")
    assert command("run", "--invoke", "fail", path)[0] == cli.TRAPPED


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--invoke", "add", "PATH", "1"], "add: expected 2 arguments"),
        (["--invoke", "add", "PATH", "1", "x"], "expected i64, got 'x'"),
        (["--invoke", "add", "PATH", "99999999999", "1"], "i32"),
        (["--invoke", "vector", "PATH", "1"], "v128 cannot be given"),
        (["--invoke", "memory", "PATH"], "'memory' is no function"),
        (["--invoke", "missing", "PATH"], "no function 'missing'"),
        (["PATH"], "no program, for it exports no _start; --invoke NAME calls one of add, half"),
        (["/no/such.wasm"], "/no/such.wasm: No such file"),
    ],
)
def test_what_cannot_run_is_told_in_one_line(command, program, arguments, text):
    path = program(LIBRARY)
    status, out, err = command("run", *(path if word == "PATH" else word for word in arguments))
    assert (status, out, err.count("\n")) == (cli.CANNOT_RUN, "", 1)
    assert text in err


def test_a_profile_is_written(command, program, tmp_path):
    assert command("run", "--profile", "p.json", program(HELLO)) == (0, "hello\n", "oops\n")
    assert json.loads((tmp_path / "p.json").read_text())["meta"]


def test_the_cache_is_on(command, program, cache_folder, tmp_path):
    large = HELLO[:-1] + b'(memory 1)(data (memory 0) (i32.const 100) "' + b"x" * 40_000 + b'"))'
    large = large.replace(b"(memory 1)(data (memory 0)", b"(data")
    path = program(large)
    assert command("run", path)[0] == 0
    assert len(list(cache_folder.iterdir())) == 1
    assert command("run", "--cache", "off", path)[0] == 0
    assert command("run", "--cache", str(tmp_path / "other"), path)[1] == "hello\n"
    assert len(list((tmp_path / "other").iterdir())) == 1


def test_input_is_inherited(program):
    ended = outside("run", program(CAT), input=b"from outside")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"from outside", b"")


def announced(source):
    """The same program, which writes a byte when it starts."""
    source = source.replace(
        b"(module ",
        b'(module (import "wasi_snapshot_preview1" "fd_write" '
        b"(func $tell (param i32 i32 i32 i32) (result i32)))",
        1,
    )
    return source.replace(
        b"(local $n i32) ",
        b"(local $n i32) (i32.store (i32.const 4) (i32.const 1)) "
        b"(drop (call $tell (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) ",
        1,
    )


@pytest.mark.parametrize("source", [SPIN, sleeps(10**12)], ids=["spin", "sleep"])
def test_ctrl_c_ends_it(program, source):
    running = subprocess.Popen(
        [sys.executable, "-m", "wasmtime_rt", "run", program(announced(source))],
        env={**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout.read(1)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert running.returncode in {-signal.SIGINT, 130}
    assert b"Traceback" not in errors


# ---- The other commands


def test_machine_code_runs_only_if_it_is_asked_for(command, program, tmp_path):
    path = program(HELLO)
    status, out, _ = command("compile", path)
    assert (status, out.startswith(str(tmp_path / "program.cwasm"))) == (0, True)
    for name in ("program.cwasm", "disguised.wasm"):
        (tmp_path / name).write_bytes((tmp_path / "program.cwasm").read_bytes())
        status, out, err = command("run", name)
        assert (status, out, err.count("\n")) == (cli.CANNOT_RUN, "", 1)
        assert "machine code, not WebAssembly: --precompiled runs it" in err
        assert command("run", "--precompiled", name) == (0, "hello\n", "oops\n")
        for words in (["bench", name, "f"], ["validate", name], ["compile", name], ["wat2wasm", name]):
            assert command(*words)[0] == 1
    status, _, err = command("run", "--precompiled", path)
    assert (status, "this is WebAssembly" in err) == (cli.CANNOT_RUN, True)


def test_compiled_modules_have_the_limits_that_they_were_compiled_with(command, program):
    path = program(HELLO)
    assert command("compile", path)[0] == 0
    assert command("compile", path, "-o", "b.cwasm", "--set", "epoch_interruption=true")[0] == 0
    run = ("run", "--precompiled")
    assert command(*run, "--timeout", "30", "b.cwasm") == (0, "hello\n", "oops\n")
    status, _, err = command(*run, "--timeout", "30", "program.cwasm")
    assert (status, "--timeout needs a module compiled with --set epoch_interruption" in err) == (125, True)
    assert command("compile", path, "-o", "c.cwasm", "--set", "consume_fuel=true")[0] == 0
    assert command(*run, "c.cwasm") == (0, "hello\n", "oops\n")
    assert command(*run, "--fuel", "2", "c.cwasm")[0] == cli.TRAPPED
    assert (
        "--fuel needs a module compiled with --set consume_fuel" in command(*run, "--fuel", "2", "b.cwasm")[2]
    )


def test_inspect_reads_only_the_trailer_of_a_compiled_module(command, program, tmp_path, monkeypatch):
    assert command("compile", program(HELLO), "-o", "b.cwasm", "--set", "consume_fuel=true")[0] == 0
    assert WasmModule.deserialize_file(
        WasmEngine(WasmConfig(consume_fuel=True)), tmp_path / "b.cwasm"
    ).exports
    damaged = bytearray((tmp_path / "b.cwasm").read_bytes())
    damaged[5000:6000] = bytes(1000)
    (tmp_path / "b.cwasm").write_bytes(damaged)
    monkeypatch.setattr(WasmModule, "_load", None)  # nothing may be loaded
    status, out, err = command("inspect", "b.cwasm")
    assert (status, err) == (0, "")
    assert "a compiled module, which was not loaded" in out
    assert re.search(rf"engine +Wasmtime {re.escape(engine_version)}", out)
    assert re.search("consume_fuel +True", out)
    told = json.loads(command("inspect", "--json", "b.cwasm")[1])
    assert (told["kind"], told["settings"]) == ("compiled module", {"consume_fuel": "True"})
    (tmp_path / "b.cwasm").write_bytes(damaged[:-1])
    assert command("inspect", "b.cwasm")[0] == 1


def test_names_in_a_trailer_are_harmless_on_a_terminal(command, tmp_path):
    facts = {"engine": "\x1b[2J" + "x" * 5000, "settings": {"\x1b[0m": "\n" * 300}, "source": "y\r"}
    (tmp_path / "a.cwasm").write_bytes(with_trailer(facts))
    status, out, err = command("inspect", "a.cwasm")
    assert (status, err) == (0, "")
    assert not {"\x1b", "\r"} & set(out)
    assert len(out) < 5000
    for wrong in (
        {"engine": 5},
        {"settings": []},
        {"settings": {"a": 5}},
        {"settings": None},
        {"source": {}},
    ):
        (tmp_path / "a.cwasm").write_bytes(with_trailer({**facts, **wrong}))
        status, out, err = command("inspect", "a.cwasm")
        assert (status, out) == (1, "")
        assert "was not written by this package" in err
        with pytest.raises(DeserializeError, match="was not written by this package"):
            WasmModule.deserialize_file(WasmEngine(), tmp_path / "a.cwasm")


def with_trailer(facts, content=b"\x7fELF" + bytes(100)):
    """Compiled code with a forged record at its end."""
    shape = {"imported_tables": [], "exported_tables": {}, "passed_on": {}, "heap": True, "memory": True}
    written = json.dumps({**shape, **facts}).encode()
    front = struct.pack(
        "<32sQII", hashlib.sha256(content).digest(), len(content), len(written), _stamp._FORMAT
    )
    end = hashlib.sha256(written + front).digest() + b"\x89wasmtime_rt\r\n\x1a\n"
    return content + written + front + end


# ---- Files


@pytest.mark.parametrize("words", [["compile"], ["wat2wasm"]])
def test_outputs_replace_links_and_are_written_whole(command, program, tmp_path, words):
    path, outside = program(b"(module)", "a.wat"), tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "link").symlink_to(outside)
    assert command(*words, path, "-o", "link")[0] == 0
    assert outside.read_text() == "mine"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").stat().st_size
    private = tmp_path / "private"
    private.write_text("before")
    private.chmod(0o600)
    with private.open() as held:
        assert command(*words, path, "-o", "private")[0] == 0
        assert held.read() == "before"  # what is mapped or open stays as it is
    assert private.stat().st_mode & 0o777 == 0o600
    assert not [file for file in tmp_path.iterdir() if "writing" in file.name]


def test_default_outputs_do_not_follow_links(command, program, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    for name, words in (("a.cwasm", ["compile"]), ("a.wasm", ["wat2wasm"])):
        (tmp_path / name).symlink_to(outside)
        assert command(*words, program(b"(module)", "a.wat"))[0] == 0
    assert outside.read_text() == "mine"


def test_compiled_code_is_for_its_owner_to_write(command, program, tmp_path):
    before = os.umask(0)
    try:
        assert command("compile", program(HELLO))[0] == 0
        (tmp_path / "open.cwasm").touch(0o666)
        assert command("compile", program(HELLO), "-o", "open.cwasm")[0] == 0
    finally:
        os.umask(before)
    for name in ("program.cwasm", "open.cwasm"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


def test_outputs_may_be_null_and_no_other_device(command, program, tmp_path):
    path = program(HELLO)
    assert command("compile", path, "-o", "/dev/null")[0] == 0
    assert os.path.samestat(os.stat("/dev/null"), os.stat(os.devnull))
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "pipe")
    for target in ("/dev/zero", "/dev/full", "pipe", str(tmp_path), f"{tmp_path}/"):
        status, out, err = command("compile", path, "-o", target)
        assert (status, out, err.count("\n")) == (1, "", 1)
    assert stat.S_ISFIFO(os.lstat(tmp_path / "pipe").st_mode)


@pytest.mark.parametrize("kind", ["/dev/zero", "pipe"])
def test_inputs_that_never_end_are_refused(command, tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    for words in (["run"], ["inspect"], ["validate"], ["compile"], ["wat2wasm"], ["run", "--precompiled"]):
        status, out, err = command(*words, kind)
        assert (status, out, err.count("\n")) == (cli.CANNOT_RUN if words[0] == "run" else 1, "", 1)
        assert "expected a regular file or /dev/null" in err
    status, _, err = command("bench", kind, "f")
    assert (status, "expected a regular file" in err) == (1, True)


def test_a_profile_does_not_follow_what_the_program_left(command, program, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "shared" / "p.json").symlink_to("../outside")
    options = ["--profile", "shared/p.json", "--dir", "shared::/s:rw"]
    status, _, err = command("run", *options, program(HELLO))
    assert (status, "which the program may write" in err) == (cli.CANNOT_RUN, True)
    assert (tmp_path / "outside").read_text() == "mine"
    (tmp_path / "shared" / "p.json").unlink()
    assert command("run", *options, program(HELLO))[0] == 0
    assert json.loads((tmp_path / "shared" / "p.json").read_text())["meta"]


def test_two_folders_with_one_name_are_refused(command, program):
    path = program(HELLO)
    status, _, err = command("run", "--dir", ".::/x", "--dir", "..::/x:rw", path)
    assert (status, "two folders have the name /x " in err) == (2, True)
    assert command("run", "--dir", ".::/x", "--dir", ".::/y", path)[0] == 0
    assert command("run", path)[0] == 0


def test_info_tells_why_the_cache_is_not_used(command, tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    monkeypatch.setenv("WASMTIME_RT_CACHE", str(tmp_path / "shared" / "cache"))
    told = json.loads(command("info", "--json")[1])
    assert "other users may write this folder" in told["cache not used"]


def test_settings_are_checked(command, program):
    status, _, err = command("compile", program(HELLO), "--set", "nonsense=1")
    assert (status, err.count("\n")) == (1, 1)
    assert "nonsense" in err
    for setting in ("strategy=winch", "optimization_level=speed_and_size", "max_wasm_stack=256KiB"):
        assert command("compile", program(HELLO), "--set", setting)[0] == 0
    status, _, err = command("compile", program(HELLO), "--set", "strategy=quick")
    assert (status, "strategy: expected one of auto, cranelift, winch" in err) == (1, True)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            b'(module (import "e" "f" (func)) (func (export "_start")))',
            '1 of 1 imports.*: .*"e" "f" .*missing',
        ),
        (b"(module (func (result i32)))", "type mismatch: expected i32"),
        (b"(module\n (funk))", "expected valid module field at 2:3"),
    ],
)
def test_reasons_are_on_the_line(command, program, source, text):
    for words in (["run"], ["bench"]):
        status, _, err = command(*words, program(source, "a.wat"), *(["f"] if words == ["bench"] else []))
        assert (status in {1, cli.CANNOT_RUN}, err.count("\n")) == (True, 1)
        assert re.search(text, err)


def test_inspect_shows_what_is_in_it(command, program):
    status, out, _ = command("inspect", program(HELLO))
    assert status == 0
    assert "a command for wasi_snapshot_preview1" in out
    assert "fd_write" in out
    assert "_start" in out
    status, out, _ = command("inspect", "--json", program(LIBRARY))
    told = json.loads(out)
    assert (told["kind"], told["wasi"], told["imports"]) == ("library", [], [])
    assert told["features"] == ["multi_value", "simd"]
    assert {"name": "memory", "type": "(memory 1 2)"} in told["exports"] or told["exports"][-1][
        "name"
    ] == "memory"


def test_inspect_finds_features_and_keeps_names_harmless(command, program):
    source = b'(module (func (export "\\1b[2J\\0a") (param v128)) (memory 1) (memory i64 1))'
    status, out, _ = command("inspect", program(source))
    assert status == 0
    assert "\x1b" not in out
    assert r"\x1b[2J\n" in out
    assert "features: memory64, multi_memory, simd" in out


def test_text_becomes_a_module(command, program, tmp_path):
    path = program(b"(module)", "a.wat")
    assert command("wat2wasm", path) == (0, "", "")
    assert (tmp_path / "a.wasm").read_bytes() == b"\0asm\1\0\0\0"
    assert command("wat2wasm", path, "-o", "b.wasm")[0] == 0
    assert (tmp_path / "b.wasm").exists()
    wrong = program(b"(module\n  (funk))", "wrong.wat")
    status, _, err = command("wat2wasm", wrong)
    assert (status, err.count("\n")) == (1, 1)
    assert f"{wrong}:2:4" in err
    ended = outside("wat2wasm", "-", input=b"(module)")
    assert (ended.returncode, ended.stdout) == (0, b"\0asm\1\0\0\0")


def test_modules_are_validated(command, program):
    good, bad = program(HELLO), program(b"\0asm\1\0\0\0\x0a\xff", "bad.bin")
    assert command("validate", good) == (0, f"{good}: valid\n", "")
    status, out, _ = command("validate", good, bad)
    assert status == 1
    assert out.splitlines()[0] == f"{good}: valid"
    assert out.splitlines()[1].startswith(f"{bad}: ")
    vector = program(LIBRARY)
    assert command("validate", vector)[0] == 0
    assert command("validate", "--set", "wasm_simd=false", "--set", "wasm_relaxed_simd=false", vector)[0] == 1
    assert command("validate", "/no/such")[0] == 1


def test_bench_shows_a_distribution(command, program):
    path = program(LIBRARY)
    status, out, _ = command("bench", path, "add", "1", "2", "-n", "200")
    assert status == 0
    assert "add: 200 calls" in out
    assert "median" in out
    assert "#" in out
    status, out, _ = command("bench", "--json", "-n", "50", path, "nothing")
    told = json.loads(out)
    assert told["calls"] == 50
    assert 0 < told["min"] <= told["median"] <= told["p95"] <= told["p99"] <= told["max"]
    assert command("bench", path, "fail")[0] == 1
    assert command("bench", path, "add")[0] == 1
    assert command("bench", path, "nothing", "-n", "0")[0] == 1


def test_info_shows_versions_and_the_cache(command, cache_folder):
    status, out, _ = command("info", "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["wasmtime-rt"], told["engine"]) == (__version__, f"Wasmtime {engine_version}")
    assert (told["cache"], told["cache entries"]) == (str(cache_folder), 0)
    assert "simd" in told["features"]
    WasmModule.load(WasmEngine(), "(module)")
    assert json.loads(command("info", "--json")[1])["cache entries"] == 1
    assert json.loads(command("info", "--json", "--clear-cache")[1])["cache entries"] == 0
    assert str(cache_folder) in command("info")[1]


def test_help_and_version(command):
    assert command("--version") == (0, f"wasmtime-rt {__version__}, Wasmtime {engine_version}\n", "")
    for name in ("run", "compile", "inspect", "wat2wasm", "validate", "bench", "info"):
        assert name in command("--help")[1]
        assert f"usage: wasmtime-rt {name}" in command(name, "--help")[1]
    assert command()[0] == 2
    assert command("nonsense")[0] == 2


def test_it_is_a_module_and_does_not_need_rich(program, tmp_path):
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ImportError('no rich here')")
    package = str(Path(wasmtime_rt.__file__).parent.parent)
    ended = subprocess.run(
        [sys.executable, "-m", "wasmtime_rt", "inspect", program(HELLO)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), package])},
        capture_output=True,
        check=False,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "fd_write" in ended.stdout


@pytest.mark.parametrize("with_rich", [True, False])
def test_on_a_terminal_it_shows_the_same(program, tmp_path, with_rich):
    if not with_rich:
        (tmp_path / "rich").mkdir()
        (tmp_path / "rich" / "__init__.py").write_text("raise ImportError('no rich here')")
    import pty

    main, side = pty.openpty()
    package = str(Path(wasmtime_rt.__file__).parent.parent)
    running = subprocess.Popen(
        [sys.executable, "-m", "wasmtime_rt", "inspect", program(HELLO)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), package]),
            "TERM": "xterm",
            "COLUMNS": "100",
        },
        stdout=side,
        stderr=side,
        stdin=side,
    )
    os.close(side)
    shown = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    assert running.wait(timeout=30) == 0
    assert b"fd_write" in shown
    assert b"_start" in shown
    assert (b"\xe2\x94" in shown) == with_rich  # lines of a table
