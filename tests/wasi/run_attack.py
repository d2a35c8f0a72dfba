"""Run one attack in this process: ``python run_attack.py MODULE NAME FOLDER [ERROR OF openat2]``."""

import faulthandler
import importlib
import sys
from pathlib import Path

from old_system import refuse_openat2


def main() -> None:
    """Run the attack that the arguments name."""
    module, name, folder, *refused = sys.argv[1:]
    if refused:
        refuse_openat2(int(refused[0]))
    faulthandler.dump_traceback_later(50, exit=True)
    attack = Path(folder, "mount")
    attack.mkdir(exist_ok=True)
    getattr(importlib.import_module(module), name)(attack)


if __name__ == "__main__":
    main()
