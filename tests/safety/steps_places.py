"""Where operations run the program's own Python: arguments, host functions, finalizers, writers, mappings."""

from __future__ import annotations

import array
import collections
import collections.abc
import gc
import inspect
import io
import os

from steps_world import FUEL, STRUCT, H, array_of, set_item, set_value, struct_of, with_block

import wasmtime_rt as w


class Point:
    """Does something the n-th time that one comes here."""

    def __init__(self, at, act):
        self.at, self.act, self.count, self.where, self.sites = at, act, 0, None, []

    def __call__(self, where):
        self.count += 1
        if self.at == 0:
            self.sites.append((where, self.count))
        elif self.count == self.at:
            self.where = where
            self.act()


def no_point(_where):
    pass


point = no_point


class Int:
    def __init__(self, value=1):
        self.value = value

    def __index__(self):
        point("__index__")
        return self.value

    def __repr__(self):
        point("__repr__")
        return "Int"


class Float:
    def __float__(self):
        point("__float__")
        return 1.5


class Sequence(list):
    def __iter__(self):
        for item in list.__iter__(self):
            point("__iter__")
            yield item

    def __len__(self):
        point("__len__")
        return list.__len__(self)

    def __getitem__(self, at):
        point("__getitem__")
        return list.__getitem__(self, at)


class Mapping(collections.abc.Mapping):
    def __init__(self, **items):
        self.held = items

    def __getitem__(self, key):
        point("__getitem__ of a mapping")
        return self.held[key]

    def __iter__(self):
        point("__iter__ of a mapping")
        return iter(self.held)

    def __len__(self):
        point("__len__ of a mapping")
        return len(self.held)

    def __bool__(self):
        point("__bool__")
        return True


class Path:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        point("__fspath__")
        return self.path


class Text(str):
    __slots__ = ()

    def encode(self, *args, **kwargs):
        point("encode")
        return str.encode(self, *args, **kwargs)

    def __eq__(self, other):
        point("__eq__ of a text")
        return str.__eq__(self, other)

    def __hash__(self):
        point("__hash__")
        return str.__hash__(self)

    def __str__(self):
        point("__str__")
        return str.__str__(self)


class Odd:
    """Something that is looked at in every way that Python has."""

    def __repr__(self):
        point("__repr__")
        return "Odd"

    def __eq__(self, other):
        point("__eq__")
        return False

    __hash__ = None

    @property
    def __class__(self):
        point("__class__")
        return Odd

    def __bool__(self):
        point("__bool__")
        return True

    def __getattr__(self, name):
        point("__getattr__")
        raise AttributeError(name)

    def __call__(self, *args):
        point("__call__")
        return args[0] if args else None

    def __del__(self):
        point("__del__")


class Error(Exception):
    """What does not want to be looked at."""

    def __setattr__(self, name, value):
        point("__setattr__")
        super().__setattr__(name, value)

    def __getattribute__(self, name):
        point("__getattribute__")
        return super().__getattribute__(name)

    def __str__(self):
        point("__str__")
        return "Error"


class Dropped:
    """Has a finalizer, and goes with the collector only."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        point("__del__")


class Exporter:
    """A buffer, by Python's own protocol since 3.12, and else what can be had of it."""

    def __init__(self, data):
        self.data = data

    def __buffer__(self, flags):
        point("__buffer__")
        return memoryview(self.data)

    def __release_buffer__(self, view):
        point("__release_buffer__")
        view.release()

    def __len__(self):
        point("__len__")
        return len(self.data)


def raising(*_args):
    point("a host function")
    raise Error


def garbage(*args):
    """A host function that leaves garbage, and has it collected: as any allocation may."""
    Dropped()
    gc.collect()
    return args[0] if args else None


def host(*args):
    point("a host function")
    return args[0] if len(args) == 1 else args or None


def made_of(o, function, params, results):
    return w.WasmFunc(o.store, function, w.WasmFuncType(params, results))


def written(data):
    point("a writer")


def sinks(o):
    store = w.WasmStore(o.engine, wasi=w.WasiConfig(stdout=written, stderr=written))
    store.set_fuel(FUEL)
    o.sink = store
    return o.wasi_linker.instantiate(store, o.wasi_module).exports.say()


def dropped_objects(o):
    """Objects that only the engine holds, dropped by its collector, and then by ours on the next entry."""
    for _ in range(3):
        o.exports.same(Odd())
    o.store.gc()
    o.exports.n(5)
    return o.exports.same(None)


def thrown_and_collected(o):
    """An exception whose value is read while a finalizer throws another."""
    return made_of(o, garbage, ["i32"], ["i32"])(5), o.exports.throw()


#: Each place where Python may run inside of an operation.
PLACES = {
    "call": lambda o: o.exports.n(Int(5)),
    "call, several": lambda o: o.exports.several(Int(), Float(), Float(), bytes(16)),
    "call, many": lambda o: o.exports.many(*[Int()] * 10),
    "call, references": lambda o: o.exports.refs(Odd(), Odd(), o.exports.n, Int()),
    "call, wrong": lambda o: o.exports.n(Odd()),
    "call, a wrong reference": lambda o: o.exports.refs(None, None, Odd(), 5),
    "call, of another type": lambda o: o.exports.defined(Odd()),
    "call, a value": lambda o: o.exports.n(w.WasmI32(Int())),
    "call_values": lambda o: o.exports.refs.call_values(Odd(), Odd(), o.exports.n, Int()),
    "call_values, numbers": lambda o: o.exports.several.call_values(Int(), Float(), Float(), bytes(16)),
    "call_values, wrong": lambda o: o.exports.n.call_values(Odd()),
    "typed": lambda o: o.exports.n.typed(Sequence(["i32"]), Sequence(["i32"]))(Int()),
    "keep_gil": lambda o: kept_gil(o)(Int()),
    "by name": lambda o: o.instance.call(Text("n"), Int()),
    "export": lambda o: o.instance.exports[Text("m")],
    "get_memory": lambda o: o.instance.get_memory(Text("m")),
    "map": lambda o: o.exports.n.map(Int()),
    "map, a buffer": lambda o: o.exports.n.map(Exporter(array.array("i", [1, 2, 3]))),
    "map, out": lambda o: o.exports.n.map(Int(), out=Exporter(array.array("i", [1, 2, 3]))),
    "map, wrong": lambda o: o.exports.n.map(Odd()),
    "map, the host": lambda o: made_of(o, host, ["i32"], ["i32"]).map(array.array("i", [1, 2, 3])),
    "map, the host raises": lambda o: made_of(o, raising, ["i32"], ["i32"]).map(array.array("i", [1, 2, 3])),
    "host": lambda o: w.WasmInstance(o.store, o.module, [host]).exports.h(5),
    "host, results": lambda o: made_of(o, lambda: (Int(), Float(), Int()), [], ["i32", "f64", "i64"])(),
    "host, a list": lambda o: made_of(o, lambda: Sequence([1, 2]), [], ["i32", "i32"])(),
    "host, references": lambda o: made_of(
        o,
        lambda *args: (point("a host function"), args)[1],
        ["externref", "funcref", "anyref"],
        ["externref", "funcref", "anyref"],
    )(Odd(), o.exports.n, Odd()),
    "host, wrong results": lambda o: made_of(o, Odd, [], ["i32"])(),
    "host, a wrong reference": lambda o: made_of(o, Odd, [], ["funcref"])(),
    "host, raises": lambda o: w.WasmInstance(o.store, o.module, [raising]).exports.h(5),
    "host, odd": lambda o: w.WasmInstance(o.store, o.module, [Odd()]).exports.h(5),
    "host, collects": lambda o: w.WasmInstance(o.store, o.module, [garbage]).exports.h(5),
    "host, throws": lambda o: throwing_at(o)(5),
    "host, caller": lambda o: w.WasmInstance(
        o.store,
        o.module,
        [
            w.with_caller(
                lambda caller, x: (point("a host function"), caller.get_memory("m").read(0, 5), x)[2]
            )
        ],
    ).exports.h(5),
    "host, a closed caller": lambda o: w.WasmInstance(
        o.store, o.module, [w.with_caller(lambda caller, x: caller.get_func(Text("n"))(x))]
    ).exports.h(5),
    "host, nested": lambda o: w.WasmInstance(
        o.store, o.module, [lambda x: (o.exports.n(Int()), point("a host function"), o.exports.n(x))[2]]
    ).exports.h(5),
    "annotations": lambda o: w.WasmFunc(o.store, Annotated()),
    "start function": lambda o: w.WasmInstance(o.store, o.start, [host]),
    "start function, prepared": lambda o: prepared_start(o).instantiate(o.store),
    "start function, linked": lambda o: prepared_linker(o).instantiate(o.store, o.start),
    "start function, timeout": lambda o: w.WasmInstance(o.store, o.start, [host], timeout=50),
    "start function, raises": lambda o: w.WasmInstance(o.store, o.start, [raising]),
    "initialize": lambda o: prepared_linker(o).define_module(o.store, Text("a"), o.start),
    "imports": lambda o: w.WasmInstance(o.store, o.module, Mapping(**{"": Mapping(h=host)})),
    "imports, flat": lambda o: w.WasmInstance(o.store, o.module, Sequence([host])),
    "imports, wrong": lambda o: w.WasmInstance(o.store, o.module, {"": {"h": Odd()}}),
    "imports, numbers": lambda o: w.WasmInstance(
        o.plain_store, o.sharer, {"": Mapping(m=o.shared, x=Int(), f=Odd())}
    ),
    "imports, items": lambda o: w.WasmInstance(
        o.store, o.imports, Sequence([o.exports.m, o.exports.t, o.exports.g, o.exports.e, Int()])
    ),
    "linker": lambda o: w.WasmLinker(o.engine).define(Text("a"), Text("b"), Odd(), H),
    "linker, a number": lambda o: linked_number(o),
    "linker, get": lambda o: o.linker.get(o.store, Text(""), Text("h")),
    "linker, alias": lambda o: o.linker.alias(Text(""), Text("h"), Text("x"), Text("y")),
    "sinks": sinks,
    "dropped objects": dropped_objects,
    "thrown and collected": thrown_and_collected,
    "memory, read": lambda o: o.exports.m.read(Int(), Int()),
    "memory, write": lambda o: o.exports.m.write(Int(), Exporter(b"abc")),
    "memory, outside": lambda o: o.exports.m.read(Int(2**40), Int()),
    "memory, grow": lambda o: o.exports.m.grow(Int()),
    "memory, item": lambda o: (o.exports.m[Int()], set_item(o.exports.m, Int(), Int())),
    "memory, slice": lambda o: (
        o.exports.m[Int() : Int(5) : Int()],
        set_item(o.exports.m, slice(Int(), Int(4)), Exporter(b"abc")),
    ),
    "memory, numbers": lambda o: (
        o.exports.m.read_u32(Int()),
        o.exports.m.write_u32(Int(), Int()),
        o.exports.m.write_f64(Int(), Float()),
    ),
    "memory, text": lambda o: (
        o.exports.m.write_utf8(Int(), Text("abc")),
        o.exports.m.read_utf8(Int(), Int()),
    ),
    "memory, strings": lambda o: (
        o.exports.m.write_cstring(Int(), Text("abc")),
        o.exports.m.read_cstring(Int(), Int(9)),
    ),
    "memory, wrong": lambda o: o.exports.m.read(Odd(), 5),
    "shared, read": lambda o: o.shared.read(Int(), Int()),
    "shared, write": lambda o: o.shared.write(Int(), Exporter(b"abc")),
    "shared, grow": lambda o: o.shared.grow(Int()),
    "shared, item": lambda o: (o.shared[Int()], set_item(o.shared, Int(), Int())),
    "shared, slice": lambda o: (o.shared[Int() : Int(5)], set_item(o.shared, slice(Int(), Int(4)), b"abc")),
    "table, get": lambda o: o.exports.t[Int()],
    "table, set": lambda o: set_item(o.exports.t, Int(), Odd()),
    "table, slice": lambda o: o.exports.t[Int() : Int(3)],
    "table, wrong": lambda o: set_item(o.exports.funcs, Int(), Odd()),
    "table, grow": lambda o: o.exports.t.grow(Int(), Odd()),
    "table, contains": lambda o: (set_item(o.exports.t, 0, Odd()), Odd() in o.exports.t),
    "table, over": lambda o: (set_item(o.exports.t, 0, Odd()), set_item(o.exports.t, 0, None), o.store.gc()),
    "table, new": lambda o: w.WasmTable(o.store, w.WasmTableType("externref", 2), Odd()),
    "global": lambda o: (set_value(o.exports.g, "value", Int()), set_value(o.exports.object, "value", Odd())),
    "global, new": lambda o: (
        w.WasmGlobal(o.store, w.WasmGlobalType("i64"), Int()),
        w.WasmGlobal(o.store, w.WasmGlobalType("f32"), Float()),
    ),
    "global, wrong": lambda o: set_value(o.exports.f, "value", Odd()),
    "struct": lambda o: w.WasmStruct(o.store, struct_of(o), Sequence([Int(), Odd()])),
    "struct, set": lambda o: structs_set(o),
    "struct, type": lambda o: w.WasmStruct.new_type(o.engine, Sequence(STRUCT)),
    "array": lambda o: w.WasmArray(o.store, array_of(o), Sequence([Odd(), Odd()])),
    "array, numbers": lambda o: w.WasmArray(
        o.store,
        w.WasmArray.new_type(o.engine, w.WasmFieldType("i8", mutable=True)),
        Sequence([Int(), Int(), 3]),
    ),
    "array, filled": lambda o: w.WasmArray.filled(o.store, array_of(o), Odd(), Int()),
    "array, items": lambda o: arrays_set(o),
    "exception": lambda o: o.exports.again(w.WasmException(o.exports.e, Int())),
    "types": lambda o: w.WasmFunc(o.store, host, w.WasmFuncType(Sequence(["i32"]), Sequence(["i32"]))),
    "limits": lambda o: w.WasmMemory(o.store, w.WasmMemoryType(Int(), Int(5))),
    "wasi": lambda o: o.store.set_wasi(
        w.WasiConfig(
            argv=Sequence([Text("x")]), env=Mapping(a=Text("b")), preopens=Mapping(x=Path(".")), stdin=b"x"
        )
    ),
    "wasi, a file": lambda o: o.store.set_wasi(w.WasiConfig(stdin=Path("module.wasm"))),
    "fuel": lambda o: (o.store.set_fuel(Int(FUEL)), o.store.add_fuel(Int())),
    "epochs": lambda o: o.store.set_epoch_deadline(Int(10**6)),
    "profile": lambda o: with_block(o.store.profile(Path(os.devnull), modules=Mapping(a=o.module))),
    "module": lambda o: w.WasmModule(o.engine, Exporter(o.common.binary)),
    "module, a file": lambda o: w.WasmModule.from_file(o.engine, Path("module.wasm")),
    "module, cached": lambda o: w.WasmModule.load(o.engine, Path("module.wasm"), cache=Path("cache")),
    "deserialize": lambda o: w.WasmModule.deserialize(o.engine, Exporter(o.common.serialized["TEXT"])),
    "deserialize, a file": lambda o: w.WasmModule.deserialize_file(o.engine, Path("module.cwasm")),
    "validate": lambda o: w.WasmModule.validate(o.engine, Exporter(o.common.binary)),
    "bytes": lambda o: w.call_bytes(o.instance, Text("echo"), Exporter(b"abc"), memory="m", alloc="alloc"),
    "sandbox": lambda o: o.common.runs.run(
        Sequence([Text("x")]), env=Mapping(a=Text("b")), stdin=io.BytesIO(b"x"), stdout=written
    ),
    "sandbox, lease": lambda o: lease_uses(o),
}


def kept_gil(o):
    store = w.WasmStore(o.engine)
    store.set_fuel(FUEL)
    o.gil_store = store
    exports = w.WasmInstance(store, o.module, [host]).exports
    return exports.h.typed(["i32"], ["i32"], keep_gil=True)


def throwing_at(o):
    tag = o.exports.e

    def throw(_x):
        point("a host function")
        raise w.WasmException(tag, Int())

    return w.WasmInstance(o.store, o.module, [throw]).exports.h


class Annotated:
    """Its annotations are looked up by Python."""

    def __call__(self, x):
        return x

    @property
    def __annotations__(self):
        point("__annotations__")
        return {"x": w.I32, "return": w.I32}

    @property
    def __signature__(self):
        point("__signature__")
        parameter = inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY, annotation=w.I32)
        return inspect.Signature([parameter], return_annotation=w.I32)


def prepared_linker(o):
    linker = w.WasmLinker(o.engine)
    linker.define("", "h", host, H)
    return linker


def prepared_start(o):
    return prepared_linker(o).prepare(o.start)


def linked_number(o):
    linker = w.WasmLinker(o.shares)
    linker.define(Text(""), Text("m"), o.shared)
    linker.define("", "x", w.WasmGlobal(o.plain_store, w.WasmGlobalType("i32"), Int()))
    linker.define("", "f", Odd(), H)
    return linker.instantiate(o.plain_store, o.sharer)


def structs_set(o):
    struct = o.exports.s()
    struct[Int(0)] = Int()
    struct[Int(1)] = Odd()
    return struct[Int(0)], struct == Odd()


def arrays_set(o):
    items = o.exports.a(Odd())
    items[Int()] = Odd()
    return items[Int()], items[Int(0) : Int(2)], Odd() in items


def lease_uses(o):
    with o.pool.take() as lease:
        lease.call("f", Int())
        return lease.exports.f(Int())
