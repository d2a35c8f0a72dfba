"""Paths of the host that are followed one component at a time, so that each folder and link is judged.

The kernel follows a whole path at once, links included. `follow` opens one folder after the other and reads
links itself, so that a rule sees each of them before it counts. What was judged is held by a descriptor:
whoever renames it meanwhile changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, Union

from ._importing import Importing

HostPath: TypeAlias = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Identity: TypeAlias = tuple[int, int]
"""The device and the number of a file or folder, which tell it from all others."""

_PATH = getattr(os, "O_PATH", os.O_RDONLY)
_FOLDER = _PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel
_MOST_COMPONENTS = 4096
_MOST_CHARACTERS = 4096  # as the kernel


def identity(status: os.stat_result) -> Identity:
    """Return what tells a file from all others."""
    return status.st_dev, status.st_ino


class Link(NamedTuple):
    """A symbolic link on the way: ``name`` in ``folder``, a descriptor, which ``trail`` ends with."""

    status: os.stat_result
    trail: Sequence[Identity]
    folder: int
    name: str

    @property
    def shown(self) -> str:
        """Its path, for messages."""
        return _shown(self.folder, self.name)


class Rule:
    """What a path has to fulfil on its way: nothing, in this class."""

    #: Whether the last component is a folder to enter, too.
    enters_last = False
    #: Whether to make folders that are missing.
    makes_folders = False

    def enter(self, folder: int, *, is_last: bool) -> None:
        """Judge the folder with the descriptor ``folder``.

        Raises:
            OSError: If the path must not go through it.
        """

    def check_link(self, link: Link) -> None:
        """Judge a link.

        Raises:
            OSError: If the path must not go through it.
        """


class BelowWritable(Rule):
    """No links below folders that a guest may write: a guest may have left them there."""

    def __init__(self, folders: Sequence[HostPath]) -> None:
        self.identities: dict[Identity, str] = {
            identity(os.stat(folder)): os.fsdecode(os.fspath(folder)) for folder in folders
        }

    def above(self, trail: Sequence[Identity]) -> str | None:
        """The path of the one of the folders that ``trail`` leads through, if it does."""
        return next((self.identities[folder] for folder in trail if folder in self.identities), None)

    def check_link(self, link: Link) -> None:
        """Refuse a link in or beneath one of the folders."""
        folder = self.above(link.trail)
        if folder is not None:
            raise OSError(
                errno.ELOOP,
                f"it is a symbolic link below {folder!r}, which the program may write; it is not followed",
                link.shown,
            )


class Private(Rule):
    """Folders that nobody but this user and root can change.

    A folder that everybody may write is accepted if it is sticky, as ``/tmp``: there nobody can rename or
    remove what belongs to this user. A folder that a group may write is accepted if the group is this user's
    own: with the umask 002, which some distributions set, every folder in a home is like that. The last
    folder must not be writable for any other in either way.
    """

    enters_last = True

    def __init__(self, *, make: bool) -> None:
        self.makes_folders = make

    def enter(self, folder: int, *, is_last: bool) -> None:
        """Refuse a folder that another user owns or may write."""
        status = os.fstat(folder)
        _check_owner(status, folder)
        others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not others:
            return
        if not is_last:
            if status.st_mode & stat.S_ISVTX:
                return
            if others == stat.S_IWGRP and _is_own_group(status.st_gid) and not _has_acl(folder):
                return
        raise PermissionError(errno.EACCES, "other users may write this folder", _shown(folder))

    def check_link(self, link: Link) -> None:
        """Refuse a link that another user owns, or one of ``/proc``, which skips the folders between."""
        _check_owner(link.status, link.folder, link.name)
        if on_proc(link.status):
            raise PermissionError(errno.EACCES, "it is a link of /proc", link.shown)


def _check_owner(status: os.stat_result, folder: int, name: str = "") -> None:
    if status.st_uid not in {0, os.geteuid()}:
        raise PermissionError(
            errno.EACCES,
            f"it belongs to user {status.st_uid}, not to root or user {os.geteuid()}",
            _shown(folder, name),
        )


def _is_own_group(group: int) -> bool:
    """Whether ``group`` is a group for this user alone, by its name and its members."""
    with Importing():
        import grp  # noqa: PLC0415  rarely needed
        import pwd  # noqa: PLC0415

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and not {*found.gr_mem} - {user.pw_name}


def _has_acl(folder: int) -> bool:
    """Whether an access control list names further users, which the mode shows as the group's permission."""
    try:
        os.getxattr(f"/proc/self/fd/{folder}", "system.posix_acl_access")
    except OSError as problem:
        return problem.errno not in {errno.ENODATA, errno.ENOTSUP}
    return True


class Place:
    """Where a path ends: ``name`` in the folder with the descriptor ``folder``, which `close` closes.

    ``follows`` tells that ``name`` is a link of ``/proc``, which only the kernel can follow.
    """

    __slots__ = ("folder", "follows", "links", "name", "trail")

    def __init__(self, folder: int, trail: list[Identity]) -> None:
        self.folder, self.trail = folder, trail
        self.name, self.follows, self.links = ".", False, 0

    def go(self, folder: int, trail: list[Identity]) -> None:
        """Go to another folder."""
        before, self.folder, self.trail = self.folder, folder, trail
        os.close(before)

    def close(self) -> None:
        """Close the folder."""
        folder, self.folder = self.folder, -1
        if folder >= 0:
            os.close(folder)

    def __del__(self) -> None:
        self.close()


def follow(path: HostPath, rule: Rule) -> Place:
    """Return where ``path`` ends, after ``rule`` has judged each folder and link on the way.

    Unless the rule enters it, the last component is looked at, but not opened. It may be missing. It is not a
    link, unless the place says that the kernel has to follow it.

    Args:
        path: A path, absolute or relative.
        rule: What judges.

    Raises:
        OSError: If a component cannot be opened, or the rule refuses it.
        ValueError: If the path has a NUL.
    """
    text = os.fsdecode(os.fspath(path))
    if not text:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)
    if len(text) > _MOST_CHARACTERS:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), text[:256])
    place = _start(text.startswith("/"), rule, is_last=not text.strip("/"))
    name, todo = text, _components(text)
    try:
        while todo:
            name = todo.pop()
            if name == "..":
                _go_up(place)
            else:
                _go_on(place, rule, name, todo)
    except BaseException as problem:
        if isinstance(problem, OSError) and problem.filename == name:
            problem.filename = _shown(place.folder, name)
        place.close()
        raise
    return place


def _go_on(place: Place, rule: Rule, name: str, todo: list[str]) -> None:
    """Go to ``name``, or through it if it is a link. The path ends there if nothing is left to do."""
    try:
        status = os.stat(name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        if not rule.makes_folders:
            if todo or rule.enters_last:
                raise
            place.name = name
            return
        with contextlib.suppress(FileExistsError):  # another process made it
            os.mkdir(name, 0o700, dir_fd=place.folder)
        status = os.stat(name, dir_fd=place.folder, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        place.links += 1
        if place.links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        rule.check_link(Link(status, place.trail, place.folder, name))
        if not on_proc(status):
            todo += _through_link(place, name)
        elif todo:
            opened = os.open(name, _FOLDER, dir_fd=place.folder)
            place.go(opened, _ancestors(opened))
        else:
            place.name, place.follows = name, True
    elif todo or rule.enters_last:
        opened = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=place.folder)
        place.go(opened, [*place.trail, identity(os.fstat(opened))])
        rule.enter(opened, is_last=not todo)
    else:
        place.name = name


def _components(text: str) -> list[str]:
    """The components of a path, the last one first."""
    return [name for name in reversed(text.split("/")) if name not in {"", "."}]


def _start(absolute: bool, rule: Rule, *, is_last: bool) -> Place:
    folder = os.open("/" if absolute else ".", _FOLDER)
    place = Place(folder, [])
    place.trail = [identity(os.fstat(folder))] if absolute else _ancestors(folder)
    rule.enter(folder, is_last=is_last)
    return place


def _through_link(place: Place, name: str) -> list[str]:
    """The components of the path in the link ``name``, which starts at ``place`` after this."""
    target = os.readlink(name, dir_fd=place.folder)
    if target.startswith("/"):
        root = os.open("/", _FOLDER)
        place.go(root, [identity(os.fstat(root))])
    return _components(target)


def _go_up(place: Place) -> None:
    """Go to the folder above, which is the one that the path came through."""
    trail = place.trail[:-1] or place.trail
    above = os.open("..", _FOLDER, dir_fd=place.folder)
    place.go(above, trail)
    if identity(os.fstat(above)) != trail[-1]:
        raise OSError(errno.ESTALE, "a folder on the way was moved meanwhile", "..")


def _ancestors(folder: int) -> list[Identity]:
    """The folders above ``folder``, from the root on, and itself."""
    found = [identity(os.fstat(folder))]
    above = Place(os.dup(folder), [])
    try:
        while len(found) < _MOST_COMPONENTS:
            above.go(os.open("..", _FOLDER, dir_fd=above.folder), [])
            one = identity(os.fstat(above.folder))
            if one == found[-1]:
                break
            found.append(one)
    finally:
        above.close()
    return found[::-1]


def ancestors_of(path: HostPath) -> list[Identity]:
    """The folders above ``path``, from the root on, and itself if it is a folder; those that exist."""
    text = os.path.realpath(os.fsdecode(os.fspath(path)))
    while not os.path.isdir(text):
        text = os.path.dirname(text)
    folder = Place(os.open(text, _FOLDER), [])
    try:
        return _ancestors(folder.folder)
    finally:
        folder.close()


def _shown(folder: int, name: str = "") -> str:
    """The path of a folder, or of ``name`` in it, for messages."""
    try:
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name).rstrip("/") or "/"
    except OSError:
        return name


def on_proc(status: os.stat_result) -> bool:
    """Return whether something is in ``/proc``, whose links lead to open files and not to names."""
    try:
        return status.st_dev == os.stat("/proc/self", follow_symlinks=False).st_dev
    except OSError:
        return False
