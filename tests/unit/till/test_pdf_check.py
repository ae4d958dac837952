import subprocess
import sys
from pathlib import Path

import pytest

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.check import (
    RECEIPT_MAX_SIZE,
    begins,
    begins_late,
    check_receipt,
    is_none,
    is_truncated,
    without_blanks,
)
from e2ee_ticket.protocol.envelope import MAX_SIZE, seal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket

DATA = Path(__file__).parents[2] / "data"
INVOICE = (DATA / "dolibarr_takepos_invoice.pdf").read_bytes()


@pytest.mark.parametrize("name", ["dolibarr_takepos_invoice.pdf", "dolibarr_sponge_invoice.pdf"])
def test_a_real_invoice_may_be_sent(name: str):
    check_receipt((DATA / name).read_bytes())


@pytest.mark.parametrize(
    ("receipt", "message"),
    [
        (b"", "empty"),
        (b"hello", "not a PDF: "),
        (b"\xff\xd8\xff\xe0 JFIF", "a JPEG picture"),
        (b"\x89PNG\r\n", "a PNG picture"),
        (b"PK\x03\x04", "an office document"),
        (b"<!doctype html>", "a web page"),
        (b"\x1b@receipt", "a receipt printer"),
        (b" " * 65536 + b"%PDF-1.7", "not a PDF"),
        (b"x" * 1024 + b"%PDF-1.7", "not a PDF"),
        (b"\xef\xbb\xbf\r\n <html>", "a web page"),
        (b"%PDF-1.7\n" + bytes(RECEIPT_MAX_SIZE - 8), r"too large \(3\.9 MiB, at most 3\.9\)"),
        (b"%PDF-1.7\n" + bytes(9 * 1024 * 1024), r"too large \(9\.0 MiB"),
    ],
)
def test_what_cannot_be_a_ticket_is_refused_in_one_line(receipt: bytes, message: str):
    with pytest.raises(ReceiptError, match=message) as caught:
        check_receipt(receipt)

    assert "\n" not in str(caught.value)


def test_a_pdf_may_begin_a_little_late():
    check_receipt(b"\r\n" * 100 + INVOICE)


@pytest.mark.rule("T15")
def test_the_largest_receipt_fits_with_the_largest_header_and_preview():
    receipt = b"%PDF-1.7\n".ljust(RECEIPT_MAX_SIZE, b" ")
    check_receipt(receipt)
    ticket = Ticket(
        receipt=receipt,
        name="\N{GRINNING FACE}" * 200,
        title="\N{GRINNING FACE}" * 200,
        total="\N{GRINNING FACE}" * 64,
        preview=bytes(48 * 1024),
    )

    assert len(seal(ticket, Secret(bytes(32)))) == MAX_SIZE


@pytest.mark.parametrize("blanks", [b"\n" * 1025, b"\xef\xbb\xbf" + b" " * 5000, bytes(60_000)])
def test_a_pdf_behind_many_blanks_is_taken_and_looked_into_without_them(blanks: bytes):
    check_receipt(blanks + INVOICE)

    assert begins(blanks + INVOICE)
    assert begins_late(blanks + INVOICE)
    assert without_blanks(blanks + INVOICE) == INVOICE
    assert not begins_late(INVOICE)
    assert without_blanks(b"\n" + INVOICE) == b"\n" + INVOICE


@pytest.mark.parametrize(
    ("data", "none"),
    [
        (b"<!doctype html><p>Not found", True),
        (b"\r\n\r\n<br />\n<b>Fatal error</b>", True),
        (b"PK\x03\x04", True),
        (b"hello" * 300, True),
        (b"", False),
        (b"%P", False),
        (b"hello", False),  # something may stand before the beginning
        (bytes(10_000), False),  # a place that is kept for what is still to be written
        (b"\n" * 10_000, False),
        (INVOICE, False),
        (b"<br />\n<b>Warning</b>\n" + INVOICE, False),
    ],
)
def test_what_can_be_no_pdf_any_more_is_known_before_its_end(data: bytes, *, none: bool):
    assert is_none(data) == none


def test_a_missing_end_is_noticed():
    assert not is_truncated(INVOICE)
    assert not is_truncated(INVOICE + b"\n" * 500)
    for left in (-100, len(INVOICE) // 2, 100):
        assert is_truncated(INVOICE[:left])


@pytest.mark.parametrize(
    "behind",
    [
        bytes(79_000),
        b"<br />\n<b>Warning</b>: Undefined variable $obj in <b>/var/www/x.php</b> line 42" * 20,
        b"%PDF" * 500,
        b" 1 2 3" * 9_000,
        b"\r\n" * 5_000,
    ],
)
def test_what_something_wrote_behind_the_end_does_not_make_it_missing(behind: bytes):
    assert not is_truncated(INVOICE + behind)


@pytest.mark.parametrize(
    "behind", [b"\n9 0 obj\n<<", b"\n12  0  obj<</A", b"trailer <</", b"\nendstream\nendobj"]
)
def test_behind_the_end_of_an_earlier_version_another_may_be_missing(behind: bytes):
    assert is_truncated(INVOICE + b"\n" + behind)
    assert not is_truncated(INVOICE + b"\n" + behind + b"\n%%EOF")


def test_importing_it_loads_nothing_that_a_till_would_wait_for():
    code = "import sys, e2ee_ticket.pdf.check; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert not {"asyncio", "pikepdf", "pypdfium2", "ssl"} & set(done.stdout.split())
