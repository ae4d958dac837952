"""A shop under faults, seen from outside: what tills sent, displays painted, phones opened.

Real processes (a relay, an agent with all its kinds of sources, `send`, where it is asked for a
cable between them) and stand-ins for people and things that are no program of ours: tills that
print, a Dolibarr, displays that follow the display's rules (`DisplayChannel`), phones that open
the codes they see. What the console says is held against what they saw in truths.py.
"""

import base64
import contextlib
import html
import http.client
import itertools
import json
import random
import re
import signal
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import stage
from cable import Cable
from fake_dolibarr import KEY, FakeDolibarr
from nursery import Books

from e2ee_ticket.errors import ProtocolError
from e2ee_ticket.protocol.channel import DisplayChannel, Reading
from e2ee_ticket.protocol.envelope import unseal
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.sources.ipp_attributes import values
from e2ee_ticket.sources.ipp_message import Group, Message, Tag, read_message
from e2ee_ticket.till.displays import Displays
from e2ee_ticket.till.outbox import FILE_NAME

DATA = Path(__file__).parent / "data"
DOLIBARR = "http://127.0.0.1:8680"
RECORDED_NUMBER = b"TC1-2611-0010"
RECORDED_HTML_NUMBER = "TC1-2611-0009"
SOURCES = ("takepos", "printer", "folder", "ipp")
"""What each till has one of; the Dolibarr behind them is the first till's."""
KINDS = (*SOURCES, "takepos_html", "webhook", "rest", "send")
"""The ways that a receipt is sold."""
WEIGHTS = (4, 4, 4, 4, 2, 2, 2, 1)
FIRST_KEY = 10_000
WEBHOOK_SECRET = "canary0webhook0secret0Zq81"
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


@dataclass
class Sent:
    """One receipt: when what happened to it; times are the monotonic clock's.

    `accepted_at` is when its sale began at its till, as far as it can be seen from outside;
    `told_at` is when the relay was told that it is opened, which was before that.
    """

    key: int
    kind: str
    till: int
    sent_at: float
    acknowledged_at: float | None = None
    accepted_at: float | None = None
    refused: bool = False
    numbers: list = field(default_factory=list)
    opened_at: float | None = None
    told_at: float | None = None
    saved_at: float | None = None
    receipt: bytes | None = None

    @property
    def opened(self):
        return self.opened_at is not None


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


@dataclass
class Lasting:
    """A fault, from when until when."""

    kind: str
    began: float
    ended: float = float("inf")

    def overlaps(self, since, until):
        return self.began <= until and self.ended >= since


class NurseryRelay(stage.Relay):
    """A relay that the nursery starts."""

    def __init__(self, nursery, folder):
        super().__init__(folder, pages=True)
        self._nursery = nursery

    def start(self):
        with self.log.open("ab") as log:
            self.process = self._nursery.start(
                "relay",
                ["--listen", f"127.0.0.1:{self.port}", *self.store, *self.arguments],
                out=log, err=log,
            )  # fmt: skip
        stage.wait_for(self.answers, "the relay's start")
        return self

    def permit(self, name="Till 1"):
        return self._nursery.run("relay", "permit", "add", name, *self.store, "--new").strip()


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
            key = key_of(content.number)
            self.now = Painted(self.till, key, content.secret, now, most=content.seconds)
            self.floor.painted.append(self.now)
            threading.Thread(target=self._open, args=(self.now,), daemon=True).start()

    def _open(self, painted):
        """What a phone does that scans it: fetch, open, and say so; some save it, too."""
        looks = self.floor.draw_for(painted.key)
        if looks.random() < self.floor.share_opened:
            saves = looks.random() < self.floor.share_saved
            open_as_a_phone(self.floor, painted.secret, painted.key, self.over, saves=saves)


def open_as_a_phone(floor, secret, key, over, *, saves=False):
    """Fetch a ticket until it is there, compare it with what was sent, and say what was done."""
    port = floor.relay.port
    for attempt in range(24):
        if over.wait(0.5 if attempt < 10 else 2):
            return
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, body = _ask(port, "GET", f"/v1/t/{secret.id}")
            if status == 410:
                return
            if status != 200:
                continue
            sale, ticket = floor.sent[key], unseal(body, secret)
            if key_of(ticket.number) != key or sale.receipt not in (None, ticket.receipt):
                floor.wrong.append((key, ticket.number))
            # Before the relay knows: whoever says that it is opened cannot be ahead of it.
            sale.opened_at = sale.opened_at or time.monotonic()
            if not _tell(port, secret, b"opened"):
                continue
            sale.told_at = sale.told_at or time.monotonic()
            if saves and not over.wait(0.3):
                sale.saved_at = time.monotonic()
                _tell(port, secret, b"received")
            return


def _tell(port, secret, state):
    status, _ = _ask(port, "POST", f"/v1/t/{secret.id}/state", secret.token() + state)
    return status == 204


class Floor:
    """One shop with its tills, each with a display and every kind of source."""

    def __init__(self, nursery, folder, seed, tills=2, *, line=False):
        """Put it together; `folder / "till"` may be a disk of the nursery's."""
        self.folder = Path(folder)
        self.nursery = nursery
        self.draw = random.Random(seed)
        self.seed = seed
        self.sent, self.painted, self.wrong, self.faults, self.told = {}, [], [], [], []
        self.share_opened, self.share_saved = 0.7, 0.3
        self.lag = 0.0
        """How long a question to the console took: this machine may have more to do."""
        self.starts, self.damages, self.drawn = [], [], set()
        self.during = {}
        """By a receipt's key: the kind of fault in which it was sold."""
        self.code = None
        self._keys = itertools.count(FIRST_KEY)
        self._lock, self._asking, self._learning = (threading.Lock() for _ in range(3))
        self._rows = 0
        self.relay = NurseryRelay(nursery, self.folder / "relay")
        permit = self.relay.permit()
        self.relay.start()
        self.line = Cable(self.relay.port) if line else None
        # The pages come from where the relay is: the audit would take others for changed ones.
        origin = self.line.origin if line else self.relay.origin
        self.has_disk = nursery.has_disks
        self.till = stage.Till(nursery.path(self.folder / "till"), origin, permit=permit)
        self.state = self.till.folder
        self.books = Books(nursery, self.folder / "till" / FILE_NAME)
        self.steps = self.folder / "clock"
        self.slept = 0.0
        self.step(0)
        self.shop = FakeDolibarr()
        self.shop.sell(pdf=False)  # before this till is here: none of its sales
        self._shop_runs = contextlib.ExitStack()
        self._shop_runs.enter_context(self.shop.in_thread())
        self.names = [f"Till {number}" for number in range(1, tills + 1)]
        self.ports, self.inboxes = [], []
        self.console_port, self.hook_port = stage.free_port(), stage.free_port()
        parts = [f'lang = "en"\n[console]\nlisten = "127.0.0.1:{self.console_port}"\n']
        for name in self.names:
            parts += self._configure(name)
        parts.append(
            f'[[source]]\nkind = "dolibarr"\nname = "Dolibarr"\nurl = "{self.shop.url}"\n'
            f'key = "{KEY}"\npoll_seconds = 1\nreceipt = "drawn"\n'
            f'webhook = "127.0.0.1:{self.hook_port}"\nwebhook_secret = "{WEBHOOK_SECRET}"\n'
            f'company = ["Test shop"]\ntills = {{ 1 = "{self.names[0]}" }}\n'
        )
        for name in self.names:
            nursery.run("till", "display", "add", "--link", "--no-wait", name,
                        environment=self.till.environment)  # fmt: skip
        self.till.file.write_text("".join(parts), encoding="utf-8")
        self.process = None
        self.log = self.folder / "agent.log"
        self.cookie = None
        self.over = threading.Event()
        self.displays = [
            Display(self, number, self.relay.port, pairing.secret)
            for number, pairing in enumerate(Displays(self.state).all())
        ]
        self._read_records()

    def _configure(self, name):
        ports = {kind: stage.free_port() for kind in SOURCES if kind != "folder"}
        inbox = self.folder / name
        inbox.mkdir()
        self.ports.append(ports)
        self.inboxes.append(inbox)
        yield f'[[till]]\nname = "{name}"\ndisplay = "{name}"\n'
        for kind in SOURCES:
            yield f'[[source]]\nkind = "{kind}"\nname = "{kind} {name}"\ntill = "{name}"\n'
            if kind == "folder":
                yield f'path = "{inbox}"\nsettle_seconds = 0\nlate_seconds = 3600\n'
            else:
                yield f'listen = "127.0.0.1:{ports[kind]}"\n'
            if kind == "takepos":
                yield f'origin = "{DOLIBARR}"\n'

    def _read_records(self):
        """Read what a real TakePOS has sent."""
        lines = (DATA / "takepos_connector_escpos.jsonl").read_text("utf-8").splitlines()
        recorded = json.loads(lines[1])
        self._path = recorded["path"]
        self._headers = {name: value for name, value in recorded["h"].items() if name != "Host"}
        job = urllib.parse.parse_qs(recorded["body"])["invoice"][0]
        self._job = base64.urlsafe_b64decode(job + "=" * (-len(job) % 4))
        lines = (DATA / "takepos_connector_html.jsonl").read_text("utf-8").splitlines()
        self._html = next(
            each for each in map(json.loads, lines)
            if RECORDED_HTML_NUMBER in each["body"] and each["m"] == "POST"
        )  # fmt: skip

    def __enter__(self):
        self.start()
        self.wait_until_ready()
        for display in self.displays:
            display.start()
        # What Dolibarr sold before it was first asked is not this till's.
        stage.wait_for(lambda: self.shop.asked["invoices"] > 2, "the source's beginning")
        time.sleep(0.5)  # and it is kept before anything breaks
        self._learner = threading.Thread(target=self._learn_always, daemon=True)
        self._learner.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for display in self.displays:
            display.over.set()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.relay.stop()
        if self.line is not None:
            self.line.close()
        self._learner.join(10)
        self.books.close()
        self._shop_runs.close()

    def draw_for(self, key):
        """Chance that is the same for one receipt, whatever else is drawn meanwhile."""
        return random.Random(self.seed * 1_000_003 + (key or 0))

    # The agent

    def start(self):
        ends, logs = socket.socketpair()
        with logs:
            self.process = self.nursery.start(
                "agent", [self.steps, "agent"], environment=self.till.environment, err=logs
            )
        self.starts.append(time.monotonic())
        threading.Thread(target=self._read_log, args=(ends.makefile("rb"), ends),
                         daemon=True).start()  # fmt: skip

    def _read_log(self, stream, end):
        with end, stream, self.log.open("ab") as log:  # no limit of the agent's stops its log
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

    def step(self, wall, slept=0.0):
        """Set the agent's wall clock off by so much; let its computer have slept so long."""
        self.slept += slept
        made = self.steps.with_suffix(".new")
        made.write_text(f"{wall} {self.slept}")
        made.replace(self.steps)

    @contextlib.contextmanager
    def fault(self, kind):
        """A fault that lasts as long as this; what is behind it is told in the table."""
        lasting = Lasting(kind, time.monotonic())
        self.faults.append(lasting)
        try:
            yield
        finally:
            lasting.ended = time.monotonic()

    # Tills

    def sell(self, kind=None, till=None):
        """Send one receipt; return it. It blocks until it is answered, at most 20 s."""
        with self._lock:
            key = next(self._keys)
            kind = kind or self.draw.choices(KINDS, WEIGHTS)[0]
            if kind in ("webhook", "rest", "send"):
                till = 0
            till = self.draw.randrange(len(self.names)) if till is None else till
        sale = Sent(key, kind, till, time.monotonic())
        self.sent[key] = sale
        try:
            if getattr(self, f"_send_{kind}")(sale):
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
        job = self._job.replace(RECORDED_NUMBER, f"TC1-2611-{sale.key}".encode())
        body = "invoice=" + base64.urlsafe_b64encode(job).decode().rstrip("=")
        status, _ = _ask(
            self.ports[sale.till]["takepos"], "POST", self._path, body, self._headers, timeout=20
        )
        return status == 200

    def _send_takepos_html(self, sale):
        text = self._html["body"].replace(RECORDED_HTML_NUMBER, f"TC1-2611-{sale.key}")
        headers = {name: value for name, value in self._html["h"].items() if name != "Host"}
        port = self.ports[sale.till]["takepos"]
        status, _ = _ask(port, "POST", self._html["path"], text.encode(), headers, timeout=20)
        return status == 200

    def _send_rest(self, sale):
        """Sell in Dolibarr, which is asked about it; to have sold is to be owed a receipt."""
        self._pay_in_dolibarr(sale)
        return True

    def _pay_in_dolibarr(self, sale):
        with self._lock:
            self.shop._numbers = iter([sale.key])
            return self.shop.sell(terminal="1", pdf=False)

    def _send_webhook(self, sale):
        row = self._pay_in_dolibarr(sale)
        call = {"triggercode": "BILL_PAYED", "object": {"id": str(row)}}
        with contextlib.suppress(OSError, http.client.HTTPException):
            _ask(self.hook_port, "POST", f"/hook/{WEBHOOK_SECRET}", json.dumps(call))
        return True

    def _send_send(self, sale):
        """Use the command beside the agent; its code is on the till's own screen at once."""
        sale.receipt = _pdf(sale.key)
        file = self.folder / f"Facture FA2611-{sale.key}.pdf"
        file.write_bytes(sale.receipt)
        said = self.folder / f"send-{sale.key}"
        with said.open("wb") as out:
            sending = self.nursery.start(
                "till",
                ["send", "--link", "--number", f"FA2611-{sale.key}", "--timeout", "15", file],
                environment=self.till.environment, out=out, err=out,
            )  # fmt: skip
            code = sending.wait(60)
        text = said.read_text("utf-8")
        link = next((line for line in text.splitlines() if line.startswith("http")), None)
        if code == 0:  # it says that the customer can open it
            secret = Link.parse(link).secret
            for _ in range(40):
                open_as_a_phone(self, secret, sale.key, self.over)
                if sale.opened or self.over.wait(0.5):
                    break
            if not sale.opened:
                self.wrong.append((sale.key, "nothing, though `send` said that it was uploaded"))
        return code == 0 or "kept in the outbox" in text

    def _send_printer(self, sale):
        job = (
            f"\x1b@Test shop\nTicket TC2-2611-{sale.key}\n1 x Tea        3,50\n"
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
        sale.receipt = _pdf(sale.key)
        made.write_bytes(sale.receipt)
        made.rename(self.inboxes[sale.till] / f"Facture FA2611-{sale.key}.pdf")
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self._is_aside(sale):
                return True
            time.sleep(0.1)
        raise TimeoutError

    def look_aside(self, sale):
        """A file that was taken after its till had given up waiting."""
        if sale.kind == "folder" and sale.acknowledged_at is None and self._is_aside(sale):
            sale.acknowledged_at = time.monotonic()

    def _is_aside(self, sale):
        name = f"Facture FA2611-{sale.key}.pdf"
        return (self.inboxes[sale.till] / "sent" / name).exists()

    def _send_ipp(self, sale):
        head = {
            "attributes-charset": values(Tag.CHARSET, "utf-8"),
            "attributes-natural-language": values(Tag.LANGUAGE, "en"),
            "printer-uri": values(Tag.URI, "ipp://127.0.0.1/ipp/print"),
            "requesting-user-name": values(Tag.NAME, "anna"),
            "job-name": values(Tag.NAME, f"Facture FA2611-{sale.key}.pdf"),
        }
        sale.receipt = _pdf(sale.key)
        message = Message((1, 1), PRINT_JOB, sale.key, (Group(Tag.OPERATION, head),))
        status, body = _ask(
            self.ports[sale.till]["ipp"], "POST", "/ipp/print", message.to_bytes() + sale.receipt,
            {"Content-Type": "application/ipp"}, timeout=20,
        )  # fmt: skip
        return status == 200 and read_message(body)[0].code < 0x100

    # What can be seen from outside

    def learn(self):
        """Note which number each receipt has, before its facts are let go."""
        with self._learning:
            self._learn()

    def _learn(self):
        rows = self.books.rows(self._rows)
        now = time.monotonic()
        for number, fields in rows:
            self._rows = max(self._rows, number)
            key = key_of(json.loads(fields).get("number")) if fields else None
            sale = self.sent.get(key)
            if sale is not None and number not in sale.numbers:
                sale.numbers.append(number)
                sale.accepted_at = sale.accepted_at or now

    def learn_anew(self):
        """Take all numbers as new: the outbox is another."""
        with self._learning:
            for sale in list(self.sent.values()):
                sale.numbers.clear()
            self._rows = 0

    def _learn_always(self):
        while not self.over.wait(0.2):
            self.learn()

    def ask_console(self, path):
        """Ask the console for a page, as one browser that comes in when it must."""
        with self._asking:
            status, page = self._ask_console(path)
            if status == 303:  # a stepped clock has ended the session
                self.cookie = None
                status, page = self._ask_console(path)
            return status, page

    def _ask_console(self, path):
        cookie = self.cookie
        if cookie is None:
            token = (self.state / "console.token").read_text().strip()
            form = urllib.parse.urlencode({"token": token})
            origin = f"http://127.0.0.1:{self.console_port}"
            headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"}
            connection = http.client.HTTPConnection("127.0.0.1", self.console_port, timeout=30)
            with contextlib.closing(connection):
                connection.request("POST", "/enter", form, headers)
                answer = connection.getresponse()
                answer.read()
            if answer.status >= 400:
                return answer.status, ""
            cookie = self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        status, body = _ask(self.console_port, "GET", path, headers={"Cookie": cookie}, timeout=30)
        return status, body.decode("utf-8", "replace")

    def till_says(self, till):
        """Return what the page of a till says of its sales: a `Card` by each sale's number."""
        status, page = self.ask_console("/till/" + urllib.parse.quote(self.names[till]))
        if status != 200:  # on a full disk nobody can come in
            raise ConnectionError(f"the console answers {status}")
        return read_cards(page)

    def console_says(self, number):
        """Return what the console says of a sale; None if it is unknown."""
        status, page = self.ask_console(f"/sale/{number}")
        return read_cards(page).get(number) if status == 200 else None

    def troubles(self):
        _, page = self.ask_console("/troubles")
        return _text(page)


@dataclass
class Card:
    """What the console says of one sale: the word, the sentence beside it, the warnings."""

    number: int
    key: int | None
    word: str
    text: str = ""
    warnings: tuple = ()
    is_newest: bool = False
    is_drawn: bool = False

    @property
    def warning(self):
        return self.warnings[0] if self.warnings else ""


def read_cards(page):
    """Read the sales of a page of the console."""
    cards = {}
    piled = re.search(r'<article class="[^"]*pile[^"]*" id="pile">.*?</article>', page, re.DOTALL)
    for number, row in re.findall(r'<a href="/sale/(\d+)" id="row-\d+">(.*?)</a>', page, re.DOTALL):
        word = re.search(r'class="state[^"]*">(.*?)</span>', row, re.DOTALL)
        of = re.search(r'class="number">(.*?)</span>', row, re.DOTALL)
        waits = piled is not None and f'id="row-{number}"' in piled[0]
        cards[int(number)] = Card(
            int(number), key_of(_text(of[1]) if of else ""),
            "Waiting for you" if waits else _text(word[1] if word else ""),
            warnings=("one of those that wait",) if waits else (),
        )  # fmt: skip
    articles = re.findall(
        r'<article class="[^"]*" id="sale-(\d+)">(.*?)</article>', page, re.DOTALL
    )
    for at, (number, inside) in enumerate(articles):
        facts = re.search(r'class="facts">(.*?)</p>', inside, re.DOTALL)
        key = re.search(r"-(\d{5,})(?: |$)", _text(facts[1]) if facts else "")
        line = re.search(r'class="state-line">(.*?)</p>', inside, re.DOTALL)
        word = re.search(r'class="state[^"]*">(.*?)</span>', line[1], re.DOTALL)
        warning = re.search(r"<h2[^>]*>(.*?)</h2>", inside, re.DOTALL)
        also = re.search(r'<ul class="also">(.*?)</ul>', inside, re.DOTALL)
        items = re.findall(r"<li>(.*?)</li>", also[1], re.DOTALL) if also else []
        has_warning = 'class="warning"' in inside
        cards[int(number)] = Card(
            int(number), int(key[1]) if key else None, _text(word[1]),
            _text(line[1][word.end():]),
            tuple(map(_text, [*([warning[1]] if has_warning and warning else []), *items])),
            at == 0,
            'class="qr"' in inside,
        )  # fmt: skip
    return cards


def _text(markup):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def _reading():
    return Reading(time.time(), time.monotonic())


def key_of(number):
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
