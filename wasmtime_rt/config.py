"""Settings of an engine: a plain Python value, checked when the engine is made.

Every setting has the name that the engine's C API gives it; `WasmConfig.replace` makes a variant.
"""

from __future__ import annotations

import enum
import os
from typing import Any

from ._abstract import AbstractConfig
from ._lowlevel import lib
from .errors import WasmtimeError

#: What the engine reserves for the stack of an asynchronous call, which must exceed `max_wasm_stack`.
_ASYNC_STACK_SIZE = 2 << 20


class OptimizationLevel(enum.IntEnum):
    """How hard the compiler tries."""

    NONE = 0
    SPEED = 1
    SPEED_AND_SIZE = 2


class ProfilingStrategy(enum.IntEnum):
    """Which native profiler learns about compiled code."""

    NONE = 0
    JITDUMP = 1
    VTUNE = 2
    PERFMAP = 3


_DEFAULTS: dict[str, Any] = {
    "debug_info": False,
    "optimization_level": OptimizationLevel.SPEED,
    "profiling_strategy": ProfilingStrategy.NONE,
    "consume_fuel": False,
    "epoch_interruption": False,
    "max_wasm_stack": 512 << 10,
}


class WasmConfig(AbstractConfig):
    """Settings of an engine. Immutable, reusable, equal by content; the defaults are the engine's.

    >>> config = WasmConfig(consume_fuel=True)
    >>> config.replace(max_wasm_stack=1 << 20)
    WasmConfig(consume_fuel=True, max_wasm_stack=1048576)

    Args:
        debug_info: Carry DWARF debug information over into the compiled code.
        optimization_level: How hard the compiler tries.
        profiling_strategy: Which native profiler learns about compiled code.
        consume_fuel: Count fuel: a store starts with none, and WebAssembly traps where it runs out.
        epoch_interruption: Check the engine's epoch while running; costs up to half of a tight loop's
            speed.
        max_wasm_stack: Bytes of stack that WebAssembly may use. A thread that runs it needs that much
            and a margin.

    Raises:
        TypeError: A setting is unknown, or has a value of the wrong type.
        ValueError: A value is out of range.
    """

    __slots__ = ("_settings",)

    def __init__(
        self,
        *,
        debug_info: bool = False,
        optimization_level: OptimizationLevel = OptimizationLevel.SPEED,
        profiling_strategy: ProfilingStrategy = ProfilingStrategy.NONE,
        consume_fuel: bool = False,
        epoch_interruption: bool = False,
        max_wasm_stack: int = 512 << 10,
    ) -> None:
        for name, flag in (
            ("debug_info", debug_info),
            ("consume_fuel", consume_fuel),
            ("epoch_interruption", epoch_interruption),
        ):
            if not isinstance(flag, bool):
                raise TypeError(f"{name}: expected a bool, got {flag!r}")
        if isinstance(max_wasm_stack, bool) or not isinstance(max_wasm_stack, int):
            raise TypeError(f"max_wasm_stack: expected a number of bytes, got {max_wasm_stack!r}")
        self._settings = {
            "debug_info": debug_info,
            "optimization_level": OptimizationLevel(optimization_level),
            "profiling_strategy": ProfilingStrategy(profiling_strategy),
            "consume_fuel": consume_fuel,
            "epoch_interruption": epoch_interruption,
            "max_wasm_stack": max_wasm_stack,
        }

    def replace(self, **changes: Any) -> WasmConfig:
        """A config with some settings changed.

        Raises:
            TypeError: A setting is unknown, or has a value of the wrong type.
        """
        return WasmConfig(**{**self._settings, **changes})

    @classmethod
    def development(cls) -> WasmConfig:
        """For finding faults: debug information, and code that is compiled fast."""
        return cls(debug_info=True, optimization_level=OptimizationLevel.NONE)

    @classmethod
    def production(cls) -> WasmConfig:
        """For trusted code at full speed."""
        return cls(optimization_level=OptimizationLevel.SPEED)

    @classmethod
    def profiling(cls) -> WasmConfig:
        """For measuring with ``perf``: symbols for compiled code in ``/tmp/perf-PID.map``."""
        return cls(debug_info=True, profiling_strategy=ProfilingStrategy.PERFMAP)

    @classmethod
    def sandbox(cls) -> WasmConfig:
        """For code that nobody trusts: fuel, epochs, and a small stack."""
        return cls(consume_fuel=True, epoch_interruption=True, max_wasm_stack=256 << 10)

    @property
    def debug_info(self) -> bool:
        """Whether DWARF debug information is carried over into the compiled code."""
        return bool(self._settings["debug_info"])

    @property
    def optimization_level(self) -> OptimizationLevel:
        """How hard the compiler tries."""
        return OptimizationLevel(self._settings["optimization_level"])

    @property
    def profiling_strategy(self) -> ProfilingStrategy:
        """Which native profiler learns about compiled code."""
        return ProfilingStrategy(self._settings["profiling_strategy"])

    @property
    def consume_fuel(self) -> bool:
        """Whether fuel is counted."""
        return bool(self._settings["consume_fuel"])

    @property
    def epoch_interruption(self) -> bool:
        """Whether the engine's epoch is checked while running."""
        return bool(self._settings["epoch_interruption"])

    @property
    def max_wasm_stack(self) -> int:
        """Bytes of stack that WebAssembly may use."""
        return int(self._settings["max_wasm_stack"])

    def _check(self) -> None:
        """Refuse what makes the engine's constructor abort.

        Raises:
            WasmtimeError: The combination is refused, with the reason.
        """
        if not 0 < self.max_wasm_stack <= 1 << 40:
            raise WasmtimeError(f"max_wasm_stack: expected 1 to 2**40 bytes, got {self.max_wasm_stack}")
        written = {
            ProfilingStrategy.JITDUMP: f"jit-{os.getpid()}.dump",
            ProfilingStrategy.PERFMAP: f"/tmp/perf-{os.getpid()}.map",  # noqa: S108  where perf looks
        }.get(self.profiling_strategy)
        if written is not None:
            try:
                with open(written, "ab"):
                    pass
            except OSError as problem:
                raise WasmtimeError(
                    f"{self.profiling_strategy!s}: {written} cannot be written: {problem}"
                ) from None

    def _to_c(self) -> Any:
        """A new ``wasm_config_t *`` with these settings, for the engine to consume."""
        self._check()
        config = lib.wasm_config_new()
        lib.wasmtime_config_debug_info_set(config, self.debug_info)
        lib.wasmtime_config_cranelift_opt_level_set(config, self.optimization_level)
        lib.wasmtime_config_profiler_set(config, self.profiling_strategy)
        lib.wasmtime_config_consume_fuel_set(config, self.consume_fuel)
        lib.wasmtime_config_epoch_interruption_set(config, self.epoch_interruption)
        lib.wasmtime_config_max_wasm_stack_set(config, self.max_wasm_stack)
        lib.wasmtime_config_async_stack_size_set(
            config, max(_ASYNC_STACK_SIZE, self.max_wasm_stack + (_ASYNC_STACK_SIZE // 2))
        )
        return config

    def __eq__(self, other: object) -> bool:
        return self._settings == other._settings if isinstance(other, WasmConfig) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._settings.items()))

    def __repr__(self) -> str:
        changed = (f"{name}={value!s}" for name, value in self._settings.items() if value != _DEFAULTS[name])
        return f"WasmConfig({', '.join(changed)})"
