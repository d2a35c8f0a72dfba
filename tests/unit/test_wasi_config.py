"""What a WasiConfig may say, and programs that exit."""

import pytest

from wasmtime_rt import (
    WasiConfig,
    WasmEngine,
    WasmExit,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WritableDir,
    rw,
)

PROGRAM = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\00\\04\\00\\00\\05\\00\\00\\00") (data (i32.const 1024) "hello")
    (func (export "exit") (param i32) (call $proc_exit (local.get 0)))
    (func (export "say_and_exit") (param i32)
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $proc_exit (local.get 0))))"""


@pytest.fixture(scope="module")
def wasi_module():
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    return engine, linker, WasmModule(engine, PROGRAM)


@pytest.fixture
def program(wasi_module):
    """Start the program with a configuration: ``program(argv=[...])``."""
    engine, linker, module = wasi_module

    def start(**settings):
        return linker.instantiate(WasmStore(engine, wasi=WasiConfig(**settings)), module).exports

    return start


def test_output_of_a_program_that_exits_is_kept(program):
    pieces = []
    with pytest.raises(WasmExit) as caught:
        program(stdout=pieces.append).say_and_exit(3)
    assert caught.value.code == 3
    assert pieces == [b"hello"]


@pytest.mark.parametrize("code", [0, 1, 125, 126, 200, 255])
def test_every_exit_code_comes_out(program, code):
    with pytest.raises(WasmExit) as caught:
        program().exit(code)
    assert caught.value.code == code
    assert isinstance(caught.value, WasmtimeError)
    assert str(caught.value) == f"the program exited with code {code}"


def test_a_program_that_exits_at_the_start(wasi_module):
    engine, linker, _ = wasi_module
    module = WasmModule(
        engine,
        PROGRAM.replace(
            '(func (export "exit")',
            '(func (call $proc_exit (i32.const 200))) (start 2) (func (export "exit")',
        ),
    )
    with pytest.raises(WasmExit) as caught:
        linker.instantiate(WasmStore(engine, wasi=WasiConfig()), module)
    assert caught.value.code == 200


def test_a_folder_or_file_that_is_missing_is_an_error(program, tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(
        WasmtimeError, match=r"folder of the guest '/data': '.*missing' is no folder that can be opened"
    ):
        program(preopens={"/data": missing})
    with pytest.raises(WasmtimeError, match="stdin: '.*missing' cannot be read"):
        program(stdin=missing)
    with pytest.raises(WasmtimeError, match="stdout: '.*missing.*' cannot be written"):
        program(stdout=missing / "out.txt")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"argv": "prog"}, TypeError, "argv: expected a sequence of str or \"inherit\", got 'prog'"),
        ({"argv": ["a", 1]}, TypeError, r"argv\[1\]: expected str, got 1"),
        ({"argv": ["a\0b"]}, ValueError, r"argv\[0\]: expected no NUL character"),
        ({"argv": ["\udc80"]}, ValueError, r"argv\[0\]: expected text that UTF-8 can hold"),
        ({"env": {"A": 1}}, TypeError, r"env\['A'\]: expected str, got 1"),
        ({"env": {"A=B": "1"}}, ValueError, "env name: expected a name without '=', got 'A=B'"),
        ({"env": {"": "1"}}, ValueError, "env name"),
        (
            {"stdin": "path.txt"},
            ValueError,
            'stdin: expected bytes, a pathlib.Path, a binary file, "inherit", "null" or None',
        ),
        ({"stdin": 5}, TypeError, "stdin: expected bytes"),
        ({"stdout": "path.txt"}, ValueError, "stdout: expected a pathlib.Path, a callable, an open file"),
        ({"stderr": 5}, TypeError, "stderr: expected a pathlib.Path, a callable"),
        ({"env": "prog"}, TypeError, "env: expected a mapping of str or \"inherit\", got 'prog'"),
        ({"max_output": -1}, ValueError, "max_output: expected None or 0 <= max_output"),
        ({"max_output": True}, TypeError, "max_output: expected None or 0 <= max_output < \\d+, got True"),
        ({"inherit_network": 1}, TypeError, "inherit_network: expected a bool, got 1"),
        ({"preopens": {"/": 5}}, TypeError, "folder of the guest '/': expected str, got 5"),
        ({"preopens": ["/x"]}, TypeError, "preopens: expected a mapping of folders, got"),
        ({"env": ["A=b"]}, TypeError, 'env: expected a mapping of str or "inherit", got'),
        ({"preopens": {"/\0": "."}}, ValueError, "expected no NUL character"),
    ],
)
def test_a_configuration_is_checked(settings, error, message):
    with pytest.raises(error, match=message):
        WasiConfig(**settings)


def test_a_configuration_is_a_value(program):
    arguments = ["prog", "x"]
    config = WasiConfig(argv=arguments, preopens={"/": rw("folder")})
    arguments.append("later")
    assert config.argv == ("prog", "x")
    assert config == WasiConfig(argv=("prog", "x"), preopens={"/": WritableDir("folder")})
    with pytest.raises(AttributeError):
        config.argv = ()


def test_a_store_without_wasi_is_an_error_and_not_an_abort(wasi_module):
    engine, linker, module = wasi_module
    with pytest.raises(
        WasmtimeError, match=r"is part of WASI, which this store has not: WasmStore\(engine, wasi="
    ):
        linker.instantiate(WasmStore(engine), module)


def test_a_definition_of_the_users_goes_before_wasi(wasi_module):
    engine, _, module = wasi_module
    linker = WasmLinker(engine)
    codes = []
    linker.define("wasi_snapshot_preview1", "proc_exit", codes.append)
    linker.define_wasi()
    linker.instantiate(WasmStore(engine, wasi=WasiConfig()), module).exports.exit(9)
    assert codes == [9]
