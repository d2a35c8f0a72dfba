"""Where the engine itself does other than a script says. Everything else has to pass."""

#: By the end of a script's path: lines, and what the engine does there.
DEVIATIONS: dict[str, dict[int, str]] = {
    "branch_hint.wast": {
        86: "the engine accepts branch hints at instructions that are no branches",
    },
}

#: By the end of a folder's path: why its scripts cannot be run at all.
LEFT_OUT: dict[str, str] = {
    "legacy": "wasm-tools and the engine have given up the first design of exceptions",
    "legacy/exceptions/core": "wasm-tools and the engine have given up the first design of exceptions",
    "proposals/custom-descriptors": "the engine does not have custom descriptors",
    "stack-switching": "the engine's C library does not have stack switching",
}
