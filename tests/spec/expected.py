"""Where the engine itself does other than a script says: by the end of the script's path, and line."""

DEVIATIONS: dict[str, dict[int, str]] = {
    "custom/branch_hint.wast": {
        86: "the engine accepts branch hints at instructions that are no branches",
    },
}
