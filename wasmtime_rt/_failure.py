"""The error funnel: whatever C reports becomes one Python exception here.

A failed call can have up to five causes at once; they are looked at in this order: the exception that
a host function or a signal handler raised, the WebAssembly exception that nothing caught, the exit
status of a WASI program, the end of its time or an interruption, the trap code, the engine's message.

All but one leave WebAssembly code in the middle, with its shadow stack, its locks and its allocator as they
were: these are counted, and each instance knows the count at its birth (`WasmInstance.trapped`). Only a
WebAssembly exception is unwound, by the language's own rules.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from . import _convert
from ._abstract import AbstractFunc
from ._convert import HeldRef
from ._guest_names import without_prefix
from ._lowlevel import NULL, accel, address_of, ffi, lib
from ._text import shown_text
from .errors import (
    OutOfFuelError,
    TrapCode,
    WasmException,
    WasmExit,
    WasmFrame,
    WasmInterrupted,
    WasmtimeError,
    WasmTimeout,
    WasmTrap,
)
from .types import DefinedType, WasmValType
from .values import WasmValue

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeGuard

    from .store import WasmStore

#: A value that was written: where, what, as what type.
Written: TypeAlias = tuple[object, object, WasmValType]

#: The first line of an error that ``epochs.c`` makes at the user's epoch deadline.
_DEADLINE = "wasm trap: interrupt"
#: The same for a time limit or an interruption: the nanoseconds that had passed, and those of the limit.
_STOPPED = re.compile(r"wasm trap: (?:interrupted|timeout) (\d+)(?: (\d+))?")

#: What our own ``proc_exit`` says, see ``functions.c``: only C code chooses the text of a trap.
_EXIT = re.compile(r"wasi exit with code (\d+)$", re.MULTILINE)

#: Between what the engine says went wrong and its reasons, which it gives from the outside to the inside.
_REASONS = "\n\nCaused by:\n"
_BACKTRACE = "error while executing at wasm backtrace:"
#: What to do where the engine gets no address space.
_RESERVE_LESS = (
    "\nhint: this process has not enough address space or mappings left (RLIMIT_AS, vm.max_map_count); "
    "an engine with WasmConfig.compact() reserves none"
)
#: Those that host functions raise and that get the frames they passed: not what others derive from them.
_TRAPS = (WasmTrap, WasmTimeout, WasmInterrupted)
#: What the engine says of a value that is of another type, where a module defines one; and of results.
_MISMATCH, _RETURNED = "type mismatch: expected", "function attempted to return an incompatible value"
_NOTE = "WebAssembly frames (innermost first):"


def shows_dwarf() -> bool:
    """Whether the environment asks the engine for the source lines of frames, which it reads in DWARF."""
    return os.environ.get("WASMTIME_BACKTRACE_DETAILS") == "1"


def error_text(error: Any) -> str:
    """The message of a ``wasmtime_error_t *``, which stays alive."""
    return _reason_first(accel.error_message(address_of(error)))


def _reason_first(message: bytes) -> str:
    """Return what the engine says with the reason in the first line, and without the frames.

    The engine has the reason last, and behind the frames advice about an environment variable.
    """
    text = _turned_round(message)
    return text + _RESERVE_LESS if "mmap failed" in text else text


def _turned_round(message: bytes) -> str:
    said, _, reasons = message.rstrip(b"\0\n").decode(errors="replace").rpartition(_REASONS)
    if not said:
        return shown_text(reasons)
    # Each is indented by four, and numbered where they are several.
    told = re.split(r"^ {4}\d+: ", reasons, flags=re.MULTILINE)[1:] or [reasons.removeprefix("    ")]
    lines = [reason.rstrip("\n") for reason in [*reversed(told), said]]
    if not shows_dwarf():
        lines = [line for line in lines if not line.startswith(_BACKTRACE)]
    return shown_text("\n".join(lines))


def _with_frames(text: str, frames: tuple[WasmFrame, ...]) -> str:
    """Return the reason with one line for each frame."""
    if not frames or _BACKTRACE in text:
        return text
    return "\n".join([text, *(f"  {frame}" for frame in frames)])


def check(error: Any, kind: type[WasmtimeError] = WasmtimeError, prefix: str = "") -> None:
    """Raise what ``error`` says, and free it; ``NULL`` is no error.

    Every ``wasmtime_error_t *`` that a function of ``lib`` returns owns the error: see ``build_ffi.py``.

    Raises:
        WasmtimeError: As ``kind``, with the engine's message after ``prefix``.
    """
    if error == NULL:
        return
    text = error_text(error)
    ffi.release(error)
    raise kind(prefix + text)


def check_values(error: Any, given: Iterable[Written], prefix: str = "") -> None:
    """Like `check`, after values were written that the engine compares with types that modules define.

    Raises:
        TypeError: One is of another type: of those in ``given``, each with its place and what it must be.
        WasmtimeError: The engine says something else.
    """
    try:
        check(error, prefix=prefix)
    except WasmtimeError as problem:
        raise explained(problem, given) from None


def explained(problem: BaseException, given: Iterable[Written]) -> BaseException:
    """``problem``, or where it says that a value is of another type, what names the value and both types."""
    if type(problem) is not WasmtimeError or _MISMATCH not in str(problem):
        return problem
    return _mismatch(str(problem), given)


def _mismatch(text: str, given: Iterable[Written]) -> TypeError:
    values = ((where, _bare(value), valtype) for where, value, valtype in given)
    # The others were compared when they were written.
    suspects = [one for one in values if one[1] is not None and isinstance(one[2].heap, DefinedType)]
    for where, value, valtype in suspects:
        if len(suspects) > 1 and _fits(value, valtype):
            continue
        got, kind = value.type, type(value).__name__
        alike = ", another type in the same words" if _defined(got) == _defined(valtype) else ""
        return TypeError(f"{where}: expected a value of that type, got a {kind} of type {got}{alike}")
    return TypeError(text)


def _bare(value: Any) -> Any:
    """What the engine sees of ``value``."""
    if isinstance(value, WasmValue):
        value = value.value
    return cast("Any", value).value if isinstance(value, HeldRef) and value.hierarchy == "extern" else value


def _fits(value: Any, valtype: WasmValType) -> bool:
    """Whether ``value`` is of that type, as far as can be told."""
    if not isinstance(value, HeldRef):
        return bool(isinstance(value, AbstractFunc) and value.type == valtype.heap.func)  # type: ignore[attr-defined,union-attr]
    try:
        return bool(value.matches(valtype))  # type: ignore[attr-defined]
    except WasmtimeError:
        return False


def _defined(given: Any) -> str:
    """The definition of a function's type, or of what a reference points at."""
    heap = getattr(given, "heap", given)
    return heap.describe() if isinstance(heap, DefinedType) else str(heap)


def _frame(index: int, func: bytes | None, module: bytes | None, *offsets: int) -> WasmFrame:
    """Return a frame as ``Failure.take`` describes it."""
    func_name = None if func is None else without_prefix(func.decode(errors="replace"))
    module_name = None if module is None else module.decode(errors="replace")
    return WasmFrame(index, func_name, module_name, *offsets)


def is_thrown(raised: BaseException | None) -> TypeGuard[WasmException]:
    """Whether WebAssembly may catch it; without a look at ``__class__``, which may be anything."""
    return issubclass(type(raised), WasmException)


def failure(store: WasmStore, context: Any, ended: Any, raised: BaseException | None) -> BaseException:
    """Return the exception that a call ended with, and count it.

    Args:
        store: The store that was entered.
        context: The same in C.
        ended: The accelerator's ``Failure``, which owns the engine's error or trap.
        raised: The exception of a host function, if one raised during this call.
    """
    taken = None
    try:
        # First: what runs in between, a finalizer perhaps, may call into the store, and have it throw.
        taken = _take_exception(store, context)
        lib.wrt_signals_restore()  # a handler that was installed late lets a trap through at most once
        return _told(store, context, ended, raised, taken)
    except BaseException:
        store._core.abandoned += 1  # nobody knows how it ended
        raise
    finally:
        if taken is not None:
            lib.wasmtime_exnref_unroot(ffi.addressof(taken[0].exception))
            store._core.hosts[_TAKER] = taken


def _told(
    store: WasmStore, context: Any, ended: Any, raised: BaseException | None, taken: Any
) -> BaseException:
    message, number, told = ended.take()
    text = _reason_first(message)
    code = None if number is None else TrapCode(number)
    frames = tuple(_frame(*frame) for frame in told)
    exit_code = _EXIT.match(text)
    text = _with_frames(text, frames)
    reason, newline, where = text.partition("\n")
    stopped = _STOPPED.fullmatch(reason) if code is None else None
    if stopped or (code is None and reason == _DEADLINE):
        code = TrapCode.INTERRUPT
    thrown = None
    if taken is not None:
        thrown = _convert.wrappers.exception(store, context, ffi.addressof(taken[0].exception))
    held = raised._held if is_thrown(raised) else None
    if held is not None and held._store is store and (thrown is None or held != thrown._held):
        raised = None  # it was thrown, and WebAssembly caught it: this is another failure
    unwound = thrown is not None and (raised is None or (held is not None and held == thrown._held))
    # The engine always tells the frames. Without any and without a code, what failed was a host function that
    # Python called, or a limit that refused an instance.
    if not unwound and (frames or code is not None):
        store._core.abandoned += 1
    if raised is not None:
        exact = any(type(raised) is kind for kind in _TRAPS)
        if is_thrown(raised) or (exact and isinstance(raised, WasmTrap) and not raised.frames):
            raised.frames = frames
        if not issubclass(type(raised), WasmExit):  # an exit is asked for, wherever it is asked for
            _note_frames(raised, frames)
        return raised
    if thrown is not None:
        thrown.frames, thrown._text = frames, text
        return thrown
    if exit_code is not None:
        return WasmExit(int(exit_code[1]))
    if stopped:
        return _ended(stopped, newline + where, frames)
    if code is TrapCode.OUT_OF_FUEL:
        return OutOfFuelError(text, code, frames)
    if _RETURNED in text and frames:
        wrong = _mismatch(text, _convert.returned())
        _note_frames(wrong, frames)
        return wrong
    if code is not None or frames:
        return WasmTrap(text, code, frames)
    return WasmtimeError(text)


def _ended(stopped: re.Match[str], where: str, frames: tuple[WasmFrame, ...]) -> WasmTrap:
    """Return what the end of a time limit, or `WasmStore.interrupt`, makes of a call."""
    elapsed = int(stopped[1]) / 1e9
    if stopped[2] is None:
        said = f"interrupted after {elapsed:.3f} seconds"
        return WasmInterrupted(said + where, TrapCode.INTERRUPT, frames, elapsed)
    limit = int(stopped[2]) / 1e9
    said = f"timeout: {elapsed:.3f} seconds have passed, the limit was {limit:g}"
    return WasmTimeout(said + where, TrapCode.INTERRUPT, frames, elapsed, limit)


#: Where a store's core keeps the host function that takes exceptions, among the numbers of the others.
_TAKER = -1


def _take_exception(store: WasmStore, context: Any) -> Any:
    """Take the exception that is pending on the store, if there is one: it would turn up later.

    Returns:
        What has taken it, its root in the first item, for nobody else until it is put back; or ``None``.
    """
    if not lib.wasmtime_context_has_exception(context):
        return None
    hosts = store._core.hosts
    taker = hosts.pop(_TAKER, None)
    if taker is None:
        nothing = ffi.new("wasm_valtype_vec_t[2]")
        c_type = ffi.gc(lib.wasm_functype_new(nothing, nothing + 1), lib.wasm_functype_delete)
        taken, func = ffi.new("wrt_taken_t *"), ffi.new("wasmtime_func_t *")
        lib.wasmtime_func_new_unchecked(context, c_type, lib.wrt_take_exception, taken, NULL, func)
        taker = taken, func, ffi.new("wasmtime_val_raw_t *")
    taken, func, slots = taker
    taken.found = False
    check(lib.wasmtime_func_call_unchecked(context, func, slots, 0, ffi.new("wasm_trap_t **")))
    if taken.found:
        return taker
    hosts[_TAKER] = taker
    return None


def _note_frames(raised: BaseException, frames: tuple[WasmFrame, ...]) -> None:
    """Add the WebAssembly frames to a Python exception as one note.

    A note that an inner call left is kept where it ends with the same frames, since the inner call
    saw more of the same stack; any other older note is replaced.
    """
    if not frames:
        return
    lines = [f"  {frame}" for frame in frames]
    try:
        notes = [note for note in getattr(raised, "__notes__", ()) if isinstance(note, str)]
        for old in notes:
            if old.startswith(_NOTE):
                if old.splitlines()[-len(lines) :] == lines:
                    return
                notes.remove(old)
                break
        notes.append("\n".join([_NOTE, *lines]))
        raised.__notes__ = notes  # type: ignore[attr-defined]  # Python 3.10 has no add_note
    except KeyboardInterrupt:  # Ctrl-C, just now
        raise
    except BaseException:  # noqa: BLE001, S110  one that refuses attributes, in whatever way, stays without
        pass
