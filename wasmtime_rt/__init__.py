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

from ._importing import Importing as _Importing  # the first, since it watches over the others
from ._lowlevel import engine_version
from ._version import __version__

TYPE_CHECKING = False  # as in `typing`, which takes its time to import

if TYPE_CHECKING:
    from . import v128
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
    from ._deadline import StoreDeadline
    from ._process import restore_signal_handlers
    from ._profile import StoreProfile
    from .annotations import F32, F64, I32, I64, V128
    from .byte_calls import ByteCaller, WasmSpan, call_bytes, pack_span, unpack_span, unsigned
    from .caller import WasmCaller, with_caller
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
        ForkError,
        LimitError,
        LinkError,
        MemoryViewError,
        MisuseError,
        OutOfFuelError,
        StoreBusyError,
        StoreClosedError,
        TrapCode,
        WasmException,
        WasmExit,
        WasmFrame,
        WasmInterrupted,
        WasmtimeError,
        WasmTimeout,
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
    from .module_cache import ModuleCache
    from .refs import WasmArray, WasmExternalized, WasmRef, WasmStruct
    from .sandbox import Sandbox, SandboxInstance, WasiResult, run_wasi
    from .sandbox_pool import SandboxLease, SandboxPool
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

#: Where each name lives. A room is entered when one of its names is first asked for.
_ROOMS = {
    "_abstract": (
        "AbstractConfig AbstractEngine AbstractFunc AbstractGlobal AbstractInstance "
        "AbstractInstancePre AbstractMemory AbstractModule AbstractStore AbstractTable "
        "WasmtimeObject WasmtimeResource WasmtimeType WasmtimeValue"
    ),
    "_deadline": "StoreDeadline",
    "_process": "restore_signal_handlers",
    "_profile": "StoreProfile",
    "annotations": "F32 F64 I32 I64 V128",
    "byte_calls": "ByteCaller WasmSpan call_bytes pack_span unpack_span unsigned",
    "caller": "WasmCaller with_caller",
    "config": ("OptimizationLevel PoolingConfig ProfilingStrategy RegallocAlgorithm Strategy WasmConfig"),
    "engine": "WasmEngine",
    "errors": (
        "ClosedError CompileError DeserializeError ForkError LimitError LinkError MemoryViewError "
        "MisuseError OutOfFuelError StoreBusyError StoreClosedError TrapCode WasmException WasmExit "
        "WasmFrame WasmInterrupted WasmTimeout WasmtimeError WasmTrap WrongEngineError WrongStoreError"
    ),
    "func": "TypedFunc WasmFunc",
    "globals": "WasmGlobal",
    "instance": "WasmExports WasmExtern WasmInstance instantiate",
    "instance_pre": "WasmInstancePre",
    "linker": "WasmLinker",
    "memory": "WasmMemory",
    "module": "WasmModule wat2wasm",
    "module_cache": "ModuleCache",
    "refs": "WasmArray WasmExternalized WasmRef WasmStruct",
    "sandbox": "Sandbox SandboxInstance WasiResult run_wasi",
    "sandbox_pool": "SandboxLease SandboxPool",
    "shared_memory": "WasmSharedMemory",
    "store": "StoreLimits WasmStore",
    "table": "WasmTable",
    "tag": "WasmTag",
    "types": (
        "DefinedType WasmExportType WasmExternType WasmFieldType WasmFuncType WasmGlobalType "
        "WasmImportType WasmLimits WasmMemoryType WasmTableType WasmTagType WasmValType"
    ),
    "v128": "",  # a room that is a name itself
    "values": (
        "WasmExternRef WasmF32 WasmF64 WasmFuncRef WasmI31 WasmI32 WasmI64 WasmV128 "
        "WasmValue from_wasm is_wasm_convertible to_wasm"
    ),
    "wasi": "WasiConfig WritableDir rw",
}
_names = globals()  # by another name: one of the rooms is called that
_HOMES = {name: room for room, names in _ROOMS.items() for name in names.split() or (room,)}

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import what is asked for: the engine is there from the start, the rest as it is needed."""
        from importlib import import_module  # noqa: PLC0415

        if name in _ROOMS and not name.startswith("_"):
            with _Importing():
                return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with _Importing():
            room = import_module(f"{__name__}.{_HOMES[name]}")
        found = _names[name] = getattr(room, name)
        return found

    def __dir__():
        return sorted({*_names, *__all__})


__all__ = [
    # What runs
    "__version__",
    "engine_version",
    # Engine, store, module, instance
    "ModuleCache",
    "OptimizationLevel",
    "PoolingConfig",
    "ProfilingStrategy",
    "RegallocAlgorithm",
    "StoreDeadline",
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
    "restore_signal_handlers",
    "wat2wasm",
    # Host functions
    "WasmCaller",
    "with_caller",
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
    # Bytes in and out
    "ByteCaller",
    "WasmSpan",
    "call_bytes",
    "pack_span",
    "unpack_span",
    "unsigned",
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
    "v128",
    # WASI, and programs in sandboxes
    "Sandbox",
    "SandboxInstance",
    "SandboxLease",
    "SandboxPool",
    "WasiResult",
    "run_wasi",
    "WasiConfig",
    "WritableDir",
    "rw",
    # Errors
    "ClosedError",
    "CompileError",
    "DeserializeError",
    "ForkError",
    "LimitError",
    "LinkError",
    "MemoryViewError",
    "MisuseError",
    "OutOfFuelError",
    "StoreBusyError",
    "StoreClosedError",
    "TrapCode",
    "WasmException",
    "WasmExit",
    "WasmFrame",
    "WasmInterrupted",
    "WasmTimeout",
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
