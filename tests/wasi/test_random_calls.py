"""This package's WASI answers as the engine's does: random sequences of calls give the same on both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: How many sequences; each makes up to 60 calls.
SEQUENCES = int(os.environ.get("WASMTIME_RT_WASI_SEQUENCES", "60"))
SEED = int(os.environ.get("WASMTIME_RT_WASI_SEED", "0"))


@pytest.mark.parametrize("options", [(), ("--without-openat2",)], ids=["openat2", "without openat2"])
def test_random_sequences_of_calls_are_answered_as_the_engine_answers_them(options):
    ended = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("random_calls.py")),
            *("--sequences", str(SEQUENCES), "--seed", str(SEED), *options),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=120 + SEQUENCES,
    )
    assert ended.returncode == 0, ended.stdout[-20000:] + ended.stderr[-3000:]
