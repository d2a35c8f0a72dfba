"""Settings of the compiler: that each reaches it, and what it refuses."""

import json
import os
import struct

import pytest

from wasmtime_rt import (
    OptimizationLevel,
    ProfilingStrategy,
    RegallocAlgorithm,
    Strategy,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmtimeError,
    WasmTrap,
)
from wasmtime_rt._lowlevel import NULL, ffi, lib

SOURCE = """(module (memory 1)
  (func (export "f") (param i32 f32 i64) (result i32) (local i32)
    (loop $next
      (local.set 3 (i32.add (local.get 3) (i32.load (i32.and (local.get 0) (i32.const 1023)))))
      (local.set 3 (i32.add (local.get 3) (i32.trunc_sat_f32_s (f32.nearest (f32.mul (local.get 1) (local.get 1))))))
      (local.set 3 (i32.xor (local.get 3) (i32.wrap_i64 (i64.popcnt (local.get 2)))))
      (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 3)))"""


def code(**settings):
    """What a config makes of a module, as bytes."""
    engine = WasmEngine(WasmConfig(**settings))
    module, out = WasmModule(engine, SOURCE), ffi.new("wasm_byte_vec_t *")
    assert lib.wasmtime_module_serialize(module._handle.get(), out) == NULL
    serialized = ffi.buffer(out.data, out.size)[:]
    lib.wasm_byte_vec_delete(out)
    return serialized


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": Strategy.WINCH},
        {"optimization_level": OptimizationLevel.NONE},
        {"debug_info": True},
        {"consume_fuel": True},
        {"epoch_interruption": True},
        {"cranelift_regalloc_algorithm": RegallocAlgorithm.SINGLE_PASS},
        {"cranelift_nan_canonicalization": True},
        {"cranelift_debug_verifier": True},
        {"native_unwind_info": False},
        {"signals_based_traps": False},
        {"memory_may_move": False},
        {"memory_reservation": 0},
        {"memory_guard_size": 0},
        {"memory_reservation_for_growth": 0},
        {"memory_init_cow": False},
        {"cranelift_flags": {"has_popcnt": False}},
        {"target": "x86_64-unknown-linux-gnu"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_setting_reaches_the_compiler(settings):
    assert code() == code()
    assert code(**settings) != code()


def test_a_setting_that_is_the_default_changes_nothing():
    assert code(strategy=Strategy.CRANELIFT, parallel_compilation=False, wasm_gc=True) == code()


def test_canonical_nans():
    source = '(module (func (export "f") (param f32) (result i32) (i32.reinterpret_f32 (f32.div (local.get 0) (local.get 0)))))'

    def bits(config):
        engine = WasmEngine(config)
        return WasmInstance(WasmStore(engine), WasmModule(engine, source)).exports.f(0.0) & 0xFFFFFFFF

    assert bits(WasmConfig(cranelift_nan_canonicalization=True)) == 0x7FC00000
    assert bits(WasmConfig()) == 0xFFC00000  # as the processor makes it
    assert struct.unpack("<f", struct.pack("<I", 0x7FC00000))[0] != 0


def test_traps_without_signals():
    engine = WasmEngine(WasmConfig(signals_based_traps=False))
    source = """(module (memory 1)
      (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "div") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
      (func $deep (export "deep") (call $deep)))"""
    exports = WasmInstance(WasmStore(engine), WasmModule(engine, source)).exports
    assert exports.load(0) == 0
    for name, arguments in (("load", [-1]), ("div", [0]), ("deep", [])):
        with pytest.raises(WasmTrap):
            exports[name](*arguments)
    assert exports.div(1) == 1


# ---- Flags


def test_flags_read_back_as_a_mapping_that_cannot_change():
    config = WasmConfig(cranelift_flags={"has_popcnt": False, "bb_padding_log2_minus_one": 2})
    assert config.cranelift_flags == {"has_popcnt": False, "bb_padding_log2_minus_one": "2"}
    assert config == WasmConfig(cranelift_flags={"bb_padding_log2_minus_one": "2", "has_popcnt": False})
    assert hash(config) == hash(config.replace(cranelift_flags=config.cranelift_flags))
    assert config != WasmConfig(cranelift_flags={"has_popcnt": "false", "bb_padding_log2_minus_one": 2})
    with pytest.raises(TypeError):
        config.cranelift_flags["has_popcnt"] = True
    assert WasmConfig(cranelift_flags={}) == WasmConfig()


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        ([("a", True)], TypeError, "cranelift_flags: expected a mapping"),
        ({1: True}, TypeError, "cranelift_flags: a name: expected str, got 1"),
        ({"a": None}, TypeError, r"cranelift_flags\['a'\]: expected str, got None"),
        ({"a": 1.5}, TypeError, r"cranelift_flags\['a'\]: expected str, got 1.5"),
        ({"a\0b": True}, ValueError, "expected letters, digits"),
        ({"a": "\udc80"}, ValueError, "expected letters, digits"),
        ({"": True}, ValueError, "expected letters, digits"),
        ({"opt_level": "none"}, ValueError, "'opt_level' is a setting of its own: optimization_level"),
        ({"unwind_info": True}, ValueError, "native_unwind_info"),
    ],
)
def test_flags_are_checked(flags, error, message):
    with pytest.raises(error, match=message):
        WasmConfig(cranelift_flags=flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"no_such_flag": True}, "No existing setting named 'no_such_flag'"),
        ({"nosuchpreset": True}, "No existing setting named 'nosuchpreset'"),
        ({"tls_model": "cubist"}, "expected any among none, elf_gd, macho, coff"),
        ({"bb_padding_log2_minus_one": 31}, "expected 'bb_padding_log2_minus_one' from 0 to 4, got '31'"),
        ({"probestack_size_log2": 0}, "'probestack_size_log2' has to stay 12"),
    ],
)
def test_flags_that_the_engine_refuses_or_dies_of(flags, message):
    with pytest.raises(WasmtimeError, match=message):
        WasmEngine(WasmConfig(cranelift_flags=flags))


def test_a_preset_of_processor_features():
    plain = WasmConfig(target="x86_64-unknown-linux-gnu")
    assert code(target=plain.target, cranelift_flags={"nehalem": True}) != code(target=plain.target)


# ---- Targets


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nonsense", "target 'nonsense': Unrecognized architecture"),
        ("aarch64-unknown-linux-gnu", "Support for this target is disabled"),
    ],
)
def test_a_target_that_the_engine_does_not_have(target, message):
    with pytest.raises(WasmtimeError, match=message):
        WasmEngine(WasmConfig(target=target))


@pytest.mark.parametrize("target", [5, b"x86_64"])
def test_a_target_is_text(target):
    with pytest.raises(TypeError, match="target: expected str"):
        WasmConfig(target=target)


def test_the_interpreter_runs():
    engine = WasmEngine(WasmConfig(target="pulley64"))
    assert engine.is_pulley
    assert not WasmEngine().is_pulley
    assert WasmInstance(WasmStore(engine), WasmModule(engine, SOURCE)).exports.f(3, 1.5, 7) == 1
    assert code(target="pulley64") != code()


# ---- The cache


def files_below(folder):
    return [name for _, _, names in os.walk(folder) for name in names]


@pytest.mark.parametrize("make_path", [str, lambda path: path], ids=["str", "path"])
def test_code_is_cached_in_a_folder(tmp_path, make_path):
    config = WasmConfig(cache_config_load=make_path(tmp_path))
    WasmModule(WasmEngine(config), SOURCE)
    code_files = [name for name in files_below(tmp_path) if "." not in name]
    assert len(code_files) == 1
    WasmModule(WasmEngine(config), SOURCE)
    assert [name for name in files_below(tmp_path) if "." not in name] == code_files
    assert config.cache_config_load == str(tmp_path)


def test_a_folder_may_have_any_name(tmp_path):
    odd = tmp_path / 'a "quoted" name\\ with é'
    odd.mkdir()
    WasmModule(WasmEngine(WasmConfig(cache_config_load=odd)), SOURCE)
    assert files_below(odd)


def test_code_is_cached_as_a_file_says(tmp_path):
    file, folder = tmp_path / "cache.toml", tmp_path / "cached"
    file.write_text(f"[cache]\ndirectory = {json.dumps(str(folder))}\ncleanup-interval = '30m'\n")
    WasmModule(WasmEngine(WasmConfig(cache_config_load=file)), SOURCE)
    assert files_below(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cache]\nbogus = 1\n", "unknown field `bogus`"),
        ("not toml", "failed to parse config file"),
        (
            '[cache]\nworker-event-queue-size = "1G"\n',
            "expected worker-event-queue-size of at most 1000000, got 1G",
        ),
        ('[cache]\nallowed-clock-drift-for-files-from-future = "99999999999d"\n', "at most 1000000000"),
    ],
)
def test_a_file_that_the_engine_refuses_or_dies_of(tmp_path, text, message):
    file = tmp_path / "cache.toml"
    file.write_text(text)
    with pytest.raises(WasmtimeError, match=message):
        WasmEngine(WasmConfig(cache_config_load=file))


def test_a_cache_that_is_not_there(tmp_path):
    with pytest.raises(WasmtimeError, match="cache_config_load: .*nowhere cannot be read"):
        WasmEngine(WasmConfig(cache_config_load=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("path", "error"), [(b"x", TypeError), (5, TypeError), ("", ValueError), ("a\0b", ValueError)]
)
def test_the_path_of_a_cache_is_checked(path, error):
    with pytest.raises(error, match="cache_config_load: expected"):
        WasmConfig(cache_config_load=path)


# ---- Profilers


def test_jitdump_writes_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    WasmModule(WasmEngine(WasmConfig(profiling_strategy=ProfilingStrategy.JITDUMP)), SOURCE)
    assert (tmp_path / f"jit-{os.getpid()}.dump").stat().st_size > 0


def test_jitdump_where_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"jit-{os.getpid()}.dump").mkdir()
    with pytest.raises(
        WasmtimeError, match=r"profiling_strategy ProfilingStrategy.JITDUMP: .* cannot be written"
    ):
        WasmEngine(WasmConfig(profiling_strategy=ProfilingStrategy.JITDUMP))


def test_vtune_is_accepted_without_vtune():
    WasmModule(WasmEngine(WasmConfig(profiling_strategy=ProfilingStrategy.VTUNE)), SOURCE)
