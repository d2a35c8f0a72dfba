"""Compiling in a process of its own, which can be ended: nothing else interrupts the compiler.

The parent calls `compile_elsewhere` or `translate_elsewhere`; the child, a fresh interpreter, calls `run`: it
gets the settings and the WebAssembly, or WAT, by its standard input, and answers by its standard output with
one letter, and either what `WasmModule.serialize` makes or what is wrong. The parent loads that as it loads
any serialized module. The child never runs what it compiles.

What the answer takes in the parent is bounded, too: the compiled code, and what Python makes of imports and
exports.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ._child import die_quietly, interpreter
from ._importing import Importing
from ._lowlevel import lib
from ._process import _processors, _stack
from .config import WasmConfig
from .engine import WasmEngine
from .errors import CompileError, LimitError, WasmtimeError
from .module import WasmModule, to_binary
from .types import WasmFuncType, WasmTagType

if TYPE_CHECKING:
    from subprocess import Popen

_DONE, _INVALID, _NO_MEMORY, _REFUSED, _TOO_LARGE = b"=", b"!", b"m", b"?", b">"

#: Bytes of compiled code that are taken from a child with a limit on memory. What compilers make takes 1 to 5
#: times the size of its WebAssembly; 2 KiB of calls with many parameters take 8 MiB.
_CODE, _CODE_PER_BYTE = 16 << 20, 16
#: Imports and exports, their parameters and results counted, likewise: each takes some 100 bytes in Python.
_INTERFACE = 250_000

#: What the child gets of the environment: what the loader and our own libraries look at.
_NEEDED = (
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "ASAN_OPTIONS", "SYSTEMROOT"),
    *("RAYON_NUM_THREADS", "RUST_MIN_STACK"),
)
#: What the engine says, or leaves on the standard error, where there is no memory.
_NO_ROOM = ("memory allocation of ", "Cannot allocate memory", "mmap failed", "out of memory", "MemoryError")


def compile_elsewhere(
    engine: WasmEngine, content: bytes, *, timeout: float | None, memory: int | None
) -> WasmModule:
    """``content`` compiled for ``engine`` by another process.

    Args:
        engine: The engine.
        content: A binary module, or WAT.
        timeout: Seconds that the process may take in all; ``None`` is no limit.
        memory: Bytes of memory that compiling may take there; ``None`` is no limit.

    Raises:
        CompileError: It is not valid.
        LimitError: It takes longer, or more.
        WasmtimeError: The process cannot be started, or ended without an answer.
    """
    settings = engine._plain_config._to_compile(cache_config_load=False)._given
    return WasmModule.deserialize(engine, _ask(dict(settings), content, timeout, memory))


def translate_elsewhere(text: bytes, *, timeout: float | None, memory: int | None) -> bytes:
    """The binary module of ``text``, which is WAT, translated by another process.

    The arguments and errors are those of `compile_elsewhere`.
    """
    return bytes(_ask(None, text, timeout, memory))


def _ask(
    settings: dict[str, Any] | None, content: bytes, timeout: float | None, memory: int | None
) -> memoryview:
    """What another process makes of ``content``: code compiled with ``settings``, or else a binary module."""
    with Importing():
        import pickle  # noqa: PLC0415  rarely needed
        import subprocess  # noqa: PLC0415  slow to import, and rarely needed

    why = (
        "compile_timeout and compile_memory need a process of their own, which cannot be started "
        "(None for both lifts these limits): "
    )
    backend = sys.modules.get("_cffi_backend")
    paths = [os.path.dirname(os.path.abspath(str(backend.__file__)))] if backend is not None else []
    command = interpreter(why, "_elsewhere", paths)
    head = pickle.dumps((settings, memory, os.getpid(), len(content)))
    request = b"".join((len(head).to_bytes(8, "little"), head, content))
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    try:
        process = subprocess.Popen(  # noqa: S603  our own interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**environment, "MALLOC_ARENA_MAX": "2", "RUST_BACKTRACE": "0", "RUST_LOG": "off"},
        )
    except (OSError, ValueError) as problem:
        raise WasmtimeError(why + str(problem)) from None
    try:
        answer, said = process.communicate(request, timeout)
    except subprocess.TimeoutExpired:
        raise LimitError(
            f"compile_timeout: compiling {len(content)} bytes took longer than {timeout:g} seconds",
            "compile_timeout",
        ) from None
    finally:
        _end(process)
    return _judge(process.returncode, answer, said.decode(errors="replace"), memory)


def _end(process: Popen[bytes]) -> None:
    """Let nothing be left of the process, however it came here."""
    try:
        process.kill()  # nothing, if it has ended
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def _judge(status: int, answer: bytes, said: str, memory: int | None) -> memoryview:
    kind, content = answer[:1], memoryview(answer)[1:]
    if status == 0 and kind == _DONE:
        return content
    if status == 0 and kind == _INVALID:
        raise CompileError(bytes(content).decode(errors="replace"))
    if status == 0 and kind == _REFUSED:
        raise WasmtimeError(bytes(content).decode(errors="replace"))
    if status == 0 and kind == _TOO_LARGE:
        raise LimitError("compile_memory: " + bytes(content).decode(errors="replace"), "compile_memory")
    if memory is not None and (kind == _NO_MEMORY or any(hint in said for hint in _NO_ROOM)):
        raise LimitError(
            f"compile_memory: compiling took more than {memory} bytes of memory", "compile_memory"
        )
    last = (said.strip().splitlines() or ["it said nothing"])[-1][-500:]
    raise WasmtimeError(f"the process that was to compile ended with status {status}: {last}")


# ---- In the child


def run() -> None:
    """Compile what is asked for on the standard input."""
    with Importing():
        import pickle  # noqa: PLC0415
        import signal  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    asked, answer = sys.stdin.buffer, sys.stdout.buffer
    settings, memory, parent, size = pickle.loads(asked.read(int.from_bytes(asked.read(8), "little")))  # noqa: S301
    if not lib.wrt_end_with_parent(parent):
        return
    wasm = asked.read()
    if len(wasm) != size:  # the parent has gone
        return
    die_quietly()
    engine = None if settings is None else WasmEngine(WasmConfig(**settings))
    if memory is not None:
        _limit(memory)
    kind, content = _make(engine, wasm, memory)
    _limit(None)
    answer.write(kind)
    answer.write(content)
    answer.flush()
    os._exit(0)  # taking everything apart would take its time


def _make(engine: WasmEngine | None, content: bytes, memory: int | None) -> tuple[bytes, bytes]:
    """Compile or translate ``content``, and say what came of it."""
    try:
        if engine is None:
            return _DONE, to_binary(content)
        module = WasmModule(engine, content)
        too_large = None if memory is None else _too_large(module, len(content))
        if too_large is not None:
            return _TOO_LARGE, too_large.encode()
        return _DONE, module.serialize()
    except MemoryError:
        return _NO_MEMORY, b""
    except WasmtimeError as problem:
        text = str(problem)
        if any(hint in text for hint in _NO_ROOM):
            return _NO_MEMORY, b""
        return _INVALID if isinstance(problem, CompileError) else _REFUSED, text.encode(errors="replace")


def _too_large(module: WasmModule, size: int) -> str | None:
    """Why a module that was compiled from ``size`` bytes would take too much in the parent, or ``None``."""
    first, end = module.image_range
    most = _CODE + size * _CODE_PER_BYTE
    if end - first > most:
        return (
            f"the compiled code takes {end - first} bytes, for {size} bytes of WebAssembly it may take {most}"
        )
    values = 0
    for item in (*module.imports, *module.exports):
        kind = item.type.func if isinstance(item.type, WasmTagType) else item.type
        values += 1 + (len(kind.params) + len(kind.results) if isinstance(kind, WasmFuncType) else 0)
    if values > _INTERFACE:
        return (
            f"imports and exports, with their parameters and results, are {values}, allowed are {_INTERFACE}"
        )
    return None


def _limit(memory: int | None) -> None:
    """Let this process take so much more address space, and the stacks of the compiler's threads."""
    with Importing():
        import resource  # noqa: PLC0415

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft: Any = hard
    if memory is not None:
        with open("/proc/self/statm", "rb") as statm:
            taken = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        soft = taken + memory + _processors() * _stack()
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
