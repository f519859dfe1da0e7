# Everything a developer runs. It needs Python 3.11 or later with pip, git and make; all else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

# The interpreter that .venv is made with: the first of these that is new enough, or `make PYTHON=...`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

# Tests start many programs: without its bytecode kept, each would compile the whole library again.
export PYTHONDONTWRITEBYTECODE :=

# Most tests wait for processes; more workers than cores only make them late.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal

.PHONY: help demo test laws slow coverage check bench docs format lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/run.stamp ## 200 conversations at once on the built-in agent; no key, no network
	$(BIN)/triologue demo

test: $(VENV)/dev.stamp ## the default test suite
	$(BIN)/python -m pytest -q $(PARALLEL)

LAW_EXAMPLES ?= 10000

laws: $(VENV)/dev.stamp ## every law of the design with 10,000 programs (LAW_EXAMPLES=2000 for fewer)
	LAW_EXAMPLES=$(LAW_EXAMPLES) $(BIN)/python -m pytest -q $(PARALLEL) -o timeout=7200 -o faulthandler_timeout=7100 \
		--durations=0 --durations-min=0.5 tests/laws

slow: $(VENV)/dev.stamp ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow --durations=5

coverage: $(VENV)/dev.stamp ## the default test suite, with branch coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

check: $(VENV)/dev.stamp docs ## lint, format, types, import contracts, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp ## every benchmark in benchmarks/, one after the other
	@set -e; for bench in benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python "$$bench"; done

docs: $(VENV)/dev.stamp ## the documentation, into docs/_build
	$(BIN)/sphinx-build -n -W --keep-going -q docs docs/_build

format: $(VENV)/dev.stamp ## rewrite the code as ruff likes it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The locks pin every version for all supported Pythons on Linux and macOS, and name no package index.
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-header --quiet --group build

lock: $(VENV)/made.stamp ## bring requirements*.lock up to date with pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(PIP) install uv
	$(COMPILE) $(UPGRADE) --extra cli -o requirements.lock
	$(COMPILE) $(UPGRADE) --extra cli --extra gateway --extra mcp --extra testing --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove .venv and everything built
	rm -rf $(VENV) docs/_build build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# Stamps: a second run installs nothing.
$(VENV)/made.stamp:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/made.stamp requirements.lock pyproject.toml
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.lock
	$(PIP) install -r requirements-dev.lock
	@touch $@
