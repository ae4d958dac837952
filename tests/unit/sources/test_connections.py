"""The places of a listener: who gets one, who gives way, and what an attacker gains."""

import asyncio

import pytest

from e2ee_ticket.sources import ipp, takepos
from e2ee_ticket.sources.connections import Bodies, Connections, Limits
from e2ee_ticket.sources.dolibarr import webhook
from e2ee_ticket.till import lan_server
from e2ee_ticket.till.console import app


class Line(asyncio.Transport):
    """A connection from an address."""

    def __init__(self, address):
        super().__init__({"peername": (address, 50_000)})
        self.aborted = False
        self.ended = asyncio.Event()

    def abort(self):
        self.aborted = True
        self.ended.set()


@pytest.fixture
def refused():
    return []


@pytest.fixture
def make(refused):
    def build(**limits):
        limits = {"idle_seconds": None, "busy_seconds": None, **limits}
        return Connections(Limits(**limits), lambda: refused.append(1))

    return build


def come(places, address):
    line = Line(address)
    return line, places.enter(line)


async def test_one_address_has_its_share_and_its_oldest_idle_one_gives_way(make, refused):
    places = make(connections=10, connections_per_address=2)
    lines = [come(places, "10.0.0.9")[0] for _ in range(5)]

    assert [line.aborted for line in lines] == [True, True, True, False, False]
    assert len(places) == 2
    assert refused == []


async def test_an_address_whose_connections_all_work_gets_no_more(make, refused):
    places = make(connections=10, connections_per_address=2)
    for _ in range(2):
        places.begin(come(places, "10.0.0.9")[1])

    line, connection = come(places, "10.0.0.9")

    assert (line.aborted, connection, len(refused)) == (True, None, 1)
    assert come(places, "10.0.0.8")[1] is not None


async def test_programs_on_this_computer_have_no_smaller_share(make):
    places = make(connections=10, connections_per_address=2)

    lines = [come(places, address)[0] for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1") * 3]

    assert not any(line.aborted for line in lines)


async def test_the_addresses_of_one_ipv6_network_are_one(make):
    places = make(connections=10, connections_per_address=2)

    lines = [come(places, f"fd00::{number}")[0] for number in range(1, 4)]

    assert [line.aborted for line in lines] == [True, False, False]


async def test_who_opens_many_pushes_out_their_own_and_nobody_else(make):
    places = make(connections=6, connections_per_address=4)
    till, _ = come(places, "10.0.0.5")
    flood = [come(places, f"10.0.0.{9 + number % 2}")[0] for number in range(1000)]

    assert not till.aborted
    assert sum(not line.aborted for line in flood) == 5
    newcomer, connection = come(places, "10.0.0.6")
    assert connection is not None
    assert not newcomer.aborted
    assert not till.aborted


async def test_who_would_have_the_most_with_one_more_gives_it_up(make):
    places = make(connections=4, connections_per_address=3)
    lines = {name: [come(places, name)[0] for _ in range(2)] for name in ("10.0.0.8", "10.0.0.9")}

    come(places, "10.0.0.9")

    assert [line.aborted for line in lines["10.0.0.8"]] == [False, False]
    assert [line.aborted for line in lines["10.0.0.9"]] == [True, False]


async def test_a_thousand_that_come_in_one_turn_leave_no_more_than_the_limit(make):
    places = make(connections=16, connections_per_address=16)

    lines = [come(places, f"10.0.{number // 250}.{number % 250}")[0] for number in range(1000)]

    assert len(places) == 16
    assert sum(not line.aborted for line in lines) == 16


async def test_a_place_is_free_when_its_connection_has_ended(make, refused):
    places = make(connections=1)
    _, first = come(places, "10.0.0.5")
    places.begin(first)
    assert come(places, "10.0.0.6")[1] is None

    places.leave(first)
    places.rest(first)  # what served it ends a moment later

    assert come(places, "10.0.0.6")[1] is not None
    assert len(refused) == 1


async def test_a_connection_that_is_idle_for_too_long_ends(make):
    places = make(idle_seconds=0.01)
    line, _ = come(places, "10.0.0.5")
    async with asyncio.timeout(20):
        await line.ended.wait()


async def test_a_request_that_takes_too_long_ends_and_a_short_one_does_not(make):
    places = make(busy_seconds=0.01)
    (slow, working), (quick, done) = come(places, "10.0.0.5"), come(places, "10.0.0.6")
    places.begin(working)
    with places.busy(done):
        pass
    async with asyncio.timeout(20):
        await slow.ended.wait()
    assert not quick.aborted


@pytest.mark.parametrize(
    ("slow", "other"), [("10.0.0.9", "10.0.0.8"), ("fd00::1", "fd00:0:0:1::1"), ("x", "127.0.0.1")]
)
async def test_slow_bodies_of_one_address_keep_no_other_waiting(slow, other):
    bodies, end, came = Bodies(4, 2), asyncio.Event(), []

    async def bring(address):
        async with bodies.one_of(address):
            came.append(address)
            await end.wait()

    tasks = [asyncio.ensure_future(bring(slow)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks.append(asyncio.ensure_future(bring(other)))
    await asyncio.sleep(0)

    assert came == [slow, slow, other]
    end.set()
    await asyncio.gather(*tasks)
    assert came.count(slow) == 20


async def test_bodies_of_this_computer_have_all_places():
    bodies, came = Bodies(4, 2), []

    async def bring():
        async with bodies.one_of("127.0.0.1"):
            came.append(1)
            await asyncio.Event().wait()

    tasks = [asyncio.ensure_future(bring()) for _ in range(6)]
    await asyncio.sleep(0)

    assert len(came) == 4
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "limits", [ipp.LIMITS, takepos.LIMITS, webhook._LIMITS, app.LIMITS, lan_server.Limits()]
)
def test_no_listener_of_http_lets_a_connection_stand_about(limits):
    assert 0 < limits.idle_seconds <= 30
    assert 0 < limits.busy_seconds <= 240
    assert limits.connections_per_address < limits.connections <= 128
