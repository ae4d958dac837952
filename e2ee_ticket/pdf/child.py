"""What opens a stranger's PDF or picture, in a process of its own, behind walls.

`sandbox.run` starts this file by its path: the receipt comes on stdin, the result leaves on stdout,
and nothing of the till is in this process. The parent kills it after a time; here it takes files,
network, other processes and most of its memory and time away from itself (walls.py) before it reads
a byte of the receipt. The exit code says what went wrong; nothing else is told.

    child.py picture MAX_SIZE MAX_WIDTH  → a PNG picture
    child.py inspect                     → JSON
    child.py look MAX_SIZE MAX_WIDTH     → JSON (null: not readable), a line feed, and the PNG
                                           picture, or the number that says why there is none
    child.py words                       → JSON: its lines, each a list of cells; or a word that
                                           says why there are none (reading.py)
    child.py clean                       → the PDF without what acts by itself
    child.py raster DOTS WIDTH MAX_ROWS  → rows of DOTS bits, set for black; DOTS are as many as a
                                           printer has in WIDTH millimetres, and whole bytes
    child.py dots WIDTH MAX_HEIGHT       → of a picture, not a PDF: its width and height, two bytes
                                           each, and rows of bits, set for black
    child.py printed MAX_SIZE            → of pictures and raster pages (printed.py), a PDF
    child.py unpaper                     → of what CUPS put on its paper, the PDF as it was
    child.py walls                       → JSON: which of them hold (walls.Tried); stdin is JSON,
                                           what is to be tried
    child.py warm                        → any number of these (warm.py)
"""

# Each task imports its own library, which has no types for what a file holds.
# ruff: noqa: ANN401, PLC0415

import contextlib
import importlib
import importlib.util
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit


def _beside(name: str) -> Any:
    """Load a module of this folder, of which an installation need not know where it lies."""
    if __package__:
        return importlib.import_module(f"{__package__}.{name}")
    found = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert found is not None  # noqa: S101 - it is a path
    assert found.loader is not None  # noqa: S101 - idem
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


ENCRYPTED, UNREADABLE, UNFIT, EXHAUSTED, SIGNED, TOO_LONG, BLANK, THIN = range(3, 11)


# Of the letters on a page so many are looked for in its picture, and so many must be there.
LETTERS_MAX = 250
SEEN_MIN = 0.6
LETTERS_MIN = 4  # fewer may be meant not to be seen
INVISIBLE_MODES = (3, 7)
SAME = 6  # of 255: what differs less from its surroundings nobody sees

PIXELS_MAX = 4_000_000  # an old phone holds four bytes for each
HEIGHT_MAX = 8192  # the tallest picture that every phone shows
COLOURS = 16
DEPTH, PALETTE = 4, 3  # as a PNG says that
WIDTH_STEP = 0.93

# A picture in a receipt's page, in the dots of a receipt printer.
PICTURE_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
PAPER_DOTS = 576
DOTS_A_PIXEL = 2
TWO_TONE = 0.95

# A dot is black where enough of it is covered by what is dark enough, seen so many times finer.
FINE = 4
DARK = 176
COVERED = 80  # of 255
FAINT = 225  # as dark as a part of a thin line may look from afar
STRIP_ROWS = 1000  # four metres at once would take too much memory
GAP_MILLIMETRES = 4
PAGES_MAX = 100

OBJECTS_MAX = 1_000_000
CHAIN_MAX = 100
NAMES_MAX = 20
METADATA_PACKED_MAX_SIZE = 64 * 1024
METADATA_MAX_SIZE = 1024 * 1024

HIDDEN_ENCRYPTION = b"/Encrypx"  # as long as the real one

SCRIPT = "/JavaScript"
LAUNCH = "/Launch"
# What sends something, opens something else or plays something.
OTHER_ACTIONS = frozenset(
    {
        "/SubmitForm",
        "/ImportData",
        "/GoToR",
        "/GoToE",
        "/Thread",
        "/Rendition",
        "/Movie",
        "/Sound",
        "/GoTo3DView",
        "/RichMediaExecute",
    }
)
ACTIVE_ANNOTATIONS = frozenset({"/Movie", "/Screen", "/Sound", "/RichMedia", "/3D"})
PLAIN_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
# A link that nobody can see is no offer to the customer: smaller than a letter, or all over.
LINK_MIN_SIDE = 3.0
LINK_MAX_SHARE = 0.5
HIDDEN_FLAGS = 0b100010  # Hidden, NoView


class Failure(Exception):  # noqa: N818 - it is an exit, not an error
    """Ends this process with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def load_picture(max_size: int, max_width: int) -> Callable[[bytes], bytes]:
    """Import what draws, and return the drawing."""
    import PIL.Image
    import PIL.ImageChops
    import PIL.PngImagePlugin
    import pypdfium2

    PIL.Image.preinit()
    del PIL, pypdfium2  # `picture` finds them loaded, when no file can be opened any more
    return lambda receipt: picture(receipt, max_size, max_width)


def picture(receipt: bytes, max_size: int, max_width: int) -> bytes:
    """Draw the first page, as wide as fits into `max_size` bytes.

    Raises:
        Failure: encrypted, not readable, white, without some of its text, or nothing legible fits.
    """
    with _drawable(receipt) as document:
        page = document[0]
        checked = False
        width, height = page.get_size()
        wide = min(
            float(max_width),
            HEIGHT_MAX * width / height,
            (PIXELS_MAX * width / height) ** 0.5,
        )
        while wide >= max_width / 8:
            seen = page.render(scale=wide / width).to_pil()
            if not checked:
                _check_whole(page, seen.convert("L"))
                checked = True
            drawn = _png(seen)
            if len(drawn) <= max_size:
                return drawn
            # The size of a picture of text grows a little faster than its width.
            wide *= min(WIDTH_STEP, (max_size / len(drawn)) ** 0.75)
    raise Failure(UNFIT)


@contextlib.contextmanager
def _drawable(receipt: bytes) -> Iterator[Any]:
    """Open a receipt to draw it.

    Raises:
        Failure: encrypted, or not readable.
    """
    import pypdfium2
    from pypdfium2 import raw

    try:
        document = pypdfium2.PdfDocument(receipt)
    except pypdfium2.PdfiumError as error:
        if error.err_code != raw.FPDF_ERR_PASSWORD:
            raise Failure(UNREADABLE) from error
        plain = without_encryption_of_attachments(receipt)
        if plain is None:
            raise Failure(ENCRYPTED) from error
        document = pypdfium2.PdfDocument(plain)
    try:
        document.init_forms()  # what somebody filled in is drawn by this alone
        yield document
    except pypdfium2.PdfiumError as error:
        raise Failure(UNREADABLE) from error


def _check_whole(page: Any, seen: Any) -> None:
    """Look for the page's letters in its grey picture.

    Raises:
        Failure: it is white, or too many letters are not there.
    """
    darkest, lightest = seen.getextrema()
    if lightest - darkest < SAME and lightest > FAINT:
        raise Failure(BLANK)
    boxes = list(_letters(page, seen.size))
    if len(boxes) < LETTERS_MIN:
        return
    there = 0
    for box in boxes:
        least, most = seen.crop(box).getextrema()
        there += most - least >= SAME
    if there < SEEN_MIN * len(boxes):
        raise Failure(THIN)


def _letters(page: Any, size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield where letters of a page should be seen in its picture: left, top, right, bottom."""
    import ctypes

    from pypdfium2 import raw

    text = page.get_textpage()
    count = text.count_chars()
    flags = (0, 0, *size, 0)
    x, y = ctypes.c_int(), ctypes.c_int()
    for index in range(0, count, max(1, count // LETTERS_MAX)):
        letter = chr(raw.FPDFText_GetUnicode(text, index))
        if not letter.isalnum() or raw.FPDFText_IsGenerated(text, index) == 1:
            continue
        shown = raw.FPDFText_GetTextObject(text, index)
        if not shown or raw.FPDFTextObj_GetTextRenderMode(shown) in INVISIBLE_MODES:
            continue
        corners = []
        left, bottom, right, top = text.get_charbox(index)
        for across, up in ((left, top), (right, bottom)):
            raw.FPDF_PageToDevice(page, *flags, across, up, x, y)
            corners.append((x.value, y.value))
        (x1, y1), (x2, y2) = corners
        # One pixel more on each side: a letter may fill its box.
        box = (min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 2, max(y1, y2) + 2)
        if box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]:
            yield box


def _png(image: Any) -> bytes:
    """Write few colours without dithering: text stays crisp, and white compresses to nothing."""
    from PIL import Image, ImageChops

    image = image.convert("RGB")
    red, green, blue = image.split()
    if ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox():
        # A ninth of the pixels has all colours that matter, except that white must be white.
        part = image.resize(
            (image.width // 3 or 1, image.height // 3 or 1), Image.Resampling.NEAREST
        )
        part = part.quantize(COLOURS - 1, Image.Quantize.MEDIANCUT)
        colours = part.getpalette()[: 3 * (COLOURS - 1)]
        palette = Image.new("P", (1, 1))
        palette.putpalette([255, 255, 255, *colours])
        few = image.quantize(palette=palette, dither=Image.Dither.NONE)
        darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
        few.paste(0, mask=darkest.point([255 * (value == 255) for value in range(256)]))
    else:
        few = green.point([(value * (COLOURS - 1) + 127) // 255 for value in range(256)])
        step = 255 // (COLOURS - 1)
        few.putpalette([step * shade for shade in range(COLOURS) for _ in "RGB"])
    out = io.BytesIO()
    few.save(out, "PNG", bits=DEPTH)
    return out.getvalue()


def load_raster(dots: int, width: int, max_rows: int) -> Callable[[bytes], bytes]:
    """Import what draws, and return the drawing in a printer's dots."""
    import PIL.Image
    import PIL.ImageFile  # which writing dots loads
    import pypdfium2

    del PIL, pypdfium2  # `raster` finds them loaded
    return lambda receipt: raster(receipt, dots, width, max_rows)


def raster(receipt: bytes, dots: int, width: int, max_rows: int) -> bytes:
    """Draw every page, one below the other, in the dots of a receipt printer.

    What is as narrow as the paper is drawn in its own size. What is wider fills the paper, without
    its white margins. White paper above and below is left out.

    Raises:
        Failure: encrypted, not readable, without some of its text, or longer than `max_rows`.
    """
    with _drawable(receipt) as document:
        if len(document) > PAGES_MAX:
            raise Failure(TOO_LONG)
        found = [_find_ink(page) for page in _pages(document)]
        inks = [ink for ink in found if ink is not None]
        places = {
            # Pages of one width go together, be there more on one than on the other.
            wide: _place([ink for ink in inks if ink.page_width == wide], dots, width)
            for wide in {ink.page_width for ink in inks}
        }
        gap = GAP_MILLIMETRES * dots // width
        rows = sum(ink.height * places[ink.page_width][0] + gap for ink in inks)
        if rows > max_rows:
            raise Failure(TOO_LONG)
        drawn = [
            _draw_dots(page, ink, *places[ink.page_width], dots)
            for page, ink in zip(_pages(document), found, strict=True)
            if ink is not None
        ]
    return bytes(gap * dots // 8).join(page for page in drawn if page)


class Ink(NamedTuple):
    """Where on a page anything is drawn, in points from its top left."""

    left: float
    top: float
    right: float
    bottom: float
    page_width: float

    @property
    def height(self) -> float:
        """From the first to the last of it."""
        return self.bottom - self.top


def _pages(document: Any) -> Iterator[Any]:
    """Go through the pages, one open at a time."""
    for index in range(len(document)):
        page = document[index]
        yield page
        page.close()


def _find_ink(page: Any) -> Ink | None:
    """Find where on a page anything is drawn; None where it is white."""
    width, height = page.get_size()
    scale = min(1.0, (PIXELS_MAX / (width * height)) ** 0.5)
    seen = page.render(scale=scale, grayscale=True).to_pil()
    box = seen.point([255 * (value < FAINT) for value in range(256)]).getbbox()
    if box is None:
        return None
    _check_whole(page, seen)
    left, top, right, bottom = box
    return Ink(
        max(left - 1, 0) / scale,
        max(top - 1, 0) / scale,
        min((right + 1) / scale, width),
        min((bottom + 1) / scale, height),
        width,
    )


def _place(inks: list[Ink], dots: int, width: int) -> tuple[float, float]:
    """Return how many dots a point has, and how many points from the left the paper begins."""
    left, right = min(ink.left for ink in inks), max(ink.right for ink in inks)
    scale = dots / width * 25.4 / 72
    if (right - left) * scale > dots:
        return dots / (right - left), left
    middle = (inks[0].page_width - dots / scale) / 2
    return scale, min(max(middle, right - dots / scale), left)


def _draw_dots(page: Any, ink: Ink, scale: float, left: float, dots: int) -> bytes:
    """Draw one page, strip by strip; return its rows without the white ones at its two ends."""
    from PIL import Image
    from pypdfium2 import PdfBitmap, raw

    width, height = (round(side * scale * FINE) for side in page.get_size())
    x, y = (-round(side * scale) * FINE for side in (left, ink.top))  # whole dots
    dark = [255 * (value < DARK) for value in range(256)]
    covered = [255 * (value >= COVERED) for value in range(256)]
    rows, drawn = math.ceil(ink.height * scale), b""
    for start in range(0, rows, STRIP_ROWS):
        high = min(STRIP_ROWS, rows - start)
        strip = PdfBitmap.new_native(dots * FINE, high * FINE, raw.FPDFBitmap_Gray)
        strip.fill_rect((255, 255, 255, 255), 0, 0, dots * FINE, high * FINE)
        place = (x, y - start * FINE, width, height, 0, raw.FPDF_ANNOT | raw.FPDF_GRAYSCALE)
        raw.FPDF_RenderPageBitmap(strip, page, *place)
        if page.formenv is not None:
            raw.FPDF_FFLDraw(page.formenv, strip, page, *place)
        black = strip.to_pil().point(dark).reduce(FINE).point(covered)
        drawn += black.convert("1", dither=Image.Dither.NONE).tobytes()
    stride = dots // 8
    first = (len(drawn) - len(drawn.lstrip(b"\0"))) // stride
    last = -(-len(drawn.rstrip(b"\0")) // stride)
    return drawn[first * stride : last * stride]


def load_inspect() -> Callable[[bytes], bytes]:
    """Import what looks inside, and return the looking."""
    import unicodedata

    import pikepdf

    del pikepdf, unicodedata  # `findings` finds them loaded; the latter reads addresses
    _load_ciphers()
    return lambda receipt: json.dumps(findings(receipt)).encode("utf-8")


def load_look(max_size: int, max_width: int) -> Callable[[bytes], bytes]:
    """Import what looks inside and what draws, and return both in one."""
    inspect, draw = load_inspect(), load_picture(max_size, max_width)

    return lambda receipt: inspected_and_drawn(receipt, inspect, draw)


def inspected_and_drawn(
    receipt: bytes, inspect: Callable[[bytes], bytes], draw: Callable[[bytes], bytes]
) -> bytes:
    """Do both; what one library cannot read, the other may.

    Raises:
        Failure: encrypted, or more objects than any receipt has.
    """
    found, drawn = b"null", b""
    try:
        found = inspect(receipt)
    except Failure as failure:
        if failure.code != UNREADABLE:
            raise
    try:
        drawn = draw(receipt)
    except Failure as failure:
        drawn = b"%d" % failure.code
    return found + b"\n" + drawn


def load_words() -> Callable[[bytes], bytes]:
    """Import what reads a PDF's text, and return the reading."""
    import unicodedata

    import pypdfium2

    del pypdfium2, unicodedata  # `words` finds them loaded
    reading = _beside("reading")

    def words(receipt: bytes) -> bytes:
        with _drawable(receipt) as document:
            try:
                found: list[list[str]] | str = reading.read(document)
            except reading.Poor as poor:
                found = poor.why
        return json.dumps(found).encode("ascii")

    return words


def load_clean() -> Callable[[bytes], bytes]:
    """Import what writes a PDF, and return the cleaning."""
    import pikepdf

    del pikepdf  # `cleaned` finds it loaded
    _load_ciphers()
    return cleaned


def _load_ciphers() -> None:
    """Let qpdf open its source of random numbers, which it looks for at the first encrypted PDF."""
    import pikepdf

    for revision in (4, 6):  # RC4 and AES
        out = io.BytesIO()
        with pikepdf.new() as pdf:
            pdf.add_blank_page()
            pdf.save(out, encryption=pikepdf.Encryption(user="", owner="", R=revision))
        out.seek(0)
        with pikepdf.open(out) as pdf:
            del pdf


def _open(receipt: bytes) -> Any:
    """Open a receipt, even one whose attachments ask for a password.

    Raises:
        pikepdf.PasswordError, and many others.
    """
    import pikepdf

    try:
        return pikepdf.open(io.BytesIO(receipt), suppress_warnings=True)
    except pikepdf.PasswordError:
        plain = without_encryption_of_attachments(receipt)
        if plain is None:
            raise
        return pikepdf.open(io.BytesIO(plain), suppress_warnings=True)


def without_encryption_of_attachments(receipt: bytes) -> bytes | None:
    """Return a receipt, to read in, without the encryption of nothing but what is attached to it.

    None where pages or texts are encrypted, too. Of the attachments nothing can be read then.
    """
    named = set(re.findall(rb"/Encrypt\s{1,9}([0-9]{1,9})\s{1,9}([0-9]{1,5})\s{1,9}R", receipt))
    if not named:
        return None
    for number, generation in named:
        start = rb"\b%b\s{1,9}%b\s{1,9}obj\b(.{0,4000}?)endobj" % (number, generation)
        found = re.search(start, receipt, re.DOTALL)
        if found is None or not re.search(rb"/V\s{0,9}[45]\b", found[1]):
            return None
        for kind in re.findall(rb"/St[mr]F\s{0,9}/(\w{1,99})", found[1]):
            if kind != b"Identity":
                return None
    return re.sub(rb"/Encrypt(?=\s)", HIDDEN_ENCRYPTION, receipt)


@contextlib.contextmanager
def _opened(receipt: bytes) -> Iterator[Any]:
    """Open a receipt.

    Raises:
        Failure: encrypted, or not readable.
    """
    import pikepdf

    try:
        with _open(receipt) as pdf:
            yield pdf
    except pikepdf.PasswordError as error:
        raise Failure(ENCRYPTED) from error
    except (
        pikepdf.PdfError,
        ArithmeticError,
        LookupError,
        NotImplementedError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise Failure(UNREADABLE) from error


def _everything(pdf: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield every dictionary and stream of a PDF once, with its members.

    Raises:
        Failure: there are more than any receipt has.
    """
    import pikepdf

    containers = pikepdf.Array | pikepdf.Dictionary
    todo: list[Any] = [pdf.trailer, *pdf.objects]
    for _ in range(OBJECTS_MAX):
        if not todo:
            return
        thing = todo.pop()
        if isinstance(thing, pikepdf.Array):
            children = list(thing)
        elif isinstance(thing, pikepdf.Dictionary | pikepdf.Stream):
            dictionary = thing.stream_dict if isinstance(thing, pikepdf.Stream) else thing
            members = dict(dictionary.items())
            yield thing, members
            children = list(members.values())
        else:
            continue
        todo += [
            child for child in children if isinstance(child, containers) and not child.is_indirect
        ]
    raise Failure(EXHAUSTED)


def findings(receipt: bytes) -> dict[str, Any]:
    """Look at every object of a receipt; nothing in it is run, resolved or followed.

    Raises:
        Failure: encrypted, not readable, or more objects than any receipt has.
    """
    with _opened(receipt) as pdf:
        seen = _Seen()
        for thing, members in _everything(pdf):
            seen.note(thing, members)
        return {
            "pages": len(pdf.pages),
            "encrypted": pdf.is_encrypted,
            "pdfa": _pdfa(pdf),
            "signed": seen.signed,
            "scripts": seen.scripts,
            "launch_actions": seen.launch_actions,
            "other_actions": seen.other_actions,
            "external_resources": seen.external_resources,
            "hidden_links": sum(1 for _ in _hidden_links(pdf)),
            "external_hosts": sorted(seen.hosts)[:NAMES_MAX],
            "embedded_files": sorted(seen.files)[:NAMES_MAX],
        }


class _Seen:
    """What the objects of a PDF do, gathered one object at a time."""

    def __init__(self) -> None:
        self.signed = False
        self.scripts = self.launch_actions = self.other_actions = self.external_resources = 0
        self.hosts: set[str] = set()
        self.files: set[str] = set()

    def note(self, thing: Any, members: dict[str, Any]) -> None:
        """Take note of one dictionary or stream."""
        action = _action(members)
        if "/JS" in members or action == SCRIPT:
            self.scripts += 1
        elif action == LAUNCH:
            self.launch_actions += 1
        elif (
            action in OTHER_ACTIONS
            or _is_strange(members)
            or _text(members.get("/Subtype")) in ACTIVE_ANNOTATIONS
        ):
            self.other_actions += 1
        self.scripts += "/XFA" in members
        # What acts by itself need not be a script: an address is enough to tell who reads when.
        self.other_actions += "/AA" in members or _opens_an_address(members)
        if action == "/URI":
            self._note_address(_text(members.get("/URI")))
        if _is_signature(members):
            self.signed = True
        if "/EF" in members:
            self.files.add(_text(members.get("/UF", members.get("/F")))[:100])
        elif _text(members.get("/FS")) == "/URL":
            self.external_resources += 1
            self._note_address(_text(members.get("/F")))
        elif _is_elsewhere(thing, members):
            self.external_resources += 1

    def _note_address(self, address: str) -> None:
        """Keep the host alone; the rest of an address may name the customer."""
        try:
            host = urlsplit(address).hostname or ""
        except ValueError:
            host = ""
        if host:
            self.hosts.add(host[:100])


def _action(members: dict[str, Any]) -> str:
    """Return the kind of an action; the parts of a document's structure are none."""
    return "" if _text(members.get("/Type")) == "/StructElem" else _text(members.get("/S"))


def _is_signature(members: dict[str, Any]) -> bool:
    return "/ByteRange" in members and "/Contents" in members


def _opens_an_address(members: dict[str, Any]) -> bool:
    """Tell whether opening the document opens an address, at once or in a chain of actions."""
    import pikepdf

    todo = [members.get("/OpenAction")]
    for _ in range(CHAIN_MAX):
        if not todo:
            return False
        action = todo.pop()
        if isinstance(action, pikepdf.Array):
            todo += list(action)[:CHAIN_MAX]
        elif isinstance(action, pikepdf.Dictionary):
            if _text(action.get("/S")) == "/URI":
                return True
            todo.append(action.get("/Next"))
    return True


def _is_strange(members: dict[str, Any]) -> bool:
    """Tell whether an address is none that a browser, a mail program or a telephone opens."""
    if _action(members) != "/URI":
        return False
    try:
        scheme = urlsplit(_text(members.get("/URI"))).scheme.lower()
    except ValueError:
        return False
    return bool(scheme) and "." not in scheme and scheme not in PLAIN_SCHEMES


def _is_elsewhere(thing: Any, members: dict[str, Any]) -> bool:
    """Tell whether a stream's data are to be had from elsewhere, or another's page is shown."""
    import pikepdf

    return isinstance(thing, pikepdf.Stream) and ("/F" in members or "/Ref" in members)


def _hidden_links(pdf: Any) -> Iterator[Any]:
    """Yield the links to addresses that nobody can see.

    Raises:
        Failure: there are more annotations than any receipt has.
    """
    import pikepdf

    count = 0
    for page in pdf.pages:
        annotations = page.obj.get("/Annots")
        if not isinstance(annotations, pikepdf.Array):
            continue
        count += len(annotations)
        if count > OBJECTS_MAX:
            raise Failure(EXHAUSTED)
        box = None
        for annotation in annotations:
            if isinstance(annotation, pikepdf.Dictionary) and _leads_out(annotation):
                box = box or _page_box(page)
                if not _is_seen(annotation, box):
                    yield annotation


def _leads_out(annotation: Any) -> bool:
    import pikepdf

    actions = (annotation.get("/A"), annotation.get("/PA"))
    return any(isinstance(action, pikepdf.Dictionary) and "/URI" in action for action in actions)


def _page_box(page: Any) -> tuple[float, float, float, float]:
    try:
        return _box(page.cropbox)
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return (-math.inf, -math.inf, math.inf, math.inf)


def _is_seen(annotation: Any, page: tuple[float, float, float, float]) -> bool:
    rectangle = annotation.get("/Rect")
    try:
        left, bottom, right, top = _box(rectangle)
        flags = int(annotation.get("/F", 0))
    except (TypeError, ValueError, ArithmeticError):
        return False
    width = min(right, page[2]) - max(left, page[0])
    height = min(top, page[3]) - max(bottom, page[1])
    whole = (page[2] - page[0]) * (page[3] - page[1])
    return (
        not flags & HIDDEN_FLAGS
        and min(width, height) >= LINK_MIN_SIDE
        and width * height <= LINK_MAX_SHARE * whole
    )


def _box(rectangle: Any) -> tuple[float, float, float, float]:
    """Read a rectangle, whichever corners it names.

    Raises:
        TypeError, ValueError: it is none.
    """
    left, bottom, right, top = map(float, rectangle)
    return min(left, right), min(bottom, top), max(left, right), max(bottom, top)


def cleaned(receipt: bytes) -> bytes:
    """Write a receipt without what acts by itself, plays, or is to be had from elsewhere.

    What is left is written as it was: pages, fonts, pictures, metadata, embedded files, tags.

    Raises:
        Failure: encrypted, signed, not readable, or more objects than any receipt has.
    """
    import pikepdf

    with _opened(receipt) as pdf:
        if pdf.is_encrypted or HIDDEN_ENCRYPTION.decode() in pdf.trailer:
            raise Failure(ENCRYPTED)
        things = list(_everything(pdf))
        if any(_is_signature(members) for _, members in things):
            raise Failure(SIGNED)
        for annotation in list(_hidden_links(pdf)):
            _empty(annotation, "/A", "/PA")
        for thing, members in things:
            _disarm(thing, members)
        for page in pdf.pages:
            _drop_dead_annotations(page.obj)
        _drop_if_emptied(pdf.Root, "/OpenAction")
        names = pdf.Root.get("/Names")
        if isinstance(names, pikepdf.Dictionary):
            _empty(names, "/JavaScript", "/Renditions")
        out = io.BytesIO()
        # Nothing is decoded and packed anew: what need not change does not.
        pdf.save(
            out,
            compress_streams=False,
            stream_decode_level=pikepdf.StreamDecodeLevel.none,
            fix_metadata_version=False,
            deterministic_id=True,
        )
        return out.getvalue()


def _disarm(thing: Any, members: dict[str, Any]) -> None:
    """Take away what one dictionary or stream does by itself."""
    action = _action(members)
    if (
        "/JS" in members
        or action in {SCRIPT, LAUNCH}
        or action in OTHER_ACTIONS
        or _is_strange(members)
    ):
        _empty(thing, *members)  # whoever refers to it
        return
    if _text(members.get("/FS")) == "/URL" and "/EF" not in members:
        _empty(thing, "/FS", "/F", "/UF")
    if _is_elsewhere(thing, members):
        _empty(thing, "/F", "/FFilter", "/FDecodeParms", "/Ref")
    if _opens_an_address(members):
        _empty(thing, "/OpenAction")
    _empty(thing, "/AA", "/XFA")


def _drop_dead_annotations(page: Any) -> None:
    """Leave out what can only play, and links that lead nowhere any more."""
    import pikepdf

    annotations = page.get("/Annots")
    if not isinstance(annotations, pikepdf.Array):
        return
    kept = []
    for annotation in annotations:
        if isinstance(annotation, pikepdf.Dictionary):
            kind = _text(annotation.get("/Subtype"))
            if kind in ACTIVE_ANNOTATIONS:
                # The document's structure may refer to it still.
                _empty(annotation, *(name for name in dict(annotation.items()) if name != "/Type"))
                continue
            _drop_if_emptied(annotation, "/A")
            if kind == "/Link" and "/A" not in annotation and "/Dest" not in annotation:
                continue
        kept.append(annotation)
    if len(kept) < len(annotations):
        page["/Annots"] = pikepdf.Array(kept)


def _drop_if_emptied(thing: Any, name: str) -> None:
    import pikepdf

    value = thing.get(name)
    if isinstance(value, pikepdf.Dictionary) and not len(value):
        del thing[name]


def _empty(thing: Any, *names: str) -> None:
    """Take members away; those that a stream needs stay."""
    for name in names:
        if name in thing and name != "/Length":
            del thing[name]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _pdfa(pdf: Any) -> str | None:
    """Read the PDF/A level that the metadata claim, such as `3B`."""
    import pikepdf

    metadata = pdf.Root.get("/Metadata")
    if not isinstance(metadata, pikepdf.Stream):
        return None
    if int(metadata.get("/Length", 0)) > METADATA_PACKED_MAX_SIZE:
        return None
    text = metadata.read_bytes()[:METADATA_MAX_SIZE]
    part = re.search(rb"pdfaid:part\s*(?:=\s*[\"']|>)\s*([1-4])", text)
    level = re.search(rb"pdfaid:conformance\s*(?:=\s*[\"']|>)\s*([A-Za-z])", text)
    if part is None:
        return None
    return (part[1] + (level[1].upper() if level else b"")).decode("ascii")


def load_dots(width: int, max_height: int) -> Callable[[bytes], bytes]:
    """Import what reads pictures, and return the reading."""
    import PIL.Image
    import PIL.MpoImagePlugin  # which a camera's JPEG needs
    import PIL.TiffImagePlugin  # idem, for what is said of it (Exif)
    import PIL.WebPImagePlugin  # which Pillow may have been built without: then none is read

    PIL.Image.preinit()
    # Each loads more when it is read for the first time.
    for kind in set(PICTURE_FORMATS) & set(PIL.Image.SAVE):
        sample = io.BytesIO()
        PIL.Image.new("L", (8, 8)).save(sample, kind)
        dots(sample.getvalue(), width, max_height)
    return lambda data: dots(data, width, max_height)


def dots(data: bytes, width: int, max_height: int) -> bytes:
    """Turn a picture into black dots on white paper, `width` across, or fewer where it is too high.

    Without `width` (0) it has two dots for each of its own pixels, and fits the paper.

    Raises:
        Failure: it is none that can be read, or too large.
    """
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as found:
                if not 0 < found.width * found.height <= PIXELS_MAX:
                    raise Failure(UNREADABLE)
                shown = found.convert("RGBA")
    except (Failure, MemoryError):
        raise
    # A hostile picture makes Pillow raise almost anything.
    except Exception as error:
        raise Failure(UNREADABLE) from error
    paper = Image.new("RGBA", shown.size, "white")
    grey = Image.alpha_composite(paper, shown).convert("L")
    across = width or min(grey.width * DOTS_A_PIXEL, PAPER_DOTS)
    size = (across, max(1, round(grey.height * across / grey.width)))
    if size[1] > max_height:
        size = (max(1, round(grey.width * max_height / grey.height)), max_height)
    grey = grey.resize(size)
    tones = grey.histogram()
    plain = sum(tones[:64]) + sum(tones[192:]) >= TWO_TONE * size[0] * size[1]
    dither = Image.Dither.NONE if plain else Image.Dither.FLOYDSTEINBERG
    black = grey.point([255 - tone for tone in range(256)]).convert("1", dither=dither)
    return b"".join(side.to_bytes(2, "big") for side in black.size) + black.tobytes()


def load_printed(max_size: int) -> Callable[[bytes], bytes]:
    """Import what reads what a printer is given, and return what makes a PDF of it."""
    import PIL.Image
    import PIL.ImageChops
    import PIL.ImageOps
    import PIL.MpoImagePlugin  # which a camera's JPEG needs
    import PIL.TiffImagePlugin  # idem, for what is said of it (Exif)

    PIL.Image.preinit()
    del PIL
    made = _beside("printed")

    def make(data: bytes) -> bytes:
        try:
            pdf: bytes = made.to_pdf(data, max_size)
        except made.Unreadable as error:
            raise Failure(error.code) from error
        return pdf

    return make


def load_unpaper() -> Callable[[bytes], bytes]:
    """Import what writes a PDF, and return what takes pages off CUPS' paper."""
    import pikepdf

    del pikepdf  # `unpaper` finds it loaded
    _load_ciphers()
    made = _beside("printed")

    def unpaper(receipt: bytes) -> bytes:
        with _opened(receipt) as pdf:
            made.off_the_paper(pdf)
            out = io.BytesIO()
            pdf.save(out, deterministic_id=True)
            return out.getvalue()

    return unpaper


def load_walls() -> Callable[[bytes], bytes]:
    """Return what tries whether the walls hold."""
    walls = _beside("walls")
    return lambda told: json.dumps(walls.try_walls(**json.loads(told))._asdict()).encode("ascii")


TASKS: dict[str, Callable[..., Callable[[bytes], bytes]]] = {
    "picture": load_picture,
    "inspect": load_inspect,
    "look": load_look,
    "words": load_words,
    "clean": load_clean,
    "raster": load_raster,
    "dots": load_dots,
    "printed": load_printed,
    "unpaper": load_unpaper,
    "walls": load_walls,
}
ON_PDFS = frozenset({"picture", "inspect", "look", "words", "clean", "raster"})


# A page with a letter, grey, a colour and a filled field: what is needed for it is loaded by it.
SAMPLE = b"""%PDF-1.7
1 0 obj
<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[5 0 R]/DA(/F 9 Tf 0 g)/DR<</Font<</F 6 0 R>>>>>>>>
endobj
2 0 obj
<</Type/Pages/Kids[3 0 R]/Count 1>>
endobj
3 0 obj
<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Annots[5 0 R]
/Resources<</Font<</F 6 0 R>>>>>>
endobj
4 0 obj
<</Length 76>>
stream
0.5 g 9 9 9 9 re f 1 0 0 rg 29 9 9 9 re f 0 g BT /F 9 Tf 9 60 Td (Abcde) Tj ET
endstream
endobj
5 0 obj
<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(12)/Rect[9 30 60 45]/DA(/F 9 Tf 0 g)/P 3 0 R/F 4
/A<</S/URI/URI(https://t.example/)>>>>
endobj
6 0 obj
<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>
endobj
trailer
<</Root 1 0 R/Size 7>>
%%EOF
"""


def prepare(task: list[str]) -> Callable[[bytes], bytes]:
    """Load what a task needs; after this it needs no file any more.

    The task is done once, with a receipt of our own: libraries load parts of themselves when they
    are first needed.
    """
    prepared = TASKS[task[0]](*map(int, task[1:]))
    if task[0] in ON_PDFS:
        with contextlib.suppress(Failure):
            prepared(SAMPLE)
    return prepared


def work(task: Callable[[bytes], bytes], source: BinaryIO, sink: BinaryIO) -> int:
    """Read the receipt, do the task, write the result; return the exit code."""
    try:
        result = task(source.read())
    except Failure as failure:
        return failure.code
    except MemoryError:
        return EXHAUSTED
    sink.write(result)
    sink.flush()
    return 0


def confined(
    task: Callable[[bytes], bytes], warm: int
) -> int:  # pragma: no cover - it would wall the tests in; they run the child
    """Do a task behind walls, in a process that `warm` made of itself."""
    walls = _beside("walls")
    walls.die_with(warm)
    with open(0, "rb", closefd=False) as source, open(1, "wb", closefd=False) as sink:
        walls.raise_walls()
        return work(task, source, sink)


def main() -> int:  # pragma: no cover - idem
    """Load what the task needs, give everything else away, and work."""
    walls = _beside("walls")
    if sys.argv[1] == "warm":
        walls.stay_unseen()
        code: int = _beside("warm").Server(prepare, confined).serve()
        return code
    task = prepare(sys.argv[1:])
    walls.raise_walls()
    return work(task, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":  # pragma: no cover - idem
    code = main()
    sys.stdout.flush()
    os._exit(code)  # nothing is left that a library would have to tidy up
