"""Attacks on memory, outputs, threads and processes, and unusual guests.

Each function is an attack, which `test_attacks.py` runs in a process of its own; its argument is an empty folder.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import guest
from attack_tools import (
    BADF,
    CREATE,
    DATA,
    FAULT,
    IOVECS,
    OUT,
    READ,
    SECOND_PATH,
    SUCCESS,
    WRITE,
    Program,
    clock,
    consts,
    files,
    peak_mib,
    repeat,
    wat,
)

from wasmtime_rt import (
    LinkError,
    Sandbox,
    WasiConfig,
    WasmConfig,
    WasmEngine,
    WasmExit,
    WasmLinker,
    WasmModule,
    WasmStore,
    WasmtimeError,
    run_wasi,
    rw,
)

#: MiB that the host may need for what a guest of a few pages does. Sanitizers keep what is freed.
LITTLE = 40 if not os.environ.get("WASMTIME_RT_SANITIZE") else 400


# ---- Memory


def random_numbers_for_a_guest_of_one_page(folder: Path) -> None:
    """What does not fit into the guest's memory is refused, and takes no memory of the host."""
    program = Program(timeout=20)
    before = peak_mib()
    for size in (64 << 20, 1 << 30, 0xFFFFFFFF):
        assert program.refuses("random_get", 0, size)
    assert peak_mib() < before + LITTLE
    assert program.call("random_get", 0x8000, 0x8000) == SUCCESS
    data = program.memory.read(0x8000, 0x8000)
    assert all(data[at : at + 64].strip(b"\0") for at in range(0, 0x8000, 64)), "a part was not filled"


def random_numbers_fill_large_buffers(folder: Path) -> None:
    body = f"""(if (call $random_get {consts(0, 48 << 20)}) (then unreachable))
        (local.set $n (i32.const 0))
        (loop $again
            (if (i64.eqz (i64.or (i64.load (local.get $n)) (i64.load offset=8 (local.get $n)))) (then unreachable))
            (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 4096))) (i32.const {48 << 20}))))"""
    assert run_wasi(wat(body, "random_get", memory="1024"), timeout=30).exit_code == 0


def large_and_overlapping_buffers(folder: Path) -> None:
    """Vectors of 64 MiB, a thousand over one another, too many of them: no memory of the host in proportion."""
    program = Program(mounts={"/": rw(folder)}, timeout=30, max_output=1 << 20)
    file = program.opened("file", CREATE, READ | WRITE)
    before = peak_mib()
    huge, most = ((0, 64 << 20), (0, 0xFFFFFFFF), (0xFFFFFFFF, 1), (0x1FFFF, 2)), ((0, 0x20000),) * 1000
    for fd in (1, 2, file):
        for vector in huge:
            for name, extra in (("fd_write", ()), ("fd_pwrite", (0,)), ("fd_read", ()), ("fd_pread", (0,))):
                assert program.refuses(name, fd, *program.vectors(vector), *extra, OUT)
        for count in (1 << 16, 1 << 28, 0x1FFFFFFF, 0xFFFFFFFF):
            assert program.refuses("fd_write", fd, IOVECS, count, OUT)
        for _ in range(20):
            program.call("fd_write", fd, *program.vectors(*most), OUT)
    assert peak_mib() < before + LITTLE
    assert len(program.instance.result.stdout or b"") <= 1 << 20


def a_large_guest_writes_all_it_has(folder: Path) -> None:
    """Writes of 64 MiB come out whole or short, in order, and take little memory beside the guest's."""
    body = f"""(memory.fill {consts(0x10000, 65, 63 << 20)})
        (i32.store {consts(0, 0x10000)}) (i32.store {consts(4, 63 << 20)})
        (drop (call $fd_write {consts(1, 0, 1, 8)}))"""
    before = peak_mib()
    result = run_wasi(wat(body, "fd_write", memory="1100"), timeout=30, max_output=1 << 20)
    assert 0 < len(result.stdout or b"") <= 1 << 20
    assert set(result.stdout or b"") == {65}
    assert peak_mib() < before + 64 + 2 * LITTLE


def arguments_that_do_not_fit(folder: Path) -> None:
    """Many arguments and variables, written to where they do not fit."""
    program = Program(args=["x" * 1000] * 1000, env={f"V{n}": "y" * 1000 for n in range(1000)}, timeout=20)
    for name in ("args_get", "environ_get"):
        assert program.refuses(name, 0x1000, 0x1F000)
        assert program.refuses(name, 0x1FFF0, 0)
        assert program.refuses(name, 0xFFFFFFFC, 0xFFFFFFFF)


# ---- Outputs


def outputs_follow_their_descriptors(folder: Path) -> None:
    """What is captured follows closing and renumbering; what a file is renumbered to goes into the file."""
    program = Program(mounts={"/": rw(folder)}, timeout=20)
    assert program.write(1, b"one ") == 4
    file = program.opened("file", CREATE, WRITE)
    assert program.call("fd_renumber", 1, file) == SUCCESS
    assert program.write(1, b"lost") == -BADF
    assert program.write(file, b"two ") == 4
    again = program.opened("other", CREATE, WRITE)
    assert program.call("fd_renumber", again, 2) == SUCCESS
    assert program.write(2, b"into the file") == 13
    assert program.call("fd_renumber", file, 2) == SUCCESS
    assert program.write(2, b"three") == 5
    assert program.call("fd_close", 2) == SUCCESS
    assert program.write(2, b"lost") == -BADF
    assert program.call("fd_seek", 2, 0, 0, OUT) == BADF
    result = program.instance.result
    assert (result.stdout, result.stderr) == (b"one two three", b"")
    assert (folder / "other").read_bytes() == b"into the file"
    assert (folder / "file").read_bytes() == b""


def output_without_end(folder: Path) -> None:
    """Captured output stops at its bound, the guest goes on, and the result names the stream."""
    body = f"(i32.store {consts(4, 65536)})" + repeat(2000, f"(drop (call $fd_write {consts(1, 0, 1, 8)}))")
    before = peak_mib()
    result = run_wasi(wat(body, "fd_write"), timeout=30, max_output=1 << 20)
    assert (result.exit_code, result.truncated, len(result.stdout or b"")) == (0, ("stdout",), 1 << 20)
    assert peak_mib() < before + LITTLE


def an_output_that_raises(folder: Path) -> None:
    """An exception of the host's function comes out, and the next call starts anew."""

    def refuse(data: bytes) -> None:
        raise ZeroDivisionError

    program = Program(stdout=refuse, timeout=20)
    for _ in range(3):
        try:
            program.write(1, b"data")
        except ZeroDivisionError:
            continue
        raise AssertionError("the exception was lost")
    assert program.call("sched_yield") == SUCCESS


def exit_codes(folder: Path) -> None:
    codes = {}
    for code in (*range(256), 256, 1 << 16, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        program = Program(timeout=20)
        try:
            program.call("proc_exit", code)
        except WasmExit as ended:
            codes[code] = ended.code
        program.close()
    assert codes == {code: code for code in codes}
    assert len(codes) == 261


# ---- Processes, threads, descriptors


def in_child(function: Callable[[], None]) -> None:
    """Run `function` in a forked child, which must end well, and soon."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    ends = time.monotonic() + 15
    while time.monotonic() < ends:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert status == 0, f"the child ended with {status}"
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the child hangs")


def use_everything(folder: Path) -> None:
    """A guest that opens, reads, writes, sleeps, lists and asks for random numbers."""
    program = Program(mounts={"/": rw(folder)}, stdin=b"input", timeout=10)
    file = program.opened("file", CREATE, READ | WRITE)
    assert program.write(file, b"data") == 4
    assert program.call("fd_seek", file, 0, 0, OUT) == SUCCESS
    assert program.read(file) == b"data"
    assert program.read(0) == b"input"
    assert program.write(1, b"output") == 6
    assert program.poll(clock(1000)) == [(7, SUCCESS, 0)]
    assert program.call("random_get", DATA, 100) == SUCCESS
    assert program.call("fd_readdir", 3, DATA, 4096, 0, OUT) == SUCCESS
    assert program.instance.result.stdout == b"output"
    program.close()


def in_a_forked_child(folder: Path) -> None:
    """WASI works in a child, though it ran in the parent, in other threads too, before and while it forked."""
    use_everything(folder)
    held = Program(mounts={"/": rw(folder)}, timeout=10)
    opened = held.opened("file", 0, READ | WRITE)
    in_child(lambda: use_everything(folder))

    def held_by_the_parent() -> None:
        assert held.read(opened) == b"data"
        assert held.opened("file") > opened

    in_child(held_by_the_parent)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            Program(mounts={"/": folder}, timeout=10).poll(clock(1_000_000))

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            in_child(lambda: use_everything(folder))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def without_threads(folder: Path) -> None:
    """WASI needs no thread of its own: it works where none can be started."""
    Program(timeout=10).close()  # compiled while there are threads
    os.chmod(folder, 0o777)
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/"):
            os.chmod(parent, 0o755)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if os.getuid() == 0:
        os.setuid(65534)  # the limit does not hold for root
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        use_everything(folder)
        return
    raise AssertionError("a thread was started")


def with_few_descriptors(folder: Path) -> None:
    """Where the process has no descriptors left, a guest gets errors, and the process goes on."""
    files(folder, ["file"])
    program = Program(mounts={"/": rw(folder)}, timeout=10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    assert program.open("file") < 0
    assert program.call("path_filestat_get", 3, 0, *program.text("file"), OUT) in {SUCCESS, 33, 41}
    assert program.call("random_get", DATA, 100) == SUCCESS
    assert program.poll(clock(1000)) == [(7, SUCCESS, 0)]
    assert program.write(1, b"output") == 6
    with contextlib.suppress(WasmtimeError, OSError):
        Program(mounts={"/": folder}, timeout=10)
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    assert program.open("file") > 0


# ---- Unusual guests

_STAMP = f"(drop (call $fd_write {consts(1, 0, 1, 64)}))"
_HELLO = r'(data (i32.const 0) "\08\00\00\00\02\00\00\00ok")'


def _written(module: str, *, imported: str = "") -> bytes | str:
    """What a module writes, run by `run_wasi`, or the error."""
    try:
        return (
            run_wasi(f"(module {guest.imports('fd_write')} {imported} {module})".encode(), timeout=10).stdout
            or b""
        )
    except WasmtimeError as problem:
        return type(problem).__name__


def guests_with_other_memories(folder: Path) -> None:
    """Several memories, none, one that is not exported or under another name: results or errors, as before."""
    start = f'(func (export "_start") {_STAMP})'
    assert _written(f'(memory (export "memory") 1) {_HELLO} {start}') == b"ok"
    assert _written(f"(memory 1) {start}") == "WasmTrap"
    assert _written(f'(memory (export "other") 1) {start}') == "WasmTrap"
    assert _written(start) == "WasmTrap"
    assert _written(f'(func (export "memory")) (memory 1) {start}') == "WasmTrap"
    assert _written(f'(global (export "memory") i32 (i32.const 0)) {start}') == "WasmTrap"
    # One memory is what a sandbox allows; a store of one's own has no such limit.
    for module, expected in {
        f'(memory (export "memory") 1) (memory $other 1) {_HELLO} {start}': b"ok",
        f'(memory $other 1) (memory (export "memory") 1) (data (memory 1) {_HELLO[6:]} {start}': b"ok",
        f'(memory i64 1) (export "memory" (memory 0)) {_HELLO.replace("i32", "i64")} {start}': None,
        f'(memory 1 1 shared) (export "memory" (memory 0)) {_HELLO} {start}': b"ok",
        f'(memory (export "memory") 0) {start}': None,
    }.items():
        taken: list[bytes] = []
        engine = WasmEngine(WasmConfig(shared_memory=True))
        linker = WasmLinker(engine)
        linker.define_wasi()
        store = WasmStore(engine, wasi=WasiConfig(stdout=taken.append))
        try:
            compiled = WasmModule(engine, f"(module {guest.imports('fd_write')} {module})")
            linker.instantiate(store, compiled).call("_start")
        except WasmtimeError:
            assert expected is None, module
        else:
            assert expected is None or b"".join(taken) == expected, module


def functions_called_by_others(folder: Path) -> None:
    """The functions of WASI called through a table, by the host, by a start function, from another module."""
    taken: list[bytes] = []
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    store = WasmStore(engine, wasi=WasiConfig(stdout=taken.append))
    module = WasmModule(
        engine,
        f"""(module {guest.imports("fd_write", "sched_yield", "proc_exit")}
            (memory (export "memory") 1) {_HELLO}
            (type $write (func (param i32 i32 i32 i32) (result i32)))
            (table (export "table") funcref (elem $fd_write $sched_yield $proc_exit))
            (export "again" (func $fd_write)) (export "yield" (func $sched_yield)) (export "exit" (func $proc_exit))
            (func $start {_STAMP}) (start $start)
            (func (export "by_table")
                (drop (call_indirect (type $write) {consts(1, 0, 1, 64)} (i32.const 0)))))""",
    )
    exports = linker.instantiate(store, module).exports
    exports.by_table()
    assert b"".join(taken) == b"okok"
    for function, args in (
        (exports.again, (1, 0, 1, 64)),
        (exports.table[0], (1, 0, 1, 64)),
        (exports["yield"], ()),
    ):
        with contextlib.suppress(WasmtimeError):  # there is no caller, and so no memory
            assert function(*args) in {SUCCESS, FAULT}
    codes = []
    for function in (exports.exit, exports.table[2]):
        try:
            function(200)
        except WasmExit as ended:
            codes.append(ended.code)
    assert codes == [200, 200]


def stores_without_wasi(folder: Path) -> None:
    """A store that has no WASI refuses its functions."""
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    module = WasmModule(engine, guest.WAT)
    for make in (
        lambda: linker.instantiate(WasmStore(engine), module),
        lambda: linker.prepare(module).instantiate(WasmStore(engine)),
    ):
        try:
            make()
        except (LinkError, WasmtimeError):
            continue
        raise AssertionError("it was made")


def a_store_that_gets_wasi_anew(folder: Path) -> None:
    """Setting WASI again gives a running instance new streams, folders and arguments, and closes the old files."""
    files(folder, ["file"])
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    store = WasmStore(engine, wasi=WasiConfig(preopens={"/": folder}))
    exports = linker.instantiate(store, WasmModule(engine, guest.WAT)).exports
    exports.memory.write(SECOND_PATH, b"file")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        assert exports.path_open(3, 1, SECOND_PATH, 4, 0, READ, 0, 0, OUT) == SUCCESS
        store.set_wasi(WasiConfig(preopens={"/": folder}))
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    store.set_wasi(WasiConfig())
    assert exports.path_open(3, 1, SECOND_PATH, 4, 0, READ, 0, 0, OUT) == BADF


def wasi_is_replaced_while_it_is_used(folder: Path) -> None:
    """A signal handler, or a host function, sets WASI anew in the middle of a call: refused, or for later."""
    files(folder, ["file"])
    program = Program(stdin=b"input", mounts={"/": folder}, timeout=10)
    opened = program.opened("file")
    store, replaced = program.instance.store, []

    def replace(*_: object) -> None:
        try:
            store.set_wasi(WasiConfig(stdin=b"other" * 1000, preopens={"/": folder}))
        except WasmtimeError as problem:
            replaced.append(problem)
        else:
            replaced.append(None)

    signal.signal(signal.SIGALRM, replace)
    for _ in range(20):
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        assert program.poll(clock(100_000_000)) == [(7, SUCCESS, 0)]
    assert len(replaced) == 20
    for _ in range(300):
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        program.call("random_get", DATA, 0x8000)
        program.call("fd_readdir", 3, DATA, 4096, 0, OUT)
        program.call("fd_read", opened, *program.vectors((DATA, 100)), OUT)
        program.write(1, b"output")
    signal.setitimer(signal.ITIMER_REAL, 0)


def a_host_function_between(folder: Path) -> None:
    """A host function that the guest calls may use WASI of its own store and of others."""
    taken: list[bytes] = []
    inner = Program(timeout=10)

    def host() -> None:
        assert inner.write(1, b"inner ") == 6
        outer.exports.write()
        taken.append(inner.instance.result.stdout or b"")

    program = f"""(module {guest.imports("fd_write")} (import "env" "host" (func $host))
        (memory (export "memory") 1) {_HELLO}
        (func (export "write") {_STAMP}) (func (export "run") (call $host) {_STAMP}))"""
    outer = Sandbox(program.encode(), imports={"env": {"host": host}}, cache=False).start(timeout=10)
    outer.call("run")
    assert taken == [b"inner "]
    assert outer.result.stdout == b"okok"
