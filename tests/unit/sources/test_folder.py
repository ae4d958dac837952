import asyncio
import os
import re
import sys
from pathlib import Path

import hostile_pdf
import pytest
import stage
from fakes import Clock
from keeper import Keeper

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError
from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE
from e2ee_ticket.sources import Shop, make_source
from e2ee_ticket.sources.folder import (
    BUSY_SECONDS,
    IDLE_SECONDS,
    PAUSE_MAX_SECONDS,
    TROUBLE_SECONDS,
    Folder,
)
from e2ee_ticket.sources.folder_files import (
    MARKER,
    delete_file,
    list_files,
    move_file,
    read_file,
)

RECEIPT = stage.INVOICE.read_bytes()
DAY = 86_400
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX rights and links")


class Watched:
    """A folder, what looks into it, and a clock for both."""

    def __init__(self, path, clock, intake):
        self.path, self.clock, self.intake = path, clock, intake
        self.source = None

    def begin(self, **settings):
        """Start, as the agent does."""
        shop = Shop("Shop", now=self.clock.now)
        self.source = Folder("till", shop, path=str(self.path), **settings)
        self.source._started = self.clock.now()
        return self

    def put(self, name, data=RECEIPT, age=0.0):
        """Write a file as of so many seconds ago."""
        file = self.path / name
        file.write_bytes(data)
        moment = self.clock.now() - age
        os.utime(file, (moment, moment))
        return file

    async def look(self, after=1.0):
        """Let time pass, and look."""
        await self.clock.advance(after)
        return await self.source.look(self.intake)

    async def settle(self):
        """Look until what was put there must have been taken."""
        await self.look()
        await self.look()

    def names(self, folder="."):
        return sorted(path.name for path in (self.path / folder).iterdir() if path.is_file())

    @property
    def sent(self):
        return [arrival.ticket.name for arrival in self.intake.arrivals]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def intake():
    return Keeper()


@pytest.fixture
def watched(tmp_path, clock, intake):
    return Watched(tmp_path / "receipts", clock, intake)


@pytest.fixture
async def folder(watched):
    """A folder that was empty when it was looked into first."""
    watched.path.mkdir()
    watched.begin()
    await watched.look()
    return watched


# What appears


async def test_a_receipt_that_appears_is_sent_and_moved_aside(folder, intake):
    folder.put("Facture FA2401-0012.pdf")

    await folder.settle()

    ticket = intake.arrivals[0].ticket
    assert ticket.receipt == RECEIPT
    assert (ticket.name, ticket.number) == ("Facture FA2401-0012.pdf", "FA2401-0012")
    assert ticket.title == "Shop"
    assert ticket.issued.startswith("2027-01-15T")
    assert folder.names() == []
    assert folder.names("sent") == [MARKER, "Facture FA2401-0012.pdf"]
    assert intake.troubles == [None]


async def test_a_receipt_waits_since_it_was_seen_first_whenever_it_is_taken(folder, intake, clock):
    intake.fail(*[OutboxError("the disk is full")] * 3)
    folder.put("a.pdf", age=500)  # another computer's clock may have dated it
    seen = clock.now() + 1
    for _ in range(6):
        await folder.look(9)

    (arrival,) = intake.arrivals
    assert arrival.began == pytest.approx(seen + 8)


async def test_what_was_written_while_nobody_looked_waits_since_then(watched, intake, clock):
    watched.path.mkdir()
    intake.kept_cursor = "0:0:-"
    watched.put("a.pdf", age=40)
    written = clock.now() - 40
    watched.begin(late_seconds=600)

    await watched.settle()

    (arrival,) = intake.arrivals
    assert arrival.began == pytest.approx(written)


async def test_a_receipt_is_not_taken_before_it_has_settled(folder, intake):
    folder.put("a.pdf")

    await folder.look(0.1)
    await folder.look(0.2)
    assert not intake.arrivals

    await folder.look(0.2)
    assert len(intake.arrivals) == 1


async def test_a_file_that_still_grows_is_waited_for(folder, intake):
    for size in (100, 5000, len(RECEIPT)):
        folder.put("a.pdf", RECEIPT[:size])
        await folder.look()
        assert not intake.arrivals

    await folder.look()
    assert intake.receipts == [RECEIPT]


async def test_a_file_that_ends_too_early_is_waited_for_longer(folder, intake):
    folder.put("a.pdf", RECEIPT[:-20])
    await folder.settle()
    await folder.look(25)
    assert not intake.arrivals

    folder.put("a.pdf")
    await folder.settle()
    assert intake.receipts == [RECEIPT]


async def test_a_file_that_never_ends_as_a_pdf_does_is_sent_after_a_while(folder, intake):
    folder.put("a.pdf", RECEIPT[:-20])

    await folder.settle()
    await folder.look(30)

    assert intake.receipts == [RECEIPT[:-20]]


async def test_receipts_are_sent_in_the_order_in_which_they_were_written(folder):
    folder.put("b.pdf", age=3)
    folder.put("c.pdf", age=2)
    folder.put("a.pdf", age=1)

    await folder.settle()

    assert folder.sent == ["b.pdf", "c.pdf", "a.pdf"]


async def test_the_same_name_again_is_another_receipt(folder, intake):
    for _ in range(3):
        folder.put("receipt.pdf")
        await folder.settle()

    assert len(intake.arrivals) == 3
    assert folder.names("sent") == [MARKER, "receipt-2.pdf", "receipt-3.pdf", "receipt.pdf"]


async def test_a_file_that_is_moved_in_is_new_whenever_it_was_written(folder, intake):
    folder.put("a.pdf", age=9 * DAY)

    await folder.settle()

    assert len(intake.arrivals) == 1


async def test_what_is_no_receipt_of_this_folder_is_not_touched(folder, intake):
    names = [".hidden.pdf", "~$a.pdf", "a.pdf.part", "a.pdf.crdownload", "a.pdf.tmp", "a.txt"]
    for name in names:
        folder.put(name)
    (folder.path / "folder.pdf").mkdir()
    folder.put("folder.pdf/inside.pdf")

    await folder.settle()
    await folder.look(3600)

    assert not intake.arrivals
    assert folder.names() == sorted(names)
    assert folder.names("folder.pdf") == ["inside.pdf"]


async def test_capitals_do_not_matter_and_a_pattern_chooses(watched):
    watched.path.mkdir()
    watched.begin(pattern="till1-*.pdf")
    await watched.look()
    watched.put("TILL1-A.PDF")
    watched.put("till2-a.pdf")

    await watched.settle()

    assert watched.sent == ["TILL1-A.pdf"]
    assert watched.names() == ["till2-a.pdf"]


@posix_only
async def test_links_and_pipes_are_not_followed(folder, intake, tmp_path):
    target = tmp_path / "secret.pdf"
    target.write_bytes(RECEIPT)
    (folder.path / "link.pdf").symlink_to(target)
    os.mkfifo(folder.path / "pipe.pdf")

    await folder.settle()
    await folder.look(3600)

    assert not intake.arrivals
    assert target.read_bytes() == RECEIPT


@posix_only
def test_a_link_is_not_listed(tmp_path):
    (tmp_path / "kept").write_bytes(RECEIPT)
    (tmp_path / "link.pdf").symlink_to(tmp_path / "kept")

    assert list_files(tmp_path, re.compile(r".*\.pdf")) == []


@posix_only
def test_what_became_a_link_since_it_was_listed_is_not_read(tmp_path):
    """Another user of the computer who may write there cannot have a file of the till's read."""
    file, secret = tmp_path / "a.pdf", tmp_path / "secret"
    for each in (file, secret):
        each.write_bytes(RECEIPT)
        os.utime(each, (1, 1))
    (listed,) = list_files(tmp_path, re.compile(r".*\.pdf"))
    file.unlink()
    file.symlink_to(secret)

    with pytest.raises(OSError, match="symbolic"):
        read_file(tmp_path, listed)


@posix_only
async def test_a_name_in_a_countrys_own_letters_reaches_the_phone_readable(folder, intake):
    (folder.path / os.fsdecode(b"re\xe7u.pdf")).write_bytes(RECEIPT)

    await folder.settle()

    assert intake.arrivals[0].ticket.name == "reçu.pdf"
    intake.arrivals[0].ticket.to_bytes()


async def test_a_name_is_no_longer_than_a_phone_can_keep(folder, intake):
    name = "レ" * 83 + ".pdf"  # 253 bytes, which this file system takes
    (folder.path / name).write_bytes(RECEIPT)

    await folder.settle()

    assert intake.arrivals[0].ticket.name == "レ" * 65 + ".pdf"


async def test_a_web_page_under_the_name_of_a_pdf_is_refused_at_once(folder, intake):
    (folder.path / "a.pdf").write_bytes(b"<!doctype html><p>Your session is over, log in again")

    await folder.settle()

    assert intake.arrivals == []
    assert folder.names("refused") == [MARKER, "a.pdf"]
    assert "this is not a PDF, but a web page or XML" in intake.trouble.text


@pytest.mark.parametrize("behind", [bytes(79_000), b"<br /><b>Warning</b> in /var/www/x.php" * 50])
async def test_what_a_program_wrote_behind_the_end_is_not_waited_for(folder, intake, behind):
    (folder.path / "a.pdf").write_bytes(RECEIPT + behind)

    await folder.settle()

    assert intake.arrivals[0].ticket.receipt == RECEIPT + behind


async def test_what_was_sent_can_be_deleted_instead(watched):
    watched.path.mkdir()
    watched.begin(done="delete")
    await watched.look()
    watched.put("a.pdf")

    await watched.settle()

    assert watched.sent == ["a.pdf"]
    assert list(watched.path.iterdir()) == []


@pytest.fixture
async def documents(watched):
    """Dolibarr's documents: a folder for each invoice, one of them an old one's."""
    (watched.path / "TC1-2611-0001").mkdir(parents=True)
    watched.put("TC1-2611-0001/TC1-2611-0001.pdf")
    await watched.clock.advance(86_400)
    watched.begin(recurse=True)
    await watched.look()
    return watched


async def test_dolibarrs_documents_are_read_and_never_written_to(documents, intake):
    for name in ("TC1-2611-0002", "(PROV12)"):
        (documents.path / name).mkdir()
        documents.put(f"{name}/{name}.pdf")
    before = sorted(documents.path.rglob("*"))

    await documents.settle()
    await documents.settle()

    (arrival,) = intake.arrivals
    assert (arrival.ticket.name, arrival.ticket.number) == ("TC1-2611-0002.pdf", "TC1-2611-0002")
    assert arrival.ticket.receipt == RECEIPT
    assert sorted(documents.path.rglob("*")) == before
    assert intake.trouble is None  # thousands of older ones are nobody's business


async def test_a_document_that_is_no_receipt_stays_where_it_is_and_is_told(documents, intake):
    (documents.path / "X").mkdir()
    documents.put("X/X.pdf", b"hello, this is none at all %%EOF")
    before = sorted(documents.path.rglob("*"))

    await documents.look()
    await documents.look(60)
    await documents.settle()

    assert "was refused" in intake.trouble.text
    assert not intake.arrivals
    assert sorted(documents.path.rglob("*")) == before


async def test_a_document_that_is_made_anew_is_sent_again_and_not_after_a_restart(documents):
    (documents.path / "TC1-2").mkdir()
    documents.put("TC1-2/TC1-2.pdf")
    await documents.settle()
    await documents.clock.advance(10)
    documents.put("TC1-2/TC1-2.pdf")
    await documents.settle()
    assert documents.sent == ["TC1-2.pdf"] * 2

    documents.begin(recurse=True)
    await documents.settle()
    assert documents.sent == ["TC1-2.pdf"] * 2


async def test_a_check_of_documents_leaves_nothing_there(documents):
    before = sorted(documents.path.rglob("*"))

    findings = await documents.source.check()

    assert all(finding.ok for finding in findings)
    assert sorted(documents.path.rglob("*")) == before


async def test_thousands_of_files_are_looked_at_and_sent(folder, intake):
    for number in range(1000):
        folder.put(f"{number:04}.pdf", b"%PDF-1.7\n%%EOF")

    await folder.settle()

    assert len(intake.arrivals) == 1000
    assert folder.names() == []


# What lay there before


async def test_what_lay_there_at_the_first_start_is_not_sent_and_told(watched, intake):
    watched.path.mkdir()
    watched.put("yesterday.pdf", age=DAY)
    watched.put("just-before.pdf", age=5)
    watched.begin()

    await watched.settle()

    assert not intake.arrivals
    assert watched.names() == ["just-before.pdf", "yesterday.pdf"]
    assert intake.trouble.text == "2 older files in the folder are not sent"
    assert str(watched.path) in intake.trouble.hint

    watched.put("new.pdf")
    await watched.settle()
    assert watched.sent == ["new.pdf"]
    assert intake.trouble is None


async def test_what_is_saved_there_again_is_new(watched):
    watched.path.mkdir()
    watched.put("a.pdf", age=DAY)
    watched.begin()
    await watched.settle()

    watched.put("a.pdf")
    await watched.settle()

    assert watched.sent == ["a.pdf"]


async def test_what_lay_there_can_be_sent_on_request(watched):
    watched.path.mkdir()
    watched.put("a.pdf", age=DAY)
    watched.begin(existing=True)

    await watched.settle()

    assert watched.sent == ["a.pdf"]


async def test_what_came_during_a_restart_is_sent_and_what_came_before_is_told(folder):
    folder.put("old.pdf", age=121)
    folder.put("late.pdf", age=60)
    folder.begin()

    await folder.settle()

    assert folder.sent == ["late.pdf"]
    assert folder.names() == ["old.pdf"]


async def test_what_came_during_a_first_look_that_took_long_is_sent(watched):
    watched.path.mkdir()
    watched.begin()
    await watched.clock.advance(600)
    watched.put("a.pdf", age=500)

    await watched.settle()

    assert watched.sent == ["a.pdf"]


@pytest.mark.parametrize("age", [0, 10 * DAY])
async def test_a_crash_between_keeping_and_moving_sends_nothing_twice(folder, intake, age):
    folder.put("a.pdf", age=age)

    async def crash(_):
        raise SystemExit

    folder.source._let_go = crash
    with pytest.raises(SystemExit):
        await folder.settle()
    assert folder.names() == ["a.pdf"]

    folder.begin()
    await folder.settle()

    assert len(intake.arrivals) == 1
    assert folder.names() == []
    assert folder.names("sent") == [MARKER, "a.pdf"]


async def test_another_file_of_the_same_time_and_size_is_not_taken_for_the_last(folder, intake):
    folder.put("a.pdf", age=10 * DAY)
    await folder.settle()
    before = intake.kept_cursor.split(":")
    file = folder.put("b.pdf", RECEIPT[:-1] + b"\r", age=10 * DAY)
    os.utime(file, ns=(int(before[0]), int(before[0])))
    folder.begin()

    await folder.settle()

    assert folder.names() == ["b.pdf"]
    assert "1 older file in the folder is not sent" in intake.trouble.text


# What is no receipt


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the file is empty"),
        (b"hello %%EOF", "this is not a PDF"),
        (b"PK\x03\x04", "an office document"),
        (b"%PDF-" + bytes(RECEIPT_MAX_SIZE) + b"%%EOF", "too large (3.9 MiB"),
        (b"%PDF-" + bytes(6 * 1024 * 1024), "too large (6.0 MiB"),
    ],
)
async def test_what_is_no_receipt_is_put_away_and_told(folder, intake, data, why):
    folder.put("Jane Doe.pdf", data)

    await folder.settle()
    await folder.look(31)

    assert not intake.arrivals
    assert folder.names() == []
    assert (folder.path / "refused/Jane Doe.pdf").read_bytes() == data
    assert why in intake.trouble.text
    assert "refused" in intake.trouble.hint
    assert "Jane" not in intake.trouble.text + intake.trouble.hint
    count = len(intake.troubles)
    await folder.settle()
    assert len(intake.troubles) == count

    folder.put("a.pdf")
    await folder.settle()
    assert intake.trouble is None


async def test_what_the_intake_refuses_is_put_away_even_where_others_are_deleted(watched, intake):
    watched.path.mkdir()
    watched.begin(done="delete")
    await watched.look()
    watched.put("a.pdf")
    intake.fail(ReceiptError("it holds scripts"))

    await watched.settle()

    assert watched.names("refused") == [MARKER, "a.pdf"]
    assert intake.trouble.text == "a file in the folder was refused: it holds scripts"


async def test_what_is_refused_and_cannot_be_put_away_is_left_and_not_tried_again(folder, intake):
    (folder.path / "refused").write_bytes(b"in the way")
    folder.put("a.pdf", b"hello %%EOF")

    await folder.settle()
    await folder.settle()

    assert folder.names() == ["a.pdf", "refused"]
    assert "not a PDF" in intake.trouble.text
    assert sum(trouble is not None for trouble in intake.troubles) == 1


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_is_sent_as_it_is(folder, intake, make):
    folder.put("a.pdf", make())

    await folder.settle()

    assert intake.receipts == [make()]


# Trouble


async def test_a_computer_that_cannot_keep_a_receipt_is_tried_again(folder, intake):
    folder.put("a.pdf")
    folder.put("b.pdf")
    intake.fail(*[OutboxError("the disk is full")] * 2)

    await folder.settle()
    pause = await folder.look()

    assert pause == TROUBLE_SECONDS
    assert not intake.arrivals
    assert folder.names() == ["a.pdf", "b.pdf"]
    assert intake.trouble.text == "receipts from the folder cannot be kept: the disk is full"

    await folder.look()
    assert folder.sent == ["a.pdf", "b.pdf"]
    assert intake.trouble is None


async def test_a_cursor_that_cannot_be_read_is_tried_again(watched, intake):
    watched.path.mkdir()
    watched.put("a.pdf", age=DAY)
    watched.begin()

    async def fail():
        raise OutboxError("the disk is full")

    real, intake.cursor = intake.cursor, fail
    await watched.settle()
    assert "cannot be kept" in intake.trouble.text

    intake.cursor = real
    await watched.settle()
    assert "not sent" in intake.trouble.text
    assert not intake.arrivals


async def test_a_folder_that_is_not_there_is_told_and_waited_for(watched, intake):
    watched.begin()
    assert await watched.look() == TROUBLE_SECONDS
    assert "is not there" in intake.trouble.text
    assert "create it" in intake.trouble.hint

    watched.path.mkdir()
    watched.put("long-ago.pdf", age=DAY)
    await watched.settle()
    watched.put("a.pdf")
    await watched.settle()

    assert watched.sent == ["a.pdf"]
    assert intake.trouble is None


async def test_a_folder_that_goes_away_for_long_sends_nothing_old_when_it_is_back(folder, intake):
    away = folder.path.rename(folder.path.with_name("away"))
    await folder.look()
    assert "is not there" in intake.trouble.text
    await folder.look(600)

    away.rename(folder.path)
    folder.put("old.pdf", age=300)
    folder.put("new.pdf", age=10)
    await folder.settle()

    assert folder.sent == ["new.pdf"]


async def test_a_file_instead_of_the_folder_is_told(watched, intake):
    watched.path.write_bytes(b"")
    watched.begin()

    await watched.look()

    assert "is no folder" in intake.trouble.text


async def test_what_cannot_be_moved_aside_is_told_and_not_sent_again(folder, intake):
    (folder.path / "sent").write_bytes(b"in the way")
    folder.put("a.pdf")

    await folder.settle()
    await folder.settle()

    assert folder.sent == ["a.pdf"]
    assert "cannot be moved aside" in intake.trouble.text
    assert "not sent again" in intake.trouble.text

    (folder.path / "sent").unlink()
    await folder.settle()
    assert folder.names() == []
    assert folder.names("sent") == [MARKER, "a.pdf"]
    assert folder.sent == ["a.pdf"]
    assert intake.trouble is None


async def test_what_cannot_be_moved_while_the_folder_is_away_is_not_sent_again(folder):
    (folder.path / "sent").write_bytes(b"in the way")
    folder.put("a.pdf", age=500)
    await folder.settle()
    (folder.path / "sent").unlink()
    away = folder.path.rename(folder.path.with_name("away"))
    await folder.look(600)

    away.rename(folder.path)
    await folder.settle()

    assert folder.sent == ["a.pdf"]
    assert folder.names() == []


async def test_a_file_that_changes_while_it_is_sent_stays_and_is_sent_again(folder, intake):
    folder.put("a.pdf")
    real = intake.accept

    async def accept(arrival):
        if not intake.arrivals:
            folder.put("a.pdf", RECEIPT + b"\n%%EOF\n", age=-1)
        return await real(arrival)

    intake.accept = accept
    await folder.settle()
    await folder.settle()

    assert intake.receipts == [RECEIPT, RECEIPT + b"\n%%EOF\n"]
    assert folder.names("sent") == [MARKER, "a.pdf"]


async def test_a_file_that_may_not_be_read_is_told(folder, intake, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("e2ee_ticket.sources.folder.read_file", refuse)
    folder.put("a.pdf")

    await folder.settle()
    assert intake.trouble is None  # on Windows somebody may be writing it
    await folder.look(31)

    assert "may not be read" in intake.trouble.text
    assert folder.names() == ["a.pdf"]


async def test_a_clock_that_is_set_back_delays_and_loses_nothing(folder, intake):
    folder.put("a.pdf")
    await folder.look()
    folder.clock.jump(-5000)

    await folder.look()
    await folder.look()

    assert len(intake.arrivals) == 1


# The sub-folder for what was sent


async def test_what_was_sent_is_deleted_after_a_day(folder):
    folder.put("a.pdf")
    await folder.settle()

    await folder.look(DAY - 60)
    assert folder.names("sent") == [MARKER, "a.pdf"]

    await folder.look(3700)
    assert folder.names("sent") == [MARKER]


async def test_a_sub_folder_of_somebody_elses_is_never_swept(folder):
    (folder.path / "sent").mkdir()
    old = folder.put("sent/wedding.pdf", age=99 * DAY)
    folder.put("a.pdf")

    await folder.settle()
    await folder.look(DAY * 3)

    assert old.exists()
    assert folder.names("sent") == ["a.pdf", "wedding.pdf"]


async def test_what_is_refused_is_never_swept(folder):
    folder.put("a.pdf", b"hello %%EOF")
    await folder.settle()

    await folder.look(DAY * 99)

    assert folder.names("refused") == [MARKER, "a.pdf"]


# Looking


async def test_it_looks_more_often_while_something_happens(folder):
    assert await folder.look() == IDLE_SECONDS
    folder.put("a.pdf")
    assert await folder.look() == BUSY_SECONDS
    assert await folder.look(50) == BUSY_SECONDS
    assert await folder.look(61) == IDLE_SECONDS


async def test_a_folder_that_is_slow_to_look_at_is_looked_at_less_often(folder, monkeypatch):
    moments = iter(range(0, 1000, 10))
    monkeypatch.setattr("e2ee_ticket.sources.folder.time.thread_time", lambda: next(moments))

    assert await folder.source.look(folder.intake) == PAUSE_MAX_SECONDS


async def test_a_file_that_is_waited_for_long_is_read_once(folder, monkeypatch):
    folder.put("a.pdf", RECEIPT[:-20])
    await folder.settle()
    (folder.path / "a.pdf").chmod(0)
    reads = []
    monkeypatch.setattr("e2ee_ticket.sources.folder.read_file", lambda *_: reads.append(1))

    for _ in range(20):
        await folder.look()

    assert not reads


async def test_it_runs_by_itself_until_cancelled(tmp_path, intake):
    source = Folder("till", Shop(), path=str(tmp_path), settle_seconds=0)
    running = asyncio.create_task(source.run(intake))
    async with asyncio.timeout(20):
        while not intake.troubles:  # noqa: ASYNC110 - a task has no event
            await asyncio.sleep(0)
    (tmp_path / "a.pdf").write_bytes(RECEIPT)

    await intake.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert intake.receipts == [RECEIPT]


ANY = re.compile(r".*")


def test_a_file_that_is_not_as_it_was_seen_is_neither_read_nor_moved_nor_deleted(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(RECEIPT)
    (seen,) = list_files(tmp_path, ANY)
    path.write_bytes(RECEIPT + b"\n")

    assert read_file(tmp_path, seen) is None
    assert not delete_file(tmp_path, seen)
    assert not move_file(tmp_path, seen, "sent", 0.0)

    path.unlink()
    assert read_file(tmp_path, seen) is None
    assert not delete_file(tmp_path, seen)
    assert not move_file(tmp_path, seen, "sent", 0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_grows_while_it_is_read_is_not_taken(tmp_path, monkeypatch):
    path = tmp_path / "a.pdf"
    path.write_bytes(RECEIPT)
    (seen,) = list_files(tmp_path, ANY)
    real = os.fstat
    looks = []

    def fstat(descriptor):
        looks.append(1)
        if len(looks) == 2:
            path.write_bytes(RECEIPT + b"\n")
        return real(descriptor)

    monkeypatch.setattr("e2ee_ticket.sources.folder_files.os.fstat", fstat)

    assert read_file(tmp_path, seen) is None


async def test_a_file_that_vanishes_before_it_is_read_is_forgotten(folder, intake, monkeypatch):
    monkeypatch.setattr("e2ee_ticket.sources.folder.read_file", lambda *_: None)
    folder.put("a.pdf")

    await folder.settle()

    assert not intake.arrivals
    assert intake.trouble is None


async def test_a_folder_that_may_not_be_read_is_told(folder, intake, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("e2ee_ticket.sources.folder.list_files", refuse)

    await folder.look()

    assert intake.trouble.text == f"{folder.path} cannot be read (permission denied)"


async def test_the_last_file_that_may_not_be_read_after_a_crash_is_left(folder, monkeypatch):
    folder.put("a.pdf", age=10 * DAY)
    await folder.settle()
    stamp = int(folder.intake.kept_cursor.split(":")[0])
    os.utime(folder.put("a.pdf"), ns=(stamp, stamp))

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("e2ee_ticket.sources.folder.read_file", refuse)
    folder.begin()
    await folder.settle()

    assert folder.names() == ["a.pdf"]
    assert "not sent" in folder.intake.trouble.text


# Settings and checks


@pytest.mark.parametrize(
    "settings",
    [
        {"path": ""},
        {"path": "receipts"},
        {"path": 1},
        {"path": "~nobody-of-this-name/x"},
        {"done": "keep"},
        {"aside": "a/b"},
        {"aside": ".."},
        {"aside": ""},
        {"aside": "refused"},
        {"refused": "\\"},
        {"pattern": "*/*.pdf"},
        {"aside_days": -1},
        {"aside_days": True},
        {"settle_seconds": "1"},
        {"incomplete_seconds": 0},
        {"late_seconds": float("nan")},
        {"existing": 1},
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path, settings):
    with pytest.raises(ConfigError, match=f"source till: .*{next(iter(settings))}"):
        make_source("folder", "till", Shop(), {"path": str(tmp_path)} | settings)


async def test_a_check_leaves_no_trace_but_the_sub_folder(folder):
    findings = await folder.source.check()

    assert [(f.ok, f.text) for f in findings] == [(True, f"receipts are taken from {folder.path}")]
    assert folder.names() == []
    assert folder.names("sent") == [MARKER]


async def test_a_check_counts_what_lies_there(folder):
    folder.put("a.pdf")

    assert "1 PDF lie there" in (await folder.source.check())[1].text


async def test_a_check_names_a_sub_folder_that_is_not_ours(folder):
    (folder.path / "sent").mkdir()

    assert "was there before" in (await folder.source.check())[1].text


async def test_a_check_where_what_is_sent_is_deleted_makes_no_sub_folder(watched):
    watched.path.mkdir()
    watched.begin(done="delete")

    assert [finding.ok for finding in await watched.source.check()] == [True]
    assert list(watched.path.iterdir()) == []


@posix_only
async def test_a_check_names_a_folder_that_everybody_may_write(folder):
    folder.path.chmod(0o777)

    finding = (await folder.source.check())[1]

    assert "every user" in finding.text
    assert finding.hint == f"unless they shall: chmod o-w {folder.path}"


async def test_a_check_says_what_is_wrong(watched):
    watched.begin()
    missing = (await watched.source.check())[0]
    watched.path.mkdir()
    (watched.path / "sent").write_bytes(b"")
    unmoved = (await watched.source.check())[0]

    assert not missing.ok
    assert "is not there" in missing.text
    assert not unmoved.ok
    assert "cannot be moved" in unmoved.text


def test_its_folder_may_be_in_the_users_own(monkeypatch):
    monkeypatch.setenv("HOME", str(Path.cwd()))
    monkeypatch.setenv("USERPROFILE", str(Path.cwd()))

    assert Folder("till", Shop(), path="~/receipts")._path == Path.cwd() / "receipts"
