# What a person does with this project: `make help` lists it. Every target sets up what it needs; the second time at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard $(addprefix kernelbox/native/,*.c *.h *.txt build.py layers/*.[ch] monitor/*.[ch] init/*.c sanitize/*.[ch]))
NOTEBOOK := notebooks/00_first_cell.ipynb
export PYTHON

.NOTPARALLEL:
.PHONY: help build demo test test-v2 check bench lab clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

build: $(VENV)/.ready ## make .venv and compile the C; the other targets do it too

demo: $(VENV)/.ready ## run the first notebook in a fresh kernel and print every cell with its output
	@$(BIN)/python notebooks/run.py $(NOTEBOOK)

test: $(VENV)/.system-test $(VENV)/.ready ## run the whole suite (ARGS="-k name" chooses)
	$(BIN)/python -m pytest $(ARGS)

test-v2: $(VENV)/.system-test $(VENV)/.ready ## run the suite in a virtual machine with cgroup v2 and an older kernel (ARGS="tests/kernel"; hours)
	PYTHONPATH=tests $(BIN)/python tests/vm/suite.py $(ARGS)

check: $(VENV)/.ready ## run only the linters, mypy and the floors
	$(BIN)/python -m pytest tests/floors tests/style $(ARGS)

bench: $(VENV)/.system-bench $(VENV)/.ready ## measure starts, kept containers and images against every engine that is installed
	$(BIN)/python benchmarks/start_latency.py $(ARGS)
	$(BIN)/python benchmarks/lifecycle.py $(LIFE)
	$(BIN)/python benchmarks/images.py $(IMAGES)

lab: $(VENV)/.lab ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

clean: ## remove everything that was built or measured
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis benchmarks/results dist build
	rm -f kernelbox/native/_native*.so kernelbox/native/kb-monitor kernelbox/native/kb-monitor-asan kernelbox/native/kb-init
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The build hook compiles the C, so a new pyproject.toml needs one step and changed C the other. Python is editable.
$(VENV)/.ready: pyproject.toml $(NATIVE) | $(VENV)/.system-demo
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	@if [ $(VENV)/.installed -nt pyproject.toml ]; then $(BIN)/python kernelbox/native/build.py; \
	else echo "Installing into $(VENV)" && $(BIN)/pip install -q --disable-pip-version-check -e '.[dev]' && touch $(VENV)/.installed; fi
	@touch $@

$(VENV)/.lab: $(VENV)/.ready
	$(BIN)/pip install -q --disable-pip-version-check -e '.[lab]'
	@touch $@

# Status 3 is "works, but not all of it": no stamp, so that the next run says it again.
$(VENV)/.system-%: .ci/bootstrap
	@mkdir -p $(VENV); .ci/bootstrap $*; status=$$?; \
	case $$status in 0) touch $@ ;; 3) ;; *) rmdir $(VENV) 2>/dev/null; exit $$status ;; esac
