"""What display_web/README.md tells an auditor is so."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[3] / "display_web"
README = (PAGES / "README.md").read_text(encoding="utf-8")
STEPS = README[README.index("## Audit") : README.index("## What the pages cannot promise")]


def source(*names):
    return "\n".join((PAGES / "src" / name).read_text(encoding="utf-8") for name in names)


def calls(code):
    """The methods and addresses of all requests."""
    return sorted(re.findall(r"\.open\('(\w+)', (.+?)\);", code))


def test_every_file_that_it_names_is_there():
    named = re.findall(r"`((?:src|vendor|dist)/[\w./-]*|\w+\.(?:py|mjs))`", README)

    assert len(named) > 10
    assert [name for name in named if not (PAGES / name).exists()] == []


def test_every_script_that_runs_at_a_counter_is_looked_at():
    scripts = {file.name for file in (PAGES / "src").glob("*.js")}
    looked_at = set(re.findall(r"src/(\w+\.js)", STEPS))

    # dom.js is a few lines; the other two are the self-test itself.
    assert scripts - looked_at == {"dom.js", "selftest.js", "vectors.js"}
    assert len(source("dom.js").splitlines()) < 20


def test_its_steps_take_an_hour():
    minutes = {"Five": 5, "Fifteen": 15}
    steps = re.findall(r"^\d\. \*(\w+) minutes", STEPS, re.MULTILINE)

    assert sum(minutes[step] for step in steps) == 60


@pytest.mark.parametrize("name", ["link.js", "protocol.js", "lines.js", "channel.js", "machine.js"])
def test_what_is_said_to_be_pure_is_pure(name):
    code = re.sub(r"//.*", "", source(name))

    assert not re.search(
        r"\b(document|window|location|navigator|history|localStorage|XMLHttpRequest|Date|"
        r"performance|setTimeout|setInterval|Math\.random)\b",
        code,
    )


def test_what_leaves_the_phone():
    code = source("opening.js", "ticket.js", "paper.js")

    assert calls(code) == [
        ("GET", "relay + '/v1/info'"),
        ("GET", "relay + '/v1/t/' + id"),
        ("POST", "url"),
    ]
    assert re.findall(r"url = (.+?);", code) == ["relay + '/v1/t/' + id + '/state'"]
    assert re.findall(r"sendBeacon\((\w+),", code) == ["url"]
    said = re.findall(r"post\('(\w+)'", code)
    assert sorted(said) == ["opened", "opened", "received", "received", "revoked"]
    assert not re.search(r"fetch\(|WebSocket|EventSource|new Image|importScripts|Worker", code)
    assert len(re.findall(r"createObjectURL\(new Blob\(", code)) == 2


def test_what_leaves_the_tablet():
    code = source("display.js")

    assert calls(code) == [
        ("GET", "location.pathname"),
        ("GET", "relay + '/v1/info'"),
        ("POST", "relay + '/v1/c/' + keys.cid + '/hello'"),
    ]
    assert not re.search(r"fetch\(|sendBeacon|WebSocket|EventSource|Worker\(", code)


def test_the_secret_is_where_it_is_said_to_be():
    code = source("opening.js", "ticket.js", "paper.js")

    for name in ("fragment", "secret", "keys", "history.state"):
        assert f"`{name}`" in STEPS
        assert name in code
    # Only the request's id, the keys and the copied link are made of it.
    assert len(re.findall(r"\bsecret\b", code)) == len(
        re.findall(
            r"var secret;|secret = parseFragment|deriveId\(secret\)|deriveKeys\(secret\)", code
        )
    )


def test_every_state_is_named():
    states = README[README.index("## States") :]
    phone, display = states.split(" on the phone;")
    icons = re.search(r"var ICONS = \{(.*?)\n\};", source("ticket.js"), re.DOTALL)[1]
    painted = set(re.findall(r"data-state=[\"']?(\w+)", source("display.css", "display.html")))

    named = set(re.findall(r"`(\w+)`", phone)) - {"ready"}
    words = json.loads((PAGES / "src/words/en.json").read_text(encoding="utf-8"))["ticket"]
    assert named == {name for name in words if f"{name}Text" in words or name == "opening"} - {
        "app", "more", "paper",
    }  # fmt: skip
    # What has no sign of its own has that of `absent`.
    assert {"absent"} <= set(re.findall(r"^\s+(\w+):", icons, re.MULTILINE)) <= named
    assert painted <= set(re.findall(r"`(\w+)`", display))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_build_asks_nothing_of_who_builds(tmp_path):
    """Another folder, language, time zone, order of hashes and umask; nothing beside Python."""
    subprocess.run(
        [sys.executable, "-I", PAGES / "build.py", "--out", tmp_path],
        cwd=tmp_path,
        env={"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"},
        umask=0o077,
        check=True,
        capture_output=True,
    )

    for name in (*(f"{name}.html" for name in ("ticket", "display", "selftest")), "SHA256SUMS"):
        assert (tmp_path / name).read_bytes() == (PAGES / "dist" / name).read_bytes()
