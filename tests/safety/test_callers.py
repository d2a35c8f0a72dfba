"""Callers of host functions, used at the wrong time or by the wrong thread: an error each time, nothing worse."""

import textwrap

import pytest

PRELUDE = """
engine = w.WasmEngine()
module = w.WasmModule(engine, '''(module
    (import "" "f" (func $f)) (memory (export "memory") 1) (table (export "table") 1 funcref)
    (func (export "run") (call $f)) (func (export "loop") (param i32)
      (loop $again (call $f) (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))''')
"""


@pytest.fixture
def with_module(script):
    return lambda source: script(PRELUDE + textwrap.dedent(source))


def test_threads_that_race_with_the_return_get_an_error_or_the_memory(with_module):
    with_module(
        """
        kept, stop, seen = [], False, set()

        def use():
            while not stop:
                for caller in kept[-3:]:
                    for what in (caller.get_memory, lambda: caller.get_table("table"), lambda: caller.data):
                        try:
                            what()
                        except (w.ClosedError, w.StoreBusyError) as raised:
                            seen.add(type(raised))

        def f(caller: w.WasmCaller):
            kept.append(caller)
            time.sleep(0)  # others run, while this call is the one inside

        exports = w.WasmInstance(w.WasmStore(engine), module, [w.with_caller(f)]).exports
        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(60):
            while True:  # a thread that looks whether a caller has expired is inside, for a moment
                try:
                    exports.loop(10)
                    break
                except w.StoreBusyError:
                    pass
            del kept[:-3]
        stop = True
        for thread in threads:
            thread.join()
        check("expired ones are told", w.ClosedError in seen)
        """
    )


def test_a_caller_is_nothing_after_its_store(with_module):
    with_module(
        """
        kept = []

        def f(caller: w.WasmCaller):
            kept.append(caller)
            refused("closing the store inside", w.StoreBusyError, caller.store.close)
            instance.close()
            caller.get_memory()[0] = 1  # the object was closed, not what it stands for

        store = w.WasmStore(engine)
        instance = w.WasmInstance(store, module, [w.with_caller(f)])
        run = instance.exports.run
        run()
        refused("expired", w.ClosedError, kept[0].get_memory)
        store.close()
        refused("expired, store closed", w.ClosedError, kept[0].get_memory)
        refused("expired, store closed", w.ClosedError, lambda: kept[0].store)
        del store, instance, run
        gc.collect()
        refused("expired, store gone", w.ClosedError, kept[0].get_memory)
        """
    )


def test_generators_finalizers_and_tracebacks_that_keep_one(with_module):
    with_module(
        """
        def reader(caller):
            while True:
                yield caller.get_memory()[0]

        class Late:
            def __init__(self, caller):
                self.caller = caller
            def __del__(self):
                refused("in a finalizer", w.ClosedError, self.caller.get_memory)

        readers = []

        def f(caller: w.WasmCaller):
            readers.append(reader(caller))
            check("while it runs", next(readers[-1]) == 0)
            late = Late(caller)
            late.itself = late
            raise LookupError("out")

        exports = w.WasmInstance(w.WasmStore(engine), module, [w.with_caller(f)]).exports
        raised = refused("raises", LookupError, exports.run)
        frame = raised.__traceback__
        while frame.tb_next:
            frame = frame.tb_next
        refused("out of the traceback", w.ClosedError, frame.tb_frame.f_locals["caller"].get_memory)
        refused("generator", w.ClosedError, next, readers[0])
        del raised, frame
        gc.collect()
        """
    )


def test_tampering_does_not_reach_the_engine(with_module):
    with_module(
        """
        kept = []

        def f(caller: w.WasmCaller):
            kept.append(caller)
            for name in ("_address", "_store"):
                allowed("set " + name, setattr, caller, name, 1)

        exports = w.WasmInstance(w.WasmStore(engine), module, [w.with_caller(f)]).exports
        exports.run()
        refused("expired", w.ClosedError, kept[0].get_memory)
        refused("made", TypeError, w.WasmCaller)
        allowed("made by object", object.__new__, w.WasmCaller)
        refused("a class derived from it", TypeError, type, "Mine", (w.WasmCaller,), {})
        exports.run()
        refused("expired", w.ClosedError, kept[1].get_memory)
        """
    )
