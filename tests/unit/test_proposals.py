"""What WebAssembly 3.0 and the proposals behind it add, as behaviour seen from Python."""

from __future__ import annotations

import math
import random
import struct

import pytest

from wasmtime_rt import (
    StoreLimits,
    TrapCode,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmMemory,
    WasmMemoryType,
    WasmModule,
    WasmStore,
    WasmTable,
    WasmTableType,
    WasmtimeError,
    WasmTrap,
    WasmValType,
    v128,
)

# ---- Memories with 64-bit addresses

WIDE_MEMORY = """(module
    (memory (export "memory") i64 1 0x20000)
    (func (export "size") (result i64) memory.size)
    (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
    (func (export "load") (param i64) (result i32) (i32.load8_u (local.get 0)))
    (func (export "store") (param i64 i32) (i32.store8 (local.get 0) (local.get 1)))
    (func (export "fill") (param i64 i32 i64) (memory.fill (local.get 0) (local.get 1) (local.get 2))))"""

FOUR_GIB = 1 << 32


def test_memory64_grows_beyond_four_gib_and_both_sides_see_all_of_it(run):
    exports = run(WIDE_MEMORY).exports
    memory = exports.memory
    memory[10] = 5
    assert exports.grow(65536) == 1
    assert (exports.size(), memory.size, memory.data_size) == (65537, 65537, FOUR_GIB + 65536)
    assert (exports.load(10), memory[10]) == (5, 5)
    exports.store(FOUR_GIB + 7, 200)
    assert memory.read(FOUR_GIB + 6, 3) == b"\x00\xc8\x00"
    memory.write(FOUR_GIB + 100, b"far")
    memory[-1] = 9
    assert (exports.load(FOUR_GIB + 101), exports.load(FOUR_GIB + 65535)) == (ord("a"), 9)
    exports.fill(FOUR_GIB - 2, 1, 4)  # across the border
    assert memory[FOUR_GIB - 3 : FOUR_GIB + 3] == b"\x00\x01\x01\x01\x01\x00"
    assert memory.read_u32(FOUR_GIB - 2) == 0x01010101
    assert memory.grow(1) == 65537


def test_memory64_bounds_are_those_of_64_bits(run):
    exports = run(WIDE_MEMORY).exports
    for address in (65536, FOUR_GIB, FOUR_GIB + 1, 2**63, 2**64 - 1):
        with pytest.raises(WasmTrap) as trap:
            exports.load(address)
        assert trap.value.code is TrapCode.MEMORY_OUT_OF_BOUNDS
        with pytest.raises(IndexError):
            exports.memory.read(address, 1)
    assert exports.grow(2**40) == -1
    with pytest.raises(WasmtimeError, match="grow"):
        exports.memory.grow(0x20000)


def test_memory64_types_link_with_their_own_kind_only(run, store):
    wide = WasmMemory(store, WasmMemoryType(1, 4, is64=True))
    instance = run('(module (import "" "m" (memory i64 1 8)) (export "m" (memory 0)))', [wide])
    assert instance.exports.m == wide
    assert str(instance.exports.m.type) == "(memory i64 1 4)"
    with pytest.raises(WasmtimeError, match=r"got \(memory i64 1 4\)"):
        run('(module (import "" "m" (memory 1 8)))', [wide])


# ---- Tables with 64-bit indices

WIDE_TABLE = """(module
    (table $t (export "table") i64 3 0x100000000 funcref)
    (elem (i64.const 0) $one $two)
    (func $one (result i32) (i32.const 1))
    (func $two (result i32) (i32.const 2))
    (func (export "call") (param i64) (result i32) (call_indirect (result i32) (local.get 0)))
    (func (export "size") (result i64) (table.size $t))
    (func (export "grow") (param i64) (result i64) (table.grow $t (ref.null func) (local.get 0))))"""


def test_table64_is_indexed_called_and_grown(run):
    exports = run(WIDE_TABLE).exports
    table = exports.table
    assert (exports.call(0), exports.call(1), table[1]()) == (1, 2, 2)
    assert (table.type.is64, table.type.max, len(table)) == (True, 1 << 32, 3)
    table[2] = table[0]
    assert exports.call(2) == 1
    assert (exports.grow(2), table.grow(1, table[1]), exports.size()) == (3, 5, 6)
    assert exports.call(5) == 2
    for index in (6, 1 << 32, 2**64 - 1):
        with pytest.raises(WasmTrap) as trap:
            exports.call(index)
        assert trap.value.code is TrapCode.TABLE_OUT_OF_BOUNDS
    with pytest.raises(IndexError):
        table[6]


def test_table64_from_python(run, store):
    table = WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 1, 1 << 40, is64=True), "first")
    exports = run(
        """(module (import "" "t" (table $t i64 1 externref))
            (func (export "at") (param i64) (result externref) (table.get $t (local.get 0))))""",
        [table],
    ).exports
    assert exports.at(0) == "first"
    table.grow(2, "more")
    assert exports.at(2) == "more"
    with pytest.raises(WasmtimeError, match="got"):
        run('(module (import "" "t" (table 1 externref)))', [table])


# ---- Several memories

TWO_MEMORIES = """(module
    (import "host" "in" (memory $in 1))
    (memory $out (export "out") 1 3)
    (memory $small (export "small") 0)
    (data (memory $out) (i32.const 4) "hello")
    (func (export "copy") (param i32 i32 i32)
      (memory.copy $in $out (local.get 0) (local.get 1) (local.get 2)))
    (func (export "sum") (param i32) (result i32)
      (i32.add (i32.load8_u $in (local.get 0)) (i32.load8_u $out (local.get 0))))
    (func (export "grow") (result i32) (memory.grow $small (i32.const 2))))"""


def test_multi_memory_keeps_memories_apart(run, store):
    inside = WasmMemory(store, WasmMemoryType(1))
    exports = run(TWO_MEMORIES, {"host": {"in": inside}}).exports
    assert exports.out != inside
    exports.copy(100, 4, 5)
    assert (inside[100:105], exports.out[100:105]) == (b"hello", bytes(5))
    inside[7], exports.out[7] = 40, 2
    assert exports.sum(7) == 42
    assert exports.grow() == 0
    assert (exports.small.size, exports.out.size, inside.size) == (2, 1, 1)


def test_limits_count_each_memory(engine):
    module = WasmModule(engine, "(module (memory 1) (memory 1) (memory 1))")
    WasmInstance(WasmStore(engine, limits=StoreLimits(memories=3)), module)
    with pytest.raises(WasmtimeError, match="memory count too high"):
        WasmInstance(WasmStore(engine, limits=StoreLimits(memories=2)), module)


# ---- Pages of one byte


@pytest.fixture(scope="module")
def small_pages():
    return WasmEngine(WasmConfig(wasm_custom_page_sizes=True))


def test_custom_page_sizes_count_bytes(small_pages):
    module = WasmModule(
        small_pages,
        """(module (memory (export "m") 5 100 (pagesize 1))
            (func (export "size") (result i32) memory.size)
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))""",
    )
    exports = WasmInstance(WasmStore(small_pages), module).exports
    memory = exports.m
    assert (memory.type.page_size, memory.size, memory.data_size, len(memory)) == (1, 5, 5, 5)
    memory[4] = 7
    assert exports.load(4) == 7
    with pytest.raises(WasmTrap):
        exports.load(5)
    with pytest.raises(IndexError):
        memory.read(4, 2)
    assert (exports.grow(2), memory.grow(3), exports.size(), len(memory)) == (5, 7, 10, 10)
    assert (exports.load(9), memory[4]) == (0, 7)
    with pytest.raises(WasmtimeError, match="grow"):
        memory.grow(91)
    assert exports.grow(91) == -1


def test_custom_page_sizes_from_python(small_pages):
    store = WasmStore(small_pages)
    memory = WasmMemory(store, WasmMemoryType(3, 9, page_size=1))
    assert (memory.data_size, memory.grow(6), memory.data_size) == (3, 3, 9)
    module = WasmModule(small_pages, '(module (import "" "m" (memory 3 9 (pagesize 1))))')
    WasmInstance(store, module, [memory])
    with pytest.raises(WasmtimeError, match="got"):
        WasmInstance(store, WasmModule(small_pages, '(module (import "" "m" (memory 0)))'), [memory])


# ---- 128-bit arithmetic

WIDE_ARITHMETIC = """(module
    (func (export "add") (param i64 i64 i64 i64) (result i64 i64)
      (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
    (func (export "sub") (param i64 i64 i64 i64) (result i64 i64)
      (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
    (func (export "mul_s") (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))
    (func (export "mul_u") (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1))))"""


def halves(number):
    """A number of 128 bits as two of 64, the lower first, both signed, as they come back."""
    return struct.unpack("<qq", (number % (1 << 128)).to_bytes(16, "little"))


def test_wide_arithmetic_is_that_of_python(run):
    exports, dice = run(WIDE_ARITHMETIC).exports, random.Random(4)
    edges = [0, 1, -1, 2**63 - 1, -(2**63), 2**64 - 1, 2**127 - 1, -(2**127)]
    pairs = [(a, b) for a in edges for b in edges]
    pairs += [(dice.getrandbits(128) - 2**127, dice.getrandbits(128) - 2**127) for _ in range(50)]
    for a, b in pairs:
        assert exports.add(*halves(a), *halves(b)) == halves(a + b)
        assert exports.sub(*halves(a), *halves(b)) == halves(a - b)
        signed = [halves(number)[0] for number in (a, b)]
        assert exports.mul_s(*signed) == halves(signed[0] * signed[1])
        unsigned = [number % (1 << 64) for number in signed]
        assert exports.mul_u(*unsigned) == halves(unsigned[0] * unsigned[1])


# ---- Tail calls

TAIL_CALLS = """(module
    (type $step (func (param i64 i64) (result i64)))
    (table funcref (elem $even $odd))
    (elem declare func $by_reference)
    (func $even (export "even") (type $step)
      (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))
        (else (return_call $odd (i64.sub (local.get 0) (i64.const 1)) (local.get 1)))))
    (func $odd (type $step)
      (if (result i64) (i64.eqz (local.get 0)) (then (i64.const -1))
        (else (return_call_indirect (type $step)
          (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 2)) (i32.const 0)))))
    (func $by_reference (export "by_reference") (type $step)
      (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))
        (else (return_call_ref $step (i64.sub (local.get 0) (i64.const 1))
          (i64.add (local.get 1) (i64.const 1)) (ref.func $by_reference)))))
    (func $deep (export "deep") (param i64) (result i64)
      (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 0))
        (else (i64.add (i64.const 1) (call $deep (i64.sub (local.get 0) (i64.const 1))))))))"""


def test_tail_calls_take_no_stack(run):
    exports = run(TAIL_CALLS).exports
    assert exports.even(1_000_000, 0) == 1_000_000
    assert exports.even(7, 0) == -1
    assert exports.by_reference(1_000_000, 0) == 1_000_000
    with pytest.raises(WasmTrap) as trap:
        exports.deep(1_000_000)
    assert trap.value.code is TrapCode.STACK_OVERFLOW


def test_a_tail_call_of_a_host_function_returns_for_its_caller(run):
    exports = run(
        """(module (import "" "f" (func $f (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (return_call $f (local.get 0))))""",
        [lambda n: n + 1],
    ).exports
    assert exports.run(41) == 42


# ---- Vectors, relaxed ones among them

RELAXED = """(module
    (func (export "swizzle") (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))
    (func (export "madd") (param v128 v128 v128) (result v128)
      (f64x2.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
    (func (export "min") (param v128 v128) (result v128) (f32x4.relaxed_min (local.get 0) (local.get 1)))
    (func (export "dot") (param v128 v128) (result v128)
      (i16x8.relaxed_dot_i8x16_i7x16_s (local.get 0) (local.get 1)))
    (func (export "select") (param v128 v128 v128) (result v128)
      (i32x4.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2))))"""


@pytest.mark.parametrize("deterministic", [False, True])
def test_relaxed_vectors_are_among_the_results_that_are_allowed(deterministic):
    engine = WasmEngine(WasmConfig(wasm_relaxed_simd_deterministic=deterministic))
    exports = WasmInstance(WasmStore(engine), WasmModule(engine, RELAXED)).exports
    letters = bytes(range(100, 116))

    indices = v128.i8x16(*range(15, 0, -1), 0x80)
    assert exports.swizzle(letters, indices) == letters[:0:-1] + b"\0"
    beyond = exports.swizzle(letters, v128.i8x16(*[16] * 16))
    assert beyond in ({bytes(16)} if deterministic else {bytes(16), letters[:1] * 16})

    # (1 + e)(1 - e) - 1 is -e*e where it is rounded once, and 0 where the product is rounded first.
    e = 2.0**-30
    fused = v128.lanes("f64x2", exports.madd(v128.f64x2(1 + e, 2), v128.f64x2(1 - e, 3), v128.f64x2(-1, 4)))
    assert fused[1] == 10
    assert fused[0] in ({-e * e} if deterministic else {-e * e, 0.0})

    low = v128.lanes("f32x4", exports.min(v128.f32x4(1, -2, math.nan, 0), v128.f32x4(3, -4, 5, 0)))
    assert low[:2] == (1, -4)
    assert math.isnan(low[2]) or (low[2] == 5 and not deterministic)

    pairs = exports.dot(v128.i8x16(*range(-8, 8)), v128.i8x16(*[3, 5] * 8))
    assert v128.lanes("i16x8", pairs) == tuple(3 * a + 5 * (a + 1) for a in range(-8, 8, 2))

    chosen = exports.select(v128.i32x4(1, 2, 3, 4), v128.i32x4(5, 6, 7, 8), v128.i32x4(-1, 0, -1, 0))
    assert v128.lanes("i32x4", chosen) == (1, 6, 3, 8)


def test_deterministic_vectors_are_the_same_each_time():
    settings = WasmConfig(wasm_relaxed_simd_deterministic=True)
    results = set()
    for engine in (WasmEngine(settings), WasmEngine(settings.replace(cranelift_nan_canonicalization=True))):
        exports = WasmInstance(WasmStore(engine), WasmModule(engine, RELAXED)).exports
        results.add(exports.swizzle(bytes(range(16)), v128.i8x16(*range(8, 24))))
    assert results == {bytes(range(8, 16)) + bytes(8)}
