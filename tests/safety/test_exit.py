"""The interpreter's end with anything alive, and forks."""

import pytest

_SETUP = """
import wasmtime_rt as w, gc, os, sys, threading, time
SOURCE = '''(module (import "" "h" (func $h (param externref) (result externref)))
    (memory (export "m") 1) (table (export "t") 4 externref)
    (func (export "f") (param externref) (result externref) (call $h (local.get 0)))
    (func (export "loop") (loop $l (drop (call $h (ref.null extern))) br $l)) (func (export "spin") (loop $l br $l)))'''
engine = w.WasmEngine()
module = w.WasmModule(engine, SOURCE)
store = w.WasmStore(engine, wasi=w.WasiConfig(stdout=print))
instance = w.WasmInstance(store, module, {"": {"h": lambda x: (store, x)[1]}})
instance.exports.f(5)
linker = w.WasmLinker(engine)
linker.define_wasi()
linker.define("", "h", lambda x: (store, linker, x)[2])
prepared = linker.prepare(module)
def daemon(function):
    threading.Thread(target=function, daemon=True).start()
    time.sleep(0.1)
"""

_ENDS = {
    "nothing more": "",
    "the engine is gone": "del engine",
    "no collector": "gc.disable()",
    "a view": "view = instance.exports.m.view()",
    "a view in a circle": "store.data = instance.exports.m.view(), store",
    "atexit": "import atexit; atexit.register(lambda: instance.exports.f(object()))",
    "builtins": "import builtins; builtins.kept = store, instance, engine, module",
    "sys": "sys.kept = store; store.data = store",
    "no modules": "sys.modules.clear()",
    "left with": "store.__exit__(None, None, None)",
    "an object in a table": "instance.exports.t[0] = store",
    "a finalizer": "import weakref; weakref.finalize(store, lambda: None)",
    "a late thread": "threading.Thread(target=lambda: (time.sleep(0.1), instance.exports.f(3))).start()",
    "a daemon in the guest": "daemon(instance.exports.spin)",
    "a daemon in host functions": "daemon(instance.exports.loop)",
    "a daemon asleep in a host function": """
sleeping = w.WasmInstance(store, module, {"": {"h": lambda x: time.sleep(0.05)}})
daemon(sleeping.exports.loop)""",
    "a daemon that compiles": "daemon(lambda: [w.WasmModule(engine, SOURCE) for _ in iter(int, 1)])",
    "a daemon that makes stores": """
def work():
    while True:
        w.WasmInstance(w.WasmStore(engine), module, {"": {"h": lambda x: x}}).exports.f(1)
daemon(work)""",
    "a daemon that instantiates what was prepared": """
def work():
    while True:
        prepared.instantiate(w.WasmStore(engine)).exports.f(1)
daemon(work)""",
    "a daemon in a prepared instance": "daemon(prepared.instantiate(w.WasmStore(engine)).exports.loop)",
    "a prepared instance in a circle": "store.data = prepared, prepared.instantiate(store)",
    "what was prepared stays": "sys.kept = prepared; exports = prepared.instantiate(store).exports; del linker",
    "a finalizer of an object that stays": """
class Last:
    def __del__(self, call=instance.exports.f):
        call(5)
import builtins
builtins.last = Last()
sys.last = Last()
last = Last()""",
    "a finalizer in a circle": """
class Last:
    def __del__(self, call=instance.exports.f):
        call(5)
last = Last()
last.last = last
store.data = last""",
    "an exception": """
def failing(x):
    raise KeyError(store)
try:
    w.WasmInstance(store, module, {"": {"h": failing}}).exports.f(1)
except KeyError as caught:
    kept = caught""",
}


@pytest.mark.parametrize("options", [(), ("-X", "dev"), ("-O",)], ids=["plain", "dev", "optimised"])
def test_the_end_with_anything_alive(script, options):
    # one script starts all the others, two at a time
    script(
        f"""
import subprocess
SETUP, ENDS, OPTIONS = {_SETUP!r}, {_ENDS!r}, {list(options)!r}
waiting = list(ENDS.items())
def work():
    while True:
        try:
            label, end = waiting.pop()
        except IndexError:
            return
        command = [sys.executable, *OPTIONS, "-c", SETUP + end]
        try:
            ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10)
        except subprocess.TimeoutExpired:
            check(f"{{label}}: hangs", False)
        else:
            check(f"{{label}}: status {{ended.returncode}}", ended.returncode == 0)
            check(f"{{label}}: {{ended.stderr[-2000:]}}", ended.stderr == "")
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    )


def test_sys_exit_inside_a_host_function(script):
    script(
        _SETUP
        + """
def leave(x):
    sys.exit(7)
w.WasmInstance(store, module, {"": {"h": leave}}).exports.f(1)
""",
        status=7,
        finish=False,
    )


_FORK = (
    _SETUP
    + r"""
program = w.WasmModule(engine, r'''(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\02\00\00\00hi")
    (func (export "say") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))''')
def started():
    return linker.instantiate(w.WasmStore(engine, wasi=w.WasiConfig(stdout=lambda data: None)), program).exports
view = instance.exports.m.view()
"""
)


def test_a_forked_child_runs_what_the_parent_made(script):
    script(
        _FORK
        + """
for label, use in {
    "call": lambda: instance.exports.f(3),
    "instantiate": lambda: w.WasmInstance(w.WasmStore(engine), module, {"": {"h": lambda x: x}}).exports.f(3),
    "host function": lambda: w.WasmFunc(store, lambda a, b: a, w.WasmFuncType(["i32", "externref"], ["i32"]))(1, 2),
    "text": lambda: w.wat2wasm(SOURCE),
    "linker": lambda: w.WasmLinker(engine).define_wasi(),
    "first WASI": lambda: started().say(),
    "view": lambda: view[0],
    "close": lambda: (w.WasmStore(engine).close(), store.__exit__(None, None, None), engine.close()),
    "end": lambda: gc.collect(),
}.items():
    in_child(label, use)
"""
    )
