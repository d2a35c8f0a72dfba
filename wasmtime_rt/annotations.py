"""Signatures of host functions, from the annotations of Python functions.

``I32 I64 F32 F64 V128`` are for annotations: type checkers see ``int``, ``float`` and ``bytes``, this
package sees the WebAssembly type. A plain ``float`` is f64; a plain ``int`` could be i32 or i64 and is
therefore an error. References are annotated ``Annotated[object, WasmValType.EXTERNREF]`` and the like.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Annotated, Any

from ._importing import Importing
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


class CallerBase:
    """What a host function annotates its first parameter with to learn who calls it: `WasmCaller` is one."""

    __slots__ = ()


class with_caller:  # noqa: N801  a decorator
    """A host function whose first parameter is who calls it, a `WasmCaller`, and no parameter of its type.

    A function whose first parameter is annotated `WasmCaller` is one without this; it is for callables that
    cannot be annotated.

    >>> import wasmtime_rt as w
    >>> peek = w.with_caller(lambda caller, at: caller.get_memory()[at])
    >>> engine = w.WasmEngine()
    >>> module = w.WasmModule(engine, '''(module
    ...     (import "env" "peek" (func $peek (param i32) (result i32)))
    ...     (memory (export "memory") 1) (data (i32.const 7) "*")
    ...     (func (export "f") (result i32) (call $peek (i32.const 7))))''')
    >>> w.WasmInstance(w.WasmStore(engine), module, {"env": {"peek": peek}}).exports.f()
    42

    Args:
        function: Any callable that a host function can be made of.

    Raises:
        TypeError: It cannot be called, or is an ``async def``.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if isinstance(function, with_caller):
            raise TypeError(f"{name_of(function)} takes its caller already")
        with Importing():
            from .caller import WasmCaller  # noqa: F401, PLC0415  which the hot path must know by now

        self.function = check_callable(function)
        for name in ("__name__", "__qualname__", "__doc__"):
            setattr(self, name, getattr(function, name, None))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, with a caller of one's own."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"with_caller({self.function!r})"


def _is_caller(hint: Any, function: FunctionType) -> bool:
    """Whether the annotation ``hint`` of ``function`` is a class of callers, without evaluating text."""
    if isinstance(hint, str):
        hint = hint.strip("\"' ")
        if hint == "WasmCaller" or hint.endswith(".WasmCaller"):  # what only type checkers import, too
            return True
        hint = function.__globals__.get(hint)
    return isinstance(hint, type) and issubclass(hint, CallerBase)


def asks_for_caller(function: Any) -> bool:
    """Whether the first parameter of ``function`` is annotated `WasmCaller`."""
    position = 0
    if type(function) is not FunctionType:
        position = 1  # after the object
        is_method = isinstance(function, MethodType)
        called = function.__func__ if is_method else getattr(type(function), "__call__", None)  # noqa: B004
        if type(called) is not FunctionType:
            return False
        function = called
    if not function.__annotations__:  # the fast way, for most
        return False
    while isinstance(
        inner := function.__dict__.get("__wrapped__"), FunctionType
    ):  # its annotations are copies
        function = inner
    code = function.__code__
    return code.co_argcount > position and _is_caller(
        function.__annotations__.get(code.co_varnames[position]), function
    )


def as_host_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, wrapped in `with_caller` where its annotations ask for its caller."""
    return with_caller(function) if asks_for_caller(function) else function


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
    with Importing():
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
            `WasmValType`, or ``float``; its result with one of these, ``None``, or a ``tuple`` of them. A
            first parameter `WasmCaller` is not part of the signature.

    Raises:
        TypeError: An annotation is missing, is a plain ``int``, or is no WebAssembly type.
    """
    with Importing():
        import inspect  # noqa: PLC0415

    asks = isinstance(function, with_caller) or asks_for_caller(function)
    if isinstance(function, with_caller):
        function = function.function
    known = {"WasmCaller": CallerBase} if asks else None  # which perhaps only type checkers import
    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(inspect.unwrap(function), localns=known, include_extras=True)
    except (TypeError, ValueError, NameError) as problem:
        raise TypeError(
            f"host function {name_of(function)}: no readable signature ({problem}); {_SPELLINGS}"
        ) from None
    params = []
    for parameter in list(signature.parameters.values())[asks:]:
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
