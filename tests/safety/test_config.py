"""No config ends the process: what the engine would die of is an exception, and it is tried elsewhere first."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import wasmtime_rt

#: How many random configs; ``make fuzz-config CASES=5000`` tries more.
CASES = int(os.environ.get("WASMTIME_RT_CONFIG_CASES", "150"))
SEED = int(os.environ.get("WASMTIME_RT_CONFIG_SEED", "1"))

#: Runs a function in a forked child, and tells how that ended and what it returned.
FORKED = """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def ended(function, seconds=120):
    sys.stdout.flush()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        signal.alarm(seconds)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            os.write(writer, str(function()).encode()[:4000])
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, errors="replace") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said
"""


def test_rules_agree_with_the_engine(script):
    script(
        FORKED
        + f"""
import random
from wasmtime_rt._config_rules import check_rules, needs_trial
from wasmtime_rt._lowlevel import lib

rng = random.Random({SEED})
knobs = w.WasmConfig._knobs
switches = [name for name, knob in knobs.items() if isinstance(knob.default, bool) and "cache" not in name]
sizes = [0, 1, 4095, 65536, 1 << 20, 1 << 32, 1 << 47, 2**63, 2**64 - 1]
stacks = [1, 4096, 1 << 20, 1 << 21, 3 << 20, 1 << 40]
verdicts = set()
for _ in range({CASES}):
    settings = {{name: rng.random() < 0.5 for name in rng.sample(switches, rng.choice([1, 2, 3, 5, 8, len(switches)]))}}
    for name, values, chance in (
        ("strategy", list(w.Strategy), 0.5),
        ("max_wasm_stack", stacks, 0.3),
        ("async_stack_size", [*stacks, 1 << 41], 0.3),
        ("memory_reservation", sizes, 0.2),
        ("memory_guard_size", sizes, 0.2),
        ("memory_reservation_for_growth", sizes, 0.2),
        ("optimization_level", list(w.OptimizationLevel), 0.3),
        ("cranelift_regalloc_algorithm", list(w.RegallocAlgorithm), 0.3),
    ):
        if rng.random() < chance:
            settings[name] = rng.choice(values)
    config = w.WasmConfig(**settings)
    try:
        check_rules(config)
        reason = ""
    except w.WasmtimeError as refused:
        reason = str(refused)
    # The engine accepts these, and dies later.
    deadly = ("wasm_exceptions needs gc_support: turn both off, or none",
              "wasm_stack_switching: this build of the engine cannot run it")
    strict = any(part in deadly for part in reason.split("; "))
    status, said = ended(lambda: lib.wasm_engine_new_with_config(config._to_c()) and "made")
    check(f"{{config}} is refused for {{reason!r}}, the engine ends with {{status}}",
          (said == "made") == (not reason) or strict)
    check(f"{{config}} would be tried", not needs_trial(config) or config.strategy is w.Strategy.WINCH)
    verdicts.add(bool(reason))
check(f"only {{verdicts}}", verdicts == {{True, False}})
""",
        timeout=60 + CASES,
    )


def test_whatever_is_accepted_compiles_and_runs(script):
    script(
        FORKED
        + f"""
import random
rng = random.Random({SEED})
module = '''(module (memory (export "m") 1 3) (memory i64 1) (table 2 externref)
  (func (export "load") (param i32) (result i32) (i32.load offset=70000 (local.get 0)))
  (func (export "id") (param externref) (result externref) (table.set (i32.const 0) (local.get 0)) (local.get 0))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func $deep (export "deep") (call $deep)))'''
pools = list(w.PoolingConfig._knobs)
counts = [0, 1, 2, 7, 100, 1000, 1 << 16, 1 << 20, 1 << 24, 2**32 - 1]
sizes = [0, 1, 7, 65536, 1 << 20, 1 << 32, 1 << 46, 2**64 - 1]
flags = ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_avx", "has_avx2", "has_popcnt", "has_lzcnt",
         "has_fma", "has_avx512f", "is_pic", "enable_pinned_reg", "enable_heap_access_spectre_mitigation",
         "enable_table_access_spectre_mitigation", "enable_alias_analysis", "preserve_frame_pointers",
         "machine_code_cfg_info", "regalloc_checker", "bb_padding_log2_minus_one", "probestack_size_log2",
         "log2_min_function_alignment", "tls_model", "libcall_call_conv", "haswell", "sandybridge", "x86-64-v2", "none"]
switches = [name for name, knob in w.WasmConfig._knobs.items() if isinstance(knob.default, bool) and "cache" not in name]
targets = ["pulley64", "pulley32", "x86_64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin", "x"]

def some_config():
    settings = {{name: rng.random() < 0.7 for name in rng.sample(switches, rng.choice([0, 0, 1, 3, 10]))}}
    if rng.random() < 0.4:
        chosen = {{}}
        for name in rng.sample(pools, rng.choice([1, 3, 8, 20])):
            chosen[name] = rng.choice(sizes if name.endswith(("size", "resident", "elements")) else counts)
        settings["pooling_allocation_strategy"] = w.PoolingConfig(**chosen)
    if rng.random() < 0.4:
        settings["cranelift_flags"] = {{
            name: rng.choice([True, False, True, False, 0, 3, 31, 255, "none", "elf_gd"])
            for name in rng.sample(flags, rng.choice([1, 2, 4]))}}
    if rng.random() < 0.2:
        settings["target"] = rng.choice(targets)
    if rng.random() < 0.3:
        settings["strategy"] = w.Strategy.WINCH
    for name in ("memory_reservation", "memory_guard_size", "memory_reservation_for_growth"):
        if rng.random() < 0.2:
            settings[name] = rng.choice(sizes)
    if rng.random() < 0.2:
        settings["max_wasm_stack"] = rng.choice([1, 4096, 1 << 20])
        settings["async_stack_size"] = rng.choice([1 << 16, 1 << 21, 1 << 41])
    return w.WasmConfig(**settings)

def use(config):
    engine = allowed("engine", w.WasmEngine, config)
    if not isinstance(engine, w.WasmEngine):
        return engine
    store = allowed("store", w.WasmStore, engine)
    if config.consume_fuel:
        store.set_fuel(1 << 20)
    memory = allowed("memory", w.WasmMemory, store, w.WasmMemoryType(1, 2))
    if isinstance(memory, w.WasmMemory):
        allowed("grow", memory.grow, 1)
        memory.write(0, b"x")
    allowed("table", w.WasmTable, store, w.WasmTableType(w.WasmValType.EXTERNREF, 2))
    host = allowed("host", w.WasmFunc, store, lambda x: x, w.WasmFuncType([w.WasmValType.EXTERNREF], [w.WasmValType.EXTERNREF]))
    if callable(host):
        allowed("host", host, object())
    for _ in range(3):
        def instantiate():
            return w.WasmInstance(w.WasmStore(engine) if not config.consume_fuel else store, w.WasmModule(engine, module))
        instance = allowed("instance", instantiate)
        if isinstance(instance, w.WasmInstance):
            for name, *arguments in (("load", -1), ("load", 0), ("id", object()), ("grow",), ("deep",)):
                allowed(name, instance.call, name, *arguments)
    gc.collect()
    return "".join(_problems) or "used"

outcomes = set()
for _ in range({max(10, CASES // 5)}):
    config = some_config()
    status, said = ended(lambda: use(config))
    check(f"{{config}}: the process ends with {{status}}, having said {{said[-300:]!r}}", status == 0 and said)
    check(f"{{config}}: {{said}}", "came out" not in said)
    outcomes.add(said == "used")
check(f"only {{outcomes}}", outcomes == {{True, False}})
""",
        timeout=120 + 10 * CASES,
    )


COUNTED = """
import subprocess
from wasmtime_rt import _trial
started = []
run = subprocess.run
def counted(*args, **options):
    started.append(args)
    return run(*args, **options)
subprocess.run = counted
flags = w.WasmConfig(cranelift_flags={"has_popcnt": False})
"""


def test_only_what_no_rule_can_judge_is_tried_and_only_once(script):
    script(
        COUNTED
        + """
for config in (
    w.WasmConfig(), w.WasmConfig.development(), w.WasmConfig.production(), w.WasmConfig.profiling(), w.WasmConfig.sandbox(),
    w.WasmConfig(memory_reservation=0, max_wasm_stack=1 << 20, wasm_gc=False), w.WasmConfig(cache_config_load="."),
    w.WasmConfig(cranelift_flags={}),
):
    w.WasmEngine(config)
check("something was tried", not started)
for _ in range(3):
    w.WasmEngine(flags)
    w.WasmEngine(flags.replace(profiling_strategy=w.ProfilingStrategy.PERFMAP))
    refused("unknown flag", w.WasmtimeError, w.WasmEngine, w.WasmConfig(cranelift_flags={"unknown_flag": True}))
check(f"{len(started)} trials instead of 2", len(started) == 2)
os.remove(f"/tmp/perf-{os.getpid()}.map")
"""
    )


@pytest.mark.parametrize("executable", ["", None, "/bin/false", "/bin/cat", "/nowhere/python", "/"])
def test_without_a_python_interpreter_a_trial_is_refused(script, executable):
    script(
        f"""
sys.executable = {executable!r}
refused("no interpreter", w.WasmtimeError, w.WasmEngine, w.WasmConfig(cranelift_flags={{"is_pic": True}}))
w.WasmEngine()
"""
    )


def test_a_frozen_program_is_not_started_again(script):
    script(
        COUNTED
        + """
sys.frozen = True
told = refused("frozen", w.WasmtimeError, w.WasmEngine, flags)
check(told, "sys.executable" in str(told) and "has_popcnt" in str(told))
check("started", not started)
"""
    )


def test_a_trial_that_takes_too_long_is_given_up(script):
    script(
        COUNTED
        + """
_trial._PATIENCE = 0.01
told = refused("slow", w.WasmtimeError, w.WasmEngine, flags)
check(told, "did not end within 0.01 seconds" in str(told))
_trial._PATIENCE = 60
w.WasmEngine(flags)
try:
    os.waitpid(-1, os.WNOHANG)
    check("a child is left", False)
except ChildProcessError:
    pass
"""
    )


@pytest.mark.parametrize(
    "options", [["-O"], ["-OO"], ["-B", "-s", "-E"], ["-X", "dev"], ["-W", "error"], ["-I"]]
)
def test_a_trial_works_whatever_the_options_of_the_interpreter(script, options):
    if "-E" in options or "-I" in options:
        pytest.importorskip("wasmtime_rt", reason="must be installed")
    package = str(Path(wasmtime_rt.__file__).parent.parent)
    prelude = f"sys.path.insert(0, {package!r})\n"
    script(prelude + COUNTED + "w.WasmEngine(flags)\ncheck('not tried', started)", *options)


def test_a_trial_works_in_odd_surroundings(script, tmp_path):
    for name in ("wasmtime_rt", "pickle", "cffi", "subprocess", "encodings"):
        (tmp_path / f"{name}_decoy").mkdir()
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    for name in ("wasmtime_rt.py", "pickle.py", "resource.py", "site.py", "sitecustomize.py", "importlib.py"):
        (decoy / name).write_text("raise SystemExit('the decoy was loaded')")
    script(
        COUNTED
        + f"""
import pickle, resource, importlib
gone = {str(tmp_path / "gone")!r}
os.mkdir(gone)
os.chdir({str(decoy)!r})
os.environ["PYTHONPATH"] = os.environ["PYTHONSTARTUP"] = {str(decoy)!r}
os.environ["PYTHONHOME"] = "/nowhere"
os.environ["PYTHONWARNINGS"] = "error"
os.environ["RUST_LOG"] = "trace"
sys.path += ["", "/nowhere", "white space", 5, None]
w.WasmEngine(flags)
os.chdir(gone)
os.rmdir(gone)
w.WasmEngine(flags.replace(debug_info=True))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
w.WasmEngine(flags.replace(consume_fuel=True))
refused("unknown flag", w.WasmtimeError, w.WasmEngine, w.WasmConfig(cranelift_flags={{"unknown_flag": True}}))
check("trials", len(started) == 4)
"""
    )


def test_a_trial_finds_the_package_where_it_is(script, tmp_path):
    place = tmp_path / "white space é"
    shutil.copytree(
        Path(wasmtime_rt.__file__).parent,
        place / "wasmtime_rt",
        ignore=shutil.ignore_patterns("_native", "__pycache__"),
    )
    script(
        f"""
for name in [name for name in sys.modules if name.startswith("wasmtime_rt")]:
    del sys.modules[name]
sys.path.insert(0, {str(place)!r})
""",
        finish=False,
    )
    script(
        f"""
out = __import__("subprocess").run(
    [sys.executable, "-c", "import wasmtime_rt as w; print(w.__file__); w.WasmEngine(w.WasmConfig(target='pulley64'))"],
    env={{**os.environ, "PYTHONPATH": {str(place)!r}}}, capture_output=True, text=True, cwd="/")
check(out, out.returncode == 0 and out.stderr == "" and "white space" in out.stdout)
"""
    )


def test_trials_leave_nothing_behind(script, tmp_path):
    script(
        COUNTED
        + """
w.WasmEngine()
files, before = os.listdir("."), len(os.listdir("/proc/self/fd"))
for i in range(5):
    refused("flag", w.WasmtimeError, w.WasmEngine, w.WasmConfig(cranelift_flags={f"unknown_flag{i}": True}))
check("file descriptors", len(os.listdir("/proc/self/fd")) == before)
check(os.listdir("."), os.listdir(".") == files)
check("trials", len(started) == 5)
"""
    )


def test_threads_and_forks_may_try_configs(script):
    script(
        COUNTED
        + """
threads = [threading.Thread(target=allowed, args=("engine", w.WasmEngine, flags)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
in_child("a forked child", lambda: w.WasmEngine(flags.replace(debug_info=True)), 30)
"""
    )


def test_pools_take_no_more_than_there_is(script):
    script(
        """
kept = []
def make(**sizes):
    kept.append(w.WasmEngine(w.WasmConfig(pooling_allocation_strategy=w.PoolingConfig(**sizes))))

# Address space runs out first, then, with small memories, mappings.
for sizes in ({"total_stacks": 0}, {"total_memories": 1}):
    for _ in range(200):
        ended = None
        try:
            make(**sizes)
        except w.WasmtimeError as problem:
            ended = problem
            break
    check(f"no end to {sizes}", ended is not None and "pooling_allocation_strategy" in str(ended))
    check(f"only {len(kept)} engines", len(kept) > 10)
    kept.clear()
    gc.collect()
make()
""",
        timeout=120,
    )


def test_a_limit_of_the_address_space_is_an_error(script):
    script(
        """
import resource
used = address_space() << 20
resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30), resource.RLIM_INFINITY))
source = '(module (memory (export "m") 1) (func (export "f") (result i32) (i32.load (i32.const 0))))'
engine = w.WasmEngine()
module = w.WasmModule(engine, source)
refused("default reservation", w.WasmtimeError, w.WasmInstance, w.WasmStore(engine), module)
refused("memory", w.WasmtimeError, w.WasmMemory, w.WasmStore(engine), w.WasmMemoryType(1))
echo = '(module (func (export "f") (param externref) (result externref) (local.get 0)))'
allowed("reference", lambda: w.WasmInstance(w.WasmStore(engine), w.WasmModule(engine, echo)).exports.f(object()))
allowed("global", w.WasmGlobal, w.WasmStore(engine), w.WasmGlobalType(w.WasmValType.EXTERNREF, True), object())
refused("pools", w.WasmtimeError, w.WasmEngine, w.WasmConfig(pooling_allocation_strategy=w.PoolingConfig()))
small = w.WasmEngine(w.WasmConfig(memory_reservation=0, memory_reservation_for_growth=1 << 20))
exports = w.WasmInstance(w.WasmStore(small), w.WasmModule(small, source)).exports
check("small", exports.f() == 0)
"""
    )


def test_the_default_cache_is_used_and_its_file_is_checked(script):
    script(
        """
os.environ["XDG_CACHE_HOME"], os.environ["XDG_CONFIG_HOME"] = os.path.abspath("caches"), os.path.abspath("configs")
w.WasmModule(w.WasmEngine(w.WasmConfig(cache_config_load=True)), "(module)")
check("nothing cached", os.listdir("caches"))
os.makedirs("configs/wasmtime")
with open("configs/wasmtime/config.toml", "w") as file:
    file.write('[cache]\\nworker-event-queue-size = "99999999999999999999"\\n')
told = refused("queue", w.WasmtimeError, w.WasmEngine, w.WasmConfig(cache_config_load=True))
check(told, "worker-event-queue-size" in str(told))
"""
    )


def test_a_cache_file_with_something_else_that_kills(script):
    script(
        """
os.mkdir("caches", 0o700)
with open("cache.toml", "w") as file:  # an escape in a key hides it from our look at the file, not from a trial
    file.write(f'[cache]\\ndirectory = "{os.path.abspath("caches")}"\\n"worker-event-queue-siz\\\\u0065" = "1000P"\\n')
told = refused("queue", w.WasmtimeError, w.WasmEngine, w.WasmConfig(cache_config_load="cache.toml"))
check(told, "refuses these settings" in str(told))
"""
    )


#: What appends DWARF to a module: a unit whose line table has steps of some range.
DWARF = """
import struct

def section(name, data):
    body = bytes([len(name)]) + name + data
    return bytes([0, len(body)]) + body

def with_dwarf(wasm, line_range):
    unit = struct.pack("<HIB", 4, 0, 4) + bytes([1]) + struct.pack("<III", 0, 2, 4)
    head = bytes([1, 1, 1, 0xF6, line_range, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\\0a.c\\0\\0\\0\\0\\0"
    line = struct.pack("<HI", 4, len(head)) + head + bytes([0, 5, 2, 2, 0, 0, 0, 1, 2, 4, 0, 1, 1])
    return wasm + (
        section(b".debug_abbrev", bytes([1, 0x11, 0, 0x10, 0x17, 0x11, 1, 0x12, 6, 0, 0, 0]))
        + section(b".debug_info", struct.pack("<I", len(unit)) + unit)
        + section(b".debug_line", struct.pack("<I", len(line)) + line)
    )
"""


def test_debug_information_of_bad_modules(script):
    script(
        COUNTED
        + DWARF
        + """
for config in (w.WasmConfig.development(), w.WasmConfig.profiling()):
    engine = w.WasmEngine(config)
    refused("a local of no type", w.CompileError, w.WasmModule, engine, "(module (func (local (ref null 7))))")
    w.WasmModule(engine, "(module (type (func)) (func (local (ref null 0))))")
check("tried without DWARF", not started)
binary = w.wat2wasm('(module (func (export "f") (param i32) (result i32) (local i32) (local.get 0)))')
engine = w.WasmEngine(w.WasmConfig(debug_info=True))
for _ in range(2):
    module = w.WasmModule(engine, with_dwarf(binary, 14))
    check("it runs", w.WasmInstance(w.WasmStore(engine), module).exports.f(5) == 5)
    told = refused("an odd line table", w.CompileError, w.WasmModule, engine, with_dwarf(binary, 2))
    check(told, "does not survive" in str(told) and "line_range" in str(told))
    refused("a bad line table", w.CompileError, w.WasmModule, engine, with_dwarf(binary, 0))
check(f"{len(started)} trials instead of 3", len(started) == 3)
w.WasmModule(w.WasmEngine(), with_dwarf(binary, 2))
os.remove(f"/tmp/perf-{os.getpid()}.map")
"""
    )


def test_debug_information_that_takes_stack(script):
    """Blocks in blocks, which the engine follows down its stack: of threads with less of it than a trial's main one."""
    script(
        DWARF
        + """
def number(value):
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])

def long_section(name, data):
    body = bytes([len(name)]) + name + data
    return b"\\0" + number(len(body)) + body

def nested(wasm, depth):
    places = struct.pack("<II", 2, 4)
    unit = struct.pack("<HIB", 4, 0, 4) + b"\\1" + places + b"\\3" + places + (b"\\2" + places) * depth + bytes(depth + 2)
    kinds = b"".join(bytes([n + 1, kind, 1, 0x11, 1, 0x12, 6, 0, 0]) for n, kind in enumerate((0x11, 0x0B, 0x2E)))
    return wasm + (
        long_section(b".debug_abbrev", kinds + b"\\0")
        + long_section(b".debug_info", struct.pack("<I", len(unit)) + unit)
    )

binary = w.wat2wasm('(module (func (export "f") (param i32) (result i32) (local i32) (local.get 0)))')
engine = w.WasmEngine(w.WasmConfig(debug_info=True))
def works(depth):
    compiled = allowed(f"{depth} deep", w.WasmModule, engine, nested(binary, depth))
    check(f"{depth} deep: {compiled}", isinstance(compiled, w.WasmModule))
def fails(depth):
    told = refused(f"{depth} deep", w.CompileError, w.WasmModule, engine, nested(binary, depth))
    check(told, "does not survive" in str(told))
for stack in (700, 1024, 8192):
    on_thread(stack, lambda: works(100))
    for depth in (4000, 20000):
        on_thread(stack, lambda: fails(depth))
works(500)
# What is not refused must work where there is hardly enough stack to compile at all.
deepest = 1
for depth in range(200, 4000, 300):
    if not isinstance(allowed(f"{depth} deep", w.WasmModule, engine, nested(binary, depth)), w.CompileError):
        deepest = depth
        on_thread(600, lambda: works(depth))
check(f"{deepest}", 200 <= deepest < 4000)
"""
    )


if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)
