"""Alert rules and dashboard ask for what a relay counts, and name chapters that are there."""

import json
import re
from pathlib import Path

import pytest
import yaml

from relay_server.cli import COMMANDS
from relay_server.metrics import Metrics
from relay_server.store import Gauges

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
MONITORING = DEPLOY / "monitoring"
OF_PROMETHEUS = {"up"}


@pytest.fixture
def counted():
    """The names of everything that a relay counts."""
    metrics = Metrics()
    metrics.count("PUT", "/v1/t/{id}", 201, seconds=0.1, sent=1, received=1)
    text = metrics.render(
        gauges=Gauges(0, 0, 0, 0, 0), busy=0, open_connections=0, sweeps=0
    ).decode()
    return set(re.findall(r"^(relay_\w+)", text, re.MULTILINE))


def named(expression):
    without = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", expression)
    return set(re.findall(r"\b(relay_\w+|up)\b", without))


def rules():
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_asks_for_what_is_counted(counted):
    for rule in rules():
        names = named(rule["expr"])
        assert names
        assert names <= counted | OF_PROMETHEUS, rule["alert"]


def test_every_panel_asks_for_what_is_counted(counted):
    panels = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))["panels"]
    shown = set()
    for panel in panels:
        for target in panel["targets"]:
            names = named(target["expr"])
            assert names
            assert names <= counted | OF_PROMETHEUS, panel["title"]
            shown |= names

    assert {"relay_clock_doubt_seconds", "relay_store_damaged", "relay_room_bytes"} <= shown
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_is_tried_and_names_a_chapter_of_the_run_book():
    tried = yaml.safe_load((MONITORING / "alerts_test.yml").read_text("utf-8"))["tests"]
    fire = {
        case["alertname"]
        for test in tried
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    book = (DEPLOY / "operating.md").read_text("utf-8")
    chapters = re.findall(r"^#+ (.+)$", book, re.MULTILINE)

    assert fire == {rule["alert"] for rule in rules()}
    for rule in rules():
        chapter = re.search(r"See: (.+)\.$", rule["annotations"]["description"])[1]
        assert chapter in chapters


def test_the_run_book_names_commands_that_there_are():
    book = (DEPLOY / "operating.md").read_text("utf-8")
    words = set(re.findall(r"relay-server ([a-z]+)\b", book)) - {"service", "socket", "env"}

    assert words - {"is", "with"} <= set(COMMANDS)
    assert {"restore", "compact", "clock", "backup", "forget", "check", "permit"} <= words
