"""Programs that read the standard input of this process: they wait no longer than they may run."""

import os
import signal
import threading
import time

import pytest
from front_programs import CAT, calls

from wasmtime_rt import (
    Sandbox,
    WasmConfig,
    WasmEngine,
    WasmInterrupted,
    WasmModule,
    WasmTimeout,
    WasmTrap,
    run_wasi,
)

BAD_FILE = 8
VECTORS, READ, BUFFER = 16, 8, 1024


class Pipe:
    """What stands in for the standard input."""

    def __init__(self):
        self.saved = os.dup(0)
        read, self.end = os.pipe()
        os.dup2(read, 0)
        os.close(read)

    def write(self, data):
        os.write(self.end, data)

    def close(self):
        end, self.end = self.end, None  # once: a timer and the end of the test may come at a time
        if end is not None:
            os.close(end)

    def restore(self):
        self.close()
        os.dup2(self.saved, 0)
        os.close(self.saved)


@pytest.fixture
def pipe(capfd):
    with capfd.disabled():  # which has an input of its own
        pipe = Pipe()
        yield pipe
        pipe.restore()


@pytest.fixture(scope="module")
def sandbox():
    return Sandbox(calls("fd_read", "fd_close", "fd_renumber", "poll_oneoff", "path_open"))


@pytest.fixture
def program(pipe, sandbox, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"of a file")
    with sandbox.start(stdin="inherit", mounts={"/d": tmp_path}, timeout=10) as program:
        yield program


def read(program, *sizes, descriptor=0, at=BUFFER):
    """What `fd_read` answers for buffers of these sizes, one after the other."""
    memory, place = program.exports.memory, at
    for i, size in enumerate(sizes):
        memory.write(VECTORS + 8 * i, place.to_bytes(4, "little") + size.to_bytes(4, "little"))
        place += size
    answer = program.call("fd_read", descriptor, VECTORS, len(sizes), READ)
    return memory.read(at, memory.read_u32(READ)) if answer == 0 else answer


def test_a_program_that_gets_nothing_is_ended(pipe):
    began = time.monotonic()
    with pytest.raises(WasmTimeout, match="the limit was 0.2") as caught:
        run_wasi(CAT, stdin="inherit", timeout=0.2)
    assert 0.2 <= caught.value.elapsed < 10
    assert time.monotonic() - began < 10
    assert caught.value.result.stdout == b""


def test_what_comes_is_read_to_its_end(pipe):
    def give():
        for n in range(5):
            pipe.write(b"%d" % n * 100)
            time.sleep(0.01)
        pipe.close()

    thread = threading.Thread(target=give)
    thread.start()
    result = run_wasi(CAT, stdin="inherit", timeout=60)
    thread.join()
    assert result.stdout == b"".join(b"%d" % n * 100 for n in range(5))


def test_nothing_is_read_that_was_not_asked_for(program, pipe):
    pipe.write(b"abcdefghi")
    assert read(program, 2) == b"ab"
    assert read(program, 1, 0, 2) == b"cde"
    assert read(program) == b""
    assert read(program, 0) == b""
    assert os.read(0, 100) == b"fghi"
    pipe.close()
    assert [read(program, 5) for _ in range(2)] == [b"", b""]


def test_what_is_outside_of_the_memory_takes_nothing(program, pipe):
    pipe.write(b"abc")
    with pytest.raises(WasmTrap, match="Pointer out of bounds"):
        read(program, 8, at=65536 - 4)
    assert read(program, 0) == b""
    program.exports.memory.write(VECTORS, BUFFER.to_bytes(4, "little") + b"\5\0\0\0")
    for arguments in ((0, 65532, 1, READ), (0, VECTORS, 1, 65534), (0, -4, 1, READ), (0, VECTORS, 1, -4)):
        with pytest.raises(WasmTrap, match="Pointer (out of bounds|not aligned)"):
            program.call("fd_read", *arguments)
    assert os.read(0, 100) == b"abc"


def test_other_files_are_the_engines(program, pipe):
    memory = program.exports.memory
    memory.write(200, b"a.txt")
    assert program.call("path_open", 3, 0, 200, 5, 0, 2, 0, 0, 100) == 0
    opened = memory.read_u32(100)
    assert read(program, 100, descriptor=opened) == b"of a file"
    assert read(program, 5, descriptor=77) == BAD_FILE
    assert program.call("fd_close", opened) == 0
    assert program.call("fd_close", opened) == BAD_FILE


def test_the_input_under_another_number(program, pipe):
    memory = program.exports.memory
    memory.write(200, b"a.txt")
    assert program.call("path_open", 3, 0, 200, 5, 0, 2, 0, 0, 100) == 0
    opened = memory.read_u32(100)
    assert program.call("fd_renumber", 0, opened) == 0
    pipe.write(b"abc")
    assert read(program, 1, descriptor=opened) == b"a"
    assert read(program, 1) == BAD_FILE
    assert program.call("fd_renumber", opened, opened) == 0
    assert read(program, 1, descriptor=opened) == b"b"
    assert program.call("fd_renumber", 77, 78) == BAD_FILE
    assert read(program, 1, descriptor=opened) == b"c"
    with pytest.raises(WasmTimeout):
        program.call("fd_read", opened, VECTORS, 1, READ, timeout=0.1)
    assert program.call("fd_close", opened) == 0
    assert read(program, 1, descriptor=opened) == BAD_FILE


def test_a_closed_input(program, pipe):
    assert program.call("fd_close", 0) == 0
    assert read(program, 1) == BAD_FILE
    memory = program.exports.memory
    memory.write(200, b"a.txt")
    assert program.call("path_open", 3, 0, 200, 5, 0, 2, 0, 0, 100) == 0
    assert read(program, 100, descriptor=memory.read_u32(100)) == b"of a file"  # whatever number it has


def test_this_process_has_closed_it(program, pipe):
    saved = os.dup(0)
    os.close(0)
    try:
        assert read(program, 1) == BAD_FILE
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def poll(program, *subscriptions):
    """Which of the subscriptions, by their numbers, have happened: descriptors, or nanoseconds."""
    memory = program.exports.memory
    for i, (what, value) in enumerate(subscriptions):
        head = i.to_bytes(8, "little") + bytes([what]) + bytes(7)
        clock = (1, value) if what == 0 else (value, 0)
        rest = clock[0].to_bytes(8, "little") + clock[1].to_bytes(8, "little") + bytes(16)
        memory.write(2000 + 48 * i, head + rest)
    assert program.call("poll_oneoff", 2000, 4000, len(subscriptions), READ) == 0
    return [memory.read_u64(4000 + 32 * n) for n in range(memory.read_u32(READ))]


def test_polling(program, pipe):
    assert poll(program, (1, 0), (0, 10**7)) == [1]  # nothing comes
    assert poll(program, (1, 0), (2, 1)) == [1]
    with pytest.raises(AssertionError, match="8 == 0"):
        poll(program, (1, 0), (1, 3))  # a folder
    pipe.write(b"x")
    assert poll(program, (1, 0), (0, 10**12)) == [0]
    assert poll(program, (0, 10**12), (1, 0), (2, 1)) == [1, 2]
    assert poll(program, (1, 0)) == [0]
    assert read(program, 5) == b"x"
    threading.Timer(0.05, pipe.write, (b"y",)).start()
    assert poll(program, (1, 0), (0, 10**12)) == [0]
    assert read(program, 5) == b"y"
    threading.Timer(0.05, pipe.close).start()
    assert poll(program, (1, 0)) == [0]
    assert read(program, 5) == b""


def test_polling_is_ended(program):
    program.exports.memory.write(2000, bytes(8) + b"\x01" + bytes(39))  # for reading, descriptor 0
    with pytest.raises(WasmTimeout):
        program.call("poll_oneoff", 2000, 4000, 1, READ, timeout=0.1)


def test_ctrl_c_ends_it(program):
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        read(program, 5)
    timer.join()


def test_a_signal_handler_makes_the_memory_grow_meanwhile(pipe):
    engine = WasmEngine(WasmConfig.compact().replace(epoch_interruption=True))
    module = WasmModule(engine, calls("fd_read", "poll_oneoff"))
    with Sandbox(module).start(stdin="inherit", timeout=60) as program:
        memory = program.exports.memory

        def grow(_number, _frame):
            memory.grow(200)  # which moves it
            pipe.write(b"abc")

        before = signal.signal(signal.SIGALRM, grow)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            assert read(program, 5) == b"abc"
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            assert poll(program, (1, 0), (0, 10**12)) == [0]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert memory.size == 401


def test_an_interruption_ends_it(pipe, sandbox):
    with sandbox.start(stdin="inherit", timeout=None) as program:
        stopped = threading.Event()

        def interrupt():
            while not stopped.is_set():  # until it is inside
                program.store.interrupt()
                stopped.wait(0.01)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            with pytest.raises(WasmInterrupted):
                read(program, 5)
        finally:
            stopped.set()
            thread.join()


def test_one_byte_is_for_one_program(pipe, sandbox):
    said = []

    def work():
        with sandbox.start(stdin="inherit", timeout=4) as program:
            try:
                said.append(read(program, 5))
            except WasmTimeout:
                said.append("timeout")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    pipe.write(b"x")
    for thread in threads:
        thread.join()
    assert sorted(map(str, said)) == ["b'x'", "timeout", "timeout"]


def test_functions_of_the_users_own_go_first(pipe):
    def fd_read(*_arguments):
        return 99

    sandbox = Sandbox(calls("fd_read"), imports={"wasi_snapshot_preview1": {"fd_read": fd_read}})
    for stdin in (None, "inherit"):
        with sandbox.start(stdin=stdin) as program:
            assert program.call("fd_read", 0, 0, 0, 0) == 99


def test_without_a_memory(pipe):
    source = b"""(module (import "wasi_snapshot_preview1" "fd_close" (func $f (param i32) (result i32)))
        (func (export "f") (param i32) (result i32) (call $f (local.get 0))))"""
    with Sandbox(source).start(stdin="inherit") as program:
        assert program.call("f", 0) == 0
        assert program.call("f", 0) == BAD_FILE
