"""References to what the engine's garbage collector keeps: structs, arrays, and what is externalized.

Numbers of 31 bits in references are plain values: `WasmI31`. Python objects travel as themselves.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from . import _convert
from ._convert import HeldRef, from_val, new_val, new_vals, release, to_val
from ._failure import check, check_values
from ._lowlevel import ffi, lib
from ._reflect import EngineType, array_type, defined, owned_aggregate, struct_type
from .engine import WasmEngine, check_engine
from .errors import ClosedError, WrongEngineError
from .store import WasmStore, check_store_argument
from .types import WasmFieldType, WasmValType
from .values import shown

if TYPE_CHECKING:
    from typing_extensions import Self

#: The engine's own limits, which it answers with the end of the process.
_MAX_FIELDS = 10_000
_MAX_LENGTH = 2**32 - 1


class WasmRef(HeldRef):
    """A reference to something that the engine keeps. It stays alive while Python holds it.

    Two are equal where they refer to the same thing. ``store.gc()`` collects what nobody holds.

    C API: ``wasmtime_anyref_*``.
    """

    __slots__ = ()
    hierarchy: ClassVar[str] = "any"
    heaps: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        raise TypeError(f"a {type(self).__name__} comes out of WebAssembly; it cannot be made")

    @classmethod
    def _wrap(cls, store: WasmStore, context: Any, root: Any) -> Any:
        self = cls.__new__(cls)
        self._hold(store, context, root)
        return self

    @property
    def store(self) -> WasmStore:
        """The store that it lives in."""
        return self._store

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"a {type(self).__name__} lives in its store: it cannot be copied or pickled")


class _Aggregate(WasmRef):
    """What structs and arrays share: a type of the engine, and values by number."""

    __slots__ = ("_known_type",)
    _KIND: ClassVar[str]
    _known_type: EngineType | None

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self._known_type = None
        return self

    def _begin(self) -> None:
        if self._root is not None:
            raise TypeError(f"this {type(self).__name__} was initialised already")

    @property
    def _core(self) -> Any:
        if self._store is None:
            raise ClosedError(f"this {type(self).__name__} was never initialised: call super().__init__()")
        return self._store._core

    @classmethod
    def _engine_type(cls, store: WasmStore, given: object) -> EngineType:
        """The type to make one of.

        Raises:
            TypeError: It is no type of such things.
            WrongEngineError: It is of another engine than the store.
        """
        heap = given.heap if isinstance(given, WasmValType) else given
        if not isinstance(heap, EngineType) or heap.kind != cls._KIND:
            raise TypeError(
                f"type: expected a {cls._KIND} type, taken from a module or made by "
                f"{cls.__name__}.new_type, got {shown(given)}"
            )
        if heap._engine is not store._core.engine:
            raise WrongEngineError(f"type: {heap.describe()} is of another engine than the store")
        return heap

    @property
    def _type(self) -> EngineType:
        if self._known_type is None:
            with self._core as context, self._inside(context) as root:
                pointer = getattr(lib, f"wasmtime_{self._KIND}ref_type")(context, root)
            self._known_type = owned_aggregate(self._KIND, pointer, self._core.engine)
        return self._known_type

    @property
    def type(self) -> WasmValType:
        """The type of references to it, not null.

        C API: ``wasmtime_structref_type``, ``wasmtime_arrayref_type``.
        """
        return WasmValType.ref(self._type, nullable=False)

    def matches(self, type: WasmValType) -> bool:  # noqa: A002
        """Whether it can stand where a value of ``type`` is asked for, declared supertypes included: a cast.

        Raises:
            WrongEngineError: The type is of another engine.
        """
        if not isinstance(type, WasmValType):
            raise TypeError(f"type: expected a WasmValType, got {shown(type)}")
        if not type.is_ref or type.hierarchy != "any":
            return False
        if isinstance(type.heap, str):
            return type.heap in self.heaps
        # The C API has no cast. A struct with one field of the type takes the value, or refuses it.
        holder = struct_type(self._core.engine, [WasmFieldType(type)])
        try:
            WasmStruct(self._store, holder, [self])
        except TypeError:
            return False
        return True

    def __repr__(self) -> str:
        # Only what is known: asking would enter the store, where another thread may want to be.
        known = "" if self._known_type is None else f" {self._known_type.describe()}"
        return super().__repr__().replace(" ", f"{known} ", 1)

    def _inside(self, context: Any) -> _Downcast:
        return _Downcast(context, self._root, self._KIND)

    def _checked(self, index: object, length: int) -> int:
        at = operator.index(index)  # type: ignore[arg-type]
        if not -length <= at < length:
            raise IndexError(f"{self._KIND}: expected an index below {length}, got {at}")
        return at + length if at < 0 else at

    def _get(self, at: int, read: Any) -> Any:
        val = new_val()
        with self._core as context, self._inside(context) as root:
            check(read(context, root, at, val))
            try:
                return from_val(self._store, context, val)
            finally:
                release(val, 1)

    def _set(self, at: int, value: object, field: WasmFieldType, write: Any) -> None:
        if not field.mutable:
            raise TypeError(f"{self._KIND}: item {at} is immutable")
        val = new_val()
        with self._core as context, self._inside(context) as root:
            try:
                where = f"{self._KIND}: item {at} ({field})"
                to_val(self._store, context, value, field.unpacked, val, where)
                check_values(write(context, root, at, val), [(where, value, field.unpacked)])
            finally:
                release(val, 1)


class _Downcast:
    """An anyref as the more special root that the accessors want; inside the guard."""

    def __init__(self, context: Any, root: Any, kind: str) -> None:
        self._kind, self._special = kind, ffi.new(f"wasmtime_{kind}ref_t *")
        getattr(lib, f"wasmtime_anyref_as_{kind}")(context, root, self._special)

    def __enter__(self) -> Any:
        return self._special

    def __exit__(self, *_exc: object) -> None:
        getattr(lib, f"wasmtime_{self._kind}ref_unroot")(self._special)


class WasmStruct(_Aggregate):
    """A struct: values by number, as many as its type has fields.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine()
    >>> point = w.WasmStruct.new_type(engine, [w.WasmFieldType("f64", mutable=True)] * 2)
    >>> p = w.WasmStruct(w.WasmStore(engine), point, [3.0, 4.0])
    >>> p[1] = 5.0
    >>> list(p)
    [3.0, 5.0]

    Args:
        store: The store to make it in.
        type: Its type: taken from a module's types, or made by `new_type`.
        values: A value for each field. Of a packed field (i8, i16) the low bits count.

    Raises:
        TypeError: The type is no struct's, or values are too few, too many, or of another kind.
        OverflowError: A number does not fit its field.
        WrongEngineError: The type is of another engine than the store.
        WrongStoreError: A reference lives in another store.
        WasmtimeError: There is no room for it.

    C API: ``wasmtime_struct_ref_pre_new``, ``wasmtime_struct_ref_pre_delete``, ``wasmtime_structref_new``,
    ``wasmtime_structref_to_anyref``, ``wasmtime_structref_unroot``.
    """

    __slots__ = ()
    _KIND: ClassVar[str] = "struct"
    heaps: ClassVar[frozenset[str]] = frozenset({"any", "eq", "struct"})

    def __init__(self, store: WasmStore, type: object, values: Iterable[object]) -> None:  # noqa: A002
        self._begin()
        made = self._engine_type(check_store_argument(store), type)
        fields, given = made.fields, list(values)
        if len(given) != len(fields):
            raise TypeError(f"struct: expected {len(fields)} values, got {len(given)}")
        vals, special, root = new_vals(len(given)), ffi.new("wasmtime_structref_t *"), ffi.new(_ANYREF)
        with store._core as context:
            try:
                written = [
                    (f"struct: item {i} ({field})", value, field.unpacked)
                    for i, (value, field) in enumerate(zip(given, fields, strict=True))
                ]
                for i, (where, value, valtype) in enumerate(written):
                    to_val(store, context, value, valtype, vals + i, where)
                with defined(made) as parts:
                    pre = lib.wasmtime_struct_ref_pre_new(context, parts.concrete_struct)
                try:
                    error = lib.wasmtime_structref_new(context, pre, vals, len(given), special)
                    check_values(error, written)
                finally:
                    lib.wasmtime_struct_ref_pre_delete(pre)
                lib.wasmtime_structref_to_anyref(special, root)
                lib.wasmtime_structref_unroot(special)
                self._hold(store, context, root)
                lib.wasmtime_anyref_unroot(root)
            finally:
                release(vals, len(given))
        self._known_type = made

    @staticmethod
    def new_type(engine: WasmEngine, fields: Iterable[WasmFieldType]) -> WasmValType:
        """The type of references, not null, to structs with these fields.

        It is equal to the type of a module that defines it in the same words, final and by itself.

        Raises:
            TypeError: A field is no `WasmFieldType`.
            ValueError: There are more fields than the engine allows.
            WrongEngineError: A field's type is of another engine.

        C API: ``wasmtime_struct_type_new``.
        """
        return WasmValType.ref(_new_struct(check_engine(engine), fields), nullable=False)

    @property
    def fields(self) -> tuple[WasmFieldType, ...]:
        """The types of its fields."""
        return self._type.fields

    def __len__(self) -> int:
        return len(self._type.fields)

    def __getitem__(self, index: int) -> Any:
        """The value of a field; a packed one is read as unsigned.

        Raises:
            IndexError: There is no such field.

        C API: ``wasmtime_structref_field``.
        """
        return self._get(self._checked(index, len(self)), lib.wasmtime_structref_field)

    def __setitem__(self, index: int, value: object) -> None:
        """Set a field.

        Raises:
            IndexError: There is no such field.
            TypeError: It is immutable, or the value is of another kind.

        C API: ``wasmtime_structref_set_field``.
        """
        at = self._checked(index, len(self))
        self._set(at, value, self.fields[at], lib.wasmtime_structref_set_field)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


class WasmArray(_Aggregate, Sequence[Any]):
    """An array: a sequence of values of one type, as many as it was made with.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine()
    >>> bytes_ = w.WasmArray.new_type(engine, w.WasmFieldType("i8", mutable=True))
    >>> a = w.WasmArray(w.WasmStore(engine), bytes_, b"wasm")
    >>> a[0], len(a), bytes(a[1:])
    (119, 4, b'asm')

    Args:
        store: The store to make it in.
        type: Its type: taken from a module's types, or made by `new_type`.
        values: Its values. For a packed type (i8, i16) the low bits count.

    Raises:
        TypeError: The type is no array's, a value is of another kind, or the type is immutable and the
            values differ: the C API only fills an array with one value, and sets the others one by one.
        OverflowError: A number does not fit.
        WrongEngineError: The type is of another engine than the store.
        WrongStoreError: A reference lives in another store.
        WasmtimeError: There is no room for it.

    C API: ``wasmtime_array_ref_pre_new``, ``wasmtime_array_ref_pre_delete``, ``wasmtime_arrayref_new``,
    ``wasmtime_arrayref_to_anyref``, ``wasmtime_arrayref_unroot``.
    """

    __slots__ = ()
    _KIND: ClassVar[str] = "array"
    heaps: ClassVar[frozenset[str]] = frozenset({"any", "eq", "array"})

    def __init__(self, store: WasmStore, type: object, values: Iterable[object]) -> None:  # noqa: A002
        self._begin()
        made, given = self._engine_type(check_store_argument(store), type), list(values)
        field, filler = made.element, given[0] if given else None
        uniform = all(value is filler for value in given)
        if not field.mutable and not uniform:
            raise TypeError(f"array: {made.describe()} is immutable: all of its values must be the same")
        with store._core as context:
            self._fill(store, context, made, filler, len(given))
            self._known_type = made
            if not uniform:
                for i, value in enumerate(given):
                    self._set(i, value, field, lib.wasmtime_arrayref_set)

    @classmethod
    def filled(cls, store: WasmStore, type: object, value: object, length: int) -> WasmArray:  # noqa: A002
        """A new array of ``length`` times ``value``.

        Raises:
            ValueError: The length is out of range.
            WasmtimeError: There is no room for it.
        """
        made = cls._engine_type(check_store_argument(store), type)
        length = operator.index(length)
        if not 0 <= length <= _MAX_LENGTH:
            raise ValueError(f"length: expected 0 to 2**32 - 1, got {length}")
        self = cls.__new__(cls)
        with store._core as context:
            self._fill(store, context, made, value, length)
        self._known_type = made
        return self

    def _fill(self, store: WasmStore, context: Any, made: EngineType, value: object, length: int) -> None:
        field, val = made.element, new_val()
        special, root = ffi.new("wasmtime_arrayref_t *"), ffi.new(_ANYREF)
        try:
            if value is None and not length:
                value = _zero(field.unpacked)
            where = f"array: value ({field})"
            to_val(store, context, value, field.unpacked, val, where)
            with defined(made) as parts:
                pre = lib.wasmtime_array_ref_pre_new(context, parts.concrete_array)
            try:
                error = lib.wasmtime_arrayref_new(context, pre, val, length, special)
                check_values(error, [(where, value, field.unpacked)])
            finally:
                lib.wasmtime_array_ref_pre_delete(pre)
            lib.wasmtime_arrayref_to_anyref(special, root)
            lib.wasmtime_arrayref_unroot(special)
            self._hold(store, context, root)
            lib.wasmtime_anyref_unroot(root)
        finally:
            release(val, 1)

    @staticmethod
    def new_type(engine: WasmEngine, element: WasmFieldType) -> WasmValType:
        """The type of references, not null, to arrays of ``element``.

        It is equal to the type of a module that defines it in the same words, final and by itself.

        Raises:
            TypeError: ``element`` is no `WasmFieldType`.
            WrongEngineError: Its type is of another engine.

        C API: ``wasmtime_array_type_new``.
        """
        pointer = check_engine(engine)._pointer
        if not isinstance(element, WasmFieldType):
            raise TypeError(f"element: expected a WasmFieldType, got {shown(element)}")
        return WasmValType.ref(array_type(pointer, element), nullable=False)

    @property
    def element(self) -> WasmFieldType:
        """The type of its values."""
        return self._type.element

    def __len__(self) -> int:
        """How many values it has.

        C API: ``wasmtime_arrayref_len``.
        """
        length = ffi.new("uint32_t *")
        with self._core as context, self._inside(context) as root:
            check(lib.wasmtime_arrayref_len(context, root, length))
        return int(length[0])

    def __getitem__(self, index: Any) -> Any:
        """The value at ``index``, a packed one as unsigned; a slice gives a list.

        Raises:
            IndexError: There is none.

        C API: ``wasmtime_arrayref_get``.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._get(self._checked(index, len(self)), lib.wasmtime_arrayref_get)

    def __setitem__(self, index: int, value: object) -> None:
        """Set the value at ``index``.

        Raises:
            IndexError: There is none.
            TypeError: The array is immutable, or the value is of another kind.

        C API: ``wasmtime_arrayref_set``.
        """
        self._set(self._checked(index, len(self)), value, self.element, lib.wasmtime_arrayref_set)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


class WasmExternalized(WasmRef):
    """What ``extern.convert_any`` made of a struct, array or i31: an externref that is no Python object.

    It is passed on as an externref, or as what it is underneath where the type asks for that.

    >>> import wasmtime_rt as w
    >>> store = w.WasmStore(w.WasmEngine())
    >>> table = w.WasmTable(store, w.WasmTableType("externref", 1), w.WasmI31(5))
    >>> table[0], table[0].value
    (<WasmExternalized WasmI31(5)>, WasmI31(5))

    C API: ``wasmtime_externref_*``.
    """

    __slots__ = ("_value_inside",)
    hierarchy: ClassVar[str] = "extern"
    heaps: ClassVar[frozenset[str]] = frozenset({"extern"})
    _value_inside: Any

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Make one that is of no store yet."""
        self = super().__new__(cls, *args, **kwargs)
        self._value_inside = None
        return self

    @classmethod
    def _make(cls, store: WasmStore, context: Any, root: Any, value: object) -> WasmExternalized:
        self = cls.__new__(cls)
        self._hold(store, context, root)
        self._value_inside = value
        return self

    @property
    def value(self) -> Any:
        """What is underneath: a `WasmStruct`, `WasmArray` or `WasmI31`."""
        return self._value_inside

    @property
    def type(self) -> WasmValType:
        """Its type, ``(ref extern)``."""
        return WasmValType.ref("extern", nullable=False)

    def __repr__(self) -> str:
        return f"<WasmExternalized {self._value_inside!r}>"


_ANYREF = "wasmtime_anyref_t *"


def _zero(valtype: WasmValType) -> object:
    """What the engine takes for the type where no value counts; of null there is one where it may be."""
    return None if valtype.is_ref else bytes(16) if valtype.kind == "v128" else 0


def _new_struct(engine: WasmEngine, fields: Iterable[WasmFieldType]) -> EngineType:
    given = list(fields)
    for i, field in enumerate(given):
        if not isinstance(field, WasmFieldType):
            raise TypeError(f"field {i}: expected a WasmFieldType, got {shown(field)}")
    if len(given) > _MAX_FIELDS:
        raise ValueError(f"fields: expected at most {_MAX_FIELDS}, got {len(given)}")
    return struct_type(engine._pointer, given)


_convert.wrappers.struct = WasmStruct._wrap
_convert.wrappers.array = WasmArray._wrap
_convert.wrappers.externalized = WasmExternalized._make
