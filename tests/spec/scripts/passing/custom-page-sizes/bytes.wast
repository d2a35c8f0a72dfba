;; A memory in pages of one byte.

(module
  (memory 10 20 (pagesize 1))
  (func (export "size") (result i32) (memory.size))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))
(assert_return (invoke "size") (i32.const 10))
(assert_return (invoke "load" (i32.const 9)) (i32.const 0))
(assert_trap (invoke "load" (i32.const 10)) "out of bounds memory access")
(assert_return (invoke "grow" (i32.const 1)) (i32.const 10))
(assert_return (invoke "load" (i32.const 10)) (i32.const 0))
(assert_return (invoke "grow" (i32.const 10)) (i32.const -1))
