"""What opens a stranger's PDF, alone in a process of its own.

`sandbox.run` starts this file by its path: the receipt comes on stdin, the result leaves on stdout,
and nothing of this package is imported, so that nothing of the till is in this process. The parent
kills it after a time; here it takes its own memory, processor time and files away before it
touches a byte of the receipt. The exit code says what went wrong; nothing else is told.

    child.py picture MAX_SIZE MAX_WIDTH  → a PNG picture
    child.py inspect                     → JSON
"""

# Each task imports its own library, which has no types for what a file holds.
# ruff: noqa: ANN401, PLC0415

import contextlib
import io
import json
import re
import sys
from collections.abc import Callable
from typing import Any, BinaryIO
from urllib.parse import urlsplit

ENCRYPTED, UNREADABLE, UNFIT, EXHAUSTED = 3, 4, 5, 6

MEMORY_SIZE = 768 * 1024 * 1024
CPU_SECONDS = 10

PIXELS_MAX = 4_000_000  # an old phone holds four bytes for each
HEIGHT_MAX = 8192  # the tallest picture that every phone shows
COLOURS = 16
WIDTH_STEP = 0.93

OBJECTS_MAX = 1_000_000
NAMES_MAX = 20
METADATA_MAX_SIZE = 1024 * 1024


class Failure(Exception):  # noqa: N818 - it is an exit, not an error
    """Ends this process with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def limit_resources() -> None:  # pragma: no cover - it would limit the tests; they run the child
    """Take away memory, time, files, cores and children, where the system can (POSIX)."""
    try:
        import resource
    except ImportError:  # the parent's clock remains
        return
    limits = {
        "RLIMIT_AS": MEMORY_SIZE,
        "RLIMIT_CPU": CPU_SECONDS,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,  # a core would hold the receipt
        "RLIMIT_NPROC": 0,
    }
    for name, value in limits.items():
        # A system may lack a limit, or have set a lower one already.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (value, value))


def load_picture(max_size: int, max_width: int) -> Callable[[bytes], bytes]:
    """Import what draws, and return the drawing."""
    import PIL.ImageChops
    import PIL.PngImagePlugin
    import pypdfium2

    del PIL, pypdfium2  # `picture` finds them loaded, when no file can be opened any more
    return lambda receipt: picture(receipt, max_size, max_width)


def picture(receipt: bytes, max_size: int, max_width: int) -> bytes:
    """Draw the first page, as wide as fits into `max_size` bytes.

    Raises:
        Failure: encrypted, not readable, or nothing legible fits.
    """
    import pypdfium2
    from pypdfium2 import raw

    try:
        page = pypdfium2.PdfDocument(receipt)[0]
        width, height = page.get_size()
        wide = min(
            float(max_width),
            HEIGHT_MAX * width / height,
            (PIXELS_MAX * width / height) ** 0.5,
        )
        while wide >= max_width / 8:
            drawn = _png(page.render(scale=wide / width, may_draw_forms=False).to_pil())
            if len(drawn) <= max_size:
                return drawn
            # The size of a picture of text grows a little faster than its width.
            wide *= min(WIDTH_STEP, (max_size / len(drawn)) ** 0.75)
    except pypdfium2.PdfiumError as error:
        code = ENCRYPTED if error.err_code == raw.FPDF_ERR_PASSWORD else UNREADABLE
        raise Failure(code) from error
    raise Failure(UNFIT)


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
    else:
        few = green.point([(value * (COLOURS - 1) + 127) // 255 for value in range(256)])
        step = 255 // (COLOURS - 1)
        few.putpalette([step * shade for shade in range(COLOURS) for _ in "RGB"])
    out = io.BytesIO()
    few.save(out, "PNG", bits=4)
    return out.getvalue()


def load_inspect() -> Callable[[bytes], bytes]:
    """Import what looks inside, and return the looking."""
    import pikepdf

    del pikepdf  # `findings` finds it loaded
    return lambda receipt: json.dumps(findings(receipt)).encode("utf-8")


def findings(receipt: bytes) -> dict[str, Any]:
    """Look at every object of a receipt; nothing in it is run, resolved or followed.

    Raises:
        Failure: encrypted, not readable, or more objects than any receipt has.
    """
    import pikepdf

    try:
        with pikepdf.open(io.BytesIO(receipt), suppress_warnings=True) as pdf:
            seen = _Seen()
            todo: list[Any] = [pdf.trailer, *pdf.objects]
            for _ in range(OBJECTS_MAX):
                if not todo:
                    break
                todo += seen.look(todo.pop())
            else:
                raise Failure(EXHAUSTED)
            return {
                "pages": len(pdf.pages),
                "encrypted": pdf.is_encrypted,
                "pdfa": _pdfa(pdf),
                "signed": seen.signed,
                "scripts": seen.scripts,
                "launch_actions": seen.launch_actions,
                "other_actions": seen.other_actions,
                "external_resources": seen.external_resources,
                "external_hosts": sorted(seen.hosts)[:NAMES_MAX],
                "embedded_files": sorted(seen.files)[:NAMES_MAX],
            }
    except pikepdf.PasswordError as error:
        raise Failure(ENCRYPTED) from error
    except (pikepdf.PdfError, RecursionError, ValueError, KeyError, TypeError) as error:
        raise Failure(UNREADABLE) from error


class _Seen:
    """What the objects of a PDF do, gathered one object at a time."""

    def __init__(self) -> None:
        self.signed = False
        self.scripts = self.launch_actions = self.other_actions = self.external_resources = 0
        self.hosts: set[str] = set()
        self.files: set[str] = set()

    def look(self, thing: Any) -> list[Any]:
        """Take note of one object, and return the direct objects inside it."""
        import pikepdf

        if isinstance(thing, pikepdf.Array):
            children = list(thing)
        elif isinstance(thing, pikepdf.Dictionary | pikepdf.Stream):
            dictionary = thing.stream_dict if isinstance(thing, pikepdf.Stream) else thing
            members = dict(dictionary.items())
            self._note(members, is_stream=isinstance(thing, pikepdf.Stream))
            children = list(members.values())
        else:
            return []
        return [
            child
            for child in children
            if isinstance(child, pikepdf.Array | pikepdf.Dictionary) and not child.is_indirect
        ]

    def _note(self, members: dict[str, Any], *, is_stream: bool) -> None:
        kind = _text(members.get("/S"))
        if "/JS" in members or kind == "/JavaScript":
            self.scripts += 1
        elif kind == "/Launch":
            self.launch_actions += 1
        elif kind in ("/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/Rendition", "/Movie"):
            self.other_actions += 1
        if "/URI" in members:
            self._note_address(_text(members["/URI"]))
        if "/ByteRange" in members and "/Contents" in members:
            self.signed = True
        if "/EF" in members:
            self.files.add(_text(members.get("/UF", members.get("/F")))[:100])
        elif _text(members.get("/FS")) == "/URL":
            self.external_resources += 1
            self._note_address(_text(members.get("/F")))
        elif is_stream and "/F" in members:  # the stream's data are in another file
            self.external_resources += 1

    def _note_address(self, address: str) -> None:
        """Keep the host alone; the rest of an address may name the customer."""
        try:
            parts = urlsplit(address)
            host = parts.hostname or (parts.scheme + ":" if parts.scheme else "")
        except ValueError:
            host = ""
        if host:
            self.hosts.add(host[:100])


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _pdfa(pdf: Any) -> str | None:
    """Read the PDF/A level that the metadata claim, such as `3B`."""
    import pikepdf

    metadata = pdf.Root.get("/Metadata")
    if not isinstance(metadata, pikepdf.Stream) or int(metadata.get("/Length", 0)) > 65536:
        return None
    text = metadata.read_bytes()[:METADATA_MAX_SIZE]
    part = re.search(rb"pdfaid:part\s*(?:=\s*[\"']|>)\s*([1-4])", text)
    level = re.search(rb"pdfaid:conformance\s*(?:=\s*[\"']|>)\s*([A-Za-z])", text)
    if part is None:
        return None
    return (part[1] + (level[1].upper() if level else b"")).decode("ascii")


TASKS: dict[str, Callable[..., Callable[[bytes], bytes]]] = {
    "picture": load_picture,
    "inspect": load_inspect,
}


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


def main() -> int:  # pragma: no cover - see limit_resources
    """Load what the task needs, give everything else away, and work."""
    task = TASKS[sys.argv[1]](*map(int, sys.argv[2:]))
    limit_resources()
    return work(task, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":  # pragma: no cover - idem
    sys.exit(main())
