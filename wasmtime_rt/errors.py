"""What can go wrong, as exceptions.

::

    WasmtimeError
    ├── CompileError            not valid WebAssembly, or not valid WAT
    ├── DeserializeError        not a serialized module, or not one for this engine
    ├── LinkError               imports are missing or have the wrong type
    ├── WasmTrap                WebAssembly stopped: .code and .frames say why and where
    │   ├── WasmTimeout         its time was up: .elapsed
    │   ├── WasmInterrupted     another thread, or a signal handler, asked for it: .elapsed
    │   └── OutOfFuelError      its fuel was used up; also a LimitError
    ├── LimitError              a limit of a sandbox refused it: .limit says which
    ├── WasmException           WebAssembly threw an exception that nothing caught
    ├── WasmExit                a WASI program asked to exit: .code
    └── MisuseError             the call itself was wrong; the engine never saw it
        ├── ClosedError
        │   └── StoreClosedError
        ├── WrongStoreError     things of two stores were mixed
        ├── WrongEngineError    things of two engines were mixed
        ├── StoreBusyError      another thread is inside the store, or a call is running
        ├── ForkError           it did not come along when this process was forked
        └── MemoryViewError     a view is refused, or is in the way of closing

Values of the wrong Python type, shape or range raise ``TypeError``, ``ValueError``, ``OverflowError``,
``IndexError`` and ``KeyError`` as usual. An exception that a host function raises comes out of the
call as itself.
"""

from __future__ import annotations

import enum
from typing import Any

from ._importing import Importing
from ._record import Record
from ._text import first_of, shown_name


class WasmtimeError(Exception):
    """The root of all that the engine or this package refuses.

    Attributes:
        message: The whole text, as in ``str(error)``.
        result: What the program had done until then, where `run_wasi` or a `Sandbox` raised it.

    C API: ``wasmtime_error_message``, ``wasmtime_error_delete``.
    """

    result: Any = None

    @property
    def message(self) -> str:
        """The whole text, as in ``str(error)``."""
        return str(self)


class CompileError(WasmtimeError):
    """The source is not a valid WebAssembly module, or uses a feature that the engine has off."""


class DeserializeError(WasmtimeError):
    """The data is no serialized module, is damaged, or was compiled by another engine or with other settings.

    The remedy is to compile the module again.
    """


class LinkError(WasmtimeError):
    """A module cannot be instantiated with these imports; the text lists every one that is wrong."""


class TrapCode(enum.IntEnum):
    """Why WebAssembly trapped. Numbers that this version does not know get a member of their own.

    >>> TrapCode(7)
    <TrapCode.INTEGER_DIVISION_BY_ZERO: 7>
    >>> TrapCode(250).name
    'UNKNOWN_250'
    """

    STACK_OVERFLOW = 0
    MEMORY_OUT_OF_BOUNDS = 1
    HEAP_MISALIGNED = 2
    TABLE_OUT_OF_BOUNDS = 3
    INDIRECT_CALL_TO_NULL = 4
    BAD_SIGNATURE = 5
    INTEGER_OVERFLOW = 6
    INTEGER_DIVISION_BY_ZERO = 7
    BAD_CONVERSION_TO_INTEGER = 8
    UNREACHABLE_CODE_REACHED = 9
    INTERRUPT = 10
    OUT_OF_FUEL = 11
    ATOMIC_WAIT_NON_SHARED_MEMORY = 12
    NULL_REFERENCE = 13
    ARRAY_OUT_OF_BOUNDS = 14
    ALLOCATION_TOO_LARGE = 15
    CAST_FAILURE = 16
    CANNOT_ENTER_COMPONENT = 17
    NO_ASYNC_RESULT = 18
    UNHANDLED_TAG = 19
    CONTINUATION_ALREADY_CONSUMED = 20
    DISABLED_OPCODE = 21
    ASYNC_DEADLOCK = 22
    CANNOT_LEAVE_COMPONENT = 23
    CANNOT_BLOCK_SYNC_TASK = 24
    INVALID_CHAR = 25
    DEBUG_ASSERT_STRING_ENCODING_FINISHED = 26
    DEBUG_ASSERT_EQUAL_CODE_UNITS = 27
    DEBUG_ASSERT_POINTER_ALIGNED = 28
    DEBUG_ASSERT_UPPER_BITS_UNSET = 29
    STRING_OUT_OF_BOUNDS = 30
    LIST_OUT_OF_BOUNDS = 31
    INVALID_DISCRIMINANT = 32
    UNALIGNED_POINTER = 33
    TASK_CANCEL_NOT_CANCELLED = 34
    TASK_CANCEL_OR_RETURN_TWICE = 35
    SUBTASK_CANCEL_AFTER_TERMINAL = 36
    TASK_RETURN_INVALID = 37
    WAITABLE_SET_DROP_HAS_WAITERS = 38
    SUBTASK_DROP_NOT_RESOLVED = 39
    THREAD_NEW_INDIRECT_INVALID_TYPE = 40
    THREAD_NEW_INDIRECT_UNINITIALIZED = 41
    BACKPRESSURE_OVERFLOW = 42
    UNSUPPORTED_CALLBACK_CODE = 43
    CANNOT_RESUME_THREAD = 44
    CONCURRENT_FUTURE_STREAM_OP = 45
    REFERENCE_COUNT_OVERFLOW = 46
    STREAM_OP_TOO_BIG = 47
    WAITABLE_SYNC_AND_ASYNC = 48
    UNCAUGHT_EXCEPTION = 49
    READ_FROM_DROPPED_STREAM = 50
    WRITE_TO_DROPPED_STREAM = 51
    WRITE_TO_DROPPED_FUTURE = 52
    LIFT_DROPPED_STREAM = 53

    @classmethod
    def _missing_(cls, value: object) -> TrapCode | None:
        if not isinstance(value, int) or not 0 <= value <= 255:
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}"
        unknown._value_ = value
        return unknown


#: The offset of a frame whose place the engine does not know.
_UNKNOWN = 2**64 - 1


class WasmFrame(Record):
    """One call that was active when WebAssembly stopped.

    Attributes:
        func_index: The function's index in its module.
        func_name: The function's name from the module's name section, if it has one.
        module_name: The module's name from the same section, if it has one.
        func_offset: Byte offset of the instruction from the start of the function.
        module_offset: Byte offset of the instruction from the start of the module; both are 2**64 - 1 if
            the engine does not know it, as in a function whose stack is exhausted.

    C API: ``wasm_frame_*``, ``wasmtime_frame_*``.
    """

    func_index: int
    func_name: str | None
    module_name: str | None
    func_offset: int
    module_offset: int

    def __str__(self) -> str:
        name = shown_name(self.func_name) if self.func_name else f"<wasm function {self.func_index}>"
        where = f"{shown_name(self.module_name)}!{name}" if self.module_name else name
        return where if self.module_offset == _UNKNOWN else f"{where} at 0x{self.module_offset:x}"


class WasmTrap(WasmtimeError):
    """WebAssembly stopped: a division by zero, an access out of bounds, fuel that ran out.

    >>> import wasmtime_rt as w
    >>> store = w.WasmStore(w.WasmEngine())
    >>> module = w.WasmModule(store.engine, '(module (func $stop (export "stop") unreachable))')
    >>> try:
    ...     w.WasmInstance(store, module).exports.stop()
    ... except w.WasmTrap as trap:
    ...     print(trap.code.name, *trap.frames)
    UNREACHABLE_CODE_REACHED stop at 0x21

    A host function that raises one stops WebAssembly with it.

    Attributes:
        code: Why, or ``None`` where the engine gives no code.
        frames: The calls that were active, innermost first.

    C API: ``wasm_trap_message``, ``wasm_trap_trace``, ``wasm_trap_delete``, ``wasmtime_trap_code``,
    ``wasmtime_trap_new``, ``wasmtime_error_wasm_trace``.
    """

    def __init__(
        self, message: str, code: TrapCode | None = None, frames: tuple[WasmFrame, ...] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.frames = frames

    def _repr_html_(self) -> str:
        with Importing():
            from ._html import table  # noqa: PLC0415  for notebooks only

        reason = str(self).partition("\n")[0].removeprefix("wasm trap: ")
        code = f"{self.code.name}: " if self.code is not None else ""
        rows = [
            (
                frame.func_name or f"function {frame.func_index}",
                frame.module_name or "",
                "" if frame.module_offset == _UNKNOWN else f"0x{frame.module_offset:x}",
            )
            for frame in self.frames
        ]
        title = f"{type(self).__name__}: {code}{reason}"
        return table(title, ("function, innermost first", "module", "offset in the module"), rows)


class WasmTimeout(WasmTrap):
    """WebAssembly was stopped since its time was up. The store can be used further.

    Attributes:
        code: `TrapCode.INTERRUPT`.
        frames: The calls that were active, innermost first.
        elapsed: Seconds since the time limit was set.
        limit: How many seconds that limit was.
    """

    def __init__(
        self,
        message: str,
        code: TrapCode | None = TrapCode.INTERRUPT,
        frames: tuple[WasmFrame, ...] = (),
        elapsed: float = 0.0,
        limit: float = 0.0,
    ) -> None:
        super().__init__(message, code, frames)
        self.elapsed = elapsed
        self.limit = limit


class WasmInterrupted(WasmTrap):
    """WebAssembly was stopped by `WasmStore.interrupt`. The store can be used further.

    Attributes:
        code: `TrapCode.INTERRUPT`.
        frames: The calls that were active, innermost first.
        elapsed: Seconds since the call began, to some 10 milliseconds.
    """

    def __init__(
        self,
        message: str,
        code: TrapCode | None = TrapCode.INTERRUPT,
        frames: tuple[WasmFrame, ...] = (),
        elapsed: float = 0.0,
    ) -> None:
        super().__init__(message, code, frames)
        self.elapsed = elapsed


class LimitError(WasmtimeError):
    """A limit of a sandbox refused it before it ran, or ended it.

    Attributes:
        limit: Which: ``"compile_memory"``, ``"compile_timeout"``, ``"fuel"``, ``"instances"``, ``"memory"``,
            ``"module_size"`` or ``"tables"``.
    """

    def __init__(self, message: str, limit: str = "") -> None:
        super().__init__(message)
        self.limit = limit


class OutOfFuelError(WasmTrap, LimitError):
    """WebAssembly used up its fuel.

    Attributes:
        limit: ``"fuel"``.
    """

    def __init__(
        self,
        message: str,
        code: TrapCode | None = TrapCode.OUT_OF_FUEL,
        frames: tuple[WasmFrame, ...] = (),
    ) -> None:
        super().__init__(message, code, frames)
        self.limit = "fuel"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  a broken __repr__ must not hide the exception
        return "an object whose repr() fails"


class WasmException(WasmtimeError):
    """A WebAssembly exception: thrown by WebAssembly and not caught there, or raised by a host function.

    A host function that raises one throws it into WebAssembly, where a handler for its tag catches it.
    As a value of type exnref it can be passed on.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine()
    >>> module = w.WasmModule(engine, '''(module
    ...     (import "env" "f" (func $f)) (tag $t (export "t") (param i32))
    ...     (func (export "throw") (param i32) (throw $t (local.get 0)))
    ...     (func (export "catch") (result i32)
    ...       (block $caught (result i32) (try_table (catch $t $caught) (call $f)) (i32.const -1))))''')
    >>> def f() -> None:
    ...     raise w.WasmException(exports.t, 7)
    >>> exports = w.WasmInstance(w.WasmStore(engine), module, {"env": {"f": f}}).exports
    >>> exports.catch()
    7
    >>> try:
    ...     exports.throw(5)
    ... except w.WasmException as thrown:
    ...     print(thrown.tag == exports.t, thrown.payload)
    True (5,)

    Args:
        tag: The `WasmTag` that names its kind.
        *payload: A value for each parameter of the tag's type.

    Attributes:
        tag: Its tag.
        payload: What it carries, as a tuple.
        frames: The calls that were active when nothing caught it, innermost first.

    C API: ``wasmtime_exnref_*``, ``wasmtime_context_set_exception``, ``wasmtime_context_has_exception``,
    ``wasmtime_context_take_exception``.
    """

    def __init__(self, tag: Any, *payload: Any) -> None:
        super().__init__(tag, *payload)
        self.tag = tag
        self.payload = payload
        self.frames: tuple[WasmFrame, ...] = ()
        self._held: Any = None  # its root in the store, once it has one
        self._text = ""

    def __str__(self) -> str:
        carried = first_of((shown_name(_repr(value)) for value in self.payload), len(self.payload))
        try:
            kind = str(self.tag.type)
        except Exception:  # noqa: BLE001  no tag: that is told when it is thrown
            kind = _repr(self.tag)
        said = f"WebAssembly exception {kind} with ({carried})"
        return f"{said}: {self._text}" if self._text else said


class WasmExit(WasmtimeError):
    """A WASI program asked to exit. Code 0 is success, as for any program.

    Attributes:
        code: The exit code, 0 to 255 for well-behaved programs.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"the program exited with code {self.code}"


class MisuseError(WasmtimeError):
    """The call itself was wrong, and was refused before the engine saw it."""


class ClosedError(MisuseError):
    """It was closed."""


class StoreClosedError(ClosedError):
    """The store was closed, and with it everything that lives in it."""


class WrongStoreError(MisuseError):
    """Something of one store was used with another."""


class WrongEngineError(MisuseError):
    """Something of one engine was used with another."""


class StoreBusyError(MisuseError):
    """Another thread is inside the store, or a call is running that does not allow this."""


class ForkError(MisuseError):
    """The store cannot be used: another thread was in it when this process was forked."""


class MemoryViewError(MisuseError, BufferError):
    """A view of a memory that may move was asked for, or a view is in the way of closing its store."""
