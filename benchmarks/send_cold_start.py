"""`e2ee-ticket send` as a whole process, from its start to the QR code on the terminal.

Beside it, in the same run and on the same core: the interpreter alone, and an interpreter that
imports no more than drawing the code needs. The code is what the cashier waits for; how long the
process then takes to upload is in the last row.
"""

import argparse
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench
import stage

LAST_LINE = "\x1b[0m\n"
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
        send = [str(stage.BIN / "e2ee-ticket"), "send", receipt]
        times = {"bare": [], "lean": [], "code": [], "done": []}
        with bench.on_core(1):
            for _ in range(count):
                times["bare"].append(run([sys.executable, "-c", "pass"], till))
                times["lean"].append(run([sys.executable, "-c", LEAN], till))
                code, done = run_to_code(send, till)
                times["code"].append(code)
                times["done"].append(done)
        relay.stop()
    bare = statistics.median(times["bare"])
    names = {
        "bare": "`python -c pass`",
        "lean": "… that imports what a code needs",
        "code": "`send`, to the code on the terminal",
        "done": "`send`, to its end: uploaded",
    }
    rows = [
        [names[name], *bench.summary(values), f"{statistics.median(values) / bare:.1f}"]
        for name, values in times.items()
    ]
    bench.table([f"of {count}, ms", "p50", "p99", "max", "p50 / bare"], rows)


def run(command, till):
    start = time.perf_counter()
    subprocess.run(command, env=till.environment, check=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1000


def run_to_code(command, till):
    """Run at a terminal of its own; return when the code was drawn, and when it ended."""
    here, there = pty.openpty()
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=till.environment, stdin=subprocess.DEVNULL, stdout=there, stderr=there
    )
    os.close(there)
    drawn, seen = None, b""
    while True:
        try:
            data = os.read(here, 65536)
        except OSError:  # the terminal's other end was closed
            break
        seen += data
        if drawn is None and is_whole(seen):
            drawn = time.perf_counter()
    process.wait()
    end = time.perf_counter()
    os.close(here)
    assert process.returncode == 0, seen
    assert drawn is not None, seen
    return (drawn - start) * 1000, (end - start) * 1000


def is_whole(seen):
    """A code of version 4 has 33 modules and a quiet zone: at least 19 lines of half blocks."""
    return seen.count(b"\x1b[0m\r\n") >= 19


main()
