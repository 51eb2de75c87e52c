# One way to run things. CI runs the same ones (.ci/run).

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV := .cache/uv/bin/uv

# The first Python that will do: 3.11 or newer, able to make an environment.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

.PHONY: demo
demo: $(VENV)/.run  ## a simulated fleet and the exporter, nothing else to install
	@$(BIN)/tokencost-exporter demo

.PHONY: test
test: packages $(VENV)/.dev  ## all tests; ARGS="tests/peers -k llama" for some
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: check
check: packages $(VENV)/.dev  ## lint, format, types, layers, docs and locks up to date, rules valid
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/test_readme.py tests/test_security.py tests/test_locks.py tests/rules/test_files.py

.PHONY: bench
bench: $(VENV)/.dev  ## speed and weight, measured
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: growth
growth: $(VENV)/.dev  ## processor and memory by targets, series and tenants, into docs/images/growth.svg
	@$(BIN)/python -m tests.bench.growth

.PHONY: counts
counts: $(VENV)/.dev  ## how much work the hot paths do, after a change that is meant
	@$(BIN)/python -m tests.bench.counts

.PHONY: accuracy
accuracy: $(VENV)/.dev  ## how far each split is from the truth
	@$(BIN)/python -m tests.accuracy

.PHONY: fuzz
fuzz: $(VENV)/.dev  ## hostile bytes for every parser, for long; FUZZ_EXAMPLES=1000000 for longer
	@FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest --quiet tests/fuzz $(ARGS)
FUZZ_EXAMPLES = 20000

.PHONY: soak
soak: $(VENV)/.dev  ## a day of pods that come and go, in minutes; fails when memory grows
	@$(BIN)/python -m tests.soak

.PHONY: golden
golden: $(VENV)/.dev  ## write the golden exposition again, after a change that is meant
	@$(BIN)/python -m tests.golden

.PHONY: dashboards
dashboards: $(VENV)/.dev  ## write grafana/ again from its source, grafana/*.py
	@$(BIN)/python -m grafana

.PHONY: manifests
manifests: packages $(VENV)/.dev  ## write what deploy/ has of rules and dashboards again, and the golden overlays
	@$(BIN)/python -m tests.deploy

.PHONY: sbom
sbom: $(VENV)/.run  ## dist/tokencost-exporter.cdx.json: what is shipped, as CycloneDX
	@mkdir -p dist
	@$(BIN)/python deploy/sbom.py >dist/tokencost-exporter.cdx.json

.PHONY: image
image:  ## the container image; IMAGE=name:tag, ARGS="--push" and the like
	docker buildx build --file deploy/Dockerfile --tag $(IMAGE) --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$(shell git rev-parse HEAD) $(ARGS) .
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py)
IMAGE = tokencost-exporter:$(VERSION)

.PHONY: docs
docs: $(VENV)/.dev  ## write the tables of README.md, SECURITY.md and docs/ again from the catalog, the registry and the schema
	@$(BIN)/python -m tests.docs
	@$(BIN)/python -m tests.security
	@$(BIN)/python -m tests.rules docs

.PHONY: rules
rules: $(VENV)/.dev  ## write rules/ again from its generator
	@$(BIN)/tokencost-exporter generate rules --out rules

.PHONY: alert-sim
alert-sim: $(VENV)/.dev  ## what the alerts do on simulated months, into docs/alert-simulation.md
	@$(BIN)/python -m tests.rules simulation

.PHONY: pictures
pictures: packages $(VENV)/.dev  ## take the pictures of the page in docs/images again
	@$(BIN)/python -m tests.page.pictures

.PHONY: lock
lock: $(UV)  ## write the lock files again; ARGS=--upgrade for the newest of everything
	$(COMPILE) requirements.lock pyproject.toml
	$(COMPILE) requirements-otlp.lock pyproject.toml --extra otlp --constraint requirements.lock
	$(COMPILE) requirements-dns.lock pyproject.toml --extra dns --constraint requirements.lock
	$(COMPILE) requirements-dev.lock pyproject.toml --extra otlp --extra dns --group dev --constraint requirements-otlp.lock --constraint requirements-dns.lock
	$(COMPILE) requirements-build.lock --group build --constraint requirements-dev.lock
	$(COMPILE) requirements-litellm.lock --group litellm
COMPILE = $(UV) pip compile $(ARGS) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file

.PHONY: env
env: $(VENV)/.dev  ## the environment of the tests, without running them

.PHONY: packages
packages:
	@.ci/packages

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What the program needs, to the byte, and the program itself, editable.
$(VENV)/.run: pyproject.toml requirements.lock requirements-build.lock | $(BIN)/python
	$(PIP) install --require-hashes --requirement requirements.lock --requirement requirements-build.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

$(UV):
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/pip --quiet install uv
