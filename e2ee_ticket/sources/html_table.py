"""A table of a page, as a table of a roll: only what is written in it, column by column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.pdf.roll import Align, Cell, Paragraph, Table
from e2ee_ticket.sources.html_style import Style

COLUMNS_MAX: Final = 8


@dataclass(slots=True)
class Box:
    """One cell of a page; `is_label` is a `th`. Each line has a style of its own."""

    style: Style
    is_label: bool = False
    span: int = 1
    lines: list[tuple[str, Style]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The first line; empty where nothing is written."""
        return self.lines[0][0] if self.lines else ""

    @property
    def bold(self) -> bool:
        """Whether all of it is bold by what the page says, and not only as a label."""
        return bool(self.lines) and all(style.bold for _, style in self.lines)


Line = Sequence[Box]


def count_headings(rows: Sequence[Line]) -> int:
    """Tell how many of the first rows hold labels only."""
    for index, row in enumerate(rows):
        if not all(box.is_label for box in row if box.text):
            return index
    return len(rows)


def lay_table(
    rows: Sequence[Line], *, head: int = 0, strong: int | None = None
) -> list[Table | Paragraph]:
    """Set rows, each of which holds something; `strong` is the one to be seen first.

    Columns in which nothing is written are left out, and a table of one column is running text.
    """
    columns = sorted({column for row in rows for column, box in _places(row) if box.text})
    if len(columns) == 1:
        return [
            Paragraph(line, style.align, style.bold or box.is_label, style.size)
            for row in rows
            for box in row
            for line, style in box.lines
        ]
    sides = _sides(rows[head:], columns)
    laid: list[tuple[Cell, ...]] = []
    headings = 0
    for index, row in enumerate(rows):
        laid += _lay_row(row, columns, sides if index < head else {}, strong=index == strong)
        headings = len(laid) if index < head else headings
    return [Table(tuple(laid), head=headings)]


def _places(row: Line) -> Iterator[tuple[int, Box]]:
    """Go through a row's cells with the column in which each begins."""
    column = 0
    for box in row:
        if column >= COLUMNS_MAX:
            return
        yield column, box
        column += box.span


def _sides(rows: Sequence[Line], columns: Sequence[int]) -> dict[int, Align]:
    """Tell where the cells of each column stand, for its heading to stand there too."""
    sides: dict[int, Align] = {}
    for row in rows:
        for column, box in _places(row):
            if box.text and box.span == 1 and column in columns:
                sides.setdefault(column, box.style.align)
    return sides


def _lay_row(
    row: Line, columns: Sequence[int], sides: dict[int, Align], *, strong: bool
) -> Iterator[tuple[Cell, ...]]:
    """Set one row, and one more for each line that a cell of it has beyond the first."""
    placed: list[tuple[Box, Align, int]] = []
    for column, box in _places(row):
        if span := sum(1 for one in columns if column <= one < column + box.span):
            placed.append((box, sides.get(column, box.style.align), span))
    if missing := len(columns) - sum(span for *_, span in placed):
        placed.append((Box(Style()), "left", missing))
    for index in range(max(len(box.lines) for box, *_ in placed)):
        yield tuple(
            Cell(_line(box, index), align, strong or box.bold, span) for box, align, span in placed
        )


def _line(box: Box, index: int) -> str:
    return box.lines[index][0] if index < len(box.lines) else ""
