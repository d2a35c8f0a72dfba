"""The cache of compiled modules: what is found, what is not, and what is never trusted."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wasmtime_rt
from wasmtime_rt import (
    CompileError,
    ModuleCache,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    wat2wasm,
)

ANSWER = '(module (func (export "f") (result i32) (i32.const 42)))'
OTHER = '(module (func (export "f") (result i32) (i32.const 43)))'


@pytest.fixture
def cache(tmp_path):
    return ModuleCache(tmp_path / "deep" / "cache")


@pytest.fixture
def compiled(monkeypatch):
    """The modules that were compiled, not loaded."""
    made, init = [], WasmModule.__init__

    def count(self, engine, source):
        made.append(source)
        init(self, engine, source)

    monkeypatch.setattr(WasmModule, "__init__", count)
    return made


def answer(module):
    return WasmInstance(WasmStore(module.engine), module).call("f")


def entries(cache):
    return sorted(Path(cache.folder).iterdir())


def only(cache):
    (entry,) = entries(cache)
    return entry


def test_a_module_is_compiled_once(engine, cache, compiled):
    for _ in range(3):
        assert answer(cache.load(engine, ANSWER)) == 42
    assert answer(cache.load(WasmEngine(), wat2wasm(ANSWER))) == 42  # however it is spelled, whatever engine
    assert len(compiled) == 1
    assert len(cache) == 1
    assert cache.size == only(cache).stat().st_size


def test_load_takes_a_path_bytes_or_text(engine, tmp_path, compiled):
    path = tmp_path / "answer.wasm"
    path.write_bytes(wat2wasm(ANSWER))
    for source in (path, path.read_bytes(), ANSWER):
        assert answer(WasmModule.load(engine, source, cache=tmp_path / "cache")) == 42
    assert len(compiled) == 1


def test_the_cache_may_be_chosen_or_left_out(engine, cache_folder, cache, compiled):
    WasmModule.load(engine, ANSWER, cache=False)
    assert list(cache_folder.iterdir()) == []
    WasmModule.load(engine, ANSWER)
    assert len(list(cache_folder.iterdir())) == 1
    WasmModule.load(engine, ANSWER, cache=cache)
    assert len(cache) == 1
    assert len(compiled) == 3


def test_settings_are_part_of_the_name(engine, cache, compiled):
    for config in (WasmConfig(), WasmConfig(consume_fuel=True), WasmConfig(max_wasm_stack=1 << 20)):
        cache.load(WasmEngine(config), ANSWER)
    assert len(compiled) == len(cache) == 2  # the stack's size is nothing that code depends on


def test_what_is_cached_is_told(engine, cache):
    assert not cache.is_cached(engine, ANSWER)
    cache.load(engine, ANSWER)
    assert cache.is_cached(engine, ANSWER)
    assert not cache.is_cached(engine, OTHER)
    cache.clear()
    assert (len(cache), cache.size, cache.is_cached(engine, ANSWER)) == (0, 0, False)


def test_folder_and_files_are_private(engine, cache):
    cache.load(engine, ANSWER)
    assert stat.S_IMODE(os.stat(cache.folder).st_mode) == 0o700
    assert stat.S_IMODE(only(cache).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"x",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
        lambda data: b"\0asm" + data[4:],
        lambda data: os.urandom(len(data)),
    ],
    ids=["empty", "cut", "half", "longer", "first byte", "one bit", "wasm", "random"],
)
def test_a_damaged_entry_is_compiled_again_and_replaced(engine, cache, compiled, damage):
    cache.load(engine, ANSWER)
    whole = only(cache).read_bytes()
    only(cache).write_bytes(damage(whole))
    assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == 2
    assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == 2
    assert len(only(cache).read_bytes()) == len(whole)


def test_an_entry_with_something_else_inside_is_not_believed(engine, cache, compiled):
    cache.load(engine, ANSWER)
    mine = only(cache)
    cache.load(engine, OTHER)
    (other,) = set(entries(cache)) - {mine}
    mine.write_bytes(other.read_bytes())
    assert answer(cache.load(engine, ANSWER)) == 42
    mine.write_bytes(WasmModule(engine, ANSWER).serialize())  # which does not say what it was made of
    before = len(compiled)
    assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == before + 1


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_not_used(engine, cache, compiled, mode):
    cache.load(engine, ANSWER)
    os.chmod(cache.folder, mode)
    assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == 2
    assert not cache.is_cached(engine, ANSWER)


def test_an_entry_that_others_may_write_is_not_used(engine, cache, compiled):
    cache.load(engine, ANSWER)
    only(cache).chmod(0o622)
    assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == 2
    assert stat.S_IMODE(only(cache).stat().st_mode) == 0o600  # replaced


def test_an_entry_that_is_a_link_or_a_folder_is_not_used(engine, cache, compiled, tmp_path):
    cache.load(engine, ANSWER)
    entry, elsewhere = only(cache), tmp_path / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)
    assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == 2
    assert not entry.is_symlink()
    entry.unlink()
    entry.mkdir()
    assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == 3


def test_a_cache_that_cannot_be_used_is_no_error(engine, tmp_path, compiled):
    file = tmp_path / "file"
    file.write_text("no folder")
    for folder in (file, file / "below", "/proc/nowhere"):
        broken = ModuleCache(folder)
        assert answer(broken.load(engine, ANSWER)) == 42
        assert (len(broken), broken.size, broken.is_cached(engine, ANSWER)) == (0, 0, False)
        broken.clear()
    assert len(compiled) == 3


def test_what_is_wrong_with_the_source_is_an_error(engine, cache):
    with pytest.raises(CompileError):
        cache.load(engine, b"\0asm\1\0\0\0garbage")
    with pytest.raises(FileNotFoundError):
        cache.load(engine, Path("/nowhere.wasm"))
    with pytest.raises(TypeError):
        cache.load(engine, 5)
    with pytest.raises(ValueError, match="max_size: expected 0 or more"):
        ModuleCache(max_size=-1)
    with pytest.raises(ValueError, match="folder: a path has no NUL"):
        ModuleCache("a\0b")
    for wrong in ({"max_size": None}, {"max_size": True}, {"max_size": 1.5}, {"folder": 5}):
        with pytest.raises(TypeError, match=r"expected (an int|str, bytes or os\.PathLike)"):
            ModuleCache(**wrong)
    assert len(cache) == 0


def numbered(n):
    return f'(module (func (export "f") (result i32) (i32.const {n})))'


def test_the_least_recently_used_go_first(engine, tmp_path):
    cache = ModuleCache(tmp_path / "cache")
    cache.load(engine, numbered(0))
    one = cache.size
    cache.max_size = 3 * one + one // 2
    old = time.time() - 1000
    for n in (1, 2):
        cache.load(engine, numbered(n))
    for i, entry in enumerate(entries(cache)):
        os.utime(entry, (old + i, old + i))
    cache.load(engine, numbered(0))  # used: the newest now
    cache.load(engine, numbered(3))
    assert len(cache) == 3
    assert cache.is_cached(engine, numbered(0))
    assert cache.is_cached(engine, numbered(3))
    assert cache.size <= cache.max_size


def test_what_is_larger_than_the_cache_is_not_kept(engine, tmp_path):
    cache = ModuleCache(tmp_path / "cache", max_size=10)
    assert answer(cache.load(engine, ANSWER)) == 42
    assert entries(cache) == []


def test_temporary_files_of_the_dead_go(engine, cache):
    cache.load(engine, ANSWER)
    folder = Path(cache.folder)
    abandoned, busy, others = (folder / f"{name * 32}.writing" for name in "abx")
    for path in (abandoned, busy, others):
        path.write_text("half")
    for path in (abandoned, others):
        os.utime(path, (1, 1))
    cache.load(engine, OTHER)
    assert not abandoned.exists()
    assert busy.exists()
    assert others.exists()


def test_modules_outlive_their_entries(engine, cache):
    cache.load(engine, ANSWER)
    module = cache.load(engine, ANSWER)
    cache.clear()
    assert answer(module) == 42
    assert answer(WasmModule.deserialize(engine, module.serialize())) == 42


# ---- Where it is


@pytest.mark.parametrize("off", ["off", "0", "no", "NONE"])
def test_the_environment_turns_it_off(engine, monkeypatch, compiled, off):
    monkeypatch.setenv("WASMTIME_RT_CACHE", off)
    cache = ModuleCache()
    assert cache.folder is None
    assert repr(cache) == "<ModuleCache off>"
    for _ in range(2):
        assert answer(cache.load(engine, ANSWER)) == 42
    assert len(compiled) == 2
    assert (len(cache), cache.size, cache.is_cached(engine, ANSWER)) == (0, 0, False)


def test_the_platform_says_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("WASMTIME_RT_CACHE", str(tmp_path))
    assert ModuleCache().folder == str(tmp_path)
    monkeypatch.delenv("WASMTIME_RT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert ModuleCache().folder == str(tmp_path / "xdg" / "wasmtime_rt")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the convention says to ignore
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert ModuleCache().folder == str(tmp_path / "home" / ".cache" / "wasmtime_rt")
    assert ModuleCache(tmp_path / "chosen").folder == str(tmp_path / "chosen")


# ---- Several processes

WORKER = """
import sys
from wasmtime_rt import *
cache, engine = ModuleCache(sys.argv[1], max_size=int(sys.argv[2])), WasmEngine()
for round in range(40):
    n = round % 5
    source = f'(module (func (export "f") (result i32) (i32.const {n})))'
    assert WasmInstance(WasmStore(engine), cache.load(engine, source)).call("f") == n
    if round % 13 == 7:
        cache.clear()
"""


@pytest.mark.parametrize("max_size", [1 << 30, 100_000])
def test_processes_share_a_folder(tmp_path, max_size):
    environment = {**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent)}
    command = [sys.executable, "-c", WORKER, str(tmp_path / "cache"), str(max_size)]
    running = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    cache = ModuleCache(tmp_path / "cache")
    assert all(path.suffix == ".cwasm" for path in Path(cache.folder).iterdir())
    assert cache.size <= max_size
