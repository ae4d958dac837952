"""A page in a real browser makes the browser connect to port 9100, in every way there is."""

import asyncio
import contextlib
import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stage
from keeper import Keeper

from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.printer import Printer

pytestmark = pytest.mark.browser

RECEIPT = "\\x1b@\\n\\nTOTAL 12,50\\n\\x1dV\\x00"
# Each way ends when the browser has given it up, or after a while; `at` is host and port.
WAYS = {
    "fetch": "fetch('http://' + at + '/?' + text, {mode: 'no-cors'})",
    "a post": "fetch('http://' + at, {method: 'POST', mode: 'no-cors', body: text})",
    "a post of some kilobytes": (
        "fetch('http://' + at, {method: 'POST', mode: 'no-cors', body: text.repeat(5000)})"
    ),
    "a method of its own": "fetch('http://' + at, {method: 'TOTAL', body: text})",
    "a long address": "fetch('http://' + at + '/' + 'a'.repeat(100000), {mode: 'no-cors'})",
    "https": "fetch('https://' + at, {mode: 'no-cors'})",
    "a beacon": "Promise.resolve(navigator.sendBeacon('http://' + at, text))",
    "an image": """new Promise((done) => {
        const image = new Image();
        image.onload = image.onerror = done;
        image.src = 'http://' + at + '/receipt.png';
    })""",
    "a form": """new Promise((done) => {
        const form = document.createElement('form');
        Object.assign(form, {method: 'POST', action: 'http://' + at, enctype: 'text/plain'});
        const frame = document.createElement('iframe');
        frame.name = form.target = 'frame';
        const field = document.createElement('input');
        field.name = text;
        form.append(field);
        document.body.append(frame, form);
        form.submit();
        setTimeout(done, 300);
    })""",
    "a web socket": """new Promise((done) => {
        const socket = new WebSocket('ws://' + at, ['TOTAL']);
        socket.onopen = socket.onerror = done;
    })""",
    "a web socket with TLS": """new Promise((done) => {
        const socket = new WebSocket('wss://' + at);
        socket.onopen = socket.onerror = done;
    })""",
    "turn over tcp": "gather('turn:' + at + '?transport=tcp')",
    "turn over tls": "gather('turns:' + at + '?transport=tcp')",
    "ice over tcp": "connect(at, 'tcp')",
}
NEEDS_A_NETWORK = {"ice over tcp"}
"""On a computer with none but itself the browser sends nothing; unit tests have the bytes."""

WEBRTC = """
const gather = async (url) => {
  const peer = new RTCPeerConnection({
    iceServers: [{urls: url, username: text, credential: text}], iceTransportPolicy: 'relay',
  });
  peer.createDataChannel(text);
  await peer.setLocalDescription();
  await new Promise((done) => {
    peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done();
    setTimeout(done, 4000);
  });
  peer.close();
};
const connect = async (at, protocol) => {
  const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
  one.createDataChannel('');
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  const [host, port] = at.split(':');
  await one.addIceCandidate({
    candidate: `candidate:1 1 ${protocol} 2105458943 ${host} ${port} typ host tcptype passive`,
    sdpMid: '0',
  });
  await new Promise((done) => setTimeout(done, 2500));
  one.close();
  other.close();
};
"""


class Counter(Keeper):
    """A printer on an event loop of its own, and what came of it."""

    def __init__(self):
        super().__init__()
        self.port = stage.free_port()
        # Every refusal is told: to this clock, more than a minute lies between two looks.
        shop = Shop("Shop", "en", itertools.count(1_800_000_000, 61).__next__)
        self._source = Printer("counter", shop, listen=f"127.0.0.1:{self.port}", idle_seconds=0.2)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def refused(self):
        return [trouble for trouble in self.troubles if trouble is not None]

    def _run(self):
        self._task = self._loop.create_task(self._source.run(self))
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def __enter__(self):
        self._thread.start()
        stage.wait_for(lambda: self.troubles, "the printer's start")
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


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def chromium(playwright):
    """One that uses WebRTC on a computer with no network, too."""
    browser = playwright.chromium.launch(
        executable_path=stage.find_headless_chromium(),
        args=[*stage.CHROMIUM_ARGUMENTS, "--allow-loopback-in-peer-connection"],
    )
    yield browser
    browser.close()


@pytest.mark.parametrize("way", WAYS)
def test_no_page_prints_and_the_cashier_is_told(chromium, site, way):
    with Counter() as counter, contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        page.goto(site)
        page.evaluate(
            f"(async (at) => {{ const text = '{RECEIPT}'; {WEBRTC}"
            f" try {{ await {WAYS[way]} }} catch (error) {{ }} }})",
            f"127.0.0.1:{counter.port}",
        )
        if way not in NEEDS_A_NETWORK:
            stage.wait_for(lambda: counter.refused, "what the browser sent")

    assert counter.arrivals == []
    assert {told.text for told in counter.refused} <= {
        "what is no till tried to print here and was refused"
    }
