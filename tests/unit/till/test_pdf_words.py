"""The words of a receipt are those that its PDF shows: all of them, in order, nothing else."""

import contextlib
import dataclasses
import io
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from e2ee_ticket.pdf import codes
from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt
from e2ee_ticket.pdf.draw_roll import draw_roll
from e2ee_ticket.pdf.reading import in_order_of_reading, logical
from e2ee_ticket.pdf.roll import (
    Cell,
    Code,
    Paragraph,
    Picture,
    Roll,
    Row,
    Rule,
    Run,
    Space,
    Table,
)
from e2ee_ticket.pdf.words import rest_of_roll, words_of_receipt, words_of_roll
from e2ee_ticket.protocol.envelope import seal
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.escpos import decode
from e2ee_ticket.sources.takepos_html import read_page
from e2ee_ticket.sources.takepos_receipts import read_receipt_page

DATA = Path(__file__).parents[2] / "data"
WORD = st.text(st.sampled_from("abcdefghijkLMNOPQR0123456789.,%€é"), min_size=1, max_size=9)
WORDS = st.lists(WORD, min_size=1, max_size=4).map(" ".join)
ROW = st.lists(WORDS, min_size=1, max_size=3).map("   ".join).filter(lambda text: len(text) <= 48)
NUMBER = st.from_regex(r"[0-9]{1,4},[0-9]{2}", fullmatch=True)


def rows_of(count):
    return st.tuples(*[WORDS.map(Cell), *[NUMBER.map(lambda text: Cell(text, "right"))] * count])


ITEM = st.one_of(
    ROW.map(lambda text: Row((Run(text),))),
    WORDS.map(Paragraph),
    st.integers(1, 4).flatmap(
        lambda count: st.lists(rows_of(count), min_size=1, max_size=4).map(
            lambda rows: Table(tuple(rows))
        )
    ),
    st.just(Rule()),
    st.just(Space()),
)
ROLLS = st.lists(ITEM, min_size=1, max_size=8).map(lambda items: Roll(tuple(items)))


def shown(pdf: bytes) -> str:
    """What a reader of PDFs copies of all pages."""
    text = ""
    with pypdfium2.PdfDocument(pdf) as document:
        for number in range(len(document)):
            with (
                contextlib.closing(document[number]) as page,
                contextlib.closing(page.get_textpage()) as found,
            ):
                text += found.get_text_range()
    return text


def letters(text: str) -> str:
    """What is not blank and no line across, in one form."""
    plain = unicodedata.normalize("NFKC", text)
    return re.sub(r"[\s\u2500-\u257f\u200b-\u200f\ufffe\x02\xad_=*-]", "", plain)


def said(lines) -> str:
    return letters("".join(cell for line in lines or () for cell in line))


@pytest.mark.rule("T41")
@settings(max_examples=60, deadline=None)
@given(ROLLS)
def test_the_words_of_a_roll_are_those_of_its_pdf(roll):
    lines = words_of_roll(roll)

    assert Counter(said(lines)) == Counter(letters(shown(draw_roll(roll))))


@pytest.mark.rule("T41")
@settings(max_examples=30, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_the_words_of_a_roll_are_in_the_order_of_its_pdf(rows):
    roll = Roll(tuple(Row((Run(text),)) for text in rows))

    assert said(words_of_roll(roll)) == letters(shown(draw_roll(roll)))


def takepos(name: str) -> Roll:
    return read_page((DATA / "receipts/takepos" / name).read_text("utf-8"), lang="fr").roll


@pytest.mark.rule("T42")
@pytest.mark.parametrize(
    "name", sorted(path.name for path in (DATA / "receipts/takepos").glob("*.html"))
)
def test_all_that_a_receipt_of_takepos_shows_is_in_its_words(name):
    roll = takepos(name)

    lines = words_of_roll(roll)

    if name != "47-open-table.html":
        assert lines
    assert Counter(said(lines)) == Counter(letters(shown(draw_roll(roll))))


@pytest.mark.rule("T42")
@pytest.mark.parametrize(
    "name", sorted(path.name for path in (DATA / "receipts/escpos").glob("*.bin"))
)
def test_all_that_a_printer_s_receipt_shows_is_in_its_words_or_it_has_none(name):
    roll = decode((DATA / "receipts/escpos" / name).read_bytes(), lang="en")

    lines = words_of_roll(roll)

    if lines is None:
        assert any(isinstance(item, Row) and item.pictures for item in roll.items) or not letters(
            shown(draw_roll(roll))
        )
    else:
        assert Counter(said(lines)) == Counter(letters(shown(draw_roll(roll))))


@pytest.mark.rule("T42")
@pytest.mark.parametrize("lang", ["fr", "en", "de", "it", "es"])
def test_all_that_a_receipt_drawn_of_data_shows_is_in_its_words(lang):
    for receipt in (
        sample_receipt(lang),
        dataclasses.replace(sample_receipt(lang), refund=True, notes=("Note A", "B 12")),
        dataclasses.replace(sample_receipt(lang), vat=(), currency=""),
    ):
        found = said(words_of_receipt(receipt))
        assert Counter(found) == Counter(letters(shown(draw_receipt(receipt))))


@pytest.mark.rule("T41")
def test_columns_stand_in_cells_of_their_own():
    roll = takepos("40-payments-and-change.html")

    lines = words_of_roll(roll)

    assert ("Libellé", "Qté", "Prix", "Total TTC") in lines
    assert ("Article A", "1", "6,00", "6,00") in lines
    assert [line for line in lines if line[0] in {"Espèces", "Monnaie"}] == [
        ("Espèces", "10,00\xa0€"),
        ("Monnaie", "4,00\xa0€"),
    ]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("Comté 18 mois            12,40", ("Comté 18 mois", "12,40")),
        ("2  Pain         3,00     6,00", ("2", "Pain", "3,00", "6,00")),
        ("      Merci de votre visite      ", ("Merci de votre visite",)),
        ("Merci  de votre visite", ("Merci de votre visite",)),
        ("│Pommes   │  2│ 3,60│", ("Pommes", "2", "3,60")),
        ("------------------------", ("",)),
    ],
)
def test_a_printer_s_line_is_cut_where_it_leaves_blanks(row, cells):
    lines = words_of_roll(Roll((Row((Run("x"),)), Row((Run(row),)), Row((Run("y"),)))))

    assert lines == (("x",), cells, ("y",))


def test_a_cell_that_spans_columns_keeps_the_table_one():
    table = Table(
        (
            (Cell("Item"), Cell("Qty", "right"), Cell("Sum", "right")),
            (Cell("Total", span=2), Cell("9,00", "right")),
            (Cell("all of it", span=3),),
        )
    )

    assert words_of_roll(Roll((table,))) == (
        ("Item", "Qty", "Sum"),
        ("Total", "", "9,00"),
        ("all of it",),
    )


@pytest.mark.parametrize(
    ("visual", "read"),
    [
        ("םולש", "שלום"),
        ("12.90 םחל", "לחם 12.90"),
        ("(םולש)", "(שלום)"),
        ("Coca-Cola הקשמ", "משקה Coca-Cola"),
        ("plain 1.20", "plain 1.20"),
    ],
)
def test_what_stands_from_left_to_right_is_put_into_the_order_of_reading(visual, read):
    assert logical(visual) == read


def test_cells_keep_their_words_before_their_sums():
    assert in_order_of_reading(["חופת", "6.00"]) == ["תפוח", "6.00"]
    assert in_order_of_reading(["6.00", "חופת"]) == ["תפוח", "6.00"]
    assert in_order_of_reading(["Bread", "6.00"]) == ["Bread", "6.00"]


# What words cannot say


def picture(width, height):
    return Picture(width, height, b"\xaa" * ((width + 7) // 8 * height))


TEXT = Row((Run("Total   9,00"),))


@pytest.mark.rule("T43")
def test_a_logo_needs_no_picture_and_a_code_does():
    assert rest_of_roll(Roll((picture(200, 80), TEXT))) is None
    assert rest_of_roll(Roll((TEXT,))) is None
    assert rest_of_roll(Roll((TEXT, Code("qr", "https://t.example/7")))) is not None
    assert rest_of_roll(Roll((TEXT, picture(200, 80)))) is not None  # a signature, say
    assert rest_of_roll(Roll((picture(500, 900), TEXT))) is not None  # no logo is that tall


@pytest.mark.rule("T43")
@pytest.mark.parametrize(
    ("kind", "text"),
    [("qr", "https://t.example/7"), ("ean13", "4006381333931"), ("code128", "VOUCHER-0042")],
)
def test_the_picture_of_a_code_is_read_as_the_code(kind, text):
    import zxingcpp

    png = rest_of_roll(Roll((TEXT, Code(kind, text))))

    assert len(png) < 2_000
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(png)).convert("L"))
    assert [code.text for code in found] == [text]


def test_a_picture_of_several_codes_has_them_all():
    import zxingcpp

    roll = Roll((TEXT, Code("qr", "one"), picture(100, 40), TEXT, Code("code128", "two")))

    png = rest_of_roll(roll)

    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(png)).convert("L"))
    assert sorted(code.text for code in found) == ["one", "two"]


def test_where_a_picture_stands_for_a_letter_there_are_no_words():
    euro = Row((Run("12,40"),), pictures=((60, picture(12, 24)),))

    assert words_of_roll(Roll((TEXT, euro))) is None


def test_what_a_code_says_is_a_line_only_where_it_is_printed():
    plain, captioned = Code("code128", "V-42"), Code("code128", "V-42", caption=True)
    assert words_of_roll(Roll((TEXT, plain))) == (("Total", "9,00"),)
    assert words_of_roll(Roll((TEXT, captioned))) == (("Total", "9,00"), ("V-42",))
    undrawn = Code("ean13", "no number")
    assert codes.draw_code("ean13", "no number") is None
    assert words_of_roll(Roll((undrawn,))) == (("no number",),)


# The whole


def test_the_recorded_sale_of_takepos_fits_the_smallest_envelope_with_its_words():
    with (DATA / "takepos_connector_html.jsonl").open(encoding="utf-8") as lines:
        page = json.loads(next(lines))["body"]
    shop = Shop(name="Epicerie du Test", lang="fr", now=lambda: 1795298679.0)

    ticket = read_receipt_page(page, shop, "EUR")

    assert ("Total TTC", "54,64\xa0EUR") in ticket.lines
    assert ticket.preview is None
    assert len(seal(ticket, Secret(bytes(32)))) == 16 * 1024
