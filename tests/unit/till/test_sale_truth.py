"""The till tells the truth about a sale: what was shown, why it waits, what was not accepted."""

import asyncio
import contextlib
import sqlite3

import pytest
from fakes import settle
from shop import DAY, RECEIPT, Shop, arrival

from e2ee_ticket.errors import OutboxError, ReceiptError, TicketError, UnreachableError
from e2ee_ticket.sources import Finding
from e2ee_ticket.till import salvage
from e2ee_ticket.till.audit import Verdict
from e2ee_ticket.till.console.pages.cashier import face, state_text
from e2ee_ticket.till.outbox import FILE_NAME, Showing
from e2ee_ticket.till.refusals import TOLD_MAX

LATE = "this sale reached this program late, so that its code was not shown"
OVERTAKEN = "the next sale came before this one's code could be shown"
REPLACED = "the next sale came before this one's code could be scanned"
AWAY = "the relay is away: the code does not work yet"
INTERRUPTED = "the relay went away before this code could be scanned"
RESTARTED = "the till was restarted before this receipt was delivered"


@pytest.fixture
async def shop(tmp_path):
    made = Shop(tmp_path)
    await made.start()
    yield made
    await made.stop()


def said(shop, number):
    """What the console says of a sale, by its key."""
    away = shop.agent.relay().away_since is not None
    return state_text(shop.sale(number), drawn=False, away=away)


def full_disk(*_, **__):
    raise OutboxError("this computer's disk is full")


async def blip(shop, seconds):
    """The relay goes away while an upload is on its way, and comes back."""
    shop.relay.fail("put", UnreachableError("the line was cut"))
    number = await shop.sell()
    await shop.relay.go_away()
    await shop.clock.advance(seconds)
    return number


# A blip of the relay


async def test_after_a_blip_the_code_comes_back_while_its_customer_can_be_here(shop):
    async with shop.tablet() as tablet:
        number = await blip(shop, 6)
        sale = shop.sale(number)
        assert (sale.state, sale.warning, sale.also) == ("held", AWAY, (INTERRUPTED,))

        shop.relay.come_back()
        await shop.clock.advance(20)

        sale = shop.sale(number)
        assert (sale.state, sale.on_screen, sale.shown) == ("stored", True, True)
        assert (sale.warning, sale.also) == (None, ())
        painted = tablet.channel.painted(tablet.reading())
        assert painted.kind == "ticket"
        assert painted.seconds <= 90 - 6  # no longer than if it had never been off


async def test_after_an_outage_that_the_customer_did_not_wait_for_the_sale_is_held(shop):
    async with shop.tablet() as tablet:
        number = await blip(shop, 80)
        shop.relay.come_back()
        await shop.clock.advance(20)

        sale = shop.sale(number)
        assert (sale.state, sale.on_screen, sale.here) == ("held", False, False)
        assert (sale.warning, sale.also) == (INTERRUPTED, ())
        assert tablet.channel.painted(tablet.reading()).kind == "idle"
        assert {"show", "paper"} < sale.actions
        assert [ticket["state"] for ticket in shop.relay.tickets.values()] == ["stored"]


async def test_a_code_does_not_come_back_once_the_next_sale_has_begun(shop):
    async with shop.tablet() as tablet:
        number = await blip(shop, 6)
        shop.intake().live(["2 apples"])
        shop.relay.come_back()
        await shop.clock.advance(20)

        assert shop.sale(number).state == "held"
        assert shop.sale(number).warning == INTERRUPTED
        assert tablet.channel.painted(tablet.reading()).kind == "live"


async def test_a_sale_that_came_while_the_relay_was_away_is_shown_when_it_is_back_in_time(shop):
    async with shop.tablet():
        await shop.relay.go_away()
        await shop.clock.advance(6)
        number = await shop.sell()
        assert shop.sale(number).warning == "no code is shown: nothing answers"

        shop.relay.come_back()
        await shop.clock.advance(20)

        assert shop.sale(number).state == "stored"
        assert said(shop, number) == "state.shown.text"


async def test_what_was_in_the_way_is_told_as_past_once_it_is(shop):
    await shop.relay.go_away()
    await shop.clock.advance(6)
    number = await shop.sell()
    await shop.clock.advance(100)

    shop.relay.come_back()
    await shop.clock.advance(20)

    assert shop.sale(number).state == "held"
    assert shop.sale(number).warning == "no code was shown: nothing answers"


async def test_a_page_that_is_well_again_brings_the_code_back(shop):
    async with shop.tablet():
        shop.watch.verdict = Verdict("unknown", "the page could not be looked at")
        number = await shop.sell()
        await shop.clock.advance(5)
        assert shop.sale(number).warning == "no code is shown: the page could not be looked at"

        shop.watch.verdict = Verdict("ok", "as released")
        shop.watch.changed(shop.watch.verdict)
        await shop.clock.advance(1)

        assert shop.sale(number).state == "stored"
        assert shop.sale(number).warning is None


# Reasons are a set


async def test_no_reason_replaces_another_and_each_ends_by_itself(shop):
    async with shop.tablet():
        put = shop.relay.put
        shop.relay.put = lambda *_, **__: asyncio.Event().wait()
        number = await shop.sell("1 €")
        await shop.clock.advance(1)
        await shop.sell("2 €")
        await shop.clock.advance(11)
        sale = shop.sale(number)
        assert "has not taken this receipt yet" in sale.warning
        assert sale.also == (REPLACED,)

        shop.relay.put = put
        await shop.restart()
        await shop.clock.advance(1)

        assert shop.relay.tickets
        assert (shop.sale(number).state, shop.sale(number).warning) == ("held", REPLACED)


async def test_a_code_that_nobody_has_shown_is_never_called_sent(shop):
    number = await shop.sell()
    assert said(shop, number) == "state.unseen.text"
    await shop.clock.advance(10)
    assert shop.sale(number).here
    assert said(shop, number) == "state.unseen.text"

    await shop.sell()

    assert shop.sale(number).state == "held"
    assert shop.sale(number).warning == OVERTAKEN
    assert said(shop, number) is None


async def test_a_code_that_the_tills_own_screen_drew_counts_as_shown(shop):
    number = await shop.sell()
    await shop.agent.show_here(number)
    await shop.clock.advance(10)
    await shop.sell()

    assert shop.sale(number).state == "stored"
    assert said(shop, number) == "state.sent.text"


async def test_a_code_that_was_hidden_before_anybody_saw_it_waits(shop):
    number = await shop.sell()
    await shop.clock.advance(4)

    await shop.agent.hide_here(number)
    await shop.clock.advance(90)

    assert shop.sale(number).state == "held"
    assert shop.sale(number).warning == "no display has confirmed this code"


async def test_a_sale_whose_customer_has_a_copy_does_not_wait(tmp_path):
    shop = Shop(tmp_path, paper="always")
    await shop.start()
    number = await shop.sell()
    await shop.sell()

    assert shop.sale(number).state != "held" or shop.sale(number).warning
    await shop.stop()


# A restart


async def test_where_and_when_a_code_was_shown_is_kept(shop):
    async with shop.tablet():
        began = shop.clock.now()
        number = await shop.sell()
        await shop.clock.advance(7)
        await shop.sell()
        await shop.clock.advance(1)

        (showing,) = shop.outbox.histories()[number].showings
        assert showing.place == "Counter"
        assert began <= showing.since < began + 1
        assert showing.since + 7 <= showing.until < showing.since + 8


async def test_what_was_shown_long_enough_is_no_trouble_after_a_restart(shop):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(7)

        await shop.restart()

        assert (shop.sale(number).state, shop.sale(number).warning) == ("stored", None)
        assert said(shop, number) == "state.sent.text"


@pytest.mark.parametrize("seconds", [0, 2])
async def test_what_was_hardly_shown_waits_after_a_restart(shop, seconds):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(seconds)
        shop.agent._desks["Till 1"]._unsaved.clear()
        shop._task.cancel()
        await settle()
        shop.outbox.close()

        await shop.start()

        assert shop.sale(number).state == "held"
        assert shop.sale(number).warning == RESTARTED


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        (LATE, lambda shop: shop.sell(late=True)),
        ("no code was shown: nothing answers", None),
        (REPLACED, "replaced"),
    ],
    ids=["late", "away", "replaced"],
)
async def test_a_restart_keeps_why_a_sale_waits(shop, reason, make):
    async with shop.tablet():
        if make is None:
            await shop.relay.go_away()
            await shop.clock.advance(6)
            number = await shop.sell()
            await shop.clock.advance(100)
            shop.relay.come_back()
        elif make == "replaced":
            number = await shop.sell()
            await shop.clock.advance(1)
            await shop.sell()
        else:
            number = await make(shop)
        await shop.restart()
        await shop.clock.advance(1)

        sale = shop.sale(number)
        assert (sale.state, sale.warning, sale.also) == ("held", reason, ())
        shop.agent.change_config({"shop": "Chez Jeanne"})
        await shop.restart()
        assert shop.sale(number).warning == reason


async def test_what_a_full_disk_did_not_keep_of_a_sale_is_kept_when_it_can_be(shop):
    change, shop.outbox.change_sale = shop.outbox.change_sale, full_disk
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(7)
        assert shop.outbox.histories() == {}
        assert shop.sale(number).seen

        shop.outbox.change_sale = change
        await shop.clock.advance(3)

        (showing,) = shop.outbox.histories()[number].showings
        assert showing == Showing("Counter", showing.since)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_makes_no_brief_showing_a_long_one(shop, hours):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(1)
        shop.clock.jump(hours * 3600)
        await shop.sell()
        await shop.restart()
        await shop.clock.advance(1)

        (showing,) = shop.outbox.histories()[number].showings
        assert 0 < showing.until - showing.since <= 2
        assert shop.sale(number).state == "held"


# What arrives late


async def test_what_waited_for_the_disk_is_not_shown_to_the_next_customer(shop):
    async with shop.tablet() as tablet:
        accept, shop.outbox.accept = shop.outbox.accept, full_disk
        with pytest.raises(OutboxError):
            await shop.intake().accept(arrival("1 €"))
        await shop.clock.advance(20)
        shop.outbox.accept = accept

        number = await shop.sell("1 €")

        assert tablet.kinds == ["idle"]
        assert (shop.sale(number).state, shop.sale(number).warning) == ("held", LATE)
        await shop.restart()
        assert shop.sale(number).warning == LATE


async def test_what_began_before_the_sale_that_is_shown_is_not_shown_over_it(shop):
    async with shop.tablet() as tablet:
        accept, shop.outbox.accept = shop.outbox.accept, full_disk
        with pytest.raises(OutboxError):
            await shop.intake().accept(arrival("1 €"))
        await shop.clock.advance(2)
        shop.outbox.accept = accept
        await shop.sell("2 €", receipt=RECEIPT + b"another")

        number = await shop.sell("1 €")

        assert [content.total for content in tablet.shown][1:] == ["2 €"]
        assert (shop.sale(number).state, shop.sale(number).warning) == ("held", OVERTAKEN)


@pytest.mark.parametrize(("seconds", "state"), [(5, "stored"), (16, "held")])
async def test_a_source_may_say_since_when_a_receipt_has_been_coming(shop, seconds, state):
    async with shop.tablet():
        number = await shop.sell(began=shop.clock.now() - seconds)

        assert shop.sale(number).state == state


async def test_a_receipt_of_before_this_computer_slept_is_not_shown_when_it_wakes(shop):
    async with shop.tablet() as tablet:
        began = shop.clock.now()
        shop.clock._pass(600)  # the computer slept: no task ran

        number = await shop.sell(began=began)

        assert shop.sale(number).warning == LATE
        assert "ticket" not in tablet.kinds


# What was not accepted


async def test_a_refused_receipt_stays_on_the_console_until_it_was_seen(shop):
    accept, shop.outbox.accept = shop.outbox.accept, full_disk
    for _ in range(3):  # it is sent again and again, and is one
        with pytest.raises(OutboxError):
            await shop.intake().accept(arrival("7 €", number="TC1-0009"))
    shop.outbox.accept = accept
    await shop.sell("8 €", receipt=RECEIPT + b"another")

    (refused,) = shop.agent.refused()
    assert (refused.total, refused.receipt, refused.source) == ("7 €", "TC1-0009", "hand")
    assert refused.why == "this computer's disk is full"
    assert [trouble.text for trouble in shop.agent.troubles()] == [
        "receipts that were not accepted: 1"
    ]
    await shop.restart()
    assert shop.agent.refused() == [refused]

    await shop.agent.refusals_seen([refused.name])

    assert shop.agent.refused() == []
    assert shop.agent.troubles() == []
    await shop.restart()
    assert shop.agent.refused() == []


async def test_what_a_source_did_not_take_is_told_until_somebody_has_seen_it(shop):
    told = Finding(ok=False, text="a picture was no receipt", hint="print it on paper")
    for _ in range(3):
        shop.intake().refuse(told)
    shop.intake().refuse(Finding(ok=False, text="another"))
    await shop.clock.advance(3600)
    await shop.restart()

    first, second = shop.agent.troubles()
    assert (first.place, first.text, first.hint) == ("hand", told.text, told.hint)
    assert second.text == "another"
    assert shop.agent.refused() == []  # it is not known that it was a receipt

    await shop.agent.troubles_seen([first.seen])
    assert [trouble.text for trouble in shop.agent.troubles()] == ["another"]
    await shop.restart()
    assert [trouble.text for trouble in shop.agent.troubles()] == ["another"]


async def test_whoever_calls_a_source_for_ever_does_not_fill_the_list_of_what_was_not_taken(shop):
    for number in range(TOLD_MAX + 30):
        shop.intake().refuse(Finding(ok=False, text=f"document {number} was not taken"))
    await shop.restart()

    told = [trouble.text for trouble in shop.agent.troubles()]
    assert len(told) == TOLD_MAX
    assert told[-1] == f"document {TOLD_MAX + 29} was not taken"


async def test_what_is_missing_after_damage_is_told_until_somebody_has_seen_it(shop):
    await shop.sell()
    await shop.stop()
    path = shop.folder / FILE_NAME
    path.write_bytes(b"no outbox" * 1000)
    salvage.open_outbox(path, shop.clock.now).close()
    await shop.start()
    told = shop.agent.troubles()
    assert [trouble.place for trouble in told] == ["outbox"]

    await shop.agent.troubles_seen([trouble.seen for trouble in told])

    assert shop.agent.troubles() == []
    await shop.restart()
    assert shop.agent.troubles() == []


async def test_what_a_phone_opened_while_the_till_was_off_is_known_as_soon_as_it_is_on(shop):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(1)
    await shop.stop()
    (ticket,) = shop.relay.tickets.values()
    ticket["state"] = "opened"

    await shop.start()

    assert shop.sale(number).state == "opened"
    assert shop.sale(number).warning is None


async def test_a_sale_whose_ticket_the_outbox_never_had_waits_after_a_restart(shop):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(8)
    await shop.stop()
    with contextlib.closing(sqlite3.connect(shop.folder / FILE_NAME)) as outbox, outbox:
        assert outbox.execute("DELETE FROM tickets").rowcount == 1  # as if it had had no room
    await shop.start()

    assert shop.sale(number).state == "held"
    assert shop.sale(number).warning == RESTARTED


@pytest.mark.parametrize(("seconds", "warning"), [(2, RESTARTED), (6, None)])
async def test_a_clean_stop_ends_the_time_that_a_code_was_on(shop, seconds, warning):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(seconds)
    await shop.stop()
    shop.clock._pass(60)
    await shop.start()

    assert shop.sale(number).warning == warning


async def test_what_is_opened_just_after_a_restart_is_known_at_once(shop):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(1)
    await shop.restart()
    assert shop.sale(number).state != "opened"

    await shop.phone(number, "opened")

    assert shop.sale(number).state == "opened"


async def test_what_is_accepted_in_the_end_was_not_refused(shop):
    accept, shop.outbox.accept = shop.outbox.accept, full_disk
    with pytest.raises(OutboxError):
        await shop.intake().accept(arrival("7 €"))
    assert len(shop.agent.refused()) == 1
    shop.outbox.accept = accept

    await shop.sell("7 €")

    assert shop.agent.refused() == []


async def test_what_is_no_receipt_is_told_to_the_cashier_too(shop):
    with pytest.raises(ReceiptError):
        await shop.intake().accept(arrival(receipt=b"no PDF"))

    (refused,) = shop.agent.refused()
    assert refused.till == "Till 1"


async def test_that_a_receipt_was_refused_for_a_full_disk_is_kept_when_there_is_room(shop):
    accept, shop.outbox.accept = shop.outbox.accept, full_disk
    refuse, shop.outbox.refuse = shop.outbox.refuse, full_disk
    with pytest.raises(OutboxError):
        await shop.intake().accept(arrival("7 €"))
    assert len(shop.agent.refused()) == 1
    assert shop.outbox.refused() == []

    shop.outbox.accept, shop.outbox.refuse = accept, refuse
    await shop.clock.advance(3)

    assert len(shop.outbox.refused()) == 1


async def test_of_a_refused_receipt_nothing_is_kept_but_its_facts_and_those_a_day(shop):
    shop.outbox.accept, accept = full_disk, shop.outbox.accept
    with pytest.raises(OutboxError):
        await shop.intake().accept(arrival("7 €"))
    shop.outbox.accept = accept
    files = [path for path in shop.folder.iterdir() if path.name.startswith("outbox")]
    assert all(RECEIPT not in path.read_bytes() for path in files)

    shop.clock.jump(DAY + 1)
    await shop.clock.advance(3601)

    (kept,) = shop.outbox.refused()
    assert kept.facts is None


# More than the console had room for


async def test_of_more_than_500_that_wait_none_is_forgotten(shop):
    for number in range(620):
        await shop.intake().accept(arrival(f"{number} €", late=True))

    sales = shop.agent.sales(None, None)

    assert len(sales) == 620
    assert all((sale.state, sale.warning) == ("held", LATE) for sale in sales)


async def test_a_sale_that_cannot_be_shown_is_still_told_why(shop):
    number = await shop.sell(late=True)
    await shop.relay.go_away()
    await shop.clock.advance(6)

    with pytest.raises(TicketError, match="nothing answers"):
        await shop.agent.show(number)

    assert shop.sale(number).warning == LATE
    assert face(shop.sale(number)) == "held"
