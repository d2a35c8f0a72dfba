"""Every setter of the C API has a setting or a reason to have none, and the table in the docs is of these."""

import importlib.util
import re
from pathlib import Path

import pytest

from wasmtime_rt import PoolingConfig, WasmConfig

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_SETTING = {
    "wasmtime_config_host_memory_creator_set": "its callbacks run where no Python may",
    "wasmtime_config_host_stack_creator_set": "its callbacks run where no Python may",
    "wasmtime_pooling_allocation_config_new": "PoolingConfig is made into one",
    "wasmtime_pooling_allocation_config_delete": "and is done with at once",
}


@pytest.fixture(scope="module")
def tool():
    path = ROOT / "tools" / "config_table.py"
    if not path.exists():
        pytest.skip("the sources are not here")
    spec = importlib.util.spec_from_file_location("config_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared():
    text = "".join(path.read_text() for path in sorted((ROOT / "include").rglob("*.h")))
    return set(re.findall(r"\b(wasmtime_config_\w+|wasmtime_pooling_\w+)\s*\(", text))


def test_every_setter_has_a_setting_or_a_reason(tool):
    reached = [
        function
        for settings in (WasmConfig, PoolingConfig)
        for name in settings._knobs
        for function in tool.functions_of(settings, name)
    ]
    assert len(reached) == len(set(reached))
    assert set(reached) | set(WITHOUT_SETTING) == declared()
    assert not set(reached) & set(WITHOUT_SETTING)
    assert len(PoolingConfig._knobs) == 20


def test_the_document_is_of_these_settings(tool):
    assert tool.DOCUMENT.read_text(encoding="utf-8") == tool.document(), "run tools/config_table.py"
