# The commands for users and contributors. Most targets run `make setup` first, which takes a fraction of a second if
# nothing is missing.

HOSTS ?= pi3b
ARGS  ?=

PYTHON := .venv/bin/python

SHELL         := /bin/sh
.SHELLFLAGS   := -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help setup feasibility test bench bench-fleet bench-gate bench-outliers docs lint clean

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "HOSTS=$(HOSTS)  hosts, groups and patterns of hosts.ini: make feasibility HOSTS=pi2b,pi3b"
	@echo "ARGS=        additional arguments of pytest: make feasibility ARGS='--microcloud-effort=quick -k serving'"

setup: ## install what the plugin needs: packages, Docker engine, .venv
	@./setup.sh

feasibility: setup ## run the suites on HOSTS and write reports/feasibility.html
	$(PYTHON) -m pytest suites/ --hosts='$(HOSTS)' $(ARGS)

test: ## run the plugin's own tests
	@./setup.sh test
ifeq ($(strip $(ARGS)),)
	$(PYTHON) -m pytest -n auto -m 'not engine and not long and not fleet'
	$(PYTHON) -m pytest -m 'engine and not long and not fleet' # one by one: boards on the same disk disturb each other
else
	$(PYTHON) -m pytest $(ARGS)
endif

bench: setup ## measure how much time the plugin itself takes
	$(PYTHON) -m benchmarks $(ARGS)

bench-fleet: setup ## measure how much time and memory of this machine many boards take (20 minutes)
	$(PYTHON) -m benchmarks.fleet $(ARGS)

bench-gate: setup ## simulate how often the gate raises false alarms and finds changes (1 minute)
	$(PYTHON) -m benchmarks.gate_simulation

bench-outliers: setup ## simulate the thresholds for boards that deviate from their fleet (2 minutes)
	$(PYTHON) -m benchmarks.outlier_thresholds

docs: setup ## build the documentation site into site/; a broken link is an error
	$(PYTHON) -m mkdocs build --strict --quiet

lint: setup ## check style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

clean: ## remove leftovers of runs from this machine's engine, then remove .venv
	@if [ -x .venv/bin/microcloud ]; then .venv/bin/microcloud clean; fi
	rm -rf .venv
