"""Modules with nearly every instruction, for a trial of a config to compile.

Which machine code the compiler chooses depends on the processor features that it is told of, and it dies
where it chooses what they do not have, which no small module would show.
"""

from __future__ import annotations

from collections.abc import Iterator

# prefix: parameters -> results: names
_SCALAR = """
i32: i32 -> i32: clz ctz popcnt eqz extend8_s extend16_s
i32: i32 i32 -> i32: add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr
i32: i32 i32 -> i32: eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u
i32: f32 -> i32: trunc_f32_s trunc_f32_u trunc_sat_f32_s trunc_sat_f32_u reinterpret_f32
i32: f64 -> i32: trunc_f64_s trunc_f64_u trunc_sat_f64_s trunc_sat_f64_u
i32: i64 -> i32: wrap_i64
i64: i64 -> i64: clz ctz popcnt extend8_s extend16_s extend32_s
i64: i64 i64 -> i64: add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr
i64: i64 i64 -> i32: eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u
i64: i64 -> i32: eqz
i64: i32 -> i64: extend_i32_s extend_i32_u
i64: f32 -> i64: trunc_f32_s trunc_f32_u trunc_sat_f32_s trunc_sat_f32_u
i64: f64 -> i64: trunc_f64_s trunc_f64_u trunc_sat_f64_s trunc_sat_f64_u reinterpret_f64
f32: f32 -> f32: abs neg ceil floor trunc nearest sqrt
f32: f32 f32 -> f32: add sub mul div min max copysign
f32: f32 f32 -> i32: eq ne lt gt le ge
f32: i32 -> f32: convert_i32_s convert_i32_u reinterpret_i32
f32: i64 -> f32: convert_i64_s convert_i64_u
f32: f64 -> f32: demote_f64
f64: f64 -> f64: abs neg ceil floor trunc nearest sqrt
f64: f64 f64 -> f64: add sub mul div min max copysign
f64: f64 f64 -> i32: eq ne lt gt le ge
f64: i64 -> f64: convert_i64_s convert_i64_u reinterpret_i64
f64: i32 -> f64: convert_i32_s convert_i32_u
f64: f32 -> f64: promote_f32
i32: i32 -> i32: load load8_s load8_u load16_s load16_u
i64: i32 -> i64: load load8_s load8_u load16_s load16_u load32_s load32_u
f32: i32 -> f32: load
f64: i32 -> f64: load
i32: i32 i32 -> : store store8 store16
i64: i32 i64 -> : store store8 store16 store32
f32: i32 f32 -> : store
f64: i32 f64 -> : store
memory: i32 i32 i32 -> : copy fill
memory: i32 -> i32: grow
memory: -> i32: size
"""

_VECTOR = """
v128: v128 -> v128: not
v128: v128 v128 -> v128: and andnot or xor
v128: v128 v128 v128 -> v128: bitselect
v128: v128 -> i32: any_true
v128: i32 -> v128: load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u load8_splat
v128: i32 -> v128: load16_splat load32_splat load64_splat load32_zero load64_zero
v128: i32 v128 -> : store
v128: i32 v128 -> v128: load8_lane/3 load16_lane/3 load32_lane/3 load64_lane/1
v128: i32 v128 -> : store8_lane/3 store16_lane/3 store32_lane/3 store64_lane/1
i8x16: v128 -> v128: abs neg popcnt
i8x16: v128 v128 -> v128: swizzle add sub add_sat_s add_sat_u sub_sat_s sub_sat_u min_s min_u max_s max_u
i8x16: v128 v128 -> v128: avgr_u eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u
i8x16: v128 v128 -> v128: narrow_i16x8_s narrow_i16x8_u shuffle/0/17/2/19/4/21/6/23/8/25/10/27/12/29/14/31
i8x16: v128 i32 -> v128: shl shr_s shr_u replace_lane/3
i8x16: v128 -> i32: all_true bitmask extract_lane_s/3 extract_lane_u/3
i8x16: i32 -> v128: splat
i16x8: v128 -> v128: abs neg extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u extend_high_i8x16_u
i16x8: v128 -> v128: extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u
i16x8: v128 v128 -> v128: add sub mul add_sat_s add_sat_u sub_sat_s sub_sat_u min_s min_u max_s max_u avgr_u
i16x8: v128 v128 -> v128: eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u narrow_i32x4_s narrow_i32x4_u
i16x8: v128 v128 -> v128: q15mulr_sat_s extmul_low_i8x16_s extmul_high_i8x16_s extmul_low_i8x16_u
i16x8: v128 v128 -> v128: extmul_high_i8x16_u
i16x8: v128 i32 -> v128: shl shr_s shr_u replace_lane/3
i16x8: v128 -> i32: all_true bitmask extract_lane_s/3 extract_lane_u/3
i16x8: i32 -> v128: splat
i32x4: v128 -> v128: abs neg extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u
i32x4: v128 -> v128: extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u trunc_sat_f32x4_s trunc_sat_f32x4_u
i32x4: v128 -> v128: trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero
i32x4: v128 v128 -> v128: add sub mul min_s min_u max_s max_u dot_i16x8_s
i32x4: v128 v128 -> v128: eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u
i32x4: v128 v128 -> v128: extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u
i32x4: v128 i32 -> v128: shl shr_s shr_u replace_lane/3
i32x4: v128 -> i32: all_true bitmask extract_lane/3
i32x4: i32 -> v128: splat
i64x2: v128 -> v128: abs neg extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u
i64x2: v128 v128 -> v128: add sub mul eq ne lt_s gt_s le_s ge_s
i64x2: v128 v128 -> v128: extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u extmul_high_i32x4_u
i64x2: v128 i32 -> v128: shl shr_s shr_u
i64x2: v128 i64 -> v128: replace_lane/1
i64x2: v128 -> i32: all_true bitmask
i64x2: v128 -> i64: extract_lane/1
i64x2: i64 -> v128: splat
f32x4: v128 -> v128: abs neg sqrt ceil floor trunc nearest convert_i32x4_s convert_i32x4_u demote_f64x2_zero
f32x4: v128 v128 -> v128: add sub mul div min max pmin pmax eq ne lt gt le ge
f32x4: v128 f32 -> v128: replace_lane/3
f32x4: v128 -> f32: extract_lane/3
f32x4: f32 -> v128: splat
f64x2: v128 -> v128: abs neg sqrt ceil floor trunc nearest convert_low_i32x4_s convert_low_i32x4_u
f64x2: v128 -> v128: promote_low_f32x4
f64x2: v128 v128 -> v128: add sub mul div min max pmin pmax eq ne lt gt le ge
f64x2: v128 f64 -> v128: replace_lane/1
f64x2: v128 -> f64: extract_lane/1
f64x2: f64 -> v128: splat
"""

_RELAXED = """
i8x16: v128 v128 -> v128: relaxed_swizzle
i8x16: v128 v128 v128 -> v128: relaxed_laneselect
i16x8: v128 v128 v128 -> v128: relaxed_laneselect
i32x4: v128 v128 v128 -> v128: relaxed_laneselect relaxed_dot_i8x16_i7x16_add_s
i64x2: v128 v128 v128 -> v128: relaxed_laneselect
i32x4: v128 -> v128: relaxed_trunc_f32x4_s relaxed_trunc_f32x4_u
i32x4: v128 -> v128: relaxed_trunc_f64x2_s_zero relaxed_trunc_f64x2_u_zero
f32x4: v128 v128 v128 -> v128: relaxed_madd relaxed_nmadd
f64x2: v128 v128 v128 -> v128: relaxed_madd relaxed_nmadd
f32x4: v128 v128 -> v128: relaxed_min relaxed_max
f64x2: v128 v128 -> v128: relaxed_min relaxed_max
i16x8: v128 v128 -> v128: relaxed_q15mulr_s relaxed_dot_i8x16_i7x16_s
"""

_ATOMIC = """
i32.atomic: i32 -> i32: load load8_u load16_u
i32.atomic: i32 i32 -> : store store8 store16
i32.atomic.rmw: i32 i32 -> i32: add sub and or xor xchg
i32.atomic.rmw8: i32 i32 -> i32: add_u sub_u and_u or_u xor_u xchg_u
i32.atomic.rmw16: i32 i32 -> i32: add_u sub_u and_u or_u xor_u xchg_u
i32.atomic: i32 i32 i32 -> i32: rmw.cmpxchg rmw8.cmpxchg_u rmw16.cmpxchg_u
i64.atomic: i32 -> i64: load load8_u load16_u load32_u
i64.atomic: i32 i64 -> : store store8 store16 store32
i64.atomic.rmw: i32 i64 -> i64: add sub and or xor xchg
i64.atomic.rmw8: i32 i64 -> i64: add_u sub_u and_u or_u xor_u xchg_u
i64.atomic.rmw16: i32 i64 -> i64: add_u sub_u and_u or_u xor_u xchg_u
i64.atomic.rmw32: i32 i64 -> i64: add_u sub_u and_u or_u xor_u xchg_u
i64.atomic: i32 i64 i64 -> i64: rmw.cmpxchg rmw8.cmpxchg_u rmw16.cmpxchg_u rmw32.cmpxchg_u
memory.atomic: i32 i32 i64 -> i32: wait32
memory.atomic: i32 i64 i64 -> i32: wait64
memory.atomic: i32 i32 -> i32: notify
"""

_WIDE = """
i64: i64 i64 i64 i64 -> i64 i64: add128 sub128
i64: i64 i64 -> i64 i64: mul_wide_s mul_wide_u
"""


def modules() -> Iterator[str]:
    """WAT, a module for each of the features that can be off."""
    for table in (_SCALAR, _VECTOR, _RELAXED, _ATOMIC, _WIDE):
        functions = []
        for line in table.strip().splitlines():
            prefix, types, names = line.split(":")
            params, results = types.split("->")
            arguments = "".join(f"(local.get {i})" for i in range(len(params.split())))
            functions += [
                f"(func (param {params}) (result {results}) {arguments} {prefix}.{name.replace('/', ' ')})"
                for name in names.split()
            ]
        yield f"(module (memory 1) {' '.join(functions)})"
