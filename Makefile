# Everything a newcomer needs: `make demo` and `make test`. The virtual environment is made on first use.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LOCK   := uv pip compile --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -q

.PHONY: help setup demo lab bench bench-scale bench-baremetal compat faults test test-lab test-ml2 test-openstack lint \
    format lock clean

help:           ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.dev   ## virtual environment with the tools for tests and linters

demo: $(VENV)/.runtime  ## two racks, sixteen servers, three tenants: the main job on a virtual site
	$(BIN)/ironlane demo

lab: $(VENV)/.runtime   ## two QEMU machines through their whole life, with real parts; needs packages (docs/lab.md)
	$(BIN)/ironlane machines

bench: $(VENV)/.runtime ## fleet moves beside the ideal and Neutron, into docs/performance.md; QUICK=1: a minute or two
	$(BIN)/python -m bench.fabric $(if $(QUICK),--quick --results /tmp/ironlane-bench.json,--docs docs)

bench-scale: $(VENV)/.runtime ## one process with 2000 switches: idle, audits, memory; into docs/performance.md; QUICK=1: a minute
	$(BIN)/python -m bench.scale $(if $(QUICK),--quick --results /tmp/ironlane-scale.json,--docs docs)

bench-baremetal: $(VENV)/.runtime ## power sync and heartbeats of 500 servers, into docs/performance.md; QUICK=1: half a minute
	$(BIN)/python -m bench.baremetal $(if $(QUICK),--quick,--docs docs)

compat: $(VENV)/.dev  ## what unmodified clients say of us, into docs/compatibility.md
	$(BIN)/python -m tests.compatibility $(SUITE)

faults: $(VENV)/.dev  ## the randomised fault test by itself: new seeds for SECONDS (default 600), on one conductor, then on two
	IRONLANE_FAULT_SECONDS=$(or $(SECONDS),600) $(BIN)/python -m pytest -s tests/faults

test: $(VENV)/.dev    ## all tests; says plainly what it leaves out on this machine
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not openstack and not machines"

test-lab: $(VENV)/.dev ## a QEMU machine through its whole life: one or two minutes; needs packages (docs/lab.md)
	$(BIN)/python -m pytest tests/machines -m machines

test-ml2: $(VENV)/.dev ## our driver in a real Neutron: three minutes the first time, then half of that; needs mariadb-server
	$(BIN)/python -m tests.openstack.prepare neutron
	$(BIN)/python -m pytest -n 2 tests/openstack/test_ml2*.py -m openstack

test-openstack: $(VENV)/.dev ## real Neutron, Ironic, agent and nova beside Ironlane; makes their environments first (mariadb-server)
	$(BIN)/python -m tests.openstack.prepare
	$(BIN)/python -m pytest -n 2 tests/openstack -m openstack

lint: $(VENV)/.dev    ## formatting, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## put the source into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:           ## pin the newest versions of all dependencies
	$(LOCK) --upgrade pyproject.toml --extra postgresql --extra mariadb -o requirements/runtime.lock
	$(LOCK) --upgrade requirements/dev.in -o requirements/dev.lock
	for peer in bench-peer openstack-ironic openstack-ipa openstack-nova openstack-keystone; do \
	    $(LOCK) --upgrade requirements/$$peer.in -o requirements/$$peer.lock || exit; done

clean:          ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.lock requirements/openconfig-models.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --no-binary :all: \
	    --no-build-isolation --dest $(VENV)/share/openconfig -r requirements/openconfig-models.lock
	touch $@
