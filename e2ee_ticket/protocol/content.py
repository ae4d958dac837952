"""What a display shows, as the payload of a sealed (spec/channel.md, Hello and sealed)."""

import json
import re
from dataclasses import dataclass, field
from typing import Literal

from e2ee_ticket.errors import DamagedError, FramingError
from e2ee_ticket.protocol import link, strict_json
from e2ee_ticket.protocol.secret import Secret

PAYLOAD_SIZE = 464
JSON_MAX_SIZE = PAYLOAD_SIZE - 2
SECONDS_MAX = 120
LINES_MAX = 8
LINE_LIMIT = 40
NAME_LIMIT = 60
LANG_LIMIT = 35
_NOTICE = re.compile(r"[A-Z]{2}")
_KINDS = {"tkt": "ticket", "live": "live", "thanks": "thanks", "idle": "idle"}
_DROPPED_FIRST = ("notice", "name", "time", "no", "total")

Kind = Literal["ticket", "live", "thanks", "idle"]


@dataclass(frozen=True, slots=True)
class Content:
    """One thing to show. Made by `idle`, `live`, `thanks` and `ticket`.

    Attributes:
        kind: which of the four.
        secret: the ticket's secret, of a ticket.
        seconds: how long to show it, 1 to 120, of a ticket.
        number, time, total: texts of at most 40 code points, of a ticket.
        lines: 1 to 8 texts of at most 40 code points, of live.
        name: the shop, at most 60 code points.
        lang: BCP 47, at most 35 code points.
        notice: two capital letters, the country of the legal notice.
    """

    kind: Kind
    secret: Secret | None = None
    seconds: int = 0
    number: str | None = field(default=None, repr=False)
    time: str | None = field(default=None, repr=False)
    total: str | None = field(default=None, repr=False)
    lines: tuple[str, ...] = field(default=(), repr=False)
    name: str | None = None
    lang: str | None = None
    notice: str | None = None

    def __post_init__(self) -> None:
        limits = {
            "number": LINE_LIMIT,
            "time": LINE_LIMIT,
            "total": LINE_LIMIT,
            "name": NAME_LIMIT,
            "lang": LANG_LIMIT,
        }
        for name, limit in limits.items():
            value = getattr(self, name)
            if value is not None and len(value) > limit:
                raise ValueError(f"{name} is longer than {limit} characters")
        if self.notice is not None and _NOTICE.fullmatch(self.notice) is None:
            raise ValueError("notice is a country in two capital letters")
        if self.kind == "ticket" and not (self.secret and 1 <= self.seconds <= SECONDS_MAX):
            raise ValueError("a ticket has a secret and is shown for 1 to 120 seconds")
        if self.kind == "live" and not (
            1 <= len(self.lines) <= LINES_MAX and max(map(len, self.lines)) <= LINE_LIMIT
        ):
            raise ValueError("live has 1 to 8 lines of at most 40 characters")

    @classmethod
    def idle(
        cls, *, name: str | None = None, lang: str | None = None, notice: str | None = None
    ) -> "Content":
        """Nothing in particular: the shop's name and the legal notice."""
        return cls("idle", name=name, lang=lang, notice=notice)

    @classmethod
    def thanks(cls, *, name: str | None = None, lang: str | None = None) -> "Content":
        """The customer has the receipt."""
        return cls("thanks", name=name, lang=lang)

    @classmethod
    def live(
        cls, lines: tuple[str, ...], *, name: str | None = None, lang: str | None = None
    ) -> "Content":
        """The sale so far, before payment."""
        return cls("live", lines=lines, name=name, lang=lang)

    @classmethod
    def ticket(
        cls,
        secret: Secret,
        seconds: int,
        *,
        number: str | None = None,
        time: str | None = None,
        total: str | None = None,
        name: str | None = None,
        lang: str | None = None,
    ) -> "Content":
        """A ticket's QR code, with what tells the customer that it is theirs."""
        return cls("ticket", secret, seconds, number, time, total, (), name, lang)

    def to_payload(self, seconds: int | None = None) -> bytes:
        """Write the 464 bytes; `seconds` replaces how long a ticket is still shown.

        Raises:
            ValueError: a text holds half a character.
        """
        members: dict[str, object] = {}
        if self.secret is not None:
            members["tkt"] = link.format_digits(self.secret.reveal(), link.CHECK_LABEL)
            members["for"] = self.seconds if seconds is None else seconds
            members |= {"no": self.number, "time": self.time, "total": self.total}
        elif self.kind == "live":
            members["live"] = list(self.lines)
        else:
            members[self.kind] = True
        members |= {"name": self.name, "lang": self.lang, "notice": self.notice}
        members = {name: value for name, value in members.items() if value is not None}
        data = _to_json(members)
        for name in _DROPPED_FIRST:  # C16
            if len(data) > JSON_MAX_SIZE:
                members.pop(name, None)
                data = _to_json(members)
        lines = list(self.lines)
        while len(data) > JSON_MAX_SIZE:
            lines = lines[1:]
            members["live"] = lines
            data = _to_json(members)
        return (len(data).to_bytes(2) + data).ljust(PAYLOAD_SIZE, b"\0")

    @classmethod
    def from_payload(cls, payload: bytes) -> "Content":
        """Read the 464 bytes.

        Raises:
            FramingError: C13, C14.
        """
        size = int.from_bytes(payload[:2])
        if size > JSON_MAX_SIZE or any(payload[2 + size :]):
            raise FramingError("the length does not fit the message")
        members = strict_json.parse_object(payload[2 : 2 + size])
        kinds = [name for name in _KINDS if name in members]
        if len(kinds) != 1:
            raise FramingError("not exactly one thing to show")
        name = strict_json.read_text(members, "name", NAME_LIMIT)
        lang = strict_json.read_text(members, "lang", LANG_LIMIT)
        notice = strict_json.read_text(members, "notice", 2)
        if notice is not None and _NOTICE.fullmatch(notice) is None:
            raise FramingError("notice is not a country")
        if kinds == ["tkt"]:
            return _read_ticket(members, name, lang, notice)
        if kinds == ["live"]:
            return cls("live", lines=_read_lines(members), name=name, lang=lang, notice=notice)
        if members[kinds[0]] is not True:
            raise FramingError(f"{kinds[0]} is not true")
        return cls("thanks" if kinds == ["thanks"] else "idle", name=name, lang=lang, notice=notice)


def _to_json(members: dict[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _read_lines(members: dict[str, object]) -> tuple[str, ...]:
    lines = members["live"]
    if not isinstance(lines, list) or not 1 <= len(lines) <= LINES_MAX:
        raise FramingError("live is not a list of one to eight texts")
    if not all(isinstance(line, str) and len(line) <= LINE_LIMIT for line in lines):
        raise FramingError("a line of live is not a text of at most 40 characters")
    return tuple(lines)


def _read_ticket(
    members: dict[str, object], name: str | None, lang: str | None, notice: str | None
) -> Content:
    digits = members["tkt"]
    if not isinstance(digits, str):
        raise FramingError("tkt is not a text")
    try:
        secret = Secret(link.parse_digits(digits, link.CHECK_LABEL))
    except DamagedError:
        raise FramingError("tkt is not a ticket's digits") from None
    seconds = strict_json.read_integer(members, "for")
    if not 1 <= seconds <= SECONDS_MAX:
        raise FramingError("for is not 1 to 120 seconds")
    return Content(
        "ticket",
        secret,
        seconds,
        number=strict_json.read_text(members, "no", LINE_LIMIT),
        time=strict_json.read_text(members, "time", LINE_LIMIT),
        total=strict_json.read_text(members, "total", LINE_LIMIT),
        name=name,
        lang=lang,
        notice=notice,
    )
