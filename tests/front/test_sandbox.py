"""Sandbox: one program, many runs; libraries that stay alive."""

import gc
import threading
import weakref

import pytest
from front_programs import CAT, ECHO_ARGUMENTS, HELLO, SPIN, TRAP, exits, sleeps

from wasmtime_rt import (
    ClosedError,
    LimitError,
    MisuseError,
    OutOfFuelError,
    PoolingConfig,
    Sandbox,
    SandboxInstance,
    StoreClosedError,
    WasmCaller,
    WasmExit,
    WasmInterrupted,
    WasmModule,
    WasmTimeout,
    WasmTrap,
    run_wasi,
)

LIBRARY = b"""(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) (data (i32.const 64) "hello") (global $n (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $n (i32.add (global.get $n) (i32.const 40))))
    (func (export "add") (param i32) (result i32)
        (global.set $n (i32.add (global.get $n) (local.get 0))) (global.get $n))
    (func (export "say") (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "spin") (loop $again (br $again)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "leave") (call $exit (i32.const 3)))
    (func (export "trap") unreachable))"""


def test_runs_know_nothing_of_each_other():
    with Sandbox(CAT) as sandbox:
        for n in range(5):
            assert sandbox.run(stdin=b"%d" % n).stdout == b"%d" % n
        assert sandbox.run().stdout == b""


def test_a_program_is_compiled_once(monkeypatch):
    made, init = [], WasmModule.__init__
    monkeypatch.setattr(WasmModule, "__init__", lambda self, *args: (made.append(self), init(self, *args))[1])
    sandbox = Sandbox(HELLO)
    for _ in range(3):
        sandbox.run()
    assert len(made) == 1


def test_limits_of_a_run_go_before_those_of_the_sandbox():
    sandbox = Sandbox(SPIN, timeout=60, fuel=10**15)
    with pytest.raises(WasmTimeout):
        sandbox.run(timeout=0.05)
    with pytest.raises(OutOfFuelError):
        sandbox.run(timeout=None, fuel=1000)
    assert Sandbox(HELLO, max_output=1).run(max_output=None).stdout == b"hello\n"
    assert Sandbox(HELLO, max_output=1).run().truncated == ("stdout", "stderr")
    with pytest.raises(LimitError):
        Sandbox(HELLO).run(memory=10)
    with pytest.raises(ValueError, match="timeout: expected more than 0"):
        sandbox.run(timeout=-1)
    with pytest.raises(MisuseError, match="fuel: this Sandbox does not count it"):
        Sandbox(HELLO).run(fuel=1000)


@pytest.mark.parametrize(
    "pooling", [None, PoolingConfig(total_core_instances=8, total_memories=8, total_tables=8)]
)
def test_threads_share_it(pooling):
    sandbox, right = Sandbox(ECHO_ARGUMENTS, pooling=pooling), []

    def work(name):
        right.extend(
            sandbox.run([f"{name}-{n}"]).stdout == b"program\0%d-%d\0" % (name, n) for n in range(30)
        )

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 120


def test_a_pool_takes_back_what_ended_in_any_way():
    pool = PoolingConfig(total_core_instances=1, total_memories=1, total_tables=1)
    sandbox = Sandbox(TRAP, pooling=pool)
    for _ in range(5):
        with pytest.raises(WasmTrap) as caught:
            sandbox.run()
    assert caught.value.result.stdout == b"before"
    sandbox = Sandbox(exits(5), pooling=pool)
    assert [sandbox.run().exit_code for _ in range(5)] == [5] * 5


def test_what_runs_goes_on_after_closing():
    sandbox = Sandbox(LIBRARY)
    program = sandbox.start()
    sandbox.close()
    assert program.call("add", 2) == 42
    with pytest.raises(ClosedError, match="this Sandbox was closed"):
        sandbox.start()
    assert not sandbox.is_valid
    assert repr(sandbox) == "<Sandbox program closed>"


def test_it_leaves_nothing_behind():
    class Writer:
        def write(self, data):
            raise ValueError("full")

    def use():
        writer = Writer()
        sandbox = Sandbox(HELLO)
        with pytest.raises(ValueError, match="full"):
            sandbox.run(stdout=writer)
        return weakref.ref(writer), weakref.ref(sandbox)

    alive = use()
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


# ---- Libraries


def test_a_library_is_initialised_and_stays_alive():
    sandbox = Sandbox(LIBRARY)
    with sandbox.start() as program:
        assert program.call("add", 1) == 41
        assert program.call("add", 1) == 42
        assert program.exports.add(1) == 43
        program.call("say")
        program.call("say")
        result = program.result
        assert (result.stdout, result.exit_code, result.peak_memory) == (b"hellohello", None, 65536)
        assert result.duration > 0
    with sandbox.start() as another:
        assert another.call("add", 0) == 40
    with pytest.raises(StoreClosedError):
        program.call("add", 1)
    assert not program.is_valid
    with pytest.raises(MisuseError, match='no function "_start"'):
        sandbox.run()


def test_limits_hold_for_a_library():
    program = Sandbox(LIBRARY, memory=2 * 65536, timeout=0.05).start()
    assert program.call("grow", 1) == 1
    assert program.call("grow", 1) == -1
    for _ in range(2):  # each call has its time
        with pytest.raises(WasmTimeout) as caught:
            program.call("spin")
        assert caught.value.result.peak_memory == 2 * 65536
    with pytest.raises(WasmTimeout):
        Sandbox(LIBRARY).start().call("spin", timeout=0.05)
    counted = Sandbox(LIBRARY, fuel=1000).start()
    with pytest.raises(OutOfFuelError):
        counted.call("spin")
    assert counted.result.fuel_used > 0


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("source", [SPIN, sleeps(10**14)], ids=["spin", "sleep"])
def test_an_interruption_ends_what_runs_and_what_sleeps(source, timeout):
    program = Sandbox(source, timeout=timeout).start()
    stopped = threading.Event()

    def interrupt():
        while not stopped.is_set():  # until it is inside
            program.store.interrupt()
            stopped.wait(0.01)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(WasmInterrupted, match="interrupted after") as caught:
            program.call("_start")
    finally:
        stopped.set()
        thread.join()
    assert 0 <= caught.value.elapsed < 50
    assert caught.value.frames
    assert caught.value.result.exit_code is None


def test_a_library_may_exit_and_trap():
    program = Sandbox(LIBRARY).start()
    with pytest.raises(WasmExit) as exited:
        program.call("leave")
    assert exited.value.code == exited.value.result.exit_code == 3
    with pytest.raises(WasmTrap) as trapped:
        program.call("trap")
    assert trapped.value.result.stdout == b""
    with pytest.raises(KeyError, match="no export 'nothing'"):
        program.call("nothing")


def test_a_library_within_a_library():
    inner = Sandbox(HELLO)
    source = b"""(module (import "env" "run" (func $run (result i32))) (memory (export "memory") 1)
        (func (export "_start") (drop (call $run))))"""
    got = []

    def run():
        got.append(inner.run().stdout)
        return 0

    assert Sandbox(source, imports={"env": {"run": run}}).run().exit_code == 0
    assert got == [b"hello\n"]


def test_an_instance_comes_from_start_only():
    with pytest.raises(TypeError, match="made by Sandbox.start"):
        SandboxInstance()


def test_host_functions_find_data_of_the_run():
    seen = []

    def note(caller: WasmCaller) -> None:
        seen.append(caller.data)

    program = b"""(module (import "env" "note" (func $note)) (memory (export "memory") 1)
        (func (export "_start") (call $note)) (func (export "again") (call $note)))"""
    with Sandbox(program, imports={"env": {"note": note}}) as sandbox:
        sandbox.run(data="one")
        sandbox.run()
        with sandbox.start(data=[2]) as alive:
            alive.call("again")
            alive.store.data = 3
            alive.call("again")
        with sandbox.pool(data="all") as pool, pool.take() as lease:
            lease.call("again")
    run_wasi(program, imports={"env": {"note": note}}, data="run")
    assert seen == ["one", None, [2], 3, "all", "run"]


def test_a_run_leaves_nothing_for_the_collector():
    program = b'(module (memory (export "memory") 1) (func (export "_start")))'
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with Sandbox(program) as sandbox:
                module = weakref.ref(sandbox.module)
                sandbox.run()
            del sandbox
            assert module() is None
    finally:
        gc.enable()
