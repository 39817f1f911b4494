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
.PHONY: help setup demo up test test-postgres test-tutorial test-terraform validate-terraform terraform sweep matrix check audit bench clean

help: ## Say what there is.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

setup: ## Virtual environment, locked dependencies, Temporal server, vCenter simulator.
	@tools/setup.sh

demo: setup ## Two migrations on the local cloud: one completes, one rolls back.
	@.venv/bin/migrator demo $(ARGS)

up: setup ## Run the local cloud, a worker and the ingress until Ctrl-C.
	@.venv/bin/migrator up --state-dir $(STATE_DIR) $(ARGS)

test: setup ## All tests but the sweeps, the failure matrix and PostgreSQL.
	@$(if $(ARGS),$(PYTHON) -m pytest $(call without,sweep matrix terraform postgres tutorial) $(ARGS),$(MAKE) $(SIDE_BY_SIDE))

# The slow folders have a process each, and all that they do not name another one. Two at a time: they wait for much, but
# what they wait for has its own deadlines, which a machine of two cores misses when more of them crowd it.
SLOW := contracts e2e e2e_faults e2e_mgn workflows
SIDE_BY_SIDE := --no-print-directory --jobs 2 --output-sync=target \
	test-faults test-workflows test-unit test-e2e test-contracts test-tutorial test-terraform
without = $(foreach folder,$(1),--ignore=tests/$(folder))

.PHONY: test-unit test-workflows test-contracts test-e2e test-faults
test-unit:
	@$(PYTHON) -m pytest -q $(call without,sweep matrix terraform postgres tutorial $(SLOW))
test-workflows:
	@$(PYTHON) -m pytest -q tests/workflows
test-contracts:
	@$(PYTHON) -m pytest -q tests/contracts
test-e2e:
	@$(PYTHON) -m pytest -q tests/e2e
test-faults:
	@$(PYTHON) -m pytest -q tests/e2e_faults tests/e2e_mgn

test-postgres: setup ## A migration on Temporal with PostgreSQL, both failing under it; builds the server once, which takes minutes.
	@$(PYTHON) -m tools.temporal_server
	@$(PYTHON) -m pytest tests/postgres $(ARGS)

test-tutorial: setup ## Of the tests, docs/tutorial.md: each command copied into a terminal, on a local cloud of its own.
	@$(PYTHON) -m pytest -q tests/tutorial $(ARGS)

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

.PHONY: docs generated
docs: setup ## The documents as a site in site/; a warning is an error.
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet --strict

generated: setup ## Write every file that comes from code again.
	@$(PYTHON) -m tools.generated

check: docs ## Lint, formatting, types, import contracts, generated files, documents.
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m tools.generated --check
	@$(PYTHON) -m tools.terraform_lint
	@.venv/bin/yamllint --strict .
	@.venv/bin/actionlint
	@.venv/bin/zizmor --quiet --offline --pedantic --no-progress .github
	@.venv/bin/hadolint deploy/docker/Dockerfile

audit: setup ## Known vulnerabilities, licences, secrets; the bill of materials goes into dist/sbom.cdx.json.
	@mkdir -p dist
	@.venv/bin/uv export --quiet --locked --all-extras --all-groups --no-emit-project --output-file dist/requirements.txt
	@$(PYTHON) -m tools.vulnerabilities dist/requirements.txt
	@UV_PROJECT_ENVIRONMENT=dist/environment .venv/bin/uv sync --quiet --locked --no-dev --extra telemetry --no-install-project --python $(PYTHON)
	@.venv/bin/pip-licenses --python dist/environment/bin/python --output-file dist/licences.txt
	@.venv/bin/cyclonedx-py environment dist/environment/bin/python --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.cdx.json
	@git ls-files -z | xargs -0 .venv/bin/detect-secrets-hook --baseline .secrets.baseline

.PHONY: baseline
baseline: setup ## Take what looks like a secret now for known; the change is reviewed.
	@mkdir -p dist
	@.venv/bin/detect-secrets scan --slim --exclude-files '^(tests/histories/|uv\.lock$$|\.secrets\.baseline$$)' > dist/baseline
	@mv dist/baseline .secrets.baseline

bench: setup ## Overhead figures, each with its baseline, into bench/results.json.
	@$(PYTHON) -m bench $(ARGS)

# What follows needs a container engine, Terraform or an account in AWS: it is for the pipeline (docs/pipeline.md).

IMAGE ?= migrator:local
ENVIRONMENT ?= dev
# Where the state is: "bucket=… key=… region=…".
BACKEND ?=
TERRAFORM := terraform -chdir=deploy/terraform

.PHONY: image push plan deploy
image: ## Build the image of worker, ingress and CLI.
	docker build --file deploy/docker/Dockerfile --target migrator --tag $(IMAGE) .

push: ## Push IMAGE to ECR; dist/image.txt then names it by its digest.
	aws ecr get-login-password | docker login --username AWS --password-stdin $(firstword $(subst /, ,$(IMAGE)))
	docker push --quiet $(IMAGE)
	@mkdir -p dist
	docker inspect --format '{{index .RepoDigests 0}}' $(IMAGE) > dist/image.txt

plan: ## What Terraform would do in ENVIRONMENT with IMAGE, into dist/plan.tfplan and dist/plan.txt.
	@mkdir -p dist
	$(TERRAFORM) init -input=false $(BACKEND:%=-backend-config=%)
	$(TERRAFORM) plan -input=false -lock=false -var-file=env/$(ENVIRONMENT).tfvars -var=image=$(IMAGE) -out=$(CURDIR)/dist/plan.tfplan
	$(TERRAFORM) show -no-color $(CURDIR)/dist/plan.tfplan > dist/plan.txt

deploy: ## Do what dist/plan.tfplan says, and nothing else.
	$(TERRAFORM) init -input=false $(BACKEND:%=-backend-config=%)
	$(TERRAFORM) apply -input=false $(CURDIR)/dist/plan.tfplan

clean: ## Remove what was made inside the checkout; the cache outside it stays.
	rm -rf .venv .local site .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
