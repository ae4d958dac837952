"""What it costs to look into a receipt and to draw it, behind walls, and what grows meanwhile.

    python benchmarks/looks.py [-n 2500] [--cold 100]

The baseline is a process that is started for each receipt, as it was before and is outside Linux.
Processor time is that of this process and of all that it had started; memory is what is resident.
"""

import argparse
import asyncio
import os
import time

import bench
import psutil

from e2ee_ticket.pdf import look, sandbox

INVOICES = [
    (bench.DATA / name).read_bytes()
    for name in ("dolibarr_takepos_invoice.pdf", "dolibarr_sponge_invoice.pdf")
]
STEPS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=2500, help="receipts by a warm process")
    parser.add_argument("--cold", type=int, default=100, help="receipts, each with its own process")
    options = parser.parse_args()
    print(bench.machine(), end="\n\n")
    rows = []
    sandbox.WARM = False
    rows.append(["a process started for each", *asyncio.run(measure(options.cold))])
    if psutil.LINUX:
        sandbox.WARM = True
        look.warm_up()
        for step in range(1, STEPS + 1):
            count = options.n // STEPS
            rows.append([f"a warm one's, to {step * count}", *asyncio.run(measure(count))])
    head = ["of each", "CPU ms", "p50 ms", "p99 ms", "till MiB", "warm MiB"]
    bench.table(head, rows)


async def measure(count):
    """Look at so many, one after the other."""
    took = []
    before = processor_seconds()
    for number in range(count):
        begun = time.perf_counter()
        _, picture = await look.look(INVOICES[number % 2], timeout=60)
        took.append(1000 * (time.perf_counter() - begun))
        assert picture is not None
    each = 1000 * (processor_seconds() - before) / count
    warm = [process.memory_info().rss for process in psutil.Process().children()]
    return [
        f"{each:.0f}", f"{bench.percentile(took, 50):.0f}", f"{bench.percentile(took, 99):.0f}",
        f"{psutil.Process().memory_info().rss / 2**20:.1f}",
        f"{sum(warm) / 2**20:.1f}" if warm else "",
    ]  # fmt: skip


def processor_seconds():
    """Add up this process, what it waited for, and the warm process with what that waited for."""
    total = sum(os.times()[:4])
    for process in psutil.Process().children():
        total += sum(process.cpu_times()[:4])
    return total


if __name__ == "__main__":
    main()
