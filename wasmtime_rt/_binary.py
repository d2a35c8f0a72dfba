"""What the engine's C API cannot tell about a module, read from its bytes: the limits of tables.

The API aborts on a table limit beyond 32 bits and does not say whether indices are 64 bits wide. Only
the import, table and export sections are read; the bytes are those of a module that the engine has
accepted, so nothing is validated again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

_IMPORT, _TABLE, _EXPORT = 2, 4, 7
_KIND_TABLE = 1


class TableLimits(NamedTuple):
    """A table's limits in elements, and whether its indices are 64 bits wide."""

    min: int
    max: int | None
    is64: bool


@dataclass
class ModuleTables:
    """The tables that a module imports and exports.

    Attributes:
        imports: By position among all its imports.
        exports: By name.
        passed_on: For exported tables that are imported ones, the position of the import.
    """

    imports: dict[int, TableLimits] = field(default_factory=dict)
    exports: dict[str, TableLimits] = field(default_factory=dict)
    passed_on: dict[str, int] = field(default_factory=dict)


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


def table_limits(wasm: bytes) -> ModuleTables:
    """The limits of every table that the module ``wasm`` imports or exports."""
    found = ModuleTables()
    tables: list[TableLimits] = []
    at = 8
    while at < len(wasm):
        head = _Reader(wasm, at, len(wasm))
        section, size = head.byte(), head.number()
        at = head.at + size
        body = _Reader(wasm, head.at, at)
        if section == _IMPORT:
            _read_imports(body, tables, found)
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
                if kind == _KIND_TABLE:
                    found.exports[name] = tables[index]
                    if index < len(found.imports):
                        found.passed_on[name] = list(found.imports)[index]
    return found


def _read_imports(body: _Reader, tables: list[TableLimits], found: ModuleTables) -> None:
    for position in range(body.number()):
        body.name()
        body.name()
        kind = body.byte()
        if kind == 0:  # func: type index
            body.number()
        elif kind == _KIND_TABLE:
            tables.append(body.table_type())
            found.imports[position] = tables[-1]
        elif kind == 2:  # memory
            body.limits()
        elif kind == 3:  # global: type, mutability
            body.skip_value_type()
            body.byte()
        else:  # tag: attribute, type index
            body.byte()
            body.number()
