"""Anything public, called with anything: what is added to the package is tried without a word about it here.

Arguments go by the names of parameters; whatever has another name gets any value.
"""

from __future__ import annotations

import functools
import inspect
import pathlib

import sources
from world import FUEL, rule

import wasmtime_rt as w

#: Not by chance: these names hold what would be unlawful by what the documentation says, or take us with it.
AVOIDED = {"trusted"}
POOL_OF = {
    "engine": "engine", "store": "store", "instance": "instance", "linker": "linker", "func": "func", "tag": "tag",
}  # fmt: skip
CLASSES = tuple(getattr(w, name) for name in w.__all__ if isinstance(getattr(w, name), type))
FUNCTIONS = tuple(
    getattr(w, name)
    for name in w.__all__
    if inspect.isfunction(getattr(w, name)) and getattr(w, name).__module__
)


def parameters(function):
    """The parameters that are worth giving, or ``None`` where nothing tells."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return tuple(item for item in found if item.name not in AVOIDED)


def _config(world, rng):
    return rng.choice(world.configs)


def _type(world, rng):
    content = w.WasmValType.parse(rng.choice(("i32", "f64", "externref", "funcref")))
    return rng.choice(
        (content, w.WasmFuncType(world.valtypes(rng), world.valtypes(rng)), w.WasmMemoryType(1, 2), w.WasmTagType(w.WasmFuncType(["i32"])),
         w.WasmMemoryType(1, 3, shared=True), w.WasmTableType("externref", 1, 5), w.WasmGlobalType("i32", mutable=True))
    )  # fmt: skip


def _name(world, rng):
    return rng.choice(("env", "number", "memory", "add", "", "_start", "x"))


def _small(world, rng):
    return rng.choice((0, 1, 2, 5, -1, world.number(rng)))


#: What parameters of these names get, most of the time.
BY_NAME: dict[str, object] = {
    "module": lambda world, rng: world.pick("module", rng) if rng.random() < 0.7 else _name(world, rng),
    "item": lambda world, rng: world.any_item(rng),
    "init": lambda world, rng: world.anything(rng),
    "value": lambda world, rng: world.anything(rng),
    "values": lambda world, rng: [world.anything(rng) for _ in range(rng.randrange(3))],
    "type": _type,
    "types": _type,
    "element": lambda world, rng: w.WasmFieldType(rng.choice(("i8", "f64", "externref")), mutable=True),
    "fields": lambda world, rng: [w.WasmFieldType(rng.choice(("i16", "i64", "anyref")))] * rng.randrange(3),
    "heap": lambda world, rng: rng.choice(("func", "extern", "any", "i31", "none", "x")),
    "params": lambda world, rng: world.valtypes(rng),
    "results": lambda world, rng: world.valtypes(rng),
    "function": lambda world, rng: world.host(rng),
    "config": _config,
    "program": lambda world, rng: rng.choice(list(sources.SOURCES.values())).encode(),
    "cache": lambda world, rng: False,
    "folder": lambda world, rng: world.path("cache"),
    "max_size": _small,
    "wasi": lambda world, rng: world.wasi(rng),
    "limits": lambda world, rng: rng.choice((w.StoreLimits(memory_size=1 << 20, instances=3), w.WasmLimits(1, 2))),
    "source": lambda world, rng: rng.choice(list(sources.SOURCES.values())),
    "text": lambda world, rng: rng.choice(("i32", "(ref null any)", "(module)", "tëxt", "\0", "\udc80")),
    "data": lambda world, rng: rng.choice((b"abc", bytearray(3), memoryview(b"xyz"), world.pick("blob", rng))),
    "path": lambda world, rng: pathlib.Path(world.path()),
    "fuel": lambda world, rng: rng.choice((0, 100, FUEL, -1, 2**64)),
    "ticks": lambda world, rng: rng.choice((0, 1, 100, 2**63)),
    "seconds": lambda world, rng: rng.choice((0.0, 0.001, 0.05, 1, -1.0, float("nan"))),
    "timeout": lambda world, rng: rng.choice((None, 0.0, 0.001, 0.05, 1, -1.0, float("nan"))),
    "interval": lambda world, rng: rng.choice((0.001, 0.01, 1, 0, -1.0, float("nan"))),
    "pages": _small, "count": _small, "offset": _small, "length": _small, "index": _small, "min": _small, "max": _small,
    "max_length": _small, "bits": _small,
    "name": _name, "as_name": _name, "as_module": _name,
    "memory_size": lambda world, rng: rng.choice((0, 1 << 16, 1 << 20)),
    "imports": lambda world, rng: {"env": {"number": world.host(rng), "nothing": len}},
}  # fmt: skip


def argument(world, rng, name):
    """A value for the parameter ``name``."""
    name = name.lstrip("_")
    if rng.random() < 0.1 and name != "fuel":  # with 2**64 of it, there is no end
        return world.anything(rng)
    if name in POOL_OF:
        return world.pick(POOL_OF[name], rng)
    return BY_NAME.get(name, lambda world, rng: world.anything(rng))(world, rng)


def arguments(world, rng, function):
    """Positional and keyword arguments for ``function``."""
    found = parameters(function)
    if found is None:
        return [world.anything(rng) for _ in range(rng.randrange(3))], {}
    given, named = [], {}
    for item in found:
        if item.kind is item.VAR_POSITIONAL:
            given += [world.anything(rng) for _ in range(rng.randrange(3))]
        elif item.kind is item.VAR_KEYWORD:
            continue
        elif item.default is not item.empty and rng.random() < 0.5:
            if item.kind is not item.KEYWORD_ONLY:
                break
        elif item.kind is item.KEYWORD_ONLY:
            named[item.name] = argument(world, rng, item.name)
        else:
            given.append(argument(world, rng, item.name))
    return given, named


def kept(world, item):
    """Put what came out of anything into a pool, if it is of a public class."""
    if type(item) in CLASSES and not isinstance(item, w.WasmtimeType):
        name = type(item).__name__.removeprefix("Wasm").lower()
        world.keep(
            {"instancepre": "pre", "sharedmemory": "shared", "struct": "ref", "array": "ref"}.get(name, name),
            item,
        )


@rule(12)
def any_member(world, rng):
    """Any public attribute of anything: read, or called."""
    item = world.any_item(rng)
    if not isinstance(item, CLASSES):
        item = world.pick("store", rng)
    names = members(type(item))
    name = names[rng.randrange(len(names))]
    world.count("member", f"{type(item).__name__}.{name}")
    found = getattr(item, name)
    if callable(found) and not isinstance(found, CLASSES):
        given, named = arguments(world, rng, getattr(found, "__func__", found))
        if hasattr(found, "__func__") and given:
            given = given[1:]  # it is bound
        returned = found(*given, **named)
        kept(world, returned)
        if hasattr(returned, "__enter__") and not isinstance(returned, (w.WasmtimeResource, memoryview)):
            with returned:
                world.inner(rng)


@functools.cache
def members(kind):
    """The public names of a class, operators included."""
    left_out = {"__class__", "__init_subclass__", "__subclasshook__", "__getattribute__", "__setattr__", "__delattr__",
                "__del__", "__dir__", "__sizeof__", "__new__", "__abstractmethods__", "__doc__", "__dict__", "__init__",
                "__enter__", "__exit__"}  # fmt: skip
    names = [
        name
        for name in dir(kind)
        if name not in left_out and (name.startswith("__") or not name.startswith("_"))
    ]
    plain = [name for name in names if not name.startswith("_")]
    return tuple(names + 3 * plain)


@rule(6)
def any_class(world, rng):
    """Any public class or function, called."""
    kind = rng.choice(CLASSES + FUNCTIONS)
    if issubclass(kind, w.WasmStore) if isinstance(kind, type) else False:
        kind = functools.partial(w.WasmStore, limits=w.StoreLimits(memory_size=1 << 20, table_elements=999))
        given, named = [argument(world, rng, "engine")], {}
    else:
        given, named = arguments(world, rng, kind)
    name = getattr(kind, "__name__", "WasmStore")
    world.count("class", name)
    made = kind(*given, **named)
    kept(world, made)
    if isinstance(made, BaseException):
        str(made), repr(made)


@rule(2)
def any_attribute_is_set(world, rng):
    """Assigning to what is there, and to what is not."""
    item = world.any_item(rng)
    if not isinstance(item, CLASSES) or isinstance(item, type):
        return
    names = [name for name in dir(type(item)) if not name.startswith("_")]
    name = rng.choice([*names, "nothing"])
    before = dict(vars(item)) if hasattr(item, "__dict__") else None
    if name == "data" or rng.random() < 0.1:
        delattr(item, name) if rng.random() < 0.2 else None
    setattr(item, name, world.anything(rng))
    if before is not None and name not in before and name in vars(item) and name != "data":
        del vars(item)[name]  # as it was, or the rest of the sequence looks at our own toys
