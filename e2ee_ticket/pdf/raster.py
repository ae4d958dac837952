"""A receipt as a receipt printer prints it: any PDF, in dots and not in letters.

The PDF is opened in a process of its own (child.py), which says nothing but which dots are black:
whatever a hostile PDF makes of that process, the printer gets a picture, and no command of it.
"""

from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import sandbox
from e2ee_ticket.pdf.check import without_blanks

DOTS: Final = 576
"""As many as most printers for 80 mm paper have in a row; 512 and 384 are met, too."""
LENGTH_MAX: Final = 4000
"""Millimetres of paper: a longer receipt is a mistake."""
TIMEOUT_SECONDS: Final = 10.0

_FEWER_DOTS, _FEWER_WIDTH = 512, 72  # on 80 mm paper, 180 dpi
_DOTS_A_MILLIMETRE: Final = 8  # all others, 203 dpi
_BAND_ROWS: Final = 255  # printers keep a band whole in their memory

_INIT: Final = b"\x1b@"
_FEED_AND_CUT: Final = b"\x1bd\x05\x1dV\x01"  # the knife stands a little behind the dots


async def to_escpos(
    receipt: bytes,
    *,
    dots: int = DOTS,
    timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109 - it kills a process
) -> bytes:
    """Turn a receipt into what a receipt printer with so many dots in a row prints, and cuts.

    A receipt of the paper's width comes out in its own size, a larger page as wide as the paper.

    Raises:
        ReceiptError: it is encrypted, blank, longer than 4 m, or cannot be read or drawn whole.
        ValueError: no number of dots that a printer has.
    """
    if dots % 8 or not 0 < dots <= 1024:
        raise ValueError(f"{dots} is no number of dots")
    width = _FEWER_WIDTH if dots == _FEWER_DOTS else dots // _DOTS_A_MILLIMETRE
    stride, max_rows = dots // 8, LENGTH_MAX * dots // width
    try:
        black = await sandbox.run(
            without_blanks(receipt),
            *("raster", str(dots), str(width), str(max_rows)),
            max_size=stride * max_rows,
            timeout=timeout,
        )
        if len(black) % stride:
            raise sandbox.ChildError("what came is not a picture")
        if not black:
            raise sandbox.ChildError("it is blank")
    except sandbox.ChildError as error:
        raise ReceiptError(f"the receipt printer cannot print this receipt: {error}") from error
    bands = (
        _band(black[start : start + _BAND_ROWS * stride], stride)
        for start in range(0, len(black), _BAND_ROWS * stride)
    )
    return b"".join((_INIT, *bands, _FEED_AND_CUT))


def _band(black: bytes, stride: int) -> bytes:
    """Return GS v 0: print so many bytes a row, and so many rows."""
    rows = len(black) // stride
    return b"\x1dv0\0" + stride.to_bytes(2, "little") + rows.to_bytes(2, "little") + black
