"""The little that a file's name and the clock tell of a receipt that says nothing of itself."""

import re
from datetime import UTC, datetime
from typing import Final

from e2ee_ticket.protocol.ticket import TEXT_LIMITS, short_name

_STEM: Final = re.compile(r"\.pdf$", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\s_()\[\]{},;:/\\]+")
# `FA2401-0012`, `TC1-2401-0001`, `R-2024-00017`: a few letters, then digits in groups.
_NUMBER: Final = re.compile(r"[A-Za-z]{1,6}-?[0-9]+(?:[-.][0-9]+)*")
_DIGITS_MIN: Final = 3
_ALONE: Final = re.compile(r"[0-9]{1,12}")


def number_in(name: str) -> str | None:
    """Find a receipt's number in a file's or a print job's name, or None where nothing is clear.

    A wrong number on the customer's display is worse than none: of two candidates neither is
    taken, and bare digits only after a word and nothing else (`receipt 1042`), because they are as
    often a date.
    """
    words: list[str] = _WORD.findall(_STEM.sub("", name.strip())[: 2 * TEXT_LIMITS["number"]])
    found = [word for word in words if _NUMBER.fullmatch(word) and _digits(word) >= _DIGITS_MIN]
    if not found and len(words) == 2 and words[0].isalpha() and _ALONE.fullmatch(words[1]):
        found = words[1:]
    if len(found) != 1 or len(found[0]) > TEXT_LIMITS["number"]:
        return None
    return found[0]


def file_name(number: str | None) -> str:
    """Name a receipt's file after its number; a slash in it is no folder."""
    return short_name(re.sub(r"\s*[/\\]+\s*", "-", number) if number else None)


def _digits(word: str) -> int:
    return sum(character.isdigit() for character in word)


def issued_at(seconds: float) -> str | None:
    """Write a moment as a ticket says it: RFC 3339, in the shop's own time zone."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):  # a file system may say anything
        return None
