"""WASI: what a program may see of the world. Nothing is inherited unless asked for.

Streams that Python reads or writes go through sinks in C: the engine writes on threads of its own,
which never enter Python. What they hold is handed over when the call that wrote it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, Union

from ._lowlevel import ffi, lib
from ._record import Record
from .errors import WasmtimeError


class BinaryWriter(Protocol):
    """Anything that takes bytes: an open binary file, an ``io.BytesIO``."""

    def write(self, data: bytes, /) -> object:
        """Take ``data``."""


class WritableDir(Record):
    """A folder of the host in which a program may create, change and delete; made by `rw`."""

    path: str


def rw(path: str | os.PathLike[str]) -> WritableDir:
    """Mark a folder of the host as writable, for the ``preopens`` of a `WasiConfig`."""
    return WritableDir(os.fspath(path))


HostDir = Union[str, "os.PathLike[str]", WritableDir]
Input = Union[bytes, str, "os.PathLike[str]", None]
Output = Union[str, "os.PathLike[str]", BinaryWriter, Callable[[bytes], object], None]


def _text(value: object, what: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{what}: expected str, got {value!r}")
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}: expected text that UTF-8 can hold, got {value!r}") from None
    if b"\0" in data:
        raise ValueError(f"{what}: expected no NUL character, got {value!r}")
    return data


def _path(value: object, what: str) -> bytes:
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value, what)


class WasiConfig(Record):
    """What a WASI program may see. A plain value, used for any number of stores.

    Attributes:
        argv: Its arguments, the program's own name first.
        env: Its environment variables.
        stdin: ``None`` for an empty input, bytes, the path of a file, or ``"inherit"``.
        stdout: ``None`` to drop it, the path of a file to write, ``"inherit"``, a callable that takes
            bytes, or an open binary file; the last two get what was written when each call ends.
        stderr: The same for errors.
        preopens: Folders of the host by the name that the program sees, as in ``{"/data": "."}``: read
            only, unless marked with `rw`.

    Raises:
        TypeError: A field is of the wrong type.
        ValueError: Text with a NUL character, or that UTF-8 cannot hold.

    C API: ``wasi_config_*``.
    """

    argv: Sequence[str] = ()
    env: Mapping[str, str] = MappingProxyType({})
    stdin: Input = None
    stdout: Output = None
    stderr: Output = None
    preopens: Mapping[str, HostDir] = MappingProxyType({})

    def _check(self) -> None:
        if isinstance(self.argv, (str, bytes)):
            raise TypeError(f"argv: expected a sequence of str, got {self.argv!r}")
        self._set("argv", tuple(self.argv))
        self._set("env", dict(self.env))
        self._set("preopens", dict(self.preopens))
        for i, argument in enumerate(self.argv):
            _text(argument, f"argv[{i}]")
        for name, value in self.env.items():
            if not _text(name, "env name") or "=" in name:
                raise ValueError(f"env name: expected a name without '=', got {name!r}")
            _text(value, f"env[{name!r}]")
        for guest, host in self.preopens.items():
            _text(guest, "preopens: folder of the guest")
            _path(host.path if isinstance(host, WritableDir) else host, f"preopens[{guest!r}]")
        if not (self.stdin in {None, "inherit"} if isinstance(self.stdin, (str, type(None))) else True):
            raise ValueError(f'stdin: expected bytes, a pathlib.Path, "inherit" or None, got {self.stdin!r}')
        if not isinstance(self.stdin, (bytes, str, os.PathLike, type(None))):
            raise TypeError(f'stdin: expected bytes, a pathlib.Path, "inherit" or None, got {self.stdin!r}')
        for name in ("stdout", "stderr"):
            self._check_output(name, getattr(self, name))

    @staticmethod
    def _check_output(name: str, output: Output) -> None:
        wanted = f'{name}: expected a pathlib.Path, a callable, a binary file, "inherit" or None'
        if isinstance(output, str):
            if output != "inherit":
                raise ValueError(f"{wanted}, got {output!r}")
        elif not (output is None or isinstance(output, os.PathLike) or _writer(output) is not None):
            raise TypeError(f"{wanted}, got {output!r}")


def _writer(output: Any) -> Callable[[bytes], object] | None:
    """How to hand bytes to ``output``, if it takes them."""
    write = getattr(output, "write", None)
    if callable(write):
        return write  # type: ignore[no-any-return]
    return output if callable(output) else None


class WasiStreams:
    """A `WasiConfig` made real for one store: the C configuration, and the sinks that Python drains."""

    def __init__(self, config: WasiConfig) -> None:
        self._sinks: list[tuple[Any, Callable[[bytes], object]]] = []
        self._config = ffi.gc(lib.wasi_config_new(), lib.wasi_config_delete)
        self._set_strings(config)
        self._set_input(config.stdin)
        for name, output in (("stdout", config.stdout), ("stderr", config.stderr)):
            self._set_output(name, output)
        for guest, host in config.preopens.items():
            self._preopen(guest, host)

    def take_config(self) -> Any:
        """The ``wasi_config_t *``, for a store to consume."""
        config, self._config = self._config, None
        ffi.gc(config, None)  # the store's now
        return config

    def _set_strings(self, config: WasiConfig) -> None:
        def strings(values: Any) -> tuple[Any, list[Any]]:
            held = [ffi.new("char[]", value.encode()) for value in values]
            return ffi.new("const char *[]", held or 1), held

        argv, _keep_argv = strings(config.argv)
        names, _keep_names = strings(config.env.keys())
        values, _keep_values = strings(config.env.values())
        if not lib.wasi_config_set_argv(self._config, len(config.argv), argv):
            raise WasmtimeError("argv: the engine refuses it")
        if not lib.wasi_config_set_env(self._config, len(config.env), names, values):
            raise WasmtimeError("env: the engine refuses it")

    def _set_input(self, source: Input) -> None:
        if source == "inherit":
            lib.wasi_config_inherit_stdin(self._config)
        elif isinstance(source, bytes):
            content = ffi.new("wasm_byte_vec_t *")
            lib.wasm_byte_vec_new(content, len(source), source)
            lib.wasi_config_set_stdin_bytes(self._config, content)
        elif source is not None and not lib.wasi_config_set_stdin_file(self._config, _path(source, "stdin")):
            raise WasmtimeError(f"stdin: {os.fspath(source)!r} cannot be read")

    def _set_output(self, name: str, output: Output) -> None:
        if output is None:
            return
        if output == "inherit":
            getattr(lib, f"wasi_config_inherit_{name}")(self._config)
        elif isinstance(output, os.PathLike):
            if not getattr(lib, f"wasi_config_set_{name}_file")(self._config, _path(output, name)):
                raise WasmtimeError(f"{name}: {os.fspath(output)!r} cannot be written")
        elif (write := _writer(output)) is not None:
            sink = ffi.gc(lib.wrt_sink_new(), lib.wrt_sink_release)
            getattr(lib, f"wrt_sink_as_{name}")(sink, self._config)
            self._sinks.append((sink, write))

    def _preopen(self, guest: str, host: HostDir) -> None:
        writable = isinstance(host, WritableDir)
        path = _path(host.path if isinstance(host, WritableDir) else host, f"preopens[{guest!r}]")
        if not lib.wasi_config_preopen_dir(self._config, path, guest.encode(), writable):
            raise WasmtimeError(f"preopens[{guest!r}]: {path.decode()!r} is no folder that can be opened")

    def drain(self) -> None:
        """Hand over what the program has written. Runs in the guard, when a call ends."""
        for sink, write in self._sinks:
            while size := lib.wrt_sink_size(sink):
                chunk = bytearray(size)
                taken = lib.wrt_sink_take(sink, ffi.from_buffer(chunk), size)
                write(bytes(chunk[:taken]))
