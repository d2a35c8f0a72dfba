"""Tags, the identity of exceptions; and exceptions, there and back."""

from __future__ import annotations

from typing import Any, ClassVar

from . import _convert
from ._abstract import begin
from ._convert import HeldRef, check_store, from_val, new_val, new_vals, release, to_val
from ._exact import is_a
from ._failure import check, check_values
from ._lowlevel import NULL, ffi, lib
from ._reflect import functype, tagtype_to_c
from .errors import WasmException
from .externs import StoreItem, same_words
from .store import WasmStore, check_store_argument
from .types import WasmTagType
from .values import shown


class WasmTag(StoreItem):
    """A tag in a store: what kind of exception is thrown, and what it carries.

    >>> import wasmtime_rt as w
    >>> store = w.WasmStore(w.WasmEngine())
    >>> w.WasmTag(store, w.WasmTagType(w.WasmFuncType(["i32"])))
    <WasmTag (tag (param i32))>

    Args:
        store: The store to make it in.
        type: Its type.

    Raises:
        TypeError: An argument is of the wrong type, or the type has results.

    C API: ``wasmtime_tag_new``, ``wasmtime_tag_type``.
    """

    __slots__ = ("__weakref__", "_handle", "_identity", "_store", "_type")
    _KIND: ClassVar[int] = lib.WASMTIME_EXTERN_TAG
    _FIELD: ClassVar[str] = "tag"
    _type: WasmTagType

    def __init__(self, store: WasmStore, type: WasmTagType) -> None:  # noqa: A002
        begin(self, "_handle")
        check_store_argument(store)
        if not is_a(type, WasmTagType):
            raise TypeError(f"type: expected a WasmTagType, got {shown(type)}")
        if type.func.results:
            raise TypeError(f"type: a tag has no results, got {type}")
        handle = ffi.new("wasmtime_tag_t *")
        with store._core as context:
            check(lib.wasmtime_tag_new(context, tagtype_to_c(type, store._core.engine), handle))
        self._adopt(store, handle, type)

    def _adopt(self, store: WasmStore, handle: Any, tag_type: WasmTagType) -> None:
        self._store = store
        self._place(store, handle, same_words(handle, "__private1", "__private2"))
        self._type = tag_type

    @classmethod
    def _wrap(cls, store: WasmStore, handle: Any, tag_type: WasmTagType) -> WasmTag:
        self = cls.__new__(cls)
        self._adopt(store, handle, tag_type)
        return self

    @property
    def type(self) -> WasmTagType:
        """What an exception with this tag carries."""
        return self._type

    def __repr__(self) -> str:
        return f"<WasmTag {self._type}{self._state}>"


class _HeldException(HeldRef):
    """The root of an exception."""

    __slots__ = ()
    hierarchy: ClassVar[str] = "exn"


def _hold(store: WasmStore, context: Any, root: Any) -> _HeldException:
    held = _HeldException()
    held._hold(store, context, root)
    return held


def _from_c(store: WasmStore, context: Any, root: Any) -> WasmException:
    """The Python exception for a borrowed ``wasmtime_exnref_t *``."""
    handle = ffi.new("wasmtime_tag_t *")
    check(lib.wasmtime_exnref_tag(context, root, handle))
    c_type = ffi.gc(lib.wasmtime_tag_type(context, handle), lib.wasm_tagtype_delete)
    tag_type = WasmTagType(functype(lib.wasm_tagtype_functype(c_type), store._core.engine))
    payload = []
    for i in range(lib.wasmtime_exnref_field_count(context, root)):
        val = new_val()
        check(lib.wasmtime_exnref_field(context, root, i, val))
        try:
            payload.append(from_val(store, context, val))
        finally:
            release(val, 1)
    made = WasmException(WasmTag._wrap(store, handle, tag_type), *payload)
    made._held = _hold(store, context, root)
    return made


def _held_root(store: WasmStore, context: Any, given: WasmException, where: object) -> Any:
    """The root of ``given`` in ``store``, made where it has none yet."""
    if given._held is None:
        tag = given.tag
        if not isinstance(tag, WasmTag):
            raise TypeError(f"{where}: expected an exception with a WasmTag, got {shown(tag)}")
        check_store(store, tag, f"{where}: tag")
        handle, types = tag._live, tag._type.func.params
        if len(given.payload) != len(types):
            raise TypeError(f"{where}: expected {len(types)} values for {tag}, got {len(given.payload)}")
        vals, made = new_vals(len(types)), ffi.new("wasmtime_exnref_t *")
        try:
            written = [
                (f"{where}: value {i} ({valtype})", value, valtype)
                for i, (value, valtype) in enumerate(zip(given.payload, types, strict=True))
            ]
            for i, (place, value, valtype) in enumerate(written):
                to_val(store, context, value, valtype, vals + i, place)
            check_values(lib.wasmtime_exnref_new(context, handle, vals, len(types), made), written)
        finally:
            release(vals, len(types))
        given._held = _hold(store, context, made)
        lib.wasmtime_exnref_unroot(made)
    check_store(store, given._held, where)
    return given._held._root


def _write(store: WasmStore, context: Any, given: WasmException, out: Any, where: object) -> None:
    lib.wasmtime_exnref_clone(_held_root(store, context, given, where), out)


def _throw(store: WasmStore, context: Any, given: WasmException) -> Any:
    """Make ``given`` pending: the trap for a host function to answer with; NULL where its tag is not ours."""
    if not isinstance(given.tag, WasmTag) or given.tag._store is not store:
        return NULL
    try:
        root = _held_root(store, context, given, "exception")
    except Exception as problem:
        raise problem from given
    return lib.wasmtime_context_set_exception(context, root)


_convert.wrappers.exception = _from_c
_convert.wrappers.write_exception = _write
_convert.wrappers.throw = _throw
