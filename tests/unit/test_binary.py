"""The limits of tables, read from a module's bytes."""

import pytest

from wasmtime_rt import WasmTableType, WasmValType, wat2wasm
from wasmtime_rt._binary import ModuleShape, TableLimits, module_shape


def limits_of(wat):
    return module_shape(wat2wasm(wat))


def test_a_module_without_tables_has_none():
    assert limits_of("(module)") == ModuleShape({}, {}, {})
    assert limits_of('(module (memory (export "m") 1) (func (export "f")))') == ModuleShape(
        {}, {}, {}, memory=True
    )


@pytest.mark.parametrize(
    ("wat", "heap"),
    [
        ("(func (param i32 i64 f32 f64 v128 funcref) (result i32))", False),
        ("(table 1 externref)", False),  # which only functions can fill
        ('(import "m" "g" (global i32))', False),
        ("(type (struct))", True),
        ("(type (array i8))", True),
        ("(type (sub (struct)))", True),
        ("(rec (type (struct)) (type (func)))", True),
        ("(type (func)) (type (struct (field i32)))", True),
        ("(tag)", True),
        ('(import "m" "t" (tag))', True),
        ("(func (param externref))", True),
        ("(func (result anyref) unreachable)", True),
        ("(func (result (ref i31)) unreachable)", True),
        ("(func (result exnref) unreachable)", True),
    ],
)
def test_whether_a_module_can_use_the_heap(wat, heap):
    assert limits_of(f"(module {wat})").heap is heap
    assert limits_of(f"(module {wat} (memory 0))").heap is heap


def test_whether_a_module_has_a_memory():
    assert not limits_of("(module (table 1 funcref))").memory
    assert limits_of("(module (memory i64 0))").memory
    assert limits_of('(module (import "m" "m" (memory 1)))').memory


@pytest.mark.parametrize(
    ("wat", "expected"),
    [
        ("0 funcref", TableLimits(0, None, False)),
        ("5 externref", TableLimits(5, None, False)),
        ("0 0 funcref", TableLimits(0, 0, False)),
        ("127 128 funcref", TableLimits(127, 128, False)),
        ("1 0xffffffff funcref", TableLimits(1, 2**32 - 1, False)),
        ("i64 7 funcref", TableLimits(7, None, True)),
        ("i64 7 0x1_0000_0000 funcref", TableLimits(7, 2**32, True)),
        ("i64 0x1_0000_0001 0xffff_ffff_ffff_ffff externref", TableLimits(2**32 + 1, 2**64 - 1, True)),
        ("3 4 (ref null any)", TableLimits(3, 4, False)),
    ],
)
def test_limits_of_every_width(compiled, wat, expected):
    found = limits_of(f'(module (import "a" "b" (table {wat})) (export "x" (table 0)))')
    assert (found.imported_tables, found.exported_tables) == ({0: expected}, {"x": expected})
    module = compiled(f'(module (import "a" "b" (table {wat})) (export "x" (table 0)))')
    for entry in (module.imports[0], module.exports[0]):
        assert TableLimits(entry.type.min, entry.type.max, entry.type.is64) == expected


def test_positions_count_all_imports_and_indices_count_tables(compiled):
    wat = """(module
        (import "a" "f" (func (param i32)))
        (import "a" "t" (table 1 2 funcref))
        (import "a" "m" (memory i64 1 0x1_0000_0000))
        (import "a" "g" (global (mut (ref null func))))
        (import "a" "h" (global v128))
        (import "a" "e" (tag (param i64)))
        (import "b" "t" (table i64 3 4 externref))
        (table 5 6 funcref)
        (table 7 8 externref)
        (func (export "f"))
        (export "last" (table 3)) (export "first" (table 0)) (export "again" (table 3)) (export "second" (table 1)))"""
    found = limits_of(wat)
    assert found.imported_tables == {1: TableLimits(1, 2, False), 6: TableLimits(3, 4, True)}
    assert {name: limits.min for name, limits in found.exported_tables.items()} == {
        "last": 7,
        "first": 1,
        "again": 7,
        "second": 3,
    }
    assert [str(entry.type) for entry in compiled(wat).exports[1:]] == [
        "(table 7 8 externref)",
        "(table 1 2 funcref)",
        "(table 7 8 externref)",
        "(table i64 3 4 externref)",
    ]


@pytest.mark.parametrize(
    ("declarations", "table"),
    [
        ("(func $f)", "(table $t 2 3 (ref func) (ref.func $f))"),
        ("", "(table $t 2 3 (ref null extern) (ref.null extern))"),
        ("", "(table $t 2 3 (ref i31) (ref.i31 (i32.const -123456)))"),
        (
            "",
            "(table $t 2 3 (ref i31) (ref.i31 (i32.add (i32.const 11) (i32.mul (i32.const 0x0b) (i32.const 2)))))",
        ),
        ('(import "e" "g" (global $g externref))', "(table $t 2 3 externref (global.get $g))"),
        (
            "(type $s (struct (field i64) (field f32) (field f64)))",
            "(table $t 2 3 (ref $s) (struct.new $s (i64.const 0x0b0b0b0b) (f32.const 0x1.161616p-104) (f64.const 11)))",
        ),
        ("(type $s (struct (field i64)))", "(table $t 2 3 (ref $s) (struct.new_default $s))"),
        (
            "(type $a (array v128))",
            "(table $t 2 3 (ref $a) (array.new $a (v128.const i8x16 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11) (i32.const 1)))",
        ),
        (
            "(type $a (array i32))",
            "(table $t 2 3 (ref $a) (array.new_fixed $a 2 (i32.const 11) (i32.const 11)))",
        ),
        ("(type $a (array i32))", "(table $t 2 3 (ref $a) (array.new_default $a (i32.const 11)))"),
        ("", "(table $t 2 3 externref (extern.convert_any (ref.i31 (i32.const 1))))"),
        (
            "(type $s (struct (field (mut i32)))) (type (struct (field i8))) (type $a (array (mut (ref $s))))",
            "(table $t 2 3 (ref $a) (array.new_fixed $a 1 (struct.new $s (i32.const 11))))",
        ),
    ],
)
def test_initialisers_are_passed_over(compiled, declarations, table):
    wat = f'(module {declarations} {table} (table $u i64 9 10 funcref) (export "t" (table $t)) (export "u" (table $u)))'
    found = limits_of(wat)
    assert found.exported_tables == {"t": TableLimits(2, 3, False), "u": TableLimits(9, 10, True)}
    assert str(compiled(wat).exports[1].type) == "(table i64 9 10 funcref)"


def test_references_to_types_of_any_index_are_passed_over():
    types = "".join(f"(type (func (param {' i32' * n})))" for n in range(200))
    found = limits_of(
        f"""(module {types} (import "a" "t" (table 1 2 (ref null 199))) (import "a" "g" (global (ref 130)))
        (import "a" "u" (table 3 4 (ref null 70))) (table 5 6 (ref null 3)) (export "x" (table 2)))"""
    )
    assert found.imported_tables == {0: TableLimits(1, 2, False), 2: TableLimits(3, 4, False)}
    assert found.exported_tables == {"x": TableLimits(5, 6, False)}


def test_names_are_utf8_and_of_any_length():
    name = "é𝄞" * 100
    assert limits_of(f'(module (table (export "{name}") 1 funcref))').exported_tables == {
        name: TableLimits(1, None, False)
    }


def test_custom_sections_are_passed_over(compiled):
    custom = b"\0" + bytes([5]) + b"\4name" + b"\0" + bytes([4]) + b"\1x\4\4"
    wasm = wat2wasm('(module (table (export "t") 4 funcref))')
    padded = wasm[:8] + custom + wasm[8:] + custom
    assert module_shape(padded).exported_tables == {"t": TableLimits(4, None, False)}
    assert compiled(padded).exports[0].type == WasmTableType(WasmValType.FUNCREF, 4)


def test_numbers_may_be_padded():
    wasm = wat2wasm('(module (table (export "t") 4 funcref))')
    padded = wasm.replace(b"\4\4\1\x70\0\4", b"\4\x09\x81\0\x70\0\x84\x80\x80\x80\0")
    assert padded != wasm
    assert module_shape(padded).exported_tables == {"t": TableLimits(4, None, False)}


def test_an_imported_table_of_64_bits_is_passed_on(run):
    first = run('(module (table (export "t") i64 2 0x2_0000_0000 funcref))').exports.t
    second = run(
        '(module (import "e" "t" (table i64 1 0x3_0000_0000 funcref)) (export "u" (table 0)))', [first]
    ).exports.u
    assert first == second
    assert len(second) == 2


def test_compact_imports_are_counted_one_by_one():
    def section(number, content):
        return bytes([number, len(content)]) + content

    table = b"\1\x70\1\2\3"
    by_name = b"\1a\0\x7f\3" + b"\1f\0\0" + b"\1t" + table + b"\1g\3\x7f\0"
    by_type = b"\1b\0\x7e" + b"\1\x70\4\5" + b"\2\1u\1v"
    single, unnamed = b"\1c\1t" + table, b"\1d\0" + table
    imports = b"\4" + by_name + by_type + single + unnamed
    exports = b"\3" + b"\1x\1\0" + b"\1y\1\2" + b"\1z\1\4"
    wasm = b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0") + section(2, imports) + section(7, exports)
    narrow, wide = TableLimits(2, 3, False), TableLimits(5, None, True)
    assert module_shape(wasm) == ModuleShape(
        {1: narrow, 3: wide, 4: wide, 5: narrow, 6: narrow},
        {"x": narrow, "y": wide, "z": narrow},
        {"x": 1, "y": 4, "z": 6},
        heap=False,
        memory=False,
    )
