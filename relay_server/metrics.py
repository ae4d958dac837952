"""What a relay counts of itself, in the text format of Prometheus.

Counts, sums and histograms by route and status: nothing by shop, permit, ticket, channel or
address (spec/security.md, What the relay keeps).
"""

import os
import sys
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from relay_server.store import Gauges

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 26.0)
"""Seconds; the last bound is that of a long poll."""


class _Route:
    """What was counted of one method of one route."""

    __slots__ = ("buckets", "received", "seconds", "sent", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.sent = 0
        self.received = 0


class Metrics:
    """The counts of one relay since its start."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], _Route] = {}
        self.connections = 0
        self.connections_refused = 0

    def count(
        self, method: str, template: str, status: int, *, seconds: float, sent: int, received: int
    ) -> None:
        """Count one request that was answered."""
        key = (method, template)
        route = self._routes.get(key)
        if route is None:
            # A method is any word the caller likes: only known ones get a line of their own.
            key = (method if method in METHODS else "OTHER", template)
            route = self._routes.setdefault(key, _Route())
        route.statuses[status] = route.statuses.get(status, 0) + 1
        route.buckets[bisect_left(BOUNDS, seconds)] += 1
        route.seconds += seconds
        route.sent += sent
        route.received += received

    def render(
        self,
        *,
        gauges: Gauges,
        busy: int,
        open_connections: int,
        sweeps: int,
        clock_doubt: int = 0,
        damaged: bool = False,
    ) -> bytes:
        """Return everything, as Prometheus reads it."""
        lines = [
            *self._requests(),
            *_metric("connections_open", "gauge", "Connections.", open_connections),
            *_metric("connections_total", "counter", "Connections taken.", self.connections),
            *_metric(
                "connections_refused_total",
                "counter",
                "Connections above the limit.",
                self.connections_refused,
            ),
            *_metric("requests_busy", "gauge", "Requests being handled, waiting ones too.", busy),
            *_metric(
                "requests_waiting",
                "gauge",
                "Displays and tills that wait for something to happen.",
                gauges.waiting_requests,
            ),
            *_metric(
                "queue_bytes", "gauge", "Envelopes that wait for the disk.", gauges.queued_bytes
            ),
            *_metric("recent_bytes", "gauge", "Envelopes held in memory.", gauges.recent_bytes),
            *_metric("stored_bytes", "gauge", "What the store holds.", gauges.stored_bytes),
            *_metric("room_bytes", "gauge", "How much more it takes.", gauges.room_bytes),
            *_metric("sweeps_total", "counter", "Passes of the sweeper.", sweeps),
            *_metric("store_damaged", "gauge", "1 when the store was found damaged.", int(damaged)),
            *_metric(
                "clock_doubt_seconds",
                "gauge",
                "By how much the clock jumped and is not believed; 0 when it is.",
                clock_doubt,
            ),
            *_process(),
        ]
        return ("\n".join(lines) + "\n").encode()

    def _requests(self) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests by route and status.")
        routes = sorted(self._routes.items())
        for (method, template), route in routes:
            for status, count in sorted(route.statuses.items()):
                labels = f'method="{method}",route="{template}",status="{status}"'
                yield f"relay_requests_total{{{labels}}} {count}"
        for name, what in (("sent", "Bodies sent."), ("received", "Bodies received.")):
            yield from _head(f"{name}_bytes_total", "counter", what)
            for (method, template), route in routes:
                labels = f'method="{method}",route="{template}"'
                yield f"relay_{name}_bytes_total{{{labels}}} {getattr(route, name)}"
        yield from _head("request_seconds", "histogram", "From a request's head to its answer.")
        for (method, template), route in routes:
            labels = f'method="{method}",route="{template}"'
            total = 0
            for bound, count in zip((*BOUNDS, "+Inf"), route.buckets, strict=True):
                total += count
                yield f'relay_request_seconds_bucket{{{labels},le="{bound}"}} {total}'
            yield f"relay_request_seconds_sum{{{labels}}} {route.seconds:.6f}"
            yield f"relay_request_seconds_count{{{labels}}} {total}"


def _head(name: str, kind: str, what: str) -> tuple[str, str]:
    return f"# HELP relay_{name} {what}", f"# TYPE relay_{name} {kind}"


def _metric(name: str, kind: str, what: str, value: float) -> tuple[str, str, str]:
    return (*_head(name, kind, what), f"relay_{name} {value}")


def _process() -> Iterator[str]:
    times = os.times()
    yield from _metric(
        "cpu_seconds_total", "counter", "Processor time.", round(times.user + times.system, 3)
    )
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
        yield from _metric("memory_bytes", "gauge", "Resident memory.", resident)
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only, and many of them
        yield from _metric("files_open", "gauge", "Open files and connections.", files)
