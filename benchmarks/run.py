"""Time every workload of every peer, each in a fresh process, and print the table.

    python benchmarks/run.py [--smoke]

Benchmarks are hard: read the ratios, which are of one run on one machine, and not the nanoseconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from workloads import WORKLOADS  # noqa: E402

PEERS = {"ours": "wasmtime_rt", "ctypes_binding": "wasmtime (ctypes)"}


def measure(peer: str, workload: str, seconds: float) -> dict[str, float] | str:
    """The figures of one workload of one peer, or why there are none."""
    command = [sys.executable, str(HERE / "measure.py"), peer, workload, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> int:
    """Print the table; the exit code tells whether every peer answered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="only see that it runs")
    seconds = 0.05 if parser.parse_args().smoke else 1.0
    print(f"{'workload':<12}{'peer':<20}{'min ns':>10}{'median ns':>11}{'empty ns':>10}{'times ours':>12}")
    failures = 0
    for workload in WORKLOADS:
        base = None
        for peer, title in PEERS.items():
            figures = measure(peer, workload, seconds)
            if isinstance(figures, str):
                failures += 1
                print(f"{workload:<12}{title:<20}{'-':>10}  {figures}")
                continue
            net = figures["min"] - figures["empty"]
            base = net if base is None else base
            numbers = f"{figures['min']:>10.0f}{figures['median']:>11.0f}{figures['empty']:>10.0f}"
            print(f"{workload:<12}{title:<20}{numbers}{net / base:>12.1f}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
