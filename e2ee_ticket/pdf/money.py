"""Amounts as a receipt's language writes them, with the decimals that their currency has.

Symbols, separators and the sign's place come from Unicode's CLDR, by way of `babel`; how many
decimals a currency has is ISO 4217's, where CLDR leaves out those that nobody uses in cash.
"""

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.numbers import (
    format_decimal,
    get_currency_precision,
    get_currency_symbol,
    get_territory_currencies,
    list_currencies,
)

PLACES: Final = 2
"""Decimals of an amount whose currency nobody names."""

_MINUS, _HARD = "\u2212", "\u00a0"
_PLACES_MAX: Final = 8
# ISO 4217 gives these two or three decimals; CLDR, which looks at everyday use, none.
_ISO_PLACES: Final = {
    "AFN": 2, "ALL": 2, "COP": 2, "HUF": 2, "IDR": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2,
    "LBP": 2, "MGA": 2, "MMK": 2, "RSD": 2, "SOS": 2, "SYP": 2, "UZS": 2, "YER": 2,
}  # fmt: skip


@lru_cache(maxsize=64)
def _locale(lang: str) -> Locale:
    """Choose the locale for a language of BCP 47; English where there is none."""
    for tag in (lang, lang.partition("-")[0], "en"):
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


@lru_cache(maxsize=1)
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies())


def is_currency(code: str) -> bool:
    """Tell whether three letters are a currency's code."""
    return code in _currencies()


def places_of(currency: str) -> int:
    """Return how many decimals a currency has, by ISO 4217; two where it is not known."""
    if not is_currency(currency):
        return PLACES
    return _ISO_PLACES.get(currency, get_currency_precision(currency))


def currency_of(country: str) -> str | None:
    """Return the currency of a country (ISO 3166, two letters); None where it is not known."""
    found = get_territory_currencies(country)
    return str(found[-1]) if found else None


def format_number(value: Decimal, lang: str, *, places: int = 2, places_min: int = 2) -> str:
    """Write a number with a real minus and the language's separators."""
    places = min(places, _PLACES_MAX)
    rounded = abs(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    pattern = f"#,##0.{'0' * min(places_min, places)}{'#' * max(places - places_min, 0)}"
    text = format_decimal(rounded, format=pattern.rstrip("."), locale=_locale(lang))
    return (_MINUS if value < 0 and rounded else "") + text


def format_amount(value: Decimal, currency: str, lang: str) -> str:
    """Write an amount without its currency, but with the decimals that this has.

    Without a currency nothing is rounded away but zeros beyond the second decimal.
    """
    if not currency:
        return format_number(value, lang, places=_PLACES_MAX, places_min=PLACES)
    places = places_of(currency)
    return format_number(value, lang, places=places, places_min=places)


def format_money(value: Decimal, currency: str, lang: str) -> str:
    """Write an amount with its currency; without one, where `currency` is empty."""
    amount = format_amount(value, currency, lang)
    if not currency:
        return amount
    locale = _locale(lang)
    symbol = get_currency_symbol(currency, locale=locale) if is_currency(currency) else currency
    pattern = locale.currency_formats["standard"].pattern.partition(";")[0]
    if not pattern.lstrip().startswith("¤"):
        return f"{amount}{_HARD}{symbol}"
    sign = _MINUS if amount.startswith(_MINUS) else ""
    # A blank stands between letters and digits, in whatever language (CLDR, currencySpacing).
    gap = _HARD if pattern.startswith("¤\u00a0") or symbol[-1:].isalpha() else ""
    return sign + symbol + gap + amount.removeprefix(_MINUS)
