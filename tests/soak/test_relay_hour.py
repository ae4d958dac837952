"""An hour of a busy market: the relay's memory, files and answers stay what they were.

Two hundred displays wait, twenty sales a second go from tills to phones, and some callers are rude.
What is left after an hour of it is compared with what was there when everything had happened once.
SOAK_MINUTES shortens it.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp
import psutil
import pytest
import stage
from relays import (
    KIB,
    READ_TOKEN,
    TOKEN,
    WRITE_TOKEN,
    bearer,
    hid,
    make_envelope,
    make_hello,
    make_registration,
)

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
SAMPLES = 60
DISPLAYS = 200
SALES_PER_SECOND = 20
RUDE_PER_SECOND = 2
SIZES = (16 * KIB, 32 * KIB, 48 * KIB, 64 * KIB, 256 * KIB)


@dataclass(frozen=True)
class Sample:
    """What the relay's process held at a moment."""

    memory: int
    files: int
    threads: int
    database: int
    cpu: float

    @classmethod
    def take(cls, relay, process):
        size = sum(path.stat().st_size for path in relay.folder.glob("relay.sqlite*"))
        times = process.cpu_times()
        return cls(
            process.memory_full_info().uss,
            process.num_fds(),
            process.num_threads(),
            size,
            times.user + times.system,
        )

    def __str__(self):
        return (
            f"{self.memory / 2**20:.1f} MiB, {self.files} files, {self.threads} threads, "
            f"database {self.database / 2**20:.0f} MiB, CPU {self.cpu:.0f} s"
        )


class Market:
    """Tills, phones and displays at one relay, and what it answered them."""

    def __init__(self, session, origin, permit):
        self.session = session
        self.origin = origin
        self.permit = permit
        self.random = random.Random(5)
        self.answers = Counter()
        self.slowest = 0.0

    async def ask(self, method, path, body=None, headers=None):
        """Make a request; return status and body."""
        url = self.origin + path
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            read = await answer.read()
        self.answers[method, path.split("/")[2], answer.status] += 1
        return answer.status, read

    async def sell(self, number):
        """Bring one ticket from a till to a phone, most of the time."""
        ticket_id = hashlib.sha256(b"sale %d" % number).hexdigest()[:32]
        fill = ticket_id.encode()
        envelope = make_envelope(size=self.random.choice(SIZES), fill=fill)
        path, start = f"/v1/t/{ticket_id}", time.monotonic()
        headers = bearer(self.permit) | {"Ticket-TTL": "60"}
        status, _ = await self.ask("PUT", path, envelope, headers)
        assert status == 201
        self.slowest = max(self.slowest, time.monotonic() - start)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch(path))
            await asyncio.sleep(self.random.random() * 2)
            if number % 5:
                assert await self.ask("GET", path) == (200, envelope)
                for word in (b"opened", b"received")[: 1 + number % 2]:
                    status, _ = await self.ask("POST", f"{path}/state", TOKEN + word)
                    assert status == 204

    async def watch(self, path):
        """Wait as the till does for what becomes of a ticket."""
        status, _ = await self.ask("GET", f"{path}/state?since=stored&wait=5", None, bearer(TOKEN))
        assert status == 200

    async def wait_as_display(self, number):
        """Ask for ever what is to be shown, as a display does."""
        cid = hashlib.sha256(b"display %d" % number).hexdigest()[:32]
        path = f"/v1/c/{cid}"
        status, _ = await self.ask("PUT", path, make_registration(), bearer(self.permit))
        assert status == 201
        while True:
            hello = make_hello(self.random.randrange(256))
            async with asyncio.TaskGroup() as group:
                group.create_task(self.ask("POST", f"{path}/hello", READ_TOKEN + hello))
                await asyncio.sleep(self.random.random() * 60)
                sealed = self.random.randbytes(512)
                await self.ask("PUT", f"{path}/hello/{hid(hello)}", sealed, bearer(WRITE_TOKEN))

    async def be_rude(self, port):
        """Leave in the middle of something, or say what nobody understands."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"PUT /v1/t/{'0' * 32} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.permit}\r\n"
        )
        rudeness = self.random.choice(
            [
                head.encode() + b"Content-Length: 16384\r\n\r\n" + bytes(5000),
                head.encode() + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
                b"GET /v1/t/",
                b"\x16\x03\x01\x00\xff" + self.random.randbytes(200),
                b"POST /v1/c/" + b"1" * 32 + b"/hello HTTP/1.1\r\nContent-Length: 112\r\n\r\n",
                b"A" * 100_000,
            ]
        )
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(rudeness)
                await writer.drain()
                await asyncio.wait_for(reader.read(), self.random.random() * 5)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def at_rate(per_second, group, act):
    """Begin so many a second, whether the earlier ones are done or not."""
    begin, number = time.monotonic(), 0
    while True:
        group.create_task(act(number))
        number += 1
        await asyncio.sleep(max(0, begin + number / per_second - time.monotonic()))


class OverError(Exception):
    """The hour is over."""


async def spend(relay, permit, minutes):
    """Run a market for so long; return the samples and the market."""
    process = psutil.Process(relay.process.pid)
    samples = []
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        market = Market(session, relay.origin, permit)

        async def rude(_):
            with contextlib.suppress(TimeoutError):
                await market.be_rude(relay.port)

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(DISPLAYS):
                    group.create_task(market.wait_as_display(number))
                group.create_task(at_rate(SALES_PER_SECOND, group, market.sell))
                group.create_task(at_rate(RUDE_PER_SECOND, group, rude))
                for _ in range(SAMPLES):
                    await asyncio.sleep(minutes * 60 / SAMPLES)
                    samples.append(Sample.take(relay, process))
                raise OverError
        except* OverError:
            pass
    return samples, market


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_memory_and_files_are_flat_over_an_hour_at_the_market(tmp_path):
    relay = stage.Relay(tmp_path, pages=False)
    permit = relay.permit()
    relay.start()
    try:
        samples, market = asyncio.run(spend(relay, permit, MINUTES))
    finally:
        relay.stop()

    quarter = SAMPLES // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    sys.stdout.write(
        f"after {MINUTES / 4:.0f} min: {early[0]}\nafter {MINUTES:.0f} min: {late[-1]}\n"
        f"slowest upload {market.slowest:.2f} s, answers {sum(market.answers.values())}: "
        f"{sorted({status for *_, status in market.answers})}\n"
    )
    # 204: a display asked in vain; 404 and 409: the till came too late for the display's hello.
    assert {status for *_, status in market.answers} <= {200, 201, 204, 404, 409}
    memory = [statistics.median(sample.memory for sample in part) for part in (early, late)]
    assert memory[1] < memory[0] * 1.05 + 4 * 2**20
    for kind in ("files", "threads"):
        held = [statistics.median(getattr(one, kind) for one in part) for part in (early, late)]
        assert held[1] <= held[0] * 1.1 + 10
