# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv packages lock demo demo-shell demo-down dev dev-wp dev-mail dev-down dev-destroy test test-long lint sanity unit readmes molecule bench

# One sandbox is a set of throwaway hosts. Its name, folder, first published port and first two octets can be
# changed, so that several stand side by side (the tests use one of their own beside the demo's).
export SANDBOX_NAME ?= dockpress
export SANDBOX_DIR ?= $(CURDIR)/.sandbox
export SANDBOX_PORT_BASE ?= 8080
export SANDBOX_SUBNET ?= 10.213

BIN := $(CURDIR)/.venv/bin
COLLECTIONS := $(CURDIR)/.cache/collections
HERE := $(COLLECTIONS)/ansible_collections/dockpress/hosting
export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
# Molecule works with a configuration of its own elsewhere: what was fetched stays here all the same.
export IMAGES_CACHE_DIR ?= $(CURDIR)/.cache
export MOLECULE_GLOB := $(CURDIR)/molecule/*/molecule.yml
export PY_COLORS ?= 1

# What `make test` runs.
SCENARIOS ?= default docker_host images wp_modules monitoring backup dev

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

venv: .venv/.stamp $(HERE) ## Make the virtual environment (the newest suitable Python, everything pinned)

# 3.12 and newer get the current Ansible; 3.11 is the floor. What an interrupted run left half-made is made anew: `activate` is written after
# pip, and pip answers where the Python that it was made with is still there.
.venv/.stamp: requirements.txt
	@python=$$(tests/find-python) && echo "Virtual environment with $$($$python --version) ..." && \
	{ [ -e .venv/bin/activate ] && .venv/bin/python -m pip --version >/dev/null 2>&1 || $$python -m venv --clear .venv; } && \
	.venv/bin/python -m pip install --quiet --require-hashes --requirement requirements.txt
	@touch $@

# The checkout under the name by which Ansible looks for a collection.
$(HERE):
	@mkdir -p $(dir $(HERE)) && ln -sfn $(CURDIR) $(HERE)

packages:
	@tests/packages

lock: ## Resolve requirements.in into requirements.txt again
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' --output-file requirements.txt requirements.in

demo: venv ## A WordPress site and its monitoring on a throwaway Docker host of this machine
	ansible-playbook playbooks/sandbox.yml -i inventories/sandbox
	ansible-playbook playbooks/site.yml -i inventories/sandbox
	ansible-playbook playbooks/sandbox_info.yml -i inventories/sandbox

demo-shell: ## A shell on the demo's first host
	docker exec -it $(SANDBOX_NAME)-web1 bash -l

demo-down: venv ## Remove the demo: hosts, networks, volumes, secrets, and the images unless another sandbox uses them
	ansible-playbook playbooks/sandbox.yml -i inventories/sandbox -e sandbox_state=absent -e sandbox_images_state=absent

# The site on this machine's own engine. DEV_DIR, DEV_PORT, DEV_IMAGES and DEV_UID are read by the playbook.
export DEV_DIR ?= ./dev
DEV_PLAYBOOK = ansible-playbook playbooks/dev.yml

dev: venv ## A WordPress site on this machine, to develop on (DEV_DIR=./dev DEV_PORT=8080)
	$(DEV_PLAYBOOK) $(ARGS)

dev-wp: ## WP-CLI in it: make dev-wp ARGS="plugin list"
	@docker exec -i $$([ -t 0 ] && echo -t) $(notdir $(realpath $(DEV_DIR)))-cron-1 wp $(ARGS)

dev-mail: venv ## The mails that it has caught
	@python playbooks/files/show_mails.py $(DEV_DIR)/mail

dev-down: venv ## Remove its containers; files and database stay
	$(DEV_PLAYBOOK) -e dev_state=stopped

dev-destroy: venv ## Remove all of it, after asking (DEV_YES=1 does not ask)
	@[ -n "$(DEV_YES)" ] || { read -rp "Remove $(abspath $(DEV_DIR)) with all files and the database? [y/N] " answer && [ "$$answer" = y ]; }
	$(DEV_PLAYBOOK) -e dev_state=absent

test: venv packages ## Everything that CI runs
	python tests/run.py $(SCENARIOS)

lint: venv ## ansible-lint (profile production), ruff, generated files up to date
	ruff check . && ruff format --check .
	python tests/docs.py lint
	tests/readmes --check
	ansible-lint --offline
	python roles/monitoring/files/dashboards/generate.py --check

sanity: venv ## ansible-test sanity
	tests/run-sanity

unit: venv packages ## Unit tests, without Docker
	PYTHONPATH=$(COLLECTIONS) pytest -q -n auto tests/unit

readmes: venv ## Write the roles' README files from their argument specs
	tests/readmes

molecule: venv packages ## One scenario: make molecule SCENARIO=default
	python tests/run.py --only-scenarios $(SCENARIO)

test-long: venv ## The longer proofs (hours)
	DOCKPRESS_LONG=1 python tests/run.py --only-scenarios $(SCENARIOS)

bench: venv ## Measure, and add the figures to docs/benchmarks.md (BENCH=sites for one)
	python tests/bench/run.py $(BENCH)
