"""Handlers of SIGSEGV, SIGFPE and SIGILL that a program installs, before the engine's and after."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import wasmtime_rt

SETUP = """
import contextlib, ctypes, faulthandler, os, resource, signal, sys, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import wasmtime_rt as w
{early}
TRAPS = [w.TrapCode.MEMORY_OUT_OF_BOUNDS, w.TrapCode.INTEGER_DIVISION_BY_ZERO, w.TrapCode.UNREACHABLE_CODE_REACHED]
engine = w.WasmEngine()
module = w.WasmModule(engine, '''(module (memory 1)
    (func (export "a") (drop (i32.load (i32.const 0x7fffffff))))
    (func (export "b") (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0)))))
    (func (export "c") unreachable))''')
def new():
    return w.WasmInstance(w.WasmStore(engine), module)
def traps(exports):
    for name, code in zip("abc", TRAPS):
        try:
            exports[name]()
        except w.WasmTrap as trap:
            assert trap.code is code, trap
        else:
            raise AssertionError("no trap")
    print("traps", flush=True)
def crash():
    ctypes.string_at(0)
handled = []
def handler(number, frame):
    handled.append(number)
at_hand = new().exports
traps(at_hand)
prepared = w.WasmLinker(engine).prepare(module)
"""


def run(source, *options, early=""):
    """How a script ended: its status, how often all three traps came, and what it said on stderr."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent),
        "PYTHONDEVMODE": "",  # which brings faulthandler: that is for the options to say
    }
    ended = subprocess.run(
        [sys.executable, *options, "-c", SETUP.format(early=early) + source],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout.count("traps"), ended.stderr


LATE = {
    "faulthandler": "faulthandler.enable()",
    "faulthandler, disabled again": "faulthandler.enable(); faulthandler.disable()",
    "faulthandler.register": "faulthandler.register(signal.SIGUSR1)",
    "faulthandler, later": "faulthandler.dump_traceback_later(100)",
    **{f"Python, {name}": f"signal.signal(signal.{name}, handler)" for name in ("SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS")},
    **{f"default, {name}": f"signal.signal(signal.{name}, signal.SIG_DFL)" for name in ("SIGSEGV", "SIGFPE", "SIGILL")},
    **{f"ignored, {name}": f"signal.signal(signal.{name}, signal.SIG_IGN)" for name in ("SIGSEGV", "SIGFPE", "SIGILL")},
}  # fmt: skip

#: By C, which Python does not hear of: an extension's, or a library's.
LATE_BY_C = {
    f"C, {action} {name}": f"ctypes.CDLL(None).signal(signal.{name}, {number})"
    for name in ("SIGSEGV", "SIGFPE", "SIGILL")
    for number, action in enumerate(("default", "ignored"))
}

NOTICED = {
    "an instance": "traps(new().exports)",
    "a module": "w.WasmModule(engine, '(module)')\ntraps(at_hand)",
    "an engine": "w.WasmEngine()\ntraps(at_hand)",
    "asked for": "w.restore_signal_handlers()\ntraps(at_hand)",
}


@pytest.mark.parametrize("late", LATE)
def test_what_python_installs_late_is_noticed_at_once(late):
    assert run(f"{LATE[late]}\ntraps(at_hand)\n" * 3) == (0, 4, "")


def test_what_installs_them_was_at_hand():
    early = """
from signal import signal as install
from faulthandler import enable, disable
enable(); disable()
"""
    source = """
assert install(signal.SIGSEGV, handler) is signal.SIG_DFL
traps(at_hand)
assert install(signal.SIGSEGV, signal.SIG_DFL) is handler is not signal.getsignal(signal.SIGSEGV)
traps(at_hand)
for turn in range(50):  # so often that Python makes it quicker
    enable(file=sys.stderr, all_threads=bool(turn % 2))
    traps(at_hand)
    assert faulthandler.is_enabled() and disable() is True and disable() is False
    install(signal.SIGILL, signal.SIG_DFL)
    traps(at_hand)
"""
    assert run(source, early=early) == (0, 103, "")


def test_what_installs_them_is_otherwise_what_it_was():
    source = """
import pickle, _signal
traps(at_hand)
for function in (_signal.signal, faulthandler.enable, faulthandler.disable):
    now = pickle.loads(pickle.dumps(function)), repr(function)[:40], function.__doc__, function.__self__, function.__module__
    assert (*now, function.__text_signature__) == before.pop(0)
for wrong in ("signal.signal(signal.SIGSEGV, 5)", "signal.signal(12345, handler)", "signal.signal(signal.SIGSEGV)",
              "faulthandler.enable(file=77.5)", "faulthandler.enable(nothing=1)", "faulthandler.disable(1)"):
    try:
        eval(wrong)
    except (TypeError, ValueError, AttributeError) as error:
        assert said.pop(0) == (type(error), str(error)), error
    else:
        raise AssertionError(wrong)
traps(at_hand)
"""
    early = """
import pickle, _signal
before = [
    (f, repr(f)[:40], f.__doc__, f.__self__, f.__module__, f.__text_signature__)
    for f in (_signal.signal, faulthandler.enable, faulthandler.disable)
]
handler, said = print, []
for wrong in ("signal.signal(signal.SIGSEGV, 5)", "signal.signal(12345, handler)", "signal.signal(signal.SIGSEGV)",
              "faulthandler.enable(file=77.5)", "faulthandler.enable(nothing=1)", "faulthandler.disable(1)"):
    try:
        eval(wrong)
    except (TypeError, ValueError, AttributeError) as error:
        said.append((type(error), str(error)))
assert len(said) == 6
"""
    assert run(source, early=early) == (0, 3, "")


def test_before_there_is_anything_but_an_engine():
    program = """
import signal, sys
import wasmtime_rt as w
engine = w.WasmEngine()
signal.signal(signal.SIGSEGV, signal.SIG_DFL)
module = w.WasmModule(engine, '(module (memory 1) (func (export "f") (drop (i32.load (i32.const -1)))))')
signal.signal(signal.SIGSEGV, lambda *_: None)
f = w.WasmInstance(w.WasmStore(engine), module).exports.f
signal.signal(signal.SIGSEGV, signal.SIG_DFL)
try:
    f()
except w.WasmTrap as trap:
    sys.exit(trap.code is not w.TrapCode.MEMORY_OUT_OF_BOUNDS)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_event_loops_that_handle_signals():
    source = """
import asyncio
async def main():
    loop, told = asyncio.get_running_loop(), []
    loop.add_signal_handler(signal.SIGFPE, told.append, 1)
    traps(at_hand)
    os.kill(os.getpid(), signal.SIGFPE)
    await asyncio.sleep(0.01)
    assert told == [1]
    assert loop.remove_signal_handler(signal.SIGFPE)
    traps(at_hand)
asyncio.run(main())
"""
    assert run(source) == (0, 3, "")


@pytest.mark.parametrize("late", LATE_BY_C)
def test_what_is_made_notices_the_others(late):
    source = "".join(f"{LATE_BY_C[late]}\n{noticed}\n" for noticed in NOTICED.values())
    assert run(source) == (0, 1 + len(NOTICED), "")


def test_restoring_tells_whether_it_had_to():
    source = """
assert not w.restore_signal_handlers()
ctypes.CDLL(None).signal(signal.SIGFPE, 0)
assert w.restore_signal_handlers()
assert not w.restore_signal_handlers()
faulthandler.enable()
signal.signal(signal.SIGFPE, handler)
assert not w.restore_signal_handlers()
traps(at_hand)
"""
    assert run(source) == (0, 2, "")


CALLS = """
import time
harmless = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, '(module (func (export "f")))')).exports.f
def calls():
    time.sleep(0.02)
    for _ in range(33):
        harmless()
"""


@pytest.mark.parametrize("late", LATE_BY_C)
def test_calls_of_functions_at_hand_notice_the_others(late):
    assert run(f"{CALLS}\n{LATE_BY_C[late]}\ncalls()\ntraps(at_hand)\n") == (0, 2, "")


def test_calls_notice_that_faulthandler_was_disabled_and_enabled():
    source = """
faulthandler.disable()
calls()
traps(at_hand)
faulthandler.enable()
calls()
traps(at_hand)
faulthandler.disable()
faulthandler.enable()
calls()
traps(at_hand)
crash()
"""
    status, traps, said = run(CALLS + source, early="faulthandler.enable()")
    assert (status, traps) == (-signal.SIGSEGV, 4)
    assert "Fatal Python error: Segmentation fault" in said


WAYS = {
    "a call": "harmless()",
    "with a reference": "with_reference(None)",
    "of values": "harmless.call_values()",
    "with the GIL kept": "kept()",
    "mapped": "one.map(array.array('i', [1] * 3))",
    "prepared": "prepared.instantiate(w.WasmStore(engine))",
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_call_notices_it(way):
    source = f"""
import array
more = w.WasmModule(engine, '(module (func (export "r") (param externref)) (func (export "i") (param i32) (result i32) (local.get 0)))')
exports = w.WasmInstance(w.WasmStore(engine), more).exports
with_reference, one, kept = exports.r, exports.i, harmless.typed(keep_gil=True)
ctypes.CDLL(None).signal(signal.SIGFPE, 0)
time.sleep(0.02)
for _ in range(33):
    {WAYS[way]}
traps(at_hand)
"""
    assert run(CALLS + source) == (0, 2, "")


@pytest.mark.parametrize("options", [("-X", "faulthandler"), ("-X", "dev")], ids=["faulthandler", "dev"])
def test_handlers_that_were_there_before(options):
    assert run("traps(at_hand)\nfaulthandler.disable()\ntraps(new().exports)\n", *options) == (0, 3, "")
    status, traps, said = run("traps(at_hand)\ncrash()\n", *options)
    assert (status, traps) == (-signal.SIGSEGV, 2)
    assert "Fatal Python error: Segmentation fault" in said


CRASHES = {
    "nothing installed": ("", "", False),
    "faulthandler before": ("faulthandler.enable()", "", True),
    "faulthandler before, disabled": ("faulthandler.enable()", "faulthandler.disable()", False),
    "faulthandler before, twice": ("faulthandler.enable()", "faulthandler.disable(); faulthandler.enable()", True),
    "faulthandler late": ("", "faulthandler.enable()", True),
    "faulthandler late, disabled": ("", "faulthandler.enable(); faulthandler.disable()", False),
    "faulthandler late, twice": ("", "faulthandler.enable(); faulthandler.disable(); faulthandler.enable()", True),
    "before C's, which is noticed": ("", "faulthandler.enable(); ctypes.CDLL(None).signal(11, 0); new()", False),
    "Python before": ("signal.signal(signal.SIGSEGV, lambda *_: None)", "", False),
    "Python late": ("", "signal.signal(signal.SIGSEGV, handler)", False),
    "Python and faulthandler late": ("", "signal.signal(signal.SIGSEGV, handler); faulthandler.enable()", True),
    "ignored": ("", "signal.signal(signal.SIGSEGV, signal.SIG_IGN)", False),
}  # fmt: skip


@pytest.mark.parametrize("case", CRASHES)
def test_real_crashes_end_the_process_and_reach_who_asked(case):
    early, late, told = CRASHES[case]
    status, traps, said = run(f"{late}\ntraps(at_hand)\ncrash()\n", early=early)
    assert (status, traps) == (-signal.SIGSEGV, 2)
    assert ("Fatal Python error: Segmentation fault" in said) == told, said
    assert told or said == ""


def test_signals_that_somebody_sends_reach_their_handler():
    source = """
for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGILL):
    signal.signal(number, handler)
    traps(new().exports)
    os.kill(os.getpid(), number)
    signal.raise_signal(number)
assert len(handled) == 6 and len(set(handled)) == 3, handled
os.kill(os.getpid(), signal.SIGSEGV)
signal.signal(signal.SIGSEGV, signal.SIG_DFL)
new()
os.kill(os.getpid(), signal.SIGSEGV)
"""
    assert run(source) == (-signal.SIGSEGV, 4, "")


def test_an_engine_without_signals_needs_none():
    source = """
engine = w.WasmEngine(w.WasmConfig(signals_based_traps=False))
module = w.WasmModule(engine, '''(module (memory 1) (func (export "a") (drop (i32.load (i32.const 0x7fffffff))))
    (func (export "b") (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))) (func (export "c") unreachable))''')
exports = new().exports
traps(exports)
faulthandler.enable()
for number in (signal.SIGFPE, signal.SIGILL):
    signal.signal(number, signal.SIG_DFL)
traps(exports)
"""
    assert run(source) == (0, 3, "")


def test_many_threads_trap_while_handlers_come_and_go():
    source = """
problems, running = [], True
def work():
    exports = new().exports
    while running:
        try:
            exports.a()
        except w.WasmTrap as trap:
            if trap.code is not TRAPS[0]:
                problems.append(trap)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(300):
    for number in (signal.SIGFPE, signal.SIGILL, signal.SIGSEGV):
        signal.signal(number, handler)
    new()
running = False
for thread in threads:
    thread.join()
assert not problems
traps(at_hand)
"""
    assert run(source) == (0, 2, "")


@pytest.mark.parametrize("late", ["Python, SIGSEGV", "faulthandler", "default, SIGSEGV"])
def test_daemon_threads_trap_while_the_interpreter_ends(late):
    source = f"""
import atexit
spin = w.WasmModule(engine, '''(module (memory 1) (func (export "f") (param i64)
    (loop (local.set 0 (i64.sub (local.get 0) (i64.const 1))) (br_if 0 (i64.gt_s (local.get 0) (i64.const 0))))
    (drop (i32.load (i32.const -1)))))''')
{LATE[late]}
sys.unraisablehook = threading.excepthook = lambda *_: None  # some come through before the end
begin = threading.Barrier(21)
def trap(turns):
    f = w.WasmInstance(w.WasmStore(engine), spin).exports.f
    begin.wait()
    f(turns)
garbage = [[{{}} for _ in range(1000)] for _ in range(200)]  # so that the end takes a while
for number in range(20):
    threading.Thread(target=trap, args=(number * 1_000_000,), daemon=True).start()
begin.wait()
"""
    for _ in range(4):
        assert run(source) == (0, 1, "")


EARLY = {
    "a handler by a later atexit function": "import atexit\natexit.register(lambda: signal.signal(signal.SIGSEGV, print))",
    "faulthandler before the engine": "faulthandler.enable()",
}


@pytest.mark.parametrize("early", EARLY)
def test_daemon_threads_trap_after_what_was_registered_before_the_engine(early):
    source = """
spin = w.WasmModule(engine, '''(module (memory 1) (func (export "f") (param i64)
    (loop (local.set 0 (i64.sub (local.get 0) (i64.const 1))) (br_if 0 (i64.gt_s (local.get 0) (i64.const 0))))
    (drop (i32.load (i32.const -1)))))''')
sys.unraisablehook = threading.excepthook = lambda *_: None  # some come through before the end
begin = threading.Barrier(21)
def trap(turns):
    f = w.WasmInstance(w.WasmStore(engine), spin).exports.f
    begin.wait()
    f(turns)
class Slow:
    def __del__(self, sleep=__import__("time").sleep):
        sleep(0.2)
slow = Slow()  # so that the end takes a while
for number in range(20):
    threading.Thread(target=trap, args=(number * 10_000_000,), daemon=True).start()
begin.wait()
"""
    for _ in range(3):
        assert run(source, early=EARLY[early]) == (0, 1, "")


def test_deep_calls_trap_on_the_signal_stack_of_faulthandler():
    source = """
deep = w.WasmModule(engine, '''(module (memory 1) (func $d (export "d") (param i32)
    (if (local.get 0) (then (call $d (i32.sub (local.get 0) (i32.const 1)))) (else (drop (i32.load (i32.const -1)))))))''')
faulthandler.enable()
call = w.WasmInstance(w.WasmStore(engine), deep).exports.d
for _ in range(50):
    with contextlib.suppress(w.WasmTrap):
        call(5000)
traps(new().exports)
try:
    call(10**8)
except w.WasmTrap as trap:
    assert trap.code is w.TrapCode.STACK_OVERFLOW
"""
    assert run(source) == (0, 2, "")


def test_a_test_suite_under_faulthandler(tmp_path):
    (tmp_path / "test_traps.py").write_text("""
import faulthandler
import pytest
import wasmtime_rt as w
engine = w.WasmEngine()
exports = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, '(module (func (export "f") unreachable))')).exports
@pytest.mark.parametrize("turn", range(3))
def test_trap(turn):
    with pytest.raises(w.WasmTrap):
        exports.f()
def test_it_is_on():
    assert faulthandler.is_enabled()
    faulthandler.disable()
    faulthandler.enable()
    with pytest.raises(w.WasmTrap):
        w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, '(module (func (export "f") unreachable))')).exports.f()
""")
    environment = {**os.environ, "PYTHONPATH": str(Path(wasmtime_rt.__file__).parent.parent)}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_traps.py"],
        capture_output=True,
        cwd=tmp_path,
        encoding="utf-8",
        env=environment,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout
