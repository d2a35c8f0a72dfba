"""What the build tests share: the source tree, and a C API release laid out like the official one."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(path):
    """A Python file of the source tree that is in no package."""
    if not path.exists():
        pytest.skip("needs the source tree")
    sys.path.insert(0, str(ROOT))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build_ffi():
    return load(ROOT / "build_ffi.py")


@pytest.fixture(scope="session")
def check_declarations():
    return load(ROOT / "tools" / "check_declarations.py")


@pytest.fixture(scope="session")
def library():
    """The engine's library inside the wheel that the build takes it from."""
    spec = importlib.util.find_spec("wasmtime")
    if spec is None:
        pytest.skip("needs the wheel that carries the engine")
    return Path(spec.origin).parent / "linux-x86_64" / "_libwasmtime.so"


@pytest.fixture
def release(tmp_path, library):
    """A folder like an unpacked wasmtime-v50.0.1-x86_64-linux-c-api: our headers, the wheel's library."""
    folder = tmp_path / "wasmtime-v50.0.1-x86_64-linux-c-api"
    shutil.copytree(ROOT / "include", folder / "include")
    (folder / "lib").mkdir()
    (folder / "lib" / "libwasmtime.so").symlink_to(library)
    return folder
