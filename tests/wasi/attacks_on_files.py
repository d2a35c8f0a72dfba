"""Attacks on files: a guest sees what is mounted, opens files and folders only, and takes no more than it may.

Each function is an attack, which `test_attacks.py` runs in a process of its own; its argument is an empty folder.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time
from pathlib import Path

from attack_tools import (
    CREATE,
    DATA,
    DIRECTORY,
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
    meanwhile,
    within,
)

from wasmtime_rt import WasmTimeout, rw

#: Seconds that races last; an hour finds more.
SECONDS = float(os.environ.get("WASMTIME_RT_WASI_RACE_SECONDS", "2"))


def open_what_is_no_file(folder: Path) -> None:
    """Pipes, sockets and devices are not opened, and none of them makes a guest wait."""
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("fifo")
    (folder / "chain").symlink_to("link")
    listener = socket.socket(socket.AF_UNIX)
    os.chdir(folder)
    listener.bind("socket")
    names = ["fifo", "link", "chain", "socket", "./fifo", "sub/../fifo"]
    (folder / "sub").mkdir()
    if os.getuid() == 0:
        with contextlib.suppress(PermissionError):
            os.mknod(folder / "zero", 0o666 | 0o020000, os.makedev(1, 5))
            os.mknod(folder / "tty", 0o666 | 0o020000, os.makedev(5, 0))
            names += ["zero", "tty"]
    for mount in (folder, rw(folder)):
        program = Program(mounts={"/": mount}, timeout=2)
        for name in names:
            for oflags in (0, CREATE, TRUNCATE, CREATE | TRUNCATE, DIRECTORY):
                for rights in (READ, WRITE, READ | WRITE, 0):
                    for follow in (0, 1):
                        with within(0):
                            answer = program.open(name, oflags, rights, follow=follow)
                        assert answer < 0, (name, oflags, rights, follow, answer)
        assert program.call("path_filestat_get", 3, 0, *program.text("fifo"), OUT) == SUCCESS
        assert program.call("path_readlink", 3, *program.text("link"), DATA, 100, OUT) == SUCCESS
    for name in ("fifo", "socket"):
        assert (folder / name).exists()


def pipes_that_are_swapped_in(folder: Path) -> None:
    """A thread of the host replaces a file by a pipe and back while guests open it."""
    os.mkfifo(folder / "pipe")
    (folder / "file").write_bytes(b"file")
    turn = [0]

    def swap() -> None:
        turn[0] += 1
        os.link(folder / ("pipe" if turn[0] % 2 else "file"), folder / "next")
        os.rename(folder / "next", folder / "name")

    swap()
    programs = [Program(mounts={"/": folder}, timeout=20) for _ in range(2)]
    opened = [0]

    def attack(program: Program) -> None:
        fd = program.open("name")
        if fd >= 0:
            opened[0] += 1
            assert program.read(fd) == b"file"
            assert program.call("fd_close", fd) == SUCCESS

    with within(SECONDS), meanwhile(swap, *(lambda program=program: attack(program) for program in programs)):
        time.sleep(SECONDS)
    assert opened[0]


def take_all_descriptors(folder: Path) -> None:
    """A guest that opens and opens is refused, and threads of the host open files all the while."""
    (folder / "file").write_bytes(b"data")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    def host() -> None:
        with open(folder / "file", "rb") as file:
            assert file.read() == b"data"

    program = Program(mounts={"/": folder}, timeout=60)
    with meanwhile(host, host):
        answers = [program.open("file") for _ in range(5000)]
    assert -MFILE in answers
    assert answers[0] > 0
    assert sum(answer >= 0 for answer in answers) <= 250
    open_count = len(os.listdir("/proc/self/fd"))
    program.close()
    assert len(os.listdir("/proc/self/fd")) < open_count - 10, "closing a store closes its files"


def take_all_descriptors_by_many_guests(folder: Path) -> None:
    """Guests together leave a reserve for the process."""
    (folder / "file").write_bytes(b"data")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    programs = []
    for _ in range(40):
        try:
            programs.append(Program(mounts={"/": folder}, timeout=60))
        except Exception:  # it may not get its mounts any more
            break
    answers = [program.open("file") for program in programs for _ in range(100)]
    assert -MFILE in answers
    held = [os.open(folder / "file", os.O_RDONLY) for _ in range(20)]
    for descriptor in held:
        os.close(descriptor)
    for program in programs:
        program.close()
    again = Program(mounts={"/": folder}, timeout=60)
    assert again.open("file") > 0, "what closed stores held can be had again"


def descriptors_are_closed(folder: Path) -> None:
    """Closing, replacing and the end of the store leave no descriptor of the host open."""
    (folder / "file").write_bytes(b"data")
    program = Program(mounts={"/": folder}, timeout=60)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3000):
        fd = program.opened("file")
        other = program.opened("file")
        assert program.call("fd_renumber", fd, other) == SUCCESS
        assert program.call("fd_close", other) == SUCCESS
    assert len(os.listdir("/proc/self/fd")) == before


def swap_a_folder_for_a_link_outside(folder: Path) -> None:
    """Threads of the host swap a folder and a link that leads out; a guest never sees what is outside."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "name").write_bytes(b"secret")
    (folder / "inside").mkdir()
    (folder / "inside/name").write_bytes(b"public")
    (folder / "link").symlink_to("../outside")
    (folder / "absolute").symlink_to(outside)

    def swap() -> None:
        for name in ("link", "absolute"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder / "inside", folder / "aside")
                os.rename(folder / name, folder / "inside")
                os.rename(folder / "inside", folder / name)
                os.rename(folder / "aside", folder / "inside")

    program = Program(mounts={"/": rw(folder)}, timeout=600)
    seen = dict.fromkeys(("opened", "refused"), 0)

    def attack() -> None:
        for path in ("inside/name", "inside/../inside/name", "./inside/./name"):
            fd = program.open(path, 0, READ | WRITE)
            if fd < 0:
                seen["refused"] += 1
                continue
            seen["opened"] += 1
            assert program.read(fd) == b"public"
            program.call("fd_close", fd)
        program.call("path_create_directory", 3, *program.text("inside/new"))
        program.call(
            "path_rename", 3, *program.text("inside/new"), 3, *program.text("inside/newer", SECOND_PATH)
        )
        program.call("path_remove_directory", 3, *program.text("inside/newer"))
        created = program.open("inside/created", CREATE, READ | WRITE)
        if created >= 0:
            program.call("fd_close", created)
        program.call("path_unlink_file", 3, *program.text("inside/created"))
        program.call("path_symlink", *program.text("x"), 3, *program.text("inside/symlink", SECOND_PATH))
        program.call("path_unlink_file", 3, *program.text("inside/symlink"))
        program.call(
            "path_link", 3, 0, *program.text("inside/name"), 3, *program.text("inside/hard", SECOND_PATH)
        )
        program.call("path_unlink_file", 3, *program.text("inside/hard"))
        program.call("path_filestat_set_times", 3, 1, *program.text("inside/name"), 1, 1, 5)

    outside_before = outside.stat(), (outside / "name").stat()
    with meanwhile(swap):
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            attack()
    assert seen["opened"]
    assert seen["refused"]
    assert os.listdir(outside) == ["name"]
    assert (outside / "name").read_bytes() == b"secret"
    for before, now in zip(outside_before, (outside.stat(), (outside / "name").stat()), strict=True):
        assert (before.st_mtime_ns, before.st_nlink) == (now.st_mtime_ns, now.st_nlink)


def two_guests_on_one_folder(folder: Path) -> None:
    """One guest swaps a folder for a link out as fast as it can, another one opens through it."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "name").write_bytes(b"secret")
    (folder / "inside").mkdir()
    (folder / "inside/name").write_bytes(b"public")
    (folder / "link").symlink_to("../outside")
    swapper = Program(mounts={"/": rw(folder)}, timeout=600)
    opener = Program(mounts={"/": rw(folder)}, timeout=600)

    def swap() -> None:
        for source, target in (
            ("inside", "aside"),
            ("link", "inside"),
            ("inside", "link"),
            ("aside", "inside"),
        ):
            swapper.call("path_rename", 3, *swapper.text(source), 3, *swapper.text(target, SECOND_PATH))

    opened = 0
    with meanwhile(swap):
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            fd = opener.open("inside/name")
            if fd >= 0:
                opened += 1
                assert opener.read(fd) == b"public"
                opener.call("fd_close", fd)
    assert opened


def links_do_not_lead_out(folder: Path) -> None:
    """Whatever links a guest makes or finds, it reads and writes below its folders."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "file").write_bytes(b"file")
    (folder / "sub").mkdir()
    (folder / "out").symlink_to(outside)
    (folder / "sub/up").symlink_to("../../outside/secret")
    (folder / "proc").symlink_to("/proc/self/root/etc")
    (folder / "fd").symlink_to("/proc/self/fd/0")
    program = Program(mounts={"/": rw(folder)}, timeout=60)
    made = [
        program.call("path_symlink", *program.text(target), 3, *program.text(f"made{n}", SECOND_PATH))
        for n, target in enumerate(
            ("../outside/secret", "..", "sub/../../outside", str(outside / "secret"), "out/secret")
        )
    ]
    assert made[3] != SUCCESS, "an absolute target"
    paths = [f"made{n}{end}" for n in (0, 1, 2, 4) for end in ("", "/secret")]
    paths += ["out/secret", "sub/up", "proc/passwd", "fd", "../outside/secret", "sub/../../outside/secret"]
    paths += [
        "made1/outside/secret",
        str(outside / "secret"),
        "out/../outside/secret",
        "out/..",
        "/proc/self/environ",
    ]
    sub = program.opened("sub", DIRECTORY)
    for path in paths:
        for fd in (3, sub):
            for rights, oflags in ((READ, 0), (WRITE, TRUNCATE), (READ | WRITE, CREATE), (READ, DIRECTORY)):
                if fd == 3 or oflags != CREATE:  # below the other folder, such a name is free
                    assert program.open(path, oflags, rights, fd=fd) < 0, path
            assert program.call("path_filestat_get", fd, 1, *program.text(path), OUT) != SUCCESS, path
            assert program.call("path_unlink_file", fd, *program.text(f"{path}/secret")) != SUCCESS
            for name in ("path_create_directory", "path_remove_directory"):
                assert program.call(name, fd, *program.text(f"{path}/new")) != SUCCESS
            link = (fd, 1, *program.text(path), 3, *program.text("hard", SECOND_PATH))
            assert program.call("path_link", *link) != SUCCESS
            assert (
                program.call("path_rename", fd, *program.text(f"{path}/secret"), 3, SECOND_PATH, 4) != SUCCESS
            )
    assert program.open("../file", fd=sub) < 0, "a descriptor of a folder does not lead to what is above"
    assert (outside / "secret").read_bytes() == b"secret"
    assert os.listdir(outside) == ["secret"]


def nothing_is_written_below_a_read_only_mount(folder: Path) -> None:
    for name in ("ro", "rw"):
        (folder / name / "sub").mkdir(parents=True)
        files(folder / name, ["file", "other"])
        (folder / name / "link").symlink_to("file")
    before = sorted(
        (str(path), path.lstat().st_mtime_ns, path.lstat().st_nlink) for path in (folder / "ro").rglob("*")
    )
    program = Program(mounts={"/ro": folder / "ro", "/rw": rw(folder / "rw")}, timeout=60)
    call, text = program.call, program.text
    assert program.open("file") > 0
    for path in ("file", "new", "link", "sub/new"):
        for oflags in (0, CREATE, TRUNCATE, CREATE | TRUNCATE):
            for rights in (WRITE, READ | WRITE) if oflags == 0 else (READ, WRITE, READ | WRITE, 0):
                fd = program.open(path, oflags, rights)
                assert fd < 0 or (oflags == CREATE and path in {"file", "link"} and rights in {READ, 0}), (
                    path,
                    oflags,
                )
    fd = program.opened("file")
    call("fd_fdstat_set_rights", fd, (1 << 29) - 1, (1 << 29) - 1)
    call("fd_fdstat_set_flags", fd, 1)
    assert program.write(fd, b"x") < 0
    assert call("fd_pwrite", fd, IOVECS, 1, 0, OUT) != SUCCESS
    assert call("fd_filestat_set_size", fd, 0) != SUCCESS
    assert call("fd_allocate", fd, 0, 10) != SUCCESS
    assert call("fd_filestat_set_times", fd, 1, 1, 5) != SUCCESS
    assert call("fd_filestat_set_times", 3, 1, 1, 5) != SUCCESS
    sub = program.opened("sub", DIRECTORY)
    for base, prefix in ((3, ""), (3, "sub/../"), (sub, "")):
        assert call("path_create_directory", base, *text(f"{prefix}made")) != SUCCESS
        assert call("path_symlink", *text("x"), base, *text(f"{prefix}made", SECOND_PATH)) != SUCCESS
        assert program.open("made", CREATE, READ | WRITE, fd=base) < 0
    for name in ("file", "link"):
        assert call("path_unlink_file", 3, *text(name)) != SUCCESS
        assert call("path_filestat_set_times", 3, 0, *text(name), 1, 1, 5) != SUCCESS
    assert call("path_remove_directory", 3, *text("sub")) != SUCCESS
    for source, target in ((3, 3), (3, 4), (4, 3)):
        assert call("path_rename", source, *text("file"), target, *text("renamed", SECOND_PATH)) != SUCCESS
        for flags in (0, 1):
            assert (
                call("path_link", source, flags, *text("other"), target, *text("hard", SECOND_PATH))
                != SUCCESS
            )
    after = sorted(
        (str(path), path.lstat().st_mtime_ns, path.lstat().st_nlink) for path in (folder / "ro").rglob("*")
    )
    assert after == before
    assert sorted(os.listdir(folder / "rw")) == ["file", "link", "other", "sub"]


def a_folder_that_is_gone(folder: Path) -> None:
    """The mounted folder is removed, or replaced by another one, while a guest uses it."""
    mount = folder / "mount"
    mount.mkdir()
    files(mount, ["file"])
    program = Program(mounts={"/": rw(mount)}, timeout=60)
    fd = program.opened("file")
    os.rename(mount, folder / "moved")
    mount.mkdir()
    files(mount, ["other"])
    assert program.open("other") < 0
    assert program.open("file") > 0
    (folder / "moved/file").unlink()
    (folder / "moved").rmdir()
    assert program.read(fd) == b"file"
    assert program.open("file", CREATE, WRITE) < 0
    assert program.call("path_create_directory", 3, *program.text("x")) != SUCCESS
    assert program.call("fd_readdir", 3, DATA, 4096, 0, OUT) == SUCCESS
    assert os.listdir(mount) == ["other"]


def open_while_the_limit_passes(folder: Path) -> None:
    """A guest that opens files without end is ended by its limit, and leaves no descriptor open."""
    files(folder, ["file"])
    program = Program(mounts={"/": folder}, timeout=60)
    program.opened("file")
    program.close()
    before = len(os.listdir("/proc/self/fd"))
    program = Program(mounts={"/": folder}, timeout=60)
    ended = 0
    for _ in range(300_000):  # the time is looked at every 10 milliseconds
        try:
            program.call("path_open", 3, 1, *program.text("file"), 0, READ, 0, 0, OUT, timeout=1e-5)
        except WasmTimeout:
            ended += 1
        if ended == 10:
            break
    program.close()
    assert ended
    assert len(os.listdir("/proc/self/fd")) <= before


def paths_that_are_long_or_deep(folder: Path) -> None:
    """Long paths and chains of links are refused, in little time."""
    for n in range(60):
        (folder / f"l{n + 1}").symlink_to(f"l{n}")
    files(folder, ["l0"])
    deep = folder
    program = Program(mounts={"/": rw(folder)}, timeout=20)
    for _ in range(50):
        deep /= "d" * 100
    assert program.open("l10") > 0
    assert program.open("l60") < 0
    with within(1):
        for path in (
            b"x/" * 30000,
            b"x" * 60000,
            b"./" * 30000,
            b"../" * 20000,
            b"l1/" * 20000,
            b"/" * 60000,
        ):
            for name in ("path_create_directory", "path_remove_directory", "path_unlink_file"):
                assert program.call(name, 3, *program.text(path)) != SUCCESS
            assert program.open(path, CREATE, WRITE) < 0
    made, fd = 0, 3
    with contextlib.suppress(AssertionError):
        for _ in range(40):  # a folder whose path is longer than the system takes
            assert program.call("path_create_directory", fd, *program.text("d" * 200)) == SUCCESS
            fd = program.opened("d" * 200, DIRECTORY, fd=fd)
            made += 1
    assert made > 20
    assert program.open("file", CREATE, WRITE, fd=fd) > 0


def threads_share_nothing(folder: Path) -> None:
    """Many guests on many threads open, list, write and remove in one folder at once."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            program = Program(mounts={"/": rw(folder)}, timeout=60)
            for turn in range(60):
                name = f"file-{number}-{turn % 3}"
                fd = program.opened(name, CREATE | TRUNCATE, READ | WRITE)
                assert program.write(fd, name.encode()) == len(name)
                assert program.call("fd_seek", fd, 0, 0, OUT) == SUCCESS
                assert program.read(fd) == name.encode()
                assert program.call("fd_readdir", 3, DATA, 4096, 0, OUT) == SUCCESS
                assert program.call("path_unlink_file", 3, *program.text(name, PATH)) == SUCCESS
                assert program.call("fd_close", fd) == SUCCESS
            program.close()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert os.listdir(folder) == []
