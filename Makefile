# The few words a newcomer needs. `make quickstart` is the first one.
.PHONY: quickstart quickstart-full serve-demo build test test-nightly lint bench fuzz docs setup clean
BUILD ?= build

quickstart: ## install, build, and carry a model from L0 to L2 (12 minutes on 2 cores after the build)
	scripts/setup.sh --l0
	$(MAKE) build
	$(BUILD)/gradus run recipes/quickstart/pipeline.yaml
	@scripts/quickstart_summary.sh

quickstart-full: ## the same with larger budgets (hours)
	scripts/setup.sh --l0
	$(MAKE) build
	$(BUILD)/gradus run recipes/quickstart/pipeline.yaml out=runs/quickstart-full vars.l1_steps=300 \
	  vars.route_rows=2000 vars.route_epochs=3 vars.test_rows=400 vars.heldout_documents=58

serve-demo: ## serve the quickstart's quantised L2 on port 8080
	$(BUILD)/gradus serve recipes/quickstart/serve.yaml

setup: ## install what the build needs
	scripts/setup.sh

build: setup ## build/gradus
	@[ -f $(BUILD)/build.ninja ] || cmake --preset release -B $(BUILD)
	cmake --build $(BUILD) --target gradus

test: ## build, then every test; makes a Python environment to compare with
	scripts/setup.sh --l0 --tests
	$(MAKE) build
	cmake --build $(BUILD)
	OMP_WAIT_POLICY=passive ctest --test-dir $(BUILD) --output-on-failure -j 2

test-nightly: build ## tokenizers on 20 MB of multilingual text each, thousands of random files (half an hour)
	scripts/setup.sh --tests
	cmake --build $(BUILD) --target text_runner
	GRADUS_TOKENIZER_MB=20 GRADUS_RANDOM_TOKENIZERS=4000 GRADUS_RANDOM_TEMPLATES=20000 \
	  GRADUS_BINARY=$(abspath $(BUILD))/gradus .venv-test/bin/python -W ignore -m pytest -q \
	  -p no:cacheprovider -rs tests/interop/test_multilingual.py tests/interop/test_random_*.py

lint: ## format, include directions, recipes, clang-tidy on changed files
	scripts/setup.sh --lint
	scripts/lint.sh $(BUILD)

bench: ## speed, each beside its peer; one JSON line per bench
	scripts/setup.sh --l0 --tests
	$(MAKE) build
	bench/run_all.sh $(BUILD)

fuzz: ## each fuzz target for a minute
	scripts/fuzz.sh 60

docs: build ## the generated parts of docs/
	scripts/generate_docs.sh $(BUILD)

clean:
	rm -rf $(BUILD)
