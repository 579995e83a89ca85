# hilum: every target does its own set-up; nothing is needed but Python 3.11+ and the Python package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup check types fast costly test every longest bench recipes crash fuzz soak demo docs dist deb clean

# libraries' own tests, what is there as a library of C too (mypy), and parts that nobody here imports, or one process of a run: a third of
# what there is to compile
SELDOM_IMPORTED := /(tests|testing|benchmarks|mypyc?|_inductor|_vendor|lexers|transformers|quantization|physics|backend|snowballstemmer)/
SELDOM_IMPORTED := $(SELDOM_IMPORTED)|/(imageio|torchgen|fontTools|setuptools|distutils|sqlalchemy/orm|reportlab/(graphics|platypus))/
SELDOM_IMPORTED := $(SELDOM_IMPORTED)|/(async_api|schemas|combinatorics|semconv|werkzeug|rich_rst)/

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[embedded,demo,onnxruntime,torch,register,triton,postgresql,s3,training,search,prognosis,federated,console,otel,dev]' -c constraints.txt
	# pip would compile one file after another; some files are for newer Pythons and cannot be
	$(BIN)/python -m compileall -qq -j 0 -x '$(SELDOM_IMPORTED)' $(VENV)/lib || true
	touch $@

# tests start hundreds of processes, and each would compile what it imports again
unexport PYTHONDONTWRITEBYTECODE

# folders in which every test is slow, or needs more than Python: they are not even read
WITHOUT_FAST_TESTS := $(addprefix --ignore=tests/,node peers triton)

# lint, types, import contracts and the fast tests, a minute of two processors at most (docs/performance.md). `make test` runs every test
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory --jobs 2 types fast

# two processes here: without a cache it takes most of a minute of a processor, more than the fast tests beside it. mypy waits three seconds for
# them to begin, which on a busy machine they have not (exit status 2): one process does it then
TYPE_WORKERS := 2
types: $(READY)
	$(BIN)/mypy --num-workers $(TYPE_WORKERS) || { test $$? -eq 2 && $(BIN)/mypy; }

# where there is room, the files of the fast tests lie in memory and wait for no disk; `make test` runs the same tests on one
IN_MEMORY := $(shell test "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 2>/dev/null && echo TMPDIR=/dev/shm)

FAST := -q -m "not slow and not peers and not registry" $(WITHOUT_FAST_TESTS)

# every test that is neither marked slow nor listed in tests/costly.txt, collected once and run in forks: more than there are processors,
# for some tests wait
fast: $(READY)
	$(IN_MEMORY) $(BIN)/pytest --forks 6 $(FAST)

# measure what `make check` has time for, and write tests/costly.txt: the functions whose cases take more than a fiftieth of a second
# of a processor; each file keeps its quickest, up to a tenth of a second. `make check` and `make test` say when
# one that is not listed has become costly
costly: $(READY)
	$(IN_MEMORY) $(BIN)/pytest --forks 2 $(FAST) --write-costly

# lint, import contracts, types and every test; the types in one process, which takes an eighth less and is through long before the tests
test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory --jobs 2 types every TYPE_WORKERS=0

# four forks on two processors, for nodes, viewers and archives are waited for; with five processes, 24 GB of memory were too little, and
# what starts a server or a jail came too late (docs/performance.md). Which file runs when: tests/lab/turns.py. The types are looked at
# while the first of these wait. A test that hangs, or ends its process, is named, and another fork goes on with what comes after it
every: $(READY)
	$(BIN)/pytest --forks 4 --durations 15 $(EVERY)

# run every test, measure how long each file of them takes by the clock, and write tests/longest.txt: the long ones, which begin first
longest: $(READY)
	$(MAKE) --no-print-directory every EVERY=--write-longest

bench: $(READY)
	$(BIN)/python -m bench

# every recipe for training in its small form, on made data, as one table; NAMES="hippocampus restore" runs those
recipes: $(READY)
	$(BIN)/python -m bench.recipes $(NAMES)

# hostile bytes for every parser, guided by coverage: SECONDS of processor time for all targets together
SECONDS ?= 300
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(SECONDS)

# a node that is killed, starved and lied to, round after round; writes bench/crash.json (docs/crash-matrix.md). RESUME=FOLDER goes on
ROUNDS ?= 540
crash: $(READY)
	$(BIN)/python -m tests.crash --rounds $(ROUNDS) $(if $(RESUME),--resume $(RESUME))

# a busy hospital for so many minutes, and what grows meanwhile; writes bench/soak.json
MINUTES ?= 20
soak: $(READY)
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

# the main job on the embedded engine: a real head MR goes in over DIMSE, SEG, SR and a picture come out
demo: $(READY)
	$(BIN)/hilum demo --out var/demo

# the pages that are made from the source, and all of them as a site that can be searched: build/site/index.html
docs: $(READY)
	$(BIN)/python -m docs.generate
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet --conf-dir docs/site . build/site

# what is installed elsewhere: a wheel, the sdist that it was built from, and the versions that were tested with it
dist: $(READY)
	$(BIN)/python -m build --outdir dist
	cp constraints.txt dist/

# the node with its libraries for Debian 12: dist/hilum_*.deb. Needs debhelper, dh-virtualenv and python3-venv of Debian
deb: $(READY)
	rm -rf build/deb
	mkdir -p build/deb/tree dist
	$(BIN)/python -m build --sdist --no-isolation --outdir build/deb
	tar -xzf build/deb/hilum-*.tar.gz -C build/deb/tree --strip-components 1
	cd build/deb/tree && cp -a docker/debian debian && dpkg-buildpackage --rules-target=binary
	cp build/deb/*.deb dist/

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
