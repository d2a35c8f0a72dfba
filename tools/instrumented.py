"""Our C under instruments that notice what tests cannot: `make sanitize`, `leaks`, `races` and `valgrind`.

    python tools/instrumented.py WHAT [what pytest, or the smoke programs, are given]

==========  =======================================================================================
sanitize    the tests, `_accel` and `_ffi` built with the address and undefined-behaviour sanitizers
sequences   random sequences over everything public in that build, as `tests/stateful/driver.py` is told
leaks       the smoke programs in that build: what C has allocated and nobody can reach at the end
races       the smoke programs with threads, built with the thread sanitizer
valgrind    the smoke programs under memcheck
prove       plants bugs into copies of our C, and sees each of the above notice them
==========  =======================================================================================

The builds are in `build/`, in copies of the sources with environments of their own; a copy is compiled again
only if what it is compiled from has changed.

Python and the engine are not instrumented, and are noisy: only what has our own C in its stack counts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = "tests/smoke/programs.py"
OURS = re.compile(
    r"wasmtime_rt/_(?:accel|ffi)\.|wasmtime_rt/_native/|wasmtime_rt\._ffi\.c|libwasmtime_rt_engine"
)
FOUND = 86  # the status of a process that a sanitizer ended

SUITE = ["tests/unit", "tests/hot", "tests/front", "tests/safety", "tests/stateful", "tests/smoke"]

#: Faults, and the stack for their handlers, are left to the engine and to `signals.c`, which is tried here.
FAULTS = {
    **dict.fromkeys(("handle_segv", "handle_sigbus", "handle_sigill", "handle_sigfpe", "use_sigaltstack"), 0),
    "allow_user_segv_handler": 1,
}
ADDRESS = {
    **FAULTS,
    "exitcode": FOUND,
    # Python asks for more than there is, and takes no for an answer.
    "allocator_may_return_null": 1,
    "strict_string_checks": 1,
    "detect_leaks": 0,
}
UNDEFINED = {"exitcode": FOUND, "print_stacktrace": 1, "halt_on_error": 1}


def options(*settings: dict[str, object], **more: object) -> str:
    """Options as the sanitizers read them."""
    merged: dict[str, object] = {}
    for each in (*settings, more):
        merged.update(each)
    return ":".join(f"{name}={value}" for name, value in merged.items())


def library(name: str) -> str:
    """A library of the compiler's, as a path."""
    compiler = os.environ.get("CC", "gcc").split()[0]
    found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip())
    if not path.is_absolute():
        sys.exit(
            f"{compiler} has no {name}: install the sanitizers of GCC (Debian: libasan, libubsan and libtsan)"
        )
    return str(path)


def copy_sources(where: Path) -> None:
    """What git knows of, or would: changes that are not committed too. What was built stays."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    names = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    for old in ("tests", "tools", "include", "wasmtime_rt/_native"):
        shutil.rmtree(where / old, ignore_errors=True)
    for stale in [*where.glob("wasmtime_rt/*.py")]:
        stale.unlink()
    for name in names:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, where / name)


def build(kind: str, sanitizer: str) -> Path:
    """The copy of the sources that is built in this way."""
    where = ROOT / "build" / kind
    copy_sources(where)
    native = [*where.glob("include/**/*.h"), *where.glob("wasmtime_rt/_native/**/*.*")]
    inputs = [*sorted(native), *(where / name for name in ("setup.py", "build_ffi.py", "pyproject.toml"))]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = where / ".venv" / "built"
    if stamp.exists() and stamp.read_text() == state:
        return where
    print(f"building in {where.relative_to(ROOT)}", flush=True)
    shutil.rmtree(where / ".venv", ignore_errors=True)
    shutil.rmtree(where / "build", ignore_errors=True)
    python = where / ".venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", where / ".venv"], check=True)
    subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--editable", ".[test]"],
        cwd=where, env={**os.environ, "WASMTIME_RT_SANITIZE": sanitizer}, check=True,
    )  # fmt: skip
    stamp.write_text(state)
    return where


def preloaded(where: Path) -> str:
    """What the address and undefined-behaviour sanitizers need from the start of a process."""
    hook = where / "build" / "report_undefined.so"
    hook.parent.mkdir(exist_ok=True)
    compiler = os.environ.get("CC", "gcc").split()
    source = ROOT / "tools" / "report_undefined.c"
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", hook, source], check=True)
    return f"{library('libasan.so')} {hook} {library('libstdc++.so')}"


def run(command: list[str], where: Path, **environment: str) -> int:
    """Run something in a copy, and say how long it took."""
    began = time.monotonic()
    status = subprocess.run(command, cwd=where, env={**os.environ, **environment}, check=False).returncode
    print(f"{time.monotonic() - began:.0f} seconds, status {status}", flush=True)
    return status


def reports_of(folder: Path) -> Path:
    """An empty folder for reports."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def sanitized(where: Path, command: list[str]) -> int:
    """Run Python in a copy. Fails where it does, and where any process has written a report."""
    reports = reports_of(where / "reports")
    status = run(
        [str(where / ".venv/bin/python"), *command],
        where,
        LD_PRELOAD=preloaded(where),
        WASMTIME_RT_REPORTS=str(reports),
        ASAN_OPTIONS=options(ADDRESS, log_path=reports / "address"),
        UBSAN_OPTIONS=options(UNDEFINED),
        PYTHONMALLOC="malloc",
        WASMTIME_RT_SANITIZE="1",
    )
    found = sorted(reports.iterdir())
    for report in found:
        print(f"--- {report.name}\n{report.read_text(errors='replace')[:6000]}")
    print(f"{len(found)} reports of sanitizers")
    return 1 if found else status


def sanitize(rest: list[str]) -> int:
    """The tests."""
    if all(each.startswith("-") for each in rest):
        rest = ["-n2", "--dist=worksteal", *rest, *SUITE]
    return sanitized(build("sanitize", "1"), ["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *rest])


def sequences(rest: list[str]) -> int:
    """Random sequences; a finding does not end them."""
    return sanitized(build("sanitize", "1"), ["tests/stateful/driver.py", "--keep-going", *rest])


def blocks_of(report: str) -> list[str]:
    """The findings in a report of a sanitizer: paragraphs with a stack."""
    return [
        block for block in re.split(r"\n\s*\n|\n=+\n", report) if re.search(r"^ +#0 ", block, re.MULTILINE)
    ]


def counts(block: str) -> bool:
    """Whether a finding goes through our C, or through the engine, which only our C calls."""
    return bool(OURS.search(block))


def judge(found: list[str], noise: int) -> int:
    """Show what counts; 1 where there is any."""
    for block in found:
        print(f"---\n{block[:4000]}")
    print(f"{len(found)} findings in our C, {noise} elsewhere that do not count")
    return 1 if found else 0


def smoke(where: Path, before: list[str], rest: list[str], **environment: str) -> int:
    """The smoke programs in a copy of the sources, run by whatever `before` is."""
    python = str(where / ".venv" / "bin" / "python")
    return run([*before, python, PROGRAMS, *rest], where, PYTHONMALLOC="malloc", **environment)


def leaks(rest: list[str]) -> int:
    """What nobody can reach when the process ends. They run twice: a stale pointer hides one at most."""
    where = build("sanitize", "1")
    reports = reports_of(where / "reports")
    status = smoke(
        where, [], rest or ["--turns", "2"],
        LD_PRELOAD=preloaded(where),
        WASMTIME_RT_REPORTS=str(reports),
        # Not `fast_unwind_on_malloc=0`: libgcc allocates while it holds the lock that unwinding takes.
        ASAN_OPTIONS=options(ADDRESS, detect_leaks=1, malloc_context_size=40, log_path=reports / "leaks"),
        UBSAN_OPTIONS=options(UNDEFINED),
    )  # fmt: skip
    said = [report.read_text(errors="replace") for report in reports.iterdir()]
    if (status and not said) or any(report.name.startswith("undefined") for report in reports.iterdir()):
        print(*said, sep="\n")
        return status or 1
    blocks = [block for each in said for block in blocks_of(each)]
    found = [block for block in blocks if counts(block)]
    return judge(found, len(blocks) - len(found))


def races(rest: list[str]) -> int:
    """Data races. What the engine and WebAssembly synchronise by is invisible."""
    where = build("races", "thread")
    reports = reports_of(where / "reports")
    status = smoke(
        where, [], rest or ["--turns", "3", *threaded()],
        LD_PRELOAD=library("libtsan.so"),
        TSAN_OPTIONS=options(
            FAULTS,
            exitcode=0,
            ignore_noninstrumented_modules=1,
            history_size=7,
            log_path=reports / "races",
        ),
    )  # fmt: skip
    blocks = [
        block
        for report in reports.iterdir()
        for block in report.read_text(errors="replace").split("==================")
        if "WARNING" in block
    ]
    found = [block for block in blocks if counts(block)]
    return judge(found, len(blocks) - len(found)) or status


def threaded() -> list[str]:
    """The names of the programs with threads."""
    said = re.search(r"^THREADED = \[(.*)\]$", (ROOT / PROGRAMS).read_text(), re.MULTILINE)
    return re.findall(r'"(\w+)"', said[1]) if said else []


def frames_of(error: ET.Element) -> list[tuple[str, str]]:
    """The object and function of each frame of an error of memcheck's, of all its stacks, innermost first."""
    return [(frame.findtext("obj") or "", frame.findtext("fn") or "") for frame in error.iter("frame")]


def is_known(kind: str, frames: list[tuple[str, str]], address: str) -> str:
    """Why an error of memcheck's in a stack through our C is none, or nothing."""
    engine = "libwasmtime_rt_engine"
    if kind in ("InvalidRead", "InvalidWrite") and frames[0] == ("", "") and "a block of size" not in address:
        return "WebAssembly leaves its memory, by code that is in no file: a trap"
    if kind == "UninitCondition" and engine in frames[0][0] and "wasmparser::parser::Parser" in frames[0][1]:
        return "the engine's parser, compiled so that it looks before it asks; constant modules have it too"
    if kind.startswith("Leak") and any(function == "_my_Py_InitModule" for _, function in frames[:3]):
        return "what cffi defines a module by, which it never frees"
    return ""


def valgrind(rest: list[str]) -> int:
    """Memcheck: bytes that were never written, freed or not asked for, and what is definitely lost."""
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed: apt-get install valgrind, dnf install valgrind, ...")
    where = build("valgrind", "none")
    reports = reports_of(where / "reports")
    found, known, noise, status = [], 0, 0, 0
    for number, names in enumerate([rest] if rest else [[], ["left_alive"]]):
        report = reports / f"{number}.xml"
        memcheck = [
            *("valgrind", "--xml=yes", f"--xml-file={report}", "--num-callers=80", "--error-limit=no"),
            *("--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"),
            # The engine writes code while it runs; traps are illegal instructions; threads that spin share.
            *("--smc-check=all-non-file", "--sigill-diagnostics=no", "--fair-sched=yes"),
        ]
        status |= smoke(where, memcheck, names)
        if status:
            return status
        for error in ET.parse(report).iter("error"):
            frames, kind = frames_of(error), error.findtext("kind") or ""
            if not any(OURS.search(module) for module, _ in frames):
                noise += 1
            elif is_known(kind, frames, error.findtext("auxwhat") or ""):
                known += 1
            else:
                what = error.findtext("what") or error.findtext("xwhat/text") or ""
                found.append(
                    "\n    ".join([f"{kind}: {what}", *(f"{fn or '?'} ({obj})" for obj, fn in frames)])
                )
    print(f"{known} known: traps of WebAssembly, the engine's parser, what cffi defines modules by")
    return judge(found, noise)


#: Where a bug is planted: a file, what stands there, what stands there instead.
ASKS = """
#include <limits.h>
#include <stdlib.h>
#include <string.h>
static inline int planted(const char *bug) {
    const char *wanted = getenv("WASMTIME_RT_PLANTED");
    return wanted && strcmp(wanted, bug) == 0;
}
"""
HEADS = [
    ("accel/accel.h", '#include "native.h"\n'),
    *((f"{name}.c", '#include "native.h"\n') for name in ("epochs", "native", "shared", "threads")),
]
PLANTED = [
    (
        "accel/signature.c",
        "for (Py_ssize_t i = 0; i < kinds->len; i++) {",
        'for (Py_ssize_t i = 0; i < kinds->len + planted("off by one"); i++) {',
    ),
    (
        "shared.c",
        "    free(refs);\n",
        '    free(refs);\n    if (planted("freed"))\n        *(volatile char *)refs = 1;\n',
    ),
    (
        "threads.c",
        "void wrt_store_delete(wasmtime_store_t *store) {\n",
        """void wrt_store_delete(wasmtime_store_t *store) {
    volatile int most = INT_MAX;
    most = most + planted("overflow");
    void *volatile lost = planted("leak") ? malloc(77) : NULL;
    lost = NULL;
    void *volatile config = planted("leak of the engine's") ? wasm_config_new() : NULL;
    config = NULL;
    (void)lost, (void)config;
""",
    ),
    (
        "accel/function.c",
        "    guard->released = thread;\n",
        """    guard->released = thread;
    static int raced;
    if (planted("race without the GIL"))
        raced++;
""",
    ),
    (
        "epochs.c",
        "/* Whether a call of this thread, and so each",
        "static int raced;\n/* Whether a call of this thread, and so each",
    ),
    (
        "epochs.c",
        "    if (!innermost || time < READ(innermost->limit.due))\n",
        (
            '    if (planted("race"))\n        raced++;\n'
            "    if (!innermost || time < READ(innermost->limit.due))\n"
        ),
    ),
    (
        "epochs.c",
        "    if (!READ(epochs->inside))\n        return false;\n",
        '    if (planted("race"))\n        raced++;\n    if (!READ(epochs->inside))\n        return false;\n',
    ),
]
#: What notices which bug, by what words.
NOTICES = [
    ("sanitize", "off by one", "heap-buffer-overflow", ["tests/smoke", "-k", "calls"]),
    ("sanitize", "freed", "heap-use-after-free", ["tests/smoke", "-k", "calls"]),
    ("sanitize", "overflow", "signed integer overflow", ["tests/smoke", "-k", "calls"]),
    ("leaks", "leak", "wrt_store_delete", ["calls", "traps"]),
    ("leaks", "leak of the engine's", "wasm_config_new", ["calls", "traps"]),
    ("valgrind", "off by one", "InvalidWrite", ["calls"]),
    ("valgrind", "freed", "InvalidWrite", ["calls"]),
    ("valgrind", "leak", "Leak_DefinitelyLost", ["calls", "traps"]),
    ("valgrind", "leak of the engine's", "Leak_DefinitelyLost", ["calls", "traps"]),
    ("races", "race", "data race", ["interruptions"]),
    ("races", "race without the GIL", "data race", ["sharing"]),
]


def prove(rest: list[str]) -> int:
    """Whether each bug is noticed, and nothing where there is none; `rest` may name some of the ways."""
    where = ROOT / "build" / "planted"
    copy_sources(where)
    subprocess.run(["git", "init", "--quiet"], cwd=where, check=True)
    heads = [(name, line, line + ASKS) for name, line in HEADS]
    for name, old, new in [*heads, *PLANTED]:
        path = where / "wasmtime_rt" / "_native" / name
        text = path.read_text()
        if old not in text:
            sys.exit(f"{name}: nowhere to plant a bug: {old!r} is not there")
        path.write_text(text.replace(old, new, 1))
    failed = 0
    clean = [(way, "", "", names) for way, _, _, names in {each[0]: each for each in NOTICES}.values()]
    for way, bug, words, names in [*NOTICES, *clean]:
        if rest and way not in rest:
            continue
        ended = subprocess.run(
            [sys.executable, where / "tools" / "instrumented.py", way, *names],
            env={**os.environ, "WASMTIME_RT_PLANTED": bug}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        good = ended.returncode != 0 and words in ended.stdout if bug else ended.returncode == 0
        failed += not good
        print(f"{way}: {bug or 'no bug'}: {'as it should be' if good else 'WRONG'}", flush=True)
        if not good:
            print(ended.stdout[-4000:], ended.stderr[-2000:])
    return 1 if failed else 0


WAYS = {
    "sanitize": sanitize,
    "sequences": sequences,
    "leaks": leaks,
    "races": races,
    "valgrind": valgrind,
    "prove": prove,
}


def main() -> int:
    """Run one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=WAYS)
    arguments, rest = parser.parse_known_args()
    return WAYS[arguments.what](rest)


if __name__ == "__main__":
    sys.exit(main())
