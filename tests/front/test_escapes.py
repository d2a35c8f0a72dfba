"""Programs that try to get out of their folders, or to take more than they may: each is stopped."""

import os
import struct
import threading

import pytest
from front_programs import FLOOD, GROW, SPIN, calls, program, sleeps

from wasmtime_rt import (
    LimitError,
    LinkError,
    OutOfFuelError,
    Sandbox,
    WasmTimeout,
    WasmTrap,
    run_wasi,
    rw,
)

READ, WRITE, ALL = 1 << 1, 1 << 6, (1 << 30) - 1
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
FOLLOW = 1
FOLDER = 3  # the first folder's descriptor

FILES = calls(
    *("fd_read", "fd_write", "path_open", "path_symlink", "path_rename", "path_link", "path_unlink_file"),
    *("path_create_directory", "path_readlink", "path_filestat_get"),
)


@pytest.fixture
def tree(tmp_path):
    """A secret, and beside it a folder with a file and with links that lead out."""
    (tmp_path / "secret.txt").write_text("secret")
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (inside / "a.txt").write_text("content")
    (inside / "link").symlink_to(tmp_path / "secret.txt")
    (inside / "relative").symlink_to("../secret.txt")
    (inside / "out").symlink_to(tmp_path)
    (inside / "deep" / "up").symlink_to("../../secret.txt")
    (inside / "loop").symlink_to("loop")
    return tmp_path


class Program:
    """A library with a folder, and short ways to its functions."""

    def __init__(self, mounts):
        self.alive = Sandbox(FILES).start(mounts=mounts)
        self.memory = self.alive.exports.memory

    def text(self, at, text):
        self.memory.write(at, text.encode())
        return at, len(text.encode())

    def open(self, name, flags=0, rights=READ, follow=FOLLOW, folder=FOLDER):
        at, size = self.text(4096, name)
        errno = self.alive.call("path_open", folder, follow, at, size, flags, rights, rights, 0, 16)
        return errno, self.memory.read_u32(16)

    def read(self, fd):
        self.memory.write(0, struct.pack("<II", 8192, 100))
        errno = self.alive.call("fd_read", fd, 0, 1, 8)
        return errno, self.memory.read(8192, self.memory.read_u32(8) if not errno else 0)

    def two(self, function, first, second, folder=FOLDER):
        a, b = self.text(4096, first), self.text(6000, second)
        if function == "path_symlink":
            return self.alive.call(function, *a, folder, *b)
        if function == "path_link":
            return self.alive.call(function, folder, 0, *a, folder, *b)
        return self.alive.call(function, folder, *a, folder, *b)

    def one(self, function, name, *before):
        return self.alive.call(function, FOLDER, *before, *self.text(4096, name))


@pytest.fixture(params=["read-only", "writable"])
def guest(request, tree):
    folder = tree / "inside"
    made = Program({"/data": rw(folder) if request.param == "writable" else folder})
    yield made
    made.alive.close()


def untouched(tree):
    assert (tree / "secret.txt").read_text() == "secret"
    assert sorted(os.listdir(tree)) == ["inside", "secret.txt"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "deep/../../secret.txt",
        "./../secret.txt",
        "deep/../deep/../../secret.txt",
        "../inside/../secret.txt",
        "link",
        "relative",
        "out/secret.txt",
        "deep/up",
        "loop",
        "..",
        "../",
        "/etc/passwd",
        "//etc/passwd",
        "/data/a.txt",
        "\\..\\secret.txt",
        "",
        "a.txt/../../secret.txt",
        "..\0/secret.txt",
        "a.txt\0",
    ],
)
def test_no_name_leads_out(guest, tree, name):
    for flags, rights in (
        (0, READ),
        (0, WRITE),
        (CREATE, WRITE),
        (TRUNCATE, WRITE),
        (DIRECTORY, READ),
        (0, ALL),
    ):
        errno, fd = guest.open(name, flags, rights)
        if not errno:  # a new file of that very name, in the folder
            assert (fd > FOLDER, name) == (True, "\\..\\secret.txt")
    untouched(tree)


def test_an_absolute_path_leads_nowhere(guest, tree):
    assert guest.open(str(tree / "secret.txt"))[0] != 0
    assert guest.open(str(tree / "inside" / "a.txt"))[0] != 0
    errno, fd = guest.open("a.txt")
    assert errno == 0
    assert guest.read(fd) == (0, b"content")


def test_only_the_folders_are_open(guest):
    for fd in (4, 5, 100, 2**31 - 1):
        assert guest.open("a.txt", folder=fd)[0] != 0
        assert guest.read(fd)[0] != 0


def test_links_that_the_program_makes_do_not_lead_out(tree):
    guest = Program({"/": rw(tree / "inside")})
    for target in ("../secret.txt", "../", str(tree / "secret.txt"), "deep/../../secret.txt"):
        made = guest.two("path_symlink", target, "mine") == 0
        assert guest.open("mine")[0] != 0
        assert guest.open("mine/secret.txt")[0] != 0
        if guest.two("path_link", "mine", "hard") == 0:  # a second name of the link, not of what it names
            assert (tree / "inside" / "hard").is_symlink()
            assert guest.open("hard")[0] != 0
        if made:
            assert guest.one("path_unlink_file", "mine") == 0
        (tree / "inside" / "hard").unlink(missing_ok=True)
    for function in ("path_link", "path_rename"):
        assert guest.two(function, "a.txt", "../stolen.txt") != 0
        assert guest.two(function, "../secret.txt", "stolen.txt") != 0
    assert guest.one("path_create_directory", "../made") != 0
    assert guest.one("path_unlink_file", "../secret.txt") != 0
    untouched(tree)


def test_a_read_only_folder_is_read_only(tree):
    guest = Program({"/data": tree / "inside"})
    before = sorted(path.name for path in (tree / "inside").iterdir())
    for flags in (0, CREATE, TRUNCATE, CREATE | TRUNCATE, CREATE | EXCLUSIVE):
        for name in ("a.txt", "new.txt"):
            assert guest.open(name, flags, WRITE)[0] != 0
            assert guest.open(name, flags, READ | WRITE)[0] != 0
    assert guest.open("new.txt", CREATE, READ)[0] != 0
    assert guest.open("a.txt", TRUNCATE, READ)[0] != 0
    for function in ("path_symlink", "path_rename", "path_link"):
        assert guest.two(function, "a.txt", "b.txt") != 0
    assert guest.one("path_create_directory", "made") != 0
    assert guest.one("path_unlink_file", "a.txt") != 0
    errno, fd = guest.open("a.txt", 0, ALL)
    if not errno:  # opened all the same, but not for writing
        guest.memory.write(0, struct.pack("<II", 8192, 5))
        assert guest.alive.call("fd_write", fd, 0, 1, 8) != 0
    assert sorted(path.name for path in (tree / "inside").iterdir()) == before
    assert (tree / "inside" / "a.txt").read_text() == "content"


def test_a_writable_folder_does_not_make_another_writable(tree):
    (tree / "inside" / "results").mkdir()
    guest = Program({"/in": tree / "inside", "/out": rw(tree / "inside" / "results")})
    writable = [fd for fd in (3, 4) if guest.open("new.txt", CREATE, WRITE, folder=fd)[0] == 0]
    assert len(writable) == 1
    assert (tree / "inside" / "results" / "new.txt").exists()
    assert not (tree / "inside" / "new.txt").exists()


# ---- Taking more than there is


def test_a_flood_of_output_is_cut():
    result = run_wasi(FLOOD, max_output=1000)
    assert (len(result.stdout), result.truncated) == (1000, ("stdout",))


def test_a_memory_bomb_gets_what_it_may():
    result = run_wasi(GROW, memory=1 << 20)
    assert result.exit_code == 7  # what this program says when it gets no more
    assert result.peak_memory <= 1 << 20


def test_a_memory_bomb_at_the_start_is_refused():
    with pytest.raises(LimitError) as caught:
        run_wasi(program("", memory="65536"), memory=1 << 20)
    assert caught.value.limit == "memory"


def test_a_fuel_bomb_is_ended():
    with pytest.raises(OutOfFuelError):
        run_wasi(SPIN, fuel=1_000_000)


@pytest.mark.parametrize("bomb", [SPIN, sleeps(2**62)], ids=["spin", "sleep"])
def test_a_time_bomb_is_ended(bomb):
    with pytest.raises(WasmTimeout):
        run_wasi(bomb, timeout=0.05)


def test_a_bomb_in_the_start_function_is_ended():
    source = b"""(module (memory (export "memory") 1) (func $spin (loop $again (br $again))) (start $spin)
        (func (export "_start")))"""
    with pytest.raises(WasmTimeout):
        run_wasi(source, timeout=0.05)


def test_a_bomb_in_the_initialisation_is_ended():
    source = b'(module (func (export "_initialize") (loop $again (br $again))))'
    with pytest.raises(WasmTimeout):
        Sandbox(source, timeout=0.05).start()


def test_there_are_no_processes_threads_and_sockets():
    for module, name, params in (
        ("wasi", "thread-spawn", "i32"),
        ("wasi_snapshot_preview1", "fork", ""),
        ("wasi_snapshot_preview1", "sock_open", "i32 i32 i32"),
    ):
        source = f"""(module (import "{module}" "{name}" (func (param {params}) (result i32)))
            (func (export "_start")))"""
        with pytest.raises(LinkError, match=name):
            run_wasi(source.encode())


@pytest.mark.parametrize("count", [0, 4097, 0x7FFFFFFF, 0xFFFFFFFF])
def test_waiting_for_too_much_is_an_error(count):
    alive = Sandbox(calls("poll_oneoff")).start()
    assert alive.call("poll_oneoff", 0, 0, count, 0) == 28


@pytest.mark.parametrize("place", [65536 - 20, 65535, 0x7FFFFFFF, 0xFFFFFFFF])
def test_waiting_outside_of_the_memory_is_an_error(place):
    alive = Sandbox(calls("poll_oneoff", "clock_time_get")).start()
    for name, arguments in (
        ("poll_oneoff", (place, 0, 1, 100)),
        ("poll_oneoff", (1000, place, 1, 100)),
        ("clock_time_get", (0, 0, 65529)),
    ):
        with pytest.raises(WasmTrap, match="Pointer (out of bounds|not aligned)"):
            alive.call(name, *arguments)
    assert alive.call("clock_time_get", 2, 0, 0) == 8
    assert alive.call("clock_time_get", 7, 0, 0) == 28


def test_bombs_on_threads_do_not_disturb_each_other():
    ended = []
    sandbox = Sandbox(SPIN)

    def run(seconds):
        try:
            sandbox.run(timeout=seconds)
        except WasmTimeout as error:
            ended.append((seconds, error.result.duration))

    threads = [threading.Thread(target=run, args=(seconds,)) for seconds in (0.05, 0.2, 0.5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 3
    assert all(lasted >= seconds for seconds, lasted in ended)
