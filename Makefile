# Every target works on a fresh machine: it creates .venv and installs what this machine needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Two processes, because jobs spend more time waiting for each other to start than computing. Tests of one file stay
# together and files keep their order, the long ones first.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10 --durations-min=1

.PHONY: help install demo test test-all lint clean
.DEFAULT_GOAL := help

help:            ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install:         ## create .venv with torch and vLLM for this machine (GPU or CPU); does nothing if it is up to date
	@$(PYTHON) cluster/bootstrap.py --venv $(VENV)

demo: install    ## make the default student, train it by GRPO, and compare pass@1 before and after
	$(BIN)/crucible grpo --config pipelines/configs/demo.yaml

test: install    ## run the tests, except those marked slow
	$(PYTEST) -m "not slow"

test-all: install  ## run the tests marked slow, which `make test` leaves out
	$(PYTEST) -m slow

lint: install    ## check style (ruff) and types (pyright)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:           ## remove the environment; run folders stay
	rm -rf $(VENV) *.egg-info
