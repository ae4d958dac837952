"""The real parts on one machine: a relay, a till, a browser; for the tests that play a sale.

Everything is a process of its own, as a user runs it; nothing is patched.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
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
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    return missing("Chromium", "apt-get install -y --no-install-recommends chromium")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(condition, what, seconds=20.0):
    """Poll until a condition holds; the limit is for a broken build, not a measurement."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


class Relay:
    """A relay process on a fixed port and database, that can be killed and started again."""

    def __init__(self, folder, *arguments, pages=True):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.database = self.folder / "relay.sqlite"
        self.log = self.folder / "relay.log"
        self.arguments = [*arguments, *(["--pages"] if pages else [])]
        self.process = None

    def start(self):
        log = self.log.open("ab")
        self.process = subprocess.Popen(
            [BIN / "relay-server", "--listen", f"127.0.0.1:{self.port}", "--db", self.database,
             *self.arguments],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log.close()
        wait_for(self.answers, "the relay's start")
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("the relay ended: " + self.log.read_text())
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def permit(self, name="Till 1"):
        done = subprocess.run(
            [BIN / "relay-server", "permit", "add", name, "--db", self.database],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()


class Till:
    """A till's own folder and environment, and its command."""

    def __init__(self, folder, relay, *, permit=None, page=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("E2EE_TICKET_", "XDG_"))
        } | {
            "HOME": str(self.folder),
            "E2EE_TICKET_CONFIG": str(self.folder / "config.toml"),
            "E2EE_TICKET_RELAY": relay,
            "PYTHONUNBUFFERED": "1",
        }
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


class Sale:
    """A `send --json` that runs, and the events it has told so far."""

    def __init__(self, till, *arguments):
        self.process = till.popen("send", "--json", *arguments)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.events = []
        self._text = ""

    def read(self):
        with contextlib.suppress(TypeError, BlockingIOError):
            self._text += self.process.stdout.read() or ""
        *lines, self._text = self._text.split("\n")
        self.events += [json.loads(line) for line in lines if line]
        return self.events

    def wait_for_state(self, state, seconds=20.0):
        return wait_for(
            lambda: next((event for event in self.read() if event["state"] == state), None),
            f"the till's event {state!r} (told so far: {self.events})",
            seconds,
        )

    def end(self, seconds=20.0):
        code = self.process.wait(seconds)
        self.read()
        return code, self.process.stderr.read()


def read_qr(png):
    """Read the QR codes of a picture with two independent readers; they must agree."""
    import io

    import PIL.Image
    import zxingcpp

    try:
        from pyzbar import pyzbar
    except ImportError:
        missing("zbar", "apt-get install -y --no-install-recommends libzbar0")
    picture = PIL.Image.open(io.BytesIO(png)).convert("L")
    first = {found.text for found in zxingcpp.read_barcodes(picture)}
    second = {found.data.decode() for found in pyzbar.decode(picture)}
    assert first == second
    return next(iter(first), None)


LINK = re.compile(r"https?://[^/]+/#[0-9]{85}")
