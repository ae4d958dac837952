import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2ee_ticket.pdf.roll import Cell, Paragraph, Roll, Row, Run, Space, Table
from e2ee_ticket.sources.roll_facts import Facts, facts, lines_of


def roll_of(*lines):
    return Roll(tuple(Row((Run(line),)) for line in lines))


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("Facture TC1-2611-0010", "TC1-2611-0010"),
        ("FACTURE N° FA2611-0001", "FA2611-0001"),
        ("Ticket n° 2026-004217   21/11/2026 17:42", "2026-004217"),
        ("Ticket n°2026-004217 21/11/2026", "2026-004217"),
        ("Ticket de caisse 17", "17"),
        ("Avoir AV2611-0003", "AV2611-0003"),
        ("Bon-Nr. 4217", "4217"),
        ("Beleg-Nr.: 2026-17", "2026-17"),
        ("Rechnungsnummer: R-17", "R-17"),
        ("Rechnungsnr. 55", "55"),
        ("Invoice No. 12", "12"),
        ("Receipt #1234", "1234"),
        ("Factura simplificada: T-0001", "T-0001"),
        ("Factura nº A-12", "A-12"),
        ("Ticket n.º 55", "55"),
        ("DOCUMENTO COMMERCIALE N. 0123-0045", "0123-0045"),
        ("Nota di credito n° NC-3", "NC-3"),
    ],
)
def test_a_number_is_read(line, number):
    assert facts(roll_of("Au Petit Marché", line, "Pain  2,00")).number == number


@pytest.mark.parametrize(
    "line",
    [
        "Bon 12.50",
        "Bon 10 EUR",
        "Bonus 12",
        "Ticket 21/11/2026",
        "Ticket restaurant 9,00",
        "Ticket restaurant",
        "Facture du 21/11/2026",
        "Facture d'origine FA-1",
        "Votre facture 12",
        "Invoice",
        "Tel. 04 75 00 00 00",
        "Receipt 1 of 2",
    ],
)
def test_what_is_no_number_is_none(line):
    assert facts(roll_of(line)).number is None


@pytest.mark.parametrize(
    ("lines", "total"),
    [
        (["Total HT    49,34", "Total TVA    5,30", "Total TTC   54,64"], "54,64"),
        (["Total       12,00"], "12,00"),
        (["Total: 12.00 €"], "12.00 €"),
        (["Total\u202f: 1\u202f234,50\u00a0€"], "1 234,50 €"),
        (["TOTAL EUR    41,37"], "41,37 EUR"),
        (["TOTAL (EUR)   5,00"], "5,00 EUR"),
        (["Subtotal 10.00", "Tax 2.00", "Total €1,234.50"], "€1,234.50"),
        (["Zwischensumme 3,00", "SUMME EUR 13,00", "Bar EUR 20,00"], "13,00 EUR"),
        (["Gesamtbetrag CHF 12.50"], "12.50 CHF"),
        (["Total 5,00", "Remise -1,00", "Net à payer 4,00"], "4,00"),
        (["Importe total 1.234,50 €"], "1.234,50 €"),
        (["TOTALE COMPLESSIVO  5,00"], "5,00"),
        (["Total   -5,00 €"], "-5,00 €"),
        (["Total 5,00", "TOTAL   5,00"], "5,00"),
        (["Total TTC 1 500 F"], "1 500 F"),
        (["Total TTC 1 500 F CFA"], "1 500 F CFA"),
        (["Total : 13,345 TND"], "13,345 TND"),
        (["TOTAL (XOF)   1 500"], "1 500 XOF"),
        (["Total ¥1,500"], "¥1,500"),
        (["Total 12 €"], "12 €"),
    ],
)
def test_a_total_is_read_as_the_shop_wrote_it(lines, total):
    assert facts(roll_of(*lines)).total == total


@pytest.mark.parametrize(
    "lines",
    [
        ["Sous-total 3,00"],
        ["Subtotal 3.00"],
        ["Zwischensumme 3,00"],
        ["Total HT 3,00"],
        ["Total TVA 3,00"],
        ["Total hors taxes 3,00"],
        ["Total remises 3,00"],
        ["Total articles 5"],
        ["Total 12"],
        ["Totalement 3,00"],
        ["Total 5,00", "Total 6,00"],
        ["Net à payer 5,00", "Total TTC 6,00"],
        ["Total 39,21 2,16 41,37"],
        ["Summe netto 3,00"],
        ["Le total 3,00"],
        ["Total 12 pcs"],
        ["Total 12,5 €"],
        ["Total 1500"],
        ["Total 13,345"],
    ],
)
def test_what_may_not_be_the_total_is_none(lines):
    assert facts(roll_of(*lines)).total is None


@pytest.mark.parametrize(
    ("line", "currency", "total"),
    [
        ("Total TTC   1 299,99", "€", "1 299,99\u00a0€"),
        ("Total TTC  -1 299,99", "€", "-1 299,99\u00a0€"),
        ("Total  54.64", "$", "$54.64"),
        ("Total  54.64", "CHF", "54.64\u00a0CHF"),
        ("Total 54,64 €", "CHF", "54,64 €"),
        ("Total 1 500", "XOF", "1 500\u00a0XOF"),
        ("Total 13,345", "TND", "13,345\u00a0TND"),
        ("Total 1 500", "€", None),
    ],
)
def test_the_shops_currency_is_put_to_a_total_without_one(line, currency, total):
    assert facts(roll_of(line), currency).total == total


def test_facts_are_read_off_paragraphs_and_tables_too():
    table = Table(((Cell("Total\nTTC"), Cell("54,64 €", "right")),))
    roll = Roll((Space(), Paragraph("Épicerie\nFacture TC1-2611-0010"), table))

    assert facts(roll) == Facts("TC1-2611-0010", "54,64 €")
    assert list(lines_of(roll)) == ["Épicerie", "Facture TC1-2611-0010", "Total TTC  54,64 €"]


def test_facts_do_not_tell_what_they_are():
    assert repr(Facts("TC1", "54,64")) == "Facts()"


@given(st.lists(st.text(max_size=300), max_size=20))
def test_any_text_has_facts_that_fit_on_a_display(lines):
    found = facts(roll_of(*lines))

    assert len(found.number or "") <= 40
    assert len(found.total or "") <= 64


@pytest.mark.parametrize("piece", ["Total ", "1 000 ", "€", " ", "Facture ", "-", "Ticket n°"])
def test_a_long_line_takes_no_time(piece):
    assert facts(roll_of("Total" + piece * 50_000, "Facture" + piece * 50_000)) == Facts()
    assert facts(roll_of(*["Total " + piece * 20] * 2000)) == Facts()
