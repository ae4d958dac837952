"""The engine against a relay in memory: what becomes of a receipt, whatever the relay does."""

import asyncio
import contextlib

import pytest
from fakes import Clock, FlakyRelay, Tablet, settle

from e2ee_ticket.errors import (
    AbsentError,
    BusyError,
    FullError,
    OutboxError,
    PermitError,
    ReceiptError,
    RefusedError,
    TakenError,
    UnreachableError,
)
from e2ee_ticket.pdf.seen import Seen
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.envelope import unseal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.outbox import CLAIM_SECONDS, Outbox
from e2ee_ticket.till.pipeline import Delivery, Till, finish, flush, revoke
from e2ee_ticket.till.screen import Screen

TICKET = Ticket(
    receipt=b"%PDF-1.7 a receipt",
    name="receipt.pdf",
    title="Shop",
    total="54,64 €",
    number="TC1-7",
    issued="2026-11-21T14:02:00+01:00",
    lang="fr",
)
SAVED = frozenset({"received"})
DAY = 24 * 3600.0


class Cashier:
    """Writes down everything that is told."""

    def __init__(self):
        self.told = []
        self.links = []
        self.waits = []
        self.troubles = []

    def progress(self, progress):
        self.told.append(progress.state)

    def shown(self, progress):
        assert progress.shown
        self.told.append("shown")

    def link(self, link):
        self.links.append(link)

    def away(self, error, seconds):
        assert error.retryable
        self.waits.append(seconds)

    def trouble(self, error):
        self.troubles.append(str(error))


class Shop:
    def __init__(self, path):
        self.clock = Clock()
        self.relay = FlakyRelay(self.clock)
        self.outbox = Outbox(path, self.clock.now)
        self.till = Till(self.relay, self.outbox, "https://page.example", self.clock)
        self.cashier = Cashier()
        self.secret = Secret.generate()
        self.pairing = Pairing("Till 1", PairingSecret.generate(), WriteToken.generate())

    def delivery(self, ticket=TICKET, **options):
        return Delivery(self.till, ticket, self.cashier, secret=self.secret, **options)

    @property
    def stored(self):
        return self.relay.tickets[self.secret.id]["envelope"]

    def state(self, secret=None):
        (entry,) = self.outbox.find((secret or self.secret).id)
        return entry.state

    async def run(self, work, seconds=0.0):
        """Let a coroutine run while so much time passes, and return its task."""
        task = asyncio.ensure_future(work)
        await self.clock.advance(seconds)
        return task

    @contextlib.asynccontextmanager
    async def display(self):
        secret, token = self.pairing.secret, self.pairing.token
        await self.relay.register(secret.cid, registration(secret, token))
        idle = Content.idle(name="Shop")
        async with (
            Screen(self.relay, self.pairing, idle, self.clock) as screen,
            Tablet(self.relay, secret, self.clock) as tablet,
        ):
            await settle()
            yield screen, tablet


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path / "outbox.sqlite")
    yield shop
    shop.outbox.close()


async def test_what_the_relay_gets_opens_with_the_secret_that_was_shown(shop):
    assert await shop.delivery().upload() == "stored"

    assert unseal(shop.stored, shop.secret) == TICKET
    assert shop.cashier.told == ["sealed", "stored"]


async def test_a_ticket_is_in_the_outbox_before_its_first_upload(shop):
    shop.relay.away = True
    task = await shop.run(shop.delivery().upload())

    assert shop.relay.calls["put"] == 1
    assert shop.state() == "sealed"
    assert shop.outbox.find(shop.secret.id)[0].tried
    task.cancel()


async def test_a_receipt_is_in_the_outbox_before_its_picture_is_made(shop):
    never = asyncio.get_running_loop().create_future()
    task = await shop.run(shop.delivery(seeing=never).upload())

    assert shop.outbox.receipt(1) == TICKET
    task.cancel()


async def test_a_picture_that_is_there_in_time_is_part_of_the_ticket(shop):
    picture = asyncio.get_running_loop().create_future()
    picture.set_result(Seen(b"picture"))
    await shop.delivery(seeing=picture).upload()

    assert unseal(shop.stored, shop.secret).preview == b"picture"


async def test_words_that_are_there_in_time_are_part_of_the_ticket(shop):
    seeing = asyncio.get_running_loop().create_future()
    seeing.set_result(Seen(b"picture", (("Total", "5,00"),)))
    await shop.delivery(seeing=seeing).upload()

    ticket = unseal(shop.stored, shop.secret)
    assert ticket.lines == (("Total", "5,00"),)
    assert (ticket.preview, ticket.preview_is_rest) == (b"picture", False)


@pytest.mark.rule("T44")
@pytest.mark.parametrize("size", [11_000, 20_000])
async def test_a_picture_beside_words_costs_no_larger_envelope(shop, size):
    seeing = asyncio.get_running_loop().create_future()
    seeing.set_result(Seen(bytes(size), (("Total", "5,00"),)))
    await shop.delivery(seeing=seeing).upload()

    ticket = unseal(shop.stored, shop.secret)
    assert len(shop.stored) == 16 * 1024
    assert ticket.lines == (("Total", "5,00"),)
    assert (ticket.preview is None) == (size == 20_000)


async def test_a_picture_without_words_may_cost_a_larger_one(shop):
    seeing = asyncio.get_running_loop().create_future()
    seeing.set_result(Seen(bytes(20_000)))
    await shop.delivery(seeing=seeing).upload()

    assert len(shop.stored) == 24 * 1024


@pytest.mark.rule("T17")
async def test_a_ticket_is_sealed_and_kept_before_its_picture_is_there(shop):
    never = asyncio.get_running_loop().create_future()
    task = await shop.run(shop.delivery(seeing=never).upload())
    kept = shop.outbox.envelope(shop.secret.id)

    assert unseal(kept, shop.secret) == TICKET
    assert shop.relay.calls["put"] == 0
    never.set_result(Seen(b"picture"))
    await task
    assert shop.outbox.envelope(shop.secret.id) == shop.stored
    assert unseal(shop.stored, shop.secret).preview == b"picture"
    assert shop.relay.calls["put"] == 1


@pytest.mark.rule("T17")
async def test_where_the_picture_cannot_be_kept_what_was_kept_is_uploaded(shop):
    picture = asyncio.get_running_loop().create_future()
    task = await shop.run(shop.delivery(seeing=picture).upload())
    kept = shop.outbox.envelope(shop.secret.id)
    shop.outbox._connection.execute("PRAGMA max_page_count = 1")

    picture.set_result(Seen(bytes(40_000)))
    await task

    assert shop.stored == kept


async def test_a_picture_that_takes_too_long_is_left_out(shop):
    never = asyncio.get_running_loop().create_future()
    task = await shop.run(shop.delivery(seeing=never).upload(), 1.6)

    assert await task == "stored"
    assert unseal(shop.stored, shop.secret).preview is None
    assert never.cancelled()


async def test_a_picture_that_fails_is_left_out(shop):
    broken = asyncio.get_running_loop().create_future()
    broken.set_exception(ZeroDivisionError())
    await shop.delivery(seeing=broken).upload()

    assert unseal(shop.stored, shop.secret).preview is None


@pytest.mark.parametrize(
    "error", [UnreachableError("away"), BusyError("busy", 9.0), FullError("full")]
)
async def test_a_relay_that_may_be_back_is_tried_until_it_takes_the_ticket(shop, error):
    shop.relay.fail("put", error, error, error)
    task = await shop.run(shop.delivery().upload(), 60)

    assert await task == "stored"
    assert len(shop.cashier.waits) == 3


async def test_a_busy_relay_is_not_asked_before_its_time(shop):
    shop.relay.fail("put", BusyError("busy", 40.0))
    task = await shop.run(shop.delivery().upload(), 39)
    assert shop.relay.calls["put"] == 1

    await shop.clock.advance(2)

    assert await task == "stored"


async def test_an_upload_whose_answer_was_lost_is_repeated_with_the_same_bytes(shop):
    shop.relay.lose("put")
    task = await shop.run(shop.delivery().upload(), 2)

    assert await task == "stored"
    assert shop.relay.calls["put"] == 2
    assert shop.cashier.links == []


@pytest.mark.rule("T17")
async def test_other_bytes_under_the_id_make_a_new_ticket_with_a_new_secret(shop):
    await shop.relay.put(shop.secret.id, b"other bytes")
    delivery = shop.delivery()

    assert await delivery.upload() == "stored"

    (link,) = shop.cashier.links
    assert link.secret != shop.secret
    assert delivery.id == link.secret.id
    assert unseal(shop.relay.tickets[link.secret.id]["envelope"], link.secret) == TICKET
    assert shop.state() == "failed"
    assert shop.state(link.secret) == "stored"


@pytest.mark.rule("T17")
async def test_a_relay_that_always_says_taken_is_not_asked_for_ever(shop):
    shop.relay.fail("put", *[TakenError("taken")] * 10)

    with pytest.raises(TakenError):
        await shop.delivery().upload()

    assert shop.relay.calls["put"] == 3
    assert shop.cashier.told[-1] == "failed"


@pytest.mark.rule("T1")
async def test_every_delivery_draws_a_secret_of_its_own(shop):
    deliveries = [Delivery(shop.till, TICKET, shop.cashier) for _ in range(20)]

    assert len({delivery.id for delivery in deliveries}) == 20


async def test_a_relay_that_wants_a_permit_leaves_the_ticket_in_the_outbox(shop):
    shop.relay.fail("put", PermitError("no permit"))

    with pytest.raises(PermitError):
        await shop.delivery().upload()

    assert shop.state() == "sealed"


async def test_a_refusal_for_good_is_told_as_failed(shop):
    shop.relay.fail("put", RefusedError("bad"))

    with pytest.raises(RefusedError):
        await shop.delivery().upload()

    assert shop.state() == "failed"
    assert shop.cashier.told == ["sealed", "failed"]


async def test_a_ticket_that_was_revoked_meanwhile_ends_revoked(shop):
    await shop.relay.put(shop.secret.id, b"")
    await shop.relay.expire(shop.secret.id, "revoked")

    assert await shop.delivery().upload() == "revoked"
    assert shop.state() == "revoked"


async def test_a_receipt_that_fits_no_envelope_is_refused(shop):
    with pytest.raises(ReceiptError):
        await shop.delivery(Ticket(receipt=bytes(5 * 1024 * 1024))).upload()


async def test_a_sale_goes_on_when_the_disk_is_full(shop):
    shop.outbox._connection.execute("PRAGMA max_page_count = 1")
    ticket = Ticket(receipt=bytes(100_000))

    assert await shop.delivery(ticket).upload() == "stored"

    assert shop.cashier.troubles == ["this computer's disk is full"]
    assert unseal(shop.stored, shop.secret) == ticket


@pytest.mark.rule("R130")
async def test_no_upload_begins_that_a_full_disk_would_not_know_of(shop):
    delivery = shop.delivery()
    delivery.keep()
    tried, shop.outbox.tried = shop.outbox.tried, full_disk
    with pytest.raises(OutboxError, match="disk is full"):
        await delivery.upload()
    assert shop.relay.order == []
    shop.outbox.tried = tried

    assert await delivery.upload() == "stored"


@pytest.mark.rule("R130")
async def test_what_is_taken_back_after_a_full_disk_and_a_crash_opens_nothing(shop, tmp_path):
    shop.outbox.tried = shop.outbox.note = full_disk
    with contextlib.suppress(OutboxError):
        await shop.delivery().upload()
    shop.clock.jump(CLAIM_SECONDS + 1)

    with Outbox(tmp_path / "outbox.sqlite", shop.clock.now) as of_another_process:
        (entry,) = of_another_process.entries()
        taken_back = await revoke(shop.till, of_another_process, entry, shop.cashier.away)

    assert taken_back == "revoked"
    assert [each["state"] for each in shop.relay.tickets.values() if each["envelope"]] == []


async def test_a_sale_goes_on_without_an_outbox(shop):
    till = Till(shop.relay, None, "https://page.example", shop.clock)
    delivery = Delivery(till, TICKET, shop.cashier, secret=shop.secret)

    assert await delivery.upload() == "stored"
    assert not delivery.kept


# Watching


async def watching(shop, until=SAVED, **options):
    delivery = shop.delivery(**options)
    await delivery.upload()
    return delivery, await shop.run(delivery.watch(until))


async def test_what_the_phone_says_is_told_and_lets_the_receipt_go(shop):
    _, task = await watching(shop)
    await shop.relay.phone(shop.secret, "opened")
    await settle()
    assert shop.outbox.receipt(1) is None
    await shop.relay.phone(shop.secret, "received")

    assert await task == "received"
    assert shop.cashier.told == ["sealed", "stored", "opened", "received"]


async def test_waiting_for_opened_ends_at_opened(shop):
    _, task = await watching(shop, frozenset({"opened", "received"}))
    await shop.relay.phone(shop.secret, "opened")

    assert await task == "opened"


@pytest.mark.parametrize("state", ["expired", "revoked", "received"])
async def test_a_ticket_that_is_over_ends_the_watching(shop, state):
    _, task = await watching(shop)
    await shop.relay.expire(shop.secret.id, state)

    assert await task == state
    assert shop.state() == state


async def test_watching_goes_on_when_the_relay_was_away(shop):
    _, task = await watching(shop)
    await shop.relay.go_away()
    await shop.clock.advance(60)
    shop.relay.come_back()
    await shop.relay.phone(shop.secret, "received")
    await shop.clock.advance(40)

    assert await task == "received"


async def test_a_relay_that_does_not_wait_is_not_run_at_in_circles(shop):
    delivery = shop.delivery()
    await delivery.upload()

    async def at_once(id, token, **_):  # noqa: A002
        shop.relay.calls["state"] += 1
        return await FlakyRelay.state(shop.relay, id, token)

    shop.relay.state = at_once
    task = await shop.run(delivery.watch(SAVED), 10)

    assert shop.relay.calls["state"] < 30
    task.cancel()


async def test_a_relay_that_lost_the_ticket_gets_the_same_bytes_again(shop):
    _, task = await watching(shop)
    before = shop.stored
    shop.relay.forget_everything()
    await shop.clock.advance(26)
    assert shop.stored == before
    await shop.relay.phone(shop.secret, "received")

    assert await task == "received"


async def test_a_relay_that_keeps_nothing_ends_in_failed(shop):
    delivery = shop.delivery()
    await delivery.upload()
    shop.relay.fail("state", *[AbsentError("absent")] * 10)

    with pytest.raises(AbsentError):
        await delivery.watch(SAVED)

    assert shop.cashier.told[-1] == "failed"


@pytest.mark.rule("R131")
async def test_a_lost_ticket_is_not_uploaded_again_after_seven_days(shop):
    shop.relay.fail("state", BusyError("busy", 7 * DAY + 1), AbsentError("lost"))
    _, task = await watching(shop)
    await shop.clock.advance(7 * DAY + 2)

    with pytest.raises(AbsentError):
        await task
    assert shop.relay.calls["put"] == 1


@pytest.mark.rule("R131")
async def test_an_upload_ends_seven_days_after_sealing(shop):
    shop.relay.fail("put", BusyError("busy", 7 * DAY + 1))
    task = await shop.run(shop.delivery().upload(), 7 * DAY + 60)

    with pytest.raises(RefusedError):
        await task
    assert shop.cashier.told == ["sealed", "failed"]


async def test_a_jump_of_the_wall_clock_does_not_end_an_upload(shop):
    shop.relay.away = True
    task = await shop.run(shop.delivery().upload())
    shop.clock.jump(365 * DAY)
    shop.relay.come_back()
    await shop.clock.advance(2)

    assert await task == "stored"


@pytest.mark.rule("T3")
async def test_the_secret_is_forgotten_when_the_ticket_was_opened(shop):
    delivery, task = await watching(shop)
    await shop.relay.phone(shop.secret, "opened")
    await settle()

    assert delivery._secret is None
    task.cancel()


@pytest.mark.rule("T3")
async def test_the_secret_can_be_forgotten_while_the_watching_goes_on(shop):
    delivery, task = await watching(shop)
    delivery.forget()
    await shop.relay.phone(shop.secret, "received")

    assert await task == "received"


# With a display


async def test_the_display_shows_the_ticket_before_anything_is_uploaded(shop):
    async with shop.display() as (screen, tablet):
        shop.relay.fail("put", UnreachableError("away"))
        task = await shop.run(shop.delivery(screen=screen).upload())

        content = tablet.shown[-1]
        assert (content.kind, content.secret) == ("ticket", shop.secret)
        assert (content.number, content.time, content.total) == ("TC1-7", "14:02", "54,64 €")
        assert (content.name, content.lang, content.seconds) == ("Shop", "fr", 90)
        task.cancel()


async def test_the_display_thanks_when_the_ticket_was_opened_and_then_is_idle(shop):
    async with shop.display() as (screen, tablet):
        delivery, task = await watching(shop, screen=screen)
        assert await delivery.confirm()
        await shop.relay.phone(shop.secret, "opened")
        await shop.clock.advance(11)

        assert tablet.kinds == ["idle", "ticket", "thanks", "idle"]
        assert shop.cashier.told == ["sealed", "stored", "shown", "opened"]
        task.cancel()


async def test_a_display_that_shows_the_next_sale_is_not_cleared_by_the_last_one(shop):
    async with shop.display() as (screen, tablet):
        _, task = await watching(shop, screen=screen)
        first = shop.secret
        shop.secret = Secret.generate()
        await shop.delivery(screen=screen).upload()
        await shop.relay.phone(first, "opened")
        await settle()

        assert tablet.shown[-1].secret == shop.secret
        task.cancel()


@pytest.mark.rule("C43")
@pytest.mark.parametrize("state", ["opened", "revoked"])
async def test_a_ticket_that_a_customer_prolonged_leaves_the_display_when_it_is_done(shop, state):
    async with shop.display() as (screen, tablet):
        delivery = shop.delivery(screen=screen)
        await delivery.upload()
        await shop.clock.advance(shop.till.ticket_seconds + 1)
        assert tablet.kinds == ["idle", "ticket"]
        assert delivery.lingers

        shop.relay.tickets[shop.secret.id]["state"] = state
        await delivery.look(0)
        await settle()

        assert tablet.kinds == ["idle", "ticket", "idle"]
        assert not delivery.lingers


async def test_a_revoked_ticket_leaves_the_display_at_once(shop):
    async with shop.display() as (screen, tablet):
        _, task = await watching(shop, screen=screen)
        await shop.relay.expire(shop.secret.id, "revoked")
        await task
        await settle()

        assert tablet.kinds[-1] == "idle"


@pytest.mark.rule("C37")
async def test_a_display_that_is_not_there_is_not_waited_for_longer_than_three_seconds(shop):
    secret, token = shop.pairing.secret, shop.pairing.token
    await shop.relay.register(secret.cid, registration(secret, token))
    async with Screen(shop.relay, shop.pairing, Content.idle(), shop.clock) as screen:
        delivery = shop.delivery(screen=screen)
        delivery.show()
        task = await shop.run(delivery.confirm(), 2.9)
        assert not task.done()
        await shop.clock.advance(0.2)

        assert task.result() is False


@pytest.mark.rule("T17")
async def test_a_new_secret_replaces_the_old_one_on_the_display_too(shop):
    await shop.relay.put(shop.secret.id, b"other bytes")
    async with shop.display() as (screen, tablet):
        await shop.delivery(screen=screen).upload()
        await settle()

        assert tablet.shown[-1].secret == shop.cashier.links[0].secret


async def test_texts_too_long_for_a_display_are_left_out_and_never_cut(shop):
    ticket = Ticket(receipt=b"%PDF-", title="x" * 200, total="y" * 64, number="7")
    async with shop.display() as (screen, tablet):
        await shop.delivery(ticket, screen=screen).upload()
        await settle()

        content = tablet.shown[-1]
        assert (content.name, content.total, content.number) == (None, None, "7")


# Abandoning, finishing, revoking


async def test_what_is_abandoned_before_it_was_sealed_is_sealed_and_kept(shop):
    never = asyncio.get_running_loop().create_future()
    delivery = shop.delivery(seeing=never)
    task = await shop.run(delivery.upload())
    task.cancel()
    await settle()

    assert delivery.abandon()

    assert unseal(shop.outbox.envelope(shop.secret.id), shop.secret) == TICKET


async def test_what_is_abandoned_during_its_upload_is_finished_by_the_next_process(shop):
    shop.relay.away = True
    delivery = shop.delivery()
    task = await shop.run(delivery.upload())
    task.cancel()
    assert delivery.abandon()
    shop.relay.come_back()
    done = []

    await flush(shop.till, shop.outbox, shop.cashier.away, lambda *told: done.append(told[1]))

    assert done == ["stored"]
    assert unseal(shop.stored, shop.secret) == TICKET
    assert shop.outbox.unfinished() == []


async def test_abandoning_without_an_outbox_says_that_it_is_lost(shop):
    till = Till(shop.relay, None, "https://page.example", shop.clock)

    assert not Delivery(till, TICKET, shop.cashier).abandon()


async def test_abandoning_clears_the_display(shop):
    async with shop.display() as (screen, tablet):
        delivery = shop.delivery(screen=screen)
        await delivery.upload()
        await settle()
        assert delivery.abandon()
        await settle()

        assert tablet.kinds[-1] == "idle"


async def unfinished(shop, *, tried=True):
    """A ticket whose process has died; the relay may have it or not."""
    number = shop.outbox.accept(TICKET, "till")
    from e2ee_ticket.protocol.envelope import seal

    shop.outbox.keep(number, shop.secret, seal(TICKET, shop.secret), 3600)
    if tried:
        shop.outbox.tried(shop.secret.id)
    return shop.outbox.find(shop.secret.id)[0]


@pytest.mark.rule("R130")
async def test_a_revoke_repeats_an_upload_of_unknown_outcome_first(shop):
    entry = await unfinished(shop)

    assert await revoke(shop.till, shop.outbox, entry, shop.cashier.away) == "revoked"

    assert shop.relay.order[-2:] == ["put", "mark"]
    assert shop.relay.tickets[shop.secret.id]["state"] == "revoked"
    assert shop.state() == "revoked"


@pytest.mark.rule("R130")
async def test_a_revoke_goes_on_until_the_relay_has_answered_both(shop):
    entry = await unfinished(shop)
    shop.relay.lose("put")
    shop.relay.lose("mark", 2)
    task = await shop.run(revoke(shop.till, shop.outbox, entry, shop.cashier.away), 60)

    assert await task == "revoked"
    assert shop.relay.calls["put"] == 2
    assert shop.relay.calls["mark"] > 1


@pytest.mark.rule("R130")
async def test_a_revoke_goes_on_when_the_repeated_upload_is_refused(shop):
    entry = await unfinished(shop)
    await shop.relay.put(entry.id, shop.outbox.envelope(entry.id))
    shop.relay.fail("put", PermitError("the permit was revoked"))

    assert await revoke(shop.till, shop.outbox, entry, shop.cashier.away) == "revoked"
    assert shop.relay.tickets[entry.id]["state"] == "revoked"


@pytest.mark.rule("R130")
async def test_a_refused_upload_and_a_404_settle_nothing_and_the_wish_stays(shop):
    entry = await unfinished(shop)
    shop.relay.fail("put", RefusedError("bad"), PermitError("no permit"))
    for error in (RefusedError, PermitError):
        with pytest.raises(error):
            await revoke(shop.till, shop.outbox, entry, shop.cashier.away)
        assert [left.id for left in shop.outbox.unfinished()] == [entry.id]

    await flush(shop.till, shop.outbox, shop.cashier.away, lambda *_: None)

    assert shop.state() == "revoked"


@pytest.mark.rule("R130")
async def test_a_revoke_ends_where_other_bytes_are_stored(shop):
    entry = await unfinished(shop)
    shop.relay.fail("put", TakenError("taken"))

    with pytest.raises(TakenError):
        await revoke(shop.till, shop.outbox, entry, shop.cashier.away)

    assert shop.outbox.unfinished() == []


@pytest.mark.rule("R132")
async def test_what_is_too_old_to_upload_is_revoked_alone_and_a_404_is_no_end_of_it(shop):
    entry = await unfinished(shop)
    shop.outbox.want_revoked(entry.id)
    shop.clock.jump(7 * DAY + 1)
    assert shop.outbox.sweep().not_uploaded == ()
    told = []

    await flush(shop.till, shop.outbox, shop.cashier.away, lambda *said: told.append(said[1]))

    assert shop.relay.order == ["mark"]
    assert isinstance(told[0], AbsentError)
    assert [left.id for left in shop.outbox.unfinished()] == [entry.id]
    shop.clock.jump(DAY)
    assert [dropped.id for dropped in shop.outbox.sweep().not_uploaded] == [entry.id]


async def test_a_revoke_of_what_never_left_this_computer_asks_nobody(shop):
    entry = await unfinished(shop, tried=False)

    assert await revoke(shop.till, shop.outbox, entry, shop.cashier.away) == "revoked"
    assert shop.relay.order == []


@pytest.mark.rule("R130")
async def test_a_revoke_believes_the_outbox_and_not_what_it_was_told_before(shop):
    entry = await unfinished(shop, tried=False)
    shop.outbox.tried(entry.id)

    assert await revoke(shop.till, shop.outbox, entry, shop.cashier.away) == "revoked"
    assert shop.relay.order == ["put", "mark"]


@pytest.mark.rule("R130")
async def test_a_revoke_of_what_another_process_is_at_asks_the_relay(shop, tmp_path):
    entry = await unfinished(shop, tried=False)
    with Outbox(tmp_path / "outbox.sqlite", shop.clock.now) as other:
        assert await revoke(shop.till, other, entry, shop.cashier.away) == "revoked"

    assert shop.relay.order == ["put", "mark"]


async def test_what_another_process_took_back_does_not_leave(shop):
    picture = asyncio.get_running_loop().create_future()
    task = await shop.run(shop.delivery(seeing=picture).upload())
    shop.outbox.withdraw(shop.secret.id)
    picture.set_result(None)
    await settle()

    assert await task == "revoked"
    assert shop.relay.order == []
    assert shop.cashier.told == ["sealed", "revoked"]


async def test_finishing_leaves_alone_what_ended_meanwhile(shop):
    entry = await unfinished(shop, tried=False)
    shop.outbox.note(entry.id, "revoked")

    assert await finish(shop.till, shop.outbox, entry, shop.cashier.away) == "revoked"
    assert shop.relay.order == []


@pytest.mark.rule("T17")
async def test_a_picture_comes_too_late_for_what_another_process_is_uploading(shop):
    picture = asyncio.get_running_loop().create_future()
    task = await shop.run(shop.delivery(seeing=picture).upload())
    kept = shop.outbox.envelope(shop.secret.id)
    shop.outbox.tried(shop.secret.id)
    picture.set_result(Seen(b"\x89PNG a picture"))
    await settle()

    assert await task == "stored"
    assert shop.stored == kept


async def test_other_bytes_under_the_id_of_a_forgotten_secret_are_a_failure(shop):
    delivery = shop.delivery()
    delivery.keep()
    delivery.forget()
    shop.relay.fail("put", TakenError("taken"))

    with pytest.raises(TakenError):
        await delivery.upload()

    assert shop.state() == "failed"
    assert shop.relay.calls["put"] == 1


async def test_a_revoke_that_comes_too_late_says_so(shop):
    await shop.delivery().upload()
    await shop.relay.expire(shop.secret.id, "received")
    (entry,) = shop.outbox.find(shop.secret.id)

    assert await revoke(shop.till, shop.outbox, entry, shop.cashier.away) == "received"


async def test_a_revoke_survives_its_process(shop):
    entry = await unfinished(shop)
    shop.relay.away = True
    task = await shop.run(revoke(shop.till, shop.outbox, entry, shop.cashier.away))
    task.cancel()
    await settle()
    shop.relay.come_back()

    await flush(shop.till, shop.outbox, shop.cashier.away, lambda *_: None)

    assert shop.state() == "revoked"


@pytest.mark.rule("R131")
async def test_finishing_does_not_upload_what_was_sealed_over_seven_days_ago(shop):
    await unfinished(shop)
    shop.clock.jump(7 * DAY + 1)
    done = []

    await flush(shop.till, shop.outbox, shop.cashier.away, lambda *told: done.append(told[1]))

    assert done == ["failed"]
    assert shop.relay.calls["put"] == 0


async def test_finishing_leaves_alone_what_another_process_is_at(shop, tmp_path):
    await unfinished(shop)
    with Outbox(tmp_path / "outbox.sqlite", shop.clock.now) as other:
        await flush(shop.till, other, shop.cashier.away, lambda *_: None)

    assert shop.relay.calls["put"] == 0


async def test_finishing_tells_what_the_relay_refuses_and_goes_on(shop):
    await unfinished(shop)
    first = shop.secret
    shop.secret = Secret.generate()
    await unfinished(shop)
    shop.relay.fail("put", TakenError("taken"))
    done = {}

    await flush(
        shop.till, shop.outbox, shop.cashier.away, lambda entry, told: done.update({entry.id: told})
    )

    assert isinstance(done[first.id], TakenError)
    assert done[shop.secret.id] == "stored"
    assert shop.state(first) == "failed"


async def test_the_time_the_relay_is_asked_to_keep_it_is_kept_with_it(shop):
    await unfinished(shop)
    await flush(shop.till, shop.outbox, shop.cashier.away, lambda *_: None)

    assert shop.relay.tickets[shop.secret.id]["ttl"] == 3600


def full_disk(*_):
    raise OutboxError("this computer's disk is full")
