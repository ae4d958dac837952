"""Time, as the till reads it; a test passes another one in."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

_T = TypeVar("_T")
_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """Two clocks and a way to wait."""

    def now(self) -> float:
        """Read the wall clock: seconds since 1970, as right as this computer is."""
        ...

    def monotonic(self) -> float:
        """Read the clock that never jumps: seconds since some moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """This computer's clocks."""

    def now(self) -> float:
        """Read the wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Read the clock that never jumps, and goes on while this computer sleeps.

        A customer leaves meanwhile. Linux's monotonic clock stands still then; another is used.
        """
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


async def within(seconds: float, work: Awaitable[_T], clock: Clock) -> _T:
    """Do something for so long at most, by this clock, and return what came of it.

    Raises:
        TimeoutError: it took longer, and was ended.
    """
    working = asyncio.ensure_future(work)
    ending = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise TimeoutError
        return working.result()
    finally:
        for each in (working, ending):
            each.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)
