"""An intake in memory, that takes receipts as the agent does and fails as it is told."""

import asyncio


class Keeper:
    """Keeps arrivals; `fail(error, ...)` raises errors at the next ones."""

    def __init__(self, cursor=None):
        self.arrivals = []
        self.troubles = []
        self.kept_cursor = cursor
        self._failures = []
        self._keys = set()
        self._arrived = asyncio.Event()

    def fail(self, *errors):
        self._failures += errors

    @property
    def receipts(self):
        return [arrival.ticket.receipt for arrival in self.arrivals]

    @property
    def trouble(self):
        """What was reported last."""
        return self.troubles[-1] if self.troubles else None

    async def wait(self, count=1):
        """Wait until so many arrivals are kept."""
        async with asyncio.timeout(20):
            while len(self.arrivals) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def accept(self, arrival):
        await asyncio.sleep(0)
        if self._failures:
            raise self._failures.pop(0)
        if arrival.key is not None and arrival.key in self._keys:
            return False
        self._keys.add(arrival.key)
        self.arrivals.append(arrival)
        if arrival.cursor is not None:
            self.kept_cursor = arrival.cursor
        self._arrived.set()
        return True

    async def cursor(self):
        return self.kept_cursor

    async def keep_cursor(self, cursor):
        self.kept_cursor = cursor

    def report(self, trouble):
        self.troubles.append(trouble)

    def refuse(self, told):
        self.troubles.append(told)
