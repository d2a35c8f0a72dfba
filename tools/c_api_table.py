"""Write docs/c_api.md: every function that the engine's library exports, and the Python name that reaches it.

Which functions are used is read from the code: ``lib.NAME`` in Python, calls in our C. By which public names
is read from docstrings, whose ``C API:`` paragraph names functions. What is named there must be used by the
code below that docstring, or by what that calls; where it says that a function "does the same", Python does
without it. For every other function `REASONS` says why nothing reaches it.

python tools/c_api_table.py            write it
python tools/c_api_table.py --print    show it
"""

from __future__ import annotations

import ast
import fnmatch
import importlib.util
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wasmtime_rt"
DOCUMENT = ROOT / "docs" / "c_api.md"

#: What the names that Python puts together stand for. A new one must be added here.
COMPOSED = {
    "wasmtime_{name}_clone": ["wasmtime_anyref_clone", "wasmtime_externref_clone", "wasmtime_exnref_clone"],
    "wasmtime_{name}_unroot": [
        "wasmtime_anyref_unroot",
        "wasmtime_externref_unroot",
        "wasmtime_exnref_unroot",
    ],
    "wasmtime_{name}_to_raw": [
        "wasmtime_anyref_to_raw",
        "wasmtime_externref_to_raw",
        "wasmtime_exnref_to_raw",
    ],
    "wasmtime_{kind}_type_delete": ["wasmtime_struct_type_delete", "wasmtime_array_type_delete"],
    "wasmtime_{self._KIND}ref_type": ["wasmtime_structref_type", "wasmtime_arrayref_type"],
    "wasmtime_anyref_as_{kind}": ["wasmtime_anyref_as_struct", "wasmtime_anyref_as_array"],
    "wasmtime_{self._kind}ref_unroot": ["wasmtime_structref_unroot", "wasmtime_arrayref_unroot"],
    "wasm_{feature}": [],  # a setting, by its name in Python
}

#: What is called, where no name in the code tells.
CALLS = {
    "linker.WasmLinker.define": ["CLinker"],  # what is defined, when a module is prepared with it
    "_preparing.CLinker.__init__": ["Hosts.define"],
    "config.PoolingConfig": ["_write_pooling"],
    "errors.WasmException": ["_throw", "failure"],
    "store.WasmStore.interrupt": ["Guard.interrupt"],
    "tag.WasmTag": ["_from_c"],
}

#: What runs in C for a part of the package, by way of the accelerator: no code in Python names it.
IN_C = {
    "_guard.Guard.open": ["guard_open", "new_epochs", "wrt_store_delete"],
    "_guard.Guard.interrupt": ["guard_interrupt"],
    "errors.WasmTrap": ["trap", "failure_take"],
    "errors.WasmFrame": ["frames_of"],
    "errors.WasmtimeError": ["failure_error_message", "failure_take"],
    "_fast.new_host_function": ["host_define"],
    "_fast.instantiate": ["instance_new"],
    "func.WasmFunc": ["host_define", "run_raw", "run_checked"],
    "func.WasmFunc.call_values": ["run_checked"],
    "func.WasmFunc.map": ["function_map"],
    "instance_pre.WasmInstancePre.instantiate": ["instance_new_prepared"],
    "linker.WasmLinker.instantiate": ["instance_new_prepared"],
    "memory.WasmMemory.view": ["memory_get_buffer"],
}

#: Why nothing reaches a function: a key, the reason, and patterns of names. The first that fits counts.
REASONS: list[tuple[str, str, str]] = [
    (
        "wrong",
        (
            "Wrong in this version of the engine: structs and arrays look like an i31 to it. "
            "`wasmtime_anyref_i31_get_s` tells."
        ),
        "wasmtime_anyref_is_i31 wasmtime_eqref_is_i31",
    ),
    (
        "async",
        "For asynchronous calls, which come later.",
        "*_async *_async_* wasmtime_call_future_*",
    ),
    (
        "components",
        "For components, which come later; core modules are what is here.",
        "wasmtime_component_* wasmtime_module_type_* wasmtime_context_set_wasi_http",
    ),
    (
        "wasi",
        "This package implements WASI preview 1 itself. Components, which come later, will use it.",
        "wasmtime_error_exit_status wasi_config_* wasmtime_context_set_wasi wasmtime_linker_define_wasi",
    ),
    (
        "callbacks",
        (
            "Takes callbacks that the engine runs on any of its threads, in the middle of making or "
            "growing a memory or a stack, where no Python may run."
        ),
        "wasmtime_config_host_memory_creator_set wasmtime_config_host_stack_creator_set",
    ),
    (
        "python",
        ("Python says it in other words: `WasmStore.data`, `WasmEngine()`."),
        "wasmtime_context_set_data wasm_engine_new",
    ),
    (
        "known",
        (
            "Python knows it from elsewhere: the names of exports from the module, page sizes from "
            "`WasmMemory.type`, whether two tags are one from their handles, types from the module or "
            "from `wasmtime_extern_type`, which serves all kinds, those of structs and arrays from "
            "themselves."
        ),
        (
            "wasmtime_instance_export_nth wasmtime_memory_page_size* wasmtime_memorytype_page_size_log2 "
            "wasmtime_tag_eq wasmtime_memory_type wasmtime_global_type wasmtime_table_type "
            "wasmtime_anyref_type wasmtime_exnref_type wasm_trap_origin"
        ),
    ),
    (
        "raising",
        (
            "A host function stops WebAssembly by raising, and what it raises comes out as itself: "
            "`WasmTrap(text, TrapCode.UNREACHABLE_CODE_REACHED)`."
        ),
        "wasmtime_trap_new_code",
    ),
    (
        "eqref",
        (
            "A value of type eqref crosses as an anyref, and is a `WasmStruct`, a `WasmArray` or a "
            "`WasmI31`, whose unsigned number Python works out."
        ),
        (
            "wasmtime_eqref_* *_to_eqref wasmtime_anyref_as_eqref wasmtime_anyref_is_eqref "
            "wasmtime_anyref_i31_get_u"
        ),
    ),
    (
        "exnref",
        "An exception is made with a tag, `WasmException(tag, ...)`, and has its type from there.",
        "wasmtime_exn_type_*",
    ),
    (
        "raw",
        "For references in unchecked calls: signatures with references go through checked ones.",
        "wasmtime_func_from_raw wasmtime_func_to_raw wasmtime_exnref_from_raw",
    ),
    (
        "counted",
        "Nothing is copied that Python can share, and nothing freed that goes with something else.",
        (
            "wasmtime_*_clone wasmtime_*_copy wasmtime_heaptype_delete "
            "wasmtime_reftype_delete wasmtime_storage_type_delete wasm_*type_copy wasm_frame_copy "
            "wasm_frame_delete wasm_importtype_delete wasm_exporttype_delete"
        ),
    ),
    (
        "vectors",
        "Vectors of the API are made and freed in the one way that each needs.",
        "wasm_*_vec_*",
    ),
    (
        "aborts",
        (
            "Ends the process where a limit is beyond 32 bits, a type is a vector or most of the "
            "references, or where the engine has not implemented it."
        ),
        (
            "wasm_memorytype_new wasm_memorytype_limits wasm_tabletype_limits wasm_valtype_kind "
            "wasm_frame_instance"
        ),
    ),
    (
        "types",
        "Types are told apart when they are read; those of imports and exports belong to modules.",
        "wasm_externtype_as_* wasm_*type_as_externtype* wasm_importtype_new wasm_exporttype_new",
    ),
    (
        "stubs",
        (
            "References, and data of the host, in the objects of the general API: the engine has not "
            "implemented most of it, and ends the process. Python objects travel as externref."
        ),
        "wasm_ref_* wasm_foreign_* wasm_*_as_ref* wasm_*_host_info* wasm_*_same",
    ),
    (
        "general",
        (
            "The general API of WebAssembly engines, which knows less and aborts more: Python goes by "
            "the engine's own functions in its place, as in `wasmtime_func_call` for `wasm_func_call`."
        ),
        (
            "wasm_store_* wasm_func_* wasm_global_* wasm_table_* wasm_memory_* wasm_instance_* "
            "wasm_module_* wasm_shared_module_* wasm_extern_* wasm_val_* wasm_trap_*"
        ),
    ),
    (
        "debuggers",
        "For native debuggers, which look for it by name.",
        "resolve_vmctx_memory_ptr_* set_vmctx_memory_*",
    ),
]


def exported_functions() -> set[str]:
    """The functions that the bundled library exports."""
    import wasmtime_rt  # noqa: PLC0415  the one that runs, which may not be the one whose code is read

    library = next(Path(wasmtime_rt.__file__).parent.glob("libwasmtime_rt_engine-*.so"))
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True
    ).stdout
    return {line.split()[-1] for line in listing.splitlines() if line.split()[-2] == "T"}


def _tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- Our C


def c_functions() -> dict[str, tuple[str, set[str]]]:
    """Our functions in C: the file of each, and the names in its body, which ends where a line is ``}``."""
    found: dict[str, tuple[str, set[str]]] = {}
    for path in sorted((PACKAGE / "_native").rglob("*.[ch]")):
        code = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', " ", path.read_text(), flags=re.DOTALL)
        code = re.sub(r"__attribute__\(\(.*?\)\) ", "", code)
        for head in re.finditer(r"^\w[^;{}#=]*?(\w+)\(([^;{}]*)\) \{", code, flags=re.MULTILINE):
            one_line = code[head.end()] != "\n"
            end = code.index("}\n" if one_line else "\n}", head.end())
            names = set(re.findall(r"(?<![&\w])[a-z]\w+", code[head.end() : end]))
            found[head[1]] = (str(path.relative_to(PACKAGE)), names)
    return found


# ---- Our Python


class Part:
    """A function, class or module of ours: what its code mentions, and its own docstring."""

    def __init__(self, module: str, path: tuple[str, ...], item: Any) -> None:
        self.module, self.path, self.item = module, path, item
        self.doc = ast.get_docstring(item) if path and item else None
        self.inner: list[Part] = []
        self.names: set[str] = set()  # bare, or of what is imported
        self.made: set[str] = set()  # those of them that are called, as classes are to make one
        self.attributes: set[tuple[str, str]] = set()  # with the name before the dot, if it is one
        self.lib: set[str] = set()  # functions in C

    @property
    def name(self) -> str:
        """Its name, with those of the classes around it."""
        return ".".join(self.path)

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"


def bases_of(part: Part) -> list[str]:
    """The names of the classes that a class derives from."""
    return [getattr(base, "id", getattr(base, "attr", "")) for base in getattr(part.item, "bases", [])]


class Package:
    """The package as a graph: a call by way of a variable is followed where only one class has the name."""

    def __init__(self, exported: set[str]) -> None:
        self.exported, self.c = exported, c_functions()
        self.parts: list[Part] = []
        self.named: dict[str, list[Part]] = defaultdict(list)
        self.registered: dict[str, Part] = {}
        self.problems: list[str] = []
        self.aliases: dict[tuple[str, str], str] = {}
        self._next: dict[int, list[Part]] = {}
        self.derived: dict[str, set[str]] = defaultdict(set)  # classes by their bases
        for path in sorted(PACKAGE.glob("*.py")):
            tree = ast.parse(path.read_text())
            self._walk(tree, Part(path.stem, (), tree))
        for part in self.parts:
            for base in bases_of(part):
                self.derived[base].add(part.path[0])
        self.reached_by_c = {name: self._below(name, set()) for name in self.c}

    def _walk(self, item: Any, part: Part) -> None:
        if item is part.item:
            self.parts.append(part)
        for field, value in ast.iter_fields(item):
            if field in {"annotation", "returns"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                    inner = Part(part.module, (*part.path, child.name), child)
                    part.inner.append(inner)
                    self.named[child.name].append(inner)
                    self._walk(child, inner)
                elif isinstance(child, ast.AST):
                    self._note(child, part)
                    self._walk(child, part)

    def _note(self, item: Any, part: Part) -> None:
        match item:
            case ast.Attribute(value=ast.Name(id="lib"), attr=attr):
                part.lib.add(attr)
            case ast.Attribute(value=ast.Name(id=name), attr=attr):
                part.attributes.add((name, attr))
            case ast.Attribute(attr=attr):
                part.attributes.add(("", attr))
            case ast.Call(func=ast.Name(id=name)):
                part.made.add(name)
            case ast.Name(id=name):
                part.names.add(name)
            case ast.alias(name=name, asname=str(alias)):
                self.aliases[part.module, alias] = name
            case ast.Constant(value=str(text)) if text in self.exported or text.startswith("wrt_"):
                part.lib.add(text)
            case ast.Assign(targets=[ast.Attribute(attr=attr)], value=value) if not part.path:
                self.registered[attr] = Part(part.module, (), value)  # what is called by a name given to it
                self._note(value, self.registered[attr])
            case ast.JoinedStr():
                text = "".join(
                    piece.value if isinstance(piece, ast.Constant) else "{" + ast.unparse(piece.value) + "}"
                    for piece in item.values
                )
                self._note_composed(text, part)

    def _note_composed(self, text: str, part: Part) -> None:
        if text in COMPOSED:
            part.lib.update(COMPOSED[text])
        elif text.startswith("wasmtime_") and text.endswith("_set"):
            part.lib.update(settings())
        elif re.fullmatch(r"(wasm|wasi|wasmtime|wrt)_[\w{}.]*", text) and not text.endswith("_callback_t"):
            self.problems.append(f"{part}: COMPOSED does not say what {text!r} stands for")

    # ---- What is reached

    def _below(self, name: str, seen: set[str]) -> set[str]:
        """The engine's functions that a function of ours in C uses, or those that it calls."""
        if name in self.exported:
            return {name}
        if name in seen or name not in self.c:
            return set()
        seen.add(name)
        return {found for inner in self.c[name][1] for found in self._below(inner, seen)}

    def in_accelerator(self, part: Part) -> set[str]:
        """The engine's functions that the accelerator uses for ``part``."""
        return {found for name in IN_C.get(repr(part), ()) for found in self.reached_by_c[name]}

    def own(self, part: Part) -> set[str]:
        """The engine's functions that the code of ``part`` itself uses."""
        return {found for name in part.lib for found in self.reached_by_c.get(name, {name} & self.exported)}

    def reached(self, part: Part) -> set[str]:
        """The engine's functions that ``part`` uses, or what it calls; of a class, any of its methods."""
        seen: set[int] = set()
        same = [other for other in self.parts if (other.module, other.path) == (part.module, part.path)]
        waiting, found = [*same, *self._methods(part)], set[str]()  # a setter is the same as its getter
        if len(part.path) > 1:  # what made the object counts too
            waiting += [other for other in self.named["__init__"] if other.path[0] == part.path[0]]
        if isinstance(part.item, ast.ClassDef):
            derived = self.derived[part.path[0]]
            waiting += [other for other in self.parts if other.path and other.path[0] in derived]
        if isinstance(part.item, ast.ClassDef) and not any(
            map(self.own, waiting)
        ):  # a plain value: who makes it
            waiting += [other for other in self.parts if other.path and part.path[0] in other.names]
        while waiting:
            here = waiting.pop()
            if id(here) not in seen:
                seen.add(id(here))
                found |= self.own(here) | self.in_accelerator(here)
                if id(here) not in self._next:
                    self._next[id(here)] = self._followed(here)
                waiting += self._next[id(here)]
        return found

    def _methods(self, part: Part, *names: str) -> list[Part]:
        """The methods of a class, or those with these names, its bases included."""
        found = [inner for inner in part.inner if not names or inner.path[-1] in names]
        for base in bases_of(part):
            for other in self.named[base]:
                if other is not part:
                    found += self._methods(other, *names)
        return found

    def _called(self, part: Part) -> list[Part]:
        """What runs where the name of ``part`` stands: a function, or what makes an object of a class."""
        if isinstance(part.item, ast.ClassDef):
            return self._methods(part, "__init__", "__new__", "_check", "__enter__", "__exit__")
        return [part]

    def _followed(self, part: Part) -> list[Part]:
        followed = list(part.inner) if isinstance(part.item, ast.FunctionDef) else []
        for given in CALLS.get(repr(part), ()):
            owner, _, method = given.rpartition(".")
            for other in self.named[method]:
                if not owner or other.path[0] == owner:
                    followed += self._called(other)
        for name in part.names:
            for other in self.named[self.aliases.get((part.module, name), name)]:
                is_class = isinstance(other.item, ast.ClassDef)
                if len(other.path) == 1 and (not is_class or name in part.made):
                    followed += self._called(other)
        classes = [other for other in self.named[part.path[0]] if len(other.path) == 1] if part.path else []
        for owner, name in part.attributes:
            candidates = self.named[name]
            if owner in {"self", "cls"} and classes:
                mine = {id(method) for one in classes for method in self._methods(one, name)}
                below = [other for other in candidates if other.path[0] in self.derived[part.path[0]]]
                followed += [other for other in candidates if id(other) in mine] + below
            elif any(isinstance(one.item, ast.ClassDef) for one in self.named[owner]):
                followed += [method for one in self.named[owner] for method in self._methods(one, name)]
            elif len(candidates) == 1 or (name.startswith("_") and len(candidates) < 4):
                for other in candidates:
                    followed += self._called(other)
            if name in self.registered:
                followed.append(self.registered[name])
        return followed


def settings() -> dict[str, list[str]]:
    """The settings of an engine by the functions that set them."""
    from wasmtime_rt import PoolingConfig, WasmConfig  # noqa: PLC0415

    found: dict[str, list[str]] = defaultdict(list)
    functions_of = _tool("config_table").functions_of
    for kind in (WasmConfig, PoolingConfig):
        for name in kind._knobs:
            for function in functions_of(kind, name):
                found[function].append(f"{kind.__name__}.{name}")
    return dict(found)


# ---- Both sides


class Table:
    """Every exported function with the Python names that reach it, or the key of the reason why none does.

    Attributes:
        reached: The public names by function; where no docstring names it, the places in the package.
        same: The public names that do the same without it.
        without: The key of the reason.
        problems: What does not fit together.
    """

    def __init__(self, exported: set[str]) -> None:
        self.exported, self.package = exported, Package(exported)
        self.problems = self.package.problems
        self.reached: dict[str, list[str]] = {}
        self.same: dict[str, list[str]] = defaultdict(list)
        self.without: dict[str, str] = {}
        named = self._named()
        inside: dict[str, list[str]] = defaultdict(list)
        for part in self.package.parts:
            for function in self.package.own(part):
                inside[function].append(f"in `{part}`" if part.path else f"in `{part.module}`")
        for file, names in self.package.c.values():
            for function in names & exported:
                inside[function].append(f"in `{file}`")
        by_setting = settings()
        for function in inside:
            names = by_setting.get(function) or named.get(function)
            self.reached[function] = (
                [f"`{name}`" for name in names] if names else sorted({*inside[function]})[:2]
            )
        for function in sorted(exported - set(self.reached) - set(self.same)):
            self._give_reason(function)
        for function in sorted((set(self.reached) & set(self.same)) | (set(named) - set(inside))):
            self.problems.append(f"{function}: a docstring says otherwise than the code")
        used_patterns = {pattern for function in self.without for pattern in self._patterns(function)[:1]}
        for _, _, patterns in REASONS:
            for pattern in patterns.split():
                if pattern not in used_patterns:
                    self.problems.append(f"REASONS: nothing needs {pattern!r}")

    def _named(self) -> dict[str, list[str]]:
        """The functions that docstrings name, by the public names whose docstrings do."""
        named: dict[str, list[str]] = defaultdict(list)
        for part in self.package.parts:
            found = re.search(r"^C API: (.*?)(\n\n|\Z)", part.doc or "", flags=re.DOTALL | re.MULTILINE)
            if not found:
                continue
            text, reached = " ".join(found[1].split()), self.package.reached(part)
            same = set(re.findall(r"``(\w+)`` (?:does|gives) the same", text))
            for function in same:
                self.same[function].append(f"`{part.name}`")
            for pattern in dict.fromkeys(re.findall(r"``([\w*]+)``", text)):
                if pattern in same:
                    fits = [pattern] if pattern in self.exported else []
                else:
                    fits = fnmatch.filter(sorted(reached), pattern)
                    for function in fits:
                        named[function] += self._public(part)
                if not fits:
                    self.problems.append(
                        f"{part}: its docstring names {pattern}, which nothing below it uses"
                    )
        return named

    def _public(self, part: Part) -> list[str]:
        """The name of ``part``; where its class is none of the public ones, in those that derive from it."""
        owner, rest = part.path[0], part.path[1:]
        owners = sorted(self.package.derived[owner]) if owner.startswith("_") else [owner]
        return [".".join((name, *rest)) for name in owners]

    @staticmethod
    def _patterns(function: str) -> list[str]:
        return [
            pattern
            for _, _, patterns in REASONS
            for pattern in patterns.split()
            if fnmatch.fnmatchcase(function, pattern)
        ]

    def _give_reason(self, function: str) -> None:
        for key, _, patterns in REASONS:
            if any(fnmatch.fnmatchcase(function, pattern) for pattern in patterns.split()):
                self.without[function] = key
                return
        self.problems.append(f"{function}: exported, but nothing reaches it and REASONS has no reason")

    def document(self) -> str:
        """The text of docs/c_api.md."""
        used = set(self.without.values())
        counts = {key: sum(1 for other in self.without.values() if other == key) for key in used}
        reasons = [f"- *{key}* ({counts[key]}): {reason}" for key, reason, _ in REASONS if key in used]
        rows = []
        for function in sorted(self.exported):
            if function in self.reached:
                told = ", ".join(self.reached[function])
            elif function in self.same:
                told = ", ".join(self.same[function]) + ", which do" + "es" * (len(self.same[function]) == 1)
                told += " the same without it"
            else:
                told = f"*{self.without[function]}*"
            rows.append(f"| `{function}` | {told} |")
        return TEXT.format(
            total=len(self.exported),
            reached=len(self.reached),
            same=len(self.same),
            without=len(self.without),
            reasons="\n".join(reasons),
            rows="\n".join(rows),
            cannot="\n".join(f"| {what} | {how} |" for what, how in CANNOT),
        )


#: What no function does, and what there is in its place.
CANNOT = [
    (
        "Custom sections, and the name that a module gives itself",
        (
            "Read them out of the WebAssembly, as `wasm-tools` or a few lines of Python do: "
            "`WasmModule` does not keep it. Names of functions and modules appear in the frames "
            "of traps."
        ),
    ),
    (
        "The supertypes that a type declares",
        (
            "`WasmValType.matches` says of two different types of one kind that one may fit the "
            "other; values in hand tell exactly: `WasmStruct.matches`, `WasmArray.matches`. Types"
            " made by `new_type` are final and stand by themselves."
        ),
    ),
    (
        "Casts",
        "As a struct with one field of that type takes or refuses a value: `matches`.",
    ),
    (
        "Immutable arrays of different values",
        (
            "`WasmArray` makes arrays of an immutable type only of one value, as often as wanted;"
            " the rest is for `array.new_fixed` in WebAssembly."
        ),
    ),
    (
        "Constructors of 64-bit tables",
        (
            "`WasmTable` takes the type from a small module, for which an element's type must not"
            " be one that a module defines: let that module define and export the table."
        ),
    ),
    (
        "The limits of a table",
        (
            "They are read out of the WebAssembly. So a serialized module that "
            "`WasmModule.serialize` did not write is refused where it imports or exports a table."
        ),
    ),
    (
        "The exports of who calls a host function, as a list",
        "`WasmCaller` finds them by name.",
    ),
    (
        "Whether a growth was refused, or why",
        "WebAssembly gets -1, as it does where a maximum is reached.",
    ),
    (
        "An f32 that is a signalling NaN, as a Python `float`",
        (
            "Python makes it quiet. `WasmFunc.call_values`, `WasmGlobal.get_value` and "
            "`WasmValue.f32(bits=...)` keep it; arguments of host functions, fields and elements "
            "are `float`."
        ),
    ),
]

TEXT = """# The engine's C API, function by function

The library exports {total} functions. Python reaches {reached}, does what {same} more do without them, and
leaves {without} alone, each for a reason. `tools/c_api_table.py` makes this page of the code and its
docstrings, and a test fails where a function is on neither side.

Where a name is given as a place, as in `_reflect.valtype`, the function does small work below many names.

## What it cannot do

No function of it does these, so that nothing here does; each is told again where it matters.

| what | how it is here |
|---|---|
{cannot}

[config.md](config.md#what-has-no-setting) has the settings of the Rust API that cannot be reached.

## Reasons

{reasons}

## Functions

| function | in Python, or why not |
|---|---|
{rows}
"""


def main() -> int:
    """Write or show it; what does not fit together is told, and counted by the exit status."""
    table = Table(exported_functions())
    if "--print" in sys.argv:
        print(table.document())
    elif not table.problems:
        DOCUMENT.write_text(table.document(), encoding="utf-8")
    print(*table.problems, sep="\n", end="\n" if table.problems else "", file=sys.stderr)
    return min(len(table.problems), 100)


if __name__ == "__main__":
    sys.exit(main())
