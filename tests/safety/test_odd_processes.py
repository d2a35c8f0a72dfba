"""Processes that are not as usual: blocked signals, another runtime beside ours, C objects and raising tracers.

Each case is a function of a worker module, and runs in a process of its own.
"""

import ctypes
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
    *(
        "inherited_over_exec",
        "inherited_by_fork",
        "by_spawn",
        "while_a_handler_runs",
        "by_numbers_of_every_kind",
    ),
    *("with_sigwait", "in_event_loops", "by_c_code_on_a_new_thread"),
    "by_c_code_later",
)
WAYS_TO_LIMIT_THE_STACK = (
    *(
        "lowered_after_the_first_call",
        "lowered_after_import",
        "lowered_in_host_function",
        "lowered_before_fork",
    ),
    *("lowered_for_threads", "python_recursion_after_it", "a_mapping_in_the_way", "unlimited"),
    "little_address_space",
)
ENVIRONMENTS = (
    *("when_an_engine_is_made", "when_it_was_changed_by_c", "when_threads_start", "with_good_values"),
    "with_backtrace_details",
)
INTERRUPTED = (
    *("trap", "trap with values", "trap with references", "host exception", "WebAssembly exception", "exit"),
    *("compile error", "text", "serialize"),
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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="nothing tells what is allocated")
@pytest.mark.parametrize("operation", INTERRUPTED)
def test_what_raises_between_two_steps_leaks_nothing(operation):
    run("interrupted_worker.py", operation)


@pytest.mark.parametrize("way", WAYS_TO_BLOCK)
def test_threads_with_blocked_signals_trap(way):
    run("masks_worker.py", way)


@pytest.mark.skipif(importlib.util.find_spec("wasmtime") is None, reason="the other runtime is not installed")
@pytest.mark.parametrize("way", ["turn", "nested", "threads"])
@pytest.mark.parametrize("order", ["ot", "to", "fot", "fto", "oft"])
def test_another_runtime_traps_in_the_same_process(order, way):
    run("other_runtime_worker.py", order, way)


@pytest.mark.parametrize("way", WAYS_TO_LIMIT_THE_STACK)
def test_guest_recursion_on_the_main_stack_traps(way):
    run("main_stack_worker.py", way)


@pytest.mark.parametrize("way", ENVIRONMENTS)
def test_bad_environment_variables_are_refused(way):
    run("environment_worker.py", way)


@pytest.mark.parametrize(
    ("name", "value"),
    [("TOKIO_WORKER_THREADS", ""), ("RUST_MIN_STACK", "0"), ("RAYON_RS_NUM_CPUS", "999999")],
)
def test_a_process_that_starts_with_a_bad_variable_gets_an_error(name, value):
    program = "import wasmtime_rt as w; w.run_wasi(b'(module (func (export \"_start\")))')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent), name: value},
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert f"WasmtimeError: {name}: " in ended.stderr
