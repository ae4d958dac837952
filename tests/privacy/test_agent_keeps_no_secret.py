"""A shop's day with the agent: what was sold, and what opens it, stay where they must be.

Relay, agent and console are processes; the display is the display's half of the protocol on the
real relay. Five sales end in five ways: opened, saved, on paper, taken back, and killed. Every
field of each is a canary of its own, so that it is known whose is found. Then all is searched.
"""

import base64
import contextlib
import http.client
import json
import re
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

import fpdf
import pytest
import stage
from privacy import traces
from privacy.wire import Wire

from e2ee_ticket import Link
from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol.channel import DisplayChannel, PairingLink, Reading
from e2ee_ticket.till.console.auth import TOKEN_FILE, form_token
from e2ee_ticket.till.console.services import COOKIE
from e2ee_ticket.till.displays import Displays

pytestmark = pytest.mark.rule("T3")

DOLIBARR = "http://127.0.0.1:8680"
SHOP = "CanaryShop7QX2"
KEY = "CanaryDolibarrKey4ZP9"
WEBHOOK = "CanaryWebhookSecret8RT3vb5nm1kq6wx"
CONFIG = """\
relay = "{relay}"
permit_file = "{permit_file}"
state = "{state}"
shop = "{SHOP} Boucherie"
lang = "fr"

[[till]]
name = "Caisse"
display = "Counter"

[[source]]
kind = "takepos"
listen = "127.0.0.1:{takepos}"
origin = "{DOLIBARR}"

[[source]]
kind = "folder"
path = "{folder}"
done = "delete"

[[source]]
kind = "dolibarr"
url = "{dolibarr}"
key = "{KEY}"
webhook = "127.0.0.1:{webhook}"
webhook_secret = "{WEBHOOK}"

[console]
listen = "127.0.0.1:{console}"
"""

PAGE = """\
<body><style>.right text-align: right</style><center><b>{title}</b></center><br>
<p class="right">Date 21/11/2026<br>{number}</p><br><table width="100%"><thead><tr><th>Article</th>
<th class="right">Total TTC</th></tr></thead><tbody><tr><td>{line}</td><td class="right">5,99
</td></tr></tbody></table><table class="right"><tr><th class="right">Total TTC</th>
<td class="right">{total} </td></tr></table></body></html>"""


@dataclass
class Sale:
    """A sale: its canaries, and what the display was given of it."""

    name: str
    canaries: dict[str, str]
    link: Link | None = None
    ended: dict[str, bytes] = field(default_factory=dict)
    """The agent's files when the sale was over."""
    shown: dict[str, bytes] = field(default_factory=dict)
    """The agent's files while its code was on the display."""

    @property
    def words(self):
        needles = traces.Needles()
        for name, text in self.canaries.items():
            needles.text(f"{name} of the sale {self.name}", text)
        return needles

    @property
    def secret(self):
        needles = traces.Needles()
        secret = self.link.secret
        needles.data(f"S of the sale {self.name}", secret.reveal())
        needles.data(f"the key of the sale {self.name}", secret.key())
        needles.data(f"the nonce key of the sale {self.name}", secret.nonce_key())
        needles.digits(f"the link of the sale {self.name}", self.link.digits())
        return needles

    @property
    def id(self):
        needles = traces.Needles()
        needles.data(f"the id of the sale {self.name}", bytes.fromhex(self.link.secret.id))
        return needles


def make_sale(name):
    word = name.capitalize()
    return Sale(
        name,
        {
            "the title": f"Canary{word}Title4KQ7",
            "the number": f"Canary{word}Number5XJ8",
            "a line": f"Canary{word}Line3MD7",
            "the amount": f"Canary{word}Total9ZW3",
            "the file": f"Canary{word}File2VB6",
        },
    )


def page_of(sale):
    """What TakePOS posts of a sale."""
    said = {name.rpartition(" ")[2]: text for name, text in sale.canaries.items()}
    return PAGE.format(
        title=said["title"], number=said["number"], line=said["line"], total=said["amount"]
    ).encode()


def job_of(sale):
    """What TakePOS posts of a sale where it prints as a receipt printer wants it."""
    lines = "\n".join(sale.canaries.values()).encode()
    job = b"\x1b@" + lines + b"\nTotal TTC  5,99\n\x1dV\x41\x03"
    return b"invoice=" + base64.urlsafe_b64encode(job).rstrip(b"=")


def pdf_of(sale):
    """What another program saves of a sale; its words can be read without any tool."""
    pdf = fpdf.FPDF(unit="mm", format=(80, 120))
    pdf.set_compression(False)
    pdf.set_title(sale.canaries["the title"])
    pdf.add_page()
    pdf.set_font("Helvetica", size=10)
    for text in sale.canaries.values():
        pdf.cell(text=text, new_x="LMARGIN", new_y="NEXT")
    return bytes(pdf.output())


class Display(threading.Thread):
    """A paired display that follows its rules, and remembers what it was given."""

    def __init__(self, relay, secret):
        super().__init__(daemon=True)
        self.relay, self.secret = relay, secret
        self.contents = []
        self._over = threading.Event()

    def run(self):
        channel = DisplayChannel(self.secret)
        path = f"/v1/c/{self.secret.cid}/hello"
        while not self._over.is_set():
            hello = channel.hello(self._now())
            try:
                status, sealed = self.relay.request("POST", path, self.secret.read_token() + hello)
            except OSError:  # the relay has ended, and so does the test
                return
            if status == 200:
                with contextlib.suppress(ProtocolError):
                    self.contents.append(channel.accept(sealed, self._now()))

    def end(self):
        self._over.set()

    @staticmethod
    def _now():
        return Reading(time.time(), time.monotonic())

    def wait_for(self, kind, since=0):
        """Wait until it was given something of a kind, after so many others."""
        return stage.wait_for(
            lambda: next((one for one in self.contents[since:] if one.kind == kind), None),
            f"{kind} on the display",
        )


class Day:
    """The shop, from the morning on."""

    def __init__(self, folder, dolibarr):
        self.folder = folder
        self.dolibarr = dolibarr
        self.relay = stage.Relay(folder / "relay", "--access-log", "--debug")
        self.permit = self.relay.permit()
        self.home = folder / "home"
        self.state = self.home / "state"
        self.receipts = folder / "receipts"
        self.receipts.mkdir()
        (folder / "permit").write_text(self.permit + "\n")
        self.ports = {name: stage.free_port() for name in ("takepos", "console", "webhook")}
        self.till = stage.Till(self.home)
        (self.home / "tmp").mkdir()
        self.till.environment["TMPDIR"] = str(self.home / "tmp")
        # The configuration lies outside of what is searched: permit and key stand in it.
        config = folder / "config.toml"
        self.till.environment["E2EE_TICKET_CONFIG"] = str(config)
        config.write_text(
            CONFIG.format(
                relay=self.relay.origin, permit_file=folder / "permit", state=self.state,
                folder=self.receipts, dolibarr=dolibarr.origin, SHOP=SHOP, KEY=KEY,
                WEBHOOK=WEBHOOK, DOLIBARR=DOLIBARR, **self.ports,
            ), encoding="utf-8",
        )  # fmt: skip
        self.log = folder / "agent.log"
        self.process = self.display = self.cookie = None
        self.answers = {}

    # Processes

    def start(self):
        self.relay.start()
        self.paired = self.till.run("display", "add", "--link", "--no-wait", "Counter").stdout
        self.pairing = Displays(self.state).find("Counter")
        self.display = Display(self.relay, self.pairing.secret)
        self.display.start()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [stage.BIN / "e2ee-ticket", "--debug", "agent", "--debug"],
                env=self.till.environment, cwd=self.home,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        stage.wait_for(lambda: self._answers("console") and self._answers("takepos"), "its start")

    def _answers(self, port):
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            self.ask(port, "GET", "/")
            return True
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.display is not None:
            self.display.end()
        if self.process is not None:
            self.kill()
        self.relay.stop()

    # Requests

    def ask(self, port, method, path, body=None, **headers):
        """Ask one of the agent's servers; return status and everything that it says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=20)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, str(answer.headers).encode() + answer.read()

    def press(self, path, **fields):
        """Send one of the console's forms."""
        form = {} if self.cookie is None else {"form": form_token(self.cookie)}
        status, said = self.ask(
            "console", "POST", path, urllib.parse.urlencode(form | fields),
            Origin=f"http://127.0.0.1:{self.ports['console']}",
            Content_Type="application/x-www-form-urlencoded",
            Cookie=f"{COOKIE}={self.cookie}",
        )  # fmt: skip
        return status, said

    @property
    def token(self):
        return (self.state / TOKEN_FILE).read_text().strip()

    def enter(self):
        """Come in as the cashier's browser does; the token is good once."""
        self.used_token = self.token
        status, said = self.press("/enter", token=self.used_token)
        assert status == 303
        self.cookie = re.search(rf"{COOKIE}=([^;]+);", said.decode())[1]

    def post(self, path, body, origin=DOLIBARR):
        """Send what TakePOS' page sends."""
        form = "application/x-www-form-urlencoded; charset=UTF-8"
        return self.ask("takepos", "POST", path, body, Origin=origin, Content_Type=form)[0]

    # What is searched

    @property
    def files(self):
        return traces.files_in(self.home)

    @property
    def said(self):
        return {"agent.log": self.log.read_bytes()}

    def sell(self, sale, deliver):
        """Deliver a receipt; wait until its code is on the display and its envelope uploaded."""
        before = len(self.display.contents)
        deliver(sale)
        sale.link = Link(self.relay.origin, self.display.wait_for("ticket", before).secret)
        stage.wait_for(lambda: self.relay.state(sale.link) == "stored", "the upload")
        sale.shown = self.files
        return sale

    def note_end(self, sale):
        """Keep what the agent has on its disk when it has let the receipt go, or when it should."""
        with contextlib.suppress(AssertionError):
            stage.wait_for(lambda: not traces.find_in(self.files, sale.words), "forgetting", 5)
        sale.ended = self.files


STRANGERS = [
    ("console", "GET", "/"),
    ("console", "GET", "/enter"),
    ("console", "GET", "/shop"),
    ("console", "GET", "/sale/1"),
    ("console", "GET", "/sale/1/revoke"),
    ("console", "GET", "/changes?since=0"),
    ("console", "GET", "/paper/AAAAAAAAAAAAAAAAAAAAAA"),
    ("console", "GET", "/paper/AAAAAAAAAAAAAAAAAAAAAA/receipt.pdf"),
    ("console", "GET", "/prove?question=0123456789abcdef"),
    ("console", "POST", "/enter"),
    ("console", "POST", "/sale/1/here"),
    ("console", "POST", "/sale/1/paper"),
    ("console", "POST", "/look-up"),
    ("takepos", "GET", "/"),
    ("takepos", "POST", "/print"),
    ("takepos", "GET", "/display/index.php?text=x"),
    ("webhook", "GET", "/"),
    ("webhook", "POST", "/hook/AAAAAAAAAAAAAAAAAAAAAAAA"),
]


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """Play the whole day; what runs still is the relay."""
    # This Dolibarr is out of order; what it was asked is known all the same.
    trouble = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with Wire(answer=trouble) as dolibarr:
        made = Day(tmp_path_factory.mktemp("day"), dolibarr)
        try:
            play(made)
            yield made
        finally:
            made.end()


def play(day):
    day.sales = {
        name: make_sale(name) for name in ("opened", "saved", "printed", "revoked", "killed")
    }
    opened, saved, printed, revoked, killed = day.sales.values()
    day.live = {"a line before payment": "CanaryLive6HN4"}
    day.refused = make_sale("refused")
    day.start()
    day.display.wait_for("idle")
    day.enter()

    ask = "/display/index.php?text=" + day.live["a line before payment"]
    assert day.ask("takepos", "GET", ask, Origin=DOLIBARR)[0] == 200
    day.display.wait_for("live")
    day.sell(opened, lambda sale: day.post("/print", page_of(sale)))
    day.processes = traces.processes()
    day.answers = {
        f"{method} {path} of {port}": day.ask(port, method, path)
        for port, method, path in STRANGERS
    }
    assert day.relay.mark(opened.link, "opened") == 204
    day.note_end(opened)

    day.sell(saved, lambda sale: save(day, sale))
    assert day.relay.mark(saved.link, "opened") == 204
    assert day.relay.mark(saved.link, "received") == 204
    day.note_end(saved)

    day.sell(printed, lambda sale: day.post("/printer/index.php", job_of(sale)))
    assert day.press("/sale/3/paper", back="/")[0] == 303
    day.note_end(printed)

    day.sell(revoked, lambda sale: day.post("/print", page_of(sale)))
    assert day.press("/sale/4/revoke", back="/")[0] == 303
    stage.wait_for(lambda: day.relay.state(revoked.link) == "revoked", "taking back")
    day.note_end(revoked)

    assert day.post("/print", page_of(day.refused), "https://elsewhere.example") == 403
    assert day.post("/printer/index.php", b"invoice=" + pdf_of(day.refused)) >= 400
    payload = json.dumps({"object": {"id": 7, **day.refused.canaries}}).encode()
    assert day.ask("webhook", "POST", f"/hook/{WEBHOOK}", payload)[0] == 204
    no_receipt = day.receipts / f"{day.refused.canaries['the file']}.pdf"
    no_receipt.write_bytes(b"".join(map(str.encode, day.refused.canaries.values())) + b"%%EOF")
    stage.wait_for(lambda: not no_receipt.exists(), "refusing")
    day.sell(killed, lambda sale: day.post("/print", page_of(sale)))
    day.kill()
    killed.ended = day.files


def save(day, sale):
    """Save a PDF as another program does: under another name, then whole."""
    half = day.receipts / "half"
    half.write_bytes(pdf_of(sale))
    half.rename(day.receipts / f"{sale.canaries['the file']}.pdf")


def places(day):
    """All that was told to others: strangers, the log, lists of processes, and the relay."""
    found = {f"a stranger's {name}": said for name, (_, said) in day.answers.items()}
    found |= day.said | day.processes
    found |= {f"relay: {name}": data for name, data in traces.files_in(day.relay.folder).items()}
    return found


def every_snapshot(day):
    """All files of the agent, at each moment."""
    return {
        f"{name}, {moment} {sale.name}": data
        for sale in day.sales.values()
        for moment, files in (("shown", sale.shown), ("ended", sale.ended))
        for name, data in files.items()
    }


NAMES = ["opened", "saved", "printed", "revoked", "killed"]


# What opens a receipt


@pytest.mark.parametrize("name", NAMES)
def test_the_secret_of_a_sale_is_in_no_file_no_log_and_no_list_of_processes(day, name):
    sale = day.sales[name]

    assert traces.find_in(places(day) | every_snapshot(day), sale.secret) == {}


def test_the_pairing_is_in_one_file_of_its_user_alone(day):
    needles = traces.Needles()
    needles.data("P", day.pairing.secret.reveal())
    needles.data("the till's token", day.pairing.token.reveal())
    needles.digits("the pairing link", PairingLink.parse(day.paired.strip()).digits())
    path = next(day.home.rglob("displays.json"))

    found = traces.find_in(day.files, needles)

    assert found.keys() == {str(path.relative_to(day.home))}
    assert path.stat().st_mode & 0o077 == 0
    assert traces.find_in(places(day), needles) == {}


# What was sold


@pytest.mark.parametrize("name", ["opened", "saved", "printed", "revoked"])
def test_a_receipt_that_is_let_go_is_overwritten(day, name):
    sale = day.sales[name]

    assert traces.find_in(sale.ended, sale.words) == {}


@pytest.mark.parametrize("name", [*NAMES, "refused"])
def test_nothing_of_a_receipt_is_logged_or_shown_to_a_stranger_or_told_the_relay(day, name):
    sale = day.sales.get(name, day.refused)

    assert traces.find_in(places(day), sale.words) == {}


def test_what_is_shown_before_payment_is_written_nowhere(day):
    needles = traces.Needles()
    for name, text in day.live.items():
        needles.text(name, text)

    assert traces.find_in(places(day) | every_snapshot(day), needles) == {}


def test_what_was_refused_is_kept_nowhere(day):
    assert traces.find_in(every_snapshot(day), day.refused.words) == {}


# What lets somebody in


def test_the_consoles_token_is_in_its_file_alone_and_a_used_one_nowhere(day):
    token, used = traces.Needles(), traces.Needles()
    token.text("the console's token", day.token)
    used.text("the used token", day.used_token)
    used.text("the browser's cookie", day.cookie)
    path = day.state / TOKEN_FILE

    assert traces.find_in(day.files, token).keys() == {str(path.relative_to(day.home))}
    assert path.stat().st_mode & 0o077 == 0
    assert traces.find_in(places(day), token) == {}
    assert traces.find_in(places(day) | every_snapshot(day), used) == {}


def test_permit_and_keys_stay_in_the_configuration(day):
    needles = traces.Needles()
    needles.text("the permit", day.permit)
    needles.text("Dolibarr's key", KEY)
    needles.text("the webhook's secret", WEBHOOK)

    assert traces.find_in(places(day) | every_snapshot(day), needles) == {}


def test_a_stranger_is_told_nothing(day):
    needles = traces.Needles()
    needles.text("the shop", SHOP)
    needles.text("the till", "Caisse")
    needles.text("the display", "Counter")
    answers = {name: said for name, (_, said) in day.answers.items() if "console" in name}

    assert traces.find_in(answers, needles) == {}


# The search can fail


def test_the_search_finds_what_is_known_to_be_there(day):
    key, seen = traces.Needles(), traces.Needles()
    key.text("Dolibarr's key", KEY)
    seen.text("the configuration's place", str(day.folder / "config.toml"))

    for sale in day.sales.values():
        kept = {name.rpartition("/")[2] for name in traces.find_in(sale.shown, sale.words)}
        known = {name.rpartition("/")[2] for name in traces.find_in(sale.shown, sale.id)}
        assert kept & {"outbox.sqlite", "outbox.sqlite-wal"}, sale.name
        assert known & {"outbox.sqlite", "outbox.sqlite-wal"}, sale.name
    assert traces.find_in(day.sales["killed"].ended, day.sales["killed"].words)
    assert key.find(day.dolibarr.sent)
    assert f"{day.process.pid} environ" in traces.find_in(day.processes, seen)
    assert b"sale 5" in day.said["agent.log"]
    found = traces.find_in(places(day), day.sales["opened"].id).keys()
    assert found
    assert found <= {"relay: relay.sqlite", "relay: relay.sqlite-wal"}
    assert day.answers["GET / of console"][0] in (302, 303)
    assert b"form" in day.answers["GET /enter of console"][1]


def test_a_careless_agent_would_be_found(day):
    sale = day.sales["opened"]
    secret = sale.link.secret.reveal()
    leaks = [
        secret,
        secret.hex().encode(),
        base64.urlsafe_b64encode(b"x" + secret),
        sale.link.reveal().encode(),
        repr(secret).encode(),
        sale.link.secret.key(),
    ]

    for leak in leaks:
        planted = every_snapshot(day) | {"outbox.sqlite-wal": bytes(5000) + leak + bytes(5000)}
        assert traces.find_in(planted, sale.secret).keys() == {"outbox.sqlite-wal"}
    for text in sale.canaries.values():
        assert traces.find_in(day.said | {"a log": f"sold: {text}".encode()}, sale.words)
