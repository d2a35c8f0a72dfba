"""A WASI program tries paths below its mount, with or without openat2(2), and prints what it was answered.

Arguments: an empty folder, and the errno that openat2 fails with in this process, or 0 for none.
"""

import ctypes
import json
import os
import struct
import sys
from pathlib import Path

from wasmtime_rt import WasiConfig, WasmEngine, WasmLinker, WasmModule, WasmStore, rw

SIGNATURES = {
    "path_open": "i32 i32 i32 i32 i32 i64 i64 i32 i32",
    "path_filestat_get": "i32 i32 i32 i32 i32",
    "path_readlink": "i32 i32 i32 i32 i32 i32",
    "path_create_directory": "i32 i32 i32",
    "path_remove_directory": "i32 i32 i32",
    "path_unlink_file": "i32 i32 i32",
    "fd_read": "i32 i32 i32 i32",
    "fd_close": "i32",
}
WAT = "\n".join(
    [
        "(module",
        *(
            f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {params}) (result i32)))'
            for name, params in SIGNATURES.items()
        ),
        '(memory (export "memory") 1)',
        *(
            f'(func (export "{name}") (param {params}) (result i32) (call ${name} '
            + " ".join(f"(local.get {i})" for i in range(len(params.split())))
            + "))"
            for name, params in SIGNATURES.items()
        ),
        ")",
    ]
)
OPENAT2 = 437
CREATE, DIRECTORY = 1, 2
OUT, BUFFER, VECTOR, PATH = 0, 64, 512, 1024

LINKS = {
    "file-link": "file",
    "folder-link": "folder",
    "link-link": "file-link",
    "dots": "folder/../file",
    "folder/up": "../file",
    "slash": "folder/",
    "file-slash": "file/",
    "here": ".",
    "above": "..",
    "outside": "../secret",
    "folder/outside": "../../secret",
    "dangling": "nothing",
    "loop": "loop",
    "folder/new": "../created",
}
NAMES = [
    "file",
    "folder",
    "folder/inner",
    "folder/inner/deep",
    *LINKS,
    "absolute",
    "root",
    "nothing",
    ".",
    "..",
]
PATHS = [
    *NAMES,
    *(f"{name}/" for name in NAMES),
    *(f"{name}/." for name in NAMES),
    *(f"{name}/.." for name in NAMES),
    *(f"{name}/../file" for name in NAMES),
    *(f"./{name}//file" for name in NAMES),
    *(f"folder/../{name}" for name in NAMES),
    *("", "/", "/etc/passwd", "../mount/file", "folder/../../mount/file", "folder/inner/../../../secret"),
    *("folder/" * 500 + "x", "folder/../" * 300 + "file", "./" * 1500 + "file", "n" * 255, "n" * 256),
    *("chain5", "chain6", "chain45", "chain45/", "created"),
]


def refuse_openat2(error: int) -> None:
    """Have openat2 fail in this process, as a filter of system calls does."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 0),
            (jump_if_equal, 0, 1, OPENAT2),
            (answer, 0, 0, 0x00050000 | error),
            (answer, 0, 0, 0x7FFF0000),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    set_no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    if prctl(set_no_new_privileges, 1, 0, 0, 0) or prctl(set_seccomp, filter_mode, filters, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def build(folder: Path) -> Path:
    """Make the files and links below a mount, and a file beside it."""
    mount = folder / "mount"
    (mount / "folder/inner/deep").mkdir(parents=True)
    (folder / "secret").write_text("secret")
    (mount / "file").write_text("file")
    (mount / "folder/file").write_text("folder/file")
    for name, target in LINKS.items():
        (mount / name).symlink_to(target)
    (mount / "absolute").symlink_to(folder / "secret")
    (mount / "root").symlink_to("/")
    (mount / "chain0").symlink_to("file")
    for number in range(1, 46):
        (mount / f"chain{number}").symlink_to(f"chain{number - 1}")
    return mount


def answers(mount: Path) -> dict[str, list[int | str]]:
    """What each function answers for each path: an errno, or what was read."""
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    store = WasmStore(engine, wasi=WasiConfig(preopens={"/": rw(mount)}))
    exports = linker.instantiate(store, WasmModule(engine, WAT)).exports
    memory = exports.memory

    def text(path: str) -> tuple[int, int]:
        memory.write(PATH, path.encode())
        return PATH, len(path.encode())

    def read(follow: int, oflags: int, path: str) -> int | str:
        """Open and read; a negative errno of opening, of reading a positive one."""
        errno = exports.path_open(3, follow, *text(path), oflags, 2, 0, 0, OUT)
        if errno:
            return -errno
        fd = memory.read_u32(OUT)
        memory.write(VECTOR, struct.pack("<II", BUFFER, 64))
        errno = exports.fd_read(fd, VECTOR, 1, OUT)
        exports.fd_close(fd)
        return errno or memory.read(BUFFER, memory.read_u32(OUT)).decode()

    tried = {}
    for path in PATHS:
        tried[path] = [
            read(1, 0, path),
            read(0, 0, path),
            read(1, DIRECTORY, path),
            exports.path_filestat_get(3, 1, *text(path), OUT),
            exports.path_filestat_get(3, 0, *text(path), OUT),
            exports.path_readlink(3, *text(path), BUFFER, 64, OUT),
            exports.path_create_directory(3, *text(path)),
        ]
        if tried[path][-1] == 0:
            tried[path].append(exports.path_remove_directory(3, *text(path)))
        tried[path].append(read(1, CREATE, path))
    for path in PATHS:
        tried[path].append(exports.path_unlink_file(3, *text(path)))
        tried[path].append(exports.path_remove_directory(3, *text(path)))
    return tried


def main() -> None:
    """Try the paths, and print the answers as JSON."""
    folder, error = Path(sys.argv[1]), int(sys.argv[2])
    mount = build(folder)
    if error:
        refuse_openat2(error)
    told = answers(mount)
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    print(json.dumps({"answers": told, "left": left, "secret": (folder / "secret").read_text()}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
