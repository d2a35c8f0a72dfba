"""The stamp: what `WasmModule.serialize` writes behind the engine's bytes, and what loading asks of it.

Serialized modules are machine code, and the engine believes what they say about themselves: loading bytes
that something else wrote, or that were damaged on the way, is running them. So the stamp is read and held
against the content before the engine sees a byte. It stands behind the content, where the engine ignores it;
in front of it the engine would not map a file.

It guards against accidents and mix-ups, not against forgery: whoever can write the bytes can stamp them.

::

    content     the engine's bytes
    facts       JSON: the engine's version, its settings, what `_binary` read from the WebAssembly
    footer      96 bytes: SHA-256 of the content, its size, the size of the facts, the version of this format,
                SHA-256 of the facts and of the footer up to here, the magic number
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._binary import ModuleShape, TableLimits
from ._importing import Importing
from ._record import Record
from .errors import DeserializeError

_MAGIC = b"\x89wasmtime_rt\r\n\x1a\n"
#: 2: the shape tells of a heap. 3: the names of functions begin with ``$``, see `_guest_names`.
_FORMAT = 3
_FRONT = struct.Struct("<32sQII")
_BACK = struct.Struct("<32s16s")
_MOST_FACTS = 64 << 20  # a million tables with long names
_FOOTER_SIZE = _FRONT.size + _BACK.size

#: Settings that compiled code does not depend on; and, by how they begin, those of allocators and caches. The
#: engine checks its own part again, and says what does not fit.
_ELSEWHERE = frozenset(
    {
        "async_stack_size",
        "macos_use_mach_ports",
        "max_wasm_stack",
        "memory_reservation_for_growth",
        "parallel_compilation",
        "profiling_strategy",
    }
)
_ELSEWHERE_BEGINNINGS = ("cache", "pooling")


class Stamp(Record):
    """What a stamp says.

    Attributes:
        size: Bytes of content in front of it.
        digest: SHA-256 of the content.
        engine: The version of the engine.
        settings: What `settings_of` said.
        shape: What the engine cannot tell about the module.
        source: SHA-256 of the WebAssembly, in hexadecimal digits, where the cache wrote it.
    """

    size: int
    digest: bytes
    engine: str
    settings: dict[str, str]
    shape: ModuleShape
    source: str | None = None


def settings_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings that were given to an engine and that compiled code depends on, as text that compares."""
    return {
        name: _text(value)
        for name, value in sorted(settings.items())
        if name not in _ELSEWHERE and not name.startswith(_ELSEWHERE_BEGINNINGS)
    }


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_text(value[key])}" for key in sorted(value)) + "}"
    # An enumerated setting counts by its number: how it is printed depends on the version of Python.
    return repr(value if isinstance(value, bool) or not isinstance(value, int) else int(value))


def digest_of(chunks: Iterable[memoryview]) -> bytes:
    """The checksum of ``chunks`` one after the other; other threads go on meanwhile."""
    with Importing():
        import hashlib  # noqa: PLC0415  slow to import, and rarely needed

    checksum = hashlib.sha256()
    for chunk in chunks:
        checksum.update(chunk)
    return checksum.digest()


def stamp(
    content: memoryview,
    engine: str,
    settings: dict[str, str],
    shape: ModuleShape,
    source: str | None = None,
) -> bytes:
    """The stamp for ``content``, to be put behind it."""
    with Importing():
        import hashlib  # noqa: PLC0415  slow to import, and rarely needed
        import json  # noqa: PLC0415

    facts = json.dumps(
        {
            "engine": engine,
            "settings": settings,
            "imported_tables": [(at, limits._values()) for at, limits in shape.imported_tables.items()],
            "exported_tables": {name: limits._values() for name, limits in shape.exported_tables.items()},
            "passed_on": shape.passed_on,
            "heap": shape.heap,
            "memory": shape.memory,
            **({} if source is None else {"source": source}),
        },
        separators=(",", ":"),
    ).encode()
    front = _FRONT.pack(digest_of((content,)), len(content), len(facts), _FORMAT)
    return facts + front + _BACK.pack(hashlib.sha256(facts + front).digest(), _MAGIC)


def read_stamp(where: str, size: int, part: Callable[[int, int], bytes]) -> Stamp | None:
    """The stamp at the end of ``size`` bytes, or ``None`` where there is none. The content is not looked at.

    Args:
        where: What the bytes are, for messages.
        size: How many there are.
        part: Gives some of them: from an offset on, so many.

    Raises:
        DeserializeError: The stamp is damaged, does not fit the size, or is of another version of the format.
    """
    if size < _FOOTER_SIZE:
        return None
    footer = part(size - _FOOTER_SIZE, _FOOTER_SIZE)
    front, back = footer[: _FRONT.size], footer[_FRONT.size :]
    if len(footer) != _FOOTER_SIZE or not back.endswith(_MAGIC):
        return None
    with Importing():
        import hashlib  # noqa: PLC0415  slow to import, and rarely needed
        import json  # noqa: PLC0415

    digest, content_size, facts_size, version = _FRONT.unpack(front)
    if version != _FORMAT:
        raise DeserializeError(f"{where}: its stamp has format {version}, this package reads {_FORMAT}")
    expected = content_size + facts_size + _FOOTER_SIZE
    if size != expected:
        raise DeserializeError(f"{where}: damaged: expected {expected} bytes by its stamp, got {size}")
    if facts_size > _MOST_FACTS:
        raise DeserializeError(f"{where}: damaged: its stamp has {facts_size} bytes, too many")
    facts = part(content_size, facts_size)
    if hashlib.sha256(facts + front).digest() != back[: -len(_MAGIC)]:
        raise DeserializeError(f"{where}: damaged: its stamp does not match its own checksum")
    try:
        told = json.loads(facts)
        shape = ModuleShape(
            {position: TableLimits(*limits) for position, limits in told["imported_tables"]},
            {name: TableLimits(*limits) for name, limits in told["exported_tables"].items()},
            told["passed_on"],
            bool(told["heap"]),
            bool(told["memory"]),
        )
        engine, settings, source = told["engine"], told["settings"], told.get("source")
        if not all(
            isinstance(text, str) for text in (engine, "" if source is None else source, *settings.values())
        ):
            raise TypeError
        return Stamp(content_size, digest, engine, settings, shape, source)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise DeserializeError(f"{where}: its stamp was not written by this package") from None


def check_stamp(found: Stamp, where: str, engine: str, settings: dict[str, str]) -> None:
    """Refuse what another engine compiled, or one with other settings.

    Raises:
        DeserializeError: It was; the text says what differs.
    """
    if found.engine != engine:
        raise DeserializeError(
            f"{where}: compiled by Wasmtime {found.engine}, this is {engine}: compile it again"
        )
    if found.settings != settings:
        names = [
            name
            for name in sorted({*settings, *found.settings})
            if found.settings.get(name) != settings.get(name)
        ]
        theirs, ours = (
            ", ".join(f"{name}={side.get(name, 'default')}" for name in names)
            for side in (found.settings, settings)
        )
        raise DeserializeError(f"{where}: compiled with {theirs}, this engine has {ours}: compile it again")


def check_content(found: Stamp, where: str, digest: bytes) -> None:
    """Refuse content that is not what was stamped.

    Raises:
        DeserializeError: Its ``digest`` is another one.
    """
    if digest != found.digest:
        raise DeserializeError(f"{where}: damaged: the content does not match the checksum in its stamp")


def unstamped(where: str, head: bytes) -> DeserializeError:
    """What to say about bytes without a stamp that start with ``head``."""
    if head.startswith(b"\0asm"):
        what = "this is WebAssembly, not a serialized module: give it to WasmModule(engine, source)"
    elif head.startswith(b"\x7fELF"):
        what = (
            "compiled code without the stamp of WasmModule.serialize: cut short, or written by something "
            "else; trusted=True loads it, and with it whatever it does"
        )
    else:
        what = f"not a serialized module: it starts with {head[:8]!r}"
    return DeserializeError(f"{where}: {what}")
