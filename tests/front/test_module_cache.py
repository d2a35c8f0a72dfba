"""The cache of compiled modules: what is found, what is not, and what is never trusted."""

import grp
import os
import pwd
import shutil
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
    WasiConfig,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    rw,
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


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
OTHER_USER = 12345


def unusable(engine, cache, why):
    """Whether the cache is as good as an empty one, and says why."""
    assert why in cache.problem
    assert (len(cache), cache.size, cache.is_cached(engine, ANSWER)) == (0, 0, False)
    assert answer(cache.load(engine, ANSWER)) == 42
    cache.clear()
    return True


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(engine, cache, compiled, mode):
    cache.load(engine, ANSWER)
    assert cache.problem is None
    os.chmod(cache.folder, mode)
    assert unusable(engine, cache, "other users may write this folder")
    assert len(compiled) == 2
    assert entries(cache)  # clear() left them


@pytest.mark.parametrize("mode", [0o702, 0o777])
def test_every_folder_above_counts(engine, tmp_path, mode):
    cache = ModuleCache(tmp_path / "a" / "b" / "cache")
    cache.load(engine, ANSWER)
    for above in (tmp_path / "a" / "b", tmp_path / "a"):
        above.chmod(mode)
        assert unusable(engine, cache, f"'{above}'")
        above.chmod(mode | stat.S_ISVTX)  # as /tmp
        assert len(cache) == 1
        above.chmod(0o700)
        assert len(cache) == 1


def test_nothing_is_made_where_others_may_write(engine, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert unusable(engine, ModuleCache(tmp_path / "open" / "a" / "cache"), "other users may write")
    assert list((tmp_path / "open").iterdir()) == []


def test_looking_at_a_cache_makes_nothing(engine, cache):
    assert (len(cache), cache.size, cache.problem, cache.is_cached(engine, ANSWER)) == (0, 0, None, False)
    cache.clear()
    assert not Path(cache.folder).parent.exists()


def test_folders_that_are_made_are_private_whatever_the_umask(engine, cache):
    before = os.umask(0)
    try:
        cache.load(engine, ANSWER)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (Path(cache.folder).parent, only(cache))] == [
        0o700,
        0o600,
    ]


@as_root
def test_what_belongs_to_another_user_is_not_used(engine, tmp_path, compiled):
    cache = ModuleCache(tmp_path / "a" / "cache")
    cache.load(engine, ANSWER)
    entry = only(cache)
    os.chown(entry, OTHER_USER, -1)
    assert answer(cache.load(engine, ANSWER)) == 42
    assert (len(compiled), only(cache).stat().st_uid) == (2, 0)  # replaced
    for folder in (Path(cache.folder), tmp_path / "a"):  # as root's cache in the home of a user
        os.chown(folder, OTHER_USER, -1)
        assert unusable(engine, cache, f"it belongs to user {OTHER_USER}")
        os.chown(folder, 0, -1)
    assert len(cache) == 1


def test_a_folder_of_the_users_own_group_counts_as_private(engine, tmp_path, monkeypatch):
    cache = ModuleCache(tmp_path / "a" / "cache")
    cache.load(engine, ANSWER)
    (tmp_path / "a").chmod(0o770)
    user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid((tmp_path / "a").stat().st_gid)
    for members, usable in (([], True), ([user.pw_name], True), (["mallory"], False)):
        known = grp.struct_group((user.pw_name, "x", user.pw_gid, members))
        monkeypatch.setattr(grp, "getgrgid", lambda _, known=known: known)
        assert (cache.problem is None) == (usable and group.gr_gid == user.pw_gid)
    known = grp.struct_group(("users", "x", user.pw_gid, []))
    monkeypatch.setattr(grp, "getgrgid", lambda _: known)
    assert cache.problem is not None
    os.chmod(cache.folder, 0o770)  # the cache itself is for its owner alone
    monkeypatch.undo()
    assert cache.problem is not None


@as_root
@pytest.mark.skipif(shutil.which("setfacl") is None, reason="needs setfacl")
def test_an_access_control_list_counts(engine, tmp_path):
    cache = ModuleCache(tmp_path / "a" / "cache")
    cache.load(engine, ANSWER)
    if subprocess.run(["setfacl", "-m", f"u:{OTHER_USER}:rwx", tmp_path / "a"], check=False).returncode:
        pytest.skip("the file system has no access control lists")
    assert "other users may write" in cache.problem


def test_links_are_followed_if_all_on_the_way_is_private(engine, tmp_path, compiled):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "far").symlink_to(tmp_path / "link" / "cache")
    cache = ModuleCache(tmp_path / "link" / "cache")
    cache.load(engine, ANSWER)
    assert len(ModuleCache(tmp_path / "far")) == 1
    (tmp_path / "real").chmod(0o777)
    for path in ("link/cache", "far", "real/cache"):
        assert unusable(engine, ModuleCache(tmp_path / path), "other users may write")
    (tmp_path / "real").chmod(0o700)
    (tmp_path / "loop").symlink_to("loop")
    assert unusable(engine, ModuleCache(tmp_path / "loop"), "symbolic links")
    assert unusable(engine, ModuleCache(f"/proc/self/cwd/{tmp_path}"), "/proc")


@as_root
def test_a_link_of_another_user_is_not_followed(engine, tmp_path):
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    (tmp_path / "mine").mkdir(mode=0o700)
    link = tmp_path / "sticky" / "cache"
    link.symlink_to(tmp_path / "mine")
    assert ModuleCache(link).problem is None
    os.chown(link, OTHER_USER, -1, follow_symlinks=False)
    assert unusable(engine, ModuleCache(link), f"it belongs to user {OTHER_USER}")


def test_a_folder_that_is_swapped_after_it_was_checked_is_not_used(engine, cache, tmp_path, monkeypatch):
    cache.load(engine, ANSWER)
    folder, swapped, read = Path(cache.folder), tmp_path / "swapped", ModuleCache._read
    swapped.mkdir()
    for path in entries(cache):
        (swapped / path.name).write_bytes(b"planted")

    def swap(self, *arguments):
        folder.rename(tmp_path / "aside")
        folder.symlink_to(swapped)
        return read(self, *arguments)

    monkeypatch.setattr(ModuleCache, "_read", swap)
    assert answer(cache.load(engine, ANSWER)) == 42
    assert only(cache).read_bytes() == b"planted"


def test_clear_and_shrinking_leave_the_files_of_others(engine, cache):
    cache.load(engine, ANSWER)
    folder, name = Path(cache.folder), "a" * 64
    others = [folder / other for other in ("my.cwasm", "notes", f"{name}.cwasm.bak", f"{name.upper()}.cwasm")]
    for path in others:
        path.write_text("mine")
        os.utime(path, (1, 1))
    (folder / f"{name}.cwasm").mkdir()
    (folder / f"{'b' * 64}.cwasm").symlink_to(others[0])
    assert len(cache) == 1
    cache.max_size = 1
    cache.load(engine, OTHER)
    cache.max_size = 20_000
    cache.load(engine, OTHER)
    cache.clear()
    assert len(cache) == 0
    assert [path.read_text() for path in others] == ["mine"] * 4
    assert len(entries(cache)) == 6


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
    for folder in (
        file,
        file / "below",
        "/proc/nowhere",
        "/dev/null",
        tmp_path / ("x" * 300),
        tmp_path / "\udc80\ud800",
    ):
        broken = ModuleCache(folder)
        assert answer(broken.load(engine, ANSWER)) == 42
        assert (len(broken), broken.size, broken.is_cached(engine, ANSWER)) == (0, 0, False)
        broken.clear()
    assert len(compiled) == 6


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
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for odd in ("relative", "", ".", "~/x"):  # which the convention says to ignore
        monkeypatch.setenv("XDG_CACHE_HOME", odd)
        assert ModuleCache().folder == str(tmp_path / "home" / ".cache" / "wasmtime_rt")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert ModuleCache().folder == str(tmp_path / "home" / ".cache" / "wasmtime_rt")
    assert ModuleCache(tmp_path / "chosen").folder == str(tmp_path / "chosen")


def test_an_odd_home_is_the_one_of_the_system(monkeypatch):
    for name in ("WASMTIME_RT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HOME")
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert ModuleCache().folder == os.path.join(home, ".cache", "wasmtime_rt")
    for odd in ("relative", ".", "", " "):
        monkeypatch.setenv("HOME", odd)
        assert ModuleCache().folder == os.path.join(home, ".cache", "wasmtime_rt")

    def unknown(_):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert ModuleCache().folder is None


@pytest.mark.parametrize("relative", ["cache", "./cache", "../cache", "~/cache", " /cache"])
def test_a_relative_path_in_the_environment_is_off(engine, monkeypatch, tmp_path, relative):
    # It would load machine code from wherever the program is started: from a repository, for example.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WASMTIME_RT_CACHE", relative)
    assert ModuleCache().folder is None
    assert answer(WasmModule.load(engine, ANSWER)) == 42
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("above", [False, True])
def test_a_program_may_not_write_the_folder_of_the_cache(cache_folder, tmp_path, above):
    mounts = {"/m": rw(cache_folder.parent if above else cache_folder)}
    with pytest.raises(ValueError, match="mounts: the program could write .* which holds the code cache"):
        WasmStore(WasmEngine(), wasi=WasiConfig(preopens=mounts))
    chosen = ModuleCache(tmp_path / "chosen" / "cache")  # which may not be there yet
    (tmp_path / "chosen").mkdir()
    with pytest.raises(ValueError, match=f"which holds the code cache '{chosen.folder}'"):
        WasmStore(WasmEngine(), wasi=WasiConfig(preopens={"/m": rw(tmp_path / "chosen")}))
    (tmp_path / "other").mkdir()
    read_only = {"/r": tmp_path, "/w": rw(tmp_path / "other")}
    WasmStore(WasmEngine(), wasi=WasiConfig(preopens=read_only))


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
