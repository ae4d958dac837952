"""The text of a stranger's PDF, as lines of cells, by where its letters stand (T42).

The standard library and pypdfium2 only: child.py loads this file by its path. What is read here is
a page's letters in the order in which they stand; where that is not surely what a reader sees, a
word says why, and there is no text.
"""

# As in child.py: no types for what a file holds, and imported where it is needed.
# ruff: noqa: ANN401, PLC0415

import ctypes
import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

NONE, UNMAPPED, TURNED, UNSEEN, PICTURED, OUTLINED, FIELDS, OVERLAID, COLUMNS, LONG = (
    "none", "unmapped", "turned", "unseen", "pictured", "outlined", "fields", "overlaid",
    "columns", "long",
)  # fmt: skip

UNKNOWN = "\ufffd"
HYPHENS = frozenset({"\x02", "\ufffe", "\xad"})
INVISIBLE_MODES = (3, 7)
TURNED_MIN = 0.05  # radians
LETTERS_MAX = 20_000
PAGES_MAX = 30
LETTERS_MIN = 8
SHARE_MAX = 0.01  # of letters that are not as they should be
UNSEEN_SHARE_MAX = 0.25  # a program's own mark is not seen; the text of a scan is not, either
PICTURE_SHARE_MAX = 0.2  # of a page
CURVES_MAX = 20  # a path of a letter's outline has more parts than a box has
OUTLINES_MAX = 12
BLANK_EM = 0.16
CELL_EM = 0.95
GAP_LINES = 1.9
SAME_LINE_EM = 0.3
TEXT_COLUMN_LETTERS, TEXT_COLUMN_LINES = 24, 5

_LEFTWARD = frozenset({"R", "AL"})
_MIRRORED = str.maketrans("()[]{}<>«»", ")(][}{><»«")
# What is read from left to right within a line that is read from right to left: numbers, Latin.
_STRONG = "A-Za-z0-9\u00c0-\u024f\u0660-\u0669"
_RIGHTWARD = re.compile(f"[{_STRONG}%](?:[ .,:/%+@_'&-]*[{_STRONG}%])*")
_MARKS_FIRST = re.compile("([\u0591-\u05bd\u05bf-\u05c7\u064b-\u065f]+)(\\w)")


class Poor(Exception):  # noqa: N818 - it is a finding, not an error
    """Why there is no text that could be vouched for; `why` is one of the words above."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Letter(NamedTuple):
    """One letter of a page: its text, where it begins and ends, its baseline and its size."""

    text: str
    left: float
    right: float
    base: float
    size: float


def is_leftward(letter: str) -> bool:
    """Tell whether a letter belongs to a script that is read from right to left."""
    return letter >= "\u0590" and unicodedata.bidirectional(letter) in _LEFTWARD


def logical(text: str) -> str:
    """Put a text that stands from left to right into the order in which it is read.

    Forms of Arabic letters become the letters.
    """
    if text.isascii() or not any(map(is_leftward, text)):
        return text
    turned = text[::-1].translate(_MIRRORED)
    read = _RIGHTWARD.sub(lambda run: run[0][::-1].translate(_MIRRORED), turned)
    read = _MARKS_FIRST.sub(r"\2\1", read)
    if any("\ufb1d" <= letter <= "\ufefc" for letter in read):
        return unicodedata.normalize("NFKC", read)
    return read


def in_order_of_reading(cells: list[str]) -> list[str]:
    """Put cells that stand from left to right into the order in which they are read.

    Where words stand on the left and a number on the right, it is a line of a table that is read
    from the left, whatever its words are written in.
    """
    if not any(is_leftward(letter) for cell in cells for letter in cell):
        return [unicodedata.normalize("NFC", cell) for cell in cells]
    read = [logical(cell) for cell in cells]
    return read if any(map(is_leftward, cells[0])) and len(cells) > 1 else read[::-1]


def read(document: Any) -> list[list[str]]:
    """Read all pages of a document of pypdfium2.

    Raises:
        Poor: what would be read is not surely all of it, in order.
    """
    if len(document) > PAGES_MAX:
        raise Poor(LONG)
    found: list[list[str]] = []
    count = 0
    for number in range(len(document)):
        page = document[number]
        try:
            _check_objects(page)
            letters = list(_letters(page))
            count += len(letters)
            if count > LETTERS_MAX:
                raise Poor(LONG)
            lines = list(_lines(letters))
        finally:
            page.close()
        found += [[""], *lines] if found else lines
    if count < LETTERS_MIN:
        raise Poor(NONE)
    _check_columns(found)
    return found


def _check_objects(page: Any) -> None:
    """Refuse a page that shows more than its letters say: pictures, outlines, fields."""
    from pypdfium2 import raw

    for number in range(raw.FPDFPage_GetAnnotCount(page)):
        note = raw.FPDFPage_GetAnnot(page, number)
        kind = raw.FPDFAnnot_GetSubtype(note)
        raw.FPDFPage_CloseAnnot(note)
        if kind not in {raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP}:
            raise Poor(FIELDS)
    width, height = page.get_size()
    pictured, outlined = 0.0, 0
    for item in page.get_objects(max_depth=3):
        if item.type == raw.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = item.get_bounds()
            pictured += max(0.0, right - left) * max(0.0, top - bottom)
        elif item.type == raw.FPDF_PAGEOBJ_PATH:
            outlined += raw.FPDFPath_CountSegments(item) > CURVES_MAX
    if pictured > PICTURE_SHARE_MAX * width * height:
        raise Poor(PICTURED)
    if outlined > OUTLINES_MAX:
        raise Poor(OUTLINED)


def _letters(page: Any) -> Iterator[Letter]:
    """Give the letters of a page, in the order in which its stream has them.

    Raises:
        Poor: some are turned, not seen, or of no known sign.
    """
    from pypdfium2 import raw

    text = page.get_textpage()
    count = text.count_chars()
    if count > 2 * LETTERS_MAX:
        raise Poor(LONG)
    x, y, box = ctypes.c_double(), ctypes.c_double(), raw.FS_RECTF()
    wrong = {UNSEEN: 0, UNMAPPED: 0, TURNED: 0}
    seen = 0
    for index, letter in _signs(text, count):
        seen += 1
        why = _wrong(text, index, letter)
        if why is not None:
            wrong[why] += 1
            continue
        raw.FPDFText_GetCharOrigin(text, index, x, y)
        raw.FPDFText_GetLooseCharBox(text, index, box)
        left, right = min(box.left, box.right), max(box.left, box.right)
        yield Letter(letter, left, right, y.value, max(box.top - box.bottom, 0.1))
    for why, found in wrong.items():
        if found > seen * (UNSEEN_SHARE_MAX if why == UNSEEN else SHARE_MAX):
            raise Poor(why)


def _signs(text: Any, count: int) -> Iterator[tuple[int, str]]:
    """Give each letter that is no blank, with its place in the page's text."""
    from pypdfium2 import raw

    high = ""
    for index in range(count):
        if raw.FPDFText_IsGenerated(text, index) == 1:
            continue
        code = raw.FPDFText_GetUnicode(text, index)
        if 0xD800 <= code < 0xDC00:
            high = chr(code)
            continue
        letter = high + chr(code) if code < 0x110000 else UNKNOWN
        high = ""
        letter = letter.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if letter in HYPHENS:  # PDFium's sign for a hyphen at a line's end
            letter = "-"
        if not letter.isspace():
            yield index, letter


def _wrong(text: Any, index: int, letter: str) -> str | None:
    """Say why a letter is none that could be read."""
    from pypdfium2 import raw

    shown = raw.FPDFText_GetTextObject(text, index)
    if not shown or raw.FPDFTextObj_GetTextRenderMode(shown) in INVISIBLE_MODES:
        return UNSEEN
    if letter == UNKNOWN or unicodedata.category(letter[0]) in {"Co", "Cn", "Cc", "Cs"}:
        return UNMAPPED
    return TURNED if abs(raw.FPDFText_GetCharAngle(text, index)) > TURNED_MIN else None


def _lines(letters: list[Letter]) -> Iterator[list[str]]:
    """Put letters into lines from top to bottom, and each line into cells from left to right."""
    rows: list[list[Letter]] = []
    for letter in sorted(letters, key=lambda one: -one.base):
        if rows:
            first = rows[-1][0]
            if first.base - letter.base <= SAME_LINE_EM * max(first.size, letter.size):
                rows[-1].append(letter)
                continue
        rows.append([letter])
    before: tuple[float, float] | None = None
    struck = 0
    for row in rows:
        base, size = row[0].base, max(letter.size for letter in row)
        if before is not None and before[0] - base > GAP_LINES * max(size, before[1]) * 0.9:
            yield [""]
        before = (base, size)
        kept, over = _once(sorted(row, key=lambda one: one.left))
        struck += over
        yield _cells(kept)
    if struck > SHARE_MAX * len(letters):
        raise Poor(OVERLAID)


def _once(row: list[Letter]) -> tuple[list[Letter], int]:
    """Drop what is printed twice at one place; count what lies on something else."""
    kept: list[Letter] = []
    over = 0
    for letter in row:
        width = max(letter.right - letter.left, 1e-3)
        lies_on = [
            other
            for other in kept[-3:]
            if min(other.right, letter.right) - letter.left > 0.6 * width
            and abs(other.left - letter.left) < 0.5 * width
        ]
        if any(other.text == letter.text for other in lies_on):
            continue
        is_mark = unicodedata.category(letter.text[0])[0] == "M"
        if lies_on and not is_mark and not any(map(is_leftward, letter.text)):
            over += not any(unicodedata.category(o.text[0])[0] == "M" for o in lies_on)
        kept.append(letter)
    return kept, over


def _cells(row: list[Letter]) -> list[str]:
    cells = [""]
    right: float | None = None
    size = 0.0
    for letter in row:
        em = min(size, letter.size) * 0.85 if size else letter.size
        if right is not None and letter.left - right > CELL_EM * em:
            cells.append("")
        elif right is not None and letter.left - right > BLANK_EM * em:
            cells[-1] += " "
        cells[-1] += letter.text
        right = letter.right if right is None else max(right, letter.right)
        size = letter.size
    return in_order_of_reading(cells)


def _check_columns(lines: list[list[str]]) -> None:
    """Refuse running text in columns: read line by line it would be mixed up."""
    for is_text, group in itertools.groupby(lines, key=_is_two_texts):
        if is_text and len(list(group)) >= TEXT_COLUMN_LINES:
            raise Poor(COLUMNS)


def _is_two_texts(cells: list[str]) -> bool:
    long = [cell for cell in cells if sum(map(str.isalpha, cell)) >= TEXT_COLUMN_LETTERS]
    return len(long) >= 2
