"""What modules are made of: each text needs something else of the engine, and offers something else."""

PLAIN = """(module
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "add64") (param i64 i64) (result i64) local.get 0 local.get 1 i64.add)
    (func (export "f32") (param f32) (result f32) local.get 0)
    (func (export "f64") (param f64) (result f64) local.get 0)
    (func (export "v128") (param v128) (result v128) local.get 0)
    (func (export "swap") (param i32 i64) (result i64 i32) local.get 1 local.get 0)
    (func (export "none"))
    (func (export "trap") unreachable)
    (func (export "div") (param i32 i32) (result i32) local.get 0 local.get 1 i32.div_s)
    (func $deep (export "deep") (param i64) (result i64) local.get 0 call $deep i64.const 1 i64.add)
    (func (export "work") (param i32) (result i32) (local $n i32)
        (local.set $n (i32.add (i32.and (local.get 0) (i32.const 0xfff)) (i32.const 1)))
        (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n)))"""

HOSTED = """(module
    (import "env" "number" (func $number (param i32) (result i32)))
    (import "env" "object" (func $object (param externref) (result externref)))
    (import "env" "nothing" (func $nothing))
    (import "env" "several" (func $several (param i64 f32) (result f64 i32)))
    (func (export "number") (param i32) (result i32) local.get 0 call $number)
    (func (export "object") (param externref) (result externref) local.get 0 call $object)
    (func (export "nothing") call $nothing)
    (func (export "several") (result f64 i32) i64.const 5 f32.const 1.5 call $several)
    (func (export "often") (param i32) (local $n i32)
        (local.set $n (i32.add (i32.and (local.get 0) (i32.const 15)) (i32.const 1)))
        (loop (call $nothing) (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""

MEMORIES = """(module
    (memory $m (export "memory") 1 8) (memory $n (export "large") i64 1 4) (memory (export "fixed") 1 1)
    (memory (export "free") 0)
    (data (memory $m) (i32.const 16) "hello\\00\\ff\\fe")
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (i32.and (local.get 0) (i32.const 3))))
    (func (export "grow64") (param i64) (result i64) (memory.grow $n (i64.and (local.get 0) (i64.const 1))))
    (func (export "fill") (param i32) (memory.fill (i32.const 0) (local.get 0) (i32.const 1000))))"""

TABLES = """(module
    (type $t (func (param i32) (result i32)))
    (table $e (export "objects") 3 9 externref) (table $f (export "functions") 4 funcref)
    (table (export "table64") i64 2 5 externref)
    (global (export "counter") (mut i64) (i64.const 5)) (global (export "constant") f64 (f64.const 2.5))
    (global $g (export "object") (mut externref) (ref.null extern))
    (global (export "vector") (mut v128) (v128.const i64x2 1 2))
    (global (export "function") (mut funcref) (ref.null func))
    (func $inc (export "inc") (param i32) (result i32) local.get 0 i32.const 1 i32.add)
    (elem (table $f) (i32.const 0) func $inc)
    (func (export "indirect") (param i32 i32) (result i32)
        (call_indirect $f (type $t) (local.get 0) (i32.and (local.get 1) (i32.const 7))))
    (func (export "get") (param i32) (result externref) (table.get $e (local.get 0)))
    (func (export "set") (param i32 externref) (table.set $e (local.get 0) (local.get 1)))
    (func (export "keep") (param externref) (global.set $g (local.get 0)))
    (func (export "kept") (result externref) (global.get $g))
    (func (export "pick") (param i32) (result funcref) (table.get $f (i32.and (local.get 0) (i32.const 3))))
    (func (export "put") (param i32 funcref) (table.set $f (local.get 0) (local.get 1)))
    (func (export "grow") (param externref i32) (result i32)
        (table.grow $e (local.get 0) (i32.and (local.get 1) (i32.const 3)))))"""

AGGREGATES = """(module
    (rec (type $list (sub (struct (field (mut i32)) (field (mut (ref null $list)))))))
    (type $sub (sub $list (struct (field (mut i32)) (field (mut (ref null $list))) (field f64))))
    (type $bytes (array (mut i8))) (type $objects (array (mut externref))) (type $any (array (mut anyref)))
    (global (export "root") (mut anyref) (ref.null any))
    (table (export "any") 3 anyref)
    (func (export "cons") (param i32 (ref null $list)) (result (ref null $list))
        (struct.new $list (local.get 0) (local.get 1)))
    (func (export "sub") (result (ref $list)) (struct.new $sub (i32.const 1) (ref.null $list) (f64.const 2)))
    (func (export "bytes") (param i32) (result (ref $bytes))
        (array.new $bytes (i32.const 7) (i32.and (local.get 0) (i32.const 0xff))))
    (func (export "objects") (param externref) (result (ref null $objects))
        (array.new $objects (local.get 0) (i32.const 3)))
    (func (export "i31") (param i32) (result i31ref) (ref.i31 (local.get 0)))
    (func (export "same") (param anyref) (result anyref) (local.get 0))
    (func (export "eq") (param eqref eqref) (result i32) (ref.eq (local.get 0) (local.get 1)))
    (func (export "out") (param anyref) (result externref) (extern.convert_any (local.get 0)))
    (func (export "in") (param externref) (result anyref) (any.convert_extern (local.get 0)))
    (func (export "cast") (param anyref) (result (ref $list)) (ref.cast (ref $list) (local.get 0)))
    (func (export "garbage") (param i32) (local $n i32)
        (local.set $n (i32.add (i32.and (local.get 0) (i32.const 0xff)) (i32.const 1)))
        (loop (drop (array.new $any (ref.null any) (i32.const 50)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""

EXCEPTIONS = """(module
    (import "env" "nothing" (func $nothing))
    (tag $e (export "e") (param i32 externref)) (tag $f (export "f"))
    (func (export "throw") (param i32 externref) (throw $e (local.get 0) (local.get 1)))
    (func (export "empty") (throw $f))
    (func (export "catch") (result i32 externref)
        (block $h (result i32 externref) (try_table (catch $e $h) (call $nothing)) (i32.const -1) (ref.null extern)))
    (func (export "any") (block $h (try_table (catch_all $h) (call $nothing))))
    (func (export "hold") (result exnref)
        (block $h (result exnref) (try_table (catch_all_ref $h) (call $nothing)) (ref.null exn)))
    (func (export "again") (param exnref) (throw_ref (local.get 0))))"""

PASSED_ON = """(module
    (import "env" "memory" (memory 1)) (import "env" "table" (table 1 externref))
    (import "env" "global" (global (mut i64))) (import "env" "function" (func $f (param i32) (result i32)))
    (import "env" "tag" (tag (param i32)))
    (export "memory" (memory 0)) (export "table" (table 0)) (export "global" (global 0))
    (export "function" (func $f)) (export "tag" (tag 0))
    (func (export "f") (param i32) (result i32) local.get 0 call $f))"""

SHARED = """(module (import "env" "shared" (memory 1 4 shared)) (export "memory" (memory 0))
    (func (export "add") (param i32) (result i32) (i32.atomic.rmw.add (i32.const 8) (local.get 0)))
    (func (export "grow") (result i32) (memory.grow (i32.const 1))))"""

START = """(module (import "env" "nothing" (func $f)) (import "env" "number" (func (param i32) (result i32)))
    (memory (export "memory") 1) (func $start call $f) (start $start) (func (export "again") call $start))"""

TRAPS_AT_START = (
    '(module (memory 1) (table 1 funcref) (func $s unreachable) (start $s) (export "s" (func $s)))'
)

WASI = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 8) "\\20\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 32) "text\\n")
    (func (export "say") (result i32) (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
    (func (export "hear") (result i32) (call $read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 0)))
    (func (export "dice") (result i32) (drop (call $random (i32.const 64) (i32.const 8))) (i32.load (i32.const 64)))
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))))
    (func (export "exit") (param i32) (call $exit (i32.and (local.get 0) (i32.const 0xff)))))"""

REACTOR = """(module (global $n (mut i32) (i32.const 0)) (func (export "_initialize") (global.set $n (i32.const 7)))
    (func (export "n") (result i32) (global.get $n)))"""

BYTES = """(module (memory (export "memory") 1 4) (global $at (mut i32) (i32.const 1024))
    (func (export "alloc") (param i32) (result i32) (local $old i32)
        (local.set $old (global.get $at)) (global.set $at (i32.add (global.get $at) (local.get 0))) (local.get $old))
    (func (export "free") (param i32 i32))
    (func (export "echo") (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1))))
    (func (export "two") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1))
    (func (export "wild") (param i32 i32) (result i64) (i64.const -1)))"""

#: Only for stores with fuel.
SPIN = '(module (func (export "spin") (loop (br 0))))'

SOURCES = {
    name.lower(): text
    for name, text in list(globals().items())
    if name.isupper() and name not in {"SPIN", "SOURCES"}
}
WRONG = (
    "(module (func (result i32)))", "(module", "", b"", b"\0asm", b"\0asm\1\0\0\0\1", b"\0asm\x0d\0\1\0", "(component)",
    b"\x7fELF", '(module (import "" "" (func (param (ref 9)))))', None, 5, "(module (memory 70000))",
)  # fmt: skip
