"""The whole public API, driven at random in processes of their own: nothing ends or hangs one, nothing undocumented
comes out, nothing leaks. ``make stateful SECONDS=3600 SEED=1`` goes on for longer, and so does ``make machine
EXAMPLES=1000 SEED=1``; see ``driver.py`` and ``machine.py``.
"""

import json
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


def machine(log, *more):
    ended = subprocess.run(
        [sys.executable, *more, str(Path(__file__).with_name("machine.py")), "--examples=20", f"--log={log}"],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "WASMTIME_RT_CACHE": "off"},
        cwd=log.parent,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_state_machine(tmp_path):
    status, said = machine(log := tmp_path / "steps")
    done = re.fullmatch(r"(\d+) sequences, (\d+) steps\n", said)
    assert status == 0, f"{said}\nlast: {log.read_text()}"
    assert done, said
    assert int(done[1]) >= 20
    assert int(done[2]) > 200


def test_the_state_machine_notices_and_shortens(tmp_path):
    # Of a rule that is wrong, one step is left; and a process that dies leaves the steps that it was at.
    (tmp_path / "wrong.py").write_text("""
import os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
import rules, world
@world.rule(500)
def wrong(world, rng):
    1 / 0 if os.environ.get("WRONG") == "raises" else os._exit(7)
sys.argv.pop(0)
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
""")
    log = tmp_path / "steps"
    os.environ["WRONG"] = "raises"
    try:
        status, said = machine(log, str(tmp_path / "wrong.py"))
    finally:
        del os.environ["WRONG"]
    assert status == 1
    assert "ZeroDivisionError" in said
    assert said.count("state.step(") == 1
    assert "state.step(name='wrong', seed=0)" in said
    assert machine(log, str(tmp_path / "wrong.py"))[0] == 7
    assert json.loads(log.read_text())["steps"][0][-1][0] == "wrong"
