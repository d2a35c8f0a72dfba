"""Files and folders of the host that are named by paths: the only place that opens them.

A path may name anything: a pipe that nobody writes, a terminal, a device that never ends, a file that grows
while it is read, or a link that a program left where it may write. Here regular files and ``/dev/null`` are
opened, reads are bounded, and links are not followed below folders that a program may write.

Each function gives a descriptor, and what is done later is done with it: the name may mean something else by
then. Descriptors keep ``O_NONBLOCK``. It changes nothing for files of a file system, and some files of
``/proc`` wait without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Sequence

from ._path_walk import BelowWritable, HostPath, Private, follow, on_proc
from .errors import LimitError

MAX_SOURCE = 1 << 30
"""Bytes of the largest file that is read as a module. The engine refuses larger modules."""

_SAFE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE = 1 << 20

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "the pipe"),
    (stat.S_ISSOCK, "the socket"),
    (stat.S_ISCHR, "the device"),
    (stat.S_ISBLK, "the device"),
)

_OPEN_IT = "open it and pass the file"
_READ_IT = "read it and pass the bytes"


def open_input(path: HostPath, what: str, below: Sequence[HostPath] = (), *, instead: str = _OPEN_IT) -> int:
    """Open a file to read it.

    Args:
        path: The file.
        what: What the file is, for messages.
        below: The folders that the program may write.
        instead: What to do with another kind of file, for messages.

    Returns:
        A descriptor.

    Raises:
        OSError: If it cannot be opened, is a folder, or is reached by a link below one of the folders.
        ValueError: If it is neither a regular file nor ``/dev/null``.
    """
    return _open(path, os.O_RDONLY, what, below, instead)


def open_output(path: HostPath, what: str, below: Sequence[HostPath] = ()) -> int:
    """Open a file to write it, and make it empty. The arguments and errors are those of `open_input`.

    A file below one of the folders must not have a second name: a program with two folders can have given it.
    """
    opened = _open(path, os.O_WRONLY | os.O_CREAT, what, below, _OPEN_IT)
    try:
        if stat.S_ISREG(os.fstat(opened).st_mode):
            os.truncate(opened, 0)
    except BaseException:
        os.close(opened)
        raise
    return opened


def open_folder(path: HostPath, below: Sequence[HostPath] = ()) -> int:
    """Open a folder.

    Args:
        path: The folder.
        below: The folders that the program may write; it may be one of them.

    Returns:
        A descriptor.

    Raises:
        OSError: If it cannot be opened, is not a folder, is in ``/proc``, or is reached by a link below one
            of the folders.
        ValueError: If the path has a NUL.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    shown = os.fspath(path)  # of a number, the descriptor would be opened again
    opened = os.open(shown, flags) if not below else _open_folder_below(shown, flags, below)
    if on_proc(os.fstat(opened)):
        os.close(opened)
        raise PermissionError(
            errno.EACCES, "it is a folder of /proc, whose files reach into this process", shown
        )
    return opened


def _open_folder_below(shown: str | bytes, flags: int, below: Sequence[HostPath]) -> int:
    place = follow(shown, BelowWritable(below))
    try:
        return os.open(place.name, flags | (0 if place.follows else os.O_NOFOLLOW), dir_fd=place.folder)
    except OSError as problem:
        problem.filename = shown
        raise
    finally:
        place.close()


def open_private_folder(path: HostPath, *, make: bool) -> int:
    """Open a folder that nobody but this user and root can change, nor the way to it: see `Private`.

    Args:
        path: The folder, as an absolute path.
        make: Whether to make it, and the folders above it, for this user alone, if they are missing.

    Returns:
        A descriptor.

    Raises:
        OSError: If it is missing or another user can change it; the text tells which folder and why.
        ValueError: If the path has a NUL.
    """
    place = follow(path, Private(make=make))
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.folder)
    finally:
        place.close()


def read_file(path: HostPath, what: str, max_size: int | None = None, limit: str = "module_size") -> bytes:
    """Return the content of a file.

    Args:
        path: The file.
        what: What the file is, for messages.
        max_size: Bytes that it may have; `MAX_SOURCE` by default.
        limit: The name of that limit.

    Raises:
        LimitError: If it has more bytes, or grows while it is read.
        OSError: If it cannot be read or is a folder.
        ValueError: If it is neither a regular file nor ``/dev/null``.
    """
    shown = os.fspath(path)
    opened = open_input(shown, what, instead=_READ_IT)
    try:
        return read_descriptor(opened, shown, max_size, limit)
    except OSError as problem:
        problem.filename = shown
        raise
    finally:
        os.close(opened)


def read_descriptor(
    opened: int, shown: object, max_size: int | None = None, limit: str = "module_size"
) -> bytes:
    """Return what can be read from the descriptor ``opened``, to its end. See `read_file`."""
    most = MAX_SOURCE if max_size is None else max_size
    size = os.fstat(opened).st_size  # 0 for what is not a regular file, and for most files in /proc
    if size > most:
        raise LimitError(f"{limit}: {shown!r} has {size} bytes, allowed are {most}", limit)
    pieces, left, count = [], most + 1, max(size + 1, _PIECE)
    while left and (piece := os.read(opened, min(left, count))):
        pieces.append(piece)
        left, count = left - len(piece), _PIECE
    if not left:
        raise LimitError(f"{limit}: {shown!r} has more than {most} bytes", limit)
    return b"".join(pieces)


def write_file(path: HostPath, what: str, data: bytes, mode: int = 0o666) -> None:
    """Write a file as a whole: beside its place, and renamed then.

    So nobody sees half of it, a program that has the old file mapped keeps it, and a link with that name is
    replaced, not followed. An existing file keeps its permissions, as far as ``mode`` has them.

    Args:
        path: The file.
        what: What the file is, for messages.
        data: Its content.
        mode: The permissions of a new file, from which the umask takes some.

    Raises:
        OSError: If it cannot be written, or is a folder.
        ValueError: If it is neither a regular file nor ``/dev/null``.
    """
    shown = os.fsdecode(os.fspath(path))
    permissions = None
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(shown)
        _check_kind(status, shown, what, "write the standard output, and redirect it")
        if is_null(status):
            return
        permissions = stat.S_IMODE(status.st_mode) & mode
    folder, name = os.path.split(shown)
    if not name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), shown)
    temporary = os.path.join(folder, f".{os.urandom(8).hex()}.writing")
    try:
        opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | _SAFE, mode)
        try:
            with open(opened, "wb") as file:
                if permissions is not None:
                    os.fchmod(opened, permissions)
                file.write(data)
            os.replace(temporary, shown)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as problem:
        problem.filename, problem.filename2 = shown, None
        raise


class Descriptor:
    """A descriptor that is closed when nothing refers to it any more."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        """Close it."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


def _open(path: HostPath, flags: int, what: str, below: Sequence[HostPath], instead: str) -> int:
    shown = os.fspath(path)
    if not below:
        return _open_file(shown, flags, None, shown, what, instead)
    if shown[-1:] in {"/", b"/"}:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), shown)
    rule = BelowWritable(below)
    place = follow(shown, rule)
    try:
        if not place.follows:
            flags |= os.O_NOFOLLOW
        opened = _open_file(place.name, flags, place.folder, shown, what, instead)
    finally:
        place.close()
    above = rule.above(place.trail)
    if above is not None and flags & os.O_CREAT and os.fstat(opened).st_nlink > 1:
        os.close(opened)
        raise PermissionError(
            errno.EACCES,
            f"it has a second name (a hard link), maybe outside of {above!r}, which the program may write",
            shown,
        )
    return opened


def _open_file(
    name: str | bytes, flags: int, folder: int | None, shown: str | bytes, what: str, instead: str
) -> int:
    """Open ``name`` in ``folder``, or where it is, if it is a file that can be read and written at once.

    The kind is looked at before, because opening a device or a pipe may do something, and after, because
    the name may mean something else by then.
    """
    try:
        try:
            before = os.stat(name, dir_fd=folder, follow_symlinks=not flags & os.O_NOFOLLOW)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        else:
            _check_kind(before, shown, what, instead)
        opened = os.open(name, flags | _SAFE, 0o666, dir_fd=folder)
    except OSError as problem:
        problem.filename = shown
        raise
    try:
        _check_kind(os.fstat(opened), shown, what, instead)
    except BaseException:
        os.close(opened)
        raise
    return opened


def _check_kind(status: os.stat_result, shown: str | bytes, what: str, instead: str) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode) or is_null(status):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), shown)
    if stat.S_ISLNK(mode):  # where links are not followed: it was something else a moment ago
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), shown)
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else,")
    raise ValueError(f"{what}: expected a regular file or {os.devnull}, got {kind} {shown!r}: {instead}")


def is_null(status: os.stat_result) -> bool:
    """Return whether a file is ``/dev/null``, under whatever name."""
    if not stat.S_ISCHR(status.st_mode):
        return False
    try:
        null = os.stat(os.devnull)
    except OSError:
        return False
    return stat.S_ISCHR(null.st_mode) and status.st_rdev == null.st_rdev
