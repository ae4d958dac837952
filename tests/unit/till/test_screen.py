"""A screen against a relay in memory and a tablet that follows its rules."""

import asyncio
import contextlib

import pytest
from fakes import Clock, FlakyRelay, Tablet, settle

from e2ee_ticket.client import Hellos
from e2ee_ticket.errors import BusyError, PermitError, UnreachableError
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.screen import Notice, Screen, hint

IDLE = Content.idle(name="Shop", lang="fr", notice="FR")


class Scene:
    def __init__(self):
        self.clock = Clock()
        self.relay = FlakyRelay(self.clock)
        self.pairing = Pairing("Till 1", PairingSecret.generate(), WriteToken.generate())
        self.notices = []

    async def register(self):
        secret, token = self.pairing.secret, self.pairing.token
        await self.relay.register(secret.cid, registration(secret, token))

    def screen(self, **options):
        return Screen(
            self.relay, self.pairing, IDLE, self.clock, report=self.notices.append, **options
        )

    def tablet(self):
        return Tablet(self.relay, self.pairing.secret, self.clock)

    def ticket(self, seconds=90):
        return Content.ticket(Secret.generate(), seconds, number="7", total="5 €")

    @contextlib.asynccontextmanager
    async def paired(self, **options):
        await self.register()
        async with self.screen(**options) as screen, self.tablet() as tablet:
            await self.clock.advance(0.1)
            yield screen, tablet


@pytest.fixture
def scene():
    return Scene()


async def test_a_paired_display_gets_idle_and_is_told_as_connected(scene):
    async with scene.paired() as (screen, tablet):
        assert tablet.shown == [IDLE]
        assert screen.connected
        assert scene.notices == [Notice.CONNECTED]


async def test_a_ticket_is_shown_and_told_without_any_time_passing(scene):
    async with scene.paired() as (screen, tablet):
        screen.show(scene.ticket())
        await settle()

        assert tablet.kinds == ["idle", "ticket"]
        assert screen.shown
        assert scene.notices[-1] is Notice.SHOWN


@pytest.mark.rule("C32")
async def test_a_display_that_connects_during_a_ticket_gets_idle_first(scene):
    await scene.register()
    async with scene.screen() as screen:
        screen.show(scene.ticket())
        await settle()
        async with scene.tablet() as tablet:
            await settle()

            assert tablet.kinds == ["idle", "ticket"]


@pytest.mark.rule("C33")
async def test_each_new_state_reaches_the_waiting_display(scene):
    async with scene.paired() as (screen, tablet):
        for content in (Content.live(("Café 6,90",)), scene.ticket(), Content.thanks()):
            screen.show(content)
            await settle()

        assert tablet.kinds == ["idle", "live", "ticket", "thanks"]


async def test_thanks_end_in_idle(scene):
    async with scene.paired() as (screen, tablet):
        screen.thank()
        await scene.clock.advance(11)

        assert tablet.kinds == ["idle", "thanks", "idle"]


async def test_a_ticket_whose_seconds_are_over_ends_in_idle_and_is_told(scene):
    async with scene.paired() as (screen, tablet):
        screen.show(scene.ticket(30))
        await scene.clock.advance(31)

        assert tablet.kinds == ["idle", "ticket"]  # C43: the display ends it by itself
        assert Notice.ENDED in scene.notices
        assert screen.present == IDLE


@pytest.mark.rule("C34")
async def test_a_second_screen_takes_the_ticket_away(scene):
    async with scene.paired() as (screen, tablet), scene.tablet() as other:
        await settle()
        screen.show(scene.ticket())
        await settle()

        assert "ticket" not in tablet.kinds
        assert "ticket" not in other.kinds


@pytest.mark.rule("C34")
async def test_a_second_screen_that_is_allowed_shows_the_ticket_too(scene):
    async with scene.paired(display_count=2) as (screen, tablet), scene.tablet() as other:
        await settle()
        screen.show(scene.ticket())
        await settle()

        assert tablet.kinds[-1] == other.kinds[-1] == "ticket"


@pytest.mark.rule("C35")
async def test_another_screen_that_listens_for_thirty_seconds_is_told_once(scene):
    async with scene.paired(), scene.tablet():
        await scene.clock.advance(29)
        assert Notice.CROWDED not in scene.notices
        await scene.clock.advance(20)

        assert scene.notices.count(Notice.CROWDED) == 1
        assert "display add" in hint(Notice.CROWDED)


@pytest.mark.rule("C35")
async def test_it_is_told_when_the_other_screen_has_left(scene):
    async with scene.paired():
        async with scene.tablet():
            await scene.clock.advance(32)
            assert Notice.ALONE not in scene.notices
        await scene.clock.advance(40)

        assert scene.notices[-2:] == [Notice.CROWDED, Notice.ALONE]


@pytest.mark.rule("C36")
async def test_a_ticket_nobody_confirms_is_not_shown(scene):
    async with scene.paired() as (screen, tablet):
        tablet.deaf = True
        screen.show(scene.ticket())
        await settle()

        assert tablet.kinds == ["idle", "ticket"]
        assert not screen.shown


@pytest.mark.rule("C37")
async def test_a_delivered_ticket_that_is_not_confirmed_is_told_within_four_seconds(scene):
    async with scene.paired() as (screen, tablet):
        tablet.deaf = True
        screen.show(scene.ticket())
        await scene.clock.advance(2.4)
        assert Notice.UNSHOWN not in scene.notices
        await scene.clock.advance(1.6)

        assert scene.notices.count(Notice.UNSHOWN) == 1


@pytest.mark.rule("C38")
async def test_a_screen_that_another_till_takes_over_stops_and_says_so(scene):
    async with scene.paired() as (screen, _):
        async with scene.screen():
            await settle()

            assert screen.stopped is Notice.SUPERSEDED
            assert scene.notices.count(Notice.SUPERSEDED) == 1
        calls = scene.relay.calls["hellos"]
        await scene.clock.advance(120)
        assert scene.relay.calls["hellos"] == calls


@pytest.mark.rule("C39")
async def test_a_channel_that_the_relay_has_lost_is_registered_again(scene):
    async with scene.screen() as screen, scene.tablet() as tablet:
        await scene.clock.advance(2)

        assert scene.notices[0] is Notice.REGISTERED
        assert screen.connected
        assert tablet.kinds == ["idle"]


@pytest.mark.rule("C39")
async def test_a_relay_that_forgets_at_once_is_not_run_at_in_circles(scene):
    async with scene.screen():
        for _ in range(40):
            scene.relay.forget_everything()
            await scene.clock.advance(1)

        assert scene.relay.calls["register"] < 12


async def test_a_display_that_was_unpaired_elsewhere_stops_the_screen(scene):
    async with scene.paired() as (screen, _):
        await scene.relay.unpair(scene.pairing.secret.cid, scene.pairing.token.reveal())
        await scene.clock.advance(1)

        assert screen.stopped is Notice.UNPAIRED


@pytest.mark.rule("C50")
async def test_a_relay_that_wants_a_permit_stops_the_screen(scene):
    scene.relay.fail("register", PermitError("no permit"))
    async with scene.screen() as screen:
        await scene.clock.advance(1)

        assert screen.stopped is Notice.REFUSED
        assert str(screen.failure) == "no permit"


async def test_a_relay_that_is_away_is_told_once_and_so_is_its_return(scene):
    async with scene.paired() as (screen, tablet):
        await scene.relay.go_away()
        await scene.clock.advance(100)
        assert scene.notices.count(Notice.AWAY) == 1

        scene.relay.come_back()
        screen.show(scene.ticket())
        await scene.clock.advance(31)

        assert scene.notices.count(Notice.BACK) == 1
        assert tablet.kinds[-1] == "ticket"


async def test_polls_of_a_relay_that_is_away_become_rare(scene):
    scene.relay.away = True
    async with scene.screen():
        await scene.clock.advance(300)

        assert scene.relay.calls["hellos"] < 16


async def test_a_display_is_reached_at_once_when_the_relay_is_known_to_be_back(scene):
    async with scene.paired() as (screen, tablet):
        await scene.relay.go_away()
        await scene.clock.advance(100)  # by now the next try is half a minute away
        scene.relay.come_back()
        await scene.clock.advance(1)  # the tablet says hello
        screen.show(scene.ticket())
        await settle()
        assert tablet.kinds[-1] == "idle"

        screen.wake()
        await settle()

        assert tablet.kinds[-1] == "ticket"
        assert scene.notices.count(Notice.BACK) == 1


async def test_a_poll_on_a_line_that_died_without_a_word_is_asked_anew(scene):
    answer = scene.relay.hellos
    dead = asyncio.Event()

    async def hellos(*arguments, **options):
        found = await answer(*arguments, **options)
        if dead.is_set():
            await asyncio.Event().wait()  # the router was switched off
        return found

    scene.relay.hellos = hellos
    async with scene.paired() as (screen, tablet):
        dead.set()
        await scene.clock.advance(26)
        screen.show(scene.ticket())
        await scene.clock.advance(1)
        dead.clear()
        assert tablet.kinds[-1] == "idle"

        screen.wake()
        await settle()

        assert tablet.kinds[-1] == "ticket"


async def test_each_failure_is_a_reason_to_ask_whether_the_relay_is_there(scene):
    failures = []
    await scene.register()
    async with scene.screen(failed=lambda: failures.append(1)):
        await scene.relay.go_away()
        await scene.clock.advance(1 + 2)

    assert len(failures) == 3


async def test_a_busy_relay_is_left_alone_as_long_as_it_asks(scene):
    await scene.register()
    scene.relay.fail("hellos", BusyError("busy", 20.0))
    async with scene.screen():
        await scene.clock.advance(19)
        assert scene.relay.calls["hellos"] == 1
        await scene.clock.advance(2)
        assert scene.relay.calls["hellos"] > 1


async def test_an_answer_whose_204_was_lost_is_repeated_and_counts_once(scene):
    async with scene.paired() as (screen, tablet):
        scene.relay.lose("answer")
        screen.show(scene.ticket())
        await scene.clock.advance(2)

        assert tablet.kinds == ["idle", "ticket"]
        assert screen.shown


async def test_an_answer_that_did_not_arrive_is_brought_again(scene):
    async with scene.paired() as (screen, tablet):
        scene.relay.fail("answer", UnreachableError("cut"))
        screen.show(scene.ticket())
        await scene.clock.advance(2)

        assert tablet.kinds == ["idle", "ticket"]


async def test_settling_ends_as_soon_as_the_display_has_it(scene):
    async with scene.paired() as (screen, tablet):
        screen.show(scene.ticket())
        await settle()
        screen.clear()

        assert await screen.settle()
        assert tablet.kinds[-1] == "idle"


async def test_settling_does_not_wait_for_a_display_that_was_never_there(scene):
    await scene.register()
    async with scene.screen() as screen:
        assert not await screen.settle()


async def test_settling_gives_up_on_a_display_that_has_gone(scene):
    async with scene.paired() as (screen, tablet):
        tablet.deaf = True
        screen.show(scene.ticket())
        await settle()
        screen.clear()
        settling = asyncio.ensure_future(screen.settle())
        await scene.clock.advance(3)

        assert settling.done()
        assert not settling.result()


async def test_waiting_ends_when_the_screen_stops(scene):
    async with scene.paired() as (screen, _):
        waiting = asyncio.ensure_future(screen.until(lambda: False, 1000))
        await scene.relay.unpair(scene.pairing.secret.cid, scene.pairing.token.reveal())
        await scene.clock.advance(1)

        assert waiting.result() is False


async def test_several_screens_run_in_one_process(scene):
    other = Scene()
    other.clock, other.relay = scene.clock, scene.relay
    async with scene.paired() as (first, one), other.paired() as (second, two):
        ours, theirs = scene.ticket(), scene.ticket()
        first.show(ours)
        second.show(theirs)
        await settle()

        assert one.shown[-1].secret == ours.secret
        assert two.shown[-1].secret == theirs.secret


async def test_a_bug_in_a_task_is_not_swallowed(scene):
    scene.relay.fail("hellos", ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        async with scene.screen():
            await settle()


async def test_a_screen_leaves_no_task_behind(scene):
    before = asyncio.all_tasks()
    async with scene.paired() as (screen, _):
        screen.show(scene.ticket())
        await settle()

    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("lost", ["etag", "wait"])
async def test_a_front_that_does_not_let_it_wait_is_asked_once_a_second(scene, lost):
    ask, asked = scene.relay.hellos, []

    async def hellos(cid, token, *, held=None, wait=25):
        asked.append(scene.clock.monotonic())
        if lost == "wait":
            return await ask(cid, token, held=held, wait=0)
        found = await ask(cid, token, held=None, wait=wait)
        return Hellos(None, found.hellos)

    scene.relay.hellos = hellos
    async with scene.paired() as (screen, tablet):
        await scene.clock.advance(30)
        assert len(asked) <= 40
        screen.show(scene.ticket())
        await scene.clock.advance(2)

        assert tablet.kinds[-1] == "ticket"
        assert screen.shown
