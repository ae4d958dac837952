"""Barcodes and two-dimensional codes as boxes to fill, drawn anew from what they say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, cast

Box = tuple[float, float, float, float]

TWO_DIMENSIONAL: Final = frozenset(
    ("qr", "pdf417", "aztec", "datamatrix", "maxicode", "databar", "databar-stacked")
)
"""Kinds that have no text below them."""

_SYMBOL_SIZE: Final = 30.0
_MODULE_MIN, _MODULE_MAX = 0.3, 0.9
_BAR_HEIGHT: Final = 12.0
_BARS_WIDTH: Final = 62.0
_BAR_MIN, _BAR_MAX = 0.16, 0.36
_TEXT_LIMIT: Final = 3_000
_GS1: Final = re.compile(r"(\([0-9]{2,4}\)[\x21-\x7e]{1,90}){1,20}")
_PRINTABLE: Final = r"[\x00-\x7f]{1,255}"
# What each kind may say, and what zxing-cpp calls it.
_KINDS: Final = {
    "code128": ("Code128", _PRINTABLE),
    "code39": ("Code39", r"[0-9A-Z .$/+%-]{1,255}"),
    "code93": ("Code93", _PRINTABLE),
    "ean13": ("EAN13", r"[0-9]{12,13}"),
    "ean8": ("EAN8", r"[0-9]{7,8}"),
    "upca": ("UPCA", r"[0-9]{11,12}"),
    "upce": ("UPCE", r"[0-9]{6,8}|0[0-9]{10,11}"),
    "itf": ("ITF", r"([0-9]{2}){1,127}"),
    "codabar": ("Codabar", r"[A-D][0-9$:/.+-]{1,253}[A-D]"),
    "gs1-128": ("Code128", r"(\([0-9]{2,4}\)[\x21-\x7e]{1,90}){1,20}|[0-9A-Za-z-]{4,80}"),
    "databar": ("DataBarOmni", r"(\(01\))?[0-9]{13,14}"),
    "databar-stacked": ("DataBarStk", r"(\(01\))?[0-9]{13,14}"),
    "databar-limited": ("DataBarLtd", r"(\(01\))?[01][0-9]{12,13}"),
    "databar-expanded": ("DataBarExp", r"(\([0-9]{2,4}\)[\x21-\x7e]{1,70}){1,8}"),
    "pdf417": ("PDF417", r"(?s:.){1,1500}"),
    "aztec": ("Aztec", r"(?s:.){1,2000}"),
    "datamatrix": ("DataMatrix", r"(?s:.){1,1500}"),
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
    if kind == "qr":
        return _draw_qr(text)
    matrix = _matrix(kind, text)
    if matrix is None:
        return None
    return _draw_matrix(kind, matrix) if kind in TWO_DIMENSIONAL else _draw_bars(matrix)


def _draw_qr(text: str) -> Drawing | None:
    import segno  # noqa: PLC0415 - few receipts have one

    try:
        matrix = segno.make_qr(text, error="l").matrix
    except (ValueError, segno.DataOverflowError):
        return None
    return _draw_matrix("qr", [bytes(line) for line in matrix])


def _draw_matrix(kind: str, matrix: list[bytes]) -> Drawing | None:
    columns, rows = len(matrix[0]), len(matrix)
    wide = kind not in {"qr", "aztec", "datamatrix"}
    room = _BARS_WIDTH if wide else _SYMBOL_SIZE
    module = min(max(room / columns, _MODULE_MIN), _MODULE_MAX if not wide else 0.5)
    if module * columns > _BARS_WIDTH + 6:
        return None
    boxes = tuple(
        (left * module, row * module, count * module, module)
        for row, line in enumerate(matrix)
        for left, count in _runs(line)
    )
    return Drawing(columns * module, rows * module, 4 * module, boxes)


def _draw_bars(matrix: list[bytes]) -> Drawing | None:
    line = matrix[0]
    if len(line) * _BAR_MIN > _BARS_WIDTH:
        return None
    module = min(_BARS_WIDTH / len(line), _BAR_MAX)
    boxes = tuple((left * module, 0.0, count * module, _BAR_HEIGHT) for left, count in _runs(line))
    return Drawing(len(line) * module, _BAR_HEIGHT, 2.0, boxes)


def _matrix(kind: str, text: str) -> list[bytes] | None:
    """Write a code as rows of ones and zeros; None where the text cannot be one."""
    text = _tidied(kind, text)
    name, allowed = _KINDS.get(kind, ("", r"(?!)"))
    if re.fullmatch(allowed, text) is None:
        return None
    import zxingcpp  # noqa: PLC0415 - few receipts have one

    options: dict[str, Any] = {"gs1": True} if kind == "gs1-128" and text[0] == "(" else {}
    try:
        code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, name), **options)
        image = zxingcpp.write_barcode_to_image(code, scale=1, add_quiet_zones=False)
    except (ValueError, RuntimeError):
        return None
    if kind in {"ean13", "ean8", "upca"} and not code.text.endswith(text) and text not in code.text:
        return None  # another number would be drawn
    view: Any = memoryview(cast("Any", image))  # which it is, whatever its types say
    return [
        bytes(view[row, column] < 128 for column in range(view.shape[1]))
        for row in range(view.shape[0])
    ]


def _tidied(kind: str, text: str) -> str:
    """Take off what a printer does not need, and put what it adds."""
    match kind:
        case "code39":
            return text.strip("*").upper()
        case "codabar":
            return text.upper()
        case "itf":
            return text if len(text) % 2 == 0 else ""
        case "upce":
            return _zeros_left_out(text)
        case "databar" | "databar-stacked" | "databar-limited":
            return text.removeprefix("(01)")
        case _:
            return text


def _zeros_left_out(text: str) -> str:
    """Write a number of 11 or 12 digits in the 8 of UPC-E; as it is where it has no such form."""
    if len(text) not in {11, 12} or text[0] != "0":
        return text
    maker, item = text[1:6], text[6:11]
    if maker[2] in "012" and maker[3:] == "00" and item[:2] == "00":
        short = maker[:2] + item[2:] + maker[2]
    elif maker[3:] == "00" and item[:3] == "000":
        short = maker[:3] + item[3:] + "3"
    elif maker[4] == "0" and item[:4] == "0000":
        short = maker[:4] + item[4] + "4"
    elif item[:4] == "0000" and item[4] in "56789":
        short = maker + item[4]
    else:
        return ""
    return "0" + short + text[11:]


def _runs(line: bytes) -> Iterator[tuple[int, int]]:
    """Find the dark stretches of a line: where each begins, and how long it is."""
    at = 0
    for dark, group in groupby(line):
        count = len(list(group))
        if dark:
            yield at, count
        at += count
