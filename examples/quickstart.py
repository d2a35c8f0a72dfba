"""The README's first page: compile, link a Python function, call, read memory."""

from wasmtime_rt import I32, WasmEngine, WasmInstance, WasmModule, WasmStore, WasmTrap

WAT = """
(module
  (import "env" "log" (func $log (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "Hello from WebAssembly!")
  (func (export "add") (param i32 i32) (result i32)
    local.get 0
    local.get 1
    i32.add)
  (func (export "countdown") (param $n i32)
    (loop $again
      (call $log (local.get $n))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (i32.ge_s (local.get $n) (i32.const 0)))))
  (func (export "divide") (param i32 i32) (result i32)
    (i32.div_s (local.get 0) (local.get 1))))
"""


def log(n: I32) -> None:
    """Be called by WebAssembly."""
    print("countdown:", n)


def main() -> None:
    """Run it."""
    engine = WasmEngine()
    module = WasmModule(engine, WAT)
    with WasmStore(engine) as store:
        instance = WasmInstance(store, module, {"env": {"log": log}})
        exports = instance.exports
        print("add(1, 2) =", exports.add(1, 2))
        exports.countdown(3)
        print("memory:", exports.memory.read_utf8(0, 23))
        exports.memory[11:22] = b"Python now!"
        print("memory:", exports.memory.read_utf8(0, 22))
        try:
            exports.divide(1, 0)
        except WasmTrap as trap:
            print("divide(1, 0):", trap.code.name if trap.code is not None else trap)


if __name__ == "__main__":
    main()
