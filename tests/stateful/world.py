"""The world of a sequence: pools of everything that was made, and the choices for what to do with it.

A step is a rule and a seed. All that a rule chooses, it takes out of the seed, and an empty pool makes what is asked
for, so that a sequence still runs when steps are taken out of it.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import traceback
import weakref

import sources

import wasmtime_rt as w


class HostError(Exception):
    """What host functions here raise."""


class HostStop(BaseException):
    """The same, past every ``except Exception``."""


class Nasty(Exception):
    """An exception that cannot be shown."""

    def __str__(self):
        raise HostError("of __str__")

    __repr__ = __str__


HOST = (HostError, HostStop, Nasty, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration)
DOCUMENTED = (
    w.WasmtimeError, TypeError, ValueError, OverflowError, IndexError, KeyError, AttributeError, BufferError,
    RecursionError, MemoryError, OSError, *HOST,
)  # fmt: skip
#: Texts that only an oversight of ours lets out.
LEAKED = ("cdata", "ctype", "'NoneType'", "_ffi", "wasmtime_rt._accel", "initializer for", "panicked")

KEPT = 10
FUEL = 20_000
LIMITS = w.StoreLimits(memory_size=1 << 20, table_elements=1000, instances=50, tables=100, memories=100)

RULES: dict[str, tuple] = {}


def rule(weight=1):
    """Mark a function ``(world, rng)`` as a rule; ``weight`` says how often it is chosen."""

    def marked(function):
        RULES[function.__name__] = function, weight
        return function

    return marked


def settings():
    """The configs of engines, and how they were asked for."""
    pools = w.PoolingConfig(
        total_core_instances=50, total_memories=100, total_tables=100, total_stacks=1, total_gc_heaps=20,
        max_memories_per_module=5, max_tables_per_module=5, max_memory_size=1 << 24,
    )  # fmt: skip
    plain = {"parallel_compilation": False}
    return [
        w.WasmConfig(**plain, **more)
        for more in (
            {},
            {"consume_fuel": True},
            {"epoch_interruption": True},
            {
                "consume_fuel": True,
                "epoch_interruption": True,
                "optimization_level": w.OptimizationLevel.NONE,
            },
            {"memory_reservation": 0, "memory_guard_size": 0},
            {"signals_based_traps": False, "memory_reservation": 0},
            {"shared_memory": True},
            {"strategy": w.Strategy.WINCH},
            {"pooling_allocation_strategy": pools},
            {"gc_support": False, "wasm_gc": False, "wasm_function_references": False},
            {"max_wasm_stack": 64 << 10, "debug_info": True},
        )
    ]


def _is_ours(raised):
    """Whether an error of Python comes out of our files."""
    if any(text in str(raised) for text in ("cannot be interpreted as an integer", "object is not iterable")):
        return False  # Python's own words
    package = os.path.dirname(w.__file__)
    frames = [frame.filename.startswith(package) for frame in traceback.extract_tb(raised.__traceback__)]
    # Only one of ours: that is an argument at the door.
    last = traceback.extract_tb(raised.__traceback__)[-1].line or ""
    if "self.function(" in last:  # a host function in C
        return False
    return isinstance(raised, (TypeError, AttributeError)) and frames[-1] and sum(frames) > 1


class World:
    """Pools by kind, and what was found to be wrong."""

    def __init__(self, folder, trace=None):
        self.folder, self.trace = folder, trace
        self.pools: dict[str, list] = {}
        self.problems: list[str] = []
        self.counts: dict[str, int] = {}
        self.alive = weakref.WeakSet()
        self.local = threading.local()
        self.configs = settings()
        self.files = 0
        self.ended = False

    # ---- Steps

    def run(self, steps):
        """Run the steps, one after the other."""
        for name, seed in steps:
            if self.problems:
                break
            if self.trace is not None:
                self.trace(f"{name} {seed}")
            self.attempt(name, RULES[name][0], self, random.Random(seed))

    def attempt(self, label, function, *args):
        """Call ``function``: what it raises must be documented."""
        try:
            returned = function(*args)
        except DOCUMENTED as raised:
            said = "" if isinstance(raised, HOST) else str(raised)
            if any(text in said for text in LEAKED) and _is_ours(raised):
                self.problem(label, "an oversight: " + traceback.format_exc())
            kind = type(raised).__name__
            returned = None
        except BaseException:
            self.problem(label, "not documented: " + traceback.format_exc())
            kind, returned = "problem", None
        else:
            kind = "done"
        self.count(label, kind)
        return returned

    def count(self, label, kind):
        key = f"{label}: {kind}"
        self.counts[key] = self.counts.get(key, 0) + 1

    def problem(self, label, text):
        self.problems.append(f"{label}: {text}")

    def check(self, label, condition):
        if not condition:
            self.problem(label, "".join(traceback.format_stack(limit=4)))

    @property
    def depth(self):
        """How many host functions this thread is in."""
        return getattr(self.local, "depth", 0)

    @contextlib.contextmanager
    def deeper(self):
        self.local.depth = self.depth + 1
        try:
            yield
        finally:
            self.local.depth -= 1

    def inner(self, rng, most=3):
        """A few steps inside of a host function or finalizer."""
        if self.depth <= 3 and not self.problems and not self.ended:
            names, weights = chances()
            self.run(
                [(name, rng.getrandbits(40)) for name in rng.choices(names, weights, k=rng.randrange(most))]
            )

    # ---- Pools

    def keep(self, kind, item):
        """Put ``item`` into its pool, and take out what is too much."""
        pool = self.pools.setdefault(kind, [])
        pool.append(item)
        if len(pool) > KEPT:
            with contextlib.suppress(IndexError):  # another thread was faster
                pool.pop(0)
        if kind == "store":
            self.alive.add(item)
        return item

    def pick(self, kind, rng):
        """Something of the pool; where that is empty, something new."""
        pool = self.pools.get(kind)
        with contextlib.suppress(IndexError):
            if pool:
                return pool[rng.randrange(len(pool))]
        return self.keep(kind, MAKERS[kind](self, rng))

    def healthy(self, kind, rng):
        """The same, and not closed, as far as it tells."""
        for _ in range(4):
            item = self.pick(kind, rng)
            if getattr(item, "is_valid", True):
                return item
        return self.keep(kind, MAKERS[kind](self, rng))

    def any_item(self, rng):
        """Something out of any pool."""
        pools = [pool for pool in list(self.pools.values()) if pool]
        with contextlib.suppress(IndexError):
            if pools:
                return rng.choice(rng.choice(pools))
        return None

    def path(self, name="file"):
        """A new name for a file."""
        self.files += 1
        return os.path.join(self.folder, f"{name}{self.files}")

    # ---- Values

    def number(self, rng):
        return rng.choice(
            (
                0,
                1,
                -1,
                2,
                3,
                7,
                2**31 - 1,
                -(2**31),
                2**32 - 1,
                2**32,
                2**63,
                2**64 - 1,
                2**64,
                -(2**63) - 1,
                2**70,
            )
        )

    def value(self, valtype, rng, store=None):
        """A value that probably is of the type."""
        kind = valtype.kind
        if rng.random() < 0.08:
            return self.anything(rng)
        if kind in {"i32", "i64"}:
            return rng.choice((rng.getrandbits(3), rng.getrandbits(int(kind[1:]) - 1), -1, True))
        if kind in {"f32", "f64"}:
            return rng.choice((0.0, -1.5, float("inf"), float("nan"), 7, rng.uniform(-9, 9)))
        if kind == "v128":
            return rng.randbytes(16)
        if rng.random() < 0.2:
            return None
        if valtype.hierarchy == "func":
            return self.pick("func", rng)
        if valtype.hierarchy == "exn":
            return self.pick("exception", rng)
        if valtype.hierarchy == "any":
            return rng.choice((w.WasmI31(5), self.pick("ref", rng), self.pick("ref", rng)))
        return rng.choice((object(), "text", self.any_item(rng), [1]))

    def anything(self, rng):
        """Any object whatever."""
        kind = rng.randrange(9)
        if kind < 4:
            return self.any_item(rng)
        if kind < 6:
            return self.number(rng)
        return rng.choice(
            (None, "x", "", b"", b"x" * 16, 1.5, float("nan"), [], {}, (1, 2), object(), len, True, int, "\0", "\udc80",
             slice(1, 5), range(3), w.WasmValue.i64(5), w.WasmI31(3), bytearray(5), Nasty())
        )  # fmt: skip

    def valtypes(self, rng, most=4):
        """A few types of values."""
        names = (
            "i32",
            "i64",
            "f32",
            "f64",
            "v128",
            "externref",
            "funcref",
            "anyref",
            "eqref",
            "i31ref",
            "(ref extern)",
        )
        return [rng.choice(names[: rng.choice((4, 7, 11))]) for _ in range(rng.randrange(most))]

    def host(self, rng, functype=None):
        """A host function: right answers and wrong ones, errors of every kind, and whole steps inside."""
        mood, seed, calls = rng.random(), rng.getrandbits(40), [0]

        def host(*args):
            calls[0] += 1
            dice = random.Random(seed * 1000 + calls[0])
            with self.deeper():
                if mood < 0.5:
                    self.inner(dice)
                if 0.4 < mood < 0.6 and dice.random() < 0.5:
                    raise dice.choice(
                        (HostError("host"), HostStop(), Nasty(), KeyboardInterrupt(), SystemExit(3), GeneratorExit(),
                         StopIteration(), RecursionError("host"), MemoryError(), w.WasmtimeError("host"), OSError(5))
                    )  # fmt: skip
                if 0.6 < mood < 0.65:
                    raise self.pick("exception", dice)
                if mood > 0.95:
                    return self.anything(dice)
                if functype is None:
                    return args[0] if args else None
                values = [self.value(valtype, dice) for valtype in functype.results]
                return None if not values else values[0] if len(values) == 1 else tuple(values)

        return host

    # ---- The end

    def drop(self, rng):
        """Let go of everything, in any order."""
        kinds = list(self.pools)
        rng.shuffle(kinds)
        for kind in kinds:
            pool = self.pools[kind]
            rng.shuffle(pool)
            pool.clear()
        self.pools.clear()


class Finalizer:
    """Takes steps when it is collected."""

    world = staticmethod(lambda: None)  # of a copy without any

    def __init__(self, world, rng):
        self.world, self.seed, self.held = weakref.ref(world), rng.getrandbits(40), world.any_item(rng)

    def __del__(self):
        world = self.world()
        if world is not None:
            with world.deeper():
                world.inner(random.Random(self.seed))


MAKERS: dict[str, object] = {}


def maker(kind):
    """Mark a function as what makes something for a pool."""

    def marked(function):
        MAKERS[kind] = function
        return function

    return marked


def chances():
    """The rules and how often each is chosen."""
    return list(RULES), [weight for _, weight in RULES.values()]


@maker("engine")
def _engine(world, rng):
    return w.WasmEngine(world.configs[rng.choice((0, 0, rng.randrange(len(world.configs))))])


@maker("store")
def _store(world, rng):
    wasi = world.wasi(rng) if rng.random() < 0.3 else None
    store = w.WasmStore(world.healthy("engine", rng), data=world.any_item(rng), wasi=wasi, limits=LIMITS)
    if store.engine.config.consume_fuel and rng.random() < 0.9:
        store.set_fuel(FUEL)
    return store


@maker("module")
def _module(world, rng):
    engine, name = world.healthy("engine", rng), rng.choice(list(sources.SOURCES))
    source = sources.SOURCES[name]
    if engine.config.consume_fuel and rng.random() < 0.2:
        source = sources.SPIN
    return w.WasmModule(engine, source if rng.random() < 0.7 else w.wat2wasm(source))


@maker("linker")
def _linker(world, rng):
    linker = w.WasmLinker(world.healthy("engine", rng), allow_shadowing=rng.random() < 0.7)
    if rng.random() < 0.5:
        linker.define_wasi()
    for name in ("number", "object", "nothing", "several", "function"):
        linker.define("env", name, world.host(rng))
    return linker


@maker("instance")
def _instance(world, rng):
    store = world.healthy("store", rng)
    name = rng.choice(("plain", "hosted", "memories", "tables", "aggregates", "exceptions"))
    module = world.keep("module", w.WasmModule(store.engine, sources.SOURCES[name]))
    return w.WasmInstance(store, module, world.imports(rng, store, module))


@maker("func")
def _func(world, rng):
    store, functype = world.healthy("store", rng), w.WasmFuncType(world.valtypes(rng), world.valtypes(rng))
    return w.WasmFunc(store, world.host(rng, functype), functype)


@maker("memory")
def _memory(world, rng):
    least = rng.randrange(3)
    most = rng.choice((None, least, least + 3))
    return w.WasmMemory(world.healthy("store", rng), w.WasmMemoryType(least, most, is64=rng.random() < 0.2))


@maker("shared")
def _shared(world, rng):
    engine = world.keep("engine", w.WasmEngine(w.WasmConfig(shared_memory=True)))
    return w.WasmSharedMemory(engine, w.WasmMemoryType(1, rng.choice((1, 4)), shared=True))


@maker("global")
def _global(world, rng):
    store, content = (
        world.healthy("store", rng),
        w.WasmValType.parse(rng.choice(("i32", "i64", "f64", "externref", "funcref", "anyref"))),
    )
    return w.WasmGlobal(
        store, w.WasmGlobalType(content, mutable=rng.random() < 0.8), world.value(content, rng)
    )


@maker("table")
def _table(world, rng):
    element = w.WasmValType.parse(rng.choice(("externref", "funcref", "anyref", "exnref")))
    kind = w.WasmTableType(element, rng.randrange(5), rng.choice((None, 9)))
    return w.WasmTable(world.healthy("store", rng), kind, world.value(element, rng))


@maker("tag")
def _tag(world, rng):
    return w.WasmTag(world.healthy("store", rng), w.WasmTagType(w.WasmFuncType(world.valtypes(rng))))


@maker("exception")
def _exception(world, rng):
    tag = world.pick("tag", rng)
    return w.WasmException(tag, *(world.value(valtype, rng) for valtype in tag.type.func.params))


@maker("ref")
def _ref(world, rng):
    store = world.healthy("store", rng)
    mutable = rng.random() < 0.7
    if rng.random() < 0.5:
        types = [
            w.WasmFieldType(kind, mutable=mutable)
            for kind in rng.choices(("i8", "i32", "f64", "externref", "anyref"), k=3)
        ]
        made = w.WasmStruct.new_type(store.engine, types)
        return w.WasmStruct(store, made, [world.value(field.unpacked, rng) for field in types])
    field = w.WasmFieldType(rng.choice(("i8", "i64", "externref", "anyref", "v128")), mutable=mutable)
    made = w.WasmArray.new_type(store.engine, field)
    if rng.random() < 0.5:
        return w.WasmArray.filled(store, made, world.value(field.unpacked, rng), rng.randrange(20))
    return w.WasmArray(store, made, [world.value(field.unpacked, rng)] * rng.randrange(5))


@maker("view")
def _view(world, rng):
    memory = world.pick(rng.choice(("memory", "memory", "shared")), rng)
    return memory.view() if rng.random() < 0.5 else getattr(memory, rng.choice(("u8", "i16", "u32", "f64")))


@maker("typed")
def _typed(world, rng):
    func = world.healthy("func", rng)
    return func.typed(func.type.params, func.type.results, keep_gil=rng.random() < 0.2)


@maker("pre")
def _pre(world, rng):
    linker = world.healthy("linker", rng)
    source = sources.SOURCES[rng.choice(("plain", "hosted", "memories", "start"))]
    return linker.prepare(w.WasmModule(linker.engine, source))


@maker("blob")
def _blob(world, rng):
    return world.healthy("module", rng).serialize()
