"""What host functions, sinks and signal handlers raise, and what host functions return that they must not."""

_SETUP = """
engine = w.WasmEngine()
store = w.WasmStore(engine)
plain = w.WasmModule(engine, '''(module (import "" "h" (func $h)) (func (export "f") call $h)
    (func (export "start") call $h unreachable))''')
refs = w.WasmModule(engine, '''(module (import "" "h" (func $h (param externref) (result externref)))
    (func (export "f") (param externref) (result externref) (call $h (local.get 0))))''')
"""


def test_every_exception_comes_out_as_itself(script):
    script(
        _SETUP
        + """
class Empty(Exception):
    def __len__(self): return 0
class Untrue(Exception):
    def __bool__(self): raise RuntimeError("bool")
class Mute(Exception):
    def __str__(self): raise RuntimeError("str")
    __repr__ = __str__
class Slotted(BaseException):
    __slots__ = ("x",)
class Closed(Exception):
    def __setattr__(self, name, value): raise RuntimeError(name)
class Secret(Exception):
    def __getattribute__(self, name): raise RuntimeError(name)
class Equal(Exception):
    def __eq__(self, other): raise RuntimeError("eq")
    __hash__ = None
class Notes(Exception):
    @property
    def __notes__(self): raise RuntimeError("notes")
numbered, listed = Exception(), Exception()
numbered.__notes__ = 5
listed.__notes__ = [5, None, "WebAssembly frames (innermost first):", b"x"]
raised = [
    Empty(), Untrue(), Mute(), Slotted(), Closed(), Secret(), Equal(), Notes(), numbered, listed, BaseException(), SystemExit(3),
    KeyboardInterrupt(), GeneratorExit(), StopIteration(4), StopAsyncIteration(), MemoryError(), RecursionError(),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "reason"), Exception("\\udc80"), Exception("x" * 10**6), Exception(*range(1000)),
    w.WasmExit(3), w.WasmTrap("mine"), w.WasmtimeError(), w.StoreBusyError("mine"), w.WasmException("mine"),
]
for number, expected in enumerate(raised):
    def host(*_):
        raise expected
    for module, arguments in ((plain, ()), (refs, (object(),))):
        call = w.WasmInstance(store, module, {"": {"h": host}}).exports.f
        for _ in range(2):
            try:
                call(*arguments)
            except BaseException as came:
                check(f"{number}: {type(expected).__name__} came out as {type(came).__name__}", came is expected)
    starter = w.WasmModule(engine, '(module (import "" "h" (func $h)) (start $h))')
    try:
        w.WasmInstance(store, starter, {"": {"h": host}})
    except BaseException as came:
        check(f"{number}: start: {type(expected).__name__} came out as {type(came).__name__}", came is expected)
try:
    w.WasmInstance(store, plain, {"": {"h": lambda: None}}).exports.start()
except w.WasmTrap as trap:
    check("a later trap is its own", trap.code == w.TrapCode.UNREACHABLE_CODE_REACHED)
store.close()
"""
    )


def test_exceptions_of_nested_calls_stay_apart(script):
    script(
        _SETUP
        + """
other = w.WasmStore(engine)
def inner():
    raise KeyError("inner")
for home in (store, other):
    failing = w.WasmInstance(home, plain, {"": {"h": inner}}).exports
    def catching():
        refused("inner", KeyError, failing.f)
    outer = w.WasmInstance(store, plain, {"": {"h": catching}}).exports
    outer.f()
    trap = refused("outer", w.WasmTrap, outer.start)
    check("its own reason", trap.code == w.TrapCode.UNREACHABLE_CODE_REACHED)
    def replacing():
        try:
            failing.f()
        except KeyError as caught:
            raise OSError("outer") from caught
    came = refused("replaced", OSError, w.WasmInstance(store, plain, {"": {"h": replacing}}).exports.f)
    check("chain", isinstance(came.__cause__, KeyError))
"""
    )


def test_an_exception_after_the_store_was_left(script):
    script(
        _SETUP
        + """
for module, arguments in ((plain, ()), (refs, (object(),))):
    home = w.WasmStore(engine)
    def host(*_):
        with home:
            raise KeyError("its own")
    refused("left", KeyError, w.WasmInstance(home, module, {"": {"h": host}}).exports.f, *arguments)
    check("closed", not home.is_valid)
"""
    )


def test_results_of_the_wrong_kind_leave_nothing_half_written(script):
    script(
        _SETUP
        + """
# fill what the engine reuses for values with bits, then fail while results are being written
V = w.WasmValType
fill = w.WasmFunc(store, lambda *a: None, w.WasmFuncType([V.V128] * 8 + [V.EXTERNREF]))
i31 = w.WasmInstance(store, w.WasmModule(engine, '(module (func (export "r") (result anyref) (ref.i31 (i32.const 1))))'))
kinds = [V.ANYREF, V.EQREF, V.I31REF, V.STRUCTREF, V.EXNREF, V.FUNCREF, V.NULLREF, V.NULLEXTERNREF, V.NULLEXNREF,
         *(V.ref(heap, nullable=False) for heap in ("extern", "any", "func", "exn")), V.I32, V.V128, V.F64]
wrong = [object(), None, "x", 2**70, i31.exports.r(), w.WasmValue.externref(None), (), store]
for kind in kinds:
    for count in (1, 8):
        for value in wrong:
            for good in (0, count // 2):
                results = [V.EXTERNREF] * good + [kind] * (count - good)
                returned = (object(),) * good + (value,) * (count - good)
                bad = w.WasmFunc(store, lambda x: returned if count > 1 else returned[0], w.WasmFuncType([V.EXTERNREF], results))
                fill(*[b"\\xff" * 16] * 8, None)
                allowed(f"{kind}", bad, object())
for returned in (None, (), (1,), (1, 2, 3), 5, "ab", {1: 2}, [1, None], iter((1, 2)), (object(), object())):
    for types in ([], ["i32"], ["i32", "i32"], ["externref", "i32"]):
        allowed("count", w.WasmFunc(store, lambda: returned, w.WasmFuncType([], types)))
store.gc()
store.close()
"""
    )


def test_signal_handlers_that_raise_leave_the_store_usable(script):
    script(
        _SETUP
        + """
class Alarm(BaseException):
    pass
armed = False
def handler(*_):
    global armed
    if armed:
        armed = False  # one at a time, so that none strikes in the handling of another
        raise Alarm
signal.signal(signal.SIGALRM, handler)
memory = w.WasmMemory(store, w.WasmMemoryType(1))
table = w.WasmTable(store, w.WasmTableType("externref", 4))
f = w.WasmInstance(store, plain, {"": {"h": lambda: None}}).exports.f
g = w.WasmInstance(store, refs, {"": {"h": lambda x: x}}).exports.f
struck = 0
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.00037)
end = time.monotonic() + 2
while time.monotonic() < end:
    try:
        armed = True
        for _ in range(20):
            f(), g(f), memory.read(0, 4), memory.size, table.__setitem__(0, f), table[0], store.gc()
        armed = False
    except Alarm:
        struck += 1
signal.setitimer(signal.ITIMER_REAL, 0)
check("signals struck", struck > 50)
said = []
thread = threading.Thread(target=lambda: said.append(allowed("another thread", lambda: memory.size)))
thread.start()
thread.join()
check(f"another thread was told {said}", said == [1])
check("a call works", g(store) is store)
check("close", allowed("close", store.close) is None)
before = address_space()
del store, memory, table, f, g, said, thread
gc.collect()
"""
    )


def test_signals_that_strike_in_host_functions_come_out(script):
    script(
        _SETUP
        + """
class Alarm(Exception):
    pass
def handler(*_):
    raise Alarm
signal.signal(signal.SIGALRM, handler)
endless = w.WasmModule(engine, '(module (import "" "h" (func $h)) (func (export "f") (loop $l call $h br $l)))')
f = w.WasmInstance(store, endless, {"": {"h": lambda: None}}).exports.f
for turn in range(1000):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002 + turn % 7 * 1e-5)  # strikes once
        f()
    except Alarm:
        pass
    except BaseException as came:
        check(f"{type(came).__name__} came out", False)
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
refused("Ctrl-C", KeyboardInterrupt, w.WasmInstance(store, endless, {"": {"h": interrupt}}).exports.f)
"""
    )


def test_sinks_that_raise_or_call_back(script):
    script(
        _SETUP
        + r"""
program = w.WasmModule(engine, r'''(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\02\00\00\00hi")
    (func $say (export "say") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
    (func (export "trap") call $say unreachable) (func (export "exit") call $say (call $exit (i32.const 200))))''')
linker = w.WasmLinker(engine)
linker.define_wasi()
def started(sink):
    home = w.WasmStore(engine, wasi=w.WasiConfig(stdout=sink, stderr=sink))
    return home, linker.instantiate(home, program).exports
for expected in (KeyError(1), KeyboardInterrupt(), SystemExit(2), GeneratorExit()):
    def sink(data):
        raise expected
    home, exports = started(sink)
    for name in ("say", "trap", "exit"):
        try:
            exports[name]()
        except BaseException as came:
            check(name, came is expected)
        else:
            check(f"{name} returned", False)
    home.close()
heard = []
home, exports = started(heard.append)
refused("exit", w.WasmExit, exports.exit)
refused("trap", w.WasmTrap, exports.trap)
check("heard", heard == [b"hi", b"hi"])
def closing(data):
    refused("close", w.StoreBusyError, home.close)
    home.set_wasi(w.WasiConfig(stdout=closing))
    home.__exit__(None, None, None)
home, exports = started(closing)
allowed("say", exports.say)
refused("closed", w.StoreClosedError, exports.say)
again = []
def calling(data):
    again.append(data)
    if len(again) < 5:
        exports.say()
home, exports = started(calling)
exports.say()
check("all of it", again == [b"hi"] * 5)
home.set_wasi(w.WasiConfig(stdout=heard.append))
exports.say()
check("new streams", heard[-1] == b"hi" and len(again) == 5)
"""
    )
