"""What a receipt printer would have printed, as data; draw_roll.py typesets it.

A `Roll` comes from a printer's bytes or from a till's HTML. Nothing of it is counted, added up or
reworded.
"""

from dataclasses import dataclass
from typing import Final, Literal

Align = Literal["left", "center", "right"]

COLUMN_DOTS: Final = 12
"""How many dots a normal character is wide."""


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text in one style; `wide` and `high` are multiples of the normal size, 1 to 8."""

    text: str
    bold: bool = False
    underline: bool = False
    inverse: bool = False
    small: bool = False
    wide: int = 1
    high: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a printer: every character as wide as the others, so that columns stand."""

    runs: tuple[Run, ...]
    align: Align = "left"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text, set in the proportional font and wrapped; `size` 1 is normal."""

    text: str
    align: Align = "left"
    bold: bool = False
    size: float = 1.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    align: Align = "left"
    bold: bool = False
    span: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """Cells in columns, the first of which takes what the others leave.

    The first `head` rows are headings.
    """

    rows: tuple[tuple[Cell, ...], ...]
    head: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A black and white raster, as wide as its dots; a column of text has `COLUMN_DOTS`.

    `data` has a bit a dot, most significant first, set for black, in rows of whole bytes; `wide`
    and `high` say how often each dot is repeated.
    """

    width: int
    height: int
    data: bytes
    align: Align = "left"
    wide: int = 1
    high: int = 1


@dataclass(frozen=True, slots=True)
class Code:
    """A barcode or a QR code, drawn anew from what it says.

    `kind` is `qr`, `code128`, `code39`, `ean13`, `ean8`, `upca`, `itf` or `codabar`.
    """

    kind: str
    text: str
    align: Align = "center"
    caption: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""

    double: bool = False


@dataclass(frozen=True, slots=True)
class Space:
    """Paper fed; `lines` of normal height."""

    lines: float = 1.0


Item = Row | Paragraph | Table | Picture | Code | Rule | Space


@dataclass(frozen=True, slots=True)
class Roll:
    """A whole receipt; `columns` is how many normal characters a printer's row has.

    `remarks` are what was not understood of it, short sentences.
    """

    items: tuple[Item, ...]
    columns: int = 48
    lang: str = "en"
    title: str = ""
    remarks: tuple[str, ...] = ()
