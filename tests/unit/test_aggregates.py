"""Structs, arrays, i31 and externalized values as Python objects."""

import gc
import pickle
from collections.abc import Sequence

import pytest

import wasmtime_rt as w

WAT = """(module
  (type $point (struct (field $x (mut f64)) (field $y f64) (field $tag (mut i8)) (field $next (mut (ref null eq)))))
  (type $sub (sub (struct (field i32))))
  (type $subsub (sub $sub (struct (field i32) (field i32))))
  (type $bytes (array (mut i8)))
  (type $consts (array i64))
  (func (export "point") (param f64 f64) (result (ref $point))
    (struct.new $point (local.get 0) (local.get 1) (i32.const 200) (ref.null eq)))
  (func (export "x") (param (ref $point)) (result f64) (struct.get $point $x (local.get 0)))
  (func (export "tag") (param (ref $point)) (result i32) (struct.get_u $point $tag (local.get 0)))
  (func (export "subsub") (result (ref $sub)) (struct.new $subsub (i32.const 1) (i32.const 2)))
  (func (export "sub") (param (ref null $sub)) (result i32) (ref.is_null (local.get 0)))
  (func (export "bytes") (param i32) (result (ref $bytes)) (array.new $bytes (i32.const 7) (local.get 0)))
  (func (export "consts") (result (ref $consts)) (array.new_fixed $consts 2 (i64.const 1) (i64.const 2)))
  (func (export "sum") (param (ref $bytes)) (result i32) (local $i i32) (local $s i32)
    (loop $l
      (if (i32.lt_u (local.get $i) (array.len (local.get 0))) (then
        (local.set $s (i32.add (local.get $s) (array.get_u $bytes (local.get 0) (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $l))))
    (local.get $s))
  (func (export "i31") (param i32) (result (ref i31)) (ref.i31 (local.get 0)))
  (func (export "get") (param i31ref) (result i32) (i31.get_s (local.get 0)))
  (func (export "any") (param anyref) (result anyref) (local.get 0))
  (func (export "eq") (param eqref) (result eqref) (local.get 0))
  (func (export "struct") (param structref) (result i32) (ref.is_null (local.get 0)))
  (func (export "externalize") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "internalize") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "same") (param eqref eqref) (result i32) (ref.eq (local.get 0) (local.get 1)))
  (func (export "test_any_is_host") (param anyref) (result i32) (ref.test (ref eq) (local.get 0)))
)"""


@pytest.fixture(scope="module")
def module():
    return w.WasmModule(w.WasmEngine(), WAT)


@pytest.fixture
def store(module):
    return w.WasmStore(module.engine)


@pytest.fixture
def f(module, store):
    return w.WasmInstance(store, module).exports


def point_type(f):
    return f.x.type.params[0]


def test_a_struct_is_its_values_by_number(f):
    point = f.point(1.5, 2.5)
    assert isinstance(point, w.WasmStruct)
    assert isinstance(point, w.WasmRef)
    assert (len(point), list(point)) == (4, [1.5, 2.5, 200, None])
    point[0] = 9.0
    point[-2] = 0x1FF
    assert (f.x(point), f.tag(point)) == (9.0, 255)
    assert point[2] == 255  # packed fields are read as unsigned


def test_fields_that_are_references(f):
    first, second = f.point(1, 2), f.point(3, 4)
    first[3] = second
    assert first[3] == second
    assert first[3][0] == 3.0
    first[3] = w.WasmI31(-5)
    assert first[3] == w.WasmI31(-5)


@pytest.mark.parametrize(
    ("act", "problem", "text"),
    [
        (lambda p: p[4], IndexError, "expected an index below 4, got 4"),
        (lambda p: p.__setitem__(1, 1.0), TypeError, "item 1 is immutable"),
        (lambda p: p.__setitem__(0, "x"), TypeError, r"item 0 \(\(mut f64\)\): expected a real number"),
        (lambda p: p.__setitem__(3, object()), TypeError, "expected a value of type eqref"),
        (lambda p: p.__setitem__("a", 1), TypeError, "str"),
    ],
)
def test_what_a_struct_refuses(f, act, problem, text):
    with pytest.raises(problem, match=text):
        act(f.point(1, 2))


def test_types_tell_their_fields(f):
    point = f.point(1, 2)
    assert [str(field) for field in point.fields] == ["(mut f64)", "f64", "(mut i8)", "(mut eqref)"]
    assert point.type == point_type(f)
    assert f.consts().element == w.WasmFieldType("i64")


def test_structs_made_in_python(store, f):
    point = w.WasmStruct(store, point_type(f), [1, 2, -1, None])
    assert (f.x(point), f.tag(point)) == (1.0, 255)
    with pytest.raises(TypeError, match="struct: expected 4 values, got 1"):
        w.WasmStruct(store, point_type(f), [1])
    with pytest.raises(TypeError, match=r"item 1 \(f64\)"):
        w.WasmStruct(store, point_type(f), [1, "2", 0, None])
    with pytest.raises(TypeError, match="expected a struct type"):
        w.WasmStruct(store, w.WasmValType.STRUCTREF, [])
    with pytest.raises(TypeError, match="expected a struct type"):
        w.WasmStruct(store, f.sum.type.params[0], [])
    other = w.WasmStore(w.WasmEngine())
    with pytest.raises(w.WrongEngineError):
        w.WasmStruct(other, point_type(f), [1, 2, 3, None])


def test_types_made_in_python_equal_those_of_modules(module, store, f):
    made = w.WasmArray.new_type(module.engine, w.WasmFieldType("i8", mutable=True))
    assert made == f.sum.type.params[0]
    assert f.sum(w.WasmArray(store, made, [1, 2, 253])) == 256
    pair = w.WasmStruct.new_type(module.engine, [w.WasmFieldType(made), w.WasmFieldType("i16")])
    nested = w.WasmStruct(store, pair, [w.WasmArray(store, made, b"ab"), 65537])
    assert (list(nested[0]), nested[1]) == ([97, 98], 1)
    with pytest.raises(w.WrongEngineError):
        w.WasmStruct.new_type(w.WasmEngine(), [w.WasmFieldType(made)])
    with pytest.raises(TypeError, match="field 0: expected a WasmFieldType"):
        w.WasmStruct.new_type(module.engine, ["i32"])
    with pytest.raises(ValueError, match="at most 10000"):
        w.WasmStruct.new_type(module.engine, [w.WasmFieldType("i32")] * 10_001)
    assert len(w.WasmStruct.new_type(module.engine, [w.WasmFieldType("i32")] * 10_000).heap.fields) == 10_000


def test_arrays_are_sequences(f):
    array = f.bytes(3)
    assert isinstance(array, w.WasmArray)
    assert (len(array), list(array), array[1:]) == (3, [7, 7, 7], [7, 7])
    array[-1] = 300
    assert (array[2], f.sum(array)) == (44, 58)
    with pytest.raises(IndexError, match="expected an index below 3, got 3"):
        array[3]
    with pytest.raises(TypeError, match="item 0 is immutable"):
        f.consts()[0] = 1


def test_arrays_made_in_python(store, f):
    bytes_type, consts = f.sum.type.params[0], f.consts().type
    assert list(w.WasmArray.filled(store, bytes_type, 3, 4)) == [3, 3, 3, 3]
    assert list(w.WasmArray(store, bytes_type, [])) == []
    assert list(w.WasmArray(store, consts, [5, 5])) == [5, 5]
    with pytest.raises(TypeError, match="immutable: all of its values must be the same"):
        w.WasmArray(store, consts, [5, 6])
    with pytest.raises(ValueError, match=r"0 to 2\*\*32 - 1"):
        w.WasmArray.filled(store, bytes_type, 0, 2**32)
    with pytest.raises(w.WasmtimeError):
        w.WasmArray.filled(store, bytes_type, 0, 2**32 - 1)


def test_i31_values(f):
    assert f.i31(-7) == w.WasmI31(-7)
    assert (f.i31(2**30).value, f.i31(2**30).unsigned) == (-(2**30), 2**30)
    assert f["get"](w.WasmI31(2**31 - 1)) == -1
    assert f["get"](12) == 12
    assert int(w.WasmI31(3).__index__()) == 3
    assert {w.WasmI31(1), w.WasmI31(1)} == {w.WasmI31(1)}
    assert pickle.loads(pickle.dumps(w.WasmI31(-1))) == w.WasmI31(-1)
    for bad in (2**31, -(2**30) - 1):
        with pytest.raises(OverflowError):
            w.WasmI31(bad)
    with pytest.raises(AttributeError):
        w.WasmI31(1)._number = 2
    assert w.to_wasm(w.WasmI31(4)).type == w.WasmValType.I31REF


def test_python_objects_are_anyrefs_too(f):
    thing = object()
    assert f["any"](thing) is thing
    assert f.test_any_is_host(thing) == 0
    assert f.externalize(thing) is thing
    assert f.internalize(thing) is thing
    with pytest.raises(TypeError, match="eqref"):
        f.eq(thing)


def test_externalized_values_have_a_type_of_their_own(store, f):
    for value in (f.point(1, 2), f.bytes(1), w.WasmI31(9)):
        outside = f.externalize(value)
        assert type(outside) is w.WasmExternalized
        assert outside.value == value
        assert f["extern"](outside) == outside
        assert f.internalize(outside) == value
        assert f["any"](outside) == value
        assert f["extern"](value) == outside
    table = w.WasmTable(store, w.WasmTableType("externref", 1), f.point(5, 6))
    assert table[0].value[0] == 5.0


def test_equal_means_the_same_thing(f):
    point, other = f.point(1, 2), f.point(1, 2)
    assert point == f["any"](point)
    assert hash(point) == hash(f["any"](point))
    assert point != other
    assert f.same(point, f.eq(point)) == 1
    assert f.same(point, other) == 0


def test_wrong_types_are_refused(f):
    with pytest.raises(TypeError, match="structref"):
        f.struct(f.bytes(1))
    with pytest.raises(TypeError, match="i31ref"):
        f["get"](f.point(1, 2))
    with pytest.raises(
        TypeError, match=r"^x: argument 0 \(.*\): expected a value of that type, got a WasmStruct of"
    ):
        f.x(f.subsub())
    with pytest.raises(TypeError, match="expected None, its only value"):
        w.to_wasm(f.point(1, 2), w.WasmValType.NULLREF)


def test_casts_know_declared_supertypes(f):
    subsub, sub = f.subsub(), f.sub.type.params[0]
    assert subsub.matches(sub)
    assert subsub.matches(w.WasmValType.STRUCTREF)
    assert subsub.matches(subsub.type)
    assert not subsub.matches(w.WasmValType.ARRAYREF)
    assert not subsub.matches(point_type(f))
    assert not subsub.matches(w.WasmValType.EXTERNREF)
    assert not f.point(1, 2).matches(sub)


def test_another_store_is_refused(module, f):
    point = f.point(1, 2)
    with pytest.raises(w.WrongStoreError):
        w.WasmInstance(w.WasmStore(module.engine), module).exports.x(point)


def test_after_close(store, f):
    point, array = f.point(1, 2), f.bytes(2)
    store.close()
    for act in (lambda: point[0], lambda: len(array), lambda: point.type, lambda: list(array)):
        with pytest.raises(w.StoreClosedError):
            act()
    assert "WasmStruct" in repr(point)
    hash(point)


def test_held_references_survive_collections_and_the_rest_goes(store, f):
    point = f.point(1, 2)
    kept = [f.bytes(1000) for _ in range(50)]
    store.gc()
    assert (point[1], sum(map(len, kept))) == (2.0, 50_000)
    limited = w.WasmStore(f.x.store.engine, limits=w.StoreLimits(memory_size=1 << 20))
    bytes_type = f.sum.type.params[0]
    for _ in range(500):  # many times the heap, each let go
        w.WasmArray.filled(limited, bytes_type, 0, 50_000)
    hoard = []
    with pytest.raises(w.WasmtimeError):
        hoard.extend(w.WasmArray.filled(limited, bytes_type, 0, 50_000) for _ in range(500))
    assert 0 < len(hoard) < 25
    del hoard
    gc.collect()
    assert len(w.WasmArray.filled(limited, bytes_type, 0, 50_000)) == 50_000


def test_host_functions_take_and_give_them(store, module):
    given = []
    point = w.WasmInstance(store, module).exports.point.type.results[0]
    func = w.WasmFunc(store, lambda p: given.append(p) or p, w.WasmFuncType([point], [point]))
    p = w.WasmStruct(store, point, [1, 2, 3, None])
    assert func(p) == p
    assert given == [p]


def test_they_cannot_be_made_copied_or_pickled(f):
    point = f.point(1, 2)
    with pytest.raises(TypeError, match="lives in its store"):
        pickle.dumps(point)
    with pytest.raises(TypeError, match="cannot be made"):
        w.WasmExternalized()


def test_globals_and_tables_hold_them(store, f):
    point = f.point(1, 2)
    held = w.WasmGlobal(store, w.WasmGlobalType("anyref", mutable=True), point)
    assert held.value == point
    held.value = w.WasmI31(3)
    assert held.get_value().value == w.WasmI31(3)
    table = w.WasmTable(store, w.WasmTableType(w.WasmValType.ref(point.type.heap), 2), None)
    table[1] = point
    assert table[1] == point
    with pytest.raises(
        TypeError, match=r"^element 0 \(.*\): expected a value of that type, got a WasmStruct of"
    ):
        table[0] = f.subsub()


def test_half_made_ones_and_second_initialisations(store, f):
    for cls in (w.WasmStruct, w.WasmArray, w.WasmExternalized):
        empty = cls.__new__(cls)
        assert repr(empty) == f"<{cls.__name__} nowhere>" or cls is w.WasmExternalized
        hash(empty)
        assert empty != f.point(1, 2)
        with pytest.raises(w.ClosedError, match="never initialised"):
            f["any"](empty)
    for act in (lambda e: e[0], len, list, lambda e: e.type, lambda e: e.__setitem__(0, 1)):
        with pytest.raises(w.ClosedError, match="never initialised"):
            act(w.WasmStruct.__new__(w.WasmStruct))
    point = f.point(1, 2)
    with pytest.raises(TypeError, match="initialised already"):
        point.__init__(store, point_type(f), [1, 2, 3, None])
    with pytest.raises(TypeError, match="cannot be made"):
        f.externalize(point).__init__()

    class Sub(w.WasmStruct):
        def __init__(self):
            pass

    with pytest.raises(w.ClosedError, match="never initialised"):
        Sub()[0]


def test_arrays_have_what_sequences_have(store, module):
    numbers = w.WasmArray.new_type(module.engine, w.WasmFieldType("i32", mutable=True))
    array = w.WasmArray(store, numbers, [5, 6, 5])
    assert isinstance(array, Sequence)
    assert (array.index(6), array.count(5), 7 in array, 6 in array) == (1, 2, False, True)
    assert list(reversed(array)) == [5, 6, 5]
    match array:
        case [first, *rest]:
            assert (first, rest) == (5, [6, 5])
        case _:
            pytest.fail("no sequence")
    with pytest.raises(ValueError):
        array.index(9)


def test_values_with_types(store, f):
    point, array, outside = f.point(1, 2), f.bytes(2), f.externalize(w.WasmI31(3))
    thrown = w.WasmException(w.WasmTag(store, w.WasmTagType(w.WasmFuncType())))
    natural = {
        "structref": point,
        "arrayref": array,
        "externref": outside,
        "exnref": thrown,
        "i31ref": w.WasmI31(3),
    }
    for name, value in natural.items():
        assert str(w.to_wasm(value).type) == name
        assert w.to_wasm(value).value is value
    for name, good, bad in (
        ("structref", [point, outside, None], [array, w.WasmI31(3), "x", 5]),
        ("arrayref", [array], [point, "x"]),
        ("eqref", [point, array, w.WasmI31(3)], ["x", 5]),
        ("i31ref", [w.WasmI31(3), 5], [point, "x", 1.5]),
        ("anyref", [point, w.WasmI31(3), "x", 5, object()], []),
        ("exnref", [thrown], [point, "x", ValueError()]),
    ):
        valtype = w.WasmValType.parse(name)
        assert [value for value in good if not w.is_wasm_convertible(value, valtype)] == []
        assert [value for value in bad if w.is_wasm_convertible(value, valtype)] == []
    with pytest.raises(OverflowError, match="i31ref: expected an integer from"):
        w.to_wasm(2**31, w.WasmValType.I31REF)
    defined = f.x.type.params[0]
    assert f.x(w.to_wasm(point, defined)) == 1.0
    with pytest.raises(TypeError, match="expected a value of that type, got <WasmArray"):
        w.to_wasm(array, defined)
