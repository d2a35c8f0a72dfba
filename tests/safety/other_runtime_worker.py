"""Traps of another runtime in the same process, PyPI's ``wasmtime``, which brings an engine of its own."""

from __future__ import annotations

import faulthandler
import resource
import sys
import threading

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
OUT_OF_BOUNDS, DIVISION = (
    "(drop (i32.load (i32.const -1)))",
    "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))",
)
KINDS = {"o": OUT_OF_BOUNDS, "d": DIVISION, "u": "unreachable"}
TEXT = (
    "(module (memory 1) " + "".join(f'(func (export "{name}") {code})' for name, code in KINDS.items()) + ")"
)
#: More than as many faults of one instruction in a row as are believed to repair nothing.
MANY = 1500


def of_theirs():
    """Return a function that makes the other runtime trap."""
    import wasmtime

    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, TEXT), []).exports(store)

    def trap(kind: str) -> None:
        try:
            exports[kind](store)
        except wasmtime.Trap:
            return
        raise AssertionError(kind)

    return trap


def of_ours():
    """Return a function that makes ours trap."""
    import wasmtime_rt as w

    engine = w.WasmEngine()
    exports = w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, TEXT)).exports

    def trap(kind: str) -> None:
        try:
            exports[kind]()
        except w.WasmTrap:
            return
        raise AssertionError(kind)

    return trap


def in_turn(traps) -> None:
    """Trap by each in turn, then many times by each."""
    for _ in range(20):
        for trap in traps:
            for kind in KINDS:
                trap(kind)
    for trap in traps:
        for kind in KINDS:
            for _ in range(MANY):
                trap(kind)


def nested(traps) -> None:
    """Trap in a host function of the other runtime, in both directions."""
    import wasmtime

    import wasmtime_rt as w

    text = '(module (import "" "h" (func $h)) (func (export "f") (call $h)))'

    def every() -> None:
        for trap in traps:
            for kind in KINDS:
                trap(kind)

    engine = w.WasmEngine()
    w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, text), {"": {"h": every}}).exports.f()
    store = wasmtime.Store()
    host = wasmtime.Func(store, wasmtime.FuncType([], []), every)
    wasmtime.Instance(store, wasmtime.Module(store.engine, text), [host]).exports(store)["f"](store)


def work(makers) -> None:
    """Trap on a thread."""
    in_turn([make() for make in makers])


def on_threads(makers) -> None:
    """Trap on several threads at once."""
    done = []
    threads = [
        threading.Thread(target=lambda chosen=makers[i % 2 :]: (work(chosen), done.append(1)))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4


def main(order: str, way: str) -> None:
    """Run with the runtimes in this order: ``ot`` is ours first; ``f`` enables faulthandler."""
    makers, traps = [], []
    for letter in order:
        if letter == "f":
            faulthandler.enable()
            continue
        makers.append(of_ours if letter == "o" else of_theirs)
        traps.append(makers[-1]())
    if way == "threads":
        on_threads(makers)
    if way == "nested":
        nested(traps)
    in_turn(traps)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
