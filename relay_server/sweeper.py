"""Deleting what is over, some times a minute (spec/relay.md, R20, R22, R84)."""

import asyncio
import logging
from contextlib import suppress

from relay_server.clock import Clock
from relay_server.errors import RefusalError
from relay_server.store import Store

logger = logging.getLogger("relay_server")


class Sweeper:
    """A task that sweeps the store at once and then at every interval."""

    def __init__(self, *, store: Store, clock: Clock, sweep_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._sweep_seconds = sweep_seconds
        self.passes = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, in the middle of a sweep if need be."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            due = asyncio.Event()
            timer = self._clock.call_later(self._sweep_seconds, due.set)
            try:
                await self._store.sweep(now=int(self._clock.wall()))
                self.passes += 1
            except RefusalError as error:
                # No room or no time now; what is over is not served in any case (R21).
                logger.warning("the sweep was put off: %s", error.code)
            except Exception as error:  # noqa: BLE001 - the sweeper outlives a fault of the disk
                logger.error("the sweep failed: %s", type(error).__name__)  # noqa: TRY400 - R4
            try:
                await due.wait()
            finally:
                timer.cancel()
