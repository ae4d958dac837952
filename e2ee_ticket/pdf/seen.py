"""What the phone shows of a receipt that was given as a PDF: its words, and a picture of it.

A receipt without either is still a receipt: nothing here raises for what is in a PDF.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.pdf import reading, sandbox
from e2ee_ticket.pdf.check import without_blanks
from e2ee_ticket.pdf.preview import preview
from e2ee_ticket.protocol import lines
from e2ee_ticket.protocol.envelope import OVERHEAD_SIZE, fit
from e2ee_ticket.protocol.lines import Lines
from e2ee_ticket.protocol.ticket import PREFIX_SIZE

RESULT_MAX_SIZE: Final = 512 * 1024
UNREAD: Final = "the phone cannot read its text aloud: it shows a picture of it"
"""Said to the cashier of a receipt whose text could not be taken from it in order."""

_HEADER_SIZE: Final = 900  # of most tickets; the few that need more do without a picture
_ROOM_STEP: Final = 2048
_ROOM_MIN: Final = 4096
_WIDTH_MIN: Final = 320
_WHY: Final = {
    reading.NONE: "it has no text",
    reading.UNMAPPED: "its fonts do not say which letters they draw",
    reading.TURNED: "some of its text is turned",
    reading.UNSEEN: "its text is not what is seen",
    reading.PICTURED: "it shows large pictures",
    reading.OUTLINED: "some of its letters are drawings",
    reading.FIELDS: "it has fields or notes",
    reading.OVERLAID: "some of its text lies on other text",
    reading.COLUMNS: "it has running text in columns",
    reading.LONG: "it is too long",
}

Drawer = Callable[[], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was made of a receipt for the phone; `unread` says why there are no lines."""

    picture: bytes | None = field(default=None, repr=False)
    lines: Lines | None = field(default=None, repr=False)
    unread: str | None = None


async def read_words(
    receipt: bytes,
    *,
    timeout: float = sandbox.TIMEOUT_SECONDS,  # noqa: ASYNC109 - it kills a process
) -> tuple[Lines | None, str | None]:
    """Read a receipt's text; where that is not surely all of it, in order, say why (T42)."""
    try:
        result = await sandbox.run(
            without_blanks(receipt), "words", max_size=RESULT_MAX_SIZE, timeout=timeout
        )
        found = json.loads(result)
    except sandbox.ChildError as error:
        return None, str(error)
    except ValueError:
        return None, "what came is no text"
    if isinstance(found, str):
        return None, _WHY.get(found, "what came is no text")
    if not _are_lines(found):
        return None, "what came is no text"
    fitted = lines.fitting(found)
    return fitted, None if fitted is not None else _WHY[reading.LONG]


def _are_lines(found: object) -> bool:
    """Whether a child, which a PDF may have taken over, told of lines of cells."""
    return isinstance(found, list) and all(
        isinstance(line, list) and line and all(isinstance(cell, str) for cell in line)
        for line in found
    )


async def see(receipt: bytes, draw: Drawer | None = None) -> Seen:
    """Read a receipt and draw it; beside words the picture fits what is free (T44).

    `draw` draws it, where that is not all that is asked of it.
    """
    drawing = asyncio.ensure_future(draw() if draw is not None else preview(receipt))
    try:
        found, why = await read_words(receipt)
        picture = await drawing
    finally:
        drawing.cancel()
    if found is None or picture is None:
        return Seen(picture, found, why)
    room = room_beside(receipt, found)
    if len(picture) > room:
        picture = await preview(receipt, max_size=room) if room >= _ROOM_MIN else None
        if picture is not None and int.from_bytes(picture[16:20]) < _WIDTH_MIN:
            picture = None
    return Seen(picture, found, why)


def room_beside(receipt: bytes, words: Lines) -> int:
    """Tell how large a picture may be that costs no larger envelope, in steps of 2 KiB."""
    size = PREFIX_SIZE + _HEADER_SIZE + len(receipt) + len(lines.to_bytes(words))
    free = fit(size) - OVERHEAD_SIZE - size
    return free - free % _ROOM_STEP
