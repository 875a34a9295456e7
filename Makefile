.DEFAULT_GOAL := help
.PHONY: help setup run flow serve-flows register check test lint types fast-tests all-tests bench experiments chaos ui services services-stop tour clean

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
unexport PYTHONDONTWRITEBYTECODE # each stage is a process, which would compile all code again

UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(VENV)/.complete ## create .venv and install what `make run` needs, as requirements.lock says

$(VENV)/.complete: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock uv
	$(UV) '.[demo]'
	@touch $@

$(VENV)/.complete-test: $(VENV)/.complete
	$(UV) '.[demo,test]'
	@touch $@

run: setup ## run the pipeline (dvc repro): what changed since the last run, and what depends on it
	@python -m flows.check
	@python -m flows.explain
	@dvc repro

flow: setup ## the same as a Prefect flow, independent stages side by side
	@python -m flows.pipeline

serve-flows: setup ## serve pipeline, retrain and evaluate to Prefect, scheduled by the crons of params.yaml
	@python -m flows.serve

register: setup ## register the current model in MLflow, for example after dvc pull
	@dvc repro --force --single-item register

check: $(VENV)/.complete-test ## lint, types and the fast tests
	@$(MAKE) --no-print-directory --jobs lint types fast-tests

test: $(VENV)/.complete-test ## everything that check does, and the tests that need pipelines, servers and browsers
	@$(MAKE) --no-print-directory --jobs lint types all-tests

lint:
	@ruff check .
	@ruff format --check .

types:
	@pyright

fast-tests:
	@pytest -n logical --dist loadfile --no-loadscope-reorder -m "not slow"

all-tests: # one more worker than cores, since tests of servers wait
	@pytest -n $$(python -c 'import os; print(os.cpu_count() + 1)') --dist loadfile --no-loadscope-reorder

bench: setup ## measure every figure of docs/figures.md and print the table
	@$(UV) '.[bench]'
	@python -m benchmarks.table

experiments: run ## measure fusions, losses and task balancing; print the tables of docs/experiments.md
	@python -m benchmarks.experiments

chaos: setup ## kill driver, stages and servers 50 times and check that nothing is lost (docs/reliability.md)
	@$(UV) '.[servers]'
	@python -m benchmarks.chaos

ui: setup ## open MLflow on http://127.0.0.1:5000 (and Prefect on :4200 if its server runs)
	@python -m flows.ui

services: setup ## start PostgreSQL, and MLflow and Prefect on it, with passwords
	@$(UV) '.[servers]'
	@python -m flows.services start

services-stop: setup ## stop exactly those
	@python -m flows.services stop

tour: $(VENV)/.complete-test ## take the pictures of docs/tour.md again; needs PostgreSQL and Chromium
	@python -m tests.browser.tour

clean: ## remove what the pipeline made; keep .venv, MLflow's database and DVC's cache
	rm -rf data models work evaluations usage reports dvc_plots
