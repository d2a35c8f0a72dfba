"""The command line: ``wasmtime-rt``, or ``python -m wasmtime_rt``.

What follows the name of a program goes to that program untouched. Its exit status is the one of the command;
others are 124 where its time was over, 125 where it could not be run, and 134 where it trapped, as with an
abort. Commands other than ``run`` end with 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from . import __version__, engine_version
from ._console import problem, progress, table
from ._host_files import MAX_SOURCE, open_input, read_file, write_file
from ._loading import limits_for, load, translate
from ._stamp import read_stamp
from ._text import listed, shown_name
from .config import WasmConfig
from .engine import WasmEngine
from .errors import CompileError, LinkError, WasmExit, WasmtimeError, WasmTimeout, WasmTrap
from .module import WasmModule, read_content
from .module_cache import ModuleCache
from .sandbox import MAX_MODULE_SIZE, MEMORY, Sandbox
from .types import WasmExternType, WasmFuncType
from .wasi import HostDir, rw

TIME_OVER, CANNOT_RUN, TRAPPED = 124, 125, 134

_SIZE = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


class _Refused(Exception):
    """What the command line says in one line."""


# ---- Arguments


def size(text: str) -> int:
    """Bytes, as in ``65536``, ``64k``, ``512MiB``."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"expected bytes, as in 64k, 512M or 1GiB, got {text!r}")
    return int(match[1]) << 10 * " kmgt".index(match[2].lower() or " ")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _or_none(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """How to read a limit: as ``convert`` does, or ``none``, which lifts it."""
    return lambda text: None if text.lower() == "none" else convert(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def mount(text: str) -> tuple[str, HostDir]:
    """A folder of the guest and the one of the host, as in ``host::guest:rw``."""
    writable = text.endswith(":rw")
    host, _, guest = text.removesuffix(":rw").partition("::")
    if not host:
        raise argparse.ArgumentTypeError(f"expected HOST[::GUEST][:rw], got {text!r}")
    return guest or host, rw(host) if writable else host


class _Mounts(argparse.Action):
    """Collects mounts, and refuses two folders with one name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002  which argparse gives
    ) -> None:
        """Add one mount."""
        guest, host = values
        mounts = dict(getattr(namespace, self.dest))
        if guest in mounts:
            parser.error(f"--dir: two folders have the name {shown_name(guest)} for the program")
        setattr(namespace, self.dest, {**mounts, guest: host})


def variable(text: str) -> tuple[str, str]:
    """A variable and its value; one without a value is taken from the environment."""
    name, given, value = text.partition("=")
    if not given:
        if name not in os.environ:
            raise argparse.ArgumentTypeError(f"{name} is not in the environment; NAME=VALUE sets it")
        value = os.environ[name]
    return name, value


def _setting(text: str) -> tuple[str, Any]:
    name, given, value = text.partition("=")
    if not given:
        return name, True
    try:
        return name, json.loads(value.lower() if value.lower() in {"true", "false"} else value)
    except ValueError:
        return name, value


def _typed(name: str, value: Any) -> Any:
    """``value`` of the setting ``name``: members by their names, and sizes as elsewhere."""
    default = getattr(WasmConfig(), name, None)
    if isinstance(default, Enum) and isinstance(value, str):
        members = type(default).__members__
        if value.upper() not in members:
            raise _Refused(f"{name}: expected one of {', '.join(members).lower()}, got {value!r}")
        return members[value.upper()]
    if type(default) is int and isinstance(value, str) and _SIZE.fullmatch(value):
        return size(value)
    return value


def _config(settings: Sequence[tuple[str, Any]], **others: Any) -> WasmConfig:
    try:
        return WasmConfig(**{**others, **{name: _typed(name, value) for name, value in settings}})
    except (TypeError, ValueError) as refused:
        raise _Refused(str(refused)) from None


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    made = argparse.ArgumentParser(
        prog="wasmtime-rt", description="Run WebAssembly, compile it, look into it.", allow_abbrev=False
    )
    made.add_argument(
        "--version", action="version", version=f"wasmtime-rt {__version__}, Wasmtime {engine_version}"
    )
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--verbose", action="store_true", help="show the whole traceback of an error")
    cached = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    cached.add_argument("--cache", metavar="DIR", help="where compiled code is kept; 'off' for nowhere")
    tuned = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    tuned.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=_setting,
        action="append",
        default=[],
        help="a setting of WasmConfig, as in --set consume_fuel=true, --set strategy=winch, "
        "--set max_wasm_stack=1MiB; may be repeated",
    )
    compiled = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    compiled.add_argument(
        "--compile-timeout", metavar="SECONDS", type=_or_none(_positive), default=...,
        help="give up compiling after so many seconds: by default 60, and 10 more for each MiB; or 'none'",
    )  # fmt: skip
    compiled.add_argument(
        "--compile-memory", metavar="SIZE", type=_or_none(size), default=...,
        help="let compiling take so much memory: by default 256M, and 40 times the module's size; or 'none'",
    )  # fmt: skip
    compiled.add_argument(
        "--max-module-size", metavar="SIZE", type=_or_none(size), default=MAX_MODULE_SIZE,
        help="compile no more than so many bytes, by default 128M; 'none' for no limit",
    )  # fmt: skip
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str, *parents: Any) -> Any:
        command = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common, *parents],
            allow_abbrev=False,
        )  # fmt: skip
        command.set_defaults(run=run)
        return command

    run = add("run", _run, "run a program, or a function of a module", cached, compiled)
    run.usage = "wasmtime-rt run [options] PROGRAM [arguments for the program ...]"
    _add_run_options(run)

    compile_ = add("compile", _compile, "compile a module to a file that loads at once", tuned, compiled)
    compile_.add_argument("module", metavar="MODULE")
    compile_.add_argument("-o", "--output", metavar="FILE", help="by default the module's name with .cwasm")

    inspect = add("inspect", _inspect, "show what a module imports, exports and needs", compiled)
    inspect.add_argument("module", metavar="MODULE")
    inspect.add_argument("--json", action="store_true", help="as JSON")

    wat = add("wat2wasm", _wat2wasm, "translate the text format into a binary module", compiled)
    wat.add_argument("source", metavar="WAT", help="a file, or - for the standard input")
    wat.add_argument("-o", "--output", metavar="FILE", help="by default its name with .wasm; - for stdout")

    validate = add("validate", _validate, "say whether modules are valid", tuned, compiled)
    validate.add_argument("modules", metavar="MODULE", nargs="+")

    bench = add("bench", _bench, "call a function many times and show how long it takes", cached, compiled)
    bench.add_argument("module", metavar="MODULE")
    bench.add_argument("function", metavar="FUNCTION", help="the name of an export")
    bench.add_argument("args", metavar="ARGUMENT", nargs="*")
    bench.add_argument(
        "-n", "--number", type=_count, default=1000, metavar="N", help="calls, 1000 by default"
    )
    bench.add_argument("--warmup", type=_count, default=10, metavar="N", help="calls before, 10 by default")
    bench.add_argument("--json", action="store_true", help="as JSON")

    info = add("info", _info, "show versions and the cache")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.add_argument("--clear-cache", action="store_true", help="remove what is in the cache first")
    return made


def _add_run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("program", metavar="PROGRAM", help="a WASI program, or with --invoke any module")
    run.add_argument(
        "--invoke", metavar="NAME", help="call this export with the arguments, and print its results"
    )
    run.add_argument(
        "--dir",
        metavar="HOST[::GUEST][:rw]",
        type=mount,
        action=_Mounts,
        default={},
        help="a folder that the program sees, read-only unless it ends with :rw; may be repeated",
    )
    run.add_argument(
        "--env",
        metavar="NAME[=VALUE]",
        type=variable,
        action="append",
        default=[],
        help="a variable that the program sees; may be repeated",
    )
    run.add_argument("--inherit-env", action="store_true", help="let it see all of this environment")
    run.add_argument("--argv0", metavar="NAME", help="its own name, by default that of its file")
    run.add_argument("--timeout", metavar="SECONDS", type=_positive, help="end it after so many seconds")
    run.add_argument("--fuel", metavar="N", type=_count, help="end it after about so many instructions")
    run.add_argument(
        "--precompiled",
        action="store_true",
        help="PROGRAM is machine code that 'compile' wrote: it runs with all rights of this process",
    )
    run.add_argument(
        "--memory", metavar="SIZE", type=_or_none(size), default=MEMORY,
        help="let its memory grow to so much: 512M, 2GiB; by default 1GiB; 'none' for no limit",
    )  # fmt: skip
    run.add_argument("--profile", metavar="FILE", help="write a profile for https://profiler.firefox.com")


def _split(options: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is for us, the program's name included, and what is for the program."""
    with_value = {text for action in options._actions if action.nargs != 0 for text in action.option_strings}
    at = 0
    while at < len(argv):
        word = argv[at]
        if word == "--":
            return [*argv[:at], "--", *argv[at + 1 : at + 2]], list(argv[at + 2 :])
        if not word.startswith("-") or word == "-":
            return list(argv[: at + 1]), list(argv[at + 1 :])
        at += 2 if word in with_value else 1
    return list(argv), []


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Its arguments; those of this process by default.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    options = parser()
    for_program: list[str] = []
    if given[:1] == ["run"]:
        subparsers = next(a for a in options._actions if isinstance(a, argparse._SubParsersAction))
        ours, for_program = _split(subparsers.choices["run"], given[1:])
        given = ["run", *ours]
    arguments = options.parse_args(given)
    arguments.for_program = for_program
    failed = CANNOT_RUN if arguments.command == "run" else 1
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # and nothing more at the end of the interpreter
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return failed
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (_Refused, WasmtimeError, OSError, ValueError, TypeError, OverflowError, KeyError) as refused:
        if arguments.verbose:
            raise
        _say(refused)
        if arguments.command == "run" and isinstance(refused, WasmTrap):
            return TIME_OVER if isinstance(refused, WasmTimeout) else TRAPPED
        return failed
    else:
        return int(status)


def _say(refused: BaseException) -> None:
    if isinstance(refused, WasmTrap) and refused.frames and not isinstance(refused, WasmTimeout):
        where = refused.frames[0]
        reason = str(refused).partition("\n")[0].removeprefix("wasm trap: ")
        problem(f"{reason} in {where}")
    elif isinstance(refused, OSError) and refused.filename is not None:
        problem(f"{refused.filename}: {refused.strerror}")
    elif isinstance(refused, KeyError):
        problem(str(refused.args[0]))
    else:
        problem(_one_line(refused) or type(refused).__name__)


def _one_line(refused: BaseException) -> str:
    """What went wrong, with the reasons that stand in further lines."""
    first, *rest = [line.strip() for line in str(refused).splitlines() if line.strip()] or [""]
    if isinstance(refused, LinkError) and rest:
        return f"{first}: {'; '.join(rest)}"
    place = re.search(r"--> .*:(\d+:\d+)$", str(refused), re.MULTILINE)
    if place and isinstance(refused, CompileError):
        return f"{first} at {place[1]}"
    return first


# ---- Commands

#: Rows that ``inspect`` shows as a table.
_ROWS_AT_MOST = 1000


def _cache(arguments: argparse.Namespace) -> Any:
    if arguments.cache is None:
        return True
    return False if arguments.cache == "off" else arguments.cache


def _compile_limits(arguments: argparse.Namespace) -> dict[str, Any]:
    """The limits on compiling, as `Sandbox` takes them."""
    return {
        name: getattr(arguments, name) for name in ("compile_timeout", "compile_memory", "max_module_size")
    }


def _binary(content: bytes, arguments: argparse.Namespace) -> bytes:
    """The binary module of ``content``, a module or WAT, translated within the limits on compiling."""
    most = arguments.max_module_size
    if most is not None and len(content) > most:
        raise _Refused(f"the module has {len(content)} bytes, allowed are {most}: --max-module-size")
    return translate(content, *_limits(content, arguments))


def _limits(content: bytes, arguments: argparse.Namespace) -> tuple[float | None, int | None]:
    return limits_for(len(content), arguments.compile_timeout, arguments.compile_memory)


def _load(engine: WasmEngine, wasm: bytes, arguments: argparse.Namespace) -> WasmModule:
    """``wasm`` compiled within the limits on compiling."""
    return load(engine, wasm, False, arguments.compile_timeout, arguments.compile_memory)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"


@contextlib.contextmanager
def _compiling(path: str) -> Iterator[None]:
    with progress(f"compiling {os.path.basename(path)} ({_megabytes(os.stat(path).st_size)})"):
        yield


#: What compiled modules may have been compiled with.
_RUNNABLE: Sequence[dict[str, Any]] = (
    {"epoch_interruption": True},
    {"epoch_interruption": True, "consume_fuel": True},
    {"consume_fuel": True},
)


def _precompiled(path: str) -> WasmModule:
    """The module that ``compile`` wrote to a file."""
    for settings in _RUNNABLE:
        with contextlib.suppress(WasmtimeError):
            return WasmModule.deserialize_file(WasmEngine(WasmConfig(**settings)), path)
    return WasmModule.deserialize_file(WasmEngine(), path)


def _is_compiled(path: str) -> bool:
    with open(open_input(path, "PROGRAM"), "rb") as file:
        return file.read(4) == b"\x7fELF"


def _run(arguments: argparse.Namespace) -> int:
    program: str | WasmModule = arguments.program
    if arguments.precompiled:
        program = _precompiled(arguments.program)
    elif _is_compiled(arguments.program):
        raise _Refused(
            f"{arguments.program}: it is machine code, not WebAssembly: --precompiled runs it, with all "
            "rights of this process"
        )
    if isinstance(program, WasmModule):
        config = program.engine.config
        for option, setting in (
            ("timeout", "epoch_interruption"),
            ("profile", "epoch_interruption"),
            ("fuel", "consume_fuel"),
        ):
            if getattr(arguments, option) is not None and not getattr(config, setting):
                raise _Refused(f"--{option} needs a module compiled with --set {setting}=true")
    with _compiling(arguments.program):
        sandbox = Sandbox(
            program,
            timeout=arguments.timeout,
            fuel=arguments.fuel,
            memory=arguments.memory,
            max_output=None,  # which is for output that is captured
            cache=_cache(arguments),
            **_compile_limits(arguments),
        )
    exported = {export.name: export.type for export in sandbox.module.exports}
    if arguments.invoke is None and "_start" not in exported:
        functions = [name for name, kind in exported.items() if isinstance(kind, WasmFuncType)]
        raise _Refused(
            f"{arguments.program}: no program, for it exports no _start; "
            f"--invoke NAME calls one of {listed(functions) or 'nothing'}"
        )
    environment = dict(os.environ) if arguments.inherit_env else {}
    environment.update(arguments.env)
    name = arguments.invoke or "_start"
    words = [] if arguments.invoke is None else _values(name, exported.get(name), arguments.for_program)
    sys.stdout.flush()
    # Nothing of Python's can run while the program does: let Ctrl-C end the process.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL) if not arguments.profile else None
    try:
        with sandbox.start(
            () if arguments.invoke else arguments.for_program,
            argv0=arguments.argv0 or os.path.basename(arguments.program),
            env=environment,
            stdin="inherit",
            stdout="inherit",
            stderr="inherit",
            mounts=arguments.dir,
        ) as program_:
            watched = (
                program_.store.profile(arguments.profile) if arguments.profile else contextlib.nullcontext()
            )
            with watched:
                returned = program_.call(name, *words)
    except WasmExit as ended:
        return ended.code if 0 <= ended.code <= 255 else 1
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if arguments.invoke is not None and returned is not None:
        for value in returned if isinstance(returned, tuple) else (returned,):
            print(value)
    return 0


def _values(name: str, kind: WasmExternType | None, words: Sequence[str]) -> list[int | float]:
    """What ``words`` are as arguments of the function ``name``."""
    if not isinstance(kind, WasmFuncType):
        raise _Refused(f"no function {name!r} is exported" if kind is None else f"{name!r} is no function")
    if len(words) != len(kind.params):
        raise _Refused(f"{name}: expected {len(kind.params)} arguments, {kind}, got {len(words)}")
    values: list[int | float] = []
    for word, wanted in zip(words, kind.params, strict=True):
        try:
            values.append(float(word) if wanted.kind in {"f32", "f64"} else int(word, 0))
        except ValueError:
            raise _Refused(f"{name}: expected {wanted}, got {word!r}") from None
        if wanted.kind not in {"i32", "i64", "f32", "f64"}:
            raise _Refused(f"{name}: {wanted} cannot be given on the command line")
    return values


def _write(path: str, data: bytes, mode: int = 0o666) -> None:
    if path == "-":
        sys.stdout.buffer.write(data)
    else:
        write_file(path, "--output", data, mode)


def _compile(arguments: argparse.Namespace) -> int:
    target = arguments.output or os.path.splitext(arguments.module)[0] + ".cwasm"
    engine = WasmEngine(_config(arguments.set))
    began = time.perf_counter()
    with _compiling(arguments.module):
        wasm = _binary(read_content(Path(arguments.module), arguments.max_module_size), arguments)
        data = _load(engine, wasm, arguments).serialize()
    _write(target, data, 0o644)  # for nobody else to write: it is machine code
    if target != "-":
        print(f"{target}: {_megabytes(len(data))}, compiled in {time.perf_counter() - began:.2f} s")
    return 0


#: Features of WebAssembly, and what is off in an engine that has not got them.
_FEATURES = {
    "bulk_memory": [
        "wasm_bulk_memory",
        "wasm_reference_types",
        "wasm_function_references",
        "wasm_gc",
        "wasm_exceptions",
    ],
    "exceptions": ["wasm_exceptions"],
    "function_references": ["wasm_function_references", "wasm_gc"],
    "gc": ["wasm_gc"],
    "memory64": ["wasm_memory64"],
    "multi_memory": ["wasm_multi_memory"],
    "multi_value": ["wasm_multi_value"],
    "reference_types": ["wasm_reference_types", "wasm_function_references", "wasm_gc", "wasm_exceptions"],
    "relaxed_simd": ["wasm_relaxed_simd"],
    "simd": ["wasm_simd", "wasm_relaxed_simd"],
    "tail_call": ["wasm_tail_call"],
    "threads": ["wasm_threads"],
    "wide_arithmetic": ["wasm_wide_arithmetic"],
}


def _features(wasm: bytes) -> list[str]:
    """The features that a module cannot do without: those whose absence makes it invalid."""
    used = []
    for name, off in _FEATURES.items():
        settings: dict[str, Any] = dict.fromkeys(off, False)
        try:
            engine = WasmEngine(WasmConfig(**settings))
        except WasmtimeError:
            continue
        if not WasmModule.is_valid(engine, wasm):
            used.append(name)
    return used


def _inspect(arguments: argparse.Namespace) -> int:
    path = arguments.module
    if _is_compiled(path):
        return _inspect_compiled(path, as_json=arguments.json)
    with _compiling(path):
        wasm = _binary(read_content(Path(path), arguments.max_module_size), arguments)
        module = _load(WasmEngine(WasmConfig(wasm_custom_page_sizes=True)), wasm, arguments)
        features = _features(wasm)
    names = [export.name for export in module.exports]
    kind = "command" if "_start" in names else "reactor" if "_initialize" in names else "library"
    wasi = sorted({wanted.module for wanted in module.imports if wanted.module.startswith("wasi")})
    if arguments.json:
        told = {
            "path": path,
            "size": len(wasm),
            "kind": kind,
            "wasi": wasi,
            "features": features,
            "imports": [
                {"module": wanted.module, "name": wanted.name, "type": str(wanted.type)}
                for wanted in module.imports
            ],
            "exports": [{"name": export.name, "type": str(export.type)} for export in module.exports],
        }
        print(json.dumps(told, indent=2))
        return 0
    print(f"{path}: {len(wasm)} bytes, a {kind}{' for ' + listed(wasi) if wasi else ''}")
    print(f"features: {', '.join(features) or 'none beyond the first version'}")
    if module.imports:
        rows = [(one.module, one.name, one.type) for one in module.imports]
        _table_of_names(f"{len(rows)} imports", ("module", "name", "type"), rows)
    if module.exports:
        exports = [(one.name, one.type) for one in module.exports]
        _table_of_names(f"{len(exports)} exports", ("name", "type"), exports)
    return 0


def _inspect_compiled(path: str, *, as_json: bool) -> int:
    """Show the record at the end of a serialized module, without loading the module."""
    with open(open_input(path, "MODULE"), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = read_stamp(path, size, lambda at, count: os.pread(file.fileno(), count, at))
    if found is None:
        raise _Refused(f"{path}: machine code that WasmModule.serialize did not write")
    told = {
        "path": path,
        "size": size,
        "kind": "compiled module",
        "engine": f"Wasmtime {found.engine}",
        "settings": found.settings,
        "source": found.source,
    }
    if as_json:
        print(json.dumps(told, indent=2))
        return 0
    print(f"{path}: {size} bytes, a compiled module, which was not loaded")
    rows = [("engine", f"Wasmtime {found.engine}"), *found.settings.items()]
    if found.source is not None:
        rows.append(("SHA-256 of the WebAssembly", found.source))
    _table_of_names("compiled with", ("", ""), rows)
    return 0


def _table_of_names(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print what a module says of itself, bounded."""
    table(title, columns, [[shown_name(str(cell)) for cell in row] for row in rows[:_ROWS_AT_MOST]])
    if len(rows) > _ROWS_AT_MOST:
        print(f"  and {len(rows) - _ROWS_AT_MOST} more, which --json lists")


def _wat2wasm(arguments: argparse.Namespace) -> int:
    source = arguments.source
    if source == "-":
        most = MAX_SOURCE if arguments.max_module_size is None else arguments.max_module_size
        text = sys.stdin.buffer.read(most + 1)  # and `_binary` refuses more
    else:
        text = read_file(source, "WAT", arguments.max_module_size)
    target = arguments.output or ("-" if source == "-" else os.path.splitext(source)[0] + ".wasm")
    try:
        _write(target, _binary(text, arguments))
    except CompileError as refused:
        place = re.search(r":(\d+):(\d+)", str(refused))
        at = f":{place[1]}:{place[2]}" if place else ""
        if arguments.verbose:
            raise
        raise _Refused(f"{source}{at}: {str(refused).splitlines()[0]}") from None
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    engine, status = WasmEngine(_config(arguments.set)), 0
    for path in arguments.modules:
        wrong = _what_is_wrong(engine, path, arguments)
        print(f"{path}: {wrong or 'valid'}")
        status |= bool(wrong)
    return status


def _what_is_wrong(engine: WasmEngine, path: str, arguments: argparse.Namespace) -> str:
    try:
        WasmModule.validate(engine, _binary(read_content(Path(path), arguments.max_module_size), arguments))
    except CompileError as refused:
        if arguments.verbose:
            raise
        place = re.search(r":(\d+:\d+)", str(refused))
        first = " ".join(str(refused).split("\n", 1)[0].split())
        return f"{place[1]}: {first}" if place else first
    return ""


def _bench(arguments: argparse.Namespace) -> int:
    if not arguments.number:
        raise _Refused("--number: expected 1 or more")
    with _compiling(arguments.module):
        sandbox = Sandbox(
            arguments.module, timeout=None, cache=_cache(arguments), **_compile_limits(arguments)
        )
    exported = {export.name: export.type for export in sandbox.module.exports}
    values = _values(arguments.function, exported.get(arguments.function), arguments.args)
    with sandbox.start(stdout="null", stderr="null") as program:
        function = program.exports[arguments.function]
        for _ in range(arguments.warmup):
            function(*values)  # type: ignore[operator]  # it was looked at above
        clock, times = time.perf_counter_ns, []
        for _ in range(arguments.number):
            began = clock()
            function(*values)  # type: ignore[operator]
            times.append(clock() - began)
    times.sort()
    found = {
        "calls": len(times),
        "min": times[0],
        "median": statistics.median(times),
        "mean": statistics.fmean(times),
        "p95": times[math.ceil(0.95 * len(times)) - 1],
        "p99": times[math.ceil(0.99 * len(times)) - 1],
        "max": times[-1],
    }
    if arguments.json:
        print(json.dumps({"function": arguments.function, "unit": "ns", **found}))
        return 0
    rows = [(name, _time(value)) for name, value in found.items() if name != "calls"]
    table(f"{arguments.function}: {len(times)} calls", ("", "time"), rows)
    table("how many took how long", ("up to", "calls", ""), _histogram(times))
    return 0


def _time(nanoseconds: float) -> str:
    for unit, size_ in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size_:
            return f"{nanoseconds / size_:.2f} {unit}"
    return f"{nanoseconds:.0f} ns"


def _histogram(times: Sequence[int]) -> list[tuple[str, int, str]]:
    """Sorted times in classes, each twice as long as the one before."""
    classes: dict[int, int] = {}
    for one in times:
        top = 1 << max(one - 1, 0).bit_length()
        classes[top] = classes.get(top, 0) + 1
    most = max(classes.values())
    return [(_time(top), count, "#" * math.ceil(40 * count / most)) for top, count in sorted(classes.items())]


def _info(arguments: argparse.Namespace) -> int:
    import platform  # noqa: PLC0415  slow to import

    cache = ModuleCache()
    if arguments.clear_cache:
        cache.clear()
    told: dict[str, Any] = {
        "wasmtime-rt": __version__,
        "engine": f"Wasmtime {engine_version}",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cache": cache.folder,
        **({} if cache.problem is None else {"cache not used": cache.problem}),
        "cache entries": len(cache),
        "cache bytes": cache.size,
        "cache bytes at most": cache.max_size,
        "features": sorted(
            name.removeprefix("wasm_") for name in dir(WasmConfig)
            if name.startswith("wasm_") and getattr(WasmConfig(), name) is True
        ),
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(told, indent=2))
        return 0
    rows = [
        (name, ", ".join(value) if isinstance(value, list) else "off" if value is None else str(value))
        for name, value in told.items()
    ]
    table("wasmtime-rt", ("", ""), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
