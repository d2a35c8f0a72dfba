"""Measure one workload of one peer in this process, and print the figures as JSON.

    python benchmarks/measure.py PEER WORKLOAD MODULE SECONDS

MODULE is the file of the workload's module. The answer is checked, the statement is warmed up, and then
timed in rounds, each beside an empty loop of the same length. Figures are for one operation, the loop
itself included. Python's garbage collector stays on, as it is in programs. What comes out is one of
``{"rounds": [...], "empty": ...}``, ``{"absent": reason}``, ``{"failed": reason}``.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import threading
import time
import timeit
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peers import NotOffered
from workloads import ROWS, WORKLOADS, Workload, columns, names_for

ROUNDS, FEWEST = 20, 3
"""How many rounds, and how many where those last far longer than asked for."""
THREAD_ROUNDS = 5
RUN = 1e-3
"""How long a guest run of `two_threads` should last, in seconds."""

_COLLECT = "import gc; gc.enable()"


def _check(given: Any, expected: Any) -> None:
    if given != expected:
        raise AssertionError(f"expected {expected!r:.200}, got {given!r:.200}")


def _count(timed: Callable[[int], float], seconds: float) -> int:
    """How many turns last about so long; counting them warms up."""
    count = 1
    while (spent := timed(count)) < seconds / 4:
        count *= 2
    return max(1, int(count * seconds / spent))


def measure_statement(names: dict[str, Any], workload: Workload, seconds: float) -> dict[str, Any]:
    """Time the statement, or what the peer times itself."""
    if "timed" in names:
        timed, empty = names["timed"], None
    else:
        _check(eval(names.get("check", workload.check), names), workload.answer)
        statement = names.get("statement", workload.statement)
        timed = timeit.Timer(statement, _COLLECT, globals=names).timeit
        empty = timeit.Timer("pass", _COLLECT).timeit
    per = names.get("per", workload.per)
    count = _count(timed, seconds / ROUNDS)
    rounds, loops = [], []
    end = time.perf_counter() + 2 * seconds
    while len(rounds) < FEWEST or (len(rounds) < ROUNDS and time.perf_counter() < end):
        rounds.append(timed(count) / count / per * 1e9)
        loops.append(empty(count) / count / per * 1e9 if empty else 0.0)
    return {"rounds": rounds, "empty": min(loops)}


def measure_threads(names: dict[str, Any], workload: Workload, seconds: float) -> dict[str, Any]:
    """Throughput of two threads over that of one."""
    first, second = names["make"](), names["make"]()
    for f in (first, second):
        _check(f(1000), workload.answer)
    steps = 1000
    once = timeit.Timer("f(n)", globals=(scope := {"f": first, "n": steps}))
    while (spent := once.timeit(3) / 3) < RUN / 2:
        scope["n"] = steps = 2 * steps
    steps = min(int(steps * RUN / spent), 2**31 - 1)
    calls = max(2, int(seconds / THREAD_ROUNDS / RUN))

    def work(f: Callable[[int], Any]) -> None:
        for _ in range(calls):
            f(steps)

    alone, together = [], []
    for _ in range(THREAD_ROUNDS):
        start = time.perf_counter()
        work(first)
        alone.append((time.perf_counter() - start) / steps / calls)
        both = [threading.Thread(target=work, args=(f,)) for f in (first, second)]
        start = time.perf_counter()
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        together.append((time.perf_counter() - start) / steps / calls / 2)
    rounds = [one / two for one, two in zip(alone, together, strict=True)]
    return {"rounds": rounds, "empty": 0.0, "one": min(alone), "two": min(together)}


def peak() -> float:
    """The most memory that this process has held so far, in MiB."""
    try:  # what getrusage says is never less than what the parent had when it forked
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(peer: str, workload: Workload, module: Path, seconds: float) -> dict[str, Any]:
    """The figures of one workload of one peer."""
    before = peak()
    try:
        adapter = importlib.import_module(f"peers.{peer}")
    except ImportError as problem:
        if peer.startswith(("ours", "floor", "c_loop")):
            raise
        return {"absent": f"not installed: {problem}"}
    prepare = getattr(adapter, workload.shape, None)
    if prepare is None:
        return {"absent": "it has nothing of the kind" if peer != "bytearray" else ""}
    names = names_for(workload)
    if workload.shape == "map":
        names.update(columns(getattr(adapter, "ROWS", ROWS)), per=getattr(adapter, "ROWS", ROWS))
    try:
        names.update(prepare(module.read_bytes(), names))
    except NotOffered as reason:
        return {"absent": str(reason)}
    if workload.shape == "threads":
        return measure_threads(names, workload, seconds)
    if workload.name == "peak_memory":
        _check(eval(workload.check, names), workload.answer)
        return {"rounds": [peak()], "empty": before}
    return measure_statement(names, workload, seconds)


def main() -> None:
    """Measure and print."""
    peer, name, module, seconds = sys.argv[1:]
    try:
        figures = measure(peer, WORKLOADS[name], Path(module), float(seconds))
    except Exception as problem:  # noqa: BLE001  the table shows it
        traceback.print_exc()
        figures = {"failed": f"{type(problem).__name__}: {problem}"}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
