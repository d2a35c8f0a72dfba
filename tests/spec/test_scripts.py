"""Scripts of the specification: our own, and the official ones where they are to be had."""

import pytest
import suite


def hold(script, converter):
    """Nothing in the script goes otherwise than expected."""
    if reason := suite.left_out(script):
        pytest.skip(reason)
    surprises = suite.surprises(script, suite.run(script, converter))
    if surprises:
        listed = "\n".join(f"{script}:{failure}" for failure in surprises[:50])
        pytest.fail(f"{len(surprises)} failures\n{listed}", pytrace=False)


def test_own(own_script, converter):
    hold(own_script, converter)


def test_official(official_script, converter):
    hold(official_script, converter)
