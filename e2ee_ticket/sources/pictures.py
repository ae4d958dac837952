"""A picture inside a page, as a printer would print it: black dots on white paper.

Whoever writes the page chooses the picture's bytes, so they are decoded where PDFs are opened: in
a process of its own, behind walls (pdf/sandbox.py).
"""

import base64
import binascii
import contextlib
import re
from typing import Final

from e2ee_ticket.pdf import sandbox
from e2ee_ticket.pdf.roll import Picture

DATA_MAX_SIZE: Final = 1 << 20
PAPER_DOTS: Final = 576
_DOTS_PER_PIXEL: Final = 2
_HEIGHT_MAX: Final = 1_000
_HEAD_SIZE: Final = 4  # of what the child writes: width and height
_RESULT_MAX_SIZE: Final = _HEAD_SIZE + PAPER_DOTS // 8 * _HEIGHT_MAX
_HEAD = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)


def read_data_picture(address: str, width: str = "") -> Picture | None:
    """Read a PNG, JPEG, GIF or WebP that stands in its own address; None where there is none.

    `width` is how wide the page wants it, in pixels. This waits for another process, so it is
    called from a thread that may wait.
    """
    head = _HEAD.match(address)
    if head is None or len(address) > DATA_MAX_SIZE:
        return None
    with contextlib.suppress(binascii.Error, ValueError):
        return decode_picture(base64.b64decode(address[head.end() :]), width)
    return None


def decode_picture(data: bytes, width: str = "") -> Picture | None:
    """Turn the bytes of a picture into dots; None where they are none.

    `width` is how wide the page wants it, in pixels. This waits for another process.
    """
    wanted = int(width) if width.isascii() and width.isdigit() and len(width) < 5 else None
    across = 0 if wanted is None else min(max(wanted, 1) * _DOTS_PER_PIXEL, PAPER_DOTS)
    try:
        result = sandbox.run_here(
            data, "dots", str(across), str(_HEIGHT_MAX), max_size=_RESULT_MAX_SIZE
        )
    except sandbox.ChildError:
        return None
    wide, high = (int.from_bytes(result[at : at + 2], "big") for at in (0, 2))
    dots = result[_HEAD_SIZE:]
    if not 0 < wide <= PAPER_DOTS or not high > 0 or len(dots) != (wide + 7) // 8 * high:
        return None  # a child that a picture has taken over may write anything
    return Picture(wide, high, dots)
