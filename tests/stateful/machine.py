"""The rules as a state machine of hypothesis': ``machine.py [--examples N] [--seed N] [--log FILE]``.

Hypothesis chooses the steps, and makes a sequence that fails shorter. It runs in this process, which is to be one of
its own: where that dies, the last line of the log is what ``driver.py --again`` takes. Three threads at a time, the
end of the interpreter are the driver's.

Ends with status 0, or with 1 where something was wrong, which it says.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import hypothesis.stateful
import world as worlds
from hypothesis import HealthCheck, Phase, settings, strategies
from worker import finish, tell_of_lost_exceptions
from worker_plan import STEPS

arguments = argparse.ArgumentParser()
arguments.add_argument("--examples", type=int, default=100, help="how many sequences")
arguments.add_argument("--seed", type=int, default=0)
arguments.add_argument(
    "--log", type=Path, default=None, help="a file for the steps of the sequence that runs"
)

#: As often as they are chosen.
NAMES = [name for name, weight in zip(*worlds.chances(), strict=True) for _ in range(weight)]
counts = {"sequences": 0, "steps": 0}
given = arguments.parse_args([])


class Everything(hypothesis.stateful.RuleBasedStateMachine):
    """The whole public API."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.world = worlds.World(self.folder.name)
        self.steps = []
        tell_of_lost_exceptions(self.world)
        counts["sequences"] += 1

    @hypothesis.stateful.rule(name=strategies.sampled_from(NAMES), seed=strategies.integers(0, 2**40 - 1))
    def step(self, name, seed):
        """One step; what it chooses comes out of its seed."""
        self.steps.append((name, seed))
        counts["steps"] += 1
        if given.log is not None:
            given.log.write_text(json.dumps({"seed": 0, "count": 1, "steps": [self.steps]}))
        self.world.run([(name, seed)])

    @hypothesis.stateful.invariant()
    def all_is_well(self):
        """Nothing undocumented came out, and what must be right is."""
        assert not self.world.problems, "\n".join(self.world.problems)

    def teardown(self):
        """Nothing holds on to a store."""
        finish(self.world, 0)
        self.folder.cleanup()
        self.all_is_well()


def main():
    global given
    given = arguments.parse_args()
    hypothesis.seed(given.seed)(Everything)
    hypothesis.stateful.run_state_machine_as_test(
        Everything,
        settings=settings(
            max_examples=given.examples,
            stateful_step_count=STEPS[1],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
    print(f"{counts['sequences']} sequences, {counts['steps']} steps")


if __name__ == "__main__":
    sys.exit(main())
