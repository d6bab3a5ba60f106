# Every target makes its own virtual environment first, in .venv, from no more than make and Python 3.11 or newer.
# PYTHON=/path/to/python3.12 says which Python .venv is made with.

VENV := .venv
READY := $(VENV)/.ready
# Tests run side by side, in as many processes as tests/conftest.py says, one test after another to whichever is free, in
# the order that it gives. (xdist_group has no effect: pytest 9.2 ignores the name that pytest-xdist 3.8 gives a test.)
SIDE_BY_SIDE := -n auto --dist loadgroup --no-loadscope-reorder
PYTEST := $(VENV)/bin/python -m pytest $(SIDE_BY_SIDE)

# Another environment that is active, or its packages, must not reach into ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Bytecode is written even where the shell forbids it: some hundred child processes of the tests would compile anew.
unexport PYTHONDONTWRITEBYTECODE

# What a Python must run without an error: a pyenv shim may stand on the PATH and fail, Debian leaves ensurepip out.
# With -I, since make before 4.4 hands the caller's whole environment to $(shell).
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
CANDIDATES := python3.13 python3.12 python3.11 python3.14 python3
PYTHON ?= $(shell for name in $(CANDIDATES); do \
	$$name -I -c '$(SUITABLE)' >/dev/null 2>&1 && echo $$name && break; done)

.PHONY: help demo test test-fast test-faults test-ray test-oldest smoke-oldest smoke-oldest-if-possible test-gpu \
	audit check dist docs format clean

help:
	@echo 'make demo         train on 1,797 handwritten digits, running out of memory on purpose'
	@echo 'make test         all tests, but those that need a GPU'
	@echo 'make test-fast    the short tests, none with TensorFlow: a minute'
	@echo 'make test-faults  kills, full disks and damage by the hundred: an hour or two, ends with a table'
	@echo 'make test-ray     extraction on a Ray cluster on this machine; installs Ray, 240 MB'
	@echo 'make test-oldest  the tests of models and images with the oldest releases that are allowed'
	@echo 'make smoke-oldest a training and the tests of images with these, a minute'
	@echo 'make test-gpu     the tests on a card; without one they are left out'
	@echo 'make check        ruff, mypy and the import contracts'
	@echo 'make audit        known weaknesses of the installed packages (pip-audit; needs PyPI)'
	@echo 'make dist         the wheel and the source archive'
	@echo 'make docs         the documents as a site in build/site'
	@echo 'make format       let ruff format the code and mend what it can'
	@echo 'make clean        remove .venv and all caches'

demo: $(READY)
	@$(VENV)/bin/autofit demo

test: $(READY)
	$(PYTEST) -m 'not gpu and not ray'

test-fast: $(READY)
	$(PYTEST) -m 'not gpu and not ray and not slow' --durations 5 --durations-min 2

# Every case of what `make test` tries a share of, wherever it is; one test may take many minutes.
test-faults: $(READY)
	$(PYTEST) -m 'not gpu and not ray' --timeout 1800 --whole --only-more tests

# Ray is installed once, and is no part of the other tests. One after another: each starts a cluster.
test-ray: $(VENV)/.ray
	$(VENV)/bin/python -m pytest -m ray --durations 0 tests/end_to_end

$(VENV)/.ray: $(READY)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group ray
	@touch $@

# One after another: they share the card. TensorFlow needs its CUDA libraries: pip install 'tensorflow[and-cuda]'.
test-gpu: $(READY)
	$(VENV)/bin/python -m pytest -m gpu --durations 0 tests/gpu

# The tests that depend most on the releases of Keras, TensorFlow, Pillow and NumPy, with the oldest that are allowed,
# in an environment of their own. NumPy 2.0 and h5py 3.11 were never built for Python 3.13 and newer.
OLDEST := .venv-oldest
HAS_OLDEST := import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})
OLDEST_PYTHON ?= $(shell for name in $(PYTHON) python3.12 python3.11 python3; do \
	$$name -I -c '$(HAS_OLDEST)' >/dev/null 2>&1 && echo $$name && break; done)
NO_OLDEST_PYTHON := the oldest releases allowed are built for Python 3.11 and 3.12 only, and neither is here \
	(OLDEST_PYTHON=/path/to/python3.12 names one)
test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest $(SIDE_BY_SIDE) -m 'not gpu' --whole tests/worker/model tests/worker/execution tests/input

# What of that is quick enough for each change: a whole training, and all that reads images.
smoke-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/autofit demo --quiet --folder build/oldest-demo
	$(OLDEST)/bin/python -m pytest -q -m 'not gpu and not slow' tests/input/test_decode.py tests/storage/test_records.py

# The same where there is a Python for it, and a line where there is none: a machine may have newer ones only.
smoke-oldest-if-possible:
	$(if $(OLDEST_PYTHON),@$(MAKE) --no-print-directory smoke-oldest,@echo 'Left out: $(NO_OLDEST_PYTHON)')

# Known weaknesses of what is installed; asks PyPI, so it is no part of the tests. Strict: where a package cannot be asked
# for, pip-audit would pass it over and find nothing. Strict, it does not pass over autofit either, so it gets a list.
audit: $(READY)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@mkdir -p build
	@$(VENV)/bin/python -m pip list --disable-pip-version-check --format freeze --exclude-editable >build/audited.txt
	$(VENV)/bin/python -m pip_audit --strict --no-deps --disable-pip --requirement build/audited.txt --progress-spinner off

# The wheel and the source archive, the same bytes wherever and whenever they are made (tests/faults/test_supply.py).
dist: $(READY)
	$(VENV)/bin/python -m hatchling build

# Nothing is built from source, and only what is imported is compiled to bytecode.
$(OLDEST)/.ready: pyproject.toml .ci/oldest_requirements.py
	$(if $(OLDEST_PYTHON),,$(error $(NO_OLDEST_PYTHON)))
	@echo 'Installing the oldest releases into $(OLDEST), once: a minute or more'
	"$(OLDEST_PYTHON)" -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/python .ci/oldest_requirements.py >$(OLDEST)/requirements.txt
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all: \
		--editable . -r $(OLDEST)/requirements.txt
	@touch $@

# Without its cache: that keeps a module that an unchanged file imported before it existed as an import of `autofit`.
check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache

# MkDocs is installed once; the build itself fetches nothing, and fails for a link that leads nowhere.
docs: $(VENV)/.docs
	$(VENV)/bin/mkdocs build --quiet
	@echo 'Open build/site/index.html'

$(VENV)/.docs: $(READY)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

format: $(READY)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf $(VENV) $(OLDEST) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/pip:
	@"$(PYTHON)" -I -c '$(SUITABLE)' >/dev/null 2>&1 || { echo "autofit needs Python 3.11 or newer with venv; tried: \
	$(or $(PYTHON),$(CANDIDATES)). Install one (Debian, Ubuntu: apt install python3 python3-venv) \
	or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)

# Done again only when pyproject.toml changes.
$(READY): pyproject.toml | $(VENV)/bin/pip
	@echo 'Installing autofit into $(VENV), once; with TensorFlow this takes a minute or more'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@
