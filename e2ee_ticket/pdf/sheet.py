"""The page that receipts are drawn on: 80 mm wide, tagged, with its fonts inside.

A receipt is a pile of bands, each as wide as the page; a `Sheet` lays them out from top to bottom,
on one page as long as they are. The same bands give the same bytes.
"""

import bisect
import contextlib
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from fpdf import FPDF
from fpdf.enums import TextDirection

from e2ee_ticket.pdf import letters
from e2ee_ticket.pdf.letters import MONO, TEXT, file_of
from e2ee_ticket.pdf.tags import ROW, Mark, put_tree

if TYPE_CHECKING:
    from fpdf.fonts import TTFFont

PAGE_WIDTH: Final = 80.0
PAGE_MAX_HEIGHT: Final = 5000.0  # readers allow 5080 mm
MARGIN: Final = 6.0
TOP, BOTTOM = 8.0, 9.0
INK, QUIET, RULE, PAPER = 0, 90, 170, 255
POINT: Final = 25.4 / 72

_HARD: Final = "\u00a0\u202f"
_BOLD: Final = 0.03  # of the type's size
_ROUNDING: Final = 1e-6  # sums of widths are no exact numbers
_LINE_LIMIT: Final = 300  # more characters than any line holds


@dataclass(frozen=True, slots=True)
class Band:
    """Something as wide as the page; `tag` is its role for those who listen, None is decoration.

    `alt` is what a figure is in words. Bands of one `part` are one line that was broken. A row of a
    table marks its cells itself (`Sheet.marked_cell`).
    """

    height: float
    draw: Callable[[float], None]
    tag: str | None = None
    alt: str | None = None
    part: int | None = None


def blank(height: float) -> Band:
    """Leave so much empty."""
    return Band(height, lambda _: None)


_GROUPS_MAX: Final = 5
_FIRST_GROUP: Final = re.compile(r"[^\w\s]{0,3}\d{1,3}")
_GROUP: Final = re.compile(r"\d{3}(?:[.,]\d+)?[^\w\s]{0,3}")
_WHOLE_GROUP: Final = re.compile(r"\d{3}")
_SIGN: Final = re.compile(r"[-+\u2212\u00d7x*@#€$£]")
_UNIT: Final = re.compile(r"[€$£¥%\u20a0-\u20cf]|[A-Z]{3}")


def _blank_or_itself(letter: str) -> str:
    if letter.isprintable() or letter in _HARD or letter in letters.JOINERS:
        return letter
    return "" if letter in letters.SILENT else " "


def words_of(text: str) -> Iterator[str]:
    """Give the pieces of a line between which it may be broken.

    A number stays with its groups of digits, its sign and its currency: `- 1 214,50 €` is one.
    """
    words = "".join(map(_blank_or_itself, text)).split(" ")
    words = [word for word in words if word]
    at = 0
    while at < len(words):
        end = at + 1
        if _SIGN.fullmatch(words[at]) and end < len(words) and words[end][:1].isdigit():
            end += 1
        if _FIRST_GROUP.fullmatch(words[end - 1]):
            groups = 1
            while end < len(words) and groups < _GROUPS_MAX and _GROUP.fullmatch(words[end]):
                end, groups = end + 1, groups + 1
                if not _WHOLE_GROUP.fullmatch(words[end - 1]):
                    break
        if end < len(words) and words[end - 1][-1:].isdigit() and _UNIT.fullmatch(words[end]):
            end += 1
        yield " ".join(words[at:end])
        at = end


def _said(piece: letters.Piece, clusters: list[int]) -> list[str]:
    """Share the letters of a piece among its glyphs, of which each names its first letter.

    What is read from right to left is given letter by letter from left to right: readers of PDFs
    turn it round.
    """
    starts = sorted(set(clusters))
    ends = dict(zip(starts, [*starts[1:], len(piece.text)], strict=True))
    rest = {start: piece.text[start:end] for start, end in ends.items()}
    if not piece.rightward:
        rest = {start: text[::-1] for start, text in rest.items()}
    left = Counter(clusters)
    said = []
    for cluster in clusters:
        left[cluster] -= 1
        count = 1 if left[cluster] else len(rest[cluster])
        said.append(rest[cluster][:count])
        rest[cluster] = rest[cluster][count:]
    return said


def _direction_of(piece: letters.Piece) -> dict[str, Any]:
    direction = TextDirection.LTR if piece.rightward else TextDirection.RTL
    return {"features": {}, "fragment_direction": direction}


def packed(pdf: bytes, marks: list[Mark]) -> bytes:
    """Give a PDF of ours its tags, and write its many small objects as one that is compressed.

    A third less for a receipt of ten lines; the same bytes for the same bytes.
    """
    import pikepdf  # noqa: PLC0415 - what only measures texts does not need it

    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf)) as document:
        put_tree(document, marks)
        document.save(
            out,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            recompress_flate=True,
            deterministic_id=True,
        )
    return out.getvalue()


class Sheet(FPDF):
    """The page, the fonts, and the ways to set a text."""

    def __init__(self, *, title: str, lang: str, issued: datetime) -> None:
        super().__init__(unit="mm", format=(PAGE_WIDTH, 100.0))
        self.set_auto_page_break(auto=False)
        self.set_margin(0)
        self.set_title(title)
        self.set_lang(lang)
        self.set_creator("e2ee-ticket")
        self.set_producer("fpdf2")
        self.set_creation_date(issued.astimezone(UTC))
        self.set_display_mode("fullwidth")
        self._marks: list[Mark] = []
        self._line = 0
        self._part: int | None = None
        self._parts = itertools.count()

    def draw(self, bands: Iterable[Band]) -> bytes:
        """Draw the bands, and return the PDF."""
        page: list[Band] = []
        height = TOP + BOTTOM
        for band in bands:
            if page and height + band.height > PAGE_MAX_HEIGHT:
                self._draw_page(page, height)
                page, height = [], TOP + BOTTOM
            page.append(band)
            height += band.height
        self._draw_page(page, height)
        return packed(bytes(self.output()), self._marks)

    def close(self) -> None:
        """Close the fonts' files, which fpdf2 does only when it comes to its end."""
        for font in self.fonts.values():
            cast("TTFFont", font).close()

    def _draw_page(self, bands: list[Band], height: float) -> None:
        self.add_page(format=(PAGE_WIDTH, height))
        y = TOP
        for band in bands:
            with self._tagged(band):
                band.draw(y)
            y += band.height

    @contextlib.contextmanager
    def _tagged(self, band: Band) -> Iterator[None]:
        if band.part is None or band.part != self._part:
            self._line += 1
        self._part = band.part
        if band.tag is None:
            self._out("/Artifact BMC")
            yield
            self._out("EMC")
        elif band.tag == ROW:
            yield
        else:
            with self._marked(band.tag, alt=band.alt):
                yield

    def next_part(self) -> int:
        """Number a line that may be broken into several bands."""
        return next(self._parts)

    @contextlib.contextmanager
    def marked_cell(self, place: int, *, head: bool = False) -> Iterator[None]:
        """Mark what is drawn as a cell of the row whose band it is; `place` counts from 0."""
        with self._marked(ROW, place, "TH" if head else None):
            yield

    @contextlib.contextmanager
    def _marked(self, role: str, place: int = 0, alt: str | None = None) -> Iterator[None]:
        before = self._marks[-1] if self._marks else None
        number = before.number + 1 if before and before.page == self.page - 1 else 0
        self._marks.append(Mark(self.page - 1, number, role, self._line, place, alt))
        tag = "TD" if role == ROW else role
        self._out(f"/{tag} <</MCID {number}>> BDC")
        yield
        self._out("EMC")

    def choose(self, size: float, *, style: str = "", family: str = TEXT) -> None:
        """Choose a font; only those that are chosen are in the PDF."""
        if family.lower() + style not in self.fonts:
            self.add_font(family, style, file_of(family, style))
        self.set_font(family, style, size)

    def put(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        style: str = "",
        ink: int = INK,
        family: str = TEXT,
        base: bool | None = None,
    ) -> None:
        """Set a text with its baseline at y and its left at x, every script in its own order.

        `base` says whether the line as a whole is read from left to right; None asks its letters.
        """
        if self._marks and text.strip():
            self._marks[-1].said.append(text.strip())
        for piece in letters.pieces(letters.legible(text, family), family, base=base):
            self.choose_for(piece, size, style)
            self.set_text_color(ink)
            bold = style == "B" and piece.family not in {TEXT, MONO}
            if bold:
                # There is no bold file of it: its outline is drawn, too.
                self._out(f"q 2 Tr {size * _BOLD:.3f} w {ink / 255:.3f} G")
            if self._marks and (piece.shaped or not piece.rightward):
                self._marks[-1].reordered = True
            if piece.shaped:
                self._put_shaped(x, y, piece, size, ink)
            else:
                self.text(x, y, letters.drawn_order(piece))
            if bold:
                self._out("Q")
            x += self._measure_piece(piece, size, style)

    def choose_for(self, piece: letters.Piece, size: float, style: str) -> None:
        """Choose the font of a piece; only the receipt's own two fonts have bold files."""
        own = piece.family in {TEXT, MONO}
        self.choose(size, style=style if own else "", family=piece.family)

    def _put_shaped(self, x: float, y: float, piece: letters.Piece, size: float, ink: int) -> None:
        """Set letters that join or stand above each other, each where HarfBuzz puts it."""
        font = cast("TTFFont", self.current_font)
        if not self.current_font_is_set_on_page:
            self._out(self._set_font_for_page(font, self.font_size_pt))
        unit = size * POINT * font.scale / 1000 * self.font_stretching / 100  # millimetres
        k = 1 / POINT
        infos, positions = font.perform_harfbuzz_shaping(piece.text, size, _direction_of(piece))
        said = _said(piece, [info.cluster for info in infos])
        out = [f"q {ink / 255:.3f} g BT"]
        for info, position, letters_said in zip(infos, positions, said, strict=True):
            name = font.ttfont.getGlyphName(info.codepoint)
            glyph = font.subset.get_glyph(
                glyph=info.codepoint,
                unicode=tuple(map(ord, letters_said)),
                glyph_name=name,
                glyph_width=round(font.scale * font.ttfont["hmtx"].metrics[name][0]),
            )
            code = font.subset.pick_glyph(glyph) if glyph is not None else None
            if code is not None:
                left, up = x + position.x_offset * unit, y - position.y_offset * unit
                place = f"{left * k:.2f} {(self.h - up) * k:.2f}"
                out.append(f"1 0 0 1 {place} Tm ({font.escape_text(chr(code))}) Tj")
            x += position.x_advance * unit
        out.append("ET Q")
        if piece.rightward and not all(said):
            # A reader would copy such a glyph as a sign of its own, if not told the whole.
            text = piece.text.encode("utf-16-be").hex().upper()
            out = [f"/Span <</ActualText <FEFF{text}>>> BDC", *out, "EMC"]
        self._out(" ".join(out))

    def put_right(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        style: str = "",
        ink: int = INK,
    ) -> None:
        """Set a text with its right at x."""
        left = x - self.measure(text, size, style)
        self.put(left, y, text, size, style=style, ink=ink)

    def put_centred(
        self, y: float, text: str, size: float, *, style: str = "", ink: int = INK
    ) -> None:
        """Set a text in the middle of the page."""
        left = PAGE_WIDTH / 2 - self.measure(text, size, style) / 2
        self.put(left, y, text, size, style=style, ink=ink)

    def rule(self, y: float, *, width: float = 0.2, ink: int = RULE) -> None:
        """Draw a line from margin to margin."""
        self.set_draw_color(ink)
        self.set_line_width(width)
        self.line(MARGIN, y, PAGE_WIDTH - MARGIN, y)

    def fill(self, boxes: Iterable[tuple[float, float, float, float]], *, ink: int = INK) -> None:
        """Fill boxes (x, y, width, height) as one path, so that no seam shows between them."""
        self.set_fill_color(ink)
        k = 1 / POINT
        path = " ".join(
            f"{x * k:.3f} {(self.h - y - height) * k:.3f} {width * k:.3f} {height * k:.3f} re"
            for x, y, width, height in boxes
        )
        if path:
            self._out(f"{path} f")

    def measure(self, text: str, size: float, style: str = "", family: str = TEXT) -> float:
        """Tell how wide a text is."""
        legible = letters.legible(text, family)
        # The order of what is read from right to left makes no difference to its width.
        return sum(
            self._measure_piece(piece, size, style) for piece in letters.unordered(legible, family)
        )

    def _measure_piece(self, piece: letters.Piece, size: float, style: str) -> float:
        self.choose_for(piece, size, style)
        if not piece.shaped:
            return float(self.get_string_width(piece.text))
        font = cast("TTFFont", self.current_font)
        _, positions = font.perform_harfbuzz_shaping(piece.text, size, _direction_of(piece))
        unit = size * POINT * font.scale / 1000 * self.font_stretching / 100
        return float(sum(position.x_advance for position in positions)) * unit

    def wrap(
        self, text: str, width: float, size: float, style: str = "", family: str = TEXT
    ) -> list[str]:
        """Cut a text into lines, between words where there are any."""
        lines = [""]
        for word in words_of(text):
            rest = word
            while rest:
                longer = f"{lines[-1]} {rest}".strip(" ")
                short = len(longer) <= _LINE_LIMIT  # measuring all of a long word is not linear
                if short and self.measure(longer, size, style, family) <= width + _ROUNDING:
                    lines[-1], rest = longer, ""
                elif lines[-1]:
                    lines.append("")
                else:
                    lines[-1], rest = self._cut(rest, width, size, style, family)
                    lines.append("")
        return [line for line in lines if line]

    def _cut(
        self, word: str, width: float, size: float, style: str, family: str
    ) -> tuple[str, str]:
        counts = range(2, min(len(word), _LINE_LIMIT) + 1)
        count = 1 + bisect.bisect_right(
            counts,
            width + _ROUNDING,
            key=lambda count: self.measure(word[:count], size, style, family),
        )
        hyphen = word.rfind("-", 1, count) + 1
        if hyphen > 1 and not any(c.isdigit() for c in word):
            count = hyphen
        return word[:count], word[count:]
