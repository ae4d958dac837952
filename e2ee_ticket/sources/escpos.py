"""What a receipt printer's bytes (ESC/POS) would have looked like on paper, as a roll.

Everything that shows is decoded: text in its styles and code pages, pictures, barcodes, QR codes,
paper fed. What opens a drawer, asks for a state or cuts paper is somebody else's, and what is not
known is skipped. Any bytes whatever give a roll or one clear error, in time that grows with them.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.codes import TWO_DIMENSIONAL
from e2ee_ticket.pdf.roll import (
    COLUMN_DOTS,
    SMALL_DOTS,
    Align,
    Code,
    Item,
    Picture,
    Roll,
    Row,
    Run,
    Space,
    columns_of,
)
from e2ee_ticket.sources import code_pages, star_line
from e2ee_ticket.sources import escpos_commands as commands
from e2ee_ticket.sources.code_pages import CODE_PAGE, PRINTER, check_code_page, check_printer
from e2ee_ticket.sources.escpos_commands import JOB_MAX_SIZE, read_word

STAR_LINE: Final = "star-line"
COLUMNS: Final = 48

ITEM_LIMIT: Final = 5_000
TEXT_LIMIT: Final = 100_000
RUN_LIMIT: Final = 20_000
CODE_LIMIT: Final = 50
CODE_TEXT_LIMIT: Final = 10_000
STRIP_LIMIT: Final = 10_000
DOT_LIMIT: Final = 8_000_000
DOTS_WIDE: Final = 1024
"""Wider than any receipt printer's paper; what is beyond is cut off, as it would be there."""

_LINE_DOTS: Final = 30
_PAGE_DOTS: Final = 1662  # as high as a page is by itself
_SAME_LINE_DOTS: Final = 13  # half a line
_SEAM_DOTS: Final = 8  # so much between two strips is the driver's carelessness, not a gap
_TOO_LONG: Final = "the receipt is longer than a receipt can be: print it on paper"
_UNREAD: Final = "a letter means nothing in the code page that the till chose: it is ?"
# Of these a single byte is what stands next on paper, whatever the order in which they are read.
_LEFTWARD: Final = re.compile("[\u0590-\u05ff\ufb1d-\ufdff\ufe70-\ufefc]")
_PRESENTED: Final = re.compile("[\ufb1d-\ufdff\ufe70-\ufefc]")
_IN_NUMBER: Final = re.compile(r"\d[\d.,]|[.,]\d")
_TURNED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ALIGNS: Final[Mapping[int, Align]] = {
    0: "left", 1: "center", 2: "right", 48: "left", 49: "center", 50: "right",
}  # fmt: skip


def decode(
    data: bytes,
    *,
    code_page: str = CODE_PAGE,
    printer: str = PRINTER,
    columns: int = COLUMNS,
    lang: str = "en",
    title: str = "",
) -> Roll:
    """Read a job, or as much of one as there is.

    Args:
        data: the bytes.
        code_page: what letters mean until the job says so.
        printer: the family whose numbers of code pages the till uses.
        columns: how many characters a line holds.
        lang: the language of the shop.
        title: the receipt's title.

    Raises:
        ReceiptError: more than any receipt holds: bytes, lines, text, pictures, codes.
        ConfigError: a code page or a printer that is none.
    """
    if len(data) > JOB_MAX_SIZE:
        raise ReceiptError("the print job is larger than 4 MiB: print it on paper")
    if check_printer(printer) == STAR_LINE or star_line.is_star(data):
        data, printer = star_line.translate(data), STAR_LINE
    paper = _Paper(check_code_page(code_page), check_printer(printer), columns, lang)
    at = performed = 0
    while at < len(data):
        if text := commands.TEXT.match(data, at):
            if paper.on:
                paper.write(text[0])
            at = text.end()
            continue
        length = commands.length_of(data, at)
        performed += 1
        if performed > commands.COMMAND_LIMIT:
            raise ReceiptError(_TOO_LONG)
        end = len(data) if length is None else min(at + length, len(data))
        name = data[at : at + (1 if length == 1 else 2)]
        if (perform := _PERFORM.get(name)) is not None and (paper.on or name == b"\x1b="):
            whole = length is not None and at + length <= len(data)
            # A picture cut short is shown as far as it came; other commands are whole or nothing.
            if whole or name in commands.PICTURES:
                perform(paper, data[at + 2 : end])
        at = end
    items = paper.finish()
    return Roll(items, columns=columns, lang=lang, title=title, remarks=paper.remarks)


@dataclass(frozen=True, slots=True)
class _Style:
    """How the next character looks."""

    bold: bool = False
    struck: bool = False  # double-strike: bold by another name, with a switch of its own
    underline: bool = False
    inverse: bool = False
    small: bool = False
    wide: int = 1
    high: int = 1
    spacing: int = 0
    read_order: bool = False

    @property
    def dots(self) -> int:
        """How many dots a character is wide."""
        return ((SMALL_DOTS if self.small else COLUMN_DOTS) + self.spacing) * self.wide

    def run(self, text: str, at: int | None = None) -> Run:
        """Set a text in this style."""
        return Run(
            text,
            bold=self.bold or self.struck,
            underline=self.underline,
            inverse=self.inverse,
            small=self.small,
            wide=self.wide,
            high=self.high,
            at=at,
            spacing=self.spacing,
            visual=not self.read_order and _LEFTWARD.search(text) is not None,
        )


@dataclass(slots=True)
class _Text:
    """Letters of one style that stand beside each other."""

    at: int
    style: _Style
    said: list[str]
    y: int = 0


@dataclass(slots=True)
class _Stamp:
    """A picture in a line."""

    at: int
    width: int
    height: int
    data: bytes
    wide: int
    high: int
    y: int = 0

    @property
    def picture(self) -> Picture:
        return Picture(self.width, self.height, self.data, "left", self.wide, self.high)


_Bit = _Text | _Stamp


@dataclass(slots=True)
class _Strip:
    """A picture that may go on with the next command."""

    stride: int
    align: Align
    wide: int
    high: int
    turned: bool
    pieces: list[bytes] = field(default_factory=list)

    def goes_on(self, other: "_Strip") -> bool:
        return (self.stride, self.align, self.wide, self.high, self.turned) == (
            other.stride,
            other.align,
            other.wide,
            other.high,
            other.turned,
        )

    def items(self) -> list[Item]:
        """Return the picture, with what is empty above and below as paper fed."""
        data = b"".join(self.pieces)
        if self.turned:
            data = data[::-1].translate(_TURNED)
        rows = len(data) // self.stride
        below = (len(data) - len(data.rstrip(b"\0"))) // self.stride
        if below == rows:
            return [Space(rows * self.high / _LINE_DOTS)]
        above = (len(data) - len(data.lstrip(b"\0"))) // self.stride
        data = data[above * self.stride : (rows - below) * self.stride]
        picture = Picture(
            self.stride * 8, rows - above - below, data, self.align, self.wide, self.high
        )
        spaces = [Space(dots * self.high / _LINE_DOTS) for dots in (above, below)]
        return [*(s for s in spaces[:1] if s.lines), picture, *(s for s in spaces[1:] if s.lines)]


@dataclass(slots=True)
class _Page:
    """What page mode has collected, each piece where it stands, until it is printed."""

    areas: list[tuple[int, int, int, int]]  # x, y, width, height: the last one counts
    direction: int = 0
    y: int = 0
    bits: list[tuple[int, int, int, _Bit]] = field(default_factory=list)  # direction, x, y
    codes: list[tuple[int, int, Code]] = field(default_factory=list)


class _Paper:
    """The printer: its state, the line it is at, and what it has printed."""

    def __init__(self, code_page: str, printer: str, columns: int, lang: str) -> None:
        self._start_page, self._printer, self._columns = code_page, printer, columns
        self._kanji_code = code_pages.code_of(code_page, lang)
        self._items: list[Item | _Strip] = []
        self._turned: list[bool] = []
        self._line: list[_Bit] = []
        self._x = self._end = 0
        self._texts = self._runs = self._dots = self._strips = 0
        self._codes = self._code_texts = 0
        self._unread = 0
        self._remarks: dict[str, None] = {}
        self.kept: dict[bytes, _Stamp] = {}
        self.own: dict[tuple[bool, int], tuple[int, int, bytes]] = {}
        self._page: _Page | None = None
        self.reset()

    def reset(self) -> None:
        """Do what ESC @ does; a line that was begun is printed rather than lost."""
        self.end_page()
        self._end_line()
        self.style = _Style(read_order=self._start_page == "utf-8")
        self.align: Align = "left"
        self.page = self._start_page
        self.nation: Mapping[int, str] = {}
        self.spacing = _LINE_DOTS
        self.stops: tuple[int, ...] = tuple(
            range(8 * COLUMN_DOTS, 256 * COLUMN_DOTS, 8 * COLUMN_DOTS)
        )
        self.caption = self.heading = False
        self.left, self.width = 0, self._columns * COLUMN_DOTS
        # A printer of Asia reads letters of several bytes from the beginning.
        self.kanji = self._start_page in code_pages.ASIAN.values()
        self.jis = self._kanji_code == "cp932"
        self.utf8 = self._start_page == "utf-8"
        self.turned = False
        self.on = True
        self.own_on = False
        self.own.clear()
        self.symbol = b""
        self.symbol_kind = 0
        self.graphics: _Stamp | None = None
        self._after_picture = 0
        self._returned = False

    def remark(self, text: str) -> None:
        """Note what the cashier is to know of this receipt."""
        self._remarks.setdefault(text)

    def set_page(self, number: int) -> None:
        """Do what ESC t does."""
        if (page := code_pages.page_of(number, self._printer)) is not None:
            self.page = page
        else:
            self.remark(
                f"the till chose code page {number}, which {self._printer} printers do not have:"
                " some letters may be wrong"
            )

    # Text

    def write(self, raw: bytes) -> None:
        """Print text."""
        # The receipt template that Dolibarr ships has these four characters for a new line.
        parts = raw.replace(b"\\r\\n", b"\n").split(b"\n")
        if len(parts) > ITEM_LIMIT:
            raise ReceiptError(_TOO_LONG)
        for index, part in enumerate(parts):
            if index:
                self.feed_line()
            if part and self.own_on and self.own:
                self._write_own(part)
            elif part:
                self._put(self._read(part))

    def _read(self, raw: bytes) -> str:
        if self.utf8:
            text, wrong = code_pages.decode(raw, "utf-8")
        elif self.kanji and self.jis and raw.isascii() and not self._start_is_asian:
            text = (b"\x1b$B" + raw).decode("iso2022_jp_ext", "replace")
            wrong = text.count("\ufffd")
            text = text.replace("\ufffd", "?")
        elif self.kanji:
            text, wrong = code_pages.decode(raw, self._kanji_code)
        else:
            page = self.page
            text, wrong = code_pages.decode(raw, page)
            if self.nation:
                text = text.translate(self.nation)
        self._unread += wrong
        if _PRESENTED.search(text) is None:
            text = unicodedata.normalize("NFC", text)
        return text

    @property
    def _start_is_asian(self) -> bool:
        return self._start_page in code_pages.ASIAN.values()

    def _write_own(self, raw: bytes) -> None:
        """Print text with characters that the till has drawn itself."""
        begun = 0
        for at, code in enumerate(raw):
            own = self.own.get((self.style.small, code))
            if own is None:
                continue
            if at > begun:
                self._put(self._read(raw[begun:at]))
            begun = at + 1
            depth, columns, data = own
            start, style = self._x, self.style
            if columns:
                self._add_strip(depth, data, style.wide, style.high)
            self._x = start + max(style.dots, columns * style.wide)
        if begun < len(raw):
            self._put(self._read(raw[begun:]))

    def _put(self, text: str) -> None:
        self._texts += len(text)
        if self._texts > TEXT_LIMIT:
            raise ReceiptError(_TOO_LONG)
        self._returned = False
        self._after_picture = 0
        limited = self._page is not None or self.left + self.width < self._columns * COLUMN_DOTS
        limit = self._page.areas[-1][2] if self._page is not None else self.width
        if self._page is not None and self._page.direction % 2:
            limit = self._page.areas[-1][3]
        while limited and self._x + columns_of(text) * self.style.dots > limit and self.style.dots:
            fits = self._cut(text, (limit - self._x) // self.style.dots)
            if not fits and not self._x:
                break  # not one letter is as narrow as this
            self._append(text[:fits])
            text = text[fits:]
            self.feed_line()
            if not text.strip(" "):
                return
        self._append(text)

    def _cut(self, text: str, columns: int) -> int:
        """Tell how many letters fit; a number is not broken if it can stand on the next line."""
        count = 0
        for letter in text:
            columns -= columns_of(letter)
            if columns < 0:
                break
            count += 1
        if count < len(text) and _IN_NUMBER.fullmatch(text[max(count - 1, 0) : count + 1]):
            start = count
            while start and not text[start - 1].isspace():
                start -= 1
            if start or self._x:
                return start
        return count

    def _append(self, text: str) -> None:
        if not text:
            return
        last = self._line[-1] if self._line else None
        if isinstance(last, _Text) and last.style == self.style and self._end == self._x:
            last.said.append(text)
        else:
            self._line.append(_Text(self._x, self.style, [text]))
            self._runs += 1
            if self._runs > RUN_LIMIT:
                raise ReceiptError(_TOO_LONG)
        self._x += columns_of(text) * self.style.dots
        self._end = self._x

    def set_stops(self, stops: bytes) -> None:
        """Set tab stops, each so many characters of the present width from the line's beginning."""
        self.stops = tuple(sorted({stop * self.style.dots for stop in stops}))

    def tab(self) -> None:
        """Go on at the next tab stop, if there is any."""
        stop = next((stop for stop in self.stops if stop > self._x), None)
        if stop is not None and stop < self.width:
            self.move_to(stop)

    def move_to(self, dots: int) -> None:
        """Go on so many dots from the left."""
        dots = min(dots, self._columns * COLUMN_DOTS)
        gap = dots - self._x
        if gap > 0 and gap % self.style.dots == 0 and self._end == self._x:
            self._append(" " * (gap // self.style.dots))
        self._x = dots

    def move_by(self, dots: int) -> None:
        """Go on so many dots to the right, or to the left, which is above half of the range."""
        self.move_to(max(0, self._x + (dots if dots < 0x8000 else dots - 0x10000)))

    # Paper

    def feed_line(self) -> None:
        """Print the line, and feed it."""
        if self._page is not None:
            self._end_page_line(self.spacing)
        elif self._returned:
            self._returned = False
        elif not self._end_line() or self._after_picture:
            self._feed(self.spacing)

    def carriage_return(self) -> None:
        """Print the line, if there is any; a line feed that follows adds nothing."""
        if self._page is None and self._end_line():
            self._returned = not self._after_picture

    def feed_lines(self, lines: int) -> None:
        """Print the line, and feed so many."""
        if self._page is not None:
            self._end_page_line(lines * self.spacing)
            return
        printed = self._end_line() or self._returned
        self._returned = False
        self._feed(max(0, lines - printed) * _LINE_DOTS)

    def feed_dots(self, dots: int) -> None:
        """Print the line, and feed so many dots."""
        if self._page is not None:
            self._end_page_line(dots)
            return
        printed = self._end_line() or self._returned
        self._returned = False
        self._feed(max(0, dots - (_LINE_DOTS if printed and not self._after_picture else 0)))

    def _feed(self, dots: int) -> None:
        """Feed; beside a strip of a picture no more than it is not high itself."""
        dots, self._after_picture = dots - self._after_picture, 0
        if dots <= _SEAM_DOTS:
            return
        lines = dots / _LINE_DOTS
        if self._items and isinstance(last := self._items[-1], Space):
            self._items[-1] = Space(last.lines + lines)
        else:
            self._add(Space(lines))

    def _end_line(self) -> bool:
        """Print what is on the line; False where nothing is."""
        line, self._line = self._line, []
        self._x = self._end = 0
        self._after_picture = 0
        if not line:
            return False
        stamps = [bit for bit in line if isinstance(bit, _Stamp)]
        runs = _runs_of(line)
        shows = any(run.text.strip() or run.underline or run.inverse for run in runs)
        if stamps and not shows:
            self._print_stamps(stamps)
        elif shows:
            pictures = tuple((bit.at, bit.picture) for bit in stamps)
            self._add(self._within_margins(Row(runs, self.align, pictures)))
        else:
            self._feed(_LINE_DOTS)
        return True

    def _within_margins(self, row: Row) -> Row:
        """Put a line where the margins have it."""
        paper = self._columns * COLUMN_DOTS
        width = min(self.width, paper - self.left)
        if (self.left == 0 and width >= paper) or width <= 0:
            return row
        ends = [at + run.dots for at, run in row.placed]
        ends += [at + picture.width * picture.wide for at, picture in row.pictures]
        share = {"left": 0.0, "center": 0.5, "right": 1.0}[row.align]
        shift = self.left + max(0, round((width - max(ends)) * share))
        if not shift:
            return Row(row.runs, "left", row.pictures)
        runs = tuple(replace(run, at=at + shift) for at, run in row.placed)
        return Row(runs, "left", tuple((at + shift, picture) for at, picture in row.pictures))

    def _print_stamps(self, stamps: list[_Stamp]) -> None:
        """Print a line of pictures as one."""
        first = stamps[0]
        tall = max(stamp.height * stamp.high for stamp in stamps)
        if len(stamps) > 1 or first.at or self.left:
            first = _joined(stamps, self.left if self.align == "left" else 0)
        stride = (first.width + 7) // 8
        self._add_strip_item(stride, first.data, first.wide, first.high)
        self._after_picture = tall

    def _add(self, item: "Item | _Strip") -> None:
        if len(self._items) >= ITEM_LIMIT:
            raise ReceiptError(_TOO_LONG)
        self._items.append(item)
        del self._turned[len(self._items) - 1 :]
        self._turned.append(self.turned)

    def finish(self) -> tuple[Item, ...]:
        """Print the last line, and return all of it without the paper fed around it."""
        self.end_page()
        self._end_line()
        items: list[Item] = []
        upside_down: list[Item] = []
        for item, turned in zip(self._items, self._turned, strict=True):
            here = item.items() if isinstance(item, _Strip) else [item]
            if turned:
                # Who reads it has turned the paper: what was printed last stands first.
                upside_down += reversed(here)
            else:
                items += [*reversed(upside_down), *here]
                upside_down = []
        items += reversed(upside_down)
        while items and isinstance(items[-1], Space):
            items.pop()
        first = next((n for n, item in enumerate(items) if not isinstance(item, Space)), 0)
        return tuple(items[first:])

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the cashier is to know of this receipt."""
        if self._unread == 1:
            self.remark(_UNREAD)
        elif self._unread:
            count = self._unread
            self.remark(
                f"{count} letters mean nothing in the code page that the till chose: they are ?"
            )
        return tuple(self._remarks)

    # Page mode

    def begin_page(self) -> None:
        """Do what ESC L does."""
        if self._page is None:
            self._end_line()
            self._page = _Page([(0, 0, self._columns * COLUMN_DOTS, _PAGE_DOTS)])

    @property
    def in_page(self) -> bool:
        """Whether what comes is collected for a page."""
        return self._page is not None

    def set_area(self, x: int, y: int, width: int, height: int) -> None:
        """Do what ESC W does; what comes begins at the area's beginning."""
        if self._page is not None and width and height:
            self._end_page_line(0)
            self._page.areas.append((x, y, width, height))
            self._page.y = 0

    def set_direction(self, direction: int) -> None:
        """Do what ESC T does: what comes is turned by so many quarters."""
        if self._page is not None:
            self._end_page_line(0)
            self._page.direction = direction & 3
            self._page.y = 0

    def move_down_to(self, dots: int) -> None:
        """Do what GS $ does."""
        if self._page is not None:
            x = self._x
            self._end_page_line(0)
            self._page.y, self._x, self._end = dots, x, -1

    def move_down_by(self, dots: int) -> None:
        """Do what GS and a backslash do."""
        if self._page is not None:
            by = dots if dots < 0x8000 else dots - 0x10000
            self.move_down_to(max(0, self._page.y + by))

    def _end_page_line(self, feed: int) -> None:
        """Keep what is on the line where it stands on the page."""
        page = self._page
        if page is None:
            return
        line, self._line = self._line, []
        self._x = self._end = 0
        left, top, width, height = page.areas[-1]
        origin = {
            0: (left, top),
            1: (-(top + height), left),
            2: (-(left + width), -(top + height)),
            3: (top, -(left + width)),
        }[page.direction]
        for bit in line:
            page.bits.append((page.direction, origin[0] + bit.at, origin[1] + page.y, bit))
        page.y += feed
        self._returned = False

    def clear_page(self) -> None:
        """Do what CAN does: forget what is in the area."""
        if self._page is not None:
            self._line.clear()
            self._x = self._end = 0
            left, top, width, height = self._page.areas[-1]
            self._page.bits = [
                kept
                for kept in self._page.bits
                if kept[0] or not (left <= kept[1] < left + width and top <= kept[2] < top + height)
            ]

    def end_page(self) -> None:
        """Print the page, each of its lines from left to right."""
        if self._page is None:
            return
        self.print_page()
        self._page = None

    def print_page(self) -> None:
        """Do what ESC FF does: print the page, and keep on collecting."""
        page = self._page
        if page is None:
            return
        self._end_page_line(0)
        self._page = None
        for direction in sorted({bit[0] for bit in page.bits}):
            bits = [bit[1:] for bit in page.bits if bit[0] == direction]
            least = min(x for x, _, _ in bits) if direction else 0
            self._print_lines(
                sorted(bits, key=lambda bit: bit[1]), max(least, 0) if not direction else least
            )
        for _, _, code in sorted(page.codes, key=lambda found: (found[1], found[0])):
            self._add(code)
        page.bits, page.codes = [], []
        self._page = page

    def _print_lines(self, bits: list[tuple[int, int, _Bit]], least: int) -> None:
        """Print what stands on a page: what is at about the same height is one line."""
        at = 0
        before: int | None = None
        while at < len(bits):
            top = bits[at][1]
            end = at
            while end < len(bits) and bits[end][1] - top < _SAME_LINE_DOTS:
                end += 1
            if before is not None and top - before > _LINE_DOTS + _SEAM_DOTS:
                self._feed(top - before - _LINE_DOTS)
            for x, _, bit in sorted(bits[at:end], key=lambda found: found[0]):
                bit.at = max(0, x - least)
                self._line.append(bit)
            align, self.align, left, self.left = self.align, "left", self.left, 0
            self._end_line()
            self.align, self.left = align, left
            before, at = top, end

    # Pictures and codes

    def picture(self, stride: int, rows: int, data: bytes, wide: int, high: int) -> None:
        """Print a raster of so many bytes a row, or as much of it as there is."""
        rows = min(rows, len(data) // stride if stride else 0)
        if not rows:
            return
        if self._page is not None:
            self._count_dots(stride * 8 * rows)
            stamp = _Stamp(self._x, stride * 8, rows, data[: rows * stride], wide, high)
            self._line.append(stamp)
            self._x += stride * 8 * wide
            return
        self._end_line()
        self._add_strip_item(stride, data[: rows * stride], wide, high)
        self._after_picture = 0
        self._returned = False

    def _count_dots(self, dots: int) -> None:
        self._dots += dots
        if self._dots > DOT_LIMIT:
            raise ReceiptError(_TOO_LONG)

    def _add_strip_item(self, stride: int, data: bytes, wide: int, high: int) -> None:
        keep = min(stride, DOTS_WIDE // 8)
        rows = len(data) // stride
        self._count_dots(keep * 8 * rows)
        if keep < stride:
            data = b"".join(data[start : start + keep] for start in range(0, rows * stride, stride))
        strip = _Strip(keep, self.align, wide, high, self.turned, [data])
        last = self._items[-1] if self._items else None
        if isinstance(last, _Strip) and last.goes_on(strip):
            last.pieces.append(data)
        else:
            self._add(strip)
        self._returned = False

    def strip(self, depth: int, data: bytes, wide: int, high: int) -> None:
        """Put columns of so many bytes into the line."""
        self._strips += 1
        if self._strips > STRIP_LIMIT:
            raise ReceiptError(_TOO_LONG)
        self._add_strip(depth, data, wide, high)
        self._returned = False

    def _add_strip(self, depth: int, data: bytes, wide: int, high: int) -> None:
        stamp = _stamp_of(depth, data, wide, high)
        if stamp is None:
            return
        self._count_dots(stamp.width * stamp.height)
        stamp.at = self._x
        self._line.append(stamp)
        self._x += stamp.width * wide
        self._end = -1

    def stamp(self, stamp: _Stamp, wide: int, high: int) -> None:
        """Print a picture that was kept."""
        self.picture((stamp.width + 7) // 8, stamp.height, stamp.data, wide, high)

    def code(self, kind: str, text: str) -> None:
        """Print a code."""
        if not text:
            return
        self._codes += 1
        self._code_texts += len(text)
        if self._codes > CODE_LIMIT or self._code_texts > CODE_TEXT_LIMIT:
            raise ReceiptError(_TOO_LONG)
        bars = kind not in TWO_DIMENSIONAL
        code = Code(
            kind,
            text,
            self.align,
            caption=self.caption and bars,
            heading=self.heading and bars,
        )
        if self._page is not None:
            x = self._x
            self._end_page_line(0)
            self._page.codes.append((x, self._page.y, code))
            return
        self._end_line()
        self._returned = False
        self._after_picture = 0
        self._add(code)

    def set_style(self, **changes: bool | int) -> None:
        """Print what follows in another style."""
        self.style = replace(self.style, **changes)  # type: ignore[arg-type]


def _stamp_of(depth: int, data: bytes, wide: int, high: int) -> _Stamp | None:
    """Make a picture of columns of so many bytes; None of nothing."""
    columns = min(len(data) // depth if depth else 0, DOTS_WIDE)
    if not columns:
        return None
    from PIL import Image  # noqa: PLC0415 - few receipts have one

    lying = Image.frombytes("1", (depth * 8, columns), data[: columns * depth])
    standing = lying.transpose(Image.Transpose.TRANSPOSE)
    return _Stamp(0, columns, depth * 8, standing.tobytes(), wide, high)


def _joined(stamps: list[_Stamp], left: int) -> _Stamp:
    """Make one picture of several beside each other."""
    from PIL import Image, ImageChops  # noqa: PLC0415 - few receipts have one

    width = min(max(left + stamp.at + stamp.width * stamp.wide for stamp in stamps), DOTS_WIDE)
    height = max(stamp.height * stamp.high for stamp in stamps)
    whole = Image.new("1", ((width + 7) // 8 * 8, height))
    for stamp in stamps:
        one = Image.frombytes("1", (stamp.width, stamp.height), stamp.data)
        one = one.resize((stamp.width * stamp.wide, stamp.height * stamp.high))
        place = Image.new("1", whole.size)
        place.paste(one, (left + stamp.at, height - one.height))
        whole = ImageChops.logical_or(whole, place)
    return _Stamp(0, whole.width, height, whole.tobytes(), 1, 1)


def _runs_of(line: list[_Bit]) -> tuple[Run, ...]:
    """Set the texts of a line; each says where it is if that is not behind the one before."""
    runs: list[Run] = []
    here = 0
    for bit in line:
        if isinstance(bit, _Stamp):
            continue
        text = "".join(bit.said)
        run = bit.style.run(text, None if bit.at == here else bit.at)
        here = bit.at + run.dots
        runs.append(run)
    return tuple(runs)


# The commands, each with the bytes that follow its name.


def _select_mode(paper: _Paper, given: bytes) -> None:
    mode = given[0]
    paper.set_style(
        small=bool(mode & 1),
        bold=bool(mode & 8),
        high=2 if mode & 16 else 1,
        wide=2 if mode & 32 else 1,
        underline=bool(mode & 128),
    )


def _select_size(paper: _Paper, given: bytes) -> None:
    paper.set_style(wide=1 + (given[0] >> 4 & 7), high=1 + (given[0] & 7))


def _set_spacing(paper: _Paper, given: bytes) -> None:
    paper.spacing = given[0]


def _reset_spacing(paper: _Paper, _: bytes) -> None:
    paper.spacing = _LINE_DOTS


def _set_align(paper: _Paper, given: bytes) -> None:
    paper.align = _ALIGNS.get(given[0], paper.align)


def _set_nation(paper: _Paper, given: bytes) -> None:
    paper.nation = commands.NATIONS.get(given[0], {})


def _set_stops(paper: _Paper, given: bytes) -> None:
    paper.set_stops(given.rstrip(b"\0"))


def _print_strip(paper: _Paper, given: bytes) -> None:
    mode = given[0] if given else 0
    depth = 3 if mode >= 32 else 1
    wide = 1 if mode & 1 else 2
    paper.strip(depth, given[3:], wide, 1 if depth == 3 else 3)


def _print_raster(paper: _Paper, given: bytes) -> None:
    if len(given) > 6 and given[0] == 0x30:
        mode = given[1] & 3
        paper.picture(
            read_word(given, 2), read_word(given, 4), given[6:], 1 + (mode & 1), 1 + (mode >> 1)
        )


def _graphics(paper: _Paper, given: bytes) -> None:
    """GS ( L and GS 8 L, from their function on: keep a picture, or print one that is kept."""
    if given[:1] != b"0" or len(given) < 2:
        return
    function = given[1]
    if function in {112, 113} and len(given) > 10:
        wide, high = min(max(given[3], 1), 2), min(max(given[4], 1), 2)
        paper.graphics = _drawn(given[6:], by_rows=function == 112, wide=wide, high=high)
    elif function in {2, 50} and paper.graphics is not None:
        paper.stamp(paper.graphics, paper.graphics.wide, paper.graphics.high)
    elif function in {67, 68, 83, 84} and len(given) > 11:
        drawn = _drawn(given[6:8] + given[8:], by_rows=function in {67, 83}, key=True)
        if drawn is not None:
            paper.kept[_place(function in {67, 68}, given[3:5])] = drawn
    elif function in {69, 85} and len(given) >= 6:
        wide, high = min(max(given[4], 1), 2), min(max(given[5], 1), 2)
        _print_kept(paper, _place(function == 69, given[2:4]), wide, high)


def _place(lasting: bool, name: bytes) -> bytes:  # noqa: FBT001 - one of two memories
    return (b"L" if lasting else b"l") + name


def _drawn(
    given: bytes, *, by_rows: bool, wide: int = 1, high: int = 1, key: bool = False
) -> _Stamp | None:
    """Read a picture's width, height and dots; before the dots of one that is kept is a colour."""
    width, height = read_word(given, 0), read_word(given, 2)
    data = given[5 if key else 4 :]
    if not by_rows:
        depth = (height + 7) // 8
        return _stamp_of(depth, data[: width * depth], wide, high)
    stride = (width + 7) // 8
    rows = min(height, len(data) // stride if stride else 0)
    return _Stamp(0, stride * 8, rows, data[: rows * stride], wide, high) if rows else None


def _print_kept(paper: _Paper, place: bytes, wide: int = 1, high: int = 1) -> None:
    if (stamp := paper.kept.get(place)) is not None:
        paper.stamp(stamp, wide, high)
    else:
        paper.remark("a picture that is kept in the printer itself, such as a logo, is left out")


def _keep_downloaded(paper: _Paper, given: bytes) -> None:
    """GS *: columns of so many bytes."""
    columns, depth = given[0] * 8, given[1]
    if (stamp := _stamp_of(depth, given[2 : 2 + columns * depth], 1, 1)) is not None:
        paper.kept[b"*"] = stamp


def _print_downloaded(paper: _Paper, given: bytes) -> None:
    _print_kept(paper, b"*", 1 + (given[0] & 1), 1 + (given[0] >> 1 & 1))


def _keep_pictures(paper: _Paper, given: bytes) -> None:
    """FS q: pictures that are kept for good, numbered from 1."""
    at = 1
    for number in range(1, given[0] + 1):
        columns, depth = read_word(given, at) * 8, read_word(given, at + 2)
        stamp = _stamp_of(depth, given[at + 4 : at + 4 + columns * depth], 1, 1)
        if stamp is not None:
            paper.kept[b"q%d" % number] = stamp
        at += 4 + columns * depth


def _print_picture(paper: _Paper, given: bytes) -> None:
    """FS p."""
    _print_kept(paper, b"q%d" % given[0], 1 + (given[1] & 1), 1 + (given[1] >> 1 & 1))


def _forget_own(paper: _Paper, given: bytes) -> None:
    paper.own.pop((paper.style.small, given[0]), None)


def _keep_own(paper: _Paper, given: bytes) -> None:
    """ESC &: characters that the till draws itself."""
    depth, first, last = given[0], given[1], given[2]
    at = 3
    for code in range(first, last + 1):
        columns = given[at]
        data = given[at + 1 : at + 1 + depth * columns]
        paper.own[paper.style.small, code] = (depth, columns, data)
        at += 1 + depth * columns


def _print_barcode(paper: _Paper, given: bytes) -> None:
    if given[0] == commands.SYMBOL_KIND:
        paper.code("qr", _plain(given[5:]))
        return
    kind = commands.BARCODES.get(given[0])
    if kind is not None:
        raw = given[2:] if given[0] >= 65 else given[1:-1]
        paper.code(kind, _code128(raw) if kind in {"code128", "gs1-128"} else _plain(raw))


def _code128(raw: bytes) -> str:
    """Read what is said in code sets A, B and C, between which {A, {B and {C switch."""
    said, numbers, at = [], False, 0
    while at < len(raw):
        if raw[at] == 0x7B and at + 1 < len(raw):
            sign = raw[at + 1 : at + 2]
            if sign in (b"A", b"B", b"C"):
                numbers = sign == b"C"
            elif sign == b"{":
                said.append("{")
            at += 2
        else:
            said.append(f"{raw[at]:02}" if numbers else chr(raw[at]))
            at += 1
    return _plain("".join(said).encode("latin-1", "ignore"))


def _plain(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.strip("\0")


def _symbol(paper: _Paper, given: bytes) -> None:
    """GS ( k: keep what a two-dimensional code says, or print it."""
    size, kind, function = read_word(given, 0), *given[2:4]
    if size < 3:
        return
    name = _SYMBOLS.get(kind)
    if function == 80:
        paper.symbol = given[5:]
    elif function == 81 and name is not None:
        paper.code(name, _plain(paper.symbol))


_SYMBOLS: Final[Mapping[int, str]] = {
    48: "pdf417", 49: "qr", 50: "maxicode", 51: "databar", 53: "aztec", 54: "datamatrix",
}  # fmt: skip


def _extended(paper: _Paper, given: bytes) -> None:
    if given[:1] == b"L":
        _graphics(paper, given[3:])
    elif given[:1] == b"k" and len(given) >= 5:
        _symbol(paper, given[1:])


def _flag(name: str) -> Callable[[_Paper, bytes], None]:
    return lambda paper, given: paper.set_style(**{name: bool(given[0] & 1)})


def _underline(paper: _Paper, given: bytes) -> None:
    paper.set_style(underline=given[0] & 3 != 0)


def _caption(paper: _Paper, given: bytes) -> None:
    paper.heading, paper.caption = bool(given[0] & 1), bool(given[0] & 2)


def _print_symbol(paper: _Paper, given: bytes) -> None:
    """ESC Z: what it says is a code of the kind that GS Z has chosen."""
    kinds = {0: "pdf417", 1: "datamatrix"}
    paper.code(kinds.get(paper.symbol_kind, "qr"), _plain(given[5:]))


def _kanji(*, on: bool) -> Callable[[_Paper, bytes], None]:
    def perform(paper: _Paper, _: bytes) -> None:
        paper.kanji = on

    return perform


def _kanji_code(paper: _Paper, given: bytes) -> None:
    paper.jis = given[0] in {0, 48}


def _attribute(name: str, read: Callable[[bytes], bool | int]) -> Callable[[_Paper, bytes], None]:
    return lambda paper, given: setattr(paper, name, read(given))


def _coding(paper: _Paper, given: bytes) -> None:
    """FS ( C: letters in UTF-8, or in a code page again."""
    if given[:1] == b"C" and len(given) >= 5 and given[3] == 48:
        paper.utf8 = given[4] in {2, 50}
        paper.set_style(read_order=paper.utf8)


def _device(paper: _Paper, given: bytes) -> None:
    """ESC =: what comes is for the printer, or for a display on a pole only."""
    paper.on = bool(given[0] & 1) or not given[0] & 2


def _area(paper: _Paper, given: bytes) -> None:
    paper.set_area(*(read_word(given, at) for at in (0, 2, 4, 6)))


def _left(paper: _Paper, given: bytes) -> None:
    paper.left = min(read_word(given, 0), DOTS_WIDE)


def _width(paper: _Paper, given: bytes) -> None:
    paper.width = read_word(given, 0) or paper.width


def _form_feed(paper: _Paper, _: bytes) -> None:
    if paper.in_page:
        paper.end_page()
    else:
        paper.feed_line()


_Perform = Callable[[_Paper, bytes], None]

_PERFORM: Final[Mapping[bytes, _Perform]] = {
    b"\t": lambda paper, _: paper.tab(),
    b"\n": lambda paper, _: paper.feed_line(),
    b"\x0c": _form_feed,
    b"\x18": lambda paper, _: paper.clear_page(),
    b"\r": lambda paper, _: paper.carriage_return(),
    b"\x1b@": lambda paper, _: paper.reset(),
    b"\x1b!": _select_mode,
    b"\x1b$": lambda paper, given: paper.move_to(read_word(given, 0)),
    b"\x1b\\": lambda paper, given: paper.move_by(read_word(given, 0)),
    b"\x1b*": _print_strip,
    b"\x1b-": _underline,
    b"\x1b2": _reset_spacing,
    b"\x1b3": _set_spacing,
    b"\x1bD": _set_stops,
    b"\x1bE": _flag("bold"),
    b"\x1bG": _flag("struck"),
    b"\x1bJ": lambda paper, given: paper.feed_dots(given[0]),
    b"\x1bM": _flag("small"),
    b"\x1bR": _set_nation,
    b"\x1ba": _set_align,
    b"\x1bd": lambda paper, given: paper.feed_lines(given[0]),
    b"\x1bt": lambda paper, given: paper.set_page(given[0]),
    b"\x1b ": lambda paper, given: paper.set_style(spacing=given[0]),
    b"\x1b%": _attribute("own_on", lambda given: bool(given[0] & 1)),
    b"\x1b&": _keep_own,
    b"\x1b=": _device,
    b"\x1b?": _forget_own,
    b"\x1bL": lambda paper, _: paper.begin_page(),
    b"\x1bS": lambda paper, _: paper.end_page(),
    b"\x1bT": lambda paper, given: paper.set_direction(given[0]),
    b"\x1bW": _area,
    b"\x1bZ": _print_symbol,
    b"\x1b\x0c": lambda paper, _: paper.print_page(),
    b"\x1b{": _attribute("turned", lambda given: bool(given[0] & 1)),
    b"\x1c&": _kanji(on=True),
    b"\x1c(": _coding,
    b"\x1c.": _kanji(on=False),
    b"\x1cC": _kanji_code,
    b"\x1cp": _print_picture,
    b"\x1cq": _keep_pictures,
    b"\x1d!": _select_size,
    b"\x1d$": lambda paper, given: paper.move_down_to(read_word(given, 0)),
    b"\x1d(": _extended,
    b"\x1d*": _keep_downloaded,
    b"\x1d/": _print_downloaded,
    b"\x1d8": lambda paper, given: _graphics(paper, given[5:]),
    b"\x1dB": _flag("inverse"),
    b"\x1dH": _caption,
    b"\x1dL": _left,
    b"\x1dW": _width,
    b"\x1dZ": _attribute("symbol_kind", lambda given: given[0] & 3),
    b"\x1d\\": lambda paper, given: paper.move_down_by(read_word(given, 0)),
    b"\x1dk": _print_barcode,
    b"\x1dv": _print_raster,
}
