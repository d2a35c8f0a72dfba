"""Drive the whole public API at random, in processes of their own: ``driver.py [--seconds S] [--seed N] ...``.

Each process runs sequences of steps until its share of the time is over, some of them on three threads at once, some
with garbage collected at every chance, some ending with everything alive. It must end with status 0 and silent. A
sequence that does not is run again by itself, and made shorter while it still fails.

Without ``--seconds`` it goes on until it is interrupted. Ends with status 1 where something was found.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
#: Seconds in which a process that was given some must have ended: compiling is slow where others compile too.
GRACE = 120
SHARE = 20

arguments = argparse.ArgumentParser()
arguments.add_argument("--seconds", type=float, default=None)
arguments.add_argument("--seed", type=int, default=0)
arguments.add_argument("--share", type=float, default=SHARE, help="seconds for each process")
arguments.add_argument(
    "--again", default=None, help="a file with the options of one process: run it, and nothing else"
)
arguments.add_argument("--as-it-is", action="store_true", help="do not make failing sequences shorter")
arguments.add_argument("--keep-going", action="store_true", help="report and go on")


class Ended:
    """How a process ended: ``why`` is empty where all was well."""

    def __init__(self, options, timeout):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "log")
            flags = ["-X", "faulthandler"] if options.get("faulthandler", True) else []
            command = [
                sys.executable,
                *flags,
                str(HERE / "worker.py"),
                json.dumps({**options, "log": str(log)}),
            ]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(HERE.parent.parent),
                    "PYTHONHASHSEED": "0",
                    "RUST_BACKTRACE": "0",
                    "WASMTIME_RT_CACHE": "off",
                },
            )
            late = False
            try:
                said, complained = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                late = True
                process.send_signal(signal.SIGABRT)  # so that it tells where it is
                try:
                    said, complained = process.communicate(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    said, complained = process.communicate()
            lines = log.read_text().splitlines() if log.exists() else []
        self.notes = [json.loads(line) for line in lines if line.endswith("}")]
        problems = [text for note in self.notes for text in note.get("problem", ())]
        self.why = ""
        if problems:
            self.why = "\n".join(problems)
        elif late:
            self.why = f"no end in {timeout:.0f} s\n{complained.decode(errors='replace')[-6000:]}"
        elif process.returncode or said or complained:
            self.why = (
                f"status {process.returncode}, stdout {said[-500:]!r}, "
                f"stderr:\n{complained.decode(errors='replace')[-6000:]}"
            )

    @property
    def seeds(self):
        return [note["seed"] for note in self.notes if "seed" in note]


def kind_of(why):
    """What two failures have in common that are the same: the last line of ours, and the error."""
    lines = why.splitlines()
    ours = [line.strip() for line in lines if line.strip().startswith("File") and "wasmtime_rt/" in line]
    plain = [line for line in lines if line.strip() and not line.startswith("  ")]
    return (ours[-1] if ours else lines[0][:60], plain[-1][:40] if plain else "")


def shorten(options, steps, kind, seconds=300):
    """The steps of a sequence that fails, fewer while it still fails."""
    deadline = time.monotonic() + seconds

    def fails(candidate):
        tries = 3 if len(candidate) > 1 else 1
        wanted = kind[0]
        ends = (Ended({**options, "steps": candidate, "count": 1}, GRACE) for _ in range(tries))
        return any(ended.why and kind_of(ended.why)[0] == wanted for ended in ends)

    if len(steps) > 1:  # perhaps one thread is enough
        for one in steps:
            if fails([one]):
                steps = [one]
                break
    if len(steps) == 1:  # what comes before decides what a step does, so the end goes first
        least, most = 0, len(steps[0])
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (least, middle) if fails([steps[0][:middle]]) else (middle, most)
        steps = [steps[0][:most]]
    size = max(map(len, steps)) // 2
    while size and time.monotonic() < deadline:
        shorter = False
        for number, each in enumerate(steps):
            at = 0
            while at < len(each) and time.monotonic() < deadline:
                candidate = [*steps]
                candidate[number] = each[:at] + each[at + size :]
                if fails(candidate):
                    steps, each, shorter = candidate, candidate[number], True
                else:
                    at += size
        if not shorter or size > max(map(len, steps)):
            size //= 2
    return steps


def report(options, ended, as_it_is):
    """Say what happened, and how to see it again."""
    print(f"\nseed {ended.seeds[-1] if ended.seeds else options['seed']}: {ended.why}")
    if not ended.seeds:
        return
    seed = ended.seeds[-1]
    alone = {**options, "seed": seed, "count": 1}
    again = Ended(alone, GRACE)
    if again.why and not as_it_is and not again.why.startswith("no end"):
        planned = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import json, worker_plan; print(json.dumps(worker_plan.plan({seed})[0]))",
            ],
            env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent.parent}"},
            capture_output=True,
            check=True,
        )
        steps = shorten(alone, json.loads(planned.stdout), kind_of(again.why))
        alone["steps"] = steps
        print(f"{sum(map(len, steps))} steps on {len(steps)} threads do it: {str(steps)[:2000]}")
        print(Ended(alone, GRACE).why or again.why)
    elif not again.why:
        print("by itself it is well; the process was given", options)
        alone = options
    kept = Path(tempfile.gettempdir(), f"wasmtime_rt-stateful-{seed}.json")
    kept.write_text(json.dumps(alone))
    print(f"again: {sys.executable} {HERE / 'driver.py'} --again {kept}")


def main():
    given = arguments.parse_args()
    if given.again is not None:
        ended = Ended(json.loads(Path(given.again).read_text()), GRACE)
        print(ended.why or "well")
        return bool(ended.why)
    started, seed, batch, found = time.monotonic(), given.seed, 0, collections.Counter()
    counts, sequences, steps, resident = collections.Counter(), 0, 0, 0
    try:
        while given.seconds is None or time.monotonic() - started < given.seconds:
            left = given.share
            if given.seconds is not None:
                left = min(left, given.seconds - (time.monotonic() - started))
            options = {"seed": seed, "count": 10**9, "seconds": left}
            options |= {"leave": batch % 4 == 3, "faulthandler": batch % 2 == 0}
            ended = Ended(options, left + GRACE)
            batch += 1
            for note in ended.notes:
                counts.update(note.get("counts", {}))
                sequences += "done" in note
                steps += note.get("steps", 0)
                resident = max(resident, note.get("resident", 0))
            if ended.why:
                kind = kind_of(ended.why)
                found[kind] += 1
                if found[kind] == 1:
                    report(options, ended, given.as_it_is)
                if not given.keep_going:
                    break
            seed = ended.seeds[-1] + 1 if ended.seeds else seed + 1
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    rules = sorted({key.split(":")[0] for key in counts})
    done = {name: counts[f"{name}: done"] for name in rules}
    members = sum(1 for key in counts if key.startswith("member: "))
    print(
        f"\n{sequences} sequences, {steps} steps (and those inside of them), seeds {given.seed} to {seed - 1}, "
        f"{batch} processes, {time.monotonic() - started:.0f} s, at most {resident} MiB; {members} members of classes "
        f"used by name; {sum(found.values())} failures of {len(found)} kinds"
    )
    print("done:", ", ".join(f"{name} {count}" for name, count in done.items() if count))
    print(
        "never done:",
        ", ".join(name for name, count in done.items() if not count and name not in {"member", "class"}),
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
