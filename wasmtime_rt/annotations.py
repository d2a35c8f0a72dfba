"""Signatures of host functions, from the annotations of Python functions.

``I32 I64 F32 F64 V128`` are for annotations: type checkers see ``int``, ``float`` and ``bytes``, this
package sees the WebAssembly type. A plain ``float`` is f64; a plain ``int`` could be i32 or i64 and is
therefore an error. References are annotated ``Annotated[object, WasmValType.EXTERNREF]`` and the like.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Annotated, Any

from .types import WasmFuncType, WasmValType

I32 = Annotated[int, WasmValType.I32]
I64 = Annotated[int, WasmValType.I64]
F32 = Annotated[float, WasmValType.F32]
F64 = Annotated[float, WasmValType.F64]
V128 = Annotated[bytes, WasmValType.V128]

#: What the code of an ``async`` function is flagged with.
ASYNC = 0x80 | 0x100 | 0x200  # coroutines, made by def too, and generators: as in `inspect`

_SPELLINGS = (
    "annotate with wasmtime_rt.I32 or wasmtime_rt.I64, or give the type as "
    "WasmFuncType([WasmValType.I32], [WasmValType.I64])"
)


def name_of(function: Callable[..., Any]) -> str:
    """What error messages call ``function``."""
    return getattr(function, "__qualname__", None) or repr(function)


def check_callable(function: object) -> Callable[..., Any]:
    """``function`` itself, if it can be a host function.

    Raises:
        TypeError: It cannot be called, or is an ``async def``, whose result nobody would await.
    """
    if isinstance(function, FunctionType):
        if not function.__code__.co_flags & ASYNC:
            return function
    elif isinstance(function, BuiltinFunctionType):
        return function
    elif not callable(function):
        raise TypeError(f"host function: expected a callable, got {function!r}")
    import inspect  # noqa: PLC0415  here and below: it takes a while, and few need it

    called = getattr(function, "__call__", None)  # noqa: B004  an object whose __call__ is async
    if any(
        check(each)
        for check in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for each in (function, called)
    ):
        raise TypeError(f"host function {name_of(function)}: an async def cannot be called by WebAssembly")
    return function


def signature_of(function: Callable[..., Any]) -> WasmFuncType:
    """The WebAssembly signature that the annotations of ``function`` spell.

    >>> def add(a: I32, b: I32) -> I64: ...
    >>> str(signature_of(add))
    '(func (param i32 i32) (result i64))'

    Args:
        function: A function whose parameters are all annotated with the aliases of this module, a
            `WasmValType`, or ``float``; its result with one of these, ``None``, or a ``tuple`` of them.

    Raises:
        TypeError: An annotation is missing, is a plain ``int``, or is no WebAssembly type.
    """
    import inspect  # noqa: PLC0415

    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except (TypeError, ValueError, NameError) as problem:
        raise TypeError(
            f"host function {name_of(function)}: no readable signature ({problem}); {_SPELLINGS}"
        ) from None
    params = []
    for parameter in signature.parameters.values():
        where = f"host function {name_of(function)}, parameter {parameter.name}"
        if parameter.kind not in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            raise TypeError(f"{where}: only positional parameters have a WebAssembly type; {_SPELLINGS}")
        if parameter.name not in hints:
            raise TypeError(f"{where}: no annotation; {_SPELLINGS}")
        params.append(_valtype(hints[parameter.name], where))
    where = f"host function {name_of(function)}, result"
    if "return" not in hints:
        raise TypeError(f"{where}: no annotation (None is one); {_SPELLINGS}")
    returned = hints["return"]
    if returned is None or returned is type(None):
        results = []
    elif typing.get_origin(returned) is tuple:
        results = [_valtype(item, where) for item in typing.get_args(returned)]
    else:
        results = [_valtype(returned, where)]
    return WasmFuncType(params, results)


def _valtype(hint: Any, where: str) -> WasmValType:
    if isinstance(hint, WasmValType):
        return hint
    if typing.get_origin(hint) is Annotated:
        for extra in typing.get_args(hint)[1:]:
            if isinstance(extra, WasmValType):
                return extra
    if hint is float:
        return WasmValType.F64
    if hint is int:
        raise TypeError(f"{where}: int does not say i32 or i64; {_SPELLINGS}")
    raise TypeError(f"{where}: {hint!r} is no WebAssembly type; {_SPELLINGS}")
