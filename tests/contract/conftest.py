"""A clock, the stores, and relays of both kinds on the real HTTP server."""

import pytest
import redis_servers
import relay_fakes
import relays
from memory_store import MemoryStore

from relay_server.config import Config
from relay_server.stores import open_store, store_limits


@pytest.fixture
def clock():
    return relay_fakes.Clock()


@pytest.fixture
def config():
    """As delivered, but for the sweeper: a test sweeps when it wants to."""
    return Config(sweep_seconds=10**9)


@pytest.fixture(params=["sqlite", "memory", "redis", "cluster"])
async def store(request, tmp_path, clock, config):
    """Each store that there is."""
    if request.param == "sqlite":
        store = open_store(config, tmp_path / "relay.sqlite", clock)
    elif request.param == "memory":
        store = MemoryStore(clock=clock, limits=store_limits(config))
    else:
        name = "redis_single" if request.param == "redis" else "redis_cluster"
        servers = request.getfixturevalue(name)
        servers.flush()
        store = await redis_servers.open_store(servers, config, clock)
    yield store
    await store.close()


@pytest.fixture
async def sqlite_store(tmp_path, clock, config):
    store = open_store(config, tmp_path / "relay.sqlite", clock)
    yield store
    await store.close()


@pytest.fixture
async def relay(sqlite_store, clock, config):
    """A closed relay, as it runs in the shop."""
    async with relays.serve(config, sqlite_store, clock) as relay:
        yield relay


@pytest.fixture
def call(relay):
    return relay.call


@pytest.fixture
async def channel(call):
    """A relay on which one channel is registered."""
    assert (await call.register()).status == 201
    return call
