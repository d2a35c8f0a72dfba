"""The cache of compiled modules: a folder of what `WasmModule.serialize` makes, found by what was compiled.

An entry is named by the checksum of the WebAssembly, the engine's version and its settings, and its trailer
says the same; whatever does not match, or is damaged, is compiled again and replaced. Serialized modules are
machine code, so the folder is not used at all if another user can change it, its content, or the way to it.
It is opened once for each operation, and its files are reached by its descriptor. Entries are written beside
their place and renamed, so that processes may share a folder; the least recently used go when it grows too
large. A cache that cannot be used, for whatever reason, is as good as an empty one.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import time
from typing import TYPE_CHECKING

from . import _stamp
from ._cache_folder import default_folder, protect
from ._host_files import open_private_folder
from ._importing import Importing
from ._lowlevel import engine_version
from .engine import WasmEngine, check_engine
from .errors import DeserializeError
from .module import Source, WasmModule, _settings, read_content, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The names of entries, and of files that become entries: nothing else in the folder is ever removed.
_ENTRY = re.compile(r"[0-9a-f]{64}\.cwasm")
_TEMPORARY = re.compile(r"[0-9a-f]{32}\.writing")
#: Seconds after which a temporary file belongs to nobody any more.
_ABANDONED = 3600
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ModuleCache:
    """Compiled modules in a folder, for later runs of the same program, or of others.

    >>> import tempfile, wasmtime_rt as w
    >>> cache = ModuleCache(tempfile.mkdtemp())
    >>> engine = w.WasmEngine()
    >>> module = cache.load(engine, '(module (func (export "f") (result i32) (i32.const 42)))')
    >>> len(cache)
    1

    Args:
        folder: Where it is: made when it is first needed, for its owner alone. It and every folder above
            must belong to this user or root, and no other user may write them. A sticky folder such as
            ``/tmp`` is accepted above it, and so is one that only the user's own group may write. By default
            it is what the environment variable ``WASMTIME_RT_CACHE`` says (an absolute path, or ``off`` for
            no cache), or else the platform's place: ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux,
            ``~/Library/Caches`` on macOS, each with ``wasmtime_rt`` inside.
        max_size: Bytes that its entries may take together; the least recently used ones go first.

    Attributes:
        folder: Where it is, or ``None`` if the environment turns it off.
        max_size: Bytes that its entries may take together.

    Raises:
        TypeError: ``max_size`` is no int, or ``folder`` no path.
        ValueError: ``max_size`` is negative, or ``folder`` has a NUL.
    """

    __slots__ = ("folder", "max_size")

    folder: str | None
    max_size: int

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, max_size: int = 1 << 30) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int):
            raise TypeError(f"max_size: expected an int, got {max_size!r}")
        if max_size < 0:
            raise ValueError(f"max_size: expected 0 or more bytes, got {max_size}")
        if folder is not None:
            folder = os.path.abspath(os.fsdecode(folder))
            if "\0" in folder:
                raise ValueError(f"folder: a path has no NUL, got {folder!r}")
        if folder is not None:
            protect(folder)
        self.folder = default_folder() if folder is None else folder
        self.max_size = max_size

    def load(self, engine: WasmEngine, source: Source) -> WasmModule:
        """The module that ``source`` is: from the cache, or else compiled and put there.

        Raises:
            CompileError: It is not valid.
            OSError: It is a path that cannot be read. What is wrong with the cache raises nothing.
            TypeError: An argument is of the wrong type.
        """
        content = _content(source)
        return self._load(check_engine(engine), content, digest_of(content), WasmModule)

    def _load(
        self,
        engine: WasmEngine,
        content: bytes,
        digest: str,
        compile_: Callable[[WasmEngine, bytes], WasmModule],
    ) -> WasmModule:
        """Return the module of ``content``, whose `digest_of` is ``digest``, compiled if it has no entry."""
        with self._opened(make=True) as folder:
            if folder is not None:
                name = _name(engine, digest)
                found = self._read(folder, engine, name, digest)
                if found is None:
                    found = compile_(engine, content)
                    self._write(folder, name, found._serialized(digest))
                return found
        return compile_(engine, content)

    def is_cached(self, engine: WasmEngine, source: Source) -> bool:
        """Whether there is an entry for ``source``, which `load` would look into."""
        digest = digest_of(_content(source))
        with self._opened() as folder:
            if folder is not None:
                with contextlib.suppress(OSError):
                    os.close(_open_entry(folder, _name(engine, digest)))
                    return True
        return False

    def clear(self) -> None:
        """Remove all entries, and nothing else. Modules that were loaded from them keep working."""
        with self._opened() as folder:
            if folder is not None:
                for name, _ in self._scan(folder, _ENTRY):
                    _remove(folder, name)

    @property
    def problem(self) -> str | None:
        """Why the folder is not used, or ``None`` if it is used or the environment turns the cache off."""
        try:
            folder = self._open()
        except FileNotFoundError:
            return None
        except OSError as problem:
            return str(problem)
        if folder is not None:
            os.close(folder)
        return None

    @property
    def size(self) -> int:
        """Bytes that its entries take."""
        with self._opened() as folder:
            return sum(status.st_size for _, status in self._scan(folder, _ENTRY))

    def __len__(self) -> int:
        """How many entries there are."""
        with self._opened() as folder:
            return sum(1 for _ in self._scan(folder, _ENTRY))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<ModuleCache {self.folder or 'off'}>"

    # ---- The folder

    def _open(self, *, make: bool = False) -> int | None:
        """A descriptor of the folder, or ``None`` if the environment turns the cache off.

        Raises:
            OSError: If it is missing, cannot be used, or is not safe.
        """
        if self.folder is None:
            return None
        try:
            return open_private_folder(self.folder, make=make)
        except ValueError as problem:  # a character that no name can have
            raise OSError(str(problem)) from None

    @contextlib.contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[int | None]:
        """A descriptor of the folder, or ``None`` if it is not to be used."""
        folder = None
        with contextlib.suppress(OSError):
            folder = self._open(make=make)
        try:
            yield folder
        finally:
            if folder is not None:
                os.close(folder)

    def _read(self, folder: int, engine: WasmEngine, name: str, digest: str) -> WasmModule | None:
        """The module in an entry, if there is one that holds what was compiled from ``digest``."""
        try:
            opened = _open_entry(folder, name)
        except OSError:
            return None
        try:
            found = WasmModule._from_descriptor(
                engine, opened, os.path.join(self.folder or "", name), source=digest
            )
            with contextlib.suppress(OSError):
                os.utime(opened)
        except (DeserializeError, OSError):
            return None
        finally:
            os.close(opened)
        return found

    def _write(self, folder: int, name: str, data: bytes) -> None:
        if len(data) > self.max_size:
            return
        temporary = os.urandom(16).hex() + ".writing"
        with contextlib.suppress(OSError):
            opened = os.open(temporary, _WRITE, 0o600, dir_fd=folder)
            try:
                with open(opened, "wb") as file:
                    file.write(data)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                _remove(folder, temporary)
                raise
            self._shrink(folder)

    def _shrink(self, folder: int) -> None:
        """Remove what was not used for longest, until the rest fits."""
        entries = sorted(self._scan(folder, _ENTRY), key=lambda entry: entry[1].st_mtime_ns)
        size = sum(status.st_size for _, status in entries)
        for name, status in entries:
            if size <= self.max_size:
                break
            _remove(folder, name)
            size -= status.st_size
        for name, status in self._scan(folder, _TEMPORARY):
            if time.time() - status.st_mtime > _ABANDONED:
                _remove(folder, name)

    @staticmethod
    def _scan(folder: int | None, names: re.Pattern[str]) -> Iterator[tuple[str, os.stat_result]]:
        """The regular files whose names are among ``names``."""
        if folder is None:
            return
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if names.fullmatch(name):
                    with contextlib.suppress(OSError):  # another process removed it
                        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            yield name, status


def _name(engine: WasmEngine, digest: str) -> str:
    """The name of the entry for WebAssembly with this checksum."""
    with Importing():
        import hashlib  # noqa: PLC0415  slow to import
        import json  # noqa: PLC0415

    told = json.dumps([digest, engine_version, sys.platform, os.uname().machine, _settings(engine)])
    return hashlib.sha256(told.encode()).hexdigest() + ".cwasm"


def _content(source: Source) -> bytes:
    """Return what an entry for ``source`` is found by: the bytes of a module or of WAT, as they are."""
    return read_source(source) if isinstance(source, str) else read_content(source)


def digest_of(content: bytes) -> str:
    """Return the checksum of ``content`` that entries are found by, in hexadecimal digits."""
    return _stamp.digest_of((memoryview(content),)).hex()


def _open_entry(folder: int, name: str) -> int:
    """A descriptor of an entry that nobody but this user and root can have written.

    Another hard link to it does not matter: who may write the file is its own property.

    Raises:
        OSError: If there is none, or it may not be used.
    """
    opened = os.open(name, _READ, dir_fd=folder)
    status = os.fstat(opened)
    if (
        stat.S_ISREG(status.st_mode)
        and status.st_uid in {os.geteuid(), 0}
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        return opened
    os.close(opened)
    raise PermissionError(f"{name} is not a file that only this user may write")


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
