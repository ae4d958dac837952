"""Drawing an 80 mm receipt from its data.

The drawing adds nothing up: sums and taxes are the till's, written as the receipt's language writes
them. The page is as long as the receipt. The same data give the same bytes.
"""

# Typographic characters are what a drawing is made of.
# ruff: noqa: RUF001

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from e2ee_ticket.pdf.money import (
    format_amount,
    format_money,
    format_number,
    places_of,
)
from e2ee_ticket.pdf.sheet import INK, MARGIN, PAGE_WIDTH, QUIET, RULE, Band, Sheet, blank
from e2ee_ticket.pdf.tags import ROW
from e2ee_ticket.protocol.lines import GAP
from e2ee_ticket.protocol.lines import Line as TextLine

_CODE_WIDTH: Final = 4.5
_NARROW, _HARD = "\u202f", "\u00a0"
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Shop:
    """Who sold it. `details` are the lines that the law wants, such as a SIRET."""

    name: str
    address: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One thing sold; a discount or a return has an amount below zero."""

    text: str
    amount: Decimal
    quantity: Decimal = Decimal(1)
    unit: str = ""
    unit_price: Decimal | None = None
    vat_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Vat:
    """What one rate of tax comes to."""

    rate: Decimal
    net: Decimal
    vat: Decimal
    gross: Decimal


@dataclass(frozen=True, slots=True)
class Payment:
    """One way in which it was paid, or the change."""

    text: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Receipt:
    """A whole receipt. `issued` has a time zone; `lang` is BCP 47.

    `currency` is a code of ISO 4217, or empty where nobody says in which the amounts are.
    """

    shop: Shop
    number: str
    issued: datetime
    lines: tuple[Line, ...]
    total: Decimal
    vat: tuple[Vat, ...] = ()
    payments: tuple[Payment, ...] = ()
    notes: tuple[str, ...] = ()
    thanks: str = ""
    currency: str = "EUR"
    lang: str = "fr"
    refund: bool = False


@dataclass(frozen=True, slots=True)
class Labels:
    """The words of one language and how it writes dates."""

    number: str
    total: str
    refund: str
    vat: str
    rate: str
    net: str
    gross: str
    date: str


LABELS: Final = {
    "fr": Labels(
        number=f"Ticket n°{_HARD}", total="Total TTC", refund="Avoir", vat="TVA", rate="Taux",
        net="HT", gross="TTC",
        date="{0:%d}/{0:%m}/{0:%Y} {0:%H}:{0:%M}",
    ),
    "en": Labels(
        number=f"Receipt no.{_HARD}", total="Total", refund="Refund", vat="VAT", rate="Rate",
        net="Net", gross="Gross",
        date="{0.day} {1} {0:%Y}, {0:%H}:{0:%M}",
    ),
    "de": Labels(
        number=f"Bon-Nr.{_HARD}", total="Summe", refund="Gutschrift", vat="MwSt.", rate="Satz",
        net="Netto", gross="Brutto",
        date="{0:%d}.{0:%m}.{0:%Y} {0:%H}:{0:%M}",
    ),
    "it": Labels(
        number=f"Documento n.{_HARD}", total="Totale", refund="Reso", vat="IVA", rate="Aliquota",
        net="Imponibile", gross="Totale",
        date="{0:%d}/{0:%m}/{0:%Y} {0:%H}:{0:%M}",
    ),
    "es": Labels(
        number=f"Ticket n.º{_HARD}", total="Total", refund="Devolución", vat="IVA", rate="Tipo",
        net="Base", gross="Total",
        date="{0:%d}/{0:%m}/{0:%Y} {0:%H}:{0:%M}",
    ),
}  # fmt: skip
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def labels_of(lang: str) -> Labels:
    """Choose the words for a language; English where there are none."""
    return LABELS.get(lang.partition("-")[0].lower(), LABELS["en"])


def format_time(when: datetime, lang: str) -> str:
    """Write a date and a time to the minute."""
    return labels_of(lang).date.format(when, _MONTHS[when.month - 1])


def sum_vat(lines: tuple[Line, ...]) -> tuple[Vat, ...]:
    """Add up lines with tax included, rate by rate; for samples, not in the place of a till."""
    rates = sorted({line.vat_rate for line in lines if line.vat_rate is not None})
    rows = []
    for rate in rates:
        gross = sum((line.amount for line in lines if line.vat_rate == rate), Decimal(0))
        net = (gross / (1 + rate / 100)).quantize(_CENT, ROUND_HALF_UP)
        rows.append(Vat(rate, net, gross - net, gross))
    return tuple(rows)


def draw_receipt(receipt: Receipt) -> bytes:
    """Draw a receipt as a tagged PDF with its language, its title and its fonts inside.

    Raises:
        ValueError: the time has no zone.
    """
    if receipt.issued.tzinfo is None:
        message = "a receipt's time has a zone"
        raise ValueError(message)
    sheet = Sheet(
        title=f"{receipt.shop.name} – {receipt.number}", lang=receipt.lang, issued=receipt.issued
    )
    return sheet.draw(_lay_out(receipt, sheet))


def texts_of(receipt: Receipt) -> Iterator[str]:
    """Give what others have written on a receipt: names, notes, words for ways to pay."""
    yield from (receipt.shop.name, *receipt.shop.address, *receipt.shop.details, receipt.number)
    for line in receipt.lines:
        yield from (line.text, line.unit)
    yield from (payment.text for payment in receipt.payments)
    yield from (*receipt.notes, receipt.thanks)


def lines_of(receipt: Receipt) -> Iterator[TextLine]:
    """Give what is drawn, line by line, in columns where it stands in columns."""
    labels, lang, currency = labels_of(receipt.lang), receipt.lang, receipt.currency
    codes = _codes(receipt)
    yield from ((text,) for text in (receipt.shop.name, *receipt.shop.address))
    yield GAP
    if receipt.refund:
        yield (labels.refund,)
    yield (labels.number + receipt.number, format_time(receipt.issued, lang))
    yield GAP
    for line in receipt.lines:
        code = codes.get(line.vat_rate, "") if line.vat_rate is not None else ""
        amount = format_amount(line.amount, currency, lang)
        yield (line.text, amount, code) if codes else (line.text, amount)
        if line.quantity != 1 or line.unit:
            yield (_say_quantity(line, currency, lang),)
    yield GAP
    yield (labels.total, format_money(receipt.total, currency, lang))
    for payment in receipt.payments:
        yield (payment.text, format_money(payment.amount, currency, lang))
    yield GAP
    if receipt.vat:
        heads = (labels.rate, labels.net, labels.vat, labels.gross)
        yield ("", *heads) if codes else heads
    for row in receipt.vat:
        cells = _vat_cells(row, currency, lang)
        yield (codes.get(row.rate, ""), *cells) if codes else cells
    yield GAP
    yield from ((text,) for text in (*receipt.notes, *receipt.shop.details))
    yield GAP
    yield (receipt.thanks,)


def _lay_out(receipt: Receipt, sheet: Sheet) -> list[Band]:
    rows: list[Band] = []
    _lay_out_head(receipt, sheet, rows)
    _lay_out_lines(receipt, sheet, rows)
    _lay_out_total(receipt, sheet, rows)
    _lay_out_vat(receipt, sheet, rows)
    _lay_out_foot(receipt, sheet, rows)
    return rows


def _rule(sheet: Sheet, *, before: float, after: float, strong: bool = False) -> Band:
    width, ink = (0.35, INK) if strong else (0.2, RULE)
    return Band(before + after, lambda y: sheet.rule(y + before, width=width, ink=ink))


def _centred(
    sheet: Sheet,
    texts: tuple[str, ...],
    size: float,
    leading: float,
    *,
    style: str = "",
    ink: int = INK,
    tag: str = "P",
) -> Iterator[Band]:
    for text in texts:
        part = sheet.next_part()
        for line in sheet.wrap(text, PAGE_WIDTH - 2 * MARGIN, size, style):

            def draw(y: float, line: str = line) -> None:
                sheet.put_centred(y + 0.75 * leading, line, size, style=style, ink=ink)

            yield Band(leading, draw, tag, part=part)


def _pair(
    sheet: Sheet,
    left: str,
    right: str,
    size: float,
    leading: float,
    *,
    style: str = "",
    ink: int = INK,
    right_edge: float = PAGE_WIDTH - MARGIN,
) -> Iterator[Band]:
    """Set a text on the left, on as many lines as it takes, and another beside its last line."""
    room = right_edge - MARGIN - sheet.measure(right, size, style) - 2.5
    lines = sheet.wrap(left, room, size, style) or [""]
    part = sheet.next_part()
    for index, line in enumerate(lines):

        def draw(y: float, line: str = line, *, last: bool = index == len(lines) - 1) -> None:
            baseline = y + 0.75 * leading
            with sheet.marked_cell(0):
                sheet.put(MARGIN, baseline, line, size, style=style, ink=ink)
            if last:
                with sheet.marked_cell(1):
                    sheet.put_right(right_edge, baseline, right, size, style=style, ink=ink)

        yield Band(leading, draw, ROW, part=part)


def _lay_out_head(receipt: Receipt, sheet: Sheet, rows: list[Band]) -> None:
    labels = labels_of(receipt.lang)
    rows += _centred(sheet, (receipt.shop.name,), 17, 7.2, style="B", tag="H1")
    rows.append(blank(0.6))
    rows += _centred(sheet, receipt.shop.address, 9, 4.1, ink=QUIET)
    rows.append(_rule(sheet, before=3.6, after=2.2))
    if receipt.refund:
        rows += _centred(sheet, (labels.refund,), 12, 6.0, style="B", tag="H2")
    number, when = labels.number + receipt.number, format_time(receipt.issued, receipt.lang)
    rows += _pair(sheet, number, when, 8.5, 4.0, ink=QUIET)
    rows.append(blank(2.6))


def _lay_out_lines(receipt: Receipt, sheet: Sheet, rows: list[Band]) -> None:
    lang = receipt.lang
    codes = _codes(receipt)
    edge = PAGE_WIDTH - MARGIN - (_CODE_WIDTH if codes else 0)
    for line in receipt.lines:
        amount = format_amount(line.amount, receipt.currency, lang)
        code = codes.get(line.vat_rate, "") if line.vat_rate is not None else ""
        item = list(_pair(sheet, line.text, amount, 10, 4.7, right_edge=edge))
        rows += item[:-1]
        rows.append(_coded(sheet, item[-1], code))
        if line.quantity != 1 or line.unit:
            rows.append(_quantity(sheet, line, receipt.currency, lang))
        rows.append(blank(0.7))


def _coded(sheet: Sheet, row: Band, code: str) -> Band:
    def draw(y: float) -> None:
        row.draw(y)
        if code:
            with sheet.marked_cell(2):
                sheet.put_right(PAGE_WIDTH - MARGIN, y + 0.75 * row.height, code, 8, ink=QUIET)

    return replace(row, draw=draw)


def _say_quantity(line: Line, currency: str, lang: str) -> str:
    text = format_number(line.quantity, lang, places=3, places_min=3 if line.unit else 0)
    text += _HARD + line.unit if line.unit else ""
    if line.unit_price is not None:
        places = places_of(currency)
        price = format_number(line.unit_price, lang, places=places + 2, places_min=places)
        text += f" × {price}"
    return text


def _quantity(sheet: Sheet, line: Line, currency: str, lang: str) -> Band:
    text = _say_quantity(line, currency, lang)
    return Band(3.9, lambda y: sheet.put(MARGIN + 3, y + 2.8, text, 8.5, ink=QUIET), "P")


def _codes(receipt: Receipt) -> dict[Decimal, str]:
    """Name each rate of tax by a letter; none where there is only one, and none beyond Z."""
    rates = [row.rate for row in receipt.vat]
    return dict(zip(rates, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", strict=False)) if len(rates) > 1 else {}


def _lay_out_total(receipt: Receipt, sheet: Sheet, rows: list[Band]) -> None:
    labels = labels_of(receipt.lang)
    total = format_money(receipt.total, receipt.currency, receipt.lang)
    rows.append(_rule(sheet, before=1.6, after=1.8, strong=True))
    rows += _pair(sheet, labels.total, total, 16, 7.4, style="B")
    rows.append(blank(0.8))
    for payment in receipt.payments:
        amount = format_money(payment.amount, receipt.currency, receipt.lang)
        rows += _pair(sheet, payment.text, amount, 9.5, 4.5)


def _lay_out_vat(receipt: Receipt, sheet: Sheet, rows: list[Band]) -> None:
    if not receipt.vat:
        return
    labels = labels_of(receipt.lang)
    codes = _codes(receipt)
    heads = (labels.rate, labels.net, labels.vat, labels.gross)
    rows.append(_rule(sheet, before=2.8, after=1.6))
    rows.append(_vat_row(sheet, "", heads, QUIET))
    for row in receipt.vat:
        cells = _vat_cells(row, receipt.currency, receipt.lang)
        rows.append(_vat_row(sheet, codes.get(row.rate, ""), cells, INK))


def _vat_cells(row: Vat, currency: str, lang: str) -> tuple[str, str, str, str]:
    rate = format_number(row.rate, lang, places=2, places_min=0) + _HARD + "%"
    net, vat, gross = (
        format_amount(each, currency, lang) for each in (row.net, row.vat, row.gross)
    )
    return rate, net, vat, gross


def _vat_row(sheet: Sheet, code: str, cells: tuple[str, ...], ink: int) -> Band:
    edges = (MARGIN + 17, MARGIN + 34, MARGIN + 50, PAGE_WIDTH - MARGIN)

    def draw(y: float) -> None:
        if code:
            with sheet.marked_cell(0):
                sheet.put(MARGIN, y + 2.9, code, 8, ink=QUIET)
        for place, (edge, cell) in enumerate(zip(edges, cells, strict=True), 1):
            with sheet.marked_cell(place, head=ink == QUIET):
                sheet.put_right(edge, y + 2.9, cell, 8.5, ink=ink)

    return Band(4.0, draw, ROW)


def _lay_out_foot(receipt: Receipt, sheet: Sheet, rows: list[Band]) -> None:
    if receipt.notes or receipt.shop.details:
        rows.append(_rule(sheet, before=2.4, after=2.2))
    rows += _centred(sheet, receipt.notes, 9, 4.2)
    rows += _centred(sheet, receipt.shop.details, 8, 3.7, ink=QUIET)
    if receipt.thanks:
        rows.append(blank(3.0))
        rows += _centred(sheet, (receipt.thanks,), 10.5, 5.0, style="B")


_SAMPLES: Final = {
    "fr": (
        ("Baguette de tradition", "Comté 18 mois", "Tomates anciennes", "Œufs plein air × 6",
         "Café d’Éthiopie moulu, 250 g", "Crozes-Hermitage 2023, 75 cl",
         "Savon de Marseille, 300 g", "Quiche lorraine, part chaude", "Remise fidélité"),
        "Carte bancaire", f"Merci et à bientôt{_NARROW}!",
    ),
    "en": (
        ("Traditional baguette", "Comté cheese, 18 months", "Heirloom tomatoes",
         "Free-range eggs × 6", "Ethiopian ground coffee, 250 g", "Crozes-Hermitage 2023, 75 cl",
         "Marseille soap, 300 g", "Quiche lorraine, hot slice", "Loyalty discount"),
        "Bank card", "Thank you, see you soon!",
    ),
}  # fmt: skip


def sample_receipt(lang: str = "fr") -> Receipt:
    """Make up a sale in a French grocery round the corner, to show and to test with."""
    texts, payment, thanks = _SAMPLES.get(lang.partition("-")[0], _SAMPLES["fr"])
    reduced, middle, full = Decimal("5.5"), Decimal(10), Decimal(20)
    kilo = "kg"
    facts = (
        ("2.60", "2", "", "1.30", reduced),
        ("5.88", "0.236", kilo, "24.90", reduced),
        ("4.04", "0.842", kilo, "4.80", reduced),
        ("2.95", "1", "", None, reduced),
        ("5.90", "1", "", None, reduced),
        ("13.50", "1", "", None, full),
        ("4.20", "1", "", None, full),
        ("3.80", "1", "", None, middle),
        ("-1.50", "1", "", None, reduced),
    )
    lines = tuple(
        Line(
            text, Decimal(amount), Decimal(quantity), unit, Decimal(price) if price else None, rate
        )
        for text, (amount, quantity, unit, price, rate) in zip(texts, facts, strict=True)
    )
    total = sum((line.amount for line in lines), Decimal(0))
    return Receipt(
        shop=Shop(
            name="Au Petit Marché",
            address=("12 rue des Tanneurs", "26000 Valence"),
            details=("SIRET 000 000 000 00018", "TVA FR00 000000000"),
        ),
        number="2026-004217",
        issued=datetime.fromisoformat("2026-11-21T17:42:00+01:00"),
        lines=lines,
        total=total,
        vat=sum_vat(lines),
        payments=(Payment(payment, total),),
        thanks=thanks,
        lang=lang,
    )
