# Every target makes what it needs. The environment is .venv; `make` alone lists the targets.
SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Containers often set it. A kernel would compile TensorFlow anew each time: 13 seconds, not 5.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
LOCK := requirements.lock
BIN := $(VENV)/bin
# Stamps of the installations: what a run needs, and on top of it JupyterLab, tests, the site.
INSTALLED := $(VENV)/.installed
LAB := $(VENV)/.lab
APP := $(VENV)/.app
TOOLS := $(VENV)/.tools
SITE := $(VENV)/.site

# Two processes on two cores: more threads would wait for one another.
SINGLE := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
NBVAL := $(SINGLE) $(BIN)/python -m pytest -q --nbval-lax --nbval-current-env --nbval-cell-timeout 600 \
	--nbval-sanitize-with tests/notebooks/sanitize.cfg
FIRST := $(wildcard notebooks/0[123]_*.ipynb)

.PHONY: help run test lint lab app notebooks pins oldest coverage bench docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Run all notebooks in order on the default world, then recommend
	@$(BIN)/recsys run

test: $(TOOLS) lint ## Lint, types, all tests with a browser, then every notebook as committed
	$(SINGLE) $(BIN)/python -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder
	@# The others read what these three write, and run two at once.
	$(NBVAL) $(FIRST)
	$(NBVAL) -n 2 --dist loadfile $(filter-out $(FIRST),$(wildcard notebooks/*.ipynb))

lint: $(TOOLS) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: $(LAB) ## Open JupyterLab on a start page; make lab PORT=8899 chooses the port
	@$(BIN)/recsys lab $(if $(PORT),--port $(PORT))

app: $(APP) ## Open a page to browse recommendations; make app RUN=mine PORT=8899
	@$(BIN)/recsys app $(if $(RUN),--run $(RUN)) $(if $(PORT),--port $(PORT))

notebooks: $(INSTALLED) ## Run the notebooks and rewrite their committed outputs
	@$(BIN)/recsys notebooks

pins: $(INSTALLED) ## Measure the pinned numbers again, over five seeds
	@$(BIN)/recsys pins

oldest: ## Test with the oldest versions that pyproject.toml promises, in an environment of their own
	@python3 tests/oldest.py > .oldest.txt
	@$(MAKE) VENV=.venv-oldest LOCK=.oldest.txt .venv-oldest/.tools
	.venv-oldest/bin/python -m pytest -q -rs -n 2 --dist loadfile --ignore tests/browser

coverage: $(TOOLS) ## Print the share of lines of each package that tests reach, notebooks not counted
	$(SINGLE) $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder \
	  --ignore tests/browser --ignore tests/notebooks --cov recsys_lib --cov-report ""
	@$(BIN)/python tests/coverage_by_package.py

bench: $(TOOLS) ## Measure speed and memory, as ratios to a reference
	$(BIN)/python -m pytest -q -s $(wildcard tests/benchmarks/bench_*.py)

docs: $(SITE) ## Build the site with guides, notebooks and reference into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs -d docs/_build/doctrees . docs/_build/html

clean: ## Remove caches, prepared data and the runs made by make; runs with other names stay
	rm -rf runs/lab runs/default runs/bench* runs/pins-* build dist *.egg-info docs/_build docs/api
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find data/prepared -mindepth 1 -not -name .gitkeep -delete
	find recsys_lib tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Installs only when the pinned versions or the package's own list have changed. $(LOCK)
# holds the versions; pyproject.toml says which packages. uv does it where there is one, else pip.
# Modules are compiled when they are first imported: most of what is installed never is.
define install
	@if ! { command -v uv > /dev/null && \
	        uv pip install -q --python $(BIN)/python -c $(LOCK) -e '.[$(1)]'; }; then \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile \
	    -c $(LOCK) -e '.[$(1)]'; \
	fi
	@touch $@
endef

$(INSTALLED): $(LOCK) pyproject.toml
	@for python in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
	  if command -v $$python > /dev/null && \
	     $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "Python 3.11 or newer must be on the path; found $$(python3 --version 2>&1 || true)." \
	       "Install one, or run make PYTHON=/path/to/python3."; exit 1; \
	fi; \
	test -x $(BIN)/python || $$found -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$$found must be able to make a virtual environment; on Debian and Ubuntu install" \
	       "python3-venv."; exit 1; }
	@echo "Installing what a run needs into $(VENV)"
	$(call install,run)

$(LAB): $(INSTALLED)
	@echo "Installing JupyterLab into $(VENV)"
	$(call install,lab)

$(APP): $(INSTALLED)
	@echo "Installing Voila into $(VENV)"
	$(call install,app)

$(TOOLS): $(INSTALLED)
	@echo "Installing what tests need into $(VENV)"
	$(call install,dev)

$(SITE): $(INSTALLED)
	@echo "Installing what the site needs into $(VENV)"
	$(call install,docs)
