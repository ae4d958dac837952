"""Short addresses: four characters that bring one tablet its pairing (spec/security.md).

Four characters are 20 bits, which is little. They hold because each is valid for two minutes and
for one tablet, a display has at most one, and whoever guesses is made to wait: alone after five
wrong tries, everybody together after thirty. They live in memory only.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from e2ee_ticket.sources.connections import neighbourhood
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.displays import Pairing

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U; what looks like 0 or 1 is read as such."""
LENGTH: Final = 4
VALID_SECONDS: Final = 120.0
TRIES: Final = 5
TRY_SECONDS: Final = 60.0
"""After its wrong tries, an address gets one more in so many seconds."""
ALL_TRIES: Final = 30
ALL_TRY_SECONDS: Final = 4.0

_LOOK_ALIKE: Final = str.maketrans("ILO", "110")
_ADDRESSES_MAX: Final = 1024


def draw() -> str:
    """Draw the characters of a short address."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


@dataclass(frozen=True, slots=True)
class _Live:
    """A short address that can still be used."""

    display: Pairing
    until: float


class ShortAddresses:
    """The short addresses that are valid now."""

    def __init__(self, clock: Clock, draw: Callable[[], str] = draw) -> None:
        self._clock, self._draw = clock, draw
        self._live: dict[str, _Live] = {}
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._all = _Tries(ALL_TRIES, ALL_TRY_SECONDS)

    def new(self, display: Pairing) -> str:
        """Make the four characters for a display; those it had are over."""
        self._forget_old()
        cid = display.secret.cid
        self._live = {
            code: live for code, live in self._live.items() if live.display.secret.cid != cid
        }
        code = self._draw()
        while code in self._live:
            code = self._draw()
        self._live[code] = _Live(display, self._clock.monotonic() + VALID_SECONDS)
        return code

    def must_wait(self, address: str) -> float:
        """Return for how many seconds whoever calls from there has no more tries; 0 if they have.

        Ask this before `take`, and refuse without it.
        """
        now = self._clock.monotonic()
        mine = self._tries.get(neighbourhood(address))
        return max(self._all.wait(now), 0.0 if mine is None else mine.wait(now))

    def take(self, text: str, address: str) -> Pairing | None:
        """Use up a short address; None, and one try less, where there is none like this."""
        self._forget_old()
        typed = text.upper().translate(_LOOK_ALIKE).encode("utf-8", "replace")
        for code, live in self._live.items():
            if hmac.compare_digest(code.encode("ascii"), typed):
                del self._live[code]
                return live.display
        self._count(neighbourhood(address))
        return None

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        self._live = {code: live for code, live in self._live.items() if live.until > now}

    def _count(self, address: str) -> None:
        now = self._clock.monotonic()
        self._all.take(now)
        self._tries.setdefault(address, _Tries(TRIES, TRY_SECONDS)).take(now)
        self._tries.move_to_end(address)
        while len(self._tries) > _ADDRESSES_MAX:
            self._tries.popitem(last=False)


class _Tries:
    """So many tries at once, and one more in so many seconds."""

    __slots__ = ("_left", "_most", "_read_at", "_seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._left = float(most)
        self._read_at: float | None = None

    def wait(self, now: float) -> float:
        """Return in how many seconds there is a try; 0 if there is one."""
        self._refill(now)
        return max(0.0, (1.0 - self._left) * self._seconds)

    def take(self, now: float) -> None:
        self._refill(now)
        self._left = max(0.0, self._left - 1.0)

    def _refill(self, now: float) -> None:
        if self._read_at is not None:
            self._left = min(self._most, self._left + (now - self._read_at) / self._seconds)
        self._read_at = now
