# make demo    a sentence becomes a video, in out/
# make test    all tests but the long ones        make chaos   minutes of random kills
# make check   formatting, lint, types            make bench   figures against other job systems
SHELL := /bin/bash
PROMPT ?= Why do cats purr?

export UV_PYTHON_DOWNLOADS = never
export UV_PROJECT_ENVIRONMENT = $(CURDIR)/.venv
UV = $(shell bash scripts/find-uv)
RUN = $(UV) run --frozen --no-sync

.PHONY: demo test check chaos bench clean setup

demo: setup
	@YTRAY_HOME="$(CURDIR)/out/home" $(RUN) ytray create "$(PROMPT)" --duration 30 --out out

test: setup
	@$(RUN) pytest -m "not chaos" tests

check: setup
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy

chaos: setup
	@$(RUN) pytest -m chaos -s --timeout 3600 tests/chaos

bench: setup
	@UV="$(UV)" $(RUN) python -m benchmarks

setup:
	@bash scripts/bring-uv
	@$$(bash scripts/find-uv) sync --frozen --quiet

clean:
	rm -rf .venv .tools out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
