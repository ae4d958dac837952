"""Star Line Mode, the language of Star's receipt printers: read as the ESC/POS that says the same.

Star's printers speak ESC/POS only where they are set to it. Their own language has the same bytes
for other things, such as `ESC i` for large letters, which is a cut in ESC/POS. It is recognised by
commands that ESC/POS does not have.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from e2ee_ticket.sources.escpos_commands import Bytes, read_word
from e2ee_ticket.sources.escpos_commands import length_of as escpos_length_of

TEXT: Final = re.compile(rb"[\x20-\xff]+")
CUT: Final = b"\x1bd"
SHOW: Final = frozenset((b"\x1bb", b"\x1bK", b"\x1bL", b"\x1bX", b"\x1bk"))
"""Commands after which there is something to see."""
KICKS: Final = frozenset((b"\x07", b"\x1c"))
"""What opens a drawer."""
_ESC, _RS, _SYMBOLS = 0x1B, 0x1E, b"\x1b\x1d"
_SIGNS: Final = re.compile(rb"\x1b(?:\x1d[aAtPRcSxyhl)#(=\x07\x19]|\*r[A-Za-z]|\x1e[aAdFrCE])")
_LOOKED_AT: Final = 50  # commands at the beginning, among which one is Star's own

_FIXED: Final[Mapping[bytes, int]] = {
    **{b"\x1b" + bytes((name,)): 2 for name in b"@EF45MP:012<GHgcN\x0e\x14\x0f\x12\x06"},
    **{b"\x1b" + bytes((name,)): 3 for name in b" -_!aAJIQlRWhdzopstCfp\x0c\x19#&%TUSLK"},
    b"\x1bi": 4,
    b"\x1b\x07": 4,
}
_AFTER_GS: Final[Mapping[int, int]] = {
    **dict.fromkeys(b"tac=", 4), **dict.fromkeys(b"AR", 5), **dict.fromkeys(b"hl", 4),
    0x07: 6, **dict.fromkeys(b"P", 4),
}  # fmt: skip


def is_sign(data: Bytes, at: int) -> bool:
    """Tell whether a command begins here that only Star's language has."""
    return _SIGNS.match(data, at) is not None


class Measure:
    """Measures the commands of one connection, one after the other."""

    def __init__(self) -> None:
        self.in_rows = False
        """Whether what comes are rows of a picture (raster mode)."""

    def length_of(self, data: Bytes, at: int) -> int | None:
        """Tell how long the command is that begins here; None where more bytes must tell."""
        if self.in_rows and data[at] in b"bk":
            return 3 + read_word(data, at + 1) if at + 2 < len(data) else None
        length = length_of(data, at)
        if length is not None and at + length <= len(data) and data[at : at + 3] == b"\x1b*r":
            kind = data[at + 3]
            self.in_rows = kind in b"AR" or (self.in_rows and kind not in b"BC")
        return length


def is_star(data: Bytes) -> bool:
    """Tell whether a job is in Star's language, by its first commands."""
    at = seen = 0
    while at < len(data) and seen < _LOOKED_AT:
        if text := TEXT.match(data, at):
            at = text.end()
            continue
        if _SIGNS.match(data, at):
            return True
        length = escpos_length_of(data, at)
        if length is None:
            return False
        at += length
        seen += 1
    return False


def length_of(data: Bytes, at: int) -> int | None:
    """Tell how long the command is that begins here; None where more bytes must tell."""
    if data[at] != _ESC:
        return 1
    try:
        return _length(data, at)
    except IndexError:
        return None


def _length(data: Bytes, at: int) -> int:
    name = bytes(data[at : at + 2])
    second = data[at + 1]
    if name == _SYMBOLS:
        return _length_after_gs(data, at)
    if second == ord("b"):
        return _until(data, at + 6, _RS) - at
    if second in b"KL":
        return 4 + read_word(data, at + 2)
    if second == ord("X"):
        return 4 + 3 * read_word(data, at + 2)
    if second == ord("k"):
        return 4 + 24 * data[at + 2]
    if second == ord("D"):
        return _until(data, at + 2, 0) - at
    if second == ord("*"):
        # "ESC * r A" and what takes a number, which a NUL ends.
        return 4 if data[at + 3] in b"ABCR" else _until(data, at + 4, 0) - at
    if second == _RS:
        return 4
    return _FIXED.get(name, 2)


def _length_after_gs(data: Bytes, at: int) -> int:
    third = data[at + 2]
    if third == ord("S"):
        return 9 + read_word(data, at + 4) * read_word(data, at + 6)
    if third in b"xy":
        match data[at + 3 : at + 5]:
            case b"D1" | b"D\x01" if third == ord("y"):
                return 8 + read_word(data, at + 6)
            case _ if data[at + 3] == ord("D") and third == ord("x"):
                return 6 + read_word(data, at + 4)
            case _ if data[at + 3] == ord("P"):
                return 4
            case _ if data[at + 3 : at + 5] == b"S0" and third == ord("x"):
                return 8
            case _:
                return 6
    return _AFTER_GS.get(third, 3)


def _until(data: Bytes, at: int, sign: int) -> int:
    end = data.find(bytes((sign,)), at, at + 4096)
    if end < 0:
        raise IndexError
    return end + 1


class _Translator:
    """What of Star's state ESC/POS has otherwise."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.wide = self.high = 1
        self.qr = self.pdf417 = b""

    def size(self) -> None:
        self.out += bytes((0x1D, 0x21, (self.wide - 1) << 4 | (self.high - 1)))

    def command(self, given: bytes) -> None:
        """Say a command in ESC/POS; what opens a drawer, asks or is unknown is left out."""
        if len(given) == 1:
            self._control(given)
        elif given[:2] == _SYMBOLS:
            self._after_gs(given)
        elif (say := _SAID.get(given[1:2])) is not None:
            say(self, given)

    def _control(self, given: bytes) -> None:
        if given in b"\n\r\t":
            self.out += given
        elif given in b"\x0e\x14":
            self.wide = 2 if given == b"\x0e" else 1
            self.size()
        elif given in b"\x0f\x12":
            self.out += b"\x1b{" + (b"\x01" if given == b"\x0f" else b"\0")

    def _after_gs(self, given: bytes) -> None:
        match given[2:3]:
            case b"a":
                self.out += b"\x1ba" + given[3:4]
            case b"t":
                self.out += b"\x1bt" + given[3:4]
            case b"A":
                self.out += b"\x1b$" + given[3:5]
            case b"R":
                self.out += b"\x1b\\" + given[3:5]
            case b"S":
                self.out += b"\x1dv0\0" + given[4:8] + given[9:]
            case b"y" if given[3:4] == b"D":
                self.qr = given[8:]
            case b"x" if given[3:4] == b"D":
                self.pdf417 = given[6:]
            case b"y" if given[3:4] == b"P":
                self.symbol(b"1", self.qr)
            case b"x" if given[3:4] == b"P":
                self.symbol(b"0", self.pdf417)

    def symbol(self, kind: bytes, said: bytes) -> None:
        self.out += b"\x1d(k" + (len(said) + 3).to_bytes(2, "little") + kind + b"P0" + said
        self.out += b"\x1d(k\x03\0" + kind + b"Q0"

    def barcode(self, given: bytes) -> None:
        """ESC b: kind, whether it is written below, width, height, and what it says."""
        kind, below, said = given[2], given[3], given[6:-1]
        number = _BARCODES.get(kind & 0x0F)
        if number is None or len(said) > 250:
            self.out += said + b"\n"
            return
        said = b"{B" + said if number == 73 else said
        self.out += b"\x1dH" + (b"\x02" if below & 0x0F in {2, 4} else b"\0")
        self.out += bytes((0x1D, 0x6B, number, len(said))) + said

    def strips(self, mode: int, count: bytes, data: bytes) -> None:
        self.out += b"\x1b*" + bytes((mode,)) + count + data

    def fine(self, given: bytes) -> None:
        """ESC k: 24 rows of so many bytes."""
        self.out += b"\x1dv0\0" + given[2:3] + b"\0\x18\0" + given[4:]


# Star's numbers of barcodes, and those of GS k.
_BARCODES: Final = {0: 66, 1: 65, 2: 68, 3: 67, 4: 69, 5: 70, 6: 73, 7: 72, 8: 71}


def _copy(name: bytes, count: int) -> Callable[[_Translator, bytes], None]:
    def say(translator: _Translator, given: bytes) -> None:
        translator.out += b"\x1b" + name + given[2 : 2 + count]

    return say


def _write(said: bytes) -> Callable[[_Translator, bytes], None]:
    def say(translator: _Translator, _: bytes) -> None:
        translator.out += said

    return say


def _large(*, wide: bool, number: Callable[[bytes], int]) -> Callable[[_Translator, bytes], None]:
    def say(translator: _Translator, given: bytes) -> None:
        value = 1 + min(number(given), 5)
        if wide:
            translator.wide = value
        else:
            translator.high = value
        translator.size()

    return say


def _both(translator: _Translator, given: bytes) -> None:
    translator.high, translator.wide = 1 + min(given[2] & 0x0F, 5), 1 + min(given[3] & 0x0F, 5)
    translator.size()


def _start(translator: _Translator, _: bytes) -> None:
    translator.wide = translator.high = 1
    translator.out += b"\x1b@"


_SAID: Final[Mapping[bytes, Callable[[_Translator, bytes], None]]] = {
    b"@": _start,
    b"E": _write(b"\x1bE\x01"),
    b"F": _write(b"\x1bE\0"),
    b"4": _write(b"\x1dB\x01"),
    b"5": _write(b"\x1dB\0"),
    b"-": _copy(b"-", 1),
    b"R": _copy(b"R", 1),
    b" ": _copy(b" ", 1),
    b"a": _copy(b"d", 1),
    b"J": lambda translator, given: translator.out.extend(
        bytes((0x1B, 0x4A, min(2 * given[2], 255)))  # quarters of a millimetre
    ),
    b"D": lambda translator, given: translator.out.extend(b"\x1bD" + given[2:]),
    b"i": _both,
    b"W": _large(wide=True, number=lambda given: given[2] & 0x0F),
    b"h": _large(wide=False, number=lambda given: given[2] & 0x0F),
    b"\x0e": _large(wide=False, number=lambda _: 1),
    b"\x14": _large(wide=False, number=lambda _: 0),
    b"b": lambda translator, given: translator.barcode(given),
    b"K": lambda translator, given: translator.strips(0, given[2:4], given[4:]),
    b"L": lambda translator, given: translator.strips(1, given[2:4], given[4:]),
    b"X": lambda translator, given: translator.strips(33, given[2:4], given[4:]),
    b"k": lambda translator, given: translator.fine(given),
    b"d": _write(b"\x1dV\0"),
    b"\x1e": lambda translator, given: translator.out.extend(
        b"\x1bM" + given[3:4] if given[2:3] == b"F" else b""
    ),
}


def translate(data: bytes) -> bytes:
    """Say a job of Star Line Mode, or as much of one as there is, in ESC/POS."""
    translator = _Translator()
    measure = Measure()
    at = 0
    while at < len(data):
        if not measure.in_rows and (text := TEXT.match(data, at)):
            translator.out += text[0]
            at = text.end()
            continue
        rows = measure.in_rows
        length = measure.length_of(data, at)
        if length is None or at + length > len(data):
            break
        given = data[at : at + length]
        if rows and given[:1] in (b"b", b"k"):
            if count := length - 3:
                size = count.to_bytes(2, "little") + b"\x01\0"
                translator.out += b"\x1dv0\0" + size + given[3:]
        else:
            translator.command(given)
        at += length
    return bytes(translator.out)
