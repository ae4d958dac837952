"""A picture inside a page, as a printer would print it: black dots on white paper."""

import base64
import binascii
import contextlib
import io
import re
import warnings
from typing import Final

from PIL import Image

from e2ee_ticket.pdf.roll import Picture

DATA_MAX_SIZE: Final = 1 << 20
PIXELS_MAX: Final = 4_000_000
PAPER_DOTS: Final = 576
_DOTS_PER_PIXEL: Final = 2
_HEIGHT_MAX: Final = 1_000
_HEAD = re.compile(r"data:image/(?:png|jpe?g);base64,", re.IGNORECASE)
_TWO_TONE: Final = 0.95


def read_data_picture(address: str, width: str = "") -> Picture | None:
    """Read a PNG or JPEG that stands in its own address; None where there is none to be seen.

    `width` is how wide the page wants it, in pixels.
    """
    head = _HEAD.match(address)
    if head is None or len(address) > DATA_MAX_SIZE:
        return None
    with contextlib.suppress(binascii.Error, ValueError):
        return _read(base64.b64decode(address[head.end() :]), width)
    return None


def _read(data: bytes, width: str) -> Picture | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as found:
                if not 0 < found.width * found.height <= PIXELS_MAX:
                    return None
                shown = found.convert("RGBA")
    # A hostile picture makes Pillow raise almost anything.
    except Exception:  # noqa: BLE001
        return None
    paper = Image.new("RGBA", shown.size, "white")
    grey = Image.alpha_composite(paper, shown).convert("L")
    wanted = int(width) if width.isascii() and width.isdigit() and len(width) < 5 else grey.width
    dots = min(max(wanted, 1) * _DOTS_PER_PIXEL, PAPER_DOTS)
    size = (dots, max(1, round(grey.height * dots / grey.width)))
    if size[1] > _HEIGHT_MAX:
        size = (max(1, round(grey.width * _HEIGHT_MAX / grey.height)), _HEIGHT_MAX)
    grey = grey.resize(size)
    tones = grey.histogram()
    plain = sum(tones[:64]) + sum(tones[192:]) >= _TWO_TONE * size[0] * size[1]
    dither = Image.Dither.NONE if plain else Image.Dither.FLOYDSTEINBERG
    black = grey.point(lambda tone: 255 - tone).convert("1", dither=dither)
    return Picture(black.width, black.height, black.tobytes())
