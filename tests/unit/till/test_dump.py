"""`inspect --dump` writes what a source got: when asked, for its user alone, masked on request."""

import sys
import time

import pytest
from near import NearTill

from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.outbox import FILE_NAME, Outbox

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
JOBS = [b"\x1b@Caf\x82 %d,50\n\x1dVA\x03" % number for number in range(5)]


@pytest.fixture
def till(tmp_path):
    till = NearTill(tmp_path / "till", "https://relay.example")
    till.file.write_text(
        f'state = "{(tmp_path / "state").as_posix()}"\n'
        '[[source]]\nkind = "printer"\nname = "ESC/POS"\n'
        f'[[source]]\nkind = "folder"\nname = "PDF"\npath = "{till.folder.as_posix()}"\n',
        encoding="utf-8",
    )
    (tmp_path / "state").mkdir(mode=0o700)
    with Outbox(tmp_path / "state" / FILE_NAME, time.time) as outbox:
        for job in JOBS:
            outbox.accept(Ticket(receipt=PDF), "Till 1", source="ESC/POS", paper=job)
        outbox.accept(Ticket(receipt=PDF), "Till 1", source="PDF")
    return till


def test_the_last_jobs_are_written_byte_for_byte(till):
    done = till.run_apart("inspect", "--dump", "ESC/POS", "--last", "2")

    files = [till.folder / line for line in done.stdout.splitlines()]
    assert [file.read_bytes() for file in files] == JOBS[-2:]
    assert [file.name for file in files] == ["ESC-POS-4.bin", "ESC-POS-5.bin"]
    if sys.platform != "win32":
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert "--mask" in done.stderr


def test_a_masked_job_tells_nothing(till):
    done = till.run("inspect", "--dump", "ESC/POS", "--last", "1", "--mask", "-o", str(till.folder))

    (file,) = done.stdout.splitlines()
    assert (till.folder / file).read_bytes() == b"\x1b@Xxx\xe9 0,00\n\x1dVA\x03"
    assert done.stderr == ""


def test_a_pdf_is_written_as_it_is_and_never_masked(till):
    done = till.run("inspect", "--dump", "PDF")
    assert (till.folder / "PDF-6.pdf").read_bytes() == PDF
    assert done.stdout.strip() == "PDF-6.pdf"

    masked = till.run("inspect", "--dump", "PDF", "--mask", check=False)
    assert masked.returncode != 0
    assert "cannot be masked" in masked.stderr


def test_nothing_is_overwritten_and_a_source_must_be_there(till):
    till.run("inspect", "--dump", "PDF")

    again = till.run("inspect", "--dump", "PDF", check=False)
    assert "is not overwritten" in again.stderr
    other = till.run("inspect", "--dump", "Other", check=False)
    assert "ESC/POS, PDF" in other.stderr
    both = till.run("inspect", "--dump", "PDF", "x.pdf", check=False)
    assert both.returncode == 2
