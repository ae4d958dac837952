# Typographic characters are what a drawing is made of.
# ruff: noqa: RUF001

import hashlib
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from fontTools.ttLib import TTFont

from e2ee_ticket.pdf import draw, letters
from e2ee_ticket.pdf.draw import (
    LABELS,
    Line,
    Payment,
    Receipt,
    Shop,
    Vat,
    draw_receipt,
    format_time,
    sample_receipt,
)
from e2ee_ticket.pdf.money import (
    currency_of,
    format_amount,
    format_money,
    format_number,
    is_currency,
    places_of,
)

NOON = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def receipt(*lines: Line, **more) -> Receipt:
    facts = {
        "shop": Shop("Shop"),
        "number": "7",
        "issued": NOON,
        "lines": lines,
        "total": sum((line.amount for line in lines), Decimal(0)),
        "lang": "en",
        **more,
    }
    return Receipt(**facts)


def words_of(pdf: bytes) -> str:
    """Read the text as a reader would copy it, every kind of space as one."""
    pages = pypdfium2.PdfDocument(pdf)
    text = " ".join(page.get_textpage().get_text_range() for page in pages)
    return re.sub(r"\s+", " ", text)


def sizes_of(pdf: bytes) -> list[tuple[float, float]]:
    """Give the pages' widths and heights in millimetres."""
    return [
        tuple(round(side * 25.4 / 72, 1) for side in page.get_size())
        for page in pypdfium2.PdfDocument(pdf)
    ]


# The sample


@pytest.mark.parametrize("lang", ["fr", "en", "de", "en-GB", "tlh"])
def test_the_sample_adds_up(lang: str):
    sample = sample_receipt(lang)

    assert sum(line.amount for line in sample.lines) == sample.total
    assert sum(row.gross for row in sample.vat) == sample.total
    assert all(row.net + row.vat == row.gross for row in sample.vat)
    assert sum(payment.amount for payment in sample.payments) == sample.total
    for line in sample.lines:
        if line.unit_price is not None:
            exact = line.quantity * line.unit_price
            assert abs(exact - line.amount) <= Decimal("0.005")


def test_the_sample_says_what_was_sold_in_french():
    words = words_of(draw_receipt(sample_receipt()))

    for text in (
        "Au Petit Marché",
        "Ticket n° 2026-004217",
        "21/11/2026 17:42",
        "Œufs plein air × 6",
        "0,236 kg × 24,90",
        "−1,50",
        "Total TTC",
        "41,37 €",
        "5,5 %",
        "Merci et à bientôt !",
    ):
        assert text in words


def test_the_sample_says_what_was_sold_in_english():
    words = words_of(draw_receipt(sample_receipt("en")))

    for text in ("Receipt no. 2026-004217", "21 Nov 2026, 17:42", "€41.37", "0.236 kg × 24.90"):
        assert text in words


# The document


def test_the_same_data_give_the_same_bytes():
    assert draw_receipt(sample_receipt()) == draw_receipt(sample_receipt())


def test_it_is_tagged_and_has_a_language_a_title_and_a_date():
    with pikepdf.open(io.BytesIO(draw_receipt(sample_receipt("fr")))) as pdf:
        assert pdf.Root.Lang == "fr"
        assert pdf.Root.MarkInfo.Marked
        assert pdf.docinfo["/Title"] == "Au Petit Marché – 2026-004217"
        assert pdf.docinfo["/CreationDate"] == "D:20261121164200Z"
        elements = pdf.Root.StructTreeRoot.K[0].K
        assert [str(element.S) for element in elements][:2] == ["/H1", "/P"]


def test_every_row_is_tagged_or_decoration():
    with pikepdf.open(io.BytesIO(draw_receipt(sample_receipt()))) as pdf:
        depth = 0
        for instruction in pikepdf.parse_content_stream(pdf.pages[0]):
            operator = str(instruction.operator)
            depth += (operator in ("BDC", "BMC")) - (operator == "EMC")
            assert depth in (0, 1)
            assert depth or operator not in ("Tj", "TJ", "S")
        assert depth == 0


def test_it_holds_nothing_active_and_its_fonts():
    with pikepdf.open(io.BytesIO(draw_receipt(sample_receipt()))) as pdf:
        fonts = pdf.pages[0].Resources.Font
        files = [font.DescendantFonts[0].FontDescriptor.FontFile2 for _, font in fonts.items()]

        assert len(files) == 2
        assert all(len(file.read_bytes()) > 1000 for file in files)
        assert "/Annots" not in pdf.pages[0]


def test_the_page_is_as_long_as_the_receipt():
    line = Line("Apple", Decimal(1))

    ((width, short),) = sizes_of(draw_receipt(receipt(line)))
    ((_, longer),) = sizes_of(draw_receipt(receipt(*[line] * 11)))

    assert width == 80.0
    assert longer - short == pytest.approx(10 * 5.4, abs=0.2)


def test_a_receipt_longer_than_a_page_can_be_goes_on_on_another():
    pages = sizes_of(draw_receipt(receipt(*[Line("Apple", Decimal(1))] * 1000)))

    assert len(pages) == 2
    assert all(height <= 5080 for _, height in pages)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="zone"):
        draw_receipt(receipt(issued=NOON.replace(tzinfo=None)))


# What stands where


def test_a_long_name_is_cut_between_words_and_a_long_word_anywhere():
    name = "Slowly roasted coffee from the highlands of Ethiopia in a bag of paper"
    word = "x" * 120

    words = words_of(draw_receipt(receipt(Line(name, Decimal(1)), Line(word, Decimal(2)))))

    assert name in words
    assert words.replace(" ", "").count("x" * 120) == 1


def test_a_name_with_control_characters_or_none_at_all_is_drawn():
    words = words_of(draw_receipt(receipt(Line("a\r\nb\tc\x00", Decimal(1)), Line("", Decimal(2)))))

    assert "a b c" in words
    assert "2.00" in words


@pytest.mark.parametrize(
    "text", ["Καφές ελληνικός", "Молоко, їжак", "Žluťoučký kůň", "İstanbul ğüş", "100 ₺ ₴ zł"]
)
def test_letters_of_europe_are_drawn(text: str):
    assert text in words_of(draw_receipt(receipt(Line(text, Decimal(1)))))


def test_one_rate_of_tax_needs_no_letters():
    vat = (Vat(Decimal(20), Decimal(10), Decimal(2), Decimal(12)),)
    line = Line("Soap", Decimal(12), vat_rate=Decimal(20))

    words = words_of(draw_receipt(receipt(line, vat=vat)))

    assert "20 % 10.00 2.00 12.00" in words
    assert " A " not in words


def test_a_rate_that_the_table_lacks_has_no_letter():
    lines = (
        Line("Bread", Decimal(1), vat_rate=Decimal(5)),
        Line("Soap", Decimal(1), vat_rate=Decimal(20)),
        Line("Gift", Decimal(1), vat_rate=Decimal(0)),
        Line("Deposit", Decimal(1)),
    )

    words = words_of(draw_receipt(receipt(*lines, vat=draw.sum_vat(lines[:2]))))

    assert "Bread 1.00 A Soap 1.00 B Gift 1.00 Deposit 1.00" in words


def test_a_refund_says_so():
    words = words_of(draw_receipt(receipt(Line("Shirt", Decimal(-30)), refund=True)))

    assert "Refund" in words
    assert "−€30.00" in words


def test_quantities_notes_payments_and_details_are_drawn():
    words = words_of(
        draw_receipt(
            receipt(
                Line("Nail", Decimal("0.36"), Decimal(12), unit_price=Decimal("0.0301")),
                Line("Rope", Decimal(3), Decimal("1.5"), "m"),
                shop=Shop("Tools", ("1 Main Street",), ("VAT XX123",)),
                payments=(Payment("Cash", Decimal(5)), Payment("Change", Decimal("-1.64"))),
                notes=("Two years of guarantee",),
            )
        )
    )

    for text in (
        "12 × 0.0301",
        "1.500 m",
        "VAT XX123",
        "Cash €5.00",
        "Change −€1.64",
        "Two years of guarantee",
    ):
        assert text in words


# Numbers and dates


@pytest.mark.parametrize(
    ("value", "lang", "text"),
    [
        ("1234.5", "fr", "1\u202f234,50\u00a0€"),
        ("1234.5", "en", "€1,234.50"),
        ("1234.5", "de", "1.234,50\u00a0€"),
        ("-0.5", "fr", "\u22120,50\u00a0€"),
        ("-0.5", "en", "\u2212€0.50"),
        ("-0.001", "en", "€0.00"),
        ("0.005", "it", "0,01\u00a0€"),
        ("7", "pt-PT", "7,00\u00a0€"),
        ("-1234.5", "de-AT", "\u2212€\u00a01.234,50"),
        ("7", "qaa", "€7.00"),
        ("7", "no language", "€7.00"),
    ],
)
def test_money_is_written_as_the_language_writes_it(value: str, lang: str, text: str):
    assert format_money(Decimal(value), "EUR", lang) == text


@pytest.mark.parametrize(
    ("value", "currency", "lang", "text"),
    [
        ("5", "GBP", "en-GB", "£5.00"),
        ("5", "CHF", "en", "CHF\u00a05.00"),
        ("5", "CHF", "fr", "5,00\u00a0CHF"),
        ("13.345", "TND", "fr", "13,345\u00a0TND"),
        ("13.345", "TND", "en", "TND\u00a013.345"),
        ("4.5", "KWD", "fr", "4,500\u00a0KWD"),
        ("1500", "XOF", "fr", "1\u202f500\u00a0F\u202fCFA"),
        ("1271.19", "XOF", "fr", "1\u202f271\u00a0F\u202fCFA"),
        ("-228.81", "XOF", "en", "\u2212F\u202fCFA\u00a0229"),
        ("1500", "XPF", "fr", "1\u202f500\u00a0FCFP"),
        ("1500", "JPY", "de", "1.500\u00a0¥"),
        ("120", "HUF", "de", "120,00\u00a0HUF"),
        ("0.0005", "CLF", "en", "CLF\u00a00.0005"),
        ("5", "QQQ", "de", "5,00\u00a0QQQ"),
        ("13.345", "", "fr", "13,345"),
        ("6", "", "fr", "6,00"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(value, currency, lang, text):
    assert format_money(Decimal(value), currency, lang) == text
    assert format_amount(abs(Decimal(value)), currency, lang) in text


def test_currencies_have_the_decimals_of_iso_4217():
    codes = "EUR JPY XAF XOF XPF KRW VND CLP ISK TND KWD BHD JOD OMR IQD LYD HUF IDR COP MRU RSD"

    assert [places_of(code) for code in codes.split()] == [
        2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2,
    ]  # fmt: skip
    assert is_currency("TND")
    assert not is_currency("QQQ")


def test_a_countrys_money_is_the_one_it_has_today():
    assert [currency_of(one) for one in ("FR", "HR", "SN", "PF", "TN", "CH", "XX")] == [
        "EUR", "EUR", "XOF", "XPF", "TND", "CHF", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"), [("2", "2"), ("2.50", "2.5"), ("0.0004", "0"), ("1000", "1,000")]
)
def test_a_number_has_no_more_places_than_it_needs(value: str, text: str):
    assert format_number(Decimal(value), "en", places=3, places_min=0) == text


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("fr", "01/03/2026 12:05"),
        ("en", "1 Mar 2026, 12:05"),
        ("de", "01.03.2026 12:05"),
        ("it", "01/03/2026 12:05"),
        ("es", "01/03/2026 12:05"),
    ],
)
def test_a_date_is_written_as_the_language_writes_it(lang: str, text: str):
    assert format_time(NOON, lang) == text


@pytest.mark.parametrize("lang", sorted(LABELS))
def test_every_language_is_drawn(lang: str):
    words = words_of(draw_receipt(replace(sample_receipt(lang), issued=NOON + timedelta(days=1))))

    assert LABELS[lang].total in words
    assert LABELS[lang].vat in words


# The fonts


@pytest.mark.parametrize("face", ["Regular", "Bold"])
def test_a_font_is_the_one_its_notice_names(face: str):
    folder = Path(draw.__file__).parent / "fonts"
    data = (folder / f"RobotoCondensed-{face}.ttf").read_bytes()

    assert hashlib.sha256(data).hexdigest() in (folder / "README.md").read_text("utf-8")
    widths = TTFont(io.BytesIO(data))["hmtx"]
    cmap = TTFont(io.BytesIO(data)).getBestCmap()
    assert len({widths[cmap[ord(digit)]][0] for digit in "0123456789"}) == 1


def test_letters_that_no_font_has_are_told():
    line = replace(sample_receipt().lines[0], text="𓀀 漢字 تفاح")
    receipt = replace(sample_receipt(), lines=(line,), notes=("𓂀",))

    assert letters.remarks_on(draw.texts_of(receipt)) == ("letters that no font here has: 𓀀 𓂀",)
    assert letters.remarks_on(draw.texts_of(sample_receipt())) == ()


def test_goods_of_the_whole_world_are_drawn():
    text = "苹果汁 / りんご / 사과 / น้ำ / תפוח"
    line = replace(sample_receipt().lines[0], text=text)

    assert text in words_of(draw_receipt(replace(sample_receipt(), lines=(line,))))
