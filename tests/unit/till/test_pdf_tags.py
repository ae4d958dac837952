"""Our PDFs say to who listens what they show to who looks: the same lines, in the same order."""

import dataclasses
import io
import unicodedata
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from pypdfium2 import raw

from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt
from e2ee_ticket.pdf.draw_roll import draw_roll
from e2ee_ticket.pdf.roll import Code, Paragraph, Roll, Row, Run
from e2ee_ticket.pdf.words import words_of_receipt, words_of_roll
from e2ee_ticket.sources.escpos import decode
from e2ee_ticket.sources.takepos_html import read_page

DATA = Path(__file__).parents[2] / "data/receipts"


def drawn_by_mark(pdf):
    """What each page's marks hold, as a reader of PDFs copies it."""
    found = []
    with pypdfium2.PdfDocument(pdf) as document:
        for number in range(len(document)):
            page = document[number]
            text = page.get_textpage()
            marks = {}
            for index in range(text.count_chars()):
                shown = raw.FPDFText_GetTextObject(text, index)
                if shown and raw.FPDFText_IsGenerated(text, index) != 1:
                    mark = raw.FPDFPageObj_GetMarkedContentID(shown)
                    letter = chr(raw.FPDFText_GetUnicode(text, index))
                    marks[mark] = marks.get(mark, "") + letter
            text.close()
            page.close()
            found.append(marks)
    return found


def plain(text):
    return "".join(unicodedata.normalize("NFKC", text).split()).replace("-", "")


def spoken(pdf):
    """The lines of the structure tree, each a list of its cells, without blanks."""
    marks = drawn_by_mark(pdf)
    lines = []
    with pikepdf.open(io.BytesIO(pdf)) as document:
        pages = [page.objgen for page in document.pages]

        def text_of(element):
            if "/ActualText" in element:
                return plain(str(element.ActualText))
            text = ""
            for kid in element.K:
                is_number = isinstance(kid, int)
                page = element.Pg if is_number else kid.Pg
                text += marks[pages.index(page.objgen)].get(kid if is_number else kid.MCID, "")
            return plain(text)

        def walk(element):
            for kid in element.K:
                role = str(kid.S)
                assert kid.P.objgen == element.objgen
                if role == "/TR":
                    assert {str(cell.S) for cell in kid.K} <= {"/TD", "/TH"}
                    lines.append([text_of(cell) for cell in kid.K])
                elif role == "/Table":
                    assert len({len(row.K) for row in kid.K}) == 1
                    walk(kid)
                elif role == "/Figure":
                    assert str(kid.Alt)
                else:
                    assert role in {"/H1", "/H2", "/P"}
                    lines.append([text_of(kid)])

        walk(document.Root.StructTreeRoot.K[0])
    return [line for line in lines if any(line)]


def written(lines):
    return [[plain(cell) for cell in line] for line in lines if any(line)]


def joined(lines):
    return ["".join(line) for line in lines]


@pytest.mark.parametrize("lang", ["fr", "en", "de", "it", "es"])
@pytest.mark.parametrize("refund", [False, True])
def test_the_tree_of_a_receipt_says_its_lines_cell_by_cell(lang, refund):
    receipt = dataclasses.replace(sample_receipt(lang), refund=refund, notes=("A note " * 20,))

    assert spoken(draw_receipt(receipt)) == written(words_of_receipt(receipt))


@pytest.mark.parametrize("name", sorted(path.name for path in (DATA / "takepos").glob("*.html")))
def test_the_tree_of_a_receipt_of_takepos_says_its_lines(name):
    roll = read_page((DATA / "takepos" / name).read_text("utf-8"), lang="fr").roll

    said = spoken(draw_roll(roll))

    assert joined(said) == joined(written(words_of_roll(roll)))


@pytest.mark.parametrize(
    "name",
    ["01", "03", "12", "15", "18", "21", "25", "26", "28", "2d"],
)
def test_the_tree_of_a_printer_s_receipt_says_its_lines(name):
    (path,) = (DATA / "escpos").glob(f"{name}-*.bin")
    roll = decode(path.read_bytes(), lang="en")

    assert joined(spoken(draw_roll(roll))) == joined(written(words_of_roll(roll)))


def test_a_line_that_is_broken_is_one_element():
    text = "a sentence that is much longer than the paper is wide, and goes on and on and on"
    pdf = draw_roll(Roll((Paragraph(text), Paragraph("next"))))

    assert spoken(pdf) == [[plain(text)], ["next"]]


def test_letters_that_are_shaped_are_said_as_they_are_read():
    pdf = draw_roll(Roll((Paragraph("مرحبا بكم"), Paragraph("שלום"), Paragraph("plain"))))

    with pikepdf.open(io.BytesIO(pdf)) as document:
        elements = list(document.Root.StructTreeRoot.K[0].K)
        assert [str(each.get("/ActualText", "")) for each in elements] == [
            "مرحبا بكم",
            "שלום",
            "",
        ]


def test_a_pdf_says_its_language_and_its_title_and_that_it_is_tagged():
    pdf = draw_roll(Roll((Row((Run("Total"),)), Code("qr", "x")), title="Shop", lang="de"))

    with pikepdf.open(io.BytesIO(pdf)) as document:
        root = document.Root
        assert str(root.Lang) == "de"
        assert str(document.docinfo.Title) == "Shop"
        assert bool(root.MarkInfo.Marked)
        assert bool(root.ViewerPreferences.DisplayDocTitle)
        for index, page in enumerate(document.pages):
            assert page.StructParents == index
            assert root.StructTreeRoot.ParentTree.Nums[2 * index] == index


def test_everything_on_a_page_is_marked_or_said_to_be_decoration():
    pdf = draw_receipt(sample_receipt("fr"))

    with pikepdf.open(io.BytesIO(pdf)) as document:
        depth = 0
        for operands, operator in pikepdf.parse_content_stream(document.pages[0]):
            name = str(operator)
            depth += name in {"BDC", "BMC"}
            depth -= name == "EMC"
            if name in {"Tj", "TJ", "S", "f", "re", "l"}:
                assert depth == 1, (operands, name)
        assert depth == 0


def test_a_receipt_of_several_pages_is_one_tree():
    rows = tuple(Row((Run(f"line {number}"),)) for number in range(1500))
    pdf = draw_roll(Roll(rows))

    assert joined(spoken(pdf)) == [f"line{number}" for number in range(1500)]
