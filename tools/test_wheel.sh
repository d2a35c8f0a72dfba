#!/usr/bin/env bash
# Install the wheel in dist/ that fits $PYTHON into an empty environment and run tests against it, in a
# folder of their own, where the sources cannot be imported and no compiler is called.
#
#   PYTHON=python3.12 bash tools/test_wheel.sh [what pytest is given: default, all tests]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
wheel=$(ls -t "$PWD"/dist/wasmtime_rt-*-"$tag"-*.whl | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check --quiet"
CC=/bin/false $pip install "$wheel"
installed=$("$work/venv/bin/python" -m pip --disable-pip-version-check list --format=freeze | sed 's/==.*//' | grep -viE '^(pip|setuptools|wheel)$' | sort | tr '\n' ' ')
[ "$installed" = "cffi pycparser wasmtime-rt " ] || { echo "the wheel brought: $installed"; exit 1; }
cp -r tests examples pyproject.toml README.md "$work"
cd "$work"
echo "--- $tag: the quickstart, from the wheel alone"
venv/bin/python examples/quickstart.py
CC=/bin/false $pip install "$wheel[test]"
venv/bin/python - <<'PY'
import pathlib, sys, wasmtime_rt
where = pathlib.Path(wasmtime_rt.__file__).resolve()
assert pathlib.Path(sys.prefix).resolve() in where.parents, where
PY
echo "--- $tag: tests against the wheel"
venv/bin/python -m pytest -q -n 2 --dist worksteal -p no:cacheprovider "${@:-tests}"
