"""A relay with more uploads than it can store: refused at the door, and the connection kept."""

import asyncio
import dataclasses
import json
import re
from contextlib import asynccontextmanager

import pytest
import relay_fakes
import relays
from relays import KIB, bearer, make_envelope

from relay_server.connections import Server
from relay_server.proxies import Trust, parse_networks

ROOM = 2


class Busy:
    """A relay whose room for uploads is taken until it is let go."""

    def __init__(self, relay, store, uploads):
        self.app = relay.app
        self.call = relay.call
        self.uploads = uploads
        self._store = store
        self._server = Server(relay.app, relay.app.answer, relay.app.connections)

    async def end(self):
        """Let the disk go on; return what those who were taken are told."""
        self._store.go.set()
        return [answer.status for answer in await asyncio.gather(*self.uploads)]

    def connect(self):
        """Return the end of a new connection that a caller has."""
        line = relay_fakes.Line(self._server())
        line.protocol.connection_made(line)
        return line

    def counted(self):
        """Return how many refusals the operator sees."""
        text = self.app.metrics.render(
            gauges=self._store.gauges(), busy=0, open_connections=0, sweeps=0
        ).decode()
        label = r'\{method="PUT",route="/v1/t/\{id\}"'
        count = re.search(r"requests_total" + label + r',status="503"\} (\d+)', text)
        return int(count[1]) if count else 0


@asynccontextmanager
async def fill(sqlite_store, clock, config, *, networks="", **more):
    config = dataclasses.replace(config, uploads_max=ROOM, **more)
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock, trust=Trust(parse_networks(networks))) as relay:
        uploads = [
            asyncio.ensure_future(relay.call.put(ticket_id=f"{n:032x}")) for n in range(ROOM)
        ]
        for _ in uploads:
            await store.stalled.acquire()
        busy = Busy(relay, store, uploads)
        try:
            yield busy
        finally:
            store.go.set()
            await asyncio.gather(*uploads, return_exceptions=True)


@pytest.fixture
async def busy(sqlite_store, clock, config):
    async with fill(sqlite_store, clock, config) as busy:
        yield busy


def upload(busy, *lines, number=7, size=16 * KIB):
    head = [f"PUT /v1/t/{number:032x} HTTP/1.1", "Host: r", *lines]
    head += [f"Authorization: Bearer {busy.call.permit}", f"Content-Length: {size}"]
    return "\r\n".join([*head, "", ""]).encode() + make_envelope(size=size)


def read(line):
    """Take one answer from what a relay has written: status, headers, body."""
    head, _, rest = line.written.partition(b"\r\n\r\n")
    headers = dict(re.findall(r"([\w-]+): (.*)", head.decode().replace("\r", "")))
    size = int(headers.get("Content-Length", 0))
    line.written = rest[size:]
    return int(head[9:12]), headers, rest[:size]


@pytest.mark.rule("R1", "R2", "R14")
async def test_an_upload_too_many_is_refused_like_any_other_and_its_connection_goes_on(busy):
    line = busy.connect()
    line.protocol.data_received(upload(busy))
    status, headers, body = read(line)  # at once: not a turn of the loop has passed
    line.protocol.data_received(b"GET /v1/info HTTP/1.1\r\nHost: r\r\n\r\n")
    await relay_fakes.until(lambda: line.written)
    info = read(line)
    line.protocol.data_received(upload(busy))
    again = read(line)
    kept = await busy.end()
    line.protocol.data_received(upload(busy))
    await relay_fakes.until(lambda: line.written)
    taken = read(line)
    line.leave()

    assert (status, json.loads(body)["type"]) == (503, "urn:e2ee-ticket:overloaded")
    assert json.loads(body)["status"] == 503
    assert 1 <= int(headers["Retry-After"]) <= 8
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert "Date" in headers
    assert "Connection" not in headers
    assert [info[0], again[0], taken[0]] == [200, 503, 201]
    assert kept == [201] * ROOM
    assert busy.counted() == 2


@pytest.mark.rule("R14")
@pytest.mark.parametrize("cut", [300, 5000, 16 * KIB + 100])
async def test_a_refused_body_is_read_to_its_end(busy, cut):
    data = upload(busy)
    line = busy.connect()
    line.protocol.data_received(data[:cut])
    early = line.written
    line.protocol.data_received(data[cut:-1])
    line.protocol.data_received(data[-1:])
    status, _, _ = read(line)
    await busy.end()
    line.protocol.data_received(upload(busy))
    await relay_fakes.until(lambda: line.written)

    assert (early, status) == (b"", 503)
    assert read(line)[0] == 201


@pytest.mark.rule("R14")
@pytest.mark.parametrize(
    "cut_or_line",
    [1, 20, 150, "Connection: keep-alive", "Expect: 100-continue", "Content-Length: 16384"],
)
async def test_a_request_whose_end_could_be_doubted_is_left_to_the_parser(busy, cut_or_line):
    cut, lines = (cut_or_line, ()) if isinstance(cut_or_line, int) else (100_000, (cut_or_line,))
    data = upload(busy, *lines)
    line = busy.connect()
    line.protocol.data_received(data[:cut])
    if data[cut:]:
        line.protocol.data_received(data[cut:])
    at_once = line.written
    await relay_fakes.until(lambda: line.written)
    status = read(line)[0]
    line.leave()

    assert at_once == b""
    assert status == (400 if "Content-Length: 16384" in lines else 503)


@pytest.mark.rule("R14")
async def test_who_does_not_wait_for_an_answer_is_sent_away(busy):
    line = busy.connect()
    line.protocol.data_received(upload(busy) * 3)
    status, headers, _ = read(line)

    assert (status, headers["Connection"], line.written, line.closed) == (503, "close", b"", True)


@pytest.mark.rule("R14")
async def test_who_does_not_read_its_answers_is_cut_off(busy):
    line = busy.connect()
    line.protocol.data_received(upload(busy))
    before = line.closed
    line.reads = False
    line.protocol.data_received(upload(busy))

    assert (before, line.closed) == (False, True)


@pytest.mark.rule("R14")
async def test_an_upload_that_no_ticket_is_as_large_as_is_told_so_even_now(busy):
    line = busy.connect()
    line.protocol.data_received(upload(busy, size=4200 * KIB)[: 64 * KIB])
    await relay_fakes.until(lambda: line.written)

    assert read(line)[0] == 413
    line.leave()


@pytest.mark.rule("R14")
async def test_an_answer_does_not_overtake_the_one_before(busy):
    line = busy.connect()
    path = f"/v1/t/{'9' * 32}/state?since=stored&wait=25"
    line.protocol.data_received(
        f"GET {path} HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {'0' * 64}\r\n\r\n".encode()
    )
    line.protocol.data_received(upload(busy))
    await relay_fakes.until(lambda: line.written.count(b"HTTP/1.1") == 2)

    assert [read(line)[0], read(line)[0]] == [404, 503]
    line.leave()


@pytest.mark.rule("R14")
@pytest.mark.parametrize("body", ["", "Content-Length: 5"])
async def test_behind_a_body_where_none_is_expected_the_next_request_is_found(busy, body):
    line = busy.connect()
    lines = ["GET /v1/info HTTP/1.1", "Host: r", *([body] if body else []), "", ""]
    line.protocol.data_received("\r\n".join(lines).encode())
    line.protocol.data_received(b"body!" if body else b"")
    await relay_fakes.until(lambda: line.written)
    first = read(line)[0]
    line.protocol.data_received(upload(busy))
    at_once = line.written
    await relay_fakes.until(lambda: line.written)

    assert (first, read(line)[0]) == (200, 503)
    assert at_once
    line.leave()


@pytest.mark.rule("R8", "R14")
async def test_a_relay_that_ends_ends_the_connection_too(busy):
    busy.app.services.draining = True
    line = busy.connect()
    line.protocol.data_received(upload(busy))
    status, headers, _ = read(line)
    busy.app.services.draining = False

    assert (status, headers["Connection"], line.closed) == (503, "close", True)


@pytest.mark.rule("R14")
async def test_bytes_that_are_none_count_nothing(busy):
    await busy.end()
    line = busy.connect()
    line.protocol.data_received(upload(busy))
    await relay_fakes.until(lambda: line.written)
    line.protocol.data_received(b"")  # aiohttp does so when it reads on

    assert read(line)[0] == 201
    assert not len(busy.app.crowd)
    line.leave()


async def test_the_operators_listener_is_never_crowded(busy):
    async with busy.app.serve_operator("127.0.0.1", 0) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(upload(busy))
        head = await reader.readline()
        writer.close()
        await writer.wait_closed()

    assert head == b"HTTP/1.1 404 Not Found\r\n"


@pytest.mark.rule("R14", "R15")
async def test_whoever_goes_away_makes_room(sqlite_store, clock, config):
    config = dataclasses.replace(config, uploads_max=ROOM)
    store = relay_fakes.StallingStore(sqlite_store, "keep")
    async with relays.serve(config, store, clock) as relay:
        busy = Busy(relay, store, [])
        lines = [busy.connect() for _ in range(ROOM)]
        for number, line in enumerate(lines):
            line.protocol.data_received(upload(busy, number=number))
            await store.stalled.acquire()
        full = len(busy.app.crowd)
        for line in lines:
            line.leave()
        await relay_fakes.until(lambda: not len(busy.app.crowd))
        store.go.set()
        answer = await busy.call.put()

    assert full == ROOM
    assert answer.status == 201


async def test_what_is_no_request_holds_no_place_while_its_answer_is_unread(
    sqlite_store, clock, config
):
    async with fill(sqlite_store, clock, config) as busy:
        await busy.end()
        line = busy.connect()
        line.reads = False
        head = f"PUT /v1/t/{'9' * 32} HTTP/1.1\r\nHost: r\r\na(b: c\r\nContent-Length: 0\r\n\r\n"
        line.protocol.data_received(head.encode())
        counted = len(busy.app.crowd)
        await relay_fakes.until(lambda: line.written)
        left = len(busy.app.crowd)
        line.leave()

    assert read(line)[0] == 400
    assert (counted, left) == (0, 0)


@pytest.mark.rule("R14")
async def test_behind_a_proxy_an_upload_too_many_is_read_and_refused_by_its_handler(
    sqlite_store, clock, config
):
    async with fill(sqlite_store, clock, config, networks="127.0.0.1") as busy:
        line = busy.connect()
        line.protocol.data_received(upload(busy))
        at_once = line.written
        await relay_fakes.until(lambda: line.written)
        status = read(line)[0]
        line.leave()

    assert (at_once, status) == (b"", 503)


@pytest.mark.rule("R14", "R15")
async def test_a_connection_that_brings_nothing_but_uploads_too_many_ends_in_order(busy, clock):
    """aiohttp does not see them, and would close it in the middle of one."""
    line = busy.connect()
    line.protocol.data_received(upload(busy))
    first = read(line)
    clock.advance(66)
    line.protocol.data_received(upload(busy))
    second = read(line)

    assert (first[0], "Connection" in first[1]) == (503, False)
    assert (second[0], second[1].get("Connection"), line.closed) == (503, "close", True)


@pytest.mark.rule("R15")
async def test_a_connection_whose_upload_was_refused_is_idle_again(sqlite_store, clock, config):
    async with fill(sqlite_store, clock, config, connections_max=ROOM + 1) as busy:
        line = busy.connect()
        line.protocol.data_received(upload(busy))
        refused = read(line)[0]
        busy.connect()

    assert (refused, line.lost) == (503, True)


@pytest.mark.rule("R15")
async def test_a_refused_body_that_never_comes_is_not_waited_for(busy, clock):
    line = busy.connect()
    line.protocol.data_received(upload(busy)[:1000])
    clock.advance(19)
    before = line.closed
    clock.advance(2)

    assert (before, line.closed) == (False, True)


@pytest.mark.rule("R14")
async def test_on_real_sockets_ten_times_too_many_are_refused_and_served_later(busy):
    async def come(number):
        tries = 0
        while True:
            answer = await busy.call(
                "PUT", f"/v1/t/{100 + number:032x}", make_envelope(), bearer(busy.call.permit)
            )
            if answer.status == 201:
                return tries
            assert (answer.status, answer.code) == (503, "overloaded")
            tries += 1
            await asyncio.sleep(0)

    coming = [asyncio.ensure_future(come(number)) for number in range(10 * ROOM)]
    await relay_fakes.until(lambda: busy.counted() >= 10 * ROOM)
    kept = await busy.end()
    tries = await asyncio.gather(*coming)

    assert kept == [201] * ROOM
    assert min(tries) >= 1
    assert not len(busy.app.crowd)
