"""Where compiled code is cached, and that no program may write there.

Entries of the cache are machine code that later runs execute, so a folder that holds a cache must not be
mounted writable: a program could leave an entry of its own.
"""

from __future__ import annotations

import os
import sys

from ._path_walk import ancestors_of, identity

_VARIABLE = "WASMTIME_RT_CACHE"
_OFF = {"0", "off", "no", "none"}
_MOST_FOLDERS = 64
_folders: dict[str, None] = {}


def protect(folder: str) -> None:
    """Remember a folder that a cache is in, beside the default one. The first of too many is forgotten."""
    if folder not in _folders:
        for oldest in list(_folders)[: len(_folders) + 1 - _MOST_FOLDERS]:
            _folders.pop(oldest, None)
        _folders[folder] = None


def check_mount(opened: int, shown: str) -> None:
    """Refuse to let a program write a folder that holds a cache.

    Args:
        opened: A descriptor of the folder to mount.
        shown: Its path, for messages.

    Raises:
        ValueError: If a cache is in it or beneath it.
    """
    mounted, default = identity(os.fstat(opened)), default_folder()
    for folder in (*_folders, *(() if default is None else (default,))):
        if mounted in ancestors_of(folder):
            raise ValueError(
                f"mounts: the program could write {shown!r}, which holds the code cache {folder!r}: "
                f"mount another folder, or set {_VARIABLE} to a folder elsewhere, or to off"
            )


def default_folder() -> str | None:
    """Where the cache is unless something else is said; ``None`` where the environment turns it off."""
    told = os.environ.get(_VARIABLE)
    if told:  # a relative path is off: it would take machine code from wherever the program was started
        return None if told.lower() in _OFF or not os.path.isabs(told) else os.path.abspath(told)
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        told = os.environ.get("XDG_CACHE_HOME", "")
        base = told if os.path.isabs(told) else "~/.cache"
    base = os.path.expanduser(base)
    return os.path.abspath(os.path.join(base, "wasmtime_rt")) if os.path.isabs(base) else None
