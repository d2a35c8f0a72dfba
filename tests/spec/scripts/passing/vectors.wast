;; Vectors, by lanes of every shape.

(module
  (global (export "ones") v128 (v128.const i8x16 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1))
  (func (export "same") (param v128) (result v128) (local.get 0))
  (func (export "lane 1") (param v128) (result i32) (i16x8.extract_lane_u 1 (local.get 0)))
  (func (export "div32") (param v128 v128) (result v128) (f32x4.div (local.get 0) (local.get 1)))
  (func (export "div64") (param v128 v128) (result v128) (f64x2.div (local.get 0) (local.get 1))))

(assert_return (get "ones") (v128.const i64x2 -1 0xffff_ffff_ffff_ffff))
(assert_return (invoke "lane 1" (v128.const i16x8 0 0xfffe 2 3 4 5 6 7)) (i32.const 0xfffe))
(assert_return
  (invoke "same" (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 -1))
  (v128.const i16x8 0x0100 0x0302 0x0504 0x0706 0x0908 0x0b0a 0x0d0c 0xff0e))
(assert_return
  (invoke "same" (v128.const i32x4 0 1 -2 0x8000_0000))
  (v128.const i64x2 0x1_0000_0000 0x8000_0000_ffff_fffe))
(assert_return
  (invoke "same" (v128.const f32x4 1 -0.0 inf nan:0x200001))
  (v128.const i32x4 0x3f80_0000 0x8000_0000 0x7f80_0000 0x7fa0_0001))
(assert_return
  (invoke "same" (v128.const i32x4 0x3f80_0000 0x8000_0000 0x7f80_0000 0x7fa0_0001))
  (v128.const f32x4 1 -0.0 inf nan:0x200001))
(assert_return
  (invoke "same" (v128.const f64x2 -1 nan:0x4_0000_0000_0001))
  (v128.const i64x2 0xbff0_0000_0000_0000 0x7ff4_0000_0000_0001))

(assert_return
  (invoke "div32" (v128.const f32x4 0 nan:0x200001 1 6) (v128.const f32x4 0 1 0 -2))
  (v128.const f32x4 nan:canonical nan:arithmetic inf -3))
(assert_return
  (invoke "div64" (v128.const f64x2 0 nan:0x4000000000001) (v128.const f64x2 0 1))
  (v128.const f64x2 nan:canonical nan:arithmetic))

(assert_return
  (invoke "same" (v128.const i32x4 1 2 3 4))
  (either (v128.const i32x4 4 3 2 1) (v128.const i64x2 0 0) (v128.const i32x4 1 2 3 4)))
