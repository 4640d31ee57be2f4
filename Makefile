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
# Of `make soak`.
MINUTES ?= 30
PACKAGES := command console schemas sinks sources streams
CODE := $(PACKAGES) bench deploy tests scripts

.DEFAULT_GOAL := help
.PHONY: help venv demo test chaos check format bench soak bench-peers generate docs screenshots kafka clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

# The stamps make a second call quick. The development set holds the run-time set too.
$(VENV)/.runtime: pyproject.toml requirements.lock
	@echo "setting up $(VENV)"
	@PYTHON="$(PYTHON)" scripts/venv $(VENV) "[console]"
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
	@$(BIN)/python -m scripts.monitoring --if-possible
	@$(BIN)/python -m scripts.browser --if-possible
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

chaos: $(VENV)/.dev ## Kill, stop and cut off processes at random, then compare all results (ROUNDS=100 SEED=n ARGS="...")
	@$(BIN)/python -m scripts.kafka_jars
	@$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

check: $(VENV)/.dev ## Check format, lint, types, import contracts, generated files, rules, dashboards, manifests, docs
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m schemas.generate --check
	@$(BIN)/corredor rules --check
	@$(BIN)/corredor dashboards --check
	@$(BIN)/python deploy/kubernetes/generate.py --check
	@$(BIN)/python -m scripts.reference --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.dev ## Format the code and fix what lint can fix
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

bench: $(VENV)/.dev ## Measure speed, side by side with other ways to do the same (ARGS="..." for options)
	@$(BIN)/python -m bench $(ARGS)

bench-peers: $(VENV)/.dev ## Measure the same job in Faust, Quix Streams, Bytewax and a loop by hand (ARGS="..." for options)
	@$(BIN)/python -m bench.peers --write $(ARGS)

soak: $(VENV)/.dev ## Run the whole at 70 % of its capacity, then count what is lost, left over or grown (MINUTES=30 ARGS="...")
	@$(BIN)/python -m scripts.kafka_jars
	@$(BIN)/python -m bench.soak --minutes $(MINUTES) $(ARGS)

generate: $(VENV)/.dev ## Write JSON Schema, AsyncAPI and the reference pages anew from the program
	@$(BIN)/python -m schemas.generate
	@$(BIN)/python -m scripts.reference

docs: $(VENV)/.dev ## Serve the documentation on http://127.0.0.1:8000 while it is written (`make check` builds it into site/)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict

screenshots: $(VENV)/.dev ## Take the pictures of the console in docs/screenshots, from a demo with faults
	@$(BIN)/python -m scripts.browser
	@$(BIN)/python -m tests.console.screenshots docs/screenshots

kafka: $(VENV)/.dev ## Fetch Apache Kafka for CORREDOR_KAFKA=local (needs Java 17 and Maven)
	@$(BIN)/python -m scripts.kafka_jars

clean: ## Remove what was made here: environment, caches, data of runs
	@rm -rf $(VENV) .venv-peers .corredor .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist site *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
