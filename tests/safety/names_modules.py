"""Modules whose names are hostile, built byte by byte."""

from __future__ import annotations

from collections.abc import Iterable

import wasmtime_rt as w

#: Functions that end in each way that the engine captures frames for; all are called through ``outer``.
TEXT = """(module
  (type $none (func))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (global $way (mut i32) (i32.const 0))
  (func $inner
    (if (i32.eq (global.get $way) (i32.const 1)) (then (unreachable)))
    (if (i32.eq (global.get $way) (i32.const 2)) (then (call $exit (i32.const 3))))
    (if (i32.eq (global.get $way) (i32.const 3)) (then (loop $again (br $again)))))
  (func $middle (param i32)
    (if (i32.eqz (local.get 0)) (then (call $inner)) (else (call $middle (i32.sub (local.get 0) (i32.const 1))))))
  (func $outer (export "outer") (param i32) (global.set $way (local.get 0)) (call $middle (i32.const 40)))
)"""
#: Functions of `TEXT` by index, the imported one included. The third fills the stack.
FUNCTIONS, RECURSIVE = range(4), range(2, 3)


def number(value: int) -> bytes:
    """Return ``value`` in LEB128."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def sized(content: bytes) -> bytes:
    """Return ``content`` behind its size."""
    return number(len(content)) + content


def custom(name: bytes, content: bytes) -> bytes:
    """Return a custom section."""
    return b"\0" + sized(sized(name) + content)


def functions(names: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the subsection of a name section with the names of functions."""
    pairs = [number(index) + sized(name) for index, name in names]
    return b"\1" + sized(number(len(pairs)) + b"".join(pairs))


def mangled(levels: int) -> bytes:
    """Return a C++ name that doubles its length with every level when it is demangled."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    parts = []
    for level in range(levels):
        high, low = divmod(level, 36)
        reference = f"S{digits[high] if high else ''}{digits[low]}_"
        parts.append(f"S_I{reference}{reference}E")
    return ("_Z1f1TIiiE" + "".join(parts)).encode()


def hostile(name: bytes, module_name: bytes = b"") -> bytes:
    """Return the module `TEXT` with ``name`` for its functions, or for one of them if the name is long."""
    section = b"\0" + sized(sized(module_name)) if module_name else b""
    named = FUNCTIONS if len(name) < 1 << 20 else RECURSIVE
    return plain(TEXT) + custom(b"name", section + functions((index, name) for index in named))


def plain(text: str) -> bytes:
    """Return the module ``text`` without its names."""
    wasm = w.wat2wasm(text)
    end, at = 8, 8
    while at < len(wasm):
        size = shift = 0
        start = at + 1
        while True:
            byte = wasm[start]
            size |= (byte & 0x7F) << shift
            shift += 7
            start += 1
            if byte < 0x80:
                break
        if wasm[at] == 0:
            break
        end = at = start + size
    return wasm[:end]
