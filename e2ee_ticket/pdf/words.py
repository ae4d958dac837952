"""What a drawn receipt says, as the lines of a ticket's text, from what it is drawn of (T42).

And what of it words cannot say: codes and pictures, as one small picture (T43).
"""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from e2ee_ticket.pdf import codes, draw
from e2ee_ticket.pdf.reading import in_order_of_reading
from e2ee_ticket.pdf.roll import COLUMN_DOTS, Cell, Code, Item, Paragraph, Picture, Roll, Row, Table
from e2ee_ticket.protocol import lines
from e2ee_ticket.protocol.lines import GAP, Line, Lines

_COLUMNS: Final = re.compile(r" {2,}")
_BORDERS: Final = re.compile("[\u2500-\u257f]+")
_RULE: Final = re.compile(r"[\s\-─━_=═*.~+|]*")
_LOGO_ROWS: Final = 320
"""Four centimetres on paper: a picture before any word that is no taller is taken for a logo."""
_LETTER_DOTS: Final = 4 * COLUMN_DOTS
"""As wide as a printer's own character may be; such a picture stands for a letter."""
_PAPER_DOTS: Final = 576
_MODULE_DOTS: Final = 4
_HEIGHT_MAX: Final = 8_000


def words_of_roll(roll: Roll) -> Lines | None:
    """Give the lines of a roll.

    None where it has no words, where a picture stands for some of its letters, or where it is too
    long for a text.
    """
    if any(_has_drawn_letters(item) for item in roll.items):
        return None
    return lines.fitting(line for item in roll.items for line in _lines_of(item))


def words_of_receipt(receipt: "draw.Receipt") -> Lines | None:
    """Give the lines of a receipt that is drawn of its data; None where it is too long."""
    return lines.fitting(draw.lines_of(receipt))


def rest_of_roll(roll: Roll) -> bytes | None:
    """Draw as one PNG what words cannot say of a roll: codes, and pictures other than a logo."""
    found: list[tuple[int, int, bytes]] = []
    begun = False
    for item in roll.items:
        for picture in _pictures_in(item):
            is_logo = not begun and picture.height * picture.high <= _LOGO_ROWS
            if not is_logo and (dots := _dots_of(picture)) is not None:
                found.append(dots)
        if isinstance(item, Code) and (drawn := _dots_of_code(item)) is not None:
            found.append(drawn)
        begun = begun or any(any(line) for line in _lines_of(item))
    return _png_of(found) if found else None


# Lines


def _has_drawn_letters(item: Item) -> bool:
    return isinstance(item, Row) and any(
        picture.width * picture.wide <= _LETTER_DOTS for _, picture in item.pictures
    )


def _lines_of(item: Item) -> Iterator[Line]:
    match item:
        case Row():
            yield _cells_of_row(item)
        case Paragraph():
            yield from ((line,) for line in item.text.splitlines())
        case Table():
            yield from _lines_of_table(item)
        case Code():
            if codes.draw_code(item.kind, item.text) is None or item.caption or item.heading:
                yield (item.text,)
        case Picture():
            pass
        case _:
            yield GAP


def _cells_of_row(row: Row) -> Line:
    """Cut a printer's line where it leaves blanks; of what is no column it makes one cell."""
    text = _BORDERS.sub("  ", row.text).strip()
    if _RULE.fullmatch(text):
        return GAP
    cells = _COLUMNS.split(text)
    if len(cells) > 1 and not any(c.isdigit() for cell in cells[1:] for c in cell):
        gaps = [len(gap[0]) for gap in _COLUMNS.finditer(text)]
        if max(gaps) <= 2:
            cells = [" ".join(cells)]
    if any(run.visual for run in row.runs):
        return tuple(in_order_of_reading(cells))
    return tuple(unicodedata.normalize("NFC", cell) for cell in cells)


def _lines_of_table(table: Table) -> Iterator[Line]:
    rows = [list(_spread(row)) for row in table.rows]
    wide = max(map(len, rows), default=0)
    rows = [[*row, *[""] * (wide - len(row))] for row in rows]
    used = [place for place in range(wide) if any(row[place].strip() for row in rows)]
    for row in rows:
        cells = [" ".join(row[place].split("\n")) for place in used]
        filled = [cell for cell in cells if cell.strip()]
        if len(filled) == 1 and (cells[0].strip() or len(cells) == 1):
            yield (filled[0],)
        elif filled:
            yield tuple(cells)


def _spread(row: tuple[Cell, ...]) -> Iterator[str]:
    """Give every column its text; what spans several stands at the side to which it is set."""
    for cell in row:
        rest = [""] * (max(1, cell.span) - 1)
        yield from [*rest, cell.text] if cell.align == "right" else [cell.text, *rest]


# Pictures


def _pictures_in(item: Item) -> Iterable[Picture]:
    if isinstance(item, Picture):
        return (item,)
    return [picture for _, picture in item.pictures] if isinstance(item, Row) else ()


def _dots_of(picture: Picture) -> tuple[int, int, bytes] | None:
    stride = (picture.width + 7) // 8
    rows = min(picture.height, len(picture.data) // stride if stride else 0)
    return (picture.width, rows, picture.data[: rows * stride]) if rows else None


def _dots_of_code(code: Code) -> tuple[int, int, bytes] | None:
    """Draw a code with a few dots for its finest line, and white around it."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - few receipts have one

    drawing = codes.draw_code(code.kind, code.text)
    if drawing is None:
        return None
    sides = {round(side, 4) for box in drawing.boxes for side in box[2:]}
    scale = _MODULE_DOTS / min(sides)
    quiet = round(drawing.quiet * scale)
    size = (round(drawing.width * scale) + 2 * quiet, round(drawing.height * scale) + 2 * quiet)
    if max(size) > _HEIGHT_MAX:
        return None
    image = Image.new("1", size, 0)
    pen = ImageDraw.Draw(image)
    for x, y, width, height in drawing.boxes:
        left, top = quiet + round(x * scale), quiet + round(y * scale)
        right, bottom = quiet + round((x + width) * scale), quiet + round((y + height) * scale)
        pen.rectangle((left, top, right - 1, bottom - 1), fill=1)
    return (*size, image.tobytes())


def _png_of(found: list[tuple[int, int, bytes]]) -> bytes | None:
    """Stack pictures, each (width, rows, bits set for black), in the middle of white paper."""
    from PIL import Image  # noqa: PLC0415 - few receipts have one

    wide = max(width for width, _, _ in found)
    gap = 2 * COLUMN_DOTS
    tall = sum(rows for _, rows, _ in found) + gap * (len(found) + 1)
    if tall > _HEIGHT_MAX:
        return None
    paper = Image.new("1", (wide, tall), 1)
    y = gap
    for width, rows, data in found:
        dots = Image.frombytes("1", (width, rows), data)
        paper.paste(0, ((wide - width) // 2, y), mask=dots)
        y += rows + gap
    out = io.BytesIO()
    paper.save(out, "PNG", optimize=True)
    return out.getvalue()
