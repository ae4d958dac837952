"""The source against a fake Dolibarr: what is delivered, what is not, and what is said of it."""

import asyncio
import logging
import traceback

import pytest
from aiohttp import http_parser
from dolibarr_shop import make, running, turns, until
from fake_dolibarr import ALL_PARTIES, CALLS, KEY, PDF, READ, WRITE, FakeDolibarr
from keeper import Keeper

from e2ee_ticket.errors import OutboxError, ReceiptError, SourceError
from e2ee_ticket.sources import Finding, make_source

SECRET = "canary-webhook-secret-0123"
LINES = [("Pain", "1", "2.11", "5.5")]


@pytest.fixture
async def fake():
    async with FakeDolibarr() as fake:
        yield fake


@pytest.fixture
def keeper():
    return Keeper()


def numbers(keeper):
    return [arrival.ticket.number for arrival in keeper.arrivals]


async def test_a_sale_becomes_a_receipt_with_its_facts(fake, keeper):
    async with running(make(fake), keeper):
        row = fake.sell()
        await keeper.wait()

    arrival = keeper.arrivals[0]
    ticket = arrival.ticket
    assert ticket.number == fake.ref(row)
    assert ticket.total == "54,64\xa0€"
    assert ticket.title == "Epicerie du Test"
    assert ticket.name == f"{fake.ref(row)}.pdf"
    assert ticket.lang == "fr"
    assert ticket.issued.startswith("20")
    assert ticket.receipt.startswith(b"%PDF-")
    assert arrival.ours
    assert arrival.till is None
    assert not arrival.late
    assert keeper.troubles == [None]


async def test_what_was_sold_before_the_first_start_is_not_sent(fake, keeper):
    fake.sell()
    fake.sell()

    async with running(make(fake), keeper):
        row = fake.sell()
        await keeper.wait()
        await turns(fake)

    assert numbers(keeper) == [fake.ref(row)]


async def test_what_is_sold_while_the_first_start_cannot_be_kept_is_not_lost(fake):
    class Held(Keeper):
        async def keep_cursor(self, cursor):
            if not self.kept_cursor:  # another program holds the outbox, and a sale is made
                self.kept_cursor = "not yet"
                row = fake.sell()
                self.sold = fake.ref(row)
                raise OutboxError("another program holds the outbox")
            await super().keep_cursor(cursor)

    fake.sell()
    held = Held()
    async with running(make(fake), held, begun=False):
        await held.wait()

    assert [arrival.ticket.number for arrival in held.arrivals] == [held.sold]


async def test_what_is_sold_while_the_first_start_cannot_be_read_is_not_lost(fake):
    class Held(Keeper):
        sold = None

        async def cursor(self):
            if self.sold is None:  # another program holds the outbox, and a sale is made
                self.sold = fake.ref(fake.sell())
                raise OutboxError("another program holds the outbox")
            return await super().cursor()

    fake.sell()
    held = Held()
    async with running(make(fake), held, begun=False):
        await held.wait()

    assert numbers(held) == [held.sold]


async def test_a_first_start_in_a_shop_that_has_sold_nothing(fake, keeper):
    fake.nothing_is_404 = True

    async with running(make(fake), keeper):
        fake.sell()
        await keeper.wait()

    assert keeper.trouble is None


async def test_drafts_are_never_sent(fake, keeper):
    async with running(make(fake), keeper):
        fake.draft()
        await turns(fake)

    assert keeper.arrivals == []


async def test_a_draft_older_than_the_last_sale_is_sent_when_it_is_paid(fake, keeper):
    table = fake.draft()  # before the start
    fake.sell()

    async with running(make(fake), keeper):
        other_table = fake.draft()
        quick = fake.sell()
        await keeper.wait(1)
        fake.sell(row=other_table)
        await keeper.wait(2)
        fake.sell(row=table)
        await keeper.wait(3)
        await turns(fake)

    assert numbers(keeper) == [fake.ref(row) for row in (quick, other_table, table)]
    assert not any(arrival.late for arrival in keeper.arrivals)


async def test_a_row_that_another_till_stores_late_is_not_lost(fake, keeper):
    async with running(make(fake), keeper):
        late = fake.sell(terminal="2")
        fake.hidden.add(late)
        await turns(fake, 1)
        quick = fake.sell()
        await keeper.wait(1)
        fake.hidden.clear()
        await keeper.wait(2)

    assert numbers(keeper) == [fake.ref(quick), fake.ref(late)]


async def test_an_open_table_survives_a_restart(fake, keeper):
    async with running(make(fake), keeper):
        table = fake.draft()
        fake.sell()
        await keeper.wait(1)
    async with running(make(fake), keeper):
        fake.sell(row=table)
        await keeper.wait(2)
        await turns(fake)

    assert numbers(keeper)[1] == fake.ref(table)
    assert len(keeper.arrivals) == 2


async def test_what_was_sold_while_the_agent_was_off_is_sent_as_late(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell()
        await keeper.wait(1)
    row = fake.sell()

    async with running(make(fake), keeper):
        await keeper.wait(2)
        fake.sell()
        await keeper.wait(3)

    assert keeper.arrivals[1].ticket.number == fake.ref(row)
    assert [arrival.late for arrival in keeper.arrivals] == [False, True, False]


async def test_of_many_sales_made_meanwhile_only_the_newest_are_taken(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell(LINES)
        await keeper.wait(1)
    rows = [fake.sell(LINES) for _ in range(60)]

    async with running(make(fake, receipt="pdf"), keeper):
        await keeper.wait(51)
        await turns(fake)

    assert numbers(keeper)[1:] == [fake.ref(row) for row in rows[-50:]]


async def test_another_address_begins_anew(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell()
        await keeper.wait(1)
    async with FakeDolibarr() as other:
        other.sell()  # its row was had, at the other Dolibarr
        keeper.troubles.clear()
        async with running(make(other), keeper):
            row = other.sell()
            await keeper.wait(2)

    assert keeper.arrivals[1].ticket.number == other.ref(row)


async def test_a_database_put_back_from_a_backup_begins_anew(fake, keeper):
    async with running(make(fake), keeper):
        for _ in range(3):
            fake.sell()
        await keeper.wait(3)
    fake.restore(1)
    keeper.troubles.clear()

    async with running(make(fake), keeper):
        row = fake.sell()  # of a number that was another sale's
        await keeper.wait(4)

    assert row == 2
    assert len(keeper.arrivals) == 4


async def test_a_damaged_cursor_sends_nothing_old(fake):
    fake.sell()
    keeper = Keeper(cursor="damaged")

    async with running(make(fake), keeper):
        await turns(fake)

    assert keeper.arrivals == []


async def test_a_sale_is_accepted_once_whatever_is_lost(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell()
        await keeper.wait(1)
        kept = keeper.kept_cursor
        fake.sell()
        await keeper.wait(2)
    keeper.kept_cursor = kept  # a power cut

    async with running(make(fake), keeper):
        fake.sell()
        await keeper.wait(3)
        await turns(fake)

    assert len(keeper.arrivals) == 3


async def test_sales_of_each_terminal_are_its_tills(fake, keeper):
    source = make(fake, tills={"1": "Till 1", "2": "Bar"})
    async with running(source, keeper):
        fake.sell(terminal="2")
        await keeper.wait(1)
        fake.sell(terminal="3")
        fake.sell(terminal="1")
        await keeper.wait(2)
        await turns(fake)

    assert [arrival.till for arrival in keeper.arrivals] == ["Bar", "Till 1"]
    assert source.tills == ("Till 1", "Bar")


async def test_invoices_that_are_not_takepos_s_are_left_alone(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell(source="")
        await turns(fake)

    assert keeper.arrivals == []


async def test_a_sale_is_sent_when_it_is_paid(fake, keeper):
    async with running(make(fake, pace={"unpaid": 30}), keeper):
        row = fake.sell(pay=None)
        await turns(fake)
        assert keeper.arrivals == []

        fake.pay(row, fake.invoices[row]["total_ttc"], "CB")
        await keeper.wait(1)

    assert len(keeper.arrivals) == 1


async def test_a_sale_on_credit_is_sent_after_a_moment(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell(pay=None)
        await keeper.wait(1)
        await turns(fake)

    assert len(keeper.arrivals) == 1


async def test_a_sale_paid_in_parts_is_waited_for_longer_but_not_for_ever(fake, keeper):
    async with running(make(fake, pace={"unpaid": 0, "part_paid": 30}), keeper):
        row = fake.sell(paid="20")
        await turns(fake)
        assert keeper.arrivals == []
        fake.pay(row, "34.64", "CB")
        await keeper.wait(1)
    async with running(make(fake), keeper):
        fake.sell(paid="20")
        await keeper.wait(2)


async def test_an_abandoned_sale_is_not_sent(fake, keeper):
    async with running(make(fake, pace={"unpaid": 30}), keeper):
        row = fake.sell(pay=None)
        await turns(fake)
        fake.abandon(row)
        await turns(fake)
        assert keeper.kept_cursor.endswith(f" {row}")

    assert keeper.arrivals == []


async def test_a_credit_note_is_sent_as_a_refund(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell([("Pain", "2", "-5.99", "5.5")], kind=2)
        await keeper.wait(1)

    assert keeper.arrivals[0].ticket.total == "−5,99\xa0€"  # noqa: RUF001


async def test_the_invoice_is_sent_byte_for_byte(fake, keeper):
    async with running(make(fake, receipt="pdf"), keeper):
        fake.sell()
        await keeper.wait(1)

    assert keeper.receipts == [PDF]
    assert not keeper.arrivals[0].ours


async def test_a_pdf_that_dolibarr_lacks_is_made_where_that_is_allowed(fake, keeper):
    fake.rights.add(WRITE)

    async with running(make(fake, receipt="pdf", builddoc=True, template="crabe"), keeper):
        row = fake.sell([("Pain", "2", "-5.99", "5.5")], kind=2)
        await keeper.wait(1)

    assert keeper.receipts == [PDF]
    ref = fake.ref(row)
    assert fake.built == [
        {"modulepart": "invoice", "original_file": f"{ref}/{ref}.pdf", "doctemplate": "crabe",
         "langcode": "fr_FR"}
    ]  # fmt: skip


@pytest.mark.parametrize("builddoc", [True, False])
async def test_a_pdf_that_cannot_be_made_is_drawn(fake, keeper, builddoc):
    async with running(make(fake, receipt="pdf", builddoc=builddoc), keeper):
        fake.sell(pdf=False)
        await keeper.wait(1)

    assert keeper.arrivals[0].ours
    assert fake.built == []


@pytest.mark.parametrize("document", [b"", b"<html>no", b"\x00" * 100])
async def test_a_document_that_is_no_pdf_is_told_and_stops_nobody(fake, keeper, document):
    async with running(make(fake, receipt="pdf"), keeper):
        row = fake.sell()
        fake.documents[f"{fake.ref(row)}/{fake.ref(row)}.pdf"] = document
        await until(lambda: keeper.trouble is not None)
        told = keeper.trouble
        fake.sell()
        await keeper.wait(1)
        await until(lambda: keeper.trouble is None)

    assert "could not be made a ticket" in told.text
    assert "print it on paper" in told.hint


async def test_a_sale_that_dolibarr_cannot_show_is_told_and_stops_nobody(fake, keeper):
    async with running(make(fake, pace={"late": 0.2}), keeper):
        fake.trouble, fake.trouble_paths = "inside", "invoices/1$"
        fake.sell()
        other = fake.sell()
        await keeper.wait(1)
        assert numbers(keeper) == [fake.ref(other)]
        await until(lambda: keeper.trouble and "could not be made" in keeper.trouble.text)


async def test_dolibarrs_company_is_who_sells_where_the_key_may_ask(fake, keeper):
    fake.company = {"name": "Chez &Eacute;lise", "zip": "26000", "town": "Valence"}

    async with running(make(fake, company=[]), keeper):
        fake.sell()
        await keeper.wait(1)
        fake.sell()
        await keeper.wait(2)

    assert keeper.arrivals[0].ticket.title == "Chez Élise"
    assert fake.asked["setup/company"] == 1


async def test_without_a_company_the_shops_name_is_used(fake, keeper):
    async with running(make(fake, company=[]), keeper):
        fake.sell()
        await keeper.wait(1)

    assert keeper.arrivals[0].ticket.title == "Epicerie"


async def test_a_way_to_pay_of_the_shops_own_has_its_name(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell(pay="TR")
        await keeper.wait(1)

    assert fake.asked["setup/dictionary/payment_types"] == 1


async def test_a_full_disk_keeps_the_sale_for_later(fake, keeper):
    async with running(make(fake), keeper):
        keeper.fail(OutboxError("the disk is full"), OutboxError("the disk is full"))
        fake.sell()
        await keeper.wait(1)
        await until(lambda: keeper.trouble is None)

    assert any(trouble and trouble.text == "the disk is full" for trouble in keeper.troubles)
    assert len(keeper.arrivals) == 1


async def test_what_the_agent_refuses_for_good_is_told(fake, keeper):
    async with running(make(fake), keeper):
        keeper.fail(*[ReceiptError("the receipt is too large")] * 3)
        fake.sell()
        await until(lambda: keeper.trouble and "too large" in keeper.trouble.text)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("maintenance", "maintained or overloaded"),
        ("login", "a web page answers"),
        ("database", "its database does not answer"),
        ("api_off", "switched off"),
        ("address", "refuses this computer's address"),
        ("rule", "forbids this part of its API"),
        ("inside", "failed inside"),
        ("half", "switched off"),
        ("deep", "a web page answers"),
        ("number", "switched off"),
        ("huge", "longer than"),
        ("away", "the address leads on to http://localhost"),
        ("cut", "the connection to Dolibarr broke"),
        ("none", "no Dolibarr at this address"),
        ("often", "fewer requests"),
    ],
)
async def test_whatever_dolibarr_answers_it_is_told_and_goes_on_by_itself(
    fake, keeper, trouble, said
):
    async with running(make(fake), keeper):
        fake.trouble = trouble
        fake.sell()
        await until(lambda: keeper.trouble is not None)
        told = keeper.trouble
        if trouble == "often":
            return  # it said when to come back
        fake.trouble = None
        await keeper.wait(1)
        await until(lambda: keeper.trouble is None)

    assert said in told.text
    assert told.hint


async def test_a_server_that_is_off_is_told_and_the_sales_made_meanwhile_come(keeper):
    fake = FakeDolibarr()
    await fake.start()
    port = int(fake.url.rpartition(":")[2])
    async with running(make(fake), keeper):
        await fake.stop()
        await until(lambda: keeper.trouble is not None)
        assert keeper.trouble.later
        fake.sell()
        await fake.start(port)
        await keeper.wait(1)
        await until(lambda: keeper.trouble is None)
    await fake.stop()


async def test_a_server_that_says_nothing_is_given_up(fake, keeper):
    source = make(fake)
    source._client._timeout_seconds = 0.1
    async with running(source, keeper):
        fake.trouble = "silent"
        await until(lambda: keeper.trouble is not None)
        fake.trouble = None
        fake.sell()
        await keeper.wait(1)

    assert any(one and "does not answer within" in one.text for one in keeper.troubles)


async def test_a_slow_server_is_told_and_delivers(fake, keeper):
    async with running(make(fake, pace={"slow": 0.05}), keeper):
        fake.delay = 0.1
        fake.sell()
        await until(lambda: keeper.trouble is not None)
        await keeper.wait(1)
        fake.delay = 0
        await until(lambda: keeper.trouble is None)

    assert any(one and "answers slowly" in one.text for one in keeper.troubles)


async def test_there_is_one_request_at_a_time(fake, keeper):
    source = make(fake)
    async with running(source, keeper):
        row = fake.sell()
        fake.delay = 0.01
        await asyncio.gather(*(source.look_up(fake.ref(row), keeper) for _ in range(3)))
        await source.check()

    assert fake.at_once_max == 1


async def test_failures_are_not_hammered(fake, keeper):
    async with running(make(fake, pace={"first_wait": 30, "longest_wait": 60}), keeper):
        fake.trouble = "maintenance"
        await until(lambda: keeper.trouble is not None)
        asked = sum(fake.asked.values())
        source_waits = asyncio.create_task(turns(fake, 1))
        done, _ = await asyncio.wait([source_waits], timeout=0.3)
        source_waits.cancel()

    assert not done
    assert sum(fake.asked.values()) == asked


async def test_waits_grow_and_end_at_a_minute(fake):
    source = make(fake, pace={"first_wait": 2, "longest_wait": 60})

    waits = [source._wait_after(SourceError("x"), failures) for failures in range(1, 12)]

    assert 1 <= waits[0] <= 2
    assert all(30 <= wait <= 60 for wait in waits[6:])


async def test_it_asks_less_often_when_nothing_is_sold(fake):
    source = make(fake, pace={"poll": 2})

    for idle, wait in ((0, 2), (1900, 5), (7300, 10)):
        source._last_sale = source._now()[0] - idle
        assert source._wait() == wait


async def test_without_right_262_it_says_so_and_begins_only_with_it(fake, keeper):
    fake.sell()
    fake.rights.discard(ALL_PARTIES)

    async with running(make(fake), keeper):
        assert "right 262 is missing" in keeper.trouble.text
        fake.rights.add(ALL_PARTIES)
        await until(lambda: keeper.trouble is None)
        row = fake.sell()
        await keeper.wait(1)

    assert numbers(keeper) == [fake.ref(row)]


async def test_a_past_that_was_hidden_is_not_sent_when_it_appears(fake, keeper):
    async with running(make(fake), keeper):
        for row in range(1, 7):
            fake.hidden.add(row)
        for _ in range(6):
            fake.sell()
        fake.hidden.clear()
        await turns(fake, 4)
        row = fake.sell()
        await keeper.wait(1)

    assert numbers(keeper) == [fake.ref(row)]


async def test_a_right_that_is_taken_away_is_told(fake, keeper):
    async with running(make(fake, pace={"watch": 0}), keeper):
        fake.sell()
        await keeper.wait(1)
        fake.rights.discard(ALL_PARTIES)
        await until(lambda: keeper.trouble is not None)

    assert "no longer shows" in keeper.trouble.text
    assert "262" in keeper.trouble.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda fake: fake.rights.discard(READ), "right 11 is missing"),
        (lambda fake: setattr(fake, "key", "another"), "does not accept the API key"),
    ],
)
async def test_a_key_that_is_refused_is_told(fake, keeper, change, said):
    async with running(make(fake), keeper):
        change(fake)
        await until(lambda: keeper.trouble is not None)

    assert said in keeper.trouble.text


async def test_a_webhooks_call_makes_it_ask_at_once(fake, keeper):
    import aiohttp

    source = make(
        fake,
        pace={"poll": 60, "told": 0.01},
        webhook="127.0.0.1:0",
        webhook_secret=SECRET,
    )
    async with running(source, keeper):
        await until(lambda: source.webhook_port)
        fake.sell()
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"http://127.0.0.1:{source.webhook_port}/hook/{SECRET}", data=CALLS[1].encode()
            ) as answer,
        ):
            assert answer.status == 204
        await keeper.wait(1)

    assert not keeper.arrivals[0].late


async def test_look_up_sends_any_validated_invoice_again_and_again(fake, keeper):
    row = fake.sell(source="", pay=None)
    source = make(fake)

    await source.look_up(f" {fake.ref(row)} ", keeper, "Till 1")
    await source.look_up(fake.ref(row), keeper)

    assert numbers(keeper) == [fake.ref(row)] * 2
    assert [arrival.till for arrival in keeper.arrivals] == ["Till 1", None]
    assert keeper.arrivals[0].key != keeper.arrivals[1].key
    assert keeper.arrivals[0].cursor is None


@pytest.mark.parametrize("number", ["FA9999-0001", "../status", "a/b", "x?y=1", "é", "%2e%2e"])
async def test_look_up_of_an_unknown_number_says_so(fake, keeper, number):
    with pytest.raises(SourceError, match="no invoice of this number") as caught:
        await make(fake).look_up(number, keeper)

    assert caught.value.hint
    assert fake.asked["status"] == 0


@pytest.mark.parametrize("number", ["", "   ", "x" * 65, "a\nb"])
async def test_look_up_of_what_is_no_number_asks_nobody(fake, keeper, number):
    with pytest.raises(SourceError, match="no invoice number"):
        await make(fake).look_up(number, keeper)

    assert not fake.asked


async def test_a_number_with_slashes_is_found_by_a_filter(fake, keeper):
    row = fake.sell()
    fake.invoices[row]["ref"] = "FA/2026/000042"

    await make(fake).look_up("FA/2026/000042", keeper)

    (arrival,) = keeper.arrivals
    assert (arrival.ticket.number, arrival.ticket.name) == (
        "FA/2026/000042",
        "FA-2026-000042.pdf",
    )
    with pytest.raises(SourceError, match="no invoice of this number"):
        await make(fake).look_up("FA/2026/000043", keeper)
    assert not any("ref/" in path for path in fake.asked)


async def test_after_a_sale_it_asks_more_often(fake):
    source = make(fake, pace={"poll": 2})
    source._last_sale = source._now()[0]
    assert source._wait() == 2  # nothing was sold since it runs

    source._has_sold = True
    assert source._wait() == source.pace.busy_poll
    source._last_sale -= source.pace.busy + 1
    assert source._wait() == 2


async def test_a_right_that_is_taken_away_while_it_runs_is_told(fake, keeper):
    source = make(fake, pace={"poll": 0.01, "watch": 0.01})
    async with running(source, keeper):
        fake.sell()
        await keeper.wait(1)
        fake.rights.discard(ALL_PARTIES)
        await until(lambda: keeper.trouble is not None)

        assert "no longer shows" in keeper.trouble.text
        assert "262" in keeper.trouble.hint


async def test_look_up_of_a_draft_says_so(fake, keeper):
    row = fake.draft()
    fake.invoices[row]["ref"] = "FA2611-0007"  # validated, and then opened again

    for number in ("(PROV-POS1-0)", "FA2611-0007"):
        with pytest.raises(SourceError, match="draft") as caught:
            await make(fake).look_up(number, keeper)
        assert "validate" in caught.value.hint

    assert keeper.arrivals == []


async def test_look_up_without_a_right_says_which(fake, keeper):
    row = fake.sell()

    for right in (ALL_PARTIES, READ):
        fake.rights.discard(right)
        with pytest.raises(SourceError, match="may not see") as caught:
            await make(fake).look_up(fake.ref(row), keeper)
        assert "262" in caught.value.hint


async def test_look_up_where_nothing_answers_says_so(keeper):
    fake = FakeDolibarr()
    fake.url = "http://127.0.0.1:9"

    with pytest.raises(SourceError, match="nothing answers"):
        await make(fake).look_up("FA1", keeper)


async def test_look_up_of_a_document_that_cannot_be_sent_says_so(fake, keeper):
    row = fake.sell()
    source = make(fake)
    keeper.fail(ReceiptError("the receipt is too large"))

    with pytest.raises(SourceError, match="too large"):
        await source.look_up(fake.ref(row), keeper)


async def test_the_key_is_in_no_log_no_address_and_no_error(fake, keeper, caplog):
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    errors = []
    source = make(fake, receipt="pdf", webhook="127.0.0.1:0", webhook_secret=SECRET)
    async with running(source, keeper):
        fake.sell()
        await keeper.wait(1)
        for trouble in ("maintenance", "cut", "half", "inside", "away", "huge"):
            fake.trouble = trouble
            keeper.troubles.clear()
            await until(lambda: keeper.trouble is not None)
            errors += await source.check()
            try:
                await source.look_up("FA1", keeper)
            except SourceError as error:
                errors.append("".join(traceback.format_exception(error)))
            fake.trouble = None
            await until(lambda: keeper.trouble is None)

    said = "\n".join([*(record.getMessage() for record in caplog.records), *map(str, errors),
                      *map(str, keeper.troubles), repr(source), repr(source._client),
                      repr(vars(source)), str(fake.queries)])  # fmt: skip
    assert KEY not in said
    assert "54,64" not in said
    assert "SELECT secret" not in said


async def test_rows_that_are_no_sales_are_forgotten_and_tables_are_not(fake, keeper):
    async with running(make(fake, receipt="pdf"), keeper):
        table = fake.draft()
        for _ in range(150):
            fake.draft(source="")  # invoices of the back office
        fake.sell()
        await keeper.wait(1)
        await turns(fake)
        opened = len(keeper.kept_cursor.split())
        fake.sell(row=table)
        await keeper.wait(2)

    assert opened <= 4  # series, newest, table, the recent ones as a range
    assert numbers(keeper)[1] == fake.ref(table)


async def test_more_open_tables_than_can_be_asked_for_are_all_kept(fake, keeper):
    async with running(make(fake, receipt="pdf"), keeper):
        tables = [fake.draft() for _ in range(120)]
        fake.sell()
        await keeper.wait(1)
        await turns(fake)
        fake.sell(row=tables[0])
        await keeper.wait(2)

    assert numbers(keeper)[1] == fake.ref(tables[0])


async def test_what_is_no_line_of_a_list_is_passed_over(fake, keeper):
    from aiohttp import web

    async def strange(request):
        if request.query.get("limit") == "1":
            return None
        return web.json_response(
            [{"id": "x"}, {"id": "0", "ref": "A"}, {"id": "8", "ref": "(PROV8)"}, 7, None, [],
             {"id": "9"}, {"id": "10", "ref": "A", "status": "0"},
             {"id": "11", "ref": "A", "status": "7"}]
        )  # fmt: skip

    fake._trouble_strange, fake.trouble_paths = strange, "invoices$"
    async with running(make(fake), keeper):
        fake.trouble = "strange"
        await turns(fake)

    assert keeper.arrivals == []
    assert keeper.trouble is None


async def test_a_version_that_names_no_status_is_understood(fake, keeper):
    async with running(make(fake), keeper):
        row = fake.draft()
        listed = fake._list
        fake._list = lambda query: [
            {name: value for name, value in one.items() if name not in ("status", "statut")}
            for one in listed(query)
        ]
        fake.sell(row=row)
        await keeper.wait(1)

    assert len(keeper.arrivals) == 1


async def test_more_than_was_asked_for_is_not_sent_twice(fake, keeper):
    async with running(make(fake), keeper):
        fake.sell()
        await keeper.wait(1)
        keeper._keys.clear()
        list_all = fake._list
        fake._list = lambda query: list_all({**query, "sqlfilters": ""})
        await turns(fake)

    assert len(keeper.arrivals) == 1


@pytest.mark.parametrize("path", ["payments", "company", "payment_types"])
async def test_what_a_receipt_can_do_without_stops_no_sale(fake, keeper, path):
    from aiohttp import web

    async def refuse(_):
        return web.json_response({"error": {"code": 404}}, status=404)

    fake._trouble_refuse = refuse
    async with running(make(fake, company=[]), keeper):
        fake.trouble, fake.trouble_paths = "refuse", path
        fake.sell(pay="TR")
        await keeper.wait(1)

    assert len(keeper.arrivals) == 1


@pytest.mark.parametrize(
    "path", ["payments", "company", "payment_types", "documents/download", "documents/builddoc"]
)
async def test_a_server_that_goes_away_in_the_middle_loses_no_sale(fake, keeper, path):
    fake.rights.add(WRITE)
    kind = "pdf" if "documents" in path else "drawn"
    async with running(make(fake, company=[], receipt=kind, builddoc=True), keeper):
        fake.trouble, fake.trouble_paths = "cut", path
        fake.sell(pay="TR", pdf=path != "documents/builddoc")
        await until(lambda: keeper.trouble is not None)
        assert keeper.arrivals == []
        fake.trouble = None
        await keeper.wait(1)


@pytest.mark.parametrize("answer", [{}, [], {"content": 7}, {"content": "%%%"}, {"content": "€"}])
async def test_a_document_that_is_damaged_is_told(fake, keeper, answer):
    from aiohttp import web

    async def damage(_):
        return web.json_response(answer)

    fake._trouble_damage = damage
    async with running(make(fake, receipt="pdf"), keeper):
        fake.trouble, fake.trouble_paths = "damage", "documents"
        fake.sell()
        await until(lambda: keeper.trouble is not None)

    assert "could not be made a ticket" in keeper.trouble.text


async def test_an_invoice_that_is_none_is_told(fake, keeper):
    async with running(make(fake), keeper):
        row = fake.sell(pay=None)
        fake._one = lambda _: ["not", "an", "invoice"]
        await until(lambda: keeper.trouble is not None)
        with pytest.raises(SourceError, match="holds no invoice"):
            await make(fake).look_up("FA1", keeper)
        fake._one = lambda _: {"status": "1", "ref": fake.ref(row)}
        with pytest.raises(SourceError, match="holds no invoice"):
            await make(fake).look_up("FA1", keeper)

    assert "could not be made a ticket" in keeper.trouble.text


async def test_a_draft_in_the_place_of_a_sale_is_not_sent(fake, keeper):
    async with running(make(fake), keeper):
        row = fake.sell(pay=None)
        fake._one = lambda _: {**fake.invoices[row], "ref": "(PROV1)"}
        await until(lambda: keeper.trouble is not None)

    assert keeper.arrivals == []


async def test_half_a_character_in_a_label_is_left_out(fake, keeper):
    async with running(make(fake), keeper):
        row = fake.draft()
        fake.invoices[row]["lines"][0]["product_label"] = "half \ud83d"
        fake.sell(row=row)
        await keeper.wait(1)

    keeper.arrivals[0].ticket.to_bytes()


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("facture/FA1/FA1_signed.pdf", "FA1/FA1_signed.pdf"),
        ("facture/../x/conf.pdf", None),
        ("facture/FA1/FA1.odt", None),
        ("product/FA1/FA1.pdf", None),
        (None, None),
    ],
)
def test_where_a_pdf_is_looked_for(document, path):
    from e2ee_ticket.sources.dolibarr.tickets import _document

    assert _document({"last_main_doc": document}, "FA/1") == (path or "FA_1/FA_1.pdf")


def test_the_language_of_a_document():
    from e2ee_ticket.sources.dolibarr.tickets import _langcode

    assert [_langcode(lang) for lang in ("fr", "de-AT", "en", "pl")] == [
        "fr_FR", "de_AT", "en_GB", "",
    ]  # fmt: skip


async def test_a_webhooks_port_that_is_taken_stops_no_sale(fake, keeper, caplog):
    port = fake.url.rpartition(":")[2]
    source = make(fake, webhook=f"127.0.0.1:{port}", webhook_secret=SECRET)

    async with running(source, keeper):
        fake.sell()
        await keeper.wait(1)
        await until(lambda: "cannot be listened at" in caplog.text)
        await turns(fake, 10)

    assert caplog.text.count("cannot be listened at") == 1


async def test_a_call_about_a_sale_that_was_had_wakes_nobody(fake, keeper):
    source = make(fake)
    async with running(source, keeper):
        row = fake.sell()
        await keeper.wait(1)
        await turns(fake, 1)
        source._told.clear()
        source._paid(row)
        assert not source._told.is_set()
        source._paid(None)
        assert source._told.is_set()


async def test_the_key_follows_no_redirect(fake, keeper):
    async with running(make(fake), keeper):
        fake.trouble = "away"
        await until(lambda: keeper.trouble is not None)

    assert fake.asked["elsewhere"] == 0


async def test_nothing_that_is_packed_is_unpacked(fake, keeper, monkeypatch):
    unpacked = []
    unpack = http_parser.DeflateBuffer.feed_data
    monkeypatch.setattr(
        http_parser.DeflateBuffer,
        "feed_data",
        lambda *given: [unpacked.append(1), unpack(*given)][1],
    )
    async with running(make(fake), keeper):
        fake.trouble = "packed"
        await until(lambda: keeper.trouble is not None)

    assert unpacked == []


async def test_the_agent_makes_it_from_its_settings(fake):
    from e2ee_ticket.sources import Shop

    source = make_source("dolibarr", "shop", Shop("x"), {"url": fake.url, "key": KEY})

    assert source.name == "shop"
    assert source.tills == ()
    answers, cost, *others = await source.check()
    assert answers == Finding(ok=True, text="Dolibarr 20.0.2 answers and accepts the key")
    assert cost.ok
    assert "every 0.7 s for 10 minutes after a sale, then every 2 s, and every 10 s" in cost.text
    assert others == [
        Finding(ok=True, text="the key may read invoices (right 11)"),
        Finding(
            ok=True,
            text="TakePOS has made no sale that this key sees",
            hint="if it has, right 262 is missing; otherwise make one sale and check again",
        ),
    ]
