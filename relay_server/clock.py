"""The two times the relay knows, as one thing that is passed in.

Expiry is a matter of the wall clock, and of the relay's alone; how long a request waits is a matter
of the monotonic one, so that nobody waits for a year because somebody set the clock.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that was planned and can be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """What the relay asks about time."""

    def wall(self) -> float:
        """Return seconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds since some moment."""

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
        """Plan a call in the running event loop."""


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
        """Plan a call in the running event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback, *args)
