"""How long a question may wait for its answer, where something on the way cuts what waits long.

A proxy ends connections on which nothing happens, at 20 s for instance. Two cuts at about the same
age are such a limit: less is asked for from then on. What the limit is may change; so after an
hour the whole time is tried again.
"""

import time
from collections.abc import Callable
from typing import Final

LEAST_SECONDS: Final = 5
"""A cut that comes sooner is no limit of waiting, and less is never asked for."""
FORGET_SECONDS: Final = 3600.0
_SAME: Final = 0.15
_SHARE: Final = 0.8


class Patience:
    """What the way to one relay allows."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._cut_at: float | None = None
        self._limit: int | None = None
        self._learned_at = 0.0

    def limit(self, seconds: int) -> int:
        """Return how long to ask for, of so many seconds that are wished."""
        if self._limit is not None and self.monotonic() - self._learned_at >= FORGET_SECONDS:
            self._limit = None
        return seconds if self._limit is None else min(seconds, self._limit)

    def cut(self, age: float) -> None:
        """A question broke off when it had waited so many seconds."""
        if age < LEAST_SECONDS:
            return
        before, self._cut_at = self._cut_at, age
        if before is not None and abs(before - age) <= _SAME * age:
            self._limit = max(LEAST_SECONDS, int(min(before, age) * _SHARE))
            self._learned_at = self.monotonic()
            self._cut_at = None
