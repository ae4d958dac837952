"""How much memory this relay may have, and what it makes of that."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from relay_server.config import KIB, MIB, Config

CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
BASE_BYTES = 64 * MIB
"""What a relay has before anybody calls: the interpreter, its libraries, the database's pages."""
CONNECTION_BYTES = 40 * KIB
"""What a connection that waits takes, at most, for all that is known of it."""


def find_memory_limit(cgroup: Path = CGROUP, root: Path = CGROUPS) -> int | None:
    """Return how many bytes this process may take: its cgroups' least limit, or the machine's."""
    limits = list(_limits(cgroup, root))
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def _limits(cgroup: Path, root: Path) -> Iterator[int]:
    try:
        lines = cgroup.read_text("ascii", "surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, where = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        place = base / where.lstrip("/")
        while True:
            with suppress(OSError, ValueError):
                yield int((place / name).read_text("ascii"))
            if place == base or base not in place.parents:
                break
            place = place.parent


def fit(config: Config, limit: int | None, *, cache: int | None = None) -> Config:
    """Return the limits that fit into so much memory; never more than they are.

    After the base, three eighths are for envelopes that arrive, wait for the disk or are not read
    yet, one eighth for the memory of recent ones and of bodies that nobody has judged yet, and
    three eighths for connections; the rest is what an interpreter does not give back.
    """
    sizes = (config.reading_max_bytes, config.unread_max_bytes, config.queue_max_bytes)
    connections, recent = config.connections_max, config.cache_max_bytes
    early = config.early_max_bytes
    if limit is not None:
        left = max(32 * MIB, limit - BASE_BYTES)
        # An envelope is 4 MiB at most: one must always fit.
        reading, unread, queued = (max(5 * MIB, min(size, left // 8)) for size in sizes)
        sizes = (reading, unread, queued)
        recent = min(recent, left // 16)
        early = max(5 * MIB, min(early, left // 16))
        connections = min(connections, max(256, left * 3 // 8 // CONNECTION_BYTES))
    return replace(
        config,
        reading_max_bytes=sizes[0],
        unread_max_bytes=sizes[1],
        queue_max_bytes=sizes[2],
        early_max_bytes=early,
        cache_max_bytes=recent if cache is None else cache,
        connections_max=connections,
    )
