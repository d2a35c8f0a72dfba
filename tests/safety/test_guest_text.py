"""Text that a module shapes stays bounded, and so does the memory for it: names that demangle to gigabytes, names
of megabytes, escape sequences, many names, types with many parts."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from guest_text_worker import CASES, TEXTS

import wasmtime_rt

#: MiB of resident memory, the interpreter and a name of 16 MiB in each of four functions included.
PEAK = 300
#: Characters.
LONGEST = 70_000


def _limit():
    resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def _run(folder, *arguments):
    package = Path(wasmtime_rt.__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("guest_text_worker.py")), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package), "RUST_BACKTRACE": "0"},
        preexec_fn=_limit,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert not told["forbidden"]
    return told


@pytest.mark.parametrize("names", ["mangled", "long"])
@pytest.mark.parametrize("case", CASES)
def test_hostile_names_take_little_memory(case, names, tmp_path):
    told = _run(tmp_path, case, names)
    assert told["peak"] < PEAK
    assert max(told["sizes"].values()) < LONGEST, told


@pytest.mark.parametrize("case", TEXTS)
def test_texts_that_quote_a_module_are_bounded(case, tmp_path):
    told = _run(tmp_path, case)
    assert max(told["sizes"].values()) < LONGEST, told
