"""Attacks on time: each call of a guest ends soon after its time limit, an interruption or a signal.

Each function is an attack, which `test_attacks.py` runs in a process of its own; its argument is an empty folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import guest
from attack_tools import (
    OUT,
    SLACK,
    SUCCESS,
    Program,
    clock,
    consts,
    files,
    meanwhile,
    readable,
    repeat,
    replaced,
    wat,
    within,
)

from wasmtime_rt import Sandbox, WasmInterrupted, WasmTimeout, WasmTrap, run_wasi, rw

CENTURIES = 2**63 - 1

#: Arguments that make one call of a function last as long as it can: descriptor 3 is a folder, 4 a large file.
SLOW = {
    "fd_advise": (4, 0, 1 << 40, 3),
    "fd_allocate": (4, 0, 1 << 26),
    "fd_pread": (4, 0x100, 1, 0, OUT),
    "fd_pwrite": (4, 0x100, 1, 0, OUT),
    "fd_read": (4, 0x100, 1, OUT),
    "fd_readdir": (3, 0x20000, 1 << 20, 0, OUT),
    "fd_seek": (4, 0, 0, OUT),
    "fd_write": (1, 0x100, 1, OUT),
    "path_create_directory": (3, 0x1000, 5),
    "path_filestat_get": (3, 1, 0x1000, 5, OUT),
    "path_link": (3, 0, 0x1000, 5, 3, 0x1000, 5),
    "path_open": (3, 1, 0x1000, 5, 0, 2, 0, 0, OUT),
    "poll_oneoff": (0x20000, 0x60000, 4096, OUT),
    "random_get": (0x20000, 1 << 26),
    "sock_recv": (4, 0x100, 1, 0, OUT, OUT),
    "sock_send": (4, 0x100, 1, 0, OUT),
}


def end_by_timeout(function: Callable[[], Any], seconds: float) -> None:
    """Expect a time limit of so many seconds to end `function`."""
    with within(seconds):
        try:
            function()
        except WasmTimeout:
            return
    raise AssertionError("it returned, and the time limit did not end it")


def straight_line_of_random_numbers(folder: Path) -> None:
    body = f"(drop (call $random_get {consts(0, 64 << 20)}))" * 200
    end_by_timeout(lambda: run_wasi(wat(body, "random_get", memory="1024"), timeout=1), 1)


def limit_wins_over_an_exit_code(folder: Path) -> None:
    body = f"(drop (call $random_get {consts(0, 64 << 20)}))" * 20 + "(call $proc_exit (i32.const 0))"
    program = wat(body, "random_get", "proc_exit", memory="1024")
    end_by_timeout(lambda: run_wasi(program, timeout=0.2), 0.2)


def each_function_in_straight_line(folder: Path) -> None:
    """100,000 calls of each function without a loop: 100 calls of a function of 1,000 calls."""
    files(folder, [f"f{n}" for n in range(3000)])
    (folder / "large").write_bytes(bytes(16 << 20))
    (folder / "a").mkdir()
    data = (
        r'(data (i32.const 0x100) "\00\00\02\00\00\00\00\04")'  # 64 MiB from 0x20000 on
        r'(data (i32.const 0x1000) "a/../large")'
    )
    late = []
    for name, signature in guest.SIGNATURES.items():
        if name == "proc_exit":
            continue
        given = SLOW.get(name, tuple(OUT if i else 4 for i in range(len(signature))))
        args = " ".join(
            f"({'i64' if kind == 'I' else 'i32'}.const {arg})"
            for kind, arg in zip(signature, given, strict=True)
        )
        used = dict.fromkeys((name, "path_open"))
        opened = f"(drop (call $path_open {consts(3, 1, 0x1005, 5, 0)} (i64.const 66) (i64.const 66) {consts(0, OUT)}))"
        program = wat(
            opened + "(call $thousand)" * 100,
            *used,
            memory="1100",
            more=f"{data} (func $thousand {f'(drop (call ${name} {args}))' * 1000})",
        )
        sandbox = Sandbox(program, timeout=0.2, cache=False)
        began = time.monotonic()
        with contextlib.suppress(WasmTimeout, WasmTrap):
            sandbox.run(mounts={"/": rw(folder)})
        took = time.monotonic() - began
        if took > 0.2 + SLACK:
            late.append(f"{name}: {took:.1f} s")
    assert not late, late


def sleep_for_centuries(folder: Path) -> None:
    program = Program(timeout=0.3)
    for subscriptions in (
        [clock(CENTURIES)],
        [clock(2**64 - 1)],
        [clock(CENTURIES, clock_id=0)],
        [clock(2**64 - 1, clock_id=0, flags=1)],
        [clock(2**64 - 1, clock_id=1, flags=1)],
        [clock(CENTURIES), clock(CENTURIES, clock_id=0)],
        [clock(CENTURIES)] * 300,
    ):
        end_by_timeout(lambda: program.poll(*subscriptions), 0.3)  # noqa: B023  it is called at once


def many_subscriptions(folder: Path) -> None:
    subscriptions = 4096
    body = f"(drop (call $poll_oneoff {consts(0, 1 << 20, subscriptions, 0)}))"
    with within(1):
        run_wasi(wat(body, "poll_oneoff", memory="32"), timeout=1)
    program = Program(timeout=0.3)
    with within(1):
        for count in (1 << 20, 1 << 28, 0xFFFFFFFF):
            assert program.refuses("poll_oneoff", 0, 0, count, OUT)


def short_sleeps_without_end(folder: Path) -> None:
    body = f"(i32.store8 {consts(16, 1)}) (i64.store (i32.const 24) (i64.const 1000))" + repeat(
        1 << 30, f"(drop (call $poll_oneoff {consts(0, 104, 1, 200)}))"
    )
    end_by_timeout(lambda: run_wasi(wat(body, "poll_oneoff"), timeout=0.3), 0.3)


def wait_for_an_input_that_gives_nothing(folder: Path) -> None:
    read, write = os.pipe()
    with replaced(0, read):
        program = Program(stdin="inherit", timeout=0.3)
        end_by_timeout(lambda: program.read(0), 0.3)
        program = Program(stdin="inherit", timeout=0.3)
        end_by_timeout(lambda: program.poll(readable(0)), 0.3)
        end_by_timeout(lambda: program.poll(readable(0), clock(CENTURIES)), 0.3)
        assert program.poll(readable(0), clock(1000)) == [(7, SUCCESS, 0)]
        os.write(write, b"now")
        assert (8, SUCCESS, 1) in program.poll(readable(0), clock(CENTURIES))
        assert program.read(0) == b"now"


def write_into_a_pipe_that_is_full(folder: Path) -> None:
    read, write = os.pipe()
    body = repeat(1 << 20, f"(i32.store {consts(4, 65536)}) (drop (call $fd_write {consts(1, 0, 1, 8)}))")
    with replaced(1, write):
        end_by_timeout(lambda: run_wasi(wat(body, "fd_write"), stdout="inherit", timeout=0.5), 0.5)
    os.close(read)


def another_process_takes_the_input(folder: Path) -> None:
    """Another process reads what a guest waits for: the guest's limit holds, and the process can fork."""
    read, write = os.pipe()
    thief = subprocess.Popen(  # it reads as fast as it can
        [sys.executable, "-c", "import os\nwhile os.read(0, 1): pass"], stdin=read, close_fds=True
    )

    def drip() -> None:
        os.write(write, b"x")
        time.sleep(0.0005)

    try:
        with replaced(0, read), meanwhile(drip):
            programs = [Program(stdin="inherit", timeout=0.5) for _ in range(3)]
            ends = time.monotonic() + 4
            while time.monotonic() < ends:
                threads = [
                    threading.Thread(target=_read_until_the_limit, args=(program,)) for program in programs
                ]
                with within(0.5):
                    for thread in threads:
                        thread.start()
                    for _ in range(5):
                        pid = os.fork()
                        if pid == 0:
                            os._exit(0)
                        os.waitpid(pid, 0)
                    for thread in threads:
                        thread.join()
    finally:
        thief.kill()
        thief.wait()


def _read_until_the_limit(program: Program) -> None:
    with contextlib.suppress(WasmTimeout):
        ends = time.monotonic() + 0.5
        while time.monotonic() < ends:
            program.read(0, 16)


def several_guests_fill_one_pipe(folder: Path) -> None:
    """Guests on several threads write into a pipe that is read slowly: none waits where no limit would end it."""
    read, write = os.pipe()
    body = repeat(1 << 30, f"(i32.store {consts(4, 60000)}) (drop (call $fd_write {consts(1, 0, 1, 8)}))")
    sandbox = Sandbox(wat(body, "fd_write"), timeout=3, cache=False)
    waiting = 0
    with replaced(1, write), within(3):
        threads = [
            threading.Thread(target=lambda: end_by_timeout(lambda: sandbox.run(stdout="inherit"), 3))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + 2.5
        while time.monotonic() < ends:
            os.read(read, 4096)
            time.sleep(0.015)  # now it is full again
            waiting += _threads_that_write_to(1)
        for thread in threads:
            thread.join()
    assert not waiting


def _threads_that_write_to(descriptor: int) -> int:
    found = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            number, *arguments = (task / "syscall").read_text().split()
            found += (number, arguments[:1]) == ("1", [hex(descriptor)])
    return found


def a_terminal_that_takes_and_gives_nothing(folder: Path) -> None:
    controller, terminal = os.openpty()
    body = repeat(1 << 30, f"(i32.store {consts(4, 60000)}) (drop (call $fd_write {consts(1, 0, 1, 8)}))")
    sandbox = Sandbox(wat(body, "fd_write"), timeout=0.3, cache=False)
    with replaced(0, terminal), replaced(1, terminal):
        end_by_timeout(lambda: sandbox.run(stdout="inherit"), 0.3)
        assert os.read(controller, 100)
        program = Program(stdin="inherit", stdout="inherit", timeout=0.3)
        end_by_timeout(lambda: program.read(0), 0.3)
        assert os.get_blocking(0)
        assert os.get_blocking(1)
        os.write(controller, b"a line\n")
        assert program.read(0) == b"a line\n"
        for fd in (0, 1):
            assert program.call("fd_fdstat_get", fd, OUT) == SUCCESS
            assert program.memory.read(OUT, 1) == b"\2"


def interrupted_while_it_waits(folder: Path) -> None:
    read, _ = os.pipe()
    with replaced(0, read):
        for wait in (lambda program: program.poll(clock(CENTURIES)), lambda program: program.read(0)):
            program = Program(stdin="inherit", timeout=60)
            threading.Timer(0.2, program.instance.store.interrupt).start()
            with within(0.2):
                try:
                    wait(program)
                except WasmInterrupted:
                    continue
                raise AssertionError("it was not interrupted")


def signals_while_it_waits(folder: Path) -> None:
    """Ctrl-C ends a sleep, a read, a write and a long straight line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    read, _ = os.pipe()
    _read_end, full = os.pipe()
    os.set_blocking(full, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(full, bytes(4096))
    os.set_blocking(full, True)
    line = wat(f"(drop (call $random_get {consts(0, 64 << 20)}))" * 500, "random_get", memory="1024")
    prepared = Sandbox(line, timeout=60, cache=False)
    with replaced(0, read), replaced(1, full):
        program = Program(stdin="inherit", stdout="inherit", timeout=60)
        for wait in (
            lambda: program.poll(clock(CENTURIES)),
            lambda: program.poll(readable(0), clock(CENTURIES)),
            lambda: program.read(0),
            lambda: program.write(1, bytes(8192)),
            prepared.run,
        ):
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            with within(0.3):
                try:
                    wait()
                except KeyboardInterrupt:
                    continue
                raise AssertionError("Ctrl-C did not end it")


def a_signal_handler_runs_while_it_sleeps(folder: Path) -> None:
    """A handler that returns runs on time, and the sleep goes on to its end."""
    ran = []
    signal.signal(signal.SIGUSR1, lambda *_: ran.append(time.monotonic()))
    program = Program(timeout=30)
    began = time.monotonic()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    assert program.poll(clock(1_500_000_000)) == [(7, SUCCESS, 0)]
    ended = time.monotonic()
    assert ended - began >= 1.45
    assert ran
    assert ran[0] < ended - 0.3, "the handler ran when the sleep was over"


def list_twenty_thousand_files(folder: Path) -> None:
    """A listing in calls of 4 KiB reads each entry once, in time in proportion to their number."""
    files(folder, [f"file-{n}" for n in range(20_000)])
    program = Program(mounts={"/": folder}, timeout=60)
    names, cookie = set(), 0
    with within(10):
        while True:
            assert program.call("fd_readdir", 3, 0x8000, 4096, cookie, OUT) == SUCCESS
            data = program.memory.read(0x8000, program.memory.read_u32(OUT))
            full = len(data) == 4096
            while len(data) >= 24:
                following, length = int.from_bytes(data[:8], "little"), int.from_bytes(data[16:20], "little")
                name, data = data[24 : 24 + length], data[24 + length :]
                if len(name) < length:
                    break
                assert name not in names, name
                names.add(name)
                cookie = following
            if not full:
                break
    assert len(names) == 20_002


def clocks_are_monotonic_and_cheap(folder: Path) -> None:
    program, last = Program(), 0
    for _ in range(1000):
        assert program.call("clock_time_get", 1, 0, OUT) == SUCCESS
        now = program.memory.read_u64(OUT)
        assert now >= last
        last = now
    assert last < 60 * 10**9, "the monotonic clock begins with the store, and tells nothing of the machine"
    assert program.call("clock_time_get", 0, 0, OUT) == SUCCESS
    assert abs(program.memory.read_u64(OUT) / 1e9 - time.time()) < 60
