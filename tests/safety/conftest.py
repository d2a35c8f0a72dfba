"""Scripts that try to end the process run in one of their own, and the test looks at how it ended.

A script has ``w`` (the package) and these helpers::

    allowed(label, function, *args)       run it: what it raises must be of the documented kinds
    refused(label, kinds, function, *args)    run it: it must raise one of ``kinds``
    check(label, condition)               note ``label`` as a problem unless ``condition``
    resident(), address_space()           what the process holds, in MiB

What went wrong is printed at the end, all at once, so that many cases share one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import wasmtime_rt

#: Under a sanitizer everything takes several times as long.
PATIENCE = 5 if os.environ.get("WASMTIME_RT_SANITIZE") else 1

_PRELUDE = '''
import gc, os, signal, sys, threading, time, traceback, warnings, weakref
import wasmtime_rt as w

if os.environ.get("WASMTIME_RT_TEST_GC"):
    gc.set_threshold(1)
_problems = []
_DOCUMENTED = (
    w.WasmtimeError, TypeError, ValueError, OverflowError, IndexError, KeyError, OSError, AttributeError,
    MemoryError, RecursionError,
)

def _told(problem):
    _problems.append(problem)

def allowed(label, function, *args):
    try:
        return function(*args)
    except _DOCUMENTED as raised:
        return raised
    except BaseException as raised:
        _told(f"{label}: {type(raised).__name__} came out")

def refused(label, kinds, function, *args):
    try:
        returned = function(*args)
    except kinds as raised:
        return raised
    except BaseException as raised:
        _told(f"{label}: expected {kinds}, got {type(raised).__name__}: {str(raised)[:200]}")
    else:
        _told(f"{label}: expected {kinds}, got a return: {type(returned).__name__}")

def check(label, condition):
    if not condition:
        _told(label)

def _pages(field):
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[field]) * os.sysconf("SC_PAGE_SIZE") >> 20

def resident():
    return _pages(1)

def address_space():
    return _pages(0)

def on_thread(stack, function):
    """Run ``function`` on a thread with ``stack`` KiB of stack."""
    before = threading.stack_size(stack << 10)
    thread = threading.Thread(target=function)
    thread.start()
    threading.stack_size(before)
    thread.join()

def in_child(label, function, seconds=25 if os.environ.get("WASMTIME_RT_SANITIZE") else 5):
    """Run ``function`` in a forked child, which must end in time."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that forking with threads is risky is what is tried here
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            check(f"{label}: the child ended with {status}", status == 0)
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _told(f"{label}: the child hangs")
'''

_POSTLUDE = """
for _problem in _problems:
    print(_problem)
if not _problems:
    print("done")
sys.stdout.flush()
"""


@pytest.fixture
def script(tmp_path):
    """Run a script in a process of its own; it must end well, in time, and say nothing on stderr."""

    def run(source, *options, timeout=60, status=0, stderr="", finish=True):
        path = tmp_path / "script.py"
        path.write_text(_PRELUDE + textwrap.dedent(source) + (_POSTLUDE if finish else ""))
        package = Path(wasmtime_rt.__file__).parent.parent
        environment = {**os.environ, "PYTHONPATH": str(package), "RUST_BACKTRACE": "0"}
        ended = subprocess.run(
            [sys.executable, *options, str(path)],
            capture_output=True,
            cwd=tmp_path,
            encoding="utf-8",
            env=environment,
            errors="replace",
            timeout=timeout * PATIENCE,
            check=False,
        )
        said = f"stdout:\n{ended.stdout[-3000:]}\nstderr:\n{ended.stderr[-3000:]}"
        assert ended.returncode == status, f"status {ended.returncode}\n{said}"
        if stderr is not None:
            assert ended.stderr == stderr, said
        if finish:
            assert ended.stdout.splitlines()[-1:] == ["done"], said
        return ended.stdout

    return run
