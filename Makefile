# `make demo`, `make test` and the others set up a virtual environment in .venv by themselves; later runs only check it.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs

# Another environment that is active in the calling shell must not leak in here.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

.PHONY: demo test docs lint format types clean

demo: $(STAMP)
	@$(BIN)/python scripts/demo.py

# Two processes, each with one thread. `worksteal` keeps the tests of a file together while it can, and none waits at the end.
test: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

docs: $(DOCS_STAMP)
	@NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict
	@echo 'the site is in out/site; open out/site/index.html'

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(STAMP)
	@$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	@for python in python3.11 python3 python3.13 python3.12 python3.10; do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
			test -x $(BIN)/python || $$python -m venv $(VENV) || exit 1; \
			echo "installing into $(VENV) (some minutes at the first time)"; \
			$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev,demo]' || exit 1; \
			touch $@; exit 0; \
		fi; \
	done; \
	echo 'error: no Python 3.10 or newer with the module venv; on Debian: apt install python3 python3-venv' >&2; \
	exit 1

$(DOCS_STAMP): $(STAMP)
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[docs]'
	@touch $@
