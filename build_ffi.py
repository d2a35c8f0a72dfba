"""The cffi build script: our declarations of the engine's C API, and where the engine comes from.

``include/`` is the one source of declarations. The compilers include it; cffi reads the same files
with the preprocessor's lines dropped. The engine is the prebuilt library inside the PyPI wheel
``wasmtime`` (pinned in ``pyproject.toml``, located without importing it, checked by SHA-256), or,
with ``WASMTIME_C_API`` set, an official C API release whose headers then serve the compile.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from cffi import FFI

ROOT = Path(__file__).resolve().parent
NATIVE = ROOT / "wasmtime_rt" / "_native"

#: SHA-256 of the library inside each wheel of the pinned engine.
ENGINE_SHA256 = {
    "linux-x86_64": "3127ca42fe7cdd3f0a43a358e79177dcfedd46c1746329826403b9d854de6178",
    "linux-aarch64": "4777b787fcc6651c98130ccc7c8ce9160faba5f3b34918886785a43094026fc9",
}

STRICT = [
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=implicit-function-declaration",
]


class EngineError(RuntimeError):
    """The engine's library is missing, of another version, or not the one that we know."""


class Engine(NamedTuple):
    """An engine to build against: the library file and the folder of headers that go with it."""

    version: str
    library: Path
    include: Path

    @property
    def file_name(self) -> str:
        """The name of our copy: one that no other package uses, since the library has no SONAME."""
        return f"libwasmtime_rt_engine-{self.version}.so"


def pinned_version() -> str:
    """The engine's version as ``pyproject.toml`` requires it."""
    found = re.search(
        r'^requires = \[.*"wasmtime==([0-9.]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    if not found:
        raise EngineError("pyproject.toml: no 'wasmtime==X.Y.Z' in build-system.requires")
    return found[1]


def find_engine(scratch: Path) -> Engine:
    """The engine to build against; ``scratch`` is a folder to unpack a release archive into."""
    release = os.environ.get("WASMTIME_C_API")
    return _from_release(Path(release), scratch) if release else _from_wheel()


def _from_wheel() -> Engine:
    version, target = pinned_version(), f"{sys.platform}-{platform.machine()}"
    if target not in ENGINE_SHA256:
        raise EngineError(f"no engine is known for {target}: set WASMTIME_C_API to an official C API release")
    spec = importlib.util.find_spec("wasmtime")
    if spec is None or spec.origin is None:
        raise EngineError(f"the engine's wheel is not installed: pip install wasmtime=={version}")
    library = Path(spec.origin).parent / target / "_libwasmtime.so"
    if not library.is_file():
        raise EngineError(f"{library} is missing: pip install --force-reinstall wasmtime=={version}")
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    if digest != ENGINE_SHA256[target]:
        raise EngineError(
            f"{library} is not the library of wasmtime=={version} for {target}: expected SHA-256 "
            f"{ENGINE_SHA256[target]}, got {digest}; pip install --force-reinstall wasmtime=={version}"
        )
    return Engine(version, library, ROOT / "include")


def _from_release(release: Path, scratch: Path) -> Engine:
    if release.is_file():
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        if zipfile.is_zipfile(release):
            zipfile.ZipFile(release).extractall(scratch)  # noqa: S202  chosen by whoever builds
        elif tarfile.is_tarfile(release):
            with tarfile.open(release) as archive:
                archive.extractall(scratch, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # noqa: S202
        else:
            raise EngineError(f"WASMTIME_C_API={release} is neither a folder nor a .tar.xz or .zip archive")
        inside = list(scratch.iterdir())
        release = inside[0] if len(inside) == 1 else scratch
    header, library = release / "include" / "wasmtime.h", release / "lib" / "libwasmtime.so"
    for needed in (header, library):
        if not needed.is_file():
            raise EngineError(
                f"WASMTIME_C_API: {needed} is missing; give a wasmtime-vX.Y.Z-<arch>-<os>-c-api release, "
                "unpacked or as its archive"
            )
    found = re.search(r'^#define WASMTIME_VERSION "([^"]+)"', header.read_text(), re.MULTILINE)
    version = found[1] if found else "unknown"
    if version != pinned_version():
        raise EngineError(
            f"WASMTIME_C_API: {header} is of Wasmtime {version}, expected {pinned_version()}: "
            f"download wasmtime-v{pinned_version()}-{platform.machine()}-{sys.platform}-c-api"
        )
    return Engine(version, library, header.parent)


def declarations(header: Path, seen: set[Path] | None = None) -> str:
    """What cffi parses: ``header`` and all that it includes of ours, integer ``#define`` lines kept."""
    seen = set() if seen is None else seen
    if header in seen:
        return ""
    seen.add(header)
    lines = []
    for line in header.read_text().splitlines():
        if included := re.match(r'#include "(.+)"', line):
            lines.append(declarations((header.parent / included[1]).resolve(), seen))
        elif not line.startswith(("#", "_Static_assert")) or re.match(r"#define \w+ \d+$", line):
            lines.append(line)
    return "\n".join(lines)


ffi = FFI()
ffi.cdef(declarations(ROOT / "include" / "wasmtime.h"))
ffi.cdef(declarations(NATIVE / "native.h"))
#: cffi drops the GIL around every call. What is quick, runs no WebAssembly and takes locks of the engine
#: keeps it, so that no fork comes in between, whose child would find the lock taken: see
#: ``_native/threads.c``. These are parts of the names of such functions.
KEEPS_GIL = (
    *("type", "func_new", "ref_pre_", "module_imports", "module_exports", "module_clone", "module_delete"),
    *(
        "linker_new",
        "linker_clone",
        "linker_delete",
        "linker_define",
        "wasi_define",
        "linker_get",
        "linker_instantiate_pre",
    ),
    *("instance_pre_delete", "engine_clone", "engine_delete"),
)
PREAMBLE = f"""
#include <wasmtime.h>
#include "native.h"
#include <string.h>
/* The answer is known to the compiler. */
__attribute__((always_inline)) static inline int keeps_gil(const char *function) {{
    return {" || ".join(f'strstr(function, "{part}") != NULL' for part in KEEPS_GIL)};
}}
/* An error that a function returns owns itself now: signal handlers and tracers may raise at once. */
static PyObject *as_it_is(char *pointer, struct _cffi_ctypedescr *type) {{
    return _cffi_from_c_pointer(pointer, type);
}}
static PyObject *owned_error(char *pointer, struct _cffi_ctypedescr *type) {{
    PyObject *error = _cffi_from_c_pointer(pointer, type), *owned = NULL;
    if (pointer == NULL || error == NULL)
        return error;
    PyObject *module = PyImport_ImportModule("wasmtime_rt._ffi");
    PyObject *ffi = module ? PyObject_GetAttrString(module, "ffi") : NULL;
    PyObject *lib = module ? PyObject_GetAttrString(module, "lib") : NULL;
    PyObject *delete = lib ? PyObject_GetAttrString(lib, "wasmtime_error_delete") : NULL;
    if (ffi && delete)
        owned = PyObject_CallMethod(ffi, "gc", "OO", error, delete);
    if (!owned)
        wasmtime_error_delete((wasmtime_error_t *)pointer);
    Py_XDECREF(delete);
    Py_XDECREF(lib);
    Py_XDECREF(ffi);
    Py_XDECREF(module);
    Py_DECREF(error);
    return owned;
}}
#undef _cffi_from_c_pointer
#define _cffi_from_c_pointer(pointer, type) \\
    _Generic(result, wasmtime_error_t *: owned_error, default: as_it_is)(pointer, type)
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {{ PyThreadState *_save = keeps_gil(__func__) ? NULL : PyEval_SaveThread();
#define Py_END_ALLOW_THREADS if (_save) PyEval_RestoreThread(_save); }}
"""
ffi.set_source(
    "wasmtime_rt._ffi",
    PREAMBLE,
    sources=[
        *(f"wasmtime_rt/_native/{name}.c" for name in ("native", "epochs", "signals", "threads", "shared")),
        *(str(path.relative_to(ROOT)) for path in sorted(NATIVE.glob("wasi/*.c"))),
    ],
    depends=[
        str(path.relative_to(ROOT)) for path in sorted([*ROOT.glob("include/**/*.h"), *NATIVE.glob("**/*.*")])
    ],
    include_dirs=[str(NATIVE)],
    extra_compile_args=STRICT,
)
