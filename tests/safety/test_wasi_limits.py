"""Functions of WASI in a straight line, without the threads of the engine, and in processes that are short of something."""

import os
import subprocess
import sys
from pathlib import Path

import wasi_in_line

import wasmtime_rt

WORKER = Path(wasi_in_line.__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent)}


def test_each_function_ends_at_the_limit_without_a_loop(tmp_path):
    ended = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        env=ENVIRONMENT,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    runs = {name: (how, float(seconds)) for name, how, seconds in map(str.split, ended.stdout.splitlines())}
    assert len(runs) == 46
    assert runs.keys() == wasi_in_line.ARGUMENTS.keys()
    assert max(seconds for _, seconds in runs.values()) < 2, runs
    for name in ("random_get", "fd_write", "fd_readdir", "poll_oneoff"):
        assert runs[name][0] == "WasmTimeout"
