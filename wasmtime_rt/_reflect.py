"""Types, from C to Python and back.

``wasm_valtype_kind`` aborts on v128 and on most references, so value types go through
``wasmtime_valtype_t``. A type that a module defines is kept as the engine's own handle: only the
engine can compare two of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ._binary import ModuleShape, TableLimits
from ._failure import check
from ._lowlevel import Handle, byte_vector, check_native_stack, ffi, lib, own, take_bytes, text_of
from .errors import CompileError, WasmtimeError, WrongEngineError
from .types import (
    DefinedType,
    WasmExportType,
    WasmExternType,
    WasmFieldType,
    WasmFuncType,
    WasmGlobalType,
    WasmImportType,
    WasmMemoryType,
    WasmTableType,
    WasmTagType,
    WasmValType,
)

_NUMBERS = (WasmValType.I32, WasmValType.I64, WasmValType.F32, WasmValType.F64, WasmValType.V128)
_NUMBER_KINDS = {valtype: kind for kind, valtype in enumerate(_NUMBERS[:4])}

_HEAPS = (
    "extern", "noextern", "func", "(func)", "nofunc", "any", "none", "eq",
    "i31", "array", "(array)", "struct", "(struct)", "exn", "(exn)", "noexn",
)  # fmt: skip

_nesting = threading.local()
_MAX_NESTING = 2
_MAX_FIELDS = 8


class EngineType(DefinedType):
    """A type that a module defines, as the engine that compiled the module knows it.

    ``_pointer`` is a nullable reference to this type, a ``wasm_valtype_t *``; ``_engine`` the
    ``wasm_engine_t *`` that it belongs to, whose very object is its identity.
    """

    __slots__ = ("_engine", "_owner", "_pointer")
    _engine: Any
    _owner: Any
    _pointer: Any

    @classmethod
    def _of(cls, kind: str, pointer: Any, engine: Any) -> EngineType:
        """The type of that kind behind ``pointer``, which is taken over."""
        self = cls.__new__(cls)
        self._kind, self._engine = kind, engine
        self._pointer, self._owner = pointer, own(pointer, "wasm_valtype_delete")
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EngineType):
            return NotImplemented
        if self._engine is not other._engine or self._kind != other._kind:
            return False
        return bool(lib.wasmtime_wasm_valtype_equal(self._pointer, other._pointer))

    def __hash__(self) -> int:
        return hash((self._kind, id(self._engine)))

    def describe(self) -> str:
        """The definition as text, for people; what nests deeply, or in itself, is cut short."""
        depth = getattr(_nesting, "depth", 0)
        if depth == _MAX_NESTING:
            return f"({self._kind} ...)"
        _nesting.depth = depth + 1
        try:
            with defined(self) as of:
                return self._definition(of)
        finally:
            _nesting.depth = depth

    def _definition(self, of: Any) -> str:
        if self._kind == "func":
            return self._signature("func", of.concrete_func)
        if self._kind == "array":
            return f"(array {self.element})"
        if self._kind == "struct":
            count = lib.wasmtime_struct_type_num_fields(of.concrete_struct)
            fields = "".join(f" (field {field})" for field in self._read_fields(of, min(count, _MAX_FIELDS)))
            return f"(struct{fields}{' ...' if count > _MAX_FIELDS else ''})"
        tag = lib.wasmtime_exn_type_tag_type(of.concrete_exn)
        try:
            return self._signature("tag", lib.wasm_tagtype_functype(tag))
        finally:
            lib.wasm_tagtype_delete(tag)

    def _signature(self, kind: str, pointer: Any) -> str:
        """Spell a ``wasm_functype_t *``. Only the first types are read: each may be a function type again."""
        text = f"({kind}"
        for name, side in (
            ("param", lib.wasm_functype_params(pointer)),
            ("result", lib.wasm_functype_results(pointer)),
        ):
            if side.size:
                count = min(side.size, _MAX_FIELDS)
                words = " ".join(str(valtype(side.data[i], self._engine)) for i in range(count))
                text += f" ({name} {words}{' ...' if side.size > count else ''})"
        return text + ")"

    # What is behind the pointer is one of four: each accessor looks first which.

    @property
    def fields(self) -> tuple[WasmFieldType, ...]:
        """The fields of a struct type, in order."""
        self._must_be("struct", "fields")
        with defined(self) as of:
            return self._read_fields(of, lib.wasmtime_struct_type_num_fields(of.concrete_struct))

    @property
    def element(self) -> WasmFieldType:
        """The type of an array type's elements."""
        self._must_be("array", "element")
        field = ffi.new("wasmtime_field_type_t *")
        with defined(self) as of:
            lib.wasmtime_array_type_element(of.concrete_array, field)
        return self._field(field)

    @property
    def func(self) -> WasmFuncType:
        """The signature of a function type; of an exception type its tag's."""
        if self._kind != "exn":
            self._must_be("func", "func")
        with defined(self) as of:
            if self._kind == "func":
                return functype(of.concrete_func, self._engine)
            tag = ffi.gc(lib.wasmtime_exn_type_tag_type(of.concrete_exn), lib.wasm_tagtype_delete)
            return functype(lib.wasm_tagtype_functype(tag), self._engine)

    def _read_fields(self, of: Any, count: int) -> tuple[WasmFieldType, ...]:
        fields, field = [], ffi.new("wasmtime_field_type_t *")
        for i in range(count):
            lib.wasmtime_struct_type_field(of.concrete_struct, i, field)
            fields.append(self._field(field))
        return tuple(fields)

    def _field(self, field: Any) -> WasmFieldType:
        """A ``wasmtime_field_type_t *``, which is freed."""
        try:
            kind, packed = field.storage.kind, ("i8", "i16")
            storage = packed[kind] if kind < len(packed) else valtype(field.storage.valtype, self._engine)
            return WasmFieldType(storage, bool(field.mutable_))
        finally:
            lib.wasmtime_field_type_delete(field)


class defined:  # noqa: N801  a `with` block
    """The definition of an `EngineType` as a ``wasmtime_heaptype_union_t``, borrowed for the block."""

    def __init__(self, of: EngineType) -> None:
        self._parts = ffi.new("wasmtime_valtype_t *")
        lib.wasmtime_valtype_new(of._pointer, self._parts)

    def __enter__(self) -> Any:
        return self._parts.reftype.heaptype.of

    def __exit__(self, *_exc: object) -> None:
        lib.wasmtime_valtype_delete(self._parts)


def owned_aggregate(kind: str, pointer: Any, engine: Any) -> EngineType:
    """The type behind a ``wasmtime_struct_type_t *`` or ``wasmtime_array_type_t *``, which is freed."""
    parts = ffi.new("wasmtime_valtype_t *")
    parts.kind = lib.WASMTIME_VALTYPE_KIND_REF
    parts.reftype.nullable = True
    parts.reftype.heaptype.kind = _HEAPS.index(f"({kind})")
    setattr(parts.reftype.heaptype.of, f"concrete_{kind}", pointer)
    whole = lib.wasmtime_valtype_to_wasm(engine, parts)
    getattr(lib, f"wasmtime_{kind}_type_delete")(pointer)
    return EngineType._of(kind, whole, engine)


def _fields_to_c(given: Sequence[WasmFieldType], engine: Any) -> tuple[Any, Any]:
    """Field types as an array, and what keeps its parts alive."""
    array = ffi.new("wasmtime_field_type_t[]", len(given) or 1)
    kept = []
    for out, field in zip(array, given, strict=False):
        out.mutable_ = field.mutable
        if isinstance(field.storage, str):
            out.storage.kind = ("i8", "i16").index(field.storage)
        else:
            out.storage.kind = lib.WASMTIME_STORAGE_TYPE_KIND_VALTYPE
            out.storage.valtype = held = ffi.gc(valtype_to_c(field.storage, engine), lib.wasm_valtype_delete)
            kept.append(held)
    return array, kept


def struct_type(engine: Any, fields: Sequence[WasmFieldType]) -> EngineType:
    """A struct type of ``engine``.

    Raises:
        WrongEngineError: A field's type is of another engine.
    """
    array, _kept = _fields_to_c(fields, engine)
    return owned_aggregate("struct", lib.wasmtime_struct_type_new(engine, array, len(fields)), engine)


def array_type(engine: Any, element: WasmFieldType) -> EngineType:
    """An array type of ``engine``.

    Raises:
        WrongEngineError: The element's type is of another engine.
    """
    array, _kept = _fields_to_c([element], engine)
    return owned_aggregate("array", lib.wasmtime_array_type_new(engine, array), engine)


def valtype(pointer: Any, engine: Any) -> WasmValType:
    """The value type behind a borrowed ``wasm_valtype_t *`` of ``engine``."""
    parts = ffi.new("wasmtime_valtype_t *")
    lib.wasmtime_valtype_new(pointer, parts)
    try:
        if parts.kind < len(_NUMBERS):
            return _NUMBERS[parts.kind]
        nullable = parts.reftype.nullable
        heap = _HEAPS[parts.reftype.heaptype.kind]
        if not heap.startswith("("):
            return WasmValType.ref(heap, nullable=nullable)
        parts.reftype.nullable = True
        whole = lib.wasmtime_valtype_to_wasm(engine, parts)
        return WasmValType.ref(EngineType._of(heap.strip("()"), whole, engine), nullable=nullable)
    finally:
        lib.wasmtime_valtype_delete(parts)


def functype(pointer: Any, engine: Any) -> WasmFuncType:
    """The function type behind a borrowed ``wasm_functype_t *``.

    It remembers the type itself: one in a recursion group, or with subtypes, cannot be made of its parts.
    """
    sides = lib.wasm_functype_params(pointer), lib.wasm_functype_results(pointer)
    found = WasmFuncType(*([valtype(side.data[i], engine) for i in range(side.size)] for side in sides))
    found._set("_native", (Handle(lib.wasm_functype_copy(pointer), "wasm_functype_delete", "type"), engine))
    return found


def native_functype(given: WasmFuncType, engine: Any) -> Handle | None:
    """The engine's own type that `functype` read ``given`` from, if it did, and of this engine."""
    handle, of = given.__dict__.get("_native", (None, None))
    return handle if of is engine else None


def memorytype(pointer: Any) -> WasmMemoryType:
    """The memory type behind a borrowed ``wasm_memorytype_t *``."""
    maximum = ffi.new("uint64_t *")
    bounded = lib.wasmtime_memorytype_maximum(pointer, maximum)
    return WasmMemoryType(
        lib.wasmtime_memorytype_minimum(pointer),
        maximum[0] if bounded else None,
        bool(lib.wasmtime_memorytype_is64(pointer)),
        bool(lib.wasmtime_memorytype_isshared(pointer)),
        lib.wasmtime_memorytype_page_size(pointer),
    )


def _externtype(pointer: Any, engine: Any, limits: TableLimits | None) -> WasmExternType:
    kind = lib.wasm_externtype_kind(pointer)
    if kind == lib.WASM_EXTERN_FUNC:
        return functype(lib.wasm_externtype_as_functype_const(pointer), engine)
    if kind == lib.WASM_EXTERN_GLOBAL:
        global_ = lib.wasm_externtype_as_globaltype_const(pointer)
        mutable = lib.wasm_globaltype_mutability(global_) == lib.WASM_VAR
        return WasmGlobalType(valtype(lib.wasm_globaltype_content(global_), engine), mutable)
    if kind == lib.WASM_EXTERN_MEMORY:
        return memorytype(lib.wasm_externtype_as_memorytype_const(pointer))
    if kind == lib.WASM_EXTERN_TABLE:
        table = lib.wasm_externtype_as_tabletype_const(pointer)
        limits = limits or TableLimits(0, None, is64=False)
        element = valtype(lib.wasm_tabletype_element(table), engine)
        return WasmTableType(element, limits.min, limits.max, limits.is64)
    tag = lib.wasm_externtype_as_tagtype_const(pointer)
    return WasmTagType(functype(lib.wasm_tagtype_functype(tag), engine))


def extern_type(context: Any, item: Any, engine: Any, limits: TableLimits | None = None) -> WasmExternType:
    """The type of the ``wasmtime_extern_t *`` ``item``; a table's ``limits`` the engine does not tell."""
    c_type = ffi.gc(lib.wasmtime_extern_type(context, item), lib.wasm_externtype_delete)
    return _externtype(c_type, engine, limits)


def module_imports(module: Any, engine: Any, shape: ModuleShape) -> tuple[WasmImportType, ...]:
    """The imports of a ``wasmtime_module_t *``, in order."""
    vector = ffi.new("wasm_importtype_vec_t *")
    lib.wasmtime_module_imports(module, vector)
    try:
        return tuple(
            WasmImportType(
                text_of(lib.wasm_importtype_module(vector.data[i])),
                text_of(lib.wasm_importtype_name(vector.data[i])),
                _externtype(lib.wasm_importtype_type(vector.data[i]), engine, shape.imported_tables.get(i)),
            )
            for i in range(vector.size)
        )
    finally:
        lib.wasm_importtype_vec_delete(vector)


def module_exports(module: Any, engine: Any, shape: ModuleShape) -> tuple[WasmExportType, ...]:
    """The exports of a ``wasmtime_module_t *``, in order."""
    vector = ffi.new("wasm_exporttype_vec_t *")
    lib.wasmtime_module_exports(module, vector)
    try:
        found = []
        for i in range(vector.size):
            name = text_of(lib.wasm_exporttype_name(vector.data[i]))
            pointer = lib.wasm_exporttype_type(vector.data[i])
            found.append(WasmExportType(name, _externtype(pointer, engine, shape.exported_tables.get(name))))
        return tuple(found)
    finally:
        lib.wasm_exporttype_vec_delete(vector)


# ---- From Python to C: the caller owns what is returned


def valtype_to_c(given: WasmValType, engine: Any) -> Any:
    """``given`` as a new ``wasm_valtype_t *``.

    Raises:
        WrongEngineError: It is a type that a module of another engine defines.
    """
    if given in _NUMBER_KINDS:
        return lib.wasm_valtype_new(_NUMBER_KINDS[given])
    if given.kind == "v128":
        return lib.wasmtime_wasm_valtype_v128()
    parts = ffi.new("wasmtime_valtype_t *")
    if isinstance(given.heap, EngineType):
        if given.heap._engine is not engine:
            raise WrongEngineError(f"{given} is defined by a module of another engine")
        lib.wasmtime_valtype_new(given.heap._pointer, parts)
        parts.reftype.nullable = given.nullable
        try:
            return lib.wasmtime_valtype_to_wasm(engine, parts)
        finally:
            lib.wasmtime_valtype_delete(parts)
    if not isinstance(given.heap, str):
        raise TypeError(f"expected a type that a module defines, got {given.heap!r}")
    parts.kind = lib.WASMTIME_VALTYPE_KIND_REF
    parts.reftype.nullable = given.nullable
    parts.reftype.heaptype.kind = _HEAPS.index(given.heap)
    return lib.wasmtime_valtype_to_wasm(engine, parts)


def functype_to_c(given: WasmFuncType, engine: Any) -> Any:
    """``given`` as a new ``wasm_functype_t *``."""
    sides = []
    for types in (given.params, given.results):
        # Owned by Python until all of them are made: one may be of another engine.
        owned = [ffi.gc(valtype_to_c(item, engine), lib.wasm_valtype_delete) for item in types]
        vector = ffi.gc(ffi.new("wasm_valtype_vec_t *"), lib.wasm_valtype_vec_delete)
        for item in owned:  # before they are the vector's: a signal handler may raise in between
            ffi.gc(item, None)
        lib.wasm_valtype_vec_new(vector, len(owned), owned)
        sides.append(vector)
    # The vectors are emptied, so that deleting them later deletes nothing.
    return lib.wasm_functype_new(*sides)


def globaltype_to_c(given: WasmGlobalType, engine: Any) -> Any:
    """``given`` as a ``wasm_globaltype_t *`` that Python owns."""
    mutability = lib.WASM_VAR if given.mutable else lib.WASM_CONST
    made = lib.wasm_globaltype_new(valtype_to_c(given.content, engine), mutability)
    return ffi.gc(made, lib.wasm_globaltype_delete)


def memorytype_to_c(given: WasmMemoryType) -> Any:
    """``given`` as a ``wasm_memorytype_t *`` that Python owns.

    Raises:
        WasmtimeError: The engine knows no such memory.
    """
    made = ffi.new("wasm_memorytype_t **")
    bounded = given.max is not None
    check(
        lib.wasmtime_memorytype_new(
            given.min,
            bounded,
            given.max or 0,
            given.is64,
            given.shared,
            given.page_size.bit_length() - 1,
            made,
        )
    )
    return ffi.gc(made[0], lib.wasm_memorytype_delete)


def tabletype_to_c(given: WasmTableType, engine: Any, compile_module: Callable[[bytes], Any]) -> Any:
    """``given`` as a ``wasm_tabletype_t *`` that Python owns.

    Args:
        given: The type.
        engine: The ``wasm_engine_t *``.
        compile_module: What compiles a module with it, to a ``wasmtime_module_t *``.

    Raises:
        WasmtimeError: Indices are 64 bits wide, and the engine refuses that, or a module defines the element.
    """
    if given.is64:
        return _wide_tabletype(given, compile_module)
    limits = ffi.new("wasm_limits_t *", (given.min, 0xFFFFFFFF if given.max is None else given.max))
    made = lib.wasm_tabletype_new(valtype_to_c(given.element, engine), limits)
    return ffi.gc(made, lib.wasm_tabletype_delete)


def _wide_tabletype(given: WasmTableType, compile_module: Callable[[bytes], Any]) -> Any:
    """The C API has no constructor for it, so it is taken from a module with such a table."""
    if not isinstance(given.element.heap, str):
        raise WasmtimeError(
            f"{given}: the engine's C API cannot make a table with 64-bit indices whose elements are of a "
            "type that a module defines"
        )
    check_native_stack()
    # Imported, since an element that cannot be null would have to be given where it is defined.
    text = f'(module (import "" "" (table i64 {given.limits} {given.element})))'.encode()
    wasm = byte_vector()
    check(lib.wasmtime_wat2wasm(text, len(text), wasm))
    try:
        module = ffi.gc(compile_module(take_bytes(wasm)), lib.wasmtime_module_delete)
    except CompileError as problem:
        raise WasmtimeError(f"{given}: {problem}") from None
    imports = ffi.gc(ffi.new("wasm_importtype_vec_t *"), lib.wasm_importtype_vec_delete)
    lib.wasmtime_module_imports(module, imports)
    table = lib.wasm_externtype_as_tabletype_const(lib.wasm_importtype_type(imports.data[0]))
    return ffi.gc(lib.wasm_tabletype_copy(table), lib.wasm_tabletype_delete)


def tagtype_to_c(given: WasmTagType, engine: Any) -> Any:
    """``given`` as a ``wasm_tagtype_t *`` that Python owns."""
    native = native_functype(given.func, engine)
    func = functype_to_c(given.func, engine) if native is None else lib.wasm_functype_copy(native.get())
    return ffi.gc(lib.wasm_tagtype_new(func), lib.wasm_tagtype_delete)
