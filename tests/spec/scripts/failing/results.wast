;; What must be reported: each line that fails says so, and in which words.

(module
  (type $point (struct (field i32)))
  (global (export "one") i32 (i32.const 1))
  (func $f (export "none"))
  (func (export "i32") (result i32) (i32.const 1))
  (func (export "i64") (result i64) (i64.const 1))
  (func (export "two") (result i32 i32) (i32.const 1) (i32.const 2))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "v128") (param v128) (result v128) (local.get 0))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "any") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "func") (param i32) (result funcref)
    (select (result funcref) (ref.func $f) (ref.null func) (local.get 0)))
  (func (export "i31") (result i31ref) (ref.i31 (i32.const 1)))
  (func (export "struct") (result anyref) (struct.new $point (i32.const 1)))
  (func (export "exn") (result exnref) (ref.null exn)))

(assert_return (invoke "i32") (i32.const 2)) ;; fails: expected (i32 2), got (i32
(assert_return (invoke "i32") (i64.const 1)) ;; fails: expected (i64 1), got (i32
(assert_return (invoke "i64") (i64.const -1)) ;; fails: expected (i64 -1), got (i64
(assert_return (invoke "i32")) ;; fails: expected 0 results, got 1
(assert_return (invoke "none") (i32.const 0)) ;; fails: expected 1 results, got 0
(assert_return (invoke "two") (i32.const 1) (i32.const 3)) ;; fails: result 1: expected (i32 3)
(assert_return (get "one") (i32.const 2)) ;; fails: expected (i32 2)

(assert_return (invoke "f32" (f32.const 0)) (f32.const -0.0)) ;; fails: expected (f32 0x80000000), got (f32 0x00000000)
(assert_return (invoke "f32" (f32.const 1)) (f32.const nan:canonical)) ;; fails: expected (f32 nan:canonical)
(assert_return (invoke "f32" (f32.const nan:0x400001)) (f32.const nan:canonical)) ;; fails: got (f32 0x7fc00001)
(assert_return (invoke "f32" (f32.const nan:0x200000)) (f32.const nan:arithmetic)) ;; fails: got (f32 0x7fa00000)
(assert_return (invoke "f32" (f32.const inf)) (f32.const nan:arithmetic)) ;; fails: expected (f32 nan:arithmetic)
(assert_return (invoke "f64" (f64.const nan:0x1)) (f64.const nan:0x2)) ;; fails: got (f64 0x7ff0000000000001)
(assert_return (invoke "f64" (f64.const nan:0x1)) (f64.const nan:arithmetic)) ;; fails: expected (f64 nan:arithmetic)
(assert_return (invoke "f64" (f64.const -inf)) (f64.const nan:canonical)) ;; fails: expected (f64 nan:canonical)

(assert_return (invoke "v128" (v128.const i32x4 1 2 3 4)) (v128.const i32x4 1 2 3 5)) ;; fails: expected (v128 i32x4 1 2 3 5)
(assert_return (invoke "v128" (v128.const i64x2 1 2)) (v128.const i64x2 2 1)) ;; fails: (v128 i64x2 2 1)
(assert_return (invoke "v128" (v128.const f32x4 1 2 3 nan)) (v128.const f32x4 1 2 nan:canonical 3)) ;; fails: nan:canonical
(assert_return (invoke "v128" (v128.const i64x2 0 0)) (i64.const 0)) ;; fails: expected (i64 0), got (v128
(assert_return (invoke "i32") (either (i32.const 2) (i32.const 3))) ;; fails: expected (i32 2) or (i32 3)

(assert_return (invoke "extern" (ref.extern 1)) (ref.extern 2)) ;; fails: expected (externref 2), got (externref <host object 1>)
(assert_return (invoke "extern" (ref.extern 1)) (ref.null extern)) ;; fails: expected (externref null)
(assert_return (invoke "extern" (ref.null extern)) (ref.extern)) ;; fails: expected (externref), got (externref None)
(assert_return (invoke "extern" (ref.null extern)) (ref.extern 0)) ;; fails: expected (externref 0)
(assert_return (invoke "extern" (ref.null extern)) (ref.null any)) ;; fails: expected (anyref null)
(assert_return (invoke "extern" (ref.extern 1)) (ref.null)) ;; fails: expected (refnull)
(assert_return (invoke "i32") (ref.null)) ;; fails: expected (refnull), got (i32
(assert_return (invoke "any" (ref.extern 1)) (ref.host 2)) ;; fails: expected (anyref 2)
(assert_return (invoke "any" (ref.extern 1)) (ref.extern 1)) ;; fails: expected (externref 1)
(assert_return (invoke "any" (ref.extern 1)) (ref.eq)) ;; fails: expected (eqref)
(assert_return (invoke "func" (i32.const 0)) (ref.func)) ;; fails: expected (funcref), got (funcref None)
(assert_return (invoke "func" (i32.const 1)) (ref.null func)) ;; fails: expected (funcref null)
(assert_return (invoke "func" (i32.const 1)) (ref.null nofunc)) ;; fails: expected (nullfuncref)
(assert_return (invoke "i31") (ref.struct)) ;; fails: expected (structref)
(assert_return (invoke "i31") (ref.null none)) ;; fails: expected (nullref)
(assert_return (invoke "struct") (ref.i31)) ;; fails: expected (i31ref)
(assert_return (invoke "struct") (ref.array)) ;; fails: expected (arrayref)
(assert_return (invoke "exn") (ref.null none)) ;; fails: expected (nullref)
