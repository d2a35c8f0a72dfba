"""WASI: what a program may see of the world. Nothing is inherited unless asked for.

Streams that Python reads or writes go through sinks in C: the engine writes on threads of its own,
which never enter Python. What they hold is handed over when the call that wrote it ends.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, Union

from ._cache_folder import check_mount
from ._exact import exact_bytes, utf8
from ._host_files import open_folder, open_input, open_output
from ._lowlevel import NULL, ffi, lib, own, owning
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

_STREAMS = ("stdout", "stderr")
_NO_LIMIT = 2**64 - 1


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
        inherit_network: Whether components may use the network of this process. Modules have no sockets.
        allow_ip_name_lookup: Whether components may ask for the addresses of host names.

    Raises:
        TypeError: A field is of the wrong type.
        ValueError: Text with a NUL character, or that UTF-8 cannot hold; a limit out of range.

    C API: ``wasi_config_new`` and its setters. Arguments and environment are copied where they are inherited:
    the engine's own way ends the process where something is not UTF-8.
    """

    argv: Sequence[str] | str = ()
    env: Mapping[str, str] | str = MappingProxyType({})
    stdin: Input = None
    stdout: Output = None
    stderr: Output = None
    preopens: Mapping[str, HostDir] = MappingProxyType({})
    max_output: int | None = None
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
        for stream in _STREAMS:
            self._check_output(stream, getattr(self, stream))
        limit = self.max_output
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise TypeError(f"max_output: expected an int or None, got {limit!r}")
        if limit is not None and not 0 <= limit < 2**63:
            raise ValueError(f"max_output: expected None or 0 <= max_output < 2**63, got {limit}")
        for flag in ("inherit_network", "allow_ip_name_lookup"):
            if not isinstance(getattr(self, flag), bool):
                raise TypeError(f"{flag}: expected a bool, got {getattr(self, flag)!r}")

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


@contextlib.contextmanager
def _opened(open_: Callable[[], int], otherwise: str) -> Iterator[bytes]:
    """A name for what ``open_`` opens, which the engine opens again."""
    try:
        opened = open_()
    except OSError as problem:
        raise WasmtimeError(f"{otherwise}: {problem}") from None
    try:
        yield f"/proc/self/fd/{opened}".encode()
    finally:
        os.close(opened)


class WasiStreams:
    """A `WasiConfig` made real for one store: the C configuration, and the sinks that Python drains."""

    def __init__(self, config: WasiConfig) -> None:
        self._writers: list[tuple[Any, Callable[[bytes], object], Callable[[], object]]] = []
        self._sinks: dict[str, Any] = {}
        self._limit = config.max_output
        #: Whether the engine may start a thread in the middle of a call: see `_process.check_threads`.
        self.may_need_threads = (
            bool(config.preopens) or config.stdin == "inherit" or isinstance(config.stdin, os.PathLike)
        )
        self._below = config._writable_folders()
        self._config = ffi.gc(lib.wasi_config_new(), lib.wasi_config_delete)
        self._set_strings(config)
        self._set_input(config.stdin)
        for name in _STREAMS:
            self._set_output(name, getattr(config, name))
        for guest, host in config.preopens.items():
            self._preopen(guest, host)
        if config.inherit_network:
            lib.wasi_config_inherit_network(self._config)
        if config.allow_ip_name_lookup:
            lib.wasi_config_allow_ip_name_lookup(self._config, True)

    def take_config(self) -> Any:
        """The ``wasi_config_t *``, for a store to consume."""
        config, self._config = self._config, None
        ffi.gc(config, None)  # the store's now
        return config

    def _set_strings(self, config: WasiConfig) -> None:
        def strings(values: Any, what: str) -> tuple[Any, list[Any]]:
            held = [ffi.new("char[]", _text(value, what)) for value in values]
            return ffi.new("const char *[]", held or 1), held

        variables = list(config._variables().items())  # while another thread may change what is inherited
        argv, held_argv = strings(config._arguments(), "argv")
        names, held_names = strings((name for name, _ in variables), "env")
        values, _held_values = strings((value for _, value in variables), "env")
        if not lib.wasi_config_set_argv(self._config, len(held_argv), argv):
            raise WasmtimeError("argv: the engine refuses it")
        if not lib.wasi_config_set_env(self._config, len(held_names), names, values):
            raise WasmtimeError("env: the engine refuses it")

    def _set_input(self, source: Any) -> None:
        if source is None or (isinstance(source, str) and source == "null"):
            return
        if isinstance(source, str):
            lib.wasi_config_inherit_stdin(self._config)
        elif isinstance(source, os.PathLike):
            wrong = f"stdin: {os.fspath(source)!r} cannot be read"
            with _opened(lambda: open_input(source, "stdin", self._below), wrong) as name:
                if not lib.wasi_config_set_stdin_file(self._config, name):
                    raise WasmtimeError(wrong)
        else:
            data = source.read() if hasattr(source, "read") else source
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"stdin: expected a file that gives bytes, got {type(data).__name__} from it")
            content, given = ffi.new("wasm_byte_vec_t *"), exact_bytes(data)
            lib.wasm_byte_vec_new(content, len(given), given)
            lib.wasi_config_set_stdin_bytes(self._config, content)

    def _set_output(self, name: str, output: Any) -> None:
        if output is None or (isinstance(output, str) and output == "null"):
            return
        if isinstance(output, str):
            getattr(lib, f"wasi_config_inherit_{name}")(self._config)
        elif not isinstance(output, os.PathLike):
            self._writers.append((self._sink(name, -1), *_writer(output)))
        else:
            try:
                self._sink(name, open_output(output, name, self._below))
            except OSError as problem:
                raise WasmtimeError(f"{name}: {os.fspath(output)!r} cannot be written: {problem}") from None

    def _sink(self, name: str, descriptor: int) -> Any:
        made = lib.wrt_sink_new(descriptor, _NO_LIMIT if self._limit is None else self._limit)
        if made == NULL:
            raise MemoryError
        sink = self._sinks[name] = owning(made, own(made, "wrt_sink_release"))
        getattr(lib, f"wrt_sink_as_{name}")(sink, self._config)
        return sink

    def _preopen(self, guest: str, host: HostDir) -> None:
        writable = isinstance(host, WritableDir)
        path = host.path if isinstance(host, WritableDir) else host
        wrong = f"folder of the guest {guest!r}: {os.fspath(path)!r} is no folder that can be opened"

        def open_() -> int:
            opened = open_folder(path, self._below)
            try:
                if writable:
                    check_mount(opened, os.fspath(path))
            except BaseException:
                os.close(opened)
                raise
            return opened

        with _opened(open_, wrong) as name:
            if not lib.wasi_config_preopen_dir(self._config, name, utf8(guest), writable):
                raise WasmtimeError(wrong)

    @property
    def truncated(self) -> tuple[str, ...]:
        """The names of the streams that went beyond their limit."""
        return tuple(name for name, sink in self._sinks.items() if lib.wrt_sink_truncated(sink))

    def renew(self) -> None:
        """Let the program write as much as at the start again."""
        for sink in self._sinks.values():
            lib.wrt_sink_renew(sink, _NO_LIMIT if self._limit is None else self._limit)

    def drain(self) -> None:
        """Hand over what the program has written. Runs in the guard, when a call ends.

        A writer that raises gets no more of what was written so far; the others get theirs first.
        """
        failed: BaseException | None = None
        for sink, write, _ in self._writers:
            refused = False
            while (taken := lib.wrt_sink_take(sink)) != NULL:
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
