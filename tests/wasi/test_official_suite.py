"""The official WASI test suite gives the expected results, in whatever way its programs are run."""

import official_suite as suite
import pytest

CASES = suite.cases()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """A cache of compiled programs that all cases share: each program is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WASMTIME_RT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.skipif(not CASES, reason=suite.ABSENT)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_program_gives_what_the_suite_expects(case, tmp_path):
    problems = []
    for way, run in suite.WAYS.items():
        folder = tmp_path / way.replace(" ", "_")
        folder.mkdir()
        problems += [
            f"{way}: {problem}" for problem in case.problems(*run(case, suite.fresh_root(case, folder)))
        ]
    assert not problems
