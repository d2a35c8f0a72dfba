"""Recursion in every direction, on stacks of every size."""

_SETUP = """
engine = w.WasmEngine()
RECURSE = '''(func $r (export "r") (param i64) (result i64) local.get 0 i64.const 1 i64.add call $r)'''
guest = w.WasmModule(engine, f"(module {RECURSE})")
plain = w.WasmModule(engine, f'(module (import "" "h" (func $h)) (func (export "f") call $h) {RECURSE})')
refs = w.WasmModule(engine, f'''(module (import "" "h" (func $h (param externref)))
    (func (export "f") (param externref) (call $h (local.get 0))) {RECURSE})''')
SIZES = (32, 64, 128, 256, 512, 700, 768, 784, 800, 900, 1024, 2048)
def overflows(label, function, *arguments):
    trap = refused(label, w.WasmTrap, function, *arguments)
    if trap is not None:
        check(f"{label}: {trap.code}", trap.code == w.TrapCode.STACK_OVERFLOW)
"""


def test_guest_recursion_on_threads_of_any_stack(script):
    script(
        _SETUP
        + """
w.WasmInstance  # Python's own parser, where there is no bytecode yet, wants more stack than some of these threads have
starts = w.WasmModule(engine, "(module (func $f (call $f) (call $f)) (start $f))")
small = w.WasmEngine(w.WasmConfig(max_wasm_stack=20_000))
shallow = w.WasmModule(small, f"(module {RECURSE})")
def attack():
    overflows("call", lambda: w.WasmInstance(w.WasmStore(engine), guest).exports.r(1))
    overflows("start", lambda: w.WasmInstance(w.WasmStore(engine), starts))
    overflows("shallow", lambda: w.WasmInstance(w.WasmStore(small), shallow).exports.r(1))
for size in SIZES:
    on_thread(size, attack)
def deeper(depth):
    return deeper(depth - 1) if depth else attack()
for size in SIZES[4:]:
    on_thread(size, lambda: deeper(500))
attack()
"""
    )


def test_everything_else_on_threads_of_any_stack(script):
    script(
        _SETUP
        + """
store = w.WasmStore(engine)
deep = "(module (func " + "block " * 5000 + "end " * 5000 + "))"
linker = w.WasmLinker(engine)
linker.define_wasi()
uses = {
    "engine": w.WasmEngine,
    "store": lambda: w.WasmStore(engine, wasi=w.WasiConfig(argv=["a"], stdout=print)),
    "linker": lambda: w.WasmLinker(engine).define_wasi(),
    "text": lambda: w.wat2wasm(deep),
    "folded text": lambda: w.wat2wasm("(module (func " + "(block " * 5000 + ")" * 5002),
    "compile": lambda: w.WasmModule(engine, deep),
    "validate": lambda: w.WasmModule.validate(engine, deep),
    "instance": lambda: w.WasmInstance(store, guest),
    "memory": lambda: w.WasmMemory(store, w.WasmMemoryType(1)).grow(1),
    "table": lambda: w.WasmTable(store, w.WasmTableType("externref", 1), object()).grow(1, object()),
    "func": lambda: w.WasmFunc(store, lambda: None, w.WasmFuncType())(),
    "wasi": lambda: linker.get(w.WasmStore(engine, wasi=w.WasiConfig()), "wasi_snapshot_preview1", "fd_write"),
    "gc": store.gc,
}
for size in SIZES:
    for label, use in uses.items():
        on_thread(size, lambda: allowed(f"{label} on {size} KiB", use))
"""
    )


def test_host_and_guest_calling_each_other(script):
    script(
        _SETUP
        + """
ENDS = (w.WasmTrap, RecursionError)
store = w.WasmStore(engine)
ring = {}
ring["plain"] = w.WasmInstance(store, plain, {"": {"h": lambda: ring["plain"]()}}).exports.f
ring["refs"] = w.WasmInstance(store, refs, {"": {"h": lambda x: ring["refs"](x)}}).exports.f
ring["host"] = w.WasmFunc(store, lambda: ring["host"](), w.WasmFuncType())
ring["host refs"] = w.WasmFunc(store, lambda x: ring["host refs"](x), w.WasmFuncType(["externref"]))
def attack():
    for name, function in ring.items():
        refused(name, ENDS, function, *([object()] if "refs" in name else []))
    def nest():
        w.WasmInstance(w.WasmStore(engine), plain, {"": {"h": nest}}).exports.f()
    refused("a store in a store", ENDS, nest)
    class Indexed:
        def __index__(self):
            return setattr(w.WasmGlobal(store, w.WasmGlobalType("i32", True), 0), "value", Indexed()) or 1
    refused("__index__", (*ENDS, TypeError), w.WasmGlobal, store, w.WasmGlobalType("i32"), Indexed())
for limit in (200, 1000, 3000):
    sys.setrecursionlimit(limit)
    attack()
    on_thread(16 * limit, attack)  # Python's own frames may need some of it
sys.setrecursionlimit(1000)
check("usable", w.WasmFunc(store, lambda: 5, w.WasmFuncType([], ["i32"]))() == 5)
store.close()
""",
    )


def test_host_and_guest_calling_each_other_without_a_recursion_limit(script):
    # Only calls through the library, which looks at the stack itself.
    script(
        _SETUP
        + """
sys.setrecursionlimit(10**6)
ENDS = (w.WasmTrap, RecursionError)
store = w.WasmStore(engine)
ring = {}
ring["plain"] = w.WasmInstance(store, plain, {"": {"h": lambda: ring["plain"]()}}).exports.f
ring["refs"] = w.WasmInstance(store, refs, {"": {"h": lambda x: ring["refs"](x)}}).exports.f
ring["host"] = w.WasmFunc(store, lambda: ring["host"](), w.WasmFuncType())
ring["host refs"] = w.WasmFunc(store, lambda x: ring["host refs"](x), w.WasmFuncType(["externref"]))
def attack():
    for name, function in ring.items():
        refused(name, ENDS, function, *([object()] if "refs" in name else []))
    def nest():
        w.WasmInstance(w.WasmStore(engine), plain, {"": {"h": nest}}).exports.f()
    refused("a store in a store", ENDS, nest)
attack()
for size in (1024, 2048):
    on_thread(size, attack)
"""
    )


def test_guest_recursion_from_python_that_runs_inside_of_the_store(script):
    script(
        _SETUP
        + """
# conversions, finalizers and results run Python inside of a store without WebAssembly being active there
store = w.WasmStore(engine)
r = w.WasmInstance(store, guest).exports.r
taking = w.WasmFunc(store, lambda *a: None, w.WasmFuncType(["externref", "i32"]))
number = w.WasmGlobal(store, w.WasmGlobalType("i32", True), 0)
table = w.WasmTable(store, w.WasmTableType("externref", 3))
def dig(levels):
    if levels:
        list(map(dig, [levels - 1]))  # through C, so that every level takes its share of the stack
    else:
        overflows("guest", r, 1)
class Indexed:
    def __init__(self, levels):
        self.levels = levels
    def __index__(self):
        dig(self.levels)
        return 1
class Finalized(Indexed):
    def __del__(self):
        dig(self.levels)
giving = w.WasmFunc(store, lambda x: Indexed(x), w.WasmFuncType(["externref"], ["i32"]))
def attack(most):
    for levels in range(0, most, 100):
        number.value = Indexed(levels)
        allowed("argument", taking, None, Indexed(levels))
        allowed("result", giving, levels)
        table[0] = Finalized(levels)
        table[0] = None
        store.gc()
        table[1] = Indexed(0)
for size in SIZES[4:]:
    on_thread(size, lambda: allowed("attack", attack, 601 if size >= 800 else 1))
"""
    )
