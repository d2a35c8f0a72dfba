"""What a module with hostile names does to one text, in a process of its own: see ``test_guest_text.py``.

``python guest_text_worker.py CASE NAMES`` prints a JSON object with the length of each text that the case made, and
the peak of resident memory in MiB.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import names_modules as names

import wasmtime_rt as w

NAMES = {"mangled": names.mangled(60), "long": b"n" * (16 << 20)}


def _config(**settings: object) -> w.WasmConfig:
    return w.WasmConfig(epoch_interruption=True, **settings)  # type: ignore[arg-type]


def _instance(engine: w.WasmEngine, name: bytes) -> w.WasmInstance:
    module = w.WasmModule(engine, names.hostile(name, name[:50_000]))
    linker = w.WasmLinker(engine)
    linker.define_wasi()
    return linker.instantiate(w.WasmStore(engine, wasi=w.WasiConfig()), module)


def _texts(raised: BaseException) -> dict[str, str]:
    return {
        "str": str(raised),
        "repr": repr(raised),
        "notes": "".join(getattr(raised, "__notes__", ())),
        "frames": repr(getattr(raised, "frames", ())),
    }


def _ends(name: bytes, way: int, kind: type[w.WasmtimeError]) -> dict[str, str]:
    outer = _instance(w.WasmEngine(_config()), name).get_func("outer")
    try:
        outer(way, timeout=0.2)
    except kind as raised:
        return _texts(raised)
    raise AssertionError("it returned")


def trap(name: bytes) -> dict[str, str]:
    """Let an instruction trap, 20 frames deep at least."""
    return _ends(name, 1, w.WasmTrap)


def leave(name: bytes) -> dict[str, str]:
    """Exit by WASI."""
    return _ends(name, 2, w.WasmExit)


def time_limit(name: bytes) -> dict[str, str]:
    """Run until the time is up."""
    return _ends(name, 3, w.WasmTimeout)


def host_exception(name: bytes) -> dict[str, str]:
    """Let a host function raise, which gets the frames as a note."""
    engine = w.WasmEngine()

    def stop(_code: int) -> None:
        raise KeyError("stop")

    module = w.WasmModule(engine, names.hostile(name))
    instance = w.WasmInstance(w.WasmStore(engine), module, {"wasi_snapshot_preview1": {"proc_exit": stop}})
    try:
        instance.exports.outer(2)
    except KeyError as raised:
        return _texts(raised)
    raise AssertionError("it returned")


def serialized(name: bytes) -> dict[str, str]:
    """Trap in a module that was serialized and loaded."""
    engine = w.WasmEngine()
    data = w.WasmModule(engine, names.hostile(name)).serialize()
    module = w.WasmModule.deserialize(engine, data)
    imports = {"wasi_snapshot_preview1": {"proc_exit": lambda _code: None}}
    try:
        w.WasmInstance(w.WasmStore(engine), module, imports).exports.outer(1)
    except w.WasmTrap as raised:
        return _texts(raised)
    raise AssertionError("it returned")


def sandbox(name: bytes) -> dict[str, str]:
    """Trap in a module that another process compiled."""
    program = w.Sandbox(names.hostile(name), compile_timeout=30.0, cache=False).start()
    try:
        program.call("outer", 1)
    except w.WasmTrap as raised:
        return _texts(raised)
    raise AssertionError("it returned")


def debug_info(name: bytes) -> dict[str, str]:
    """Trap in a module that was compiled for a debugger."""
    engine = w.WasmEngine(w.WasmConfig(debug_info=True))
    module = w.WasmModule(engine, names.hostile(name))
    imports = {"wasi_snapshot_preview1": {"proc_exit": lambda _code: None}}
    try:
        w.WasmInstance(w.WasmStore(engine), module, imports).exports.outer(1)
    except w.WasmTrap as raised:
        return _texts(raised)
    raise AssertionError("it returned")


def profile(name: bytes) -> dict[str, str]:
    """Write a profile, for which the engine names every function."""
    instance = _instance(w.WasmEngine(_config()), name)
    with instance.store.profile("profile.json"), contextlib.suppress(w.WasmTimeout):
        instance.call("outer", 3, timeout=0.2)
    text = Path("profile.json").read_text()
    shown = json.loads(text)["threads"][0]["stringArray"]
    return {"profile": text, "names": "".join(shown)}


def perf_map(name: bytes) -> dict[str, str]:
    """Write a perf map, for which the engine names every function when it compiles."""
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    try:
        engine = w.WasmEngine(w.WasmConfig(profiling_strategy=w.ProfilingStrategy.PERFMAP))
        w.WasmModule(engine, names.hostile(name))
        return {"map": path.read_text()}
    finally:
        path.unlink(missing_ok=True)


def command_line(name: bytes) -> dict[str, str]:
    """Trap in the command line."""
    from wasmtime_rt.cli import main

    Path("program.wasm").write_bytes(names.hostile(name))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        main(["run", "--cache", "off", "--invoke", "outer", "program.wasm", "1"])
    return {"stderr": said.getvalue()}


CASES: dict[str, Callable[[bytes], dict[str, str]]] = {
    case.__name__: case
    for case in (
        *(trap, leave, time_limit, host_exception, serialized, sandbox, debug_info),
        *(profile, perf_map, command_line),
    )
}


def peak() -> int:
    """Return the most memory that this process has had resident, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    texts = CASES[sys.argv[1]](NAMES[sys.argv[2]])
    print(json.dumps({"sizes": {key: len(text) for key, text in texts.items()}, "peak": peak()}))
