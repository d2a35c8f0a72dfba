"""Something meddles at each step of each public operation: another thread, a finalizer, a signal handler.

A step is an opcode of the package's own Python: a trace function stops there, and one thing is done, on another thread
or on this one. Every operation runs once for each step and each action, each time with objects of its own, and must end
in a result, in an exception of the package, or in what it raises when nobody meddles; and leave a store that is closed,
or that works.

    steps_worker.py [--all] [--seed N] [--runs N] [--after LINE] [--actions A+B] [operations]

prints a line of JSON for each operation: how many steps it has, how many runs there were, and what was wrong. While it
works, the file that ``STEPS_AT`` names tells which run it is, for whoever finds the process dead.
"""

from __future__ import annotations

import argparse
import collections
import collections.abc
import contextlib
import dis
import faulthandler
import gc
import itertools
import json
import mmap
import os
import random
import signal
import sys
import tempfile
import threading
import traceback
import zlib

import steps_places
from steps_operations import HOOK, LONG, PACKAGE, SAMPLES, operations, planted
from steps_places import PLACES, Error, Point, no_point
from steps_world import Common, Gone, World

import wasmtime_rt as w
import wasmtime_rt.importer
from wasmtime_rt import _importing

#: Seconds that one run may take, and a thread that waits for a lock of ours before we go on.
PATIENCE = float(os.environ.get("STEPS_PATIENCE", 5)) * (5 if os.environ.get("WASMTIME_RT_SANITIZE") else 1)
WAITING = 0.02
#: How often the same step, reached from the same place, is looked at: it may be in a loop, or in many operations.
OFTEN = 1

# ---- Meddling


def close(o):
    for store in o.stores():
        store.close()


def leave(o):
    """What the end of a ``with`` block does: close the store as soon as nobody is inside."""
    for store in o.stores():
        store.__exit__(None, None, None)


def close_all_else(o):
    made = vars(o).get("made")
    exports = vars(o).get("exports", ())
    items = [made, *(exports._WasmExports__cache.values() if exports else ()), *list(vars(o).values())]
    problems = []
    for item in items:
        if hasattr(type(item), "close") and item not in o.stores():
            if not o.own and (item is o.common.engine or item is o.common.shares or item is o.common.sandbox):
                continue
            try:
                item.close()
            except w.WasmtimeError as problem:
                problems.append(problem)
    if problems:
        raise problems[0]


def drop(o):
    o.drop()
    gc.collect()


def collect(o):
    """What the collector finds may close what it knows."""

    class Closes:
        def __init__(self):
            self.itself, self.world = self, o

        def __del__(self):
            with contextlib.suppress(w.WasmtimeError):
                close(o)

    Closes()
    gc.collect()


def grow(o):
    if "instance" in vars(o):
        o.exports.m.grow(1)
        o.exports.t.grow(1)
    if "shared" in vars(o):
        o.shared.grow(1)


def change(o):
    if "instance" in vars(o):
        o.exports.m.write(0, b"abc")
        o.exports.t[0] = [1]
        o.exports.g.value += 1
        o.exports.object.value = [2]
    for store in o.stores():
        store.data = [3]
        store.gc()
    made = vars(o).get("made")
    if isinstance(made, (w.WasmStruct, w.WasmArray)):
        made[1] = [7]


def call(o):
    if "instance" in vars(o):
        assert o.exports.h(5) == 5
        assert o.exports.same(marker) is marker


def again(o):
    o.again(o)


class Struck(KeyboardInterrupt):
    """As if Ctrl-C had been pressed."""


def strike(_o):
    raise Struck


marker = object()
#: What is done, and whether on another thread.
ACTIONS = {
    "close there": (close, True),
    "close": (close, False),
    "leave there": (leave, True),
    "leave": (leave, False),
    "close all else there": (close_all_else, True),
    "close all else": (close_all_else, False),
    "close all else, of an engine of its own": (close_all_else, True),
    "drop": (drop, False),
    "collect": (collect, False),
    "grow there": (grow, True),
    "grow": (grow, False),
    "change there": (change, True),
    "change": (change, False),
    "call there": (call, True),
    "call": (call, False),
    "again there": (again, True),
    "again": (again, False),
    "strike": (strike, False),
}
OWN = "close all else, of an engine of its own"


class Helper(threading.Thread):
    """Another thread, that does one thing at a time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.work = self.raised = None
        self.start()

    def run(self):
        while True:
            self.go.acquire()
            try:
                self.work()
            except BaseException as raised:
                self.raised = raised
            self.done.release()

    def begin(self, work):
        self.work, self.raised = work, None
        self.go.release()
        return self.done.acquire(timeout=WAITING)


class Hung(BaseException):
    """A run takes too long."""


#: Kinds of steps: their name, whether the engine is the operation's own, whether only those where signals strike.
KINDS = (("", False, False), ("own", True, False), ("strike", False, True))


def kind_of(action):
    """Which steps count for an action."""
    return {"strike": "strike", OWN: "own"}.get(action, "")


def ours(frame):
    return frame.f_code.co_filename.startswith(PACKAGE)


_strikes = {}


def handler(code, offset):
    """Where what is raised at an offset is handled; before 3.11 blocks end by an opcode."""
    if sys.version_info < (3, 11):
        return None
    entries = dis._parse_exception_table(code)
    return next((entry.target for entry in entries if entry.start <= offset < entry.end), None)


def strikes(code):
    """The offsets in ``code`` before which CPython looks for signals: after calls, where loops and functions start.

    What strikes after a call belongs to the call. So where a block ends between the two, nothing is tried.
    """
    found = _strikes.get(code)
    if found is None:
        instructions = list(dis.get_instructions(code))
        found = {
            later.offset
            for earlier, later in itertools.pairwise(instructions)
            if earlier.opname.startswith(("CALL", "RESUME"))
            and handler(code, earlier.offset) == handler(code, later.offset)
        }
        found |= {
            each.argval
            for each in instructions
            if each.opname.startswith(("JUMP_BACKWARD", "JUMP_ABSOLUTE")) and each.argval < each.offset
        }
        if not any(each.opname == "RESUME" for each in instructions):
            found.add(instructions[0].offset)
        _strikes[code] = found
    return found


class Tracer:
    """Does something at a step."""

    def __init__(self, at, act, only_strikes):
        self.at, self.act, self.only = at, act, only_strikes
        self.count, self.where, self.sites = 0, None, []

    def __call__(self, frame, event, arg):
        if not ours(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.local

    def local(self, frame, event, arg):
        if event == "opcode" and (not self.only or frame.f_lasti in strikes(frame.f_code)):
            self.count += 1
            if self.at == 0:
                above = frame.f_back  # the place that it was called from belongs to it
                self.sites.append((frame.f_code, frame.f_lasti, above.f_code, above.f_lasti))
            elif self.count == self.at:
                sys.settrace(None)
                self.where = (
                    f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"
                )
                self.act()
        return self.local


class Runs:
    """Operations, run by run."""

    def __init__(self, progress):
        self.helper, self.progress, self.wrong = Helper(), progress, {}
        self.stray = []  # what was raised where nobody can catch it
        self.runs, self.times = 0, collections.defaultdict(collections.Counter)

    def say(self, text):
        if self.progress is not None:
            data = text.encode()[:400]
            self.progress[: len(data) + 1] = data + b"\n"

    def note(self, key, text):
        """Of the same, one is enough."""
        self.wrong.setdefault(key, text)

    def world(self, name, own):
        o = World(own or name in {"WasmEngine", "Sandbox"})  # which it may close
        if name is not None:
            o.made = SAMPLES[name](o)
        elif own:
            o.store
        return o

    def once(self, name, use, tracer=None):
        """What it ends with."""
        try:
            if isinstance(tracer, Point):
                steps_places.point = tracer
            else:
                sys.settrace(tracer)
            try:
                result = use(self.now)
            finally:
                sys.settrace(None)
                steps_places.point = no_point
        except BaseException as raised:
            return None, raised
        return result, None

    def measure(self, name, use, kinds=KINDS):
        """The steps when nobody meddles, for each kind of action, and what it ends with.

        Of a step that is taken again and again, in loops and by other operations, only the first times count.
        """
        steps = {}
        hooked = use in PLACES.values()
        for kind, own, only in kinds:
            for _ in range(2 if len(kinds) > 1 else 1):  # what is made once only is made by then
                self.now = self.world(name, own)
                self.ready()
                tracer = Point(0, None) if hooked else Tracer(0, None, only)
                _result, raised = self.once(name, use, tracer)
                del _result
            times = self.times[kind]
            steps[kind] = []
            for at, site in enumerate(tracer.sites, start=1):
                times[site] += 1
                if hooked or times[site] <= OFTEN:
                    steps[kind].append(at)
        return steps, raised

    def ready(self):
        o = self.now
        if o.stores():
            o.exports

    def run(self, label, name, use, action, at, usual):
        """One run: at step ``at``, do ``action``. Whether the operation went so far."""
        act, there = ACTIONS[action]
        self.runs += 1
        self.say(f"{label} | {action} | {at}")
        if action == "strike":
            self.stray.clear()
        o = self.now = self.world(name, action == OWN)
        self.ready()
        o.again = use
        helper, pending, acted = self.helper, [], []

        def meddle():
            if there:
                if not helper.begin(lambda: act(o)):
                    pending.append(True)  # it waits for a lock of ours: it will get it
                return
            try:
                act(o)
            except Struck:
                raise
            except BaseException as raised:
                acted.append(raised)

        tracer = Point(at, meddle) if label.startswith(HOOK) else Tracer(at, meddle, action == "strike")
        raised = None
        try:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)
            _result, raised = self.once(name, use, tracer)
            if pending and not helper.done.acquire(timeout=PATIENCE):
                raise Hung
        except Hung as hung:
            raised = hung
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if (
            _importing._lock._is_owned()
        ):  # struck before that was noted: others would wait for ten seconds, once
            _importing._lock = threading.RLock()
        key = f"{label} | {action} | {tracer.where}"
        if there and helper.raised is not None:
            acted.append(helper.raised)
            helper.raised = None
        # What strikes in a finalizer is told to `sys.unraisablehook`, and to nobody else.
        struck = tracer.where is not None and not any("Struck" in each for each in self.stray)
        if raised is not None and not self.expected(raised, usual, action, struck):
            self.note((key, repr(raised)[:60]), f"{key} | {told(raised)}")
        for each in acted:
            if not self.expected(each, usual, action):
                self.note((key, repr(each)[:60]), f"{key} | the action: {told(each)}")
            del each
        far = tracer.where is not None
        del _result, raised
        acted.clear()
        if far:
            self.look_after(key, o)
        return far

    def expected(self, raised, usual, action, struck=True):
        if (
            action == "strike" and struck and not isinstance(raised, Error)
        ):  # which drops what its methods raise
            while raised is not None and not isinstance(raised, Struck):
                raised = raised.__context__ or raised.__cause__
            return raised is not None
        if isinstance(raised, (w.WasmtimeError, Gone)):
            return True
        return type(raised) is type(usual) or isinstance(raised, ImportError)  # of the importer, out of ours

    def look_after(self, key, o):
        """A store is closed or works, and nobody is inside."""
        for store in o.stores():
            core = store._core
            if core.depth or core.owner_thread:
                self.note((key, "busy"), f"{key} | left busy: depth {core.depth}")
                continue
            try:
                if core.closed:
                    with contextlib.suppress(w.StoreClosedError):
                        store.gc()
                        self.note((key, "closed"), f"{key} | closed, and it works")
                    continue
                if "instance" in vars(o) and store is o.store and o.instance.is_valid:
                    exports = w.WasmInstance(store, o.module, [o.host]).exports if o.module.is_valid else None
                    o.inside = lambda: None
                    if exports is not None and exports.h(7) != 7:
                        self.note((key, "call"), f"{key} | a call went wrong")
                store.gc()
                self.close(store)
            except BaseException as raised:
                self.note((key, repr(raised)[:60]), f"{key} | afterwards: {told(raised)}")

    def close(self, store):
        try:
            store.close()
        except w.MemoryViewError:
            gc.collect()
            store.close()


def told(raised):
    lines = traceback.format_exception(type(raised), raised, raised.__traceback__)
    return "".join(lines)[-1500:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="every step with every action")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=6, help="of each operation, where it is not all")
    parser.add_argument("--after", default="", help="skip what was done: the last line of the progress")
    parser.add_argument("--actions", default="")
    parser.add_argument("--part", default="0/1", help="which of so many parts of the operations")
    parser.add_argument(
        "--missing", action="store_true", help="print what has no line here, and nothing else"
    )
    parser.add_argument(
        "--planted", action="store_true", help="operations that are wrong, to see that it shows"
    )
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    found, missing = operations()
    if given.missing:
        print(json.dumps(missing))
        return
    if given.planted:
        found = planted()
    actions = [name for name in ACTIONS if not given.actions or name in given.actions.split("+")]
    progress = None
    if os.environ.get("STEPS_AT"):
        with open(os.environ["STEPS_AT"], "r+b") as file:
            progress = mmap.mmap(file.fileno(), 512)
    skipped_label, skipped_action, _ = [*given.after.split(" | "), "", "", ""][:3]

    def hang(*_args):
        if os.environ.get("STEPS_HANGS"):
            with open(os.environ["STEPS_HANGS"], "a") as told_to:
                faulthandler.dump_traceback(told_to)
        raise Hung

    signal.signal(signal.SIGALRM, hang)
    gc.disable()  # it runs where it is asked to
    World.common = Common()
    runs = Runs(progress)
    stray = runs.stray
    sys.unraisablehook = lambda seen: stray.append(f"{seen.exc_value!r} in {seen.object!r}")
    threading.excepthook = lambda seen: stray.append(repr(seen.exc_value))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for path, data in (
            ("module.wasm", World.common.binary),
            ("module.cwasm", World.common.serialized["TEXT"]),
            ("steps_library.wasm", w.wat2wasm('(module (func (export "f")))')),
        ):
            with open(path, "wb") as file:
                file.write(data)
        found = dict(sorted(found.items(), key=lambda item: item[0].startswith(LONG)))
        labels = [
            label for label in found if not given.names or any(label.startswith(each) for each in given.names)
        ]
        if skipped_label:
            labels = labels[labels.index(skipped_label) :]
        part, parts = map(int, given.part.split("/"))
        labels = labels[part::parts]
        measured = {}
        if given.all and not given.names:  # all, to know what is new in each
            for label, (name, use) in found.items():
                runs.say(f"{label} | measured | 0")
                measured[label] = runs.measure(name, use)
        gc.collect()
        gc.freeze()  # what is there now is not looked at again
        for number, label in enumerate(labels):
            name, use = found[label]
            random_of = random.Random(zlib.crc32(f"{given.seed} {label}".encode()))
            faulthandler.dump_traceback_later(600, exit=True)
            runs.say(f"{label} | measured | 0")
            steps, usual = measured.get(label) or runs.measure(name, use, KINDS if given.all else KINDS[:1])
            runs.runs, runs.wrong = 0, {}
            if isinstance(usual, (KeyError, NameError)) or "object has no attribute" in str(usual):
                runs.note((label, "broken"), f"{label} | it does not work by itself: {told(usual)}")
            stray.clear()
            first = 0
            if label == skipped_label and skipped_action in actions:
                first = actions.index(skipped_action) + 1
            if given.all:
                for action in actions[first:]:
                    for at in steps[kind_of(action)]:
                        runs.run(label, name, use, action, at, usual)
                    gc.collect()
            else:
                for _ in range(given.runs):
                    action = random_of.choice(actions)
                    most = max(1, len(steps[""]) // (6 if action == "strike" else 1))
                    runs.run(label, name, use, action, random_of.randint(1, most), usual)
            if stray:
                odd = [each for each in stray if "Struck" not in each]
                if odd:
                    runs.note((label, "stray"), f"{label} | nobody caught: {odd[:3]}")
            faulthandler.cancel_dump_traceback_later()
            print(
                json.dumps(
                    {
                        "name": label,
                        "steps": len(steps[""]),
                        "signals": len(steps.get("strike", ())),
                        "runs": runs.runs,
                        "wrong": list(runs.wrong.values()),
                    }
                ),
                flush=True,
            )
            runs.now = None
            if number % 20 == 0:
                gc.collect()
        os.chdir("/")


if __name__ == "__main__":
    main()
