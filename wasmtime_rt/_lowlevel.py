"""The engine's C API: the only module that imports the compiled extensions, `_ffi` and `_accel`.

It checks at import that both are of this version of the package and that the engine library in the process is
the one that they were compiled against. It holds `Handle`, by which everything that is reference-counted in C
is owned.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ._version import __version__
from .errors import ClosedError, WasmtimeError

_REINSTALL = "reinstall it: pip install --force-reinstall wasmtime-rt"

if sys.implementation.name != "cpython":
    raise ImportError(
        "wasmtime_rt needs CPython: its accelerator uses CPython's C API, and this is "
        f"{sys.implementation.name}"
    )


def _load(extension: str, what: str) -> Any:
    try:
        return importlib.import_module(extension, __package__)
    except ImportError as problem:
        if "subinterpreter" in str(problem):
            raise ImportError(
                "wasmtime_rt works in the main interpreter only, not in a subinterpreter"
            ) from problem
        raise ImportError(f"wasmtime_rt: its {what} does not load ({problem}); {_REINSTALL}") from problem


_ffi = _load("._ffi", "compiled extension")
ffi: Any = _ffi.ffi
lib: Any = _ffi.lib
NULL: Any = ffi.NULL


def _check_build() -> None:
    built_for = ffi.string(lib.wrt_version).decode()
    if built_for != __version__:
        raise ImportError(
            f"wasmtime_rt {__version__}: its compiled extension is of {built_for}; {_REINSTALL}"
        )
    expected = ffi.string(lib.wrt_engine_build_id).decode()
    loaded = ffi.new("char[]", 129)
    found = ffi.string(loaded).decode() if lib.wrt_loaded_engine_build_id(loaded, 129) else "none"
    if found != expected:
        raise ImportError(
            f"wasmtime_rt {__version__}: the engine library is another one than it was built with: expected "
            f"build-id {expected}, got {found}; {_REINSTALL}"
        )


_check_build()

#: The accelerator: calls, host functions, `WasmFunc.map`, memory and the store's guard, in C.
accel: Any = _load("._accel", "accelerator")
if __version__ != accel.VERSION:
    raise ImportError(f"wasmtime_rt {__version__}: its accelerator is of {accel.VERSION}; {_REINSTALL}")

#: The version of the engine, as in ``"50.0.1"``.
engine_version: str = ffi.string(lib.wrt_engine_version).decode()


#: C stack that the engine's compiler and parsers may need. Trials of modules have a little less.
NATIVE_STACK = 512 * 1024


def check_native_stack() -> None:
    """Refuse to compile where this thread's stack is too small for it.

    Raises:
        WasmtimeError: The process could end otherwise.
    """
    left = lib.wrt_stack_left()
    if left < NATIVE_STACK:
        raise WasmtimeError(
            f"{NATIVE_STACK} bytes of stack are needed to compile, this thread has {left} left: give "
            "threads more with threading.stack_size()"
        )


def address_of(pointer: Any) -> int:
    """A C pointer as a number."""
    return int(ffi.cast("uintptr_t", pointer))


def own(pointer: Any, delete: str, memory: object = None) -> Any:
    """What deletes the C object at ``pointer`` when it is released, and not before.

    ``ffi.gc`` would do it when the garbage collector finalizes, before other finalizers of the same garbage
    have run, which may still use the object.

    Args:
        pointer: The C object.
        delete: The name of the C function that deletes it.
        memory: What ``pointer`` points into, where Python owns that.
    """
    return accel.own(address_of(pointer), address_of(ffi.addressof(lib, delete)), memory, 1)


def disown(owner: Any) -> None:
    """Let what `own` returned delete nothing: the C object is somebody else's now."""
    owner.disown()


def owning(pointer: Any, owner: Any) -> Any:
    """``pointer``, keeping alive the ``owner`` that `own` returned for it.

    A buffer does it, not ``ffi.gc``, for the same reason.
    """
    return ffi.from_buffer(ffi.typeof(pointer), owner)


def view_of(pointer: Any, size: int, keeper: Any) -> memoryview:
    """A writable view of ``size`` bytes at ``pointer``, which keeps ``keeper`` alive."""
    return memoryview(accel.own(address_of(pointer), 0, keeper, size))


class Handle:
    """A C object that is shared by counting: the engine frees it when the last owner lets go.

    Closing takes it away from later users. A call that is running with it on another thread keeps it
    alive until it returns, since `get` hands out an owning pointer.
    """

    __slots__ = ("_name", "_owner", "_pointer", "address")

    def __init__(self, pointer: Any, delete: str, name: str) -> None:
        self._owner = own(pointer, delete)
        self._pointer = owning(pointer, self._owner)
        self._name = name
        #: The pointer as a number.
        self.address = address_of(pointer)

    def get(self) -> Any:
        """The pointer: keep it in a variable while C works with it.

        Raises:
            ClosedError: `close` was called.
        """
        pointer = self._pointer
        if pointer is None:
            raise ClosedError(f"this {self._name} was closed")
        return pointer

    @property
    def is_open(self) -> bool:
        """Whether `get` will answer."""
        return self._pointer is not None

    def close(self) -> None:
        """Let go of the C object."""
        self._pointer = self._owner = None


def byte_vector() -> Any:
    """Return a new ``wasm_byte_vec_t *``, whose content is freed with it, for C to fill."""
    return ffi.gc(ffi.new("wasm_byte_vec_t *"), lib.wasm_byte_vec_delete)


def take_bytes(vector: Any) -> bytes:
    """Return the content of what `byte_vector` returned, and free it."""
    content = bytes(ffi.buffer(vector.data, vector.size)) if vector.size else b""
    lib.wasm_byte_vec_delete(vector)
    return content


def text_of(name: Any) -> str:
    """The content of a borrowed ``wasm_name_t *`` as text."""
    return bytes(ffi.buffer(name.data, name.size)).decode(errors="replace") if name.size else ""
