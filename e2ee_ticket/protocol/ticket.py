"""The ticket: what the customer receives (spec/ticket.md, Ticket)."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from e2ee_ticket.errors import FramingError, ReceiptError
from e2ee_ticket.protocol import lines as text_lines
from e2ee_ticket.protocol import strict_json
from e2ee_ticket.protocol.lines import Lines

HEADER_MAX_SIZE = 4096
PREFIX_SIZE = 8
PARTS_MAX = 8
RECEIPT_TYPE = "application/pdf"
PREVIEW_TYPE = "image/png"
DATA_ENDINGS = {"application/json": ".json", "application/xml": ".xml"}
DATA_MAX = 3

TEXT_LIMITS = {"title": 200, "total": 64, "number": 64, "issued": 64, "lang": 35}
NAME_LIMIT = 200
TYPE_LIMIT = 100
NAME_MAX_SIZE = 200  # bytes, of what a till proposes; most file systems take 255, phones add to it
DATA_NAME_LIMIT = 60  # of what a till proposes for data, so that three of them fit the header

_UNSAFE_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"*:<>?|]')


def plain_name(name: str | None, ending: str = ".pdf") -> str:
    """Reduce a proposed file name to a plain one with this ending (T37, T49)."""
    last = re.split(r"[/\\]", name or "")[-1]
    safe = _UNSAFE_IN_A_NAME.sub("", last)
    stem = re.sub(re.escape(ending) + r"$", "", safe, flags=re.IGNORECASE)
    return (stem.strip(" .")[:100].strip(" .") or "receipt") + ending


def short_name(name: str | None) -> str:
    """Make a plain name that every phone's file system takes: at most 200 bytes of UTF-8."""
    stem = plain_name(name).removesuffix(".pdf").encode("utf-8", "replace")
    return plain_name(stem[: NAME_MAX_SIZE - len(".pdf")].decode("utf-8", "ignore") + ".pdf")


@dataclass(frozen=True, slots=True)
class Data:
    """The sale for machines, as somebody else wrote it: EKaBS, UBL, CII (T48).

    `type` is `application/json` or `application/xml`; `name` is a file name to propose.
    """

    type: str
    name: str = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A receipt with what is shown beside it. Sizes and limits: spec/ticket.md, Ticket.

    Attributes:
        receipt: the PDF, byte for byte as the till delivered it.
        name: the file name to propose.
        title: the shop.
        total: the amount, as the shop writes it.
        number: the receipt's number.
        issued: when, RFC 3339, for showing only.
        lang: the receipt's language, BCP 47.
        preview: a PNG picture of the receipt, or of what words cannot say of it.
        lines: the receipt in words (lines.py), or None.
        preview_is_rest: the picture shows only what the lines cannot say (T43).
        data: at most three parts for machines.
    """

    receipt: bytes = field(repr=False)
    name: str = field(default="receipt.pdf", repr=False)
    title: str | None = field(default=None, repr=False)
    total: str | None = field(default=None, repr=False)
    number: str | None = field(default=None, repr=False)
    issued: str | None = field(default=None, repr=False)
    lang: str | None = field(default=None, repr=False)
    preview: bytes | None = field(default=None, repr=False)
    lines: Lines | None = field(default=None, repr=False)
    preview_is_rest: bool = False
    data: tuple[Data, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name, limit in (*TEXT_LIMITS.items(), ("name", NAME_LIMIT)):
            value = getattr(self, name)
            if value is not None and len(value) > limit:
                raise ReceiptError(f"the {name} is longer than {limit} characters")
        if len(self.data) > DATA_MAX or any(each.type not in DATA_ENDINGS for each in self.data):
            raise ReceiptError("a ticket holds three parts of data at most, JSON or XML")

    def to_bytes(self) -> bytes:
        """Write lengths, header and body, without the padding.

        Raises:
            ReceiptError: a text holds half a character, or the lines what no text may (T40).
        """
        header: dict[str, object] = {
            name: getattr(self, name) for name in TEXT_LIMITS if getattr(self, name) is not None
        }
        parts = [(RECEIPT_TYPE, self.name, self.receipt)]
        others: list[tuple[str, str | None, bytes]] = []
        if self.preview is not None:
            others.append((PREVIEW_TYPE, None, self.preview))
        if self.lines is not None:
            # T43: where the text stands says what the picture shows.
            place = 0 if self.preview_is_rest else len(others)
            others.insert(place, (text_lines.TYPE, None, text_lines.to_bytes(self.lines)))
        data = [(each.type, _data_name(each), each.body) for each in self.data]
        written = _with_parts(header, [*parts, *others, *data])
        if len(written) > HEADER_MAX_SIZE:
            # T13: with every text at its limit, each character escaped, it still fits without data.
            data = []
            written = _with_parts(header, [*parts, *others])
        body = b"".join(part for _, _, part in (*parts, *others, *data))
        return len(written).to_bytes(4) + len(body).to_bytes(4) + written + body

    @classmethod
    def from_bytes(cls, plaintext: bytes) -> "Ticket":
        """Read a plaintext M, padding included.

        Raises:
            FramingError: T24 to T34.
        """
        header_size = int.from_bytes(plaintext[0:4])
        body_size = int.from_bytes(plaintext[4:8])
        end = PREFIX_SIZE + header_size + body_size
        # T24: B - 76 is what a plaintext of B - 68 bytes holds beside its two lengths.
        if header_size > HEADER_MAX_SIZE or end > len(plaintext):
            raise FramingError("the lengths do not fit the envelope")
        if plaintext.count(0, end) != len(plaintext) - end:  # T25
            raise FramingError("the padding is not zeros")
        header = strict_json.parse_object(plaintext[PREFIX_SIZE : PREFIX_SIZE + header_size])
        texts = {  # T31
            text: strict_json.read_text(header, text, limit) for text, limit in TEXT_LIMITS.items()
        }
        parts = _read_parts(header, plaintext[PREFIX_SIZE + header_size : end])
        kind, name, receipt = parts[0]
        if kind != RECEIPT_TYPE:  # T34
            raise FramingError("the first part is not a receipt")
        kinds = [kind for kind, _, _ in parts]
        picture = kinds.index(PREVIEW_TYPE) if PREVIEW_TYPE in kinds else 0  # T12
        lines = None
        if kinds.count(text_lines.TYPE) == 1:  # T45
            lines = text_lines.from_bytes(parts[kinds.index(text_lines.TYPE)][2])
        return cls(
            receipt=receipt,
            name=plain_name(name),
            title=texts["title"],
            total=texts["total"],
            number=texts["number"],
            issued=texts["issued"],
            lang=texts["lang"],
            preview=parts[picture][2] if picture else None,
            lines=lines,
            preview_is_rest=lines is not None and 0 < kinds.index(text_lines.TYPE) < picture,  # T43
            data=tuple(_read_data(parts)),
        )


def _data_name(data: Data) -> str:
    ending = DATA_ENDINGS[data.type]
    stem = plain_name(data.name, ending).removesuffix(ending).encode("utf-8", "replace")
    return plain_name(stem[: DATA_NAME_LIMIT - len(ending)].decode("utf-8", "ignore"), ending)


def _with_parts(header: dict[str, object], parts: Sequence[tuple[str, str | None, bytes]]) -> bytes:
    """Write a header that lists these parts."""
    listed = [
        {"type": kind} | ({} if name is None else {"name": name}) | {"length": len(body)}
        for kind, name, body in parts
    ]
    text = json.dumps(header | {"parts": listed}, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ReceiptError("a text of the ticket holds half a character") from None


def _read_data(parts: Sequence[tuple[str, str | None, bytes]]) -> Iterator[Data]:
    """Give the parts for machines that may be offered: the first three that have a name (T49)."""
    named = [
        Data(kind, plain_name(name, DATA_ENDINGS[kind]), body)
        for kind, name, body in parts[1:]
        if kind in DATA_ENDINGS and name
    ]
    yield from named[:DATA_MAX]


def _read_parts(header: dict[str, object], body: bytes) -> list[tuple[str, str | None, bytes]]:
    """Cut the body into (type, name, bytes) as the header lists them (T31 to T33)."""
    listed = header.get("parts")
    if not isinstance(listed, list) or not 1 <= len(listed) <= PARTS_MAX:
        raise FramingError("parts is not a list of one to eight parts")
    parts = []
    offset = 0
    for part in listed:
        if not isinstance(part, dict):
            raise FramingError("a part is not an object")
        kind = strict_json.read_text(part, "type", TYPE_LIMIT)
        if kind is None:
            raise FramingError("a part has no type")
        name = strict_json.read_text(part, "name", NAME_LIMIT)
        length = strict_json.read_integer(part, "length")
        parts.append((kind, name, body[offset : offset + length]))
        offset += length
    if offset != len(body):
        raise FramingError("the parts do not fill the body")
    return parts
