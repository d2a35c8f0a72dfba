"""What the engine's C API cannot tell about a module, read from its bytes.

The API aborts on a table limit beyond 32 bits, does not say whether indices are 64 bits wide, and gives an
import that is exported again the type that was asked for instead of the one that it has. Only the import,
table and export sections are read; the bytes are those of a module that the engine has
accepted, so nothing is validated again.
"""

from __future__ import annotations

from collections.abc import Iterator

from ._record import Record

_TYPE, _IMPORT, _TABLE, _MEMORY_SECTION, _EXPORT, _TAG_SECTION = 1, 2, 4, 5, 7, 13
_FUNC_TYPE = 0x60
#: Types of values that are not on the heap: numbers, vectors and functions.
_PLAIN = frozenset({0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70})
_FUNC, _TABLE_KIND, _MEMORY, _GLOBAL, _TAG = range(5)


class TableLimits(Record):
    """A table's limits in elements, and whether its indices are 64 bits wide."""

    min: int
    max: int | None
    is64: bool


class ModuleShape(Record):
    """A module's tables, and its exports that are imports.

    Attributes:
        imported_tables: Limits by position among all imports.
        exported_tables: Limits by name.
        passed_on: For exports that are imports, by name, the position among all imports.
        heap: Whether instances may use a heap of references: the module defines structs, arrays or tags, or
            its functions take references. A recursion group of functions counts, too.
        memory: Whether it has a linear memory, imported ones counted.
    """

    imported_tables: dict[int, TableLimits]
    exported_tables: dict[str, TableLimits]
    passed_on: dict[str, int]
    heap: bool = False
    memory: bool = False


class _Reader:
    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.data, self.at, self.end = data, start, end

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """An integer in LEB128; its sign does not matter to anyone here."""
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    def name(self) -> str:
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def skip_value_type(self) -> None:
        if self.byte() in {0x63, 0x64}:  # (ref null ht), (ref ht)
            self.number()

    def types_use_heap(self) -> bool:
        """Whether a section of types has any other than functions of plain values."""
        for _ in range(self.number()):
            if self.byte() != _FUNC_TYPE:
                return True
            for _ in range(2):
                for _ in range(self.number()):
                    if self.byte() not in _PLAIN:
                        return True
        return False

    def limits(self) -> TableLimits:
        flags = self.byte()
        minimum = self.number()
        maximum = self.number() if flags & 1 else None
        if flags & 8:
            self.number()  # a custom page size
        return TableLimits(minimum, maximum, bool(flags & 4))

    def table_type(self) -> TableLimits:
        self.skip_value_type()
        return self.limits()

    def imports(self) -> Iterator[tuple[int, TableLimits | None]]:
        """The kind of each import, and limits for tables; groups share the first name, or the type too."""
        for _ in range(self.number()):
            self.name()
            grouped = not self.name() and self.data[self.at] in {0x7E, 0x7F}
            group = self.byte() if grouped else None
            if group == 0x7E:
                shared = self.extern_type()
                for _ in range(self.number()):
                    self.name()
                    yield shared
            elif group == 0x7F:
                for _ in range(self.number()):
                    self.name()
                    yield self.extern_type()
            else:
                yield self.extern_type()

    def extern_type(self) -> tuple[int, TableLimits | None]:
        """The kind of an import, and a table's limits."""
        kind = self.byte()
        if kind == _TABLE_KIND:
            return kind, self.table_type()
        if kind == _FUNC:
            self.number()
        elif kind == _MEMORY:
            self.limits()
        elif kind == _GLOBAL:
            self.skip_value_type()
            self.byte()
        else:  # a tag: attribute, type index
            self.byte()
            self.number()
        return kind, None

    def skip_constant_expression(self) -> None:
        while (opcode := self.byte()) != 0x0B:
            if opcode in {0x41, 0x42, 0x23, 0xD2, 0xD0}:  # i32.const i64.const global.get ref.func ref.null
                self.number()
            elif opcode == 0x43:  # f32.const
                self.at += 4
            elif opcode == 0x44:  # f64.const
                self.at += 8
            elif opcode == 0xFD:  # v128.const
                self.number()
                self.at += 16
            elif opcode == 0xFB:  # struct.new struct.new_default array.new array.new_default array.new_fixed
                operation = self.number()
                if operation <= 8:
                    self.number()
                if operation == 8:
                    self.number()


def module_shape(wasm: bytes) -> ModuleShape:
    """What there is to know about the module ``wasm``."""
    found = ModuleShape({}, {}, {})
    heap = memory = False
    tables: list[TableLimits] = []
    imported: list[list[int]] = [[], [], [], [], []]  # positions among all imports, by kind
    at = 8
    while at < len(wasm):
        head = _Reader(wasm, at, len(wasm))
        section, size = head.byte(), head.number()
        at = head.at + size
        body = _Reader(wasm, head.at, at)
        if section == _TYPE:
            heap = body.types_use_heap()
        elif section == _TAG_SECTION:
            heap = True
        elif section == _MEMORY_SECTION:
            memory = memory or body.number() > 0
        elif section == _IMPORT:
            for position, (kind, limits) in enumerate(body.imports()):
                imported[kind].append(position)
                if limits is not None:
                    found.imported_tables[position] = limits
                    tables.append(limits)
        elif section == _TABLE:
            for _ in range(body.number()):
                with_initializer = body.data[body.at] == 0x40
                if with_initializer:
                    body.at += 2
                tables.append(body.table_type())
                if with_initializer:
                    body.skip_constant_expression()
        elif section == _EXPORT:
            for _ in range(body.number()):
                name, kind, index = body.name(), body.byte(), body.number()
                if kind == _TABLE_KIND:
                    found.exported_tables[name] = tables[index]
                if index < len(imported[kind]):
                    found.passed_on[name] = imported[kind][index]
    return found._replace(heap=heap or bool(imported[_TAG]), memory=memory or bool(imported[_MEMORY]))
