"""Print where each rule of the specification is proved and kept: rule, vectors, tests, code.

rule_index.py            a table in Markdown, generated anew each time
rule_index.py T7 C34     the rows of these rules
"""

import ast
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULE = re.compile(r"^(?:- |[0-9]+\. )`\[([TCR][0-9]+)\]`", re.MULTILINE)
NAMED = re.compile(r"\b([TCR][0-9]{1,3})\b")
CODE = (("e2ee_ticket", "*.py"), ("relay_server", "*.py"), ("display_web/src", "*.js"))

Index = dict[str, set[str]]


def rules() -> dict[str, str]:
    """Each rule and the document that it stands in, in the order of the text."""
    found: dict[str, str] = {}
    for name in ("ticket", "channel", "relay"):
        text = (ROOT / "spec" / f"{name}.md").read_text(encoding="utf-8")
        found |= dict.fromkeys(RULE.findall(text), f"{name}.md")
    return found


def vectors() -> Index:
    """How many vectors of which file decide a rule."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path in sorted((ROOT / "spec" / "vectors").glob("*.json")):
        for entry in json.loads(path.read_text(encoding="utf-8")):
            counts[entry["rule"]][path.stem] += 1
    return {
        rule: {f"{stem} ({count})" for stem, count in files.items()}
        for rule, files in counts.items()
    }


def tests() -> Index:
    """The files with tests that say which rule they prove."""
    found: Index = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.rule"):
                for argument in node.args:
                    found[str(ast.literal_eval(argument))].add(str(path.relative_to(ROOT)))
    return found


def code() -> Index:
    """The files whose comments name a rule; a range (R30 to R42) names all of it."""
    found: Index = defaultdict(set)
    for folder, pattern in CODE:
        for path in sorted((ROOT / folder).rglob(pattern)):
            text = path.read_text(encoding="utf-8")
            where = str(path.relative_to(ROOT))
            for name in NAMED.findall(text):
                found[name].add(where)
            for letter, first, last in re.findall(r"\b([TCR])([0-9]+) to [TCR]([0-9]+)\b", text):
                for number in range(int(first), int(last) + 1):
                    found[f"{letter}{number}"].add(where)
    return found


def rows() -> dict[str, tuple[str, list[str], list[str], list[str]]]:
    """Of each rule its document, vectors, tests and code."""
    by_vector, by_test, by_code = vectors(), tests(), code()
    return {
        rule: (
            document,
            sorted(by_vector.get(rule, ())),
            sorted(by_test.get(rule, ())),
            sorted(by_code.get(rule, ())),
        )
        for rule, document in rules().items()
    }


def main() -> int:
    """Print the table."""
    wanted = sys.argv[1:]
    print("| rule | text | vectors | tests | code |\n|---|---|---|---|---|")
    for rule, (document, *lists) in rows().items():
        if not wanted or rule in wanted:
            print(f"| {rule} | {document} | {' | '.join(', '.join(each) for each in lists)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
