"""Names are imported when they are first asked for: each must work where it is the only one."""


def test_each_name_is_enough(script):
    script(
        """
def ends(make):
    def run():
        with make() as item:
            repr(item)
        item.close()
    return run

def store(**settings):
    return w.WasmStore(w.WasmEngine(w.WasmConfig(parallel_compilation=False, **settings)))

def closed():
    made = store()
    made.gc()
    made.close()
    try:
        made.gc()
    except w.StoreClosedError:
        return
    raise SystemExit("not refused")

def fuel():
    made = store(consume_fuel=True)
    made.set_fuel(5)
    made.fuel, made.fuel_consumed

def from_a_thread():
    made = store()
    with made._core:
        said = []
        def other():
            try:
                made.gc()
            except w.StoreBusyError as busy:
                said.append(busy)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert said

def value(kind, number):
    return lambda: w.WasmGlobal(store(), w.WasmGlobalType(kind), number).value

WAT = '(module (import "" "" (func)) (func (export "f") (result i32) i32.const 5))'
def module():
    return w.WasmModule(w.WasmEngine(w.WasmConfig(parallel_compilation=False)), WAT)

def linked():
    linker = w.WasmLinker(w.WasmEngine(w.WasmConfig(parallel_compilation=False)))
    linker.define("", "", lambda: None)
    linker.define_wasi()
    made = w.WasmModule(linker.engine, WAT)
    check("f", linker.prepare(made).instantiate(w.WasmStore(linker.engine)).exports.f() == 5)

def struct():
    made = store()
    w.WasmStruct(made, w.WasmStruct.new_type(made.engine, [w.WasmFieldType("i32")]), [5])[0]

def exception():
    made = store()
    tag = w.WasmTag(made, w.WasmTagType(w.WasmFuncType(["i32"])))
    w.WasmTable(made, w.WasmTableType("exnref", 1), w.WasmException(tag, 5))[0].payload

def profile():
    with store(epoch_interruption=True).profile(os.devnull):
        pass

for label, use in {
    "engine": ends(lambda: w.WasmEngine()), "store": ends(store), "closed": closed, "fuel": fuel, "busy": from_a_thread,
    "module": ends(module), "linker": ends(lambda: w.WasmLinker(w.WasmEngine())), "linked": linked,
    "func": lambda: w.WasmFunc(store(), lambda: None, w.WasmFuncType())(), "struct": struct, "exception": exception,
    "memory": lambda: w.WasmMemory(store(), w.WasmMemoryType(1)).read(0, 1),
    "number": value("i64", 5), "object": value("externref", "x"), "null": value("funcref", None),
    "table": lambda: w.WasmTable(store(), w.WasmTableType("externref", 3), "x")[1], "profile": profile,
    "shared": lambda: w.WasmSharedMemory(store(shared_memory=True).engine, w.WasmMemoryType(1, 2, shared=True)).read(0, 1),
    "wasi": lambda: store().set_wasi(w.WasiConfig(stdin=b"x")), "text": lambda: w.wat2wasm("(module)"),
    "validate": lambda: w.WasmModule.validate(w.WasmEngine(), WAT), "serialize": lambda: module().serialize(),
    "value": lambda: w.WasmValue(5), "i31": lambda: w.WasmI31(5), "limits": lambda: w.WasmStore(w.WasmEngine(), limits=w.StoreLimits(tables=3)),
}.items():
    in_child(label, use, seconds=30)
""",
        timeout=120,
    )
