"""Run scripts of the WebAssembly specification and print how many assertions of each hold.

    python tests/spec/run.py [FOLDER or SCRIPT ...]

Without arguments: our own scripts, and those in the folder that WASM_SPEC_SCRIPTS names, or in ../shared/spec
beside the checkout.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import suite
from convert import ConversionError, Converter
from runner import Report


def main(arguments: list[str]) -> int:
    """Run what is asked for; 0 if all is as expected."""
    roots = [Path(argument) for argument in arguments]
    if not roots:
        official = suite.official_folder()
        roots = [suite.OWN / "passing", *([official] if official else [])]
        if official is None:
            print(suite.ABSENT + "\n")
    started, total, surprising = time.monotonic(), Report(), []
    listed = [(root, script) for root in roots for script in suite.scripts_in(root)]
    empty = [root for root in roots if not suite.scripts_in(root)]
    if empty:
        print("no scripts in", *empty, file=sys.stderr)
        return 1
    width = max((len(_name(*one)) for one in listed), default=0)
    try:
        converter = Converter(script for _, script in listed)
    except ConversionError as problem:
        print(problem, file=sys.stderr)
        return 1
    with contextlib.closing(converter):
        for root, script in listed:
            if reason := suite.left_out(script):
                print(f"{_name(root, script):{width}}  left out: {reason}")
                continue
            report = suite.run(script, converter)
            surprising += [(script, failure) for failure in suite.surprises(script, report)]
            total.add(report)
            mark = "" if not report.failures else f"  {len(report.failures)} failed"
            print(
                f"{_name(root, script):{width}}  {report.passed:6} / {report.assertions:<6}{mark}", flush=True
            )
    print(f"\n{len(listed)} scripts in {time.monotonic() - started:.1f} s: ", end="")
    print(f"{total.passed} of {total.assertions} assertions hold")
    print(f"{len(surprising)} unexpected failures of {len(total.failures)}")
    for script, failure in surprising:
        print(f"{script}:{failure}")
    return 1 if surprising or not listed else 0


def _name(root: Path, script: Path) -> str:
    return script.name if root == script else script.relative_to(root).as_posix()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
