"""A sale of Dolibarr's is one ticket, over its two sources and however often it is printed."""

import pytest
from fakes import settle
from shop import Shop, arrival

from e2ee_ticket.sources.takepos_trap import UNPRINTED, UNPRINTED_MAX
from e2ee_ticket.till import same_sale
from e2ee_ticket.till.config import SourceConfig
from e2ee_ticket.till.record import Record

SOURCES = (
    SourceConfig("takepos", "TakePOS", "Till 1"),
    SourceConfig("dolibarr", "REST", "Till 1"),
    SourceConfig("folder", "PDF", "Till 1"),
)


@pytest.fixture
async def shop(tmp_path):
    made = Shop(tmp_path, sources=SOURCES)
    await made.start()
    yield made
    await made.stop()


async def give(shop, source, total="54,64 €", number="TC1-2611-0009", **options):
    given = arrival(total, number=number, **options)
    accepted = await shop.intake(source).accept(given)
    await settle()
    return accepted


@pytest.mark.parametrize(("first", "second"), [("TakePOS", "REST"), ("REST", "TakePOS")])
async def test_a_sale_that_comes_over_both_sources_is_one_ticket(shop, first, second):
    async with shop.tablet() as tablet:
        assert await give(shop, first)
        assert not await give(shop, second, "54,64\u00a0€")

        assert len(shop.agent.sales()) == 1
        assert tablet.kinds.count("ticket") == 1


async def test_a_sale_that_is_printed_again_shows_the_same_ticket_again(shop):
    async with shop.tablet() as tablet:
        await give(shop, "TakePOS")
        link = tablet.shown[-1].secret
        await give(shop, "TakePOS", number="TC1-2611-0010", total="1,00 €")
        assert not await give(shop, "TakePOS")

        assert len(shop.agent.sales()) == 2
        assert tablet.kinds[-1] == "ticket"
        assert tablet.shown[-1].secret == link
        assert tablet.shown[-1].number == "TC1-2611-0009"


async def test_a_sale_that_rest_brought_late_is_shown_when_it_is_printed(shop):
    async with shop.tablet() as tablet:
        await give(shop, "REST", late=True)
        assert "ticket" not in tablet.kinds
        assert not await give(shop, "TakePOS")

        assert len(shop.agent.sales()) == 1
        assert tablet.kinds[-1] == "ticket"


async def test_the_printers_bytes_are_kept_for_paper(shop):
    await give(shop, "REST")
    await give(shop, "TakePOS", paper=b"bytes")

    (record,) = shop.agent._records.values()
    assert record.paper == b"bytes"


async def test_a_ticket_that_is_over_is_made_anew_when_it_is_printed_again(shop):
    await give(shop, "TakePOS")
    number = shop.agent.sales()[0].number
    await shop.phone(number, "received")
    assert shop.sale(number).state == "received"

    assert await give(shop, "TakePOS")
    assert len(shop.agent.sales()) == 2


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("TakePOS", {"number": "TC1-2611-0010"}),
        ("TakePOS", {"total": "54,65 €"}),
        ("TakePOS", {"total": "-54,64 €"}),
        ("TakePOS", {"number": None}),
        ("REST", {"key": "13/abcdef"}),  # looked up by hand
        ("PDF", {}),
    ],
)
async def test_another_sale_is_another_ticket(shop, source, change):
    await give(shop, "TakePOS")

    assert await give(shop, source, **change)
    assert len(shop.agent.sales()) == 2


def test_the_same_number_a_day_later_is_another_sale():
    given = arrival("54,64 €", number="TC1-2611-0009")
    record = Record(number=1, till="Till 1", source="TakePOS", at=1000.0, facts=given.ticket)
    kinds = {"TakePOS": "takepos"}

    def found(at):
        return same_sale.find([record], kinds, given, "Till 1", at)

    assert found(1000.0 + same_sale.SAME_SECONDS - 1) is record
    assert found(1000.0 + same_sale.SAME_SECONDS) is None
    assert found(999.0) is None
    assert same_sale.find([record], {"TakePOS": "folder"}, given, "Till 1", 1000.0) is None


async def test_other_programs_numbers_are_never_taken_for_the_same(shop):
    for _ in range(3):
        assert await give(shop, "PDF", number="17")

    assert len(shop.agent.sales()) == 3


async def test_the_cashier_is_told_when_takepos_stops_printing(shop):
    for number in range(UNPRINTED_MAX + 1):
        await give(shop, "REST", number=f"TC1-{number}")

    trouble = shop.intake("TakePOS").trouble
    assert trouble.text == UNPRINTED.text
    assert "TAKEPOS_PRINT_SERVER" in trouble.hint

    shop.intake("TakePOS").report(None)
    await give(shop, "TakePOS", number="TC1-99")
    await give(shop, "REST", number="TC1-100")
    assert shop.intake("TakePOS").trouble is None


async def test_a_till_without_takepos_as_its_printer_is_told_nothing(tmp_path):
    shop = Shop(tmp_path, sources=SOURCES[1:2])
    await shop.start()
    try:
        for number in range(5):
            await give(shop, "REST", number=f"TC1-{number}")
        assert shop.intake("REST").trouble is None
    finally:
        await shop.stop()
