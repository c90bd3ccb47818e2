# Everything runs in .venv, which is made here and thrown away by `make clean`. The system's Python is left alone.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo up down logs test test-unit test-process test-stack test-scenarios quiet check fix bench docs clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/.demo ## a paper-trading bot, watched: no Docker, no account (ARGS="--bars FILE.csv --duration 20s --json")
	@$(BIN)/otel-mcbot demo $(ARGS)

up: ## Collector, Prometheus, Tempo, Loki and Grafana, in Docker (ARGS="--profile demo": and a demo bot)
	docker compose $(ARGS) up -d --wait

down: ## stop them; what they stored stays
	docker compose --profile demo down

logs: ## what they say
	docker compose --profile demo logs --follow --tail 50

test: test-unit test-process ## all that needs only Python

test-unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto tests --ignore tests/process --ignore tests/stack --ignore tests/scenarios --ignore tests/typing $(ARGS)

# real processes, killed for real: most of the time they wait, so two files at a time
test-process: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/process $(ARGS)

# stacks of their own, beside one that runs: other names, other ports, other volumes
test-stack: $(VENV)/.dev ## the real servers, in Docker
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/stack $(ARGS)

test-scenarios: $(VENV)/.dev ## faults of all kinds and their messages, on two stacks of their own: 40 minutes at most
	$(BIN)/python -m pytest tests/scenarios -s $(ARGS)

quiet: $(VENV)/.dev ## an hour of an ordinary demo on a stack of its own: nothing may come (ARGS="--minutes 5")
	PYTHONPATH=tests/stack $(BIN)/python tests/scenarios/quiet.py $(ARGS)

check: $(VENV)/.dev ## style, types (mypy and pyright), import rules, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -W error -c 'import otel_mcbot'
	$(BIN)/python tests/docs.py --check
	$(BIN)/otel-mcbot grafana build --check

fix: $(VENV)/.dev ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## write the generated pages anew
	$(BIN)/python tests/docs.py
	$(BIN)/otel-mcbot grafana build

bench: $(VENV)/.dev ## what it costs, next to what you would have used instead
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "otel-mcbot needs Python 3.11 or newer on the PATH, or PYTHON=/path/to/it" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) has no venv module (Debian: apt install python3-venv)" >&2; exit 2; }
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . >&2
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' >&2
	@touch $@ $(VENV)/.demo
