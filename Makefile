# `make` alone lists what can be done. Needs Python 3.11 and nothing else: no compiler, no root, no server.

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
PIP_ARGS ?=
ROUNDS ?= 10

# Wheels alone: nothing is ever built. Bytecode is written when a module is first used, which halves the installation;
# a shell that forbids bytecode would then pay for it at every start, so that wish is not passed on.
PIP := $(PY) -m pip install --disable-pip-version-check --no-compile --only-binary :all: -c constraints.txt $(PIP_ARGS)
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONHOME
unexport PYTHONPATH

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-postgres lint fix bench soak messages lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  Arguments go in ARGS: make run ARGS='--port 8080'. A particular Python: make run PYTHON=/path/to/python3.11"

run: $(VENV)/.run ## install, fetch the demonstration model and start everything on this machine
	@exec $(PY) manage.py serve $(ARGS)

test: $(VENV)/.dev ## the whole test suite (ARGS='-k name' for a part)
	@$(PY) -m pytest $(ARGS)

test-postgres: $(VENV)/.dev ## the tests that use a database, against PostgreSQL 15 and a Valkey on TCP
	@$(PY) -m tests.services $(ARGS)

lint: $(VENV)/.dev ## style, types, import rule, migrations, translations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(PY) manage.py makemigrations --check --dry-run
	$(PY) -m tests.project.translations --check

fix: $(VENV)/.dev ## let ruff mend and format what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

messages: $(VENV)/.dev ## collect the texts to translate, and compile the translations
	$(PY) -m tests.project.translations

bench: $(VENV)/.dev ## speed of the whole path beside the bare engine (ARGS='--peer llama-server'), of reading, index, retrieval
	@$(PY) manage.py bench $(ARGS)
	@$(PY) -m tests.knowledge.parsing_speed knowledge/samples
	@$(PY) -m tests.knowledge.index_speed
	@$(PY) -m tests.knowledge.bench_retrieval
	@$(PY) -m tests.stack.ledger --bench

soak: $(VENV)/.dev ## 100,000 random strings at the guardrails; 50 ingestions and 200 workers killed; the running whole, ROUNDS times over
	@HAVRE_UNSEEN=all $(PY) -m pytest -q tests/guardrails/test_guardrails_unseen.py
	@$(PY) -m pytest -q -s -m soak tests/portal/test_audit_export_soak.py tests/portal/test_erasing_hundred.py
	@HAVRE_HOSTILE_STRINGS=100000 $(PY) -m pytest -q tests/guardrails/test_guardrails_hostile.py
	@HAVRE_KILLS=50 $(PY) -m pytest -q tests/knowledge/test_knowledge_interrupted.py
	@$(PY) -m tests.stack.faults --kills 200
	@$(PY) -m tests.stack.faults --kills 20 --postgres
	@$(PY) -m tests.stack.ledger
	@$(PY) -m tests.stack.ledger --postgres
	@$(PY) -m tests.stack.ledger --verify-only --events 1000000
	@$(PY) -m pytest -q -m soak tests/audit
	@round=1; while [ $$round -le $(ROUNDS) ]; do \
		echo "round $$round of $(ROUNDS)"; $(PY) -m pytest -q -m stack $(ARGS) || exit 1; round=$$((round + 1)); \
	done

clean: ## remove .venv and caches; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## resolve pyproject.toml afresh and write constraints.txt
	sh .ci/lock

# --- the virtual environment: once, and again only when pyproject.toml or constraints.txt changes -----------------

$(VENV)/.run: pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' VENV='$(VENV)' sh .ci/venv
	@$(PY) -m pip install --disable-pip-version-check -q -c constraints.txt $(PIP_ARGS) pip
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
		> $(VENV)/requirements.txt
	@echo "Installing what Havre needs into $(VENV) (1.8 GB on disk; a minute or two, the first time only) …"
	@$(PIP) $(if $(CI),-q) -r $(VENV)/requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing what the tests need …"
	@$(PIP) -q --group dev
	@touch $@
