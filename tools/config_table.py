"""Write docs/config.md: every setting of an engine, from its declaration.

python tools/config_table.py            write it
python tools/config_table.py --print    show it
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from wasmtime_rt import PoolingConfig, WasmConfig

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "config.md"

#: Settings whose function in C is not called like them.
FUNCTIONS = {
    "cache_config_load": ["wasmtime_config_cache_config_load"],
    "cranelift_flags": ["wasmtime_config_cranelift_flag_enable", "wasmtime_config_cranelift_flag_set"],
    "pooling_allocation_strategy": ["wasmtime_pooling_allocation_strategy_set"],
}

TEXT = """# Settings of an engine

`WasmConfig(name=value, ...)` is immutable, hashable and picklable; `config.replace(name=value)` makes a
variant, and `WasmEngine(config)` uses it. Every setting of the engine's C API is here, under the name that it
has there but for six: `debug_info` to `max_wasm_stack` are ours. Defaults are the engine's.

{config}

## Ready-made configs

| config | what for | settings |
|---|---|---|
{presets}

By default each memory reserves 4 GiB of address space, and so does the heap for references of each store that
uses them: under `RLIMIT_AS`, or with more than some 30,000 instances, there is not so much, and what would
reserve it raises `WasmtimeError`, which names `WasmConfig.compact()`.

## Pools

`WasmConfig(pooling_allocation_strategy=PoolingConfig(name=value, ...))` chooses the pooling allocator. It
takes address space for everything when the engine is made: 4 TiB and two mappings for each stack by default,
so that a process holds some thirty such engines. Where nothing is asynchronous, `total_stacks=0` saves the
latter.

{pooling}

## What goes together

The engine's library ends the process on a config that it refuses. `WasmEngine(config)` raises `WasmtimeError`
instead, with the reason:

- `wasm_relaxed_simd` needs `wasm_simd`; `wasm_component_model_async` needs `wasm_reference_types`; both are
  on by default, so that turning off the latter means turning off the former.
- `wasm_component_model_async`, `wasm_component_model_more_async_builtins` and
  `wasm_component_model_async_stackful` need `concurrency_support`; `wasm_exceptions` needs `gc_support`.
- Winch has no `wasm_gc`, `wasm_function_references`, `wasm_relaxed_simd` and `debug_info`, and needs
  `signals_based_traps`. This build of the engine has no `wasm_stack_switching`.
- `max_wasm_stack` is at most `async_stack_size`; `max_memory_size` of the pools at most `memory_reservation`.
- Some of Cranelift's flags for its own tests have limits, since large modules would become too large by them.

What no rule can judge, the engine is asked in a process of its own: `cranelift_flags`, `target`,
`pooling_allocation_strategy`, and a file for `cache_config_load`. That takes a few tenths of a second, once
per value in a process, and needs `sys.executable` to be a Python interpreter. Other configs start no process.
That an engine with pools has enough address space left is checked each time.

With `debug_info`, a module that carries DWARF is compiled in such a process first, too, once per module: the
engine dies of some DWARF that is not as compilers write it. What it survived there it has survived here so
far, damaged DWARF by the ten thousands included; but nothing promises that, each such module takes a process,
its time and its memory, and a debugger that is attached to the program reads the result. So it is a setting
for modules of one's own: `WasmConfig.sandbox()` leaves it off.

## What has no setting

`wasmtime_config_host_memory_creator_set` and `wasmtime_config_host_stack_creator_set` take callbacks that the
engine runs on any of its threads, in the middle of growing a memory, where no Python may run.

The Rust API has more that the C API does not pass on, so that no setting of ours can reach it: core dumps
on traps; backtraces off or with another number of frames (details of source lines: set
`WASMTIME_BACKTRACE_DETAILS=1` in the environment, but not where modules run that nobody trusts, whose DWARF
the engine then reads: deeply nested, it ends the process); the choice of the collector and the sizes of its
heap; debugging of guests; memory protection keys; inlining in the compiler; clearing of asynchronous
stacks; the incremental cache; dumps of the compiler's intermediate code; places for code of one's own;
errors instead of -1 for memories that cannot grow; in components lists of fixed length, error contexts,
threads, garbage collection and 64-bit memories. Extended constant expressions are always on.
"""


def functions_of(settings: type[Any], name: str) -> list[str]:
    """The functions in C that a setting is written with."""
    if settings is PoolingConfig:
        return [f"wasmtime_pooling_allocation_config_{name}_set"]
    return FUNCTIONS.get(name) or [f"wasmtime_config_{settings._knobs[name].c_name}_set"]


def _table(settings: type[Any]) -> str:
    rows = ["| setting | type | default | meaning | C function |", "|---|---|---|---|---|"]
    for name, knob in settings._knobs.items():
        kind = settings.__annotations__[name].replace("|", "\\|")
        functions = ", ".join(f"`{function}`" for function in functions_of(settings, name))
        meaning = re.sub(r"``(.+?)``", r"`\1`", knob.meaning)
        rows.append(f"| `{name}` | `{kind}` | `{_shown(knob.default)}` | {meaning} | {functions} |")
    return "\n".join(rows)


def _presets() -> str:
    rows = []
    for name in ("production", "development", "profiling", "sandbox", "compact"):
        made = getattr(WasmConfig, name)
        meaning = (made.__doc__ or "").partition("\n")[0].replace("``", "`")
        values = ", ".join(f"`{setting}={value!r}`" for setting, value in made()._given.items())
        rows.append(f"| `WasmConfig.{name}()` | {meaning} | {values} |")
    return "\n".join(rows)


def _shown(value: Any) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if type(value) is int and value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return "2**32 - 1" if value == 2**32 - 1 else repr(value)


def document() -> str:
    """The text of docs/config.md."""
    return TEXT.format(config=_table(WasmConfig), presets=_presets(), pooling=_table(PoolingConfig))


def main() -> None:
    """Write or show it."""
    if "--print" in sys.argv:
        print(document())
    else:
        DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
