"""WebAssembly from Python: the Wasmtime engine as a compiled extension under a typed object model.

An engine compiles modules; a store holds what runs; an instance is a module brought to life in a
store; its exports are functions, memories, globals and tables::

    from wasmtime_rt import WasmEngine, WasmInstance, WasmModule, WasmStore

    engine = WasmEngine()
    module = WasmModule(engine, '(module (func (export "add") (param i32 i32) (result i32)'
                                '  local.get 0 local.get 1 i32.add))')
    instance = WasmInstance(WasmStore(engine), module)
    instance.exports.add(1, 2)
"""

from ._abstract import (
    AbstractConfig,
    AbstractEngine,
    AbstractFunc,
    AbstractGlobal,
    AbstractInstance,
    AbstractInstancePre,
    AbstractMemory,
    AbstractModule,
    AbstractStore,
    AbstractTable,
    WasmtimeObject,
    WasmtimeResource,
    WasmtimeType,
    WasmtimeValue,
)
from ._backend import backend
from ._lowlevel import engine_version
from ._profile import StoreProfile
from ._version import __version__
from .annotations import F32, F64, I32, I64, V128
from .config import (
    OptimizationLevel,
    PoolingConfig,
    ProfilingStrategy,
    RegallocAlgorithm,
    Strategy,
    WasmConfig,
)
from .engine import WasmEngine
from .errors import (
    ClosedError,
    CompileError,
    DeserializeError,
    LinkError,
    MemoryViewError,
    MisuseError,
    StoreBusyError,
    StoreClosedError,
    TrapCode,
    WasmException,
    WasmExit,
    WasmFrame,
    WasmtimeError,
    WasmTrap,
    WrongEngineError,
    WrongStoreError,
)
from .func import TypedFunc, WasmFunc
from .globals import WasmGlobal
from .instance import WasmExports, WasmExtern, WasmInstance, instantiate
from .instance_pre import WasmInstancePre
from .linker import WasmLinker
from .memory import WasmMemory
from .module import WasmModule, wat2wasm
from .refs import WasmArray, WasmExternalized, WasmRef, WasmStruct
from .shared_memory import WasmSharedMemory
from .store import StoreLimits, WasmStore
from .table import WasmTable
from .tag import WasmTag
from .types import (
    DefinedType,
    WasmExportType,
    WasmExternType,
    WasmFieldType,
    WasmFuncType,
    WasmGlobalType,
    WasmImportType,
    WasmLimits,
    WasmMemoryType,
    WasmTableType,
    WasmTagType,
    WasmValType,
)
from .values import (
    WasmExternRef,
    WasmF32,
    WasmF64,
    WasmFuncRef,
    WasmI31,
    WasmI32,
    WasmI64,
    WasmV128,
    WasmValue,
    from_wasm,
    is_wasm_convertible,
    to_wasm,
)
from .wasi import WasiConfig, WritableDir, rw

__all__ = [
    # What runs
    "__version__",
    "backend",
    "engine_version",
    # Engine, store, module, instance
    "OptimizationLevel",
    "PoolingConfig",
    "ProfilingStrategy",
    "RegallocAlgorithm",
    "StoreLimits",
    "StoreProfile",
    "Strategy",
    "WasmConfig",
    "WasmEngine",
    "WasmInstance",
    "WasmInstancePre",
    "WasmLinker",
    "WasmModule",
    "WasmStore",
    "instantiate",
    "wat2wasm",
    # What instances export
    "TypedFunc",
    "WasmExports",
    "WasmExtern",
    "WasmFunc",
    "WasmGlobal",
    "WasmMemory",
    "WasmSharedMemory",
    "WasmTable",
    "WasmTag",
    # References to what the engine keeps
    "WasmArray",
    "WasmExternalized",
    "WasmRef",
    "WasmStruct",
    # Types
    "DefinedType",
    "WasmExportType",
    "WasmExternType",
    "WasmFieldType",
    "WasmFuncType",
    "WasmGlobalType",
    "WasmImportType",
    "WasmLimits",
    "WasmMemoryType",
    "WasmTableType",
    "WasmTagType",
    "WasmValType",
    # Values
    "F32",
    "F64",
    "I32",
    "I64",
    "V128",
    "WasmExternRef",
    "WasmF32",
    "WasmF64",
    "WasmFuncRef",
    "WasmI31",
    "WasmI32",
    "WasmI64",
    "WasmV128",
    "WasmValue",
    "from_wasm",
    "is_wasm_convertible",
    "to_wasm",
    # WASI
    "WasiConfig",
    "WritableDir",
    "rw",
    # Errors
    "ClosedError",
    "CompileError",
    "DeserializeError",
    "LinkError",
    "MemoryViewError",
    "MisuseError",
    "StoreBusyError",
    "StoreClosedError",
    "TrapCode",
    "WasmException",
    "WasmExit",
    "WasmFrame",
    "WasmTrap",
    "WasmtimeError",
    "WrongEngineError",
    "WrongStoreError",
    # The abstract hierarchy
    "AbstractConfig",
    "AbstractEngine",
    "AbstractFunc",
    "AbstractGlobal",
    "AbstractInstance",
    "AbstractInstancePre",
    "AbstractMemory",
    "AbstractModule",
    "AbstractStore",
    "AbstractTable",
    "WasmtimeObject",
    "WasmtimeResource",
    "WasmtimeType",
    "WasmtimeValue",
]
