"""What hostile callers do to a relay: its memory, and whether it still serves everybody else.

    python benchmarks/hostile.py [--connections 1000] [ATTACK …]

The relay runs as its own program, without a proxy in front, open, with the pages. Each attack comes
from eight addresses; an honest till and phone come from another one, while the attack stands. Every
figure is of a relay that was started for this attack alone.
"""

import argparse
import asyncio
import contextlib
import hashlib
import socket
import tempfile
import time
from dataclasses import dataclass, field

import bench  # first: it knows where the tests' servers are
import psutil
import stage

KIB, MIB = 1024, 1024 * 1024
ATTACKERS = [f"127.0.1.{number}" for number in range(8)]
HONEST, KEEPER = "127.0.2.1", "127.0.3.1"
TOKEN = b"t" * 32
LARGEST = 4 * MIB
TICKETS = 24
"""Of 4 MiB each, stored before the attack: more than the relay keeps in memory."""
STALLED_SECONDS = 3
"""A write that does not go on for so long is over: the relay does not read."""


def make_envelope(size, fill=b"\0"):
    head = b"tkt/v1\r\n" + hashlib.sha256(TOKEN).digest()
    return head + (fill * size)[: size - len(head)]


def put_head(number, size):
    return f"PUT /v1/t/{number:032x} HTTP/1.1\r\nHost: r\r\nContent-Length: {size}\r\n\r\n".encode()


@dataclass
class Attack:
    """One caller's part in it, and what all of them have sent."""

    port: int
    sent: int = 0
    open: list = field(default_factory=list)

    async def connect(self, receive=None):
        line = socket.socket()
        if receive is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        line.settimeout(0)
        line.bind((ATTACKERS[len(self.open) % len(ATTACKERS)], 0))
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", self.port))
        self.open.append(line)
        return line

    async def send(self, line, data):
        """Send until all is sent, the relay reads no more, or hangs up."""
        loop = asyncio.get_running_loop()
        view = memoryview(data)
        with contextlib.suppress(OSError, TimeoutError):
            while view:
                part = view[: 64 * KIB]
                async with asyncio.timeout(STALLED_SECONDS):
                    await loop.sock_sendall(line, part)
                self.sent += len(part)
                view = view[len(part) :]

    def close(self):
        for line in self.open:
            line.close()


async def silent(attack, _):
    """Connects, and sends nothing."""
    await attack.connect()


async def declared(attack, number):
    """Says that 4 MiB will come, and sends one byte of them."""
    await attack.send(await attack.connect(), put_head(number, LARGEST) + b"t")


async def heads(attack, _):
    """Sends 950 KiB of header lines, and never the end of them."""
    line = await attack.connect()
    many = b"".join(b"X-%03d: %s\r\n" % (n, b"y" * 8000) for n in range(121))
    await attack.send(line, b"GET /v1/info HTTP/1.1\r\nHost: r\r\n" + many)


async def bodies(attack, number):
    """Sends all of a 4 MiB upload but its last byte."""
    await attack.send(
        await attack.connect(), (put_head(number, LARGEST) + make_envelope(LARGEST))[:-1]
    )


async def unread(attack, number):
    """Asks for a ticket of 4 MiB, twice, and reads nothing of it."""
    line = await attack.connect(receive=4096)
    await attack.send(
        line, f"GET /v1/t/{number % TICKETS:032x} HTTP/1.1\r\nHost: r\r\n\r\n".encode() * 2
    )


async def places(attack, number):
    """Asks for a large answer, does not read it, and sends an upload behind it."""
    line = await attack.connect(receive=4096)
    await attack.send(line, f"GET /v1/t/{0:032x} HTTP/1.1\r\nHost: r\r\n\r\n".encode())
    await asyncio.sleep(1)
    await attack.send(line, put_head(number, 16 * KIB) + make_envelope(16 * KIB))


async def ahead(attack, _):
    """Waits for a ticket's state, and sends 2 MiB of further requests meanwhile."""
    line = await attack.connect()
    head = f"GET /v1/t/{0:032x}/state?since=stored&wait=25 HTTP/1.1\r\nHost: r\r\n"
    await attack.send(line, (head + f"Authorization: Bearer {TOKEN.hex()}\r\n\r\n").encode())
    await asyncio.sleep(0.5)
    lines = b"".join(b"X-%03d: %s\r\n" % (n, b"y" * 8000) for n in range(100))
    await attack.send(line, (b"GET /v1/info HTTP/1.1\r\nHost: r\r\n" + lines + b"\r\n") * 3)


ATTACKS = {one.__name__: one for one in (silent, declared, heads, bodies, unread, places, ahead)}


async def ask(port, request, address=HONEST):
    """Ask as somebody else; return status and seconds."""
    start = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(request)
        async with asyncio.timeout(30):
            line = await reader.readline()
        return line[9:12].decode() or "closed", time.monotonic() - start
    except (TimeoutError, OSError):
        return "none", time.monotonic() - start
    finally:
        writer.close()


async def watch(process, peak):
    while True:
        peak.append(process.memory_info().rss)
        await asyncio.sleep(0.05)


async def play(name, count, relay):
    process = psutil.Process(relay.process.pid)
    for number in range(TICKETS):
        request = put_head(number, LARGEST) + make_envelope(LARGEST)
        status, _ = await ask(relay.port, request, KEEPER)
        assert status == "201", status
    before = process.memory_info().rss
    attack, peak = Attack(relay.port), []
    watching = asyncio.create_task(watch(process, peak))
    begin = time.monotonic()
    room = asyncio.Semaphore(100)

    async def one(number):
        async with room:
            await ATTACKS[name](attack, number + TICKETS)

    await asyncio.gather(*(one(number) for number in range(count)), return_exceptions=True)
    seconds = time.monotonic() - begin
    envelope = make_envelope(16 * KIB)
    served = []
    for number in range(20):
        upload = await ask(relay.port, put_head(10**6 + number, 16 * KIB) + envelope)
        path = f"GET /v1/t/{0:032x} HTTP/1.1\r\nHost: r\r\n\r\n".encode()
        served.append((upload, await ask(relay.port, path)))
    watching.cancel()
    attack.close()
    taken = sum(upload[0] == "201" for upload, _ in served)
    fetched = sum(download[0] == "200" for _, download in served)
    slowest = max(part[1] for pair in served for part in pair)
    return (
        f"| {name} | {attack.sent / MIB:,.2f} | {seconds:.1f} | {before / MIB:.0f} | "
        f"{max(peak) / MIB:.0f} | {taken} of 20 | {fetched} of 20 | {slowest * 1000:.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK")
    options = parser.parse_args()
    print(bench.machine())
    print(f"{options.connections:,} hostile connections\n")
    print("| attack | sent, MiB | within, s | memory before, MiB | at most | uploads taken | "
          "downloads | slowest, ms |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for name in options.attacks or ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            relay = stage.Relay(folder, "--open").start()
            try:
                print(asyncio.run(play(name, options.connections, relay)), flush=True)
            finally:
                relay.kill()


if __name__ == "__main__":
    main()
