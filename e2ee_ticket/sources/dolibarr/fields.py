"""Reading Dolibarr's JSON, where a number is a string, a float or missing, and a text may be HTML.

Nothing here raises: what cannot be read is None.
"""

import html
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

Members = Mapping[str, Any]

AMOUNT_MAX: Final = Decimal(10) ** 12
_TEXT_MAX: Final = 300
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]{0,500}>")
_NUMBER_SIZE: Final = 40
_SMALLEST: Final = -20
"""The exponent of the smallest number that is one of a sale."""


def read_number(members: Members, name: str) -> Decimal | None:
    """Read an amount, a rate or a quantity."""
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    if isinstance(value, str) and len(value) > _NUMBER_SIZE:
        return None
    try:
        number = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    # Neither is computed with before it is known: decimals with such exponents overflow.
    if not number.is_finite() or (number and number.adjusted() < _SMALLEST):
        return None
    return number if number.copy_abs() < AMOUNT_MAX else None


def read_whole(members: Members, name: str) -> int | None:
    """Read a whole number, such as an id or a status."""
    number = read_number(members, name)
    return int(number) if number is not None and number == number.to_integral_value() else None


def read_text(members: Members, name: str) -> str | None:
    """Read a text on one line, without HTML; None where it is empty."""
    value = members.get(name)
    return plain(value) if isinstance(value, str) else None


def plain(text: str) -> str | None:
    """Take HTML and line breaks out of a text; None where nothing is left."""
    whole = text[: 20 * _TEXT_MAX].encode("utf-8", "ignore").decode()  # no half characters
    bare = html.unescape(_TAG.sub(" ", whole))
    return " ".join(bare.replace("\\r\\n", " ").split())[:_TEXT_MAX].strip() or None


def read_list(members: Members, name: str) -> list[Members]:
    """Read a list of objects, and pass over what is none."""
    value = members.get(name)
    return objects(value)


def objects(value: object) -> list[Members]:
    """Keep the objects of a list; a list that PHP numbered itself is one too."""
    if isinstance(value, dict):
        value = list(value.values())
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
