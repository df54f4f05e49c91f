# The two commands of the README, and a few for developers. Everything is built into build/.
.PHONY: docs setup-docs quickstart figures test build setup setup-tests setup-checks configured check library venv wheel test-python test-versions bench bench-train bench-compare against-v1 bench-threads bench-ops bench-diagnostics truth bands power fuzz kills modes overlap sanitize sanitize-unit check-debian13 check-clang valgrind tidy format clean bench-files sbibm

export BAYESFLOW_LAUNCHER = $(shell command -v ccache 2>/dev/null)
BUILD := build/release
JOBS := $(shell nproc)

setup:            ## installs from Debian what the library, the tutorial and the Python package are built with
	@cmake/install_dependencies.sh library

setup-tests: setup  ## the same for tests and benchmarks
	@cmake/install_dependencies.sh tests browser

setup-checks: setup-tests  ## the same for formatting and clang-tidy
	@cmake/install_dependencies.sh checks

configure = mkdir -p build && cmake --preset release $(1) > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
$(BUILD)/build.ninja: | setup
	@$(call configure,-DBAYESFLOW_TESTS=OFF)  # until something needs them

configured: setup-tests $(BUILD)/build.ninja
	@grep -q '^BAYESFLOW_TESTS:BOOL=ON' $(BUILD)/CMakeCache.txt || { $(call configure,-DBAYESFLOW_TESTS=ON); }

build: configured
	@cmake --build $(BUILD) -j $(JOBS)

quickstart: setup $(BUILD)/build.ninja  ## the tutorial's workflow: simulate, train, sample, compare with the exact posterior
	@cmake --build $(BUILD) -j $(JOBS) --target quickstart
	@$(BUILD)/examples/quickstart build/quickstart

figures: quickstart  ## the figures of the README, drawn by the quickstart
	@mkdir -p docs/figures
	@cp build/quickstart/recovery.png build/quickstart/calibration.png docs/figures/

test: quickstart build venv  ## the same, then every test; leaves the Python package in build/venv
	@ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure
	@MALLOC_PERTURB_=165 $(VENV)/bin/python -m pytest -q tests/python

# The Python package on top of the library that was just built: pip compiles the bindings only, and links with it.
VENV := build/venv
QUIET := $(shell test -t 2 || echo -q)  # progress is shown to whoever looks on
$(VENV)/requirements-test.txt: python/requirements-test.txt | setup
	@test -x $(VENV)/bin/python || /usr/bin/python3 -m venv $(VENV)
	@$(VENV)/bin/pip install $(QUIET) --disable-pip-version-check -r $< && cp $< $@

venv: build $(VENV)/requirements-test.txt  ## a virtual environment with the Python package and what its tests need
	@echo "Compiling the Python package's extension module: minutes, the first time"
	@$(VENV)/bin/pip install -q --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall . \
	  --config-settings=build-dir=build/python --config-settings=cmake.define.BAYESFLOW_PREBUILT=$(CURDIR)/$(BUILD) --config-settings=cmake.define.CMAKE_CXX_COMPILER_LAUNCHER=$(BAYESFLOW_LAUNCHER)

test-python: venv  ## the Python tests alone: make test-python TESTS=tests/python/test_trainers.py
	@MALLOC_PERTURB_=165 $(VENV)/bin/python -m pytest -q $(or $(TESTS),tests/python)

library: setup $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS) --target bayesflow

wheel: library $(VENV)/requirements-test.txt  ## a wheel that needs nothing but NumPy: build/wheels
	@rm -rf build/wheels && python/wheel.sh $(VENV)/bin/python $(BUILD) build/wheels && ls -sh build/wheels

test-versions: library  ## a wheel for each Python 3.9 to 3.13 that this machine has, installed and tested: make test-versions VERSIONS='3.9 3.13'
	@VERSIONS="$(VERSIONS)" python/test_versions.sh $(BUILD) $(TESTS)

# The documentation site: docs/site. Its tools have an environment of their own, with the package, whose docstrings and notebooks it shows.
DOCS := build/docs
$(DOCS)/venv/requirements.txt: docs/site/requirements.txt | setup
	@test -x $(DOCS)/venv/bin/python || /usr/bin/python3 -m venv $(DOCS)/venv
	@$(DOCS)/venv/bin/pip install $(QUIET) --disable-pip-version-check -r $< && cp $< $@

setup-docs: $(DOCS)/venv/requirements.txt  ## what `make docs` needs
	@cmake/install_dependencies.sh docs

docs: library setup-docs  ## the documentation site, all notebooks run: build/docs/html; in less time: BAYESFLOW_EXAMPLE_SMALL=1 make docs
	@$(DOCS)/venv/bin/pip install -q --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall . \
	  --config-settings=build-dir=$(DOCS)/python --config-settings=cmake.define.BAYESFLOW_PREBUILT=$(CURDIR)/$(BUILD) --config-settings=cmake.define.CMAKE_CXX_COMPILER_LAUNCHER=$(BAYESFLOW_LAUNCHER)
	@JUPYTER_PLATFORM_DIRS=1 $(DOCS)/venv/bin/python docs/site/build.py $(DOCS)

# What to measure and what the figures mean: docs/measuring.md.
bench: build      ## all measurements: build/bench/results.json and a table
	@mkdir -p build/bench
	@$(BUILD)/benchmarks/bench_all build/bench/results.json

bench-train: build  ## training speed alone
	@$(BUILD)/benchmarks/bench_train

bench-compare: build  ## this tree's speed beside that of a commit, by turns: make bench-compare BASE=main~3 ARGUMENTS='--turns 11'
	@python3 benchmarks/compare.py $(or $(BASE),HEAD) $(ARGUMENTS)

against-v1: build venv  ## the Python package beside BayesFlow v1, which gets an environment of its own: make against-v1 ARGUMENTS=--quick
	@$(VENV)/bin/python benchmarks/against_v1.py --cpp $(BUILD)/benchmarks/bench_train $(ARGUMENTS)
	@$(VENV)/bin/python benchmarks/against_v1_networks.py $(ARGUMENTS)

THREADS := 1,2,4,8,16
bench-threads: build  ## training speed by number of threads: make bench-threads THREADS=1,2,4
	@$(BUILD)/benchmarks/bench_train --threads $(THREADS)

bench-ops: build  ## every operation, with oneDNN's beside it
	@$(BUILD)/benchmarks/bench_ops

truth: build      ## ten seeds of the quickstart against the exact posterior: make truth ARGUMENTS='--seeds 3'
	@$(BUILD)/benchmarks/bench_truth $(ARGUMENTS)

bands: build      ## how often exact posteriors stay inside the bands and pass the tests: should be what is promised
	@$(BUILD)/benchmarks/bench_bands 4000 2000

power: build      ## how often the verdict finds known faults, and names them rightly
	@$(BUILD)/benchmarks/bench_power 1000 200

bench-diagnostics: build  ## time of every diagnostic, and of a large case in bounded memory
	@$(BUILD)/benchmarks/bench_diagnostics

MINUTES ?= 10
fuzz:             ## fuzzes the loaders of files (clang); MINUTES=60 for longer
	@tests/fuzz/fuzz.sh $(MINUTES)

kills: build      ## kills presimulations at 150 random moments, on a real disk, and trainings at 50
	@tests/faults/kill_presimulation.sh $(BUILD)/tests/fault_presimulate 50 $(BUILD)
	@tests/faults/kill_training.sh $(BUILD)/tests/fault_train 10

modes: build      ## the loss that each training mode reaches, then what regularized summaries do for telling foreign data: make modes SHARE=0.1
	@$(BUILD)/benchmarks/bench_modes $(SHARE)
	@$(BUILD)/benchmarks/bench_misspecification

overlap: build    ## the gain of simulating while training, and the price of checkpoints
	@$(BUILD)/benchmarks/bench_overlap

bench-files: build  ## simulations written and streamed a second: make bench-files FOLDER=/where/the/disk/is
	@$(BUILD)/benchmarks/bench_files $(or $(FOLDER),$(BUILD))

# sbibm's files of observations and reference posteriors; nothing of the package is run.
SBIBM := build/sbibm
$(SBIBM)/sbibm: $(VENV)/requirements-test.txt
	@$(VENV)/bin/pip download -q --disable-pip-version-check --no-deps -d $(SBIBM) sbibm==1.1.0 && $(VENV)/bin/python -m zipfile -e $(SBIBM)/sbibm-*.whl $(SBIBM) && touch $@

sbibm: venv $(SBIBM)/sbibm  ## fit on the ten problems of sbibm, beside reference posteriors: make sbibm ARGUMENTS='--simulations 1000 --seeds 0'
	@$(VENV)/bin/python benchmarks/sbibm.py --path $(SBIBM)/sbibm --output $(SBIBM)/results.csv $(ARGUMENTS)

# The Python bindings: tests/python/asan.sh. The Python checks of the C++ suite and the measuring programs say nothing about memory; the consumer of project.install is not instrumented.
SANITIZERS := asan tsan
sanitize: setup-tests  ## address and undefined-behaviour sanitizers, then the thread sanitizer, over the suite
	@for preset in $(SANITIZERS); do \
	  cmake --preset $$preset > /dev/null && cmake --build build/$$preset -j $(JOBS) && \
	  ctest --test-dir build/$$preset -j $(JOBS) -LE 'slow|browser|project' --output-on-failure || exit 1; \
	done

sanitize-unit: setup-tests  ## the tests of the layers alone with address and undefined-behaviour sanitizers
	@cmake --preset asan > /dev/null && cmake --build build/asan -j $(JOBS) --target unit_tests
	@tests/unit_programs.sh build/asan $(JOBS)

valgrind: build   ## every test of files under valgrind, which sees into HDF5 (the sanitizers do not); a small part of it is in make test
	@tests/io/valgrind.sh $(BUILD)/tests/test_io '*'

check-debian13: setup-checks  ## builds and runs the fast tests in Debian 13 (GCC 14, then Clang 19), in build/debian-trixie: before each release
	@tests/project/debian.sh trixie tests/project/fast_tests.sh g++ clang++-19

check-clang: setup-tests  ## the same here with Debian 12's Clang 14
	@tests/project/fast_tests.sh clang++-14

check: setup-checks configured  ## the sources without a build: formatting, headers that compile alone, clang-tidy on what changed
	@cmake $(BUILD) > build/configure.log && tests/project/checks.sh $(BUILD)

tidy: setup-checks build  ## clang-tidy over the library
	@run-clang-tidy -quiet -j $(JOBS) -p $(BUILD) '^$(CURDIR)/src/'

format:
	@git ls-files '*.cpp' '*.hpp' | xargs clang-format -i

clean:
	@rm -rf build
