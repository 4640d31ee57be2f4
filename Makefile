# Plain `make` lists what can be done. Every target does its own set-up.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# Processes that run the tests. Tests on Apache Kafka share one broker and stay together.
JOBS ?= 2
ARGS ?=
# Of `make chaos`: how many kills; a seed repeats a run.
ROUNDS ?= 100
SEED ?=
PACKAGES := command schemas sinks sources streams
CODE := $(PACKAGES) bench tests scripts

.DEFAULT_GOAL := help
.PHONY: help venv demo test chaos check format bench generate kafka clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 14

# The stamps make a second call quick. The development set holds the run-time set too.
$(VENV)/.runtime: pyproject.toml requirements.lock
	@echo "setting up $(VENV)"
	@PYTHON="$(PYTHON)" scripts/venv $(VENV)
	@touch $@

$(VENV)/.dev: pyproject.toml requirements.lock
	@echo "setting up $(VENV) for development"
	@PYTHON="$(PYTHON)" scripts/venv $(VENV) "[dev]"
	@touch $@ $(VENV)/.runtime

venv: $(VENV)/.dev ## Make the virtual environment in .venv, with all that development needs

demo: $(VENV)/.runtime ## Show the whole: simulated customers, scores that move, faults that show (ARGS="..." for options)
	@$(BIN)/corredor demo $(ARGS)

test: $(VENV)/.dev ## Run all tests (ARGS="-k name" to choose; JOBS=n processes)
	@$(BIN)/python -m scripts.kafka_jars --if-possible
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

chaos: $(VENV)/.dev ## Kill, stop and cut off processes at random, then compare all results (ROUNDS=100 SEED=n ARGS="...")
	@$(BIN)/python -m scripts.kafka_jars
	@$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

check: $(VENV)/.dev ## Check format, lint, types, import contracts and generated files
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m schemas.generate --check

format: $(VENV)/.dev ## Format the code and fix what lint can fix
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

bench: $(VENV)/.dev ## Measure speed, side by side with other ways to do the same (ARGS="..." for options)
	@$(BIN)/python -m bench $(ARGS)

generate: $(VENV)/.dev ## Write JSON Schema and AsyncAPI anew from the types
	@$(BIN)/python -m schemas.generate

kafka: $(VENV)/.dev ## Fetch Apache Kafka for CORREDOR_KAFKA=local (needs Java 17 and Maven)
	@$(BIN)/python -m scripts.kafka_jars

clean: ## Remove what was made here: environment, caches, data of runs
	@rm -rf $(VENV) .corredor .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
