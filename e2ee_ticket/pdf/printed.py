"""What a printer is given that is no PDF: pictures and raster pages, made a PDF of.

child.py runs this behind its walls and loads it by its path, so nothing of this package is imported
here. PWG Raster (PWG 5102.4) is what Windows and many phones print, and URF what Apple's do.

A page that prints in black and white becomes grey, and one of colours stays so; no dot is moved.

CUPS' filter `pdftopdf` puts a PDF's pages on the queue's paper, turned and made smaller where they
do not fit. Here they get their own size back.
"""

# The libraries have no types for what a file holds.
# ruff: noqa: ANN401

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

UNREADABLE, UNFIT = 4, 5  # as in child.py

PIXELS_MAX = 40_000_000  # an A4 page of 600 dots an inch
ALL_PIXELS_MAX = 80_000_000
PAGES_MAX = 30
DOTS_A_MILLIMETRE = 8  # of a receipt printer, for a picture that says nothing of its size
PAPER_DOTS = 832  # of the widest of them
SHEET_MILLIMETRES = 210
ROLL_MILLIMETRES = 90  # whatever is narrower is cut below what is printed
BLANK_MILLIMETRES = 6
POINTS_A_MILLIMETRE = 72 / 25.4
SIDE_POINTS_MAX = 14_400
QUALITY = 85
RESOLUTIONS = range(50, 1201)

_SAME = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
_SMALL = 1e-6
_CONTENT_MAX = 1000
_FORM_ALONE = re.compile(rb"(?:q\s+)*(?:[-0-9.]+\s+){6}cm\s+/[A-Za-z0-9]+\s+Do\s*(?:Q\s*)*")
_PWG_SYNC = {b"RaS2": ">", b"2SaR": "<"}
_PWG_HEAD_SIZE = 1796
_URF_SYNC = b"UNIRAST\x00"
_URF_HEAD_SIZE = 32
_CHANNELS = {0: 1, 1: 3, 3: 1, 18: 1, 19: 3, 20: 3}  # PWG's colour spaces: W, RGB, K, sW, sRGB, A
_INK_IS_HIGH = 3  # K: 255 is black
_URF_CHANNELS = {0: 1, 1: 3, 3: 3, 4: 1, 5: 3}
_FILL = 0x80  # the rest of the line is white (URF), or one pixel is repeated (PWG)


class Unreadable(Exception):  # noqa: N818 - it is an exit, not an error
    """Ends the child with a code."""

    def __init__(self, code: int = UNREADABLE) -> None:
        super().__init__(code)
        self.code = code


class Page(NamedTuple):
    """One page: a Pillow picture in grey or colours, and its size in millimetres."""

    picture: Any
    width: float
    height: float


def to_pdf(data: bytes, max_size: int) -> bytes:
    """Make a PDF of a PNG, a JPEG, or raster pages.

    Raises:
        Unreadable: it is none of them, is damaged, or fits no receipt.
    """
    pages: list[Page] = []
    pixels = 0
    for page in _read(data):
        pixels += page.picture.width * page.picture.height
        if len(pages) >= PAGES_MAX or pixels > ALL_PIXELS_MAX:
            raise Unreadable(UNFIT)
        pages.append(_tidied(page))
    if not pages:
        raise Unreadable
    for lossy in (False, True):
        pdf = _write([_embed(page, lossy=lossy) for page in pages])
        if len(pdf) <= max_size:
            return pdf
    smaller = [page._replace(picture=page.picture.reduce(2)) for page in pages]
    pdf = _write([_embed(page, lossy=True) for page in smaller])
    if len(pdf) > max_size:
        raise Unreadable(UNFIT)
    return pdf


def _read(data: bytes) -> Iterator[Page]:
    if data[:4] in _PWG_SYNC:
        return _read_pwg(data)
    if data[:8] == _URF_SYNC:
        return _read_urf(data)
    return iter([_read_picture(data)])


def _read_picture(data: bytes) -> Page:
    from PIL import Image, ImageOps  # noqa: PLC0415 - only for this task

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as found:
            if not 0 < found.width * found.height <= PIXELS_MAX:
                raise Unreadable(UNFIT)
            dots = found.info.get("dpi", (0, 0))
            shown = ImageOps.exif_transpose(found).convert("RGBA")
    except (Unreadable, MemoryError):
        raise
    # A hostile picture makes Pillow raise almost anything.
    except Exception as error:
        raise Unreadable from error
    paper = Image.new("RGBA", shown.size, "white")
    picture = Image.alpha_composite(paper, shown).convert("RGB")
    said = [float(one) for one in dots]
    if all(one in RESOLUTIONS or RESOLUTIONS[0] <= one <= RESOLUTIONS[-1] for one in said):
        across, down = (one / 25.4 for one in said)
    elif picture.width <= PAPER_DOTS:
        across = down = DOTS_A_MILLIMETRE
    else:
        across = down = picture.width / SHEET_MILLIMETRES
    return Page(picture, picture.width / across, picture.height / down)


def _read_pwg(data: bytes) -> Iterator[Page]:
    order = _PWG_SYNC[data[:4]]
    position = 4
    while position < len(data):
        head = data[position : position + _PWG_HEAD_SIZE]
        if len(head) < _PWG_HEAD_SIZE:
            raise Unreadable
        position += _PWG_HEAD_SIZE
        across, down = struct.unpack_from(f"{order}2I", head, 276)
        width, height, _, depth, bits, stride = struct.unpack_from(f"{order}6I", head, 372)
        chunky, space = struct.unpack_from(f"{order}2I", head, 396)
        channels = _CHANNELS.get(space)
        if channels is None or chunky != 0 or bits != depth * channels or depth not in (1, 8):
            raise Unreadable
        if across not in RESOLUTIONS or down not in RESOLUTIONS:
            raise Unreadable
        size = (width, height)
        if stride != (width * bits + 7) // 8:
            raise Unreadable
        rows, position = _unpack(data, position, (stride, height), max(1, bits // 8), None)
        yield _page(rows, size, channels, depth, (across, down), ink_is_high=space == _INK_IS_HIGH)


def _read_urf(data: bytes) -> Iterator[Page]:
    if len(data) < 12:
        raise Unreadable
    (count,) = struct.unpack_from(">I", data, 8)
    position = 12
    # Who does not know how many pages there will be says none.
    pages = 0
    while position < len(data) if count == 0 else pages < count:
        pages += 1
        head = data[position : position + _URF_HEAD_SIZE]
        if len(head) < _URF_HEAD_SIZE:
            raise Unreadable
        position += _URF_HEAD_SIZE
        bits, space = head[0], head[1]
        width, height, dots = struct.unpack_from(">3I", head, 12)
        channels = _URF_CHANNELS.get(space)
        if channels is None or bits != 8 * channels or dots not in RESOLUTIONS:
            raise Unreadable
        stride = width * channels
        rows, position = _unpack(data, position, (stride, height), channels, b"\xff")
        yield _page(rows, (width, height), channels, 8, (dots, dots), ink_is_high=False)


def _unpack(
    data: bytes, position: int, shape: tuple[int, int], size: int, fill: bytes | None
) -> tuple[bytes, int]:
    """Unpack the lines of a page.

    `shape` is the bytes of a line and the lines, `size` those of a pixel; `fill` ends a line early.
    """
    stride, height = shape
    if stride == 0 or height == 0 or stride * height > 3 * PIXELS_MAX:
        raise Unreadable(UNFIT)
    out = bytearray()
    whole = stride * height
    end = len(data)
    while len(out) < whole:
        if position >= end:
            raise Unreadable
        repeat = data[position] + 1
        position += 1
        line = bytearray()
        while len(line) < stride:
            if position >= end:
                raise Unreadable
            code = data[position]
            position += 1
            if code == _FILL and fill is not None:
                line += fill * (stride - len(line))
            elif code <= _FILL:
                line += data[position : position + size] * (code + 1)
                position += size
            else:
                count = (257 - code) * size
                line += data[position : position + count]
                position += count
        if position > end or len(line) != stride:
            raise Unreadable
        out += line * min(repeat, (whole - len(out)) // stride)
    return bytes(out), position


def _page(
    rows: bytes,
    size: tuple[int, int],
    channels: int,
    depth: int,
    dots: tuple[int, int],
    *,
    ink_is_high: bool,
) -> Page:
    from PIL import Image, ImageChops  # noqa: PLC0415 - only for this task

    mode = "RGB" if channels == 3 else "L" if depth == 8 else "1"
    picture = Image.frombytes(mode, size, rows)
    if mode == "1":
        picture = picture.convert("L")
    if ink_is_high:
        picture = ImageChops.invert(picture)
    return Page(picture, size[0] * 25.4 / dots[0], size[1] * 25.4 / dots[1])


def _tidied(page: Page) -> Page:
    """Make grey of what has no colour, and cut a roll below what is printed on it."""
    from PIL import ImageChops  # noqa: PLC0415 - only for this task

    picture = page.picture
    if picture.mode == "RGB":
        red, green, blue = picture.split()
        differences = (ImageChops.difference(red, other) for other in (green, blue))
        if all(difference.getextrema()[1] == 0 for difference in differences):
            picture = red
    height = page.height
    if page.width <= ROLL_MILLIMETRES:
        inked = ImageChops.invert(picture.convert("L")).getbbox()
        if inked is not None:
            blank = round(BLANK_MILLIMETRES * picture.height / page.height)
            rows = min(picture.height, inked[3] + blank)
            height = page.height * rows / picture.height
            picture = picture.crop((0, 0, picture.width, rows))
    return Page(picture, page.width, height)


def _embed(page: Page, *, lossy: bool) -> tuple[Page, bytes, str]:
    """Return a page, its picture's bytes, and how they are packed."""
    if not lossy:
        return page, zlib.compress(page.picture.tobytes(), 6), "FlateDecode"
    packed = io.BytesIO()
    page.picture.save(packed, "JPEG", quality=QUALITY)
    return page, packed.getvalue(), "DCTDecode"


def _write(pages: list[tuple[Page, bytes, str]]) -> bytes:
    """Write a PDF of pictures, each as large as its page."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (len(pages), b" ".join(b"%d 0 R" % (3 + 3 * index) for index in range(len(pages)))),
    ]
    for index, (page, packed, filter_) in enumerate(pages):
        first = 3 + 3 * index
        wide, high = (
            min(round(side * POINTS_A_MILLIMETRE, 2), SIDE_POINTS_MAX)
            for side in (page.width, page.height)
        )
        drawn = b"q %g 0 0 %g 0 0 cm /P Do Q" % (wide, high)
        space = b"DeviceRGB" if page.picture.mode == "RGB" else b"DeviceGray"
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Contents %d 0 R"
            b" /Resources << /XObject << /P %d 0 R >> >> >>" % (wide, high, first + 1, first + 2),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
            b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /%s"
            b" /BitsPerComponent 8 /Filter /%s /Length %d >>\nstream\n%s\nendstream"
            % (*page.picture.size, space, filter_.encode(), len(packed), packed),
        ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    starts = []
    for number, body in enumerate(objects, 1):
        starts.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % start for start in starts)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        table,
    )
    return bytes(out)


def off_the_paper(pdf: Any) -> None:
    """Give the pages of what `pdftopdf` wrote the size back that they had before.

    It writes a page as one form: on the paper either by the page's content, or by the form's own
    matrix, with a box that reaches to the paper's edges around the page in its middle. A page that
    is not made so stays as it is.
    """
    for page in pdf.pages:
        forms = list(page.obj.get("/Resources", {}).get("/XObject", {}).items())
        if len(forms) != 1 or not _FORM_ALONE.fullmatch(_content(page)):
            continue
        name, form = forms[0]
        box = [float(side) for side in form.get("/BBox", [])]
        matrix = [float(value) for value in form.get("/Matrix", _SAME)]
        if len(box) != 4 or len(matrix) != 6:
            continue
        if any(abs(one - other) > _SMALL for one, other in zip(matrix, _SAME, strict=True)):
            box = [0.0, 0.0, box[0] + box[2], box[1] + box[3]]
        back = _inverse(matrix)
        wide, high = box[2] - box[0], box[3] - box[1]
        turned = abs(matrix[0]) < _SMALL
        fits = 0 < wide < SIDE_POINTS_MAX and 0 < high < SIDE_POINTS_MAX
        if back is None or not fits or (turned and wide < high):
            continue
        drawn = " ".join(f"{value:.6f}" for value in back)
        page.obj["/Contents"] = pdf.make_stream(f"q {drawn} cm {name} Do Q".encode("ascii"))
        page.obj["/MediaBox"] = [round(side, 4) for side in box]
        for other in ("/CropBox", "/TrimBox", "/Rotate"):
            if other in page.obj:
                del page.obj[other]


def _content(page: Any) -> bytes:
    import pikepdf  # noqa: PLC0415 - only for this task

    contents = page.obj.get("/Contents")
    if contents is None:
        return b""
    streams = contents if isinstance(contents, pikepdf.Array) else [contents]
    return b"".join(stream.read_bytes() for stream in streams)[:_CONTENT_MAX]


def _inverse(matrix: list[float]) -> list[float] | None:
    a, b, c, d, e, f = matrix
    area = a * d - b * c
    if abs(area) < _SMALL:
        return None
    a, b, c, d = d / area, -b / area, -c / area, a / area
    return [a, b, c, d, -(a * e + c * f), -(b * e + d * f)]
