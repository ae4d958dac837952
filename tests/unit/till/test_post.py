"""A display that the agent drives: started, stopped, taken away and taken back."""

import logging

import pytest
from fakes import Clock, FlakyRelay, Tablet, settle

from e2ee_ticket.errors import PermitError
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.post import Post
from e2ee_ticket.till.screen import Notice

IDLE = Content.idle(name="Shop", lang="fr", notice="FR")


class Scene:
    def __init__(self):
        self.clock = Clock()
        self.relay = FlakyRelay(self.clock)
        self.pairing = Pairing("Counter", PairingSecret.generate(), WriteToken.generate())
        self.doubts = self.changes = self.confirmed = 0
        self.post = self.make()

    def make(self):
        return Post(
            self.relay,
            self.pairing,
            IDLE,
            self.clock,
            doubt=self._doubt,
            shown=self._shown,
            changed=self._changed,
        )

    def _doubt(self):
        self.doubts += 1

    def _shown(self):
        self.confirmed += 1

    def _changed(self):
        self.changes += 1

    def tablet(self):
        return Tablet(self.relay, self.pairing.secret, self.clock)

    def show(self):
        ticket = Content.ticket(Secret.generate(), 90, number="7", total="5 €")
        self.post.screen.show(ticket)
        return ticket


@pytest.fixture
async def scene():
    made = Scene()
    secret, token = made.pairing.secret, made.pairing.token
    await made.relay.register(secret.cid, registration(secret, token))
    yield made
    await made.post.stop()


async def test_before_it_is_started_there_is_no_screen(scene):
    assert scene.post.name == "Counter"
    assert scene.post.screen is None
    await scene.post.stop()


async def test_a_started_one_drives_its_display(scene):
    async with scene.tablet() as tablet:
        await scene.post.start()
        await scene.clock.advance(0.1)
        ticket = scene.show()
        await settle()

        assert tablet.shown == [IDLE, ticket]
        assert scene.post.screen.connected
        assert scene.post.trouble is None
        assert scene.changes > 1


async def test_what_the_display_confirms_is_told(scene):
    async with scene.tablet():
        await scene.post.start()
        await scene.clock.advance(0.1)
        scene.show()
        await scene.clock.advance(1)

        assert scene.confirmed == 1


async def test_a_stopped_one_has_gone_idle(scene):
    async with scene.tablet() as tablet:
        await scene.post.start()
        await scene.clock.advance(0.1)
        scene.show()
        await settle()

        await scene.post.stop()
        await settle()

        assert tablet.kinds == ["idle", "ticket", "idle"]
        assert scene.post.screen is None


async def test_it_is_started_again_after_it_was_stopped(scene):
    async with scene.tablet() as tablet:
        for _ in range(2):
            await scene.post.start()
            await scene.clock.advance(0.1)
            ticket = scene.show()
            await settle()
            assert tablet.shown[-1] == ticket
            await scene.post.stop()


async def test_a_relay_that_is_away_raises_a_doubt_and_is_no_trouble_of_the_display(scene):
    await scene.post.start()
    await settle()
    await scene.relay.go_away()
    await settle()

    assert scene.doubts == 1
    assert scene.post.trouble is None


async def test_a_display_that_another_program_took_is_a_trouble_until_it_is_taken_back(scene):
    await scene.post.start()
    await settle()
    other = scene.make()
    await other.start()
    await settle()

    trouble = scene.post.trouble
    assert (trouble.place, trouble.since) == ("Counter", scene.clock.now())
    assert trouble.text == "another till drives this display now"
    assert "test the display" in trouble.hint

    await scene.post.stop()
    await scene.post.start()
    assert scene.post.trouble is None
    await other.stop()


async def test_a_display_that_was_unpaired_is_a_trouble(scene):
    await scene.post.start()
    await settle()
    await scene.relay.unpair(scene.pairing.secret.cid, scene.pairing.token.reveal())
    await settle()

    assert scene.post.trouble.text == "the display was unpaired"
    assert "pair the tablet again" in scene.post.trouble.hint


async def test_a_late_word_of_a_display_that_was_unpaired_hides_no_trouble(scene):
    await scene.post.start()
    await scene.relay.unpair(scene.pairing.secret.cid, scene.pairing.token.reveal())
    await settle()

    scene.post._report(Notice.CONNECTED)

    assert scene.post.trouble.text == "the display was unpaired"


async def test_a_relay_that_refuses_the_display_is_a_trouble_and_a_doubt(scene):
    scene.relay.fail("hellos", PermitError("this permit is not valid"))
    await scene.post.start()
    await settle()

    assert "does not let this till" in scene.post.trouble.text
    assert scene.doubts == 1


async def test_another_screen_on_the_channel_is_a_trouble_that_passes(scene):
    async with scene.tablet():
        await scene.post.start()
        await scene.clock.advance(0.1)
        async with scene.tablet():
            await scene.clock.advance(32)
            assert "another screen is listening" in scene.post.trouble.text
            assert "unpair" in scene.post.trouble.hint

        await scene.clock.advance(40)

        assert scene.post.trouble is None


async def test_another_screen_on_the_channel_stays_a_trouble_while_it_is_there(scene):
    async with scene.tablet():
        await scene.post.start()
        await scene.clock.advance(0.1)
        async with scene.tablet():
            await scene.clock.advance(32)
            await scene.relay.go_away()
            await settle()
            scene.relay.come_back()
            await scene.clock.advance(5)

            assert "another screen is listening" in scene.post.trouble.text


async def test_the_log_names_the_display_and_nothing_that_it_shows(scene, caplog):
    caplog.set_level(logging.INFO, "e2ee_ticket")
    async with scene.tablet():
        await scene.post.start()
        await scene.clock.advance(0.1)
        scene.show()
        await scene.clock.advance(1)

    assert caplog.messages == ["display Counter: the display is connected"]
