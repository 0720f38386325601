# Everything a user or a developer does, in one word each. Only `setup` needs the network.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
CODE := orchestrator tests benchmarks
# tests/conftest.py says which files begin first.
TEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-fast test-faults test-slurm test-all lint types fmt check bench chaos references clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## install everything into .venv, once

# Made anew only when the requirements change; the installation is editable, so that code changes need none.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "orch needs Python 3.11 or newer; name one: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## run a small GAN study to its report
	$(BIN)/orch submit jobs/quickstart.yaml
	@echo
	@echo "Open the report: results/quickstart/report/index.html"

test-fast: $(STAMP) ## the tests that start no Ray and no server
	$(TEST) -m "not slow"

test: $(STAMP) ## all tests but those of faults and clusters
	$(TEST) -m "not faults and not slurm"

test-faults: $(STAMP) ## what is taken away, autoscaling and remote jobs, on clusters of several nodes
	$(TEST) tests/ray -m faults

test-slurm: $(STAMP) ## studies on a real Slurm, where Debian's packages of it and root are there
	$(BIN)/python -m pytest tests/slurm

test-all: $(STAMP) ## all tests
	$(TEST)

lint: $(STAMP) ## style and the direction of imports
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/lint-imports

types: $(STAMP) ## static types
	$(BIN)/mypy

fmt: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

check: lint types test-all ## all that must be green before a change lands

bench: $(STAMP) ## speed, as ratios measured side by side, and the coverage of intervals
	$(BIN)/python -m benchmarks

chaos: $(STAMP) ## five minutes of faults at random, and a table of what they cost
	$(BIN)/python -m tests.ray.chaos

references: $(STAMP) ## run the studies of results/ again, and write their table of verdicts
	$(BIN)/python -m benchmarks.references

clean: ## remove the installation and caches; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info
