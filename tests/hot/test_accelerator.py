"""What an import says that cannot have the accelerator."""

from __future__ import annotations

import importlib.util
import sys

import pytest

USE = """
import wasmtime_rt as w
module = w.WasmModule(w.WasmEngine(), '(module (func (export "f") (param i32) (result i32) local.get 0))')
print(w.WasmInstance(w.WasmStore(module.engine), module).exports.f(5))
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

#: The import, and what it says if it fails.
TELL = """
try:
    import wasmtime_rt
except ImportError as problem:
    print(type(problem).__name__, problem)
else:
    print("imported")
"""


def test_without_the_accelerator_the_import_says_what_to_do(script):
    for source in (MISSING, BROKEN):
        told = script(source + TELL)
        assert told.startswith("ImportError wasmtime_rt: its accelerator does not load (")
        assert "reinstall it: pip install --force-reinstall wasmtime-rt" in told
        assert "circular import" not in told  # Python's guess, and a wrong one
    assert "undefined symbol: spam" in told


def test_an_accelerator_of_another_version_is_refused(script):
    told = script(
        """
        import sys, types
        sys.modules["wasmtime_rt._accel"] = types.ModuleType("wasmtime_rt._accel")
        sys.modules["wasmtime_rt._accel"].VERSION = "0.0.0"
        """
        + TELL.replace("\n", "\n        "),
    )
    assert "its accelerator is of 0.0.0; reinstall it" in told


def test_an_interpreter_other_than_cpython_is_refused(script):
    told = script(f"import sys\nsys.implementation.name = 'pypy'\n{TELL}print(sorted(sys.modules))")
    assert told.startswith("ImportError wasmtime_rt needs CPython")
    assert "this is pypy" in told
    assert "wasmtime_rt._ffi" not in told


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
@pytest.mark.parametrize("how", ["isolated", "legacy"])
def test_subinterpreters_are_refused(script, how):
    if sys.version_info >= (3, 13):
        argument = repr(how)
    else:
        argument = f"isolated={how == 'isolated'}"
    told = script(SUBINTERPRETER.format(before="", how=argument, after=""))
    assert told.startswith("ImportError wasmtime_rt"), told
    assert "subinterpreter" in told
    assert "reinstall" not in told  # which would not help


@pytest.mark.skipif(not HAS_SUBINTERPRETERS, reason="this Python has no subinterpreters")
def test_a_refused_subinterpreter_leaves_the_main_one_alone(script):
    told = script(SUBINTERPRETER.format(before=USE, how="", after="interpreters.destroy(created)" + USE))
    lines = [line for line in told.splitlines() if line]
    assert (lines[0], lines[-1]) == ("5", "5")
    assert lines[1].startswith("ImportError")
