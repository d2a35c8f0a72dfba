"""What finalizers of a circle of garbage use must be there, though parts of the circle were finalized before."""

import pytest


@pytest.fixture(autouse=True)
def what_is_freed_is_overwritten(monkeypatch):
    monkeypatch.setenv("MALLOC_PERTURB_", "165")


_CIRCLE = """
gc.disable()
ran = []
class Last:
    def __init__(self, work, *kept):
        self.me, self.work, self.kept = self, work, kept
    def __del__(self):
        junk = [bytes(size) for size in range(3000)]  # takes what was freed
        ran.append(self.work(*self.kept))
"""


def test_a_view_of_a_shared_memory_that_nobody_else_has(script):
    script(
        _CIRCLE
        + """
engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
def use(view):
    view[5] = 7
    return view[5]
for close in (False, True):
    memory = w.WasmSharedMemory(engine, w.WasmMemoryType(1, 4, shared=True))
    view = memory.view()
    if close:
        memory.close()
    Last(use, view)
    del memory, view
    gc.collect()
check(f"views were used: {ran}", ran == [7, 7])
"""
    )


def test_an_engine_and_others_that_were_closed(script):
    script(
        _CIRCLE
        + """
engine = w.WasmEngine()
store = w.WasmStore(engine, limits=w.StoreLimits(memories=5))
linker = w.WasmLinker(engine)
linker.define("", "h", lambda: None)
module = w.WasmModule(engine, '(module (import "" "h" (func)) (export "h" (func 0)))')
engine.close()
def use(store, linker, module):
    w.WasmMemory(store, w.WasmMemoryType(1))  # compiles something
    linker.instantiate(store, module).exports.h()
    module.close()
    return w.WasmFunc(store, lambda x: x, w.WasmFuncType(["externref"], ["externref"]))("object")
Last(use, store, linker, module)
del engine, store, linker, module
gc.collect()
check(f"all was used: {ran}", ran == ["object"])
"""
    )


def test_a_profile(script):
    script(
        _CIRCLE
        + """
engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
store = w.WasmStore(engine)
spin = w.WasmInstance(store, w.WasmModule(engine, '(module (func (export "spin") (loop (br 0))))')).exports.spin
profile = store.profile("/dev/null")
profile.__enter__()
def use(spin, profile):
    try:
        spin(timeout=0.2)
    except w.WasmTimeout:
        return profile.samples > 0
Last(use, spin, profile)
del store, spin, profile
gc.collect()
check(f"samples were taken: {ran}", ran == [True])
"""
    )


def test_output_of_wasi(script):
    script(
        _CIRCLE
        + """
PROGRAM = rb'''(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
    (func (export "run") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))'''
engine = w.WasmEngine()
written = []
store = w.WasmStore(engine, wasi=w.WasiConfig(stdout=written.append, stderr=written.append, max_output=8))
linker = w.WasmLinker(engine)
linker.define_wasi()
run = linker.instantiate(store, w.WasmModule(engine, PROGRAM)).exports.run
def use(store, run):
    run()
    run()
    before = store.truncated_output
    store.close()
    junk = [bytes(size) for size in range(3000)]
    return before, store.truncated_output
Last(use, store, run)
del store, run
gc.collect()
check(f"all was told: {ran}, {written}", ran == [(("stdout",), ("stdout",))] and b"".join(written) == b"hello\\nhe")
"""
    )


def test_a_finalizer_that_gives_a_lease_back_while_its_pool_is_used(script):
    script(
        """
LIBRARY = b'(module (memory (export "memory") 1) (func (export "f")))'
sandbox = w.Sandbox(LIBRARY)
class Last:
    def __init__(self, lease): self.me, self.lease = self, lease
    def __del__(self): self.lease.close()
for turn in range(200):
    pool = sandbox.pool()
    gc.disable()
    Last(pool.take())
    gc.enable()
    gc.set_threshold(1 + turn % 40)
    pool.take().close()
    pool.close()
    gc.set_threshold(700)
"""
    )
