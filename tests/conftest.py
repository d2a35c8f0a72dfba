"""``WASMTIME_RT_TEST_GC=1`` collects garbage at every chance: ``make harsh``."""

import gc
import os
import signal


def pytest_configure(config):
    # What a shell starts in the background ignores Ctrl-C, and so would all processes of the tests.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item):
    if os.environ.get("WASMTIME_RT_TEST_GC"):
        gc.set_threshold(1)  # before each: tests may change it
