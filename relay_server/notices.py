"""What an operator must know though nobody asks: said in the log once, and again each hour."""

import logging

from relay_server.clock import HOUR, Clock
from relay_server.config import MIB
from relay_server.metrics import Metrics
from relay_server.store import Store

LARGEST_ENVELOPE = 4 * MIB

logger = logging.getLogger("relay_server")


class Notices:
    """The state of each thing that was said; to be looked at some times a minute."""

    def __init__(self, store: Store, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._said: dict[str, float] = {}
        self._refused = 0

    def look(self) -> None:
        """Say what has become wrong, and what has become right again."""
        gauges = self._store.gauges()
        self._tell(
            "room",
            gauges.room_bytes < LARGEST_ENVELOPE,
            f"no room: uploads are refused (507) with {gauges.room_bytes // 1024} KiB left; the "
            "disk is full, or --stored-max is reached",
            "there is room again",
        )
        fault = self._store.fault
        self._tell(
            "fault",
            bool(fault),
            f"the database is damaged: {fault}; make a backup of what there is, then restore "
            "(deploy/operating.md)",
            "the database is whole",
        )
        refused = self._metrics.connections_refused
        self._tell(
            "connections",
            refused > self._refused,
            f"connections run out: {refused - self._refused} were refused since the last look "
            "(--connections-max, LimitNOFILE)",
            "no connection is refused any more",
        )
        self._refused = refused

    def _tell(self, what: str, wrong: bool, said: str, over: str) -> None:  # noqa: FBT001
        now = self._clock.monotonic()
        if wrong and now - self._said.get(what, -HOUR) >= HOUR:
            self._said[what] = now
            logger.error(said)
        elif not wrong and self._said.pop(what, None) is not None:
            logger.info(over)
