# The two commands that a fresh machine needs: `make demo` and `make test`.
# A virtual environment is made in .venv; versions come from constraints.txt.

PYTHON ?= $(shell for p in python3.11 python3; do $$p -c "" 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
THIN := 3.10 3.12 3.13
SAMPLES := classifier gan dgan dcgan vae infogan deep_infogan crgan vae_gan pixelcnn char_transformer translator \
	super_resolution diffusion stylegan_like

.PHONY: demo test test-thin test-aarch64 lint docs samples evaluate bench clean

demo: .venv/export
	mkdir -p demo
	$(BIN)/genx export samples/dcgan -o demo/dcgan.genx --force
	$(BIN)/genx verify demo/dcgan.genx
	$(BIN)/genx sample demo/dcgan.genx -n 64 --seed 0 --set label=balanced -o demo/digits.png --force
	$(BIN)/genx bench demo/dcgan.genx --batch 1,16 --min-duration 2 --compare-torch samples/dcgan
	@echo "The 64 digits are in $(CURDIR)/demo/digits.png"

# As many tests at a time as there are cores, one thread each: more of them would wait for each other.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal \
		--cov --cov-report=term --cov-fail-under=90

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The runtime's own tests where torch and onnx are not installed, on the Pythons that are here.
test-thin:
	@bash tests/run_thin.sh $(THIN)

# The same on aarch64, under emulation, and a bundle made here verified there: docs/aarch64.md.
test-aarch64: .venv/export
	@bash tests/run_aarch64.sh

docs: .venv/dev
	$(BIN)/python -m typer genx_cli.app utils docs --name genx --output docs/cli.md
	$(BIN)/python -m genx_runtimes.bench.schema > docs/bench-schema.json

# Train the sample models again, on about two cores; each takes minutes.
# All of them, or one: `make samples ONLY=crgan`.
samples: .venv/dev
	for model in $(or $(ONLY),$(SAMPLES)); do $(BIN)/python -m samples.$$model.train || exit 1; done

evaluate: .venv/dev
	$(BIN)/python -m samples.evaluate

bench: .venv/dev
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/overhead.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/export: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[export]'
	touch $@

.venv/dev: .venv/export
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-thin .aarch64 demo .mypy_cache .ruff_cache .pytest_cache .coverage*
