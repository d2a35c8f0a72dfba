"""Things of one store, or of one engine, used with another: the engine would abort."""

_SETUP = """
EXPORTS = '''(module
    (func (export "f") (param funcref externref))
    (memory (export "m") 1)
    (table (export "t") 2 funcref)
    (table (export "a") 2 anyref)
    (global (export "g") (mut funcref) (ref.null func))
    (global (export "ga") (mut anyref) (ref.null any))
    (tag (export "x"))
    (type $s (struct)) (func (export "any") (result anyref) (struct.new $s)))'''
IMPORTS = '''(module
    (import "" "f" (func (param funcref externref)))
    (import "" "m" (memory 1))
    (import "" "t" (table 2 funcref))
    (import "" "g" (global (mut funcref)))
    (import "" "x" (tag)))'''

def world(engine):
    store = w.WasmStore(engine)
    return store, w.WasmInstance(store, w.WasmModule(engine, EXPORTS)).exports

engine, other_engine = w.WasmEngine(), w.WasmEngine()
store, mine = world(engine)
importer = w.WasmModule(engine, IMPORTS)
"""


def test_every_kind_of_handle_in_every_place_that_takes_one(script):
    script(
        _SETUP
        + """
MISUSE = (w.WrongStoreError, w.WrongEngineError)
for where, theirs in (("same engine", world(engine)[1]), ("other engine", world(other_engine)[1])):
    func, opaque = theirs.f, theirs.any()
    places = {
        "argument": lambda: mine.f(func, None),
        "table[]": lambda: mine.t.__setitem__(0, func),
        "table.grow": lambda: mine.t.grow(1, func),
        "table init": lambda: w.WasmTable(store, w.WasmTableType("funcref", 1), func),
        "table[] any": lambda: mine.a.__setitem__(0, opaque),
        "table.grow any": lambda: mine.a.grow(1, opaque),
        "table init any": lambda: w.WasmTable(store, w.WasmTableType("anyref", 1), opaque),
        "global": lambda: setattr(mine.g, "value", func),
        "global any": lambda: setattr(mine.ga, "value", opaque),
        "global init": lambda: w.WasmGlobal(store, w.WasmGlobalType("funcref"), func),
        "global init any": lambda: w.WasmGlobal(store, w.WasmGlobalType("anyref"), opaque),
        "host result": w.WasmFunc(store, lambda: func, w.WasmFuncType([], ["funcref"])),
        "host result any": w.WasmFunc(store, lambda: opaque, w.WasmFuncType([], ["anyref"])),
        "value": lambda: mine.f(w.WasmValue.funcref(func), None),
        "all imports": lambda: w.WasmInstance(store, importer, {"": theirs}),
        "flat imports": lambda: w.WasmInstance(store, importer, [theirs[name] for name in "fmtgx"]),
    }
    for name in "fmtgx":
        places[f"import {name}"] = lambda name=name: w.WasmInstance(
            store, importer, {"": {**mine, name: theirs[name]}}
        )
    linker = w.WasmLinker(engine)
    for name, item in theirs.items():
        linker.define("", name, item)
    places["linker"] = lambda: linker.instantiate(store, importer)
    places["linker.get"] = lambda: linker.get(store, "", "f")
    for label, place in places.items():
        refused(f"{where}, {label}", MISUSE, place)
    for item in theirs.values():
        check(f"{where}: {item!r} equals one of ours", all(item != ours for ours in mine.values()))
        hash(item)
"""
    )


def test_modules_linkers_and_types_of_another_engine(script):
    script(
        _SETUP
        + """
wasi = w.WasiConfig()
theirs = w.WasmStore(other_engine, wasi=wasi)
linker = w.WasmLinker(engine)
linker.define_wasi()
refused("instance", w.WrongEngineError, w.WasmInstance, theirs, importer)
refused("linker.instantiate", w.WrongEngineError, linker.instantiate, theirs, importer)
refused("linker.get", w.WrongEngineError, linker.get, theirs, "wasi_snapshot_preview1", "fd_write")
module = w.WasmModule(engine, '''(module
    (type $s (struct)) (type $f (func)) (type $a (array i8))
    (func (export "f") (param (ref null $s) (ref null $f) (ref null $a))))''')
for defined in module.exports[0].type.params:
    for label, make in {
        "func": lambda: w.WasmFunc(theirs, print, w.WasmFuncType([defined])),
        "func result": lambda: w.WasmFunc(theirs, print, w.WasmFuncType([], ["i32", defined])),
        "global": lambda: w.WasmGlobal(theirs, w.WasmGlobalType(defined), None),
        "table": lambda: w.WasmTable(theirs, w.WasmTableType(defined, 1)),
    }.items():
        refused(f"{label} of {defined}", w.WrongEngineError, make)
"""
    )


def test_wasi_in_a_store_that_has_none(script):
    script(
        _SETUP
        + """
linker = w.WasmLinker(engine)
linker.define_wasi()
module = w.WasmModule(
    engine, '(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))'
)
refused("get", w.WasmtimeError, linker.get, store, "wasi_snapshot_preview1", "fd_write")
refused("instantiate", w.WasmtimeError, linker.instantiate, store, module)
withwasi = w.WasmStore(engine, wasi=w.WasiConfig())
func = linker.get(withwasi, "wasi_snapshot_preview1", "fd_write")
refused("handed on", w.WrongStoreError, w.WasmInstance, store, module, [func])
refused("without a memory", w.WasmtimeError, func, 1, 0, 0, 0)
"""
    )


def test_a_typed_function_of_another_store_as_an_import(script):
    script(
        """
engine = w.WasmEngine()
store, other = w.WasmStore(engine), w.WasmStore(engine)
typed = w.WasmFunc(other, lambda: None, w.WasmFuncType()).typed()
module = w.WasmModule(engine, '(module (import "" "f" (func)))')
refused("instance", w.WrongStoreError, w.WasmInstance, store, module, {"": {"f": typed}})
linker = w.WasmLinker(engine)
linker.define("", "f", typed)
refused("linker", w.WrongStoreError, linker.instantiate, store, module)
check("its own", w.WasmInstance(other, module, {"": {"f": typed}}).is_valid)
"""
    )
