"""Stores: the owner of everything mutable."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _fast  # noqa: F401  a store is entered through the accelerator, which has its rare work from there
from ._abstract import AbstractStore
from ._binary import ModuleShape
from ._core import StoreCore
from ._deadline import StoreDeadline, check_epochs, nanoseconds
from ._exact import exact
from ._failure import check
from ._lowlevel import ffi, lib
from ._profile import StoreProfile
from ._record import Record
from .engine import WasmEngine, check_engine
from .errors import StoreBusyError, WasmtimeError
from .module import WasmModule, check_module
from .wasi import WasiConfig, WasiStreams

if TYPE_CHECKING:
    from types import TracebackType

_FUEL_MAX = 2**64 - 1


#: How many instances, and how many memories and tables, the engine allows in a store by default.
_INSTANCES = _COUNTED = 10_000
#: Bytes that a memory has to grow in without being moved, in engines with the default settings.
_NEVER_MOVES = 4 << 30
#: Bytes that an element of a table takes: eight, and as many again, since a table that grows doubles its
#: room.
_ELEMENT = 16


def _mib(size: int | None) -> str:
    return "no limit" if size is None else f"{size / (1 << 20):.1f} MiB"


class StoreLimits(Record):
    """How much a store may hold. ``None`` leaves a limit at the engine's own.

    For code that is not trusted, set ``memory_size``: by default nothing but its type limits a memory. One
    with 64-bit addresses is moved when it outgrows the engine's ``memory_reservation``, which copies all of
    it, touched or not, and cannot be interrupted; two instructions of WebAssembly can ask for more than the
    machine has.

    >>> import wasmtime_rt as w
    >>> store = w.WasmStore(w.WasmEngine(), limits=w.StoreLimits(memory_size=2 * 65536))
    >>> memory = w.WasmMemory(store, w.WasmMemoryType(1))
    >>> memory.grow(1)
    1
    >>> memory.grow(1)
    Traceback (most recent call last):
        ...
    wasmtime_rt.errors.WasmtimeError: memory.grow(1): failed to grow memory by `1`

    `worst_case` tells how much of the host's memory that allows:

    >>> limits = w.StoreLimits(memory_size=1 << 20, memories=1, tables=1, table_elements=1000)
    >>> limits.worst_case()
    2113152
    >>> print(limits)
    StoreLimits: host memory: 2.0 MiB at most (memories 1.0 MiB, heap of references 1.0 MiB, tables 0.0 MiB)

    Attributes:
        memory_size: Bytes that each linear memory may grow to, and the heap of references.
        table_elements: Elements that each table may grow to.
        instances: Instances in the store.
        tables: Tables in the store: those of its instances, and those that Python made.
        memories: Linear memories in the store: those of its instances, and those that Python made.
        timeout: Seconds that each outermost call into the store may take, whichever way it is made, and
            whatever it waits for: `WasmTimeout` ends it then. Start functions count, compiling does not. A
            ``timeout=`` of the call, or a `WasmStore.deadline` that is in force when it begins, is in its
            place.
    """

    memory_size: int | None = None
    table_elements: int | None = None
    instances: int | None = None
    tables: int | None = None
    memories: int | None = None
    timeout: float | None = None

    def worst_case(self, *, max_output: int | None = 0, heap: bool = True) -> int | None:
        """Return the bytes of host memory that WebAssembly in a store with these limits may take at most.

        Counted are the linear memories, the heap of references, the tables at 16 bytes for each element, and
        captured output: each of ``stdout`` and ``stderr`` is kept, and copied for whoever asks. A memory that
        is larger than 4 GiB counts twice, since the engine moves it when it grows.

        Not counted are compiled code and what an instance takes to start with, which grow with the size of
        the module, the stack, and what host functions keep.

        Args:
            max_output: The ``max_output`` of the store's `WasiConfig`; ``None`` is no limit.
            heap: Whether to count the heap. Only modules that define structs, arrays or tags, or whose
                functions take references, can use it.

        Returns:
            The bytes, or ``None`` if a limit is missing.
        """
        parts = self._worst_parts(max_output, heap=heap).values()
        return None if None in parts else sum(part or 0 for part in parts)

    def _worst_parts(self, max_output: int | None, *, heap: bool) -> dict[str, int | None]:
        """Return the parts of `worst_case` by name; ``None`` for a part without a limit."""
        memories = _COUNTED if self.memories is None else self.memories
        tables = _COUNTED if self.tables is None else self.tables
        size, elements = self.memory_size, self.table_elements
        moved = size if size is not None and size > _NEVER_MOVES else 0
        return {
            "memories": 0 if not memories else None if size is None else memories * size + moved,
            "heap of references": size if heap else 0,
            "tables": 0 if not tables else None if elements is None else tables * elements * _ELEMENT,
            "captured output": None if max_output is None else 2 * 2 * max_output,
        }

    def __str__(self) -> str:
        """Say what the limits allow of the host's memory, part by part."""
        parts = self._worst_parts(0, heap=True)
        shown = (f"{name} {_mib(part)}" for name, part in parts.items() if part != 0)
        return f"StoreLimits: host memory: {_mib(self.worst_case())} at most ({', '.join(shown)})"

    def _check(self) -> None:
        if self.timeout is not None:
            if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
                raise TypeError(f"timeout: expected a number of seconds or None, got {self.timeout!r}")
            if not self.timeout > 0:  # nor is it NaN
                raise ValueError(f"timeout: expected more than 0 seconds or None, got {self.timeout!r}")
        for name in ("memory_size", "table_elements", "instances", "tables", "memories"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
            ):
                raise ValueError(f"{name}: expected None or 0 <= {name} < 2**63, got {value!r}")

    def _as_arguments(self, more_instances: int = 0) -> list[int]:
        """As the engine takes them, with room for so many more instances, where these are limited."""
        instances = _INSTANCES if self.instances is None else self.instances
        values = (
            self.memory_size,
            self.table_elements,
            instances + more_instances,
            self.tables,
            self.memories,
        )
        return [-1 if value is None else value for value in values]


def _amount(fuel: int) -> int:
    fuel = operator.index(fuel)
    if not 0 <= fuel <= _FUEL_MAX:
        raise ValueError(f"fuel: expected 0 <= fuel < 2**64, got {fuel}")
    return fuel


class WasmStore(AbstractStore):
    """The owner of instances, memories, globals, tables and functions, isolated from every other store.

    One thread at a time may use a store; a second one gets `StoreBusyError`. Between calls a store may
    move from thread to thread.

    >>> import wasmtime_rt as w
    >>> engine = w.WasmEngine(w.WasmConfig(consume_fuel=True))
    >>> with w.WasmStore(engine, data={"user": 5}) as store:
    ...     store.set_fuel(1000)
    ...     module = w.WasmModule(engine, '(module (func (export "f") (result i32) (i32.const 42)))')
    ...     print(w.WasmInstance(store, module).exports.f(), store.fuel < 1000, store.data)
    42 True {'user': 5}

    Args:
        engine: The engine whose modules it runs.
        data: Any object, for host functions to find as ``store.data``.
        wasi: What WASI programs in this store may see.
        limits: How much it may hold, in force from the start.

    Raises:
        TypeError: An argument is of the wrong type.
        WasmtimeError: The WASI configuration cannot be met: a folder or file is missing. Or `limits` has a
            timeout, and the engine has no epochs.

    C API: ``wasmtime_store_new``, ``wasmtime_store_context``, ``wasmtime_store_limiter``,
    ``wasmtime_store_delete``.
    """

    _core: Any = StoreCore()  # one that admits nobody, until it is initialised
    _engine: WasmEngine
    _wasi: WasiStreams | None = None
    _writable_folders: Sequence[str] = ()  # by WASI programs
    _limits: StoreLimits | None = None
    _stand_ins = 0  # instances that stand for what Python made: see `_counting`
    _keeps_gil = False
    _deadlines: list[StoreDeadline]  # those that are in force, where the engine has epochs
    _profile: StoreProfile | None = None  # the one that is running
    _memory_types: dict[tuple[int, ...], Any]  # by handle, for `caller`
    _with_tables: list[tuple[bytes, ModuleShape, list[Any]]]  # instances that export tables: see `caller`

    data: Any
    """Any object that the program keeps with the store."""

    def __init__(
        self,
        engine: WasmEngine,
        data: Any = None,
        wasi: WasiConfig | None = None,
        limits: StoreLimits | None = None,
    ) -> None:
        if self._core is not WasmStore._core:
            raise TypeError("this WasmStore was initialised already")
        if type(engine) is not WasmEngine:  # the fast way: it is
            check_engine(engine)
        if limits is not None:
            if not isinstance(limits, StoreLimits):
                raise TypeError(f"limits: expected a StoreLimits, got {limits!r}")
            if limits.timeout is not None:
                check_epochs(engine)
        self._engine = engine
        self.data = data
        core, handle = StoreCore(), engine._handle
        if engine._has_epochs:
            clock = engine._clock
            kept = clock.get()
            core.open(handle.get(), handle.address, engine._max_wasm_stack, clock.address)
            del kept
            self._deadlines = []
        else:
            core.open(handle.get(), handle.address, engine._max_wasm_stack, 0)
        self._core = core
        self._memory_types, self._with_tables = {}, []
        if limits is not None:
            self._limits = limits
            self._core.limit(limits._as_arguments())
            if limits.timeout is not None:
                self._core.set_call_limit(nanoseconds(limits.timeout))
        if wasi is not None:
            self.set_wasi(wasi)

    @property
    def engine(self) -> WasmEngine:
        """The engine whose modules it runs."""
        return self._engine

    def set_wasi(self, wasi: WasiConfig) -> None:
        """Let WASI programs in this store see what ``wasi`` says, and start their streams anew.

        Raises:
            TypeError: If ``wasi`` is not a `WasiConfig`.
            StoreBusyError: If a call is running in the store.
            WasmtimeError: If a folder or file cannot be opened.
        """
        if not isinstance(wasi, WasiConfig):
            raise TypeError(f"wasi: expected a WasiConfig, got {wasi!r}")
        if self._keeps_gil:
            raise WasmtimeError(
                "this store has functions that keep the GIL, and WASI could wait: see typed()"
            )
        streams = WasiStreams(wasi)
        with self._core:
            if self._core.activations:
                raise StoreBusyError(f"set_wasi: a call is running in store {self._core.number}")
            streams.give_to(self._core)
            self._wasi, self._writable_folders = streams, wasi._writable_folders()
            self._core.on_leave = streams.drain

    @property
    def exceeded_limits(self) -> tuple[str, ...]:
        """Which limits of `WasiConfig` refused something to the program: ``"max_descriptors"`` and so on.

        ``"RLIMIT_NOFILE"`` is among them if the process itself has too few file descriptors left.
        """
        return () if self._wasi is None else self._wasi.exceeded

    @property
    def truncated_output(self) -> tuple[str, ...]:
        """Which of ``"stdout"`` and ``"stderr"`` went beyond `WasiConfig.max_output`, and were cut."""
        return () if self._wasi is None else self._wasi.truncated

    # ---- Fuel

    @property
    def fuel(self) -> int:
        """Units of fuel that are left.

        Raises:
            WasmtimeError: The engine does not count fuel.

        C API: ``wasmtime_context_get_fuel``.
        """
        return self._fuel_and_total()[0]

    @property
    def fuel_consumed(self) -> int:
        """Units of fuel that WebAssembly has used since the store was made.

        Raises:
            WasmtimeError: The engine does not count fuel.
        """
        left, given = self._fuel_and_total()
        return given - left

    def set_fuel(self, fuel: int) -> None:
        """Make ``fuel`` units be left. What was used so far stays counted.

        Raises:
            WasmtimeError: The engine does not count fuel: it needs ``WasmConfig(consume_fuel=True)``.
            ValueError: It is not in 0 to 2**64 - 1.

        C API: ``wasmtime_context_set_fuel``.
        """
        fuel = _amount(fuel)
        left, given = self._fuel_and_total()
        with self._core as context:
            check(lib.wasmtime_context_set_fuel(context, fuel))
        self._core.fuel_given = given - left + fuel

    def add_fuel(self, fuel: int) -> None:
        """Make ``fuel`` more units be left, up to 2**64 - 1.

        Raises:
            WasmtimeError: The engine does not count fuel: it needs ``WasmConfig(consume_fuel=True)``.
            ValueError: It is not in 0 to 2**64 - 1.
        """
        fuel = _amount(fuel)
        self.set_fuel(min(self.fuel + fuel, _FUEL_MAX))

    def _fuel_and_total(self) -> tuple[int, int]:
        if not self._engine._plain_config.consume_fuel:
            raise WasmtimeError("this engine does not count fuel: it needs WasmConfig(consume_fuel=True)")
        left = ffi.new("uint64_t *")
        with self._core as context:
            check(lib.wasmtime_context_get_fuel(context, left))
        return left[0], self._core.fuel_given

    # ---- Epochs

    def set_epoch_deadline(self, ticks: int) -> None:
        """Trap WebAssembly in this store once the engine's epoch has moved on by ``ticks``.

        Until this is called, a store has no deadline. Only `WasmEngine.increment_epoch` counts, though the
        engine's own epoch moves on faster where a profile is taken.

        Args:
            ticks: How many calls of `WasmEngine.increment_epoch` from now; 0 is at once.

        Raises:
            WasmtimeError: The engine has no epochs: it needs ``WasmConfig(epoch_interruption=True)``.
            ValueError: It is not in 0 to 2**63 - 1.

        C API: ``wasmtime_context_set_epoch_deadline``, ``wasmtime_store_epoch_deadline_callback``.
        """
        if not self._engine._has_epochs:
            raise WasmtimeError("this engine has no epochs: it needs WasmConfig(epoch_interruption=True)")
        ticks = operator.index(ticks)
        if not 0 <= ticks < 2**63:
            raise ValueError(f"ticks: expected 0 <= ticks < 2**63, got {ticks}")
        with self._core:
            lib.wrt_epochs_set_deadline(self._core.epochs, ticks)

    # ---- Time

    def deadline(self, seconds: float | None) -> StoreDeadline:
        """Give the calls in a ``with`` block ``seconds`` of time in all, by the clock on the wall.

        A call into this store that runs when they are over ends in `WasmTimeout`, and so does each that is
        made later in the block. Other stores of the engine go on, and this one can be used further. Compiling
        is not a call: `compile_timeout` of a `Sandbox` bounds it.

        Blocks nest: the one that ends first counts. An outermost call that begins in a block has the block's
        limit instead of the store's own, `StoreLimits.timeout`, even if the block's is longer. ``None`` sets
        no limit and only lifts the store's own. Inside a running call, a limit can only shorten the time that
        is left.

        The limits of all calls that run on a thread apply. If a host function calls into another store, that
        call ends when the outer one must end, and an interruption of the outer one interrupts it.

        WebAssembly checks the time every 10 milliseconds: at the start of a function, at the start of each
        iteration of a loop, in bulk operations, and while WASI waits. The time is also checked when a host
        function begins, when it returns, and when the outermost call returns. There the limit wins over a
        result and over an exit code, but not over an exception that a host function raised. Nothing
        interrupts a host function, or ``memory.atomic.wait``: the call ends when it returns. Code of an
        engine without epochs checks the limits of outer calls only when its host functions begin and return,
        and when it returns itself.

        >>> import wasmtime_rt as w
        >>> engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
        >>> store = w.WasmStore(engine)
        >>> module = w.WasmModule(engine, '(module (func (export "spin") (loop (br 0))))')
        >>> with store.deadline(0.05):
        ...     w.WasmInstance(store, module).exports.spin()
        Traceback (most recent call last):
        wasmtime_rt.errors.WasmTimeout: timeout: ...

        Calls take ``timeout=`` for the same: ``instance.exports.spin(timeout=0.05)``.

        Args:
            seconds: How many seconds from when the block is entered, or ``None``.

        Raises:
            TypeError: If `seconds` is not a number or ``None``.
            ValueError: If `seconds` is less than 0.
            WasmtimeError: If the engine has no epochs: it needs ``WasmConfig(epoch_interruption=True)``.
            StoreClosedError: The store was closed: when the block is entered.

        C API: ``wasmtime_store_epoch_deadline_callback``, ``wasmtime_engine_increment_epoch``.
        """
        return StoreDeadline(self, seconds)

    def interrupt(self) -> bool:
        """End the call that is running in this store: it raises `WasmInterrupted`.

        May be called from any thread, from a signal handler, and from a host function. Nothing interrupts a
        host function, or ``memory.atomic.wait``: the call ends when it returns. What WASI waits for is
        interrupted. Nested calls into this store all end, and so do calls into other stores that they made.
        The store can be used further.

        Returns:
            Whether a call was running, which ends then: it returns no result. If no call was running, this
            does nothing: the next one runs.

        Raises:
            WasmtimeError: The engine has no epochs: it needs ``WasmConfig(epoch_interruption=True)``.

        C API: ``wasmtime_store_epoch_deadline_callback``, ``wasmtime_engine_increment_epoch``.
        """
        if not self._engine._has_epochs:
            raise WasmtimeError(
                "interruption needs an engine with epochs: WasmConfig(epoch_interruption=True)"
            )
        return bool(self._core.interrupt())

    # ---- Profiles

    def profile(
        self,
        path: str | os.PathLike[str],
        *,
        interval: float = 0.001,
        modules: Mapping[str, WasmModule] | None = None,
    ) -> StoreProfile:
        """Sample what WebAssembly in this store does while a ``with`` block runs, and write a profile.

        The file is in the format of the Firefox profiler: open it at https://profiler.firefox.com, which
        shows it as a flame graph. Samples are taken where a function begins or a loop starts over, so
        costs may be shown a little away from where they arise, and not while the host works. Functions
        have the names that the module's name section gives them. Samples are kept in memory until the block
        ends.

        >>> import wasmtime_rt as w
        >>> engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
        >>> store = w.WasmStore(engine)
        >>> with store.profile("/dev/null") as profile:
        ...     pass  # call functions of the store here

        Args:
            path: The file to write when the block ends.
            interval: Seconds from sample to sample, 10 microseconds to an hour.
            modules: The modules whose functions are shown, with the names to show; all of the engine's
                that Python still holds, if not given. Those made later are not shown.

        Raises:
            WasmtimeError: The engine has no epochs: it needs ``WasmConfig(epoch_interruption=True)``; or
                another profile of this store is running.
            WrongEngineError: A module was compiled by another engine.
            ValueError: The interval is out of range, or ``path`` names a pipe or a device other than
                ``/dev/null``.
            OSError: The file cannot be written, or a link leads to it from a folder that the store's
                programs may write.

        C API: ``wasmtime_guestprofiler_*``, ``wasmtime_store_epoch_deadline_callback``.
        """
        if not self._engine._has_epochs:
            raise WasmtimeError("profiles need an engine with epochs: WasmConfig(epoch_interruption=True)")
        if modules is None:
            living = (reference() for reference in self._engine._modules.valuerefs())
            valid = (module for module in living if module is not None and module.is_valid)
            different = {module.image_range: module for module in valid}  # copies share their code
            named = {f"module {number}": module for number, module in enumerate(different.values(), start=1)}
        else:
            named = {exact(str(name)): check_module(module) for name, module in modules.items()}
        pointers = {name: module._pointer_for(self._engine) for name, module in named.items()}
        return StoreProfile._of(self, path, interval, pointers)

    # ---- Lifetime

    def gc(self) -> None:
        """Collect the store's garbage now, and let go of Python objects that only it held.

        Raises:
            StoreClosedError: The store was closed.

        C API: ``wasmtime_context_gc``.
        """
        with self._core as context:
            check(lib.wasmtime_context_gc(context))
            self._core.drop_objects()

    @property
    def is_valid(self) -> bool:
        """Whether it was not closed."""
        return not self._core.closed

    def close(self) -> None:
        """Free the store and all that lives in it. Later use of any of it raises `StoreClosedError`.

        Raises:
            StoreBusyError: A call is running in it.
            MemoryViewError: A view of one of its memories is alive.
        """
        self._core.close()
        if self._wasi is not None:
            self._wasi.finish()
            self._wasi.let_go()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        # Nothing may mask the block's own exception: what is in use is freed when it no longer is.
        self._core.close_later()
        if self._wasi is not None:
            if exc is None:
                self._wasi.finish()
            if not self._core.depth:
                self._wasi.let_go()

    def __repr__(self) -> str:
        return f"<WasmStore {self._core.number}{'' if self.is_valid else ' closed'}>"


def check_store_argument(store: object) -> WasmStore:
    """``store`` itself.

    Raises:
        TypeError: It is no store.
    """
    if type(store) is WasmStore or isinstance(store, WasmStore):  # the first is the fast way
        return store
    raise TypeError(f"store: expected a WasmStore, got {store!r}")
