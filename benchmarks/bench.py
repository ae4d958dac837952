"""What the benchmarks share: pinning, percentiles, a table, and the machine in a line."""

import contextlib
import os
import platform
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
for folder in ("tests", "tools"):  # the stage on which the tests play a sale, and its browsers
    sys.path.insert(0, str(ROOT / folder))

SUMMARY = ["least", "p50", "p99", "max"]
UNLIMITED = """
import functools, relay_server.cli as cli, relay_server.settings as settings
settings.Config = functools.partial(settings.Config, address_uploads_burst=10**9,
    address_bytes_burst=10**15, address_registrations_burst=10**9, address_waiting_max=10**9,
    channel_hellos_burst=10**9)
raise SystemExit(cli.main())
"""
"""An open relay as a program, with limits that a load from one address does not meet."""


def machine():
    """Say what was measured on, without naming it."""
    release = platform.freedesktop_os_release()
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {release['NAME'].split()[0]} {release.get('VERSION_ID', '')},"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"
    )


@contextlib.contextmanager
def on_core(core):
    """Start what is started in here on one core; children keep it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def percentile(values, percent):
    """Return the value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]


def summary(values):
    """The columns of `SUMMARY`; on a machine that others use too, the least says most."""
    return [min(values), statistics.median(values), percentile(values, 99), max(values)]


def table(head, rows):
    """Print a Markdown table."""
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    for line in lines:
        print("| " + " | ".join(line) + " |")


def _cell(value):
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
