"""Settings of an engine: a plain Python value, checked when the engine is made.

Every setting of the engine's C API is here under the name that it has there; six have a name of ours
(`WasmConfig.debug_info` to `WasmConfig.max_wasm_stack`). Each is declared once, in the body of `WasmConfig`
or `PoolingConfig`; what combinations are refused stands in `_config_rules`.

Two functions of the C API have no setting: ``wasmtime_config_host_memory_creator_set`` and
``wasmtime_config_host_stack_creator_set`` take callbacks that the engine runs on any of its threads, in the
middle of growing a memory, where no Python may run.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Mapping
from typing import Any

from ._abstract import AbstractConfig
from ._exact import exact
from ._failure import check
from ._host_files import read_file
from ._importing import Importing
from ._lowlevel import ffi, lib
from ._settings import FrozenMap, Settings, choice, knob, number
from .errors import WasmtimeError

MIB = 1 << 20
#: What a stack for asynchronous calls has on top of `max_wasm_stack`, for host functions.
_HOST_STACK = MIB

#: More than any module may define.
_MEMORIES_PER_MODULE = 1000

#: Bytes of a file with settings of the engine's cache.
_MOST_CACHE_SETTINGS = MIB

_COUNT = number(0, 2**32 - 1, "slots")
_SIZE = number(0, 2**64 - 1, "bytes")
_WORD = re.compile(r"[A-Za-z0-9_.+-]+")


class _Named(enum.IntEnum):
    """An enumeration whose members print as they are written."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__


class Strategy(_Named):
    """Which compiler is used: AUTO is Cranelift; Winch compiles faster, and less well."""

    AUTO = 0
    CRANELIFT = 1
    WINCH = 2


class OptimizationLevel(_Named):
    """How hard the compiler tries."""

    NONE = 0
    SPEED = 1
    SPEED_AND_SIZE = 2


class RegallocAlgorithm(_Named):
    """How the compiler allocates registers: SINGLE_PASS compiles faster, to slower code."""

    BACKTRACKING = 0
    SINGLE_PASS = 1


class ProfilingStrategy(_Named):
    """Which native profiler learns about compiled code.

    JITDUMP writes ``jit-PID.dump`` in the current folder, for ``perf inject``; PERFMAP writes
    ``/tmp/perf-PID.map``, which ``perf report`` finds; VTUNE tells VTune, where that runs the process. For a
    profile without any of these see `WasmStore.profile`.
    """

    NONE = 0
    JITDUMP = 1
    VTUNE = 2
    PERFMAP = 3


#: Flags of Cranelift that are settings of their own.
_FLAGS_WITH_KNOBS = {
    "enable_nan_canonicalization": "cranelift_nan_canonicalization",
    "enable_verifier": "cranelift_debug_verifier",
    "opt_level": "optimization_level",
    "regalloc_algorithm": "cranelift_regalloc_algorithm",
    "unwind_info": "native_unwind_info",
}


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected str, got {value!r}")
    word = exact(value)
    if not _WORD.fullmatch(word):
        raise ValueError(f"{name}: expected letters, digits and any of '_.+-', got {value!r}")
    return word


def _target(name: str, value: Any) -> str | None:
    return None if value is None else _word(name, value)


def _flags(name: str, value: Any) -> FrozenMap:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a mapping of names to bool, str or int, got {value!r}")
    flags: dict[str, bool | str] = {}
    for given, setting in value.items():
        flag = _word(f"{name}: a name", given)
        if flag in _FLAGS_WITH_KNOBS:
            raise ValueError(f"{name}: {flag!r} is a setting of its own: {_FLAGS_WITH_KNOBS[flag]}")
        if isinstance(setting, int) and not isinstance(setting, bool):
            setting = int.__repr__(setting)  # noqa: PLW2901
        flags[flag] = setting if isinstance(setting, bool) else _word(f"{name}[{flag!r}]", setting)
    return FrozenMap(flags)


def _cache(name: str, value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    try:
        path = os.fspath(value)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise TypeError(f"{name}: expected a bool or the path of a folder or file, got {value!r}")
    path = exact(path)
    if not path or "\0" in path or path.encode(errors="replace").decode() != path:
        raise ValueError(f"{name}: expected a path without NUL that UTF-8 can hold, got {path!r}")
    return path


def _pooling(name: str, value: Any) -> PoolingConfig | None:
    if value is None or isinstance(value, PoolingConfig):
        return value
    raise TypeError(f"{name}: expected a PoolingConfig or None, got {value!r}")


class PoolingConfig(Settings):
    """Sizes of the pooling allocator, which sets aside room for everything when the engine is made.

    Instances, memories and tables then come out of pools and go back to them, which is faster than asking the
    system each time, and more than the pools hold is refused. `WasmConfig.pooling_allocation_strategy` takes
    it.

    >>> PoolingConfig(total_core_instances=10).replace(max_memory_size=1 << 20)
    PoolingConfig(total_core_instances=10, max_memory_size=1048576)

    Raises:
        TypeError: A setting is unknown, or has a value of the wrong type.
        ValueError: A value is out of range.

    C API: ``wasmtime_pooling_allocation_config_*``, ``wasmtime_pooling_allocation_strategy_set``.
    """

    __slots__ = ()

    total_core_instances: int = knob("Instances of modules that may live at once.", _COUNT, default=1000)
    total_component_instances: int = knob(
        "Instances of components that may live at once.", _COUNT, default=1000
    )
    total_memories: int = knob("Memories that may live at once.", _COUNT, default=1000)
    total_tables: int = knob("Tables that may live at once.", _COUNT, default=1000)
    total_stacks: int = knob("Stacks of asynchronous calls that may live at once.", _COUNT, default=1000)
    total_gc_heaps: int = knob(
        "Stores that may hold references at once; each takes a memory, too.", _COUNT, default=1000
    )
    max_memory_size: int = knob(
        "Bytes to which a memory may grow; at most `memory_reservation` of the engine.",
        _SIZE,
        default=4 << 30,
    )
    table_elements: int = knob(
        "Elements to which a table may grow.", number(0, 2**64 - 1, "elements"), default=20_000
    )
    max_memories_per_module: int = knob("Memories that a module may define.", _COUNT, default=1)
    max_tables_per_module: int = knob("Tables that a module may define.", _COUNT, default=1)
    max_core_instance_size: int = knob(
        "Bytes of the engine's own data per instance of a module.", _SIZE, default=MIB
    )
    max_component_instance_size: int = knob(
        "Bytes of the engine's own data per instance of a component.", _SIZE, default=MIB
    )
    max_core_instances_per_component: int = knob(
        "Instances of modules that a component may contain.", _COUNT, default=2**32 - 1
    )
    max_memories_per_component: int = knob(
        "Memories that a component may contain.", _COUNT, default=2**32 - 1
    )
    max_tables_per_component: int = knob("Tables that a component may contain.", _COUNT, default=2**32 - 1)
    max_unused_warm_slots: int = knob(
        "Free slots that stay prepared for the module that used them last.", _COUNT, default=100
    )
    decommit_batch_size: int = knob(
        "Freed slots to collect before their memory goes back to the system.",
        number(0, 2**64 - 1, "slots"),
        default=1,
    )
    linear_memory_keep_resident: int = knob("Bytes of a freed memory to clear and keep.", _SIZE, default=0)
    table_keep_resident: int = knob("Bytes of a freed table to clear and keep.", _SIZE, default=0)
    async_stack_keep_resident: int = knob("Bytes of a freed stack to clear and keep.", _SIZE, default=0)


def _not_winch(config: WasmConfig) -> bool:
    return config.strategy is not Strategy.WINCH


def _not_pulley(config: WasmConfig) -> bool:
    return not (config.target or "").startswith("pulley")


class WasmConfig(Settings, AbstractConfig):
    """Settings of an engine. Immutable, reusable, equal by content; the defaults are the engine's.

    >>> config = WasmConfig(consume_fuel=True)
    >>> config.replace(max_wasm_stack=1 << 20)
    WasmConfig(consume_fuel=True, max_wasm_stack=1048576)

    ``docs/config.md`` lists all settings, and so does ``help(WasmConfig)``. Types and ranges are checked
    here. Whether settings go together is checked by `WasmEngine`: by rules, and where rules cannot tell
    (`cranelift_flags`, `target`, `pooling_allocation_strategy`, a file for `cache_config_load`) by trying
    them in a process of their own first, once per value, since the engine's library ends a process that asks
    for what it refuses.

    Raises:
        TypeError: A setting is unknown, or has a value of the wrong type.
        ValueError: A value is out of range.

    C API: ``wasm_config_*``, ``wasmtime_config_*``.
    """

    __slots__ = ()

    # ---- What compiled code carries and counts

    debug_info: bool = knob(
        "Carry DWARF debug information over into the compiled code. A module that has some is compiled in a "
        "process of its own first, since the engine may die of it: leave it off for modules that nobody "
        "trusts.",
        default=False,
    )
    optimization_level: OptimizationLevel = knob(
        "How hard the compiler tries.",
        choice(OptimizationLevel),
        "cranelift_opt_level",
        default=OptimizationLevel.SPEED,
    )
    profiling_strategy: ProfilingStrategy = knob(
        "Which native profiler learns about compiled code.",
        choice(ProfilingStrategy),
        "profiler",
        default=ProfilingStrategy.NONE,
    )
    consume_fuel: bool = knob(
        "Count fuel: a store starts with none, and WebAssembly traps where it runs out.", default=False
    )
    epoch_interruption: bool = knob(
        "Check the engine's epoch while running, which time limits, interruption, Ctrl-C and profiles need; "
        "costs up to half of a tight loop's speed.",
        default=False,
    )
    max_wasm_stack: int = knob(
        "Bytes of stack that WebAssembly may use. A thread that runs it needs that and a margin.",
        number(1, 1 << 40, "bytes"),
        default=512 << 10,
    )

    # ---- The compiler

    strategy: Strategy = knob(
        "Which compiler is used. Winch has no `wasm_gc`, `wasm_function_references` and `wasm_relaxed_simd`; "
        "`gc_support`, `wasm_exceptions`, `wasm_tail_call`, `wasm_threads` and `wasm_wide_arithmetic` are "
        "off with it unless asked for.",
        choice(Strategy),
        default=Strategy.AUTO,
    )
    parallel_compilation: bool = knob("Compile a module's functions on all processors.", default=True)
    native_unwind_info: bool = knob(
        "Tell native debuggers and profilers how to unwind the stack of compiled code.", default=True
    )
    cranelift_regalloc_algorithm: RegallocAlgorithm = knob(
        "How registers are allocated.", choice(RegallocAlgorithm), default=RegallocAlgorithm.BACKTRACKING
    )
    cranelift_nan_canonicalization: bool = knob(
        "Give every NaN that an operation makes one bit pattern, so that results are deterministic.",
        default=False,
    )
    cranelift_debug_verifier: bool = knob("Have the compiler check itself, which is slow.", default=False)
    cranelift_flags: Mapping[str, int | str] = knob(
        "Flags of Cranelift by name, as in ``{'has_avx2': False, 'bb_padding_log2_minus_one': 3}``; "
        "``{'haswell': True}`` is a preset of processor features. Numbers read back as text.",
        _flags,
        "cranelift_flag",
        default=FrozenMap({}),
    )
    target: str | None = knob(
        "The target triple to compile for; ``None`` is this machine with all that its processor has. Modules "
        "of another machine do not load; ``'pulley64'`` is interpreted.",
        _target,
        default=None,
    )
    cache_config_load: bool | str | os.PathLike[str] = knob(
        "Keep compiled code in files, for later engines with the same settings: ``True`` where the engine "
        "keeps it by default, or the path of a folder, which must exist, or of a TOML file with the engine's "
        "own settings of its cache. No other user may write the folder, or one above it that is not sticky.",
        _cache,
        default=False,
    )

    # ---- WebAssembly

    wasm_bulk_memory: bool = knob("Bulk memory operations.", default=True)
    wasm_multi_value: bool = knob("Several results of a function or block.", default=True)
    wasm_reference_types: bool = knob("References as values; tables of them.", default=True)
    wasm_function_references: bool = knob(
        "Typed references to functions.", default=True, default_in=_not_winch
    )
    wasm_gc: bool = knob("Garbage-collected structs, arrays and i31.", default=True, default_in=_not_winch)
    gc_support: bool = knob(
        "A collector at all: without it there are no externref, anyref and exnref values, no structs and no "
        "arrays.",
        default=True,
        default_in=_not_winch,
    )
    wasm_exceptions: bool = knob(
        "Exceptions with tags; off without `gc_support`.",
        default=True,
        default_in=lambda config: config.gc_support and _not_winch(config),
    )
    wasm_tail_call: bool = knob("Tail calls.", default=True, default_in=_not_winch)
    wasm_simd: bool = knob("128-bit vectors.", default=True)
    wasm_relaxed_simd: bool = knob(
        "Vector operations whose results depend on the processor.",
        default=True,
        default_in=_not_winch,
    )
    wasm_relaxed_simd_deterministic: bool = knob("Make these the same on every processor.", default=False)
    wasm_multi_memory: bool = knob("Several memories in a module.", default=True)
    wasm_memory64: bool = knob("Memories and tables with 64-bit addresses.", default=True)
    wasm_custom_page_sizes: bool = knob("Memories with pages of one byte.", default=False)
    wasm_wide_arithmetic: bool = knob(
        "128-bit additions and multiplications.", default=True, default_in=_not_winch
    )
    wasm_threads: bool = knob(
        "Atomic operations, and memories marked as shared; off where ``target`` is Pulley.",
        default=True,
        default_in=lambda config: _not_winch(config) and _not_pulley(config),
    )
    shared_memory: bool = knob("That shared memories can be made.", default=False)
    wasm_branch_hinting: bool = knob(
        "Hints on which branches are likely, in a custom section.", default=False
    )
    wasm_stack_switching: bool = knob(
        "Continuations. This build of the engine cannot run them: `WasmEngine` refuses it.", default=False
    )
    wasm_compact_imports: bool = knob("A shorter encoding of imports.", default=False)

    # ---- Components

    wasm_component_model: bool = knob("Components.", default=True)
    concurrency_support: bool = knob("What asynchronous components need at run time.", default=True)
    wasm_component_model_async: bool = knob(
        "Asynchronous components; off without `concurrency_support`.",
        default=True,
        default_in=lambda config: config.concurrency_support,
    )
    wasm_component_model_more_async_builtins: bool = knob("More built-in functions for these.", default=False)
    wasm_component_model_async_stackful: bool = knob(
        "Asynchronous functions with stacks of their own.", default=False
    )
    wasm_component_model_map: bool = knob("The type ``map`` in interfaces.", default=False)
    wasm_component_model_implements: bool = knob(
        "``implements`` annotations on imports and exports.", default=False
    )
    wasm_component_model_accessors: bool = knob("Accessors in interfaces.", default=False)
    wasm_component_model_canonical_names: bool = knob("Canonical names of interfaces.", default=False)

    # ---- Memories

    memory_may_move: bool = knob(
        "That a memory may move when it grows beyond its reservation; otherwise that growth fails.",
        default=True,
    )
    memory_reservation: int = knob(
        "Bytes of address space for each memory. A memory whose maximum fits never moves and has views.",
        _SIZE,
        default=4 << 30,
    )
    memory_reservation_for_growth: int = knob(
        "Bytes of address space on top, for a memory that does not fit its reservation.",
        _SIZE,
        default=2 << 30,
    )
    memory_guard_size: int = knob(
        "Bytes of inaccessible address space around each memory, which save checks.", _SIZE, default=32 * MIB
    )
    memory_init_cow: bool = knob(
        "Map a memory's initial content copy-on-write instead of copying it.", default=True
    )
    signals_based_traps: bool = knob(
        "Notice errors of WebAssembly by the processor's faults; otherwise by checks in the compiled code, "
        "which are slower and need no signal handlers, and without which Pulley does.",
        default=True,
        default_in=_not_pulley,
    )
    macos_use_mach_ports: bool = knob(
        "On macOS, take these faults from Mach ports. Elsewhere nothing.", default=True
    )
    pooling_allocation_strategy: PoolingConfig | None = knob(
        "Take instances, memories and tables out of pools of these sizes.", _pooling, default=None
    )

    # ---- Asynchronous calls

    async_stack_size: int = knob(
        "Bytes of stack for an asynchronous call, host functions included; more than `max_wasm_stack`. Grows "
        "with that: at least 1 MiB is added to it.",
        number(1, 1 << 41, "bytes"),
        default=2 * MIB,
        default_in=lambda config: max(2 * MIB, config.max_wasm_stack + _HOST_STACK),
    )

    @classmethod
    def development(cls) -> WasmConfig:
        """For finding faults: debug information, and code that is compiled fast."""
        return cls(debug_info=True, optimization_level=OptimizationLevel.NONE)

    @classmethod
    def production(cls) -> WasmConfig:
        """For trusted code at full speed: the defaults."""
        return cls()

    @classmethod
    def profiling(cls) -> WasmConfig:
        """For measuring with ``perf``: symbols for compiled code in ``/tmp/perf-PID.map``."""
        return cls(debug_info=True, profiling_strategy=ProfilingStrategy.PERFMAP)

    @classmethod
    def sandbox(cls) -> WasmConfig:
        """For code that nobody trusts: fuel, epochs, and a small stack."""
        return cls(consume_fuel=True, epoch_interruption=True, max_wasm_stack=256 << 10)

    @classmethod
    def compact(cls) -> WasmConfig:
        """For little address space, or tens of thousands of instances: memories take what they hold, no more.

        By default each memory reserves 4 GiB of address space, and so does the heap for references of each
        store that uses them: that is quick, but more than a process with ``RLIMIT_AS`` may have, and more
        than some 30,000 times anywhere. Here nothing is reserved. In exchange, accesses are checked by code,
        growing a memory copies it, and memories that can grow have no views. With much growth,
        ``compact().replace(memory_reservation_for_growth=1 << 20)`` copies less often.
        """
        return cls(
            memory_reservation=0, memory_reservation_for_growth=0, memory_guard_size=0, memory_init_cow=False
        )

    def _plain(self) -> WasmConfig:
        """The same as a config of this very class: what is derived from it could tell others each time."""
        pooling = self._given.get("pooling_allocation_strategy")
        if type(self) is WasmConfig and (pooling is None or type(pooling) is PoolingConfig):
            return self
        given = {name: value for name, value in self._given.items() if name in WasmConfig._knobs}
        if pooling is not None:
            sizes = {name: value for name, value in pooling._given.items() if name in PoolingConfig._knobs}
            given["pooling_allocation_strategy"] = PoolingConfig(**sizes)
        return WasmConfig(**given)

    def _to_compile(self, **others: Any) -> WasmConfig:
        """The same without what has no part in compiling, which a second engine would only have twice."""
        return self.replace(
            pooling_allocation_strategy=None, profiling_strategy=ProfilingStrategy.NONE, **others
        )

    def _to_c(self) -> Any:
        """A new ``wasm_config_t *`` with these settings, for the engine to consume.

        Raises:
            WasmtimeError: The target or the cache is refused.
        """
        config = lib.wasm_config_new()
        try:
            for name, knob in self._knobs.items():
                value = getattr(self, name)
                by_target = self.target is not None and name in _DIFFERENT_BY_TARGET
                if value == knob.default and name not in self._given and not by_target:
                    continue
                write = _WRITERS.get(name)
                if write is not None:
                    write(config, value)
                else:
                    getattr(lib, f"wasmtime_config_{knob.c_name}_set")(config, value)
        except BaseException:
            lib.wasm_config_delete(config)
            raise
        return config


#: Settings whose default the engine takes from the target.
_DIFFERENT_BY_TARGET = {
    "memory_guard_size",
    "memory_reservation",
    "memory_reservation_for_growth",
    "signals_based_traps",
}


def _write_flags(config: Any, flags: Mapping[str, bool | str]) -> None:
    for name, value in flags.items():
        if (
            value is True and "_" not in name
        ):  # a preset, which has no value; flags have one and an underscore
            lib.wasmtime_config_cranelift_flag_enable(config, name.encode())
        else:
            text = str(value).lower() if isinstance(value, bool) else value
            lib.wasmtime_config_cranelift_flag_set(config, name.encode(), text.encode())


def _write_target(config: Any, target: str) -> None:
    check(lib.wasmtime_config_target_set(config, target.encode()), prefix=f"target {target!r}: ")


def read_cache_file(path: str) -> bytes:
    """Return the content of a file with settings of the engine's cache.

    Raises:
        WasmtimeError: If it cannot be read, is not a regular file, or has more than 1 MiB.
    """
    try:
        return read_file(path, "cache_config_load", _MOST_CACHE_SETTINGS, "cache_config_load")
    except (OSError, ValueError, WasmtimeError) as problem:
        raise WasmtimeError(f"cache_config_load: {path} cannot be read: {problem}") from None


def _write_cache(config: Any, cache: bool | str) -> None:
    if cache is True:
        check(lib.wasmtime_config_cache_config_load(config, ffi.NULL), prefix="cache_config_load: ")
        return
    cache = str(cache)
    if os.path.isdir(cache):  # the C API takes no folder, but a file that names it
        with Importing():
            import json  # noqa: PLC0415  only this needs it

        folder = json.dumps(os.path.realpath(cache), ensure_ascii=False)  # which is TOML, too
        text = f"[cache]\ndirectory = {folder}\n".encode()
    else:  # a copy of what was checked, since the engine waits for pipes and reads without end
        text = read_cache_file(cache)
    copied = os.memfd_create("cache.toml", os.MFD_CLOEXEC)
    try:
        with open(copied, "wb", closefd=False) as file:
            file.write(text)
        check(
            lib.wasmtime_config_cache_config_load(config, f"/proc/self/fd/{copied}".encode()),
            prefix=f"cache_config_load: {cache!r}: ",
        )
    finally:
        os.close(copied)


def _write_pooling(config: Any, pooling: PoolingConfig) -> None:
    sizes = lib.wasmtime_pooling_allocation_config_new()
    for name, value in pooling._given.items():
        if name == "max_memories_per_module":
            # The engine counts up to it whenever it frees a module, which may define a hundred.
            value = min(value, _MEMORIES_PER_MODULE)  # noqa: PLW2901
        getattr(lib, f"wasmtime_pooling_allocation_config_{name}_set")(sizes, value)
    lib.wasmtime_pooling_allocation_strategy_set(config, sizes)
    lib.wasmtime_pooling_allocation_config_delete(sizes)


#: How to hand over what is more than a number to its setter.
_WRITERS: dict[str, Any] = {
    "cache_config_load": _write_cache,
    "cranelift_flags": _write_flags,
    "pooling_allocation_strategy": _write_pooling,
    "target": _write_target,
}
