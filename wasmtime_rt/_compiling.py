"""Compiling, where the engine's pool of threads works and where it does not.

An engine that compiles in parallel waits for ever in a forked child whose parent has compiled, and ends the
process where no threads can be started. There it gets a twin with the same settings that compiles on the
calling thread: what the twin compiles is serialized and loaded into the engine, which takes it for its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._failure import check
from ._lowlevel import Handle, byte_vector, check_native_stack, ffi, lib
from ._process import compiles_in_parallel
from .errors import CompileError

if TYPE_CHECKING:
    from .engine import WasmEngine


def validate(engine: WasmEngine, wasm: bytes) -> None:
    """Check that ``wasm`` is a valid module.

    Raises:
        CompileError: It is not.
    """
    check_native_stack()
    pointer = engine._pointer
    compiler = _twin(engine, pointer) or pointer
    check(lib.wrt_module_validate(compiler, wasm, len(wasm)), CompileError)


def compile_module(engine: WasmEngine, pointer: Any, wasm: bytes) -> Any:
    """``wasm`` compiled, as a new ``wasmtime_module_t *`` of the engine; ``pointer`` is the engine's.

    Raises:
        CompileError: It is not valid, or uses a feature that the engine has off.
    """
    check_native_stack()
    lib.wrt_signals_restore()
    made, twin = ffi.new("wasmtime_module_t **"), _twin(engine, pointer)
    check(lib.wrt_module_new(twin or pointer, wasm, len(wasm), made), CompileError)
    if twin is None:
        return made[0]
    compiled = ffi.gc(made[0], lib.wasmtime_module_delete)
    code = byte_vector()
    check(lib.wasmtime_module_serialize(compiled, code))
    check(lib.wrt_module_deserialize(pointer, code.data, code.size, made), CompileError)
    return made[0]


def _twin(engine: WasmEngine, pointer: Any) -> Any:
    """The ``wasm_engine_t *`` that compiles for ``engine`` here, or ``None`` where that does so itself."""
    if not engine._parallel or compiles_in_parallel(pointer):
        return None
    if engine._twin is None:
        config = engine._plain_config._to_compile(parallel_compilation=False)
        twin = lib.wrt_engine_new(config._to_c(), config.signals_based_traps)
        engine._twin = Handle(twin, "wasm_engine_delete", "engine")
    return engine._twin.get()
