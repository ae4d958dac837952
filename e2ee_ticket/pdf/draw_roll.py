"""Drawing a roll: what a printer would have printed, typeset on a page as long as it is.

Nothing is added, left out or reworded. Rows stand in columns as on paper; a row of hyphens becomes
a line, empty paper is kept short, and codes are drawn anew, so that they can be scanned.
"""

import bisect
import contextlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import codes, letters
from e2ee_ticket.pdf.letters import JOINERS, MONO, TEXT, is_rightward, letters_of
from e2ee_ticket.pdf.roll import (
    COLUMN_DOTS,
    Align,
    Cell,
    Code,
    Item,
    Paragraph,
    Picture,
    Roll,
    Row,
    Rule,
    Run,
    Space,
    Table,
    columns_of,
)
from e2ee_ticket.pdf.sheet import (
    INK,
    MARGIN,
    PAGE_WIDTH,
    PAPER,
    POINT,
    QUIET,
    Band,
    Sheet,
    blank,
    words_of,
)
from e2ee_ticket.pdf.tags import ROW

HEIGHT_LIMIT: Final = 20_000.0
"""As long as a receipt may be, in millimetres."""
TEXT_LIMIT: Final = 100_000
"""As many characters as it may have."""

_WIDTH: Final = PAGE_WIDTH - 2 * MARGIN
_COLUMN_MAX: Final = 1.76  # millimetres; few columns need not be as wide as the paper
_LINE: Final = 3.8  # what Space counts in
_SPACE_MAX: Final = 3.0
_SMALL: Final = 0.75
_SLICE_DOTS: Final = 8_000
_TABLE_COLUMNS_MAX: Final = 12
_CELL_GAP: Final = 2.6
_TABLE_SCALES: Final = (1.0, 0.92, 0.84, 0.76)
_WORD_MAX: Final = 20.0  # a longer word may be broken rather than the type be small
_SIZE_MIN: Final = 4.0
_ROUNDING: Final = 1e-6  # sums of widths are no exact numbers
_WORDS: Final = re.compile(r"\S+(?: \S+)*")
_SHRINK_MAX: Final = 1.35
_HEBREW: Final = re.compile("[\u0590-\u05ff .,:'\"-]*[\u05d0-\u05ea][\u0590-\u05ff .,:'\"-]*")
_IN_NUMBER: Final = re.compile(r"\d[\d.,]|[.,]\d")
# A row is drawn in by at most so many columns, at a gap of which so many blanks must stay.
_DRAW_IN_MAX: Final = 12
_GAPS: Final = re.compile(r"(?<=\S) {4,}(?=\S)")
_GAP_MIN: Final = 2
_TOO_LONG: Final = "the receipt is longer than a receipt can be: print it on paper"
_DRAWN_RULE: Final = re.compile(r" *([-─━_=═*]|- )\1{7,} *")
_DOUBLE: Final = "=═"


def draw_roll(roll: Roll, *, issued: datetime | None = None) -> bytes:
    """Draw a roll as a tagged PDF with its language, its title and its fonts inside.

    `issued` is when the PDF says that it was made; without it, it says the start of 1970.

    Raises:
        ReceiptError: it is longer than any receipt.
    """
    when = issued if issued is not None else datetime.fromtimestamp(0, UTC)
    sheet = Sheet(title=roll.title or "-", lang=roll.lang, issued=when)
    with contextlib.closing(sheet):
        return sheet.draw(_Layout(roll, sheet).bands())


def remarks_on(roll: Roll) -> tuple[str, ...]:
    """Say what of a roll was not understood, and which of its letters no font has."""
    texts = (text for item in roll.items for text in _texts_of(item))
    return (*roll.remarks, *letters.remarks_on(texts))


@dataclass(frozen=True, slots=True)
class _Style:
    """How a text in the proportional font looks."""

    size: float
    face: str = ""
    ink: int = INK
    family: str = TEXT

    @property
    def leading(self) -> float:
        return self.size * 0.46


class _Layout:
    """Turns the items of one roll into bands."""

    def __init__(self, roll: Roll, sheet: Sheet) -> None:
        self._roll, self._sheet = roll, sheet
        self._column = min(_WIDTH / max(1, min(roll.columns, 255)), _COLUMN_MAX)
        self._size = self._column * 2 / POINT  # the font is half as wide as it is high
        self._dots = COLUMN_DOTS * max(1, min(roll.columns, 255))
        self._dot = self._column / COLUMN_DOTS
        self._block = self._dot * self._dots
        self._left = (PAGE_WIDTH - self._block) / 2
        self._codes: dict[tuple[str, str], codes.Drawing | None] = {}
        self._headed = False

    def bands(self) -> list[Band]:
        """Lay out all of it."""
        if sum(_length_of(item) for item in self._roll.items) > TEXT_LIMIT:
            raise ReceiptError(_TOO_LONG)
        bands: list[Band] = []
        height = 0.0
        for item in _joined(self._roll.items):
            for band in self._item(item):
                bands.append(band)
                height += band.height
                if height > HEIGHT_LIMIT:
                    raise ReceiptError(_TOO_LONG)
        return bands

    def _item(self, item: Item) -> Iterator[Band]:
        match item:
            case Row():
                yield from self._row(item)
            case Paragraph():
                yield from self._paragraph(item)
            case Table():
                yield from self._table(item)
            case Picture():
                yield from self._picture(item)
            case Code():
                yield from self._code(item)
            case Rule():
                yield self._rule(double=item.double)
            case Space():
                yield blank(_LINE * min(max(item.lines, 0), _SPACE_MAX))

    def _text_tag(self, *, large: bool) -> str:
        """The first text is the heading, if it looks like one."""
        tag = "H1" if large and not self._headed else "P"
        self._headed = True
        return tag

    def _x_of(self, align: Align, width: float, left: float, room: float) -> float:
        return left + {"left": 0.0, "center": 0.5, "right": 1.0}[align] * (room - width)

    # Rows

    def _row(self, row: Row) -> Iterator[Band]:
        text = "".join(run.text for run in row.runs)
        plain = not any(run.inverse or run.underline for run in row.runs)
        is_placed = any(run.at is not None for run in row.runs)
        if plain and not row.pictures and not is_placed and (match := _DRAWN_RULE.fullmatch(text)):
            yield self._drawn_rule(row, match)
            return
        large = any(run.wide > 1 or run.high > 1 for run in row.runs)
        paper = self._dots
        scale = 1.0
        if is_placed or row.pictures:
            lines = _arranged(row.placed, paper)
        else:
            runs = _drawn_in(row.runs, paper)
            total = sum(run.dots for run in runs)
            if paper < total <= paper * _SHRINK_MAX and _breaks_a_number(runs, paper):
                scale, paper = paper / total, total
            lines = list(_wrapped(runs, paper))
        pictures = row.pictures
        tag = self._text_tag(large=large)
        part = self._sheet.next_part()
        for line in lines or [[]]:
            yield replace(self._line(line, row.align, tag, pictures, scale), part=part)
            pictures = ()

    def _line(
        self,
        line: "list[tuple[int, Run]]",
        align: Align,
        tag: str,
        pictures: "tuple[tuple[int, Picture], ...]" = (),
        scale: float = 1.0,
    ) -> Band:
        dot = self._dot * scale
        size = self._size * scale
        ends = [at + run.dots for at, run in line]
        ends += [at + picture.width * picture.wide for at, picture in pictures]
        wide = max(ends, default=0)
        if pictures and wide * dot > self._block:
            dot *= self._block / (wide * dot)
        left = self._x_of(align, wide * dot, self._left, self._block)
        tall = max((run.high * (_SMALL if run.small else 1) for _, run in line), default=1.0)
        leading = size * POINT * (0.36 + 0.98 * tall)
        rise = size * POINT * (0.14 + 0.83 * tall)  # the baseline's distance from the top
        if pictures:
            # As on paper: a letter is as high as 24 dots, and stands on the pictures' lower edge.
            leading = max(
                dot * max(picture.height * picture.high for _, picture in pictures),
                size * POINT * tall if line else 0.0,
            )
            rise = leading - size * POINT * 0.17

        def draw(y: float) -> None:
            for at, picture in pictures:
                high = dot * picture.height * picture.high
                place = (left + at * dot, dot * picture.width * picture.wide, high)
                self._drawn_picture(picture.data, picture.width, picture.height, place)(
                    y + leading - high
                )
            for at, run in _with_blanks(sorted(line, key=lambda found: found[0])):
                self._run(run, left + at * dot, y + rise, run.dots * dot, scale)

        return Band(leading, draw, tag)

    def _run(self, run: Run, x: float, y: float, width: float, scale: float = 1.0) -> None:
        size = self._size * scale * run.high * (_SMALL if run.small else 1)
        em = size * POINT
        ink = INK
        if run.inverse:
            self._sheet.fill([(x, y - 0.87 * em, width, 1.16 * em)])
            ink = PAPER
        elif run.underline:
            self._sheet.fill([(x, y + 0.11 * em, width, 0.06 * em / run.high)])
        face = "B" if run.bold else ""
        dot = self._dot * scale
        stretch = 100.0 * run.wide / run.high
        for column, text, fixed in _segments(run.text, visual=run.visual):
            here = x + column * run.column_dots * dot
            room = columns_of(text) * run.column_dots * dot
            factor = stretch
            if fixed:
                self._sheet.set_char_spacing(run.spacing * run.high * dot / POINT)
            else:
                # No letter of these is as wide as another: they are pressed into their columns.
                self._sheet.set_stretching(100)
                natural = self._sheet.measure(text, size, face, MONO) * stretch / 100
                if natural > room or (run.visual and _is_joined(text)):
                    factor = stretch * room / max(natural, 1e-3)
                elif not is_rightward(text):
                    here += room - natural
            self._sheet.set_stretching(factor)
            left = True if fixed else None
            self._sheet.put(here, y, text, size, style=face, ink=ink, family=MONO, base=left)
            self._sheet.set_char_spacing(0)
        self._sheet.set_stretching(100)

    # Paragraphs and tables

    def _style_of(self, text: str, size: float, face: str = "", ink: int = INK) -> _Style:
        """Take the other font for what the proportional one has no signs for."""
        if not text.isascii():
            lacks = {ord(c) for c in text if c.isprintable()} - letters_of(TEXT)
            if lacks and lacks <= letters_of(MONO):
                return _Style(size * 0.92, face, ink, MONO)
        return _Style(size, face, ink)

    def _whole_numbers(self, text: str, style: _Style, room: float) -> _Style:
        """Make the type so small that no number is wider than its room."""
        wide = max(
            (self._measured(word, style) for word in _unbroken(text) if _has_digit(word)),
            default=0.0,
        )
        if wide <= room + _ROUNDING:
            return style
        return replace(style, size=max(style.size * room / wide, _SIZE_MIN))

    def _wrap(self, text: str, width: float, style: _Style) -> list[str]:
        return [
            line
            for part in text.splitlines()
            for line in self._sheet.wrap(part, width, style.size, style.face, style.family) or [""]
        ]

    def _set(
        self, text: str, style: _Style, align: Align, left: float, room: float
    ) -> Callable[[float], None]:
        def draw(y: float) -> None:
            width = self._sheet.measure(text, style.size, style.face, style.family)
            x = self._x_of(align, width, left, room)
            self._sheet.put(
                x, y, text, style.size, style=style.face, ink=style.ink, family=style.family
            )

        return draw

    def _paragraph(self, item: Paragraph) -> Iterator[Band]:
        scale = min(max(item.size, 0.5), 4.0)
        style = self._style_of(item.text, 10 * scale, "B" if item.bold else "")
        tag = self._text_tag(large=scale >= 1.3) if item.text.strip() else "P"
        style = self._whole_numbers(item.text, style, _WIDTH)
        for text in item.text.splitlines():
            part = self._sheet.next_part()
            for line in self._wrap(text, _WIDTH, style) or [""]:
                draw = self._set(line, style, item.align, MARGIN, _WIDTH)
                yield Band(style.leading, _at(draw, 0.75 * style.leading), tag, part=part)

    def _table(self, item: Table) -> Iterator[Band]:
        """Lay out a table so that no number and no heading is broken.

        Where the columns are too narrow for that, the type is smaller; where that is not enough,
        the columns stand in groups below each other.
        """
        rows = [_fitted(row) for row in item.rows]
        count = max((sum(cell.span for cell in row) for row in rows), default=0) or 1
        for scale in _TABLE_SCALES:
            least = self._least(rows, item.head, count, scale)
            if sum(least) <= _WIDTH + _ROUNDING:
                groups = [(0, count)]
                break
        else:
            scale = 1.0
            least = self._least(rows, item.head, count, scale)
            groups = _grouped(least)
        widths = [
            width
            for start, end in groups
            for width in self._columns(rows, item.head, scale, least, (start, end))
        ]
        for index, row in enumerate(rows):
            part = self._sheet.next_part()
            for group in groups:
                head = index < item.head
                yield from self._table_row(row, widths, group, scale, part, head=head)
            if len(groups) > 1 and index + 1 < len(rows):
                yield blank(0.8)
            if index + 1 == item.head:
                yield self._thin_rule()
        yield blank(0.8)

    def _cell_style(self, cell: Cell, scale: float, *, head: bool) -> _Style:
        face = "B" if cell.bold else ""
        size = (8.5 if head else 10) * scale
        return self._style_of(cell.text, size, face, QUIET if head else INK)

    def _least(self, rows: list[list[Cell]], head: int, count: int, scale: float) -> list[float]:
        """Tell how narrow each column may be, so that nothing of it is broken.

        A number and a heading's word stay whole; of other words those do that are not very long.
        """
        least = [_CELL_GAP if place else 0.0 for place in range(max(count, 1))]
        for index, place, cell in sorted(_placed(rows), key=lambda found: found[2].span):
            style = self._cell_style(cell, scale, head=index < head)
            gap = _CELL_GAP if place else 0.0
            wide = 0.0
            for word in _unbroken(cell.text):
                width = self._measured(word, style)
                if place == 0 and not _has_digit(word):
                    width = min(width, _WORD_MAX * scale)
                wide = max(wide, width)
            places = range(place, place + cell.span)
            lacks = min(wide + gap, _WIDTH) - sum(least[place] for place in places)
            if lacks > 0:
                least[places[-1]] += lacks
        return least

    def _columns(
        self,
        rows: list[list[Cell]],
        head: int,
        scale: float,
        least: list[float],
        group: tuple[int, int],
    ) -> list[float]:
        """Measure a group's columns: each as wide as its widest cell, the first what is left."""
        start, end = group
        wishes = least[start:end]
        # Narrow cells first: one that spans columns adds only what they lack.
        for index, place, cell in sorted(_placed(rows), key=lambda found: found[2].span):
            if start < place < end or (place == start and start > 0):
                style = self._cell_style(cell, scale, head=index < head)
                lines = cell.text.splitlines()
                wide = _CELL_GAP + max((self._measured(line, style) for line in lines), default=0.0)
                last = min(place + cell.span, end)
                wishes[last - start - 1] += max(
                    0.0, wide - sum(wishes[place - start : last - start])
                )
        narrow = least[start:end]
        # The first column keeps a third of the paper, as far as the others can do with less.
        first = max(narrow[0], _WIDTH / 3 if start == 0 and end > 1 else narrow[0])
        room = max(_WIDTH - first, sum(narrow[1:]))
        extra = sum(wishes[1:]) - sum(narrow[1:])
        share = 1.0 if sum(wishes[1:]) <= room else (room - sum(narrow[1:])) / extra
        widths = [
            low + (wish - low) * share for low, wish in zip(narrow[1:], wishes[1:], strict=True)
        ]
        return [_WIDTH - sum(widths), *widths]

    def _measured(self, text: str, style: _Style) -> float:
        return self._sheet.measure(text[:300], style.size, style.face, style.family)

    def _table_row(
        self,
        row: list[Cell],
        widths: list[float],
        group: tuple[int, int],
        scale: float,
        part: int,
        *,
        head: bool,
    ) -> Iterator[Band]:
        """Lay out a group of one row's columns; a long cell makes it several lines high."""
        start, end = group
        cells: list[tuple[list[Callable[[float], None]], _Style]] = []
        places: list[int] = []
        for _, place, cell in _placed([row]):
            if not start <= place < end:
                continue
            left = MARGIN + sum(widths[start:place])
            room = sum(widths[place : min(place + cell.span, end)])
            style = self._cell_style(cell, scale, head=head)
            gap = _CELL_GAP if place else 0.0
            room = max(room - gap, 1.0)
            style = self._whole_numbers(cell.text, style, room)
            lines = self._wrap(cell.text, room, style)
            places.append(place)
            cells.append(
                ([self._set(line, style, cell.align, left + gap, room) for line in lines], style)
            )
        leading = max((style.leading for _, style in cells), default=_LINE)
        for number in range(max((len(lines) for lines, _ in cells), default=0)):
            here = [
                (place, lines[number])
                for place, (lines, _) in zip(places, cells, strict=True)
                if number < len(lines)
            ]

            def draw(y: float, here: list[tuple[int, Callable[[float], None]]] = here) -> None:
                for place, draw_cell in here:
                    with self._sheet.marked_cell(place, head=head):
                        draw_cell(y + 0.75 * leading)

            yield Band(leading, draw, ROW, part=part)
        if cells:
            yield blank(0.5)

    # Lines, pictures, codes

    def _drawn_rule(self, row: Row, match: re.Match[str]) -> Band:
        """Draw a row of hyphens as a line, as long as they were."""
        column = self._dot * max(run.column_dots for run in row.runs)
        width = min(len(match[0].strip()) * column, self._block)
        room = self._block - width
        if row.align == "left":
            left = self._left + min((len(match[0]) - len(match[0].lstrip())) * column, room)
        else:
            left = self._x_of(row.align, width, self._left, self._block)
        return self._rule(double=match[1] in _DOUBLE, left=left, width=width)

    def _rule(self, *, double: bool, left: float | None = None, width: float | None = None) -> Band:
        left = self._left if left is None else left
        width = self._block if width is None else width
        lines = (1.5, 2.2) if double else (1.8,)

        def draw(y: float) -> None:
            boxes = [(left, y + down - 0.1, width, 0.2) for down in lines]
            self._sheet.fill(boxes, ink=QUIET)

        return Band(3.7, draw)

    def _thin_rule(self) -> Band:
        return Band(1.6, lambda y: self._sheet.rule(y + 0.4))

    def _picture(self, item: Picture) -> Iterator[Band]:
        stride = (item.width + 7) // 8
        rows = min(item.height, len(item.data) // stride if stride else 0)
        if not rows or item.wide < 1 or item.high < 1:
            return
        dot = min(self._column / COLUMN_DOTS, self._block / (item.width * item.wide))
        width = dot * item.wide * item.width
        x = self._x_of(item.align, width, self._left, self._block)
        for top in range(0, rows, _SLICE_DOTS):
            end = min(top + _SLICE_DOTS, rows)
            data = item.data[top * stride : end * stride]
            height = dot * item.high * (end - top)
            yield Band(
                height,
                self._drawn_picture(data, item.width, end - top, (x, width, height)),
                "Figure",
                "-",
            )
        yield blank(0.8)

    def _drawn_picture(
        self, data: bytes, width: int, rows: int, place: tuple[float, float, float]
    ) -> Callable[[float], None]:
        def draw(y: float) -> None:
            from PIL import Image, ImageOps  # noqa: PLC0415 - few receipts have one

            x, wide, high = place
            dots = Image.frombytes("1", (width, rows), data).convert("L")
            self._sheet.image(ImageOps.invert(dots), x, y, wide, high)

        return draw

    def _code(self, item: Code) -> Iterator[Band]:
        key = (item.kind, item.text)
        if key not in self._codes:
            self._codes[key] = codes.draw_code(*key)
        drawing = self._codes[key]
        if drawing is None:
            yield from self._paragraph(Paragraph(item.text, item.align))
            return
        x = self._x_of(item.align, drawing.width, self._left, self._block)
        yield blank(drawing.quiet)
        style = self._style_of(item.text, 8.5)
        said = self._set(item.text, style, "center", x, drawing.width)
        if item.heading:
            yield Band(3.6, _at(said, 2.6), "P")
            yield blank(0.6)
        yield Band(
            drawing.height,
            lambda y: self._sheet.fill([(x + a, y + b, w, h) for a, b, w, h in drawing.boxes]),
            "Figure",
            item.text,
        )
        yield blank(1.0 if item.caption else drawing.quiet)
        if item.caption:
            yield Band(3.6, _at(said, 2.6), "P")
            yield blank(drawing.quiet)


def _texts_of(item: Item) -> Iterator[str]:
    match item:
        case Row():
            yield from (run.text for run in item.runs)
        case Paragraph():
            yield item.text
        case Table():
            yield from (cell.text for row in item.rows for cell in row)
        case _:
            pass


def _length_of(item: Item) -> int:
    cells = sum(len(row) for row in item.rows) if isinstance(item, Table) else 0
    return cells + sum(map(len, _texts_of(item)))


def _at(draw: Callable[[float], None], down: float) -> Callable[[float], None]:
    return lambda y: draw(y + down)


def _joined(items: tuple[Item, ...]) -> Iterator[Item]:
    """Make one space of several; none at the ends."""
    space = 0.0
    begun = False
    for item in items:
        if isinstance(item, Space):
            space += max(item.lines, 0)
            continue
        if space and begun:
            yield Space(space)
        space, begun = 0.0, True
        yield item


def _segments(text: str, *, visual: bool) -> Iterator[tuple[int, str, bool]]:
    """Cut a run into what is set at once: its column, its text, and whether all are as wide.

    What stands between two blanks stays where it is, however wide its letters are.
    """
    text = "".join(c if c.isprintable() or c in JOINERS else " " for c in text)
    if text.isascii() or letters_of(MONO).issuperset(map(ord, text)):
        yield 0, text, True
        return
    column = 0
    # Words of a printer's own order stand each for itself.
    for segment in re.split(r"( +)" if visual else r"( {2,})", text):
        if letters_of(MONO).issuperset(map(ord, segment)):
            yield column, segment, True
            column += len(segment)
        elif visual and _HEBREW.fullmatch(segment):
            yield column, segment[::-1], False
            column += columns_of(segment)
        elif visual or any(columns_of(letter) > 1 for letter in segment):
            for letter in _with_marks(segment):
                yield column, letter, False
                column += columns_of(letter)
        else:
            yield column, segment, False
            column += columns_of(segment)


def _with_marks(text: str) -> Iterator[str]:
    """Give the letters of a text, each with the marks upon it."""
    at = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or columns_of(text[end]):
            yield text[at:end]
            at = end


def _is_joined(text: str) -> bool:
    """Tell whether a letter is a form of Arabic that reaches to the next one."""
    return any("\ufb50" <= letter <= "\ufefc" for letter in text)


def _drawn_in(runs: tuple[Run, ...], paper: int) -> tuple[Run, ...]:
    """Take a row that is a little too wide back to the width, where it has a gap to give.

    A till that was made for wider paper would lose its sums to the next line.
    """
    total = sum(run.dots for run in runs)
    if not paper < total <= paper + _DRAW_IN_MAX * COLUMN_DOTS:
        return runs
    place, gap = max(
        ((place, gap) for place, run in enumerate(runs) for gap in _GAPS.finditer(run.text)),
        key=lambda found: len(found[1][0]),
        default=(0, None),
    )
    if gap is None:
        return runs
    run = runs[place]
    surplus = math.ceil((total - paper) / run.column_dots)
    if len(gap[0]) - surplus < _GAP_MIN:
        return runs
    text = run.text[: gap.start()] + run.text[gap.start() + surplus :]
    return (*runs[:place], replace(run, text=text), *runs[place + 1 :])


def _breaks_a_number(runs: tuple[Run, ...], paper: int) -> bool:
    """Tell whether a row is cut within a number where the paper ends."""
    text, ends, here = "", [], 0
    for run in runs:
        for letter in run.text:
            here += columns_of(letter) * run.column_dots
            ends.append(here)
        text += run.text
    cut = bisect.bisect_right(ends, paper)
    return bool(_IN_NUMBER.search(text[max(0, cut - 1) : cut + 1]))


def _wrapped(runs: tuple[Run, ...], paper: int) -> Iterator[list[tuple[int, Run]]]:
    """Cut a row where the paper ends, as a printer does; blanks beyond it are nothing.

    A number is not cut if it can stand whole on the next line.
    """
    line: list[tuple[int, Run]] = []
    here = 0
    for run in runs:
        text = run.text
        at = 0
        while at < len(text):
            count = _fitting(text, at, (paper - here) // run.column_dots)
            if not count and line:
                if not text[at:].strip():
                    break
                yield line
                line, here = [], 0
                continue
            piece = replace(run, text=text[at : at + max(count, 1)])
            line.append((here, piece))
            here += piece.dots
            at += len(piece.text)
            if at < len(text) and text[at:].strip():
                yield line
                line, here = [], 0
    if line:
        yield line


def _fitting(text: str, at: int, columns: int) -> int:
    """Count the letters that fit into so many columns."""
    end = at
    while end < len(text) and (columns := columns - columns_of(text[end])) >= 0:
        end += 1
    if at < end < len(text) and _IN_NUMBER.fullmatch(text[end - 1 : end + 1]):
        start = end
        while start > at and not text[start - 1].isspace():
            start -= 1
        if start > at:
            return start - at
    return end - at


def _arranged(placed: Iterable[tuple[int, Run]], paper: int) -> list[list[tuple[int, Run]]]:
    """Put what has a place there; what would hide something else stands on a line below.

    What would be cut off by the paper's edge is moved to it, if that leaves it legible.
    """
    lines: list[list[tuple[int, Run]]] = [[]]
    for at, run in placed:
        first = 0
        pieces = _kept_on_paper(at, run, paper)
        for piece in pieces:
            number = first
            while number < len(lines) and any(_hides(piece, other) for other in lines[number]):
                number += 1
            if number == len(lines):
                lines.append([])
            if piece in lines[number]:
                # Printed twice at one place: an old way to make it bold.
                lines[number].remove(piece)
                lines[number].append((piece[0], replace(piece[1], bold=True)))
            else:
                lines[number].append(piece)
            first = number + 1 if run.dots > paper else first
    return [line for line in lines if line]


def _with_blanks(line: list[tuple[int, Run]]) -> Iterator[tuple[int, Run]]:
    """Fill what is free between texts with blanks, by which readers know that it is one line."""
    for number, (at, run) in enumerate(line):
        free = line[number + 1][0] - at - run.dots if number + 1 < len(line) else 0
        blanks = 0 if run.underline or run.inverse else max(0, free) // run.column_dots
        yield at, replace(run, text=run.text + " " * blanks) if blanks else run


def _kept_on_paper(at: int, run: Run, paper: int) -> list[tuple[int, Run]]:
    """Take the blanks off a text, and what is beyond the paper's edge back onto it."""
    if not (run.underline or run.inverse):
        text = run.text.lstrip(" ")
        at += (len(run.text) - len(text)) * run.column_dots
        run = replace(run, text=text.rstrip(" "))
    if not run.text:
        return []
    if run.dots > paper:
        return [piece for line in _wrapped((run,), paper) for piece in line]
    at = min(at, paper - run.dots)
    if run.underline or run.inverse:
        return [(at, run)]
    # Where several blanks are, nothing stands, and something else may be put there.
    words = [(found.start(), found[0]) for found in _WORDS.finditer(run.text)]
    return [
        (at + columns_of(run.text[:start]) * run.column_dots, replace(run, text=text, at=None))
        for start, text in words
    ]


def _hides(new: tuple[int, Run], old: tuple[int, Run]) -> bool:
    """Tell whether one text makes another illegible; a sign upon one letter is meant to be so."""
    if new == old:
        return False
    overlap = min(new[0] + new[1].dots, old[0] + old[1].dots) - max(new[0], old[0])
    if overlap * 3 <= min(new[1].column_dots, old[1].column_dots):
        # Two numbers that all but touch would be read as one.
        first, second = sorted((old, new), key=lambda found: found[0])
        touching = first[1].text[-1:].isdigit() and second[1].text[:1].isdigit()
        return touching and overlap != 0 and overlap * 2 > -new[1].column_dots
    if not any(letter.isalnum() for letter in new[1].text):
        return False
    if not any(letter.isalnum() for letter in old[1].text):
        return False
    return len(new[1].text) > 1 or new[1].text.isdigit()


def _has_digit(text: str) -> bool:
    return any(c.isdigit() for c in text)


def _unbroken(text: str) -> Iterator[str]:
    """Give the pieces of a text between which a line may be broken."""
    for line in text.splitlines():
        yield from words_of(line)


def _grouped(least: list[float]) -> list[tuple[int, int]]:
    """Part columns into groups that fit the paper; the first stands alone, as a heading does."""
    groups = [(0, 1)]
    start, wide = 1, 0.0
    for place in range(1, len(least)):
        if place > start and wide + least[place] > _WIDTH + _ROUNDING:
            groups.append((start, place))
            start, wide = place, 0.0
        wide += least[place]
    return [*groups, (start, len(least))] if start < len(least) else groups


def _placed(rows: list[list[Cell]]) -> Iterator[tuple[int, int, Cell]]:
    """Give each cell with the number of its row and of its first column."""
    for index, row in enumerate(rows):
        place = 0
        for cell in row:
            yield index, place, cell
            place += cell.span


def _fitted(row: tuple[Cell, ...]) -> list[Cell]:
    """Keep a row within so many columns as can be read; what is beyond goes into the last."""
    cells: list[Cell] = []
    place = 0
    for cell in row:
        span = max(1, min(cell.span, _TABLE_COLUMNS_MAX - place))
        if place >= _TABLE_COLUMNS_MAX:
            last = cells[-1]
            cells[-1] = Cell(f"{last.text} {cell.text}", last.align, last.bold, last.span)
            continue
        cells.append(Cell(cell.text, cell.align, cell.bold, span))
        place += span
    return cells
