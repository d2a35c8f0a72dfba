"""Which scripts there are, with which settings each runs, and what is wrong with how one went."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, TypeVar

from convert import ConversionError, Converter
from expected import DEVIATIONS, LEFT_OUT
from runner import Failure, Report, run_script

from wasmtime_rt import WasmConfig, WasmEngine

T = TypeVar("T")

#: Names the folder with the official scripts, which are not part of this package.
VARIABLE = "WASM_SPEC_SCRIPTS"
OWN = Path(__file__).parent / "scripts"
#: Where they are looked for without it: beside the checkout.
BESIDE = Path(__file__).parents[3] / "shared" / "spec"
ABSENT = f"{VARIABLE} is not set, and there is no ../shared/spec: the official scripts are left out"

#: By the end of the folder that a script is in, the settings that it needs beyond the defaults.
_SETTINGS: dict[str, dict[str, Any]] = {
    "custom-page-sizes": {"wasm_custom_page_sizes": True},
    "proposals/threads": {  # written for a WebAssembly that has one memory and one table at most
        "shared_memory": True,
        "wasm_multi_memory": False,
        "wasm_reference_types": False,
        "wasm_component_model_async": False,  # the engine has it only together with reference types
    },
    "threads": {"shared_memory": True},
}


def scripts_in(folder: Path) -> list[Path]:
    """All scripts below ``folder``, or ``folder`` itself if it is one."""
    return [folder] if folder.is_file() else sorted(folder.rglob("*.wast"))


def official_folder() -> Path | None:
    """The folder that the environment names, or the one beside the checkout, if it is there."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else BESIDE if BESIDE.is_dir() else None


def settings_of(script: Path) -> dict[str, Any]:
    """The settings of the engine that ``script`` needs, by the folder that it is in."""
    return _by_end(_SETTINGS, script.resolve().parent) or {}


def left_out(script: Path) -> str | None:
    """Why ``script`` cannot be run at all, if it cannot."""
    return _by_end(LEFT_OUT, script.resolve().parent)


def run(script: Path, converter: Converter) -> Report:
    """Run ``script``. One that cannot be run at all is a report with that failure."""
    try:
        return run_script(_engine(tuple(settings_of(script).items())), converter[script])
    except (ConversionError, TypeError) as problem:
        return Report(failures=[Failure(0, "script", str(problem))])


@functools.cache
def _engine(settings: tuple[tuple[str, Any], ...]) -> WasmEngine:
    return WasmEngine(WasmConfig(**dict(settings)))


def surprises(script: Path, report: Report) -> list[Failure]:
    """The failures that are not known, and the known ones that did not happen."""
    known = _by_end(DEVIATIONS, script.resolve()) or {}
    failed = {failure.line for failure in report.failures}
    gone = [
        Failure(line, "deviation", f"listed as failing, and does not: {reason}")
        for line, reason in known.items()
        if line not in failed
    ]
    return [failure for failure in report.failures if failure.line not in known] + gone


def _by_end(table: dict[str, T], path: Path) -> T | None:
    """What ``table`` says of the end of ``path``."""
    return next((said for end, said in table.items() if path.as_posix().endswith(f"/{end}")), None)
