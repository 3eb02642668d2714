# Installs, runs and tests Mortise. Plain `make` lists what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.NOTPARALLEL:

PY := .venv/bin/python
UV := .tools/bin/uv
# `make test ARGS="-k journal -x"` hands words on to pytest; so do quick and docs. `make run ARGS=--strict` hands them to serve.
ARGS ?=
FUZZ ?= 60
# A file's tests stay together, for the sake of what they share. Files are given out as they come (tests/conftest.py: the slow
# ones first); by itself xdist begins with those that hold many tests, and ends with one process at work on the longest.
# What a test has written goes with it, unless it fails: it may lie in memory.
SPREAD := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -o tmp_path_retention_policy=failed
# The first Python that is new enough; `make run PYTHON=/path/to/python3.12` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PO := $(shell find core addons -name '*.po' 2>/dev/null)

.PHONY: help run setup test quick soak bench fuzz lint fix docs pictures lock notices

help: ## list these targets
	@echo "Mortise. Start with: make run"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: setup ## install what is missing, bring the database up to date, and serve
	@exec $(PY) run.py serve $(ARGS)

setup: .venv/.runtime core/web/static/vendor/.ok .venv/.translations ## only install

test: .venv/.dev setup ## install what tests need, and run all of them
	$(PY) -m tests.servers install
	$(PY) -m tests.guards
	.venv/bin/ruff check --quiet .
	$(PY) -m pytest $(SPREAD) -m "not alone" $(ARGS)
	$(PY) -m pytest -m "alone" $(ARGS) || [ $$? -eq 5 ]

quick: .venv/.dev setup ## the fast tests, under three minutes: on SQLite alone, without a browser
	$(PY) -m pytest $(SPREAD) -m "not slow and not browser and not postgres and not alone" $(ARGS)

soak: .venv/.dev setup ## ten thousand random questions about rights, on both databases; takes some minutes
	$(PY) -m tests.servers install
	$(PY) -m pytest $(SPREAD) -m soak $(ARGS)

bench: .venv/.dev setup ## measure pages of a million clients against their floor, start and memory (ARGS="--rows 100000 --runs 1")
	$(PY) run.py bench $(ARGS)

fuzz: .venv/.dev setup ## ask every operation of the API and every screen with made-up values, an hour (FUZZ=30: 30 times each)
	MORTISE_FUZZ=$(FUZZ) $(PY) -m pytest $(SPREAD) --dist load tests/core/test_fuzz_rest.py tests/core/test_fuzz_screens.py $(ARGS)

lint: .venv/.dev ## look for faults in the code
	.venv/bin/ruff check .
	$(PY) -m tests.guards

fix: .venv/.dev ## repair what lint can repair, and format
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format --quiet .

pictures: .venv/.dev setup ## make the pictures of the guide on rights anew, from the program itself
	$(PY) -m tests.docs.pictures $(ARGS)

docs: .venv/.dev setup ## check the documents: their code is run, their lists must be complete
	$(PY) -m pytest tests/docs $(ARGS)

lock: .tools/.ok ## for maintainers: renew the lock files (ARGS=--upgrade takes the newest versions)
	$(COMPILE) pyproject.toml -o requirements.lock $(ARGS)
	$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock $(ARGS)
	$(COMPILE) --group tools -o requirements-tools.lock $(ARGS)
	PATH="$(CURDIR)/.tools/bin:$$PATH" npm install --ignore-scripts --package-lock-only

notices: setup ## for maintainers: renew THIRD-PARTY.md from what is installed
	$(PY) -I deploy/notices.py > THIRD-PARTY.md

COMPILE = $(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate

# uv does not read pip's settings: where a firm has set a mirror for pip, uv is told of it. Bytecode is made at once: where
# nobody may write it later (containers, PYTHONDONTWRITEBYTECODE), each start would take two seconds more.
SYNC = mirror="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(.tools/bin/python -m pip config get global.index-url 2>/dev/null)}}"; \
	[ -z "$$mirror" ] || export UV_DEFAULT_INDEX="$$mirror"; \
	$(UV) pip sync -q --compile-bytecode --require-hashes --python $(PY)

# uv and Node, in an environment of their own, so that .venv holds exactly what the lock file says.
.tools/.ok: requirements-tools.lock
	@[ -n "$(PYTHON)" ] || { echo "Mortise needs Python 3.11 or newer. Debian, Ubuntu: sudo apt-get install python3 python3-venv. macOS: brew install python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python cannot make environments here. Type: sudo apt-get install python3-venv"; exit 1; }
	@echo "Installing the tools (uv, Node) …"
	@rm -rf .tools && $(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements-tools.lock
	@touch $@

.venv/bin/python: | .tools/.ok
	@$(PYTHON) -m venv --without-pip .venv

.venv/.runtime: requirements.lock .tools/.ok | .venv/bin/python
	@echo "Installing what Mortise needs …"
	@rm -f .venv/.dev
	@$(SYNC) requirements.lock
	@touch $@

# The packages for tests come on top of those to run; the one environment holds either set.
.venv/.dev: requirements-dev.lock requirements.lock .tools/.ok | .venv/bin/python
	@echo "Installing what the tests need …"
	@$(SYNC) requirements-dev.lock
	@touch .venv/.runtime $@

node_modules/.ok: package-lock.json package.json .npmrc .tools/.ok
	@echo "Fetching the files for the browser …"
	@PATH="$(CURDIR)/.tools/bin:$$PATH" npm ci --ignore-scripts --loglevel=error
	@touch $@

core/web/static/vendor/.ok: node_modules/.ok core/web/assets.py
	@$(PYTHON) -I core/web/assets.py
	@touch $@

.venv/.translations: .venv/.runtime $(PO)
	@[ ! -f run.py ] || $(PY) run.py translate compile
	@touch $@
