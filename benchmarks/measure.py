"""Time one workload of one peer in this process, and print the figures as JSON.

    python benchmarks/measure.py PEER WORKLOAD [SECONDS]

The answer is checked, the statement is warmed up, and then timed in rounds, each beside an empty loop
of the same length. Figures are nanoseconds per statement, the loop itself included.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import timeit
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from workloads import WORKLOADS

ROUNDS = 9


def main(peer: str, name: str, seconds: float) -> None:
    """Measure and print."""
    workload = WORKLOADS[name]
    namespace = importlib.import_module(f"peers.{peer}").prepare(workload)
    answer = eval(workload.statement, namespace)
    if answer != workload.answer:
        raise SystemExit(f"{peer}, {name}: expected {workload.answer!r}, got {answer!r}")
    timer, empty = timeit.Timer(workload.statement, globals=namespace), timeit.Timer("pass")
    count = 1
    while (spent := timer.timeit(count)) < seconds / ROUNDS / 2:
        count *= 2
    count = max(1, int(count * (seconds / ROUNDS) / max(spent, 1e-9)))
    rounds = [(timer.timeit(count), empty.timeit(count)) for _ in range(ROUNDS)]
    figures, loops = ([side[i] / count * 1e9 for side in rounds] for i in (0, 1))
    print(json.dumps({"min": min(figures), "median": statistics.median(figures), "empty": min(loops)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 1.0)
