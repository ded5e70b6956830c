# make demo   the whole road on the built-in market: finetune, backtest, report
# make test   lint, types and the fast tests       make test-slow   the minutes-long ones
# make bench  speed and memory of forecasts, training steps and windows, next to the plain way (some minutes, an idle machine)
# All make the environment in .venv first, if it is not there yet.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Recipes name the environment by a relative path: the project's own may hold spaces.

.PHONY: help env demo test lint test-fast test-slow bench format clean

help:
	@sed -n '1,4p' Makefile

env: $(VENV)/ready

# torch first and alone: a resolver that backtracks with torch in the same call may fetch another build of it.
$(VENV)/ready: constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making the environment in $(VENV): some minutes, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: env
	$(BIN)/python train.py experiment=demo
	$(BIN)/python backtest.py experiment=demo
	@echo
	@echo "To go on, activate the environment:"
	@echo "  source '$(CURDIR)/$(VENV)/bin/activate'"

test: env lint test-fast

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

# Two files at a time, on one thread each; of one file, or a folder that tests/conftest.py names, the tests share what is
# expensive to make.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

test-fast: env
	$(PYTEST) -m "not slow"

test-slow: env
	$(PYTEST) -m slow

bench: env
	$(BIN)/python benchmarks/forecast.py --table cpu
	$(BIN)/python benchmarks/forecast.py --table memory --reference-series 0 --repeats 1
	$(BIN)/python benchmarks/dataloader.py
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/backtest.py

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
