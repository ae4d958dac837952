# make demo    a whole sale on this machine, with real parts
# make test    everything that must hold; 15 minutes at most
# make check   the everyday gate, under ten seconds
# make soak    what takes hours
.PHONY: demo test check soak setup format pages vectors lock clean
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

help:
	@sed -n 's/^# //p' Makefile

demo:
	@tools/setup demo
	@$(BIN)/python tools/demo.py

test:
	@tools/setup test
	$(PYTEST) -m "not soak"

check:
	@tools/setup demo
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports >/dev/null || $(BIN)/lint-imports
	@$(BIN)/python display_web/build.py --check
	@$(PYTEST) -q -m "not slow and not browser and not soak" tests/unit tests/vectors/test_python.py tests/house

soak:
	@tools/setup test
	$(PYTEST) -m soak --timeout=0

format:
	$(BIN)/ruff check -q --fix .
	$(BIN)/ruff format -q .

pages:
	$(BIN)/python display_web/build.py

vectors:
	$(BIN)/python tools/make_vectors.py

lock:
	uv pip compile -q pyproject.toml --all-extras --group test --group dev --universal \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.lock

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
