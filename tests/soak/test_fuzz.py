"""Coverage-guided fuzzing of every reader; hours, so `make soak` only."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import stage

FUZZ = Path(__file__).with_name("fuzz.py")
SECONDS = os.environ.get("FUZZ_SECONDS", "600")
TARGETS = ["envelope", "plaintext", "header", "json", "link", "hello", "sealed", "content"]


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_break_a_reader(target):
    if importlib.util.find_spec("atheris") is None:
        stage.missing("atheris", "pip install atheris")

    done = subprocess.run(
        [sys.executable, FUZZ, target, f"-max_total_time={SECONDS}", "-max_len=4200"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done" in done.stderr
    sys.stdout.write(f"{target}: {done.stderr.strip().splitlines()[-1]}\n")
