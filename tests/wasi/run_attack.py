"""Run one attack in this process: ``python run_attack.py MODULE NAME FOLDER``."""

import faulthandler
import importlib
import sys
from pathlib import Path


def main() -> None:
    """Run the attack that the arguments name."""
    module, name, folder = sys.argv[1:]
    faulthandler.dump_traceback_later(50, exit=True)
    attack = Path(folder, "mount")
    attack.mkdir(exist_ok=True)
    getattr(importlib.import_module(module), name)(attack)


if __name__ == "__main__":
    main()
