# Two commands do everything: `make demo` and `make test`. Each sets up its own virtual environment.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help demo test lint types layers unit clean

help:
	@echo "make demo   install, then run the whole pipeline on the customer-service example (demo/)"
	@echo "make test   install, then tests, linter, type check, layer check"
	@echo "make clean  remove the virtual environment and the demo"

# torch is installed first and alone: asked for by another package it would bring gigabytes of CUDA.
$(VENV)/.train: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "labtune needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) install -c constraints.txt -e '.[train,serve,ray,dev]'
	@touch $@

demo: $(VENV)/.train
	@rm -rf demo
	$(BIN)/labtune init demo --example customer-service
	cd demo && ../$(BIN)/labtune run

test: lint types layers unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

clean:
	rm -rf $(VENV) demo
