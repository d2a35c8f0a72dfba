"""WASI as guests see it: the modules beside this file, for the tests to import."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
