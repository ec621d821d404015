# What people call. `make help` lists it. Everything runs in .venv, which each target makes if need be.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --universal --python-version 3.11

# Empty is off: without compiled modules each of the many processes would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-outages test-fast test-postgres properties mutants up down check fmt lock audit docs bench bench-growth faults membership soak attacks fuzz release-check

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "foxstream needs Python 3.11 or newer; '$(PYTHON)' is older or missing. Name another: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "Installing what requirements.lock names into $(VENV) (once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
		|| { echo "The packages could not be installed: pip's message above says why (no network?)." >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/ready ## start everything, import the sample files, check every count, stop everything
	@$(BIN)/python -m deploy.local.demo

SUITE = $(BIN)/pytest -n 3 --dist worksteal --max-worker-restart 1 -rsR --durations 25

test: $(VENV)/ready ## the test suite, against real embedded servers
	$(SUITE) --ignore tests/outages

test-outages: $(VENV)/ready ## tests in which servers and processes are killed, stopped and replaced
	$(SUITE) tests/outages

test-fast: $(VENV)/ready ## unit and contract tests, without servers (90 seconds)
	@$(BIN)/pytest -n 2 --dist worksteal -q tests/unit tests/contract

test-postgres: $(VENV)/ready ## the tests that write, on Debian's PostgreSQL and on 15 to 18 (NAMES="debian-15 18")
	@$(BIN)/python -m tests.postgres $(NAMES)

TIMES ?= 4
TESTS ?= tests/unit tests/contract tests/integration/test_row_writer.py
properties: $(VENV)/ready ## property tests with TIMES=4 the examples of the suite; TESTS=... chooses files
	@FOX_TEST_EXAMPLES=$(TIMES) $(BIN)/pytest -n 2 --dist worksteal -q $(TESTS)

up: $(VENV)/ready ## embedded servers, a worker and the gateway, kept running
	@$(BIN)/foxstream-local up --detach --with-worker

down: $(VENV)/ready ## stop what `make up` started
	@$(BIN)/foxstream-local down

check: $(VENV)/ready ## formatting, lint, types, import contracts, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml producers processors schemas deploy
	$(BIN)/pytest -q tests/unit/test_documents_made.py tests/unit/test_documents_true.py

fmt: $(VENV)/ready ## format, and fix what lint can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/ready ## write requirements.lock, and those of the image, anew from pyproject.toml
	$(COMPILE) --upgrade --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock pyproject.toml -o deploy/docker/requirements.lock
	echo hatchling | $(COMPILE) -c requirements.lock - -o deploy/docker/build.lock
	echo 'litellm[proxy]' | $(COMPILE) --upgrade - -o tests/foreign/litellm/requirements.lock
	printf 'gguf\nxllamacpp\n' | $(COMPILE) --upgrade - -o tests/foreign/llamacpp/requirements.lock

audit: $(VENV)/ready ## known vulnerabilities of the packages of the image; fails if one was not looked up
	@$(BIN)/python -m deploy.audit

docs: $(VENV)/ready ## pages and types made from other files anew, then the site, into site/
	@$(BIN)/python -m tests.documents
	$(BIN)/mkdocs build --quiet --strict

bench: $(VENV)/ready ## foxstream beside three others, traits, import times: docs/scalability.md (10 minutes)
	@$(BIN)/python -m tests.benchmarks quick

bench-growth: $(VENV)/ready ## producers, fairness, bad rows, growth to 5 million rows (20 minutes)
	@$(BIN)/python -m tests.benchmarks long

faults: $(VENV)/ready ## 2 million rows and 200 faults, then 1,000 texts and 2 kills, then failures of whole servers: all exact (40 minutes; OPTIONS="--rows N --faults N --seed N")
	@$(BIN)/python -m tests.faults $(OPTIONS)
	@$(BIN)/python -m tests.faults.texts
	@$(BIN)/python -m tests.faults.recoveries

membership: $(VENV)/ready ## members of a group with nothing to read for Faust's 1,000 seconds, and longer (35 minutes)
	@FOX_TEST_IDLE_SECONDS=1000 $(BIN)/pytest -q tests/integration/test_consumer.py -k "spare_worker or may_idle"

mutants: $(VENV)/ready ## break each guard of tests/mutants once, and say which test notices (10 minutes; NAMES="one other")
	@$(BIN)/python -m tests.mutants $(NAMES)

release-check: $(VENV)/ready ## what changes with the calendar: whether models of the table of prices end soon
	@$(BIN)/python -m deploy.release

soak: $(VENV)/ready ## 70 % of capacity with imports, uploads, texts and faults, for MINUTES (30): docs/scalability.md
	@$(BIN)/python -m tests.soak $(MINUTES)
	@$(BIN)/python -m tests.benchmarks.report

attacks: $(VENV)/ready ## attacks of docs/threat-model.md with real ACLs and little memory, beside other people's work (10 minutes; NAMES="one other")
	@$(BIN)/python -m tests.attacks $(NAMES)

fuzz: $(VENV)/ready ## damaged records, forms, resumable uploads and workbooks, for MINUTES (10) each (NAMES="one other")
	@$(BIN)/python -m tests.fuzz $(NAMES) --minutes $(or $(MINUTES),10)
