"""Profiles of a store: a guest profiler on its epoch callback, and a beat of the ticker to sample at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._exact import utf8
from ._failure import check
from ._guest_names import without_prefix
from ._host_files import Descriptor, open_output
from ._importing import Importing
from ._lowlevel import NULL, byte_vector, disown, ffi, lib, own, take_bytes
from ._text import shown_name
from .errors import WasmtimeError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .store import WasmStore

_SHORTEST, _LONGEST = 1e-5, 3600.0


def _name(text: str) -> tuple[Any, Any]:
    """A ``wasm_name_t *`` that borrows its bytes, and what they are in: to be kept as long."""
    encoded = utf8(text, "replace")
    data = ffi.new("char[]", encoded)
    return ffi.new("wasm_name_t *", (len(encoded), data)), data


#: What stands in front of the names in a profile. In a name, the second quotation mark would be escaped.
_NAMES = b'"stringArray":'


def _shown_profile(profile: bytes) -> bytes:
    """Return a profile of the engine's with the names of functions as error messages show them."""
    with Importing():
        import json  # noqa: PLC0415  rarely needed

    head, found, rest = profile.partition(_NAMES)
    if not found:
        return profile
    text = rest.decode()
    names, end = json.JSONDecoder().raw_decode(text)
    shown = [shown_name(without_prefix(name)) for name in names]
    return b"".join((head, found, json.dumps(shown).encode(), text[end:].encode()))


class StoreProfile:
    """A profile of a store while a ``with`` block runs, made by `WasmStore.profile`."""

    __slots__ = ("_beat", "_file", "_interval", "_path", "_pointers", "_profiler", "_samples", "_store")
    _store: WasmStore
    _path: Any
    _file: Descriptor | None
    _interval: float
    _samples: int
    _pointers: dict[str, Any] | None
    _profiler: Any
    _beat: Any

    def __init__(self) -> None:
        raise TypeError("a StoreProfile is made by WasmStore.profile")

    @classmethod
    def _of(
        cls, store: WasmStore, path: str | os.PathLike[str], interval: float, pointers: dict[str, Any]
    ) -> StoreProfile:
        """A profile of a store with epochs, of modules, as ``wasmtime_module_t *``, by the names to show."""
        self = cls.__new__(cls)
        if isinstance(interval, bool) or not isinstance(interval, (int, float)):
            raise TypeError(f"interval: expected seconds as a number, got {interval!r}")
        interval = float(interval)
        if not _SHORTEST <= interval <= _LONGEST:
            raise ValueError(f"interval: expected {_SHORTEST} to {_LONGEST:.0f} seconds, got {interval!r}")
        self._store, self._path, self._interval = store, os.fspath(path), interval
        self._file = None
        self._pointers = pointers
        self._profiler = self._beat = None
        self._samples = 0
        return self

    @property
    def samples(self) -> int:
        """How many samples were taken so far."""
        if self._store._profile is self and not self._store._core.closed:
            with self._store._core:
                self._samples = int(lib.wrt_epochs_samples(self._store._core.epochs))
        return self._samples

    def __reduce__(self) -> Any:
        raise TypeError("a StoreProfile lives in its process: it cannot be copied or pickled")

    def __enter__(self) -> Self:
        store = self._store
        if self._pointers is None:
            raise WasmtimeError("this profile was taken already: call profile() again")
        with store._core:
            # One whose block ended while another thread was in the store is running no more.
            if store._profile is not None and store._profile._beat is not None:
                raise WasmtimeError("another profile of this store is running")
            nanoseconds = int(self._interval * 1e9)
            profiler = self._new_profiler(nanoseconds)
            beat = lib.wrt_beat_new(store._core.epochs, nanoseconds)
            if beat == NULL:
                raise WasmtimeError("no thread can be started to take the samples")
            beat = own(beat, "wrt_beat_delete")
            # Opened now and written later: meanwhile a program may put something else there.
            self._file = Descriptor(open_output(self._path, "path", store._writable_folders))
            self._profiler, self._beat = profiler, beat
            store._profile = self  # so that the profiler lives as long as the store that samples into it
            try:
                lib.wrt_epochs_set_profiler(store._core.epochs, profiler[0], nanoseconds)
            except BaseException:  # of a signal handler
                lib.wrt_epochs_set_profiler(store._core.epochs, NULL, 0)
                store._profile = None
                raise
        return self

    def _new_profiler(self, nanoseconds: int) -> Any:
        pointers, self._pointers = self._pointers or {}, None
        title, *names = (_name(text) for text in ("wasmtime_rt", *pointers))
        # One at least, since the engine takes no null pointer.
        modules = ffi.new("wasmtime_guestprofiler_modules_t[]", len(pointers) + 1)
        for i, pointer in enumerate(pointers.values()):
            modules[i].name, modules[i].mod = names[i][0], pointer
        profiler = lib.wasmtime_guestprofiler_new(
            self._store._core.engine, title[0], nanoseconds, modules, len(pointers)
        )
        return profiler, own(profiler, "wasmtime_guestprofiler_delete")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        store = self._store
        if self._profiler is None:
            return
        self._beat = None
        if store._profile is self:
            # In a store that was closed later, a call may still be running, and sampled.
            if not store._core.closed or store._core.depth:
                with store._core:
                    self._samples = int(lib.wrt_epochs_samples(store._core.epochs))
                    lib.wrt_epochs_set_profiler(store._core.epochs, NULL, 0)
            store._profile = None
        (profiler, owner), self._profiler = self._profiler, None
        target, self._file = self._file, None
        if target is None:
            return
        made = byte_vector()
        disown(owner)  # the engine's now
        check(lib.wasmtime_guestprofiler_finish(profiler, made))
        with open(target.number, "wb", closefd=False) as file:
            file.write(_shown_profile(take_bytes(made)))
        target.close()

    def __repr__(self) -> str:
        return f"<StoreProfile {self._path!r} {self._samples} samples>"
