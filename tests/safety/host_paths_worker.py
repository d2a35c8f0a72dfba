"""Paths of the host that hang, never end, or lead elsewhere: one case in a process with limits.

``host_paths_worker.py NAME`` runs the function of that name in the working folder, and prints ``done``.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from pathlib import Path

import wasmtime_rt as w

MEMORY = 600 << 20  # bytes of data; the engine's reservations do not count
HELLO = b"""(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00guest")
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"""
LINK = b"""(module
    (import "wasi_snapshot_preview1" "path_symlink" (func $link (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "%s") (data (i32.const 100) "%s")
    (func (export "_start")
        (if (call $link (i32.const 0) (i32.const %d) (i32.const 3) (i32.const 100) (i32.const %d))
            (then unreachable))))"""
READ = b"""(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) (data (i32.const 100) "%s")
    (func (export "_start") (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const %d)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))))"""
SECRET = "not for the guest"


def refused(kinds, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except kinds as problem:
        return str(problem)
    raise AssertionError(f"{function} accepted {arguments} {options}")


def leave_link(target, name):
    """Let a guest whose folder is ``out`` make a link in it."""
    run = LINK % (target.encode(), name.encode(), len(target), len(name))
    assert w.run_wasi(run, mounts={"/out": w.rw("out")}).exit_code == 0
    assert (Path("out") / name).is_symlink()


def loaders(path):
    """All that reads a module from a path."""
    engine = w.WasmEngine()
    yield lambda: w.WasmModule(engine, path)
    yield lambda: w.WasmModule.from_file(engine, path)
    yield lambda: w.WasmModule.load(engine, path)
    yield lambda: w.WasmModule.load(engine, path, cache=False)
    yield lambda: w.WasmModule.validate(engine, path)
    yield lambda: w.WasmModule.is_valid(engine, path)
    yield lambda: w.WasmModule.deserialize_file(engine, path)
    yield lambda: w.WasmModule.deserialize_file(engine, path, trusted=True)
    yield lambda: w.ModuleCache("cache").load(engine, path)
    yield lambda: w.ModuleCache("cache").is_cached(engine, path)
    yield lambda: w.run_wasi(path)
    yield lambda: w.Sandbox(path, max_module_size=1 << 20)
    yield lambda: w.Sandbox(str(path), max_module_size=None)
    yield lambda: w.Sandbox(path, compile_timeout=5)


# ---- Cases


def a_device_that_never_ends_as_program():
    for load in loaders(Path("/dev/zero")):
        assert "the device '/dev/zero'" in refused(ValueError, load)


def a_pipe_as_program():
    os.mkfifo("pipe.wasm")
    for load in loaders(Path("pipe.wasm")):
        assert "the pipe 'pipe.wasm'" in refused(ValueError, load)


def a_socket_and_a_terminal_as_program():
    import socket

    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    _, terminal = os.openpty()
    for path in ("socket", os.ttyname(terminal)):
        for load in loaders(Path(path)):
            refused(ValueError, load)
    listener.close()


def a_huge_sparse_file_as_program():
    with open("huge", "wb") as file:
        file.truncate(1 << 40)
    for load in loaders(Path("huge")):
        refused((w.LimitError, w.DeserializeError), load)


def a_file_of_the_kernel_without_a_size():
    for path in ("/proc/self/maps", "/proc/kmsg"):  # the second waits for the next message
        for load in loaders(Path(path)):
            with contextlib.suppress(w.WasmtimeError, OSError):
                assert load() is False  # WasmModule.is_valid


def pipes_and_devices_as_streams():
    os.mkfifo("pipe")
    for path in map(Path, ("pipe", "/dev/zero", "/dev/tty", "/dev/full")):
        for stream in ("stdin", "stdout", "stderr"):
            if path == Path("/dev/tty") and not path.exists():
                continue
            said = refused(ValueError, w.run_wasi, HELLO, **{stream: path})
            assert said.startswith(f"{stream}: expected a regular file or /dev/null, got the "), said
            assert said.endswith("open it and pass the file"), said
    for stream in ("stdin", "stdout", "stderr"):
        assert w.run_wasi(HELLO, **{stream: Path("/dev/null")}).exit_code == 0


def an_output_that_a_guest_made_a_link():
    leave_link("../secret", "log")
    leave_link("../made", "new")
    for stream in ("stdout", "stderr"):
        for name in ("log", "new"):
            for mounts in ({"/out": w.rw("out")}, {"/a": ".", "/b": w.rw("alias")}):
                said = refused(
                    w.WasmtimeError, w.run_wasi, HELLO, mounts=mounts, **{stream: Path("out") / name}
                )
                assert "which the program may write" in said, said
                absolute = Path(f"alias/../alias/{name}").absolute()
                refused(w.WasmtimeError, w.run_wasi, HELLO, mounts=mounts, **{stream: absolute})
    assert not Path("made").exists()


def an_output_in_a_folder_that_a_guest_made_a_link():
    leave_link("..", "folder")
    refused(
        w.WasmtimeError, w.run_wasi, HELLO, mounts={"/out": w.rw("out")}, stdout=Path("out/folder/secret")
    )


def an_input_that_a_guest_made_a_link():
    leave_link("../secret", "in")
    said = refused(w.WasmtimeError, w.run_wasi, HELLO, mounts={"/out": w.rw("out")}, stdin=Path("out/in"))
    assert "which the program may write" in said, said


def a_mount_that_a_guest_made_a_link():
    Path("private").mkdir()
    leave_link("../private", "sub")
    for second in ("out/sub", w.rw("out/sub"), "alias/sub"):
        for mounts in ({"/out": w.rw("out"), "/sub": second}, {"/sub": second, "/out": w.rw("alias")}):
            said = refused(w.WasmtimeError, w.run_wasi, HELLO, mounts=mounts)
            assert "which the program may write" in said, said
    sandbox = w.Sandbox(HELLO)
    refused(w.WasmtimeError, sandbox.start, mounts={"/out": w.rw("out"), "/sub": "out/sub"})


def a_mount_of_the_process_itself():
    for folder in ("/proc", "/proc/self", "/proc/self/fd"):
        for mounts in ({"/p": folder}, {"/p": w.rw(folder)}, {"/p": folder, "/out": w.rw("out")}):
            assert "/proc" in refused(w.WasmtimeError, w.run_wasi, HELLO, mounts=mounts)


def a_guest_that_swaps_links_while_files_are_opened():
    from wasmtime_rt._host_files import open_folder, open_input, open_output

    Path("private").mkdir()
    Path("private/log").write_text(SECRET)
    Path("out/sub").mkdir()
    ended, outcomes, swaps = threading.Event(), set(), [0]

    def swap():
        while not ended.is_set():
            for name, plain, link in (("log", "plain", "../secret"), ("sub", "folder", "../private")):
                os.rename(f"out/{name}", f"out/{plain}")
                with contextlib.suppress(FileExistsError):  # it was made again meanwhile
                    os.symlink(link, f"out/{name}")
                os.unlink(f"out/{name}")
                os.rename(f"out/{plain}", f"out/{name}")
                swaps[0] += 1

    Path("out/log").touch()
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(300):
            for path in ("out/log", "alias/sub/../log", "out/sub/log"):
                for opens in (open_output, open_input):
                    with contextlib.suppress(OSError):
                        opened = opens(path, "stdout", ["out"])
                        os.close(opened)
                        outcomes.add(opens)
            with contextlib.suppress(OSError):
                opened = open_folder("out/sub", ["out"])
                assert not os.path.samestat(os.fstat(opened), os.stat("private"))
                os.close(opened)
                outcomes.add(open_folder)
    finally:
        ended.set()
        thread.join()
    assert Path("private/log").read_text() == SECRET
    assert outcomes == {open_output, open_input, open_folder}
    assert swaps[0] > 20


def a_profile_that_a_guest_made_a_link():
    leave_link("../secret", "p.json")
    with w.Sandbox(HELLO).start(mounts={"/out": w.rw("out")}) as program:
        profile = program.store.profile("out/p.json")
        refused(OSError, profile.__enter__)
    with w.Sandbox(HELLO).start(mounts={"/out": w.rw("out")}) as program:
        with program.store.profile("out/q.json"):
            os.unlink("out/q.json")  # the guest could do that, now that it runs
            os.symlink("../secret", "out/q.json")
            program.call("_start")


def what_no_guest_can_have_made_is_followed():
    Path("elsewhere").mkdir()
    os.symlink("elsewhere/log", "log")
    assert w.run_wasi(HELLO, stdout=Path("log"), mounts={"/out": w.rw("out")}).exit_code == 0
    assert Path("elsewhere/log").read_text() == "guest"
    assert w.run_wasi(HELLO, stdout=Path("alias/log"), mounts={"/out": w.rw("alias")}).exit_code == 0
    assert Path("out/log").read_text() == "guest"


def settings_of_the_engines_cache():
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        refused(w.WasmtimeError, w.WasmEngine, w.WasmConfig(cache_config_load=path))
    with open("huge", "wb") as file:
        file.truncate(1 << 40)
    refused(w.WasmtimeError, w.WasmEngine, w.WasmConfig(cache_config_load="huge"))
    Path("open").mkdir()
    os.chmod("open", 0o777)
    said = refused(w.WasmtimeError, w.WasmEngine, w.WasmConfig(cache_config_load="open"))
    assert "other users may write this folder" in said, said
    Path("named.toml").write_text(f'[cache]\ndirectory = "{os.path.abspath("open")}"\n')
    said = refused(w.WasmtimeError, w.WasmEngine, w.WasmConfig(cache_config_load="named.toml"))
    assert "other users may write this folder" in said, said


def a_mount_that_shows_the_process():
    Path("plain").touch()
    pid = os.getpid()
    for path in (
        f"proc/{pid}/mem",
        f"proc/{pid}/environ",
        "proc/self/maps",
        "proc",
        f"proc/{pid}/fd",
        "proc/cpuinfo",
    ):
        for root in ("/", w.rw("/")):
            run = READ % (path.encode(), len(path))
            assert w.run_wasi(run, mounts={"/": root}).exit_code != 0, path
    plain = os.path.abspath("plain")[1:]
    assert w.run_wasi(READ % (plain.encode(), len(plain)), mounts={"/": "/"}).exit_code == 0


def the_engines_cache_in_its_usual_place():
    os.environ["XDG_CACHE_HOME"] = os.path.abspath("home")
    os.environ["XDG_CONFIG_HOME"] = os.path.abspath("config")
    Path("home/wasmtime").mkdir(parents=True)
    w.WasmEngine(w.WasmConfig(cache_config_load=True))
    said = refused(ValueError, w.run_wasi, HELLO, mounts={"/h": w.rw("home")})
    assert "holds the code cache" in said, said
    os.chmod("home", 0o777)
    said = refused(w.WasmtimeError, w.WasmEngine, w.WasmConfig(cache_config_load=True))
    assert "other users may write this folder" in said, said


def profiles_of_the_engine():
    map_, dump = f"/tmp/perf-{os.getpid()}.map", f"jit-{os.getpid()}.dump"
    for path, strategy in ((map_, w.ProfilingStrategy.PERFMAP), (dump, w.ProfilingStrategy.JITDUMP)):
        config = w.WasmConfig(profiling_strategy=strategy)
        try:
            os.symlink(os.path.abspath("secret"), path)
            refused(w.WasmtimeError, w.WasmEngine, config)
            os.unlink(path)
            if os.stat("/tmp").st_dev == os.stat(".").st_dev:
                os.link("secret", path)
                refused(w.WasmtimeError, w.WasmEngine, config)
                os.unlink(path)
            os.mkfifo(path)
            refused(w.WasmtimeError, w.WasmEngine, config)
        finally:
            os.unlink(path)


CASES = [
    a_device_that_never_ends_as_program, a_pipe_as_program, a_socket_and_a_terminal_as_program,
    a_huge_sparse_file_as_program, a_file_of_the_kernel_without_a_size,
    pipes_and_devices_as_streams, an_output_that_a_guest_made_a_link, an_output_in_a_folder_that_a_guest_made_a_link,
    an_input_that_a_guest_made_a_link, a_mount_that_a_guest_made_a_link, a_profile_that_a_guest_made_a_link,
    what_no_guest_can_have_made_is_followed, settings_of_the_engines_cache, profiles_of_the_engine,
    a_mount_of_the_process_itself, a_mount_that_shows_the_process, the_engines_cache_in_its_usual_place,
    a_guest_that_swaps_links_while_files_are_opened,
]  # fmt: skip


def main(name):
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    Path("out").mkdir()
    Path("alias").symlink_to("out")
    Path("secret").write_text(SECRET)
    next(case for case in CASES if case.__name__ == name)()
    assert Path("secret").read_text() == SECRET
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
