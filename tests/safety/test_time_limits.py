"""Time limits hold on every way to run WebAssembly: see ``time_limits_worker.py``, which tries each in a process of its own.

A public member that is not known there is named by ``test_every_public_member_is_known``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import time_limits_scenarios as scenarios
import time_limits_worker as worker

import wasmtime_rt as w

HERE = Path(__file__).parent
#: Several times what it takes on a busy machine; without a limit it is for ever.
SECONDS = 5


def run(name, *arguments, seconds):
    ended = subprocess.run(
        [sys.executable, str(HERE / name), *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(w.__file__).parent.parent)},
        capture_output=True,
        encoding="utf-8",
        timeout=seconds,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def came():
    """What came out of each way, and after how many seconds."""
    said = map(json.loads, run("time_limits_worker.py", seconds=120).splitlines())
    return {one["label"]: (one["came"], one["seconds"]) for one in said}


@pytest.mark.parametrize("kind", worker.CLASSES, ids=lambda kind: kind.__name__)
def test_every_public_member_is_known(kind):
    name = kind.__name__
    runs = {
        member
        for label in worker.RUNS
        for owner, _, member in [label.partition(" ")[0].partition(".")]
        if owner == name
    }
    quiet = set(worker.QUIET[name].split())
    assert worker.members(kind) == runs | quiet
    assert not runs & quiet


def test_every_class_that_reaches_functions_is_known():
    known = {kind.__name__ for kind in worker.CLASSES}
    stores = {name for name in w.__all__ if hasattr(getattr(w, name), "store")}
    assert stores - known <= {"WasmRef", "WasmExternalized", "WasmMemory", "WasmTag"}
    assert set(worker.FUNCTIONS) <= set(worker.RUNS)


@pytest.mark.parametrize("label", worker.RUNS)
def test_the_limit_of_the_store_ends(came, label):
    raised, seconds = came[label]
    assert raised == "WasmTimeout"
    assert seconds < SECONDS


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_limits_hold(name):
    assert run("time_limits_scenarios.py", name, seconds=60) == "done\n"
