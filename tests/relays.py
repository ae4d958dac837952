"""Relays for tests: one in this process on the real HTTP server, and one as a program."""

import asyncio
import binascii
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import relay_fakes
from yarl import URL

from relay_server import permits
from relay_server.app import create_app

KIB = 1024
TOKEN = b"t" * 32
TICKET_ID = "00112233445566778899aabbccddeeff"
CID = "ffeeddccbbaa99887766554433221100"
READ_TOKEN = b"r" * 32
WRITE_TOKEN = b"w" * 32


def make_envelope(*, size=16 * KIB, token=TOKEN, fill=b"\x00"):
    """Return bytes that a relay takes for an envelope; it cannot tell the difference."""
    head = b"tkt/v1\r\n" + hashlib.sha256(token).digest()
    return head + (fill * size)[: size - len(head)]


def make_registration(*, read_token=READ_TOKEN, write_token=WRITE_TOKEN):
    hashes = hashlib.sha256(read_token).digest() + hashlib.sha256(write_token).digest()
    return b"dsp/v1\r\n" + hashes


def make_hello(number=0):
    return bytes([number]) * 80


def hid(hello):
    return hashlib.sha256(hello).hexdigest()[:32]


def base64(data):
    return binascii.b2a_base64(data, newline=False).decode()


def bearer(token):
    return {"Authorization": "Bearer " + (token if isinstance(token, str) else token.hex())}


@dataclass
class Answer:
    status: int
    headers: object
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The type of a refusal without its prefix."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        assert self.json["title"]
        prefix, _, code = self.json["type"].rpartition(":")
        assert prefix == "urn:e2ee-ticket"
        return code


class Caller:
    """Talks to one relay."""

    def __init__(self, session, address, permit):
        self._session = session
        self.host, self.port = address
        self.permit = permit
        self.origin = f"http://{self.host}:{self.port}"

    async def __call__(self, method, path, body=None, headers=None, **more):
        if isinstance(body, bytes) and len(body) > 1024 * KIB:
            body = io.BytesIO(body)  # aiohttp's client wants large bodies so
        async with self._session.request(
            method, URL(self.origin + path, encoded=True), data=body, headers=headers, **more
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    def start(self, *args, **kwargs):
        """Make a request that somebody will wait for later."""
        return asyncio.ensure_future(self(*args, **kwargs))

    async def put(self, envelope=None, *, ticket_id=TICKET_ID, ttl=None):
        headers = bearer(self.permit) if self.permit else {}
        if ttl is not None:
            headers["Ticket-TTL"] = str(ttl)
        return await self("PUT", f"/v1/t/{ticket_id}", envelope or make_envelope(), headers)

    async def get(self, *, ticket_id=TICKET_ID):
        return await self("GET", f"/v1/t/{ticket_id}")

    async def post(self, word, *, ticket_id=TICKET_ID, token=TOKEN):
        return await self("POST", f"/v1/t/{ticket_id}/state", token + word.encode())

    async def state(self, *, ticket_id=TICKET_ID, token=TOKEN, **query):
        return await self("GET", f"/v1/t/{ticket_id}/state", headers=bearer(token), params=query)

    async def register(self, registration=None, *, cid=CID):
        headers = bearer(self.permit) if self.permit else {}
        return await self("PUT", f"/v1/c/{cid}", registration or make_registration(), headers)

    async def unpair(self, *, cid=CID, token=WRITE_TOKEN):
        return await self("DELETE", f"/v1/c/{cid}", headers=bearer(token))

    async def hello(self, hello=None, *, cid=CID, token=READ_TOKEN):
        return await self("POST", f"/v1/c/{cid}/hello", token + (hello or make_hello()))

    async def poll(self, *, cid=CID, token=WRITE_TOKEN, etag=None, **query):
        headers = bearer(token)
        if etag is not None:
            headers["If-None-Match"] = etag
        return await self("GET", f"/v1/c/{cid}/hello", headers=headers, params=query)

    async def seal(self, hello=None, *, sealed=b"s" * 512, cid=CID, token=WRITE_TOKEN):
        path = f"/v1/c/{cid}/hello/{hid(hello or make_hello())}"
        return await self("PUT", path, sealed, bearer(token))

    async def raw(self, request):
        """Send bytes on a connection of their own; return everything that comes back."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


class Relay:
    """A relay in this process, and somebody who calls it."""

    def __init__(self, app, store, clock, call):
        self.app = app
        self.store = store
        self.clock = clock
        self.call = call

    @property
    def waiting(self):
        return self.store._waiting


@asynccontextmanager
async def serve(config, store, clock, **more):
    """Serve a store until the block ends; it stays open."""
    permit = None
    if not config.open:
        permit = permits.generate()
        await store.add_permit("the tests", permits.digest(permit), today=0)
    app = create_app(config, store, clock, **more)
    # No limit on connections: a limit would let tests wait for themselves.
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        app.serve("127.0.0.1", 0) as address,
    ):
        # The first sweep is over, so that no test moves the clock in its middle.
        await relay_fakes.until(lambda: app.sweeper.passes)
        yield Relay(app, store, clock, Caller(session, address, permit))


class RelayProgram:
    """The command, as an operator starts it."""

    def __init__(self, *arguments, environment=None, prefix=()):
        clean = {key: text for key, text in os.environ.items() if not key.startswith("RELAY_")}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "relay_server", *arguments],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean | (environment or {}),
        )
        self.lines = []
        self.origin = None
        for line in self.process.stderr:
            self.lines.append(line.decode())
            found = re.search(r"listening on (http://[\w.:\[\]]+)", self.lines[-1])
            if found:
                self.origin = found[1]
                break
        # Somebody must read on, or the program would stop when the pipe is full.
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode())

    @property
    def address(self):
        host, port = self.origin.removeprefix("http://").rsplit(":", 1)
        return host, int(port)

    def stop(self, number=signal.SIGTERM):
        """Send a signal and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(20)
        self._reading.join(20)
        self.process.stderr.close()
        self.process.stdout.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)


def run_command(*arguments, environment=None):
    """Run the command to its end."""
    clean = {key: text for key, text in os.environ.items() if not key.startswith("RELAY_")}
    return subprocess.run(
        [sys.executable, "-m", "relay_server", *arguments],
        capture_output=True,
        text=True,
        env=clean | (environment or {}),
        timeout=60,
        check=False,
    )
