"""Forks while other threads import the package or parts of it: names come in when they are first asked for."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import wasmtime_rt

PACKAGE = Path(wasmtime_rt.__file__).parent

#: Whoever imports a module of ours for the first time takes his time, and tells.
SLOW = """
begun = threading.Event()
class Slow:
    seconds = 0.03
    @classmethod
    def find_spec(cls, name, path, target=None):
        if name.startswith(PREFIX):
            begun.set()
            time.sleep(cls.seconds)
PREFIX = "wasmtime_rt."
sys.meta_path.insert(0, Slow)
def works():
    Slow.seconds = 0
    import wasmtime_rt as w
    from wasmtime_rt import Sandbox
    engine = w.WasmEngine()
    assert w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, "(module)"))
def beside(work):
    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    return thread
"""

IMPORTS = {
    "a name": "w.WasmStore",
    "names": "from wasmtime_rt import Sandbox, WasmLinker",
    "a room": "w.v128",
    "a module by itself": "import wasmtime_rt.sandbox",
    "what a function imports": "w.WasmTrap('text')._repr_html_()",
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_a_fork_while_another_thread_imports(script, kind):
    source = f"""
        def work():
            exec({IMPORTS[kind]!r}, {{"w": w}})
        thread = beside(work)
        in_child("a child", works, 20)
        thread.join()
        works()
        in_child("a child of later", works, 20)
    """
    script(SLOW + dedent(source))


def test_a_fork_while_another_thread_imports_the_package(tmp_path):
    source = """
        PREFIX = "wasmtime_rt._lowlevel"
        def work():
            import wasmtime_rt
        thread = beside(work)
        pid = os.fork()
        if pid == 0:
            works()
            os._exit(0)
        ends = time.monotonic() + 20
        while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < ends:
            time.sleep(0.01)
        if not ended[0]:
            os.kill(pid, 9)
        thread.join()
        works()
        sys.exit(not ended[0] or ended[1] != 0)
    """
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import os, sys, threading, time\n" + SLOW + dedent(source)],
        capture_output=True,
        cwd=tmp_path,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_many_threads_import_and_fork(script):
    source = """
        warnings.simplefilter("ignore")  # `in_child` would do so on several threads at once
        Slow.seconds = 0.002
        names = [name for name in w.__all__ if name[0] == "W"]
        def importing(turn):
            for name in names[turn::3] + names[::-1]:
                getattr(w, name)
        def forking(turn):
            in_child(f"thread {turn}", works, 20)
        threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4) for work in (importing, forking)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        works()
    """
    script(SLOW + dedent(source))


def test_a_fork_inside_of_an_import(script):
    """By what an import runs, on the thread that imports: nobody is waited for, and both go on."""
    source = """
        began, pids = time.monotonic(), []
        class Forks:
            @staticmethod
            def find_spec(name, path, target=None):
                if name == "wasmtime_rt.memory" and not pids:
                    pids.append(os.fork())
        sys.meta_path.insert(0, Forks)
        Slow.seconds = 0
        warnings.simplefilter("ignore")
        works()
        if pids[0] == 0:
            in_child("a grandchild", works, 20)
            os._exit(len(_problems))
        check("child", os.waitpid(pids[0], 0)[1] == 0)
        in_child("another child", works, 20)
        check("nobody waited", time.monotonic() - began < 9)
    """
    script(SLOW + dedent(source))


def test_an_import_that_does_not_end_is_not_waited_for(script):
    source = """
        import importlib.util
        from wasmtime_rt import _importing
        _importing._PATIENCE = 0.2
        works()
        go_on = threading.Event()
        class Never:
            @classmethod
            def find_spec(cls, name, path, target=None):
                if name == "wasmtime_rt.never":
                    return importlib.util.spec_from_loader(name, cls)
            @staticmethod
            def create_module(spec):
                return None
            @staticmethod
            def exec_module(module):
                begun.set()
                go_on.wait()
        begun.clear()
        sys.meta_path.insert(0, Never)
        def forever():
            with _importing.Importing():
                import wasmtime_rt.never
        thread = beside(forever)
        in_child("a child", works, 20)
        def imports():
            with _importing.Importing():
                from wasmtime_rt import cli
        in_child("imports in a child", imports, 20)
        go_on.set()
        thread.join()
    """
    script(SLOW + dedent(source))


def test_what_functions_import_is_in_a_block():
    """Except for the command line, which has no threads."""
    bare, blocks = [], 0
    for path in sorted(PACKAGE.glob("*.py")):
        if path.name in {"cli.py", "_console.py", "__init__.py"}:
            continue
        tree = ast.parse(path.read_text())
        inside = {
            id(found)
            for block in ast.walk(tree)
            if isinstance(block, ast.With) and ast.unparse(block.items[0]) == "Importing()"
            for found in block.body
        }
        blocks += bool(inside)
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                bare += [
                    f"{path.name}:{found.lineno}"
                    for found in ast.walk(function)
                    if isinstance(found, (ast.Import, ast.ImportFrom)) and id(found) not in inside
                ]
    assert not bare
    assert blocks > 5
