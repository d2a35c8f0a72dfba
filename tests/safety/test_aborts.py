"""What makes the engine's C API end the process, row by row: an exception comes out before C is entered.

A row that no public name reaches says why, by the C functions that nothing of the package calls.
"""

import re
from pathlib import Path

import pytest

import wasmtime_rt

_SETUP = """
WAT = '''(module
    (import "" "h" (func (result i32)))
    (type $s (struct (field (mut i32)))) (type $a (array (mut i8)))
    (func (export "f") (param funcref externref)) (func (export "s") (result (ref $s)) (struct.new $s (i32.const 1)))
    (func (export "a") (result (ref $a)) (array.new $a (i32.const 1) (i32.const 3)))
    (func (export "x") (param externref) (result externref) local.get 0) (func (export "h") (result i32) unreachable)
    (func (export "o") (result externref) (extern.convert_any (ref.i31 (i32.const 1))))
    (memory (export "m") 1 5) (table (export "t") 2 9 funcref) (table (export "t64") i64 2 funcref)
    (global (export "g") (mut funcref) (ref.null func)) (tag (export "e")))'''
engine = w.WasmEngine()
module = w.WasmModule(engine, WAT)
store, other = w.WasmStore(engine), w.WasmStore(engine)
mine, theirs = (w.WasmInstance(each, module, [lambda: 1]).exports for each in (store, other))
# All imports of a module, each from a store of its own
IMPORTER = w.WasmModule(engine, '''(module (import "" "f" (func (param funcref externref))) (import "" "m" (memory 1))
    (import "" "t" (table 2 funcref)) (import "" "g" (global (mut funcref))) (import "" "e" (tag)))''')

def settings(kinds, *, text="", **given):
    raised = refused(repr(given), kinds, lambda: w.WasmEngine(w.WasmConfig(**given)))
    check(f"{given}: {raised}", text in str(raised))
"""
_CONFIG = "(w.WasmtimeError, ValueError)"

#: What the engine would be asked, and what comes out instead.
ROWS = {
    # ---- wasm_engine_new_with_config
    "stack of 0": f"settings({_CONFIG}, max_wasm_stack=0)",
    "stack larger than the one of asynchronous calls": (
        f"settings({_CONFIG}, max_wasm_stack=1 << 20, async_stack_size=1 << 19)"
    ),
    "asynchronous stack of 0": f"settings({_CONFIG}, async_stack_size=0)",
    "no SIMD with relaxed SIMD": f"settings({_CONFIG}, wasm_simd=False, wasm_relaxed_simd=True)",
    "no references with asynchronous components": f"settings({_CONFIG}, wasm_reference_types=False)",
    "no concurrency with asynchronous components": (
        f"settings({_CONFIG}, concurrency_support=False, wasm_component_model_async=True)"
    ),
    "Winch with GC": f"settings({_CONFIG}, strategy=w.Strategy.WINCH, wasm_gc=True)",
    "Winch without signals": f"settings({_CONFIG}, strategy=w.Strategy.WINCH, signals_based_traps=False)",
    "an unknown flag of Cranelift": f"settings({_CONFIG}, cranelift_flags={{'no_such_flag': True}})",
    "a value that a flag of Cranelift cannot have": f"settings({_CONFIG}, cranelift_flags={{'opt_level': 'x'}})",
    "a target of another processor": f"settings({_CONFIG}, target='aarch64-unknown-linux-gnu')",
    "a target that is none": f"settings({_CONFIG}, target='nonsense')",
    "pools larger than the address space": f"""
settings({_CONFIG}, pooling_allocation_strategy=w.PoolingConfig(total_memories=1 << 20, total_core_instances=1 << 20))
""",
    "pools of memories larger than a reservation": f"""
settings({_CONFIG}, memory_reservation=1 << 20, pooling_allocation_strategy=w.PoolingConfig(max_memory_size=1 << 30))
""",
    "continuations": f"settings({_CONFIG}, wasm_stack_switching=True)",
    "exceptions without a collector": f"settings({_CONFIG}, gc_support=False, wasm_exceptions=True)",
    # ---- enum setters, and texts
    "numbers that no enumeration has": """
for name in ("strategy", "optimization_level", "profiling_strategy", "cranelift_regalloc_algorithm"):
    for value in (-1, 99, 2**40, None, "x"):
        settings((TypeError, ValueError), **{name: value})
""",
    "a target that is not UTF-8": "settings((TypeError, ValueError), target='\\udc80')",
    "a flag that is not UTF-8, or has a NUL": """
for text in ("\\udc80", "a\\0b", ""):
    settings((TypeError, ValueError), cranelift_flags={text: True})
    settings((TypeError, ValueError), cranelift_flags={"x": text})
""",
    "a profile's names that are not UTF-8": """
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
store = w.WasmStore(engine)
module = w.WasmModule(engine, '(module (func (export "f")))')
with store.profile(os.devnull, modules={"\\udc80": module, "a\\0b": module}):
    w.WasmInstance(store, module).exports.f()
""",
    # ---- things of another store
    "a function of another store": """
for place in (
    lambda: mine.f(theirs.f, None), lambda: mine.t.__setitem__(0, theirs.f), lambda: mine.t.grow(1, theirs.f),
    lambda: setattr(mine.g, "value", theirs.f), lambda: w.WasmGlobal(store, w.WasmGlobalType("funcref"), theirs.f),
    lambda: w.WasmTable(store, w.WasmTableType("funcref", 1), theirs.f), lambda: w.WasmInstance(store, module, [theirs.h]),
    w.WasmFunc(store, lambda: theirs.f, w.WasmFuncType([], ["funcref"])),
):
    refused("funcref", w.WrongStoreError, place)
""",
    "a memory, table, global or tag of another store": """
items = {name: mine[name] for name in "fmtge"}
w.WasmInstance(store, IMPORTER, {"": items})
for name in items:
    refused(name, w.WrongStoreError, w.WasmInstance, store, IMPORTER, {"": {**items, name: theirs[name]}})
    linker = w.WasmLinker(engine)
    for each, item in {**items, name: theirs[name]}.items():
        linker.define("", each, item)
    refused(name, w.WrongStoreError, linker.instantiate, store, IMPORTER)
    refused(name, w.WrongStoreError, linker.prepare, IMPORTER)
    refused(name, w.WrongStoreError, linker.get, store, "", name)
""",
    "a reference of another store": """
any_ = w.WasmTable(store, w.WasmTableType("anyref", 1))
extern = w.WasmTable(store, w.WasmTableType("externref", 1))
for ref in (theirs.s(), theirs.a(), theirs.o()):
    for place in (
        lambda: mine.x(ref), lambda: any_.__setitem__(0, ref), lambda: extern.__setitem__(0, ref), lambda: extern.grow(1, ref),
        lambda: w.WasmGlobal(store, w.WasmGlobalType("externref"), ref),
        lambda: w.WasmArray(store, w.WasmArray.new_type(engine, w.WasmFieldType("externref")), [ref]),
        w.WasmFunc(store, lambda: ref, w.WasmFuncType([], ["externref"])),
    ):
        refused(repr(ref), w.WrongStoreError, place)
""",
    "an exception of another store": """
thrown = w.WasmException(theirs.e)
held = w.WasmTable(other, w.WasmTableType("exnref", 1), thrown)[0]
for exception in (thrown, held):
    refused("exnref", w.WrongStoreError, w.WasmTable, store, w.WasmTableType("exnref", 1), exception)
    f = w.WasmFunc(store, lambda: (_ for _ in ()).throw(exception), w.WasmFuncType())
    refused("thrown", w.WasmException, f)
""",
    "a type of another engine": """
theirs = w.WasmEngine()
types = [w.WasmStruct.new_type(theirs, []), w.WasmArray.new_type(theirs, w.WasmFieldType("i8"))]
for type_ in types:
    field = w.WasmFieldType(type_)
    for make in (
        lambda: w.WasmStruct(store, type_, []), lambda: w.WasmArray(store, type_, [1]), lambda: w.WasmArray.filled(store, type_, 1, 5),
        lambda: w.WasmFunc(store, len, w.WasmFuncType([type_])), lambda: w.WasmTag(store, w.WasmTagType(w.WasmFuncType([type_]))),
        lambda: w.WasmGlobal(store, w.WasmGlobalType(type_.with_nullable(True)), None),
        lambda: w.WasmTable(store, w.WasmTableType(type_.with_nullable(True), 1)),
        lambda: w.WasmStruct.new_type(engine, [field]), lambda: w.WasmArray.new_type(engine, field),
        lambda: mine.s().matches(type_),
    ):
        refused(str(type_), (w.WrongEngineError, TypeError), make)
""",
    "a definition asked for what only another kind has": """
functype = w.WasmModule(engine, '''(module (type $s (struct (field i32))) (type $a (array i8)) (type $f (func (param i32)))
    (func (export "f") (param (ref $s) (ref $a) (ref $f))))''').exports[0].type
for valtype, own in zip(functype.params, ("fields", "element", "func")):
    check(own, getattr(valtype.heap, own))
    for name in {"fields", "element", "func"} - {own}:
        refused(f"{own}.{name}", TypeError, getattr, valtype.heap, name)
    refused("kind", AttributeError, setattr, valtype.heap, "kind", "array")
    refused("__init__", TypeError, valtype.heap.__init__, "array", None, None)
refused("DefinedType", TypeError, w.DefinedType, "struct")
""",
    "a module, linker or store of another engine": """
theirs = w.WasmEngine()
linker = w.WasmLinker(theirs)
linker.define_wasi()
for use in (
    lambda: w.WasmInstance(w.WasmStore(theirs), module, [len]), lambda: linker.instantiate(store, module),
    lambda: linker.prepare(module), lambda: linker.get(store, "wasi_snapshot_preview1", "fd_write"),
    lambda: linker.define_module(store, "a", module), lambda: linker.get_default(store, "a"),
    lambda: linker.define_unknown_imports_as_traps(module),
    lambda: linker.define_unknown_imports_as_default_values(store, module),
    lambda: w.WasmLinker(theirs).prepare(w.WasmModule(theirs, "(module)")).instantiate(store),
):
    refused("engine", w.WrongEngineError, use)
""",
    # ---- structs and arrays
    "a struct with more fields than the engine allows": """
field = w.WasmFieldType("i8")
w.WasmStruct.new_type(engine, [field] * 10_000)
for count in (10_001, 100_000):
    refused(str(count), ValueError, w.WasmStruct.new_type, engine, [field] * count)
""",
    "structs and arrays made of the wrong things": """
struct, array = w.WasmStruct.new_type(engine, [w.WasmFieldType("i32")]), w.WasmArray.new_type(engine, w.WasmFieldType("i8"))
for make in (
    lambda: w.WasmStruct(store, array, [1]), lambda: w.WasmArray(store, struct, [1]), lambda: w.WasmStruct(store, struct, []),
    lambda: w.WasmStruct(store, struct, ["x"]), lambda: w.WasmStruct(store, struct, [1, 2]), lambda: w.WasmArray(store, array, [None]),
    lambda: w.WasmArray.filled(store, array, 1, -1), lambda: w.WasmArray.filled(store, array, 1, 2**32),
    lambda: w.WasmArray.filled(store, array, 1, 2**70), lambda: w.WasmStruct.new_type(engine, [5]),
):
    refused("made", (TypeError, ValueError), make)
refused("too large", w.WasmtimeError, w.WasmArray.filled, w.WasmStore(engine, limits=w.StoreLimits(memory_size=1 << 16)), array, 1, 2**32 - 1)
""",
    # ---- WASI
    "a WASI program in a store without WASI": """
wasi = w.WasmModule(engine, '''(module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
    (memory (export "memory") 1) (func (export "_start") (drop (call $r (i32.const 0) (i32.const 8)))))''')
linker = w.WasmLinker(engine)
linker.define_wasi()
linker.alias_module("wasi_snapshot_preview1", "other")
prepared = linker.prepare(wasi)
for use in (
    lambda: linker.instantiate(store, wasi), lambda: prepared.instantiate(store), lambda: linker.define_module(store, "c", wasi),
    lambda: linker.get(store, "wasi_snapshot_preview1", "random_get"), lambda: linker.get(store, "other", "random_get"),
):
    refused("wasi", w.WasmtimeError, use)
""",
    # ---- types
    "every type of value, asked of the engine": """
for spelling in ("v128", "anyref", "(ref extern)", "(ref func)", "eqref", "i31ref", "structref", "arrayref", "exnref", "nullref",
                 "nullfuncref", "nullexternref", "nullexnref", "(ref any)", "(ref none)", "(ref exn)"):
    text = f'(module (import "" "f" (func (param {spelling}))) (func (export "f") (param {spelling}) (result {spelling}) local.get 0))'
    made = w.WasmModule(engine, text)
    check(spelling, str(made.exports[0].type.params[0]) == spelling == str(made.imports[0].type.params[0]))
    check(spelling, w.WasmFunc(store, len, made.exports[0].type).type == made.exports[0].type)
""",
    "limits of memories and tables beyond 32 bits": """
made = w.WasmModule(engine, '''(module (import "" "m" (memory i64 5 0x100000000)) (import "" "t" (table i64 5 0x100000005 funcref))
    (memory (export "m") i64 1 0x1000000000) (table (export "t") i64 1 0xffffffffffffffff externref))''')
check("memory", made.imports[0].type == w.WasmMemoryType(5, 2**32, is64=True))
check("table", made.imports[1].type == w.WasmTableType("funcref", 5, 2**32 + 5, is64=True))
check("exports", (made.exports[0].type.max, made.exports[1].type.max) == (2**36, 2**64 - 1))
""",
    "tables of 64 bits, and beyond their limits": """
for make in (
    lambda: w.WasmTable(store, w.WasmTableType("funcref", 2**63, is64=True)), lambda: w.WasmTableType("funcref", 2**32),
    lambda: w.WasmTableType("funcref", 5, 1), lambda: mine.t64.grow(2**64 - 1), lambda: mine.t64.grow(2**70), lambda: mine.t64[2**64],
    lambda: w.WasmTable(store, w.WasmTableType("(ref func)", 1)), lambda: mine.t[-3], lambda: mine.t.grow(-1),
):
    refused("table", (w.WasmtimeError, ValueError, IndexError, TypeError), make)
""",
    "memories beyond their limits": """
for make in (
    lambda: w.WasmMemoryType(65537), lambda: w.WasmMemoryType(5, 1), lambda: w.WasmMemoryType(2**48 + 1, is64=True), lambda: w.WasmMemoryType(-1),
    lambda: w.WasmMemory(store, w.WasmMemoryType(2**48, is64=True)), lambda: mine.m.grow(2**64), lambda: mine.m.grow(2**64 - 1),
    lambda: w.WasmMemory(store, w.WasmMemoryType(1, 2, shared=True)),
    lambda: w.WasmMemoryType(1, page_size=3), lambda: w.WasmMemoryType(1, shared=True), lambda: mine.m.grow(-1),
    lambda: w.WasmSharedMemory(engine, w.WasmMemoryType(1, 2, shared=True)),
):
    refused("memory", (w.WasmtimeError, ValueError, TypeError), make)
""",
    # ---- host functions
    "a host function's results of every wrong kind": """
for kind in ("i32", "i64", "f32", "f64", "v128", "externref", "funcref", "anyref", "eqref", "i31ref", "structref", "exnref", "(ref func)"):
    for answer in (None, "x", 2**70, (1, 2), [], object(), b"x", w.WasmValue.v128(bytes(16)), w.WasmValue.f32(1), mine.s(), theirs.f, theirs.s(), w.WasmI31(1)):
        f = w.WasmFunc(store, lambda answer=answer: answer, w.WasmFuncType([], [kind]))
        allowed(f"{kind} {answer!r:.30}", f)
        allowed(f"{kind} {answer!r:.30}", f.call_values)
""",
    "unknown codes of traps": """
trap = w.WasmTrap("mine", w.TrapCode(250))
f = w.WasmFunc(store, lambda: (_ for _ in ()).throw(trap), w.WasmFuncType())
check("the trap itself", refused("trap", w.WasmTrap, f) is trap)
""",
    "deadlines at every border": """
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
store = w.WasmStore(engine)
f = w.WasmInstance(store, w.WasmModule(engine, '(module (func (export "f")))')).exports.f
for ticks in (0, 1, 2**62, 2**63 - 1):
    store.set_epoch_deadline(ticks)
    engine.increment_epoch()
    allowed("f", f)
for ticks in (-1, 2**63, 2**64, None, 1.5):
    refused(repr(ticks), (ValueError, TypeError), store.set_epoch_deadline, ticks)
refused("without epochs", w.WasmtimeError, w.WasmStore(w.WasmEngine()).set_epoch_deadline, 1)
""",
    "fuel at every border": """
engine = w.WasmEngine(w.WasmConfig(consume_fuel=True))
store = w.WasmStore(engine)
for fuel in (0, 1, 2**63, 2**64 - 1):
    store.set_fuel(fuel)
    store.add_fuel(2**64 - 1)
for fuel in (-1, 2**64, None, 1.5):
    refused(repr(fuel), (ValueError, TypeError), store.set_fuel, fuel)
""",
    "limits of a store at every border": """
for value in (-1, 2**63, 2**64, 1.5, "x", True):
    for name in ("memory_size", "table_elements", "instances", "tables", "memories"):
        refused(f"{name} {value}", (ValueError, TypeError), lambda: w.StoreLimits(**{name: value}))
for value in (0, 1, 2**63 - 1):
    made = w.WasmStore(engine, limits=w.StoreLimits(value, value, value, value, value))
    allowed("instance", w.WasmInstance, made, w.WasmModule(engine, "(module (memory 1) (table 5 externref))"))
""",
    # ---- several threads, the stack
    "one store on two threads": """
ready, go = threading.Event(), threading.Event()
f = w.WasmFunc(store, lambda: (ready.set(), go.wait(), None)[2], w.WasmFuncType())
thread = threading.Thread(target=f)
thread.start()
ready.wait()
for use in (
    lambda: mine.f(None, None), lambda: mine.m.read(0, 1), lambda: mine.m.grow(1), lambda: mine.t[0], lambda: mine.g.value, store.gc, store.close,
    lambda: w.WasmMemory(store, w.WasmMemoryType(1)), lambda: w.WasmInstance(store, module, [len]), lambda: memoryview(mine.m.view()),
    lambda: store.set_wasi(w.WasiConfig()), lambda: mine.f.call_values(None, None), lambda: mine.f.typed(["funcref", "externref"])(None, None),
):
    refused("busy", w.StoreBusyError, use)
go.set()
thread.join()
mine.f(None, None)
""",
    "recursion without end": """
deep = w.WasmInstance(store, w.WasmModule(engine, '(module (func $f (export "f") (param i64) (result i64) local.get 0 call $f i64.const 1 i64.add))')).exports.f
for stack in (64, 256, 512, 1024, 8192):
    on_thread(stack, lambda: refused(f"{stack} KiB", w.WasmTrap, deep, 1))
refused("main thread", w.WasmTrap, deep, 1)
f = None
def again():
    f()
f = w.WasmFunc(store, again, w.WasmFuncType())
refused("through Python", (RecursionError, w.WasmTrap), f)
""",
    # ---- what damages instead
    "serialized modules that are none": """
blob = module.serialize()
for data in (b"", b"x", b"\\x7fELF" + bytes(100), blob[:-1], blob[1:], blob[: len(blob) // 2], blob + b"x", bytes(len(blob)),
             blob[:500] + b"\\xff" + blob[501:], module.serialize()[:-200] + blob[-200:-1], b"\\0asm\\1\\0\\0\\0"):
    refused("deserialize", w.DeserializeError, w.WasmModule.deserialize, engine, data)
refused("of another config", w.DeserializeError, w.WasmModule.deserialize, w.WasmEngine(w.WasmConfig(consume_fuel=True)), blob)
w.WasmModule.deserialize(engine, blob)
""",
    "a view of a memory that may move": """
engine = w.WasmEngine(w.WasmConfig(memory_reservation=0))
memory = w.WasmMemory(w.WasmStore(engine), w.WasmMemoryType(1))
for use in (memory.view, lambda: memoryview(memory), lambda: memory.u32):
    refused("view", w.MemoryViewError, use)
memory.write(0, b"x"), memory.grow(5), memory.read(0, 1)
""",
    "use after everything was closed": """
view = mine.m.view()
refused("close", w.MemoryViewError, store.close)
del view
store.close(), module.close(), engine.close()
for use in (
    lambda: mine.f(None, None), lambda: mine.m.read(0, 1), lambda: mine.t[0], lambda: mine.g.value, store.gc, lambda: w.WasmStore(engine),
    lambda: w.WasmModule(engine, WAT), lambda: w.WasmInstance(other, module, [len]), engine.increment_epoch, module.serialize, lambda: module.image_range,
):
    refused("closed", w.ClosedError, use)
""",
}

#: Rows that no public name reaches: nothing of the package calls these.
UNREACHABLE = {
    "`wasm_valtype_new` with a kind that is none": "wasmtime_valtype_new makes them: of a closed list of kinds",
    "`wasm_trap_code` of codes that are none": ("wasmtime_trap_new_code",),
    "a function of a raw null pointer": ("wasmtime_func_from_raw",),
    "functions that are not there": ("wasm_frame_instance", "wasm_foreign_new", "wasm_ref_copy", "wasm_instance_new"),
    "limits by the 32-bit accessors": ("wasm_memorytype_limits", "wasm_tabletype_limits"),
    "asynchronous calls, on stacks of their own": (
        "wasmtime_call_future_poll", "wasmtime_func_call_async", "wasmtime_instance_pre_instantiate_async",
        "wasmtime_linker_instantiate_async", "wasmtime_linker_define_async_func", "wasmtime_context_fuel_async_yield_interval",
        "wasmtime_context_epoch_deadline_async_yield_and_update",
    ),
    "values, strings and resources of components; WASI 0.2 and HTTP": (
        "wasmtime_component_new", "wasmtime_component_linker_new", "wasmtime_component_func_call",
        "wasmtime_component_linker_add_wasip2", "wasmtime_component_linker_add_wasip2_async", "wasmtime_context_set_wasi_http",
    ),
    "callbacks that create memories and stacks": (
        "wasmtime_config_host_memory_creator_set", "wasmtime_config_host_stack_creator_set",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_refused_before_the_engine_sees_it(script, row):
    script(_SETUP + ROWS[row])


def code():
    """What the package calls, without comments and docstrings."""
    package = Path(wasmtime_rt.__file__).parent
    texts = [path.read_text() for path in package.glob("*.py") if not path.name.startswith("_ffi")]
    return "\n".join(
        [re.sub(r'"""[\s\S]*?"""|#.*', "", text) for text in texts]
        + [re.sub(r"/\*[\s\S]*?\*/", "", path.read_text()) for path in package.glob("_native/**/*.[ch]")]
    )


@pytest.mark.parametrize("row", UNREACHABLE)
def test_nothing_calls_it(row):
    called = UNREACHABLE[row]
    if isinstance(called, str):
        return
    found = set(re.findall(r"\bwasm\w+", code()))
    assert len(found) > 200  # the search finds something
    assert not found & set(called)
