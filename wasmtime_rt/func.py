"""Functions: WebAssembly's, called like Python's, and Python's, for WebAssembly to call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import EllipsisType
from typing import Any, ClassVar, NoReturn

from . import _convert
from ._abstract import AbstractFunc, begin
from ._columns import Plan, note_row
from ._convert import new_vals, release, to_val, value_from_val
from ._deadline import limited
from ._exact import is_a
from ._fast import Function, new_host_function
from ._lowlevel import accel, address_of, ffi, lib
from ._messages import wrong_count
from ._reflect import functype
from ._text import shown_name
from .annotations import as_host_function, check_callable, name_of, signature_of
from .errors import WasmtimeError
from .externs import StoreItem
from .store import WasmStore, check_store_argument
from .types import WasmFuncType, WasmValType
from .values import WasmValue, Where


class WasmFunc(Function, StoreItem, AbstractFunc):
    """A function in a store. Calling it runs WebAssembly, or the Python function that it was made of.

    A call takes exactly the parameters of its type, and returns ``None``, the value, or a tuple, for
    no, one, or several results. Integers may be given signed or unsigned and come back signed; f32 and
    f64 take real numbers, v128 takes 16 bytes, funcref a `WasmFunc` or ``None``, externref any object. A
    Python ``float`` makes a signalling NaN of f32 a quiet one: `call_values` gives results bit for bit.

    The keyword ``timeout`` bounds the time of a call in seconds, on engines with epochs, in place of the
    store's own limit, which ``None`` lifts: see `WasmStore.deadline`.

    A call raises ``TypeError`` for a wrong number or kind of arguments, ``OverflowError`` for a number that
    its parameter cannot hold, `WasmTrap` where WebAssembly traps, `WasmTimeout` where its time is up,
    `WasmExit` where a WASI program exits, `WrongStoreError` for a reference of another store,
    `StoreBusyError` while another thread is in the store, `ClosedError` after the store or this object was
    closed, and whatever a host function raised. On engines with epochs, what a signal handler raises comes
    out of it too: Ctrl-C ends it.

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

    C API: ``wasmtime_func_new``, ``wasmtime_func_new_unchecked``, ``wasmtime_func_call``,
    ``wasmtime_func_call_unchecked``, ``wasmtime_func_type``.
    """

    __slots__ = ("__weakref__", "_handle", "_identity", "_type")
    _KIND: ClassVar[int] = lib.WASMTIME_EXTERN_FUNC
    _FIELD: ClassVar[str] = "func"

    def __init__(
        self,
        store: WasmStore,
        function: Callable[..., Any],
        type: WasmFuncType | None = None,  # noqa: A002
    ) -> None:
        begin(self, "_handle")
        check_store_argument(store)
        check_callable(function)
        if type is not None and not is_a(type, WasmFuncType):
            raise TypeError(f"type: expected a WasmFuncType, got {type!r}")
        func_type = signature_of(function) if type is None else type
        function = as_host_function(function)
        name, made = name_of(function), bytearray(ffi.sizeof("wasmtime_func_t"))
        new_host_function(store, function, func_type, name, made, 0)
        handle = ffi.new("wasmtime_func_t *")
        ffi.memmove(handle, made, len(made))
        self._adopt(store, handle, func_type, name)

    def _adopt(self, store: WasmStore, handle: Any, func_type: WasmFuncType, name: str) -> None:
        identity = ffi.new("uintptr_t[2]")
        with store._core:  # another thread may have closed it meanwhile, and with it what the handle leads to
            lib.wrt_func_identity(handle, identity)
        self._place(store, handle, (identity[0], identity[1]))
        self._type = func_type
        self._bind_to(store, handle, func_type, name)

    @classmethod
    def _wrap(
        cls, store: WasmStore, handle: Any, func_type: WasmFuncType | None = None, name: str | None = None
    ) -> WasmFunc:
        """The function that a ``wasmtime_func_t *`` names, which is kept. The store is open."""
        if func_type is None:
            with store._core as context:
                c_type = ffi.gc(lib.wasmtime_func_type(context, handle), lib.wasm_functype_delete)
                func_type = functype(c_type, store._core.engine)
        self = cls.__new__(cls)
        self._adopt(store, handle, func_type, shown_name(name or "function"))
        return self

    @property
    def type(self) -> WasmFuncType:
        """Its signature."""
        return self._type

    @property
    def name(self) -> str:
        """The name by which it was exported, or the Python function's.

        A name that is long or not printable is as error messages show it: cut and escaped.
        """
        return self._name

    def call_values(
        self, *args: Any, timeout: float | EllipsisType | None = ...
    ) -> tuple[WasmValue[Any], ...]:
        """Call it, and get its results with their types, bit for bit: a NaN keeps its payload.

        Args:
            *args: As for a call; what ``WasmValue.f32(bits=...)`` makes goes in bit for bit.
            timeout: As for a call.

        Returns:
            A `WasmValue` for each result.

        >>> import wasmtime_rt as w
        >>> store = w.WasmStore(w.WasmEngine())
        >>> module = w.WasmModule(store.engine, '''(module
        ...     (func (export "same") (param f32) (result f32) (local.get 0)))''')
        >>> same = w.WasmInstance(store, module).exports.same
        >>> same.call_values(1.5)
        (WasmValue.f32(1.5),)
        >>> hex(same.call_values(w.WasmValue.f32(bits=0x7FA00000))[0].bits)  # a signalling NaN
        '0x7fa00000'

        Raises:
            BaseException: What a call raises.

        C API: ``wasmtime_func_call``.
        """
        if timeout is not ...:
            with limited(self._store, timeout):
                return self.call_values(*args)
        _live, store, func_type = self._live, self._store, self._type
        params, results = func_type.params, func_type.results
        if len(args) != len(params):
            wrong_count(self._name, len(params), len(args))
        given, got = new_vals(len(params)), new_vals(len(results))
        with store._core as context:
            try:
                for i, (value, valtype) in enumerate(zip(args, params, strict=True)):
                    to_val(
                        store, context, value, valtype, given + i, Where(self._name, "argument", i, valtype)
                    )
                accel.call_values(self, args, address_of(given), address_of(got))
                return tuple(
                    value_from_val(store, context, got + i, valtype) for i, valtype in enumerate(results)
                )
            finally:
                release(given, len(params))
                release(got, len(results))

    def typed(
        self,
        params: Iterable[WasmValType | str] = (),
        results: Iterable[WasmValType | str] = (),
        *,
        keep_gil: bool = False,
    ) -> TypedFunc:
        """The function, checked once to have this signature.

        Args:
            params: The types of its parameters.
            results: The types of its results.
            keep_gil: Keep Python's global lock during calls, which makes short ones faster. No other Python
                thread runs meanwhile, so it is for functions that end within microseconds.

        Raises:
            TypeError: It has another signature.
            ClosedError: It was closed.
            WasmtimeError: ``keep_gil`` in a store with WASI, where a call could wait for the world, or with
                shared memories, where it could wait for another thread.
        """
        expected = WasmFuncType(params, results)
        if self._type != expected:
            raise TypeError(f"{self._name}: expected {expected}, got {self._type}")
        handle = self._live
        if keep_gil and self._store._wasi is not None:
            raise WasmtimeError(
                f"{self._name}: keep_gil is refused in a store with WASI, where a call may wait"
            )
        if keep_gil and self._store._engine._plain_config.shared_memory:
            raise WasmtimeError(
                f"{self._name}: keep_gil is refused where memories can be shared, on which a call may wait"
            )
        if keep_gil:
            self._store._keeps_gil = True
        return TypedFunc._wrap(self, handle, keep_gil=keep_gil)

    def map(self, *columns: Any, out: Any = None, timeout: float | EllipsisType | None = ...) -> Any:
        """Call the function once per row, at the speed of C.

        Args:
            *columns: One for each parameter: a buffer with one item per row (a NumPy array, an
                ``array.array``, a memoryview; contiguous or strided, of the parameter's own type), or a
                number, which serves every row. A column of v128 is bytes, 16 for each row.
            out: Where the results go: a writable buffer of the result's type, or for several results a
                tuple of such; new ones by default.
            timeout: Seconds that all rows have together, as for a call.

        Returns:
            ``out``, or what was made in its place: NumPy arrays where a column is one, else ``array.array``
            (``bytearray`` for v128). ``None`` for a function without results.

        Raises:
            TypeError: A wrong number of columns, an item type that is not the parameter's, or a signature
                with references.
            ValueError: Columns of different lengths.
            WasmTrap: A row trapped: ``.row`` tells which. Rows before it are done.
            BaseException: What a host function or a signal handler raised, with ``.row`` likewise.

        C API: ``wasmtime_func_call_unchecked``.
        """
        if timeout is not ...:
            with limited(self._store, timeout):
                return self.map(*columns, out=out)
        self._live  # noqa: B018  raises where it was closed
        plan = Plan(self._name, self._type, columns, out)
        try:
            self._map(plan.inputs, plan.outputs, plan.rows)
        except BaseException as problem:
            note_row(problem)
            raise
        return plan.answer

    def close(self) -> None:
        """Refuse further calls. The store keeps the function until the store is closed."""
        super().close()
        self._unbind()

    def __repr__(self) -> str:
        return f"<WasmFunc {self._name} {self._type}{self._state}>"


class TypedFunc(Function):
    """A function whose signature the program has checked: `WasmFunc.typed` makes it."""

    __slots__ = ("__weakref__", "_func")
    _func: WasmFunc

    def __init__(self) -> None:
        raise TypeError("a TypedFunc is made by WasmFunc.typed")

    @classmethod
    def _wrap(cls, func: WasmFunc, handle: Any, *, keep_gil: bool) -> TypedFunc:
        self = cls.__new__(cls)
        self._func = func
        self._bind_to(func._store, handle, func._type, func._name, keep_gil)
        return self

    def _refuse(self, *_args: object) -> NoReturn:
        raise TypeError("this TypedFunc was never initialised")

    def __reduce__(self) -> Any:
        raise TypeError("a TypedFunc lives in its process: it cannot be copied or pickled")

    @property
    def func(self) -> WasmFunc:
        """The function."""
        return self._func

    def __repr__(self) -> str:
        return f"<TypedFunc {self._func.name} {self._func.type}>"


_convert.wrappers.func = WasmFunc._wrap
