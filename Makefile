VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all lint
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

$(READY): constraints.txt setup.cfg pyproject.toml
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(READY)
