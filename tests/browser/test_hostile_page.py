"""TakePOS in a real browser prints here; no other page open in it can print, or learn anything."""

import asyncio
import contextlib
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stage
from keeper import Keeper

from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.takepos import TakePos

pytestmark = pytest.mark.browser

DATA = Path(__file__).parents[1] / "data"
HTML = json.loads((DATA / "takepos_connector_html.jsonl").read_text().splitlines()[0])
DISPLAY, ESCPOS = map(
    json.loads, (DATA / "takepos_connector_escpos.jsonl").read_text().splitlines()
)

# As jQuery's $.ajax does, which TakePOS calls.
AJAX = """
([method, url, body]) => new Promise((done) => {
  const request = new XMLHttpRequest();
  request.open(method, url);
  if (body) {
    request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded; charset=UTF-8');
  }
  request.onloadend = () => done([request.status, request.responseText]);
  request.send(body);
})
"""

# Each way ends with what the page could read; an empty text is nothing.
ATTACKS = {
    "fetch": "fetch(url + '/print', {method: 'POST', body}).then((r) => r.text())",
    "fetch with a header": (
        "fetch(url + '/print', {method: 'POST', body, headers: {'X-A': 'b'}}).then((r) => r.text())"
    ),
    "fetch without cors": (
        "fetch(url + '/print', {method: 'POST', mode: 'no-cors', body})"
        ".then((r) => r.text().then((text) => r.type === 'opaque' ? text : r.type))"
    ),
    "fetch without a referrer": (
        "fetch(url + '/print', {method: 'POST', mode: 'no-cors', referrerPolicy: 'no-referrer',"
        " body}).then((r) => r.text())"
    ),
    "fetch of what it is": "fetch(url + '/').then((r) => r.text())",
    "a request as TakePOS makes it": """new Promise((done) => {
        const request = new XMLHttpRequest();
        request.open('POST', url + '/printer/index.php');
        request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
        request.onloadend = () => done(request.responseText);
        request.send(invoice);
    })""",
    "a beacon": "(navigator.sendBeacon(url + '/print', body), '')",
    "a form": """new Promise((done) => {
        const frame = document.createElement('iframe');
        frame.name = 'f' + Math.random();
        document.body.append(frame);
        const form = document.createElement('form');
        form.method = 'POST';
        form.action = url + '/print';
        form.target = frame.name;
        form.enctype = 'text/plain';
        const field = document.createElement('input');
        field.name = body;
        form.append(field);
        document.body.append(form);
        frame.onload = () => {
            try { done(frame.contentDocument.body.textContent); } catch (error) { done(''); }
        };
        form.submit();
    })""",
    "an image": """new Promise((done) => {
        const image = new Image();
        image.onload = () => done('loaded');
        image.onerror = () => done('');
        image.src = url + '/display/index.php?text=owned';
    })""",
    "the drawer as an image": """new Promise((done) => {
        const image = new Image();
        image.onload = () => done('loaded');
        image.onerror = () => done('');
        image.src = url + '/printer/drawer.php';
    })""",
    "a script": """new Promise((done) => {
        const script = document.createElement('script');
        script.onload = () => done('loaded');
        script.onerror = () => done('');
        script.src = url + '/display/index.php?text=owned';
        document.body.append(script);
    })""",
    "a frame": """new Promise((done) => {
        const frame = document.createElement('iframe');
        frame.onload = () => {
            try { done(frame.contentDocument.body.textContent); } catch (error) { done(''); }
        };
        frame.src = url + '/display/index.php?text=owned';
        document.body.append(frame);
    })""",
    "a page of no origin": """new Promise((done) => {
        const frame = document.createElement('iframe');
        frame.sandbox = 'allow-scripts';
        frame.srcdoc = '<script>fetch(' + JSON.stringify(url + '/print') +
            ', {method: "POST", body: "opendrawer"}).then((r) => r.text()).catch(() => "")' +
            '.then((text) => parent.postMessage(text, "*"))</' + 'script>';
        addEventListener('message', (event) => done(event.data), {once: true});
        document.body.append(frame);
    })""",
    "a stream of events": """new Promise((done) => {
        const stream = new EventSource(url + '/display/index.php?text=owned');
        stream.onopen = () => done('open');
        stream.onerror = () => { stream.close(); done(''); };
    })""",
    "a web socket": """new Promise((done) => {
        const socket = new WebSocket(url.replace('http', 'ws') + '/display/index.php?text=owned');
        socket.onopen = () => done('open');
        socket.onerror = () => done('');
    })""",
}
QUIET = {"fetch of what it is"}
"""Nothing would happen, and so nobody is told."""


class Counter(Keeper):
    """The agent's side: TakePOS' source on an event loop of its own, and what came of it."""

    def __init__(self, origin):
        super().__init__()
        self.shown, self.drawers = [], 0
        self.port = stage.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Every refusal is reported: to this clock, more than a minute lies between two looks.
        shop = Shop(
            name="Épicerie du Test", lang="fr", now=itertools.count(1_800_000_000, 61).__next__
        )
        self._source = TakePos("counter", shop, origin=origin, listen=f"127.0.0.1:{self.port}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def live(self, lines, till=None):  # noqa: ARG002
        self.shown.append(list(lines))

    def drawer(self, till=None):  # noqa: ARG002
        self.drawers += 1

    @property
    def refused(self):
        return [trouble.text for trouble in self.troubles if trouble is not None]

    def _run(self):
        self._task = self._loop.create_task(self._source.run(self))
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def __enter__(self):
        self._thread.start()
        stage.wait_for(lambda: self.troubles, "the source's start")
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(20)


class Page(BaseHTTPRequestHandler):
    """An empty page of any site."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title><body>")

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    """Serve empty pages; gives the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def dolibarr(site):
    return f"http://127.0.0.1:{site}"


@pytest.fixture
def counter(dolibarr):
    with Counter(dolibarr) as standing:
        yield standing


@pytest.fixture
def page(chromium):
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def print_receipt(page, counter, dolibarr):
    """Print as TakePOS does."""
    page.goto(dolibarr)
    return page.evaluate(AJAX, ["POST", counter.url + "/print", HTML["body"]])


def attack(page, url, way):
    script = f"(async ([url, body, invoice]) => {ATTACKS[way]})"
    try:
        return page.evaluate(script, [url, HTML["body"], ESCPOS["body"]])
    except Exception as error:
        if "Failed to fetch" not in str(error):
            raise
        return ""


def test_takepos_prints_its_page(page, counter, dolibarr):
    assert print_receipt(page, counter, dolibarr) == [200, "ok\n"]

    (arrival,) = counter.arrivals
    assert arrival.ticket.number == "TC1-2611-0009"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_takepos_prints_for_a_printer_and_shows_the_total(page, counter, dolibarr, host):
    url = f"http://{host}:{counter.port}"
    page.goto(dolibarr)

    answers = [
        page.evaluate(AJAX, ["GET", url + DISPLAY["path"], ""]),
        page.evaluate(AJAX, ["POST", url + "/printer/index.php", ESCPOS["body"]]),
        page.evaluate(AJAX, ["POST", url + "/printer/drawer.php", "opendrawer"]),
    ]

    assert answers == [[200, "ok\n"]] * 3
    assert counter.shown == [["Total TTC", "54,64"]]
    assert counter.drawers == 1
    assert [arrival.ticket.number for arrival in counter.arrivals] == ["TC1-2611-0010"]


# The same computer and port but for the name; another site; a page that is served securely.
@pytest.mark.parametrize("host", ["localhost", "evil.localhost"])
def test_no_other_page_prints_or_reads(page, counter, dolibarr, site, host):
    page.goto(f"http://{host}:{site}")

    read = {way: attack(page, counter.url, way) for way in ATTACKS}

    assert read == dict.fromkeys(ATTACKS, "")
    loud = len(ATTACKS) - len(QUIET)
    stage.wait_for(lambda: len(counter.refused) >= loud, "the refusal of each attack")
    assert counter.arrivals == []
    assert (counter.shown, counter.drawers) == ([], 0)
    assert f"a page of http://{host}:{site} tried to print here and was refused" in counter.refused

    print_receipt(page, counter, dolibarr)
    assert len(counter.arrivals) == 1


def go_outside(page, origin):
    """Open an empty page of the internet, which the user lets reach this computer."""
    page.route(origin + "/", lambda route: route.fulfill(body="<body>", content_type="text/html"))
    page.context.grant_permissions(["local-network-access"], origin=origin)
    page.goto(origin + "/")


def test_a_page_from_outside_prints_and_reads_nothing(page, counter):
    go_outside(page, "https://evil.example")

    ways = ["a beacon", "an image", "fetch", "fetch without cors", "a request as TakePOS makes it"]
    read = [attack(page, counter.url, way) for way in ways]

    assert read == [""] * len(ways)
    stage.wait_for(lambda: len(counter.refused) >= len(ways), "the refusal of each attack")
    assert (counter.arrivals, counter.shown) == ([], [])
    page_named = "a page of https://evil.example tried to print here and was refused"
    assert page_named in counter.refused


def test_a_dolibarr_that_is_hosted_prints_here(page):
    with Counter("https://dolibarr.example") as counter:
        go_outside(page, "https://dolibarr.example")
        answer = page.evaluate(AJAX, ["POST", counter.url + "/print", HTML["body"]])

    assert answer == [200, "ok\n"]
    assert len(counter.arrivals) == 1


def test_a_name_that_was_made_to_lead_here_is_not_served(page, counter):
    page.goto(f"http://evil.localhost:{counter.port}/")
    assert "called by that name" in page.content()

    answer = page.evaluate(AJAX, ["POST", "/print", HTML["body"]])
    shown = page.evaluate(AJAX, ["GET", "/display/index.php?text=owned", ""])

    assert [answer[0], shown[0]] == [403, 403]
    assert counter.arrivals == []
    assert counter.shown == []


def test_an_address_that_is_typed_in_shows_what_listens(page, counter):
    page.goto(counter.url)
    assert "e2ee-ticket takepos" in page.content()

    page.goto(counter.url + "/display/index.php?text=typed")
    assert counter.shown == []
