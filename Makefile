# The kit's commands; `make` alone lists them. Where there is no make, setup_env.py says what to call instead.
.DEFAULT_GOAL := help
.PHONY: help setup lab test check notebooks sheet record replicate release bench tools site board clean

# The first of these that runs and is 3.11, 3.12 or 3.13. `make lab PYTHON=/path/to/python` takes another.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$name" && break; \
	done)
SETUP = $(or $(PYTHON),$(error No Python 3.11, 3.12 or 3.13 found: install one, or say PYTHON=/path/to/python)) setup_env.py

# Large pages of memory on Linux, see setup_env.py.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

VENV_PYTHON = $(firstword $(wildcard .venv/bin/python .venv/Scripts/python.exe) .venv/bin/python)
BENCH_PYTHON = $(subst .venv/,.venv-bench/,$(VENV_PYTHON))
SITE_PYTHON = $(subst .venv/,.venv-site/,$(VENV_PYTHON))

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: ## build .venv with the pinned packages, and fetch the weights and data
	@$(SETUP) setup

lab: ## set up, then open JupyterLab at your copy of the first notebook (LAB_ARGS=--no-browser and the like go to it)
	@$(SETUP) lab $(LAB_ARGS)

test: ## set up, then run the style checks, the tests and every notebook (TEST_ARGS go to pytest)
	@$(SETUP) test $(TEST_ARGS)

check: ## set up, then run the style checks and all tests but the slow ones: two minutes, before each commit
	@$(SETUP) check $(TEST_ARGS)

notebooks: ## execute the lessons that changed into notebooks/, and draw the picture in the README (LESSON_ARGS=--force: all)
	@$(SETUP) setup && $(VENV_PYTHON) lessons/build.py $(LESSON_ARGS) && $(VENV_PYTHON) lessons/picture.py

sheet: ## draw the cheat sheet anew from the claims: docs/cheat_sheet.svg, .pdf and .md
	@$(SETUP) setup && $(VENV_PYTHON) lessons/sheet.py

record: ## run what is missing of the recorded grids (GRID=01_full: only that one; JOBS=2: faster, no timings); may be stopped
	@$(SETUP) setup && $(VENV_PYTHON) -m ftlib record $(GRID) --jobs $(or $(JOBS),1)

replicate: ## run decided claims anew: do they hold on this computer? (CLAIM="A1 F1": only these; SEEDS=6; may be stopped)
	@$(SETUP) setup && $(VENV_PYTHON) -m ftlib replicate $(CLAIM) --seeds $(or $(SEEDS),6) --jobs $(or $(JOBS),1)

release: ## write student, teacher and nbgrader copies into build/release (LESSON_ARGS=01_full: only that lesson)
	@$(SETUP) setup && $(VENV_PYTHON) lessons/release.py $(LESSON_ARGS)

bench: ## measure fit beside other frameworks: hours on a quiet computer, or minutes (BENCH_ARGS="--fraction 0.1")
	@$(SETUP) setup && $(VENV_PYTHON) bench/environment.py && $(BENCH_PYTHON) -m bench.peers $(BENCH_ARGS) \
		&& $(VENV_PYTHON) -m bench.augmentation $(BENCH_ARGS) && $(VENV_PYTHON) -m bench.other \
		&& $(VENV_PYTHON) -m bench.report

tools: ## try the exports with the five tools themselves: minutes each (TOOLS="unsloth": only these; TOOLS="--to tiny": less)
	@$(SETUP) setup && $(VENV_PYTHON) -m verify $(TOOLS)

site: ## build a site to read without installing anything, in build/site: lessons, claims, reference, board (a minute)
	@$(SETUP) setup && $(VENV_PYTHON) bench/environment.py site && $(SITE_PYTHON) -m website

board: ## show the comparison board and the guided choice on a page of their own (BOARD_ARGS go to voila)
	@$(SETUP) setup && $(VENV_PYTHON) bench/environment.py board && $(VENV_PYTHON) -m website.served $(BOARD_ARGS)

clean: ## remove the environment and everything else that the set-up and the tests made here
	rm -rf .venv .venv-bench .venv-site .venv-board build ftlib.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
