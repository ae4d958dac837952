"""What stands beside the QR code: number, total and day of a receipt, where they are plain to see.

They are read off the receipt's text, as it was typeset, in German, English, Spanish, French and
Italian. Whatever is not certain is left away: nothing on the display is better than a wrong sum.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final

from e2ee_ticket.pdf.money import is_currency, places_of
from e2ee_ticket.pdf.roll import Paragraph, Roll, Row, Table

LINE_LIMIT: Final = 200
"""Longer lines are no headings and no totals."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found; None where it was not.

    Attributes:
        number: the receipt's number.
        total: what was to pay, as the till writes it.
        has_lines: there are amounts on it, so that it may be a receipt without either.
    """

    number: str | None = field(default=None, repr=False)
    total: str | None = field(default=None, repr=False)
    has_lines: bool = field(default=False, repr=False, compare=False)

    @property
    def is_receipt(self) -> bool:
        """Whether anything says that this is a receipt: a number, a total, or amounts."""
        return self.has_lines or self.number is not None or self.total is not None


def facts(roll: Roll, currency: str = "") -> Facts:
    """Read number and total off a roll; `currency` is put to a total that comes without one."""
    lines = list(lines_of(roll))
    return Facts(
        number=_find_number(lines),
        total=with_currency(_find_total(lines, currency), currency),
        has_lines=any(_ENDS_IN_AMOUNT.search(line) for line in lines if len(line) <= LINE_LIMIT),
    )


def with_currency(total: str | None, currency: str) -> str | None:
    """Put a sign to an amount that has none, on the side where tills write it."""
    if not total or not currency or not _BARE_AMOUNT.fullmatch(total):
        return total
    return currency + total if currency in _SIGNS_FIRST else total + _HARD_SPACE + currency


def issued_on(roll: Roll, now: datetime) -> str | None:
    """Tell when a receipt says that it was made, in RFC 3339; None where it does not say.

    A receipt that is printed again says when it was sold. A day without a time is given as a day
    alone, and today without a time is left to the caller's clock. Of several days on it, one that
    is named a date, or stands beside nothing else, is taken; a later one than today never is.
    """
    found: list[tuple[bool, date, time | None]] = []
    for line in lines_of(roll):
        if len(line) <= LINE_LIMIT and (match := _DAY.search(line)):
            if (day := _read_day(match, now.date(), roll.lang)) is None:
                continue
            at = _TIME.search(line)
            rest = (line[: match.start()] + line[match.end() :]).strip()
            named = _DATE_NAME.match(line) is not None or _NOTHING_ELSE.fullmatch(rest) is not None
            found.append(
                (named, day, time(int(at[1]), int(at[2]), int(at[3] or 0)) if at else None)
            )
    sure = [each for each in found if each[0]] or (found if len({x[1] for x in found}) == 1 else [])
    if not sure:
        return None
    _, day, clock = sure[0]
    if clock is None:
        return None if day == now.date() else day.isoformat()
    moment = datetime.combine(day, clock).replace(tzinfo=now.tzinfo)
    return None if moment > now + _AHEAD else moment.astimezone().isoformat(timespec="seconds")


def lines_of(roll: Roll) -> Iterator[str]:
    """Read a roll's text, line by line, with two blanks between what stands apart."""
    for item in roll.items:
        if isinstance(item, Row):
            yield _tidy(item.text)
        elif isinstance(item, Paragraph):
            for line in item.text.splitlines():
                yield _tidy(line)
        elif isinstance(item, Table):
            for row in item.rows:
                yield _tidy("  ".join(" ".join(cell.text.split()) for cell in row))


def _tidy(line: str) -> str:
    return re.sub(r"[\u00a0\u202f\t]", " ", line[: LINE_LIMIT + 1]).strip()


_DOCUMENT: Final = re.compile(
    r"""(?ix)
    (?: facture | ticket (?:\ de\ caisse)? | re[çc]u | avoir
      | rechnung | kassenbon | bon | beleg | kassenbeleg | quittung | gutschrift
      | invoice | receipt | sales\ receipt | credit\ note
      | factura (?:\ simplificada)? | recibo | nota\ de\ cr[ée]dito
      | fattura | scontrino | ricevuta | documento (?:\ commerciale)? | nota\ di\ credito )
    (?P<sign> \ ? (?: s? -? \ ? (?: nr | nummer | n[°ºo] | no | n | num[ée]ro | n[úu]mero | numero
      | number | \# ) (?:\.[°ºo]?|\b|(?<=[°º\#])) ) )?
    \ ? :? \ * (?P<number> [^\W_] [\w/.№°#+-]{0,39} )
    (?: $ | \ {2} | \ +(?=\d{1,4}[./-]\d{1,2}[./-]\d) )
    """
)
_DATE: Final = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}")
_DAY: Final = re.compile(
    r"(?<![\d./-])(?:(\d{4})([./-])(\d{1,2})\2(\d{1,2})|(\d{1,2})([./-])(\d{1,2})\6(\d{4}|\d{2}))"
    r"(?![\d/-]|\.\d)"
)
_TIME: Final = re.compile(r"(?<![\d:])([01]?\d|2[0-3])[:h]([0-5]\d)(?::([0-5]\d))?(?![\d:])")
_DATE_NAME: Final = re.compile(
    r"(?i)(?:date|datum|fecha|data|le|du|am|vom|el|il|emis|émis|issued|printed)\b"
)
_NOTHING_ELSE: Final = re.compile(
    r"(?i)(?:[-,:;|/ ]|\b(?:[01]?\d|2[0-3])[:h][0-5]\d(?::[0-5]\d)?"
    r"|\b(?:à|at|um|alle|ore|uhr|a las|h)\b)*"
)
_OLDEST: Final = date(2000, 1, 1)
_AHEAD: Final = timedelta(minutes=10)
_AMOUNT_LIKE: Final = re.compile(r"\d+\.\d\d")
_HARD_SPACE: Final = "\u00a0"
_BARE_AMOUNT: Final = re.compile(r"-?\ ?[0-9](?:[0-9.,'\u2019\u00a0\u202f ]{0,20}[0-9])?")
_SIGNS_FIRST: Final = frozenset(("$", "£", "US$", "CA$", "A$", "NZ$", "HK$", "R$"))
_SURE: Final = (
    "total ttc", "montant ttc", "net à payer", "net a payer", "total à payer", "total a payer",
    "montant à payer", "à payer", "a payer", "montant total ttc", "total ttc à payer",
    "gesamtbetrag", "gesamtsumme", "endbetrag", "endsumme", "rechnungsbetrag", "zu zahlen",
    "zahlbetrag", "summe brutto", "gesamt brutto",
    "grand total", "total due", "amount due", "total to pay", "total incl. vat", "total inc. vat",
    "total incl vat", "total inc vat", "total including vat",
    "totale complessivo", "totale documento", "importo totale", "totale da pagare",
    "total iva incluido", "total iva incl.", "importe total", "total con iva",
)  # fmt: skip
_LIKELY: Final = ("total", "summe", "gesamt", "totale", "importe")
# What tills write for a currency beside its code, and how many decimals that has.
_SIGNS: Final = {
    **dict.fromkeys(
        ("€", "$", "£", "eur", "euro", "euros", "us$", "ca$", "a$", "nz$", "hk$", "r$", "fr.",
         "sfr", "sfr.", "kr", "kr.", "kč", "zł", "zl", "ft", "lei", "лв", "₺", "tl", "₴", "₽", "₹",
         "₪", "dh", "dhs", "da", "د.م.", "₱", "₦", "₵", "฿", "元", "rm", "rp", "rs", "rs.", "r"),
        2,
    ),
    **dict.fromkeys(
        ("f cfa", "fcfa", "cfa", "fcfp", "f cfp", "cfp", "f", "xpf", "¥", "円", "￥", "₩", "₫", "đ",
         "₲", "fcom", "fg", "frw"),
        0,
    ),
    **dict.fromkeys(("dt", "د.ت", "د.ك", "kd", "bd"), 3),
}  # fmt: skip
_CURRENCY: Final = (
    "(?:(?:"
    + "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))
    + r"|[A-Z]{3})(?![^\W\d_]))"
)
_SUM: Final = r"-?\ ?(?:\d{1,3}(?:[ .,'\u2019]\d{3})+|\d{1,7})(?:[.,]\d{1,4})?"
_ENDS_IN_AMOUNT: Final = re.compile(
    rf"(?i)(?:^|[\s:=$€£])-?\d{{1,3}}(?:[ .,'\u2019]?\d{{3}})*[.,]\d{{2,3}}(?: ?{_CURRENCY})?$"
    r"|(?:^|\s)-?(?:\d{1,7} ?[€$£¥]|[€$£¥] ?\d{1,7})$"
)


def _compile_total(labels: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    return re.compile(
        rf"(?i)(?:{names})(?: ?\(?(?P<before>{_CURRENCY})\)?)?\s*[:=]?\s*"
        rf"(?P<first>{_CURRENCY} ?)?(?P<sum>{_SUM})(?P<last> ?{_CURRENCY})?"
    )


_TOTALS: Final = (_compile_total(_SURE), _compile_total(_LIKELY))


def _places(currency: str) -> int | None:
    """Tell how many decimals a sign's currency has; None where it is no currency's."""
    sign = currency.strip()
    if is_currency(sign.upper()):
        return places_of(sign.upper())
    return _SIGNS.get(sign.lower())


def _is_sum(match: re.Match[str], currency: str) -> bool:
    """Tell whether this is an amount, and not a count or one that lost a digit.

    Two decimals are an amount's. With any other number of them it is one only where the currency
    is named, on the line or by the settings, and is written so.
    """
    named = [match[name] for name in ("before", "first", "last") if match[name]]
    known = [_places(one) for one in named]
    if None in known:
        return False
    places = known[-1] if known else _places(currency) if currency else None
    decimals = re.search(r"[.,](\d+)$", match["sum"])
    count = len(decimals[1]) if decimals else 0
    if count == 2:
        return True
    if count == 0:
        return bool(named) or places == 0
    # Three digits behind the last separator are thousands, or the decimals of a dinar.
    return count == 3 and (places in (0, 3) or bool(named))


def _find_number(lines: list[str]) -> str | None:
    for line in lines:
        if len(line) > LINE_LIMIT or (match := _DOCUMENT.match(line)) is None:
            continue
        number = match["number"].rstrip("._-/")
        if not any(c.isdigit() for c in number) or _DATE.fullmatch(number):
            continue
        if match["sign"] is None and _AMOUNT_LIKE.fullmatch(number):
            continue
        return number
    return None


def _find_total(lines: list[str], currency: str) -> str | None:
    """Take the surest of the labels; where its lines do not agree, nothing."""
    for pattern in _TOTALS:
        sums: dict[str, str] = {}
        for line in lines:
            if len(line) > LINE_LIMIT or (match := pattern.fullmatch(line)) is None:
                continue
            if _is_sum(match, currency):
                sums.setdefault(match["sum"], _as_written(match))
        if sums:
            return next(iter(sums.values())) if len(sums) == 1 else None
    return None


def _as_written(match: re.Match[str]) -> str:
    total = f"{match['first'] or ''}{match['sum']}{match['last'] or ''}"
    before = match["before"]
    if match["first"] is None and match["last"] is None and before is not None:
        total = f"{total} {before}" if before[-1].isalpha() else before + total
    return " ".join(total.split())


def _read_day(match: re.Match[str], today: date, lang: str) -> date | None:
    """Read a day that is not in the future; day and month stand as the language has them."""
    if match[1]:
        found = [_day(match[1], match[3], match[4], today)]
    else:
        year = match[8] if len(match[8]) > 2 else f"20{match[8]}"
        found = [_day(year, match[7], match[5], today), _day(year, match[5], match[7], today)]
    days = [day for day in found if day is not None]
    if len(days) < 2:
        return days[0] if days else None
    base, _, country = lang.lower().partition("-")
    if base == "en" and country in ("", "us"):
        return days[1] if country else max(days)
    return days[0]


def _day(year: str, month: str, day: str, today: date) -> date | None:
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return found if _OLDEST <= found <= today else None
