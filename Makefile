# `make train` and `make test` set themselves up: .venv is made and filled where it is missing or out of date.

VENV := .venv
PY := $(VENV)/bin/python
RIGHT := import sys; sys.exit(sys.version_info < (3, 11))
# The first of these that runs and is new enough; another one by `make PYTHON=... test`.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$p" -c '$(RIGHT)' >/dev/null 2>&1 && echo "$$p" && break; done)
INSTALL := $(PY) -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: train test lint format types docs clean

train: $(VENV)/.installed ## Train; `make train ARGS="mnist-conv --data.root DIR"` trains something else.
	$(PY) -m vaegan train $(ARGS)

test: lint types ## All checks and the whole test suite; ARGS go to pytest. Two workers, a thread each.
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/.installed-dev ## Look for mistakes and untidy lines.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.installed-dev ## Check types.
	$(PY) -m mypy

format: $(VENV)/.installed-dev ## Tidy all files.
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: $(VENV)/.installed-docs ## Build the documentation's site into site/; a broken link or a missing page stops it.
	$(VENV)/bin/zensical build --clean --strict

clean: ## Remove what these commands made; runs stay.
	rm -rf $(VENV) dist site .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "no Python of version 3.11 or newer found; name one: make PYTHON=/path/to/python" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(INSTALL) -e '.[docs]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.installed $@
