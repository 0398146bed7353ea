# Everything needs Python 3.11 or newer and make; each target sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test check covered history ha starts simulate lint types audit sbom bench image-test timing lock docs pictures \
	dist notes site clean

## run: start everything on this machine, with a demo issuer, and print a session to paste
run: .venv/.server
	$(BIN)/keywright dev $(ARGS)

# What was compiled is kept, also for the services that tests start, though some machines keep nothing beside the source.
PYTEST := env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(CURDIR)/.cache/compiled $(BIN)/python -m pytest
ON_ALL_CORES := -n auto --dist loadgroup --no-loadscope-reorder
COVERED := tests/keys tests/service
COVERING = $(PYTEST) --cov --cov-report=term-missing:skip-covered $(COVERED)

## test: lint, types, import rules, known vulnerabilities, then every test; ARGS="-n0 tests/api -k create" runs only that
ifeq ($(ARGS),)
test: .venv/.dev
	@$(MAKE) --no-print-directory -j 2 lint types audit covered
	@sh scripts/provision.sh
	$(PYTEST) $(ON_ALL_CORES) $(COVERED:%=--ignore=%)
else
test: .venv/.dev
	@sh scripts/provision.sh
	$(PYTEST) $(ON_ALL_CORES) $(ARGS)
endif

## check: lint, types, import rules, and the tests of what a key is and what is done with keys: a minute
check: .venv/.dev
	@$(MAKE) --no-print-directory -j 2 lint types covered

covered: .venv/.dev
	$(COVERING)

## history: a million verifications under kills, stops, cuts and restarts, each held against what was revoked when
OPERATIONS ?= 1000000
history: .venv/.dev
	KEYWRIGHT_HISTORY_OPERATIONS=$(OPERATIONS) $(PYTEST) -s tests/history/test_history.py $(ARGS)

## ha: three PostgreSQL servers under Patroni: switched over, killed, cut off, filled, while keys are checked and revoked
ha: .venv/.dev
	@sh scripts/provision.sh
	KEYWRIGHT_HA=whole $(PYTEST) -s -n0 tests/ha $(ARGS)

## simulate: schedules of revocation, each decided by a seed; SEEDS=12345 repeats one, SEEDS=0-999999 runs many
SEEDS ?= 0-99999
simulate: .venv/.dev
	PYTHONPATH=src $(BIN)/python -m tests.simulation $(SEEDS)

## starts: start a node 200 times while keys are revoked through another one; ARGS="--engine sqlite --starts 20"
starts: .venv/.dev
	$(BIN)/python -m tests.history.starts $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/.dev
	$(BIN)/mypy

audit: .venv/.dev
	$(BIN)/python scripts/audit.py requirements/server.txt

## sbom: write the software bill of materials of the server as CycloneDX JSON; SBOM=path for another file than sbom.json
SBOM ?= sbom.json
sbom: .venv/.dev
	$(BIN)/python scripts/sbom.py requirements/server.txt $(SBOM)

## bench: measure on this machine and write bench/results/report.md; ARGS="--only verify" for a case
bench: .venv/.dev
	$(BIN)/python -m bench $(ARGS)

## image-test: build the image with buildah over a Debian base, run it with podman, and check it; needs root
image-test: .venv/.dev
	$(BIN)/python scripts/image_test.py

## timing: whether the time of a refusal tells anything of the keys that there are; ARGS="--measurements 2000"
timing: .venv/.dev
	PYTHONPATH=src $(BIN)/python -m tests.timing $(ARGS)

## dist: build the sdist and the wheel of this version into dist/, twice, and compare and check them
dist: .venv-dist/.ready
	.venv-dist/bin/python scripts/dist.py

## notes: print what CHANGELOG.md says of this version; TAG=v0.2.0 checks that the tag is this version's
notes:
	@$(PYTHON) scripts/release_notes.py $(TAG) $(FILES)

## site: write the documentation as a website to build/site; a broken link fails it
site: .venv-site/.ready
	.venv-site/bin/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env --nitpicky --jobs auto \
		--conf-dir docs/site --doctree-dir build/site-doctrees . build/site

## lock: resolve the newest versions that pyproject.toml allows, with hashes and without addresses
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml
lock: .venv/.dev
	$(LOCK) --extra server --group build -o requirements/server.txt
	$(LOCK) --extra server --group build --group dev -o requirements/dev.txt
	$(LOCK:%pyproject.toml=%) --group pyproject.toml:dist -o requirements/dist.txt
	$(LOCK:%pyproject.toml=%) --group pyproject.toml:site -o requirements/site.txt

## docs: write the pages that are generated from the code
docs: .venv/.dev
	$(BIN)/python scripts/configuration_reference.py
	$(BIN)/python scripts/command_line_reference.py
	$(BIN)/python scripts/chart_settings.py

## pictures: write the pictures of the README, from a demo that runs
pictures: .venv/.dev
	$(BIN)/python scripts/screenshots.py

clean:
	rm -rf .venv .venv-dist .venv-site .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python .venv-dist/bin/python .venv-site/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Keywright needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(patsubst %/bin,%,$(@D))

# The locks name everything, so pip resolves nothing (--no-deps): a release made after the lock cannot come between.
.venv/.server: requirements/server.txt | .venv/bin/python
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/server.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt | .venv/bin/python
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ .venv/.server

# Each with its own packages and nothing else: what builds a release, and what writes the site.
.venv-dist/.ready .venv-site/.ready: .venv-%/.ready: requirements/%.txt | .venv-%/bin/python
	.venv-$*/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	@touch $@
