"""Tables for notebooks."""

from html.parser import HTMLParser

import pytest

from wasmtime_rt import TrapCode, WasmInstance, WasmModule, WasmStore, WasmTrap

SOURCE = """(module $m (import "env" "<b>" (func (param i32)))
    (func $inner unreachable) (func (export "run & go") (call $inner)) (memory (export "memory") 1))"""


class Cells(HTMLParser):
    """The text of each cell, and of the title; complains where tags do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.title, self.tags = [], [], "", set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "caption" in self.open:
            self.title += data
        elif self.open[-1] in {"td", "th", "code"}:
            self.cells[-1] += data


@pytest.fixture
def instance(engine):
    return WasmInstance(WasmStore(engine), WasmModule(engine, SOURCE), {"env": {"<b>": print}})


def test_modules(instance):
    shown = Cells(instance.module._repr_html_())
    assert shown.title == "WasmModule: 1 imports, 2 exports"
    assert shown.cells[4:7] == ["import", "env", "<b>"]
    assert "run & go" in shown.cells
    assert shown.tags <= {"table", "caption", "b", "thead", "tbody", "tr", "th", "td", "code"}
    instance.module.close()
    assert "closed" in Cells(instance.module._repr_html_()).title


def test_exports_and_instances(instance):
    for shown in (Cells(instance.exports._repr_html_()), Cells(instance._repr_html_())):
        assert shown.title == "2 exports"
        assert shown.cells[:2] == ["name", "type"]
        assert shown.cells[2::2] == ["run & go", "memory"]
    instance.close()
    assert "closed" in instance._repr_html_()


def test_traps(instance):
    with pytest.raises(WasmTrap) as caught:
        instance.exports["run & go"]()
    shown = Cells(caught.value._repr_html_())
    assert shown.title.startswith("WasmTrap: UNREACHABLE_CODE_REACHED: wasm `unreachable`")
    assert shown.cells[3:5] == ["inner", "m"]
    assert len(shown.cells) == 9
    assert Cells(WasmTrap("", TrapCode.INTERRUPT)._repr_html_()).title == "WasmTrap: INTERRUPT: "
    assert Cells(WasmTrap("<script>")._repr_html_()).title == "WasmTrap: <script>"


def test_long_tables_are_cut_and_names_are_harmless(engine):
    functions = "".join(f'(func (export "f{n}"))' for n in range(300))
    shown = Cells(WasmModule(engine, f"(module {functions})")._repr_html_())
    assert shown.cells[-1] == "and 100 more"
    shown = Cells(WasmModule(engine, r'(module (func (export "\1b[2J<script>")))')._repr_html_())
    assert r"\x1b[2J<script>" in shown.cells
