"""The real parts on one machine: a relay, a till, a browser; for the tests that play a sale.

Everything is a process of its own, as a user runs it; nothing is patched.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import browsers
import pytest

from e2ee_ticket import Link, Secret, seal
from e2ee_ticket.protocol.channel import PairingLink, PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.till.displays import Displays, Pairing

BIN = Path(sys.executable).parent
INVOICE = Path(__file__).parent / "data/dolibarr_takepos_invoice.pdf"
"""The A4 invoice that a stock Dolibarr made for a TakePOS sale."""
IN_CI = os.environ.get("CI") == "true"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def missing(what, install):
    """Fail in CI, skip elsewhere with the command that installs what is missing."""
    reason = f"{what} is not here; install it: {install}"
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def find_chromium():
    install = "apt-get install -y --no-install-recommends chromium, or playwright install chromium"
    return browsers.find("chromium") or missing("Chromium", install)


def find_headless_chromium():
    """Find the same engine without windows where there is one: pages open in half the time."""
    return browsers.find("chromium-headless-shell") or find_chromium()


_PORTS = itertools.cycle(range(3_000))


def free_port():
    """Find a port for a server that is to start a moment later, perhaps more than once.

    Not one of those that the system gives to outgoing connections, and each test process in a
    range of its own: between finding a port and listening on it nobody else may take it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in _PORTS:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", 20_000 + 3_000 * (worker % 4) + port))
            return listener.getsockname()[1]
    raise AssertionError("no free port")


def wait_for(condition, what, seconds=20.0):
    """Poll until a condition holds; the limit is for a broken build, not a measurement."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


@contextlib.contextmanager
def ended_on_failure(process):
    """End a program whose start does not become what it should, so that it outlives no test."""
    try:
        yield
    except BaseException:
        process.kill()
        process.wait()
        raise


def listens(port):
    """Tell whether anybody listens at a port of this computer."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


class Relay:
    """A relay process on a fixed port and database, that can be killed and started again."""

    def __init__(self, folder, *arguments, pages=True):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.database = self.folder / "relay.sqlite"
        self.store = ["--db", self.database]
        self.log = self.folder / "relay.log"
        self.arguments = [*arguments, *(["--pages"] if pages else [])]
        self.process = None

    def start(self):
        log = self.log.open("ab")
        self.process = subprocess.Popen(
            [BIN / "relay-server", "--listen", f"127.0.0.1:{self.port}", *self.store,
             *self.arguments],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log.close()
        with ended_on_failure(self.process):
            wait_for(self.answers, "the relay's start")
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("the relay ended: " + self.log.read_text())
        return listens(self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def go_on(self):
        """Start it again if it was begun and is not there any more."""
        if self.process is not None and self.process.poll() is not None:
            self.start()

    def restart(self):
        """As a power cut does it: without a chance to say goodbye."""
        self.kill()
        return self.start()

    def edit(self, statement, *values):
        """Change the database of a relay that is stopped."""
        connection = sqlite3.connect(self.database)
        try:
            with connection:
                changed = connection.execute(statement, values).rowcount
        finally:
            connection.close()
        assert changed == 1

    def look(self, statement, *values):
        """Read one row of the database of a relay that is stopped."""
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(statement, values).fetchone()
        finally:
            connection.close()

    def request(self, method, path, body=None, **headers):
        """Ask the relay something; return status and body."""
        request = urllib.request.Request(
            self.origin + path,
            data=body,
            method=method,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def keep(self, ticket, *, permit, page=None):
        """Seal a ticket, upload it as a till does, and return its link."""
        link = Link(page or self.origin, Secret.generate())
        assert self.upload(link, ticket, permit=permit) == 201
        return link

    def upload(self, link, ticket, *, permit):
        path = f"/v1/t/{link.secret.id}"
        envelope = seal(ticket, link.secret)
        status, _ = self.request("PUT", path, envelope, Authorization=f"Bearer {permit}")
        return status

    def mark(self, link, state):
        path = f"/v1/t/{link.secret.id}/state"
        status, _ = self.request("POST", path, link.secret.token() + state.encode())
        return status

    def state(self, link):
        token = link.secret.token().hex()
        path = f"/v1/t/{link.secret.id}/state"
        status, body = self.request("GET", path, Authorization=f"Bearer {token}")
        return json.loads(body)["state"] if status == 200 else status

    def permit(self, name="Till 1"):
        done = subprocess.run(
            [BIN / "relay-server", "permit", "add", "--new", name, *self.store],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()


class Till:
    """A till's own folder, configuration file (empty) and environment, and its command."""

    def __init__(self, folder, relay=None, *, permit=None, page=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "config.toml"
        self.file.touch()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("E2EE_TICKET_", "XDG_"))
        } | {
            "HOME": str(self.folder),
            "E2EE_TICKET_CONFIG": str(self.file),
            "PYTHONUNBUFFERED": "1",
        }
        if relay:
            self.environment["E2EE_TICKET_RELAY"] = relay
        if permit:
            self.environment["E2EE_TICKET_PERMIT"] = permit
        if page:
            self.environment["E2EE_TICKET_PAGE"] = page

    def run(self, *arguments, stdin="", check=True):
        done = subprocess.run(
            [BIN / "e2ee-ticket", *arguments],
            env=self.environment, cwd=self.folder, input=stdin, check=False,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
        return done

    def popen(self, *arguments, **options):
        return subprocess.Popen(
            [BIN / "e2ee-ticket", *arguments],
            env=self.environment, cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip


def pair(state, relay, name="Front"):
    """Pair a display of which nothing else is needed; `relay.leave` is a permit of the relay."""
    pairing = Pairing(name, PairingSecret.generate(), WriteToken.generate())
    Displays(state).keep(pairing)
    body = registration(pairing.secret, pairing.token)
    status, _ = relay.request(
        "PUT", f"/v1/c/{pairing.secret.cid}", body, Authorization=f"Bearer {relay.leave}"
    )
    assert status == 201
    return pairing


class Sale:
    """A `send --json` that runs, the events it has told so far and what it said beside them."""

    def __init__(self, till, *arguments):
        self.process = till.popen("send", "--json", *arguments)
        self.events = []
        self.said = ""
        self._text = ""
        for stream in (self.process.stdout, self.process.stderr):
            os.set_blocking(stream.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def read(self):
        """Return the events so far."""
        self.said += _read_now(self.process.stderr)
        self._text += _read_now(self.process.stdout)
        *lines, self._text = self._text.split("\n")
        self.events += [json.loads(line) for line in lines if line]
        return self.events

    @property
    def states(self):
        return [event["state"] for event in self.read()]

    def wait_for_state(self, state, seconds=20.0):
        return wait_for(
            lambda: next((event for event in self.read() if event["state"] == state), None),
            f"the till's event {state!r} (told so far: {self.events}, {self.said!r})",
            seconds,
        )

    def wait_for_word(self, text, seconds=20.0):
        """Wait until it has said something on stderr."""

        def heard():
            self.read()
            return text in self.said

        wait_for(heard, f"the till's word {text!r} (told so far: {self.said!r})", seconds)

    def stop(self):
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self, seconds=20.0):
        """Wait for its end; return its exit code and all it said on stderr."""
        code = self.process.wait(seconds)
        with self:
            self.read()
        return code, self.said


def _read_now(stream):
    if stream.closed:
        return ""
    with contextlib.suppress(TypeError, BlockingIOError):
        return stream.read() or ""
    return ""


def zbar():
    """Return the second reader of QR codes, whose library is the system's."""
    try:
        from pyzbar import pyzbar
    except ImportError:
        missing("zbar", "apt-get install -y --no-install-recommends libzbar0")
    return pyzbar


def read_qr(png):
    """Read the QR codes of a picture with two independent readers; they must agree."""
    import io

    import PIL.Image
    import zxingcpp

    pyzbar = zbar()
    picture = PIL.Image.open(io.BytesIO(png)).convert("L")
    first = {found.text for found in zxingcpp.read_barcodes(picture)}
    second = {found.data.decode() for found in pyzbar.decode(picture)}
    assert first == second
    return next(iter(first), None)


class Counter:
    """The till's side of one display, driven by the real screen in a thread of its own."""

    def __init__(self, relay, *, permit, idle=None, display_count=1):
        self.pairing = Pairing("Counter", PairingSecret.generate(), WriteToken.generate())
        self.notices = []
        self._relay, self._permit = relay, permit
        self._idle = idle or Content.idle()
        self._display_count = display_count
        self._stop = None
        self._loop = None
        self._screen = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _run(self):
        from e2ee_ticket.client import RelayClient
        from e2ee_ticket.till.clock import SystemClock
        from e2ee_ticket.till.screen import Screen

        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with RelayClient(self._relay, permit=self._permit) as client:
            secret, token = self.pairing.secret, self.pairing.token
            await client.register(secret.cid, registration(secret, token))
            self._screen = Screen(
                client, self.pairing, self._idle, SystemClock(),
                display_count=self._display_count, report=self.notices.append,
            )  # fmt: skip
            async with self._screen:
                self._ready.set()
                await self._stop.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def link(self, page):
        return PairingLink(page, self.pairing.secret).reveal()

    def show(self, content):
        self._loop.call_soon_threadsafe(self._screen.show, content)

    def thank(self):
        self._loop.call_soon_threadsafe(self._screen.thank)

    def clear(self):
        self._loop.call_soon_threadsafe(self._screen.clear)

    @property
    def shown(self):
        """Whether the display has confirmed what is to be shown."""
        return self._screen.shown

    def wait_until_shown(self):
        wait_for(lambda: self._screen.shown, "the display's confirmation")

    def settle(self):
        """Wait until every hello was judged by what is to be shown now."""
        judging = asyncio.run_coroutine_threadsafe(self._screen.settle(20), self._loop)
        return judging.result(30)

    def unpair(self):
        """End the channel at the relay, as `display remove` does."""
        from e2ee_ticket.client import RelayClient

        async def end():
            async with RelayClient(self._relay, permit=self._permit) as client:
                await client.unpair(self.pairing.secret.cid, self.pairing.token.reveal())

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(20)


ID = re.compile(r"[0-9a-f]{32}")
LINK = re.compile(r"https?://[^/]+/#[0-9]{85}")
