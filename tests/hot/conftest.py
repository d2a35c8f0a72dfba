"""Fixtures of the tests of the hot paths: calls, host functions, `map` and memories."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import wasmtime_rt
from wasmtime_rt import WasmEngine, WasmInstance, WasmModule, WasmStore

HERE = Path(__file__).parent


def environment(**changes):
    """The variables for a process that imports the same package; ``None`` takes one away."""
    merged = {**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent), **changes}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture(scope="session")
def engine():
    """An engine with the default settings."""
    return WasmEngine()


@pytest.fixture
def store(engine):
    """A store that no other test has seen."""
    return WasmStore(engine)


@pytest.fixture
def run(engine, store):
    """Compile a source and instantiate it in the test's store: ``run(wat, imports)``."""

    def run(source, imports=None):
        return WasmInstance(store, WasmModule(engine, source), imports)

    return run


@pytest.fixture
def script(tmp_path):
    """Run a script in a process of its own, and return what it printed."""

    def run(source, timeout=60):
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            encoding="utf-8",
            env=environment(),
            timeout=timeout,
        )
        assert ended.returncode == 0, f"status {ended.returncode}\n{ended.stdout}\n{ended.stderr[-3000:]}"
        return ended.stdout

    return run


class Workers:
    """Two processes that get the same requests, the accelerator and the oracle: see parity_worker.py."""

    def __init__(self):
        self._processes = []

    def ask(self, *request):
        """The answers of both to a request, or what is left of a process that it ended."""
        sent = pickle.dumps(request)
        if not self._processes:
            self._processes = [self._start(which) for which in ("accelerator", "oracle")]
        for process in self._processes:
            process.stdin.write(len(sent).to_bytes(8, "little") + sent)
            process.stdin.flush()
        answers = [self._receive(process) for process in self._processes]
        if any(answer[0] == "ended" for answer in answers):
            self.end()
        return answers

    @staticmethod
    def _start(which):
        return subprocess.Popen(
            [sys.executable, str(HERE / "parity_worker.py"), which],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(PYTHONWARNINGS=None),
        )

    @staticmethod
    def _receive(process):
        head = process.stdout.read(8)
        if not head:
            return "ended", process.wait(30)
        return pickle.loads(process.stdout.read(int.from_bytes(head, "little")))

    def end(self):
        """End both; the next request starts new ones."""
        for process in self._processes:
            process.stdin.close()
            process.stdout.close()
            process.wait(30)
        self._processes = []


@pytest.fixture(scope="session")
def workers():
    """The accelerator and the oracle, each in a process."""
    both = Workers()
    yield both
    both.end()
