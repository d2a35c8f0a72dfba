"""The ledger names tests: all of them exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "test-ledger.md"


@pytest.mark.skipif(not PAGE.exists(), reason="away from the sources")
def test_it_names_what_there_is():
    text = PAGE.read_text()
    named = set(re.findall(r"`(\w+/\w+\.py)::(\w+)`", text))
    missing = [
        f"{file}::{test}"
        for file, test in sorted(named)
        if not (TESTS / file).exists()
        or not re.search(rf"^def {test}\(", (TESTS / file).read_text(), re.MULTILINE)
    ]
    assert not missing
    assert all((TESTS / file).exists() for file in re.findall(r"`(\w+/\w+\.py)`", text))
    assert len(named) > 100


@pytest.mark.skipif(not PAGE.exists(), reason="away from the sources")
def test_every_class_of_bugs_has_a_line():
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)]
    assert numbers == list(range(1, 43))
