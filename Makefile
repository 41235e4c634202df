# make demo   set up .venv and run the whole workflow on drawn phantoms
# make setup  set up .venv
# make test   set up .venv and run the tests, but for the slow ones, which .ci/run adds
# make check  ruff, ruff format, mypy, import-linter, docs, bandit, hadolint, pip-audit
# make docs   generate the references and build the site into build/site
# make tutorials   run the notebooks and write their pages
# make sbom   write a bill of materials of the image (CycloneDX)
# make lock   pin every package again, including those of the image (needs uv)

PYTHON ?= python3
PYTEST ?= -m "not slow"
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test check lock docs tutorials sbom setup

demo: $(STAMP)
	$(BIN)/covid-xray demo -o demo

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/write_cli_reference.py --check
	$(BIN)/python scripts/write_api_reference.py --check
	$(BIN)/python scripts/write_schemas.py --check
	$(BIN)/python scripts/write_settings_reference.py --check
	$(BIN)/python scripts/write_licences.py --check
	$(BIN)/bandit --quiet --recursive src -ll
	$(BIN)/hadolint Dockerfile
	$(BIN)/python scripts/audit.py

docs: $(STAMP)
	$(BIN)/python scripts/write_cli_reference.py
	$(BIN)/python scripts/write_api_reference.py
	$(BIN)/python scripts/write_schemas.py
	$(BIN)/python scripts/write_settings_reference.py
	$(BIN)/python scripts/write_licences.py
	$(BIN)/python scripts/build_site.py

tutorials: $(STAMP)
	$(BIN)/python scripts/write_tutorials.py

sbom: $(STAMP)
	$(BIN)/python scripts/write_licences.py --sbom build/sbom.cdx.json

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python " + sys.version.split()[0] + " is not supported: use 3.11 to 3.13, for example make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

lock:
	uv pip compile pyproject.toml --extra train --extra track --extra dicom --extra openvino --extra serve --extra postgresql --extra pacs --extra reports --extra cluster --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" --quiet -o requirements.lock
	echo hatchling | uv pip compile pyproject.toml - --constraint requirements.lock --extra serve --extra postgresql --extra pacs --extra reports --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" --quiet -o requirements-image.lock
