.DEFAULT_GOAL := help
.PHONY: help setup run flow serve-flows register test bench experiments chaos ui services services-stop tour clean

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(VENV)/.complete ## make .venv and install everything, at the versions in requirements.lock

$(VENV)/.complete: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[demo,test]'
	@touch $@

run: setup ## run the pipeline (dvc repro): what changed since the last run, and what follows from it
	@python -m components.config
	@python -m flows.why
	@dvc repro

flow: setup ## the same as a Prefect flow, independent stages side by side
	@python -m flows.pipeline

serve-flows: setup ## serve pipeline, retrain and evaluate to Prefect's server, by the crons of params.yaml
	@python -m flows.serve

register: setup ## register the model that is here, as after dvc pull, in MLflow
	@dvc repro --force --single-item register

test: setup ## run the tests
	@ruff check .
	@pytest -n logical --dist loadfile --no-loadscope-reorder

bench: setup ## measure every figure of the README and print the table
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[bench]'
	@python -m benchmarks.table

experiments: run ## measure fusions, losses and schedules and print the tables of docs/experiments.md
	@python -m benchmarks.experiments

chaos: setup ## kill driver, stages and servers 50 times and see that nothing is lost (docs/reliability.md)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[servers]'
	@python -m benchmarks.chaos

ui: setup ## open MLflow on http://127.0.0.1:5000 (and Prefect on :4200 if its server runs)
	@python -m flows.ui

services: setup ## start PostgreSQL, MLflow's server and Prefect's on it, with passwords
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[servers]'
	@python -m flows.services start

services-stop: setup ## stop exactly those
	@python -m flows.services stop

tour: setup ## take the pictures of docs/tour.md anew; wants PostgreSQL and Chromium
	@python -m tests.browser.tour

clean: ## remove what the pipeline made; keep .venv, MLflow's database and DVC's cache
	rm -rf data models work exams usage reports dvc_plots
