import asyncio
import contextlib
import errno
import io
import re
import shutil
import socket
import sys
from pathlib import Path

import aiohttp
import hostile_pdf
import pytest
import stage
from fakes import Clock, settle
from keeper import Keeper

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError, SourceError
from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE
from e2ee_ticket.sources import Shop, make_source
from e2ee_ticket.sources.ipp import Ipp
from e2ee_ticket.sources.ipp_attributes import values
from e2ee_ticket.sources.ipp_message import Group, Message, Tag, Value, read_message
from e2ee_ticket.sources.ipp_printer import JOBS_MAX, IppPrinter, Operation, State, Status

RECEIPT = stage.INVOICE.read_bytes()
CASES = Path(__file__).parents[2] / "data/receipts/ipp"
PRINTER = "ipp://127.0.0.1/ipp/print"
TRUE = (Value(Tag.BOOLEAN, content=True),)
SUITES = Path("/usr/share/cups/ipptool")


def request(operation, wishes=None, *, version=(1, 1), number=1, **attributes):
    """Write a request; underscores stand for hyphens."""
    head = {
        "attributes-charset": values(Tag.CHARSET, "utf-8"),
        "attributes-natural-language": values(Tag.LANGUAGE, "en"),
        "printer-uri": values(Tag.URI, PRINTER),
        "requesting-user-name": values(Tag.NAME, "anna"),
    } | {name.replace("_", "-"): given for name, given in attributes.items()}
    head = {name: given for name, given in head.items() if given is not None}
    groups = [Group(Tag.OPERATION, head)]
    if wishes:
        groups.append(Group(Tag.JOB, wishes))
    return Message(version, operation, number, tuple(groups))


def of(message, tag):
    return [group.attributes for group in message.groups if group.tag == tag]


def job_id(message):
    return of(message, Tag.JOB)[0]["job-id"]


def state(message):
    return State(of(message, Tag.JOB)[0]["job-state"][0].content)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def intake():
    return Keeper()


@pytest.fixture
def ask(clock, intake):
    """Ask a printer without a network."""
    source = Ipp("till", Shop("Épicerie", now=clock.now))
    printer = IppPrinter(
        "till", Shop("Épicerie", now=clock.now), lambda *job: source._keep(intake, *job)
    )

    async def answer(operation, wishes=None, document=b"", **attributes):
        message = request(operation, wishes, **attributes)
        answered = await printer.answer(message, document, "127.0.0.1:8631")
        assert answered.request_id == message.request_id
        return read_message(answered.to_bytes())[0]

    return answer


# Printing


async def test_a_printed_receipt_is_kept_and_its_job_is_over(ask, intake):
    answer = await ask(
        Operation.PRINT_JOB, document=RECEIPT, job_name=values(Tag.NAME, "Facture FA2401-0012.pdf")
    )

    ticket = intake.arrivals[0].ticket
    assert ticket.receipt == RECEIPT
    assert (ticket.name, ticket.number) == ("Facture FA2401-0012.pdf", "FA2401-0012")
    assert ticket.title == "Épicerie"
    assert ticket.issued.startswith("2027-01-15T")
    assert answer.code == Status.OK
    assert state(answer) == State.COMPLETED
    assert intake.trouble is None
    assert intake.arrivals[0].began == 1_800_000_000  # the time of this test's clock


async def test_a_job_may_be_made_first_and_get_its_document_later(ask, intake):
    made = await ask(Operation.CREATE_JOB, job_name=values(Tag.NAME, "receipt 1042"))
    assert state(made) == State.HELD

    answer = await ask(
        Operation.SEND_DOCUMENT,
        document=RECEIPT,
        job_id=job_id(made),
        last_document=TRUE,
    )

    assert state(answer) == State.COMPLETED
    assert intake.receipts == [RECEIPT]
    assert intake.arrivals[0].ticket.number == "1042"


async def test_a_document_sent_again_because_its_answer_was_lost_is_kept_once(ask, intake):
    made = await ask(Operation.CREATE_JOB)
    sending = {"job_id": job_id(made), "last_document": TRUE}

    first = await ask(Operation.SEND_DOCUMENT, document=RECEIPT, **sending)
    again = await ask(Operation.SEND_DOCUMENT, document=RECEIPT, **sending)
    other = await ask(Operation.SEND_DOCUMENT, document=RECEIPT + b"\n", **sending)
    closed = await ask(Operation.SEND_DOCUMENT, **sending)

    assert (first.code, again.code, closed.code) == (Status.OK,) * 3
    assert other.code == Status.ONE_DOCUMENT_ONLY
    assert len(intake.arrivals) == 1


async def test_nothing_is_answered_before_the_receipt_is_kept(ask, intake):
    kept = asyncio.Event()

    async def accept(arrival):
        await kept.wait()
        intake.arrivals.append(arrival)

    intake.accept = accept
    printing = asyncio.create_task(ask(Operation.PRINT_JOB, document=RECEIPT))
    await settle()
    assert not printing.done()

    kept.set()
    assert (await printing).code == Status.OK


async def test_a_computer_that_cannot_keep_it_asks_to_come_back(ask, intake):
    intake.fail(OutboxError("the disk is full"))

    answer = await ask(Operation.PRINT_JOB, document=RECEIPT)

    assert answer.code == Status.BUSY
    assert of(answer, Tag.OPERATION)[0]["status-message"][0].content == (
        "try again later: the disk is full"
    )
    assert "could not be kept" in intake.trouble.text
    assert (await ask(Operation.PRINT_JOB, document=RECEIPT)).code == Status.OK
    assert intake.trouble is None


async def test_a_job_whose_document_could_not_be_kept_takes_it_again(ask, intake):
    made = await ask(Operation.CREATE_JOB)
    sending = {"job_id": job_id(made), "last_document": TRUE}
    intake.fail(OutboxError("the disk is full"))

    first = await ask(Operation.SEND_DOCUMENT, document=RECEIPT, **sending)
    again = await ask(Operation.SEND_DOCUMENT, document=RECEIPT, **sending)

    assert (first.code, again.code) == (Status.BUSY, Status.OK)
    assert len(intake.arrivals) == 1


async def test_a_job_that_was_left_in_the_middle_takes_its_document_again(ask, intake):
    made = await ask(Operation.CREATE_JOB)
    sending = {"job_id": job_id(made), "last_document": TRUE}
    intake.fail(asyncio.CancelledError())

    with pytest.raises(asyncio.CancelledError):
        await ask(Operation.SEND_DOCUMENT, document=RECEIPT, **sending)

    assert (await ask(Operation.SEND_DOCUMENT, document=RECEIPT, **sending)).code == Status.OK


@pytest.mark.parametrize(
    ("document", "status", "why"),
    [
        (b"", Status.FORMAT_ERROR, "the file is empty"),
        (b"hello", Status.FORMAT_ERROR, "this is not a PDF"),
        (b"%!PS-Adobe", Status.FORMAT_ERROR, "but PostScript"),
        (None, Status.TOO_LARGE, "larger than 24 MiB"),
        (b"\x89PNG\r\n\x1a\n", Status.FORMAT_ERROR, "this picture cannot be made a receipt"),
        (b"%PDF-" + bytes(RECEIPT_MAX_SIZE), Status.TOO_LARGE, "larger than 3.9 MiB"),
    ],
)
async def test_what_is_no_receipt_is_refused(ask, intake, document, status, why):
    answer = await ask(Operation.PRINT_JOB, document=document)

    assert answer.code == status
    assert why in of(answer, Tag.OPERATION)[0]["status-message"][0].content
    assert not intake.arrivals
    assert not of(answer, Tag.JOB)


async def test_what_the_intake_refuses_is_refused_and_the_cashier_knows(ask, intake):
    made = await ask(Operation.CREATE_JOB)
    intake.fail(ReceiptError("it holds scripts"))

    answer = await ask(
        Operation.SEND_DOCUMENT,
        document=RECEIPT,
        job_id=job_id(made),
        last_document=TRUE,
    )
    told = await ask(Operation.GET_JOB_ATTRIBUTES, job_id=job_id(made))

    assert answer.code == Status.FORMAT_ERROR
    assert state(told) == State.ABORTED
    assert intake.trouble.text == "a printed document was refused: it holds scripts"
    assert "paper" in intake.trouble.hint


@pytest.mark.parametrize(
    ("name", "given", "status"),
    [
        ("document_format", values(Tag.MIME, "image/tiff"), Status.FORMAT_NOT_SUPPORTED),
        ("compression", values(Tag.KEYWORD, "gzip"), Status.COMPRESSION_NOT_SUPPORTED),
    ],
)
async def test_what_is_not_understood_is_named(ask, intake, name, given, status):
    for operation in (Operation.PRINT_JOB, Operation.VALIDATE_JOB):
        answer = await ask(operation, document=RECEIPT, **{name: given})

        assert answer.code == status
        assert of(answer, Tag.UNSUPPORTED) == [{name.replace("_", "-"): given}]
    assert not intake.arrivals


async def test_wishes_that_cannot_be_fulfilled_are_told_and_the_receipt_is_kept(ask, intake):
    wishes = {
        "copies": values(Tag.INTEGER, 1000),
        "number-up": values(Tag.INTEGER, 1),
        "sides": values(Tag.KEYWORD, "two-sided-long-edge"),
        "staple": values(Tag.KEYWORD, "yes"),
        "media": values(Tag.KEYWORD, "iso_a3_297x420mm"),
        "print-quality": values(Tag.ENUM, 5),
    }

    answer = await ask(Operation.PRINT_JOB, wishes, RECEIPT)

    assert answer.code == Status.OK_SUBSTITUTED
    assert of(answer, Tag.UNSUPPORTED) == [
        {
            "copies": values(Tag.INTEGER, 1000),
            "sides": values(Tag.KEYWORD, "two-sided-long-edge"),
            "staple": (Value(Tag.NO_SUCH),),
        }
    ]
    assert len(intake.arrivals) == 1


@pytest.mark.parametrize("copies", [1, 2])
async def test_a_receipt_is_one_however_many_copies_are_wished(ask, intake, copies):
    answer = await ask(Operation.PRINT_JOB, {"copies": values(Tag.INTEGER, copies)}, RECEIPT)

    assert answer.code == Status.OK
    assert len(intake.arrivals) == 1


async def test_a_picture_becomes_a_receipt(ask, intake):
    picture = (CASES / "81-tall-picture-for-lp.png").read_bytes()

    answer = await ask(
        Operation.PRINT_JOB,
        document=picture,
        document_format=values(Tag.MIME, "image/png"),
        job_name=values(Tag.NAME, "Caisse 1042.png"),
    )

    assert answer.code == Status.OK
    (arrival,) = intake.arrivals
    assert arrival.ours
    assert arrival.ticket.receipt.startswith(b"%PDF")
    assert arrival.ticket.name == "Caisse 1042.pdf"


async def test_it_says_that_it_takes_what_dialogs_print(ask):
    told = of(await ask(Operation.GET_PRINTER_ATTRIBUTES), Tag.PRINTER)[0]

    formats = {value.content for value in told["document-format-supported"]}
    assert {
        "application/pdf",
        "image/pwg-raster",
        "image/urf",
        "image/jpeg",
        "image/png",
    } <= formats
    assert "urf-supported" in told
    assert "pwg-raster-document-type-supported" in told
    # With no margin at all CUPS has no plain A4.
    assert all(value.content > 0 for value in told["media-top-margin-supported"])


async def test_who_insists_on_wishes_is_refused(ask, intake):
    answer = await ask(
        Operation.PRINT_JOB,
        {"sides": values(Tag.KEYWORD, "two-sided-long-edge")},
        RECEIPT,
        ipp_attribute_fidelity=TRUE,
    )

    assert answer.code == Status.VALUES_NOT_SUPPORTED
    assert not intake.arrivals


# Jobs


async def test_a_job_without_a_document_can_be_cancelled(ask):
    made = await ask(Operation.CREATE_JOB)
    sending = {"job_id": job_id(made), "last_document": TRUE}

    assert (await ask(Operation.CANCEL_JOB, job_id=job_id(made))).code == Status.OK
    assert (await ask(Operation.CANCEL_JOB, job_id=job_id(made))).code == Status.NOT_POSSIBLE
    answer = await ask(Operation.SEND_DOCUMENT, document=RECEIPT, **sending)
    assert answer.code == Status.NOT_POSSIBLE


@pytest.mark.parametrize("operation", [Operation.CLOSE_JOB, Operation.SEND_DOCUMENT])
async def test_a_job_that_is_closed_without_a_document_is_over(ask, intake, operation):
    made = await ask(Operation.CREATE_JOB)
    last = {} if operation == Operation.CLOSE_JOB else {"last_document": TRUE}

    answer = await ask(operation, job_id=job_id(made), **last)

    assert state(answer) == State.ABORTED
    assert not intake.arrivals


async def test_a_job_whose_document_never_comes_is_given_up(ask, clock):
    made = await ask(Operation.CREATE_JOB)
    await clock.advance(61)

    told = await ask(Operation.GET_JOB_ATTRIBUTES, job_id=job_id(made))

    assert state(told) == State.ABORTED


async def test_jobs_are_forgotten_after_an_hour_or_when_there_are_many(ask, clock):
    first = await ask(Operation.PRINT_JOB, document=RECEIPT)
    await clock.advance(3601)
    second = await ask(Operation.PRINT_JOB, document=RECEIPT)
    assert (await ask(Operation.GET_JOB_ATTRIBUTES, job_id=job_id(first))).code == Status.NOT_FOUND
    for _ in range(JOBS_MAX):
        await ask(Operation.CREATE_JOB)

    told = await ask(Operation.GET_JOB_ATTRIBUTES, job_id=job_id(second))
    jobs = await ask(Operation.GET_JOBS)

    assert told.code == Status.NOT_FOUND
    assert len(of(jobs, Tag.JOB)) == JOBS_MAX


async def test_a_clock_that_is_set_back_keeps_the_protocols_times_positive(ask, clock):
    printed = await ask(Operation.PRINT_JOB, document=RECEIPT)
    clock.jump(-1000)

    jobs = await ask(Operation.GET_PRINTER_ATTRIBUTES)

    assert of(jobs, Tag.PRINTER)[0]["printer-up-time"] == values(Tag.INTEGER, 1)
    told = await ask(Operation.GET_JOB_ATTRIBUTES, job_id=job_id(printed))
    assert told.code == Status.NOT_FOUND


async def test_what_a_job_was_called_is_told_to_nobody(ask):
    await ask(Operation.CREATE_JOB, job_name=values(Tag.NAME, "canary"))
    await ask(Operation.PRINT_JOB, document=RECEIPT, job_name=values(Tag.NAME, "canary"))

    for which in ("completed", "not-completed"):
        jobs = await ask(
            Operation.GET_JOBS,
            which_jobs=values(Tag.KEYWORD, which),
            requested_attributes=values(Tag.KEYWORD, "all"),
        )
        assert len(of(jobs, Tag.JOB)) == 1
        assert b"canary" not in jobs.to_bytes()


async def test_jobs_can_be_asked_for_by_their_address_owner_state_and_number(ask):
    printed = await ask(Operation.PRINT_JOB, document=RECEIPT)
    held = await ask(Operation.CREATE_JOB, requesting_user_name=values(Tag.NAME, "bert"))
    uri = of(held, Tag.JOB)[0]["job-uri"]
    completed = values(Tag.KEYWORD, "completed")

    by_uri = await ask(Operation.GET_JOB_ATTRIBUTES, printer_uri=None, job_uri=uri)
    assert job_id(by_uri) == job_id(held)

    berts = {"requesting_user_name": values(Tag.NAME, "bert"), "my_jobs": TRUE}
    assert of(await ask(Operation.GET_JOBS), Tag.JOB)[0].keys() == {"job-id", "job-uri"}
    assert job_id(await ask(Operation.GET_JOBS)) == job_id(held)
    assert job_id(await ask(Operation.GET_JOBS, which_jobs=completed)) == job_id(printed)
    assert not of(await ask(Operation.GET_JOBS, which_jobs=completed, **berts), Tag.JOB)
    assert len(of(await ask(Operation.GET_JOBS, **berts), Tag.JOB)) == 1
    await ask(Operation.CREATE_JOB)
    assert len(of(await ask(Operation.GET_JOBS, limit=values(Tag.INTEGER, 1)), Tag.JOB)) == 1


@pytest.mark.parametrize("uri", ["ipp://127.0.0.1/ipp/print/x", "", "ipp://x/" + "9" * 30])
async def test_an_address_of_no_job_finds_none(ask, uri):
    answer = await ask(Operation.GET_JOB_ATTRIBUTES, printer_uri=None, job_uri=values(Tag.URI, uri))

    assert answer.code == Status.NOT_FOUND


# Requests that are wrong


@pytest.mark.parametrize(
    ("operation", "changed", "status"),
    [
        (Operation.GET_PRINTER_ATTRIBUTES, {"version": (3, 0)}, Status.VERSION_NOT_SUPPORTED),
        (Operation.GET_PRINTER_ATTRIBUTES, {"number": 0}, Status.BAD_REQUEST),
        (Operation.GET_PRINTER_ATTRIBUTES, {"number": 2**31}, Status.BAD_REQUEST),
        (Operation.GET_PRINTER_ATTRIBUTES, {"printer_uri": None}, Status.BAD_REQUEST),
        (Operation.GET_PRINTER_ATTRIBUTES, {"attributes_charset": None}, Status.BAD_REQUEST),
        (
            Operation.GET_PRINTER_ATTRIBUTES,
            {"attributes_charset": values(Tag.CHARSET, "utf-16")},
            Status.CHARSET_NOT_SUPPORTED,
        ),
        (
            Operation.GET_PRINTER_ATTRIBUTES,
            {"attributes_charset": values(Tag.NAME, "utf-8")},
            Status.BAD_REQUEST,
        ),
        (
            Operation.GET_PRINTER_ATTRIBUTES,
            {"document_format": values(Tag.MIME, "text/plain")},
            Status.FORMAT_NOT_SUPPORTED,
        ),
        (
            Operation.GET_JOBS,
            {"which_jobs": values(Tag.KEYWORD, "aborted")},
            Status.VALUES_NOT_SUPPORTED,
        ),
        (
            Operation.GET_JOBS,
            {"which_jobs": values(Tag.KEYWORD, "completed", "completed")},
            Status.BAD_REQUEST,
        ),
        (Operation.GET_JOB_ATTRIBUTES, {}, Status.BAD_REQUEST),
        (Operation.CANCEL_JOB, {"job_id": values(Tag.INTEGER, 7)}, Status.NOT_FOUND),
        (0x0003, {}, Status.OPERATION_NOT_SUPPORTED),
        (0x4000, {}, Status.OPERATION_NOT_SUPPORTED),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(ask, operation, changed, status):
    answer = await ask(operation, **changed)

    assert answer.code == status
    assert of(answer, Tag.OPERATION)[0]["status-message"][0].content
    assert not of(answer, Tag.PRINTER)


async def test_a_document_that_does_not_say_whether_it_is_the_last_is_wrong(ask):
    made = await ask(Operation.CREATE_JOB)

    answer = await ask(Operation.SEND_DOCUMENT, document=RECEIPT, job_id=job_id(made))

    assert answer.code == Status.BAD_REQUEST


async def test_a_request_without_attributes_is_wrong(clock):
    printer = IppPrinter("till", Shop(now=clock.now), None)

    answer = await printer.answer(Message((1, 1), Operation.GET_JOBS, 1), b"", "127.0.0.1")

    assert answer.code == Status.BAD_REQUEST


async def test_only_what_is_asked_for_is_told(ask):
    wanted = values(Tag.KEYWORD, "printer-name", "media-col-database", "nonsense")

    answer = await ask(Operation.GET_PRINTER_ATTRIBUTES, requested_attributes=wanted)
    none = await ask(
        Operation.GET_PRINTER_ATTRIBUTES, requested_attributes=values(Tag.KEYWORD, "none")
    )
    template = await ask(
        Operation.GET_PRINTER_ATTRIBUTES, requested_attributes=values(Tag.KEYWORD, "job-template")
    )

    assert set(of(answer, Tag.PRINTER)[0]) == {"printer-name", "media-col-database"}
    assert of(none, Tag.PRINTER) == [{}]
    assert "copies-supported" in of(template, Tag.PRINTER)[0]
    assert "printer-name" not in of(template, Tag.PRINTER)[0]


# Over HTTP


@contextlib.asynccontextmanager
async def running(source, intake):
    task = asyncio.create_task(source.run(intake))
    async with asyncio.timeout(20):
        while not intake.troubles and not task.done():  # noqa: ASYNC110 - a task has no event
            await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def at(intake):
    port = stage.free_port()
    async with running(Ipp("till", Shop("Shop"), listen=f"127.0.0.1:{port}"), intake):
        yield f"http://127.0.0.1:{port}"


TYPE = {"Content-Type": "application/ipp"}
PRINTING = request(Operation.PRINT_JOB).to_bytes() + RECEIPT


async def post(address, data, headers=TYPE, path="/ipp/print"):
    async with (
        aiohttp.ClientSession() as session,
        session.post(address + path, data=data, headers=headers) as response,
    ):
        return response.status, await response.read()


async def test_a_receipt_is_printed_over_http(at, intake):
    status, body = await post(at, PRINTING)

    assert (status, read_message(body)[0].code) == (200, Status.OK)
    assert intake.receipts == [RECEIPT]
    uri = of(read_message(body)[0], Tag.JOB)[0]["job-uri"][0].content
    assert uri.startswith("ipp" + at.removeprefix("http") + "/ipp/print/")


async def print_and_go(address, intake, body=PRINTING):
    """Print, and end the connection when the receipt is kept and before its answer is written."""
    kept = len(intake.arrivals)
    accept = intake.accept
    written = asyncio.Event()

    async def accept_and_wait(arrival):
        taken = await accept(arrival)
        writer.transport.abort()
        await asyncio.sleep(0.05)
        written.set()
        return taken

    intake.accept = accept_and_wait
    _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    head = (
        "POST /ipp/print HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/ipp\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    async with asyncio.timeout(20):
        await written.wait()
    intake.accept = accept
    assert len(intake.arrivals) >= kept


async def test_a_job_that_is_sent_again_without_an_answer_is_one_receipt(at, intake):
    await print_and_go(at, intake)
    await print_and_go(at, intake)

    status, body = await post(at, PRINTING)

    assert (status, read_message(body)[0].code) == (200, Status.OK)
    assert intake.receipts == [RECEIPT]


async def test_a_job_that_is_printed_again_after_its_answer_is_another_receipt(at, intake):
    for _ in range(3):
        await post(at, PRINTING)

    assert intake.receipts == [RECEIPT] * 3


async def test_what_was_answered_is_known_after_a_restart(intake):
    for _ in range(2):
        port = stage.free_port()
        async with running(Ipp("till", Shop("Shop"), listen=f"127.0.0.1:{port}"), intake):
            await post(f"http://127.0.0.1:{port}", PRINTING)
        intake.troubles.clear()

    assert intake.receipts == [RECEIPT] * 2


async def test_a_job_whose_answer_a_kill_has_swallowed_is_one_receipt(intake):
    port = stage.free_port()
    async with running(Ipp("till", Shop("Shop"), listen=f"127.0.0.1:{port}"), intake):
        await print_and_go(f"http://127.0.0.1:{port}", intake)
    intake.troubles.clear()
    port = stage.free_port()
    async with running(Ipp("till", Shop("Shop"), listen=f"127.0.0.1:{port}"), intake):
        await post(f"http://127.0.0.1:{port}", PRINTING)

    assert intake.receipts == [RECEIPT]


async def test_a_job_has_an_address_of_its_own(at):
    _, body = await post(at, PRINTING)
    uri = of(read_message(body)[0], Tag.JOB)[0]["job-uri"]
    asking = request(Operation.GET_JOB_ATTRIBUTES, printer_uri=None, job_uri=uri)

    _, body = await post(at, asking.to_bytes(), path="/ipp/print/1")

    assert state(read_message(body)[0]) == State.COMPLETED


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (TYPE | {"Origin": "http://evil.example"}, 403),
        (TYPE | {"Origin": "null"}, 403),
        (TYPE | {"Origin": "http://127.0.0.1"}, 403),
        (TYPE | {"Host": "evil.example"}, 403),
        (TYPE | {"Host": "127.0.0.1.evil.example:8631"}, 403),
        (TYPE | {"Host": "192.168.1.2"}, 403),
        (TYPE | {"Host": ""}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (TYPE | {"Content-Encoding": "gzip"}, 415),
        (TYPE | {"Host": "LOCALHOST:631"}, 200),
        (TYPE | {"Host": "[::1]:631"}, 200),
        (TYPE | {"Host": "[::1]"}, 200),
    ],
)
async def test_a_web_page_cannot_print(at, intake, headers, status):
    answered, _ = await post(at, PRINTING, headers)

    assert answered == status
    assert len(intake.arrivals) == (status == 200)


async def test_a_web_page_that_asks_first_gets_no_permission(at):
    asking = {"Access-Control-Request-Method": "POST"}
    async with aiohttp.ClientSession() as session:
        for origin, status in (({"Origin": "http://evil.example"}, 403), ({}, 405)):
            async with session.options(at + "/ipp/print", headers=asking | origin) as response:
                assert response.status == status
                assert not [name for name in response.headers if name.startswith("Access")]


async def test_a_page_says_how_the_printer_is_added(at):
    async with aiohttp.ClientSession() as session, session.get(at) as response:
        text = await response.text()

    assert f"lpadmin -p e-ticket -E -v ipp{at.removeprefix('http')}/ipp/print -m everywhere" in text


@pytest.mark.parametrize("size", [5 * 1024 * 1024, 25 * 1024 * 1024, 65 * 1024 * 1024])
async def test_a_document_that_is_too_large_is_not_kept_and_not_held(at, intake, size):
    async def document():
        yield PRINTING
        sent = 0
        while sent < size:
            sent += 1024 * 1024
            yield bytes(1024 * 1024)

    status, body = await post(at, document())

    assert (status, read_message(body)[0].code) == (200, Status.TOO_LARGE)
    assert not intake.arrivals
    assert (await post(at, PRINTING))[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, None),
        (b"\x01\x01", 400, None),
        (PRINTING[:20], 200, Status.BAD_REQUEST),
        (b"\x01\x01\x00\x02\x00\x00\x00\x01\x01" + b"\x21\x00\x01a\x7f\xff", 200, 0x0400),
        (bytes(100_000), 200, Status.BAD_REQUEST),
    ],
)
async def test_bytes_that_are_no_message_harm_nothing(at, intake, body, status, code):
    answered, told = await post(at, body)

    assert answered == status
    if code is not None:
        assert read_message(told)[0].code == code
    assert (await post(at, PRINTING))[0] == 200
    assert len(intake.arrivals) == 1


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (b"\x01", {}, "a printed document was refused"),
        (PRINTING, {"Content-Type": "application/pdf"}, "send application/ipp"),
        (PRINTING, {"Content-Encoding": "gzip"}, "nothing packed"),
        (PRINTING + bytes(5 * 1024 * 1024), {}, "larger than 3.9 MiB"),
        (request(Operation.PRINT_JOB, compression=values(Tag.KEYWORD, "gzip")).to_bytes(), {},
         "uncompressed"),
        (request(Operation.PRINT_JOB).to_bytes() + b"\x89PNG", {}, "no PDF|not a PDF"),
        (PRINTING, {"Origin": "https://evil.example"}, "a web page tried to print"),
    ],
)  # fmt: skip
async def test_every_refusal_reaches_the_cashier(at, intake, body, headers, why):
    await post(at, io.BytesIO(body), TYPE | headers)

    assert re.search(why, intake.trouble.text)
    assert intake.trouble.hint
    assert not intake.arrivals


async def test_a_question_that_is_refused_is_nobodys_business(at, intake):
    asked = request(Operation.GET_JOB_ATTRIBUTES, job_id=values(Tag.INTEGER, 7)).to_bytes()
    _, body = await post(at, asked)

    assert read_message(body)[0].code == Status.NOT_FOUND
    assert intake.trouble is None


async def test_no_answer_names_the_servers_version(at):
    host, port = at.removeprefix("http://").split(":")
    for sent in (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"nonsense\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert b"Server: e2ee-ticket\r\n" in answer
        assert b"aiohttp" not in answer


async def test_bytes_that_are_not_even_http_are_not_logged(at, caplog):
    host, port = at.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"canary \xff\xfe\x1b@\n\n")
    await writer.drain()
    await reader.read()
    writer.close()
    await writer.wait_closed()

    assert (await post(at, PRINTING))[0] == 200
    assert "canary" not in caplog.text


async def test_a_body_that_does_not_come_is_given_up(at, intake, monkeypatch):
    monkeypatch.setattr("e2ee_ticket.sources.ipp.BODY_SECONDS", 0.05)
    host, port = at.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /ipp/print HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/ipp\r\n"
        b"Content-Length: 99\r\n\r\n" + PRINTING[:50]
    )

    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert not intake.arrivals


async def test_a_client_that_goes_away_in_the_middle_prints_nothing(at, intake):
    host, port = at.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /ipp/print HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/ipp\r\n"
        b"Content-Length: %d\r\n\r\n" % (len(PRINTING) + 1) + PRINTING
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert (await post(at, PRINTING))[0] == 200
    assert len(intake.arrivals) == 1


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_is_kept_as_it_is(at, intake, make):
    await post(at, request(Operation.PRINT_JOB).to_bytes() + make())

    assert intake.receipts == [make()]


# What ipptool says


def find_suites(folder):
    """Copy the suites of ipptool, and put in the documents that distributions leave out."""
    if not shutil.which("ipptool"):
        stage.missing("ipptool", "apt-get install -y --no-install-recommends cups-ipp-utils")
    for suite in SUITES.glob("ipp-*.test"):
        shutil.copy(suite, folder)
    wanted = re.findall(r"\bFILE (\S+\.\w+)$", (folder / "ipp-1.1.test").read_text(), re.MULTILINE)
    for name in wanted:
        (folder / name).write_bytes(RECEIPT)


@pytest.mark.skipif(sys.platform == "win32", reason="CUPS is not made for Windows")
@pytest.mark.parametrize("version", ["1.1", "2.0"])
async def test_ipptool_finds_nothing_wrong(at, intake, tmp_path, version):
    find_suites(tmp_path)
    receipt = tmp_path / "receipt.pdf"
    receipt.write_bytes(RECEIPT)

    process = await asyncio.create_subprocess_exec(
        *("ipptool", "-tI", "-V", version, "-f", receipt),
        *("ipp" + at.removeprefix("http") + "/ipp/print", tmp_path / f"ipp-{version}.test"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()

    assert process.returncode == 0, said
    assert "FAIL" not in said
    assert said.count("[PASS]") >= (26 if version == "1.1" else 27)
    # Twice as many as there are documents: some suites print each with two copies.
    assert len(intake.arrivals) == 10


# Settings and checks


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": "8631"},
        {"listen": "127.0.0.1"},
        {"listen": "127.0.0.1:0"},
        {"listen": "127.0.0.1:99999"},
        {"listen": "127.0.0.1:x"},
        {"listen": "shop.example:631"},
        {"listen": 631},
        {"hosts": "till.lan"},
        {"hosts": [1]},
        {"hosts": [""]},
        {"port": 1},
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings):
    with pytest.raises(ConfigError, match=f"source till: .*{next(iter(settings))}"):
        make_source("ipp", "till", Shop(), settings)


async def test_a_port_that_is_taken_is_told(intake):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        source = Ipp("till", Shop(), listen=address)
        asking = asyncio.create_task(source.check())
        loop = asyncio.get_running_loop()
        other.settimeout(0)
        stranger, _ = await loop.sock_accept(other)
        stranger.close()

        with pytest.raises(SourceError) as caught:
            await source.run(intake)

    assert str(caught.value) == f"{address} is in use by another program"
    assert "another port" in caught.value.hint
    finding = (await asking)[0]
    assert (finding.ok, finding.text) == (False, str(caught.value))


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.EACCES, "may not be listened on"), (errno.ENETDOWN, "cannot be listened on")],
)
def test_why_a_port_is_refused_is_told_with_what_to_do(number, text):
    said, hint = Ipp("till", Shop())._refused(OSError(number, "no"))

    assert said == f"127.0.0.1:8631 {text}"
    assert "listen" in hint


async def test_an_address_of_another_computer_is_told(intake):
    source = Ipp("till", Shop(), listen="192.0.2.1:8631")

    with pytest.raises(SourceError, match="cannot be listened on") as caught:
        await source.run(intake)

    assert "an address of this computer" in caught.value.hint


async def test_a_check_says_that_it_can_listen_or_does(intake):
    port = stage.free_port()
    source = Ipp("till", Shop(), listen=f"127.0.0.1:{port}")
    address = f"ipp://127.0.0.1:{port}/ipp/print"

    assert [(f.ok, f.text) for f in await source.check()] == [
        (True, f"the printer can listen at {address}")
    ]
    async with running(source, intake):
        assert [(f.ok, f.text) for f in await source.check()] == [
            (True, f"the printer answers at {address}")
        ]
        other = Ipp("other", Shop(), listen=f"127.0.0.1:{port}")
        assert not (await other.check())[0].ok


async def test_a_printer_that_the_network_can_reach_says_so(intake):
    port = stage.free_port()
    source = Ipp("till", Shop(), listen=f"0.0.0.0:{port}", hosts=["till.lan"])

    finding = (await source.check())[1]
    assert "anyone in it can print" in finding.text
    assert "127.0.0.1" in finding.hint

    async with running(source, intake):
        address = f"http://127.0.0.1:{port}"
        for host, status in (
            ("192.168.1.2:8631", 200),
            ("till.lan:8631", 200),
            (socket.gethostname(), 200),
            ("evil.example", 403),
        ):
            assert (await post(address, PRINTING, TYPE | {"Host": host}))[0] == status
