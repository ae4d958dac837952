"""Whether the store can really be written and read (spec/relay.md, For its operator)."""

import asyncio

from relay_server.clock import Clock
from relay_server.store import Store

FRESH_SECONDS = 5.0
"""An answer is good for so long: asking often costs the disk nothing."""
PROBE_SECONDS = 5.0


class Health:
    """The last probe of the store, made anew when it is old and somebody asks."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._well = False
        self._until = -1.0

    async def check(self) -> bool:
        """Tell whether the store was written and read just now; one probe for all who ask."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                self._well = await self._probe()
                self._until = self._clock.monotonic() + FRESH_SECONDS
            return self._well

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._store.probe()
        except Exception:  # noqa: BLE001 - whatever it is, the store cannot do its work
            return False
        return True
