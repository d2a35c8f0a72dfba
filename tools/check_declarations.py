"""Hold ``include/`` against the engine.

It must agree with the symbols that the library exports, and with the ctypes declarations that the PyPI
wheel ``wasmtime`` generates from the engine's own headers.

The ctypes declarations lose constants and ``const``; they keep every function's arity, the width and
signedness of every scalar, which struct a pointer points at, and every struct's size and offsets.

Run as a program, it prints the differences and exits with their number.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import build_ffi  # noqa: E402

#: What the binding leaves out on purpose: the ``wasm_*`` objects that ``wasmtime_*`` replaces.
GENERIC_API_NOT_USED = re.compile(
    r"wasm_(store|ref|func|global|table|memory|instance|extern|foreign|module|shared_module|val)_"
    r"|wasm_frame_instance|wasm_trap_(new|copy|same|as_ref|get_host_info|set_host_info)"
    r"|wasm_(externtype|functype|globaltype|memorytype|tabletype|tagtype)_vec_|wasm_extern_as_|wasm_config_copy"
)

#: Fields whose names the ctypes declarations had to change.
_PYTHON_KEYWORDS = {"global_": "global"}


def exported_symbols(library: Path) -> set[str]:
    """The functions of the C API that ``library`` exports."""
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True
    ).stdout
    names = {line.split()[-1] for line in listing.splitlines()}
    return {name for name in names if name.startswith(("wasm_", "wasmtime_", "wasi_"))}


def symbol_differences(declared: set[str], exported: set[str]) -> Iterator[str]:
    """What is declared and not exported, and what a binding needs that is exported and not declared."""
    for name in sorted(declared - exported):
        yield f"{name}: declared, but the library does not export it"
    for name in sorted(exported - declared):
        if not GENERIC_API_NOT_USED.match(name):
            yield f"{name}: exported by the library, but not declared"


def declared_functions(text: str) -> set[str]:
    """The names of all functions that declarations in C declare."""
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return set(re.findall(r"^[a-z][\w \*]*?[ \*](wasm\w*|wasi\w*)\(", code, flags=re.MULTILINE))


def ctypes_differences(ffi: Any, library: Path) -> Iterator[str]:
    """Where the declarations in ``ffi`` differ from the ctypes ones."""
    bindings = importlib.import_module("wasmtime._bindings")
    lib = ffi.dlopen(str(library))
    for name, theirs in sorted(vars(bindings).items()):
        if name.startswith(("_wasm", "_wasi")):
            try:
                ours = ffi.typeof(getattr(lib, name[1:]))
            except AttributeError:
                continue  # not declared: `symbol_differences` judges that
            yield from _function_differences(ffi, name[1:], ours, theirs)
        elif isinstance(theirs, type) and issubclass(theirs, (ctypes.Structure, ctypes.Union)):
            yield from _struct_differences(ffi, name, theirs)


def _function_differences(ffi: Any, name: str, ours: Any, theirs: Any) -> Iterator[str]:
    if len(ours.args) != len(theirs.argtypes):
        yield f"{name}: {len(ours.args)} parameters declared, {len(theirs.argtypes)} expected"
        return
    pairs = [("result", ours.result, theirs.restype)]
    pairs += [
        (f"parameter {i}", *pair) for i, pair in enumerate(zip(ours.args, theirs.argtypes, strict=True))
    ]
    for where, our_type, their_type in pairs:
        if name == "wasmtime_context_epoch_deadline_async_yield_and_update" and where == "result":
            continue  # void in the library, whatever its headers say
        mine, expected = _shape_of_cdecl(ffi, our_type), _shape_of_ctypes(their_type)
        if not _alike(mine, expected):
            yield f"{name}, {where}: {mine} declared, {expected} expected"


def _struct_differences(ffi: Any, name: str, theirs: Any) -> Iterator[str]:
    if not hasattr(theirs, "_fields_"):
        return  # opaque
    for spelling in (name, f"{name}_t", f"struct {name}", f"union {name}"):
        try:
            ours = ffi.typeof(spelling)
        except Exception:  # noqa: BLE001  cffi raises several kinds for an unknown type
            continue
        if ours.fields is not None:  # asking for an unknown struct declares an opaque one
            break
    else:
        if not re.search(r"_anon_\d+$", name) and not GENERIC_API_NOT_USED.match(name):
            yield f"{name}: not declared"
        return
    if ffi.sizeof(ours) != ctypes.sizeof(theirs):
        yield f"{name}: {ffi.sizeof(ours)} bytes declared, {ctypes.sizeof(theirs)} expected"
    offsets = dict(_ctypes_offsets(theirs))
    declared = {field: info.offset for field, info in ours.fields}
    flat = {
        field: ffi.offsetof(ours, field) for field in offsets if field in declared or _has(ffi, ours, field)
    }
    for field, offset in offsets.items():
        if field not in flat:
            yield f"{name}.{field}: not declared"
        elif flat[field] != offset:
            yield f"{name}.{field}: offset {flat[field]} declared, {offset} expected"


def _has(ffi: Any, struct: Any, field: str) -> bool:
    try:
        ffi.offsetof(struct, field)
    except (KeyError, TypeError):
        return False
    return True


def _ctypes_offsets(struct: Any) -> Iterator[tuple[str, int]]:
    for name, kind in struct._fields_:
        start = getattr(struct, name).offset
        if name.startswith("_anon_"):
            yield from ((inner, start + offset) for inner, offset in _ctypes_offsets(kind))
        else:
            yield _PYTHON_KEYWORDS.get(name, name), start


Shape = tuple[Any, ...]


def _shape_of_ctypes(kind: Any) -> Shape:
    if kind is None:
        return ("void",)
    if kind is ctypes.c_bool:
        return ("bool",)
    if kind in {ctypes.c_void_p, ctypes.c_char_p}:
        return ("pointer", None)
    if isinstance(kind, type) and issubclass(kind, ctypes._CFuncPtr):
        return ("pointer", "function")
    if isinstance(kind, type) and issubclass(kind, ctypes._Pointer):
        pointee = kind._type_
        is_struct = isinstance(pointee, type) and issubclass(pointee, (ctypes.Structure, ctypes.Union))
        return ("pointer", _plain(pointee.__name__) if is_struct else None)
    if isinstance(kind, type) and issubclass(kind, (ctypes.Structure, ctypes.Union)):
        return ("struct", _plain(kind.__name__))
    code = kind._type_
    if code in "fdg":
        return ("float", ctypes.sizeof(kind))
    return ("integer", ctypes.sizeof(kind), code.islower() and code != "c")


def _shape_of_cdecl(ffi: Any, kind: Any) -> Shape:
    if kind.kind == "void":
        return ("void",)
    if kind.kind == "function":
        return ("pointer", "function")
    if kind.kind == "pointer":
        item = kind.item
        if item.kind == "function":
            return ("pointer", "function")
        return ("pointer", _plain(item.cname) if item.kind in {"struct", "union"} else None)
    if kind.kind in {"struct", "union"}:
        return ("struct", _plain(kind.cname))
    if kind.cname in {"_Bool", "bool"}:
        return ("bool",)
    if kind.cname in {"float", "double"}:
        return ("float", ffi.sizeof(kind))
    return ("integer", ffi.sizeof(kind), int(ffi.cast(kind, -1)) < 0)


def _plain(name: str) -> str:
    return re.sub(r"^(const |struct |union )+", "", name).removesuffix("_t")


def _alike(mine: Shape, expected: Shape) -> bool:
    if mine[0] == expected[0] == "pointer":
        return mine[1] == expected[1] or expected[1] is None or mine[1] is None
    return mine == expected


def differences(text: str, library: Path) -> list[str]:
    """Every way in which the declarations ``text`` do not describe ``library``."""
    exported, declared = exported_symbols(library), declared_functions(text)
    found = list(symbol_differences(declared, exported))
    ffi = FFI()
    ffi.cdef(text)
    return found + list(ctypes_differences(ffi, library))


def main() -> int:
    """Check ``include/`` against the installed wheel."""
    engine = build_ffi.find_engine(ROOT / "build" / "c-api")
    found = differences(build_ffi.declarations(ROOT / "include" / "wasmtime.h"), engine.library)
    print("\n".join(found) or f"include/ describes Wasmtime {engine.version} as it is")
    return len(found)


if __name__ == "__main__":
    sys.exit(min(main(), 100))
