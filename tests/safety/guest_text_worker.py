"""What a module with hostile names does to one text, in a process of its own: see ``test_guest_text.py``.

``python guest_text_worker.py CASE [NAMES]`` prints a JSON object: the length of each text that the case made, the
characters in these texts that no text is to have, and the peak of resident memory in MiB.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
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


#: Names that are long, or that terminals and readers would take for something else.
ODD = "\x1b[31mred\x9b0m\u202e\n\x00" + "e" * 9_000


def _many() -> w.WasmModule:
    """Return a module with 600 imports and 900 exports, with odd names and with types of many parts."""
    numbers = " ".join(["i32"] * 300)
    odd = "".join(f"\\{byte:02x}" for byte in ODD.encode())
    imports = "".join(
        f'(import "{odd}{i}" "{odd}{i}" (func (type $wide)))(import "{odd}{i}" "g" (global i32))'
        for i in range(300)
    )
    exports = "".join(
        f'(export "{odd}{i}" (func $f))(export "{i}" (func $g))(export "g{i}" (func $g))' for i in range(300)
    )
    text = (
        f"(module (type $wide (func (param {numbers}) (result {numbers}))) "
        f"(type $wider (func {'(param (ref $wide))' * 300} (result i32))) {imports} "
        f'(func $g) (func $f (type $wider) unreachable) {exports} (export "tag" (tag $t)) (tag $t (param {numbers})))'
    )
    return w.WasmModule(w.WasmEngine(), text)


def _refused(kinds: type[BaseException], function: Callable[..., object], *args: object) -> str:
    try:
        function(*args)
    except kinds as raised:
        return str(raised)
    raise AssertionError("it returned")


def texts_of_links() -> dict[str, str]:
    """Make errors about imports."""
    module = _many()
    store, linker = w.WasmStore(module.engine), w.WasmLinker(module.engine)
    wanted = module.imports[0]
    imports = {one.module: {one.name: 1} for one in module.imports}
    linker.allow_shadowing = False
    linker.define(wanted.module, wanted.name, lambda: None, w.WasmFuncType())
    trapping = w.WasmLinker(module.engine)
    trapping.define_unknown_imports_as_traps(module)
    return {
        "missing": _refused(w.LinkError, w.WasmInstance, store, module),
        "wrong": _refused(w.LinkError, w.WasmInstance, store, module, imports),
        "sequence": _refused(w.LinkError, w.WasmInstance, store, module, [1]),
        "mapping": _refused(TypeError, w.WasmInstance, store, module, {wanted.module: 1}),
        "linker": _refused(w.LinkError, linker.instantiate, store, module),
        "prepared": _refused(w.LinkError, linker.prepare, module),
        "again": _refused(w.LinkError, linker.define, wanted.module, wanted.name, print),
        "undefined": _refused(KeyError, linker.get, store, wanted.module, wanted.name + "x"),
        "alias": _refused(KeyError, linker.alias_module, ODD, "m"),
        "unknown": _refused(w.WasmtimeError, trapping.get(store, wanted.module, wanted.name), *range(300)),
    }


def texts_of_types() -> dict[str, str]:
    """Spell types, imports and exports."""
    module = _many()
    shown: list[object] = [*module.imports[:3], *module.exports[:3], module.exports[-1], module]
    shown += [one.type for one in (*module.imports[:3], *module.exports[:3])]
    texts = {f"{kind.__name__} {i}": kind(one) for i, one in enumerate(shown) for kind in (str, repr)}
    return {**texts, "html": module._repr_html_()}


def texts_of_nested_types() -> dict[str, str]:
    """Spell types of functions that take hundreds of functions, which take hundreds of functions."""
    wide, engine = "i32 " * 900, w.WasmEngine()
    text = (
        f"(module (type $a (func (param {wide}))) (type $b (func {'(param (ref $a))' * 900}))"
        f"(type $c (func {'(param (ref $b))' * 900}))"
        + "".join(f'(import "m" "{i}" (func (type $c)))' for i in range(100))
    )
    module = w.WasmModule(engine, text + ")")
    began = time.process_time()
    texts = {
        "missing": _refused(w.LinkError, w.WasmInstance, w.WasmStore(engine), module),
        "str": str(module.imports[0]),
        "repr": repr(module.imports[0]),
        "html": module._repr_html_(),
    }
    assert time.process_time() - began < 10  # minutes, if every type in them is spelled
    return texts


def texts_of_exports() -> dict[str, str]:
    """Look at exports and look up what is not there."""
    module = _many()
    linker = w.WasmLinker(module.engine)
    linker.define_unknown_imports_as_traps(module)
    linker.define_unknown_imports_as_default_values(store := w.WasmStore(module.engine), module)
    instance = linker.instantiate(store, module)
    exports, name = instance.exports, module.exports[0].name
    function = instance.get_func(name)
    return {
        "repr": repr(exports),
        "html": exports._repr_html_(),
        "key": _refused(KeyError, exports.__getitem__, ODD),
        "attribute": _refused(AttributeError, getattr, exports, ODD),
        "set": _refused(AttributeError, setattr, exports, ODD, 1),
        "kind": _refused(TypeError, instance.get_memory, name),
        "function": repr(function),
        "count": _refused(TypeError, function),
        "argument": _refused(TypeError, function, *["x"] * 300),
        "typed": _refused(TypeError, function.typed, [], []),
        "exception": str(w.WasmException(exports.tag, *[ODD] * 900)),
        "exception html": w.WasmTrap(ODD, None, (w.WasmFrame(0, ODD, ODD, 0, 0),))._repr_html_(),
    }


def texts_of_compiling() -> dict[str, str]:
    """Compile what is not valid, with names in what the engine says."""
    engine = w.WasmEngine()
    name = "x" * 99_000
    return {
        "twice": _refused(
            w.CompileError,
            w.WasmModule,
            engine,
            f'(module (func $f) {f"""(export "{name}" (func $f))""" * 2})',
        ),
        "text": _refused(w.CompileError, w.wat2wasm, "(module (func " + "$y" * 1_000_000 + " nonsense))"),
        "word": _refused(w.CompileError, w.wat2wasm, "(" + "z\x9b" * 1_000_000 + ")"),
    }


def texts_of_the_command_line() -> dict[str, str]:
    """Inspect, run and validate programs whose names hold escape sequences."""
    from wasmtime_rt.cli import main

    odd = "".join(f"\\{byte:02x}" for byte in ODD.encode())
    imports = "".join(f'(import "wasi{odd}{i}" "{odd}" (func))' for i in range(40))
    Path("imports.wasm").write_bytes(w.wat2wasm(f"(module {imports})"))
    Path("exports.wasm").write_bytes(w.wat2wasm(f'(module (func (export "{odd}") unreachable))'))
    Path("twice.wasm").write_bytes(w.wat2wasm(f'(module (func $f) {f"""(export "{odd}" (func $f))""" * 2})'))
    Path("trap.wasm").write_bytes(names.hostile(ODD.encode(), ODD.encode()))
    texts = {}
    for command in (
        *(["inspect", "imports.wasm"], ["inspect", "exports.wasm"], ["inspect", "--json", "exports.wasm"]),
        *(
            ["validate", "twice.wasm"],
            ["run", "twice.wasm"],
            ["run", "imports.wasm"],
            ["run", "exports.wasm"],
        ),
        *(["run", "--invoke", "f", "imports.wasm"], ["run", "--invoke", "outer", "trap.wasm", "1"]),
    ):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            main(command)
        texts[" ".join(command)] = said.getvalue()
    return texts


TEXTS: dict[str, Callable[[], dict[str, str]]] = {
    case.__name__: case
    for case in (
        *(
            texts_of_links,
            texts_of_types,
            texts_of_nested_types,
            texts_of_exports,
            texts_of_compiling,
            texts_of_the_command_line,
        ),
    )
}


def peak() -> int:
    """Return the most memory that this process has had resident, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM:"))


def forbidden(text: str) -> list[str]:
    """Return what is not printable in ``text``, except for newlines and tabs."""
    return sorted({one for one in text if not one.isprintable()} - {"\n", "\t"})


if __name__ == "__main__":
    case, *chosen = sys.argv[1:]
    texts = CASES[case](NAMES[chosen[0]]) if chosen else TEXTS[case]()
    told = {
        "sizes": {key: len(text) for key, text in texts.items()},
        "forbidden": {key: wrong for key, text in texts.items() if (wrong := forbidden(text))},
        "peak": peak(),
    }
    print(json.dumps(told))
