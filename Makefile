# Each target is enough on a fresh machine: it makes .venv and installs what this machine needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint clean
.DEFAULT_GOAL := help

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install:         ## .venv with torch and vLLM for this machine (GPU or CPU); nothing to do the second time
	@$(PYTHON) cluster/bootstrap.py --venv $(VENV)

demo: install    ## the main job: builds the student, trains it by GRPO, shows before and after
	$(BIN)/crucible grpo --config pipelines/configs/demo.yaml

# Two processes: jobs wait for each other's start more than they compute. Files in their order, the long ones first.
test: install    ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install    ## style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:           ## removes the environment (run folders stay)
	rm -rf $(VENV) *.egg-info
