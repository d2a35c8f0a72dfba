"""Guest recursion on the main thread, whose stack grows, or does not: a function for each case."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import sys
import threading

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
TEXT = """(module (import "" "h" (func $h))
    (func $r (export "r") (param i64) (result i64) local.get 0 i64.const 1 i64.add call $r)
    (func (export "h") call $h (drop (call $r (i64.const 0)))))"""


def lower(kibibytes: int = 256) -> None:
    """Lower the soft limit of the stack of this running process."""
    resource.setrlimit(resource.RLIMIT_STACK, (kibibytes << 10, resource.getrlimit(resource.RLIMIT_STACK)[1]))


def exports(host=lambda: None):
    """Return the exports of a new instance, in a store of an engine of its own."""
    import wasmtime_rt as w

    engine = w.WasmEngine()
    return w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, TEXT), {"": {"h": host}}).exports


def overflow(call, *args) -> None:
    """Recurse without an end, which must be a trap."""
    import wasmtime_rt as w

    try:
        call(*args)
    except w.WasmTrap as trap:
        assert trap.code is w.TrapCode.STACK_OVERFLOW, trap
    else:
        raise AssertionError


def lowered_after_the_first_call() -> None:
    recurse = exports().r
    lower()
    overflow(recurse, 0)


def lowered_after_import() -> None:
    """What is known by then is that there is too little: an error that says so."""
    import wasmtime_rt as w

    lower()
    try:
        recurse = exports().r
    except w.WasmtimeError as error:
        assert "stack" in str(error), error
        return
    overflow(recurse, 0)


def lowered_in_host_function() -> None:
    overflow(exports(lower).h)


def lowered_before_fork() -> None:
    recurse = exports().r
    lower()
    child = os.fork()
    if not child:
        overflow(recurse, 0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def lowered_for_threads() -> None:
    recurse = exports().r
    lower(64)
    done = []
    thread = threading.Thread(target=lambda: (overflow(recurse, 0), done.append(1)))
    thread.start()
    thread.join()
    overflow(recurse, 0)
    assert done


def python_recursion_after_it() -> None:
    recurse = exports().r
    lower()

    def dig(levels: int) -> None:
        if levels:
            list(map(dig, [levels - 1]))
        else:
            overflow(recurse, 0)

    dig(500)


def a_mapping_in_the_way() -> None:
    """One that stands where the stack would grow to, before anything looks."""
    import wasmtime_rt as w

    with open("/proc/self/maps") as maps:
        start = next(int(line.split("-")[0], 16) for line in maps if line.endswith("[stack]\n"))
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    address = start - (3 << 20) & ~4095
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    assert libc.mmap(address, 4096, mmap.PROT_READ, 0x100022, -1, 0) == address  # MAP_FIXED_NOREPLACE
    overflow(exports().r, 0)
    engine = w.WasmEngine(w.WasmConfig(max_wasm_stack=5 << 20))
    try:
        recurse = w.WasmInstance(
            w.WasmStore(engine), w.WasmModule(engine, TEXT), {"": {"h": print}}
        ).exports.r
        overflow(recurse, 0)
    except w.WasmtimeError as error:
        assert "stack" in str(error), error


def unlimited() -> None:
    """Started anew without a limit of the stack."""
    if len(sys.argv) == 2:
        resource.setrlimit(resource.RLIMIT_STACK, (resource.getrlimit(resource.RLIMIT_STACK)[1],) * 2)
        os.execv(sys.executable, [sys.executable, __file__, "unlimited", "again"])
    recurse = exports().r
    lower()
    overflow(recurse, 0)


def little_address_space() -> None:
    """No room for the stack to grow."""
    import wasmtime_rt as w

    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 20),) * 2)
    try:
        engine = w.WasmEngine(w.WasmConfig.compact())
        module = w.WasmModule(engine, TEXT)
        overflow(w.WasmInstance(w.WasmStore(engine), module, {"": {"h": print}}).exports.r, 0)
    except (w.WasmtimeError, MemoryError, ImportError):
        pass


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("done", flush=True)
