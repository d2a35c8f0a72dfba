"""Imports: finding what a module asks for, and saying at once all that is missing or wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, TypeAlias, cast

from ._abstract import AbstractInstance
from ._convert import check_store
from ._fast import new_host_function
from ._text import LINE_SIZE, LIST_SIZE, first_of, shown_name
from .annotations import ASYNC, as_host_function, check_callable, name_of
from .errors import LinkError, WrongEngineError
from .externs import EXTERN_OF, EXTERN_SIZE, StoreItem
from .func import TypedFunc, WasmFunc
from .globals import WasmGlobal
from .memory import WasmMemory
from .module import WasmModule
from .shared_memory import WasmSharedMemory
from .store import WasmStore
from .table import WasmTable
from .types import WasmFuncType, WasmGlobalType, WasmImportType
from .values import is_wasm_convertible, shown

Imports: TypeAlias = Mapping[str, Any] | Sequence[Any] | None
Lookup: TypeAlias = Callable[[int, WasmImportType], object]

MISSING = object()


class Definition:
    """A function defined in advance, for any store.

    Attributes:
        type: Its type, or ``None`` where it takes the type that is asked for.
    """

    __slots__ = ("type",)
    type: WasmFuncType | None

    def make(self, store: WasmStore, func_type: WasmFuncType, out: bytearray, at: int) -> None:
        """Make the function of ``func_type`` in ``store``, as a ``wasmtime_extern_t`` in ``out[at:]``."""
        raise NotImplementedError


class HostDefinition(Definition):
    """A Python function defined in advance, for any store."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any], func_type: WasmFuncType | None) -> None:
        self.function, self.type = as_host_function(check_callable(function)), func_type

    def make(self, store: WasmStore, func_type: WasmFuncType, out: bytearray, at: int) -> None:
        """Make a function that calls it."""
        make_host_function(store, self.function, self.type or func_type, out, at)


def make_host_function(
    store: WasmStore, function: Callable[..., Any], func_type: WasmFuncType, out: bytearray, at: int
) -> None:
    """Make a function of ``store`` that calls ``function``, as a ``wasmtime_extern_t`` in ``out[at:]``."""
    new_host_function(store, function, func_type, name_of(function), out, at + EXTERN_OF)
    out[at] = WasmFunc._KIND


def lookup(module: WasmModule, imports: Imports) -> Lookup:
    """How to find an import by its position and names in what a user gave.

    Raises:
        TypeError: It is neither a mapping nor a sequence.
        LinkError: It is a sequence of another length than the module's imports.
    """
    given = {} if imports is None else imports
    if type(given) is dict or isinstance(given, Mapping):  # the first is the fast way, here and below
        return lambda _, wanted: _find(given, wanted)
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise TypeError(f"imports: expected a mapping of mappings or a sequence, got {shown(given)}")
    if len(given) != len(module.imports):
        listed = first_of(map(str, module._imports), len(module._imports), "\n  ")
        raise LinkError(
            f"imports: expected a sequence of {len(module.imports)}, got {len(given)}; "
            f"the module asks for\n  {listed}"
        )
    items = list(given)
    return lambda position, _: items[position]


def _find(given: Mapping[str, Any], wanted: WasmImportType) -> object:
    inner = given.get(wanted.module, MISSING)
    if inner is MISSING:
        return MISSING
    if type(inner) is dict:
        return inner.get(wanted.name, MISSING)
    if isinstance(inner, AbstractInstance):
        inner = inner.exports  # type: ignore[attr-defined]
    if not isinstance(inner, Mapping):
        raise TypeError(
            f"imports[{shown_name(repr(wanted.module))}]: expected a mapping from names to items, "
            f"got {shown(inner)}"
        )
    return inner.get(wanted.name, MISSING)


def find_all(store: WasmStore | None, module: WasmModule, find: Lookup) -> list[Any]:
    """What ``module`` is to be instantiated with, in its order: definitions, items, callables and values.

    Args:
        store: The store that items must live in; ``None`` where that is looked at elsewhere.
        module: The module.
        find: What finds each.

    Raises:
        LinkError: Something is missing or of the wrong type; the text lists all of it.
        WrongEngineError: A shared memory is of another engine.
        WrongStoreError: An import lives in another store.
    """
    found: list[Any] = []
    wrong: list[WasmImportType] = []
    problems: list[str] = []
    for position, wanted in enumerate(module._imports):
        item = find(position, wanted)
        kind = type(item)
        if kind is not FunctionType and kind is not HostDefinition:  # as most are; isinstance is slow
            if isinstance(item, TypedFunc):
                item = item._func
            if isinstance(item, StoreItem):
                if store is not None:
                    check_store(store, item, wanted)
            elif isinstance(item, WasmSharedMemory) and item._engine is not module._engine:
                raise WrongEngineError(f"{wanted}: {item} is of another engine than the module")
        problem = _problem(item, wanted, spelled=len(wrong) < LIST_SIZE)
        if problem:
            wrong.append(wanted)
            if len(wrong) <= LIST_SIZE:
                problems.append(shown_name(f"{wanted}: {problem}", LINE_SIZE))
        found.append(item)
    if wrong:
        total = f"{len(wrong)} of {len(module.imports)} imports are missing or wrong"
        told = first_of(problems, len(wrong), "\n  ")
        raise LinkError(f"the module cannot be instantiated: {total}\n  {told}{_hint(wrong)}")
    return found


def write_all(
    store: WasmStore, module: WasmModule, found: list[Any]
) -> tuple[bytearray, list[Any], list[Any]]:
    """Make what was found for ``module`` live in ``store``.

    Returns:
        An array of ``wasmtime_extern_t`` as bytes, the type of each item, and what to keep with the array.
    """
    out, types, at = bytearray(EXTERN_SIZE * len(found)), [], 0
    kept: list[Any] = []
    for item, wanted in zip(found, module._imports, strict=True):
        types.append(_write(store, item, wanted.type, out, at, kept))
        at += EXTERN_SIZE
    return out, types, kept


def resolve(store: WasmStore, module: WasmModule, find: Lookup) -> tuple[bytearray, list[Any], list[Any]]:
    """What to instantiate ``module`` in ``store`` with, in the module's order.

    Nothing is made in the store unless everything is found and fits.

    Returns:
        What `write_all` returns.

    Raises:
        LinkError: Something is missing or of the wrong type; the text lists all of it.
        WrongEngineError: The module and the store are of two engines.
        WrongStoreError: An import lives in another store.
    """
    module._pointer_for(store._engine)
    return write_all(store, module, find_all(store, module, find))


def _problem(item: object, wanted: WasmImportType, *, spelled: bool) -> str | None:
    """Return why ``item`` cannot serve as ``wanted``, or ``None``; spell types only if ``spelled``."""
    expected = wanted.type
    if item is MISSING:
        return "missing"
    is_func = type(expected) is WasmFuncType
    if is_func and type(item) is FunctionType and not item.__code__.co_flags & ASYNC:
        return None
    if isinstance(item, (StoreItem, WasmSharedMemory)):
        given = cast("Any", item)._type
        size = (item.size,) if isinstance(item, (WasmMemory, WasmSharedMemory, WasmTable)) else ()
        if type(given) is type(expected) and given.matches(cast("Any", expected), *size):
            return None
        return f"got {given if spelled else 'another type'}" + (
            f", which is {size[0]} large now" if size else ""
        )
    if is_func:
        if isinstance(item, Definition):
            fits = item.type is None or item.type.matches(cast("WasmFuncType", expected))
            return (
                None if fits else f"got a Python function of type {item.type if spelled else 'another type'}"
            )
        try:
            check_callable(item)
        except TypeError as problem:
            return str(problem)
        return None
    if isinstance(expected, WasmGlobalType) and not expected.mutable:
        return None if is_wasm_convertible(item, expected.content) else f"got {shown(item)}"
    return f"got {shown(item)}"


def _write(store: WasmStore, item: Any, wanted: Any, out: bytearray, at: int, kept: list[Any]) -> Any:
    """Put ``item`` as something that lives in ``store`` into ``out[at:]``, and return its type."""
    if type(wanted) is WasmFuncType:
        if isinstance(item, Definition):
            item.make(store, wanted, out, at)
            return item.type or wanted
        if type(item) is FunctionType or not isinstance(item, StoreItem):
            make_host_function(store, as_host_function(item), wanted, out, at)
            return wanted
    made = isinstance(item, (StoreItem, WasmSharedMemory))
    try:
        placed: Any = item if made else WasmGlobal(store, wanted, item)
    except TypeError as problem:  # of another type than one that the module defines
        raise LinkError(f"the module cannot be instantiated: {wanted}: {problem}") from None
    kept.append(placed._write_extern(out, at))
    return placed._type


def _hint(wrong: list[WasmImportType]) -> str:
    if any(wanted.module.startswith("wasi_") for wanted in wrong):
        return "\nhint: this is a WASI program: instantiate it with a WasmLinker after its define_wasi()"
    if any(wanted.module == "env" and wanted.name.startswith(("emscripten_", "invoke_")) for wanted in wrong):
        return "\nhint: this was compiled by Emscripten to run beside its own JavaScript"
    return ""
