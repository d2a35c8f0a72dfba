"""Run a range of seeds of one kind in this process: ``worker.py KIND SEED COUNT``.

Each seed is printed before it runs, so that whoever started this knows which one ended the process. The last line
is a count of what happened. ``worker.py save KIND SEED FILE`` writes the bytes that a seed stands for.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import json
import os
import pickle
import random
import sys
import tempfile

import generate

import wasmtime_rt as w

MISUSE = (TypeError, ValueError, OverflowError, IndexError, KeyError)
FUEL = 20_000
LIMITS = w.StoreLimits(memory_size=8 << 20, table_elements=5000, instances=20, tables=40, memories=40)

counts: collections.Counter[str] = collections.Counter()


class HostError(Exception):
    """What host functions here raise."""


# ---- Engines: every proposal that there is a setting for is on


def takes(**settings):
    """Whether there are such settings."""
    try:
        w.WasmConfig(**settings)
    except TypeError:
        return False
    return True


# What is off by default.
WANTED = ("wasm_custom_page_sizes", "wasm_compact_imports", "wasm_branch_hinting")
# Not shared memories: WebAssembly could wait in one for ever, and no limit of a store holds for them.
PROPOSALS = {name: True for name in WANTED if takes(**{name: True})}
WITHOUT = tuple(
    proposal
    for proposal in ("custom-page-sizes", "compact-imports")
    if f"wasm_{proposal.replace('-', '_')}" not in PROPOSALS
)
POOLS = w.PoolingConfig(
    total_core_instances=20, total_memories=20, total_tables=40, total_stacks=1, total_gc_heaps=5,
    max_memories_per_module=5, max_tables_per_module=8, max_memory_size=1 << 24,
)  # fmt: skip
VARIANTS = (
    {},
    {"optimization_level": w.OptimizationLevel.NONE, "debug_info": True},
    {"epoch_interruption": True},
    {"memory_reservation": 0, "memory_guard_size": 0},
    {"signals_based_traps": False},
    {"cranelift_nan_canonicalization": True, "memory_init_cow": False},
    {"strategy": w.Strategy.WINCH},
    {"pooling_allocation_strategy": POOLS},
)
engines: dict[int, w.WasmEngine] = {}


def engine_for(rng):
    """One of a few engines, all with fuel."""
    variant = rng.randrange(len(VARIANTS)) if rng.random() < 0.5 else 0
    if not takes(**VARIANTS[variant]):
        variant = 0
    if variant not in engines:
        engines[variant] = w.WasmEngine(w.WasmConfig(consume_fuel=True, **PROPOSALS, **VARIANTS[variant]))
    return engines[variant]


# ---- Using


def attempt(label, function, *args, sure=lambda: True):
    """Call ``function``: if it raises, then one of our errors, or, of what may be misuse, a builtin one."""
    try:
        returned = function(*args)
    except (w.WasmtimeError, HostError) as raised:
        if not str(raised):
            raise
        counts[f"{label}: {type(raised).__name__}"] += 1
    except MISUSE as raised:
        if sure():
            raise
        counts[f"{label}: {type(raised).__name__}"] += 1
    else:
        counts[f"{label}: done"] += 1
        return returned
    return None


class World:
    """A store, what is in it, and the choices for it."""

    def __init__(self, rng, engine):
        self.rng, self.engine = rng, engine
        self.store = w.WasmStore(engine, limits=LIMITS)
        self.store.set_fuel(FUEL)
        self.pool, self.funcs = [], []
        self.unsure, self.calls, self.depth = False, 0, 0

    def attempt(self, label, function, *args, sure=True):
        """Like the function `attempt`; not sure either, once a host function has answered wrongly."""
        return attempt(label, function, *args, sure=lambda: sure and not self.unsure)

    def value(self, valtype):
        """A value of that type, as far as can be told, and whether it is for sure."""
        rng = self.rng
        if valtype.kind in {"i32", "i64"}:
            bits = int(valtype.kind[1:])
            edge = rng.choice((0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 2**bits - 1, 65536))
            return rng.choice((edge, rng.getrandbits(bits), rng.randrange(100))), True
        if valtype.kind in {"f32", "f64"}:
            edge = rng.choice((0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan"), 1e-45, 2.0**31))
            return rng.choice((edge, rng.uniform(-1000, 1000), rng.randrange(1000))), True
        if valtype.kind == "v128":
            return rng.randbytes(16), True
        if valtype.nullable and rng.random() < 0.4:
            return None, True
        if valtype.heap == "extern":
            return rng.choice(("text", 5, object(), [1], print)), True
        if valtype.heap == "func" and self.funcs:
            return rng.choice(self.funcs), True
        if self.pool and rng.random() < 0.7:
            return rng.choice(self.pool), False
        return (None, True) if valtype.nullable else (rng.choice((None, 7, "text")), False)

    def values(self, types):
        pairs = [self.value(valtype) for valtype in types]
        return [value for value, _ in pairs], all(sure for _, sure in pairs)

    def keep(self, value):
        """Have it at hand for where a reference is wanted."""
        if value is not None and not isinstance(value, (int, float, bytes)):
            self.pool.append(value)
            del self.pool[:-30]

    def host(self, func_type):
        """A host function of that type."""

        def called(*args):
            self.calls += 1
            for value in args:
                self.keep(value)
            self.check_results(args, func_type.params)
            if self.calls > 100 or self.rng.random() < 0.1:
                raise HostError("of the host")
            if self.funcs and self.depth < 3 and self.rng.random() < 0.2:
                self.call(self.rng.choice(self.funcs))
            values, sure = self.values(func_type.results)
            if not sure:
                if self.rng.random() < 0.8:
                    raise HostError("of the host")
                self.unsure = True
            return None if not values else values[0] if len(values) == 1 else tuple(values)

        return called

    def import_for(self, wanted):
        """Something of the type that is wanted, or ``None``."""
        kind, rng = wanted.type, self.rng
        if isinstance(kind, w.WasmFuncType):
            host = self.host(kind)
            return host if rng.random() < 0.7 else w.WasmFunc(self.store, host, kind)
        if isinstance(kind, w.WasmGlobalType):
            value, sure = self.value(kind.content)
            return self.attempt("new global", w.WasmGlobal, self.store, kind, value, sure=sure)
        if isinstance(kind, w.WasmTableType) and not kind.is64:
            value, sure = self.value(kind.element)
            return self.attempt("new table", w.WasmTable, self.store, kind, value, sure=sure)
        if isinstance(kind, w.WasmMemoryType):
            if kind.shared:
                return self.attempt("new shared memory", w.WasmSharedMemory, self.engine, kind)
            return self.attempt("new memory", w.WasmMemory, self.store, kind)
        return self.made_by_a_module(kind)

    def made_by_a_module(self, kind):
        """A tag or table of 64 bits, which Python cannot make: from a module, where its type is no module's own."""
        types = kind.func.params if isinstance(kind, w.WasmTagType) else (kind.element,)
        if any(isinstance(item.heap, w.DefinedType) for item in types):
            return None
        text = str(kind).replace(" ", ' (export "t") ', 1) if " " in str(kind) else '(tag (export "t"))'
        made = self.attempt("new module", w.WasmModule, self.engine, f"(module {text})")
        instance = made and self.attempt("new instance", w.WasmInstance, self.store, made)
        return instance and instance.exports.t

    # ---- Using what an instance exports

    def check_results(self, values, types):
        assert len(values) == len(types), (values, types)
        for value, valtype in zip(values, types, strict=True):
            if valtype.kind in {"i32", "i64"}:
                limit = 2 ** (int(valtype.kind[1:]) - 1)
                assert type(value) is int, value
                assert -limit <= value < limit, value
            elif valtype.kind in {"f32", "f64"}:
                assert type(value) is float, value
            elif valtype.kind == "v128":
                assert type(value) is bytes, value
                assert len(value) == 16
            else:
                assert value is not None or valtype.nullable, valtype
                repr(value)

    def call(self, func):
        """Call ``func`` with suitable arguments, or now and then with others."""
        self.depth += 1
        try:
            args, sure = self.values(func.type.params)
            if self.rng.random() < 0.1:
                args, sure = [*args, 1], False
            elif args and self.rng.random() < 0.1:
                args[self.rng.randrange(len(args))] = self.rng.choice((None, "x", 2**70, 1.5, object()))
                sure = False
            returned = self.attempt("call", lambda: (func(*args),), sure=sure)
            if returned is not None:
                results = func.type.results
                values = returned[0] if len(results) > 1 else () if not results else returned
                self.check_results(values, results)
                for value in values:
                    self.keep(value)
        finally:
            self.depth -= 1

    def use(self, item):
        rng = self.rng
        str(item.type), repr(item), hash(item)
        assert item == item
        if isinstance(item, w.WasmFunc):
            self.store.set_fuel(FUEL)
            self.call(item)
            if rng.random() < 0.2:
                args, sure = self.values(item.type.params)
                typed = self.attempt("typed", item.typed, item.type.params, item.type.results)
                if typed is not None:
                    self.attempt("typed call", typed, *args, sure=sure)
        elif isinstance(item, w.WasmGlobal):
            self.keep(item.value)
            item.get_value()
            value, sure = self.value(item.type.content)
            self.attempt("set global", setattr, item, "value", value, sure=sure)
        elif isinstance(item, w.WasmMemory):
            self.use_memory(item)
        elif isinstance(item, w.WasmTable):
            self.use_table(item)

    def use_memory(self, memory):
        rng, size = self.rng, memory.data_size
        assert size == memory.size * memory.type.page_size
        at = rng.randrange(size + 1)
        data = rng.randbytes(min(rng.randrange(20), size - at))
        memory.write(at, data)
        assert memory.read(at, len(data)) == memory[at : at + len(data)] == data
        for beyond in (size - at + 1, 2**64 - at):
            assert self.attempt("read beyond", memory.read, at, beyond, sure=False) is None
        self.attempt("view", lambda: memory.view().nbytes)
        self.attempt("grow memory", memory.grow, rng.choice((0, 1, 5, 2**20, 2**64 - 1, 2**70)), sure=False)
        assert memory.data_size >= size

    def use_table(self, table):
        rng, size = self.rng, len(table)
        for i in range(min(size, 10)):
            self.keep(table[i])
        for beyond in (size, -size - 1, 2**70):
            self.attempt("element beyond", table.__getitem__, beyond, sure=False)
        if size:
            value, sure = self.value(table.type.element)
            self.attempt("set element", table.__setitem__, rng.randrange(-size, size), value, sure=sure)
        value, sure = self.value(table.type.element)
        self.attempt("grow table", table.grow, rng.choice((0, 1, 7, 10**6, 2**64, 2**70)), value, sure=False)
        assert len(table) >= size


def shown(module):
    """Its types as text."""
    return [str(item) + repr(item.type) for item in (*module.imports, *module.exports)]


def exercise(rng, engine, module):
    """Bring a module to life and use all that it exports."""
    world = World(rng, engine)
    imports = [world.import_for(wanted) for wanted in module.imports]
    world.store.set_fuel(FUEL)
    instance = world.attempt("instantiate", w.WasmInstance, world.store, module, imports)
    if instance is not None:
        exports = [instance.exports[name] for name in instance.exports]
        world.funcs = [item for item in exports if isinstance(item, w.WasmFunc)]
        repr(instance), repr(instance.exports)
        rng.shuffle(exports)
        for item in exports[:40]:
            world.calls = 0
            world.use(item)
        if rng.random() < 0.3:
            world.store.gc()
    world.store.close()
    if instance is not None:
        for item in exports[:5]:
            repr(item), str(item.type)
            if isinstance(item, w.WasmFunc) and not item.type.params:
                with contextlib.suppress(w.StoreClosedError):
                    item()
                    raise AssertionError("a function of a closed store was called")


def run_module(rng, seed):
    """A module through its whole life."""
    wasm = generate.module_of(seed, WITHOUT)
    if wasm is None:
        counts["not generated"] += 1
        return
    engine = engine_for(rng)
    module = attempt("compile", w.WasmModule, engine, wasm)
    assert w.WasmModule.is_valid(engine, wasm) or module is None
    if module is None:
        return
    texts = shown(module)
    exercise(rng, engine, module)
    data = module.serialize()
    again = w.WasmModule.deserialize(engine, data)
    assert shown(again) == texts
    assert again.serialize() == data
    if rng.random() < 0.2:
        for duplicate in (copy.copy(module), copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert shown(duplicate) == texts
    module.close()
    exercise(rng, engine, again)


def run_flipped(rng, seed):
    """A damaged module: it is refused, or it is one."""
    whole = generate.module_of(seed, WITHOUT)
    if whole is None:
        counts["not generated"] += 1
        return
    engine = engine_for(rng)
    for _ in range(8):
        wasm = generate.damaged(whole, rng)
        valid = attempt("validate", lambda data=wasm: (w.WasmModule.validate(engine, data),))
        module = attempt("compile", w.WasmModule, engine, wasm)
        assert valid is not None or module is None
        if module is not None:
            shown(module)
            exercise(rng, engine, module)
            assert shown(w.WasmModule.deserialize(engine, module.serialize())) == shown(module)


class _Watched:
    """The engine's functions, with a count of those that load compiled code."""

    def __init__(self, lib):
        self.lib, self.loads = lib, 0

    def __getattr__(self, name):
        self.loads += "deserialize" in name
        return getattr(self.lib, name)


def run_blob(rng, seed):
    """Damaged serialized modules: all are refused, and the engine sees none."""
    from wasmtime_rt import module as module_file

    wasm = generate.module_of(seed, WITHOUT)
    engine = engine_for(rng)
    module = attempt("compile", w.WasmModule, engine, wasm or b"\0asm\1\0\0\0")
    if module is None:
        return
    data = module.serialize()
    content = data.rindex(b'{"engine":')
    watched = module_file.lib = _Watched(module_file.lib)
    name = os.path.join(tempfile.gettempdir(), f"wasmtime_rt-{os.getpid()}.blob")
    try:
        for turn in range(30):
            place = turn % 4
            if place == 0:  # anywhere, several places
                wrong = generate.damaged(data, rng)
            elif place == 1:  # the stamp
                wrong = data[:content] + generate.damaged(data[content:], rng)
            elif place == 2:  # the content
                wrong = generate.damaged(data[:content], rng) + data[content:]
            else:  # the front of it
                wrong = generate.damaged(data[:64], rng) + data[64:]
            for load in (w.WasmModule.deserialize, w.WasmModule.deserialize_file):
                source = wrong
                if load == w.WasmModule.deserialize_file:
                    with open(name, "wb") as file:
                        file.write(wrong)
                    source = name
                try:
                    load(engine, source)
                except w.DeserializeError:
                    counts["damaged: refused"] += 1
                else:
                    raise AssertionError("damaged code was loaded")
        assert watched.loads == 0
        w.WasmModule.deserialize(engine, data)
        assert watched.loads == 1
    finally:
        module_file.lib = watched.lib
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


KINDS = {"modules": run_module, "flipped": run_flipped, "blobs": run_blob}


def main(arguments):
    if arguments[0] == "save":
        _, _, seed, path = arguments
        with open(path, "wb") as file:
            file.write(generate.module_of(int(seed), WITHOUT) or b"")
        return
    kind, first, count = arguments[0], int(arguments[1]), int(arguments[2])
    for seed in range(first, first + count):
        print(f"seed {seed}", flush=True)
        KINDS[kind](random.Random(f"{kind} {seed}"), seed)
    print(json.dumps(dict(sorted(counts.items()))))


if __name__ == "__main__":
    main(sys.argv[1:])
