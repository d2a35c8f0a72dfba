"""A process whose system calls are filtered, as on older systems and in some containers."""

from __future__ import annotations

import ctypes
import errno
import struct

_OPENAT2 = 437
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


def refuse_openat2(error: int = errno.ENOSYS) -> None:
    """Let openat2(2) fail with ``error`` in this process from now on, and in its children."""
    instructions = b"".join(
        struct.pack("<HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, 0),  # the number of the call
            (_JUMP_IF_EQUAL, 0, 1, _OPENAT2),
            (_RETURN, 0, 0, _ERROR | error),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    held = ctypes.create_string_buffer(instructions, len(instructions))
    program = struct.pack("<HxxxxxxQ", len(instructions) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    assert libc.syscall(_OPENAT2, -1, 0, 0, 0) == -1
    assert ctypes.get_errno() == error
