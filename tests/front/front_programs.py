"""Small WASI programs, as WAT, that the tests run."""

SIGNATURES = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "fd_close": "i",
    "fd_read": "iiii",
    "fd_renumber": "ii",
    "fd_write": "iiii",
    "path_open": "iiiiiIIii",
    "path_symlink": "iiiii",
    "path_rename": "iiiiii",
    "path_link": "iiiiiii",
    "path_unlink_file": "iii",
    "path_create_directory": "iii",
    "path_readlink": "iiiiii",
    "path_filestat_get": "iiiii",
    "poll_oneoff": "iiii",
    "clock_res_get": "ii",
    "clock_time_get": "iIi",
    "random_get": "ii",
}


def imports(*names):
    """Imports of WASI by name, as functions ``$name``."""
    kinds = {"i": "i32", "I": "i64"}
    lines = [
        f'(import "wasi_snapshot_preview1" "{name}" (func ${name} '
        f"(param {' '.join(kinds[kind] for kind in SIGNATURES[name])}) (result i32)))"
        for name in names
    ]
    return "\n".join(lines) + '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'


def program(start, *names, memory="1", more=""):
    """A program that does ``start``; ``$say(fd, offset, length)`` writes, if ``fd_write`` is there."""
    say = """(func $say (param $fd i32) (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $length))
        (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))"""
    return f"""(module {imports(*names)}
        (memory (export "memory") {memory})
        {say if "fd_write" in names else ""} {more}
        (func (export "_start") (local $n i32) {start}))""".encode()


#: Writes its first two lines of arguments, or what it reads, as they come.
ECHO_ARGUMENTS = program(
    """(drop (call $args_sizes_get (i32.const 100) (i32.const 104)))
    (drop (call $args_get (i32.const 1024) (i32.const 4096)))
    (call $say (i32.const 1) (i32.const 4096) (i32.load (i32.const 104)))""",
    *("args_get", "args_sizes_get", "fd_write"),
)
ECHO_ENVIRONMENT = program(
    """(drop (call $environ_sizes_get (i32.const 100) (i32.const 104)))
    (drop (call $environ_get (i32.const 1024) (i32.const 8192)))
    (call $say (i32.const 1) (i32.const 8192) (i32.load (i32.const 104)))""",
    *("environ_get", "environ_sizes_get", "fd_write"),
)
CAT = program(
    """(loop $again
        (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 60000))
        (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
        (local.set $n (i32.load (i32.const 24)))
        (call $say (i32.const 1) (i32.const 1024) (local.get $n))
        (br_if $again (local.get $n)))""",
    *("fd_read", "fd_write"),
)
HELLO = program(
    "(call $say (i32.const 1) (i32.const 64) (i32.const 6)) (call $say (i32.const 2) (i32.const 70) (i32.const 5))",
    "fd_write",
    more='(data (i32.const 64) "hello\\noops\\n")',
)
SPIN = program("(loop $again (br $again))")
FLOOD = program(
    "(loop $again (call $say (i32.const 1) (i32.const 0) (i32.const 65536)) "
    "(br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 400))))",
    "fd_write",
)
TRAP = program(
    "(call $say (i32.const 1) (i32.const 64) (i32.const 6)) unreachable",
    "fd_write",
    more='(data (i32.const 64) "before")',
)
#: Grows until that is refused, and says so by its exit code.
GROW = program(
    "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (call $exit (i32.const 7))"
)
RECURSE = program("(call $deep)", more="(func $deep (call $deep))")


def exits(code):
    return program(f"(call $exit (i32.const {code}))")


def sleeps(nanoseconds, absolute=False):
    """Sleeps by the monotonic clock, and exits with the error that it got."""
    timeout = f"(i64.const {nanoseconds})"
    if absolute:
        timeout = f"(i64.add {timeout} (i64.load (i32.const 512)))"
    return program(
        f"""(drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 512)))
        (i32.store (i32.const 272) (i32.const 1)) (i64.store (i32.const 280) {timeout})
        (i32.store16 (i32.const 296) (i32.const {int(absolute)}))
        (local.set $n (call $poll_oneoff (i32.const 256) (i32.const 600) (i32.const 1) (i32.const 700)))
        (if (local.get $n) (then (call $exit (local.get $n))))
        (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 520)))
        (call $exit (i64.lt_u (i64.sub (i64.load (i32.const 520)) (i64.load (i32.const 512)))
            (i64.const {nanoseconds})))""",
        *("clock_time_get", "poll_oneoff"),
    )


def calls(*names):
    """A library that exports WASI's functions as they are, so that Python lays out the memory."""
    kinds = {"i": "i32", "I": "i64"}
    wrappers = "".join(
        f'(func (export "{name}") (param {" ".join(kinds[kind] for kind in SIGNATURES[name])}) (result i32) '
        f"(call ${name} {' '.join(f'(local.get {i})' for i in range(len(SIGNATURES[name])))}))"
        for name in names
    )
    return f'(module {imports(*names)} (memory (export "memory") 1) {wrappers})'.encode()
