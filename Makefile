# The front door. `make help` lists what can be done; every target installs what it needs (root, Debian 12).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
MEMBERS := proto services/kit services/ipam services/netconf services/eni-manager plugin lab deploy/install deploy/cli deploy/helm/tool services/metrics-helper
PYPROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
STAMPS := build/stamps

.PHONY: images e2e profile datapath datapath-vlan help setup plugin proto chart demo test lint format bench fleet jaeger clean pin

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(STAMPS)/packages $(STAMPS)/venv build/aws-cni ## install Debian packages, the Python environment and the plugin binary

$(STAMPS)/packages: .ci/packages
	@mkdir -p $(STAMPS)
	@.ci/packages
	@touch $@

$(STAMPS)/venv: requirements.txt $(PYPROJECTS) .ci/install $(STAMPS)/packages
	@.ci/install
	@touch $@

build/aws-cni: $(wildcard plugin/src/vpccni_plugin/*.py plugin/*.py plugin/native/*) $(STAMPS)/packages $(STAMPS)/venv
	@$(PY) plugin/build.py
	@touch $@

plugin: build/aws-cni ## build/aws-cni, the static CNI plugin

proto: $(STAMPS)/venv ## regenerate what is made from the contracts: stubs, the plugin's table of reasons
	$(PY) proto/generate.py
	$(PY) plugin/generate_reason_table.py

chart: $(STAMPS)/venv ## regenerate what the Helm chart takes from the services' settings and calls
	$(PY) -m vpccni_chart

demo: setup ## two nodes of a VPC, 40 pods, every path checked with packets (table, spans of one ADD, EC2 calls)
	@.venv/bin/vpclab demo

test: setup ## every test tier that this machine can run
	@.ci/test

lint: $(STAMPS)/venv ## ruff, mypy --strict, import-linter, stubs current
	@.ci/lint

format: $(STAMPS)/venv ## ruff format and fixes
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: setup ## ADD and DEL beside ptp + host-local, 110 at once, PSS, idle CPU; build/bench.json
	@$(PY) tests/bench/bench.py

profile: setup ## what the time of an ADD and a DEL goes to, step by step, CPU by process; build/profile.json
	@.venv/bin/vpclab profile

datapath: setup ## the packet table: every path by address mode, SNAT setting and packet filter; build/datapath.json
	@.venv/bin/vpclab datapath

datapath-vlan: setup ## its rows for branch ENIs, in Debian's kernel under qemu (5 to 15 minutes); skipped where that is not possible
	@tests/qemu/datapath || { status=$$?; [ $$status = 3 ] && exit 0; exit $$status; }

fleet: $(STAMPS)/venv ## a day of 1,000 nodes in virtual time, for five warm-target settings; build/fleet.json, build/fleet.png
	@$(PY) -m vpccni_lab.fleet

jaeger: setup ## a real Jaeger beside the lab: the trace of an ADD that waits, read back, checked, drawn (build/trace.png)
	@$(PY) tests/observe/show_jaeger.py

images: setup ## container images of the services and of init: OCI archives in build/images, sizes printed (ARCH=arm64: for it)
	@.ci/packages buildah mmdebstrap
	@$(PY) deploy/images/build.py $(if $(ARCH),--arch $(ARCH))

e2e: setup ## a real Kubernetes cluster on lab nodes: install, packets, upgrade, faults, reboot, uninstall; build/e2e.json
	@.ci/packages buildah mmdebstrap openssl
	@VPCCNI_E2E=1 .venv/bin/pytest tests/e2e -m e2e -x -q -s

pin: ## re-pin requirements.txt from the pyproject.toml files
	.ci/pin --upgrade
	$(MAKE) setup

clean: ## remove everything that was built (not the environment)
	rm -rf build
