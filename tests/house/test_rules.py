"""Every rule of the specification has a vector or a test, and every citation names a rule."""

import ast
import json
import re
from pathlib import Path

import rule_index

ROOT = Path(__file__).resolve().parents[2]
RULE = re.compile(r"^(?:- |[0-9]+\. )`\[([TCR][0-9]+)\]`", re.MULTILINE)


def rules():
    found = []
    for path in sorted((ROOT / "spec").glob("*.md")):
        found += RULE.findall(path.read_text(encoding="utf-8"))
    return found


def cited_by_vectors():
    cited = set()
    for path in (ROOT / "spec" / "vectors").glob("*.json"):
        cited |= {entry["rule"] for entry in json.loads(path.read_text(encoding="utf-8"))}
    return cited


def cited_by_tests():
    """Rules in `pytest.mark.rule("...")`, found without importing the tests."""
    cited = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.rule"):
                cited |= {argument.value for argument in node.args}
    return cited


def test_every_rule_has_one_name():
    named = rules()

    assert len(named) > 100
    assert sorted(set(named)) == sorted(named)


def test_every_rule_has_a_vector_or_a_test():
    missing = set(rules()) - cited_by_vectors() - cited_by_tests()

    assert sorted(missing) == []


def test_the_index_of_rules_has_a_row_for_each_with_all_that_cites_it():
    rows = rule_index.rows()

    assert sorted(rows) == sorted(rules())
    assert [rule for rule, (_, vectors, tests, _) in rows.items() if not vectors + tests] == []
    assert "e2ee_ticket/protocol/link.py" in rows["T7"][3]
    assert "tests/unit/protocol/test_till_channel.py" in rows["C34"][2]
    assert any(name.startswith("till ") for name in rows["C34"][1])


def test_every_citation_names_a_rule():
    unknown = (cited_by_vectors() | cited_by_tests()) - set(rules())

    assert sorted(unknown) == []


def test_every_rule_named_in_code_exists():
    known = set(rules())
    unknown = set()
    for folder, pattern in (("e2ee_ticket", "*.py"), ("relay_server", "*.py"),
                            ("display_web/src", "*.js")):  # fmt: skip
        for path in (ROOT / folder).rglob(pattern):
            text = path.read_text(encoding="utf-8")
            unknown |= {
                (path.name, name)
                for name in re.findall(r"\b([TCR][0-9]{1,3})\b", text)
                if name not in known
            }

    assert sorted(unknown) == []
