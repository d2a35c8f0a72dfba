"""A guest that exports the 46 functions of WASI preview 1 as they are: Python lays out its memory and calls them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Protocol

from wasmtime_rt import (
    WasiConfig,
    WasmEngine,
    WasmExit,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmtimeError,
    rw,
)

MODULE = "wasi_snapshot_preview1"

#: The parameters of each function: `i` is an i32, `I` an i64. All but `proc_exit` return an i32.
SIGNATURES = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "clock_res_get": "ii",
    "clock_time_get": "iIi",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_close": "i",
    "fd_datasync": "i",
    "fd_fdstat_get": "ii",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_prestat_dir_name": "iii",
    "fd_prestat_get": "ii",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_seek": "iIii",
    "fd_sync": "i",
    "fd_tell": "ii",
    "fd_write": "iiii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "poll_oneoff": "iiii",
    "proc_exit": "i",
    "proc_raise": "i",
    "random_get": "ii",
    "sched_yield": "",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}

PAGES = 2
SIZE = PAGES << 16


def type_of(name: str) -> str:
    """The parameters and the result of a function, as WAT."""
    params = " ".join({"i": "i32", "I": "i64"}[kind] for kind in SIGNATURES[name])
    return f"{f'(param {params})' if params else ''}{'' if name == 'proc_exit' else ' (result i32)'}"


def imports(*names: str) -> str:
    """Imports of functions as `$name`, in WAT; of all functions if none is named."""
    return "\n".join(
        f'(import "{MODULE}" "{name}" (func ${name} {type_of(name)}))' for name in names or SIGNATURES
    )


def wrappers(*names: str) -> str:
    """Exported functions that pass their arguments on to the functions of WASI, in WAT."""
    return "\n".join(
        f'(func (export "{name}") {type_of(name)} (call ${name} '
        + " ".join(f"(local.get {i})" for i in range(len(SIGNATURES[name])))
        + "))"
        for name in names or SIGNATURES
    )


WAT = f'(module {imports()} (memory (export "memory") {PAGES}) {wrappers()})'


class Guest(Protocol):
    """An instance of the guest, on this package's WASI or on the engine's."""

    def call(self, name: str, *args: int) -> int | str:
        """Call a function: its errno, `exit CODE`, or `trap`."""

    def read(self, at: int, size: int) -> bytes:
        """Copy bytes out of the memory."""

    def write(self, at: int, data: bytes) -> None:
        """Copy bytes into the memory."""

    def close(self) -> None:
        """Free the store."""


class OurGuest:
    """The guest on the WASI of this package."""

    _linker: WasmLinker | None = None

    def __init__(self, **config: Any) -> None:
        if OurGuest._linker is None:
            engine = WasmEngine()
            OurGuest._linker = WasmLinker(engine)
            OurGuest._linker.define_wasi()
            OurGuest._module = WasmModule(engine, WAT)
        self.store = WasmStore(OurGuest._module.engine, wasi=WasiConfig(**config))
        self.exports = OurGuest._linker.instantiate(self.store, OurGuest._module).exports
        self.memory = self.exports.memory

    def call(self, name: str, *args: int) -> int | str:
        try:
            return self.exports[name](*args)
        except WasmExit as ended:
            return f"exit {ended.code}"
        except WasmtimeError:
            return "trap"

    def read(self, at: int, size: int) -> bytes:
        return self.memory.read(at, size)

    def write(self, at: int, data: bytes) -> None:
        self.memory.write(at, data)

    def close(self) -> None:
        self.store.close()


class EngineGuest:
    """The guest on the engine's own functions, by way of the other binding of the same engine."""

    _linker: Any = None

    def __init__(self, argv: Any, env: Any, stdin: Path, stdout: Path, stderr: Path, preopens: Any) -> None:
        import wasmtime

        if EngineGuest._linker is None:
            engine = wasmtime.Engine()
            EngineGuest._linker = wasmtime.Linker(engine)
            EngineGuest._linker.define_wasi()
            EngineGuest._module = wasmtime.Module(engine, WAT)
        self._exit, self._failed = wasmtime.ExitTrap, (wasmtime.WasmtimeError, wasmtime.Trap)
        config = wasmtime.WasiConfig()
        config.argv = list(argv)
        config.env = list(env.items())
        config.stdin_file = stdin
        config.stdout_file = str(stdout)
        config.stderr_file = str(stderr)
        for guest, host in preopens.items():
            writable = isinstance(host, type(rw("")))
            config.preopen_dir(str(host.path if writable else host), guest, writable)
        self._store = wasmtime.Store(EngineGuest._linker.engine)
        self._store.set_wasi(config)
        self._exports = EngineGuest._linker.instantiate(self._store, EngineGuest._module).exports(self._store)
        self._memory = self._exports["memory"]

    def call(self, name: str, *args: int) -> int | str:
        try:
            return self._exports[name](self._store, *args)
        except self._exit as ended:
            return f"exit {ended.code}"
        except self._failed:
            return "trap"

    def read(self, at: int, size: int) -> bytes:
        return bytes(self._memory.read(self._store, at, at + size))

    def write(self, at: int, data: bytes) -> None:
        self._memory.write(self._store, data, at)

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self._store.close()
