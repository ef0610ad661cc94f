# Usable on a box with Python 3.11 to 3.14 and make alone.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Of `make faults`: runs, and the first one's seed.
N ?= 60
SEED ?= 1

# The first Python that is new enough and can make environments; else any, to say what is wrong.
choose = python=; \
	for p in "$(PYTHON)" python3.14 python3.13 python3.12 python3.11; do \
		"$$p" -I -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
			2>/dev/null && { python=$$p; break; }; \
	done; \
	python=$${python:-$(PYTHON)}; \
	command -v "$$python" >/dev/null || { \
		echo "preflight: no Python found: install Python 3.11 to 3.14 (apt install python3 python3-venv)" >&2; \
		exit 1; \
	}
bootstrap = @$(choose); "$$python" -I .ci/preflight.py && "$$python" -I .ci/bootstrap.py

.PHONY: help run test test-long coverage faults check bench setup wheel clean

.DEFAULT_GOAL := run

help: ## what `make` can do
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: ## the console on the demo
	@$(choose); "$$python" -I .ci/preflight.py --terminal && \
		"$$python" -I .ci/bootstrap.py base kernels
	@exec $(BIN)/pmpro-tui --demo

setup: ## environment, packages and kernels, nothing started
	$(bootstrap) base kernels

test: ## the whole suite
	$(bootstrap) test research terminal web
	$(PYTEST) -n 2 -m "not long"

test-long: ## what takes longer
	$(bootstrap) test research terminal web
	$(PYTEST) -m long

coverage: ## which lines the suite runs, in the terminal and in htmlcov/; takes longer than the suite
	$(bootstrap) test dev research terminal web
	$(PYTEST) -n 2 -m "not long" --cov --cov-report=term --cov-report=html

faults: ## random faults and kills under a replay: N runs from SEED on
	$(bootstrap) test research terminal
	$(BIN)/python -m tests.faults.campaign --n $(N) --seed $(SEED)

check: ## format, lint, types, import contracts, dead code, dependencies, spelling
	$(bootstrap) test dev web
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry .
	$(BIN)/codespell

wheel: ## dist/*.whl, to install elsewhere; docs/INSTALLATION.md says how, with extras too
	$(bootstrap) base
	$(BIN)/python -m pip --disable-pip-version-check wheel --no-deps --no-build-isolation \
		--wheel-dir dist .

bench: ## how fast a year of backtest is
	$(bootstrap) base kernels
	$(BIN)/pmpro bench backtest

clean: ## remove the environment and what tools left behind; never state or data
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage htmlcov snapshot_report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
