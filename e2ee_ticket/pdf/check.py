"""What cannot be a receipt, without opening it; importing this costs nothing.

A receipt is delivered byte for byte whatever is in it; only what cannot be sealed or is no PDF is
refused.
"""

from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.protocol.envelope import MAX_SIZE, OVERHEAD_SIZE
from e2ee_ticket.protocol.ticket import HEADER_MAX_SIZE, PREFIX_SIZE

PREVIEW_ROOM_SIZE: Final = 48 * 1024
RECEIPT_MAX_SIZE: Final = (
    MAX_SIZE - OVERHEAD_SIZE - PREFIX_SIZE - HEADER_MAX_SIZE - PREVIEW_ROOM_SIZE
)
MARK_WITHIN_SIZE: Final = 1024

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
    if b"%PDF-" not in receipt[:MARK_WITHIN_SIZE]:
        kind = next((kind for start, kind in _KINDS.items() if receipt.startswith(start)), None)
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


def is_truncated(receipt: bytes) -> bool:
    """Tell whether the end of the PDF seems to be missing; most readers show it all the same."""
    return b"%%EOF" not in receipt[-MARK_WITHIN_SIZE:]
