"""Run one hostile program with the limits that nobody asked for, and print what became of it and of this process.

The first argument names a function below, the others are its arguments.
"""

import itertools
import json
import sys
import time

import compile_bombs
from front_programs import program

import wasmtime_rt as w
from wasmtime_rt import _elsewhere, _loading
from wasmtime_rt.cli import main
from wasmtime_rt.sandbox import Sandbox, run_wasi

MIB = 1 << 20


def resident():
    """Return the bytes that this process has had in memory at most. `ru_maxrss` would count its parent."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def run(what):
    """Call ``what``, and say how it ended, how long it took, and how much memory."""
    Sandbox(b"(module)")  # what any sandbox takes is not counted
    before, began = resident(), time.monotonic()
    try:
        ended = str(what())
    except w.LimitError as problem:
        ended = problem.limit
    except w.WasmtimeError as problem:
        ended = f"{type(problem).__name__}: {str(problem)[:200]}"
    seconds = time.monotonic() - began
    print(json.dumps({"ended": ended, "seconds": seconds, "mib": (resident() - before) / MIB}))


def compile_bomb(name, size, how):
    """Compile a bomb of at most so many bytes, by one of the front doors."""
    wasm = getattr(compile_bombs, name)(int(size))
    assert len(wasm) <= int(size)
    if how == "command":
        with open("bomb.wasm", "wb") as file:
            file.write(wasm)
        run(lambda: main(["run", "bomb.wasm"]))
    else:
        run(lambda: (run_wasi if how == "run_wasi" else Sandbox)(wasm))


def text_bomb():
    """Text with many names and branches, which takes the square of its size to translate."""
    nested = 100_000
    body = "block $l " + "block $x " * nested + "br $l " * nested + "end " * nested + "end"
    _loading.TIMEOUT, _loading.TIMEOUT_PER_BYTE = 3.0, 0
    run(lambda: Sandbox(f"(module (func {body}))".encode()))


def wide_interface(exports):
    """A function with 1,000 parameters, exported under many names."""
    functype = compile_bombs.functype(b"\x7f" * 1000, b"")
    names = map("{:05x}".format, range(int(exports)))
    section = compile_bombs.leb(int(exports)) + b"".join(b"\5" + name.encode() + b"\0\0" for name in names)
    wasm = compile_bombs.module([functype], [0], [b"\0\x0b"], compile_bombs.section(7, section))
    run(lambda: Sandbox(wasm))


def much_code():
    """Small WebAssembly that compiles to much more code than compilers make of as much."""
    _elsewhere._CODE = 1 << 20
    wasm = compile_bombs.wide_calls(1500)
    engine = w.WasmEngine()
    found = _elsewhere._make(engine, wasm, 1 << 30)
    print(json.dumps({"ended": found[0].decode(), "said": found[1].decode(), "seconds": 0, "mib": 0}))


# ---- Guests that take all that they may

GROWS = """
  (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  (loop $touch
    (i32.store (local.get $n) (i32.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 4096)))
    (br_if $touch (i32.lt_u (local.get $n) (i32.mul (memory.size) (i32.const 65536)))))"""
TABLES = "".join(f"(table $t{n} 1 funcref)" for n in range(8))
GROW_TABLES = "".join(
    f"""(loop $more (br_if $more (i32.ne
    (table.grow $t{n} (ref.func $f) (i32.const 10000)) (i32.const -1))))"""
    for n in range(8)
)
FLOODS = "(loop $more (call $say (i32.const 1) (i32.const 0) (i32.const 65536)) (br $more))"
NODES = """(type $node (struct (field (ref null $node))))
  (global $list (mut (ref null $node)) (ref.null $node))"""
ALLOCATES = "(loop $more (global.set $list (struct.new $node (global.get $list))) (br $more))"
THROWS = """(tag $t) (table $kept 1000000 exnref)
  (func $throw (local $i i32) (loop $more
    (table.set $kept (local.get $i)
      (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $t)) unreachable))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $i) (i32.const 1000000)))))"""

GUESTS = {
    "memory": program(GROWS),
    "tables": program(GROW_TABLES, more=TABLES + "(func $f) (elem declare func $f)"),
    "heap": program(ALLOCATES, more=NODES),
    "exceptions": program("(call $throw)", more=THROWS),
    "output": program(FLOODS, "fd_write"),
    "all": program(GROW_TABLES + GROWS + ALLOCATES, more=TABLES + NODES + "(func $f) (elem declare func $f)"),
}


def take_all(name, memory):
    """Run a guest that takes what it may, and say what was promised."""
    sandbox = Sandbox(GUESTS[name], memory=int(memory), timeout=5)
    print(json.dumps({"worst": sandbox.worst_case / MIB}))
    run(lambda: sandbox.run().exit_code)


def take_instances(count):
    """Start so many instances that take what they may, each in a store of its own."""
    sandbox = Sandbox(GUESTS["memory"], memory=MIB)
    print(json.dumps({"worst": int(count) * sandbox.worst_case / MIB}))
    programs = []

    def start():
        for _ in itertools.repeat(None, int(count)):
            programs.append(sandbox.start())
            programs[-1].call("_start")
        return len(programs)

    run(start)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
