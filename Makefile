# Everything a newcomer types. `make setup` is called by the others and costs next to nothing once it has run.

HOSTS ?= pi3b
ARGS  ?=

PYTHON := .venv/bin/python

SHELL         := /bin/sh
.SHELLFLAGS   := -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help setup feasibility test bench bench-fleet bench-gate bench-outliers docs lint clean

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "HOSTS=$(HOSTS)  hosts, groups and patterns of hosts.ini: make feasibility HOSTS=pi2b,pi3b"
	@echo "ARGS=        more for pytest: make feasibility ARGS='--microcloud-effort=quick -k serving'"

setup: ## bring this machine to where the plugin runs: packages, Docker engine, .venv
	@./setup.sh

feasibility: setup ## run the suites on HOSTS and write reports/feasibility.html
	$(PYTHON) -m pytest suites/ --hosts='$(HOSTS)' $(ARGS)

test: ## run the plugin's own tests
	@./setup.sh test
ifeq ($(strip $(ARGS)),)
	$(PYTHON) -m pytest -n auto -m 'not engine and not long and not fleet'
	$(PYTHON) -m pytest -m 'engine and not long and not fleet' # one by one: boards that share a disk disturb each other
else
	$(PYTHON) -m pytest $(ARGS)
endif

bench: setup ## measure what the harness itself costs
	$(PYTHON) -m benchmarks $(ARGS)

bench-fleet: setup ## measure what many boards at once cost the controller (twenty minutes)
	$(PYTHON) -m benchmarks.fleet $(ARGS)

bench-gate: setup ## simulate how often the gate is wrong, and how often right (a minute)
	$(PYTHON) -m benchmarks.gate_simulation

bench-outliers: setup ## simulate the thresholds for boards that deviate from their fleet (two minutes)
	$(PYTHON) -m benchmarks.outlier_thresholds

docs: setup ## build the documentation site into site/; broken links fail
	$(PYTHON) -m mkdocs build --strict --quiet

lint: setup ## style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

clean: ## remove what runs left on this machine's engine, then .venv
	@if [ -x .venv/bin/microcloud ]; then .venv/bin/microcloud clean; fi
	rm -rf .venv
