"""Attacks of hostile guests on the host, each in a process of its own, with limits on memory and time."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import attacks_from_inside
import attacks_on_files
import attacks_on_quotas
import attacks_on_resources
import attacks_on_time
import pytest

MODULES = (attacks_on_time, attacks_on_files, attacks_on_quotas, attacks_on_resources, attacks_from_inside)
ATTACKS = [
    (module.__name__, name)
    for module in MODULES
    for name, function in vars(module).items()
    if isinstance(function, FunctionType)
    and function.__module__ == module.__name__
    and list(function.__annotations__) == ["folder", "return"]
]
#: Seconds for an attack, starting Python and compiling included.
PATIENCE = 60 * (5 if os.environ.get("WASMTIME_RT_SANITIZE") else 1)
DATA_LIMIT = 6 << 30


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, DATA_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))


def _run(module: str, attack: str, folder: Path, *options: str) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("run_attack.py")),
            module,
            attack,
            str(folder),
            *options,
        ],
        capture_output=True,
        check=False,
        preexec_fn=None if os.environ.get("WASMTIME_RT_SANITIZE") else _limit,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, f"status {ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-5000:]}"


@pytest.mark.parametrize(("module", "attack"), ATTACKS, ids=[name for _, name in ATTACKS])
def test_the_host_holds(module, attack, tmp_path):
    _run(module, attack, tmp_path)


@pytest.mark.parametrize(
    ("attack", "error"),
    [
        (name, error)
        for number, (module, name) in enumerate(ATTACKS)
        if module == "attacks_on_files"
        for error in (errno.ENOSYS, errno.EPERM)[number % 2 :][:1]
    ],
)
def test_the_host_holds_without_openat2(attack, error, tmp_path):
    _run("attacks_on_files", attack, tmp_path, str(error))
