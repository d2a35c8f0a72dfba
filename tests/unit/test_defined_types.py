"""Types that modules define: what they tell, and values that are of another one."""

import pytest

import wasmtime_rt as w

WAT = """(module
  (type $a (struct (field i32))) (type $b (struct (field (mut i64)) (field i8)))
  (type $twin (sub (struct (field i32)))) (type $bytes (array (mut i8)))
  (type $f (func (param i32) (result i32)))
  (import "host" "a" (func $host_a (result i32 (ref null $a) (ref null $a))))
  (import "host" "f" (func $host_f (result (ref null $f))))
  (global (export "global") (mut (ref null $a)) (ref.null $a))
  (table (export "table") 2 (ref null $a)) (table (export "functions") 2 (ref null $f))
  (tag (export "tag") (param i32 (ref null $a)))
  (func (export "a") (result (ref $a)) (struct.new $a (i32.const 1)))
  (func (export "b") (result (ref $b)) (struct.new $b (i64.const 1) (i32.const 2)))
  (func (export "twin") (result (ref $twin)) (struct.new $twin (i32.const 1)))
  (func (export "bytes") (result (ref $bytes)) (array.new $bytes (i32.const 7) (i32.const 3)))
  (func (export "take") (param (ref null $a) i32 (ref null $a)))
  (func (export "call") (param (ref null $f)))
  (func (export "nothing")) (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "out") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "host_a") (result i32 (ref null $a) (ref null $a)) (call $host_a))
  (func (export "host_f") (result (ref null $f)) (call $host_f)))"""

A = "(ref null (struct (field i32)))"
WRONG = r"expected a value of that type, got a WasmStruct of type (ref (struct (field (mut i64)) (field i8)))"


@pytest.fixture
def answers():
    return {}


@pytest.fixture
def f(store, answers):
    """The exports of an instance whose host functions return what ``answers`` holds."""
    host = {"a": lambda: answers["a"], "f": lambda: answers["f"]}
    return w.WasmInstance(store, w.WasmModule(store.engine, WAT), {"host": host}).exports


# ---- What they tell


def test_each_kind_tells_its_own_and_refuses_the_rest(f):
    kinds = {
        "struct": f.b.type.results[0].heap,
        "array": f.bytes.type.results[0].heap,
        "func": f.call.type.params[0].heap,
    }
    told = {"struct": "fields", "array": "element", "func": "func"}
    for kind, heap in kinds.items():
        assert heap.kind == kind
        assert repr(heap) == f"<DefinedType {heap.describe()}>"
        for of, name in told.items():
            if of != kind:
                with pytest.raises(TypeError, match=f"^{name}: expected a type of kind {of}, got .{kind}"):
                    getattr(heap, name)
        with pytest.raises(AttributeError):
            heap.kind = "array"
    assert kinds["struct"].fields == (
        w.WasmFieldType(w.WasmValType.I64, mutable=True),
        w.WasmFieldType("i8"),
    )
    assert kinds["array"].element == w.WasmFieldType("i8", mutable=True)
    assert kinds["func"].func == w.WasmFuncType(["i32"], ["i32"])


def test_none_can_be_made_or_begun_again(f):
    heap = f.b.type.results[0].heap
    for make in (w.DefinedType, type(heap), heap.__init__):
        with pytest.raises(TypeError, match="cannot be made"):
            make()
    assert heap.fields


def test_a_reference_shows_its_type_once_it_is_known(f):
    b = f.b()
    assert repr(b).startswith("<WasmStruct in store ")
    assert len(b) == 2
    assert repr(b).startswith("<WasmStruct (struct (field (mut i64)) (field i8)) in store ")
    made = w.WasmArray(f.b.store, f.bytes.type.results[0], b"abc")
    assert repr(made).startswith("<WasmArray (array (mut i8)) in store ")


# ---- Values of another one


def refused(place, act, *args):
    with pytest.raises(TypeError) as caught:
        act(*args)
    assert str(caught.value) == f"{place}: {WRONG}"
    return caught.value


def test_arguments(f):
    a, b = f.a(), f.b()
    f.take(a, 1, None)
    refused(f"take: argument 0 ({A})", f.take, b, 1, a)
    refused(f"take: argument 2 ({A})", f.take, a, 1, b)
    refused(f"take: argument 2 ({A})", f.take, None, 1, b)
    refused(f"take: argument 2 ({A})", f.take.call_values, a, 1, b)
    typed = f.take.typed(f.take.type.params, [])
    refused(f"take: argument 0 ({A})", typed, b, 1, b)
    refused(f"take: argument 0 ({A})", f.take, f.out(b), 1, a)


def test_functions(f):
    f.call(f.double)
    place = r"call: argument 0 \(\(ref null \(func \(param i32\) \(result i32\)\)\)\)"
    with pytest.raises(
        TypeError, match=f"^{place}: expected a value of that type, got a WasmFunc of type .func.$"
    ):
        f.call(f.nothing)
    with pytest.raises(TypeError, match="^element 0 .*: expected a value of that type, got a WasmFunc of"):
        f.functions[0] = f.nothing


def test_globals_and_tables(f, store):
    b, table, variable = f.b(), f.table, f["global"]
    refused(f"value ({A})", lambda: setattr(variable, "value", b))
    refused(f"value ({A})", w.WasmGlobal, store, variable.type, b)
    refused(f"element 1 ({A})", lambda: table.__setitem__(1, b))
    refused(f"init ({A})", table.grow, 1, b)
    refused(f"init ({A})", w.WasmTable, store, table.type, b)
    assert (variable.value, list(table)) == (None, [None, None])


def test_fields_and_elements(f, store, engine):
    a, b = f.a(), f.b()
    field = w.WasmFieldType(f["global"].type.content, mutable=True)
    pair, many = w.WasmStruct.new_type(engine, [field, field]), w.WasmArray.new_type(engine, field)
    refused(f"struct: item 1 ((mut {A}))", w.WasmStruct, store, pair, [a, b])
    refused(f"array: value ((mut {A}))", w.WasmArray, store, many, [b])
    refused(f"array: item 1 ((mut {A}))", w.WasmArray, store, many, [a, b])
    refused(f"array: value ((mut {A}))", w.WasmArray.filled, store, many, b, 3)
    struct, array = w.WasmStruct(store, pair, [a, None]), w.WasmArray(store, many, [a])
    refused(f"struct: item 1 ((mut {A}))", struct.__setitem__, 1, b)
    refused(f"array: item 0 ((mut {A}))", array.__setitem__, 0, b)
    assert (list(struct), list(array)) == ([a, None], [a])


def test_exceptions(f, store):
    def throw():
        raise w.WasmException(f.tag, 1, f.b())

    refused(f"exception: value 1 ({A})", w.WasmFunc(store, throw, w.WasmFuncType()))


def test_results_of_host_functions(f, answers):
    a, b = f.a(), f.b()
    answers["a"] = 1, a, None
    assert f.host_a() == (1, a, None)
    for answers["a"], number in (((1, a, b), 2), ((1, b, a), 1), ((1, None, b), 2)):
        problem = refused(f"f.<locals>.<lambda>: result {number} ({A})", f.host_a)
        assert "WebAssembly frames" in problem.__notes__[0]
    answers["f"] = f.double
    assert f.host_f() == f.double
    answers["f"] = f.nothing
    with pytest.raises(
        TypeError, match=r"result 0 .*: expected a value of that type, got a WasmFunc of type \(func\)"
    ):
        f.host_f()


def test_imports(f, store):
    module = w.WasmModule(
        store.engine, '(module (type $a (struct (field i32))) (import "" "a" (global (ref null $a))))'
    )
    assert w.WasmInstance(store, module, [f.a()]).is_valid
    with pytest.raises(
        w.LinkError, match="cannot be instantiated: .*expected a value of that type, got a WasmStruct"
    ):
        w.WasmInstance(store, module, [f.b()])


def test_the_same_words_are_not_the_same_type(f):
    with pytest.raises(TypeError, match=r"got a WasmStruct of type .*, another type in the same words$"):
        f.take(f.twin(), 1, None)


def test_what_was_returned_is_not_kept(f, answers, store):
    import gc
    import weakref

    answers["a"] = 1, f.a(), None
    f.host_a()
    kept = weakref.ref(answers["a"][1])
    answers.clear()
    gc.collect()
    assert kept() is None
