# Poolwright. `make` or `make help` prints what there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The real az lives in an environment of its own (it pins many packages), outside the tree.
AZ_VENV ?= $(HOME)/.cache/poolwright/az-venv
export POOLWRIGHT_TEST_AZ := $(AZ_VENV)/bin/python
# So does the official Python client of Kubernetes.
KUBERNETES_VENV ?= $(HOME)/.cache/poolwright/kubernetes-venv
export POOLWRIGHT_TEST_KUBERNETES := $(KUBERNETES_VENV)/bin/python
SEEDS ?= 50
SEED ?=
CRASHES ?= 200
IMAGE ?= localhost/poolwright:dev
# A module's tests share servers, so they stay together; those that wait for a build stay last.
SPREAD ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
MINUTES ?= 30

.DEFAULT_GOAL := help

.PHONY: help
help:  ## print this
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

$(AZ_VENV)/.ready: tools/az-requirements.txt
	$(PYTHON) -m venv $(AZ_VENV)
	$(AZ_VENV)/bin/python -m pip install -q --disable-pip-version-check --no-compile -r $<
	@touch $@

$(KUBERNETES_VENV)/.ready: tools/kubernetes-requirements.txt
	$(PYTHON) -m venv $(KUBERNETES_VENV)
	$(KUBERNETES_VENV)/bin/python -m pip install -q --disable-pip-version-check --no-compile -r $<
	@touch $@

.PHONY: setup
setup: $(VENV)/.ready  ## make the virtual environment

.PHONY: az
az: $(AZ_VENV)/.ready  ## install the real az and Azure SDKs for the conformance suite

.PHONY: kubernetes-client
kubernetes-client: $(KUBERNETES_VENV)/.ready  ## install the official Python client of Kubernetes

.PHONY: demo
demo: setup  ## show the main job on the embedded default, from nothing to GPU pods and back
	@$(BIN)/poolwright demo

.PHONY: up
up: setup  ## serve on https://localhost:8443
	@$(BIN)/poolwright up

.PHONY: format
format: setup  ## rewrite the code in its format
	$(BIN)/ruff format -q .
	$(BIN)/ruff check -q --fix .

.PHONY: lint
lint: setup  ## format, lint, types and layers
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

.PHONY: check
check: lint  ## what to run before a commit: lint and the fast tests
	$(BIN)/pytest $(SPREAD) -m 'not slow and not conformance and not postgres and not live'

.PHONY: test
test: setup az kubernetes-client  ## every test, with the real clients
	$(BIN)/pytest $(SPREAD)

.PHONY: conformance
conformance: setup az  ## az, the Azure SDKs and kubectl against a running server
	$(BIN)/pytest -m conformance

.PHONY: live-tools
live-tools: setup  ## build Kubernetes, its conformance binary, KWOK, Helm, OpenTofu and azapi
	$(BIN)/python tools/live_tools.py

.PHONY: live
live: setup  ## the tests that need a real Kubernetes; some need PostgreSQL too
	$(BIN)/pytest -m live

.PHONY: conformance-k8s
conformance-k8s: setup  ## Kubernetes' own conformance specs against the embedded one
	PYTHONPATH=tests:tools $(BIN)/python -m conformance_k8s.run

.PHONY: sim
sim: setup  ## simulate whole worlds under faults: SEEDS=50, or SEED=7 to replay one
	$(BIN)/python -m poolwright.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

.PHONY: crash
crash: setup  ## kill the real server at named points, keep bench/results/crash.json: CRASHES=200
	POOLWRIGHT_TEST_CRASHES=$(CRASHES) POOLWRIGHT_TEST_CRASH_RESULT=bench/results/crash.json \
		$(BIN)/pytest tests/crash -s

.PHONY: churn
churn: KILLS ?= 50
churn: setup kubernetes-client  ## real clients through churn, a restart and kills: MINUTES=30 KILLS=50
	PYTHONPATH=tests $(BIN)/python -m churn.run --minutes $(MINUTES) --kills $(KILLS) --keep churn

.PHONY: churn-bugs
churn-bugs: setup kubernetes-client  ## plant bugs in the server: the judge of `make churn` sees them all
	PYTHONPATH=tests $(BIN)/python -m churn.run --bugs --keep planted_bugs

.PHONY: replicas
replicas: KILLS ?= 12
replicas: setup  ## kill, pause and cut off servers that share a store, keep bench/results/kills.json: KILLS=40, SEED=7
	POOLWRIGHT_TEST_KILLS=$(KILLS) $(if $(SEED),POOLWRIGHT_TEST_SEED=$(SEED)) \
		POOLWRIGHT_TEST_KILL_RESULT=bench/results/kills.json $(BIN)/pytest tests/replicas -s

.PHONY: image
image: setup  ## build the container image with buildah and serve from it: BASE=… without a way to docker.io
	buildah build --layers -f deploy/Containerfile $(if $(BASE),--build-arg BASE=$(BASE)) -t $(IMAGE) .
	POOLWRIGHT_TEST_IMAGE=$(IMAGE) $(BIN)/pytest tests/deploy/test_containers.py

.PHONY: bench
bench: setup  ## measure; results go to bench/results
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[bench]'
	$(BIN)/python bench/run.py

.PHONY: bench-k8s
bench-k8s: setup  ## measure the embedded Kubernetes beside the real one
	$(BIN)/python bench/bench_kubernetes.py

.PHONY: docs
docs: setup  ## generate docs/reference, and what the Helm chart says of itself
	$(BIN)/python tools/make_reference.py
	$(BIN)/python tools/make_chart.py
