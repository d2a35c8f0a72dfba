"""Modules: sources, validation, and what they ask for and offer."""

import io
from pathlib import Path

import pytest

from wasmtime_rt import (
    AbstractModule,
    ClosedError,
    CompileError,
    WasmEngine,
    WasmFuncType,
    WasmGlobalType,
    WasmImportType,
    WasmInstance,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmTableType,
    WasmTagType,
    WasmtimeError,
    WasmValType,
    wat2wasm,
)

WAT = '(module (func (export "answer") (result i32) (i32.const 42)))'
COMPONENT = "(component)"


def answer_of(engine, module):
    return WasmInstance(WasmStore(engine), module).exports.answer()


@pytest.mark.parametrize(
    "convert", [str, str.encode, wat2wasm, lambda w: bytearray(wat2wasm(w)), lambda w: memoryview(w.encode())]
)
def test_a_module_is_made_of_text_or_bytes(engine, convert):
    module = WasmModule(engine, convert(WAT))
    assert isinstance(module, AbstractModule)
    assert module.engine is engine
    assert answer_of(engine, module) == 42


@pytest.mark.parametrize(
    "write", [lambda path: path.write_text(WAT), lambda path: path.write_bytes(wat2wasm(WAT))]
)
def test_a_module_is_made_of_a_file(engine, tmp_path, write):
    path = tmp_path / "module.any"
    write(path)
    assert answer_of(engine, WasmModule(engine, path)) == 42
    assert answer_of(engine, WasmModule.from_file(engine, path)) == 42
    assert answer_of(engine, WasmModule.from_file(engine, str(path))) == 42
    assert WasmModule.is_valid(engine, path)


def test_a_missing_file_is_an_os_error(engine, tmp_path):
    with pytest.raises(FileNotFoundError):
        WasmModule(engine, tmp_path / "missing.wasm")
    with pytest.raises(FileNotFoundError):
        WasmModule.from_file(engine, tmp_path / "missing.wasm")


def test_a_string_is_text_and_never_a_path(engine, tmp_path):
    path = tmp_path / "module.wasm"
    path.write_bytes(wat2wasm(WAT))
    with pytest.raises(CompileError):
        WasmModule(engine, str(path))


@pytest.mark.parametrize("source", [None, 5, io.BytesIO(b"\0asm"), ["(module)"]])
def test_other_sources_are_refused(engine, source):
    with pytest.raises(TypeError, match="source: expected WAT text, bytes or a path, got"):
        WasmModule(engine, source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "expected it to start with"),
        (b"\x7fELF\2\1\1", "not a WebAssembly module.*ELF.*WasmModule.deserialize"),
        ("module.wasm", "'module.wasm' is not WAT.*a file is a pathlib.Path"),
        (b"\0asm", "unexpected end"),
        (b"\0asm\1\0\0\0junk", "unexpected end-of-file"),
        ("(module (func (result i32)))", "type mismatch"),
        ('(module (func (export "f")) (func (export "f")))', "duplicate export name"),
        ("(module (func (call 7)))", "unknown func"),
    ],
)
def test_invalid_modules_are_refused_with_the_reason(engine, source, message):
    with pytest.raises(CompileError, match=message):
        WasmModule(engine, source)
    with pytest.raises(CompileError, match=message):
        WasmModule.validate(engine, source)
    assert WasmModule.is_valid(engine, source) is False


def test_a_component_is_an_error_that_says_so(engine):
    data = wat2wasm(COMPONENT)
    for use in (WasmModule, WasmModule.validate):
        with pytest.raises(CompileError, match="component"):
            use(engine, data)
    assert not WasmModule.is_valid(engine, data)


def test_validation_accepts_what_compiles(engine):
    assert WasmModule.validate(engine, WAT) is None
    assert WasmModule.is_valid(engine, wat2wasm(WAT)) is True


def test_wat_errors_carry_line_and_column():
    with pytest.raises(CompileError, match=r"2:4") as caught:
        wat2wasm("(module\n  (fnc))")
    assert "expected valid module field" in caught.value.message
    assert isinstance(caught.value, WasmtimeError)


def test_wat_is_utf8_of_any_length(engine):
    text = f'(module (func (export "größe → 𝄞") (result i32) (i32.const 7)) (; {"é" * 500} ;))'
    assert wat2wasm(text) == wat2wasm(text.encode())
    module = WasmModule(engine, text)
    assert module.exports[0].name == "größe → 𝄞"
    assert WasmInstance(WasmStore(engine), module).exports["größe → 𝄞"]() == 7


@pytest.mark.parametrize("text", [b"(module \xff)", "(module \udc80)"])
def test_text_that_is_not_utf8_is_a_compile_error(text):
    with pytest.raises(CompileError):
        wat2wasm(text)


def test_wat2wasm_takes_text_only():
    with pytest.raises(TypeError, match="text: expected str or bytes, got PosixPath"):
        wat2wasm(Path("module.wat"))


def test_a_nul_character_does_not_end_the_text():
    with pytest.raises(CompileError):
        wat2wasm("(module)\0 nonsense")


EVERYTHING = """(module
    (import "a" "func" (func (param i32 f64) (result i64 f32)))
    (import "a" "memory" (memory i64 1 4))
    (import "a" "global" (global (mut v128)))
    (import "b" "table" (table 2 9 externref))
    (import "" "tag" (tag (param i32)))
    (import "b" "table" (table 3 (ref null func)))
    (func (export "f") (param v128) (result funcref) unreachable)
    (memory (export "m") 2 3)
    (table (export "t") 1 (ref null any))
    (table (export "t64") i64 5 0x1_0000_0001 funcref)
    (global (export "g") i64 (i64.const 1))
    (global (export "gm") (mut externref) (ref.null extern))
    (tag (export "e") (param f32 f64))
    (export "reexported" (table 0)))"""


def test_imports_have_names_and_full_types(compiled):
    i32, i64, f32, f64 = (WasmValType.parse(name) for name in ("i32", "i64", "f32", "f64"))
    assert compiled(EVERYTHING).imports == (
        WasmImportType("a", "func", WasmFuncType([i32, f64], [i64, f32])),
        WasmImportType("a", "memory", WasmMemoryType(1, 4, is64=True)),
        WasmImportType("a", "global", WasmGlobalType(WasmValType.V128, True)),
        WasmImportType("b", "table", WasmTableType(WasmValType.EXTERNREF, 2, 9)),
        WasmImportType("", "tag", WasmTagType(WasmFuncType([i32]))),
        WasmImportType("b", "table", WasmTableType(WasmValType.FUNCREF, 3)),
    )


def test_exports_have_names_and_full_types(compiled):
    assert [(export.name, str(export.type)) for export in compiled(EVERYTHING).exports] == [
        ("f", "(func (param v128) (result funcref))"),
        ("m", "(memory 2 3)"),
        ("t", "(table 1 anyref)"),
        ("t64", "(table i64 5 4294967297 funcref)"),
        ("g", "(global i64)"),
        ("gm", "(global (mut externref))"),
        ("e", "(tag (param f32 f64))"),
        ("reexported", "(table 2 9 externref)"),
    ]


def test_reference_types_of_all_proposals_are_shown(compiled):
    types = (
        "funcref externref anyref eqref i31ref structref arrayref exnref nullref nullfuncref nullexternref"
    )
    strict = "(ref func) (ref extern) (ref any) (ref eq) (ref i31) (ref struct) (ref array) (ref exn)"
    module = compiled(f'(module (func (export "f") (param {types} {strict})))')
    assert " ".join(map(str, module.exports[0].type.params)) == f"{types} {strict}"


def test_defined_types_are_described_even_where_they_nest_in_themselves(compiled):
    module = compiled("""(module
        (rec (type $list (struct (field i8) (field (mut (ref null $list))))))
        (type $many (array (mut (ref $list))))
        (type $call (func (param (ref $many)) (result (ref null $call))))
        (func (export "f") (param (ref $list) (ref $many) (ref null $call)) unreachable))""")
    texts = [str(param) for param in module.exports[0].type.params]
    assert texts[0].startswith("(ref (struct (field i8) (field (mut (ref null (struct")
    assert texts[1].startswith("(ref (array (mut (ref (struct")
    assert texts[2].startswith("(ref null (func (param (ref (array")
    assert all("..." in text for text in texts)
    assert all(repr(param) for param in module.exports[0].type.params)


def test_a_closed_module_refuses_use_and_its_instances_go_on(engine):
    with WasmModule(engine, WAT) as module:
        store = WasmStore(engine)
        instance = WasmInstance(store, module)
        assert module.is_valid is True
    assert module.is_valid is False
    module.close()
    with pytest.raises(ClosedError, match="this module was closed"):
        WasmInstance(store, module)
    assert instance.exports.answer() == 42
    assert repr(module) == "<WasmModule 0 imports, 1 exports closed>"
    assert str(module.exports[0].type) == "(func (result i32))"


def test_one_module_serves_many_stores(engine):
    module = WasmModule(
        engine,
        '(module (global $n (mut i32) (i32.const 0)) (func (export "n") (result i32)'
        " (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))",
    )
    first, second = (WasmInstance(WasmStore(engine), module).exports.n for _ in range(2))
    assert [first(), first(), second()] == [1, 2, 1]


def test_validate_needs_an_engine():
    with pytest.raises(TypeError, match="engine: expected a WasmEngine, got None"):
        WasmModule.validate(None, "(module)")
    with pytest.raises(ClosedError):
        closed = WasmEngine()
        closed.close()
        WasmModule.is_valid(closed, "(module)")
