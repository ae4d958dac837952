import subprocess
import sys
from pathlib import Path

import pytest

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.check import RECEIPT_MAX_SIZE, check_receipt, is_truncated
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
        (bytes(1024) + b"%PDF-1.7", "not a PDF"),
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


def test_a_missing_end_is_noticed():
    assert not is_truncated(INVOICE)
    assert not is_truncated(INVOICE + b"\n" * 500)
    assert is_truncated(INVOICE[:-100])


def test_importing_it_loads_nothing_that_a_till_would_wait_for():
    code = "import sys, e2ee_ticket.pdf.check; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert not {"asyncio", "pikepdf", "pypdfium2", "ssl"} & set(done.stdout.split())
