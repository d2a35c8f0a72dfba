"""Time every workload of every peer, each in a fresh process, and print the table.

    python benchmarks/run.py [--smoke] [--only WORKLOAD,...] [--peers PEER,...] [--json FILE]

Benchmarks are hard: read the ratios, which are of one run on one machine, and not the nanoseconds. The
peers of a workload take turns, several times over, and the best of each counts, so that what else the
machine does hits all of them. The empty loop is subtracted before a ratio is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from floor.build_floor import build, load
from workloads import WORKLOADS, Workload

HERE = Path(__file__).resolve().parent

PEERS = {
    "floor": "floor",
    "c_loop": "C loop",
    "ours": "ours",
    "ours_call": "ours, f.call",
    "ctypes_binding": "ctypes binding",
    "pywasm3": "wasm3",
    "bytearray": "bytearray",
}
MUST_WORK = ("floor", "c_loop", "ours", "ours_call")
PASSES, SECONDS = 8, 0.1
SMOKE_PASSES, SMOKE_SECONDS = 1, 0.01
IMPORTS = 4
"""How many processes one turn of `import` takes."""
OURS = "from wasmtime_rt import WasmEngine, WasmInstance, WasmModule, WasmStore"
IMPORTS_OF = {
    "import": {
        "ours": "import wasmtime_rt",
        "ctypes_binding": "import wasmtime",
        "pywasm3": "import wasm3",
    },
    "import_names": {
        "ours": OURS,
        "ctypes_binding": "from wasmtime import Engine, Instance, Module, Store",
        "pywasm3": "from wasm3 import Environment, Runtime",
    },
}

Figures = dict[str, Any]


def _environment(folder: Path) -> dict[str, str]:
    """A process's environment, with a cache of bytecode that serves all peers alike."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def measure(peer: str, workload: Workload, module: Path, seconds: float) -> Figures:
    """One pass: the figures of one workload of one peer, or why there are none."""
    environment = _environment(module.parent)
    if workload.shape == "import":
        return measure_import(
            IMPORTS_OF[workload.name].get(peer), peer, environment, 1 if seconds == SMOKE_SECONDS else IMPORTS
        )
    command = [sys.executable, str(HERE / "measure.py"), peer, workload.name, str(module), str(seconds)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"failed": "it did not end"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return {"failed": f"signal {-done.returncode}" if done.returncode < 0 else last}
    figures: Figures = json.loads(done.stdout)
    return figures


def measure_import(statement: str | None, peer: str, environment: dict[str, str], times: int) -> Figures:
    """How long a process lasts that runs ``statement``, and one that does nothing; milliseconds."""
    if statement is None:
        return {"absent": ""}
    rounds: list[float] = []
    empty: list[float] = []
    for turn in range(times + 1):
        for program, spent in ((statement, rounds), ("pass", empty)):
            command = [sys.executable, "-c", program]
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if turn:  # the first one fills the cache of bytecode
                spent.append(1e3 * (time.perf_counter() - start))
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                return {"failed" if peer in MUST_WORK else "absent": reason}
    return {"rounds": rounds, "empty": min(empty)}


def combine(taken: dict[str, list[Figures]], unit: str) -> dict[str, Figures]:
    """The passes of each peer as one."""
    row = {}
    for peer, passes in taken.items():
        if missed := [figures for figures in passes if "rounds" not in figures]:
            row[peer] = missed[0]
            continue
        rounds = [value for figures in passes for value in figures["rounds"]]
        best = min(rounds)
        if unit == "times":  # the best of one thread against the best of two
            best = min(figures["one"] for figures in passes) / min(figures["two"] for figures in passes)
        row[peer] = {"best": best, "median": statistics.median(rounds)}
        row[peer]["empty"] = min(figures["empty"] for figures in passes)
    if unit == "ms":  # the empty process is the same for all
        empty = min((figures["empty"] for figures in row.values() if "empty" in figures), default=0.0)
        row = {
            peer: figures | {"empty": empty} if "empty" in figures else figures
            for peer, figures in row.items()
        }
    for figures in row.values():
        if "best" in figures:
            figures["net"] = figures["best"] - figures["empty"]
    return row


def run(workloads: list[Workload], peers: list[str], passes: int, seconds: float) -> dict[str, Any]:
    """All figures, by workload and peer; what comes is printed as it comes."""
    build()
    floor = load()
    results: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for workload in workloads:
            module = Path(folder) / f"{workload.name}.wasm"
            if workload.wat:
                module.write_bytes(floor.wat2wasm(workload.wat))
            taken: dict[str, list[Figures]] = {peer: [] for peer in peers}
            for _ in range(passes):
                for peer, figures in taken.items():
                    if not figures or "rounds" in figures[-1]:
                        figures.append(measure(peer, workload, module, seconds))
            row = combine(taken, workload.unit)
            results[workload.name] = row
            show(workload, row)
    return results


def ratio(row: dict[str, Figures], peer: str, to: str) -> float | None:
    """How ``peer`` compares with another, the empty loop subtracted from both."""
    if any("net" not in row.get(each, {}) for each in (peer, to)) or row[to]["net"] <= 0:
        return None
    return float(row[peer]["net"] / row[to]["net"])


def verdict(workload: Workload, row: dict[str, Figures]) -> tuple[str, bool | None]:
    """What was aimed at and what came out, in words, and whether it was met (None where nobody can tell)."""
    target = workload.target
    if target is None:
        return "", None
    if not target.peer:
        reached = row.get("ours", {}).get("best")
        wanted, met = f"≥ {target.limit:g}", reached is not None and reached >= target.limit
    else:
        reached = ratio(row, "ours", target.peer)
        wanted, met = (
            f"≤ {target.limit:g} times {PEERS[target.peer]}",
            (reached is not None and reached <= target.limit),
        )
    if reached is None:
        return wanted, None
    return f"{wanted}: {reached:.2f}, {'met' if met else 'missed' if target.gate else 'not reached'}", met


def number(value: float) -> str:
    """A figure with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def why(figures: Figures) -> str:
    """Why there is a dash."""
    return f"failed: {figures['failed']}" if "failed" in figures else str(figures.get("absent", ""))


def show(workload: Workload, row: dict[str, Figures]) -> None:
    """Print one workload: every peer's figures, and the verdict."""
    words, _ = verdict(workload, row)
    print(f"\n{workload.name}: {workload.title}" + (f"   [{words}]" if words else ""))
    print(f"  {'':<16}{'best ' + workload.unit:>12}{'median':>12}{'empty':>10}{'net':>12}{'to floor':>10}")
    for peer, figures in row.items():
        if "net" not in figures:
            if reason := why(figures):
                print(f"  {PEERS[peer]:<16}{'-':>12}  {reason}")
            continue
        values = "".join(
            f"{number(figures[key]):>{width}}"
            for key, width in (("best", 12), ("median", 12), ("empty", 10), ("net", 12))
        )
        to_floor = ratio(row, peer, "floor")
        print(f"  {PEERS[peer]:<16}{values}{'' if to_floor is None else f'{to_floor:.2f}':>10}")
    sys.stdout.flush()


def table(results: dict[str, dict[str, Figures]], peers: list[str]) -> list[list[str]]:
    """The summary: for each workload the floor's figure, everyone's ratio to it, the target."""
    lines = [["workload", "floor, net", *(PEERS[peer] for peer in peers), "target for ours"]]
    for name, row in results.items():
        workload = WORKLOADS[name]
        floor = row.get("floor", {}).get("net")
        cells = []
        for peer in peers:
            figures, to_floor = row.get(peer, {}), ratio(row, peer, "floor")
            if "net" not in figures:
                cells.append("-")
            elif to_floor is None or workload.unit == "times":
                cells.append(f"{number(figures['net'])} {workload.unit}")
            else:
                cells.append(number(to_floor) if to_floor >= 10 else f"{to_floor:.2f}")
        base = "-" if floor is None else f"{number(floor)} {workload.unit}"
        lines.append([name, base, *cells, verdict(workload, row)[0]])
    return lines


def show_table(results: dict[str, dict[str, Figures]], peers: list[str]) -> None:
    """Print the summary."""
    lines = table(results, peers)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print("\nRatios to the floor, the empty loop subtracted; its own figures where there is no floor:\n")
    for line in lines:
        last = len(line) - 1
        print(
            "  ".join(
                cell.ljust(width) if i in (0, last) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
        )


def failures(results: dict[str, dict[str, Figures]]) -> list[str]:
    """What went wrong where nothing may."""
    return [
        f"{name}: {PEERS[peer]}: {figures['failed']}"
        for name, row in results.items()
        for peer, figures in row.items()
        if peer in MUST_WORK and "failed" in figures
    ]


def chosen(text: str, known: dict[str, Any], what: str) -> list[str]:
    """The names in a list with commas."""
    names = text.split(",") if text else list(known)
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no {what} is called {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def main() -> int:
    """Print the table; the exit code tells whether ours and the floor answered, and rightly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="only see that everything works")
    parser.add_argument("--only", default="", metavar="WORKLOAD,...", help="these workloads")
    parser.add_argument("--peers", default="", metavar="PEER,...", help="these peers")
    parser.add_argument("--passes", type=int, help=f"how often the peers take turns ({PASSES})")
    parser.add_argument("--seconds", type=float, help=f"how long each turn lasts ({SECONDS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    passes, seconds = (SMOKE_PASSES, SMOKE_SECONDS) if options.smoke else (PASSES, SECONDS)
    workloads = [WORKLOADS[name] for name in chosen(options.only, WORKLOADS, "workload")]
    peers = chosen(options.peers, PEERS, "peer")
    passes, seconds = options.passes or passes, options.seconds or seconds
    results = run(workloads, peers, passes, seconds)
    show_table(results, peers)
    if options.json:
        given = {"passes": passes, "seconds": seconds, "results": results}
        options.json.write_text(json.dumps(given, indent=1) + "\n")
    failed = failures(results)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
