"""Rewriting the names in a module before the engine compiles it. Plain Python.

The engine demangles the names of functions when it formats a trap, and when it writes a profile or a perf
map. A name of 260 bytes can demangle to gigabytes, because C++ names may refer to their own parts. The engine
also copies the names of all frames when it captures a trap. So the engine gets names of a bounded length with
``$`` in front, which no demangler accepts.

The rewritten section is appended to the module, and the old one stays in its place under another name of the
same length, which the engine ignores. So all offsets stay, those of the code and those in error messages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ._text import NAME_SIZE

#: What the engine gets in front of each function's name. It cannot begin a mangled name.
PREFIX = "$"
#: Bytes of a function's name; longer ones are dropped. The longest in twenty real modules has 7,798.
LONGEST_NAME = 16 << 10
#: Names of functions in a section; one with more is ignored. The engine allows as many functions in a module.
_NAMES_AT_MOST = 1_000_000

_CUSTOM, _MODULE, _FUNCTIONS, _LOCALS = 0, 0, 1, 2
_NAME, _DWARF = b"name", b".debug_"


class _Malformed(Exception):
    """The engine will refuse this part, or ignore it."""


def without_prefix(name: str) -> str:
    """Return the name of a function as the module has it, given the name as the engine has it."""
    return name.removeprefix(PREFIX)


def rewrite_names(wasm: bytes, *, keep_dwarf: bool = False) -> bytes:
    """Return the module ``wasm`` with names that are safe for the engine.

    Args:
        wasm: A binary module, which need not be valid. The returned one is then invalid in the same place.
        keep_dwarf: Whether the engine is to see the sections of debug information.
    """
    names: list[tuple[int, int]] = []
    renamed: list[int] = []
    complete = True
    try:
        for name, at, start, end in _custom_sections(wasm):
            if name == _NAME:
                names.append((start, end))
                renamed.append(start - 1)
            elif not keep_dwarf and name.startswith(_DWARF):
                renamed.append(at)
    except _Malformed:
        complete = False
    if not renamed:
        return wasm
    rewritten = b""
    if complete and len(names) == 1:
        with contextlib.suppress(_Malformed):
            rewritten = _rewritten(wasm, *names[0])
    parts: list[bytes | memoryview] = []
    view, done = memoryview(wasm), 0
    for at in renamed:
        parts += (view[done:at], b"_")  # "nam_", "_debug_info"
        done = at + 1
    return b"".join((*parts, view[done:], rewritten))


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the unsigned integer of at most 32 bits in LEB128 at ``at``, and the offset behind it."""
    result = shift = 0
    while at < end and shift < 35:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            if result >= 1 << 32:
                break
            return result, at
        shift += 7
    raise _Malformed


def _encoded(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _custom_sections(wasm: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield the start of each custom section's name, and the offsets of the name, the content and the end."""
    at, size = 8, len(wasm)
    while at < size:
        section = wasm[at]
        length, at = _number(wasm, at + 1, size)
        end = at + length
        if end > size:
            raise _Malformed
        if section == _CUSTOM:
            length, start = _number(wasm, at, end)
            if start + length > end:
                raise _Malformed
            yield wasm[start : start + min(length, 16)], start, start + length, end
        at = end


def _rewritten(wasm: bytes, at: int, end: int) -> bytes:
    """Return a name section with what the engine needs of the content between two offsets of ``wasm``."""
    kept: dict[int, bytes] = {}
    while at < end:
        kind = wasm[at]
        length, at = _number(wasm, at + 1, end)
        stop = at + length
        if stop > end or kind in kept:
            raise _Malformed
        if kind == _MODULE:
            length, start = _number(wasm, at, stop)
            if start + length != stop:
                raise _Malformed
            name = wasm[start : min(stop, start + NAME_SIZE)].decode(errors="ignore").encode()
            kept[kind] = _encoded(len(name)) + name
        elif kind == _FUNCTIONS:
            kept[kind] = _rewritten_functions(wasm, at, stop)
        elif kind == _LOCALS:
            kept[kind] = wasm[
                at:stop
            ]  # the engine reads these for DWARF of its own only, and copies each once
        at = stop
    content = b"".join(bytes((kind,)) + _encoded(len(part)) + part for kind, part in sorted(kept.items()))
    section = _encoded(len(_NAME)) + _NAME + content
    return bytes((_CUSTOM,)) + _encoded(len(section)) + section


def _rewritten_functions(wasm: bytes, at: int, end: int) -> bytes:
    count, at = _number(wasm, at, end)
    if count > _NAMES_AT_MOST:
        raise _Malformed
    parts: list[bytes] = []
    add, prefix = parts.append, PREFIX.encode()
    kept = 0
    for _ in range(count):
        begin = at
        while at < end and wasm[at] >= 0x80:  # the function's index, which is copied as it is
            at += 1
        at += 1
        index = wasm[begin:at]
        if at >= end or len(index) > 5:
            raise _Malformed
        length = wasm[at]
        if length < 0x80:
            at += 1
        else:
            length, at = _number(wasm, at, end)
        stop = at + length
        if stop > end:
            raise _Malformed
        if length < LONGEST_NAME and ((name := wasm[at:stop]).isascii() or _is_utf8(name)):
            length += 1
            add(index + (_LENGTHS[length] if length < 0x80 else _encoded(length)) + prefix + name)
            kept += 1
        at = stop
    if at != end:
        raise _Malformed
    return b"".join((_encoded(kept), *parts))


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


_LENGTHS = [_encoded(length) for length in range(0x80)]
