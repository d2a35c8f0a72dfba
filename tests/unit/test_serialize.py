"""Serialized modules: what comes back is the same, and nothing but what was written is taken."""

import os
import struct
import threading

import pytest

from wasmtime_rt import (
    ClosedError,
    DeserializeError,
    OptimizationLevel,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmStore,
    WasmtimeError,
    _stamp,
    engine_version,
    wat2wasm,
)
from wasmtime_rt import module as module_file

WAT = """(module
    (import "env" "table" (table 2 9 funcref))
    (import "env" "log" (func $log (param i32)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (table (export "t64") i64 5 0x1_0000_0001 funcref)
    (export "größe" (table 0))
    (export "log" (func $log)))"""
ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
MAGIC = b"\x89wasmtime_rt\r\n\x1a\n"


@pytest.fixture(scope="module")
def engine():
    return WasmEngine()


@pytest.fixture(scope="module")
def data(engine):
    return WasmModule(engine, ADD).serialize()


@pytest.fixture
def loads(engine, tmp_path, monkeypatch):
    """Load bytes in every way there is; count how often the engine was asked to."""
    asked = []

    class Watched:
        def __getattr__(self, name):
            if "deserialize" in name:
                asked.append(name)
            return getattr(lib, name)

    lib = module_file.lib
    monkeypatch.setattr(module_file, "lib", Watched())

    def from_file(data, **options):
        path = tmp_path / "module.bin"
        path.write_bytes(data)
        return WasmModule.deserialize_file(engine, path, **options)

    def from_bytes(data, **options):
        return WasmModule.deserialize(engine, data, **options)

    from_bytes.asked = asked
    return from_bytes, from_file


def add_of(module):
    return WasmInstance(WasmStore(module.engine), module).exports.add(40, 2)


def without_stamp(data):
    return data[: struct.unpack_from("<32sQII", data, len(data) - 96)[1]]


@pytest.mark.parametrize("trusted", [False, True])
def test_what_comes_back_is_the_same(engine, loads, trusted):
    module = WasmModule(engine, WAT)
    data = module.serialize()
    for load in loads:
        again = load(data, trusted=trusted)
        assert (again.imports, again.exports) == (module.imports, module.exports)
        assert str(again.exports[1].type) == "(table i64 5 4294967297 funcref)"
        assert again._shape == module._shape
        assert again.serialize() == data
        assert again.engine is engine


def test_a_loaded_module_runs(loads, data):
    for load in loads:
        assert add_of(load(data)) == 42


@pytest.mark.parametrize("convert", [bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_other_buffers_are_copied_first(engine, data, convert):
    assert add_of(WasmModule.deserialize(engine, convert(data))) == 42


def test_the_stamp_is_a_trailer(data):
    assert data.startswith(b"\x7fELF")
    assert data.endswith(MAGIC)
    assert f'"engine":"{engine_version}"'.encode() in data


def test_every_damaged_byte_is_refused_before_the_engine_sees_it(loads, data):
    from_bytes, from_file = loads
    tail = len(data) - len(without_stamp(data))
    places = [*range(64), *range(64, len(data) - tail, 997), *range(len(data) - tail, len(data))]
    for at in places:
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(DeserializeError):
            from_bytes(damaged)
        if at % 5 == 0:
            with pytest.raises(DeserializeError):
                from_file(damaged)
    assert from_bytes.asked == []
    assert len(places) > 200


@pytest.mark.parametrize("cut", [1, 16, 95, 96, 97, 300, 5000])
def test_what_is_cut_short_or_too_long_is_refused(loads, data, cut):
    for load in loads:
        for wrong in (data[:-cut], data[cut:], data + bytes(cut), bytes(cut) + data, data[: len(data) // 2]):
            with pytest.raises(DeserializeError, match="damaged|cut short|not a serialized module"):
                load(wrong)
    assert loads[0].asked == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"", "not a serialized module: it starts with b''"),
        (b"hello", "not a serialized module: it starts with b'hello'"),
        (wat2wasm("(module)"), "this is WebAssembly, not a serialized module: give it to WasmModule"),
        (b"\x7fELF" + bytes(500), "compiled code without the stamp.*trusted=True"),
        (bytes(200) + MAGIC, "damaged|format"),
    ],
)
def test_foreign_data_is_refused_with_what_it_is(loads, wrong, message):
    for load in loads:
        with pytest.raises(DeserializeError, match=message):
            load(wrong)
    assert loads[0].asked == []


def test_another_engine_version_is_refused(loads, data, monkeypatch):
    monkeypatch.setattr(module_file, "engine_version", "0.0.0")
    for load in loads:
        for trusted in (False, True):
            with pytest.raises(
                DeserializeError, match=f"compiled by Wasmtime {engine_version}, this is 0.0.0"
            ):
                load(data, trusted=trusted)
    assert loads[0].asked == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"consume_fuel": True}, "compiled with consume_fuel=default, this engine has consume_fuel=True"),
        (
            {"optimization_level": OptimizationLevel.NONE},
            "compiled with optimization_level=default, .*level=0",
        ),
        (
            {"debug_info": True, "epoch_interruption": True},
            "debug_info=default, epoch_interruption=default, this",
        ),
    ],
)
def test_another_config_is_refused_by_name(data, settings, message):
    other = WasmEngine(WasmConfig(**settings))
    with pytest.raises(DeserializeError, match=message):
        WasmModule.deserialize(other, data)
    with pytest.raises(DeserializeError, match=message):
        WasmModule.deserialize(other, data, trusted=True)


def test_settings_count_by_their_values_in_any_version_of_python():
    settings = {"b": OptimizationLevel.SPEED, "a": True, "max_wasm_stack": 5, "pooling_total_memories": 3}
    settings |= {"flags": {"y": 1, "x": "on"}, "none": None}
    assert _stamp.settings_of(settings) == {
        "a": "True",
        "b": "1",
        "flags": "{'x': 'on', 'y': 1}",
        "none": "None",
    }


def test_settings_that_code_does_not_depend_on_may_differ(data):
    other = WasmEngine(WasmConfig(max_wasm_stack=1 << 20))
    assert add_of(WasmModule.deserialize(other, data)) == 42


def test_trusted_takes_code_without_the_stamp(loads, data):
    for load in loads:
        module = load(without_stamp(data), trusted=True)
        assert add_of(module) == 42
        assert add_of(load(module.serialize())) == 42  # which has the stamp


def test_the_engine_refuses_trusted_nonsense(loads):
    for load in loads:
        for wrong in (b"", b"hello", wat2wasm("(module)"), b"\x7fELF" + bytes(500)):
            with pytest.raises(DeserializeError):
                load(wrong, trusted=True)


def test_code_without_the_stamp_may_have_no_tables_outside(engine, loads):
    for wat in ('(module (import "" "t" (table 1 funcref)))', '(module (table (export "t") i64 1 funcref))'):
        foreign = without_stamp(WasmModule(engine, wat).serialize())
        for load in loads:
            with pytest.raises(DeserializeError, match="the limits of its table 't'"):
                load(foreign, trusted=True)
    inside = without_stamp(WasmModule(engine, "(module (table i64 1 funcref))").serialize())
    assert loads[0](inside, trusted=True).exports == ()


def test_a_forged_stamp_is_an_error_too(loads, data):
    import hashlib

    content = without_stamp(data)
    for facts in (b"", b"{}", b"[]", b"nul", b'{"engine":1}', b"[" * 100_000, b"\xff"):
        front = struct.pack(
            "<32sQII", hashlib.sha256(content).digest(), len(content), len(facts), _stamp._FORMAT
        )
        forged = content + facts + front + hashlib.sha256(facts + front).digest() + MAGIC
        with pytest.raises(DeserializeError, match="was not written by this package"):
            loads[0](forged)
    assert loads[0].asked == []


def test_files_that_are_none(engine, tmp_path):
    with pytest.raises(FileNotFoundError):
        WasmModule.deserialize_file(engine, tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        WasmModule.deserialize_file(engine, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="got the pipe .*: read it and give the bytes to deserialize"):
        WasmModule.deserialize_file(engine, tmp_path / "pipe")
    with pytest.raises(TypeError):
        WasmModule.deserialize_file(engine, 3)


def test_a_file_may_have_any_name_and_be_replaced(engine, data, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe"
    with open(path, "wb") as file:
        file.write(data)
    module = WasmModule.deserialize_file(engine, path)
    os.unlink(path)
    assert add_of(module) == 42


def test_a_file_is_open_while_its_module_lives(engine, data, tmp_path):
    path, wrong = tmp_path / "module.bin", tmp_path / "wrong.bin"
    path.write_bytes(data)
    wrong.write_bytes(data[:-1])
    before = len(os.listdir("/proc/self/fd"))
    kept = [WasmModule.deserialize_file(engine, path) for _ in range(5)]
    for _ in range(5):
        with pytest.raises(DeserializeError):
            WasmModule.deserialize_file(engine, wrong)
    assert len(os.listdir("/proc/self/fd")) <= before + 5  # the engine's, for each mapping
    kept.clear()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("wrong", [None, "text", 5, ["x"]])
def test_arguments_of_other_types_are_refused(engine, data, wrong):
    with pytest.raises(TypeError, match="data: expected the bytes of a serialized module"):
        WasmModule.deserialize(engine, wrong)
    with pytest.raises(TypeError, match="engine: expected a WasmEngine"):
        WasmModule.deserialize(wrong, data)
    with pytest.raises(TypeError, match="engine: expected a WasmEngine"):
        WasmModule.deserialize_file(wrong, "x")


def test_closed_things_are_refused(engine, data):
    module = WasmModule.deserialize(engine, data)
    module.close()
    for use in (module.serialize, lambda: module.image_range):
        with pytest.raises(ClosedError):
            use()
    closed = WasmEngine()
    closed.close()
    with pytest.raises(ClosedError):
        WasmModule.deserialize(closed, data)


def test_a_module_outlives_its_engine_and_is_serialized_still(data):
    engine = WasmEngine()
    module = WasmModule(engine, ADD)
    engine.close()
    assert module.serialize() == data


def test_a_component_in_serialized_form_is_an_error(engine, data):
    flags = bytearray(without_stamp(data))
    flags[48:52] = struct.pack("<I", 2)  # what the engine marks components with
    with pytest.raises(DeserializeError, match="incompatible object file format"):
        WasmModule.deserialize(engine, flags, trusted=True)


def test_loading_on_many_threads(engine, data):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(add_of(WasmModule.deserialize(engine, data))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [42] * 8


def test_subclasses_come_back_as_such(engine, data):
    class Mine(WasmModule):
        pass

    assert type(Mine.deserialize(engine, data)) is Mine


def test_where_a_module_lies(engine):
    module = WasmModule(engine, ADD)
    start, end = module.image_range
    assert 0 < start < end
    other = WasmModule(engine, ADD).image_range
    assert end <= other[0] or other[1] <= start


def test_the_error_is_of_the_tree():
    assert issubclass(DeserializeError, WasmtimeError)
