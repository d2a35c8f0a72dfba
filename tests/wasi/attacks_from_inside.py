"""Attacks in the middle of a call: signal handlers, other threads and other processes change what the call uses.

Each function is an attack, which `test_attacks.py` runs in a process of its own; its argument is an empty folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any

import guest
from attack_tools import (
    DATA,
    IOVECS,
    OUT,
    PATH,
    READ,
    SUCCESS,
    Program,
    clock,
    files,
    meanwhile,
    readable,
    replaced,
)

from wasmtime_rt import (
    WasiConfig,
    WasmConfig,
    WasmEngine,
    WasmLinker,
    WasmMemoryType,
    WasmModule,
    WasmSharedMemory,
    WasmStore,
    WasmtimeError,
)

#: Seconds that races last.
SECONDS = float(os.environ.get("WASMTIME_RT_WASI_RACE_SECONDS", "2"))


class InStore(Program):
    """The guest in a store of an engine with the settings given."""

    def __init__(
        self, settings: dict[str, Any], wat: str = guest.WAT, imports: Any = (), **config: Any
    ) -> None:
        engine = WasmEngine(WasmConfig(epoch_interruption=True, **settings))
        linker = WasmLinker(engine)
        linker.define_wasi()
        self.store = WasmStore(engine, wasi=WasiConfig(**config))
        for name, make in imports:
            linker.define("env", name, make(engine))
        self.exports = linker.instantiate(self.store, WasmModule(engine, wat)).exports
        self.memory = self.exports.memory

    def call(self, name: str, *args: int, **options: Any) -> Any:
        with self.store.deadline(30):
            return self.exports[name](*args)


def the_memory_moves(folder: Path) -> None:
    """A signal handler makes the memory grow, and so move, in the middle of calls that wait or take long."""
    settings = {"memory_reservation": 0, "memory_reservation_for_growth": 0, "memory_guard_size": 0}
    read, write = os.pipe()
    full_read, full = os.pipe()
    os.set_blocking(full, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(full, bytes(4096))
    os.set_blocking(full, True)
    with replaced(0, read), replaced(1, full):
        program = InStore(settings, stdin="inherit", stdout="inherit")
        actions: list[Any] = []

        def handler(*_: object) -> None:
            program.exports.memory.grow(16)
            if actions:
                actions.pop()()
            else:
                signal.setitimer(signal.ITIMER_REAL, 0.03)

        signal.signal(signal.SIGALRM, handler)
        for wait in range(8):
            actions[:] = []
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            if wait % 4 == 0:
                assert program.poll(clock(150_000_000)) == [(7, SUCCESS, 0)]
            elif wait % 4 == 1:
                actions.append(lambda: os.write(write, b"now"))
                assert program.read(0, 100) == b"now"
            elif wait % 4 == 2:
                actions.append(lambda: os.read(full_read, 1 << 16))
                assert program.write(1, b"x" * 5000) > 0
            else:
                actions.append(lambda: os.write(write, b"now"))
                assert program.poll(readable(0), clock(10**10)) == [(8, SUCCESS, 1)]
                assert os.read(0, 10) == b"now"
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, lambda *_: program.exports.memory.grow(1))
        program.exports.memory.grow(512)
        for _ in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            assert program.call("random_get", 0x20000, 32 << 20) == SUCCESS
        signal.setitimer(signal.ITIMER_REAL, 0)


def the_same_store_is_used_by_a_signal_handler(folder: Path) -> None:
    """A handler calls into the store that waits: writes, closes what is waited for, opens, sleeps."""
    files(folder, ["file"])
    read, _write = os.pipe()
    with replaced(0, read):
        program = Program(stdin="inherit", mounts={"/": folder}, timeout=30)
        ran = []

        def handler(*_: object) -> None:
            assert program.write(1, b"in the handler ") == 15
            fd = program.opened("file")
            assert program.read(fd) == b"file"
            assert program.call("fd_close", fd) == SUCCESS
            ran.append(1)
            if len(ran) % 2 == 0:
                program.call("fd_close", 0)

        signal.signal(signal.SIGALRM, handler)
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            program.memory.write(0x10000, readable(0) + clock(300_000_000))
            answer = program.call("poll_oneoff", 0x10000, 0x18000, 2, OUT)
            assert answer in {SUCCESS, 8}
        assert len(ran) == 2
        assert program.write(1, b"after") == 5
        assert program.instance.result.stdout == b"in the handler in the handler after"


_SHARED = f"""(module {guest.imports()}
    (import "env" "memory" (memory 4 4 shared)) (export "memory" (memory 0)) {guest.wrappers()})"""


def another_thread_writes_into_a_shared_memory(folder: Path) -> None:
    """Paths, buffers and subscriptions change while they are checked and used."""
    (folder.parent / "outside").mkdir()
    (folder.parent / "outside/name").write_bytes(b"secret")
    (folder / "inside").mkdir()
    (folder / "inside/name").write_bytes(b"public")
    memories: list[WasmSharedMemory] = []

    def memory(engine: WasmEngine) -> WasmSharedMemory:
        memories.append(WasmSharedMemory(engine, WasmMemoryType(4, 4, shared=True)))
        return memories[0]

    program = InStore(
        {"shared_memory": True}, _SHARED, [("memory", memory)], preopens={"/": folder}, stdin=b"x" * 10000
    )
    shared = memories[0]
    paths = (b"./././inside/name", b"../outside/name\0\0", b"inside/\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
    good, bad = struct.pack("<II", DATA, 64), struct.pack("<II", 0x3FFF0, 0xFFFFFFF0)
    events = [readable(0), clock(1000), readable(77), b"\xff" * 48]
    turn = [0]

    def change() -> None:
        turn[0] += 1
        shared.write(PATH, paths[turn[0] % 3][:17])
        shared.write(IOVECS, (good, bad)[turn[0] % 2] + (bad, good)[turn[0] % 2])
        shared.write(0x10000, events[turn[0] % 4] + events[turn[0] // 4 % 4])

    opened = 0
    with meanwhile(change, change):
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(WasmtimeError):
                if program.call("path_open", 3, 1, PATH, 17, 0, READ, 0, 0, OUT) == SUCCESS:
                    opened += 1
                    fd = int.from_bytes(shared.read(OUT, 4), "little")
                    shared.write(0x30000, struct.pack("<II", 0x31000, 6))
                    assert program.call("fd_read", fd, 0x30000, 1, OUT) == SUCCESS
                    assert shared.read(0x31000, 6) == b"public"
                    assert program.call("fd_close", fd) == SUCCESS
            for name, args in (
                ("fd_read", (0, IOVECS, 2, OUT)),
                ("fd_write", (1, IOVECS, 2, OUT)),
                ("poll_oneoff", (0x10000, 0x18000, 2, OUT)),
                ("path_filestat_get", (3, 1, PATH, 17, OUT)),
            ):
                with contextlib.suppress(WasmtimeError):
                    program.call(name, *args)
    assert opened


def a_child_lists_what_its_parent_lists(folder: Path) -> None:
    """A forked child that goes on with its parent's listing does not make the parent miss a file."""
    files(folder, [f"file-{n:04}" for n in range(3000)])
    program = Program(mounts={"/": folder}, timeout=30)

    def part(cookie: int) -> tuple[list[bytes], int]:
        assert program.call("fd_readdir", 3, DATA, 0x4000, cookie, OUT) == SUCCESS
        data, names = program.memory.read(DATA, program.memory.read_u32(OUT)), []
        while len(data) >= 24:
            following, length = int.from_bytes(data[:8], "little"), int.from_bytes(data[16:20], "little")
            if len(data) < 24 + length:
                break
            names.append(data[24 : 24 + length])
            cookie, data = following, data[24 + length :]
        return names, cookie

    found, cookie = part(0)
    while True:
        pid = os.fork()
        if pid == 0:
            for _ in range(3):
                _, cookie = part(cookie)
            os._exit(0)
        os.waitpid(pid, 0)
        names, cookie = part(cookie)
        if not names:
            break
        found += names
    assert len(found) == 3002
    assert len(set(found)) == 3002
