import contextlib
import hashlib
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
import zxingcpp
from fontTools.ttLib import TTFont
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf import codes, draw_roll, sheet
from e2ee_ticket.pdf.roll import (
    Cell,
    Code,
    Item,
    Paragraph,
    Picture,
    Roll,
    Row,
    Rule,
    Run,
    Space,
    Table,
)
from e2ee_ticket.sources.escpos import decode

DATA = Path(__file__).parents[2] / "data"
NOON = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def draw(*items: Item, columns: int = 48, **more) -> bytes:
    roll = Roll(items, columns, **{"lang": "fr", "title": "Au Petit Marché", **more})
    return draw_roll.draw_roll(roll, issued=NOON)


def row(text: str, align="left", **style) -> Row:
    return Row((Run(text, **style),), align)


@contextlib.contextmanager
def first_page(pdf: bytes):
    with (
        contextlib.closing(pypdfium2.PdfDocument(pdf)) as document,
        contextlib.closing(document[0]) as page,
    ):
        yield page


def lines_of(pdf: bytes) -> list[str]:
    """Read the text as a reader would copy it."""
    with first_page(pdf) as page, contextlib.closing(page.get_textpage()) as text:
        return text.get_text_range().split("\r\n")


def size_of(pdf: bytes) -> tuple[float, float]:
    with first_page(pdf) as page:
        return tuple(side * 25.4 / 72 for side in page.get_size())


def picture_of(pdf: bytes, scale: float = 4.0):
    with first_page(pdf) as page:
        return page.render(scale=scale).to_pil().convert("L")


def ink_of(pdf: bytes) -> tuple[float, float, float, float]:
    """Tell where there is ink: left, top, right, bottom, in millimetres."""
    picture = picture_of(pdf, 8.0)
    box = picture.point(lambda level: 255 if level < 128 else 0).getbbox()
    assert box is not None
    return tuple(edge / picture.width * 80 for edge in box)


def codes_on(pdf: bytes) -> list[tuple[str, str]]:
    return [(found.format.name, found.text) for found in zxingcpp.read_barcodes(picture_of(pdf))]


def structure_of(pdf: bytes) -> list[tuple[str, str]]:
    with pikepdf.open(io.BytesIO(pdf)) as document:
        elements = document.Root.StructTreeRoot.K[0].K
        return [(str(element.S), str(element.get("/Alt", ""))) for element in elements]


# The document


def test_the_same_roll_gives_the_same_bytes():
    items = (row("a", bold=True), Paragraph("b"), Code("qr", "c"), Picture(8, 1, b"\xf0"))

    assert draw(*items) == draw(*items)
    assert draw_roll.draw_roll(Roll(items)) == draw_roll.draw_roll(Roll(items))


def test_it_is_tagged_and_has_a_language_a_title_and_a_date():
    with pikepdf.open(io.BytesIO(draw(row("a")))) as pdf:
        assert pdf.Root.Lang == "fr"
        assert pdf.Root.MarkInfo.Marked
        assert pdf.docinfo["/Title"] == "Au Petit Marché"
        assert pdf.docinfo["/CreationDate"] == "D:20260301120500Z"
        assert "/Annots" not in pdf.pages[0]


def test_what_is_read_aloud_is_in_its_order_with_the_shop_s_name_first():
    pdf = draw(
        row("Au Petit Marché", "center", wide=2, high=2),
        row("12 rue des Tanneurs"),
        Space(),
        Rule(),
        Code("qr", "https://example.org/"),
        row("Large", high=2),
    )

    assert structure_of(pdf) == [
        ("/H1", ""),
        ("/P", ""),
        ("/Figure", "https://example.org/"),
        ("/P", ""),
    ]


def test_every_mark_is_tagged_or_decoration():
    pdf = draw(
        row("a", inverse=True), row("b", underline=True), row("-" * 48), Rule(double=True),
        Paragraph("c"), Table(((Cell("d"), Cell("1")),), 1), Code("ean13", "4006381333931"),
        Picture(8, 1, b"\xff"),
    )  # fmt: skip

    with pikepdf.open(io.BytesIO(pdf)) as document:
        depth = 0
        for instruction in pikepdf.parse_content_stream(document.pages[0]):
            operator = str(instruction.operator)
            depth += (operator in ("BDC", "BMC")) - (operator == "EMC")
            assert depth in (0, 1)
            assert depth or operator not in ("Tj", "TJ", "S", "f", "Do")
        assert depth == 0


def test_only_the_fonts_that_are_used_are_in_it():
    def fonts(pdf):
        with pikepdf.open(io.BytesIO(pdf)) as document:
            objects = [o for o in document.objects if isinstance(o, pikepdf.Dictionary)]
            return sorted(str(o.FontName).split("+")[-1] for o in objects if "/FontFile2" in o)

    assert len(fonts(draw(row("a")))) == 1
    assert len(fonts(draw(row("a"), row("b", bold=True), Paragraph("c")))) == 3
    assert fonts(draw(Paragraph("c")))[0].startswith("RobotoCondensed")


def test_an_empty_roll_is_an_empty_page():
    width, height = size_of(draw())

    assert round(width, 1) == 80
    assert height < 30


def test_the_page_is_as_long_as_the_receipt():
    _, short = size_of(draw(row("a")))
    _, longer = size_of(draw(*[row("a")] * 11))

    assert longer - short == pytest.approx(10 * 3.8, abs=0.2)


def test_a_roll_longer_than_a_page_goes_on_on_another():
    with pypdfium2.PdfDocument(draw(*[row("a")] * 1500)) as document:
        assert len(document) == 2


@pytest.mark.parametrize(
    "items",
    [
        [row("a")] * 6000,
        [row("a" * 48_000, wide=8, high=8)],
        [Picture(8, 400_000, b"\xff" * 400_000)],
        [Paragraph("a\n" * 9000, size=4)],
        [Table(((Cell("word " * 40_000), Cell("1")),))],
    ],
)
def test_a_roll_longer_than_any_receipt_is_refused(items):
    with pytest.raises(ReceiptError, match="print it on paper"):
        draw(*items)


# Real bytes


def test_what_takepos_printed_stands_in_its_columns():
    job = (DATA / "takepos_receiptprinter_9100.bin").read_bytes()

    pdf = draw(*decode(job).items)

    # 51 characters on 48 columns: the gap gives way, and the sums stand under each other.
    assert re.fullmatch(r"PAIN +1 +2,84 +2,84", lines_of(pdf)[4])
    _, _, right, _ = ink_of(pdf)
    assert right == pytest.approx(74, abs=0.4)


# Rows


def test_letters_of_europe_and_boxes_are_drawn():
    text = "Œuf € Καφές Молоко їжак Žluťoučký ┌─╬█▒"

    assert lines_of(draw(row(text))) == [text]


def test_what_no_font_has_is_a_question_mark_and_is_told(caplog):
    items = (row("𓀀 a"), Paragraph("𓂀 b?"), Table(((Cell("𓀀 漢"),),)))

    assert lines_of(draw(*items)) == ["? a", "? b?", "? 漢"]
    assert caplog.messages == []
    assert draw_roll.remarks_on(Roll(items)) == ("letters that no font here has: 𓀀 𓂀",)
    assert draw_roll.remarks_on(Roll((row("Œuf 漢 א ก"),))) == ()


def test_many_letters_that_no_font_has_are_counted():
    text = "".join(chr(code) for code in range(0x13000, 0x13014))

    (remark,) = draw_roll.remarks_on(Roll((row(text),)))

    assert remark == f"letters that no font here has: {' '.join(text[:8])} and 12 more"


@pytest.mark.parametrize(
    "text",
    [
        "متجر الاختبار",
        "שלום עולם",
        "测试商店 苹果汁",
        "りんごジュース",
        "ｱｲｽ",
        "사과 주스",
        "น้ำแอปเปิล",
        "ទឹកផ្លែឈើ",
        "ፖም ጭማቂ",
        "Cà phê sữa đá, Bún chả ₫",
        "Խնձոր ვაშლი",
        "①②※★〒",
    ],
)
def test_every_script_is_drawn_and_copied_in_the_order_in_which_it_is_read(text):
    for item in (Paragraph(text), Table(((Cell(text, bold=True),),))):
        assert lines_of(draw(item)) == [text]
        assert draw_roll.remarks_on(Roll((item,))) == ()


def test_a_number_in_arabic_stands_where_it_is_read():
    def left_of(pdf: bytes, wanted: str) -> float:
        with first_page(pdf) as page, contextlib.closing(page.get_textpage()) as text:
            at = next(n for n in range(text.count_chars()) if text.get_text_range(n, 1) == wanted)
            return text.get_charbox(at)[0]

    pdf = draw(Paragraph("قطعة 12 تفاح"))
    assert left_of(pdf, "ق") > left_of(pdf, "1") > left_of(pdf, "ح")
    pdf = draw(Paragraph("Pain عربي 12 x"))
    assert left_of(pdf, "P") < left_of(pdf, "ي") < left_of(pdf, "ع") < left_of(pdf, "x")


def test_marks_of_direction_are_not_drawn():
    assert lines_of(draw(Paragraph("a\u200eb\ufeffc\u202ad"))) == ["abcd"]


def test_a_font_of_all_chinese_makes_no_large_pdf():
    assert len(draw(Paragraph("测试商店 合计"))) < 12_000


def test_a_wide_row_is_cut_where_the_paper_ends():
    assert lines_of(draw(row("x" * 50))) == ["x" * 48, "xx"]
    assert lines_of(draw(row("x" * 25, wide=2))) == ["x" * 24, "x"]
    assert lines_of(draw(row("x" * 65, small=True))) == ["x" * 64, "x"]
    assert lines_of(draw(Row((Run("a" * 40), Run("b" * 10, bold=True))))) == [
        "a" * 40 + "b" * 8,
        "bb",
    ]


def test_blanks_beyond_the_paper_are_nothing():
    short, padded = draw(row("x")), draw(row("x" + " " * 60))

    assert size_of(short) == size_of(padded)


def test_a_row_a_little_too_wide_gives_of_its_gap():
    given = draw(row("bread" + " " * 46 + "1,00"))
    kept = draw(row("a" * 30 + "   " + "b" * 20))

    assert [line.split() for line in lines_of(given)] == [["bread", "1,00"]]
    assert ink_of(given)[2] == pytest.approx(74, abs=0.4)
    assert len(lines_of(draw(row("a" * 30 + "    " + "b" * 18)))) == 2
    assert [line.split() for line in lines_of(kept)] == [["a" * 30, "b" * 15], ["b" * 5]]


def test_rows_are_aligned_within_the_columns():
    left, middle, right = (
        ink_of(draw(row("xxxx", align))) for align in ("left", "center", "right")
    )

    assert left[0] == pytest.approx(6, abs=0.4)
    assert (middle[0] + middle[2]) / 2 == pytest.approx(40, abs=0.4)
    assert right[2] == pytest.approx(74, abs=0.4)


def test_fewer_columns_are_larger_and_stand_in_the_middle():
    many, few = ink_of(draw(row("x" * 48))), ink_of(draw(row("x" * 32), columns=32))

    assert (few[2] - few[0]) / 32 > (many[2] - many[0]) / 48
    assert few[0] + few[2] == pytest.approx(80, abs=1)


def test_larger_letters_are_larger():
    plain = ink_of(draw(row("H")))
    high = ink_of(draw(row("H", high=2)))
    wide = ink_of(draw(row("H", wide=2)))

    assert high[3] - high[1] == pytest.approx(2 * (plain[3] - plain[1]), rel=0.1)
    assert high[2] - high[0] == pytest.approx(plain[2] - plain[0], abs=0.15)
    assert wide[2] - wide[0] == pytest.approx(2 * (plain[2] - plain[0]), rel=0.15)
    assert wide[3] - wide[1] == pytest.approx(plain[3] - plain[1], abs=0.15)


def test_inverse_text_is_white_on_black_and_underlined_text_has_a_line():
    def dark(pdf):
        return sum(picture_of(pdf).histogram()[:128])

    plain, inverse = dark(draw(row("abc"))), dark(draw(row("abc", inverse=True)))

    assert inverse > 3 * plain
    assert dark(draw(row("abc", underline=True))) > plain
    assert dark(draw(row("abc", bold=True))) > plain


@pytest.mark.parametrize("sign", ["-", "=", "_", "*", "─", "═", "- "])
def test_a_row_of_hyphens_is_a_line(sign):
    pdf = draw(row(sign * (48 // len(sign))))

    assert lines_of(pdf) == [""]
    left, _, right, _ = ink_of(pdf)
    assert (left, right) == (pytest.approx(6, abs=0.4), pytest.approx(74, abs=1.6))


def test_a_short_row_of_hyphens_is_a_short_line_where_it_was():
    left, _, right, _ = ink_of(draw(row(" " * 38 + "-" * 10)))

    assert left == pytest.approx(74 - 10 * 68 / 48, abs=0.3)
    assert right == pytest.approx(74, abs=0.3)
    assert ink_of(draw(row("-" * 10, "right")))[0] == pytest.approx(left, abs=0.1)
    assert lines_of(draw(row("--"))) == ["--"]


def test_much_empty_paper_is_kept_short():
    _, some = size_of(draw(row("a"), Space(3), row("b")))
    _, much = size_of(draw(row("a"), Space(200), Space(1e9), row("b"), Space(50)))

    assert much == some


# Paragraphs and tables


def test_a_paragraph_is_wrapped_between_words():
    text = "Merci de votre visite et à très bientôt dans notre petite épicerie de quartier"

    assert " ".join(lines_of(draw(Paragraph(text, "center")))) == text
    assert lines_of(draw(Paragraph("above\nbelow"))) == ["above", "below"]


def test_a_paragraph_takes_the_font_that_has_its_letters():
    assert lines_of(draw(Paragraph("fait ✓ ☺"))) == ["fait ✓ ☺"]


def test_the_amounts_of_a_table_stand_under_each_other():
    table = Table(
        (
            (Cell("Article"), Cell("Qté", "right"), Cell("Total", "right")),
            (Cell("Baguette"), Cell("2", "right"), Cell("2,60", "right")),
            (Cell("Comté " * 12), Cell("10", "right"), Cell("1 234,50", "right")),
            (Cell("Total TTC", bold=True, span=2), Cell("1 237,10", "right", bold=True)),
        ),
        head=1,
    )

    pdf = draw(table)

    assert lines_of(pdf)[0] == "Article Qté Total"
    assert lines_of(pdf)[-1] == "Total TTC 1 237,10"
    with first_page(pdf) as page, contextlib.closing(page.get_textpage()) as text:
        edges = set()
        for rect in range(text.count_rects()):
            box = text.get_rect(rect)
            if text.get_text_bounded(*box).strip() in {"Total", "2,60", "1 234,50", "1 237,10"}:
                edges.add(round(box[2] * 25.4 / 72))
    assert edges == {74}


@pytest.mark.parametrize(
    "rows",
    [
        ((),),
        ((Cell(""),), ()),
        ((Cell("a", span=0), Cell("b", span=99), Cell("c")),),
        (tuple(Cell(str(number)) for number in range(40)),),
        ((Cell("a" * 500), Cell("b" * 500, "right"), Cell("c d " * 100)),),
    ],
)
def test_a_strange_table_is_drawn_within_the_paper(rows):
    pdf = draw(row("x"), Table(rows))

    left, _, right, _ = ink_of(pdf)
    assert left >= 5.5
    assert right <= 76


NUMBERS = st.from_regex(
    r"\A-?[1-9][0-9]{0,2}(( [0-9]{3}){0,2}|([.][0-9]{3}){0,2}|[0-9]{0,6})"
    r"([.,][0-9]{2,3})?( €| %)?\Z"
)
LABELS = st.text("abcdefghi -", min_size=1, max_size=40)


@settings(deadline=None, max_examples=60, phases=[Phase.generate])
@given(
    columns=st.integers(1, 9),
    numbers=st.lists(NUMBERS, min_size=9, max_size=27),
    labels=st.lists(LABELS, min_size=3, max_size=3),
    heads=st.lists(st.sampled_from(["Qté", "Total (excl. tax)", "Prix", ""]), min_size=9),
    spans=st.booleans(),
)
def test_every_number_of_any_table_stays_whole(columns, numbers, labels, heads, spans):
    rows = [tuple(Cell(text) for text in ("Libellé", *heads[:columns]))]
    for start in range(0, len(numbers) - columns + 1, columns):
        cells = [Cell(text, "right") for text in numbers[start : start + columns]]
        if spans and len(rows) == 3 and columns > 2:
            cells[:2] = [Cell(cells[0].text, "right", span=2)]
        rows.append((Cell(labels[len(rows) % 3]), *cells))

    lines = [" ".join(line.split()) for line in lines_of(draw(Table(tuple(rows), 1)))]

    for row in rows[1:]:
        for cell in row[1:]:
            assert any(cell.text in line for line in lines), (cell.text, lines)
    for head in heads[:columns]:
        for word in head.split():
            assert any(word in line.split() for line in lines)


def test_columns_that_fit_no_paper_stand_below_each_other():
    amounts = [f"1 21{number} 450,00" for number in range(6)]
    table = Table(((Cell("Vin"), *(Cell(amount, "right") for amount in amounts)),))

    assert lines_of(draw(table)) == ["Vin", " ".join(amounts[:3]), " ".join(amounts[3:])]


def test_a_number_wider_than_the_paper_is_set_smaller():
    assert lines_of(draw(Paragraph("Total 12 345 678,90 €", size=4))) == [
        "Total",
        "12 345 678,90 €",
    ]
    number = "9" * 60
    assert lines_of(draw(Table(((Cell("a"), Cell(number)),)))) == ["a", number]


def test_a_long_word_is_broken_at_its_hyphen():
    table = Table(((Cell("Châteauneuf-Hermitage"), *[Cell("121 450,00", "right")] * 3),))

    assert lines_of(draw(table))[-1] == "Hermitage"


# Pictures and codes


def test_a_picture_is_as_large_as_its_dots():
    left, top, right, bottom = ink_of(draw(Picture(288, 144, b"\xff" * 36 * 144, "center")))

    assert (left, right) == (pytest.approx(23, abs=0.3), pytest.approx(57, abs=0.3))
    assert bottom - top == pytest.approx(17, abs=0.3)


def test_a_picture_repeats_its_dots_and_stays_on_the_paper():
    left, _, right, _ = ink_of(draw(Picture(1024, 8, b"\xff" * 1024, wide=2)))

    assert (left, right) == (pytest.approx(6, abs=0.3), pytest.approx(74, abs=0.3))


def test_a_picture_without_all_of_its_dots_is_drawn_as_far_as_it_goes():
    assert ink_of(draw(Picture(8, 90, b"\xff" * 10)))
    assert size_of(draw(Picture(8, 90, b""))) == size_of(draw())


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("qr", "https://example.org/t?n=1&x=ü", "QRCode"),
        ("qr", "x" * 1500, "QRCode"),
        ("code128", "TC1-2611-0010 {x}", "Code128"),
        ("code39", "ABC-123", "Code39"),
        ("ean13", "4006381333931", "EAN13"),
        ("ean8", "40170725", "EAN8"),
        ("itf", "12345678", "ITF"),
        ("codabar", "A1234B", "Codabar"),
    ],
)
@pytest.mark.parametrize("align", ["left", "center", "right"])
def test_a_code_can_be_scanned(kind, text, name, align):
    assert codes_on(draw(row("a"), Code(kind, text, align), row("b"))) == [(name, text)]


def test_a_upc_can_be_scanned():
    ((name, text),) = codes_on(draw(Code("upca", "036000291452")))

    assert name in ("UPCA", "EAN13")
    assert text.lstrip("0") == "36000291452"


def test_a_code_says_what_it_is_below_if_it_is_to():
    assert lines_of(draw(Code("ean13", "4006381333931", caption=True))) == ["4006381333931"]
    assert lines_of(draw(Code("ean13", "4006381333931"), row("a"))) == ["a"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("ean13", "4006381333932"),
        ("ean13", "12"),
        ("ean8", "4017072x"),
        ("itf", "123"),
        ("code39", "é"),
        ("code128", "é"),
        ("code128", "x" * 200),
        ("codabar", "1234"),
        ("pdf417", "x" * 2000),
        ("maxicode", ""),
        ("anything", "what is said"),
        ("upce", "12345678901"),
        ("qr", "x" * 2990),
        ("qr", "x" * 3500),
    ],
)
def test_what_cannot_be_such_a_code_is_text(kind, text):
    pdf = draw(Code(kind, text))

    assert codes_on(pdf) == []
    assert "".join(lines_of(pdf)).replace(" ", "") == text.replace(" ", "")


def test_a_code_without_a_word_is_none():
    assert codes.draw_code("qr", "") is None


def test_the_same_code_is_made_once():
    items = [Code("qr", "x" * 2900)] * 50

    assert draw(*items).startswith(b"%PDF-")


# The fonts


@pytest.mark.parametrize("face", ["Regular", "Bold"])
def test_the_font_for_columns_is_the_one_its_notice_names(face):
    folder = Path(sheet.__file__).parent / "fonts"
    data = (folder / f"Iosevka-{face}.ttf").read_bytes()
    font = TTFont(io.BytesIO(data))
    glyphs = font.getBestCmap()

    assert hashlib.sha256(data).hexdigest() in (folder / "README.md").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE" in (folder / "OFL.txt").read_text("utf-8").upper()
    assert {font["hmtx"][glyphs[ord(c)]][0] for c in "iW0€Ω█─Ж"} == {500}
    for page in ("cp437", "cp850", "cp852", "cp858", "cp866", "cp737", "cp1252", "cp1250"):
        signs = bytes(range(0x80, 0x100)).decode(page, "ignore")
        assert [c for c in signs if c.isprintable() and ord(c) not in glyphs] == []


@pytest.mark.parametrize(
    ("kind", "text", "name", "read"),
    [
        ("code93", "TEST8052", "Code93", "TEST8052"),
        ("upce", "01234500006", "UPCE", "0012345000065"),
        ("upce", "01234565", "UPCE", "0012345000065"),
        ("gs1-128", "(01)09501101530003", "Code128", "(01)09501101530003"),
        ("databar", "0950110153000", "DataBarOmni", "(01)09501101530003"),
        ("databar-limited", "0950110153000", "DataBarLtd", "(01)09501101530003"),
        ("databar-expanded", "(01)09501101530003", "DataBarExp", "(01)09501101530003"),
        ("pdf417", "what is said", "PDF417", "what is said"),
        ("aztec", "what is said", "Aztec", "what is said"),
        ("datamatrix", "what is said", "DataMatrix", "what is said"),
    ],
)
def test_a_code_of_any_kind_can_be_read_from_the_receipt(kind, text, name, read):
    picture = picture_of(draw(row("a"), Code(kind, text), row("b")), 8.0)

    found = [(code.format, code.text) for code in zxingcpp.read_barcodes(picture)]

    assert [text for _, text in found] == [read]
    assert name.lower() in str(found[0][0]).lower().replace("-", "").replace(" ", "") or (
        kind.startswith(("gs1", "databar", "aztec"))
    )
