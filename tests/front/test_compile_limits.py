"""Compiling within limits: compile_timeout and compile_memory."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from compile_bombs import branches, section
from front_programs import HELLO, exits

import wasmtime_rt
from wasmtime_rt import (
    CompileError,
    LimitError,
    ModuleCache,
    PoolingConfig,
    Sandbox,
    WasmConfig,
    WasmEngine,
    WasmModule,
    WasmtimeError,
    run_wasi,
    wat2wasm,
)
from wasmtime_rt._loading import recent


def padded(program, size=1024):
    """``program`` with a custom section of so many bytes."""
    return wat2wasm(program) + section(0, b"\x03pad" + bytes(size))


#: It takes minutes and gigabytes to compile.
BOMB = branches(500, 200)
#: Programs that are too large to be compiled in this process.
LARGE = padded(HELLO)
PLENTY = {"compile_timeout": 120, "compile_memory": 1 << 30}


@pytest.fixture
def processes(monkeypatch):
    """The processes that were started."""
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    return started


def test_what_behaves_well_runs(processes):
    assert run_wasi(LARGE, **PLENTY).stdout == b"hello\n"
    assert run_wasi(padded(exits(3)), compile_timeout=120).exit_code == 3
    assert run_wasi(padded(exits(3)), compile_memory=1 << 30, cache=False, fuel=1000).exit_code == 3
    pooling = PoolingConfig(total_core_instances=2, total_memories=2, total_tables=2)
    with Sandbox(padded(exits(4)), pooling=pooling, cache=False, **PLENTY) as sandbox:
        assert sandbox.run().exit_code == 4
        assert sandbox.module.engine.config.epoch_interruption
    compilers = [process for process in processes if "_elsewhere" in process.args]
    assert [process.returncode for process in compilers] == [0] * 4


def test_it_is_compiled_once(cache_folder, processes, monkeypatch):
    assert [run_wasi(LARGE, **PLENTY).exit_code for _ in range(2)] == [0, 0]
    assert len(processes) == 1
    assert len(ModuleCache(cache_folder)) == 1
    recent.clear()
    monkeypatch.setattr(sys, "executable", "")
    assert run_wasi(LARGE, compile_timeout=1).exit_code == 0  # it is in the cache
    engine = WasmEngine(WasmConfig(epoch_interruption=True))
    assert ModuleCache(cache_folder).is_cached(engine, LARGE)


@pytest.mark.parametrize(
    "wrong",
    [
        b"\0asm\1\0\0\0\1",
        wat2wasm("(module (func (result i32)))"),
        b"\0asm\x0d\0\1\0",
        b"\0asm" + "ü".encode(),
    ],
)
def test_errors_say_the_same(wrong):
    with pytest.raises(CompileError) as here:
        Sandbox(wrong)
    with pytest.raises(CompileError) as elsewhere:
        Sandbox(wrong, **PLENTY)
    assert str(elsewhere.value) == str(here.value)
    assert type(elsewhere.value) is CompileError


def test_time(processes, cache_folder):
    with pytest.raises(
        LimitError, match=r"compile_timeout: compiling \d+ bytes took longer than 1.5 s"
    ) as caught:
        run_wasi(BOMB, compile_timeout=1.5)
    assert caught.value.limit == "compile_timeout"
    assert caught.value.__suppress_context__
    assert [process.returncode for process in processes] == [-signal.SIGKILL]
    assert len(ModuleCache(cache_folder)) == 0


def test_memory(processes):
    with pytest.raises(LimitError, match="compile_memory: compiling took more than 16777216 bytes") as caught:
        Sandbox(BOMB, compile_memory=16 << 20)
    assert caught.value.limit == "compile_memory"
    assert len(processes) == 1
    assert processes[0].returncode is not None


def test_threads(processes):
    said = []

    def work(code):
        said.append(run_wasi(padded(exits(code)), cache=False, **PLENTY).exit_code)

    threads = [threading.Thread(target=work, args=(code,)) for code in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [0, 1, 2, 3]


def test_ctrl_c_ends_both(processes):
    def interrupt():
        while not processes:
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        Sandbox(BOMB, compile_timeout=300)
    thread.join()
    assert [process.returncode for process in processes] == [-signal.SIGKILL]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="Linux tells of processes there")
def test_it_ends_with_its_parent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import subprocess, sys, wasmtime_rt as w
            class Popen(subprocess.Popen):
                def __init__(self, *args, **settings):
                    super().__init__(*args, **settings)
                    print(self.pid, flush=True)
            subprocess.Popen = Popen
            w.Sandbox(open(sys.argv[1], "rb").read(), compile_timeout=300)
            """
        )
    )
    bomb = tmp_path / "bomb.wasm"
    bomb.write_bytes(BOMB)
    environment = {**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent)}
    with subprocess.Popen(
        [sys.executable, str(script), str(bomb)], stdout=subprocess.PIPE, env=environment
    ) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(1)
        assert state(pid) in "RSD"
        parent.kill()
    end = time.monotonic() + 30
    while state(pid) not in "ZX" and time.monotonic() < end:
        time.sleep(0.05)
    assert state(pid) in "ZX"


def state(pid):
    """What a process does; X where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def test_it_gets_no_more_than_it_needs(tmp_path, monkeypatch):
    fake, told = tmp_path / "python", tmp_path / "told"
    fake.write_text(f"#!/bin/sh\n(env; ls /proc/self/fd; pwd) > {told}\necho 'a reason' >&2\nexit 5\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setenv("SECRET", "hidden")
    with open(tmp_path / "told", "w") as open_one:
        os.set_inheritable(open_one.fileno(), True)
        with pytest.raises(
            WasmtimeError, match="the process that was to compile ended with status 5: a reason"
        ):
            Sandbox(LARGE, compile_timeout=60)
        text = told.read_text()
        assert "hidden" not in text
        assert "PYTHONPATH" not in text
        assert str(open_one.fileno()) not in text.splitlines()
        assert "/" in text.splitlines()


@pytest.mark.parametrize(
    ("executable", "said"),
    [("", "there is no sys.executable"), (None, "there is no sys.executable"), ("/nowhere", "No such file"),
     ("/bin/false", "ended with status 1: it said nothing"), ("/bin/true", "ended with status 0")],
)  # fmt: skip
def test_without_an_interpreter(executable, said, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(WasmtimeError, match=said) as caught:
        Sandbox(LARGE, compile_timeout=60)
    assert type(caught.value) is WasmtimeError


def test_a_compiler_that_is_killed(processes):
    def kill():
        while not processes:
            time.sleep(0.01)
        processes[0].kill()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(WasmtimeError, match="ended with status -9"):
        Sandbox(BOMB, compile_timeout=300)
    thread.join()


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux tells of files and children there")
def test_it_leaves_nothing_open(monkeypatch):
    def open_now():
        gc.collect()  # a module that is gone takes its memory's image along
        tasks = Path("/proc/self/task").iterdir()
        children = {pid for task in tasks for pid in (task / "children").read_text().split()}
        return len(os.listdir("/proc/self/fd")), children

    run_wasi(LARGE, cache=False, **PLENTY)
    before = open_now()
    run_wasi(LARGE, cache=False, **PLENTY)
    with pytest.raises(LimitError):
        Sandbox(BOMB, compile_timeout=0.3)
    with pytest.raises(CompileError):
        Sandbox(b"\0asm\1\0\0\0\1", **PLENTY)
    monkeypatch.setattr(sys, "executable", "/nowhere")
    with pytest.raises(WasmtimeError):
        Sandbox(BOMB, compile_timeout=5)
    assert open_now() == before


def test_what_is_wrong_is_refused():
    for settings, kind in (
        ({"compile_timeout": 0}, ValueError),
        ({"compile_timeout": "1"}, TypeError),
        ({"compile_memory": -1}, ValueError),
        ({"compile_memory": 1.5}, TypeError),
    ):
        with pytest.raises(kind, match=next(iter(settings))):
            Sandbox(LARGE, **settings)


def test_a_compiled_module_needs_no_process(processes):
    module = WasmModule(WasmEngine(WasmConfig(epoch_interruption=True)), LARGE)
    assert Sandbox(module, compile_timeout=5).run().exit_code == 0
    assert processes == []
