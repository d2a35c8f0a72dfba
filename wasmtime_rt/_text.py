"""Bounds for text that a module can shape: its names, and messages that quote them. Plain Python.

A module's names can be megabytes long, can hold escape sequences for terminals, and can change the direction
of text. `shown_name` bounds one name, `shown_text` a whole message, and `listed` a list of names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

#: Characters of a name that are shown.
NAME_SIZE = 256
#: Characters of a message that are shown.
TEXT_SIZE = 1 << 16
#: Characters of one line in a message of many.
LINE_SIZE = 1024
#: Items of a list that are shown.
LIST_SIZE = 20


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def shown_name(name: str, size: int = NAME_SIZE) -> str:
    """Return ``name`` in at most ``size`` characters, all of which are printable."""
    cut = name[: size + 1]
    if not cut.isprintable():
        cut = _escaped(cut)
    return cut if len(cut) <= size else cut[: size - 3] + "..."


def _printable_line(line: str) -> str:
    """Return ``line`` with what is neither printable nor a tab escaped."""
    return line if line.isprintable() else "\t".join(map(_escaped, line.split("\t")))


def shown_text(text: str) -> str:
    """Return ``text`` in about 64 KiB at most; what is not printable, a tab or a newline is escaped."""
    cut = "\n".join(map(_printable_line, text[:TEXT_SIZE].split("\n")))
    if len(text) <= TEXT_SIZE and len(cut) <= TEXT_SIZE:
        return cut
    return f"{cut[:TEXT_SIZE]}\n... (cut: the whole text has {len(text)} characters)"


def quoted(module: str, name: str) -> str:
    """Return the two names of an import, each bounded and in quotation marks."""
    return f'"{shown_name(module)}" "{shown_name(name)}"'


def listed(items: Collection[str]) -> str:
    """Return the first names of ``items``, each bounded, and how many more there are."""
    return first_of(map(shown_name, items), len(items))


def first_of(items: Iterable[str], count: int, separator: str = ", ", size: int = LIST_SIZE) -> str:
    """Return the first ``size`` of ``count`` bounded items, and how many more there are."""
    text = separator.join(islice(items, size))
    return text if count <= size else f"{text}{separator}and {count - size} more"
