"""Every public operation, by its label: what it is called with, on what."""

from __future__ import annotations

import array
import contextlib
import copy
import enum
import importlib
import inspect
import os
import random
import sys

import protocols_worker
from steps_places import PLACES, kept_gil
from steps_world import (
    CONFIG,
    FUEL,
    LIBRARY,
    START,
    WASI,
    H,
    array_of,
    delete_item,
    set_item,
    set_value,
    struct_of,
    with_block,
)

import wasmtime_rt as w
import wasmtime_rt.importer

PACKAGE = os.path.dirname(w.__file__) + os.sep
CLASSES, ABSTRACT, ERRORS = protocols_worker.CLASSES, protocols_worker.ABSTRACT, protocols_worker.ERRORS
V128 = bytes(range(16))


def dispose(thing):
    thing.close()


SAMPLES = {
    **protocols_worker.SAMPLES,
    "ModuleCache": lambda o: w.ModuleCache("cache"),
    "Sandbox": lambda o: o.sandbox,
    "SandboxInstance": lambda o: o.sandbox.start(),
    "SandboxLease": lambda o: o.pool.take(),
    "SandboxPool": lambda o: o.pool,
    "WasmInstancePre": lambda o: o.prepared,
    "WasmSharedMemory": lambda o: o.shared,
    "WasmStruct": lambda o: o.exports.s(),
    "WasmArray": lambda o: o.exports.a("x"),
    "ByteCaller": lambda o: w.ByteCaller(o.instance, memory="m", alloc="alloc"),
    "TypedFunc": lambda o: o.exports.n.typed(["i32"], ["i32"]),
    "StoreProfile": lambda o: o.store.profile(os.devnull, modules={"m": o.module}),
}
#: Operations with arguments: by class and member, and what they are tried with. A class goes as ``o.made``.
MEMBERS = {
    "ModuleCache.is_cached": lambda o: o.made.is_cached(o.engine, o.common.binary),
    "ModuleCache.load": lambda o: o.made.load(o.engine, o.common.binary),
    "StoreDeadline.__enter__: nested": lambda o: nested(o),
    "StoreProfile.__enter__: a call": lambda o: profiled(o),
    "WasmInstance.call": lambda o: o.made.call("n", 5),
    "WasmInstance.call: timeout": lambda o: o.made.call("n", 5, timeout=50),
    "WasmInstance.get_export": lambda o: o.made.get_export("m", w.WasmMemory),
    "WasmInstance.get_func": lambda o: o.made.get_func("h"),
    "WasmInstance.get_global": lambda o: o.made.get_global("g"),
    "WasmInstance.get_memory": lambda o: o.made.get_memory("m"),
    "WasmInstance.get_table": lambda o: o.made.get_table("t"),
    "WasmInstancePre.instantiate": lambda o: o.made.instantiate(o.store),
    "WasmInstancePre.instantiate: timeout": lambda o: o.made.instantiate(o.store, timeout=50),
    "WasmLinker.alias": lambda o: o.made.alias("", "h", "x", "y"),
    "WasmLinker.alias_module": lambda o: o.made.alias_module("", "x"),
    "WasmLinker.define": lambda o: o.made.define("a", "b", o.host, H),
    "WasmLinker.define: a memory": lambda o: o.made.define("a", "b", o.exports.m),
    "WasmLinker.define: a number": lambda o: o.made.define("a", "b", 5),
    "WasmLinker.define: references": lambda o: o.made.define("a", "b", o.host, w.WasmFuncType(["externref"])),
    "WasmLinker.define_instance": lambda o: o.made.define_instance("a", o.instance),
    "WasmLinker.define_module": lambda o: o.made.define_module(o.store, "a", o.start),
    "WasmLinker.define_unknown_imports_as_default_values": lambda o: w.WasmLinker(
        o.engine
    ).define_unknown_imports_as_default_values(o.store, o.module),
    "WasmLinker.define_unknown_imports_as_traps": lambda o: w.WasmLinker(
        o.engine
    ).define_unknown_imports_as_traps(o.module),
    "WasmLinker.get": lambda o: o.made.get(o.store, "", "h"),
    "WasmLinker.get_default": lambda o: o.made.get_default(o.store, ""),
    "WasmLinker.instantiate": lambda o: o.made.instantiate(o.store, o.module),
    "WasmLinker.instantiate: a start function": lambda o: o.made.instantiate(o.store, o.start),
    "WasmLinker.instantiate: WASI": lambda o: o.wasi_linker.instantiate(o.store, o.wasi_module),
    "WasmLinker.instantiate: items": lambda o: with_items(o),
    "WasmLinker.prepare": lambda o: o.made.prepare(o.module),
    "WasmLinker.prepare: a shared memory": lambda o: linked_sharing(o),
    "WasmModule.__deepcopy__": lambda o: copy.deepcopy(o.made),
    "WasmModule.deserialize": lambda o: w.WasmModule.deserialize(o.engine, o.common.serialized["TEXT"]),
    "WasmModule.deserialize_file": lambda o: w.WasmModule.deserialize_file(o.engine, "module.cwasm"),
    "WasmModule.from_file": lambda o: w.WasmModule.from_file(o.engine, "module.wasm"),
    "WasmModule.load": lambda o: w.WasmModule.load(o.engine, o.common.binary, cache=False),
    "WasmModule.load: cached": lambda o: w.WasmModule.load(o.engine, o.common.binary, cache="cache"),
    "WasmModule.validate": lambda o: w.WasmModule.validate(o.engine, o.common.binary),
    "WasmStore.add_fuel": lambda o: o.made.add_fuel(5),
    "WasmStore.deadline": lambda o: o.made.deadline(5),
    "WasmStore.profile": lambda o: o.made.profile(os.devnull),
    "WasmStore.set_epoch_deadline": lambda o: o.made.set_epoch_deadline(10**6),
    "WasmStore.set_fuel": lambda o: o.made.set_fuel(FUEL),
    "WasmStore.set_wasi": lambda o: o.made.set_wasi(w.WasiConfig(argv=["x"], env={"a": "b"}, stdin=b"x")),
    "WasmStore.set_wasi: a folder": lambda o: o.made.set_wasi(w.WasiConfig(preopens={"/": "."})),
    "WasmStore.gc: dropped objects": lambda o: (o.exports.same([1]), o.made.gc()),
    "WasmCaller.get_export": lambda o: o.with_caller(lambda caller: caller.get_export("m")),
    "WasmCaller.get_func": lambda o: o.with_caller(lambda caller: caller.get_func("n")),
    "WasmCaller.get_global": lambda o: o.with_caller(lambda caller: caller.get_global("g")),
    "WasmCaller.get_table": lambda o: o.with_caller(lambda caller: caller.get_table("t")),
    "WasmCaller.get_memory": lambda o: o.with_caller(lambda caller: caller.get_memory("m")),
    "WasmCaller.store": lambda o: o.with_caller(lambda caller: (caller.store, caller.data, caller.is_valid)),
    "WasmCaller.get_memory: expired": lambda o: o.made.get_memory("m"),
    "with_caller.__call__": lambda o: o.made([1]),
    "TypedFunc.__call__": lambda o: o.made(5),
    "TypedFunc.__call__: large": lambda o: o.made(2**32 - 1),
    "TypedFunc.call": lambda o: o.made.call(5),
    "WasmExports.__getitem__": lambda o: o.made["h"],
    "WasmExports.__getitem__: a table": lambda o: o.made["t"],
    "WasmExports.__getattr__": lambda o: (o.made.n, o.made.m, o.made.t, o.made.g, o.made.e),
    "WasmExports.values": lambda o: list(o.made.values()),
    "WasmFunc.__call__": lambda o: o.made(5),
    "WasmFunc.__call__: timeout": lambda o: o.made(5, timeout=50),
    "WasmFunc.__call__: an odd number": lambda o: o.made(w.WasmI32(5)),
    "WasmFunc.__call__: wrong": lambda o: o.made("x"),
    "WasmFunc.__call__: several": lambda o: o.exports.several(2**40, 1.5, 2.5, V128),
    "WasmFunc.__call__: many": lambda o: o.exports.many(1, 2**40, 1, 2, 3, 4, 5, 6, 7, 8),
    "WasmFunc.__call__: objects": lambda o: o.exports.same([1]),
    "WasmFunc.__call__: references": lambda o: o.exports.refs([1], w.WasmI31(5), o.exports.n, 7),
    "WasmFunc.__call__: object as any": lambda o: o.exports.refs([1], [2], None, 7),
    "WasmFunc.__call__: a struct": lambda o: o.exports.s(),
    "WasmFunc.__call__: defined": lambda o: o.exports.defined(o.exports.s()),
    "WasmFunc.__call__: of another type": lambda o: o.exports.defined(o.exports.a(None)),
    "WasmFunc.__call__: externalized": lambda o: o.exports.same(o.exports.x()),
    "WasmFunc.__call__: trap": lambda o: o.exports.trap(),
    "WasmFunc.__call__: throw": lambda o: o.exports.throw(),
    "WasmFunc.__call__: hold": lambda o: o.exports.hold(),
    "WasmFunc.__call__: throw again": lambda o: o.exports.again(o.exports.hold()),
    "WasmFunc.__call__: a new exception": lambda o: o.exports.again(w.WasmException(o.exports.e, 5)),
    "WasmFunc.__call__: the host throws": lambda o: throwing(o)(5),
    "WasmFunc.__call__: of the host": lambda o: w.WasmFunc(
        o.store,
        lambda *args: args,
        w.WasmFuncType(["i32", "externref", "funcref"], ["i32", "externref", "funcref"]),
    )(5, [1], o.exports.n),
    "WasmFunc.__call__: wrong results": lambda o: w.WasmFunc(
        o.store, lambda: "x", w.WasmFuncType([], ["i32"])
    )(),
    "WasmFunc.__call__: WASI": lambda o: o.wasi_linker.instantiate(o.store, o.wasi_module).exports.say(),
    "WasmFunc.__call__: exit": lambda o: o.wasi_linker.instantiate(o.store, o.wasi_module).exports._start(),
    "WasmFunc.call": lambda o: o.made.call(5),
    "WasmFunc.call_values": lambda o: o.made.call_values(5),
    "WasmFunc.call_values: timeout": lambda o: o.made.call_values(5, timeout=50),
    "WasmFunc.call_values: references": lambda o: o.exports.refs.call_values(
        [1], w.WasmI31(5), o.exports.n, 7
    ),
    "WasmFunc.map": lambda o: o.made.map(array.array("i", range(5))),
    "WasmFunc.map: timeout": lambda o: o.made.map(array.array("i", range(5)), timeout=50),
    "WasmFunc.map: out": lambda o: o.made.map(5, out=array.array("i", range(5))),
    "WasmFunc.map: trap": lambda o: w.WasmFunc(o.store, lambda x: 1 // x, H).map(array.array("i", [1, 0])),
    "WasmFunc.typed": lambda o: o.made.typed(["i32"], ["i32"]),
    "WasmFunc.typed: keep_gil": lambda o: kept_gil(o)(5),
    "WasmGlobal.value": lambda o: (o.made.value, set_value(o.made, "value", 7)),
    "WasmGlobal.value: an object": lambda o: (
        set_value(o.exports.object, "value", [1]),
        o.exports.object.value,
    ),
    "WasmGlobal.value: a function": lambda o: (
        set_value(o.exports.f, "value", o.exports.n),
        o.exports.f.value,
    ),
    "WasmTable.__contains__": lambda o: "x" in o.made,
    "WasmTable.__getitem__": lambda o: o.made[1],
    "WasmTable.__getitem__: a slice": lambda o: o.made[0:2],
    "WasmTable.__setitem__": lambda o: (set_item(o.made, -1, [1]), o.made[2]),
    "WasmTable.__setitem__: a function": lambda o: (
        set_item(o.exports.funcs, 1, o.exports.n),
        o.exports.funcs[1],
    ),
    "WasmTable.grow": lambda o: o.made.grow(1, [1]),
    "WasmTable.index": lambda o: o.made.index(None),
    "WasmTable.__reversed__": lambda o: list(reversed(o.made)),
    "ByteCaller.call": lambda o: o.made.call("echo", b"abc"),
    "ByteCaller.call: span": lambda o: o.made.call("echo", b"abc", free_result=True),
    "ByteCaller.free": lambda o: o.made.free(w.WasmSpan(1024, 5)),
    "ByteCaller.get": lambda o: o.made.get(w.WasmSpan(1024, 5)),
    "ByteCaller.put": lambda o: o.made.put(b"abc"),
    "WasmArray.__getitem__": lambda o: o.made[1],
    "WasmArray.__getitem__: a slice": lambda o: o.made[0:2],
    "WasmArray.__setitem__": lambda o: set_item(o.made, 1, [1]),
    "WasmArray.filled": lambda o: w.WasmArray.filled(o.store, array_of(o), [1], 5),
    "WasmArray.matches": lambda o: o.made.matches(o.made.type),
    "WasmArray.new_type": lambda o: w.WasmArray.new_type(o.engine, w.WasmFieldType("i64")),
    "WasmStruct.__getitem__": lambda o: (o.made[0], o.made[1]),
    "WasmStruct.__setitem__": lambda o: set_item(o.made, 1, [1]),
    "WasmStruct.matches": lambda o: o.made.matches(o.made.type),
    "WasmStruct.new_type": lambda o: struct_of(o),
    "DefinedType.__deepcopy__": lambda o: copy.deepcopy(o.made),
    "WasmFuncType.matches": lambda o: o.made.matches(o.made),
    "WasmGlobalType.matches": lambda o: o.made.matches(o.made),
    "WasmLimits.admits": lambda o: o.made.admits(1, 2),
    "WasmMemoryType.matches": lambda o: o.made.matches(o.made, 1),
    "StoreLimits.worst_case": lambda o: o.made.worst_case(max_output=5),
    "WasmTableType.matches": lambda o: o.made.matches(o.made, 1),
    "WasmTagType.matches": lambda o: o.made.matches(o.made),
    "WasmValType.matches": lambda o: o.made.matches(o.made),
    "WasmValType.parse": lambda o: w.WasmValType.parse("(ref null extern)"),
    "WasmValType.ref": lambda o: w.WasmValType.ref("any"),
    "WasmValType.with_nullable": lambda o: w.WasmValType.EXTERNREF.with_nullable(True),
    "Sandbox.run": lambda o: (
        w.Sandbox(WASI.encode(), cache=False).run() if o.own else o.common.runs.run(timeout=50)
    ),
    "Sandbox.run: limits": lambda o: o.common.runs.run(["x"], timeout=50, env={"a": "b"}, stdin=b"x"),
    "Sandbox.start": lambda o: o.made.start(timeout=50),
    "Sandbox.pool": lambda o: o.made.pool(),
    "SandboxInstance.call": lambda o: o.made.call("f", 5, timeout=50),
    "SandboxInstance.call: trap": lambda o: o.made.call("trap"),
    "SandboxLease.call": lambda o: o.made.call("f", 5, timeout=50),
    "SandboxLease.call: through exports": lambda o: o.made.exports.f(5),
    "SandboxPool.take": lambda o: dispose(o.made.take()),
    "SandboxPool.take: idle": lambda o: (dispose(o.made.take()), dispose(o.made.take())),
    "SandboxPool.take: trapped": lambda o: lease_traps(o),
    "WasmException.tag": lambda o: (o.made.tag, o.made.payload, repr(o.made)),
}
#: Constructors, by class. Those that are not here are tried as ``SAMPLES`` have them.
CONSTRUCTORS = {
    "WasmArray": lambda o: w.WasmArray(o.store, array_of(o), [[1], "x"]),
    "WasmEngine": lambda o: w.WasmEngine(CONFIG),
    "WasmFunc": lambda o: w.WasmFunc(o.store, lambda x: x, H),
    "WasmFunc: references": lambda o: w.WasmFunc(
        o.store, lambda x: x, w.WasmFuncType(["externref"], ["anyref"])
    ),
    "WasmFunc: a type never seen": lambda o: w.WasmFunc(
        o.store,
        lambda *x: None,
        w.WasmFuncType(["f32"] * random.randrange(20) + ["i64"] * random.randrange(20)),
    ),
    "WasmGlobal": lambda o: w.WasmGlobal(o.store, w.WasmGlobalType("i64", mutable=True), 5),
    "WasmGlobal: an object": lambda o: w.WasmGlobal(o.store, w.WasmGlobalType("externref"), [1]),
    "WasmGlobal: a function": lambda o: w.WasmGlobal(o.store, w.WasmGlobalType("funcref"), o.exports.n),
    "WasmInstance": lambda o: w.WasmInstance(o.store, o.module, {"": {"h": o.host}}),
    "WasmInstance: a function": lambda o: w.WasmInstance(o.store, o.module, [o.exports.n]),
    "WasmInstance: a start function": lambda o: w.WasmInstance(o.store, o.start, [o.host], timeout=50),
    "WasmInstance: not linked": lambda o: w.WasmInstance(o.store, o.module, {}),
    "WasmInstance: a shared memory": lambda o: w.WasmInstance(
        o.plain_store, o.sharer, {"": {"m": o.shared, "x": 5, "f": o.host}}
    ),
    "WasmInstance: of items": lambda o: w.WasmInstance(
        o.store, o.imports, [o.exports.m, o.exports.t, o.exports.g, o.exports.e, 5]
    ),
    "WasmInstancePre": lambda o: o.wasi_linker.prepare(o.wasi_module),
    "WasmLinker": lambda o: w.WasmLinker(o.engine, allow_shadowing=True),
    "WasmMemory": lambda o: w.WasmMemory(o.store, w.WasmMemoryType(1, 2)),
    "WasmModule": lambda o: w.WasmModule(o.engine, o.common.binary),
    "WasmModule: text": lambda o: w.WasmModule(o.engine, START),
    "WasmSharedMemory": lambda o: w.WasmSharedMemory(o.shares, w.WasmMemoryType(1, 2, shared=True)),
    "WasmStore": lambda o: w.WasmStore(o.engine, 5, w.WasiConfig(argv=["x"]), w.StoreLimits(memory_size=5)),
    "WasmStruct": lambda o: w.WasmStruct(o.store, struct_of(o), [5, [1]]),
    "WasmTable": lambda o: w.WasmTable(o.store, w.WasmTableType("externref", 2, 5), [1]),
    "WasmTable: 64 bits": lambda o: w.WasmTable(
        o.store, w.WasmTableType("funcref", 2, 5, is64=True), o.exports.n
    ),
    "WasmTable: exceptions": lambda o: w.WasmTable(
        o.store, w.WasmTableType("exnref", 1), w.WasmException(o.exports.e, 5)
    ),
    "WasmTag": lambda o: w.WasmTag(o.store, w.WasmTagType(w.WasmFuncType(["i32", "externref"]))),
    "Sandbox": lambda o: w.Sandbox(LIBRARY.encode(), cache=False),
    "SandboxInstance": lambda o: o.sandbox.start(stdin=b"x"),
    "SandboxPool": lambda o: o.sandbox.pool(),
    "SandboxLease": lambda o: o.pool.take(),
}
#: Public names that are no classes; those that are None do nothing.
FUNCTIONS = {
    **dict.fromkeys(("__version__", "engine_version", "WasmExtern", "WasmExternType", "F32", "F64", "I32", "I64", "V128")),
    "instantiate": lambda o: w.instantiate(o.store, o.module, [o.host]),
    "restore_signal_handlers": lambda o: w.restore_signal_handlers(),
    "wat2wasm": lambda o: w.wat2wasm(START),
    "call_bytes": lambda o: w.call_bytes(o.instance, "echo", b"abc", memory="m", alloc="alloc"),
    "pack_span": lambda o: w.pack_span(w.WasmSpan(1, 2)),
    "unpack_span": lambda o: w.unpack_span(5),
    "unsigned": lambda o: w.unsigned(-5),
    "from_wasm": lambda o: w.from_wasm(w.WasmI32(5)),
    "is_wasm_convertible": lambda o: w.is_wasm_convertible(5, w.WasmValType.I32),
    "to_wasm": lambda o: w.to_wasm(5, w.WasmValType.I32),
    "v128": lambda o: w.v128.i32x4(1, 2, 3, 4),
    "run_wasi": lambda o: w.run_wasi(WASI.encode(), ["x"], cache=False),
    "rw": lambda o: w.rw("."),
    "importer": lambda o: imported(o),
}  # fmt: skip
for _kind in ("WasmMemory", "WasmSharedMemory"):
    for _scalar in ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"):
        MEMBERS[f"{_kind}.read_{_scalar}"] = lambda o, name=f"read_{_scalar}": getattr(o.made, name)(8)
        MEMBERS[f"{_kind}.write_{_scalar}"] = lambda o, name=f"write_{_scalar}": getattr(o.made, name)(8, 1)
    MEMBERS |= {
        f"{_kind}.__getitem__": lambda o: (o.made[5], o.made[-1], o.made[1:5], o.made[9:1:-2]),
        f"{_kind}.__setitem__": lambda o: (set_item(o.made, 5, 1), set_item(o.made, slice(1, 3), b"ab")),
        f"{_kind}.__delitem__": lambda o: delete_item(o.made, 5),
        f"{_kind}.grow": lambda o: o.made.grow(1),
        f"{_kind}.read": lambda o: o.made.read(1, length=5),
        f"{_kind}.read: outside": lambda o: o.made.read(2**40, 5),
        f"{_kind}.read_cstring": lambda o: (o.made.write(0, b"a" * 700), o.made.read_cstring(0)),
        f"{_kind}.read_utf8": lambda o: o.made.read_utf8(1, 5),
        f"{_kind}.write": lambda o: o.made.write(1, memoryview(b"abcdef")[::2]),
        f"{_kind}.write_cstring": lambda o: o.made.write_cstring(1, "abc"),
        f"{_kind}.write_utf8": lambda o: o.made.write_utf8(1, "abc"),
        f"{_kind}.view: used": lambda o: memoryview(o.made)[5],
    }
for _kind in (
    "WasmValue",
    "WasmExternRef",
    "WasmF32",
    "WasmF64",
    "WasmFuncRef",
    "WasmI32",
    "WasmI64",
    "WasmV128",
):
    MEMBERS |= {
        f"{_kind}.externref": lambda o: w.WasmValue.externref("x"),
        f"{_kind}.funcref": lambda o: w.WasmValue.funcref(None),
        f"{_kind}.i32": lambda o: w.WasmValue.i32(5),
        f"{_kind}.i64": lambda o: w.WasmValue.i64(5),
        f"{_kind}.f32": lambda o: w.WasmValue.f32(5),
        f"{_kind}.f64": lambda o: w.WasmValue.f64(5),
        f"{_kind}.v128": lambda o: w.WasmValue.v128(V128),
    }


def nested(o):
    with o.made, o.store.deadline(20):
        return o.exports.n(5)


def profiled(o):
    with o.made:
        return o.exports.n(5)


def throwing(o):
    tag = o.exports.e

    def throw():
        raise w.WasmException(tag, 5)

    o.inside = throw
    return o.exports.h


def with_items(o):
    linker = w.WasmLinker(o.engine)
    five = w.WasmGlobal(o.store, w.WasmGlobalType("i32"), 5)
    for name, item in zip("mtgex", (o.exports.m, o.exports.t, o.exports.g, o.exports.e, five), strict=True):
        linker.define("", name, item)
    return linker.instantiate(o.store, o.imports)


def linked_sharing(o):
    linker = w.WasmLinker(o.shares)
    linker.define("", "m", o.shared)
    linker.define("", "x", w.WasmGlobal(o.plain_store, w.WasmGlobalType("i32"), 5))
    linker.define("", "f", o.host, H)
    prepared = linker.instantiate(o.plain_store, o.sharer)
    return prepared.exports.m.read(0, 5)


def lease_traps(o):
    with o.made.take() as lease, contextlib.suppress(w.WasmTrap):
        lease.call("trap")


def imported(o):
    finder = wasmtime_rt.importer.install(o.store)
    sys.path.insert(0, os.getcwd())
    try:
        importlib.invalidate_caches()
        return importlib.import_module("steps_library")
    finally:
        sys.path.remove(os.getcwd())
        sys.modules.pop("steps_library", None)
        wasmtime_rt.importer.uninstall()
        del finder


# ---- All operations

LONG = ("ModuleCache", "Sandbox", "run_wasi", "importer", "WasmModule.load: cached")
HOOK = "where Python runs: "
#: Members that are not worth a step: they are refused, or belong to Python.
LEFT_OUT = {
    "__init__", "__new__", "__init_subclass__", "__module__", "__doc__", "__slots__", "__annotations__", "__weakref__",
    "__dict__", "__abstractmethods__", "__signature__", "__orig_bases__", "__parameters__", "__vectorcalloffset__",
    "__class_getitem__", "__exit__", "__match_args__", "__static_attributes__", "__firstlineno__", "__subclasshook__",
    "__release_buffer__", "__buffer__",
}  # fmt: skip
OPERATORS = {
    "__eq__": lambda o: (o.made == o.made, o.made == 5, o.made != copy),
    "__enter__": lambda o: with_block(o.made),
    "__setattr__": lambda o: set_value(o.made, "x", 5),
    "__delattr__": lambda o: delattr(o.made, "x"),
    "__len__": lambda o: len(o.made),
    "__bool__": lambda o: bool(o.made),
    "__iter__": lambda o: list(o.made),
    "__index__": lambda o: o.made.__index__(),
    "__hash__": lambda o: hash(o.made),
    "__repr__": lambda o: repr(o.made),
    "__str__": lambda o: str(o.made),
    "__dir__": lambda o: dir(o.made),
}


def members(kind):
    """The public names of a class that are the package's own."""
    for name in sorted(dir(kind)):
        owner = next(each for each in kind.__mro__ if name in vars(each) or each is object)
        ours = owner.__module__.startswith("wasmtime_rt")
        public = not name.startswith("_") or (name.startswith("__") and name.endswith("__"))
        if ours and public and name not in LEFT_OUT and inspect.getattr_static(kind, name) is not None:
            yield name


def plain(kind, name):
    """The operation, for a member that needs no arguments, or None."""
    if name in OPERATORS:
        return OPERATORS[name]
    found = inspect.getattr_static(kind, name)
    if not callable(found) and not isinstance(found, (classmethod, staticmethod)):
        return lambda o: getattr(o.made, name)
    try:
        parameters = list(inspect.signature(getattr(kind, name)).parameters.values())
    except (TypeError, ValueError):
        return None
    if not isinstance(found, (classmethod, staticmethod)):
        del parameters[:1]
    if any(each.default is each.empty and each.kind in {0, 1} for each in parameters):
        return None
    return lambda o: getattr(o.made, name)()


def operations():
    """Every operation by its label, with the name of its class; and members that nobody has a line for."""
    found, missing = {}, []
    for name, kind in CLASSES.items():
        if name in ABSTRACT:
            continue
        constructors = {label: use for label, use in CONSTRUCTORS.items() if label.partition(":")[0] == name}
        for label, use in (constructors or {name: SAMPLES.get(name)}).items():
            found[f"{label}()"] = None, use
            if use is None:
                missing.append(f"{name}()")
        known = {label.partition(":")[0] for label in MEMBERS}
        for member in members(kind):
            label = f"{name}.{member}"
            if name in ERRORS | {"WasmConfig", "PoolingConfig"} or issubclass(kind, enum.Enum):
                continue  # nothing but values
            if label in known:
                continue
            use = plain(kind, member)
            if use is None:
                missing.append(label)
            else:
                found[label] = name, use
        found |= {label: (name, use) for label, use in MEMBERS.items() if label.partition(".")[0] == name}
    missing += [name for name in w.__all__ if name not in CLASSES and name not in FUNCTIONS]
    found |= {name: (None, use) for name, use in FUNCTIONS.items() if use is not None}
    found |= {f"{HOOK}{name}": (None, use) for name, use in PLACES.items()}
    return found, missing


PLANTED = """
import threading
lock = threading.Lock()
def asks_twice(o):
    return o.made._prepared.store if o.made._prepared is not None else None
def keeps_a_lock(o):
    with lock:
        return o
def stays_inside(o):
    store = o.store
    store._core.__enter__()
    store.data
    len([o])
    store._core.__exit__(None, None, None)
def lets_go_too_late(o):
    store = o.store
    store._core.__enter__()
    len([o])
    try:
        return store.fuel
    finally:
        store._core.__exit__(None, None, None)
def careful(o):
    prepared = o.made._prepared
    with o.store._core:
        return prepared.store if prepared is not None else None
"""


def planted():
    """Operations that look like the package's, and are wrong but for the last."""
    names = {}
    exec(compile(PLANTED, PACKAGE + "planted.py", "exec"), names)
    samples = {"asks_twice": "WasmInstancePre", "careful": "WasmInstancePre"}
    return {
        name.replace("_", " "): (samples.get(name), names[name])
        for name in ("asks_twice", "keeps_a_lock", "stays_inside", "lets_go_too_late", "careful")
    }
