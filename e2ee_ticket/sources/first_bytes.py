"""What a connection to a receipt printer's port begins with: a till's print, or something else.

Any page in the till's browser can make the browser connect to this port: by HTTP, TLS, WebSocket,
and by what WebRTC speaks (STUN, TURN, ICE over TCP, with or without TLS). The first bytes of all of
these are the protocol's, not the page's. So a job is taken only if its first bytes are some that
tills print: text, and the commands of printers.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

LINE_MAX_SIZE: Final = 4096
"""No receipt has a line so long, of two words; a request for a page may. Nor has one so many bytes
of nothing but such lines as a protocol's client sends."""

HEAD_MAX_SIZE: Final = 64 * 1024
"""So many blanks may stand before what a till prints; behind more it is text."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What it is: a till's `escpos`, `pdf` or `pjl`, an `other` print language, or a `stranger`.

    `name` is the language's, for the cashier.
    """

    kind: Literal["escpos", "pdf", "pjl", "other", "stranger"]
    name: str = ""


ESCPOS: Final = Kind("escpos")
PDF: Final = Kind("pdf")
PJL: Final = Kind("pjl")
STRANGER: Final = Kind("stranger")

UEL: Final = b"\x1b%-12345X"
"""What begins and ends a job that is wrapped in PJL."""

_LANGUAGES: Final = (
    (b"%!PS", "PostScript"),
    (b"\x04%!PS", "PostScript"),
    (b"\x1bE\x1b&", "PCL"),
    (b"\x1bE\x1b*", "PCL"),
    (b"\x1bE\x1b(", "PCL"),
    (b") HP-PCL XL", "PCL XL"),
    (b"\x00\x00\x00\x1b\x01@EJL", "ESC/P"),
    (b"\x1b\x01@EJL", "ESC/P"),
    (b"RaS2", "PWG Raster"),
    (b"RaS3", "CUPS Raster"),
    (b"UNIRAST\0", "Apple Raster"),
    (b"^XA", "ZPL"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"PK\x03\x04", "ZIP, XPS"),
    (b"\x1f\x8b", "gzip"),
    (b"{\\rtf", "RTF"),
    (b"<!DOCTYPE", "HTML"),
    (b"<!doctype", "HTML"),
    (b"<html", "HTML"),
    (b"<?xml", "XML"),
)
_PADDING: Final = re.compile(rb"[\0\t\n\f\r ]*")
_MARK: Final = b"\xef\xbb\xbf"

# What a page's browser sends first. The cookie of STUN and TURN stands at 4, and behind a length of
# two bytes (ICE over TCP) at 6. What begins TLS has bytes that no till prints (`_PRINTED`).
_BINARY: Final = re.compile(
    rb".{4}\x21\x12\xa4\x42|.{6}\x21\x12\xa4\x42|\0...[\xfd-\xff]SMB", re.DOTALL
)
_BINARY_SIZE: Final = 10
_REQUEST: Final = re.compile(
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} +[^\s]* *(?:HTTP|RTSP|SIP|ICAP)/[0-9][0-9.]*\r?\n"
)
_HALF_A_REQUEST: Final = re.compile(
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}"
    rb"(?: +[\x21-\x7e\x80-\xff]*(?: +[HRSI]?[A-Z]{0,3}(?:/[0-9.]*)?)?)?\r?"
)
_GREETING: Final = re.compile(rb"SSH-[0-9.]+-|RFB [0-9]{3}\.[0-9]{3}\n")
# What a client of a protocol of lines says before it has an answer: nothing but such lines.
_LINES: Final = re.compile(
    rb"(?:(?:EHLO|HELO|LHLO|USER|PASS|NICK|AUTH|QUIT|NOOP|CAPA|FEAT|SYST|STLS|STARTTLS|RSET"
    rb"|[A-Za-z0-9.]{1,8} (?:CAPABILITY|LOGIN|STARTTLS|LOGOUT))(?: [^\r\n]*)?\r\n)+"
)
_HALF_A_LINE: Final = re.compile(rb"[A-Za-z0-9.]{1,8}(?: [^\r\n]*)?\r?")

# Bytes below a blank that tills print outside of commands: the commands' first bytes, the paper's
# movement, and the fonts and drawers of older printers.
_PRINTED: Final = frozenset(
    b"\0\x07\t\n\x0b\f\r\x0e\x0f\x10\x11\x12\x13\x14\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
)
_COMMANDS: Final = frozenset(b"\x10\x1b\x1c\x1d\x1e\x1f")
_LOOKED_AT: Final = 16


def tell(head: bytes, *, whole: bool = False) -> Kind | None:
    """Tell what begins so; None where more bytes must tell. `whole` says that none will come.

    It always tells of more than `HEAD_MAX_SIZE` bytes: nobody who asks need keep more.
    """
    whole = whole or len(head) > HEAD_MAX_SIZE
    language = _tell_language(head, whole=whole)
    if language is None or language.kind != "escpos":
        return language
    if _is_stranger(head, whole=whole):
        return STRANGER
    undecided = _has_no_command_yet(head) or _may_be_stranger(head)
    return None if not whole and undecided else ESCPOS


def tell_language(head: bytes) -> Kind:
    """Tell which language a document is in, where no stranger can have sent it."""
    return _tell_language(head, whole=True) or ESCPOS


def _tell_language(head: bytes, *, whole: bool) -> Kind | None:
    padding = _PADDING.match(head)
    body = head[padding.end() if padding else 0 :].removeprefix(_MARK)
    for starts, kind in (
        (b"%PDF-", PDF),
        (UEL, PJL),
        (b"@PJL", PJL),
        *((start, Kind("other", name)) for start, name in _LANGUAGES),
    ):
        text = head if starts[:1] == b"\0" else body
        if text.startswith(starts):
            return kind
        if not whole and text and starts.startswith(text):
            return None
    return ESCPOS if body or whole else None


def _is_stranger(head: bytes, *, whole: bool) -> bool:
    line = head.lstrip(b"\r\n")
    if _BINARY.match(head) or _GREETING.match(head) or _REQUEST.match(line):
        return True
    if len(line) > LINE_MAX_SIZE and _may_be_stranger(head):
        return True
    if whole and (_REQUEST.match(line + b"\n") or _LINES.fullmatch(head)):
        return True
    return _has_foreign_control(head)


def _may_be_stranger(head: bytes) -> bool:
    """Tell whether what may still come could make it one."""
    if head[:1] < b"\x04" or head[:1] >= b"\x80":
        return len(head) < _BINARY_SIZE
    if b"\n" not in head.lstrip(b"\r\n"):
        is_half = _HALF_A_REQUEST.fullmatch(head.lstrip(b"\r\n")) is not None
        return is_half or _LINES.fullmatch(head.rstrip(b"\r") + b"\r\n") is not None
    # Lines of a protocol, and a part of the next one.
    lines, _, rest = head.rpartition(b"\n")
    is_protocol = _LINES.fullmatch(lines + b"\n") is not None
    return is_protocol and (not rest or _HALF_A_LINE.fullmatch(rest) is not None)


def _has_no_command_yet(head: bytes) -> bool:
    """Tell whether a byte that no till prints may still come among the first that are looked at."""
    return len(head) < _LOOKED_AT and _COMMANDS.isdisjoint(head)


def _has_foreign_control(head: bytes) -> bool:
    """Tell whether the first bytes hold one that no till prints outside of a command."""
    at = 0
    while at < min(len(head), _LOOKED_AT):
        if head[at] in _COMMANDS:
            return False  # its parameters may be any bytes
        if head[at] < 0x20 and head[at] not in _PRINTED:
            return True
        at += 1
    return False
