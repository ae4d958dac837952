"""Receipts that once came out wrong, each with what is right on it, as values."""

import contextlib
from collections import Counter
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from e2ee_ticket.errors import ReceiptError
from e2ee_ticket.pdf.draw_roll import draw_roll, remarks_on
from e2ee_ticket.pdf.roll import Code, Picture, Roll
from e2ee_ticket.sources.escpos import decode
from e2ee_ticket.sources.escpos_jobs import Job, Splitter
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


def job(name: str) -> bytes:
    (path,) = (DATA / "escpos").glob(f"{name}-*.bin")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("01", ["Thé vert", "TOTAL 12,50"]),  # and a rule between them
        ("02", ["TOTAL 3,60 €"]),
        ("03", ["Ελιές 2,00"]),
        ("04", ["苹果汁 12.00", "TOTAL 12.00"]),
        ("08", ["= article soumis a TVA 20 %", "prix 12,00"]),
        ("11", ["TOTAL 12,50", "fin"]),
        ("12", ["Pommes 2 x 1,20 2,40", "TOTAL 2,40", "CB 2,40"]),
        ("13", ["BOUTIQUE"]),
        ("14", ["Remise -10 % 12,50"]),
        ("15", ["ESPACES", "AAAAAAAAAA 12,50", "B" * 32]),
        ("19", ["EPICERIE", "Pommes 2,40", "TOTAL 2,40"]),
        ("24", ["Boutique d'Essai", "Pommes 2 3,60", "Poires 1 4,50", "TOTAL 8,10"]),
        ("25", ["Café é 2 è `#° ¨"]),
        ("26", ["Cà phê sữa đá 30.000"]),
        ("28", ["ﾘﾝｺﾞ 120"]),
        ("29", ["6.00 תפוח"]),
        ("2d", ["Ticket:13 Table:A1"]),
    ],
)
def test_what_a_printer_was_sent_is_read(name, lines):
    roll = decode(job(name))

    assert [line for line in text_of(roll) if line] == lines
    assert roll.remarks == ()


def test_borders_stand_around_what_is_put_back_between_them():
    lines = text_of(decode(job("2e")))

    assert lines[0] == "╭────────────────────────┬──────────┬──────────╮"
    assert lines[1] == "│Pommes │ 2│ 3,60│"
    assert lines[2] == "│Poires │ 1│ 4,50│"
    assert lines[4] == "TOTAL 8,10"


def pictures(roll: Roll) -> list[tuple[int, int]]:
    """Give the size of each picture in dots."""
    return [
        (item.width * item.wide, item.height * item.high)
        for item in roll.items
        if isinstance(item, Picture)
    ]


def test_blocks_of_a_picture_beside_each_other_are_one_picture():
    (picture,) = (item for item in decode(job("08b")).items if isinstance(item, Picture))

    assert (picture.width, picture.height) == (192, 48)
    # Both blocks have a frame: the columns at their seam are black.
    row = picture.data[10 * 24 : 11 * 24]
    assert row[11] & 1
    assert row[12] & 0x80


def test_a_picture_is_as_far_from_the_left_as_it_was_put():
    (picture,) = (item for item in decode(job("08c")).items if isinstance(item, Picture))

    assert (picture.width, picture.height) == (384, 72)
    assert not any(any(picture.data[row * 48 : row * 48 + 24]) for row in range(72))
    assert all(picture.data[row * 48 + 24] & 0x80 for row in range(72))


def test_pictures_beside_text_are_in_its_line():
    first, second = decode(job("08")).items

    assert first.pictures[0][0] == 0
    assert first.pictures[0][1].width == 24
    assert first.runs[0].at == 24
    assert second.pictures[0][0] == len("prix ") * 12


def test_a_character_of_the_till_s_own_is_drawn_where_it_was_printed():
    row = decode(job("11")).items[0]

    ((at, picture),) = row.pictures
    assert at == len("TOTAL 12,50 ") * 12
    assert (picture.width, picture.height) == (10, 24)
    assert any(picture.data)


def test_pictures_keep_their_size():
    assert pictures(decode(job("13"))) == [(32, 24)]
    assert pictures(decode(job("22"))) == [(832, 200)]
    assert pictures(decode(job("23"))) == [(96, 48)]


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("18", [("qr", "https://example.test/t/1", False, False)]),
        ("20", [("code93", "TEST8052", False, True), ("upce", "01234500006", False, True)]),
        ("21", [("code128", "12345678", True, False)]),
    ],
)
def test_codes_are_read(name, codes):
    assert [
        (item.kind, item.text, item.heading, item.caption)
        for item in decode(job(name)).items
        if isinstance(item, Code)
    ] == codes


def test_what_is_written_above_a_bar_code_stands_above_it():
    assert text_of(decode(job("21"))) == ["12345678", "bon"]


@settings(deadline=None, max_examples=20, phases=[Phase.generate])
@given(pieces=st.lists(st.tuples(st.integers(0, 500), st.integers(100, 999_999)), max_size=9))
def test_every_amount_put_anywhere_can_be_read(pieces):
    amounts = [f"{cents // 100},{cents % 100:02}" for _, cents in pieces]
    ends = {at + 12 * len(amount) for (at, _), amount in zip(pieces, amounts, strict=True)}
    assume(not ends & {at for at, _ in pieces})  # what is put right behind goes on
    data = b"".join(
        b"\x1b$" + at.to_bytes(2, "little") + amount.encode()
        for (at, _), amount in zip(pieces, amounts, strict=True)
    )

    words = Counter(" ".join(text_of(decode(data + b"\n"))).split())

    assert not Counter(set(amounts)) - words


@given(places=st.lists(st.integers(0, 47), min_size=1, max_size=8, unique=True))
def test_what_is_put_into_columns_stands_in_them_in_any_order(places):
    data = b"".join(b"\x1b$" + (at * 12).to_bytes(2, "little") + b"%d" % (at % 10) for at in places)

    (row,) = decode(data + b"\n").items

    assert row.text == "".join(
        str(at % 10) if at in places else " " for at in range(max(places) + 1)
    )


def page(*parts: bytes) -> list[str]:
    return [line for line in text_of(decode(b"\x1bL" + b"".join(parts) + b"\x0c")) if line]


def put(x: int, y: int, text: bytes) -> bytes:
    return b"\x1d$" + y.to_bytes(2, "little") + b"\x1b$" + x.to_bytes(2, "little") + text


def test_a_page_s_fields_stand_at_their_places():
    assert page(
        put(400, 90, b"3,60"), put(0, 30, b"Boutique"), put(0, 90, b"Pommes"), put(240, 92, b"2")
    ) == ["Boutique", "Pommes 2 3,60"]


def test_areas_of_a_page_stand_beside_each_other():
    def area(*sides: int) -> bytes:
        return b"\x1bW" + b"".join(side.to_bytes(2, "little") for side in sides)

    assert page(
        area(0, 0, 288, 200), b"left 1\nleft 2\n", area(288, 0, 288, 200), b"right 1\nright 2"
    ) == ["left 1 right 1", "left 2 right 2"]


def test_a_page_that_is_turned_is_read_as_it_is_turned():
    turned = b"\x1bT\x02"

    assert page(turned, b"first  1,00\nsecond  2,00\n") == ["first 1,00", "second 2,00"]
    assert page(b"\x1bT\x01", b"first\nsecond") == ["first", "second"]


def test_what_is_for_the_pole_display_is_not_on_the_receipt():
    data = b"\x1b@Pain 1,20\n\x1b=\x02\x0c\x1b@TOTAL\r\n9,99\x1b=\x01Lait 2,00\n"

    assert text_of(decode(data)) == ["Pain 1,20", "Lait 2,00"]


def test_lines_of_turned_paper_are_read_from_its_other_end():
    data = b"a\n\x1b{\x01third\nsecond\nfirst\n\x1b{\x00b\n"

    assert text_of(decode(data)) == ["a", "first", "second", "third", "b"]


def test_a_picture_of_turned_paper_is_turned():
    data = b"\x1b{\x01\x1dv0\x00\x01\x00\x02\x00\x80\x01a\n"

    text, picture = decode(data).items
    assert text.text == "a"
    assert picture.data == b"\x80\x01"[::-1].translate(bytes(
        int(f"{byte:08b}"[::-1], 2) for byte in range(256)
    ))  # fmt: skip


def test_margins_are_kept():
    data = b"\x1dL\x90\x00\x1dW\x20\x01abc\n\x1ba\x02xyz\n"

    left, right = decode(data).items
    assert left.placed[0][0] == 144
    assert right.placed[0][0] == 144 + 288 - 36
    assert [item.text.strip() for item in decode(b"\x1dW\x78\x00" + b"a" * 12).items] == [
        "a" * 10,
        "aa",
    ]


def test_a_number_is_not_cut_where_the_paper_ends():
    assert text_of(decode(b"Total " + b"x" * 38 + b" 12,50\n")) == [f"Total {'x' * 38} 12,50"]
    assert text_of(decode(b"x" * 80 + b" " * 13 + b"12,50\n"))[-1] == "12,50"


@pytest.mark.parametrize(
    "data",
    [
        b"\x1d/\x00",
        b"\x1cp\x01\x00",
        b"\x1d(L\x06\x000E20\x01\x01",
    ],
)
def test_a_picture_that_only_the_printer_has_is_told(data):
    roll = decode(b"Shop\n" + data)

    assert roll.remarks == (
        "a picture that is kept in the printer itself, such as a logo, is left out",
    )


def test_pictures_that_the_till_keeps_in_the_printer_are_printed():
    size = (8).to_bytes(2, "little") * 2
    define = b"0S0" + b"G1" + b"\x01" + size + b"1" + b"\x81" * 8

    job = b"\x1d(L" + len(define).to_bytes(2, "little") + define + b"\x1d(L\x06\x000UG1\x01\x01"
    assert pictures(decode(job)) == [(8, 8)]
    job = b"\x1cq\x01\x01\x00\x01\x00" + b"\xff" * 8 + b"\x1cp\x01\x03"
    assert pictures(decode(job)) == [(16, 16)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(48, "pdf417"), (49, "qr"), (50, "maxicode"), (53, "aztec"), (54, "datamatrix")],
)
def test_symbols_of_two_dimensions_are_read(kind, name):
    store = b"\x1d(k\x08\x00" + bytes((kind,)) + b"P0hello"
    show = b"\x1d(k\x03\x00" + bytes((kind,)) + b"Q0"

    (code,) = decode(store + show).items
    assert (code.kind, code.text) == (name, "hello")


# Star Line Mode


def test_star_s_language_is_read():
    data = (
        b"\x1b@\x1b\x1dt\x04\x1b\x1da\x01\x1bi\x01\x01Caf\x82\x1bi\x00\x00\n\x1b\x1da\x00"
        b"\x1bW\x01wide\x1bW\x00 \x1b-\x01u\x1b-\x00\n"
        b"\x1b\x1dA\x2c\x0112,50\n"
        b"\x1b\x1dyS0\x02\x1b\x1dyD1\x00\x04\x00star\x1b\x1dyP"
        b"\x1bb\x06\x02\x02\x30A123\x1e\x1bd\x02"
    )
    title, wide, amount, qr, bars = decode(data).items

    assert (title.text, title.align, title.runs[0].wide, title.runs[0].high) == (
        "Café", "center", 2, 2,
    )  # fmt: skip
    assert wide.runs[0].wide == 2
    assert amount.text == " " * 25 + "12,50"
    assert (qr.kind, qr.text) == ("qr", "star")
    assert (bars.kind, bars.text, bars.caption) == ("code128", "A123", True)


def test_star_s_pictures_of_rows_are_read_whatever_their_dots_are():
    data = b"\x1b*rR\x1b*rA\x1b*rP0\x00" + b"b\x02\x00\x1bd" * 24 + b"\x1b*rBok\n\x1bd\x02"
    picture, row = decode(data).items

    assert (picture.width, picture.height, picture.data) == (16, 24, b"\x1bd" * 24)
    assert row.text == "ok"
    for size in (1, 7, len(data)):
        splitter = Splitter()
        chunks = (data[at : at + size] for at in range(0, len(data), size))
        jobs = [event.data for chunk in chunks for event in splitter.feed(chunk)]
        assert jobs == [data]


def test_star_s_cut_ends_a_job_and_its_large_letters_do_not():
    data = job("19")
    splitter = Splitter()

    jobs = [event for byte in data * 2 for event in splitter.feed(bytes((byte,)))]
    assert jobs == [Job(data), Job(data)]


@given(data=st.binary(max_size=300))
def test_any_bytes_after_star_s_sign_are_read_or_refused_in_words(data):
    with contextlib.suppress(ReceiptError):
        decode(b"\x1b\x1da\x01" + data)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("33-arabic", ["متجر الاختبار", "6,00 3,00 2 تفاح أحمر", "7,00 د.م. المجموع"]),
        ("34-hebrew", ["חנות לדוגמה", "6.00 3.00 2 תפוחים"]),
        (
            "35-chinese-japanese-korean-thai",
            [
                "测试商店",
                "苹果汁 500ml 1 12.00 12.00",
                "りんごジュース 1 120 120",
                "사과 주스 1 1200 1200",
                "น้ำแอปเปิล 1 35.00 35.00",
            ],
        ),
        ("36-vietnamese-khmer-amharic", ["Cửa hàng thử nghiệm", "Cà phê sữa đá 2 30.000 60.000"]),
    ],
)
def test_every_script_of_a_page_is_drawn(name, lines):
    page = (DATA / "takepos" / f"{name}.html").read_text("utf-8")
    roll = read_page(page, lang="fr", currency="EUR").roll

    found = text_of(roll)

    assert [line for line in found if line in lines] == lines
    assert not any("?" in line for line in found)
    assert remarks_on(roll) == ()


def test_words_of_hebrew_stand_beside_figures_as_they_were_printed():
    data = b"\x1bt\x24" + "תפוח"[::-1].encode("cp862") + b" 3 x 6.00   18.00\n"

    assert text_of(decode(data)) == ["תפוח 3 x 6.00 18.00"]
