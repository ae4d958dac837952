"""What cannot be a receipt, without opening it; importing this costs nothing.

A receipt is delivered byte for byte whatever is in it; only what cannot be sealed or is no PDF is
refused.
"""

import re
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.protocol.envelope import MAX_SIZE, OVERHEAD_SIZE
from e2ee_ticket.protocol.ticket import HEADER_MAX_SIZE, PREFIX_SIZE

PREVIEW_ROOM_SIZE: Final = 48 * 1024
RECEIPT_MAX_SIZE: Final = (
    MAX_SIZE - OVERHEAD_SIZE - PREFIX_SIZE - HEADER_MAX_SIZE - PREVIEW_ROOM_SIZE
)
MARK_WITHIN_SIZE: Final = 1024
BLANKS_MAX_SIZE: Final = 64 * 1024

_MARK: Final = b"%PDF-"
_BLANKS: Final = b"\0\t\n\f\r \xef\xbb\xbf"  # and the sign that a text file begins with
_END: Final = b"%%EOF"
# What only stands inside a PDF: behind its last end it is the beginning of more.
_GOES_ON: Final = re.compile(
    rb"[0-9]\s{1,3}[0-9]{1,5}\s{1,3}obj\b|\bendstream\b|\bstartxref\b|\btrailer\s{0,3}<<"
)

_KINDS = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"PK\x03\x04": "a ZIP file or an office document",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"%!PS": "PostScript",
    b"{\\rtf": "a text document",
    b"<": "a web page or XML",
    b"\x1b@": "the bytes of a receipt printer",
}


def check_receipt(receipt: bytes) -> None:
    """Refuse what cannot be delivered as a receipt, whatever is inside.

    Raises:
        ReceiptError: empty, no PDF, or too large to be sealed with its header and preview.
    """
    if not receipt:
        raise ReceiptError("the file is empty: was it still being written?")
    if not begins(receipt):
        kind = _kind(receipt)
        instead = f", but {kind}" if kind else ""
        raise ReceiptError(f"this is not a PDF{instead}: save or print it as a PDF first")
    check_size(len(receipt))


def check_size(size: int) -> None:
    """Refuse what is too large before it is read.

    Raises:
        ReceiptError: too large to be sealed with its header and preview.
    """
    if size > RECEIPT_MAX_SIZE:
        raise ReceiptError(
            f"the receipt is too large ({size / (1024 * 1024):.1f} MiB, at most 3.9):"
            " smaller pictures in it would help"
        )


def begins(receipt: bytes) -> bool:
    """Tell whether a file begins as a PDF does, be it a little late."""
    return _MARK in receipt[:MARK_WITHIN_SIZE] or begins_late(receipt)


def _kind(data: bytes) -> str | None:
    """Say what else begins as this does."""
    begin = data[:BLANKS_MAX_SIZE].lstrip(_BLANKS)
    return next((kind for start, kind in _KINDS.items() if begin.startswith(start)), None)


def begins_late(receipt: bytes) -> bool:
    """Tell whether more blanks stand before a PDF than most readers skip (1,024 bytes)."""
    if _MARK in receipt[:MARK_WITHIN_SIZE]:
        return False
    return receipt[:BLANKS_MAX_SIZE].lstrip(_BLANKS).startswith(_MARK)


def without_blanks(receipt: bytes) -> bytes:
    """Return a receipt as it was before something wrote blanks in front of it, to look into it."""
    return receipt.lstrip(_BLANKS) if begins_late(receipt) else receipt


def is_none(data: bytes) -> bool:
    """Tell whether a file can be no PDF any more, whatever is still being written behind it."""
    if begins(data):
        return False
    return _kind(data) is not None or len(data.lstrip(_BLANKS)) >= MARK_WITHIN_SIZE


def is_truncated(receipt: bytes) -> bool:
    """Tell whether the end of the PDF seems to be missing; most readers show it all the same.

    What other programs wrote behind the end, such as zeros or a warning, is not missing.
    """
    end = receipt.rfind(_END)
    return end < 0 or _GOES_ON.search(receipt, end + len(_END)) is not None
