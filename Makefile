# `make` explains itself. Everything a target needs, it installs: Python 3.11 or later and make are enough.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast check audit soak bench format lock notebooks docs site clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PATIENTS ?= 1200
DEMO := .run
# Images of containers often forbid Python to keep what it has compiled: each process would compile its libraries anew,
# which takes half a minute.
export PYTHONDONTWRITEBYTECODE :=

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## the virtual environment, from requirements.lock

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one by PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## the whole job on generated data, from raw files to a sample of the predictions
	@test -d $(DEMO)/raw/challenge-2012 || $(BIN)/ehr generate --out $(DEMO)/raw --patients $(PATIENTS)
	@$(BIN)/ehr run --raw $(DEMO)/raw --lake $(DEMO)/lake
	@$(BIN)/ehr evaluate --lake $(DEMO)/lake
	@$(BIN)/ehr sql --lake $(DEMO)/lake "select split, count(*) as stays, avg(risk) as mean_risk, sum(flagged::int) as flagged from gold.mortality_predictions group by split order by split"
	@$(BIN)/ehr sql --lake $(DEMO)/lake "select stay_id, split, risk, flagged, top_features[1].feature as first_reason, model_version from gold.mortality_predictions order by risk desc, stay_id limit 5"

# Three lanes keep two cores busy: one alone waits for processes, disks and locks. They end about together.
LANE = $(BIN)/pytest --durations=15 -o cache_dir=.pytest_cache/$(1)
ELSEWHERE := $(addprefix tests/integration/,test_bad_input.py test_incremental.py test_rounds.py)
ON_JVM := $(if $(shell command -v java),"JVM Spark: env EHR_ENGINE=spark $(call LANE,jvm) -m engine")
test: setup ## all tests, on the embedded engine and, where there is Java, on JVM Spark
	@$(if $(ON_JVM),,echo "no Java: the tests of the JVM engine are left out")
	@$(BIN)/python -m tests.lanes $(ON_JVM) "whole jobs: $(call LANE,jobs) tests/integration $(ELSEWHERE:%=--ignore=%)" \
	  "parts and faults: $(call LANE,parts) tests/unit tests/golden tests/real tests/faults $(ELSEWHERE)"

test-fast: setup ## the tests of one function or table each, on the embedded engine
	$(BIN)/pytest tests/unit tests/golden

check: setup ## lint, format, types and unsafe code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit -q -c pyproject.toml -r lakehouse bronze silver gold models jobs

audit: setup ## known holes in what is installed: asks the package index
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement requirements.lock

soak: export SEED ?= 1
soak: export KILLS ?= 200
soak: export CASES ?= 500
soak: setup ## hours of harm, by seed: kills of running jobs, mutated raw files (KILLS=, CASES=, SEED=)
	@$(BIN)/python -m tests.lanes "mutations: $(BIN)/python -m tests.fuzz.soak" \
	  "kills: $(BIN)/pytest -s --timeout=14400 tests/faults/test_kills.py"

SIZES ?= 4000,12000,40000,120000
SPARK_SIZES ?= 12000,40000
MIMIC_TIMES ?= 1,20
bench: setup ## raw files to gold, timed beside polars (SIZES=, SPARK_SIZES=, MIMIC_TIMES=; up to an hour)
	$(BIN)/python -m bench --sizes $(SIZES) --spark "$(SPARK_SIZES)" --mimic "$(MIMIC_TIMES)" --plot docs/images/raw-to-gold.png

format: setup ## mends what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## requirements.lock anew from pyproject.toml
	VIRTUAL_ENV=.venv $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --all-extras pyproject.toml -o requirements.lock

notebooks: setup ## notebooks/ drawn anew, in place, from the lake of `make run`
	@test -d $(DEMO)/lake/gold || { echo "there is no lake yet: make run"; exit 1; }
	$(BIN)/python notebooks/run.py $(DEMO)/lake

docs: setup ## the generated pages of docs/
	$(BIN)/ehr dictionary > docs/data-dictionary.md
	$(BIN)/python -m jobs.reference command-line > docs/command-line.md
	$(BIN)/python -m jobs.reference settings > docs/settings.md

site: setup ## the documentation as a site in site/, to be opened from disk
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## removes what the other targets made
	rm -rf .venv $(DEMO) site .pytest_cache .mypy_cache .ruff_cache .hypothesis
