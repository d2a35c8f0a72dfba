"""Nanoseconds of one call of WASI functions: this package's own, and those of the engine.

Run it by ``python benchmarks/wasi_functions.py``. A loop in WebAssembly calls each function, so that calls of
Python do not count. Seconds are those of the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import wasmtime_rt as w
from wasmtime_rt._lowlevel import NULL, ffi, lib

_FUNCTIONS = {
    "sched_yield": ("", "(result i32)", ""),
    "clock_time_get": ("(param i32 i64 i32)", "(result i32)", "(i32.const 1) (i64.const 0) (i32.const 64)"),
    "random_get": ("(param i32 i32)", "(result i32)", "(i32.const 64) (i32.const 8)"),
    "fd_write": (
        "(param i32 i32 i32 i32)",
        "(result i32)",
        "(i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)",
    ),
}
_ROUNDS = 20


def _program() -> str:
    imports, exports = [], []
    for name, (params, result, values) in _FUNCTIONS.items():
        imports.append(f'(import "wasi_snapshot_preview1" "{name}" (func ${name} {params} {result}))')
        exports.append(
            f'(func (export "{name}") (param $n i32)'
            f" (loop (drop (call ${name} {values}))"
            " (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"
        )
    # 8: a buffer at 100 with 20 bytes
    return (
        f"(module {''.join(imports)}"
        '(memory (export "memory") 1) (data (i32.const 8) "\\64\\00\\00\\00\\14\\00\\00\\00")'
        f"{''.join(exports)})"
    )


def ours(engine: w.WasmEngine, module: w.WasmModule) -> Callable[[str, int], None]:
    """Run a function so many times with this package's functions."""
    store = w.WasmStore(engine, wasi=w.WasiConfig(stdout=lambda _: None))
    linker = w.WasmLinker(engine)
    linker.define_wasi()
    exports = linker.instantiate(store, module).exports
    return lambda name, count: exports[name](count)


def engines(engine: w.WasmEngine, module: w.WasmModule) -> Callable[[str, int], None]:
    """Run a function so many times with the functions of the engine, whose output goes nowhere."""
    store = lib.wasmtime_store_new(engine._pointer, NULL, NULL)
    context = lib.wasmtime_store_context(store)
    assert lib.wasmtime_context_set_wasi(context, lib.wasi_config_new()) == NULL
    linker = lib.wasmtime_linker_new(engine._pointer)
    assert lib.wasmtime_linker_define_wasi(linker) == NULL
    instance, trap = ffi.new("wasmtime_instance_t *"), ffi.new("wasm_trap_t **")
    code = module._pointer_for(engine)
    assert lib.wasmtime_linker_instantiate(linker, context, code, instance, trap) == NULL

    def run(name: str, count: int) -> None:
        found, slots = ffi.new("wasmtime_extern_t *"), ffi.new("wasmtime_val_raw_t *", {"i32": count})
        encoded = name.encode()
        assert lib.wasmtime_instance_export_get(context, instance, encoded, len(encoded), found)
        error = lib.wasmtime_func_call_unchecked(context, ffi.addressof(found.of, "func"), slots, 1, trap)
        assert error == trap[0] == NULL

    return run


def main() -> None:
    """Print a line for each function."""
    engine = w.WasmEngine()
    module = w.WasmModule(engine, _program())
    peers = {"ours": ours(engine, module), "the engine's": engines(engine, module)}
    count = 50_000
    print(f"{'':16}{'ours':>12}{'the engine':>14}{'':>14}")
    for name in _FUNCTIONS:
        best = dict.fromkeys(peers, float("inf"))
        for _ in range(_ROUNDS):
            for peer, run in peers.items():
                began = time.thread_time()
                run(name, count)
                best[peer] = min(best[peer], (time.thread_time() - began) / count * 1e9)
        first, second = best.values()
        print(f"{name:16}{first:9.0f} ns{second:11.0f} ns{first - second:+11.0f} ns")


if __name__ == "__main__":
    main()
