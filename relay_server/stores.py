"""Opening the store that an operator names: a database file, or a Redis."""

from collections.abc import Sequence
from pathlib import Path

from relay_server.clock import Clock
from relay_server.config import DAY, Config
from relay_server.errors import StartError
from relay_server.store import Store, StoreLimits
from relay_server.store.redis import url as redis_url
from relay_server.store.sqlite import SqliteStore
from relay_server.voice import install_hint


def open_store(config: Config, path: Path, clock: Clock, *, exclusive: bool = True) -> SqliteStore:
    """Open the store of a relay with these limits.

    Raises:
        StartError: the file cannot be used.
    """
    return SqliteStore(path, clock=clock, limits=store_limits(config), exclusive=exclusive)


async def open_any_store(
    config: Config, place: Path | str, clock: Clock, *, exclusive: bool = True
) -> tuple[Store, Sequence[str]]:
    """Open a database file, or the Redis of this URL; give what an operator should know of it.

    Raises:
        StartError: it cannot be used, or the library for it is not there.
    """
    if isinstance(place, Path):
        return open_store(config, place, clock, exclusive=exclusive), ()
    try:
        # Who keeps tickets in a file does not need the library.
        from relay_server.store.redis.store import RedisStore  # noqa: PLC0415
    except ImportError as error:
        raise StartError(
            "a store in Redis needs the library redis",
            hint=install_hint("relay,redis"),
        ) from error
    store = await RedisStore.open(redis_url.parse(place), clock=clock, limits=store_limits(config))
    return store, store.notes


def store_limits(config: Config) -> StoreLimits:
    """Return the limits that are the store's."""
    return StoreLimits(
        tombstone_seconds=config.tombstone_seconds,
        ttl_max_seconds=config.ttl_max_seconds,
        channel_idle_days=config.channel_idle_seconds // DAY,
        hellos_live_max=config.hellos_live_max,
        answered_seconds=config.answered_seconds,
        waiting_max_requests=config.waiting_max_requests,
        watches_per_ticket_max=config.watches_per_ticket_max,
        stored_max_bytes=config.stored_max_bytes,
        disk_reserve_bytes=config.disk_reserve_bytes,
        tickets_max=config.tickets_max,
        channels_max=config.channels_max,
        cache_max_bytes=config.cache_max_bytes,
        queue_max_bytes=config.queue_max_bytes,
    )
