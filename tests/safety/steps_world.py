"""What public operations work with: one of everything, made when it is asked for."""

from __future__ import annotations

import copy

import wasmtime_rt as w

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


H = w.WasmFuncType(["i32"], ["i32"])
STRUCT = [w.WasmFieldType("i32", mutable=True), w.WasmFieldType("externref", mutable=True)]


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
        self.runs = w.Sandbox(WASI.encode(), cache=False)


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


# ---- Statements, as functions


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
