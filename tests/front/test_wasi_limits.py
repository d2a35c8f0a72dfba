"""What a WASI program may use up: descriptors, files, bytes, time; and clocks and random bytes as they are asked for."""

import os
import threading
import time

import pytest
from front_programs import calls

from wasmtime_rt import (
    Sandbox,
    WasiConfig,
    WasmEngine,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmTimeout,
    run_wasi,
    rw,
)

SUCCESS, NO_ACCESS, QUOTA, TOO_MANY = 0, 2, 19, 33
PATH, VECTOR, RESULT, DATA = 64, 128, 160, 4096
WRITE, CREATE = 1 << 6, 1


def start(config, *names, mount=None):
    """The exports of a program in a store of its own, with a folder as ``/d``."""
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    if mount is not None:
        config = config._replace(preopens={"/d": rw(mount)})
    store = WasmStore(engine, wasi=config)
    return store, linker.instantiate(store, WasmModule(engine, calls(*names))).exports


def name_path(exports, path):
    """The arguments of a function that begin with a path."""
    exports.memory.write(PATH, path.encode())
    return 3, 0, PATH, len(path)


def open_file(exports, path, oflags=0, rights=WRITE):
    """The error number of ``path_open``, and the descriptor if there is one."""
    answer = exports.path_open(*name_path(exports, path), oflags, rights, 0, 0, RESULT)
    return answer, exports.memory.read_u32(RESULT) if answer == SUCCESS else None


def write(exports, descriptor, size):
    """The error number of ``fd_write``, or how many bytes it took."""
    exports.memory.write(VECTOR, DATA.to_bytes(4, "little") + size.to_bytes(4, "little"))
    answer = exports.fd_write(descriptor, VECTOR, 1, RESULT)
    return -answer if answer else exports.memory.read_u32(RESULT)


def test_descriptors_are_counted(tmp_path):
    (tmp_path / "a").touch()
    store, exports = start(WasiConfig(max_descriptors=10), "path_open", "fd_close", mount=tmp_path)
    answers = [open_file(exports, "a") for _ in range(7)]
    assert answers == [*((SUCCESS, n) for n in range(4, 10)), (TOO_MANY, None)]
    assert store.exceeded_limits == ("max_descriptors",)
    assert exports.fd_close(5) == SUCCESS
    assert open_file(exports, "a") == (SUCCESS, 5)
    store.close()
    assert store.exceeded_limits == ("max_descriptors",)


def test_by_default_a_program_has_64_descriptors(tmp_path):
    (tmp_path / "a").touch()
    before = len(os.listdir("/proc/self/fd"))
    store, exports = start(WasiConfig(), "path_open", mount=tmp_path)
    answers = [open_file(exports, "a")[0] for _ in range(100)]
    assert answers == [SUCCESS] * 60 + [TOO_MANY] * 40
    assert len(os.listdir("/proc/self/fd")) <= before + 64
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_bytes_written_are_counted(tmp_path):
    store, exports = start(WasiConfig(max_written=10), "path_open", "fd_write", mount=tmp_path)
    descriptor = open_file(exports, "a", CREATE)[1]
    assert [write(exports, descriptor, size) for size in (4, 0, 7, 1)] == [4, 0, 6, -QUOTA]
    assert store.exceeded_limits == ("max_written",)
    assert (tmp_path / "a").stat().st_size == 10


def test_limits_of_a_run(tmp_path):
    program = """(module
        (import "wasi_snapshot_preview1" "path_create_directory" (func $make (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "ab")
        (func (export "make") (param i32) (result i32) (call $make (i32.const 3) (local.get 0) (i32.const 1)))
        (func (export "_start") (drop (call $make (i32.const 3) (i32.const 0) (i32.const 1)))))"""
    result = run_wasi(program.encode(), mounts={"/d": rw(tmp_path)}, max_created=0)
    assert result.exceeded == ("max_created",)
    assert run_wasi(program.encode(), mounts={"/d": rw(tmp_path)}).exceeded == ()
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(ValueError, match="max_written"):
        run_wasi(program.encode(), max_written=-1)


def test_output_that_is_captured_is_not_written_to_files():
    taken = []
    store, exports = start(WasiConfig(max_written=0, stdout=taken.append), "fd_write")
    assert write(exports, 1, 5) == 5
    assert taken == [bytes(5)]
    assert store.exceeded_limits == ()


def test_files_folders_and_links_that_are_created_are_counted(tmp_path):
    store, exports = start(
        WasiConfig(max_created=3), "path_open", "path_create_directory", "path_symlink", mount=tmp_path
    )
    assert open_file(exports, "a", CREATE)[0] == SUCCESS
    assert open_file(exports, "a", CREATE)[0] == SUCCESS  # which is there already
    exports.memory.write(PATH, b"bc")
    assert exports.path_create_directory(3, PATH, 1) == SUCCESS
    assert exports.path_symlink(PATH, 1, 3, PATH + 1, 1) == SUCCESS
    assert open_file(exports, "e", CREATE)[0] == QUOTA
    exports.memory.write(PATH, b"f")
    assert exports.path_create_directory(3, PATH, 1) == QUOTA
    assert store.exceeded_limits == ("max_created",)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


@pytest.mark.parametrize("rights", [2, WRITE, 2 | WRITE])
def test_a_pipe_in_a_folder_is_not_opened(tmp_path, rights):
    os.mkfifo(tmp_path / "pipe")
    store, exports = start(WasiConfig(), "path_open", mount=tmp_path)
    began = time.monotonic()
    assert open_file(exports, "pipe", 0, rights) == (NO_ACCESS, None)
    assert time.monotonic() - began < 5
    store.close()


def clock(exports, number=1):
    assert exports.clock_time_get(number, 0, RESULT) == SUCCESS
    return exports.memory.read_u64(RESULT)


def test_a_coarse_clock():
    _, exports = start(WasiConfig(clock_resolution=0.25), "clock_time_get", "clock_res_get")
    assert {clock(exports, 0) % 250_000_000 for _ in range(3)} == {0}
    assert clock(exports) in {0, 250_000_000}
    assert exports.clock_res_get(0, RESULT) == SUCCESS
    assert exports.memory.read_u64(RESULT) == 250_000_000


def test_a_fine_clock_begins_with_the_store():
    _, exports = start(WasiConfig(), "clock_time_get")
    first, second = clock(exports), clock(exports)
    assert 0 < first < second < 60 * 10**9
    assert abs(clock(exports, 0) - time.time_ns()) < 60 * 10**9


def random(exports, size=16):
    assert exports.random_get(DATA, size) == SUCCESS
    return exports.memory.read(DATA, size)


def test_random_bytes_of_a_seed():
    streams = []
    for _ in range(2):
        _, exports = start(WasiConfig(random_seed=5), "random_get")
        streams.append([random(exports), random(exports, 3), random(exports, 1000)])
    assert streams[0] == streams[1]
    _, exports = start(WasiConfig(random_seed=6), "random_get")
    assert random(exports) != streams[0][0]
    assert streams[0][0].hex() == "5ac389a30c3b0363f83697934d3197c0"  # SplitMix64


def test_random_bytes_of_the_system_differ():
    _, exports = start(WasiConfig(), "random_get")
    assert len({random(exports) for _ in range(200)}) == 200
    assert len(set(random(exports, 30000))) == 256


def test_random_bytes_of_a_forked_child_differ():
    _, exports = start(WasiConfig(), "random_get")
    random(exports)
    read, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(end, random(exports))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 16) != random(exports)
    os.close(read)
    os.close(end)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"max_descriptors": 2}, ValueError, "max_descriptors: expected 3 <= max_descriptors < "),
        ({"max_descriptors": None}, TypeError, "max_descriptors: expected 3 <= "),
        ({"max_written": -1}, ValueError, "max_written: expected None or 0 <= "),
        ({"max_created": 1.0}, TypeError, "max_created: expected None or 0 <= "),
        ({"clock_resolution": -1}, ValueError, "clock_resolution: expected 0 to 3600 seconds, got -1"),
        ({"clock_resolution": float("nan")}, ValueError, "clock_resolution"),
        ({"clock_resolution": "1"}, TypeError, "clock_resolution: expected a number of seconds, got '1'"),
        ({"random_seed": 2**64}, ValueError, "random_seed: expected None or 0 <= "),
        ({"random_seed": True}, TypeError, "random_seed: expected None or 0 <= "),
    ],
)
def test_these_settings_are_checked(settings, error, message):
    with pytest.raises(error, match=message):
        WasiConfig(**settings)


def test_an_output_that_takes_nothing_is_bounded():
    read, end = os.pipe()
    saved = os.dup(1)
    os.dup2(end, 1)
    try:
        os.set_blocking(1, False)
        try:
            while os.write(1, bytes(4096)):
                pass
        except BlockingIOError:
            os.set_blocking(1, True)
        with Sandbox(calls("fd_write")).start(stdout="inherit", timeout=0.2) as program:
            program.exports.memory.write(VECTOR, DATA.to_bytes(4, "little") + (5000).to_bytes(4, "little"))
            with pytest.raises(WasmTimeout):
                program.call("fd_write", 1, VECTOR, 1, RESULT)
            reader = threading.Timer(0.1, os.read, (read, 8192))
            reader.start()
            assert program.call("fd_write", 1, VECTOR, 1, RESULT, timeout=60) == SUCCESS
            assert 0 < program.exports.memory.read_u32(RESULT) <= 5000
            reader.join()
    finally:
        os.dup2(saved, 1)
        for descriptor in (saved, read, end):
            os.close(descriptor)
