"""Modules: compiled code, what it asks for and offers, and its serialized form. Also the text format.

The engine's C API has no way to custom sections, nor to the name that a module gives itself.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union, overload

from . import _stamp
from ._abstract import AbstractModule, begin
from ._binary import ModuleShape, module_shape
from ._compiling import compile_module, validate
from ._exact import exact_bytes, utf8
from ._failure import check, shows_dwarf
from ._guest_names import rewrite_names
from ._host_files import open_input, read_file
from ._importing import Importing
from ._lowlevel import (
    Handle,
    address_of,
    byte_vector,
    check_native_stack,
    engine_version,
    ffi,
    lib,
    take_bytes,
)
from ._reflect import module_exports, module_imports
from ._text import shown_name
from ._trial import try_module
from .engine import WasmEngine, check_engine
from .errors import CompileError, DeserializeError, WrongEngineError
from .types import WasmExportType, WasmImportType, WasmTableType
from .values import shown

if TYPE_CHECKING:
    from typing_extensions import Self

    from .module_cache import ModuleCache

Source = Union[str, bytes, bytearray, memoryview, "os.PathLike[str]"]
"""WAT text as ``str``, a binary module or WAT as bytes, or the path of a file with either."""

_numbers = itertools.count(1)
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
        text = utf8(text, "surrogatepass")
    elif not isinstance(text, (bytes, bytearray, memoryview)):
        raise TypeError(f"text: expected str or bytes, got {type(text).__name__}")
    data = exact_bytes(text)
    check_native_stack()
    made = byte_vector()
    check(lib.wasmtime_wat2wasm(data, len(data), made), CompileError)
    return take_bytes(made)


def read_source(source: Source) -> bytes:
    """Return the binary module that ``source`` is, names, or spells. It is never compiled code.

    Raises:
        CompileError: If it is text, and not WAT.
        BaseException: What `read_content` raises.
    """
    if isinstance(source, str):
        if source and "(" not in source and "\n" not in source:
            raise CompileError(f"{source!r} is not WAT, which a str is taken for: a file is a pathlib.Path")
        return wat2wasm(source)
    return to_binary(read_content(source))


def read_content(source: Source, max_size: int | None = None) -> bytes:
    """Return the bytes that ``source`` is or names: a binary module, or what may be WAT.

    Args:
        source: The bytes of a module or of WAT, or the path of a file with either.
        max_size: Bytes that a file may have; 1 GiB by default, beyond which the engine refuses modules.

    Raises:
        CompileError: If the bytes are compiled code, or neither a module nor WAT.
        LimitError: If it is the path of a file with more than ``max_size`` bytes.
        OSError: If it is the path of a file that cannot be read.
        TypeError: If it is neither bytes nor a path.
        ValueError: If it is the path of a pipe or a device.
    """
    if isinstance(source, os.PathLike):
        data = read_file(source, "source", max_size)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = exact_bytes(source)
    else:
        raise TypeError(f"source: expected WAT text, bytes or a path, got {type(source).__name__}")
    if data.startswith(_MAGIC):
        return data
    if data[:4] == b"\x7fELF":
        raise CompileError(
            "not a WebAssembly module but compiled code (ELF): WasmModule.deserialize and .deserialize_file "
            "load what WasmModule.serialize wrote"
        )
    if not data or data[0] < 0x09:
        raise CompileError(
            f"not a WebAssembly module: expected it to start with {_MAGIC!r}, got {data[:8]!r}"
        )
    return data


def is_text(content: bytes) -> bool:
    """Whether ``content``, which `read_content` returned, may be WAT, and is no binary module."""
    return not content.startswith(_MAGIC)


def to_binary(content: bytes) -> bytes:
    """Return the binary module of ``content``, which `read_content` returned.

    Raises:
        CompileError: ``content`` is text, and not WAT.
    """
    return wat2wasm(content) if is_text(content) else content


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

    `serialize` and `deserialize_file` save the time of compiling it again. Pickling does the same, so that
    a module can be sent to the processes of ``multiprocessing``: there it belongs to an engine of that
    process with an equal `WasmConfig`, ``module.engine``, which is made if there is none. A copy, shallow
    or deep, is a module of its own that shares the code: closing one leaves the other.

    Custom sections, and the name that a module gives itself, are not to be had: the engine's C API has no way
    to them, and the WebAssembly is not kept.

    >>> import wasmtime_rt as w
    >>> module = w.WasmModule(w.WasmEngine(), '''(module
    ...     (import "env" "log" (func (param i32))) (memory (export "memory") 1 4))''')
    >>> for item in (*module.imports, *module.exports):
    ...     print(item)
    (import "env" "log" (func (param i32)))
    (export "memory" (memory 1 4))

    Args:
        engine: The engine to compile with.
        source: WAT text (``str``), a binary module or WAT (bytes), or a path (``pathlib.Path``).

    Raises:
        CompileError: It is not valid, or uses a feature that the engine has off.
        LimitError: If the file has more than 1 GiB.
        OSError: The file cannot be read.
        TypeError: An argument is of the wrong type.
        ValueError: If the path names a pipe or a device.
        ClosedError: The engine was closed.

    C API: ``wasmtime_module_new``, ``wasmtime_module_delete``, ``wasmtime_module_imports``,
    ``wasmtime_module_exports``.
    """

    __slots__ = ("__weakref__", "_engine", "_exports", "_handle", "_imports", "_shape")

    def __init__(self, engine: WasmEngine, source: Source) -> None:
        begin(self, "_handle")
        check_engine(engine)
        wasm = read_source(source)
        if wasm.startswith(_COMPONENT):
            raise CompileError("this is a component, not a module: components are not supported yet")
        pointer = engine._pointer
        debug_info = engine._plain_config.debug_info
        bounded = rewrite_names(wasm, keep_dwarf=debug_info or shows_dwarf())
        if debug_info:
            # For debug information the engine reads functions before it validates them, and dies of bad ones.
            validate(engine, bounded)
            if b".debug_" in wasm:  # it may die of bad DWARF, too, which no validation finds
                try_module(engine._plain_config, bounded)
        self._adopt(engine, pointer, compile_module(engine, pointer, bounded), module_shape(wasm))

    def _adopt(self, engine: WasmEngine, engine_pointer: Any, pointer: Any, shape: ModuleShape) -> None:
        self._engine = engine
        handle = Handle(pointer, "wasmtime_module_delete", "module")
        kept = handle.get()
        self._shape = shape
        self._imports = module_imports(kept, engine_pointer, shape)
        self._exports = module_exports(kept, engine_pointer, shape)
        self._handle = handle
        engine._modules[next(_numbers)] = self

    @classmethod
    def from_file(cls, engine: WasmEngine, path: str | os.PathLike[str]) -> WasmModule:
        """Compile the file at ``path``: a binary module or WAT.

        Raises:
            CompileError: It is not valid.
            LimitError: If it has more than 1 GiB.
            OSError: It cannot be read.
            ValueError: If ``path`` names a pipe or a device.
        """
        return cls(engine, read_file(path, "path"))

    @staticmethod
    def load(
        engine: WasmEngine, source: Source, *, cache: bool | str | os.PathLike[str] | ModuleCache = True
    ) -> WasmModule:
        """The module that ``source`` is, compiled only if no earlier run of any program did so.

        Args:
            engine: The engine to compile with.
            source: As for `WasmModule`.
            cache: ``True`` for the cache in its usual place, a folder, a `ModuleCache`, or ``False``.

        Raises:
            CompileError: It is not valid, or uses a feature that the engine has off.
            OSError: The file cannot be read. What is wrong with the cache raises nothing.
            TypeError: An argument is of the wrong type.
        """
        if cache is False:
            return WasmModule(engine, source)
        with Importing():
            from .module_cache import ModuleCache  # noqa: PLC0415  which imports this module

        if not isinstance(cache, ModuleCache):
            cache = ModuleCache(None if cache is True else cache)
        return cache.load(engine, source)

    @staticmethod
    def validate(engine: WasmEngine, data: Source) -> None:
        """Check that ``data`` is a valid module, without compiling it.

        Raises:
            CompileError: It is not; the text says where and why.

        C API: ``wasmtime_module_validate``.
        """
        validate(check_engine(engine), read_source(data))

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

    @property
    def image_range(self) -> tuple[int, int]:
        """Where its image lies in memory, compiled code included: the first address and the one past the end.

        For profilers and crash reports: an address in between belongs to this module. It says nothing once
        the module is gone.

        Raises:
            ClosedError: It was closed.

        C API: ``wasmtime_module_image_range``.
        """
        pointer, ends = self._handle.get(), ffi.new("void *[2]")
        lib.wasmtime_module_image_range(pointer, ends, ends + 1)
        return address_of(ends[0]), address_of(ends[1])

    # ---- Serialized form

    def serialize(self) -> bytes:
        """The compiled code as bytes, for `deserialize`, or as a file for `deserialize_file`.

        They hold machine code for this kind of processor, this version of the engine and the settings of
        this engine, and a stamp by which loading tells all that. They do not hold the WebAssembly.

        >>> import wasmtime_rt as w
        >>> engine = w.WasmEngine()
        >>> data = w.WasmModule(engine, '(module (func (export "f")))').serialize()
        >>> print(*w.WasmModule.deserialize(engine, data).exports)
        (export "f" (func))

        Raises:
            ClosedError: The module was closed.

        C API: ``wasmtime_module_serialize``.
        """
        return self._serialized()

    def _serialized(self, source: str | None = None) -> bytes:
        """Its serialized form; the stamp names the checksum of the WebAssembly, if one is given."""
        pointer = self._handle.get()
        made = byte_vector()
        check(lib.wasmtime_module_serialize(pointer, made))
        content = memoryview(ffi.buffer(made.data, made.size))
        old = _stamp.read_stamp("module", len(content), _parts_of(content))
        if old is not None:  # what was mapped from a file comes with the stamp that the file has
            content = content[: old.size]
        return b"".join(
            (content, _stamp.stamp(content, engine_version, _settings(self._engine), self._shape, source))
        )

    @classmethod
    def deserialize(
        cls, engine: WasmEngine, data: bytes | bytearray | memoryview, *, trusted: bool = False
    ) -> Self:
        """The module that `serialize` made ``data`` of, without compiling it.

        Serialized modules are machine code, and the engine believes what they say: loading damaged or
        foreign ones can do anything, crashes included. So only what `serialize` wrote is taken, by the
        same version of the engine with the same settings, and unchanged by its checksum. That tells
        accidents, not forgery: load only what you would run as a program, as with ``pickle``.

        Args:
            engine: The engine to load it into.
            data: What `serialize` returned.
            trusted: Take code without the stamp too, such as ``wasmtime compile`` writes, and leave out
                the checksum of the content. A module without the stamp may neither import nor export
                tables: the engine cannot tell their limits without ending the process in some cases.

        Raises:
            DeserializeError: It is nothing that `serialize` wrote, or is damaged, cut short, or of another
                version of the engine or other settings.
            TypeError: An argument is of the wrong type.
            ClosedError: The engine was closed.

        C API: ``wasmtime_module_deserialize``.
        """
        check_engine(engine)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data: expected the bytes of a serialized module, got {type(data).__name__}")
        data = exact_bytes(data)  # of its own, where another could change it after the checks
        found = _stamp.read_stamp("data", len(data), _parts_of(data))
        if found is None and not trusted:
            raise _stamp.unstamped("data", data[:8])
        content = memoryview(data)[: found.size if found is not None else len(data)]
        if found is not None:
            _stamp.check_stamp(found, "data", engine_version, _settings(engine))
            if not trusted:
                _stamp.check_content(found, "data", _stamp.digest_of((content,)))
        return cls._load("data", engine, found, lib.wrt_module_deserialize, content)

    @classmethod
    def deserialize_file(
        cls, engine: WasmEngine, path: str | os.PathLike[str], *, trusted: bool = False
    ) -> Self:
        """The module whose serialized form is in the file at ``path``, which is mapped into memory.

        The same is checked as by `deserialize`. The checksum takes about as long as reading the file;
        ``trusted=True`` leaves it out, and the file is mapped at once, pages being read when they are
        needed and shared between processes.

        While the module or one of its instances lives, the engine holds the file open, and it must not be
        changed in place or cut short, which would change or end the running program: put a new file in its
        place by renaming. It must be as safe from others as the program itself.

        Args:
            engine: The engine to load it into.
            path: The file, with exactly what `serialize` returned.
            trusted: As for `deserialize`.

        Raises:
            DeserializeError: As for `deserialize`.
            OSError: The file cannot be read.
            TypeError: An argument is of the wrong type.
            ValueError: If ``path`` names a pipe or a device.
            ClosedError: The engine was closed.

        C API: ``wasmtime_module_deserialize_file``.
        """
        return cls._from_file(engine, path, trusted=trusted)

    @classmethod
    def _from_file(cls, engine: WasmEngine, path: str | os.PathLike[str], *, trusted: bool = False) -> Self:
        check_engine(engine)
        opened = open_input(path, "path", instead="read it and give the bytes to deserialize")
        try:
            return cls._from_descriptor(engine, opened, path, trusted=trusted)
        finally:
            os.close(opened)

    @classmethod
    def _from_descriptor(
        cls,
        engine: WasmEngine,
        opened: int,
        path: str | os.PathLike[str],
        *,
        trusted: bool = False,
        source: str | None = None,
    ) -> Self:
        """Load an open file; only one of WebAssembly with the checksum ``source``, if it is given."""
        where, status = str(path), os.fstat(opened)
        found = _stamp.read_stamp(where, status.st_size, lambda at, size: os.pread(opened, size, at))
        if found is None and not trusted:
            raise _stamp.unstamped(where, os.pread(opened, 8, 0))
        if source is not None and (found is None or found.source != source):
            raise DeserializeError(f"{where}: it was compiled from something else")
        if found is not None:
            _stamp.check_stamp(found, where, engine_version, _settings(engine))
            if not trusted:
                _stamp.check_content(found, where, _stamp.digest_of(_chunks(opened, found.size)))
        # The file that was checked, whatever has that name by now; and any name will do.
        same = f"/proc/self/fd/{opened}"
        name = same.encode() if os.path.exists(same) else os.fsencode(path)
        return cls._load(where, engine, found, lib.wrt_module_deserialize_file, name)

    @classmethod
    def _load(
        cls, where: str, engine: WasmEngine, found: _stamp.Stamp | None, load: Any, source: memoryview | bytes
    ) -> Self:
        """The module that the engine makes of ``source``, whose stamp was checked."""
        check_native_stack()
        lib.wrt_signals_restore()
        pointer, made = engine._pointer, ffi.new("wasmtime_module_t **")
        if isinstance(source, memoryview):
            arguments: tuple[Any, ...] = (ffi.from_buffer("uint8_t[]", source), len(source))
        else:
            arguments = (source,)
        check(load(pointer, *arguments, made), DeserializeError, f"{where}: ")
        self = cls.__new__(cls)
        unknown = ModuleShape({}, {}, {}, heap=True, memory=True)
        self._adopt(engine, pointer, made[0], found.shape if found is not None else unknown)
        if found is None:
            items: tuple[WasmImportType | WasmExportType, ...] = (*self._imports, *self._exports)
            for item in items:
                if isinstance(item.type, WasmTableType):
                    raise DeserializeError(
                        f"{where}: it has no stamp, so nothing tells the limits of its table "
                        f"{shown_name(repr(item.name))}: compile the WebAssembly, or load what "
                        "WasmModule.serialize makes of it"
                    )
        return self

    def __reduce__(self) -> Any:
        return _restore, (type(self), self._engine, self.serialize()), getattr(self, "__dict__", None)

    def __copy__(self) -> Self:
        pointer, copied = self._handle.get(), type(self).__new__(type(self))
        copied._handle = Handle(lib.wasmtime_module_clone(pointer), "wasmtime_module_delete", "module")
        copied._engine, copied._shape = self._engine, self._shape
        copied._imports, copied._exports = self._imports, self._exports
        getattr(copied, "__dict__", {}).update(getattr(self, "__dict__", {}))
        copied._engine._modules[next(_numbers)] = copied
        return copied

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        with Importing():
            import copy  # noqa: PLC0415  rarely needed

        copied = self.__copy__()
        getattr(copied, "__dict__", {}).update(copy.deepcopy(getattr(self, "__dict__", {}), memo))
        return copied

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

    def _repr_html_(self) -> str:
        with Importing():
            from ._html import table  # noqa: PLC0415  for notebooks only

        title = f"WasmModule{'' if self.is_valid else ', closed'}: "
        imports = [("import", one.module, one.name, one.type) for one in self.imports]
        exports = [("export", "", one.name, one.type) for one in self.exports]
        counts = f"{len(imports)} imports, {len(exports)} exports"
        return table(title + counts, ("", "module", "name", "type"), [*imports, *exports])


def check_module(module: object) -> WasmModule:
    """``module`` itself.

    Raises:
        TypeError: It is no module.
    """
    if type(module) is WasmModule or isinstance(module, WasmModule):  # the first is the fast way
        return module
    raise TypeError(f"module: expected a WasmModule, got {shown(module)}")


def _settings(engine: WasmEngine) -> dict[str, str]:
    return _stamp.settings_of(engine._plain_config._given)


def _parts_of(data: bytes | memoryview) -> Callable[[int, int], bytes]:
    return lambda at, size: bytes(data[at : at + size])


def _chunks(opened: int, size: int) -> Iterator[memoryview]:
    """The first ``size`` bytes of a file. It is read, not mapped: it may be cut short meanwhile."""
    buffer, at = bytearray(min(size, 1 << 20)), 0
    while at < size and (count := os.preadv(opened, [memoryview(buffer)[: size - at]], at)):
        yield memoryview(buffer)[:count]
        at += count


def _restore(kind: type[WasmModule], engine: WasmEngine, data: bytes) -> WasmModule:
    """What a pickled module is made of again."""
    return kind.deserialize(engine, data)
