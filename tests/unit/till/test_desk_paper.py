"""Paper from a receipt printer: the agent, and a printer on a socket of this computer."""

import asyncio
import contextlib

import pytest
import stage
from fakes import Clock, FlakyRelay, settle

from e2ee_ticket.errors import SourceError, TicketError
from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt
from e2ee_ticket.pdf.raster import to_escpos
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Arrival
from e2ee_ticket.till import paper, settings_file
from e2ee_ticket.till.agent import Agent
from e2ee_ticket.till.audit import Verdict
from e2ee_ticket.till.config import Config, SourceConfig, TillConfig
from e2ee_ticket.till.displays import Displays
from e2ee_ticket.till.outbox import FILE_NAME, Outbox
from e2ee_ticket.till.paper import drawer_pulse

RECEIPT = draw_receipt(sample_receipt("fr"))
UNREADABLE = b"%PDF-1.7 a receipt %%EOF"
BYTES = b"\x1b@bytes of the till"


class Printer:
    """A receipt printer; without paper it takes a connection, and reads nothing."""

    def __init__(self, port=0):
        self.port = port
        self.has_paper = asyncio.Event()
        self.has_paper.set()
        self.jobs = []
        self.connected = asyncio.Event()
        self.at_once = self.most_at_once = 0
        self._moved = asyncio.Condition()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.has_paper.set()
        self._server.close()
        await self._server.wait_closed()
        await self._until(lambda: self.at_once == 0)

    async def _serve(self, reader, writer):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.connected.set()
        await self.has_paper.wait()
        with contextlib.suppress(OSError):
            self.jobs.append(await reader.read())
        writer.transport.abort()
        self.at_once -= 1
        async with self._moved:
            self._moved.notify_all()

    async def _until(self, reached):
        async with asyncio.timeout(20), self._moved:
            await self._moved.wait_for(reached)

    async def printed(self, count=1):
        """Wait until so many jobs are on paper."""
        await self._until(lambda: len(self.jobs) >= count)
        return self.jobs


class Hand:
    """A source that delivers when a test says so."""

    tills = ()

    def __init__(self, _kind, name, _shop, _settings):
        self.name = name

    async def run(self, _intake):
        await asyncio.Event().wait()


class Watch:
    """An audit that is content."""

    state, checked_at = "ok", 0.0

    def may_show(self):
        return Verdict("ok", "the pages are those of the release")

    def sold(self):
        pass

    async def run(self):
        await asyncio.Event().wait()


async def see_nothing(_record, _receipt):
    return None


class Shop:
    """An agent without a display, and a printer for every till that is given one."""

    def __init__(self, folder, *tills, **config):
        self.folder, self.clock = folder, Clock()
        self.relay = FlakyRelay(self.clock)
        names = [till.name for till in tills]
        self.config = Config(
            relay="https://relay.example",
            page="https://t.example",
            state=str(folder),
            tills=tills,
            sources=tuple(SourceConfig("hand", f"to {name}", name) for name in names),
            **config,
        )

    async def __aenter__(self):
        self.outbox = Outbox(self.folder / FILE_NAME, self.clock.now, owner="agent-")
        self.agent = Agent(
            self.config,
            config_file=self.folder / "config.toml",
            relay=self.relay,
            outbox=self.outbox,
            displays=Displays(self.folder),
            clock=self.clock,
            watch=Watch(),
            make=Hand,
            looker=see_nothing,
        )
        self._task = asyncio.create_task(self.agent.run())
        await settle()
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.outbox.close()

    async def sell(self, receipt=RECEIPT, *, till=0, data=None, late=False):
        arrival = Arrival(
            ticket=Ticket(receipt=receipt, total="5 €"), ours=True, paper=data, late=late
        )
        assert await self.agent._intakes[till].accept(arrival)
        await settle()
        return self.agent.sales()[0].number


@pytest.fixture
async def printer():
    async with Printer() as running:
        yield running


@pytest.fixture
async def shop(tmp_path, printer):
    async with Shop(tmp_path, TillConfig("Till 1", printer=printer.address)) as running:
        yield running


# One click


async def test_one_click_prints_a_receipt_for_which_the_till_has_made_no_bytes(shop, printer):
    number = await shop.sell()

    assert await shop.agent.paper(number) is None

    assert await printer.printed() == [await to_escpos(RECEIPT)]
    sale = shop.agent.sale(number)
    assert (sale.state, sale.warning) == ("paper", None)
    assert shop.outbox.receipt(number) is None


async def test_what_the_till_has_made_for_a_printer_is_printed_as_it_is(shop, printer):
    number = await shop.sell(UNREADABLE, data=BYTES)

    assert await shop.agent.paper(number) is None

    assert await printer.printed() == [BYTES]


async def test_however_often_a_till_opens_its_drawer_one_pulse_is_on_its_way(shop, printer):
    for _ in range(1000):
        shop.agent._intakes[0].drawer()
    before = len(asyncio.all_tasks())

    assert await printer.printed() == [drawer_pulse()]
    assert before < 50
    async with asyncio.timeout(20):
        while not shop.agent._desks["Till 1"]._opening.done():
            await settle()

    shop.agent._intakes[0].drawer()

    assert await printer.printed(2) == [drawer_pulse()] * 2


async def test_without_a_printer_paper_comes_from_the_browser(tmp_path):
    async with Shop(tmp_path, TillConfig("Till 1")) as shop:
        number = await shop.sell()

        assert await shop.agent.paper(number) == RECEIPT
        assert shop.agent.sale(number).warning is None


async def test_what_the_printer_cannot_print_comes_from_the_browser_and_the_cashier_is_told(
    shop, printer
):
    number = await shop.sell(UNREADABLE)

    assert await shop.agent.paper(number) == UNREADABLE

    sale = shop.agent.sale(number)
    assert sale.state == "paper"
    assert sale.warning == "the receipt printer cannot print this receipt: it cannot be read"
    assert sale.hint == "print it on another printer, from this computer"
    assert printer.jobs == []


async def test_when_the_paper_jams_it_is_printed_again(shop, printer):
    number = await shop.sell()

    await shop.agent.paper(number)
    await shop.agent.paper(number)

    first, second = await printer.printed(2)
    assert first == second


async def test_a_receipt_of_before_a_restart_is_printed(tmp_path, printer):
    till = TillConfig("Till 1", printer=printer.address)
    async with Shop(tmp_path, till) as shop:
        number = await shop.sell()

    async with Shop(tmp_path, till) as shop:
        assert await shop.agent.paper(number) is None
        assert await shop.agent.paper(number) is None  # the paper jammed

    assert await printer.printed(2) == [await to_escpos(RECEIPT)] * 2


async def test_a_printer_gets_as_many_dots_as_it_has(tmp_path, printer):
    till = TillConfig("Till 1", printer=printer.address, printer_dots=384)
    async with Shop(tmp_path, till) as shop:
        await shop.agent.paper(await shop.sell())

    assert await printer.printed() == [await to_escpos(RECEIPT, dots=384)]


async def test_a_printers_dots_stay_in_the_configuration_when_a_display_is_paired(tmp_path):
    tills = TillConfig("Till 1", printer="10.0.0.9:9100", printer_dots=512), TillConfig("Till 2")
    async with Shop(tmp_path, *tills) as shop:
        settings_file.edit(tmp_path / "config.toml", {"shop": "Épicerie"})
        await shop.agent.pair("Counter")

    assert "printer_dots = 512" in (tmp_path / "config.toml").read_text("utf-8")


# Many that wait for the cashier


def jobs(count):
    return [b"\x1b@%d" % number for number in range(count)]


async def wait_for(shop, told):
    """Wait until the console would show it."""
    async with asyncio.timeout(20):
        count = 0
        while not told():
            count = await shop.agent.changed(count, 20)


async def test_all_that_wait_are_printed_once_in_their_order(shop, printer):
    numbers = [await shop.sell(data=each, late=True) for each in jobs(5)]

    await shop.agent.paper_all([*numbers, 99])
    await shop.agent.paper_all(numbers)  # pressed twice
    await wait_for(shop, lambda: all(sale.state == "paper" for sale in shop.agent.sales()))
    await shop.agent.paper_all(numbers)
    last = await shop.sell(data=BYTES)
    await shop.agent.paper(last)

    assert await printer.printed(6) == [*jobs(5), BYTES]


async def test_what_a_customer_has_meanwhile_is_not_printed(shop, printer):
    first, second, third = [await shop.sell(data=each, late=True) for each in jobs(3)]
    await shop.agent.dismiss(second)

    await shop.agent.paper_all([first, second, third])

    assert await printer.printed(2) == [jobs(3)[0], jobs(3)[2]]


async def test_when_the_printer_stops_the_rest_wait_and_say_why(tmp_path):
    off = TillConfig("Till 1", printer=f"127.0.0.1:{stage.free_port()}")
    async with Shop(tmp_path, off) as shop:
        numbers = [await shop.sell(data=each, late=True) for each in jobs(3)]

        await shop.agent.paper_all(numbers)
        await wait_for(shop, lambda: "not printed" in shop.agent.sale(numbers[-1]).warning)

        for number in numbers:
            assert "cannot be reached" in shop.agent.sale(number).warning
            assert shop.agent.sale(number).state == "held"
            assert "dismiss" in shop.agent.sale(number).actions


async def test_what_the_printer_cannot_print_does_not_keep_the_rest_from_paper(shop, printer):
    unfit = await shop.sell(UNREADABLE, late=True)
    number = await shop.sell(data=BYTES, late=True)

    await shop.agent.paper_all([unfit, number])

    assert await printer.printed() == [BYTES]
    assert "cannot print this receipt" in shop.agent.sale(unfit).warning


async def test_without_a_printer_nothing_is_printed_at_once(tmp_path):
    async with Shop(tmp_path, TillConfig("Till 1")) as shop:
        number = await shop.sell(late=True)

        await shop.agent.paper_all([number])
        await settle()

        assert shop.agent.sale(number).state == "held"


# Trouble


async def test_a_printer_that_is_off_changes_nothing_and_is_tried_again(tmp_path):
    port = stage.free_port()
    async with Shop(tmp_path, TillConfig("Till 1", printer=f"127.0.0.1:{port}")) as shop:
        number = await shop.sell()
        with pytest.raises(SourceError, match="cannot be reached"):
            await shop.agent.paper(number)
        assert shop.agent.sale(number).state == "stored"

        async with Printer(port) as printer:
            await shop.agent.paper(number)

            assert await printer.printed() == [await to_escpos(RECEIPT)]


async def test_two_clicks_print_one_receipt(shop, printer):
    number = await shop.sell()

    first = asyncio.create_task(shop.agent.paper(number))
    await settle()
    with pytest.raises(TicketError, match="is being printed already"):
        await shop.agent.paper(number)

    assert await first is None
    assert len(await printer.printed()) == 1


async def test_while_a_printer_takes_nothing_sales_go_on(shop, printer):
    printer.has_paper.clear()
    number = await shop.sell(data=bytes(20_000_000))
    printing = asyncio.create_task(shop.agent.paper(number))
    await asyncio.wait_for(printer.connected.wait(), 20)

    second = await shop.sell()

    assert shop.agent.sale(second).state == "stored"
    assert shop.agent.sale(second).here
    assert not printing.done()
    printer.has_paper.set()
    assert await printing is None


async def test_two_tills_share_a_printer_one_after_the_other(tmp_path, printer):
    tills = [TillConfig(name, printer=printer.address) for name in ("Till 1", "Till 2")]
    async with Shop(tmp_path, *tills) as shop:
        printer.has_paper.clear()
        numbers = [await shop.sell(till=till, data=BYTES * 9000) for till in (0, 1)]
        printing = [asyncio.create_task(shop.agent.paper(number)) for number in numbers]
        await asyncio.wait_for(printer.connected.wait(), 20)
        await settle()
        printer.has_paper.set()

        assert await asyncio.gather(*printing) == [None, None]

    assert await printer.printed(2) == [BYTES * 9000] * 2
    assert printer.most_at_once == 1


async def test_a_printer_that_is_busy_for_long_is_said(printer):
    printer.has_paper.clear()
    first = asyncio.create_task(paper.print_bytes(printer.address, bytes(20_000_000)))
    await asyncio.wait_for(printer.connected.wait(), 20)

    with pytest.raises(SourceError, match="is busy with another receipt") as caught:
        await paper.print_bytes(printer.address, BYTES, turn_seconds=0.05)

    assert caught.value.hint == "try again in a moment"
    printer.has_paper.set()
    await first
    await paper.print_bytes(printer.address, BYTES, turn_seconds=0.05)
    assert (await printer.printed(2))[1] == BYTES


async def test_what_a_printer_has_not_taken_is_not_printed_later(printer):
    printer.has_paper.clear()
    with pytest.raises(SourceError, match="does not print"):
        await paper.print_bytes(printer.address, bytes(20_000_000), timeout=0.2)

    printer.has_paper.set()
    await paper.print_bytes(printer.address, BYTES)

    jobs = await printer.printed()
    assert jobs[-1] == BYTES
    assert all(len(job) < 20_000_000 for job in jobs)


# A copy for every customer


async def test_where_every_receipt_is_to_be_printed_every_receipt_is(tmp_path, printer):
    till = TillConfig("Till 1", printer=printer.address)
    async with Shop(tmp_path, till, paper="always") as shop:
        numbers = [await shop.sell(), await shop.sell(data=BYTES)]
        jobs = await printer.printed(2)

        assert sorted(jobs) == sorted([await to_escpos(RECEIPT), BYTES])
        assert [shop.agent.sale(number).warning for number in numbers] == [None, None]
        assert shop.agent.sale(numbers[1]).here  # and the code is shown all the same


async def test_a_copy_that_cannot_be_printed_is_said(tmp_path, printer):
    till = TillConfig("Till 1", printer=printer.address)
    async with Shop(tmp_path, till, paper="always") as shop:
        number = await shop.sell(UNREADABLE)

        async with asyncio.timeout(20):
            count = 0
            while shop.agent.sale(number).warning is None:
                count = await shop.agent.changed(count, 20)

        sale = shop.agent.sale(number)
        assert sale.warning == "the receipt printer cannot print this receipt: it cannot be read"
        assert sale.state == "stored"
