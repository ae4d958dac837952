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
from e2ee_ticket.pdf.draw import Line, Payment, Receipt, Shop, Vat
from e2ee_ticket.pdf.money import PLACES, format_money, format_number, is_currency, places_of
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
_DAY: Final = 86400
_FARTHEST_EAST: Final = 14 * 3600
_MOMENT_MAX: Final = 2**33
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


def invoice_total(invoice: Members, own: str | None = None) -> tuple[Decimal, str]:
    """Return what there was to pay, and in which currency (ISO 4217; empty: nobody says).

    `own` is the currency in which Dolibarr keeps its books, where that is known.

    Raises:
        SourceError: it cannot be read.
    """
    total = read_number(invoice, _prefix(invoice, own) + "total_ttc")
    if total is None:
        raise SourceError("an invoice's total cannot be read")
    return total, _currency(invoice, own)


def invoice_time(invoice: Members, payments: object) -> datetime:
    """Return when it was paid last, or else begun.

    Payments have a local time without a zone. The invoice's day is a moment: midnight where
    Dolibarr is, which tells the zone that its local times are in. Where it is no moment, they are
    in this computer's.

    Raises:
        SourceError: nothing in it says when it was.
    """
    times = [_local_time(one.get("date")) for one in objects(payments)[:_PAYMENTS_MAX]]
    paid = max((time for time in times if time is not None), default=None)
    midnight = _moment(invoice, "date")
    if paid is not None and midnight is not None:
        east = -midnight % _DAY
        east -= _DAY if east > _FARTHEST_EAST else 0
        return datetime.fromtimestamp(paid.timestamp() - east, UTC).astimezone()
    if paid is not None:
        return paid.replace(tzinfo=None).astimezone()
    for name in ("date_creation", "date", "datem", "date_modification", "date_validation"):
        if (seconds := _moment(invoice, name)) is not None:
            return datetime.fromtimestamp(seconds, UTC).astimezone()
        if (local := _local_time(invoice.get(name))) is not None:
            return local.replace(tzinfo=None).astimezone()
    raise SourceError("an invoice's date cannot be read")


def _moment(invoice: Members, name: str) -> int | None:
    seconds = read_whole(invoice, name)
    return seconds if seconds is not None and 0 < seconds < _MOMENT_MAX else None


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
    *,
    own: str | None = None,
) -> Receipt:
    """Turn `/invoices/{id}` and `/invoices/{id}/payments` into a receipt.

    `names` are the names of ways to pay that Dolibarr knows beside those that this program does;
    `own` is as for `invoice_total`.

    Raises:
        SourceError: not an invoice, or one of more lines than can be drawn.
    """
    total, currency = invoice_total(invoice, own)
    raw_lines = read_list(invoice, "lines")
    if len(raw_lines) > _LINES_MAX:
        raise SourceError(f"an invoice has more than {_LINES_MAX} lines")
    prefix = _prefix(invoice, own)
    articles = [line for line in raw_lines if read_whole(line, "product_type") != _NOT_AN_ARTICLE]
    lines = [_line(line, prefix, currency, lang) for line in articles]
    stamp = read_number(invoice, "revenuestamp") or Decimal(0)
    if stamp and not prefix:
        lines.append(Line(word("stamp", lang) or "", stamp))
    vat = _vat(invoice, articles, prefix, currency, total - (Decimal(0) if prefix else stamp))
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


def currency_code(members: object) -> str | None:
    """Read which currency Dolibarr keeps its books in, of what it says of its own company."""
    code = read_text(members, "currency_code") if isinstance(members, dict) else None
    return code if code is not None and is_currency(code) else None


def payment_codes(payments: object) -> set[str]:
    """Return the codes of the ways in which it was paid."""
    codes = (read_text(one, "type") for one in objects(payments)[:_PAYMENTS_MAX])
    return {code for code in codes if code}


def _prefix(invoice: Members, own: str | None) -> str:
    """Say which of an invoice's amounts the customer saw: those in a foreign currency, or not.

    A rate alone says nothing: Dolibarr keeps one of its own currency, too, and it may be stale. An
    invoice in a foreign currency names a row of Dolibarr's table of currencies.
    """
    code = _code(invoice)
    if code is None or (own is not None and code == own):
        return ""
    if "fk_multicurrency" in invoice and not read_number(invoice, "fk_multicurrency"):
        return ""
    rate = read_number(invoice, "multicurrency_tx")
    foreign = own is not None or (rate is not None and rate not in (0, 1))
    known = read_number(invoice, "multicurrency_total_ttc") is not None
    return "multicurrency_" if foreign and known else ""


def _code(invoice: Members) -> str | None:
    code = read_text(invoice, "multicurrency_code")
    return code if code is not None and is_currency(code) else None


def _currency(invoice: Members, own: str | None) -> str:
    """Return the code of the amounts that `_prefix` chooses; empty rather than a guess."""
    code = _code(invoice)
    if own is not None and not _prefix(invoice, own):
        return own
    return code or ""


def _line(line: Members, prefix: str, currency: str, lang: str) -> Line:
    amount = _of_line(line, prefix, "total_ttc") or Decimal(0)
    quantity = read_number(line, "qty")
    quantity = Decimal(1) if quantity is None else quantity
    text = _label(line, lang)
    discount = read_number(line, "remise_percent")
    if discount:
        text += f" {_MINUS}{format_number(discount, lang, places_min=0)}{_NARROW}%"
    unit_price = None
    if quantity not in (0, 1):
        unit_price = _unit_price(amount, quantity, currency)
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


def _unit_price(amount: Decimal, quantity: Decimal, currency: str) -> Decimal | None:
    """Return what one costs, or None where that is not whole cents: the till rounded the sum."""
    price = amount / quantity
    cent = Decimal(1).scaleb(-places_of(currency))
    if abs(price) >= AMOUNT_MAX or price != price.quantize(cent):
        return None
    return price.quantize(cent)


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
    invoice: Members,
    articles: Sequence[Members],
    prefix: str,
    currency: str,
    gross_total: Decimal,
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
    cent = Decimal(1).scaleb(-max(places_of(currency), PLACES))
    agrees = (
        _same(net, read_number(invoice, prefix + "total_ht"), cent)
        and _same(vat, read_number(invoice, prefix + "total_tva"), cent)
        and _same(gross, gross_total, cent)
        and all(_same(row[0] + row[1], row[2], cent) for row in rows.values())
    )
    return (
        tuple(Vat(rate, *rows[rate]) for rate in sorted(rows) if any(rows[rate])) if agrees else ()
    )


def _same(one: Decimal, other: Decimal | None, cent: Decimal) -> bool:
    return other is not None and one.quantize(cent) == other.quantize(cent)


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
    """Read a time without a zone, as if it were UTC's."""
    text = str(value)[:19].replace("T", " ")
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            found = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return found if 0 < found.timestamp() < _MOMENT_MAX else None
    return None
