"""Guests and programs that try to outlast a limit: ``time_limits_scenarios.py NAME`` runs one, and prints ``done``."""

from __future__ import annotations

import functools
import os
import resource
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager

import pytest

import wasmtime_rt as w
from wasmtime_rt._lowlevel import NULL, lib

#: Within this many seconds everything must be over: many times the limits below, far less than what would follow.
SOON = 4.0
EPOCHS = w.WasmConfig(epoch_interruption=True, wasm_memory64=True, parallel_compilation=False)
ENGINE = w.WasmEngine(EPOCHS)
PLAIN = w.WasmEngine(w.WasmConfig(parallel_compilation=False))
TEXT = """(module (import "" "h" (func $h))
    (func (export "once") (call $h))
    (func (export "line") {line})
    (func (export "forever") (loop (call $h) (br 0)))
    (func $spin (export "spin") (loop (br 0)))
    (func (export "then_trap") (call $h) (unreachable)))"""
TEXT = TEXT.format(line="(call $h)" * 200)


def exports(host, engine=ENGINE, **limits):
    """Return the exports of a guest whose host function is ``host``."""
    store = w.WasmStore(engine, limits=w.StoreLimits(**limits))
    return w.WasmInstance(store, w.WasmModule(engine, TEXT), {"": {"h": host}}).exports


@contextmanager
def ends(kind, seconds=SOON):
    """Check that the block raises ``kind`` soon."""
    began = time.monotonic()
    try:
        yield
    except kind:
        pass
    else:
        raise AssertionError(f"nothing was raised, after {time.monotonic() - began} seconds")
    took = time.monotonic() - began
    assert took < seconds, f"{took} seconds"


def sleeper(seconds):
    calls = []

    def sleep():
        calls.append(1)
        time.sleep(seconds)

    return sleep, calls


# ---- Guests that only call host functions


def host_calls_in_a_line():
    sleep, calls = sleeper(0.05)
    with ends(w.WasmTimeout):
        exports(sleep, timeout=0.1).line()
    assert 2 <= len(calls) < 100


def host_calls_for_ever():
    sleep, _ = sleeper(0.001)
    for host in (sleep, lambda: None):
        with ends(w.WasmTimeout):
            exports(host, timeout=0.1).forever()


def one_host_call_that_takes_long():
    sleep, _ = sleeper(0.3)
    guest = exports(sleep, timeout=0.1)
    with ends(w.WasmTimeout):
        guest.once()
    guest.once(timeout=None)
    guest.once(timeout=60)
    with ends(w.WasmTimeout):
        guest.once(timeout=0.05)


def host_calls_with_references():
    text = """(module (import "" "h" (func $h (param externref) (result externref)))
        (func (export "f") (param externref) (result externref) (call $h (local.get 0))))"""
    store = w.WasmStore(ENGINE, limits=w.StoreLimits(timeout=0.05))

    def host(value):
        time.sleep(0.15)
        return value

    guest = w.WasmInstance(store, w.WasmModule(ENGINE, text), {"": {"h": host}}).exports
    for _ in range(3):
        with ends(w.WasmTimeout):
            guest.f("x")
    store.gc()
    assert not store._core.objects  # the result that nobody took was let go of


def a_python_function_called_through_its_store():
    store = w.WasmStore(ENGINE, limits=w.StoreLimits(timeout=0.05))
    call = w.WasmFunc(store, lambda: time.sleep(0.15), w.WasmFuncType())
    for way in (call, call.call, call.call_values, call.typed(), call.typed().call):
        with ends(w.WasmTimeout):
            way()
    rows = w.WasmFunc(store, lambda _row: time.sleep(0.02), w.WasmFuncType(["i64"], []))
    with ends(w.WasmTimeout):
        rows.map(memoryview(bytes(1600)).cast("q"))


def a_result_and_an_exit_do_not_hide_the_limit():
    text = b"""(module (import "env" "h" (func $h))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $h) (call $exit (i32.const 0))))"""
    with ends(w.WasmTimeout):
        w.run_wasi(text, imports={"env": {"h": lambda: time.sleep(0.2)}}, timeout=0.1, cache=False)


def an_exception_of_the_host_wins():
    def fail():
        time.sleep(0.15)
        raise LookupError("mine")

    for kind in (ENGINE, PLAIN):
        guest = exports(fail, kind, **({"timeout": 0.05} if kind is ENGINE else {}))
        with ends(LookupError):
            guest.once()


def a_trap_stays_a_trap_or_is_the_limit():
    guest = exports(lambda: None, timeout=30)
    with ends(w.WasmTrap):
        guest.then_trap()
    sleep, _ = sleeper(0.15)
    with ends(w.WasmTimeout):
        exports(sleep, timeout=0.05).then_trap()


# ---- Interruption and signals


def interruption_in_a_host_function():
    told = []
    guest = exports(lambda: told.append(store.interrupt()))
    store = guest.once.store
    for way in (guest.once, guest.line, guest.once.call_values, guest.once.typed()):
        told.clear()
        with ends(w.WasmInterrupted):
            way()
        assert told == [True]
    assert store.interrupt() is False


def interruption_from_a_thread_in_a_host_function():
    sleep, _ = sleeper(0.3)
    guest = exports(sleep)
    told = []
    timer = threading.Timer(0.05, lambda: told.append(guest.once.store.interrupt()))
    timer.start()
    with ends(w.WasmInterrupted):
        guest.once()
    timer.join()
    assert told == [True]
    guest.once()


def interruptions_at_any_moment():
    """One that answered ``True`` has ended the call, whatever that did."""
    call, over, must, ended = 0, False, set(), set()
    guest = exports(lambda: None).once
    store = guest.store

    def interrupt():
        while not over:
            before = call
            if store.interrupt() and before == call:
                must.add(before)

    thread = threading.Thread(target=interrupt)
    sys.setswitchinterval(1e-6)
    thread.start()
    began = time.monotonic()
    while time.monotonic() < began + 2:
        call += 1
        try:
            guest()
        except w.WasmInterrupted:
            ended.add(call)
    over = True
    thread.join()
    assert must <= ended
    assert must


def control_c_in_a_host_function():
    calls = []

    def host():
        calls.append(1)
        os.kill(os.getpid(), signal.SIGINT)

    for engine in (ENGINE, PLAIN):
        # The second runs no Python code after the signal: what is waiting is looked at when it returns.
        for sends in (host, functools.partial(os.kill, os.getpid(), signal.SIGINT)):
            calls.clear()
            with ends(KeyboardInterrupt):
                exports(sends, engine).line()
            assert len(calls) <= 1
        guest = exports(functools.partial(os.kill, os.getpid(), signal.SIGINT), engine)
        with ends(KeyboardInterrupt):
            guest.then_trap()


def what_functions_in_c_look_at():
    """The functions that host functions in C call find what ends the call, and when it must end."""

    def limit():
        assert lib.wrt_limits_look(store._core.epochs) == lib.wrt_limits_look(NULL) == NULL
        began, end = time.monotonic_ns(), lib.wrt_limits_end(NULL)
        assert began < end == lib.wrt_limits_end(store._core.epochs) < began + 10**8
        while (trap := lib.wrt_limits_look(NULL)) == NULL:
            time.sleep(0.001)
        lib.wasm_trap_delete(trap)
        assert time.monotonic_ns() >= end

    def signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        while not handled:
            assert lib.wrt_limits_look(store._core.epochs) == NULL
            assert lib.wrt_limits_serve(context()) == NULL

    def context():
        with store._core as pointer:
            return pointer

    handled = []
    signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
    guest = exports(limit, timeout=0.1)
    store = guest.once.store
    with ends(w.WasmTimeout):
        guest.once()
    assert lib.wrt_limits_end(NULL) == 2**64 - 1
    assert lib.wrt_limits_look(NULL) == NULL
    guest = exports(signals)
    store = guest.once.store
    guest.once()


# ---- Stores inside of one another


def nested(host_of, engine=ENGINE, **limits):
    """Return a guest whose host function calls into the inner guest that ``host_of`` gets."""
    inner = exports(lambda: time.sleep(0.02), engine)
    return exports(lambda: host_of(inner), **limits)


def an_inner_store_has_the_outer_limit():
    other = w.WasmEngine(EPOCHS)
    for engine in (ENGINE, other):
        with ends(w.WasmTimeout):
            nested(lambda inner: inner.spin(), engine, timeout=0.1).once()
        with ends(w.WasmTimeout):
            nested(lambda inner: inner.spin(timeout=30), engine, timeout=0.1).once()
        with ends(w.WasmTimeout):
            nested(lambda inner: inner.line(), engine, timeout=0.1).once()


def a_limit_that_the_host_swallows_ends_the_outer_call():
    def host(inner):
        try:
            inner.spin()
        except w.WasmTimeout:
            ended.append(1)

    ended = []
    with ends(w.WasmTimeout):
        nested(host, timeout=0.1).line()
    assert ended == [1]


def an_inner_limit_leaves_the_outer_call():
    def host(inner):
        try:
            inner.spin(timeout=0.02)
        except w.WasmTimeout as ended:
            limits.append(ended.limit)

    limits = []
    nested(host, timeout=30).once()
    assert limits == [0.02]


def an_inner_engine_without_epochs():
    with ends(w.WasmTimeout):
        nested(lambda inner: inner.line(), PLAIN, timeout=0.1).once()
    with ends(w.WasmTimeout):  # when it returns
        nested(lambda inner: [inner.once() for _ in range(1000)], PLAIN, timeout=0.1).once()


def three_stores_and_back_into_the_first():
    def back(middle):
        middle()

    first = exports(lambda: None)
    for way in (first.spin, first.forever):
        middle = exports(lambda way=way: way(), timeout=0.1)
        outer = exports(lambda middle=middle: middle.once())
        with ends(w.WasmTimeout):
            outer.once()
    # The outermost call is in the very store that the innermost runs in.
    steps = []

    def host():
        steps.append(1)
        if len(steps) == 1:
            middle.once()
        else:
            time.sleep(0.02)

    again = exports(host)
    middle = exports(lambda: again.line(), timeout=0.1)
    with ends(w.WasmTimeout):
        again.once()
    assert len(steps) < 100


def the_outer_interruption_ends_an_inner_store():
    outer = nested(lambda inner: inner.spin())
    timer = threading.Timer(0.1, outer.once.store.interrupt)
    timer.start()
    with ends(w.WasmInterrupted):
        outer.once()


def a_limit_set_in_a_host_function_only_shortens():
    def longer():
        with guest.once.store.deadline(60):
            time.sleep(0.02)

    def lifted():
        with guest.once.store.deadline(None):
            time.sleep(0.02)

    for host in (longer, lifted):
        guest = exports(host, timeout=0.1)
        with ends(w.WasmTimeout):
            guest.line()

    def shorter():
        with guest.once.store.deadline(0.05):
            guest.spin()

    guest = exports(shorter, timeout=60)
    with ends(w.WasmTimeout):
        guest.once()


# ---- Limits and who sets them


def blocks_are_in_place_of_the_limit_of_the_store():
    sleep, _ = sleeper(0.2)
    guest = exports(sleep, timeout=0.1)
    store = guest.once.store
    with store.deadline(60):
        guest.once()
    with store.deadline(None):
        guest.once()
    with store.deadline(60), ends(w.WasmTimeout):
        guest.once(timeout=0.05)
    with store.deadline(0.05), ends(w.WasmTimeout):
        guest.once(timeout=None)
    with ends(w.WasmTimeout):
        guest.once()


def the_time_of_the_limit_begins_with_each_call():
    sleep, _ = sleeper(0.1)
    guest = exports(sleep, timeout=0.5)
    for _ in range(8):
        guest.once()


def a_block_that_ends_meanwhile_leaves_the_limit_of_the_store():
    guest = exports(lambda: None, timeout=0.2)
    block = guest.once.store.deadline(60)
    block.__enter__()
    threading.Timer(0.05, block.__exit__, (None, None, None)).start()
    with ends(w.WasmTimeout):
        guest.spin()


def a_generator_that_stops_in_a_block():
    sleep, _ = sleeper(0.15)
    guest = exports(sleep)

    def generate():
        with guest.once.store.deadline(0.05):
            yield

    suspended = generate()
    next(suspended)
    with ends(w.WasmTimeout):
        guest.once()
    exports(sleep).once()  # the block is another store's
    suspended.close()
    guest.once()


def forked_children_keep_the_limit():
    def host():
        child.append(os.fork())
        if child[-1] == 0:
            time.sleep(0.3)

    for timeout in (0.15, None):
        child = []
        guest = exports(host, timeout=0.15)
        try:
            guest.once() if timeout else guest.once(timeout=0.15)
        except w.WasmTimeout:
            if child[-1] == 0:
                try:
                    with ends(w.WasmTimeout):
                        guest.spin()
                except BaseException:  # its status tells
                    os._exit(2)
                os._exit(0)
        assert child[-1] != 0 or os._exit(3)
        assert os.waitpid(child[-1], 0)[1] == 0


def no_thread_keeps_the_time():
    """A call with a limit that nothing would keep is refused, and one without a limit runs."""
    bounded, free = exports(lambda: None, timeout=60).once, exports(lambda: None).once
    child = os.fork()
    if child == 0:
        status = 2
        try:
            if os.getuid() == 0:
                os.setuid(65534)  # no limit holds for root
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            for way in (bounded, bounded.call_values, bounded.typed()):
                with pytest.raises(w.WasmtimeError, match="no thread can be started to keep the time"):
                    way()
            free()
            bounded(timeout=None)
            bounded.store.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def threads_that_all_run_out_of_time():
    ended = []

    def work():
        for _ in range(3):
            guest = nested(lambda inner: inner.spin(), timeout=0.3)
            try:
                guest.once()
            except w.WasmTimeout:
                ended.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(ended) == 24


def what_was_told_is_right():
    sleep, _ = sleeper(0.2)
    for way in (lambda: exports(sleep, timeout=0.1).once(), lambda: exports(sleep).once(timeout=0.1)):
        with pytest.raises(
            w.WasmTimeout, match=r"^timeout: 0\.\d+ seconds have passed, the limit was 0\.1"
        ) as told:
            way()
        assert told.value.limit == 0.1
        assert 0.19 < told.value.elapsed < SOON
        assert told.value.code is w.TrapCode.INTERRUPT


def profiles_and_epoch_deadlines_go_on():
    guest = exports(lambda: None, timeout=0.1)
    store = guest.once.store
    with store.profile(os.devnull) as profile, ends(w.WasmTimeout):
        guest.spin()
    assert profile.samples
    store.set_epoch_deadline(1)
    ENGINE.increment_epoch()
    with ends(w.WasmTrap):
        guest.spin(timeout=60)
    assert exports(lambda: None).once() is None


def fuel_and_output_count_on_every_path():
    text = b"""(module (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
        (func (export "say") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20))))
        (func (export "spin") (loop (br 0))))"""
    sandbox = w.Sandbox(text, fuel=100_000, max_output=20, timeout=60, cache=False)
    for way in ("call", "exports"):
        program = sandbox.start()
        for _ in range(10):
            program.call("say") if way == "call" else program.exports.say()
        assert program.result.stdout == b"hello\nhello\nhello\nhe"
        assert program.result.truncated == ("stdout",)
        with ends(w.OutOfFuelError):
            program.call("spin") if way == "call" else program.exports.spin.typed()()


# ---- Instructions that take long


def long_instructions(*functions, declarations=""):
    for body in functions:
        text = f'(module {declarations} (func (export "f") {body}))'
        store = w.WasmStore(ENGINE, limits=w.StoreLimits(timeout=0.1, memory_size=1 << 30))
        guest = w.WasmInstance(store, w.WasmModule(ENGINE, text)).exports
        with ends(w.WasmTimeout, 2 * SOON):
            guest.f()
        store.close()


def bulk_operations_in_a_line():
    size = "(i32.const 0x07ffffff)"
    long_instructions(
        f"(memory.fill (i32.const 0) (i32.const 1) {size})" * 400,
        f"(memory.copy (i32.const 0) (i32.const 0x8000000) {size})" * 400,
        "(table.fill (i32.const 0) (ref.null extern) (i32.const 5000000))" * 400,
        "(table.copy (i32.const 0) (i32.const 10) (i32.const 4000000))" * 400,
        "(drop (array.new $a (i32.const 7) (i32.const 20000000)))" * 400,
        declarations="(memory 4096) (table 5000000 externref) (type $a (array (mut i8)))",
    )


def heaps_and_growth():
    long_instructions(
        "(loop (global.set $g (struct.new $n (global.get $g) (i64.const 1))) (br 0))",
        "(loop (drop (array.new_default $b (i32.const 1000000))) (br 0))",
        "(loop (drop (memory.grow (i64.const 1))) (br 0))",
        "(loop $l (block $h (try_table (catch_all $h) (call $t (i32.const 5000)))) (br $l))",
        declarations="""(memory i64 1) (type $n (struct (field (ref null $n)) (field i64))) (type $b (array (mut i8)))
            (global $g (mut (ref null $n)) (ref.null $n)) (tag $e)
            (func $t (param i32) (if (i32.eqz (local.get 0)) (then (throw $e)))
                (call $t (i32.sub (local.get 0) (i32.const 1))))""",
    )


def finalizers_that_call_in():
    """A finalizer that calls into another store, while a limit is about to end a call, is bound like any host code."""

    class Calls:
        def __del__(self):
            try:
                other.spin(timeout=0.02)
            except w.WasmTimeout:
                ended.append(1)

    ended, other = [], exports(lambda: None)
    guest = exports(lambda: Calls() and None, timeout=0.2)
    with ends(w.WasmTimeout):
        guest.line()
    assert ended


SCENARIOS = [
    name for name, found in list(globals().items())
    if getattr(found, "__module__", "") == __name__ and found.__code__.co_argcount == 0
    and not found.__code__.co_flags & 0x0C
]  # fmt: skip

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
    globals()[sys.argv[1]]()
    print("done")
