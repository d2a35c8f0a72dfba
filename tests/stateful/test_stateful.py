"""The whole public API, driven at random in processes of their own: nothing ends or hangs one, nothing undocumented
comes out, nothing leaks. ``make stateful SECONDS=3600 SEED=1`` goes on for longer; see ``driver.py``.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

SECONDS = os.environ.get("WASMTIME_RT_STATEFUL_SECONDS", "20")
SEED = os.environ.get("WASMTIME_RT_STATEFUL_SEED", "0")


def test_random_sequences():
    ended = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("driver.py")),
            "--share=5",
            "--seconds",
            SECONDS,
            "--seed",
            SEED,
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert int(re.search(r"(\d+) sequences", ended.stdout)[1]) > 0, ended.stdout
