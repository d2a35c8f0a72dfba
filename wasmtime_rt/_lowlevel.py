"""The engine's C API: the only module that imports the compiled extension.

It checks at import that the extension is of this version of the package and that the engine library
in the process is the one that the extension was compiled against, and it holds `Handle`, by which
everything that is reference-counted in C is owned.
"""

from __future__ import annotations

import functools
from typing import Any

from ._version import __version__
from .errors import ClosedError, WasmtimeError

_REINSTALL = "reinstall it: pip install --force-reinstall wasmtime-rt"

try:
    from . import _ffi  # type: ignore[attr-defined]
except ImportError as problem:
    if "subinterpreter" in str(problem):
        raise ImportError(
            "wasmtime_rt works in the main interpreter only, not in a subinterpreter"
        ) from problem
    raise ImportError(
        f"wasmtime_rt: its compiled extension does not load ({problem}); {_REINSTALL}"
    ) from problem

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

# Only now: where neither extension fits, the one that cannot be done without says why.
from . import _backend  # noqa: E402

accel, backend = _backend.accel, _backend.backend

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
    have run, which may still use the object. The pure-cffi backend lives with that.

    Args:
        pointer: The C object.
        delete: The name of the C function that deletes it.
        memory: What ``pointer`` points into, where Python owns that.
    """
    if accel is None:
        return ffi.gc(pointer, getattr(lib, delete)), memory
    return accel.own(address_of(pointer), address_of(ffi.addressof(lib, delete)), memory, 1)


def disown(owner: Any) -> None:
    """Let what `own` returned delete nothing: the C object is somebody else's now."""
    if accel is None:
        ffi.gc(owner[0], None)
    else:
        owner.disown()


def owning(pointer: Any, owner: Any) -> Any:
    """``pointer``, keeping alive the ``owner`` that `own` returned for it.

    A buffer does it, not ``ffi.gc``, for the same reason.
    """
    if accel is None:
        return ffi.gc(pointer, functools.partial(_keep, owner))
    return ffi.from_buffer(ffi.typeof(pointer), owner)


def view_of(pointer: Any, size: int, keeper: Any) -> memoryview:
    """A writable view of ``size`` bytes at ``pointer``, which keeps ``keeper`` alive."""
    if accel is None:
        return memoryview(ffi.buffer(ffi.gc(pointer, functools.partial(_keep, keeper)), size)).cast("B")
    return memoryview(accel.own(address_of(pointer), 0, keeper, size))


def _keep(_owner: object, _pointer: Any) -> None:
    """The end of a pointer that kept an owner alive."""


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


def take_bytes(vector: Any) -> bytes:
    """The content of a ``wasm_byte_vec_t *``, which is freed."""
    content = bytes(ffi.buffer(vector.data, vector.size)) if vector.size else b""
    lib.wasm_byte_vec_delete(vector)
    return content


def text_of(name: Any) -> str:
    """The content of a borrowed ``wasm_name_t *`` as text."""
    return bytes(ffi.buffer(name.data, name.size)).decode(errors="replace") if name.size else ""
