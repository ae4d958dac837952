"""The agent over thousands of receipts: how soon a code is there, what it costs, what grows.

    python benchmarks/agent_load.py [--receipts 5000] [--tills 1 8]

Real parts: a relay and an agent as processes, a TakePOS connector for each till. Each till posts
its next receipt when its display has painted the one before; displays follow the display's rules in
a thread each (no browser: nothing is drawn), and every code is fetched and marked as opened, as a
phone does. From the first byte of the POST to the moment that the display has accepted the code.
"""

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import bench
import psutil
from nursery import Interpreters
from shop_floor import Floor

STEPS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--receipts", type=int, default=5000, help="at all tills together")
    parser.add_argument(
        "--tills", type=int, nargs="+", default=[1, 8], help="how many sell at once"
    )
    options = parser.parse_args()
    print(bench.machine(), end="\n\n")
    for tills in options.tills:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "till").mkdir()
            with Floor(Interpreters(), Path(folder), 1, tills=tills) as floor:
                floor.share_opened, floor.share_saved = 1.0, 0.0
                sell(floor, tills, options.receipts)


def sell(floor, tills, count):
    agent = psutil.Process(floor.process.pid)
    rows = []
    for _ in range(STEPS):
        began, cpu = time.monotonic(), cpu_seconds(agent)
        first = len(floor.sent)
        threads = [
            threading.Thread(target=one_till, args=(floor, till, count // STEPS // tills))
            for till in range(tills)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sales = list(floor.sent.values())[first:]
        painted = {each.key: each.since for each in floor.painted}
        times = sorted((painted[sale.key] - sale.sent_at) * 1000 for sale in sales
                       if sale.key in painted)  # fmt: skip
        floor.painted.clear()
        rows.append([
            f"{first + len(sales):,}", len(sales) - len(times), statistics.median(times),
            times[int(len(times) * 0.99)],
            (cpu_seconds(agent) - cpu) / len(sales) * 1000,
            agent.memory_info().rss / 2**20,
            sum(child.memory_info().rss for child in agent.children(recursive=True)) / 2**20,
            len(sales) / (time.monotonic() - began),
        ])  # fmt: skip
        head = ["receipts", "not painted", "p50, ms", "p99, ms", "CPU, ms a receipt", "memory, MiB",
                "its children, MiB", "a second"]  # fmt: skip
        print(rows[-1], flush=True)
    print()
    bench.table([f"{tills} till{'s'[: tills > 1]}, {head[0]}", *head[1:]], rows)
    print()


def one_till(floor, till, count):
    for _ in range(count):
        sale = floor.sell("takepos", till)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            now = floor.displays[till].now
            if now is not None and now.key == sale.key:
                break
            time.sleep(0.002)


def cpu_seconds(process):
    """The agent's own and that of every process that it has ended."""
    times = process.cpu_times()
    alive = sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True))
    return sum(times[:4]) + alive


if __name__ == "__main__":
    main()
