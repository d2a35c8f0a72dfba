"""Importing WebAssembly as Python modules."""

import importlib
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import wasmtime_rt
from wasmtime_rt import StoreBusyError, WasiConfig, WasmEngine, WasmMemory, WasmStore, WasmTrap, wat2wasm

GCD = """(module (func (export "gcd") (param i32 i32) (result i32) (local $t i32)
    (loop $again
        (local.set $t (local.get 1))
        (local.set 1 (i32.rem_u (local.get 0) (local.get 1)))
        (local.set 0 (local.get $t))
        (br_if $again (local.get 1)))
    (local.get 0)))"""


@pytest.fixture
def hook(tmp_path, monkeypatch):
    """The hook, on a path with a new folder, whose modules are forgotten afterwards."""
    from wasmtime_rt import importer

    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    importer.install()
    yield importer
    importer.uninstall()
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    """Write a file into the folder on the path."""

    def write(name, source):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wat2wasm(source) if name.endswith(".wasm") else source.encode())
        importlib.invalidate_caches()
        return path

    return write


@pytest.mark.parametrize("suffix", ["wasm", "wat"])
def test_a_module_is_found(hook, write, suffix):
    path = write(f"front_gcd.{suffix}", GCD)
    import front_gcd

    assert front_gcd.gcd(12, 18) == 6
    assert front_gcd.__file__ == str(path)
    assert front_gcd.__all__ == ["gcd"]
    assert front_gcd.__wasm_instance__.exports.gcd is front_gcd.gcd
    assert front_gcd.__wasm_module__.exports[0].name == "gcd"
    assert repr(front_gcd) == f"<module 'front_gcd' from {str(path)!r}>"


def test_machine_code_and_pipes_are_not_imported(hook, write, tmp_path):
    write("front_code.wat", "(module)").with_suffix(".wasm").write_bytes(
        wasmtime_rt.WasmModule(WasmEngine(), GCD).serialize()
    )
    with pytest.raises(ImportError, match=r"front_code.wasm: not a WebAssembly module but compiled code"):
        importlib.import_module("front_code")
    os.mkfifo(tmp_path / "front_pipe.wasm")
    with pytest.raises(ImportError, match="No module named 'front_pipe'"):
        importlib.import_module("front_pipe")
    path = write("front_large.wasm", "(module)")
    os.truncate(path, 1 << 40)
    with pytest.raises(ImportError, match="allowed are 1073741824"):
        importlib.import_module("front_large")


def test_binary_comes_before_text_and_python_before_both(hook, write):
    for suffix, n in (("wasm", 1), ("wat", 2)):
        write(f"front_first.{suffix}", f'(module (func (export "f") (result i32) (i32.const {n})))')
    assert importlib.import_module("front_first").f() == 1
    write("front_second.wasm", "(module)")
    write("front_second.py", "x = 5")
    assert importlib.import_module("front_second").x == 5


def test_imports_come_from_python_modules(hook, write):
    write("front_told.py", "told = []\ndef tell(n):\n    told.append(n)\n    return n + 1\nlimit = 7\n")
    write(
        "front_user.wat",
        """(module (import "math" "cos" (func $cos (param f64) (result f64)))
        (import "front_told" "tell" (func $tell (param i32) (result i32)))
        (import "front_told" "limit" (global $limit i32))
        (func (export "cosine") (param f64) (result f64) (call $cos (local.get 0)))
        (func (export "tell") (result i32) (call $tell (global.get $limit))))""",
    )
    import front_user

    assert front_user.cosine(1.0) == math.cos(1.0)
    assert front_user.tell() == 8
    import front_told

    assert front_told.told == [7]


def test_modules_import_each_other(hook, write):
    write("front_memory.wat", '(module (memory (export "memory") 1) (data (i32.const 0) "*"))')
    write(
        "front_reader.wat",
        """(module (import "front_memory" "memory" (memory 1)) (import "front_first" "f" (func $f (result i32)))
        (func (export "read") (result i32) (i32.add (call $f) (i32.load8_u (i32.const 0)))))""",
    )
    write("front_first.wat", '(module (func (export "f") (result i32) (i32.const 100)))')
    import front_memory
    import front_reader

    assert isinstance(front_memory.memory, WasmMemory)
    assert front_reader.read() == 142


def test_modules_in_packages(hook, write):
    write("front_package/__init__.py", "")
    write("front_package/inner.wat", GCD)
    from front_package import inner

    assert inner.gcd(9, 6) == 3
    assert inner.__package__ == "front_package"


def test_libraries_are_initialised(hook, write):
    write(
        "front_reactor.wat",
        """(module (global $n (mut i32) (i32.const 0)) (func (export "_initialize") (global.set $n (i32.const 9)))
        (func (export "n") (result i32) (global.get $n)))""",
    )
    import front_reactor

    assert front_reactor.n() == 9


def test_wasi_is_an_empty_world_or_the_stores(hook, write):
    write(
        "front_wasi.wat",
        """(module (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "count") (result i32) (drop (call $args (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))))""",
    )
    import front_wasi

    assert front_wasi.count() == 0
    store = WasmStore(WasmEngine(), wasi=WasiConfig(argv=["a", "b"]))
    assert hook.install(store).store is store
    assert importlib.reload(front_wasi).count() == 2
    assert front_wasi.__wasm_instance__.store is store
    with pytest.raises(TypeError):
        hook.install("store")


def test_pythons_own_names_stay_pythons(hook, write):
    path = write(
        "front_names.wat",
        '(module (func (export "__name__")) (func (export "a b")) (func (export "__file__")))',
    )
    import front_names

    assert (front_names.__name__, front_names.__file__) == ("front_names", str(path))
    assert front_names.__all__ == []
    assert vars(front_names)["a b"]() is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(module (func (unknown)))", "unknown"),
        ("(module (func (result i32)))", "type mismatch"),
        ('(module (import "front_nowhere" "f" (func)))', "No module named 'front_nowhere'"),
        ('(module (import "math" "tau2" (func)))', "the module 'math' has no such name"),
        ('(module (import "" "f" (func)))', "it imports"),
        ('(module (import ".x" "f" (func)))', "it imports"),
        ('(module (import "math" "pi" (func)))', "pi"),
        ('(module (import "wasi_snapshot_preview1" "fork" (func)))', "which is no part of WASI"),
        ('(module (import "front_broken" "f" (func)) (func (export "f")))', "no such name"),
    ],
)
def test_what_is_wrong_is_an_import_error(hook, write, source, message):
    path = write("front_broken.wat", source)
    with pytest.raises(ImportError, match=message) as caught:
        importlib.import_module("front_broken")
    assert str(path) in str(caught.value)
    assert "front_broken" not in sys.modules


def test_a_start_function_that_traps(hook, write):
    write("front_trap.wat", "(module (func $f unreachable) (start $f))")
    with pytest.raises(ImportError) as caught:
        importlib.import_module("front_trap")
    assert isinstance(caught.value.__cause__, WasmTrap)


def test_nothing_is_found_that_is_not_there(hook, tmp_path, write):
    (tmp_path / "front_folder.wasm").mkdir()
    for name in ("front_missing", "front_folder"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"):
            importlib.import_module(name)
    hook.uninstall()
    write("front_late.wat", GCD)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("front_late")


def test_a_closed_store_is_replaced(hook, write):
    write("front_gcd.wat", GCD)
    finder = hook.install()
    import front_gcd

    finder.store.close()
    assert importlib.reload(front_gcd).gcd(4, 6) == 2


def test_one_thread_at_a_time(hook, write):
    write(
        "front_wait.py",
        "import threading\ninside, go = threading.Event(), threading.Event()\n"
        "def wait():\n    inside.set()\n    go.wait(30)\n",
    )
    write(
        "front_busy.wat",
        '(module (import "front_wait" "wait" (func $wait)) (func (export "wait") (call $wait)))',
    )
    import front_busy
    import front_wait

    thread = threading.Thread(target=front_busy.wait)
    thread.start()
    front_wait.inside.wait(30)
    with pytest.raises(StoreBusyError):
        front_busy.wait()
    front_wait.go.set()
    thread.join()


def test_importing_it_installs_it(write, tmp_path):
    write("front_gcd.wat", GCD)
    package = str(Path(wasmtime_rt.__file__).parent.parent)
    code = f"import sys; sys.path[:0] = [{package!r}]\nimport wasmtime_rt.importer, front_gcd\nprint(front_gcd.gcd(6, 4))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr) == ("2\n", "")
