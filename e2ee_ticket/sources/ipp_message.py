"""IPP messages, as bytes and as values (RFC 8010, section 3).

Reading is bounded: any bytes give a `Message` or a `MalformedError`, in time linear to their
length. What programs get wrong is read as CUPS reads it: of an attribute that stands twice the
first is taken, a boolean is true that is not zero, and a text that is not UTF-8 is Windows'
Latin-1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from e2ee_ticket.errors import SourceError

HEAD_SIZE: Final = 8
ATTRIBUTES_MAX_SIZE: Final = 64 * 1024
NAME_MAX_SIZE: Final = 255
DEPTH_MAX: Final = 4
_SIZE_MAX: Final = 32_767  # RFC 8011: MAX, the longest value there is

_DELIMITER_MAX: Final = 0x0F
_RANGE_SIZE, _RESOLUTION_SIZE, _TIME_SIZE = 8, 9, 11


class Tag(IntEnum):
    """What stands before a group of attributes or before a value."""

    OPERATION = 0x01
    JOB = 0x02
    END = 0x03
    PRINTER = 0x04
    UNSUPPORTED = 0x05

    NO_SUCH = 0x10
    UNKNOWN = 0x12
    NO_VALUE = 0x13
    INTEGER = 0x21
    BOOLEAN = 0x22
    ENUM = 0x23
    OCTETS = 0x30
    TIME = 0x31
    RESOLUTION = 0x32
    RANGE = 0x33
    COLLECTION = 0x34
    TEXT_WITH_LANGUAGE = 0x35
    NAME_WITH_LANGUAGE = 0x36
    COLLECTION_END = 0x37
    TEXT = 0x41
    NAME = 0x42
    KEYWORD = 0x44
    URI = 0x45
    URI_SCHEME = 0x46
    CHARSET = 0x47
    LANGUAGE = 0x48
    MIME = 0x49
    MEMBER_NAME = 0x4A


_OUT_OF_BAND: Final = range(0x10, 0x20)
_INTEGERS: Final = frozenset({Tag.INTEGER, Tag.ENUM})
_STRINGS: Final = range(0x41, 0x4A)
_WITH_LANGUAGE: Final = frozenset({Tag.TEXT_WITH_LANGUAGE, Tag.NAME_WITH_LANGUAGE})

Content = int | str | bytes | tuple[int, ...] | Mapping[str, "Values"] | None


class MalformedError(SourceError):
    """These bytes are no IPP message."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value with its tag.

    Attributes:
        tag: a `Tag`, or a number that this program does not know.
        content: int for integers and enums, bool for booleans, str for texts of all kinds (one
            with a language loses it), (low, high) for ranges, (across, feed, unit) for
            resolutions, names and values for collections, None where there is no value, and bytes
            for everything else.
    """

    tag: int
    content: Content = None


Values = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Attributes that belong together; none of them stands twice."""

    tag: int
    attributes: Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class Message:
    """A request (`code` is the operation) or a response (`code` is the status)."""

    version: tuple[int, int]
    code: int
    request_id: int
    groups: tuple[Group, ...] = field(default=(), repr=False)

    def to_bytes(self) -> bytes:
        """Write the message, without a document."""
        out = bytearray(bytes(self.version))
        out += self.code.to_bytes(2) + self.request_id.to_bytes(4)
        for group in self.groups:
            out.append(group.tag)
            for name, values in group.attributes.items():
                _write(out, name, values)
        out.append(Tag.END)
        return bytes(out)


def read_head(data: bytes) -> Message:
    """Read the first eight bytes, which are enough to answer.

    Raises:
        MalformedError: there are fewer.
    """
    if len(data) < HEAD_SIZE:
        raise MalformedError("the message is shorter than eight bytes")
    return Message((data[0], data[1]), int.from_bytes(data[2:4]), int.from_bytes(data[4:HEAD_SIZE]))


def read_message(data: bytes) -> tuple[Message, int]:
    """Read a message; return it and where the document behind it begins.

    Raises:
        MalformedError: cut short, too long, a value that its tag cannot have.
    """
    head = read_head(data)
    reader = _Reader(data, HEAD_SIZE, min(len(data), ATTRIBUTES_MAX_SIZE))
    groups = []
    tag = reader.byte()
    while tag != Tag.END:
        if not 0 < tag <= _DELIMITER_MAX:
            raise MalformedError("a group of attributes has no beginning")
        attributes, following = reader.attributes()
        groups.append(Group(tag, attributes))
        tag = following
    return Message(head.version, head.code, head.request_id, tuple(groups)), reader.position


class _Reader:
    """Reads forward, never beyond its end."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self._data = data
        self._end = end
        self.position = position

    def byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        start, self.position = self.position, self.position + size
        if self.position > self._end:
            raise MalformedError("the message is cut short, or its attributes are too long")
        return self._data[start : self.position]

    def _sized(self, limit: int) -> bytes:
        size = int.from_bytes(self._take(2))
        if size > limit:
            raise MalformedError("a name or a value is too long")
        return self._take(size)

    def attributes(self) -> tuple[dict[str, Values], int]:
        """Read a group up to the delimiter that follows, which is returned, too."""
        found: dict[str, list[Value]] = {}
        values: list[Value] | None = None
        while (tag := self.byte()) > _DELIMITER_MAX:
            name = _ascii(self._sized(NAME_MAX_SIZE))
            if name:
                values = []
                found.setdefault(name, values)
            if values is None:
                raise MalformedError("a value has no name")
            values.append(self._value(tag, self._sized(_SIZE_MAX), DEPTH_MAX))
        return {name: tuple(values) for name, values in found.items()}, tag

    def _value(self, tag: int, raw: bytes, depth: int) -> Value:
        if tag == Tag.COLLECTION:
            return Value(tag, self._collection(depth))
        if tag in (Tag.COLLECTION_END, Tag.MEMBER_NAME):
            raise MalformedError("a part of a collection stands alone")
        return Value(tag, _content(tag, raw))

    def _collection(self, depth: int) -> dict[str, Values]:
        if depth == 0:
            raise MalformedError("collections are nested too deeply")
        members: dict[str, list[Value]] = {}
        values: list[Value] | None = None
        while True:
            tag = self.byte()
            if self._sized(NAME_MAX_SIZE):
                raise MalformedError("a member of a collection has a name of another kind")
            raw = self._sized(_SIZE_MAX)
            if tag == Tag.COLLECTION_END:
                return {name: tuple(values) for name, values in members.items()}
            if tag == Tag.MEMBER_NAME:
                name = _ascii(raw)
                if not name:
                    raise MalformedError("a member of a collection has no name")
                values = []
                members.setdefault(name, values)
            elif values is None or tag <= _DELIMITER_MAX:
                raise MalformedError("a member of a collection has no name")
            else:
                values.append(self._value(tag, raw, depth - 1))


def _content(tag: int, raw: bytes) -> Content:
    """Read what a value holds.

    Raises:
        MalformedError: its tag cannot have such a value.
    """
    size = len(raw)
    content: Content = raw
    well = True
    if tag in _OUT_OF_BAND:
        content = None
    elif tag in _INTEGERS:
        well = size == 4
        content = int.from_bytes(raw, signed=True)
    elif tag == Tag.BOOLEAN:
        well = size == 1
        content = raw != b"\0"
    elif tag == Tag.RANGE:
        well = size == _RANGE_SIZE
        content = tuple(_signed(raw[:8]))
    elif tag == Tag.RESOLUTION:
        well = size == _RESOLUTION_SIZE
        content = (*_signed(raw[:8]), raw[-1] if raw else 0)
    elif tag == Tag.TIME:
        well = size == _TIME_SIZE
    elif tag in _WITH_LANGUAGE:
        content = _text(_second(raw))
    elif tag in _STRINGS:
        content = _text(raw)
    if not well:
        raise MalformedError("a value has not the size of its kind")
    return content


def _signed(raw: bytes) -> Iterator[int]:
    return (int.from_bytes(raw[at : at + 4], signed=True) for at in (0, 4))


def _second(raw: bytes) -> bytes:
    """Leave out the language that stands before a text."""
    language = int.from_bytes(raw[:2])
    text = raw[2 + language :]
    size = int.from_bytes(text[:2])
    if len(raw) < 4 or len(text) != 2 + size:
        raise MalformedError("a text with a language has not the size it says")
    return text[2:]


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError("a name is not ASCII") from None


def _write(out: bytearray, name: str, values: Values) -> None:
    for value in values:
        _write_value(out, name, value)
        name = ""  # the values that follow belong to the same attribute


def _write_value(out: bytearray, name: str, value: Value) -> None:
    if not isinstance(value.content, Mapping):
        _write_raw(out, value.tag, name, _raw(value))
        return
    _write_raw(out, value.tag, name, b"")
    for member, values in value.content.items():
        _write_raw(out, Tag.MEMBER_NAME, "", member.encode("ascii"))
        for inner in values:
            _write_value(out, "", inner)
    _write_raw(out, Tag.COLLECTION_END, "", b"")


def _write_raw(out: bytearray, tag: int, name: str, raw: bytes) -> None:
    out.append(tag)
    for part in (name.encode("ascii"), raw):
        out += len(part).to_bytes(2) + part


def _raw(value: Value) -> bytes:
    content = value.content
    if content is None:
        return b""
    if isinstance(content, bool):
        return bytes([content])
    if isinstance(content, int):
        return content.to_bytes(4, signed=True)
    if isinstance(content, str):
        text = content.encode("utf-8")
        if value.tag in _WITH_LANGUAGE:
            return b"\0\2en" + len(text).to_bytes(2) + text
        return text
    if isinstance(content, tuple):
        low, high, *unit = content
        return low.to_bytes(4, signed=True) + high.to_bytes(4, signed=True) + bytes(unit)
    assert isinstance(content, bytes)  # noqa: S101 - there is nothing else
    return content
