# Every target does the set-up it needs. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint requirements.lock
PYTEST := $(BIN)/python -m pytest
SOURCES := $(shell git ls-files 'src/*.py' 2>/dev/null)

.PHONY: setup demo demo-nas test frameworks test-frameworks lint bench bench-peers reliability contract docs lock clean

setup: .venv/.service          ## build .venv with the service in it

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Trainyard needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 " + "$(MAKECMDGOALS)")'
	@echo "setting up .venv (once, under a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	@touch $@

# Bytecode is compiled here and not left to the first start, which would pay for it (and never would where
# PYTHONDONTWRITEBYTECODE is set).
.venv/.service: .venv/.python pyproject.toml requirements.lock $(SOURCES)
	@[ -e $@ ] && [ $@ -nt pyproject.toml ] && [ $@ -nt requirements.lock ] || $(INSTALL) --editable .
	@$(BIN)/python -m compileall -q src
	@touch $@

.venv/.group-%: .venv/.service pyproject.toml requirements.lock
	@[ -e $@ ] && [ $@ -nt pyproject.toml ] && [ $@ -nt requirements.lock ] || $(INSTALL) --group $*
	@touch $@

demo: .venv/.group-demo        ## run the main job on real input
	@$(BIN)/trainyard demo

demo-nas: .venv/.group-demo    ## search for neural architectures on real input
	@$(BIN)/trainyard demo --nas

test: .venv/.group-test .venv/.group-contract .venv/.group-clients .venv/.group-demo   ## every test that needs nothing but Python
	@$(PYTEST) $(PYTEST_FLAGS)

# With pip, not uv: a machine's own choice of PyTorch build (its pip settings) is to be honoured.
FRAMEWORKS := torch jax xgboost tensorflow
.venv/frameworks/torch/.made: PACKAGES := torch==2.13.0 numpy
.venv/frameworks/jax/.made: PACKAGES := jax==0.10.2
.venv/frameworks/xgboost/.made: PACKAGES := xgboost-cpu==3.2.0 scikit-learn
.venv/frameworks/tensorflow/.made: PACKAGES := tensorflow-cpu==2.21.0 tensorboard==2.21.0
.venv/frameworks/%/.made: | .venv/.python
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(PACKAGES)
	@touch $@

frameworks: $(FRAMEWORKS:%=.venv/frameworks/%/.made)   ## install PyTorch, TensorFlow, JAX and XGBoost for their tests (3 GB)

test-frameworks: .venv/.group-test frameworks   ## train with each framework
	@$(PYTEST) $(PYTEST_FLAGS) -m frameworks

lint: .venv/.group-lint .venv/.group-test   ## format, style, types, layers
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >.venv/layers.txt || { cat .venv/layers.txt; exit 1; }

bench: .venv/.service            ## measure, beside the peers that are installed
	@$(BIN)/python -m benchmarks $(BENCH_FLAGS)

bench-peers: .venv/.service      ## install what we measure against: TorchX, submitit, Ray, dstack, Slurm
	@$(BIN)/python -m benchmarks.peers --install

reliability: .venv/.group-test   ## kill -9 at KILLS random points (default 300)
	@$(BIN)/python tools/kill_test.py --kills $(or $(KILLS),300)

contract: .venv/.group-contract  ## regenerate the contract from the published packages
	@$(BIN)/python tools/build_contract.py

docs: .venv/.service             ## regenerate the generated pages of docs/
	@$(BIN)/python tools/write_docs.py
	@$(BIN)/python tools/draw_states.py

lock: .venv/.python              ## resolve every dependency anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links --all-extras --group test --group lint --group contract --group clients --group demo \
	  --upgrade --output-file requirements.lock pyproject.toml

clean:                           ## remove what the targets made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
