"""Whether the relay is there, as a relay in memory and a clock of our own tell it."""

import asyncio

import pytest
from fakes import Clock, FlakyRelay, settle

from e2ee_ticket.client import RelayInfo
from e2ee_ticket.errors import PermitError, RefusedError
from e2ee_ticket.till.presence import (
    LONGEST_WAIT_SECONDS,
    PROBE_SECONDS,
    QUIET_SECONDS,
    PatientClock,
    Presence,
)


class Scene:
    def __init__(self):
        self.clock = Clock()
        self.relay = FlakyRelay(self.clock)
        self.told = []
        self.presence = Presence(self.relay, self.clock, self._changed)
        self.running = None

    async def start(self):
        self.running = asyncio.create_task(self.presence.run())
        await settle()

    async def stop(self):
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    def _changed(self):
        self.told.append("here" if self.presence.here else str(self.presence.failure))

    async def away(self):
        await self.relay.go_away()
        self.presence.doubt()
        await settle()
        assert not self.presence.here


@pytest.fixture
async def scene():
    made = Scene()
    yield made
    await made.stop()


@pytest.fixture
async def asked(scene):
    """A scene in which the first question was answered."""
    await scene.start()
    return scene


async def test_nothing_is_known_before_the_first_answer(scene):
    assert not scene.presence.known.is_set()
    assert scene.presence.here
    assert scene.presence.mode is None


async def test_the_first_answer_is_told(asked):
    assert asked.presence.known.is_set()
    assert asked.presence.mode == "closed"
    assert asked.told == ["here"]


async def test_a_relay_that_is_away_from_the_beginning_is_told_so(scene):
    await scene.relay.go_away()
    await scene.start()

    assert scene.presence.known.is_set()
    assert scene.told == ["nothing answers"]


async def test_while_all_is_well_it_is_asked_seldom(asked):
    before = asked.relay.calls["info"]

    await asked.clock.advance(QUIET_SECONDS - 1)
    assert asked.relay.calls["info"] == before

    await asked.clock.advance(2)
    assert asked.relay.calls["info"] == before + 1
    assert asked.told == ["here"]


async def test_a_doubt_is_asked_at_once(asked):
    await asked.away()

    assert asked.presence.away_since == asked.clock.now()
    assert asked.told == ["here", "nothing answers"]


async def test_a_doubt_while_it_is_asked_is_asked_once_more(asked):
    answer = asked.relay.info
    doubts = [asked.presence.doubt]

    async def info():
        if doubts:
            doubts.pop()()
        return await answer()

    asked.relay.info = info
    before = asked.relay.calls["info"]
    asked.presence.doubt()
    await settle()

    assert asked.relay.calls["info"] == before + 2


async def test_a_doubt_without_a_reason_changes_nothing(asked):
    asked.presence.doubt()
    await settle()

    assert asked.presence.here
    assert asked.told == ["here"]


async def test_one_that_is_away_is_asked_again_and_again_ever_less_often(asked):
    await asked.away()
    before = asked.relay.calls["info"]
    await asked.clock.advance(1 + 2 + 4 + 4)
    assert asked.relay.calls["info"] == before + 4

    await asked.clock.advance(5 * LONGEST_WAIT_SECONDS)

    assert asked.relay.calls["info"] == before + 9
    assert asked.told == ["here", "nothing answers"]


async def test_one_that_comes_back_is_told_once(asked):
    await asked.away()
    asked.relay.come_back()
    await asked.clock.advance(1)

    assert asked.presence.here
    assert asked.presence.failure is None
    assert asked.told == ["here", "nothing answers", "here"]


async def test_one_that_does_not_answer_in_time_is_away(scene):
    async def info():
        await asyncio.Event().wait()

    scene.relay.info = info
    await scene.start()
    await scene.clock.advance(PROBE_SECONDS - 0.1)
    assert not scene.presence.known.is_set()

    await scene.clock.advance(0.2)

    assert scene.told == ["the relay does not answer in time"]


async def test_a_permit_that_is_refused_is_as_good_as_away(asked):
    asked.relay.refusals["try_permit"] = PermitError("this permit is not valid")
    asked.presence.doubt()
    await settle()
    assert asked.told == ["here", "this permit is not valid"]

    asked.relay.refusals.clear()
    await asked.clock.advance(1)

    assert asked.presence.here


async def test_an_open_relay_is_asked_for_no_permit(scene):
    async def info():
        return RelayInfo(1, "open", 1, 1, 1)

    scene.relay.info = info
    await scene.start()

    assert scene.presence.mode == "open"
    assert scene.relay.calls["try_permit"] == 0


async def test_any_other_refusal_is_away_too(asked):
    asked.relay.fail("info", RefusedError("this is no relay"))
    asked.presence.doubt()
    await settle()

    assert asked.told[-1] == "this is no relay"


# Waiting for it


async def test_a_wait_lasts_its_time_while_the_relay_is_there(asked):
    waiting = asyncio.create_task(PatientClock(asked.clock, asked.presence).sleep(30))
    await asked.clock.advance(29)
    assert not waiting.done()

    await asked.clock.advance(1)

    assert waiting.done()


async def test_a_wait_ends_when_the_relay_comes_back(asked):
    await asked.away()
    waiting = asyncio.create_task(PatientClock(asked.clock, asked.presence).sleep(3600))
    asked.relay.come_back()
    await asked.clock.advance(1)

    assert waiting.done()


async def test_a_wait_that_began_before_it_went_away_ends_too(asked):
    waiting = asyncio.create_task(PatientClock(asked.clock, asked.presence).sleep(3600))
    await settle()
    await asked.away()
    asked.relay.come_back()
    await asked.clock.advance(1)

    assert waiting.done()


async def test_a_wait_ends_by_itself_while_the_relay_is_away(asked):
    await asked.away()
    waiting = asyncio.create_task(PatientClock(asked.clock, asked.presence).sleep(30))
    await asked.clock.advance(31)

    assert waiting.done()


async def test_the_second_time_it_goes_away_is_waited_for_anew(asked):
    for _ in range(2):
        await asked.away()
        waiting = asyncio.create_task(PatientClock(asked.clock, asked.presence).sleep(3600))
        await settle()
        assert not waiting.done()
        asked.relay.come_back()
        await asked.clock.advance(1)
        assert waiting.done()


def test_a_patient_clock_shows_the_same_time():
    clock = Clock()
    patient = PatientClock(clock, Presence(FlakyRelay(clock), clock))

    assert patient.now() == clock.now()
    assert patient.monotonic() == clock.monotonic()
