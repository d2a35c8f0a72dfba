"""Which backend runs, how it is chosen, and what an import says that cannot have it."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

import wasmtime_rt
from wasmtime_rt import backend as running

CPYTHON = sys.implementation.name == "cpython"

USE = """
import wasmtime_rt as w
module = w.WasmModule(w.WasmEngine(), '(module (func (export "f") (param i32) (result i32) local.get 0))')
print(w.backend, w.WasmInstance(w.WasmStore(module.engine), module).exports.f(5))
"""

#: Before the import: a finder that hides the accelerator as if its file were missing, or broken.
HIDDEN = """
import sys
class Hides:
    def find_spec(self, name, path=None, target=None):
        if name == "wasmtime_rt._accel":
            raise {error}
sys.meta_path.insert(0, Hides())
"""
MISSING = HIDDEN.format(error='ModuleNotFoundError(f"No module named {name!r}", name=name)')
BROKEN = HIDDEN.format(error='ImportError("undefined symbol: spam")')

#: The import, and what it says where it fails.
TELL = """
try:
    import wasmtime_rt
except ImportError as problem:
    print(type(problem).__name__, problem)
else:
    print("imported", wasmtime_rt.backend)
"""


def test_the_backend_is_public():
    assert "backend" in wasmtime_rt.__all__
    assert running in {"c", "cffi"}


def test_the_environment_chose_it():
    wanted = os.environ.get("WASMTIME_RT_BACKEND", "auto")
    assert running == ("c" if wanted == "auto" and CPYTHON else wanted if wanted != "auto" else "cffi")


@pytest.mark.parametrize(
    ("wanted", "expected"), [("c", "c"), ("cffi", "cffi"), ("auto", "c"), (None, "c")], ids=str
)
@pytest.mark.skipif(not CPYTHON, reason="other Pythons have one backend")
def test_the_variable_chooses(script, wanted, expected):
    assert script(USE, backend=wanted).split() == [expected, "5"]


@pytest.mark.parametrize("wanted", ["", "C", "rust", "c "])
def test_a_wrong_value_names_the_choices(script, wanted):
    told = script(TELL, backend=wanted)
    assert told == f"ImportError WASMTIME_RT_BACKEND: expected one of auto, c, cffi, got {wanted!r}\n"


@pytest.mark.parametrize("wanted", ["c", "auto", None], ids=str)
@pytest.mark.skipif(not CPYTHON, reason="other Pythons do without it")
def test_without_the_accelerator_the_import_says_what_to_do(script, wanted):
    for source in (MISSING, BROKEN):
        told = script(source + TELL, backend=wanted)
        assert told.startswith("ImportError wasmtime_rt: its accelerator does not load (")
        assert "pip install --force-reinstall wasmtime-rt" in told
        assert "WASMTIME_RT_BACKEND=cffi" in told
        assert "circular import" not in told  # Python's guess, and a wrong one
    assert "undefined symbol: spam" in told


def test_a_missing_accelerator_is_no_matter_to_the_other_backend(script):
    assert script(MISSING + USE, backend="cffi") == "cffi 5\n"


def test_an_accelerator_of_another_version_is_refused(script):
    told = script(
        """
        import sys, types
        sys.modules["wasmtime_rt._accel"] = types.ModuleType("wasmtime_rt._accel")
        sys.modules["wasmtime_rt._accel"].VERSION = "0.0.0"
        """
        + TELL.replace("\n", "\n        "),
        backend="c",
    )
    assert "its accelerator is of 0.0.0; reinstall it" in told


def test_the_other_backend_does_not_load_the_accelerator(script):
    told = script("import sys, wasmtime_rt; print('wasmtime_rt._accel' in sys.modules)", backend="cffi")
    assert told == "False\n"


# ---- Subinterpreters

SUBINTERPRETER = (
    """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import sys
{before}
code = "import sys\\nsys.path[:] = " + repr(sys.path) + '''"""
    + TELL
    + """'''
created = interpreters.create({how})
print(getattr(interpreters, "exec", None) and interpreters.exec(created, code) or "", flush=True) \\
    if hasattr(interpreters, "exec") else interpreters.run_string(created, code)
{after}
"""
)

HAS_SUBINTERPRETERS = any(importlib.util.find_spec(name) for name in ("_interpreters", "_xxsubinterpreters"))


@pytest.mark.skipif(not HAS_SUBINTERPRETERS, reason="this Python has no subinterpreters")
@pytest.mark.skipif(running != "c", reason="what the accelerator says")
@pytest.mark.parametrize("how", ["isolated", "legacy"])
def test_subinterpreters_are_refused(script, how):
    if sys.version_info >= (3, 13):
        argument = repr(how)
    else:
        argument = f"isolated={how == 'isolated'}"
    told = script(SUBINTERPRETER.format(before="", how=argument, after=""), backend="c")
    assert told.startswith("ImportError wasmtime_rt"), told
    assert "subinterpreter" in told
    assert "reinstall" not in told  # which would not help


@pytest.mark.skipif(not HAS_SUBINTERPRETERS, reason="this Python has no subinterpreters")
@pytest.mark.skipif(running != "c", reason="what the accelerator says")
def test_a_refused_subinterpreter_leaves_the_main_one_alone(script):
    told = script(
        SUBINTERPRETER.format(before=USE, how="", after="interpreters.destroy(created)" + USE), backend="c"
    )
    lines = [line for line in told.splitlines() if line]
    assert (lines[0], lines[-1]) == ("c 5", "c 5")
    assert lines[1].startswith("ImportError")
