"""Environment variables that the engine reads, with values that end the process, or hang it, if they reach it."""

from __future__ import annotations

import os
import resource
import sys

import wasmtime_rt as w

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
BAD = ("-1", "x", "+4", " 4", "4 ", "999999", "9" * 30, "9" * 100_000, "\udcff", "٤")
VARIABLES = {
    "TOKIO_WORKER_THREADS": ("", "0", *BAD),
    "RAYON_NUM_THREADS": BAD,
    "RAYON_RS_NUM_CPUS": BAD,
    "RUST_MIN_STACK": ("", "0", "4", "65535", "1073741825", *(bad for bad in BAD if bad != "999999")),
}
PROGRAM = '(module (func (export "_start")))'


def refused(name: str, function, *args) -> None:
    """Expect an error that names the variable."""
    try:
        function(*args)
    except w.WasmtimeError as error:
        assert str(error).startswith(f"{name}: "), error
        assert len(str(error)) < 400, error
    else:
        raise AssertionError(name)


def when_an_engine_is_made() -> None:
    for name, values in VARIABLES.items():
        for value in values:
            os.environ[name] = value
            refused(name, w.WasmEngine)
        del os.environ[name]
        w.WasmEngine()
    assert not set(VARIABLES) & set(os.environ)


def when_it_was_changed_by_c() -> None:
    """Not to be seen in ``os.environ``."""
    os.putenv("RUST_MIN_STACK", "0")
    refused("RUST_MIN_STACK", w.WasmEngine)


def when_threads_start() -> None:
    """After the engine was made."""
    engine = w.WasmEngine()
    for name in ("RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS", "RUST_MIN_STACK"):
        os.environ[name] = "-1"
        refused(name, w.WasmModule, engine, PROGRAM)
        del os.environ[name]
    w.WasmModule(engine, PROGRAM)


def with_good_values() -> None:
    """What the engine works with is left as it is."""
    good = {
        "TOKIO_WORKER_THREADS": "2",
        "RAYON_NUM_THREADS": "0",
        "RAYON_RS_NUM_CPUS": "",
        "RUST_MIN_STACK": "65536",
    }
    os.environ.update(good)
    w.WasmModule(w.WasmEngine(), PROGRAM)
    assert {name: os.environ[name] for name in good} == good


def with_backtrace_details() -> None:
    """Sandboxes refuse engines that demangle what a guest says."""
    plain = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
    w.Sandbox(PROGRAM.encode())
    os.environ["WASMTIME_BACKTRACE_DETAILS"] = "1"
    engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
    name = "WASMTIME_BACKTRACE_DETAILS"
    refused(name, w.Sandbox, w.WasmModule(engine, PROGRAM))
    refused(name, lambda: w.Sandbox(PROGRAM.encode(), fuel=1000))
    w.Sandbox(w.WasmModule(plain, PROGRAM))  # made before: the engine has read the variable then
    w.Sandbox(PROGRAM.encode())
    os.environ["WASMTIME_BACKTRACE_DETAILS"] = "0"
    refused(name, w.Sandbox, w.WasmModule(engine, PROGRAM))
    w.Sandbox(PROGRAM.encode(), fuel=1000)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("done", flush=True)
