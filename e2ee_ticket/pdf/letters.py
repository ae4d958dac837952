"""Which font a letter is set in, and in which order letters stand: every script of the world.

Two fonts are the receipt's own; where they have no sign for a letter, the font of its script has.
Text comes in the order in which it is read and leaves in pieces from left to right, each in one
font and one direction (Unicode's bidirectional algorithm).
"""

import bisect
import functools
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TEXT: Final = "Roboto Condensed"
MONO: Final = "Iosevka"
CJK: Final = "Droid Sans Fallback"

FOLDER: Final = Path(__file__).parent / "fonts"

_FIRST: Final = (TEXT, MONO)
_SCRIPTS: Final[tuple[tuple[int, int, str], ...]] = (
    (0x0530, 0x058F, "Armenian"),
    (0x0590, 0x05FF, "Hebrew"),
    (0x0600, 0x06FF, "Arabic"),
    (0x0750, 0x077F, "Arabic"),
    (0x08A0, 0x08FF, "Arabic"),
    (0x0900, 0x097F, "Devanagari"),
    (0x0980, 0x09FF, "Bengali"),
    (0x0A00, 0x0A7F, "Gurmukhi"),
    (0x0A80, 0x0AFF, "Gujarati"),
    (0x0B80, 0x0BFF, "Tamil"),
    (0x0C00, 0x0C7F, "Telugu"),
    (0x0C80, 0x0CFF, "Kannada"),
    (0x0D00, 0x0D7F, "Malayalam"),
    (0x0D80, 0x0DFF, "Sinhala"),
    (0x0E00, 0x0E7F, "Thai"),
    (0x0E80, 0x0EFF, "Lao"),
    (0x1000, 0x109F, "Myanmar"),
    (0x10A0, 0x10FF, "Georgian"),
    (0x1200, 0x139F, "Ethiopic"),
    (0x1780, 0x17FF, "Khmer"),
    (0x19E0, 0x19FF, "Khmer"),
    (0x1C90, 0x1CBF, "Georgian"),
    (0x2D00, 0x2D2F, "Georgian"),
    (0x2D80, 0x2DDF, "Ethiopic"),
    (0xA8E0, 0xA8FF, "Devanagari"),
    (0xA9E0, 0xA9FF, "Myanmar"),
    (0xAA60, 0xAA7F, "Myanmar"),
    (0xAB00, 0xAB2F, "Ethiopic"),
    (0xFB13, 0xFB17, "Armenian"),
    (0xFB1D, 0xFB4F, "Hebrew"),
    (0xFB50, 0xFDFF, "Arabic"),
    (0xFE70, 0xFEFF, "Arabic"),
)
_STARTS: Final = [start for start, _, _ in _SCRIPTS]
_ANY: Final = (CJK, "Noto Sans Symbols", "Noto Sans Symbols2", "Noto Sans Math")
_SHAPED: Final = frozenset(f"Noto Sans {script}" for _, _, script in _SCRIPTS)

# Where no font has a letter as it is, these are the same or say as much.
_REPLACED: Final = {
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2010": "-", "\u2011": "-",
    "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u203e": "\u00af",
}  # fmt: skip
SILENT: Final = frozenset(
    chr(code)
    for code in (
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x206A),
        *range(0xFE00, 0xFE10),
        0xAD,
        0xFEFF,
    )
)
"""Without a sign of their own: joiners, marks of direction, variants."""
JOINERS: Final = "\u200c\u200d"
_MIRRORED: Final = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_SHOWN: Final = 8
UNKNOWN: Final = "?"


@dataclass(frozen=True, slots=True)
class Piece:
    """Letters of one font and one direction; `text` is in the order in which it is read."""

    text: str
    family: str
    rightward: bool = True

    @property
    def shaped(self) -> bool:
        """Whether its letters change with those beside them."""
        return self.family in _SHAPED


def file_of(family: str, face: str) -> Path:
    """Return a font's file; there are bold ones of the receipt's own two only."""
    name = "Bold" if face == "B" and family in _FIRST else "Regular"
    return FOLDER / f"{family.replace(' ', '')}-{name}.ttf"


@functools.cache
def letters_of(family: str) -> frozenset[int]:
    """Return the code points that a font has signs for."""
    from fontTools.ttLib import TTFont  # noqa: PLC0415 - takes a while, and is for few receipts

    with TTFont(file_of(family, ""), lazy=True) as font:
        return frozenset(font.getBestCmap())


def is_rightward(text: str) -> bool:
    """Tell whether a text has nothing that is read from right to left."""
    return not any(map(_is_leftward, text))


def _is_leftward(letter: str) -> bool:
    return letter >= "\u0590" and unicodedata.bidirectional(letter) in {"R", "AL", "AN"}


def family_of(letter: str, family: str) -> str | None:
    """Choose the font for a letter: the one that is wished, or the first that has it."""
    code = ord(letter)
    if code in letters_of(family):
        return family
    place = bisect.bisect_right(_STARTS, code) - 1
    if place >= 0 and code <= _SCRIPTS[place][1]:
        script = f"Noto Sans {_SCRIPTS[place][2]}"
        return script if code in letters_of(script) else None
    others = (*_FIRST, *_ANY) if code > 0xFF else _FIRST
    return next((other for other in others if code in letters_of(other)), None)


def legible(text: str, family: str) -> str:
    """Return a text of letters that some font has.

    What has no sign is left out, what no font has is replaced by its equal or else by `?`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_legible(letter, family) for letter in unicodedata.normalize("NFC", text))


@functools.lru_cache(4096)
def _legible(letter: str, family: str) -> str:
    if family_of(letter, family) is not None:
        return letter
    if letter in SILENT:
        return letter if letter in JOINERS else ""
    for other in (unicodedata.normalize("NFKC", letter), _REPLACED.get(letter, "")):
        if other and other != letter and all(family_of(one, family) for one in other):
            return other
    if unicodedata.combining(letter):
        return ""
    return UNKNOWN if letter.isprintable() else " "


def missing(texts: Iterable[str]) -> str:
    """Return the letters that no font has, each once."""
    lacking = {
        letter
        for text in texts
        if not text.isascii()
        for letter in set(unicodedata.normalize("NFC", text))
        if letter not in UNKNOWN
        and letter.isprintable()
        and letter not in SILENT
        and _legible(letter, TEXT) in {UNKNOWN, ""}
    }
    return "".join(sorted(lacking))


def remarks_on(texts: Iterable[str]) -> tuple[str, ...]:
    """Say which letters no font has, if there are any."""
    lacking = missing(texts)
    if not lacking:
        return ()
    shown = " ".join(lacking[:_SHOWN])
    more = len(lacking) - _SHOWN
    return (f"letters that no font here has: {shown}" + (f" and {more} more" if more > 0 else ""),)


def pieces(text: str, family: str, *, base: bool | None = None) -> list[Piece]:
    """Cut a legible text into pieces, from left to right.

    `base` says whether the line as a whole is read from left to right; None asks its first letter.
    """
    if text.isascii():
        return [Piece(text, family)] if text else []
    if is_rightward(text):
        return list(_of_one_font(text, family, rightward=True))
    found: list[Piece] = []
    for run, level in _visual_order(_levels(text, base=base)):
        parts = list(_of_one_font(run, family, rightward=level % 2 == 0))
        found += parts if level % 2 == 0 else reversed(parts)
    return found


def unordered(text: str, family: str) -> list[Piece]:
    """Cut a legible text into pieces of one font, in the order in which they are read."""
    if text.isascii():
        return [Piece(text, family)] if text else []
    return [
        Piece(piece.text, piece.family, rightward=is_rightward(piece.text))
        for piece in _of_one_font(text, family, rightward=True)
    ]


def drawn_order(piece: Piece) -> str:
    """Return the letters of a piece that is not shaped, as they stand from left to right."""
    return piece.text if piece.rightward else piece.text[::-1].translate(_MIRRORED)


def _of_one_font(text: str, family: str, *, rightward: bool) -> Iterator[Piece]:
    """Cut where the font changes; a mark stays with its letter, a blank with what is before it."""
    run, now = "", family
    for letter in text:
        wished = family_of(letter, family) or now
        stays = letter in JOINERS or unicodedata.category(letter)[0] == "M"
        if stays and run and (letter in JOINERS or ord(letter) in letters_of(now)):
            wished = now
        if wished != now and run:
            yield Piece(run, now, rightward)
            run = ""
        run, now = run + letter, wished
    if run:
        yield Piece(run, now, rightward)


def _levels(text: str, *, base: bool | None) -> Iterator[tuple[str, int]]:
    """Give every letter with its level: even ones are read from left to right."""
    from fpdf.bidi import BidiParagraph  # noqa: PLC0415 - few receipts need it
    from fpdf.enums import TextDirection  # noqa: PLC0415 - idem

    direction = None if base is None else (TextDirection.LTR if base else TextDirection.RTL)
    paragraph = BidiParagraph(text, base_direction=direction, preserve_bn_chars=True)
    paragraph.get_reordered_characters()  # sets the levels at the line's end
    for letter in paragraph.get_characters():
        yield letter.character, letter.embedding_level


def _visual_order(levels: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Join letters of one level, and put the runs in the order in which they stand (rule L2)."""
    runs: list[tuple[str, int]] = []
    for letter, level in levels:
        if runs and runs[-1][1] == level:
            runs[-1] = (runs[-1][0] + letter, level)
        else:
            runs.append((letter, level))
    highest = max((level for _, level in runs), default=0)
    for level in range(highest, 0, -1):
        at = 0
        while at < len(runs):
            end = at
            while end < len(runs) and runs[end][1] >= level:
                end += 1
            if end > at:
                runs[at:end] = runs[at:end][::-1]
            at = end + 1
    return runs
