"""Threads with blocked signals trap: each way to have them blocked is a function, named on the command line."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
FAULTS = {signal.SIGSEGV, signal.SIGILL, signal.SIGFPE}
ALL = signal.valid_signals()
TEXT = """(module (import "" "h" (func $h)) (memory 1)
    (func (export "SIGSEGV") (call $h) (drop (i32.load (i32.const -1))))
    (func (export "SIGFPE") (call $h) (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0)))))
    (func (export "SIGILL") (call $h) unreachable))"""


def block(how: int = signal.SIG_BLOCK, signals=ALL) -> None:
    """Block signals on this thread."""
    signal.pthread_sigmask(how, signals)


def nothing() -> None:
    """Do nothing."""


def trap(host=nothing) -> None:
    """Trap by each signal; ``host`` is called before, by WebAssembly."""
    import wasmtime_rt as w

    engine = w.WasmEngine()
    instance = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, TEXT), {"": {"h": host}})
    for number in FAULTS:
        try:
            instance.exports[number.name]()
        except w.WasmTrap:
            continue
        raise AssertionError(number)


def on_thread(function) -> None:
    """Run ``function`` on a thread, which must end well."""
    done = []
    thread = threading.Thread(target=lambda: (function(), done.append(1)))
    thread.start()
    thread.join()
    assert done


def before_anything() -> None:
    block()
    trap()


def after_traps() -> None:
    trap()
    for how in (signal.SIG_BLOCK, signal.SIG_SETMASK):
        block(how)
        trap()
    assert not FAULTS & signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def in_host_function() -> None:
    trap(block)


def inherited_by_thread() -> None:
    block()
    on_thread(trap)


def of_thread_known_before() -> None:
    trap()

    def work() -> None:
        block()
        trap()
        block()
        trap()

    on_thread(work)


def inherited_over_exec() -> None:
    block()
    subprocess.run([sys.executable, __file__, "after_traps"], check=True)


def inherited_by_fork() -> None:
    trap()
    block()
    child = os.fork()
    if not child:
        block()
        trap()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def by_spawn() -> None:
    trap()
    child = os.posix_spawn(
        sys.executable, [sys.executable, __file__, "after_traps"], os.environ, setsigmask=ALL
    )
    assert os.waitpid(child, 0)[1] == 0


def while_a_handler_runs() -> None:
    """The function that blocks runs Python's signal handlers before it returns."""
    trap()
    handled = []
    signal.signal(signal.SIGUSR1, lambda *_: (trap(), handled.append(1)))
    block(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    block(signal.SIG_SETMASK, FAULTS)
    assert handled


def by_numbers_of_every_kind() -> None:
    class Number:
        def __index__(self) -> int:
            return signal.SIGSEGV

    trap()
    for signals in ([11, 8, 4], iter(FAULTS), {11.0: 1}, [Number()], (True, 11)):
        with contextlib.suppress(TypeError):
            block(signals=signals)
        trap()
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, 5)
    except TypeError as error:
        assert str(error) == "'int' object is not iterable"
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, [4000])
    except ValueError:
        return
    raise AssertionError


def with_sigwait() -> None:
    trap()
    block(signals={signal.SIGUSR1})
    signal.raise_signal(signal.SIGUSR1)
    assert signal.sigwait({signal.SIGUSR1, *FAULTS}) == signal.SIGUSR1
    trap()


def in_event_loops() -> None:
    async def main() -> None:
        block()
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()
        await asyncio.to_thread(trap)
        trap()

    asyncio.run(main())


def by_c_code_on_a_new_thread() -> None:
    """A thread is learnt when it first enters a store, whoever blocked."""

    def work() -> None:
        ctypes.CDLL(None).pthread_sigmask(0, (ctypes.c_ubyte * 128)(*[255] * 128), None)
        trap()

    on_thread(work)


def by_c_code_later() -> None:
    """Noticed when an instance is made, or when it is said."""
    import wasmtime_rt as w

    trap()
    mask = (ctypes.c_ubyte * 128)(*[255] * 128)
    ctypes.CDLL(None).pthread_sigmask(0, mask, None)
    trap()
    ctypes.CDLL(None).pthread_sigmask(0, mask, None)
    w.restore_signal_handlers()
    assert not FAULTS & signal.pthread_sigmask(signal.SIG_BLOCK, ())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("done", flush=True)
