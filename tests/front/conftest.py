"""Front doors: every test has a cache of its own, so that none depends on what ran before."""

from __future__ import annotations

import pytest

from wasmtime_rt import WasmEngine


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("WASMTIME_RT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def engine():
    return WasmEngine()
