;; Two threads, each with a store of its own, over one memory.

(module $shared (memory (export "memory") 1 1 shared))

(thread $adder (shared (module $shared))
  (register "shared" $shared)
  (module
    (memory (import "shared" "memory") 1 1 shared)
    (func (export "add") (param i32) (result i32)
      (i32.atomic.rmw.add (i32.const 0) (local.get 0))))
  (assert_return (invoke "add" (i32.const 40)) (i32.const 0))
  (assert_return (invoke "add" (i32.const 2)) (i32.const 40)))
(wait $adder)

(thread $waiter (shared (module $shared))
  (register "shared" $shared)
  (module
    (memory (import "shared" "memory") 1 1 shared)
    (func (export "wait") (result i32)
      (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const 30_000_000_000))))
  (assert_return (invoke "wait") (either (i32.const 0) (i32.const 1))))

(register "shared" $shared)
(module
  (memory (import "shared" "memory") 1 1 shared)
  (func (export "sum") (result i32) (i32.atomic.load (i32.const 0)))
  (func (export "wake")
    (i32.atomic.store (i32.const 4) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 4) (i32.const 1)))))
(assert_return (invoke "sum") (i32.const 42))
(invoke "wake")
(wait $waiter)

(module
  (import "spectest" "shared_memory" (memory 1 2 shared))
  (func (export "size") (result i32) (memory.size)))
(assert_return (invoke "size") (i32.const 1))
(assert_unlinkable (module (import "spectest" "shared_memory" (memory 1 2))) "incompatible import type")
(assert_unlinkable (module (import "spectest" "memory" (memory 1 2 shared))) "incompatible import type")
