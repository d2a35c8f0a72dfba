"""The error funnel: whatever C reports becomes one Python exception here.

A failed call can have up to five causes at once; they are looked at in this order: the exception that
a host function or a signal handler raised, the WebAssembly exception that nothing caught, the exit
status of a WASI program, the end of its time or an interruption, the trap code, the engine's message.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from . import _convert
from ._lowlevel import NULL, ffi, lib, take_bytes, text_of
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

if TYPE_CHECKING:
    from typing import TypeGuard

    from .store import WasmStore

#: What our own epoch callback says, see ``epochs.c``, and with it every error that it made.
_DEADLINE, _TIMEOUT, _INTERRUPTED = "wasm trap: interrupt", "wasm trap: timeout", "wasm trap: interrupted"

#: What to do where the engine gets no address space.
_RESERVE_LESS = (
    "\nhint: this process has not enough address space or mappings left (RLIMIT_AS, vm.max_map_count); "
    "an engine with WasmConfig.compact() reserves none"
)
#: Those that host functions raise and that get the frames they passed: not what others derive from them.
_TRAPS = (WasmTrap, WasmTimeout, WasmInterrupted)
_NOTE = "WebAssembly frames (innermost first):"


def error_text(error: Any) -> str:
    """The message of a ``wasmtime_error_t *``, which stays alive."""
    message = ffi.new("wasm_byte_vec_t *")
    lib.wasmtime_error_message(error, message)
    text = take_bytes(message).decode(errors="replace").rstrip("\n")
    return text + _RESERVE_LESS if "mmap failed" in text else text


def check(error: Any, kind: type[WasmtimeError] = WasmtimeError, prefix: str = "") -> None:
    """Raise what ``error`` says, and free it; ``NULL`` is no error.

    Raises:
        WasmtimeError: As ``kind``, with the engine's message after ``prefix``.
    """
    if error == NULL:
        return
    text = error_text(error)
    lib.wasmtime_error_delete(error)
    raise kind(prefix + text)


def _frames(vector: Any) -> tuple[WasmFrame, ...]:
    """The frames in a ``wasm_frame_vec_t *``, which is freed."""
    frames = []
    for i in range(vector.size):
        frame = vector.data[i]
        func_name = lib.wasmtime_frame_func_name(frame)
        module_name = lib.wasmtime_frame_module_name(frame)
        frames.append(
            WasmFrame(
                lib.wasm_frame_func_index(frame),
                text_of(func_name) if func_name != NULL else None,
                text_of(module_name) if module_name != NULL else None,
                lib.wasm_frame_func_offset(frame),
                lib.wasm_frame_module_offset(frame),
            )
        )
    lib.wasm_frame_vec_delete(vector)
    return tuple(frames)


def is_thrown(raised: BaseException | None) -> TypeGuard[WasmException]:
    """Whether WebAssembly may catch it; without a look at ``__class__``, which may be anything."""
    return issubclass(type(raised), WasmException)


def failure(
    store: WasmStore, context: Any, error: Any, trap: Any, raised: BaseException | None
) -> BaseException:
    """The exception that a call ended with; ``error`` and ``trap`` are freed.

    Args:
        store: The store that was entered.
        context: The same in C.
        error: A ``wasmtime_error_t *`` or ``NULL``.
        trap: A ``wasm_trap_t *`` or ``NULL``.
        raised: The exception of a host function, if one raised during this call.
    """
    lib.wrt_signals_restore()  # a handler that was installed late lets a trap through at most once
    vector = ffi.new("wasm_frame_vec_t *")
    code = None
    if trap != NULL:
        message = ffi.new("wasm_byte_vec_t *")
        lib.wasm_trap_message(trap, message)
        text = take_bytes(message).rstrip(b"\0\n").decode(errors="replace")
        number = ffi.new("wasmtime_trap_code_t *")
        if lib.wasmtime_trap_code(trap, number):
            code = TrapCode(number[0])
        lib.wasm_trap_trace(trap, vector)
    else:
        text = error_text(error)
        lib.wasmtime_error_wasm_trace(error, vector)
        if text.rstrip().endswith((_DEADLINE, _TIMEOUT, _INTERRUPTED)):
            text, code = text.rstrip(), TrapCode.INTERRUPT
    frames = _frames(vector)
    exit_status = ffi.new("int *")
    exited = trap == NULL and lib.wasmtime_error_exit_status(error, exit_status)
    lib.wasmtime_error_delete(error) if trap == NULL else lib.wasm_trap_delete(trap)
    thrown = _take_exception(store, context)
    held = raised._held if is_thrown(raised) else None
    if held is not None and held._store is store and (thrown is None or held != thrown._held):
        raised = None  # it was thrown, and WebAssembly caught it: this is another failure
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
    if exited:
        return WasmExit(exit_status[0])
    if code is TrapCode.INTERRUPT and not text.endswith(_DEADLINE):
        return _stopped(store, text, frames)
    if code is TrapCode.OUT_OF_FUEL:
        return OutOfFuelError(text, code, frames)
    if code is not None or frames:
        return WasmTrap(text, code, frames)
    return WasmtimeError(text)


def _stopped(store: WasmStore, text: str, frames: tuple[WasmFrame, ...]) -> WasmTrap:
    """What the end of a time limit, or `WasmStore.interrupt`, makes of a call."""
    times = ffi.new("uint64_t[2]")
    lib.wrt_epochs_times(store._core.epochs, times)
    elapsed, limit = times[0] / 1e9, times[1] / 1e9
    if text.endswith(_TIMEOUT):
        said = f"timeout: {elapsed:.3f} seconds have passed, the limit was {limit:g}"
        return WasmTimeout(f"{said}\n{text}", TrapCode.INTERRUPT, frames, elapsed, limit)
    return WasmInterrupted(
        f"interrupted after {elapsed:.3f} seconds\n{text}", TrapCode.INTERRUPT, frames, elapsed
    )


#: Where a store's core keeps the host function that takes exceptions, among the numbers of the others.
_TAKER = -1


def _take_exception(store: WasmStore, context: Any) -> WasmException | None:
    """Take the exception that is pending on the store, if there is one: it would turn up later."""
    if not lib.wasmtime_context_has_exception(context):
        return None
    taker = store._core.hosts.get(_TAKER)
    if taker is None:
        nothing = ffi.new("wasm_valtype_vec_t[2]")
        c_type = lib.wasm_functype_new(nothing, nothing + 1)
        taken, func = ffi.new("wrt_taken_t *"), ffi.new("wasmtime_func_t *")
        lib.wasmtime_func_new_unchecked(context, c_type, lib.wrt_take_exception, taken, NULL, func)
        lib.wasm_functype_delete(c_type)
        taker = store._core.hosts[_TAKER] = taken, func, ffi.new("wasmtime_val_raw_t *")
    taken, func, slots = taker
    taken.found = False
    check(lib.wasmtime_func_call_unchecked(context, func, slots, 0, ffi.new("wasm_trap_t **")))
    if not taken.found:
        return None
    try:
        return _convert.wrappers.exception(store, context, ffi.addressof(taken.exception))
    finally:
        lib.wasmtime_exnref_unroot(ffi.addressof(taken.exception))


def _note_frames(raised: BaseException, frames: tuple[WasmFrame, ...]) -> None:
    """Add the WebAssembly frames to a Python exception as one note.

    A note that an inner call left is kept where it ends with the same frames, since the inner call
    saw more of the same stack; any other older note is replaced.
    """
    if not frames:
        return
    lines = [f"  {frame}" for frame in frames]
    with contextlib.suppress(BaseException):  # one that refuses attributes, in whatever way, stays without
        notes = [note for note in getattr(raised, "__notes__", ()) if isinstance(note, str)]
        for old in notes:
            if old.startswith(_NOTE):
                if old.splitlines()[-len(lines) :] == lines:
                    return
                notes.remove(old)
                break
        notes.append("\n".join([_NOTE, *lines]))
        raised.__notes__ = notes  # type: ignore[attr-defined]  # Python 3.10 has no add_note
