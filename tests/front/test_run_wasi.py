"""run_wasi: what a program gets, what it gives, and how its end is told."""

import io
import os
import pickle
import signal
import sys
import threading

import pytest
from front_programs import (
    CAT,
    ECHO_ARGUMENTS,
    ECHO_ENVIRONMENT,
    FLOOD,
    GROW,
    HELLO,
    RECURSE,
    SPIN,
    TRAP,
    exits,
    program,
    sleeps,
)

from wasmtime_rt import (
    CompileError,
    LimitError,
    LinkError,
    MisuseError,
    OutOfFuelError,
    TrapCode,
    WasmConfig,
    WasmEngine,
    WasmExit,
    WasmModule,
    WasmtimeError,
    WasmTimeout,
    WasmTrap,
    run_wasi,
    wat2wasm,
)

PAGE = 65536

# ---- What it gives


def test_output_is_captured():
    result = run_wasi(HELLO)
    assert (result.exit_code, result.stdout, result.stderr) == (0, b"hello\n", b"oops\n")
    assert result.truncated == ()
    assert result.fuel_used is None
    assert result.peak_memory == PAGE
    assert 0 < result.duration < 60
    assert pickle.loads(pickle.dumps(result)) == result


@pytest.mark.parametrize("code", [0, 1, 42, 125, 126, 255])
def test_exit_codes_are_values(code):
    assert run_wasi(exits(code)).exit_code == code


def test_check_raises_for_other_codes_than_zero():
    assert run_wasi(exits(0), check=True).exit_code == 0
    assert run_wasi(HELLO, check=True).exit_code == 0
    with pytest.raises(WasmExit, match="the program exited with code 200") as caught:
        run_wasi(exits(200), check=True)
    assert caught.value.code == caught.value.result.exit_code == 200


def test_streams_go_where_they_should(tmp_path, capfd):
    path, buffer, pieces = tmp_path / "out", io.BytesIO(), []
    result = run_wasi(HELLO, stdout=path, stderr=buffer)
    assert (path.read_bytes(), buffer.getvalue()) == (b"hello\n", b"oops\n")
    assert (result.stdout, result.stderr) == (None, None)
    run_wasi(HELLO, stdout=pieces.append, stderr="null")
    assert pieces == [b"hello\n"]
    assert capfd.readouterr() == ("", "")
    run_wasi(HELLO, stdout="inherit", stderr="inherit")
    assert capfd.readouterr() == ("hello\n", "oops\n")


def test_a_text_file_gets_text_to_the_last_byte():
    text = io.StringIO()
    run_wasi(CAT, stdin="grüß".encode() + b"\xc3", stdout=text)
    assert text.getvalue() == "grüß�"


def test_what_a_writer_raises_comes_out():
    def refuse(_):
        raise KeyError("full")

    with pytest.raises(KeyError, match="full"):
        run_wasi(HELLO, stdout=refuse)


# ---- What it gets


def test_it_gets_its_arguments_and_a_name(tmp_path):
    assert run_wasi(ECHO_ARGUMENTS, ["--one", "zwölf", ""]).stdout == "program\0--one\0zwölf\0\0".encode()
    assert run_wasi(ECHO_ARGUMENTS, [tmp_path], argv0="tool").stdout == f"tool\0{tmp_path}\0".encode()
    path = tmp_path / "echo.wasm"
    path.write_bytes(wat2wasm(ECHO_ARGUMENTS))
    for spelled in (path, str(path)):
        assert run_wasi(spelled, ["x"]).stdout == b"echo.wasm\0x\0"


def test_nothing_is_inherited_unless_asked(monkeypatch):
    monkeypatch.setenv("FRONT", "secret")
    assert run_wasi(ECHO_ENVIRONMENT).stdout == b""
    assert run_wasi(ECHO_ENVIRONMENT, env={"A": "1"}).stdout == b"A=1\0"
    assert b"FRONT=secret\0" in run_wasi(ECHO_ENVIRONMENT, env="inherit").stdout


def test_input_is_bytes_or_a_file(tmp_path):
    path = tmp_path / "in"
    path.write_bytes(b"from a file")
    assert run_wasi(CAT).stdout == b""
    assert run_wasi(CAT, stdin=bytes(200_000)).stdout == bytes(200_000)
    assert run_wasi(CAT, stdin=path).stdout == b"from a file"
    assert run_wasi(CAT, stdin=io.BytesIO(b"from a stream")).stdout == b"from a stream"


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "memoryview", "wat", "module"])
def test_a_program_may_be_many_things(tmp_path, kind):
    wasm, path = wat2wasm(HELLO), tmp_path / "hello.wasm"
    path.write_bytes(wasm)
    engine = WasmEngine(WasmConfig(epoch_interruption=True))
    given = {
        "str": str(path),
        "path": path,
        "bytes": wasm,
        "memoryview": memoryview(wasm),
        "wat": HELLO,
        "module": WasmModule(engine, wasm) if kind == "module" else None,
    }[kind]
    assert run_wasi(given).stdout == b"hello\n"


def test_python_functions_serve_other_imports():
    told = []
    source = b"""(module (import "env" "tell" (func $tell (param i32) (result i32))) (memory (export "memory") 1)
        (func (export "_start") (drop (call $tell (i32.const 5)))))"""
    run_wasi(source, imports={"env": {"tell": lambda n: told.append(n) or n}})
    assert told == [5]
    with pytest.raises(LinkError, match='"env" "tell"'):
        run_wasi(source)

    def fail(_):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run_wasi(source, imports={"env": {"tell": fail}})


# ---- How it ends


def test_a_trap_tells_what_was_done():
    with pytest.raises(WasmTrap) as caught:
        run_wasi(TRAP)
    trap = caught.value
    assert type(trap) is WasmTrap
    assert trap.code is TrapCode.UNREACHABLE_CODE_REACHED
    assert trap.frames
    assert (trap.result.exit_code, trap.result.stdout) == (None, b"before")


def test_endless_recursion_is_a_trap():
    with pytest.raises(WasmTrap) as caught:
        run_wasi(RECURSE)
    assert caught.value.code is TrapCode.STACK_OVERFLOW


@pytest.mark.parametrize("source", [SPIN, sleeps(10**12), sleeps(10**12, absolute=True)])
def test_a_program_that_takes_too_long_is_ended(source):
    with pytest.raises(WasmTimeout) as caught:
        run_wasi(source, timeout=0.05)
    assert isinstance(caught.value, WasmTrap)
    assert not isinstance(caught.value, LimitError)
    assert 0.05 <= caught.value.result.duration < 10
    assert run_wasi(HELLO, timeout=30).stdout == b"hello\n"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_program_may_sleep(absolute):
    result = run_wasi(sleeps(20_000_000, absolute), timeout=30)
    assert result.exit_code == 0
    assert result.duration >= 0.02


@pytest.mark.parametrize("source", [SPIN, sleeps(10**12)], ids=["spin", "sleep"])
def test_ctrl_c_ends_it(source):
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_wasi(source, timeout=60)
    timer.join()


def test_fuel_that_is_used_up_is_told():
    with pytest.raises(OutOfFuelError) as caught:
        run_wasi(SPIN, fuel=10_000)
    error = caught.value
    assert isinstance(error, LimitError)
    assert isinstance(error, WasmTrap)
    assert (error.limit, error.code) == ("fuel", TrapCode.OUT_OF_FUEL)
    assert 0 < error.result.fuel_used <= 10_000
    assert 0 < run_wasi(HELLO, fuel=10_000).fuel_used < 100


def test_memory_is_limited():
    result = run_wasi(GROW, memory=64 * PAGE)
    assert (result.exit_code, result.peak_memory) == (7, 49 * PAGE)
    with pytest.raises(LimitError, match="memory") as caught:
        run_wasi(program("", memory="65"), memory=64 * PAGE)
    assert caught.value.limit == "memory"
    assert run_wasi(program("", memory="64"), memory=64 * PAGE).peak_memory == 64 * PAGE


def test_many_memories_and_tables_are_limited():
    for more, limit in (
        ("(memory 1)", "memory"),
        ("(table 2000000 funcref)", "tables"),
        ("(table 1 funcref)" * 9, "tables"),
    ):
        with pytest.raises(LimitError) as caught:
            run_wasi(program("", more=more))
        assert caught.value.limit == limit


def test_output_is_limited_and_the_program_goes_on():
    result = run_wasi(FLOOD, max_output=100_000)
    assert (len(result.stdout), result.truncated, result.exit_code) == (100_000, ("stdout",), 0)
    assert len(run_wasi(FLOOD).stdout) == 16 << 20
    assert len(run_wasi(FLOOD, max_output=None).stdout) == 400 * PAGE


def test_a_module_that_is_too_large_is_not_compiled(tmp_path):
    path = tmp_path / "large.wasm"
    path.write_bytes(wat2wasm(HELLO))
    for source in (path, path.read_bytes(), HELLO):
        with pytest.raises(LimitError, match="module_size: .* has .* bytes, allowed are 100") as caught:
            run_wasi(source, max_module_size=100)
        assert caught.value.limit == "module_size"


# ---- What is wrong


def test_what_is_no_program_is_told(tmp_path):
    with pytest.raises(MisuseError, match=r'no function "_start".*Sandbox\(...\).start\(\)'):
        run_wasi(b"(module)")
    with pytest.raises(CompileError):
        run_wasi(b"\0asm\1\0\0\0\xff")
    with pytest.raises(FileNotFoundError):
        run_wasi(tmp_path / "nowhere.wasm")
    with pytest.raises(ValueError, match="expected a path, got the text of a module"):
        run_wasi("(module)")
    with pytest.raises(TypeError, match="program: expected a path, bytes or a WasmModule, got int"):
        run_wasi(5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"args": "text"}, TypeError, "args: expected a sequence of str"),
        ({"timeout": 0}, ValueError, "timeout: expected more than 0 seconds"),
        ({"timeout": "1"}, TypeError, "timeout: expected seconds or None"),
        ({"timeout": float("nan")}, ValueError, "timeout"),
        ({"memory": -1}, ValueError, "memory: expected None or 0 <= memory"),
        ({"fuel": 1.5}, TypeError, "fuel: expected an int or None"),
        ({"max_output": True}, TypeError, "max_output: expected an int or None"),
        ({"stdout": "out.txt"}, ValueError, "stdout: expected a pathlib.Path"),
        ({"mounts": ["/x"]}, TypeError, "mounts: expected a mapping of folders, got"),
        ({"imports": {"f": print}}, TypeError, "imports.'f'.: expected a mapping from names to items, got"),
        ({"imports": [print]}, TypeError, "imports: expected a mapping of mappings, got"),
        ({"mounts": {"/": "/no/such/folder"}}, WasmtimeError, "is no folder that can be opened"),
        ({"env": {"A=": "1"}}, ValueError, "env name"),
    ],
)
def test_arguments_are_checked(settings, error, message):
    with pytest.raises(error, match=message):
        run_wasi(HELLO, **settings)


def test_a_module_of_a_plain_engine_has_no_timeout():
    module = WasmModule(WasmEngine(), HELLO)
    with pytest.raises(MisuseError, match=r"WasmConfig\(epoch_interruption=True\), or say timeout=None"):
        run_wasi(module)
    with pytest.raises(MisuseError, match="consume_fuel"):
        run_wasi(module, timeout=None, fuel=1)
    assert run_wasi(module, timeout=None).stdout == b"hello\n"
    counting = WasmModule(WasmEngine(WasmConfig(consume_fuel=True)), HELLO)
    assert run_wasi(counting, timeout=None).fuel_used > 0


def test_names_are_imported_only_when_they_are_used():
    import subprocess

    code = (
        "import sys, wasmtime_rt\n"
        "assert not any('wasmtime_rt.' + name in sys.modules for name in ('sandbox', 'module_cache', 'cli'))\n"
        "wasmtime_rt.run_wasi\n"
        "assert 'wasmtime_rt.sandbox' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
