"""Whether the relay is there: nobody is shown a code that its phone could not open.

Whatever fails on its way to the relay only raises a doubt; what decides is a question of a few
bytes, asked at once and then again and again until the relay answers. Where it refuses uploads
altogether (a permit that was revoked), it is as good as away, and its reason is told.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from e2ee_ticket.client import RelayInfo
from e2ee_ticket.errors import PermitError, RelayError, TicketError, UnreachableError
from e2ee_ticket.till.clock import Clock, within

QUIET_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 5.0
FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 4.0
"""A customer stands before a display that waits for the relay: its return is seen soon."""


class Probed(Protocol):
    """What is asked of a relay's client."""

    async def info(self) -> RelayInfo:
        """Ask the relay about itself."""
        ...

    async def try_permit(self) -> None:
        """Find out whether this till may upload."""
        ...


class Presence:
    """The relay's presence, as far as it is known."""

    def __init__(
        self, relay: Probed, clock: Clock, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.mode: str | None = None
        """`open` or `closed`, as the relay said last; None before it said anything."""
        self.away_since: float | None = None
        """The wall clock's time; None while it is there, or before anything is known."""
        self.failure: TicketError | None = None
        """Why it is called away."""
        self.known = asyncio.Event()
        """Set once a first question was answered, or was not."""
        self._relay, self._clock, self._changed = relay, clock, changed
        self._doubts = asyncio.Event()
        self._back = asyncio.Event()

    @property
    def here(self) -> bool:
        """Whether the relay takes tickets, as far as known."""
        return self.away_since is None

    def doubt(self) -> None:
        """Ask now: something on its way to the relay has failed, or takes long."""
        self._doubts.set()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the relay comes back."""
        with contextlib.suppress(TimeoutError):
            await within(seconds, self._back.wait(), self._clock)

    async def run(self) -> None:
        """Keep asking until cancelled: seldom while all is well, and at once on a doubt."""
        wait = FIRST_WAIT_SECONDS
        while True:
            self._doubts.clear()
            await self._ask()
            self.known.set()
            if self.here:
                wait = FIRST_WAIT_SECONDS
                with contextlib.suppress(TimeoutError):
                    await within(QUIET_SECONDS, self._doubts.wait(), self._clock)
            else:
                await self._clock.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    async def _ask(self) -> None:
        try:
            await within(PROBE_SECONDS, self._probe(), self._clock)
        except TimeoutError:
            self._go(UnreachableError("the relay does not answer in time"))
        except RelayError as error:
            self._go(error)
        else:
            self._come()

    async def _probe(self) -> None:
        self.mode = (await self._relay.info()).mode
        if self.mode == "closed" or isinstance(self.failure, PermitError):
            await self._relay.try_permit()

    def _go(self, error: RelayError) -> None:
        self.failure = error
        if self.away_since is None:
            self.away_since = self._clock.now()
            self._changed()

    def _come(self) -> None:
        self.failure = None
        if self.away_since is not None or not self.known.is_set():
            self.away_since = None
            self._back.set()
            self._back = asyncio.Event()  # for the next time
            self._changed()


class PatientClock:
    """A clock whose waits for the relay end when the relay comes back."""

    def __init__(self, clock: Clock, presence: Presence) -> None:
        self._clock, self._presence = clock, presence

    def now(self) -> float:
        """Read the wall clock."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Read the clock that never jumps."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the relay comes back."""
        await self._presence.sleep(seconds)
