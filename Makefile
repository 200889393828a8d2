# Letheon's tasks. Each first builds .venv from requirements.lock, and again when the lock or pyproject.toml changes.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
# The first of these that is new enough and has venv; override with `make PYTHON=/path/to/python …`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)

.PHONY: quickstart test test-slow test-all test-host-versions gpu-check check audit-dependencies format bench tables figures environment browser lock clean help

quickstart: environment ## a whole sweep on this machine: prepare a tiny model, search, print the front (no GPU, no server)
	@$(BIN)/letheon sweep quickstart

test: environment browser ## the tests, in two processes; not those that are long and rarely fail (eight minutes on two cores)
	@$(BIN)/pytest -m "not slow" $(TWO_AT_A_TIME)

test-slow: environment browser ## the long ones: killed drivers, full disks, lost nodes, wheels, every page in a browser
	@status=0; said=$$(mktemp); trap 'rm -f $$said' EXIT; \
	{ $(SLOW)/clusters $(IN_CLUSTERS) || $(SLOW)/clusters --last-failed $(IN_CLUSTERS); } > $$said 2>&1 & \
	{ $(SLOW)/others $(OTHERS) || $(SLOW)/others --last-failed $(OTHERS); } || status=1; \
	wait $$! || status=1; cat $$said; \
	exit $$status

test-all: environment browser ## all tests
	@status=0; $(MAKE) --no-print-directory test || status=1; $(MAKE) --no-print-directory test-slow || status=1; \
	exit $$status

# By files: what a file prepares once is for all of its tests. `tests/conftest.py` has the order. (Groups across files,
# `--dist loadgroup`, have no effect in pytest 9.2.)
TWO_AT_A_TIME := -n 2 --dist loadfile --no-loadscope-reorder
# One after another: a job of a cluster takes the newest cluster of the machine for its own (`--address auto`).
# `tests/trust` comes first, before another Ray holds a port that it asks.
IN_CLUSTERS := tests/trust tests/faults tests/letheon/cluster/test_jobs.py tests/letheon/workers/test_two_nodes.py
OTHERS := $(IN_CLUSTERS:%=--ignore=%)
# What fails is run once more, by itself: these tests kill processes and wait for others on a machine that may be busy.
SLOW := $(BIN)/pytest -m slow -o cache_dir=.pytest_cache

test-host-versions: environment ## tests of models and training on the oldest torch and transformers of GPU hosts (downloads 550 MB)
	@$(BIN)/python .ci/host_versions.py .venv/host-versions $(HOST_TESTS)

HOST_TESTS := tests/trainables/model tests/trainables/self_check tests/trainables/training tests/trainables/batching \
	tests/trainables/inputs tests/trainables/jobs tests/trainables/evaluation/decoding

check: environment ## lint, format, types, import rules, docs, known vulnerabilities; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy platform/letheon trainables tests $(wildcard benchmarks/*.py)
	@$(BIN)/pytest -q tests/test_architecture.py tests/test_layers.py tests/test_docs.py tests/test_modules_are_tested.py tests/test_readme.py tests/trust/test_sources.py tests/trust/test_dependencies.py
	@$(BIN)/python .ci/audit_dependencies.py

audit-dependencies: environment ## known vulnerabilities in the locked packages (part of `make check`; prints NOT AUDITED if it cannot)
	@$(BIN)/python .ci/audit_dependencies.py

format: environment ## format the code and apply lint's fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: environment ## run every benchmark; each prints a table and one JSON line
	@for script in $(sort $(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script; done

gpu-check: environment ## all that only a GPU can tell: a JSON line per check in gpu-check.jsonl; PART=1 to 8: one call of 8 minutes
	@$(BIN)/python -m benchmarks.gpu $(if $(PART),--part $(PART)) $(OPTIONS)

tables: environment ## record the tables that searches are compared on (hours; TABLE=lume: one; DATA=folder of tofu/ and lume/)
	@$(BIN)/python benchmarks/tables/make.py $(TABLE) $(if $(DATA),--data $(DATA))

figures: environment browser ## README's pictures and figures, from the quickstart in .letheon (run it first)
	@$(BIN)/python -m benchmarks.figures.quickstart

environment: .venv/.project ## .venv with the locked packages and this checkout, editable

browser: ## Chromium and its driver for the dashboard's tests, from the distribution if possible
	@command -v chromedriver >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
		echo "Installing chromium and chromium-driver for the dashboard's tests …"; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1; }; } || \
		echo "No chromedriver: the dashboard's tests in a browser will be skipped (Debian: apt install chromium chromium-driver)."

# pip would compile everything on one core for a minute. Without that, every worker would compile at its first import,
# repeatedly if the environment forbids writing bytecode. So: all cores, without tests and most model families.
RARELY_IMPORTED := /tests?/|/transformers/models/(?!llama/|auto/)[^/]+/|/(rllib|pip|fontTools)/
.venv/.lock: requirements.lock
	@"$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "PYTHON='$(PYTHON)': Python 3.11 or newer with its venv module is needed;" \
			"install one (Debian: python3-venv) or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version): $$(grep -c == requirements.lock) locked packages; minutes if they must be downloaded …"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --requirement requirements.lock
	@$(BIN)/python -m compileall -q -j 0 -x '$(RARELY_IMPORTED)' .venv/lib >/dev/null 2>&1 || true # some files are templates
	@touch $@

.venv/.project: .venv/.lock pyproject.toml
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Installed letheon into .venv."

# Leaves out what only a CUDA build of torch needs: that build pins it (docs/decisions/0004).
lock: ## rewrite requirements.lock: the newest releases that pyproject.toml allows
	@new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; $(PYTHON) -m venv $$new/venv; \
	$$new/venv/bin/python -m pip install -qq --no-compile '.[dev]'; rm -rf build; \
	{ grep '^#' requirements.lock; $$new/venv/bin/python -m pip freeze --all --exclude letheon --exclude pip \
	  | grep -vE '^(cuda|nvidia|triton)' | sed 's/+[a-z0-9.]*$$//' | LC_ALL=C sort -f; } > $$new/requirements.lock; \
	grep -q ^torch== $$new/requirements.lock; cp $$new/requirements.lock requirements.lock

clean: ## remove .venv, builds and tool caches; sweeps in .letheon stay
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name '*.egg-info' -prune -exec rm -rf {} + -o -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
