"""How many tickets a relay takes and gives in a second, beside what the disk can do.

    python benchmarks/relay_load.py [--seconds 5] [--waiting 32] [--size 49152] [--store …]

The store is a file (sqlite), a Redis or a Redis Cluster that this script starts on the same disk
(redis, cluster: synced at each write; redis-everysec, cluster-wait: once a second, and the latter
answered when a replica has it), or any URL. With --push it measures how long a sealed answer takes
from a till at one relay to a display at another.

The relay runs as its own program on core 0, the load on core 1; the raw rate of fdatasync is
measured on the same disk in the same run, before and after: absolute figures drift.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import bench  # first: it knows where the tests' servers are
import redis_servers


def raw_syncs(directory, size, seconds):
    """Appends of one envelope and one fdatasync each."""
    path = Path(directory) / "raw"
    envelope = os.urandom(size)
    with path.open("wb", buffering=0) as file:
        end = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < end:
            file.write(envelope)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return count / seconds


def make_envelope(size, number):
    """Return an envelope; all of them have one token."""
    fill = os.urandom(size - 40 - 8) + number.to_bytes(8)
    return b"tkt/v1\r\n" + hashlib.sha256(b"%032d" % 0).digest() + fill


def name_of(number):
    """Return an id such as tills derive: they spread evenly."""
    return hashlib.sha256(b"name %d" % number).hexdigest()[:32]


async def drive(waiting, seconds, act):
    """Keep so many calls under way; return the rate and the latencies in milliseconds."""
    latencies = []
    end = time.perf_counter() + seconds

    async def loop(lane):
        number = lane
        while time.perf_counter() < end:
            start = time.perf_counter()
            await act(number)
            latencies.append((time.perf_counter() - start) * 1000)
            number += waiting

    await asyncio.gather(*(loop(lane) for lane in range(waiting)))
    return len(latencies) / seconds, latencies


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(name, rate, latencies, cpu, behind):
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99)]
    p50 = statistics.median(latencies)
    print(f"| {name} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {cpu:.0f} | {behind:.0f} |")


async def measure(origin, pid, servers, options, directory):
    before = raw_syncs(directory, options.size, 1)
    body = [make_envelope(options.size, number) for number in range(64)]
    print(f"| {options.store} | per second | p50 ms | p99 ms | CPU µs | of the store |")
    print("|---|---|---|---|---|---|")
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        kept = []

        async def put(number):
            url = f"{origin}/v1/t/{name_of(number)}"
            async with session.put(url, data=body[number % 64]) as response:
                assert response.status == 201, response.status
            kept.append(number)

        async def get(number):
            async with session.get(f"{origin}/v1/t/{name_of(number % 32)}") as response:
                assert len(await response.read()) == options.size

        token = {"Authorization": "Bearer " + (b"%032d" % 0).hex()}

        async def post(number):
            url = f"{origin}/v1/t/{name_of(kept.pop() if kept else number % 32)}/state"
            async with session.post(url, data=b"%032d" % 0 + b"opened") as response:
                assert response.status == 204, response.status

        async def look(number):
            url = f"{origin}/v1/t/{name_of(number % 32)}/state"
            async with session.get(url, headers=token) as response:
                assert response.status == 200, response.status

        async def poll(number):
            url = f"{origin}/v1/c/{name_of(number % 32)}/hello?wait=0"
            async with session.get(url, headers=token) as response:
                assert response.status == 200, response.status

        both = hashlib.sha256(b"%032d" % 0).digest() * 2
        for number in range(32):
            url = f"{origin}/v1/c/{name_of(number)}"
            async with session.put(url, data=b"dsp/v1\r\n" + both) as response:
                assert response.status == 201, response.status
        rates = {}
        for name, waiting, act in (
            (f"durable uploads, {options.waiting} waiting", options.waiting, put),
            (f"downloads, {options.waiting} waiting", options.waiting, get),
            ("states posted", options.waiting, post),
            ("states looked at", options.waiting, look),
            ("polls of a channel", options.waiting, poll),
        ):
            # Only what was uploaded can be opened, and once.
            seconds = options.seconds / 6 if act is post else options.seconds
            cpu, before_behind = cpu_seconds(pid), sum(cpu_seconds(one.pid) for one in servers)
            rate, latencies = await drive(waiting, seconds, act)
            used = (cpu_seconds(pid) - cpu) / len(latencies) * 1e6
            behind = sum(cpu_seconds(one.pid) for one in servers) - before_behind
            row(name, rate, latencies, used, behind / len(latencies) * 1e6)
            rates[name] = rate
    after = raw_syncs(directory, options.size, 1)
    raw = (before + after) / 2
    print(f"| raw append and fdatasync, one each | {raw:,.0f} | | | | |")
    uploads = next(iter(rates.values()))
    print(f"\nuploads / raw: {uploads / raw:.2f}")


async def measure_push(origins, displays):
    """A display at the first relay, its till at the last: from the till's PUT to the display."""
    read_token, write_token, hello = b"r" * 32, b"w" * 32, b"%080d"
    hashes = hashlib.sha256(read_token).digest() + hashlib.sha256(write_token).digest()
    till = {"Authorization": "Bearer " + write_token.hex()}
    latencies = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        idle = []
        for number in range(displays + 1):
            url = f"{origins[0]}/v1/c/{name_of(number)}"
            async with session.put(url, data=b"dsp/v1\r\n" + hashes) as answer:
                assert answer.status == 201, answer.status
            if number:
                body = read_token + hello % number
                idle.append(asyncio.ensure_future(session.post(f"{url}/hello", data=body)))

        async def show(body):
            async with session.post(f"{origins[0]}/v1/c/{name_of(0)}/hello", data=body) as answer:
                await answer.read()
                return answer.status, time.perf_counter()

        for number in range(300):
            its = hello % number
            shown = asyncio.ensure_future(show(read_token + its))
            path = f"{origins[-1]}/v1/c/{name_of(0)}/hello"
            found = b""
            while found != its:
                async with session.get(f"{path}?wait=0", headers=till) as answer:
                    found = await answer.read()
            name = hashlib.sha256(its).hexdigest()[:32]
            start = time.perf_counter()
            async with session.put(f"{path}/{name}", data=b"s" * 512, headers=till) as answer:
                assert answer.status == 204, answer.status
            status, end = await shown
            assert status == 200, status
            latencies.append((end - start) * 1000)
        for one in idle:
            one.cancel()
        await asyncio.gather(*idle, return_exceptions=True)
    latencies.sort()
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    print(f"| push, {len(origins)} relays, {displays} displays idle | | {p50:.1f} | {p99:.1f} | |")


@contextlib.contextmanager
def open_store(name, directory):
    """Give the relay's flags for a store, and the processes that are the store."""
    if name == "sqlite":
        yield ["--db", f"{directory}/relay.sqlite"], []
    elif name in {"redis", "redis-everysec"}:
        fsync = "everysec" if name == "redis-everysec" else "always"
        server = redis_servers.Server(f"{directory}/redis", "--maxmemory", "4gb", fsync=fsync)
        try:
            yield ["--store", f"{server.start().url}?fsync={fsync}"], [server.process]
        finally:
            server.stop()
    elif name in {"cluster", "cluster-wait"}:
        fsync = "everysec" if name == "cluster-wait" else "always"
        servers = redis_servers.Cluster(f"{directory}/cluster", fsync=fsync)
        try:
            url = servers.start().url + ("&wait=1" if name == "cluster-wait" else "")
            yield ["--store", url], [server.process for server in servers.servers]
        finally:
            servers.stop()
    else:
        yield ["--store", name], []


@contextlib.contextmanager
def run_relay(flags):
    """Run an open relay, with limits that a load from one address does not meet."""
    arguments = ["--listen", "127.0.0.1:0", *flags, "--open"]
    process = subprocess.Popen(
        [sys.executable, "-c", bench.UNLIMITED, *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if found := re.search(r"listening on (http://\S+)", line):
                break
        yield process, found[1]
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--size", type=int, default=48 * 1024)
    parser.add_argument("--store", default="sqlite")
    parser.add_argument("--push", action="store_true")
    parser.add_argument("--displays", type=int, default=1_000)
    options = parser.parse_args()
    several = os.cpu_count() > 1
    if several:
        os.sched_setaffinity(0, {1})
    with (
        tempfile.TemporaryDirectory(dir=".", ignore_cleanup_errors=True) as directory,
        open_store(options.store, directory) as (flags, servers),
    ):
        if options.push:
            count = 1 if options.store == "sqlite" else 2
            with contextlib.ExitStack() as stack:
                relays = [stack.enter_context(run_relay(flags)) for _ in range(count)]
                asyncio.run(measure_push([origin for _, origin in relays], options.displays))
            return
        with run_relay(flags) as (process, origin):
            if several:
                os.sched_setaffinity(process.pid, {0})
                for server in servers:
                    os.sched_setaffinity(server.pid, {0, 1})
            asyncio.run(measure(origin, process.pid, servers, options, directory))


if __name__ == "__main__":
    main()
