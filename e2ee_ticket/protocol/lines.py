"""The receipt in words: lines of cells (spec/ticket.md, Text).

A line is a tuple of cells: one is running text, several are a row of a table, and `("",)` is a gap.
"""

import re
from collections.abc import Iterable
from typing import Final

from e2ee_ticket.errors import ReceiptError

TYPE: Final = "text/tab-separated-values"
MAX_SIZE: Final = 32 * 1024

Line = tuple[str, ...]
Lines = tuple[Line, ...]

GAP: Final[Line] = ("",)

_FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def to_bytes(lines: Lines) -> bytes:
    """Write a text (T40).

    Raises:
        ReceiptError: a character that no text may hold, no line at all, or more than 32 KiB.
    """
    if any(not line or any("\t" in cell or "\n" in cell for cell in line) for line in lines):
        raise ReceiptError("a cell of the receipt's text holds what ends a cell")
    text = "".join("\t".join(line) + "\n" for line in lines)
    if _FORBIDDEN.search(text):
        raise ReceiptError("the receipt's text holds a control character")
    data = text.encode("utf-8")
    if not 0 < len(data) <= MAX_SIZE:
        raise ReceiptError("the receipt's text is empty or longer than 32 KiB")
    return data


def from_bytes(data: bytes) -> Lines | None:
    """Read a text; None for what is to be ignored as a whole (T45)."""
    if not 0 < len(data) <= MAX_SIZE or not data.endswith(b"\n"):
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if _FORBIDDEN.search(text):
        return None
    return tuple(tuple(line.split("\t")) for line in text[:-1].split("\n"))


def fitting(lines: Iterable[Iterable[str]]) -> Lines | None:
    """Make a text of what anybody wrote: what no cell may hold becomes a blank or nothing.

    Cells lose the blanks at their ends, several gaps become one, and there is none at either end.
    None where no word is left, or more than a text may hold: a part of it would not be all.
    """
    kept: list[Line] = []
    for line in lines:
        cells = tuple(_clean(cell) for cell in line)
        if any(cells):
            kept.append(cells)
        elif kept and kept[-1] != GAP:
            kept.append(GAP)
    while kept and kept[-1] == GAP:
        kept.pop()
    found = tuple(kept)
    size = sum(len(cell.encode("utf-8")) + 1 for line in found for cell in line)
    return found if 0 < size <= MAX_SIZE else None


def _clean(cell: str) -> str:
    blanks = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+", _blank, cell)
    return _FORBIDDEN.sub("", blanks).strip()


def _blank(found: re.Match[str]) -> str:
    """One blank for several; one that may not be broken stays what it is."""
    return found[0] if found[0] in {"\u00a0", "\u202f", "\u2007", "\u2009"} else " "
