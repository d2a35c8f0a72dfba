"""What a program that nobody knows may take, where nobody gave limits: to compile it, and to run it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import compile_bombs
import pytest
from compile_bombs import section
from front_programs import HELLO

import wasmtime_rt
from wasmtime_rt import (
    LimitError,
    ModuleCache,
    PoolingConfig,
    Sandbox,
    StoreLimits,
    WasmEngine,
    WasmModule,
    _elsewhere,
    _loading,
    cli,
    run_wasi,
    wat2wasm,
)
from wasmtime_rt._loading import RecentModules, limits_for, recent

MIB = 1 << 20
HERE = Path(__file__).parent
#: More than this takes a process to compile.
SMALL = _loading._SMALL
MIDDLE = wat2wasm(HELLO) + section(0, b"\3pad" + bytes(2 * SMALL))
CHILD_MIB = 2048


@pytest.fixture
def child(tmp_path):
    """Call a function of `defaults_worker` in a process that may take two gigabytes, itself or its children."""

    def call(*arguments, timeout=300):
        package = Path(wasmtime_rt.__file__).parent.parent
        # A memory, and a heap, of WebAssembly reserve 4 GiB of addresses each: what is resident is measured.
        ended = subprocess.run(
            ["prlimit", f"--data={CHILD_MIB * MIB}", sys.executable, str(HERE / "defaults_worker.py"),
             *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{package}:{HERE}", "MALLOC_ARENA_MAX": "2"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )  # fmt: skip
        said = {}
        for line in ended.stdout.splitlines():
            if line.startswith("{"):
                said.update(json.loads(line))
        assert "ended" in said, f"status {ended.returncode}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        return said, ended.stderr

    return call


# ---- Compiling


@pytest.mark.parametrize("bomb", [bomb.__name__ for bomb in compile_bombs.SMALL])
def test_what_is_compiled_here_is_soon_done(bomb, child):
    said, _ = child("compile_bomb", bomb, SMALL, "Sandbox")
    assert "<Sandbox" in said["ended"]
    assert said["seconds"] < 10  # 0.3 when nothing else runs
    assert said["mib"] < 64


@pytest.mark.parametrize("how", ["Sandbox", "run_wasi", "command"])
def test_a_small_bomb_is_refused_by_default(how, child):
    """Some four kilobytes, for which the compiler would take three gigabytes and minutes."""
    said, stderr = child("compile_bomb", "wide_blocks", 4096, how)
    if how == "command":
        assert said["ended"] == "125"
        assert "compile_memory: compiling took more than" in stderr
    else:
        assert said["ended"] == "compile_memory"
    assert said["mib"] < 100


def test_a_bomb_that_takes_time_is_refused_by_default(monkeypatch):
    monkeypatch.setattr(_loading, "TIMEOUT", 2.0)
    with pytest.raises(LimitError, match="compile_timeout"):
        run_wasi(compile_bombs.many_locals(65536))


def test_a_text_that_takes_time_is_refused_by_default(child):
    said, _ = child("text_bomb")
    assert said["ended"] == "compile_timeout"
    assert said["mib"] < 100


@pytest.mark.parametrize(("exports", "ended"), [(200, "<Sandbox program>"), (900, "compile_memory")])
def test_imports_and_exports_are_bounded(exports, ended, child):
    said, _ = child("wide_interface", exports)
    assert said["ended"] == ended
    assert said["mib"] < 100


def test_compiled_code_is_bounded(child):
    said, _ = child("much_code")
    assert said["ended"] == ">"
    assert "the compiled code takes" in said["said"]


def test_the_defaults_grow_with_the_module():
    timeout, memory = limits_for(0)
    assert limits_for(20 * MIB) == (timeout + 200, memory + 800 * MIB)
    assert limits_for(20 * MIB, None, 5) == (None, 5)
    assert limits_for(20 * MIB, 5.0, None) == (5.0, None)


def test_limits_are_lifted_by_name(processes):
    assert run_wasi(MIDDLE, compile_timeout=None, compile_memory=None, cache=False).exit_code == 0
    assert processes == []
    assert run_wasi(MIDDLE, cache=False).exit_code == 0
    assert len(processes) == 1


def test_small_modules_keep_small_limits(processes):
    assert run_wasi(HELLO, compile_timeout=0.9, compile_memory=None, cache=False).exit_code == 0
    assert run_wasi(HELLO, compile_timeout=None, compile_memory=60 * MIB, cache=False).exit_code == 0
    assert len(processes) == 2
    assert run_wasi(HELLO, cache=False).exit_code == 0
    assert len(processes) == 2


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


# ---- What was compiled is kept


@pytest.fixture
def compiled(monkeypatch):
    """The sizes of what was compiled or loaded from the cache, and not found in memory."""
    sizes = []
    load = WasmModule._load.__func__
    init = WasmModule.__init__
    monkeypatch.setattr(
        WasmModule, "_load", classmethod(lambda cls, *given: sizes.append("loaded") or load(cls, *given))
    )
    monkeypatch.setattr(
        WasmModule, "__init__", lambda self, *given: sizes.append("compiled") or init(self, *given)
    )
    recent.clear()
    yield sizes
    recent.clear()


@pytest.mark.parametrize(("program", "how"), [(HELLO, "compiled"), (MIDDLE, "loaded")])
def test_it_is_compiled_once_whatever_its_size(program, how, compiled, tmp_path):
    for _ in range(3):
        assert run_wasi(program).stdout == b"hello\n"
    assert compiled == [how]
    assert run_wasi(program, fuel=10_000).exit_code == 0  # another engine
    assert compiled == [how] * 2
    assert run_wasi(program, cache=tmp_path).exit_code == 0  # another cache
    assert run_wasi(program, cache=False).exit_code == 0
    assert compiled == [how] * 4
    assert len(ModuleCache(tmp_path)) == (how == "loaded")


def test_a_closed_module_is_not_the_one_that_is_kept(compiled):
    sandbox = Sandbox(HELLO)
    sandbox.module.close()
    assert run_wasi(HELLO).exit_code == 0
    assert len(compiled) == 1


def test_a_closed_engine_is_replaced(compiled):
    sandbox = Sandbox(HELLO)
    sandbox.module.engine.close()
    assert run_wasi(HELLO).exit_code == 0


def test_pools_are_not_kept(compiled):
    pooling = PoolingConfig(total_core_instances=2, total_memories=2, total_tables=2)
    for _ in range(2):
        with Sandbox(HELLO, pooling=pooling) as sandbox:
            assert sandbox.run().exit_code == 0
    assert len(compiled) == 2
    assert len(recent) == 0


def test_the_least_recently_used_go(monkeypatch):
    engine = WasmEngine()
    module = WasmModule(engine, "(module)")
    modules = RecentModules()
    monkeypatch.setattr(RecentModules, "MAX_ENTRIES", 3)
    for digest in "abc":
        modules.put((engine, None, digest), module)
    assert modules.get((engine, None, "a")) is not None
    modules.put((engine, None, "d"), module)
    assert [modules.get((engine, None, digest)) is not None for digest in "abcd"] == [True, False, True, True]
    monkeypatch.setattr(RecentModules, "MAX_SIZE", modules.size - 1)
    modules.put((engine, None, "d"), module)
    assert len(modules) == 2
    monkeypatch.setattr(RecentModules, "MAX_SIZE", 1)
    modules.put((engine, None, "e"), module)
    assert modules.get((engine, None, "e")) is None
    modules.clear()
    assert (len(modules), modules.size) == (0, 0)


def test_a_forked_child_has_none(compiled):
    assert run_wasi(HELLO).exit_code == 0
    assert len(recent) == 1
    pid = os.fork()
    if pid == 0:
        os._exit(len(recent))
    assert os.waitpid(pid, 0)[1] == 0
    assert len(recent) == 1


def test_threads_share_what_is_kept(monkeypatch):
    """No entry is lost for good, and no step meets a dict that another thread changes."""
    monkeypatch.setattr(RecentModules, "MAX_ENTRIES", 4)
    engine, modules, problems = WasmEngine(), RecentModules(), []
    module = WasmModule(engine, '(module (func (export "f")))')

    def work(first):
        try:
            for number in range(first, first + 500):
                key = engine, None, str(number % 7)
                found = modules.get(key)
                assert found is None or len(found.exports) == 1
                modules.put(key, module)
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(modules) <= 4 + len(threads)


def test_a_profile_names_a_copy_once(compiled, tmp_path):
    Sandbox(HELLO)
    sandbox = Sandbox(HELLO)
    recent.clear()
    with sandbox.start() as program, program.store.profile(tmp_path / "p.json"):
        program.exports._start()
    assert (tmp_path / "p.json").stat().st_size > 0


# ---- Memory of the host


@pytest.mark.parametrize("guest", ["memory", "tables", "heap", "exceptions", "output", "all"])
def test_no_guest_takes_more_than_the_worst_case(guest, child):
    said, _ = child("take_all", guest, 64 * MIB)
    assert said["mib"] < said["worst"] + 32
    assert said["worst"] == 64 + 128 + 64
    if guest not in {"exceptions", "output"}:  # it did try
        assert said["mib"] > 10


def test_instances_take_no_more_than_their_stores_may(child):
    said, _ = child("take_instances", 50)
    assert said["ended"] == "50"
    assert said["mib"] < 50 * 2


@pytest.mark.parametrize("heap", ["", "(type (struct))", "(tag)"])
@pytest.mark.parametrize("memory", ["", "(memory 1)"])
def test_the_defaults_stay_below_twice_the_memory(heap, memory):
    sandbox = Sandbox(f"(module {heap} {memory})".encode())
    assert sandbox.worst_case < 2 << 30
    assert Sandbox(b"(module (memory 1))", memory=None).worst_case is None
    assert Sandbox(b"(module (memory 1))", max_output=None).worst_case is None


def test_the_worst_case_of_limits():
    assert StoreLimits().worst_case() is None
    limits = StoreLimits(memory_size=MIB, memories=2, tables=3, table_elements=1000)
    assert limits.worst_case() == 3 * MIB + 48_000
    assert limits.worst_case(heap=False, max_output=10) == 2 * MIB + 48_000 + 40
    assert limits.worst_case(max_output=None) is None
    assert StoreLimits(memories=0, tables=0).worst_case(heap=False) == 0
    large = StoreLimits(memory_size=5 << 30, memories=1, tables=0)
    assert large.worst_case(heap=False) == 10 << 30  # it is moved when it grows


def test_a_heap_and_a_memory_share():
    pages = (
        b'(module (memory (export "memory") 1) %s (func (export "_start") '
        b"(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))))"
    )
    assert run_wasi(pages % b"", memory=MIB).peak_memory == MIB
    assert run_wasi(pages % b"(type (struct))", memory=MIB).peak_memory == MIB // 2


# ---- Traps without signals


def test_a_sandbox_without_signals():
    traps = b'(module (memory (export "memory") 1) (func (export "_start") (drop (i32.load (i32.const -4)))))'
    for signals in (True, False):
        with Sandbox(traps, signals_based_traps=signals) as sandbox:
            assert sandbox.module.engine.config.signals_based_traps is signals
            with pytest.raises(wasmtime_rt.WasmTrap, match="out of bounds"):
                sandbox.run()
        with pytest.raises(wasmtime_rt.WasmTrap, match="out of bounds"):
            run_wasi(traps, signals_based_traps=signals)


def test_the_module_of_an_engine_with_signals_is_refused():
    module = WasmModule(WasmEngine(wasmtime_rt.WasmConfig(epoch_interruption=True)), HELLO)
    with pytest.raises(wasmtime_rt.MisuseError, match="signals_based_traps"):
        Sandbox(module, signals_based_traps=False)


def test_the_child_is_told_by_letters():
    letters = (_elsewhere._DONE, _elsewhere._INVALID, _elsewhere._NO_MEMORY, _elsewhere._REFUSED,
               _elsewhere._TOO_LARGE)  # fmt: skip
    assert len(set(letters)) == len(letters)


# ---- The command line


def test_the_command_line_has_the_limits_of_the_library(monkeypatch, tmp_path):
    given = []

    class Recorded(Sandbox):
        def __init__(self, program, **settings):
            given.append(settings)
            super().__init__(program, **settings)

    monkeypatch.setattr(cli, "Sandbox", Recorded)
    path = tmp_path / "a.wasm"
    path.write_bytes(wat2wasm('(module (memory (export "memory") 1) (func (export "_start")))'))
    assert cli.main(["run", str(path)]) == 0
    lifted = ("--memory=none", "--compile-timeout=none", "--compile-memory=none", "--max-module-size=none")
    assert cli.main(["run", *lifted, str(path)]) == 0
    assert cli.main(["bench", "-n", "1", str(path), "_start"]) == 0
    names = ("timeout", "memory", "compile_timeout", "compile_memory", "max_module_size")
    run, free, bench = ({name: settings.get(name, ...) for name in names} for settings in given)
    assert list(run.values()) == [None, 1 << 30, ..., ..., 128 << 20]
    assert list(free.values()) == [None] * 5
    assert list(bench.values()) == [None, ..., ..., ..., 128 << 20]


@pytest.mark.parametrize("command", ["compile", "inspect"])
def test_other_commands_compile_within_limits(command, tmp_path, capsys):
    path = tmp_path / "bomb.wasm"
    path.write_bytes(compile_bombs.wide_blocks(4096))
    assert cli.main([command, str(path)]) == 1
    assert "compile_memory: compiling took more than" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compile", "inspect", "wat2wasm", "validate"])
def test_other_commands_refuse_large_files(command, tmp_path, capsys):
    path = tmp_path / "a.wat"
    path.write_bytes(b"(module)" + b" " * 2000)
    assert cli.main([command, str(path)]) == 0
    capsys.readouterr()
    assert cli.main([command, "--max-module-size=1k", str(path)]) == 1
    assert "has 2008 bytes, allowed are 1024" in capsys.readouterr().err
