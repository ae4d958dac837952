"""How much memory and append-only file a ticket, a tombstone and a channel take in Redis.

python benchmarks/redis_sizes.py [--count 5000] [--size 49152]
"""

import argparse
import asyncio
import hashlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import redis_servers

from relay_server.clock import SystemClock
from relay_server.config import DAY, Config
from relay_server.store import State


def name_of(number):
    return hashlib.sha256(b"%d" % number).digest()[:16]


async def measure(server, count, size):
    clock = SystemClock()
    now = int(clock.wall())
    store = await redis_servers.open_store(server, Config(), clock)
    await store.sweep(now=now)
    found = []

    def look():
        path = sum(file.stat().st_size for file in server.folder.rglob("appendonly.aof.*"))
        found.append((int(server.info()["used_memory"]), path))

    async def many(act):
        for first in range(0, count, 50):
            await asyncio.gather(*(act(name_of(first + number)) for number in range(50)))
        look()

    look()
    await many(
        lambda name: store.keep(
            name, name + os.urandom(size - 16), name * 2, expiry=now + DAY, now=now
        )
    )
    await many(lambda name: store.change(name, State.REVOKED, expiry=now, now=now))
    await many(lambda name: store.register(name, name * 2, name * 2, today=now // DAY))
    await store.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--size", type=int, default=48 * 1024)
    options = parser.parse_args()
    with redis_servers.single(fsync="no") as server:
        server.call("CONFIG", "SET", "maxmemory", "2gb")
        server.call("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
        url = f"{server.url}?fsync=no"
        asked = type("Asked", (), {"url": url, "folder": server.folder, "info": server.info})()
        empty, full, over, channels = asyncio.run(measure(asked, options.count, options.size))
    print(f"| bytes each, of {options.count:,} | memory | append-only file |")
    print("|---|---|---|")
    for name, before, after in (
        (f"ticket with an envelope of {options.size:,}", empty, full),
        ("its change to a tombstone", full, over),
        ("tombstone", empty, over),
        ("channel", over, channels),
    ):
        memory, disk = ((after[n] - before[n]) / options.count for n in (0, 1))
        print(f"| {name} | {memory:,.0f} | {disk:,.0f} |")


if __name__ == "__main__":
    main()
