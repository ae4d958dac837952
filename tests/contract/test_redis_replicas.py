"""With ``wait=N`` nothing is said to be done that N replicas have not confirmed, however often."""

from contextlib import AsyncExitStack, contextmanager
from types import SimpleNamespace

import pytest
import redis_servers
import relays

from relay_server import permits
from relay_server.clock import SystemClock
from relay_server.config import Config
from relay_server.errors import OverloadedError

CONFIG = Config(open=True)


@pytest.fixture
async def two(redis_cluster):
    """Two relays: neither knows what became of what was asked of the other."""
    redis_cluster.flush()
    servers = SimpleNamespace(url=redis_cluster.url + "&wait=1&wait_ms=50")
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            store = await redis_servers.open_store(servers, CONFIG, SystemClock())
            stack.push_async_callback(store.close)
            made.append(await stack.enter_async_context(relays.serve(CONFIG, store, SystemClock())))
        yield SimpleNamespace(
            a=made[0].call, b=made[1].call, stores=[relay.store for relay in made]
        )


@contextmanager
def replicas_frozen(cluster):
    """Let all replicas hear nothing, though their masters take them for connected."""
    masters = cluster.masters()
    replicas = [server for server in cluster.servers if server not in masters]
    for replica in replicas:
        replica.freeze()
    try:
        yield
    finally:
        for replica in replicas:
            replica.thaw()
        cluster.settle()


@pytest.mark.rule("R64", "R65")
@pytest.mark.parametrize("word", ["opened", "received", "revoked"])
async def test_a_repeated_state_is_not_confirmed_before_the_first_is_durable(
    two, redis_cluster, word
):
    await two.a.put()
    with replicas_frozen(redis_cluster):
        frozen = [await two.a.post(word), await two.b.post(word), await two.a.post(word)]
    thawed = await two.b.post(word)

    assert [answer.status for answer in frozen] == [503] * 3
    assert thawed.status == (410 if word == "revoked" else 204)


@pytest.mark.rule("R64", "R86")
async def test_a_repeated_unpairing_is_not_confirmed_before_the_first_is_durable(
    two, redis_cluster
):
    await two.a.register()
    with replicas_frozen(redis_cluster):
        frozen = [await two.a.unpair(), await two.b.unpair(), await two.a.unpair()]
        # Who only waits learns it at once: a display that is told 503 would ask for good.
        waiting = [await two.b.poll(), await two.b.hello()]
    thawed = await two.b.unpair()

    assert [answer.status for answer in frozen] == [503] * 3
    assert [answer.status for answer in waiting] == [410] * 2
    assert (thawed.status, thawed.code) == (410, "channel-gone")


@pytest.mark.rule("R11")
async def test_a_repeated_revocation_of_a_permit_is_not_confirmed_before_the_first_is_durable(
    two, redis_cluster
):
    await two.stores[0].add_permit("shop", permits.digest("s" * 43), today=1)
    with replicas_frozen(redis_cluster):
        for store in (*two.stores, *two.stores):
            with pytest.raises(OverloadedError):
                await store.revoke_permit("shop")
    again = await two.stores[1].revoke_permit("shop")

    kept = [server.call("KEYS", "{permits}*") for server in redis_cluster.masters()]
    assert again is False
    assert kept == [[], [], []]
