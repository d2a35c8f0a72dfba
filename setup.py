"""Builds ``_ffi`` and ``_accel`` against the engine's library, which is copied into the package."""

import os
import platform
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent))

import build_ffi


def build_id(library: Path) -> str:
    """The GNU build-id in the notes of an ELF file, as hexadecimal digits."""
    data = library.read_bytes()
    at = data.index(b"\x14\0\0\0\3\0\0\0GNU\0")  # a 20-byte descriptor of type NT_GNU_BUILD_ID
    return data[at + 12 : at + 32].hex()


#: What goes with every sanitizer. Python is compiled with -fwrapv, which hides overflows of signed integers.
CHECKED = [
    "-g",
    "-O1",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fno-wrapv",
    "-U_FORTIFY_SOURCE",
]


def sanitizers() -> list[str] | None:
    """What `WASMTIME_RT_SANITIZE` asks for: 1 is addresses and undefined behaviour, `thread` data races."""
    wanted = os.environ.get("WASMTIME_RT_SANITIZE")
    if not wanted:
        return None
    if wanted == "none":  # for valgrind
        return []
    if wanted == "thread":
        return ["-fsanitize=thread"]
    return ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]


class BuildExt(build_ext):
    """Links against our copy of the engine, found at run time beside the extension."""

    def run(self):
        engine = build_ffi.find_engine(Path(self.build_temp) / "c-api")
        package = Path("." if self.inplace else self.build_lib) / "wasmtime_rt"
        package.mkdir(parents=True, exist_ok=True)
        for stale in package.glob("libwasmtime_rt_engine-*"):
            stale.unlink()
        shutil.copyfile(engine.library, package / engine.file_name)
        version = self.distribution.get_version()
        for extension in self.extensions:
            extension.include_dirs.append(str(engine.include))
            extension.define_macros += [
                ("WRT_VERSION", f'"{version}"'),
                ("WRT_ENGINE_VERSION", f'"{engine.version}"'),
                ("WRT_ENGINE_BUILD_ID", f'"{build_id(engine.library)}"'),
            ]
            extension.extra_link_args += [f"-L{package}", f"-l:{engine.file_name}", "-Wl,-rpath,$ORIGIN"]
            if (checks := sanitizers()) is not None:
                extension.extra_compile_args = [*extension.extra_compile_args, *checks, *CHECKED]
                extension.extra_link_args += checks
        super().run()

    def build_extensions(self):
        # Some Pythons hand down an rpath of their own, which would be looked up before ours.
        linker = self.compiler.linker_so
        self.compiler.set_executable(
            "linker_so", [word for word in linker if not word.startswith("-Wl,-rpath")]
        )
        super().build_extensions()


class Wheel(bdist_wheel):
    """Names what the engine's library needs of the system: glibc 2.28."""

    def get_tag(self):
        python, abi, tag = super().get_tag()
        if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
            tag = f"manylinux_2_28_{platform.machine()}"
        return python, abi, tag


NATIVE = Path("wasmtime_rt/_native")
accel = Extension(
    "wasmtime_rt._accel",
    sources=[*map(str, sorted(NATIVE.glob("accel/*.c"))), str(NATIVE / "shared.c")],
    depends=[*map(str, [*NATIVE.glob("**/*.h"), *Path("include").glob("**/*.h")])],
    include_dirs=[str(NATIVE), str(NATIVE / "accel")],
    # In a hundred instructions, how they are aligned and that stores are not merged count for more than -O3.
    extra_compile_args=[
        *("-std=c11", "-fvisibility=hidden", "-fno-plt"),
        *("-O2", "-falign-functions=64", "-fno-tree-vectorize", "-fno-tree-slp-vectorize"),
        *build_ffi.STRICT,
    ],
)

setup(
    ext_modules=[accel],
    cffi_modules=["build_ffi.py:ffi"],
    cmdclass={"build_ext": BuildExt, "bdist_wheel": Wheel},
)
