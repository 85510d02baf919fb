# setup  makes .venv from the lock          book  executes the chapters and builds the pages
# test   checks, with CI=true everything    bench measures                lock  renews the lock
# pdf    prints the book               picture renews the README's     reference accepts the stated values
# archive packs it all into one file   citation renews .zenodo.json from CITATION.cff
# check-builds        builds the book twice under different settings and compares everything
# check-interruption  kills builds and simulations at random moments, and fills disks
# check-hosts         does what the workflow and Binder do, each in a fresh clone
# check-versions      tests the library with the oldest and the newest versions that it allows
# live   lets queries come to a real engine on this machine, for an hour
# audit  asks the package index whether a locked version has a known weakness
# fuzz   tries every door of the library with bad input, thirty thousand times (ten minutes)
# mutants changes the library's core in small ways and sees which tests notice (an hour)
# Every target may be called again at any time and is quick when there is nothing to do.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# cffconvert wants an older jsonschema than the book does, and uv is only needed to renew the locks
TOOLS := .tools
CFF_READY := $(TOOLS)/citation/.ready
UV := $(TOOLS)/uv/bin/uv
UV_VERSION := 0.13.9
AUDIT := $(TOOLS)/audit/bin/pip-audit
AUDIT_VERSION := 2.10.1
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url

# one thread each, and the processor's own kernels, for every method that is measured
MEASURED := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE \
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 RAYON_NUM_THREADS=1

.DEFAULT_GOAL := book
.PHONY: setup book pdf archive citation picture reference test bench live lock clean
.PHONY: check-builds check-hosts check-interruption check-versions mutants fuzz audit

setup: $(READY)

# the stamp is left only when everything went well, so an interrupted set-up starts again
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed.")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(CFF_READY): tests/citation.lock
	test -x $(@D)/bin/pip || $(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --require-hashes --requirement $<
	touch $@

lock: $(UV)
	$(COMPILE) pyproject.toml --all-extras --group build --group model --output-file requirements.lock
	$(COMPILE) tests/citation.in --output-file tests/citation.lock

$(UV):
	$(PYTHON) -m venv $(TOOLS)/uv
	$(TOOLS)/uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

book: $(READY)
	$(BIN)/python -m thinkqueue.book build

pdf: $(READY)
	$(BIN)/python -m thinkqueue.book pdf

archive: $(READY)
	$(BIN)/python -m thinkqueue.book archive

citation: $(READY)
	$(BIN)/python -m thinkqueue.book citation

picture: $(READY)
	$(BIN)/python -m thinkqueue.book picture

reference: $(READY)
	$(BIN)/python -m thinkqueue.book reference

# two processes on two cores: threads of their own, that wait by spinning, would make them three
# times as slow
test check-versions mutants: export OMP_NUM_THREADS := 1
test check-versions mutants: export OPENBLAS_NUM_THREADS := 1
test check-versions mutants: export RAYON_NUM_THREADS := 1
test: $(READY) $(CFF_READY)
	$(BIN)/python -m thinkqueue.book browser
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 20 \
		$(if $(CI),,-m "not slow")

check-builds: $(READY)
	$(BIN)/python tests/repeated.py

check-hosts: $(READY)
	$(BIN)/python tests/hosts.py

check-interruption: $(READY)
	$(BIN)/python tests/interruption.py

check-versions: $(READY) $(UV)
	$(BIN)/python tests/versions.py $(UV)

# strict, because what cannot be looked up is not known to be safe
audit: $(AUDIT)
	$(AUDIT) --strict --disable-pip --require-hashes --progress-spinner off \
		--requirement requirements.lock --requirement tests/citation.lock

$(AUDIT):
	$(PYTHON) -m venv $(TOOLS)/audit
	$(TOOLS)/audit/bin/python -m pip install --quiet pip-audit==$(AUDIT_VERSION)

mutants: $(READY)
	cd tests && ../$(BIN)/python -m mutation

fuzz: $(READY)
	cd tests && ../$(BIN)/python -m fuzzing

bench: $(READY)
	for benchmark in tests/benchmarks/bench_*.py; do $(MEASURED) $(BIN)/python $$benchmark || exit 1; done

live: $(READY)
	$(BIN)/python -m thinkqueue.live

clean:
	rm -rf .venv .tools _build build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find lib tests -name __pycache__ -prune -exec rm -rf {} +
