"""Which settings go together: what `WasmEngine` checks before the engine's library sees a config.

The library ends the process where it refuses a config, so whatever it refuses is refused here first: by a
rule with a reason, or, where only the library knows (`needs_trial`), by a trial in another process.
"""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Iterator

from ._cache_folder import cache_home, protect
from ._host_files import open_private_folder
from .config import ProfilingStrategy, Strategy, WasmConfig, read_cache_file
from .errors import WasmtimeError

#: What the engine keeps for each slot of a pool makes more slots than these a matter of gigabytes.
_MOST_SLOTS = 1 << 24

#: Flags of Cranelift for its own tests: the engine accepts larger numbers, and dies when it compiles a module
#: that becomes too large by them.
_FLAGS_AT_MOST = {
    "bb_padding_log2_minus_one": 4,
    "log2_min_function_alignment": 12,
    "wasmtime_linkopt_padding_between_functions": 4096,
}
#: Settings of the cache's file that the engine does not check: the largest that is safe, in units of one or
#: of seconds.
_CACHE_AT_MOST = {"worker-event-queue-size": 10**6, "allowed-clock-drift-for-files-from-future": 10**9}
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "m": 60, "h": 3600, "d": 86400}


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
        or cache_file(config) is not None
        or (config.strategy is Strategy.WINCH and config.wasm_simd and _has_avx_but_not_avx2())
    )


def cache_file(config: WasmConfig) -> str | None:
    """The file with settings of the cache that the engine will read."""
    cache = config.cache_config_load
    if cache is True:
        folder = os.environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(folder):
            folder = os.path.join(os.path.expanduser("~"), ".config")
        path = os.path.join(folder, "wasmtime", "config.toml")
        return path if os.path.exists(path) else None
    return None if cache is False or os.path.isdir(cache) else str(cache)


@functools.cache
def _has_avx_but_not_avx2() -> bool:
    """Whether Winch would use instructions that this processor does not have."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            flags = next((line.split() for line in lines if line.startswith("flags")), [])
    except OSError:
        return False
    return "avx" in flags and "avx2" not in flags


def _compiler(config: WasmConfig) -> Iterator[str]:
    flags = config.cranelift_flags
    for name, most in _FLAGS_AT_MOST.items():
        value = flags.get(name, "0")
        if not (isinstance(value, str) and value.isascii() and value.isdigit() and int(value) <= most):
            yield f"cranelift_flags: expected {name!r} from 0 to {most}, got {value!r}"
    if flags.get("probestack_size_log2", "12") != "12":
        yield "cranelift_flags: 'probestack_size_log2' has to stay 12, the size of a page"
    if config.strategy is not Strategy.WINCH:
        return
    for name in ("wasm_gc", "wasm_function_references", "wasm_relaxed_simd"):
        if getattr(config, name):
            yield f"{name} is not possible with {Strategy.WINCH!r}"
    if config.debug_info:
        yield f"debug_info is not possible with {Strategy.WINCH!r}"
    if not config.signals_based_traps:
        yield f"signals_based_traps cannot be off with {Strategy.WINCH!r}"


def _features(config: WasmConfig) -> Iterator[str]:
    if config.wasm_stack_switching:
        # It compiles, and dies when it makes a continuation.
        yield "wasm_stack_switching: this build of the engine cannot run it"
    if config.wasm_relaxed_simd and not config.wasm_simd:
        yield "wasm_relaxed_simd needs wasm_simd: turn both off, or none"
    if config.wasm_component_model_async and not config.wasm_reference_types:
        yield "wasm_component_model_async needs wasm_reference_types: turn both off, or none"
    if config.wasm_exceptions and not config.gc_support:
        # The engine accepts it, and dies when it compiles a module that throws.
        yield "wasm_exceptions needs gc_support: turn both off, or none"
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
    for name in ("total_memories", "total_tables", "total_stacks", "total_gc_heaps"):
        size = getattr(pooling, name)
        if size > _MOST_SLOTS:
            yield f"{name} of the pools: expected at most {_MOST_SLOTS} slots, got {size}"


def _files(config: WasmConfig) -> Iterator[str]:
    if config.cache_config_load is not False:
        yield from _engine_cache(config.cache_config_load, cache_file(config))
    strategy = config.profiling_strategy
    if strategy is ProfilingStrategy.JITDUMP:
        written = f"jit-{os.getpid()}.dump"
    elif strategy is ProfilingStrategy.PERFMAP:
        written = f"/tmp/perf-{os.getpid()}.map"  # noqa: S108  where perf looks
    else:
        return
    try:
        _own_file(written)
    except OSError as problem:
        yield f"profiling_strategy {strategy!r}: {written} cannot be written: {problem}"


def _own_file(path: str) -> None:
    """Make the file if it is missing: in a sticky folder such as ``/tmp`` nobody else can replace it then.

    Raises:
        OSError: If it cannot be written, or the engine, which follows links, would write another file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    opened = os.open(path, flags, 0o644)
    try:
        status = os.fstat(opened)
    finally:
        os.close(opened)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
        raise PermissionError("expected a regular file of this user's without other links")


def _engine_cache(cache: object, path: str | None) -> Iterator[str]:
    """What is wrong with the file that configures the engine's cache, and who may put machine code there."""
    folder = os.path.abspath(cache) if isinstance(cache, str) and path is None else None
    if path is not None:
        try:
            text = read_cache_file(path).decode(errors="replace")
        except WasmtimeError as problem:
            yield str(problem)
            return
        for name, most in _CACHE_AT_MOST.items():
            for count, unit in re.findall(rf"{name}\W*?=\W*?([0-9]+)\s*([A-Za-z]?)", text):
                if int(count[:30]) * _UNITS.get(unit, 1) > most:
                    yield f"cache_config_load: {path}: expected {name} of at most {most}, got {count}{unit}"
        if named := re.search(r"""^\s*directory\s*=\s*["'](/.*?)["']""", text, re.MULTILINE):
            folder = named[1]
    if folder is None and (home := cache_home()) is not None:
        folder = os.path.join(home, "wasmtime")  # where the engine has it by default
    if folder is None:
        return
    protect(folder)
    try:
        os.close(open_private_folder(folder, make=False))
    except FileNotFoundError:
        pass  # the engine makes it, or says why not
    except (OSError, ValueError) as problem:
        yield f"cache_config_load: {problem}"
