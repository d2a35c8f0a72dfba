"""Interpreters of our own, for what may end a process or must be ended with one.

Such a process is started anew, not forked, and loads this very package from where its parent has it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ._importing import Importing
from .errors import WasmtimeError

#: ``-I -S`` leaves it the standard library; it gets paths for what cffi needs, and the package by its place,
#: since a finder of the parent's may have found it.
_BEGIN = """
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
room, here, *paths = sys.argv[1:]
sys.path += paths
spec = spec_from_file_location("wasmtime_rt", here + "/__init__.py", submodule_search_locations=[here])
sys.modules["wasmtime_rt"] = package = module_from_spec(spec)
spec.loader.exec_module(package)
import_module("wasmtime_rt." + room).run()
"""


def interpreter(why: str, room: str, paths: Sequence[str]) -> list[str]:
    """The command that calls ``run`` of a module of this package in a process of its own.

    Args:
        why: What an error message begins with.
        room: The module's name.
        paths: Where the process finds what is neither of the standard library nor of this package.

    Raises:
        WasmtimeError: No interpreter is known.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise WasmtimeError(why + "there is no sys.executable, or it is no Python interpreter")
    here = os.path.dirname(os.path.abspath(__file__))
    return [sys.executable, "-I", "-S", "-B", "-c", _BEGIN, room, here, *paths]


def die_quietly() -> None:
    """Leave no core dump, and be the first to go when memory runs out."""
    with Importing():
        import contextlib  # noqa: PLC0415
        import resource  # noqa: PLC0415

    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (min(1, hard) if hard >= 0 else 1, hard))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
