"""Compiles the floor on demand: an extension for this machine only, linked to the library in the package.

python benchmarks/floor/build_floor.py
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAME = "wasm_floor"
TARGET = HERE / "build" / f"{NAME}{sysconfig.get_config_var('EXT_SUFFIX')}"


def compiler() -> list[str]:
    """The C compiler to use: ``CC``, or what Python was built with, or gcc."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "gcc")[:1]


def engine() -> Path:
    """The library that the package carries, found without importing the package."""
    spec = importlib.util.find_spec("wasmtime_rt")
    if spec is None or spec.origin is None:
        raise SystemExit("wasmtime_rt is not installed: pip install --editable .")
    return next(Path(spec.origin).parent.glob("libwasmtime_rt_engine-*.so"))


def build() -> Path:
    """The extension, compiled again where a source is newer."""
    library = engine()
    sources = [HERE / "floor.c", Path(__file__), library]
    if TARGET.exists() and TARGET.stat().st_mtime >= max(path.stat().st_mtime for path in sources):
        return TARGET
    TARGET.parent.mkdir(exist_ok=True)
    made = TARGET.with_suffix(f".{os.getpid()}")
    command = [
        *compiler(),
        *[
            "-std=c11",
            "-O2",
            "-DNDEBUG",
            "-Wall",
            "-Wextra",
            "-fPIC",
            "-fvisibility=hidden",
            "-shared",
            "-pthread",
        ],
        f"-I{ROOT / 'include'}",
        f"-I{sysconfig.get_path('include')}",
        str(HERE / "floor.c"),
        *("-o", str(made), f"-L{library.parent}", f"-l:{library.name}", f"-Wl,-rpath,{library.parent}"),
    ]
    subprocess.run(command, check=True)
    made.replace(TARGET)
    return TARGET


def load() -> ModuleType:
    """The extension as a module."""
    spec = importlib.util.spec_from_file_location(NAME, TARGET)
    if spec is None or spec.loader is None:
        raise ImportError(f"{TARGET} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    print(build())
