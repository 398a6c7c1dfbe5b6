# Every target sets up what it needs; the machine needs only Python 3.11+, git, make and a package registry.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin
SYNCED := .venv/.synced
NODE_READY := tests/acceptance/node/node_modules/.ready
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export UV_LINK_MODE ?= copy

.PHONY: help demo serve test lint format native bench evals lock clean

help: ## Show what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(SYNCED) ## Pull the model, start a server, ask two real documents
	$(BIN)/python demo/demo.py

serve: $(SYNCED) ## Leave a server running and print the lines of Python that use it
	-$(BIN)/bookwheel models pull --data-dir .bookwheel
	$(BIN)/bookwheel serve --example --data-dir .bookwheel $(SERVE_ARGS)

test: lint $(NODE_READY) ## Run every test
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(SYNCED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(SYNCED) ## Put the code into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

native: $(SYNCED) ## Build the embedded engine for this very processor (cmake and a C++ compiler; a quarter of an hour)
	CMAKE_ARGS="-DLLAMA_LLGUIDANCE=OFF -DLLAMA_BUILD_BORINGSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF" \
		$(UV) pip install --python $(BIN)/python --no-deps --reinstall-package xllamacpp --no-binary xllamacpp \
		"$$(grep -o '^xllamacpp==[0-9.]*' requirements.lock)"

bench: $(SYNCED) ## Measure speed and memory beside the alternatives
	$(BIN)/python -m bench

evals: $(SYNCED) ## Measure what is found and answered; FULL=1: all of it
	$(BIN)/python -m evals $(if $(filter-out 0,$(FULL)),--full) $(EVALS_ARGS)

lock: $(UV) ## Choose the versions anew
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--upgrade pyproject.toml -o requirements.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## Remove everything that the other targets made
	rm -rf .uv .venv .cache .bookwheel .mypy_cache .ruff_cache .pytest_cache tests/acceptance/node/node_modules

$(UV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bookwheel needs Python 3.11 or newer: set PYTHON=...")'
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(SYNCED): $(UV) requirements-dev.lock pyproject.toml
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

$(NODE_READY): tests/acceptance/node/package-lock.json | $(SYNCED)
	cd tests/acceptance/node && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --loglevel=error --no-audit --no-fund --ignore-scripts
	touch $@
