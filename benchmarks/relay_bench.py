"""A relay beside what the machine can do: nginx with a static file, and a bare fdatasync.

    python benchmarks/relay_bench.py [--quick] [--overload] [--displays 1000 10000] [--write]
        [--privatebin https://a.privatebin.you.run/]

Relay and nginx run on core 0, the load on core 1, one after the other in the same run: absolute
figures drift with the machine, ratios and CPU time hardly do. With --write the table and a picture
go to benchmarks/relay_bench.md and .svg.

The load is a client of our own on bare connections, for a client that takes longer than the server
would measure itself; where `wrk` is installed, it measures the downloads instead.
"""

import argparse
import asyncio
import base64
import contextlib
import gc
import hashlib
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from html import escape
from pathlib import Path

import bench
import uvloop

SIZE = 48 * 1024
SMALL_SIZE = 16 * 1024
CROWDED = 128
CONNECT_AT_ONCE = 200
LATE_MS = 50
"""A load that is later than this was too slow itself to say anything of the relay."""
TOKEN = b"t" * 32
READ, WRITE = b"r" * 32, b"w" * 32
HOST = "127.0.0.1"
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
GOALS = {
    "download / nginx static, rate": (">=", 0.50),
    "durable upload / raw sync, rate": (">=", 1.5),
    "upload CPU, ms": ("<=", 0.30),
    "memory per display, KB": ("<=", 20),
    "push with displays, p50 ms": ("<=", 2),
    "push with displays, p99 ms": ("<=", 10),
}


class Line(asyncio.Protocol):
    """One connection with one request on its way."""

    def __init__(self):
        self.done = None
        self.head = b""
        self.left = 0
        self.status = 0
        self.retry = 0

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.left == 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data, self.head = self.head[:end], self.head[end + 4 :], b""
            self.status = int(head[9:12])
            found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            self.left = int(found[1]) if found else 0
            found = re.search(rb"(?i)\r\nretry-after: (\d+)", head)
            self.retry = int(found[1]) if found else 0
        self.left -= len(data)
        if self.left <= 0:
            self.left = 0
            if not self.done.done():
                self.done.set_result(self.status)

    def connection_lost(self, exc):
        if self.done is not None and not self.done.done():
            self.done.set_exception(exc or ConnectionResetError())

    async def ask(self, *parts):
        self.done = asyncio.get_running_loop().create_future()
        self.transport.writelines(parts)
        return await self.done


async def connect(port):
    _, line = await asyncio.get_running_loop().create_connection(Line, HOST, port)
    return line


def head(method, path, size=None, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: r"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    if size is not None:
        lines.append(f"Content-Length: {size}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def make_envelope(number, size=SIZE):
    start = b"tkt/v1\r\n" + hashlib.sha256(TOKEN).digest() + number.to_bytes(8)
    return (
        start + os.urandom(1024) * ((size - len(start)) // 1024) + bytes((size - len(start)) % 1024)
    )


# Servers


class Server:
    """A program on core 0, with its CPU time and memory."""

    def __init__(self, pids):
        self.pids = pids

    def cpu(self):
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self):
        pages = sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def relay(directory):
    arguments = ["--listen", f"{HOST}:0", "--db", f"{directory}/relay.sqlite", "--open"]
    with bench.on_core(0):
        process = subprocess.Popen(
            [sys.executable, "-c", bench.UNLIMITED, *arguments], stderr=subprocess.PIPE, text=True
        )
    try:
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"listening on http://\S+:(\d+)", line):
                yield int(found[1]), Server([process.pid])
                return
        raise SystemExit(said)
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


NGINX = """
daemon off; worker_processes 1; pid {0}/nginx.pid; error_log {0}/error.log crit;
events {{ worker_connections 2048; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; types {{ }}
    client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f;
    uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; open_file_cache max=100;
    server {{ listen {1}; root {0}; default_type application/octet-stream; }}
}}
"""


@contextlib.contextmanager
def nginx(directory):
    from stage import free_port

    program = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    Path(directory, "file").write_bytes(make_envelope(0))
    # Started by root it would serve as somebody who may not look in here.
    user = "user root;" if os.geteuid() == 0 else ""
    Path(directory, "nginx.conf").write_text(user + NGINX.format(directory, f"{HOST}:{port}"))
    with bench.on_core(0):
        process = subprocess.Popen(
            [program, "-p", directory, "-c", f"{directory}/nginx.conf"], stderr=subprocess.DEVNULL
        )
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"http://{HOST}:{port}/file", timeout=1).close()
                break
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield port, Server([process.pid, *map(int, children)])
    finally:
        process.terminate()
        process.wait()


# What is measured


def raw_syncs(directory, seconds):
    path = Path(directory) / "raw"
    envelope = make_envelope(0)
    count, end = 0, time.perf_counter() + seconds
    with path.open("wb", buffering=0) as file:
        while time.perf_counter() < end:
            file.write(envelope)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return count / seconds


async def drive(port, waiting, seconds, make):
    """Keep so many requests on their way; return rate and latencies in ms."""
    latencies = []
    lines = await asyncio.gather(*(connect(port) for _ in range(waiting)))
    end = time.perf_counter() + seconds
    numbers = iter(range(10**9))

    async def lane(line):
        while (start := time.perf_counter()) < end:
            status = await line.ask(*make(next(numbers)))
            assert status in (200, 201), status
            latencies.append((time.perf_counter() - start) * 1000)

    await asyncio.gather(*(lane(line) for line in lines))
    for line in lines:
        line.transport.close()
    return len(latencies) / seconds, latencies


class Crowd:
    """Tills that each upload once a second; who is refused comes again when he was told to.

    A till never sends before its answer is there, so that the relay's own slowness would hide in
    fewer requests: how many were sent is counted, and a wait is counted from the sending. How late
    this program was itself is measured as well: figures are the relay's only while it was not.
    """

    def __init__(self, port, make):
        self._port = port
        self._make = make
        self._numbers = iter(range(10**9))
        self.taken, self.late, self.refused, self.told = [], [], Counter(), []

    async def run(self, tills, seconds):
        lines = []
        for first in range(0, tills, CONNECT_AT_ONCE):  # the relay's queue has a length
            some = range(first, min(tills, first + CONNECT_AT_ONCE))
            new = await asyncio.gather(*(connect(self._port) for _ in some))
            # The system takes connections for the relay; an answer is the relay's own.
            await asyncio.gather(*(line.ask(head("GET", "/v1/info")) for line in new))
            lines += new
        gc.collect()
        gc.disable()
        start = time.perf_counter() + 0.1
        await asyncio.gather(*(self._till(line, start, seconds) for line in lines))
        gc.enable()
        self.seconds = time.perf_counter() - start
        for line in lines:
            line.transport.close()
        return self

    async def _till(self, line, start, seconds):
        due = start + random.random()
        while due < start + seconds:
            await asyncio.sleep(due - time.perf_counter())
            begun = time.perf_counter()
            self.late.append((begun - due) * 1000)
            status = await line.ask(*self._make(next(self._numbers)))
            ended = time.perf_counter()
            if status == 201:
                self.taken.append((ended - begun) * 1000)
                due = max(due + 1, ended)
            else:
                self.refused[status] += 1
                self.told.append(line.retry)
                due = ended + line.retry

    def rows(self, name):
        """Return the line of those that were taken, and that of those that were not."""
        sent = len(self.taken) + self.refused.total()
        late = bench.percentile(self.late, 99)
        mark = "" if late < LATE_MS else " **of the load, not of the relay**"
        rows = [[f"{name}: taken", len(self.taken) / self.seconds, *two(self.taken), "",
                 f"{sent:,} sent, the load {late:.0f} ms late (p99){mark}"]]  # fmt: skip
        kinds = ", ".join(f"{count:,} with {status}" for status, count in self.refused.items())
        told = f", Retry-After {min(self.told)} to {max(self.told)} s" if self.told else ""
        share = f"{self.refused.total() / sent:.0%}"
        rows.append([f"{name}: refused, {share}", self.refused.total() / self.seconds, "", "",
                     "", (kinds or "none") + told])  # fmt: skip
        return rows


async def measured(server, port, waiting, seconds, make):
    cpu = server.cpu()
    rate, latencies = await drive(port, waiting, seconds, make)
    return rate, latencies, (server.cpu() - cpu) / len(latencies) * 1e6


def wrk(server, port, path, waiting, seconds):
    """Measure with wrk, where it is; return rate, median and p99 in ms, CPU in µs."""
    cpu = server.cpu()
    with bench.on_core(1):
        done = subprocess.run(
            ["wrk", "-t1", f"-c{waiting}", f"-d{seconds}s", "--latency",
             f"http://{HOST}:{port}{path}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    count = int(re.search(r"(\d+) requests in", done.stdout)[1])
    used = (server.cpu() - cpu) / count * 1e6
    latency = {
        percent: float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
        for percent, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", done.stdout)
    }
    return count / seconds, [latency["50"], latency["99"]], used


async def download(server, port, path, options):
    if shutil.which("wrk"):
        return wrk(server, port, path, options.waiting, options.seconds)
    get = head("GET", path)
    return await measured(server, port, options.waiting, options.seconds, lambda _: (get,))


def upload_maker(offset=0, size=SIZE):
    bodies = [make_envelope(number, size) for number in range(64)]
    before, after = head("PUT", "/v1/t/@", size).split(b"@")

    def make(number):
        number += offset
        return b"%b%032x%b" % (before, number, after), bodies[number % 64]

    return make


async def register(port, count):
    body = b"dsp/v1\r\n" + hashlib.sha256(READ).digest() + hashlib.sha256(WRITE).digest()
    lines = await asyncio.gather(*(connect(port) for _ in range(64)))
    numbers = iter(range(count))

    async def lane(line):
        for number in numbers:
            status = await line.ask(head("PUT", f"/v1/c/{number:032x}", len(body)), body)
            assert status in (200, 201), status

    await asyncio.gather(*(lane(line) for line in lines))
    for line in lines:
        line.transport.close()


class Displays:
    """Displays that wait, each on a channel of its own, and ask again when they are answered."""

    def __init__(self, port, count):
        self._port = port
        self._count = count
        self._tasks = []
        self._connected = 0
        self._all = asyncio.Event()

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._wait(n)) for n in range(self._count)]
        await self._all.wait()
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self, number):
        await asyncio.sleep(number / 2_000)  # not all in one moment
        line = await connect(self._port)
        hello = os.urandom(80)
        path = f"/v1/c/{number:032x}/hello"
        self._connected += 1
        if self._connected == self._count:
            self._all.set()
        try:
            while True:
                await line.ask(head("POST", path, 112), READ + hello)
        finally:
            line.transport.close()


async def push(port, channel, count):
    """Say hello on a display and answer it from a till; return till's PUT → display in ms."""
    latencies = []
    display, till = await connect(port), await connect(port)
    path = f"/v1/c/{channel:032x}/hello"
    authorization = {"Authorization": f"Bearer {WRITE.hex()}"}
    for _ in range(count):
        hello = os.urandom(80)
        waiting = asyncio.ensure_future(display.ask(head("POST", path, 112), READ + hello))
        hid = hashlib.sha256(hello).hexdigest()[:32]
        while True:
            start = time.perf_counter()
            put = head("PUT", f"{path}/{hid}", 512, **authorization)
            answering = asyncio.ensure_future(till.ask(put, bytes(512)))
            if await answering == 204:
                break
            await asyncio.sleep(0.002)  # the hello has not arrived yet
        await waiting
        latencies.append((time.perf_counter() - start) * 1000)
        await asyncio.sleep(0.01)
    display.transport.close()
    till.transport.close()
    return latencies


async def market(port, seconds, sales_per_second):
    """Sales at random moments, each uploaded, shown, fetched and reported, as on a busy day."""
    found = {"upload": [], "push": [], "fetch": [], "state": []}
    pool = asyncio.Queue()
    for _ in range(64):
        pool.put_nowait(await connect(port))

    async def timed(name, *parts):
        line = await pool.get()
        start = time.perf_counter()
        status = await line.ask(*parts)
        found[name].append((time.perf_counter() - start) * 1000)
        pool.put_nowait(line)
        return status

    async def sale(number):
        ticket = f"/v1/t/{number + 10**12:032x}"
        assert await timed("upload", head("PUT", ticket, SIZE), make_envelope(number)) == 201
        assert await timed("fetch", head("GET", ticket)) == 200
        for word in (b"opened", b"received"):
            body = TOKEN + word
            assert await timed("state", head("POST", ticket + "/state", len(body)), body) == 204

    total = int(seconds * sales_per_second)
    start = time.perf_counter()
    tasks = []
    pushing = asyncio.create_task(push(port, 10**6, max(10, total // 4)))
    for number in range(total):
        await asyncio.sleep(max(0, start + number / sales_per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(sale(number)))
    await asyncio.gather(*tasks)
    found["push"] = await pushing
    return found


async def privatebin(url, waiting, seconds):
    """Pastes of the same size made and read, one connection each, as its page does."""
    import aiohttp

    ids, rows = [], []
    adata = [["A" * 24, "A" * 12, 100000, 256, 128, "aes", "gcm", "none"], "plaintext", 0, 0]
    headers = {"X-Requested-With": "JSONHttpRequest"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def put(_):
            text = base64.b64encode(os.urandom(SIZE * 3 // 4)).decode()
            paste = {"v": 2, "adata": adata, "ct": text, "meta": {"expire": "5min"}}
            async with session.post(url, json=paste) as answer:
                said = await answer.json(content_type=None)
                if said.get("status") == 0:
                    ids.append(said["id"])

        async def get(number):
            if ids:
                async with session.get(f"{url}?{ids[number % len(ids)]}") as answer:
                    await answer.read()

        for name, act in (("PrivateBin, upload", put), ("PrivateBin, download", get)):
            latencies, end = [], time.perf_counter() + seconds

            async def lane(number, act=act, latencies=latencies, end=end):
                while (start := time.perf_counter()) < end:
                    await act(number)
                    latencies.append((time.perf_counter() - start) * 1000)

            await asyncio.gather(*(lane(number) for number in range(waiting)))
            rows.append([name, len(latencies) / seconds, *two(latencies), "", ""])
    return rows


def two(latencies):
    return [statistics.median(latencies), bench.percentile(latencies, 99)]


async def measure(options, directory):
    rows, ratios = [], {}
    raw = [raw_syncs(directory, 1)]
    with nginx(directory) as (port, server):
        rate, latencies, used = await download(server, port, "/file", options)
        rows.append(["nginx, static file", rate, *two(latencies), used, ""])
        static = rate
    with relay(directory) as (port, server):
        rate, latencies, used = await measured(
            server, port, options.waiting, options.seconds, upload_maker()
        )
        rows.append(["relay, durable upload", rate, *two(latencies), used, ""])
        ratios["upload CPU, ms"] = used / 1000
        uploads = rate
        last = int(rate * options.seconds) - 8
        hot = f"/v1/t/{last:032x}"
        rate, latencies, used = await download(server, port, hot, options)
        rows.append(["relay, download, from memory", rate, *two(latencies), used, ""])
        ratios["download / nginx static, rate"] = rate / static
    with relay(directory) as (port, server):

        def cold(number):
            return (head("GET", f"/v1/t/{number % max(last, 1):032x}"),)

        rate, latencies, used = await measured(server, port, options.waiting, options.seconds, cold)
        rows.append(["relay, download, from disk", rate, *two(latencies), used, ""])
    raw.append(raw_syncs(directory, 1))
    rows.append(["append and fdatasync, one each", sum(raw) / 2, "", "", "", ""])
    ratios["durable upload / raw sync, rate"] = uploads / (sum(raw) / 2)
    rows += await overload(options)
    for count in options.displays:
        rows += await with_displays(options, count, ratios)
    if options.privatebin:
        rows += await privatebin(options.privatebin, options.waiting, options.seconds)
    return rows, ratios


async def overload(options):
    """What one core takes of small envelopes, and then three times as many tills as that.

    Small ones, for the load must be able to send three times what the relay can take.
    """
    rows = []
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:  # noqa: SIM117 - reads best
        with relay(directory) as (port, server):
            make = upload_maker(size=SMALL_SIZE)
            rate, latencies, used = await measured(server, port, CROWDED, options.seconds, make)
            rows.append([f"16 KiB uploads, {CROWDED} waiting: capacity", rate, *two(latencies),
                         used, ""])  # fmt: skip
            for times in (0.5, 3):
                tills = min(int(times * rate), FILES - 200)
                more = upload_maker(10**9 + int(10**8 * times), size=SMALL_SIZE)
                crowd = await Crowd(port, more).run(tills, options.seconds)
                asked = tills / rate
                rows += crowd.rows(f"{tills:,} tills, one a second each, {asked:.1f} of capacity")
    return rows


async def with_displays(options, count, ratios):
    rows = []
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:  # noqa: SIM117 - reads best
        with relay(directory) as (port, server):
            await register(port, count)
            body = b"dsp/v1\r\n" + hashlib.sha256(READ).digest() + hashlib.sha256(WRITE).digest()
            line = await connect(port)
            assert await line.ask(head("PUT", f"/v1/c/{10**6:032x}", 72), body) == 201
            line.transport.close()
            before, cpu = server.memory(), server.cpu()
            async with Displays(port, count):
                memory = (server.memory() - before) / count / 1000
                cpu = (server.cpu() - cpu) / count * 1e6
                rows.append([f"{count:,} displays wait", "", "", "", cpu, f"{memory:.1f} KB each"])
                latencies = await push(port, 10**6, options.pushes)
                rows.append([f"push, {count:,} displays wait", "", *two(latencies), "", ""])
                ratios["memory per display, KB"] = memory
                ratios["push with displays, p50 ms"] = two(latencies)[0]
                ratios["push with displays, p99 ms"] = two(latencies)[1]
                cpu = server.cpu()
                found = await market(port, options.seconds, options.sales)
                used = (server.cpu() - cpu) / options.seconds * 100
                for name, values in found.items():
                    rate = len(values) / options.seconds
                    rows.append([f"market day, {count:,} displays: {name}", rate, *two(values),
                                 "", ""])  # fmt: skip
                rows[-1][-1] = f"{used:.0f} % of a core"
    return rows


# What is shown


def picture(ratios):
    """Bars of each figure against its goal; 1 is the goal, longer is better."""
    lines = []
    for number, (name, (sense, goal)) in enumerate(GOALS.items()):
        value = ratios[name]
        better = value / goal if sense == ">=" else goal / max(value, 1e-9)
        width = min(better, 3) * 120
        y = 46 + number * 34
        colour = "#0b6b57" if better >= 1 else "#b4532a"
        sign = "≥" if sense == ">=" else "≤"
        lines.append(
            f'<text x="230" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="240" y="{y}" width="{width:.0f}" height="20" rx="3" fill="{colour}"/>'
            f'<text x="{248 + width:.0f}" y="{y + 14}">{value:.2f}'
            f' <tspan fill="#777">({sign} {goal})</tspan></text>'
        )
    height = 60 + len(GOALS) * 34
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}"'
        ' font-family="system-ui,sans-serif" font-size="13" fill="#222">'
        f'<rect width="760" height="{height}" fill="#fbfaf6"/>'
        '<text x="360" y="28" text-anchor="middle" fill="#777">the goal</text>'
        f'<path d="M360 36V{height - 14}" stroke="#999" stroke-dasharray="3 4"/>'
        + "".join(lines)
        + "</svg>\n"
    )


def report(rows, ratios, machine):
    out = [machine, ""]
    columns = ["", "per second", "p50 ms", "p99 ms", "CPU µs", ""]
    out.append("| " + " | ".join(columns) + " |")
    out.append("|---" * len(columns) + "|")
    for row in rows:
        cells = [
            f"{c:,.0f}" if isinstance(c, float) and c >= 100 else
            f"{c:.2f}" if isinstance(c, float) else str(c)
            for c in row
        ]  # fmt: skip
        out.append("| " + " | ".join(cells) + " |")
    if ratios:
        out += ["", "| figure | measured | goal |", "|---|---|---|"]
    for name, (sense, goal) in GOALS.items() if ratios else ():
        sign = "≥" if sense == ">=" else "≤"
        out.append(f"| {name} | {ratios[name]:.2f} | {sign} {goal} |")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--displays", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--pushes", type=int, default=500)
    parser.add_argument("--sales", type=int, default=50, help="sales a second on a market day")
    parser.add_argument("--privatebin", metavar="URL", help="measure one that you run, too")
    parser.add_argument("--overload", action="store_true", help="too many uploads, and no more")
    parser.add_argument("--quick", action="store_true", help="a minute, for a look")
    parser.add_argument("--write", action="store_true", help="write table and picture here")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.displays, options.pushes = 2, [500], 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    machine = bench.machine()
    if not shutil.which("wrk"):
        machine += "; downloads are bounded by the load generator (install wrk)"
    command = "`" + " ".join(["python", *sys.argv]) + "`"
    with bench.on_core(1), tempfile.TemporaryDirectory(dir=".") as directory:
        options.directory = str(Path(directory).resolve())
        if options.overload:
            print(report(uvloop.run(overload(options)), {}, f"{machine}. {command}"))
            return
        rows, ratios = uvloop.run(measure(options, options.directory))
    text = report(rows, ratios, f"{machine}. {command}")
    print(text)
    if options.write:
        here = Path(__file__).parent
        (here / "relay_bench.md").write_text("# A relay, measured\n\n" + text, "utf-8")
        (here / "relay_bench.svg").write_text(picture(ratios), "utf-8")


if __name__ == "__main__":
    main()
