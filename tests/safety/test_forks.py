"""Forks: compiling in children, WASI in children, stores that another thread was in, and how children end."""

import sys
from textwrap import dedent

import pytest

SETUP = r"""
import contextlib
WAT = '(module (import "" "h" (func $h (param i32) (result i32))) (memory (export "m") 1)' + "".join(
    f'(func (export "f{i}") (param i32) (result i32) (i32.add (call $h (local.get 0)) (i32.const {i})))' for i in range(8)
) + '(func (export "trap") unreachable) (func (export "spin") (loop $l (drop (call $h (i32.const 0))) br $l)))'
IMPORTS = {"": {"h": lambda x: x}}
engine = w.WasmEngine()
module = w.WasmModule(engine, WAT)

def use(module, engine):
    exports = w.WasmInstance(w.WasmStore(engine), module, IMPORTS).exports
    assert exports.f3(4) == 7
    try:
        exports.trap()
    except w.WasmTrap:
        return
    raise AssertionError("no trap")

def compiles(engine=engine):
    use(w.WasmModule(engine, WAT), engine)
    w.WasmModule.validate(engine, WAT)
    try:
        w.WasmModule(engine, "(module (func (result i32)))")
    except w.CompileError:
        return
    raise AssertionError("compiled")

PROGRAM = r'''(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "" "h" (func $h))
    (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\02\00\00\00hi")
    (func $say (export "say") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
    (func (export "through") (result i32) call $h call $say))'''
program = w.WasmModule(engine, PROGRAM)
linker = w.WasmLinker(engine)
linker.define_wasi()
said = []
def start(h=lambda: None):
    store = w.WasmStore(engine, wasi=w.WasiConfig(stdout=said.append))
    linker.allow_shadowing = True
    linker.define("", "h", h)
    return linker.instantiate(store, program).exports
"""


def forked(script, source, **options):
    return script(SETUP + dedent(source), **options)


def test_compiling_in_a_child(script):
    forked(
        script,
        """
        compiles()
        table = w.WasmTableType("externref", 1, 5, is64=True)
        def grandchild():
            in_child("grandchild", compiles, 20)
            compiles()
        with open("module.bin", "wb") as file:
            file.write(module.serialize())
        for label, work in {
            "an engine of before": compiles,
            "an engine of now": lambda: compiles(w.WasmEngine()),
            "settings": lambda: compiles(w.WasmEngine(w.WasmConfig(memory_reservation=0, debug_info=True))),
            "a wide table": lambda: w.WasmTable(w.WasmStore(engine), table),
            "a file": lambda: use(w.WasmModule.deserialize_file(engine, "module.bin"), engine),
            "serialized": lambda: use(w.WasmModule.deserialize(engine, w.WasmModule(engine, WAT).serialize()), engine),
            "the parent's module": lambda: use(module, engine),
            "a grandchild": grandchild,
            "many": lambda: [compiles() for _ in range(20)],
        }.items():
            in_child(label, work, 20)
        def on_a_thread():
            in_child("from a thread", compiles, 20)
        thread = threading.Thread(target=on_a_thread)
        thread.start()
        thread.join()
        """,
    )


def test_what_a_child_compiles_is_the_engines_own(script):
    forked(
        script,
        """
        config = w.WasmConfig(consume_fuel=True, epoch_interruption=True, debug_info=True, memory_reservation=1 << 20,
            pooling_allocation_strategy=w.PoolingConfig(total_core_instances=5, total_memories=5, total_tables=5,
                total_stacks=5, total_gc_heaps=5, max_memory_size=1 << 20))
        engine = w.WasmEngine(config)
        before = w.WasmModule(engine, WAT)
        def work():
            after = w.WasmModule(engine, WAT)
            assert after.exports == before.exports and after.imports == before.imports
            again = w.WasmModule.deserialize(engine, after.serialize())
            store = w.WasmStore(engine)
            store.set_fuel(1000)
            assert w.WasmInstance(store, again, IMPORTS).exports.f1(1) == 2
            assert store.fuel_consumed
        in_child("settings", work, 20)
        """,
    )


def test_a_child_of_a_parent_that_has_not_compiled(script):
    script("""
        engine = w.WasmEngine()
        def work():
            module = w.WasmModule(engine, "(module (func) (func) (func))")
            w.WasmInstance(w.WasmStore(engine), module)
        in_child("first", work, 20)
        work()
        in_child("later", work, 20)
    """)


def test_forks_while_other_threads_work(script):
    forked(
        script,
        """
        use(module, engine)
        running = True
        data = module.serialize()
        def while_running(work):
            while running:
                work()
        def traps(exports=w.WasmInstance(w.WasmStore(engine), module, IMPORTS).exports):
            with contextlib.suppress(w.WasmTrap):
                exports.trap()
        threads = [threading.Thread(target=while_running, args=(work,)) for work in (
            lambda: w.WasmModule(engine, WAT), lambda: w.WasmInstance(w.WasmStore(engine), module, IMPORTS), traps,
            lambda: w.WasmModule.deserialize(engine, data), lambda: w.WasmModule(w.WasmEngine(), WAT),
        )]
        for thread in threads:
            thread.start()
        for turn in range(COUNT):
            in_child(f"fork {turn}", compiles, 20)
        running = False
        for thread in threads:
            thread.join()
        """.replace("COUNT", "60"),
        timeout=120,
    )


def test_a_store_that_another_thread_was_in(script):
    forked(
        script,
        """
        inside, leave = threading.Event(), threading.Event()
        def wait(x):
            inside.set()
            leave.wait()
            raise KeyError
        store = w.WasmStore(engine)
        exports = w.WasmInstance(store, module, {"": {"h": wait}}).exports
        function, view = exports.f1, exports.m.view()
        thread = threading.Thread(target=lambda: refused("the other thread", KeyError, function, 1))
        thread.start()
        inside.wait()
        def work():
            problems = []
            for use in (lambda: function(1), lambda: exports.m.read(0, 1), store.gc,
                    lambda: w.WasmInstance(store, module, IMPORTS), lambda: w.WasmMemory(store, w.WasmMemoryType(1))):
                try:
                    use()
                except w.ForkError as told:
                    assert "another thread" in str(told), told
                else:
                    raise AssertionError("was let in")
            assert not store.is_valid and repr(store) and len(exports) and view[0] == 0
            store.close()
            compiles()
        in_child("the store", work, 20)
        def forgets():
            global store, exports, function, view
            del store, exports, function, view
            gc.collect()
        in_child("goes", forgets, 20)
        leave.set()
        thread.join()
        check("the parent's store", store.is_valid and exports.m.read(0, 1) == b"\\0")
        """,
    )


def test_wasi_in_a_child(script):
    forked(
        script,
        """
        def first():
            assert start().say() == 0 and said == [b"hi"], said
        in_child("before the parent has used it", first, 20)
        unused = w.WasmStore(engine, wasi=w.WasiConfig())
        exports = start()
        other = start()
        check("the parent", exports.say() == 0 and said == [b"hi"])
        def all_of_it():
            said.clear()
            assert exports.say() == 0 and other.say() == 0 and start().say() == 0 and said == [b"hi"] * 3, said
            assert exports.memory.read(0, 1) is not None
            w.WasmStore(engine, wasi=w.WasiConfig(stdin=b""))
            linker.get(unused, "wasi_snapshot_preview1", "fd_write")
            linker.instantiate(unused, program)
            use(module, engine)
            compiles()
            exports2, other2 = globals().pop("exports"), globals().pop("other")
            del exports2, other2
            gc.collect()
        in_child("WASI", all_of_it, 20)
        def grandchild():
            in_child("grandchild", all_of_it, 20)
        in_child("child", grandchild, 20)
        check("the parent goes on", start().say() == 0)
        """,
    )


def test_a_host_function_that_forks_inside_of_a_wasi_program(script):
    forked(
        script,
        """
        pids = []
        def fork():
            pids.append(os.fork())
        warnings.simplefilter("ignore")
        start().say()
        exports = start(fork)
        status = 1
        try:
            exports.through()
            status = 0
        finally:
            if pids[0] == 0:
                os._exit(status)
        check("parent", status == 0)
        check("child", os.waitpid(pids[0], 0)[1] == 0)
        """,
    )


def test_a_host_function_that_forks_elsewhere(script):
    forked(
        script,
        """
        pids = []
        def fork(x):
            pids.append(os.fork())
            return x
        warnings.simplefilter("ignore")
        exports = w.WasmInstance(w.WasmStore(engine), module, {"": {"h": fork}}).exports
        result = exports.f1(1)
        if pids[0] == 0:
            compiles()
            os._exit(result)
        check("parent", result == 2)
        check("child", os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 2)
        """,
    )


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_compile_and_run_wasi(script, method):
    source = f"""
import multiprocessing

def work(wasi):
    engine = w.WasmEngine()
    text = '(module (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32))) (memory (export "memory") 1)' \\
        '(func (export "f") (result i32) (i32.add (call $y) (i32.const 5))) (func) (func) (func))'
    linker = w.WasmLinker(engine)
    linker.define_wasi()
    try:
        store = w.WasmStore(engine, wasi=w.WasiConfig() if wasi else None)
        return linker.instantiate(store, w.WasmModule(engine, text)).exports.f()
    except w.WasmtimeError as problem:
        return type(problem).__name__

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(work(True), work(False))
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(*pool.map_async(work, [True, False]).get(50))
"""
    said = script(source, finish=False).split("\n")
    assert said[0] == "5 WasmtimeError"
    assert said[1] == "5 WasmtimeError"


ENDS = {
    "os._exit": "os._exit(0)",
    "sys.exit": "sys.exit(0)",
    "the end": "",
    "an exception that is caught": "compiles(); sys.exit(0)",
}


@pytest.mark.parametrize("used", [False, True], ids=["WASI not used", "WASI used"])
def test_children_end_silently(script, used):
    forked(
        script,
        f"""
        warnings.simplefilter("ignore")
        USED, ENDS = {used}, {ENDS!r}
        exports = start() if USED else None
        if USED:
            exports.say()
        store = w.WasmStore(engine, wasi=w.WasiConfig(stdout=said.append))
        mine = w.WasmInstance(store, module, IMPORTS)
        view = mine.exports.m.view()
        busy = w.WasmInstance(w.WasmStore(engine), module, IMPORTS).exports
        for _ in range(2):
            thread = threading.Thread(target=w.WasmInstance(w.WasmStore(engine), module, IMPORTS).exports.spin, daemon=True)
            thread.start()
        time.sleep(0.1)
        for label, end in ENDS.items():
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                mine.exports.f1(1)
                _problems.clear()
                exec(end)
                break
            deadline = time.monotonic() + 20
            while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < deadline:
                time.sleep(0.02)
            if not ended[0]:
                os.kill(pid, signal.SIGKILL)
            check(f"{{label}}: {{ended}}", ended[0] and ended[1] == 0)
        """,
        timeout=120,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_left_behind_by_forks(script):
    forked(
        script,
        """
        compiles()
        before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        for turn in range(30):
            in_child(f"fork {turn}", lambda: use(module, engine), 20)
        check("descriptors, threads", before == (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))))
        """,
    )


def test_a_child_has_none_of_the_idle_instances_of_a_pool(script):
    forked(
        script,
        """
        pool = w.Sandbox(b'''(module (global $n (mut i32) (i32.const 0)) (func (export "count") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))''', cache=False).pool()
        def count():
            with pool.take() as program:
                return program.call("count")
        check("warm", [count(), count()] == [1, 2])
        def own():
            assert pool.idle == 0
            assert [count(), count()] == [1, 2]
        in_child("its own", own, 20)
        check("the parent's", count() == 3)
        with pool.take() as program:
            def uses():
                assert program.call("count") == 4
                program.close()
                assert pool.idle == 1 and count() == 5
            in_child("in use", uses, 20)
            check("the parent's in use", program.call("count") == 4)
        go_on = True
        def hammer():
            while go_on:
                count()
        threads = [threading.Thread(target=hammer) for _ in range(2)]
        for thread in threads:
            thread.start()
        for n in range(30):
            in_child(f"beside threads {n}", own, 20)
        go_on = False
        for thread in threads:
            thread.join()

        wasi = w.Sandbox(PROGRAM.encode(), imports={"": {"h": lambda: None}}, cache=False).pool()
        with wasi.take() as program:
            check("says", program.call("say") == 0 and program.result.stdout == b"hi")
        def says():
            for _ in range(2):
                with wasi.take() as program:
                    assert program.call("say") == 0 and program.result.stdout == b"hi"
        in_child("WASI", says, 20)
        check("the parent goes on", wasi.idle == 1)
        """,
    )


@pytest.mark.parametrize("library", ["CDLL", "PyDLL"])
def test_forks_that_python_does_not_know_of(script, library):
    """By C code, without Python's hooks: with the GIL dropped, or kept."""
    forked(
        script,
        f"""
        import ctypes
        os.fork = ctypes.{library}(None).fork
        compiles()
        in_child("compile", compiles, 20)
        in_child("another engine", lambda: compiles(w.WasmEngine()), 20)
        in_child("what the parent compiled", lambda: use(module, engine), 20)
        def grandchild():
            in_child("grandchild", compiles, 20)
        in_child("child", grandchild, 20)
        exports, unused = start(), w.WasmStore(engine, wasi=w.WasiConfig())
        exports.say()
        in_child("WASI", lambda: start().say(), 20)
        in_child("WASI that ran", exports.say, 20)
        in_child("WASI that did not", lambda: linker.instantiate(unused, program), 20)

        inside, leave = threading.Event(), threading.Event()
        def wait(x):
            inside.set()
            leave.wait()
            return x
        store = w.WasmStore(engine)
        busy = w.WasmInstance(store, module, {{"": {{"h": wait}}}}).exports.f1
        thread = threading.Thread(target=busy, args=(1,))
        thread.start()
        inside.wait()
        def other():
            try:
                busy(1)
            except w.ForkError as told:
                assert "hread" in str(told), told
            else:
                raise AssertionError("was let in")
        in_child("a store that another thread was in", other, 20)
        def forgets():
            global store, busy
            del store, busy
            gc.collect()
        in_child("goes", forgets, 20)
        leave.set()
        thread.join()
        check("the parent goes on", busy(1) == 2 and start().say() == 0)
        """,
    )


def test_time_limits_in_children_that_python_does_not_know_of(script):
    script("""
        import ctypes
        os.fork = ctypes.CDLL(None).fork
        engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
        spin = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, '(module (func (export "f") (loop $l br $l)))')).exports.f
        refused("parent", w.WasmTimeout, lambda: spin(timeout=0.02))
        def child():
            try:
                spin(timeout=0.02)
            except w.WasmTimeout:
                return
        in_child("child", child, 20)
        refused("parent", w.WasmTimeout, lambda: spin(timeout=0.02))
    """)
