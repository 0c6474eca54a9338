# Two commands: `make serve` runs the proxy, `make test` runs every check. Both make a virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Processes that share the tests; 0 runs them in one, which a debugger needs.
JOBS ?= auto

.PHONY: serve test lint types check format fuzz bench clean

serve: $(VENV)/.installed
	$(BIN)/python -m headroom.serve $(ARGS)

test: lint types check

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

check: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Each fuzz target for SECONDS seconds: make fuzz SECONDS=60
SECONDS ?= 20
fuzz: $(VENV)/.installed-test
	$(BIN)/pip install --quiet -e '.[fuzz]'
	for target in fuzz/fuzz_*.py; do \
	  name=$$(basename $$target .py); \
	  $(BIN)/python -m fuzz.$$name -max_total_time=$(SECONDS) fuzz/corpus/$${name#fuzz_} || exit 1; \
	done

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.bench_locate

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
