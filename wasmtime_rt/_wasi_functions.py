"""The functions of WASI preview 1, as definitions of a linker.

The engine provides them to stores that have a `WasiConfig`; without one a call would end the process, so that
every way to a function leads past `check_wasi`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._failure import check
from ._linking import Definition, HostDefinition
from ._lowlevel import Handle, ffi, lib
from ._process import start_wasi
from .errors import WasmExit, WasmtimeError
from .externs import EXTERN_OF
from .func import WasmFunc
from .types import WasmFuncType

if TYPE_CHECKING:
    from .store import WasmStore

WASI = "wasi_snapshot_preview1"


def _proc_exit(code: int) -> None:
    # The engine's own loses codes from 126 on.
    raise WasmExit(code & 0xFFFFFFFF)


#: The functions of WASI preview 1: the widths of their parameters; all but `proc_exit` return an i32.
_TYPES = {
    name: WasmFuncType(
        [{"i": "i32", "I": "i64"}[width] for width in widths], ["i32"] if name != "proc_exit" else []
    )
    for name, widths in {
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
    }.items()
}


def check_wasi(store: WasmStore, name: str) -> None:
    """Refuse the function ``name`` of WASI to a store without WASI, and where WASI cannot run.

    Raises:
        ForkError: WASI ran before this process was forked.
        WasmtimeError: The store has none; or WASI cannot be started.
    """
    if store._wasi is None:
        raise WasmtimeError(
            f'"{WASI}" "{name}" is part of WASI, which this store has not: '
            "WasmStore(engine, wasi=WasiConfig(...))"
        )
    if not store._core.runs_wasi:
        start_wasi()
        store._core.runs_wasi = True


class WasiDefinition(Definition):
    """A function of WASI, which the engine provides to stores that have a `WasiConfig`.

    Attributes:
        linker: The C linker that defines it, with all of WASI.
        name: Its name in `WASI`.
    """

    __slots__ = ("linker", "name")

    type: WasmFuncType

    def __init__(self, linker: Handle, name: str, func_type: WasmFuncType) -> None:
        self.linker, self.name, self.type = linker, name, func_type

    def make(self, store: WasmStore, _func_type: WasmFuncType, out: bytearray, at: int) -> None:
        """Make the function in ``store``."""
        handle = ffi.buffer(self.func_in(store))
        out[at + EXTERN_OF : at + EXTERN_OF + len(handle)] = handle[:]
        out[at] = WasmFunc._KIND

    def func_in(self, store: WasmStore) -> Any:
        """The function in ``store``, as a ``wasmtime_func_t *``.

        Raises:
            WasmtimeError: The store has no WASI.
        """
        check_wasi(store, self.name)
        names, found = (WASI.encode(), self.name.encode()), ffi.new("wasmtime_extern_t *")
        with store._core as context:
            linker = self.linker.get()
            if not lib.wasmtime_linker_get(
                linker, context, names[0], len(names[0]), names[1], len(names[1]), found
            ):
                raise WasmtimeError(f'the engine has no "{WASI}" "{self.name}"')  # pragma: no cover
        return ffi.new("wasmtime_func_t *", found.of.func)


def wasi_linker(engine: Any) -> Handle:
    """A C linker of the ``wasm_engine_t *`` ``engine`` that defines WASI."""
    linker = Handle(lib.wasmtime_linker_new(engine), "wasmtime_linker_delete", "linker")
    check(lib.wasmtime_linker_define_wasi(linker.get()))
    return linker


def wasi_definitions(linker: Handle) -> dict[str, Definition]:
    """The functions of WASI by name, out of what `wasi_linker` made; `proc_exit` is ours."""
    made: dict[str, Definition] = {
        name: WasiDefinition(linker, name, func_type) for name, func_type in _TYPES.items()
    }
    made["proc_exit"] = HostDefinition(_proc_exit, _TYPES["proc_exit"])
    return made
