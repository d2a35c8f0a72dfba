;; Numbers go in and come out bit for bit; results that are NaN may be given as patterns.

(module
  (global (export "zero") f32 (f32.const -0.0))
  (global (export "signalling") f64 (f64.const -nan:0x4_0000_0000_0001))
  (global $count (export "count") (mut i32) (i32.const -7))
  (func (export "count up") (global.set $count (i32.add (global.get $count) (i32.const 1))))
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "bits32") (param f32) (result i32) (i32.reinterpret_f32 (local.get 0)))
  (func (export "bits64") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
  (func (export "div32") (param f32 f32) (result f32) (f32.div (local.get 0) (local.get 1)))
  (func (export "div64") (param f64 f64) (result f64) (f64.div (local.get 0) (local.get 1)))
  (func (export "none"))
  (func (export "all") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (local.get 3) (local.get 2) (local.get 1) (local.get 0)))

(assert_return (invoke "i32" (i32.const 0xffff_ffff)) (i32.const -1))
(assert_return (invoke "i32" (i32.const 0x8000_0000)) (i32.const -2147483648))
(assert_return (invoke "i64" (i64.const -1)) (i64.const 0xffff_ffff_ffff_ffff))
(assert_return (invoke "i64" (i64.const 0x7fff_ffff_ffff_ffff)) (i64.const 9223372036854775807))

(assert_return (invoke "f32" (f32.const -0.0)) (f32.const -0.0))
(assert_return (invoke "f32" (f32.const 0x1p-149)) (f32.const 0x1p-149))
(assert_return (invoke "f32" (f32.const -inf)) (f32.const -inf))
(assert_return (invoke "f32" (f32.const nan:0x200001)) (f32.const nan:0x200001))
(assert_return (invoke "bits32" (f32.const -nan:0x200001)) (i32.const 0xffa00001))
(assert_return (invoke "f64" (f64.const 0x1p-1074)) (f64.const 0x1p-1074))
(assert_return (invoke "f64" (f64.const -nan:0x4_0000_0000_0001)) (f64.const -nan:0x4_0000_0000_0001))
(assert_return (invoke "bits64" (f64.const nan:0x1)) (i64.const 0x7ff0_0000_0000_0001))

(assert_return (invoke "div32" (f32.const 0) (f32.const 0)) (f32.const nan:canonical))
(assert_return (invoke "div32" (f32.const nan:0x200001) (f32.const 1)) (f32.const nan:arithmetic))
(assert_return (invoke "div64" (f64.const 0) (f64.const 0)) (f64.const nan:canonical))
(assert_return (invoke "div64" (f64.const nan:0x4000000000001) (f64.const 1)) (f64.const nan:arithmetic))

(assert_return (invoke "none"))
(assert_return
  (invoke "all" (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4))
  (f64.const 4) (f32.const 3) (i64.const 2) (i32.const 1))

(assert_return (get "zero") (f32.const -0.0))
(assert_return (get "signalling") (f64.const -nan:0x4_0000_0000_0001))
(assert_return (get "count") (i32.const -7))
(invoke "count up")
(invoke "count up")
(assert_return (get "count") (i32.const -5))
