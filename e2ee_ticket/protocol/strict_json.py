"""JSON as every implementation reads it (spec/ticket.md, T26 to T32)."""

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from e2ee_ticket.errors import FramingError

DEPTH_MAX = 8

# One token of interest at a time: a whole string, or a bracket outside of strings.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class _OtherNumber:
    """A number that is not written as lengths and seconds are (T32)."""


_OTHER = _OtherNumber()
_PLAIN = re.compile(r"0|[1-9][0-9]*")


def _read_number(text: str) -> int | _OtherNumber:
    return int(text) if _PLAIN.fullmatch(text) else _OTHER


def _refuse_constant(name: str) -> NoReturn:
    raise FramingError(f"{name} is not JSON")


def _check_escapes(string: str) -> None:
    """T28: an escaped surrogate is half of an escaped pair."""
    awaited = -1  # where the second half must begin
    for match in _ESCAPE.finditer(string):
        unit = int(match[1], 16) if match[1] else 0
        if awaited >= 0:
            if match.start() != awaited or not 0xDC00 <= unit <= 0xDFFF:
                break
            awaited = -1
        elif 0xD800 <= unit <= 0xDBFF:
            awaited = match.end()
        elif 0xDC00 <= unit <= 0xDFFF:
            awaited = 0
            break
    if awaited >= 0:
        raise FramingError("an unpaired surrogate")


def parse_object(data: bytes) -> dict[str, object]:
    """Read one JSON object.

    Raises:
        FramingError: not UTF-8 without a byte order mark (T26), nested deeper than 8 (T27), an
            unpaired surrogate (T28), not exactly one JSON object (T29).
    """
    if data.startswith(b"\xef\xbb\xbf"):
        raise FramingError("a byte order mark")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise FramingError("not UTF-8") from None
    depth = 0
    for match in _TOKEN.finditer(text):
        found = match[0]
        if found[0] == '"':
            _check_escapes(found)
        elif found in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise FramingError("nested too deep")
        else:
            depth -= 1
    try:
        value = json.loads(  # T30: the last member counts
            text,
            parse_constant=_refuse_constant,
            parse_int=_read_number,
            parse_float=_read_number,
        )
    except ValueError:
        raise FramingError("not JSON") from None
    if not isinstance(value, dict):
        raise FramingError("not a JSON object")
    return value


def read_text(members: Mapping[str, object], name: str, limit: int) -> str | None:
    """Take an optional text of at most `limit` code points (T31).

    Raises:
        FramingError: another type, or longer.
    """
    if name not in members:
        return None
    value = members[name]
    if not isinstance(value, str) or len(value) > limit:
        raise FramingError(f"{name} is not a text of at most {limit} characters")
    return value


def read_integer(members: Mapping[str, object], name: str) -> int:
    """Take a required number of ASCII digits without sign and leading zeros (T32).

    Raises:
        FramingError: missing, another type, or a number that is written otherwise.
    """
    value = members.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise FramingError(f"{name} is not a whole number")
