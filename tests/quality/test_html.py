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


def judge(tools, *files):
    done = tools(
        "html-validate/bin/html-validate.mjs",
        "--preset", "standard,a11y,document", "--formatter", "json", *files,
    )  # fmt: skip
    assert done.stdout, done.stderr
    found = set()
    for file in json.loads(done.stdout):
        for message in file["messages"]:
            rule = message["ruleId"]
            if not EXCUSED & {rule, message["message"]}:
                found.add(f"{rule}, line {message['line']}: {message['message']}")
    return sorted(found)


@pytest.mark.parametrize("name", ["ticket", "display", "selftest"])
def test_a_page_is_html_by_the_standard(tools, name):
    assert judge(tools, DIST / f"{name}.html") == []


def test_the_judge_is_awake(tools, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><html><head><title>A</title></head><p id=a><p id=a></html>")

    assert any("no-dup-id" in told for told in judge(tools, page))


def test_the_lock_names_no_registry():
    lock = (Path(__file__).parent / "package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in lock
    assert '"integrity"' in lock
