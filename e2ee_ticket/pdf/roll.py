"""What a receipt printer would have printed, as data; draw_roll.py typesets it.

A `Roll` comes from a printer's bytes or from a till's HTML. Nothing of it is counted, added up or
reworded.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

Align = Literal["left", "center", "right"]

COLUMN_DOTS: Final = 12
"""How many dots a normal character is wide."""


SMALL_DOTS: Final = 9
"""How many dots a small one is wide."""


def columns_of(text: str) -> int:
    """Count the columns of a text: two for letters of East Asia, none for marks upon letters."""
    if text.isascii():
        return len(text)
    return sum(_columns(letter) for letter in text)


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text in one style; `wide` and `high` are multiples of the normal size, 1 to 8.

    `at` is where it begins, in dots from the beginning of its line; None goes on where the run
    before it ends. `spacing` is how many dots are left free after each column. `visual` says that
    the letters are in the order in which they stand on paper, from left to right, whatever script.
    """

    text: str
    bold: bool = False
    underline: bool = False
    inverse: bool = False
    small: bool = False
    wide: int = 1
    high: int = 1
    at: int | None = None
    spacing: int = 0
    visual: bool = False

    @property
    def column_dots(self) -> int:
        """How many dots a column of it takes."""
        return ((SMALL_DOTS if self.small else COLUMN_DOTS) + self.spacing) * self.wide

    @property
    def dots(self) -> int:
        """How many dots it takes."""
        return columns_of(self.text) * self.column_dots


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a printer: every character as wide as the others, so that columns stand.

    `pictures` stand in it, too, each so many dots from the beginning of the line.
    """

    runs: tuple[Run, ...]
    align: Align = "left"
    pictures: "tuple[tuple[int, Picture], ...]" = ()

    @property
    def placed(self) -> tuple[tuple[int, Run], ...]:
        """Its runs, each with where it begins, in dots."""
        found, here = [], 0
        for run in self.runs:
            here = run.at if run.at is not None else here
            found.append((here, run))
            here += run.dots
        return tuple(found)

    @property
    def text(self) -> str:
        """What is read on it, from left to right, with blanks where nothing stands."""
        if all(run.at is None for run in self.runs):
            return "".join(run.text for run in self.runs)
        words = [
            (at + columns_of(run.text[: word.start()]) * run.column_dots, word[0], run.column_dots)
            for at, run in self.placed
            for word in re.finditer(r"\S+", run.text)
        ]
        line, here = "", 0
        for at, word, column in sorted(words):
            line += " " * round(max(0, at - here) / COLUMN_DOTS) + word
            here = max(here, at + columns_of(word) * column)
        return line


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

    `kind` is one that codes.py draws. `caption` says that what it says stands below it, too, and
    `heading` above it.
    """

    kind: str
    text: str
    align: Align = "center"
    caption: bool = False
    heading: bool = False


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
