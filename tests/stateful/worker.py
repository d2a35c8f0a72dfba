"""Run sequences of random steps in this process: ``worker.py '{"seed": 0, "count": 10, ...}'``.

Options, as JSON::

    seed, count     the first sequence and how many; or
    steps           the steps of one sequence, ``[[rule, seed], ...]``
    seconds         no new sequence after that time
    log             a file: each sequence is noted there before it runs, and the result after
    trace           note each step too
    leave           keep the world of the last sequence alive until the interpreter ends

Ends with status 0, or with 3 where something was wrong, which the log tells.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
import warnings

import rules
import world as worlds
from worker_plan import plan


def tell_of_lost_exceptions(world):
    """What finalizers and threads raise is a problem of ``world``."""

    def unraisable(told):
        world.problem("unraisable", f"{told.exc_value!r} in {told.object!r}")

    def uncaught(told):
        world.problem("thread", f"{told.exc_value!r}")

    sys.unraisablehook, threading.excepthook = unraisable, uncaught


def run(steps, often, trace):
    """Run one sequence; its world."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        world = worlds.World(folder, trace)
        tell_of_lost_exceptions(world)
        with rules.collecting(often):
            others = [threading.Thread(target=world.run, args=(each,)) for each in steps[1:]]
            for thread in others:
                thread.start()
            world.run(steps[0])
            for thread in others:
                thread.join()
        return world


def finish(world, seed):
    """Let go of everything; what held on to a store is a leak."""
    for turn in range(6):
        world.ended = turn > 2  # until then finalizers go on, and may bring back what they hold
        world.drop(random.Random(seed))
        gc.collect()
    left = list(world.alive)
    if left and not world.problems:
        world.problem("leak", f"{len(left)} stores are still there\n" + "\n".join(chain_to(left.pop(), left)))


def chain_to(item, left):
    """What holds ``item``, up to what nothing that the collector knows holds."""
    level, said, seen = [item], [], {id(left), id(item)}
    for _ in range(8):
        held = [holder for each in level for holder in gc.get_referrers(each) if id(holder) not in seen]
        held = [
            holder
            for holder in held
            if type(holder).__name__ not in {"frame", "list_iterator"} and holder is not level
        ]
        seen |= {id(holder) for holder in held}
        if not held:
            break
        said.append(", ".join(f"{type(holder).__name__} {describe(holder)}" for holder in held[:6]))
        level = held
    return said


def describe(holder):
    try:
        return repr(holder)[:120]
    except BaseException:
        return "?"


def main():
    options = json.loads(sys.argv[1])
    log = open(options["log"], "a", buffering=1)  # noqa: SIM115

    def note(**what):
        log.write(json.dumps(what) + "\n")

    trace = (lambda text: note(step=text)) if options.get("trace") else None
    sys.setswitchinterval(1e-4)
    warnings.simplefilter("error", ResourceWarning)
    started, counts = time.monotonic(), {}
    first = options.get("seed", 0)
    for seed in range(first, first + options.get("count", 1)):
        if time.monotonic() - started > options.get("seconds", 1e9):
            break
        steps, often = plan(seed)
        if "steps" in options:
            steps = options["steps"]
        note(seed=seed)
        world = run(steps, often, trace)
        if options.get("leave"):
            globals()["_left"] = world
        else:
            finish(world, seed)
        for key, count in world.counts.items():
            counts[key] = counts.get(key, 0) + count
        if world.problems:
            note(problem=world.problems[:3])
            log.close()
            os._exit(3)
        note(done=seed, steps=sum(map(len, steps)), threads=len(steps))
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    note(counts=counts, resident=pages * os.sysconf("SC_PAGE_SIZE") >> 20)


if __name__ == "__main__":
    main()
