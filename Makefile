# Every target makes what it needs; nothing is installed outside $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP_ARGS ?=
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_ARGS)
TEST_ARGS ?= -n 2
BENCH_ARGS ?=

# Trainers compute in bfloat16 where the processor is faster in it. The suite runs in fp32 everywhere
# (tests/conftest.py), so that its outcome does not depend on the processor; this is the other half.
PRECISION_TESTS = tests/training/trainers tests/training/test_end_to_end.py tests/detection

.PHONY: demo bench docs test test-fast test-precision coverage lint format quality samples clean

demo: $(VENV)/.for-demo  ## clone examples/voice.wav: writes demo.wav, demo.png and demo.json
	$(BIN)/python examples/demo.py

bench: $(VENV)/.for-bench  ## speed, compared with other systems: a table, and runs/bench.json
	$(BIN)/python -W ignore benchmarks/run.py $(BENCH_ARGS)

docs: $(VENV)/.for-docs  ## the documentation as a website, in site/; fails at a broken link
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	$(BIN)/python tools/check_site.py site

test: $(VENV)/.for-tests  ## all tests
	$(BIN)/python -m pytest $(TEST_ARGS)

test-fast: $(VENV)/.for-tests  ## all but those marked slow
	$(BIN)/python -m pytest -m "not slow" $(TEST_ARGS)

test-precision: $(VENV)/.for-tests  ## tests of trainers once more, in bfloat16
	VALLE_BFLOAT16=1 $(BIN)/python -m pytest -m "not slow" $(PRECISION_TESTS) $(TEST_ARGS)

coverage: $(VENV)/.for-tests  ## lines and branches that no test reaches; also htmlcov/index.html
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered --cov-report=html \
		$(TEST_ARGS)

lint: $(VENV)/.for-tests  ## style, types and vocabulary
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python tools/check_vocabulary.py

format: $(VENV)/.for-tests  ## apply what the linters can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

quality: $(VENV)/.for-tests  ## fails where a figure of the default model leaves its band: 3 minutes
	$(BIN)/valle evaluate ci examples/voices

samples: $(VENV)/.for-tests  ## the page of samples, in site/samples/index.html
	$(BIN)/valle samples examples/voices --items 8 --style sad --style happy --edit "old wall" "tall tree" --edit "the kitchen" "his garden" --output site/samples --force --attest "I hold the rights to this voice"

clean:  ## remove the environment and what the targets wrote
	rm -rf $(VENV) build dist site htmlcov .coverage demo.wav demo.wav.json demo.png demo.json

# Stamps: packages are installed again only when the files that list them change.
$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.for-demo: pyproject.toml | $(VENV)/.made
	$(PIP) --editable '.[media,plot]'
	touch $@

$(VENV)/.for-bench: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP) --editable '.[bench,plot,train]' --constraint constraints.txt
	touch $@

$(VENV)/.for-docs: pyproject.toml | $(VENV)/.made
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.for-tests: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP) --editable '.[dev,eval,mcp,media,plot,postgres,provenance,s3,serve,train,wyoming]' --constraint constraints.txt
	touch $@
