# The same commands for people and for CI. Each does all of its own set-up; the second time that takes a moment.

PYTHON := .venv/bin/python

# Demo, tests and bench bring their own Temporal server and their own AWS: nothing of the caller's leads them elsewhere.
unexport TEMPORAL_ADDRESS TEMPORAL_NAMESPACE TEMPORAL_PROFILE TEMPORAL_CONFIG_FILE TEMPORAL_API_KEY TEMPORAL_TLS
unexport AWS_PROFILE AWS_ENDPOINT_URL AWS_SESSION_TOKEN MIGRATOR_SETTINGS PYTHONHOME PYTHONPATH

# More words for the command behind a target, e.g. make test ARGS="tests/unit -k request".
ARGS ?=

# Where `make up` writes local.json, request.json, settings.toml and env.
STATE_DIR ?= .local

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-terraform validate-terraform terraform sweep matrix check bench clean

help: ## Say what there is.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

setup: ## Virtual environment, locked dependencies, Temporal server, vCenter simulator.
	@tools/setup.sh

demo: setup ## Two migrations on the local cloud: one completes, one rolls back.
	@.venv/bin/migrator demo $(ARGS)

up: setup ## Run the local cloud, a worker and the ingress until Ctrl-C.
	@.venv/bin/migrator up --state-dir $(STATE_DIR) $(ARGS)

test: setup ## All tests but the sweeps and the failure matrix.
	@$(if $(ARGS),$(PYTHON) -m pytest $(call without,sweep matrix terraform) $(ARGS),$(MAKE) $(SIDE_BY_SIDE))

# The slow folders have a process each, which mostly waits; all that they do not name is in the first one.
SLOW := contracts e2e e2e_faults e2e_mgn
SIDE_BY_SIDE := --no-print-directory --jobs 4 --output-sync=target test-quick test-contracts test-e2e test-faults
without = $(foreach folder,$(1),--ignore=tests/$(folder))

.PHONY: test-quick test-contracts test-e2e test-faults
test-quick:
	@$(PYTHON) -m pytest -q $(call without,sweep matrix terraform $(SLOW))
test-contracts:
	@$(PYTHON) -m pytest -q tests/contracts
test-e2e:
	@$(PYTHON) -m pytest -q tests/e2e
test-faults:
	@$(PYTHON) -m pytest -q tests/e2e_faults tests/e2e_mgn

test-terraform: setup ## deploy/terraform by Terraform itself, with stand-ins for AWS: no cloud, no provider.
	@$(PYTHON) -m tools.terraform test
	@$(PYTHON) -m pytest -q tests/terraform

validate-terraform: setup ## deploy/terraform by the provider's own words; needs a Terraform registry.
	@$(PYTHON) -m tools.terraform validate

terraform: setup ## Find Terraform, or build it into the cache, which takes some minutes once.
	@$(PYTHON) -m tools.terraform

sweep: setup ## Every activity and every call of a migration gone wrong; MUTATE=1: without its looks.
	@$(PYTHON) -m pytest $(if $(MUTATE),tests/sweep/test_sweep_mutations.py,tests/sweep) $(ARGS)

matrix: setup ## Every step failed, hung, cancelled, rolled back, its worker killed: where each ends.
	@$(PYTHON) -m pytest tests/matrix $(ARGS)

check: setup ## Lint, formatting, types, import contracts, generated files.
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m migration.schema --check
	@$(PYTHON) -m migration.findings --check
	@$(PYTHON) -m localcloud.aws.mgn.pages --check
	@$(PYTHON) -m tools.terraform_permissions --check
	@$(PYTHON) -m tools.terraform_lint

bench: setup ## Overhead figures, each with its baseline, into bench/results.json.
	@$(PYTHON) -m bench $(ARGS)

clean: ## Remove what was made inside the checkout; the cache outside it stays.
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
