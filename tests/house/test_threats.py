"""Every test that the security analysis and the auditor's page cite is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_cited_test_exists():
    files = ("spec/security.md", "docs/audit.md")
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    cited = set(re.findall(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`", text))
    known = {}
    for path in {path for path, _ in cited}:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        known[path] = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    assert len(cited) >= 30
    assert sorted(name for path, name in cited if name not in known[path]) == []
