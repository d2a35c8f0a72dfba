;; What fails in a thread is reported where it stands, whether or not anyone waits for it.

(module $m (func (export "f") (result i32) (i32.const 1)))
(thread $waited
  (assert_return (invoke $m "f") (i32.const 1)) ;; fails: no instance is called 'm'
  (module (func (export "f") (result i32) (i32.const 1)))
  (assert_return (invoke "f") (i32.const 1))
  (assert_return (invoke "f") (i32.const 2))) ;; fails: expected (i32 2)
(wait $waited)
(thread $left
  (module (func (export "f") (result i32) (unreachable)))
  (assert_return (invoke "f") (i32.const 1))) ;; fails: WasmTrap
(assert_return (invoke "f") (i32.const 1))
(thread $lost (shared (module $none))) ;; fails: no instance is called 'none'
