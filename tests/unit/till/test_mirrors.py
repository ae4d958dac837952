"""Several screens on one pairing, as many as the shop allows: each sees what the others see."""

import contextlib

import pytest
from fakes import Clock, FlakyRelay, Tablet, settle

from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.screen import Notice, Screen


class Counter:
    """One till's screen, and the tablets that listen to it."""

    def __init__(self):
        self.clock = Clock()
        self.relay = FlakyRelay(self.clock)
        self.pairing = Pairing("Counter", PairingSecret.generate(), WriteToken.generate())
        self.notices = []

    def ticket(self):
        return Content.ticket(Secret.generate(), 90, total="5 €")

    @contextlib.asynccontextmanager
    async def open(self, *, tablets, allowed):
        secret = self.pairing.secret
        await self.relay.register(secret.cid, registration(secret, self.pairing.token))
        async with contextlib.AsyncExitStack() as stack:
            screen = await stack.enter_async_context(
                Screen(
                    self.relay,
                    self.pairing,
                    Content.idle(),
                    self.clock,
                    display_count=allowed,
                    report=self.notices.append,
                )
            )
            shown = [
                await stack.enter_async_context(Tablet(self.relay, secret, self.clock))
                for _ in range(tablets)
            ]
            await self.clock.advance(0.1)
            yield screen, shown


@pytest.fixture
def counter():
    return Counter()


@pytest.mark.rule("C34")
@pytest.mark.parametrize("count", [2, 3, 4])
async def test_every_mirror_shows_the_sale_from_its_code_to_its_thanks(counter, count):
    async with counter.open(tablets=count, allowed=count) as (screen, tablets):
        screen.show(Content.live(("Café 6,90",)))
        await settle()
        ticket = counter.ticket()
        screen.show(ticket)
        await settle()
        assert screen.shown
        screen.thank()
        await counter.clock.advance(11)

    for tablet in tablets:
        assert tablet.kinds == ["idle", "live", "ticket", "thanks", "idle"]
        assert tablet.shown[2].secret == ticket.secret
    assert Notice.CROWDED not in counter.notices


@pytest.mark.rule("C34")
@pytest.mark.parametrize("allowed", [1, 2, 3])
async def test_one_screen_more_than_allowed_and_none_shows_a_ticket(counter, allowed):
    async with counter.open(tablets=allowed + 1, allowed=allowed) as (screen, tablets):
        screen.show(counter.ticket())
        await counter.clock.advance(31)

    assert all("ticket" not in tablet.kinds for tablet in tablets)
    assert counter.notices.count(Notice.CROWDED) == 1
    assert not screen.shown


@pytest.mark.rule("C36")
async def test_one_mirror_that_is_deaf_does_not_keep_the_others_from_being_shown(counter):
    async with counter.open(tablets=2, allowed=2) as (screen, (first, second)):
        second.deaf = True
        screen.show(counter.ticket())
        await counter.clock.advance(4)

        assert first.kinds == ["idle", "ticket"]
        assert screen.shown
    assert Notice.UNSHOWN not in counter.notices


@pytest.mark.rule("C37")
async def test_when_no_mirror_confirms_the_cashier_is_told_within_four_seconds(counter):
    async with counter.open(tablets=3, allowed=3) as (screen, tablets):
        for tablet in tablets:
            tablet.deaf = True
        screen.show(counter.ticket())
        await counter.clock.advance(4)

        assert not screen.shown
    assert counter.notices.count(Notice.UNSHOWN) == 1
