"""Deleting what is over, some times a minute (spec/relay.md, R20, R22, R23, R84)."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from relay_server.clock import HOUR, GuardedClock, say_doubt
from relay_server.errors import RefusalError
from relay_server.store import Store
from relay_server.store.beside import Beside

WRITE_SECONDS = 60
"""How often the newest time is kept beside the data."""

logger = logging.getLogger("relay_server")


class Sweeper:
    """A task that sweeps the store at once and then at every interval."""

    def __init__(
        self,
        *,
        store: Store,
        clock: GuardedClock,
        sweep_seconds: float,
        beside: Beside | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._beside = beside
        self._look = look
        self._sweep_seconds = sweep_seconds
        self.passes = 0
        self._doubted = 0
        self._said = self._written = 0.0
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
        await self._remember()

    async def _run(self) -> None:
        while True:
            due = asyncio.Event()
            timer = self._clock.call_later(self._sweep_seconds, due.set)
            try:
                await self._look_at_clock()
                now, latest = int(self._clock.certain()), int(self._clock.latest())
                await self._store.sweep(now=now, latest=latest)
                self.passes += 1
                await self._store.inspect()
                self._look()
            except RefusalError as error:
                # No room or no time now; what is over is not served in any case (R21).
                logger.warning("the sweep was put off: %s", error.code)
            except Exception as error:  # noqa: BLE001 - the sweeper outlives a fault of the disk
                logger.error("the sweep failed: %s", type(error).__name__)  # noqa: TRY400 - R4
            try:
                await due.wait()
            finally:
                timer.cancel()

    async def _look_at_clock(self) -> None:
        clock = self._clock
        clock.look()
        if clock.doubt and await self._is_accepted():
            clock.accept()
            logger.info("the clock is right, the operator says")
        now = clock.monotonic()
        if clock.doubt and (not self._doubted or now - self._said >= HOUR):
            self._said = now
            logger.error(
                "the clock of this machine is %s: nothing is deleted by it until it is right "
                "(relay-server clock)",
                say_doubt(clock.doubt),
            )
        elif self._doubted and not clock.doubt:
            logger.info("the clock of this machine is believed again")
        changed = bool(clock.doubt) != bool(self._doubted)
        self._doubted = clock.doubt
        if changed or not self._written or now - self._written >= WRITE_SECONDS:
            self._written = now
            await self._remember()

    async def _is_accepted(self) -> bool:
        if self._beside is None:
            return False
        return await asyncio.to_thread(self._beside.take_acceptance, self._clock.wall_of_machine())

    async def _remember(self) -> None:
        if self._beside is None:
            return
        try:
            await asyncio.to_thread(self._beside.write, self._clock.seen(), self._clock.doubt)
        except OSError as error:
            logger.warning("cannot write %s: %s", self._beside.known, error.strerror)
