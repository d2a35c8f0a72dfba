"""Coverage-guided fuzzing: ``fuzz.py SECONDS [TARGET ...]``, each target in a process of its own.

What is found goes on from run to run, in ``build/fuzz``; an input that fails is left there as ``crash-*``, and is run
again by ``fuzz.py 0 TARGET FILE``. Ends with status 1 where one fails. The package's Python is what is covered: the
engine is a library without instrumentation.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__)


def in_this_process(name, options):
    """Fuzz one target: never returns."""
    import atheris

    with atheris.instrument_imports(include=["wasmtime_rt"], enable_loader_override=False):
        import targets

        for each in targets.w.__all__:
            getattr(targets.w, each)
    targets.world(), targets.blob()
    atheris.Setup([name, *options], targets.TARGETS[name])
    atheris.Fuzz()


def fuzz(name, seconds):
    """Fuzz one target in a process; what it said if it failed."""
    import targets

    corpus = pathlib.Path(targets.folder(name))
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in targets.seeds(name):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    # Traps of WebAssembly come as signals, which are the engine's.
    signals = [f"-handle_{name}=0" for name in ("segv", "bus", "fpe", "ill")]
    ended = subprocess.run(
        [sys.executable, str(HERE), "-", name, f"-max_total_time={max(1, round(seconds))}", "-timeout=60", "-rss_limit_mb=4096", "-max_len=20000",
         *signals, f"-artifact_prefix={corpus}/", str(corpus)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        check=False,
    )  # fmt: skip
    lines = ended.stderr.splitlines()
    print(f"{name}: {next((line for line in reversed(lines) if line.startswith(('Done', '#'))), '?')}")
    return "" if ended.returncode == 0 else f"{name}: status {ended.returncode}\n" + "\n".join(lines[-60:])


def main():
    if sys.argv[1] == "-":
        in_this_process(sys.argv[2], sys.argv[3:])
    import targets

    if sys.argv[1] == "0":
        targets.TARGETS[sys.argv[2]](pathlib.Path(sys.argv[3]).read_bytes())
        return 0
    names = sys.argv[2:] or [*targets.TARGETS]
    problems = [fuzz(name, float(sys.argv[1]) / len(names)) for name in names]
    print("\n".join(filter(None, problems)))
    return any(problems)


if __name__ == "__main__":
    sys.exit(main())
