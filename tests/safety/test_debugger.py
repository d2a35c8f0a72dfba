"""A process whose signals go through a debugger: each stop is answered by handing the signal on."""

import ctypes
import os
import signal
import sys

import pytest

TRACE_ME, GO_ON = 0, 7

SCRIPT = """
import signal, time
import wasmtime_rt as w
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
exports = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, '''(module (memory 1)
    (func (export "outside") (drop (i32.load (i32.const -1)))) (func (export "divide") (drop (i32.div_s (i32.const 1) (i32.load (i32.const 0)))))
    (func (export "never") unreachable) (func $deep (export "deep") (call $deep)) (func (export "spin") (loop (br 0))))''')).exports
codes = []
for name in ("outside", "divide", "never", "deep"):
    try:
        exports[name]()
    except w.WasmTrap as trap:
        codes.append(trap.code.name)
assert codes == ["MEMORY_OUT_OF_BOUNDS", "INTEGER_DIVISION_BY_ZERO", "UNREACHABLE_CODE_REACHED", "STACK_OVERFLOW"], codes
ticks = []
signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
try:
    exports.spin(timeout=0.2)
except w.WasmTimeout:
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert ticks
    raise SystemExit(7)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace of Linux")
def test_traps_and_signals_under_a_debugger():
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes, ptrace.restype = [ctypes.c_long] * 4, ctypes.c_long
    pid = os.fork()
    if pid == 0:
        if ptrace(TRACE_ME, 0, 0, 0) == 0:
            os.execv(sys.executable, [sys.executable, "-c", SCRIPT])
        os._exit(99)
    handed_on, number, status = set(), 0, os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 99:
        pytest.skip("ptrace is not allowed here")
    assert os.WSTOPSIG(status) == signal.SIGTRAP  # the exec
    while os.WIFSTOPPED(status):
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            number = os.WSTOPSIG(status)
            handed_on.add(signal.Signals(number).name)
        ptrace(GO_ON, pid, 0, number)
        number, status = 0, os.waitpid(pid, 0)[1]
    assert os.WIFEXITED(status)
    assert os.WEXITSTATUS(status) == 7
    assert {"SIGSEGV", "SIGILL", "SIGALRM"} <= handed_on
