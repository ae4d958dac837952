"""Who may upload to a closed relay (spec/relay.md, Permits)."""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable

from relay_server.clock import Clock
from relay_server.errors import PermitError, TooOftenError
from relay_server.limits import Buckets
from relay_server.store import Permit

PERMIT_SIZE = 32
HOUR = 3600
MAX_ENTRIES = 100_000
_PERMIT = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def generate() -> str:
    """Draw a permit: 32 random bytes as 43 base64url characters."""
    return secrets.token_urlsafe(PERMIT_SIZE)


def digest(permit: str) -> bytes:
    """Return the SHA-256 of a permit's text: all that a relay keeps of it (R6)."""
    return hashlib.sha256(permit.encode("ascii")).digest()


class Allowance:
    """What a valid permit may still use: counted in memory, by the permit's hash."""

    __slots__ = ("_uploads", "_volume", "name")

    def __init__(self, name: bytes, uploads: Buckets | None, volume: Buckets | None) -> None:
        self.name = name
        """The permit's hash."""
        self._uploads = uploads
        self._volume = volume

    def check(self, size: int) -> None:
        """See that an upload of this size, or a registration, is within the permit's limits.

        Nothing is counted.

        Raises:
            TooOftenError: above them.
        """
        seconds = max(
            0 if self._uploads is None else self._uploads.wait(self.name, 1),
            0 if self._volume is None else self._volume.wait(self.name, size),
        )
        if seconds:
            raise TooOftenError(seconds)

    def count(self, uploads: int, size: int) -> None:
        """Count uploads, and bytes that have come; less than none gives them back."""
        if self._uploads is not None:
            self._uploads.spend(self.name, uploads)
        if self._volume is not None:
            self._volume.spend(self.name, size)


class Permits:
    """The check that a closed relay makes first of all (R10), and what each permit may use."""

    def __init__(self, find: Callable[[bytes], Awaitable[Permit | None]], clock: Clock) -> None:
        self._find = find
        self._clock = clock
        self._uploads: dict[int, Buckets] = {}
        self._volume: dict[int, Buckets] = {}

    async def check(self, permit: str) -> Allowance:
        """Refuse what is not a valid permit at this very moment.

        Raises:
            PermitError: none, or one that is not valid (R10, R11).
        """
        if _PERMIT.fullmatch(permit) is None:
            raise PermitError
        name = digest(permit)
        found = await self._find(name)
        if found is None:
            raise PermitError
        return Allowance(
            name,
            self._buckets(self._uploads, found.uploads_per_hour),
            self._buckets(self._volume, found.bytes_per_hour),
        )

    def _buckets(self, known: dict[int, Buckets], per_hour: int | None) -> Buckets | None:
        """Return the buckets of all permits with this rate; an operator chooses few rates."""
        if per_hour is None:
            return None
        buckets = known.get(per_hour)
        if buckets is None:
            buckets = known[per_hour] = Buckets(
                per_second=per_hour / HOUR,
                burst=per_hour,
                max_entries=MAX_ENTRIES,
                clock=self._clock,
            )
        return buckets
