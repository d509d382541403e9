# The two doors: `make gate` judges the checkpoints, `make test` checks everything but what takes an hour (`make test-slow`).
# Paths are relative on purpose: the clone may lie under a folder with spaces in its name.

PYTHON      ?= python3.11
VENV        ?= .venv
SUITE       ?=
PYTEST_ARGS ?=
# With CHECKPOINT and BASE, `make gate` judges these files and not the matrix.
export CHECKPOINT ?=
export BASE       ?=

ifndef DEVICE
DEVICE := $(if $(findstring GPU 0,$(shell nvidia-smi -L 2>/dev/null)),gpu,cpu)
endif

PY    := $(VENV)/bin/python
PINS  := fixtures/environments/$(DEVICE).txt
STAMP := $(VENV)/.installed-$(DEVICE)
UV    := $(PY) -m uv

# The CPU build of torch comes from a local wheel folder if there is one, else from PyTorch's own index.
ifeq ($(DEVICE),gpu)
unexport UV_FIND_LINKS
else ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS := $(PIP_FIND_LINKS)
else
TORCH_BACKEND := --torch-backend=cpu
endif

.PHONY: gate test test-slow bench lint setup clean

gate: setup
	$(PY) -m $(if $(CHECKPOINT),quant gate --checkpoint "$$CHECKPOINT" --base "$$BASE",pytest tests/accuracy) $(if $(SUITE),--suite $(SUITE)) $(PYTEST_ARGS)

test: lint
	$(PY) -m pytest tests -m "not slow" $(if $(SUITE),--suite $(SUITE)) $(PYTEST_ARGS)

test-slow: setup
	$(PY) -m pytest tests -m slow $(PYTEST_ARGS)

bench: setup
	$(PY) fixtures/benchmarks/ratios.py
	$(PY) fixtures/benchmarks/judge.py
	$(PY) fixtures/benchmarks/suite.py

lint: setup
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

setup: $(STAMP)

$(STAMP): $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'error: $(PYTHON) is missing or older than 3.11; install Python 3.11 or run `make PYTHON=/path/to/python3.11`' >&2; exit 1; }
	@echo 'installing $(PINS) into $(VENV): some gigabytes, a minute on a fast line, once'
	@rm -f $(VENV)/.installed-*
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --no-compile "$$(grep '^uv==' $(PINS))"
	$(UV) pip sync --quiet --python $(PY) $(if $(TORCH_BACKEND),$(TORCH_BACKEND) )$(PINS)
	@touch $@

# Keeps .store: its results cost hours; `python -m quant cache` prunes it.
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
