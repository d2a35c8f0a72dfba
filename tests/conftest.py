"""``WASMTIME_RT_TEST_GC=1`` collects garbage at every chance: ``make harsh``. What ``make sanitize`` leaves out, and why."""

import gc
import os
import signal
from pathlib import Path

import pytest

MEMORY = "a sanitizer keeps for a while what is freed, and takes memory of its own"

#: What cannot be tried under a sanitizer, by file and function.
NOT_SANITIZED = {
    "hot/test_leaks.py::test_it_would_be_noticed": "Python's own allocator, which counts blocks, is not in use",
    "safety/test_faults.py::test_nothing_is_left_of_what_failed": MEMORY,
    "safety/test_forks.py::test_forks_while_other_threads_work": (
        "its allocator has locks, which another thread may hold at a fork: the child waits for ever"
    ),
    "safety/test_interruption.py::test_limits_and_stores_do_not_pile_up": MEMORY,
    "safety/test_leaks.py::test_calls_that_end_badly_leave_nothing": MEMORY,
    "safety/test_leaks.py::test_engines_and_what_they_define": MEMORY,
    "safety/test_leaks.py::test_failures_leave_nothing": MEMORY,
    "safety/test_leaks.py::test_references_are_let_go": MEMORY,
    "safety/test_process_pools.py::test_nothing_leaks_on_the_way_through_serialized_form": MEMORY,
    "safety/test_profiles.py::test_profiles_leave_nothing_behind": MEMORY,
}


def pytest_configure(config):
    # What a shell starts in the background ignores Ctrl-C, and so would all processes of the tests.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path):
    # What the tests run and import has no examples of its own, and is not to be run by looking for them.
    inside = Path(__file__).parent in collection_path.parents
    return (
        True if inside and collection_path.suffix == ".py" and collection_path.stem[:5] != "test_" else None
    )


def pytest_collection_modifyitems(items):
    if not os.environ.get("WASMTIME_RT_SANITIZE"):
        return
    for item in items:
        name = getattr(item, "originalname", None) or item.name
        reason = NOT_SANITIZED.get(f"{item.path.parent.name}/{item.path.name}::{name}")
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item):
    if os.environ.get("WASMTIME_RT_TEST_GC"):
        gc.set_threshold(1)  # before each: tests may change it
