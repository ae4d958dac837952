"""The commands of receipt printers (ESC/POS): how long each is, and its tables.

Whoever reads such a stream must know where a command ends, even one that is of no interest: its
bytes would be taken for text. Written down here is what Epson documents and what others copied;
a command that is not known is skipped with its two bytes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

JOB_MAX_SIZE: Final = 4 * 1024 * 1024
"""More than any receipt, and all that is ever kept of one job."""

COMMAND_LIMIT: Final = 100_000
"""As many commands a receipt may have; most have a hundred."""

TEXT: Final = re.compile(rb"[\x20-\xff]+")
DLE, ESC, FS, GS = 0x10, 0x1B, 0x1C, 0x1D
HT, LF, FF, CR = 0x09, 0x0A, 0x0C, 0x0D

Bytes = bytes | bytearray


def read_word(data: Bytes, at: int) -> int:
    """Read two bytes, low before high.

    Raises:
        IndexError: they have not arrived yet.
    """
    return data[at] | data[at + 1] << 8


def length_of(data: Bytes, at: int) -> int | None:
    """Tell how long the command is that begins here; None where more bytes must tell."""
    if data[at] == 0:
        # Drivers pad with them, by the thousand.
        return len(_ZEROS.match(data, at)[0])  # type: ignore[index]
    if data[at] not in _LEADS:
        return 1
    if at + 1 >= len(data):
        return None
    name = bytes(data[at : at + 2])
    if (fixed := _FIXED.get(name)) is not None:
        return fixed
    if (measure := _MEASURED.get(name)) is None:
        return 2
    try:
        return measure(data, at)
    except IndexError:
        return None


_ZEROS: Final = re.compile(rb"\0+")
SYMBOL_KIND: Final = 97
"""GS k with this number prints a QR code on many printers that are not Epson's."""
PICTURES: Final = frozenset((b"\x1b*", b"\x1dv"))
"""The commands that print a picture row by row, so that a part of one is of use."""

_LEADS: Final = frozenset((DLE, ESC, FS, GS))

_FIXED: Final[Mapping[bytes, int]] = {
    b"\x10\x05": 3,
    **{b"\x1b" + name: 2 for name in (b"2", b"<", b"@", b"L", b"S", b"i", b"m", b"v")},
    **{
        b"\x1b" + bytes((name,)): 3
        for name in b" !%-3=?EGJKMRTUVadertu{"  # one parameter each
    },
    **{b"\x1b" + name: 4 for name in (b"$", b"\\", b"B", b"c", b"f")},
    b"\x1bC": 5,
    b"\x1b\x0c": 2,
    b"\x1b\x1d": 3,  # only Star's printers have it, and its third byte
    b"\x1b\x1e": 3,  # idem
    b"\x1bp": 5,
    b"\x1bW": 10,
    **{b"\x1c" + name: 2 for name in (b"&", b".")},
    **{b"\x1c" + name: 3 for name in (b"!", b"-", b"C", b"W")},
    **{b"\x1c" + name: 4 for name in (b"?", b"S", b"p")},
    b"\x1c2": 76,
    **{b"\x1d" + name: 2 for name in (b":", b"c")},
    **{b"\x1d" + bytes((name,)): 3 for name in b"!#/BEHITZabfhjrwx"},
    **{b"\x1d" + name: 4 for name in (b"$", b"A", b"L", b"P", b"W", b"\\")},
    **{b"\x1d" + name: 5 for name in (b"^", b"z")},
}


def _counted(data: Bytes, at: int) -> int:
    """ESC (, FS ( and GS (: a letter, and how many bytes follow."""
    return 5 + read_word(data, at + 3)


def _realtime_status(data: Bytes, at: int) -> int:
    return 4 if data[at + 2] in {7, 8, 18} else 3


def _realtime_pulse(data: Bytes, at: int) -> int:
    return {1: 5, 2: 5, 3: 8, 7: 4, 8: 10}.get(data[at + 2], 3)


def _strip(data: Bytes, at: int) -> int:
    """ESC *: columns of one or three bytes."""
    return 5 + read_word(data, at + 3) * (3 if data[at + 2] >= 32 else 1)


def _own_characters(data: Bytes, at: int) -> int:
    """ESC &: for each character its width, and columns of so many bytes."""
    high, first, last = data[at + 2], data[at + 3], data[at + 4]
    end = at + 5
    for _ in range(first, last + 1):
        end += 1 + high * data[end]
    return end - at


def _until_zero(data: Bytes, at: int, limit: int) -> int | None:
    """Find the NUL that ends a list; None where it is none that a printer would take."""
    end = data.find(b"\0", at, at + limit)
    if end < 0 and len(data) < at + limit:
        raise IndexError
    return end + 1 if end >= 0 else None


def _tab_stops(data: Bytes, at: int) -> int:
    end = _until_zero(data, at + 2, 33)
    return 2 if end is None else end - at


def _barcode(data: Bytes, at: int) -> int:
    """GS k: ended by a NUL, or with a count before it."""
    kind = data[at + 2]
    if kind <= 6:
        end = _until_zero(data, at + 3, 256)
        return 3 if end is None else end - at
    if kind == SYMBOL_KIND:
        return 7 + read_word(data, at + 5)
    return 4 + data[at + 3] if 65 <= kind <= 79 else 3


def _raster(data: Bytes, at: int) -> int:
    """GS v 0 and GS Q 0."""
    if data[at + 2] not in b"0":
        return 2
    return 8 + read_word(data, at + 4) * read_word(data, at + 6)


def _downloaded(data: Bytes, at: int) -> int:
    """GS *: a picture that the printer keeps."""
    return 4 + 8 * data[at + 2] * data[at + 3]


def _kept_pictures(data: Bytes, at: int) -> int:
    """FS q: pictures that the printer keeps for good."""
    end = at + 3
    for _ in range(data[at + 2]):
        end += 4 + 8 * read_word(data, end) * read_word(data, end + 2)
    return end - at


def _kept_bytes(data: Bytes, at: int) -> int:
    """FS g: writing and reading what the printer keeps for its user."""
    if data[at + 2] in b"1":
        return 10 + read_word(data, at + 8)
    return 10 if data[at + 2] in b"2" else 3


def _large(data: Bytes, at: int) -> int:
    """GS 8 L: a picture larger than GS ( L can say."""
    if data[at + 2] not in b"L":
        return 2
    return 7 + read_word(data, at + 3) + (read_word(data, at + 5) << 16)


def _cut(data: Bytes, at: int) -> int:
    """GS V: the later forms say how far to feed before."""
    return 4 if data[at + 2] in b"ABabgh" else 3


def _symbol(data: Bytes, at: int) -> int:
    """ESC Z: a code of two dimensions, as many printers of other makers have it."""
    return 7 + read_word(data, at + 5)


def _counter(data: Bytes, at: int) -> int:
    return {0x30: 5, 0x31: 9, 0x32: 5}.get(data[at + 2], 2)


def _maintenance(data: Bytes, at: int) -> int:
    return 6 if data[at + 2] in b"02" else 3


_MEASURED: Final[Mapping[bytes, Callable[[Bytes, int], int]]] = {
    b"\x10\x04": _realtime_status,
    b"\x10\x14": _realtime_pulse,
    b"\x1b(": _counted,
    b"\x1c(": _counted,
    b"\x1d(": _counted,
    b"\x1b&": _own_characters,
    b"\x1b*": _strip,
    b"\x1bD": _tab_stops,
    b"\x1bZ": _symbol,
    b"\x1cq": _kept_pictures,
    b"\x1cg": _kept_bytes,
    b"\x1d*": _downloaded,
    b"\x1d8": _large,
    b"\x1dC": _counter,
    b"\x1dQ": _raster,
    b"\x1dV": _cut,
    b"\x1dg": _maintenance,
    b"\x1dk": _barcode,
    b"\x1dv": _raster,
}

_NATIONAL: Final = "#$@[\\]^`{|}~"
NATIONS: Final[Mapping[int, Mapping[int, str]]] = {
    number: {ord(plain): own for plain, own in zip(_NATIONAL, letters, strict=True)}
    for number, letters in {
        1: "#$à°ç§^`éùè¨",
        2: "#$§ÄÖÜ^`äöüß",
        3: "£$@[\\]^`{|}~",
        4: "#$@ÆØÅ^`æøå~",
        5: "#¤ÉÄÖÅÜéäöåü",
        6: "#$@°\\é^ùàòèì",
        7: "₧$@¡Ñ¿^`¨ñ}~",
        8: "#$@[¥]^`{|}~",
        9: "#¤ÉÆØÅÜéæøåü",
        10: "#$ÉÆØÅÜéæøåü",
        11: "#$á¡Ñ¿é`íñóú",
        12: "#$á¡Ñ¿éüíñóú",
        13: "#$@[₩]^`{|}~",
        14: "#$ŽŠĐĆČžšđćč",
        15: "#¥@[\\]^`{|}~",
        16: "#₫@[\\]^`{|}~",
    }.items()
}
"""What ESC R puts in the place of some signs, from before code pages; 0 is none of it."""

BARCODES: Final[Mapping[int, str]] = {
    **dict(enumerate(("upca", "upce", "ean13", "ean8", "code39", "itf", "codabar"))),
    **dict(
        enumerate(
            ("upca", "upce", "ean13", "ean8", "code39", "itf", "codabar", "code93", "code128"),
            start=65,
        )
    ),
    74: "gs1-128",
    75: "databar",
    76: "databar-stacked",
    77: "databar-limited",
    78: "databar-expanded",
    79: "code128",
}
"""Barcodes by Epson's numbers, in their older and their newer form."""
