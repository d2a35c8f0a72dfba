"""Running programs that nobody trusts: `run_wasi` for one run, `Sandbox` for many.

A program sees what it is given and nothing else, and may take so much: seconds, bytes of memory, bytes of
output, and a module of so many bytes to compile. All of that has a default. What a limit cannot reach is said
where it is: the compiler, which has limits of its own, and writing to an inherited output.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import EllipsisType, MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from ._abstract import WasmtimeResource
from ._deadline import limited
from ._importing import Importing
from ._loading import load
from ._record import Record
from .config import PoolingConfig, WasmConfig
from .engine import WasmEngine
from .errors import (
    ClosedError,
    LimitError,
    MisuseError,
    WasmExit,
    WasmtimeError,
)
from .instance import WasmExports, WasmInstance
from .instance_pre import WasmInstancePre
from .linker import WasmLinker
from .memory import WasmMemory
from .module import WasmModule, read_content
from .store import StoreLimits, WasmStore
from .types import WasmFuncType
from .wasi import HostDir, Input, Output, WasiConfig

if TYPE_CHECKING:
    from .module_cache import ModuleCache
    from .sandbox_pool import SandboxPool

Program: TypeAlias = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, WasmModule]
"""The path of a file, the bytes of a module (or of WAT), or a module that was compiled already."""
Imports: TypeAlias = Mapping[str, Mapping[str, Callable[..., Any]]]
Cache: TypeAlias = "bool | str | os.PathLike[str] | ModuleCache"

MIB = 1 << 20
TIMEOUT = 60.0
"""Seconds that a run may take, unless something else is said."""
MEMORY = 1024 * MIB
"""Bytes that a program's memory may grow to, unless something else is said."""
MAX_OUTPUT = 16 * MIB
"""Bytes of ``stdout``, and of ``stderr``, that are taken, unless something else is said."""
MAX_WRITTEN = 1024 * MIB
"""Bytes that a program may write to mounted folders, unless something else is said."""
MAX_CREATED = 10_000
"""Files, folders and links that a program may create in mounted folders, unless something else is said."""
MAX_MODULE_SIZE = 128 * MIB
"""Bytes of WebAssembly that are compiled, unless something else is said."""
_TABLE_ELEMENTS, _TABLES, _INSTANCES = 1 << 20, 8, 4

_NO_TYPE = WasmFuncType()
_FUEL_MAX = 2**64 - 1

#: What the engine says where a store's limits refuse what a module starts with, and which limit that is.
_REFUSALS = (
    ("memory", re.compile(r"memory minimum size of \d+ pages? exceeds memory limits")),
    ("tables", re.compile(r"table minimum size of \d+ elements? exceeds table limits")),
    ("memory", re.compile(r"resource limit exceeded: memory count")),
    ("tables", re.compile(r"resource limit exceeded: table count")),
    ("instances", re.compile(r"resource limit exceeded: instance count")),
)


class WasiResult(Record):
    """What a program did.

    Attributes:
        exit_code: The code that it exited with, 0 where it simply ended; ``None`` where something ended it,
            in the ``result`` of an exception.
        stdout: What it wrote, where that was captured.
        stderr: The same for errors.
        truncated: Which of ``"stdout"`` and ``"stderr"`` went beyond ``max_output``; empty if none did.
        duration: Seconds that it ran, compilation not counted.
        fuel_used: Units of fuel that it used, where fuel is counted.
        peak_memory: Bytes that its memory came to, where it exports it as ``memory``, as WASI wants.
        exceeded: Which limits of files refused something: ``"max_descriptors"``, ``"max_written"``,
            ``"max_created"``, or ``"RLIMIT_NOFILE"`` of this process.
    """

    exit_code: int | None
    stdout: bytes | None
    stderr: bytes | None
    truncated: tuple[str, ...]
    duration: float
    fuel_used: int | None
    peak_memory: int | None
    exceeded: tuple[str, ...] = ()


class _Captured:
    """Output that is kept, in what counts at the time: no `io.BytesIO`, which finalizers find closed."""

    __slots__ = ("into",)

    def __init__(self) -> None:
        self.into = bytearray()

    def write(self, data: bytes) -> None:
        self.into += data


class SandboxInstance(WasmtimeResource):
    """A program that is alive in a store of its own: `Sandbox.start` makes it.

    One thread at a time may use it. After a trap its state is whatever the trap left: `trapped` tells.

    >>> library = b'''(module (memory (export "memory") 1) (global $n (mut i32) (i32.const 0))
    ...     (func (export "_initialize") (global.set $n (i32.const 40)))
    ...     (func (export "add") (param i32) (result i32) (i32.add (global.get $n) (local.get 0))))'''
    >>> with Sandbox(library).start() as program:
    ...     program.call("add", 2)
    42
    """

    __slots__ = (
        "__weakref__",
        "_captured",
        "_duration",
        "_exit_code",
        "_fuel",
        "_fuel_before",
        "_instance",
        "_outputs",
        "_store",
        "_timeout",
    )

    _store: WasmStore
    _instance: WasmInstance | None
    _captured: dict[str, _Captured]
    _outputs: dict[str, bytearray]
    _fuel: int | None
    _fuel_before: int
    _timeout: float | None
    _duration: float
    _exit_code: int | None

    def __init__(self) -> None:
        raise TypeError("a SandboxInstance is made by Sandbox.start")

    @property
    def store(self) -> WasmStore:
        """The store that it lives in."""
        return self._store

    @property
    def instance(self) -> WasmInstance:
        """The instance. What is called on it has the limits that the sandbox gives each call."""
        instance = self._instance
        if instance is None:
            raise ClosedError("this SandboxInstance has not started")
        return instance

    @property
    def exports(self) -> WasmExports:
        """What it exports, as of `instance`."""
        return self.instance.exports

    def call(self, name: str, *args: Any, timeout: float | EllipsisType | None = ...) -> Any:
        """Call the function exported as ``name``.

        Args:
            name: Its name.
            *args: Its arguments, as for any `WasmFunc`.
            timeout: Seconds that this call may take, in place of the sandbox's limit; ``None`` lifts that.

        Raises:
            WasmTimeout: It took longer.
            WasmExit: It exited; ``.code`` tells how.
            WasmTrap: It trapped.
            BaseException: What a call of a `WasmFunc` raises.
        """
        instance = self._instance
        if instance is None:
            raise ClosedError("this SandboxInstance has not started")
        func = instance.get_func(name)
        with self._running(timeout if isinstance(timeout, EllipsisType) else _seconds(timeout)):
            return func(*args)

    @property
    def result(self) -> WasiResult:
        """What it did until now."""
        store, instance, taken = self._store, self._instance, None
        with contextlib.suppress(WasmtimeError):
            memory = None if instance is None else instance.exports.get("memory")
            taken = memory.data_size if isinstance(memory, WasmMemory) else None
        fuel = None
        if store.engine.config.consume_fuel and store.is_valid:
            fuel = store.fuel_consumed - self._fuel_before
        stdout, stderr = (
            bytes(self._outputs[name]) if name in self._outputs else None for name in ("stdout", "stderr")
        )
        return WasiResult(
            self._exit_code,
            stdout,
            stderr,
            store.truncated_output,
            self._duration,
            fuel,
            taken,
            store.exceeded_limits,
        )

    @contextlib.contextmanager
    def _running(self, limit: float | EllipsisType | None) -> Iterator[None]:
        """Run the program within ``limit``, or ``...`` for its own. Errors that end it get what it did."""
        began = time.monotonic()
        try:
            with limited(self._store, limit):
                yield
        except WasmtimeError as problem:
            self._duration += time.monotonic() - began
            if isinstance(problem, WasmExit):
                self._exit_code = problem.code
            problem.result = self.result
            raise
        else:
            self._duration += time.monotonic() - began

    @property
    def trapped(self) -> bool:
        """Whether a call ended in the middle of it, by a trap, a limit or an exit: `WasmInstance.trapped`."""
        instance = self._instance
        return instance is not None and instance.trapped

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return self._store.is_valid

    def close(self) -> None:
        """Free it and all that it holds."""
        self._store.close()

    def __repr__(self) -> str:
        return f"<SandboxInstance in {self._store!r}>"


class Sandbox(WasmtimeResource):
    r"""A program to run many times, each time in a store of its own. Threads share it.

    >>> hello = rb'''(module
    ...     (import "wasi_snapshot_preview1" "fd_write"
    ...         (func $write (param i32 i32 i32 i32) (result i32)))
    ...     (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
    ...     (func (export "_start")
    ...         (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))'''
    >>> with Sandbox(hello, timeout=1, memory=1 << 20) as sandbox:
    ...     [sandbox.run().stdout for _ in range(2)]
    [b'hello\n', b'hello\n']

    Args:
        program: The path of a file, the bytes of a module, or a `WasmModule`, whose engine is then used: one
            with ``epoch_interruption``, unless ``timeout`` is ``None``, and with ``consume_fuel`` if ``fuel``
            is given.
        imports: Python functions for what it imports beside WASI: ``{"env": {"log": print}}``.
        timeout: Seconds that a run, the start of an instance, and each outermost call into one may take,
            whichever way it is called (`SandboxInstance.call`, its exports, a typed function); ``None`` is no
            limit. Compiling has a limit of its own, ``compile_timeout``. Time spent waiting counts. Nothing
            interrupts a function in ``imports``: the run ends when the function returns.
        memory: Bytes that its memory and its heap of references may take together; ``None`` is no limit. A
            program that has both, because it defines structs, arrays or tags, or takes references, may take
            half for each; others have no heap. A growth that is refused gives the program -1, as WebAssembly
            says, and raises nothing: the engine does not report it. ``peak_memory`` is the size that the
            memory reached. `worst_case` adds up what a run may take of the host in all.
        fuel: Units of fuel for a run, about one for each instruction; ``None`` does not count it, which is
            faster.
        max_output: Bytes of ``stdout``, and of ``stderr``, that are taken: the rest is dropped, and the
            program runs on. ``None`` is no limit.
        max_written: Bytes that may be written to files in ``mounts`` in each run, or in each use of a pooled
            instance, 1 GiB by default; more is refused with ``EDQUOT``. ``None`` is no limit.
        max_created: Files, folders and links that may be created in ``mounts``, 10,000 by default; more is
            refused with ``EDQUOT``. ``None`` is no limit. ``exceeded`` of the result names both limits.
        max_module_size: Bytes of WebAssembly, or of text, that are compiled; ``None`` is no limit.
        compile_timeout: Seconds that compiling may take: by default 60, and 10 more for each MiB of the
            module. ``None`` is no limit. What compilers write takes far less. A hostile module of a few
            kilobytes can take minutes and gigabytes, so a module of more than 512 bytes that is not cached
            is compiled in a process of its own, which is ended at the limit. To start it takes about 50
            milliseconds. ``None`` for this and the next argument compiles in this process.
        compile_memory: Bytes of address space that compiling may take in that process, beyond what it has
            to start with (RLIMIT_AS): by default 256 MiB, and 40 times the module's size. ``None`` is no
            limit.
        pooling: Pools to take instances and memories from, which makes short runs shorter. They are set
            aside when the sandbox is made, and must hold as many instances as run at once.
        signals_based_traps: Whether an access outside of memory, and other traps, are faults of the
            processor that the engine's signal handlers turn into errors, as `restore_signal_handlers` says.
            ``False`` checks by instructions instead, for hosts whose own handlers get in the way. That took
            2 to 16 % longer in programs compiled from C, 17 to 31 % in QuickJS, and 52 to 82 % in
            MicroPython.
        cache: Where compiled code is kept for later, as for `WasmModule.load`. This process keeps what it
            used last as well, up to 64 modules and 128 MiB; ``False`` turns off both.

    Raises:
        CompileError: It is not a valid module.
        LimitError: It is larger than ``max_module_size``, or takes longer or more memory to compile than it
            may: ``.limit`` tells which.
        LinkError: It imports what is neither WASI nor in ``imports``; the text lists all of that.
        MisuseError: The engine of a `WasmModule` cannot do what is asked for.
        OSError: The file cannot be read.
        TypeError: An argument is of the wrong type.
        ValueError: A limit is negative.
        WasmtimeError: The process for compiling cannot be started, or ended by itself.
    """

    __slots__ = (
        "__weakref__",
        "_fuel",
        "_imports",
        "_limits",
        "_max_created",
        "_max_output",
        "_max_written",
        "_memory",
        "_module",
        "_name",
        "_prepared",
        "_timeout",
    )

    def __init__(
        self,
        program: Program,
        *,
        imports: Imports = MappingProxyType({}),
        timeout: float | None = TIMEOUT,
        memory: int | None = MEMORY,
        fuel: int | None = None,
        max_output: int | None = MAX_OUTPUT,
        max_written: int | None = MAX_WRITTEN,
        max_created: int | None = MAX_CREATED,
        max_module_size: int | None = MAX_MODULE_SIZE,
        compile_timeout: float | EllipsisType | None = ...,
        compile_memory: int | EllipsisType | None = ...,
        pooling: PoolingConfig | None = None,
        signals_based_traps: bool = True,
        cache: Cache = True,
    ) -> None:
        self._timeout, self._fuel = _seconds(timeout), _count("fuel", fuel)
        self._memory = _count("memory", memory)
        self._limits = StoreLimits(
            table_elements=_TABLE_ELEMENTS,
            instances=_INSTANCES,
            tables=_TABLES,
            memories=1,
        )
        self._max_output = _count("max_output", max_output)
        self._max_written = _count("max_written", max_written)
        self._max_created = _count("max_created", max_created)
        if not isinstance(compile_timeout, EllipsisType):
            compile_timeout = _seconds(compile_timeout, "compile_timeout")
        if not isinstance(compile_memory, EllipsisType):
            compile_memory = _count("compile_memory", compile_memory)
        self._name = "program"
        if isinstance(program, WasmModule):
            config = program.engine.config
            if timeout is not None and not config.epoch_interruption:
                raise MisuseError(
                    "timeout: the module's engine has no epochs: compile it with "
                    "WasmConfig(epoch_interruption=True), or say timeout=None"
                )
            if fuel is not None and not config.consume_fuel:
                raise MisuseError(
                    "fuel: the module's engine does not count it: it needs WasmConfig(consume_fuel=True)"
                )
            if pooling is not None:
                raise MisuseError("pooling: it is for the module's engine to have it")
            _check_details(program.engine)
            if not signals_based_traps and config.signals_based_traps:
                raise MisuseError(
                    "signals_based_traps: the module's engine uses signals: compile it with "
                    "WasmConfig(signals_based_traps=False)"
                )
            self._module = program
        else:
            settings: dict[str, Any] = {
                "epoch_interruption": True,
                "signals_based_traps": signals_based_traps,
            }
            if fuel is not None:
                settings["consume_fuel"] = True
            if pooling is not None:
                settings["pooling_allocation_strategy"] = pooling
            if isinstance(program, (str, os.PathLike)):
                self._name = os.path.basename(program)
            content = _read(program, _count("max_module_size", max_module_size))
            engine = _engine_for(WasmConfig(**settings))
            self._module = load(engine, content, cache, compile_timeout, compile_memory)
        self._imports: Imports | None = _checked(imports)
        self._prepared = self._prepare()

    def _prepare(self) -> WasmInstancePre:
        if self._imports is None:
            raise ClosedError("this Sandbox was closed")
        linker = WasmLinker(self._module.engine)
        for name, functions in self._imports.items():
            for function, item in functions.items():
                linker.define(name, function, item)
        linker.define_wasi()
        return linker.prepare(self._module)

    @property
    def module(self) -> WasmModule:
        """The module that it runs."""
        return self._module

    def run(
        self,
        args: Sequence[str | os.PathLike[str]] = (),
        *,
        argv0: str | None = None,
        env: Mapping[str, str] | str | None = None,
        stdin: Input = None,
        stdout: Output = "capture",
        stderr: Output = "capture",
        mounts: Mapping[str, HostDir] | None = None,
        timeout: float | EllipsisType | None = ...,
        memory: int | EllipsisType | None = ...,
        fuel: int | EllipsisType | None = ...,
        max_output: int | EllipsisType | None = ...,
        data: Any = None,
        check: bool = False,
    ) -> WasiResult:
        """Run it to its end. The arguments are those of `run_wasi`; limits are by default the sandbox's.

        Fuel can be limited where the sandbox counts it: made with ``fuel``, or of a module whose engine does.

        Raises:
            BaseException: What `run_wasi` raises.
        """
        if "_start" not in (export.name for export in self._module.exports):
            raise MisuseError(
                'it exports no function "_start", so it is no program: Sandbox(...).start() initialises a '
                "library, whose functions can be called then"
            )
        program = self._open(
            args, argv0, env, stdin, stdout, stderr, mounts, timeout, memory, fuel, max_output, data
        )
        with program._store as store:
            try:
                with program._running(program._timeout):
                    instance = program._instance = self._instantiate(store)
                    instance.get_func("_start")()
                program._exit_code = 0
                return program.result
            except WasmExit:
                if check and program._exit_code:
                    raise
                return program.result
            finally:
                if program._instance is not None:
                    program._instance._take_back()  # and with it goes the module, if nobody else has it

    def start(
        self,
        args: Sequence[str | os.PathLike[str]] = (),
        *,
        argv0: str | None = None,
        env: Mapping[str, str] | str | None = None,
        stdin: Input = None,
        stdout: Output = "capture",
        stderr: Output = "capture",
        mounts: Mapping[str, HostDir] | None = None,
        timeout: float | EllipsisType | None = ...,
        memory: int | EllipsisType | None = ...,
        fuel: int | EllipsisType | None = ...,
        max_output: int | EllipsisType | None = ...,
        data: Any = None,
    ) -> SandboxInstance:
        """Make an instance whose functions can be called, initialised if it is a reactor.

        What it exports as ``_initialize`` is called, if it exports that. The arguments are those of
        `run_wasi`; fuel is for the whole life of the instance, the timeout for each call.

        Raises:
            BaseException: What `run_wasi` raises, but for exit codes: `WasmExit` is raised for each.
        """
        program = self._open(
            args, argv0, env, stdin, stdout, stderr, mounts, timeout, memory, fuel, max_output, data
        )
        try:
            with program._running(program._timeout):
                program._instance = self._instantiate(program._store)
                initialize = program.exports.get("_initialize")
                if initialize is not None and initialize.type == _NO_TYPE:
                    program.instance.call("_initialize")
        except BaseException:
            program._store.close()
            raise
        return program

    def pool(
        self,
        args: Sequence[str | os.PathLike[str]] = (),
        *,
        max_idle: int = 8,
        max_uses: int | None = None,
        argv0: str | None = None,
        env: Mapping[str, str] | str | None = None,
        stdin: Input = None,
        stdout: Output = "capture",
        stderr: Output = "capture",
        mounts: Mapping[str, HostDir] | None = None,
        timeout: float | EllipsisType | None = ...,
        memory: int | EllipsisType | None = ...,
        fuel: int | EllipsisType | None = ...,
        max_output: int | EllipsisType | None = ...,
        data: Any = None,
    ) -> SandboxPool:
        """Keep instances for use after use, for servers that call a library and would start one each time.

        >>> library = b'''(module (func (export "add") (param i32 i32) (result i32)
        ...     (i32.add (local.get 0) (local.get 1))))'''
        >>> with Sandbox(library).pool(max_idle=4) as pool:
        ...     with pool.take() as program:
        ...         program.call("add", 2, 3)
        5

        Args:
            args: Arguments, as for `start`, for each instance when it starts.
            max_idle: How many instances are kept while nobody uses them. Any number may be in use.
            max_uses: After how many uses an instance is closed; ``None`` is no limit.
            argv0: As for `start`.
            env: As for `start`.
            stdin: Each instance has its own, from the beginning; an open file is read now.
            stdout: A callable or file gets the output of all instances, from the threads that use them. A
                path is refused: instances would overwrite each other's output.
            stderr: The same for errors.
            mounts: As for `start`. Instances share the folders.
            timeout: Seconds for each call.
            memory: As for `start`: bytes for each instance.
            fuel: Units of fuel for each use.
            max_output: Bytes of ``stdout``, and of ``stderr``, that are taken in each use.
            data: As for `start`: one object for all instances.

        Raises:
            ClosedError: The sandbox was closed.
            TypeError: An argument is of the wrong type.
            ValueError: A number is out of range; an output is a path.
        """
        with Importing():
            from .sandbox_pool import SandboxPool  # noqa: PLC0415  which imports this module

        if not self.is_valid:
            raise ClosedError("this Sandbox was closed")
        given = {
            "argv0": argv0, "env": env, "stdin": stdin, "stdout": stdout, "stderr": stderr, "mounts": mounts,
            "timeout": timeout, "memory": memory, "fuel": fuel, "max_output": max_output, "data": data,
        }  # fmt: skip
        return SandboxPool._of(self, args, given, _count("max_idle", max_idle), _count("max_uses", max_uses))

    def _limits_for(self, memory: int | None) -> StoreLimits:
        """The limits of a store whose program may take so many bytes, its heap of references included."""
        shape = self._module._shape
        if memory is not None and shape.heap and shape.memory:
            memory //= 2  # the engine has one limit for both, each for itself
        return self._limits._replace(memory_size=memory)

    @property
    def worst_case(self) -> int | None:
        """Bytes of host memory that a run may take at most: `StoreLimits.worst_case` of its limits.

        ``None`` if ``memory`` or ``max_output`` is. With the defaults, it is below twice ``memory``.
        """
        shape = self._module._shape
        limits = self._limits_for(self._memory)._replace(memories=int(shape.memory))
        return limits.worst_case(max_output=self._max_output, heap=shape.heap)

    def _instantiate(self, store: WasmStore) -> WasmInstance:
        with _limits_told():
            return self._prepared.instantiate(store)

    def _open(
        self,
        args: Sequence[str | os.PathLike[str]],
        argv0: str | None,
        env: Mapping[str, str] | str | None,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        mounts: Mapping[str, HostDir] | None,
        timeout: Any,
        memory: Any,
        fuel: Any,
        max_output: Any,
        data: Any,
    ) -> SandboxInstance:
        """What runs the program, without the instance."""
        if not self.is_valid:
            raise ClosedError("this Sandbox was closed")
        if isinstance(args, (str, bytes)):
            raise TypeError(f"args: expected a sequence of str, got {args!r}")
        if mounts is not None and not isinstance(mounts, Mapping):
            raise TypeError(f"mounts: expected a mapping of folders, got {mounts!r}")
        program = SandboxInstance.__new__(SandboxInstance)
        program._timeout = self._timeout if timeout is ... else _seconds(timeout)
        program._duration, program._exit_code, program._instance = 0.0, None, None
        program._outputs, program._captured = {}, {}
        if program._timeout is not None and not self._module.engine.config.epoch_interruption:
            raise MisuseError(
                "timeout: the module's engine has no epochs: WasmConfig(epoch_interruption=True)"
            )
        limits = self._limits_for(self._memory if memory is ... else _count("memory", memory))
        limits = limits._replace(timeout=program._timeout)
        fuel = self._fuel if fuel is ... else _count("fuel", fuel)
        if fuel is not None and not self._module.engine.config.consume_fuel:
            raise MisuseError(
                "fuel: this Sandbox does not count it, since it was made without: Sandbox(..., fuel=...), "
                "or of a module whose engine has WasmConfig(consume_fuel=True)"
            )
        for name, output in (("stdout", stdout), ("stderr", stderr)):
            if isinstance(output, str) and output == "capture":
                captured = program._captured[name] = _Captured()
                program._outputs[name] = captured.into
        wasi = WasiConfig(
            argv=(self._name if argv0 is None else argv0, *(os.fspath(argument) for argument in args)),
            env={} if env is None else env,
            stdin=stdin,
            stdout=program._captured.get("stdout", stdout),
            stderr=program._captured.get("stderr", stderr),
            preopens={} if mounts is None else mounts,
            max_output=self._max_output if max_output is ... else _count("max_output", max_output),
            max_written=self._max_written,
            max_created=self._max_created,
        )
        program._store = store = WasmStore(self._module.engine, data=data, wasi=wasi, limits=limits)
        program._fuel, program._fuel_before = fuel, 0
        if fuel is not None or store.engine.config.consume_fuel:
            store.set_fuel(_FUEL_MAX if fuel is None else fuel)
        return program

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return self._prepared.is_valid

    def close(self) -> None:
        """Let go of the module. What runs goes on."""
        self._prepared.close()
        self._imports = None

    def __repr__(self) -> str:
        return f"<Sandbox {self._name}{'' if self.is_valid else ' closed'}>"


def run_wasi(
    program: Program,
    args: Sequence[str | os.PathLike[str]] = (),
    *,
    argv0: str | None = None,
    env: Mapping[str, str] | str | None = None,
    stdin: Input = None,
    stdout: Output = "capture",
    stderr: Output = "capture",
    mounts: Mapping[str, HostDir] | None = None,
    timeout: float | None = TIMEOUT,
    memory: int | None = MEMORY,
    fuel: int | None = None,
    max_output: int | None = MAX_OUTPUT,
    max_written: int | None = MAX_WRITTEN,
    max_created: int | None = MAX_CREATED,
    max_module_size: int | None = MAX_MODULE_SIZE,
    compile_timeout: float | EllipsisType | None = ...,
    compile_memory: int | EllipsisType | None = ...,
    imports: Imports = MappingProxyType({}),
    data: Any = None,
    signals_based_traps: bool = True,
    cache: Cache = True,
    check: bool = False,
) -> WasiResult:
    """Run a WASI program in a sandbox and give its output, in the manner of ``subprocess.run``.

    It sees its arguments and nothing else: no file, no variable, no input, no network. Its compiled form is
    kept in the cache.

    >>> program = b'''(module
    ...     (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    ...     (memory (export "memory") 1)
    ...     (func (export "_start") (call $exit (i32.const 3))))'''
    >>> run_wasi(program, ["--help"], timeout=5).exit_code
    3

    Args:
        program: The path of a file, the bytes of a module, or a `WasmModule`.
        args: Its arguments, without its own name.
        argv0: Its own name; by default that of the file.
        env: Its environment variables; ``"inherit"`` for those of this process.
        stdin: Its input: bytes, a ``pathlib.Path``, an open binary file, ``"inherit"``, or ``None`` for none.
            An open file is read to its end before the program starts, for which there is no limit in time.
        stdout: Where its output goes: ``"capture"`` into the result, ``"inherit"``, ``"null"``, a
            ``pathlib.Path``, an open file, or a callable that takes bytes.
        stderr: The same for errors.
        mounts: Folders of the host by the names that it sees: ``{"/in": "data", "/out": rw("results")}``.
            They are read-only unless marked with `rw`. Links below a folder that is writable here are not
            followed in the paths of streams and mounts: an earlier program may have left them.
        timeout: Seconds that it may run, 60 by default. Waiting for an inherited input counts. Compiling has
            a limit of its own, ``compile_timeout``. ``None`` is no limit.
        memory: Bytes that its memory and its heap of references may take, 1 GiB by default, half for each
            if it has both; ``None`` is no limit. Growing beyond gives the program -1 and raises nothing here.
        fuel: Units of fuel that it may use; ``None``, the default, does not count.
        max_output: Bytes of each of ``stdout`` and ``stderr`` that are taken, 16 MiB by default: the rest is
            dropped, the program runs on, and ``truncated`` tells. ``None`` is no limit.
        max_written: Bytes that it may write to files in ``mounts``, 1 GiB by default; ``None`` is no limit.
        max_created: Files, folders and links that it may create in ``mounts``, 10,000 by default; ``None``
            is no limit.
        max_module_size: Bytes of WebAssembly that are compiled, 128 MiB by default; ``None`` is no limit.
        compile_timeout: Seconds that compiling may take, which happens in a process of its own, as
            `Sandbox` says: by default 60, and 10 more for each MiB of the module. ``None`` is no limit.
        compile_memory: Bytes of address space that compiling may take there: by default 256 MiB, and 40
            times the module's size. ``None`` is no limit.
        imports: Python functions for what it imports beside WASI.
        data: Any object, for these functions to find as ``caller.data``.
        signals_based_traps: ``False`` does without signal handlers, and is slower, as `Sandbox` says.
        cache: Where compiled code is kept, as for `Sandbox`; ``False`` for nowhere.
        check: Whether an exit code other than 0 raises.

    Returns:
        What it did. `Sandbox` says more about limits, and is faster for many runs of one program.

    Raises:
        WasmTimeout: It ran for longer than ``timeout``.
        LimitError: It is larger than ``max_module_size``, takes more than ``compile_timeout`` or
            ``compile_memory``, or asks for more to start with than it may have; as `OutOfFuelError`, it
            used up its fuel.
        WasmTrap: It trapped otherwise.
        WasmExit: It exited with a code other than 0, and ``check`` is set. These four carry what it did
            until then as ``.result``.
        CompileError: It is not a valid module.
        LinkError: It imports what is neither WASI nor in ``imports``.
        MisuseError: It is no program, or its engine cannot do what is asked for.
        OSError: The file cannot be read.
        ValueError: If a path for the program or a stream names a pipe or a device other than ``/dev/null``,
            or a writable mount holds the code cache; or a limit is out of range.
        WasmtimeError: A folder or file cannot be opened, or is reached by a link below a writable mount.
        BaseException: Whatever a callable or file for its output, or a function in ``imports``, raised.
    """
    sandbox = Sandbox(
        program,
        imports=imports,
        timeout=timeout,
        memory=memory,
        fuel=fuel,
        max_output=max_output,
        max_written=max_written,
        max_created=max_created,
        max_module_size=max_module_size,
        compile_timeout=compile_timeout,
        compile_memory=compile_memory,
        signals_based_traps=signals_based_traps,
        cache=cache,
    )
    return sandbox.run(
        args,
        argv0=argv0,
        env=env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        mounts=mounts,
        data=data,
        check=check,
    )


# ---- Pieces

_engines: dict[WasmConfig, WasmEngine] = {}


def _engine_for(config: WasmConfig) -> WasmEngine:
    """The engine of all sandboxes with ``config``. Pools belong to one sandbox, and go with it."""
    if config.pooling_allocation_strategy is not None:
        return _check_details(WasmEngine(config))
    engine = _engines.get(config)
    if engine is not None and not engine.is_valid:  # somebody closed it, who had it from a module
        _engines.pop(config, None)
        engine = None
    # No lock: a finalizer could come here while it is held, and a forked child never get it.
    return _engines.setdefault(config, _check_details(WasmEngine(config))) if engine is None else engine


def _check_details(engine: WasmEngine) -> WasmEngine:
    """Return ``engine`` itself.

    Raises:
        WasmtimeError: The environment makes it show a guest's debugging information, which has no limit.
    """
    if engine._backtrace_details:
        raise WasmtimeError(
            "WASMTIME_BACKTRACE_DETAILS: sandboxes refuse an engine that was made while this environment "
            "variable was 1, since a guest's debugging information could fill memory: unset it before"
        )
    return engine


def _read(program: Any, max_size: int | None) -> bytes:
    """The binary module, or the WAT, that ``program`` is or names.

    Raises:
        LimitError: It is too large.
    """
    if isinstance(program, str):
        if program.lstrip().startswith(("(", ";")):
            raise ValueError("program: expected a path, got the text of a module: give it as bytes")
        with Importing():
            from pathlib import Path  # noqa: PLC0415

        program = Path(program)
    if isinstance(program, os.PathLike):
        content = read_content(program, max_size)
    elif isinstance(program, (bytes, bytearray, memoryview)):
        _check_size(len(program), max_size)
        content = read_content(program)
    else:
        raise TypeError(f"program: expected a path, bytes or a WasmModule, got {type(program).__name__}")
    _check_size(len(content), max_size)
    return content


def _check_size(size: int, max_size: int | None) -> None:
    if max_size is not None and size > max_size:
        raise LimitError(f"module_size: the module has {size} bytes, allowed are {max_size}", "module_size")


@contextlib.contextmanager
def _limits_told() -> Iterator[None]:
    """Instantiation, with what the store's limits refuse told by type."""
    try:
        yield
    except WasmtimeError as problem:
        if type(problem) is WasmtimeError:
            for limit, said in _REFUSALS:
                if said.search(str(problem)):
                    raise LimitError(f"{limit}: {problem}", limit) from None
        raise


def _checked(imports: Imports) -> Imports:
    if not isinstance(imports, Mapping):
        raise TypeError(f"imports: expected a mapping of mappings, got {imports!r}")
    for name, functions in imports.items():
        if not isinstance(functions, Mapping):
            raise TypeError(f"imports[{name!r}]: expected a mapping from names to items, got {functions!r}")
    return {name: dict(functions) for name, functions in imports.items()}


def _seconds(timeout: float | None, name: str = "timeout") -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"{name}: expected seconds or None, got {timeout!r}")
    if not 0 < timeout < 1e9:
        raise ValueError(f"{name}: expected more than 0 seconds and less than 1e9, or None, got {timeout}")
    return float(timeout)


def _count(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{name}: expected an int or None, got {value!r}")
    if value is not None and not 0 <= value < 2**63:
        raise ValueError(f"{name}: expected None or 0 <= {name} < 2**63, got {value}")
    return value
