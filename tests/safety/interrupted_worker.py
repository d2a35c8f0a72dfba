"""Raise at every step of Python code that owns C objects, as a signal handler or a tracer may, and see what leaks.

Each operation makes C objects of some 20 KB. A tracer raises at its first step, a number of times, then at its
second step, and so on until the operation ends before the step comes. Memory that stays names the step.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

import wasmtime_rt as w

PACKAGE = os.path.dirname(w.__file__)
TIMES = 3
#: Growth at one step that is more than Python's own.
SLACK = 50_000


class Stop(BaseException):
    """Raised by the tracer."""


class _Malloc(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Malloc


def allocated() -> int:
    """Return the bytes that the C library's allocator has given out."""
    gc.collect()
    info = _mallinfo()
    return info.uordblks + info.hblkhd


def stopped_at(step: int, operation) -> bool:
    """Run ``operation``, raise at that step, and return whether it came to it."""
    left = step

    def trace(frame, event, _argument):
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise Stop
        return trace

    sys.settrace(trace)
    try:
        operation()
    except Stop:
        return True
    except Exception:
        pass
    finally:
        sys.settrace(None)
    return left <= 0


ENGINE = w.WasmEngine()
STORE = w.WasmStore(ENGINE)
NAME = "n" * 20_000
#: Big messages and frames: the names of functions are copied when a trap is captured.
TRAPS = w.WasmInstance(
    STORE,
    w.WasmModule(
        ENGINE,
        f"""(module (import "" "h" (func $h)) (tag $t) (export "t" (tag $t))
        (func ${NAME} (export "f") unreachable) (func (export "g") (param externref) unreachable)
        (func ${NAME}h (export "h") (call $h)) (func (export "e") (throw $t)))""",
    ),
    {"": {"h": lambda: 1 / 0}},
).exports
DATA = f'(module (memory 1) (data (i32.const 0) "{"x" * 20_000}"))'
MODULE = w.WasmModule(ENGINE, DATA)
EXITS = w.WasmModule(
    ENGINE,
    f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (func ${NAME} (export "_start") (call $exit (i32.const 3))))""",
)
LINKER = w.WasmLinker(ENGINE)
LINKER.define_wasi()
WASI = w.WasmStore(ENGINE, wasi=w.WasiConfig())
EXIT = LINKER.instantiate(WASI, EXITS).exports._start


OPERATIONS = {
    "trap": TRAPS.f,
    "trap with values": TRAPS.f.call_values,
    "trap with references": lambda: TRAPS.g(None),
    "host exception": TRAPS.h,
    "WebAssembly exception": TRAPS.e,
    "exit": EXIT,
    "compile error": lambda: w.WasmModule(ENGINE, f"(module (func (call ${NAME})))"),
    "text": lambda: w.wat2wasm(DATA),
    "serialize": MODULE.serialize,
}


def leaks(name: str) -> list[str]:
    """Return the steps of that operation at which something stays."""
    operation, found = OPERATIONS[name], []
    for _ in range(TIMES):
        stopped_at(-1, operation)
    step = 0
    while True:
        step += 1
        before = allocated()
        came = [stopped_at(step, operation) for _ in range(TIMES)]
        if (grown := allocated() - before) > SLACK:
            found.append(f"{name}, step {step}: {grown} bytes")
        if not any(came):
            return found


if __name__ == "__main__":
    print(*(leaks(sys.argv[1]) or ["done"]), sep="\n", flush=True)
