"""The official WASI test suite: its cases, and the four ways in which a user runs a program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from wasmtime_rt import (
    Sandbox,
    WasiConfig,
    WasmEngine,
    WasmExit,
    WasmLinker,
    WasmModule,
    WasmStore,
    run_wasi,
    rw,
)

#: Names a checkout of the branch `prod/testsuite-base` of WebAssembly/wasi-testsuite, which holds the programs.
VARIABLE = "WASI_TESTSUITE"
ABSENT = f"{VARIABLE} does not name a folder with the official WASI test suite"


@dataclass(frozen=True)
class Case:
    """A program of the suite, and the result that the suite expects."""

    program: Path
    args: tuple[str, ...]
    env: dict[str, str]
    root: Path | None
    exit_code: int
    stdout: str | None
    stderr: str | None

    @classmethod
    def of(cls, program: Path) -> Case:
        described = program.with_suffix(".json")
        said = json.loads(described.read_text()) if described.exists() else {}
        root = said.get("root")
        return cls(
            program,
            tuple(said.get("args", ())),
            said.get("env", {}),
            None if root is None else program.parent / root,
            said.get("exit_code", 0),
            said.get("stdout"),
            said.get("stderr"),
        )

    @property
    def name(self) -> str:
        """The language that the program is written in, and the name of the program."""
        return f"{self.program.parents[2].name}/{self.program.stem}"

    def problems(self, code: int | None, stdout: str, stderr: str) -> list[str]:
        """Compare a result with the expected one; streams that the suite does not mention do not count."""
        compared = (
            ("exit code", code, self.exit_code),
            ("stdout", stdout, self.stdout),
            ("stderr", stderr, self.stderr),
        )
        return [
            f"{what}: expected {expected!r}, got {found!r}; stderr: {stderr!r}"
            for what, found, expected in compared
            if expected is not None and found != expected
        ]


def cases() -> list[Case]:
    """The cases for preview 1 in the folder that the environment names."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return []
    return [
        Case.of(program) for program in sorted(Path(folder).glob("tests/*/testsuite/wasm32-wasip1/*.wasm"))
    ]


def fresh_root(case: Case, folder: Path) -> Path | None:
    """A copy of the folder that the program of ``case`` changes, below ``folder``."""
    if case.root is None:
        return None
    root = folder / "root"
    if case.root.is_dir():
        shutil.copytree(case.root, root)
    else:  # empty folders are not in a checkout
        root.mkdir()
    return root


def by_run_wasi(case: Case, root: Path | None) -> tuple[int | None, str, str]:
    result = run_wasi(case.program, case.args, env=case.env, mounts=_mounts(root))
    return _texts(result.exit_code, result.stdout, result.stderr)


def by_linker(case: Case, root: Path | None) -> tuple[int | None, str, str]:
    written: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    wasi = WasiConfig(
        argv=(case.program.name, *case.args),
        env=case.env,
        preopens=_mounts(root),
        stdout=written["stdout"].extend,
        stderr=written["stderr"].extend,
    )
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    code = 0
    with WasmStore(engine, wasi=wasi) as store:
        try:
            linker.instantiate(store, WasmModule.load(engine, case.program)).call("_start")
        except WasmExit as ended:
            code = ended.code
    return _texts(code, bytes(written["stdout"]), bytes(written["stderr"]))


def by_pool(case: Case, root: Path | None) -> tuple[int | None, str, str]:
    with (
        Sandbox(case.program) as sandbox,
        sandbox.pool(case.args, env=case.env, mounts=_mounts(root)) as pool,
    ):
        with pool.take() as program:
            code = 0
            try:
                program.call("_start")
            except WasmExit as ended:
                code = ended.code
            return _texts(code, program.result.stdout, program.result.stderr)


def by_command_line(case: Case, root: Path | None) -> tuple[int | None, str, str]:
    options = [option for name, value in case.env.items() for option in ("--env", f"{name}={value}")]
    if root is not None:
        options += ["--dir", f"{root}::/:rw"]
    ended = subprocess.run(
        [sys.executable, "-m", "wasmtime_rt", "run", *options, str(case.program), *case.args],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    return _texts(ended.returncode, ended.stdout, ended.stderr)


#: How a user runs a program.
WAYS = {
    "run_wasi": by_run_wasi,
    "linker": by_linker,
    "pool": by_pool,
    "command line": by_command_line,
}


def _mounts(root: Path | None) -> dict[str, object]:
    return {} if root is None else {"/": rw(root)}


def _texts(code: int | None, stdout: bytes | None, stderr: bytes | None) -> tuple[int | None, str, str]:
    return code, (stdout or b"").decode("utf-8", "replace"), (stderr or b"").decode("utf-8", "replace")
