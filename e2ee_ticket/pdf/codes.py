"""Barcodes and QR codes as boxes to fill, drawn anew from what they say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

Box = tuple[float, float, float, float]

_QR_SIZE: Final = 30.0
_QR_MODULE_MIN, _QR_MODULE_MAX = 0.3, 0.9
_BAR_HEIGHT: Final = 12.0
_BARS_WIDTH: Final = 62.0
_BAR_MIN, _BAR_MAX = 0.16, 0.36
_TEXT_LIMIT: Final = 3_000
_CHECKED: Final = frozenset(("ean13", "ean8", "upca"))
_BARCODES: Final = {
    "code128": re.compile(r"[\x00-\x7f]{1,255}"),
    "code39": re.compile(r"[0-9A-Z .$/+%-]{1,255}"),
    "ean13": re.compile(r"[0-9]{12,13}"),
    "ean8": re.compile(r"[0-9]{7,8}"),
    "upca": re.compile(r"[0-9]{11,12}"),
    "itf": re.compile(r"([0-9]{2}){1,127}"),
    "codabar": re.compile(r"[A-D][0-9$:/.+-]{1,253}[A-D]"),
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A code in millimetres from its upper left; `quiet` is what must stay empty around it."""

    width: float
    height: float
    quiet: float
    boxes: tuple[Box, ...]


def draw_code(kind: str, text: str) -> Drawing | None:
    """Draw a code; None where the text cannot be one, or where no phone could read it."""
    if not text or len(text) > _TEXT_LIMIT:
        return None
    return _draw_qr(text) if kind == "qr" else _draw_bars(kind, text)


def _draw_qr(text: str) -> Drawing | None:
    import segno  # noqa: PLC0415 - few receipts have one

    try:
        matrix = segno.make_qr(text, error="l").matrix
    except (ValueError, segno.DataOverflowError):
        return None
    module = min(max(_QR_SIZE / len(matrix), _QR_MODULE_MIN), _QR_MODULE_MAX)
    boxes = tuple(
        (left * module, row * module, count * module, module)
        for row, line in enumerate(matrix)
        for left, count in _runs(bytes(line))
    )
    size = len(matrix) * module
    return Drawing(size, size, 4 * module, boxes)


def _draw_bars(kind: str, text: str) -> Drawing | None:
    line = _modules(kind, text)
    if line is None or len(line) * _BAR_MIN > _BARS_WIDTH:
        return None
    module = min(_BARS_WIDTH / len(line), _BAR_MAX)
    boxes = tuple((left * module, 0.0, count * module, _BAR_HEIGHT) for left, count in _runs(line))
    return Drawing(len(line) * module, _BAR_HEIGHT, 2.0, boxes)


def _modules(kind: str, text: str) -> bytes | None:
    """Write a barcode as ones and zeros; None where the text cannot be one."""
    text = text.strip("*").upper() if kind == "code39" else text
    allowed = _BARCODES.get(kind)
    if allowed is None or allowed.fullmatch(text) is None:
        return None
    from barcode import get_barcode_class  # type: ignore[import-untyped]  # noqa: PLC0415 - idem
    from barcode.errors import BarcodeError  # type: ignore[import-untyped]  # noqa: PLC0415 - idem

    settings = {"add_checksum": False} if kind == "code39" else {}
    try:
        code = get_barcode_class(kind)(text, **settings)
        (line,) = code.build()
    except (BarcodeError, ValueError, KeyError):
        return None
    if kind in _CHECKED and not str(code.get_fullcode()).startswith(text):
        return None  # its check digit is wrong: another number would be drawn
    return bytes(sign == "1" for sign in line)


def _runs(line: bytes) -> Iterator[tuple[int, int]]:
    """Find the dark stretches of a line: where each begins, and how long it is."""
    at = 0
    for dark, group in groupby(line):
        count = len(list(group))
        if dark:
            yield at, count
        at += count
