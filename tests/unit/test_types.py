"""Types: spellings, equality, limits, and the subtype relation that linking goes by."""

import pytest

from wasmtime_rt import (
    DefinedType,
    WasmExportType,
    WasmFuncType,
    WasmGlobalType,
    WasmImportType,
    WasmLimits,
    WasmMemoryType,
    WasmTableType,
    WasmTagType,
    WasmtimeType,
    WasmValType,
)

I32, I64, F32, F64, V128 = (getattr(WasmValType, name) for name in ("I32", "I64", "F32", "F64", "V128"))
FUNCREF, EXTERNREF, ANYREF = WasmValType.FUNCREF, WasmValType.EXTERNREF, WasmValType.ANYREF

ABSTRACT = {
    "func": "funcref",
    "extern": "externref",
    "any": "anyref",
    "eq": "eqref",
    "i31": "i31ref",
    "struct": "structref",
    "array": "arrayref",
    "exn": "exnref",
    "none": "nullref",
    "nofunc": "nullfuncref",
    "noextern": "nullexternref",
    "noexn": "nullexnref",
}


@pytest.mark.parametrize("name", ["i32", "i64", "f32", "f64", "v128", *ABSTRACT.values()])
def test_every_constant_is_spelled_as_in_the_text_format(name):
    constant = getattr(WasmValType, name.upper())
    assert str(constant) == name
    assert repr(constant) == f"WasmValType.{name.upper()}"
    assert WasmValType.parse(name) is constant


@pytest.mark.parametrize(("heap", "short"), ABSTRACT.items())
def test_every_abstract_reference_is_nullable_or_not(heap, short):
    nullable, strict = WasmValType.ref(heap), WasmValType.ref(heap, nullable=False)
    assert nullable is getattr(WasmValType, short.upper())
    assert WasmValType.parse(f"(ref null {heap})") is nullable
    assert str(strict) == f"(ref {heap})"
    assert WasmValType.parse(f"(ref {heap})") == strict
    assert repr(strict) == f"WasmValType.ref({heap!r}, nullable=False)"
    assert nullable != strict
    assert (nullable.with_nullable(False), strict.with_nullable(True)) == (strict, nullable)


@pytest.mark.parametrize("text", ["", "i33", "ref any", "(ref null)", "(ref bogus)", "(ref any null)", "int"])
def test_a_spelling_that_is_none_is_refused_with_the_text(text):
    with pytest.raises(ValueError, match="expected a spelling such as i32") as caught:
        WasmValType.parse(text)
    assert f"got {text!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("i31",), "kind: expected one of i32"),
        (("ref", "bogus"), "heap type: expected one of func"),
        (("ref",), "heap type: .*got None"),
        (("i32", "any"), "i32 is no reference"),
        (("f64", None, True), "f64 is no reference"),
    ],
)
def test_a_value_type_that_does_not_exist_cannot_be_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        WasmValType(*arguments)


def test_only_references_have_a_hierarchy():
    assert [t.hierarchy for t in (I32, FUNCREF, EXTERNREF, WasmValType.I31REF, WasmValType.NULLEXNREF)] == [
        None,
        "func",
        "extern",
        "any",
        "exn",
    ]
    assert not V128.is_ref
    assert FUNCREF.is_ref


@pytest.mark.parametrize(
    ("given", "expected", "fits"),
    [
        ("i32", "i32", True),
        ("i32", "i64", False),
        ("i32", "anyref", False),
        ("i31ref", "anyref", True),
        ("i31ref", "eqref", True),
        ("structref", "i31ref", False),
        ("anyref", "eqref", False),
        ("nullref", "structref", True),
        ("nullref", "arrayref", True),
        ("nullref", "externref", False),
        ("nullfuncref", "funcref", True),
        ("nullexternref", "externref", True),
        ("nullexnref", "exnref", True),
        ("funcref", "externref", False),
        ("(ref func)", "funcref", True),
        ("funcref", "(ref func)", False),
    ],
)
def test_subtypes_stand_where_their_supertypes_are_expected(given, expected, fits):
    assert WasmValType.parse(given).matches(WasmValType.parse(expected)) is fits


def test_function_types_are_values():
    one = WasmFuncType([I32, "i64"], ["funcref"])
    assert one == WasmFuncType((I32, I64), (FUNCREF,))
    assert {one: 1}[WasmFuncType(["i32", "i64"], [FUNCREF])] == 1
    assert one != WasmFuncType([I32], [FUNCREF])
    assert str(one) == "(func (param i32 i64) (result funcref))"
    assert str(WasmFuncType()) == "(func)"
    assert str(WasmFuncType([], [I32, F64])) == "(func (result i32 f64))"
    with pytest.raises(AttributeError):
        one.params = ()


def test_function_types_are_contravariant_in_parameters_and_covariant_in_results():
    general, special = WasmFuncType([ANYREF], ["i31ref"]), WasmFuncType(["i31ref"], [ANYREF])
    assert general.matches(special)
    assert not special.matches(general)
    assert not WasmFuncType([I32]).matches(WasmFuncType())


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ("i32", TypeError, "got the string 'i32'"),
        ([int], TypeError, "WasmValType.I32"),
        (["x"], ValueError, "'x'"),
    ],
)
def test_a_function_type_takes_value_types_only(params, error, message):
    with pytest.raises(error, match=message):
        WasmFuncType(params)


@pytest.mark.parametrize("func", [["i32"], None, WasmValType.I32])
def test_a_tag_type_takes_a_function_type_only(func):
    with pytest.raises(TypeError, match="func: expected a WasmFuncType, got"):
        WasmTagType(func)


@pytest.mark.parametrize("make", [WasmLimits, WasmMemoryType, lambda *a: WasmTableType(FUNCREF, *a)])
def test_limits_are_checked_where_they_are_given(make):
    assert (make(0, 0).min, make(0, 0).max) == (0, 0)
    assert make(3).max is None
    with pytest.raises(ValueError, match="max: expected at least min = 2 .*, got 1"):
        make(2, 1)
    with pytest.raises(ValueError, match="min: expected 0 <= min"):
        make(-1)
    with pytest.raises(TypeError, match=r"min: expected an integer, got 1\.5"):
        make(1.5)
    with pytest.raises(TypeError, match="max: expected an integer, got True"):
        make(0, True)


def test_sizes_cannot_exceed_the_address_space():
    assert WasmMemoryType(65536, 65536).min == 65536
    with pytest.raises(ValueError, match="min: expected at most 65536 pages, got 65537"):
        WasmMemoryType(65537)
    with pytest.raises(ValueError, match="max: expected at most 65536 pages, got 65537"):
        WasmMemoryType(1, 65537)
    assert WasmMemoryType(1, 2**48, is64=True).max == 2**48
    with pytest.raises(ValueError, match="got 281474976710657"):
        WasmMemoryType(1, 2**48 + 1, is64=True)
    assert WasmTableType(FUNCREF, 0, 2**40, is64=True).max == 2**40
    with pytest.raises(ValueError, match="elements, got 4294967296"):
        WasmTableType(FUNCREF, 0, 2**32)


def test_memory_types_say_everything_in_their_spelling():
    assert str(WasmMemoryType(1)) == "(memory 1)"
    assert str(WasmMemoryType(1, 2, is64=True, shared=True)) == "(memory i64 1 2 shared)"
    assert str(WasmMemoryType(1, 2, page_size=1)) == "(memory 1 2 (pagesize 1))"
    assert WasmMemoryType(1).page_size == 65536
    assert WasmMemoryType(1, 2).limits == WasmLimits(1, 2)
    with pytest.raises(ValueError, match="page_size: expected 65536 or 1 byte, got 2"):
        WasmMemoryType(1, page_size=2)
    with pytest.raises(ValueError, match="a shared memory needs one"):
        WasmMemoryType(1, shared=True)


def test_memories_and_tables_match_by_size_and_maximum():
    assert WasmMemoryType(2, 3).matches(WasmMemoryType(1, 4))
    assert not WasmMemoryType(2).matches(WasmMemoryType(1, 4))
    assert not WasmMemoryType(1).matches(WasmMemoryType(2))
    assert WasmMemoryType(1).matches(WasmMemoryType(2), 2)
    assert not WasmMemoryType(1, is64=True).matches(WasmMemoryType(1))
    assert WasmTableType(FUNCREF, 2, 3).matches(WasmTableType(FUNCREF, 1))
    assert not WasmTableType(FUNCREF, 2).matches(WasmTableType(EXTERNREF, 2))
    assert not WasmTableType("nullfuncref", 2).matches(WasmTableType(FUNCREF, 2))


def test_globals_match_invariantly_where_they_are_mutable():
    assert WasmGlobalType("i31ref").matches(WasmGlobalType(ANYREF))
    assert not WasmGlobalType("i31ref", True).matches(WasmGlobalType(ANYREF, True))
    assert not WasmGlobalType(I32, True).matches(WasmGlobalType(I32))
    assert not WasmGlobalType(I32).mutable
    assert str(WasmGlobalType(I64, True)) == "(global (mut i64))"
    with pytest.raises(TypeError, match="mutable: expected a bool, got 1"):
        WasmGlobalType(I32, 1)


def test_tables_hold_references():
    assert str(WasmTableType("funcref", 1, 2)) == "(table 1 2 funcref)"
    assert str(WasmTableType(EXTERNREF, 0, is64=True)) == "(table i64 0 externref)"
    with pytest.raises(ValueError, match="element: expected a reference type, got i32"):
        WasmTableType(I32, 1)


def test_import_export_and_tag_types_are_spelled_as_in_the_text_format():
    assert str(WasmImportType("env", "f", WasmFuncType([I32]))) == '(import "env" "f" (func (param i32)))'
    assert str(WasmExportType("m", WasmMemoryType(1))) == '(export "m" (memory 1))'
    assert str(WasmTagType(WasmFuncType([F32]))) == "(tag (param f32))"
    assert WasmTagType(WasmFuncType([F32])).matches(WasmTagType(WasmFuncType(["f32"])))
    assert isinstance(WasmTagType(WasmFuncType()), WasmtimeType)


def test_a_type_that_a_module_defines_is_compared_by_structure(compiled):
    wat = """(module (type $p (struct (field i32) (field (mut f64)))) (type $q (struct (field i32)))
        (func (export "f") (param (ref null $p) (ref $p) (ref $q))))"""
    first, second, third = compiled(wat).exports[0].type.params
    assert isinstance(first.heap, DefinedType)
    assert first.heap.kind == "struct"
    assert str(second) == "(ref (struct (field i32) (field (mut f64))))"
    assert second.with_nullable(True) == first
    assert hash(second.with_nullable(True)) == hash(first)
    assert third != second
    assert second.matches(WasmValType.STRUCTREF)
    assert second.matches(first)
    assert not first.matches(WasmValType.parse("(ref struct)"))
    assert WasmValType.NULLREF.matches(first)
    again = compiled(wat).exports[0].type
    assert again == WasmFuncType((first, second, third))
    assert first.hierarchy == "any"
