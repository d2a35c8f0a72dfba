"""Look into built wheels: what they carry, what they ask of the system, where they look for libraries.

python tools/check_wheel.py dist/*.whl
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

GLIBC = (2, 28)


def problems(wheel: Path) -> Iterator[str]:
    """What is wrong with ``wheel``."""
    if f"-manylinux_{GLIBC[0]}_{GLIBC[1]}_" not in wheel.name:
        yield f"its tag is not manylinux_{GLIBC[0]}_{GLIBC[1]}"
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        archive.extractall(folder)
        yield from _content(names)
        for name in names:
            if name.endswith("METADATA"):
                yield from _metadata((Path(folder) / name).read_text())
            if name.endswith(".so"):
                yield from (f"{name}: {problem}" for problem in _library(Path(folder) / name))


def _content(names: list[str]) -> Iterator[str]:
    for name in names:
        if name.endswith((".c", ".h", ".o", ".pyc")) or "/_native/" in name:
            yield f"{name} is of no use in a wheel"
        if not name.startswith("wasmtime_rt"):
            yield f"{name} is outside of the package"
    for pattern in (r"wasmtime_rt/_ffi\.", r"wasmtime_rt/libwasmtime_rt_engine-[\d.]+\.so$",
                    r"wasmtime_rt/py\.typed$", r"/licenses/LICENSE$", r"/licenses/NOTICE$"):  # fmt: skip
        if not any(re.search(pattern, name) for name in names):
            yield f"nothing in it is called {pattern}"


def _metadata(text: str) -> Iterator[str]:
    required = [
        line for line in Parser().parsestr(text).get_all("Requires-Dist", []) if "extra ==" not in line
    ]
    if [re.match(r"[\w-]+", line)[0] for line in required] != ["cffi"]:  # type: ignore[index]
        yield f"it requires {required}, expected cffi alone"


def _library(path: Path) -> Iterator[str]:
    def readelf(option: str) -> str:
        command = ["readelf", "--wide", option, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    versions = {(int(a), int(b)) for a, b in re.findall(r"GLIBC_(\d+)\.(\d+)", readelf("--version-info"))}
    if versions and max(versions) > GLIBC:
        yield f"asks for GLIBC {max(versions)}, expected at most {GLIBC}"
    dynamic = readelf("--dynamic")
    for searched in re.findall(r"R(?:UN)?PATH\)\s+.*\[(.*)\]", dynamic):
        if searched != "$ORIGIN":
            yield f"looks for libraries in {searched}, expected $ORIGIN"
    for needed in re.findall(r"NEEDED\)\s+.*\[(.*)\]", dynamic):
        if "/" in needed:
            yield f"needs a library by path: {needed}"


def main(wheels: list[str]) -> int:
    """Print what is wrong with ``wheels``; the exit code is how much."""
    count = 0
    for wheel in map(Path, wheels):
        found = list(problems(wheel))
        count += len(found)
        print(f"{wheel.name}: {'good' if not found else ''}", *found, sep="\n  ")
    return count if wheels else 1


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 100))
