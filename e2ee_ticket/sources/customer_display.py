"""The customer display that tills reach through their receipt printer, two lines of 20 characters.

After `ESC = 2` what a till sends is for that display and not for the paper, until `ESC = 1`. Its
commands are Epson's (DM-D), and of the others that copied them those that show text.
"""

import re
from typing import Final

from e2ee_ticket.sources import code_pages

COLUMNS: Final = 20
LINES: Final = 2

_TEXT: Final = re.compile(rb"[\x20-\xff]+")
_ESC: Final = {b"@": 2, b"s": 2, b"l": 4, b"f": 4, b"W": 3}
_US: Final = {
    **dict.fromkeys((b"$", b"#", b"T", b"^"), 4),
    **dict.fromkeys((b"C", b"E", b"X", b"r", b".", b",", b";"), 3),
}
_UPPER, _LOWER = b"\x1bQA", b"\x1bQB"


class CustomerDisplay:
    """What is on the display."""

    def __init__(self) -> None:
        self._page = "cp437"
        self._cells = [[" "] * COLUMNS for _ in range(LINES)]
        self._line = self._column = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of a sale; none where there is no figure, as in a greeting."""
        lines = tuple(" ".join("".join(cells).split()) for cells in self._cells)
        shown = tuple(line for line in lines if line)
        return shown if any(sign.isdigit() for line in shown for sign in line) else ()

    def read(self, data: bytes | bytearray, at: int) -> tuple[int, bool]:
        """Read what is for it; tell where that ends, and whether what follows is for the paper.

        What is not whole yet is left for later.
        """
        while at < len(data):
            if text := _TEXT.match(data, at):
                self._write(text[0])
                at = text.end()
                continue
            command = bytes(data[at : at + 4])
            length = self._measure(data, at)
            if length is None or at + length > len(data):
                return at, False
            at += length
            if command[:2] == b"\x1b=":
                if command[2] & 1:
                    return at, True
            else:
                self._obey(command, bytes(data[at - length : at]))
        return at, False

    def _measure(self, data: bytes | bytearray, at: int) -> int | None:
        if data[at] not in b"\x1b\x1f\x10":
            return 1
        if at + 1 >= len(data):
            return None
        name = bytes(data[at + 1 : at + 2])
        if data[at] == 0x10:
            return 3
        if data[at] == 0x1F:
            return _US.get(name, 2)
        if name == b"Q":
            end = data.find(b"\r", at)
            return end + 1 - at if end >= 0 else (None if len(data) - at < 64 else 2)
        return _ESC.get(name, 3)

    def _obey(self, command: bytes, whole: bytes) -> None:
        if command[:1] == b"\f" or command[:2] == b"\x1b@":
            self._cells = [[" "] * COLUMNS for _ in range(LINES)]
            self._line = self._column = 0
        elif command[:1] == b"\v":
            self._line = self._column = 0
        elif command[:1] == b"\r":
            self._column = 0
        elif command[:1] == b"\n":
            self._line = (self._line + 1) % LINES
        elif command[:1] == b"\x08":
            self._column = max(0, self._column - 1)
        elif command[:1] == b"\x18":
            self._cells[self._line] = [" "] * COLUMNS
            self._column = 0
        elif command[:2] in (b"\x1f$", b"\x1bl") and len(command) == 4:
            self._column = min(max(command[2], 1), COLUMNS) - 1
            self._line = min(max(command[3], 1), LINES) - 1
        elif command[:2] == b"\x1bt":
            self._page = code_pages.page_of(command[2], code_pages.PRINTER) or self._page
        elif whole[:3] in (_UPPER, _LOWER):
            self._line, self._column = int(whole[:3] == _LOWER), 0
            self._cells[self._line] = [" "] * COLUMNS
            self._write(whole[3:-1][:COLUMNS])

    def _write(self, text: bytes) -> None:
        for sign in code_pages.decode(text, self._page)[0]:
            self._cells[self._line][self._column] = sign if sign.isprintable() else " "
            self._column += 1
            if self._column == COLUMNS:
                self._column = 0
                self._line = (self._line + 1) % LINES
