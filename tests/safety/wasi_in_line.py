"""Worker: calls each function of WASI 100,000 times without a loop, under a time limit. Run by `test_wasi_limits`.

Argument: a folder to mount. Prints for each function how the run ended, and the seconds that it took.
"""

from __future__ import annotations

import pathlib
import sys
import time

from wasmtime_rt import Sandbox, WasmExit, WasmTimeout, rw

#: Where things are in the program's memory, and how large what is read and written is.
PATH, OTHER, VECTOR, DATA, RESULT, SIZE = 64, 96, 128, 4096, 160, 64 << 20
PATHS = {PATH: b"file", OTHER: b"other"}
FOLDER, FILE = 3, 4
CALLS, BLOCKS = 100, 10  # of the function in a block, and of the blocks in a larger one, three times

#: The arguments of each function: what it takes long for, if there is such a thing.
ARGUMENTS: dict[str, tuple[int, ...]] = {
    "args_get": (RESULT, DATA),
    "args_sizes_get": (RESULT, RESULT),
    "clock_res_get": (1, RESULT),
    "clock_time_get": (1, 0, RESULT),
    "environ_get": (RESULT, DATA),
    "environ_sizes_get": (RESULT, RESULT),
    "fd_advise": (FILE, 0, 0, 3),
    "fd_allocate": (FILE, 0, SIZE),
    "fd_close": (FILE,),
    "fd_datasync": (FILE,),
    "fd_fdstat_get": (FILE, RESULT),
    "fd_fdstat_set_flags": (FILE, 0),
    "fd_fdstat_set_rights": (FILE, 0, 0),
    "fd_filestat_get": (FILE, RESULT),
    "fd_filestat_set_size": (FILE, 0),
    "fd_filestat_set_times": (FILE, 0, 0, 10),
    "fd_pread": (FILE, VECTOR, 1, 0, RESULT),
    "fd_prestat_dir_name": (FOLDER, DATA, 2),
    "fd_prestat_get": (FOLDER, RESULT),
    "fd_pwrite": (FILE, VECTOR, 1, 0, RESULT),
    "fd_read": (FILE, VECTOR, 1, RESULT),
    "fd_readdir": (FOLDER, DATA, 1 << 20, 0, RESULT),
    "fd_renumber": (FILE, FILE),
    "fd_seek": (FILE, 0, 0, RESULT),
    "fd_sync": (FILE,),
    "fd_tell": (FILE, RESULT),
    "fd_write": (FILE, VECTOR, 1, RESULT),
    "path_create_directory": (FOLDER, OTHER, 5),
    "path_filestat_get": (FOLDER, 0, PATH, 4, RESULT),
    "path_filestat_set_times": (FOLDER, 0, PATH, 4, 0, 0, 10),
    "path_link": (FOLDER, 0, PATH, 4, FOLDER, OTHER, 5),
    "path_open": (FOLDER, 0, PATH, 4, 0, 2, 0, 0, RESULT),
    "path_readlink": (FOLDER, PATH, 4, DATA, 100, RESULT),
    "path_remove_directory": (FOLDER, OTHER, 5),
    "path_rename": (FOLDER, PATH, 4, FOLDER, PATH, 4),
    "path_symlink": (PATH, 4, FOLDER, OTHER, 5),
    "path_unlink_file": (FOLDER, OTHER, 5),
    "poll_oneoff": (DATA, DATA + 4096, 1, RESULT),
    "proc_exit": (0,),
    "proc_raise": (0,),
    "random_get": (DATA, SIZE),
    "sched_yield": (),
    "sock_accept": (FILE, 0, RESULT),
    "sock_recv": (FILE, VECTOR, 1, 0, RESULT, RESULT),
    "sock_send": (FILE, VECTOR, 1, 0, RESULT),
    "sock_shutdown": (FILE, 0),
}
#: The parameters that have 64 bits.
WIDE = {
    "clock_time_get": {1},
    "fd_advise": {1, 2},
    "fd_allocate": {1, 2},
    "fd_fdstat_set_rights": {1, 2},
    "fd_filestat_set_size": {1},
    "fd_filestat_set_times": {1, 2},
    "fd_pread": {3},
    "fd_pwrite": {3},
    "fd_readdir": {3},
    "fd_seek": {1},
    "path_filestat_set_times": {4, 5},
    "path_open": {5, 6},
}


def declared(name: str) -> str:
    """The import of a function."""
    kinds = ["i64" if i in WIDE.get(name, ()) else "i32" for i in range(len(ARGUMENTS[name]))]
    result = "" if name == "proc_exit" else "(result i32)"
    return f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {" ".join(kinds)}) {result}))'


def called(name: str) -> str:
    """A call of it."""
    values = [
        f"({'i64' if i in WIDE.get(name, ()) else 'i32'}.const {value})"
        for i, value in enumerate(ARGUMENTS[name])
    ]
    call = f"(call ${name} {' '.join(values)})"
    return call if name == "proc_exit" else f"(drop {call})"


def program(name: str) -> bytes:
    """A program that opens a file, and calls the function 100,000 times in ``run``."""
    imports = "".join(declared(one) for one in dict.fromkeys((name, "path_open")))
    opening = f"(call $path_open {' '.join(map(str, OPENING))})"
    return f"""(module {imports}
        (memory (export "memory") {SIZE // 65536 + 2})
        (func (export "open") (result i32) {opening})
        (func $calls {called(name) * CALLS})
        (func $tens {"(call $calls)" * BLOCKS})
        (func $hundreds {"(call $tens)" * BLOCKS})
        (func (export "run") {"(call $hundreds)" * BLOCKS}))""".encode()


#: Opens the file for reading and writing.
OPENING = [
    *("(i32.const 3)", "(i32.const 0)", f"(i32.const {PATH})", "(i32.const 4)", "(i32.const 0)"),
    *("(i64.const 66)", "(i64.const 0)", "(i32.const 0)", f"(i32.const {RESULT})"),
]


def run(name: str, folder: str) -> None:
    """Call one function."""
    sandbox = Sandbox(program(name), memory=SIZE + (1 << 20))
    with sandbox.start(["program"], mounts={"/d": rw(folder)}) as alive:
        memory = alive.exports.memory
        for place, path in PATHS.items():
            memory.write(place, path)
        memory.write(VECTOR, DATA.to_bytes(4, "little") + SIZE.to_bytes(4, "little"))
        # A clock, monotonic, that is due after a millisecond.
        memory.write(DATA, bytes(16) + b"\1" + bytes(7) + (10**6).to_bytes(8, "little") + bytes(16))
        assert alive.call("open") == 0
        assert memory.read_u32(RESULT) == FILE
        began, ended = time.monotonic(), "returned"
        try:
            alive.call("run", timeout=0.2)
        except WasmTimeout:
            ended = "WasmTimeout"
        except WasmExit:
            ended = "WasmExit"
        print(name, ended, time.monotonic() - began, flush=True)


def main(folder: str) -> None:
    """Call each function."""
    (pathlib.Path(folder) / "file").write_bytes(bytes(1 << 20))
    for i in range(1000):
        (pathlib.Path(folder) / f"another {i}").touch()
    for name in ARGUMENTS:
        run(name, folder)


if __name__ == "__main__":
    main(sys.argv[1])
