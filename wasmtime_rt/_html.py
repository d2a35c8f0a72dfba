"""Tables for notebooks: what ``_repr_html_`` returns. Plain Python; what modules say is text in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ._text import LINE_SIZE, TEXT_SIZE, shown_name

_ROWS_AT_MOST = 200


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of ``rows``, cut short where it is very long."""
    given = list(rows)
    head = "".join(f"<th style='text-align:left'>{escape(column)}</th>" for column in columns)
    lines: list[str] = []
    size = 0
    for row in given:
        cells = "".join(
            f"<td style='text-align:left'><code>{escape(shown_name(str(cell)))}</code></td>" for cell in row
        )
        size += len(cells)
        if len(lines) == _ROWS_AT_MOST or size > TEXT_SIZE:
            lines.append(f"<tr><td colspan='{len(columns)}'>and {len(given) - len(lines)} more</td></tr>")
            break
        lines.append(f"<tr>{cells}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>" if given else ""
    shown = escape(shown_name(title, LINE_SIZE))
    caption = f"<caption style='text-align:left;caption-side:top'><b>{shown}</b></caption>"
    return f"<table>{caption}{body}</table>"
