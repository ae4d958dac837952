"""What an upload costs a relay: refused at the door, by the HTTP library's way, and taken.

    python benchmarks/refusals.py [--uploads 3000]

One after another on 16 kept connections, from a process of its own; the figure is the CPU time of
the relay's process, which drifts less than rates do beside other work.
"""

import argparse
import asyncio
import multiprocessing
import re
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import bench  # noqa: F401 - first: it knows where the relay is
import uvloop

from relay_server.app import create_app
from relay_server.clock import SystemClock
from relay_server.config import Config
from relay_server.proxies import Trust, parse_networks
from relay_server.stores import open_store

WITHOUT_LIMIT = 10**12
CONFIG = Config(
    open=True,
    address_uploads_per_hour=WITHOUT_LIMIT,
    address_uploads_burst=WITHOUT_LIMIT,
    address_bytes_per_hour=WITHOUT_LIMIT,
    address_bytes_burst=WITHOUT_LIMIT,
)
WAYS = {
    "refused at the door": (replace(CONFIG, uploads_max=0), ""),
    # Behind a proxy nothing is refused at the door.
    "refused by the library's way": (replace(CONFIG, uploads_max=0), "192.0.2.1"),
    "taken": (CONFIG, ""),
}


def upload(port, count, size, said):
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
    body = (b"tkt/v1\r\n" + bytes(size))[:size]
    said.put("connected")
    for number in range(count):
        head = f"PUT /v1/t/{number:032x} HTTP/1.1\r\nHost: r\r\nContent-Length: {size}\r\n\r\n"
        line = lines[number % 16]
        line.sendall(head.encode() + body)
        told = b""
        while not (found := re.search(rb"Content-Length: (\d+)(?s:.*?)\r\n\r\n", told)):
            told += line.recv(65536)
        while len(told) < found.end() + int(found[1]):
            told += line.recv(65536)
    said.put(told[9:12].decode())


async def measure(name, count, size):
    config, networks = WAYS[name]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(config, Path(folder, "relay.sqlite"), SystemClock())
        app = create_app(config, store, SystemClock(), trust=Trust(parse_networks(networks)))
        async with app.serve("127.0.0.1", 0) as (_, port):
            said = multiprocessing.Queue()
            caller = multiprocessing.Process(target=upload, args=(port, count, size, said))
            caller.start()
            await asyncio.to_thread(said.get)
            before = time.process_time()
            status = await asyncio.to_thread(said.get)
            spent = time.process_time() - before
            caller.join()
        await store.close()
    print(f"| {name} | {size // 1024} | {status} | {spent / count * 1e6:.0f} |")


def main():
    parser = argparse.ArgumentParser(description="measure what a refusal costs")
    parser.add_argument("--uploads", type=int, default=3_000)
    given = parser.parse_args()
    print("| an upload | KiB | status | CPU µs |\n|---|---|---|---|")
    for size in (16 * 1024, 256 * 1024):
        for name in WAYS:
            uvloop.run(measure(name, given.uploads, size))


if __name__ == "__main__":
    main()
