"""What the command line shows: tables and progress, with rich where that is installed, else as plain text.

Rich is used on terminals only, so that what is piped is the same with it and without.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from ._text import shown_text

#: Seconds that something may take in silence.
_PATIENCE = 0.5


def _rich_console(stream: TextIO) -> Any:
    """A console of rich's for ``stream``, or ``None``."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console  # noqa: PLC0415  an extra, and slow to import
    except ImportError:
        return None
    return Console(file=stream)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; the columns of numbers are aligned to the right."""
    text = [[str(cell) for cell in row] for row in rows]
    right = [
        bool(rows) and all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))
    ]
    console = _rich_console(sys.stdout)
    if console is not None:
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        made = Table(title=title, title_justify="left", header_style="bold")
        for column, is_number in zip(columns, right, strict=True):
            made.add_column(column, justify="right" if is_number else "left", overflow="fold")
        for row in text:
            made.add_row(*map(Text, row))
        console.print(made)
        return
    widths = [max(map(len, column)) for column in zip(columns, *text, strict=True)]
    print(title)
    for line in (columns, *text):
        cells = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, right, strict=True)
        )
        print(f"  {'  '.join(cells)}".rstrip())


def problem(text: str) -> None:
    """Print one line about what went wrong."""
    line = shown_text(" ".join(text.split("\n", 1)[0].split())) or "unknown error"
    console = _rich_console(sys.stderr)
    if console is not None:
        from rich.text import Text  # noqa: PLC0415

        console.print(Text("wasmtime-rt: ", "bold red") + Text(line), soft_wrap=True)
    else:
        print(f"wasmtime-rt: {line}", file=sys.stderr)


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Say ``text`` on a terminal while a block runs, if it takes longer than a moment."""
    if not sys.stderr.isatty():
        yield
        return
    console, shown = _rich_console(sys.stderr), threading.Event()
    status = console.status(text) if console is not None else None

    def show() -> None:
        shown.set()
        if status is not None:
            status.start()
        else:
            print(f"{text} ...", end="", file=sys.stderr, flush=True)

    timer = threading.Timer(_PATIENCE, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if status is not None:
            status.stop()
        elif shown.is_set():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
