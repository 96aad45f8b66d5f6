# `make demo` shows it working, `make test` passes the tests; Python 3.11 or newer is all they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test venv lint unit sim integration bench fuzz lock

venv: $(VENV)/.installed

# The lock holds every version and hash; our own package is built with what the lock installed.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate

lock: ## Resolve pyproject.toml anew into requirements.lock; the image's lock is the part of it that the controller needs
	$(COMPILE) --extra dev -o requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock -o requirements-image.lock pyproject.toml

test: lint unit sim integration

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: venv
	$(BIN)/pytest tests/unit $(ARGS)

sim: venv
	$(BIN)/pytest tests/sim $(ARGS)

integration: venv
	$(BIN)/pytest tests/integration $(ARGS)

bench: venv
	PYTHONPATH=hack $(BIN)/python -m bench $(ARGS)
