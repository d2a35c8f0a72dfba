"""Where the engine comes from: the pinned wheel, or a C API release; anything else is refused by name."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ADD = """
import wasmtime_rt as w
engine = w.WasmEngine()
wat = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
print(w.engine_version, w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, wat)).exports.add(20, 22))
"""


@pytest.fixture(autouse=True)
def no_override(monkeypatch):
    monkeypatch.delenv("WASMTIME_C_API", raising=False)


def pack(folder, name):
    path = folder.parent / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(path, "w:gz", dereference=True, compresslevel=1) as archive:
            archive.add(folder, folder.name)
    return path


def test_by_default_it_is_the_library_of_the_pinned_wheel(build_ffi, library, tmp_path):
    engine = build_ffi.find_engine(tmp_path)
    assert engine.version == build_ffi.pinned_version() == "50.0.1"
    assert engine.library == library
    assert engine.include == ROOT / "include"
    assert engine.file_name == "libwasmtime_rt_engine-50.0.1.so"


def test_a_changed_library_is_refused(build_ffi, library, tmp_path, monkeypatch):
    package = tmp_path / "wasmtime"
    (package / "linux-x86_64").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "linux-x86_64" / "_libwasmtime.so").write_bytes(library.read_bytes() + b"\0")
    spec = importlib.util.spec_from_file_location("wasmtime", package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(build_ffi.EngineError, match=r"expected SHA-256 3127ca.*, got .*--force-reinstall"):
        build_ffi.find_engine(tmp_path)
    (package / "linux-x86_64" / "_libwasmtime.so").unlink()
    with pytest.raises(build_ffi.EngineError, match=r"is missing: pip install --force-reinstall"):
        build_ffi.find_engine(tmp_path)


def test_a_missing_wheel_is_named(build_ffi, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(build_ffi.EngineError, match=r"not installed: pip install wasmtime==50\.0\.1"):
        build_ffi.find_engine(tmp_path)


def test_an_unknown_platform_is_named(build_ffi, tmp_path, monkeypatch):
    monkeypatch.setattr(build_ffi.platform, "machine", lambda: "pdp11")
    with pytest.raises(build_ffi.EngineError, match=r"linux-pdp11: set WASMTIME_C_API"):
        build_ffi.find_engine(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "tar.gz", "zip"])
def test_the_override_takes_a_release(build_ffi, release, tmp_path, monkeypatch, kind):
    path = release if kind == "folder" else pack(release, f"{release.name}.{kind}")
    monkeypatch.setenv("WASMTIME_C_API", str(path))
    engine = build_ffi.find_engine(tmp_path / "unpacked")
    assert engine.version == "50.0.1"
    assert engine.include != ROOT / "include"
    assert (engine.include / "wasmtime.h").is_file()
    assert engine.library.stat().st_size > 20_000_000


def test_a_release_of_another_version_is_refused(build_ffi, release, tmp_path, monkeypatch):
    header = release / "include" / "wasmtime.h"
    header.write_text(header.read_text().replace('"50.0.1"', '"49.0.0"'))
    monkeypatch.setenv("WASMTIME_C_API", str(release))
    with pytest.raises(build_ffi.EngineError, match=r"is of Wasmtime 49\.0\.0, expected 50\.0\.1: download"):
        build_ffi.find_engine(tmp_path)


@pytest.mark.parametrize("lost", ["include/wasmtime.h", "lib/libwasmtime.so"])
def test_an_incomplete_release_is_refused(build_ffi, release, tmp_path, monkeypatch, lost):
    (release / lost).unlink()
    monkeypatch.setenv("WASMTIME_C_API", str(release))
    with pytest.raises(build_ffi.EngineError, match=rf"{lost} is missing; give a wasmtime-vX\.Y\.Z"):
        build_ffi.find_engine(tmp_path)


def test_what_is_no_release_is_refused(build_ffi, tmp_path, monkeypatch):
    path = tmp_path / "release.tar.xz"
    path.write_text("not an archive")
    monkeypatch.setenv("WASMTIME_C_API", str(path))
    with pytest.raises(build_ffi.EngineError, match=r"neither a folder nor a .tar.xz or .zip archive"):
        build_ffi.find_engine(tmp_path / "unpacked")


def build(tree, release=None):
    environment = {**os.environ, "CFLAGS": "-O0 -g0"}
    if release:
        environment["WASMTIME_C_API"] = str(release)
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tree, env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path, library):
    """A copy of the sources, to build in."""
    pytest.importorskip("setuptools")
    if not (ROOT / "build_ffi.py").exists():
        pytest.skip("needs the source tree")
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "build_ffi.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "include", copy / "include")
    ignored = shutil.ignore_patterns("*.so", "_ffi.c", "__pycache__")
    shutil.copytree(ROOT / "wasmtime_rt", copy / "wasmtime_rt", ignore=ignored)
    return copy


def run(tree, code):
    return subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True)


@pytest.mark.build
def test_a_build_against_a_release_runs_and_a_tampered_one_says_what_to_do(tree, release):
    # The compile must use the release's headers: they alone have what it asserts.
    header = release / "include" / "wasmtime.h"
    header.write_text(header.read_text() + "\n_Static_assert(sizeof(wasmtime_val_t) == 32, \"release\");\n")
    done = build(tree, pack(release, "release.tar.gz"))
    assert done.returncode == 0, done.stderr
    assert "50.0.1 42" in run(tree, ADD).stdout

    # Another library under the same name: its build-id gives it away.
    library = tree / "wasmtime_rt" / "libwasmtime_rt_engine-50.0.1.so"
    content = bytearray(library.read_bytes())
    at = content.index(b"\x14\0\0\0\3\0\0\0GNU\0") + 12
    content[at] ^= 0xFF
    library.write_bytes(content)
    done = run(tree, "import wasmtime_rt")
    assert "ImportError: wasmtime_rt 0.1.0: the engine library is another one than" in done.stderr
    assert "pip install --force-reinstall wasmtime-rt" in done.stderr

    library.unlink()
    done = run(tree, "import wasmtime_rt")
    assert "ImportError: wasmtime_rt: its compiled extension does not load" in done.stderr
    assert "libwasmtime_rt_engine-50.0.1.so" in done.stderr
    assert "pip install --force-reinstall wasmtime-rt" in done.stderr

    # Sources of another version beside a stale extension.
    library.write_bytes((release / "lib" / "libwasmtime.so").read_bytes())
    (tree / "wasmtime_rt" / "_version.py").write_text('__version__ = "9.9.9"\n')
    done = run(tree, "import wasmtime_rt")
    assert "ImportError: wasmtime_rt 9.9.9: its compiled extension is of 0.1.0" in done.stderr


def test_a_build_without_an_engine_fails_with_what_to_do(tree, tmp_path):
    done = build(tree, tmp_path / "nowhere")
    assert done.returncode != 0
    assert "nowhere/include/wasmtime.h is missing; give a wasmtime-vX.Y.Z" in done.stderr
