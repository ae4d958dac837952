"""The sign of the money in a country, as TakePOS writes it behind an amount or in front of it."""

from collections.abc import Mapping
from typing import Final

from e2ee_ticket.pdf.money import currency_of

_EURO: Final = (
    "AD AT BE BG BL CY DE EE ES FI FR GF GP GR HR IE IT LT LU LV MC ME MF MQ MT NL PM PT RE SI SK"
    " SM VA XK YT"
)
_SIGNS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_EURO.split(), "€"),
    **dict.fromkeys(("CH", "LI"), "CHF"),
    **dict.fromkeys(("GB", "GG", "IM", "JE"), "£"),
    **dict.fromkeys(("AU", "CA", "CL", "CO", "HK", "MX", "NZ", "US"), "$"),
    **dict.fromkeys(("DK", "IS", "NO", "SE"), "kr"),
    "BR": "R$",
    "CZ": "Kč",
    "HU": "Ft",
    "JP": "¥",
    "PL": "zł",
    "RO": "lei",
    "TR": "₺",
    "UA": "₴",
    "ZA": "R",
}
_FIRST: Final = frozenset(
    ("AU", "CA", "CL", "CN", "CO", "CR", "GB", "GG", "HK", "IM", "JE", "MX", "NL", "PE", "US", "ZA")
)
"""Where Dolibarr writes the sign first: by the currency, and in Dutch even the euro's."""


def sign_of(country: str | None) -> str | None:
    """Return the sign of a country's money, or its code; None where it is not known."""
    return None if country is None else _SIGNS.get(country) or currency_of(country)


def is_sign_first(country: str | None) -> bool:
    """Tell whether Dolibarr writes the sign in front of an amount there."""
    return country in _FIRST
