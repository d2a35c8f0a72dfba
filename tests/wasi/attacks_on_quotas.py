"""Attacks on quotas: descriptors, bytes, files, clocks and random numbers, as `WasiConfig` limits them.

Each function is an attack, which `test_attacks.py` runs in a process of its own; its argument is an empty folder.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from attack_tools import (
    BADF,
    CREATE,
    DATA,
    DIRECTORY,
    DQUOT,
    IOVECS,
    MFILE,
    OUT,
    PATH,
    READ,
    SECOND_PATH,
    SUCCESS,
    TRUNCATE,
    WRITE,
    Program,
    files,
)
from guest import OurGuest

from wasmtime_rt import Sandbox, rw

MIB = 1 << 20


class Limited(Program):
    """The guest in a store of its own, whose WASI is made with the options given."""

    def __init__(self, **config: Any) -> None:
        self._guest = OurGuest(**config)
        self.store, self.memory = self._guest.store, self._guest.memory

    def call(self, name: str, *args: int, **options: Any) -> Any:
        return self._guest.call(name, *args)


def bytes_written(folder: Path) -> None:
    """Bytes count in whatever way a guest writes them or makes a file larger."""
    limit = 100_000
    for way in ("fd_write", "fd_pwrite", "several files", "size", "holes", "append", "by another name"):
        (folder / way).mkdir()
        program = Limited(preopens={"/": rw(folder / way)}, max_written=limit)
        fd = program.opened("file", CREATE, READ | WRITE)
        answers = []
        for n in range(40):
            if way == "fd_write":
                answers.append(program.write(fd, b"x" * 4096))
            elif way == "fd_pwrite":
                program.memory.write(DATA, b"x" * 4096)
                arguments = (fd, *program.vectors((DATA, 4096)), 4096 * n, OUT)
                answers.append(-program.call("fd_pwrite", *arguments))
            elif way == "several files":
                other = program.opened(f"file{n}", CREATE, WRITE)
                answers.append(program.write(other, b"x" * 4096))
            elif way == "size":
                answers.append(-program.call("fd_filestat_set_size", fd, 4096 * (n + 1)))
            elif way == "holes":
                arguments = (fd, *program.vectors((DATA, 1)), 4096 * (n + 1) - 1, OUT)
                answers.append(-program.call("fd_pwrite", *arguments))
            elif way == "append":
                again = program.opened("file", 0, WRITE)
                program.call("fd_fdstat_set_flags", again, 1)
                answers.append(program.write(again, b"x" * 4096))
            else:
                again = program.opened("file", TRUNCATE, WRITE)
                answers.append(program.write(again, b"x" * 4096))
        assert answers[0] >= 0, way
        assert answers[-1] == -DQUOT, (way, answers[-1])
        on_disk = sum(file.stat().st_size for file in (folder / way).iterdir())
        assert on_disk <= limit, (way, on_disk)
        assert "max_written" in program.store.exceeded_limits
        assert program.write(1, b"output") == 6, "what is no file has a limit of its own"


def one_write_of_all(folder: Path) -> None:
    """A write that is larger than what is left is cut, and the next one is refused."""
    program = Limited(preopens={"/": rw(folder)}, max_written=1000)
    fd = program.opened("file", CREATE, READ | WRITE)
    assert program.write(fd, b"x" * 4096) == 1000
    assert program.write(fd, b"x") == -DQUOT
    assert program.write(fd, b"") == 0
    assert (folder / "file").stat().st_size == 1000


def files_created(folder: Path) -> None:
    """Files, folders and links count, and removing them gives nothing back."""
    for way in ("files", "folders", "links", "hard links", "removed"):
        (folder / way).mkdir()
        files(folder / way, ["there"])
        program = Limited(preopens={"/": rw(folder / way)}, max_created=10, max_descriptors=100)
        answers = []
        for n in range(20):
            name = program.text(f"n{n}", SECOND_PATH)
            if way in {"files", "removed"}:
                answers.append(min(0, program.open(f"n{n}", CREATE, WRITE)))
                if way == "removed":
                    program.call("path_unlink_file", 3, *program.text(f"n{n}"))
            elif way == "folders":
                answers.append(-program.call("path_create_directory", 3, *name))
            elif way == "links":
                answers.append(-program.call("path_symlink", *program.text("there"), 3, *name))
            else:
                answers.append(-program.call("path_link", 3, 0, *program.text("there"), 3, *name))
        assert answers == [0] * 10 + [-DQUOT] * 10, (way, answers)
        assert len(os.listdir(folder / way)) == (1 if way == "removed" else 11)
        assert program.store.exceeded_limits == ("max_created",)
        assert program.open("there", CREATE, READ | WRITE) > 0, "what exists is not created"


def descriptors_open(folder: Path) -> None:
    """Streams and folders count, closing gives back, and the number is exact."""
    files(folder, ["file"])
    for limit in (4, 5, 64, 200):
        program = Limited(preopens={"/": folder}, max_descriptors=limit)
        opened = []
        while (answer := program.open("file")) >= 0:
            opened.append(answer)
        assert answer == -MFILE
        assert len(opened) == limit - 4
        assert program.open("/", DIRECTORY) < 0
        assert program.store.exceeded_limits == ("max_descriptors",)
        program.call("fd_close", 0)
        assert program.open("file") >= 0
        assert program.open("file") == -MFILE
        program.store.close()
    program = Limited(max_descriptors=3)
    assert program.call("fd_close", 3) == BADF


def a_pool_counts_each_use(folder: Path) -> None:
    """What one use of a pooled instance took, the next one may take again."""
    with (
        Sandbox(_WRITER, cache=False) as sandbox,
        sandbox.pool(mounts={"/": rw(folder)}, max_output=4) as pool,
    ):
        for _ in range(3):
            with pool.take() as program:
                program.call("write")
                assert program.result.stdout == b"data"


_WRITER = rb"""(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\04\00\00\00data")
    (func (export "write") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"""


def coarse_clocks(folder: Path) -> None:
    """With a resolution of a second, no clock tells less than that, not by sleeping or by files either."""
    program = Limited(clock_resolution=1.0, preopens={"/": rw(folder)})
    for clock in (0, 1):
        assert program.call("clock_res_get", clock, OUT) == SUCCESS
        assert program.memory.read_u64(OUT) == 10**9
        assert program.call("clock_time_get", clock, 1, OUT) == SUCCESS
        assert program.memory.read_u64(OUT) % 10**9 == 0
    for clock in (2, 3):
        assert program.call("clock_time_get", clock, 1, OUT) != SUCCESS


def the_same_random_numbers(folder: Path) -> None:
    """A seed decides all random bytes; without one, no two stores get the same."""

    def drawn(sizes: tuple[int, ...], **config: Any) -> bytes:
        program, found = Limited(**config), b""
        for size in sizes:
            assert program.call("random_get", DATA, size) == SUCCESS
            found += program.memory.read(DATA, size)
        return found

    sizes = (8, 1, 16, 0, 1000, 3)
    assert drawn(sizes, random_seed=1) == drawn(sizes, random_seed=1)
    assert drawn(sizes, random_seed=1) != drawn(sizes, random_seed=2)
    seen = {drawn((16,)) for _ in range(200)}
    assert len(seen) == 200
    program = Limited()
    values = set()
    for _ in range(2000):
        assert program.call("random_get", DATA, 16) == SUCCESS
        values.add(program.memory.read(DATA, 16))
    assert len(values) == 2000
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        program.call("random_get", DATA, 16)
        os.write(write, program.memory.read(DATA, 16))
        os._exit(0)
    os.waitpid(pid, 0)
    program.call("random_get", DATA, 16)
    assert os.read(read, 16) != program.memory.read(DATA, 16), "a forked child draws the same"


def nothing_of_the_host_leaks(folder: Path) -> None:
    """Bytes between fields are zero, and numbers of devices, users and descriptors of the host are not told."""
    files(folder, ["file"])
    program = Limited(preopens={"/": folder}, stdin=b"x")
    for fd in (0, 1, 2, 3, program.opened("file")):
        for name, size, holes in (
            ("fd_fdstat_get", 24, ((1, 2), (4, 8))),
            ("fd_filestat_get", 64, ((17, 24),)),
        ):
            program.memory.write(OUT, b"\xaa" * 80)
            assert program.call(name, fd, OUT) == SUCCESS
            data = program.memory.read(OUT, 80)
            assert data[size:] == b"\xaa" * (80 - size), name
            for start, end in holes:
                assert data[start:end].strip(b"\0\xaa") == b"", (name, fd, data[start:end])
    status = os.stat(folder / "file")
    assert program.call("path_filestat_get", 3, 0, *program.text("file"), OUT) == SUCCESS
    device, number = struct.unpack("<QQ", program.memory.read(OUT, 16))
    assert device != status.st_dev
    assert number != status.st_ino
    program.memory.write(0x10000, bytes(48))
    program.memory.write(0x18000, b"\xaa" * 64)
    assert program.call("poll_oneoff", 0x10000, 0x18000, 1, OUT) == SUCCESS
    assert set(program.memory.read(0x18000 + 11, 5)) <= {0, 0xAA}
    assert program.memory.read(0x18000 + 32, 32) == b"\xaa" * 32
    (folder / "absolute").symlink_to(folder / "file")
    answer = program.call("path_readlink", 3, *program.text("absolute", PATH), DATA, 1000, OUT)
    assert answer != SUCCESS, "a link tells where the folder is on the host"
    assert program.call("fd_pread", 1, IOVECS, 0, 0, OUT) != SUCCESS
