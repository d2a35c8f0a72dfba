"""SandboxPool: instances that stay alive between uses."""

import gc
import io
import threading
import weakref
from collections import Counter

import pytest

from wasmtime_rt import (
    ByteCaller,
    ClosedError,
    OutOfFuelError,
    PoolingConfig,
    Sandbox,
    SandboxInstance,
    SandboxLease,
    SandboxPool,
    StoreBusyError,
    WasmExit,
    WasmTimeout,
    WasmTrap,
)

LIBRARY = b"""(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "env" "host" (func $host))
    (memory (export "memory") 1 4) (data (i32.const 64) "hello") (global $n (export "n") (mut i32) (i32.const 0))
    (func (export "_initialize") (call $say))
    (func (export "count") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
    (func $say (export "say") (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "hear") (result i32) (i32.store (i32.const 0) (i32.const 80)) (i32.store (i32.const 4) (i32.const 1))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))) (i32.load8_u (i32.const 80)))
    (func (export "alloc") (param i32) (result i32) (i32.const 4096))
    (func (export "echo") (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1))))
    (func (export "spin") (loop $again (br $again)))
    (func (export "host") (call $host))
    (func (export "leave") (call $exit (i32.const 0)))
    (func (export "trap") unreachable))"""
PLAIN = b"""(module (global $n (mut i32) (i32.const 0)) (func (export "trap") unreachable) (func (export "count") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"""


@pytest.fixture(scope="module")
def host():
    """What the host function does."""

    class Host:
        inside = staticmethod(lambda: None)

    return Host()


@pytest.fixture(scope="module")
def sandbox(host):
    return Sandbox(LIBRARY, imports={"env": {"host": lambda: host.inside()}})


def count(pool):
    """How often the instance that is taken was used, this time included."""
    with pool.take() as program:
        return program.call("count")


def test_instances_are_used_again(sandbox):
    with sandbox.pool() as pool:
        assert isinstance(pool, SandboxPool)
        assert pool.sandbox is sandbox
        assert [count(pool) for _ in range(3)] == [1, 2, 3]
        with pool.take() as one, pool.take() as other:
            assert isinstance(one, SandboxInstance)
            assert (one.call("count"), other.call("count")) == (4, 1)
            assert pool.idle == 0
        assert pool.idle == 2
        assert repr(pool).endswith("2 idle>")


def test_so_many_are_kept_and_for_so_long(sandbox):
    pool = sandbox.pool(max_idle=1, max_uses=2)
    taken = [pool.take() for _ in range(3)]
    for program in taken:
        program.close()
    assert pool.idle == 1
    assert [program._store.is_valid for program in taken] == [True, False, False]
    assert [count(pool) for _ in range(4)] == [1, 1, 2, 1]
    assert [count(sandbox.pool(max_idle=0)) for _ in range(2)] == [1, 1]
    pool = sandbox.pool(max_uses=1)
    assert [count(pool) for _ in range(3)] == [1, 1, 1]


def end(program, name, host):
    if name == "host":
        host.inside = lambda: [].pop()
    try:
        program.call(name, timeout=0.05 if name == "spin" else None)
    finally:
        host.inside = lambda: None


@pytest.mark.parametrize(
    ("name", "kind"),
    [("trap", WasmTrap), ("leave", WasmExit), ("spin", WasmTimeout), ("host", IndexError)],
)
@pytest.mark.parametrize("caught", [False, True])
def test_what_was_left_in_the_middle_is_not_kept(sandbox, host, name, kind, caught):
    pool = sandbox.pool()
    if caught:
        with pool.take() as program:
            assert not program.trapped
            with pytest.raises(kind):
                end(program, name, host)
            assert program.trapped
            program.call("count")  # which stays possible
    else:
        with pytest.raises(kind), pool.take() as program:
            end(program, name, host)
    assert program.trapped
    assert not program._store.is_valid
    assert (pool.idle, count(pool)) == (0, 1)


def test_fuel_is_for_each_use():
    pool = Sandbox(PLAIN, fuel=1000).pool()
    assert count(pool) == 1
    with pool.take() as program:
        assert program.result.fuel_used == 0
        assert [program.call("count") for _ in range(10)] == list(range(2, 12))
        used = program.result.fuel_used
        assert 0 < used < 1000
    assert program.result.fuel_used == used
    with pytest.raises(OutOfFuelError), pool.take() as program:
        while True:
            program.call("count")
    assert pool.idle == 0


def test_an_exception_of_the_block_is_no_reason_and_comes_out_unchanged(sandbox):
    pool, mine = sandbox.pool(), KeyError("mine")
    with pytest.raises(KeyError) as caught, pool.take() as program:
        program.call("count")
        raise mine
    assert caught.value is mine
    assert mine.__context__ is None
    assert count(pool) == 2


def test_it_comes_out_unchanged_where_closing_fails(sandbox):
    class Half(io.StringIO):
        def write(self, text):
            raise OSError("no more")

    source = LIBRARY.replace(b'"hello"', b'"\\c3"').replace(b"(i32.const 5)", b"(i32.const 1)")
    pool = Sandbox(source.replace(b"(call $say)", b""), imports={"env": {"host": lambda: None}}).pool(
        stdout=Half(), max_idle=0
    )
    with pytest.raises(OSError, match="no more"), pool.take() as program:
        program.call("say")
    with pytest.raises(ValueError, match="mine"), pool.take():
        raise ValueError("mine")
    assert pool.idle == 0


# ---- What users see of one another


def test_output_is_that_of_one_use(sandbox):
    pool = sandbox.pool(max_output=12)
    with pool.take() as first:
        assert first.result.stdout == b""  # what it wrote when it was initialised is nobody's
        first.call("say")
        assert first.result.stdout == b"hello"
    with pool.take() as second:
        assert second.result.stdout == b""
        for _ in range(3):
            second.call("say")
        assert second.result.truncated == ("stdout",)
    with pool.take() as third:
        third.call("say")
    assert third.result.truncated == ()
    assert [program.result.stdout for program in (first, second, third)] == [
        b"hello",
        b"hellohellohe",
        b"hello",
    ]
    assert first._store is second._store is third._store
    assert third.result.exit_code is None
    assert third.result.peak_memory == 65536
    assert 0 < third.result.duration < first.result.duration + 60


def test_a_lease_that_has_ended_reaches_nobody(sandbox):
    pool = sandbox.pool()
    with pool.take() as stale:
        exports, instance, count_, memory, n = (
            stale.exports, stale.instance, stale.exports.count, stale.exports.memory, stale.exports.n,
        )  # fmt: skip
        caller = ByteCaller(instance, alloc="alloc")
        assert caller.call("echo", b"abc") == b"abc"
        assert stale.instance is instance
        assert memory.read(64, 5) == b"hello"
        store = stale.store
    with pool.take() as program:
        assert program.store is store
        assert program.call("count") == 1
        program.exports.memory.write(64, b"other")
        for use in (
            lambda: stale.call("count"),
            lambda: stale.instance,
            lambda: stale.exports,
            lambda: stale.store,
            lambda: exports["say"],
            lambda: instance.call("count"),
            count_,
            count_.call,
            lambda: count_.map(),
            lambda: memory.read(64, 5),
            lambda: memory.write(64, b"x"),
            lambda: memory[64],
            lambda: n.value,
            lambda: caller.call("echo", b"abc"),
        ):
            with pytest.raises(ClosedError):
                use()
        stale.close()
        with stale:
            pass
        assert (stale.is_valid, program.is_valid, stale.trapped) == (False, True, False)
        assert program.exports.memory.read(64, 5) == b"other"
        with pytest.raises(WasmTrap):
            program.call("trap")
    assert (stale.trapped, program.trapped) == (False, True)
    assert repr(stale).endswith(" ended>")


def test_one_whose_memory_is_still_looked_at_is_not_kept():
    source = b'(module (memory (export "memory") 1 1) (func (export "count") (result i32) (i32.const 1)))'
    pool = Sandbox(source).pool()
    with pool.take() as program:
        view = program.exports.memory.view()
    assert pool.idle == 0
    assert bytes(view[:2]) == b"\0\0"
    assert count(pool) == 1
    assert pool.idle == 1


def test_one_that_runs_is_not_kept_nor_closed_under_the_call(sandbox, host):
    pool, program = sandbox.pool(), None
    running, go_on = threading.Event(), threading.Event()
    said = []

    def inside():
        running.set()
        assert go_on.wait(60)

    def work():
        said.append(program.call("host"))

    program, host.inside = pool.take(), inside
    thread = threading.Thread(target=work)
    thread.start()
    assert running.wait(60)
    host.inside = lambda: None
    with pytest.raises(StoreBusyError):
        program.call("count")
    program.close()
    assert pool.idle == 0
    assert count(pool) == 1
    go_on.set()
    thread.join()
    assert said == [None]
    assert not program._store.is_valid


def test_one_that_ends_inside_of_its_own_call(sandbox, host):
    pool = sandbox.pool()
    program = pool.take()
    host.inside = program.close
    assert program.call("host") is None
    host.inside = lambda: None
    assert pool.idle == 0
    assert not program.is_valid


def test_one_whose_store_was_closed_is_not_kept(sandbox):
    pool = sandbox.pool()
    with pool.take() as program:
        program.store.close()
    with pool.take() as program, program.store.deadline(60) as _:
        program.close()
    assert pool.idle == 0
    assert count(pool) == 1


# ---- The pool


def test_closing(sandbox):
    pool = sandbox.pool()
    used, idle = pool.take(), pool.take()
    idle.close()
    pool.close()
    assert (pool.is_valid, pool.idle, idle._store.is_valid) == (False, 0, False)
    assert used.call("count") == 1
    used.close()
    assert not used._store.is_valid
    pool.close()
    with pytest.raises(ClosedError, match="this SandboxPool was closed"):
        pool.take()
    assert repr(pool).endswith("0 idle closed>")


def test_a_closed_sandbox(host):
    sandbox = Sandbox(PLAIN)
    pool = sandbox.pool()
    assert count(pool) == 1
    sandbox.close()
    assert count(pool) == 2
    with pool.take(), pytest.raises(ClosedError, match="this Sandbox was closed"):
        pool.take()
    with pytest.raises(ClosedError, match="this Sandbox was closed"):
        sandbox.pool()


def test_each_instance_has_its_input(sandbox):
    for stdin in (b"ab", io.BytesIO(b"ab")):
        pool = sandbox.pool(stdin=stdin)
        with pool.take() as one, pool.take() as other:
            assert [chr(program.call("hear")) for program in (one, one, other)] == ["a", "b", "a"]


def test_what_is_wrong_is_refused(sandbox, tmp_path):
    for settings, kind in (
        ({"max_idle": -1}, ValueError),
        ({"max_idle": None}, TypeError),
        ({"max_idle": "1"}, TypeError),
        ({"max_uses": 0}, ValueError),
        ({"max_uses": 1.5}, TypeError),
        ({"stdout": tmp_path / "a"}, ValueError),
        ({"stderr": tmp_path / "a"}, ValueError),
    ):
        with pytest.raises(kind, match=next(iter(settings))):
            sandbox.pool(**settings)
    for wrong in ("text", b"text"):
        with pytest.raises(TypeError, match="args"):
            sandbox.pool(wrong).take()
    with pytest.raises(TypeError, match=r"made by Sandbox\.pool"):
        SandboxPool()
    with pytest.raises(TypeError, match=r"made by SandboxPool\.take"):
        SandboxLease()


def test_nothing_is_left_behind():
    def use():
        sandbox = Sandbox(PLAIN)
        pool = sandbox.pool()
        lease = pool.take()
        count(pool)
        return [weakref.ref(one) for one in (sandbox, pool, lease, lease.store, pool._idle[0].program)]

    references = use()
    gc.collect()
    assert [reference() for reference in references] == [None] * 5


@pytest.mark.parametrize(
    "pooling", [None, PoolingConfig(total_core_instances=16, total_memories=16, total_tables=16)]
)
def test_threads(pooling):
    """Each user is alone, whatever happens to the others' instances; and none is closed under him."""
    sandbox = Sandbox(LIBRARY, imports={"env": {"host": lambda: None}}, pooling=pooling)
    pool, problems, done = sandbox.pool(max_idle=3, max_uses=20), [], Counter()
    busy, lock = set(), threading.Lock()

    def work(name):
        for n in range(60):
            try:
                with pool.take() as program:
                    with lock:
                        if program.store in busy:
                            problems.append("two users")
                        busy.add(program.store)
                    mine = b"%d:%d" % (name, n)
                    program.exports.memory.write(1000, mine)
                    before = program.call("count")
                    program.call("say")
                    if (name + n) % 7 == 0:
                        with pytest.raises(WasmTrap):
                            program.call("trap")
                    if (
                        program.exports.memory.read(1000, len(mine)) != mine
                        or program.call("count") != before + 1
                    ):
                        problems.append("another was here")
                    if program.result.stdout != b"hello":
                        problems.append(f"output: {program.result.stdout!r}")
                    with lock:
                        busy.discard(program.store)
                done[name] += 1
            except BaseException as problem:
                problems.append(repr(problem))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert set(done.values()) == {60}
    assert pool.idle <= 3
    pool.close()


def test_closing_while_others_take_and_give_back():
    sandbox = Sandbox(PLAIN)
    for _ in range(20):
        pool, problems, begun = sandbox.pool(), [], threading.Barrier(4)

        def work(pool=pool, problems=problems, begun=begun):
            begun.wait()
            for _ in range(30):
                try:
                    with pool.take() as program:
                        first = program.call("count")
                        if program.call("count") != first + 1:
                            problems.append("another was here")
                except ClosedError as closed:
                    if str(closed) != "this SandboxPool was closed":
                        problems.append(str(closed))
                    return

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        begun.wait()
        pool.close()
        for thread in threads:
            thread.join()
        assert problems == []
        assert pool.idle == 0
