"""Paths of the host as programs, streams, mounts and settings: see ``host_paths_worker.py``."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wasmtime_rt

WORKER = Path(__file__).with_name("host_paths_worker.py")
SECONDS = 300 if os.environ.get("WASMTIME_RT_SANITIZE") else 60
CASES = next(
    [name.id for name in statement.value.elts]
    for statement in ast.parse(WORKER.read_text()).body
    if isinstance(statement, ast.Assign) and statement.targets[0].id == "CASES"
)


@pytest.mark.parametrize("case", CASES)
def test_paths_do_not_hang_exhaust_or_lead_elsewhere(tmp_path, case):
    package = str(Path(wasmtime_rt.__file__).parent.parent)
    ended = subprocess.run(
        [sys.executable, str(WORKER), case],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": package, "WASMTIME_RT_CACHE": "off"},
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=SECONDS,
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr[-3000:]
