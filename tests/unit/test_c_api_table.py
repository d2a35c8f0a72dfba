"""Every function that the library exports is reached from Python, or there is a reason; and docstrings are right."""

import importlib.util
import re
from pathlib import Path

import pytest

import wasmtime_rt

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    path = ROOT / "tools" / "c_api_table.py"
    if not path.exists():
        pytest.skip("the sources are not here")
    spec = importlib.util.spec_from_file_location("c_api_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(tool):
    return tool.Table(tool.exported_functions())


def test_every_exported_function_is_on_one_side(table):
    assert not table.problems
    sides = [set(table.reached), set(table.same), set(table.without)]
    assert set.union(*sides) == table.exported
    assert sum(map(len, sides)) == len(table.exported) > 700
    assert all(table.reached.values())


def test_the_names_are_there(table):
    for told in (*table.reached.values(), *table.same.values()):
        for text in told:
            if text.startswith("in "):
                continue
            named = wasmtime_rt
            for part in text.strip("`").split("."):
                if part in getattr(named, "_knobs", {}):
                    break
                named = getattr(named, part)


def test_the_document_is_of_this_code(tool, table):
    assert tool.DOCUMENT.read_text(encoding="utf-8") == table.document(), "run tools/c_api_table.py"
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", table.document(), flags=re.MULTILINE)
    assert [name for name, _ in rows] == sorted(table.exported)
    keys = {key for key, _, _ in tool.REASONS}
    assert {told.strip("*") for _, told in rows if told.startswith("*")} == keys


def test_a_function_on_neither_side_is_told(tool, table):
    more = tool.Table({*table.exported, "wasmtime_new_function"})
    assert any(problem.startswith("wasmtime_new_function: exported, but") for problem in more.problems)


def test_a_docstring_that_names_what_nothing_below_it_uses_is_told(tool, table):
    """Checked by the reach of a small method, whose neighbours use much more."""
    grow = next(part for part in table.package.parts if repr(part) == "shared_memory.WasmSharedMemory.grow")
    reached = table.package.reached(grow)
    assert "wasmtime_sharedmemory_grow" in reached
    assert not reached & {"wasmtime_memory_grow", "wasmtime_instance_new", "wasmtime_module_new"}
    package = table.package
    names = [part for part in package.parts if repr(part) == "table.WasmTable.grow"]
    names[0].doc += "\n\nC API: ``wasmtime_memory_grow``."
    names[0].doc = names[0].doc.replace("C API: ``wasmtime_table_grow``.", "")
    try:
        package.problems.clear()
        table._named()
        assert package.problems == [
            "table.WasmTable.grow: its docstring names wasmtime_memory_grow, which nothing below it uses"
        ]
    finally:
        package.problems.clear()
