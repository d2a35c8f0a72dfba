;; Modules in each form, by name and latest, registered, defined once and made many times.

(module $text (func (export "id") (result i32) (i32.const 1)))
(module $binary binary
  "\00asm" "\01\00\00\00"
  "\01\05\01\60\00\01\7f" "\03\02\01\00" "\07\06\01\02id\00\00" "\0a\06\01\04\00\41\02\0b")
(assert_return (invoke "id") (i32.const 2))
(module quote "(func (export \"id\") (result i32) (i32.const 3))")
(assert_return (invoke "id") (i32.const 3))
(assert_return (invoke $text "id") (i32.const 1))
(assert_return (invoke $binary "id") (i32.const 2))

;; Names that no identifier has.
(module quote "(func (export \"\") (result i32) (i32.const 1)) (func (export \"\\u{1f600}\") (result i32) (i32.const 2))")
(assert_return (invoke "") (i32.const 1))
(assert_return (invoke "😀") (i32.const 2))

(register "one" $text)
(module
  (import "one" "id" (func $id (result i32)))
  (func (export "next") (result i32) (i32.add (call $id) (i32.const 1))))
(assert_return (invoke "next") (i32.const 2))
(register "two")
(register "another" $text)
(module $both
  (import "two" "next" (func $two (result i32)))
  (import "another" "id" (func $one (result i32)))
  (func (export "sum") (result i32) (i32.add (call $one) (call $two))))
(assert_return (invoke $both "sum") (i32.const 3))

;; A name that is given again means the later module, in later imports too.
(module $text (func (export "id") (result i32) (i32.const 10)))
(register "one" $text)
(assert_return (invoke $text "id") (i32.const 10))
(module (import "one" "id" (func $id (result i32))) (export "id" (func $id)))
(assert_return (invoke "id") (i32.const 10))
(assert_return (invoke $both "sum") (i32.const 3))

;; Each instance has a state of its own.
(module definition $counter
  (global $n (export "n") (mut i32) (i32.const 0))
  (func (export "up") (global.set $n (i32.add (global.get $n) (i32.const 1)))))
(assert_return (invoke $both "sum") (i32.const 3))
(module instance $first $counter)
(module instance $second $counter)
(invoke $first "up")
(invoke "up")
(invoke "up")
(assert_return (get $first "n") (i32.const 1))
(assert_return (get $second "n") (i32.const 2))
(assert_return (get "n") (i32.const 2))
(module definition (func (export "id") (result i32) (i32.const 4)))
(module instance $latest)
(assert_return (invoke $latest "id") (i32.const 4))
