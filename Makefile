# Everything a newcomer needs: `make run` serves, `make test` proves. Python 3.11 or newer; nothing else.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin

NODE := tests/clients/node
CONSOLE := tests/console

.PHONY: run test lint fuzz bench docs screenshots clean clients-latest

run: .venv/.installed  ## serve on 127.0.0.1:$(PORT) with the offline engines
	@$(BIN)/vivavoce serve --port $(PORT)

test: .venv/.installed-clients .venv/.installed-console .venv/.installed-models $(NODE)/node_modules/.installed lint  ## lint, then every test
	$(BIN)/python -m pytest -q -n 2

lint: .venv/.installed-dev $(CONSOLE)/node_modules/.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v node >/dev/null; then node $(CONSOLE)/node_modules/typescript/bin/tsc -p $(CONSOLE); fi

bench: .venv/.installed-dev  ## measure: seven minutes, see benchmarks/README.md
	$(BIN)/python -m benchmarks.everything

screenshots: .venv/.installed-console  ## the pictures in docs/images, taken of a running console
	$(BIN)/python -m tests.console.screenshots

fuzz: .venv/.installed-dev  ## a million events; minutes
	$(BIN)/python -m tests.fuzz --events 1000000

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install -q -e '.[offline,openai]'
	touch $@

.venv/.installed-dev: .venv/.installed pyproject.toml requirements-dev.txt requirements-nodeps.txt
	$(BIN)/pip install -q -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps -r requirements-nodeps.txt
	touch $@

.venv/.installed-clients: .venv/.installed-dev requirements-clients.txt
	$(BIN)/pip install -q -r requirements-clients.txt
	touch $@

.venv/.installed-console: .venv/.installed-dev requirements-console.txt
	$(BIN)/pip install -q -r requirements-console.txt
	touch $@

# torch first and alone: the extras then find it installed.
.venv/.installed-models: .venv/.installed-dev requirements-models.txt
	$(BIN)/pip install -q $$(grep '^torch' requirements-models.txt)
	$(BIN)/pip install -q -r requirements-models.txt
	touch $@

# Without node the tests of the JavaScript clients are skipped, and say so.
$(NODE)/node_modules/.installed: $(NODE)/package.json $(NODE)/package-lock.json
	@if command -v npm >/dev/null; then \
		cd $(NODE) && npm ci --silent --no-audit --no-fund && touch node_modules/.installed; \
	else \
		echo "npm is not installed: the JavaScript clients are not tested"; \
	fi

# Type checks and accessibility of the console. Without node they are left out, and say so.
$(CONSOLE)/node_modules/.installed: $(CONSOLE)/package.json $(CONSOLE)/package-lock.json
	@if command -v npm >/dev/null; then \
		cd $(CONSOLE) && npm ci --silent --no-audit --no-fund && touch node_modules/.installed; \
	else \
		echo "npm is not installed: the console is not type-checked"; \
	fi

clients-latest: .venv/.installed-clients  ## raise every client in the tests to its newest version
	$(BIN)/pip install -q --upgrade $$(sed '/^#/d; s/==.*//' requirements-clients.txt)
	$(BIN)/python -m tests.clients.latest
	cd $(NODE) && npm install --silent --no-audit --no-fund --save-exact --omit-lockfile-registry-resolved \
		$$(node -p "Object.keys(require('./package.json').dependencies).map((name) => name + '@latest').join(' ')")

clean:
	rm -rf $(NODE)/node_modules $(CONSOLE)/node_modules .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
