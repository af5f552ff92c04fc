# Every target makes what it needs; nothing is installed outside $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet
TEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: demo bench test test-fast lint format clean

demo: $(VENV)/.for-demo  ## clone examples/voice.wav: writes demo.wav, demo.png and demo.json
	$(BIN)/python examples/demo.py

bench: $(VENV)/.for-bench  ## how fast it is, beside others: a table, and runs/bench.json
	$(BIN)/python -W ignore benchmarks/run.py $(BENCH_ARGS)

test: $(VENV)/.for-tests  ## all tests
	$(BIN)/python -m pytest $(TEST_ARGS)

test-fast: $(VENV)/.for-tests  ## all but those marked slow
	$(BIN)/python -m pytest -m "not slow" $(TEST_ARGS)

lint: $(VENV)/.for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.for-tests
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist demo.wav demo.wav.json demo.png demo.json

# Stamps: a target's packages are installed again only when what names them changes.
$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.for-demo: pyproject.toml | $(VENV)/.made
	$(PIP) --editable '.[plot]'
	touch $@

$(VENV)/.for-bench: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP) --editable '.[bench,plot,train]' --constraint constraints.txt
	touch $@

$(VENV)/.for-tests: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP) --editable '.[dev,eval,plot,train]' --constraint constraints.txt
	touch $@
