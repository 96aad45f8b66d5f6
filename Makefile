# `make demo` shows it working, `make test` passes the tests; Python 3.11 or newer is all they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
CLUSTER ?= simulated

.PHONY: docs demo quickstart test venv lint unit coverage mutation sim integration e2e bench bench-report chaos soak fuzz lock plugin

venv: $(VENV)/.installed

# The lock holds every version and hash; our own package is built with what the lock installed.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The demo needs half of that: where nothing is installed yet, it takes no more, and compiles only what it imports.
DEMO_VENV := $(if $(wildcard $(VENV)/.installed),venv,$(VENV)/.demo-installed)

$(VENV)/.demo-installed: requirements-demo.lock pyproject.toml
	@echo "Installing what the demo needs into $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements-demo.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(DEMO_VENV) ## A ModelInfer on a control plane with simulated nodes, live; CLUSTER=real takes hack/cluster's
	@PYTHONPATH=hack $(BIN)/python -m demo --cluster $(CLUSTER) $(ARGS)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate

plugin: venv ## dist/kubectl-modelinfer, one file that Python alone runs, and the manifest for krew
	PYTHONPATH=hack $(BIN)/python -m plugin $(ARGS)

lock: ## Resolve pyproject.toml anew into requirements.lock; the other locks are the parts of it that the image and the demo need
	$(COMPILE) --extra dev -o requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock -o requirements-image.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --extra demo -o requirements-demo.lock pyproject.toml

test: lint docs unit sim integration e2e

docs: venv ## The documentation as a site in build/site; fails at a link that leads nowhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

quickstart: venv ## Real nodes, the controller's image, and a model server that answers: docs/quickstart.md. Debian, as root
	@$(BIN)/python hack/quickstart $(ARGS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hack/code_lists.py --check

COVERED := tests/unit/planning tests/unit/kube/cache tests/unit/kube/workqueue

unit: venv coverage
	$(BIN)/pytest tests/unit $(COVERED:%=--ignore=%) $(ARGS)

coverage: venv ## Every branch of the planner, the caches and the work queue is taken by their own tests
	$(BIN)/coverage run -m pytest $(COVERED)
	$(BIN)/coverage report

mutation: venv ## Which changes of the planner's code no test notices: `mutmut results` lists them. An hour, in parts if you like
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable '.[mutation]' 'mutmut>=3.8'
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/mutmut run $(ARGS)

sim: venv
	$(BIN)/pytest tests/sim $(ARGS)

# In real time, on servers that share the machine with whatever else runs there: what failed gets one more try, alone, so
# that a fault is told from a moment without a processor. A fault fails again.
integration: venv
	$(BIN)/pytest tests/integration $(ARGS) || $(BIN)/pytest tests/integration --last-failed --last-failed-no-failures none $(ARGS)

# On real nodes, which need Linux and root; elsewhere it is left out, and says so. MODELINFER_E2E=required forbids that.
e2e: venv
	$(BIN)/pytest tests/e2e $(ARGS) || $(BIN)/pytest tests/e2e --last-failed --last-failed-no-failures none $(ARGS)

chaos: venv ## A real control plane, faults of every kind, and a judge: minutes by default, ARGS="--hours 2" for longer
	PYTHONPATH=hack:tests:tests/integration $(BIN)/python -m chaos $(ARGS)

soak: venv ## 24 hours of virtual time in which ModelInfers come and go; ARGS=--real is an hour on a real control plane
	PYTHONPATH=hack:tests:tests/integration $(BIN)/python -m sim.soak $(ARGS)

bench: venv
	PYTHONPATH=hack:tests:tests/unit $(BIN)/python -m bench $(ARGS)

bench-report: venv ## docs/performance.md and its plots, from the JSON in hack/bench/results
	PYTHONPATH=hack:tests:tests/unit $(BIN)/python -m bench.report

.PHONY: dist release
dist: venv ## dist/install.yaml: the CRD and everything else in one file
	$(BIN)/python hack/release.py

release: venv ## Everything a release holds, in dist/$(VERSION): make release VERSION=0.2.0
	$(BIN)/python hack/release.py $(VERSION) $(ARGS)

HISTORIES ?= 1000
SEED ?= 0
STEPS ?= 20

fuzz: venv ## Random histories of the whole controller; prints how many ran and the seed of the first that failed
	PYTHONHASHSEED=0 PYTHONPATH=tests $(BIN)/python -m sim.fuzz --histories $(HISTORIES) --seed $(SEED) --steps $(STEPS) $(ARGS)
