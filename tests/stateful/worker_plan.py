"""What a sequence does, by its seed."""

from __future__ import annotations

import random

import rules  # noqa: F401  isort: skip  the rules must come in the same order wherever a seed is planned
import anything  # noqa: F401
import world as worlds

STEPS = (20, 40, 80, 200)


def plan(seed):
    """What the sequence of ``seed`` does: the steps of each thread, and whether garbage is collected at every chance."""
    rng = random.Random(seed)
    names, weights = worlds.chances()
    threads = rng.choice((1, 1, 1, 3))
    count = rng.choice(STEPS)
    often = rng.random() < 0.2
    steps = [
        [(name, rng.getrandbits(40)) for name in rng.choices(names, weights, k=count // threads)]
        for _ in range(threads)
    ]
    return steps, often
