"""Random sequences of WASI calls, given to this package's functions and to the engine's, and what differs.

Each side has a folder of its own with equal contents. After each call the errno, the values that the call returned
and the whole memory are compared, and after each sequence the folders and the outputs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import stat
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from guest import SIGNATURES, SIZE, EngineGuest, Guest, OurGuest
from old_system import refuse_openat2

from wasmtime_rt import rw

# Where things lie in the guest's memory.
IOVECS, OUT, PATH_1, PATH_2, DATA, BUFFER, SUBS, EVENTS = (
    0x100,
    0x800,
    0x1000,
    0x4000,
    0x8000,
    0xA000,
    0x10000,
    0x18000,
)

READ, SEEK, WRITE, READDIR = 1 << 1, 1 << 2, 1 << 6, 1 << 14
ALL_RIGHTS = (1 << 30) - 1
SUCCESS, ACCES, BADF, INTR, INVAL, IO, NOMEM, PERM = 0, 2, 8, 27, 28, 29, 48, 63
#: A time of the files in both folders, which no clock gives any more.
OLD = 1_000_000_000
RECENT = 1_500_000_000_000_000_000

#: Functions that change nothing: a sequence goes on after a call of one of these with an odd argument.
PURE = {
    "args_get", "args_sizes_get", "clock_res_get", "clock_time_get", "environ_get", "environ_sizes_get", "fd_advise",
    "fd_fdstat_get", "fd_fdstat_set_rights", "fd_filestat_get", "fd_pread", "fd_prestat_dir_name", "fd_prestat_get",
    "fd_readdir", "fd_tell", "path_filestat_get", "path_readlink", "poll_oneoff", "proc_raise", "random_get",
    "sched_yield", "sock_accept", "sock_recv", "sock_send", "sock_shutdown",
}  # fmt: skip


# ---- The folders


def build(folder: Path) -> None:
    """Make the folders that one side sees, and one outside of them."""
    for name in ("rw/sub/deep", "rw/dir2", "ro/sub", "outside"):
        (folder / name).mkdir(parents=True)
    (folder / "outside/secret").write_text("the secret")
    for name, data in {
        "rw/a.txt": b"hello world\n",
        "rw/b.bin": bytes(range(256)) * 20,
        "rw/empty": b"",
        "rw/sub/c.txt": b"see",
        "rw/sub/deep/d.txt": b"deep",
        "rw/\N{LATIN SMALL LETTER U WITH DIAERESIS} x": b"odd",
        "rw/" + "n" * 255: b"long",
        "ro/a.txt": b"read only\n",
        "ro/sub/c.txt": b"see",
    }.items():
        (folder / name).write_bytes(data)
    for name, target in {
        "rw/link_file": "a.txt",
        "rw/link_sub": "sub",
        "rw/link_up": "../rw/a.txt",
        "rw/link_out": "../outside/secret",
        "rw/link_outdir": "../outside",
        "rw/link_abs": "/etc/passwd",
        "rw/link_dangling": "nothing",
        "rw/link_loop": "link_loop",
        "rw/sub/link_back": "../a.txt",
        "rw/sub/link_here": ".",
        "rw/link_slash": "sub/",
        "rw/link_file_slash": "a.txt/",
        "ro/link_file": "a.txt",
        "ro/link_out": "../rw/a.txt",
    }.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "rw/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(folder / "rw")  # the path of a socket is short
        listener.bind("sock")
        os.chdir(before)
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.utime(Path(parent, name), (OLD, OLD), follow_symlinks=False)
    os.utime(folder / "rw", (OLD, OLD))
    os.utime(folder / "ro", (OLD, OLD))


def state(folder: Path) -> dict[str, Any]:
    """What is in the folders of one side: kinds, sizes, contents, targets of links."""
    found: dict[str, Any] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            kind = path.lstat()
            about: Any = stat.filemode(kind.st_mode)
            if stat.S_ISLNK(kind.st_mode):
                about = os.readlink(path)
            elif stat.S_ISREG(kind.st_mode):
                about = about, kind.st_nlink, kind.st_size, path.read_bytes()[: 1 << 16]
            found[str(path.relative_to(folder))] = about
    return found


# ---- The calls


class Step:
    """One call: what is written into the memory before it, its arguments, and how its answer is compared."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name, self.args = name, list(args)
        self.writes: list[tuple[int, bytes]] = []
        self.fds: list[tuple[int, Any]] = []
        self.returned: Callable[[Guest], Any] = lambda guest: None
        self.varies: list[tuple[int, int]] = []
        self.odd = ""

    def __repr__(self) -> str:
        texts = "".join(f" {data[:60]!r}" for at, data in self.writes if at in {PATH_1, PATH_2, SUBS})
        return f"{self.name}({', '.join(map(repr, self.args))}){texts}{self.odd and f' ({self.odd})'}"


class Fd:
    """A descriptor: its numbers on both sides."""

    def __init__(self, what: str, ours: int, engines: int) -> None:
        self.what, self.numbers = what, (ours, engines)

    def __repr__(self) -> str:
        return f"<{self.what}>"


#: Names that are free at first: what creates something uses them more often.
NEW = ["new", "new2", "sub/new", "link_sub/new", "dir2/new", "new/new", "link_dangling", "sub/deep/../new"]
NAMES = [
    "a.txt", "b.bin", "empty", "sub", "dir2", "link_file", "link_sub", "link_up", "link_out", "link_outdir", "link_abs",
    "link_dangling", "link_loop", "link_slash", "link_file_slash", "nothing", "new", "new2", "sock",
    "\N{LATIN SMALL LETTER U WITH DIAERESIS} x", "n" * 255,
]  # fmt: skip
BELOW = [
    "c.txt",
    "deep",
    "deep/d.txt",
    "link_back",
    "link_here",
    "new",
    "..",
    ".",
    "../a.txt",
    "../sub/c.txt",
    "../..",
]
ODD_PATHS: list[bytes] = [
    b"", b".", b"..", b"/", b"//", b"/etc/passwd", b"/a.txt", b"./a.txt", b"../rw/a.txt", b"../outside/secret",
    b"sub/../a.txt", b"sub/../../rw/a.txt", b"sub/../..", b"a.txt/", b"a.txt/.", b"a.txt/..", b"a.txt/b", b"sub/",
    b"sub//", b"sub/.", b"sub/./", b"sub//c.txt", b"new/", b"new/.", b"new/..", b"nothing/x", b"link_sub/", b"link_sub/.",
    b"link_file/", b"link_loop/", b"link_dangling/", b"link_outdir/", b"link_outdir/secret", b"a\0b", b"\xff", b"x\xc3",
    b"n" * 256, b"sub/" * 1100 + b"c.txt", b"./" * 3000, b"x/" * 2100, b"...", b" ", b"sub\\c.txt", b"link_here/a.txt",
    b"sub/link_here/link_here/c.txt", b"dir2/../link_out", b"dir2/..", b"dir2/.", b"fifo/", b"sock/",
]  # fmt: skip


class Sequence:
    """Random steps over two guests."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.live = [
            Fd("stdin", 0, 0),
            Fd("stdout", 1, 1),
            Fd("stderr", 2, 2),
            Fd("rw", 3, 3),
            Fd("ro", 4, 4),
        ]

    # ---- Arguments

    def fd(self, *wanted: str) -> Any:
        rng = self.rng
        if rng.random() < 0.05:
            return rng.choice([-1, 77, 1 << 30, 1000])
        if rng.random() < 0.75:
            fitting = [fd for fd in self.live if fd.what.startswith(wanted)]
            if fitting:
                return rng.choice(fitting)
        return rng.choice(self.live) if self.live else 3

    def opened_fd(self) -> Any:
        """A descriptor to close or replace; the mounts are seldom gone, since little can be done without them."""
        opened = [fd for fd in self.live if fd.what in {"file", "dir"}]
        return self.rng.choice(opened) if opened and self.rng.random() < 0.95 else self.fd("")

    def path(self, *, fifo: bool = False) -> bytes:
        rng = self.rng
        chance = rng.random()
        if chance < 0.2:
            return next(p for p in iter(lambda: rng.choice(ODD_PATHS), None) if fifo or b"fifo" not in p)
        if chance < 0.25 and fifo:
            return b"fifo"
        if chance < 0.45:
            first = rng.choice(["sub", "link_sub", "dir2", "new", "link_slash", "link_outdir"])
            return f"{first}/{rng.choice(BELOW)}".encode()
        return rng.choice(NAMES).encode()

    def put(self, step: Step, at: int, data: bytes) -> tuple[int, int]:
        step.writes.append((at, data))
        return at, len(data)

    def iovecs(self, step: Step, *, contents: bool) -> tuple[int, int]:
        """One buffer that is not empty: the engine uses the first of these only."""
        rng = self.rng
        size = rng.choice([0, 1, 5, 100, 4096, 8000])
        vectors = (
            [(DATA, 0)] * rng.choice([0, 0, 0, 1, 2]) + [(DATA, size)] + [(BUFFER, 0)] * rng.choice([0, 0, 1])
        )
        if contents:
            step.writes.append((DATA, rng.randbytes(4) * (size // 4 + 1)))
        step.writes.append((IOVECS, b"".join(struct.pack("<II", *vector) for vector in vectors)))
        return IOVECS, len(vectors)

    def offset(self) -> int:
        return self.rng.choice([0, 0, 1, 3, 12, 5000, 5120, 1 << 20, (1 << 31) - 1, -1, 1 << 62])

    # ---- Steps

    def next(self) -> Step:
        names = list(SIGNATURES)
        names.remove("proc_exit")
        names += ["path_open"] * 14 + [
            "fd_read",
            "fd_write",
            "fd_seek",
            "fd_readdir",
            "path_rename",
            "fd_pwrite",
        ] * 3
        name = self.rng.choice(names)
        step = getattr(self, name)()
        assert step.name == name
        if self.rng.random() < (0.15 if name in PURE else 0.02) and step.args:
            self.spoil(step)
        return step

    def spoil(self, step: Step) -> None:
        """Replace one argument by an odd one."""
        at = self.rng.randrange(len(step.args))
        wide = SIGNATURES[step.name][at] == "I"
        step.args[at] = self.rng.choice(
            [1 << 62, -1, 1 << 40] if wide else [0, -1, SIZE - 1, SIZE, 1 << 30, 9, 0x801, -8]
        )
        step.odd = f"argument {at}"

    def args_get(self) -> Step:
        return Step("args_get", OUT, BUFFER)

    def args_sizes_get(self) -> Step:
        return Step("args_sizes_get", OUT, OUT + 4)

    def environ_get(self) -> Step:
        return Step("environ_get", OUT, BUFFER)

    def environ_sizes_get(self) -> Step:
        return Step("environ_sizes_get", OUT, OUT + 4)

    def clock_res_get(self) -> Step:
        step = Step("clock_res_get", self.rng.randrange(6), OUT)
        step.varies = [(OUT, 8)]
        return step

    def clock_time_get(self) -> Step:
        step = Step("clock_time_get", self.rng.randrange(6), self.rng.choice([0, 1, 1 << 62]), OUT)
        step.varies = [(OUT, 8)]
        return step

    def fd_advise(self) -> Step:
        return Step("fd_advise", self.fd("file"), self.offset(), self.offset(), self.rng.randrange(8))

    def fd_allocate(self) -> Step:
        return Step("fd_allocate", self.fd("file"), self.rng.choice([0, 10]), self.rng.choice([0, 1, 100]))

    def fd_close(self) -> Step:
        return Step("fd_close", self.opened_fd())

    def fd_datasync(self) -> Step:
        return Step("fd_datasync", self.fd("file", "dir"))

    def fd_sync(self) -> Step:
        return Step("fd_sync", self.fd("file", "dir"))

    def fd_fdstat_get(self) -> Step:
        return Step("fd_fdstat_get", self.fd(""), OUT)

    def fd_fdstat_set_flags(self) -> Step:
        return Step("fd_fdstat_set_flags", self.fd("file"), self.rng.choice([0, 0, 1, 4, 5, 2, 8, 16, 32]))

    def fd_fdstat_set_rights(self) -> Step:
        return Step("fd_fdstat_set_rights", self.fd(""), self.rng.choice([0, READ, ALL_RIGHTS]), 0)

    def _filestat(self, step: Step) -> Step:
        def about(guest: Guest) -> Any:
            data = guest.read(OUT, 64)
            kind, links, size = data[16], *struct.unpack_from("<QQ", data, 24)
            modified = struct.unpack_from("<Q", data, 48)[0]
            return kind, links, 0 if kind == 3 else size, modified if modified < RECENT else "recent"

        step.returned, step.varies = about, [(OUT, 64)]
        return step

    def fd_filestat_get(self) -> Step:
        return self._filestat(Step("fd_filestat_get", self.fd(""), OUT))

    def fd_filestat_set_size(self) -> Step:
        return Step(
            "fd_filestat_set_size", self.fd("file"), self.rng.choice([0, 5, 100, 5000, -1, 1 << 63, 1 << 60])
        )

    def _times(self) -> tuple[int, int, int]:
        flags = self.rng.choice([0, 1, 2, 4, 5, 8, 10, 3, 12, 16])
        return (
            self.rng.choice([0, 123456789, OLD * 10**9]),
            self.rng.choice([0, 987654321, OLD * 10**9, -1]),
            flags,
        )

    def fd_filestat_set_times(self) -> Step:
        return Step("fd_filestat_set_times", self.fd("file", "dir"), *self._times())

    def fd_read(self) -> Step:
        step = Step("fd_read", self.fd("file", "stdin"))
        step.args += [*self.iovecs(step, contents=False), OUT]
        return step

    def fd_pread(self) -> Step:
        step = Step("fd_pread", self.fd("file", "stdin"))
        step.args += [*self.iovecs(step, contents=False), self.offset(), OUT]
        return step

    def fd_write(self) -> Step:
        step = Step("fd_write", self.fd("file", "std"))
        step.args += [*self.iovecs(step, contents=True), OUT]
        return step

    def fd_pwrite(self) -> Step:
        step = Step("fd_pwrite", self.fd("file", "std"))
        step.args += [
            *self.iovecs(step, contents=True),
            self.rng.choice([0, 1, 5, 5000, 20000, -1, 1 << 62]),
            OUT,
        ]
        return step

    def fd_prestat_get(self) -> Step:
        return Step("fd_prestat_get", self.fd("rw", "ro"), OUT)

    def fd_prestat_dir_name(self) -> Step:
        return Step("fd_prestat_dir_name", self.fd("rw", "ro"), BUFFER, self.rng.choice([0, 2, 3, 4, 100]))

    def fd_readdir(self) -> Step:
        size, cookie = self.rng.choice(
            [(0x4000, 0)] * 3 + [(0, 0), (10, 0), (24, 0), (25, 0), (100, 0), (0x4000, 99)]
        )
        step = Step(
            "fd_readdir", self.fd("rw", "ro", "dir"), BUFFER, size, self.rng.choice([cookie] * 9 + [-1]), OUT
        )

        def entries(guest: Guest) -> Any:
            used = int.from_bytes(guest.read(OUT, 4), "little")
            if size < 0x4000 or step.odd:
                return used == size
            data, found = guest.read(BUFFER, used), []
            while len(data) >= 24:
                length, kind = struct.unpack_from("<IB", data, 16)
                found.append((data[24 : 24 + length], kind))
                data = data[24 + length :]
            return sorted(found)

        step.returned, step.varies = entries, [(BUFFER, 0x4000), (OUT, 4)]
        return step

    def fd_renumber(self) -> Step:
        return Step("fd_renumber", self.opened_fd(), self.opened_fd())

    def fd_seek(self) -> Step:
        offset = self.rng.choice([0, 1, 5, -1, -5, 5120, 1 << 62, -(1 << 63), (1 << 63) - 1])
        return Step("fd_seek", self.fd("file"), offset, self.rng.choice([0, 1, 2, 0, 1, 2, 3]), OUT)

    def fd_tell(self) -> Step:
        return Step("fd_tell", self.fd("file"), OUT)

    def dir(self) -> Any:
        return self.fd("rw") if self.rng.random() < 0.6 else self.fd("ro", "dir")

    def new_path(self) -> bytes:
        return self.rng.choice(NEW).encode() if self.rng.random() < 0.5 else self.path()

    def _at(self, name: str, *, flags: bool = False, fifo: bool = False, new: bool = False) -> Step:
        step = Step(name, self.dir())
        if flags:
            step.args.append(
                self.rng.choice([0, 1, 1, 1, 2]) if self.rng.random() < 0.2 else self.rng.randrange(2)
            )
        step.args += self.put(step, PATH_1, self.new_path() if new else self.path(fifo=fifo))
        return step

    def path_create_directory(self) -> Step:
        return self._at("path_create_directory", new=True)

    def path_filestat_get(self) -> Step:
        step = self._at("path_filestat_get", flags=True, fifo=True)
        step.args.append(OUT)
        return self._filestat(step)

    def path_filestat_set_times(self) -> Step:
        step = self._at("path_filestat_set_times", flags=True)
        step.args += self._times()
        return step

    def path_link(self) -> Step:
        step = self._at("path_link", flags=True)
        step.args += [self.dir(), *self.put(step, PATH_2, self.new_path())]
        return step

    def path_open(self) -> Step:
        rng = self.rng
        if rng.random() < 0.5:  # as programs do
            step = Step("path_open", self.dir(), 1)
            names = [
                "a.txt",
                "b.bin",
                "empty",
                "sub",
                "dir2",
                "link_file",
                "link_sub",
                "sub/c.txt",
                "sub/deep",
                "new",
            ]
            step.args += self.put(step, PATH_1, rng.choice(names).encode())
            step.args += [
                rng.choice([0, 0, 1]),
                rng.choice([READ, READ | WRITE]),
                0,
                rng.choice([0, 0, 1]),
                OUT,
            ]
            step.varies = [(OUT, 4)]
            return step
        step = self._at("path_open", flags=True)
        step.args += [
            rng.choice([0, 0, 0, 1, 1, 2, 4, 5, 8, 9, 3, 10, 15, 13, 16]),
            rng.choice(
                [READ, READ, WRITE, READ | WRITE, READ | WRITE, 0, ALL_RIGHTS, READ | READDIR, SEEK, 1 << 40]
            ),
            0,
            rng.choice([0, 0, 0, 1, 4, 2, 8, 16, 32]),
            OUT,
        ]
        step.varies = [(OUT, 4)]
        return step

    def path_readlink(self) -> Step:
        step = self._at("path_readlink", fifo=True)
        step.args += [BUFFER, self.rng.choice([100, 100, 0, 3]), OUT]
        return step

    def path_remove_directory(self) -> Step:
        return self._at("path_remove_directory", fifo=True)

    def path_rename(self) -> Step:
        step = self._at("path_rename")
        step.args += [self.dir(), *self.put(step, PATH_2, self.new_path())]
        return step

    def path_symlink(self) -> Step:
        step = Step("path_symlink")
        step.args += [*self.put(step, PATH_1, self.path()), self.dir()]
        step.args += self.put(step, PATH_2, self.new_path())
        return step

    def path_unlink_file(self) -> Step:
        return self._at("path_unlink_file", fifo=True)

    def poll_oneoff(self) -> Step:
        rng, subs = self.rng, []
        step = Step("poll_oneoff", SUBS, EVENTS)
        kinds = rng.choice([[0], [1], [2], [1, 2], [1, 1], [2, 2, 1], [], [3], [2, 0]])
        for i, kind in enumerate(kinds):
            sub = bytearray(48)
            struct.pack_into("<QB", sub, 0, 1000 + i, kind)
            if kind == 0:
                clock = rng.choice([0, 1, 1, 1, 2, 3, 4])
                late = clock == 1 and len(kinds) > 1
                struct.pack_into(
                    "<IxxxxQQH", sub, 16, clock, 10**9 if late else rng.choice([0, 1, 1000]), 0, 0
                )
                if len(kinds) == 1:
                    struct.pack_into("<H", sub, 40, rng.choice([0, 0, 1, 2, 3]))
            else:
                step.fds.append((SUBS + 48 * i + 16, self.fd("file", "std")))
            subs.append(bytes(sub))
        self.put(step, SUBS, b"".join(subs))
        if len(subs) > 1:  # which are ready at once, beside the first, is a matter of time
            step.varies = [(EVENTS, 32 * len(subs)), (OUT, 4)]
        step.args.append(len(subs))
        step.args.append(OUT)
        return step

    def proc_raise(self) -> Step:
        return Step("proc_raise", self.rng.randrange(32))

    def random_get(self) -> Step:
        step = Step("random_get", BUFFER, self.rng.choice([0, 1, 1000]))
        step.varies = [(BUFFER, 1000)]
        return step

    def sched_yield(self) -> Step:
        return Step("sched_yield")

    def sock_accept(self) -> Step:
        return Step("sock_accept", self.fd(""), self.rng.choice([0, 4]), OUT)

    def sock_recv(self) -> Step:
        step = Step("sock_recv", self.fd(""))
        step.args += [*self.iovecs(step, contents=False), 0, OUT, OUT + 4]
        return step

    def sock_send(self) -> Step:
        step = Step("sock_send", self.fd(""))
        step.args += [*self.iovecs(step, contents=True), 0, OUT]
        return step

    def sock_shutdown(self) -> Step:
        return Step("sock_shutdown", self.fd(""), self.rng.choice([1, 2, 3]))

    # ---- What a step leaves

    def follow(self, step: Step, answer: Any, guests: tuple[Guest, Guest]) -> None:
        """Keep account of the descriptors after both sides gave the same ``answer``."""
        if answer != SUCCESS:
            return
        if step.name == "path_open":
            numbers = [int.from_bytes(guest.read(OUT, 4), "little") for guest in guests]
            kinds = []
            for guest, number in zip(guests, numbers, strict=True):
                guest.call("fd_fdstat_get", number, OUT)
                kinds.append(guest.read(OUT, 1)[0])
            self.live.append(Fd("dir" if kinds[0] == 3 else "file", *numbers))
        elif step.name == "fd_close" and isinstance(step.args[0], Fd):
            self.live.remove(step.args[0])
        elif step.name == "fd_renumber":
            source, target = step.args
            if isinstance(source, Fd) and isinstance(target, Fd) and source is not target:
                self.live.remove(source)
                target.what = source.what


def perform(guest: Guest, step: Step, side: int) -> Any:
    """Call ``step`` on one side: the answer, what it returned, and the memory without what varies."""
    guest.write(0, bytes(SIZE))
    for at, data in step.writes:
        guest.write(at, data)
    for at, fd in step.fds:
        guest.write(at, struct.pack("<i", _number(fd, side)))
    args = [
        _signed(_number(arg, side), 64 if kind == "I" else 32)
        for arg, kind in zip(step.args, SIGNATURES[step.name], strict=True)
    ]
    answer = guest.call(step.name, *args)
    returned = step.returned(guest) if answer == SUCCESS else None
    memory = bytearray(guest.read(0, SIZE))
    if step.odd:  # what varies may be anywhere, and what is written may overlap
        return answer, None, b""
    for at, size in step.varies:
        memory[at : at + size] = bytes(size)
    for at, _ in step.fds:
        memory[at : at + 4] = bytes(4)
    return answer, returned, bytes(memory) if answer == SUCCESS else b""


class OldGuest:
    """Our guest on a thread that lacks openat2(2): filters of system calls belong to threads."""

    _thread = ThreadPoolExecutor(1, initializer=refuse_openat2)

    def __init__(self, **config: Any) -> None:
        self._guest = self._thread.submit(OurGuest, **config).result()

    def call(self, name: str, *args: int) -> int | str:
        return self._thread.submit(self._guest.call, name, *args).result()

    def read(self, at: int, size: int) -> bytes:
        return self._guest.read(at, size)

    def write(self, at: int, data: bytes) -> None:
        self._guest.write(at, data)

    def close(self) -> None:
        self._guest.close()


def _number(value: Any, side: int) -> int:
    return value.numbers[side] if isinstance(value, Fd) else value


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


# ---- Differences that are wanted


def wanted(step: Step, engines: Any, ours: Any) -> str | None:
    """Why a difference is wanted, if it is."""
    name = step.name
    if engines == "trap" and ours == INVAL:
        return "a number that is not a value of its type is an error for the program, which the engine ends"
    if step.odd and ours == "trap":
        return "all of what a call reads and writes must be in the memory, and this is checked first"
    if step.odd and (engines in {NOMEM, "trap"} or name == "poll_oneoff"):
        return "the engine bounds how much a call asks for, ours how much it takes at once"
    if ours == INVAL and name in {"fd_advise", "fd_pwrite"} and -1 in step.args:
        return "an offset that the system cannot have is an error, for a file that appends as well"
    if name == "fd_pwrite" and (engines, ours) == (INVAL, BADF):
        return "a file that cannot be written is refused before the offset"
    if name == "poll_oneoff" and engines == PERM:
        return "polling tells whether a call would wait, not whether it succeeds"
    if name == "fd_read" and (engines, ours) == (INTR, SUCCESS):
        return "reading nothing from the standard input is no error"
    if name == "fd_readdir" and step.args[3] in {99, -1}:
        return "cookies are the system's, and one that was not given out has no meaning"
    if name == "path_open" and (engines, ours) == (IO, ACCES):
        return "a socket is not opened"
    if name == "path_filestat_set_times" and engines == SUCCESS and step.args[6] == 0:
        return "where no time is set, the file must exist as well"
    if name.startswith("path_") and SUCCESS not in {engines, ours} and _several_reasons(step):
        return "where a call is wrong in several ways, which error it gets"
    return None


def _several_reasons(step: Step) -> bool:
    paths = [data for at, data in step.writes if at in {PATH_1, PATH_2}]
    creates = step.name == "path_open" and step.args[4] & 1
    return (
        len(paths) > 1
        or any(path.endswith((b"/", b"..")) or len(path) >= 4096 for path in paths)
        or (creates and any(special in path for path in paths for special in (b"link", b"sock")))
    )


class Report:
    """The differences, counted by function and answers."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.examples: dict[tuple[str, str, str], str] = {}
        self.allowed: Counter[str] = Counter()
        self.steps = 0
        self.succeeded: Counter[str] = Counter()

    def add(self, name: str, engines: Any, ours: Any, example: str) -> None:
        key = name, repr(engines)[:200], repr(ours)[:200]
        self.counts[key] += 1
        if key not in self.examples or len(example) < len(self.examples[key]):
            self.examples[key] = example

    def lines(self) -> list[str]:
        return [
            f"{name}: engine {engines}, ours {ours}: {count} times, as in {self.examples[name, engines, ours]}"
            for (name, engines, ours), count in sorted(self.counts.items())
        ]


def run_sequence(seed: int, length: int, folder: Path, report: Report, other: type = OurGuest) -> None:
    """Give one random sequence to both sides, and report what differs. It ends at the first difference."""
    rng = random.Random(seed)
    guests, roots = [], []
    for side, kind in (("ours", other), ("engine", EngineGuest)):
        root = folder / side
        build(root)
        roots.append(root)
        (folder / f"{side}.in").write_bytes(b"some input\n" * 10)
        guests.append(
            kind(
                argv=["program", "first", "\N{LATIN SMALL LETTER U WITH DIAERESIS}"],
                env={"A": "1", "EMPTY": ""},
                stdin=folder / f"{side}.in",
                stdout=folder / f"{side}.out",
                stderr=folder / f"{side}.err",
                preopens={"/rw": rw(root / "rw"), "/ro": root / "ro"},
            )
        )
    sequence, comparable = Sequence(rng), True
    for _ in range(length):
        step = sequence.next()
        ours, engines = (perform(guest, step, side) for side, guest in enumerate(guests))
        report.steps += 1
        if engines[0] == SUCCESS:
            report.succeeded[step.name] += 1
        where = f"{step!r} [seed {seed}]"
        if ours != engines:
            comparable = False
            reason = wanted(step, engines[0], ours[0])
            if reason is not None:
                report.allowed[reason] += 1
            elif ours[0] != engines[0]:
                report.add(step.name, engines[0], ours[0], where)
            elif ours[1] != engines[1]:
                report.add(step.name, engines[1], ours[1], where)
            else:
                at = next(i for i in range(SIZE) if ours[2][i] != engines[2][i])
                report.add(
                    step.name,
                    f"{engines[2][at : at + 16].hex()} at {at:#x}",
                    f"{ours[2][at : at + 16].hex()} at {at:#x}",
                    where,
                )
            if step.name in PURE and (
                ours[0] == engines[0] or (ours[0] != SUCCESS and engines[0] != SUCCESS)
            ):
                comparable = True
                continue
            break
        if step.odd and step.name not in PURE:
            comparable = False  # what it did before it looked at that argument may differ
            break
        sequence.follow(step, ours[0], (guests[0], guests[1]))
    for guest in guests:
        guest.close()
    if comparable:
        found = [state(root) for root in roots]
        for name in sorted(found[0].keys() | found[1].keys()):
            if found[0].get(name) != found[1].get(name):
                report.add("folder", found[1].get(name), found[0].get(name), f"{name} [seed {seed}]")
                break
        for stream in ("out", "err"):
            written = [(folder / f"{side}.{stream}").read_bytes() for side in ("ours", "engine")]
            if written[0] != written[1]:
                report.add(f"std{stream}", written[1], written[0], f"[seed {seed}]")


def run(sequences: int, seed: int, length: int = 60, other: type = OurGuest) -> Report:
    """Run random sequences, each with folders of its own."""
    report = Report()
    for number in range(sequences):
        folder = Path(tempfile.mkdtemp(prefix="wasi-calls-"))
        try:
            run_sequence(seed + number, length, folder, report, other)
        finally:
            shutil.rmtree(folder)
    return report


def main() -> None:
    """Print what differs, and exit with 1 if anything does that should not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--without-openat2", action="store_true")
    options = parser.parse_args()
    report = run(options.sequences, options.seed, other=OldGuest if options.without_openat2 else OurGuest)
    for line in report.lines():
        print(line)
    if options.verbose:
        for reason, count in report.allowed.most_common():
            print(f"wanted, {count} times: {reason}")
        print("succeeded:", dict(report.succeeded))
    print(f"{report.steps} calls, {sum(report.counts.values())} differences")
    sys.exit(1 if report.counts else 0)


if __name__ == "__main__":
    main()
