# Every task has one name here; `make` alone lists them. Needs Python 3.11 or newer with venv, pip and a C compiler.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# The tests start hundreds of processes: each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/installed
ARGS ?=
REPORTS ?=
# One more than the two cores a run is measured on: a test that waits for a process leaves its core to another.
WORKERS ?= 3
SECONDS ?= 30
SEED ?=

.PHONY: help demo test lint bench faults soak fuzz properties proto proto-baseline verifier audit-deps clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

demo: $(READY) ## two nations exchange reports on this machine (REPORTS=DIR for your own, ARGS=... for more options)
	@$(BIN)/comity demo $(if $(REPORTS),--reports '$(REPORTS)') $(ARGS)

test: lint ## lint, then every test (ARGS='-k name' for some of them)
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(READY) ## style, types, import contract, protocol; needs no network
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint
	$(BIN)/buf breaking --against proto/comity-v1.binpb
	$(BIN)/python proto/generate.py --check

bench: $(READY) ## measure; writes build/bench.json
	@mkdir -p build
	@$(BIN)/python tests/bench $(ARGS)

faults: $(READY) ## kill -9, disks, wires, clocks, random schedules, at full length (KILLS=50 SCHEDULES=20, SEED=n for one)
	@seed='$(SEED)'; if [ -n "$$seed" ]; then COMITY_SEED=$$seed $(BIN)/pytest tests/faults/test_schedules.py -s -k random $(ARGS); \
	else COMITY_KILLS=$${KILLS:-50} COMITY_SCHEDULES=$${SCHEDULES:-20} COMITY_SEEDS_FROM=$${FROM:-$$RANDOM} $(BIN)/pytest tests/faults -s $(ARGS); fi

soak: $(READY) ## an exchange at a steady rate, connections coming and going, and nothing grows (SOAK=1200 seconds, RATE=1000)
	@COMITY_SOAK=$${SOAK:-1200} COMITY_RATE=$${RATE:-1000} $(BIN)/pytest tests/faults/test_soak.py -s $(ARGS)

fuzz: $(READY) ## every parser of a peer's bytes under atheris (SECONDS=30 a target; ARGS=NAME for some of them)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --require-hashes --only-binary atheris -r requirements/fuzz.txt || { \
		echo "make fuzz: atheris is not installable here: no wheel for this Python and system, or no package index within reach. Nothing was fuzzed; make test tries the same parsers without it." >&2; exit 69; }
	@$(BIN)/python tests/fuzz --seconds $(SECONDS) $(ARGS)

properties: $(READY) ## the property tests with many more examples
	@$(BIN)/pytest tests/properties -n $(WORKERS) --hypothesis-profile=long $(ARGS)

proto: $(READY) ## write client/comity/v1 from proto/comity/v1
	@$(BIN)/python proto/generate.py

proto-baseline: $(READY) ## accept today's protocol as what must not break; say why in CHANGELOG.md
	@$(BIN)/buf lint
	@$(BIN)/buf build --output proto/comity-v1.binpb
	@echo "Renewed proto/comity-v1.binpb; it is committed together with a line in CHANGELOG.md."

verifier: $(READY) ## dist/comity-verify.pyz: the offline verifier in one file, same bytes every time
	@rm -rf build/verifier && mkdir -p build/verifier/comity dist
	@cp -r client/comity/verify build/verifier/comity/ && cp client/comity/__init__.py build/verifier/comity/
	@find build/verifier -name __pycache__ -prune -exec rm -r {} +
	@find build/verifier -exec touch --date="@$${SOURCE_DATE_EPOCH:-315619200}" {} +
	@TZ=UTC $(BIN)/python -m zipapp build/verifier --output dist/comity-verify.pyz --python '/usr/bin/env python3' --main comity.verify.__main__:main
	@sha256sum dist/comity-verify.pyz

audit-deps: $(READY) ## ask PyPI for known vulnerabilities of the locked packages (needs the network)
	@$(BIN)/python requirements/reach.py
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet --require-hashes -r requirements/audit.txt; }
	@build/audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements/dev.txt

clean: ## remove what builds and tests leave; .venv stays
	@rm -rf build dist demo-run .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: renewed when the lock or the package's own description changes.
$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Comity needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | tail -n 1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv: the $$(grep -c '==' requirements/dev.txt) packages locked in requirements/dev.txt, each checked by its hash, and Comity itself (editable)."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
