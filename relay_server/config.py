"""Everything about a relay that has a number, with its unit in its name (spec/relay.md)."""

from dataclasses import dataclass

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
BACKLOG = 4096
"""Connections that wait to be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The limits of one relay."""

    open: bool = False
    """Take tickets from anybody, within limits for each address (R12)."""

    # Numbers of the protocol: the specification names them, tests make them smaller.
    ttl_default_seconds: int = 72 * HOUR
    ttl_min_seconds: int = MINUTE
    ttl_max_seconds: int = 7 * DAY
    opened_seconds: int = 24 * HOUR
    received_seconds: int = 15 * MINUTE
    tombstone_seconds: int = 8 * DAY
    channel_idle_seconds: int = 90 * DAY
    wait_max_seconds: int = 25
    hello_wait_seconds: int = 25
    answered_seconds: int = 60
    hellos_live_max: int = 4

    # Numbers of the machine.
    stored_max_bytes: int = 256 * GIB
    """The database grows no larger than this."""
    disk_reserve_bytes: int = 64 * MIB
    """Uploads are refused when less is free: state changes and sweeping always have room."""
    cache_max_bytes: int = 64 * MIB
    """Envelopes of the last minutes, kept in memory for their first download."""
    reading_max_bytes: int = 256 * MIB
    """What has arrived of envelopes that are not stored yet; above it who holds the most of it
    loses an envelope that is still arriving (R14)."""
    unread_max_bytes: int = 256 * MIB
    """Answers that callers have not read yet; above it who holds the most of them is cut off."""
    queue_max_bytes: int = 256 * MIB
    """Envelopes that wait for the disk."""
    uploads_max: int = 256
    """Uploads that have arrived and wait for the disk at the same time; more are refused at once
    (R14), so that those which were taken keep their latency: some 60 ms of a fast core's work."""
    tickets_max: int = 100_000_000
    channels_max: int = 5_000_000
    """Rows, tombstones included."""
    waiting_max_requests: int = 200_000
    watches_per_ticket_max: int = 8
    address_waiting_max: int = 1_000
    """Requests of one address that wait at the same time, at an open relay."""
    connections_max: int = 100_000
    """Connections at the same time; the command lowers it to what the system allows."""
    drain_seconds: float = 0.0
    """How long a stopping relay still answers whoever has connected already."""
    head_seconds: int = 20
    """A new connection that has not brought a whole request is closed."""
    head_max_bytes: int = 16 * KIB
    """A request's line and fields; a longer head is refused before it has come (R15)."""
    line_max_bytes: int = 4 * KIB
    """A request's line, and each of its fields."""
    fields_max: int = 64
    ahead_max_bytes: int = 64 * KIB
    """What a caller may send ahead of the answer that it waits for; who sends more is cut off."""
    early_max_bytes: int = 128 * MIB
    """Heads that have not ended, and what came ahead of answers, of all callers together; above it
    whoever has the most of it is cut off (R15)."""
    body_seconds: int = 60
    """A body that takes longer to arrive is refused."""
    body_pace_seconds: int = 10
    body_pace_bytes: int = 10 * KIB
    """A body of which less arrives in a pace's seconds is refused: 1 KiB/s is a bad GPRS line."""
    answer_seconds: int = 300
    """A caller that takes longer to read its answer is cut off."""
    idle_seconds: int = 130
    """A connection without a request is closed; longer than common proxies keep theirs."""
    linger_seconds: int = 5
    """How long the rest of a refused body is read, so that the caller sees the refusal."""
    sweep_seconds: int = 20
    stop_seconds: float = 1.0
    """How long a stopping relay waits for bodies that are still arriving."""

    # Limits of an open relay for each address, and of every relay for each channel.
    address_uploads_per_hour: int = 1_800
    address_uploads_burst: int = 200
    address_bytes_per_hour: int = 1 * GIB
    address_bytes_burst: int = 128 * MIB
    address_registrations_per_hour: int = 60
    address_registrations_burst: int = 60
    channel_hellos_per_minute: int = 600
    channel_hellos_burst: int = 120
    limited_max_entries: int = 200_000
    """Addresses and channels whose recent use is remembered at the same time."""
