"""WASI: what a program may see of the world. Nothing is inherited unless asked for.

C code answers the program without Python: see ``_native/wasi``. What the program writes for Python is kept
there, and handed over when the call that wrote it ends.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, Union

from ._cache_folder import check_mount
from ._exact import exact_bytes, utf8
from ._host_files import open_folder, open_input, open_output
from ._lowlevel import NULL, address_of, ffi, lib, own, owning
from ._record import Record
from .errors import WasmtimeError


class BinaryWriter(Protocol):
    """Anything that takes bytes: an open binary file, an ``io.BytesIO``."""

    def write(self, data: bytes, /) -> object:
        """Take ``data``."""


class TextWriter(Protocol):
    """Anything that takes text: an open text file, an ``io.StringIO``."""

    def write(self, data: str, /) -> object:
        """Take ``data``."""


class BinaryReader(Protocol):
    """Anything that gives bytes: an open binary file, an ``io.BytesIO``."""

    def read(self) -> bytes:
        """All that is left."""


class WritableDir(Record):
    """A folder of the host in which a program may create, change and delete; made by `rw`."""

    path: str


def rw(path: str | os.PathLike[str]) -> WritableDir:
    """Mark a folder of the host as writable, for the ``preopens`` of a `WasiConfig`.

    The program does not get out of it, but may leave symbolic links in it that lead out: whoever reads what
    it left should not follow them. It must not hold what the host executes or trusts: the code cache, which
    is refused, but also programs, start-up files, virtual environments, or a ``.git``.
    """
    return WritableDir(os.fspath(path))


HostDir = Union[str, "os.PathLike[str]", WritableDir]
Input = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", BinaryReader, None]
Output = Union[str, "os.PathLike[str]", BinaryWriter, TextWriter, Callable[[bytes], object], None]

_OUTPUTS = ((1, "stdout"), (2, "stderr"))
#: What limits files, in the order of ``WRT_FILES_HIT_*`` in ``files.h``.
_LIMITS = ("max_descriptors", "RLIMIT_NOFILE", "max_written", "max_created")
#: Seconds of the coarsest clock.
_COARSEST = 3600


def _no_limit(limit: int | None) -> int:
    return 2**64 - 1 if limit is None else limit


def _check_int(name: str, value: object, least: int, end: int, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    wanted = f"{name}: expected {'None or ' if optional else ''}{least} <= {name} < {end}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{wanted}, got {value!r}")
    if not least <= value < end:
        raise ValueError(f"{wanted}, got {value}")


def _text(value: object, what: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{what}: expected str, got {value!r}")
    try:
        data = utf8(value)
    except UnicodeEncodeError:
        raise ValueError(f"{what}: expected text that UTF-8 can hold, got {value!r}") from None
    if b"\0" in data:
        raise ValueError(f"{what}: expected no NUL character, got {value!r}")
    return data


def _path(value: object, what: str) -> bytes:
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value, what)


def _inherited(values: Mapping[str, str]) -> dict[str, str]:
    """The variables that UTF-8 can hold: the engine knows no others, and programs could not read them."""
    kept = {}
    for name, value in values.items():
        with contextlib.suppress(UnicodeEncodeError):
            (name + value).encode()
            kept[name] = value
    return kept


class WasiConfig(Record):
    """What a WASI program may see. A plain value, used for any number of stores.

    Attributes:
        argv: Its arguments, the program's own name first; ``"inherit"`` for those of this process.
        env: Its environment variables; ``"inherit"`` for those of this process, without what UTF-8 cannot
            hold.
        stdin: ``None`` or ``"null"`` for an empty input, bytes, the ``pathlib.Path`` of a file, an open
            binary file, which is read to its end when a store begins, or ``"inherit"``.
        stdout: ``None`` or ``"null"`` to drop it, the ``pathlib.Path`` of a file to write, ``"inherit"``, a
            callable that takes bytes, or an open file, binary or text; the last two get what was written when
            each call ends, in pieces of at most 1 MiB. Text is decoded as UTF-8 across these.
        stderr: The same for errors.
        preopens: Folders of the host by the name that the program sees, as in ``{"/data": "."}``: read
            only, unless marked with `rw`.
        max_output: Bytes that each of ``stdout`` and ``stderr`` may come to in a store: the rest is dropped,
            the program goes on, and `WasmStore.truncated_output` tells. ``None`` is no limit. What is
            inherited is not limited.
        max_descriptors: File descriptors that the program may have open at once, the three streams and the
            folders included. One more is refused with ``EMFILE``, and so is one that would leave the process
            fewer than 64, or a quarter of what it may open.
        max_written: Bytes that the program may write to files in ``preopens``, and bytes by which it may make
            them larger. More is refused with ``EDQUOT``. ``None`` is no limit.
        max_created: Files, folders and links that the program may create in ``preopens``. More is refused
            with ``EDQUOT``. Removing them does not allow more. ``None`` is no limit.
        clock_resolution: Seconds to which the clocks are rounded down; 0 is as fine as the system's.
        random_seed: A number below 2**64 from which all random bytes follow, the same in every run;
            ``None`` is random bytes of the system.
        inherit_network: Whether components may use the network of this process. Modules have no sockets.
        allow_ip_name_lookup: Whether components may ask for the addresses of host names.

    Raises:
        TypeError: A field is of the wrong type.
        ValueError: Text with a NUL character, or that UTF-8 cannot hold; a limit out of range.

    `WasmStore.exceeded_limits` names the limits that refused something.
    """

    argv: Sequence[str] | str = ()
    env: Mapping[str, str] | str = MappingProxyType({})
    stdin: Input = None
    stdout: Output = None
    stderr: Output = None
    preopens: Mapping[str, HostDir] = MappingProxyType({})
    max_output: int | None = None
    max_descriptors: int = 64
    max_written: int | None = None
    max_created: int | None = None
    clock_resolution: float = 0
    random_seed: int | None = None
    inherit_network: bool = False
    allow_ip_name_lookup: bool = False

    def _check(self) -> None:
        if self.argv != "inherit":
            if isinstance(self.argv, (str, bytes)):
                raise TypeError(f'argv: expected a sequence of str or "inherit", got {self.argv!r}')
            self._set("argv", tuple(self.argv))
        if self.env != "inherit":
            if not isinstance(self.env, Mapping):
                raise TypeError(f'env: expected a mapping of str or "inherit", got {self.env!r}')
            self._set("env", dict(self.env))
        if not isinstance(self.preopens, Mapping):
            raise TypeError(f"preopens: expected a mapping of folders, got {self.preopens!r}")
        self._set("preopens", dict(self.preopens))
        for i, argument in enumerate(self._arguments()):
            _text(argument, f"argv[{i}]")
        for name, value in self._variables().items():
            if not _text(name, "env name") or "=" in name:
                raise ValueError(f"env name: expected a name without '=', got {name!r}")
            _text(value, f"env[{name!r}]")
        for guest, host in self.preopens.items():
            _text(guest, "folder of the guest")
            _path(host.path if isinstance(host, WritableDir) else host, f"folder of the guest {guest!r}")
        self._check_input(self.stdin)
        for _, stream in _OUTPUTS:
            self._check_output(stream, getattr(self, stream))
        for name in ("max_output", "max_written", "max_created"):
            _check_int(name, getattr(self, name), 0, 2**63, optional=True)
        _check_int("max_descriptors", self.max_descriptors, 3, 2**20)
        _check_int("random_seed", self.random_seed, 0, 2**64, optional=True)
        self._check_resolution(self.clock_resolution)
        for flag in ("inherit_network", "allow_ip_name_lookup"):
            if not isinstance(getattr(self, flag), bool):
                raise TypeError(f"{flag}: expected a bool, got {getattr(self, flag)!r}")

    @staticmethod
    def _check_resolution(seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"clock_resolution: expected a number of seconds, got {seconds!r}")
        if not 0 <= seconds <= _COARSEST:
            raise ValueError(f"clock_resolution: expected 0 to {_COARSEST} seconds, got {seconds!r}")

    @staticmethod
    def _check_input(source: Input) -> None:
        wanted = 'stdin: expected bytes, a pathlib.Path, a binary file, "inherit", "null" or None'
        if isinstance(source, str):
            if source not in {"inherit", "null"}:
                raise ValueError(f"{wanted}, got {source!r}")
        elif not (
            source is None
            or isinstance(source, (bytes, bytearray, memoryview, os.PathLike))
            or callable(getattr(source, "read", None))
        ):
            raise TypeError(f"{wanted}, got {source!r}")

    @staticmethod
    def _check_output(name: str, output: Output) -> None:
        wanted = f'{name}: expected a pathlib.Path, a callable, an open file, "inherit", "null" or None'
        if isinstance(output, str):
            if output not in {"inherit", "null"}:
                raise ValueError(f"{wanted}, got {output!r}")
        elif not (output is None or isinstance(output, os.PathLike) or _takes_bytes(output)):
            raise TypeError(f"{wanted}, got {output!r}")

    def _arguments(self) -> Sequence[str]:
        return sys.argv if self.argv == "inherit" else self.argv

    def _writable_folders(self) -> list[str]:
        return [host.path for host in self.preopens.values() if isinstance(host, WritableDir)]

    def _variables(self) -> Mapping[str, str]:
        env = self.env
        return _inherited(os.environ) if isinstance(env, str) else env


def _takes_bytes(output: object) -> bool:
    return callable(getattr(output, "write", None)) or callable(output)


def _writer(output: Any) -> tuple[Callable[[bytes], object], Callable[[], object]]:
    """How to hand bytes to ``output``, and what to call when there are no more."""
    write = getattr(output, "write", None)
    if not callable(write):
        return output, _nothing
    if not isinstance(output, io.TextIOBase):
        return write, _nothing
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write_text(data: bytes) -> None:
        write(decoder.decode(data))

    def end() -> None:
        if rest := decoder.decode(b"", final=True):
            write(rest)

    return write_text, end


def _nothing() -> None:
    pass


class WasiStreams:
    """A `WasiConfig` made real for one store: what C answers the program with, and the output for Python."""

    def __init__(self, config: WasiConfig) -> None:
        self._writers: list[tuple[int, Callable[[bytes], object], Callable[[], object]]] = []
        self._below = config._writable_folders()
        options = ffi.new(
            "wrt_wasi_options_t *",
            {
                "max_output": _no_limit(config.max_output),
                "max_written": _no_limit(config.max_written),
                "max_created": _no_limit(config.max_created),
                "max_descriptors": config.max_descriptors,
                "clock_resolution": max(round(config.clock_resolution * 1e9), 1),
                "seeded": config.random_seed is not None,
                "seed": config.random_seed or 0,
            },
        )
        made = lib.wrt_wasi_new(options)
        if made == NULL:
            raise MemoryError
        self._owner: Any = own(made, "wrt_wasi_delete")
        self._wasi: Any = owning(made, self._owner)
        self._set_strings(config)
        self._set_input(config.stdin)
        for stream, name in _OUTPUTS:
            self._set_output(stream, name, getattr(config, name))
        for guest, host in config.preopens.items():
            self._mount(guest, host)

    def give_to(self, core: Any) -> None:
        """Let functions of WASI in the store with the guard ``core`` use it. Inside the guard."""
        core.set_wasi(address_of(self._wasi), self._owner)

    def _set_strings(self, config: WasiConfig) -> None:
        variables = list(config._variables().items())  # while another thread may change what is inherited
        arguments = [_text(argument, "argv") for argument in config._arguments()]
        settings = [_text(name, "env") + b"=" + _text(value, "env") for name, value in variables]
        for strings, set_strings in (
            (arguments, lib.wrt_wasi_set_arguments),
            (settings, lib.wrt_wasi_set_environment),
        ):
            joined = b"".join(string + b"\0" for string in strings)
            if not set_strings(self._wasi, joined, len(joined), len(strings)):
                raise MemoryError

    def _set_input(self, source: Any) -> None:
        if source is None or (isinstance(source, str) and source == "null"):
            return
        if isinstance(source, str):
            lib.wrt_wasi_inherit(self._wasi, 0)
        elif isinstance(source, os.PathLike):
            try:
                opened = open_input(source, "stdin", self._below)
            except OSError as problem:
                raise WasmtimeError(f"stdin: {os.fspath(source)!r} cannot be read: {problem}") from None
            lib.wrt_wasi_file(self._wasi, 0, opened)
        else:
            data = source.read() if hasattr(source, "read") else source
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"stdin: expected a file that gives bytes, got {type(data).__name__} from it")
            given = exact_bytes(data)
            if not lib.wrt_wasi_input(self._wasi, given, len(given)):
                raise MemoryError

    def _set_output(self, stream: int, name: str, output: Any) -> None:
        if output is None or (isinstance(output, str) and output == "null"):
            return
        if isinstance(output, str):
            lib.wrt_wasi_inherit(self._wasi, stream)
        elif isinstance(output, os.PathLike):
            try:
                opened = open_output(output, name, self._below)
            except OSError as problem:
                raise WasmtimeError(f"{name}: {os.fspath(output)!r} cannot be written: {problem}") from None
            lib.wrt_wasi_file(self._wasi, stream, opened)
        else:
            self._writers.append((stream, *_writer(output)))
            lib.wrt_wasi_capture(self._wasi, stream)

    def _mount(self, guest: str, host: HostDir) -> None:
        writable = isinstance(host, WritableDir)
        path = host.path if isinstance(host, WritableDir) else host
        name = utf8(guest)
        where = f"folder of the guest {guest!r}"
        try:
            opened = open_folder(path, self._below)
        except OSError as problem:
            raise WasmtimeError(
                f"{where}: {os.fspath(path)!r} is no folder that can be opened: {problem}"
            ) from None
        try:
            if writable:
                check_mount(opened, os.fspath(path))
            if lib.wrt_wasi_mount(self._wasi, name, len(name), opened, writable) != 0:
                raise WasmtimeError(
                    f"{where}: it cannot be opened: max_descriptors, or the file descriptors of this process "
                    "(RLIMIT_NOFILE), are too few"
                )
        finally:
            os.close(opened)

    @property
    def truncated(self) -> tuple[str, ...]:
        """The names of the streams that went beyond their limit."""
        wasi = self._wasi
        if wasi is None:
            return self._truncated
        return tuple(name for stream, name in _OUTPUTS if lib.wrt_wasi_truncated(wasi, stream))

    @property
    def exceeded(self) -> tuple[str, ...]:
        """The names of the limits that refused something to the program."""
        wasi = self._wasi
        if wasi is None:
            return self._exceeded
        hit = lib.wrt_wasi_limits_hit(wasi)
        return tuple(name for i, name in enumerate(_LIMITS) if hit & 1 << i)

    def renew(self) -> None:
        """Let the program write and create as much as at the start again."""
        if (wasi := self._wasi) is not None:
            lib.wrt_wasi_renew(wasi)

    def drain(self) -> None:
        """Hand over what the program has written. Runs in the guard, when a call ends.

        A writer that raises gets no more of what was written so far; the others get theirs first.
        """
        wasi = self._wasi
        failed: BaseException | None = None
        for stream, write, _ in self._writers if wasi is not None else ():
            refused = False
            while (taken := lib.wrt_wasi_take(wasi, stream)) != NULL:
                piece = ffi.gc(taken, lib.wrt_piece_free)
                if refused:
                    continue
                data = bytes(ffi.buffer(piece.data, piece.size))
                del piece  # which is freed before more of it is made
                try:
                    write(data)
                except BaseException as problem:  # noqa: BLE001  it comes out of the call
                    failed, refused = failed or problem, True
        if failed is not None:
            raise failed

    def finish(self) -> None:
        """Hand over what `drain` left: half a character that nothing followed."""
        for _, _, end in self._writers:
            end()

    def let_go(self) -> None:
        """Close the files and folders, once nothing runs in the store any more."""
        self._truncated, self._exceeded = self.truncated, self.exceeded
        self._wasi = self._owner = None
