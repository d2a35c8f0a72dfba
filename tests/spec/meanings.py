"""What the texts of scripts mean: which trap, which failure to link, which fault of a module.

The engine has words of its own for some of them. A trap is accepted by its code, and its message must have
the engine's words for that code.
"""

from __future__ import annotations

import re

from wasmtime_rt import CompileError, LinkError, TrapCode, WasmTrap

_NULL = (TrapCode.NULL_REFERENCE, "null reference")
_TO_NULL = (TrapCode.INDIRECT_CALL_TO_NULL, "uninitialized element")

#: The beginning of a script's text, and the traps that it may mean: code, and words of the engine.
TRAPS: dict[str, tuple[tuple[TrapCode, str], ...]] = {
    "allocation size too large": ((TrapCode.ALLOCATION_TOO_LARGE, "allocation size too large"),),
    "call stack exhausted": ((TrapCode.STACK_OVERFLOW, "call stack exhausted"),),
    "cast failure": ((TrapCode.CAST_FAILURE, "cast failure"),),
    "continuation already consumed": (
        (TrapCode.CONTINUATION_ALREADY_CONSUMED, "continuation already consumed"),
    ),
    "expected shared memory": ((TrapCode.ATOMIC_WAIT_NON_SHARED_MEMORY, "non-shared memory"),),
    "indirect call type mismatch": ((TrapCode.BAD_SIGNATURE, "indirect call type mismatch"),),
    "integer divide by zero": ((TrapCode.INTEGER_DIVISION_BY_ZERO, "integer divide by zero"),),
    "integer overflow": ((TrapCode.INTEGER_OVERFLOW, "integer overflow"),),
    "invalid conversion to integer": ((TrapCode.BAD_CONVERSION_TO_INTEGER, "invalid conversion to integer"),),
    "null array reference": (_NULL,),
    "null exception reference": (_NULL,),
    "null function reference": (_NULL, _TO_NULL),
    "null i31 reference": (_NULL,),
    "null reference": (_NULL,),
    "null structure reference": (_NULL,),
    "out of bounds array access": ((TrapCode.ARRAY_OUT_OF_BOUNDS, "out of bounds array access"),),
    "out of bounds memory access": ((TrapCode.MEMORY_OUT_OF_BOUNDS, "out of bounds memory access"),),
    "out of bounds table access": ((TrapCode.TABLE_OUT_OF_BOUNDS, "out of bounds table access"),),
    "unaligned atomic": ((TrapCode.HEAP_MISALIGNED, "unaligned atomic"),),
    "undefined element": ((TrapCode.TABLE_OUT_OF_BOUNDS, "undefined element"),),
    "unhandled tag": ((TrapCode.UNHANDLED_TAG, "unhandled tag"),),
    "uninitialized element": (_TO_NULL,),
    "unreachable": ((TrapCode.UNREACHABLE_CODE_REACHED, "unreachable"),),
}

#: What of a `LinkError` a script's text stands for.
_LINKS = {
    "unknown import": re.compile(r": missing$", re.MULTILINE),
    "incompatible import type": re.compile(r": got |incompatible import type"),
}

#: What the engine says of an invalid module where it does not say it as scripts do.
_INVALID = {
    "immutable array": "array is immutable",
    "immutable field": "field is immutable",
    "immutable global": "global is immutable",
    "invalid lane index": "SIMD index out of bounds",
    "memory size must be at most 65536 pages (4GiB)": "memory size must be at most 0x10000 65536-byte pages",
}

#: A refusal that says nothing of the module: what it uses is off.
_FEATURE_OFF = re.compile(r"not enabled|must be enabled|support is disabled|feature required|required for")


def is_trap(trap: WasmTrap, text: str) -> bool:
    """Whether ``trap`` is the one that a script calls ``text``; what is not in the table must be said in it."""
    meant = max((known for known in TRAPS if text.startswith(known)), key=len, default=None)
    if meant is None:
        return text in str(trap)
    return any(trap.code == code and words in str(trap) for code, words in TRAPS[meant])


def is_link_failure(problem: LinkError, text: str) -> bool:
    """Whether ``problem`` is the one that a script calls ``text``."""
    meant = _LINKS.get(text)
    return text in str(problem) if meant is None else meant.search(str(problem)) is not None


def is_invalid(problem: CompileError, text: str) -> bool:
    """Whether ``problem`` says what is not valid, which a script calls ``text``."""
    said = str(problem)
    return any(words in said for words in (text, text.partition(":")[0], _INVALID.get(text, text)))


def is_malformed(problem: CompileError, *, binary: bool) -> bool:
    """Whether ``problem`` says that a module cannot be decoded or parsed.

    The engine's decoder and parser say it in many ways; what counts is that they say it, and not that the
    module would be fine if some feature were on. In text, an unknown word is one of the ways.
    """
    return not (binary and _FEATURE_OFF.search(str(problem)))
