"""How many tickets a relay takes and gives in a second, beside what the disk can do.

    python benchmarks/relay_load.py [--seconds 5] [--waiting 32] [--size 49152]

The relay runs as its own program on core 0, the load on core 1; the raw rate of fdatasync is
measured on the same disk in the same run, before and after: absolute figures drift.
"""

import argparse
import asyncio
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
    return b"tkt/v1\r\n" + hashlib.sha256(b"%d" % number).digest() + os.urandom(size - 40)


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


def row(name, rate, latencies, cpu):
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99)]
    print(f"| {name} | {rate:,.0f} | {statistics.median(latencies):.1f} | {p99:.1f} | {cpu:.0f} |")


async def measure(origin, pid, options, directory):
    before = raw_syncs(directory, options.size, 1)
    body = [make_envelope(options.size, number) for number in range(64)]
    print("| | per second | p50 ms | p99 ms | CPU µs |")
    print("|---|---|---|---|---|")
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def put(number):
            url = f"{origin}/v1/t/{number:032x}"
            async with session.put(url, data=body[number % 64]) as response:
                assert response.status == 201, response.status

        async def get(number):
            async with session.get(f"{origin}/v1/t/{number % 32:032x}") as response:
                assert len(await response.read()) == options.size

        rates = {}
        for name, waiting, act in (
            (f"durable uploads, {options.waiting} waiting", options.waiting, put),
            (f"downloads, {options.waiting} waiting", options.waiting, get),
        ):
            cpu = cpu_seconds(pid)
            rate, latencies = await drive(waiting, options.seconds, act)
            used = (cpu_seconds(pid) - cpu) / len(latencies) * 1e6
            row(name, rate, latencies, used)
            rates[name] = rate
    after = raw_syncs(directory, options.size, 1)
    raw = (before + after) / 2
    print(f"| raw append and fdatasync, one each | {raw:,.0f} | | | |")
    uploads = next(iter(rates.values()))
    print(f"\nuploads / raw: {uploads / raw:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--size", type=int, default=48 * 1024)
    options = parser.parse_args()
    several = os.cpu_count() > 1
    if several:
        os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory(dir=".") as directory:
        # An open relay, with limits that a load from one address does not meet.
        code = (
            "import relay_server.cli as cli, relay_server.settings as settings, functools\n"
            "settings.Config = functools.partial(settings.Config, address_uploads_burst=10**9,"
            " address_bytes_burst=10**15)\n"
            "raise SystemExit(cli.main())"
        )
        arguments = ["--listen", "127.0.0.1:0", "--db", f"{directory}/relay.sqlite", "--open"]
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        if several:
            os.sched_setaffinity(process.pid, {0})
        try:
            for line in process.stderr:
                if found := re.search(r"http://\S+", line):
                    break
            asyncio.run(measure(found[0], process.pid, options, directory))
        finally:
            process.terminate()
            process.wait()
            process.stderr.close()


if __name__ == "__main__":
    main()
