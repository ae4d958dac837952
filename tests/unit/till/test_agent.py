"""The agent with a relay in memory, tablets that follow their rules, and a clock of its own."""

import asyncio
import contextlib
import gc
import json
import sqlite3

import pytest
import stage
from fakes import settle
from shop import DAY, RECEIPT, Hand, Shop, arrival

from e2ee_ticket.errors import (
    ConfigError,
    FullError,
    OutboxError,
    PermitError,
    ReceiptError,
    RefusedError,
    SourceError,
    TicketError,
    TokenError,
)
from e2ee_ticket.pdf.policy import Judged
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken, registration
from e2ee_ticket.protocol.envelope import unseal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Arrival, Finding
from e2ee_ticket.till.audit import Verdict
from e2ee_ticket.till.config import LanConfig, SourceConfig, TillConfig
from e2ee_ticket.till.displays import Displays, Pairing
from e2ee_ticket.till.outbox import FILE_NAME, Outbox


@pytest.fixture
async def shop(tmp_path):
    made = Shop(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def open_shop(tmp_path):
    """Make a shop of another kind; it is closed at the end."""
    made = []

    async def make(**options):
        made.append(Shop(tmp_path / str(len(made)), **options))
        await made[-1].start()
        return made[-1]

    yield make
    for each in made:
        await each.stop()


def opens(shop, link):
    """What a phone finds behind a link."""
    return unseal(shop.relay.tickets[link.secret.id]["envelope"], link.secret)


# From a receipt to its end


async def test_a_receipt_is_on_the_display_before_it_is_uploaded(shop):
    async with shop.tablet() as tablet:
        number = await shop.sell("54,64 €", number="TC1-0009")

        assert tablet.kinds[-1] == "ticket"
        assert tablet.shown[-1].total == "54,64 €"
        assert tablet.shown[-1].number == "TC1-0009"
        sale = shop.sale(number)
        assert (sale.state, sale.shown, sale.on_screen, sale.here) == ("stored", True, True, False)
        assert sale.warning is None


async def test_no_step_to_the_display_waits_for_the_upload(shop):
    async with shop.tablet() as tablet:
        shop.relay.put = lambda *_, **__: asyncio.Event().wait()
        number = await shop.sell()

        assert tablet.kinds[-1] == "ticket"
        assert shop.sale(number).state == "sealed"


async def test_what_the_customer_gets_is_the_receipt_byte_for_byte(shop):
    number = await shop.sell()
    link = await shop.agent.show_here(number)

    ticket = opens(shop, link)

    assert ticket.receipt == RECEIPT
    assert (ticket.title, ticket.lang, ticket.total) == ("Épicerie", "fr", "5,00 €")


async def test_a_customer_who_opens_it_is_thanked_and_the_receipt_is_let_go(shop):
    async with shop.tablet() as tablet:
        number = await shop.sell()
        await shop.phone(number, "opened")
        assert tablet.kinds[-1] == "thanks"
        assert shop.sale(number).state == "opened"
        assert shop.outbox.receipt(number) is None

        await shop.phone(number, "received")

        assert shop.sale(number).state == "received"
        assert shop.outbox.accepted()[0].outcome == "received"


async def test_a_shop_may_leave_the_code_on_until_it_is_saved(open_shop):
    shop = await open_shop(clear_on="received")
    async with shop.tablet() as tablet:
        number = await shop.sell()
        await shop.phone(number, "opened")
        assert tablet.kinds[-1] == "ticket"

        await shop.phone(number, "received")

        assert tablet.kinds[-1] == "thanks"


async def test_the_next_sale_takes_the_code_before_off(shop):
    async with shop.tablet() as tablet:
        first = await shop.sell("1 €")
        second = await shop.sell("2 €")

        assert tablet.shown[-1].total == "2 €"
        assert not shop.sale(first).on_screen
        assert shop.sale(second).on_screen


@pytest.mark.rule("T3")
async def test_of_receipts_that_come_together_none_goes_in_silence(shop):
    async with shop.tablet() as tablet:
        for total in ("1 €", "2 €", "3 €"):
            await shop.sell(total)
        await shop.clock.advance(1)

        last, *before = shop.agent.sales()
        assert [content.total for content in tablet.shown][-1] == "3 €"
        assert (last.on_screen, last.warning) == (True, None)
        for sale in before:
            assert sale.state == "held"
            assert "could be scanned" in sale.warning
            assert {"show", "paper"} < sale.actions

        await shop.agent.show(before[0].number)
        assert shop.sale(before[0].number).warning is None
        await shop.phone(before[1].number, "opened")
        assert shop.sale(before[1].number).warning is None


async def test_of_receipts_that_come_together_at_the_start_each_has_its_line(open_shop):
    shop = await open_shop()
    shop.watch.verdict = Verdict("unknown", "the receipt page has not been looked at yet")
    async with shop.tablet():
        for total in ("1 €", "2 €", "3 €"):
            await shop.intake().accept(arrival(total))
        shop.watch.verdict = Verdict("ok", "the pages are those of the release")
        await shop.clock.advance(1)

        last, *before = shop.agent.sales()
        assert last.on_screen
        assert [(sale.total, sale.state) for sale in before] == [("2 €", "held"), ("1 €", "held")]
        for sale in before:
            assert "could be shown" in sale.warning
            assert {"show", "paper"} < sale.actions


async def test_a_sale_that_had_its_time_is_replaced_without_a_word(shop):
    async with shop.tablet():
        number = await shop.sell()
        await shop.clock.advance(6)
        await shop.sell()

        assert shop.sale(number).warning is None


async def test_a_replaced_code_is_no_trouble_once_its_ticket_is_over(shop):
    number = await shop.sell()
    await shop.sell()
    assert shop.sale(number).warning is not None

    await shop.relay.expire(shop.agent._records[number].delivery.id)
    await shop.clock.advance(60)

    assert (shop.sale(number).state, shop.sale(number).warning) == ("expired", None)


async def test_the_secret_is_forgotten_ten_minutes_after_the_next_sale(shop):
    first = await shop.sell()
    await shop.sell()
    delivery = shop.agent._records[first].delivery
    await shop.clock.advance(599)
    assert delivery.link is not None

    await shop.clock.advance(2)

    assert delivery.link is None
    assert shop.agent._records[first].ticket is None


async def test_the_same_receipt_is_accepted_once(shop):
    await shop.sell(key="4711")

    assert not await shop.intake().accept(arrival(key="4711"))
    assert len(shop.agent.sales()) == 1


@pytest.mark.parametrize("receipt", [b"", b"no PDF"])
async def test_what_is_no_receipt_is_refused_to_its_source(shop, receipt):
    with pytest.raises(ReceiptError):
        await shop.intake().accept(arrival(receipt=receipt))

    assert shop.agent.sales() == []


async def test_the_cashier_is_told_what_a_source_could_not_draw(shop):
    number = await shop.sell(remarks=("a picture is missing",))

    assert shop.sale(number).remarks == ("a picture is missing",)


async def test_a_full_disk_is_told_to_source_and_cashier(shop):
    shop.outbox._connection.execute("PRAGMA max_page_count = 1")

    with pytest.raises(OutboxError, match="disk is full"):
        await shop.intake().accept(arrival(receipt=RECEIPT * 1000))

    trouble, refused = shop.agent.troubles()
    assert (trouble.place, trouble.text) == ("outbox", "this computer's disk is full")
    assert refused.text == "receipts that were not accepted: 1"
    assert shop.agent.sales() == []


async def test_a_receipt_that_comes_late_is_not_shown_to_whoever_stands_there(shop):
    async with shop.tablet() as tablet:
        number = await shop.sell(late=True)

        assert tablet.kinds == ["idle"]
        sale = shop.sale(number)
        assert sale.state == "held"
        assert "late" in sale.warning
        assert sale.actions == {"show", "here", "paper", "dismiss"}


# When something is in the way


async def test_while_the_relay_is_away_no_code_is_shown_and_paper_is_offered(shop):
    async with shop.tablet() as tablet:
        await shop.relay.go_away()
        await shop.clock.advance(6)
        shown = len(tablet.shown)

        number = await shop.sell()

        sale = shop.sale(number)
        assert sale.state == "held"
        assert sale.warning == "no code is shown: nothing answers"
        assert "paper" in sale.hint
        assert "paper" in sale.actions
        assert len(tablet.shown) == shown
        assert not sale.here
        assert [trouble.place for trouble in shop.agent.troubles()] == ["relay"]
        assert shop.relay.tickets == {}


async def test_a_held_sale_is_shown_when_the_cashier_says_so(shop):
    await shop.relay.go_away()
    await shop.clock.advance(6)
    number = await shop.sell()
    with pytest.raises(TicketError, match="nothing answers"):
        await shop.agent.show(number)
    shop.relay.come_back()
    await shop.clock.advance(15)
    assert shop.agent.troubles() == []

    await shop.agent.show(number)
    await settle()

    assert shop.sale(number).state == "stored"


async def test_a_relay_that_goes_away_in_mid_upload_takes_the_code_off(shop):
    async with shop.tablet() as tablet:
        put = shop.relay.put
        shop.relay.put = lambda *_, **__: asyncio.Event().wait()
        number = await shop.sell()
        assert shop.sale(number).on_screen
        shop.relay.put = put
        await shop.relay.go_away()
        await shop.clock.advance(6)

        sale = shop.sale(number)

        assert (sale.state, sale.on_screen, sale.here) == ("held", False, False)
        assert "does not work yet" in sale.warning
        assert tablet.shown[-1].kind == "ticket"  # the relay is away: it cannot be told


async def test_what_was_not_uploaded_is_when_the_relay_is_back(shop):
    shop.relay.lose("put", 1)
    number = await shop.sell()
    await shop.relay.go_away()
    await shop.clock.advance(30)
    assert shop.sale(number).state == "held"

    shop.relay.come_back()
    await shop.clock.advance(15)

    sale = shop.sale(number)
    assert (sale.state, sale.here) == ("stored", True)
    assert sale.warning == "Counter does not confirm that it shows the code"


async def test_a_changed_page_shows_no_code(shop):
    shop.watch.verdict = Verdict("changed", "the page is not the released one", "tell its host")

    number = await shop.sell()

    sale = shop.sale(number)
    assert (sale.state, sale.here) == ("held", False)
    assert sale.warning == "no code is shown: the page is not the released one"
    assert sale.hint == "tell its host"
    with pytest.raises(TicketError, match="released"):
        await shop.agent.show_here(number)
    assert [trouble.place for trouble in shop.agent.troubles()] == ["page"]


async def test_at_start_a_sale_waits_a_moment_for_the_first_look_at_the_page(open_shop):
    shop = await open_shop()
    shop.watch.verdict = Verdict("unknown", "not looked at yet")
    number = await shop.sell()
    assert shop.sale(number).state == "held"  # not yet: no ticket was made
    assert shop.sale(number).warning is None
    shop.watch.verdict = Verdict("ok", "as released")

    await shop.clock.advance(0.1)

    assert shop.sale(number).state == "stored"


async def test_a_display_that_does_not_confirm_puts_the_code_on_the_tills_own_screen(shop):
    number = await shop.sell()
    assert not shop.sale(number).here

    await shop.clock.advance(3.5)

    sale = shop.sale(number)
    assert sale.here
    assert sale.warning == "Counter does not confirm that it shows the code"
    async with shop.tablet():
        await shop.clock.advance(0.5)
        sale = shop.sale(number)
        assert (sale.shown, sale.warning, sale.here) == (True, None, False)


async def test_without_a_display_the_code_is_on_the_tills_own_screen_at_once(open_shop):
    shop = await open_shop(displays=())

    number = await shop.sell()

    sale = shop.sale(number)
    assert (sale.here, sale.shown, sale.warning) == (True, None, None)
    link = await shop.agent.show_here(number)
    assert opens(shop, link).receipt == RECEIPT
    await shop.phone(number, "opened")
    assert not shop.sale(number).here
    with pytest.raises(TicketError):
        await shop.agent.show_here(number)


async def test_a_relay_that_refuses_for_good_is_told_at_once(shop):
    async with shop.tablet() as tablet:
        shop.relay.fail("put", PermitError("this relay wants another permit"))
        shop.relay.fail("try_permit", *[PermitError("this relay wants another permit")] * 3)

        number = await shop.sell()

        sale = shop.sale(number)
        assert sale.warning == "the ticket cannot be opened: this relay wants another permit"
        assert not sale.on_screen
        await shop.clock.advance(0.1)
        assert tablet.kinds[-1] == "idle"
        assert shop.agent.troubles()[0].text == "this relay wants another permit"


# What the cashier does


async def test_show_again_shows_the_same_code_while_it_still_can(shop):
    async with shop.tablet() as tablet:
        first = await shop.sell("1 €")
        secret = tablet.shown[-1].secret
        await shop.sell("2 €")

        await shop.agent.show(first)
        await settle()

        assert tablet.shown[-1].secret == secret
        assert shop.sale(first).on_screen


async def test_show_again_makes_a_new_ticket_of_the_kept_receipt_when_the_secret_is_gone(shop):
    async with shop.tablet() as tablet:
        first = await shop.sell("1 €")
        secret = tablet.shown[-1].secret
        await shop.sell("2 €")
        await shop.clock.advance(601)

        await shop.agent.show(first)
        await settle()

        assert tablet.shown[-1].secret != secret
        assert tablet.shown[-1].total == "1 €"
        assert len(shop.relay.tickets) == 3


async def test_what_the_customer_has_is_not_shown_again(shop):
    number = await shop.sell()
    await shop.phone(number, "opened")

    with pytest.raises(TicketError, match="cannot be shown"):
        await shop.agent.show(number)


async def test_revoked_before_it_is_fetched_nobody_opens_it(shop):
    async with shop.tablet() as tablet:
        number = await shop.sell()
        link = shop.agent._records[number].delivery.link

        await shop.agent.revoke(number)
        await settle()

        assert shop.relay.tickets[link.secret.id]["state"] == "revoked"
        assert tablet.kinds[-1] == "idle"
        assert shop.sale(number).state == "revoked"
        assert shop.outbox.accepted()[0].outcome == "revoked"
        assert shop.sale(number).actions == frozenset()


async def test_revoked_while_the_relay_is_away_it_is_revoked_as_soon_as_it_is_back(shop):
    number = await shop.sell()
    await shop.relay.go_away()
    await shop.clock.advance(6)
    await shop.agent.revoke(number)
    await settle()
    assert "as soon as" in shop.sale(number).warning

    shop.relay.come_back()
    await shop.clock.advance(40)

    assert shop.sale(number).state == "revoked"
    assert {ticket["state"] for ticket in shop.relay.tickets.values()} == {"revoked"}


async def test_a_wish_to_revoke_outlives_the_process(shop):
    number = await shop.sell()
    await shop.relay.go_away()
    await shop.clock.advance(6)
    await shop.agent.revoke(number)

    await shop.stop()
    shop.relay.come_back()
    await shop.start()
    await shop.clock.advance(10)

    assert {ticket["state"] for ticket in shop.relay.tickets.values()} == {"revoked"}
    assert shop.sale(number).state == "revoked"


async def test_paper_gives_the_pdf_and_settles_the_sale(shop):
    async with shop.tablet() as tablet:
        number = await shop.sell()

        assert await shop.agent.paper(number) == RECEIPT

        await settle()
        assert shop.sale(number).state == "paper"
        assert tablet.kinds[-1] == "idle"
        assert shop.outbox.accepted()[0].outcome == "paper"
        assert shop.outbox.receipt(number) is None
        assert await shop.agent.paper(number) == RECEIPT  # the printer jammed
        await shop.sell()
        await shop.clock.advance(601)
        with pytest.raises(TicketError, match="no longer kept"):
            await shop.agent.paper(number)


async def test_with_a_printer_paper_is_what_the_till_would_have_printed(open_shop):
    printed = asyncio.Queue()

    async def take(reader, writer):
        printed.put_nowait(await reader.read())
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as printer:
        port = printer.sockets[0].getsockname()[1]
        till = TillConfig("Till 1", "Counter", printer=f"127.0.0.1:{port}")
        shop = await open_shop(tills=("Till 1",), displays=())
        shop.agent._desks["Till 1"].config = till
        number = await shop.sell(paper=b"\x1b@bytes of the till")

        assert await shop.agent.paper(number) is None

        assert await asyncio.wait_for(printed.get(), 5) == b"\x1b@bytes of the till"
        assert shop.sale(number).state == "paper"


async def test_a_printer_that_is_off_changes_nothing(open_shop):
    shop = await open_shop(displays=())
    shop.agent._desks["Till 1"].config = TillConfig("Till 1", printer="127.0.0.1:1")
    number = await shop.sell(paper=b"\x1b@")

    with pytest.raises(SourceError):
        await shop.agent.paper(number)

    assert shop.sale(number).state == "stored"


async def test_a_sale_that_was_not_delivered_can_be_let_go(shop):
    number = await shop.sell(late=True)

    await shop.agent.dismiss(number)

    assert shop.sale(number).state == "reported"
    assert shop.outbox.receipt(number) is None
    with pytest.raises(TicketError, match="nothing to let go"):
        await shop.agent.dismiss(number)


async def test_a_sale_that_is_not_known_is_said_so(shop):
    with pytest.raises(TicketError, match="no longer known"):
        await shop.agent.show(99)


async def test_an_invoice_is_looked_up_by_its_number(shop):
    await shop.agent.look_up("hand", "FA-1", "Till 1")
    await settle()

    assert shop.agent.sales()[0].receipt == "FA-1"
    with pytest.raises(SourceError, match="no invoice"):
        await shop.agent.look_up("hand", "FA-2")
    with pytest.raises(SourceError, match="cannot be asked"):
        await shop.agent.look_up("folder", "FA-1")


async def test_few_receipts_are_judged_at_once_however_many_come(open_shop, monkeypatch):
    """Each has a process that may take much memory."""
    judging, most = 0, 0

    async def judge(receipt, _policy):
        nonlocal judging, most
        judging += 1
        most = max(most, judging)
        await asyncio.sleep(0)
        judging -= 1
        return Judged(receipt)

    monkeypatch.setattr("e2ee_ticket.till.agent.apply_policy", judge)
    shop = await open_shop(sources=(SourceConfig("hand", "hand", "Till 1", policy="clean"),))

    arrivals = [Arrival(ticket=Ticket(receipt=RECEIPT, number=f"FA-{at}")) for at in range(20)]
    await asyncio.gather(*(shop.intake().accept(one) for one in arrivals))

    assert len(shop.agent.sales()) == 20
    assert most == 2


async def test_a_flood_of_refusals_makes_no_page_anew_for_each(shop):
    told = Finding(ok=False, text="so many connections are open", hint="see which device it is")
    before = await shop.agent.changed(-1, 0)

    for _ in range(1000):
        shop.intake().refuse(told)
    assert await shop.agent.changed(-1, 0) == before + 1


@pytest.mark.parametrize("why", ["", "no JSON", "[1]", "3", "[" * 9000, '["a", "b", "c"]'])
async def test_a_refusal_that_the_outbox_has_damaged_stops_nothing(shop, why):
    shop.intake().refuse(Finding(ok=False, text="nothing was taken", hint=None))
    await shop.stop()
    with contextlib.closing(sqlite3.connect(shop.folder / FILE_NAME)) as connection, connection:
        assert connection.execute("UPDATE refusals SET why = ?", (why,)).rowcount == 1

    await shop.start()

    assert len(shop.agent.troubles()) >= 1
    await shop.sell()


# Before payment


async def test_a_sale_that_is_not_paid_is_shown_line_by_line(shop):
    async with shop.tablet() as tablet:
        shop.intake().live(["Café 6,90", "Total 6,90"])
        await settle()
        assert tablet.shown[-1].lines == ("Café 6,90", "Total 6,90")

        shop.intake().live([])
        await settle()

        assert tablet.kinds[-1] == "idle"


async def test_the_next_customers_lines_leave_a_code_on_for_a_moment(shop):
    async with shop.tablet() as tablet:
        await shop.sell()
        shop.intake().live(["Pain 3,00"])
        await settle()
        assert tablet.kinds[-1] == "ticket"

        await shop.clock.advance(16)

        assert tablet.kinds[-1] == "live"


async def test_however_many_lines_come_while_a_code_is_shown_the_last_are_shown_after_it(shop):
    async with shop.tablet() as tablet:
        await shop.sell()
        before = len(asyncio.all_tasks())
        for number in range(1000):
            shop.intake().live([f"Pain {number}"])
        await settle()
        assert len(asyncio.all_tasks()) <= before + 1

        await shop.clock.advance(16)

        assert tablet.shown[-1].lines == ("Pain 999",)


# After a restart


async def test_a_ticket_in_mid_upload_is_uploaded_after_a_restart(shop):
    shop.relay.put, put = (lambda *_, **__: asyncio.Event().wait()), shop.relay.put
    number = await shop.sell()
    await shop.stop()
    shop.relay.put = put

    await shop.start()
    await shop.clock.advance(1)

    assert shop.relay.tickets.keys() == {shop.agent._records[number].delivery.id}
    assert shop.sale(number).state == "held"  # no display has shown its code, and none can
    assert "restarted" in shop.sale(number).warning


async def test_after_a_restart_no_display_shows_an_earlier_sale_by_itself(shop):
    await shop.sell()
    await shop.restart()

    async with shop.tablet() as tablet:
        await shop.clock.advance(5)
        assert tablet.kinds == ["idle"]


async def test_after_a_restart_a_kept_receipt_is_shown_as_a_new_ticket(shop):
    number = await shop.sell("7 €")
    await shop.restart()
    async with shop.tablet() as tablet:
        await shop.agent.show(number)
        await settle()

        assert tablet.shown[-1].total == "7 €"
        assert len(shop.relay.tickets) == 2


async def test_what_happens_to_a_ticket_after_a_restart_is_still_told(shop):
    number = await shop.sell()
    await shop.restart()
    await shop.clock.advance(1)
    for ticket in shop.relay.tickets.values():
        ticket["state"] = "opened"

    await shop.clock.advance(120)

    assert shop.sale(number).state == "opened"
    assert shop.outbox.receipt(number) is None


async def test_a_receipt_that_was_accepted_and_never_shown_is_on_the_console(shop):
    await shop.stop()
    with Outbox(shop.folder / FILE_NAME, shop.clock.now) as outbox:
        number = outbox.accept(Ticket(RECEIPT, total="9 €"), "Till 1", source="hand")
    await shop.start()

    sale = shop.sale(number)

    assert (sale.state, sale.total) == ("held", "9 €")
    assert "restarted" in sale.warning
    await shop.agent.show(number)
    await settle()
    assert shop.sale(number).state == "stored"


async def test_what_is_never_delivered_is_reported_after_a_day(open_shop):
    shop = await open_shop(displays=())
    number = await shop.sell(late=True)

    shop.clock.jump(DAY)
    await shop.clock.advance(3601)

    assert shop.sale(number).state == "reported"
    assert shop.outbox.receipt(number) is None
    (trouble,) = shop.agent.troubles()
    assert trouble.text == f"receipt {number} was not delivered, and its time is over"
    await shop.agent.dismiss(number)
    assert shop.agent.troubles() == []


# Several tills and displays


async def test_two_tills_have_each_their_display(open_shop):
    shop = await open_shop(
        tills=("Till 1", "Till 2"),
        displays=("A", "B"),
        sources=(SourceConfig("hand", "one", "Till 1"), SourceConfig("hand", "two", "Till 2")),
    )
    async with shop.tablet("A") as a, shop.tablet("B") as b:
        await shop.sell("1 €", source="one")
        await shop.sell("2 €", source="two")

        assert (a.shown[-1].total, b.shown[-1].total) == ("1 €", "2 €")
        assert [display.tills for display in shop.agent.displays()] == [("Till 1",), ("Till 2",)]
        assert [sale.till for sale in shop.agent.sales()] == ["Till 2", "Till 1"]
        assert [sale.till for sale in shop.agent.sales("Till 1")] == ["Till 1"]


async def test_two_tills_may_share_a_display(open_shop):
    shop = await shared_display(open_shop)
    async with shop.tablet("A") as tablet:
        first = await shop.sell("1 €", source="one")
        second = await shop.sell("2 €", source="two")

        assert tablet.shown[-1].total == "2 €"
        assert (shop.sale(first).on_screen, shop.sale(second).on_screen) == (False, True)


async def test_an_arrival_may_name_its_till(open_shop):
    shop = await open_shop(tills=("Till 1", "Till 2"), displays=())

    number = await shop.sell(till="Till 2")

    assert shop.sale(number).till == "Till 2"
    with pytest.raises(ReceiptError, match="no till of this name"):
        await shop.intake().accept(arrival(till="Till 3"))


async def test_a_display_is_paired_from_the_console(open_shop):
    shop = await open_shop(displays=())
    link = await shop.agent.pair("Counter")
    assert link.secret == shop.displays.find("Counter").secret

    async with shop.tablet() as tablet:
        await shop.sell()

        assert tablet.kinds[-1] == "ticket"
        (display,) = shop.agent.displays()
        assert (display.connected, display.present, display.trouble) == (True, "ticket", None)


async def test_with_several_tills_a_new_display_goes_to_one_that_has_none(open_shop):
    shop = await open_shop(tills=("Till 1", "Till 2"), displays=())
    config = shop.folder / "config.toml"
    config.write_text(
        'relay = "https://relay.example"\n[[till]]\nname = "Till 1"\n[[till]]\nname = "Till 2"\n'
    )

    await shop.agent.pair("till 2")

    assert [till.display for till in shop.agent.tills] == [None, "till 2"]
    assert 'display = "till 2"' in config.read_text()


async def test_an_unpaired_display_is_gone(shop):
    await shop.agent.unpair("Counter")
    assert shop.agent.displays() == []

    number = await shop.sell()

    assert shop.sale(number).here


async def test_a_display_that_another_program_unpaired_is_unpaired_here_too(shop):
    pairing = shop.displays.find("Counter")
    await shop.relay.unpair(pairing.secret.cid, pairing.token.reveal())
    await settle()
    assert "unpair it here, too" in shop.agent.troubles()[0].hint

    await shop.agent.unpair("Counter")

    assert shop.agent.displays() == shop.displays.all() == []


async def test_while_the_relay_is_away_a_display_is_unpaired_only_where_told_so(shop):
    await shop.relay.go_away()
    with pytest.raises(TicketError):
        await shop.agent.unpair("Counter")
    assert len(shop.agent.displays()) == 1

    unpairing = asyncio.create_task(shop.agent.unpair("Counter", forget=True))
    await shop.clock.advance(5)
    await unpairing

    assert shop.displays.all() == []


async def test_a_display_is_tested_and_goes_idle_again(shop):
    async with shop.tablet() as tablet:
        assert await shop.agent.test_display("Counter")
        assert tablet.kinds[-1] == "live"

        await shop.clock.advance(6)

        assert tablet.kinds[-1] == "idle"


async def test_a_display_with_a_sale_on_it_is_not_tested(shop):
    async with shop.tablet():
        await shop.sell()

        with pytest.raises(TicketError, match="a sale is on this display"):
            await shop.agent.test_display("Counter")


async def test_a_display_that_another_program_took_is_said_so_and_taken_back(shop):
    pairing = shop.displays.find("Counter")
    other = asyncio.create_task(shop.relay.hellos(pairing.secret.cid, pairing.token.reveal()))
    await settle()
    assert shop.agent.displays()[0].trouble.text == "another till drives this display now"
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)

    async with shop.tablet():
        assert await shop.agent.test_display("Counter")

    assert shop.agent.displays()[0].trouble is None


# Sources


async def test_a_source_that_fails_is_told_and_begun_again(open_shop):
    failures = [SourceError("the port is in use", "stop the other program"), RuntimeError("secret")]
    shop = await open_shop(
        sources=(SourceConfig("hand", "hand", "Till 1", settings={"failures": failures}),)
    )
    (state,) = shop.agent.sources()
    assert (state.trouble.text, state.trouble.hint) == (
        "the port is in use",
        "stop the other program",
    )

    await shop.clock.advance(1.1)
    assert "broke off" in shop.agent.sources()[0].trouble.text
    await shop.clock.advance(2.1)
    shop.intake().report(None)

    assert shop.agent.sources()[0].trouble is None
    await shop.sell()
    assert shop.agent.sources()[0].last_at is not None


async def test_while_its_display_is_away_a_shop_is_not_well(shop):
    async with shop.tablet():
        await shop.clock.advance(300)
        assert shop.agent.troubles() == []
        assert shop.agent.displays()[0].connected

    await shop.clock.advance(90)
    (trouble,) = shop.agent.troubles()
    assert (trouble.place, trouble.text) == ("Counter", "this display is not there")
    assert not shop.agent.displays()[0].connected

    async with shop.tablet():
        await shop.clock.advance(5)
        assert shop.agent.troubles() == []
        assert shop.agent.displays()[0].connected


async def test_a_display_that_was_never_there_since_the_start_counts_as_away(shop):
    await shop.clock.advance(59)
    assert shop.agent.troubles() == []
    await shop.clock.advance(2)
    assert [trouble.text for trouble in shop.agent.troubles()] == ["this display is not there"]


async def test_while_the_relay_is_away_nothing_is_known_of_displays(shop):
    async with shop.tablet():
        await shop.clock.advance(20)
        await shop.relay.go_away()
        await shop.clock.advance(200)
        assert {trouble.place for trouble in shop.agent.troubles()} == {"relay"}


async def test_a_trouble_that_lasts_keeps_its_time(shop):
    shop.intake().report(Finding(ok=False, text="no such folder"))
    since = shop.agent.troubles()[0].since
    await shop.clock.advance(50)

    shop.intake().report(Finding(ok=False, text="no such folder"))

    assert shop.agent.troubles()[0].since == since


async def test_a_source_for_a_till_that_is_none_is_a_mistake(tmp_path):
    shop = Shop(tmp_path)
    Hand.tills = ("Till 9",)
    try:
        with pytest.raises(ConfigError, match="names a till that is none of: Till 1"):
            await shop.start()
    finally:
        Hand.tills = ()
        shop.outbox.close()


# The console's side


async def test_whoever_waits_learns_of_a_change(shop):
    count = await shop.agent.changed(0, 1)
    waiting = asyncio.create_task(shop.agent.changed(count, 20))
    await settle()
    assert not waiting.done()

    await shop.sell()

    assert await waiting > count


async def test_a_changed_configuration_begins_anew(shop):
    (shop.folder / "config.toml").write_text('relay = "https://relay.example"\n')

    shop.agent.change_config({"shop": "Another name"})
    for _ in range(4):
        await shop.clock.advance(1)

    assert await shop._task
    assert 'shop = "Another name"' in (shop.folder / "config.toml").read_text()
    shop._task = asyncio.create_task(asyncio.Event().wait())


async def test_the_states_of_relay_and_page_are_told(shop):
    relay, page = shop.agent.relay(), shop.agent.page()

    assert (relay.origin, relay.mode, relay.away_since) == ("https://relay.example", "closed", None)
    assert (page.origin, page.state) == ("https://t.example", "ok")


async def test_without_a_lan_display_there_is_no_short_address(shop):
    assert await shop.agent.short_address("Counter") is None


async def test_no_log_line_holds_what_was_sold(shop, caplog):
    caplog.set_level("DEBUG")
    number = await shop.sell("canary 54,64 €", number="canary-number", title="canary-shop")
    await shop.phone(number, "received")
    await shop.agent.revoke(await shop.sell("canary"))
    await settle()

    assert "sale" in caplog.text
    assert "canary" not in caplog.text


async def test_what_was_refused_for_a_permit_is_uploaded_when_the_permit_is_given_back(shop):
    refusal = PermitError("this relay wants another permit")
    shop.relay.fail("put", refusal)
    shop.relay.fail("try_permit", *[refusal] * 3)
    number = await shop.sell()
    assert shop.sale(number).state == "held"
    assert "another permit" in shop.sale(number).warning

    await shop.clock.advance(60)

    assert shop.sale(number).state == "stored"
    assert shop.sale(number).here
    assert len(shop.relay.tickets) == 1


async def shared_display(open_shop):
    return await open_shop(
        tills=("Till 1", "Till 2"),
        displays=("A",),
        config_tills=(TillConfig("Till 1", "A"), TillConfig("Till 2", "A")),
        sources=(SourceConfig("hand", "one", "Till 1"), SourceConfig("hand", "two", "Till 2")),
    )


async def test_a_code_that_another_till_took_off_before_it_was_seen_is_shown_here(open_shop):
    shop = await shared_display(open_shop)
    first = await shop.sell("1 €", source="one")
    await shop.sell("2 €", source="two")

    await shop.clock.advance(4)

    sale = shop.sale(first)
    assert sale.here
    assert "taken by another sale" in sale.warning


async def test_the_lines_of_one_till_leave_the_others_code_and_lines_alone(open_shop):
    shop = await shared_display(open_shop)
    async with shop.tablet("A") as tablet:
        await shop.sell("1 €", source="one")
        shop.intake("two").live(["Pain 3,00"])
        await settle()
        assert tablet.kinds[-1] == "ticket"
        await shop.clock.advance(16)
        assert tablet.kinds[-1] == "live"

        shop.intake("one").live([])
        await settle()

        assert tablet.kinds[-1] == "live"


# What chaos has found


async def test_an_upload_that_takes_long_is_told(shop):
    shop.relay.refusals["put"] = FullError("the relay has no room")
    number = await shop.sell()
    await shop.clock.advance(11)
    assert "has not taken this receipt yet" in shop.sale(number).warning

    shop.relay.refusals.clear()
    await shop.clock.advance(31)

    assert shop.sale(number).state == "stored"
    assert shop.sale(number).warning == "Counter does not confirm that it shows the code"


async def test_an_upload_of_an_earlier_process_that_takes_long_is_told(shop):
    shop.relay.refusals["put"] = FullError("the relay has no room")
    number = await shop.sell()
    await shop.restart()
    await shop.clock.advance(11)

    assert "has not taken this receipt yet" in shop.sale(number).warning


async def test_an_upload_of_an_earlier_process_that_is_refused_is_tried_again(shop):
    shop.relay.refusals["put"] = FullError("the relay has no room")
    number = await shop.sell()
    await shop.restart()
    shop.relay.fail("put", PermitError("this permit is not valid"))
    shop.relay.refusals.clear()
    await shop.clock.advance(40)
    assert "permit" in shop.sale(number).warning

    await shop.clock.advance(301)

    assert [ticket["state"] for ticket in shop.relay.tickets.values()] == ["stored"]
    assert shop.sale(number).state == "held"
    assert "restarted" in shop.sale(number).warning


async def test_an_upload_of_an_earlier_process_that_is_refused_for_good_has_failed(shop):
    shop.relay.refusals["put"] = FullError("the relay has no room")
    number = await shop.sell()
    await shop.restart()
    shop.relay.fail("put", RefusedError("it is no envelope"))
    shop.relay.refusals.clear()
    await shop.clock.advance(40)

    assert shop.sale(number).state == "failed"
    assert "no envelope" in shop.sale(number).warning


async def test_a_wish_to_revoke_that_is_refused_is_tried_again(shop):
    number = await shop.sell()
    shop.relay.fail("mark", TokenError("the relay knows another token"))
    await shop.agent.revoke(number)
    await settle()
    assert "not taken back yet" in shop.sale(number).warning

    await shop.clock.advance(301)

    assert shop.sale(number).state == "revoked"


async def test_a_changed_page_takes_the_code_off_that_is_shown(shop):
    async with shop.tablet() as tablet:
        number = await shop.sell()
        assert tablet.kinds[-1] == "ticket"

        shop.watch.verdict = Verdict("changed", "the ticket page is not the released one")
        shop.watch.changed(shop.watch.verdict)
        await settle()

        assert tablet.kinds[-1] == "idle"
        assert "not the released one" in shop.sale(number).warning
        with pytest.raises(TicketError, match="not the released one"):
            await shop.agent.show_here(number)


async def test_a_page_that_is_well_again_takes_nothing_off(shop):
    number = await shop.sell()

    shop.watch.changed(shop.watch.verdict)

    assert shop.sale(number).here or shop.sale(number).on_screen


async def test_at_start_a_sale_that_was_overtaken_does_not_cover_the_next(shop):
    shop.watch.verdict = Verdict("unknown", "the receipt page has not been looked at yet")
    async with shop.tablet() as tablet:
        await shop.intake().accept(arrival("1 €"))
        await shop.clock.advance(0.02)
        await shop.intake().accept(arrival("2 €"))
        await shop.clock.advance(0.04)
        shop.watch.verdict = Verdict("ok", "the pages are those of the release")
        await shop.clock.advance(0.2)

        second, first = shop.agent.sales()
        assert [content.total for content in tablet.shown if content.kind == "ticket"] == ["2 €"]
        assert second.on_screen
        assert "next sale" in first.warning


async def test_a_sale_that_is_held_leaves_another_tills_code_on_their_display(open_shop):
    shop = await shared_display(open_shop)
    async with shop.tablet("A"):
        shown = await shop.sell(source="one")
        shop.watch.verdict = Verdict("unreachable", "nothing answers at the page's address")
        await shop.sell(source="two")
        assert shop.sale(shown).on_screen

        await shop.sell(source="one")

        assert not shop.sale(shown).on_screen


async def test_a_clock_that_was_set_does_not_make_the_agent_ask_every_second(shop):
    await shop.sell()
    await shop.clock.advance(400)
    shop.clock.jump(4 * DAY)
    await shop.clock.advance(60)
    before = shop.relay.calls["state"]

    await shop.clock.advance(60)

    assert shop.relay.calls["state"] - before < 4


async def test_what_was_revoked_while_it_was_sealed_never_leaves(tmp_path):
    shop = Shop(tmp_path)
    shop.looker = shop.look_slowly
    await shop.start()
    number = await shop.sell()
    await shop.agent.revoke(number)
    await shop.clock.advance(2)

    assert shop.sale(number).state == "revoked"
    assert shop.relay.tickets == {}
    assert shop.agent._records[number].delivery._envelope is None
    await shop.stop()


async def test_what_was_saved_before_it_could_be_taken_back_is_told_as_saved(shop):
    number = await shop.sell()
    await shop.relay.expire(shop.agent._records[number].delivery.id, "received")
    await shop.agent.revoke(number)
    await settle()

    sale = shop.sale(number)
    assert (sale.state, sale.warning) == ("received", None)
    assert shop.outbox.accepted()[0].outcome == "received"


# What other programs write while it runs


CONFIG = """
relay = "https://relay.example"
page = "https://t.example"
shop = "Épicerie"
lang = "fr"
state = {state}

[[till]]
name = "Till 1"
display = "Counter"

[[source]]
kind = "hand"
name = "hand"
"""


def write(shop, more="", *, state=None):
    text = CONFIG.format(state=json.dumps(str(state or shop.folder))) + more
    (shop.folder / "config.toml").write_text(text, encoding="utf-8")


async def test_a_display_that_another_program_pairs_is_driven_within_two_seconds(shop):
    pairing = Pairing("Terrace", PairingSecret.generate(), WriteToken.generate())
    registered = registration(pairing.secret, pairing.token)
    await shop.relay.register(pairing.secret.cid, registered)

    Displays(shop.folder).keep(pairing)
    async with shop.tablet("Terrace") as tablet:
        await shop.clock.advance(2.1)

        assert tablet.kinds == ["idle"]
    assert [display.name for display in shop.agent.displays()] == ["Counter", "Terrace"]


async def test_a_display_that_another_program_removes_is_left_alone(shop):
    Displays(shop.folder).forget("Counter")
    await shop.clock.advance(4)

    assert shop.agent.displays() == []
    number = await shop.sell()
    assert shop.sale(number).here


async def test_a_display_that_is_paired_anew_under_its_name_is_the_new_one(shop):
    Displays(shop.folder).forget("Counter")
    new = Pairing("Counter", PairingSecret.generate(), WriteToken.generate())
    await shop.relay.register(new.secret.cid, registration(new.secret, new.token))
    Displays(shop.folder).keep(new)

    async with shop.tablet() as tablet:
        await shop.clock.advance(4)
        await shop.sell()

        assert tablet.kinds[-1] == "ticket"


async def test_a_damaged_list_of_displays_is_told_and_those_before_go_on(shop):
    before = shop.displays.path.read_bytes()
    shop.displays.path.write_text("{", encoding="utf-8")
    await shop.clock.advance(2.1)

    assert [trouble.place for trouble in shop.agent.troubles()] == ["displays"]
    assert [display.name for display in shop.agent.displays()] == ["Counter"]

    shop.displays.path.write_bytes(before)
    await shop.clock.advance(2.1)
    assert shop.agent.troubles() == []


async def test_what_another_program_wrote_into_the_configuration_is_taken_up(open_shop):
    shop = await open_shop()
    write(shop, more='\n[lan]\nlisten = "127.0.0.1:8423"\n')
    await shop.clock.advance(2.1)

    assert shop._task.done()
    assert shop._task.result() is True


async def test_a_configuration_that_says_the_same_changes_nothing(open_shop):
    shop = await open_shop()
    write(shop, more="# by hand\n")
    await shop.clock.advance(2.1)

    assert not shop._task.done()
    assert shop.agent.troubles() == []


@pytest.mark.parametrize(
    "more",
    [
        "[[",
        '\n[console]\nshp = "x"\n',
        '\n[[source]]\nkind = "hand"\nname = "b"\ntill = "?"\n',
        '\n[lan]\nhost = "a/b"\n',
        '\n[[source]]\nkind = "hand"\nname = "bad"\n',
    ],
    ids=["no-toml", "unknown", "till", "lan", "source"],
)
async def test_a_configuration_that_cannot_be_is_told_and_the_one_before_goes_on(open_shop, more):
    shop = await open_shop()

    def make(kind, name, shop, settings):
        if name == "bad":
            raise ConfigError("source bad: url is missing")
        return Hand(kind, name, shop, settings)

    shop.agent._make = make
    write(shop, more=more)
    await shop.clock.advance(2.1)

    assert not shop._task.done()
    (trouble,) = shop.agent.troubles()
    assert trouble.place == "configuration"
    number = await shop.sell()
    assert shop.sale(number).state == "stored"

    write(shop)
    await shop.clock.advance(2.1)
    assert shop.agent.troubles() == []
    assert not shop._task.done()


async def test_another_state_directory_needs_another_start(open_shop, tmp_path):
    shop = await open_shop()
    write(shop, state=tmp_path / "elsewhere")
    await shop.clock.advance(2.1)

    assert not shop._task.done()
    assert "stop the agent and start it" in shop.agent.troubles()[0].text


async def test_a_code_that_is_on_stays_on_before_a_configuration_is_taken_up(open_shop):
    shop = await open_shop()
    async with shop.tablet():
        number = await shop.sell()
        write(shop, more='\n[lan]\nlisten = "127.0.0.1:8423"\n')
        await shop.clock.advance(30)
        assert not shop._task.done()

        await shop.phone(number, "opened")
        await shop.clock.advance(2.1)
        assert shop._task.done()


async def test_what_the_agent_itself_writes_is_no_news(open_shop):
    shop = await open_shop(tills=("A", "B"), displays=())
    write(shop)  # as it was when the agent began
    shop.agent._config_watch.know()

    await shop.agent.pair("B")
    await shop.clock.advance(4)

    assert 'display = "B"' in (shop.folder / "config.toml").read_text(encoding="utf-8")
    assert not shop._task.done()


# The display page on the shop's network


async def test_a_tablet_on_the_shops_network_pairs_by_a_code_too(open_shop):
    port = stage.free_port()
    shop = await open_shop(lan=LanConfig(listen=f"127.0.0.1:{port}"))

    link = await shop.agent.lan_link("Counter")

    secret = shop.displays.find("Counter").secret
    assert (link.page, link.secret) == (f"http://127.0.0.1:{port}", secret)
    assert shop.agent.lan_addresses() == [f"http://127.0.0.1:{port}/d"]


async def test_without_a_page_on_the_network_there_is_no_such_code(shop):
    assert await shop.agent.lan_link("Counter") is None
    assert shop.agent.lan_addresses() == ()


async def test_a_ticket_that_a_full_disk_did_not_keep_has_its_end_all_the_same(shop):
    keep, shop.outbox.keep = shop.outbox.keep, full_disk
    number = await shop.sell()
    shop.outbox.keep = keep
    assert [trouble.place for trouble in shop.agent.troubles()] == ["outbox"]

    await shop.phone(number, "opened")
    assert shop.outbox.receipt(number) is None
    await shop.restart()

    assert shop.sale(number).state == "opened"
    assert shop.sale(number).warning is None


async def test_what_a_full_disk_did_not_write_down_is_written_down_later(shop):
    note, shop.outbox.note = shop.outbox.note, full_disk
    number = await shop.sell()
    assert shop.outbox.entries()[0].state == "sealed"

    shop.outbox.note = note
    await shop.clock.advance(30)

    assert shop.sale(number).state == "stored"
    assert shop.outbox.entries()[0].state == "stored"


async def test_a_relay_that_has_forgotten_an_opened_ticket_makes_it_no_failure(shop):
    number = await shop.sell()
    await shop.phone(number, "opened")
    shop.relay.tickets.clear()
    await shop.clock.advance(60)

    assert shop.agent._records[number].delivery.state == "expired"
    assert shop.sale(number).state == "opened"
    assert shop.outbox.accepted()[0].outcome == "opened"


async def test_what_the_customer_has_opened_is_never_told_as_expired(shop):
    number = await shop.sell()
    await shop.phone(number, "opened")
    await shop.relay.expire(shop.agent._records[number].delivery.id)
    await settle()

    for _ in range(2):
        sale = shop.sale(number)
        assert (sale.state, sale.warning, sale.expires_at) == ("opened", None, None)
        assert "revoke" not in sale.actions
        await shop.restart()


async def test_what_was_opened_and_then_taken_back_is_told_as_taken_back(shop):
    number = await shop.sell()
    await shop.phone(number, "opened")
    await shop.agent.revoke(number)
    await settle()

    for _ in range(2):
        assert shop.sale(number).state == "revoked"
        await shop.restart()


# What stays, and for how long


def holders(receipt):
    """Name what holds a receipt in memory."""
    return {type(each).__name__ for each in gc.get_referrers(receipt)} & {"Ticket", "Delivery"}


@pytest.mark.parametrize("way", ["sold", "late", "printed"])
async def test_of_a_receipt_only_the_facts_stay_in_memory(shop, way):
    receipt = b"%PDF-1.7 a receipt that is nowhere else %%EOF" + b" "
    number = await shop.sell(receipt=receipt, number="TC1", late=way == "late")
    assert holders(receipt)
    await shop.sell()
    if way == "printed":
        await shop.clock.advance(601)
        assert await shop.agent.paper(number) == receipt

    await shop.clock.advance(601)

    assert not holders(receipt)
    assert shop.sale(number).receipt == "TC1"


async def test_an_envelope_that_the_relay_has_is_not_in_memory_too(shop):
    number = await shop.sell()
    assert shop.agent._records[number].delivery._envelope is None

    shop.relay.tickets.clear()
    await shop.clock.advance(60)

    (ticket,) = shop.relay.tickets.values()
    assert ticket["state"] == "stored"


async def test_a_sale_that_ended_on_paper_before_its_upload_never_leaves(tmp_path):
    shop = Shop(tmp_path)
    shop.looker = shop.look_slowly
    await shop.start()
    number = await shop.sell()
    assert shop.outbox.envelope(shop.outbox.entries()[0].id) is not None

    await shop.agent.paper(number)

    assert shop.outbox.envelope(shop.outbox.entries()[0].id) is None
    await shop.clock.advance(60)
    assert shop.relay.tickets == {}
    assert (shop.sale(number).state, shop.sale(number).warning) == ("paper", None)
    assert shop.outbox.unfinished() == []
    await shop.stop()


async def test_after_paper_an_upload_of_unknown_fate_is_finished_and_its_envelope_goes(shop):
    shop.relay.lose("put")
    number = await shop.sell()
    await shop.agent.paper(number)
    (entry,) = shop.outbox.entries()
    assert shop.outbox.envelope(entry.id) is not None

    await shop.clock.advance(60)

    assert shop.outbox.entries()[0].state == "stored"
    assert shop.outbox.envelope(entry.id) is None
    assert shop.sale(number).state == "paper"


async def test_nothing_leaves_unknown_to_the_outbox_and_the_cashier_hands_out_paper(shop):
    async with shop.tablet() as tablet:
        tried, shop.outbox.tried = shop.outbox.tried, full_disk
        number = await shop.sell()

        assert shop.relay.tickets == {}
        assert tablet.kinds[-1] == "idle"
        sale = shop.sale(number)
        assert (sale.state, sale.on_screen) == ("held", False)
        assert "disk is full" in sale.warning
        assert "hand out paper" in sale.hint
        assert [trouble.place for trouble in shop.agent.troubles()] == ["outbox"]

        shop.outbox.tried = tried
        await shop.clock.advance(30)

        assert shop.sale(number).state == "stored"
        assert shop.sale(number).warning is None


async def test_what_the_relay_may_have_is_uploaded_whatever_the_disk(shop):
    shop.relay.lose("put")
    number = await shop.sell()
    assert shop.outbox.entries()[0].tried
    shop.outbox.tried = full_disk

    await shop.clock.advance(60)

    assert shop.sale(number).state == "stored"


async def test_what_a_full_disk_did_not_keep_is_taken_back_all_the_same(shop):
    keep, shop.outbox.keep = shop.outbox.keep, full_disk
    number = await shop.sell()
    shop.outbox.keep = keep

    await shop.agent.revoke(number)
    await settle()

    assert [ticket["state"] for ticket in shop.relay.tickets.values()] == ["revoked"]
    assert shop.sale(number).state == "revoked"
    assert shop.outbox.accepted()[0].outcome == "revoked"


async def test_what_a_full_disk_did_not_keep_is_taken_back_before_it_leaves(tmp_path):
    shop = Shop(tmp_path)
    shop.looker = shop.look_slowly
    await shop.start()
    keep, shop.outbox.keep = shop.outbox.keep, full_disk
    number = await shop.sell()
    shop.outbox.keep = keep

    await shop.agent.revoke(number)
    await shop.clock.advance(60)

    assert shop.relay.tickets == {}
    assert shop.sale(number).state == "revoked"
    await shop.stop()


async def test_a_ticket_that_has_failed_is_told_after_a_restart_too(shop):
    shop.relay.fail("put", RefusedError("it is no envelope"))
    number = await shop.sell()
    await shop.restart()

    assert shop.sale(number).state == "failed"
    assert shop.sale(number).warning == "the ticket cannot be opened: it is no envelope"


async def test_that_a_ticket_has_failed_is_told_where_nobody_wrote_down_why(shop):
    await shop.stop()
    with Outbox(shop.folder / FILE_NAME, shop.clock.now) as outbox:
        number = outbox.accept(Ticket(RECEIPT), "Till 1", source="hand")
        secret = Secret.generate()
        outbox.keep(number, secret, b"envelope", None)
        outbox.note(secret.id, "failed")
    await shop.start()

    assert shop.sale(number).state == "failed"
    assert "refused or lost" in shop.sale(number).warning


def full_disk(*_, **__):
    raise OutboxError("this computer's disk is full")
