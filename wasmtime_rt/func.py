"""Functions: WebAssembly's, called like Python's, and Python's, for WebAssembly to call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from . import _convert
from ._abstract import AbstractFunc, begin
from ._calls import make_call, new_host_function
from ._convert import OpaqueRef
from ._lowlevel import ffi, lib
from ._reflect import functype
from .annotations import check_callable, signature_of
from .errors import ClosedError
from .externs import StoreItem
from .store import WasmStore, check_store_argument
from .types import WasmFuncType, WasmValType


def _closed(*_args: object) -> NoReturn:
    raise ClosedError("this WasmFunc was closed")


class WasmFunc(StoreItem, AbstractFunc):
    """A function in a store. Calling it runs WebAssembly, or the Python function that it was made of.

    A call takes exactly the parameters of its type, and returns ``None``, the value, or a tuple, for
    no, one, or several results. Integers may be given signed or unsigned and come back signed.

    >>> import wasmtime_rt as w
    >>> store = w.WasmStore(w.WasmEngine())
    >>> def divide(a: w.I32, b: w.I32) -> tuple[w.I32, w.I32]:
    ...     return divmod(a, b)
    >>> w.WasmFunc(store, divide)(17, 5)
    (3, 2)

    Args:
        store: The store to make it in.
        function: Any callable that returns ``None``, a value, or a tuple, to match its results.
        type: Its signature; by default what the annotations say: ``I32 I64 F32 F64 V128`` or ``float``.

    Raises:
        TypeError: It cannot be called, is an ``async def``, or its annotations do not say the types.
        StoreClosedError: The store was closed.

    C API: ``wasmtime_func_new``, ``wasmtime_func_new_unchecked``.
    """

    __slots__ = ("_call", "_name", "_type")

    def __init__(
        self,
        store: WasmStore,
        function: Callable[..., Any],
        type: WasmFuncType | None = None,  # noqa: A002
    ) -> None:
        begin(self, "_handle")
        check_store_argument(store)
        check_callable(function)
        if type is not None and not isinstance(type, WasmFuncType):
            raise TypeError(f"type: expected a WasmFuncType, got {type!r}")
        func_type = signature_of(function) if type is None else type
        name = getattr(function, "__qualname__", None) or repr(function)
        self._adopt(store, new_host_function(store, function, func_type, name), func_type, name)

    def _adopt(self, store: WasmStore, handle: Any, func_type: WasmFuncType, name: str) -> None:
        identity = ffi.new("uintptr_t[2]")
        lib.wrt_func_identity(handle, identity)
        self._place(store, handle, (identity[0], identity[1]))
        self._type, self._name = func_type, name
        self._call = make_call(store, handle, func_type, name)

    @classmethod
    def _wrap(
        cls, store: WasmStore, handle: Any, func_type: WasmFuncType | None = None, name: str | None = None
    ) -> WasmFunc:
        """The function that a ``wasmtime_func_t *`` names, which is kept. The store is open."""
        if func_type is None:
            with store._core as context:
                c_type = lib.wasmtime_func_type(context, handle)
                func_type = functype(c_type, store._core.engine)
                lib.wasm_functype_delete(c_type)
        self = cls.__new__(cls)
        self._adopt(store, handle, func_type, name or "function")
        return self

    @property
    def type(self) -> WasmFuncType:
        """Its signature."""
        return self._type

    @property
    def name(self) -> str:
        """The name by which it was exported, or the Python function's."""
        return self._name

    def __call__(self, *args: Any) -> Any:
        """Call it.

        Args:
            *args: As many as its type has parameters: integers for i32 and i64, real numbers for f32
                and f64, 16 bytes for v128, a `WasmFunc` or ``None`` for funcref, any object for externref.

        Returns:
            ``None``, the value, or a tuple of values.

        Raises:
            TypeError: A wrong number of arguments, or one of the wrong kind.
            OverflowError: A number that its parameter cannot hold.
            WasmTrap: WebAssembly trapped.
            WasmExit: A WASI program exited.
            WrongStoreError: A function or reference of another store was passed.
            StoreBusyError: Another thread is in the store.
            ClosedError: The store or this object was closed.
            BaseException: Whatever a host function raised.

        C API: ``wasmtime_func_call_unchecked``, ``wasmtime_func_call``.
        """
        return self._call(*args)

    def typed(
        self, params: Iterable[WasmValType | str] = (), results: Iterable[WasmValType | str] = ()
    ) -> TypedFunc:
        """The function, checked once to have this signature.

        Raises:
            TypeError: It has another one.
        """
        expected = WasmFuncType(params, results)
        if self._type != expected:
            raise TypeError(f"{self._name}: expected {expected}, got {self._type}")
        return TypedFunc(self)

    def close(self) -> None:
        """Refuse further calls. The store keeps the function until the store is closed."""
        super().close()
        self._call = _closed

    def __repr__(self) -> str:
        return f"<WasmFunc {self._name} {self._type}{self._state}>"


class TypedFunc:
    """A function whose signature the program has checked: `WasmFunc.typed` makes it."""

    __slots__ = ("_call", "_func")

    def __init__(self, func: WasmFunc) -> None:
        self._func = func
        self._call = func._call

    @property
    def func(self) -> WasmFunc:
        """The function."""
        return self._func

    def __call__(self, *args: Any) -> Any:
        """Call it, as `WasmFunc.__call__` does."""
        return self._call(*args)

    def __repr__(self) -> str:
        return f"<TypedFunc {self._func.name} {self._func.type}>"


class WasmRef(OpaqueRef):
    """A reference to something inside the engine that Python has no view into. It can be passed on."""

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("a WasmRef comes out of WebAssembly; it cannot be made")

    @classmethod
    def _wrap(cls, store: WasmStore, val: Any) -> WasmRef:
        self = cls.__new__(cls)
        self._hold(store, val)
        return self

    def __repr__(self) -> str:
        return f"<WasmRef in store {self._store._core.number}>"


class _Registered:
    """What the conversion of values needs from this floor."""

    func = staticmethod(WasmFunc._wrap)
    ref = staticmethod(WasmRef._wrap)


_convert.wrappers = _Registered()
