"""A stream to a receipt printer, cut into jobs, and what the till wants to know meanwhile.

A job ends where the paper is cut. What is asked of the printer and what opens the drawer is no part
of a job: it is done when it comes, and not again when the job is printed on paper later.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.sources import escpos_commands as commands
from e2ee_ticket.sources import star_line
from e2ee_ticket.sources.customer_display import CustomerDisplay
from e2ee_ticket.sources.escpos_commands import JOB_MAX_SIZE

MAKER: Final = b"e2ee-ticket"
"""What this printer says when asked for its maker."""
ASK_MAKER: Final = b"\x1dI\x42"
ANSWER_MAKER: Final = b"_" + MAKER + b"\0"

_TOO_LARGE: Final = "a print job is larger than any receipt: print it on paper"
_WELL: Final = b"\x12"  # online, no error, enough paper, drawer closed


class LanguageError(ReceiptError):
    """This is in a language of printers that is not read here; `name` is the language's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the till printed in a language that is not read here: {name}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Job:
    """The bytes of one receipt; `is_pdf` says that they are a PDF."""

    data: bytes = field(repr=False)
    is_pdf: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the till is to get, once what it printed before is kept.

    Attributes:
        data: where it is, and more can be.
        out: where it is not: that the paper is out, as tills understand it; None says the same.
        watches: it wants to know whenever this changes (True), or no more (False).
    """

    data: bytes
    out: bytes | None = field(default=None, compare=False)
    watches: bool | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Kick:
    """The drawer is to open."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the customer display at the till shows: lines of a sale that is not paid yet."""

    lines: tuple[str, ...]


Event = Job | Answer | Kick | Shown

_NOTHING: Final = Answer(b"")
STATUS: Final = b"\x10\0\0\x0f"
"""What a till that wants to know of changes is told while there is paper, and else."""
STATUS_OUT: Final = b"\x18\0\x0f\x0f"
_NEAR_END: Final = b"\x0f"


class Splitter:
    """Cuts one connection's stream; whatever a chunk of it begins or ends with."""

    def __init__(self, limit: int = JOB_MAX_SIZE) -> None:
        self.progress = 0
        """How many bytes have come for jobs; what is asked and shown elsewhere counts for none."""
        self._limit = limit
        self._display = CustomerDisplay()
        self._displays = False
        self._buffer = bytearray()
        self._job = bytearray()
        self._shows = False
        self._commands = 0
        self._setting: dict[bytes, bytes] = {}
        self._star: star_line.Measure | None = None

    @property
    def begun(self) -> bool:
        """Whether there is something to see of the next job already."""
        return self._shows or self._half_a_picture

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return len(self._buffer) + len(self._job)

    @property
    def _half_a_picture(self) -> bool:
        return bytes(self._buffer[:2]) in commands.PICTURES

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take what came, and tell what it means.

        Raises:
            ReceiptError: one job is larger than any receipt, or this is another printer's language;
                the stream is of no use any more.
        """
        buffer = self._buffer
        half = self._half
        buffer += data
        shown = self._display.lines
        at = start = 0
        while at < len(buffer):
            if self._displays:
                at, ended = self._display.read(buffer, at)
                start, self._displays = at, not ended
                if not ended:
                    break
                shown = self._display.lines
                yield Shown(shown)
                continue
            if text := self._text(at):
                self._shows = self._shows or bool(text[0].strip(b" "))
                at = text.end()
                continue
            length = self._measure(at)
            if length is None:
                break
            command = bytes(buffer[at : at + min(length, 12)])
            told, cut = self._meaning(command)
            self._displays = _turns_to_display(command)
            if told is not None or cut:
                self._add(buffer[start : at + length if cut else at])
                start = at + length
                yield from _real(self._take() if cut else told)
            elif command == b"\x1b@" and not self._shows:
                self._start_anew()
                start = at
            else:
                self._note(command)
            at += length
        self._add(buffer[start:at])
        del buffer[:at]
        self.progress += max(0, self._half - half)
        if self.size > self._limit:
            raise ReceiptError(_TOO_LARGE)
        if self._display.lines != shown:
            yield Shown(self._display.lines)

    @property
    def _half(self) -> int:
        """How much there is of a command that is not whole yet, unless it is a question."""
        return len(self._buffer) if self._buffer[:1] != b"\x10" and not self._displays else 0

    def _add(self, data: bytes | bytearray) -> None:
        self._job += data
        self.progress += len(data)

    def _text(self, at: int) -> re.Match[bytes] | None:
        if self._star is not None and self._star.in_rows:
            return None
        return commands.TEXT.match(self._buffer, at)

    def _measure(self, at: int) -> int | None:
        """Measure the command here; None while some of it is still to come."""
        if self._star is None and star_line.is_sign(self._buffer, at):
            self._star = star_line.Measure()
        measure = commands.length_of if self._star is None else self._star.length_of
        length = measure(self._buffer, at)
        if length is not None and length > self._limit:
            raise ReceiptError(_TOO_LARGE)
        if length is None or at + length > len(self._buffer):
            return None
        return length

    def _meaning(self, command: bytes) -> tuple[Answer | Kick | None, bool]:
        """Say what a command wants at once, and whether it cuts the paper."""
        if self._star is None:
            return _tell(command), command[:2] in _CUTS
        self._shows = self._shows or self._star.in_rows or command[:2] in star_line.SHOW
        return (Kick() if command in star_line.KICKS else None), command[:2] == star_line.CUT

    def end(self) -> Job | None:
        """Take what is there as a job, if it shows anything: no more will come."""
        self._shows = self.begun
        self._job += self._buffer
        self._buffer.clear()
        return self._take()

    def _take(self) -> Job | None:
        data, shows = bytes(self._job), self._shows
        self._job.clear()
        self._job += b"".join(self._setting.values())
        self._shows = False
        self._commands = 0
        return Job(data) if shows else None

    def _start_anew(self) -> None:
        """Forget what led to nothing: some tills reset the printer every minute, all day long."""
        self._job.clear()
        self._setting.clear()
        self._commands = 0

    def _note(self, command: bytes) -> None:
        self._commands += 1
        if self._commands > commands.COMMAND_LIMIT:
            raise ReceiptError(_TOO_LARGE)
        name = command[:2]
        if self._star is not None:
            return
        if name in _SHOW:
            self._shows = self._shows or name != b"\x1d(" or _prints(command)
        elif name == b"\x1b@":
            self._setting.clear()
        elif name in _SETTINGS:
            # A printer keeps its code page from one job to the next; every job of ours has it.
            self._setting[name] = command


def _turns_to_display(command: bytes) -> bool:
    """Tell whether what follows is for the customer display; Star's printers have no such one."""
    return command[:2] == b"\x1b=" and len(command) > 2 and command[2] & 3 == 2


def _real(event: Job | Answer | Kick | None) -> Iterator[Job | Answer | Kick]:
    if event is not None and event != _NOTHING:
        yield event


_CUTS: Final = frozenset((b"\x1dV", b"\x1bi", b"\x1bm"))
_SHOW: Final = frozenset((b"\x1b*", b"\x1dv", b"\x1dk", b"\x1d(", b"\x1d8", b"\x1cp", b"\x1d/"))
_SETTINGS: Final = frozenset((b"\x1bt", b"\x1bR"))


def _prints(command: bytes) -> bool:
    """Tell whether GS ( prints: a kept picture, or a kept code."""
    kind, function = command[2:3], command[6:7]
    return (kind == b"L" and function in {b"2", b"\x02"}) or (kind == b"k" and function == b"Q")


def _tell(command: bytes) -> Answer | Kick | None:
    """Say what a command wants at once; an empty answer where it wants nothing of a job either."""
    name = command[:2]
    if name == b"\x1bp":
        return Kick()
    if name == b"\x10\x14":
        return Kick() if command[2:3] == b"\x01" else _NOTHING
    if name == b"\x1dI":
        return Answer(_ABOUT.get(command[2], b"\0"))
    if name == b"\x1da":
        is_on = command[2] != 0
        return Answer(STATUS if is_on else b"", STATUS_OUT if is_on else b"", watches=is_on)
    if name == b"\x1d(" and command[2:3] == b"H":
        # "Tell me when you come to this": some tills wait for it before they go on.
        return Answer(b"\x37\x22" + command[7:11] + b"\0" if len(command) > 10 else b"", b"")
    if name == b"\x1dg":
        return Answer(b"_0\0" if command[2] == 0x32 else b"")
    if name == b"\x10\x04":
        return Answer(_WELL, _OUT.get(command[2], _WELL))
    if name == b"\x1dr":
        return Answer(b"\0", _NEAR_END if command[2:3] in b"\x011" else b"\0")
    return _ANSWERS.get(name)


_ANSWERS: Final[Mapping[bytes, Answer]] = {
    b"\x10\x05": _NOTHING,
    b"\x1b=": _NOTHING,
    b"\x1bu": Answer(b"\0"),
    b"\x1bv": Answer(b"\0", _NEAR_END),
}
# Offline; because the paper is out; and so says its sensor.
_OUT: Final[Mapping[int, bytes]] = {1: b"\x1a", 2: b"\x32", 4: b"\x7e"}

_ABOUT: Final[Mapping[int, bytes]] = {
    1: b"\x20",
    49: b"\x20",
    2: b"\x02",  # with a cutter
    50: b"\x02",
    65: b"_1.0\0",
    66: ANSWER_MAKER,
    67: b"_ESC/POS\0",
    68: b"_0\0",
    69: b"_\0",
}
