"""Processes that have no threads, descriptors or address space left: exceptions, and what can be done without."""

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")

SETUP = r"""
import resource, weakref
for name in w.__all__:
    getattr(w, name)
WAT = '(module (memory (export "m") 1) (func (export "f") (result i32) (i32.const 7)) (func) (func) (func))'
PROGRAM = r'''(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\02\00\00\00hi")
    (func (export "say") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))'''
def works(engine):
    assert w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, WAT)).exports.f() == 7

def no_more_threads():
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if os.getuid() == 0:
        os.setuid(65534)  # the limit does not hold for root
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        return
    raise AssertionError("a thread was started")

def no_threads_for_now():
    limits = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, limits[1]))
    if os.getuid() == 0:
        os.setresuid(65534, 65534, 0)
    return limits

def threads_again(limits):
    if os.getresuid()[2] == 0:
        os.setresuid(0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, limits)

def no_more_descriptors():
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return held

def free(held):
    for descriptor in held:
        os.close(descriptor)

def no_more_address_space(spare):
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, resource.RLIM_INFINITY))
"""


def short(script, source, **options):
    lines = source.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return script(SETUP + "\n".join(line[indent:] for line in lines), **options)


def test_compiling_without_threads(script):
    short(
        script,
        """
        engine = w.WasmEngine()
        no_more_threads()
        works(engine)
        works(w.WasmEngine())
        w.WasmModule.validate(engine, WAT)
        check("bad code", not w.WasmModule.is_valid(engine, "(module (func (result i32)))"))
        w.WasmTable(w.WasmStore(engine), w.WasmTableType("externref", 1, is64=True))
        """,
    )


def test_threads_that_come_back(script):
    short(
        script,
        """
        engine = w.WasmEngine()
        limits = no_threads_for_now()
        works(engine)
        threads = len(os.listdir("/proc/self/task"))
        check("no threads", threads == 1)
        threads_again(limits)
        works(engine)
        check("threads", len(os.listdir("/proc/self/task")) > 1)
        """,
    )


def test_a_cache_needs_a_thread(script):
    short(
        script,
        """
        os.mkdir("cache")
        config = w.WasmConfig(cache_config_load=os.path.abspath("cache"))
        os.environ["RUST_MIN_STACK"] = str(1 << 30)
        limits = resource.getrlimit(resource.RLIMIT_AS)
        no_more_address_space(512 << 20)
        told = refused("cache", w.WasmtimeError, w.WasmEngine, config)
        check(str(told), "thread" in str(told))
        del os.environ["RUST_MIN_STACK"]
        resource.setrlimit(resource.RLIMIT_AS, limits)
        works(w.WasmEngine(config))
        """,
    )


def test_the_first_wasi_program_without_threads(script):
    short(
        script,
        """
        engine = w.WasmEngine()
        module = w.WasmModule(engine, PROGRAM)
        linker = w.WasmLinker(engine)
        linker.define_wasi()
        import pathlib
        path = pathlib.Path("input")
        os.chmod(".", 0o755)
        path.write_bytes(b"text")
        no_more_threads()
        said = []
        for config in (w.WasiConfig(stdout=said.append), w.WasiConfig(stdout=said.append, stdin=path)):
            check("says", linker.instantiate(w.WasmStore(engine, wasi=config), module).exports.say() == 0)
        check("said", said == [b"hi"] * 2)
        """,
    )


def test_the_first_wasi_program_without_descriptors(script):
    short(
        script,
        """
        engine = w.WasmEngine()
        linker = w.WasmLinker(engine)
        linker.define_wasi()
        store = w.WasmStore(engine, wasi=w.WasiConfig())
        module = w.WasmModule(engine, PROGRAM)
        linker.instantiate(store, module)
        import pathlib
        path = pathlib.Path("input")
        path.write_bytes(b"text")
        held = no_more_descriptors()
        linker.get(store, "wasi_snapshot_preview1", "fd_write")
        for label, settings in {
            "a file": {"stdin": path}, "output": {"stdout": path}, "a folder": {"preopens": {"/": "."}}
        }.items():
            told = refused(label, w.WasmtimeError, lambda: w.WasmStore(engine, wasi=w.WasiConfig(**settings)))
            check(f"{label}: {told}", "Too many open files" in str(told))
        free(held)
        check("later", linker.instantiate(store, module).exports.say() == 0)
        """,
    )


def test_no_descriptors_are_left_when_a_wasi_program_runs_first(script):
    short(
        script,
        """
        engine = w.WasmEngine()
        linker = w.WasmLinker(engine)
        linker.define_wasi()
        said = []
        exports = linker.instantiate(
            w.WasmStore(engine, wasi=w.WasiConfig(stdout=said.append)), w.WasmModule(engine, PROGRAM)).exports
        exports.say
        held = no_more_descriptors()
        check("says", exports.say() == 0 and said == [b"hi"])
        free(held)
        """,
    )


READS = r"""(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "input") (data (i32.const 16) "\40\00\00\00\40\00\00\00")
    (func (export "nothing"))
    (func (export "read") (param externref) (result i32)
        (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 0) (i64.const 2)
                (i64.const 0) (i32.const 0) (i32.const 32)) (then (return (i32.const -1))))
        (if (call $read (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 36))
            (then (return (i32.const -2))))
        (i32.load (i32.const 36))))"""


READS_INPUT = r"""(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 16) "\40\00\00\00\40\00\00\00")
    (func (export "read") (result i32) (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 36))))"""


def test_wasi_and_files_without_threads(script):
    short(
        script,
        f"""
        os.chmod(".", 0o755)
        with open("input", "w") as file:
            file.write("content")
        engine = w.WasmEngine()
        module = w.WasmModule(engine, r'''{READS}''')
        linker = w.WasmLinker(engine)
        linker.define_wasi()
        def new(**settings):
            return linker.instantiate(w.WasmStore(engine, wasi=w.WasiConfig(**settings)), module).exports
        no_more_threads()
        check("a file", new(preopens={{"/": "."}}).read(None) == 7)
        check("no folders, no file", new().read(None) == -1)
        reads = w.WasmModule(engine, r'''{READS_INPUT}''')
        stdin = linker.instantiate(w.WasmStore(engine, wasi=w.WasiConfig(stdin="inherit")), reads).exports.read
        os.dup2(os.open("input", os.O_RDONLY), 0)
        check("the input", stdin() == 0)
        """,
    )


KINDS = {
    "a memory": "w.WasmMemory(w.WasmStore(engine), w.WasmMemoryType(1))",
    "an instance": "w.WasmInstance(w.WasmStore(engine), module)",
    "a reference": "w.WasmTable(w.WasmStore(engine), w.WasmTableType('externref', 1), object())",
    "a struct": "w.WasmInstance(w.WasmStore(engine), structs).exports.f()",
    "a shared memory": "w.WasmSharedMemory(engine, w.WasmMemoryType(1, 4, shared=True))",
}


@pytest.mark.parametrize("spare", [20, 300])
def test_little_address_space(script, spare):
    short(
        script,
        f"""
        def modules(engine):
            structs = '(module (type $s (struct)) (func (export "f") (result (ref $s)) (struct.new $s)))'
            return w.WasmModule(engine, WAT), w.WasmModule(engine, structs)
        engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
        compact = w.WasmEngine(w.WasmConfig.compact().replace(shared_memory=True))
        module, structs = modules(engine)
        modules(compact)
        no_more_address_space({spare} << 20)
        KINDS = {KINDS!r}
        for label, source in KINDS.items():
            told = refused(label, w.WasmtimeError, lambda: eval(source))
            check(f"{{label}}: {{told}}", "WasmConfig.compact()" in str(told))
        engine = compact
        module, structs = modules(engine)
        for label, source in KINDS.items():
            eval(source)
        for _ in range(50):
            works(engine)
        check("another engine", w.WasmEngine().is_valid)
        """,
    )


def test_tens_of_thousands_of_instances(script):
    short(
        script,
        """
        no_more_address_space(3 << 30)
        engine = w.WasmEngine(w.WasmConfig.compact())
        module = w.WasmModule(engine, '''(module (memory (export "m") 1) (data (i32.const 0) "data") (table 2 externref)
            (func (export "f") (result i32) (i32.load8_u (i32.const 0)))
            (func (export "set") (param externref) (table.set (i32.const 0) (local.get 0))))''')
        prepared = w.WasmLinker(engine).prepare(module)
        held = [prepared.instantiate(w.WasmStore(engine)) for _ in range(22_000)]
        for instance in held[::1000]:
            assert instance.exports.f() == ord("d")
            instance.exports.set(object())
            assert instance.exports.m.grow(1) == 1
        with open("/proc/self/maps") as maps:
            mappings = sum(1 for _ in maps)
        check(f"{mappings} mappings", mappings < 10_000)
        """,
        timeout=120,
    )


def test_running_out_of_address_space_and_mappings(script):
    short(
        script,
        """
        engine = w.WasmEngine()
        module = w.WasmModule(engine, WAT)
        held = []
        told = None
        while told is None and len(held) < 100_000:
            try:
                held.append(w.WasmInstance(w.WasmStore(engine), module))
            except w.WasmtimeError as problem:
                told = problem
        check(f"{len(held)} instances: {told}", "WasmConfig.compact()" in str(told))
        check("one of them", held[-1].exports.f() == 7)
        for turn in range(20):
            allowed("compile", w.WasmModule, engine, WAT)
            allowed("engine", w.WasmEngine)
            allowed("memory", w.WasmMemory, w.WasmStore(engine), w.WasmMemoryType(1))
            allowed("table", w.WasmTable, w.WasmStore(engine), w.WasmTableType("externref", 1), object())
            thread = threading.Thread(target=lambda: allowed("thread", held[turn].exports.f))
            allowed("start", thread.start) or thread.join()
        del held[:1000]
        gc.collect()
        works(engine)
        """,
        timeout=120,
    )
