"""Coverage-guided fuzzing of everything that a relay reads of a request: `make soak`.

    python tests/soak/fuzz_relay.py TARGET [libFuzzer options, such as -max_total_time=600]

The bytes go in where those of a connection do, without a socket. Whatever they are, the relay
answers as its specification says, never with 500, and logs no fault; all else is a finding.
"""

import asyncio
import json
import logging
import re
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path

from fuzzing import instrumented, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with instrumented("relay_server"):
    from relay_server.app import create_app
    from relay_server.config import Config
    from relay_server.connections import Server
    from relay_server.headers import COMMON, PROBLEMS
    from relay_server.stores import store_limits

from memory_store import MemoryStore
from relay_fakes import Clock, Line

SIZE = 16 * 1024
CONFIG = Config(open=True)
WITHOUT_ROOM = Config(open=True, uploads_max=0)
NAME = "0" * 32
TOKEN, READ, WRITE = b"t" * 32, b"r" * 32, b"w" * 32
REGISTRATION = b"dsp/v1\r\n" + sha256(READ).digest() + sha256(WRITE).digest()
HELLO = b"h" * 80
HID = sha256(HELLO).hexdigest()[:32]
ENVELOPE = b"tkt/v1\r\n" + sha256(TOKEN).digest() + bytes(SIZE - 40)
TURNS = 16
"""Of the event loop: none of these requests needs as many, unless it waits for more."""

faults = []


class Faults(logging.Handler):
    """What the relay logs when it has made a mistake."""

    def emit(self, record):
        if record.levelno >= logging.ERROR:
            faults.append(record.getMessage())


class Caller:
    """Somebody who speaks to a relay that has nothing stored yet."""

    def __init__(self, config=CONFIG):
        clock = Clock()
        store = MemoryStore(clock=clock, limits=store_limits(config))
        app = create_app(config, store, clock)
        self.server = Server(app, app.answer, app.connections)

    async def say(self, *pieces):
        """Send bytes on a connection of their own; return the answers."""
        protocol = self.server()
        line = Line(protocol)
        protocol.connection_made(line)
        for piece in pieces:
            if not line.closed:
                protocol.data_received(piece)
            await turn()
        line.close()
        await turn()
        return answers(line.written)

    async def ask(self, method, path, body=None, **headers):
        lines = [f"{method} {path} HTTP/1.1", "Host: relay"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        lines += [] if body is None else [f"Content-Length: {len(body)}"]
        found = await self.say("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        assert len(found) <= 1, found
        return found[0] if found else (None, b"")


async def turn():
    for _ in range(TURNS):
        await asyncio.sleep(0)


def answers(data):
    """Cut bytes into answers, each of which looks as every answer must (R1, R2)."""
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        status = int(re.fullmatch(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+", head.split(b"\r\n")[0])[1])
        assert end
        if status == 100:
            continue
        assert status < 500 or status == 503, head
        for line in COMMON.split(b"\r\n")[:-1]:
            assert head.split(b"\r\n").count(line) == 1, head
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        body = b""
        # An answer to HEAD has a length and no body.
        if length and not data.startswith(b"HTTP/1.1 "):
            body, data = data[: int(length[1])], data[int(length[1]) :]
        if status >= 400 and body:
            told = json.loads(body)
            kind = told["type"].removeprefix("urn:e2ee-ticket:")
            assert (told["status"], PROBLEMS[kind][0]) == (status, status)
        found.append((status, body))
    return found


# Targets


async def fuzz_request(caller, data):
    """Anything at all, in one piece or cut somewhere."""
    cut = data[0] if data else 0
    await caller.say(data[1:])
    await caller.say(data[1 : 1 + cut], data[1 + cut :])


async def fuzz_crowd(caller, data):
    """A relay without room reads the same requests as one with room, up to what it refuses."""
    cut = data[0] if data else 0
    pieces = (data[1 : 1 + cut], data[1 + cut :])
    found = await caller.say(*pieces)
    refused = await Caller(WITHOUT_ROOM).say(*pieces)
    for number, (status, _) in enumerate(refused):
        if status == 503:
            return
        assert status == found[number][0], (found, refused)
    # One that it throws away it answers when all of it has come.
    assert len(refused) <= len(found), (found, refused)


async def fuzz_path(caller, data):
    text = re.sub(rb"[\s\x00-\x20\x7f-\xff]", b"", data).decode("ascii")
    for method in ("GET", "PUT", "POST", "DELETE", "OPTIONS"):
        body = None if method in {"GET", "OPTIONS"} else b"x"
        await caller.ask(method, "/v1/" + text, body)


async def fuzz_headers(caller, data):
    """The texts of the headers that are read: as bytes, for nobody has to send ASCII."""
    text = re.sub(rb"[\r\n\x00]", b"", data)
    for method, path, name in (
        ("PUT", f"/v1/t/{NAME}", b"Ticket-TTL"),
        ("PUT", f"/v1/t/{NAME}", b"Content-Length"),
        ("GET", f"/v1/t/{NAME}/state?wait=1", b"Authorization"),
        ("GET", f"/v1/c/{NAME}/hello", b"If-None-Match"),
        ("POST", f"/v1/c/{NAME}/hello", b"Transfer-Encoding"),
        ("GET", "/", b"Accept-Language"),
    ):
        head = f"{method} {path} HTTP/1.1\r\nHost: relay\r\n".encode()
        await caller.say(head + name + b": " + text + b"\r\n\r\n")


async def fuzz_upload(caller, data):
    for body in (data, data.ljust(SIZE, b"\0")[:SIZE], (ENVELOPE[:8] + data).ljust(SIZE)[:SIZE]):
        status, _ = await caller.ask("PUT", f"/v1/t/{NAME}", body)
        magic = len(body) == SIZE and body.startswith(ENVELOPE[:8])
        assert status == (201 if magic else 400), status
        if magic:
            assert await caller.ask("GET", f"/v1/t/{NAME}") == (200, body)
            return


async def fuzz_state(caller, data):
    await caller.ask("PUT", f"/v1/t/{NAME}", ENVELOPE)
    for body in (data, TOKEN + data, data.ljust(32)[:32] + b"revoked"):
        status, _ = await caller.ask("POST", f"/v1/t/{NAME}/state", body)
        assert status in {204, 400, 403, 410, 413}, status
        if status in {204, 410}:
            assert body.startswith(TOKEN)
    query = re.sub(rb"[\s\x00-\x20\x7f-\xff]", b"", data).decode("ascii")
    await caller.ask("GET", f"/v1/t/{NAME}/state?{query}", Authorization=f"Bearer {TOKEN.hex()}")


async def fuzz_channel(caller, data):
    """A registration, a hello and an answer of any bytes."""
    for body in (data, (REGISTRATION[:8] + data).ljust(72)[:72]):
        status, _ = await caller.ask("PUT", f"/v1/c/{NAME}", body)
        whole = len(body) == 72 and body.startswith(REGISTRATION[:8])
        assert status == (201 if whole else 413 if len(body) > 72 else 400), status
        if whole:
            break
    caller = Caller()
    await caller.ask("PUT", f"/v1/c/{NAME}", REGISTRATION)
    for body in (data, READ + data, data.ljust(32)[:32] + HELLO):
        status, _ = await caller.ask("POST", f"/v1/c/{NAME}/hello", body)
        # None: it waits.
        assert status in {None, 400, 403, 413}, status
        assert status is not None or body.startswith(READ)
    path, till = f"/v1/c/{NAME}/hello/{HID}", f"Bearer {WRITE.hex()}"
    status, _ = await caller.ask("PUT", path, data, Authorization=till)
    assert status == (404 if len(data) == 512 else 413 if len(data) > 512 else 400), status
    status, _ = await caller.ask("PUT", path, data.ljust(512)[:512], Authorization=till)
    assert status == 404


def heard(talk, data):
    """Say something to a relay, in a loop of its own; no fault may be logged."""
    logger, handler = logging.getLogger("relay_server"), Faults()
    logger.addHandler(handler)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: faults.append(repr(context)))

    async def say():
        await talk(Caller(), data)

    try:
        loop.run_until_complete(say())
        assert faults == []
    finally:
        faults.clear()
        loop.close()
        logger.removeHandler(handler)


TARGETS = {
    "relay-" + name.removeprefix("fuzz_"): partial(heard, function)
    for name, function in list(globals().items())
    if name.startswith("fuzz_")
}


def seeds(target):
    """Start from requests as tills, displays and phones send them."""
    till = f"Authorization: Bearer {WRITE.hex()}\r\n"
    requests = [
        f"GET /v1/t/{NAME} HTTP/1.1\r\nHost: r\r\n\r\n",
        f"PUT /v1/t/{NAME} HTTP/1.1\r\nTicket-TTL: 600\r\nContent-Length: 16384\r\n\r\ntkt/v1\r\n",
        f"POST /v1/t/{NAME}/state HTTP/1.1\r\nContent-Length: 38\r\n\r\n{'t' * 32}opened",
        f"GET /v1/t/{NAME}/state?since=stored&wait=25 HTTP/1.1\r\n{till}\r\n",
        f"PUT /v1/c/{NAME} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 72\r\n\r\ndsp/v1",
        (
            f"POST /v1/c/{NAME}/hello HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2\r\nab\r\n0\r\n\r\n"
        ),
        f'GET /v1/c/{NAME}/hello HTTP/1.1\r\nIf-None-Match: "a", W/"b"\r\n{till}\r\n',
        f"DELETE /v1/c/{NAME} HTTP/1.1\r\n{till}\r\nOPTIONS /v1/info HTTP/1.1\r\n\r\n",
        "GET /v1/info HTTP/1.0\r\n\r\n",
    ]
    put = f"PUT /v1/t/{NAME} HTTP/1.1\r\nHost: r\r\nContent-Length: 4\r\n\r\nbody"
    known = {
        "crowd": [b"\x40" + text.encode() for text in (put, put * 2, requests[0] + put, *requests)],
        "request": [b"\x10" + request.encode() for request in requests],
        "path": [f"{kind}/{NAME}{rest}".encode() for kind in "tc" for rest in ("", "/state?wait=1",
                 f"/hello/{HID}")],
        "headers": [b"600", b"Bearer " + b"a" * 64, b'W/"a", "b"', b"de-CH,de;q=0.9", b"chunked"],
        "state": [b"opened", b"received", b"revoked", b"since=stored&wait=25"],
        "upload": [ENVELOPE[:64]],
        "channel": [REGISTRATION, REGISTRATION[8:], HELLO],
    }  # fmt: skip
    yield from known[target.removeprefix("relay-")]


if __name__ == "__main__":
    run(sys.argv, TARGETS, seeds)
