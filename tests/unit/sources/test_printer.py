import asyncio
import contextlib
import errno
import io
import random
import socket
import struct
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
import stage
from escpos.printer import Dummy
from keeper import Keeper

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError, SourceError
from e2ee_ticket.sources import Shop, make_source, printer
from e2ee_ticket.sources.printer import Printer

PRINTED = (Path(__file__).parents[2] / "data" / "takepos_receiptprinter_9100.bin").read_bytes()
RECEIPT = stage.INVOICE.read_bytes()
SHOP = Shop("Au Petit Marché", "fr", lambda: 1_795_298_721.0)
CUT = b"\x1dV\x00"


class Quick(Printer):
    """Does not wait before it tries again."""

    retry_seconds = (0, 0, 0)
    stop_seconds = 30  # a busy machine draws slowly


class Patient(Printer):
    """Tries again only after the test."""

    retry_seconds = (3600,)
    stop_seconds = 5


class Counter(Keeper):
    """Counts how often the drawer opens."""

    def __init__(self):
        super().__init__()
        self.kicks = 0
        self.shown = []
        self.may_keep = asyncio.Event()
        self.may_keep.set()

    async def accept(self, arrival):
        await self.may_keep.wait()
        return await super().accept(arrival)

    def live(self, lines, till=None):
        assert till is None
        self.shown.append(lines)

    def drawer(self, till=None):
        assert till is None
        self.kicks += 1


@contextlib.asynccontextmanager
async def printing(kind=Quick, **settings):
    """Run a printer; gives it, its intake, and how to connect to it."""
    port = stage.free_port()
    settings = {"idle_seconds": 30, "listen": f"127.0.0.1:{port}", **settings}
    source, intake = kind("counter", SHOP, **settings), Counter()
    running = asyncio.ensure_future(source.run(intake))
    writers = []

    async def connect():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    try:
        await until(lambda: intake.troubles or running.done())
        yield source, intake, connect
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the transports tell that they are closed


async def until(true):
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def send(connect, *pieces, end=True):
    """Print, and give the connection."""
    reader, writer = await connect()
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    if end:
        writer.close()
    return reader, writer


def words(arrival):
    with (
        contextlib.closing(pypdfium2.PdfDocument(arrival.ticket.receipt)) as document,
        contextlib.closing(document[0]) as page,
        contextlib.closing(page.get_textpage()) as text,
    ):
        return text.get_text_range()


# What becomes a receipt


async def test_what_a_till_prints_becomes_a_receipt():
    async with printing() as (_, intake, connect):
        await send(connect, PRINTED, end=False)
        await intake.wait()

    (arrival,) = intake.arrivals
    ticket = arrival.ticket
    assert "Pain de campagne" in words(arrival)
    assert (ticket.title, ticket.number, ticket.total) == (
        "Au Petit Marché",
        "TC1-2611-0002",
        "2,84",
    )
    assert ticket.name == "TC1-2611-0002.pdf"
    assert ticket.lang == "fr"
    assert ticket.issued is not None
    assert ticket.issued.startswith("2026-11-2")
    assert (arrival.ours, arrival.paper, arrival.till, arrival.key) == (True, PRINTED, None, None)
    assert intake.trouble is None


async def test_what_python_escpos_prints_becomes_a_receipt():
    till = Dummy()
    till.set(align="center", bold=True, double_height=True, double_width=True)
    till.textln("Au Petit Marché")
    till.set_with_default()
    till.textln("Bon-Nr. 4217")
    till.textln("SUMME EUR                                  12,50")
    till.qr("https://example.org/4217", native=True)
    till.cashdraw(2)
    till.cut()

    async with printing() as (_, intake, connect):
        await send(connect, till.output)
        await intake.wait()

    ticket = intake.arrivals[0].ticket
    assert (ticket.number, ticket.total) == ("4217", "12,50 EUR")
    with pikepdf.open(io.BytesIO(ticket.receipt)) as pdf:
        assert pdf.Root.Lang == "fr"
        assert pdf.docinfo["/Title"] == "Au Petit Marché"
        assert pdf.docinfo["/CreationDate"] == "D:20261121220521Z"
    assert intake.kicks == 1


async def test_a_receipt_without_a_number_is_called_receipt():
    async with printing() as (_, intake, connect):
        await send(connect, b"Thank you\n" + CUT)
        await intake.wait()

    ticket = intake.arrivals[0].ticket
    assert (ticket.name, ticket.number, ticket.total) == ("receipt.pdf", None, None)


async def test_several_jobs_of_one_connection_are_several_receipts_in_their_order():
    async with printing() as (_, intake, connect):
        await send(connect, b"".join(b"no. %d\n" % n + CUT for n in range(5)))
        await intake.wait(5)

    assert [words(arrival) for arrival in intake.arrivals] == [f"no. {n}" for n in range(5)]


async def test_the_end_of_a_connection_ends_a_job():
    async with printing() as (_, intake, connect):
        await send(connect, b"no cutter\n")
        await intake.wait()

    assert intake.arrivals[0].paper == b"no cutter\n"


async def test_a_pause_ends_a_job_and_the_connection_goes_on():
    async with printing(idle_seconds=0.1) as (_, intake, connect):
        _, writer = await send(connect, b"first\n", end=False)
        await intake.wait(1)
        writer.write(b"second\n")
        await intake.wait(2)

    assert [arrival.paper for arrival in intake.arrivals] == [b"first\n", b"second\n"]


async def test_a_connection_that_breaks_in_the_middle_leaves_what_came():
    async with printing() as (_, intake, connect):
        reader, writer = await send(connect, b"half a rec\x10\x04\x01", end=False)
        await reader.readexactly(1)
        reset = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        writer.transport.abort()
        await intake.wait()

    assert intake.arrivals[0].paper == b"half a rec"


async def test_several_tills_print_at_once():
    async with printing() as (_, intake, connect):
        lines = [await send(connect, b"till %d\n" % n, end=False) for n in range(8)]
        for _, writer in reversed(lines):
            writer.write(CUT)
        await intake.wait(8)

    assert {words(arrival) for arrival in intake.arrivals} == {f"till {n}" for n in range(8)}


async def test_what_shows_nothing_is_no_receipt():
    async with printing() as (_, intake, connect):
        await send(connect, b"\x1b@" + CUT + b"\x1b@\n\n" + CUT + b"\x1bp\x00\x19\xfa")
        await send(connect, b"real\n" + CUT)
        await intake.wait()

    assert [words(arrival) for arrival in intake.arrivals] == ["real"]
    assert intake.kicks == 1


async def test_the_paper_opens_no_drawer_again():
    async with printing() as (_, intake, connect):
        await send(connect, b"\x1b@\x1bp\x00\x19\xfasold\n\x10\x04\x01" + CUT)
        await intake.wait()

    assert intake.arrivals[0].paper == b"\x1b@sold\n" + CUT


# What a till takes for an acknowledgement


async def test_a_connection_is_closed_in_order_once_its_receipt_is_kept_and_not_before():
    async with printing() as (_, intake, connect):
        intake.may_keep.clear()
        reader, writer = await send(connect, b"sold\n" + CUT, end=False)
        writer.write_eof()
        closed = asyncio.ensure_future(reader.read())
        await asyncio.wait({closed}, timeout=0.2)
        assert not closed.done()

        intake.may_keep.set()

        assert await closed == b""  # and no reset
        assert len(intake.arrivals) == 1


async def test_a_question_after_the_cut_is_answered_once_the_receipt_is_kept():
    async with printing() as (_, intake, connect):
        intake.may_keep.clear()
        reader, _ = await send(connect, b"sold\n" + CUT + b"\x10\x04\x01", end=False)
        answer = asyncio.ensure_future(reader.readexactly(1))
        await asyncio.wait({answer}, timeout=0.2)
        assert not answer.done()

        intake.may_keep.set()

        assert await answer == b"\x12"
        assert len(intake.arrivals) == 1


async def test_a_till_that_asks_is_not_kept_waiting_for_ever():
    class Brief(Quick):
        answer_seconds = 0.05

    async with printing(Brief) as (_, intake, connect):
        intake.may_keep.clear()
        reader, _ = await send(connect, b"sold\n" + CUT + b"\x10\x04\x01", end=False)

        assert await reader.readexactly(1) == b"\x1a"
        intake.may_keep.set()
        await intake.wait()


@pytest.mark.parametrize(
    "error", [OutboxError("the disk is full"), ReceiptError("the receipt is too large")]
)
async def test_a_connection_whose_receipt_is_not_kept_ends_with_a_reset(error):
    async with printing(Patient) as (_, intake, connect):
        intake.fail(error)
        reader, writer = await send(connect, b"sold\n" + CUT, end=False)
        writer.write_eof()

        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_receipt_that_waited_is_late_and_says_since_when():
    class Timed(Quick):
        retry_seconds = (0.05,)

    async with printing(Timed) as (_, intake, connect):
        await send(connect, b"now\n" + CUT)
        await intake.wait(1)
        printer._LATE_SECONDS, usual = 0.01, printer._LATE_SECONDS
        try:
            intake.fail(OutboxError("the disk is full"))
            await send(connect, b"waited\n" + CUT)
            await intake.wait(2)
        finally:
            printer._LATE_SECONDS = usual

    assert [arrival.late for arrival in intake.arrivals] == [False, True]
    assert {arrival.began for arrival in intake.arrivals} == {SHOP.now()}


async def test_a_stop_keeps_what_was_printed_on_every_connection():
    async with printing(idle_seconds=0.1) as (_, intake, connect):
        for number in range(8):
            await send(connect, b"till %d\n" % number + CUT + b"and no cut\n", end=False)
        await until(lambda: intake.arrivals)

    assert len(intake.arrivals) == 16


async def test_a_stop_says_how_many_jobs_it_did_not_keep():
    async with printing(Patient) as (_, intake, connect):
        intake.fail(*[OutboxError("the disk is full")] * 9)
        await send(connect, b"".join(b"%d\n" % number + CUT for number in range(3)), end=False)
        await until(lambda: intake.trouble is not None)

    assert intake.arrivals == []
    assert intake.trouble.text == "3 print jobs were not kept before this program stopped"


# Tills that ask all day long, and their customer displays


async def test_a_till_that_asks_each_moment_and_never_cuts_prints_receipts():
    async with printing(idle_seconds=0.3) as (_, intake, connect):
        reader, writer = await connect()
        for number in range(2):
            writer.write(b"\x1b@receipt %d\n" % number)
            while len(intake.arrivals) <= number:
                writer.write(b"\x10\x04\x01")
                assert await reader.readexactly(1) == b"\x12"
                await asyncio.sleep(0.02)

    assert [words(arrival) for arrival in intake.arrivals] == ["receipt 0", "receipt 1"]


async def test_what_is_for_the_customer_display_is_shown_there_and_not_printed():
    display = b"\x1b=\x02\x0c\x1b@Pommes 1 kg\r\n\x1f$\x01\x02          2,40\x1b=\x01"
    async with printing() as (_, intake, connect):
        await send(connect, display + b"\x1b=\x02\x0cBonjour !\x1b=\x01")
        await until(lambda: len(intake.shown) == 2)
        await send(connect, b"Pommes\n" + display + b"TOTAL 2,40\n" + CUT)
        await intake.wait()

    assert intake.shown == [("Pommes 1 kg", "2,40"), (), ("Pommes 1 kg", "2,40")]
    assert words(intake.arrivals[0]).split() == ["Pommes", "TOTAL", "2,40"]
    assert intake.arrivals[0].paper == b"Pommes\nTOTAL 2,40\n" + CUT


async def test_a_greeting_on_the_customer_display_covers_no_code():
    async with printing() as (_, intake, connect):
        await send(connect, b"\x1b=\x02\x0cCafe      3,10\x1b=\x01")
        await until(lambda: intake.shown)
        await send(connect, b"\x1b=\x02\x0cMerci, au revoir\x1b=\x01")
        await send(connect, b"sold\n" + CUT)
        await intake.wait()

    assert intake.shown == [("Cafe 3,10",), ()]


# Other languages


@pytest.mark.parametrize(
    "wrapped",
    [
        (b"", b""),
        (b"\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE=PDF\r\n",
         b"\x1b%-12345X@PJL EOJ\r\n\x1b%-12345X"),
        (b"\x1b%-12345X@PJL ENTER LANGUAGE = PDF\n", b""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [7, 100_000])
async def test_a_pdf_is_a_receipt_as_it_is(wrapped, step):
    data = wrapped[0] + RECEIPT + wrapped[1]
    async with printing() as (_, intake, connect):
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        await send(connect, *pieces)
        await until(lambda: any(a.ticket.receipt == RECEIPT for a in intake.arrivals))

    assert (intake.arrivals[-1].ours, intake.arrivals[-1].paper) == (False, None)


async def test_two_pdfs_on_one_connection_are_two_receipts():
    async with printing(idle_seconds=0.1) as (_, intake, connect):
        _, writer = await send(connect, RECEIPT, end=False)
        await intake.wait(1)
        writer.write(RECEIPT)
        await intake.wait(2)

    assert intake.receipts == [RECEIPT, RECEIPT]


async def test_a_pdf_that_breaks_off_is_told_and_is_no_receipt():
    async with printing() as (_, intake, connect):
        await send(connect, RECEIPT[:-100])
        await until(lambda: intake.trouble is not None)

    assert intake.trouble.text == "the receipt ended too early"
    assert intake.arrivals == []


@pytest.mark.parametrize(
    ("data", "language"),
    [
        (b"%!PS-Adobe-3.0\nshowpage\n", "PostScript"),
        (b"\x1b%-12345X@PJL ENTER LANGUAGE=POSTSCRIPT\r\n%!PS-Adobe\n\x1b%-12345X", "PostScript"),
        (b"\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE=PCL\r\n\x1bE\x1b&l0O text", "PCL"),
        (b"\x1bE\x1b&l0Otext\n\x0c", "PCL"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "PNG"),
        (b"UNIRAST\0" + b"x" * 100, "Apple Raster"),
        (b"<!DOCTYPE html><p>login", "HTML"),
    ],
)  # fmt: skip
async def test_another_language_is_refused_by_its_name(data, language):
    async with printing() as (_, intake, connect):
        with contextlib.suppress(ConnectionError):
            await send(connect, data)
        await until(lambda: intake.trouble is not None)

    assert intake.trouble.text.endswith(f"is not read here: {language}")
    assert "ESC/POS or PDF" in intake.trouble.hint
    assert intake.arrivals == []


# What the till asks


async def test_a_till_that_asks_is_answered_at_once():
    async with printing() as (_, _, connect):
        reader, writer = await send(connect, b"\x10\x04\x01", end=False)
        assert await reader.readexactly(1) == b"\x12"

        writer.write(b"text\x10\x04\x04\x1dr\x01\x1dI\x42")
        assert await reader.readexactly(2) == b"\x12\x00"
        assert await reader.readuntil(b"\0") == b"_e2ee-ticket\0"


@pytest.mark.parametrize(
    ("question", "well", "out"),
    [
        (b"\x10\x04\x01", b"\x12", b"\x1a"),
        (b"\x10\x04\x02", b"\x12", b"\x32"),
        (b"\x10\x04\x04", b"\x12", b"\x7e"),
        (b"\x1dr\x01", b"\0", b"\x0f"),
        (b"\x1bv", b"\0", b"\x0f"),
        (b"\x1da\xff", b"\x10\0\0\x0f", b"\x18\0\x0f\x0f"),
    ],
)
async def test_the_paper_is_out_while_receipts_cannot_be_kept(question, well, out):
    async with printing(Patient) as (_, intake, connect):
        reader, writer = await send(connect, question, end=False)
        assert await reader.readexactly(len(well)) == well
        intake.fail(OutboxError("the disk is full"))
        await send(connect, b"a\n" + CUT)
        await until(lambda: intake.trouble is not None)
        if question[:2] == b"\x1da":  # who wants to know of changes need not ask
            assert await reader.readexactly(len(out)) == out
        writer.write(question)

        assert await reader.readexactly(len(out)) == out


async def test_who_wants_to_know_is_told_when_there_is_paper_again():
    async with printing() as (_, intake, connect):
        reader, writer = await send(connect, b"\x1da\xff", end=False)
        intake.fail(OutboxError("the disk is full"))
        writer.write(b"a\n" + CUT)
        await intake.wait()

        told = await reader.readexactly(12)
        assert told == b"\x10\0\0\x0f" + b"\x18\0\x0f\x0f" + b"\x10\0\0\x0f"


# What goes wrong


async def test_a_receipt_that_cannot_be_kept_is_tried_again():
    async with printing() as (_, intake, connect):
        intake.fail(OutboxError("the disk is full"), OutboxError("the disk is full"))
        await send(connect, b"a\n" + CUT + b"b\n" + CUT)
        await intake.wait(2)

    assert [words(arrival) for arrival in intake.arrivals] == ["a", "b"]
    assert intake.troubles[1].text == "a receipt waits: the disk is full"
    assert intake.troubles[-1] is None


async def test_a_receipt_that_is_never_kept_is_given_up_aloud():
    async with printing() as (_, intake, connect):
        intake.fail(*[OutboxError("the disk is full")] * 4)
        await send(connect, b"a\n" + CUT)
        await until(lambda: intake.trouble is not None and "given up" in intake.trouble.text)
        await send(connect, b"b\n" + CUT)
        await intake.wait(1)

    assert [words(arrival) for arrival in intake.arrivals] == ["b"]
    assert intake.trouble is None


async def test_what_a_fault_of_ours_loses_is_told(monkeypatch, caplog):
    def stumble(*_):
        raise IndexError("Pain de campagne")

    async with printing() as (_, intake, connect):
        with monkeypatch.context() as patched:
            patched.setattr("e2ee_ticket.sources.print_stream.PrintStream.feed", stumble)
            await send(connect, PRINTED)
            await until(lambda: intake.trouble is not None)
        told = intake.trouble.text
        await send(connect, PRINTED)
        await intake.wait()

    assert told == "a print job did not become a receipt: it cannot be read"
    assert "a print job could not be read: IndexError" in caplog.text
    assert "Pain" not in caplog.text


async def test_too_many_waiting_receipts_are_refused_aloud():
    async with printing(Patient) as (_, intake, connect):
        intake.fail(OutboxError("the disk is full"))
        await send(connect, (b"a\n" + CUT) * (printer.WAITING_LIMIT + 1))
        await until(lambda: any("too many" in t.text for t in intake.troubles if t is not None))


async def test_what_waits_is_delivered_when_the_printer_stops():
    async with printing() as (_, intake, connect):
        reader, _ = await send(connect, b"".join(b"%d\n" % n + CUT for n in range(10)), b"\x10\4\1",
                               end=False)  # fmt: skip
        await reader.readexactly(1)

    assert [words(arrival) for arrival in intake.arrivals] == [str(n) for n in range(10)]


@pytest.mark.parametrize(
    "job", [b"a" * 300_000 + CUT, b"\x1dv0\x00\xff\xff\xff\xff", b"a" + b"\x1bE\x01" * 100_001]
)
async def test_what_is_more_than_any_receipt_is_said_and_the_next_is_taken(job):
    async with printing() as (_, intake, connect):
        with contextlib.suppress(ConnectionError):
            await send(connect, job, end=False)
        await until(lambda: intake.trouble is not None)
        assert "on paper" in intake.trouble.text + intake.trouble.hint

        await send(connect, b"next\n" + CUT)
        await intake.wait()

    assert intake.trouble is None


async def test_a_job_of_nothing_but_what_the_printer_keeps_is_said():
    async with printing() as (_, intake, connect):
        await send(connect, b"\x1cp\x01\x00" + CUT)
        await until(lambda: intake.trouble is not None)

    assert "nothing on it" in intake.trouble.text
    assert intake.arrivals == []


async def test_a_receipt_that_the_till_refuses_is_said():
    async with printing() as (_, intake, connect):
        intake.fail(ReceiptError("the receipt is too large"))
        await send(connect, b"a\n" + CUT)
        await until(lambda: intake.trouble is not None)

    assert "too large" in intake.trouble.text


@pytest.mark.parametrize("seed", range(5))
async def test_noise_does_not_stop_it(seed):
    noise = random.Random(seed).randbytes(20_000) if seed else bytes(range(256)) * 100
    async with printing() as (_, intake, connect):
        with contextlib.suppress(ConnectionError):
            await send(connect, noise)
        await send(connect, b"alive\n" + CUT)
        await until(lambda: any(a.paper == b"alive\n" + CUT for a in intake.arrivals))


@pytest.mark.parametrize(
    "request_line",
    [
        b"POST / HTTP/1.1\r\n",
        b"GET /x HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x80F\x01\x03\x01\x00-\x00\x00\x00 ",
        b"\x00\x03\x00\x24!\x12\xa4B" + b"a" * 36,
        b"\x00P\x00\x01\x00<!\x12\xa4B" + b"a" * 60,
    ],
)
@pytest.mark.parametrize("step", [3, 1000])
async def test_a_web_page_cannot_print(request_line, step):
    data = request_line + b"Host: 127.0.0.1:9100\r\n\r\nYou have won\n" + CUT
    async with printing() as (_, intake, connect):
        reader, writer = await connect()
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
                await writer.drain()
            assert await reader.read() == b""
        writer.close()
        await until(lambda: intake.trouble is not None)
        assert intake.trouble.text == "what is no till tried to print here and was refused"
        await send(connect, b"real\n" + CUT)
        await intake.wait()

    assert [words(arrival) for arrival in intake.arrivals] == ["real"]


async def test_a_page_that_tries_again_and_again_is_told_once_a_minute():
    async with printing() as (_, intake, connect):
        for _ in range(5):
            reader, _ = await send(connect, b"GET / HTTP/1.1\r\n", end=False)
            with contextlib.suppress(ConnectionError):
                await reader.read()

    assert sum(trouble is not None for trouble in intake.troubles) == 1


async def test_idle_connections_make_room_for_one_that_prints():
    async with printing() as (_, intake, connect):
        lines = [
            await send(connect, b"\x10\x04\x01", end=False) for _ in range(printer.CONNECTION_LIMIT)
        ]
        for reader, _ in lines:
            await reader.readexactly(1)

        await send(connect, b"a\n" + CUT)
        await intake.wait()


async def test_connections_are_bounded():
    async with printing() as (_, _, connect):
        lines = [
            await send(connect, b"busy\x10\x04\x01", end=False)
            for _ in range(printer.CONNECTION_LIMIT)
        ]
        for reader, _ in lines:
            await reader.readexactly(1)

        with contextlib.suppress(ConnectionError):
            reader, _ = await send(connect, b"\x10\x04\x01", end=False)
            assert await reader.read() == b""


class Deaf(asyncio.Transport):
    """A connection's writing half, to a till that reads nothing."""

    def __init__(self):
        super().__init__()
        self.transport, self.aborted = self, False

    def write(self, data):
        pass

    async def drain(self):
        await asyncio.Event().wait()

    def abort(self):
        self.aborted = True

    def close(self):
        pass

    async def wait_closed(self):
        pass


async def test_a_till_that_takes_no_answers_is_let_go_and_what_it_printed_is_kept():
    class Impatient(Quick):
        send_seconds = 0.01

    async with printing(Impatient) as (source, intake, _):
        reader, deaf = asyncio.StreamReader(), Deaf()
        reader.feed_data(b"sold\n\x10\x04\x01")

        line = printer._Line(reader, deaf)
        await source._serve(line, source._open.enter(deaf), intake)

        assert deaf.aborted
        await intake.wait()


async def test_a_job_without_end_is_ended():
    class Impatient(Printer):
        job_seconds = 0.0

    async with printing(Impatient) as (_, intake, connect):
        _, writer = await send(connect, b"a", end=False)
        async with asyncio.timeout(20):
            while not intake.arrivals:
                writer.write(b"a")
                await asyncio.sleep(0.01)


# Settings and checks


def test_it_is_made_from_its_settings():
    settings = {"listen": "[::1]:9100", "code_page": "cp852", "columns": 42, "idle_seconds": 2}

    assert make_source("printer", "bar", SHOP, settings).name == "bar"
    assert make_source("printer", "bar", SHOP, {"listen": "localhost:9100"}).tills == ()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen", "9100"),
        ("listen", "printer.example:9100"),
        ("listen", "127.0.0.1:0"),
        ("listen", "127.0.0.1:99999"),
        ("listen", None),
        ("code_page", "klingon"),
        ("columns", 8),
        ("columns", True),
        ("columns", "48"),
        ("idle_seconds", 0),
        ("idle_seconds", "3"),
        ("idle_seconds", float("nan")),
    ],
)
def test_a_setting_that_cannot_be_is_named(setting, value):
    with pytest.raises(ConfigError, match=f"source bar: {setting} must be"):
        make_source("printer", "bar", SHOP, {setting: value})


async def test_a_free_port_is_well():
    (finding,) = await Printer("bar", SHOP, listen=f"127.0.0.1:{stage.free_port()}").check()

    assert finding.ok
    assert "can listen" in finding.text


async def test_a_port_in_use_by_this_printer_is_well():
    async with printing() as (source, _, _):
        (finding,) = await source.check()

    assert finding.ok
    assert "answers" in finding.text


async def test_a_port_in_use_by_another_program_is_not():
    async def other(reader, writer):
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        source = Printer("bar", SHOP, listen=f"127.0.0.1:{port}")
        (finding,) = await source.check()

        assert not finding.ok
        assert "in use by another program" in finding.text
        assert finding.hint is not None
        with pytest.raises(SourceError, match="in use") as caught:
            await source.run(Counter())
        assert caught.value.hint == finding.hint


async def test_an_address_of_another_computer_is_said():
    finding, _ = await Printer("bar", SHOP, listen="192.0.2.1:9100").check()

    assert not finding.ok
    assert "address of this computer" in finding.hint


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_port_for_the_system_is_said(number):
    source = Printer("bar", SHOP, listen="127.0.0.1:91")

    text, hint = source._refused(OSError(number, "no"))

    assert text == "127.0.0.1:91 may not be listened on"
    assert "1023" in hint


async def test_what_is_open_to_the_network_is_said_in_plain_words():
    first, second = await Printer("bar", SHOP, listen=f"0.0.0.0:{stage.free_port()}").check()

    assert first.ok
    assert "whoever is in it can print" in second.text
    assert second.hint is not None
