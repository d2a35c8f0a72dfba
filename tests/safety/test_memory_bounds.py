"""Sizes, bounds, growth, and views that outlive things."""


def test_access_outside_never_reaches_memory(script):
    script(
        r"""
engine = w.WasmEngine()
store = w.WasmStore(engine)
memory = w.WasmMemory(store, w.WasmMemoryType(1))
SIZE = 65536
edges = [-(2**70), -(2**63), -SIZE - 1, -1, 0, 1, SIZE - 8, SIZE - 1, SIZE, SIZE + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
         2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**100]
for offset in edges:
    for length in edges:
        inside = 0 <= offset and 0 <= length and offset + length <= SIZE
        if inside:
            check("read", len(memory.read(offset, length)) == length)
        else:
            refused(f"read {offset} {length}", IndexError, memory.read, offset, length)
            refused(f"utf8 {offset} {length}", IndexError, memory.read_utf8, offset, length)
        allowed(f"cstring {offset} {length}", memory.read_cstring, offset, length)
        check(f"slice {offset} {length}", memory[offset:length] == memory.read(0, SIZE)[offset:length])
    for length in (0, 1, 7, 8, 9):
        if 0 <= offset and offset + length <= SIZE:
            check("write", memory.write(offset, b"\1" * length) == length)
        else:
            refused(f"write {offset} {length}", IndexError, memory.write, offset, b"x" * length)
    for kind in ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"):
        width = int(kind[1:]) // 8
        for name, arguments in ((f"read_{kind}", (offset,)), (f"write_{kind}", (offset, 1))):
            if 0 <= offset and offset + width <= SIZE:
                getattr(memory, name)(*arguments)
            else:
                refused(f"{name} {offset}", IndexError, getattr(memory, name), *arguments)
    refused("item", IndexError, lambda: memory[offset]) if not -SIZE <= offset < SIZE else memory[offset]
    allowed("item", memory.__setitem__, offset, 1)
    allowed("slice", memory.__setitem__, slice(offset, None), b"x")
    allowed("slice", lambda: memory[offset:None:-3])
for data in (None, 5, "x", [1], object(), 1.5):
    refused("data", TypeError, memory.write, 0, data)
import array, ctypes
for data in (array.array("d", [1, 2]), ctypes.c_int(5), memoryview(b"abcdef")[::-2], memoryview(b"abcdef").cast("B", (2, 3)),
             memoryview(ctypes.c_int(7)), memory.view()[5:10], bytearray(), memoryview(b"")):
    check("buffers", memory.write(0, data) == memoryview(data).nbytes)
memory.write(3, memory.view()[0:65533])
check("within itself", memory.read(3, 5) == memory.read(3, 5))
"""
    )


def test_memories_of_any_size(script):
    script(
        r"""
engine = w.WasmEngine()
store = w.WasmStore(engine)
counts = [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 2**24, 2**32 - 1, 2**32, 2**47, 2**48 - 1, 2**48, 2**48 + 1, 2**63, 2**64 - 1, 2**64]
made = 0
for least in counts:
    for most in (None, *counts):
        for options in ({}, {"is64": True}, {"shared": True}, {"page_size": 1}, {"is64": True, "page_size": 1}):
            memory_type = allowed("type", lambda: w.WasmMemoryType(least, most, **options))
            if isinstance(memory_type, Exception):
                continue
            memory = allowed(str(memory_type), w.WasmMemory, store, memory_type)
            if isinstance(memory, Exception):
                continue
            made += 1
            refused("grow", ValueError, memory.grow, -1)
            for pages in (2**48, 2**63, 2**64 - 1, 2**64, 2**100):
                refused(f"{memory_type} grow {pages}", w.WasmtimeError, memory.grow, pages)
            for pages in (0, 1, 2**16):
                if memory.is_pinned or memory.size + pages < 2**16:  # what moves is copied
                    allowed("grow", memory.grow, pages)
            size = memory.data_size
            refused("beyond", IndexError, memory.read, size, 1)
            refused("beyond", IndexError, memory.write, size, b"x")
            if memory.is_pinned:
                view = memory.view()
                if size:
                    view[size - 1] = 9
                    check("last byte", memory.read_u8(size - 1) == 9)
                del view
            else:
                refused("view", w.MemoryViewError, memory.view)
            store.close()
            store = w.WasmStore(engine)
check("some were made", made > 10)
for text in ("(memory 65537)", "(memory i64 281474976710657)", "(memory i64 0 281474976710656)", "(memory i64 281474976710656)",
             "(memory 1 1 shared)", "(memory 1 (pagesize 1))", "(memory 65536 65536)"):
    allowed(text, lambda: w.WasmInstance(store, w.WasmModule(engine, f"(module {text})")))
"""
    )


def test_tables_of_any_size(script):
    script(
        r"""
import resource
engine = w.WasmEngine()
store = w.WasmStore(engine)
module = w.WasmModule(engine, '''(module (table (export "t") i64 1 funcref) (table (export "u") 1 externref)
    (func (export "g") (param i64) (result i64) (table.grow 0 (ref.null func) (local.get 0)))
    (func (export "h") (param i32) (result i32) (table.grow 1 (ref.null extern) (local.get 0))))''')
exports = w.WasmInstance(store, module).exports
held = w.WasmTable(store, w.WasmTableType("externref", 1), object())
# nothing here may take the machine's memory: what would be granted is refused
limit = (address_space() + 2000) << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
huge = (2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**61, 2**62, 2**63, 2**64 - 1, 2**64, 2**100)
for kind in ("funcref", "externref", "anyref", "exnref", "nullref"):
    for count in huge:
        refused(f"{kind} {count}", (w.WasmtimeError, ValueError), lambda: w.WasmTable(store, w.WasmTableType(kind, count)))
        wide = lambda: w.WasmTable(store, w.WasmTableType(kind, count, None, True))
        refused(f"{kind} {count} of 64 bits", (w.WasmtimeError, ValueError), wide)
    check("64 bits", len(w.WasmTable(store, w.WasmTableType(kind, 1, None, True))) == 1)
    table = w.WasmTable(store, w.WasmTableType(kind, 1))
    check("grow 0", table.grow(0) == 1)
    for count in (*huge, -1, -(2**64)):
        refused(f"{kind} grow {count}", (w.WasmtimeError, ValueError), table.grow, count)
    for index in (1, -2, 2**31, 2**32, 2**63, 2**64, 2**100):
        refused("get", IndexError, lambda: table[index])
        refused("set", IndexError, table.__setitem__, index, None)
    check("size", table.size == len(table) == 1 and table[0:2**70] == [None] and table[-(2**70):] == [None])
for count in huge:
    if count < 2**64:
        check(f"guest grows i64 by {count}", allowed("grow", exports.g, count) != 1)
        refused("grow i64", w.WasmtimeError, exports.t.grow, count)
for count in (2**31, 2**32 - 2, 2**32 - 1):
    check(f"guest grows by {count}", allowed("grow", exports.h, count) != 1)
for text in ("(table 4294967295 funcref)", "(table 10000001 funcref)", "(table i64 18446744073709551615 funcref)",
             "(table i64 1 18446744073709551615 funcref)", "(table 1 4294967295 externref)"):
    allowed(text, lambda: w.WasmInstance(store, w.WasmModule(engine, f"(module {text})")))
wide = '(module (import "" "" (table i64 18446744073709551615 18446744073709551615 funcref)))'
check("limits", w.WasmModule(engine, wide).imports[0].type.min == 2**64 - 1)
refused("import", w.LinkError, w.WasmInstance, store, w.WasmModule(engine, wide), [exports.t])
"""
    )


def test_views_while_the_guest_grows(script):
    script(
        r"""
engine = w.WasmEngine()
store = w.WasmStore(engine)
module = w.WasmModule(engine, '''(module (import "" "h" (func $h))
    (memory (export "a") i64 1) (memory (export "b") i64 1 65536) (memory (export "c") i64 1 65537)
    (memory (export "d") 1) (memory (export "e") 3 3) (memory (export "f") i64 70000 70000) (memory (export "z") 0 0)
    (func (export "grow")
      (drop (memory.grow 0 (i64.const 70000))) (drop (memory.grow 1 (i64.const 65535)))
      (drop (memory.grow 2 (i64.const 65536))) (drop (memory.grow 3 (i32.const 65535)))
      (i32.store8 3 (i32.const 8) (i32.const 9)) (i32.store8 1 (i64.const 8) (i32.const 9))
      (call $h)))''')
views = {}
def host():
    for name, view in views.items():
        check(f"{name}: moved", view[7] == exports[name].read_u8(7) == 42)
    check("what the guest wrote", views["b"][8] == views["d"][8] == 9)
exports = w.WasmInstance(store, module, {"": {"h": host}}).exports
for name in "abcdefz":
    memory = exports[name]
    if name in "ac":
        refused(f"{name} may move", w.MemoryViewError, memory.view)
        memory.write_u8(7, 42)
        continue
    check(name, memory.is_pinned)
    view = memory.view()
    if name != "z":
        views[name] = view
        view[7] = 42
exports.grow()
host()
check("sizes", (exports.a.size, exports.b.size, exports.d.size) == (70001, 65536, 65536))
check("what moved is read where it is", exports.a.read_u8(7) == exports.c.read_u8(7) == 42)
check("the view keeps its length", len(views["d"]) == 65536 and len(exports.d.view()) == 2**32)
again = w.WasmInstance(store, w.WasmModule(engine, '''(module
    (import "" "a" (memory i64 1)) (import "" "b" (memory i64 1)) (export "a" (memory 0)) (export "b" (memory 1)))'''),
    {"": exports}).exports
refused("passed on", w.MemoryViewError, again.a.view)
allowed("passed on", again.b.view)
"""
    )


def test_address_space_that_runs_out(script):
    script(
        r"""
engine = w.WasmEngine()
module = w.WasmModule(engine, '(module (memory 1) (func (export "f")))')
collecting = w.WasmModule(engine, "(module (type $s (struct)) (func $f (drop (struct.new $s))) (start $f))")
held = []
def exhaust():
    while True:
        store = w.WasmStore(engine)
        held.append(store)
        for _ in range(9000):
            held.append(w.WasmMemory(store, w.WasmMemoryType(0)))
refused("memories", w.WasmtimeError, exhaust)
check("many", len(held) > 1000)
for label, use in {
    "instance": lambda: w.WasmInstance(w.WasmStore(engine), module),
    "memory": lambda: w.WasmMemory(w.WasmStore(engine), w.WasmMemoryType(1)),
    "externref": lambda: w.WasmTable(w.WasmStore(engine), w.WasmTableType("externref", 1), object()),
    "collector": lambda: w.WasmInstance(w.WasmStore(engine), collecting),
}.items():
    refused(label, w.WasmtimeError, use)
for label, use in {
    "compile": lambda: w.WasmModule(engine, "(module (func))"),
    "engine": w.WasmEngine,
    "func": lambda: w.WasmFunc(w.WasmStore(engine), lambda: 5, w.WasmFuncType([], ["i32"]))(),
}.items():
    allowed(label, use)
held.clear()
gc.collect()
w.WasmInstance(w.WasmStore(engine), module).exports.f()
"""
    )
