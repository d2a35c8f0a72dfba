"""The module of a sandbox: compiled earlier, by this process or another one, or compiled now, within limits.

Nothing interrupts the compiler, so limits on it need a process of its own (`_elsewhere`), which takes a
twentieth of a second to start. What is small enough is compiled here nevertheless: its size bounds the work.
Either way the result is kept in this process, found by the content and the engine, and what took a process is
kept in the folder of the cache, too.
"""

from __future__ import annotations

import itertools
import os
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING

from ._importing import Importing
from .engine import WasmEngine
from .module import WasmModule, is_text, to_binary

if TYPE_CHECKING:
    from .module_cache import ModuleCache

#: The limits that hold unless others are given. Of processor time and memory QuickJS, of 0.6 MB, takes 1.5
#: seconds and 40 MiB; esbuild, of 20 MB, 27 seconds and 400 MiB; Yosys, of 69 MB, 104 seconds and 1.4 GiB.
TIMEOUT, TIMEOUT_PER_BYTE = 60.0, 10.0 / (1 << 20)
MEMORY, MEMORY_PER_BYTE = 256 << 20, 40
#: Bytes of WebAssembly that are compiled in this process. The compiler's work grows with the third power of a
#: hostile module's size: the worst modules found take 0.3 seconds and 12 MiB with 512 bytes, 0.5 seconds and
#: 110 MiB with 1 KiB, 5 seconds and 1 GiB with 2 KiB, and minutes with 4 KiB: `tests/front/compile_bombs.py`.
_SMALL = 512
#: Limits below these are kept for small modules, too.
_SMALL_SECONDS, _SMALL_MEMORY = 1.0, 64 << 20
#: Bytes of text that are translated in this process: the work grows with the square of a hostile text's size,
#: and takes 10 milliseconds here.
_SMALL_TEXT = 64 << 10


def load(
    engine: WasmEngine,
    content: bytes,
    cache: bool | str | os.PathLike[str] | ModuleCache,
    timeout: float | EllipsisType | None,
    memory: int | EllipsisType | None,
) -> WasmModule:
    """Return the module of ``content``: kept in this process, from the cache, or compiled within limits.

    Args:
        engine: The engine, which is not closed.
        content: What `read_content` returned.
        cache: As for `WasmModule.load`; ``False`` leaves out the memory of this process, too.
        timeout: Seconds that compiling may take; ``None`` is no limit, ``...`` the default.
        memory: Bytes that compiling may take; likewise.

    Raises:
        CompileError: It is not valid.
        LimitError: Compiling it takes longer, or more.
        WasmtimeError: The process that compiles cannot be started, or ended without an answer.
    """
    timeout, memory = limits_for(len(content), timeout, memory)
    compile_ = partial(_compile, timeout=timeout, memory=memory)
    if cache is False:
        return compile_(engine, _translated_if_small(content))
    with Importing():
        from .module_cache import ModuleCache, digest_of  # noqa: PLC0415  slow to import

    if not isinstance(cache, ModuleCache):
        cache = ModuleCache(None if cache is True else cache)
    digest = digest_of(content)
    key = engine, cache.folder, digest
    found = recent.get(key)
    if found is None:
        content = _translated_if_small(content)
        if _is_small(content, timeout, memory):  # it takes no longer than looking for it
            found = WasmModule(engine, content)
        else:
            found = cache._load(engine, content, digest, compile_)
        if engine.config.pooling_allocation_strategy is None:  # whose engine goes with its sandbox
            recent.put(key, found)
    return found


def limits_for(
    size: int, timeout: float | EllipsisType | None = ..., memory: int | EllipsisType | None = ...
) -> tuple[float | None, int | None]:
    """Return the limits for compiling ``size`` bytes: those given, or the defaults."""
    if isinstance(timeout, EllipsisType):
        timeout = TIMEOUT + size * TIMEOUT_PER_BYTE
    if isinstance(memory, EllipsisType):
        memory = MEMORY + size * MEMORY_PER_BYTE
    return timeout, memory


def translate(content: bytes, timeout: float | None, memory: int | None) -> bytes:
    """Return the binary module of ``content``, which `read_content` returned, translated within limits.

    Raises:
        CompileError: It is text, and not WAT.
        LimitError: Translating it takes longer, or more.
        WasmtimeError: The process that translates cannot be started, or ended without an answer.
    """
    content = _translated_if_small(content)
    if timeout is None and memory is None:
        return to_binary(content)
    if not is_text(content):
        return content
    with Importing():
        from ._elsewhere import translate_elsewhere  # noqa: PLC0415  rarely needed

    return translate_elsewhere(content, timeout=timeout, memory=memory)


def _translated_if_small(content: bytes) -> bytes:
    return to_binary(content) if len(content) <= _SMALL_TEXT else content


def _is_small(content: bytes, timeout: float | None, memory: int | None) -> bool:
    """Whether compiling ``content`` in this process keeps the limits, by its size."""
    return (
        len(content) <= _SMALL
        and (timeout is None or timeout >= _SMALL_SECONDS)
        and (memory is None or memory >= _SMALL_MEMORY)
    )


def _compile(engine: WasmEngine, content: bytes, *, timeout: float | None, memory: int | None) -> WasmModule:
    if (timeout is None and memory is None) or _is_small(content, timeout, memory):
        return WasmModule(engine, content)
    with Importing():
        from ._elsewhere import compile_elsewhere  # noqa: PLC0415  rarely needed

    return compile_elsewhere(engine, content, timeout=timeout, memory=memory)


# ---- What this process has compiled or loaded lately

_Key = tuple[WasmEngine, str | None, str]
_clock = itertools.count()


class _Entry:
    __slots__ = ("module", "size", "used")

    def __init__(self, module: WasmModule) -> None:
        first, end = module.image_range
        self.module, self.used = module, next(_clock)
        #: Bytes that it takes: the code, and about as much as Python and the engine have for it.
        self.size = end - first + (1 << 16) + (len(module.imports) + len(module.exports) << 10)


class RecentModules:
    """Modules by engine, folder of the cache and checksum; the least recently used ones go first.

    There is no lock, which a finalizer or a forked child could wait for: each step is one operation of a
    dict, and whatever happens between two of them, an entry is at worst missing. Each entry is a copy of the
    module that the sandbox got, which its user may close. It keeps no callables alive.
    """

    MAX_SIZE = 128 << 20
    """Bytes that the entries may take together."""
    MAX_ENTRIES = 64
    """How many entries there may be: each may hold a file descriptor."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry] = {}

    def get(self, key: _Key) -> WasmModule | None:
        """Return a copy of the module at ``key``, or ``None``."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.used = next(_clock)
        return entry.module.__copy__()

    def put(self, key: _Key, module: WasmModule) -> None:
        """Keep a copy of ``module``, unless it is too large."""
        entry = _Entry(module.__copy__())
        if entry.size <= self.MAX_SIZE:
            self._entries[key] = entry
            self._shrink()

    def _shrink(self) -> None:
        try:
            entries = self._entries.copy()
        except RuntimeError:  # a finalizer changed it meanwhile: the next one shrinks it
            return
        size = sum(entry.size for entry in entries.values())
        for key, entry in sorted(entries.items(), key=lambda item: item[1].used):
            if size <= self.MAX_SIZE and len(entries) <= self.MAX_ENTRIES:
                break
            size -= entry.size
            del entries[key]
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries = {}

    @property
    def size(self) -> int:
        """Bytes that the entries take."""
        return sum(entry.size for entry in self._entries.copy().values())

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._entries)


recent = RecentModules()
os.register_at_fork(after_in_child=recent.clear)
