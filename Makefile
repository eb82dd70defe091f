# `make help` lists the targets. Everything runs in .venv, which is made when it is absent.

PYTHON ?=
TEST_WORKERS ?= 2
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
UNFINISHED := $(VENV)/.unfinished
DEMO := work_dirs/demo
DEMO_DATA := data/glyphs/demo

# what the caller's shell has set must not reach into .venv
unexport PYTHON PYTHONPATH PYTHONHOME
# where it is set, every new interpreter compiles 1,100 modules again, a quarter of its start
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# threads that spin long while they wait slow a busy machine down many times; not at all, an idle one
export GOMP_SPINCOUNT := 5000

USABLE = -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))'

# 6 GiB for the environment, 2 for pip's temporary files; by mount point, for they may share one
ENOUGH_DISK = df -Pk . "$${TMPDIR:-/tmp}" | awk 'NR > 1 { free[$$6] = $$4 / 1048576; need[$$6] += NR == 2 ? 6 : 2 } \
  END { for (at in need) if (free[at] < need[at]) { \
    printf "$(VENV): %.1f GiB are free on %s, expected %d or more\n", free[at], at, need[at]; exit 1 } }' >&2

CANDIDATES = $(or $(PYTHON),python3.12 python3.11 python3.13 python3.10 python3.14 python3)
# pip would compile every file it installs, for longer than it installs; a first import compiles those in use
INSTALL := $(PY) -m pip install -qq --no-compile -c requirements/constraints.txt
WARM_UP := import lt_det, mmdet.apis, mmpretrain, matplotlib.pyplot, yapf.yapflib.yapf_api, hypothesis, pytest

.PHONY: help venv demo demo-data test test-all compare compare-classification gpu-check docs lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile
	@echo 'PYTHON=python3.11 chooses the interpreter of .venv, ARGS="-k iif" goes to pytest or the comparison.'

demo: $(READY) ## softmax and IIF on long-tailed glyphs, and the difference
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j 2 $(DEMO)/softmax/metrics.json $(DEMO)/iif/metrics.json
	$(PY) -m lt_det evaluate $(DEMO)/iif/results.segm.json --against $(DEMO)/softmax/results.segm.json \
	  --ann $(DEMO_DATA)/annotations/glyphs_val.json --resamples 1000 </dev/null
	@echo 'pictures: detections.png and ap_by_frequency.png in $(DEMO)/softmax and $(DEMO)/iif'
	@$(PY) -m lt_det report $(DEMO)/iif --against $(DEMO)/softmax </dev/null

demo-data: $(READY)
	$(PY) tools/dataset/make_glyphs.py --size demo --out $(DEMO_DATA) </dev/null

# a training that has ended is not repeated; two run side by side, a thread each
$(DEMO)/%/metrics.json: configs/glyphs/mask_rcnn_r18_%_demo.py | demo-data
	@bash -c 'set -o pipefail; $(PY) -m lt_det train $< --work-dir $(DEMO)/$* \
	  --cfg-options val_evaluator.outfile_prefix=$(DEMO)/$*/results </dev/null 2>&1 | sed -u "s/^/$*: /"'

test: $(READY) ## the tests, but for those marked slow
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS) </dev/null

test-all: $(READY) ## all tests, the slow ones too
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder -m '' $(ARGS) </dev/null

compare: $(READY) ## long-tailed detection methods on glyphs, three seeds
	OMP_NUM_THREADS=1 $(PY) benchmarks/methods/methods_detection.py $(ARGS) </dev/null

compare-classification: $(READY) ## long-tailed classification methods on glyph crops, three seeds
	OMP_NUM_THREADS=1 $(PY) benchmarks/methods/methods_classification.py $(ARGS) </dev/null

gpu-check: $(READY) ## what only a GPU can show, in ten minutes on one
	$(PY) benchmarks/speed/gpu.py $(ARGS) </dev/null

docs: $(READY) ## the documentation into site/; a broken link or reference fails
	@$(PY) -c 'import mkdocs, material, mkdocstrings' 2>/dev/null || $(INSTALL) -r requirements/docs.txt </dev/null
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build $(ARGS) </dev/null

lint: $(READY) ## ruff: rules and format; mypy: types of the public API
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m ruff check --preview --select PLW1514 lt_det tools  # text has an encoding, whatever the locale
	$(PY) -m mypy

venv: $(READY) ## .venv alone

clean: ## remove builds and caches; keep .venv, data and work_dirs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find lt_det configs tools tests -name __pycache__ -prune -exec rm -rf {} +

# .ready holds the folder it was made in: a copied or moved clone gets its own environment.
ifneq ($(shell $(PY) -c 'print(open("$(READY)").read().strip())' 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

# An unfinished one, or ours that was moved or lost its interpreter, is made again;
# one that the user made is installed into.
$(READY): setup.py requirements/constraints.txt
	@set -e; exec </dev/null; start=$$(date +%s); \
	if [ -e $(UNFINISHED) ] || { [ -e $(READY) ] && ! { $(PY) $(USABLE) 2>/dev/null \
	    && [ "$$(cat $(READY))" = '$(CURDIR)' ]; }; }; then \
	  echo '$(VENV): not usable, made again'; rm -rf $(VENV); \
	fi; \
	if [ ! -e $(VENV) ]; then \
	  for python in $(CANDIDATES) none; do \
	    if [ $$python != none ] && "$$python" $(USABLE) 2>/dev/null; then break; fi; \
	  done; \
	  if [ $$python = none ]; then \
	    echo '$(VENV): no Python 3.10 to 3.14 with venv and pip among: $(CANDIDATES)' >&2; \
	    echo 'make PYTHON=/path/to/python chooses another' >&2; exit 1; \
	  fi; \
	  $(ENOUGH_DISK); \
	  mkdir $(VENV); touch $(UNFINISHED); "$$python" -m venv $(VENV); \
	  echo "$(VENV): $$($(PY) --version) ($$python), $$(($$(date +%s) - start)) s"; \
	fi; \
	echo '$(VENV): installing PyTorch, MMDetection and lt_det (minutes, 6 GB on disk) ...'; \
	$(INSTALL) -e '.[onedl,test,report]'; \
	if ! $(PY) -c 'import cv2' 2>/dev/null; then \
	  echo '$(VENV): OpenCV does not load (libGL missing?), its headless build replaces it'; \
	  $(INSTALL) --force-reinstall --no-deps opencv-python-headless; $(PY) -c 'import cv2'; \
	fi; \
	$(PY) -c '$(WARM_UP)' >/dev/null 2>&1 || :; \
	echo '$(CURDIR)' >$(READY); rm -f $(UNFINISHED); \
	echo "$(VENV): ready after $$(($$(date +%s) - start)) s"
