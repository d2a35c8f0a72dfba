"""The cache of compiled modules: a folder of what `WasmModule.serialize` makes, found by what was compiled.

An entry is named by the checksum of the WebAssembly, the engine's version and its settings, and its stamp
says the same; whatever does not match, or is damaged, is compiled again and replaced. Serialized modules are
machine code, so a folder or file that others may write is not used at all. Entries are written beside their
place and renamed, so that processes may share a folder; the least recently used go when it grows too large.
A cache that cannot be used, for whatever reason, is as good as an empty one.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from typing import TYPE_CHECKING

from . import _stamp
from ._importing import Importing
from ._lowlevel import engine_version
from .engine import WasmEngine, check_engine
from .errors import DeserializeError
from .module import Source, WasmModule, _settings, read_content, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SUFFIX = ".cwasm"
_TEMPORARY = ".writing"
#: Seconds after which a temporary file belongs to nobody any more.
_ABANDONED = 3600
_VARIABLE = "WASMTIME_RT_CACHE"
_OFF = {"0", "off", "no", "none"}


class ModuleCache:
    """Compiled modules in a folder, for later runs of the same program, or of others.

    >>> import tempfile, wasmtime_rt as w
    >>> cache = ModuleCache(tempfile.mkdtemp())
    >>> engine = w.WasmEngine()
    >>> module = cache.load(engine, '(module (func (export "f") (result i32) (i32.const 42)))')
    >>> len(cache)
    1

    Args:
        folder: Where it is: made when it is first needed, for its owner alone. By default what the
            environment variable ``WASMTIME_RT_CACHE`` says (``off`` for no cache), or else the platform's
            place: ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux, ``~/Library/Caches`` on macOS,
            ``%LOCALAPPDATA%`` on Windows, each with ``wasmtime_rt`` inside.
        max_size: Bytes that its entries may take together; the least recently used ones go first.

    Attributes:
        folder: Where it is, or ``None`` where the environment turns it off.
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
        path = self._path(engine, digest) if self._is_safe() else None
        if path is None:
            return compile_(engine, content)
        found = _read(engine, path, digest)
        if found is None:
            found = compile_(engine, content)
            self._write(path, found._serialized(digest))
        return found

    def is_cached(self, engine: WasmEngine, source: Source) -> bool:
        """Whether there is an entry for ``source``, which `load` would look into."""
        path = self._path(engine, digest_of(_content(source))) if self._is_safe() else None
        return path is not None and os.path.exists(path)

    def clear(self) -> None:
        """Remove all entries. Modules that were loaded from them keep working."""
        for entry in self._entries():
            _remove(entry.path)

    @property
    def size(self) -> int:
        """Bytes that its entries take."""
        return sum(status.st_size for _, status in self._with_status())

    def __len__(self) -> int:
        """How many entries there are."""
        return sum(1 for _ in self._entries())

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<ModuleCache {self.folder or 'off'}>"

    # ---- The folder

    def _path(self, engine: WasmEngine, digest: str) -> str | None:
        if self.folder is None:
            return None
        with Importing():
            import hashlib  # noqa: PLC0415  slow to import
            import json  # noqa: PLC0415

        told = json.dumps([digest, engine_version, sys.platform, _machine(), _settings(engine)])
        return os.path.join(self.folder, hashlib.sha256(told.encode()).hexdigest() + _SUFFIX)

    def _is_safe(self) -> bool:
        """Whether nobody else may write into the folder, which is made if there is none."""
        if self.folder is None:
            return False
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            return _is_ours(os.stat(self.folder), stat.S_ISDIR)
        except OSError:
            return False

    def _write(self, path: str, data: bytes) -> None:
        if len(data) > self.max_size:
            return
        with Importing():
            import tempfile  # noqa: PLC0415  slow to import

        with contextlib.suppress(OSError):
            file, temporary = tempfile.mkstemp(_TEMPORARY, dir=self.folder)  # for its owner alone
            try:
                with open(file, "wb") as opened:
                    opened.write(data)
                os.replace(temporary, path)
            except BaseException:
                _remove(temporary)
                raise
            self._shrink()

    def _shrink(self) -> None:
        """Remove what was not used for longest, until the rest fits."""
        entries = sorted(self._with_status(), key=lambda entry: entry[1].st_mtime_ns)
        size = sum(status.st_size for _, status in entries)
        for path, status in entries:
            if size <= self.max_size:
                break
            _remove(path)
            size -= status.st_size
        with contextlib.suppress(OSError):
            for entry in self._scan(_TEMPORARY):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED:
                    _remove(entry.path)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        return self._scan(_SUFFIX)

    def _with_status(self) -> Iterator[tuple[str, os.stat_result]]:
        for entry in self._entries():
            with contextlib.suppress(OSError):  # another process removed it
                yield entry.path, entry.stat(follow_symlinks=False)

    def _scan(self, suffix: str) -> Iterator[os.DirEntry[str]]:
        if self.folder is not None:
            with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
                yield from (entry for entry in entries if entry.name.endswith(suffix))


def _content(source: Source) -> bytes:
    """Return what an entry for ``source`` is found by: the bytes of a module or of WAT, as they are."""
    return read_source(source) if isinstance(source, str) else read_content(source)


def digest_of(content: bytes) -> str:
    """Return the checksum of ``content`` that entries are found by, in hexadecimal digits."""
    return _stamp.digest_of((memoryview(content),)).hex()


def default_folder() -> str | None:
    """Where the cache is unless something else is said; ``None`` where the environment turns it off."""
    told = os.environ.get(_VARIABLE)
    if told:
        return None if told.lower() in _OFF else os.path.abspath(told)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        told = os.environ.get("XDG_CACHE_HOME", "")
        base = told if os.path.isabs(told) else os.path.expanduser("~/.cache")
    return os.path.join(base, "wasmtime_rt") if os.path.isabs(base) else None


def _machine() -> str:
    return os.environ.get("PROCESSOR_ARCHITECTURE", "") if sys.platform == "win32" else os.uname().machine


def _is_ours(status: os.stat_result, kind: Callable[[int], bool]) -> bool:
    """Whether something is of a kind, and nobody but us and the system may write it."""
    if sys.platform == "win32":
        return kind(status.st_mode)  # who may write it, the folder's place says
    return (
        kind(status.st_mode)
        and status.st_uid in {os.geteuid(), 0}
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _read(engine: WasmEngine, path: str, digest: str) -> WasmModule | None:
    """The module in an entry, if there is one that holds what was compiled from ``digest``."""
    try:
        if not _is_ours(os.lstat(path), stat.S_ISREG):
            return None
        found = WasmModule._from_file(engine, path, source=digest)
        os.utime(path)
    except (DeserializeError, OSError):
        return None
    return found


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
