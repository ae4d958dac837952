"""What a receipt printer's bytes (ESC/POS) would have looked like on paper, as a roll.

Everything that shows is decoded: text in its styles and code pages, pictures, barcodes, QR codes,
paper fed. What opens a drawer, asks for a state or cuts paper is somebody else's, and what is not
known is skipped. Any bytes whatever give a roll or one clear error, in time that grows with them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.errors import ConfigError, ReceiptError
from e2ee_ticket.pdf.roll import COLUMN_DOTS, Align, Code, Item, Picture, Roll, Row, Run, Space
from e2ee_ticket.sources import escpos_commands as commands
from e2ee_ticket.sources.escpos_commands import JOB_MAX_SIZE, read_word

CODE_PAGE: Final = "cp858"
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

_SMALL_DOTS: Final = 9
_LINE_DOTS: Final = 30
_SEAM_DOTS: Final = 8  # so much between two strips is the driver's carelessness, not a gap
_TOO_LONG: Final = "the receipt is longer than a receipt can be: print it on paper"
_ALIGNS: Final[Mapping[int, Align]] = {
    0: "left", 1: "center", 2: "right", 48: "left", 49: "center", 50: "right",
}  # fmt: skip


def check_code_page(code_page: object) -> str:
    """Return a code page that a printer can start with.

    Raises:
        ConfigError: it is none.
    """
    if code_page not in (*commands.PAGES.values(), "utf-8"):
        raise ConfigError("code_page must be one such as cp437, cp850, cp858, cp1252 or utf-8")
    return str(code_page)


def decode(
    data: bytes,
    *,
    code_page: str = CODE_PAGE,
    columns: int = COLUMNS,
    lang: str = "en",
    title: str = "",
) -> Roll:
    """Read a job, or as much of one as there is.

    Raises:
        ReceiptError: more than any receipt holds: bytes, lines, text, pictures, codes.
        ConfigError: a code page that is none.
    """
    if len(data) > JOB_MAX_SIZE:
        raise ReceiptError("the print job is larger than 4 MiB: print it on paper")
    paper = _Paper(check_code_page(code_page), columns)
    at = performed = 0
    while at < len(data):
        if text := commands.TEXT.match(data, at):
            paper.write(text[0])
            at = text.end()
            continue
        length = commands.length_of(data, at)
        performed += 1
        if performed > commands.COMMAND_LIMIT:
            raise ReceiptError(_TOO_LONG)
        end = len(data) if length is None else min(at + length, len(data))
        name = data[at : at + (1 if length == 1 else 2)]
        if (perform := _PERFORM.get(name)) is not None:
            whole = length is not None and at + length <= len(data)
            # A picture cut short is shown as far as it came; other commands are whole or nothing.
            if whole or name in commands.PICTURES:
                perform(paper, data[at + 2 : end])
        at = end
    return Roll(paper.finish(), columns=columns, lang=lang, title=title)


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

    @property
    def dots(self) -> int:
        """How many dots a character is wide."""
        return (_SMALL_DOTS if self.small else COLUMN_DOTS) * self.wide

    def run(self, text: str) -> Run:
        """Set a text in this style."""
        return Run(
            text,
            bold=self.bold or self.struck,
            underline=self.underline,
            inverse=self.inverse,
            small=self.small,
            wide=self.wide,
            high=self.high,
        )


@dataclass(slots=True)
class _Strip:
    """A picture that may go on with the next command."""

    stride: int
    align: Align
    wide: int
    high: int
    pieces: list[bytes] = field(default_factory=list)

    def goes_on(self, other: "_Strip") -> bool:
        return (self.stride, self.align, self.wide, self.high) == (
            other.stride,
            other.align,
            other.wide,
            other.high,
        )

    def items(self) -> list[Item]:
        """Return the picture, with what is empty above and below as paper fed."""
        data = b"".join(self.pieces)
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


class _Paper:
    """The printer: its state, the line it is at, and what it has printed."""

    def __init__(self, code_page: str, columns: int) -> None:
        self._start_page, self._columns = code_page, columns
        self._items: list[Item | _Strip] = []
        self._line: list[tuple[_Style, list[str]]] = []
        self._texts = self._runs = self._dots = self._strips = 0
        self._codes = self._code_texts = 0
        self.reset()

    def reset(self) -> None:
        """Do what ESC @ does; a line that was begun is printed rather than lost."""
        self._end_line()
        self.style = _Style()
        self.align: Align = "left"
        self.page = self._start_page
        self.nation: Mapping[int, str] = {}
        self.spacing = _LINE_DOTS
        self.stops: tuple[int, ...] = tuple(range(8, 256, 8))
        self.caption = False
        self.qr = b""
        self.graphics: tuple[bool, bytes] | None = None
        self._after_picture = 0
        self._returned = False

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
            if part:
                text = part.decode(self.page, "replace").replace("\ufffd", "?")
                self._put(text.translate(self.nation) if self.nation else text)

    def _put(self, text: str) -> None:
        self._texts += len(text)
        if self._texts > TEXT_LIMIT:
            raise ReceiptError(_TOO_LONG)
        self._returned = False
        self._after_picture = 0
        if self._line and self._line[-1][0] == self.style:
            self._line[-1][1].append(text)
        else:
            self._line.append((self.style, [text]))
        self._column_dots += len(text) * self.style.dots

    def tab(self) -> None:
        """Go on at the next tab stop, if there is any."""
        width = self.style.dots
        here = self._column_dots // width
        stop = next((stop for stop in self.stops if stop > here), None)
        if stop is not None and stop * width < self._columns * COLUMN_DOTS:
            self._put(" " * (stop - here))

    def move_to(self, dots: int) -> None:
        """Go on so many dots from the left; never back."""
        limit = min(dots, self._columns * COLUMN_DOTS)
        missing = (limit - self._column_dots) / self.style.dots
        if missing >= 0.5:
            self._put(" " * round(missing))

    def move_by(self, dots: int) -> None:
        """Go on so many dots to the right; never to the left, which is above half of the range."""
        if dots < 0x8000:
            self.move_to(self._column_dots + dots)

    # Paper

    def feed_line(self) -> None:
        """Print the line, and feed it."""
        if self._returned:
            self._returned = False
        elif not self._end_line():
            self._feed(self.spacing)

    def carriage_return(self) -> None:
        """Print the line, if there is any; a line feed that follows adds nothing."""
        self._returned = self._end_line()

    def feed_lines(self, lines: int) -> None:
        """Print the line, and feed so many."""
        printed = self._end_line() or self._returned
        self._returned = False
        self._feed(max(0, lines - printed) * _LINE_DOTS)

    def feed_dots(self, dots: int) -> None:
        """Print the line, and feed so many dots."""
        printed = self._end_line() or self._returned
        self._returned = False
        self._feed(max(0, dots - (_LINE_DOTS if printed else 0)))

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
        self._column_dots = 0
        if not line:
            return False
        self._runs += len(line)
        if self._runs > RUN_LIMIT:
            raise ReceiptError(_TOO_LONG)
        runs = tuple(style.run("".join(texts)) for style, texts in line)
        if any(run.text.strip() or run.underline or run.inverse for run in runs):
            self._add(Row(runs, self.align))
        else:
            self._feed(_LINE_DOTS)
        return True

    def _add(self, item: "Item | _Strip") -> None:
        if len(self._items) >= ITEM_LIMIT:
            raise ReceiptError(_TOO_LONG)
        self._items.append(item)

    def finish(self) -> tuple[Item, ...]:
        """Print the last line, and return all of it without the paper fed around it."""
        self._end_line()
        items: list[Item] = []
        for item in self._items:
            items += item.items() if isinstance(item, _Strip) else [item]
        while items and isinstance(items[-1], Space):
            items.pop()
        first = next((n for n, item in enumerate(items) if not isinstance(item, Space)), 0)
        return tuple(items[first:])

    # Pictures and codes

    def picture(self, stride: int, rows: int, data: bytes, wide: int, high: int) -> None:
        """Print a raster of so many bytes a row, or as much of it as there is."""
        rows = min(rows, len(data) // stride if stride else 0)
        if not rows:
            return
        self._end_line()
        keep = min(stride, DOTS_WIDE // 8)
        self._dots += keep * 8 * rows
        if self._dots > DOT_LIMIT:
            raise ReceiptError(_TOO_LONG)
        data = data[: rows * stride]
        if keep < stride:
            data = b"".join(data[start : start + keep] for start in range(0, rows * stride, stride))
        strip = _Strip(keep, self.align, wide, high, [data])
        last = self._items[-1] if self._items else None
        if isinstance(last, _Strip) and last.goes_on(strip):
            last.pieces.append(data)
        else:
            self._add(strip)
        self._returned = False

    def strip(self, depth: int, data: bytes, wide: int, high: int) -> None:
        """Print columns of so many bytes."""
        columns = min(len(data) // depth, DOTS_WIDE)
        if not columns:
            return
        self._strips += 1
        if self._strips > STRIP_LIMIT:
            raise ReceiptError(_TOO_LONG)
        from PIL import Image  # noqa: PLC0415 - few receipts have one

        lying = Image.frombytes("1", (depth * 8, columns), data[: columns * depth])
        standing = lying.transpose(Image.Transpose.TRANSPOSE)
        self.picture((columns + 7) // 8, depth * 8, standing.tobytes(), wide, high)
        self._after_picture = depth * 8 * high

    def code(self, kind: str, text: str) -> None:
        """Print a code."""
        if not text:
            return
        self._codes += 1
        self._code_texts += len(text)
        if self._codes > CODE_LIMIT or self._code_texts > CODE_TEXT_LIMIT:
            raise ReceiptError(_TOO_LONG)
        self._end_line()
        self._returned = False
        self._after_picture = 0
        self._add(Code(kind, text, self.align, caption=self.caption and kind != "qr"))

    def set_style(self, **changes: bool | int) -> None:
        """Print what follows in another style."""
        now = {name: getattr(self.style, name) for name in _Style.__slots__}
        self.style = _Style(**{**now, **changes})


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


def _set_page(paper: _Paper, given: bytes) -> None:
    paper.page = commands.PAGES.get(given[0], paper.page)


def _set_nation(paper: _Paper, given: bytes) -> None:
    paper.nation = commands.NATIONS.get(given[0], {})


def _set_stops(paper: _Paper, given: bytes) -> None:
    paper.stops = tuple(sorted(set(given.rstrip(b"\0"))))


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
    """GS ( L and GS 8 L, from their function on: keep a picture, or print the one that is kept."""
    if given[:1] != b"0" or len(given) < 2:
        return
    function = given[1]
    if function in {112, 113} and len(given) > 10:
        paper.graphics = (function == 112, given[2:])
    elif function in {2, 50} and paper.graphics is not None:
        by_rows, picture = paper.graphics
        wide, high = min(max(picture[1], 1), 2), min(max(picture[2], 1), 2)
        width, height = read_word(picture, 4), read_word(picture, 6)
        if by_rows:
            paper.picture((width + 7) // 8, height, picture[8:], wide, high)
        elif depth := (height + 7) // 8:
            paper.strip(depth, picture[8 : 8 + width * depth], wide, high)


def _print_barcode(paper: _Paper, given: bytes) -> None:
    kind = commands.BARCODES.get(given[0])
    if kind is not None:
        raw = given[2:] if given[0] >= 65 else given[1:-1]
        paper.code(kind, _code128(raw) if kind == "code128" else _plain(raw))


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
        paper.qr = given[5:]
    elif function == 81 and name is not None:
        paper.code(name, _plain(paper.qr))


_SYMBOLS: Final[Mapping[int, str]] = {
    48: "pdf417", 49: "qr", 51: "databar", 53: "aztec", 54: "datamatrix",
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
    paper.caption = given[0] & 3 != 0


_Perform = Callable[[_Paper, bytes], None]

_PERFORM: Final[Mapping[bytes, _Perform]] = {
    b"\t": lambda paper, _: paper.tab(),
    b"\n": lambda paper, _: paper.feed_line(),
    b"\x0c": lambda paper, _: paper.feed_line(),
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
    b"\x1bt": _set_page,
    b"\x1d!": _select_size,
    b"\x1d(": _extended,
    b"\x1d8": lambda paper, given: _graphics(paper, given[5:]),
    b"\x1dB": _flag("inverse"),
    b"\x1dH": _caption,
    b"\x1dk": _print_barcode,
    b"\x1dv": _print_raster,
}
