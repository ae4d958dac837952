"""An invoice of Dolibarr's as the data of an 80 mm receipt.

Nothing is worked out that the till did not: each amount drawn is one that Dolibarr keeps, but for
the taxes by rate, which are sums of its lines; and those are drawn only where they agree with the
invoice's own totals to the cent. Where they do not (another way of rounding, local taxes), the
invoice's totals stand in their place.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from e2ee_ticket.errors import SourceError
from e2ee_ticket.pdf.draw import Line, Payment, Receipt, Shop, Vat, format_money, format_number
from e2ee_ticket.sources.dolibarr.fields import (
    AMOUNT_MAX,
    Members,
    objects,
    plain,
    read_list,
    read_number,
    read_text,
    read_whole,
)
from e2ee_ticket.sources.dolibarr.words import word

CREDIT_NOTE: Final = 2
_LINES_MAX: Final = 2000
_PAYMENTS_MAX: Final = 50
_NOT_AN_ARTICLE: Final = 9  # product_type of a heading or a subtotal, which has no amount
_CENT: Final = Decimal("0.01")
_DAY: Final = 86400
_FARTHEST_EAST: Final = 14 * 3600
_MINUS: Final = "\u2212"
_NARROW: Final = "\u202f"


def invoice_number(invoice: Members) -> str:
    """Return the number that is printed on it.

    Raises:
        SourceError: it has none.
    """
    number = read_text(invoice, "ref")
    if number is None:
        raise SourceError("Dolibarr's answer holds no invoice")
    return number[:64]


def invoice_total(invoice: Members) -> tuple[Decimal, str]:
    """Return what there was to pay, and in which currency.

    Raises:
        SourceError: it cannot be read.
    """
    total = read_number(invoice, _prefix(invoice) + "total_ttc")
    if total is None:
        raise SourceError("an invoice's total cannot be read")
    return total, _currency(invoice)


def invoice_time(invoice: Members, payments: object) -> datetime:
    """Return when it was paid last, or else begun.

    Payments have a local time without a zone. The invoice's day is a moment: midnight where
    Dolibarr is, which tells the zone that its local times are in.
    """
    begun = read_whole(invoice, "date_creation") or read_whole(invoice, "date")
    times = [_local_time(one.get("date")) for one in objects(payments)[:_PAYMENTS_MAX]]
    paid = max((time for time in times if time is not None), default=None)
    midnight = read_whole(invoice, "date")
    if paid is not None and midnight is not None:
        east = -midnight % _DAY
        east -= _DAY if east > _FARTHEST_EAST else 0
        begun = int(paid.timestamp()) - east
    if begun is None or not 0 < begun < 2**33:
        raise SourceError("an invoice's date cannot be read")
    return datetime.fromtimestamp(begun, UTC).astimezone()


def company_of(members: object) -> Shop | None:
    """Read Dolibarr's own company; None where it is none, or has no name."""
    if not isinstance(members, dict) or (name := read_text(members, "name")) is None:
        return None
    raw = members.get("address")
    streets = [plain(line) for line in raw.splitlines()[:6]] if isinstance(raw, str) else []
    town = " ".join(filter(None, (read_text(members, "zip"), read_text(members, "town"))))
    details = []
    if read_text(members, "country_code") == "FR" and (siret := read_text(members, "idprof2")):
        details.append(f"SIRET {siret}")
    if vat := read_text(members, "tva_intra"):
        details.append(f"{'TVA' if vat.startswith('FR') else 'VAT'} {vat}")
    return Shop(name, tuple(filter(None, (*streets, town))), tuple(details))


def read_receipt(
    invoice: Members,
    payments: object,
    shop: Shop,
    lang: str,
    names: Mapping[str, str],
) -> Receipt:
    """Turn `/invoices/{id}` and `/invoices/{id}/payments` into a receipt.

    `names` are the names of ways to pay that Dolibarr knows beside those that this program does.

    Raises:
        SourceError: not an invoice, or one of more lines than can be drawn.
    """
    total, currency = invoice_total(invoice)
    raw_lines = read_list(invoice, "lines")
    if len(raw_lines) > _LINES_MAX:
        raise SourceError(f"an invoice has more than {_LINES_MAX} lines")
    prefix = _prefix(invoice)
    articles = [line for line in raw_lines if read_whole(line, "product_type") != _NOT_AN_ARTICLE]
    lines = [_line(line, prefix, lang) for line in articles]
    stamp = read_number(invoice, "revenuestamp") or Decimal(0)
    if stamp and not prefix:
        lines.append(Line(word("stamp", lang) or "", stamp))
    vat = _vat(invoice, articles, prefix, total - (Decimal(0) if prefix else stamp))
    return Receipt(
        shop=shop,
        number=invoice_number(invoice),
        issued=invoice_time(invoice, payments),
        lines=tuple(lines),
        total=total,
        vat=vat,
        payments=() if prefix else _payments(invoice, payments, lang, names),
        notes=() if vat else _totals(invoice, prefix, currency, lang),
        currency=currency,
        lang=lang,
        refund=read_whole(invoice, "type") == CREDIT_NOTE,
    )


def payment_codes(payments: object) -> set[str]:
    """Return the codes of the ways in which it was paid."""
    codes = (read_text(one, "type") for one in objects(payments)[:_PAYMENTS_MAX])
    return {code for code in codes if code}


def _prefix(invoice: Members) -> str:
    """Say which of an invoice's amounts the customer saw: those in a foreign currency, or not."""
    rate = read_number(invoice, "multicurrency_tx")
    foreign = rate is not None and rate not in (0, 1) and _code(invoice) is not None
    known = read_number(invoice, "multicurrency_total_ttc") is not None
    return "multicurrency_" if foreign and known else ""


def _code(invoice: Members) -> str | None:
    code = read_text(invoice, "multicurrency_code")
    return code if code is not None and re.fullmatch(r"[A-Z]{3}", code) else None


def _currency(invoice: Members) -> str:
    return _code(invoice) or "EUR"


def _line(line: Members, prefix: str, lang: str) -> Line:
    amount = _of_line(line, prefix, "total_ttc") or Decimal(0)
    quantity = read_number(line, "qty")
    quantity = Decimal(1) if quantity is None else quantity
    text = _label(line, lang)
    discount = read_number(line, "remise_percent")
    if discount:
        text += f" {_MINUS}{format_number(discount, lang, places_min=0)}{_NARROW}%"
    unit_price = None
    if quantity not in (0, 1):
        unit_price = _unit_price(amount, quantity)
        if unit_price is None:
            text = f"{format_number(quantity, lang, places=3, places_min=0)} × {text}"  # noqa: RUF001
            quantity = Decimal(1)
    return Line(
        text=text,
        amount=amount,
        quantity=quantity or Decimal(1),
        unit_price=unit_price,
        vat_rate=read_number(line, "tva_tx"),
    )


def _unit_price(amount: Decimal, quantity: Decimal) -> Decimal | None:
    """Return what one costs, or None where that is not whole cents: the till rounded the sum."""
    price = amount / quantity
    if abs(price) >= AMOUNT_MAX or price != price.quantize(_CENT):
        return None
    return price.quantize(_CENT)


def _label(line: Members, lang: str) -> str:
    text = next(
        (
            found
            for name in ("label", "product_label", "libelle", "description", "desc", "product_ref")
            if (found := read_text(line, name))
        ),
        "–",  # noqa: RUF001 - it has no name
    )
    # A discount that was granted before stands in the invoice as a line of such a text.
    if match := re.match(r"\((CREDIT_NOTE|DEPOSIT|EXCESS RECEIVED)\)", text):
        text = word(match[1], lang) or text
    return f"+ {text}" if read_whole(line, "fk_parent_line") else text


def _of_line(line: Members, prefix: str, name: str) -> Decimal | None:
    return read_number(line, prefix + name)


def _vat(
    invoice: Members, articles: Sequence[Members], prefix: str, gross_total: Decimal
) -> tuple[Vat, ...]:
    """Sum up the lines by rate; nothing where that is not what the invoice says."""
    rows: dict[Decimal, list[Decimal]] = {}
    for line in articles:
        rate = read_number(line, "tva_tx")
        values = [_of_line(line, prefix, f"total_{part}") for part in ("ht", "tva", "ttc")]
        if rate is None or None in values:
            return ()
        sums = rows.setdefault(rate, [Decimal(0)] * 3)
        rows[rate] = [one + (value or 0) for one, value in zip(sums, values, strict=True)]
    net, vat, gross = (sum((row[i] for row in rows.values()), Decimal(0)) for i in range(3))
    agrees = (
        _same(net, read_number(invoice, prefix + "total_ht"))
        and _same(vat, read_number(invoice, prefix + "total_tva"))
        and _same(gross, gross_total)
        and all(_same(row[0] + row[1], row[2]) for row in rows.values())
    )
    return (
        tuple(Vat(rate, *rows[rate]) for rate in sorted(rows) if any(rows[rate])) if agrees else ()
    )


def _same(one: Decimal, other: Decimal | None) -> bool:
    return other is not None and one.quantize(_CENT) == other.quantize(_CENT)


def _totals(invoice: Members, prefix: str, currency: str, lang: str) -> tuple[str, ...]:
    """Write the invoice's own totals, where there is no table of taxes."""
    rows = (("net", "total_ht"), ("vat", "total_tva"),
            ("other-tax", "total_localtax1"), ("other-tax", "total_localtax2"))  # fmt: skip
    return tuple(
        f"{word(name, lang)} {format_money(value, currency, lang)}"
        for name, field in rows
        if (value := read_number(invoice, prefix + field))
    )


def _payments(
    invoice: Members, payments: object, lang: str, names: Mapping[str, str]
) -> tuple[Payment, ...]:
    made = []
    for payment in objects(payments)[:_PAYMENTS_MAX]:
        amount, code = read_number(payment, "amount"), read_text(payment, "type")
        if amount is not None and code is not None:
            made.append(Payment(word(code, lang) or names.get(code) or code, amount))
    due = read_number(invoice, "remaintopay")
    if due is not None and due > 0:
        made.append(Payment(word("due", lang) or "", due))
    return tuple(made)


def _local_time(value: Any) -> datetime | None:  # noqa: ANN401 - judged here
    try:
        return datetime.strptime(str(value)[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
