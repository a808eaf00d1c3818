# Every target sets up .venv itself, on a clean clone with Python 3.10-3.12 and a compiler.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
            $$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
            2>/dev/null && echo $$p && break; done)
VENV := .venv
READY := $(VENV)/.ready

.PHONY: export test emulated wheel apk lint bench clean

export: $(READY)
	$(VENV)/bin/python -m edge_sdk.export --granularity M --model matvit-digits

test: $(READY)
	cmake -S runtime -B build/runtime -DCMAKE_BUILD_TYPE=Release > build/cmake.log
	cmake --build build/runtime
	ctest --test-dir build/runtime --output-on-failure
	$(VENV)/bin/python -m pytest

# Core, Python package and Java library on ARM: needs the compilers and QEMU that .ci/run installs.
emulated: $(READY)
	$(PYTHON) runtime/tools/check_core.py
	runtime/tools/emulated.sh
	$(VENV)/bin/python runtime/tools/emulated_python.py
	$(VENV)/bin/python runtime/jni/check.py x86_64 arm64

# Wheels of devices in dist/; WHEEL_PYTHONS="python3.11 python3.13" for more of them, to 3.13.
WHEEL_PYTHONS ?= $(PYTHON)
wheel:
	$(PYTHON) runtime/tools/wheels.py $(addprefix --python ,$(WHEEL_PYTHONS))

# The Android demo, with packages of Debian alone.
apk:
	android_demo/build.sh

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: $(READY)
	$(VENV)/bin/python -m benchmarks

# torch first and by itself: asked for together with others, a resolver may take
# a build with gigabytes of CUDA. ExecuTorch before the package: our operators for it are
# built only where it is found.
$(READY): pyproject.toml runtime/CMakeLists.txt runtime/include/edge_runtime.h $(wildcard runtime/src/* runtime/python/* runtime/executorch/*)
	@test -n "$(PYTHON)" || { echo "Python 3.10, 3.11 or 3.12 is needed; set PYTHON=" >&2; exit 1; }
	mkdir -p build
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet torch==2.13.0
	$(VENV)/bin/python -m pip install --quiet executorch==1.4.1
	$(VENV)/bin/python -m pip install --quiet --editable '.[all]'
	touch $@

clean:
	rm -rf $(VENV) .venv-tflite build
