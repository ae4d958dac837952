"""The agent at work: from a sale to the code on the display, what it needs idle, and a burst.

    python benchmarks/agent.py [--sales 30] [--tills 8] [--burst 1000] [--idle 60] [only ...]

Real parts: the agent as a process on core 0 together with a relay, the display pages in Chromium
and whoever sells on core 1. A sale begins when its bytes are posted to the TakePOS connector, or
its file appears in the folder; painted means that the page drew the code and two frames have
passed since. Where several tills sell, they do so in turn, each on its own display.
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import socket
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import bench
import psutil
import stage

DOLIBARR = "http://127.0.0.1:8680"
NUMBER = b"TC1-2611-0010"
# The page sets the canvas' width whenever it draws a code, also where one follows another.
WATCH = """
window.painted = [];
new MutationObserver(records => {
    if (records.some(({target}) => target.id === 'qr' && target.width > 1)) {
        requestAnimationFrame(() => requestAnimationFrame(() => window.painted.push(Date.now())));
    }
}).observe(document, {subtree: true, attributes: true, attributeFilter: ['width']});
"""
PARTS = ("display", "idle", "burst")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="only", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--sales", type=int, default=30, help="of each kind, at each till")
    parser.add_argument("--tills", type=int, default=8, help="how many, besides one alone")
    parser.add_argument("--burst", type=int, default=1000, help="how many receipts at once")
    parser.add_argument("--idle", type=float, default=60, help="seconds of doing nothing")
    options = parser.parse_args()
    parts = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    print(bench.machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        relay = make_relay(Path(folder))
        if "display" in parts or "idle" in parts:
            displays(Path(folder), relay, options, parts)
        if "burst" in parts:
            bursts(Path(folder), relay, options.burst)
        relay.stop()


def make_relay(folder):
    with bench.on_core(0):
        relay = stage.Relay(folder / "relay")
        relay.leave = relay.permit()
        return relay.start()


class Agent:
    """The agent as a process, with a TakePOS connector and a folder for each till."""

    def __init__(self, folder, relay, tills):
        folder.mkdir()
        self.till = stage.Till(folder / "state", relay.origin, permit=relay.leave)
        self.names = [f"Till {number}" for number in range(1, tills + 1)]
        self.folders = [folder / name for name in self.names]
        self.ports = [stage.free_port() for _ in self.names]
        self.log = folder / "agent.log"
        parts = [f'[console]\nlisten = "127.0.0.1:{stage.free_port()}"\n']
        for name, port, inbox in zip(self.names, self.ports, self.folders, strict=True):
            inbox.mkdir()
            parts.append(
                f"""
                [[till]]
                name = "{name}"
                display = "{name}"
                [[source]]
                kind = "takepos"
                name = "takepos {name}"
                till = "{name}"
                listen = "127.0.0.1:{port}"
                origin = "{DOLIBARR}"
                [[source]]
                kind = "folder"
                name = "folder {name}"
                till = "{name}"
                path = "{inbox}"
                """
            )
        self.config = "".join(parts)

    def pair(self):
        """Pair a display for each till; return their links."""
        return [
            self.till.run("display", "add", "--link", "--no-wait", name).stdout.strip()
            for name in self.names
        ]

    def __enter__(self):
        (self.till.folder / "config.toml").write_text(self.config, encoding="utf-8")
        with bench.on_core(0), self.log.open("wb") as log:
            self.process = psutil.Popen(
                [stage.BIN / "e2ee-ticket", "agent"],
                env=self.till.environment, stdout=log, stderr=log,
            )  # fmt: skip
        for port in self.ports:
            stage.wait_for(lambda port=port: listens(port), "the agent's start", 60)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


def listens(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


class Seller:
    """Sells: posts what TakePOS would, or drops what a program would print."""

    def __init__(self):
        lines = (bench.DATA / "takepos_connector_escpos.jsonl").read_text("utf-8").splitlines()
        recorded = json.loads(lines[1])
        self.path = recorded["path"]
        self.headers = {name: value for name, value in recorded["h"].items() if name != "Host"}
        job = urllib.parse.parse_qs(recorded["body"])["invoice"][0]
        self.job = base64.urlsafe_b64decode(job + "=" * (-len(job) % 4))
        self.invoice = (bench.DATA / "dolibarr_takepos_invoice.pdf").read_bytes()
        self.count = 0

    def post(self, port):
        """Post a receipt; return when it was taken."""
        self.count += 1
        number = f"TC1-2611-{self.count:04}".encode()
        invoice = base64.urlsafe_b64encode(self.job.replace(NUMBER, number)).decode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", self.path, "invoice=" + invoice.rstrip("="), self.headers)
        assert connection.getresponse().status == 200
        connection.close()

    def drop(self, folder):
        """Put a PDF into a folder, whole at once."""
        self.count += 1
        made = folder.parent / "made.pdf"
        made.write_bytes(self.invoice + b"%% %d\n%%%%EOF\n" % self.count)
        made.rename(folder / f"{self.count:05}.pdf")


# From a sale to the display, and doing nothing


def displays(folder, relay, options, parts):
    from playwright.sync_api import sync_playwright

    times, idle = [], []
    with sync_playwright() as playwright, bench.on_core(1):
        browser = playwright.chromium.launch(
            executable_path=stage.find_chromium(), args=stage.CHROMIUM_ARGUMENTS
        )
        for tills in dict.fromkeys((1, options.tills)):
            with shop(folder / f"tills {tills}", relay, browser, tills) as (agent, pages):
                if "idle" in parts:
                    idle.append([f"{tills} display{'s'[: tills > 1]}", *rest(agent, options.idle)])
                if "display" in parts:
                    times += sales(agent, pages, options.sales, tills)
        browser.close()
    if times:
        bench.table(["sale to code, ms", "sales", *bench.SUMMARY], times)
        print()
    if idle:
        bench.table(["doing nothing", "CPU, s an hour", "memory, MiB"], idle)
        print()


@contextlib.contextmanager
def shop(folder, relay, browser, tills):
    """An agent and its displays, all of them there."""
    agent = Agent(folder, relay, tills)
    links = agent.pair()
    with agent:
        pages = []
        for link in links:
            pages.append(browser.new_page(viewport={"width": 1024, "height": 768}))
            pages[-1].add_init_script(WATCH)
            pages[-1].goto(link)
        for page in pages:
            page.wait_for_selector("html[data-state=idle]", state="attached")
        yield agent, pages
        for page in pages:
            page.close()


def sales(agent, pages, count, tills):
    """Sell at each till in turn; return a row for each way in."""
    seller = Seller()
    ways = {
        "TakePOS, ESC/POS": lambda till: seller.post(agent.ports[till]),
        "folder": lambda till: seller.drop(agent.folders[till]),
    }
    rows = []
    for way, sell in ways.items():
        times = []
        for number in range(count * tills + tills):
            took = time_to_paint(pages[number % tills], lambda: sell(number % tills))  # noqa: B023
            if number >= tills:  # the first of each till warms it up
                times.append(took)
        name = f"{way}, {tills} till{'s'[: tills > 1]}"
        rows.append([name, len(times), *bench.summary(times)])
    return rows


def time_to_paint(page, act):
    """Act, and return the milliseconds until a code was painted anew."""
    before = page.evaluate("window.painted.length")
    start = time.time()
    act()
    page.wait_for_function("count => window.painted.length > count", arg=before, polling=20)
    return page.evaluate("window.painted[window.painted.length - 1]") - start * 1000


def rest(agent, seconds):
    """Do nothing; return the agent's CPU time for an hour of it, and its memory."""
    time.sleep(10)  # its start is over
    before = cpu_seconds(agent.process)
    time.sleep(seconds)
    used = cpu_seconds(agent.process) - before
    return used * 3600 / seconds, agent.process.memory_info().rss / 2**20


def cpu_seconds(process):
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


# A burst


def bursts(folder, relay, count):
    rows = []
    for way in ("folder", "TakePOS, ESC/POS"):
        agent = Agent(folder / f"burst {way.partition(',')[0]}", relay, 1)
        agent.pair()
        with agent, bench.on_core(1):
            rows.append([f"{count:,} receipts, {way}", *burst(agent, way, count)])
    head = ["a burst", "all accepted, s", "all stored, s", "CPU, s", "memory before", "peak, MiB"]
    bench.table(head, rows)


def burst(agent, way, count):
    """Sell all at once; return when all were accepted and stored, CPU time and memory."""
    seller = Seller()
    before = agent.process.memory_info().rss / 2**20
    cpu = cpu_seconds(agent.process)
    start = time.perf_counter()
    peak = Peak(agent.process)
    with peak:
        if way == "folder":
            for _ in range(count):
                seller.drop(agent.folders[0])
            sent = agent.folders[0] / "sent"
            stage.wait_for(lambda: len(list(sent.glob("*.pdf"))) == count, "acceptance", 3600)
        else:
            for _ in range(count):
                seller.post(agent.ports[0])
        accepted = time.perf_counter() - start
        stage.wait_for(lambda: stored(agent) == count, "the last upload", 3600)
        total = time.perf_counter() - start
    used = cpu_seconds(agent.process) - cpu
    return accepted, total, used, before, peak.mib


def stored(agent):
    from e2ee_ticket.till.outbox import FILE_NAME, Outbox

    with Outbox(agent.till.folder / FILE_NAME, time.time) as outbox:
        return sum(entry.state == "stored" for entry in outbox.entries())


class Peak(threading.Thread):
    """Looks at a process' memory ten times a second, without the children that draw previews."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.mib = process, 0.0
        self._over = threading.Event()

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self._over.set()
        self.join()

    def run(self):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        while not self._over.wait(0.1):
            self.mib = max(self.mib, self.process.memory_info().rss / 2**20)


main()
