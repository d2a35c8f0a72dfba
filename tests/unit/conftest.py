"""Shared fixtures: one engine for the session, a fresh store for each test, and a short way to run WAT."""

from __future__ import annotations

import pytest

from wasmtime_rt import WasmEngine, WasmInstance, WasmModule, WasmStore


@pytest.fixture(scope="session")
def engine():
    """An engine with the default settings."""
    return WasmEngine()


@pytest.fixture
def store(engine):
    """A store that no other test has seen."""
    return WasmStore(engine)


@pytest.fixture
def compiled(engine):
    """Compile a source with the shared engine."""
    return lambda source: WasmModule(engine, source)


@pytest.fixture
def run(engine, store):
    """Compile a source and instantiate it in the test's store: ``run(wat, imports)``."""

    def run(source, imports=None):
        return WasmInstance(store, WasmModule(engine, source), imports)

    return run
