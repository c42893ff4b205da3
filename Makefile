# make study | make test | make bench | make soak | make docs | make clean | make help
#
# Both main targets work in a fresh clone: they make .venv with the system's python3 if there is none, install
# once (again only when pyproject.toml or constraints.txt change), and run. An existing .venv is used as it is, so
# a build of torch installed there beforehand, such as the CPU one, is kept.

PYTHON  ?= python3
SCALE   ?= quick
WORKERS ?= 2
ARGS    ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check

export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1

OLD_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 11))'

.DEFAULT_GOAL := help
.PHONY: help study test lint types unit bench soak check-methods docs clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make study   the study cruz2023: probes, fine-tuning runs, tables, figures  [SCALE=smoke|quick|laptop] [ARGS=...]'
	@echo 'make test    lint, types and unit, in turn: each is a target of its own     [WORKERS=2] [ARGS=...]'
	@echo 'make bench   every benchmark of speed in one table  [ARGS=--quick|--record|--only ...]'
	@echo 'make soak    faults through the real command line, and what must hold after each; half an hour  [ARGS="--kills 20"]'
	@echo 'make check-methods   every method on a task of symbols and one of film reviews, as a table  [ARGS=...]'
	@echo 'make docs    what is written of docs/ and the README: from the code and from results/; two minutes'
	@echo 'make clean   remove .venv and the caches of the tools; studies are kept'
	@echo 'PYTHON=python3.12 picks the interpreter that .venv is made with (3.11 or newer).'

study: $(VENV)/.installed
	$(BIN)/proclivity reproduce cruz2023 --scale $(SCALE) $(ARGS)

# `make -k test` goes through all three, whichever fails.
test: lint types unit

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

unit: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/.installed
	$(BIN)/python -m benchmarks.soak $(ARGS)

check-methods: $(VENV)/.installed
	$(BIN)/python benchmarks/check_methods.py $(ARGS)

docs: $(VENV)/.installed
	$(BIN)/python -m proclivity.task_docs docs/tasks.md
	$(BIN)/python -m proclivity.reference_docs docs/reference
	$(BIN)/python -m figures.concepts results/cruz2023-laptop docs/concepts.svg
	$(BIN)/python -m proclivity.results_docs README.md docs/results.md results

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) $(OLD_ENOUGH) 2>/dev/null || { echo 'Proclivity needs Python 3.11 or newer and "$(PYTHON)" is not: try make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'could not make $(VENV): install the venv module of $(PYTHON) (Debian, Ubuntu: python3-venv)' >&2; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@$(BIN)/python $(OLD_ENOUGH) || { echo '$(VENV) holds a Python older than 3.11: run make clean first' >&2; exit 1; }
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@$(BIN)/python $(OLD_ENOUGH) || { echo '$(VENV) holds a Python older than 3.11: run make clean first' >&2; exit 1; }
	$(PIP) install -c constraints.txt -e '.[test]'
	@touch $(VENV)/.installed $@
