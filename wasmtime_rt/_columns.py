"""Columns for `WasmFunc.map`: what was given is checked against the signature, what is missing is made."""

from __future__ import annotations

import array
import contextlib
import sys
from typing import Any

from ._importing import Importing
from .types import WasmFuncType, WasmValType
from .values import number, shown

#: By the kind of a number: bytes, the letters of `struct` that fit where the width does, and the letter of
#: `array.array` (and NumPy) for new columns.
_ITEMS = {
    "i32": (4, "iIlL", "i"),
    "i64": (8, "qQlL", "q"),
    "f32": (4, "f", "f"),
    "f64": (8, "d", "d"),
}
_VECTOR = 16
_PLAIN = frozenset("bBcfdhHiIlLqQ")


def _is_column(given: object) -> bool:
    try:
        with memoryview(given) as view:  # type: ignore[arg-type]
            return view.ndim > 0
    except TypeError:
        return False


def _checked(given: Any, valtype: WasmValType, where: str, *, writable: bool = False) -> tuple[Any, int]:
    """A column as a buffer of one dimension, and its number of rows."""
    view = memoryview(given)
    if writable and view.readonly:
        raise TypeError(f"{where}: expected a buffer that can be written, got {shown(given)}")
    if valtype.kind == "v128":
        if view.format.lstrip("@=<>!") not in _PLAIN:  # an array of objects is pointers underneath
            raise TypeError(f"{where}: expected bytes or numbers, got items of format {view.format!r}")
        if not view.c_contiguous or view.nbytes % _VECTOR:
            raise ValueError(f"{where}: expected 16 contiguous bytes for each row, got {view.nbytes} bytes")
        return view.cast("B"), view.nbytes // _VECTOR
    size, letters, _ = _ITEMS[valtype.kind]
    letter = view.format.lstrip("@=<" if sys.byteorder == "little" else "@=>")
    if view.ndim != 1:
        raise TypeError(f"{where}: expected one dimension, got {view.ndim}")
    if view.itemsize != size or letter not in letters or len(letter) != 1:
        hint = (
            f"; .astype('{valtype.kind[0]}{size}') converts it"
            if hasattr(given, "astype") and not writable
            else ""
        )
        raise TypeError(f"{where}: expected items of {valtype}, got items of format {view.format!r}{hint}")
    return view, len(view)  # not what was given, which could show other items when it is asked again


class Plan:
    """A run of `map`: its columns, and what it answers.

    Attributes:
        inputs: A buffer for each parameter; one item serves every row.
        outputs: A buffer for each result.
        rows: How many rows there are.
        answer: What ``map`` returns.
    """

    def __init__(self, name: str, functype: WasmFuncType, columns: tuple[Any, ...], out: Any) -> None:
        if any(valtype.is_ref for valtype in functype.params + functype.results):
            raise TypeError(f"{name}: map takes numbers and vectors only, got {functype}")
        if len(columns) != len(functype.params):
            raise TypeError(f"{name}: expected {len(functype.params)} columns, got {len(columns)}")
        if not columns:
            raise TypeError(f"{name}: map needs a parameter to count the rows by")
        lengths: dict[str, int] = {}
        inputs = []
        for i, (column, valtype) in enumerate(zip(columns, functype.params, strict=True)):
            where = f"{name}: column {i} ({valtype})"
            if _is_column(column) and not (
                valtype.kind == "v128" and isinstance(column, bytes) and len(column) == 16
            ):
                checked, lengths[where] = _checked(column, valtype, where)
            else:
                checked = _single(column, valtype, where)
            inputs.append(checked)
        self.rows = next(iter(lengths.values()), 1)
        self._given = out
        self._numpy = any(type(column).__module__ == "numpy" for column in columns)
        outputs = self._outputs(name, functype, out, lengths)
        self.rows = next(iter(lengths.values()), 1)  # numbers serve every row of what is given to write into
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{where} has {length}" for where, length in lengths.items())
            raise ValueError(f"expected columns of one length: {listed}")
        self.inputs = tuple(inputs)
        self.outputs = tuple(buffer for buffer, _ in outputs)
        answers = tuple(answer for _, answer in outputs)
        self.answer = answers[0] if len(answers) == 1 else (answers or None)

    def _outputs(
        self, name: str, functype: WasmFuncType, out: Any, lengths: dict[str, int]
    ) -> list[tuple[Any, Any]]:
        results = functype.results
        if out is None:
            made = [self._new(valtype) for valtype in results]
            return [
                (_checked(item, valtype, "")[0], item) for item, valtype in zip(made, results, strict=True)
            ]
        given = out if isinstance(out, tuple) and len(results) != 1 else (out,)
        if len(given) != len(results):
            raise TypeError(f"{name}: expected {len(results)} outputs, got {len(given)}")
        checked = []
        for i, (item, valtype) in enumerate(zip(given, results, strict=True)):
            where = f"{name}: output {i} ({valtype})"
            if not _is_column(item):
                raise TypeError(f"{where}: expected a buffer, got {shown(item)}")
            buffer, lengths[where] = _checked(item, valtype, where, writable=True)
            checked.append((buffer, item))
        return checked

    def _new(self, valtype: WasmValType) -> Any:
        if valtype.kind == "v128":
            return bytearray(self.rows * _VECTOR)
        size, _, letter = _ITEMS[valtype.kind]
        if self._numpy:
            with Importing():
                import numpy as np  # noqa: PLC0415  only where the user has it

            return np.empty(self.rows, letter)
        return array.array(letter, bytes(size * self.rows))


def _single(value: Any, valtype: WasmValType, where: str) -> Any:
    """A number as a column of one row, which serves every row."""
    held = number(value, valtype.kind, where)
    if isinstance(held, bytes):
        return memoryview(held)
    return array.array(_ITEMS[valtype.kind][2], [held])


def note_row(problem: BaseException) -> None:
    """Say on an exception that came out of a run which row it was."""
    row = getattr(problem, "row", None)
    if row is None:
        return
    with contextlib.suppress(Exception):  # one that takes no attributes stays without a note
        notes = [note for note in getattr(problem, "__notes__", ()) if not str(note).startswith("in row ")]
        problem.__notes__ = [*notes, f"in row {row} of map"]  # type: ignore[attr-defined]
