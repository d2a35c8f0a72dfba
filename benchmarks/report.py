"""Run the benchmarks, or read the figures of a run, and write docs/benchmarks.md with its charts.

python benchmarks/report.py [FILE.json]
"""

from __future__ import annotations

import argparse
import html
import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

from floor.build_floor import compiler
from run import PASSES, PEERS, SECONDS, Figures, failures, number, ratio, run, table, verdict, why
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"

Results = dict[str, dict[str, Figures]]

CHARTS = {
    "calls": ("Calls", ["nop", "add_i32", "eight_f64", "v128", "externref", "multi_value", "trap"]),
    "callbacks": (
        "Callbacks, and calls that keep the GIL",
        ["host_callback", "nested_callback", "keep_gil_add", "keep_gil_callback"],
    ),
    "bulk": (
        "Bulk and start",
        [
            *("map", "string_round_trip", "instantiate_fresh", "instantiate_no_memory"),
            *("instantiate_prepared", "instantiate_pooled"),
        ],
    ),
    "memory": ("Memory", ["memory_read_16", "memory_write_16", "memory_read_1m", "memory_write_1m"]),
}
COLOURS = {
    "floor": "#6b7280",
    "c_loop": "#b0b6bf",
    "ours": "#2563eb",
    "ours_call": "#5b8def",
    "ctypes_binding": "#d97706",
    "pywasm3": "#16856b",
    "bytearray": "#a855a0",
}

# ---- Charts

LEFT, WIDTH, BAR, GAP, TOP = 270, 540, 13, 14, 64


def _text(x: float, y: float, text: str, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{extra}>{html.escape(text)}</text>'


def chart(title: str, results: Results, names: list[str]) -> str:
    """Bars for ratios to the floor, on a logarithmic scale, with the floor marked."""
    bars: list[tuple[str, list[tuple[str, float]]]] = []
    for name in names:
        row = results.get(name, {})
        found = [
            (peer, value) for peer in row if (value := ratio(row, peer, "floor")) is not None and value > 0
        ]
        if found:
            bars.append((name, found))
    values = [value for _, found in bars for _, value in found]
    low = math.floor(math.log10(min([*values, 0.5])))
    high = math.ceil(math.log10(max([*values, 2.0])))

    def place(value: float) -> float:
        return LEFT + WIDTH * (math.log10(value) - low) / (high - low)

    body, y = [], float(TOP)
    for name, found in bars:
        body.append(_text(LEFT - 104, y + BAR * len(found) / 2 + 4, name, ' class="name" text-anchor="end"'))
        for peer, value in found:
            width = max(1.0, place(value) - LEFT)
            shape = f'x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 2}"'
            body.append(f'<rect {shape} fill="{COLOURS[peer]}"/>')
            body.append(_text(LEFT - 6, y + BAR - 3, PEERS[peer], ' text-anchor="end"'))
            label = f"{number(value) if value >= 10 else f'{value:.2f}'}"
            end = LEFT + width
            if place(1.0) - 32 < end < place(1.0):  # not across the mark
                end = place(1.0)
            body.append(_text(end + 4, y + BAR - 3, label))
            y += BAR
        y += GAP
    lines = []
    for power in range(low, high + 1):
        x = place(10.0**power)
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{y:.1f}" class="grid"/>')
        lines.append(_text(x, y + 12, f"{10.0**power:g}", ' text-anchor="middle"'))
    x = place(1.0)
    mark = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" y2="{y:.1f}" class="floor"/>'
    head = [
        _text(12, 22, title, ' class="title"'),
        _text(12, 38, "time as a ratio to the floor (dashed line), logarithmic; shorter is faster"),
        _text(x, TOP - 14, "floor", ' text-anchor="middle" class="name"'),
    ]
    size = f"{LEFT + WIDTH + 70} {y + 22:.0f}"
    style = (
        "text{font:11px sans-serif;fill:#374151}.title{font-size:15px}.title,.name{font-weight:bold}"
        ".grid{stroke:#d1d5db;stroke-width:.6}.floor{stroke:#111827;stroke-width:1.4;stroke-dasharray:5 3}"
    )
    parts = ['<rect width="100%" height="100%" fill="#fff"/>', *lines, *body, mark, *head]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img"><style>{style}</style>'
    )
    return "\n".join([opening, f"<title>{html.escape(title)}</title>", *parts, "</svg>"]) + "\n"


# ---- The page


def machine() -> str:
    """What ran this, in a line that names nobody."""
    made = subprocess.run([*compiler(), "-dumpversion"], capture_output=True, text=True, check=False)
    arch = platform.machine().replace("x86_64", "x86-64")
    python = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
    name = Path(compiler()[0]).name.split("-")[-1]
    return f"{os.cpu_count()} cores of an {arch} server, {python}, {name} {made.stdout.strip().split('.')[0]}"


def markdown(lines: list[list[str]], left: tuple[int, ...]) -> str:
    """A table."""
    rule = ["---" if i in left else "---:" for i in range(len(lines[0]))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def figures_table(results: Results) -> str:
    """Every figure."""
    lines = [["workload", "peer", "best", "median", "empty loop", "net", "to floor"]]
    for name, row in results.items():
        unit = WORKLOADS[name].unit
        for peer, figures in row.items():
            if "net" not in figures:
                if why(figures):
                    lines.append([name, PEERS[peer], "-", "-", "-", "-", why(figures).replace("|", "/")])
                continue
            to_floor = ratio(row, peer, "floor")
            cells = [f"{number(figures[key])} {unit}" for key in ("best", "median", "empty", "net")]
            lines.append([name, PEERS[peer], *cells, "" if to_floor is None else f"{to_floor:.2f}"])
    return markdown(lines, (0, 1))


def missed(results: Results) -> list[str]:
    """What misses its target, and by how much."""
    lines = []
    for name, row in results.items():
        workload = WORKLOADS[name]
        words, met = verdict(workload, row)
        if met is not False or workload.target is None:
            continue
        target = workload.target
        reached = ratio(row, "ours", target.peer) if target.peer else row["ours"]["best"]
        if reached is None:
            continue
        much = f"{abs(reached / target.limit - 1):.0%} beyond it" if target.peer else "reported, not required"
        by_method = ratio(row, "ours_call", target.peer) if target.peer else None
        also = "" if by_method is None else f" Through `f.call` it is {by_method:.2f}."
        lines.append(f"- **{name}** ({workload.title}): {words.rpartition(',')[0]}, {much}.{also}")
    return lines


def page(results: Results, peers: list[str], passes: int, seconds: float) -> str:
    """docs/benchmarks.md."""
    listed = missed(results)
    misses = "\n".join(listed) if listed else "Nothing, in this run."
    charts = "\n\n".join(f"![{title}](benchmarks-{key}.svg)" for key, (title, _) in CHARTS.items())
    times = {name: ratio(row, "ctypes_binding", "ours") for name, row in results.items()}
    calls = [value for name in ("nop", "add_i32", "eight_f64", "multi_value") if (value := times.get(name))]
    against = (
        f"Through ctypes a call takes {number(min(calls))} to {number(max(calls))} times as long: "
        "it asks the engine for the function's type and builds `ctypes` objects each time."
        if calls
        else ""
    )
    legend = "\n".join(f"| `{name}` | {WORKLOADS[name].title} |" for name in results)
    return f"""# Benchmarks

Benchmarks are hard: they measure the machine, its other work and the author's choices along with the code, so
read the ratios, which were taken side by side, and not the nanoseconds; and run them where it matters to you.

`make bench` prints the table, and `make bench-report` wrote this page. Machine: {machine()}.

## The table

Each figure is a ratio to the floor (1.00), which is C written by hand for that one signature; smaller is
faster. Where there is no floor the figure itself is given. A dash: not offered, see below for the reason.

{markdown(table(results, peers), (0, len(peers) + 2))}

| workload | what it does |
| --- | --- |
{legend}

{charts}

## What misses its target

{misses}

## The peers

- **floor**: a C extension (`benchmarks/floor/floor.c`) that has one method for each workload. It converts
  with CPython's own functions, drops the GIL, calls the engine, and converts back; callbacks take the GIL by
  `PyGILState_Ensure`. No checks of the store, the thread or the stack: it is not a library, only the least
  that C must do.
- **C loop**: the same calls in a loop in C, timed there. This is the engine alone.
- **ours**: `wasmtime_rt`, as `f(1, 2)`. **ours, f.call**: the same where the loop calls the method `f.call`
  and not the object `f`.
- **ctypes binding**: PyPI `wasmtime`, over the same version of the engine.
- **wasm3**: PyPI `pywasm3`, a C extension around an interpreter. It never drops the GIL, which spares it that
  time in each call and costs it the second thread. Its guests run slower, which short calls do not show.
- **bytearray**: the same slices of Python's own type.

## How it was measured

Each peer runs each workload in a fresh process. The answer is checked first, then the statement is warmed up
and timed in short rounds, each beside an empty loop. The peers of a workload took {passes} turns of about
{seconds:g} s each, so that other work on the machine hits all of them. The best round counts; the median
tells how quiet the machine was. The empty loop is subtracted before ratios are taken. Garbage collection
stays on. Imports are whole processes, less one that does nothing; memory is the peak of the process, less
what it had before.

`map` goes over 1,048,576 rows; peers without one loop over fewer rows in Python. `instantiate` counts
everything until the store is gone; wasm3 has to parse its module each time, and the ctypes binding uses its
prepared instances, which is the best that it has. In `string_round_trip` the floor is one C function for the
whole trip, the others are three calls from Python.
`keep_gil_*` compare with a floor that keeps the GIL too.

## What to read out of it

- The distance from the C loop to the floor is the price of being called from Python at all: conversion, and
  dropping and taking the GIL. The distance from the floor to ours is the price of the library: the signature
  that is looked up and not known, checks for the store, the thread and the stack, and exceptions that say
  what was wrong. Ours can be below the floor where it knows something that the floor asks CPython for, such
  as the thread state that a callback returns to.
- CPython 3.11 calls a builtin method, which the floor is, quicker than any object of an extension type: by
  about 90 instructions. `f.call` is a builtin method, too, so the row with it shows the library without that.
  On 3.10 and on 3.13 there is no such gap: the same `f(1, 2)` took 0.9 to 1.1 times the floor there.
- {against}
- A trap is dear in every peer of this engine, because the engine walks the stack for it. Ours gives an
  exception with a code and frames, the floor one with a text.
- A new instance with a memory costs what the system takes to map and unmap that memory; without one, the
  objects of Python show.
- Copies of 1 MiB are as fast as memory is, in all peers that copy once.
- `map` pays the border once for all rows, so it is close to the engine's own time for each.
- Where two threads do not reach twice the throughput of one although the GIL is dropped, compare the floor
  in the same row: what it misses the machine did not have to give.

## All figures

{figures_table(results)}
"""


def main() -> int:
    """Write the page and the charts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, help="figures from run.py --json, in place of a run")
    options = parser.parse_args()
    given = json.loads(options.file.read_text()) if options.file else None
    if given is None:
        results = run(list(WORKLOADS.values()), list(PEERS), PASSES, SECONDS)
        given = {"passes": PASSES, "seconds": SECONDS, "results": results}
    results = given["results"]
    peers = [peer for peer in PEERS if any(peer in row for row in results.values())]
    DOCS.mkdir(exist_ok=True)
    for key, (title, names) in CHARTS.items():
        (DOCS / f"benchmarks-{key}.svg").write_text(chart(title, results, names))
    (DOCS / "benchmarks.md").write_text(page(results, peers, given["passes"], given["seconds"]))
    for line in failures(results):
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failures(results) else 0


if __name__ == "__main__":
    sys.exit(main())
