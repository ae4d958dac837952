"""A picture of a receipt, for the phone to show before anything is saved (spec/ticket.md, T12).

A receipt without a picture is still a receipt: nothing here raises for what is in a PDF.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Final

from e2ee_ticket.pdf import child, sandbox
from e2ee_ticket.pdf.check import PREVIEW_ROOM_SIZE, without_blanks

MAX_SIZE: Final = PREVIEW_ROOM_SIZE
MAX_WIDTH: Final = 900
HEIGHT_MAX: Final = child.HEIGHT_MAX

_HEAD: Final = struct.Struct(">8sI4sIIBBBBB")


def is_picture(data: bytes, *, max_size: int = MAX_SIZE, max_width: int = MAX_WIDTH) -> bool:
    """Tell whether this begins as the pictures that are drawn here do, and is as small.

    A child that a PDF has taken over may write anything, and a phone unpacks what it says.
    """
    if not _HEAD.size <= len(data) <= max_size:
        return False
    sign, size, name, width, height, depth, colours, *ways = _HEAD.unpack_from(data)
    # A side of a page is rounded up to whole dots.
    return (
        (sign, size, name) == (b"\x89PNG\r\n\x1a\n", 13, b"IHDR")
        and 0 < width <= max_width + 1
        and 0 < height <= HEIGHT_MAX + 1
        and (width - 1) * (height - 1) <= child.PIXELS_MAX
        and (depth, colours, ways) == (child.DEPTH, child.PALETTE, [0, 0, 0])
    )


async def preview(
    receipt: bytes,
    *,
    timeout: float = sandbox.TIMEOUT_SECONDS,  # noqa: ASYNC109 - it kills a process
    max_size: int = MAX_SIZE,
    max_width: int = MAX_WIDTH,
    report: Callable[[str], None] | None = None,
) -> bytes | None:
    """Draw the first page as a PNG; None, after telling `report` why, where that fails."""
    task = ("picture", str(max_size), str(max_width))
    try:
        picture = await sandbox.run(
            without_blanks(receipt), *task, max_size=max_size, timeout=timeout
        )
        if not is_picture(picture, max_size=max_size, max_width=max_width):
            raise sandbox.ChildError("what came is not a picture")
    except sandbox.ChildError as error:
        if report is not None:
            report(f"no picture of the receipt: {error}")
        return None
    return picture


def make_preview(
    receipt: bytes,
    *,
    timeout: float = sandbox.TIMEOUT_SECONDS,
    max_size: int = MAX_SIZE,
    max_width: int = MAX_WIDTH,
    report: Callable[[str], None] | None = None,
) -> bytes | None:
    """Do `preview` where no event loop runs."""
    return asyncio.run(
        preview(receipt, timeout=timeout, max_size=max_size, max_width=max_width, report=report)
    )
