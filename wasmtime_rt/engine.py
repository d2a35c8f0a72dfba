"""Engines: a compiler with its settings."""

from __future__ import annotations

import itertools
import os
import weakref
from typing import Any

from ._abstract import AbstractEngine, begin
from ._config_rules import check_rules, needs_trial
from ._environment import backtrace_details, check_environment
from ._lowlevel import NULL, Handle, check_native_stack, lib
from ._process import threads_can_start, watch_signal_handlers
from ._reflect import functype_to_c, native_functype
from ._trial import try_out
from .config import WasmConfig
from .errors import WasmtimeError
from .types import WasmFuncType

_TYPES_KEPT = 1024

#: Every engine of this process by its identity, which goes along when it is pickled; a forked child has
#: them too. And those that unpickling made, which the process keeps, since each task of a pool needs one.
_engines: weakref.WeakValueDictionary[tuple[bytes, int], WasmEngine] = weakref.WeakValueDictionary()
_made_for: dict[tuple[type[WasmEngine], WasmConfig], WasmEngine] = {}
_process, _numbers = os.urandom(16), itertools.count()


class WasmEngine(AbstractEngine):
    """A compiler with its settings. One serves a whole program: threads and stores share it.

    A copy of an engine is the engine itself. In another process, an unpickled one is the oldest there with an
    equal config, or else one that is made for it and kept.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine(w.WasmConfig(consume_fuel=True))
    >>> engine.config.consume_fuel
    True
    >>> w.WasmEngine(w.WasmConfig(wasm_simd=False))
    Traceback (most recent call last):
        ...
    wasmtime_rt.errors.WasmtimeError: wasm_relaxed_simd needs wasm_simd: turn both off, or none

    Args:
        config: Its settings; the engine's defaults if not given.

    Raises:
        TypeError: ``config`` is no `WasmConfig`.
        WasmtimeError: The settings do not go together, or cannot be met here. What no rule can judge is
            tried in another process first, once per value. Or an environment variable that the engine reads
            holds what it cannot work with: ``RAYON_NUM_THREADS``, ``RAYON_RS_NUM_CPUS``, ``RUST_MIN_STACK``,
            ``TOKIO_WORKER_THREADS``.

    C API: ``wasm_engine_new_with_config``, ``wasm_engine_delete``.
    """

    __slots__ = (
        "__weakref__",
        "_backtrace_details",
        "_c_types",
        "_clock",
        "_config",
        "_handle",
        "_has_epochs",
        "_identity",
        "_max_wasm_stack",
        "_memories_stay_below",
        "_modules",
        "_parallel",
        "_plain_config",
        "_reservations",
        "_stand_ins",
        "_twin",
    )

    def __init__(self, config: WasmConfig | None = None) -> None:
        begin(self, "_handle")
        config = WasmConfig() if config is None else config
        if not isinstance(config, WasmConfig):
            raise TypeError(f"config: expected a WasmConfig, got {config!r}")
        given, config = config, config._plain()
        check_rules(config)
        if needs_trial(config):
            try_out(config)
        check_native_stack()
        check_environment()
        #: Whether the engine shows what debugging information in modules says: it reads the environment.
        self._backtrace_details = backtrace_details()
        if config.cache_config_load is not False and not threads_can_start(1):
            raise WasmtimeError("cache_config_load: it needs a thread, and this process cannot start one")
        engine = lib.wrt_engine_new(config._to_c(), config.signals_based_traps)
        if config.signals_based_traps:
            watch_signal_handlers()
        lib.wrt_signals_restore()
        self._plain_config = config
        self._config = given
        #: Whether it compiles on several threads; and what compiles for it where these are not to be had.
        self._parallel = config.parallel_compilation
        self._twin: Handle | None = None
        self._stand_ins: dict[str, Handle] = {}
        self._max_wasm_stack, self._has_epochs = config.max_wasm_stack, config.epoch_interruption
        # A memory that cannot grow beyond this many bytes never moves.
        self._reservations = config.memory_reservation, config.memory_reservation_for_growth
        self._memories_stay_below = config.memory_reservation if config.memory_may_move else 1 << 64
        self._c_types: dict[WasmFuncType, Handle] = {}
        handle = Handle(engine, "wasm_engine_delete", "engine")
        kept = handle.get()  # another thread may close this object as soon as it has the handle
        #: What users count, apart from the engine's own epoch, which the ticker moves on too.
        self._clock = Handle(_new_clock(kept), "wrt_clock_release", "engine")
        self._handle = handle
        #: Its modules that live, by numbers in the order of their making, for profiles.
        self._modules: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._identity = _process, next(_numbers)
        _engines[self._identity] = self

    @property
    def config(self) -> WasmConfig:
        """The settings that it was made with."""
        return self._config

    @property
    def is_pulley(self) -> bool:
        """Whether it compiles for Pulley, the engine's interpreter, instead of this machine.

        Raises:
            ClosedError: The engine was closed.

        C API: ``wasmtime_engine_is_pulley``.
        """
        return bool(lib.wasmtime_engine_is_pulley(self._handle.get()))

    def increment_epoch(self) -> None:
        """Move the engine's epoch on by one tick: stores whose deadline it reaches trap.

        May be called from any thread while others run WebAssembly.

        Raises:
            ClosedError: The engine was closed.

        C API: ``wasmtime_engine_increment_epoch``.
        """
        lib.wrt_clock_tick(self._clock.get())

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return self._handle.is_open

    def close(self) -> None:
        """Let go of the engine. What was made with it keeps working."""
        self._handle.close()
        self._clock.close()

    @property
    def _pointer(self) -> Any:
        return self._handle.get()

    def _c_functype(self, functype: WasmFuncType, pointer: Any) -> Handle:
        """``functype`` as a ``wasm_functype_t`` that the engine keeps; ``pointer`` is the engine's."""
        made = native_functype(functype, pointer) or self._c_types.get(functype)
        if made is None:
            if len(self._c_types) >= _TYPES_KEPT:
                self._c_types.clear()
            made = self._c_types[functype] = Handle(
                functype_to_c(functype, pointer), "wasm_functype_delete", "type"
            )
        return made

    def __reduce__(self) -> Any:
        return _restore, (type(self), self._config, self._identity)

    def __repr__(self) -> str:
        return f"<WasmEngine {self._config!r}{'' if self.is_valid else ' closed'}>"


def _new_clock(engine: Any) -> Any:
    clock = lib.wrt_clock_new(engine)
    if clock == NULL:
        raise MemoryError
    return clock


def check_engine(engine: object) -> WasmEngine:
    """``engine`` itself.

    Raises:
        TypeError: It is no engine.
    """
    if type(engine) is WasmEngine or isinstance(engine, WasmEngine):  # the first is the fast way
        return engine
    raise TypeError(f"engine: expected a WasmEngine, got {engine!r}")


def _restore(kind: type[WasmEngine], config: WasmConfig, identity: tuple[bytes, int]) -> WasmEngine:
    """What a pickled engine is in this process: itself, or one that is equal to it."""
    engine = _engines.get(identity)
    if engine is not None and engine.config == config:
        return engine
    for reference in _engines.valuerefs():
        engine = reference()
        if type(engine) is kind and engine.is_valid and engine.config == config:
            return engine
    made = kind(config)
    kept = _made_for.setdefault((kind, config), made)  # of two threads that come here at once, one is first
    if not kept.is_valid:
        kept = _made_for[kind, config] = made
    return kept
