"""The text of a PDF that was given: whole and in order, or a reason why there is none."""

import io
import re
from pathlib import Path

import hostile_pdf
import pytest
from fpdf import FPDF
from PIL import Image

from e2ee_ticket.pdf import reading
from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt
from e2ee_ticket.pdf.seen import Seen, read_words, room_beside, see
from e2ee_ticket.pdf.words import words_of_receipt
from e2ee_ticket.protocol.envelope import SIZES, fit
from e2ee_ticket.protocol.ticket import Ticket

DATA = Path(__file__).parents[2] / "data"
INVOICE = (DATA / "dolibarr_takepos_invoice.pdf").read_bytes()


def page(draw, *, size=(80, 120)):
    pdf = FPDF(unit="mm", format=size)
    pdf.set_auto_page_break(auto=False)
    pdf.add_page()
    pdf.set_font("helvetica", size=10)
    draw(pdf)
    return bytes(pdf.output())


def receipt(pdf):
    for row, (left, right) in enumerate((("Bread", "2.50"), ("Coffee beans", "12.90"))):
        pdf.text(5, 20 + 6 * row, left)
        pdf.text(75 - pdf.get_string_width(right), 20 + 6 * row, right)
    pdf.text(5, 10, "The Corner Shop")
    pdf.set_font("helvetica", "B", 14)
    pdf.text(5, 50, "Total")
    pdf.text(60, 50, "15.40")


LINES = (("The Corner Shop",), ("",), ("Bread", "2.50"), ("Coffee beans", "12.90"), ("",),
         ("Total", "15.40"))  # fmt: skip


@pytest.mark.rule("T42")
async def test_lines_are_read_from_top_to_bottom_whatever_their_order_in_the_file():
    assert await read_words(page(receipt)) == (LINES, None)


async def test_an_invoice_of_dolibarr_is_read_with_its_columns():
    lines, why = await read_words(INVOICE)

    assert why is None
    for line in (
        ("Désignation", "TVA", "P.U. HT", "Qté", "Total HT"),
        ("FROM - Comté 18 mois, 220 g", "5,5%", "6,96682", "1", "6,97"),
        ("Total HT", "49,34"),
        ("Total TVA 20%", "3,57"),
        ("Total TTC", "54,64"),
        ("Reste à payer", "0,00"),
    ):
        assert line in lines
    assert not any("TCPDF" in cell for line in lines for cell in line)  # nobody sees that


async def test_a_receipt_that_we_drew_is_read_as_what_it_was_drawn_of():
    lines, _ = await read_words(draw_receipt(sample_receipt("fr")))

    drawn = words_of_receipt(sample_receipt("fr"))
    flat = [" ".join(line).replace("\xa0", " ").replace("\u202f", " ").split() for line in drawn]
    assert [" ".join(line).split() for line in lines if any(line)] == [
        line for line in flat if line
    ]


async def test_what_is_printed_twice_to_be_bold_is_read_once():
    def twice(pdf):
        for _ in range(2):
            receipt(pdf)
            pdf.set_font("helvetica", size=10)

    lines, _ = await read_words(page(twice))

    assert lines == LINES


async def test_every_page_is_read():
    pdf = FPDF(format=(148, 210))
    for number in range(3):
        pdf.add_page()
        pdf.set_font("helvetica", size=12)
        pdf.text(20, 30, f"Page number {number + 1}")

    lines, _ = await read_words(bytes(pdf.output()))

    assert lines == (("Page number 1",), ("",), ("Page number 2",), ("",), ("Page number 3",))


def scan(pdf):
    picture = io.BytesIO()
    Image.effect_noise((300, 450), 60).save(picture, "PNG")
    pdf.image(picture, 0, 0, 80, 120)


def scan_with_hidden_text(pdf):
    pdf._out("3 Tr")
    receipt(pdf)


def turned(pdf):
    receipt(pdf)
    with pdf.rotation(90, 40, 60):
        pdf.text(5, 60, "This is written upwards")


def in_columns(pdf):
    pdf.set_font("helvetica", size=5)
    for row in range(8):
        pdf.text(4, 20 + 3 * row, "conditions of sale on the left side")
        pdf.text(44, 20 + 3 * row, "and others on the right side go on")


def on_top_of_each_other(pdf):
    receipt(pdf)
    pdf.set_font("helvetica", size=10)
    pdf.text(5.3, 20, "Water and wine")


def outlined(pdf):
    receipt(pdf)
    for n in range(20):
        points = [(n * 3 + i % 3, 80 + i % 7) for i in range(30)]
        pdf.polygon(points)


def nothing(pdf):
    pdf.line(0, 0, 20, 20)


@pytest.mark.rule("T42")
@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (scan, "it shows large pictures"),
        (scan_with_hidden_text, "its text is not what is seen"),
        (turned, "some of its text is turned"),
        (in_columns, "it has running text in columns"),
        (on_top_of_each_other, "some of its text lies on other text"),
        (outlined, "some of its letters are drawings"),
        (nothing, "it has no text"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_what_cannot_be_read_for_sure_has_no_words_but_a_reason(draw, why):
    assert await read_words(page(draw)) == (None, why)


async def test_a_filled_form_has_no_words_because_its_fields_are_not_in_its_text():
    found = await read_words((DATA / "filled_form.pdf").read_bytes())

    assert found == (None, "it has fields or notes")


async def test_letters_without_a_meaning_have_no_words():
    pdf = draw_receipt(sample_receipt("fr"))
    import pikepdf

    with pikepdf.open(io.BytesIO(pdf)) as document:
        for item in document.objects:
            if isinstance(item, pikepdf.Dictionary) and "/ToUnicode" in item:
                del item["/ToUnicode"]
        out = io.BytesIO()
        document.save(out)

    lines, why = await read_words(out.getvalue())

    assert lines is None
    assert why is not None


async def test_an_endless_receipt_has_no_words():
    pdf = FPDF()
    pdf.set_font("helvetica", size=5)
    for _ in range(31):
        pdf.add_page()
        pdf.text(10, 10, "one more page of it")

    assert await read_words(bytes(pdf.output())) == (None, "it is too long")


@pytest.mark.parametrize("make", hostile_pdf.ALL, ids=lambda make: make.__name__)
async def test_a_hostile_pdf_is_read_in_a_bounded_time_or_not_at_all(make):
    lines, why = await read_words(make(), timeout=2.0)

    assert (lines is None) == (why is not None)


# With its picture


@pytest.mark.rule("T44")
async def test_beside_words_the_picture_fits_what_the_envelope_leaves_free():
    pdf = INVOICE + b"\n" * (36_000 - len(INVOICE))
    seen = await see(pdf)

    facts = {"title": "Epicerie", "total": "54,64 €", "lines": seen.lines}
    without = Ticket(pdf, **facts)
    drawn = Ticket(pdf, preview=seen.picture, **facts)
    assert seen.picture is not None
    assert fit(len(without.to_bytes())) == 48 * 1024
    assert fit(len(drawn.to_bytes())) == fit(len(without.to_bytes()))


async def test_a_receipt_without_words_keeps_its_picture_and_says_why():
    pdf = page(scan)
    seen = await see(pdf)

    assert seen.picture is not None
    assert (seen.lines, seen.unread) == (None, "it shows large pictures")


async def test_where_there_is_no_room_for_a_picture_that_can_be_read_there_is_none():
    words = (("Total", "1"),)
    size = next(size for size in range(14_000, 17_000) if room_beside(bytes(size), words) < 2048)
    pdf = page(receipt)
    seen = await see(pdf + b"\n" * (size - len(pdf)))

    assert seen == Seen(None, LINES)
    assert size < SIZES[0]


def test_every_reason_has_a_sentence():
    from e2ee_ticket.pdf import seen

    names = re.findall(r"Poor\(([A-Z]+)\)", Path(reading.__file__).read_text("utf-8"))
    words = {getattr(reading, name) for name in (*names, "UNSEEN", "UNMAPPED", "TURNED")}
    assert set(seen._WHY) == words
