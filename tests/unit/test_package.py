"""The package: what it exports, and what importing it costs."""

import subprocess
import sys

import pytest

import wasmtime_rt


@pytest.mark.parametrize("name", wasmtime_rt.__all__)
def test_every_exported_name_is_there(name):
    assert getattr(wasmtime_rt, name) is not None
    assert name in dir(wasmtime_rt)


def test_every_name_with_a_home_is_exported():
    assert set(wasmtime_rt._HOMES) | {"__version__", "engine_version"} == set(wasmtime_rt.__all__)


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="module 'wasmtime_rt' has no attribute 'Wasm'"):
        wasmtime_rt.Wasm
    with pytest.raises(ImportError):
        from wasmtime_rt import nothing  # noqa: F401


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_leaves_out_what_takes_long():
    slow = {"dataclasses", "inspect", "pathlib", "ast", "json", "asyncio", "numpy"}
    loaded = run(
        "import sys; before = set(sys.modules)\n"
        "import wasmtime_rt, wasmtime_rt.linker\n"
        "print(*set(sys.modules) - before)"
    ).split()
    assert slow.isdisjoint(loaded)


def test_the_engine_is_loaded_at_once_and_rooms_as_they_are_needed():
    code = "import sys, wasmtime_rt as w; print(*sys.modules); w.WasmLinker; print(*sys.modules)"
    first, second = (set(line.split()) for line in run(code).splitlines())
    assert "wasmtime_rt._ffi" in first
    assert "wasmtime_rt.linker" not in first
    assert "wasmtime_rt.linker" in second


@pytest.mark.parametrize("name", ["WasmInstance", "WasmFunc", "WasmGlobal", "WasmTable", "WasmLinker"])
def test_one_name_alone_is_enough(name):
    run(
        f"from wasmtime_rt import {name}\n"
        "import wasmtime_rt as w\n"
        "engine = w.WasmEngine(); store = w.WasmStore(engine)\n"
        "module = w.WasmModule(engine, '(module (type $s (struct)) (func (export \"f\") (result (ref $s)) (struct.new $s)))')\n"
        "assert type(w.instantiate(store, module).exports.f()).__name__ == 'WasmStruct'\n"
    )


@pytest.mark.parametrize("use", ["set_fuel(5)", "gc()", "close()"])
def test_a_store_alone_is_enough(use):
    run(f"import wasmtime_rt as w\nw.WasmStore(w.WasmEngine(w.WasmConfig(consume_fuel=True))).{use}\n")


def test_a_star_import_brings_all():
    run("from wasmtime_rt import *; WasmEngine, I32, rw, WasmStruct")


def test_a_store_needs_nothing_to_call():
    run(
        "import wasmtime_rt as w\n"
        "engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))\n"
        "store = w.WasmStore(engine, limits=w.StoreLimits(memory_size=65536))\n"
        "store.gc(); store.set_epoch_deadline(1); store.close()\n"
        "try:\n    store.gc()\nexcept w.StoreClosedError:\n    pass\n"
    )
