"""References: any Python object as externref, functions as funcref, and what is opaque."""

import pytest

from wasmtime_rt import (
    StoreLimits,
    WasmFieldType,
    WasmFunc,
    WasmFuncType,
    WasmGlobal,
    WasmGlobalType,
    WasmInstance,
    WasmModule,
    WasmRef,
    WasmStore,
    WasmStruct,
    WasmTable,
    WasmTableType,
    WasmtimeError,
    WasmTrap,
    WasmValType,
    WasmValue,
    WrongStoreError,
)

ECHO = """(module
    (func (export "extern") (param externref) (result externref) (local.get 0))
    (func (export "func") (param funcref) (result funcref) (local.get 0))
    (func (export "strict") (param (ref extern)) (result (ref extern)) (local.get 0))
    (func (export "is_null") (param externref) (result i32) (ref.is_null (local.get 0)))
    (func (export "twice") (param externref) (result externref externref) (local.get 0) (local.get 0)))"""

GC = """(module
    (type $point (struct (field (mut i32))))
    (func (export "new") (param i32) (result (ref $point)) (struct.new $point (local.get 0)))
    (func (export "get") (param (ref null $point)) (result i32) (struct.get $point 0 (local.get 0)))
    (func (export "set") (param (ref $point) i32) (struct.set $point 0 (local.get 0) (local.get 1)))
    (func (export "i31") (param i32) (result i31ref) (ref.i31 (local.get 0)))
    (func (export "from_i31") (param i31ref) (result i32) (i31.get_s (local.get 0)))
    (func (export "any") (param anyref) (result anyref) (local.get 0))
    (func (export "to_extern") (param anyref) (result externref) (extern.convert_any (local.get 0)))
    (func (export "to_any") (param externref) (result anyref) (any.convert_extern (local.get 0))))"""


class Anything:
    pass


@pytest.fixture
def echo(run):
    return run(ECHO).exports


@pytest.mark.parametrize(
    "thing",
    [
        Anything(),
        Anything,
        "text",
        5,
        2**100,
        1.5,
        b"sixteen bytes!!!",
        (),
        [1],
        {"a": 1},
        print,
        True,
        NotImplemented,
    ],
)
def test_any_object_comes_back_as_itself(echo, thing):
    assert echo.extern(thing) is thing
    assert echo.strict(thing) is thing
    assert echo.extern(WasmValue.externref(thing)) is thing
    assert echo.twice(thing)[1] is thing
    assert echo.is_null(thing) == 0


def test_none_is_null(echo):
    assert echo.extern(None) is None
    assert echo.func(None) is None
    assert echo.is_null(None) == 1
    assert echo.extern(WasmValue.externref(None)) is None
    with pytest.raises(
        TypeError, match=r"strict: argument 0 \(\(ref extern\)\): expected a reference that is not null"
    ):
        echo.strict(None)


def test_functions_come_back_equal(echo, store):
    host = WasmFunc(store, lambda: 7, WasmFuncType([], ["i32"]))
    assert echo.func(host) == host
    assert echo.func(host)() == 7
    assert echo.func(echo.func) == echo.func
    assert echo.func(echo["is_null"]).type == WasmFuncType(["externref"], ["i32"])
    assert echo.extern(host) is host
    with pytest.raises(
        TypeError, match=r"func: argument 0 \(funcref\): expected a WasmFunc or None, got str"
    ):
        echo.func("text")


def test_objects_of_the_library_are_objects_too(echo, store, engine):
    other = WasmStore(engine)
    for thing in (store, other, echo, WasmGlobal(other, WasmGlobalType(WasmValType.I32), 1), WasmValType.I32):
        assert echo.extern(thing) is thing


def test_one_object_goes_by_many_ways_at_once(run, store):
    thing = Anything()
    table = WasmTable(store, WasmTableType(WasmValType.EXTERNREF, 1), thing)
    glob = WasmGlobal(store, WasmGlobalType(WasmValType.EXTERNREF), thing)
    seen = []
    run(
        """(module (import "e" "t" (table 1 externref)) (import "e" "g" (global externref))
        (import "e" "f" (func $f (param externref externref) (result externref)))
        (func $s (drop (call $f (table.get 0 (i32.const 0)) (global.get 0)))) (start $s))""",
        {"e": {"t": table, "g": glob, "f": lambda a, b: seen.extend((a, b))}},
    )
    assert seen == [thing, thing]
    assert seen[0] is thing


def test_references_reach_host_functions(run, store):
    seen = []

    def look(reference, function):
        seen.append((reference, function()))
        return function, reference

    call = run(
        """(module (type $t (func (param externref funcref) (result funcref externref)))
        (import "e" "f" (func $f (type $t)))
        (func (export "g") (type $t) (call $f (local.get 0) (local.get 1))))""",
        [look],
    ).exports.g
    thing, function = Anything(), WasmFunc(store, lambda: 3, WasmFuncType([], ["i32"]))
    assert call(thing, function) == (function, thing)
    assert seen == [(thing, 3)]


def test_functions_of_another_store_are_refused(echo, engine):
    other = WasmFunc(WasmStore(engine), lambda: None, WasmFuncType())
    with pytest.raises(WrongStoreError, match=r"func: argument 0 \(funcref\): .* lives in store"):
        echo.func(other)


def test_engine_objects_are_opaque_and_can_be_passed_on(run):
    exports = run(GC).exports
    point = exports.new(5)
    assert isinstance(point, WasmRef)
    assert exports["get"](point) == 5
    exports.set(point, 6)
    assert exports["get"](exports.any(point)) == 6
    assert exports.from_i31(exports.i31(-3)) == -3
    assert exports["any"](None) is None
    assert repr(point).startswith("<WasmStruct in store ")
    with pytest.raises(WasmTrap, match="null"):
        exports["get"](None)
    with pytest.raises(TypeError, match="not null"):
        exports.set(None, 1)


def test_an_engine_object_keeps_its_content_across_collections(run, store):
    exports = run(GC).exports
    points = [exports.new(i) for i in range(100)]
    store.gc()
    assert [exports["get"](point) for point in points] == list(range(100))


def test_a_reference_of_another_type_is_refused(run):
    exports = run(GC).exports
    with pytest.raises((TypeError, WasmtimeError)):
        exports["get"](exports.i31(1))
    with pytest.raises(TypeError, match=r"argument 0 \(i31ref\)"):
        exports.from_i31("text")
    assert exports["get"](exports.new(1)) == 1


def test_an_engine_object_of_another_store_is_refused(engine):
    module = WasmModule(engine, GC)
    first, second = (WasmInstance(WasmStore(engine), module).exports for _ in range(2))
    with pytest.raises(WrongStoreError):
        second["get"](first.new(1))


def test_an_engine_object_cannot_be_made():
    with pytest.raises(TypeError, match="comes out of WebAssembly"):
        WasmRef()


def test_an_engine_object_as_externref_comes_back(run):
    exports = run(GC).exports
    outside = exports.to_extern(exports.new(8))
    assert isinstance(outside, WasmRef)
    assert exports["get"](exports.to_any(outside)) == 8


def test_a_host_object_goes_in_as_externref_and_comes_back_from_anyref(run):
    exports = run(GC).exports
    thing = Anything()
    assert exports.to_extern(exports.to_any(thing)) is thing


def test_functions_are_called_through_references(run, store):
    apply = run(
        """(module (type $t (func (param i32) (result i32)))
        (func (export "apply") (param (ref null $t) i32) (result i32) (call_ref $t (local.get 1) (local.get 0))))"""
    ).exports.apply
    assert apply(WasmFunc(store, lambda x: x + 1, WasmFuncType(["i32"], ["i32"])), 4) == 5
    with pytest.raises((TypeError, WasmtimeError)):
        apply(WasmFunc(store, lambda: None, WasmFuncType()), 4)
    with pytest.raises(WasmTrap):
        apply(None, 4)


def test_many_objects(echo, store):
    things = [Anything() for _ in range(1000)]
    assert all(echo.extern(thing) is thing for thing in things)
    store.gc()
    assert all(echo.extern(thing) is thing for thing in things)


def test_what_finds_no_room_in_the_heap_is_not_kept(engine):
    store = WasmStore(engine, limits=StoreLimits(memory_size=1 << 16))
    same = WasmInstance(store, WasmModule(engine, ECHO)).exports.extern
    kind = WasmStruct.new_type(engine, [WasmFieldType("externref")])
    kept = []
    with pytest.raises(WasmtimeError, match="heap"):
        while True:
            kept.append(WasmStruct(store, kind, [None]))
    refused = 0
    for _ in range(10):
        held = len(store._core.objects)
        try:
            same(object())
        except WasmtimeError:
            refused += 1
            assert len(store._core.objects) <= held
    assert refused > 0
