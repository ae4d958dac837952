"""Every store is a dictionary, whatever is asked of it and however the clock moves."""

import asyncio
import tempfile
from pathlib import Path

import pytest
import redis_servers
import relay_fakes
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from memory_store import MemoryStore

from relay_server.config import DAY, Config
from relay_server.store import State
from relay_server.stores import open_store, store_limits

NOW = 1_800_000_000
CONFIG = Config(cache_max_bytes=40_000)
ids = st.integers(0, 4).map(lambda number: bytes([number]) * 16)
envelopes = st.integers(0, 2).map(lambda number: bytes([number]) * 16_384)
lives = st.sampled_from([60, 3_600, 3 * DAY, 7 * DAY])
steps = st.sampled_from([0, 1, 59, 60, 61, 900, 3_600, DAY, 8 * DAY, 40 * DAY])
names = st.sampled_from(["a", "b"])
hashes = st.sampled_from([b"1" * 32, b"2" * 32])


class StoreIsADictionary(RuleBasedStateMachine):
    """Whatever one store says, the other says."""

    def __init__(self, servers=None):
        super().__init__()
        self.servers = servers
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.now = NOW

    @initialize()
    def open(self):
        self.clock = relay_fakes.Clock(NOW)
        self.model = MemoryStore(clock=self.clock, limits=store_limits(CONFIG))
        if self.servers is not None:
            self.servers.flush()
        self.loop.run_until_complete(self._open())

    async def _open(self):
        if self.servers is None:
            self.store = open_store(CONFIG, Path(self.directory.name) / "relay.sqlite", self.clock)
        else:
            self.store = await redis_servers.open_store(self.servers, CONFIG, self.clock)

    def teardown(self):
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        self.directory.cleanup()

    def both(self, name, *args, **kwargs):
        async def ask(store):
            return await getattr(store, name)(*args, **kwargs)

        real = self.loop.run_until_complete(ask(self.store))
        assert real == self.loop.run_until_complete(ask(self.model))
        return real

    @rule(ticket_id=ids, envelope=envelopes, life=lives)
    def keep(self, ticket_id, envelope, life):
        self.both("keep", ticket_id, envelope, b"h" * 32, expiry=self.now + life, now=self.now)

    @rule(ticket_id=ids, state=st.sampled_from(list(State)), life=lives)
    def change(self, ticket_id, state, life):
        self.both("change", ticket_id, state, expiry=self.now + life, now=self.now)

    @rule(ticket_id=ids)
    def fetch(self, ticket_id):
        self.both("fetch", ticket_id, now=self.now)

    @rule(cid=ids, read_hash=hashes, write_hash=hashes)
    def register(self, cid, read_hash, write_hash):
        self.both("register", cid, read_hash, write_hash, today=self.now // DAY)

    @rule(cid=ids)
    def unpair(self, cid):
        self.both("unpair", cid)

    @rule(cid=ids)
    def touch(self, cid):
        self.both("touch", cid, today=self.now // DAY)
        self.loop.run_until_complete(self._settle())

    async def _settle(self):
        """A touch does not wait; this waits for it."""
        await self.store.revoke_permit("nobody")
        while getattr(self.store, "busy", False):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)

    @rule(name=names, permit_hash=hashes)
    def add_permit(self, name, permit_hash):
        if not self.loop.run_until_complete(self.model.find_permit(permit_hash)):
            self.both("add_permit", name, permit_hash, today=self.now // DAY)

    @rule(name=names)
    def revoke_permit(self, name):
        self.both("revoke_permit", name)

    @rule()
    def sweep(self):
        self.both("sweep", now=self.now)

    @rule(seconds=steps)
    def time_passes(self, seconds):
        self.now += seconds

    @rule(seconds=steps)
    def the_clock_is_set_back(self, seconds):
        self.now -= seconds

    @rule()
    def the_relay_restarts(self):
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self._open())

    @invariant()
    def all_is_equal(self):
        for number in range(5):
            name = bytes([number]) * 16
            found = self.both("find", name, now=self.now)
            fetched = self.both("fetch", name, now=self.now)
            assert (found is None) == (fetched is None)
            assert found is None or found.gone != isinstance(fetched, bytes)
            self.both("find_channel", name)
        self.both("list_permits")
        for permit_hash in (b"1" * 32, b"2" * 32):
            self.both("find_permit", permit_hash)


@pytest.mark.rule("R21")
@pytest.mark.parametrize("fixture", [None, "redis_single", "redis_cluster"])
def test_a_store_is_a_dictionary(request, fixture):
    servers = None if fixture is None else request.getfixturevalue(fixture)
    run_state_machine_as_test(
        lambda: StoreIsADictionary(servers),
        settings=settings(
            max_examples=25 if servers is None else 12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
