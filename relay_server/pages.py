"""The static pages, for a relay that serves them itself (spec/relay.md, Pages).

They are read once, at start, and served from memory.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from relay_server.errors import StartError

PATHS = {"/": "ticket.html", "/d": "display.html", "/selftest.html": "selftest.html"}
UNKNOWN = "ticket.html"
"""What any other path gets, with 404: the page then shows that the link is damaged."""

_HEADERS = (
    b"Content-Type: text/html; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Vary: Accept-Encoding\r\n"
    b"Referrer-Policy: no-referrer\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"X-Frame-Options: DENY\r\n"
    b"Cross-Origin-Opener-Policy: same-origin\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\n"
    b"Permissions-Policy: accelerometer=(), autoplay=(), camera=(), display-capture=(), "
    b"geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()\r\n"
)


@dataclass(frozen=True, slots=True)
class Form:
    """A page in one coding, ready to be sent."""

    etag: str
    headers: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is, and compressed; with Brotli only where the build did so."""

    plain: Form
    zipped: Form
    smallest: Form | None = None

    def form(self, accept_encoding: str) -> Form:
        """Return the form that the caller can read."""
        if self.smallest is not None and _takes("br", accept_encoding):
            return self.smallest
        return self.zipped if _takes("gzip", accept_encoding) else self.plain


class Pages:
    """All pages, by path."""

    def __init__(self, directory: Path) -> None:
        """Read the pages.

        Raises:
            StartError: a page is missing.
        """
        self._pages = {path: _read(directory / name) for path, name in PATHS.items()}
        self._unknown = _read(directory / UNKNOWN)

    def find(self, path: str) -> tuple[int, str, Page]:
        """Return status, template and page of a path outside /v1."""
        page = self._pages.get(path)
        return (404, "/*", self._unknown) if page is None else (200, path, page)


def packaged() -> Path:
    """Return where the pages of this release are.

    Raises:
        StartError: this installation has none.
    """
    package = Path(__file__).resolve().parent
    # In the wheel beside this module, else in the repository.
    for place in (package / "dist", package.parent / "display_web/dist"):
        if place.is_dir():
            return place
    raise StartError("this installation has no pages", hint="name their directory: --pages DIR")


def _read(path: Path) -> Page:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise StartError(
            f"cannot read the page {path}: {error.strerror}",
            hint="build the pages with display_web/build.py, or name their directory: --pages DIR",
        ) from error
    # Named by the page's digest: that of another page is never taken for it.
    small = path.with_name(f"{path.stem}.{hashlib.sha256(body).hexdigest()[:16]}.br")
    return form_page(body, small=small.read_bytes() if small.is_file() else None)


def form_page(body: bytes, more: bytes = b"", small: bytes | None = None) -> Page:
    """Return a page in all codings, with more headers than every page has."""
    name = hashlib.sha256(body).hexdigest()[:32]
    zipped = gzip.compress(body, 9, mtime=0)
    headers = _HEADERS + more
    return Page(
        _form(f'"{name}"', headers, body),
        _form(f'"{name}-gzip"', headers + b"Content-Encoding: gzip\r\n", zipped),
        None
        if small is None
        else _form(f'"{name}-br"', headers + b"Content-Encoding: br\r\n", small),
    )


def _form(etag: str, headers: bytes, body: bytes) -> Form:
    return Form(etag, headers + b"ETag: " + etag.encode() + b"\r\n", body)


def _takes(wanted: str, accept_encoding: str) -> bool:
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() == wanted:
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
