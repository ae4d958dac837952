"""kill -9 of the agent at random moments: no receipt is lost, and none becomes two.

Real processes: a relay, which dies now and then too, and the agent with a folder and a TakePOS
connector. Files are dropped and receipts posted all the while, whether the agent lives or not.
"""

import base64
import http.client
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import urllib.parse
from collections import Counter
from pathlib import Path

import pytest
import stage

from e2ee_ticket.till.outbox import FILE_NAME, Outbox

DATA = Path(__file__).parents[1] / "data"
DOLIBARR = "http://127.0.0.1:8680"
NUMBER = b"TC1-2611-0010"
WAITING_FILES = 3
LATE_SECONDS = 3600


class Shop:
    """The processes of a shop."""

    def __init__(self, folder):
        self.relay = stage.Relay(folder / "relay", pages=True)
        permit = self.relay.permit()
        self.relay.start()
        self.till = stage.Till(folder / "till", self.relay.origin, permit=permit)
        self.inbox = folder / "inbox"
        self.sent = self.inbox / "sent"
        self.inbox.mkdir()
        self.port = stage.free_port()
        self.log = folder / "agent.log"
        self.process = None
        (self.till.folder / "config.toml").write_text(
            f"""
            [[source]]
            kind = "folder"
            path = "{self.inbox}"
            settle_seconds = 0
            late_seconds = {LATE_SECONDS}
            [[source]]
            kind = "takepos"
            listen = "127.0.0.1:{self.port}"
            origin = "{DOLIBARR}"
            [console]
            listen = "127.0.0.1:{stage.free_port()}"
            """,
            encoding="utf-8",
        )

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [stage.BIN / "e2ee-ticket", "agent"],
                env=self.till.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def listens(self):
        return stage.listens(self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    @property
    def taken(self):
        """The names of the files that were moved aside."""
        return {path.name for path in self.sent.glob("*.pdf")} if self.sent.exists() else set()

    @property
    def waiting(self):
        return {path.name for path in self.inbox.glob("*.pdf")}

    def has_shown_or_held(self):
        """Whether the agent that runs now has no sale that it is yet to begin."""
        said = self.log.read_text("utf-8").rpartition("console: http")[2]
        begun = set(re.findall(r"sale (\d+) (?:sealed|stored|held|is not shown)", said))
        return set(re.findall(r"sale (\d+) from", said)) <= begun

    def outbox(self):
        return Outbox(self.till.folder / FILE_NAME, lambda: 0.0)


class Dropper(threading.Thread):
    """Drops one file after the other into the folder, whole from the first moment on."""

    def __init__(self, shop):
        super().__init__(daemon=True)
        self.shop = shop
        self.dropped = {}
        self.stop = threading.Event()

    def run(self):
        made = self.shop.inbox.parent / "made.pdf"
        while not self.stop.wait(0.02):
            if len(self.shop.waiting) < WAITING_FILES:
                name = f"receipt-{len(self.dropped):05}.pdf"
                data = b"%PDF-1.7\n" + os.urandom(3_000).hex().encode() + b"\n%%EOF\n"
                made.write_bytes(data)
                made.rename(self.shop.inbox / name)
                self.dropped[name] = data


class Poster(threading.Thread):
    """Prints one receipt after the other, each with a number of its own; never one again."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.taken = []
        self.begun = 0
        self.stop = threading.Event()
        recorded = json.loads(
            (DATA / "takepos_connector_escpos.jsonl").read_text("utf-8").splitlines()[1]
        )
        self.path = recorded["path"]
        self.headers = {name: value for name, value in recorded["h"].items() if name != "Host"}
        job = urllib.parse.parse_qs(recorded["body"])["invoice"][0]
        self.job = base64.urlsafe_b64decode(job + "=" * (-len(job) % 4))

    def run(self):
        while not self.stop.wait(0.02):
            number = f"TC1-2611-{self.begun:04}"
            job = self.job.replace(NUMBER, number.encode())
            body = "invoice=" + base64.urlsafe_b64encode(job).decode().rstrip("=")
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.connect()
                self.begun += 1
                connection.request("POST", self.path, body, self.headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                self.taken.append(number)
            except (OSError, http.client.HTTPException):
                pass  # it is not there (yet), or was killed before it answered
            finally:
                connection.close()


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()
    made.relay.stop()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_no_kill_loses_a_receipt_or_makes_two_of_one(shop, kills):
    draw = random.Random(20261122)
    dropper, poster = Dropper(shop), Poster(shop.port)
    feeders = (dropper, poster)
    shop.start()
    stage.wait_for(shop.listens, "the agent's start", 60)  # what lay there before is not sent
    for feeder in feeders:
        feeder.start()

    def count(turn):
        return len(poster.taken) if turn % 5 == 0 else len(poster.taken) + len(shop.taken)

    for turn in range(kills):
        if turn % 5 < 3:
            target = count(turn) + draw.randrange(1, 4)
            stage.wait_for(lambda: count(turn) >= target, "the next receipts", 60)  # noqa: B023
            moment = draw.random() * 0.1
        else:
            moment = draw.random()  # somewhere in its start
        if turn % 10 == 9:
            shop.relay.kill()
        dropper.stop.wait(moment)
        shop.kill()
        if turn % 10 == 9:
            shop.relay.start()
        shop.start()
    for feeder in feeders:
        feeder.stop.set()
        feeder.join()
    with shop.outbox() as outbox:
        stage.wait_for(lambda: not shop.waiting, "the last file's acceptance", 60)
        stage.wait_for(shop.has_shown_or_held, "the last sale's beginning", 60)
        stage.wait_for(lambda: not outbox.unfinished(), "the last upload", 120)

    assert shop.end() == 0
    assert " ended" not in shop.log.read_text("utf-8")  # no task of it broke off
    check_receipts(shop, dropper, poster)
    check_tickets(shop)
    assert len(poster.taken) >= kills / 5
    assert len(shop.taken) >= kills / 5


def check_receipts(shop, dropper, poster):
    """Each was accepted once: a file that was moved aside, a receipt that was answered with 200."""
    with shop.outbox() as outbox:
        assert outbox._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        accepted = outbox.accepted()
        files = Counter(
            outbox.receipt(each.number).receipt for each in accepted if each.source == "folder"
        )
        numbers = Counter(each.ticket.number for each in accepted if each.source == "takepos")
    assert shop.taken == set(dropper.dropped)
    assert files == Counter(dropper.dropped.values())
    assert set(poster.taken) <= set(numbers)
    assert set(numbers.values()) == {1}


def check_tickets(shop):
    """Each has a ticket at the relay, or is still kept without one: the agent died in between."""
    with shop.outbox() as outbox:
        tickets = {}
        for entry in outbox.entries():
            tickets.setdefault(entry.receipt_number, []).append(entry)
        unsealed = set(outbox.unsealed())
        numbers = {each.number for each in outbox.accepted()}
    shop.relay.stop()
    with sqlite3.connect(shop.relay.database) as relay:
        stored = {row[0] for row in relay.execute("SELECT lower(hex(id)) FROM tickets")}
    relay.close()
    for number in numbers - unsealed:
        (entry,) = tickets[number]
        assert entry.state == "stored"
        assert entry.id in stored
    assert stored == {entry.id for each in tickets.values() for entry in each}
