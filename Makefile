# arena with nothing but make and Python 3.11 to 3.13: `make train` in a fresh clone installs what it needs, once.
PYTHON ?= python3
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
# Present when the environment holds what pyproject.toml and constraints.txt say.
INSTALLED := $(VENV)/installed
INSTALL_LOG := $(VENV)/install.log
# Processes that each begin with one part of the tests, so that what a module shares is made once; the faster ones take
# over from the others at the end.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -q --dist worksteal

MAKEFLAGS += --no-print-directory
.SILENT:
.DELETE_ON_ERROR:
.PHONY: help train install test test-slow lint docs wheel clean

help: ## this list
	sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

train: $(INSTALLED) ## train a model: make train ARGS="model=minilm trainer.max_steps=50"
	$(RUN) -m arena.train $(ARGS)

install: $(INSTALLED) ## only install, into .venv

test: $(INSTALLED) ## the fast tests, in two processes
	$(PYTEST) -n 2 $(ARGS)

test-slow: $(INSTALLED) ## the slow tests, in three processes (they often wait), and those that need a GPU where there is one
	$(PYTEST) -n 3 -m "slow or gpu" --durations=10 $(ARGS)

lint: $(INSTALLED) ## style, formatting and types
	$(RUN) -m ruff check --quiet .
	$(RUN) -m ruff format --check --quiet . || { echo "to format: $(RUN) -m ruff format ." >&2; exit 1; }
	$(RUN) -m pyright --level error --pythonpath $(RUN) >$(VENV)/pyright.log 2>&1 || { cat $(VENV)/pyright.log; exit 1; }

docs: $(INSTALLED) ## build the site into site/; a broken link or reference is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

wheel: $(INSTALLED) ## build dist/arena-*.whl, configs included
	$(RUN) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	ls dist/arena-*.whl

clean: ## remove what make made: .venv, dist, site and caches; runs stay
	rm -rf $(VENV) dist site .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# PIP_CONSTRAINT, unlike -c, also holds for the environments in which pip builds packages.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "arena needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	echo "installing arena into $(VENV) (some minutes, once; $(INSTALL_LOG) tells)" >&2
	PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	  $(RUN) -m pip install --no-input --editable '.[dev,minilm,optimizers,tensorboard,mlflow,sweeps,docs]' >$(INSTALL_LOG) 2>&1 || \
	  { tail -n 20 $(INSTALL_LOG) >&2; echo "the installation failed; all of it: $(INSTALL_LOG)" >&2; exit 1; }
	touch $@
