"""How much one address or channel may do, and how much all may do at once (spec/relay.md, R12).

An address is never kept: buckets are found by a keyed hash of it, the key lives in memory alone,
and when it changes, once a day, all buckets are forgotten with it.
"""

import hashlib
import heapq
import math
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from relay_server.clock import Clock
from relay_server.errors import OverloadedError, TooOftenError

DAY = 86_400
_WAITING_RETRY_SECONDS = 5
_HEAP_SPARE = 1_000
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
        """Take from the key's bucket, whether or not there is enough in it; or give back."""
        level = min(self._burst, self._level(key) - cost)
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
        """See that an upload of this size is within the limits; nothing is counted.

        Raises:
            TooOftenError: above the limit of uploads or of bytes.
        """
        name = self.name(address)
        seconds = max(self._uploads.wait(name, 1), self._volume.wait(name, size))
        if seconds:
            raise TooOftenError(seconds)

    def count_upload(self, address: str, uploads: int, size: int) -> None:
        """Count uploads, and bytes that have come; less than none gives them back."""
        name = self.name(address)
        self._uploads.spend(name, uploads)
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
        return hashlib.blake2b(network(address), key=self._key, digest_size=16).digest()


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


class Shares:
    """Bytes in memory that callers cause, bounded, and shared fairly between their owners (R14).

    When there is no room for more, it is the owner of the most that gives way: it loses the oldest
    of what it holds. So nobody is refused for what others hold who holds less than each of them.

    What is whole does not give way any more. All of that together is half of the room at most, so
    that the other half is always shared among what arrives; and of what is left of that half, no
    owner may have more than it leaves to the others.
    """

    def __init__(self, most: int, *, least: int = 0) -> None:
        """Make room for so many bytes; each thing counts for no less than `least` of them."""
        self._most = most
        self._least = least
        self._total = 0
        self._owners: dict[bytes, dict[Holding, None]] = {}
        self._totals: dict[bytes, int] = {}
        self._settled: dict[bytes, int] = {}
        self._settled_total = 0
        self._most_first: list[tuple[int, bytes]] = []
        """A heap of what owners held, negative; those that are not true any more are passed by."""

    def __len__(self) -> int:
        return sum(map(len, self._owners.values()))

    @property
    def total(self) -> int:
        """What all owners hold, in bytes."""
        return self._total

    def hold(self, owner: bytes, cut: Callable[[], None] | None = None) -> "Holding":
        """Return what keeps the count of one thing, as a context; `cut` is to end it early."""
        return Holding(self, owner, cut or _nothing)

    def begin(self, holding: "Holding") -> None:
        """Count a thing."""
        self._owners.setdefault(holding.owner, {})[holding] = None
        self.grow(holding, self._least)

    def end(self, holding: "Holding") -> None:
        """Count it no more."""
        held = self._owners.get(holding.owner)
        if held is None or holding not in held:
            return
        del held[holding]
        self._total -= holding.size
        if holding.is_settled:
            self._settled[holding.owner] -= holding.size
            self._settled_total -= holding.size
        if held:
            self._note(holding.owner, -holding.size)
        else:
            del self._owners[holding.owner], self._totals[holding.owner]
            self._settled.pop(holding.owner, None)

    def grow(self, holding: "Holding", size: int) -> None:
        """Let a thing have this size, if it had less.

        Raises:
            OverloadedError: it is this one that gives way.
        """
        more = size - holding.size
        if more <= 0:
            return
        holding.size = size
        self._total += more
        self._note(holding.owner, more)
        while self._total > self._most:
            victim = self._find_victim() or holding
            self.end(victim)
            if victim is holding:
                raise OverloadedError
            victim.is_cut = True
            victim.cut()

    def settle(self, holding: "Holding") -> None:
        """Let a thing that is whole not give way any more.

        Raises:
            OverloadedError: there is too much already that does not.
        """
        settled = self._settled.get(holding.owner, 0) + holding.size
        if settled > self._most // 2 - self._settled_total:
            raise OverloadedError
        self._settled[holding.owner] = settled
        self._settled_total += holding.size
        holding.is_settled = True

    def _note(self, owner: bytes, more: int) -> None:
        total = self._totals[owner] = self._totals.get(owner, 0) + more
        if len(self._most_first) > 2 * len(self._totals) + _HEAP_SPARE:
            self._most_first = [(-each, name) for name, each in self._totals.items()]
            heapq.heapify(self._most_first)
        else:
            heapq.heappush(self._most_first, (-total, owner))

    def _find_victim(self) -> "Holding | None":
        while self._most_first:
            total, owner = self._most_first[0]
            if self._totals.get(owner) == -total:
                for holding in self._owners[owner]:
                    if not holding.is_settled:
                        return holding
            # Not true any more, or nothing of it gives way: what it holds next brings it back.
            heapq.heappop(self._most_first)
        return None


def _nothing() -> None:
    pass


class Holding:
    """One thing that takes memory; a context, within which it is counted."""

    __slots__ = ("_shares", "cut", "is_cut", "is_settled", "owner", "size")

    def __init__(self, shares: Shares, owner: bytes, cut: Callable[[], None]) -> None:
        self._shares = shares
        self.owner = owner
        self.cut = cut
        self.size = 0
        self.is_cut = False
        """It has given way, and is counted no more."""
        self.is_settled = False
        """It does not give way any more."""

    def __enter__(self) -> Self:
        self._shares.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._shares.end(self)

    def grow(self, size: int) -> None:
        """Let it have this size.

        Raises:
            OverloadedError: it has to give way, or has done so.
        """
        if self.is_cut:
            raise OverloadedError
        self._shares.grow(self, size)

    def end(self) -> None:
        """Count it no more, where it is no context."""
        self._shares.end(self)

    def settle(self) -> None:
        """Let it give way no more.

        Raises:
            OverloadedError: there is too much that does not.
        """
        self._shares.settle(self)


def network(address: str) -> bytes:
    """Return the bytes by which an address is counted: all of IPv4, the first 64 bits of IPv6."""
    text = address.partition("%")[0]
    with suppress(OSError, ValueError):
        return socket.inet_pton(socket.AF_INET, text)
    with suppress(OSError, ValueError):
        packed = socket.inet_pton(socket.AF_INET6, text)
        return packed[12:] if packed.startswith(_MAPPED) else packed[:8]
    return b""
