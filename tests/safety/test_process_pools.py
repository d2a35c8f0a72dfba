"""Modules as arguments of process pools, and no leaks in how they get there."""

import pytest

POOL = """
    import multiprocessing

    WAT = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'

    def add(task):
        module, a, b = task
        if a == 0:
            module = w.WasmModule.deserialize(module.engine, module.serialize())
        return os.getpid(), id(module.engine), w.WasmInstance(w.WasmStore(module.engine), module).exports.add(a, b)

    if __name__ == "__main__":
        engine = w.WasmEngine(w.WasmConfig(consume_fuel=COUNTED))
        module = w.WasmModule(engine, WAT)
        with multiprocessing.get_context(METHOD).Pool(2) as pool:
            try:
                answers = pool.map_async(add, [(module, a, 2) for a in range(40)], chunksize=1).get(50)
            except w.WasmTrap as trap:
                assert COUNTED and trap.code is w.TrapCode.OUT_OF_FUEL, trap
                answers = None
        if answers is not None:
            assert not COUNTED
            assert [sum for _, _, sum in answers] == list(range(2, 42)), answers
            pids = {pid for pid, _, _ in answers}
            assert os.getpid() not in pids
            assert len({(pid, engine) for pid, engine, _ in answers}) == len(pids)  # one engine each
        print("ended well")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_module_goes_to_the_processes_of_a_pool(script, method):
    source = POOL.replace("METHOD", repr(method)).replace("COUNTED", "False")
    assert script(source, finish=False).splitlines()[-1] == "ended well"


def test_a_pool_keeps_the_settings_of_the_engine(script):
    source = POOL.replace("METHOD", "'spawn'").replace("COUNTED", "True")
    assert script(source, finish=False).splitlines()[-1] == "ended well"


def test_nothing_leaks_on_the_way_through_serialized_form(script):
    script("""
        import copy, pickle
        engine = w.WasmEngine()
        module = w.WasmModule(engine, '(module (table (export "t") 1 funcref) (memory (export "m") 1))')
        data = module.serialize()
        with open("module.bin", "wb") as file:
            file.write(data)
        damaged = data[:100] + b"?" + data[101:]

        def once():
            for again in (
                w.WasmModule.deserialize(engine, data), w.WasmModule.deserialize_file(engine, "module.bin"),
                w.WasmModule.deserialize(engine, data, trusted=True), copy.copy(module), copy.deepcopy(module),
                pickle.loads(pickle.dumps(module)),
            ):
                again.serialize()
            refused("damaged", w.DeserializeError, w.WasmModule.deserialize, engine, damaged)
            refused("trusted", w.DeserializeError, lambda: w.WasmModule.deserialize(engine, b"?" * 99, trusted=True))

        for _ in range(100):
            once()
        gc.collect()
        before = resident(), address_space(), len(os.listdir("/proc/self/fd"))
        for _ in range(1000):
            once()
        gc.collect()
        after = resident(), address_space(), len(os.listdir("/proc/self/fd"))
        check(f"{before} became {after}", all(b - a < 12 for a, b in zip(before, after)))
    """)


def test_a_forked_child_loads_what_its_parent_compiled(script):
    script("""
        engine = w.WasmEngine()
        module = w.WasmModule(engine, '(module (func (export "f") (result i32) (i32.const 7)))')
        data = module.serialize()
        def child():
            again = w.WasmModule.deserialize(engine, data)
            assert w.WasmInstance(w.WasmStore(engine), again).exports.f() == 7
        in_child("deserialize", child)
    """)
