"""Where compiled code is cached, and that no program may write there.

Entries of the cache are machine code that later runs execute, so a folder that holds a cache must not be
mounted writable: a program could leave an entry of its own.
"""

from __future__ import annotations

import os
import sys

from ._importing import Importing
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
        try:
            above = ancestors_of(folder)
        except (OSError, ValueError):  # which can be used as a cache neither
            continue
        if mounted in above:
            raise ValueError(
                f"mounts: the program could write {shown!r}, which holds the code cache {folder!r}: "
                f"mount another folder, or set {_VARIABLE} to a folder elsewhere, or to off"
            )


def default_folder() -> str | None:
    """Where the cache is unless something else is said; ``None`` where the environment turns it off."""
    told = os.environ.get(_VARIABLE)
    if told:  # a relative path is off: it would take machine code from wherever the program was started
        return None if told.lower() in _OFF or not os.path.isabs(told) else os.path.abspath(told)
    base = cache_home()
    return None if base is None else os.path.join(base, "wasmtime_rt")


def cache_home() -> str | None:
    """The folder for the caches of this user's programs; ``None`` if there is none."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = _home()
        if home is None:
            return None
        base = os.path.join(home, "Library/Caches" if sys.platform == "darwin" else ".cache")
    return os.path.abspath(base)


def _home() -> str | None:
    """The home of this user: what ``HOME`` says, if that is an absolute path, or else the system."""
    home = os.environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    with Importing():
        import pwd  # noqa: PLC0415  rarely needed

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return home if os.path.isabs(home) else None
