"""How much one address or channel may do, and how much all may do at once (spec/relay.md, R12).

An address is never kept: buckets are found by a keyed hash of it, the key lives in memory alone,
and when it changes, once a day, all buckets are forgotten with it.
"""

import hashlib
import math
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from relay_server.clock import Clock
from relay_server.errors import OverloadedError, TooOftenError

DAY = 86_400
_WAITING_RETRY_SECONDS = 5
_MAPPED = bytes(10) + b"\xff\xff"


class Buckets:
    """One token bucket for each key; a key that was not seen for long costs no memory."""

    def __init__(self, *, per_second: float, burst: float, max_entries: int, clock: Clock) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_entries = max_entries
        self._clock = clock
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, key: bytes, cost: float) -> int:
        """Return the seconds until the key may spend this much; 0 is now."""
        missing = cost - self._level(key)
        return math.ceil(missing / self._per_second) if missing > 0 else 0

    def spend(self, key: bytes, cost: float) -> None:
        """Take from the key's bucket, whether or not there is enough in it."""
        level = self._level(key) - cost
        # Re-insertion keeps the dictionary in the order of last use.
        self._buckets.pop(key, None)
        self._buckets[key] = (level, self._clock.monotonic())
        if len(self._buckets) > self._max_entries:
            del self._buckets[next(iter(self._buckets))]

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()

    def _level(self, key: bytes) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst
        level, then = bucket
        elapsed = self._clock.monotonic() - then
        return min(self._burst, level + elapsed * self._per_second)


class AddressLimits:
    """Uploads, bytes and registrations for each address of an open relay (R12)."""

    def __init__(
        self,
        *,
        uploads: Buckets,
        volume: Buckets,
        registrations: Buckets,
        waiting_max: int,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._volume = volume
        self._registrations = registrations
        self._waiting_max = waiting_max
        self._clock = clock
        self._waiting: dict[bytes, int] = {}
        self._key = secrets.token_bytes(32)
        self._key_until = clock.monotonic() + DAY

    def check_upload(self, address: str, size: int) -> None:
        """Count one upload of this size.

        Raises:
            TooOftenError: above the limit of uploads or of bytes; nothing is counted then.
        """
        name = self.name(address)
        seconds = max(self._uploads.wait(name, 1), self._volume.wait(name, size))
        if seconds:
            raise TooOftenError(seconds)
        self._uploads.spend(name, 1)
        self._volume.spend(name, size)

    def check_registration(self, address: str) -> None:
        """Count one registration.

        Raises:
            TooOftenError: above the limit; nothing is counted then.
        """
        name = self.name(address)
        seconds = self._registrations.wait(name, 1)
        if seconds:
            raise TooOftenError(seconds)
        self._registrations.spend(name, 1)

    @contextmanager
    def wait(self, address: str) -> Iterator[None]:
        """Count a request that waits, until the block ends.

        Raises:
            OverloadedError: as many of this address wait already.
        """
        name = self.name(address)
        count = self._waiting.get(name, 0)
        if count >= self._waiting_max:
            raise OverloadedError(_WAITING_RETRY_SECONDS)
        self._waiting[name] = count + 1
        try:
            yield
        finally:
            # The names may have changed meanwhile, and all counts have been forgotten.
            left = self._waiting.get(name, 0) - 1
            if left > 0:
                self._waiting[name] = left
            else:
                self._waiting.pop(name, None)

    def name(self, address: str) -> bytes:
        """Return what the relay calls an address today."""
        if self._clock.monotonic() >= self._key_until:
            self._key = secrets.token_bytes(32)
            self._key_until = self._clock.monotonic() + DAY
            for buckets in (self._uploads, self._volume, self._registrations):
                buckets.clear()
            self._waiting.clear()
        return hashlib.blake2b(_network(address), key=self._key, digest_size=16).digest()


class ChannelLimits:
    """Hellos for each channel (R90)."""

    def __init__(self, hellos: Buckets) -> None:
        self._hellos = hellos

    def check_hello(self, cid: bytes) -> None:
        """Count one hello.

        Raises:
            TooOftenError: above the limit; nothing is counted then.
        """
        seconds = self._hellos.wait(cid, 1)
        if seconds:
            raise TooOftenError(seconds)
        self._hellos.spend(cid, 1)


class Budget:
    """How much of one thing may be in use at the same time."""

    def __init__(self, amount: int) -> None:
        self._left = amount

    @property
    def left(self) -> int:
        """What nobody uses at the moment."""
        return self._left

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Use this much until the block ends.

        Raises:
            OverloadedError: there is not as much left.
        """
        if amount > self._left:
            raise OverloadedError
        self._left -= amount
        try:
            yield
        finally:
            self._left += amount


def _network(address: str) -> bytes:
    """Return the bytes by which an address is counted: all of IPv4, the first 64 bits of IPv6."""
    text = address.partition("%")[0]
    with suppress(OSError, ValueError):
        return socket.inet_pton(socket.AF_INET, text)
    with suppress(OSError, ValueError):
        packed = socket.inet_pton(socket.AF_INET6, text)
        return packed[12:] if packed.startswith(_MAPPED) else packed[:8]
    return b""
