"""What stands beside the QR code: the receipt's number and its total, where they are plain to see.

Both are read off the receipt's text, as it was typeset, in German, English, Spanish, French and
Italian. Whatever is not certain is left away: nothing on the display is better than a wrong sum.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from e2ee_ticket.pdf.roll import Paragraph, Roll, Row, Table

LINE_LIMIT: Final = 200
"""Longer lines are no headings and no totals."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found; None where it was not."""

    number: str | None = field(default=None, repr=False)
    total: str | None = field(default=None, repr=False)


def facts(roll: Roll) -> Facts:
    """Read number and total off a roll."""
    lines = list(lines_of(roll))
    return Facts(number=_find_number(lines), total=_find_total(lines))


def lines_of(roll: Roll) -> Iterator[str]:
    """Read a roll's text, line by line, with two blanks between what stands apart."""
    for item in roll.items:
        if isinstance(item, Row):
            yield _tidy("".join(run.text for run in item.runs))
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
    \ ? :? \ * (?P<number> [A-Za-z0-9] [A-Za-z0-9/._-]{0,39} )
    (?: $ | \ {2} | \ +(?=\d{1,4}[./-]\d{1,2}[./-]\d) )
    """
)
_DATE: Final = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}")
_AMOUNT_LIKE: Final = re.compile(r"\d+\.\d\d")

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
_CURRENCY: Final = r"(?:€|\$|£|eur(?:os?)?|chf|fr\.|usd|gbp)"
_SUM: Final = r"-?\ ?(?:\d{1,3}(?:[ .,'\u2019]\d{3})+|\d{1,7})[.,]\d{2}"


def _compile_total(labels: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    return re.compile(
        rf"(?i)(?:{names})(?: ?\(?(?P<before>{_CURRENCY})\)?)?\s*[:=]?\s*"
        rf"(?P<first>{_CURRENCY} ?)?(?P<sum>{_SUM})(?P<last> ?{_CURRENCY})?"
    )


_TOTALS: Final = (_compile_total(_SURE), _compile_total(_LIKELY))


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


def _find_total(lines: list[str]) -> str | None:
    """Take the surest of the labels; where its lines do not agree, nothing."""
    for pattern in _TOTALS:
        sums: dict[str, str] = {}
        for line in lines:
            if len(line) <= LINE_LIMIT and (match := pattern.fullmatch(line)):
                sums.setdefault(match["sum"], _as_written(match))
        if sums:
            return next(iter(sums.values())) if len(sums) == 1 else None
    return None


def _as_written(match: re.Match[str]) -> str:
    total = f"{match['first'] or ''}{match['sum']}{match['last'] or ''}"
    before = match["before"]
    if match["first"] is None and match["last"] is None and before is not None:
        total = before + total if before in {"€", "$", "£"} else f"{total} {before}"
    return " ".join(total.split())
