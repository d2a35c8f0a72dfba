"""Something meddles at every step of every public operation: see ``steps_worker.py``.

A few steps of each are tried here, chosen by the seed in ``WASMTIME_RT_STEPS_SEED``, as many as ``WASMTIME_RT_STEPS``
says; if it is ``all``, every step with every action, which takes an hour. Freed memory is overwritten meanwhile, so that
reading it shows.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wasmtime_rt as w

WORKER = Path(__file__).with_name("steps_worker.py")
WANTED = os.environ.get("WASMTIME_RT_STEPS", "6")
AMOUNT = ["--all"] if WANTED == "all" else ["--runs", WANTED]
PARTS = 3
CLOSING = "close+close all else+again+again there"
#: What was found once: all steps of these are tried, with the actions that found it.
FOUND = {
    "prepared": (CLOSING, ["WasmInstancePre.store"]),
    "leases": (CLOSING, ["SandboxLease.instance", "SandboxLease.trapped"]),
    "pools": (CLOSING, ["SandboxPool.close", "SandboxPool.idle"]),
    "sandboxes": (CLOSING, ["SandboxInstance.instance", "SandboxInstance.trapped"]),
    "linkers": ("close all else there+again there", ["WasmLinker.alias_module", "WasmLinker.define_wasi"]),
    "types": ("strike", ["WasmTag()"]),
    "notes": ("strike", ["WasmFunc.__call__: the host throws"]),
    "guards": ("collect+leave", ["WasmStore.fuel", "WasmMemory.size"]),
}


def run(tmp_path, *options):
    """What the worker says of each operation."""
    progress = tmp_path / "at"
    progress.write_bytes(bytes(512))
    environment = {**os.environ, "PYTHONPATH": str(Path(w.__file__).parent.parent), "STEPS_AT": str(progress)}
    if "--planted" in options:
        environment["STEPS_PATIENCE"] = "1"
    if not os.environ.get("WASMTIME_RT_SANITIZE"):
        environment["MALLOC_PERTURB_"] = "165"
    ended = subprocess.run(
        [sys.executable, str(WORKER), *options],
        env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    at = progress.read_bytes().partition(b"\n")[0].decode()
    assert (ended.returncode, ended.stderr) == (0, ""), f"the process ended at: {at}\n{ended.stderr[-3000:]}"
    return [json.loads(line) for line in ended.stdout.splitlines()]


def wrong(said):
    return [problem for operation in said for problem in operation["wrong"]]


def test_every_public_member_has_a_line(tmp_path):
    assert run(tmp_path, "--missing") == [[]]


@pytest.mark.parametrize("part", range(PARTS))
def test_somebody_meddles(tmp_path, part):
    seed = os.environ.get("WASMTIME_RT_STEPS_SEED", "0")
    said = run(tmp_path, "--seed", seed, "--part", f"{part}/{PARTS}", *AMOUNT)
    assert not wrong(said), "\n".join(wrong(said))
    assert sum(operation["runs"] for operation in said) > 1000


@pytest.mark.parametrize(("actions", "names"), FOUND.values(), ids=FOUND)
def test_what_was_found(tmp_path, actions, names):
    said = run(tmp_path, "--all", "--actions", actions, *names)
    assert {operation["name"] for operation in said} >= set(names)
    assert not wrong(said), "\n".join(wrong(said))


def test_it_would_be_noticed(tmp_path):
    actions = "close all else there+again+strike"
    said = {one["name"]: one for one in run(tmp_path, "--planted", "--all", "--actions", actions)}
    assert set(said) == {"asks twice", "keeps a lock", "stays inside", "lets go too late", "careful"}
    assert "has no attribute" in "".join(said["asks twice"]["wrong"])
    assert "Hung" in "".join(said["keeps a lock"]["wrong"])
    assert "left busy" in "".join(said["stays inside"]["wrong"])
    assert "left busy" in "".join(said["lets go too late"]["wrong"])
    assert said["careful"]["wrong"] == []
