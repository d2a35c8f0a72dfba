;; What must be reported: each line that fails says so, and in which words.

(invoke "f") ;; fails: no instance is there
(register "m") ;; fails: no instance is there
(module $m
  (tag $tag)
  (memory (export "memory") 1)
  (global (export "global") i32 (i32.const 1))
  (func (export "f") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "throw") (throw $tag)))

(assert_return (invoke "g")) ;; fails: KeyError
(assert_return (invoke $n "f" (i32.const 1)) (i32.const 1)) ;; fails: no instance is called 'n'
(assert_return (invoke "memory")) ;; fails: expected 'memory' to be a function
(assert_return (get "f") (i32.const 1)) ;; fails: expected 'f' to be a global
(assert_return (invoke "f") (i32.const 1)) ;; fails: TypeError
(assert_return (invoke "f" (i32.const 1) (i32.const 1)) (i32.const 1)) ;; fails: TypeError
(assert_return (invoke "f" (ref.extern 1)) (i32.const 1)) ;; fails: TypeError
(assert_return (invoke "f" (i32.const 0)) (i32.const 1)) ;; fails: WasmTrap
(assert_return (invoke "throw")) ;; fails: WasmException
(invoke "f" (i32.const 0)) ;; fails: WasmTrap

(assert_trap (invoke "f" (i32.const 1)) "integer divide by zero") ;; fails: expected the trap 'integer divide by zero', got (i32
(assert_trap (invoke "f" (i32.const 0)) "integer overflow") ;; fails: expected the trap 'integer overflow', got <TrapCode.INTEGER_DIVISION_BY_ZERO
(assert_trap (invoke "f" (i32.const 0)) "no such words") ;; fails: expected the trap 'no such words'
(assert_trap (invoke "throw") "unreachable") ;; fails: WasmException
(assert_trap (invoke "f") "unreachable") ;; fails: TypeError
(assert_exhaustion (invoke "f" (i32.const 0)) "call stack exhausted") ;; fails: expected the trap
(assert_exhaustion (invoke "f" (i32.const 1)) "call stack exhausted") ;; fails: expected the trap
(assert_exception (invoke "f" (i32.const 1))) ;; fails: expected an exception, got (i32
(assert_exception (invoke "f" (i32.const 0))) ;; fails: WasmTrap
(assert_trap (module) "unreachable") ;; fails: expected the trap 'unreachable', got an instance
(assert_trap (module (func $s (unreachable)) (start $s)) "integer overflow") ;; fails: expected the trap 'integer overflow'
(assert_trap (module (import "x" "f" (func))) "unreachable") ;; fails: LinkError

(assert_invalid (module) "type mismatch") ;; fails: expected 'type mismatch'; the module is accepted
(assert_invalid (module (func (result i32))) "unknown function") ;; fails: expected 'unknown function', got
(assert_malformed (module quote "(func)") "unexpected token") ;; fails: the module is accepted
(assert_malformed (module binary "\00asm\01\00\00\00") "unexpected end") ;; fails: the module is accepted
(assert_malformed_custom (module quote "(func)") "misplaced") ;; fails: the module is accepted
(assert_invalid_custom (module (func)) "invalid target") ;; fails: the module is accepted
(assert_unlinkable (module) "unknown import") ;; fails: expected the imports to be refused
(assert_unlinkable (module (func (result i32))) "unknown import") ;; fails: CompileError
(assert_unlinkable (module (import "x" "f" (func))) "incompatible import type") ;; fails: expected 'incompatible import type'
(assert_unlinkable (module (import "spectest" "print" (memory 1))) "unknown import") ;; fails: expected 'unknown import'
(assert_unlinkable (module (func $s (unreachable)) (start $s)) "unknown import") ;; fails: WasmTrap

;; A module that fails leaves nothing behind to be taken for it.
(assert_return (invoke "f" (i32.const 1)) (i32.const 1))
(module $m (func (export "f") (result i32) (i64.const 1))) ;; fails: CompileError
(assert_return (invoke "f" (i32.const 1)) (i32.const 1)) ;; fails: no instance is there
(assert_return (invoke $m "f" (i32.const 1)) (i32.const 1)) ;; fails: no instance is called 'm'
(module (import "no" "such" (func))) ;; fails: LinkError
(invoke "f" (i32.const 1)) ;; fails: no instance is there
(module definition $d (func (result i32))) ;; fails: CompileError
(module instance $i $d) ;; fails: no module is called 'd'
(module quote "(fun)") ;; fails: CompileError
(wait $nothing) ;; fails: no thread is called 'nothing'
