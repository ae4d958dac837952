# make demo    a whole sale on this machine, with real parts
# make test    everything that must hold; 15 minutes at most
# make check   the everyday gate, under ten seconds
# make lowest  the unit tests with the lowest versions of the libraries that are declared
# make soak    what takes hours
.PHONY: help demo test lowest check check-style check-types check-layers check-pages check-fast soak \
    format pages manuals vectors lock release mutants clean
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
FAST := tests/unit/protocol tests/vectors/test_python.py tests/house \
    tests/unit/till/test_config.py tests/unit/till/test_outbox.py tests/unit/till/test_screen.py

# Thousands of processes start in the tests; each would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

help:
	@sed -n 's/^# //p' Makefile

demo:
	@tools/setup demo
	@$(BIN)/python tools/demo.py

test:
	@tools/setup test
	$(PYTEST) -n 4 --dist loadfile --no-loadscope-reorder -m "not soak"

check:
	@tools/setup check
	@$(MAKE) -s -j2 --output-sync check-fast check-types check-layers check-style check-pages

check-style:
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .

check-types:
	@$(BIN)/mypy --no-error-summary

check-layers:
	@$(BIN)/lint-imports >/dev/null || $(BIN)/lint-imports

check-pages:
	@$(BIN)/python display_web/build.py --check

check-fast:
	@$(PYTEST) -q -m "not slow and not browser and not soak" $(FAST)

lowest:
	@tools/lowest

soak:
	@tools/setup soak
	$(PYTEST) -m soak --timeout=0

format:
	$(BIN)/ruff check -q --fix .
	$(BIN)/ruff format -q .

pages:
	$(BIN)/python display_web/build.py

manuals:
	$(BIN)/python tools/manuals.py

vectors:
	$(BIN)/python tools/make_vectors.py

LOCK := $(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header
lock:
	$(LOCK) --all-extras --group test --group dev --group release -o requirements.lock
	$(LOCK) --extra till -c requirements.lock -o requirements-till.lock
	$(LOCK) --extra relay --extra redis -c requirements.lock -o deploy/relay/requirements.lock
	$(LOCK) --group build -c requirements.lock -o requirements-build.lock
	$(LOCK) --extra till --extra relay --extra redis --resolution lowest-direct \
	    -o requirements-lowest.lock
	$(LOCK) --group soak -c requirements.lock -o requirements-soak.lock

# KEY=FILE names the maintainer's SSH key.
release:
	@tools/setup check
	$(BIN)/python tools/release.py $(or $(KEY),$(error KEY=FILE names the key that signs))

mutants:
	@tools/setup soak
	$(BIN)/mutmut run
	$(BIN)/mutmut results

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
