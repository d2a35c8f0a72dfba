"""Which settings go together: what `WasmEngine` checks before the engine's library sees a config.

The library ends the process where it refuses a config, so whatever it refuses is refused here first: by a
rule with a reason, or, where only the library knows (`needs_trial`), by a trial in another process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .config import ProfilingStrategy, Strategy, WasmConfig
from .errors import WasmtimeError

#: What the engine keeps for each slot of a pool makes more slots than these a matter of gigabytes.
_MOST_SLOTS = 1 << 24


def check_rules(config: WasmConfig) -> None:
    """Refuse what is known to be refused by the engine.

    Raises:
        WasmtimeError: Some settings do not go together; the message has all reasons.
    """
    reasons = [*_compiler(config), *_features(config), *_sizes(config), *_files(config)]
    if reasons:
        raise WasmtimeError("; ".join(reasons))


def needs_trial(config: WasmConfig) -> bool:
    """Whether some setting has a value that no rule can judge."""
    return bool(
        config.cranelift_flags
        or config.target is not None
        or config.pooling_allocation_strategy is not None
        or (config.cache_config_load and not os.path.isdir(config.cache_config_load))
    )


def _compiler(config: WasmConfig) -> Iterator[str]:
    if config.strategy is not Strategy.WINCH:
        return
    for name in ("wasm_gc", "wasm_function_references", "wasm_relaxed_simd", "wasm_stack_switching"):
        if getattr(config, name):
            yield f"{name} is not possible with {Strategy.WINCH!r}"
    if config.debug_info:
        yield f"debug_info is not possible with {Strategy.WINCH!r}"
    if not config.signals_based_traps:
        yield f"signals_based_traps cannot be off with {Strategy.WINCH!r}"


def _features(config: WasmConfig) -> Iterator[str]:
    if config.wasm_relaxed_simd and not config.wasm_simd:
        yield "wasm_relaxed_simd needs wasm_simd: turn both off, or none"
    if config.wasm_component_model_async and not config.wasm_reference_types:
        yield "wasm_component_model_async needs wasm_reference_types: turn both off, or none"
    if not config.concurrency_support:
        for name in (
            "wasm_component_model_async",
            "wasm_component_model_more_async_builtins",
            "wasm_component_model_async_stackful",
        ):
            if getattr(config, name):
                yield f"{name} needs concurrency_support"


def _sizes(config: WasmConfig) -> Iterator[str]:
    if config.max_wasm_stack > config.async_stack_size:
        yield (
            f"max_wasm_stack ({config.max_wasm_stack}) is larger than async_stack_size "
            f"({config.async_stack_size}), which has to hold it"
        )
    pooling = config.pooling_allocation_strategy
    if pooling is None:
        return
    if pooling.max_memory_size > config.memory_reservation:
        yield (
            f"max_memory_size ({pooling.max_memory_size}) of the pools is larger than memory_reservation "
            f"({config.memory_reservation}), which has to hold it"
        )
    for name, size in pooling._given.items():
        if name.startswith("total_") and size > _MOST_SLOTS:
            yield f"{name} of the pools: expected at most {_MOST_SLOTS} slots, got {size}"


def _files(config: WasmConfig) -> Iterator[str]:
    strategy = config.profiling_strategy
    if strategy is ProfilingStrategy.JITDUMP:
        written = f"jit-{os.getpid()}.dump"
    elif strategy is ProfilingStrategy.PERFMAP:
        written = f"/tmp/perf-{os.getpid()}.map"  # noqa: S108  where perf looks
    else:
        return
    try:
        with open(written, "ab"):
            pass
    except OSError as problem:
        yield f"profiling_strategy {strategy!r}: {written} cannot be written: {problem}"
