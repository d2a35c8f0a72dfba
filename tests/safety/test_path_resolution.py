"""Paths of WASI programs lead to the same files whether the system has openat2(2) or not."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

PERM = 63


def run(folder, error):
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("path_resolution_worker.py")), str(folder), str(error)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    if "no filter of system calls" in ended.stderr:
        pytest.skip("this system has no filters of system calls")
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return run(tmp_path_factory.mktemp("usual") / "folder", 0)


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM, errno.EACCES], ids=errno.errorcode.get)
def test_paths_lead_to_the_same_files_without_openat2(usual, tmp_path, error):
    told = run(tmp_path / "folder", error)
    different = {
        path: (answers, told["answers"][path])
        for path, answers in usual["answers"].items()
        if answers != told["answers"][path]
    }
    assert different == {}
    assert told == usual


def test_no_path_leads_out_of_the_mount(usual):
    assert usual["secret"] == "secret"
    assert "secret" in usual["left"]
    for path, answers in usual["answers"].items():
        assert "secret" not in answers, path
    for path in ("..", "outside", "folder/outside", "above/../file", "/etc/passwd", "absolute", "root/"):
        assert usual["answers"][path][0] == -PERM, path
    for path in ("../mount/file", "folder/../../mount/file", "folder/inner/../../../secret"):
        assert usual["answers"][path][3] == PERM, path
    assert usual["answers"]["chain45"][0] == -32
    assert usual["answers"]["file-link"][0] == usual["answers"]["link-link"][0] == "file"
