"""Receipts that once came out wrong, each with what is right on it, as values."""

import contextlib
from pathlib import Path

import pypdfium2
import pytest

from e2ee_ticket.pdf.draw_roll import draw_roll
from e2ee_ticket.pdf.roll import Roll
from e2ee_ticket.sources.takepos_html import read_page

DATA = Path(__file__).parents[2] / "data" / "receipts"


def text_of(roll: Roll) -> list[str]:
    """Draw a roll, and read its lines as a reader of PDFs copies them."""
    with (
        pypdfium2.PdfDocument(draw_roll(roll)) as document,
        contextlib.closing(document[0]) as page,
        contextlib.closing(page.get_textpage()) as text,
    ):
        return [" ".join(line.split()) for line in text.get_text_range().split("\r\n")]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "66-five-columns-fr",
            [
                "Libellé Qté Prix Total HT Total TTC",
                "Café en grains 12 6,90 78,48 82,80",
                "250 g",
                "Crozes- 100 1 214,50 101 208,33 121 450,00",
                "Total HT 101 292,49 €",
                "Total TTC 121 538,79 €",
            ],
        ),
        (
            "67-english-five-columns",
            [
                "Label Qty Price Total Total",
                "(excl. tax) (inc. tax)",
                "Coffee beans 1 6.90 5.75 6.90",
                "Bread 2 3.00 5.68 5.99",
                "Total (inc. tax) 12.89 €",
            ],
        ),
        (
            "68-english-stock",
            [
                "Label Qty Price Total (inc. tax)",
                "Coffee beans 250 g 1 6.90 6.90",
                "Bread 2 3.00 5.99",
            ],
        ),
    ],
)
def test_narrow_columns_break_no_number_and_no_heading(name, lines):
    page = (DATA / "takepos" / f"{name}.html").read_text("utf-8")

    found = text_of(read_page(page, lang="fr", currency="EUR").roll)

    assert [line for line in found if line in lines] == lines
