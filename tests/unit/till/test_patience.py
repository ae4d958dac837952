"""How long a question is let wait where something on the way cuts it."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fakes import Clock

from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import UnreachableError
from e2ee_ticket.patience import FORGET_SECONDS, LEAST_SECONDS, Patience


def test_two_cuts_at_about_the_same_age_are_a_limit_of_the_way():
    patience = Patience(Clock().monotonic)
    patience.cut(20.1)
    assert patience.limit(25) == 25
    patience.cut(19.6)

    assert patience.limit(25) == 15
    assert patience.limit(2) == 2


def test_cuts_at_other_ages_are_chance():
    patience = Patience(Clock().monotonic)
    for age in (20.0, 7.0, 13.0, 24.0, 0.1, 0.1, LEAST_SECONDS - 1, LEAST_SECONDS - 1):
        patience.cut(age)

    assert patience.limit(25) == 25


def test_a_shorter_limit_replaces_a_longer_one_and_never_less_than_the_least_is_asked_for():
    patience = Patience(Clock().monotonic)
    for age in (20.0, 20.0, 15.0, 15.0):
        patience.cut(age)
    assert patience.limit(25) == 12
    for age in (5.5, 5.5):
        patience.cut(age)

    assert patience.limit(25) == LEAST_SECONDS


async def test_the_whole_time_is_tried_again_after_an_hour():
    clock = Clock()
    patience = Patience(clock.monotonic)
    patience.cut(20)
    patience.cut(20)
    await clock.advance(FORGET_SECONDS - 1)
    assert patience.limit(25) == 16
    await clock.advance(2)

    assert patience.limit(25) == 25


async def test_a_till_behind_a_proxy_with_an_idle_limit_asks_for_less():
    clock, waits = Clock(), []

    async def cut_after_20_seconds(request):
        waits.append(int(request.query["wait"]))
        if waits[-1] < 20:
            return web.json_response({"state": "stored", "expires_in": 60})
        await clock.advance(20)
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_get("/{path:.*}", cut_after_20_seconds)
    async with TestServer(app) as server:
        origin = f"http://127.0.0.1:{server.port}"
        async with RelayClient(origin, patience=Patience(clock.monotonic)) as client:
            for _ in range(2):
                with pytest.raises(UnreachableError):
                    await client.state("ab" * 16, bytes(32), since="stored", wait=25)
            found = await client.state("ab" * 16, bytes(32), since="stored", wait=25)

    assert found.state == "stored"
    assert waits[-1] == 16
    assert set(waits[:-1]) == {25}
