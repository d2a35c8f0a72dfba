"""The rules: what a step may do."""

from __future__ import annotations

import array
import contextlib
import copy
import gc
import io
import pathlib
import pickle
import random
import threading

import sources
from world import FUEL, LIMITS, MAKERS, Finalizer, World, maker, rule

import wasmtime_rt as w

try:
    import numpy as np
except ImportError:  # pragma: no cover
    np = None


# ---- Making


def _making(kind):
    def make(world, rng):
        world.keep(kind, MAKERS[kind](world, rng))

    make.__name__ = f"new_{kind}"
    return make


for _kind, _weight in {
    "engine": 1, "store": 4, "module": 3, "linker": 2, "instance": 6, "func": 4, "memory": 2, "shared": 1, "global": 2,
    "table": 2, "tag": 1, "exception": 1, "ref": 2, "view": 3, "typed": 2, "pre": 2, "blob": 1,
}.items():  # fmt: skip
    rule(_weight)(_making(_kind))


def _wasi(world, rng):
    path = pathlib.Path(world.path())
    outputs = (None, path, world.host(rng), io.BytesIO())
    return w.WasiConfig(
        argv=["program", "x"],
        env={"A": "b"},
        stdin=rng.choice((None, b"some input")),
        stdout=rng.choice(outputs),
        stderr=rng.choice(outputs),
        preopens={"/": world.folder if rng.random() < 0.5 else w.rw(world.folder)},
    )


def _imports(world, rng, store, module):
    """Imports for a module: right ones most of the time."""
    chosen = {}
    for wanted in module.imports:
        kind = wanted.type
        if rng.random() < 0.05:
            item = world.anything(rng)
        elif isinstance(kind, w.WasmFuncType):
            item = world.host(rng, kind)
            if rng.random() < 0.4:
                item = w.WasmFunc(store, item, kind)
        elif isinstance(kind, w.WasmMemoryType):
            item = world.pick("shared", rng) if kind.shared else w.WasmMemory(store, kind)
        elif isinstance(kind, w.WasmGlobalType):
            item = w.WasmGlobal(store, kind, world.value(kind.content, rng))
        elif isinstance(kind, w.WasmTableType):
            item = w.WasmTable(store, kind, None)
        else:
            item = w.WasmTag(store, kind)
        chosen.setdefault(wanted.module, {})[wanted.name] = item
    if rng.random() < 0.2:
        return [item for items in chosen.values() for item in items.values()]
    return chosen


World.wasi, World.imports = _wasi, _imports


# ---- Engines and modules


@rule()
def tick(world, rng):
    world.pick("engine", rng).increment_epoch()


@rule(2)
def wrong_source(world, rng):
    engine, source = world.pick("engine", rng), rng.choice(sources.WRONG)
    if rng.random() < 0.5:
        data = bytearray(w.wat2wasm(sources.SOURCES[rng.choice(list(sources.SOURCES))]))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        source = data[: rng.choice((len(data), rng.randrange(len(data))))]
    rng.choice((w.WasmModule, w.WasmModule.validate, w.WasmModule.is_valid))(engine, source)


@rule(2)
def load(world, rng):
    blob, engine = world.pick("blob", rng), world.pick("engine", rng)
    if rng.random() < 0.3:
        blob = bytearray(blob)
        for _ in range(rng.randrange(1, 4)):
            blob[rng.randrange(len(blob))] ^= 1 << rng.randrange(8)
        del blob[rng.choice((len(blob), rng.randrange(len(blob)))) :]
    if rng.random() < 0.5:
        world.keep("module", w.WasmModule.deserialize(engine, blob))
    else:
        path = pathlib.Path(world.path("blob"))
        path.write_bytes(blob)
        world.keep("module", w.WasmModule.deserialize_file(engine, path))


@rule()
def look_at_module(world, rng):
    module = world.pick("module", rng)
    str(module.imports), str(module.exports), module.engine, module.image_range


# ---- Instances and linkers


@rule(4)
def instantiate(world, rng):
    module, store = world.pick("module", rng), world.pick("store", rng)
    if rng.random() < 0.8 and module.engine is not store.engine:
        store = world.keep("store", w.WasmStore(module.engine, limits=LIMITS))
        if module.engine.config.consume_fuel:
            store.set_fuel(FUEL)
    make = rng.choice((w.WasmInstance, w.instantiate))
    world.keep("instance", make(store, module, world.imports(rng, store, module)))


@rule(3)
def link(world, rng):
    linker, module = world.pick("linker", rng), world.pick("module", rng)
    if module.engine is not linker.engine:
        module = w.WasmModule(
            linker.engine, sources.SOURCES[rng.choice(("hosted", "wasi", "plain", "start"))]
        )
    store = w.WasmStore(linker.engine, limits=LIMITS) if rng.random() < 0.7 else world.pick("store", rng)
    world.keep("store", store)
    world.keep("instance", linker.instantiate(store, module))


@rule(2)
def instantiate_prepared(world, rng):
    pre = world.pick("pre", rng)
    store = pre.store or world.keep("store", w.WasmStore(pre.engine, limits=LIMITS))
    if rng.random() < 0.2:
        store = world.pick("store", rng)
    world.keep("instance", pre.instantiate(store))


@rule(3)
def define(world, rng):
    linker, store, module = world.pick("linker", rng), world.pick("store", rng), world.pick("module", rng)
    if rng.random() < 0.7:
        store = world.keep("store", w.WasmStore(linker.engine, limits=LIMITS))
        module = w.WasmModule(
            linker.engine, rng.choice((sources.REACTOR, sources.PLAIN, sources.HOSTED, sources.WASI))
        )
    name = rng.choice(("env", "m", "wasi_snapshot_preview1", ""))
    case = rng.randrange(9)
    if case == 0:
        linker.define_module(store, name, module)
    elif case == 1:
        linker.define_instance(name, world.pick("instance", rng))
    elif case == 2:
        linker.define_wasi()
    elif case == 3:
        linker.define_unknown_imports_as_traps(module)
    elif case == 4:
        linker.define_unknown_imports_as_default_values(store, module)
    elif case == 5:
        linker.alias_module(name, rng.choice(("env", "m", "x")))
    elif case == 6:
        linker.alias(name, "number", "m", "number")
    elif case == 7:
        linker.allow_shadowing = rng.random() < 0.7
    else:
        linker.define(name, rng.choice(("number", "memory", "table", "tag", "x")), world.any_item(rng))


@rule()
def find(world, rng):
    linker, store = world.pick("linker", rng), world.pick("store", rng)
    if rng.random() < 0.7:
        store = w.WasmStore(linker.engine, limits=LIMITS)
        world.keep("func", linker.get_default(store, "x"))
        linker.define("env", "typed", world.host(rng), w.WasmFuncType(["i32"]))
        world.keep("func", linker.get(store, "env", "typed"))
    world.attempt("get", linker.get, store, rng.choice(("env", "m")), "number")
    linker.get_default(store, rng.choice(("env", "m")))


@rule()
def prepare(world, rng):
    linker, module = world.pick("linker", rng), world.pick("module", rng)
    if module.engine is not linker.engine and rng.random() < 0.7:
        module = w.WasmModule(
            linker.engine, sources.SOURCES[rng.choice(("hosted", "wasi", "plain", "reactor"))]
        )
    world.keep("pre", linker.prepare(module))


_KINDS = {
    w.WasmFunc: "func", w.WasmMemory: "memory", w.WasmGlobal: "global", w.WasmTable: "table", w.WasmTag: "tag",
    w.WasmSharedMemory: "shared", w.WasmStruct: "ref", w.WasmArray: "ref", w.WasmExternalized: "ref",
    w.WasmException: "exception",
}  # fmt: skip


def _note(world, value):
    """Put what came out of a call into its pool."""
    for item in value if isinstance(value, tuple) else (value,):
        kind = _KINDS.get(type(item))
        if kind is not None:
            world.keep(kind, item)


@rule(8)
def take_exports(world, rng):
    instance = world.pick("instance", rng)
    names = list(instance.exports)
    for name in rng.choices(names, k=min(4, len(names))):
        _note(world, instance.exports[name])
    for get in (
        instance.get_export,
        instance.get_func,
        instance.get_memory,
        instance.get_global,
        instance.get_table,
    ):
        world.attempt("get", get, rng.choice(names))


# ---- Calling


def _refill(func):
    if func.store.is_valid and func.store.engine.config.consume_fuel:
        func.store.set_fuel(FUEL)


@rule(30)
def call(world, rng):
    func = world.pick(rng.choice(("func", "func", "func", "typed")), rng)
    plain = func.func if isinstance(func, w.TypedFunc) else func
    if rng.random() < 0.7:
        world.attempt("refill", _refill, plain)
    args = [world.value(valtype, rng) for valtype in plain.type.params]
    if rng.random() < 0.03:
        args = args[1:] if rng.random() < 0.5 else [*args, 1]
    if rng.random() < 0.2:
        returned = plain.call_values(*args)
        world.check("call_values", len(returned) == len(plain.type.results))
        _note(world, tuple(value.value for value in returned))
    else:
        _note(world, func(*args))


@rule(6)
def call_by_name(world, rng):
    instance = world.pick("instance", rng)
    names = [name for name in instance.exports if isinstance(instance.exports[name], w.WasmFunc)]
    name = rng.choice(names)
    types = instance.exports[name].type.params
    _note(world, instance.call(name, *(world.value(valtype, rng) for valtype in types)))


@rule(3)
def call_that_must_be_right(world, rng):
    """Sums stay right whatever happened before."""
    instance = world.healthy("instance", rng)
    if "add" not in instance.exports or "swap" not in instance.exports:
        return
    a, b = rng.randrange(2**30), rng.randrange(2**30)
    try:
        world.attempt("refill", _refill, instance.exports.add)
        got = instance.exports.add(a, b), instance.exports.swap(a, -b)
    except (w.MisuseError, w.WasmTrap) as raised:  # closed, busy, or out of fuel, stack or time
        if isinstance(raised, w.WasmTrap):
            codes = w.TrapCode.OUT_OF_FUEL, w.TrapCode.STACK_OVERFLOW, w.TrapCode.INTERRUPT
            world.check("add", raised.code in codes)
        raise
    world.check("add", got == (a + b, (-b, a)))


@rule(4)
def map_columns(world, rng):
    func = world.pick("func", rng)
    rows, columns = rng.randrange(1, 30), []
    codes = {"i32": "i", "i64": "q", "f32": "f", "f64": "d"}
    for valtype in func.type.params:
        if valtype.kind in codes and rng.random() < 0.7:
            column = array.array(codes[valtype.kind], [rng.randrange(9)] * rows)
            if np is not None and rng.random() < 0.3:
                column = np.array(column)
            columns.append(column)
        elif rng.random() < 0.1 and world.pools.get("view"):
            columns.append(world.pick("view", rng))
        else:
            columns.append(world.value(valtype, rng))
    out = None
    if rng.random() < 0.2 and len(func.type.results) == 1:
        out = rng.choice((array.array("i", [0] * rows), world.anything(rng)))
    world.attempt("refill", _refill, func)
    func.map(*columns, out=out)


# ---- Memories


@rule(8)
def use_memory(world, rng):
    memory = world.pick(rng.choice(("memory", "memory", "shared")), rng)
    size = memory.data_size
    world.check("size", size == len(memory) or threading.active_count() > 1 or not memory.is_valid)
    at, count = rng.randrange(size + 1), rng.randrange(40)
    offset = rng.choice((at, at, at, size, size - count, world.number(rng)))
    data = rng.randbytes(count)
    case = rng.randrange(8)
    if case == 0:
        memory.write(offset, data)
        if offset + count <= size and threading.active_count() == 1:
            world.check("read", memory.read(offset, count) == data)
    elif case == 1:
        memory.read(offset, rng.choice((count, world.number(rng))))
    elif case == 2:
        kind = rng.choice(("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"))
        getattr(memory, f"write_{kind}")(offset, world.number(rng))
        getattr(memory, f"read_{kind}")(offset)
    elif case == 3:
        memory.write_cstring(offset, "text")
        memory.read_cstring(offset, rng.choice((None, 3)))
        memory.write_utf8(offset, "täxt")
        memory.read_utf8(offset, 5)
    elif case == 4:
        memory[offset : offset + count] = data
        memory[offset], memory[-1], memory[offset : offset + count : 2]
    elif case == 5:
        memory[offset] = rng.choice((5, 256, -1, "x"))
    elif case == 6:
        memory.grow(rng.choice((0, 1, 1, 2, world.number(rng))))
    else:
        memory.is_pinned if isinstance(memory, w.WasmMemory) else memory.engine
        memory.write(offset, world.pick("view", rng)[:100])


@rule(6)
def use_view(world, rng):
    view = world.pick("view", rng)
    length = len(view)
    if length:
        at = rng.randrange(length)
        view[at] = view[at]
        view[-1], view[0]
    part = view[rng.randrange(length + 1) :]
    case = rng.randrange(5)
    if case == 0:
        world.keep("view", part)
    elif case == 1:
        view.release()
    elif case == 2 and np is not None:
        world.keep("array", np.frombuffer(view, np.uint8))
    elif case == 3:
        bytes(part[:100]), part.tolist()[:5] if length < 5000 else None
    else:
        memoryview(world.pick("memory", rng))


@maker("array")
def _array(world, rng):
    return np.frombuffer(world.pick("memory", rng), np.uint8) if np is not None else None


@rule(2)
def use_array(world, rng):
    found = world.pick("array", rng)
    if found is not None and len(found):
        found[rng.randrange(len(found))] += 1
        int(found[:1000].sum())


# ---- Tables, globals, references


@rule(6)
def use_table(world, rng):
    table = world.pick("table", rng)
    element, size = table.type.element, len(table)
    index = rng.choice((rng.randrange(size + 1), world.number(rng)))
    case = rng.randrange(6)
    if case == 0:
        table[index] = world.value(element, rng)
    elif case == 1:
        _note(world, table[index])
    elif case == 2:
        table.grow(rng.choice((0, 1, 3, world.number(rng))), world.value(element, rng))
    elif case == 3:
        list(table), table[:5]
    elif case == 4:
        list(table).count(world.any_item(rng)), table.__contains__(world.any_item(rng))
    else:
        str(table.type), table.size


@rule(5)
def use_global(world, rng):
    item = world.pick("global", rng)
    if rng.random() < 0.5:
        item.value = world.value(item.type.content, rng)
    _note(world, item.value)
    item.get_value()


@rule(6)
def use_ref(world, rng):
    ref = world.pick("ref", rng)
    case = rng.randrange(5)
    if isinstance(ref, w.WasmExternalized):
        _note(world, ref.value)
        return
    index = rng.choice((0, 1, -1, world.number(rng)))
    if case == 0:
        _note(world, ref[index])
    elif case == 1:
        field = ref.element if isinstance(ref, w.WasmArray) else ref.fields[index]
        ref[index] = world.value(field.unpacked, rng)
    elif case == 2:
        list(ref), len(ref)
    elif case == 3:
        ref.matches(world.pick("ref", rng).type)
        ref == world.pick("ref", rng), hash(ref)
    else:
        kind = type(ref)
        world.keep("ref", kind(world.pick("store", rng), ref.type, list(world.pick("ref", rng))))


@rule(2)
def use_type(world, rng):
    """What a module says of the types that it defines, asked for what they are and for what they are not."""
    module, types = world.pick("module", rng), []
    for item in (*module.imports, *module.exports):
        kind = getattr(item.type, "func", item.type)
        if isinstance(kind, w.WasmFuncType):
            types += [*kind.params, *kind.results]
        else:
            types += [found for name in ("content", "element") if (found := getattr(kind, name, None))]
    heaps = [valtype.heap for valtype in types if isinstance(valtype.heap, w.DefinedType)]
    if rng.random() < 0.3 or not heaps:
        heaps = [world.pick("ref", rng).type.heap]
    heap = rng.choice(heaps)
    repr(heap), hash(heap), w.WasmValType.ref(heap).matches(w.WasmValType.ref(rng.choice(heaps)))
    if isinstance(heap, w.DefinedType):
        world.keep("definedtype", heap)
    getattr(heap, rng.choice(("kind", "fields", "element", "func", "describe")))


@rule(2)
def use_exception(world, rng):
    exception = world.pick("exception", rng)
    str(exception), exception.tag, exception.payload, exception.frames
    if rng.random() < 0.5:
        raise exception


# ---- Stores


@rule(5)
def use_store(world, rng):
    store = world.pick("store", rng)
    case = rng.randrange(9)
    if case == 0:
        store.set_fuel(rng.choice((0, 100, FUEL, -1, 2**64, None)))
    elif case == 1:
        store.add_fuel(rng.choice((0, 100, FUEL)))
    elif case == 2:
        store.fuel, store.fuel_consumed
    elif case == 3:
        store.set_epoch_deadline(rng.choice((0, 1, 1000, 2**63, 2**64 - 1, -1, 2**64)))
    elif case == 4:
        store.set_wasi(world.wasi(rng))
    elif case == 5:
        store.data = world.any_item(rng)
    elif case == 6:
        with store.profile(world.path("profile"), interval=0.001) as profile:
            world.inner(rng)
            profile.samples
    else:
        store.gc()


# ---- Time


def _spinning(world, rng):
    """A function that never ends, in a store that it can be stopped in."""
    engine = world.healthy("engine", rng)
    if not engine.config.epoch_interruption:
        engine = world.keep("engine", w.WasmEngine(w.WasmConfig(epoch_interruption=True)))
    store = w.WasmStore(engine, limits=LIMITS)
    if engine.config.consume_fuel:
        store.set_fuel(2**63)
    return w.WasmInstance(store, w.WasmModule(engine, sources.SPIN)).exports.spin


@rule(2)
def limited_time(world, rng):
    spin, seconds = _spinning(world, rng), rng.choice((0, 0.001, 0.02))
    world.keep("store", spin.store)
    try:
        if rng.random() < 0.5:
            spin(timeout=seconds)
        else:
            with spin.store.deadline(seconds), spin.store.deadline(rng.choice((0.01, 5))):
                world.inner(rng)
                spin()
    except w.WasmTimeout as late:
        world.check("timeout", late.elapsed >= 0 and late.code is w.TrapCode.INTERRUPT)
    except (w.MisuseError, w.WasmTrap):
        raise
    else:
        world.check("the call did not end by itself", False)
    finally:
        world.attempt("refill", _refill, spin)  # what others call in that store is to end


@rule(2)
def interrupt(world, rng):
    """Another thread ends a call, over and over: where none runs, it does nothing."""
    spin, over = _spinning(world, rng), threading.Event()

    def run():
        while not over.wait(0.005):
            world.attempt("interrupt", spin.store.interrupt)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        spin(timeout=60)
    finally:
        over.set()
        thread.join()


@rule()
def interrupt_anything(world, rng):
    world.pick("store", rng).interrupt()


@rule(2)
def deadline(world, rng):
    with world.pick("store", rng).deadline(
        rng.choice((0, 0.001, 1, 100, 1e300, float("inf"), -1, float("nan")))
    ) as limit:
        world.inner(rng)
        limit.elapsed, repr(limit)


# ---- Callers, bytes, sandboxes


@rule(2)
def callers(world, rng):
    store = world.healthy("store", rng)

    def host(caller, x):
        world.keep("caller", caller)
        with world.deeper():
            world.inner(rng)
        caller.store, caller.data
        world.attempt("caller", caller.get_memory)
        return caller.get_func("number")(x) if world.depth < 3 and rng.random() < 0.3 else x

    module = w.WasmModule(store.engine, sources.HOSTED)
    nothing = {"object": lambda x: x, "nothing": lambda: None, "several": lambda a, b: (1.5, 2)}
    instance = w.WasmInstance(store, module, {"env": {"number": w.with_caller(host), **nothing}})
    world.keep("instance", instance).exports.number(7)


@rule(2)
def use_caller(world, rng):
    caller = world.pick("caller", rng)
    world.attempt("repr", repr, caller)
    for name in ("store", "data"):
        world.attempt("caller", getattr, caller, name)
    caller.get_export(rng.choice(("memory", "number", "x")))


@maker("caller")
def _caller(world, rng):
    kept = []
    w.WasmFunc(world.healthy("store", rng), w.with_caller(kept.append), w.WasmFuncType())()
    return kept[0]


@maker("bytes")
def _bytes(world, rng):
    store = world.healthy("store", rng)
    return w.ByteCaller(w.WasmInstance(store, w.WasmModule(store.engine, sources.BYTES)))


@rule(2)
def call_with_bytes(world, rng):
    caller, returns = (
        world.pick("bytes", rng),
        rng.choice(("packed", "packed_length_first", "pair", "cstring", "value", "x")),
    )
    caller.call(rng.choice(("echo", "wild", "two", "x")), rng.randbytes(rng.randrange(50)), returns=returns)


@maker("sandbox")
def _sandbox(world, rng):
    source = rng.choice((sources.WASI, sources.REACTOR, sources.PLAIN, sources.BYTES))
    return w.Sandbox(
        source.encode(), timeout=rng.choice((None, 5)), fuel=rng.choice((None, FUEL)), cache=False
    )


@maker("program")
def _program(world, rng):
    stdout = rng.choice(("capture", "null", world.host(rng)))
    return world.healthy("sandbox", rng).start(stdin=b"some input", stdout=stdout, mounts={"/": world.folder})


@maker("sandbox_pool")
def _sandbox_pool(world, rng):
    return world.healthy("sandbox", rng).pool(
        max_idle=rng.randrange(3),
        max_uses=rng.choice((None, 2)),
        stdout=rng.choice(("capture", world.host(rng))),
    )


@rule(2)
def take_program(world, rng):
    world.keep("program", world.pick("sandbox_pool", rng).take())


@rule()
def use_pool(world, rng):
    with world.pick("sandbox_pool", rng).take() as program:
        name, item = rng.choice(list(program.exports.items()))
        world.keep("program", program)
        if isinstance(item, w.WasmFunc):
            program.call(name, *(world.value(valtype, rng) for valtype in item.type.params))
    world.check("ended", not program.is_valid)


@rule(2)
def run_program(world, rng):
    if rng.random() < 0.3:
        repr(world.pick("sandbox", rng).run(stdin=b"x"))
    program = world.pick("program", rng)
    names = [name for name, item in program.exports.items() if isinstance(item, w.WasmFunc)]
    func = program.exports[rng.choice(names)]
    program.call(
        func.name,
        *(world.value(valtype, rng) for valtype in func.type.params),
        timeout=rng.choice((None, 0, 5)),
    )
    repr(program.result)


# ---- Ends


@rule(3)
def close(world, rng):
    item = world.any_item(rng)
    if hasattr(item, "close"):
        item.close()
        world.check("closed", isinstance(item, (io.IOBase, memoryview)) or not item.is_valid)
        item.close()


@rule(2)
def leave_block(world, rng):
    item = world.pick(rng.choice(("store", "engine", "module", "instance", "func", "linker", "memory")), rng)
    with item:
        world.inner(rng)


@rule(4)
def forget(world, rng):
    kinds = list(world.pools)
    kind = rng.choice(kinds)
    pool = world.pools[kind]
    if rng.random() < 0.2:
        pool.clear()
    else:
        del pool[rng.randrange(len(pool))]


@rule(2)
def collect(world, rng):
    gc.collect(rng.randrange(3))


@rule()
def circle(world, rng):
    """Everything that holds something holds something that holds it."""
    store = world.healthy("store", rng)
    functype = w.WasmFuncType(["externref"], ["externref"])
    func = w.WasmFunc(store, lambda item, _store=store: item, functype)
    table = w.WasmTable(store, w.WasmTableType("externref", 3), [store, func])
    table[1] = table
    store.data = [table, Finalizer(world, rng) if rng.random() < 0.3 else func]
    func(store)


@rule()
def finalizer(world, rng):
    world.keep("finalizer", Finalizer(world, rng))


@rule(2)
def on_another_thread(world, rng):
    """The same world on another thread, inside of whatever runs here."""
    seed = rng.getrandbits(40)

    def run():
        with world.deeper(), world.deeper():
            world.inner(random.Random(seed), most=4)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


# ---- Python's own protocols


@rule(5)
def copies(world, rng):
    item = world.any_item(rng)
    if isinstance(item, (w.WasmStore, Finalizer)) or callable(getattr(item, "func", None)):
        item = world.pick("module", rng)
    case = rng.randrange(3)
    if case == 0:
        made = copy.copy(item)
    elif case == 1:
        made = copy.deepcopy(item)
    else:
        made = pickle.loads(pickle.dumps(item))
    if isinstance(made, w.WasmModule):
        world.keep("module", made)
    elif isinstance(made, w.WasmEngine):
        world.keep("engine", made)


@rule(4)
def protocols(world, rng):
    item, other = world.any_item(rng), world.any_item(rng)
    for use in (repr, str, hash, dir, lambda item: item == other, lambda item: item != other, bool):
        world.attempt("protocol", use, item)
    if not isinstance(item, (memoryview, bytes)) and not hasattr(item, "dtype"):
        for use in (len, iter, lambda item: item[0], lambda item: vars(item), lambda item: item < other):
            world.attempt("protocol", use, item)


@rule(2)
def begin_again(world, rng):
    item = world.any_item(rng)
    if isinstance(item, (w.WasmtimeResource, w.WasmRef)):
        kind = type(item)
        world.attempt(
            "second __init__", item.__init__, *(world.any_item(rng) for _ in range(rng.randrange(4)))
        )
        bare = kind.__new__(kind)
        for name in rng.choices([name for name in dir(kind) if not name.startswith("_")], k=3):
            world.attempt("bare", lambda name=name: _use(world, bare, name, rng))
        world.attempt("bare", repr, bare)
        if rng.random() < 0.3 and kind not in (w.WasmStore, w.WasmEngine):
            world.keep(rng.choice(list(world.pools)), bare)


def _use(world, item, name, rng):
    found = getattr(item, name)
    if callable(found):
        found(*(world.anything(rng) for _ in range(rng.randrange(3))))


@contextlib.contextmanager
def collecting(often):
    """Collect garbage at every chance, if ``often``."""
    before = gc.get_threshold()
    if often:
        gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
