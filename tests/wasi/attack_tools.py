"""What attacks share: a guest in a sandbox whose calls Python makes, and bounds on time and memory."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import guest

from wasmtime_rt import Sandbox, SandboxInstance, WasmTrap

SUCCESS, BADF, DQUOT, FAULT, INVAL, MFILE, NOENT, NOTCAPABLE = 0, 8, 19, 21, 28, 33, 44, 76
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
READ, WRITE = 1 << 1, 1 << 6

#: Times are measured on machines that do other things: a limit may take this many seconds longer to end a call.
SLACK = 3.0

IOVECS, OUT, PATH, SECOND_PATH, DATA = 0x100, 0x800, 0x1000, 0x4000, 0x8000


def wat(start: str, *names: str, memory: str = "2", more: str = "") -> bytes:
    """A program that imports the named functions and does `start`."""
    return f"""(module {guest.imports(*names)} (memory (export "memory") {memory}) {more}
        (func (export "_start") (local $n i32) {start}))""".encode()


def consts(*args: int) -> str:
    """Arguments for the functions that take i32 only."""
    return " ".join(f"(i32.const {arg})" for arg in args)


def repeat(count: int, body: str) -> str:
    """Instructions that do `body` so many times; `$n` counts."""
    return (
        f"(local.set $n (i32.const {count})) (loop $again {body} "
        "(br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    )


class Program:
    """A guest in a sandbox, with the functions of WASI as Python calls them."""

    _sandbox: Sandbox | None = None

    def __init__(self, **options: Any) -> None:
        if Program._sandbox is None:
            Program._sandbox = Sandbox(guest.WAT.encode(), cache=False)
        self.instance: SandboxInstance = Program._sandbox.start(**options)
        self.memory = self.instance.exports.memory

    def call(self, name: str, *args: int, **options: Any) -> Any:
        """Call a function; the answer is its errno."""
        return self.instance.call(name, *args, **options)

    def refuses(self, name: str, *args: int) -> bool:
        """Call a function: whether it answers with an error, or ends the call."""
        try:
            return self.call(name, *args) != SUCCESS
        except WasmTrap:
            return True

    def text(self, path: str | bytes, at: int = PATH) -> tuple[int, int]:
        """Put a path into the memory."""
        data = path.encode() if isinstance(path, str) else path
        self.memory.write(at, data)
        return at, len(data)

    def open(
        self, path: str | bytes, oflags: int = 0, rights: int = READ, *, fd: int = 3, follow: int = 1
    ) -> int:
        """Open a file: its descriptor, or the errno as a negative number."""
        errno = self.call("path_open", fd, follow, *self.text(path), oflags, rights, 0, 0, OUT)
        return self.memory.read_u32(OUT) if errno == SUCCESS else -errno

    def opened(self, path: str | bytes, oflags: int = 0, rights: int = READ, **options: int) -> int:
        """Open a file that can be opened."""
        fd = self.open(path, oflags, rights, **options)
        assert fd >= 0, (path, fd)
        return fd

    def vectors(self, *vectors: tuple[int, int]) -> tuple[int, int]:
        """Put vectors of buffers into the memory."""
        self.memory.write(IOVECS, b"".join(struct.pack("<II", *vector) for vector in vectors))
        return IOVECS, len(vectors)

    def write(self, fd: int, data: bytes) -> int:
        """Write; the number of bytes that were taken, or the errno as a negative number."""
        self.memory.write(DATA, data)
        errno = self.call("fd_write", fd, *self.vectors((DATA, len(data))), OUT)
        return self.memory.read_u32(OUT) if errno == SUCCESS else -errno

    def read(self, fd: int, size: int = 4096) -> bytes | int:
        """Read; the bytes, or the errno as a negative number."""
        errno = self.call("fd_read", fd, *self.vectors((DATA, size)), OUT)
        return self.memory.read(DATA, self.memory.read_u32(OUT)) if errno == SUCCESS else -errno

    def poll(self, *subscriptions: bytes, **options: Any) -> list[tuple[int, int, int]]:
        """Wait; `(userdata, errno, kind)` of each event."""
        self.memory.write(0x10000, b"".join(subscriptions))
        errno = self.call("poll_oneoff", 0x10000, 0x18000, len(subscriptions), OUT, **options)
        assert errno == SUCCESS, errno
        events = [self.memory.read(0x18000 + 32 * i, 32) for i in range(self.memory.read_u32(OUT))]
        return [struct.unpack_from("<QHB", event) for event in events]

    def close(self) -> None:
        """Free it."""
        self.instance.close()


def clock(timeout: int, clock_id: int = 1, flags: int = 0, userdata: int = 7) -> bytes:
    """A subscription to a clock, in nanoseconds."""
    return struct.pack("<QBxxxxxxxIxxxxQQHxxxxxx", userdata, 0, clock_id, timeout, 0, flags)


def readable(fd: int, userdata: int = 8) -> bytes:
    """A subscription to what can be read."""
    return struct.pack("<QBxxxxxxxI", userdata, 1, fd).ljust(48, b"\0")


def peak_mib() -> int:
    """Return the most memory that this process has held, in MiB. `ru_maxrss` would count its parent."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM:"))


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done here takes no longer, but for the slack."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds + SLACK, f"took {took:.1f} s, expected at most {seconds} s"


@contextlib.contextmanager
def meanwhile(*functions: Any) -> Iterator[None]:
    """Threads repeat the functions until the block ends; an exception in one fails the block."""
    stop, failures = threading.Event(), []

    def work(function: Any) -> None:
        try:
            while not stop.is_set():
                function()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=work, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def replaced(number: int, descriptor: int) -> Iterator[None]:
    """Let a descriptor of this process stand in for its standard input or output."""
    saved = os.dup(number)
    os.dup2(descriptor, number)
    try:
        yield
    finally:
        os.dup2(saved, number)
        os.close(saved)


def files(folder: Path, names: Sequence[str]) -> None:
    """Make small files."""
    for name in names:
        (folder / name).write_bytes(name.encode())
