"""Python's own protocols over every public class: see ``protocols_worker.py``, which has each in a process of its own.

A public class that is not known there is named by ``test_every_public_class_is_known``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wasmtime_rt as w

WORKER = Path(__file__).with_name("protocols_worker.py")
CLASSES = [name for name in w.__all__ if isinstance(getattr(w, name), type)]
OPTIONS = {"plain": [], "optimized": ["-O"]}


@pytest.fixture(scope="module", params=OPTIONS)
def wrong(request):
    """What was wrong with each class."""
    ended = subprocess.run(
        [sys.executable, *OPTIONS[request.param], str(WORKER)],
        env={**os.environ, "PYTHONPATH": str(Path(w.__file__).parent.parent)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return {said["name"]: said["wrong"] for said in map(json.loads, ended.stdout.splitlines())}


def test_every_public_class_is_known(wrong):
    assert set(wrong) == {"", *CLASSES}
    assert wrong[""] == []


@pytest.mark.parametrize("name", CLASSES)
def test_bare_again_copied_and_looked_at(wrong, name):
    assert wrong[name] == [], "\n".join(wrong[name])
