# The same few words everywhere. `make demo` and `make test` do all the set-up that a fresh machine needs.
.PHONY: help setup stamp build install uninstall dist deb demo learn cards test test-levels test-parallel test-install fuzz \
	test-dist test-peers test-megatron-bridge \
	bench bench-inference bench-training bench-recomputation \
	bench-qlora bench-speculative bench-parallel bench-hub format lint docs clean

# Where the program is. With BUILT=.build/tests/release it is the one that `make test` has built, and no other one is built.
BUILT = .build/release
export BRIDGE_BUILT = $(BUILT)
BRIDGE = $(BUILT)/bridge
PREFIX = $(HOME)/.local
# Tests run on an optimised build in which internal declarations are visible. The suite takes half the time of one that is not
# optimised, build included. While you work, build less: swift build --build-tests -Xcc -O2, then swift test -Xcc -O2 --filter.
TESTED = -c release -Xswiftc -enable-testing --scratch-path .build/tests
# A module that a target imports has to be one that it declares; checked by the build of the tests.
CHECKED_IMPORTS = --explicit-target-dependency-import-check error
FORMATTED = Sources Plugins Tests Examples Fuzz/Sources Package.swift

help:
	@echo "make demo        install what is missing, build, and convert a toy of every family both ways"
	@echo "make learn       train toy models of all three families, in full, with LoRA and with DPO, and evaluate them"
	@echo "make install     build, and install below PREFIX (default: ~/.local); make uninstall removes it again"
	@echo "make dist        make an archive that runs without a Swift toolchain; make deb makes a Debian package"
	@echo "make cards       measure the verification cards of the three families, for the documentation"
	@echo "make test        install what is missing and run every test"
	@echo "make test-levels  run the numerical tests at other instruction levels, emulated ones too"
	@echo "make fuzz        run the readers of files with libFuzzer, 10 seconds each (scripts/fuzz SECONDS for longer)"
	@echo "make test-parallel  run the tests of parallel layouts, and a run over two network namespaces"
	@echo "make test-install  install below a temporary prefix, and try all of it"
	@echo "make test-dist   make the archive and the package, and try them in clean roots (needs root)"
	@echo "make test-peers  compare with torch and transformers in a Python venv"
	@echo "make test-megatron-bridge  have Megatron Bridge itself load torch_dist (needs Python 3.12: PYTHON=python3.12)"
	@echo "make bench-inference  time inference of a 1 billion parameter model beside transformers and llama.cpp"
	@echo "make bench-training   time training steps beside torch, transformers and peft"
	@echo "make bench-recomputation  measure memory and time of training by recomputation"
	@echo "make bench-qlora      compare losses of LoRA over weights in bfloat16, 8 and 4 bits"
	@echo "make bench-speculative  time decoding with a draft model beside transformers' assisted generation"
	@echo "make bench-parallel   time training with two ranks beside one rank and beside torch's DDP and FSDP2"
	@echo "make bench-hub        time downloads from a hub on this machine beside huggingface_hub"
	@echo "make bench       time conversions of a 7.7 GB model beside cp and other tools (needs 40 GB of disk)"
	@echo "make docs        build the documentation, warnings are errors"
	@echo "make lint        check the format and the benchmark tables; make format formats"

setup:
	@scripts/setup

# Plugins carry the fingerprint of the core that they were built against.
stamp:
	@scripts/stamp

build: setup stamp
ifeq ($(BUILT),.build/release)
	swift build -c release
endif

install: build
	@scripts/setup patchelf
	@scripts/install $(PREFIX)

uninstall:
	@scripts/install --remove $(PREFIX)

dist: build
	@scripts/setup patchelf
	@scripts/package-archive

deb: build
	@scripts/setup patchelf dpkg-dev
	@scripts/package-debian

demo: build
	@scripts/demo $(BRIDGE)

learn: build
	@for family in mistral ministral3 gemma3; do for scheme in full lora; do \
		scripts/learn $$family --scheme $$scheme --output .build/learning/$$family-$$scheme || exit 1; \
	done; done
	@scripts/learn mistral --scheme dpo --output .build/learning/mistral-dpo

cards: build
	@scripts/setup-peers
	@scripts/cards $(BRIDGE)

test: setup stamp
	swift build --build-tests $(TESTED) $(CHECKED_IMPORTS)
	@scripts/test-suites .build/tests/release
	@scripts/test-packages .build/tests/release/bridge

# The readers with libFuzzer; the suites read its corpus too.
fuzz: setup stamp
	@scripts/fuzz

test-levels: setup stamp
	swift build --build-tests $(TESTED)
	@scripts/test-levels .build/tests/release

test-parallel: setup stamp
	swift build --build-tests $(TESTED)
	@BRIDGE_TEST_ALL_LAYOUTS=1 scripts/run-suites .build/tests/release parallel \
		--filter 'CommunicationTests|Layout|Parallel|Rank|Overlap|Trace|Retention'
	@BRIDGE=.build/tests/release/bridge scripts/test-hosts

test-install: build
	@scripts/test-install

test-dist: dist deb
	@BRIDGE_TEST_PLUGIN=1 scripts/test-install
	@scripts/test-dist

test-peers: build
	@scripts/setup-peers
	@BRIDGE_PEERS_VENV=.venv-mlflow scripts/setup-peers requirements-mlflow.txt
	@scripts/setup-llama
	.venv-peers/bin/python -m unittest discover Tests/Peers
	.venv-peers/bin/python Tests/Peers/run.py $(BRIDGE)
	@scripts/cards --check $(BRIDGE)

# In an environment of its own, because Megatron Bridge needs Python 3.12 and another transformers.
test-megatron-bridge: build
	@BRIDGE_PEERS_VENV=.venv-megatron-bridge PYTHON=$(or $(PYTHON),python3.12) \
		scripts/setup-peers requirements-megatron-bridge.txt megatron-bridge==0.6.2
	.venv-megatron-bridge/bin/python Tests/Peers/check_megatron_bridge.py $(BRIDGE)
	.venv-megatron-bridge/bin/python Tests/Peers/compare_torch_dist.py $(BRIDGE)

bench: build
	@scripts/setup-peers
	.venv-peers/bin/python Benchmarks/conversion.py $(BRIDGE)

bench-inference: build
	@scripts/setup-benchmarks
	.venv-peers/bin/python Benchmarks/inference.py $(BRIDGE)

bench-training bench-recomputation bench-qlora bench-speculative bench-parallel bench-hub: bench-%: build
	@scripts/setup-peers
	.venv-peers/bin/python Benchmarks/$*.py $(BRIDGE)

docs: setup stamp
	@scripts/docs

format:
	swift format --in-place --recursive $(FORMATTED)

lint:
	swift format lint --strict --recursive $(FORMATTED)
	python3 Benchmarks/report.py --check

clean:
	rm -rf .build Sources/BridgeCore/.build Examples/*/.build Fuzz/.build
