# make demo    a sentence becomes a video, in out/      make up      the API and the console, on what the demo left
# make test    all tests but the long ones        make chaos   minutes of random kills
# make check   style, types, imports, contracts, known holes in packages
#                                                 make bench   figures against other job systems
SHELL := /bin/bash
PROMPT ?= Why do cats purr?

export UV_PYTHON_DOWNLOADS = never
export UV_PROJECT_ENVIRONMENT = $(CURDIR)/.venv
# Where it is set (as images of containers do), every process that is started would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE
UV = $(shell bash scripts/find-uv)
BIN = .venv/bin

.PHONY: demo up test check chaos bench clean setup

demo: setup
	@YTRAY_HOME="$(CURDIR)/out/home" $(BIN)/ytray create "$(PROMPT)" --duration 30 --out out

up: setup
	@YTRAY_HOME="$(CURDIR)/out/home" $(BIN)/ytray up

test: setup
	@bash scripts/bring-test-tools
	@$(BIN)/python scripts/test-lanes

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/contracts
	@$(BIN)/python scripts/sync-client --check
	@$(BIN)/python scripts/audit $(UV)

chaos: setup
	@$(BIN)/pytest -m chaos -s --timeout 3600 tests

bench: setup
	@UV="$(UV)" $(BIN)/python -m benchmarks

setup:
	@bash scripts/bring-uv
	@$$(bash scripts/find-uv) sync --frozen --quiet

clean:
	rm -rf .venv .tools out dist .pytest_cache .mypy_cache .import_linter_cache .ruff_cache .hypothesis
