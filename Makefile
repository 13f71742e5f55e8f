VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

EXTRAS ?= dev
DOCS_VENV := build/docs-venv

.PHONY: demo test test-all lint docs
demo: $(READY)
	$(BIN)/hf-vitselect demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

# The slow ones kill and time processes, so they run one after the other.
test-all: test
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in build/site, from an environment of its own; warnings are errors.
docs: $(DOCS_VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict
	$(DOCS_VENV)/bin/python docs/site/check_site.py build/site

$(DOCS_VENV)/.ready: setup.cfg
	test -x $(DOCS_VENV)/bin/python || python3 -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install --quiet $$(sed -n '/^docs =/,/^[^ ]/s/^    //p' setup.cfg)
	touch $@

$(READY): constraints.txt setup.cfg pyproject.toml
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]"
	touch $(READY)
