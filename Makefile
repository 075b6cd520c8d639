# The one entrance: `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXAMPLE := tests/data/example
WORKSPACE ?= $(EXAMPLE)
EXTRAS ?=
CHROMIUM ?= /usr/bin/chromium
FUZZ_INPUTS ?= 100000
FUZZ_EDITS ?= 20000
RESULT ?= .bench/lsp.json
SECONDS ?= 3600
MODEL_SAMPLES ?= 150
RESULTS ?= .bench
DRAFT := $(EXAMPLE)/apps/berth-planning/drafts/x_hbr_berth/sys_script/Assign berth on arrival.script.js

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-train lint format fuzz clean index picture encoder
.PHONY: bench bench-full bench-lsp soak wheel client client-pictures e2e e2e-install bundle try-bundle

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything in it and fetch the expander (once; it compiles: 5 minutes on two idle cores)

$(READY): pyproject.toml index_builder/llama_flags.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing. llama-cpp-python compiles, which takes most of the time: 5 minutes on two idle cores, more on busy ones."
	CMAKE_ARGS="$${CMAKE_ARGS:-$$($(BIN)/python index_builder/llama_flags.py)}" $(BIN)/pip install --disable-pip-version-check --editable '.[dev]'
	$(BIN)/deepcodeseek models get
	@mkdir -p .typecheck/deepcodeseek
	@ln -sfn ../../server .typecheck/deepcodeseek/server
	@ln -sfn ../../index_builder .typecheck/deepcodeseek/index_builder
	@touch $@

demo: setup ## Index the example application and rank APIs at a cursor in it
	$(BIN)/deepcodeseek index $(EXAMPLE)
	$(BIN)/deepcodeseek query "$(DRAFT)" --workspace $(EXAMPLE) --line 15 --column 5

test: setup ## Run the tests
	$(BIN)/python -m pytest

test-train: setup ## Test the training of encoders, cross-encoders and expanders (fetches torch; see the README for its small build)
	$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[dev,train]'
	$(BIN)/python -m pytest -q tests/test_train_loop.py tests/test_train_query.py tests/test_train_reranker.py tests/test_train_expander.py tests/test_causal.py

fuzz: setup ## Try FUZZ_INPUTS=100000 changed inputs on the parsers (17 minutes), FUZZ_EDITS=20000 on documents
	-$(BIN)/pip install --disable-pip-version-check --quiet --only-binary :all: --editable '.[fuzz]'
	$(BIN)/python tests/fuzz.py
	$(BIN)/python tests/fuzz_edits.py --edits $(FUZZ_EDITS)

lint: setup ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.typecheck $(BIN)/mypy -p deepcodeseek.server -p deepcodeseek.index_builder

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Measure what each part is worth on WORKSPACE=folder (default: the example), and make .bench/report.html
	@rm -rf .bench/results && mkdir -p .bench
	$(BIN)/deepcodeseek index "$(WORKSPACE)" --out .bench/index
	$(BIN)/deepcodeseek eval mine "$(WORKSPACE)" --out .bench/samples.jsonl
	$(BIN)/deepcodeseek eval ablate --index .bench/index --samples .bench/samples.jsonl --model-samples $(MODEL_SAMPLES) --json .bench/ablations.json
	$(BIN)/deepcodeseek eval run --index .bench/index --samples .bench/samples.jsonl --first-only --method fused --method bm25-docs --method dense-docs --json .bench/results
	$(BIN)/deepcodeseek eval report .bench/results/*.json --ablations .bench/ablations.json --index .bench/index --samples .bench/samples.jsonl --out .bench/report.html

bench-full: MODEL_SAMPLES = 100000
bench-full: bench ## The same with every sample for the models, then indexes of 100,000 APIs and rerankers of 0.6B and 8B (hours, 6 GB; into RESULTS=.bench)
	$(BIN)/python -m deepcodeseek.index_builder.bench_scale --apis 100000 --out $(RESULTS)/scale.json
	$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[dev,train]'
	$(BIN)/python -m deepcodeseek.index_builder.bench_causal --out $(RESULTS)/causal.json
	$(BIN)/python -m deepcodeseek.index_builder.export_bench --out $(RESULTS)/causal-export.json
	for shape in 0.5B 1.5B; do $(BIN)/python -m deepcodeseek.index_builder.bench_expander --shape $$shape --out $(RESULTS)/expander-sizes.json || exit 1; done

bench-lsp: setup ## Replay typing in WORKSPACE=folder against INDEX=folder (built where none is named); RESULT=file
	@mkdir -p .bench
	test -n "$(INDEX)" || $(BIN)/deepcodeseek index "$(WORKSPACE)" --out .bench/lsp-index
	$(BIN)/python -m deepcodeseek.index_builder.bench_lsp --workspace "$(WORKSPACE)" --index "$(or $(INDEX),.bench/lsp-index)" --out "$(RESULT)"

soak: setup ## Type for SECONDS=3600 in WORKSPACE=folder against INDEX=folder; fails where the server grows
	@mkdir -p .bench
	test -n "$(INDEX)" || $(BIN)/deepcodeseek index "$(WORKSPACE)" --out .bench/lsp-index
	$(BIN)/python -m deepcodeseek.index_builder.soak_lsp --workspace "$(WORKSPACE)" --index "$(or $(INDEX),.bench/lsp-index)" --seconds $(SECONDS) --out .bench/soak.json

index: setup ## Build the index of WORKSPACE=folder
	$(BIN)/deepcodeseek index "$(WORKSPACE)"

picture: demo ## Make the README's picture of the terminal
	$(BIN)/python tests/make_picture.py

encoder: setup ## Export the shipped encoder again (needs the extra [train])
	$(BIN)/python -m deepcodeseek.index_builder.export_encoder --out server/assets/all-minilm-l6-v2

VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' server/__init__.py)
WHEEL := dist/deepcodeseek-$(VERSION)-py3-none-any.whl
VSIX := vscode-client/dist/deepcodeseek.vsix
SOURCES := $(shell find server index_builder -type f -not -path '*/__pycache__/*' -not -path '*/results/*') pyproject.toml README.md
CLIENT_SOURCES := $(wildcard vscode-client/src/*.ts vscode-client/media/* vscode-client/walkthrough/*.md vscode-client/*.md) vscode-client/package.json

wheel: $(WHEEL) ## Make the wheel that pipx and uv install

$(WHEEL): $(SOURCES) | $(READY)
	@rm -rf build # what was removed since would come back
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

client: $(VSIX) ## Pack the VS Code extension with the server's wheel (needs Node 20; fetches its development tools once)

vscode-client/node_modules: vscode-client/package-lock.json
	cd vscode-client && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(VSIX): vscode-client/node_modules $(CLIENT_SOURCES) $(WHEEL)
	@mkdir -p vscode-client/dist && rm -f vscode-client/dist/*.whl
	cp $(WHEEL) vscode-client/dist/
	cd vscode-client && npm run --silent package

e2e: setup client ## Try the packed extension in a VS Code workbench (needs Node 20, Chromium, ripgrep, g++; 330 MB once)
	tests/e2e/install.sh
	node tests/e2e/run.mjs $(BIN)/python $(VSIX) .e2e $(CHROMIUM)

client-pictures: e2e ## Take the pictures of the extension's README anew (needs pngquant)
	cp .e2e/screenshots/2-completion.png vscode-client/media/completion.png
	cp .e2e/screenshots/4-list.png vscode-client/media/panel.png
	cd vscode-client/media && pngquant --force --ext .png 128 completion.png panel.png

try-bundle: bundle ## Install the bundle and ask it, without a network interface and without a compiler (Linux)
	.ci/try-bundle.sh $$(ls -d .bundle/deepcodeseek-*/ | head -1) $(BIN)/python

e2e-install: bundle ## Try the extension's first start: it installs the server from the bundle, without network
	tests/e2e/install.sh
	node tests/e2e/first_start.mjs $$(ls -d .bundle/deepcodeseek-*/wheels | head -1) $(VSIX) .e2e-install $(CHROMIUM)

bundle: setup client ## Pack everything for a machine without network (EXTRAS=train: with what `train adapt` needs)
	.ci/bundle.sh $(BIN)/python $(WHEEL) $(VSIX) "$(EXTRAS)"

clean: ## Remove what the other targets made
	rm -rf $(VENV) .bench .e2e .e2e-install .bundle .typecheck .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build dist vscode-client/dist
