"""Any page of HTML as the items of a roll: its lines, its tables, its pictures, its rules."""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.roll import Code, Item, Paragraph, Picture, Rule, Space, Table
from e2ee_ticket.sources.html_style import Style, rule_of, style_in
from e2ee_ticket.sources.html_table import COLUMNS_MAX, Box, Line, count_headings, lay_table
from e2ee_ticket.sources.markup import Closing, Opening, read_markup
from e2ee_ticket.sources.page_pictures import PagePictures, words_for

TEXT_MAX: Final = 50_000
TAGS_MAX: Final = 40_000
LINES_MAX: Final = 2_000
TABLES_MAX: Final = 500
DEPTH_MAX: Final = 64
TABLE_DEPTH_MAX: Final = 8
PICTURES_MAX: Final = 8

_HARD_SPACE: Final = "\u00a0"
_BLANKS = re.compile(r"[ \t\r\n\f\v]+")
# A line is not broken between a word and the sign that French sets apart from it.
_APART = re.compile(r"(?<=\u00ab) | (?=[\u00bb!?:;%€])")
_BLOCKS: Final = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div",
        "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4",
        "h5", "h6", "header", "html", "legend", "li", "main", "nav", "ol", "p", "pre", "section",
        "ul",
    }
)  # fmt: skip
_AIRY: Final = frozenset({"p", "ul", "ol", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
_AIR: Final = 0.5
_IN_TABLES: Final = frozenset({"thead", "tbody", "tfoot", "colgroup", "col", "tr", "td", "th"})

FindStrong = Callable[[Sequence[Line]], int | None]
"""Looks through a table's rows, below the headings, for the one to be seen first."""


def read_items(
    page: str, find_strong: FindStrong, pictures: PagePictures | None = None
) -> tuple[Item, ...]:
    """Read a page; `pictures` is asked for those in it.

    Raises:
        ReceiptError: it is longer than any receipt, or holds nothing to show.
    """
    reader = _Reader(find_strong, pictures or PagePictures())
    for count, part in enumerate(read_markup(page)):
        if count > TAGS_MAX:
            raise _too_long()
        if isinstance(part, Opening):
            reader.open(part)
        elif isinstance(part, Closing):
            reader.close(part.name)
        else:
            reader.add_text(part.text)
    items = reader.finish()
    if not any(isinstance(item, Paragraph | Table | Picture | Code) for item in items):
        raise ReceiptError("this page holds nothing that a receipt could show")
    return tuple(items)


def _too_long() -> ReceiptError:
    return ReceiptError("this page is longer than any receipt")


@dataclass(slots=True)
class _Open:
    """An element that is open: the style inside, and the line that its end brings."""

    name: str
    style: Style
    rule: Rule | None = None


@dataclass(slots=True)
class _Grid:
    """A table while it is read; `base` is how many elements are open around it."""

    base: int
    style: Style
    row_style: Style
    rows: list[list[Box]] = field(default_factory=list)
    row: list[Box] | None = None
    box: Box | None = None

    def take(self) -> list[list[Box]]:
        """Give away what is written in it so far, and go on in the same place."""
        row = [*(self.row or ()), *((self.box,) if self.box else ())]
        rows = [one for one in (*self.rows, row) if any(box.text for box in one)]
        self.rows = []
        self.row = None if self.row is None else []
        if self.box:
            self.box = Box(self.box.style, self.box.is_label, self.box.span)
        return rows


class _Reader:
    """What was read so far, and where in the page that is."""

    def __init__(self, find_strong: FindStrong, pictures: PagePictures) -> None:
        self._find_strong = find_strong
        self._pictures = pictures
        self._items: list[Item] = []
        self._gap = 0.0
        self._stack: list[_Open] = []
        self._grids: list[_Grid] = []
        self._runs: list[tuple[str, Style]] = []
        self._text_count = self._line_count = self._table_count = self._picture_count = 0

    def open(self, tag: Opening) -> None:
        name = tag.name
        if name == "br":
            self._end_line(forced=True)
        elif name == "hr":
            self._end_line()
            with self._between_rows():
                self._put(rule_of(tag, "top") or Rule())
        elif name == "img":
            self._put_picture(tag)
        elif name == "table":
            self._open_table(tag)
        elif name == "tr" and self._grids:
            self._open_row(self._grids[-1], tag)
        elif name in ("td", "th") and self._grids:
            self._open_box(self._grids[-1], tag)
        elif name in _IN_TABLES:
            self._end_line()
        else:
            self._open_element(tag)

    def close(self, name: str) -> None:
        if name == "br":
            self._end_line(forced=True)
        elif name == "table" and self._grids:
            self._close_table()
        elif name == "tr" and self._grids:
            self._close_row(self._grids[-1])
        elif name in ("td", "th") and self._grids:
            self._close_box(self._grids[-1])
        else:
            self._close_element(name)

    def add_text(self, text: str) -> None:
        if self._grids and self._grids[-1].box is None:
            if not text.strip():
                return
            self._open_box(self._grids[-1], Opening("td"))
        style = self._style()
        if style.hidden:
            return
        for index, line in enumerate(text.splitlines() if style.verbatim else (text,)):
            if index:
                self._end_line(forced=True)
            kept = line if style.verbatim else _BLANKS.sub(" ", line)
            kept = "".join(one for one in kept if one.isprintable() or one == _HARD_SPACE)
            self._text_count += len(kept)
            if self._text_count > TEXT_MAX:
                raise _too_long()
            if kept:
                self._runs.append((kept, style))

    def finish(self) -> list[Item]:
        while self._grids:
            self._close_table()
        self._end_line()
        while self._items and isinstance(self._items[-1], Rule | Space):
            self._items.pop()
        return self._items

    def _style(self) -> Style:
        return self._stack[-1].style if self._stack else Style()

    # Lines

    def _end_line(self, *, forced: bool = False) -> None:
        """End a line where there is one; `forced` leaves an empty one where there is none."""
        runs, self._runs = self._runs, []
        style = _mostly(runs)
        text = "".join(run for run, _ in runs)
        text = text.rstrip() if style.verbatim else _APART.sub(_HARD_SPACE, text.strip())
        box = self._grids[-1].box if self._grids else None
        if box is not None:
            if text:
                box.lines.append((text, style))
        elif text:
            self._put(Paragraph(text, style.align, style.bold, style.size))
        elif forced:
            self._leave(1.0)

    def _leave(self, lines: float) -> None:
        if not self._grids:
            self._gap = max(self._gap, lines)

    def _put(self, item: Item) -> None:
        if isinstance(item, Rule) and (self._grids or not self._items or self._items[-1] == item):
            return
        if self._gap and self._items:
            self._items.append(Space(self._gap))
        self._gap = 0.0
        self._line_count += len(item.rows) if isinstance(item, Table) else 1
        if self._line_count > LINES_MAX:
            raise _too_long()
        self._items.append(item)

    def _put_picture(self, tag: Opening) -> None:
        style = style_in(self._style(), tag)
        self._picture_count += 1
        if style.hidden or self._picture_count > PICTURES_MAX:
            return
        picture = self._pictures.read(tag)
        if picture is None:
            self.add_text(words_for(tag))
            return
        self._end_line()
        with self._between_rows():
            self._put(replace(picture, align=style.align))

    # Elements

    def _open_element(self, tag: Opening) -> None:
        style = style_in(self._style(), tag)
        rule = None
        if tag.name in _BLOCKS:
            self._end_line()
            self._leave(_AIR if tag.name in _AIRY else 0.0)
            if before := rule_of(tag, "top"):
                self._put(before)
            rule = rule_of(tag, "bottom")
        if len(self._stack) < DEPTH_MAX:
            self._stack.append(_Open(tag.name, style, rule))
        if tag.name == "li":
            self.add_text("• ")

    def _close_element(self, name: str) -> None:
        if name in _BLOCKS:
            self._end_line()
            self._leave(_AIR if name in _AIRY else 0.0)
        elif name in _IN_TABLES or name == "table":
            self._end_line()
        base = self._grids[-1].base if self._grids else 0
        for index in range(len(self._stack) - 1, base - 1, -1):
            if self._stack[index].name == name:
                rule = self._stack[index].rule
                del self._stack[index:]
                if rule:
                    self._put(rule)
                return

    # Tables

    def _open_table(self, tag: Opening) -> None:
        self._end_line()
        self._table_count += 1
        if self._table_count > TABLES_MAX or len(self._grids) >= TABLE_DEPTH_MAX:
            raise ReceiptError("this page holds more tables than any receipt")
        if before := rule_of(tag, "top"):
            self._put(before)
        # A table in a cell makes the outer one a means of layout: each stands for itself.
        with self._between_rows():
            pass
        # Where a table stands says nothing of the text inside it.
        style = replace(style_in(self._style(), tag), align="left")
        self._grids.append(_Grid(len(self._stack), style, style))

    def _close_table(self) -> None:
        grid = self._grids[-1]
        self._close_row(grid)
        self._grids.pop()
        with self._between_rows():
            self._put_rows(grid.take())

    @contextlib.contextmanager
    def _between_rows(self) -> Iterator[None]:
        """Step out of all tables: what they hold so far comes first, and they go on afterwards."""
        grids, self._grids = self._grids, []
        for grid in grids:
            self._put_rows(grid.take())
        yield
        self._grids = grids

    def _open_row(self, grid: _Grid, tag: Opening) -> None:
        self._close_row(grid)
        grid.row_style = style_in(grid.style, tag)
        grid.row = []

    def _close_row(self, grid: _Grid) -> None:
        self._close_box(grid)
        if grid.row:
            grid.rows.append(grid.row)
        grid.row, grid.row_style = None, grid.style

    def _open_box(self, grid: _Grid, tag: Opening) -> None:
        self._close_box(grid)
        if grid.row is None:
            grid.row = []
        style = style_in(grid.row_style, tag)
        grid.box = Box(style, tag.name == "th", _span(tag.attributes.get("colspan", "")))
        self._stack.append(_Open(tag.name, style))

    def _close_box(self, grid: _Grid) -> None:
        if grid.box is None:
            return
        self._end_line()
        if grid.row is not None and len(grid.row) < COLUMNS_MAX:
            grid.row.append(grid.box)
        grid.box = None
        del self._stack[grid.base :]

    def _put_rows(self, rows: list[list[Box]]) -> None:
        if not rows:
            return
        head = count_headings(rows)
        strong = self._find_strong(rows[head:])
        for item in lay_table(rows, head=head, strong=None if strong is None else head + strong):
            self._put(item)


def _mostly(runs: Sequence[tuple[str, Style]]) -> Style:
    """Choose the style that most of a line has."""
    weights: dict[Style, int] = {}
    for text, style in runs:
        weights[style] = weights.get(style, 0) + len(text.strip())
    return max(weights, key=lambda style: weights[style], default=Style())


def _span(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 3 else 1
    return min(max(count, 1), COLUMNS_MAX)
