"""What is closed, forgotten or changed in the middle of what uses it."""

import pytest


@pytest.fixture(autouse=True)
def what_is_freed_is_overwritten(monkeypatch):
    monkeypatch.setenv("MALLOC_PERTURB_", "165")


def test_a_shared_memory_closed_while_other_imports_are_converted(script):
    script(
        """
engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
module = w.WasmModule(engine, '''(module (import "" "m" (memory 1 4 shared)) (import "" "g" (global i32))
    (func (export "f") (result i32) (i32.load (i32.const 8))))''')
class Closes:
    def __init__(self, memory): self.memory, self.asked, self.junk = memory, 0, []
    def __index__(self):
        self.asked += 1
        if self.asked == 2:  # the first time is a check
            self.memory.close()
            self.junk += [bytes(range(40)) for _ in range(1000)]
        return 1
for _ in range(20):
    memory = w.WasmSharedMemory(engine, w.WasmMemoryType(1, 4, shared=True))
    memory.write_i32(8, 42)
    number = Closes(memory)
    instance = w.WasmInstance(w.WasmStore(engine), module, {"": {"m": memory, "g": number}})
    check("the memory is there", instance.exports.f() == 42)
    check("it was closed", not memory.is_valid and number.asked == 2)
"""
    )


def test_a_store_closed_while_a_call_runs_on_in_its_profile(script):
    script(
        """
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
module = w.WasmModule(engine, '(module (func (export "spin") (loop (br 0))))')
for turn in range(3):
    store = w.WasmStore(engine)
    spin = w.WasmInstance(store, module).exports.spin
    thread = threading.Thread(target=lambda: refused("spin", w.WasmInterrupted, spin))
    def block():
        with store.profile("/dev/null"):
            with store:  # closes it, as soon as nobody is inside
                thread.start()
                time.sleep(0.05)
    refused("the profile", w.StoreClosedError, block)
    junk = [bytes(size) for size in range(5000)]
    time.sleep(0.3)
    check("it was running", store.interrupt())
    thread.join()
    del store, spin, thread, block, junk
"""
    )


def test_a_signal_when_a_profile_begins(script):
    """Wherever it strikes, the engine samples into nothing that is gone."""
    script(
        """
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
module = w.WasmModule(engine, '(module (func (export "spin") (loop (br 0))))')
class Struck(Exception): pass
def strike(*_): raise Struck
signal.signal(signal.SIGALRM, strike)
for turn in range(300):
    store = w.WasmStore(engine)
    spin = w.WasmInstance(store, module).exports.spin
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-6 + turn * 1e-6)
        with store.profile("/dev/null", interval=1e-3):
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Struck:
        pass
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Struck:
            pass
    if turn % 10 == 0:
        refused("spin", w.WasmTimeout, lambda: spin(timeout=0.02))
""",
        stderr=None,  # it may strike in a finalizer, and is told there
    )


def test_a_module_closed_by_another_thread_while_it_is_made(script):
    script(
        """
engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
imports = " ".join(f'(import "a" "f{n}" (func (param i32 i64)))' for n in range(300))
wasm = w.wat2wasm(f'(module {imports} (func (export "x")))')
def at_each_step(thing, make):
    def tracer(frame, event, arg):
        try:
            thing.close()
        except (AttributeError, TypeError, w.WasmtimeError):
            pass  # it is not there yet
        return tracer
    sys.settrace(tracer)
    try:
        make()
    except (AttributeError, TypeError, w.WasmtimeError):
        pass
    finally:
        sys.settrace(None)
for kind, arguments in ((w.WasmModule, (engine, wasm)), (w.WasmEngine, ()), (w.WasmLinker, (engine,)),
                        (w.WasmSharedMemory, (engine, w.WasmMemoryType(1, 4, shared=True)))):
    thing = kind.__new__(kind)
    at_each_step(thing, lambda: thing.__init__(*arguments))
    junk = [bytes(size) for size in range(2000)]
    allowed("closed", repr, thing)
"""
    )


def test_two_threads_that_initialise_one_object(script):
    script(
        """
sys.setswitchinterval(1e-6)
engine = w.WasmEngine()
stores = [w.WasmStore(engine), w.WasmStore(engine)]
def host(): return 5
for kind, rest, use in ((w.WasmFunc, (host, w.WasmFuncType([], ["i32"])), lambda it: it()),
                        (w.WasmMemory, (w.WasmMemoryType(1),), lambda it: it.read(0, 1))):
    for _ in range(300):
        thing, start = kind.__new__(kind), threading.Barrier(2)
        def begin(store):
            start.wait()
            allowed("init", thing.__init__, store, *rest)
            allowed("use", use, thing)
        threads = [threading.Thread(target=begin, args=(store,)) for store in stores]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
"""
    )


def test_a_package_that_was_forgotten_and_imported_again(script):
    script(
        """
SOURCE = '(module (import "" "h" (func $h (result i32))) (func (export "f") (result i32) (call $h)))'
def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "wasmtime_rt"]:
        del sys.modules[name]
def world(package, number):
    engine = package.WasmEngine()
    module = package.WasmModule(engine, SOURCE)
    return package.WasmInstance(package.WasmStore(engine), module, {"": {"h": lambda: number}})
old = w
first = world(old, 1)
for turn in range(3):
    forget()
    import wasmtime_rt as new
    second = world(new, 2)
    check("both work", (first.exports.f(), second.exports.f()) == (1, 2))
    check("they are two", new.WasmStore is not old.WasmStore)
    for mixed in (lambda: new.WasmInstance(first.store, second.module), lambda: old.WasmStore(new.WasmEngine()),
                  lambda: old.WasmInstance(first.store, first.module, {"": {"h": second.exports.f}}).exports.f(1)):
        refused("mixed", TypeError, mixed)
    def child():
        assert (first.exports.f(), second.exports.f()) == (1, 2)
        assert (world(old, 3).exports.f(), world(new, 4).exports.f()) == (3, 4)
    in_child(f"fork {turn}", child)
    del second
    gc.collect()
"""
    )


def test_the_first_call_where_no_descriptor_is_left(script):
    """The C library reads in a file where the stack of the first thread ends."""
    script(
        """
import resource
engine = w.WasmEngine(w.WasmConfig(parallel_compilation=False))
module = w.WasmModule(engine, '''(module (import "" "f" (func $f)) (func (export "h") (call $f))
    (func $r (export "r") (call $r)) (func (export "n")))''')
store = w.WasmStore(engine)
def host(): instance.exports.h()
w.WasmInstance, w.WasmTrap, threading.Lock()  # imported now
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
instance = w.WasmInstance(store, module, {"": {"f": host}})
instance.exports.n()
for descriptor in held:
    os.close(descriptor)
sys.setrecursionlimit(10**6)
refused("the host and the guest in turn", (w.WasmTrap, RecursionError), instance.exports.h)
refused("the guest", w.WasmTrap, instance.exports.r)
"""
    )


def test_a_closed_function_is_no_argument(script):
    script(
        """
store = w.WasmStore(w.WasmEngine())
made = w.WasmFunc(store, lambda: 5, w.WasmFuncType([], ["i32"]))
calls = w.WasmFunc(store, lambda given: given(), w.WasmFuncType(["funcref"], ["i32"]))
check("open", calls(made) == 5)
made.close()
refused("closed", w.ClosedError, calls, made)
"""
    )


def test_a_signal_between_two_calls_of_c(script):
    """Whatever it leaves behind, nothing is freed twice, nor used after that."""
    script(
        """
class Struck(Exception): pass
def strike(*_): raise Struck
signal.signal(signal.SIGALRM, strike)
engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
store = w.WasmStore(engine)
tag = w.WasmTagType(w.WasmFuncType(["externref", "anyref", "i64", "v128", "funcref"] * 20))
field = w.WasmFieldType("externref", mutable=True)
shared = w.WasmMemoryType(1, 2, shared=True)
def references():
    made = w.WasmStruct.new_type(engine, [field])
    struct = w.WasmStruct(store, made, ["object"])
    struct[0] = struct
    w.WasmArray(store, w.WasmArray.new_type(engine, field), ["a", struct])
def memories():
    memory = w.WasmSharedMemory(engine, shared)
    view = memory.view()
    memory.close()
    view[5] = 1
def modules():
    module = w.WasmModule(engine, '(module (func (export "f") (param i32) (result i32) (local.get 0)))')
    w.WasmModule.deserialize(engine, module.serialize())
    w.WasmInstance(store, module).exports.f(5)
def wasi():
    w.WasmStore(engine, wasi=w.WasiConfig(stdout=print, argv=["a"], stdin=b"x")).close()
for work in (lambda: w.WasmTag(store, tag), references, memories, modules, wasi):
    work()
    began = time.perf_counter()
    work(), work()
    took = (time.perf_counter() - began) / 2
    for turn in range(400):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, max(2e-6, turn / 330 * took))
                work()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Struck:
            pass
        if turn % 50 == 0:
            store = w.WasmStore(engine)
""",
        stderr=None,  # it may strike in a finalizer, and is told there
    )


def test_a_fork_while_another_thread_makes_the_engine_of_sandboxes(script):
    script(
        """
PROGRAM = b'(module (memory (export "memory") 1) (func (export "_start")))'
from wasmtime_rt import sandbox
stop = []
def work():
    while not stop:
        sandbox._engines.clear()
        w.Sandbox(PROGRAM)
thread = threading.Thread(target=work)
thread.start()
for turn in range(10):
    in_child(f"fork {turn}", lambda: w.Sandbox(PROGRAM, fuel=1000))
stop.append(True)
thread.join()
"""
    )
