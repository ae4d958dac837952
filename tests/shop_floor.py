"""A shop under faults, seen from outside: what tills sent, displays painted, phones opened.

Real processes (a relay, an agent with all its kinds of sources, a cable between them) and stand-ins
for people and things that are no program of ours: tills that print, displays that follow the
display's rules (`DisplayChannel`), phones that open every code they see. `judge` compares what the
console says of each receipt with what they saw.
"""

import base64
import contextlib
import html
import http.client
import json
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import stage
from cable import Cable

from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol.channel import DisplayChannel, Reading
from e2ee_ticket.protocol.envelope import unseal
from e2ee_ticket.sources.ipp_attributes import values
from e2ee_ticket.sources.ipp_message import Group, Message, Tag, read_message
from e2ee_ticket.till.displays import Displays
from e2ee_ticket.till.outbox import FILE_NAME

DATA = Path(__file__).parent / "data"
DOLIBARR = "http://127.0.0.1:8680"
RECORDED_NUMBER = b"TC1-2611-0010"
KINDS = ("takepos", "printer", "folder", "ipp")
SCANNED_SECONDS = 4.5
"""A code that was painted for so long can be scanned (desk.py: SCAN_SECONDS, less what a display
takes to confirm it)."""
RECOVERY_SECONDS = 6.0
"""After a fault, before an earlier customer's code must be off the display."""
LATE_SECONDS = 1.5
"""How long after the next sale's acceptance an answer under way may still reach a display."""
PRINT_JOB = 2
ASK_STATUS = b"\x10\x04\x01"
OFFLINE = 0x08
"""A printer's answer to ASK_STATUS has this bit while it cannot print."""

# The agent as it is installed, with a wall clock that a file sets and its ports' waits as they are.
AGENT = """
import sys, time
from pathlib import Path
from e2ee_ticket.till import clock
steps = Path(sys.argv[1])
def now(_):
    try:
        return time.time() + float(steps.read_text() or 0)
    except (OSError, ValueError):
        return time.time()
clock.SystemClock.now = now
from e2ee_ticket.cli import main
sys.argv = ["e2ee-ticket", "agent"]
raise SystemExit(main())
"""


@dataclass
class Sent:
    """One receipt: when it was sent and acknowledged; times are the monotonic clock's."""

    key: int
    kind: str
    till: int
    sent_at: float
    acknowledged_at: float | None = None
    refused: bool = False
    numbers: list = field(default_factory=list)
    opened: bool = False


@dataclass
class Painted:
    """One time that a display showed a code."""

    till: int
    key: int | None
    secret: object
    since: float
    until: float | None = None
    most: float = 300.0

    def end(self, now):
        return min(self.until or now, self.since + self.most)


class Display(threading.Thread):
    """A tablet: says hello, paints what it is answered, and remembers it."""

    def __init__(self, floor, till, port, secret):
        super().__init__(daemon=True)
        self.floor, self.till, self.port, self.secret = floor, till, port, secret
        self.channel = DisplayChannel(secret)
        self.over = threading.Event()
        self.idle = threading.Event()
        self.now = None

    def run(self):
        failures = 0
        while not self.over.is_set():
            hello = self.channel.hello(_reading())
            began = time.monotonic()
            try:
                status, sealed = self._say(hello)
            except (OSError, http.client.HTTPException):
                status = 0
            if status == 200:
                failures = 0
                with contextlib.suppress(ProtocolError):
                    self._paint(self.channel.accept(sealed, _reading()))
            elif status == 204:
                failures = 0
                if time.monotonic() - began < 20:
                    self.over.wait(1)  # C28
            else:
                self.over.wait(min(30, 2**failures))  # C27
                failures += 1

    def _say(self, hello):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            body = self.secret.read_token() + hello
            connection.request("POST", f"/v1/c/{self.secret.cid}/hello", body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _paint(self, content):
        now = time.monotonic()
        if self.now is not None:
            self.now.until = min(now, self.now.since + self.now.most)
            self.now = None
        if content.kind == "ticket":
            key = _key(content.number)
            self.now = Painted(self.till, key, content.secret, now, most=content.seconds)
            self.floor.painted.append(self.now)
            threading.Thread(target=self._open, args=(self.now,), daemon=True).start()

    def _open(self, painted):
        """What a phone does that scans it at once: fetch, open, and say so."""
        if not self.floor.phones_open:
            return
        ticket_id = painted.secret.id
        for _ in range(40):
            if self.over.wait(0.5):
                return
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, body = _ask(self.port, "GET", f"/v1/t/{ticket_id}")
                if status == 410:
                    return
                if status != 200:
                    continue
                ticket = unseal(body, painted.secret)
                if _key(ticket.number) != painted.key:
                    self.floor.wrong.append((painted.key, ticket.number))
                body = painted.secret.token() + b"opened"
                status, _ = _ask(self.port, "POST", f"/v1/t/{ticket_id}/state", body)
                if status == 204:
                    self.floor.sent[painted.key].opened = True
                    return


class Floor:
    """One shop with two tills, each with a display and every kind of source."""

    def __init__(self, folder, seed, tills=2):
        self.folder = Path(folder)
        self.draw = random.Random(seed)
        self.seed = seed
        self.sent, self.painted, self.wrong, self.faults = {}, [], [], []
        self.phones_open = True
        self._count = 0
        self._lock = threading.Lock()
        self.relay = stage.Relay(self.folder / "relay", pages=True)
        permit = self.relay.permit()
        self.relay.start()
        self.line = Cable(self.relay.port)
        # The pages come from where the relay is: the audit would take others for changed ones.
        self.till = stage.Till(self.folder / "till", self.line.origin, permit=permit)
        self.state = self.till.folder
        self.steps = self.folder / "clock"
        self.steps.write_text("0")
        self.names = [f"Till {number}" for number in range(1, tills + 1)]
        self.ports, self.inboxes = [], []
        self.console_port = stage.free_port()
        parts = [f'lang = "en"\n[console]\nlisten = "127.0.0.1:{self.console_port}"\n']
        for name in self.names:
            ports = {kind: stage.free_port() for kind in KINDS if kind != "folder"}
            inbox = self.folder / name
            inbox.mkdir()
            self.ports.append(ports)
            self.inboxes.append(inbox)
            parts.append(f'[[till]]\nname = "{name}"\ndisplay = "{name}"\n')
            for kind in KINDS:
                parts.append(
                    f'[[source]]\nkind = "{kind}"\nname = "{kind} {name}"\ntill = "{name}"\n'
                )
                if kind == "folder":
                    parts.append(f'path = "{inbox}"\nsettle_seconds = 0\nlate_seconds = 3600\n')
                else:
                    parts.append(f'listen = "127.0.0.1:{ports[kind]}"\n')
                if kind == "takepos":
                    parts.append(f'origin = "{DOLIBARR}"\n')
        for name in self.names:
            self.till.run("display", "add", "--link", "--no-wait", name)
        self.till.file.write_text("".join(parts), encoding="utf-8")
        self.process = None
        self.log = self.folder / "agent.log"
        self.cookie = None
        self.displays = [
            Display(self, number, self.relay.port, pairing.secret)
            for number, pairing in enumerate(Displays(self.state).all())
        ]
        lines = (DATA / "takepos_connector_escpos.jsonl").read_text("utf-8").splitlines()
        recorded = json.loads(lines[1])
        self._path = recorded["path"]
        self._headers = {name: value for name, value in recorded["h"].items() if name != "Host"}
        job = urllib.parse.parse_qs(recorded["body"])["invoice"][0]
        self._job = base64.urlsafe_b64decode(job + "=" * (-len(job) % 4))

    def __enter__(self):
        self.start()
        self.wait_until_ready()
        for display in self.displays:
            display.start()
        return self

    def __exit__(self, *_):
        for display in self.displays:
            display.over.set()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.relay.stop()
        self.line.close()

    # The agent

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", AGENT, self.steps],
            env=self.till.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        threading.Thread(target=self._read_log, args=(self.process.stderr,), daemon=True).start()

    def _read_log(self, stream):
        with stream, self.log.open("ab") as log:  # a pipe: no limit of the agent's stops its log
            for line in stream:
                log.write(line)
                log.flush()

    def wait_until_ready(self, seconds=60):
        wanted = [port for ports in self.ports for port in ports.values()]
        for port in [*wanted, self.console_port]:
            stage.wait_for(lambda: stage.listens(port), "the agent's start", seconds)  # noqa: B023

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, number=signal.SIGTERM):
        """End it cleanly; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    @contextlib.contextmanager
    def fault(self, kind):
        """A fault that lasts as long as this; what is behind it is told in the table."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.faults.append((kind, began, time.monotonic()))

    # Tills

    def sell(self, kind=None, till=None):
        """Send one receipt; return it. It blocks until it is answered, at most 20 s."""
        with self._lock:
            self._count += 1
            key = self._count
            kind = kind or self.draw.choice(KINDS)
            till = self.draw.randrange(len(self.names)) if till is None else till
        sale = Sent(key, kind, till, time.monotonic())
        self.sent[key] = sale
        send = getattr(self, f"_send_{kind}")
        try:
            if send(sale):
                sale.acknowledged_at = time.monotonic()
            else:
                sale.refused = True
        except (OSError, http.client.HTTPException):
            pass  # it is not there, or broke off: this till knows that it has no answer
        return sale

    def sell_beside(self, kind=None, till=None):
        """Send one receipt from a thread of its own."""
        thread = threading.Thread(target=self.sell, args=(kind, till), daemon=True)
        thread.start()
        return thread

    def _send_takepos(self, sale):
        job = self._job.replace(RECORDED_NUMBER, f"TC1-2611-{sale.key:05}".encode())
        body = "invoice=" + base64.urlsafe_b64encode(job).decode().rstrip("=")
        status, _ = _ask(
            self.ports[sale.till]["takepos"], "POST", self._path, body, self._headers, timeout=20
        )
        return status == 200

    def _send_printer(self, sale):
        job = (
            f"\x1b@Test shop\nTicket TC2-2611-{sale.key:05}\n1 x Tea        3,50\n"
            f"Total EUR      3,50\n\n".encode()
            + b"\x1dV\x00"
            + ASK_STATUS
        )
        with socket.create_connection(("127.0.0.1", self.ports[sale.till]["printer"]), 20) as line:
            line.settimeout(20)
            line.sendall(job)
            answer = line.recv(1)  # a killed process ends its connections in order, too
            return bool(answer) and not answer[0] & OFFLINE

    def _send_folder(self, sale):
        made = self.folder / f"made-{sale.key}"
        made.write_bytes(_pdf(sale.key))
        made.rename(self.inboxes[sale.till] / f"Facture FA2611-{sale.key:05}.pdf")
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self._is_aside(sale):
                return True
            time.sleep(0.05)
        raise TimeoutError

    def look_aside(self, sale):
        """A file that was taken after its till had given up waiting."""
        if sale.kind == "folder" and sale.acknowledged_at is None and self._is_aside(sale):
            sale.acknowledged_at = time.monotonic()

    def _is_aside(self, sale):
        name = f"Facture FA2611-{sale.key:05}.pdf"
        return (self.inboxes[sale.till] / "sent" / name).exists()

    def _send_ipp(self, sale):
        head = {
            "attributes-charset": values(Tag.CHARSET, "utf-8"),
            "attributes-natural-language": values(Tag.LANGUAGE, "en"),
            "printer-uri": values(Tag.URI, "ipp://127.0.0.1/ipp/print"),
            "requesting-user-name": values(Tag.NAME, "anna"),
            "job-name": values(Tag.NAME, f"Facture FA2611-{sale.key:05}.pdf"),
        }
        message = Message((1, 1), PRINT_JOB, sale.key, (Group(Tag.OPERATION, head),))
        status, body = _ask(
            self.ports[sale.till]["ipp"], "POST", "/ipp/print", message.to_bytes() + _pdf(sale.key),
            {"Content-Type": "application/ipp"}, timeout=20,
        )  # fmt: skip
        return status == 200 and read_message(body)[0].code < 0x100

    # What can be seen from outside

    def rows(self):
        """What the outbox has: the receipt that each number is."""
        with contextlib.suppress(sqlite3.Error):
            uri = f"file:{self.state / FILE_NAME}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as outbox:
                return outbox.execute(
                    "SELECT receipt_number, fields, outcome FROM receipts"
                ).fetchall()
        return []

    def learn(self):
        """Note which number each receipt has, before its facts are let go."""
        for number, fields, _ in self.rows():
            key = _key(json.loads(fields).get("number")) if fields else None
            if key in self.sent and number not in self.sent[key].numbers:
                self.sent[key].numbers.append(number)

    def ask_console(self, path):
        if self.cookie is None:
            token = (self.state / "console.token").read_text().strip()
            form = urllib.parse.urlencode({"token": token})
            origin = f"http://127.0.0.1:{self.console_port}"
            headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"}
            connection = http.client.HTTPConnection("127.0.0.1", self.console_port, timeout=30)
            connection.request("POST", "/enter", form, headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        status, body = _ask(
            self.console_port, "GET", path, headers={"Cookie": self.cookie}, timeout=30
        )
        return status, body.decode("utf-8", "replace")

    def console_says(self, number):
        """Return the word for a sale's state and what is said beside it; None if it is unknown."""
        status, page = self.ask_console(f"/sale/{number}")
        if status != 200:
            return None
        card = page[page.index('id="sales"') :]
        word = re.search(r'class="state \w+">.*?</svg>(.*?)</span>', card, re.DOTALL)
        warning = re.search(r'class="warning".*?<h2[^>]*>(.*?)</h2>', card, re.DOTALL)
        return _text(word[1] if word else ""), _text(warning[1]) if warning else ""

    def troubles(self):
        _, page = self.ask_console("/troubles")
        return _text(page)


def _text(markup):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def _reading():
    return Reading(time.time(), time.monotonic())


def _key(number):
    found = re.search(r"-(\d{5,})$", number or "")
    return int(found[1]) if found else None


def _pdf(key):
    return b"%%PDF-1.7\n%% %d %s\n%%%%EOF\n" % (key, b"x" * 3000)


def _ask(port, method, path, body=None, headers=None, *, timeout=10):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
