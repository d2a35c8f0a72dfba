"""Short programs over the public API, for instruments under which the whole suite takes too long.

    python tests/smoke/programs.py [--turns N] [NAME ...]

Each makes its own engine and leaves nothing behind, so that what is there at the end was leaked. Those in `THREADED`
start threads; `left_alive` is for the end of a process, and runs only where it is named.
"""

from __future__ import annotations

import array
import contextlib
import gc
import sys
import threading

import wasmtime_rt as w

PROGRAMS = {}
THREADED = ["epochs", "interruptions", "closing_while_others_call", "sharing", "dropped_elsewhere", "wasi"]

CALLS = """(module
    (import "" "h" (func $h (param i32) (result i32)))
    (import "" "r" (func $r (param externref) (result externref)))
    (memory (export "m") 1 2)
    (table (export "t") 4 externref)
    (global (export "g") (mut i64) (i64.const 5))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "all") (param i32 i64 f32 f64 v128) (result i32 i64 f32 f64 v128)
        (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))
    (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func (export "host") (param i32) (result i32) (call $h (local.get 0)))
    (func (export "ref") (param externref funcref) (result funcref externref) (local.get 1) (local.get 0))
    (func (export "hostref") (param externref) (result externref) (call $r (local.get 0)))
    (func (export "any") (result anyref) (ref.i31 (i32.const 1)))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "grow") (result i32) (memory.grow (i32.const 1)))
    (func $deep (export "deep") (call $deep) (call $deep)))"""

AGGREGATES = """(module
    (type $s (struct (field (mut i32)) (field (mut anyref))))
    (type $a (array (mut i8)))
    (tag $tag (export "tag") (param i32 externref))
    (import "" "host" (func $host))
    (func (export "s") (result (ref $s)) (struct.new $s (i32.const 1) (ref.null any)))
    (func (export "a") (result (ref $a)) (array.new $a (i32.const 1) (i32.const 10)))
    (func (export "throw") (param externref) (throw $tag (i32.const 1) (local.get 0)))
    (func (export "catch")
        (block $handler (result i32 externref)
            (try_table (catch $tag $handler) (call $host))
            (return))
        drop drop))"""

WASI = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 16) "hello")
    (func (export "say") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (func (export "leave") (param i32) (call $exit (local.get 0))))"""

SPIN = """(module
    (import "" "host" (func $host))
    (func $spin (export "spin") (loop $again br $again))
    (func (export "through") (call $host))
    (func (export "count") (param i64) (result i64) (loop $again
        (local.set 0 (i64.sub (local.get 0) (i64.const 1))) (br_if $again (i64.ne (local.get 0) (i64.const 0))))
        (local.get 0)))"""


class Thing:
    """An object that nothing else refers to."""


class Failure(Exception):
    """What a host function raises."""


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def failing(kinds, *uses):
    """Each of these raises one of the kinds."""
    for use in uses:
        try:
            use()
        except kinds:
            continue
        raise AssertionError("expected an exception")


def exports(store, host=abs, host_ref=lambda value: value):
    return w.WasmInstance(store, w.WasmModule(store.engine, CALLS), [host, host_ref]).exports


def on_threads(count, function):
    """Run it on so many threads, which take turns as quickly as they can."""
    begun = threading.Barrier(count)
    interval = sys.getswitchinterval()

    def run():
        begun.wait()
        function()

    threads = [threading.Thread(target=run) for _ in range(count)]
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)


@program
def calls():
    with w.WasmEngine() as engine, w.WasmStore(engine) as store:
        f = exports(store)
        assert f.add(70000, -1) == 69999
        assert f.add.call(2**31, 2**31) == 0
        assert f.all(-1, 2**40, 0.5, 1.25, bytes(16)) == (-1, 2**40, 0.5, 1.25, bytes(16))
        assert f.all.call_values(1, 2, 3.0, 4.0, bytes(16))[3].value == 4.0
        kept = f.add.typed(["i32", "i32"], ["i32"], keep_gil=True)
        assert kept(3, 4) == 7
        failing((TypeError, OverflowError), lambda: f.add(1), lambda: f.add(1, "2"), lambda: f.add(1, 2**40))
        wide = " ".join(["i32"] * 60)
        body = " ".join(f"(local.get {i})" for i in range(60))
        module = w.WasmModule(
            engine, f'(module (func (export "f") (param {wide} externref) (result {wide} externref) {body}'
            f' (local.get 60)) (func (export "g") (param {wide}) (result {wide}) {body}))'
        )  # fmt: skip
        wide = w.WasmInstance(store, module).exports
        values = tuple(range(70000, 70060))
        assert wide.g(*values) == values
        assert wide.f(*values, None) == (*values, None)
        failing(TypeError, lambda: wide.g(*values[:-1], "x"), lambda: wide.f(*values))


@program
def host_functions():
    seen = []

    def raises(value):
        raise Failure(value)

    with w.WasmEngine() as engine, w.WasmStore(engine) as store:
        does = [abs]
        f = exports(store, lambda value: does[0](value), lambda value: does[0](value))
        assert f.host(-5) == 5
        does[0] = lambda value: f.host(value + 1) if value < 3 else f.add(value, 1)
        assert f.host(0) == 4
        does[0] = raises
        failing(Failure, lambda: f.host(1), lambda: f.hostref(Thing()))
        does[0] = lambda value: "no number"
        failing(TypeError, lambda: f.host(1))
        does[0] = lambda value: seen.append(value) or value
        thing = Thing()
        assert f.hostref(thing) is thing
        assert seen.pop() is thing
        made = w.WasmFunc(store, lambda: (1, 2.5), w.WasmFuncType([], ["i32", "f64"]))
        assert made() == (1, 2.5)
        module = w.WasmModule(
            engine,
            '(module (import "" "h" (func $h (param i32) (result i32))) (memory (export "m") 1)'
            ' (func (export "run") (param i32) (result i32) (call $h (local.get 0))))',
        )
        kept = []

        def reads(caller, value):
            kept.append(caller)
            return caller.get_export("m").read(0, 1)[0] + value

        assert w.WasmInstance(store, module, [w.with_caller(reads)]).exports.run(7) == 7
        failing(w.WasmtimeError, lambda: kept[0].get_export("m"))


@program
def traps():
    with w.WasmEngine() as engine, w.WasmStore(engine) as store:
        f = exports(store, lambda value: f.div(1, value))
        for _ in range(3):
            failing(w.WasmTrap, lambda: f.div(1, 0), lambda: f.load(65536), lambda: f.load(-4), f.deep)
            failing(w.WasmTrap, lambda: f.host(0))
        assert f.host(1) == 1
    with w.WasmEngine(w.WasmConfig(consume_fuel=True)) as engine, w.WasmStore(engine) as store:
        store.set_fuel(1000)
        failing(w.OutOfFuelError, w.WasmInstance(store, w.WasmModule(engine, SPIN), [abs]).exports.spin)


@program
def memory():
    with w.WasmEngine() as engine, w.WasmStore(engine) as store:
        made = exports(store).m
        data = bytes(range(256))
        made.write(1, data)
        assert made.read(1, 256) == data == made[1:257]
        made.write(0, memoryview(data)[::2])
        assert made[0:128:1] == data[::2]
        assert made[5:0:-1] == bytes([10, 8, 6, 4, 2])
        made[3] = made[-1]
        made[0:4] = b"abcd"
        made.write_u32(8, 2**32 - 1)
        assert made.read_u64(8) & 0xFFFFFFFF == 2**32 - 1
        made.write_utf8(20, "grün")
        assert made.read_utf8(20, 5) == "grün"
        assert made.read(65536, 0) == b""
        made.write(65536, b"")
        failing(
            (IndexError, TypeError, ValueError, OverflowError),
            lambda: made.read(65536, 1),
            lambda: made.read(2**64, 1),
            lambda: made.read(1, 2**63),
            lambda: made.write(65530, data),
            lambda: made.write(-1, data),
            lambda: made[65536],
            lambda: made.__setitem__(0, 256),
            lambda: made.__setitem__(slice(0, 3), data),
        )
        made.grow(1)
        assert made.read(131071, 1) == b"\0"
        fixed = w.WasmMemory(store, w.WasmMemoryType(1, 1))
        view = fixed.view()
        part = view[10:20]
        part[:] = b"0123456789"
        assert fixed.read(10, 10) == b"0123456789"
        del view
        failing(w.WasmtimeError, store.close)
        del part
        empty = w.WasmMemory(store, w.WasmMemoryType(0, 0))
        assert empty.read(0, 0) == b"" == empty[:]
        assert len(empty.view()) == 0
        failing(IndexError, lambda: empty.read(0, 1))


@program
def tables():
    with w.WasmEngine() as engine, w.WasmStore(engine) as store:
        f = exports(store)
        table, thing = f.t, Thing()
        table[0] = thing
        table[1] = table[0]
        assert table[1] is thing
        table.grow(3, Thing())
        failing(
            (IndexError, TypeError, w.WasmtimeError), lambda: table[9], lambda: table.__setitem__(9, thing)
        )
        table[0] = table[1] = None
        functions = w.WasmTable(store, w.WasmTableType("funcref", 2))
        functions[0] = f.add
        assert functions[0](1, 2) == 3
        f.g.value = 2**40
        assert f.g.get_value().value == 2**40
        store.gc()


@program
def references():
    with w.WasmEngine() as engine, w.WasmStore(engine) as store, w.WasmStore(engine) as other:
        f = exports(store, host_ref=lambda value: Thing())
        for _ in range(20):
            thing = Thing()
            back = f.ref(thing, f.add)
            assert back[1] is thing
            assert back[0](2, 3) == 5
            f.hostref(thing)
            f.any()
        assert f.ref(None, None) == (None, None)
        failing((TypeError, w.WasmtimeError), lambda: f.ref(None, exports(other).add), lambda: f.ref(None, 5))
        store.gc()
        refs = [f.any() for _ in range(10)]
        del refs[::2]
        store.gc()


@program
def aggregates():
    with w.WasmEngine() as engine, w.WasmStore(engine) as store:
        thrown = []

        def host():
            if thrown:
                raise thrown[0]

        f = w.WasmInstance(store, w.WasmModule(engine, AGGREGATES), [host]).exports
        struct, numbers = f.s(), f.a()
        struct[0], struct[1] = 5, numbers
        assert struct[1] == numbers
        struct[1] = Thing()
        assert list(w.WasmArray(store, f.a.type.results[0], b"abc")) == [97, 98, 99]
        failing((IndexError, TypeError, KeyError), lambda: struct[2], lambda: struct.__setitem__(0, "x"))
        failing(w.WasmException, lambda: f.throw(Thing()))
        thrown.append(w.WasmException(f.tag, 1, Thing()))
        f["catch"]()
        thrown[0] = Failure()
        failing(Failure, f["catch"])
        store.gc()


@program
def columns():
    with w.WasmEngine() as engine, w.WasmStore(engine) as store:
        f = exports(store)
        ints, spread = array.array("i", range(1000)), memoryview(array.array("i", range(2000)))[::2]
        out = f.add.map(ints, spread)
        assert out[999] == 999 + 1998
        f.add.map(ints, 5, out=ints)
        assert ints[0] == 5
        assert len(f.add.map(ints[:0], 1)) == 0
        many = f.all.map(
            ints, 1, array.array("f", [1.5] * 1000), array.array("d", [2.5] * 1000), bytes(16000)
        )
        assert many[3][999] == 2.5
        assert f.host.map(ints)[1] == 6
        failing(w.WasmTrap, lambda: f.div.map(ints, array.array("i", [1] * 999 + [0])))
        failing((TypeError, ValueError), lambda: f.add.map(ints), lambda: f.add.map(ints, ints[:5]))


@program
def instances():
    with w.WasmEngine() as engine:
        module = w.WasmModule(engine, CALLS)
        linker = w.WasmLinker(engine)
        linker.define("", "h", abs)
        linker.define("", "r", lambda value: value)
        prepared = linker.prepare(module)
        for _ in range(5):
            with w.WasmStore(engine) as store:
                assert w.WasmInstance(store, module, [abs, abs]).exports.host(-1) == 1
                assert linker.instantiate(store, module).exports.host(-2) == 2
                assert prepared.instantiate(store).exports.host(-3) == 3
        with w.WasmStore(engine, limits=w.StoreLimits(memory_size=65536)) as store:
            for body in (
                "(memory 2)",
                "(func $s unreachable) (start $s)",
                '(memory 1) (data (i32.const 65536) "x")',
            ):
                failing(
                    w.WasmtimeError,
                    lambda body=body: w.WasmInstance(store, w.WasmModule(engine, f"(module {body})")),
                )
            failing(w.WasmtimeError, lambda: w.WasmInstance(store, module))
        prepared.close()
        linker.close()


@program
def modules():
    with w.WasmEngine() as engine:
        module = w.WasmModule(engine, CALLS)
        assert [item.name for item in module.exports][:2] == ["m", "t"]
        again = w.WasmModule.deserialize(engine, module.serialize())
        with w.WasmStore(engine) as store:
            assert w.WasmInstance(store, again, [abs, abs]).exports.add(1, 2) == 3
        failing(
            w.WasmtimeError, lambda: w.WasmModule(engine, "(module"), lambda: w.WasmModule(engine, b"\0asm")
        )
        failing(w.WasmtimeError, lambda: w.WasmModule.deserialize(engine, b"junk"))
        assert str(module.imports[1].type)


@program
def shared_memories():
    with w.WasmEngine(w.WasmConfig(shared_memory=True)) as engine, w.WasmStore(engine) as store:
        made = w.WasmSharedMemory(engine, w.WasmMemoryType(1, 2, shared=True))
        module = w.WasmModule(engine, '(module (import "e" "m" (memory 1 2 shared)) (export "m" (memory 0)))')
        back = w.WasmInstance(store, module, [made]).exports.m
        made.write(0, b"abc")
        assert back.read(0, 3) == b"abc"
        view = made.view()
        made.close()
        view[0] = 1
        back.grow(1)


@program
def cycles():
    """Stores that their own host functions hold are collected."""
    with w.WasmEngine() as engine:
        for _ in range(5):
            store = w.WasmStore(engine)
            f = exports(store, lambda value: f and value, lambda value: f)  # noqa: B023
            assert f.host(5) == 5
            assert f.hostref(store) is f
            f.t[0] = f
            store.data = f.m, f.add
            store = f = None
            gc.collect()


@program
def close_orders():
    for order in ("esmfr", "rfmse", "mesfr", "semrf", "frsem"):
        made = {"e": w.WasmEngine(w.WasmConfig(epoch_interruption=True))}
        made["s"] = w.WasmStore(made["e"])
        made["m"] = w.WasmModule(made["e"], CALLS)
        made["f"] = w.WasmInstance(made["s"], made["m"], [abs, abs]).exports
        made["r"] = made["f"].ref(Thing(), made["f"].add)
        for name in order:
            thing = made.pop(name)
            if hasattr(thing, "close"):
                thing.close()
            del thing
            gc.collect()

    def closes(value):
        with contextlib.suppress(w.WasmtimeError):
            store.close()
        return value

    with w.WasmEngine() as engine:
        store = w.WasmStore(engine)
        with contextlib.suppress(w.WasmtimeError):
            exports(store, closes).host(1)
        store.close()


@program
def wasi():
    with w.WasmEngine() as engine, w.WasmLinker(engine) as linker:
        linker.define_wasi()
        module, said = w.WasmModule(engine, WASI), []
        for _ in range(3):
            config = w.WasiConfig(argv=["a"], env={"b": "c"}, stdout=said.append)
            with w.WasmStore(engine, wasi=config) as store:
                f = linker.instantiate(store, module).exports
                assert f.say() == 0
                failing(w.WasmExit, lambda: f.leave(3))  # noqa: B023
        assert said == [b"hello"] * 3


@program
def epochs():
    with w.WasmEngine(w.WasmConfig(epoch_interruption=True)) as engine, w.WasmStore(engine) as store:
        f = w.WasmInstance(store, w.WasmModule(engine, SPIN), [lambda: f.count(10) or None]).exports
        with store.deadline(0.03):
            failing(w.WasmTimeout, f.spin)
        failing(w.WasmTimeout, lambda: f.spin(timeout=0.02))
        f.through()
        store.set_epoch_deadline(1)
        engine.increment_epoch()
        failing(w.WasmTrap, f.spin)


@program
def interruptions():
    with w.WasmEngine(w.WasmConfig(epoch_interruption=True)) as engine, w.WasmStore(engine) as store:
        f = w.WasmInstance(store, w.WasmModule(engine, SPIN), [abs]).exports
        over = threading.Event()

        def interrupts():
            while not over.wait(0.001):
                store.interrupt()

        thread = threading.Thread(target=interrupts)
        thread.start()
        for _ in range(5):
            failing(w.WasmInterrupted, f.spin)
        over.set()
        thread.join()


@program
def closing_while_others_call():
    with w.WasmEngine(w.WasmConfig(epoch_interruption=True)) as engine:
        store = w.WasmStore(engine)
        f = exports(store)
        begun = threading.Barrier(4)

        def calls_on():
            begun.wait()
            while True:
                try:
                    f.add(1, 2)
                    f.m.read(0, 8)
                    f.ref(Thing(), None)
                except w.StoreBusyError:
                    continue
                except w.WasmtimeError:
                    return

        def closes():
            begun.wait()
            while True:
                try:
                    store.close()
                except w.StoreBusyError:
                    continue
                return

        closing = threading.Thread(target=closes)
        closing.start()
        on_threads(3, calls_on)
        closing.join()


@program
def sharing():
    """Stores on threads, that share an engine, a module, what is prepared and a memory."""
    config = w.WasmConfig(epoch_interruption=True, shared_memory=True)
    with w.WasmEngine(config) as engine, w.WasmLinker(engine) as linker:
        module = w.WasmModule(engine, CALLS)
        linker.define("", "h", abs)
        linker.define("", "r", lambda value: value)
        prepared = linker.prepare(module)
        shared = w.WasmSharedMemory(engine, w.WasmMemoryType(1, 1, shared=True))

        def works():
            for i in range(10):
                with w.WasmStore(engine) as store:
                    f = prepared.instantiate(store).exports
                    for _ in range(20):
                        assert f.host(-i) == i
                    assert isinstance(f.hostref(Thing()), Thing)
                    failing(w.WasmTrap, lambda f=f: f.div(1, 0))
                shared.write(i, b"a")

        on_threads(4, works)
        prepared.close()


@program
def dropped_elsewhere():
    """Stores that are made on one thread, used on another, and dropped on a third."""
    with w.WasmEngine(w.WasmConfig(epoch_interruption=True)) as engine:
        for _ in range(5):
            made = []
            on_threads(1, lambda made=made: made.append(exports(w.WasmStore(engine))))
            on_threads(1, lambda made=made: made[0].hostref(Thing()))
            on_threads(1, made.clear)
        gc.collect()


def left_alive():
    """The end of the process with everything alive."""
    engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
    store = w.WasmStore(engine)
    f = exports(store, lambda value: f and value)
    f.host(1)
    spins = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, SPIN), [abs]).exports
    threading.Thread(target=spins.spin, daemon=True).start()
    fixed = w.WasmMemory(store, w.WasmMemoryType(1, 1))
    sys.alive = engine, store, f, fixed.view(), f.ref(Thing(), f.add), spins


def main():
    names = sys.argv[1:]
    turns = 1
    if names[:1] == ["--turns"]:
        turns = int(names[1])
        del names[:2]
    for _ in range(turns):
        for name in names or PROGRAMS:
            globals()[name]()
            gc.collect()
    print("done", flush=True)


if __name__ == "__main__":
    main()
