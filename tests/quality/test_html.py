"""The pages as served are HTML by the standard."""

import json
from pathlib import Path

import pytest

DIST = Path(__file__).parents[2] / "display_web/dist"
EXCUSED = {
    # Texts come from the script, in the visitor's language; tests with axe look at the page then.
    "empty-heading",
    "text-content",
    "wcag/h30",
    '<img> is missing required "src" attribute',
    # One a state, of which one is shown.
    "heading-level",
}


def judge(tools, file, report):
    """Return what it has to say; into a file, for what it writes to a pipe can end too early."""
    done = tools(
        "html-validate/bin/html-validate.mjs",
        "--preset", "standard,a11y,document", "--formatter", f"json={report}", file,
    )  # fmt: skip
    assert report.exists(), done.stderr
    return sorted(
        f"{message['ruleId']}, line {message['line']}: {message['message']}"
        for file in json.loads(report.read_text(encoding="utf-8"))
        for message in file["messages"]
        if not EXCUSED & {message["ruleId"], message["message"]}
    )


@pytest.mark.parametrize("name", ["ticket", "display", "selftest"])
def test_a_page_is_html_by_the_standard(tools, tmp_path, name):
    assert judge(tools, DIST / f"{name}.html", tmp_path / "report.json") == []


def test_the_judge_is_awake(tools, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><html><head><title>A</title></head><p id=a><p id=a></html>")

    assert any("no-dup-id" in told for told in judge(tools, page, tmp_path / "told.json"))


def test_the_lock_names_no_registry():
    lock = (Path(__file__).parent / "package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in lock
    assert '"integrity"' in lock
