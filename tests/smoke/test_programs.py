"""The programs that `make leaks`, `make races` and `make valgrind` run do what they say, without an instrument too."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wasmtime_rt

FILE = Path(__file__).with_name("programs.py")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


programs = load(FILE)


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_a_program(name):
    programs.PROGRAMS[name]()


def test_those_with_threads_are_among_them():
    assert set(programs.THREADED) < set(programs.PROGRAMS)


def test_what_cannot_be_tried_under_a_sanitizer_exists():
    tests = FILE.parent.parent
    for each in load(tests / "conftest.py").NOT_SANITIZED:
        file, name = each.split("::")
        assert f"\ndef {name}(" in (tests / file).read_text()


def test_the_end_with_everything_alive():
    ended = subprocess.run(
        [sys.executable, str(FILE), "left_alive"],
        env={**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
