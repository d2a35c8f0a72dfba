"""Modules: compiled code, and what it asks for and offers. Also the text format."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Union, overload

from ._abstract import AbstractModule, begin
from ._binary import module_shape
from ._failure import check
from ._lowlevel import Handle, check_native_stack, ffi, lib, take_bytes
from ._reflect import module_exports, module_imports
from .engine import WasmEngine, check_engine
from .errors import CompileError, WrongEngineError
from .types import WasmExportType, WasmImportType
from .values import shown

Source = Union[str, bytes, bytearray, memoryview, "os.PathLike[str]"]
"""WAT text as ``str``, a binary module or WAT as bytes, or the path of a file with either."""

_MAGIC = b"\0asm"
_COMPONENT = b"\0asm\x0d\0\1\0"


def wat2wasm(text: str | bytes) -> bytes:
    r"""Translate the text format into a binary module.

    >>> wat2wasm("(module)")
    b'\x00asm\x01\x00\x00\x00'

    Args:
        text: WAT, as ``str`` or as UTF-8 bytes.

    Returns:
        The binary module, which is not validated.

    Raises:
        CompileError: It is not WAT; the text gives line and column.
        TypeError: It is neither ``str`` nor bytes.

    C API: ``wasmtime_wat2wasm``.
    """
    if isinstance(text, str):
        text = text.encode(errors="surrogatepass")
    elif not isinstance(text, (bytes, bytearray, memoryview)):
        raise TypeError(f"text: expected str or bytes, got {type(text).__name__}")
    data = bytes(text)
    check_native_stack()
    made = ffi.new("wasm_byte_vec_t *")
    check(lib.wasmtime_wat2wasm(data, len(data), made), CompileError)
    return take_bytes(made)


def _content(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_source(source: Source) -> bytes:
    """The binary module that ``source`` is, names, or spells.

    Raises:
        CompileError: It is text, and not WAT.
        OSError: It is a path, and cannot be read.
        TypeError: It is neither text, bytes nor a path.
    """
    if isinstance(source, str):
        return wat2wasm(source)
    if isinstance(source, os.PathLike):
        data = _content(source)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    else:
        raise TypeError(f"source: expected WAT text, bytes or a path, got {type(source).__name__}")
    if data.startswith(_MAGIC):
        return data
    if not data or data[0] < 0x09 or data[:4] == b"\x7fELF":
        raise CompileError(
            f"not a WebAssembly module: expected it to start with {_MAGIC!r}, got {data[:8]!r}"
        )
    return wat2wasm(data)


class _IsValid:
    """``module.is_valid`` as for every resource; ``WasmModule.is_valid(engine, data)`` beside `validate`."""

    @overload
    def __get__(self, module: None, owner: type[WasmModule]) -> Callable[[WasmEngine, Source], bool]: ...
    @overload
    def __get__(self, module: WasmModule, owner: type[WasmModule]) -> bool: ...
    def __get__(
        self, module: WasmModule | None, owner: type[WasmModule]
    ) -> bool | Callable[[WasmEngine, Source], bool]:
        return module._handle.is_open if module is not None else _accepts


def _accepts(engine: WasmEngine, data: Source) -> bool:
    """Whether `WasmModule.validate` accepts ``data``."""
    try:
        WasmModule.validate(engine, data)
    except CompileError:
        return False
    return True


class WasmModule(AbstractModule):
    """Compiled code. Threads and stores share it; a `WasmInstance` brings it to life.

    Args:
        engine: The engine to compile with.
        source: WAT text (``str``), a binary module or WAT (bytes), or a path (``pathlib.Path``).

    Raises:
        CompileError: It is not valid, or uses a feature that the engine has off.
        OSError: The file cannot be read.
        TypeError: An argument is of the wrong type.
        ClosedError: The engine was closed.

    C API: ``wasmtime_module_new``.
    """

    __slots__ = ("__weakref__", "_engine", "_exports", "_handle", "_imports", "_shape")

    def __init__(self, engine: WasmEngine, source: Source) -> None:
        begin(self, "_handle")
        check_engine(engine)
        wasm = read_source(source)
        if wasm.startswith(_COMPONENT):
            raise CompileError("this is a component, not a module: its instances are made by other means")
        check_native_stack()
        made = ffi.new("wasmtime_module_t **")
        pointer = engine._pointer
        check(lib.wasmtime_module_new(pointer, wasm, len(wasm), made), CompileError)
        self._engine = engine
        self._handle = Handle(made[0], "wasmtime_module_delete", "module")
        self._shape = module_shape(wasm)
        self._imports = module_imports(made[0], pointer, self._shape)
        self._exports = module_exports(made[0], pointer, self._shape)

    @classmethod
    def from_file(cls, engine: WasmEngine, path: str | os.PathLike[str]) -> WasmModule:
        """Compile the file at ``path``: a binary module or WAT.

        Raises:
            CompileError: It is not valid.
            OSError: It cannot be read.
        """
        return cls(engine, _content(path))

    @staticmethod
    def validate(engine: WasmEngine, data: Source) -> None:
        """Check that ``data`` is a valid module, without compiling it.

        Raises:
            CompileError: It is not; the text says where and why.

        C API: ``wasmtime_module_validate``.
        """
        wasm = read_source(data)
        check_native_stack()
        check(lib.wasmtime_module_validate(check_engine(engine)._pointer, wasm, len(wasm)), CompileError)

    is_valid = _IsValid()
    """On a module, whether it was not closed; on the class, ``WasmModule.is_valid(engine, data)`` tells
    whether `validate` accepts ``data``."""

    @property
    def imports(self) -> tuple[WasmImportType, ...]:
        """What it asks for, in order."""
        return self._imports

    @property
    def exports(self) -> tuple[WasmExportType, ...]:
        """What it offers, in order."""
        return self._exports

    @property
    def engine(self) -> WasmEngine:
        """The engine that compiled it."""
        return self._engine

    def close(self) -> None:
        """Let go of the compiled code. Instances keep what they need."""
        self._handle.close()

    def _pointer_for(self, engine: WasmEngine) -> Any:
        """Its pointer, for use in a store of ``engine``."""
        if engine is not self._engine:
            raise WrongEngineError("the module was compiled by another engine than the store's")
        return self._handle.get()

    def __repr__(self) -> str:
        state = "" if self.is_valid else " closed"
        return f"<WasmModule {len(self.imports)} imports, {len(self.exports)} exports{state}>"


def check_module(module: object) -> WasmModule:
    """``module`` itself.

    Raises:
        TypeError: It is no module.
    """
    if type(module) is WasmModule or isinstance(module, WasmModule):  # the first is the fast way
        return module
    raise TypeError(f"module: expected a WasmModule, got {shown(module)}")
