"""Host functions that ask who calls them: exports of that instance, data of its store, and the end of it."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

import wasmtime_rt as w
from wasmtime_rt import I32, WasmCaller, WasmFunc, WasmInstance, WasmModule, WasmStore, with_caller

if TYPE_CHECKING:
    from wasmtime_rt import WasmCaller as OnlyForTypes

SAYS = """(module
    (import "env" "say" (func $say (param i32 i32)))
    (memory (export "memory") 1) (data (i32.const 8) "%s")
    (func (export "run") (call $say (i32.const 8) (i32.const 5))))"""


def run_with(engine, say, text="hello"):
    module = WasmModule(engine, SAYS % text)
    WasmInstance(WasmStore(engine), module, {"env": {"say": say}}).exports.run()


def test_the_annotation_of_the_first_parameter_asks_for_the_caller(engine):
    heard = []

    def say(caller: WasmCaller, at: I32, length: I32) -> None:
        heard.append(caller.get_memory().read_utf8(at, length))

    run_with(engine, say)
    assert heard == ["hello"]
    assert str(WasmFunc(WasmStore(engine), say).type) == "(func (param i32 i32))"


def test_one_host_function_serves_instances_with_a_memory_each(engine):
    heard = []

    def say(caller: WasmCaller, at: I32, length: I32) -> None:
        heard.append(caller.get_memory().read_utf8(at, length))

    store = WasmStore(engine)
    func = WasmFunc(store, say)
    for text in ("first", "other"):
        WasmInstance(store, WasmModule(engine, SAYS % text), [func]).exports.run()
    assert heard == ["first", "other"]


class Says:
    def __init__(self):
        self.heard = []

    def method(self, caller: WasmCaller, at: I32, length: I32) -> None:
        self.heard.append(caller.get_memory().read_utf8(at, length))

    __call__ = method

    @classmethod
    def of_class(cls, caller: WasmCaller, at, length):
        cls.seen = caller.get_memory().read_utf8(at, length)

    @staticmethod
    def static(caller: WasmCaller, at, length):
        Says.seen = caller.get_memory().read_utf8(at, length)


def test_methods_and_callable_objects_can_ask(engine):
    says = Says()
    run_with(engine, says.method)
    run_with(engine, says, "again")
    assert says.heard == ["hello", "again"]
    run_with(engine, Says.of_class, "class")
    assert Says.seen == "class"
    run_with(engine, says.static, "stat.")
    assert Says.seen == "stat."


def test_a_decorated_function_is_asked_for_what_it_wraps(engine):
    heard = []

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args):
            heard.append(type(args[0]))
            return function(*args)

        return wrapper

    @logged
    def say(caller: WasmCaller, at: I32, length: I32) -> None:
        heard.append(caller.get_memory().read_utf8(at, length))

    run_with(engine, say)
    assert heard == [WasmCaller, "hello"]
    assert len(WasmFunc(WasmStore(engine), say).type.params) == 2


def test_spellings_of_the_annotation(engine):
    heard = []

    def dotted(caller: w.WasmCaller, at, length):
        heard.append(caller.get_memory().read_utf8(at, length))

    def quoted(caller: "WasmCaller", at, length):  # noqa: UP037
        heard.append(caller.get_memory().read_utf8(at, length))

    def real(caller, at, length):
        heard.append(caller.get_memory().read_utf8(at, length))

    real.__annotations__["caller"] = WasmCaller

    for function in (dotted, quoted, real):
        run_with(engine, function)
    assert heard == ["hello"] * 3


def test_an_annotation_that_only_type_checkers_resolve_is_no_caller_but_the_name_is(engine):
    def unknown(first: OnlyForTypes, second):
        assert (first, second) == (8, 5)

    run_with(engine, unknown)
    heard = []
    source = """
def named(caller: WasmCaller, at: I32, length: I32) -> None:
    heard.append(caller.get_memory().read_utf8(at, length))
"""
    names = {"heard": heard, "I32": I32}  # WasmCaller is not among them
    exec(compile("from __future__ import annotations\n" + source, "named.py", "exec"), names)
    run_with(engine, names["named"])
    assert heard == ["hello"]
    assert len(WasmFunc(WasmStore(engine), names["named"]).type.params) == 2


def test_a_caller_further_back_is_a_parameter_like_others(engine):
    def say(at, length: WasmCaller):
        assert (at, length) == (8, 5)

    run_with(engine, say)


def test_what_cannot_be_annotated_is_wrapped(engine):
    heard = []
    run_with(engine, with_caller(lambda caller, at, n: heard.append(caller.get_memory().read_utf8(at, n))))
    run_with(engine, with_caller(functools.partial(lambda *given: heard.append(len(given)), "bound")))
    assert heard == ["hello", 4]


def test_with_caller_decorates(engine):
    @with_caller
    def say(caller, at: I32, length: I32) -> None:
        """Say it."""

    assert say.__name__ == "say"
    assert say.__doc__ == "Say it."
    assert "with_caller" in repr(say)
    assert say("anything", 1, 2) is None
    assert str(WasmFunc(WasmStore(engine), say).type) == "(func (param i32 i32))"
    with pytest.raises(TypeError, match="takes its caller already"):
        with_caller(say)

    async def never(caller):
        pass

    with pytest.raises(TypeError, match="async def"):
        with_caller(never)
    with pytest.raises(TypeError, match="expected a callable"):
        with_caller(7)


# ---- What it offers

EXPORTS = """(module
    (import "env" "ask" (func $ask))
    (memory (export "memory") 1 3)
    (memory (export "wide") i64 1 0x1000000000)
    (table (export "table") 2 5 funcref)
    (table (export "wide table") i64 3 0x100000000000 externref)
    (global (export "vector") (mut v128) (v128.const i64x2 1 2))
    (global (export "reference") (ref null any) (ref.i31 (i32.const 5)))
    (tag (export "tag") (param i64))
    (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (type $point (struct (field i32)))
    (func (export "point") (result (ref $point)) (struct.new $point (i32.const 3)))
    (func (export "run") (call $ask)))"""


def test_every_kind_of_export_is_what_the_instance_itself_says(engine):
    seen = {}

    def ask(caller: WasmCaller) -> None:
        for name in seen:
            seen[name] = caller.get_export(name)

    instance = WasmInstance(WasmStore(engine), WasmModule(engine, EXPORTS), {"env": {"ask": ask}})
    seen.update(dict.fromkeys(instance.exports))
    instance.exports.run()
    for name, export in instance.exports.items():
        assert seen[name] == export
        assert seen[name].type == export.type, name
    assert seen["double"](21) == 42
    assert seen["double"].name == "double"
    seen["table"][0] = seen["double"]
    assert instance.exports.table[0](4) == 8
    assert seen["wide table"].type.max == 1 << 44


def test_kinds_are_checked_and_names_that_are_missing_are_told(engine):
    raised = []

    def ask(caller: WasmCaller) -> None:
        assert caller.get_func("double")(2) == 4
        assert caller.get_global("vector").value == (1).to_bytes(8, "little") + (2).to_bytes(8, "little")
        assert len(caller.get_table("table")) == 2
        for name in ("absent", "", "mem\0ory", "\ud800", "äöü"):
            with pytest.raises(KeyError, match="in the instance that calls"):
                caller.get_export(name)
        with pytest.raises(TypeError, match="expected a WasmFunc, got <WasmMemory"):
            caller.get_func("memory")
        with pytest.raises(TypeError, match="name: expected str"):
            caller.get_export(b"memory")
        raised.append("none")

    WasmInstance(WasmStore(engine), WasmModule(engine, EXPORTS), [ask]).exports.run()
    assert raised == ["none"]


def test_imported_and_exported_again_has_the_type_that_it_is(engine):
    store = WasmStore(engine)
    table = w.WasmTable(store, w.WasmTableType(w.WasmValType.FUNCREF, 7, 9))
    memory = w.WasmMemory(store, w.WasmMemoryType(2, 4))
    seen = []

    def ask(caller: WasmCaller) -> None:
        seen.extend([caller.get_table("t"), caller.get_memory("m")])

    module = """(module (import "" "f" (func $f)) (import "" "t" (table 1 funcref)) (import "" "m" (memory 1))
        (export "t" (table 0)) (export "m" (memory 0)) (func (export "run") (call $f)))"""
    WasmInstance(store, WasmModule(engine, module), [ask, table, memory]).exports.run()
    assert seen == [table, memory]
    assert [item.type for item in seen] == [table.type, memory.type]


def test_shared_memories(engine):
    engine = w.WasmEngine(w.WasmConfig(shared_memory=True))
    seen = []

    def ask(caller: WasmCaller) -> None:
        seen.append(caller.get_export("m"))

    module = """(module (import "" "f" (func $f)) (memory (export "m") 1 2 shared) (data (i32.const 0) "shared")
        (func (export "run") (call $f)))"""
    instance = WasmInstance(WasmStore(engine), WasmModule(engine, module), [ask])
    instance.exports.run()
    assert isinstance(seen[0], w.WasmSharedMemory)
    assert seen[0] == instance.exports.m
    assert seen[0][0:6] == b"shared"


def test_data_and_store(engine):
    seen = []

    def ask(caller: WasmCaller) -> None:
        seen.append((caller.store, caller.data, caller.is_valid))
        caller.store.data = "changed"

    store = WasmStore(engine, data={"user": 1})
    WasmInstance(store, WasmModule(engine, EXPORTS), [ask]).exports.run()
    assert seen == [(store, {"user": 1}, True)]
    assert store.data == "changed"


def test_python_itself_is_no_instance(engine):
    def ask(caller: WasmCaller) -> I32:
        assert caller.data == "here"
        with pytest.raises(KeyError, match="where Python itself calls a host function, there is no instance"):
            caller.get_memory()
        return 1

    assert WasmFunc(WasmStore(engine, data="here"), ask)() == 1


def test_the_instance_that_calls_counts_and_not_the_one_that_imports(engine):
    """A host function in a table is called by whoever takes it out of there."""
    store, heard = WasmStore(engine), []

    def ask(caller: WasmCaller) -> None:
        heard.append(caller.get_memory()[0])

    table = w.WasmTable(store, w.WasmTableType(w.WasmValType.FUNCREF, 1), WasmFunc(store, ask))
    for byte in ("a", "b"):
        module = f"""(module (import "" "t" (table 1 funcref)) (memory (export "memory") 1)
            (data (i32.const 0) "{byte}") (func (export "run") (call_indirect (i32.const 0))))"""
        WasmInstance(store, WasmModule(engine, module), [table]).exports.run()
    assert bytes(heard) == b"ab"


def test_nested_calls_have_a_caller_each(engine):
    store, heard = WasmStore(engine), []

    def outer(caller: WasmCaller) -> None:
        heard.append(caller.get_memory()[0])
        inner.exports.run()
        heard.append(caller.get_memory()[0])  # still this one's
        assert not kept[0].is_valid
        assert caller.is_valid

    kept = []

    def ask(caller: WasmCaller) -> None:
        kept.append(caller)
        heard.append(caller.get_memory()[0])

    source = """(module (import "" "f" (func $f)) (memory (export "memory") 1) (data (i32.const 0) "%s")
        (func (export "run") (call $f)))"""
    inner = WasmInstance(store, WasmModule(engine, source % "i"), [ask])
    WasmInstance(store, WasmModule(engine, source % "o"), [outer]).exports.run()
    assert bytes(heard) == b"oio"


def test_references_in_the_signature(engine):
    def ask(caller: WasmCaller, thing, number):
        return (thing, caller.get_memory()[0] + number)

    module = """(module
        (import "" "f" (func $f (param externref i32) (result externref i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\\05")
        (func (export "run") (param externref) (result externref i32)
          (call $f (local.get 0) (i32.const 2))))"""
    thing = object()
    instance = WasmInstance(WasmStore(engine), WasmModule(engine, module), [ask])
    assert instance.exports.run(thing) == (thing, 7)


def test_many_parameters(engine):
    def ask(caller: WasmCaller, *given):
        return caller.get_memory()[0] + sum(given)

    module = f"""(module (import "" "f" (func $f (param {"i32 " * 20}) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\\05")
        (func (export "run") (result i32) {" ".join(f"(i32.const {i})" for i in range(20))} (call $f)))"""
    assert WasmInstance(WasmStore(engine), WasmModule(engine, module), [ask]).exports.run() == 195


def test_linkers_and_prepared_instances(engine):
    linker = w.WasmLinker(engine)

    def ask(caller: WasmCaller) -> None:
        caller.data.append((caller.get_memory().size, caller.get_table("wide table").type.is64))

    linker.define("env", "ask", ask)
    module = WasmModule(engine, EXPORTS)
    prepared = linker.prepare(module)
    for _ in range(2):
        stores = [WasmStore(engine, data=[]) for _ in range(2)]
        for store in stores:
            prepared.instantiate(store).exports.run()
            linker.instantiate(store, module).exports.run()
            assert store.data == [(1, True)] * 2
    func = linker.get(stores[0], "env", "ask")
    assert str(func.type) == "(func)"


def test_a_type_given_with_the_definition_leaves_the_caller_out(engine):
    linker = w.WasmLinker(engine)
    linker.define("env", "ask", with_caller(lambda caller: None), w.WasmFuncType())
    linker.instantiate(WasmStore(engine), WasmModule(engine, EXPORTS)).exports.run()


def test_commands_of_a_linker_call_too(engine):
    """Their instances are made by the engine: all but the type of a table can be had."""
    linker, store, seen = w.WasmLinker(engine), WasmStore(engine), []

    def ask(caller: WasmCaller) -> None:
        seen.append(caller.get_memory().type)
        with pytest.raises(w.WasmtimeError, match="the type of table 'table' is not known"):
            caller.get_table("table")

    linker.define("env", "ask", ask)
    command = """(module (import "env" "ask" (func $ask)) (memory (export "memory") 2)
        (table (export "table") 2 funcref) (func (export "_start") (call $ask)))"""
    linker.define_module(store, "c", WasmModule(engine, command))
    linker.get(store, "c", "_start")()
    assert seen == [w.WasmMemoryType(2)]


def test_start_functions_call_too(engine):
    seen = []

    def ask(caller: WasmCaller) -> None:
        seen.append(caller.get_memory()[0])

    module = """(module (import "" "f" (func $f)) (memory (export "memory") 1) (data (i32.const 0) "s")
        (start $f))"""
    WasmInstance(WasmStore(engine), WasmModule(engine, module), [ask])
    # The start function is the host's own, and its caller the instance all the same, or nobody.
    assert seen == [ord("s")]


# ---- Its end


@pytest.fixture
def expired(engine):
    kept = []

    def ask(caller: WasmCaller) -> None:
        kept.append(caller)

    store = WasmStore(engine, data="data")
    instance = WasmInstance(store, WasmModule(engine, EXPORTS), [ask])
    instance.exports.run()
    return kept[0], instance


@pytest.mark.parametrize(
    "use",
    [
        lambda caller: caller.store,
        lambda caller: caller.data,
        lambda caller: caller.get_memory(),
        lambda caller: caller.get_export("double"),
        lambda caller: caller.get_table("table"),
    ],
)
def test_a_caller_expires_when_the_host_function_returns(expired, use):
    caller, instance = expired
    with pytest.raises(w.ClosedError, match="has expired: it is valid only while the host function runs"):
        use(caller)
    assert not caller.is_valid
    assert repr(caller) == "<WasmCaller expired>"
    assert instance.exports.double(2) == 4


def test_it_stays_expired_in_a_later_call_of_the_same_function(engine):
    kept = []

    def ask(caller: WasmCaller) -> None:
        for old in kept:
            with pytest.raises(w.ClosedError, match="has expired"):
                old.get_memory()
        kept.append(caller)

    instance = WasmInstance(WasmStore(engine), WasmModule(engine, EXPORTS), [ask])
    for _ in range(3):
        instance.exports.run()
    assert len(kept) == 3


def test_it_expires_where_the_host_function_raises(engine):
    kept = []

    def ask(caller: WasmCaller) -> None:
        kept.append(caller)
        raise ValueError("no")

    instance = WasmInstance(WasmStore(engine), WasmModule(engine, EXPORTS), [ask])
    with pytest.raises(ValueError, match="no"):
        instance.exports.run()
    with pytest.raises(w.ClosedError):
        kept[0].get_memory()


def test_it_expires_before_results_are_looked_at(engine):
    class Late:
        def __init__(self, caller):
            self.caller = caller

        def __index__(self):
            with pytest.raises(w.ClosedError):
                self.caller.get_memory()
            return 7

    def ask(caller: WasmCaller) -> I32:
        return Late(caller)

    module = '(module (import "" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f)))'
    assert WasmInstance(WasmStore(engine), WasmModule(engine, module), [ask]).exports.run() == 7


def test_other_threads_are_kept_out_while_it_is_valid_and_after(engine):
    kept, raised = [], []

    def use(caller):
        with pytest.raises(w.MisuseError) as problem:
            caller.get_memory()
        raised.append(problem.type)

    def on_thread(caller):
        thread = threading.Thread(target=use, args=(caller,))
        thread.start()
        thread.join()

    def ask(caller: WasmCaller) -> None:
        kept.append(caller)
        on_thread(caller)

    WasmInstance(WasmStore(engine), WasmModule(engine, EXPORTS), [ask]).exports.run()
    on_thread(kept[0])
    assert raised == [w.StoreBusyError, w.ClosedError]


def test_what_was_got_through_it_outlives_it(engine):
    kept = []

    def ask(caller: WasmCaller) -> None:
        kept.extend([caller.get_memory(), caller.get_func("double")])

    WasmInstance(WasmStore(engine), WasmModule(engine, EXPORTS), [ask]).exports.run()
    gc.collect()
    memory, double = kept
    assert double(memory[8]) == 0
    assert memory.store.is_valid


def test_an_expired_caller_does_not_keep_the_store(engine):
    kept = []

    def ask(caller: WasmCaller) -> None:
        kept.append(caller)

    store = WasmStore(engine)
    WasmInstance(store, WasmModule(engine, EXPORTS), [ask]).exports.run()
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None
    assert not kept[0].is_valid


def test_it_cannot_be_made(engine):
    with pytest.raises(TypeError, match="cannot create"):
        WasmCaller()
