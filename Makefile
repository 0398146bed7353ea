# Everything needs Python 3.11 or newer and make; each target sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test lint types audit bench lock docs clean

## run: start everything on this machine, with a demo issuer, and print a session to paste
run: .venv/.server
	$(BIN)/keywright dev $(ARGS)

## test: lint, types, import rules, known vulnerabilities, then every test
test: lint types audit
	@sh scripts/provision.sh
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/.dev
	$(BIN)/mypy

audit: .venv/.dev
	$(BIN)/python scripts/audit.py requirements/server.txt

## bench: measure on this machine
bench: .venv/.dev
	$(BIN)/python -m bench.management

## lock: resolve the newest versions that pyproject.toml allows, with hashes and without addresses
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml
lock: .venv/.dev
	$(LOCK) --extra server --group build -o requirements/server.txt
	$(LOCK) --extra server --group build --group dev -o requirements/dev.txt

## docs: write the pages that are generated from the code
docs: .venv/.dev
	$(BIN)/python scripts/configuration_reference.py
	$(BIN)/python scripts/command_line_reference.py

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Keywright needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv

# The locks name everything, so pip resolves nothing (--no-deps): a release made after the lock cannot come between.
.venv/.server: requirements/server.txt | .venv/bin/python
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/server.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt | .venv/bin/python
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ .venv/.server
