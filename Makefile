# Everything a newcomer needs: `make run` serves, `make test` proves. Python 3.11 or newer; nothing else.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin

.PHONY: run test lint fuzz docs clean

run: .venv/.installed  ## serve on 127.0.0.1:$(PORT) with the offline engines
	@$(BIN)/vivavoce serve --port $(PORT)

test: .venv/.installed-dev lint  ## lint, then every test
	$(BIN)/python -m pytest -q -n 2

lint: .venv/.installed-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: .venv/.installed-dev  ## a million events; minutes
	$(BIN)/python -m tests.fuzz --events 1000000

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install -q -e '.[offline]'
	touch $@

.venv/.installed-dev: .venv/.installed pyproject.toml requirements-dev.txt requirements-nodeps.txt
	$(BIN)/pip install -q -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps -r requirements-nodeps.txt
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
