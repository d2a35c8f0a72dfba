"""Trying a config, or a module, in a process of its own, since the engine's library may end the process.

The parent calls `try_out` or `try_module`; the child, a fresh interpreter that loads this very package from
where the parent has it, calls `run`: it makes the engine, tells what that takes of the address space,
compiles and runs a small module, or compiles the one in question, and says so line by line. What it has not
said by its end has gone wrong.

A config that passed may still fail later in the parent for want of address space, which pools take a lot of,
so `check_room` looks for that much each time.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from . import _lowlevel
from ._child import die_quietly, interpreter
from ._config_rules import cache_file
from ._importing import Importing
from ._instructions import modules
from .config import PoolingConfig, ProfilingStrategy, WasmConfig, read_cache_file
from .errors import CompileError, WasmtimeError

if TYPE_CHECKING:
    from subprocess import CompletedProcess

#: Seconds after which a trial is given up.
_PATIENCE = 60
_TRIED_AT_MOST = 1024

#: A bit of everything that runs, so that what dies when it runs dies here.
_MODULE = """
(module
  (type $unary (func (param i32) (result i32)))
  (memory 1 2) (data (i32.const 8) "*") (table 2 funcref) (elem (i32.const 0) $load)
  (global $g (mut i64) (i64.const 0))
  (func $load (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "f") (param i32) (result i32)
    (global.set $g (i64.add (global.get $g) (i64.extend_i32_s (local.get 0))))
    (drop (f64.nearest (f64.div (f64.convert_i32_s (local.get 0)) (f64.sqrt (f64.const 2)))))
    (drop (i32.popcnt (i32.clz (i32.trunc_sat_f32_s (f32.const nan)))))
    (i32.add (local.get 0) (call_indirect (type $unary) (i32.const 8) (i32.const 0))))
  (func (export "grow")
    (drop (memory.grow (i32.const 1)))
    (memory.fill (i32.const 100) (i32.const 1) (i32.const 100)))
  (func (export "outside") (drop (i32.load (i32.const -1))))
  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func $deep (export "deep") (call $deep)))
"""

#: What trials of this process found: the address space and mappings that an engine takes, or why there is
#: none.
_found: dict[object, tuple[int, int, int] | str] = {}


def try_out(config: WasmConfig) -> None:
    """Make an engine with ``config`` in another process, unless this one did so before.

    Raises:
        WasmtimeError: The engine refuses ``config``, or the trial itself is not possible.
    """
    found = _find(config, _content(config), None)
    if isinstance(found, str):
        raise WasmtimeError(found)
    if config.pooling_allocation_strategy is not None:
        check_room(*found)


def try_module(config: WasmConfig, wasm: bytes) -> None:
    """Compile a module in another process, unless this one did so before.

    Raises:
        CompileError: The engine does not survive it.
        WasmtimeError: The trial itself is not possible.
    """
    with Importing():
        import hashlib  # noqa: PLC0415  few modules need a trial

    found = _find(config, hashlib.sha256(wasm).digest(), wasm)
    if isinstance(found, str):
        raise CompileError(found)


def _find(config: WasmConfig, subject: bytes, wasm: bytes | None) -> tuple[int, int, int] | str:
    """What a trial found, or finds now; ``subject`` tells it from others of the same config."""
    plain = config.replace(profiling_strategy=ProfilingStrategy.NONE)  # no trial writes files for a profiler
    found = _found.get((plain, subject))
    if found is None:
        found = _judge(plain, _start(plain, wasm))
        if len(_found) >= _TRIED_AT_MOST:
            _found.clear()
        _found[plain, subject] = found
    return found


def _content(config: WasmConfig) -> bytes:
    """What is in the file that configures the cache: it is part of the settings."""
    path = cache_file(config)
    return b"" if path is None else read_cache_file(path)


def _start(config: WasmConfig, wasm: bytes | None) -> CompletedProcess[str]:
    with Importing():
        import pickle  # noqa: PLC0415  few configs need a trial
        import subprocess  # noqa: PLC0415

    what = "this module and " if wasm is not None else ""
    why = f"{what}{config!r} must be tried in a process of their own before they may be used here: "
    command = interpreter(why, "_trial", [path for path in sys.path if isinstance(path, str)])
    settings = dict(config._given)
    if config.pooling_allocation_strategy is not None:  # as itself, not as a class of the user's
        settings["pooling_allocation_strategy"] = PoolingConfig(**config.pooling_allocation_strategy._given)
    try:
        return subprocess.run(  # noqa: S603  our own interpreter
            command,
            input=pickle.dumps((settings, wasm)).hex(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "RUST_BACKTRACE": "0", "RUST_LOG": "off"},
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WasmtimeError(f"{why}it did not end within {_PATIENCE} seconds") from None
    except (OSError, ValueError) as problem:
        raise WasmtimeError(why + str(problem)) from None


def _judge(config: WasmConfig, ended: CompletedProcess[str]) -> tuple[int, int, int] | str:
    """What the trial found.

    Raises:
        WasmtimeError: Nothing: the trial did not come to the engine.
    """
    said = dict(line.partition(" ")[::2] for line in ended.stdout.splitlines())
    if "ran" in said:
        taken, writable, maps = map(int, said["made"].split())
        return taken, writable, maps
    if "begun" not in said:
        raise WasmtimeError(
            f"{config!r} must be tried in a process of its own before it may be used here: "
            f"{sys.executable} ended with {ended.returncode}: {ended.stderr.strip()[-500:]}"
        )
    if "refused" in said:
        return said["refused"]
    reason = ended.stderr.partition("`Err` value: ")[2] or ended.stderr.partition("panicked at ")[2]
    reason = " ".join(reason.partition("\nnote: ")[0].split()) or f"its process ended with {ended.returncode}"
    if "made" in said:
        return f"the engine does not survive compiling or running with these settings: {reason} ({config!r})"
    return f"the engine refuses these settings: {reason} ({config!r})"


def check_room(taken: int, writable: int, maps: int) -> None:
    """Look whether this process has as much address space left as an engine took in its trial.

    Args:
        taken: Bytes of address space.
        writable: Bytes of these that are writable.
        maps: Mappings.

    Raises:
        WasmtimeError: It has not.
    """
    with Importing():
        import mmap  # noqa: PLC0415  for pools only

    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE: as the engine does
    used, most = _maps_used(), _maps_at_most()
    if used + maps > most:
        raise WasmtimeError(
            f"pooling_allocation_strategy: it takes {maps} mappings of memory, this process has {used} of at "
            f"most {most} (vm.max_map_count)"
        )
    probes = []
    try:
        for size, protection in ((taken - writable, 0), (writable, mmap.PROT_READ | mmap.PROT_WRITE)):
            if size > 0:
                probes.append(mmap.mmap(-1, size, flags=private, prot=protection))
    except (OSError, OverflowError, ValueError) as problem:
        raise WasmtimeError(
            f"pooling_allocation_strategy: it takes {taken} bytes of address space, which this process has "
            f"not left ({problem}): smaller pools, memory_reservation or memory_guard_size need less"
        ) from None
    finally:
        for probe in probes:
            probe.close()


def _maps_used() -> int:
    try:
        with open("/proc/self/maps", "rb") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return 0


def _maps_at_most() -> int:
    try:
        with open("/proc/sys/vm/max_map_count", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 65530


# ---- In the child


def run() -> None:
    """Try the settings, and the module if there is one, that stand on the standard input."""
    with Importing():
        import pickle  # noqa: PLC0415

    settings, wasm = pickle.loads(bytes.fromhex(sys.stdin.read()))  # noqa: S301
    config = WasmConfig(**settings)
    die_quietly()
    _this_is_the_trial()
    print("begun", flush=True)
    before = _taken()
    try:
        with Importing():
            from .engine import WasmEngine  # noqa: PLC0415  which imports this module

        engine = WasmEngine(config)
    except WasmtimeError as problem:
        print("refused", " ".join(str(problem).split()), flush=True)
        return
    print("made", *(max(0, now - then) for now, then in zip(_taken(), before, strict=True)), flush=True)
    if wasm is None:
        _use(engine)
    elif not _compiles_on_a_small_stack(engine, wasm):
        return
    print("ran", flush=True)


def _this_is_the_trial() -> None:
    """Let nothing start another one."""

    class Everything(dict[object, "tuple[int, int, int] | str"]):
        def get(self, _key: object, _default: object = None) -> Any:
            return 0, 0, 0

    global _found  # noqa: PLW0603
    _found = Everything()


def _compile(engine: Any, *sources: bytes | str) -> None:
    """Compile modules. An exception is as good as a result: it would be one in the parent, too."""
    with Importing():
        import contextlib  # noqa: PLC0415

        from . import WasmModule  # noqa: PLC0415  which imports this module

    for source in sources:
        with contextlib.suppress(WasmtimeError):
            WasmModule(engine, source)


def _compiles_on_a_small_stack(engine: Any, wasm: bytes) -> bool:
    """Compile a module where no more stack is left than the parent may have: DWARF can be nested deeply.

    Returns:
        Whether that came to its end.
    """
    with Importing():
        import threading  # noqa: PLC0415

    ended = []

    def work() -> None:
        _compile(engine, wasm)
        ended.append(True)

    threading.stack_size(_lowlevel.NATIVE_STACK)
    _lowlevel.NATIVE_STACK = 0  # some of it is gone when the engine comes, and it must not be refused
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return bool(ended)


def _use(engine: Any) -> None:
    """Compile and run something."""
    with Importing():
        import contextlib  # noqa: PLC0415

        from . import WasmInstance, WasmModule, WasmStore  # noqa: PLC0415  which import this module

    _compile(engine, *modules())
    try:
        module = WasmModule(engine, _MODULE)
        store = WasmStore(engine)
        if store.engine.config.consume_fuel:
            store.set_fuel(1 << 30)
        instance = WasmInstance(store, module)
    except WasmtimeError:
        return
    for name, *arguments in (("f", 1), ("grow",), ("outside",), ("divide", 0), ("deep",), ("f", 2)):
        with contextlib.suppress(WasmtimeError):
            instance.call(name, *arguments)


def _taken() -> tuple[int, int, int]:
    """Bytes of address space, bytes of these that are writable, mappings."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            fields = statm.read().split()
    except OSError:
        return 0, 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return int(fields[0]) * page, int(fields[5]) * page, _maps_used()
