"""Processes that are not as usual: blocked signals, another runtime beside ours, C objects and raising tracers.

Each case is a function of a worker module, and runs in a process of its own.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wasmtime_rt

FOLDER = Path(__file__).parent

WAYS_TO_BLOCK = (
    *("before_anything", "after_traps", "in_host_function", "inherited_by_thread", "of_thread_known_before"),
    *("inherited_over_exec", "inherited_by_fork", "by_spawn", "while_a_handler_runs", "by_numbers_of_every_kind"),
    *("with_sigwait", "in_event_loops", "by_c_code_on_a_new_thread"),
)


def run(worker, *args, **environment):
    """Run a worker module, whose last line must be "done"."""
    ended = subprocess.run(
        [sys.executable, FOLDER / worker, *args],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent), **environment},
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["done"]), ended.stdout + ended.stderr


@pytest.mark.parametrize("way", WAYS_TO_BLOCK)
def test_threads_with_blocked_signals_trap(way):
    run("masks_worker.py", way)


@pytest.mark.skipif(importlib.util.find_spec("wasmtime") is None, reason="the other runtime is not installed")
@pytest.mark.parametrize("way", ["turn", "nested", "threads"])
@pytest.mark.parametrize("order", ["ot", "to", "fot", "fto", "oft"])
def test_another_runtime_traps_in_the_same_process(order, way):
    run("other_runtime_worker.py", order, way)
