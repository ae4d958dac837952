"""What the relay keeps, and everything it waits for: the contract of every store.

A store decides alone what must be one step: whether an id is taken (R42), whether a state goes up
(R65), whether a hello is still live (R114). Rules, tokens and clocks are not its business; it is
told ``now``.

Waiting is part of the contract, because a display may wait in one process for what a till puts into
another: a store that spans processes carries the wake-ups too.

All times are whole seconds since 1970 by the relay's wall clock, but for ``wait_seconds``.
"""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple, Protocol


class State(IntEnum):
    """The states a ticket goes up through; expired is not one, but what a clock makes of it."""

    STORED = 0
    OPENED = 1
    RECEIVED = 2
    REVOKED = 3


class Record(NamedTuple):
    """What is known of a ticket besides its envelope, as of a moment."""

    state: State
    token_hash: bytes
    expiry: int
    gone: bool
    """It is a tombstone, or its time is over."""

    @property
    def word(self) -> str:
        """The state in the words of the protocol; of a tombstone, its reason (R69)."""
        if self.gone and self.state < State.RECEIVED:
            return "expired"
        return self.state.name.lower()


class Kept(Enum):
    """What became of an upload or a registration."""

    STORED = "stored"
    SAME = "the same bytes were there"
    OTHER = "other bytes were there"
    GONE = "a tombstone was there"


class Channel(NamedTuple):
    """What is known of a channel; a tombstone has no hashes."""

    read_hash: bytes
    write_hash: bytes
    polled_day: int
    gone: bool


class Answered(Enum):
    """What became of a sealed."""

    DELIVERED = "delivered"
    BEFORE = "this hello had its answer before"
    GONE = "this hello is not live"


class HelloSet(NamedTuple):
    """The live hellos of a channel, oldest first, and a name that no other set has."""

    name: str
    hellos: tuple[bytes, ...]


class Permit(NamedTuple):
    """A permit as its operator sees it; a limit of None is none."""

    name: str
    added_day: int
    uploads_per_hour: int | None = None
    bytes_per_hour: int | None = None


class Gauges(NamedTuple):
    """What the store holds at the moment, for its operator; nothing about anybody."""

    waiting_requests: int
    queued_bytes: int
    recent_bytes: int
    stored_bytes: int
    room_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """The numbers that a store has to know."""

    tombstone_seconds: int
    ttl_max_seconds: int
    channel_idle_days: int
    hellos_live_max: int
    answered_seconds: int
    waiting_max_requests: int
    watches_per_ticket_max: int
    stored_max_bytes: int
    disk_reserve_bytes: int
    tickets_max: int
    channels_max: int
    cache_max_bytes: int
    queue_max_bytes: int


class Watch(Protocol):
    """Somebody who waits for a ticket to change."""

    stopped: bool
    """The store stops: do not wait again."""

    async def wait(self, wait_seconds: float) -> bool:
        """Return True when it may have changed since the last call, False when time is over."""


class Store(Protocol):
    """Tickets, channels, permits, and those who wait."""

    fault: str
    """What is wrong with what is kept, as far as it was seen; empty while nothing is."""

    # Tickets

    async def keep(
        self, ticket_id: bytes, envelope: bytes, token_hash: bytes, *, expiry: int, now: int
    ) -> tuple[Kept, Record]:
        """Keep an envelope unless something is there, as one step; return when it is durable (R42).

        Raises:
            FullError: there is no room.
            OverloadedError: too much is waiting to be written.
        """

    async def fetch(self, ticket_id: bytes, *, now: int) -> bytes | Record | None:
        """Return the envelope, or the record of a ticket that is gone, or None if never seen."""

    async def find(self, ticket_id: bytes, *, now: int) -> Record | None:
        """Return what is known of a ticket, or None if it was never seen."""

    async def change(
        self, ticket_id: bytes, state: State, *, expiry: int, now: int
    ) -> tuple[bool, Record | None]:
        """Raise the state and let the expiry be no later than this; return when it is durable.

        A revoked ticket becomes a tombstone. Return whether anything changed, and what is known.

        Raises:
            FullError: there is no room even for this.
            OverloadedError: too much is waiting to be written.
        """

    def watch(self, ticket_id: bytes) -> AbstractAsyncContextManager[Watch]:
        """Notice every change of a ticket from now on, until the block ends.

        Raises:
            OverloadedError: too many wait already.
        """

    # Channels

    async def register(
        self, cid: bytes, read_hash: bytes, write_hash: bytes, *, today: int
    ) -> Kept:
        """Register a channel unless something is there, as one step; return when it is durable.

        Raises:
            FullError: there is no room.
            OverloadedError: too much is waiting to be written.
        """

    async def find_channel(self, cid: bytes) -> Channel | None:
        """Return what is known of a channel, or None if it is not registered."""

    async def touch(self, cid: bytes, *, today: int) -> None:
        """Note that the channel was polled today; need not be durable, must not wait."""

    async def unpair(self, cid: bytes) -> bool:
        """Make the channel a tombstone, durably, and end all waiting; return False if it was none.

        Raises:
            OverloadedError: too much is waiting to be written.
        """

    async def offer(self, cid: bytes, hello: bytes, *, wait_seconds: float) -> bytes | None:
        """Let a hello be live until it is answered; return its sealed, or None when time is over.

        It stops to be live at once when the call is cancelled (R92).

        Raises:
            ChannelGoneError: the channel was unpaired meanwhile.
            OverloadedError: too many wait already.
        """

    async def poll(self, cid: bytes, known: Collection[str], *, wait_seconds: float) -> HelloSet:
        """Return the set of live hellos once its name is not known, or when time is over.

        A newer poll ends an older one.

        Raises:
            SupersededError: a newer poll has come.
            ChannelGoneError: the channel was unpaired meanwhile.
            OverloadedError: too many wait already.
        """

    async def answer(self, cid: bytes, hid: bytes, sealed: bytes) -> Answered:
        """Give a live hello its one answer, as one step (R114)."""

    # Permits

    async def add_permit(
        self,
        name: str,
        permit_hash: bytes,
        *,
        today: int,
        uploads_per_hour: int | None = None,
        bytes_per_hour: int | None = None,
    ) -> bool:
        """Add a permit; return False when the name is taken."""

    async def find_permit(self, permit_hash: bytes) -> Permit | None:
        """Return the valid permit of this hash at this very moment, or None (R11)."""

    async def list_permits(self) -> list[Permit]:
        """Return all permits by name."""

    async def revoke_permit(self, name: str) -> bool:
        """Revoke a permit; return False when there is none of this name."""

    # Housekeeping

    async def probe(self) -> None:
        """Write something durably and read it back: whether the store can do its work.

        Raises:
            Exception: it cannot, whatever the reason.
        """

    async def inspect(self) -> None:
        """Look at a little more of what is kept, and note a ``fault`` where something is wrong."""

    def gauges(self) -> Gauges:
        """Return what the store holds; from memory, without waiting."""

    async def sweep(self, *, now: int, latest: int | None = None) -> None:
        """Delete envelopes whose time is over, and tombstones and channels that have ended.

        While the clock is doubted, ``now`` is the earliest that it can be and ``latest`` the
        latest: only what lies further ahead of that than anything can is brought back.
        """

    def stop_waiting(self) -> None:
        """Answer everybody who waits, now and from now on, as if the time were over (R8)."""

    async def close(self) -> None:
        """Finish what has been begun, and close."""
