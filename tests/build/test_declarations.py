"""``include/`` describes the engine as it is, and the check that says so can fail."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def text(build_ffi):
    return build_ffi.declarations(ROOT / "include" / "wasmtime.h")


def test_every_declaration_is_right(check_declarations, text, library):
    assert check_declarations.differences(text, library) == []


def test_it_looks_at_everything_that_the_library_exports(check_declarations, text, library):
    declared = check_declarations.declared_functions(text)
    exported = check_declarations.exported_symbols(library)
    assert len(exported) > 770
    assert {name for name in exported if name.startswith(("wasmtime_", "wasi_"))} <= declared
    assert len(declared) > 560


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        (
            "uint64_t wasmtime_table_size(",
            "uint32_t wasmtime_table_size(",
            "wasmtime_table_size, result: ('integer', 4, False) declared, ('integer', 8, False) expected",
        ),
        (
            "void wasmtime_engine_increment_epoch(const wasm_engine_t *engine);",
            "void wasmtime_engine_increment_epoch(const wasm_engine_t *engine, int by);",
            "wasmtime_engine_increment_epoch: 2 parameters declared, 1 expected",
        ),
        (
            "    uint32_t __private2;\n    void *__private3;\n} wasmtime_component_func_t;",
            "    uint32_t __private2;\n} wasmtime_component_func_t;",
            "wasmtime_component_func: 24 bytes declared, 32 expected",
        ),
        (
            "    uint64_t store_id;\n    uint32_t __private1;\n    uint32_t __private2;\n    uint32_t __private3;",
            "    uint64_t store_id;\n    uint32_t __private2;\n    uint32_t __private1;\n    uint32_t __private3;",
            "wasmtime_global.__private1: offset 12 declared, 8 expected",
        ),
        (
            "int64_t memory_size",
            "uint64_t memory_size",
            "wasmtime_store_limiter, parameter 1: ('integer', 8, False) declared, ('integer', 8, True) expected",
        ),
        (
            "void wasmtime_module_delete(",
            "void wasmtime_module_destroy(",
            "wasmtime_module_destroy: declared, but the library does not export it",
        ),
        (
            "bool wasmtime_linker_get(",
            "double wasmtime_linker_get(",
            "wasmtime_linker_get, result: ('float', 8) declared, ('bool',) expected",
        ),
        (
            "wasmtime_exnref_t *exn_ret);",
            "wasmtime_anyref_t *exn_ret);",
            "('pointer', 'wasmtime_anyref') declared, ('pointer', 'wasmtime_exnref') expected",
        ),
    ],
)
def test_a_wrong_declaration_is_found(check_declarations, text, library, right, wrong, complaint):
    assert right in text
    found = check_declarations.differences(text.replace(right, wrong, 1), library)
    assert any(complaint in line for line in found), found


def test_a_missing_declaration_is_found(check_declarations, text, library):
    start = text.index("void wasmtime_module_delete(")
    found = check_declarations.differences(text[:start] + text[text.index(";", start) + 1 :], library)
    assert found == ["wasmtime_module_delete: exported by the library, but not declared"]


def test_the_pin_and_the_headers_are_of_one_version(build_ffi):
    header = (ROOT / "include" / "wasmtime.h").read_text()
    assert f'#define WASMTIME_VERSION "{build_ffi.pinned_version()}"' in header
