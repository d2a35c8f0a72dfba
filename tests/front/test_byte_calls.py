"""Bytes in and out of core modules."""

import pytest

from wasmtime_rt import (
    ByteCaller,
    WasmConfig,
    WasmEngine,
    WasmInstance,
    WasmModule,
    WasmSpan,
    WasmStore,
    WasmtimeError,
    WasmTimeout,
    WasmTrap,
    call_bytes,
    pack_span,
    unpack_span,
    unsigned,
)

# A codec with an allocator that counts what is alive; double(bytes) gives the bytes twice.
CODEC = """(module (memory (export "memory") 2)
    (global $top (mut i32) (i32.const 1024)) (global $alive (export "alive") (mut i32) (i32.const 0))
    (global $freed (export "freed") (mut i32) (i32.const 0))
    (func $alloc (export "alloc") (param $size i32) (result i32)
        (if (i32.gt_u (local.get $size) (i32.const 60000)) (then (return (i32.const 0))))
        (global.set $alive (i32.add (global.get $alive) (i32.const 1)))
        (global.set $top (i32.add (global.get $top) (local.get $size)))
        (i32.sub (global.get $top) (local.get $size)))
    (func (export "dealloc") (param $at i32) (param $size i32)
        (global.set $freed (i32.add (global.get $freed) (local.get $size)))
        (global.set $alive (i32.sub (global.get $alive) (i32.const 1))))
    (func $double (param $at i32) (param $size i32) (result i32) (local $out i32)
        (local.set $out (call $alloc (i32.mul (i32.const 2) (local.get $size))))
        (memory.copy (local.get $out) (local.get $at) (local.get $size))
        (memory.copy (i32.add (local.get $out) (local.get $size)) (local.get $at) (local.get $size))
        (local.get $out))
    (func (export "packed") (param $at i32) (param $size i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (call $double (local.get $at) (local.get $size))) (i64.const 32))
            (i64.extend_i32_u (i32.mul (i32.const 2) (local.get $size)))))
    (func (export "length_first") (param $at i32) (param $size i32) (result i64)
        (i64.or (i64.extend_i32_u (call $double (local.get $at) (local.get $size)))
            (i64.shl (i64.extend_i32_u (i32.mul (i32.const 2) (local.get $size))) (i64.const 32))))
    (func (export "pair") (param $at i32) (param $size i32) (result i32 i32)
        (call $double (local.get $at) (local.get $size)) (i32.mul (i32.const 2) (local.get $size)))
    (func (export "text") (result i32) (i32.const 64))
    (func (export "endless") (result i32) (i32.const 131071))
    (func (export "same") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1))
    (func (export "sum") (param $at i32) (param $size i32) (param $more i32) (param i32 i32) (result i32)
        (i32.add (i32.add (local.get $size) (local.get $more)) (local.get 4)))
    (func (export "far") (result i64) (i64.const -4294967291))
    (func (export "fail") (param i32 i32) (result i64) unreachable)
    (data (i32.const 64) "text\\00") (data (i32.const 131071) "x"))"""


@pytest.fixture
def codec(engine):
    return WasmInstance(WasmStore(engine), WasmModule(engine, CODEC))


def alive(codec):
    return codec.get_global("alive").value


@pytest.mark.parametrize(
    ("name", "returns"), [("packed", "packed"), ("length_first", "packed_length_first"), ("pair", "pair")]
)
@pytest.mark.parametrize("data", [b"hello", b"", bytes(30_000)])
def test_bytes_go_in_and_come_out(codec, name, returns, data):
    assert call_bytes(codec, name, data, returns=returns) == data * 2
    assert alive(codec) == 0
    assert codec.get_global("freed").value >= 3 * len(data)


def every_other(data):
    return memoryview(bytes(x for one in data for x in (one, 0)))[::2]


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview, every_other])
def test_any_bytes_will_do(codec, convert):
    assert call_bytes(codec, "packed", convert(b"ab")) == b"abab"


def test_several_arguments_and_a_plain_result(codec):
    assert call_bytes(codec, "sum", b"abc", 10, b"de", returns="value") == 15
    assert alive(codec) == 0


def test_text_ends_with_zero(codec):
    assert call_bytes(codec, "text", returns="cstring", free_result=False) == b"text"
    with pytest.raises(IndexError, match="no zero byte from 131071"):
        call_bytes(codec, "endless", returns="cstring")


def test_what_was_given_is_not_freed_twice(codec):
    assert call_bytes(codec, "same", b"abc", returns="pair") == b"abc"
    assert alive(codec) == 0


def test_results_may_be_somebody_elses(codec):
    assert call_bytes(codec, "packed", b"x", free_result=False) == b"xx"
    assert alive(codec) == 1


def test_what_is_out_of_range_is_an_error_and_frees(codec):
    caller = ByteCaller(codec)
    with pytest.raises(IndexError):
        caller.call("far")
    with pytest.raises(TypeError, match="packed: argument 1: expected bytes or a number, got str 'text'"):
        caller.call("packed", b"abc", "text")
    with pytest.raises(TypeError, match="sum: expected a pointer and a length in one i64, got i32 4"):
        caller.call("sum", b"ab", 2, b"")
    assert alive(codec) == 0
    with pytest.raises(TypeError, match="pair: expected an integer, got"):
        caller.call("pair", b"abc")
    with pytest.raises(TypeError, match="packed: expected a pointer and a length"):
        caller.call("packed", b"abc", returns="pair")
    with pytest.raises(ValueError, match="returns: expected one of packed"):
        caller.call("packed", b"abc", returns="other")


def test_a_trap_comes_out(codec):
    with pytest.raises(WasmTrap):
        call_bytes(codec, "fail", b"abc")


@pytest.mark.parametrize("spins", ["alloc", "f"])
def test_a_timeout_is_for_all_of_it(spins):
    store = WasmStore(WasmEngine(WasmConfig(epoch_interruption=True)))
    source = f"""(module (memory (export "memory") 1) (func $spin (param i32) (result i32) (loop (br 0)) (i32.const 0))
        (func (export "alloc") (param i32) (result i32) {"(call $spin (i32.const 0))" if spins == "alloc" else "(i32.const 8)"})
        (func (export "f") (param i32 i32) (result i32) (call $spin (i32.const 0))))"""
    instance = WasmInstance(store, WasmModule(store.engine, source))
    with pytest.raises(WasmTimeout):
        call_bytes(instance, "f", b"x", returns="value", timeout=0.05)


def test_no_room_is_an_error(codec):
    with pytest.raises(WasmtimeError, match="alloc: no room for 70000 bytes"):
        call_bytes(codec, "packed", bytes(70_000))


def test_names_and_kinds_are_checked(codec, run_wat):
    with pytest.raises(KeyError, match="nothing"):
        call_bytes(codec, "nothing")
    with pytest.raises(TypeError, match="instance: expected a WasmInstance, got <WasmExports"):
        ByteCaller(codec.exports)
    with pytest.raises(KeyError, match="missing"):
        ByteCaller(codec, alloc="missing")
    with pytest.raises(TypeError, match="sum: expected one of 1, 2, 3 parameters"):
        ByteCaller(codec, free="sum")
    with pytest.raises(TypeError):
        ByteCaller(codec, alloc="memory")
    bare = run_wat('(module (memory (export "memory") 1) (func (export "f") (param i32 i32)))')
    with pytest.raises(KeyError, match="no export to allocate with, such as alloc"):
        call_bytes(bare, "f", b"x", returns="value")


@pytest.fixture
def run_wat(engine):
    return lambda source: WasmInstance(WasmStore(engine), WasmModule(engine, source))


@pytest.mark.parametrize(
    ("alloc", "params", "size", "free", "free_params"),
    [
        ("malloc", "i32", 0, "free", "i32"),
        ("__wbindgen_malloc", "i32 i32", 0, "__wbindgen_free", "i32 i32 i32"),
        ("cabi_realloc", "i32 i32 i32 i32", 3, "deallocate", "i32 i32"),
    ],
)
def test_usual_allocators_are_found(run_wat, alloc, params, size, free, free_params):
    instance = run_wat(f"""(module (memory (export "memory") 1)
        (global $size (export "size") (mut i32) (i32.const 0))
        (global $freed (export "freed") (mut i32) (i32.const 0))
        (func (export "{alloc}") (param {params}) (result i32)
            (global.set $size (local.get {size})) (i32.const 4096))
        (func (export "{free}") (param {free_params}) (global.set $freed (local.get 0)))
        (func (export "length") (param i32 i32) (result i32) (local.get 1)))""")
    assert call_bytes(instance, "length", b"abcd", returns="value") == 4
    assert (instance.get_global("size").value, instance.get_global("freed").value) == (4, 4096)


def test_pointers_in_the_upper_half_and_of_64_bits(run_wat):
    instance = run_wat("""(module (memory (export "memory") i64 1)
        (func (export "alloc") (param i64) (result i64) (i64.const 256))
        (func (export "pair") (param i64 i64) (result i64 i64) (local.get 0) (local.get 1)))""")
    assert call_bytes(instance, "pair", b"wide", returns="pair") == b"wide"
    assert unsigned(-1) == 0xFFFFFFFF
    assert unsigned(-1, 64) == 2**64 - 1
    assert unsigned(5) == 5


@pytest.mark.parametrize("length_first", [False, True])
@pytest.mark.parametrize(
    "span", [WasmSpan(0, 0), WasmSpan(64, 5), WasmSpan(0xFFFF0000, 0xFFFF), WasmSpan(1, 2**32 - 1)]
)
def test_spans_are_packed_and_unpacked(span, length_first):
    packed = pack_span(span, length_first=length_first)
    assert unpack_span(packed, length_first=length_first) == span
    signed = packed - (1 << 64) if packed >> 63 else packed  # as it comes out of a call
    assert unpack_span(signed, length_first=length_first) == span


def test_a_span_that_does_not_fit_is_refused():
    for span in (WasmSpan(1 << 32, 0), WasmSpan(0, 1 << 32), WasmSpan(-1, 0)):
        with pytest.raises(OverflowError):
            pack_span(span)
