"""A limit of a store that refuses at each step of what grows: what was there stays, and stays usable."""

STEPS = """
PAGE = 1 << 16
engine = w.WasmEngine()
grower = w.WasmModule(engine, '''(module (memory (export "m") 1) (table (export "t") 1 externref)
    (func (export "grow") (result i32) (memory.grow (i32.const 1)))
    (func (export "grow_table") (result i32) (table.grow (ref.null extern) (i32.const 1)))
    (func (export "put") (i32.store (i32.const 65532) (i32.const 7)))
    (func (export "got") (result i32) (i32.load (i32.const 65532))))''')
"""


def test_memories_and_tables(script):
    script(
        STEPS
        + """
for most in range(0, 9):
    store = w.WasmStore(engine, limits=w.StoreLimits(memory_size=most * PAGE))
    if most == 0:
        refused("no page", w.WasmtimeError, w.WasmInstance, store, grower)
        check("the store lives", w.WasmInstance(store, w.WasmModule(engine, '(module (memory (export "m") 0))')).exports.m.size == 0)
        continue
    e = w.WasmInstance(store, grower).exports
    e.put()
    grown = [e.grow() for _ in range(10)]
    check(f"{most} pages by the guest", grown == [*range(1, most), *[-1] * (11 - most)] and e.m.size == most)
    refused(f"{most} pages from here", w.WasmtimeError, e.m.grow, 1)
    check(f"{most}: what was there", e.got() == 7 and e.m.size == most and e.m.grow(0) == most)
for most in range(0, 9):
    store = w.WasmStore(engine, limits=w.StoreLimits(table_elements=most))
    if most == 0:
        refused("no element", w.WasmtimeError, w.WasmInstance, store, grower)
        continue
    e = w.WasmInstance(store, grower).exports
    e.t[0] = "kept"
    grown = [e.grow_table() for _ in range(10)]
    check(f"{most} elements by the guest", grown == [*range(1, most), *[-1] * (11 - most)] and len(e.t) == most)
    refused(f"{most} elements from here", w.WasmtimeError, e.t.grow, 1, "more")
    check(f"{most}: what was there", e.t[0] == "kept" and len(e.t) == most)
"""
    )


def test_counts_of_what_a_store_has(script):
    script(
        STEPS
        + """
pair = w.WasmModule(engine, '(module (memory 1) (memory 1) (table 1 funcref) (table 1 funcref) (table 1 funcref) (func (export "f") (result i32) (i32.const 5)))')
each = {"instances": 1, "memories": 2, "tables": 3}
for name, takes in each.items():
    for most in range(0, 8):
        store = w.WasmStore(engine, limits=w.StoreLimits(**{name: most}))
        made = []
        for _ in range(10):
            instance = allowed(f"{name} {most}", w.WasmInstance, store, pair)
            if isinstance(instance, w.WasmtimeError):
                break
            made.append(instance)
        check(f"{most} {name}: {len(made)}", len(made) == most // takes)
        check(f"{most} {name} work on", all(instance.exports.f() == 5 for instance in made))
        prepared = w.WasmLinker(engine).prepare(pair)
        refused(f"{most} {name}, prepared", w.WasmtimeError, prepared.instantiate, store)
"""
    )


def test_heaps_of_references(script):
    script(
        STEPS
        + """
kind = w.WasmStruct.new_type(engine, [w.WasmFieldType("externref"), w.WasmFieldType("i64", mutable=True)])
for pages in range(0, 6):
    store = w.WasmStore(engine, limits=w.StoreLimits(memory_size=pages * PAGE))
    def fill():
        made = []
        for n in range(20_000):
            try:
                made.append(w.WasmStruct(store, kind, [None, n]))
            except w.WasmtimeError:
                break
        check(f"{pages}: all that was made", [struct[1] for struct in made] == [*range(len(made))])
        return len(made)
    first = fill()
    check(f"{pages}: {first}", first < 20_000 and (first > 0) == (pages > 0))
    gc.collect()
    store.gc()
    second = fill()
    check(f"{pages}: as many again, {first} and {second}", second >= first * 0.9)
    check(f"{pages}: objects", pages == 0 or w.WasmTable(store, w.WasmTableType("externref", 1), "x")[0] == "x")
    del store
"""
    )
