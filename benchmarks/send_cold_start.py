"""`e2ee-ticket send` as a whole process, from its start to the QR code on the terminal.

Beside it, in the same run and on the same core: the interpreter alone, and an interpreter that
imports no more than drawing the code needs. The code is what the cashier waits for; how long the
process then takes to upload is in the last row. CPU time is there because it hardly depends on
what else the machine does; at the end it includes the process that draws the preview.
"""

import argparse
import os
import pty
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import bench
import stage

LEAN = "import argparse, hmac, pathlib, re, segno, tomllib, nacl.bindings"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=40, help="how many of each")
    count = parser.parse_args().n
    print(bench.machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder, bench.on_core(0):
        relay = stage.Relay(Path(folder) / "relay")
        permit = relay.permit()
        relay.start()
        till = stage.Till(Path(folder) / "till", relay.origin, permit=permit)
        receipt = str(bench.DATA / "dolibarr_takepos_invoice.pdf")
        commands = {
            "bare": [sys.executable, "-c", "pass"],
            "lean": [sys.executable, "-c", LEAN],
            "send": [str(stage.BIN / "e2ee-ticket"), "send", receipt],
        }
        runs = {name: [] for name in commands}
        with bench.on_core(1):
            for _ in range(count):
                for name, command in commands.items():
                    runs[name].append(run(command, till))
        relay.stop()
    rows = [
        row("`python -c pass`", runs, "bare", "end"),
        row("… that imports what a code needs", runs, "lean", "end"),
        row("`send`, to the code on the terminal", runs, "send", "code"),
        row("`send`, to its end: uploaded", runs, "send", "end"),
    ]
    head = [
        f"of {count}, ms",
        *bench.SUMMARY,
        "CPU p50",
        "least / bare",
        "p50 / bare",
        "CPU / bare",
    ]
    bench.table(head, rows)


@dataclass
class Run:
    """Milliseconds by the clock, and of CPU time, until the code was drawn and until the end."""

    code: float | None
    code_cpu: float | None
    end: float
    end_cpu: float


def row(name, runs, command, until):
    times = [getattr(one, until) for one in runs[command]]
    cpu = statistics.median(getattr(one, until + "_cpu") for one in runs[command])
    bare = [one.end for one in runs["bare"]]
    bare_cpu = statistics.median(one.end_cpu for one in runs["bare"])
    ratios = (
        min(times) / min(bare),
        statistics.median(times) / statistics.median(bare),
        cpu / bare_cpu,
    )
    return [name, *bench.summary(times), cpu, *(f"{ratio:.1f}" for ratio in ratios)]


def run(command, till):
    """Run at a terminal of its own."""
    here, there = pty.openpty()
    before = cpu_of_children()
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=till.environment, stdin=subprocess.DEVNULL, stdout=there, stderr=there
    )
    os.close(there)
    code, code_cpu, seen = None, None, b""
    while True:
        try:
            data = os.read(here, 65536)
        except OSError:  # the terminal's other end was closed
            break
        seen += data
        if code is None and is_whole(seen):
            code = (time.perf_counter() - start) * 1000
            # The first number is the nanoseconds that the process has had on a CPU.
            code_cpu = int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e6
    process.wait()
    end = (time.perf_counter() - start) * 1000
    os.close(here)
    assert process.returncode == 0, seen
    return Run(code, code_cpu, end, cpu_of_children() - before)


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def is_whole(seen):
    """A code of version 4 has 33 modules and a quiet zone: at least 19 lines of half blocks."""
    return seen.count(b"\x1b[0m\r\n") >= 19


main()
