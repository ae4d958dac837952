"""Every claim of spec/security.md and README that something cannot be has what shows it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECTION = "\n## Claims, and what shows them\n"
SAYS = re.compile(
    r"\b(?:cannot|never|no one|nobody|nothing|in no file|no secret|decrypt none)\b", re.IGNORECASE
)
TEST = re.compile(r"`tests/[a-z0-9_/]+\.py::test_[a-z0-9_]+`")


def parts(text):
    """Return the sentences of a text, and the cells of its tables."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield from (cell.strip() for cell in line.strip("| ").split("|"))
        else:
            yield from re.split(r"(?<=[.:;]) ", line)


def cannot_do(text):
    """Return the cells of the column that says what a party cannot do."""
    table = text.split("| party | learns | can do | cannot do |\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[1:]]
    assert all(len(row) == 4 for row in rows)
    return [row[3] for row in rows if row[3]]


def is_about(claim, part):
    """Tell whether a line is of this sentence: by its words, or as a whole where they are few."""
    return claim in part if len(claim) > 16 else claim == part


def stated():
    text, _, _ = (ROOT / "spec/security.md").read_text("utf-8").partition(SECTION)
    readme = (ROOT / "README.md").read_text("utf-8")
    said = [part for part in (*parts(text), *parts(readme)) if SAYS.search(part)]
    said.remove("cannot do")  # the head of a column
    return [*said, *cannot_do(text)]


def lines():
    """Return words of a claim and what shows it, for each line of the section's table."""
    section = (ROOT / "spec/security.md").read_text("utf-8").partition(SECTION)[2].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    assert all(len(row) == 2 for row in rows)
    return rows[1:]


def test_every_claim_has_a_line():
    words = [claim for claim, _ in lines()]
    missing = {part for part in stated() if not any(is_about(claim, part) for claim in words)}

    assert len(words) > 40
    assert missing == set()


def test_every_line_is_of_a_claim_that_is_made():
    said = stated()

    assert [claim for claim, _ in lines() if not any(is_about(claim, part) for part in said)] == []


def test_every_line_names_a_test_or_says_why_there_is_none():
    bare = [
        claim
        for claim, shown in lines()
        if not TEST.search(shown) and not re.match(r"not shown: \w", shown)
    ]

    assert bare == []
