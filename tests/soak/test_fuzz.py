"""Coverage-guided fuzzing of every reader, the relay's included; hours, so `make soak` only."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import stage

FOLDER = Path(__file__).parent
SECONDS = os.environ.get("FUZZ_SECONDS", "600")
# One for each parser of bytes from outside; FUZZ_SECONDS is for each of them.
TARGETS = {
    "fuzz.py": ["envelope", "plaintext", "header", "json", "link", "hello", "sealed", "content"],
    "fuzz_relay.py": [
        f"relay-{name}"
        for name in ("request", "crowd", "path", "headers", "upload", "state", "channel")
    ],
    "fuzz_till.py": [
        "stream", "escpos", "ipp", "html", "dolibarr", "child", "printed", "rows", "toml", "export",
    ],
}  # fmt: skip


@pytest.mark.soak
@pytest.mark.parametrize(
    ("program", "target"),
    [(program, target) for program, targets in TARGETS.items() for target in targets],
)
def test_no_bytes_break_a_reader(program, target):
    if importlib.util.find_spec("atheris") is None:
        stage.missing("atheris", "pip install atheris")

    done = subprocess.run(
        [sys.executable, FOLDER / program, target, f"-max_total_time={SECONDS}", "-max_len=4200"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done" in done.stderr
    sys.stdout.write(f"{target}: {done.stderr.strip().splitlines()[-1]}\n")
