# Everything a newcomer needs: `make demo` and `make test` set themselves up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

DELIVERY ?= samples/incoming
ENGINE ?= auto
RUNTIME ?= processes
SIZE ?= S
STAGE ?= dev
BUCKET ?= ecommerce-data
ARCHITECTURE ?= X86_64
WORKERS ?= 2

# The tests of a file share an embedded AWS, and so a worker.
TESTS = $(BIN)/python -m pytest --ignore=tests/docker/test_images.py --ignore=tests/docker/test_deploy.py --numprocesses $(WORKERS) --dist loadfile

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

.PHONY: setup
setup: $(READY) ## Make the virtual environment (the other targets do it by themselves)

$(READY): requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' \
	  || { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11 or 3.12 is needed; try make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@# Compiled here in 15 s: the first demo would take 3 s longer, and all of them where nothing may write it.
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/dev.txt requirements/bootstrap.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m spark_jobs.appcds samples/incoming
	@touch $(READY)

.PHONY: demo
demo: $(READY) ## Send the sample delivery through the whole pipeline (DELIVERY=dir, ENGINE=spark|sail, RUNTIME=containers)
	$(BIN)/python -m localcloud demo --delivery $(DELIVERY) --engine $(ENGINE) --runtime $(RUNTIME)

.PHONY: demo-fail
demo-fail: $(READY) ## The same with a file that has no header
	$(BIN)/python -m localcloud demo --delivery $(DELIVERY) --engine $(ENGINE) --fail

.PHONY: localcloud
localcloud: $(READY) ## Keep the embedded AWS running for your own boto3 or AWS CLI
	$(BIN)/python -m localcloud serve --engine $(ENGINE) --bucket $(BUCKET)

.PHONY: kpis
kpis: $(READY) ## Compute the KPIs of a folder of CSVs, without AWS
	$(BIN)/python -m spark_jobs.transform --input $(DELIVERY) --output out --engine $(ENGINE)

.PHONY: validate
validate: $(READY) ## Validate a folder of CSVs; results and Data Docs in out/validated
	$(BIN)/python -m expectations.validate --input $(DELIVERY) --output out/validated

.PHONY: images
images: $(READY) ## Build the container images, list what is in them, run them (BASE_IMAGE=stand-in without a registry)
	docker/build.sh
	docker/sbom.sh
	$(BIN)/python -m pytest tests/docker

.PHONY: release-check
release-check: ## Fail unless the base image is pinned by its digest of today (docker/base-image.sh pin)
	docker/base-image.sh check

.PHONY: test
test: $(READY) ## Run all tests but those of the built images (make images) (WORKERS=2)
	$(TESTS)

.PHONY: coverage
coverage: $(READY) ## The same with branch coverage, in half as much time again
	$(TESTS) --cov --cov-report=term:skip-covered

.PHONY: lint
lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy chalice_app contract dashboard delivery expectations infra localcloud samples shopkpi spark_jobs

.PHONY: documents
documents: $(READY) ## Write the generated documents again (OpenAPI, schemas, data contract, command reference)
	$(BIN)/python -m chalice_app.openapi
	$(BIN)/python -m contract
	$(BIN)/python -m delivery
	$(BIN)/python -m shopkpi.reference

.PHONY: check-infra
check-infra: $(READY) build/checkov/.ready ## Check the template (cfn-lint, checkov)
	$(BIN)/cfn-lint --config-file infra/cfnlint.yaml
	build/checkov/bin/checkov --config-file infra/checkov.yaml

# An environment of its own: checkov pins what the rest has newer.
build/checkov/.ready: requirements/checkov.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/checkov
	VIRTUAL_ENV=build/checkov $(BIN)/uv pip sync --quiet --require-hashes requirements/checkov.txt
	@touch $@

.PHONY: deploy
deploy: $(READY) ## Bring a stage up in AWS (STAGE=dev, DRY_RUN=yes, IMAGES=no, PARAMETERS="Name=value …")
	$(BIN)/python -m infra.deploy up --stage $(STAGE) $(if $(DRY_RUN),--dry-run) \
	  $(if $(filter no,$(IMAGES)),--no-images) \
	  $(foreach parameter,$(PARAMETERS),--parameter $(parameter))

.PHONY: destroy
destroy: $(READY) ## Take a stage down (STAGE=dev, DELETE_DATA=yes for the bucket's objects and the KPIs)
	$(BIN)/python -m infra.deploy down --stage $(STAGE) $(if $(DELETE_DATA),--delete-data)

.PHONY: bench
bench: bench/.venv/.ready ## Compare with other engines and validators (SIZE=S|M)
	bench/.venv/bin/python -m bench.transform --size $(SIZE)
	bench/.venv/bin/python -m bench.validate --size $(SIZE)

.PHONY: bench-test
bench-test: bench/.venv/.ready ## Run the tests of the benchmarks
	bench/.venv/bin/python -m pytest -c bench/pyproject.toml --rootdir bench bench/tests

# An environment of its own: the pipeline does without the libraries that it is compared with.
bench/.venv/.ready: bench/requirements.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python bench/.venv
	VIRTUAL_ENV=bench/.venv $(BIN)/uv pip sync --quiet --require-hashes bench/requirements.txt
	@touch $@

.PHONY: wheel
wheel: $(READY) ## Build the wheel of the operator command shopkpi, for pipx install dist/*.whl
	$(BIN)/python -m hatchling build --target wheel

.PHONY: lock
lock: $(READY) ## Resolve the dependencies of both pyproject.toml again
	@# What ships is what the tests ran with: the groups take their versions from dev.
	@compile="$(BIN)/uv pip compile --quiet --universal --python-version $$(cat docker/python-version.txt) --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate"; \
	$$compile --upgrade pyproject.toml --group dev -o requirements/dev.txt; \
	$$compile --upgrade --constraint requirements/dev.txt pyproject.toml -o requirements/operator.txt; \
	for group in bootstrap image-build trigger validator transformer-spark transformer-sail; do \
	  $$compile --upgrade --constraint requirements/dev.txt --group $$group -o requirements/$$group.txt; \
	done; \
	$$compile --upgrade bench/pyproject.toml -o bench/requirements.txt

.PHONY: clean
clean: ## Remove everything that can be made again
	rm -rf $(VENV) bench/.venv build dist out .localcloud
