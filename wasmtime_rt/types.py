"""Types of values and of what modules import and export: immutable, hashable, equal by content.

``str()`` of a type is its spelling in the text format. ``given.matches(expected)`` is the subtype
relation that linking goes by. Plain Python: a heap type that a module defines is an opaque
`DefinedType`, which the layer below makes and compares.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ._abstract import WasmtimeType
from ._exact import exact
from ._record import Record
from ._text import quoted, shown_name

if TYPE_CHECKING:
    from typing_extensions import Self

PAGE_SIZE = 65536

_PACKED = ("i8", "i16")
_NUMBERS = ("i32", "i64", "f32", "f64", "v128")

#: Every abstract heap type, with those directly above it in the subtype order.
_SUPERTYPES: dict[str, str | None] = {
    "func": None,
    "nofunc": "func",
    "extern": None,
    "noextern": "extern",
    "exn": None,
    "noexn": "exn",
    "any": None,
    "eq": "any",
    "i31": "eq",
    "struct": "eq",
    "array": "eq",
    "none": "i31",  # and below struct and array, which `_is_heap_subtype` knows
}

_ABBREVIATIONS = {
    "func": "funcref",
    "extern": "externref",
    "any": "anyref",
    "eq": "eqref",
    "i31": "i31ref",
    "struct": "structref",
    "array": "arrayref",
    "exn": "exnref",
    "none": "nullref",
    "nofunc": "nullfuncref",
    "noextern": "nullexternref",
    "noexn": "nullexnref",
}


class _once:  # noqa: N801  a decorator
    """A property that is kept. `functools.cached_property` has a lock, which a fork can leave taken."""

    def __init__(self, make: Callable[[Any], int]) -> None:
        self._make, self._name = make, make.__name__

    def __get__(self, given: Any, owner: object) -> int:
        made = self._make(given)
        given.__dict__[self._name] = made
        return made


class DefinedType:
    """A heap type that a module defines: a function, struct, array or exception type of one engine.

    It comes out of the types of modules, as ``valtype.heap``, or of `WasmStruct.new_type` and
    `WasmArray.new_type`. Two are equal where the engine takes them for the same. It cannot be pickled.

    >>> import wasmtime_rt as w
    >>> fields = [w.WasmFieldType("f64", mutable=True), w.WasmFieldType("i8")]
    >>> point = w.WasmStruct.new_type(w.WasmEngine(), fields)
    >>> point.heap
    <DefinedType (struct (field (mut f64)) (field i8))>
    >>> point.heap.kind, [str(field) for field in point.heap.fields]
    ('struct', ['(mut f64)', 'i8'])

    C API: ``wasmtime_wasm_valtype_equal``, ``wasmtime_struct_type_num_fields``,
    ``wasmtime_struct_type_field``, ``wasmtime_array_type_element``, ``wasmtime_exn_type_tag_type``.
    """

    __slots__ = ("_kind",)
    _kind: str

    def __init__(self) -> None:
        raise TypeError("a DefinedType comes out of a module's types, or of new_type; it cannot be made")

    @property
    def kind(self) -> str:
        """What it defines: ``"func"``, ``"struct"``, ``"array"`` or ``"exn"``."""
        return self._kind

    def _must_be(self, kind: str, what: str) -> None:
        if self._kind != kind:
            raise TypeError(f"{what}: expected a type of kind {kind}, got {self.describe()}")

    @property
    @abstractmethod
    def fields(self) -> tuple[WasmFieldType, ...]:
        """The fields of a struct type, in order.

        Raises:
            TypeError: It is of another kind.
        """

    @property
    @abstractmethod
    def element(self) -> WasmFieldType:
        """The type of an array type's elements.

        Raises:
            TypeError: It is of another kind.
        """

    @property
    @abstractmethod
    def func(self) -> WasmFuncType:
        """The signature of a function type; of an exception type its tag's.

        Raises:
            TypeError: It is of another kind.
        """

    @abstractmethod
    def describe(self) -> str:
        """The definition as text, for people; what nests deeply, or in itself, is cut short."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # nothing in it changes

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            f"a type that a module defines lives in its engine: this {self._kind} cannot be pickled"
        )

    def __repr__(self) -> str:
        return f"<DefinedType {self.describe()}>"


def _is_heap_subtype(given: str | DefinedType, expected: str | DefinedType) -> bool:
    if isinstance(expected, DefinedType):
        if isinstance(given, DefinedType):
            # A declared supertype cannot be seen from here: what may fit is left to the engine.
            return given == expected or given.kind == expected.kind
        return given == {"func": "nofunc", "exn": "noexn"}.get(expected.kind, "none")
    step: str | None = given.kind if isinstance(given, DefinedType) else given
    if step == "none":
        return expected in {"none", "i31", "struct", "array", "eq", "any"}
    while step is not None and step != expected:
        step = _SUPERTYPES[step]
    return step is not None


class WasmValType(Record, WasmtimeType):
    """The type of a value: a number, a vector, or a reference.

    The class carries every number type and every nullable abstract reference type as a constant;
    `ref` makes the others.

    >>> WasmValType.I32, WasmValType.EXTERNREF
    (WasmValType.I32, WasmValType.EXTERNREF)
    >>> str(WasmValType.ref("extern", nullable=False))
    '(ref extern)'
    >>> WasmValType.parse("(ref null any)") is WasmValType.ANYREF
    True

    Attributes:
        kind: ``"i32"``, ``"i64"``, ``"f32"``, ``"f64"``, ``"v128"`` or ``"ref"``.
        heap: What a reference points at: the name of an abstract heap type, or a `DefinedType`;
            ``None`` for the others.
        nullable: Whether a reference may be null; ``False`` for the others.

    C API: ``wasmtime_valtype_*``, ``wasm_valtype_new``, ``wasm_valtype_delete``,
    ``wasmtime_wasm_valtype_v128``.
    """

    kind: str
    heap: str | DefinedType | None = None
    nullable: bool = False

    I32: ClassVar[WasmValType]
    I64: ClassVar[WasmValType]
    F32: ClassVar[WasmValType]
    F64: ClassVar[WasmValType]
    V128: ClassVar[WasmValType]
    FUNCREF: ClassVar[WasmValType]
    EXTERNREF: ClassVar[WasmValType]
    ANYREF: ClassVar[WasmValType]
    EQREF: ClassVar[WasmValType]
    I31REF: ClassVar[WasmValType]
    STRUCTREF: ClassVar[WasmValType]
    ARRAYREF: ClassVar[WasmValType]
    EXNREF: ClassVar[WasmValType]
    NULLREF: ClassVar[WasmValType]
    NULLFUNCREF: ClassVar[WasmValType]
    NULLEXTERNREF: ClassVar[WasmValType]
    NULLEXNREF: ClassVar[WasmValType]

    def _check(self) -> None:
        if isinstance(self.kind, str):
            self._set("kind", exact(self.kind))
        if isinstance(self.heap, str):
            self._set("heap", exact(self.heap))
        self._set("nullable", bool(self.nullable))
        if self.kind in _NUMBERS:
            if self.heap is not None or self.nullable:
                raise ValueError(f"{self.kind} is no reference: it has no heap type and cannot be null")
        elif self.kind != "ref":
            raise ValueError(f"kind: expected one of {', '.join(_NUMBERS)} or ref, got {self.kind!r}")
        elif not isinstance(self.heap, DefinedType) and self.heap not in _SUPERTYPES:
            raise ValueError(f"heap type: expected one of {', '.join(_SUPERTYPES)}, got {self.heap!r}")

    def __eq__(self, other: object) -> bool:
        if self is other:  # as it is for almost all, which are constants
            return True
        if not isinstance(other, WasmValType):
            return NotImplemented
        return (self.kind, self.heap, self.nullable) == (other.kind, other.heap, other.nullable)

    def __hash__(self) -> int:
        return self._hash

    @_once
    def _hash(self) -> int:
        return hash((self.kind, self.heap, self.nullable))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self._values()

    @classmethod
    def ref(cls, heap: str | DefinedType, *, nullable: bool = True) -> WasmValType:
        """The type of references to ``heap``.

        Args:
            heap: The name of an abstract heap type (``"func"``, ``"extern"``, ``"any"``, ``"eq"``,
                ``"i31"``, ``"struct"``, ``"array"``, ``"exn"``, ``"none"``, ``"nofunc"``,
                ``"noextern"``, ``"noexn"``), or a defined type taken from a module.
            nullable: Whether null is among the values.

        Raises:
            ValueError: There is no such heap type.
        """
        return _canonical(cls("ref", heap, nullable))

    @classmethod
    def parse(cls, text: str) -> WasmValType:
        """The type that is spelled ``text`` in the text format.

        Raises:
            ValueError: It is not the spelling of a number, vector or abstract reference type.
        """
        words = text.replace("(", " ( ").replace(")", " ) ").split()
        if len(words) == 1 and words[0] in _BY_SPELLING:
            return _BY_SPELLING[words[0]]
        if words[:2] == ["(", "ref"] and words[-1] == ")" and len(words) in {4, 5}:
            nullable = len(words) == 5 and words[2] == "null"
            if (nullable or len(words) == 4) and words[-2] in _SUPERTYPES:
                return cls.ref(words[-2], nullable=nullable)
        raise ValueError(f"value type: expected a spelling such as i32, externref or (ref any), got {text!r}")

    @property
    def is_ref(self) -> bool:
        """Whether values of this type are references."""
        return self.kind == "ref"

    @property
    def hierarchy(self) -> str | None:
        """The top of a reference's hierarchy: ``"func"``, ``"extern"``, ``"exn"`` or ``"any"``."""
        if self.heap is None:
            return None
        step = self.heap.kind if isinstance(self.heap, DefinedType) else self.heap
        while (above := _SUPERTYPES[step]) is not None:
            step = above
        return step

    def with_nullable(self, nullable: bool) -> WasmValType:
        """The same reference type, nullable or not."""
        return self.ref(self.heap or "none", nullable=nullable) if self.is_ref else self

    def matches(self, expected: WasmValType) -> bool:
        """Whether a value of this type can stand where ``expected`` is asked for.

        The engine's C API does not tell which supertypes a module declares. So of two different types of
        functions, structs, arrays or exceptions that modules define, this says that the one may fit the
        other; the engine itself decides when modules are linked and values are passed. A value in hand tells
        exactly: `WasmStruct.matches`, `WasmArray.matches`.
        """
        if self.heap is None or expected.heap is None:
            return self == expected
        return (expected.nullable or not self.nullable) and _is_heap_subtype(self.heap, expected.heap)

    def __str__(self) -> str:
        if self.heap is None:
            return self.kind
        if self.nullable and isinstance(self.heap, str):
            return _ABBREVIATIONS[self.heap]
        heap = self.heap.describe() if isinstance(self.heap, DefinedType) else self.heap
        return f"(ref null {heap})" if self.nullable else f"(ref {heap})"

    def __repr__(self) -> str:
        spelling = str(self)
        if spelling.isalnum():
            return f"WasmValType.{spelling.upper()}"
        heap = self.heap if isinstance(self.heap, str) else f"<{spelling}>"
        return f"WasmValType.ref({heap!r}, nullable={self.nullable})" if isinstance(self.heap, str) else heap


_BY_SPELLING: dict[str, WasmValType] = {}


def _canonical(valtype: WasmValType) -> WasmValType:
    """The constant that is equal to ``valtype``, if there is one: comparing constants is cheap."""
    return valtype if isinstance(valtype.heap, DefinedType) else _BY_SPELLING.get(str(valtype), valtype)


def _restored(kind: str, heap: str | DefinedType | None, nullable: bool) -> WasmValType:
    return _canonical(WasmValType(kind, heap, nullable))


for _name in _NUMBERS:
    _BY_SPELLING[_name] = WasmValType(_name)
for _heap, _name in _ABBREVIATIONS.items():
    _BY_SPELLING[_name] = WasmValType("ref", _heap, nullable=True)
for _name, _type in _BY_SPELLING.items():
    setattr(WasmValType, _name.upper(), _type)


def as_valtype(given: object) -> WasmValType:
    """``given`` as a value type: itself, or the type that a string spells."""
    if type(given) is WasmValType:
        return given
    if isinstance(given, str):
        return WasmValType.parse(exact(given))
    raise TypeError(f"expected a WasmValType such as WasmValType.I32, got {given!r}")


def _valtypes(given: Iterable[WasmValType | str], what: str) -> tuple[WasmValType, ...]:
    if isinstance(given, str):
        raise TypeError(f"{what}: expected a sequence of value types, got the string {given!r}")
    return tuple(as_valtype(item) for item in given)


def _count(value: int, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    number = operator.index(value)
    if not 0 <= number < 2**64:
        raise ValueError(f"{name}: expected 0 <= {name} < 2**64, got {number}")
    return number


def _check_limits(given: Any, ceiling: int, unit: str) -> None:
    """Check the fields ``min`` and ``max`` of a type, and make plain numbers of them."""
    maximum = given.max
    minimum = _count(given.min, "min")
    maximum = None if maximum is None else _count(maximum, "max")
    if minimum > ceiling:
        raise ValueError(f"min: expected at most {ceiling} {unit}, got {minimum}")
    if maximum is not None and maximum < minimum:
        raise ValueError(f"max: expected at least min = {minimum} {unit}, got {maximum}")
    if maximum is not None and maximum > ceiling:
        raise ValueError(f"max: expected at most {ceiling} {unit}, got {maximum}")
    given._set("min", minimum)
    given._set("max", maximum)


class WasmFieldType(Record, WasmtimeType):
    """The type of a struct's field, or of an array's elements.

    Attributes:
        storage: A value type, or ``"i8"`` or ``"i16"``, which are i32 when they are read.
        mutable: Whether it can be set.

    C API: ``wasmtime_field_type_delete``.
    """

    storage: WasmValType | str
    mutable: bool = False

    def _check(self) -> None:
        if isinstance(self.storage, str):
            self._set("storage", exact(self.storage))
        if self.storage not in _PACKED:
            self._set("storage", as_valtype(self.storage))
        if not isinstance(self.mutable, bool):
            raise TypeError(f"mutable: expected a bool, got {self.mutable!r}")

    @property
    def unpacked(self) -> WasmValType:
        """The type of the values that are read and written."""
        return WasmValType.I32 if isinstance(self.storage, str) else self.storage

    def __str__(self) -> str:
        return f"(mut {self.storage})" if self.mutable else str(self.storage)


class WasmLimits(Record):
    """How small and how large a memory or table may be.

    Attributes:
        min: The initial size, in pages or elements.
        max: The largest size in the same unit; ``None`` is unlimited, 0 is a legal maximum.
    """

    min: int
    max: int | None = None

    def _check(self) -> None:
        _check_limits(self, 2**64 - 1, "units")

    def admits(self, size: int, maximum: int | None) -> bool:
        """Whether something of ``size`` that may grow to ``maximum`` fits where these are expected."""
        return size >= self.min and (self.max is None or (maximum is not None and maximum <= self.max))

    def __str__(self) -> str:
        return str(self.min) if self.max is None else f"{self.min} {self.max}"


#: Characters of the parameters in the text of a function type, about; and of the results.
_SPELLED_SIZE = 512


def _spelled(valtypes: tuple[WasmValType, ...]) -> str:
    words: list[str] = []
    size = 0
    for valtype in valtypes:
        if size > _SPELLED_SIZE:  # each may be a function type again, so that spelling takes time
            return f"{' '.join(words)} and {len(valtypes) - len(words)} more"
        words.append(str(valtype))
        size += len(words[-1]) + 1
    return " ".join(words)


class WasmFuncType(Record, WasmtimeType):
    """A function's signature.

    >>> str(WasmFuncType([WasmValType.I32, WasmValType.I32], [WasmValType.I64]))
    '(func (param i32 i32) (result i64))'

    Attributes:
        params: The types of the parameters.
        results: The types of the results, of which there may be any number.

    C API: ``wasm_functype_*``.
    """

    params: tuple[WasmValType, ...]
    results: tuple[WasmValType, ...]

    def __init__(
        self, params: Iterable[WasmValType | str] = (), results: Iterable[WasmValType | str] = ()
    ) -> None:
        self._begin()
        given, returned = _valtypes(params, "params"), _valtypes(results, "results")
        self._set("params", given)
        self._set("results", returned)

    def __hash__(self) -> int:
        return self._hash

    @_once
    def _hash(self) -> int:
        return hash((self.params, self.results))

    def matches(self, expected: WasmFuncType) -> bool:
        """Whether a function of this type can be called where ``expected`` is asked for."""
        if len(self.params) != len(expected.params) or len(self.results) != len(expected.results):
            return False
        return all(b.matches(a) for a, b in zip(self.params, expected.params, strict=True)) and all(
            a.matches(b) for a, b in zip(self.results, expected.results, strict=True)
        )

    def __str__(self) -> str:
        params = f" (param {_spelled(self.params)})" if self.params else ""
        results = f" (result {_spelled(self.results)})" if self.results else ""
        return f"(func{params}{results})"


class WasmMemoryType(Record, WasmtimeType):
    """A linear memory's type.

    Attributes:
        min: Initial size in pages.
        max: Largest size in pages; ``None`` is unlimited.
        is64: Whether addresses are 64 bits wide.
        shared: Whether threads may share it; needs a maximum.
        page_size: Bytes in a page: 65536, or 1 where the engine has custom page sizes on.

    C API: ``wasmtime_memorytype_*``, ``wasm_memorytype_delete``.
    """

    min: int
    max: int | None = None
    is64: bool = False
    shared: bool = False
    page_size: int = PAGE_SIZE

    def _check(self) -> None:
        for flag in ("is64", "shared"):
            self._set(flag, bool(getattr(self, flag)))
        if hasattr(self.page_size, "__index__"):
            self._set("page_size", operator.index(self.page_size))
        if self.page_size not in (1, PAGE_SIZE):
            raise ValueError(f"page_size: expected 65536 or 1 byte, got {self.page_size!r}")
        address_space = 2**64 if self.is64 else 2**32
        ceiling = min(address_space // self.page_size, 2**64 - 1)
        if self.page_size == 1 and not self.is64:
            ceiling -= 1
        _check_limits(self, ceiling, "pages")
        if self.shared and self.max is None:
            raise ValueError("max: a shared memory needs one, got None")

    @property
    def limits(self) -> WasmLimits:
        """The sizes in pages."""
        return WasmLimits(self.min, self.max)

    def matches(self, expected: WasmMemoryType, size: int | None = None) -> bool:
        """Whether a memory of this type, ``size`` pages large now, can be imported as ``expected``."""
        same = (self.is64, self.shared, self.page_size) == (
            expected.is64,
            expected.shared,
            expected.page_size,
        )
        return same and expected.limits.admits(self.min if size is None else size, self.max)

    def __str__(self) -> str:
        flags = f"{' shared' if self.shared else ''}"
        flags += f" (pagesize {self.page_size})" if self.page_size != PAGE_SIZE else ""
        return f"(memory {'i64 ' if self.is64 else ''}{self.limits}{flags})"


class WasmGlobalType(Record, WasmtimeType):
    """A global's type.

    Attributes:
        content: The type of its value.
        mutable: Whether the value can be set.

    C API: ``wasm_globaltype_*``.
    """

    content: WasmValType
    mutable: bool = False

    def _check(self) -> None:
        self._set("content", as_valtype(self.content))
        if not isinstance(self.mutable, bool):
            raise TypeError(f"mutable: expected a bool, got {self.mutable!r}")

    def matches(self, expected: WasmGlobalType) -> bool:
        """Whether a global of this type can be imported as ``expected``."""
        if self.mutable or expected.mutable:
            return self == expected
        return self.content.matches(expected.content)

    def __str__(self) -> str:
        return f"(global (mut {self.content}))" if self.mutable else f"(global {self.content})"


class WasmTableType(Record, WasmtimeType):
    """A table's type.

    Attributes:
        element: The type of its elements, a reference type.
        min: Initial number of elements.
        max: Largest number of elements; ``None`` is unlimited.
        is64: Whether indices are 64 bits wide.

    C API: ``wasm_tabletype_*``.
    """

    element: WasmValType
    min: int
    max: int | None = None
    is64: bool = False

    def _check(self) -> None:
        self._set("element", as_valtype(self.element))
        if not self.element.is_ref:
            raise ValueError(f"element: expected a reference type, got {self.element}")
        self._set("is64", bool(self.is64))
        _check_limits(self, 2**64 - 1 if self.is64 else 2**32 - 1, "elements")

    @property
    def limits(self) -> WasmLimits:
        """The sizes in elements."""
        return WasmLimits(self.min, self.max)

    def matches(self, expected: WasmTableType, size: int | None = None) -> bool:
        """Whether a table of this type, ``size`` elements large now, can be imported as ``expected``."""
        return (
            self.is64 == expected.is64
            and self.element.matches(expected.element)
            and expected.element.matches(self.element)
            and expected.limits.admits(self.min if size is None else size, self.max)
        )

    def __str__(self) -> str:
        return f"(table {'i64 ' if self.is64 else ''}{self.limits} {self.element})"


class WasmTagType(Record, WasmtimeType):
    """A tag's type: what an exception with this tag carries.

    Attributes:
        func: A signature whose parameters are the payload; it has no results.

    C API: ``wasm_tagtype_*``.
    """

    func: WasmFuncType

    def _check(self) -> None:
        if type(self.func) is not WasmFuncType:
            raise TypeError(f"func: expected a WasmFuncType, got {self.func!r}")

    def matches(self, expected: WasmTagType) -> bool:
        """Whether a tag of this type can be imported as ``expected``."""
        return self.func == expected.func

    def __str__(self) -> str:
        return str(self.func).replace("(func", "(tag", 1)


WasmExternType: TypeAlias = WasmFuncType | WasmMemoryType | WasmGlobalType | WasmTableType | WasmTagType
"""The type of anything that modules import and export."""


class WasmImportType(Record, WasmtimeType):
    """What a module asks for.

    Attributes:
        module: The first of the two names.
        name: The second of the two names.
        type: What it must be.

    C API: ``wasm_importtype_*``, ``wasm_externtype_*``.
    """

    module: str
    name: str
    type: WasmExternType

    def __str__(self) -> str:
        return f"(import {quoted(self.module, self.name)} {self.type})"


class WasmExportType(Record, WasmtimeType):
    """What a module offers.

    Attributes:
        name: Its name, unique in the module.
        type: What it is.

    C API: ``wasm_exporttype_*``, ``wasm_externtype_*``.
    """

    name: str
    type: WasmExternType

    def __str__(self) -> str:
        return f'(export "{shown_name(self.name)}" {self.type})'
