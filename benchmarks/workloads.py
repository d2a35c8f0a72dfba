"""What is timed: each workload's module, statement, and the answer that is checked first.

A peer's adapter turns a workload into a namespace for its statement. Statements name ``f``, the thing
under test, so that every peer runs the same Python text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Workload:
    """Something to time.

    Attributes:
        name: Its name in the table.
        statement: The Python text that is timed, once per round.
        answer: What it evaluates to, checked before timing.
        wat: The module that it needs.
    """

    name: str
    statement: str
    answer: Any
    wat: str


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("nop", "f()", None, '(module (func (export "f")))'),
        Workload(
            "add_i32",
            "f(1, 2)",
            3,
            '(module (func (export "f") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))',
        ),
    )
}
