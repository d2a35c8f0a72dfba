"""WebAssembly exceptions: thrown there and caught here, thrown here and caught there."""

import gc
import weakref

import pytest

import wasmtime_rt as w

WAT = """(module
  (import "env" "host" (func $host (param i32)))
  (import "env" "tag" (tag $tag (param i32 externref)))
  (tag $own (export "own") (param f64))
  (func (export "throw") (param i32 externref) (throw $tag (local.get 0) (local.get 1)))
  (func (export "throw_own") (param f64) (throw $own (local.get 0)))
  (func (export "call") (param i32) (call $host (local.get 0)))
  (func (export "catch") (param i32) (result i32)
    (block $handler (result i32 externref)
      (try_table (catch $tag $handler) (call $host (local.get 0)))
      (return (i32.const -1)))
    drop)
  (func (export "catch_then_trap") (param i32)
    (block $handler (result i32 externref)
      (try_table (catch $tag $handler) (call $host (local.get 0)))
      (return))
    unreachable)
  (func (export "take") (param i32) (result exnref)
    (block $handler (result exnref)
      (try_table (catch_all_ref $handler) (call $host (local.get 0)))
      (ref.null exn)))
  (func (export "rethrow") (param exnref) (throw_ref (local.get 0)))
  (func (export "null") (param exnref) (result i32) (ref.is_null (local.get 0)))
)"""


@pytest.fixture(scope="module")
def module():
    return w.WasmModule(w.WasmEngine(), WAT)


class World:
    def __init__(self, module):
        self.store = w.WasmStore(module.engine)
        self.tag = w.WasmTag(self.store, w.WasmTagType(w.WasmFuncType(["i32", "externref"])))
        self.raise_ = None
        self.exports = w.WasmInstance(
            self.store, module, {"env": {"host": self.host, "tag": self.tag}}
        ).exports

    def host(self, number):
        if self.raise_ is not None:
            raise self.raise_


@pytest.fixture
def world(module):
    return World(module)


def test_uncaught_with_its_payload(world):
    thing = object()
    with pytest.raises(w.WasmException) as caught:
        world.exports.throw(7, thing)
    exception = caught.value
    assert exception.tag == world.tag
    assert exception.payload[0] == 7
    assert exception.payload[1] is thing
    assert "(tag (param i32 externref)) with (7, " in str(exception)
    assert [frame.func_index for frame in exception.frames] == [1]


def test_tags_tell_exceptions_apart(world):
    with pytest.raises(w.WasmException) as caught:
        world.exports.throw_own(2.5)
    assert (caught.value.tag, caught.value.payload) == (world.exports.own, (2.5,))
    assert caught.value.tag != world.tag


def test_raised_here_and_caught_there(world):
    world.raise_ = w.WasmException(world.tag, 42, "why")
    assert world.exports["catch"](0) == 42
    world.raise_ = None
    assert world.exports["catch"](0) == -1


def test_raised_here_and_caught_nowhere_is_the_same_exception(world):
    world.raise_ = w.WasmException(world.tag, 42, "why")
    with pytest.raises(w.WasmException) as caught:
        world.exports["call"](0)
    assert caught.value is world.raise_
    assert any(entry.name == "host" for entry in caught.traceback)
    assert len(caught.value.frames) == 1


def test_another_tag_passes_the_handler(world):
    world.raise_ = w.WasmException(w.WasmTag(world.store, world.tag.type), 1, None)
    with pytest.raises(w.WasmException) as caught:
        world.exports["catch"](0)
    assert caught.value is world.raise_


def test_a_trap_after_a_caught_exception_is_the_trap(world):
    world.raise_ = w.WasmException(world.tag, 1, None)
    with pytest.raises(w.WasmTrap) as caught:
        world.exports.catch_then_trap(0)
    assert caught.value.code is w.TrapCode.UNREACHABLE_CODE_REACHED


def test_other_exceptions_are_not_caught_there(world):
    world.raise_ = ValueError("mine")
    with pytest.raises(ValueError, match="mine"):
        world.exports["catch"](0)
    with pytest.raises(ValueError, match="mine"):
        world.exports.take(0)


def test_exceptions_are_values(world):
    world.raise_ = w.WasmException(world.tag, 5, "x")
    taken = world.exports.take(0)
    assert isinstance(taken, w.WasmException)
    assert (taken.tag, taken.payload) == (world.tag, (5, "x"))
    with pytest.raises(w.WasmException) as caught:
        world.exports.rethrow(taken)
    assert caught.value.payload == (5, "x")
    assert world.exports.null(w.WasmException(world.tag, 1, None)) == 0
    assert world.exports.null(None) == 1
    with pytest.raises(TypeError, match="expected a WasmException or None, got ValueError"):
        world.exports.null(ValueError())


def test_through_nested_calls(module):
    outer, inner = World(module), None
    inner = w.WasmInstance(outer.store, module, {"env": {"host": lambda _n: None, "tag": outer.tag}}).exports
    outer.host = lambda _n: inner.throw(11, None)
    exports = w.WasmInstance(outer.store, module, {"env": {"host": outer.host, "tag": outer.tag}}).exports
    assert exports["catch"](0) == 11


@pytest.mark.parametrize(
    ("payload", "problem", "text"),
    [
        ((1,), TypeError, "expected 2 values for <WasmTag .*>, got 1"),
        (("one", None), TypeError, r"value 0 \(i32\): expected an integer"),
        ((2**40, None), OverflowError, r"value 0 \(i32\)"),
    ],
)
def test_a_payload_that_does_not_fit(world, payload, problem, text):
    world.raise_ = w.WasmException(world.tag, *payload)
    with pytest.raises(problem, match=text) as caught:
        world.exports["catch"](0)
    assert caught.value.__cause__ is world.raise_


def test_an_exception_of_another_store_is_a_host_exception(world, module):
    other = World(module)
    world.raise_ = w.WasmException(other.tag, 1, None)
    with pytest.raises(w.WasmException) as caught:
        world.exports["catch"](0)
    assert caught.value is world.raise_


def test_an_exception_that_another_store_holds_is_a_host_exception(world, module):
    other = World(module)
    held = w.WasmTable(other.store, w.WasmTableType("exnref", 1), w.WasmException(other.tag, 1, None))[0]

    def raising():
        raise held

    with pytest.raises(w.WasmException) as caught:
        w.WasmFunc(world.store, raising, w.WasmFuncType())()
    assert caught.value is held


def test_a_tag_that_is_none_and_broken_does_not_hide_it():
    class Broken:
        type = property(lambda self: 1 / 0)

        def __str__(self):
            raise RuntimeError

        __repr__ = __str__

    assert str(w.WasmException(Broken(), 1)) == "WebAssembly exception an object whose repr() fails with (1)"
    assert str(w.WasmException("no tag")) == "WebAssembly exception 'no tag' with ()"


def test_a_payload_with_a_broken_repr_does_not_hide_it(world):
    class Broken:
        def __repr__(self):
            raise ValueError

    assert "whose repr() fails" in str(w.WasmException(world.tag, 1, Broken()))


def test_nothing_stays_pending(world):
    for _ in range(3):
        with pytest.raises(w.WasmException):
            world.exports.throw(1, None)
        world.raise_ = w.WasmException(world.tag, 2, None)
        assert world.exports["catch"](0) == 2


def test_an_exception_in_the_start_function(module):
    engine = module.engine
    start = w.WasmModule(
        engine, "(module (tag $t (param i32)) (func $f (throw $t (i32.const 3))) (start $f))"
    )
    with pytest.raises(w.WasmException) as caught:
        w.WasmInstance(w.WasmStore(engine), start)
    assert caught.value.payload == (3,)


def test_a_tag_has_no_results(world):
    with pytest.raises(TypeError, match="a tag has no results"):
        w.WasmTag(world.store, w.WasmTagType(w.WasmFuncType([], ["i32"])))
    with pytest.raises(TypeError, match="expected a WasmTagType"):
        w.WasmTag(world.store, None)


def test_a_caught_exception_is_let_go(world):
    world.raise_ = w.WasmException(world.tag, 1, None)
    gone = weakref.ref(world.raise_)
    assert world.exports["catch"](0) == 1
    world.raise_ = None
    world.exports["catch"](0)
    gc.collect()
    assert gone() is None


def test_it_keeps_its_store_usable_and_a_dropped_store_goes(module):
    world = World(module)
    with pytest.raises(w.WasmException) as caught:
        world.exports.throw(1, None)
    store = weakref.ref(world.store)
    del world
    exception = caught.value
    assert exception.tag.is_valid
    del caught, exception
    gc.collect()
    assert store() is None
