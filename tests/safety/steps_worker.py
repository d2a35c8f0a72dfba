"""Something meddles at each step of each public operation: another thread, a finalizer, a signal handler.

A step is an opcode of the package's own Python: a trace function stops there, and one thing is done, on another thread
or on this one. Every operation runs once for each step and each action, each time with objects of its own, and must end
in a result, in an exception of the package, or in what it raises when nobody meddles; and leave a store that is closed,
or that works.

    steps_worker.py [--all] [--seed N] [--runs N] [--from LABEL] [--actions A,B] [operations]

prints a line of JSON for each operation: how many steps it has, how many runs there were, and what was wrong. While it
works, the file that ``STEPS_AT`` names tells which run it is, for whoever finds the process dead.
"""

from __future__ import annotations

import argparse
import array
import collections
import collections.abc
import contextlib
import copy
import dis
import enum
import faulthandler
import gc
import importlib
import inspect
import io
import itertools
import json
import mmap
import os
import random
import signal
import sys
import tempfile
import threading
import traceback
import zlib

import protocols_worker

import wasmtime_rt as w
import wasmtime_rt.importer
from wasmtime_rt import _importing

PACKAGE = os.path.dirname(w.__file__) + os.sep
CLASSES, ABSTRACT, ERRORS = protocols_worker.CLASSES, protocols_worker.ABSTRACT, protocols_worker.ERRORS
#: Seconds that one run may take, and a thread that waits for a lock of ours before we go on.
PATIENCE = float(os.environ.get("STEPS_PATIENCE", 5)) * (5 if os.environ.get("WASMTIME_RT_SANITIZE") else 1)
WAITING = 0.02
#: How often the same step, reached from the same place, is looked at: it may be in a loop, or in many operations.
OFTEN = 1

TEXT = """(module
    (import "" "h" (func $h (param i32) (result i32)))
    (type $s (struct (field (mut i32)) (field (mut externref)))) (type $a (array (mut externref)))
    (tag $e (export "e") (param i32)) (global (export "g") (mut i64) (i64.const 5))
    (global (export "object") (mut externref) (ref.null extern)) (global (export "f") (mut funcref) (ref.null func))
    (memory (export "m") 1 30) (table (export "t") 3 90 externref) (table (export "funcs") 3 90 funcref)
    (func (export "n") (param i32) (result i32) local.get 0) (func (export "h") (param i32) (result i32) local.get 0 call $h)
    (func (export "s") (result (ref $s)) (struct.new $s (i32.const 7) (ref.null extern)))
    (func (export "a") (param externref) (result (ref $a)) (array.new $a (local.get 0) (i32.const 3)))
    (func (export "x") (result externref) (extern.convert_any (ref.i31 (i32.const 9))))
    (func (export "refs") (param externref anyref funcref i64) (result externref anyref funcref i64)
        local.get 0 local.get 1 local.get 2 local.get 3)
    (func (export "defined") (param (ref null $s)) (result (ref null $s)) local.get 0)
    (func (export "same") (param externref) (result externref) local.get 0)
    (func (export "several") (param i64 f32 f64 v128) (result v128 f64 f32 i64) local.get 3 local.get 2 local.get 1 local.get 0)
    (func (export "many") (param i32 i64 i32 i64 i32 i64 i32 i64 i32 i64) (result i32) local.get 0)
    (func (export "trap") unreachable) (func (export "throw") (throw $e (i32.const 5)))
    (func (export "hold") (result exnref)
        (block $b (result exnref) (try_table (catch_all_ref $b) (throw $e (i32.const 5))) (ref.null exn)))
    (func (export "again") (param exnref) (throw_ref (local.get 0)))
    (func (export "alloc") (param i32) (result i32) (i32.const 1024)) (func (export "free") (param i32 i32))
    (func (export "echo") (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))"""
START = """(module (import "" "h" (func $h (param i32) (result i32))) (func $s (drop (call $h (i32.const 1)))) (start $s)
    (func (export "_initialize")) (func (export "") (result i32) (i32.const 3)) (memory (export "memory") 1 5))"""
WASI = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) (data (i32.const 8) "\\20\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 32) "text\\n")
    (func (export "say") (result i32) (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))) (call $exit (i32.const 3))))"""
LIBRARY = """(module (memory (export "memory") 1) (func (export "_initialize"))
    (func (export "f") (param i32) (result i32) (local.get 0)) (func (export "trap") unreachable))"""
IMPORTS = """(module (import "" "m" (memory 1)) (import "" "t" (table 3 externref))
    (import "" "g" (global (mut i64))) (import "" "e" (tag (param i32))) (import "" "x" (global i32)))"""
SHARER = """(module (import "" "m" (memory 1 30 shared)) (import "" "x" (global i32))
    (import "" "f" (func (param i32) (result i32))) (export "m" (memory 0)))"""
CONFIG = w.WasmConfig(epoch_interruption=True, parallel_compilation=False, consume_fuel=True)
SHARES = w.WasmConfig(shared_memory=True, parallel_compilation=False)
FUEL = 10**12


class Gone(AttributeError):
    """What the operation works with was dropped in its middle."""


class Common:
    """What is compiled once."""

    def __init__(self):
        self.engine = w.WasmEngine(CONFIG)
        self.shares = w.WasmEngine(SHARES)
        self.modules = {
            name: w.WasmModule(self.engine, text)
            for name, text in (("TEXT", TEXT), ("START", START), ("WASI", WASI), ("IMPORTS", IMPORTS))
        }
        self.modules["SHARER"] = w.WasmModule(self.shares, SHARER)
        self.serialized = {name: module.serialize() for name, module in self.modules.items()}
        self.binary = w.wat2wasm(
            '(module (import "" "h" (func)) (table (export "t") 3 funcref) (func (export "f")))'
        )
        self.sandbox = w.Sandbox(LIBRARY.encode(), cache=False)


class World:
    """One of everything, made when it is asked for."""

    common: Common

    def __init__(self, own=False):
        self.own = own
        self.inside = lambda: None
        self.kept = []

    def __getattr__(self, name):
        made = getattr(type(self), f"make_{name}", None)
        if made is None:
            raise Gone(name)
        value = self.__dict__[name] = made(self)
        return value

    def host(self, x):
        self.inside()
        return x

    def make_engine(self):
        return w.WasmEngine(CONFIG) if self.own else self.common.engine

    def _module(self, name):
        if self.own:
            engine = self.shares if name == "SHARER" else self.engine
            return w.WasmModule.deserialize(engine, self.common.serialized[name])
        return copy.copy(self.common.modules[name])

    def make_module(self):
        return self._module("TEXT")

    def make_start(self):
        return self._module("START")

    def make_imports(self):
        return self._module("IMPORTS")

    def make_sharer(self):
        return self._module("SHARER")

    def make_wasi_module(self):
        return self._module("WASI")

    def make_shares(self):
        return w.WasmEngine(SHARES) if self.own else self.common.shares

    def make_shared(self):
        return w.WasmSharedMemory(self.shares, w.WasmMemoryType(1, 30, shared=True))

    def make_store(self):
        store = w.WasmStore(self.engine, data=[5], wasi=w.WasiConfig(stdout=lambda data: self.inside()))
        store.set_fuel(FUEL)
        return store

    def make_instance(self):
        return w.WasmInstance(self.store, self.module, {"": {"h": self.host}})

    def make_exports(self):
        return self.instance.exports

    def make_linker(self):
        linker = w.WasmLinker(self.engine)
        linker.define("", "h", self.host, H)
        return linker

    def make_wasi_linker(self):
        linker = w.WasmLinker(self.engine)
        linker.define_wasi()
        return linker

    def make_prepared(self):
        return self.linker.prepare(self.module)

    def make_sandbox(self):
        return w.Sandbox(LIBRARY.encode(), cache=False) if self.own else self.common.sandbox

    def make_pool(self):
        return self.sandbox.pool()

    def make_caching(self):
        return w.ModuleCache("cache")

    def make_plain_store(self):
        return w.WasmStore(self.shares)

    def caller(self):
        kept = []
        w.WasmFunc(self.store, w.with_caller(kept.append), w.WasmFuncType())()
        return kept[0]

    def with_caller(self, use):
        """Use a caller while it is one: of a host function that WebAssembly calls."""
        exports = w.WasmInstance(
            self.store, self.module, [w.with_caller(lambda caller, x: (use(caller), x)[1])]
        ).exports
        return exports.h(5)

    def stores(self):
        """Those that there are."""
        found = [value for value in vars(self).values() if isinstance(value, w.WasmStore)]
        made = vars(self).get("made")
        if isinstance(made, w.SandboxInstance):
            found.append(made._store)
        return found

    def drop(self):
        """Let go of everything."""
        for name in [name for name in vars(self) if name not in {"own", "inside", "kept"}]:
            del self.__dict__[name]


H = w.WasmFuncType(["i32"], ["i32"])
V128 = bytes(range(16))
STRUCT = [w.WasmFieldType("i32", mutable=True), w.WasmFieldType("externref", mutable=True)]


def struct_of(o):
    return w.WasmStruct.new_type(o.engine, STRUCT)


def array_of(o):
    return w.WasmArray.new_type(o.engine, w.WasmFieldType("externref", mutable=True))


def with_block(thing):
    with thing:
        pass


def set_item(thing, at, value):
    thing[at] = value


def delete_item(thing, at):
    del thing[at]


def set_value(thing, name, value):
    setattr(thing, name, value)


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
    "WasmTableType.matches": lambda o: o.made.matches(o.made, 1),
    "WasmTagType.matches": lambda o: o.made.matches(o.made),
    "WasmValType.matches": lambda o: o.made.matches(o.made),
    "WasmValType.parse": lambda o: w.WasmValType.parse("(ref null extern)"),
    "WasmValType.ref": lambda o: w.WasmValType.ref("any"),
    "WasmValType.with_nullable": lambda o: w.WasmValType.EXTERNREF.with_nullable(True),
    "Sandbox.run": lambda o: w.Sandbox(WASI.encode(), cache=False).run() if o.own else RUNS.run(timeout=50),
    "Sandbox.run: limits": lambda o: RUNS.run(["x"], timeout=50, env={"a": "b"}, stdin=b"x"),
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
    **dict.fromkeys(("__version__", "backend", "engine_version", "WasmExtern", "WasmExternType", "F32", "F64", "I32", "I64", "V128")),
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
        f"{_kind}.view: used": lambda o: memoryview(o.made)[5] if w.backend == "c" else o.made.view()[5],
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


# ---- Python that operations run: what their arguments do when they are asked, and what WebAssembly calls


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
    "sandbox": lambda o: RUNS.run(
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


# ---- Meddling


def close(o):
    for store in o.stores():
        store.close()


def leave(o):
    """What the end of a ``with`` block does: close the store as soon as nobody is inside."""
    for store in o.stores():
        store.__exit__(None, None, None)


def close_all_else(o):
    made = vars(o).get("made")
    exports = vars(o).get("exports", ())
    items = [made, *(exports._WasmExports__cache.values() if exports else ()), *list(vars(o).values())]
    problems = []
    for item in items:
        if hasattr(type(item), "close") and item not in o.stores():
            if not o.own and (item is o.common.engine or item is o.common.shares or item is o.common.sandbox):
                continue
            try:
                item.close()
            except w.WasmtimeError as problem:
                problems.append(problem)
    if problems:
        raise problems[0]


def drop(o):
    o.drop()
    gc.collect()


def collect(o):
    """What the collector finds may close what it knows."""

    class Closes:
        def __init__(self):
            self.itself, self.world = self, o

        def __del__(self):
            with contextlib.suppress(w.WasmtimeError):
                close(o)

    Closes()
    gc.collect()


def grow(o):
    if "instance" in vars(o):
        o.exports.m.grow(1)
        o.exports.t.grow(1)
    if "shared" in vars(o):
        o.shared.grow(1)


def change(o):
    if "instance" in vars(o):
        o.exports.m.write(0, b"abc")
        o.exports.t[0] = [1]
        o.exports.g.value += 1
        o.exports.object.value = [2]
    for store in o.stores():
        store.data = [3]
        store.gc()
    made = vars(o).get("made")
    if isinstance(made, (w.WasmStruct, w.WasmArray)):
        made[1] = [7]


def call(o):
    if "instance" in vars(o):
        assert o.exports.h(5) == 5
        assert o.exports.same(marker) is marker


def again(o):
    o.again(o)


class Struck(KeyboardInterrupt):
    """As if Ctrl-C had been pressed."""


def strike(_o):
    raise Struck


marker = object()
#: What is done, and whether on another thread.
ACTIONS = {
    "close there": (close, True),
    "close": (close, False),
    "leave there": (leave, True),
    "leave": (leave, False),
    "close all else there": (close_all_else, True),
    "close all else": (close_all_else, False),
    "close all else, of an engine of its own": (close_all_else, True),
    "drop": (drop, False),
    "collect": (collect, False),
    "grow there": (grow, True),
    "grow": (grow, False),
    "change there": (change, True),
    "change": (change, False),
    "call there": (call, True),
    "call": (call, False),
    "again there": (again, True),
    "again": (again, False),
    "strike": (strike, False),
}
OWN = "close all else, of an engine of its own"


class Helper(threading.Thread):
    """Another thread, that does one thing at a time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.work = self.raised = None
        self.start()

    def run(self):
        while True:
            self.go.acquire()
            try:
                self.work()
            except BaseException as raised:
                self.raised = raised
            self.done.release()

    def begin(self, work):
        self.work, self.raised = work, None
        self.go.release()
        return self.done.acquire(timeout=WAITING)


class Hung(BaseException):
    """A run takes too long."""


#: Kinds of steps: their name, whether the engine is the operation's own, whether only those where signals strike.
KINDS = (("", False, False), ("own", True, False), ("strike", False, True))


def kind_of(action):
    """Which steps count for an action."""
    return {"strike": "strike", OWN: "own"}.get(action, "")


def ours(frame):
    return frame.f_code.co_filename.startswith(PACKAGE)


_strikes = {}


def handler(code, offset):
    """Where what is raised at an offset is handled; before 3.11 blocks end by an opcode."""
    if sys.version_info < (3, 11):
        return None
    entries = dis._parse_exception_table(code)
    return next((entry.target for entry in entries if entry.start <= offset < entry.end), None)


def strikes(code):
    """The offsets in ``code`` before which CPython looks for signals: after calls, where loops and functions start.

    What strikes after a call belongs to the call. So where a block ends between the two, nothing is tried.
    """
    found = _strikes.get(code)
    if found is None:
        instructions = list(dis.get_instructions(code))
        found = {
            later.offset
            for earlier, later in itertools.pairwise(instructions)
            if earlier.opname.startswith(("CALL", "RESUME"))
            and handler(code, earlier.offset) == handler(code, later.offset)
        }
        found |= {
            each.argval
            for each in instructions
            if each.opname.startswith(("JUMP_BACKWARD", "JUMP_ABSOLUTE")) and each.argval < each.offset
        }
        if not any(each.opname == "RESUME" for each in instructions):
            found.add(instructions[0].offset)
        _strikes[code] = found
    return found


class Tracer:
    """Does something at a step."""

    def __init__(self, at, act, only_strikes):
        self.at, self.act, self.only = at, act, only_strikes
        self.count, self.where, self.sites = 0, None, []

    def __call__(self, frame, event, arg):
        if not ours(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.local

    def local(self, frame, event, arg):
        if event == "opcode" and (not self.only or frame.f_lasti in strikes(frame.f_code)):
            self.count += 1
            if self.at == 0:
                above = frame.f_back  # the place that it was called from belongs to it
                self.sites.append((frame.f_code, frame.f_lasti, above.f_code, above.f_lasti))
            elif self.count == self.at:
                sys.settrace(None)
                self.where = (
                    f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"
                )
                self.act()
        return self.local


class Runs:
    """Operations, run by run."""

    def __init__(self, progress):
        self.helper, self.progress, self.wrong = Helper(), progress, {}
        self.stray = []  # what was raised where nobody can catch it
        self.runs, self.times = 0, collections.defaultdict(collections.Counter)

    def say(self, text):
        if self.progress is not None:
            data = text.encode()[:400]
            self.progress[: len(data) + 1] = data + b"\n"

    def note(self, key, text):
        """Of the same, one is enough."""
        self.wrong.setdefault(key, text)

    def world(self, name, own):
        o = World(own or name in {"WasmEngine", "Sandbox"})  # which it may close
        if name is not None:
            o.made = SAMPLES[name](o)
        elif own:
            o.store
        return o

    def once(self, name, use, tracer=None):
        """What it ends with."""
        global point
        try:
            if isinstance(tracer, Point):
                point = tracer
            else:
                sys.settrace(tracer)
            try:
                result = use(self.now)
            finally:
                sys.settrace(None)
                point = no_point
        except BaseException as raised:
            return None, raised
        return result, None

    def measure(self, name, use, kinds=KINDS):
        """The steps when nobody meddles, for each kind of action, and what it ends with.

        Of a step that is taken again and again, in loops and by other operations, only the first times count.
        """
        steps = {}
        hooked = use in PLACES.values()
        for kind, own, only in kinds:
            for _ in range(2 if len(kinds) > 1 else 1):  # what is made once only is made by then
                self.now = self.world(name, own)
                self.ready()
                tracer = Point(0, None) if hooked else Tracer(0, None, only)
                _result, raised = self.once(name, use, tracer)
                del _result
            times = self.times[kind]
            steps[kind] = []
            for at, site in enumerate(tracer.sites, start=1):
                times[site] += 1
                if hooked or times[site] <= OFTEN:
                    steps[kind].append(at)
        return steps, raised

    def ready(self):
        o = self.now
        if o.stores():
            o.exports

    def run(self, label, name, use, action, at, usual):
        """One run: at step ``at``, do ``action``. Whether the operation went so far."""
        act, there = ACTIONS[action]
        self.runs += 1
        self.say(f"{label} | {action} | {at}")
        if action == "strike":
            self.stray.clear()
        o = self.now = self.world(name, action == OWN)
        self.ready()
        o.again = use
        helper, pending, acted = self.helper, [], []

        def meddle():
            if there:
                if not helper.begin(lambda: act(o)):
                    pending.append(True)  # it waits for a lock of ours: it will get it
                return
            try:
                act(o)
            except Struck:
                raise
            except BaseException as raised:
                acted.append(raised)

        tracer = Point(at, meddle) if label.startswith(HOOK) else Tracer(at, meddle, action == "strike")
        raised = None
        try:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)
            _result, raised = self.once(name, use, tracer)
            if pending and not helper.done.acquire(timeout=PATIENCE):
                raise Hung
        except Hung as hung:
            raised = hung
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if (
            _importing._lock._is_owned()
        ):  # struck before that was noted: others would wait for ten seconds, once
            _importing._lock = threading.RLock()
        key = f"{label} | {action} | {tracer.where}"
        if there and helper.raised is not None:
            acted.append(helper.raised)
            helper.raised = None
        # What strikes in a finalizer is told to `sys.unraisablehook`, and to nobody else.
        struck = tracer.where is not None and not any("Struck" in each for each in self.stray)
        if raised is not None and not self.expected(raised, usual, action, struck):
            self.note((key, repr(raised)[:60]), f"{key} | {told(raised)}")
        for each in acted:
            if not self.expected(each, usual, action):
                self.note((key, repr(each)[:60]), f"{key} | the action: {told(each)}")
            del each
        far = tracer.where is not None
        del _result, raised
        acted.clear()
        if far:
            self.look_after(key, o)
        return far

    def expected(self, raised, usual, action, struck=True):
        if (
            action == "strike" and struck and not isinstance(raised, Error)
        ):  # which drops what its methods raise
            while raised is not None and not isinstance(raised, Struck):
                raised = raised.__context__ or raised.__cause__
            return raised is not None
        if isinstance(raised, (w.WasmtimeError, Gone)):
            return True
        return type(raised) is type(usual) or isinstance(raised, ImportError)  # of the importer, out of ours

    def look_after(self, key, o):
        """A store is closed or works, and nobody is inside."""
        for store in o.stores():
            core = store._core
            if core.depth or core.owner_thread:
                self.note((key, "busy"), f"{key} | left busy: depth {core.depth}")
                continue
            try:
                if core.closed:
                    with contextlib.suppress(w.StoreClosedError):
                        store.gc()
                        self.note((key, "closed"), f"{key} | closed, and it works")
                    continue
                if "instance" in vars(o) and store is o.store and o.instance.is_valid:
                    exports = w.WasmInstance(store, o.module, [o.host]).exports if o.module.is_valid else None
                    o.inside = lambda: None
                    if exports is not None and exports.h(7) != 7:
                        self.note((key, "call"), f"{key} | a call went wrong")
                store.gc()
                self.close(store)
            except BaseException as raised:
                self.note((key, repr(raised)[:60]), f"{key} | afterwards: {told(raised)}")

    def close(self, store):
        try:
            store.close()
        except w.MemoryViewError:
            gc.collect()
            store.close()


def told(raised):
    lines = traceback.format_exception(type(raised), raised, raised.__traceback__)
    return "".join(lines)[-1500:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="every step with every action")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=6, help="of each operation, where it is not all")
    parser.add_argument("--after", default="", help="skip what was done: the last line of the progress")
    parser.add_argument("--actions", default="")
    parser.add_argument("--part", default="0/1", help="which of so many parts of the operations")
    parser.add_argument(
        "--missing", action="store_true", help="print what has no line here, and nothing else"
    )
    parser.add_argument(
        "--planted", action="store_true", help="operations that are wrong, to see that it shows"
    )
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    found, missing = operations()
    if given.missing:
        print(json.dumps(missing))
        return
    if given.planted:
        found = planted()
    actions = [name for name in ACTIONS if not given.actions or name in given.actions.split("+")]
    if w.backend == "cffi" and "strike" in actions:
        actions.remove("strike")  # it is documented to be weaker there
    progress = None
    if os.environ.get("STEPS_AT"):
        with open(os.environ["STEPS_AT"], "r+b") as file:
            progress = mmap.mmap(file.fileno(), 512)
    skipped_label, skipped_action, _ = [*given.after.split(" | "), "", "", ""][:3]

    def hang(*_args):
        if os.environ.get("STEPS_HANGS"):
            with open(os.environ["STEPS_HANGS"], "a") as told_to:
                faulthandler.dump_traceback(told_to)
        raise Hung

    signal.signal(signal.SIGALRM, hang)
    gc.disable()  # it runs where it is asked to
    World.common = Common()
    runs = Runs(progress)
    stray = runs.stray
    sys.unraisablehook = lambda seen: stray.append(f"{seen.exc_value!r} in {seen.object!r}")
    threading.excepthook = lambda seen: stray.append(repr(seen.exc_value))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for path, data in (
            ("module.wasm", World.common.binary),
            ("module.cwasm", World.common.serialized["TEXT"]),
            ("steps_library.wasm", w.wat2wasm('(module (func (export "f")))')),
        ):
            with open(path, "wb") as file:
                file.write(data)
        global RUNS
        RUNS = w.Sandbox(WASI.encode(), cache=False)
        found = dict(sorted(found.items(), key=lambda item: item[0].startswith(LONG)))
        labels = [
            label for label in found if not given.names or any(label.startswith(each) for each in given.names)
        ]
        if skipped_label:
            labels = labels[labels.index(skipped_label) :]
        part, parts = map(int, given.part.split("/"))
        labels = labels[part::parts]
        measured = {}
        if given.all and not given.names:  # all, to know what is new in each
            for label, (name, use) in found.items():
                runs.say(f"{label} | measured | 0")
                measured[label] = runs.measure(name, use)
        gc.collect()
        gc.freeze()  # what is there now is not looked at again
        for number, label in enumerate(labels):
            name, use = found[label]
            random_of = random.Random(zlib.crc32(f"{given.seed} {label}".encode()))
            faulthandler.dump_traceback_later(600, exit=True)
            runs.say(f"{label} | measured | 0")
            steps, usual = measured.get(label) or runs.measure(name, use, KINDS if given.all else KINDS[:1])
            runs.runs, runs.wrong = 0, {}
            if isinstance(usual, (KeyError, NameError)) or "object has no attribute" in str(usual):
                runs.note((label, "broken"), f"{label} | it does not work by itself: {told(usual)}")
            stray.clear()
            first = 0
            if label == skipped_label and skipped_action in actions:
                first = actions.index(skipped_action) + 1
            if given.all:
                for action in actions[first:]:
                    for at in steps[kind_of(action)]:
                        runs.run(label, name, use, action, at, usual)
                    gc.collect()
            else:
                for _ in range(given.runs):
                    action = random_of.choice(actions)
                    most = max(1, len(steps[""]) // (6 if action == "strike" else 1))
                    runs.run(label, name, use, action, random_of.randint(1, most), usual)
            if stray:
                odd = [each for each in stray if "Struck" not in each]
                if odd:
                    runs.note((label, "stray"), f"{label} | nobody caught: {odd[:3]}")
            faulthandler.cancel_dump_traceback_later()
            print(
                json.dumps(
                    {
                        "name": label,
                        "steps": len(steps[""]),
                        "signals": len(steps.get("strike", ())),
                        "runs": runs.runs,
                        "wrong": list(runs.wrong.values()),
                    }
                ),
                flush=True,
            )
            runs.now = None
            if number % 20 == 0:
                gc.collect()
        os.chdir("/")


if __name__ == "__main__":
    main()
